//! Opening an attempt: lay it down, make it durable, send it, make the outcome durable.

use super::Inner;
use super::create::{Created, unreachable_store};
use super::flight::Lead;
use super::resolve::Incoming;
use crate::domain::attempt::{Attempt, AttemptState, valid_until};
use crate::domain::channel::Product;
use crate::domain::ids::ChannelNo;
use crate::domain::order::{Event, Flags, Order, OrderStatus, Origin};
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::provider::{Failure, Plan};
use crate::store::{Claim, Committed};

impl Inner {
    /// Claims the number for this request. `Ok(Err(order))` when another order has it.
    ///
    /// # Errors
    ///
    /// When the order cannot be opened as asked, or the store failed: nothing was sent.
    pub(super) async fn claim(
        &self,
        lead: &Lead,
        incoming: &Incoming,
    ) -> Result<Result<Order, Order>, Error> {
        let order = self.first(incoming)?;
        match self.store.claim(&order).await.map_err(|error| unreachable_store(&error))? {
            Claim::Known(order) => Ok(Err(*order)),
            Claim::Fresh => {
                lead.claimed(&order.fingerprint);
                Ok(Ok(order))
            }
        }
    }

    /// Opens another attempt.
    pub(super) async fn next(&self, incoming: &Incoming, order: &Order) -> Result<Created, Error> {
        if order.latest().state != AttemptState::Unsent {
            return Err(Error::new(Kind::SwitchRejected));
        }
        let n = order.latest().n;
        let attempt = self.attempt(incoming, n, order.deadline)?;
        let order = order
            .apply(Event::Opened(Box::new(attempt)))
            .ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        match self.store.commit(&order).await.map_err(|error| unreachable_store(&error))? {
            Committed::Done => self.send(incoming, order).await,
            Committed::Conflict => Err(Error::new(Kind::Busy)),
        }
    }

    /// Sends the latest attempt of `order`, which is durable, and records what became of it.
    pub(super) async fn send(&self, incoming: &Incoming, order: Order) -> Result<Created, Error> {
        let attempt = order.latest();
        let (n, product) = (attempt.n, attempt.way.product);
        let expires = attempt.expires;
        let answer = incoming.provider.open(attempt, self.call()).await;
        let event = match &answer {
            Ok(material) => Event::Answered {
                n,
                material: material.clone(),
                valid_until: valid_until(product, self.clock.now(), expires),
            },
            Err(Failure::Refused { code, message }) => {
                Event::Refused { n, code: code.clone(), message: message.clone() }
            }
            Err(Failure::Taken { code, .. }) => Event::Taken { n, code: code.clone() },
            Err(Failure::NotSent(_)) => Event::Unsent { n },
            Err(Failure::Unknown { reason, .. }) => Event::Lost { n, reason: reason.clone() },
        };
        let order = self.record(order, event).await?;
        match answer {
            Ok(_) => self.present(incoming, &order, order.latest()),
            Err(failure) => Err(told(&failure)),
        }
    }

    /// Makes an outcome durable. What cannot be recorded is unknown, whatever the provider said.
    async fn record(&self, order: Order, event: Event) -> Result<Order, Error> {
        let Some(next) = order.apply(event) else {
            return Err(Error::new(Kind::OutcomeUnknown));
        };
        match self.store.commit(&next).await {
            Ok(Committed::Done) => Ok(next),
            Ok(Committed::Conflict) => Err(Error::new(Kind::OutcomeUnknown)),
            Err(error) => {
                tracing::error!(%error, "an outcome could not be recorded");
                Err(Error::new(Kind::OutcomeUnknown))
            }
        }
    }

