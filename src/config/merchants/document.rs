//! One node of a `vk-pay-config` document: what a merchant takes one pay type with.

#[cfg(feature = "wxpay")]
use std::sync::Arc;

use serde_json::{Map, Value};

#[cfg(feature = "alipay")]
use super::alipay;
use super::credentials;
use super::credentials::{Piece, Pieces};
#[cfg(feature = "wxpay")]
use super::wxpay;
use super::{Gateways, VARIABLE, is_blank, is_true};
use crate::config::Merchant;
#[cfg(any(feature = "wxpay", feature = "alipay"))]
use crate::config::parse;
use crate::config::problem::Wrong;
use crate::config::reader::Reader;
use crate::domain::channel::{PayType, ProviderId};
#[cfg(feature = "wxpay")]
use crate::provider::wxpay::{Site, WxpayApp};

/// A node, and how complaints call it.
pub(in crate::config) struct Node<'a, 'b> {
    pub(in crate::config) reader: &'a mut Reader<'b>,
    pub(in crate::config) place: String,
    pub(in crate::config) fields: &'a Map<String, Value>,
    pub(in crate::config) gateways: &'a Gateways,
}

impl Pieces for Node<'_, '_> {
    fn given(&self, piece: &Piece) -> bool {
        self.has(piece.field)
    }

    fn read(&mut self, piece: &Piece) -> Option<Vec<u8>> {
        match self.fields.get(piece.field).filter(|it| !is_blank(it))? {
            Value::String(text) => Some(text.clone().into_bytes()),
            Value::Number(number) => Some(number.to_string().into_bytes()),
            _ => {
                self.wrong(piece, "is not a text".into());
                None
            }
        }
    }

    fn wrong(&mut self, piece: &Piece, wrong: Wrong) {
        let place = format!("{}.{}: {wrong}", self.place, piece.field);
        self.reader.wrong(VARIABLE, place);
    }
}

impl Node<'_, '_> {
    /// Whether the field was filled in.
    pub(in crate::config) fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|it| !is_blank(it))
    }

    /// Whether anything was filled in that one is paid with. An `appId` and its `secret` alone
    /// serve vk-uni-pay's log-in.
    pub(in crate::config) fn has_keys(&self, provider: ProviderId) -> bool {
        let fields: &[&str] = match provider {
            ProviderId::Wxpay => &WXPAY_KEYS,
            ProviderId::Alipay => &ALIPAY_KEYS,
        };
        fields.iter().any(|field| self.has(field))
    }

    pub(in crate::config) fn warn(&mut self, words: &str) {
        self.reader.warn(format!("PAYGATE_MERCHANTS: {} {words}", self.place));
    }

    pub(in crate::config) fn complain(&mut self, words: &str) {
        self.reader.wrong(VARIABLE, format!("{} {words}", self.place));
    }

    /// Adds what the node describes to its merchant.
    pub(in crate::config) fn open(
        &mut self,
        pay_type: PayType,
        merchant: &mut Merchant,
        others: &[Merchant],
    ) {
        match pay_type.provider() {
            #[cfg(feature = "wxpay")]
            ProviderId::Wxpay => {
                if let Some(app) = self.wxpay(pay_type, merchant, others) {
                    merchant.wxpay.get_or_insert_default().apps.insert(pay_type, app);
                }
            }
            #[cfg(feature = "alipay")]
            ProviderId::Alipay => {
                if let Some(app) = self.alipay() {
                    let choice = merchant.choice;
                    let alipay = merchant.alipay.get_or_insert_default();
                    alipay.choice = choice;
                    alipay.apps.insert(pay_type, app);
                }
            }
            #[cfg(not(all(feature = "wxpay", feature = "alipay")))]
            _ => self.complain("is for a provider that this build does not have"),
        }
    }

    #[cfg(feature = "wxpay")]
    fn wxpay(
        &mut self,
        pay_type: PayType,
        merchant: &Merchant,
        others: &[Merchant],
    ) -> Option<WxpayApp> {
        if !self.is_version_3() {
            self.complain(
                "is for version 2 of WeChat Pay's API (as every node without \"version\": 3), \
                 which this version of paygate does not have yet",
            );
            return None;
        }
        credentials::require(self, &APP_ID, "is required");
        let app_id = credentials::text(self, &APP_ID, parse::identifier);
        let base_url = &self.gateways.wxpay;
        let account = wxpay::account(self, base_url);
        let site = if pay_type == PayType::WxpayMweb { self.site() } else { None };
        let account = Arc::new(account?);
        let known = others.iter().chain([merchant]).filter_map(|it| it.wxpay.as_ref());
        let mut known = known.flat_map(|it| it.apps.values());
        // Nodes of one account share it, so that its platform certificates are downloaded once.
        let same = known.find(|it| it.account.is_same(&account)).map(|it| it.account.clone());
        Some(WxpayApp { app_id: app_id?, account: same.unwrap_or(account), site })
    }

    /// `version`: 2 when it is absent, as in vk-uni-pay.
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
        let mut node = Node { reader: self.reader, place, fields, gateways: self.gateways };
        let name = if node.has("wap_name") { WAP_NAME } else { APP_NAME };
        let url = if node.has("wap_url") { WAP_URL } else { APP_URL };
        match (node.has(name.field), node.has(url.field)) {
            (false, false) => return None,
            (true, false) => node.complain("has a name and no URL"),
            (false, true) => node.complain("has a URL and no name"),
            (true, true) => {}
        }
        let name = credentials::text(&mut node, &name, wxpay::site_name);
        let url = credentials::text(&mut node, &url, wxpay::site_url);
        Some(Site { name: name?, url: url? })
    }

    #[cfg(feature = "alipay")]
    fn alipay(&mut self) -> Option<crate::provider::alipay::AlipayApp> {
        credentials::require(self, &APP_ID, "is required");
        let app_id = credentials::text(self, &APP_ID, parse::identifier);
        let keys = alipay::keys(self);
        let sandbox = self.fields.get("sandbox").is_some_and(is_true);
        let Gateways { alipay, alipay_sandbox, .. } = self.gateways;
        let gateway = if sandbox { alipay_sandbox } else { alipay };
        Some(keys?.app(app_id?, gateway.clone()))
    }
}

const APP_ID: Piece = Piece { variable: VARIABLE, field: "appId" };
#[cfg(feature = "wxpay")]
const WAP_NAME: Piece = Piece { variable: VARIABLE, field: "wap_name" };
#[cfg(feature = "wxpay")]
const WAP_URL: Piece = Piece { variable: VARIABLE, field: "wap_url" };
#[cfg(feature = "wxpay")]
const APP_NAME: Piece = Piece { variable: VARIABLE, field: "app_name" };
#[cfg(feature = "wxpay")]
const APP_URL: Piece = Piece { variable: VARIABLE, field: "app_url" };

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

const ALIPAY_KEYS: [&str; 5] = [
    "privateKey",
    "alipayPublicKey",
    "appCertContent",
    "alipayPublicCertContent",
    "alipayRootCertContent",
];
