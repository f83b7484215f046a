//! Ten incidents acted out: the warnings and errors that an operator sees in the log, and the
//! heading of the runbook that a search for their words finds.

use std::fs::File;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use serde_json::{Value, json};

use super::alerts::Robot;
use super::faults::{code_url, library};
use super::{Program, TempDir, ask, run, text};

const ORDER: &str = "2107151010101541001";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The warnings and errors of a log, each text once: level, message, and the headings of `paygate
/// help operations` that a search for the line's words finds.
async fn alarms(log: &str) -> Vec<(String, String, String)> {
    let home = TempDir::new().unwrap();
    let runbook = text(&run(home.path(), &["help", "operations"], &[]).await.stdout);
    let mut alarms: Vec<(String, String, String)> = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (level, message) = (line["level"].as_str().unwrap(), line["message"].as_str().unwrap());
        let is_known = alarms.iter().any(|(_, known, _)| known == message);
        if ["WARN", "ERROR"].contains(&level) && !is_known {
            let headings = headings(&runbook, &line, message).join("; ");
            alarms.push((level.to_owned(), message.to_owned(), headings));
        }
    }
    alarms
}

/// The headings whose words stand in the line; and before them the first section with the words of
/// its message, up to a colon.
fn headings(runbook: &str, line: &Value, message: &str) -> Vec<String> {
    let words = message.split([':', ';']).next().unwrap();
    let sections: Vec<_> =
        runbook.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let named = sections.iter().find(|(heading, _)| heading.contains(words));
    let has_words = |text: &str| text.replace('\n', " ").contains(words);
    let mentioned = || sections.iter().find(|(_, text)| has_words(text));
    let (first, _) = named.or_else(mentioned).unwrap_or_else(|| panic!("nothing of {message:?}"));
    let line = line.to_string();
    let in_line = |heading: &&str| {
        heading.strip_prefix('`').is_some_and(|words| line.contains(words.trim_end_matches('`')))
    };
    let others = sections.iter().map(|(heading, _)| *heading).filter(in_line);
    let mut found = vec![(*first).to_owned()];
    found.extend(others.filter(|heading| heading != first).map(str::to_owned));
    found
}

/// paygate in mock mode, and a shop that accepts its events.
struct Shop {
    program: Program,
    _events: Robot,
}

impl Shop {
    async fn start(variables: &[(&str, &str)]) -> Shop {
        Shop::start_in(TempDir::new().unwrap(), variables).await
    }

