//! Notifications: what a provider tells unasked.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::PaidTrade;
use crate::domain::ids::{ChannelNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;

/// What a genuine notification to this merchant tells.
///
/// Merchant (and at Alipay app and seller) were compared by the codec. Number, amount, and by
/// [`Provider::is_of`](super::Provider::is_of) the attempt's app and merchants are left to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// A trade was paid.
    Payment {
        /// The attempt's number.
        channel_no: ChannelNo,
        /// The payment.
        trade: PaidTrade,
    },
    /// A trade was paid in another currency than the order's, which is CNY: never its price.
    ForeignPayment {
        /// The attempt's number.
        channel_no: ChannelNo,
        /// The payment; its `total_fee` counts the smallest units of `currency`.
        trade: PaidTrade,
        /// Such as `USD`.
        currency: String,
    },
    /// Money went back, or failed to.
    Refund(RefundNotification),
    /// Genuine, and nothing to do.
    Other {
        /// The provider's own word for it.
        event: String,
    },
}

/// A refund as the provider tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundNotification {
    /// The attempt's number.
    pub channel_no: ChannelNo,
    /// The payment that money went back of.
    pub transaction_id: TransactionId,
    /// The refund's number. Alipay leaves it out of some notifications.
    pub out_refund_no: Option<String>,
    /// The provider's number of the refund (WeChat Pay).
    pub refund_id: Option<String>,
    /// Where it stands.
    pub state: RefundState,
    /// How much went back.
    pub refund_fee: RefundFee,
    /// When, if told.
    pub refunded_at: Option<Millis>,
    /// The payment itself, where the notification tells it (Alipay): to be applied before the
    /// refund, which may be heard of first.
    pub trade: Option<PaidTrade>,
    /// The verified message.
    pub message: Arc<Value>,
}

/// How much a notification says went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundFee {
    /// By this refund (WeChat Pay), in fen.
    This(Fen),
    /// By all refunds of the payment so far, this one included (Alipay), in fen.
    Total(Fen),
    /// It does not say.
    Unknown,
}

impl RefundFee {
    /// How much all refunds of the payment returned so far, in fen, where the provider says so.
    #[must_use]
    pub fn total(self) -> Option<Fen> {
        match self {
            RefundFee::Total(total) => Some(total),
            RefundFee::This(_) | RefundFee::Unknown => None,
        }
    }
}

/// Why a notification is not acted upon. Neither kind is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationError {
    /// Not verifiably the provider's word to this merchant: nothing is touched.
    Forged {
        /// For the operator.
        why: String,
    },
    /// The provider's, without what its documents promise: an operator must look.
    Unreadable {
        /// For the operator.
        why: String,
    },
}

#[cfg(any(feature = "wxpay", feature = "alipay"))]
impl NotificationError {
    pub(crate) fn forged(why: impl fmt::Display) -> NotificationError {
        NotificationError::Forged { why: why.to_string() }
    }

    pub(crate) fn unreadable(why: impl fmt::Display) -> NotificationError {
        NotificationError::Unreadable { why: why.to_string() }
    }
}

impl fmt::Display for NotificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotificationError::Forged { why } => write!(f, "not verifiably the provider's: {why}"),
            NotificationError::Unreadable { why } => {
                write!(f, "the provider's, and not readable: {why}")
            }
        }
    }
}

impl std::error::Error for NotificationError {}
