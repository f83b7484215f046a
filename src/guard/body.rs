//! Reads a body of the right type that is not encoded, not too large, and complete in time.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;

use crate::error::{Error, Kind, Text};

/// The longest that a client may take to send its whole body, which has some hundred bytes.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body of JSON that is at most `bytes_max` long.
///
/// # Errors
///
/// [`Kind::UnsupportedMediaType`] unless it is `application/json` in UTF-8 and not encoded,
/// [`Kind::BodyTooLarge`] as soon as a length exceeds the limit, [`Kind::BodyTimeout`] after
/// [`READ_TIMEOUT`], [`Kind::BodyUnreadable`] when the connection breaks.
pub async fn read_json<B: Body>(
    headers: &HeaderMap,
    body: B,
    bytes_max: usize,
) -> Result<Bytes, Error> {
    if !is_json(headers) || headers.contains_key(CONTENT_ENCODING) {
        return Err(Error::new(Kind::UnsupportedMediaType));
    }
    read(headers, body, bytes_max).await
}

/// Reads a body of any type that is at most `bytes_max` long.
///
/// # Errors
///
/// [`Kind::BodyTooLarge`], [`Kind::BodyTimeout`] and [`Kind::BodyUnreadable`], as [`read_json`].
pub async fn read<B: Body>(headers: &HeaderMap, body: B, bytes_max: usize) -> Result<Bytes, Error> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let least = announced.unwrap_or(0).max(body.size_hint().lower());
    if usize::try_from(least).map_or(true, |least| least > bytes_max) {
        return Err(too_large(bytes_max));
    }
    tokio::time::timeout(READ_TIMEOUT, collect(body, bytes_max))
        .await
        .unwrap_or_else(|_| Err(too_slow()))
}

/// Collects a body. Most come in one chunk, which is not copied.
async fn collect<B: Body>(body: B, bytes_max: usize) -> Result<Bytes, Error> {
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::new(Kind::BodyUnreadable))?;
        let Ok(mut data) = frame.into_data() else { continue };
        let held = first.len() + all.len();
        if data.remaining() > bytes_max - held {
            return Err(too_large(bytes_max));
        }
        if held == 0 {
            first = data.copy_to_bytes(data.remaining());
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            all.extend_from_slice(chunk);
            let taken = chunk.len();
            data.advance(taken);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(Kind::BodyTooLarge).text(Text::new(
        format!("请求体超过 {bytes_max} 字节"),
        format!("the body is larger than {bytes_max} bytes"),
    ))
}

fn too_slow() -> Error {
    let seconds = READ_TIMEOUT.as_secs();
    Error::new(Kind::BodyTimeout).text(Text::new(
        format!("请求体没有在 {seconds} 秒内到齐"),
        format!("the body did not arrive within {seconds} seconds"),
    ))
}

/// Exactly one `Content-Type`: `application/json`, with no parameter but `charset=utf-8`.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let Ok(text) = one.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim_matches('"');
        parameter.is_empty()
            || (name.eq_ignore_ascii_case("charset") && value.eq_ignore_ascii_case("utf-8"))
    })
}
