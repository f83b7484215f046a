//! Simulated WeChat Pay V3.

mod auth;
mod merchant;
mod notification;
mod orders;
mod refund;
mod reply;
mod responses;
mod route;
mod validate;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;

use super::keys;
use super::provider::{
    CashierVisit, RefundConditions, RefundPlan, RefusalReason, RequestedRefund, SigningOptions,
    SimulatedProvider,
};
use super::purchase::{ActionRefused, PaymentTarget};
use super::reply::UnsignedReply;
use super::sign::Signer;
use super::world::World;
use super::world::faults::ProviderOperation;
use super::world::notification::MerchantAnswer;
use super::world::notification_content::NotificationContent;
use super::world::order::SimulatedOrder;
use crate::domain::channel::ProviderId;
use crate::domain::order::refund::RefundState;
use crate::domain::time::{DAY_MS, Millis};
use reply::WxpayReply;
use responses::{WxpayApiError, certificates, not_found, trade_response};
use route::WxpayRoute;

/// Simulated WeChat Pay V3.
#[derive(Debug)]
pub(super) struct Wxpay;

impl SimulatedProvider for Wxpay {
    fn id(&self) -> ProviderId {
        ProviderId::Wxpay
    }

    fn has_path(&self, path: &str) -> bool {
        WxpayRoute::parse(path).is_some()
    }

    fn operation(&self, request: &Request<Bytes>) -> Option<ProviderOperation> {
        Some(route_of(request)?.operation())
    }

    fn order_number(&self, request: &Request<Bytes>) -> Option<String> {
        route_of(request)?.order_number(request.body())
    }

    fn act(&self, world: &World, request: &Request<Bytes>) -> Box<dyn UnsignedReply> {
        let serial = request.headers().get("wechatpay-serial").map(|value| value.as_bytes());
        let signer = match serial {
            Some(id) if id == keys::WXPAY_PUBLIC_KEY_ID.as_bytes() => Signer::WxpayPublicMode,
            _ => Signer::WxpayPlatform,
        };
        Box::new(match self.execute(world, request) {
            Ok(Some(body)) => WxpayReply { status: StatusCode::OK, body: body.to_string(), signer },
            Ok(None) => WxpayReply { status: StatusCode::NO_CONTENT, body: String::new(), signer },
            Err(error) => WxpayReply::from(error),
        })
    }

    fn refuse(&self, _: &Request<Bytes>, reason: RefusalReason<'_>) -> Box<dyn UnsignedReply> {
        Box::new(match reason {
            RefusalReason::Requested(refuse) => WxpayReply::refusal(refuse),
            RefusalReason::InsufficientBalance => WxpayReply::from(refund::not_enough()),
            RefusalReason::RefundTooSoon => WxpayReply::from(refund::too_soon()),
        })
    }

    fn notification(
        &self,
        content: NotificationContent<'_>,
        signing: SigningOptions,
    ) -> (HeaderMap, String) {
        notification::sign(content, signing)
    }

    fn retry_waits_ms(&self) -> &'static [i64] {
        &notification::RETRY_WAITS_MS
    }

    fn acknowledges(&self, answer: MerchantAnswer<'_>) -> bool {
        matches!(answer.status, Some(200 | 204))
    }

    /// WeChat Pay leaves an order NOTPAY after `time_expire` and closes it after 7 days (V3,
    /// "query order").
    fn closes_at(&self, order: &SimulatedOrder) -> Millis {
        order.created.plus(7 * DAY_MS)
    }

    fn open_cashier(
        &self,
        existing: Option<SimulatedOrder>,
        _: &PaymentTarget,
        visit: CashierVisit<'_>,
    ) -> Result<SimulatedOrder, ActionRefused> {
        orders::open_cashier(existing, visit)
    }

    /// WeChat Pay has no such text.
    fn signed_order(&self, _: &str, _: Millis) -> Result<PaymentTarget, ActionRefused> {
        Err(ActionRefused::unknown_order())
    }

    fn default_payer(&self) -> &'static str {
        "oMockBuyer000000000000000001"
    }

    fn refund_final_state(&self, state: RefundState) -> RefundState {
        state
    }

    fn refund_plan(
        &self,
        _: &SimulatedOrder,
        request: &RequestedRefund,
        conditions: RefundConditions,
    ) -> RefundPlan {
        refund::plan(request, conditions)
    }

    /// In the format of V2.
    fn has_xml_notifications(&self) -> bool {
        true
    }

    fn has_currencies(&self) -> bool {
        true
    }
}

impl Wxpay {
    fn execute(
        &self,
        world: &World,
        request: &Request<Bytes>,
    ) -> Result<Option<Value>, WxpayApiError> {
        let route = route_of(request).ok_or_else(not_found)?;
        // WeChat Pay checks it before the signature (`/v3/certificates` without `User-Agent`).
        if route == WxpayRoute::Certificates && !request.headers().contains_key(USER_AGENT) {
            return Err(WxpayApiError::new(400, "INVALID_REQUEST", "Http头缺少User-Agent"));
        }
        auth::check(request, world.clock_time())?;
        match route {
            WxpayRoute::Create(product, role) => orders::create(world, request, product, role),
            WxpayRoute::ByNumber(number, role) => {
                let merchant = merchant::of_query(request, role)?;
                let order = world.find(&merchant::account(&merchant), &number);
                Ok(Some(trade_response(&order.ok_or_else(not_found)?, role)))
            }
            WxpayRoute::ByTransaction(id, role) => {
                let merchant = merchant::of_query(request, role)?;
                let order = world.find_by_transaction(&merchant::account(&merchant), &id);
                Ok(Some(trade_response(&order.ok_or_else(not_found)?, role)))
            }
            WxpayRoute::Close(number, role) => orders::close(world, request.body(), &number, role),
            WxpayRoute::Refund => refund::refund(world, self, request.body()),
            WxpayRoute::RefundByNumber(number) => refund::query(world, request, &number),
            WxpayRoute::Certificates => Ok(Some(certificates())),
        }
    }
}

fn route_of(request: &Request<Bytes>) -> Option<WxpayRoute> {
    let (method, route): (Method, WxpayRoute) = WxpayRoute::parse(request.uri().path())?;
    (method == request.method()).then_some(route)
}
