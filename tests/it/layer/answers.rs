//! The layer answers payment operations, and the inner service never receives them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::Full;
use paygate::testing::guard::schema;
use paygate::{PaymentLayer, Pricing};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

use super::{
    NO, PHONE, Untouched, ask, create, create_as, empty, on_a_phone, open_layer, order, posted,
    shop_page,
};
use crate::support::shop::{Shop, with};

const TOKEN: &str = "a-caller-token-of-more-than-32-characters";

#[tokio::test]
async fn a_payment_is_created_and_the_same_again_is_a_replay() {
    let layer = open_layer().await;
    let first = ask(&layer, create(&order(1))).await;
    assert_eq!(first.code(), (200, &json!(0)));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(first.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert_eq!(first.header("x-paygate-mode"), Some("mock"));
    for (name, value) in [
        ("out_trade_no", json!(NO)),
        ("provider", json!("wxpay")),
        ("pay_type", json!("wxpay_h5")),
        ("needQRcode", json!(false)),
        ("total_fee", json!(1)),
        ("platform", json!("h5")),
    ] {
        assert_eq!(first.body[name], value, "{name}");
    }
    assert_eq!(first.body["qrcodeImage"], json!(null));

    let again = ask(&layer, create(&order(1))).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (200, Some("true")));
    assert_eq!(again.body["orderInfo"], first.body["orderInfo"]);

    let other = ask(&layer, create(&order(2))).await;
    assert_eq!(other.code(), (422, &json!(4102)));
    assert_eq!(other.body["errors"][0]["path"], "/data/total_fee");
}

#[tokio::test]
async fn an_image_of_the_qr_code_comes_on_request() {
    let wanted = with(order(1), "/needQRcode", json!("image"));
    let answer = ask(&open_layer().await, create(&wanted)).await;
    let picture = answer.body["qrcodeImage"].as_str().unwrap();
    assert!(picture.starts_with("data:image/png;base64,iVBORw0KGgo"), "{picture}");
}

#[tokio::test]
async fn the_reply_repeats_whether_a_qr_code_was_requested_not_whether_there_is_one() {
    let layer = open_layer().await;
    let rows = [
        (json!(null), false, false),
        (json!(""), false, false),
        (json!(false), false, false),
        (json!(true), true, false),
        (json!("image"), true, true),
    ];
    for provider in ["wxpay", "alipay"] {
        for (requested, repeated, image) in &rows {
            let no = format!("asked-{provider}-{requested}").replace('"', "");
            let wanted = with(order(1), "/needQRcode", requested.clone());
            let wanted = with(wanted, "/data/out_trade_no", json!(no));
            let answer = ask(&layer, create(&with(wanted, "/provider", json!(provider)))).await;
            let body = &answer.body;
            assert!(body["orderInfo"]["codeUrl"].is_string(), "{provider} {requested}: {body}");
            assert_eq!(body["needQRcode"], json!(repeated), "{provider} {requested}");
            assert_eq!(body["qrcodeImage"].is_string(), *image, "{provider} {requested}");
            let is_valid = schema::accepts("create-payment-reply", body.to_string().as_bytes());
            assert_eq!(is_valid, Some(true), "{provider} {requested}: {body}");
        }
    }
}

#[tokio::test]
async fn a_disguised_operation_is_neither_run_nor_passed_on() {
    let layer = open_layer().await;
    let paths = [
        "/pay//createPayment",
        "//pay/createPayment",
        "/pay/./createPayment",
        "/x/../pay/createPayment",
        "/pay/createPayment/",
        "/pay/createpayment",
        "/PAY/createPayment",
        "/pay/%63reatePayment",
        "/pay%2fcreatePayment",
        "/pay/%2563reatePayment",
        "/pay/createPayment;x",
        "/pay/notify/wxpay",
        "/pay/notify/wxpay/alipay_h5/default",
    ];
    for path in paths {
        let answer = ask(&layer, create_as(posted(path), &order(1))).await;
        assert_eq!(answer.code(), (404, &json!(404)), "{path}");
        assert_eq!(answer.body["error"], "not_found");
    }
}

