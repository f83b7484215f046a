//! The sidecar's own refusals, in the envelope of every refusal.

use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use crate::caller::request_id;
use crate::error::{Error, Kind, Text};
use crate::reply::{Language, REQUEST_ID, ReplyWriter};

/// The reason why the sidecar itself refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SidecarRefusal {
    /// The refusal of a payment operation.
    Of(Kind),
    /// A method other than these.
    Method(&'static str),
    /// HTTP that different servers could read differently.
    Ambiguous,
    /// A head that is larger than the limits.
    HeadTooLarge,
    /// The request went through this process before.
    Loop,
    /// The client's body ended early or is invalidly framed.
    BodyBroken,
    /// The client's body stalled.
    BodySlow,
    /// The upstream has no answer that can be forwarded.
    Upstream(UpstreamFault),
    /// No admin token is configured.
    AdminDisabled,
    /// The request does not carry the admin token.
    WrongAdminToken,
}

/// The reason why there is no answer of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamFault {
    /// It cannot be reached.
    Unreachable,
    /// It closed the connection, or its answer is not HTTP.
    Failed,
    /// The head of its answer is larger than the limits.
    HeadTooLarge,
    /// It did not begin its answer in time.
    Slow,
    /// Every connection to it is in use.
    Busy,
}

/// The headers of a request that its refusal needs, kept because the request is forwarded. They are
/// parsed only for a refusal: the upstream answers most requests.
#[derive(Clone, Debug)]
pub(super) struct RefusalContext(Vec<(HeaderName, HeaderValue)>);

impl RefusalContext {
    pub(super) fn of(headers: &HeaderMap) -> RefusalContext {
        let names = [REQUEST_ID, ACCEPT_LANGUAGE];
        let entry =
            |name: &HeaderName| headers.get(name).cloned().map(|value| (name.clone(), value));
        RefusalContext(names.iter().filter_map(entry).collect())
    }

    /// The response to the refused request.
    pub(super) fn refuse(&self, refusal: SidecarRefusal) -> Response<Full<Bytes>> {
        let headers: HeaderMap = self.0.iter().cloned().collect();
        let (request_id, language) = (request_id(&headers), Language::preferred(&headers));
        let (status, error, zh, en) = match refusal_text(refusal) {
            Ok(words) => words,
            Err(error) => {
                let reply = ReplyWriter { request_id: &request_id, language, mock: false };
                return reply.refusal(&error).map(Full::new);
            }
        };
        let msg = match language {
            Language::Chinese => zh,
            Language::English => en,
        };
        let envelope =
            SidecarRefusalBody { code: status.as_u16(), msg, error, request_id: &request_id };
        let body = serde_json::to_vec(&envelope).expect("texts and a number are JSON");
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(REQUEST_ID, id);
        }
        match refusal {
            SidecarRefusal::Method(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            SidecarRefusal::Upstream(UpstreamFault::Busy) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

#[derive(Serialize)]
struct SidecarRefusalBody<'a> {
    code: u16,
    msg: &'a str,
    error: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

/// The status, which is also the code; the stable name; the Chinese and the English text.
type RefusalText = (StatusCode, &'static str, &'static str, &'static str);

/// The text of a refusal that only the sidecar has, or a payment operation's refusal.
fn refusal_text(refusal: SidecarRefusal) -> Result<RefusalText, Error> {
    use StatusCode as S;
    Ok(match refusal {
        SidecarRefusal::Of(kind) => return Err(Error::new(kind)),
        SidecarRefusal::WrongAdminToken => {
            return Err(Error::new(Kind::CallerNotAllowed).text(Text::new(
                "管理令牌不正确：请求头 Authorization 必须是 Bearer 加 PAYGATE_ADMIN_TOKEN 的值",
                "the admin token is wrong: the header Authorization must be Bearer and the value \
                 of PAYGATE_ADMIN_TOKEN",
            )));
        }
        SidecarRefusal::Method(_) => (
            S::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "该路径不支持这个请求方法",
            "this path does not take this method",
        ),
        SidecarRefusal::Ambiguous => (
            S::BAD_REQUEST,
            "request_ambiguous",
            "请求有歧义",
            "the request can be read in more than one way",
        ),
        SidecarRefusal::HeadTooLarge => (
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head_too_large",
            "请求头过大：最多 64 KiB、100 行",
            "the request's head is larger than 64 KiB or 100 header lines",
        ),
        SidecarRefusal::Loop => (
            S::LOOP_DETECTED,
            "loop_detected",
            "请求回到了 paygate 自身：PAYGATE_UPSTREAM 指向了 paygate",
            "the request came back: PAYGATE_UPSTREAM leads to paygate itself",
        ),
        SidecarRefusal::BodyBroken => (
            S::BAD_REQUEST,
            "body_broken",
            "请求体不完整",
            "the body is incomplete or invalidly framed",
        ),
        SidecarRefusal::BodySlow => (
            S::REQUEST_TIMEOUT,
            "body_timeout",
            "请求体没有及时到齐",
            "the body did not arrive in time",
        ),
        SidecarRefusal::Upstream(fault) => upstream_text(fault),
        SidecarRefusal::AdminDisabled => (
            S::FORBIDDEN,
            "admin_disabled",
            "未配置管理令牌：请设置 PAYGATE_ADMIN_TOKEN",
            "no admin token is configured: set PAYGATE_ADMIN_TOKEN",
        ),
    })
}

fn upstream_text(fault: UpstreamFault) -> RefusalText {
    use StatusCode as S;
    match fault {
        UpstreamFault::Unreachable => (
            S::BAD_GATEWAY,
            "upstream_unreachable",
            "后端服务无法连接",
            "the service behind paygate cannot be reached",
        ),
        UpstreamFault::Failed => (
            S::BAD_GATEWAY,
            "upstream_failed",
            "后端服务的应答不正常",
            "the service behind paygate gave no proper answer",
        ),
        UpstreamFault::HeadTooLarge => (
            S::BAD_GATEWAY,
            "upstream_head_too_large",
            "后端服务的应答头过大：最多 100 行",
            "the service behind paygate sent more than 100 header lines",
        ),
        UpstreamFault::Slow => (
            S::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "后端服务没有及时应答",
            "the service behind paygate did not answer in time",
        ),
        UpstreamFault::Busy => (
            S::SERVICE_UNAVAILABLE,
            "upstream_busy",
            "与后端服务的连接已用尽，请稍后重试",
            "every connection to the service behind paygate is in use; repeat the request later",
        ),
    }
}
