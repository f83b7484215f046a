//! A buyer at a provider's cashier: opens it with a code, pays, or leaves.

use super::provider::{CashierVisit, SimulatedProvider};
use super::purchase::{ActionRefused, PayWith, PaymentTarget, SimulatedPurchase};
use super::world::World;
use super::world::faults::FaultKind;
use super::world::numbers;
use super::world::order::{MerchantAccount, PaymentCode, SimulatedOrder, State, TradeTerms};
use super::world::payment::SimulatedPayment;
use super::{notification_schedule, providers};
use crate::domain::money::Fen;
use crate::domain::time::{MINUTE_MS, Millis};

/// What the buyer does at the cashier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuyerAction {
    /// Opens the cashier: at Alipay the trade exists from then on.
    Scan,
    /// Enters a password, for a minute, in which WeChat Pay does not close the order.
    EnterPassword,
    /// Leaves the cashier without paying.
    Cancel,
    /// Pays.
    Pay,
}

/// Performs a buyer's action in the ledger.
pub(super) fn perform(
    world: &World,
    purchase: &SimulatedPurchase,
    action: BuyerAction,
) -> Result<SimulatedOrder, ActionRefused> {
    let now = world.now();
    let provider = providers::by_id(purchase.provider);
    let target = find_target(world, purchase, now)?;
    let merchant = MerchantAccount { provider: purchase.provider, id: &target.merchant };
    let visit = CashierVisit { payer: purchase.payer.as_deref(), now };
    let order = world.change(&merchant, &target.out_trade_no, |existing| {
        let opened = provider.open_cashier(existing, &target, visit)?;
        let until = now.plus(MINUTE_MS);
        Ok::<_, ActionRefused>(match action {
            BuyerAction::Scan => opened,
            BuyerAction::Cancel => SimulatedOrder { paying_until: None, ..opened },
            BuyerAction::EnterPassword => SimulatedOrder { paying_until: Some(until), ..opened },
            BuyerAction::Pay => paid(world, provider, opened, visit),
        })
    })?;
    if action == BuyerAction::Pay {
        world.wake_delivery();
    }
    Ok(order)
}

/// Lets the order and its payment codes expire now.
pub(super) fn expire(
    world: &World,
    purchase: &SimulatedPurchase,
) -> Result<SimulatedOrder, ActionRefused> {
    let now = world.now();
    let target = find_target(world, purchase, now)?;
    let merchant = MerchantAccount { provider: purchase.provider, id: &target.merchant };
    let expired = |terms: TradeTerms| TradeTerms { expires: terms.expires.min(now), ..terms };
    world.change(&merchant, &target.out_trade_no, |existing| {
        let order = existing.ok_or_else(ActionRefused::unknown_order)?;
        let codes = order.payment_codes.iter().cloned().map(|code| PaymentCode {
            terms: expired(code.terms),
            valid_until: code.valid_until.min(now),
            ..code
        });
        let payment_codes = codes.collect();
        let order = SimulatedOrder { payment_codes, terms: expired(order.terms), ..order };
        Ok(order.at(now, providers::closes_at(&order)))
    })
}

/// The order that the buyer's code names, and the terms of the code.
fn find_target(
    world: &World,
    purchase: &SimulatedPurchase,
    now: Millis,
) -> Result<PaymentTarget, ActionRefused> {
    let unknown = ActionRefused::unknown_order;
    let expired = || ActionRefused::new("CODE_EXPIRED", "the code has expired");
    let orders = world.orders();
    let mut orders = orders.into_iter().filter(|order| order.provider == purchase.provider);
    match &purchase.with {
        PayWith::OrderString(text) | PayWith::PayUrl(text) => {
            providers::by_id(purchase.provider).signed_order(text, now)
        }
        PayWith::OutTradeNo(number) => {
            let order = orders.find(|order| order.out_trade_no == *number).ok_or_else(unknown)?;
            let last_code = order.payment_codes.last();
            let is_stale = last_code.is_some_and(|code| code.valid_until <= now);
            if order.state == State::Offered && is_stale {
                return Err(expired());
            }
            Ok(PaymentTarget::new(&order, order.terms.clone()))
        }
        PayWith::TradeNo(id) => {
            let has_trade = |order: &SimulatedOrder| order.transaction_id.as_ref() == Some(id);
            let order = orders.find(has_trade).ok_or_else(unknown)?;
            Ok(PaymentTarget::new(&order, order.terms.clone()))
        }
        PayWith::PrepayId(text) | PayWith::CodeUrl(text) | PayWith::H5Url(text) => {
            let text = text.split_once("&redirect_url=").map_or(text.as_str(), |(url, _)| url);
            let found = orders.find_map(|order| {
                let code = order.payment_codes.iter().find(|code| code.code == text)?.clone();
                Some((order, code))
            });
            let (order, code) = found.ok_or_else(unknown)?;
            let is_payable = matches!(order.state, State::Offered | State::Unpaid);
            if is_payable && code.valid_until <= now {
                return Err(expired());
            }
            Ok(PaymentTarget::new(&order, code.terms))
        }
    }
}

fn paid(
    world: &World,
    provider: &dyn SimulatedProvider,
    order: SimulatedOrder,
    visit: CashierVisit<'_>,
) -> SimulatedOrder {
    let CashierVisit { payer, now } = visit;
    // Alipay has numbered the trade already.
    let transaction_id = match &order.transaction_id {
        Some(id) => id.clone(),
        None => numbers::transaction_id(now),
    };
    let payer = payer.or(order.terms.buyer.as_deref());
    let take_fault = |is_wanted: fn(&FaultKind) -> bool| {
        world.faults().take_of_payment(order.provider, is_wanted)
    };
    let foreign = provider
        .has_currencies()
        .then(|| take_fault(|fault| matches!(fault, FaultKind::ForeignCurrency)));
    let wrong_amount = take_fault(|fault| matches!(fault, FaultKind::WrongAmount));
    let more = wrong_amount.and_then(|_| Fen::new(order.terms.amount.fen().saturating_add(1)));
    let payment = SimulatedPayment {
        transaction_id: transaction_id.clone(),
        amount: more.unwrap_or(order.terms.amount),
        currency: foreign.flatten().map(|_| "USD".to_owned()),
        payer: payer.unwrap_or(provider.default_payer()).to_owned(),
        paid_at: now.floor_to_second(),
        notification: notification_schedule::for_payment(world, &order, now),
        refunds: Vec::new(),
    };
    SimulatedOrder {
        state: State::Paid,
        transaction_id: Some(transaction_id),
        paying_until: None,
        payments: vec![payment],
        ..order
    }
}
