//! `PAYGATE_MERCHANTS`: vk-pay-config documents as vk-uni-pay's users have them.

use std::fs;

use paygate::config::Config;
use paygate::domain::PayType;
use paygate::provider::{alipay, wxpay};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::kit::{API_V3_KEY, PROVIDER, SHOP, SHOP_OTHER, Vars, live, mock, problems, refused};

/// vk-uni-pay's template, without any value.
fn template() -> Value {
    let wxpay = json!({
        "appId": "", "secret": "", "mchId": "", "key": "", "pfx": "", "v3Key": "",
        "appCertContent": "", "appPrivateKeyContent": "", "wxpayPublicKeyContent": "",
        "wxpayPublicKeyId": "", "version": 3
    });
    let alipay = json!({
        "appId": "", "mchId": "", "privateKey": "", "alipayPublicCertContent": "",
        "alipayRootCertContent": "", "appCertContent": "", "sandbox": false
    });
    json!({
        "_id": "template",
        "wxpay": {
            "mp-weixin": wxpay, "app-plus": wxpay, "h5": wxpay, "h5-weixin": wxpay, "mweb": wxpay,
            "transfer": { "appId": "", "mchId": "", "v3Key": "" }
        },
        "alipay": { "mp-alipay": alipay, "app-plus": alipay, "h5": alipay },
        "alipayAppPayToH5Pay": false
    })
}

fn wxpay_node() -> Value {
    json!({
        "appId": "wxd678efh567hg6787", "secret": "canary-secret", "mchId": "1900000001",
        "key": "canary-v2-key", "v3Key": API_V3_KEY, "version": 3,
        "appCertContent": SHOP.cert_pem, "appPrivateKeyContent": SHOP.private_pem
    })
}

fn alipay_node() -> Value {
    json!({
        "appId": "2014072300007148", "mchId": "2088102146225135",
        "privateKey": SHOP.private_pem, "alipayPublicKey": PROVIDER.public_pem
    })
}

/// The template, with values in these nodes.
fn document(pid: &str, nodes: &[(&str, &str, Value)]) -> Value {
    let mut document = template();
    document["_id"] = pid.into();
    for (provider, name, node) in nodes {
        for (field, value) in node.as_object().expect("a temporary file") {
            document[provider][name][field] = value.clone();
        }
    }
    document
}

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), text).expect("a temporary file");
    file
}

/// Live mode with merchants from `file` only.
fn only(file: &NamedTempFile) -> Vars {
    let gateway = ("PAYGATE_ALIPAY_GATEWAY_URL", "http://127.0.0.1:9/gateway.do");
    let mut vars =
        live(&[("PAYGATE_MERCHANTS", file.path().to_str().expect("a temporary file")), gateway]);
    vars.retain(|name, _| !name.starts_with("PAYGATE_WXPAY") || name.ends_with("BASE_URL"));
    vars
}

/// Asserts that the document has problems, and `words` are a part of their text.
#[track_caller]
fn assert_refused(document: Value, words: &str) {
    let file = file(&document.to_string());
    let problems = problems(&only(&file));
    for problem in problems.list() {
        assert_eq!(problem.variable, "PAYGATE_MERCHANTS", "{problems}");
    }
    let text = problems.to_string();
    assert!(text.contains(words), "{words:?} is missing in:\n{text}");
    assert!(!text.contains("canary") && !text.contains("MII"), "{text}");
}

