//! Where the buyer's client runs: platform, PC or not, browser.
//!
//! The client's description of itself comes first; the user agent and the client hints complete
//! it. A wrong guess selects another pay type, which a provider may refuse: it never decides the
//! payee or the amount.

use http::HeaderMap;
use http::header::{REFERER, USER_AGENT};

use crate::domain::caller::{Browser, ClientClaims};
use crate::domain::platform::Platform;

/// The signals of a request that describe the client besides its claims.
#[derive(Clone, Debug)]
pub(super) struct ClientSignals {
    /// The user agent in lower case.
    agent: String,
    /// The device that the client hints name.
    hinted: Option<Device>,
    /// Whether a WeChat mini program made the request itself.
    from_mini_program: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Pc,
    Handheld,
}

impl ClientSignals {
    /// The signals of a request that the client itself sent.
    pub(super) fn of_request(headers: &HeaderMap) -> ClientSignals {
        let text =
            |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ClientSignals {
            hinted: device_by_hints(text("sec-ch-ua-platform"), text("sec-ch-ua-mobile")),
            from_mini_program: text(REFERER.as_str()).starts_with(MINI_PROGRAM_REFERER),
            ..ClientSignals::of_agent(&agent_of(headers))
        }
    }

    /// The signals of a client whose user agent the shop's backend states.
    pub(super) fn of_agent(agent: &str) -> ClientSignals {
        let agent = agent.to_ascii_lowercase();
        ClientSignals { agent, hinted: None, from_mini_program: false }
    }

    /// uni-app's platform: the claimed one, else the one whose client has this user agent.
    pub(super) fn platform(&self, claims: &ClientClaims) -> Platform {
        if let Some(claimed) = claims.platform.as_deref().and_then(Platform::parse) {
            return claimed;
        }
        let mini_program = self.has("miniprogram") || self.from_mini_program;
        match self.agents_browser() {
            // A page in a mini program's web-view has no cashier of its own: it hands the
            // parameters to the mini program (WeChat open documentation, web-view; as
            // vk-uni-pay's `h5Env`).
            Browser::WeChat if mini_program => Platform::MpWeixin,
            Browser::Alipay if self.has("miniprogram") => Platform::MpAlipay,
            _ if self.has("html5plus") => Platform::App,
            _ => Platform::H5,
        }
    }

    /// Whether the buyer sits at a PC: `deviceType`, else the claimed system, else WeChat's PC
    /// editions, client hints and the user agent. Without any of these it is not a PC.
    pub(super) fn is_pc(&self, claims: &ClientClaims) -> bool {
        let claimed = |name: &Option<String>| name.as_deref().unwrap_or("").to_ascii_lowercase();
        let device = device_by_type(&claimed(&claims.device_type))
            .or_else(|| self.by_system(&claimed(&claims.os)))
            .or_else(|| self.is_wechat_on_pc().then_some(Device::Pc))
            .or(self.hinted)
            .or_else(|| self.by_agent());
        device == Some(Device::Pc)
    }

    /// WeChat's browser, Alipay's, or another: the claimed one where the platform's name has it.
    pub(super) fn browser(&self, claims: &ClientClaims) -> Browser {
        let claimed = claims.platform.as_deref().and_then(Browser::of_platform);
        claimed.unwrap_or_else(|| self.agents_browser())
    }

    /// The browser by the user agent.
    fn agents_browser(&self) -> Browser {
        if self.has("micromessenger") {
            Browser::WeChat
        } else if self.has("alipayclient") {
            Browser::Alipay
        } else {
            Browser::Other
        }
    }

