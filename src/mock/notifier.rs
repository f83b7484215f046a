//! Notifications on their way: what is due, signed at the moment it is sent.

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use url::Url;

use super::buyer::Declined;
use super::world::faults::FaultKind;
use super::world::ledger::{Merchant, Order, Payment, Unsent};
use super::world::notice::{Answer, Forgery, Notice, Pace};
use super::world::refund::Refund;
use super::world::{NotWritten, Providers};
use super::{alipay, wxpay};
use crate::domain::channel::ProviderId;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;
use crate::secret::random_text;

/// A POST by which a provider tells the shop of a payment or a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Who tells.
    pub provider: ProviderId,
    /// The merchant's number, as the provider knows it.
    pub out_trade_no: String,
    /// The number of the refund that it tells of; of the payment when absent.
    pub out_refund_no: Option<String>,
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

/// Whose notification: `{"provider":"wxpay","out_trade_no":"…"}`, with `out_refund_no` that of a
/// refund.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    provider: ProviderId,
    out_trade_no: String,
    #[serde(default)]
    out_refund_no: Option<String>,
}

/// What is told: a payment, or a refund of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct News<'a> {
    pub(super) order: &'a Order,
    pub(super) payment: &'a Payment,
    pub(super) refund: Option<&'a Refund>,
}

impl<'a> News<'a> {
    pub(super) fn all(order: &'a Order) -> impl Iterator<Item = News<'a>> {
        order.payments.iter().flat_map(move |payment| {
            let of_payment = News { order, payment, refund: None };
            let refunds = payment.refunds.iter();
            let refunds = refunds.map(move |it| News { order, payment, refund: Some(it) });
            std::iter::once(of_payment).chain(refunds)
        })
    }

    /// What the shop was told of it.
    pub(super) fn notice(&self) -> &'a Notice {
        self.refund.map_or(&self.payment.notice, |it| &it.notice)
    }

    fn about(&self) -> About {
        About {
            transaction_id: self.payment.transaction_id.clone(),
            out_refund_no: self.refund.map(|it| it.out_refund_no.clone()),
        }
    }
}

/// Names a payment of an order, or a refund of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    transaction_id: String,
    out_refund_no: Option<String>,
}

impl About {
    fn notice<'a>(&self, order: &'a mut Order) -> Option<&'a mut Notice> {
        let mut payments = order.payments.iter_mut();
        let payment = payments.find(|it| it.transaction_id == self.transaction_id)?;
        match &self.out_refund_no {
            None => Some(&mut payment.notice),
            Some(no) => {
                let mut refunds = payment.refunds.iter_mut();
                refunds.find(|it| it.out_refund_no == *no).map(|it| &mut it.notice)
            }
        }
    }
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
    new_notice((url_of(order), now), |matches_order| {
        faults.take_of_payment(order.provider, matches_order)
    })
}

/// The notice of a refund that ends at a time, told to an address.
pub(super) fn notice_of_refund(
    providers: &Providers,
    provider: ProviderId,
    told: (Option<String>, Millis),
) -> Notice {
    let mut faults = providers.faults();
    new_notice(told, |matches_order| faults.take_of_refund(provider, matches_order))
}

/// Where the order asked to be told.
pub(super) fn url_of(order: &Order) -> Option<String> {
    order.terms.request.get("notify_url")?.as_str().map(str::to_owned)
}

/// The notice of what is to be told after `before`, to the same address, at `now`.
pub(super) fn notice_again(before: &Notice, now: Millis) -> Notice {
    let was_told = before.due.is_some() || before.tries > 0;
    let due = before.url.as_ref().filter(|_| was_told).map(|_| now);
    Notice { id: random_text(), url: before.url.clone(), due, ..Notice::default() }
}