    async fn start_in(home: TempDir, variables: &[(&str, &str)]) -> Shop {
        let events = Robot::start(&[r#"{"code":0}"#]).await;
        let url = events.url();
        let webhook = [("PAYGATE_WEBHOOK_URL", url.as_str()), ("PAYGATE_WEBHOOK_SECRET", SECRET)];
        let all: Vec<_> = webhook.into_iter().chain(variables.iter().copied()).collect();
        let program = Program::start(home, &all).await;
        Shop { program, _events: events }
    }

    async fn fault(&self, fault: Value) {
        let added = self.program.mock("POST", "faults", &fault).await;
        assert!(added["faults"].is_array(), "{added}");
    }

    async fn providers_ahead(&self, ms: i64) {
        self.program.mock("POST", "clock", &json!({ "ahead_ms": ms })).await;
    }

    /// Stops it, and compares the alarms of its log.
    async fn ends_with(self, expected: &[(&str, &str, &str)]) {
        self.program.signal("TERM").await;
        let log = self.program.ended().await.1;
        let mut found = alarms(&log).await;
        // Work in the background may find the fault, too, before it is over.
        let others = ["the store did not list ", "a warning about the configuration"];
        found.retain(|(_, message, _)| !others.iter().any(|other| message.starts_with(other)));
        let found: Vec<_> =
            found.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(found, expected, "{log}");
    }
}

#[tokio::test]
async fn a_wrong_serial_number_of_the_merchants_certificate() {
    let shop = Shop::start(&[]).await;
    let message = "商户证书序列号有误。请使用签名私钥匹配的证书序列号";
    let refuse = json!({"fault": "refuse", "code": "SIGN_ERROR", "message": message});
    shop.fault(refuse).await;
    let answer = shop.program.create(ORDER).await;
    assert!(answer.contains(message), "the developer reads it, too: {answer}");
    let heading = "`the provider refused an order`";
    shop.ends_with(&[("WARN", "the provider refused an order", heading)]).await;
}

/// In live mode, whose providers nobody calls here.
#[tokio::test]
async fn an_expired_certificate() {
    let generate = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (key, providers) = (generate(), generate());
    let certificate = |year| {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&key).unwrap().pem()
    };
    let (private_key, public_key) = (key.serialize_pem(), providers.public_key_pem());
    let caller = ("PAYGATE_CALLER_TOKEN", super::CALLER);
    for (year, alarm) in [(2025, true), (2099, false)] {
        let certificate = certificate(year);
        let variables = [
            ("PAYGATE_MODE", "live"),
            ("PAYGATE_STORE", "sqlite:p.db"),
            ("PAYGATE_PUBLIC_URL", "https://shop.example.com"),
            ("PAYGATE_PRICING", "trusted"),
            caller,
            ("PAYGATE_WXPAY_MCH_ID", "1900000001"),
            ("PAYGATE_WXPAY_APP_ID", "wx0123456789abcdef"),
            ("PAYGATE_WXPAY_PRIVATE_KEY", &private_key),
            ("PAYGATE_WXPAY_CERT", &certificate),
            ("PAYGATE_WXPAY_API_V3_KEY", "an-apiv3-key-of-32-characters-xx"),
            ("PAYGATE_WXPAY_PUBLIC_KEY", &public_key),
            ("PAYGATE_WXPAY_PUBLIC_KEY_ID", "PUB_KEY_ID_0119000000012026"),
        ];
        let shop = Shop::start_in(TempDir::new().unwrap(), &variables).await;
        let line = "a certificate needs a successor";
        let expected = [("ERROR", line, "`a certificate needs a successor`")];
        shop.ends_with(if alarm { &expected } else { &[] }).await;
    }
}

#[tokio::test]
async fn a_product_that_the_merchant_has_not_opened() {
    let shop = Shop::start(&[]).await;
    let refuse = json!({"fault": "refuse", "code": "NO_AUTH", "message": "商户无权限"});
    shop.fault(refuse).await;
    let answer = shop.program.create(ORDER).await;
    assert!(answer.contains("NO_AUTH"), "{answer}");
    let heading = "`the provider refused an order`";
    shop.ends_with(&[("WARN", "the provider refused an order", heading)]).await;
}

#[tokio::test]
async fn a_provider_that_is_down() {
    let shop = Shop::start(&[]).await;
    shop.fault(json!({"fault": "status_500", "times": 100})).await;
    for n in 1..=5 {
        shop.program.create(&format!("{ORDER}{n}")).await;
    }
    let down = "a provider failed 5 times in a row: paygate stops calling it for 5 s at a time, \
                until a call succeeds";
    shop.ends_with(&[
        (
            "WARN",
            "the outcome of a provider call is unknown",
            "`the outcome of a provider call is unknown`",
        ),
        ("WARN", "the provider gave no usable answer", "`paygate could not reach the provider`"),
        ("WARN", down, "`a provider failed 5 times in a row`"),
    ])
    .await;
}

#[tokio::test]
async fn a_shop_that_is_down_and_one_with_another_webhook_secret() {
    let refusing = Robot::start_with("401 Unauthorized", &["the signature is wrong"]).await;
    for url in ["http://127.0.0.1:1/", &refusing.url()] {
        let mut shop = Shop::start(&[("PAYGATE_WEBHOOK_URL", url)]).await;
        code_url(&shop.program.create(ORDER).await);
        shop.program.pay(ORDER).await;
        let line = "an event was not accepted";
        shop.program.until(line).await;
        shop.ends_with(&[("WARN", line, "`an event was not accepted`")]).await;
    }
}

#[tokio::test]
async fn a_clock_that_is_off() {
    let mut shop = Shop::start(&[]).await;
    shop.providers_ahead(600_000).await;
    shop.program.create(ORDER).await;
    shop.providers_ahead(0).await;
    let paid = format!("{ORDER}2");
    code_url(&shop.program.create(&paid).await);
    shop.providers_ahead(-600_000).await;
    shop.program.pay(&paid).await;
    shop.program.until("paygate rejected forged notifications").await;
    let clock = "`this machine's clock is`";
    let with_clock = |heading: &str| format!("{heading}; {clock}");
    shop.ends_with(&[
        (
            "WARN",
            "the outcome of a provider call is unknown",
            &with_clock("`the outcome of a provider call is unknown`"),
        ),
        (
            "WARN",
            "the provider gave no usable answer",
            &with_clock("`paygate could not reach the provider`"),
        ),
        (
            "WARN",
            "paygate rejected forged notifications",
            &with_clock("`paygate rejected forged notifications`"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_disk_that_is_full() {
    let faults = TempDir::new().unwrap();
    let Some(library) = library(faults.path(), "failing_disk").await else { return };
    let variables = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAILING_DISK", faults.path().to_str().unwrap()),
    ];
    let mut shop = Shop::start(&variables).await;
    let switch = faults.path().join("write");
    File::create(&switch).unwrap();
    shop.program.create(ORDER).await;
    std::fs::remove_file(&switch).unwrap();
    let again = "the disk has room again: paygate opened the store anew";
    shop.program.until(again).await;
    let room = "`nothing more is accepted: make room on its disk`";
    let failed = format!("`the store did not record an outcome`; {room}");
    shop.ends_with(&[
        ("ERROR", "the store failed before anything was sent", &failed),
        ("WARN", again, room),
    ])
    .await;
}

#[tokio::test]
async fn an_order_that_is_paid_twice() {
    for (policy, level, line) in [
        ("refund", "WARN", "a buyer paid a paid order again"),
        (
            "alert",
            "ERROR",
            "a buyer paid a paid or closed order: it is for an operator to refund that",
        ),
    ] {
        let mut shop = Shop::start(&[("PAYGATE_DUPLICATE", policy)]).await;
        // Nobody has scanned Alipay's code, which Alipay then cannot close.
        for provider in ["alipay", "wxpay"] {
            shop.program.create_by(provider, ORDER).await;
        }
        for provider in ["alipay", "wxpay"] {
            let purchase = json!({"provider": provider, "out_trade_no": ORDER});
            shop.program.mock("POST", "pay", &purchase).await;
        }
        shop.program.until(line).await;
        shop.ends_with(&[(level, line, "`payment.duplicate`, `payment.late`")]).await;
    }
}

#[tokio::test]
async fn a_restored_store() {
    const MOCK: [(&str, &str); 1] = [("PAYGATE_MODE", "mock")];
    let Shop { program, _events } = Shop::start(&[]).await;
    let home = program.home.path().to_owned();
    let backup = run(&home, &["backup", "copy.db"], &MOCK).await;
    assert_eq!(backup.status.code(), Some(0), "{}", text(&backup.stderr));
    code_url(&program.create(ORDER).await);
    let listen = program.public().to_string();
    program.signal("KILL").await;
    let home = program.killed().await;
    let restored = run(home.path(), &["restore", "copy.db"], &MOCK).await;
    assert_eq!(restored.status.code(), Some(0), "{}", text(&restored.stderr));
    // The notification comes to where the order was opened.
    let mut shop = Shop::start_in(home, &[("PAYGATE_LISTEN", &listen)]).await;
    shop.program.pay(ORDER).await;
    let line = "a provider reports a payment that belongs to no order";
    shop.program.until(line).await;
    shop.ends_with(&[
        ("WARN", "the store was restored: it lacks what came after the copy", "Restore a backup"),
        ("ERROR", line, "`payment.unmatched`"),
    ])
    .await;
}

#[tokio::test]
async fn a_wrong_public_key_of_the_provider() {
    let shop = Shop::start(&[]).await;
    shop.fault(json!({"fault": "bad_signature", "times": 10})).await;
    shop.program.create(ORDER).await;
    let with_key = |heading: &str| format!("{heading}; `the signature is wrong`");
    shop.ends_with(&[
        (
            "WARN",
            "the outcome of a provider call is unknown",
            &with_key("`the outcome of a provider call is unknown`"),
        ),
        (
            "WARN",
            "the provider gave no usable answer",
            &with_key("`paygate could not reach the provider`"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_merchant_that_was_taken_out_of_the_configuration() {
    let home = TempDir::new().unwrap();
    let merchants = home.path().join("merchants.json");
    std::fs::write(&merchants, r#"[{"_id": "m-001"}]"#).unwrap();
    let with = [("PAYGATE_MERCHANTS", merchants.to_str().unwrap())];
    let shop = Shop::start_in(home, &with).await;
    let body = json!({"provider": "wxpay", "needQRcode": true, "data": {"pid": "m-001",
        "out_trade_no": ORDER, "total_fee": 1, "subject": "tea", "type": "goods"}});
    let head = "POST /pay/createPayment HTTP/1.1\r\ncontent-type: application/json\r\n";
    code_url(&ask(shop.program.public(), head, &body.to_string()).await);
    let listen = shop.program.public().to_string();
    shop.program.signal("TERM").await;
    let home = shop.program.killed().await;
    let mut shop = Shop::start_in(home, &[("PAYGATE_LISTEN", &listen)]).await;
    shop.program.pay(ORDER).await;
    let stranded = "the store has orders of an account that no merchant has";
    let unknown = "notifications came for an unknown merchant";
    shop.program.until(unknown).await;
    let heading = format!("`{stranded}`");
    shop.ends_with(&[("ERROR", stranded, &heading), ("WARN", unknown, &heading)]).await;
}
