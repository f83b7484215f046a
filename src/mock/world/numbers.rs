//! The numbers and codes that the simulated providers give out, in the providers' forms.

use crate::domain::time::Millis;
use crate::secret::random_text;

/// The path of an `h5_url`.
pub(in crate::mock) const H5_PATH: &str = "/cgi-bin/mmpayweb-bin/checkmweb";

/// The path of a `qr_code`, up to the random characters.
pub(in crate::mock) const QR_CODE_PATH: &str = "/bax";

/// WeChat Pay's `prepay_id`.
pub(in crate::mock) fn prepay_id(now: Millis) -> String {
    format!("wx{}{}", digits_of(now), &random_text()[..20])
}

/// WeChat Pay's `code_url`.
pub(in crate::mock) fn code_url() -> String {
    format!("weixin://wxpay/bizpayurl?pr={}", &random_text()[..12])
}

/// WeChat Pay's `h5_url`, at `origin` in place of `https://wx.tenpay.com`.
pub(in crate::mock) fn h5_url(origin: Option<&str>, prepay_id: &str) -> String {
    let origin = origin.unwrap_or("https://wx.tenpay.com");
    let package = digits(10);
    format!("{origin}{H5_PATH}?prepay_id={prepay_id}&package={package}")
}

/// WeChat Pay's `transaction_id`: 28 digits.
pub(in crate::mock) fn transaction_id(now: Millis) -> String {
    format!("4200{}{}", digits_of(now), digits(10))
}

/// WeChat Pay's `refund_id`: 29 digits.
pub(in crate::mock) fn refund_id(now: Millis) -> String {
    format!("50300{}{}", digits_of(now), digits(10))
}

/// The number of a refund that was made in a provider's console.
pub(in crate::mock) fn console_refund_no(now: Millis) -> String {
    format!("console{}{}", digits_of(now), digits(10))
}

/// Alipay's `qr_code`, at `origin` in place of `https://qr.alipay.com`.
pub(in crate::mock) fn qr_code(origin: Option<&str>) -> String {
    let origin = origin.unwrap_or("https://qr.alipay.com");
    format!("{origin}{QR_CODE_PATH}{}", &random_text()[..21])
}

/// Alipay's `trade_no`: 28 digits.
pub(in crate::mock) fn trade_no(now: Millis) -> String {
    format!("{}22001{}", &digits_of(now)[..8], digits(15))
}

/// `20180608103456`: the time as numbers begin with it.
fn digits_of(now: Millis) -> String {
    let digits: String = now.to_alipay().chars().filter(char::is_ascii_digit).collect();
    format!("{digits:0<14}")
}

/// So many random digits, at most 32.
fn digits(count: usize) -> String {
    let digit = |c: char| char::from_digit(c.to_digit(16).unwrap_or_default() % 10, 10);
    random_text().chars().filter_map(digit).take(count).collect()
}