#[tokio::test]
async fn another_mount_moves_the_operations() {
    let shop = Shop::open_as(|engine| engine.mount("/api/v1/pay")).await;
    let layer = PaymentLayer::new(shop.engine, Pricing::danger_trust_every_caller());
    let answer = ask(&layer, create_as(posted("/api/v1/pay/createPayment"), &order(1))).await;
    assert_eq!(answer.status, 200);
    let app = layer.layer(service_fn(async |it| shop_page(it).await));
    let passed = app.oneshot(create(&order(1))).await.unwrap();
    assert!(passed.headers().get("x-request-id").is_none(), "it is the shop's");
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_right_one() {
    let layer = open_layer().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let request = Request::builder().method(method).uri("/pay/createPayment");
        let answer = ask(&layer, empty(request)).await;
        // An answer to HEAD has no body.
        let code = if method == "HEAD" { json!(null) } else { json!(4000) };
        assert_eq!((answer.status, &answer.body["code"]), (405, &code), "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
}

#[tokio::test]
async fn only_plain_json_is_read() {
    let layer = open_layer().await;
    let post = || Request::post("/pay/createPayment");
    let refused = [
        post(),
        post().header("content-type", "text/plain"),
        post().header("content-type", "application/x-www-form-urlencoded"),
        post().header("content-type", "application/json; charset=gbk"),
        posted("/pay/createPayment").header("content-type", "application/json"),
        posted("/pay/createPayment").header("content-encoding", "gzip"),
        posted("/pay/createPayment").header("content-encoding", "identity"),
    ];
    for request in refused {
        let headers = format!("{:?}", request.headers_ref());
        let answer = ask(&layer, create_as(request, &order(1))).await;
        assert_eq!(answer.code(), (415, &json!(4000)), "{headers}");
    }
    for good in ["application/json", "Application/JSON; charset=UTF-8"] {
        let request = post().header("content-type", good);
        assert_eq!(ask(&layer, create_as(request, &order(1))).await.status, 200, "{good}");
    }
}

#[tokio::test]
async fn a_request_id_that_is_fit_comes_back_and_any_other_is_made() {
    let layer = open_layer().await;
    let with_id = |id: &str| posted("/pay/createPayment").header("x-request-id", id);
    for (fee, status) in [(1, 200), (0, 422)] {
        let answer = ask(&layer, create_as(with_id("trace.1_2-3"), &order(fee))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-request-id"), Some("trace.1_2-3"));
        assert_eq!(answer.body["requestId"], "trace.1_2-3");
    }
    let long = "x".repeat(65);
    let unfit =
        [with_id("a b"), with_id(&long), with_id(""), with_id("a").header("x-request-id", "b")];
    for request in unfit {
        let answer = ask(&layer, create_as(request, &order(1))).await;
        let made = answer.header("x-request-id").unwrap();
        assert!(made.len() >= 16 && made != long, "{made}");
        assert_eq!(answer.body["requestId"], made);
    }
}

#[tokio::test]
async fn texts_are_chinese_unless_english_is_preferred() {
    let layer = open_layer().await;
    for (preferred, is_english) in [
        ("", false),
        ("zh-CN,zh;q=0.9,en;q=0.8", false),
        ("fr", false),
        ("en-US,en;q=0.9,zh;q=0.8", true),
    ] {
        let request = Request::get("/pay/createPayment").header("accept-language", preferred);
        let answer = ask(&layer, empty(request)).await;
        assert_eq!(answer.body["msg"].as_str().unwrap().is_ascii(), is_english, "{preferred}");
    }
}

#[tokio::test]
async fn a_pay_type_that_needs_the_buyers_address_names_it_where_it_is_unknown() {
    let request =
        || posted("/pay/createPayment").header("user-agent", PHONE).header("accept-language", "en");
    let peer = SocketAddr::from(([114, 114, 114, 114], 50_000));
    let known = create_as(request().extension(peer), &on_a_phone());
    let layer = open_layer().await;
    let answer = ask(&layer, known).await;
    assert_eq!((answer.status, &answer.body["pay_type"]), (200, &json!("wxpay_mweb")));

    let answer = ask(&layer, create_as(request(), &on_a_phone())).await;
    assert_eq!(answer.code(), (422, &json!(4004)));
    let text = answer.body["msg"].as_str().unwrap();
    assert!(text.contains("wxpay_mweb") && text.contains("PAYGATE_TRUSTED_PROXIES"), "{text}");

    let never_found =
        PaymentLayer::new(Shop::open().await.engine, Pricing::danger_trust_every_caller());
    let forwarded = request().header("x-forwarded-for", "114.114.114.114").extension(peer);
    let answer = ask(&never_found, create_as(forwarded, &on_a_phone())).await;
    assert_eq!(answer.code(), (422, &json!(4004)), "a header is no peer's address");
    let text = answer.body["msg"].as_str().unwrap();
    assert!(text.contains("peer_addr()") && !text.contains("PAYGATE_"), "{text}");

    let (trusting, _) = guarded().await;
    let trusting = trusting.peer_addr(|parts| parts.extensions.get::<SocketAddr>().copied());
    let backend = || authorised().header("accept-language", "en").extension(peer);
    let answer = ask(&trusting, create_as(backend(), &on_a_phone())).await;
    assert_eq!(answer.code(), (422, &json!(4004)), "the backend's address is not the buyer's");
    let text = answer.body["msg"].as_str().unwrap();
    assert!(text.contains("context.CLIENTIP") && !text.contains("PAYGATE_"), "{text}");
    let told = with(on_a_phone(), "/context/CLIENTIP", json!("114.114.114.114"));
    let answer = ask(&trusting, create_as(backend(), &told)).await;
    assert_eq!((answer.status, &answer.body["pay_type"]), (200, &json!("wxpay_mweb")));
}

#[tokio::test]
async fn a_backend_states_that_the_buyer_is_in_wechats_browser() {
    for (platform, pay_type) in [
        ("h5-weixin", "wxpay_h5-weixin"),
        ("H5-Weixin", "wxpay_h5-weixin"),
        ("h5", "wxpay_mweb"),
        ("web", "wxpay_mweb"),
        ("app-harmony", "wxpay_app-plus"),
        ("mp-weixin", "wxpay_mp-weixin"),
    ] {
        let (trusting, _) = guarded().await;
        let order = with(on_a_phone(), "/context/PLATFORM", json!(platform));
        let order = with(order, "/context/CLIENTIP", json!("114.114.114.114"));
        let order = with(order, "/data/openid", json!("oUpF8"));
        let answer = ask(&trusting, create_as(authorised(), &order)).await;
        assert_eq!(
            (answer.status, &answer.body["pay_type"]),
            (200, &json!(pay_type)),
            "{platform}"
        );
    }
    for platform in ["mp-baidu", "mp-toutiao", "quickapp-webview"] {
        let (trusting, _) = guarded().await;
        let order = with(on_a_phone(), "/context/PLATFORM", json!(platform));
        let answer = ask(&trusting, create_as(authorised(), &order)).await;
        assert_eq!(answer.code(), (422, &json!(4004)), "{platform}: it is no other platform");
    }
    let (trusting, _) = guarded().await;
    let mut at_a_pc = with(order(1), "/context/PLATFORM", json!("h5-weixin"));
    at_a_pc["isPC"] = json!(true);
    let answer = ask(&trusting, create_as(authorised(), &at_a_pc)).await;
    assert_eq!((answer.status, &answer.body["pay_type"]), (200, &json!("wxpay_h5")));
}

#[tokio::test]
async fn a_caller_without_the_token_learns_which_header_has_it() {
    let (layer, _) = guarded().await;
    let request = posted("/pay/createPayment").header("accept-language", "en");
    let answer = ask(&layer, create_as(request, &order(1))).await;
    let text = answer.body["msg"].as_str().unwrap();
    assert_eq!(answer.code(), (401, &json!(4005)));
    assert!(text.contains("Authorization") && text.contains("PAYGATE_CALLER_TOKEN"), "{text}");
}

/// A layer that wants the token, and its shop.
async fn guarded() -> (PaymentLayer, Shop) {
    let shop = Shop::open().await;
    let pricing = Pricing::caller_token(TOKEN).unwrap();
    (PaymentLayer::new(shop.engine.clone(), pricing).body_bytes_max(400), shop)
}

fn authorised() -> http::request::Builder {
    posted("/pay/createPayment").header("authorization", format!("Bearer {TOKEN}"))
}

#[tokio::test]
async fn checks_come_in_their_order() {
    let (layer, shop) = guarded().await;
    // Each of these breaks every rule from its own on.
    let unknown_pid = with(order(1), "/data/pid", json!("nobody"));
    let invalid = with(order(0), "/data/pid", json!("nobody"));
    let long = with(invalid.clone(), "/data/subject", json!("x".repeat(400)));
    let json = "application/json";
    let post = |kind: &str| Request::post("/pay/createPayment").header("content-type", kind);
    let token = format!("Bearer {TOKEN}");
    let posted = |kind: &str| post(kind).header("authorization", token.clone());
    let cases: [(_, Full<Bytes>, _); 9] = [
        (post("text/plain").header("host", "a,b"), long.to_string().into(), (400, 400)),
        (post("text/plain").method("GET"), long.to_string().into(), (405, 4000)),
        (post("text/plain"), long.to_string().into(), (401, 4005)),
        (post(json), "{".into(), (401, 4005)),
        (posted("text/plain"), long.to_string().into(), (415, 4000)),
        (posted(json), long.to_string().into(), (413, 4000)),
        (posted(json), "{".into(), (400, 4000)),
        (posted(json), invalid.to_string().into(), (422, 1003)),
        (authorised(), unknown_pid.to_string().into(), (422, 4003)),
    ];
    for (request, body, (status, code)) in cases {
        let answer = ask(&layer, request.body(body).unwrap()).await;
        assert_eq!(answer.code(), (status, &json!(code)));
    }
    assert_eq!(shop.creates(), 0);
}

/// A body that panics when it is read.
struct Unread;

impl http_body::Body for Unread {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        panic!("the body of a caller without the token was read");
    }
}

#[tokio::test]
async fn a_body_costs_no_work_without_the_token() {
    let (layer, _) = guarded().await;
    for path in ["/pay/createPayment", "/pay/queryPayment"] {
        let request = posted(path).body(Unread).unwrap();
        let response = layer.layer(Untouched).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let layer = open_layer().await;
    for path in ["/pay/createPayment", "/pay//createPayment"] {
        let answered = |method: &str| {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Full::<Bytes>::default()).unwrap();
            layer.layer(Untouched).oneshot(request)
        };
        let (got, head) = (answered("GET").await.unwrap(), answered("HEAD").await.unwrap());
        let length = got.into_body().size_hint().exact().unwrap();
        assert_eq!(head.headers()["content-length"], length.to_string(), "{path}");
        assert!(length > 0 && head.into_body().is_end_stream(), "{path}");
    }
}

#[tokio::test]
async fn a_payment_request_has_one_valid_host_or_none() {
    let layer = open_layer().await;
    let status = |hosts: &[&str]| {
        let request = hosts
            .iter()
            .fold(posted("/pay/createPayment"), |request, host| request.header("host", *host));
        ask(&layer, create_as(request, &order(1)))
    };
    assert_eq!(status(&[]).await.status, 200);
    assert_eq!(status(&["shop.example.com"]).await.status, 200);
    for hosts in [&["a", "b"][..], &["a", "a"], &["a b"], &["u@h"], &[""], &["evil.com/path"]] {
        let refused = status(hosts).await;
        assert_eq!(refused.code(), (400, &json!(400)), "{hosts:?}");
        assert_eq!(refused.body["error"], "bad_request");
    }
}

#[tokio::test]
async fn a_replay_needs_the_token_too() {
    let (layer, _) = guarded().await;
    assert_eq!(ask(&layer, create_as(authorised(), &order(1))).await.status, 200);
    let loopback = SocketAddr::from(([127, 0, 0, 1], 50_000));
    for request in [
        posted("/pay/createPayment"),
        posted("/pay/createPayment").extension(loopback),
        posted("/pay/createPayment")
            .header("authorization", "Bearer another-token-of-32-characters"),
        authorised().header("authorization", "Bearer x"),
    ] {
        let answer = ask(&layer, create_as(request, &order(1))).await;
        assert_eq!(answer.code(), (401, &json!(4005)));
        assert!(answer.header("www-authenticate").is_some());
        assert!(!answer.body.to_string().contains("codeUrl"));
    }
    let again = ask(&layer, create_as(authorised(), &order(1))).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
}
