//! A process hands its store and its ports over to the next one: early without inherited sockets,
//! without a refused connection with them.

use std::net::{SocketAddr, TcpListener as Socket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::faults::code_url;
use super::{ADMIN, HANGS, PROGRAM, Program, TOKEN, ask, command_line, mock_mode, text};

const HANDED_OVER: &str = "another process can have the store and the ports";
const WAITING: &str = "waiting for the store: payments get 5001 until then";
const SERVING: &str = "serving payments";

/// A service behind paygate that answers when the test wants it to.
struct Upstream(TcpListener);

impl Upstream {
    async fn open() -> Upstream {
        Upstream(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next request, whose head has come.
    async fn request(&self) -> TcpStream {
        let mut served = self.0.accept().await.unwrap().0;
        head(&mut served).await;
        served
    }
}

/// The head of a message.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A message whose head states its length.
async fn message(stream: &mut TcpStream) -> String {
    let head = head(stream).await;
    let length = head.to_lowercase();
    let length = length.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0;
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    timeout(HANGS, stream.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
    String::from_utf8(rest).unwrap()
}

async fn connected(addr: SocketAddr, sent: &str) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(sent.as_bytes()).await.unwrap();
    client
}

/// The refusal for the next process to serve: 5001, with `Retry-After`.
fn check_refused(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nretry-after: "), "{answer}");
    assert!(answer.contains("\"code\":5001"), "{answer}");
}

/// The variable that names the store of the process whose directory is `home`.
fn store_in(home: &Path) -> String {
    format!("sqlite:{}", home.join("paygate-mock.db").display())
}

#[tokio::test]
async fn a_process_that_stops_hands_over_before_slow_requests_and_websockets_end() {
    let upstream = Upstream::open().await;
    let (upstream_url, no) = (upstream.url(), "no-2107151010101541101");
    let variables = [("PAYGATE_UPSTREAM", upstream_url.as_str())];
    let mut first = Program::start(TempDir::new().unwrap(), &variables).await;
    let paid_with = code_url(&first.create(no).await);
    let addr = first.public();
    let upgrade =
        "GET /ws HTTP/1.1\r\nhost: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let mut websocket = connected(addr, upgrade).await;
    let mut service = upstream.request().await;
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\
                    \r\n\r\n";
    service.write_all(switched.as_bytes()).await.unwrap();
    head(&mut websocket).await;
    let mut slow = connected(addr, "GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    let mut served = upstream.request().await;
    let payment = "POST /pay/createPayment HTTP/1.1\r\ncontent-type: application/json\r\n";
    let mut half_a_head = connected(addr, payment).await;
    let without_body = format!("{payment}host: shop\r\ncontent-length: 9\r\n\r\n");
    let mut without_body = connected(addr, &without_body).await;
    // It was accepted after these.
    ask(addr, "GET /pay/createpayment HTTP/1.1\r\n", "").await;

    first.signal("TERM").await;
    first.until(HANDED_OVER).await;
    let home = first.home.path().to_owned();
    let (public, admin, store) =
        (addr.to_string(), first.addresses[ADMIN].to_string(), store_in(&home));
    let variables = [
        ("PAYGATE_LISTEN", public.as_str()),
        ("PAYGATE_ADMIN_LISTEN", admin.as_str()),
        ("PAYGATE_STORE", store.as_str()),
    ];
    let second = Program::start(TempDir::new().unwrap(), &variables).await;
    assert_eq!(second.ready().await, 200);
    assert_eq!(code_url(&second.create(no).await), paid_with, "the same store");
    assert_eq!(rest(&mut websocket).await, "", "the tunnel has ended");
    half_a_head.write_all(b"host: shop\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    check_refused(&message(&mut half_a_head).await);
    check_refused(&message(&mut without_body).await);
    assert!(first.child.try_wait().unwrap().is_none(), "the slow request goes on");

    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
    served.write_all(response).await.unwrap();
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("done"), "{answer}");
    let (ended, log) = first.ended().await;
    assert_eq!(ended.code(), Some(0));
    // The clients above have not closed their connections.
    assert!(!log.contains("after the grace period") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn clients_that_connect_between_two_processes_are_answered() {
    let (public, admin) = (socket(), socket());
    let addr = public.local_addr().unwrap();
    let configured = [socket(), socket()].map(|used| (used.local_addr().unwrap(), used));
    let in_use = configured.each_ref().map(|(addr, _)| addr.to_string());
    // They are not bound, so that it does not matter that they are in use.
    let variables = [("PAYGATE_LISTEN", in_use[0].as_str()), ("PAYGATE_ADMIN_LISTEN", &in_use[1])];
    let sockets = [&public, &admin];
    let mut first = inheriting(&sockets, "public:admin", &variables).await;
    first.until(ADMIN).await;
    assert_eq!((first.public(), first.addresses[ADMIN]), (addr, admin.local_addr().unwrap()));
    assert!(first.logged.contains("inherited a listening socket"), "{}", first.logged);
    let paid_with = code_url(&first.create("no-2107151010101541102").await);
    let store = store_in(first.home.path());
    // Its first request comes while the process stops.
    let early = TcpStream::connect(addr).await.unwrap();
    code_url(&first.create("no-2107151010101541102").await);
    first.signal("TERM").await;
    first.until("stopping").await;
    let request = "GET /x HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    let mut early = early;
    early.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut early).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(connected(addr, request).await);
    }
    let home = first.child.wait().await.map(|ended| (ended, first.home)).unwrap();
    assert_eq!(home.0.code(), Some(0));
    let health = connected(admin.local_addr().unwrap(), "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut health = health.await;

    // In any order, by their names.
    let variables = [("PAYGATE_STORE", store.as_str())];
    let mut second = inheriting(&[&admin, &public], "admin:public", &variables).await;
    second.until(ADMIN).await;
    for mut client in waiting {
        let answer = rest(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    assert!(head(&mut health).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(code_url(&second.create("no-2107151010101541102").await), paid_with);
}

#[tokio::test]
async fn with_inherited_sockets_a_process_waits_for_the_store_and_forwards_meanwhile() {
    let upstream = Upstream::open().await;
    let mut first = Program::start(TempDir::new().unwrap(), &[]).await;
    let paid_with = code_url(&first.create("no-2107151010101541103").await);
    let (public, mock, store) = (socket(), socket(), store_in(first.home.path()));
    let upstream_url = upstream.url();
    let variables = [
        ("PAYGATE_STORE", store.as_str()),
        ("PAYGATE_UPSTREAM", &upstream_url),
        ("PAYGATE_ADMIN_TOKEN", TOKEN),
    ];
    let mut second = inheriting(&[&public, &mock], "public:mock", &variables).await;
    second.until(ADMIN).await;
    assert!(second.logged.contains(WAITING), "{}", second.logged);
    assert!(!second.logged.contains(SERVING), "{}", second.logged);
    second.addresses.insert(SERVING.to_owned(), public.local_addr().unwrap());
    check_refused(&second.create("no-2107151010101541104").await);
    let json = "content-type: application/json\r\n";
    let refund = format!("POST /pay/refund HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n{json}");
    check_refused(&ask(second.addresses[ADMIN], &refund, "{\"out_trade_no\":\"no-1234\"}").await);
    let notification = "POST /pay/notify/wxpay/wxpay_h5/default HTTP/1.1\r\n";
    let answer = ask(second.public(), notification, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(second.ready().await, 503);
    let mut client =
        connected(second.public(), "GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
    upstream.request().await.write_all(response).await.unwrap();
    assert!(rest(&mut client).await.ends_with("done"));

    first.signal("TERM").await;
    second.until(SERVING).await;
    assert_eq!(second.ready().await, 200);
    assert_eq!(code_url(&second.create("no-2107151010101541103").await), paid_with);
    let providers = mock.local_addr().unwrap();
    let ledger = ask(providers, "GET /_mock/ledger HTTP/1.1\r\n", "").await;
    let ledger: Value = serde_json::from_str(ledger.split_once("\r\n\r\n").unwrap().1).unwrap();
    let orders = ledger["orders"].as_array().unwrap();
    let numbers: Vec<_> = orders.iter().map(|it| it["out_trade_no"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["no-2107151010101541103"], "what was refused was not sent");
    assert_eq!(first.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_process_that_waits_for_the_store_ends_at_a_signal_and_when_it_waited_too_long() {
    let first = Program::start(TempDir::new().unwrap(), &[]).await;
    let store = store_in(first.home.path());
    let public = socket();
    let variables = [("PAYGATE_STORE", store.as_str())];
    let mut stopped = inheriting(&[&public], "", &variables).await;
    stopped.until(WAITING).await;
    stopped.signal("TERM").await;
    assert_eq!(stopped.ended().await.0.code(), Some(0));
    let variables = [("PAYGATE_STORE", store.as_str()), ("PAYGATE_SHUTDOWN_GRACE", "1ms")];
    let mut late = inheriting(&[&public], "paygate.socket", &variables).await;
    late.until(WAITING).await;
    let (ended, log) = late.ended().await;
    assert_eq!(ended.code(), Some(69), "{log}");
    assert!(log.contains(&format!("is held by process {}", first.child.id().unwrap())), "{log}");
}

/// The sockets' names, other variables, and words of the problem.
#[tokio::test]
async fn sockets_that_cannot_be_inherited_are_problems_of_the_configuration() {
    let listening = socket();
    let peer = TcpStream::connect(listening.local_addr().unwrap()).await.unwrap();
    let peer = OwnedFd::from(peer.into_std().unwrap());
    let everywhere = Socket::bind("0.0.0.0:0").unwrap();
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let listens = || OwnedFd::from(listening.try_clone().unwrap());
    let off = ("PAYGATE_ADMIN_LISTEN", "off");
    let cases = [
        (file(), "1", "public", off, "LISTEN_FDS: passes the descriptor 3 (`public`), which is no"),
        (peer, "1", "public", off, "(`public`), which is a TCP socket that does not listen"),
        (listens(), "4", "", off, "LISTEN_FDS: passes 4 sockets"),
        (listens(), "3", "", off, "this configuration has 2 listeners: public, mock"),
        (listens(), "1", "web", off, "LISTEN_FDNAMES: names no listener: `web`"),
        (listens(), "1", "admin", off, "this configuration does not have: `admin`"),
        (everywhere.into(), "1", "public", off, "PAYGATE_LISTEN: is beyond loopback"),
    ];
    for (descriptor, count, names, variable, words) in cases {
        let mut variables = mock_mode();
        variables.extend([variable, ("LISTEN_FDS", count), ("LISTEN_FDNAMES", names)]);
        let variables: Vec<_> = variables.into_iter().collect();
        let home = TempDir::new().unwrap();
        let mut shell = command_line(&["/bin/sh", "-c", INHERIT, PROGRAM], home.path(), &variables);
        let ended = timeout(HANGS, shell.stdin(descriptor).output()).await.unwrap().unwrap();
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(64), "{words}: {stderr}");
        assert!(stderr.contains(words), "{words}: {stderr}");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing was created");
    }
}

/// Starts a program with its standard input and output as the descriptors 3 and 4.
const INHERIT: &str =
    "exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_PID=$$; exec \"$0\" serve";

/// A socket that listens, as the program would inherit it from systemd.
fn socket() -> Socket {
    Socket::bind("127.0.0.1:0").unwrap()
}

/// Starts the program with at most two sockets; it has logged nothing yet.
async fn inheriting(sockets: &[&Socket], names: &str, variables: &[(&str, &str)]) -> Program {
    let count = sockets.len().to_string();
    let mut all = mock_mode();
    all.extend([("LISTEN_FDS", count.as_str()), ("LISTEN_FDNAMES", names)]);
    all.extend(variables.iter().copied());
    let all: Vec<_> = all.into_iter().collect();
    let home = TempDir::new().unwrap();
    let passed = |n: usize| match sockets.get(n) {
        Some(socket) => Stdio::from(OwnedFd::from(socket.try_clone().unwrap())),
        None => Stdio::null(),
    };
    let mut child = command_line(&["/bin/sh", "-c", INHERIT, PROGRAM], home.path(), &all)
        .stdin(passed(0))
        .stdout(passed(1))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = tokio::io::AsyncBufReadExt::lines(BufReader::new(child.stderr.take().unwrap()));
    Program { home, child, log, logged: String::new(), addresses: Default::default() }
}
