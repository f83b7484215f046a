//! Notifications of payments and refunds, once their signature was verified.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::refund::state;
use super::trade::Told;
use crate::domain::ids::{ChannelNo, OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::time::Millis;
use crate::provider::notification::{
    Notification, NotificationError, RefundFee, RefundNotification,
};
use crate::provider::wxpay::Account;
use crate::provider::wxpay::decrypt::Sealed;
use crate::provider::{CODE_CHARS_MAX, tidied};

/// What a notification tells the one of `accounts` that it is sealed for (WeChat Pay V3, payment
/// notification; refund result notification).
///
/// # Errors
///
/// [`NotificationError::Forged`] when it is another merchant's, [`NotificationError::Unreadable`] when it
/// lacks what it should have.
pub(super) fn read<'a>(
    body: &[u8],
    accounts: impl Iterator<Item = &'a Account>,
) -> Result<Notification, NotificationError> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|_| NotificationError::unreadable("a signed body that is no notification"))?;
    let event = envelope.event_type;
    let is_refund = event.starts_with("REFUND.");
    if !is_refund && event != "TRANSACTION.SUCCESS" {
        return Ok(Notification::Other { event: tidied(&event, CODE_CHARS_MAX) });
    }
    let resource = Sealed::deserialize(envelope.resource)
        .map_err(|_| NotificationError::unreadable("it holds no sealed resource"))?;
    let (account, text) = opened(&resource, accounts)?;
    let message: Value = serde_json::from_slice(&text)
        .map_err(|_| NotificationError::unreadable("its resource is no JSON"))?;
    if is_refund { refund(account, message) } else { payment(account, message) }
}

#[derive(Deserialize)]
struct Envelope {
    event_type: String,
    /// Other events may hold anything.
    #[serde(default)]
    resource: Value,
}

/// The plaintext, and whose key opened it. Accounts may share what they are signed with, never
/// what they are sealed with.
fn opened<'a>(
    resource: &Sealed,
    accounts: impl Iterator<Item = &'a Account>,
) -> Result<(&'a Account, Vec<u8>), NotificationError> {
    let mut why = None;
    for account in accounts {
        match resource.open(&account.api_v3_key) {
            Ok(text) => return Ok((account, text)),
            Err(error) => why = Some(error),
        }
    }
    let why = why.map_or_else(String::new, |error| error.to_string());
    Err(NotificationError::forged(format!("its resource {why}")))
}

fn payment(account: &Account, message: Value) -> Result<Notification, NotificationError> {
    let told = Told::deserialize(&message)
        .map_err(|_| NotificationError::unreadable("its resource is no order"))?;
    if told.whose() != Some(&account.mch_id) {
        return Err(another_merchants());
    }
    if !told.is_paid() {
        return Err(NotificationError::unreadable("the payment of an order that is not paid"));
    }
    let channel_no = number(told.out_trade_no())?;
    let foreign = told.foreign_currency().map(|it| tidied(it, CODE_CHARS_MAX));
    let trade = told.paid(message).map_err(NotificationError::unreadable)?;
    Ok(match foreign {
        None => Notification::Payment { channel_no, trade },
        Some(currency) => Notification::ForeignPayment { channel_no, trade, currency },
    })
}

/// A refund's result: `refund_status`, where the API's answers have `status` (WeChat Pay V3,
/// refund result notification).
#[derive(Deserialize)]
struct ToldRefund {
    mchid: Option<String>,
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
    out_trade_no: String,
    transaction_id: String,
    out_refund_no: String,
    refund_id: String,
    refund_status: String,
    success_time: Option<String>,
    amount: ToldAmount,
}

#[derive(Deserialize)]
struct ToldAmount {
    refund: u64,
}

fn refund(account: &Account, message: Value) -> Result<Notification, NotificationError> {
    let told = ToldRefund::deserialize(&message)
        .map_err(|_| NotificationError::unreadable("its resource is no refund"))?;
    let whose = if told.sub_mchid.is_some() { &told.sp_mchid } else { &told.mchid };
    if whose.as_ref() != Some(&account.mch_id) {
        return Err(another_merchants());
    }
    let state = state(&told.refund_status).ok_or_else(|| {
        NotificationError::unreadable("a refund in a state that is not documented")
    })?;
    let refund_fee = Fen::new(told.amount.refund)
        .ok_or_else(|| NotificationError::unreadable("a refund without a sound amount"))?;
    if [&told.transaction_id, &told.out_refund_no, &told.refund_id].iter().any(|it| it.is_empty()) {
        return Err(NotificationError::unreadable("a refund without its numbers"));
    }
    Ok(Notification::Refund(RefundNotification {
        channel_no: number(&told.out_trade_no)?,
        transaction_id: TransactionId(told.transaction_id.into()),
        out_refund_no: Some(told.out_refund_no),
        refund_id: Some(told.refund_id),
        state,
        refund_fee: RefundFee::This(refund_fee),
        refunded_at: told.success_time.as_deref().and_then(Millis::from_rfc3339),
        trade: None,
        message: Arc::new(message),
    }))
}

fn number(text: &str) -> Result<ChannelNo, NotificationError> {
    let number = OutTradeNo::parse(text).map(|it| ChannelNo::first(&it));
    number.ok_or_else(|| NotificationError::unreadable("a number that no order here can have"))
}

fn another_merchants() -> NotificationError {
    NotificationError::forged("it is another merchant's")
}
