//! `biz_content`: the business parameters of a call, as JSON text.

use serde::Serialize;

use super::AlipayApp;
use crate::domain::ids::ChannelNo;
use crate::domain::json::{RawJson, Shape};
use crate::domain::product::Product;
use crate::error::Text;
use crate::provider::AttemptRequest;

/// The gateway's method for `product`; `None` for WeChat Pay's.
pub(crate) fn method(product: Product) -> Option<&'static str> {
    match product {
        Product::AppPay => Some("alipay.trade.app.pay"),
        Product::Create => Some("alipay.trade.create"),
        Product::Precreate => Some("alipay.trade.precreate"),
        Product::WapPay => Some("alipay.trade.wap.pay"),
        Product::PagePay => Some("alipay.trade.page.pay"),
        Product::Jsapi | Product::App | Product::H5 | Product::Native => None,
    }
}

/// The `product_code` of each method (its page, "request parameters").
fn product_code(product: Product) -> Option<&'static str> {
    match product {
        Product::AppPay => Some("QUICK_MSECURITY_PAY"),
        Product::Create => Some("JSAPI_PAY"),
        Product::Precreate => Some("FACE_TO_FACE_PAYMENT"),
        Product::WapPay => Some("QUICK_WAP_WAY"),
        Product::PagePay => Some("FAST_INSTANT_TRADE_PAY"),
        Product::Jsapi | Product::App | Product::H5 | Product::Native => None,
    }
}

/// An order's `biz_content`, in the order of the fields. The engine stores the text, and never
/// makes it again.
#[derive(Serialize)]
struct OrderBizContent<'a> {
    out_trade_no: &'a str,
    total_amount: String,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    product_code: &'static str,
    /// Absolute, unlike `timeout_express`, which a repeated call would restart.
    time_expire: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seller_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op_app_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_open_id: Option<&'a str>,
}

/// The `biz_content` of a new attempt that `app` receives.
///
/// # Errors
///
/// A text for the client when this order cannot be paid this way.
pub(crate) fn order_content(request: &AttemptRequest<'_>, app: &AlipayApp) -> Result<String, Text> {
    let Some(product_code) = product_code(request.product) else {
        return Err(Text::new("支付宝没有该支付方式", "Alipay has no such pay type"));
    };
    let (buyer_id, buyer_open_id) = buyer(request)?;
    let order = OrderBizContent {
        out_trade_no: request.channel_no.as_str(),
        total_amount: request.terms.total_fee.to_yuan(),
        subject: &request.terms.subject,
        body: request.terms.body.as_deref(),
        product_code,
        time_expire: request.expires_at.to_alipay(),
        seller_id: seller(request, app),
        op_app_id: (request.product == Product::Create).then_some(app.app_id.as_str()),
        buyer_id,
        buyer_open_id,
    };
    with_other(order, request.terms.other.as_ref())
}

/// `buyer_id` or `buyer_open_id`: an Alipay user number begins with 2088 and has 16 digits; apps
/// without access to it know their buyers by an open id.
fn buyer<'a>(request: &AttemptRequest<'a>) -> Result<(Option<&'a str>, Option<&'a str>), Text> {
    if request.product != Product::Create {
        return Ok((None, None));
    }
    let openid = request.openid.ok_or_else(|| {
        Text::new("支付宝小程序支付需要 openid", "Alipay's mini programs need an openid")
    })?;
    let is_user_id = openid.len() == 16
        && openid.starts_with("2088")
        && openid.bytes().all(|byte| byte.is_ascii_digit());
    Ok(if is_user_id { (Some(openid), None) } else { (None, Some(openid)) })
}

/// `seller_id`, in the calls that vk-uni-pay sends it with. On behalf of another merchant the order
/// has none: the token names the merchant.
fn seller<'a>(request: &AttemptRequest<'_>, app: &'a AlipayApp) -> Option<&'a str> {
    let sends = matches!(request.product, Product::Create | Product::Precreate);
    let own = request.terms.app_auth_token.is_none();
    app.seller_id.as_deref().filter(|_| sends && own)
}

/// `order` with the members of `other` behind its own, as they are written there.
fn with_other(order: OrderBizContent<'_>, other: Option<&RawJson>) -> Result<String, Text> {
    let mut document = serde_json::to_string(&order).expect("texts make JSON");
    let Some(other) = other else { return Ok(document) };
    let Shape::Object(members) = other.json().shape() else {
        return Err(Text::new("other 必须是对象", "other must be an object"));
    };
    let names: Vec<_> = members.map(|(name, _)| name).collect();
    if let Some(name) = names.iter().find(|name| COMPUTED_MEMBERS.contains(&name.as_ref())) {
        return Err(Text::new(
            format!("other 不能包含 {name}"),
            format!("other must not hold {name}"),
        ));
    }
    let inner = other.as_str().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if let Some(inner) = inner.filter(|_| !names.is_empty()) {
        document.pop();
        document.push(',');
        document.push_str(inner.trim());
        document.push('}');
    }
    Ok(document)
}

/// The members that we compute: `other` must not hold one, even where the order leaves it out.
const COMPUTED_MEMBERS: [&str; 10] = [
    "out_trade_no",
    "total_amount",
    "subject",
    "body",
    "product_code",
    "time_expire",
    "seller_id",
    "op_app_id",
    "buyer_id",
    "buyer_open_id",
];

/// The `biz_content` that names a trade: of a query or a close.
pub(crate) fn trade_content(channel_no: &ChannelNo) -> String {
    serde_json::json!({ "out_trade_no": channel_no.as_str() }).to_string()
}
