//! The channel of a payment: its provider, the version of the provider's API, and the pay type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::parse_error::ParseError;

/// WeChat Pay or Alipay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderId {
    /// WeChat Pay.
    Wxpay,
    /// Alipay.
    Alipay,
}

/// The facts of a provider that hold for each of its merchants, configured or not.
struct ProviderTraits {
    name: &'static str,
    shares_numbers: bool,
    closes_before_trade: bool,
    unpaid_state: &'static str,
    closed_state: &'static str,
    acknowledgement: NotificationReply,
    rejection: NotificationReply,
    description_bytes_max: Option<usize>,
}

const WXPAY: ProviderTraits = ProviderTraits {
    name: "wxpay",
    shares_numbers: false,
    closes_before_trade: true,
    unpaid_state: "NOTPAY",
    closed_state: "CLOSED",
    acknowledgement: NotificationReply::Empty,
    rejection: NotificationReply::Json(r#"{"code":"FAIL","message":"失败"}"#),
    description_bytes_max: Some(127),
};

const ALIPAY: ProviderTraits = ProviderTraits {
    name: "alipay",
    shares_numbers: true,
    closes_before_trade: false,
    unpaid_state: "WAIT_BUYER_PAY",
    closed_state: "TRADE_CLOSED",
    acknowledgement: NotificationReply::Text("success"),
    rejection: NotificationReply::Text("failure"),
    description_bytes_max: None,
};

/// The body of paygate's answer to a provider's notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationReply {
    /// No body.
    Empty,
    /// A plain text.
    Text(&'static str),
    /// A JSON text.
    Json(&'static str),
}

impl ProviderId {
    /// Every provider.
    pub const ALL: [ProviderId; 2] = [ProviderId::Wxpay, ProviderId::Alipay];

    const fn traits(self) -> &'static ProviderTraits {
        match self {
            ProviderId::Wxpay => &WXPAY,
            ProviderId::Alipay => &ALIPAY,
        }
    }

    /// The name in the contract: `wxpay`, `alipay`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.traits().name
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<ProviderId> {
        ProviderId::ALL.into_iter().find(|provider| provider.name() == name)
    }

    /// Whether several attempts may share one number while the buyer has made no trade under it.
    /// Alipay's order strings, QR codes and pages with one number lead to one trade, which is paid
    /// once (alipay.trade.page.pay, `out_trade_no`).
    #[must_use]
    pub const fn shares_numbers(self) -> bool {
        self.traits().shares_numbers
    }

    /// Whether the provider closes an attempt that no buyer has begun to pay. Alipay closes trades
    /// only, and makes most of them when the buyer acts (alipay.trade.close, `TRADE_NOT_EXIST`).
    #[must_use]
    pub const fn closes_before_trade(self) -> bool {
        self.traits().closes_before_trade
    }

    /// The provider's own state of a trade that is not paid: WeChat Pay V3 `trade_state`, Alipay
    /// `trade_status` (query order; alipay.trade.query).
    #[must_use]
    pub const fn unpaid_state(self) -> &'static str {
        self.traits().unpaid_state
    }

    /// The provider's own state of a trade that was closed and never paid.
    #[must_use]
    pub const fn closed_state(self) -> &'static str {
        self.traits().closed_state
    }

    /// The body that makes the provider stop sending a notification. WeChat Pay V3, payment
    /// notification: 200 or 204, no body. Alipay, asynchronous notification: `success`, and
    /// nothing else.
    #[must_use]
    pub const fn acknowledgement(self) -> NotificationReply {
        self.traits().acknowledgement
    }

    /// The body that makes the provider send a notification again.
    #[must_use]
    pub const fn rejection(self) -> NotificationReply {
        self.traits().rejection
    }

    /// The most bytes of an order's description, all of whose characters have at most three bytes;
    /// `None` without such a limit. WeChat Pay V3, JSAPI order: `description`, `string[1,127]`,
    /// counted in bytes of UTF-8.
    #[must_use]
    pub const fn description_bytes_max(self) -> Option<usize> {
        self.traits().description_bytes_max
    }
}

impl FromStr for ProviderId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ProviderId, ParseError> {
        ProviderId::parse(text).ok_or(ParseError("a provider: wxpay or alipay"))
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A version of a provider's API. Numbers, keys and notifications of one are unknown to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiVersion {
    /// WeChat Pay V3.
    WxpayV3,
    /// WeChat Pay V2.
    WxpayV2,
    /// Alipay's gateway.
    Alipay,
}

impl ApiVersion {
    const fn traits(self) -> (&'static str, NumberScope) {
        match self {
            ApiVersion::WxpayV3 => ("wxpay_v3", NumberScope::Account),
            ApiVersion::WxpayV2 => ("wxpay_v2", NumberScope::Account),
            ApiVersion::Alipay => ("alipay", NumberScope::Merchant),
        }
    }

    /// The name in records and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.traits().0
    }

    /// Where a merchant's order number is unique.
    #[must_use]
    pub const fn number_scope(self) -> NumberScope {
        self.traits().1
    }
}

/// Where a merchant's order number is unique at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberScope {
    /// In one account: WeChat Pay's `mchid` (V3, JSAPI order, `out_trade_no`).
    Account,
    /// In one merchant, all of whose apps share its numbers; no app names its merchant (Alipay).
    Merchant,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

    const fn traits(self) -> (&'static str, ProviderId) {
        match self {
            PayType::WxpayMpWeixin => ("wxpay_mp-weixin", ProviderId::Wxpay),
            PayType::WxpayAppPlus => ("wxpay_app-plus", ProviderId::Wxpay),
            PayType::WxpayH5 => ("wxpay_h5", ProviderId::Wxpay),
            PayType::WxpayH5Weixin => ("wxpay_h5-weixin", ProviderId::Wxpay),
            PayType::WxpayMweb => ("wxpay_mweb", ProviderId::Wxpay),
            PayType::AlipayMpAlipay => ("alipay_mp-alipay", ProviderId::Alipay),
            PayType::AlipayAppPlus => ("alipay_app-plus", ProviderId::Alipay),
            PayType::AlipayH5 => ("alipay_h5", ProviderId::Alipay),
        }
    }

    /// vk-uni-pay's name, e.g. `wxpay_mp-weixin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.traits().0
    }

    /// Reads vk-uni-pay's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<PayType> {
        PayType::ALL.into_iter().find(|pay_type| pay_type.name() == name)
    }

    /// The provider that the buyer pays through.
    #[must_use]
    pub const fn provider(self) -> ProviderId {
        self.traits().1
    }
}

impl FromStr for PayType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<PayType, ParseError> {
        PayType::parse(text).ok_or(ParseError("a pay type, such as wxpay_h5"))
    }
}

impl fmt::Display for PayType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
