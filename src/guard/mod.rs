//! Cheap refusals, in order: the request line and `Host` ([`request_head`]), the path ([`route`]),
//! the method, the size, the JSON, the schema.
//!
//! A request that passes is typed; no part behind the guard reads a body again. A refusal names
//! fields and rules and never quotes a value.
//!
//! ```
//! use paygate::testing::guard;
//!
//! let body = br#"{"provider": "wxpay", "data": {"out_trade_no": "2107151010101541001",
//!     "total_fee": 1, "subject": "tea", "type": "goods"}}"#;
//! let request = guard::read_create(body)?;
//! assert_eq!(request.terms.total_fee.fen(), 1);
//!
//! let refused = guard::read_create(br#"{"provider": "wxpay", "data": {}}"#).unwrap_err();
//! assert_eq!(refused.violations()[0].path, "/data/out_trade_no");
//! # Ok::<(), paygate::error::Error>(())
//! ```

pub mod request_head;
pub mod route;
mod path_readings;

pub mod body;

mod client;
mod create;
mod fields;
mod query;
mod refund;
pub mod schema;

pub use client::{ClientRequest, read_client};
pub use create::read_create;
#[cfg(feature = "sidecar")]
pub(crate) use fields::unknown_field;
pub use query::{QueryRequest, read_query};
pub use refund::{RefundQuery, read_close, read_query_refund, read_refund};
pub use route::{Mount, PaymentOperation, RouteDecision};

use bytes::Bytes;
use http::Method;
use http::header::CONTENT_ENCODING;
use http::request::Parts;
use http_body::Body;

use crate::domain::request::{BODY_BYTES_MAX, CreateRequest};
use crate::error::{Error, Kind};

/// Refuses requests in front of the payment operations.
#[derive(Clone, Debug)]
pub struct Guard {
    mount: Mount,
    body_bytes_max: usize,
}

impl Guard {
    /// A guard of the operations under `mount`, for bodies of at most `body_bytes_max` bytes, and
    /// never more than 256 KiB. The schemas are compiled here, once for the process.
    #[must_use]
    pub fn new(mount: Mount, body_bytes_max: usize) -> Guard {
        create::prepare();
        client::prepare();
        query::prepare();
        Guard { mount, body_bytes_max: body_bytes_max.min(BODY_BYTES_MAX) }
    }

    /// Which operation a request's path names, without an allocation where it names none.
    #[must_use]
    pub fn route(&self, path: &str) -> RouteDecision {
        self.mount.route(path)
    }

    /// Checks the method of an operation, before its caller and its body.
    ///
    /// # Errors
    ///
    /// [`Kind::MethodNotAllowed`] unless it is POST.
    pub fn check_method(&self, method: &Method) -> Result<(), Error> {
        if method == Method::POST { Ok(()) } else { Err(Error::new(Kind::MethodNotAllowed)) }
    }

    /// Reads a whole `createPayment` request, whose caller names the price.
    ///
    /// # Errors
    ///
    /// [`Kind::MethodNotAllowed`], [`Kind::UnsupportedMediaType`], [`Kind::BodyTooLarge`],
    /// [`Kind::BodyTimeout`], and those of [`read_create`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the body and changes nothing else.
    pub async fn create<B>(&self, parts: &Parts, body: B) -> Result<CreateRequest, Error>
    where
        B: Body,
    {
        read_create(&self.read(parts, body).await?)
    }

    /// Reads the client's part of a `createPayment` request whose price the shop sets.
    ///
    /// # Errors
    ///
    /// Those of [`Guard::create`].
    ///
    /// # Cancel safety
    ///
    /// As [`Guard::create`].
    pub async fn client<B>(&self, parts: &Parts, body: B) -> Result<ClientRequest, Error>
    where
        B: Body,
    {
        read_client(&self.read(parts, body).await?)
    }

    /// Reads a `queryPayment` request of a client.
    ///
    /// # Errors
    ///
    /// Those of [`Guard::create`].
    ///
    /// # Cancel safety
    ///
    /// As [`Guard::create`].
    pub async fn query<B: Body>(&self, parts: &Parts, body: B) -> Result<QueryRequest, Error> {
        read_query(&self.read(parts, body).await?)
    }

    /// Reads a provider's notification of any content type: the bytes that the provider signed.
    /// The size limit of payment requests does not apply: a shop that lowers it would lose
    /// payments.
    ///
    /// # Errors
    ///
    /// [`Kind::UnsupportedMediaType`] for encoded bytes, [`Kind::BodyTooLarge`] over
    /// [`NOTIFICATION_BYTES_MAX`], and [`Kind::MethodNotAllowed`], [`Kind::BodyTimeout`] and
    /// [`Kind::BodyUnreadable`] as [`Guard::create`].
    ///
    /// # Cancel safety
    ///
    /// As [`Guard::create`].
    pub async fn notification<B: Body>(&self, parts: &Parts, body: B) -> Result<Bytes, Error> {
        self.check_method(&parts.method)?;
        if parts.headers.contains_key(CONTENT_ENCODING) {
            return Err(Error::new(Kind::UnsupportedMediaType));
        }
        body::read(&parts.headers, body, NOTIFICATION_BYTES_MAX).await
    }

    async fn read<B: Body>(&self, parts: &Parts, body: B) -> Result<Bytes, Error> {
        self.check_method(&parts.method)?;
        body::read_json(&parts.headers, body, self.body_bytes_max).await
    }
}

/// The most bytes of a provider's notification, which has a few thousand.
pub const NOTIFICATION_BYTES_MAX: usize = 64 * 1024;
