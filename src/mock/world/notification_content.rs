//! What a notification is about: a payment, or a refund of it.

use super::notification::NotificationState;
use super::order::SimulatedOrder;
use super::payment::SimulatedPayment;
use super::refund::SimulatedRefund;

/// What a notification is about: a payment, or a refund of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::mock) struct NotificationContent<'a> {
    pub(in crate::mock) order: &'a SimulatedOrder,
    pub(in crate::mock) payment: &'a SimulatedPayment,
    pub(in crate::mock) refund: Option<&'a SimulatedRefund>,
}

impl<'a> NotificationContent<'a> {
    /// Every payment of `order`, each before its refunds.
    pub(in crate::mock) fn all(
        order: &'a SimulatedOrder,
    ) -> impl Iterator<Item = NotificationContent<'a>> {
        order.payments.iter().flat_map(move |payment| {
            let of_payment = NotificationContent { order, payment, refund: None };
            let refunds = payment.refunds.iter();
            let refunds = refunds.map(move |refund| NotificationContent {
                order,
                payment,
                refund: Some(refund),
            });
            std::iter::once(of_payment).chain(refunds)
        })
    }

    /// The notification's state in the ledger.
    pub(in crate::mock) fn state(&self) -> &'a NotificationState {
        self.refund.map_or(&self.payment.notification, |refund| &refund.notification)
    }

    pub(in crate::mock) fn key(&self) -> NotificationKey {
        NotificationKey {
            transaction_id: self.payment.transaction_id.clone(),
            out_refund_no: self.refund.map(|refund| refund.out_refund_no.clone()),
        }
    }
}

/// Names a payment of an order, or a refund of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mock) struct NotificationKey {
    pub(in crate::mock) transaction_id: String,
    pub(in crate::mock) out_refund_no: Option<String>,
}

impl NotificationKey {
    /// The state of the notification in `order`.
    pub(in crate::mock) fn state<'a>(
        &self,
        order: &'a mut SimulatedOrder,
    ) -> Option<&'a mut NotificationState> {
        let mut payments = order.payments.iter_mut();
        let payment = payments.find(|payment| payment.transaction_id == self.transaction_id)?;
        match &self.out_refund_no {
            None => Some(&mut payment.notification),
            Some(number) => {
                let mut refunds = payment.refunds.iter_mut();
                let refund = refunds.find(|refund| refund.out_refund_no == *number)?;
                Some(&mut refund.notification)
            }
        }
    }
}
