//! What the client pays with, signed with the merchant's key.

use serde::Serialize;

use super::order::Parties;
use crate::domain::channel::Product;
use crate::domain::order::attempt::Material;
use crate::provider::SigningContext;
use crate::provider::keys::SigningKey;

/// The client's parameters as JSON text. `None` when the material is not `product`'s.
pub(super) fn order_text(
    product: Product,
    parties: &Parties,
    signing: &SigningKey,
    stamp: SigningContext<'_>,
) -> Option<String> {
    match (product, stamp.material) {
        (Product::Jsapi, Material::Prepay { prepay_id }) => {
            Some(jsapi(parties, signing, stamp, prepay_id))
        }
        (Product::App, Material::Prepay { prepay_id }) => {
            Some(app(parties, signing, stamp, prepay_id))
        }
        (Product::Native, Material::QrCode { code_url, .. }) => Some(to_json(&Native { code_url })),
        (Product::H5, Material::H5 { h5_url }) => Some(to_json(&H5 { mweb_url: h5_url, h5_url })),
        _ => None,
    }
}

/// `WeixinJSBridge.invoke("getBrandWCPayRequest")` and `requestPayment` (WeChat Pay V3, JSAPI and
/// mini program launch). `timestamp` repeats `timeStamp`, as vk-uni-pay does.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Jsapi<'a> {
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
    stamp: SigningContext<'_>,
    prepay_id: &str,
) -> String {
    let app_id = parties.client_app_id();
    let time_stamp = &stamp.now.seconds().to_string();
    let nonce_str = stamp.nonce;
    let package = &format!("prepay_id={prepay_id}");
    let message = format!("{app_id}\n{time_stamp}\n{nonce_str}\n{package}\n");
    to_json(&Jsapi {
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
struct App<'a> {
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
    stamp: SigningContext<'_>,
    prepayid: &str,
) -> String {
    let appid = parties.client_app_id();
    let timestamp = &stamp.now.seconds().to_string();
    let noncestr = stamp.nonce;
    let message = format!("{appid}\n{timestamp}\n{noncestr}\n{prepayid}\n");
    to_json(&App {
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
struct Native<'a> {
    code_url: &'a str,
}

/// Older clients of vk-uni-pay read `mwebUrl`, newer ones `h5Url`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct H5<'a> {
    mweb_url: &'a str,
    #[serde(rename = "h5Url")]
    h5_url: &'a str,
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts are always JSON")
}
