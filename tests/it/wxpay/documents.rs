//! What leaves: stored documents, signed requests, and the client's parameters.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use paygate::Secret;
use paygate::domain::{ChannelNo, Material, PayType, ProviderId, RawJson};
use paygate::provider::MerchantError;
use paygate::provider::wxpay::{Site, V3, WxpayMerchant, WxpayVerification};
use paygate::provider::{Failure, Provider, SigningContext};

use super::*;

/// `data.other` as it was written.
fn raw(text: &str) -> RawJson {
    serde_json::from_value(text.into()).unwrap()
}

/// An expected text without the breaks and indentation that fit it into these lines.
fn unfolded(text: &str) -> String {
    text.lines().map(str::trim_start).collect()
}

/// The stored document of `scene` is this text, now and always.
fn check_document(scene: &Scene, expected: &str) {
    let v3 = v3();
    let params = scene.plan(&v3).unwrap();
    assert_eq!(params.document, unfolded(expected));
    assert_eq!(params.notify_url, "https://shop.example.com/pay/notify/wxpay/x/default");
    assert_eq!(params, scene.plan(&v3).unwrap(), "the same plan is the same text");
}

#[test]
fn each_pay_type_has_its_document() {
    let head = |app: &str| {
        format!(
            r#"{{"appid":"{app}","mchid":"1900000001","description":"一\"件\"商品",
                "out_trade_no":"2107151010101541001","time_expire":"2023-11-15T06:43:20+08:00",
                "notify_url":"https://shop.example.com/pay/notify/wxpay/x/default",
                "amount":{{"total":1,"currency":"CNY"}},"#
        )
    };
    let ip = r#""scene_info":{"payer_client_ip":"203.0.113.7""#;
    let rows = [
        (PayType::WxpayMpWeixin, "wxmini", format!(r#""payer":{{"openid":"oUpF8"}},{ip}}}}}"#)),
        (PayType::WxpayH5Weixin, "wxpublic", format!(r#""payer":{{"openid":"oUpF8"}},{ip}}}}}"#)),
        (PayType::WxpayAppPlus, "wxapp", format!("{ip}}}}}")),
        (PayType::WxpayH5, "wxqr", format!("{ip}}}}}")),
        (
            PayType::WxpayMweb,
            "wxmweb",
            format!(
                r#"{ip},"h5_info":{{"type":"Android","app_name":"小店",
                    "app_url":"https://shop.example.com"}}}}}}"#
            ),
        ),
    ];
    for (pay_type, app, tail) in rows {
        check_document(&Scene::of(pay_type), &format!("{}{tail}", head(app)));
    }
}

#[test]
fn a_partner_orders_for_its_merchant() {
    let mut scene = Scene::of(PayType::WxpayMpWeixin);
    scene.client_ip = None;
    scene.terms.sub_mchid = Some("1900000109".to_owned());
    scene.terms.profit_sharing = Some(true);
    check_document(
        &scene,
        r#"{"sp_appid":"wxmini","sp_mchid":"1900000001","sub_mchid":"1900000109",
            "description":"一\"件\"商品","out_trade_no":"2107151010101541001",
            "time_expire":"2023-11-15T06:43:20+08:00",
            "notify_url":"https://shop.example.com/pay/notify/wxpay/x/default",
            "amount":{"total":1,"currency":"CNY"},"payer":{"sp_openid":"oUpF8"},
            "settle_info":{"profit_sharing":true}}"#,
    );
    scene.terms.sub_appid = Some("wxsub".to_owned());
    scene.terms.profit_sharing = Some(false);
    check_document(
        &scene,
        r#"{"sp_appid":"wxmini","sp_mchid":"1900000001","sub_appid":"wxsub",
            "sub_mchid":"1900000109","description":"一\"件\"商品",
            "out_trade_no":"2107151010101541001","time_expire":"2023-11-15T06:43:20+08:00",
            "notify_url":"https://shop.example.com/pay/notify/wxpay/x/default",
            "amount":{"total":1,"currency":"CNY"},"payer":{"sub_openid":"oUpF8"},
            "settle_info":{"profit_sharing":false}}"#,
    );
    assert_eq!(v3().app_id(PayType::WxpayMpWeixin, &scene.terms).as_deref(), Some("wxsub"));
    scene.terms.sub_mchid = None;
    assert!(scene.plan(&v3()).is_err(), "an app of a merchant that is not named");
}

