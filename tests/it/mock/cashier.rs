//! The cashier page and the control operations over a socket, and a shop on another.

use paygate::mock::NotificationState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A mock, and its clock's shop.
async fn started() -> Mock {
    let listen = "127.0.0.1:0".parse().unwrap();
    let clock = Arc::new(FixedClock(Arc::new(AtomicI64::new(1_750_000_000_123))));
    Mock::start(MockConfig { listen, ledger_path: None, clock, time_scale: 60 }).await.unwrap()
}

/// Sends `head` and `body` as they are; the whole answer as text.
async fn raw(mock: &Mock, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(mock.addr()).await.unwrap();
    let length = body.len();
    let head = head.replace("{host}", &mock.addr().to_string());
    let text = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Orders `body`'s number over the socket's providers.
async fn order(mock: &Mock, body: &Value) {
    let path = format!("{ORDERS}/native");
    let request = wxpay_request(Millis(1_750_000_000_123), "POST", &path, &body.to_string());
    let reply = mock.in_process().send(request, Duration::from_secs(8)).await.unwrap();
    assert_eq!(reply.status(), 200);
}

#[tokio::test]
async fn the_cashier_page_runs_only_its_own_script_and_stands_in_no_other_page() {
    let mock = started().await;
    order(&mock, &native()).await;
    let qr = format!("/_mock/qr/wxpay/{NO}");
    for (path, media_type) in [
        ("/", "text/html"),
        ("/pay?with=unknown", "text/html"),
        ("/cashier.css", "text/css"),
        ("/cashier.js", "text/javascript"),
        ("/cashier.svg", "image/svg+xml"),
        (&qr, "image/svg+xml"),
        ("/_mock/cashier", "application/json"),
    ] {
        let answer = raw(&mock, &format!("GET {path} HTTP/1.1\r\nHost: {{host}}\r\n"), "").await;
        assert_eq!(status(&answer), 200, "{path}");
        let head = answer.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(head.contains(&format!("content-type: {media_type}")), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self';"));
        assert!(head.contains("frame-ancestors 'none'") && !head.contains("unsafe"));
        assert!(head.contains("x-content-type-options: nosniff"));
        assert!(!head.contains("access-control-allow"));
    }
    let page = raw(&mock, "GET / HTTP/1.1\r\nHost: {host}\r\n", "").await;
    for inline in ["<script>", "<style", " style=", "onclick", "javascript:", "http://", "https://"]
    {
        assert!(!page.contains(inline), "{inline}");
    }
    mock.shutdown().await;
}

#[tokio::test]
async fn the_cashier_sees_what_an_order_is_and_no_key() {
    let merchant = Merchant::new();
    let mut body = native();
    body["description"] = json!("<b>tea</b>");
    merchant.order("native", &body).await;
    let (_, view) = merchant.control("GET", "cashier", "").await;
    let seen = &view["orders"][0];
    assert_eq!((&seen["yuan"], &seen["state"]), (&json!("0.01"), &json!("unpaid")));
    assert_eq!((&seen["subject"], &seen["has_code"]), (&json!("<b>tea</b>"), &json!(true)));
    assert!(!view.to_string().contains(keys::API_V3_KEY));
    merchant.clock.0.fetch_add(8 * DAY_MS, Ordering::Relaxed);
    let (_, view) = merchant.control("GET", "cashier", "").await;
    assert_eq!(view["orders"][0]["is_payable"], false);
    for path in ["qr/wxpay/unknown", "qr/alipay/2107151010101541001", "qr/x/y", "qr/wxpay/%ff"] {
        assert_eq!(merchant.control("GET", path, "").await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_control_operations() {
    let mock = started().await;
    order(&mock, &native()).await;
    let pay = json!({ "provider": "wxpay", "out_trade_no": NO }).to_string();
    let json_type = "Content-Type: application/json\r\n";
    for (headers, expected) in [
        ("Host: {host}\r\n".to_owned(), 415),
        ("Host: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n".to_owned(), 415),
        ("Host: {host}\r\nContent-Type: text/plain; application/json\r\n".to_owned(), 415),
        (format!("Host: evil.example\r\n{json_type}"), 403),
        (format!("Host: 127.0.0.1.evil.example\r\n{json_type}"), 403),
        (format!("Host: 8.8.8.8\r\n{json_type}"), 403),
        (json_type.to_owned(), 403),
        (format!("Host: {{host}}\r\nOrigin: https://evil.example\r\n{json_type}"), 403),
        (format!("Host: {{host}}\r\nOrigin: null\r\n{json_type}"), 403),
    ] {
        let answer = raw(&mock, &format!("POST /_mock/pay HTTP/1.1\r\n{headers}"), &pay).await;
        assert_eq!(status(&answer), expected, "{headers}");
        assert_eq!(mock.in_process().orders()[0].state, State::Unpaid, "{headers}");
    }
    for path in ["/", "/pay?with=x", "/_mock/ledger", "/_mock/cashier", "/cashier.js"] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n");
        assert_eq!(status(&raw(&mock, &head, "").await), 403, "{path}");
    }
    let head = "OPTIONS /_mock/pay HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n";
    assert!(!raw(&mock, head, "").await.contains("ccess-control-allow"));
    let own = "Host: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n";
    let answer = raw(&mock, &format!("POST /_mock/pay HTTP/1.1\r\n{own}"), &pay).await;
    assert_eq!(status(&answer), 200, "{answer}");
    for host in ["localhost", "localhost:8789", "shop.localhost", "127.9.9.9:1", "[::1]:8789"] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n");
        assert_eq!(status(&raw(&mock, &head, "").await), 200, "{host}");
    }
    mock.shutdown().await;
}

/// A shop that answers each connection with the next of `answers`.
async fn shop(answers: &'static [&'static str]) -> (String, tokio::task::JoinSet<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notify", listener.local_addr().unwrap());
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 8192];
            let length = stream.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    (url, task)
}

#[tokio::test]
async fn a_payment_is_notified_over_the_network_and_the_answer_is_kept() {
    let (url, mut shop) = shop(&[
        "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlater",
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    ])
    .await;
    let mock = started().await;
    let mut body = native();
    body["notify_url"] = json!(url);
    order(&mock, &body).await;
    let with = PayWith::OutTradeNo(NO.to_owned());
    let providers = mock.in_process();
    providers.pay(&SimulatedPurchase { provider: ProviderId::Wxpay, with, payer: None }).unwrap();
    let notice = |tries| {
        let providers = providers.clone();
        let is = move |it: &NotificationState| {
            it.deliveries.iter().filter(|it| it.status.is_some()).count()
        };
        async move {
            loop {
                let notice = providers.orders()[0].payments[0].notification.clone();
                if is(&notice) == tries {
                    return notice;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let refused = notice(1).await;
    assert_eq!(
        (refused.deliveries[0].status, &*refused.deliveries[0].answer),
        (Some(503), "later")
    );
    providers.advance_ms(250);
    let acknowledged = notice(2).await;
    assert!(acknowledged.acknowledged.is_some() && acknowledged.due.is_none());
    let heads = shop.join_next().await.unwrap().unwrap();
    assert!(heads.iter().all(|it| it.starts_with("POST /notify HTTP/1.1\r\n")));
    assert!(heads.iter().all(|it| it.contains("wechatpay-signature: ")));
    mock.shutdown().await;
}

#[tokio::test]
async fn the_cashier_sees_what_went_back_and_what_is_left() {
    let merchant = Merchant::with_money().await;
    let back = json!({ "provider": "wxpay", "out_trade_no": NO, "amount": 30 }).to_string();
    assert_eq!(merchant.control("POST", "refund", &back).await.0, 200);
    let seen = |view: &Value| {
        let orders = view["orders"].as_array().unwrap().clone();
        orders.into_iter().find(|it| it["provider"] == "wxpay").unwrap()
    };
    let (_, view) = merchant.control("GET", "cashier", "").await;
    let order = seen(&view);
    assert_eq!((&order["state"], &order["payment"]["left"]), (&json!("paid"), &json!("0.70")));
    let refund = &order["payment"]["refunds"][0];
    assert_eq!((&refund["yuan"], &refund["state"]), (&json!("0.30"), &json!("PROCESSING")));
    merchant.providers.advance_ms(61_000);
    let (_, view) = merchant.control("GET", "cashier", "").await;
    let order = seen(&view);
    assert_eq!(
        (&order["state"], &order["payment"]["refunds"][0]["state"]),
        (&json!("part"), &json!("SUCCESS"))
    );
    let rest = json!({ "provider": "wxpay", "out_trade_no": NO }).to_string();
    assert_eq!(merchant.control("POST", "refund", &rest).await.0, 200);
    merchant.providers.advance_ms(3_000);
    let (_, view) = merchant.control("GET", "cashier", "").await;
    let order = seen(&view);
    assert_eq!((&order["state"], &order["payment"]["left"]), (&json!("refunded"), &json!("0.00")));
}
