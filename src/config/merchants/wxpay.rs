//! The default merchant at WeChat Pay, and what documents share with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

use super::credentials;
use super::credentials::{Piece, Pieces, key_wrong, require, signing_key, verifying_key};
use super::mock_keys::MOCK_API_V3_KEY;
use crate::config::parse;
use crate::config::problem::Wrong;
use crate::config::reader::Reader;
use crate::domain::channel::PayType;
use crate::provider::keys::SigningKey;
use crate::provider::wxpay::{
    Site, WxpayAccount, WxpayApp, WxpayMerchant, WxpayVerification, certificates,
};
use crate::secret::Secret;

/// The default merchant; `None` when none of it is configured, or some of it is ill.
pub(in crate::config) fn merchant(
    reader: &mut Reader<'_>,
    base_url: &Url,
) -> Option<WxpayMerchant> {
    let account = account(reader, base_url);
    let site = site(reader);
    if !APP_IDS.iter().any(|(_, name)| reader.given(name)) {
        reader.require(APP_ID, "is required");
    }
    let everywhere = reader.optional(APP_ID, parse::identifier);
    let mut ids = BTreeMap::new();
    for (pay_type, name) in APP_IDS {
        let special = reader.optional(name, parse::identifier);
        ids.insert(pay_type, special.or_else(|| everywhere.clone()));
    }
    let account = Arc::new(account?);
    let app = |app_id| WxpayApp { app_id, account: account.clone(), site: site.clone() };
    let apps = ids.into_iter().filter_map(|(pay_type, id)| Some((pay_type, app(id?))));
    Some(WxpayMerchant { apps: apps.collect() })
}

