//! The texts of a refusal: the field, and the name that was probably meant.

use paygate::domain::ProviderId;
use paygate::error::Error;
use paygate::testing::guard::{
    read_client, read_close, read_create, read_query, read_query_refund, read_refund,
};
use serde_json::{Value, json};

/// The refusal of a body by the operation called `name`.
fn refusal(name: &str, body: &Value) -> Error {
    let bytes = body.to_string().into_bytes();
    let refused = match name {
        "createPayment" => read_create(&bytes).err(),
        "createPayment of a client" => read_client(&bytes).err(),
        "queryPayment" => read_query(&bytes).err(),
        "refund" => read_refund(&bytes).err(),
        "queryRefund" => read_query_refund(&bytes).err(),
        "closePayment" => read_close(&bytes).err(),
        _ => unreachable!("{name} is no operation"),
    };
    refused.unwrap_or_else(|| panic!("{name} took {body}"))
}

const NO: &str = "2107151010101541001";

#[test]
fn an_unknown_member_is_named_with_the_nearest_that_there_is() {
    let order = json!({"out_trade_no": NO, "total_fee": 1, "subject": "tea", "type": "goods"});
    let root = json!({"provider": "wxpay", "data": order});
    let number = json!({"out_trade_no": NO});
    let with = |mut body: Value, at: &str, name: &str| {
        body.pointer_mut(at).unwrap()[name] = json!(1);
        body
    };
    for (operation, body, name, meant) in [
        ("createPayment", with(root.clone(), "", "needQrCode"), "needQrCode", "needQRcode"),
        ("createPayment", with(root.clone(), "/data", "openId"), "openId", "openid"),
        ("createPayment", with(root.clone(), "/data", "userId"), "userId", "user_id"),
        ("createPayment of a client", with(root.clone(), "", "ispc"), "ispc", "isPC"),
        ("createPayment of a client", with(root.clone(), "/data", "pids"), "pids", "pid"),
        ("queryPayment", with(number.clone(), "", "awaitNotify"), "awaitNotify", "await_notify"),
        ("refund", with(number.clone(), "", "refundFee"), "refundFee", "refund_fee"),
        ("refund", with(number.clone(), "", "outRefundNo"), "outRefundNo", "out_refund_no"),
        ("queryRefund", with(number.clone(), "", "outRefundNo"), "outRefundNo", "out_refund_no"),
        ("closePayment", json!({"outTradeNo": NO}), "outTradeNo", "out_trade_no"),
    ] {
        let error = refusal(operation, &body);
        let found = error.violations().iter().find(|it| it.rule == "additionalProperties");
        let found = found.unwrap_or_else(|| panic!("{operation} {name}: {error:?}"));
        let wanted = format!("there is no field {name}; did you mean {meant}?");
        assert_eq!(found.message.en, wanted, "{operation}");
        let wanted = format!("没有 {name} 这个字段，是否应为 {meant}？");
        assert_eq!(found.message.zh, wanted, "{operation}");
    }
    let error = refusal("refund", &with(number, "", "coupon"));
    assert_eq!(error.texts().1, "there is no field coupon");
}

#[test]
fn a_member_of_another_object_is_named_with_its_path() {
    let order = json!({"out_trade_no": NO, "total_fee": 1, "subject": "tea", "type": "goods"});
    for (body, at, meant) in [
        (json!({"provider": "wxpay", "data": order, "openid": "o"}), "/openid", "/data/openid"),
        (json!({"provider": "wxpay", "data": {"isPC": true}}), "/data/isPC", "/isPC"),
    ] {
        let error = refusal("createPayment", &body);
        let found = error.violations().iter().find(|it| it.path == at).expect("the member");
        let name = at.rsplit('/').next().unwrap();
        let wanted = format!("there is no field {name}; did you mean {meant}?");
        assert_eq!(found.message.en, wanted);
    }
}

#[test]
fn a_key_of_custom_or_other_that_is_taken_is_named() {
    for (within, key, zh, en) in [
        ("custom", "total_fee", "custom 不能包含 total_fee：", "custom must not hold total_fee: "),
        ("other", "notify_url", "other 不能包含 notify_url：", "other must not hold notify_url: "),
    ] {
        let mut order =
            json!({"out_trade_no": NO, "total_fee": 1, "subject": "tea", "type": "goods"});
        order[within] = json!({ key: 1 });
        let error = refusal("createPayment", &json!({"provider": "wxpay", "data": order}));
        let texts = error.texts();
        assert!(texts.0.starts_with(zh) && texts.1.starts_with(en), "{texts:?}");
    }
}

#[test]
fn every_text_of_a_violation_names_its_field_in_both_languages() {
    let numbers = [json!(null), json!(1.5), json!([]), json!({}), json!("§".repeat(2_000))];
    let fields = [
        "out_trade_no",
        "type",
        "total_fee",
        "subject",
        "openid",
        "custom",
        "other",
        "pid",
        "time_expire",
        "user_id",
        "nickname",
        "body",
        "return_url",
        "sub_appid",
        "sub_mchid",
        "app_auth_token",
        "profit_sharing",
        "unknown",
    ];
    let mut bodies = Vec::new();
    for value in &numbers {
        for field in fields {
            let mut data =
                json!({"out_trade_no": NO, "total_fee": 1, "subject": "tea", "type": "goods"});
            data[field] = value.clone();
            for provider in ProviderId::ALL {
                let body = json!({"provider": provider.name(), "data": data});
                bodies.push(("createPayment", body));
            }
        }
        for field in ["provider", "isPC", "needQRcode", "context", "clientInfo", "unknown"] {
            let mut body = json!({"provider": "wxpay", "data": {}});
            body[field] = value.clone();
            bodies.push(("createPayment of a client", body));
        }
        for (operation, fields) in [
            ("queryPayment", &["transaction_id", "await_notify", "await_max_time"][..]),
            ("refund", &["out_refund_no", "refund_fee", "refund_desc", "transaction_id"]),
            ("queryRefund", &["out_refund_no", "out_trade_no"]),
            ("closePayment", &["out_trade_no", "unknown"]),
        ] {
            for field in fields {
                bodies.push((operation, json!({ *field: value })));
            }
        }
    }
    let mut seen = 0;
    for (operation, body) in bodies {
        let bytes = body.to_string();
        let is_taken = operation == "createPayment" && read_create(bytes.as_bytes()).is_ok();
        if is_taken {
            continue;
        }
        let error = refusal(operation, &body);
        for found in error.violations() {
            let names = || found.path.split('/').filter(|name| !name.is_empty());
            let is_named = |text: &str| names().any(|name| text.contains(name));
            assert!(is_named(&found.message.en), "{operation}: {found:?}");
            assert!(is_named(&found.message.zh), "{operation}: {found:?}");
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
