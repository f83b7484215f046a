//! The HTTP transport to the providers.

mod tls;
mod transport;

use bytes::Bytes;
use http::Response;
use paygate::provider::TransportFailure;

type TransportResult = Result<Response<Bytes>, TransportFailure>;