#[test]
fn a_document_is_a_merchant_and_its_nodes_are_pay_types() {
    let site = json!({ "sceneInfo": { "h5_info": {
        "type": "Wap", "wap_url": "https://www.example.com", "wap_name": "网站名称"
    }}});
    let mut mweb = wxpay_node();
    mweb["sceneInfo"] = site["sceneInfo"].clone();
    let mut by_certificates = alipay_node();
    by_certificates["alipayPublicKey"] = "".into();
    by_certificates["appCertContent"] = SHOP.cert_pem.clone().into();
    by_certificates["alipayPublicCertContent"] = PROVIDER.cert_pem.replace('\n', "\\n").into();
    by_certificates["alipayRootCertContent"] = PROVIDER.cert_pem.clone().into();
    let mut first = document(
        "001",
        &[
            ("wxpay", "mp-weixin", wxpay_node()),
            ("wxpay", "mweb", mweb),
            ("alipay", "h5", alipay_node()),
            ("alipay", "mp-alipay", by_certificates),
        ],
    );
    first["alipayAppPayToH5Pay"] = true.into();
    let second = document("002", &[("wxpay", "h5", wxpay_node())]);
    let file = file(&json!([first, second]).to_string());
    let config = Config::read(&only(&file)).unwrap_or_else(|it| panic!("{it}"));

    let pids: Vec<_> = config.merchants.iter().map(|it| it.pid.as_str()).collect();
    assert_eq!(pids, ["001", "002"]);
    let expected =
        [PayType::WxpayMpWeixin, PayType::WxpayMweb, PayType::AlipayMpAlipay, PayType::AlipayH5];
    assert_eq!(config.merchants[0].pay_types(), expected);
    let apps = &config.merchants[0].wxpay.as_ref().unwrap().apps;
    assert_eq!(apps[&PayType::WxpayMweb].site.as_ref().unwrap().name, "网站名称");
    let account = &apps[&PayType::WxpayMweb].account;
    assert!(std::sync::Arc::ptr_eq(account, &apps[&PayType::WxpayMpWeixin].account));
    assert!(matches!(account.verification, wxpay::WxpayVerification::Certificates));
    assert_eq!(account.base_url.as_str(), "http://127.0.0.1:9/");
    let alipay = config.merchants[0].alipay.as_ref().unwrap();
    assert!(alipay.choice.app_to_h5 && !alipay.choice.web_pages);
    let app = &alipay.apps[&PayType::AlipayMpAlipay];
    assert_eq!(app.seller_id.as_deref(), Some("2088102146225135"));
    assert!(matches!(app.verification, alipay::AlipayVerification::Certificates { .. }));
}

#[test]
fn every_way_of_exporting_documents_is_read() {
    let one = document("001", &[("wxpay", "h5", wxpay_node())]);
    let mut other = document("002", &[("alipay", "h5", alipay_node())]);
    other["_id"] = json!({ "$oid": "60f0c0ffee60f0c0ffee60f0" });
    for text in [
        json!([one, other]).to_string(),
        format!("{one}\n{other}\n"),
        format!("\u{feff}{one:#}\r\n{other:#}"),
        json!({ "vk-pay-config": { "data": [one, other] } }).to_string(),
    ] {
        let file = file(&text);
        let config = Config::read(&only(&file)).unwrap_or_else(|it| panic!("{it}"));
        let pids: Vec<_> = config.merchants.iter().map(|it| it.pid.as_str()).collect();
        assert_eq!(pids, ["001", "60f0c0ffee60f0c0ffee60f0"]);
    }
}

#[test]
fn a_document_stands_beside_the_default_merchant() {
    let file = file(&document("001", &[("alipay", "h5", alipay_node())]).to_string());
    let gateway = ("PAYGATE_ALIPAY_GATEWAY_URL", "http://127.0.0.1:9/gateway.do");
    let vars = live(&[("PAYGATE_MERCHANTS", file.path().to_str().unwrap()), gateway]);
    let pids: Vec<_> =
        Config::read(&vars).unwrap().merchants.iter().map(|it| it.pid.to_string()).collect();
    assert_eq!(pids, ["default", "001"]);
}

#[test]
fn a_node_without_version_3_is_version_2_and_refused_by_name() {
    for version in [json!(2), json!("2"), Value::Null] {
        let mut node = wxpay_node();
        node["version"] = version;
        let document = document("001", &[("wxpay", "h5", node)]);
        assert_refused(document, "pid 001, wxpay.h5 is for version 2 of WeChat Pay's API");
    }
    for version in [json!(3), json!("3"), json!(3.0), json!({ "$numberInt": "3" })] {
        let mut node = wxpay_node();
        node["version"] = version;
        let file = file(&document("001", &[("wxpay", "h5", node)]).to_string());
        Config::read(&only(&file)).unwrap();
    }
}

#[test]
fn an_invalid_field_is_named_by_document_node_and_field() {
    for (provider, field, value, words) in [
        ("wxpay", "v3Key", "canary", "wxpay.h5.v3Key: has 6 bytes instead of 32"),
        ("wxpay", "mchId", "canary", "wxpay.h5.mchId: is not 1 to 32 digits"),
        ("wxpay", "appId", "", "wxpay.h5.appId: is required"),
        ("wxpay", "appCertContent", "", "wxpay.h5.appCertContent: is required"),
        ("wxpay", "appCertContent", &PROVIDER.cert_pem, "is not the private key's certificate"),
        ("wxpay", "wxpayPublicKeyContent", &PROVIDER.public_pem, "wxpayPublicKeyId: is required"),
        ("wxpay", "appPrivateKeyContent", "canary", "wxpay.h5.appPrivateKeyContent: is not"),
        ("alipay", "privateKey", "canary", "alipay.h5.privateKey: is not"),
        ("alipay", "alipayPublicKey", &SHOP.public_pem, "is the other half of the private key"),
        ("alipay", "mchId", "1900000001", "alipay.h5.mchId: is not 16 digits"),
    ] {
        let mut node = if provider == "wxpay" { wxpay_node() } else { alipay_node() };
        node[field] = value.into();
        assert_refused(document("001", &[(provider, "h5", node)]), words);
    }
}

