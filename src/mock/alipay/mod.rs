//! Simulated Alipay.

mod notification;
mod refund;
mod reply;
mod request;
mod trade;
mod validate;

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::provider::{
    CashierVisit, RefundConditions, RefundPlan, RefusalReason, RequestedRefund, SigningOptions,
    SimulatedProvider,
};
use super::purchase::{ActionRefused, PaymentTarget};
use super::reply::UnsignedReply;
use super::world::World;
use super::world::faults::ProviderOperation;
use super::world::notification::MerchantAnswer;
use super::world::notification_content::NotificationContent;
use super::world::order::SimulatedOrder;
use crate::domain::channel::ProviderId;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;
use reply::AlipayReply;
use request::{AlipayApiError, AlipayRequest};

/// Simulated Alipay.
#[derive(Debug)]
pub(super) struct Alipay;

impl SimulatedProvider for Alipay {
    fn id(&self) -> ProviderId {
        ProviderId::Alipay
    }

    fn has_path(&self, path: &str) -> bool {
        path == "/gateway.do"
    }

    fn operation(&self, request: &Request<Bytes>) -> Option<ProviderOperation> {
        let is_gateway = self.has_path(request.uri().path());
        is_gateway.then(|| AlipayRequest::parse(request).operation())
    }

    fn order_number(&self, request: &Request<Bytes>) -> Option<String> {
        AlipayRequest::parse(request).order_number()
    }

    fn act(&self, world: &World, request: &Request<Bytes>) -> Box<dyn UnsignedReply> {
        let request = AlipayRequest::parse(request);
        let checked = request.check();
        let method = request.method();
        if matches!(method, "alipay.trade.wap.pay" | "alipay.trade.page.pay") {
            return Box::new(trade::pay_page(world, &request, checked));
        }
        let result = checked.and_then(|content| match method {
            "alipay.trade.create" => trade::create(world, &request, &content),
            "alipay.trade.precreate" => trade::precreate(world, &request, &content),
            "alipay.trade.query" => trade::query(world, &request, &content),
            "alipay.trade.close" => trade::close(world, &request, &content),
            "alipay.trade.refund" => refund::refund(world, self, &request, &content),
            "alipay.trade.fastpay.refund.query" => refund::query(world, &request, &content),
            _ => Err(AlipayApiError::new("40002", "isv.invalid-method", "不存在的方法名")),
        });
        Box::new(AlipayReply::new(&request, result))
    }

    fn refuse(
        &self,
        request: &Request<Bytes>,
        reason: RefusalReason<'_>,
    ) -> Box<dyn UnsignedReply> {
        let error = match reason {
            RefusalReason::Requested(refuse) => AlipayApiError::requested(refuse),
            RefusalReason::InsufficientBalance => refund::not_enough(),
            RefusalReason::RefundTooSoon => refund::too_soon(),
        };
        Box::new(AlipayReply::new(&AlipayRequest::parse(request), Err(error)))
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
        answer.status == Some(200) && answer.text == "success"
    }

    /// Alipay closes a trade at its timeout (alipay.trade.create, `timeout_express`).
    fn closes_at(&self, order: &SimulatedOrder) -> Millis {
        order.terms.expires
    }

    fn open_cashier(
        &self,
        existing: Option<SimulatedOrder>,
        target: &PaymentTarget,
        visit: CashierVisit<'_>,
    ) -> Result<SimulatedOrder, ActionRefused> {
        trade::open_cashier(existing, target, visit, self.default_payer())
    }

    fn signed_order(&self, text: &str, now: Millis) -> Result<PaymentTarget, ActionRefused> {
        trade::signed_order(text, now)
    }

    fn default_payer(&self) -> &'static str {
        "2088000000000999"
    }

    /// Alipay has no state between success and failure.
    fn refund_final_state(&self, state: RefundState) -> RefundState {
        match state {
            RefundState::Abnormal => RefundState::Closed,
            state => state,
        }
    }

    fn refund_plan(
        &self,
        order: &SimulatedOrder,
        _: &RequestedRefund,
        conditions: RefundConditions,
    ) -> RefundPlan {
        refund::plan(order, conditions)
    }

    fn has_xml_notifications(&self) -> bool {
        false
    }

    fn has_currencies(&self) -> bool {
        false
    }
}
