//! The standalone program around the layer: listeners, the proxy behind it, health, drain.
//!
//! A request that is not a payment operation is proxied to the upstream ([`proxy`]). A second
//! listener answers health and admin requests ([`admin`]). Both bound slow and greedy clients, and
//! drain at shutdown ([`server`]).

mod activity;
pub mod alerts;
mod certificate_watch;
mod client_body;
mod connections;
mod exchange;
mod engine_slot;
mod inherited;
pub mod limit_counters;
mod process_mark;
mod rejected_head;
mod request_lines;
mod stream_stall;
pub mod descriptors;
pub mod admin;
pub mod chapters;
pub mod command;
pub mod exit;
pub mod health;
pub mod proxy;
pub mod server;
mod shutdown;
pub mod telemetry;
mod responses;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::net::TcpListener;
use tower_service::Service;

pub use self::engine_slot::EngineSlot;
pub use self::inherited::{InheritedSockets, ListenerName, ListenerSockets};
pub use self::proxy::body::ProxyBody;
pub use self::server::PeerAddr;
pub use self::shutdown::{ShutdownTrigger, ShutdownWatch, shutdown_channel};
pub use crate::config::help::text as help_text;
pub use crate::guard::schema;
pub use crate::layer::{DeferredPayments, DeferredSettings, PaymentSlot};

use self::admin::Admin;
use self::descriptors::ADMIN_CONNECTIONS;
use self::server::{ClientBody, Drain, Limits, ProcessMark, serve};
use crate::error::debug_like_display;

/// The sockets. The program binds them before anything else, so that it reports a taken port first.
#[derive(Debug)]
pub struct Listeners {
    public: TcpListener,
    admin: Option<TcpListener>,
}

impl Listeners {
    /// Binds the public address and, unless it is off, the admin one.
    ///
    /// # Errors
    ///
    /// The first address that cannot be bound, with its variable.
    pub async fn bind(
        public: SocketAddr,
        admin: Option<SocketAddr>,
    ) -> Result<Listeners, BindError> {
        Listeners::open(public, admin, &mut ListenerSockets::default()).await
    }

    /// As [`Listeners::bind`], but for the listeners whose sockets were inherited.
    ///
    /// # Errors
    ///
    /// As [`Listeners::bind`].
    pub async fn open(
        public: SocketAddr,
        admin: Option<SocketAddr>,
        inherited: &mut ListenerSockets,
    ) -> Result<Listeners, BindError> {
        let public = open(ListenerName::Public, public, inherited).await?;
        let admin = match admin {
            Some(addr) => Some(open(ListenerName::Admin, addr, inherited).await?),
            None => None,
        };
        Ok(Listeners { public, admin })
    }

    /// The public address; where the configuration has port 0, with the port that the system chose.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn public_addr(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The admin address, unless it is off.
    ///
    /// # Errors
    ///
    /// The operating system's error.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }
}

async fn open(
    name: ListenerName,
    addr: SocketAddr,
    inherited: &mut ListenerSockets,
) -> Result<TcpListener, BindError> {
    let variable = name.variable();
    match inherited.take(name).map(TcpListener::from_std) {
        None => bind(variable, addr).await,
        Some(socket) => socket.map_err(|source| BindError { variable, addr, source }),
    }
}

/// Binds `addr`, which `variable` names.
///
/// # Errors
///
/// [`BindError`], which names the variable to change.
pub async fn bind(variable: &'static str, addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| BindError { variable, addr, source })
}

/// The error of an address that cannot be bound.
pub struct BindError {
    variable: &'static str,
    addr: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot listen on {}: {}", self.variable, self.addr, self.source)?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str(". End the program that does, or name another address")
            }
            _ => f.write_str(". Name an address of this machine that its user may listen on"),
        }
    }
}

debug_like_display!(BindError);

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The running program's HTTP side.
#[derive(Debug)]
pub struct Sidecar<S> {
    /// The sockets.
    pub listeners: Listeners,
    /// The payment layer around the proxy.
    pub payments: S,
    /// The admin listener's service.
    pub admin: Admin,
    /// Bounds on clients.
    pub limits: Limits,
    /// The mark of the requests that the proxy forwards.
    pub mark: ProcessMark,
    /// How long requests in flight may continue after the shutdown begins.
    pub grace: Duration,
}

impl<S, B> Sidecar<S>
where
    S: Service<Request<ClientBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Serves until `until` completes. Then `trigger` begins the shutdown: the public listener
    /// closes, and `hand_over` finishes what the engine does and closes the store. As soon as that
    /// is done the admin listener closes and upgraded connections end, so that another process can
    /// have store and ports, while requests to the upstream go on until they are done or the grace
    /// period is over.
    pub async fn run(
        self,
        until: impl Future<Output = ()>,
        hand_over: impl Future<Output = ()>,
        trigger: ShutdownTrigger,
        stopping: ShutdownWatch,
    ) {
        let (handing_over, handed_over) = shutdown_channel();
        let public = async {
            let drain = Drain { stopping, handed_over: handed_over.clone(), grace: self.grace };
            let mark = self.mark.clone();
            serve(self.listeners.public, self.payments, self.limits.clone(), mark, drain).await;
        };
        let admin = async {
            if let Some(listener) = self.listeners.admin {
                let stopping = handed_over.clone();
                let handed_over = handed_over.clone();
                let drain = Drain { stopping, handed_over, grace: ADMIN_GRACE };
                let connections = self.limits.connections.min(ADMIN_CONNECTIONS);
                let limits = Limits { connections, ..self.limits.clone() };
                serve(listener, self.admin, limits, self.mark.clone(), drain).await;
            }
        };
        let end = async {
            until.await;
            tracing::info!("stopping");
            trigger.begin_shutdown();
            hand_over.await;
            tracing::info!("another process can have the store and the ports");
            handing_over.begin_shutdown();
        };
        tokio::join!(end, public, admin);
    }
}

/// The grace period of the admin listener: for a health probe in flight, and for the answers to
/// operations that the engine finished.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// Completes when the process receives SIGTERM or SIGINT, each from this call on. SIGHUP, which a
/// closing terminal sends, changes nothing.
///
/// # Errors
///
/// The operating system's error when no handler can be installed.
#[cfg(unix)]
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // As long as somebody listens to it, it does not end the process.
    let hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let _hangup = hangup;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A file that reaches its limit (`ulimit -f`) is then a disk without room, and does not end the
/// process (SIGXFSZ: setrlimit(2)).
///
/// # Errors
///
/// The operating system's error when no handler can be installed.
#[cfg(unix)]
pub fn survive_file_size_limit() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // The handler stays for the life of the process.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// No such limit is known here.
///
/// # Errors
///
/// None on this platform.
#[cfg(not(unix))]
pub fn survive_file_size_limit() -> io::Result<()> {
    Ok(())
}

/// Completes when the process receives Ctrl-C.
///
/// # Errors
///
/// None on this platform.
#[cfg(not(unix))]
pub fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
