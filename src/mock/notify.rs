//! Notifications on their way: what is due, signed at the moment it is sent.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::buyer::Declined;
use super::faults::FaultKind;
use super::ledger::{Merchant, Order, Payment, Unsent};
use super::notice::{Answer, Forgery, Notice, Pace};
use super::providers::{NotWritten, Providers};
use super::{alipay_notify, wxpay_notify};
use crate::domain::channel::ProviderId;
use crate::domain::time::Millis;
use crate::secret::random_text;

/// A POST by which a provider tells the shop of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Who tells.
    pub provider: ProviderId,
    /// The merchant's number, as the provider knows it.
    pub out_trade_no: String,
    /// Where to.
    pub url: Url,
    /// The headers, signature included.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    merchant: String,
    transaction_id: String,
    number: u32,
}

/// Whose notification: `{"provider":"wxpay","out_trade_no":"…"}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    provider: ProviderId,
    out_trade_no: String,
}

/// What is signed, by whom, when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// The clock's time.
    pub(super) wall: Millis,
    pub(super) forged: Option<Forgery>,
}

/// The notice of a payment of `order` that is made at `now`.
pub(super) fn notice(providers: &Providers, order: &Order, now: Millis) -> Notice {
    let mut faults = providers.faults();
    let mut happens = |fits: fn(&FaultKind) -> bool| faults.take_of_payment(order.provider, fits);
    let never = happens(|it| matches!(it, FaultKind::NotifyNever)).is_some();
    let twice = happens(|it| matches!(it, FaultKind::NotifyTwice)).is_some();
    let delay_ms = match happens(|it| matches!(it, FaultKind::NotifySlow { .. })) {
        Some(FaultKind::NotifySlow { ms }) => i64::from(ms),
        _ => 0,
    };
    let url = order.terms.request.get("notify_url").and_then(|it| it.as_str());
    let due = (url.is_some() && !never).then(|| now.plus(delay_ms));
    Notice {
        id: random_text(),
        url: url.map(str::to_owned),
        due,
        copies: u32::from(twice),
        ..Notice::default()
    }
}

/// What is due now. It counts as sent.
pub(super) fn due(providers: &Providers) -> Vec<Notification> {
    let now = providers.now();
    let due = providers.unsent(now);
    due.iter().flat_map(|unsent| send(providers, unsent, now)).collect()
}

fn send(providers: &Providers, unsent: &Unsent, now: Millis) -> Vec<Notification> {
    let (provider, merchant, no) = unsent;
    let (provider, wall) = (*provider, providers.wall());
    let pace = Pace { provider, hurry: providers.hurry() };
    let mut sent = Vec::new();
    let noted = providers.change(&Merchant { provider, id: merchant }, no, |existing| {
        let mut order = existing.expect("what is due is in the ledger");
        for payment in order.payments.iter_mut().filter(|it| it.notice.is_due(now)) {
            let forged = forgery(providers, provider);
            let numbers = payment.notice.send(now, pace, forged);
            sent.push((payment.transaction_id.clone(), numbers, Stamp { wall, forged }));
        }
        Ok::<_, NotWritten>(order)
    });
    let Ok(order) = noted else { return Vec::new() };
    let of_payment = |(id, numbers, stamp): (String, Vec<u32>, Stamp)| {
        let payment = order.payments.iter().find(|it| it.transaction_id == id);
        let signed = payment.and_then(|it| signed(&order, it, stamp));
        numbers
            .into_iter()
            .filter_map(move |number| Some(Notification { number, ..signed.clone()? }))
    };
    sent.into_iter().flat_map(of_payment).collect()
}

/// Whether the next delivery is one that nobody may believe.
fn forgery(providers: &Providers, provider: ProviderId) -> Option<Forgery> {
    let fits = |it: &FaultKind| matches!(it, FaultKind::NotifyWrongKey | FaultKind::NotifyProbe);
    match providers.faults().take_of_payment(provider, fits)? {
        FaultKind::NotifyProbe => Some(Forgery::Probe),
        _ => Some(Forgery::WrongKey),
    }
}

fn signed(order: &Order, payment: &Payment, stamp: Stamp) -> Option<Notification> {
    let url = payment.notice.url.as_deref()?.parse().ok()?;
    let (headers, body) = match order.provider {
        ProviderId::Wxpay => wxpay_notify::payment(order, payment, stamp),
        ProviderId::Alipay => alipay_notify::payment(order, payment, stamp),
    };
    Some(Notification {
        provider: order.provider,
        out_trade_no: order.out_trade_no.clone(),
        url,
        headers,
        body: body.into(),
        merchant: order.merchant.clone(),
        transaction_id: payment.transaction_id.clone(),
        number: 0,
    })
}

/// Notes what the shop answered.
pub(super) fn answered(providers: &Providers, told: &Notification, answer: Answer<'_>) {
    let pace = Pace { provider: told.provider, hurry: providers.hurry() };
    let now = providers.now();
    let merchant = Merchant { provider: told.provider, id: &told.merchant };
    let noted = providers.change(&merchant, &told.out_trade_no, |existing| {
        let mut order = existing.expect("a payment's order stays in the ledger");
        let mut payments = order.payments.iter_mut();
        if let Some(payment) = payments.find(|it| it.transaction_id == told.transaction_id) {
            payment.notice.answered(told.number, answer, (now, pace));
        }
        Ok::<_, NotWritten>(order)
    });
    if noted.is_ok() {
        providers.wake();
    }
}

/// Sends a paid order's notification now, whatever became of it before.
pub(super) fn resend(providers: &Providers, told: &Told) -> Result<Order, Declined> {
    let now = providers.now();
    let unknown = || Declined::new("ORDER_NOT_EXIST", "no such order here");
    let mut orders = providers.orders().into_iter();
    let named = |it: &Order| it.provider == told.provider && it.out_trade_no == told.out_trade_no;
    let found = orders.find(named).ok_or_else(unknown)?;
    let merchant = Merchant { provider: told.provider, id: &found.merchant };
    let order = providers.change(&merchant, &told.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let paid = order.payments.iter_mut().filter(|it| it.notice.url.is_some());
        let due = paid.map(|payment| payment.notice.due = Some(now)).count();
        match due {
            0 => Err(Declined::new("NOT_NOTIFIED", "nobody paid it, or it names no notify_url")),
            _ => Ok(order),
        }
    })?;
    providers.wake();
    Ok(order)
}
