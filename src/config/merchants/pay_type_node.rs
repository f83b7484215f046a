//! One node of a `vk-pay-config` document: a merchant's app and account for one pay type.

#[cfg(feature = "wxpay")]
use std::sync::Arc;

#[cfg(feature = "alipay")]
use super::alipay;
use super::credentials::{Credential, Credentials};
#[cfg(any(feature = "wxpay", feature = "alipay"))]
use super::credentials::{parse_text, require};
use super::provider_urls::ProviderUrls;
#[cfg(feature = "wxpay")]
use super::wxpay;
use crate::config::certificates::CertificateEnd;
#[cfg(any(feature = "wxpay", feature = "alipay"))]
use crate::config::parse;
use crate::config::problem::ProblemReason;
use crate::config::reader::Reader;
use crate::config::settings::MerchantConfig;
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::nearest;
#[cfg(feature = "wxpay")]
use crate::provider::wxpay::{Site, WxpayApp};
use serde_json::{Map, Value};

/// A node's fields, and its place as problems name it.
pub(in crate::config) struct PayTypeNode<'a, 'b> {
    pub(in crate::config) reader: &'a mut Reader<'b>,
    pub(in crate::config) place: String,
    pub(in crate::config) fields: &'a Map<String, Value>,
    pub(in crate::config) urls: &'a ProviderUrls,
}

impl Credentials for PayTypeNode<'_, '_> {
    fn is_set(&self, credential: &Credential) -> bool {
        self.has(credential.field)
    }

    fn read(&mut self, credential: &Credential) -> Option<Vec<u8>> {
        match self.fields.get(credential.field).filter(|value| !is_blank(value))? {
            Value::String(text) => Some(text.clone().into_bytes()),
            Value::Number(number) => Some(number.to_string().into_bytes()),
            _ => {
                self.report(credential, "is not a text".into());
                None
            }
        }
    }

    fn report(&mut self, credential: &Credential, reason: ProblemReason) {
        // `report_file_fields` has reported why the text is missing.
        if !self.has(credential.field) && self.has(&file_field(credential.field)) {
            return;
        }
        let reason = format!("{}.{}: {reason}", self.place, credential.field);
        self.reader.report(MERCHANTS, reason);
    }

    fn note_certificate(&mut self, credential: &Credential, end: CertificateEnd) {
        let place = format!("{MERCHANTS}: {}.{}", self.place, credential.field);
        self.reader.note_certificate(place, end);
    }
}

impl PayTypeNode<'_, '_> {
    /// Whether the field has a value.
    pub(in crate::config) fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !is_blank(value))
    }

    /// Whether a field that payments need has a value. A node with an `appId` and its `secret`
    /// alone serves vk-uni-pay's log-in.
    pub(in crate::config) fn has_keys(&self, provider: ProviderId) -> bool {
        let names_file = |field: &String| field.ends_with(PATH) && self.has(field);
        key_fields(provider).iter().any(|field| self.has(field))
            || self.fields.keys().any(names_file)
    }

    /// Reports the fields that name files: paygate reads the texts themselves. Where the text is
    /// there, too, it counts.
    pub(in crate::config) fn report_file_fields(&mut self, provider: ProviderId) {
        let fields = self.fields;
        for (field, _) in fields.iter().filter(|(_, value)| !is_blank(value)) {
            let place = format!("{}.{}", self.place, redacted(field));
            if field == "pfx" && provider == ProviderId::Wxpay {
                self.reader.warn(format!(
                    "PAYGATE_MERCHANTS: {place} is not read: appCertContent and \
                     appPrivateKeyContent hold the certificate and its key"
                ));
            }
            let Some(text_field) = text_field(provider, field) else { continue };
            match self.has(&text_field) {
                true => self.reader.warn(format!(
                    "PAYGATE_MERCHANTS: {place} is not read: {text_field} has the text"
                )),
                false => self.reader.report(
                    MERCHANTS,
                    format!(
                        "{place}: names a file, which paygate does not read: put the file's text \
                         into {text_field}"
                    ),
                ),
            }
        }
    }

    /// Warns of each field that is probably another one's misspelling.
    pub(in crate::config) fn warn_of_misspelt(&mut self, provider: ProviderId) {
        let known = || key_fields(provider).iter().chain(&OTHER_FIELDS).copied();
        let fields = self.fields.iter().filter(|(_, value)| !is_blank(value));
        for (field, _) in fields.filter(|(field, _)| !field.ends_with(PATH)) {
            if !known().any(|name| name == field)
                && let Some(meant) = nearest::similar(field, known())
            {
                self.reader.warn(format!(
                    "PAYGATE_MERCHANTS: {}.{} is not used by paygate; did you mean {meant}?",
                    self.place,
                    redacted(field)
                ));
            }
        }
    }

    pub(in crate::config) fn warn(&mut self, words: &str) {
        self.reader.warn(format!("PAYGATE_MERCHANTS: {} {words}", self.place));
    }

    /// Adds a problem of the whole node.
    pub(in crate::config) fn report_node(&mut self, words: &str) {
        self.reader.report(MERCHANTS, format!("{} {words}", self.place));
    }

    /// Adds the node's app to its merchant.
    pub(in crate::config) fn add_app(&mut self, pay_type: PayType, merchant: &mut MerchantConfig) {
        match pay_type.provider() {
            #[cfg(feature = "wxpay")]
            ProviderId::Wxpay => {
                if let Some(app) = self.wxpay_app(pay_type) {
                    merchant.wxpay.get_or_insert_default().apps.insert(pay_type, app);
                }
            }
            #[cfg(feature = "alipay")]
            ProviderId::Alipay => {
                if let Some(app) = self.alipay_app() {
                    let choice = merchant.choice;
                    let alipay = merchant.alipay.get_or_insert_default();
                    alipay.choice = choice;
                    alipay.apps.insert(pay_type, app);
                }
            }
            #[cfg(not(all(feature = "wxpay", feature = "alipay")))]
            _ => self.report_node("is for a provider that this build does not have"),
        }
    }

    #[cfg(feature = "wxpay")]
    fn wxpay_app(&mut self, pay_type: PayType) -> Option<WxpayApp> {
        if !self.is_version_3() {
            self.report_node(
                "is for version 2 of WeChat Pay's API (as every node without \"version\": 3), \
                 which this version of paygate does not have yet",
            );
            return None;
        }
        require(self, &APP_ID, "is required");
        let app_id = parse_text(self, &APP_ID, parse::identifier);
        let base_url = &self.urls.wxpay;
        let account = wxpay::read_account(self, base_url);
        let site = if pay_type == PayType::WxpayMweb { self.site() } else { None };
        Some(WxpayApp { app_id: app_id?, account: Arc::new(account?), site })
    }

    /// `version`: an absent one is 2, as in vk-uni-pay.
    #[cfg(feature = "wxpay")]
    fn is_version_3(&self) -> bool {
        match self.fields.get("version") {
            Some(Value::Number(number)) => number.as_f64() == Some(3.0),
            Some(Value::String(text)) => text.trim() == "3",
            Some(Value::Object(extended)) => {
                extended.get("$numberInt").and_then(Value::as_str) == Some("3")
            }
            _ => false,
        }
    }

    /// `sceneInfo.h5_info`, by V2's names or V3's.
    #[cfg(feature = "wxpay")]
    fn site(&mut self) -> Option<Site> {
        let fields = self.fields.get("sceneInfo")?.get("h5_info")?.as_object()?;
        let place = format!("{}.sceneInfo.h5_info", self.place);
        let mut node = PayTypeNode { reader: self.reader, place, fields, urls: self.urls };
        let name = if node.has("wap_name") { WAP_NAME } else { APP_NAME };
        let url = if node.has("wap_url") { WAP_URL } else { APP_URL };
        match (node.has(name.field), node.has(url.field)) {
            (false, false) => return None,
            (true, false) => node.report_node("has a name and no URL"),
            (false, true) => node.report_node("has a URL and no name"),
            (true, true) => {}
        }
        let name = parse_text(&mut node, &name, wxpay::site_name);
        let url = parse_text(&mut node, &url, wxpay::site_url);
        Some(Site { name: name?, url: url? })
    }

    #[cfg(feature = "alipay")]
    fn alipay_app(&mut self) -> Option<crate::provider::alipay::AlipayApp> {
        require(self, &APP_ID, "is required");
        let app_id = parse_text(self, &APP_ID, parse::identifier);
        let keys = alipay::read_keys(self);
        let sandbox = self.fields.get("sandbox").is_some_and(is_true);
        let ProviderUrls { alipay, alipay_sandbox, .. } = self.urls;
        let gateway = if sandbox { alipay_sandbox } else { alipay };
        Some(keys?.app(app_id?, gateway.clone()))
    }
}

