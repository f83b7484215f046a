//! The sidecar's own answers: paygate's envelope for what is no payment operation.

use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::secret::random_text;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why the sidecar answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not ours, and there is no upstream; or no such admin path.
    NotFound,
    /// `CONNECT`, or another method than this admin path knows.
    Method(&'static str),
    /// The message is HTTP, and still means different things to different readers.
    Ambiguous,
    /// The client's body broke off or was ill framed.
    BodyBroken,
    /// The client's body did not go on.
    BodySlow,
    /// The upstream was not reached.
    UpstreamUnreachable,
    /// The upstream closed, or answered what is no HTTP.
    UpstreamFailed,
    /// No admin token is configured.
    AdminDisabled,
    /// No admin token came, or a wrong one.
    AdminToken,
    /// An admin operation that this version does not have.
    AdminNotAvailable,
}

#[derive(Serialize)]
struct Envelope<'a> {
    code: u16,
    msg: &'a str,
    error: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

/// What an answer needs of its request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    request_id: Option<HeaderValue>,
    language: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn of(headers: &HeaderMap) -> Asked {
        Asked {
            request_id: headers.get(REQUEST_ID).cloned(),
            language: headers.get(ACCEPT_LANGUAGE).cloned(),
        }
    }

    /// The answer to it.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        let (status, code, error, zh, en) = words(refusal);
        let request_id = self.request_id();
        let envelope = Envelope {
            code,
            msg: if self.prefers_english() { en } else { zh },
            error,
            request_id: &request_id,
        };
        let body = serde_json::to_vec(&envelope).expect("texts and a number are JSON");
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            REQUEST_ID,
            HeaderValue::from_str(&request_id).expect("a well-formed id is a header value"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Refusal::Method(allowed) = refusal {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    fn request_id(&self) -> String {
        let given = self.request_id.as_ref().and_then(|value| value.to_str().ok());
        let well_formed = |id: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=128).contains(&id.len()) && id.bytes().all(plain)
        };
        given.filter(well_formed).map_or_else(random_text, str::to_owned)
    }

    /// Clients list what they like best first.
    fn prefers_english(&self) -> bool {
        let language = self.language.as_ref().map_or(&b""[..], |value| value.as_bytes());
        language.trim_ascii_start().get(..2).is_some_and(|it| it.eq_ignore_ascii_case(b"en"))
    }
}

type Words = (StatusCode, u16, &'static str, &'static str, &'static str);

fn words(refusal: Refusal) -> Words {
    match refusal {
        Refusal::NotFound => {
            (StatusCode::NOT_FOUND, 404, "not_found", "没有这个地址", "there is nothing here")
        }
        Refusal::Method(_) => (
            StatusCode::METHOD_NOT_ALLOWED,
            405,
            "method_not_allowed",
            "请求方法不支持",
            "not with this method",
        ),
        Refusal::Ambiguous => (
            StatusCode::BAD_REQUEST,
            400,
            "bad_request",
            "请求有歧义",
            "the request can be read in more than one way",
        ),
        Refusal::BodyBroken => (
            StatusCode::BAD_REQUEST,
            400,
            "body_broken",
            "请求体不完整",
            "the body is incomplete or ill framed",
        ),
        Refusal::BodySlow => (
            StatusCode::REQUEST_TIMEOUT,
            408,
            "body_timeout",
            "请求体接收超时",
            "the body did not arrive in time",
        ),
        Refusal::UpstreamUnreachable => (
            StatusCode::BAD_GATEWAY,
            502,
            "upstream_unreachable",
            "后端服务无法连接",
            "the service behind paygate cannot be reached",
        ),
        Refusal::UpstreamFailed => (
            StatusCode::BAD_GATEWAY,
            502,
            "upstream_failed",
            "后端服务没有正常应答",
            "the service behind paygate gave no proper answer",
        ),
        Refusal::AdminDisabled => (
            StatusCode::FORBIDDEN,
            403,
            "admin_disabled",
            "未配置管理令牌",
            "no admin token is configured",
        ),
        Refusal::AdminToken => {
            (StatusCode::UNAUTHORIZED, 4005, "caller_not_allowed", "无权调用", "not allowed")
        }
        Refusal::AdminNotAvailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            5001,
            "not_available",
            "此版本尚不支持",
            "not available in this version",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &'static str)], english: bool, id: Option<&str>) {
        let headers: HeaderMap = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let asked = Asked::of(&headers);
        assert_eq!(asked.prefers_english(), english);
        match id {
            Some(id) => assert_eq!(asked.request_id(), id),
            None => assert_eq!(asked.request_id().len(), 32),
        }
    }

    #[test]
    fn an_answer_speaks_the_clients_language_and_names_its_request() {
        check(&[], false, None);
        check(&[("accept-language", "en-GB, zh;q=0.5")], true, None);
        check(&[("accept-language", "zh-CN, en")], false, None);
        check(&[("x-request-id", "a.b-1_2")], false, Some("a.b-1_2"));
        check(&[("x-request-id", "a\"b")], false, None);
        check(&[("x-request-id", "")], false, None);
    }
}