fn new_notice(
    (url, now): (Option<String>, Millis),
    mut happens: impl FnMut(fn(&FaultKind) -> bool) -> Option<FaultKind>,
) -> Notice {
    let never = happens(|it| matches!(it, FaultKind::NotifyNever)).is_some();
    let twice = happens(|it| matches!(it, FaultKind::NotifyTwice)).is_some();
    let delay_ms = match happens(|it| matches!(it, FaultKind::NotifySlow { .. })) {
        Some(FaultKind::NotifySlow { ms }) => i64::from(ms),
        _ => 0,
    };
    let due = (url.is_some() && !never).then(|| now.plus(delay_ms));
    Notice { id: random_text(), url, due, copies: u32::from(twice), ..Notice::default() }
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
        let due = News::all(&order).filter(|it| it.notice().is_due(now));
        let due: Vec<About> = due.map(|it| it.about()).collect();
        for about in due {
            let forged = forgery(providers, provider, about.out_refund_no.is_some());
            let notice = about.notice(&mut order).expect("it was just seen");
            let numbers = notice.send(now, pace, forged);
            sent.push((about, numbers, Stamp { wall, forged }));
        }
        Ok::<_, NotWritten>(order)
    });
    let Ok(order) = noted else { return Vec::new() };
    let of_one = |(about, numbers, stamp): (About, Vec<u32>, Stamp)| {
        let news = News::all(&order).find(|it| it.about() == about);
        let signed = news.and_then(|it| signed(it, stamp));
        numbers
            .into_iter()
            .filter_map(move |number| Some(Notification { number, ..signed.clone()? }))
    };
    sent.into_iter().flat_map(of_one).collect()
}

/// Whether the next delivery is one that nobody may believe.
fn forgery(providers: &Providers, provider: ProviderId, is_refund: bool) -> Option<Forgery> {
    let matches_order =
        |it: &FaultKind| matches!(it, FaultKind::NotifyWrongKey | FaultKind::NotifyProbe);
    let mut faults = providers.faults();
    let taken = match is_refund {
        true => faults.take_of_refund(provider, matches_order),
        false => faults.take_of_payment(provider, matches_order),
    };
    match taken? {
        FaultKind::NotifyProbe => Some(Forgery::Probe),
        _ => Some(Forgery::WrongKey),
    }
}

fn signed(news: News<'_>, stamp: Stamp) -> Option<Notification> {
    let url = news.notice().url.as_deref()?.parse().ok()?;
    let (headers, body) = match news.order.provider {
        ProviderId::Wxpay => wxpay::notification::told(news, stamp),
        ProviderId::Alipay => alipay::notification::told(news, stamp),
    };
    Some(Notification {
        provider: news.order.provider,
        out_trade_no: news.order.out_trade_no.clone(),
        out_refund_no: news.refund.map(|it| it.out_refund_no.clone()),
        url,
        headers,
        body: body.into(),
        merchant: news.order.merchant.clone(),
        transaction_id: news.payment.transaction_id.clone(),
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
        let about = About {
            transaction_id: told.transaction_id.clone(),
            out_refund_no: told.out_refund_no.clone(),
        };
        if let Some(notice) = about.notice(&mut order) {
            notice.answered(told.number, answer, (now, pace));
        }
        Ok::<_, NotWritten>(order)
    });
    if noted.is_ok() {
        providers.wake();
    }
}

/// Sends the notification of a paid order, or of a refund that ended, now, whatever became of it
/// before.
pub(super) fn resend(providers: &Providers, told: &Told) -> Result<Order, Declined> {
    let now = providers.now();
    let unknown = || Declined::new("ORDER_NOT_EXIST", "no such order here");
    let mut orders = providers.orders().into_iter();
    let named = |it: &Order| it.provider == told.provider && it.out_trade_no == told.out_trade_no;
    let found = orders.find(named).ok_or_else(unknown)?;
    let merchant = Merchant { provider: told.provider, id: &found.merchant };
    let order = providers.change(&merchant, &told.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unknown)?;
        let is_meant = |it: &News<'_>| {
            let no = it.refund.map(|it| &it.out_refund_no);
            let has_ended = it.refund.is_none_or(|it| it.state != RefundState::Processing);
            no == told.out_refund_no.as_ref() && has_ended && it.notice().url.is_some()
        };
        let about = News::all(&order).find(is_meant).map(|it| it.about());
        let notice = about.and_then(|it| it.notice(&mut order)).ok_or_else(|| {
            Declined::new("NOT_NOTIFIED", "nothing to tell of, or it names no notify_url")
        })?;
        notice.due = Some(now);
        Ok::<_, Declined>(order)
    })?;
    providers.wake();
    Ok(order)
}
