//! What another program configures to use the simulated providers, as lines of an environment.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::keys;

/// The lines for a mock at `addr`: for a shell (`set -a; . FILE`), and for readers of `.env` files.
/// A line break of a PEM text is `\n`, and a shell leaves it as these two characters.
#[must_use]
pub fn client_environment(addr: SocketAddr) -> String {
    let mut text = INTRODUCTION.to_owned();
    for (heading, lines) in [(WXPAY, wxpay(addr)), (ALIPAY, alipay(addr))] {
        let _ = writeln!(text, "\n{heading}");
        for (name, value) in lines {
            let value = value.replace('\n', "\\n");
            let quote = if value.contains(' ') { "\"" } else { "" };
            let _ = writeln!(text, "{name}={quote}{value}{quote}");
        }
    }
    text
}

fn wxpay(addr: SocketAddr) -> Vec<(&'static str, String)> {
    let fixed = [
        ("WXPAY_MCH_ID", keys::MCH_ID),
        ("WXPAY_APP_ID_MP_WEIXIN", keys::WXPAY_APP_MP_WEIXIN),
        ("WXPAY_APP_ID_APP_PLUS", keys::WXPAY_APP_APP_PLUS),
        ("WXPAY_APP_ID_H5", keys::WXPAY_APP_H5),
        ("WXPAY_APP_ID_H5_WEIXIN", keys::WXPAY_APP_H5_WEIXIN),
        ("WXPAY_APP_ID_MWEB", keys::WXPAY_APP_MWEB),
        ("WXPAY_SERIAL_NO", keys::MERCHANT_SERIAL_NO),
        ("WXPAY_PRIVATE_KEY", keys::WXPAY_MERCHANT_KEY_PEM),
        ("WXPAY_CERT", keys::WXPAY_MERCHANT_CERT_PEM),
        ("WXPAY_API_V3_KEY", keys::API_V3_KEY),
        ("WXPAY_PUBLIC_KEY_ID", keys::WXPAY_PUBLIC_KEY_ID),
        ("WXPAY_PUBLIC_KEY", keys::WXPAY_PUBLIC_KEY_PEM),
        ("WXPAY_PLATFORM_SERIAL_NO", keys::WXPAY_PLATFORM_SERIAL_NO),
        ("WXPAY_PLATFORM_CERT", keys::WXPAY_PLATFORM_CERT_PEM),
    ];
    with_address("WXPAY_BASE_URL", format!("http://{addr}"), &fixed)
}

fn alipay(addr: SocketAddr) -> Vec<(&'static str, String)> {
    let fixed = [
        ("ALIPAY_APP_ID_MP_ALIPAY", keys::ALIPAY_APP_MP_ALIPAY),
        ("ALIPAY_APP_ID_APP_PLUS", keys::ALIPAY_APP_APP_PLUS),
        ("ALIPAY_APP_ID_H5", keys::ALIPAY_APP_H5),
        ("ALIPAY_SELLER_ID", keys::ALIPAY_SELLER_ID),
        ("ALIPAY_PRIVATE_KEY", keys::ALIPAY_APP_KEY_PEM),
        ("ALIPAY_PUBLIC_KEY", keys::ALIPAY_PUBLIC_KEY_PEM),
        ("ALIPAY_APP_CERT", keys::ALIPAY_APP_CERT_PEM),
        ("ALIPAY_PUBLIC_CERT", keys::ALIPAY_PUBLIC_CERT_PEM),
        ("ALIPAY_ROOT_CERT", keys::ALIPAY_ROOT_CERT_PEM),
    ];
    with_address("ALIPAY_GATEWAY_URL", format!("http://{addr}/gateway.do"), &fixed)
}

fn with_address(
    name: &'static str,
    url: String,
    fixed: &[(&'static str, &'static str)],
) -> Vec<(&'static str, String)> {
    let fixed = fixed.iter().map(|(name, value)| (*name, (*value).to_owned()));
    std::iter::once((name, url)).chain(fixed).collect()
}

const INTRODUCTION: &str = "\
# The simulated WeChat Pay V3 and Alipay of paygate, for another program: their addresses, the one
# merchant that they know, and its keys, which are public and worth nothing. A shell reads this
# file with `set -a; . FILE`; there a line break in a key is the two characters \\n.
#
# They are not for paygate itself, hence no PAYGATE_ in the names: its mock mode has them built in
# (PAYGATE_MODE=mock), and its live mode refuses them.
";

const WXPAY: &str = "\
# WeChat Pay V3. Every product has an app of its own; the signing key's certificate is
# WXPAY_CERT. Verify with WXPAY_PUBLIC_KEY and send its id as Wechatpay-Serial, or with the platform
# certificate, which GET /v3/certificates also gives.";

const ALIPAY: &str = "\
# Alipay. Every product has an app of its own, all with one private key (PKCS#8). Verify with
# ALIPAY_PUBLIC_KEY (key mode), or sign with the three certificates (certificate mode).";
