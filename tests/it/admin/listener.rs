//! The admin listener.

use paygate::Secret;
use paygate::manual::chapters;
use paygate::sidecar::health::is_ready;
use paygate::sidecar::limit_counters::Limit;

use crate::sidecar::rig::{Rig, Wanted, header};

const TOKEN: &str = "an-admin-token-of-thirty-two-characters";

#[track_caller]
fn check(got: &str, status: u16, body: &str) {
    assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
    assert!(got.split_once("\r\n\r\n").unwrap().1.contains(body), "{got}");
}

async fn get(rig: &Rig, path: &str) -> String {
    rig.ask_admin(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await
}

#[tokio::test]
async fn health_needs_no_token() {
    let rig = Rig::start(Wanted::default()).await;
    check(&get(&rig, "/livez").await, 200, "ok");
    check(&get(&rig, "/readyz").await, 200, "ok");
    check(&get(&rig, "/readyz?verbose").await, 200, "ok");
    check(&get(&rig, "/healthz").await, 404, "\"error\":\"not_found\"");
    check(&get(&rig, "/livez/").await, 404, "\"code\":404");
    let posted = rig.ask_admin("POST /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    check(&posted, 405, "method_not_allowed");
    assert_eq!(header(&posted, "allow").as_deref(), Some("GET, HEAD"));

    let unready = Rig::start(Wanted { ready: false, ..Wanted::default() }).await;
    check(&get(&unready, "/livez").await, 200, "ok");
    check(&get(&unready, "/readyz").await, 503, "not ready");
    assert!(is_ready(rig.admin).await);
    assert!(!is_ready(unready.admin).await);
}

#[tokio::test]
async fn a_head_request_to_health_has_no_body() {
    let rig = Rig::start(Wanted::default()).await;
    let request = "HEAD /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut client = crate::sidecar::rig::Wire::to(rig.admin).await;
    client.send(request).await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with("\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn without_a_listener_nothing_is_ready() {
    let mut rig = Rig::start(Wanted::default()).await;
    rig.end();
    rig.ended().await;
    assert!(!is_ready(rig.admin).await);
}

#[tokio::test]
async fn metrics_need_no_token_and_are_prometheus_text() {
    let rig = Rig::start(Wanted::default()).await;
    let got = get(&rig, "/metrics").await;
    let form = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(header(&got, "content-type").as_deref(), Some(form));
    for limit in Limit::ALL {
        let label = limit.label();
        check(&got, 200, &format!("\npaygate_limited_total{{limit=\"{label}\"}} 0\n"));
    }
    check(&got, 200, "# TYPE paygate_log_lines_dropped_total counter\n");
    check(&got, 200, "\npaygate_log_lines_dropped_total 0\n");
    let posted = rig.ask_admin("POST /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    check(&posted, 405, "method_not_allowed");
}

#[test]
fn the_manual_lists_the_limits_that_are_counted() {
    let runbook = chapters().find(|it| it.name == "operations").unwrap();
    let listed: Vec<&str> = runbook
        .text
        .lines()
        .skip_while(|line| *line != "## Metrics")
        .take_while(|line| *line != "## Stop and deploy")
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(limit, _)| limit)
        .collect();
    assert_eq!(listed, Limit::ALL.map(Limit::label));
}

#[tokio::test]
async fn schemas_need_no_token() {
    let rig = Rig::start(Wanted::default()).await;
    check(&get(&rig, "/schemas").await, 200, r#"{"schemas":["reply"]}"#);
    let schema = get(&rig, "/schemas/reply").await;
    check(&schema, 200, "{}");
    assert_eq!(header(&schema, "content-type").as_deref(), Some("application/schema+json"));
    check(&get(&rig, "/schemas/other").await, 404, "not_found");
}

async fn operate(rig: &Rig, authorization: &str) -> String {
    rig.ask_admin(&format!(
        "POST /pay/refund HTTP/1.1\r\nhost: x\r\n{authorization}content-length: 2\r\n\r\n{{}}"
    ))
    .await
}

#[tokio::test]
async fn operations_need_the_token() {
    let closed = Rig::start(Wanted::default()).await;
    check(&operate(&closed, "").await, 403, "admin_disabled");
    check(&operate(&closed, "authorization: Bearer \r\n").await, 403, "admin_disabled");

    let token = Some(Secret::new(TOKEN));
    let rig = Rig::start(Wanted { token, ..Wanted::default() }).await;
    check(&operate(&rig, "").await, 401, "\"code\":4005");
    check(&operate(&rig, "authorization: Bearer wrong\r\n").await, 401, "\"code\":4005");
    check(&operate(&rig, &format!("authorization: Basic {TOKEN}\r\n")).await, 401, "4005");
    let twice = format!("authorization: Bearer x\r\nauthorization: Bearer {TOKEN}\r\n");
    check(&operate(&rig, &twice).await, 401, "\"code\":4005");
    let right = operate(&rig, &format!("authorization: bearer {TOKEN}\r\n")).await;
    check(&right, 415, "\"code\":4000");
    check(&get(&rig, "/payments").await, 404, "not_found");
    check(&get(&rig, "/pay").await, 404, "not_found");
}
