//! Refunds: what goes back of a payment, and what a provider knows of it.

use crate::domain::order::payment::Payment;

use crate::domain::order::refund::Refund;

/// What a refund is sent, and asked about, by. It goes to the payment by the provider's number.
#[derive(Clone, Copy, Debug)]
pub struct RefundCall<'a> {
    /// What money goes back of: a payment by the attempt that is named beside the plan.
    pub payment: &'a Payment,
    /// What goes back. A reason that is too long for the provider is cut: at 80 bytes by WeChat
    /// Pay, at 256 by Alipay.
    pub refund: &'a Refund,
    /// Where WeChat Pay reports the refund. Alipay reports it to where it reported the payment.
    pub notify_url: &'a str,
}

/// As much of a refund's reason as a provider takes: whole characters of at most three bytes, the
/// longest that WeChat Pay stores, `bytes_max` of them together. `None` when nothing is left.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) fn reason(refund: &Refund, bytes_max: usize) -> Option<String> {
    let told = refund.refund_desc.as_deref().unwrap_or_default();
    let mut reason = String::new();
    for it in told.chars().filter(|it| !it.is_control() && it.len_utf8() < 4) {
        if reason.len().saturating_add(it.len_utf8()) > bytes_max {
            break;
        }
        reason.push(it);
    }
    (!reason.trim().is_empty()).then_some(reason)
}

/// Whether a provider refuses a refund because less is left of the payment than it is of: "the sum
/// of refunds exceeds the payment", "the order was refunded whole". Neither has one code for it.
pub(crate) fn says_that_less_is_left(message: &str) -> bool {
    let exceeds = [
        "大于支付金额",
        "超过支付金额",
        "大于订单",
        "超过订单",
        "大于可退",
        "超过可退",
        "已全额退款",
    ];
    exceeds.iter().any(|it| message.contains(it))
}

/// Whether a provider that refuses a refund asks for the same one later: "please try again later",
/// "too often", "the interval is too short". Neither has one code for it.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(crate) fn asks_to_wait(message: &str) -> bool {
    ["稍后", "稍候", "间隔", "频繁", "频率"].iter().any(|it| message.contains(it))
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
        assert_eq!(reason(&refund, 8).as_deref(), expected, "{desc:?}");
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
