//! Alipay's rules for `biz_content`.
//!
//! From the request parameters of `alipay.trade.create`, `.precreate`, `.app.pay`, `.wap.pay` and
//! `.page.pay`.

use serde_json::{Value, json};

use super::request::{AlipayApiError, AlipayRequest};
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use crate::mock::keys;
use crate::mock::sign;
use crate::mock::world::order::TradeTerms;

/// The product of a method.
pub(super) fn product(method: &str) -> Option<Product> {
    match method {
        "alipay.trade.app.pay" => Some(Product::AppPay),
        "alipay.trade.create" => Some(Product::Create),
        "alipay.trade.precreate" => Some(Product::Precreate),
        "alipay.trade.wap.pay" => Some(Product::WapPay),
        "alipay.trade.page.pay" => Some(Product::PagePay),
        _ => None,
    }
}

/// Checks an order at `now`, and parses its number and its terms.
pub(super) fn order(
    request: &AlipayRequest,
    content: &Value,
    now: Millis,
) -> Result<(String, TradeTerms), AlipayApiError> {
    let Some(product) = product(request.method()) else {
        return Err(AlipayApiError::new("40002", "isv.invalid-method", "不存在的方法名"));
    };
    let number = order_number(content)?;
    check_product_code(content, product)?;
    let amount = amount(content)?;
    let subject = text(content, "subject", 256)?.ok_or_else(|| invalid("subject"))?;
    if subject.contains(['/', '=', '&']) {
        return Err(invalid("subject"));
    }
    let body = text(content, "body", 128)?;
    text(content, "passback_params", 512)?;
    text(content, "seller_id", 28)?;
    let expires = expiry(content, product, now)?;
    let buyer = match product {
        Product::Create => Some(buyer(content)?),
        _ => None,
    };
    let terms = TradeTerms {
        product,
        app_id: request.value("app_id").unwrap_or_default().to_owned(),
        amount,
        subject: subject.to_owned(),
        buyer,
        expires,
        // Key data: `ACQ.CONTEXT_INCONSISTENT` is about these.
        digest: sign::digest(&json!([amount, subject, body])),
        request: request.document(content),
    };
    Ok((number, terms))
}

/// `out_trade_no`: at most 64 of letters, digits and `_`; live traffic also has `-`.
pub(super) fn order_number(content: &Value) -> Result<String, AlipayApiError> {
    let number = text(content, "out_trade_no", 64)?.ok_or_else(|| invalid("out_trade_no"))?;
    let plain = number.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { Ok(number.to_owned()) } else { Err(invalid("out_trade_no")) }
}

/// The text under `name`, which may be absent or empty, but not too long and not another type.
pub(super) fn text<'a>(
    content: &'a Value,
    name: &str,
    chars_max: usize,
) -> Result<Option<&'a str>, AlipayApiError> {
    match content.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= chars_max => Ok(Some(text)),
        Some(_) => Err(invalid(name)),
    }
}

pub(super) fn invalid(name: &str) -> AlipayApiError {
    AlipayApiError::business("ACQ.INVALID_PARAMETER", &format!("参数有误：{name}"))
}

fn check_product_code(content: &Value, product: Product) -> Result<(), AlipayApiError> {
    let code = text(content, "product_code", 64)?;
    let is_valid = match product {
        Product::AppPay => matches!(code, None | Some("QUICK_MSECURITY_PAY")),
        Product::WapPay => matches!(code, None | Some("QUICK_WAP_WAY")),
        Product::PagePay => code == Some("FAST_INSTANT_TRADE_PAY"),
        Product::Precreate => {
            matches!(code, None | Some("FACE_TO_FACE_PAYMENT" | "QR_CODE_OFFLINE"))
        }
        _ => matches!(code, None | Some("JSAPI_PAY" | "FACE_TO_FACE_PAYMENT")),
    };
    if !is_valid {
        return Err(invalid("product_code"));
    }
    if code == Some("JSAPI_PAY")
        && text(content, "op_app_id", 32)? != Some(keys::ALIPAY_APP_MP_ALIPAY)
    {
        return Err(invalid("op_app_id"));
    }
    Ok(())
}