const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0114232134912410000000000000";

/// A node that changed to WeChat Pay's public key.
fn keyed_node() -> Value {
    let mut node = wxpay_node();
    node["wxpayPublicKeyContent"] = PROVIDER.public_pem.clone().into();
    node["wxpayPublicKeyId"] = PUBLIC_KEY_ID.into();
    node
}

#[test]
fn nodes_of_one_account_have_the_public_key_and_the_certificates_together() {
    let (keyed, certified) = (keyed_node(), wxpay_node());
    let two = |a: &Value, b: &Value| {
        let nodes = [("wxpay", "mp-weixin", a.clone()), ("wxpay", "h5", b.clone())];
        json!([document("001", &nodes)])
    };
    let two_pids = json!([
        document("001", &[("wxpay", "mp-weixin", certified.clone())]),
        document("002", &[("wxpay", "h5", keyed.clone())]),
    ]);
    for documents in [two(&keyed, &certified), two(&certified, &keyed), two_pids] {
        let file = file(&documents.to_string());
        let config = Config::read(&only(&file)).unwrap_or_else(|it| panic!("{it}"));
        let wxpays = config.merchants.iter().filter_map(|merchant| merchant.wxpay.as_ref());
        let apps: Vec<_> = wxpays.flat_map(|wxpay| wxpay.apps.values()).collect();
        assert_eq!(apps.len(), 2);
        for app in apps {
            let id = match &app.account.verification {
                wxpay::WxpayVerification::PublicKey { id, .. } => id.as_str(),
                wxpay::WxpayVerification::Certificates => "",
            };
            assert_eq!(id, PUBLIC_KEY_ID);
        }
        let printed = config.describe();
        assert_eq!(printed.matches(&format!("the public key {PUBLIC_KEY_ID}")).count(), 2);
        config.check().unwrap();
    }
}

#[test]
fn the_public_key_of_a_document_serves_the_default_merchants_account_too() {
    let file = file(&document("001", &[("wxpay", "h5", keyed_node())]).to_string());
    let serial = ("PAYGATE_WXPAY_SERIAL_NO", "");
    let cert = ("PAYGATE_WXPAY_CERT", SHOP.cert_pem.as_str());
    let merchants = ("PAYGATE_MERCHANTS", file.path().to_str().unwrap());
    let config = Config::read(&live(&[merchants, serial, cert])).unwrap();
    let default = &config.merchants[0].wxpay.as_ref().unwrap().apps[&PayType::WxpayMweb];
    let document = &config.merchants[1].wxpay.as_ref().unwrap().apps[&PayType::WxpayH5];
    assert!(std::sync::Arc::ptr_eq(&default.account, &document.account));
    let with = live(&[merchants, serial, cert, ("PAYGATE_WXPAY_API_V3_KEY", &"x".repeat(32))]);
    let words = "pid 001, wxpay.h5.v3Key: is another one than that of PAYGATE_WXPAY_MCH_ID, and \
                 both are of the account 1900000001";
    refused(&with, "PAYGATE_MERCHANTS", words);
}

#[test]
fn what_contradicts_another_node_of_the_account_names_both_nodes_and_the_field() {
    let other = |field: &str, value: &str| {
        let mut node = keyed_node();
        node[field] = value.into();
        node
    };
    let (other_key, other_v3) = (&SHOP_OTHER.public_pem, "x".repeat(32));
    let mut own_pair = other("appCertContent", &SHOP_OTHER.cert_pem);
    own_pair["appPrivateKeyContent"] = SHOP_OTHER.private_pem.clone().into();
    for (node, field, in_two_pids) in [
        (other("v3Key", &other_v3), "v3Key", true),
        (other("wxpayPublicKeyContent", other_key), "wxpayPublicKeyContent", true),
        (other("wxpayPublicKeyId", "PUB_KEY_ID_2"), "wxpayPublicKeyId", false),
        (own_pair, "appCertContent", false),
    ] {
        let first = ("wxpay", "mp-weixin", keyed_node());
        let words = |pid: &str| {
            format!(
                "pid {pid}, wxpay.h5.{field}: is another one than that of pid 001, \
                 wxpay.mp-weixin, and both are of the account 1900000001"
            )
        };
        let one = document("001", &[first.clone(), ("wxpay", "h5", node.clone())]);
        assert_refused(one, &words("001"));
        let two = json!([document("001", &[first]), document("002", &[("wxpay", "h5", node)])]);
        match in_two_pids {
            true => assert_refused(two, &words("002")),
            // A merchant may have several API certificates, and each pid signs with its own.
            false => drop(Config::read(&only(&file(&two.to_string()))).unwrap()),
        }
    }
}

