//! The admin operations: what they are, and what they answer to who shows the token.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Method, Request, Response};
use http_body::Body;
use serde::Serialize;
use url::form_urlencoded;

use super::AdminParts;
use super::pay_order;
use crate::caller::request_id;
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, OutboxEvent};
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;
use crate::engine::Query;
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::guard::read_query;
use crate::layer::{known, order_number};
use crate::reply::{Language, Reply};
use crate::sidecar::responses::Refusal;

/// An admin operation, by its path below the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    QueryPayment,
    Refund,
    QueryRefund,
    ClosePayment,
    Payments,
    Webhooks,
    Retry(EventId),
}

impl Operation {
    fn parse(path: &str) -> Option<Operation> {
        match path {
            "queryPayment" => Some(Operation::QueryPayment),
            "refund" => Some(Operation::Refund),
            "queryRefund" => Some(Operation::QueryRefund),
            "closePayment" => Some(Operation::ClosePayment),
            "payments" => Some(Operation::Payments),
            "webhooks" => Some(Operation::Webhooks),
            _ => {
                let id = path.strip_prefix("webhooks/")?.strip_suffix("/retry")?;
                EventId::parse(id).map(Operation::Retry)
            }
        }
    }

    fn allows(&self, method: &Method) -> Result<(), Refusal> {
        match self {
            Operation::Payments | Operation::Webhooks => match *method {
                Method::GET | Method::HEAD => Ok(()),
                _ => Err(Refusal::Method("GET, HEAD")),
            },
            _ if method == Method::POST => Ok(()),
            _ => Err(Refusal::Method("POST")),
        }
    }
}

impl AdminParts {
    /// Answers the operation at `path`, which is below the mount. Who has no token does not learn
    /// which there are.
    pub(in crate::sidecar) async fn operate<B: Body>(
        &self,
        path: &str,
        request: Request<B>,
    ) -> Result<Response<Bytes>, Refusal> {
        self.admit(request.headers())?;
        let operation = Operation::parse(path).ok_or(Refusal::Of(Kind::NotFound))?;
        operation.allows(request.method())?;
        let request_id = request_id(request.headers());
        let reply = Reply {
            request_id: &request_id,
            language: Language::preferred(request.headers()),
            mock: self.engine.is_simulated(),
        };
        let done = match operation {
            Operation::QueryPayment => self.query(request, &reply).await,
            Operation::Refund => self.refund(request, &reply).await,
            Operation::QueryRefund => self.query_refund(request, &reply).await,
            Operation::ClosePayment => self.close_payment(request, &reply).await,
            Operation::Payments => self.payments(request.uri().query(), &reply).await,
            Operation::Webhooks => self.webhooks(request.uri().query(), &reply).await,
            Operation::Retry(id) => {
                self.engine.retry_event(&id).await.map(|()| reply.done(&Done { code: 0 }))
            }
        };
        Ok(done.unwrap_or_else(|error| reply.refusal(&error)))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let token = self.token.as_ref().ok_or(Refusal::AdminDisabled)?;
        match bearer(headers).is_some_and(|given| token.matches(given)) {
            true => Ok(()),
            false => Err(Refusal::Of(Kind::CallerNotAllowed)),
        }
    }

    async fn query<B: Body>(
        &self,
        request: Request<B>,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let asked = read_query(&self.read(request).await?)?;
        let with_record = asked.pay_order_info == Some(true);
        let await_accepted = asked.await_accepted;
        let number = order_number(asked.number);
        let queried = self.engine.query(Query { number, await_accepted }).await?;
        let record = with_record.then(|| pay_order::of(&queried));
        Ok(reply.known(&known(&queried, record.as_deref())))
    }

    async fn payments(
        &self,
        query: Option<&str>,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let known = |value: &str| (value == "unmatched").then_some(());
        let message = Text::new(
            "只支持参数state: unmatched",
            "there is only one parameter, state: unmatched",
        );
        wanted(query.unwrap_or_default(), known, message)?;
        let payments = self.engine.unmatched(LISTED_MAX).await?;
        let payments = payments.iter().map(Unsold::of).collect();
        Ok(reply.done(&Payments { code: 0, payments }))
    }

