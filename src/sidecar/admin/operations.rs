//! The admin operations, which need the bearer token.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, Response};
use http_body::Body;
use tracing::Instrument as _;
use url::form_urlencoded;

use super::AdminParts;
use crate::caller::request_id;
use crate::clock::throttled_count::ThrottledCount;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::event::{DeliveryState, EventId};
use crate::domain::nearest;
use crate::engine::{Query, no_such_event};
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::guard::{QueryRequest, read_query, unknown_field};
use crate::reply::admin::{
    OkBody, PaymentListBody, UnmatchedPaymentBody, WebhookEventBody, WebhookListBody,
};
use crate::reply::pay_order::pay_order_row;
use crate::reply::{Language, OrderView, ReplyWriter};
use crate::secret::bearer_token;
use crate::sidecar::responses::SidecarRefusal;
use crate::sidecar::server::PeerAddr;

/// An admin operation, by its path below the mount.
#[derive(Clone, Debug, PartialEq, Eq)]
enum AdminOperation {
    QueryPayment,
    Refund,
    QueryRefund,
    ClosePayment,
    Payments,
    Webhooks,
    /// `None` for a text that is no event's id.
    Retry(Option<EventId>),
}

impl AdminOperation {
    fn parse(path: &str) -> Option<AdminOperation> {
        match path {
            "queryPayment" => Some(AdminOperation::QueryPayment),
            "refund" => Some(AdminOperation::Refund),
            "queryRefund" => Some(AdminOperation::QueryRefund),
            "closePayment" => Some(AdminOperation::ClosePayment),
            "payments" => Some(AdminOperation::Payments),
            "webhooks" => Some(AdminOperation::Webhooks),
            _ => {
                let id = path.strip_prefix("webhooks/")?.strip_suffix("/retry")?;
                let is_segment = !id.is_empty() && !id.contains('/');
                is_segment.then(|| AdminOperation::Retry(EventId::parse(id)))
            }
        }
    }

    /// The name in the log.
    fn name(&self) -> &'static str {
        match self {
            AdminOperation::QueryPayment => "queryPayment",
            AdminOperation::Refund => "refund",
            AdminOperation::QueryRefund => "queryRefund",
            AdminOperation::ClosePayment => "closePayment",
            AdminOperation::Payments => "payments",
            AdminOperation::Webhooks => "webhooks",
            AdminOperation::Retry(_) => "retry",
        }
    }

    fn check_method(&self, method: &Method) -> Result<(), SidecarRefusal> {
        match self {
            AdminOperation::Payments | AdminOperation::Webhooks => match *method {
                Method::GET | Method::HEAD => Ok(()),
                _ => Err(SidecarRefusal::Method("GET, HEAD")),
            },
            _ if method == Method::POST => Ok(()),
            _ => Err(SidecarRefusal::Method("POST")),
        }
    }
}

impl AdminParts {
    /// Answers the operation at `path`, which is below the mount. A caller without the token cannot
    /// find out which operations exist.
    pub(in crate::sidecar) async fn dispatch<B: Body>(
        &self,
        path: &str,
        request: Request<B>,
        rejected: &ThrottledCount,
    ) -> Result<Response<Bytes>, SidecarRefusal> {
        let from = request.extensions().get::<PeerAddr>().map(|peer| peer.0.ip());
        self.authorize(request.headers()).inspect_err(|_| log_rejected(rejected, from))?;
        let operation = AdminOperation::parse(path).ok_or(SidecarRefusal::Of(Kind::NotFound))?;
        operation.check_method(request.method())?;
        let request_id = request_id(request.headers());
        let reply = ReplyWriter {
            request_id: &request_id,
            language: Language::preferred(request.headers()),
            mock: self.engine.is_simulated(),
        };
        let from = from.map(tracing::field::display);
        let name = operation.name();
        let span = tracing::error_span!("request", requestId = request_id, operation = name, from);
        Ok(self.answer_operation(operation, request, &reply).instrument(span).await)
    }

