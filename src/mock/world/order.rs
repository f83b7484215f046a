//! An order as a provider keeps it: what it is for, what a buyer can pay it with, its payments.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::payment::SimulatedPayment;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::Millis;

/// One merchant order number at one provider: at most one order, paid at most once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedOrder {
    /// The provider that keeps the order.
    pub provider: ProviderId,
    /// The account that is paid: `mchid` (`sp_mchid/sub_mchid` for a partner), or Alipay's seller.
    pub merchant: String,
    /// The merchant's order number.
    pub out_trade_no: String,
    /// The state of the order.
    pub state: State,
    /// What the order is for. The last precreate call sets it while Alipay has no trade yet.
    pub terms: TradeTerms,
    /// The time at which the merchant first used the number.
    pub created: Millis,
    /// The time at which the order was closed.
    pub closed: Option<Millis>,
    /// How many calls that create the order the provider accepted.
    pub create_calls: u32,
    /// The codes with which a buyer can pay, oldest first.
    #[serde(rename = "offers")]
    pub payment_codes: Vec<PaymentCode>,
    /// The provider's number. WeChat Pay assigns it with the payment, Alipay with the trade.
    pub transaction_id: Option<String>,
    /// The time until which a buyer is entering a password: WeChat Pay does not close the order
    /// before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paying_until: Option<Millis>,
    /// The WeChat Pay key with which the merchant verifies: the `Wechatpay-Serial` of its order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wechatpay_serial: Option<String>,
    /// The payments of the order.
    pub payments: Vec<SimulatedPayment>,
}

/// The state of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Alipay issued a QR code that no buyer has scanned: there is no trade yet.
    Offered,
    /// A buyer can pay the order.
    Unpaid,
    /// A buyer has paid the order.
    Paid,
    /// The order was closed unpaid.
    Closed,
}

/// What is bought, as far as a provider compares it when the merchant repeats the number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TradeTerms {
    /// The product of the call that created the order.
    pub product: Product,
    /// `appid`, `app_id`.
    pub app_id: String,
    /// The amount, in fen.
    pub amount: Fen,
    /// The title that the buyer sees.
    pub subject: String,
    /// The only buyer that may pay the order: `openid`, `buyer_id`, `buyer_open_id`.
    pub buyer: Option<String>,
    /// The time from which no buyer can pay the order.
    pub expires: Millis,
    /// A SHA-256, in hex, of the parameters that must be the same on every call.
    pub digest: String,
    /// The request: WeChat Pay's body; Alipay's parameters with `biz_content` parsed, without the
    /// signature and `app_auth_token`.
    pub request: Value,
}

/// A code with which a buyer can pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCode {
    /// The `prepay_id`, `code_url`, `h5_url` or `qr_code`.
    pub code: String,
    /// What a payment with the code buys.
    pub terms: TradeTerms,
    /// The time at which the provider issued the code.
    pub issued: Millis,
    /// The time from which the code is invalid.
    pub valid_until: Millis,
}

impl SimulatedOrder {
    /// A new order without payment codes and payments.
    pub(in crate::mock) fn new(id: OrderId<'_>, state: State, terms: TradeTerms) -> SimulatedOrder {
        SimulatedOrder {
            provider: id.merchant.provider,
            merchant: id.merchant.id.to_owned(),
            out_trade_no: id.out_trade_no.to_owned(),
            state,
            terms,
            created: id.created,
            closed: None,
            create_calls: 0,
            payment_codes: Vec::new(),
            transaction_id: None,
            paying_until: None,
            wechatpay_serial: None,
            payments: Vec::new(),
        }
    }

    /// The order at `now`: closed where it was unpaid at `closes_at`, with every refund ended
    /// whose time has come.
    pub(in crate::mock) fn at(&self, now: Millis, closes_at: Millis) -> SimulatedOrder {
        let mut order = self.clone();
        if order.state == State::Unpaid && now >= closes_at {
            order.state = State::Closed;
            order.closed = Some(closes_at);
        }
        let refunds = order.payments.iter_mut().flat_map(|payment| &mut payment.refunds);
        refunds.for_each(|refund| refund.settle(now));
        order
    }

    /// Whether the order was paid and its payments are refunded in full.
    #[must_use]
    pub fn is_fully_refunded(&self) -> bool {
        !self.payments.is_empty() && self.payments.iter().all(SimulatedPayment::is_fully_refunded)
    }

    /// Whether another call for the order has the same terms.
    pub(in crate::mock) fn has_same_terms(&self, terms: &TradeTerms) -> bool {
        self.terms.digest == terms.digest
    }

    /// Issues `code`, and drops the codes that are no longer valid at `now`.
    pub(in crate::mock) fn issue_code(&mut self, code: String, now: Millis, lifetime_ms: i64) {
        self.payment_codes.retain(|issued| issued.valid_until > now);
        let valid_until = now.plus(lifetime_ms).min(self.terms.expires);
        let terms = self.terms.clone();
        self.payment_codes.push(PaymentCode { code, terms, issued: now, valid_until });
    }

    /// The URL that the merchant's order names for notifications.
    pub(in crate::mock) fn notify_url(&self) -> Option<String> {
        self.terms.request.get("notify_url")?.as_str().map(str::to_owned)
    }

    /// The time at which the next notification of the order is due.
    pub(super) fn notification_due(&self) -> Option<Millis> {
        let refunds = self.payments.iter().flat_map(|payment| &payment.refunds);
        let refunds = refunds.map(|refund| &refund.notification);
        let all = self.payments.iter().map(|payment| &payment.notification).chain(refunds);
        all.filter_map(|notification| notification.due).min()
    }
}

/// The account that is paid, at a provider.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct MerchantAccount<'a> {
    pub(in crate::mock) provider: ProviderId,
    pub(in crate::mock) id: &'a str,
}

/// The account and the number of a new order, and the time of its first use.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct OrderId<'a> {
    pub(in crate::mock) merchant: MerchantAccount<'a>,
    pub(in crate::mock) out_trade_no: &'a str,
    pub(in crate::mock) created: Millis,
}
