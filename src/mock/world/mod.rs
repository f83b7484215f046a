//! Both providers together: one ledger, one clock, one list of faults.

pub(super) mod balance;
pub(super) mod faults;
pub(super) mod ledger;
pub(super) mod notice;
pub(super) mod numbers;
pub(super) mod refund;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::sync::Notify;

use super::alipay::gateway::Gateway;
use super::buyer::{Act, PayWith, Purchase};
use super::http::control;
use super::reply::{self, Reply};
use super::sign::Signer;
use super::wxpay::route::Route;
use super::{alipay, buyer, cashier, wxpay};
use crate::clock::Clock;
use crate::domain::channel::ProviderId;
use crate::domain::time::Millis;
use faults::{FaultKind, Faults, Operation, Refuse};
use ledger::{Ledger, Merchant, Order, Unsent};
use refund::Refunding;

/// What the simulated providers share.
#[derive(Debug)]
pub(super) struct Providers {
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
    calls: Mutex<BTreeMap<String, u64>>,
    /// Requests still on their way, and when they arrive.
    late: Mutex<Vec<(Millis, Request<Bytes>)>>,
    clock: Arc<dyn Clock>,
    advanced_ms: AtomicI64,
    /// What the real waits between notifications are divided by.
    hurry: AtomicU32,
    refunding: Mutex<Refunding>,
    /// There may be something to tell.
    woken: Notify,
}

/// What the caller gets to see.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A response, after a while.
    Response(Response<Bytes>, Duration),
    /// The connection ends without one.
    Hangup,
    /// The connection is reset.
    Reset,
}

/// The ledger could not be written: nothing changed.
#[derive(Debug)]
pub(super) struct NotWritten;

impl Providers {
    pub(super) fn open(ledger: Option<&Path>, clock: Arc<dyn Clock>) -> io::Result<Providers> {
        Ok(Providers {
            ledger: Mutex::new(Ledger::open(ledger)?),
            faults: Mutex::default(),
            calls: Mutex::default(),
            late: Mutex::default(),
            clock,
            advanced_ms: AtomicI64::new(0),
            hurry: AtomicU32::new(1),
            refunding: Mutex::default(),
            woken: Notify::new(),
        })
    }

    /// Acts on `request`, unless a fault prevents it, and answers, unless a fault prevents that.
    /// Every answer carries the clock's time as its `Date`.
    pub(super) fn answer(&self, request: &Request<Bytes>) -> Outcome {
        match self.outcome(request) {
            Outcome::Response(mut response, delay) => {
                reply::set_date(&mut response, self.wall());
                Outcome::Response(response, delay)
            }
            lost @ (Outcome::Hangup | Outcome::Reset) => lost,
        }
    }

    fn outcome(&self, request: &Request<Bytes>) -> Outcome {
        self.catch_up();
        let call = match Call::read(self, request) {
            Ok(call) => call,
            Err(reply) => return Outcome::Response(self.seal(reply, None), Duration::ZERO),
        };
        let (provider, operation) = call.kind();
        *locked(&self.calls).entry(format!("{provider}.{}", operation.name())).or_default() += 1;
        let fault = locked(&self.faults).take(provider, operation);
        let reply = match &fault {
            Some(FaultKind::LoseRequest) => return Outcome::Hangup,
            Some(FaultKind::Reset) => return Outcome::Reset,
            Some(FaultKind::Late { ms }) => {
                let arrives = self.now().plus(i64::from(*ms));
                locked(&self.late).push((arrives, request.clone()));
                return Outcome::Hangup;
            }
            Some(FaultKind::Refuse(refuse)) => call.refused(refuse),
            Some(FaultKind::NotEnough) => call.not_enough(),
            Some(FaultKind::TooSoon) => call.too_soon(),
            Some(FaultKind::PayFirst) => {
                call.let_pay(self, request);
                call.act(self, request)
            }
            Some(FaultKind::PayBeforeReply { .. }) => {
                let reply = call.act(self, request);
                call.let_pay(self, request);
                reply
            }
            _ => call.act(self, request),
        };
        match &fault {
            Some(FaultKind::LoseReply) => Outcome::Hangup,
            Some(FaultKind::Status500) => Outcome::Response(reply::status_500(), Duration::ZERO),
            Some(fault) => Outcome::Response(self.seal(reply, Some(fault)), fault.delay()),
            None => Outcome::Response(self.seal(reply, None), Duration::ZERO),
        }
    }

    /// Acts on the requests that were on their way until now; nobody waits for their answers.
    pub(super) fn catch_up(&self) {
        let now = self.now();
        let arrived: Vec<_> =
            locked(&self.late).extract_if(.., |(arrives, _)| *arrives <= now).collect();
        for (_, request) in arrived {
            if let Ok(call) = Call::read(self, &request) {
                call.act(self, &request);
            }
        }
    }

    /// The time by which orders age: the clock's, and what it was advanced by.
    pub(super) fn now(&self) -> Millis {
        self.wall().plus(self.advanced_ms.load(Ordering::Relaxed))
    }

    /// The clock's time, which signatures carry and are compared with.
    pub(super) fn wall(&self) -> Millis {
        self.clock.now()
    }

    pub(super) fn advance(&self, ms: i64) {
        let add = |advanced: i64| Some(advanced.saturating_add(ms));
        let _ = self.advanced_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.wake();
    }

