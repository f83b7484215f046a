//! Notifications that providers send.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::outcome::PaidTrade;
use crate::domain::ids::{ChannelNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;

/// A verified notification to this merchant.
///
/// The codec compared the merchant (at Alipay also app and seller). The engine compares number and
/// amount, and by [`Provider::matches_attempt`](super::Provider::matches_attempt) the attempt's app
/// and merchants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The buyer paid a trade.
    Payment {
        /// The attempt's number.
        channel_no: ChannelNo,
        /// The payment.
        trade: PaidTrade,
    },
    /// The buyer paid a trade in another currency than the order's, which is CNY: never its price.
    OtherCurrencyPayment {
        /// The attempt's number.
        channel_no: ChannelNo,
        /// The payment; its `total_fee` counts the smallest units of `currency`.
        trade: PaidTrade,
        /// Such as `USD`.
        currency: String,
    },
    /// The provider executed a refund, or failed to.
    Refund(RefundNotification),
    /// Genuine, and nothing to do.
    Other {
        /// The provider's own name of the event.
        event: String,
    },
}

/// A refund as the provider notifies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundNotification {
    /// The attempt's number.
    pub channel_no: ChannelNo,
    /// The payment that is refunded.
    pub transaction_id: TransactionId,
    /// The refund's number. Alipay leaves it out of some notifications.
    pub out_refund_no: Option<String>,
    /// The provider's number of the refund (WeChat Pay).
    pub refund_id: Option<String>,
    /// The refund's state.
    pub state: RefundState,
    /// The refunded amount.
    pub refund_fee: RefundFee,
    /// When, if the notification has it.
    pub refunded_at: Option<Millis>,
    /// The payment itself, where the notification has it (Alipay). The engine applies it before the
    /// refund: the payment's own notification may arrive later.
    pub trade: Option<PaidTrade>,
    /// The verified message.
    pub message: Arc<Value>,
}

/// The refunded amount in a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundFee {
    /// Of this refund (WeChat Pay), in fen.
    This(Fen),
    /// Of all refunds of the payment so far, this one included (Alipay), in fen.
    Total(Fen),
    /// The notification has none: nobody here knows how much was refunded.
    Unknown,
}

impl RefundFee {
    /// How much all refunds of the payment returned so far, in fen, where the provider reports it.
    #[must_use]
    pub fn total(self) -> Option<Fen> {
        match self {
            RefundFee::Total(total) => Some(total),
            RefundFee::This(_) | RefundFee::Unknown => None,
        }
    }
}

/// Why the engine must not process or acknowledge a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationError {
    /// It is not verifiably from the provider to this merchant: nothing may change.
    Forged {
        /// For the operator.
        why: String,
    },
    /// It is the provider's, and lacks a documented part: an operator must investigate.
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
