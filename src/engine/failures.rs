//! The errors that the engine's operations share. The function that makes an error also logs it.

use super::circuit_breaker::Refused;
use crate::domain::order::Order;
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::provider::Failure;
use crate::store::StoreError;

/// Why a provider call has no result.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// The circuit breaker is open: the call was not made.
    NotMade(Refused),
    /// The call was made.
    Failed(Failure),
}

impl CallFailure {
    /// The error of a query, a close or a refund query without an answer that can be believed.
    pub(super) fn call_error(&self) -> Error {
        let unknown = Error::new(Kind::OutcomeUnknown);
        match self {
            CallFailure::NotMade(refused) => refused.error(),
            CallFailure::Failed(Failure::NotSent(reason)) => {
                tracing::warn!(reason, "paygate could not reach the provider");
                unknown
            }
            CallFailure::Failed(Failure::Unverifiable { reason, provider_error }) => {
                unverifiable(reason, provider_error.as_ref());
                with_provider_error(unknown, provider_error.as_ref())
            }
            CallFailure::Failed(
                Failure::Refused { code, message }
                | Failure::NumberInUse { code, message }
                | Failure::Throttled { code, message },
            ) => {
                tracing::warn!(code, provider_message = message, "the provider refused a call");
                unknown.provider_error(code, message)
            }
            CallFailure::Failed(Failure::OutcomeUnknown { reason, provider_error }) => {
                let (code, message) = provider_error.clone().unzip();
                tracing::warn!(
                    reason,
                    code = code.as_deref(),
                    provider_message = message.as_deref(),
                    "the provider gave no usable answer"
                );
                with_provider_error(unknown, provider_error.as_ref())
            }
        }
    }

    /// The error of an order that was not opened.
    pub(super) fn open_error(&self) -> Error {
        let failure = match self {
            CallFailure::NotMade(refused) => return refused.error(),
            CallFailure::Failed(failure) => failure,
        };
        match failure {
            Failure::Refused { code, message } => {
                tracing::warn!(code, provider_message = message, "the provider refused an order");
                Error::new(Kind::ProviderRefused).provider_error(code, message)
            }
            Failure::NumberInUse { code, message } => {
                tracing::warn!(
                    code,
                    provider_message = message,
                    "the provider has another trade under the order's number"
                );
                Error::new(Kind::OutcomeUnknown).provider_error(code, message)
            }
            Failure::Throttled { code, message } => {
                tracing::warn!(code, provider_message = message, "the provider throttled an order");
                Error::new(Kind::NotSent).provider_error(code, message)
            }
            Failure::NotSent(reason) => {
                tracing::warn!(reason, "paygate sent nothing to the provider");
                Error::new(Kind::NotSent)
            }
            Failure::Unverifiable { reason, provider_error } => {
                unverifiable(reason, provider_error.as_ref());
                with_provider_error(Error::new(Kind::NotSent), provider_error.as_ref())
            }
            Failure::OutcomeUnknown { reason, provider_error } => {
                let (code, message) = provider_error.clone().unzip();
                tracing::warn!(
                    reason,
                    code = code.as_deref(),
                    provider_message = message.as_deref(),
                    "the outcome of a provider call is unknown"
                );
                with_provider_error(Error::new(Kind::OutcomeUnknown), provider_error.as_ref())
            }
        }
    }
}

impl Refused {
    /// 5001: nothing was sent.
    pub(super) fn error(&self) -> Error {
        let seconds = self.retry_after.as_millis().div_ceil(1000);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        with_provider_error(
            Error::new(Kind::NotSent).retry_after_s(seconds),
            self.provider_error.as_ref(),
        )
    }
}

/// Logs a call that was not made because no answer could be verified.
fn unverifiable(reason: &str, provider_error: Option<&(String, String)>) {
    let (code, message) = provider_error.cloned().unzip();
    tracing::warn!(
        reason,
        code = code.as_deref(),
        provider_message = message.as_deref(),
        "paygate sent nothing to the provider"
    );
}

/// Adds the provider's code and message, where it gave some.
fn with_provider_error(error: Error, provider_error: Option<&(String, String)>) -> Error {
    match provider_error {
        Some((code, message)) => error.provider_error(code, message),
        None => error,
    }
}

/// 4103: not now. Nothing was changed; the caller repeats later.
pub(super) fn busy() -> Error {
    Error::new(Kind::Busy)
}

/// 5002: the work ended without a result.
pub(super) fn interrupted() -> Error {
    Error::new(Kind::OutcomeUnknown)
}

/// 5001: nothing was sent.
pub(super) fn store_unreachable(error: &StoreError) -> Error {
    tracing::error!(%error, "the store failed before anything was sent");
    Error::new(Kind::NotSent)
}

/// 5002: it happened, and is not recorded.
pub(super) fn not_recorded(error: &StoreError) -> Error {
    tracing::error!(%error, "the store did not record an outcome");
    Error::new(Kind::OutcomeUnknown)
}

/// 5002: another process opened the store, and this one writes and sends nothing more.
pub(super) fn store_lost(order: &Order) -> Error {
    let out_trade_no = order.out_trade_no();
    tracing::error!(%out_trade_no, "another process opened the store: this one lost the order");
    Error::new(Kind::OutcomeUnknown)
}

/// 4101, with the order's status.
pub(super) fn already_paid(order: &Order) -> Error {
    Error::new(Kind::AlreadyPaid).order_status(order.status.number())
}

/// 5002: the provider states that it has a trade under the number, and that it has none.
pub(super) fn contradiction(order: &Order, n: u32, code: &str) -> Error {
    let out_trade_no = order.out_trade_no();
    tracing::error!(
        %out_trade_no,
        n,
        code,
        "the provider contradicts itself: it has a trade under the number, and finds none"
    );
    match code {
        "" => Error::new(Kind::OutcomeUnknown),
        _ => Error::new(Kind::OutcomeUnknown).provider_error(code, ""),
    }
}

/// 4102: names the fields that differ from the first request's, not their values.
pub(super) fn different_order(fields: &[&'static str]) -> Error {
    let violations = fields.iter().map(|field| Violation {
        code: Code::Different,
        path: format!("/data/{field}"),
        rule: "same",
        message: Text::new(
            format!("{field} 与该订单号首次请求的值不同"),
            format!("{field} differs from the first request's"),
        ),
    });
    let list = fields.join(", ");
    Error::new(Kind::Different)
        .text(Text::new(
            format!("同一 out_trade_no 的参数与首次请求不一致：{list}"),
            format!("the same out_trade_no came with other parameters before: {list}"),
        ))
        .violations_of(violations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_advises_about_its_certificates_is_in_the_answer_and_nothing_was_sent() {
        let provider_error = Some(("RESOURCE_NOT_EXISTS".to_owned(), "advice".to_owned()));
        let failure = Failure::Unverifiable { reason: "no certificate".to_owned(), provider_error };
        let failure = CallFailure::Failed(failure);
        let opened = failure.open_error();
        assert_eq!(opened.kind(), Kind::NotSent);
        assert_eq!(opened.provider(), Some(("RESOURCE_NOT_EXISTS", "advice")));
        assert_eq!(failure.call_error().provider(), opened.provider());
    }
}
