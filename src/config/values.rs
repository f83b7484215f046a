//! From the table's texts to a configuration. An invalid value is reported, and replaced by a valid
//! one, so that the next can be read.

use std::path::PathBuf;

use super::merchants::provider_urls::{ProviderUrls, read_provider_urls};
use super::merchants::read_merchants;
use super::parse;
use super::problem::ProblemReason;
use super::reader::Reader;
use super::settings::{
    AlertConfig, AlertFormat, Config, EdgeLimits, LogFormat, MerchantConfig, Mode, PricingChoice,
    StoreChoice, SwitchChoice, WebhookConfig,
};
use super::table::{DefaultValue, VARIABLES, Variable, VariableGroup};
use crate::domain::ids::Pid;
use crate::domain::order::AutoRefundPolicy;
use crate::domain::product::AlipayChoice;

/// Reads every variable of the table.
pub(super) fn read_config(reader: &mut Reader<'_>) -> Config {
    let mode = read_mode(reader);
    let switches = [("close", SwitchChoice::Close), ("reject", SwitchChoice::Reject)];
    let auto_refund = |text: &str| parse::choice(text, &[("refund", true), ("alert", false)]);
    Config {
        mode,
        listen: reader.value("PAYGATE_LISTEN", parse::address),
        admin_listen: reader.value("PAYGATE_ADMIN_LISTEN", parse::address_or_off),
        admin_token: reader.optional("PAYGATE_ADMIN_TOKEN", parse::token),
        mock_listen: reader.value("PAYGATE_MOCK_LISTEN", parse::address),
        mock_expose: reader.value("PAYGATE_MOCK_EXPOSE", parse::boolean),
        mount: reader.value("PAYGATE_MOUNT", parse::mount),
        upstream: reader.optional("PAYGATE_UPSTREAM", parse::upstream),
        public_url: reader.optional("PAYGATE_PUBLIC_URL", |text| {
            parse::public_url(text).map_err(|reason| format!("{reason} ({NO_NOTIFY_URL})").into())
        }),
        trusted_proxies: reader
            .optional("PAYGATE_TRUSTED_PROXIES", parse::networks)
            .unwrap_or_default(),
        body_bytes_max: reader.value("PAYGATE_BODY_MAX", parse::body_size),
        edge: read_edge(reader),
        cors_origins: reader.optional("PAYGATE_CORS_ORIGINS", parse::origins).unwrap_or_default(),
        store: read_store(reader, mode),
        replay_ttl: reader.value("PAYGATE_REPLAY_TTL", parse::duration),
        replay_max: reader.value("PAYGATE_REPLAY_MAX", parse::count),
        order_ttl: reader.value("PAYGATE_ORDER_TTL", parse::order_ttl),
        call_timeout: reader.value("PAYGATE_CALL_TIMEOUT", parse::duration),
        call_budget: reader.value("PAYGATE_CALL_BUDGET", parse::duration),
        lease: reader.value("PAYGATE_LEASE", parse::duration),
        shutdown_grace: reader.value("PAYGATE_SHUTDOWN_GRACE", parse::duration),
        switch: reader.value("PAYGATE_SWITCH", |text| parse::choice(text, &switches)),
        auto_refund: AutoRefundPolicy {
            duplicate: reader.value("PAYGATE_DUPLICATE", auto_refund),
            late: reader.value("PAYGATE_LATE", auto_refund),
        },
        pricing: read_pricing(reader, mode),
        webhook: read_webhook(reader),
        log: reader.value("PAYGATE_LOG", parse::log_filter),
        log_format: read_log_format(reader),
        alerts: read_alerts(reader),
        merchants: read_all_merchants(reader, mode),
        warnings: Vec::new(),
        certificates: Vec::new(),
        effective: Vec::new(),
    }
}

fn read_edge(reader: &mut Reader<'_>) -> EdgeLimits {
    EdgeLimits {
        head_timeout: reader.value("PAYGATE_HEAD_TIMEOUT", parse::duration),
        idle_timeout: reader.value("PAYGATE_IDLE_TIMEOUT", parse::duration),
        stall_timeout: reader.value("PAYGATE_STALL_TIMEOUT", parse::duration),
        body_rate: reader.value("PAYGATE_BODY_RATE", parse::byte_rate),
        upstream_timeout: reader.value("PAYGATE_UPSTREAM_TIMEOUT", parse::duration),
        tunnel_timeout: reader.value("PAYGATE_TUNNEL_TIMEOUT", parse::duration),
        keepalive: reader.value("PAYGATE_KEEPALIVE", parse::keepalive),
        connections_max: reader.value("PAYGATE_CONNECTIONS_MAX", parse::count),
    }
}

pub(super) fn read_mode(reader: &mut Reader<'_>) -> Mode {
    let modes = [("live", Mode::Live), ("mock", Mode::Mock)];
    reader.value("PAYGATE_MODE", |text| parse::choice(text, &modes))
}

