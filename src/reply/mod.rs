//! Replies: the only file that names an HTTP status, and the envelope of every refusal.
//!
//! ```
//! use paygate::error::{Error, Kind};
//! use paygate::reply::{Language, Reply};
//!
//! let reply = Reply { request_id: "r-1", language: Language::English, mock: false };
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

mod bodies;

use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::channel::{NotificationReply, PayType, ProviderId};
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::OrderStatus;
use crate::domain::platform::Platform;
use crate::error::{Code, Error, Kind, Text};

use bodies::{CreatedBody, Listed, Paid, Refused, Said, Unpaid};

/// What every reply to one request has in common.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Told in the body and echoed in `x-request-id`.
    pub request_id: &'a str,
    /// The language of `msg`.
    pub language: Language,
    /// Whether the simulated providers answer: replies say so in `x-paygate-mode`.
    pub mock: bool,
}

/// The material that a client pays with: what `createPayment` answers.
#[derive(Clone, Copy, Debug)]
pub struct Created<'a> {
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
    /// `qrcodeImage`: a PNG data URI, where the picture was asked for.
    pub qrcode_image: Option<&'a str>,
    /// `total_fee`
    pub total_fee: Fen,
    /// `platform`, by vk-uni-pay's names.
    pub platform: Platform,
    /// Whether the material was handed out before: `Idempotent-Replayed: true`.
    pub replayed: bool,
}

/// An order that is known: what `queryPayment` answers.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// `out_trade_no`
    pub out_trade_no: &'a OutTradeNo,
    /// `status`
    pub status: OrderStatus,
    /// The payment that made it paid; `None` for an order that is not.
    pub transaction_id: Option<&'a TransactionId>,
    /// Whether the shop has accepted the event of the payment; `None` where nobody is told.
    pub user_order_success: Option<bool>,
    /// The provider's word for an unpaid order, if it was asked.
    pub trade_state: Option<&'a str>,
    /// `payOrder`, for the admin listener only.
    pub pay_order: Option<&'a RawValue>,
}

