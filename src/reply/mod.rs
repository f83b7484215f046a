//! Replies of the payment operations: only this file names their HTTP statuses, and only this part
//! has their bodies, public and admin.
//!
//! ```
//! use paygate::error::{Error, Kind};
//! use paygate::testing::reply::{Language, ReplyWriter};
//!
//! let reply = ReplyWriter { request_id: "r-1", language: Language::English, mock: false };
//! let response = reply.refusal(&Error::new(Kind::AlreadyPaid).order_status(1));
//! assert_eq!(response.status(), 409);
//! assert_eq!(
//!     response.body(),
//!     concat!(
//!         r#"{"code":4101,"msg":"the order is paid","error":"already_paid","#,
//!         r#""requestId":"r-1","status":1}"#,
//!     )
//! );
//! ```

#[cfg(feature = "sidecar")]
pub(crate) mod admin;
mod bodies;
#[cfg(feature = "sidecar")]
pub(crate) mod pay_order;

use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::channel::{NotificationReply, PayType, ProviderId};
use crate::domain::ids::OutTradeNo;
use crate::domain::money::Fen;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::platform::Platform;
use crate::error::{Code, Error, Kind, Text};

use bodies::{CreatedBody, PaidBody, ProviderErrorBody, RefusalBody, UnpaidBody, ViolationBody};

/// Writes the replies to one request.
#[derive(Clone, Copy, Debug)]
pub struct ReplyWriter<'a> {
    /// The request's id, in the body and in `x-request-id`.
    pub request_id: &'a str,
    /// The language of `msg`.
    pub language: Language,
    /// Whether the providers are simulated: then replies carry `x-paygate-mode: mock`.
    pub mock: bool,
}

/// The material that a client pays with, as `createPayment` answers it.
#[derive(Clone, Copy, Debug)]
pub struct CreatedPayment<'a> {
    /// `orderInfo`, which is JSON already.
    pub order_info: &'a RawValue,
    /// `out_trade_no`
    pub out_trade_no: &'a OutTradeNo,
    /// `provider`
    pub provider: ProviderId,
    /// `pay_type`
    pub pay_type: PayType,
    /// `needQRcode`: whether the request asked for a QR code.
    pub need_qrcode: bool,
    /// `qrcodeImage`: a PNG data URI, if the request wants the image.
    pub qrcode_image: Option<&'a str>,
    /// `total_fee`
    pub total_fee: Fen,
    /// `platform`, by vk-uni-pay's names.
    pub platform: Platform,
    /// Whether the material was already handed out: `Idempotent-Replayed: true`.
    pub replayed: bool,
}

/// An order as `queryPayment` answers it.
#[derive(Clone, Copy, Debug)]
pub struct OrderView<'a> {
    /// The order.
    pub order: &'a Order,
    /// Whether the shop has accepted the payment's event; `None` where the order is unpaid, or the
    /// shop has neither a webhook nor a handler.
    pub user_order_success: Option<bool>,
    /// The provider's trade state of an unpaid order, if the provider was queried.
    pub trade_state: Option<&'a str>,
    /// `payOrder`, for the admin listener only.
    pub pay_order: Option<&'a RawValue>,
}

