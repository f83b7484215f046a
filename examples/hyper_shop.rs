//! A shop on plain hyper that takes payments, configured by the environment alone.
//!
//! ```sh
//! PAYGATE_MODE=mock cargo run --example hyper_shop       # on http://127.0.0.1:8787
//! ```
//!
//! WeChat Pay and Alipay are simulated inside, so no account is needed. In another terminal:
//!
//! ```sh
//! curl http://127.0.0.1:8787/
//! curl -i http://127.0.0.1:8787/pay/createPayment -H 'content-type: application/json' -d '{
//!     "provider": "alipay", "isPC": true,
//!     "data": {"out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea",
//!              "type": "goods"}}'
//! ```
//!
//! `paygate --help` lists every variable, `paygate check` prints their effective values.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use paygate::{Config, EngineBuilder, EventType, OrderEvent};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env()?;
    config.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    let listener = TcpListener::bind(config.listen).await?;
    let (engine, payments) = config.start_with(handlers).await?;
    // `serve` puts the peer's address where this finds it.
    let payments = payments.peer_addr(|parts| parts.extensions.get::<SocketAddr>().copied());
    let shop = ServiceBuilder::new().layer(payments).service_fn(home);

    println!("listening on http://{}", listener.local_addr()?);
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = &mut interrupt => break,
        };
        while connections.try_join_next().is_some() {}
        let shop = shop.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            shop.clone().oneshot(request)
        });
        let mut stopping = stopping.clone();
        connections.spawn(async move {
            // With a timer hyper gives a client 30 s to send a request's head.
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            // Where a connection breaks, there is no client left for an error.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
            }
            drop(connection.await);
        });
    }
    drop(listener);
    drop(stop);
    // A client that waits for its payment (`await_notify`) does not hold up the end.
    engine.stop_waiting();
    while connections.join_next().await.is_some() {}
    // A provider call may still run without its client: the engine records its outcome first.
    engine.shutdown().await;
    Ok(())
}

/// What the shop does about payments. Registered before the engine starts, the handlers also get
/// the events that an earlier process left.
fn handlers(builder: EngineBuilder) -> EngineBuilder {
    builder.on_any(EventType::PaymentSucceeded, |paid: OrderEvent| async move {
        // The event comes again until this returns without an error.
        println!("ship {}", paid.out_trade_no());
    })
}

/// The shop itself, for every request that is not a payment operation.
async fn home(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("tea, 1 fen (you asked for {})\n", request.uri().path());
    Ok(Response::new(Full::from(text)))
}
