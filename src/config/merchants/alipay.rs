//! The default merchant at Alipay, and an app's keys as documents hold them, too.

use url::Url;

use super::credentials::{
    Credential, Credentials, check_own_certificate, key_reason, own_end, parse_certificate,
    parse_text, read_app_ids, refuse_mock_key, require, signing_key, verifying_key,
};
use crate::config::certificates::CertificateEnd;
use crate::config::problem::ProblemReason;
use crate::config::reader::Reader;
use crate::domain::channel::PayType;
use crate::domain::product::AlipayChoice;
use crate::provider::alipay::{
    AlipayApp, AlipayMerchant, AlipayVerification, certificates, is_seller_id,
};
use crate::provider::keys::SigningKey;

/// Reads the default merchant; `None` when its keys are absent or invalid.
pub(in crate::config) fn read_default_merchant(
    reader: &mut Reader<'_>,
    gateway_url: &Url,
    choice: AlipayChoice,
) -> Option<AlipayMerchant> {
    let has_certificates =
        CERTIFICATES.iter().any(|certificate| reader.is_set(certificate.variable));
    if has_certificates && reader.is_set(PUBLIC_KEY.variable) {
        reader.report(PUBLIC_KEY.variable, "is for key mode, and certificates are given too");
    }
    let keys = read_keys(reader);
    let app_ids = read_app_ids(reader, APP_ID, &APP_IDS);
    let keys = keys?;
    let app = |app_id| keys.clone().app(app_id, gateway_url.clone());
    let apps = app_ids.into_iter().map(|(pay_type, app_id)| (pay_type, app(app_id)));
    Some(AlipayMerchant { apps: apps.collect(), choice })
}

/// An app's keys and its seller.
#[derive(Clone)]
pub(in crate::config) struct AlipayKeys {
    seller_id: Option<String>,
    signing: SigningKey,
    verification: AlipayVerification,
}

impl AlipayKeys {
    /// Makes an app with these keys.
    pub(in crate::config) fn app(self, app_id: String, gateway_url: Url) -> AlipayApp {
        let AlipayKeys { seller_id, signing, verification } = self;
        AlipayApp { app_id, seller_id, signing, verification, gateway_url }
    }
}

/// Reads an app's keys. Certificates take precedence over a public key.
pub(in crate::config) fn read_keys(credentials: &mut dyn Credentials) -> Option<AlipayKeys> {
    let seller_id = parse_text(credentials, &SELLER_ID, seller_id);
    let signing = signing_key(credentials, &PRIVATE_KEY);
    let verification = if CERTIFICATES.iter().any(|certificate| credentials.is_set(certificate)) {
        certificate_mode(credentials, signing.as_ref())
    } else {
        require(credentials, &PUBLIC_KEY, "is required, or else the three certificates");
        verifying_key(credentials, &PUBLIC_KEY, signing.as_ref()).map(AlipayVerification::PublicKey)
    };
    if credentials.is_set(&SELLER_ID) && seller_id.is_none() {
        return None;
    }
    Some(AlipayKeys { seller_id, signing: signing?, verification: verification? })
}

fn certificate_mode(
    credentials: &mut dyn Credentials,
    own: Option<&SigningKey>,
) -> Option<AlipayVerification> {
    for certificate in &CERTIFICATES {
        require(credentials, certificate, "is required with the other certificates");
    }
    let app_cert_sn = |bytes: &[u8]| {
        check_own_certificate(bytes, own)?;
        certificates::app_cert_sn(bytes).map_err(key_reason)
    };
    let app_cert_sn = parse_certificate(credentials, &APP_CERT, app_cert_sn, own_end);
    let root_cert_sn = |bytes: &[u8]| certificates::root_cert_sn(bytes).map_err(key_reason);
    let root_end =
        |bytes: &[u8]| CertificateEnd::first(&certificates::roots(bytes).map_err(key_reason)?);
    let root_cert_sn = parse_certificate(credentials, &ROOT_CERT, root_cert_sn, root_end);
    let alipay = |bytes: &[u8]| {
        let (sn, key) = certificates::public_cert(bytes).map_err(key_reason)?;
        refuse_mock_key(key.fingerprint())?;
        if own.is_some_and(|own| own.fingerprint() == key.fingerprint()) {
            return Err("is the app's own certificate: set Alipay's".into());
        }
        Ok((sn, key))
    };
    let alipay = parse_certificate(credentials, &PUBLIC_CERT, alipay, own_end);
    let (alipay_cert_sn, key) = alipay?;
    Some(AlipayVerification::Certificates {
        app_cert_sn: app_cert_sn?,
        root_cert_sn: root_cert_sn?,
        alipay_cert_sn,
        key,
    })
}

fn seller_id(text: &str) -> Result<String, ProblemReason> {
    let is_valid = is_seller_id(text);
    is_valid.then(|| text.to_owned()).ok_or_else(|| "is not 16 digits that start with 2088".into())
}

const APP_ID: &str = "PAYGATE_ALIPAY_APP_ID";

const APP_IDS: [(PayType, &str); 3] = [
    (PayType::AlipayMpAlipay, "PAYGATE_ALIPAY_APP_ID_MP_ALIPAY"),
    (PayType::AlipayAppPlus, "PAYGATE_ALIPAY_APP_ID_APP_PLUS"),
    (PayType::AlipayH5, "PAYGATE_ALIPAY_APP_ID_H5"),
];

const SELLER_ID: Credential = Credential { variable: "PAYGATE_ALIPAY_SELLER_ID", field: "mchId" };
const PRIVATE_KEY: Credential =
    Credential { variable: "PAYGATE_ALIPAY_PRIVATE_KEY", field: "privateKey" };
const PUBLIC_KEY: Credential =
    Credential { variable: "PAYGATE_ALIPAY_PUBLIC_KEY", field: "alipayPublicKey" };
const APP_CERT: Credential =
    Credential { variable: "PAYGATE_ALIPAY_APP_CERT", field: "appCertContent" };
const PUBLIC_CERT: Credential =
    Credential { variable: "PAYGATE_ALIPAY_PUBLIC_CERT", field: "alipayPublicCertContent" };
const ROOT_CERT: Credential =
    Credential { variable: "PAYGATE_ALIPAY_ROOT_CERT", field: "alipayRootCertContent" };
const CERTIFICATES: [Credential; 3] = [APP_CERT, PUBLIC_CERT, ROOT_CERT];
