//! The default merchant at WeChat Pay, and the account as documents hold it, too.

use std::sync::Arc;

use url::Url;

use super::credentials::{
    Credential, Credentials, check_own_certificate, key_reason, own_end, parse_certificate,
    parse_text, read_app_ids, require, signing_key, verifying_key,
};
use crate::config::parse;
use crate::config::problem::ProblemReason;
use crate::config::reader::Reader;
use crate::domain::channel::PayType;
use crate::provider::keys::SigningKey;
use crate::provider::mock_keys::MOCK_API_V3_KEY;
use crate::provider::wxpay::{
    Site, WxpayAccount, WxpayApp, WxpayMerchant, WxpayVerification, certificates,
};
use crate::secret::Secret;

/// Reads the default merchant; `None` when a part of its account is absent or invalid.
pub(in crate::config) fn read_default_merchant(
    reader: &mut Reader<'_>,
    base_url: &Url,
) -> Option<WxpayMerchant> {
    let account = read_account(reader, base_url);
    let site = site(reader);
    let app_ids = read_app_ids(reader, APP_ID, &APP_IDS);
    let account = Arc::new(account?);
    let app = |app_id| WxpayApp { app_id, account: account.clone(), site: site.clone() };
    let apps = app_ids.into_iter().map(|(pay_type, app_id)| (pay_type, app(app_id)));
    Some(WxpayMerchant { apps: apps.collect() })
}

/// Reads an account and its keys.
pub(in crate::config) fn read_account(
    credentials: &mut dyn Credentials,
    base_url: &Url,
) -> Option<WxpayAccount> {
    require(credentials, &MCH_ID, "is required");
    let mch_id = parse_text(credentials, &MCH_ID, parse::digits);
    let signing = signing_key(credentials, &PRIVATE_KEY);
    let serial_no = serial_no(credentials, signing.as_ref());
    require(credentials, &API_V3_KEY, "is required");
    let api_v3_key = parse_text(credentials, &API_V3_KEY, |text| match text.len() {
        32 if text == MOCK_API_V3_KEY => Err("is the simulated providers' key".into()),
        32 => Ok(Secret::new(text)),
        length => Err(format!("has {length} bytes instead of 32").into()),
    });
    let verification = {
        let id = parse_text(credentials, &PUBLIC_KEY_ID, public_key_id);
        let key = verifying_key(credentials, &PUBLIC_KEY, signing.as_ref());
        match (credentials.is_set(&PUBLIC_KEY_ID), credentials.is_set(&PUBLIC_KEY)) {
            (false, false) => Some(WxpayVerification::Certificates),
            (true, true) => id.zip(key).map(|(id, key)| WxpayVerification::PublicKey { id, key }),
            (true, false) => {
                require(credentials, &PUBLIC_KEY, "is required with the public key's id");
                None
            }
            (false, true) => {
                require(credentials, &PUBLIC_KEY_ID, "is required with the public key");
                None
            }
        }
    };
    Some(WxpayAccount {
        mch_id: mch_id?,
        serial_no: serial_no?,
        signing: signing?,
        api_v3_key: api_v3_key?,
        verification: verification?,
        base_url: base_url.clone(),
    })
}

/// `h5_info` (WeChat Pay V3, H5 order): `app_name` of at most 64 characters, `app_url` of at most
/// 128.
pub(in crate::config) fn site_name(text: &str) -> Result<String, ProblemReason> {
    let is_valid = (1..=64).contains(&text.chars().count()) && !text.contains(char::is_control);
    is_valid.then(|| text.to_owned()).ok_or_else(|| "is not 1 to 64 characters".into())
}

/// The `app_url` of [`site_name`]'s site.
pub(in crate::config) fn site_url(text: &str) -> Result<String, ProblemReason> {
    if text.chars().count() > 128 {
        return Err("is longer than 128 characters".into());
    }
    parse::web_url(text).map(|_| text.to_owned())
}