pub(super) fn read_log_format(reader: &mut Reader<'_>) -> LogFormat {
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    reader.value("PAYGATE_LOG_FORMAT", |text| parse::choice(text, &formats))
}

pub(super) fn read_alerts(reader: &mut Reader<'_>) -> Option<AlertConfig> {
    const URL: &str = "PAYGATE_ALERT_URL";
    const FORMAT: &str = "PAYGATE_ALERT_FORMAT";
    const SECRET: &str = "PAYGATE_ALERT_SECRET";
    let formats = [
        ("auto", None),
        ("wecom", Some(AlertFormat::Wecom)),
        ("dingtalk", Some(AlertFormat::Dingtalk)),
        ("feishu", Some(AlertFormat::Feishu)),
        ("json", Some(AlertFormat::Json)),
    ];
    let url = reader.optional(URL, parse::shop_url);
    let format = reader.value(FORMAT, |text| parse::choice(text, &formats));
    let secret = reader.optional(SECRET, parse::alert_secret);
    if !reader.is_set(URL) {
        for name in
            [FORMAT, SECRET].into_iter().filter(|name| reader.is_set(name)).collect::<Vec<_>>()
        {
            reader.warn(format!("{name} has no effect without {URL}"));
        }
    }
    let url = url?;
    let by_host = AlertFormat::of_host(url.host_str().unwrap_or_default());
    if url.scheme() == "http" && by_host != AlertFormat::Json {
        reader.report(URL, "is not https, although it holds the robot's key");
    }
    let format = format.unwrap_or(by_host);
    if secret.is_some() && matches!(format, AlertFormat::Wecom | AlertFormat::Json) {
        let receiver = format.receiver();
        reader.warn(format!("{SECRET} has no effect: {receiver} verifies no signature"));
    }
    Some(AlertConfig { url, format, secret })
}

pub(super) fn read_store(reader: &mut Reader<'_>, mode: Mode) -> StoreChoice {
    const STORE: &str = "PAYGATE_STORE";
    if mode == Mode::Live {
        reader.require(STORE, "is required in live mode");
    }
    let Some(text) = reader.text(STORE) else {
        let Some(DefaultValue::ByMode { mock, .. }) =
            Variable::find(STORE).map(|variable| variable.default)
        else {
            unreachable!("the store's default depends on the mode")
        };
        return store_choice(mock).unwrap_or(StoreChoice::Memory);
    };
    let choice = store_choice(&text).unwrap_or_else(|reason| {
        reader.report(STORE, reason);
        StoreChoice::Memory
    });
    if choice == StoreChoice::Memory && text == "memory:" && mode == Mode::Live {
        reader.report(STORE, "is memory, which forgets orders that can still be paid");
    }
    choice
}

fn store_choice(text: &str) -> Result<StoreChoice, ProblemReason> {
    if text == "memory:" {
        return Ok(StoreChoice::Memory);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err("is PostgreSQL, which this version does not have yet".into());
    }
    match text.strip_prefix("sqlite:") {
        None => Err("is not a store".into()),
        Some("") => Err("names no file".into()),
        // SQLite itself would take these for a database in memory or for a URL.
        Some(path) if path.starts_with([':']) || path.starts_with("file:") => {
            Err("is no plain path after sqlite:".into())
        }
        Some(path) if path.starts_with("//") => {
            Err("has slashes after sqlite: that belong to no path".into())
        }
        Some(_) if !cfg!(feature = "sqlite") => Err("is SQLite, which this build lacks".into()),
        Some(path) => Ok(StoreChoice::Sqlite(PathBuf::from(path))),
    }
}

