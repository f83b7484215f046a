//! A price that the shop's own service sets over HTTP, as configured.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use paygate::{Config, Engine, PaymentLayer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{NO, OTHER_NO, client, paths, price, request, send};
use crate::layer::{ask, create_as};

/// The shop's service: answers every request alike, and keeps what it was asked.
struct Service {
    addr: SocketAddr,
    answer: Arc<Mutex<String>>,
    seen: Arc<Mutex<Vec<String>>>,
    _running: JoinSet<()>,
}

impl Service {
    async fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (answer, seen) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut running = JoinSet::new();
        let (to_tell, asked) = (answer.clone(), seen.clone());
        running.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let question = read(&mut stream).await;
                asked.lock().unwrap().push(question);
                let answer = to_tell.lock().unwrap().clone();
                stream.write_all(answer.as_bytes()).await.unwrap();
                // Silence keeps the connection open.
                held.extend(answer.is_empty().then_some(stream));
            }
        });
        Service { addr, answer, seen, _running: running }
    }

    fn answers(&self, status: &str, body: &str) {
        let length = body.len();
        self.answers_bytes(format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ));
    }

    fn answers_bytes(&self, bytes: String) {
        *self.answer.lock().unwrap() = bytes;
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// A request's head and body.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(bytes).unwrap();
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// paygate in mock mode, asking at `url`.
async fn paygate(url: &str) -> (Engine, PaymentLayer) {
    let set = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let variables = [
        ("PAYGATE_MODE", "mock"),
        ("PAYGATE_STORE", "memory:"),
        ("PAYGATE_MOCK_LISTEN", "127.0.0.1:0"),
        ("PAYGATE_PRICING", "callback"),
        ("PAYGATE_PRICING_URL", url),
        ("PAYGATE_CALL_TIMEOUT", "300ms"),
    ];
    let variables: std::collections::BTreeMap<_, _> = variables.into_iter().map(set).collect();
    Config::read(&variables).unwrap().start().await.unwrap()
}

async fn beside(service: &Service) -> (Engine, PaymentLayer) {
    paygate(&format!("http://{}/price?key=canary", service.addr)).await
}

fn data(fields: Value) -> String {
    json!({"data": fields, "code": 0}).to_string()
}

#[tokio::test]
async fn the_service_is_called_by_post_with_the_buyers_credentials() {
    let service = Service::start().await;
    let (engine, layer) = beside(&service).await;
    let layer = layer.peer_addr(|parts| parts.extensions.get::<SocketAddr>().copied());
    service.answers("200 OK", &data(price(NO, json!({"custom": {"cart": 7}}))));
    let mut body = client(NO, json!({"total_fee": 100}));
    body["context"]["CLIENTIP"] = json!("1.2.3.4");
    let known = request()
        .header("authorization", "Bearer session")
        .header("cookie", "sid=1")
        .header("user-agent", "a phone")
        .header("x-request-id", "trace-1")
        .header("x-other", "kept")
        .extension(SocketAddr::from(([114, 114, 114, 114], 50_000)));
    let answer = ask(&layer, create_as(known, &body)).await;
    assert_eq!((answer.code(), &answer.body["total_fee"]), ((200, &json!(0)), &json!(100)));

    let [seen] = &service.seen()[..] else { panic!("it is asked once") };
    let (head, asked) = seen.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /price?key=canary HTTP/1.1\r\n"), "{head}");
    for line in ["authorization: Bearer session", "cookie: sid=1", "content-type: application/json"]
    {
        assert_eq!(head.lines().filter(|it| *it == line).count(), 1, "{line} in {head}");
    }
    assert!(!head.contains("kept"), "{head}");
    let asked: Value = serde_json::from_str(asked).unwrap();
    let expected = json!({
        "operation": "createPayment", "provider": "wxpay", "isPC": true, "needQRcode": false,
        "data": {"out_trade_no": NO, "total_fee": 100},
        "context": {"CLIENTIP": "114.114.114.114", "CLIENTUA": "a phone", "PLATFORM": "h5",
                    "SOURCE": "http", "requestId": "trace-1"},
    });
    assert_eq!(asked, expected);

    // Every repeat calls the service again, with its own credentials.
    let again = send(&layer, &client(NO, json!({}))).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    let [seen] = &service.seen()[..] else { panic!("a repeat is asked for, too") };
    assert!(!seen.contains("Bearer") && !seen.contains("sid="), "{seen}");
    service.answers("404 Not Found", r#"{"code":40401,"msg":"no such order"}"#);
    let other_client = send(&layer, &client(NO, json!({}))).await;
    assert_eq!(other_client.code(), (404, &json!(40_401)));
    engine.shutdown().await;
}

#[tokio::test]
async fn the_services_refusal_is_the_clients_answer_and_anything_else_is_none() {
    let service = Service::start().await;
    let (engine, layer) = beside(&service).await;
    let good = data(price(NO, json!({})));
    let long = data(price(NO, json!({"user_id": "x".repeat(65_536)})));
    let refusal = r#"{"code":40301,"msg":"sold out","data":{},"debug":"canary"}"#;
    let cases = [
        ("403 Forbidden", refusal, (403, 40_301)),
        ("404 Not Found", refusal, (404, 40_301)),
        ("422 Unprocessable", r#"{"code":-1.0,"msg":""}"#, (422, -1)),
        ("403 Forbidden", "<html>canary</html>", (503, 5001)),
        ("404 Not Found", "", (503, 5001)),
        ("404 Not Found", r#"{"message":"canary"}"#, (503, 5001)),
        ("400 Bad Request", r#"{"code":"E_CANARY","msg":"x"}"#, (503, 5001)),
        ("400 Bad Request", r#"{"code":1,"code":2,"msg":"x"}"#, (503, 5001)),
        ("403 Forbidden", r#"{"code":0,"msg":"ok"}"#, (503, 5001)),
        ("500 Internal Server Error", refusal, (503, 5001)),
        ("500 Internal Server Error", &good, (503, 5001)),
        ("502 Bad Gateway", "canary", (503, 5001)),
        ("200 OK", "", (503, 5001)),
        ("200 OK", "canary", (503, 5001)),
        ("200 OK", "{}", (503, 5001)),
        ("200 OK", r#"{"data":null}"#, (503, 5001)),
        ("200 OK", r#"{"data":[]}"#, (503, 5001)),
        ("200 OK", refusal, (503, 5001)),
        ("200 OK", &good.replace("\"code\":0", "\"code\":5"), (503, 5001)),
        ("200 OK", &long, (503, 5001)),
        ("200 OK", &data(price(OTHER_NO, json!({}))), (503, 5001)),
        ("200 OK", &data(price(NO, json!({"subject": null}))), (503, 5001)),
        ("200 OK", &data(price(NO, json!({"total_fee": "100"}))), (422, 1003)),
        ("200 OK", &data(price(NO, json!({"pid": "nobody"}))), (422, 4003)),
    ];
    for (status, body, (expected, code)) in cases {
        service.answers(status, body);
        let answer = send(&layer, &client(NO, json!({}))).await;
        assert_eq!(answer.code(), (expected, &json!(code)), "{status} {body}");
        assert_eq!(answer.header("retry-after").is_some(), expected == 503, "{status} {body}");
        assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
        assert_eq!(service.seen().len(), 1, "{status} {body}: it is asked once");
    }
    service.answers("201 Created", &good);
    let contradicting = send(&layer, &client(NO, json!({"total_fee": 1}))).await;
    assert_eq!(contradicting.code(), (422, &json!(4102)));
    assert_eq!(paths(&contradicting), ["/data/total_fee"]);
    assert_eq!(send(&layer, &client(NO, json!({}))).await.code(), (200, &json!(0)));
    engine.shutdown().await;
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let service = Service::start().await;
    let other = Service::start().await;
    other.answers("200 OK", &data(price(NO, json!({}))));
    let (engine, layer) = beside(&service).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        service.answers_bytes(format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\nlocation: http://{}/\r\n\
             content-length: 0\r\n\r\n",
            other.addr
        ));
        let answer = send(&layer, &client(NO, json!({}))).await;
        assert_eq!(answer.code(), (503, &json!(5001)), "{status}");
    }
    assert_eq!(other.seen().len(), 0);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_or_at_all_sets_no_price() {
    let service = Service::start().await;
    let (engine, layer) = beside(&service).await;
    for never_whole in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"]
    {
        service.answers_bytes(never_whole.to_owned());
        let answer = send(&layer, &client(NO, json!({}))).await;
        assert_eq!(answer.code(), (503, &json!(5001)), "{never_whole:?}");
    }
    engine.shutdown().await;

    let closed_address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (engine, layer) = paygate(&format!("http://{closed_address}/")).await;
    let answer = send(&layer, &client(NO, json!({}))).await;
    assert_eq!(answer.code(), (503, &json!(5001)));
    assert!(!answer.body.to_string().contains(&closed_address.to_string()), "{}", answer.body);
    engine.shutdown().await;
}
