//! The manual's blocks in other programming languages.
//!
//! JavaScript for the client is parsed, since it needs the platform that it is for; what a backend
//! runs is run. A language that is not on this machine is skipped.

use std::path::Path;

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