/// `Idempotent-Replayed`: the material was handed out before.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// `x-paygate-mode`: `mock` where the simulated providers answer.
pub const PAYGATE_MODE: HeaderName = HeaderName::from_static("x-paygate-mode");
/// `x-request-id`
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Reply<'_> {
    /// 200, and what the client needs to pay.
    #[must_use]
    pub fn created(&self, created: &Created<'_>) -> Response<Bytes> {
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

    /// 200, and whether the order is paid.
    #[must_use]
    pub fn known(&self, known: &Known<'_>) -> Response<Bytes> {
        let Known { out_trade_no, status, pay_order, .. } = *known;
        let (out_trade_no, request_id) = (out_trade_no.as_str(), self.request_id);
        let Some(transaction_id) = known.transaction_id else {
            let unsaid = if status == OrderStatus::Closed { "CLOSED" } else { "NOTPAY" };
            return self.json(
                StatusCode::OK,
                &Unpaid {
                    code: NOT_PAID,
                    msg: self.language.pick("订单未支付", "the order is not paid"),
                    order_paid: false,
                    out_trade_no,
                    status: status.number(),
                    trade_state: known.trade_state.unwrap_or(unsaid),
                    pay_order,
                    request_id,
                },
            );
        };
        let paid = Paid {
            code: 0,
            msg: "ok",
            order_paid: true,
            user_order_success: known.user_order_success,
            out_trade_no,
            transaction_id: &transaction_id.0,
            status: status.number(),
            pay_order,
            request_id,
        };
        self.json(StatusCode::OK, &paid)
    }

    /// What `provider` wants to hear when its notification is durable: it sends no other then.
    #[must_use]
    pub fn acknowledged(&self, provider: ProviderId) -> Response<Bytes> {
        self.notification_reply(StatusCode::OK, provider.acknowledgement())
    }

    /// What `provider` hears otherwise, so that it comes again: the status says why, the words
    /// tell a forger nothing.
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

    /// A list, or that something is done, as the admin listener answers.
    #[must_use]
    pub fn done(&self, body: &impl Serialize) -> Response<Bytes> {
        self.json(StatusCode::OK, body)
    }

    /// 204: nothing to say (a CORS preflight).
    #[must_use]
    pub fn empty(&self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    }

    /// The envelope of a refusal, with its status and headers.
    #[must_use]
    pub fn refusal(&self, error: &Error) -> Response<Bytes> {
        let kind = error.kind();
        let shop = error.shop_refusal();
        let (number, status, name) = answer(kind);
        let status = shop.map_or(status, |it| client_error(it.status).unwrap_or(status));
        let first = error.violations().first().filter(|_| kind == Kind::Invalid);
        let (zh, en) = words(kind);
        let own = error.own_text().or(first.map(|it| &it.message));
        let errors = error.violations().iter().map(|it| Listed {
            path: &it.path,
            rule: it.rule,
            message: self.told(&it.message),
        });
        let body = Refused {
            code: match (shop, first) {
                (Some(shop), _) => shop.code,
                (None, first) => first.map_or(number, |it| it.code.number()).into(),
            },
            msg: match (shop, own) {
                (Some(shop), _) => &shop.msg,
                (None, Some(own)) => self.told(own),
                (None, None) => self.language.pick(zh, en),
            },
            error: first.map_or(name, |it| slug(it.code)),
            request_id: self.request_id,
            errors: errors.collect(),
            provider: error.provider().map(|(code, message)| Said { code, message }),
            status: error.status(),
        };
        let mut response = self.json(status, &body);
        let headers = response.headers_mut();
        if let Some(seconds) = error.retry_after().or(default_wait_s(kind, status)) {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match status {
            // Both public operations and every notification are POST.
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

    fn told<'t>(&self, text: &'t Text) -> &'t str {
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
        let says_something = !body.is_empty();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if says_something {
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
    /// What `Accept-Language` prefers: English if it weighs more than Chinese, or as much and
    /// comes first; else Chinese.
    #[must_use]
    pub fn preferred(headers: &HeaderMap) -> Language {
        let mut chinese = (0, usize::MAX);
        let mut english = (0, usize::MAX);
        let values = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|it| it.to_str().ok());
        for (place, range) in values.flat_map(|it| it.split(',')).enumerate() {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let tag = tag.trim().split('-').next().unwrap_or_default();
            let weight = weight(parameters);
            let is = |name: &str| tag.eq_ignore_ascii_case(name);
            // A wildcard takes any language, and ours is Chinese.
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

/// A `q` in thousandths; an ill one weighs nothing.
fn weight(parameters: &str) -> u32 {
    let mut parameters = parameters.split(';').map(str::trim);
    let Some(q) = parameters.find_map(|it| it.strip_prefix(['q', 'Q'])?.trim().strip_prefix('='))
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

/// The code of an order that is not paid: as a query's answer no refusal, but 200.
const NOT_PAID: u16 = 2002;

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// The code table: number, status and stable name. The first violation's code counts before this
/// number.
fn answer(kind: Kind) -> (u16, StatusCode, &'static str) {
    use StatusCode as S;
    match kind {
        Kind::NotFound => (404, S::NOT_FOUND, "not_found"),
        Kind::MethodNotAllowed => (4000, S::METHOD_NOT_ALLOWED, "method_not_allowed"),
        Kind::UnsupportedMediaType => (4000, S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
        Kind::BodyTooLarge => (4000, S::PAYLOAD_TOO_LARGE, "body_too_large"),
        Kind::BodyTimeout => (4000, S::REQUEST_TIMEOUT, "body_timeout"),
        Kind::BodyUnreadable => (4000, S::BAD_REQUEST, "body_unreadable"),
        Kind::Invalid => (4000, S::UNPROCESSABLE_ENTITY, slug(Code::Body)),
        Kind::CallerNotAllowed => (4005, S::UNAUTHORIZED, "caller_not_allowed"),
        Kind::ShopRefused => (5001, S::SERVICE_UNAVAILABLE, "shop_refused"),
        Kind::PayTypeNotPossible => (4004, S::UNPROCESSABLE_ENTITY, slug(Code::PayType)),
        Kind::AlreadyPaid => (4101, S::CONFLICT, "already_paid"),
        Kind::Different => (4102, S::UNPROCESSABLE_ENTITY, slug(Code::Different)),
        Kind::Busy => (4103, S::CONFLICT, "busy"),
        Kind::SwitchRejected => (4104, S::CONFLICT, "switch_rejected"),
        Kind::Closed => (4105, S::CONFLICT, "closed"),
        Kind::ProviderRefused => (3001, S::BAD_GATEWAY, "provider_refused"),
        Kind::NotSent => (5001, S::SERVICE_UNAVAILABLE, "not_sent"),
        Kind::OutcomeUnknown => (5002, S::SERVICE_UNAVAILABLE, "outcome_unknown"),
        Kind::NoSuchOrder => (2001, S::NOT_FOUND, "no_such_order"),
        Kind::NotPaid => (2002, S::CONFLICT, "not_paid"),
        Kind::NotRefunded => (2003, S::CONFLICT, "not_refunded"),
        Kind::TooSoon => (2004, S::CONFLICT, "too_soon"),
        Kind::RefundExceeds => (4106, S::UNPROCESSABLE_ENTITY, "refund_exceeds"),
        Kind::Unverifiable => (4005, S::UNAUTHORIZED, "unverifiable"),
        Kind::Mismatched => (2002, S::CONFLICT, "mismatched"),
    }
}

/// The status that the shop answers a client with: it may blame the client only.
fn client_error(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(StatusCode::is_client_error)
}

/// The kind's own words, in Chinese and in English.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::NotFound => ("接口不存在", "there is no such path"),
        Kind::MethodNotAllowed => ("请求方法不支持,请使用POST", "use POST"),
        Kind::UnsupportedMediaType => (
            "请求体必须是未压缩的application/json",
            "the body must be application/json, not encoded",
        ),
        Kind::BodyTooLarge => ("请求体过大", "the body is too large"),
        Kind::BodyTimeout => ("请求体接收超时", "the body did not arrive in time"),
        Kind::BodyUnreadable => ("请求体无法解析", "the body is unreadable"),
        Kind::Invalid => ("参数错误", "the request breaks a rule"),
        Kind::CallerNotAllowed => ("调用方未授权", "the caller is not allowed to ask"),
        Kind::ShopRefused => ("商户拒绝了请求", "the shop refused"),
        Kind::PayTypeNotPossible => {
            ("当前环境不支持该支付方式", "this pay type is not possible here")
        }
        Kind::AlreadyPaid => ("订单已支付", "the order is paid"),
        Kind::Different => {
            ("相同订单号的参数不一致", "the same number came with other parameters before")
        }
        Kind::Busy => ("订单正在处理,请稍后重试", "the order is busy; try again"),
        Kind::SwitchRejected => ("订单已选择其他支付方式", "the order is being paid another way"),
        Kind::Closed => ("订单已关闭", "the order is closed"),
        Kind::ProviderRefused => ("支付服务商拒绝了请求", "the provider refused"),
        Kind::NotSent => ("服务暂不可用,未发起支付,请稍后重试", "nothing was sent; safe to repeat"),
        Kind::OutcomeUnknown => (
            "支付结果未知,请使用相同订单号重试",
            "the outcome is unknown; repeat with the same number",
        ),
        Kind::NoSuchOrder => ("订单不存在", "there is no such order"),
        Kind::NotPaid => ("订单未支付", "the order is not paid"),
        Kind::NotRefunded => ("订单未退款", "nothing was refunded"),
        Kind::TooSoon => ("订单正在处理,请稍后再退款", "the order is busy; try again"),
        Kind::RefundExceeds => ("超出可退金额", "the refund exceeds what is left"),
        Kind::Unverifiable => ("验签失败", "not verifiable"),
        Kind::Mismatched => ("支付金额与订单不一致", "the payment does not fit its order"),
    }
}

/// When a client that is told to come again may do so, in seconds: every 503, and the order that
/// another request is working on.
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
