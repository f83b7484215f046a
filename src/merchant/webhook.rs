//! Sends events to the shop's endpoint, signed by the Standard Webhooks convention.
//!
//! The shop identifies an event by its `webhook-id`, which is the same in every delivery, and
//! verifies its `webhook-signature` over id, time and the raw bytes of the body:
//!
//! ```
//! use paygate::Webhook;
//!
//! let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
//! let webhook = Webhook::new("https://shop.example.com/events/{type}", secret)?;
//! assert!(Webhook::new("https://{type}.example.com/", secret).is_err(), "a type is no host");
//! # let _ = webhook;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use url::Url;

use super::client::{MerchantHttp, MerchantResponse, check_service_url};
use crate::domain::charset;
use crate::domain::event::OutboxEvent;
use crate::domain::json::{Unreadable, Whole, scan};
use crate::domain::time::Millis;
use crate::engine::Deliver;
use crate::error::debug_like_display;
use crate::provider::BoxFuture;

/// The shop's endpoint for events.
pub struct Webhook {
    client: MerchantHttp,
    /// The URL, in which `{type}` stands for the order's type.
    address: String,
    /// The signing key, and during a rotation of the secret another one.
    keys: Vec<hmac::Key>,
}

impl Webhook {
    /// An endpoint at `url`, in whose path or query `{type}` is replaced by the order's type.
    /// Events are signed with `secret`: `whsec_` and the base64 of 24 to 64 bytes. During a
    /// rotation it is two of them with a comma between, and every event has both signatures.
    ///
    /// # Errors
    ///
    /// `WebhookUrlError` for an invalid URL or secret.
    pub fn new(url: &str, secret: &str) -> Result<Webhook, WebhookUrlError> {
        Webhook::with_signing_keys(url, &signing_keys(secret)?)
    }

    pub(crate) fn with_signing_keys(
        url: &str,
        keys: &[Vec<u8>],
    ) -> Result<Webhook, WebhookUrlError> {
        let one = check_url(url)?;
        let client = MerchantHttp::new(&one, TIMEOUT)
            .map_err(|_| WebhookUrlError("is https, and the system has no root certificates"))?;
        let keys = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect();
        Ok(Webhook { client, address: url.to_owned(), keys })
    }

    async fn send(&self, event: &OutboxEvent, now: Millis) -> Result<(), String> {
        let url = endpoint_url(&self.address, &event.kind).map_err(|error| error.to_string())?;
        let headers = self.headers(event, now).ok_or("the event's id is no header")?;
        let body = event.body.clone().into();
        let answer =
            self.client.post(&url, headers, body).await.map_err(|error| error.to_string())?;
        check_accepted(&answer)
    }

    /// Standard Webhooks, "Webhook headers".
    fn headers(&self, event: &OutboxEvent, now: Millis) -> Option<HeaderMap> {
        let id = event.id.as_str();
        let timestamp = now.seconds();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ID, HeaderValue::from_str(id).ok()?);
        headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
        let before = format!("{id}.{timestamp}.");
        let signatures: Vec<_> =
            self.keys.iter().map(|key| sign(key, &before, event.body.as_bytes())).collect();
        headers.insert(SIGNATURE, HeaderValue::from_str(&signatures.join(" ")).ok()?);
        Some(headers)
    }
}

