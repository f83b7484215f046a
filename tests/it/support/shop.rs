//! A shop for tests: the real engine over the simulated providers, without a socket.
#![cfg(feature = "mock")]

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};

use paygate::Clock;
use paygate::domain::{Millis, OutTradeNo, Pid, Product, ProviderId};
use paygate::engine::{Builder, Created, Engine};
use paygate::error::{Error, Kind};
use paygate::mock::{
    ActionRefused, FaultKind, InProcess, PayWith, ProviderOperation, SignedNotification,
    SimulatedFault, SimulatedOrder, SimulatedPurchase, State, keys,
};
use paygate::provider::{alipay, wxpay};
use paygate::store::{Memory, Store};
use paygate::testing::caller::{CallerRules, ClientInfo, resolve};
use paygate::testing::guard::read_create;
use serde_json::{Value, json};

/// A clock that stands still until it is told to move.
#[derive(Clone, Debug)]
pub(crate) struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    pub(crate) fn new() -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(1_763_900_000_000)))
    }

    pub(crate) fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

/// The merchants, whose keys are checked once: that takes longer than a story does.
static WXPAY: LazyLock<wxpay::WxpayMerchant> =
    LazyLock::new(|| keys::wxpay_merchant("http://127.0.0.1:1/".parse().unwrap()));
static ALIPAY: LazyLock<alipay::AlipayMerchant> =
    LazyLock::new(|| keys::alipay_merchant("http://127.0.0.1:1/gateway.do".parse().unwrap()));

/// The engine, its providers and its clock.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) engine: Engine,
    pub(crate) providers: InProcess,
    pub(crate) clock: ManualClock,
    store: Arc<dyn Store>,
}

impl Shop {
    /// With orders in memory.
    pub(crate) async fn open() -> Shop {
        Shop::open_as(|it| it).await
    }

    /// With orders in memory, and a word on the engine.
    pub(crate) async fn open_as(more: impl FnOnce(Builder) -> Builder) -> Shop {
        let clock = ManualClock::new();
        let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
        Shop::at(clock, Memory::new(), providers, more).await
    }

    /// With this store, and providers that may know orders already.
    pub(crate) async fn with(store: impl Store + 'static, providers: InProcess) -> Shop {
        Shop::built(store, providers, |it| it).await
    }

    /// The same, with a word on the engine.
    pub(crate) async fn built(
        store: impl Store + 'static,
        providers: InProcess,
        more: impl FnOnce(Builder) -> Builder,
    ) -> Shop {
        Shop::at(ManualClock::new(), store, providers, more).await
    }

    /// The same, with the clock that the providers have.
    pub(crate) async fn at(
        clock: ManualClock,
        store: impl Store + 'static,
        providers: InProcess,
        more: impl FnOnce(Builder) -> Builder,
    ) -> Shop {
        Shop::over(clock, Arc::new(store), providers, more).await
    }

    /// The same, with a store that the test goes on using.
    pub(crate) async fn over(
        clock: ManualClock,
        store: Arc<dyn Store>,
        providers: InProcess,
        more: impl FnOnce(Builder) -> Builder,
    ) -> Shop {
        let builder = Engine::builder()
            .shared_store(store.clone())
            .clock(clock.clone())
            .transport(providers.clone())
            .public_url("https://shop.example.com".parse().unwrap())
            .reconcile_every(None)
            .simulated();
        let builder = [Pid::default(), Pid::new("001")].into_iter().fold(builder, |it, pid| {
            it.provider_of(pid.clone(), wxpay::V3::new(WXPAY.clone()).unwrap())
                .provider_of(pid, alipay::AlipayGateway::new(ALIPAY.clone()).unwrap())
        });
        let engine = more(builder).start().await.unwrap();
        Shop { engine, providers, clock, store }
    }

    /// Asks as a client would, from `PLATFORM` and `isPC` in the body.
    pub(crate) async fn create(&self, body: &Value) -> Result<Created, Error> {
        self.create_from(body, "114.114.114.114").await
    }

    /// Asks as a client at `address` would.
    pub(crate) async fn create_from(&self, body: &Value, address: &str) -> Result<Created, Error> {
        let request = read_create(body.to_string().as_bytes())?;
        let said = ClientInfo { claims: &request.claims, is_pc: request.is_pc };
        let peer: Option<IpAddr> = address.parse().ok();
        let headers = http::HeaderMap::new();
        let caller = resolve(&headers, peer, said, &CallerRules::default())?;
        self.engine.create(request, caller).await
    }

