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
