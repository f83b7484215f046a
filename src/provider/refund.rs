//! Refund calls, and the texts by which providers refuse them.

use crate::domain::order::payment::Payment;
use crate::domain::order::refund::Refund;

/// A refund to send or to query. It refers to its payment by the provider's number.
#[derive(Clone, Copy, Debug)]
pub struct RefundCall<'a> {
    /// The payment that is refunded, which was paid by the attempt that is passed with the call.
    pub payment: &'a Payment,
    /// The refund. Providers take its reason up to 80 bytes (WeChat Pay) and 256 bytes (Alipay):
    /// the rest is cut.
    pub refund: &'a Refund,
    /// The URL of the refund's notification at WeChat Pay. Alipay notifies the payment's URL.
    pub notify_url: &'a str,
}

/// A refund's reason, cut to `bytes_max` bytes: whole characters of at most three bytes, the
/// longest that WeChat Pay stores. `None` when nothing is left.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) fn truncated_reason(refund: &Refund, bytes_max: usize) -> Option<String> {
    let description = refund.refund_desc.as_deref().unwrap_or_default();
    let mut reason = String::new();
    for character in
        description.chars().filter(|character| !character.is_control() && character.len_utf8() < 4)
    {
        if reason.len().saturating_add(character.len_utf8()) > bytes_max {
            break;
        }
        reason.push(character);
    }
    (!reason.trim().is_empty()).then_some(reason)
}

/// Whether a provider refuses a refund because it exceeds the rest of the payment: "the sum of
/// refunds exceeds the payment", "the order was refunded in full". Neither has one code for it.
pub(crate) fn exceeds_refundable(message: &str) -> bool {
    let exceeds = [
        "大于支付金额",
        "超过支付金额",
        "大于订单",
        "超过订单",
        "大于可退",
        "超过可退",
        "已全额退款",
    ];
    exceeds.iter().any(|word| message.contains(word))
}

/// Whether a provider that refuses a refund asks for the same one later: "please try again later",
/// "too often", "the interval is too short". Neither has one code for it.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) fn is_retry_later(message: &str) -> bool {
    ["稍后", "稍候", "间隔", "频繁", "频率"].iter().any(|word| message.contains(word))
}

#[cfg(test)]
#[cfg(any(feature = "wxpay", feature = "alipay"))]
mod tests {
    use super::*;
    use crate::domain::money::Fen;
    use crate::domain::time::Millis;

    fn check(desc: Option<&str>, expected: Option<&str>) {
        let refund = Refund {
            refund_desc: desc.map(str::to_owned),
            ..Refund::pending("R-1".to_owned(), Fen::new(1).unwrap(), Millis(0))
        };
        assert_eq!(truncated_reason(&refund, 8).as_deref(), expected, "{desc:?}");
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        check(None, None);
        check(Some(""), None);
        check(Some(" \n"), None);
        check(Some("\u{1f600}"), None);
        check(Some("12345678"), Some("12345678"));
        check(Some("123456789"), Some("12345678"));
        check(Some("退款吧"), Some("退款"));
        check(Some("退\u{1f600}\r\n款ab"), Some("退款ab"));
        check(Some("1234567é9"), Some("1234567"));
    }
}
