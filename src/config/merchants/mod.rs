//! More merchants: vk-uni-pay's `vk-pay-config` documents.
//!
//! A document is one merchant; its `_id` is what `data.pid` names. Under `wxpay` and `alipay` it
//! has a node for each pay type (vk-uni-pay, "vk-pay-config"). A node whose payment fields are all
//! empty, as vk-uni-pay's template has them, is absent.

#[cfg(feature = "alipay")]
pub(super) mod alipay;
pub(super) mod credentials;
pub(super) mod document;
pub(super) mod mock_keys;
#[cfg(feature = "wxpay")]
pub(super) mod wxpay;

use std::path::Path;

use serde_json::{Deserializer, Map, Value};
use url::Url;

use super::file;
use super::reader::Reader;
use super::{Merchant, Mode};
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
use crate::domain::product::AlipayChoice;
use document::Node;

/// Where the providers are, for every merchant.
pub(super) struct Gateways {
    pub(super) wxpay: Url,
    pub(super) alipay: Url,
    /// Alipay's own test gateway, or what stands in for it.
    pub(super) alipay_sandbox: Url,
}

/// The merchants of the file that `PAYGATE_MERCHANTS` names.
pub(super) fn read(reader: &mut Reader<'_>, mode: Mode, gateways: &Gateways) -> Vec<Merchant> {
    let Some(path) = reader.text(VARIABLE) else { return Vec::new() };
    let documents = match file::read(Path::new(&path), FILE_BYTES_MAX) {
        Err(wrong) => Err(format!("the file {wrong}")),
        Ok(contents) => {
            if contents.readable_by_others {
                reader.warn("every user of this machine can read the file in PAYGATE_MERCHANTS");
            }
            documents(&contents.bytes)
        }
    };
    let documents = documents.unwrap_or_else(|wrong| {
        reader.wrong(VARIABLE, wrong);
        Vec::new()
    });
    let mut merchants: Vec<Merchant> = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let place = format!("document {}", at + 1);
        let Some(pid) = pid(reader, &place, document) else { continue };
        if merchants.iter().any(|it| it.pid == pid) {
            reader.wrong(VARIABLE, format!("{place}: the _id {pid} stands there twice"));
        }
        let mut reading = Reading { reader, mode, gateways, others: &merchants };
        let merchant = reading.merchant(pid, document);
        merchants.push(merchant);
    }
    merchants
}

/// The documents of an array, of one document after another (`mongoexport`), or of uniCloud's
/// `db_init.json`.
fn documents(bytes: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8")?;
    let mut documents = Vec::new();
    for value in Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter::<Value>() {
        // serde_json's own words may repeat what stands in the file; the place does not.
        let value = value.map_err(|error| {
            format!("the file is not JSON at line {}, column {}", error.line(), error.column())
        })?;
        match value {
            Value::Array(items) => documents.extend(items),
            Value::Object(mut object) => match object.remove("vk-pay-config") {
                Some(Value::Object(mut collection)) => match collection.remove("data") {
                    Some(Value::Array(items)) => documents.extend(items),
                    _ => return Err("the file's vk-pay-config has no array called data".into()),
                },
                _ => documents.push(Value::Object(object)),
            },
            _ => documents.push(value),
        }
    }
    if documents.is_empty() {
        return Err("the file holds no document".into());
    }
    let object = |(at, value)| match value {
        Value::Object(object) => Ok(object),
        _ => Err(format!("document {} is not an object", at + 1)),
    };
    documents.into_iter().enumerate().map(object).collect()
}

