//! How a provider executes a new refund.

use super::notification_schedule;
use super::provider::{RefundConditions, RefundPlan, RequestedRefund, SimulatedProvider};
use super::world::World;
use super::world::faults::FaultKind;
use super::world::order::SimulatedOrder;
use super::world::refund::SimulatedRefund;
use crate::domain::order::refund::RefundState;

/// The refund that `provider` accepts. It takes as long, and ends, as the next faults
/// demand.
pub(super) fn new_refund(
    world: &World,
    provider: &dyn SimulatedProvider,
    order: &SimulatedOrder,
    request: RequestedRefund,
) -> SimulatedRefund {
    let now = request.requested_at;
    let take_fault =
        |is_wanted: fn(&FaultKind) -> bool| world.faults().take_of_refund(provider.id(), is_wanted);
    let final_state = match take_fault(|fault| matches!(fault, FaultKind::RefundEnds { .. })) {
        Some(FaultKind::RefundEnds { state }) => provider.refund_final_state(state),
        _ => RefundState::Success,
    };
    let slow = take_fault(|fault| matches!(fault, FaultKind::RefundSlow { .. }));
    let conditions = RefundConditions { settings: world.refund_settings(), final_state };
    let RefundPlan { takes_ms, refund_id, notify_url } =
        provider.refund_plan(order, &request, conditions);
    let takes_ms = match slow {
        Some(FaultKind::RefundSlow { ms }) => ms,
        _ => takes_ms,
    };
    let ends_at = now.plus(i64::from(takes_ms));
    let notification = notification_schedule::for_refund(world, provider.id(), notify_url, ends_at);
    let mut refund = SimulatedRefund {
        out_refund_no: request.out_refund_no,
        refund_id,
        amount: request.amount,
        reason: request.reason,
        state: RefundState::Processing,
        requested_at: now,
        ends_at,
        final_state,
        refunded_at: None,
        from_console: request.from_console,
        is_notified_in_xml: false,
        is_notified_unnumbered: false,
        calls: u32::from(!request.from_console),
        notification,
    };
    refund.settle(now);
    refund
}
