//! An operator's work on refunds: in a provider's console, and in its back office.

use serde::{Deserialize, Serialize};

use super::provider::RequestedRefund;
use super::purchase::ActionRefused;
use super::world::World;
use super::world::numbers;
use super::world::order::{MerchantAccount, SimulatedOrder, State};
use super::world::refund::SimulatedRefund;
use super::{notification_schedule, providers, refunding};
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;

/// A refund that an operator makes in the provider's console, under a number of the provider's
/// own.
///
/// As JSON: `{"provider":"wxpay","out_trade_no":"…","amount":30}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleRefund {
    /// The provider.
    pub provider: ProviderId,
    /// The merchant's order number.
    pub out_trade_no: String,
    /// The amount, in fen; all that can still be refunded when absent.
    #[serde(default)]
    pub amount: Option<Fen>,
    /// The notification that the shop gets.
    #[serde(default, rename = "told")]
    pub notification: ConsoleNotification,
}

/// The notification that a shop gets of a refund in the console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleNotification {
    /// The same as of a refund by the merchant's program, to the URL of the payment's notification;
    /// from Alipay only where
    /// [the contract](super::RefundSettings::alipay_notifies) has it.
    #[default]
    #[serde(rename = "notification")]
    Regular,
    /// A notification in the XML of WeChat Pay V2, which a merchant of V3 cannot decrypt.
    Xml,
    /// Alipay's without the number of the refund (`out_biz_no`): only the total of the payment's
    /// refunds shows how much it was. WeChat Pay's has the number.
    Unnumbered,
    /// None: only a query shows that there is a refund.
    #[serde(rename = "nobody")]
    Never,
}

/// The end of a refund: as JSON
/// `{"provider":"wxpay","out_trade_no":"…","out_refund_no":"…","state":"ABNORMAL"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundEnd {
    /// The provider.
    pub provider: ProviderId,
    /// The merchant's order number.
    pub out_trade_no: String,
    /// The number of the refund.
    pub out_refund_no: String,
    /// `SUCCESS`, `ABNORMAL`, `CLOSED`.
    pub state: RefundState,
}

/// Makes a refund in the console.
pub(super) fn refund(
    world: &World,
    request: &ConsoleRefund,
) -> Result<SimulatedOrder, ActionRefused> {
    let now = world.now();
    let provider = providers::by_id(request.provider);
    let found = world.find_by_number(request.provider, &request.out_trade_no);
    let merchant = found.ok_or_else(unknown)?.merchant;
    let merchant = MerchantAccount { provider: request.provider, id: &merchant };
    let order = world.change(&merchant, &request.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let payment = order.payments.first().filter(|_| order.state == State::Paid);
        let payment =
            payment.ok_or_else(|| ActionRefused::new("NOT_PAID", "no buyer has paid the order"))?;
        let all = Fen::new(payment.refundable_fen()).filter(|amount| amount.fen() > 0);
        let too_much =
            || ActionRefused::new("NOTHING_LEFT", "the amount exceeds what can be refunded");
        let all = all.ok_or_else(too_much)?;
        let amount = request.amount.unwrap_or(all);
        if amount.fen() == 0 || amount > all {
            return Err(too_much());
        }
        let requested = RequestedRefund {
            out_refund_no: numbers::console_refund_no(now),
            amount,
            reason: None,
            notify_url: order.notify_url(),
            from_console: true,
            requested_at: now,
        };
        let mut refund = refunding::new_refund(world, provider, &order, requested);
        match request.notification {
            ConsoleNotification::Regular => {}
            ConsoleNotification::Xml => {
                refund.is_notified_in_xml = provider.has_xml_notifications()
            }
            ConsoleNotification::Unnumbered => refund.is_notified_unnumbered = true,
            ConsoleNotification::Never => refund.notification.due = None,
        }
        order.payments[0].refunds.push(refund);
        Ok::<_, ActionRefused>(order)
    })?;
    world.wake_delivery();
    Ok(order)
}

/// Ends a refund now. Where the provider has notified of it before, it notifies again, under
/// another id.
pub(super) fn end(world: &World, end: &RefundEnd) -> Result<SimulatedOrder, ActionRefused> {
    let now = world.now();
    if end.state == RefundState::Processing {
        return Err(ActionRefused::new("NOT_AN_END", "SUCCESS, ABNORMAL or CLOSED"));
    }
    let found = world.find_by_number(end.provider, &end.out_trade_no);
    let merchant = found.ok_or_else(unknown)?.merchant;
    let merchant = MerchantAccount { provider: end.provider, id: &merchant };
    let order = world.change(&merchant, &end.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let mut refunds = order.payments.iter_mut().flat_map(|payment| &mut payment.refunds);
        let is_meant = |refund: &&mut SimulatedRefund| refund.out_refund_no == end.out_refund_no;
        let refund = refunds.find(is_meant).ok_or_else(unknown)?;
        if matches!(refund.state, RefundState::Success | RefundState::Closed) {
            return Err(ActionRefused::new("REFUND_ENDED", "the refund has ended already"));
        }
        let state = providers::by_id(end.provider).refund_final_state(end.state);
        refund.ends_at = now;
        refund.final_state = state;
        refund.end(state, now);
        refund.notification = notification_schedule::after(&refund.notification, now);
        Ok::<_, ActionRefused>(order)
    })?;
    world.wake_delivery();
    Ok(order)
}

fn unknown() -> ActionRefused {
    ActionRefused::new("ORDER_NOT_EXIST", "no such order or refund here")
}
