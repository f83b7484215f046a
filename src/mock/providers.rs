//! The list of the simulated providers.

use super::alipay::Alipay;
use super::provider::SimulatedProvider;
use super::world::order::SimulatedOrder;
use super::wxpay::Wxpay;
use crate::domain::channel::ProviderId;
use crate::domain::time::Millis;

/// Every simulated provider.
pub(super) const ALL: [&dyn SimulatedProvider; 2] = [&Alipay, &Wxpay];

/// The provider with this id.
pub(super) fn by_id(id: ProviderId) -> &'static dyn SimulatedProvider {
    let mut all = ALL.into_iter();
    all.find(|provider| provider.id() == id).expect("the mock simulates every provider")
}

/// The time at which its provider closes `order` while it is unpaid.
pub(super) fn closes_at(order: &SimulatedOrder) -> Millis {
    by_id(order.provider).closes_at(order)
}