    /// The order of a first request, with its first attempt.
    fn first(&self, incoming: &Incoming) -> Result<Order, Error> {
        let request = &incoming.request;
        let attempt = self.attempt(incoming, 1, request.time_expire)?;
        let caller = &incoming.caller;
        Ok(Order {
            fingerprint: incoming.fingerprint.clone(),
            facts: request.facts.clone(),
            deadline: request.time_expire,
            status: OrderStatus::Open,
            flags: Flags::default(),
            created: attempt.opened,
            attempts: vec![attempt],
            payments: Vec::new(),
            origin: Origin {
                platform: caller.platform.name().to_owned(),
                client_ip: caller.client_ip.map(|ip| ip.to_string()),
                app_id: caller.app_id.clone(),
                device_id: caller.device_id.clone(),
                nickname: request.nickname.clone(),
            },
            version: 1,
        })
    }

    /// Lays down attempt `n`.
    fn attempt(
        &self,
        incoming: &Incoming,
        n: u32,
        deadline: Option<Millis>,
    ) -> Result<Attempt, Error> {
        let now = self.clock.now();
        let way = &incoming.way;
        let expires = expiry(deadline, now, self.settings.order_ttl_ms, way.product)?;
        let request = &incoming.request;
        let facts = &request.facts;
        let channel_no = ChannelNo::first(&facts.out_trade_no);
        let notify_url = self.notify_url(way.pay_type, &facts.pid);
        let plan = Plan {
            facts,
            pay_type: way.pay_type,
            product: way.product,
            channel_no: &channel_no,
            openid: way.openid.as_deref(),
            client_ip: incoming.caller.client_ip,
            user_agent: &incoming.caller.user_agent,
            expires,
            notify_url: &notify_url,
            return_url: request.return_url.as_deref(),
        };
        let params = incoming
            .provider
            .plan(&plan)
            .map_err(|text| Error::new(Kind::PayTypeNotPossible).text(text))?;
        Ok(Attempt {
            n,
            way: way.clone(),
            channel_no,
            params,
            expires,
            opened: now,
            state: AttemptState::Prepared,
            asked: None,
            superseded: false,
            handed_out: false,
        })
    }
}

/// When an attempt that opens now stops being payable: the order's deadline if it has one, and for
/// an Alipay QR code at most the 2 h that its picture lives (alipay.trade.precreate, `qr_code`).
///
/// # Errors
///
/// A deadline less than a minute (WeChat Pay raises it, V3 `time_expire`) or more than 7 days
/// ahead (it clips it).
fn expiry(
    deadline: Option<Millis>,
    now: Millis,
    ttl_ms: i64,
    product: Product,
) -> Result<Millis, Error> {
    let expires = match deadline {
        None => now.plus(ttl_ms),
        Some(deadline) => {
            let ahead_ms = deadline.since(now);
            if !(MINUTE_MS..=7 * DAY_MS).contains(&ahead_ms) {
                return Err(deadline_refused());
            }
            deadline
        }
    };
    let capped =
        if product == Product::Precreate { expires.min(now.plus(2 * HOUR_MS)) } else { expires };
    Ok(capped.floor_to_second())
}

fn deadline_refused() -> Error {
    Error::invalid(vec![Violation {
        code: Code::Body,
        path: "/data/time_expire".to_owned(),
        rule: "range",
        message: Text::new(
            "time_expire 必须在 1 分钟之后、7 天之内（毫秒时间戳）",
            "must be 1 minute to 7 days ahead, in epoch milliseconds",
        ),
    }])
}

/// What the caller is told of a failed call. Logged here, where it is handled.
fn told(failure: &Failure) -> Error {
    match failure {
        Failure::Refused { code, message } => {
            tracing::warn!(code, message, "the provider refused an order");
            Error::new(Kind::ProviderRefused).provider_said(code, message)
        }
        Failure::Taken { code, message } => {
            tracing::warn!(code, message, "the provider has another trade under the number");
            Error::new(Kind::OutcomeUnknown).provider_said(code, message)
        }
        Failure::NotSent(reason) => {
            tracing::warn!(reason, "nothing was sent to the provider");
            Error::new(Kind::NotSent)
        }
        Failure::Unknown { reason, said } => {
            tracing::warn!(reason, "the outcome of a provider call is unknown");
            let error = Error::new(Kind::OutcomeUnknown);
            match said {
                Some((code, message)) => error.provider_said(code, message),
                None => error,
            }
        }
    }
}