    async fn webhooks(
        &self,
        query: Option<&str>,
        reply: &Reply<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let known =
            |value: &str| DeliveryState::ALL.into_iter().find(|it| state_name(*it) == value);
        let message = Text::new(
            "只支持参数state: waiting、accepted或parked",
            "there is only one parameter, state: waiting, accepted or parked",
        );
        let states = match wanted(query.unwrap_or_default(), known, message)? {
            Some(state) => vec![state],
            None => vec![DeliveryState::Parked, DeliveryState::Pending, DeliveryState::Accepted],
        };
        let mut events = Vec::new();
        for state in states {
            events.extend(self.engine.events(state, LISTED_MAX).await?);
        }
        let webhooks = events.iter().map(Listed::of).collect();
        Ok(reply.done(&List { code: 0, webhooks }))
    }
}

/// The most events of one state that one answer lists.
const LISTED_MAX: usize = 500;

/// The bearer token of exactly one `Authorization` header (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (line, more) = (lines.next()?.as_bytes(), lines.next());
    let (scheme, token) = line.split_at_checked("Bearer ".len())?;
    (more.is_none() && scheme.eq_ignore_ascii_case(b"Bearer ")).then_some(token.trim_ascii())
}

/// `?state=`: which of the `known` states is listed; all without it. `message` says which
/// there are.
fn wanted<S>(
    query: &str,
    known: impl Fn(&str) -> Option<S>,
    message: Text,
) -> Result<Option<S>, Error> {
    let mut wanted = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, known(&value)) {
            ("state", Some(state)) if wanted.is_none() => wanted = Some(state),
            _ => {
                let (code, path) = (Code::Body, "/state".to_owned());
                let ill = Violation { code, path, rule: "enum", message };
                return Err(Error::invalid(vec![ill]));
            }
        }
    }
    Ok(wanted)
}

fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "waiting",
        DeliveryState::Accepted | DeliveryState::Parked => state.name(),
    }
}

#[derive(Serialize)]
struct Done {
    code: u16,
}

#[derive(Serialize)]
struct List<'a> {
    code: u16,
    webhooks: Vec<Listed<'a>>,
}

#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    r#type: &'static str,
    out_trade_no: &'a str,
    state: &'static str,
    tries: u32,
    next: Option<String>,
}

impl Listed<'_> {
    fn of(event: &OutboxEvent) -> Listed<'_> {
        let waits = event.state == DeliveryState::Pending;
        Listed {
            id: event.id.as_str(),
            r#type: event.event.name(),
            out_trade_no: event.out_trade_no.as_str(),
            state: state_name(event.state),
            tries: event.tries,
            next: waits.then(|| event.next_at.to_rfc3339()),
        }
    }
}

#[derive(Serialize)]
struct Payments<'a> {
    code: u16,
    payments: Vec<Unsold<'a>>,
}

/// A payment of no order.
#[derive(Serialize)]
struct Unsold<'a> {
    state: &'static str,
    provider: ProviderId,
    pid: &'a str,
    account: &'a str,
    channel_trade_no: &'a str,
    transaction_id: &'a str,
    total_fee: u64,
    currency: Option<&'a str>,
    pay_date: Option<Millis>,
    known: Millis,
}

impl Unsold<'_> {
    fn of(unmatched: &UnmatchedPayment) -> Unsold<'_> {
        Unsold {
            state: "unmatched",
            provider: unmatched.provider,
            pid: unmatched.pid.as_str(),
            account: &unmatched.account,
            channel_trade_no: unmatched.channel_no.as_str(),
            transaction_id: &unmatched.transaction_id.0,
            total_fee: unmatched.total_fee.fen(),
            currency: unmatched.currency.as_deref(),
            pay_date: unmatched.paid_at,
            known: unmatched.discovered_at,
        }
    }
}
