//! Replies of the providers: the provider signs them last, so that a fault can spoil them.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::world::faults::FaultKind;
use crate::domain::time::Millis;
use crate::secret::random_text;

/// A provider's reply before the provider signs it.
pub(super) trait UnsignedReply {
    /// The signed response at `now`, spoiled by `fault`.
    fn sign(&self, fault: Option<&FaultKind>, now: Millis) -> Response<Bytes>;
}

/// Sets `Date`, as every server does, unless the time is beyond the calendar.
pub(super) fn set_date(response: &mut Response<Bytes>, now: Millis) {
    let time = Timestamp::from_second(now.seconds()).ok();
    let text = time.and_then(|time| DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok());
    if let Some(text) = text {
        response.headers_mut().insert(DATE, header_value(&text));
    }
}

/// The response of a server that is out of order.
pub(super) fn status_500() -> Response<Bytes> {
    response(StatusCode::INTERNAL_SERVER_ERROR, "text/html", "Internal Server Error".to_owned())
}

/// An unsigned response without a body.
pub(super) fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response.headers_mut().insert("request-id", header_value(&random_text()));
    response
}

pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: String,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, hex, base64 and dashes")
}

/// The first half of `text` where a fault cuts the reply off, else all of it.
pub(super) fn cut_off(text: &str, fault: Option<&FaultKind>) -> String {
    match fault {
        Some(FaultKind::Malformed) => text.chars().take(text.chars().count() / 2).collect(),
        _ => text.to_owned(),
    }
}
