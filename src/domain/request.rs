//! A `createPayment` request after validation, and the order's terms, which never change.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::caller::ClientClaims;
use super::channel::ProviderId;
use super::ids::{OutTradeNo, Pid};
use super::json::RawJson;
use super::money::Fen;
use super::time::Millis;

/// A validated `createPayment` request.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRequest {
    /// The provider that the buyer pays through.
    pub provider: ProviderId,
    /// Whether the buyer uses a PC, if the client states it.
    pub is_pc: Option<bool>,
    /// Whether the client wants a QR code on any platform.
    pub need_qrcode: NeedQrcode,
    /// The order's terms: the same in every request with this number.
    pub terms: OrderTerms,
    /// The buyer at the provider.
    pub openid: Option<String>,
    /// `data.time_expire`: the order's deadline.
    pub time_expire: Option<Millis>,
    /// `data.nickname`, kept for the shop.
    pub nickname: Option<String>,
    /// `data.return_url`: where Alipay's pages send the buyer after the payment.
    pub return_url: Option<String>,
    /// The client's claims about itself.
    pub claims: ClientClaims,
    /// The shop's signed price (`PAYGATE_PRICING=quote`).
    pub quote: Option<String>,
}

/// `needQRcode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NeedQrcode {
    /// A QR code only where the platform needs one.
    #[default]
    No,
    /// A QR code's URL.
    Yes,
    /// A QR code's URL, and its picture.
    Image,
}

/// The terms of an order, which the first request with its number fixes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderTerms {
    /// `data.out_trade_no`.
    pub out_trade_no: OutTradeNo,
    /// `data.total_fee`, in fen.
    pub total_fee: Fen,
    /// `data.subject`.
    pub subject: String,
    /// `data.body`: the description that the buyer sees, if given.
    pub body: Option<String>,
    /// `data.type`: the shop's kind of order.
    #[serde(rename = "type")]
    pub kind: String,
    /// `data.pid`, or the default merchant.
    pub pid: Pid,
    /// `data.user_id`.
    pub user_id: Option<String>,
    /// `data.custom`: for the webhook, never for a provider.
    pub custom: Option<RawJson>,
    /// `data.other`: verbatim for the provider.
    pub other: Option<RawJson>,
    /// `data.sub_appid` (WeChat Pay partners).
    pub sub_appid: Option<String>,
    /// `data.sub_mchid` (WeChat Pay partners).
    pub sub_mchid: Option<String>,
    /// `data.app_auth_token` (Alipay service providers): a secret.
    pub app_auth_token: Option<AppAuthToken>,
    /// `data.profit_sharing` (WeChat Pay).
    pub profit_sharing: Option<bool>,
}

impl OrderTerms {
    /// The description that the buyer sees: `body` if given, else `subject`.
    #[must_use]
    pub fn description(&self) -> &str {
        self.body.as_deref().unwrap_or(&self.subject)
    }

    /// The fingerprint of these terms, by the current version.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let text = |field: &Option<String>| field.as_ref().map(|text| text.as_bytes().to_vec());
        let json = |field: &Option<RawJson>| field.as_ref().map(RawJson::canonical);
        let values = [
            Some(self.total_fee.fen().to_string().into_bytes()),
            Some(self.subject.as_bytes().to_vec()),
            text(&self.body),
            Some(self.kind.as_bytes().to_vec()),
            json(&self.custom),
            text(&self.user_id),
            Some(self.pid.as_str().as_bytes().to_vec()),
            json(&self.other),
            text(&self.sub_appid),
            text(&self.sub_mchid),
            self.app_auth_token.as_ref().map(|token| token.0.as_bytes().to_vec()),
            self.profit_sharing.map(|flag| vec![u8::from(flag)]),
        ];
        Fingerprint(values.map(|value| value.map(|bytes| digest(&bytes))))
    }
}

/// The names of the compared fields, in the order of [`Fingerprint`]'s digests. Version 1: a
/// stored order is compared by the version it was stored with.
const FIELDS_V1: [&str; 12] = [
    "total_fee",
    "subject",
    "body",
    "type",
    "custom",
    "user_id",
    "pid",
    "other",
    "sub_appid",
    "sub_mchid",
    "app_auth_token",
    "profit_sharing",
];

