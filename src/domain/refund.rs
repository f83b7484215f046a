//! Payments of an order and what went back of them.

use serde::{Deserialize, Serialize};

use super::ids::TransactionId;
use super::money::Fen;
use super::time::Millis;

/// Money that a provider took for one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The attempt it was paid by.
    pub attempt: u32,
    /// The provider's number: refunds name it.
    pub transaction_id: TransactionId,
    /// What the order was paid with, in fen.
    pub total_fee: Fen,
    /// When the provider took it.
    pub paid_at: Millis,
    /// The payer at the provider, if told.
    pub openid: Option<String>,
    /// What it is to the order.
    pub role: PaymentRole,
    /// What went back of it, pending ones included.
    pub refunds: Vec<Refund>,
}

/// What a payment is to its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentRole {
    /// The one that made the order paid.
    Winning,
    /// A later one.
    Duplicate,
    /// One that came after `closePayment`.
    Late,
    /// One of another amount, app or merchant.
    Mismatch,
}

/// Money on its way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// The shop's number, unique per merchant.
    pub out_refund_no: String,
    /// The provider's number.
    pub refund_id: Option<String>,
    /// In fen.
    pub refund_fee: Fen,
    /// Why, for the buyer.
    pub refund_desc: Option<String>,
    /// Where it stands.
    pub state: RefundState,
    /// When it was asked for.
    pub asked_at: Millis,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundState {
    /// Recorded; being sent, or at the provider.
    Processing,
    /// The buyer has it.
    Success,
    /// It needs a person (WeChat Pay `ABNORMAL`).
    Abnormal,
    /// It failed for good.
    Closed,
}
