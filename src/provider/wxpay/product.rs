//! The product that a buyer pays by at WeChat Pay.

use crate::domain::caller::{Browser, CallerContext};
use crate::domain::channel::PayType;
use crate::domain::platform::Platform;
use crate::domain::product::Product;
use crate::error::Text;

/// The pay type and product for a caller, or for its QR code: the first row of the contract's
/// table that fits. `None` on a platform where WeChat Pay cannot be paid.
pub(super) fn select(caller: &CallerContext, qrcode: bool) -> Option<(PayType, Product)> {
    if qrcode {
        return Some((PayType::WxpayH5, Product::Native));
    }
    match caller.platform {
        Platform::MpWeixin => Some((PayType::WxpayMpWeixin, Product::Jsapi)),
        Platform::App => Some((PayType::WxpayAppPlus, Product::App)),
        Platform::H5 if caller.is_pc => Some((PayType::WxpayH5, Product::Native)),
        Platform::H5 if caller.browser == Browser::WeChat => {
            Some((PayType::WxpayH5Weixin, Product::Jsapi))
        }
        Platform::H5 => Some((PayType::WxpayMweb, Product::H5)),
        Platform::MpAlipay | Platform::Other => None,
    }
}

/// The product that `pay_type` is paid by.
pub(super) fn usual_product(pay_type: PayType) -> Option<Product> {
    match pay_type {
        PayType::WxpayMpWeixin | PayType::WxpayH5Weixin => Some(Product::Jsapi),
        PayType::WxpayAppPlus => Some(Product::App),
        PayType::WxpayH5 => Some(Product::Native),
        PayType::WxpayMweb => Some(Product::H5),
        PayType::AlipayMpAlipay | PayType::AlipayAppPlus | PayType::AlipayH5 => None,
    }
}

/// For the client that left `openid` out.
pub(super) fn missing_openid() -> Text {
    Text::new(
        "openid 不能为空：小程序和公众号支付需要付款人的 openid",
        "openid is required: mini programs and official accounts need the buyer's openid",
    )
}