    pub(super) fn hurry(&self) -> u32 {
        self.hurry.load(Ordering::Relaxed)
    }

    pub(super) fn set_hurry(&self, hurry: u32) {
        self.hurry.store(hurry, Ordering::Relaxed);
    }

    /// How refunds go.
    pub(super) fn refunding(&self) -> Refunding {
        *locked(&self.refunding)
    }

    pub(super) fn set_refunding(&self, refunding: Refunding) {
        *locked(&self.refunding) = refunding;
    }

    /// Says that there may be something to tell.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(super) fn unsent(&self, now: Millis) -> Vec<Unsent> {
        locked(&self.ledger).unsent(now)
    }

    /// When there is something to tell next.
    pub(super) fn next_due(&self) -> Option<Millis> {
        locked(&self.ledger).next_due()
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        locked(&self.faults)
    }

    /// How many calls of each kind came in, lost ones and refused ones included.
    pub(super) fn calls(&self) -> BTreeMap<String, u64> {
        locked(&self.calls).clone()
    }

    pub(super) fn orders(&self) -> Vec<Order> {
        locked(&self.ledger).orders(self.now()).collect()
    }

    pub(super) fn find_by_transaction(&self, merchant: &Merchant<'_>, id: &str) -> Option<Order> {
        locked(&self.ledger).find_by_transaction(merchant, id, self.now())
    }

    pub(super) fn find_by_refund(&self, merchant: &Merchant<'_>, no: &str) -> Option<Order> {
        locked(&self.ledger).find_by_refund(merchant, no, self.now())
    }

    pub(super) fn find(&self, merchant: &Merchant<'_>, no: &str) -> Option<Order> {
        locked(&self.ledger).find(merchant, no, self.now())
    }

    /// Replaces the order under this number by what `decide` makes of it, or of there being none.
    /// Nothing comes between.
    pub(super) fn change<E: From<NotWritten>>(
        &self,
        merchant: &Merchant<'_>,
        no: &str,
        decide: impl FnOnce(Option<Order>) -> Result<Order, E>,
    ) -> Result<Order, E> {
        let mut ledger = locked(&self.ledger);
        let order = decide(ledger.find(merchant, no, self.now()))?;
        ledger.write(order.clone()).map_err(|error| {
            tracing::error!(%error, "the mock's ledger cannot be written");
            NotWritten
        })?;
        Ok(order)
    }

    fn seal(&self, reply: Reply, fault: Option<&FaultKind>) -> Response<Bytes> {
        reply.seal(fault, self.wall())
    }
}

/// A call of one of the providers.
enum Call {
    Wxpay(Route),
    Alipay(Gateway),
}

impl Call {
    /// What `request` calls; the reply where it calls neither provider.
    fn read(providers: &Providers, request: &Request<Bytes>) -> Result<Call, Reply> {
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix("/_mock/") {
            return Err(control::answer(providers, request, rest));
        }
        if let Some(page) = cashier::page(request.method(), path) {
            return Err(Reply::Page(page));
        }
        if path == "/gateway.do" {
            return Ok(Call::Alipay(Gateway::read(request)));
        }
        match Route::parse(path) {
            Some((method, route)) if method == request.method() => Ok(Call::Wxpay(route)),
            // V3 answers both without a body.
            Some(_) => Err(empty(StatusCode::METHOD_NOT_ALLOWED)),
            None => Err(empty(StatusCode::NOT_FOUND)),
        }
    }

    fn kind(&self) -> (ProviderId, Operation) {
        match self {
            Call::Wxpay(route) => (ProviderId::Wxpay, route.operation()),
            Call::Alipay(gateway) => (ProviderId::Alipay, gateway.operation()),
        }
    }

    fn act(&self, providers: &Providers, request: &Request<Bytes>) -> Reply {
        match self {
            Call::Wxpay(route) => wxpay::answer(providers, request, route),
            Call::Alipay(gateway) => alipay::answer(providers, gateway),
        }
    }

    /// Lets a buyer pay what the call is about, if there is anything to pay with.
    fn let_pay(&self, providers: &Providers, request: &Request<Bytes>) {
        let no = match self {
            Call::Wxpay(route) => route.number(request.body()),
            Call::Alipay(gateway) => gateway.number(),
        };
        let Some(no) = no else { return };
        let (provider, _) = self.kind();
        let purchase = Purchase { provider, with: PayWith::OutTradeNo(no), payer: None };
        if let Err(declined) = buyer::act(providers, &purchase, Act::Pay) {
            tracing::debug!(declined.code, "nobody could pay");
        }
    }

    fn not_enough(&self) -> Reply {
        match self {
            Call::Wxpay(_) => wxpay::refused(wxpay::refund::not_enough()),
            Call::Alipay(gateway) => gateway.reply(Err(alipay::refund::not_enough())),
        }
    }

    fn too_soon(&self) -> Reply {
        match self {
            Call::Wxpay(_) => wxpay::refused(wxpay::refund::too_soon()),
            Call::Alipay(gateway) => gateway.reply(Err(alipay::refund::too_soon())),
        }
    }

    fn refused(&self, refuse: &Refuse) -> Reply {
        match self {
            Call::Wxpay(_) => reply::wxpay_refusal(refuse),
            Call::Alipay(gateway) => gateway.refused(refuse),
        }
    }
}

fn empty(status: StatusCode) -> Reply {
    Reply::Wxpay { status, body: String::new(), signer: Signer::WxpayPlatform }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
