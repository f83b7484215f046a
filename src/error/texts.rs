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
            Kind::MethodNotAllowed => ("请求方法不支持，请使用 POST", "use POST"),
            Kind::UnsupportedMediaType => (
                "请求体必须是未压缩的 application/json",
                "the body must be application/json, not encoded",
            ),
            Kind::BodyTooLarge => ("请求体过大", "the body is too large"),
            Kind::BodyTimeout => ("请求体接收超时", "the body did not arrive in time"),
            Kind::BodyUnreadable => ("请求体无法解析", "the body is unreadable"),
            Kind::Invalid => ("参数错误", "the request breaks a rule"),
            Kind::CallerNotAllowed => ("调用方未授权", "the caller is not allowed to ask"),
            Kind::ShopRefused => ("业务系统拒绝了请求", "the shop refused"),
            Kind::PayTypeNotPossible => {
                ("当前环境不支持该支付方式", "this pay type is not possible here")
            }
            Kind::BuyerAddressUnknown => {
                ("该支付方式需要付款人的公网 IP", "this pay type needs the buyer's public address")
            }
            Kind::AlreadyPaid => ("订单已支付", "the order is paid"),
            Kind::Different => {
                ("相同订单号的参数不一致", "the same number came with other parameters before")
            }
            Kind::Busy => ("订单正在处理，请稍后重试", "the order is busy; try again"),
            Kind::SwitchRejected => {
                ("订单已选择其他支付方式", "the order is being paid another way")
            }
            Kind::Closed => ("订单已关闭", "the order is closed"),
            Kind::ProviderRefused => ("支付平台拒绝了请求", "the provider refused"),
            Kind::NotSent => {
                ("服务暂不可用，未发起支付，请稍后重试", "nothing was sent; safe to repeat")
            }
            Kind::OutcomeUnknown => (
                "支付结果未知，请使用相同订单号重试",
                "the outcome is unknown; repeat with the same number",
            ),
            Kind::NoSuchOrder => ("订单不存在", "there is no such order"),
            Kind::NotPaid => ("订单未支付", "the order is not paid"),
            Kind::NotRefunded => ("订单未退款", "nothing was refunded"),
            Kind::TooSoon => ("订单正在处理，请稍后再退款", "the order is busy; try again"),
            Kind::RefundExceeds => ("超出可退金额", "the refund exceeds what is left"),
            Kind::Unverifiable => ("验签失败", "not verifiable"),
            Kind::Mismatched => ("支付金额与订单不一致", "the payment does not fit its order"),
        }
    }
}
