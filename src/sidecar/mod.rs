//! The standalone program around the layer: listeners, the proxy behind it, health, drain.
//!
//! What is no payment operation passes through to the service behind ([`proxy`]); a second
//! listener answers health and admin requests ([`admin`]); both are bounded against slow and
//! greedy clients and drain when told ([`server`]).

mod activity;
pub mod admin;
pub mod health;
pub mod proxy;
pub mod server;
mod stop;
pub mod telemetry;
mod responses;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower_service::Service;

pub use self::proxy::body::ProxyBody;
pub use self::server::PeerAddr;
pub use self::stop::{Stop, Stopping, stop};

use self::admin::Admin;
use self::server::{Drain, Limits, serve};

/// The sockets, bound before anything else is done, so that a taken port is told first.
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
    /// The first address that cannot be had, with its variable.
    pub async fn bind(
        public: SocketAddr,
        admin: Option<SocketAddr>,
    ) -> Result<Listeners, BindError> {
        let public = bind("PAYGATE_LISTEN", public).await?;
        let admin = match admin {
            Some(addr) => Some(bind("PAYGATE_ADMIN_LISTEN", addr).await?),
            None => None,
        };
        Ok(Listeners { public, admin })
    }

    /// The public address; with port 0 asked for, the port that was given.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn public_addr(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The admin address, unless it is off.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub fn admin_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.admin.as_ref().map(TcpListener::local_addr).transpose()
    }
}

/// Binds `addr`, which `variable` names.
///
/// # Errors
///
/// Says which variable to change.
pub async fn bind(variable: &'static str, addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| BindError { variable, addr, source })
}

/// An address that cannot be had.
#[derive(Debug)]
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
    /// How long what is in flight may go on after the program was told to stop.
    pub grace: Duration,
}

impl<S, B> Sidecar<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Serves until `until` is done, and then until what is in flight is done or the grace
    /// period is over. `say_stop` is told in between; the admin listener goes last, so that
    /// `/readyz` can say that this one stops.
    pub async fn run(self, until: impl Future<Output = ()>, say_stop: Stop, stopping: Stopping) {
        if let Ok(addr) = self.listeners.public_addr() {
            tracing::info!(%addr, "serving payments");
        }
        if let Ok(Some(addr)) = self.listeners.admin_addr() {
            tracing::info!(%addr, "serving health and admin");
        }
        let (say_drained, drained) = stop();
        let public = async {
            let drain = Drain { stopping, grace: self.grace };
            serve(self.listeners.public, self.payments, self.limits, drain).await;
            say_drained.now();
        };
        let admin = async {
            if let Some(listener) = self.listeners.admin {
                let drain = Drain { stopping: drained, grace: ADMIN_GRACE };
                serve(listener, self.admin, self.limits, drain).await;
            }
        };
        let end = async {
            until.await;
            tracing::info!("stopping");
            say_stop.now();
        };
        tokio::join!(end, public, admin);
    }
}

/// For a health probe that is being answered.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// Is done when the process is told to end: SIGTERM or SIGINT, each from this call on.
///
/// # Errors
///
/// The operating system's, when it lets no handler be installed.
#[cfg(unix)]
pub fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Is done when the process is told to end: Ctrl-C.
///
/// # Errors
///
/// None here.
#[cfg(not(unix))]
pub fn told_to_end() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
