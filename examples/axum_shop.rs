//! A shop in axum that takes payments: paygate's layer around a router of its own.
//!
//! ```sh
//! cargo run --example axum_shop                          # on http://127.0.0.1:8787
//! cargo run --example axum_shop 127.0.0.1:0 shop.db      # on any free port, with a file to keep
//! ```
//!
//! WeChat Pay and Alipay are simulated inside, so no account is needed. In another terminal:
//!
//! ```sh
//! curl http://127.0.0.1:8787/whoami
//! curl -i http://127.0.0.1:8787/pay/createPayment \
//!   -H 'authorization: Bearer the-checkout-of-this-demo-shop-knows-it' \
//!   -H 'content-type: application/json' -d '{
//!     "provider": "wxpay", "isPC": true,
//!     "data": {"out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea",
//!              "type": "goods"}}'
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::routing::get;
use axum::{Extension, Router};
use paygate::mock::{DEFAULT_TIME_SCALE, Mock, MockConfig, keys};
use paygate::{
    CallerContext, Engine, EventType, OrderEvent, PaymentLayer, Pricing, Sqlite, StoreMode,
    SystemClock, alipay, wxpay,
};
use tokio::net::TcpListener;

/// The token of the shop's checkout. A real one is random and stands in no source.
const CALLER_TOKEN: &str = "the-checkout-of-this-demo-shop-knows-it";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8787".to_owned());
    let directory = tempfile::tempdir()?;
    let store = arguments.next().map_or_else(|| directory.path().join("shop.db"), PathBuf::from);

    let listener = TcpListener::bind(listen).await?;
    // Where the simulated providers reach this shop.
    let here = format!("http://{}", listener.local_addr()?).parse()?;
    let engine = start(&store, here).await?;
    // Right here: only the shop's own checkout has the token, and it looks the price up.
    // `Pricing::danger_trust_every_caller()` would be wrong: any browser could buy tea for 1 fen.
    // It is right where an outer layer has compared the amount with the shop's order.
    let payments = PaymentLayer::new(engine.clone(), Pricing::caller_token(CALLER_TOKEN)?)
        .peer_addr(|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0))
        .inject_context();
    let app = Router::new()
        .route("/", get(|| async { "tea, 1 fen\n" }))
        .route("/whoami", get(whoami))
        .layer(payments);

    println!("listening on http://{}", listener.local_addr()?);
    let waits = engine.clone();
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            drop(tokio::signal::ctrl_c().await);
            // A client that waits for its payment (`await_notify`) does not hold up the end.
            waits.stop_waiting();
        })
        .await?;
    // A provider call may still run without its client: the engine records its outcome first.
    engine.shutdown().await;
    Ok(())
}

/// The caller in `inject_context`'s form: the same as for payments.
async fn whoami(Extension(caller): Extension<CallerContext>) -> String {
    let address = caller.client_ip.map_or("an unknown address".to_owned(), |ip| ip.to_string());
    let device = if caller.is_pc { "a PC" } else { "no PC" };
    format!("{} at {address}, {device}, request {}\n", caller.platform.name(), caller.request_id)
}

/// The engine, with both providers simulated on a port of their own.
async fn start(store: &Path, here: url::Url) -> Result<Engine, Box<dyn Error>> {
    let mock = Mock::start(MockConfig {
        listen: "127.0.0.1:0".parse()?,
        // Real providers keep their orders, too.
        ledger_path: Some(store.with_extension("db-ledger.json")),
        clock: Arc::new(SystemClock),
        time_scale: DEFAULT_TIME_SCALE,
    })
    .await?;
    let engine = Engine::builder()
        .store(Sqlite::open_as(store, StoreMode::Mock)?)
        .provider(wxpay::V3::new(keys::wxpay_merchant(mock.wxpay_base_url()))?)
        .provider(alipay::AlipayGateway::new(keys::alipay_merchant(mock.alipay_gateway_url()))?)
        .public_url(here)
        // The event comes again until this returns without an error.
        .on_any(EventType::PaymentSucceeded, |order: OrderEvent| async move {
            println!("ship {}", order.out_trade_no());
        })
        .simulated()
        .at_shutdown(mock.shutdown());
    Ok(engine.start().await?)
}
