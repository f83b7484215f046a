//! From the table's texts to a configuration; what is ill is told, and a stand-in goes on.

use std::path::PathBuf;

use url::Url;

use super::merchants::{self, Gateways};
use super::parse;
use super::problem::Wrong;
use super::reader::Reader;
use super::table::{Group, Preset, VARS, Var};
use super::{
    Config, LogFormat, Merchant, Mode, PricingChoice, Repayment, StoreChoice, Switch, Webhook,
};
use crate::domain::ids::Pid;
use crate::domain::product::AlipayChoice;

/// Reads every variable of the table.
pub(super) fn read(reader: &mut Reader<'_>) -> Config {
    let modes = [("live", Mode::Live), ("mock", Mode::Mock)];
    let mode = reader.value("PAYGATE_MODE", |text| parse::choice(text, &modes));
    let switches = [("close", Switch::Close), ("reject", Switch::Reject)];
    let repayments = [("refund", Repayment::Refund), ("alert", Repayment::Alert)];
    let repayment = |text: &str| parse::choice(text, &repayments);
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
            parse::public_url(text).map_err(|wrong| format!("{wrong} ({NO_NOTIFY_URL})").into())
        }),
        trusted_proxies: reader
            .optional("PAYGATE_TRUSTED_PROXIES", parse::networks)
            .unwrap_or_default(),
        body_bytes_max: reader.value("PAYGATE_BODY_MAX", parse::body_size),
        cors_origins: reader.optional("PAYGATE_CORS_ORIGINS", parse::origins).unwrap_or_default(),
        store: store(reader, mode),
        replay_ttl: reader.value("PAYGATE_REPLAY_TTL", parse::duration),
        replay_max: reader.value("PAYGATE_REPLAY_MAX", parse::count),
        order_ttl: reader.value("PAYGATE_ORDER_TTL", parse::order_ttl),
        call_timeout: reader.value("PAYGATE_CALL_TIMEOUT", parse::duration),
        call_budget: reader.value("PAYGATE_CALL_BUDGET", parse::duration),
        lease: reader.value("PAYGATE_LEASE", parse::duration),
        shutdown_grace: reader.value("PAYGATE_SHUTDOWN_GRACE", parse::duration),
        switch: reader.value("PAYGATE_SWITCH", |text| parse::choice(text, &switches)),
        duplicate: reader.value("PAYGATE_DUPLICATE", repayment),
        late: reader.value("PAYGATE_LATE", repayment),
        pricing: pricing(reader, mode),
        webhook: webhook(reader),
        log: reader.value("PAYGATE_LOG", parse::log_filter),
        log_format: log_format(reader),
        merchants: merchants(reader, mode),
        warnings: Vec::new(),
        effective: Vec::new(),
    }
}

pub(super) fn log_format(reader: &mut Reader<'_>) -> LogFormat {
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    reader.value("PAYGATE_LOG_FORMAT", |text| parse::choice(text, &formats))
}

fn store(reader: &mut Reader<'_>, mode: Mode) -> StoreChoice {
    const STORE: &str = "PAYGATE_STORE";
    if mode == Mode::Live {
        reader.require(STORE, "is required in live mode");
    }
    let Some(text) = reader.text(STORE) else {
        let Some(Preset::Depends { mock, .. }) = Var::find(STORE).map(|var| var.preset) else {
            unreachable!("the store's default depends on the mode")
        };
        return store_choice(mock).unwrap_or(StoreChoice::Memory);
    };
    let choice = store_choice(&text).unwrap_or_else(|wrong| {
        reader.wrong(STORE, wrong);
        StoreChoice::Memory
    });
    if choice == StoreChoice::Memory && text == "memory:" && mode == Mode::Live {
        reader.wrong(STORE, "is memory, which forgets orders that can still be paid");
    }
    choice
}

