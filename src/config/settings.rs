//! The configuration as types: what each setting is, and in which unit.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::certificates::ConfiguredCertificate;
use crate::caller::TrustedProxies;
#[cfg(feature = "sidecar")]
use crate::domain::channel::ApiVersion;
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
use crate::domain::order::AutoRefundPolicy;
use crate::domain::product::AlipayChoice;
use crate::secret::Secret;
pub use crate::store::StoreMode as Mode;

/// A whole and valid configuration.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Real providers or simulated ones.
    pub mode: Mode,
    /// The public address.
    pub listen: SocketAddr,
    /// The admin address, unless it is off.
    pub admin_listen: Option<SocketAddr>,
    /// The bearer token of admin operations; without it they answer 403.
    pub admin_token: Option<Secret>,
    /// The simulated providers' address.
    pub mock_listen: SocketAddr,
    /// Whether mock mode may listen beyond loopback.
    pub mock_expose: bool,
    /// The path prefix of the payment operations: starts with `/`, does not end with one.
    pub mount: String,
    /// The service behind the sidecar, for all other requests: scheme, host and port.
    pub upstream: Option<Url>,
    /// The URL at which providers reach paygate; `None` in mock mode only, where they use
    /// [`Config::listen`].
    pub public_url: Option<Url>,
    /// The proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: TrustedProxies,
    /// The size limit of a payment request's body, in bytes.
    pub body_bytes_max: usize,
    /// The limits on clients and the upstream.
    pub edge: EdgeLimits,
    /// The origins whose pages may call, in the form of a browser's `Origin` header.
    pub cors_origins: Vec<String>,
    /// The store of orders.
    pub store: StoreChoice,
    /// How long the engine keeps recent results in memory.
    pub replay_ttl: Duration,
    /// How many recent results the engine keeps in memory at most.
    pub replay_max: usize,
    /// The lifetime of an order without `time_expire`.
    pub order_ttl: Duration,
    /// The time limit of one provider call.
    pub call_timeout: Duration,
    /// The time limit of all provider calls of one request together.
    pub call_budget: Duration,
    /// How long one of several processes owns an order it works on.
    pub lease: Duration,
    /// How long a stop waits for requests and provider calls in flight.
    pub shutdown_grace: Duration,
    /// What paygate does when a buyer of an unpaid order asks for another way to pay.
    pub switch: SwitchChoice,
    /// Which unwanted payments paygate refunds by itself.
    pub auto_refund: AutoRefundPolicy,
    /// The party that sets the price.
    pub pricing: PricingChoice,
    /// The endpoint for events.
    pub webhook: Option<WebhookConfig>,
    /// The log levels, for everything or for a target.
    pub log: String,
    /// The form of log lines.
    pub log_format: LogFormat,
    /// The receiver of alerts. The sidecar alone sends them.
    pub alerts: Option<AlertConfig>,
    /// Every merchant. In mock mode none of them has keys: paygate uses the mock's for all.
    pub merchants: Vec<MerchantConfig>,
    /// Warnings for the operator, one sentence each.
    pub warnings: Vec<String>,
    pub(super) certificates: Vec<ConfiguredCertificate>,
    pub(super) effective: Vec<EffectiveValue>,
}

/// The limits on clients and the upstream, in time and number. The sidecar alone applies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgeLimits {
    /// The longest time from a request's first byte to its whole head.
    pub head_timeout: Duration,
    /// The longest time without a request on a connection.
    pub idle_timeout: Duration,
    /// The longest time in which a client takes, or sends, no byte.
    pub stall_timeout: Duration,
    /// The least bytes of a body in a second.
    pub body_rate: usize,
    /// The longest time from a request's last byte to the head of the upstream's answer.
    pub upstream_timeout: Duration,
    /// The longest time without a byte in an upgraded connection.
    pub tunnel_timeout: Duration,
    /// The time after which the operating system probes a quiet peer.
    pub keepalive: Duration,
    /// The most connections of clients at a time.
    pub connections_max: usize,
}

/// One variable's effective value, without secrets.
#[derive(Clone)]
pub(super) struct EffectiveValue {
    pub(super) name: &'static str,
    pub(super) redacted: String,
    /// The environment, a file, the default, or not set.
    pub(super) origin: String,
}

/// The store of orders.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreChoice {
    /// In an SQLite file that one process owns.
    Sqlite(PathBuf),
    /// In memory, until the process ends.
    Memory,
}

/// The party that sets the price.
///
/// Plain data, unlike [`Pricing`](crate::Pricing), which holds built keys and the shop's client:
/// a configuration can be compared and printed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PricingChoice {
    /// Callers with this bearer token.
    CallerToken(Secret),
    /// The shop: it signs quotes with this secret (HS256).
    Quote(Secret),
    /// The shop's service at this URL: paygate asks it on every request.
    Callback(Url),
    /// Every caller on loopback: mock mode without `PAYGATE_PRICING`.
    Loopback,
}