/// Yuan with at most two decimals, 0.01 to 100 000 000; text, or the number older clients send.
fn amount(content: &Value) -> Result<Fen, AlipayApiError> {
    let yuan = match content.get("total_amount") {
        Some(Value::String(yuan)) => Fen::from_yuan(yuan),
        Some(Value::Number(yuan)) => Fen::from_yuan(&yuan.to_string()),
        _ => None,
    };
    let too_much = || AlipayApiError::business("ACQ.TOTAL_FEE_EXCEED", "订单总金额不在允许范围内");
    yuan.filter(|amount| amount.fen() > 0).ok_or_else(too_much)
}

/// `buyer_id` or `buyer_open_id`, and not the seller.
fn buyer(content: &Value) -> Result<String, AlipayApiError> {
    let id = text(content, "buyer_id", 28)?;
    let open_id = text(content, "buyer_open_id", 128)?;
    let op_open_id = text(content, "op_buyer_open_id", 128)?;
    if id.is_some_and(|id| !is_user_id(id)) {
        return Err(invalid("buyer_id"));
    }
    let buyer = id.or(open_id).or(op_open_id).ok_or_else(|| invalid("buyer_id"))?;
    if buyer == keys::ALIPAY_SELLER_ID {
        return Err(AlipayApiError::business("ACQ.BUYER_SELLER_EQUAL", "买卖家不能相同"));
    }
    Ok(buyer.to_owned())
}

/// `2088` and twelve digits.
pub(super) fn is_user_id(id: &str) -> bool {
    id.len() == 16 && id.starts_with("2088") && id.bytes().all(|b| b.is_ascii_digit())
}

/// The field of a buyer in responses.
pub(super) fn buyer_field(buyer: &str) -> &'static str {
    if is_user_id(buyer) { "buyer_user_id" } else { "buyer_open_id" }
}

/// `time_expire` wins over `timeout_express`; without both, 3 hours for the mini program and the
/// QR code, and 15 days for the other products.
fn expiry(content: &Value, product: Product, now: Millis) -> Result<Millis, AlipayApiError> {
    let usual = match product {
        Product::Create | Product::Precreate => 3 * HOUR_MS,
        _ => 15 * DAY_MS,
    };
    let relative = match text(content, "timeout_express", 6)? {
        None => usual,
        Some(text) => timeout_ms(text, now).ok_or_else(|| invalid("timeout_express"))?,
    };
    let Some(absolute) = text(content, "time_expire", 32)? else { return Ok(now.plus(relative)) };
    let expires = Millis::from_alipay(absolute).ok_or_else(|| invalid("time_expire"))?;
    if expires <= now {
        let code = "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR";
        return Err(AlipayApiError::business(code, "用户付款时间已超过订单允许的支付截止时间"));
    }
    Ok(expires)
}

/// `1m` to `15d`, or `1c`: until midnight in Beijing.
fn timeout_ms(text: &str, now: Millis) -> Option<i64> {
    if text == "1c" {
        return Some(DAY_MS - now.plus(8 * HOUR_MS).0.rem_euclid(DAY_MS));
    }
    let unit = match text.chars().last()? {
        'm' => MINUTE_MS,
        'h' => HOUR_MS,
        'd' => DAY_MS,
        _ => return None,
    };
    let count = &text[..text.len() - 1];
    if !count.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ms = count.parse::<i64>().ok()?.checked_mul(unit)?;
    (MINUTE_MS..=15 * DAY_MS).contains(&ms).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_1m_to_15d_or_until_midnight() {
        let now = Millis::from_alipay("2018-06-08 22:00:00").unwrap();
        let cases = [
            ("1m", Some(MINUTE_MS)),
            ("15d", Some(15 * DAY_MS)),
            ("1c", Some(2 * HOUR_MS)),
            ("0m", None),
            ("16d", None),
            ("1.5h", None),
            ("+1h", None),
            ("h", None),
            ("1é", None),
            ("", None),
        ];
        for (text, ms) in cases {
            assert_eq!(timeout_ms(text, now), ms, "{text}");
        }
    }
}