/// An account and its keys, from wherever they stand.
pub(in crate::config) fn account(pieces: &mut dyn Pieces, base_url: &Url) -> Option<WxpayAccount> {
    require(pieces, &MCH_ID, "is required");
    let mch_id = credentials::text(pieces, &MCH_ID, parse::digits);
    let signing = signing_key(pieces, &PRIVATE_KEY);
    let serial_no = serial_no(pieces, signing.as_ref());
    require(pieces, &API_V3_KEY, "is required");
    let api_v3_key = credentials::text(pieces, &API_V3_KEY, |text| match text.len() {
        32 if text == MOCK_API_V3_KEY => Err("is the simulated providers' key".into()),
        32 => Ok(Secret::new(text)),
        length => Err(format!("has {length} bytes instead of 32").into()),
    });
    let verification = {
        let id = credentials::text(pieces, &PUBLIC_KEY_ID, public_key_id);
        let key = verifying_key(pieces, &PUBLIC_KEY, signing.as_ref());
        match (pieces.given(&PUBLIC_KEY_ID), pieces.given(&PUBLIC_KEY)) {
            (false, false) => Some(WxpayVerification::Certificates),
            (true, true) => id.zip(key).map(|(id, key)| WxpayVerification::PublicKey { id, key }),
            (true, false) => complain(pieces, &PUBLIC_KEY, "is required with the public key's id"),
            (false, true) => complain(pieces, &PUBLIC_KEY_ID, "is required with the public key"),
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
pub(in crate::config) fn site_name(text: &str) -> Result<String, Wrong> {
    let matches_order =
        (1..=64).contains(&text.chars().count()) && !text.contains(char::is_control);
    matches_order.then(|| text.to_owned()).ok_or_else(|| "is not 1 to 64 characters".into())
}

/// See [`site_name`].
pub(in crate::config) fn site_url(text: &str) -> Result<String, Wrong> {
    if text.chars().count() > 128 {
        return Err("is longer than 128 characters".into());
    }
    parse::web_url(text).map(|_| text.to_owned())
}

fn site(reader: &mut Reader<'_>) -> Option<Site> {
    let name = reader.optional("PAYGATE_WXPAY_H5_NAME", site_name);
    let url = reader.optional("PAYGATE_WXPAY_H5_URL", site_url);
    if reader.given("PAYGATE_WXPAY_H5_NAME") {
        reader.require("PAYGATE_WXPAY_H5_URL", "is required with PAYGATE_WXPAY_H5_NAME");
    }
    if reader.given("PAYGATE_WXPAY_H5_URL") {
        reader.require("PAYGATE_WXPAY_H5_NAME", "is required with PAYGATE_WXPAY_H5_URL");
    }
    Some(Site { name: name?, url: url? })
}

fn serial_no(pieces: &mut dyn Pieces, own: Option<&SigningKey>) -> Option<String> {
    if !pieces.given(&SERIAL_NO) {
        require(pieces, &CERT, "is required, or else the certificate's serial number");
    }
    let read_off = credentials::bytes(pieces, &CERT, |bytes| {
        let serial_no = certificates::serial_no(bytes).map_err(key_wrong)?;
        let key = credentials::certificate_key(bytes).map_err(key_wrong)?;
        if own.is_some_and(|own| own.fingerprint() != key.fingerprint()) {
            return Err("is not the private key's certificate".into());
        }
        Ok(serial_no)
    });
    let given = credentials::text(pieces, &SERIAL_NO, |text| {
        let matches_order =
            (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        matches_order.then(|| text.to_ascii_uppercase()).ok_or_else(|| "is not hexadecimal".into())
    });
    match (read_off, given) {
        (Some(read_off), Some(given)) if read_off != given => {
            complain(pieces, &SERIAL_NO, "is not the certificate's serial number")
        }
        (read_off, given) => read_off.or(given),
    }
}

fn public_key_id(text: &str) -> Result<String, Wrong> {
    let id = text.strip_prefix("PUB_KEY_ID_").filter(|it| (1..=64).contains(&it.len()));
    let matches_order = id.is_some_and(|it| it.bytes().all(|b| b.is_ascii_alphanumeric()));
    matches_order.then(|| text.to_owned()).ok_or_else(|| "is no public key id".into())
}

fn complain<T>(pieces: &mut dyn Pieces, piece: &Piece, wrong: &'static str) -> Option<T> {
    pieces.wrong(piece, wrong.into());
    None
}

const APP_ID: &str = "PAYGATE_WXPAY_APP_ID";

const APP_IDS: [(PayType, &str); 5] = [
    (PayType::WxpayMpWeixin, "PAYGATE_WXPAY_APP_ID_MP_WEIXIN"),
    (PayType::WxpayAppPlus, "PAYGATE_WXPAY_APP_ID_APP_PLUS"),
    (PayType::WxpayH5, "PAYGATE_WXPAY_APP_ID_H5"),
    (PayType::WxpayH5Weixin, "PAYGATE_WXPAY_APP_ID_H5_WEIXIN"),
    (PayType::WxpayMweb, "PAYGATE_WXPAY_APP_ID_MWEB"),
];

const MCH_ID: Piece = Piece { variable: "PAYGATE_WXPAY_MCH_ID", field: "mchId" };
const PRIVATE_KEY: Piece =
    Piece { variable: "PAYGATE_WXPAY_PRIVATE_KEY", field: "appPrivateKeyContent" };
const CERT: Piece = Piece { variable: "PAYGATE_WXPAY_CERT", field: "appCertContent" };
const SERIAL_NO: Piece = Piece { variable: "PAYGATE_WXPAY_SERIAL_NO", field: "" };
const API_V3_KEY: Piece = Piece { variable: "PAYGATE_WXPAY_API_V3_KEY", field: "v3Key" };
const PUBLIC_KEY: Piece =
    Piece { variable: "PAYGATE_WXPAY_PUBLIC_KEY", field: "wxpayPublicKeyContent" };
const PUBLIC_KEY_ID: Piece =
    Piece { variable: "PAYGATE_WXPAY_PUBLIC_KEY_ID", field: "wxpayPublicKeyId" };
