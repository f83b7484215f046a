//! The manual's blocks in other programming languages.
//!
//! JavaScript for the client is parsed, since it needs the platform that it is for; what a backend
//! runs is run. A language that is not on this machine is skipped.

use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paygate::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::blocks::{code_blocks, documents};
use super::{HANGS, Program, ask, text};

/// `whsec_` and 32 bytes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

const QUOTE_SECRET: &str = "canary-quote-secret-of-more-than-32-bytes";

#[tokio::test]
async fn javascript_in_the_manual_can_be_parsed() {
    let home = TempDir::new().unwrap();
    let mut parsed = 0;
    for (path, document) in documents() {
        for block in code_blocks(&document).iter().filter(|block| block.language == "js") {
            let file = home.path().join("block.mjs");
            std::fs::write(&file, &block.text).unwrap();
            let Some(output) = run("node", &["--check".as_ref(), &file]).await else { return };
            assert_eq!(output.1, "", "{path}:{}", block.line);
            parsed += 1;
        }
    }
    assert!(parsed > 10, "only {parsed} blocks were found");
}

#[tokio::test]
async fn a_quote_that_the_manuals_javascript_signs_sets_the_price() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("quote.mjs");
    let order = r#"const order = {number: "2107151010101541005", fen: 7, title: "tea"};"#;
    let secret = format!("process.env.PAYGATE_QUOTE_SECRET = '{QUOTE_SECRET}';");
    let signs = block("src/manual/pricing.md", "js");
    let script = format!("{order}\n{secret}\n{signs}\nprocess.stdout.write(quote);\n");
    std::fs::write(&file, script).unwrap();
    let Some((quote, errors)) = run("node", &[&file]).await else { return };
    assert_eq!(errors, "");
    let pricing = [("PAYGATE_PRICING", "quote"), ("PAYGATE_QUOTE_SECRET", QUOTE_SECRET)];
    let program = Program::start(TempDir::new().unwrap(), &pricing).await;
    let request = json!({
        "provider": "wxpay", "isPC": true, "quote": quote,
        "data": {"out_trade_no": "2107151010101541005"},
    });
    let head = "POST /pay/createPayment HTTP/1.1\r\ncontent-type: application/json\r\n";
    let answer = ask(program.public(), head, &request.to_string()).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["code"], &body["total_fee"]), (&json!(0), &json!(7)), "{body}");
}

#[tokio::test]
async fn the_manuals_python_takes_our_events_and_no_others() {
    check_receiver(
        "python3",
        "python",
        "import json, sys\nit = json.load(open(sys.argv[1]))\n\
         print(is_ours(it['secret'], it['headers'], it['body'].encode()))\n",
        ["True\n", "False\n"],
    )
    .await;
}

#[tokio::test]
async fn the_manuals_php_takes_our_events_and_no_others() {
    check_receiver(
        "php",
        "php",
        "$it = json_decode(file_get_contents($argv[1]), true);\n\
         var_dump(is_ours($it['secret'], $it['headers'], $it['body']));\n",
        ["bool(true)\n", "bool(false)\n"],
    )
    .await;
}

