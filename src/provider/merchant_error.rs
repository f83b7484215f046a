//! The error of a merchant that its provider does not take, and the checks that both providers
//! share.

use std::fmt;

use crate::domain::channel::PayType;

/// A part of a merchant that the provider does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MerchantError {
    /// No pay type has an app.
    NoApp,
    /// A pay type of the other provider.
    OtherProvider(PayType),
    /// An app id that is none.
    AppId(PayType),
    /// The API's address is neither https nor on loopback, or, at WeChat Pay, has a query.
    Address,
    /// A WeChat Pay site's name is over 64 characters, or its URL over 128.
    Site,
    /// A WeChat Pay `mchid` that is none.
    MchId,
    /// A WeChat Pay certificate's serial number that is no hex number of at most 40 digits.
    SerialNo,
    /// The APIv3 key is not 32 bytes.
    ApiV3Key,
    /// WeChat Pay's public key id does not start with `PUB_KEY_ID_`.
    PublicKeyId,
    /// Two WeChat Pay accounts with one `mchid` and different keys.
    TwoAccounts,
    /// An Alipay seller that is not 16 digits that start with 2088.
    SellerId,
}

impl fmt::Display for MerchantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MerchantError::NoApp => f.write_str("no pay type has an app id"),
            MerchantError::OtherProvider(it) => {
                write!(f, "{it} is a pay type of {}, another provider", it.provider())
            }
            MerchantError::AppId(it) => write!(f, "the app id of {it} is not an app id"),
            MerchantError::Address => f.write_str(
                "the address of the provider's API is not https (http only on loopback), or is \
                 more than an address",
            ),
            MerchantError::Site => {
                f.write_str("an H5 site's name has at most 64 characters, its URL at most 128")
            }
            MerchantError::MchId => f.write_str("the merchant id is not a merchant id"),
            MerchantError::SerialNo => {
                f.write_str("the certificate's serial number is not up to 40 hex digits")
            }
            MerchantError::ApiV3Key => f.write_str("the APIv3 key is not 32 bytes"),
            MerchantError::PublicKeyId => {
                f.write_str("the public key's id does not start with PUB_KEY_ID_")
            }
            MerchantError::TwoAccounts => {
                f.write_str("one merchant id is configured with two different accounts")
            }
            MerchantError::SellerId => {
                f.write_str("the seller id is not 16 digits that start with 2088")
            }
        }
    }
}

impl std::error::Error for MerchantError {}

/// Whether an id needs no escaping between quotes in a header, and in URLs.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(super) fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Whether paygate may call an API at `url`.
#[cfg(any(feature = "wxpay", feature = "alipay"))]
pub(super) fn is_address(url: &url::Url) -> bool {
    let is_bare = url.fragment().is_none() && url.username().is_empty();
    is_bare && url.as_str().parse().is_ok_and(|uri| super::transport::allows(&uri))
}
