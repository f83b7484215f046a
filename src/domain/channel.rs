//! How a buyer pays: provider, platform, and the pay type that follows from them.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::caller::{Browser, CallerContext};

/// WeChat Pay or Alipay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderId {
    /// WeChat Pay.
    Wxpay,
    /// Alipay.
    Alipay,
}

impl ProviderId {
    /// The name in the contract: `wxpay`, `alipay`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ProviderId::Wxpay => "wxpay",
            ProviderId::Alipay => "alipay",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<ProviderId> {
        [ProviderId::Wxpay, ProviderId::Alipay].into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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
}

/// vk-uni-pay's pay types. `h5` in a name means "QR code", not WeChat's H5 product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PayType {
    /// `wxpay_mp-weixin`: in a WeChat mini program.
    #[serde(rename = "wxpay_mp-weixin")]
    WxpayMpWeixin,
    /// `wxpay_app-plus`: in an app.
    #[serde(rename = "wxpay_app-plus")]
    WxpayAppPlus,
    /// `wxpay_h5`: by QR code.
    #[serde(rename = "wxpay_h5")]
    WxpayH5,
    /// `wxpay_h5-weixin`: in WeChat's browser.
    #[serde(rename = "wxpay_h5-weixin")]
    WxpayH5Weixin,
    /// `wxpay_mweb`: in any other phone browser.
    #[serde(rename = "wxpay_mweb")]
    WxpayMweb,
    /// `alipay_mp-alipay`: in an Alipay mini program.
    #[serde(rename = "alipay_mp-alipay")]
    AlipayMpAlipay,
    /// `alipay_app-plus`: in an app.
    #[serde(rename = "alipay_app-plus")]
    AlipayAppPlus,
    /// `alipay_h5`: by QR code, or on Alipay's own pay page.
    #[serde(rename = "alipay_h5")]
    AlipayH5,
}

impl PayType {
    /// Every pay type, in the contract's order.
    pub const ALL: [PayType; 8] = [
        PayType::WxpayMpWeixin,
        PayType::WxpayAppPlus,
        PayType::WxpayH5,
        PayType::WxpayH5Weixin,
        PayType::WxpayMweb,
        PayType::AlipayMpAlipay,
        PayType::AlipayAppPlus,
        PayType::AlipayH5,
    ];

    /// vk-uni-pay's name, e.g. `wxpay_mp-weixin`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PayType::WxpayMpWeixin => "wxpay_mp-weixin",
            PayType::WxpayAppPlus => "wxpay_app-plus",
            PayType::WxpayH5 => "wxpay_h5",
            PayType::WxpayH5Weixin => "wxpay_h5-weixin",
            PayType::WxpayMweb => "wxpay_mweb",
            PayType::AlipayMpAlipay => "alipay_mp-alipay",
            PayType::AlipayAppPlus => "alipay_app-plus",
            PayType::AlipayH5 => "alipay_h5",
        }
    }

    /// Reads vk-uni-pay's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<PayType> {
        PayType::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The provider that is paid.
    #[must_use]
    pub fn provider(self) -> ProviderId {
        match self {
            PayType::WxpayMpWeixin
            | PayType::WxpayAppPlus
            | PayType::WxpayH5
            | PayType::WxpayH5Weixin
            | PayType::WxpayMweb => ProviderId::Wxpay,
            PayType::AlipayMpAlipay | PayType::AlipayAppPlus | PayType::AlipayH5 => {
                ProviderId::Alipay
            }
        }
    }
}

impl fmt::Display for PayType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The provider's product behind a pay type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// WeChat Pay JSAPI: mini programs and WeChat's browser.
    Jsapi,
    /// WeChat Pay APP.
    App,
    /// WeChat Pay H5: phone browsers.
    H5,
    /// WeChat Pay Native: QR code.
    Native,
    /// `alipay.trade.app.pay`.
    AppPay,
    /// `alipay.trade.create` with `JSAPI_PAY`: Alipay mini programs.
    Create,
    /// `alipay.trade.precreate`: QR code.
    Precreate,
    /// `alipay.trade.wap.pay`: Alipay's page on a phone.
    WapPay,
    /// `alipay.trade.page.pay`: Alipay's page on a PC.
    PagePay,
}

impl Product {
    /// Whether the buyer is named by `openid` when the attempt opens.
    #[must_use]
    pub fn needs_openid(self) -> bool {
        matches!(self, Product::Jsapi | Product::Create)
    }

    /// Whether opening an attempt is a signature of ours, and no call.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, Product::AppPay | Product::WapPay | Product::PagePay)
    }
}

/// One way to pay, as far as it tells two attempts of an order apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMethod {
    /// vk-uni-pay's pay type.
    pub pay_type: PayType,
    /// The provider's product.
    pub product: Product,
    /// The app that pays: the provider's `appid`, or the `sub_appid` where one was given.
    pub app_id: String,
    /// The buyer, where the product names one.
    pub openid: Option<String>,
    /// The buyer's address, where the product is bound to it (WeChat Pay H5).
    pub address: Option<IpAddr>,
}

impl PaymentMethod {
    /// The provider that is paid.
    #[must_use]
    pub fn provider(&self) -> ProviderId {
        self.pay_type.provider()
    }
}

/// Which of Alipay's products a merchant chose where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlipayChoice {
    /// `alipayAppPayToH5Pay`: apps pay through the QR product.
    pub app_to_h5: bool,
    /// Browsers pay on Alipay's own pages instead of by QR code.
    pub web_pages: bool,
}

/// The pay type and product for a caller: the first row of the contract's table that fits.
/// `None` where this provider cannot be paid on this platform.
#[must_use]
pub fn select(
    provider: ProviderId,
    caller: &CallerContext,
    qrcode: bool,
    alipay: AlipayChoice,
) -> Option<(PayType, Product)> {
    match provider {
        ProviderId::Wxpay => select_wxpay(caller, qrcode),
        ProviderId::Alipay => select_alipay(caller, qrcode, alipay),
    }
}

fn select_wxpay(caller: &CallerContext, qrcode: bool) -> Option<(PayType, Product)> {
    if qrcode {
        return Some((PayType::WxpayH5, Product::Native));
    }
    match caller.platform {
        Platform::MpWeixin => Some((PayType::WxpayMpWeixin, Product::Jsapi)),
        Platform::App => Some((PayType::WxpayAppPlus, Product::App)),
        Platform::H5 if caller.is_pc => Some((PayType::WxpayH5, Product::Native)),
        Platform::H5 if caller.browser == Browser::WeChat => {
            Some((PayType::WxpayH5Weixin, Product::Jsapi))
        }
        Platform::H5 => Some((PayType::WxpayMweb, Product::H5)),
        Platform::MpAlipay | Platform::Other => None,
    }
}

fn select_alipay(
    caller: &CallerContext,
    qrcode: bool,
    choice: AlipayChoice,
) -> Option<(PayType, Product)> {
    if qrcode {
        return Some((PayType::AlipayH5, Product::Precreate));
    }
    match caller.platform {
        Platform::MpAlipay => Some((PayType::AlipayMpAlipay, Product::Create)),
        Platform::App if choice.app_to_h5 => Some((PayType::AlipayH5, Product::Precreate)),
        Platform::App => Some((PayType::AlipayAppPlus, Product::AppPay)),
        Platform::H5 if !choice.web_pages => Some((PayType::AlipayH5, Product::Precreate)),
        Platform::H5 if caller.is_pc => Some((PayType::AlipayH5, Product::PagePay)),
        Platform::H5 => Some((PayType::AlipayH5, Product::WapPay)),
        Platform::MpWeixin | Platform::Other => None,
    }
}
