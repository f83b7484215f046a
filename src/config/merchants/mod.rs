//! More merchants: vk-uni-pay's `vk-pay-config` documents.
//!
//! A document is one merchant; `data.pid` names it by its `_id`. Under `wxpay` and `alipay` it has
//! a node for each pay type (vk-uni-pay, "vk-pay-config"). A node whose payment fields are all
//! empty, as in vk-uni-pay's template, counts as absent.

#[cfg(feature = "alipay")]
pub(super) mod alipay;
pub(super) mod credentials;
pub(super) mod given;
mod merchant_document;
pub(super) mod pay_type_node;
pub(super) mod provider_urls;
#[cfg(feature = "wxpay")]
pub(super) mod wxpay;
#[cfg(feature = "wxpay")]
pub(super) mod wxpay_accounts;

use std::path::Path;

use serde_json::{Deserializer, Map, Value};

use super::file;
use super::parse;
use super::reader::Reader;
use super::settings::{MerchantConfig, Mode};
use crate::domain::ids::Pid;
use merchant_document::MerchantDocument;
use pay_type_node::MERCHANTS;
use provider_urls::ProviderUrls;

/// Reads the merchants of the file that `PAYGATE_MERCHANTS` names. With `web_pages` Alipay's pages
/// are their product in browsers.
pub(super) fn read_merchants(
    reader: &mut Reader<'_>,
    mode: Mode,
    urls: &ProviderUrls,
    web_pages: bool,
) -> Vec<MerchantConfig> {
    let Some(path) = reader.text(MERCHANTS) else { return Vec::new() };
    let documents = match file::read_file(Path::new(&path), FILE_BYTES_MAX) {
        Err(reason) => Err(format!("the file {reason}")),
        Ok(file) => {
            if file.readable_by_others {
                reader.warn("every user of this machine can read the file in PAYGATE_MERCHANTS");
            }
            parse_documents(&file.bytes)
        }
    };
    let documents = documents.unwrap_or_else(|reason| {
        reader.report(MERCHANTS, reason);
        Vec::new()
    });
    let mut merchants: Vec<MerchantConfig> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let place = format!("document {}", index + 1);
        let Some(pid) = read_pid(reader, &place, document) else { continue };
        if merchants.iter().any(|merchant| merchant.pid == pid) {
            reader.report(MERCHANTS, format!("{place}: the _id {pid} stands there twice"));
        }
        let mut document = MerchantDocument { reader, mode, urls, web_pages, document };
        let merchant = document.read(pid);
        merchants.push(merchant);
    }
    merchants
}

/// The documents of an array, of one document after another (`mongoexport`), or of uniCloud's
/// `db_init.json`.
fn parse_documents(bytes: &[u8]) -> Result<Vec<Map<String, Value>>, String> {
    let text = parse::utf8(bytes).map_err(|reason| format!("the file {reason}"))?;
    let mut documents = Vec::new();
    for value in Deserializer::from_str(text.trim_start_matches('\u{feff}')).into_iter::<Value>() {
        // serde_json's message may repeat a part of the file; the line and column do not.
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
    let object = |(index, value)| match value {
        Value::Object(object) => Ok(object),
        _ => Err(format!("document {} is not an object", index + 1)),
    };
    documents.into_iter().enumerate().map(object).collect()
}

fn read_pid(reader: &mut Reader<'_>, place: &str, document: &Map<String, Value>) -> Option<Pid> {
    let id = match document.get("_id") {
        Some(Value::String(id)) => Some(id.as_str()),
        Some(Value::Object(id)) => id.get("$oid").and_then(Value::as_str),
        _ => None,
    };
    let reason = match id {
        None => "has no text called _id",
        Some("" | "." | "..") => "has an _id that cannot stand in a URL",
        Some(id) if id.len() > 64 => "has an _id of more than 64 bytes",
        Some(id) if id.contains(char::is_control) => "has an _id with a control character",
        Some(Pid::DEFAULT) => "has the _id default, which is reserved",
        Some(id) => return Some(Pid::new(id)),
    };
    reader.report(MERCHANTS, format!("{place} {reason}"));
    None
}

const FILE_BYTES_MAX: u64 = 4 << 20;