#[test]
fn a_misspelt_field_of_a_node_is_a_warning_with_the_nearest_name() {
    for (provider, field, meant) in [
        ("alipay", "sandBox", Some("sandbox")),
        ("alipay", "mchid", Some("mchId")),
        ("alipay", "alipay_public_key", Some("alipayPublicKey")),
        ("wxpay", "wxpayPublicKeyID", Some("wxpayPublicKeyId")),
        ("wxpay", "scene_info", Some("sceneInfo")),
        ("wxpay", "comment", None),
        ("wxpay", "key", None),
        ("wxpay", "secret", None),
    ] {
        let mut node = if provider == "wxpay" { wxpay_node() } else { alipay_node() };
        node[field] = "canary".into();
        let file = file(&document("001", &[(provider, "h5", node)]).to_string());
        let warnings = Config::read(&only(&file)).unwrap().warnings;
        let warned: Vec<_> = warnings.iter().filter(|it| it.contains("did you mean")).collect();
        let expected: Vec<String> = meant
            .map(|meant| {
                format!(
                    "PAYGATE_MERCHANTS: pid 001, {provider}.h5.{field} is not used by paygate; \
                     did you mean {meant}?"
                )
            })
            .into_iter()
            .collect();
        assert_eq!(warned, expected.iter().collect::<Vec<_>>(), "{field}");
        assert!(!warnings.concat().contains("canary"));
    }
}

#[test]
fn a_field_that_names_a_file_is_refused_with_the_field_for_the_text() {
    for (provider, path, text) in [
        ("wxpay", "appCertPath", "appCertContent"),
        ("wxpay", "appPrivateKeyPath", "appPrivateKeyContent"),
        ("wxpay", "wxpayPublicKeyPath", "wxpayPublicKeyContent"),
        ("alipay", "alipayRootCertPath", "alipayRootCertContent"),
        ("alipay", "privateKeyPath", "privateKey"),
    ] {
        let mut node = if provider == "wxpay" { wxpay_node() } else { alipay_node() };
        node[path] = "/etc/canary.pem".into();
        node[text] = Value::Null;
        let words = format!(
            "{provider}.h5.{path}: names a file, which paygate does not read: put \
                             the file's text into {text}"
        );
        let document = document("001", &[(provider, "h5", node)]);
        let missing = problems(&only(&file(&document.to_string()))).to_string();
        assert!(!missing.contains(&format!("{text}: is required")), "{missing}");
        assert_refused(document, &words);
    }
    // A node with files alone is no template.
    let files = json!({ "appId": "2014072300007148", "privateKeyPath": "canary.pem" });
    assert_refused(document("001", &[("alipay", "h5", files)]), "alipay.h5.privateKeyPath: names");
}

#[test]
fn a_file_beside_its_text_is_warned_of() {
    let mut node = wxpay_node();
    node["appCertPath"] = "canary.pem".into();
    node["pfx"] = "canary".into();
    let file = file(&document("001", &[("wxpay", "h5", node)]).to_string());
    let warnings = Config::read(&only(&file)).unwrap().warnings.join("\n");
    for words in [
        "wxpay.h5.appCertPath is not read: appCertContent has the text",
        "wxpay.h5.pfx is not read: appCertContent and appPrivateKeyContent hold",
    ] {
        assert!(warnings.contains(words), "{words}: {warnings}");
    }
    assert!(!warnings.contains("canary"), "{warnings}");
}

#[test]
fn every_merchants_browsers_get_the_product_that_the_variable_names() {
    let file = file(&document("001", &[("alipay", "h5", alipay_node())]).to_string());
    for (product, is_page) in [("web", true), ("precreate", false)] {
        let mut vars = only(&file);
        vars.insert("PAYGATE_ALIPAY_H5_PRODUCT".to_owned(), product.to_owned());
        let config = Config::read(&vars).unwrap();
        let alipay = config.merchants[0].alipay.as_ref().unwrap();
        assert_eq!(alipay.choice.web_pages, is_page, "{product}");
    }
}

