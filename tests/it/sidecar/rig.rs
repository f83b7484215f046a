//! A sidecar on sockets of this machine, with the test as its upstream and its client. Both speak
//! bytes, so that a test sees what is on the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paygate::sidecar::admin::{Admin, AdminParts};
use paygate::sidecar::proxy::{Proxy, Upstream};
use paygate::sidecar::server::{Limits, ProcessMark};
use paygate::sidecar::{Listeners, Sidecar, shutdown_channel};
use paygate::{PaymentLayer, Pricing, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tower::Layer;

use crate::support::shop::Shop;

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The settings that a test may change.
pub(crate) struct Wanted {
    pub(crate) upstream: bool,
    pub(crate) trusted: &'static str,
    pub(crate) limits: Limits,
    pub(crate) grace: Duration,
    pub(crate) ready: bool,
    pub(crate) token: Option<Secret>,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted {
            upstream: true,
            trusted: "",
            limits: Limits::default(),
            grace: Duration::from_secs(60),
            ready: true,
            token: None,
        }
    }
}

pub(crate) struct Rig {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The shop whose engine runs the operations.
    pub(crate) shop: Shop,
    upstream: Option<TcpListener>,
    end: Option<oneshot::Sender<()>>,
    running: JoinSet<()>,
}

impl Rig {
    pub(crate) async fn start(wanted: Wanted) -> Rig {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let upstream = TcpListener::bind(any).await.unwrap();
        let url = format!("http://{}", upstream.local_addr().unwrap()).parse().unwrap();
        let trusted = wanted.trusted.parse().unwrap();
        let to = wanted.upstream.then(|| Upstream::from_url(&url).unwrap());
        let listeners = Listeners::bind(any, Some(any)).await.unwrap();
        let (public, admin) =
            (listeners.public_addr().unwrap(), listeners.admin_addr().unwrap().unwrap());
        let (trigger, stopping) = shutdown_channel();
        let shop = Shop::open().await;
        let pricing = Pricing::danger_trust_every_caller();
        let layer = PaymentLayer::new(shop.engine.clone(), pricing);
        let mark = ProcessMark::random();
        let counters = wanted.limits.counters.clone();
        let sidecar = Sidecar {
            listeners,
            payments: layer.layer(Proxy::new(to, trusted, wanted.limits.clone(), mark.clone())),
            mark,
            admin: Admin::new(AdminParts {
                engine: shop.engine.clone().into(),
                ready: Arc::new(move || Box::pin(async move { wanted.ready })),
                stopping: stopping.clone(),
                schemas: vec![("reply", "{}")],
                token: wanted.token,
                mount: "/pay".to_owned(),
                body_bytes_max: 1024,
                counters,
            }),
            limits: wanted.limits,
            grace: wanted.grace,
        };
        let (end, ended) = oneshot::channel::<()>();
        let until = async {
            let _ = ended.await;
        };
        let mut running = JoinSet::new();
        let engine = shop.engine.clone();
        let hand_over = async move { engine.shutdown().await };
        running.spawn(sidecar.run(until, hand_over, trigger, stopping));
        Rig { public, admin, shop, upstream: Some(upstream), end: Some(end), running }
    }

    /// A client.
    pub(crate) async fn client(&self) -> Wire {
        Wire::to(self.public).await
    }

    /// The upstream's end of the sidecar's next connection to it.
    pub(crate) async fn upstream(&self) -> Wire {
        let listener = self.upstream.as_ref().expect("the upstream is up");
        Wire(listener.accept().await.unwrap().0)
    }

    /// The upstream is no more.
    pub(crate) fn upstream_dies(&mut self) {
        self.upstream = None;
    }

    /// One request: what the upstream sees of its head, and what the client gets back for
    /// `response`.
    pub(crate) async fn exchange(&self, request: &str, response: &str) -> (String, String) {
        let mut client = self.client().await;
        client.send(request).await;
        let mut upstream = self.upstream().await;
        let seen = upstream.head().await;
        upstream.send(response).await;
        drop(upstream);
        (seen, client.message().await)
    }

    /// The whole answer to a request that does not reach the upstream.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.message().await
    }

    /// The whole answer of the admin listener.
    pub(crate) async fn ask_admin(&self, request: &str) -> String {
        let mut client = Wire::to(self.admin).await;
        client.send(request).await;
        client.message().await
    }

    /// Tells the program to end.
    pub(crate) fn end(&mut self) {
        let _ = self.end.take().expect("ends once").send(());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) {
        self.running.join_next().await.expect("runs").unwrap();
    }
}

/// One end of a connection, in bytes.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn to(addr: SocketAddr) -> Wire {
        Wire(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next bytes, up to and including `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end.as_bytes()) {
            let byte = self.0.read_u8().await;
            bytes.push(byte.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&bytes))
            }));
        }
        String::from_utf8(bytes).unwrap()
    }

    /// A message's head.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// A message whose head states its length, or which has no body.
    pub(crate) async fn message(&mut self) -> String {
        let head = self.head().await;
        let length = header(&head, "content-length").map_or(0, |it| it.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// Whatever comes until the other side closes. A reset is a close: it has dropped what it
    /// had not read.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = self.0.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..read]);
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// A header's value in a head; `None` if it is not there, both values if it is there twice.
pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(it, _)| it.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect();
    (!values.is_empty()).then(|| values.join(" | "))
}
