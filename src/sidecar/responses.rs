//! The sidecar's own answers, in the envelope of all others.

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::caller::request_id;
use crate::error::{Error, Kind};
use crate::reply::{Language, REQUEST_ID, Reply};

/// Why the sidecar answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As a payment operation would be refused.
    Of(Kind),
    /// Another method than these.
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
}

/// What an answer needs of its request, which is gone by then. Nothing is read before an answer
/// needs it: most requests get the upstream's.
#[derive(Clone, Debug)]
pub(super) struct Asked(Vec<(HeaderName, HeaderValue)>);

impl Asked {
    pub(super) fn of(headers: &HeaderMap) -> Asked {
        let told = [REQUEST_ID, ACCEPT_LANGUAGE];
        let of = |name: &HeaderName| headers.get(name).cloned().map(|it| (name.clone(), it));
        Asked(told.iter().filter_map(of).collect())
    }

    /// The answer to it.
    pub(super) fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        let headers: HeaderMap = self.0.iter().cloned().collect();
        let (request_id, language) = (request_id(&headers), Language::preferred(&headers));
        let (status, error, zh, en) = match words(refusal) {
            Ok(words) => words,
            Err(kind) => {
                let reply = Reply { request_id: &request_id, language, mock: false };
                return reply.refusal(&Error::new(kind)).map(Full::new);
            }
        };
        let msg = match language {
            Language::Chinese => zh,
            Language::English => en,
        };
        let envelope = Envelope { code: status.as_u16(), msg, error, request_id: &request_id };
        let body = serde_json::to_vec(&envelope).expect("texts and a number are JSON");
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Refusal::Method(allowed) = refusal {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    code: u16,
    msg: &'a str,
    error: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

/// Status, which is also the code; stable name; Chinese; English.
type Words = (StatusCode, &'static str, &'static str, &'static str);

/// The words that payment operations have no need of, or else the kind of theirs.
fn words(refusal: Refusal) -> Result<Words, Kind> {
    use StatusCode as S;
    Ok(match refusal {
        Refusal::Of(kind) => return Err(kind),
        Refusal::Method(_) => {
            (S::METHOD_NOT_ALLOWED, "method_not_allowed", "请求方法不支持", "not with this method")
        }
        Refusal::Ambiguous => (
            S::BAD_REQUEST,
            "request_ambiguous",
            "请求有歧义",
            "the request can be read in more than one way",
        ),
        Refusal::BodyBroken => {
            (S::BAD_REQUEST, "body_broken", "请求体不完整", "the body is incomplete or ill framed")
        }
        Refusal::BodySlow => (
            S::REQUEST_TIMEOUT,
            "body_timeout",
            "请求体接收超时",
            "the body did not arrive in time",
        ),
        Refusal::UpstreamUnreachable => (
            S::BAD_GATEWAY,
            "upstream_unreachable",
            "后端服务无法连接",
            "the service behind paygate cannot be reached",
        ),
        Refusal::UpstreamFailed => (
            S::BAD_GATEWAY,
            "upstream_failed",
            "后端服务没有正常应答",
            "the service behind paygate gave no proper answer",
        ),
        Refusal::AdminDisabled => {
            (S::FORBIDDEN, "admin_disabled", "未配置管理令牌", "no admin token is configured")
        }
    })
}
