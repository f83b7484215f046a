//! WeChat Pay: a merchant's configuration, and the versions of its API.

pub(crate) mod v3;
pub(crate) mod certificates;
pub(crate) mod decrypt;
mod product;

use std::collections::BTreeMap;
use std::sync::Arc;

use url::Url;

pub use v3::V3;

use crate::domain::channel::PayType;
use crate::provider::keys::{SigningKey, VerifyingKey};
use crate::provider::mock_keys::{MOCK_API_V3_KEY, is_mock_key};
use crate::secret::Secret;

/// A merchant's apps and accounts at WeChat Pay.
#[derive(Clone, Debug, Default)]
pub struct WxpayMerchant {
    /// The app and account of each configured pay type.
    pub apps: BTreeMap<PayType, WxpayApp>,
}

/// One app that pays into an account.
#[derive(Clone, Debug)]
pub struct WxpayApp {
    /// `appid`: of a mini program, an official account or an app.
    pub app_id: String,
    /// The account that its buyers pay.
    pub account: Arc<WxpayAccount>,
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
pub struct WxpayAccount {
    /// `mchid`.
    pub mch_id: String,
    /// The serial number of the merchant's API certificate: 40 hex characters, upper case.
    pub serial_no: String,
    /// The API certificate's private key.
    pub signing: SigningKey,
    /// The APIv3 key: 32 bytes.
    pub api_v3_key: Secret,
    /// The keys that verify WeChat Pay's signatures.
    pub verification: WxpayVerification,
    /// `https://api.mch.weixin.qq.com`, or a test's address.
    pub base_url: Url,
}

impl WxpayAccount {
    /// Whether `other` is the same account with the same keys at the same address.
    #[must_use]
    pub fn is_same(&self, other: &WxpayAccount) -> bool {
        self.mch_id == other.mch_id
            && self.serial_no == other.serial_no
            && self.signing.fingerprint() == other.signing.fingerprint()
            && self.api_v3_key == other.api_v3_key
            && self.base_url == other.base_url
            && self.verification.is_same(&other.verification)
    }

    /// What makes `other` no account that one process can hold together with this one. Where only
    /// one of them has WeChat Pay's public key, that verifies for both, beside the platform
    /// certificates.
    pub(crate) fn conflicts(&self, other: &WxpayAccount) -> Vec<AccountConflict> {
        if self.mch_id != other.mch_id {
            return Vec::new();
        }
        let (ids, keys) = match (&self.verification, &other.verification) {
            (
                WxpayVerification::PublicKey { id, key },
                WxpayVerification::PublicKey { id: other_id, key: other_key },
            ) => (id == other_id, id != other_id || key.fingerprint() == other_key.fingerprint()),
            _ => (true, true),
        };
        let same = [
            (self.serial_no == other.serial_no, AccountConflict::SerialNo),
            (
                self.signing.fingerprint() == other.signing.fingerprint(),
                AccountConflict::PrivateKey,
            ),
            (self.api_v3_key == other.api_v3_key, AccountConflict::ApiV3Key),
            (ids, AccountConflict::PublicKeyId),
            (keys, AccountConflict::PublicKey),
            (self.base_url == other.base_url, AccountConflict::Address),
        ];
        same.into_iter().filter(|(same, _)| !same).map(|(_, conflict)| conflict).collect()
    }

    /// Whether one of its keys is the simulated providers'.
    fn has_mock_keys(&self) -> bool {
        let public_key = match &self.verification {
            WxpayVerification::PublicKey { key, .. } => Some(key.fingerprint()),
            WxpayVerification::Certificates => None,
        };
        is_mock_key(self.signing.fingerprint())
            || self.api_v3_key.expose() == MOCK_API_V3_KEY
            || public_key.is_some_and(is_mock_key)
    }
}

/// A part of an account that another place has otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountConflict {
    SerialNo,
    PrivateKey,
    ApiV3Key,
    PublicKeyId,
    /// Under the same id.
    PublicKey,
    Address,
}

/// The keys that verify WeChat Pay's signatures.
#[derive(Clone, Debug)]
pub enum WxpayVerification {
    /// Public-key mode: the key and its `PUB_KEY_ID_…`. Platform certificates are downloaded for
    /// what WeChat Pay signs with them.
    PublicKey {
        /// `PUB_KEY_ID_…`.
        id: String,
        /// WeChat Pay's public key.
        key: VerifyingKey,
    },
    /// Platform certificates, downloaded and rotated.
    Certificates,
}

impl WxpayVerification {
    fn is_same(&self, other: &WxpayVerification) -> bool {
        match (self, other) {
            (WxpayVerification::Certificates, WxpayVerification::Certificates) => true,
            (
                WxpayVerification::PublicKey { id, key },
                WxpayVerification::PublicKey { id: other_id, key: other_key },
            ) => id == other_id && key.fingerprint() == other_key.fingerprint(),
            _ => false,
        }
    }
}