    /// What is stored under `no`.
    pub(crate) async fn order(&self, no: &str) -> paygate::domain::Order {
        let no = OutTradeNo::parse(no).unwrap();
        self.store.load(&no).await.unwrap().unwrap()
    }

    /// What the providers know under `no`.
    pub(crate) fn ledger(&self, no: &str) -> Vec<SimulatedOrder> {
        self.providers.orders().into_iter().filter(|it| it.out_trade_no == no).collect()
    }

    /// A buyer pays with what is in `created`.
    pub(crate) fn pay(&self, created: &Created) -> Result<SimulatedOrder, ActionRefused> {
        self.providers.pay(&held(created))
    }

    /// A buyer opens the cashier with what is in `created`, and does not pay.
    pub(crate) fn scan(&self, created: &Created) -> Result<SimulatedOrder, ActionRefused> {
        self.providers.scan(&held(created))
    }

    /// Brings what the providers have to tell to the engine, once, and tells them what it said.
    pub(crate) async fn notify(&self) -> Vec<Result<(), Kind>> {
        let mut answers = Vec::new();
        for notification in self.providers.notifications() {
            let answer = self.take(&notification).await;
            let (status, body) = if answer.is_ok() { (200, "success") } else { (503, "failure") };
            self.providers.record_answer(&notification, status, body.as_bytes());
            answers.push(answer);
        }
        answers
    }

    /// Brings one notification to the engine; its provider does not hear of the answer.
    pub(crate) async fn take(&self, notification: &SignedNotification) -> Result<(), Kind> {
        let pid = notification.url.path_segments().unwrap().next_back().unwrap();
        let (headers, body) = (&notification.headers, notification.body.clone());
        let taken = self.engine.notify(notification.provider, &Pid::new(pid), headers, body).await;
        taken.map_err(|error| error.kind())
    }

    /// The states of every order that the providers know, by their numbers there.
    pub(crate) fn states(&self) -> Vec<(ProviderId, State)> {
        self.providers.orders().into_iter().map(|it| (it.provider, it.state)).collect()
    }

    /// How many calls that create an order came in.
    pub(crate) fn creates(&self) -> u64 {
        self.providers.calls("wxpay.create") + self.providers.calls("alipay.create")
    }

    /// Something is to go wrong with the next call that creates an order.
    pub(crate) fn fault(&self, kind: FaultKind) {
        self.fault_of(ProviderOperation::Create, kind);
    }

    /// Something is to go wrong with the next call of this kind.
    pub(crate) fn fault_of(&self, operation: ProviderOperation, kind: FaultKind) {
        let fault = SimulatedFault { provider: None, operation: Some(operation), kind, times: 1 };
        self.providers.add_fault(fault);
    }
}

/// What a buyer does with `created`.
fn held(created: &Created) -> SimulatedPurchase {
    let info = order_info(created);
    let text = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let with = match created.product {
        Product::Native | Product::Precreate => PayWith::CodeUrl(text("codeUrl")),
        Product::Jsapi => PayWith::PrepayId(text("package").replace("prepay_id=", "")),
        Product::App => PayWith::PrepayId(text("prepayid")),
        Product::H5 => PayWith::H5Url(text("h5Url")),
        Product::Create => PayWith::TradeNo(info.as_str().unwrap_or_default().to_owned()),
        Product::AppPay => PayWith::OrderString(info.as_str().unwrap_or_default().to_owned()),
        Product::WapPay | Product::PagePay => PayWith::PayUrl(text("payUrl")),
    };
    SimulatedPurchase { provider: created.pay_type.provider(), with, payer: None }
}

/// A body whose buyer sits at a PC: a QR code.
pub(crate) fn body(provider: ProviderId, no: &str, total_fee: u64) -> Value {
    json!({
        "provider": provider.name(),
        "isPC": true,
        "context": {"PLATFORM": "h5"},
        "data": {"out_trade_no": no, "total_fee": total_fee, "subject": "tea", "type": "goods"},
    })
}

/// `body` with other fields: `at` is a JSON pointer.
pub(crate) fn with(mut body: Value, at: &str, value: Value) -> Value {
    let (parent, key) = at.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[key] = value;
    body
}

/// `orderInfo` as JSON.
pub(crate) fn order_info(created: &Created) -> Value {
    serde_json::from_str(created.order_info.get()).unwrap()
}

/// The kind of a refusal.
pub(crate) fn kind<T>(answer: Result<T, Error>) -> Option<Kind> {
    answer.err().map(|error| error.kind())
}

/// Whatever the engine began beside the caller is done: nothing of it waits for time to pass.
pub(crate) async fn run_background() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