impl fmt::Debug for PricingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL's query may be a secret.
        f.write_str(match self {
            PricingChoice::CallerToken(_) => "CallerToken(***)",
            PricingChoice::Quote(_) => "Quote(***)",
            PricingChoice::Callback(_) => "Callback(***)",
            PricingChoice::Loopback => "Loopback",
        })
    }
}

/// What paygate does when a buyer of an unpaid order asks for another way to pay.
///
/// The engine's [`Switching`](crate::engine::Switching); the configuration does not import the
/// engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchChoice {
    /// It closes the earlier attempt first.
    Close,
    /// It rejects the request.
    Reject,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// The receiver of alerts.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlertConfig {
    /// Where alerts are sent. It holds the robot's key.
    pub url: Url,
    /// The form of their bodies.
    pub format: AlertFormat,
    /// The secret by which DingTalk or Feishu verifies them.
    pub secret: Option<Secret>,
}

impl fmt::Debug for AlertConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alerts").field(&self.format).finish()
    }
}

/// The form of an alert's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertFormat {
    /// A group robot of WeCom (企业微信群机器人).
    Wecom,
    /// A custom robot of DingTalk (钉钉自定义机器人).
    Dingtalk,
    /// A custom bot of Feishu or Lark (飞书自定义机器人).
    Feishu,
    /// A JSON object with a text and the lines' fields.
    Json,
}

impl AlertFormat {
    /// The form that the receiver at `host` takes.
    #[must_use]
    pub fn of_host(host: &str) -> AlertFormat {
        match host {
            "qyapi.weixin.qq.com" => AlertFormat::Wecom,
            "oapi.dingtalk.com" => AlertFormat::Dingtalk,
            "open.feishu.cn" | "open.larksuite.com" => AlertFormat::Feishu,
            _ => AlertFormat::Json,
        }
    }

    /// The name of the receiver's product.
    #[must_use]
    pub fn receiver(self) -> &'static str {
        match self {
            AlertFormat::Wecom => "WeCom",
            AlertFormat::Dingtalk => "DingTalk",
            AlertFormat::Feishu => "Feishu",
            AlertFormat::Json => "an endpoint that takes JSON",
        }
    }
}

/// The endpoint for events.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// The shop's endpoint; `{type}` in its path or query stands for the order's type.
    pub url: String,
    /// The keys that events are signed with: one, or two during a rotation.
    pub keys: Vec<Vec<u8>>,
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(***)")
    }
}

/// One merchant; `data.pid` names it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MerchantConfig {
    /// `default`, or a document's `_id`.
    pub pid: Pid,
    /// The merchant's choice between Alipay's products.
    pub choice: AlipayChoice,
    /// The merchant's apps at WeChat Pay; `None` in mock mode.
    #[cfg(feature = "wxpay")]
    pub wxpay: Option<crate::provider::wxpay::WxpayMerchant>,
    /// The merchant's apps at Alipay; `None` in mock mode.
    #[cfg(feature = "alipay")]
    pub alipay: Option<crate::provider::alipay::AlipayMerchant>,
}

impl MerchantConfig {
    pub(super) fn new(pid: Pid, choice: AlipayChoice) -> MerchantConfig {
        MerchantConfig {
            pid,
            choice,
            #[cfg(feature = "wxpay")]
            wxpay: None,
            #[cfg(feature = "alipay")]
            alipay: None,
        }
    }

    /// The pay types that the merchant has keys for.
    #[must_use]
    pub fn pay_types(&self) -> Vec<PayType> {
        let mut pay_types = Vec::new();
        #[cfg(feature = "wxpay")]
        pay_types.extend(self.wxpay.iter().flat_map(|wxpay| wxpay.apps.keys().copied()));
        #[cfg(feature = "alipay")]
        pay_types.extend(self.alipay.iter().flat_map(|alipay| alipay.apps.keys().copied()));
        pay_types
    }

    /// Whether the merchant has the keys of an account, by the name of the API's version.
    #[cfg(feature = "sidecar")]
    pub(super) fn has_account(&self, api_version: &str, id: &str) -> bool {
        let mut accounts = Vec::new();
        #[cfg(feature = "wxpay")]
        accounts.extend(self.wxpay.iter().flat_map(|wxpay| {
            let apps = wxpay.apps.values();
            apps.map(|app| (ApiVersion::WxpayV3, app.account.mch_id.as_str()))
        }));
        #[cfg(feature = "alipay")]
        accounts.extend(self.alipay.iter().flat_map(|alipay| {
            alipay.apps.values().map(|app| (ApiVersion::Alipay, app.app_id.as_str()))
        }));
        accounts.iter().any(|(version, own)| version.name() == api_version && *own == id)
    }

    /// The providers that the merchant has keys for.
    #[must_use]
    pub fn providers(&self) -> Vec<ProviderId> {
        let mut providers: Vec<_> =
            self.pay_types().iter().map(|pay_type| pay_type.provider()).collect();
        providers.dedup();
        providers
    }
}
