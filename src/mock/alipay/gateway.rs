//! Alipay's gateway: the parameters, the merchant's signature, the form of its replies.

use std::borrow::Cow;

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::domain::time::Millis;
use crate::mock::keys;
use crate::mock::reply::{Reply, Sealing};
use crate::mock::sign::Signer;
use crate::mock::world::NotWritten;
use crate::mock::world::faults::{Operation, Refuse};

/// One call: its parameters, from the query and the form together.
#[derive(Clone, Debug)]
pub(in crate::mock) struct Gateway {
    params: Vec<(String, String)>,
}

/// A refusal: `code`, `sub_code`, `sub_msg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mock) struct Refusal {
    pub(in crate::mock) code: String,
    pub(in crate::mock) sub_code: String,
    pub(in crate::mock) sub_msg: String,
}

impl Refusal {
    /// A business failure, `ACQ.…`.
    pub(in crate::mock) fn business(sub_code: &str, sub_msg: &str) -> Refusal {
        Refusal::new("40004", sub_code, sub_msg)
    }

    /// A failure of the gateway itself.
    pub(in crate::mock) fn new(code: &str, sub_code: &str, sub_msg: &str) -> Refusal {
        Refusal {
            code: code.to_owned(),
            sub_code: sub_code.to_owned(),
            sub_msg: sub_msg.to_owned(),
        }
    }
}

impl From<NotWritten> for Refusal {
    fn from(_: NotWritten) -> Refusal {
        Refusal::new("20000", "isp.unknow-error", "系统繁忙")
    }
}

impl Gateway {
    /// Reads the query and, of a POST, the form.
    pub(in crate::mock) fn read(request: &Request<Bytes>) -> Gateway {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let params = form_urlencoded::parse(query).chain(form_urlencoded::parse(request.body()));
        let owned =
            |(key, value): (Cow<'_, str>, Cow<'_, str>)| (key.into_owned(), value.into_owned());
        Gateway { params: params.map(owned).collect() }
    }

    /// Reads an order string, or the address of a pay page.
    pub(in crate::mock) fn from_text(text: &str) -> Gateway {
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        Gateway { params: form_urlencoded::parse(query.as_bytes()).into_owned().collect() }
    }

