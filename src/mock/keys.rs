//! The mock's one set of keys: a merchant's and the providers', generated for it and worth nothing.
//!
//! They are public (they stand in this repository), so live mode refuses them by
//! [`fingerprints`].

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use crate::domain::channel::PayType;
use crate::domain::product::AlipayChoice;
use crate::provider::keys::{SigningKey, VerifyingKey};
use crate::provider::{alipay, wxpay};
use crate::secret::Secret;

/// The merchant's number at the mock's WeChat Pay.
pub const MCH_ID: &str = "1900000109";
/// The serial number of the merchant's API certificate.
pub const MERCHANT_SERIAL_NO: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
/// The APIv3 key: 32 bytes.
pub const API_V3_KEY: &str = "paygate-mock-api-v3-key-of-32-by";
/// The mini program's `appid`.
pub const WXPAY_APP_MP_WEIXIN: &str = "wxmockmp00000001";
/// The native app's `appid`.
pub const WXPAY_APP_APP_PLUS: &str = "wxmockapp0000001";
/// The `appid` of payments by QR code.
pub const WXPAY_APP_H5: &str = "wxmockqr00000001";
/// The official account's `appid`.
pub const WXPAY_APP_H5_WEIXIN: &str = "wxmockoa00000001";
/// The `appid` of payments in phone browsers.
pub const WXPAY_APP_MWEB: &str = "wxmockweb0000001";
/// The id of [`WXPAY_PUBLIC_KEY_PEM`].
pub const WXPAY_PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0119000001092026010100000000000001";
/// The serial number of the platform certificate.
pub const WXPAY_PLATFORM_SERIAL_NO: &str = "7132D72A03E93CDDF8C03BBD1F37EEDF6B6F4A52";
/// The merchant's API private key, PKCS#8 PEM.
pub const WXPAY_MERCHANT_KEY_PEM: &str = include_str!("keys/wxpay_merchant_key.pem");
/// The merchant's API certificate, PEM.
pub const WXPAY_MERCHANT_CERT_PEM: &str = include_str!("keys/wxpay_merchant_cert.pem");
/// WeChat Pay's public key, PEM.
pub const WXPAY_PUBLIC_KEY_PEM: &str = include_str!("keys/wxpay_public_key.pem");
/// WeChat Pay's platform certificate, PEM.
pub const WXPAY_PLATFORM_CERT_PEM: &str = include_str!("keys/wxpay_platform_cert.pem");

/// The merchant's account at the mock's Alipay.
pub const ALIPAY_SELLER_ID: &str = "2088000000000001";
/// The mini program's `app_id`.
pub const ALIPAY_APP_MP_ALIPAY: &str = "2021000000000001";
/// The native app's `app_id`.
pub const ALIPAY_APP_APP_PLUS: &str = "2021000000000002";
/// The `app_id` of payments by QR code and on Alipay's pages.
pub const ALIPAY_APP_H5: &str = "2021000000000003";
/// `app_cert_sn` of [`ALIPAY_APP_CERT_PEM`].
pub const ALIPAY_APP_CERT_SN: &str = "c3100a52c561866d9d5383b3e0517793";
/// `alipay_cert_sn` of [`ALIPAY_PUBLIC_CERT_PEM`].
pub const ALIPAY_PUBLIC_CERT_SN: &str = "bfd1c1c2f71e9fed7d9075e81c09441b";
/// `alipay_root_cert_sn` of [`ALIPAY_ROOT_CERT_PEM`].
pub const ALIPAY_ROOT_CERT_SN: &str = "6be717403f22bdfb2bdaea8b19b1d5d2";
/// The private key of every app, PKCS#8 PEM.
pub const ALIPAY_APP_KEY_PEM: &str = include_str!("keys/alipay_app_key.pem");
/// Alipay's public key, PEM.
pub const ALIPAY_PUBLIC_KEY_PEM: &str = include_str!("keys/alipay_public_key.pem");
/// Certificate mode: the apps' certificate, PEM.
pub const ALIPAY_APP_CERT_PEM: &str = include_str!("keys/alipay_app_cert.pem");
/// Certificate mode: Alipay's certificate, PEM.
pub const ALIPAY_PUBLIC_CERT_PEM: &str = include_str!("keys/alipay_public_cert.pem");
/// Certificate mode: the root certificate, PEM.
pub const ALIPAY_ROOT_CERT_PEM: &str = include_str!("keys/alipay_root_cert.pem");

pub(super) const WXPAY_PUBLIC_MODE_KEY_PEM: &str = include_str!("keys/wxpay_public_mode_key.pem");
pub(super) const WXPAY_PLATFORM_KEY_PEM: &str = include_str!("keys/wxpay_platform_key.pem");
pub(super) const ALIPAY_KEY_PEM: &str = include_str!("keys/alipay_key.pem");

