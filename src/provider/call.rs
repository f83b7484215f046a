//! One call to a provider: its transport, clock and time limit.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;

/// A boxed future: the return type of the asynchronous traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The transport, the clock and the time limit of one provider call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Sends the request.
    pub transport: &'a dyn Transport,
    /// The time of day: signatures carry it, and responses are compared with it.
    pub clock: &'a dyn Clock,
    /// The longest this call may take, in wall time.
    pub timeout: Duration,
}

/// Sends one HTTP request and returns the whole response.
///
/// It alone knows whether a failed request can have reached the provider.
pub trait Transport: Send + Sync + Debug {
    /// Sends `request` within `timeout`. The response's body is at most 1 MiB.
    fn send<'a>(
        &'a self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportFailure>>;
}

/// Why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// No byte of it left: no connection, no TLS.
    NotSent(String),
    /// It may have arrived.
    OutcomeUnknown(String),
}
