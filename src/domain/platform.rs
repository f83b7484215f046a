//! The platform of the buyer's client.

use std::str::FromStr;

use super::parse_error::ParseError;

/// Where the buyer's client runs, in uni-app's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// A browser (`h5`, `web`).
    H5,
    /// A native app (`app`, `app-plus`, `app-harmony`).
    App,
    /// A WeChat mini program (`mp-weixin`).
    MpWeixin,
    /// An Alipay mini program (`mp-alipay`).
    MpAlipay,
    /// A platform where neither provider can pay (`mp-baidu`, `quickapp-webview`, …).
    Other,
}

impl Platform {
    /// Reads any of uni-app's names, vk-uni-pay's and uniCloud's older ones included. A text that
    /// is no uni platform at all (`ios`, `windows`, which `getSystemInfo` calls `platform`) is
    /// `None`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Platform> {
        match name.to_ascii_lowercase().as_str() {
            "h5" | "web" | "h5-weixin" => Some(Platform::H5),
            "app" | "app-plus" | "app-nvue" | "app-android" | "app-ios" | "app-harmony" => {
                Some(Platform::App)
            }
            "mp-weixin" => Some(Platform::MpWeixin),
            "mp-alipay" => Some(Platform::MpAlipay),
            other if other.starts_with("mp-") || other.starts_with("quickapp") => {
                Some(Platform::Other)
            }
            _ => None,
        }
    }

    /// vk-uni-pay's name: `h5`, `app-plus`, `mp-weixin`, `mp-alipay`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Platform::H5 => "h5",
            Platform::App => "app-plus",
            Platform::MpWeixin => "mp-weixin",
            Platform::MpAlipay => "mp-alipay",
            Platform::Other => "other",
        }
    }

    /// uni-app's name: `web`, `app`, `mp-weixin`, `mp-alipay`.
    #[must_use]
    pub fn uni_name(self) -> &'static str {
        match self {
            Platform::H5 => "web",
            Platform::App => "app",
            Platform::MpWeixin | Platform::MpAlipay | Platform::Other => self.name(),
        }
    }
}

impl FromStr for Platform {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Platform, ParseError> {
        Platform::parse(text).ok_or(ParseError("a uni platform, such as h5 or mp-weixin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_vk_uni_pays_name_and_uni_apps() {
        for (platform, name, uni_name) in [
            (Platform::H5, "h5", "web"),
            (Platform::App, "app-plus", "app"),
            (Platform::MpWeixin, "mp-weixin", "mp-weixin"),
            (Platform::MpAlipay, "mp-alipay", "mp-alipay"),
            (Platform::Other, "other", "other"),
        ] {
            assert_eq!((platform.name(), platform.uni_name()), (name, uni_name));
        }
        assert_eq!("app-plus".parse(), Ok(Platform::App));
        assert!("desktop".parse::<Platform>().is_err());
    }
}
