//! The log on standard error, and its reader.

use super::faults::code_url;
use super::{HANGS, Program, TempDir, ask, timeout};

/// Standard error is a pipe of 64 KiB, and nobody reads it after the start.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let dead = [("PAYGATE_UPSTREAM", "http://127.0.0.1:1")];
    let mut program = Program::start(TempDir::new().unwrap(), &dead).await;
    for n in 0..1_000 {
        let answer = ask(program.public(), &format!("GET /{n} HTTP/1.1\r\n"), "").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
    code_url(&program.create("2107151010101541001").await);
    assert_eq!(program.ready().await, 200);
    program.signal("TERM").await;
    let ended = timeout(HANGS, program.child.wait()).await.expect("it ends").unwrap();
    assert_eq!(ended.code(), Some(0));
}