/// Digests of an order's terms: they name the fields that differ, and reveal no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BTreeMap<String, String>", try_from = "BTreeMap<String, String>")]
pub struct Fingerprint([Option<[u8; 16]>; FIELDS_V1.len()]);

impl Fingerprint {
    /// The fields that differ, by their names in `data`.
    #[must_use]
    pub fn differences(&self, other: &Fingerprint) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&other.0).zip(FIELDS_V1);
        pairs.filter(|((a, b), _)| a != b).map(|(_, name)| name).collect()
    }
}

impl From<Fingerprint> for BTreeMap<String, String> {
    fn from(fingerprint: Fingerprint) -> Self {
        let hex = |digest: [u8; 16]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let fields = fingerprint.0.into_iter().zip(FIELDS_V1);
        let digests =
            fields.filter_map(|(digest, name)| digest.map(|digest| (name.to_owned(), hex(digest))));
        digests.chain([("v".to_owned(), "1".to_owned())]).collect()
    }
}

impl TryFrom<BTreeMap<String, String>> for Fingerprint {
    type Error = String;

    fn try_from(mut fields: BTreeMap<String, String>) -> Result<Self, String> {
        if fields.remove("v").as_deref() != Some("1") {
            return Err("a fingerprint of an unknown version".to_owned());
        }
        let mut digests = [None; FIELDS_V1.len()];
        for (digest, name) in digests.iter_mut().zip(FIELDS_V1) {
            if let Some(hex) = fields.remove(name) {
                let bytes = u128::from_str_radix(&hex, 16).map_err(|_| "an invalid digest")?;
                *digest = Some(bytes.to_be_bytes());
            }
        }
        fields.is_empty().then_some(Fingerprint(digests)).ok_or_else(|| "unknown field".to_owned())
    }
}

/// Half of a SHA-256: 128 bits are far beyond an accident, and a client gains nothing by a
/// collision of its own.
fn digest(bytes: &[u8]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// `app_auth_token`: lets its bearer act for another Alipay merchant, so it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppAuthToken(pub String);

impl fmt::Debug for AppAuthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The highest size limit of a payment request's body. Reading one is linear, and one of this size
/// holds its thread for some milliseconds.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(subject: &str) -> OrderTerms {
        OrderTerms {
            out_trade_no: OutTradeNo::parse("order-1").unwrap(),
            total_fee: Fen::new(100).unwrap(),
            subject: subject.to_owned(),
            body: None,
            kind: "goods".to_owned(),
            pid: Pid::default(),
            user_id: None,
            custom: RawJson::parse(r#"{"b": 1.0, "a": "\u0061"}"#).ok(),
            other: None,
            sub_appid: None,
            sub_mchid: None,
            app_auth_token: None,
            profit_sharing: None,
        }
    }

    /// The fingerprint that version 1 of the record stored: such orders are still compared by it.
    const STORED: &str = concat!(
        r#"{"custom":"175f34ad978d528f53407e58fab27e7d","#,
        r#""pid":"37a8eec1ce19687d132fe29051dca629","#,
        r#""subject":"a9f74d1ec36ebdeb2da3f6e5868090cd","#,
        r#""total_fee":"ad57366865126e55649ecb23ae1d4888","#,
        r#""type":"089857f9c407941715faed7f7321a553","v":"1"}"#,
    );

    #[test]
    fn orders_that_an_earlier_version_stored_are_compared_as_it_stored_them() {
        let stored = serde_json::to_string(&terms("tea").fingerprint()).unwrap();
        assert_eq!(stored, STORED);
        let read: Fingerprint = serde_json::from_str(STORED).unwrap();
        assert_eq!(read.differences(&terms("tea").fingerprint()), [""; 0]);
        assert_eq!(read.differences(&terms("coffee").fingerprint()), ["subject"]);
    }

    #[test]
    fn a_fingerprint_of_a_later_version_is_not_read_as_this_ones() {
        let later = STORED.replace(r#""v":"1""#, r#""v":"2""#);
        assert!(serde_json::from_str::<Fingerprint>(&later).is_err());
    }
}
