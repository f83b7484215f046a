//! WeChat Pay V3 and Alipay, simulated: their protocols, their rules, real signatures, no money.
//!
//! [`Mock`] serves both on a socket; [`InProcess`] is the same without one. They check the
//! merchant's signature, sign their replies with keys of their own ([`keys`]), refuse what the
//! providers refuse, and keep a ledger of what they know. Faults happen on demand. A buyer acts
//! through the control operations under `/_mock/` or through [`InProcess`].
//!
//! ```
//! use std::sync::Arc;
//! use paygate::clock::SystemClock;
//! use paygate::domain::channel::ProviderId;
//! use paygate::mock::{InProcess, PayWith, Purchase};
//!
//! let providers = InProcess::open(None, Arc::new(SystemClock))?;
//! let with = PayWith::OutTradeNo("2107151010101541001".to_owned());
//! let purchase = Purchase { provider: ProviderId::Wxpay, with, payer: None };
//! assert_eq!(providers.pay(&purchase).unwrap_err().code, "ORDER_NOT_EXIST");
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod keys;

mod buyer;
mod cashier;
mod in_process;

mod wxpay;

mod alipay;

mod reply;
mod sign;
mod deliver;
mod http;
mod notifier;
mod operator;
mod world;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

pub use buyer::{Declined, PayWith, Purchase};
pub use in_process::InProcess;
pub use notifier::Notification;
pub use operator::{ConsoleRefund, ConsoleTold, RefundEnd};
pub use world::balance::{Balance, Money};
pub use world::faults::{Fault, FaultKind, Operation, Refuse};
pub use world::ledger::{Offer, Order, Payment, State, Terms};
pub use world::notice::{DELIVERIES_MAX, Delivery, Forgery, Notice};
pub use world::refund::{Refund, Refunding};

use crate::clock::Clock;

/// A minute of the providers is a second.
pub const HURRY: u32 = 60;

/// How a [`Mock`] runs.
#[derive(Clone, Debug)]
pub struct MockConfig {
    /// Where it listens. Port 0 is any free one.
    pub listen: SocketAddr,
    /// The ledger's file; in memory when absent.
    pub ledger_path: Option<PathBuf>,
    /// What it reads the time from.
    pub clock: Arc<dyn Clock>,
    /// What the providers' real waits between notifications are divided by: [`HURRY`] lets a
    /// person see them.
    pub hurry: u32,
}

/// The simulated providers on a socket. Dropped, it stops at once.
#[derive(Debug)]
pub struct Mock {
    addr: SocketAddr,
    providers: InProcess,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Mock {
    /// Opens the ledger, binds and serves.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or the ledger's file cannot be read or written, holds
    /// something else, or is another mock's.
    pub async fn start(config: MockConfig) -> io::Result<Mock> {
        let providers = InProcess::open(config.ledger_path.as_deref(), config.clock)?;
        providers.hurry(config.hurry);
        let listener = TcpListener::bind(config.listen).await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(deliver::deliver(providers.clone(), stopped.clone()));
        tasks.spawn(http::server::serve(listener, providers.clone(), stopped));
        Ok(Mock { addr, providers, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What stands for `https://api.mch.weixin.qq.com`.
    #[must_use]
    pub fn wxpay_base_url(&self) -> Url {
        self.url("/")
    }

    /// What stands for `https://openapi.alipay.com/gateway.do`.
    #[must_use]
    pub fn alipay_gateway_url(&self) -> Url {
        self.url("/gateway.do")
    }

    /// The same providers without the socket.
    #[must_use]
    pub fn in_process(&self) -> InProcess {
        self.providers.clone()
    }

    /// Accepts nothing more, ends what is in flight, and stops.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
    }

    fn url(&self, path: &str) -> Url {
        let text = format!("http://{}{path}", self.addr);
        text.parse().expect("a socket's address and a path make a URL")
    }
}
