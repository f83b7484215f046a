//! The providers' addresses.

use url::Url;

use crate::config::parse;
use crate::config::reader::Reader;
use crate::domain::notify_url;

/// The providers' addresses, for every merchant.
pub(in crate::config) struct ProviderUrls {
    pub(in crate::config) wxpay: Url,
    pub(in crate::config) alipay: Url,
    /// Alipay's test gateway, or the address that stands in for it.
    pub(in crate::config) alipay_sandbox: Url,
}

/// Reads the addresses.
pub(in crate::config) fn read_provider_urls(reader: &mut Reader<'_>) -> ProviderUrls {
    let sandbox = Url::parse(ALIPAY_SANDBOX).expect("a constant URL");
    let alipay = reader.value("PAYGATE_ALIPAY_GATEWAY_URL", |text| match text {
        "sandbox" => Ok(sandbox.clone()),
        _ => parse::https_url(text),
    });
    // A gateway on loopback also stands in for Alipay's test gateway.
    let alipay_sandbox = if notify_url::is_loopback(&alipay) { alipay.clone() } else { sandbox };
    let wxpay = reader.value("PAYGATE_WXPAY_BASE_URL", parse::https_origin);
    ProviderUrls { wxpay, alipay, alipay_sandbox }
}

/// Alipay's test gateway (Alipay, "Sandbox environment").
const ALIPAY_SANDBOX: &str = "https://openapi-sandbox.dl.alipaydev.com/gateway.do";
