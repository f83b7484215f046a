//! The buyers' money: how much they paid, and how much the providers refunded.

use serde::Serialize;

use super::order::SimulatedOrder;
use crate::domain::channel::ProviderId;

/// The money of one payment, in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// The provider that took the payment.
    pub provider: ProviderId,
    /// The merchant's order number, as the provider knows it.
    pub out_trade_no: String,
    /// The provider's number of the payment.
    pub transaction_id: String,
    /// How much the buyer paid, and how much is refunded.
    #[serde(flatten)]
    pub money: MoneyTotals,
}

/// How much buyers paid, and how much is refunded, in fen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MoneyTotals {
    /// How much buyers paid.
    pub paid: u64,
    /// How much the providers have refunded.
    #[serde(rename = "returned")]
    pub refunded: u64,
    /// How much is being refunded, or waits for an operator.
    #[serde(rename = "returning")]
    pub refunding: u64,
}

impl MoneyTotals {
    fn and(self, other: MoneyTotals) -> MoneyTotals {
        MoneyTotals {
            paid: self.paid.saturating_add(other.paid),
            refunded: self.refunded.saturating_add(other.refunded),
            refunding: self.refunding.saturating_add(other.refunding),
        }
    }

    /// The sum of `balances`.
    #[must_use]
    pub fn total(balances: &[Balance]) -> MoneyTotals {
        balances.iter().fold(MoneyTotals::default(), |sum, balance| sum.and(balance.money))
    }
}

/// The balance of every payment of `orders`.
pub(in crate::mock) fn balances(orders: &[SimulatedOrder]) -> Vec<Balance> {
    let of_order = |order: &SimulatedOrder| {
        let (provider, out_trade_no) = (order.provider, order.out_trade_no.clone());
        let payments = order.payments.iter();
        let balances = payments.map(move |payment| Balance {
            provider,
            out_trade_no: out_trade_no.clone(),
            transaction_id: payment.transaction_id.clone(),
            money: MoneyTotals {
                paid: payment.amount.fen(),
                refunded: payment.refunded_fen(),
                refunding: payment.refunding_fen(),
            },
        });
        balances.collect::<Vec<_>>()
    };
    orders.iter().flat_map(of_order).collect()
}
