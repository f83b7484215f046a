//! The code and the text of each kind of error.

use super::Kind;

impl Kind {
    /// The number on the wire. Of an error with violations, the first one's code counts.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Kind::NotFound => 404,
            Kind::BadRequest => 400,
            Kind::MethodNotAllowed
            | Kind::UnsupportedMediaType
            | Kind::BodyTooLarge
            | Kind::BodyTimeout
            | Kind::BodyUnreadable
            | Kind::Invalid => 4000,
            Kind::CallerNotAllowed | Kind::Unverifiable => 4005,
            Kind::ShopRefused | Kind::NotSent => 5001,
            Kind::PayTypeNotPossible | Kind::BuyerAddressUnknown => 4004,
            Kind::AlreadyPaid => 4101,
            Kind::Different => 4102,
            Kind::Busy => 4103,
            Kind::SwitchRejected => 4104,
            Kind::Closed => 4105,
            Kind::ProviderRefused => 3001,
            Kind::OutcomeUnknown => 5002,
            Kind::NoSuchOrder => 2001,
            Kind::NotPaid | Kind::Mismatched => 2002,
            Kind::NotRefunded => 2003,
            Kind::TooSoon => 2004,
            Kind::RefundExceeds => 4106,
        }
    }

    /// The default text, in Chinese and in English.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Kind::NotFound => ("接口不存在", "there is no such path"),
            Kind::BadRequest => (
                "请求行或请求头无效，或 Host 缺失、重复",
                "the request line or a header is invalid, or Host is missing or doubled",
            ),
            Kind::MethodNotAllowed => ("请求方法必须是 POST", "the method must be POST"),
            Kind::UnsupportedMediaType => (
                "请求头 Content-Type 必须是 application/json，且不能有 Content-Encoding",
                "the header Content-Type must be application/json, and Content-Encoding must be \
                 absent",
            ),
            Kind::BodyTooLarge => ("请求体过大", "the body is too large"),
            Kind::BodyTimeout => ("请求体没有及时到齐", "the body did not arrive in time"),
            Kind::BodyUnreadable => ("请求体无法读取", "paygate cannot read the body"),
            Kind::Invalid => ("请求中有字段不符合规则", "a field of the request breaks its rule"),
            Kind::CallerNotAllowed => ("调用方没有权限", "the caller is not allowed to ask"),
            Kind::ShopRefused => ("业务系统拒绝了请求", "the shop refused the request"),
            Kind::PayTypeNotPossible => {
                ("当前环境不支持该支付方式", "this pay type is not possible here")
            }
            Kind::BuyerAddressUnknown => {
                ("该支付方式需要付款人的公网 IP", "this pay type needs the buyer's public address")
            }
            Kind::AlreadyPaid => ("订单已支付", "the order is paid"),
            Kind::Different => (
                "同一个号码的参数与首次请求不一致",
                "the same number came with other parameters before",
            ),
            Kind::Busy => {
                ("订单正在处理，请稍后重试", "the order is busy; repeat the request later")
            }
            Kind::SwitchRejected => (
                "订单正在使用其他支付方式，不能更换",
                "the order is being paid another way and does not switch",
            ),
            Kind::Closed => ("订单已关闭", "the order is closed"),
            Kind::ProviderRefused => ("支付平台拒绝了请求", "the provider refused the request"),
            Kind::NotSent => (
                "服务暂时不可用，paygate 没有向支付平台发送任何请求，请稍后重试",
                "paygate sent nothing to the provider; it is safe to repeat the request",
            ),
            Kind::OutcomeUnknown => (
                "支付平台的处理结果未知，请用相同的号码重试",
                "the provider's outcome is unknown; repeat the request with the same number",
            ),
            Kind::NoSuchOrder => ("订单不存在", "there is no such order"),
            Kind::NotPaid => ("订单未支付", "the order is not paid"),
            Kind::NotRefunded => (
                "订单没有退款，或没有该号码的退款",
                "the order has no refund, or there is no refund with this number",
            ),
            Kind::TooSoon => (
                "订单正在处理，退款没有被记录，请稍后重试",
                "the order is busy and the refund was not recorded; repeat the request later",
            ),
            Kind::RefundExceeds => {
                ("退款金额超出可退金额", "the refund exceeds what is left of the payment")
            }
            Kind::Unverifiable => {
                ("通知的签名无法验证", "the notification cannot be verified as the provider's")
            }
            Kind::Mismatched => ("支付与订单不一致", "the payment does not match its order"),
        }
    }
}
