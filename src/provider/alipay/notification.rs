//! Notifications: a signed form (Alipay open platform, "asynchronous notification").

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{App, Merchant, Verification, refund};
use crate::domain::ids::{ChannelNo, OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;
use crate::provider::keys::VerifyingKey;
use crate::provider::notification::{
    Notification, NotificationError, RefundFee, RefundNotification,
};
use crate::provider::{CODE_CHARS_MAX, PaidTrade, tidied};

/// What a notification tells `merchant`.
///
/// # Errors
///
/// [`NotificationError::Forged`] for all that Alipay did not sign for one of the merchant's apps.
pub(super) fn read(body: &[u8], merchant: &Merchant) -> Result<Notification, NotificationError> {
    let form = Form::read(body).map_err(NotificationError::forged)?;
    form.verify(merchant).map_err(NotificationError::forged)?;
    let Some(status) = form.text("trade_status") else {
        let event = form.text("notify_type").unwrap_or("no trade_status");
        return Ok(Notification::Other { event: tidied(event, CODE_CHARS_MAX) });
    };
    match status {
        // Both mean paid: a finished trade can no longer be refunded.
        "TRADE_SUCCESS" | "TRADE_FINISHED" | "TRADE_CLOSED" if form.tells_of_a_refund() => {
            form.refund().map(Notification::Refund)
        }
        "TRADE_SUCCESS" | "TRADE_FINISHED" => {
            Ok(Notification::Payment { channel_no: form.number()?, trade: form.paid()? })
        }
        _ => Ok(Notification::Other { event: tidied(status, CODE_CHARS_MAX) }),
    }
}

/// The parameters, decoded once.
struct Form(BTreeMap<String, String>);

impl Form {
    fn read(body: &[u8]) -> Result<Form, &'static str> {
        let text = std::str::from_utf8(body).map_err(|_| NOT_UTF8)?;
        let mut parameters = BTreeMap::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if parameters.insert(name, value).is_some() {
                return Err("it has a parameter twice");
            }
        }
        Ok(Form(parameters))
    }

    /// A parameter that is not empty.
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whether Alipay signed this for one of the merchant's apps, and for its seller.
    fn verify(&self, merchant: &Merchant) -> Result<(), &'static str> {
        if self.text("sign_type") != Some("RSA2") {
            return Err("it is not signed by RSA2");
        }
        if self.text("charset").is_some_and(|it| !it.eq_ignore_ascii_case("utf-8")) {
            return Err(NOT_UTF8);
        }
        let sign = self.text("sign").ok_or("it is not signed")?;
        let app_id = self.text("app_id").ok_or("it names no app")?;
        let mut why = "it is another app's";
        for app in merchant.apps.values().filter(|it| it.app_id == app_id) {
            match self.verify_by(app, sign) {
                Ok(()) => return Ok(()),
                Err(it) => why = it,
            }
        }
        Err(why)
    }

    fn verify_by(&self, app: &App, sign: &str) -> Result<(), &'static str> {
        let key = match &app.verification {
            Verification::PublicKey(key) => key,
            Verification::Certificates { alipay_cert_sn, key, .. } => {
                if self.text("alipay_cert_sn").is_some_and(|told| told != alipay_cert_sn) {
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
        let is_own = self.text("auth_app_id").is_none_or(|it| it == app.app_id);
        let told = self.text("seller_id").zip(app.seller_id.as_deref());
        match told {
            Some((told, ours)) if is_own && told != ours => Err("it is another seller's"),
            _ => Ok(()),
        }
    }

    /// The signature is over everything but `sign` and `sign_type`. Alipay's pages disagree about
    /// parameters that are empty ("verifying an asynchronous notification" takes all that came,
    /// "signing by yourself" leaves them out): here they mean the same as absent ones, so both
    /// are accepted.
    fn is_signed(&self, key: &VerifyingKey, sign: &str) -> bool {
        let has_empty = self.0.values().any(String::is_empty);
        key.verifies(self.content(|_| true).as_bytes(), sign)
            || has_empty && key.verifies(self.content(|value| !value.is_empty()).as_bytes(), sign)
    }

    fn content(&self, takes: impl Fn(&str) -> bool) -> String {
        let pairs = self.told().filter(|(_, value)| takes(value));
        let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }

    /// What Alipay says: everything but the signature.
    fn told(&self) -> impl Iterator<Item = (&str, &str)> {
        let parameters = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        parameters.filter(|(name, _)| !matches!(*name, "sign" | "sign_type"))
    }

    /// Payments may carry `refund_fee=0.00`, so that its presence tells nothing; `out_biz_no` is
    /// only mostly a refund's. A closed trade that was paid went back whole (alipay.trade.query,
    /// trade_status).
    fn tells_of_a_refund(&self) -> bool {
        let refunded = self.text("refund_fee").and_then(Fen::from_yuan);
        let is_closed = self.text("trade_status") == Some("TRADE_CLOSED");
        let was_paid = ["gmt_payment", "out_biz_no"].iter().any(|it| self.text(it).is_some());
        refunded.is_some_and(|it| it.fen() > 0)
            || self.text("gmt_refund").is_some()
            || is_closed && was_paid
    }

    fn number(&self) -> Result<ChannelNo, NotificationError> {
        let number = self.text("out_trade_no").and_then(OutTradeNo::parse);
        let number = number.map(|it| ChannelNo::first(&it));
        number.ok_or_else(|| NotificationError::unreadable("a number that no order here can have"))
    }

    fn transaction_id(&self) -> Result<TransactionId, NotificationError> {
        let trade_no = self.text("trade_no").map(|it| TransactionId(it.into()));
        trade_no.ok_or_else(|| NotificationError::unreadable("a payment without trade_no"))
    }

    fn paid(&self) -> Result<PaidTrade, NotificationError> {
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

    /// `refund_fee` is what went back so far in all; `out_biz_no` is the refund's
    /// `out_request_no` (alipay.trade.refund, asynchronous notification).
    fn refund(&self) -> Result<RefundNotification, NotificationError> {
        let trade = self.paid()?;
        let refunded = self.text("refund_fee").and_then(Fen::from_yuan);
        Ok(RefundNotification {
            channel_no: self.number()?,
            transaction_id: trade.transaction_id.clone(),
            out_refund_no: self.text("out_biz_no").map(str::to_owned),
            refund_id: None,
            state: RefundState::Success,
            refund_fee: match refunded {
                Some(all) if all.fen() > 0 => RefundFee::Total(all),
                _ => RefundFee::Unknown,
            },
            refunded_at: self.text("gmt_refund").and_then(refund::time),
            message: trade.message.clone(),
            trade: Some(trade),
        })
    }

    fn message(&self) -> Arc<Value> {
        let members = self.told().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Arc::new(members.collect())
    }
}

/// Decodes once: `+` is a space, and what it decodes to is not decoded again.
fn decoded(text: &str) -> Result<String, &'static str> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(String::from).map_err(|_| NOT_UTF8)
}

const NOT_UTF8: &str = "it is not in UTF-8";
