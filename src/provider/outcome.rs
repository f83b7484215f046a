//! The outcome of a provider call: a trade's state, the end of a close, or a failure.

use std::sync::Arc;

use serde_json::Value;

use super::call::TransportFailure;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::time::Millis;

/// Why a provider call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider refused, and its signature (or its nature, for a query) makes that final.
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider did not take an order because it has a trade under its number: paid, closed,
    /// or with other parameters. Query it.
    NumberInUse {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider got too many calls and did not execute this one. It does not sign that, so the
    /// engine still queries a throttled attempt before it sends it again. A throttled refund is
    /// [`Failure::NotSent`].
    Throttled {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// Nothing was sent, or the provider did nothing yet (a refund); safe to repeat.
    NotSent(String),
    /// Nothing was sent, because no answer could be verified: the provider gave no certificate;
    /// safe to repeat.
    Unverifiable {
        /// What happened, for the operator.
        reason: String,
        /// The provider's code and message, where it refused the certificate.
        provider_error: Option<(String, String)>,
    },
    /// The provider may have acted: query first.
    OutcomeUnknown {
        /// What happened, for the operator.
        reason: String,
        /// The code and message of an unsigned answer, for the client.
        provider_error: Option<(String, String)>,
    },
}

impl Failure {
    /// An outcome that is unknown for `reason`, where the provider reported no error.
    pub(crate) fn unknown(reason: impl Into<String>) -> Failure {
        Failure::OutcomeUnknown { reason: reason.into(), provider_error: None }
    }
}

impl From<TransportFailure> for Failure {
    fn from(failure: TransportFailure) -> Failure {
        match failure {
            TransportFailure::NotSent(reason) => Failure::NotSent(reason),
            TransportFailure::OutcomeUnknown(reason) => Failure::unknown(reason),
        }
    }
}

/// The state of an attempt at its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TradeState {
    /// The provider has no trade under this number. Alipay's QR, app, wap and page products have
    /// none until the buyer acts: the buyer may still pay.
    NotFound {
        /// The provider's own time: the `Date` of the response, which nobody signs.
        date: Option<Millis>,
    },
    /// Not paid.
    Unpaid {
        /// The provider's own name of the state (`NOTPAY`, `WAIT_BUYER_PAY`).
        trade_state: String,
    },
    /// Closed, and never paid.
    Closed,
    /// Paid (and perhaps refunded since).
    Paid(PaidTrade),
}

/// A payment in a verified message. The codec compared the merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidTrade {
    /// The provider's number.
    pub transaction_id: TransactionId,
    /// The order's amount at the provider, in fen.
    pub total_fee: Fen,
    /// Whether app, merchants and currency are the attempt's; of a notification, whether the
    /// currency is CNY: [`Provider::matches_attempt`](super::Provider::matches_attempt) compares
    /// the rest. In another currency `total_fee` counts the smallest units.
    pub matches_order: bool,
    /// Whether the provider has refunded a part of it since, or all.
    pub refunded: bool,
    /// When the buyer paid, if the message has it.
    pub paid_at: Option<Millis>,
    /// The payer, if the message names one.
    pub openid: Option<String>,
    /// The verified message.
    pub message: Arc<Value>,
}

/// How a close ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseOutcome {
    /// The buyer can no longer pay it.
    Closed,
    /// The provider has no such trade to close (Alipay: the buyer can pay the attempt until its
    /// expiry).
    NotFound,
    /// The buyer paid it: query it.
    Paid,
    /// The provider does not close it yet: it is too new, or the buyer is paying.
    TooEarly,
}
