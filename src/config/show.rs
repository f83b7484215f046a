//! The effective configuration as text, without secrets.

use std::fmt::Write as _;

use url::Url;

use super::reader::RawValue;
use super::settings::{AlertConfig, AlertFormat, Config, EffectiveValue, MerchantConfig, Mode};
use super::table::{DefaultValue, VARIABLES, Variable};
use crate::domain::channel::PayType;
use crate::domain::notify_url::{self, MountPath};
#[cfg(feature = "alipay")]
use crate::provider::alipay::AlipayVerification;
#[cfg(feature = "wxpay")]
use crate::provider::wxpay::{WxpayAccount, WxpayVerification};
#[cfg(feature = "sidecar")]
use crate::store::{KnownAccounts, StoredAccount};

/// Every variable's effective value.
pub(super) fn effective_values(
    mode: Mode,
    values: &[(&'static Variable, RawValue)],
) -> Vec<EffectiveValue> {
    let effective = |variable: &'static Variable| {
        let set = values.iter().find(|(read, _)| read.name == variable.name);
        let (redacted, origin) = match (set.map(|(_, value)| value), variable.default) {
            (Some(value), _) => (redacted(variable, value), origin(value)),
            (None, DefaultValue::Unset) => (String::new(), "not set".to_owned()),
            (None, DefaultValue::Fixed(value)) => (value.to_owned(), "default".to_owned()),
            (None, DefaultValue::ByMode { live, .. }) if mode == Mode::Live => {
                (String::new(), format!("not set: {live}"))
            }
            (None, DefaultValue::ByMode { mock, .. }) => (mock.to_owned(), "default".to_owned()),
        };
        EffectiveValue { name: variable.name, redacted, origin }
    };
    VARIABLES.iter().map(effective).collect()
}

/// One variable a line, then the merchants, the webhook and the warnings.
pub(super) fn describe(config: &Config) -> String {
    let mut text = String::new();
    for EffectiveValue { name, redacted, origin } in &config.effective {
        let assignment = format!("{name}={redacted}");
        let _ = writeln!(text, "{assignment:<64} ({origin})");
    }
    for merchant in &config.merchants {
        let _ = writeln!(text, "merchant {}: {}", merchant.pid, pay_types(config.mode, merchant));
        describe_accounts(&mut text, config, merchant);
    }
    for certificate in &config.certificates {
        let _ = writeln!(text, "{}", certificate.describe());
    }
    if let Some(webhook) = &config.webhook {
        let lengths: Vec<String> =
            webhook.keys.iter().map(|key| format!("{} bytes", key.len())).collect();
        let _ = writeln!(
            text,
            "webhook: signed as Standard Webhooks has it, with keys of {}; the shop's library \
             takes the text of PAYGATE_WEBHOOK_SECRET as it is, with whsec_",
            lengths.join(" and ")
        );
    }
    if let Some(AlertConfig { url, format, secret }) = &config.alerts {
        let host = url.host_str().unwrap_or_default();
        let verifies = matches!(format, AlertFormat::Dingtalk | AlertFormat::Feishu);
        let signed = if secret.is_some() && verifies { ", signed" } else { "" };
        let _ = writeln!(
            text,
            "alerts: every ERROR of the log, to {} at {host}{signed}; `paygate test-alert` sends \
             one",
            format.receiver()
        );
    }
    for warning in &config.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// One account of the store a line.
#[cfg(feature = "sidecar")]
pub(super) fn describe_stored(config: &Config, accounts: &KnownAccounts) -> String {
    let KnownAccounts::Listed(accounts) = accounts else {
        return "store: an earlier paygate wrote it, and its accounts are listed after the next \
                start of this one\n"
            .to_owned();
    };
    let mut text = String::new();
    for account in accounts {
        let lacks = lack(config, account).map(|lack| format!("; {lack}: {STRANDED}"));
        let (described, lacks) = (describe_account(account), lacks.unwrap_or_default());
        let _ = writeln!(text, "store: {described}{lacks}");
    }
    text
}

/// The accounts of the store that no merchant of the configuration has, each with the reason.
#[cfg(feature = "sidecar")]
pub(super) fn stranded(config: &Config, accounts: &KnownAccounts) -> Vec<String> {
    let KnownAccounts::Listed(accounts) = accounts else { return Vec::new() };
    let stranded = accounts.iter().filter_map(|account| {
        Some(format!("{}; {}", describe_account(account), lack(config, account)?))
    });
    stranded.collect()
}

#[cfg(feature = "sidecar")]
fn describe_account(StoredAccount { pid, api_version, id }: &StoredAccount) -> String {
    format!("pid {pid} has orders of the {api_version} account {id}")
}

/// Why the configuration does not have the account.
#[cfg(feature = "sidecar")]
fn lack(config: &Config, StoredAccount { pid, api_version, id }: &StoredAccount) -> Option<String> {
    let merchant = config.merchants.iter().find(|merchant| merchant.pid == *pid);
    match merchant {
        None => Some(format!("no merchant {pid} is configured")),
        // In mock mode every merchant has the mock's account.
        Some(_) if config.mode == Mode::Mock => None,
        Some(merchant) if merchant.has_account(api_version, id) => None,
        Some(_) => Some(format!("the merchant {pid} is configured with another one")),
    }
}

/// What becomes of the orders of an account that is not configured.
#[cfg(feature = "sidecar")]
const STRANDED: &str = "paygate can neither query, close nor refund them, and refuses the \
                        provider's notifications about them";

fn pay_types(mode: Mode, merchant: &MerchantConfig) -> String {
    if mode == Mode::Mock {
        return "every pay type, with the mock's keys".to_owned();
    }
    let names: Vec<&str> = merchant.pay_types().into_iter().map(PayType::name).collect();
    if names.is_empty() { "no pay type".to_owned() } else { names.join(", ") }
}

/// The accounts and apps of a merchant of live mode, what verifies the providers' messages, and
/// where the providers send their notifications.
fn describe_accounts(text: &mut String, config: &Config, merchant: &MerchantConfig) {
    let notifies = |pay_type: PayType| {
        let (Some(url), Ok(mount)) = (&config.public_url, MountPath::parse(&config.mount)) else {
            return String::new();
        };
        let base = notify_url::notify_base(url, &mount);
        format!(", notified at {}", notify_url::notify_url(&base, pay_type, &merchant.pid))
    };
    #[cfg(feature = "wxpay")]
    for (pay_type, app) in merchant.wxpay.iter().flat_map(|merchant| &merchant.apps) {
        let WxpayAccount { mch_id, serial_no, verification, .. } = &*app.account;
        let verified = match verification {
            WxpayVerification::PublicKey { id, .. } => format!("the public key {id}"),
            WxpayVerification::Certificates => "platform certificates".to_owned(),
        };
        let (app_id, notifies) = (&app.app_id, notifies(*pay_type));
        let _ = writeln!(
            text,
            "  {pay_type}: app {app_id}, account {mch_id}, API certificate {serial_no}, verified \
             by {verified}{notifies}"
        );
    }
    #[cfg(feature = "alipay")]
    for (pay_type, app) in merchant.alipay.iter().flat_map(|merchant| &merchant.apps) {
        let verified = match &app.verification {
            AlipayVerification::PublicKey(_) => "Alipay's public key",
            AlipayVerification::Certificates { .. } => "certificates",
        };
        let (app_id, notifies) = (&app.app_id, notifies(*pay_type));
        let seller = app.seller_id.as_deref().map_or(String::new(), |id| format!(", seller {id}"));
        let _ =
            writeln!(text, "  {pay_type}: app {app_id}{seller}, verified by {verified}{notifies}");
    }
}

fn origin(value: &RawValue) -> String {
    match value {
        RawValue::Environment(_) => "environment".to_owned(),
        RawValue::File(path, _) => format!("file {}", path.display()),
    }
}

fn redacted(variable: &Variable, value: &RawValue) -> String {
    if variable.secret {
        return HIDDEN.to_owned();
    }
    let bytes = value.bytes();
    match std::str::from_utf8(bytes).map(str::trim) {
        Ok(text) if text.contains("://") => without_secrets(text),
        Ok(text) if text.len() <= 100 && !text.contains(char::is_control) => text.to_owned(),
        _ => format!("({} bytes)", bytes.len()),
    }
}

/// Hides a URL's password, a user name without one, and the query: each may be a secret.
fn without_secrets(text: &str) -> String {
    if !text.contains(['@', '?']) {
        return text.to_owned();
    }
    let Ok(mut url) = Url::parse(text) else { return HIDDEN.to_owned() };
    let hidden = match (url.username().is_empty(), url.password()) {
        (_, Some(_)) => url.set_password(Some(HIDDEN)),
        (false, None) => url.set_username(HIDDEN),
        (true, None) => Ok(()),
    };
    if hidden.is_err() {
        return HIDDEN.to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some(HIDDEN));
    }
    url.as_str().replace("%7Btype%7D", "{type}")
}

const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, shown) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("postgres://app:hunter2@db/pay", "postgres://app:***@db/pay"),
            ("https://hunter2@a.b/{type}", "https://***@a.b/{type}"),
            ("https://a.b/x?key=hunter2", "https://a.b/x?***"),
            ("postgres://app:hunter2@[db/pay", "***"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[cfg(all(feature = "sidecar", feature = "wxpay"))]
    fn live() -> Config {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
        let variables = [
            ("PAYGATE_STORE", "sqlite:paygate.db"),
            ("PAYGATE_PUBLIC_URL", "https://pay.example.com"),
            ("PAYGATE_PRICING", "trusted"),
            ("PAYGATE_CALLER_TOKEN", "0123456789abcdef0123456789abcdef"),
            ("PAYGATE_WXPAY_MCH_ID", "1900000001"),
            ("PAYGATE_WXPAY_APP_ID", "wxd678efh567hg6787"),
            ("PAYGATE_WXPAY_PRIVATE_KEY", &key),
            ("PAYGATE_WXPAY_SERIAL_NO", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"),
            ("PAYGATE_WXPAY_API_V3_KEY", "another-api-v3-key-0123456789abc"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::read(&std::collections::BTreeMap::from(variables)).unwrap()
    }

    #[cfg(all(feature = "sidecar", feature = "wxpay"))]
    #[test]
    fn an_account_of_the_store_that_the_merchant_of_its_pid_lacks_is_named() {
        let account = |pid: &str, api_version: &str, id: &str| StoredAccount {
            pid: crate::domain::ids::Pid::new(pid),
            api_version: api_version.to_owned(),
            id: id.to_owned(),
        };
        let known = KnownAccounts::Listed(vec![
            account("default", "wxpay_v3", "1900000001"),
            account("default", "wxpay_v2", "1900000001"),
            account("default", "wxpay_v3", "1900000002"),
            account("old", "wxpay_v3", "1900000001"),
        ]);
        let config = live();
        let text = describe_stored(&config, &known);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "store: pid default has orders of the wxpay_v3 account 1900000001");
        let other = format!("; the merchant default is configured with another one: {STRANDED}");
        assert!(lines[1].ends_with(&format!("wxpay_v2 account 1900000001{other}")), "{text}");
        assert!(lines[2].ends_with(&format!("wxpay_v3 account 1900000002{other}")), "{text}");
        let none = format!("account 1900000001; no merchant old is configured: {STRANDED}");
        assert!(lines[3].ends_with(&none), "{text}");
        let unlisted = describe_stored(&config, &KnownAccounts::Unlisted);
        assert!(unlisted.contains("listed after the next start"), "{unlisted}");
    }
}