#[test]
fn what_the_shop_adds_is_sent_as_it_was_written() {
    let mut scene = Scene::of(PayType::WxpayH5);
    scene.terms.body = Some("卖给你".to_owned());
    scene.terms.total_fee = Fen::MAX;
    scene.client_ip = Some("2001:db8::7".parse().unwrap());
    let other = r#"{ "attach" : "\u0061/b", "detail": {"cost_price": 1.0, "x": 1e400 , "y":[ ]},
        "goods_tag":"WXG", "scene_info": {"device_id": "013467007045764" } }"#;
    scene.terms.other = Some(raw(&unfolded(other)));
    check_document(
        &scene,
        r#"{"appid":"wxqr","mchid":"1900000001","description":"卖给你",
            "out_trade_no":"2107151010101541001","time_expire":"2023-11-15T06:43:20+08:00",
            "notify_url":"https://shop.example.com/pay/notify/wxpay/x/default",
            "amount":{"total":10000000000,"currency":"CNY"},
            "scene_info":{"payer_client_ip":"2001:db8::7","device_id": "013467007045764"},
            "attach" : "\u0061/b", "detail": {"cost_price": 1.0, "x": 1e400 , "y":[ ]},
            "goods_tag":"WXG"}"#,
    );
    scene.client_ip = None;
    scene.terms.other = Some(raw("{}"));
    let document = scene.plan(&v3()).unwrap().document;
    assert!(document.ends_with(r#""currency":"CNY"}}"#), "no empty scene: {document}");
    scene.terms.other = Some(raw(r#"{"scene_info": {"device_id":"7"}}"#));
    let document = scene.plan(&v3()).unwrap().document;
    assert!(document.ends_with(r#""CNY"},"scene_info":{"device_id":"7"}}"#), "{document}");
}

/// Numbers that no float holds, escapes, white space, and keys that stand in no alphabet's order.
const OTHER: &str = concat!(
    r#""zz" : 1.0, "\u0061ttach":"\u4e2d\/}, \"b\": {","#,
    "\n\t\"detail\": { \"y\":[1e2,-0, 12345678901234567890.10 ],",
    r#""goods_detail":[{"price":1e400,"b":{"c":null,"a":[ ]}}] },"aa":true"#,
);

#[tokio::test]
async fn other_reaches_wechat_pay_byte_for_byte() {
    let v3 = v3();
    let scene_info = r#""scene_info" : { "store_info": {"id":"1", "area": 1.0 } ,"device_id":"7"}"#;
    let others = [
        format!("{{{OTHER}}}"),
        format!("{{ {OTHER}\n}}"),
        format!("{{ {scene_info} , {OTHER} }}"),
        format!("{{{OTHER} , {scene_info}}}"),
    ];
    for other in others {
        let mut scene = Scene::of(PayType::WxpayH5);
        scene.terms.other = Some(raw(&other));
        let attempt = scene.attempt(&v3);
        let transport = ScriptedTransport::always(Ok(signed(200, r#"{"code_url":"weixin://1"}"#)));
        v3.open(&attempt, transport.call()).await.unwrap();
        let sent = String::from_utf8(transport.seen()[0].body().to_vec()).unwrap();
        assert!(sent.ends_with(&format!("}},{OTHER}}}")), "{sent}");
        let own = r#""payer_client_ip":"203.0.113.7""#;
        let scene = match other.contains(scene_info) {
            true => {
                format!(r#"{{{own},"store_info": {{"id":"1", "area": 1.0 }} ,"device_id":"7"}}"#)
            }
            false => format!("{{{own}}}"),
        };
        assert!(sent.contains(&format!(r#""scene_info":{scene},{OTHER}"#)), "{sent}");
        assert!(RawJson::parse(&sent).is_ok(), "no key stands twice: {sent}");
    }
}

#[test]
fn what_the_shop_adds_never_replaces_what_is_computed() {
    let keys = [
        "appid",
        "mchid",
        "sp_appid",
        "sp_mchid",
        "sub_appid",
        "sub_mchid",
        "description",
        "out_trade_no",
        "time_expire",
        "notify_url",
        "amount",
        "payer",
        "settle_info",
    ];
    let mut others: Vec<String> = keys.iter().map(|key| format!(r#"{{"{key}":1}}"#)).collect();
    others.extend(
        [
            r#"{"not\u0069fy_url":"https://evil.example"}"#,
            r#"{"scene_info":{"payer_client_ip":"1.2.3.4"}}"#,
            r#"{"scene_info":{"h5_info":{}}}"#,
            r#"{"scene_info":"x"}"#,
            "[]",
            "1",
        ]
        .map(str::to_owned),
    );
    for other in others {
        let mut scene = Scene::of(PayType::WxpayH5);
        scene.terms.other = Some(raw(&other));
        assert!(scene.plan(&v3()).is_err(), "{other}");
    }
}

#[test]
fn h5_names_the_phones_system_and_needs_the_buyers_address() {
    let systems = [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X)", "iOS"),
        ("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X)", "iOS"),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8)", "Android"),
        ("Mozilla/5.0 (Phone; OpenHarmony 5.0)", "Wap"),
        ("", "Wap"),
    ];
    for (user_agent, system) in systems {
        let scene = Scene { user_agent, ..Scene::of(PayType::WxpayMweb) };
        let document = scene.plan(&v3()).unwrap().document;
        assert!(document.contains(&format!(r#""type":"{system}""#)), "{user_agent}");
    }
    let scene = Scene { client_ip: None, ..Scene::of(PayType::WxpayMweb) };
    assert!(scene.plan(&v3()).unwrap_err().en.contains("the buyer's address"));
    let scene = Scene { openid: None, ..Scene::of(PayType::WxpayMpWeixin) };
    assert!(scene.plan(&v3()).unwrap_err().en.contains("openid"));
}

#[test]
fn a_merchant_pays_by_what_is_configured_only() {
    let mut merchant = merchant(public_key());
    merchant.apps.remove(&PayType::WxpayMweb);
    let without = V3::new(merchant).unwrap();
    assert_eq!(without.id(), ProviderId::Wxpay);
    assert_eq!(without.pay_types().len(), 4);
    assert_eq!(without.app_id(PayType::WxpayMweb, &terms()), None);
    assert_eq!(without.app_id(PayType::WxpayH5, &terms()).as_deref(), Some("wxqr"));
    assert!(Scene::of(PayType::WxpayMweb).plan(&without).is_err());
}

/// The request that `open` sends, with every part of its signature.
#[tokio::test]
async fn a_request_is_signed_as_it_is_sent() {
    let v3 = v3();
    let attempt = Scene::of(PayType::WxpayMpWeixin).attempt(&v3);
    let transport = ScriptedTransport::always(Ok(signed(200, r#"{"prepay_id":"wx1"}"#)));
    v3.open(&attempt, transport.call()).await.unwrap();
    v3.query(&attempt, transport.call()).await.unwrap_err();
    let seen = transport.seen();

    let order = &seen[0];
    assert_eq!(order.method(), "POST");
    assert_eq!(order.uri().to_string(), "https://api.mch.weixin.qq.com/v3/pay/transactions/jsapi");
    assert_eq!(order.body(), attempt.params.document.as_bytes());
    assert_eq!(order.headers()[ACCEPT], "application/json");
    assert_eq!(order.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(order.headers()[USER_AGENT], concat!("paygate/", env!("CARGO_PKG_VERSION")));
    assert_eq!(order.headers()["wechatpay-serial"], PUBLIC_KEY_ID);
    check_signature(order, "/v3/pay/transactions/jsapi");

    let query = &seen[1];
    assert_eq!(query.method(), "GET");
    assert!(query.body().is_empty() && !query.headers().contains_key(CONTENT_TYPE));
    let target = "/v3/pay/transactions/out-trade-no/2107151010101541001?mchid=1900000001";
    check_signature(query, target);
    assert_ne!(nonce_of(order), nonce_of(query));
}

fn nonce_of(request: &Request<Bytes>) -> String {
    authorization(request)[1].clone()
}

/// The five values of the header, whose form is exact.
fn authorization(request: &Request<Bytes>) -> Vec<String> {
    let header = request.headers()[AUTHORIZATION].to_str().unwrap();
    let pairs = header.strip_prefix("WECHATPAY2-SHA256-RSA2048 ").unwrap();
    let names = ["mchid", "nonce_str", "timestamp", "serial_no", "signature"];
    let pairs: Vec<&str> = pairs.split(',').collect();
    assert_eq!(pairs.len(), names.len(), "{header}");
    let value = |(pair, name): (&&str, &str)| {
        let quoted = pair.strip_prefix(name).and_then(|it| it.strip_prefix('=')).unwrap();
        quoted.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap().to_owned()
    };
    pairs.iter().zip(names).map(value).collect()
}

fn check_signature(request: &Request<Bytes>, target: &str) {
    assert_eq!(request.uri().path_and_query().unwrap(), target);
    let values = authorization(request);
    let [mch_id, nonce, timestamp, serial, signature] = &values[..] else { panic!("five") };
    assert_eq!(mch_id, "1900000001");
    assert_eq!(timestamp, "1700000000");
    assert_eq!(serial, MERCHANT_SERIAL);
    assert_eq!(nonce.len(), 32);
    let body = std::str::from_utf8(request.body()).unwrap();
    let message = format!("{}\n{target}\n{timestamp}\n{nonce}\n{body}\n", request.method());
    assert!(MERCHANT_KEY.verifying_key().verifies(message.as_bytes(), signature));
}

#[tokio::test]
async fn a_path_is_percent_encoded_once_and_signed_so() {
    let v3 = v3();
    let mut attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    attempt.channel_no = serde_json::from_str::<ChannelNo>(r#""a|b*c""#).unwrap();
    let transport = ScriptedTransport::always(Err(TransportFailure::NotSent("no".to_owned())));
    v3.query(&attempt, transport.call()).await.unwrap_err();
    let target = "/v3/pay/transactions/out-trade-no/a%7Cb%2Ac?mchid=1900000001";
    check_signature(&transport.seen()[0], target);
}

#[tokio::test]
async fn a_partners_calls_have_their_own_paths() {
    let v3 = v3();
    let mut scene = Scene::of(PayType::WxpayH5);
    scene.terms.sub_mchid = Some("1900000109".to_owned());
    let attempt = scene.attempt(&v3);
    let transport = ScriptedTransport::always(Err(TransportFailure::NotSent("no".to_owned())));
    v3.open(&attempt, transport.call()).await.unwrap_err();
    v3.query(&attempt, transport.call()).await.unwrap_err();
    v3.close(&attempt, transport.call()).await.unwrap_err();
    let seen = transport.seen();
    check_signature(&seen[0], "/v3/pay/partner/transactions/native");
    let order = "/v3/pay/partner/transactions/out-trade-no/2107151010101541001";
    check_signature(&seen[1], &format!("{order}?sp_mchid=1900000001&sub_mchid=1900000109"));
    check_signature(&seen[2], &format!("{order}/close"));
    assert_eq!(seen[2].body(), r#"{"sp_mchid":"1900000001","sub_mchid":"1900000109"}"#);
}

#[tokio::test]
async fn a_base_urls_own_path_is_sent_and_signed() {
    let mut account = account(public_key());
    account.base_url = "http://127.0.0.1:8789/wxpay/".parse().unwrap();
    let app = WxpayApp { app_id: "wxqr".to_owned(), account: Arc::new(account), site: None };
    let v3 = V3::new(WxpayMerchant { apps: [(PayType::WxpayH5, app)].into() }).unwrap();
    let attempt = Scene::of(PayType::WxpayH5).attempt(&v3);
    let transport = ScriptedTransport::always(Err(TransportFailure::NotSent("no".to_owned())));
    v3.close(&attempt, transport.call()).await.unwrap_err();
    let order = "/wxpay/v3/pay/transactions/out-trade-no/2107151010101541001/close";
    check_signature(&transport.seen()[0], order);
    assert_eq!(transport.seen()[0].uri().authority().unwrap(), "127.0.0.1:8789");
    assert_eq!(transport.seen()[0].body(), r#"{"mchid":"1900000001"}"#);
}

/// The client's parameters of `scene` are `expected`, where `SIGN` stands for the merchant's
/// signature over `message`.
fn check_presented(scene: &Scene, material: &Material, expected: &str, message: &str) {
    let v3 = v3();
    let stamp = SigningContext { material, now: NOW, nonce: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS" };
    let text = v3.present(&scene.attempt(&v3), stamp).unwrap();
    let signature = MERCHANT_KEY.sign(message.as_bytes());
    assert_eq!(text, unfolded(expected).replace("SIGN", &signature));
}

#[test]
fn the_client_gets_vk_uni_pays_parameters_to_the_letter() {
    let prepay = Material::Prepay { prepay_id: "wx2017".to_owned() };
    for (pay_type, app) in
        [(PayType::WxpayMpWeixin, "wxmini"), (PayType::WxpayH5Weixin, "wxpublic")]
    {
        check_presented(
            &Scene::of(pay_type),
            &prepay,
            &r#"{"appId":"APP","timeStamp":"1700000000",
                "nonceStr":"5K8264ILTKCH16CQ2502SI8ZNMTM67VS","package":"prepay_id=wx2017",
                "signType":"RSA","paySign":"SIGN","timestamp":"1700000000"}"#
                .replace("APP", app),
            &format!("{app}\n1700000000\n5K8264ILTKCH16CQ2502SI8ZNMTM67VS\nprepay_id=wx2017\n"),
        );
    }
    check_presented(
        &Scene::of(PayType::WxpayAppPlus),
        &prepay,
        r#"{"appid":"wxapp","partnerid":"1900000001","prepayid":"wx2017",
            "package":"Sign=WXPay","noncestr":"5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
            "timestamp":"1700000000","sign":"SIGN"}"#,
        "wxapp\n1700000000\n5K8264ILTKCH16CQ2502SI8ZNMTM67VS\nwx2017\n",
    );
    check_presented(
        &Scene::of(PayType::WxpayH5),
        &Material::QrCode { code_url: "weixin://wxpay/x?pr=1".to_owned(), msg: None },
        r#"{"codeUrl":"weixin://wxpay/x?pr=1"}"#,
        "",
    );
    check_presented(
        &Scene::of(PayType::WxpayMweb),
        &Material::H5 { h5_url: "https://wx.tenpay.com/x?a=1&b=2".to_owned() },
        r#"{"mwebUrl":"https://wx.tenpay.com/x?a=1&b=2",
            "h5Url":"https://wx.tenpay.com/x?a=1&b=2"}"#,
        "",
    );
}

#[test]
fn a_partners_client_pays_in_the_app_and_to_the_merchant_it_collects_for() {
    let mut scene = Scene::of(PayType::WxpayAppPlus);
    scene.terms.sub_mchid = Some("1900000109".to_owned());
    let prepay = Material::Prepay { prepay_id: "wx1".to_owned() };
    let expected = r#"{"appid":"APP","partnerid":"1900000109","prepayid":"wx1",
        "package":"Sign=WXPay","noncestr":"5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
        "timestamp":"1700000000","sign":"SIGN"}"#;
    let rest = "\n1700000000\n5K8264ILTKCH16CQ2502SI8ZNMTM67VS\nwx1\n";
    check_presented(&scene, &prepay, &expected.replace("APP", "wxapp"), &format!("wxapp{rest}"));
    scene.terms.sub_appid = Some("wxsub".to_owned());
    check_presented(&scene, &prepay, &expected.replace("APP", "wxsub"), &format!("wxsub{rest}"));
}

#[tokio::test]
async fn an_attempt_outlives_its_pay_types_configuration_but_not_its_account() {
    let scene = Scene::of(PayType::WxpayMpWeixin);
    let attempt = scene.attempt(&v3());
    let prepay = Material::Prepay { prepay_id: "wx1".to_owned() };
    let stamp = SigningContext { material: &prepay, now: NOW, nonce: "n" };

    let mut removed = merchant(public_key());
    removed.apps.remove(&PayType::WxpayMpWeixin);
    let removed = V3::new(removed).unwrap();
    assert!(removed.present(&attempt, stamp).unwrap().contains("wxmini"));

    let mut moved = merchant(public_key());
    for app in moved.apps.values_mut() {
        app.account = Arc::new(WxpayAccount { mch_id: "19".to_owned(), ..account(public_key()) });
    }
    let moved = V3::new(moved).unwrap();
    assert!(moved.present(&attempt, stamp).unwrap_err().contains("1900000001"));
    let transport = ScriptedTransport::always(Ok(signed(200, "{}")));
    let failure = moved.query(&attempt, transport.call()).await.unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    assert!(transport.seen().is_empty());

    let native = Material::QrCode { code_url: "weixin://".to_owned(), msg: None };
    let stamp = SigningContext { material: &native, ..stamp };
    assert!(v3().present(&attempt, stamp).is_err(), "material of another product");
}

#[test]
fn a_merchant_that_wechat_pay_would_not_understand_is_refused_at_the_start() {
    type Change = fn(&mut WxpayApp, &mut WxpayAccount);
    let rows: [(Change, MerchantError); 11] = [
        (|app, _| app.app_id.clear(), MerchantError::AppId(PayType::WxpayH5)),
        (|app, _| app.app_id = "wx 1".to_owned(), MerchantError::AppId(PayType::WxpayH5)),
        (|_, it| it.mch_id = "19\"".to_owned(), MerchantError::MchId),
        (|_, it| it.serial_no = "xyz".to_owned(), MerchantError::SerialNo),
        (|_, it| it.serial_no = "0".repeat(41), MerchantError::SerialNo),
        (|_, it| it.api_v3_key = Secret::new("0123456789abcdef"), MerchantError::ApiV3Key),
        (
            |_, it| {
                let key = WECHAT_KEY.verifying_key();
                it.verification =
                    WxpayVerification::PublicKey { id: MERCHANT_SERIAL.to_owned(), key };
            },
            MerchantError::PublicKeyId,
        ),
        (|_, it| it.base_url = "http://shop.example".parse().unwrap(), MerchantError::Address),
        (|_, it| it.base_url = "https://h.example/?x".parse().unwrap(), MerchantError::Address),
        (|_, it| it.base_url = "file:///etc".parse().unwrap(), MerchantError::Address),
        (
            |app, _| app.site = Some(Site { name: "店".repeat(65), url: String::new() }),
            MerchantError::Site,
        ),
    ];
    for (change, expected) in rows {
        let mut account = account(public_key());
        let mut app = merchant(public_key()).apps.remove(&PayType::WxpayH5).unwrap();
        change(&mut app, &mut account);
        app.account = Arc::new(account);
        let error = V3::new(WxpayMerchant { apps: [(PayType::WxpayH5, app)].into() }).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("0123456789abcdef"));
    }
    assert_eq!(MerchantError::ApiV3Key.to_string(), "the APIv3 key is not 32 bytes");
    assert_eq!(V3::new(WxpayMerchant::default()).unwrap_err(), MerchantError::NoApp);

    let verified_by = |id: &str, key: &SigningKey| WxpayVerification::PublicKey {
        id: id.to_owned(),
        key: key.verifying_key(),
    };
    let own = || account(public_key());
    let others = [
        WxpayAccount { serial_no: "0".repeat(40), ..own() },
        WxpayAccount { signing: WECHAT_KEY.clone(), ..own() },
        WxpayAccount { api_v3_key: Secret::new("f".repeat(32)), ..own() },
        WxpayAccount { base_url: "https://h.example".parse().unwrap(), ..own() },
        WxpayAccount { verification: verified_by("PUB_KEY_ID_2", &WECHAT_KEY), ..own() },
        WxpayAccount { verification: verified_by(PUBLIC_KEY_ID, &MERCHANT_KEY), ..own() },
    ];
    for other in others {
        let mut two = merchant(public_key());
        two.apps.get_mut(&PayType::WxpayH5).unwrap().account = Arc::new(other);
        assert_eq!(V3::new(two).unwrap_err(), MerchantError::TwoAccounts);
    }
    for verification in [public_key(), WxpayVerification::Certificates] {
        let mut twice = merchant(verification.clone());
        twice.apps.get_mut(&PayType::WxpayH5).unwrap().account = Arc::new(account(verification));
        assert!(V3::new(twice).is_ok(), "the same account again");
    }

    let mut alipay = merchant(public_key());
    let app = alipay.apps.remove(&PayType::WxpayH5).unwrap();
    alipay.apps.insert(PayType::AlipayH5, app);
    assert_eq!(V3::new(alipay).unwrap_err(), MerchantError::OtherProvider(PayType::AlipayH5));
}

#[test]
fn no_secret_is_printed() {
    let printed = format!("{:?}", v3());
    assert!(!printed.contains(API_V3_KEY) && printed.contains("***"));
}
