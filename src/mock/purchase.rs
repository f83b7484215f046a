//! A buyer's purchase: the code that the buyer holds, and the order that it names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::world::NotWritten;
use super::world::order::{SimulatedOrder, TradeTerms};
use crate::domain::channel::ProviderId;

/// A buyer in front of a cashier.
///
/// As JSON: `{"provider":"wxpay","out_trade_no":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedPurchase {
    /// The provider of the cashier.
    pub provider: ProviderId,
    /// The code that the buyer holds.
    #[serde(flatten)]
    pub with: PayWith,
    /// The buyer; the order's own buyer, or a default one, when absent.
    #[serde(default)]
    pub payer: Option<String>,
}

impl SimulatedPurchase {
    /// The order's own buyer, with the code that the provider issued last for the merchant's order
    /// number.
    #[must_use]
    pub fn of_order(provider: ProviderId, out_trade_no: &str) -> SimulatedPurchase {
        let with = PayWith::OutTradeNo(out_trade_no.to_owned());
        SimulatedPurchase { provider, with, payer: None }
    }
}

/// What a buyer pays with: one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayWith {
    /// The merchant's order number: the code that the provider issued last for it.
    OutTradeNo(String),
    /// As [`PayWith::OutTradeNo`], where several merchants may have used the number.
    Order {
        /// The account that is paid.
        merchant: String,
        /// The merchant's order number.
        out_trade_no: String,
    },
    /// WeChat Pay JSAPI and APP.
    PrepayId(String),
    /// A QR code of either provider.
    CodeUrl(String),
    /// WeChat Pay H5, with or without a `redirect_url`.
    H5Url(String),
    /// The provider's number: Alipay's trade number, as mini programs have it.
    TradeNo(String),
    /// Alipay's order string for apps.
    OrderString(String),
    /// The address of Alipay's pay page.
    PayUrl(String),
}

/// Why a simulated provider refuses an action of a buyer or an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionRefused {
    /// The provider's code.
    pub code: String,
    /// The provider's message.
    pub message: String,
}

impl ActionRefused {
    pub(super) fn new(code: &str, message: &str) -> ActionRefused {
        ActionRefused { code: code.to_owned(), message: message.to_owned() }
    }

    /// No order has the number or the code that the buyer holds.
    pub(super) fn unknown_order() -> ActionRefused {
        ActionRefused::new("ORDER_NOT_EXIST", "no such order or code here")
    }
}

impl fmt::Display for ActionRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ActionRefused {}

impl From<NotWritten> for ActionRefused {
    fn from(_: NotWritten) -> ActionRefused {
        ActionRefused::new("SYSTEM_ERROR", "the ledger cannot be written")
    }
}

/// The order that a buyer is about to pay, and the terms of the code that the buyer holds.
#[derive(Clone, Debug)]
pub(super) struct PaymentTarget {
    /// The account that is paid.
    pub(super) merchant: String,
    pub(super) out_trade_no: String,
    pub(super) terms: TradeTerms,
}

impl PaymentTarget {
    pub(super) fn new(order: &SimulatedOrder, terms: TradeTerms) -> PaymentTarget {
        let (merchant, out_trade_no) = (order.merchant.clone(), order.out_trade_no.clone());
        PaymentTarget { merchant, out_trade_no, terms }
    }

    /// Whether `payer` is another buyer than the only one that may pay an order on `terms`.
    pub(super) fn is_another_buyer(payer: Option<&str>, terms: &TradeTerms) -> bool {
        match (payer, &terms.buyer) {
            (Some(payer), Some(buyer)) => payer != buyer,
            _ => false,
        }
    }
}