    async fn answer_operation<B: Body>(
        &self,
        operation: AdminOperation,
        request: Request<B>,
        reply: &ReplyWriter<'_>,
    ) -> Response<Bytes> {
        let done = match operation {
            AdminOperation::QueryPayment => self.query(request, reply).await,
            AdminOperation::Refund => self.refund(request, reply).await,
            AdminOperation::QueryRefund => self.query_refund(request, reply).await,
            AdminOperation::ClosePayment => self.close_payment(request, reply).await,
            AdminOperation::Payments => self.payments(request.uri().query(), reply).await,
            AdminOperation::Webhooks => self.webhooks(request.uri().query(), reply).await,
            AdminOperation::Retry(Some(id)) => {
                self.retry(&id).await.map(|()| reply.ok(&OkBody { code: 0 }))
            }
            AdminOperation::Retry(None) => Err(no_such_event()),
        };
        done.unwrap_or_else(|error| {
            let (code, reason) = (error.code(), error.texts().1);
            tracing::debug!(code, reason, "paygate refused a request");
            reply.refusal(&error)
        })
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), SidecarRefusal> {
        let token = self.token.as_ref().ok_or(SidecarRefusal::AdminDisabled)?;
        match bearer_token(headers).is_some_and(|given| token.matches(given)) {
            true => Ok(()),
            false => Err(SidecarRefusal::WrongAdminToken),
        }
    }

    async fn query<B: Body>(
        &self,
        request: Request<B>,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let QueryRequest { number, await_accepted, pay_order_info, .. } =
            read_query(&self.read(request).await?)?;
        let queried = self.engine.get()?.query(Query { number, await_accepted }).await?;
        let order = &queried.order;
        let user_order_success = queried.user_order_success;
        let row = (pay_order_info == Some(true)).then(|| pay_order_row(order, user_order_success));
        Ok(reply.order(&OrderView {
            order,
            user_order_success,
            trade_state: queried.trade_state.as_deref(),
            pay_order: row.as_deref(),
        }))
    }

    async fn retry(&self, id: &EventId) -> Result<(), Error> {
        self.engine.get()?.retry_event(id).await
    }

    async fn payments(
        &self,
        query: Option<&str>,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let known = |value: &str| (value == "unmatched").then_some(());
        let message =
            Text::new("state 只能是 unmatched，且只能有一个", "state must be unmatched, once");
        state_parameter(query.unwrap_or_default(), known, message)?;
        let payments = self.engine.get()?.unmatched(LISTED_MAX).await?;
        let payments = payments.iter().map(UnmatchedPaymentBody::new).collect();
        Ok(reply.ok(&PaymentListBody { code: 0, payments }))
    }

    async fn webhooks(
        &self,
        query: Option<&str>,
        reply: &ReplyWriter<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let known = |value: &str| DeliveryState::parse(value);
        let message = Text::new(
            "state 只能是 pending、accepted 或 parked，且只能有一个",
            "state must be pending, accepted or parked, once",
        );
        let states = match state_parameter(query.unwrap_or_default(), known, message)? {
            Some(state) => vec![state],
            None => vec![DeliveryState::Parked, DeliveryState::Pending, DeliveryState::Accepted],
        };
        let mut events = Vec::new();
        for state in states {
            events.extend(self.engine.get()?.events(state, LISTED_MAX).await?);
        }
        let webhooks = events.iter().map(WebhookEventBody::new).collect();
        Ok(reply.ok(&WebhookListBody { code: 0, webhooks }))
    }
}

fn log_rejected(rejected: &ThrottledCount, from: Option<IpAddr>) {
    if let Some(count) = rejected.count(SystemClock.now()) {
        let from = from.map(tracing::field::display);
        tracing::warn!(count, from, "paygate refused operators without the admin token");
    }
}

/// The most events of one state, or the most payments, that one answer lists.
const LISTED_MAX: usize = 500;

/// The `known` state that `?state=` names, or `None` without the parameter. `message` lists the
/// states in the refusal.
fn state_parameter<S>(
    query: &str,
    known: impl Fn(&str) -> Option<S>,
    message: Text,
) -> Result<Option<S>, Error> {
    let mut state = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, known(&value)) {
            ("state", Some(known)) if state.is_none() => state = Some(known),
            ("state", _) => return Err(invalid_parameter("state", "enum", message)),
            (name, _) => {
                let message = unknown_field(name, nearest::similar(name, ["state"].into_iter()));
                return Err(invalid_parameter(name, "additionalProperties", message));
            }
        }
    }
    Ok(state)
}

fn invalid_parameter(name: &str, rule: &'static str, message: Text) -> Error {
    let (code, path) = (Code::Body, format!("/{name}"));
    Error::invalid(vec![Violation { code, path, rule, message }])
}
