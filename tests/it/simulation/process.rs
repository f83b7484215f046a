//! A process that takes requests, and its clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use paygate::Clock;
use paygate::domain::Millis;
use paygate::engine::Engine;
use paygate::mock::keys;
use paygate::provider::{alipay, wxpay};
use paygate::store::Memory;
use tokio::time::Instant;

use super::crash::CrashSwitch;
use super::flaw::Flaw;
use super::network::Network;
use super::records::Held;
use super::shared::{STARTED, Shared};
use super::shop::ShopConnection;
use super::trace::Trace;
use super::watched::Watched;

/// A process that takes requests.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) engine: Engine,
    pub(super) crash_switch: CrashSwitch,
}

/// Its keys take longer to read than a whole world takes.
static MERCHANT: LazyLock<(wxpay::WxpayMerchant, alipay::AlipayMerchant)> = LazyLock::new(|| {
    let wxpay = keys::wxpay_merchant("http://127.0.0.1:1/".parse().unwrap());
    (wxpay, keys::alipay_merchant("http://127.0.0.1:1/gateway.do".parse().unwrap()))
});

impl Process {
    /// Starts the shop's process.
    pub(super) async fn start(shared: &Arc<Shared>, memory: Memory, watch: &Watch) -> Process {
        let crash_switch = CrashSwitch::on();
        let (wxpay, alipay) = MERCHANT.clone();
        let alipay = alipay::AlipayMerchant { choice: shared.choice, ..alipay };
        let engine = Engine::builder()
            .store(Held::new(memory, crash_switch.clone(), (shared, watch)))
            .clock(watch.clone())
            .transport(Network::new(crash_switch.clone(), shared))
            .public_url("https://shop.example.com".parse().unwrap())
            .order_ttl(shared.ttl)
            .switching(shared.switching)
            .auto_refund(shared.returns)
            .webhook(ShopConnection::new(crash_switch.clone(), shared))
            .reconcile_every(None)
            .provider(Watched::new(wxpay::V3::new(wxpay).unwrap(), shared))
            .provider(Watched::new(alipay::AlipayGateway::new(alipay).unwrap(), shared))
            .simulated()
            .start()
            .await
            .unwrap();
        Process { engine, crash_switch }
    }

    /// The engine of another program of the same merchant, which shares nothing but the accounts
    /// at the providers with the shop's: nothing goes wrong there.
    pub(super) async fn start_other(shared: &Arc<Shared>) -> Engine {
        let (wxpay, alipay) = MERCHANT.clone();
        let builder = Engine::builder()
            .store(Memory::new())
            .clock(shared.clock.clone())
            .transport(shared.providers.clone())
            .public_url("https://shop.example.com".parse().unwrap())
            .order_ttl(shared.ttl + Duration::from_secs(60))
            .reconcile_every(None)
            .provider(wxpay::V3::new(wxpay).unwrap())
            .provider(alipay::AlipayGateway::new(alipay).unwrap())
            .simulated();
        builder.start().await.unwrap()
    }
}

/// A clock: virtual time, and how wrong it is.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    started: Instant,
    wrong_ms: Arc<AtomicI64>,
    /// Where it stops, if it does.
    most_ms: i64,
}

impl Watch {
    pub(super) fn right() -> Watch {
        Watch { started: Instant::now(), wrong_ms: Arc::default(), most_ms: i64::MAX }
    }

    /// The shop's.
    pub(super) fn of_shop(flaw: Option<Flaw>) -> Watch {
        let stops = flaw == Some(Flaw::TheClockStops);
        Watch { most_ms: if stops { 120_000 } else { i64::MAX }, ..Watch::right() }
    }

    pub(super) fn set(&self, wrong_ms: i64) {
        self.wrong_ms.store(wrong_ms, Ordering::Relaxed);
    }
}

impl Clock for Watch {
    fn now(&self) -> Millis {
        let passed_ms = i64::try_from(self.started.elapsed().as_millis()).unwrap();
        STARTED.plus(passed_ms.min(self.most_ms) + self.wrong_ms.load(Ordering::Relaxed))
    }
}

/// paygate does not know its keys.
#[tokio::test]
async fn an_engine_of_real_money_takes_a_provider_that_the_host_wrote() {
    let shared = Arc::new(Shared::new(1, None, Trace::default()));
    let engine = Engine::builder()
        .store(Memory::new())
        .public_url("https://shop.example.com".parse().unwrap())
        .provider(Watched::new(wxpay::V3::new(MERCHANT.0.clone()).unwrap(), &shared));
    assert!(engine.start().await.is_ok());
}