/// A key of a document without the characters that no field's name has, at most 32 long.
pub(super) fn redacted(key: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    key.chars().filter(is_plain).take(32).collect()
}

/// The field that names the file whose text stands in `text_field`.
fn file_field(text_field: &str) -> String {
    format!("{}{PATH}", text_field.strip_suffix(CONTENT).unwrap_or(text_field))
}

/// The field with the text of the file that a field called `…Path` names.
fn text_field(provider: ProviderId, field: &str) -> Option<String> {
    let name = field.strip_suffix(PATH)?;
    let is_key = key_fields(provider).contains(&name);
    Some(if is_key { name.to_owned() } else { format!("{}{CONTENT}", redacted(name)) })
}

fn key_fields(provider: ProviderId) -> &'static [&'static str] {
    match provider {
        ProviderId::Wxpay => &WXPAY_KEYS,
        ProviderId::Alipay => &ALIPAY_KEYS,
    }
}

/// The end of the name of a field that names a file.
const PATH: &str = "Path";

/// The end of the name of the field with that file's text.
const CONTENT: &str = "Content";

/// Whether a value is empty, as a template's are.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(fields) => fields.values().all(is_blank),
    }
}

/// Whether a value is `true`, also as text.
pub(super) fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str() == Some("true")
}

/// The variable that names the file.
pub(super) const MERCHANTS: &str = "PAYGATE_MERCHANTS";

const APP_ID: Credential = Credential { variable: MERCHANTS, field: "appId" };
#[cfg(feature = "wxpay")]
const WAP_NAME: Credential = Credential { variable: MERCHANTS, field: "wap_name" };
#[cfg(feature = "wxpay")]
const WAP_URL: Credential = Credential { variable: MERCHANTS, field: "wap_url" };
#[cfg(feature = "wxpay")]
const APP_NAME: Credential = Credential { variable: MERCHANTS, field: "app_name" };
#[cfg(feature = "wxpay")]
const APP_URL: Credential = Credential { variable: MERCHANTS, field: "app_url" };

const WXPAY_KEYS: [&str; 8] = [
    "mchId",
    "key",
    "pfx",
    "v3Key",
    "appCertContent",
    "appPrivateKeyContent",
    "wxpayPublicKeyContent",
    "wxpayPublicKeyId",
];

/// The fields that are read of a node besides its keys, and `secret`, which is vk-uni-pay's log-in.
const OTHER_FIELDS: [&str; 6] = ["appId", "mchId", "secret", "version", "sceneInfo", "sandbox"];

const ALIPAY_KEYS: [&str; 5] = [
    "privateKey",
    "alipayPublicKey",
    "appCertContent",
    "alipayPublicCertContent",
    "alipayRootCertContent",
];
