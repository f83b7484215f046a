//! Calls of Alipay's gateway: the parameters, and the merchant's signature.

use std::borrow::Cow;

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::domain::time::Millis;
use crate::mock::keys;
use crate::mock::page;
use crate::mock::purchase::ActionRefused;
use crate::mock::sign::Signer;
use crate::mock::world::NotWritten;
use crate::mock::world::faults::{ProviderOperation, Refuse};

/// One call: its parameters, from the query and the form.
#[derive(Clone, Debug)]
pub(super) struct AlipayRequest {
    params: Vec<(String, String)>,
    /// The address by which the caller reached the mock, over a socket.
    origin: Option<String>,
}

/// An error: `code`, `sub_code`, `sub_msg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlipayApiError {
    pub(super) code: String,
    pub(super) sub_code: String,
    pub(super) sub_msg: String,
}

impl AlipayApiError {
    /// A business failure, `ACQ.…`.
    pub(super) fn business(sub_code: &str, sub_msg: &str) -> AlipayApiError {
        AlipayApiError::new("40004", sub_code, sub_msg)
    }

    /// A failure of the gateway itself.
    pub(super) fn new(code: &str, sub_code: &str, sub_msg: &str) -> AlipayApiError {
        AlipayApiError {
            code: code.to_owned(),
            sub_code: sub_code.to_owned(),
            sub_msg: sub_msg.to_owned(),
        }
    }

    /// An error that a fault requests.
    pub(super) fn requested(refuse: &Refuse) -> AlipayApiError {
        let Refuse { code, message, .. } = refuse;
        let is_of_gateway = code.len() == 5 && code.bytes().all(|b| b.is_ascii_digit());
        match code.as_str() {
            _ if !is_of_gateway => AlipayApiError::business(code, message),
            "40005" => AlipayApiError::new(code, "isv.app-call-limited", message),
            _ => AlipayApiError::new(code, "isp.unknow-error", message),
        }
    }
}

impl From<AlipayApiError> for ActionRefused {
    fn from(error: AlipayApiError) -> ActionRefused {
        ActionRefused { code: error.sub_code, message: error.sub_msg }
    }
}

impl From<NotWritten> for AlipayApiError {
    fn from(_: NotWritten) -> AlipayApiError {
        AlipayApiError::new("20000", "isp.unknow-error", "系统繁忙")
    }
}

impl AlipayRequest {
    /// Parses the query and, of a POST, the form.
    pub(super) fn parse(request: &Request<Bytes>) -> AlipayRequest {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let params = form_urlencoded::parse(query).chain(form_urlencoded::parse(request.body()));
        let owned =
            |(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned());
        AlipayRequest { params: params.map(owned).collect(), origin: page::origin_of(request) }
    }

    /// Parses an order string, or the address of a pay page.
    pub(super) fn parse_text(text: &str) -> AlipayRequest {
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let params = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        AlipayRequest { params, origin: None }
    }

