//! WeChat Pay V3 and Alipay, simulated: their protocols, their rules, real signatures, no money.
//!
//! [`Mock`] serves both on a socket; [`InProcess`] is the same without one. They verify the
//! merchant's signature, sign their replies with keys of their own ([`keys`]), refuse the calls
//! that the providers refuse, and keep their orders in a ledger. A [`SimulatedFault`] spoils a
//! call on demand. A buyer acts through the control operations under `/_mock/` or through
//! [`InProcess`].
//!
//! ```
//! use std::sync::Arc;
//! use paygate::SystemClock;
//! use paygate::domain::ProviderId;
//! use paygate::mock::{InProcess, SimulatedPurchase};
//!
//! let providers = InProcess::open(None, Arc::new(SystemClock))?;
//! let purchase = SimulatedPurchase::of_order(ProviderId::Wxpay, "2107151010101541001");
//! assert_eq!(providers.pay(&purchase).unwrap_err().code, "ORDER_NOT_EXIST");
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod keys;

mod in_process;
mod dispatch;
mod provider;
mod providers;
mod wxpay;
mod alipay;
mod purchase;
mod buyer;
mod operator;
mod refunding;
mod notification_schedule;
mod notifier;
mod deliver;
mod deliver_to;
mod timer_clock;
mod reply;
mod page;
mod sign;
mod cashier;
mod client_environment;
mod shop_events;
mod http;
mod world;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

pub use client_environment::client_environment;
pub use in_process::InProcess;
pub use notifier::SignedNotification;
pub use operator::{ConsoleNotification, ConsoleRefund, RefundEnd};
pub use purchase::{ActionRefused, PayWith, SimulatedPurchase};
pub use shop_events::{ShopDelivery, ShopEvent, ShopEvents};
pub use timer_clock::TimerClock;
pub use world::balance::{Balance, MoneyTotals};
pub use world::faults::{FaultKind, ProviderOperation, Refuse, SimulatedFault};
pub(crate) use world::ledger::HeldLedger;
pub use world::notification::{DELIVERIES_MAX, Delivery, InvalidSignature, NotificationState};
pub use world::order::{PaymentCode, SimulatedOrder, State, TradeTerms};
pub use world::payment::SimulatedPayment;
pub use world::refund::{RefundSettings, SimulatedRefund};

use crate::clock::Clock;
use crate::domain::address::reachable;

/// The time scale at which a minute of the providers takes a second.
pub const DEFAULT_TIME_SCALE: u32 = 60;

/// How a [`Mock`] runs.
#[derive(Clone, Debug)]
pub struct MockConfig {
    /// The address of the listener. Port 0 is any free one.
    pub listen: SocketAddr,
    /// The ledger's file; the ledger is in memory when absent.
    pub ledger_path: Option<PathBuf>,
    /// The clock of the providers.
    pub clock: Arc<dyn Clock>,
    /// The divisor of the providers' real waits between notifications: at
    /// [`DEFAULT_TIME_SCALE`] a person sees the retries.
    pub time_scale: u32,
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
        let listen = config.listen;
        Mock::serve(config, TcpListener::bind(listen)).await
    }

    /// As [`Mock::start`], on a socket that listens already; the address of `config` is unused.
    ///
    /// # Errors
    ///
    /// As [`Mock::start`].
    pub async fn start_on(socket: std::net::TcpListener, config: MockConfig) -> io::Result<Mock> {
        Mock::serve(config, async { TcpListener::from_std(socket) }).await
    }

    async fn serve(
        config: MockConfig,
        listener: impl Future<Output = io::Result<TcpListener>>,
    ) -> io::Result<Mock> {
        let providers = InProcess::open(config.ledger_path.as_deref(), config.clock)?;
        providers.set_time_scale(config.time_scale);
        let listener = listener.await?;
        let addr = listener.local_addr()?;
        Ok(Mock::on(listener, addr, providers))
    }

    /// No `async fn`: the code of the tasks is compiled here, and not again with a program.
    fn on(listener: TcpListener, addr: SocketAddr, providers: InProcess) -> Mock {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(deliver::deliver(providers.clone(), stopped.clone()));
        tasks.spawn(http::server::serve(listener, providers.clone(), stopped));
        Mock { addr, providers, stop, tasks }
    }

    /// The address of the listener.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL in place of `https://api.mch.weixin.qq.com`.
    #[must_use]
    pub fn wxpay_base_url(&self) -> Url {
        self.url("/")
    }

    /// The gateway URL in place of `https://openapi.alipay.com/gateway.do`.
    #[must_use]
    pub fn alipay_gateway_url(&self) -> Url {
        self.url("/gateway.do")
    }

    /// The same providers without the socket.
    #[must_use]
    pub fn in_process(&self) -> InProcess {
        self.providers.clone()
    }

    /// Accepts no more connections, waits for those in flight, and stops. Another mock can have the
    /// ledger's file then.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.providers.close();
    }

    fn url(&self, path: &str) -> Url {
        let text = format!("http://{}{path}", reachable(self.addr));
        text.parse().expect("a socket's address and a path make a URL")
    }
}
