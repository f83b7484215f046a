//! The client's description of itself, in `x-client-info` or in the body.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use serde_json::Value;

use crate::domain::caller::ClientClaims;
use crate::domain::platform::Platform;

/// Reads uniCloud's client information in either casing: `PLATFORM` as the cloud function sees
/// it, `uniPlatform` as a cloud object does. Upper case wins.
///
/// A member that is absent, `null`, empty or not a text claims nothing. Of the platform's names
/// the first one that is a uni platform counts, so that `getSystemInfo`'s `platform: "ios"` claims
/// nothing.
///
/// ```
/// use paygate::testing::caller::claims_from_json;
///
/// let claims = claims_from_json(&serde_json::json!({
///     "uniPlatform": "mp-weixin", "platform": "ios", "APPID": "__UNI__A", "appId": "__UNI__B",
/// }));
/// assert_eq!(claims.platform.as_deref(), Some("mp-weixin"));
/// assert_eq!(claims.app_id.as_deref(), Some("__UNI__A"));
/// ```
#[must_use]
pub fn claims_from_json(object: &Value) -> ClientClaims {
    let texts = |names: &'static [&'static str]| {
        names.iter().filter_map(|name| object.get(name)?.as_str()).filter(|text| !text.is_empty())
    };
    let first = |names| texts(names).next().map(str::to_owned);
    ClientClaims {
        platform: texts(&["PLATFORM", "uniPlatform", "platform"])
            .find(|name| Platform::parse(name).is_some())
            .map(str::to_owned),
        os: first(&["OS", "osName"]),
        app_id: first(&["APPID", "appId"]),
        device_id: first(&["DEVICEID", "deviceId"]),
        locale: first(&["LOCALE", "locale"]),
        device_type: first(&["deviceType"]),
        client_ip: first(&["CLIENTIP", "clientIP"]),
        user_agent: first(&["CLIENTUA", "userAgent", "ua"]),
    }
}

/// The claims of `x-client-info` (percent-encoded JSON, at most 8 KiB). A malformed header claims
/// nothing and is counted: a client that describes itself badly can still pay.
#[must_use]
pub fn claims_from_header(headers: &HeaderMap) -> ClientClaims {
    let Some(value) = headers.get("x-client-info") else { return ClientClaims::default() };
    parse_client_info(value.as_bytes()).unwrap_or_else(|| {
        MALFORMED.fetch_add(1, Ordering::Relaxed);
        ClientClaims::default()
    })
}

/// How many malformed `x-client-info` headers this process has ignored.
#[must_use]
pub fn client_info_malformed() -> u64 {
    MALFORMED.load(Ordering::Relaxed)
}

fn parse_client_info(text: &[u8]) -> Option<ClientClaims> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let json: Vec<u8> = percent_encoding::percent_decode(text).collect();
    let object = serde_json::from_slice::<Value>(&json).ok().filter(Value::is_object)?;
    Some(claims_from_json(&object))
}

/// uni-app sends about 1 KiB; Chinese texts take nine bytes a character when percent-encoded.
const BYTES_MAX: usize = 8 * 1024;

static MALFORMED: AtomicU64 = AtomicU64::new(0);
