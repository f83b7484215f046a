//! Environments, keys and certificates for the tests of the configuration.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use paygate::config::{Config, Problems};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

pub(crate) type Vars = BTreeMap<String, String>;

pub(crate) fn with(vars: &[(&str, &str)]) -> Vars {
    vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Mock mode and `more`.
pub(crate) fn mock(more: &[(&str, &str)]) -> Vars {
    with(&[&[("PAYGATE_MODE", "mock")], more].concat())
}

/// A complete live mode with WeChat Pay, changed by `more`; an empty value removes a variable.
pub(crate) fn live(more: &[(&str, &str)]) -> Vars {
    let mut vars = with(&[
        ("PAYGATE_STORE", "sqlite:paygate.db"),
        ("PAYGATE_PUBLIC_URL", "https://pay.example.com"),
        ("PAYGATE_PRICING", "trusted"),
        ("PAYGATE_CALLER_TOKEN", TOKEN),
        ("PAYGATE_WXPAY_MCH_ID", "1900000001"),
        ("PAYGATE_WXPAY_APP_ID", "wxd678efh567hg6787"),
        ("PAYGATE_WXPAY_PRIVATE_KEY", &SHOP.private_pem),
        ("PAYGATE_WXPAY_SERIAL_NO", "5157f09efdc096de15ebe81a47057a7232f1b8e1"),
        ("PAYGATE_WXPAY_API_V3_KEY", API_V3_KEY),
        ("PAYGATE_WXPAY_BASE_URL", "http://127.0.0.1:9"),
    ]);
    vars.extend(with(more));
    vars.retain(|_, value| !value.is_empty());
    vars
}

/// A complete live mode with Alipay in key mode, changed by `more`.
pub(crate) fn live_alipay(more: &[(&str, &str)]) -> Vars {
    let alipay = [
        ("PAYGATE_ALIPAY_APP_ID", "2014072300007148"),
        ("PAYGATE_ALIPAY_PRIVATE_KEY", SHOP.private_pem.as_str()),
        ("PAYGATE_ALIPAY_PUBLIC_KEY", &PROVIDER.public_pem),
        ("PAYGATE_ALIPAY_GATEWAY_URL", "http://127.0.0.1:9/gateway.do"),
    ];
    let mut vars = live(&alipay);
    vars.retain(|name, _| !name.starts_with("PAYGATE_WXPAY_"));
    vars.extend(with(more));
    vars.retain(|_, value| !value.is_empty());
    vars
}

pub(crate) fn problems(vars: &Vars) -> Problems {
    Config::read(vars).expect_err("a configuration that is refused")
}

/// Asserts that the only problem is `name`, for a reason that contains `words`.
#[track_caller]
pub(crate) fn refused(vars: &Vars, name: &str, words: &str) {
    let problems = problems(vars);
    let [problem] = problems.list() else { panic!("not one problem: {problems}") };
    assert_eq!(problem.variable, name, "{problem:?}");
    assert!(problem.reason.contains(words), "{words:?} is missing in {problem:?}");
}

/// A key pair and its certificate, as PEM.
pub(crate) struct Pair {
    pub(crate) private_pem: String,
    pub(crate) private_der: Vec<u8>,
    pub(crate) public_pem: String,
    pub(crate) cert_pem: String,
    pub(crate) cert_der: Vec<u8>,
}

pub(crate) static SHOP: LazyLock<Pair> = LazyLock::new(pair);
pub(crate) static PROVIDER: LazyLock<Pair> = LazyLock::new(pair);
pub(crate) static SHOP_OTHER: LazyLock<Pair> = LazyLock::new(pair);

fn pair() -> Pair {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a test key");
    let certificate = CertificateParams::new(Vec::new())
        .expect("a test key")
        .self_signed(&key)
        .expect("a test key");
    Pair {
        private_pem: key.serialize_pem(),
        private_der: key.serialize_der(),
        public_pem: key.public_key_pem(),
        cert_pem: certificate.pem(),
        cert_der: certificate.der().to_vec(),
    }
}

pub(crate) const TOKEN: &str = "canary-caller-token-0123456789abcdef";
pub(crate) const API_V3_KEY: &str = "canary-api-v3-key-0123456789abcd";

/// A key of 1024 bits, made for this test.
pub(crate) const SHORT_KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAOnfxrvgw4VjWZD9\n\
ocPiUGvUjGdYbYFcgMcUsXwmqQyRexpkeUlAQQOWYqLYvKiK3PN5DrSK2sHX+2q4\n\
rEldTdUSqqTq7EGfRlB3TYz7TMXkiEyBISQQ3H+AzjaYngeanlRVvEdigB2cNAeA\n\
BwL0f+6lh1eFCyOBEYHORBkZG4htAgMBAAECgYEAjRkf+iuhanFFES+kD90TLesf\n\
Bh6YempHm1RFvCRK6zU+Mu8ZKXNlhfeN7LecIoccxJttnskDL93RZlKiRuTO1i2e\n\
gL5TmbOPb3yAA6ViFFDRYs2DqIx4NmTwKPJZpKKJ8pLEKBRMbXqS2BHfWt7BG8Fr\n\
QuoN2kfLw7u1PxZX5KECQQD+yrmXXw7E4RSox/6aDIb7S5L+E8Ju81atxPrvKmyM\n\
3AJuuQD/G9hUBZpGlaASSoVPPzx9YJY3Yx5QvZ1IX/iZAkEA6vupH95xJp7JRWfK\n\
mQZt6Tg/JhLgv3MVLEQEUe4p8ore3PqX7uJTkkmq7enpuS3aL64L251KKu7VZS/2\n\
8iRO9QJAXkcxKTu5QUxv0ow+P05HXBD40R8KoPdVqXLrzzeJdw2psMKwBbWN9Hkm\n\
Ptv6oQoGDe6+OT5WFySMASBIZJFucQJAKKnGGZK3x/QgZldQsuxu5rXqD5+irt6u\n\
Ykue58KsFaG8cUcYNamKxrzizGr3HCl4IVogCTAN3qIX4XvMYxivZQJAWsXjHNSW\n\
w8RoL11c9KsMAkBjvdKfQABTyANhVwXmC/u0P7wuWGG8+gZry7ynOmo1RLkXw2uO\n\
YLLShjMPmYztiQ==\n\
-----END PRIVATE KEY-----\n\
";