/// `Idempotent-Replayed`: the material was already handed out.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// `x-paygate-mode`: `mock` where the simulated providers answer.
pub const PAYGATE_MODE: HeaderName = HeaderName::from_static("x-paygate-mode");
/// `x-request-id`
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl ReplyWriter<'_> {
    /// 200 with the material that the client pays with.
    #[must_use]
    pub fn created(&self, created: &CreatedPayment<'_>) -> Response<Bytes> {
        let body = CreatedBody {
            code: 0,
            msg: "ok",
            order_info: created.order_info,
            out_trade_no: created.out_trade_no.as_str(),
            provider: created.provider.name(),
            pay_type: created.pay_type.name(),
            need_qrcode: created.need_qrcode,
            qrcode_image: created.qrcode_image,
            total_fee: created.total_fee.fen(),
            platform: created.platform.name(),
            request_id: self.request_id,
        };
        let mut response = self.json(StatusCode::OK, &body);
        if created.replayed {
            response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    /// 200 with the order's status.
    #[must_use]
    pub fn order(&self, view: &OrderView<'_>) -> Response<Bytes> {
        let OrderView { order, pay_order, .. } = *view;
        let (out_trade_no, request_id) = (order.out_trade_no().as_str(), self.request_id);
        let winning = order.winning_payment();
        let Some(payment) = winning else {
            let is_closed = order.status == OrderStatus::Closed;
            let default_state = if is_closed { "CLOSED" } else { "NOTPAY" };
            let unpaid = UnpaidBody {
                code: NOT_PAID,
                msg: self.language.pick("订单未支付", "the order is not paid"),
                order_paid: false,
                out_trade_no,
                status: order.status.number(),
                trade_state: view.trade_state.unwrap_or(default_state),
                pay_order,
                request_id,
            };
            return self.json(StatusCode::OK, &unpaid);
        };
        let paid = PaidBody {
            code: 0,
            msg: "ok",
            order_paid: true,
            user_order_success: view.user_order_success,
            out_trade_no,
            transaction_id: &payment.transaction_id.0,
            status: order.status.number(),
            pay_order,
            request_id,
        };
        self.json(StatusCode::OK, &paid)
    }

    /// Acknowledges a notification that is durable, so that `provider` does not repeat it.
    #[must_use]
    pub fn acknowledged(&self, provider: ProviderId) -> Response<Bytes> {
        self.notification_reply(StatusCode::OK, provider.acknowledgement())
    }

    /// Refuses a notification, so that `provider` repeats it. The status names the reason; the body
    /// reveals nothing to a forger.
    #[must_use]
    pub fn not_acknowledged(&self, provider: ProviderId, error: &Error) -> Response<Bytes> {
        let refusal = self.refusal(error);
        let mut response = self.notification_reply(refusal.status(), provider.rejection());
        for name in [ALLOW, RETRY_AFTER] {
            if let Some(value) = refusal.headers().get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }

    /// 200 with the body of an admin operation.
    #[must_use]
    pub fn ok(&self, body: &impl Serialize) -> Response<Bytes> {
        self.json(StatusCode::OK, body)
    }

    /// 204 (a CORS preflight).
    #[must_use]
    pub fn no_content(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// The envelope of a refusal, with its status and headers.
    #[must_use]
    pub fn refusal(&self, error: &Error) -> Response<Bytes> {
        let kind = error.kind();
        let shop = error.shop_refusal();
        let (status, name) = status_name(kind);
        let status = shop.map_or(status, |refusal| client_error(refusal.status).unwrap_or(status));
        let first = error.violations().first().filter(|_| kind == Kind::Invalid);
        let (zh, en) = error.texts();
        let errors = error.violations().iter().map(|violation| ViolationBody {
            path: &violation.path,
            rule: violation.rule,
            message: self.localized(&violation.message),
        });
        let body = RefusalBody {
            code: error.code(),
            msg: self.language.pick(zh, en),
            error: first.map_or(name, |violation| slug(violation.code)),
            request_id: self.request_id,
            errors: errors.collect(),
            provider: error.provider().map(|(code, message)| ProviderErrorBody { code, message }),
            status: error.status(),
        };
        let mut response = self.json(status, &body);
        let headers = response.headers_mut();
        if let Some(seconds) = error.retry_after().or(default_wait_s(kind, status)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match status {
            // The public operations and the notifications are POST.
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }

    fn localized<'t>(&self, text: &'t Text) -> &'t str {
        self.language.pick(&text.zh, &text.en)
    }

    fn json(&self, status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
        let bytes = serde_json::to_vec(body).expect("a reply has string keys and no failing part");
        self.whole(status, JSON, bytes.into())
    }

    fn notification_reply(&self, status: StatusCode, reply: NotificationReply) -> Response<Bytes> {
        let (content_type, body) = match reply {
            NotificationReply::Empty => (TEXT, ""),
            NotificationReply::Text(text) => (TEXT, text),
            NotificationReply::Json(json) => (JSON, json),
        };
        self.whole(status, content_type, Bytes::from_static(body.as_bytes()))
    }

    fn whole(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: Bytes,
    ) -> Response<Bytes> {
        let has_body = !body.is_empty();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        // Payment material is for one buyer: no cache on the way may keep it.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(self.request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if self.mock {
            headers.insert(PAYGATE_MODE, HeaderValue::from_static("mock"));
        }
        response
    }
}

/// The language of texts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// Chinese, as vk-uni-pay answers.
    #[default]
    Chinese,
    /// English, where `Accept-Language` prefers it.
    English,
}

impl Language {
    /// The language that `Accept-Language` prefers: English if it weighs more than Chinese, or as
    /// much and comes first; else Chinese.
    #[must_use]
    pub fn preferred(headers: &HeaderMap) -> Language {
        let mut chinese = (0, usize::MAX);
        let mut english = (0, usize::MAX);
        let values =
            headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        for (place, range) in values.flat_map(|value| value.split(',')).enumerate() {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let tag = tag.trim().split('-').next().unwrap_or_default();
            let weight = weight(parameters);
            let is = |name: &str| tag.eq_ignore_ascii_case(name);
            // A wildcard accepts any language; the default is Chinese.
            if (is("zh") || tag == "*") && weight > chinese.0 {
                chinese = (weight, place);
            } else if is("en") && weight > english.0 {
                english = (weight, place);
            }
        }
        let (more, as_much) = (english.0 > chinese.0, english.0 == chinese.0);
        if more || (as_much && english.1 < chinese.1) {
            Language::English
        } else {
            Language::Chinese
        }
    }

    fn pick<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        match self {
            Language::Chinese => zh,
            Language::English => en,
        }
    }
}

