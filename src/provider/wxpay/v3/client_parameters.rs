//! The client's payment parameters, signed with the merchant's key.

use serde::Serialize;

use super::order::Parties;
use crate::domain::order::attempt::Material;
use crate::domain::product::Product;
use crate::provider::SigningContext;
use crate::provider::keys::SigningKey;
use crate::provider::text::to_json;

/// The client's parameters as JSON text. `None` when the material is not `product`'s.
pub(super) fn client_parameters(
    product: Product,
    parties: &Parties,
    signing: &SigningKey,
    context: SigningContext<'_>,
) -> Option<String> {
    match (product, context.material) {
        (Product::Jsapi, Material::Prepay { prepay_id }) => {
            Some(jsapi(parties, signing, context, prepay_id))
        }
        (Product::App, Material::Prepay { prepay_id }) => {
            Some(app(parties, signing, context, prepay_id))
        }
        (Product::Native, Material::QrCode { code_url, .. }) => {
            Some(to_json(&NativeParameters { code_url }))
        }
        (Product::H5, Material::H5 { h5_url }) => {
            Some(to_json(&H5Parameters { mweb_url: h5_url, h5_url }))
        }
        _ => None,
    }
}

/// `WeixinJSBridge.invoke("getBrandWCPayRequest")` and `requestPayment` (WeChat Pay V3, JSAPI and
/// mini program launch). `timestamp` repeats `timeStamp`, as vk-uni-pay does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsapiParameters<'a> {
    app_id: &'a str,
    time_stamp: &'a str,
    nonce_str: &'a str,
    package: &'a str,
    sign_type: &'static str,
    pay_sign: String,
    timestamp: &'a str,
}

fn jsapi(
    parties: &Parties,
    signing: &SigningKey,
    context: SigningContext<'_>,
    prepay_id: &str,
) -> String {
    let app_id = parties.client_app_id();
    let time_stamp = &context.now.seconds().to_string();
    let nonce_str = context.nonce;
    let package = &format!("prepay_id={prepay_id}");
    let message = format!("{app_id}\n{time_stamp}\n{nonce_str}\n{package}\n");
    to_json(&JsapiParameters {
        app_id,
        time_stamp,
        nonce_str,
        package,
        sign_type: "RSA",
        pay_sign: signing.sign(message.as_bytes()),
        timestamp: time_stamp,
    })
}

/// The OpenSDK's `PayReq` (WeChat Pay V3, APP launch).
#[derive(Serialize)]
struct AppParameters<'a> {
    appid: &'a str,
    partnerid: &'a str,
    prepayid: &'a str,
    package: &'static str,
    noncestr: &'a str,
    timestamp: &'a str,
    sign: String,
}

fn app(
    parties: &Parties,
    signing: &SigningKey,
    context: SigningContext<'_>,
    prepayid: &str,
) -> String {
    let appid = parties.client_app_id();
    let timestamp = &context.now.seconds().to_string();
    let noncestr = context.nonce;
    let message = format!("{appid}\n{timestamp}\n{noncestr}\n{prepayid}\n");
    to_json(&AppParameters {
        appid,
        partnerid: parties.paid_mch_id(),
        prepayid,
        package: "Sign=WXPay",
        noncestr,
        timestamp,
        sign: signing.sign(message.as_bytes()),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NativeParameters<'a> {
    code_url: &'a str,
}

/// Older clients of vk-uni-pay read `mwebUrl`, newer ones `h5Url`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct H5Parameters<'a> {
    mweb_url: &'a str,
    #[serde(rename = "h5Url")]
    h5_url: &'a str,
}
