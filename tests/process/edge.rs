//! The program's connections and descriptors, as the operating system gives them.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{ADMIN, PROGRAM, Program, ask};

#[tokio::test]
async fn idle_connections_leave_descriptors_for_payments_and_health() {
    let limits = "ulimit -n 256 && ulimit -Sn 128 && exec \"$0\"";
    let shell = ["/bin/sh", "-c", limits, PROGRAM];
    let program = Program::start_as(&shell, TempDir::new().unwrap(), &[]).await;
    let id = program.child.id().expect("it runs");
    let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("256"), "the soft limit is the hard one");

    let mut idle = Vec::new();
    for addr in [program.public(), program.addresses[ADMIN]] {
        for _ in 0..300 {
            idle.push(TcpStream::connect(addr).await.unwrap());
        }
    }
    let answer = program.create("no-2107151010101541007").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(program.ready().await, 200);
    program.signal("TERM").await;
    let (_, log) = program.ended().await;
    let warnings = log.lines().filter(|line| line.contains("longest idle one")).count();
    assert_eq!(warnings, 2, "one for each listener:\n{log}");
    assert!(!log.contains("cannot accept"), "{log}");
}

#[tokio::test]
async fn an_upstream_that_leads_back_is_a_loop() {
    // A forwarder that the configuration cannot see through.
    let forwarder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", forwarder.local_addr().unwrap());
    let variables = [("PAYGATE_UPSTREAM", upstream.as_str())];
    let program = Program::start(TempDir::new().unwrap(), &variables).await;
    let public = program.public();
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        loop {
            let (mut from, _) = forwarder.accept().await.unwrap();
            let mut to = TcpStream::connect(public).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        }
    });
    let answer = ask(public, "GET /x HTTP/1.1\r\n", "").await;
    assert!(answer.starts_with("HTTP/1.1 508 ") && answer.contains("loop_detected"), "{answer}");
}

#[tokio::test]
async fn connections_have_keepalive() {
    let program = Program::start(TempDir::new().unwrap(), &[("PAYGATE_KEEPALIVE", "7s")]).await;
    let mut client = TcpStream::connect(program.public()).await.unwrap();
    client.write_all(b"GET /x HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    let mut byte = [0];
    client.read_exact(&mut byte).await.unwrap();
    // The accepted side's timer: 02 is keepalive (Linux, proc_net_tcp).
    let (local, remote) = (program.public().port(), client.local_addr().unwrap().port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let ends = [format!(":{local:04X}"), format!(":{remote:04X}")];
    let line = sockets.lines().find(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() > 5 && fields[1].ends_with(&ends[0]) && fields[2].ends_with(&ends[1])
    });
    let line = line.expect("the connection is open");
    let timer = line.split_whitespace().nth(5).unwrap();
    assert!(timer.starts_with("02:"), "{line}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_lack_of_descriptors_is_counted_and_ends_by_itself() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let program = Program::start(TempDir::new().unwrap(), &[]).await;
    let id = i32::try_from(program.child.id().expect("it runs")).unwrap();
    let limit = |current| {
        let limit = Rlimit { current: Some(current), maximum: Some(256) };
        prlimit(Pid::from_raw(id), Resource::Nofile, limit).unwrap();
    };
    // Whatever is open stays open.
    limit(3);
    let mut waiting = TcpStream::connect(program.public()).await.unwrap();
    waiting.write_all(b"GET /x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    limit(256);
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let metrics = ask(program.addresses[ADMIN], "GET /metrics HTTP/1.1\r\n", "").await;
    let counted = metrics.lines().find(|line| line.contains(r#"{limit="descriptors"}"#)).unwrap();
    assert!(!counted.ends_with(" 0"), "{counted}");
    program.signal("TERM").await;
    let (_, log) = program.ended().await;
    assert_eq!(log.matches("cannot accept a connection").count(), 1, "{log}");
}