/// The weight `q` in thousandths; 0 for an invalid one.
fn weight(parameters: &str) -> u32 {
    let mut parameters = parameters.split(';').map(str::trim);
    let Some(q) =
        parameters.find_map(|part| part.strip_prefix(['q', 'Q'])?.trim().strip_prefix('='))
    else {
        return 1_000;
    };
    let (whole, thousandths) = q.trim().split_once('.').unwrap_or((q.trim(), ""));
    let digits = thousandths.bytes().all(|b| b.is_ascii_digit()) && thousandths.len() <= 3;
    match whole {
        "1" => 1_000,
        "0" if digits => format!("{thousandths:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// The code of an order that is not paid, with which a query answers 200.
const NOT_PAID: u16 = 2002;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The status and the stable name of a kind.
fn status_name(kind: Kind) -> (StatusCode, &'static str) {
    use StatusCode as S;
    match kind {
        Kind::NotFound => (S::NOT_FOUND, "not_found"),
        Kind::BadRequest => (S::BAD_REQUEST, "bad_request"),
        Kind::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Kind::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        Kind::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
        Kind::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout"),
        Kind::BodyUnreadable => (S::BAD_REQUEST, "body_unreadable"),
        Kind::Invalid => (S::UNPROCESSABLE_ENTITY, slug(Code::Body)),
        Kind::CallerNotAllowed => (S::UNAUTHORIZED, "caller_not_allowed"),
        Kind::ShopRefused => (S::SERVICE_UNAVAILABLE, "shop_refused"),
        Kind::PayTypeNotPossible | Kind::BuyerAddressUnknown => {
            (S::UNPROCESSABLE_ENTITY, slug(Code::PayType))
        }
        Kind::AlreadyPaid => (S::CONFLICT, "already_paid"),
        Kind::Different => (S::UNPROCESSABLE_ENTITY, slug(Code::Different)),
        Kind::Busy => (S::CONFLICT, "busy"),
        Kind::SwitchRejected => (S::CONFLICT, "switch_rejected"),
        Kind::Closed => (S::CONFLICT, "closed"),
        Kind::ProviderRefused => (S::BAD_GATEWAY, "provider_refused"),
        Kind::NotSent => (S::SERVICE_UNAVAILABLE, "not_sent"),
        Kind::OutcomeUnknown => (S::SERVICE_UNAVAILABLE, "outcome_unknown"),
        Kind::NoSuchOrder => (S::NOT_FOUND, "no_such_order"),
        Kind::NotPaid => (S::CONFLICT, "not_paid"),
        Kind::NotRefunded => (S::CONFLICT, "not_refunded"),
        Kind::TooSoon => (S::CONFLICT, "too_soon"),
        Kind::RefundExceeds => (S::UNPROCESSABLE_ENTITY, "refund_exceeds"),
        Kind::Unverifiable => (S::UNAUTHORIZED, "unverifiable"),
        Kind::Mismatched => (S::CONFLICT, "mismatched"),
    }
}

/// The status of a shop's refusal, which must be a client error.
fn client_error(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(StatusCode::is_client_error)
}

/// The default `Retry-After`, in seconds: for every 503, and for an order that another request
/// holds.
fn default_wait_s(kind: Kind, status: StatusCode) -> Option<u32> {
    match (kind, status) {
        (Kind::Busy | Kind::TooSoon, _) => Some(2),
        (_, StatusCode::SERVICE_UNAVAILABLE) => Some(5),
        _ => None,
    }
}

fn slug(code: Code) -> &'static str {
    match code {
        Code::OutTradeNo => "invalid_out_trade_no",
        Code::Type => "invalid_type",
        Code::TotalFee => "invalid_total_fee",
        Code::Subject => "invalid_subject",
        Code::Provider => "invalid_provider",
        Code::Openid => "invalid_openid",
        Code::Body => "invalid_field",
        Code::CustomKey => "invalid_custom",
        Code::OtherKey => "invalid_other",
        Code::Pid => "unknown_pid",
        Code::PayType => "pay_type_not_possible",
        Code::Different => "different_parameters",
    }
}
