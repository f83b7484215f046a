//! The product that a buyer pays by at Alipay.

use crate::domain::caller::CallerContext;
use crate::domain::channel::PayType;
use crate::domain::platform::Platform;
use crate::domain::product::{AlipayChoice, Product};
use crate::error::Text;

/// The pay type and product for a caller, or for its QR code: the first row of the contract's
/// table that fits. `None` on a platform where Alipay cannot be paid.
pub(super) fn select(
    caller: &CallerContext,
    qrcode: bool,
    choice: AlipayChoice,
) -> Option<(PayType, Product)> {
    if qrcode {
        return Some((PayType::AlipayH5, Product::Precreate));
    }
    match caller.platform {
        Platform::MpAlipay => Some((PayType::AlipayMpAlipay, Product::Create)),
        Platform::App if choice.app_to_h5 => Some((PayType::AlipayH5, Product::Precreate)),
        Platform::App => Some((PayType::AlipayAppPlus, Product::AppPay)),
        Platform::H5 if !choice.web_pages => Some((PayType::AlipayH5, Product::Precreate)),
        Platform::H5 if caller.is_pc => Some((PayType::AlipayH5, Product::PagePay)),
        Platform::H5 => Some((PayType::AlipayH5, Product::WapPay)),
        Platform::MpWeixin | Platform::Other => None,
    }
}

/// A product that `pay_type` is paid by: no message names the one that it was.
pub(super) fn usual_product(pay_type: PayType) -> Option<Product> {
    match pay_type {
        PayType::AlipayMpAlipay => Some(Product::Create),
        PayType::AlipayAppPlus => Some(Product::AppPay),
        PayType::AlipayH5 => Some(Product::Precreate),
        PayType::WxpayMpWeixin
        | PayType::WxpayAppPlus
        | PayType::WxpayH5
        | PayType::WxpayH5Weixin
        | PayType::WxpayMweb => None,
    }
}

/// For the client that left `openid` out.
pub(super) fn missing_openid() -> Text {
    Text::new(
        "openid 不能为空：支付宝小程序支付需要付款人的 user_id 或 open_id",
        "openid is required: mini programs need the buyer's user_id or open_id at Alipay",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::Browser;

    fn caller(platform: Platform, is_pc: bool) -> CallerContext {
        CallerContext {
            client_ip: None,
            user_agent: String::new(),
            platform,
            is_pc,
            browser: Browser::Other,
            os: None,
            app_id: None,
            device_id: None,
            locale: None,
            source: "http",
            request_id: String::new(),
        }
    }

    #[test]
    fn the_merchants_choices_decide_how_apps_and_browsers_pay() {
        for app_to_h5 in [false, true] {
            for web_pages in [false, true] {
                let choice = AlipayChoice { app_to_h5, web_pages };
                let product = |platform, is_pc| {
                    select(&caller(platform, is_pc), false, choice).map(|(_, product)| product)
                };
                let in_app = if app_to_h5 { Product::Precreate } else { Product::AppPay };
                assert_eq!(product(Platform::App, false), Some(in_app));
                let page = |page| if web_pages { page } else { Product::Precreate };
                assert_eq!(product(Platform::H5, false), Some(page(Product::WapPay)));
                assert_eq!(product(Platform::H5, true), Some(page(Product::PagePay)));
                assert_eq!(product(Platform::MpAlipay, false), Some(Product::Create));
                assert_eq!(product(Platform::MpWeixin, false), None);
                let code = select(&caller(Platform::App, false), true, choice);
                assert_eq!(code, Some((PayType::AlipayH5, Product::Precreate)));
            }
        }
    }
}