fn site(reader: &mut Reader<'_>) -> Option<Site> {
    let name = reader.optional("PAYGATE_WXPAY_H5_NAME", site_name);
    let url = reader.optional("PAYGATE_WXPAY_H5_URL", site_url);
    if reader.is_set("PAYGATE_WXPAY_H5_NAME") {
        reader.require("PAYGATE_WXPAY_H5_URL", "is required with PAYGATE_WXPAY_H5_NAME");
    }
    if reader.is_set("PAYGATE_WXPAY_H5_URL") {
        reader.require("PAYGATE_WXPAY_H5_NAME", "is required with PAYGATE_WXPAY_H5_URL");
    }
    Some(Site { name: name?, url: url? })
}

fn serial_no(credentials: &mut dyn Credentials, own: Option<&SigningKey>) -> Option<String> {
    if !credentials.is_set(&SERIAL_NO) {
        require(credentials, &CERT, "is required, or else the certificate's serial number");
    }
    let serial_no = |bytes: &[u8]| {
        let serial_no = certificates::serial_no(bytes).map_err(key_reason)?;
        check_own_certificate(bytes, own)?;
        Ok(serial_no)
    };
    let in_certificate = parse_certificate(credentials, &CERT, serial_no, own_end);
    let given = parse_text(credentials, &SERIAL_NO, |text| {
        let is_valid =
            (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_valid.then(|| text.to_ascii_uppercase()).ok_or_else(|| "is not hexadecimal".into())
    });
    match (in_certificate, given) {
        (Some(in_certificate), Some(given)) if in_certificate != given => {
            credentials.report(&SERIAL_NO, "is not the certificate's serial number".into());
            None
        }
        (in_certificate, given) => in_certificate.or(given),
    }
}

fn public_key_id(text: &str) -> Result<String, ProblemReason> {
    let id = text.strip_prefix("PUB_KEY_ID_").filter(|id| (1..=64).contains(&id.len()));
    let is_valid = id.is_some_and(|id| id.bytes().all(|b| b.is_ascii_alphanumeric()));
    is_valid.then(|| text.to_owned()).ok_or_else(|| "is no public key id".into())
}

const APP_ID: &str = "PAYGATE_WXPAY_APP_ID";

const APP_IDS: [(PayType, &str); 5] = [
    (PayType::WxpayMpWeixin, "PAYGATE_WXPAY_APP_ID_MP_WEIXIN"),
    (PayType::WxpayAppPlus, "PAYGATE_WXPAY_APP_ID_APP_PLUS"),
    (PayType::WxpayH5, "PAYGATE_WXPAY_APP_ID_H5"),
    (PayType::WxpayH5Weixin, "PAYGATE_WXPAY_APP_ID_H5_WEIXIN"),
    (PayType::WxpayMweb, "PAYGATE_WXPAY_APP_ID_MWEB"),
];

const MCH_ID: Credential = Credential { variable: "PAYGATE_WXPAY_MCH_ID", field: "mchId" };
const PRIVATE_KEY: Credential =
    Credential { variable: "PAYGATE_WXPAY_PRIVATE_KEY", field: "appPrivateKeyContent" };
const CERT: Credential = Credential { variable: "PAYGATE_WXPAY_CERT", field: "appCertContent" };
const SERIAL_NO: Credential = Credential { variable: "PAYGATE_WXPAY_SERIAL_NO", field: "" };
const API_V3_KEY: Credential = Credential { variable: "PAYGATE_WXPAY_API_V3_KEY", field: "v3Key" };
const PUBLIC_KEY: Credential =
    Credential { variable: "PAYGATE_WXPAY_PUBLIC_KEY", field: "wxpayPublicKeyContent" };
const PUBLIC_KEY_ID: Credential =
    Credential { variable: "PAYGATE_WXPAY_PUBLIC_KEY_ID", field: "wxpayPublicKeyId" };
