//! What a person does to refunds in a provider's console, and its back office.

use serde::{Deserialize, Serialize};

use super::buyer::Declined;
use super::notifier;
use super::world::Providers;
use super::world::ledger::{Merchant, Order, State};
use super::world::numbers;
use super::world::refund;
use super::world::refund::{Asked, Refund};
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;

/// A refund that is made outside of the merchant's program, under a number of the provider's own.
///
/// As JSON: `{"provider":"wxpay","out_trade_no":"…","amount":30}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleRefund {
    /// Where.
    pub provider: ProviderId,
    /// The merchant's number of the order.
    pub out_trade_no: String,
    /// How much goes back, in fen; all that is left when absent.
    #[serde(default)]
    pub amount: Option<Fen>,
    /// What the shop gets to know.
    #[serde(default)]
    pub told: ConsoleTold,
}

/// What a shop gets to know of a refund in the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleTold {
    /// A notification to where the payment was reported; Alipay's only if
    /// [its contract](super::Refunding::alipay_tells) is so.
    #[default]
    Notification,
    /// A notification in the XML of WeChat Pay V2, unreadable to a merchant of V3.
    Xml,
    /// Nothing: only a query shows that some refund was made.
    Nobody,
}

/// A refund ends: as JSON
/// `{"provider":"wxpay","out_trade_no":"…","out_refund_no":"…","state":"ABNORMAL"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundEnd {
    /// Where.
    pub provider: ProviderId,
    /// The merchant's number of the order.
    pub out_trade_no: String,
    /// The number of the refund.
    pub out_refund_no: String,
    /// `SUCCESS`, `ABNORMAL`, `CLOSED`.
    pub state: RefundState,
}

/// Makes a refund in the console.
pub(super) fn refund(providers: &Providers, asked: &ConsoleRefund) -> Result<Order, Declined> {
    let now = providers.now();
    let merchant = merchant_of(providers, asked.provider, &asked.out_trade_no)?;
    let merchant = Merchant { provider: asked.provider, id: &merchant };
    let order = providers.change(&merchant, &asked.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let payment = order.payments.first().filter(|_| order.state == State::Paid);
        let payment = payment.ok_or_else(|| Declined::new("NOT_PAID", "nobody paid it"))?;
        let all = Fen::new(payment.left()).filter(|it| it.fen() > 0);
        let nothing = || Declined::new("NOTHING_LEFT", "not so much is left of the payment");
        let left = all.ok_or_else(nothing)?;
        let amount = asked.amount.unwrap_or(left);
        if amount.fen() == 0 || amount > left {
            return Err(nothing());
        }
        let of_console = Asked {
            out_refund_no: numbers::console_refund_no(now),
            amount,
            reason: None,
            notify_url: notifier::url_of(&order),
            from_console: true,
        };
        let mut taken = refund::taken(providers, &order, of_console, now);
        match asked.told {
            ConsoleTold::Notification => {}
            ConsoleTold::Xml => taken.is_told_in_xml = asked.provider == ProviderId::Wxpay,
            ConsoleTold::Nobody => taken.notice.due = None,
        }
        order.payments[0].refunds.push(taken);
        Ok::<_, Declined>(order)
    })?;
    providers.wake();
    Ok(order)
}

/// Ends a refund now. What was told of it before is told anew, under another id.
pub(super) fn end(providers: &Providers, end: &RefundEnd) -> Result<Order, Declined> {
    let now = providers.now();
    if end.state == RefundState::Processing {
        return Err(Declined::new("NOT_AN_END", "SUCCESS, ABNORMAL or CLOSED"));
    }
    let merchant = merchant_of(providers, end.provider, &end.out_trade_no)?;
    let merchant = Merchant { provider: end.provider, id: &merchant };
    let order = providers.change(&merchant, &end.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let mut refunds = order.payments.iter_mut().flat_map(|it| &mut it.refunds);
        let named = |it: &&mut Refund| it.out_refund_no == end.out_refund_no;
        let refund = refunds.find(named).ok_or_else(unknown)?;
        if matches!(refund.state, RefundState::Success | RefundState::Closed) {
            return Err(Declined::new("REFUND_ENDED", "it has ended already"));
        }
        let state = refund::end_of(end.provider, end.state);
        refund.ends = now;
        refund.ends_as = state;
        refund.end(state, now);
        refund.notice = notifier::notice_again(&refund.notice, now);
        Ok::<_, Declined>(order)
    })?;
    providers.wake();
    Ok(order)
}

fn merchant_of(providers: &Providers, provider: ProviderId, no: &str) -> Result<String, Declined> {
    let mut orders = providers.orders().into_iter();
    let order = orders.find(|it| it.provider == provider && it.out_trade_no == no);
    order.map(|it| it.merchant).ok_or_else(unknown)
}

fn unknown() -> Declined {
    Declined::new("ORDER_NOT_EXIST", "no such order or refund here")
}
