//! Verifies and parses notifications, which are signed forms (Alipay open platform, "asynchronous
//! notification").

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode;
use serde_json::Value;

use super::{AlipayApp, AlipayMerchant, AlipayVerification, refund};
use crate::domain::charset;
use crate::domain::ids::{ChannelNo, OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;
use crate::provider::PaidTrade;
use crate::provider::keys::VerifyingKey;
use crate::provider::notification::{
    Notification, NotificationError, RefundFee, RefundNotification,
};
use crate::provider::text::{CODE_CHARS_MAX, printable_text};

/// Verifies and parses a notification to `merchant`.
///
/// # Errors
///
/// [`NotificationError::Forged`] for a form that Alipay did not sign for one of the merchant's
/// apps, [`NotificationError::Unreadable`] for one that lacks a documented part.
pub(super) fn parse_notification(
    body: &[u8],
    merchant: &AlipayMerchant,
) -> Result<Notification, NotificationError> {
    let form = NotificationForm::parse(body).map_err(NotificationError::forged)?;
    form.verify(merchant).map_err(NotificationError::forged)?;
    let Some(status) = form.text("trade_status") else {
        let event = form.text("notify_type").unwrap_or("no trade_status");
        return Ok(Notification::Other { event: printable_text(event, CODE_CHARS_MAX) });
    };
    match status {
        // Both mean paid: a finished trade can no longer be refunded.
        "TRADE_SUCCESS" | "TRADE_FINISHED" | "TRADE_CLOSED" if form.is_refund() => {
            form.parse_refund().map(Notification::Refund)
        }
        "TRADE_SUCCESS" | "TRADE_FINISHED" => {
            Ok(Notification::Payment { channel_no: form.channel_no()?, trade: form.parse_paid()? })
        }
        _ => Ok(Notification::Other { event: printable_text(status, CODE_CHARS_MAX) }),
    }
}

/// The form's parameters, unescaped once.
struct NotificationForm {
    /// What Alipay signed: bytes, in the characters that `charset` names.
    signed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The same as texts.
    texts: BTreeMap<String, String>,
}

impl NotificationForm {
    fn parse(body: &[u8]) -> Result<NotificationForm, &'static str> {
        let mut signed = BTreeMap::new();
        for part in body.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
            let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            let (name, value) = part.split_at(at);
            let (name, value) = (unescaped(name), unescaped(value.get(1..).unwrap_or_default()));
            if signed.insert(name, value).is_some() {
                return Err("it has a parameter twice");
            }
        }
        let charset = signed.get(&b"charset"[..]).map_or(&b""[..], Vec::as_slice);
        let encoding = match charset {
            b"" => None,
            name => Some(
                std::str::from_utf8(name)
                    .ok()
                    .and_then(charset::named)
                    .ok_or("it names a charset that paygate does not know")?,
            ),
        };
        let text = |bytes: &Vec<u8>| match encoding {
            Some(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            None => charset::decode(bytes).into_owned(),
        };
        let texts: BTreeMap<String, String> =
            signed.iter().map(|(name, value)| (text(name), text(value))).collect();
        // Two names that differ in bytes only would hide one of the two.
        match texts.len() == signed.len() {
            true => Ok(NotificationForm { signed, texts }),
            false => Err("it has a parameter twice"),
        }
    }

    /// A parameter that is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whether Alipay signed the form for one of the merchant's apps, and for its seller.
    fn verify(&self, merchant: &AlipayMerchant) -> Result<(), &'static str> {
        if self.text("sign_type") != Some("RSA2") {
            return Err("it is not signed by RSA2");
        }
        let sign = self.text("sign").ok_or("it is not signed")?;
        let app_id = self.text("app_id").ok_or("it names no app")?;
        let mut why = "it is another app's";
        for app in merchant.apps.values().filter(|app| app.app_id == app_id) {
            match self.verify_by(app, sign) {
                Ok(()) => return Ok(()),
                Err(it) => why = it,
            }
        }
        Err(why)
    }

    fn verify_by(&self, app: &AlipayApp, sign: &str) -> Result<(), &'static str> {
        let key = match &app.verification {
            AlipayVerification::PublicKey(key) => key,
            AlipayVerification::Certificates { alipay_cert_sn, key, .. } => {
                if self.text("alipay_cert_sn").is_some_and(|named| named != alipay_cert_sn) {
                    return Err("it names another alipay_cert_sn: Alipay's certificate was \
                                reissued, download it");
                }
                key
            }
        };
        if !self.is_signed(key, sign) {
            return Err("the signature is not that of the configured Alipay key");
        }
        // An order on behalf of another merchant has that merchant's seller.
        let is_own = self.text("auth_app_id").is_none_or(|named| named == app.app_id);
        match self.text("seller_id").zip(app.seller_id.as_deref()) {
            Some((named, ours)) if is_own && named != ours => Err("it is another seller's"),
            _ => Ok(()),
        }
    }

    /// Whether `key` signed everything but `sign` and `sign_type`. Alipay's pages disagree about
    /// empty parameters ("verifying an asynchronous notification" signs them, "signing by
    /// yourself" leaves them out): we treat them as absent, so we accept both signatures.
    fn is_signed(&self, key: &VerifyingKey, sign: &str) -> bool {
        let has_empty = self.signed.values().any(Vec::is_empty);
        key.verifies(&self.content(|_| true), sign)
            || has_empty && key.verifies(&self.content(|value| !value.is_empty()), sign)
    }

    /// The bytes that Alipay signed: all parameters but the signature.
    fn content(&self, takes: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let signed = self.signed.iter().filter(|(name, value)| {
            !matches!(name.as_slice(), b"sign" | b"sign_type") && takes(value)
        });
        let pairs: Vec<Vec<u8>> =
            signed.map(|(name, value)| [name, &b"="[..], value].concat()).collect();
        pairs.join(&b'&')
    }

    /// The parameters that Alipay signed, as texts.
    fn signed_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let parameters = self.texts.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        parameters.filter(|(name, _)| !matches!(*name, "sign" | "sign_type"))
    }

    /// Whether it reports a refund. A payment may carry `refund_fee=0.00`, and `out_biz_no` is
    /// mostly, not always, a refund's. A closed trade that was paid is refunded in full
    /// (alipay.trade.query, trade_status).
    fn is_refund(&self) -> bool {
        let refunded = self.text("refund_fee").and_then(Fen::from_yuan);
        let is_closed = self.text("trade_status") == Some("TRADE_CLOSED");
        let was_paid = ["gmt_payment", "out_biz_no"].iter().any(|name| self.text(name).is_some());
        refunded.is_some_and(|fee| fee.fen() > 0)
            || self.text("gmt_refund").is_some()
            || is_closed && was_paid
    }

    fn channel_no(&self) -> Result<ChannelNo, NotificationError> {
        let number = self.text("out_trade_no").and_then(OutTradeNo::parse);
        let number = number.map(|number| ChannelNo::first(&number));
        number.ok_or_else(|| NotificationError::unreadable("a number that no order here can have"))
    }

    fn transaction_id(&self) -> Result<TransactionId, NotificationError> {
        let trade_no = self.text("trade_no").map(|trade_no| TransactionId(trade_no.into()));
        trade_no.ok_or_else(|| NotificationError::unreadable("a payment without trade_no"))
    }

    fn parse_paid(&self) -> Result<PaidTrade, NotificationError> {
        let total_fee = self.text("total_amount").and_then(Fen::from_yuan);
        Ok(PaidTrade {
            transaction_id: self.transaction_id()?,
            total_fee: total_fee.ok_or_else(|| {
                NotificationError::unreadable("a payment without a readable total_amount")
            })?,
            matches_order: true,
            refunded: false,
            paid_at: self.text("gmt_payment").and_then(Millis::from_alipay),
            openid: self.text("buyer_open_id").or(self.text("buyer_id")).map(str::to_owned),
            message: self.message(),
        })
    }

    /// `refund_fee` is the total of the trade's refunds so far; `out_biz_no` is the refund's
    /// `out_request_no` (alipay.trade.refund, asynchronous notification).
    fn parse_refund(&self) -> Result<RefundNotification, NotificationError> {
        let trade = self.parse_paid()?;
        let refunded = self.text("refund_fee").and_then(Fen::from_yuan);
        Ok(RefundNotification {
            channel_no: self.channel_no()?,
            transaction_id: trade.transaction_id.clone(),
            out_refund_no: self.text("out_biz_no").map(str::to_owned),
            refund_id: None,
            state: RefundState::Success,
            refund_fee: match refunded {
                Some(all) if all.fen() > 0 => RefundFee::Total(all),
                _ => RefundFee::Unknown,
            },
            refunded_at: self.text("gmt_refund").and_then(refund::parse_time),
            message: trade.message.clone(),
            trade: Some(trade),
        })
    }

    fn message(&self) -> Arc<Value> {
        let members =
            self.signed_fields().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Arc::new(members.collect())
    }
}

/// The bytes of an escaped text, `+` for a space: unescaped once.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> =
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}
