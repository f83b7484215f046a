//! Words for the refusals that hyper itself sends, which have a status and nothing else.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};

use super::responses::{RefusalContext, SidecarRefusal};
use crate::error::Kind;

/// How much of a request's head has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadSize {
    bytes: usize,
    lines: usize,
}

impl HeadSize {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.lines = self.lines.saturating_add(bytes.iter().filter(|byte| **byte == b'\n').count());
    }
}

/// The most header lines of a request or a response: hyper's own limit. A higher one costs every
/// request an allocation.
pub(super) const HEADER_LINES_MAX: usize = 100;

/// The whole response for a response of hyper to a head that it cannot read.
pub(super) fn worded(response: &[u8], head: HeadSize, head_bytes_max: usize) -> Option<Bytes> {
    let text = std::str::from_utf8(response.get(..response.len().min(RESPONSE_BYTES_MAX))?).ok()?;
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    if !text.ends_with("\r\n\r\n") || !text.contains("\r\ncontent-length: 0\r\n") {
        return None;
    }
    let too_large = head.bytes >= head_bytes_max || head.lines > HEADER_LINES_MAX + 2;
    let refusal = match status {
        "400" => SidecarRefusal::Of(Kind::BadRequest),
        "414" => SidecarRefusal::HeadTooLarge,
        "431" if too_large => SidecarRefusal::HeadTooLarge,
        // hyper's answer to a `Content-Length` that its counter cannot hold.
        "431" => SidecarRefusal::Of(Kind::BodyTooLarge),
        _ => return None,
    };
    Some(bytes_of(refusal))
}

/// hyper's own responses have some hundred bytes.
const RESPONSE_BYTES_MAX: usize = 512;

fn bytes_of(refusal: SidecarRefusal) -> Bytes {
    let (parts, body) = RefusalContext::of(&HeaderMap::new()).refuse(refusal).into_parts();
    let body = collected(body);
    let mut bytes = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let end = format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(&body);
    bytes.into()
}

/// A body in memory is complete at once.
fn collected(body: Full<Bytes>) -> Bytes {
    use futures_util::FutureExt;
    let collected = body.collect().now_or_never().and_then(Result::ok);
    collected.map(|body| body.to_bytes()).unwrap_or_default()
}