    /// The operating system by uni-app's `osName`, if the user agent names one.
    pub(super) fn system(&self) -> Option<&'static str> {
        SYSTEMS.iter().find(|(token, _)| self.has(token)).map(|(_, name)| *name)
    }

    fn has(&self, token: &str) -> bool {
        self.agent.contains(token)
    }

    /// WeChat for Windows, macOS and Linux: their user agents also carry the phone's
    /// `MicroMessenger`.
    fn is_wechat_on_pc(&self) -> bool {
        self.agents_browser() == Browser::WeChat
            && ["windowswechat", "macwechat", "unifiedpc"].iter().any(|token| self.has(token))
    }

    /// A claimed desktop system is a PC unless the user agent is a handheld's. An iPad that asks
    /// for desktop pages has a Mac's user agent: only its claimed system shows what it is.
    fn by_system(&self, system: &str) -> Option<Device> {
        match system {
            "ios" | "ipados" | "android" => Some(Device::Handheld),
            "windows" | "macos" | "mac" | "linux" => {
                (self.by_agent() != Some(Device::Handheld)).then_some(Device::Pc)
            }
            _ => None,
        }
    }

    /// An iPad in the guise of a Mac comes out as a PC: the QR code it then gets can be scanned
    /// from any screen, while a phone's payment page cannot be opened on a Mac.
    fn by_agent(&self) -> Option<Device> {
        DEVICES.iter().find(|(token, _)| self.has(token)).map(|(_, device)| *device)
    }
}

/// The `User-Agent` header; bytes that are no UTF-8 are replaced.
pub(super) fn agent_of(headers: &HeaderMap) -> String {
    let bytes = headers.get(USER_AGENT).map_or(&b""[..], |value| value.as_bytes());
    String::from_utf8_lossy(bytes).into_owned()
}

/// uni-app's `deviceType`.
fn device_by_type(device_type: &str) -> Option<Device> {
    match device_type {
        "pc" => Some(Device::Pc),
        "phone" | "pad" | "tablet" => Some(Device::Handheld),
        _ => None,
    }
}

/// User-Agent Client Hints (WICG), `Sec-CH-UA-Platform` and `Sec-CH-UA-Mobile`. A tablet sends
/// `?0`, so that alone does not make a PC.
fn device_by_hints(platform: &str, mobile: &str) -> Option<Device> {
    match (platform.trim_matches('"'), mobile) {
        (_, "?1") | ("Android" | "iOS", _) => Some(Device::Handheld),
        ("Windows" | "macOS" | "Linux" | "Chrome OS" | "Chromium OS", _) => Some(Device::Pc),
        _ => None,
    }
}

/// The referer of every request by `wx.request`, which a mini program cannot set (WeChat open
/// documentation, "网络", `referer header 不可设置`). On iOS nothing else distinguishes it from a page.
const MINI_PROGRAM_REFERER: &str = "https://servicewechat.com/";

/// Tokens of user agents, in lower case, the more specific first: HarmonyOS puts the kind of
/// device where others put the system, and a PC of its has `Windows NT` as well (Huawei,
/// HarmonyOS Guides, "Developing User-Agent"); Windows Phone claimed to be Android.
const DEVICES: [(&str, Device); 14] = [
    ("(pc; ", Device::Pc),
    ("(phone; ", Device::Handheld),
    ("(tablet; ", Device::Handheld),
    ("windows phone", Device::Handheld),
    ("android", Device::Handheld),
    ("iphone", Device::Handheld),
    ("ipad", Device::Handheld),
    ("ipod", Device::Handheld),
    ("mobile", Device::Handheld),
    ("windows nt", Device::Pc),
    ("macintosh", Device::Pc),
    ("cros ", Device::Pc),
    ("x11", Device::Pc),
    ("linux", Device::Pc),
];

/// Tokens of user agents and the `osName` behind them, the more specific first.
const SYSTEMS: [(&str, &str); 9] = [
    ("openharmony", "harmonyos"),
    ("harmonyos", "harmonyos"),
    ("android", "android"),
    ("iphone", "ios"),
    ("ipad", "ios"),
    ("ipod", "ios"),
    ("windows nt", "windows"),
    ("macintosh", "macos"),
    ("linux", "linux"),
];
