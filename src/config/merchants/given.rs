//! A live merchant of a library's user, from texts. The texts are read as the variables of the same
//! names, by the same code.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(any(feature = "wxpay", feature = "alipay"))]
use super::provider_urls::read_provider_urls;
use crate::config::reader::Reader;
use crate::error::debug_like_display;

/// The account of a live merchant at WeChat Pay, as texts. Each is what the variable of its name
/// takes, `private_key` what `PAYGATE_WXPAY_PRIVATE_KEY` takes: keys and certificates in PEM,
/// base64, or PEM with `\n` in place of line breaks. An empty text is as none.
///
/// ```no_run
/// use std::fs::read_to_string;
///
/// use paygate::wxpay::V3;
/// use paygate::{WxpayCredentials, WxpayMerchant};
///
/// let merchant = WxpayMerchant::new(WxpayCredentials {
///     mch_id: "1900000001",
///     app_id: "wxd678efh567hg6787",
///     private_key: &read_to_string("apiclient_key.pem")?,
///     cert: &read_to_string("apiclient_cert.pem")?,
///     api_v3_key: &read_to_string("api_v3_key.txt")?,
///     ..WxpayCredentials::default()
/// })?;
/// let provider = V3::new(merchant)?;
/// # let _ = provider;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "wxpay")]
#[derive(Clone, Copy, Default)]
pub struct WxpayCredentials<'a> {
    /// The merchant's number. Required.
    pub mch_id: &'a str,
    /// The app of every pay type: of a mini program, an official account or an app. Required.
    /// [`WxpayMerchant::apps`](crate::provider::wxpay::WxpayMerchant::apps) takes others.
    pub app_id: &'a str,
    /// The API certificate's private key. Required.
    pub private_key: &'a str,
    /// The API certificate. Required without `serial_no`.
    pub cert: &'a str,
    /// The API certificate's serial number.
    pub serial_no: &'a str,
    /// The APIv3 key, 32 bytes. Required.
    pub api_v3_key: &'a str,
    /// WeChat Pay's public key, in public-key mode; without it platform certificates are
    /// downloaded.
    pub public_key: &'a str,
    /// The public key's id, `PUB_KEY_ID_…`.
    pub public_key_id: &'a str,
    /// The name of the shop's site, for H5 payments.
    pub h5_name: &'a str,
    /// The URL of the shop's site, for H5 payments.
    pub h5_url: &'a str,
    /// WeChat Pay's address, in place of the live one.
    pub base_url: &'a str,
}

#[cfg(feature = "wxpay")]
impl crate::provider::wxpay::WxpayMerchant {
    /// A live merchant with every pay type.
    ///
    /// # Errors
    ///
    /// [`CredentialErrors`] names every text that is missing or invalid, the simulated providers'
    /// keys among them.
    pub fn new(credentials: WxpayCredentials<'_>) -> Result<Self, CredentialErrors> {
        let WxpayCredentials { mch_id, app_id, private_key, cert, serial_no, .. } = credentials;
        let WxpayCredentials { api_v3_key, public_key, public_key_id, .. } = credentials;
        let WxpayCredentials { h5_name, h5_url, base_url, .. } = credentials;
        let texts = [
            ("mch_id", mch_id),
            ("app_id", app_id),
            ("private_key", private_key),
            ("cert", cert),
            ("serial_no", serial_no),
            ("api_v3_key", api_v3_key),
            ("public_key", public_key),
            ("public_key_id", public_key_id),
            ("h5_name", h5_name),
            ("h5_url", h5_url),
            ("base_url", base_url),
        ];
        read_given("PAYGATE_WXPAY_", &texts, |reader| {
            let urls = read_provider_urls(reader);
            super::wxpay::read_default_merchant(reader, &urls.wxpay)
        })
    }
}