/// Every WeChat Pay `appid` and the pay type it serves.
pub(super) const WXPAY_APPS: [(PayType, &str); 5] = [
    (PayType::WxpayMpWeixin, WXPAY_APP_MP_WEIXIN),
    (PayType::WxpayAppPlus, WXPAY_APP_APP_PLUS),
    (PayType::WxpayH5, WXPAY_APP_H5),
    (PayType::WxpayH5Weixin, WXPAY_APP_H5_WEIXIN),
    (PayType::WxpayMweb, WXPAY_APP_MWEB),
];

/// Every Alipay `app_id` and the pay type it serves.
pub(super) const ALIPAY_APPS: [(PayType, &str); 3] = [
    (PayType::AlipayMpAlipay, ALIPAY_APP_MP_ALIPAY),
    (PayType::AlipayAppPlus, ALIPAY_APP_APP_PLUS),
    (PayType::AlipayH5, ALIPAY_APP_H5),
];

/// The mock's merchant at WeChat Pay, in public-key mode, with every pay type.
#[must_use]
pub fn wxpay_merchant(base_url: Url) -> wxpay::WxpayMerchant {
    let verification = wxpay::WxpayVerification::PublicKey {
        id: WXPAY_PUBLIC_KEY_ID.to_owned(),
        key: verifying_key(WXPAY_PUBLIC_KEY_PEM),
    };
    wxpay_merchant_verifying(base_url, verification)
}

/// The mock's merchant at WeChat Pay with every pay type, which verifies by `verification`.
#[must_use]
pub fn wxpay_merchant_verifying(
    base_url: Url,
    verification: wxpay::WxpayVerification,
) -> wxpay::WxpayMerchant {
    let account = Arc::new(wxpay::WxpayAccount {
        mch_id: MCH_ID.to_owned(),
        serial_no: MERCHANT_SERIAL_NO.to_owned(),
        signing: signing_key(WXPAY_MERCHANT_KEY_PEM),
        api_v3_key: Secret::new(API_V3_KEY),
        verification,
        base_url,
    });
    let site = |pay_type| {
        (pay_type == PayType::WxpayMweb).then(|| wxpay::Site {
            name: "paygate mock".to_owned(),
            url: "https://shop.example.com".to_owned(),
        })
    };
    let app = |(pay_type, app_id): (PayType, &str)| {
        let app_id = app_id.to_owned();
        (pay_type, wxpay::WxpayApp { app_id, account: account.clone(), site: site(pay_type) })
    };
    wxpay::WxpayMerchant { apps: WXPAY_APPS.into_iter().map(app).collect() }
}

/// The mock's merchant at Alipay, in key mode, with every pay type.
#[must_use]
pub fn alipay_merchant(gateway_url: Url) -> alipay::AlipayMerchant {
    let verification = alipay::AlipayVerification::PublicKey(verifying_key(ALIPAY_PUBLIC_KEY_PEM));
    alipay_merchant_verifying(gateway_url, verification)
}

/// The mock's merchant at Alipay, in certificate mode, with every pay type.
#[must_use]
pub fn alipay_merchant_by_certificates(gateway_url: Url) -> alipay::AlipayMerchant {
    let verification = alipay::AlipayVerification::Certificates {
        app_cert_sn: ALIPAY_APP_CERT_SN.to_owned(),
        root_cert_sn: ALIPAY_ROOT_CERT_SN.to_owned(),
        alipay_cert_sn: ALIPAY_PUBLIC_CERT_SN.to_owned(),
        key: verifying_key(ALIPAY_PUBLIC_KEY_PEM),
    };
    alipay_merchant_verifying(gateway_url, verification)
}

fn alipay_merchant_verifying(
    gateway_url: Url,
    verification: alipay::AlipayVerification,
) -> alipay::AlipayMerchant {
    let signing = signing_key(ALIPAY_APP_KEY_PEM);
    let app = |(pay_type, app_id): (PayType, &str)| {
        let app = alipay::AlipayApp {
            app_id: app_id.to_owned(),
            seller_id: Some(ALIPAY_SELLER_ID.to_owned()),
            signing: signing.clone(),
            verification: verification.clone(),
            gateway_url: gateway_url.clone(),
        };
        (pay_type, app)
    };
    let apps: BTreeMap<_, _> = ALIPAY_APPS.into_iter().map(app).collect();
    alipay::AlipayMerchant { apps, choice: AlipayChoice::default() }
}

/// SHA-256 of the SubjectPublicKeyInfo of every key of the mock, merchants' and providers'.
#[must_use]
pub fn fingerprints() -> Vec<[u8; 32]> {
    [
        WXPAY_MERCHANT_KEY_PEM,
        WXPAY_PUBLIC_MODE_KEY_PEM,
        WXPAY_PLATFORM_KEY_PEM,
        ALIPAY_APP_KEY_PEM,
        ALIPAY_KEY_PEM,
    ]
    .into_iter()
    .map(|pem| signing_key(pem).fingerprint())
    .collect()
}

fn signing_key(pem: &str) -> SigningKey {
    SigningKey::parse(pem.as_bytes()).expect("an embedded private key")
}

fn verifying_key(pem: &str) -> VerifyingKey {
    VerifyingKey::parse(pem.as_bytes()).expect("an embedded public key")
}
