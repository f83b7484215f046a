//! The buyers' money: what they paid and what they have back.

use serde::Serialize;

use super::ledger::Order;
use crate::domain::channel::ProviderId;

/// What became of the money of one payment, in fen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Where it was paid.
    pub provider: ProviderId,
    /// The merchant's number of the order, as the provider knows it.
    pub out_trade_no: String,
    /// The provider's number of the payment.
    pub transaction_id: String,
    /// How much, and what went back of it.
    #[serde(flatten)]
    pub money: Money,
}

/// Money in and money back, in fen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// What buyers paid.
    pub paid: u64,
    /// What they have back.
    pub returned: u64,
    /// What is on its way back, or waits for a person.
    pub returning: u64,
}

impl Money {
    fn and(self, other: Money) -> Money {
        Money {
            paid: self.paid.saturating_add(other.paid),
            returned: self.returned.saturating_add(other.returned),
            returning: self.returning.saturating_add(other.returning),
        }
    }

    /// All of `balances` together.
    #[must_use]
    pub fn total(balances: &[Balance]) -> Money {
        balances.iter().fold(Money::default(), |sum, it| sum.and(it.money))
    }
}

/// The money of every payment of `orders`.
pub(in crate::mock) fn balances(orders: &[Order]) -> Vec<Balance> {
    let of_order = |order: &Order| {
        let (provider, out_trade_no) = (order.provider, order.out_trade_no.clone());
        let payments = order.payments.iter();
        let balances = payments.map(move |payment| Balance {
            provider,
            out_trade_no: out_trade_no.clone(),
            transaction_id: payment.transaction_id.clone(),
            money: Money {
                paid: payment.amount.fen(),
                returned: payment.returned(),
                returning: payment.returning(),
            },
        });
        balances.collect::<Vec<_>>()
    };
    orders.iter().flat_map(of_order).collect()
}
