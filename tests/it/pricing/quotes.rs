//! A price that the shop signed and the client brings.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use paygate::{PaymentLayer, Pricing};
use serde_json::{Value, json};

use super::{NO, OTHER_NO, client, contradictions, extend, paths, price, send, till, without};
use crate::support::shop::Shop;

const SECRET: &str = "canary-quote-secret-0123456789abcdef";
/// Five minutes after the test's clock.
const EXP: i64 = 1_763_900_300;

async fn quoted() -> (PaymentLayer, Shop) {
    till(Pricing::quote(SECRET).unwrap()).await
}

fn part(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token of this header and payload, signed as the shop signs.
fn signed(header: &str, payload: &str) -> String {
    signed_with(SECRET, header, payload)
}

fn signed_with(secret: &str, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", part(header), part(payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// The shop's quote of these claims.
fn quote(claims: &Value) -> String {
    signed(HEADER, &claims.to_string())
}

/// The claims of a good quote.
fn claims(number: &str, more: Value) -> Value {
    let mut claims = price(number, json!({"exp": EXP}));
    extend(&mut claims, more);
    claims
}

fn with_quote(mut body: Value, quote: impl Into<Value>) -> Value {
    body["quote"] = quote.into();
    body
}

fn good(number: &str) -> Value {
    with_quote(client(number, json!({})), quote(&claims(number, json!({}))))
}

#[tokio::test]
async fn the_quote_sets_the_price_and_the_client_itself() {
    let (layer, shop) = quoted().await;
    let custom = json!({"cart": [1, 2.50]});
    let set = json!({"custom": custom, "user_id": "u-1", "iss": "shop", "iat": 1, "nbf": 1,
                     "jti": "x", "aud": "paygate", "sub": "u-1"});
    let body = with_quote(client(NO, json!({})), quote(&claims(NO, set)));
    let first = send(&layer, &body).await;
    assert_eq!(first.code(), (200, &json!(0)), "{}", first.body);
    assert_eq!(first.body["total_fee"], 100);
    let ledger = shop.ledger(NO);
    assert_eq!(ledger.len(), 1);

    // The same values in another spelling contradict nothing.
    let same = json!({"total_fee": 1.0e2, "subject": "tea", "type": "goods", "user_id": "u-1",
                      "custom": {"cart": [1.0, 2.5]}, "pid": null, "other": ""});
    let again = with_quote(client(NO, same), body["quote"].clone());
    let again = send(&layer, &again).await;
    assert_eq!(again.status, 200, "{}", again.body);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body["orderInfo"], first.body["orderInfo"]);
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn a_client_cannot_change_a_field_that_the_quote_sets() {
    let (layer, shop) = quoted().await;
    for (name, value) in contradictions().into_iter().filter(|(it, _)| *it != "app_auth_token") {
        let set = match name {
            "total_fee" | "subject" | "type" => json!({}),
            "custom" => json!({"custom": {"vip": false}}),
            "other" => json!({"other": {"attach": "y"}}),
            "profit_sharing" => json!({"profit_sharing": false}),
            "time_expire" => json!({"time_expire": 1_763_990_000_001_u64}),
            "return_url" => json!({"return_url": "https://shop.example.com/"}),
            _ => json!({name: "mine"}),
        };
        let body = client(NO, json!({name: value}));
        let body = with_quote(body, quote(&claims(NO, set)));
        let answer = send(&layer, &body).await;
        assert_eq!(answer.code(), (422, &json!(4102)), "{name}: {}", answer.body);
        assert_eq!(paths(&answer), [format!("/data/{name}")]);
    }
    assert_eq!(shop.creates(), 0);
}

#[tokio::test]
async fn a_client_cannot_add_a_field_that_the_quote_does_not_set() {
    let (layer, shop) = quoted().await;
    for (name, value) in contradictions() {
        let body = with_quote(client(NO, json!({name: value})), quote(&claims(NO, json!({}))));
        let answer = send(&layer, &body).await;
        assert_eq!(answer.code(), (422, &json!(4102)), "{name}: {}", answer.body);
        assert_eq!(paths(&answer), [format!("/data/{name}")]);
        let value = body["data"][name].to_string();
        assert!(!answer.body["errors"].to_string().contains(&value), "{name} is revealed");
    }
    let several = client(NO, json!({"total_fee": 1, "user_id": "x", "subject": "tea"}));
    let answer = send(&layer, &with_quote(several, quote(&claims(NO, json!({}))))).await;
    assert_eq!(answer.code(), (422, &json!(4102)));
    assert_eq!(paths(&answer).len(), 2, "{}", answer.body);
    assert_eq!(shop.creates(), 0);
}

#[tokio::test]
async fn a_client_cannot_pay_with_an_openid_that_is_not_the_quotes() {
    let (layer, shop) = quoted().await;
    let in_wechat = |data: Value, quote: String| {
        let mut body = with_quote(client(NO, data), quote);
        body["context"]["PLATFORM"] = json!("mp-weixin");
        body
    };
    let owned = || quote(&claims(NO, json!({"openid": "owner"})));
    let squatter = send(&layer, &in_wechat(json!({"openid": "squatter"}), owned())).await;
    assert_eq!(squatter.code(), (422, &json!(4102)));
    assert_eq!(paths(&squatter), ["/data/openid"]);
    assert_eq!(shop.creates(), 0);

    let owner = send(&layer, &in_wechat(json!({}), owned())).await;
    assert_eq!(owner.code(), (200, &json!(0)), "{}", owner.body);
    let same = send(&layer, &in_wechat(json!({"openid": "owner"}), owned())).await;
    assert_eq!(same.header("idempotent-replayed"), Some("true"));

    // Where the quote has no openid, the client's counts.
    let mut request = in_wechat(json!({"openid": "me"}), quote(&claims(OTHER_NO, json!({}))));
    request["data"]["out_trade_no"] = json!(OTHER_NO);
    assert_eq!(send(&layer, &request).await.code(), (200, &json!(0)));
    let without_openid = without(request["data"].clone(), "openid");
    request["data"] = without_openid;
    assert_eq!(send(&layer, &request).await.code(), (422, &json!(1006)));
}

/// Everything that is no quote of the order `number` in force.
fn no_quotes(number: &str) -> Vec<(&'static str, Value)> {
    let mut all = invalid_tokens(number);
    all.extend(invalid_headers(number));
    all.extend(invalid_payloads(number));
    all.extend(invalid_claims(number));
    all
}

/// Tokens that are not signed, not signed by the shop, or ambiguous.
fn invalid_tokens(number: &str) -> Vec<(&'static str, Value)> {
    let payload = claims(number, json!({})).to_string();
    let token = signed(HEADER, &payload);
    let (head, tail) = token.split_once('.').unwrap();
    let (middle, signature) = tail.split_once('.').unwrap();
    let none = part(r#"{"alg":"none"}"#);
    let cheap = part(&claims(number, json!({"total_fee": 1})).to_string());
    let padded = format!("{}.{}", URL_SAFE.encode(HEADER), URL_SAFE.encode(&payload));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let padded_tag = STANDARD.encode(hmac::sign(&key, padded.as_bytes()));
    vec![
        ("no quote", Value::Null),
        ("an empty one", json!("")),
        ("a number", json!(1)),
        ("an object", json!({"alg": "none"})),
        ("not a token", json!("quote")),
        ("dots alone", json!("..")),
        ("alg none, unsigned", json!(format!("{none}.{middle}."))),
        ("alg none, in two parts", json!(format!("{none}.{middle}"))),
        ("alg none under the old signature", json!(format!("{none}.{middle}.{signature}"))),
        ("another key", signed_with(&SECRET.replace("canary", "parrot"), HEADER, &payload).into()),
        ("an empty signature", json!(format!("{head}.{middle}."))),
        ("half a signature", json!(format!("{head}.{middle}.{}", &signature[..20]))),
        ("a padded signature", json!(format!("{token}="))),
        ("a fourth part", json!(format!("{token}.{signature}"))),
        ("space around", json!(format!(" {token}"))),
        ("another price under the signature", json!(format!("{head}.{cheap}.{signature}"))),
        ("padded parts", json!(format!("{padded}.{padded_tag}"))),
    ]
}

/// Tokens that the shop's secret signed under another header than the shop's.
fn invalid_headers(number: &str) -> Vec<(&'static str, Value)> {
    let payload = claims(number, json!({})).to_string();
    [
        ("alg none, signed", r#"{"alg":"none"}"#),
        ("alg NONE", r#"{"alg":"NONE"}"#),
        ("alg hs256", r#"{"alg":"hs256"}"#),
        ("HS384 by name", r#"{"alg":"HS384"}"#),
        ("RS256 by name", r#"{"alg":"RS256"}"#),
        ("no alg", r#"{"typ":"JWT"}"#),
        ("two algs", r#"{"alg":"none","alg":"HS256"}"#),
        ("a list of algs", r#"{"alg":["HS256"]}"#),
        ("a header that is a list", r#"["HS256"]"#),
        ("a critical extension", r#"{"alg":"HS256","crit":["x"],"x":1}"#),
        ("nothing critical", r#"{"alg":"HS256","crit":[]}"#),
        ("a nested token", r#"{"alg":"HS256","cty":"JWT"}"#),
        ("a token for something else", r#"{"alg":"HS256","typ":"at+jwt"}"#),
        ("a type that is a number", r#"{"alg":"HS256","typ":1}"#),
    ]
    .map(|(what, header)| (what, signed(header, &payload).into()))
    .into()
}

/// Tokens that the shop's secret signed and whose claims are not an unambiguous object.
fn invalid_payloads(number: &str) -> Vec<(&'static str, Value)> {
    let payload = claims(number, json!({})).to_string();
    let token = signed(HEADER, &payload);
    let first = |member: &str| payload.replacen('{', &format!("{{{member},"), 1);
    let deep = first(&format!(r#""custom":{}1{}"#, "[".repeat(40), "]".repeat(40)));
    let endless = payload.replace(&EXP.to_string(), "1e400");
    let payloads = [
        ("a token inside", format!("\"{token}\"")),
        ("a list", "[1]".to_owned()),
        ("a number", "1".to_owned()),
        ("no JSON", "{".to_owned()),
        ("nothing", String::new()),
        ("an empty object", "{}".to_owned()),
        ("a claim twice", first(r#""total_fee":1"#)),
        ("a number twice", first(r#""out_trade_no":"other-order""#)),
        ("an end twice", first(r#""exp":9999999999"#)),
        ("too deep", deep),
        ("an end that never comes", endless),
    ];
    payloads.map(|(what, payload)| (what, signed(HEADER, &payload).into())).into()
}

/// Tokens that the shop signed for another purpose or another time.
fn invalid_claims(number: &str) -> Vec<(&'static str, Value)> {
    let good = claims(number, json!({}));
    let more = |more: Value| claims(number, more);
    let less = |name: &str| without(good.clone(), name);
    [
        ("expired", more(json!({"exp": EXP - 300}))),
        ("without an end", less("exp")),
        ("an end that is null", more(json!({"exp": null}))),
        ("an end that is text", more(json!({"exp": EXP.to_string()}))),
        ("not yet in force", more(json!({"nbf": EXP}))),
        ("in force at no time", more(json!({"nbf": "now"}))),
        ("for another order", more(json!({"out_trade_no": "other-order"}))),
        ("for a longer number", more(json!({"out_trade_no": format!("{number}X")}))),
        ("for a number that is none", more(json!({"out_trade_no": 1}))),
        ("without a number", less("out_trade_no")),
        ("without a fee", less("total_fee")),
        ("without a subject", less("subject")),
        ("without a type", less("type")),
        ("a fee that is null", more(json!({"total_fee": null}))),
        ("what a buyer must not read", more(json!({"app_auth_token": "canary"}))),
        ("priced below", json!({"exp": EXP, "data": price(number, json!({}))})),
    ]
    .map(|(what, claims)| (what, quote(&claims).into()))
    .into()
}

#[tokio::test]
async fn a_client_without_a_valid_quote_is_refused_and_known_numbers_look_like_unknown_ones() {
    let (layer, shop) = quoted().await;
    assert_eq!(send(&layer, &good(NO)).await.status, 200);
    let (known, unknown) = (no_quotes(NO), no_quotes(OTHER_NO));
    for ((what, of_known), (_, of_unknown)) in known.into_iter().zip(unknown) {
        let mut bodies = Vec::new();
        for (number, quote) in [(NO, of_known), (OTHER_NO, of_unknown)] {
            let answer = send(&layer, &with_quote(client(number, json!({})), quote)).await;
            assert_eq!(answer.code(), (401, &json!(4005)), "{what}: {}", answer.body);
            assert!(!answer.body.to_string().contains("canary"), "{what}");
            bodies.push(without(answer.body, "requestId"));
        }
        assert_eq!(bodies[0], bodies[1], "{what}");
    }
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn a_replay_needs_a_quote_that_is_in_force() {
    let (layer, shop) = quoted().await;
    assert_eq!(send(&layer, &good(NO)).await.status, 200);
    let none = send(&layer, &client(NO, json!({}))).await;
    assert_eq!(none.code(), (401, &json!(4005)));
    let others = with_quote(client(NO, json!({})), quote(&claims(OTHER_NO, json!({}))));
    assert_eq!(send(&layer, &others).await.code(), (401, &json!(4005)));
    assert_eq!(send(&layer, &good(NO)).await.header("idempotent-replayed"), Some("true"));
    shop.clock.advance_ms(299_999);
    assert_eq!(send(&layer, &good(NO)).await.status, 200);
    shop.clock.advance_ms(1);
    let late = send(&layer, &good(NO)).await;
    assert_eq!(late.code(), (401, &json!(4005)));
    assert!(late.body["msg"].as_str().unwrap().contains("expired"), "{}", late.body);
}

#[tokio::test]
async fn a_quoted_field_that_breaks_its_rule_gives_its_code() {
    let (layer, shop) = quoted().await;
    for (field, value, code) in [
        ("type", json!("a.b"), 1002),
        ("total_fee", json!("100"), 1003),
        ("total_fee", json!(0), 1003),
        ("total_fee", json!(1.5), 1003),
        ("subject", json!(""), 1004),
        ("subject", json!("x".repeat(128)), 1004),
        ("openid", json!("a b"), 1006),
        ("custom", json!({"total_fee": 1}), 4001),
        ("other", json!({"notify_url": "https://evil.example.com"}), 4002),
        ("pid", json!("nobody"), 4003),
        ("time_expire", json!("soon"), 4000),
        ("price", json!(1), 4000),
    ] {
        let body = with_quote(client(NO, json!({})), quote(&claims(NO, json!({field: value}))));
        let answer = send(&layer, &body).await;
        assert_eq!(answer.code(), (422, &json!(code)), "{field}: {}", answer.body);
        assert!(paths(&answer)[0].starts_with(&format!("/data/{field}")), "{}", answer.body);
    }
    assert_eq!(shop.creates(), 0);
}

#[tokio::test]
async fn a_quotes_custom_is_checked_against_the_whole_data() {
    let (layer, _) = quoted().await;
    let custom = json!({"user_id": "u1", "recharge_balance": 100});
    let both = json!({"custom": custom, "user_id": "u1"});
    let sent = client(NO, json!({"custom": custom}));
    let answer = send(&layer, &with_quote(sent.clone(), quote(&claims(NO, both)))).await;
    assert_eq!(answer.code(), (422, &json!(4001)), "{}", answer.body);
    assert_eq!(paths(&answer), ["/data/custom/user_id"]);
    let alone = json!({ "custom": custom });
    let answer = send(&layer, &with_quote(sent, quote(&claims(NO, alone)))).await;
    assert_eq!(answer.code(), (200, &json!(0)), "{}", answer.body);
}

#[tokio::test]
async fn an_invalid_body_is_reported_before_the_quote_is_checked() {
    let (layer, _) = quoted().await;
    for (body, code) in [
        (json!({"provider": "wxpay"}), 1001),
        (client("short", json!({})), 1001),
        (client(NO, json!({"total_fee": 0})), 1003),
        (client(NO, json!({"custom": {"openid": 1}})), 4001),
        (client(NO, json!({"other": {"mchid": "1"}})), 4002),
        (client(NO, json!({"x": 1})), 4000),
    ] {
        for quote in [json!(null), json!("a.b.c"), json!(1)] {
            let answer = send(&layer, &with_quote(body.clone(), quote)).await;
            assert_eq!(answer.code(), (422, &json!(code)), "{body}: {}", answer.body);
            assert_eq!(paths(&answer).len(), 1, "nothing else is missing: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn the_buyers_word_on_its_address_is_not_believed() {
    let (layer, _) = quoted().await;
    let mut body = good(NO);
    body["isPC"] = json!(false);
    body["context"] = json!({"PLATFORM": "h5", "CLIENTIP": "114.114.114.114"});
    assert_eq!(send(&layer, &body).await.code(), (422, &json!(4004)));
}

#[tokio::test]
async fn a_time_of_a_quote_that_no_shop_means_is_refused_with_its_name() {
    let (layer, shop) = quoted().await;
    let day = 86_400;
    for (more, reason) in [
        (json!({"exp": EXP * 1_000}), "exp of the quote is over 400 days ahead"),
        (json!({"exp": EXP + 400 * day}), "exp of the quote is over 400 days ahead"),
        (json!({"nbf": EXP * 1_000}), "nbf of the quote is over 400 days ahead"),
        (json!({"nbf": EXP}), "not valid yet (nbf)"),
        (json!({"exp": EXP - 300}), "has expired (exp)"),
    ] {
        let body = with_quote(client(NO, json!({})), quote(&claims(NO, more.clone())));
        let answer = send(&layer, &body).await;
        assert_eq!(answer.code(), (401, &json!(4005)), "{more}");
        let text = answer.body["msg"].as_str().unwrap();
        assert!(text.contains(reason), "{more}: {text}");
        assert!(!reason.contains("400 days") || text.contains("seconds"), "{text}");
    }
    assert_eq!(shop.creates(), 0);
    let far = json!({"exp": EXP - 300 + 400 * day});
    let body = with_quote(client(NO, json!({})), quote(&claims(NO, far)));
    assert_eq!(send(&layer, &body).await.status, 200);
}

#[test]
fn the_secret_is_never_printed() {
    let pricing = Pricing::quote(SECRET).unwrap();
    assert_eq!(format!("{pricing:?}"), "Pricing(quote)");
    assert!(Pricing::quote("0123456789012345678901234567890").is_err());
}
