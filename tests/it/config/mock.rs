//! Mock mode: play money stays on this machine, and live credentials stay out of it.

use paygate::Secret;
use paygate::config::{Config, PricingChoice};

use super::kit::{PROVIDER, SHOP, TOKEN, live, live_alipay, mock, problems, refused};

#[test]
fn mock_mode_refuses_live_credentials() {
    for (name, value) in [
        ("PAYGATE_WXPAY_MCH_ID", "1900000001"),
        ("PAYGATE_WXPAY_APP_ID_H5", "wx1"),
        ("PAYGATE_WXPAY_PRIVATE_KEY", &SHOP.private_pem),
        ("PAYGATE_WXPAY_PRIVATE_KEY_FILE", "/nonexistent"),
        ("PAYGATE_WXPAY_API_V2_KEY", "key"),
        ("PAYGATE_ALIPAY_PRIVATE_KEY", &SHOP.private_pem),
        ("PAYGATE_ALIPAY_PUBLIC_KEY", &PROVIDER.public_pem),
        ("PAYGATE_ALIPAY_SELLER_ID", "2088102146225135"),
    ] {
        let variable = name.trim_end_matches("_FILE");
        refused(&mock(&[(name, value)]), variable, "is for live mode");
    }
}

#[test]
fn mock_mode_listens_beyond_loopback_only_with_mock_expose() {
    for name in ["PAYGATE_LISTEN", "PAYGATE_ADMIN_LISTEN", "PAYGATE_MOCK_LISTEN"] {
        for address in ["0.0.0.0:9000", "[::]:9000", "192.168.1.2:9000"] {
            refused(&mock(&[(name, address)]), name, "PAYGATE_MOCK_EXPOSE=true");
            let exposed = mock(&[(name, address), ("PAYGATE_MOCK_EXPOSE", "true")]);
            Config::read(&exposed).unwrap();
        }
        for address in ["127.0.0.2:9000", "[::1]:9000", "[::ffff:127.0.0.1]:9000"] {
            Config::read(&mock(&[(name, address)])).unwrap();
        }
    }
    Config::read(&live(&[("PAYGATE_LISTEN", "0.0.0.0:8787")])).unwrap();
}

#[test]
fn listeners_do_not_share_an_address() {
    let vars = mock(&[("PAYGATE_ADMIN_LISTEN", "127.0.0.1:8787")]);
    refused(&vars, "PAYGATE_ADMIN_LISTEN", "is the same address");
    let vars = mock(&[("PAYGATE_MOCK_LISTEN", "127.0.0.1:8788")]);
    refused(&vars, "PAYGATE_MOCK_LISTEN", "another listener");
    for own in ["localhost:8787", "0.0.0.0:8787", "[::]:8787", "127.0.0.1:8787"] {
        let vars = mock(&[("PAYGATE_UPSTREAM", &format!("http://{own}"))]);
        refused(&vars, "PAYGATE_UPSTREAM", "in a circle");
    }
    for own in ["127.0.0.1:8788", "0.0.0.0:8788", "localhost:8789"] {
        let vars = mock(&[("PAYGATE_UPSTREAM", &format!("http://{own}"))]);
        refused(&vars, "PAYGATE_UPSTREAM", "strangers must not reach");
    }
    for metadata in ["169.254.169.254", "100.100.100.200", "[fe80::1]"] {
        let vars = mock(&[("PAYGATE_UPSTREAM", &format!("http://{metadata}"))]);
        refused(&vars, "PAYGATE_UPSTREAM", "metadata");
    }
    let any = "127.0.0.1:0";
    Config::read(&mock(&[("PAYGATE_LISTEN", any), ("PAYGATE_ADMIN_LISTEN", any)])).unwrap();
}

#[test]
fn mock_mode_can_be_priced_and_tuned_as_live_mode_is() {
    let config = Config::read(&mock(&[
        ("PAYGATE_PRICING", "trusted"),
        ("PAYGATE_CALLER_TOKEN", TOKEN),
        ("PAYGATE_ALIPAY_APP_TO_H5", "true"),
        ("PAYGATE_ALIPAY_H5_PRODUCT", "web"),
        ("PAYGATE_STORE", "memory:"),
    ]))
    .unwrap();
    assert_eq!(config.pricing, PricingChoice::CallerToken(Secret::new(TOKEN)));
    let choice = config.merchants[0].choice;
    assert!(choice.app_to_h5 && choice.web_pages);
}

#[test]
fn live_mode_refuses_the_mocks_keys_by_value() {
    use paygate::mock::keys;
    let words = "which anybody can read";
    let merchant = keys::WXPAY_MERCHANT_KEY_PEM.replace('\n', "\\n");
    refused(&live(&[("PAYGATE_WXPAY_PRIVATE_KEY", &merchant)]), "PAYGATE_WXPAY_PRIVATE_KEY", words);
    let public = live(&[
        ("PAYGATE_WXPAY_PUBLIC_KEY", keys::WXPAY_PUBLIC_KEY_PEM),
        ("PAYGATE_WXPAY_PUBLIC_KEY_ID", keys::WXPAY_PUBLIC_KEY_ID),
    ]);
    refused(&public, "PAYGATE_WXPAY_PUBLIC_KEY", words);
    let vars = live_alipay(&[("PAYGATE_ALIPAY_PRIVATE_KEY", keys::ALIPAY_APP_KEY_PEM)]);
    refused(&vars, "PAYGATE_ALIPAY_PRIVATE_KEY", words);
    let vars = live_alipay(&[("PAYGATE_ALIPAY_PUBLIC_KEY", keys::ALIPAY_PUBLIC_KEY_PEM)]);
    refused(&vars, "PAYGATE_ALIPAY_PUBLIC_KEY", words);
    let vars = live_alipay(&[
        ("PAYGATE_ALIPAY_PUBLIC_KEY", ""),
        ("PAYGATE_ALIPAY_APP_CERT", &SHOP.cert_pem),
        ("PAYGATE_ALIPAY_PUBLIC_CERT", keys::ALIPAY_PUBLIC_CERT_PEM),
        ("PAYGATE_ALIPAY_ROOT_CERT", &PROVIDER.cert_pem),
    ]);
    assert!(problems(&vars).to_string().contains("PAYGATE_ALIPAY_PUBLIC_CERT: is a key of"));
}