impl Deliver for Webhook {
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        now: Millis,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.send(event, now))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a secret, too.
        f.write_str("Webhook(***)")
    }
}

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The longest that the shop may take to answer: it should store the event and process it later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The keys of a secret, or of two with a comma between (Standard Webhooks, "Signature scheme"; its
/// libraries take no other form).
///
/// # Errors
///
/// [`WebhookUrlError`] with how to make a secret.
pub(crate) fn signing_keys(secrets: &str) -> Result<Vec<Vec<u8>>, WebhookUrlError> {
    let keys: Vec<_> =
        secrets.split(',').map(|secret| signing_key(secret.trim())).collect::<Result<_, _>>()?;
    if keys.len() > SECRETS_MAX {
        Err(WebhookUrlError("holds more than two secrets"))
    } else {
        Ok(keys)
    }
}

fn signing_key(secret: &str) -> Result<Vec<u8>, WebhookUrlError> {
    let text = secret.strip_prefix("whsec_").ok_or(WebhookUrlError(
        "does not start with whsec_: `echo whsec_$(openssl rand -base64 32)` makes a secret",
    ))?;
    let key = STANDARD.decode(text).map_err(|_| {
        WebhookUrlError(
            "is not base64 after whsec_: `echo whsec_$(openssl rand -base64 32)` makes a secret",
        )
    })?;
    match KEY_BYTES.contains(&key.len()) {
        true => Ok(key),
        false => Err(WebhookUrlError(
            "does not hold 24 to 64 bytes: `echo whsec_$(openssl rand -base64 32)` makes a secret",
        )),
    }
}

/// How long a key is (Standard Webhooks, "Signature scheme").
const KEY_BYTES: RangeInclusive<usize> = 24..=64;

/// An old secret and a new one, during a rotation.
const SECRETS_MAX: usize = 2;

/// `HMAC-SHA256` over `id.timestamp.body`.
fn sign(key: &hmac::Key, before: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(before.as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

/// Checks a webhook's URL: it may lead anywhere but to a cloud's metadata service, and `{type}`,
/// the caller's text, may select a path and never a host. Returns the URL of one type.
///
/// # Errors
///
/// [`WebhookUrlError`], in words that follow the setting's name.
pub(crate) fn check_url(address: &str) -> Result<Url, WebhookUrlError> {
    let [one, other] = ["a", "b"].map(|kind| endpoint_url(address, kind));
    let (one, other) = (one?, other?);
    let credentials = |url: &Url| (url.username().to_owned(), url.password().map(str::to_owned));
    if one.origin() != other.origin() || credentials(&one) != credentials(&other) {
        return Err(WebhookUrlError("has {type} before its path"));
    }
    Ok(one)
}

/// The endpoint for orders of type `kind`: letters, digits, `_` and `-`, which stand for
/// themselves in a URL.
fn endpoint_url(address: &str, kind: &str) -> Result<Url, WebhookUrlError> {
    let is_plain = kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let url = Url::parse(&address.replace("{type}", kind)).ok().filter(|_| is_plain);
    let url = url.ok_or(WebhookUrlError("is not a URL"))?;
    check_service_url(&url).map_err(WebhookUrlError)?;
    Ok(url)
}

/// Checks that the shop accepted the event: by the response's status and, in a JSON response with a
/// `code`, as vk-uni-pay's services send, by the code.
fn check_accepted(answer: &MerchantResponse) -> Result<(), String> {
    let status = answer.status;
    if !(200..300).contains(&status) {
        return Err(format!("the shop answered {status}"));
    }
    // Many editors write a byte order mark in front of JSON, and some shops answer in GBK.
    match scan(charset::decode(&answer.body).as_bytes()) {
        Ok(json) => match json.member("code") {
            Some(code) if code.whole() != Some(Whole::Exact(0)) => {
                Err(format!("the shop answered {status} and a code that is not 0"))
            }
            _ => Ok(()),
        },
        // No JSON, so no code.
        Err(Unreadable::Syntax | Unreadable::NotUtf8) => Ok(()),
        Err(why) => Err(format!("the shop answered {status} and JSON with a fault: {why}")),
    }
}

/// The error of a webhook's URL or secret, fit for a log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WebhookUrlError(&'static str);

impl fmt::Display for WebhookUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

debug_like_display!(WebhookUrlError);

impl std::error::Error for WebhookUrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_own_example_is_signed() {
        // Standard Webhooks, the reference libraries' example.
        let key = signing_key(SECRET).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let before = "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.";
        let signature = sign(&key, before, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_whsec_and_the_base64_of_24_to_64_bytes() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode("k".repeat(bytes)));
        for bytes in [24, 32, 64] {
            assert_eq!(signing_keys(&secret(bytes)).unwrap(), [vec![b'k'; bytes]]);
        }
        let bare = STANDARD.encode("k".repeat(32));
        for bad in ["", "whsec_", "whsec_!!!!", &secret(23), &secret(65), &bare, &"a".repeat(64)] {
            let refused = signing_keys(bad).unwrap_err().to_string();
            assert!(refused.contains("openssl rand"), "{bad}: {refused}");
        }
    }

    #[test]
    fn during_a_rotation_there_are_two_secrets_and_no_third() {
        let [old, new] = ["a", "b"].map(|key| format!("whsec_{}", STANDARD.encode(key.repeat(32))));
        assert_eq!(
            signing_keys(&format!("{new}, {old}")).unwrap(),
            [vec![b'b'; 32], vec![b'a'; 32]]
        );
        assert!(signing_keys(&format!("{new},{old},{old}")).is_err());
        assert!(signing_keys(&format!("{new},")).is_err());
    }

    #[test]
    fn the_type_stands_in_path_or_query_and_nowhere_before() {
        for good in ["http://shop/{type}", "https://shop/a?t={type}", "http://u:p@shop/{type}/x"] {
            assert!(Webhook::new(good, SECRET).is_ok(), "{good}");
            assert!(endpoint_url(good, "../x").is_err(), "a type is plain");
        }
        let url = endpoint_url("http://shop/{type}?again={type}", "goods-1_A").unwrap();
        assert_eq!(url.as_str(), "http://shop/goods-1_A?again=goods-1_A");
        let hosts = ["http://{type}/", "http://{type}@shop/", "http://x:{type}/"];
        for bad in hosts.into_iter().chain(["ftp://shop/", "shop", "http://shop/#x", METADATA]) {
            assert!(Webhook::new(bad, SECRET).is_err(), "{bad}");
        }
    }

    /// The reference libraries' example.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// Where a cloud gives out a machine's credentials.
    const METADATA: &str = "http://169.254.169.254/{type}";

    #[test]
    fn an_event_is_accepted_by_status_and_code() {
        let takes = |status, body: &str| {
            check_accepted(&MerchantResponse { status, body: body.to_owned().into() }).is_ok()
        };
        for yes in ["", "ok", r#"{"code":0}"#, r#"{"code":0.0,"msg":""}"#, "{}", "[]", "1"] {
            assert!(takes(200, yes) && takes(204, yes), "{yes}");
            for status in [100, 199, 300, 302, 400, 500] {
                assert!(!takes(status, yes), "{status} {yes}");
            }
        }
        let in_gbk = |body| encoding_rs::GBK.encode(body).0.into_owned();
        let in_utf16: Vec<u8> =
            "\u{feff}{\"code\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let takes_bytes = |body: Vec<u8>| {
            check_accepted(&MerchantResponse { status: 200, body: body.into() }).is_ok()
        };
        assert!(!takes_bytes(in_gbk(r#"{"msg":"库存不足","code":1}"#)), "a refusal in GBK");
        assert!(takes_bytes(in_gbk(r#"{"msg":"成功","code":0}"#)));
        assert!(!takes_bytes(in_utf16), "a refusal in UTF-16");
        for out_trade_no in [
            r#"{"code":1}"#,
            r#"{"code":"0"}"#,
            r#"{"code":null}"#,
            r#"{"code":-0.5}"#,
            "\u{feff}{\"code\":500}",
            r#"{"code":1,"code":0}"#,
        ] {
            assert!(!takes(200, out_trade_no), "{out_trade_no}");
        }
    }
}