    /// A parameter that is not empty.
    pub(in crate::mock) fn value(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name)?;
        (!found.1.is_empty()).then_some(found.1.as_str())
    }

    /// The parameters as a query.
    pub(in crate::mock) fn text(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish()
    }

    pub(in crate::mock) fn method(&self) -> &str {
        self.value("method").unwrap_or_default()
    }

    /// The merchant's number that the call is about.
    pub(in crate::mock) fn number(&self) -> Option<String> {
        let content: Value = serde_json::from_str(self.value("biz_content")?).ok()?;
        Some(content.get("out_trade_no")?.as_str()?.to_owned())
    }

    /// What the call is for.
    pub(in crate::mock) fn operation(&self) -> Operation {
        match self.method() {
            "alipay.trade.query" => Operation::Query,
            "alipay.trade.close" => Operation::Close,
            "alipay.trade.refund" => Operation::Refund,
            "alipay.trade.fastpay.refund.query" => Operation::RefundQuery,
            "alipay.trade.page.pay" | "alipay.trade.wap.pay" => Operation::Page,
            _ => Operation::Create,
        }
    }

    /// Checks everything but the business, in the gateway's order (the app before the signature),
    /// and reads `biz_content`.
    pub(in crate::mock) fn check(&self) -> Result<Value, Refusal> {
        let invalid = |sub_code, sub_msg| Err(Refusal::new("40002", sub_code, sub_msg));
        let missing = |sub_code, sub_msg| Err(Refusal::new("40001", sub_code, sub_msg));
        if self.repeats() {
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
        if !self.value("charset").is_some_and(|it| it.eq_ignore_ascii_case("utf-8")) {
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
        if self.value("notify_url").is_some_and(|it| it.chars().count() > 256) {
            return invalid("isv.invalid-parameter", "notify_url过长");
        }
        let Some(sign) = self.value("sign") else {
            return missing("isv.missing-signature", "缺少签名参数");
        };
        if !self.certificates_fit() || !Signer::AlipayApp.signed(self.signed().as_bytes(), sign) {
            return invalid("isv.invalid-signature", "无效签名");
        }
        let content = self.value("biz_content").and_then(|it| serde_json::from_str(it).ok());
        match content {
            Some(Value::Object(content)) => Ok(Value::Object(content)),
            _ => invalid("isv.invalid-parameter", "biz_content不是JSON对象"),
        }
    }

    /// Who is paid: the seller, or the one who gave the app its `app_auth_token`.
    pub(in crate::mock) fn merchant(&self) -> String {
        match self.value("app_auth_token") {
            None => keys::ALIPAY_SELLER_ID.to_owned(),
            Some(token) => {
                let digest = Sha256::digest(token.as_bytes());
                let name: String = digest[..6].iter().map(|it| format!("{it:02x}")).collect();
                format!("auth-{name}")
            }
        }
    }

    /// The parameters as the ledger keeps them: without the signature and the token.
    pub(in crate::mock) fn document(&self, content: &Value) -> Value {
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

    /// The reply. Failures of the gateway itself are not signed.
    pub(in crate::mock) fn reply(&self, result: Result<Value, Refusal>) -> Reply {
        let sealing = match &result {
            Err(refusal) if refusal.code != "40004" => Sealing::Unsigned,
            _ if self.value("app_cert_sn").is_some() => Sealing::Certificate,
            _ => Sealing::Key,
        };
        let content = match result {
            Ok(mut content) => {
                content["code"] = json!("10000");
                content["msg"] = json!("Success");
                content
            }
            Err(refusal) => json!({
                "code": refusal.code,
                "msg": message_of(&refusal.code),
                "sub_code": refusal.sub_code,
                "sub_msg": refusal.sub_msg,
            }),
        };
        let node = match self.method() {
            "" => "error_response".to_owned(),
            method => format!("{}_response", method.replace('.', "_")),
        };
        // Alipay writes slashes escaped, and signs what it wrote.
        Reply::Alipay { node, content: content.to_string().replace('/', "\\/"), sealing }
    }

    /// A refusal on demand.
    pub(in crate::mock) fn refused(&self, refuse: &Refuse) -> Reply {
        let gateway = refuse.code.len() == 5 && refuse.code.bytes().all(|b| b.is_ascii_digit());
        self.reply(Err(if gateway {
            let sub_code = match refuse.code.as_str() {
                "40005" => "isv.app-call-limited",
                _ => "isp.unknow-error",
            };
            Refusal::new(&refuse.code, sub_code, &refuse.message)
        } else {
            Refusal::business(&refuse.code, &refuse.message)
        }))
    }

    /// What is signed (Alipay open platform, "signing by yourself"): every parameter that is not
    /// empty but `sign`, sorted by name, unescaped.
    fn signed(&self) -> String {
        let mut params: Vec<&(String, String)> =
            self.params.iter().filter(|(key, value)| key != "sign" && !value.is_empty()).collect();
        params.sort();
        let pairs: Vec<String> =
            params.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join("&")
    }

    fn repeats(&self) -> bool {
        let mut names: Vec<&str> = self.params.iter().map(|(key, _)| key.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Certificate mode names both certificates, key mode none.
    fn certificates_fit(&self) -> bool {
        match (self.value("app_cert_sn"), self.value("alipay_root_cert_sn")) {
            (None, None) => true,
            (Some(app), Some(root)) => {
                app == keys::ALIPAY_APP_CERT_SN && root == keys::ALIPAY_ROOT_CERT_SN
            }
            _ => false,
        }
    }
}

/// `msg` of a `code` (Alipay open platform, "public error codes").
fn message_of(code: &str) -> &'static str {
    match code {
        "20000" => "Service Currently Unavailable",
        "20001" => "Insufficient Token Permissions",
        "40001" => "Missing Required Arguments",
        "40002" => "Invalid Arguments",
        "40005" => "Call Limited",
        "40006" => "Insufficient Permissions",
        _ => "Business Failed",
    }
}