fn store_choice(text: &str) -> Result<StoreChoice, Wrong> {
    if text == "memory:" {
        return Ok(StoreChoice::Memory);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err("is PostgreSQL, which this version does not have yet".into());
    }
    match text.strip_prefix("sqlite:") {
        None => Err("is no store".into()),
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

fn pricing(reader: &mut Reader<'_>, mode: Mode) -> PricingChoice {
    const PRICING: &str = "PAYGATE_PRICING";
    let kinds = [("trusted", Kind::Trusted), ("quote", Kind::Quote), ("callback", Kind::Callback)];
    if mode == Mode::Live {
        reader.require(PRICING, "is required in live mode: a browser must not name its own price");
    }
    let kind = reader.optional(PRICING, |text| parse::choice(text, &kinds));
    let token = reader.optional("PAYGATE_CALLER_TOKEN", parse::token);
    let secret = reader.optional("PAYGATE_QUOTE_SECRET", parse::quote_secret);
    let url = reader.optional("PAYGATE_PRICING_URL", parse::pricing_url);
    for (name, value, needed_by) in [
        ("PAYGATE_CALLER_TOKEN", "trusted", Kind::Trusted),
        ("PAYGATE_QUOTE_SECRET", "quote", Kind::Quote),
        ("PAYGATE_PRICING_URL", "callback", Kind::Callback),
    ] {
        if kind == Some(needed_by) {
            reader.require(name, format!("is required with {PRICING}={value}"));
        } else if reader.given(name) {
            reader.warn(format!("{name} has no effect without {PRICING}={value}"));
        }
    }
    let choice = match kind {
        Some(Kind::Trusted) => token.map(PricingChoice::CallerToken),
        Some(Kind::Quote) => secret.map(PricingChoice::Quote),
        Some(Kind::Callback) => url.map(PricingChoice::Callback),
        None => None,
    };
    // A stand-in where something was complained about, and mock mode's own where nothing is set.
    choice.unwrap_or(PricingChoice::EverybodyOnLoopback)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Trusted,
    Quote,
    Callback,
}

fn webhook(reader: &mut Reader<'_>) -> Option<Webhook> {
    const URL: &str = "PAYGATE_WEBHOOK_URL";
    const SECRET: &str = "PAYGATE_WEBHOOK_SECRET";
    let url = reader.optional(URL, webhook_url);
    let key = reader.optional(SECRET, parse::webhook_key);
    match (reader.given(URL), reader.given(SECRET)) {
        (true, _) => reader.require(SECRET, "is required with PAYGATE_WEBHOOK_URL"),
        (false, true) => reader.warn("PAYGATE_WEBHOOK_SECRET has no effect without a webhook URL"),
        (false, false) => {
            reader.warn("PAYGATE_WEBHOOK_URL is not set: the shop is told of no payment");
        }
    }
    Some(Webhook { url: url?, key: key? })
}

/// The type is the caller's text: it may choose a path, never a host.
fn webhook_url(text: &str) -> Result<String, Wrong> {
    let [one, other] = ["a", "b"].map(|it| parse::shop_url(&text.replace("{type}", it)));
    let (one, other) = (one?, other?);
    if one.origin() != other.origin()
        || one.username() != other.username()
        || one.password() != other.password()
    {
        return Err("has {type} before its path".into());
    }
    Ok(text.to_owned())
}

fn merchants(reader: &mut Reader<'_>, mode: Mode) -> Vec<Merchant> {
    let versions = [("2", false), ("3", true)];
    if !reader.value("PAYGATE_WXPAY_VERSION", |text| parse::choice(text, &versions)) {
        let wrong = "is version 2 of WeChat Pay's API, which this version does not have yet";
        reader.wrong("PAYGATE_WXPAY_VERSION", wrong);
    }
    let products = [("precreate", false), ("web", true)];
    let choice = AlipayChoice {
        app_to_h5: reader.value("PAYGATE_ALIPAY_APP_TO_H5", parse::boolean),
        web_pages: reader.value("PAYGATE_ALIPAY_H5_PRODUCT", |text| parse::choice(text, &products)),
    };
    let gateways = gateways(reader);
    let mut default = Merchant::new(Pid::default(), choice);
    match mode {
        Mode::Live => live(reader, &gateways, &mut default),
        Mode::Mock => mock(reader),
    }
    let documents = merchants::read(reader, mode, &gateways);
    let known = mode == Mode::Mock || !default.providers().is_empty();
    known.then_some(default).into_iter().chain(documents).collect()
}

fn gateways(reader: &mut Reader<'_>) -> Gateways {
    let sandbox = Url::parse(ALIPAY_SANDBOX).expect("a constant URL");
    let alipay = reader.value("PAYGATE_ALIPAY_GATEWAY_URL", |text| match text {
        "sandbox" => Ok(sandbox.clone()),
        _ => parse::https_url(text),
    });
    // A gateway on loopback stands in for Alipay's test gateway, too.
    let alipay_sandbox = if parse::is_loopback(&alipay) { alipay.clone() } else { sandbox };
    let wxpay = reader.value("PAYGATE_WXPAY_BASE_URL", parse::https_origin);
    Gateways { wxpay, alipay, alipay_sandbox }
}

fn live(reader: &mut Reader<'_>, gateways: &Gateways, merchant: &mut Merchant) {
    if reader.any_given(is_credential_of(Group::Wxpay)) {
        #[cfg(feature = "wxpay")]
        {
            merchant.wxpay = super::merchants::wxpay::merchant(reader, &gateways.wxpay);
        }
        #[cfg(not(feature = "wxpay"))]
        reader.wrong("PAYGATE_WXPAY_MCH_ID", "is for a provider that this build does not have");
    }
    if reader.any_given(is_credential_of(Group::Alipay)) {
        #[cfg(feature = "alipay")]
        {
            merchant.alipay =
                super::merchants::alipay::merchant(reader, &gateways.alipay, merchant.choice);
        }
        #[cfg(not(feature = "alipay"))]
        reader.wrong("PAYGATE_ALIPAY_APP_ID", "is for a provider that this build does not have");
    }
    // Read only to be shown: version 2 is refused.
    reader.text("PAYGATE_WXPAY_API_V2_KEY");
}

fn mock(reader: &mut Reader<'_>) {
    for var in VARS.iter().filter(|var| matches!(var.group, Group::Wxpay | Group::Alipay)) {
        if is_credential_of(var.group)(var) && reader.given(var.name) {
            reader.wrong(var.name, "is for live mode: mock mode has keys of its own");
        }
    }
    for name in ["PAYGATE_WXPAY_BASE_URL", "PAYGATE_ALIPAY_GATEWAY_URL"] {
        if reader.given(name) {
            reader.warn(format!("{name} has no effect in mock mode"));
        }
    }
}

/// Whether a variable is a part of a merchant's account: setting one of them configures its
/// provider, which must then be complete.
fn is_credential_of(group: Group) -> impl Fn(&Var) -> bool {
    move |var| var.group == group && var.preset == Preset::None
}

/// What a missing or ill public URL means to vk-uni-pay's users.
pub(super) const NO_NOTIFY_URL: &str = "error 101: no usable notify URL";

/// Alipay's test gateway (Alipay, "Sandbox environment").
const ALIPAY_SANDBOX: &str = "https://openapi-sandbox.dl.alipaydev.com/gateway.do";