#[test]
fn an_invalid_document_is_named_by_its_place() {
    let good = document("001", &[("wxpay", "h5", wxpay_node())]);
    for (id, words) in [
        (Value::Null, "document 2 has no text called _id"),
        (json!(1), "document 2 has no text called _id"),
        (json!("default"), "document 2 has the _id default, which is reserved"),
        (json!(".."), "cannot stand in a URL"),
        (json!("a\u{7}"), "a control character"),
        (json!("001"), "document 2: the _id 001 stands there twice"),
    ] {
        let mut other = document("x", &[("alipay", "h5", alipay_node())]);
        other["_id"] = id;
        assert_refused(json!([good, other]), words);
    }
    assert_refused(json!([good, "canary"]), "document 2 is not an object");
    assert_refused(json!([]), "holds no document");
}

#[test]
fn invalid_json_is_reported_by_its_place_only() {
    let file = file("[{\"_id\": \"001\",\n \"canary\": canary}]");
    refused(&only(&file), "PAYGATE_MERCHANTS", "is not JSON at line 2");
    assert!(!problems(&only(&file)).to_string().contains("canary"));
}

#[test]
fn unused_nodes_cause_warnings_and_an_empty_template_does_not() {
    let mut document = document("001", &[("wxpay", "h5", wxpay_node())]);
    document["wxpay"]["transfer"]["mchId"] = "1900000001".into();
    document["appleiap"] = json!({ "password": "canary" });
    document["wxpay"]["h5-weixin"]["appId"] = "wx1".into();
    document["comment"] = "canary".into();
    let file = file(&document.to_string());
    let config = Config::read(&only(&file)).unwrap();
    let warnings: Vec<_> =
        config.warnings.iter().filter(|it| it.starts_with("PAYGATE_MERCHANTS")).collect();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for place in ["wxpay.transfer", "wxpay.h5-weixin", "appleiap"] {
        assert!(warnings.iter().any(|text| text.contains(place)), "{place}: {warnings:?}");
    }
    assert!(!format!("{config:?}").contains("canary"));
}

#[test]
fn alipays_test_gateway_is_not_on_loopback_and_a_stand_in_is() {
    let mut node = alipay_node();
    node["sandbox"] = true.into();
    let file = file(&document("001", &[("alipay", "h5", node)]).to_string());
    let config = Config::read(&only(&file)).unwrap();
    let app = &config.merchants[0].alipay.as_ref().unwrap().apps[&PayType::AlipayH5];
    assert_eq!(app.gateway_url.as_str(), "http://127.0.0.1:9/gateway.do");
    let mut vars = only(&file);
    vars.remove("PAYGATE_ALIPAY_GATEWAY_URL");
    let config = Config::read(&vars).unwrap();
    let app = &config.merchants[0].alipay.as_ref().unwrap().apps[&PayType::AlipayH5];
    assert!(app.gateway_url.host_str().is_some_and(|it| it.contains("sandbox")), "{app:?}");
}

#[cfg(feature = "mock")]
#[test]
fn documents_without_keys_name_merchants_in_mock_mode() {
    let pid_only = json!([{ "_id": "001", "alipayAppPayToH5Pay": true }, template()]);
    let good = file(&pid_only.to_string());
    let path = good.path().to_str().unwrap();
    let config = Config::read(&mock(&[("PAYGATE_MERCHANTS", path)])).unwrap();
    let pids: Vec<_> = config.merchants.iter().map(|it| it.pid.as_str()).collect();
    assert_eq!(pids, ["default", "001", "template"]);
    assert!(config.merchants[1].choice.app_to_h5);

    let with_keys = file(&document("001", &[("wxpay", "h5", wxpay_node())]).to_string());
    let vars = mock(&[("PAYGATE_MERCHANTS", with_keys.path().to_str().unwrap())]);
    refused(&vars, "PAYGATE_MERCHANTS", "pid 001, wxpay.h5 holds live keys");
}

#[test]
fn live_mode_with_documents_that_cannot_be_paid_is_refused() {
    let file = file(&template().to_string());
    let text = problems(&only(&file)).to_string();
    assert!(text.contains("without a merchant nobody can be paid"), "{text}");
}

#[test]
fn the_file_is_bounded() {
    let file = file(&format!("[{}]", " ".repeat(4 << 20)));
    refused(&only(&file), "PAYGATE_MERCHANTS", "is larger than 4096 KiB");
}
