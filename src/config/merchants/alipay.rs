//! The default merchant at Alipay, and what documents share with it.

use std::collections::BTreeMap;

use url::Url;

use super::credentials;
use super::credentials::{
    Piece, Pieces, key_wrong, refuse_mock_key, require, signing_key, verifying_key,
};
use crate::config::parse;
use crate::config::problem::Wrong;
use crate::config::reader::Reader;
use crate::domain::channel::PayType;
use crate::domain::product::AlipayChoice;
use crate::provider::alipay::{AlipayApp, AlipayMerchant, AlipayVerification, certificates};
use crate::provider::keys::SigningKey;

/// The default merchant; `None` when some of it is ill.
pub(in crate::config) fn merchant(
    reader: &mut Reader<'_>,
    gateway_url: &Url,
    choice: AlipayChoice,
) -> Option<AlipayMerchant> {
    if reader.given(PUBLIC_KEY.variable) && CERTIFICATES.iter().any(|it| reader.given(it.variable))
    {
        reader.wrong(PUBLIC_KEY.variable, "is for key mode, and certificates are given too");
    }
    let keys = keys(reader);
    if !APP_IDS.iter().any(|(_, name)| reader.given(name)) {
        reader.require(APP_ID, "is required");
    }
    let everywhere = reader.optional(APP_ID, parse::identifier);
    let mut ids = BTreeMap::new();
    for (pay_type, name) in APP_IDS {
        let special = reader.optional(name, parse::identifier);
        ids.insert(pay_type, special.or_else(|| everywhere.clone()));
    }
    let keys = keys?;
    let app = |app_id| keys.clone().app(app_id, gateway_url.clone());
    let apps = ids.into_iter().filter_map(|(pay_type, id)| Some((pay_type, app(id?))));
    Some(AlipayMerchant { apps: apps.collect(), choice })
}

/// An app's keys and its seller.
#[derive(Clone)]
pub(in crate::config) struct Keys {
    seller_id: Option<String>,
    signing: SigningKey,
    verification: AlipayVerification,
}

impl Keys {
    /// The app that has these keys.
    pub(in crate::config) fn app(self, app_id: String, gateway_url: Url) -> AlipayApp {
        let Keys { seller_id, signing, verification } = self;
        AlipayApp { app_id, seller_id, signing, verification, gateway_url }
    }
}

/// An app's keys, from wherever they stand. Certificates come before a public key.
pub(in crate::config) fn keys(pieces: &mut dyn Pieces) -> Option<Keys> {
    let seller_id = credentials::text(pieces, &SELLER_ID, seller_id);
    let signing = signing_key(pieces, &PRIVATE_KEY);
    let verification = if CERTIFICATES.iter().any(|it| pieces.given(it)) {
        certificates(pieces, signing.as_ref())
    } else {
        require(pieces, &PUBLIC_KEY, "is required, or else the three certificates");
        verifying_key(pieces, &PUBLIC_KEY, signing.as_ref()).map(AlipayVerification::PublicKey)
    };
    if pieces.given(&SELLER_ID) && seller_id.is_none() {
        return None;
    }
    Some(Keys { seller_id, signing: signing?, verification: verification? })
}

fn certificates(pieces: &mut dyn Pieces, own: Option<&SigningKey>) -> Option<AlipayVerification> {
    for piece in &CERTIFICATES {
        require(pieces, piece, "is required with the other certificates");
    }
    let app_cert_sn = credentials::bytes(pieces, &APP_CERT, |bytes| {
        let key = credentials::certificate_key(bytes).map_err(key_wrong)?;
        if own.is_some_and(|own| own.fingerprint() != key.fingerprint()) {
            return Err("is not the private key's certificate".into());
        }
        certificates::app_cert_sn(bytes).map_err(key_wrong)
    });
    let root_cert_sn = credentials::bytes(pieces, &ROOT_CERT, |bytes| {
        certificates::root_cert_sn(bytes).map_err(key_wrong)
    });
    let alipay = credentials::bytes(pieces, &PUBLIC_CERT, |bytes| {
        let (sn, key) = certificates::public_cert(bytes).map_err(key_wrong)?;
        refuse_mock_key(key.fingerprint())?;
        if own.is_some_and(|own| own.fingerprint() == key.fingerprint()) {
            return Err("is the app's own certificate: Alipay's is wanted".into());
        }
        Ok((sn, key))
    });
    let (alipay_cert_sn, key) = alipay?;
    Some(AlipayVerification::Certificates {
        app_cert_sn: app_cert_sn?,
        root_cert_sn: root_cert_sn?,
        alipay_cert_sn,
        key,
    })
}

/// A seller: 16 digits that start with 2088 (Alipay, "alipay.trade.create", `seller_id`).
fn seller_id(text: &str) -> Result<String, Wrong> {
    let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit());
    let matches_order = digits && text.starts_with("2088");
    matches_order
        .then(|| text.to_owned())
        .ok_or_else(|| "is not 16 digits that start with 2088".into())
}

const APP_ID: &str = "PAYGATE_ALIPAY_APP_ID";

const APP_IDS: [(PayType, &str); 3] = [
    (PayType::AlipayMpAlipay, "PAYGATE_ALIPAY_APP_ID_MP_ALIPAY"),
    (PayType::AlipayAppPlus, "PAYGATE_ALIPAY_APP_ID_APP_PLUS"),
    (PayType::AlipayH5, "PAYGATE_ALIPAY_APP_ID_H5"),
];

const SELLER_ID: Piece = Piece { variable: "PAYGATE_ALIPAY_SELLER_ID", field: "mchId" };
const PRIVATE_KEY: Piece = Piece { variable: "PAYGATE_ALIPAY_PRIVATE_KEY", field: "privateKey" };
const PUBLIC_KEY: Piece = Piece { variable: "PAYGATE_ALIPAY_PUBLIC_KEY", field: "alipayPublicKey" };
const APP_CERT: Piece = Piece { variable: "PAYGATE_ALIPAY_APP_CERT", field: "appCertContent" };
const PUBLIC_CERT: Piece =
    Piece { variable: "PAYGATE_ALIPAY_PUBLIC_CERT", field: "alipayPublicCertContent" };
const ROOT_CERT: Piece =
    Piece { variable: "PAYGATE_ALIPAY_ROOT_CERT", field: "alipayRootCertContent" };
const CERTIFICATES: [Piece; 3] = [APP_CERT, PUBLIC_CERT, ROOT_CERT];
