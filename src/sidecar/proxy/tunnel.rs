//! Upgraded connections (WebSocket): the proxy copies bytes both ways until one side ends.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// The tunnel that a connection's task runs after its HTTP part. It runs in that task, so it holds
/// the connection's permit and is drained with it.
#[derive(Clone, Default)]
pub(in crate::sidecar) struct TunnelSlot(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl TunnelSlot {
    /// Joins the two sides as soon as both have left HTTP.
    pub(in crate::sidecar) fn join(&self, client: OnUpgrade, upstream: OnUpgrade) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Box::pin(joined(client, upstream)));
    }

    pub(in crate::sidecar) fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for TunnelSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelSlot")
    }
}

async fn joined(client: OnUpgrade, upstream: OnUpgrade) {
    let ends = match (client.await, upstream.await) {
        (Ok(client), Ok(upstream)) => (client, upstream),
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(%error, "an upgrade was accepted and then failed");
            return;
        }
    };
    let (mut client, mut upstream) = (TokioIo::new(ends.0), TokioIo::new(ends.1));
    if let Err(error) = copy_bidirectional(&mut client, &mut upstream).await {
        tracing::debug!(%error, "an upgraded connection failed");
    }
}