#[tokio::test]
async fn the_manuals_receivers_ship_a_paid_order() {
    for (language, program, arguments) in
        [("python", "python3", vec!["shop"]), ("php", "php", vec!["-S", "ADDRESS", "shop"])]
    {
        for chapter in ["src/manual/events.md", "src/manual/zh/events.md"] {
            let home = TempDir::new().unwrap();
            let blocks = code_blocks(&documents()[chapter]).into_iter();
            let blocks = blocks.filter(|block| block.language == language);
            let script: Vec<_> = blocks.map(|block| block.text).collect();
            std::fs::write(home.path().join("shop"), script.join("\n")).unwrap();
            let address = unused_address().await;
            let arguments = arguments.iter().map(|it| it.replace("ADDRESS", &address));
            let mut receiver = Command::new(program);
            receiver.args(arguments).current_dir(home.path()).kill_on_drop(true);
            receiver.env("PAYGATE_WEBHOOK_SECRET", SECRET);
            receiver.env("PORT", address.rsplit(':').next().unwrap());
            let receiver = receiver.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let Ok(mut receiver) = receiver else {
                println!("skipped: {program} is not on the PATH");
                continue;
            };
            let listens = async {
                while tokio::net::TcpStream::connect(&address).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(HANGS, listens).await.expect("the receiver listens");
            ship_one_order(&format!("http://{address}/")).await;
            receiver.start_kill().unwrap();
            let output = receiver.wait_with_output().await.unwrap();
            let printed = text(&output.stdout) + &text(&output.stderr);
            assert!(printed.contains("ship no-2107151010101541001 1"), "{chapter}: {printed}");
        }
    }
}

/// An order is paid, and the receiver at `url` accepts its event.
async fn ship_one_order(url: &str) {
    let webhook = [("PAYGATE_WEBHOOK_URL", url), ("PAYGATE_WEBHOOK_SECRET", SECRET)];
    let program = Program::start(TempDir::new().unwrap(), &webhook).await;
    program.create("no-2107151010101541001").await;
    let transaction_id = program.pay("no-2107151010101541001").await;
    let event = program.event(&transaction_id, |event| event["state"] != "pending").await;
    assert_eq!(event["state"], "accepted", "{event}");
}

/// An address on loopback that nobody listened at a moment ago.
async fn unused_address() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn the_manuals_cloud_function_handles_an_event_once_and_no_forged_one() {
    for chapter in ["src/manual/from_vk_uni_pay.md", "src/manual/zh/from_vk_uni_pay.md"] {
        let home = TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let blocks = code_blocks(&documents()[chapter]);
        let function = blocks.into_iter().find(|it| it.text.contains("exports.main =")).unwrap();
        file("index.js", &function.text);
        let config =
            format!("module.exports = () => ({{config: () => ({{webhookSecret: '{SECRET}'}})}})");
        file("node_modules/uni-config-center/index.js", &config);
        file("pay-notify/goods.js", GOODS);
        let body = r#"{"type":"payment.succeeded","data":{"type":"goods","out_trade_no":"1"}}"#;
        let now = SystemClock.now().0 / 1_000;
        let headers = json!({
            "webhook-id": "evt_1", "webhook-timestamp": now.to_string(),
            "webhook-signature": signature(&format!("evt_1.{now}.{body}")),
        });
        let event = json!({
            "headers": headers, "body": BASE64_STANDARD.encode(body), "isBase64Encoded": true,
        });
        let script = file("run.js", &UNI_CLOUD.replace("EVENT", &event.to_string()));
        let Some((out, errors)) = run("node", &[&script]).await else { return };
        assert_eq!(errors, "", "{chapter}");
        let [first, again, forged, calls] = out.lines().collect::<Vec<_>>()[..] else {
            panic!("{out}")
        };
        assert_eq!([first, again], [r#"200 {"code":0}"#; 2], "{chapter}");
        assert_eq!([forged, calls], [r#"401 {"code":1}"#, "1"], "{chapter}");
    }
}

/// A handler of vk-uni-pay that counts its calls.
const GOODS: &str = "
module.exports = async ({ data }) => {
  module.exports.calls += 1;
  return data.out_trade_no === '1';
};
module.exports.calls = 0;
";

/// uniCloud's database, and an event that comes twice and then changed.
const UNI_CLOUD: &str = "
const rows = new Map();
const collection = {
  doc: (id) => ({ get: async () => ({ data: rows.has(id) ? [rows.get(id)] : [] }) }),
  add: async (row) => rows.set(row._id, row),
};
globalThis.uniCloud = { database: () => ({ collection: () => collection }) };
const { main } = require('./index.js');
(async () => {
  const event = EVENT;
  for (const given of [event, event, { ...event, body: event.body.slice(4) }]) {
    const { statusCode, body } = await main(given);
    console.log(statusCode, body);
  }
  console.log(require('./pay-notify/goods').calls);
})();
";

/// Asserts that the manual's receiver in `language` accepts an event as paygate signs it, also
/// beside another signature, and neither a changed one nor an old one.
async fn check_receiver(program: &str, language: &str, call: &str, answers: [&str; 2]) {
    for chapter in ["src/manual/events.md", "src/manual/zh/events.md"] {
        let home = TempDir::new().unwrap();
        let script = home.path().join("receiver");
        std::fs::write(&script, block(chapter, language) + "\n" + call).unwrap();
        check_script(program, &script, answers).await;
    }
}

async fn check_script(program: &str, script: &Path, answers: [&str; 2]) {
    let home = TempDir::new().unwrap();
    let now = u64::try_from(SystemClock.now().0 / 1_000).unwrap();
    let body = r#"{"type":"payment.succeeded"}"#;
    let signature = |at: u64| signature(&format!("evt_1.{at}.{body}"));
    for (at, signatures, body, is_ours) in [
        (now, signature(now), body, true),
        (now, format!("v1,bm9uZQ== {}", signature(now)), body, true),
        (now, signature(now), r#"{"type":"refund.succeeded"}"#, false),
        (now - 301, signature(now - 301), body, false),
        (now, signature(now - 1), body, false),
    ] {
        let headers = json!({
            "webhook-id": "evt_1", "webhook-timestamp": at.to_string(),
            "webhook-signature": signatures,
        });
        let given = home.path().join("given.json");
        let request = json!({"secret": SECRET, "headers": headers, "body": body});
        std::fs::write(&given, request.to_string()).unwrap();
        let Some((out, errors)) = run(program, &[script, &given]).await else { return };
        assert_eq!(errors, "");
        assert_eq!(out, answers[usize::from(!is_ours)], "{signatures} of {body}");
    }
}

/// As Standard Webhooks signs (its "Signature scheme").
fn signature(signed: &str) -> String {
    let key = BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    format!("v1,{}", BASE64_STANDARD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
}

/// The first block in `language` of a document.
fn block(path: &str, language: &str) -> String {
    let blocks = code_blocks(&documents()[path]);
    let found = blocks.into_iter().find(|block| block.language == language);
    found.unwrap_or_else(|| panic!("{path} has no block in {language}")).text
}

/// What a program prints, and its errors; `None` where there is no such program.
async fn run(program: &str, arguments: &[&Path]) -> Option<(String, String)> {
    let output = Command::new(program).args(arguments).output();
    match timeout(HANGS, output).await.expect("it ends") {
        Ok(output) => Some((text(&output.stdout), text(&output.stderr))),
        Err(_) => {
            println!("skipped: {program} is not on the PATH");
            None
        }
    }
}
