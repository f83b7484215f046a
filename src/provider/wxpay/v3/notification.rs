//! Parses notifications of payments and refunds whose signature was verified.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::refund::parse_state;
use super::trade::{OrderOwner, Transaction};
use crate::domain::ids::{ChannelNo, OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::time::Millis;
use crate::provider::notification::{
    Notification, NotificationError, RefundFee, RefundNotification,
};
use crate::provider::text::{CODE_CHARS_MAX, printable_text};
use crate::provider::wxpay::WxpayAccount;
use crate::provider::wxpay::decrypt::EncryptedResource;

/// Decrypts and parses a notification for the one of `accounts` that it is encrypted for (WeChat
/// Pay V3, payment notification; refund result notification).
///
/// # Errors
///
/// [`NotificationError::Forged`] when it is another merchant's, [`NotificationError::Unreadable`]
/// when it lacks a documented part, or no account's APIv3 key opens it.
pub(super) fn parse_notification<'a>(
    body: &[u8],
    accounts: impl Iterator<Item = &'a WxpayAccount>,
) -> Result<Notification, NotificationError> {
    let envelope: NotificationEnvelope = serde_json::from_slice(body)
        .map_err(|_| NotificationError::unreadable("a signed body that is no notification"))?;
    let event = envelope.event_type;
    let is_refund = event.starts_with("REFUND.");
    if !is_refund && event != "TRANSACTION.SUCCESS" {
        return Ok(Notification::Other { event: printable_text(&event, CODE_CHARS_MAX) });
    }
    let resource = EncryptedResource::deserialize(envelope.resource)
        .map_err(|_| NotificationError::unreadable("it holds no sealed resource"))?;
    let (account, text) = decrypt(&resource, accounts)?;
    let message: Value = serde_json::from_slice(&text)
        .map_err(|_| NotificationError::unreadable("its resource is no JSON"))?;
    if is_refund { parse_refund(account, message) } else { parse_payment(account, message) }
}

#[derive(Deserialize)]
struct NotificationEnvelope {
    event_type: String,
    /// Other events may hold anything.
    #[serde(default)]
    resource: Value,
}

/// The plaintext, and the account whose APIv3 key decrypted it. Accounts may share WeChat Pay's
/// public key, never the APIv3 key.
fn decrypt<'a>(
    resource: &EncryptedResource,
    accounts: impl Iterator<Item = &'a WxpayAccount>,
) -> Result<(&'a WxpayAccount, Vec<u8>), NotificationError> {
    let mut why = None;
    for account in accounts {
        match resource.decrypt(&account.api_v3_key) {
            Ok(text) => return Ok((account, text)),
            Err(error) => why = Some(error),
        }
    }
    // WeChat Pay signed it: most likely the configured APIv3 key is not the merchant's.
    let why = why.map_or_else(String::new, |error| error.to_string());
    Err(NotificationError::unreadable(format!("its resource {why}")))
}

fn parse_payment(
    account: &WxpayAccount,
    message: Value,
) -> Result<Notification, NotificationError> {
    let transaction = Transaction::deserialize(&message)
        .map_err(|_| NotificationError::unreadable("its resource is no order"))?;
    if transaction.owner.mch_id() != Some(&account.mch_id) {
        return Err(another_merchants());
    }
    if !transaction.is_paid() {
        return Err(NotificationError::unreadable("the payment of an order that is not paid"));
    }
    let channel_no = parse_number(&transaction.owner.out_trade_no)?;
    let other_currency =
        transaction.other_currency().map(|currency| printable_text(currency, CODE_CHARS_MAX));
    let trade = transaction.into_paid(message).map_err(NotificationError::unreadable)?;
    Ok(match other_currency {
        None => Notification::Payment { channel_no, trade },
        Some(currency) => Notification::OtherCurrencyPayment { channel_no, trade, currency },
    })
}

/// A refund's result: `refund_status`, where the API's responses have `status` (WeChat Pay V3,
/// refund result notification).
#[derive(Deserialize)]
struct RefundResource {
    #[serde(flatten)]
    owner: OrderOwner,
    transaction_id: String,
    out_refund_no: String,
    refund_id: String,
    refund_status: String,
    success_time: Option<String>,
    amount: RefundResourceAmount,
}

#[derive(Deserialize)]
struct RefundResourceAmount {
    refund: u64,
}

fn parse_refund(account: &WxpayAccount, message: Value) -> Result<Notification, NotificationError> {
    let refund = RefundResource::deserialize(&message)
        .map_err(|_| NotificationError::unreadable("its resource is no refund"))?;
    if refund.owner.mch_id() != Some(&account.mch_id) {
        return Err(another_merchants());
    }
    let state = parse_state(&refund.refund_status).ok_or_else(|| {
        NotificationError::unreadable("a refund in a state that is not documented")
    })?;
    let refund_fee = Fen::new(refund.amount.refund)
        .ok_or_else(|| NotificationError::unreadable("a refund without a sound amount"))?;
    if [&refund.transaction_id, &refund.out_refund_no, &refund.refund_id]
        .iter()
        .any(|text| text.is_empty())
    {
        return Err(NotificationError::unreadable("a refund without its numbers"));
    }
    Ok(Notification::Refund(RefundNotification {
        channel_no: parse_number(&refund.owner.out_trade_no)?,
        transaction_id: TransactionId(refund.transaction_id.into()),
        out_refund_no: Some(refund.out_refund_no),
        refund_id: Some(refund.refund_id),
        state,
        refund_fee: RefundFee::This(refund_fee),
        refunded_at: refund.success_time.as_deref().and_then(Millis::from_rfc3339),
        trade: None,
        message: Arc::new(message),
    }))
}

fn parse_number(text: &str) -> Result<ChannelNo, NotificationError> {
    let number = OutTradeNo::parse(text).map(|number| ChannelNo::first(&number));
    number.ok_or_else(|| NotificationError::unreadable("a number that no order here can have"))
}

fn another_merchants() -> NotificationError {
    NotificationError::forged("it is another merchant's")
}