    /// A parameter that is not empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name)?;
        (!found.1.is_empty()).then_some(found.1.as_str())
    }

    /// The address by which the caller reached the mock, over a socket.
    pub(super) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The parameters as a query.
    pub(super) fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish()
    }

    pub(super) fn method(&self) -> &str {
        self.value("method").unwrap_or_default()
    }

    /// The merchant's order number in `biz_content`.
    pub(super) fn order_number(&self) -> Option<String> {
        let content: Value = serde_json::from_str(self.value("biz_content")?).ok()?;
        Some(content.get("out_trade_no")?.as_str()?.to_owned())
    }

    /// The operation that the call requests.
    pub(super) fn operation(&self) -> ProviderOperation {
        match self.method() {
            "alipay.trade.query" => ProviderOperation::Query,
            "alipay.trade.close" => ProviderOperation::Close,
            "alipay.trade.refund" => ProviderOperation::Refund,
            "alipay.trade.fastpay.refund.query" => ProviderOperation::RefundQuery,
            "alipay.trade.page.pay" | "alipay.trade.wap.pay" => ProviderOperation::Page,
            _ => ProviderOperation::Create,
        }
    }

    /// Checks all parameters except `biz_content`, in the gateway's order (the app before the
    /// signature), and parses `biz_content`.
    pub(super) fn check(&self) -> Result<Value, AlipayApiError> {
        let invalid = |sub_code, sub_msg| Err(AlipayApiError::new("40002", sub_code, sub_msg));
        let missing = |sub_code, sub_msg| Err(AlipayApiError::new("40001", sub_code, sub_msg));
        if self.has_repeated_parameter() {
            return invalid("isv.invalid-parameter", "参数重复");
        }
        if self.method().is_empty() {
            return missing("isv.missing-method", "缺少方法名参数");
        }
        match self.value("app_id") {
            None => return missing("isv.missing-app-id", "缺少AppID参数"),
            Some(id) if keys::ALIPAY_APPS.iter().all(|(_, known)| *known != id) => {
                return invalid("isv.invalid-app-id", "无效的AppID参数");
            }
            Some(_) => {}
        }
        if self.value("sign_type") != Some("RSA2") {
            return invalid("isv.invalid-signature-type", "无效的签名类型");
        }
        if !self.value("charset").is_some_and(|charset| charset.eq_ignore_ascii_case("utf-8")) {
            return invalid("isv.invalid-charset", "字符集错误");
        }
        if self.value("version") != Some("1.0") {
            return invalid("isv.invalid-version", "无效的版本");
        }
        if !self.value("format").unwrap_or("JSON").eq_ignore_ascii_case("json") {
            return invalid("isv.invalid-format", "无效的数据格式");
        }
        if self.value("timestamp").and_then(Millis::from_alipay).is_none() {
            return invalid("isv.invalid-timestamp", "非法的时间戳参数");
        }
        if self.value("notify_url").is_some_and(|url| url.chars().count() > 256) {
            return invalid("isv.invalid-parameter", "notify_url过长");
        }
        let Some(sign) = self.value("sign") else {
            return missing("isv.missing-signature", "缺少签名参数");
        };
        if !self.has_valid_certificates()
            || !Signer::AlipayApp.verifies(self.signed_text().as_bytes(), sign)
        {
            return invalid("isv.invalid-signature", "无效签名");
        }
        let content = self.value("biz_content").and_then(|text| serde_json::from_str(text).ok());
        match content {
            Some(Value::Object(content)) => Ok(Value::Object(content)),
            _ => invalid("isv.invalid-parameter", "biz_content不是JSON对象"),
        }
    }

    /// The account that is paid: the seller, or the merchant that gave the app its
    /// `app_auth_token`.
    pub(super) fn merchant(&self) -> String {
        match self.value("app_auth_token") {
            None => keys::ALIPAY_SELLER_ID.to_owned(),
            Some(token) => {
                let digest = Sha256::digest(token.as_bytes());
                let name: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
                format!("auth-{name}")
            }
        }
    }

    /// The parameters as the ledger keeps them: without the signature and the token.
    pub(super) fn document(&self, content: &Value) -> Value {
        let mut document = Map::new();
        for (key, value) in &self.params {
            match key.as_str() {
                "sign" | "app_auth_token" => {}
                "biz_content" => {
                    document.insert(key.clone(), content.clone());
                }
                _ => {
                    document.insert(key.clone(), json!(value));
                }
            }
        }
        Value::Object(document)
    }

    /// The text that the merchant signs (Alipay open platform, "signing by yourself"): every
    /// parameter that is not empty, except `sign`, sorted by name, unescaped.
    fn signed_text(&self) -> String {
        let mut params: Vec<&(String, String)> =
            self.params.iter().filter(|(key, value)| key != "sign" && !value.is_empty()).collect();
        params.sort();
        let pairs: Vec<String> =
            params.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join("&")
    }

    fn has_repeated_parameter(&self) -> bool {
        let mut names: Vec<&str> = self.params.iter().map(|(key, _)| key.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Certificate mode names both certificates, key mode none.
    fn has_valid_certificates(&self) -> bool {
        match (self.value("app_cert_sn"), self.value("alipay_root_cert_sn")) {
            (None, None) => true,
            (Some(app), Some(root)) => {
                app == keys::ALIPAY_APP_CERT_SN && root == keys::ALIPAY_ROOT_CERT_SN
            }
            _ => false,
        }
    }
}
