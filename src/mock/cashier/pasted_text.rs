//! Reads what a merchant gave to a buyer: a link, the text of a QR code, a `prepay_id`, an order
//! string, the client's parameters or the whole answer of `createPayment` as JSON.

use serde_json::Value;
use url::form_urlencoded;

use crate::domain::channel::ProviderId;
use crate::mock::purchase::PayWith;
use crate::mock::world::numbers::{H5_PATH, QR_CODE_PATH};

/// What a pasted text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PastedText {
    /// A code or a signed text of a provider.
    Code(ProviderId, PayWith),
    /// A number of the merchant or of a provider.
    Number(String),
}

/// Reads `text`; what is no code is a number.
pub(super) fn parse(text: &str) -> PastedText {
    let text = text.trim();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::String(text)) => parse_text(&text),
        Ok(json @ Value::Object(_)) => {
            let mut found = Vec::new();
            collect(&json, &mut found);
            let number = found.iter().find(|it| matches!(it, PastedText::Number(_))).cloned();
            let code = found.into_iter().find(|it| matches!(it, PastedText::Code(..)));
            code.or(number).unwrap_or_else(|| PastedText::Number(text.to_owned()))
        }
        _ => parse_text(text),
    }
}

fn parse_text(text: &str) -> PastedText {
    code(text).map_or_else(
        || PastedText::Number(text.to_owned()),
        |(provider, with)| PastedText::Code(provider, with),
    )
}

/// The members of a JSON object that name an order, in any spelling that clients use.
fn collect(json: &Value, found: &mut Vec<PastedText>) {
    let Value::Object(members) = json else { return };
    for (name, value) in members {
        let name: String = name.chars().filter(|c| *c != '_').collect();
        match (name.to_ascii_lowercase().as_str(), value) {
            ("orderinfo" | "data", Value::Object(_)) => collect(value, found),
            ("package", Value::String(text)) if !text.starts_with("prepay_id=") => {}
            (
                "orderinfo" | "codeurl" | "qrcode" | "mweburl" | "h5url" | "payurl" | "prepayid"
                | "package" | "tradeno" | "outtradeno" | "orderstr",
                Value::String(text),
            ) => found.push(parse_text(text)),
            _ => {}
        }
    }
}

fn code(text: &str) -> Option<(ProviderId, PayWith)> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let owned = || text.to_owned();
    // Alipay's app opens a QR code by `alipays://platformapi/startapp?…&qrcode=…`.
    if address.starts_with("alipays:") {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, inner) = pairs.find(|(name, _)| name == "qrcode")?;
        return code(&inner);
    }
    if text.starts_with("weixin://") {
        return Some((ProviderId::Wxpay, PayWith::CodeUrl(owned())));
    }
    if address.ends_with(H5_PATH) {
        return Some((ProviderId::Wxpay, PayWith::H5Url(owned())));
    }
    if let Some(id) = text.strip_prefix("prepay_id=").or(is_prepay_id(text).then_some(text)) {
        return Some((ProviderId::Wxpay, PayWith::PrepayId(id.to_owned())));
    }
    if query.contains("biz_content=") || text.contains("&biz_content=") {
        return Some((ProviderId::Alipay, PayWith::OrderString(owned())));
    }
    let path = address.rsplit_once('/').map_or(address, |(_, last)| last);
    let is_qr_code =
        address.contains('/') && path.starts_with(QR_CODE_PATH.trim_start_matches('/'));
    is_qr_code.then(|| (ProviderId::Alipay, PayWith::CodeUrl(address.to_owned())))
}

/// `wx`, the time to a second, and random characters.
fn is_prepay_id(text: &str) -> bool {
    let is_alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.starts_with("wx") && text.len() == 36 && is_alphanumeric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_material_names_its_order_however_it_is_pasted() {
        let prepay_id = "wx201410272009395522657a690389285100";
        let h5 = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx1&package=2";
        let native = "weixin://wxpay/bizpayurl?pr=abc";
        let qr = "http://127.0.0.1:8789/bax1a2b";
        let signed = "app_id=1&biz_content=%7B%7D&method=alipay.trade.app.pay&sign=x";
        let wxpay = |with| PastedText::Code(ProviderId::Wxpay, with);
        let alipay = |with| PastedText::Code(ProviderId::Alipay, with);
        for (text, expected) in [
            (native.to_owned(), wxpay(PayWith::CodeUrl(native.into()))),
            (format!(" {h5}\n"), wxpay(PayWith::H5Url(h5.into()))),
            (prepay_id.to_owned(), wxpay(PayWith::PrepayId(prepay_id.into()))),
            (format!("prepay_id={prepay_id}"), wxpay(PayWith::PrepayId(prepay_id.into()))),
            (
                format!(r#"{{"appId":"wx1","package":"prepay_id={prepay_id}","paySign":"x"}}"#),
                wxpay(PayWith::PrepayId(prepay_id.into())),
            ),
            (
                format!(r#"{{"package":"Sign=WXPay","prepayid":"{prepay_id}"}}"#),
                wxpay(PayWith::PrepayId(prepay_id.into())),
            ),
            (
                format!(r#"{{"code":0,"out_trade_no":"n-1","orderInfo":{{"h5Url":"{h5}"}}}}"#),
                wxpay(PayWith::H5Url(h5.into())),
            ),
            (qr.to_owned(), alipay(PayWith::CodeUrl(qr.into()))),
            (
                format!(r#"{{"outTradeNo":"n-1","codeUrl":"{qr}"}}"#),
                alipay(PayWith::CodeUrl(qr.into())),
            ),
            (
                format!("alipays://platformapi/startapp?saId=10000007&qrcode={qr}?_s=web-other"),
                alipay(PayWith::CodeUrl(qr.into())),
            ),
            (signed.to_owned(), alipay(PayWith::OrderString(signed.into()))),
            (format!(r#"{{"orderInfo":"{signed}"}}"#), alipay(PayWith::OrderString(signed.into()))),
            (format!(r#""{native}""#), wxpay(PayWith::CodeUrl(native.into()))),
            (
                r#"{"orderInfo":"2025061522001"}"#.to_owned(),
                PastedText::Number("2025061522001".into()),
            ),
            ("wxorder-1".to_owned(), PastedText::Number("wxorder-1".into())),
            ("{}".to_owned(), PastedText::Number("{}".into())),
        ] {
            assert_eq!(parse(&text), expected, "{text}");
        }
    }
}
