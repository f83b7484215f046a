//! Alipay, by its gateway protocol: signed parameters in, a signed JSON object out.

mod adopt;
mod document;
pub mod gateway;
mod outcome;
mod refund;
mod response;
mod sign;
pub mod certificates;
mod notification;

use std::collections::BTreeMap;

use url::Url;

pub use gateway::Gateway;

use crate::domain::channel::{AlipayChoice, PayType};
use crate::provider::keys::{SigningKey, VerifyingKey};

/// What one merchant pays with at Alipay.
#[derive(Clone, Debug, Default)]
pub struct Merchant {
    /// The app of each configured pay type.
    pub apps: BTreeMap<PayType, App>,
    /// Which products are used where there is a choice.
    pub choice: AlipayChoice,
}

/// One app and its keys.
#[derive(Clone, Debug)]
pub struct App {
    /// `app_id`.
    pub app_id: String,
    /// `seller_id` (vk's `mchId`): compared in notifications when set.
    pub seller_id: Option<String>,
    /// The app's private key.
    pub signing: SigningKey,
    /// What Alipay's signatures are verified with.
    pub verification: Verification,
    /// The gateway's address.
    pub gateway_url: Url,
}

/// What Alipay's signatures are verified with.
#[derive(Clone, Debug)]
pub enum Verification {
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
