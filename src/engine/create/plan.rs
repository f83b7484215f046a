//! The attempt with which a request claims its number: a new order with its first attempt, or
//! another attempt of a stored order. [`Commits::claim`](crate::engine::commit::Commits::claim)
//! makes the claim durable.

use super::resolve::Resolved;
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::order::next_attempt::NextAttempt;
use crate::domain::order::{Flags, Order, OrderClient, OrderStatus};
use crate::domain::product::Product;
use crate::domain::time::{DAY_MS, MINUTE_MS, Millis};
use crate::engine::parts::EngineParts;
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::provider::AttemptRequest;

impl EngineParts {
    /// The order of a first request, with its first attempt.
    ///
    /// # Errors
    ///
    /// As [`EngineParts::plan_attempt`].
    pub(super) fn new_order(&self, resolved: &Resolved) -> Result<Order, Error> {
        let request = &resolved.request;
        let next = NextAttempt {
            n: 1,
            channel_no: ChannelNo::first(&request.terms.out_trade_no),
            expires_max: None,
        };
        let attempt = self.plan_attempt(resolved, &next, request.time_expire)?;
        let caller = &resolved.caller;
        Ok(Order {
            fingerprint: resolved.key.fingerprint.clone(),
            terms: request.terms.clone(),
            deadline: request.time_expire,
            status: OrderStatus::Open,
            flags: Flags::default(),
            created_at: attempt.opened_at,
            attempts: vec![attempt],
            payments: Vec::new(),
            client: OrderClient {
                platform: caller.platform.name().to_owned(),
                client_ip: caller.client_ip.map(|ip| ip.to_string()),
                app_id: caller.app_id.clone(),
                device_id: caller.device_id.clone(),
                nickname: request.nickname.clone(),
            },
            version: 1,
            unknown: Default::default(),
        })
    }

    /// Plans the attempt that makes the trade `next`.
    ///
    /// # Errors
    ///
    /// 4000 when `deadline` is too near or too far, 4004 when the provider does not offer this
    /// method.
    pub(super) fn plan_attempt(
        &self,
        resolved: &Resolved,
        next: &NextAttempt,
        deadline: Option<Millis>,
    ) -> Result<Attempt, Error> {
        let now = self.clock.now();
        let method = &resolved.key.method;
        let expires_at = expiry(deadline, now, self.settings.order_ttl_ms, method.product)?;
        let expires_at = next.expires_max.map_or(expires_at, |max| expires_at.min(max));
        let request = &resolved.request;
        let terms = &request.terms;
        let notify_url = self.providers.notify_url(method.pay_type, &terms.pid);
        let attempt_request = AttemptRequest {
            terms,
            pay_type: method.pay_type,
            product: method.product,
            channel_no: &next.channel_no,
            openid: method.openid.as_deref(),
            client_ip: resolved.caller.client_ip,
            user_agent: &resolved.caller.user_agent,
            expires_at,
            notify_url: &notify_url,
            return_url: request.return_url.as_deref(),
        };
        let params = resolved
            .provider
            .plan(&attempt_request)
            .map_err(|text| Error::new(Kind::PayTypeNotPossible).text(text))?;
        Ok(Attempt {
            n: next.n,
            method: method.clone(),
            account: resolved.provider.account(method.pay_type, terms),
            channel_no: next.channel_no.clone(),
            params,
            expires_at,
            opened_at: now,
            state: AttemptState::Prepared,
            last_queried_at: None,
            superseded: false,
            handed_out: false,
            close_intended: false,
        })
    }
}

/// When an attempt that opens now expires: at the order's deadline, without one `ttl_ms` from now,
/// and never later than the provider allows for the product.
///
/// # Errors
///
/// 4000 for a deadline less than a minute ahead (WeChat Pay raises it, V3 `time_expire`) or more
/// than 7 days (WeChat Pay clips it).
fn expiry(
    deadline: Option<Millis>,
    now: Millis,
    ttl_ms: i64,
    product: Product,
) -> Result<Millis, Error> {
    let expires_at = match deadline {
        None => now.plus(ttl_ms),
        Some(deadline) => {
            let ahead_ms = deadline.since(now);
            if !(MINUTE_MS..=7 * DAY_MS).contains(&ahead_ms) {
                return Err(invalid_deadline());
            }
            deadline
        }
    };
    let latest = product.attempt_lifetime_max_ms().map(|ms| now.plus(ms));
    Ok(latest.map_or(expires_at, |latest| expires_at.min(latest)).floor_to_second())
}

fn invalid_deadline() -> Error {
    Error::invalid(vec![Violation {
        code: Code::Body,
        path: "/data/time_expire".to_owned(),
        rule: "range",
        message: Text::new(
            "time_expire 必须在 1 分钟之后、7 天之内（毫秒时间戳）",
            "time_expire must be 1 minute to 7 days ahead, in milliseconds since 1970",
        ),
    }])
}
