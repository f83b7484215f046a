//! Pay types: which one a platform gets, and what its client is given.

use paygate::domain::{PayType, ProviderId};
use paygate::error::Kind;
use serde_json::{Value, json};

use crate::support::shop::{Shop, body, order_info, with};

const NO: &str = "2107151010101541001";

fn wxpay() -> Value {
    body(ProviderId::Wxpay, NO, 100)
}

#[tokio::test]
async fn every_row_of_the_pay_type_table_gives_its_order_info() {
    let keys = |it: &Value| {
        let mut keys: Vec<String> = it.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(",")
    };
    let jsapi = "appId,nonceStr,package,paySign,signType,timeStamp,timestamp";
    let app = "appid,noncestr,package,partnerid,prepayid,sign,timestamp";
    let rows = [
        ("wxpay", json!({"PLATFORM": "h5"}), true, PayType::WxpayH5, "codeUrl"),
        (
            "alipay",
            json!({"PLATFORM": "h5"}),
            true,
            PayType::AlipayH5,
            "code,codeUrl,msg,outTradeNo",
        ),
        ("wxpay", json!({"PLATFORM": "mp-weixin"}), false, PayType::WxpayMpWeixin, jsapi),
        ("alipay", json!({"PLATFORM": "mp-alipay"}), false, PayType::AlipayMpAlipay, "text"),
        ("wxpay", json!({"PLATFORM": "app-plus"}), false, PayType::WxpayAppPlus, app),
        ("wxpay", json!({"PLATFORM": "app"}), false, PayType::WxpayAppPlus, app),
        ("alipay", json!({"PLATFORM": "app"}), false, PayType::AlipayAppPlus, "text"),
        ("wxpay", json!({"PLATFORM": "web"}), false, PayType::WxpayMweb, "h5Url,mwebUrl"),
        (
            "alipay",
            json!({"PLATFORM": "h5"}),
            false,
            PayType::AlipayH5,
            "code,codeUrl,msg,outTradeNo",
        ),
    ];
    let shop = Shop::open().await;
    for (n, (provider, context, is_pc, pay_type, shape)) in rows.into_iter().enumerate() {
        let asked = json!({
            "provider": provider, "isPC": is_pc, "context": context,
            "data": {"out_trade_no": format!("row-{n:04}"), "total_fee": 1, "subject": "tea",
                     "type": "goods", "openid": "2088102146225135"},
        });
        let created = shop.create(&asked).await.unwrap_or_else(|it| panic!("{asked}: {it:?}"));
        assert_eq!(created.pay_type, pay_type, "{asked}");
        let info = order_info(&created);
        let found = if info.is_string() { "text".to_owned() } else { keys(&info) };
        assert_eq!(found, shape, "{asked}");
    }
}

#[tokio::test]
async fn a_qr_code_is_given_on_any_platform_that_asks_for_one() {
    let shop = Shop::open().await;
    for (n, platform) in ["mp-weixin", "mp-alipay", "app", "h5"].into_iter().enumerate() {
        for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
            let asked = body(provider, &format!("qr-{provider}-{n}"), 1);
            let asked = with(asked, "/context/PLATFORM", json!(platform));
            let created = shop.create(&with(asked, "/needQRcode", json!(true))).await.unwrap();
            assert!(created.code_url.is_some(), "{platform} {provider}");
        }
    }
}

#[tokio::test]
async fn an_impossible_pair_is_refused_with_what_is_possible() {
    let shop = Shop::open().await;
    let asked = with(wxpay(), "/context/PLATFORM", json!("mp-alipay"));
    let error = shop.create(&asked).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PayTypeNotPossible);
    let text = error.texts().1;
    assert!(text.contains("alipay_mp-alipay") && text.contains("wxpay_h5"), "{text}");
    let mini = with(wxpay(), "/context/PLATFORM", json!("mp-weixin"));
    let error = shop.create(&mini).await.unwrap_err();
    assert_eq!(error.violations()[0].code.number(), 1006);
    let phone = with(wxpay(), "/isPC", json!(false));
    let error = shop.create_from(&phone, "unknown").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::BuyerAddressUnknown, 4004));
    let text = error.texts().1;
    assert!(text.contains("the buyer's public address") && !text.contains("PAYGATE_"), "{text}");
}
