//! Alipay, by its gateway protocol: signed parameters in, a signed JSON object out.

mod adopt;
mod document;
pub(crate) mod gateway;
mod trade;
mod product;
mod refund;
mod response;
mod request_signature;
pub(crate) mod certificates;
mod notification;

use std::collections::BTreeMap;

use url::Url;

pub use gateway::AlipayGateway;

use crate::domain::channel::PayType;
use crate::domain::product::AlipayChoice;
use crate::provider::keys::{SigningKey, VerifyingKey};
use crate::provider::mock_keys::is_mock_key;

/// A merchant's apps and choices at Alipay.
#[derive(Clone, Debug, Default)]
pub struct AlipayMerchant {
    /// The app of each configured pay type.
    pub apps: BTreeMap<PayType, AlipayApp>,
    /// Its products where Alipay offers a choice.
    pub choice: AlipayChoice,
}

/// One app and its keys.
#[derive(Clone, Debug)]
pub struct AlipayApp {
    /// `app_id`.
    pub app_id: String,
    /// `seller_id` (vk's `mchId`): compared in notifications when set.
    pub seller_id: Option<String>,
    /// The app's private key.
    pub signing: SigningKey,
    /// The key that verifies Alipay's signatures.
    pub verification: AlipayVerification,
    /// The gateway's address.
    pub gateway_url: Url,
}

impl AlipayApp {
    /// Whether one of its keys is the simulated providers'.
    fn has_mock_keys(&self) -> bool {
        let (AlipayVerification::PublicKey(key) | AlipayVerification::Certificates { key, .. }) =
            &self.verification;
        is_mock_key(self.signing.fingerprint()) || is_mock_key(key.fingerprint())
    }
}

/// The key that verifies Alipay's signatures.
#[derive(Clone, Debug)]
pub enum AlipayVerification {
    /// Key mode: Alipay's public key.
    PublicKey(VerifyingKey),
    /// Certificate mode.
    Certificates {
        /// `app_cert_sn`.
        app_cert_sn: String,
        /// `alipay_root_cert_sn`.
        root_cert_sn: String,
        /// `alipay_cert_sn` of the certificate that `key` is from.
        alipay_cert_sn: String,
        /// The key of Alipay's certificate.
        key: VerifyingKey,
    },
}

/// Whether this is a seller: 16 digits that start with 2088 (alipay.trade.create, `seller_id`).
pub(crate) fn is_seller_id(text: &str) -> bool {
    text.len() == 16 && text.starts_with("2088") && text.bytes().all(|byte| byte.is_ascii_digit())
}
