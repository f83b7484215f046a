//! The caller of a payment operation, as uniCloud's `context` describes it.

use std::net::IpAddr;

use super::platform::Platform;

/// The caller of a payment operation: what uniCloud calls `context`.
///
/// The server derives `client_ip`, `user_agent`, `source` and `request_id`; the client states the
/// rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerContext {
    /// `CLIENTIP`; `None` when the peer's address is unknown.
    pub client_ip: Option<IpAddr>,
    /// `CLIENTUA`: the `User-Agent` header, at most 1 KiB.
    pub user_agent: String,
    /// `PLATFORM`, normalised.
    pub platform: Platform,
    /// Whether the buyer uses a PC.
    pub is_pc: bool,
    /// The browser, as far as it decides how the buyer can pay.
    pub browser: Browser,
    /// `OS`.
    pub os: Option<String>,
    /// `APPID`: uni-app's `__UNI__…`, not a provider's.
    pub app_id: Option<String>,
    /// `DEVICEID`.
    pub device_id: Option<String>,
    /// `LOCALE`.
    pub locale: Option<String>,
    /// `SOURCE`: `http`.
    pub source: &'static str,
    /// `requestId`: the request's `X-Request-Id`, or one made for it.
    pub request_id: String,
}

/// A browser, as far as it decides how the buyer can pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Browser {
    /// WeChat's own browser.
    WeChat,
    /// Alipay's own browser.
    Alipay,
    /// Any other, or none.
    #[default]
    Other,
}

impl Browser {
    /// The browser that a platform's name states: `h5-weixin` is a page in WeChat's.
    #[must_use]
    pub fn of_platform(name: &str) -> Option<Browser> {
        name.eq_ignore_ascii_case("h5-weixin").then_some(Browser::WeChat)
    }
}

/// The client's claims about itself in the body's `context` or `clientInfo`, or in
/// `x-client-info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientClaims {
    /// `PLATFORM` | `uniPlatform` | `platform`.
    pub platform: Option<String>,
    /// `OS` | `osName`.
    pub os: Option<String>,
    /// `APPID` | `appId`.
    pub app_id: Option<String>,
    /// `DEVICEID` | `deviceId`.
    pub device_id: Option<String>,
    /// `LOCALE` | `locale`.
    pub locale: Option<String>,
    /// `deviceType`: `phone`, `pad`, `pc`, ….
    pub device_type: Option<String>,
    /// `CLIENTIP` | `clientIP`: paygate believes it from the shop's own backend only.
    pub client_ip: Option<String>,
    /// `CLIENTUA` | `userAgent` | `ua`: paygate believes it from the shop's own backend only.
    pub user_agent: Option<String>,
}