/// The account of a live merchant at Alipay, as texts. Each is what the variable of its name takes,
/// `private_key` what `PAYGATE_ALIPAY_PRIVATE_KEY` takes: keys and certificates in PEM, base64, or
/// PEM with `\n` in place of line breaks. An empty text is as none.
///
/// Alipay's key (`public_key`), or the three certificates.
///
/// ```no_run
/// use std::fs::read_to_string;
///
/// use paygate::alipay::AlipayGateway;
/// use paygate::{AlipayCredentials, AlipayMerchant};
///
/// let merchant = AlipayMerchant::new(AlipayCredentials {
///     app_id: "2014072300007148",
///     private_key: &read_to_string("app_private_key.pem")?,
///     public_key: &read_to_string("alipay_public_key.pem")?,
///     ..AlipayCredentials::default()
/// })?;
/// let provider = AlipayGateway::new(merchant)?;
/// # let _ = provider;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "alipay")]
#[derive(Clone, Copy, Default)]
pub struct AlipayCredentials<'a> {
    /// The app of every pay type. Required.
    /// [`AlipayMerchant::apps`](crate::provider::alipay::AlipayMerchant::apps) takes others.
    pub app_id: &'a str,
    /// The app's private key. Required.
    pub private_key: &'a str,
    /// Alipay's public key (not the app's), in key mode.
    pub public_key: &'a str,
    /// The app's certificate, in certificate mode.
    pub app_cert: &'a str,
    /// Alipay's certificate, in certificate mode.
    pub public_cert: &'a str,
    /// Alipay's root certificate, in certificate mode.
    pub root_cert: &'a str,
    /// The seller, which notifications are compared with when it is set.
    pub seller_id: &'a str,
    /// The gateway's address, in place of the live one; `sandbox` is Alipay's own test gateway.
    pub gateway_url: &'a str,
}

#[cfg(feature = "alipay")]
impl crate::provider::alipay::AlipayMerchant {
    /// A live merchant with every pay type.
    ///
    /// # Errors
    ///
    /// [`CredentialErrors`] names every text that is missing or invalid, the simulated providers'
    /// keys among them.
    pub fn new(credentials: AlipayCredentials<'_>) -> Result<Self, CredentialErrors> {
        let AlipayCredentials { app_id, private_key, public_key, app_cert, .. } = credentials;
        let AlipayCredentials { public_cert, root_cert, seller_id, gateway_url, .. } = credentials;
        let texts = [
            ("app_id", app_id),
            ("private_key", private_key),
            ("public_key", public_key),
            ("app_cert", app_cert),
            ("public_cert", public_cert),
            ("root_cert", root_cert),
            ("seller_id", seller_id),
            ("gateway_url", gateway_url),
        ];
        read_given("PAYGATE_ALIPAY_", &texts, |reader| {
            let urls = read_provider_urls(reader);
            super::alipay::read_default_merchant(reader, &urls.alipay, Default::default())
        })
    }
}

/// What is missing or invalid in a merchant's credentials, each with the name of its field. It
/// never holds a text that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialErrors(Vec<(String, String)>);

impl CredentialErrors {
    /// The fields, each with the reason, in words that follow the field's name: `is required`.
    pub fn list(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(field, reason)| (field.as_str(), reason.as_str()))
    }
}

impl fmt::Display for CredentialErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, reason)) in self.list().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {reason}")?;
        }
        Ok(())
    }
}

debug_like_display!(CredentialErrors);

impl std::error::Error for CredentialErrors {}

/// Reads texts as the variables whose names start with `prefix`.
fn read_given<T>(
    prefix: &str,
    texts: &[(&str, &str)],
    read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
) -> Result<T, CredentialErrors> {
    let variable = |field: &str| format!("{prefix}{}", field.to_ascii_uppercase());
    let variables: BTreeMap<String, String> =
        texts.iter().map(|(field, text)| (variable(field), (*text).to_owned())).collect();
    let mut reader = Reader::new(&variables);
    let merchant = read(&mut reader);
    let problems = match (reader.finish(), merchant) {
        (Ok(_), Some(merchant)) => return Ok(merchant),
        (Ok(_), None) => Vec::new(),
        (Err(problems), _) => problems.list().to_vec(),
    };
    let field = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase();
    // A reason may name another variable: here that is another field.
    let words = |reason: &str| {
        let words = reason.split(' ').map(|word| match word.strip_prefix(prefix) {
            Some(rest) => rest.to_ascii_lowercase(),
            None => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let problems = problems.into_iter();
    Err(CredentialErrors(
        problems.map(|problem| (field(&problem.variable), words(&problem.reason))).collect(),
    ))
}

#[cfg(feature = "wxpay")]
impl fmt::Debug for WxpayCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WxpayCredentials(***)")
    }
}

#[cfg(feature = "alipay")]
impl fmt::Debug for AlipayCredentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlipayCredentials(***)")
    }
}