fn pid(reader: &mut Reader<'_>, place: &str, document: &Map<String, Value>) -> Option<Pid> {
    let id = match document.get("_id") {
        Some(Value::String(id)) => Some(id.as_str()),
        Some(Value::Object(id)) => id.get("$oid").and_then(Value::as_str),
        _ => None,
    };
    let wrong = match id {
        None => "has no text called _id",
        Some("" | "." | "..") => "has an _id that cannot stand in a URL",
        Some(id) if id.len() > 64 => "has an _id of more than 64 bytes",
        Some(id) if id.contains(char::is_control) => "has an _id with a control character",
        Some(Pid::DEFAULT) => "has the _id default, which is reserved",
        Some(id) => return Some(Pid::new(id)),
    };
    reader.wrong(VARIABLE, format!("{place} {wrong}"));
    None
}

/// One document on its way to a merchant.
struct Reading<'a, 'b> {
    reader: &'a mut Reader<'b>,
    mode: Mode,
    gateways: &'a Gateways,
    others: &'a [Merchant],
}

impl Reading<'_, '_> {
    fn merchant(&mut self, pid: Pid, document: &Map<String, Value>) -> Merchant {
        let app_to_h5 = document.get("alipayAppPayToH5Pay").is_some_and(is_true);
        let choice = AlipayChoice { app_to_h5, web_pages: false };
        let mut merchant = Merchant::new(pid, choice);
        for (key, value) in document {
            let provider = match key.as_str() {
                "wxpay" => ProviderId::Wxpay,
                "alipay" => ProviderId::Alipay,
                "_id" => continue,
                _ => {
                    self.warn_of_other(&merchant.pid, key, value);
                    continue;
                }
            };
            let empty = Map::new();
            let nodes = match value {
                Value::Object(nodes) => nodes,
                Value::Null => &empty,
                _ => {
                    let wrong = format!("pid {}: {key} is not an object", merchant.pid);
                    self.reader.wrong(VARIABLE, wrong);
                    &empty
                }
            };
            for (name, value) in nodes {
                self.node(&mut merchant, provider, name, value);
            }
        }
        if self.mode == Mode::Live && merchant.providers().is_empty() {
            self.reader.warn(format!("PAYGATE_MERCHANTS: pid {} cannot be paid", merchant.pid));
        }
        merchant
    }

    fn node(&mut self, merchant: &mut Merchant, provider: ProviderId, name: &str, value: &Value) {
        let place = format!("pid {}, {provider}.{}", merchant.pid, shown(name));
        let Some(pay_type) = PayType::parse(&format!("{provider}_{name}")) else {
            if !is_blank(value) {
                self.reader.warn(format!("PAYGATE_MERCHANTS: {place} is not used by paygate"));
            }
            return;
        };
        let Value::Object(fields) = value else {
            if !is_blank(value) {
                self.reader.wrong(VARIABLE, format!("{place} is not an object"));
            }
            return;
        };
        let gateways = self.gateways;
        let mut node = Node { reader: self.reader, place, fields, gateways };
        if !node.has_keys(provider) {
            if node.has("appId") {
                node.warn("has an appId and no keys, and is not used");
            }
        } else if self.mode == Mode::Mock {
            node.complain("holds live keys: in mock mode a document has nothing but its _id");
        } else {
            node.open(pay_type, merchant, self.others);
        }
    }

    fn warn_of_other(&mut self, pid: &Pid, key: &str, value: &Value) {
        if value.is_object() && !is_blank(value) {
            let key = shown(key);
            self.reader.warn(format!("PAYGATE_MERCHANTS: pid {pid}, {key} is not used by paygate"));
        }
    }
}

/// Whether a value holds nothing that anybody filled in.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(is_blank),
        Value::Object(fields) => fields.values().all(is_blank),
    }
}

/// `true`, also as text.
pub(super) fn is_true(value: &Value) -> bool {
    value == &Value::Bool(true) || value.as_str() == Some("true")
}

/// A key of a document, as far as it is fit to be shown.
fn shown(key: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
    key.chars().filter(plain).take(32).collect()
}

/// The variable that names the file.
pub(super) const VARIABLE: &str = "PAYGATE_MERCHANTS";

const FILE_BYTES_MAX: u64 = 4 << 20;
