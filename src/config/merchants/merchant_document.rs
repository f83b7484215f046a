//! One `vk-pay-config` document: a merchant with a node for each pay type.

use serde_json::{Map, Value};

use super::pay_type_node::{MERCHANTS, PayTypeNode, is_blank, is_true, redacted};
use super::provider_urls::ProviderUrls;
use crate::config::reader::Reader;
use crate::config::settings::{MerchantConfig, Mode};
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
use crate::domain::product::AlipayChoice;

/// A document, and the context in which it becomes a merchant.
pub(super) struct MerchantDocument<'a, 'b> {
    pub(super) reader: &'a mut Reader<'b>,
    pub(super) mode: Mode,
    pub(super) urls: &'a ProviderUrls,
    /// Whether browsers get Alipay's pages.
    pub(super) web_pages: bool,
    pub(super) document: &'a Map<String, Value>,
}

impl MerchantDocument<'_, '_> {
    /// Reads every node; `pid` is the document's `_id`.
    pub(super) fn read(&mut self, pid: Pid) -> MerchantConfig {
        let app_to_h5 = self.document.get("alipayAppPayToH5Pay").is_some_and(is_true);
        let choice = AlipayChoice { app_to_h5, web_pages: self.web_pages };
        let mut merchant = MerchantConfig::new(pid, choice);
        for (key, value) in self.document {
            match key.as_str() {
                "wxpay" => self.read_nodes(&mut merchant, ProviderId::Wxpay, value),
                "alipay" => self.read_nodes(&mut merchant, ProviderId::Alipay, value),
                "_id" => {}
                _ => self.warn_of_unused(&merchant.pid, key, value),
            }
        }
        if self.mode == Mode::Live && merchant.providers().is_empty() {
            self.reader.warn(format!("PAYGATE_MERCHANTS: pid {} cannot be paid", merchant.pid));
        }
        merchant
    }

    fn read_nodes(&mut self, merchant: &mut MerchantConfig, provider: ProviderId, value: &Value) {
        match value {
            Value::Object(nodes) => {
                for (name, value) in nodes {
                    self.read_node(merchant, provider, name, value);
                }
            }
            Value::Null => {}
            _ => {
                let reason = format!("pid {}: {provider} is not an object", merchant.pid);
                self.reader.report(MERCHANTS, reason);
            }
        }
    }

    fn read_node(
        &mut self,
        merchant: &mut MerchantConfig,
        provider: ProviderId,
        name: &str,
        value: &Value,
    ) {
        let place = format!("pid {}, {provider}.{}", merchant.pid, redacted(name));
        let Some(pay_type) = PayType::parse(&format!("{provider}_{name}")) else {
            if !is_blank(value) {
                self.reader.warn(format!("PAYGATE_MERCHANTS: {place} is not used by paygate"));
            }
            return;
        };
        let Value::Object(fields) = value else {
            if !is_blank(value) {
                self.reader.report(MERCHANTS, format!("{place} is not an object"));
            }
            return;
        };
        let mut node = PayTypeNode { reader: self.reader, place, fields, urls: self.urls };
        if !node.has_keys(provider) {
            if node.has("appId") {
                node.warn("has an appId and no keys, and is not used");
            }
        } else if self.mode == Mode::Mock {
            node.report_node("holds live keys: in mock mode a document has nothing but its _id");
        } else {
            node.report_file_fields(provider);
            node.warn_of_misspelt(provider);
            node.add_app(pay_type, merchant);
        }
    }

    fn warn_of_unused(&mut self, pid: &Pid, key: &str, value: &Value) {
        if value.is_object() && !is_blank(value) {
            let key = redacted(key);
            self.reader.warn(format!("PAYGATE_MERCHANTS: pid {pid}, {key} is not used by paygate"));
        }
    }
}