fn read_pricing(reader: &mut Reader<'_>, mode: Mode) -> PricingChoice {
    const PRICING: &str = "PAYGATE_PRICING";
    let kinds = [
        ("trusted", PricingKind::Trusted),
        ("quote", PricingKind::Quote),
        ("callback", PricingKind::Callback),
    ];
    if mode == Mode::Live {
        reader.require(PRICING, "is required in live mode: a browser must not name its own price");
    }
    let kind = reader.optional(PRICING, |text| parse::choice(text, &kinds));
    let token = reader.optional("PAYGATE_CALLER_TOKEN", parse::token);
    let secret = reader.optional("PAYGATE_QUOTE_SECRET", parse::quote_secret);
    let url = reader.optional("PAYGATE_PRICING_URL", parse::pricing_url);
    for (name, value, needed_by) in [
        ("PAYGATE_CALLER_TOKEN", "trusted", PricingKind::Trusted),
        ("PAYGATE_QUOTE_SECRET", "quote", PricingKind::Quote),
        ("PAYGATE_PRICING_URL", "callback", PricingKind::Callback),
    ] {
        if kind == Some(needed_by) {
            reader.require(name, format!("is required with {PRICING}={value}"));
        } else if reader.is_set(name) {
            reader.warn(format!("{name} has no effect without {PRICING}={value}"));
        }
    }
    let choice = match kind {
        Some(PricingKind::Trusted) => token.map(PricingChoice::CallerToken),
        Some(PricingKind::Quote) => secret.map(PricingChoice::Quote),
        Some(PricingKind::Callback) => url.map(PricingChoice::Callback),
        None => None,
    };
    // A stand-in where a problem was reported, and mock mode's default where nothing is set.
    choice.unwrap_or(PricingChoice::Loopback)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PricingKind {
    Trusted,
    Quote,
    Callback,
}

fn read_webhook(reader: &mut Reader<'_>) -> Option<WebhookConfig> {
    const URL: &str = "PAYGATE_WEBHOOK_URL";
    const SECRET: &str = "PAYGATE_WEBHOOK_SECRET";
    let url = reader.optional(URL, parse::webhook_url);
    let keys = reader.optional(SECRET, parse::webhook_keys);
    match (reader.is_set(URL), reader.is_set(SECRET)) {
        (true, _) => reader.require(SECRET, "is required with PAYGATE_WEBHOOK_URL"),
        (false, true) => reader.warn("PAYGATE_WEBHOOK_SECRET has no effect without a webhook URL"),
        (false, false) => {
            reader.warn(
                "PAYGATE_WEBHOOK_URL is not set: paygate parks every event that no handler in \
                 Rust takes, and the shop does not learn of payments",
            );
        }
    }
    Some(WebhookConfig { url: url?, keys: keys? })
}

fn read_all_merchants(reader: &mut Reader<'_>, mode: Mode) -> Vec<MerchantConfig> {
    let versions = [("2", false), ("3", true)];
    if !reader.value("PAYGATE_WXPAY_VERSION", |text| parse::choice(text, &versions)) {
        let reason = "is version 2 of WeChat Pay's API, which this version does not have yet";
        reader.report("PAYGATE_WXPAY_VERSION", reason);
    }
    let products = [("precreate", false), ("web", true)];
    let choice = AlipayChoice {
        app_to_h5: reader.value("PAYGATE_ALIPAY_APP_TO_H5", parse::boolean),
        web_pages: reader.value("PAYGATE_ALIPAY_H5_PRODUCT", |text| parse::choice(text, &products)),
    };
    let urls = read_provider_urls(reader);
    let mut default = MerchantConfig::new(Pid::default(), choice);
    match mode {
        Mode::Live => read_live_default(reader, &urls, &mut default),
        Mode::Mock => refuse_live_credentials(reader),
    }
    let documents = read_merchants(reader, mode, &urls, choice.web_pages);
    let known = mode == Mode::Mock || !default.providers().is_empty();
    let mut merchants: Vec<_> = known.then_some(default).into_iter().chain(documents).collect();
    #[cfg(feature = "wxpay")]
    super::merchants::wxpay_accounts::hold_together(reader, &mut merchants);
    merchants
}

fn read_live_default(reader: &mut Reader<'_>, urls: &ProviderUrls, merchant: &mut MerchantConfig) {
    if reader.is_any_set(is_credential_of(VariableGroup::Wxpay)) {
        #[cfg(feature = "wxpay")]
        {
            merchant.wxpay = super::merchants::wxpay::read_default_merchant(reader, &urls.wxpay);
        }
        #[cfg(not(feature = "wxpay"))]
        reader.report("PAYGATE_WXPAY_MCH_ID", "is for a provider that this build does not have");
    }
    if reader.is_any_set(is_credential_of(VariableGroup::Alipay)) {
        #[cfg(feature = "alipay")]
        {
            merchant.alipay = super::merchants::alipay::read_default_merchant(
                reader,
                &urls.alipay,
                merchant.choice,
            );
        }
        #[cfg(not(feature = "alipay"))]
        reader.report("PAYGATE_ALIPAY_APP_ID", "is for a provider that this build does not have");
    }
    // Read for `paygate check` only: version 2 is refused.
    reader.text("PAYGATE_WXPAY_API_V2_KEY");
}

fn refuse_live_credentials(reader: &mut Reader<'_>) {
    let is_provider = |group| matches!(group, VariableGroup::Wxpay | VariableGroup::Alipay);
    for variable in VARIABLES.iter().filter(|variable| is_provider(variable.group)) {
        if is_credential_of(variable.group)(variable) && reader.is_set(variable.name) {
            reader.report(variable.name, "is for live mode: mock mode has keys of its own");
        }
    }
    for name in ["PAYGATE_WXPAY_BASE_URL", "PAYGATE_ALIPAY_GATEWAY_URL"] {
        if reader.is_set(name) {
            reader.warn(format!("{name} has no effect in mock mode"));
        }
    }
}

/// Whether a variable is a part of the account at a provider. Once one of them is set, the provider
/// counts as configured and must be complete.
fn is_credential_of(group: VariableGroup) -> impl Fn(&Variable) -> bool {
    move |variable| variable.group == group && variable.default == DefaultValue::Unset
}

/// vk-uni-pay's own error for a missing or invalid public URL.
pub(super) const NO_NOTIFY_URL: &str = "error 101: no usable notify URL";
