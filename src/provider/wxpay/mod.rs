//! WeChat Pay.

pub mod v3;
pub mod certificates;
pub(crate) mod decrypt;

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

pub use v3::V3;

use crate::domain::channel::PayType;
use crate::provider::keys::{SigningKey, VerifyingKey};
use crate::secret::Secret;

/// What one merchant pays with at WeChat Pay.
#[derive(Clone, Debug, Default)]
pub struct Merchant {
    /// The app and account of each configured pay type.
    pub apps: BTreeMap<PayType, App>,
}

/// One app that pays into an account.
#[derive(Clone, Debug)]
pub struct App {
    /// `appid`: of a mini program, an official account or an app.
    pub app_id: String,
    /// The account that is paid.
    pub account: Arc<Account>,
    /// The shop's site, for H5 payments.
    pub site: Option<Site>,
}

/// `scene_info.h5_info` of H5 payments (WeChat Pay V3, H5 order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// `app_name`, at most 64 characters.
    pub name: String,
    /// `app_url`, at most 128 characters.
    pub url: String,
}

/// A merchant account and its keys.
#[derive(Clone, Debug)]
pub struct Account {
    /// `mchid`.
    pub mch_id: String,
    /// The serial number of the merchant's API certificate: 40 hex characters, upper case.
    pub serial_no: String,
    /// The API certificate's private key.
    pub signing: SigningKey,
    /// The APIv3 key: 32 bytes.
    pub api_v3_key: Secret,
    /// What WeChat Pay's signatures are verified with.
    pub verification: Verification,
    /// `https://api.mch.weixin.qq.com`, or a test's address.
    pub base_url: Url,
}

/// What WeChat Pay's signatures are verified with.
#[derive(Clone, Debug)]
pub enum Verification {
    /// Public-key mode: the key and its `PUB_KEY_ID_…`.
    PublicKey {
        /// `PUB_KEY_ID_…`.
        id: String,
        /// WeChat Pay's public key.
        key: VerifyingKey,
    },
    /// Platform certificates, downloaded and rotated.
    Certificates,
}
