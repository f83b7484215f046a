//! What providers rarely do, and no fault of a call brings about: a payment in another currency, a
//! notification that contradicts the next one, a notification of a refund without its number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use paygate::domain::ProviderId;
use paygate::provider::{Notification, RefundNotification, TradeState};

use super::rng::Rng;

/// The number of an order at a provider.
type Trade = (ProviderId, String);

/// What is irregular in a world.
#[derive(Debug)]
pub(super) struct Irregularities {
    /// How many payments in a hundred are.
    percent: u64,
    /// Whether Alipay leaves out the numbers of some trades' refunds.
    pub(super) has_numberless_refunds: bool,
    /// Whether it does of each.
    numberless: Mutex<BTreeMap<String, bool>>,
    /// The trades that were paid in dollars.
    foreign: Mutex<BTreeSet<Trade>>,
    /// The trades whose first notification misstates the currency.
    contradicted: Mutex<BTreeSet<Trade>>,
    /// Those of which it was sent.
    misstated: Mutex<BTreeSet<Trade>>,
}

impl Irregularities {
    /// Those of two worlds in five.
    pub(super) fn some(rng: &Rng) -> Irregularities {
        let percent = if rng.percent(40) { 25 } else { 0 };
        Irregularities {
            percent,
            has_numberless_refunds: rng.percent(40),
            numberless: Mutex::default(),
            foreign: Mutex::default(),
            contradicted: Mutex::default(),
            misstated: Mutex::default(),
        }
    }

    /// Whether the next payment is of a wrong amount.
    pub(super) fn is_amount_wrong(&self, rng: &Rng) -> bool {
        rng.percent(self.percent)
    }

    /// A trade was paid. It decides what is irregular about the payment.
    pub(super) fn paid(&self, provider: ProviderId, no: &str, rng: &Rng) {
        let trade = (provider, no.to_owned());
        // Alipay takes yuan only.
        if rng.percent(self.percent) && provider == ProviderId::Wxpay {
            self.foreign.lock().unwrap().insert(trade);
        } else if rng.percent(self.percent) {
            self.contradicted.lock().unwrap().insert(trade);
        }
    }

    /// Whether the notifications of a trade's refunds lack their numbers: all, or none.
    fn is_numberless(&self, provider: ProviderId, no: &str, rng: &Rng) -> bool {
        let mut numberless = self.numberless.lock().unwrap();
        provider == ProviderId::Alipay
            && self.has_numberless_refunds
            && *numberless.entry(no.to_owned()).or_insert_with(|| rng.percent(60))
    }

    /// Whether it was paid in dollars.
    pub(super) fn is_foreign(&self, provider: ProviderId, no: &str) -> bool {
        self.foreign.lock().unwrap().contains(&(provider, no.to_owned()))
    }

    /// Whether a notification misstated its currency.
    pub(super) fn was_misstated(&self, provider: ProviderId, no: &str) -> bool {
        self.misstated.lock().unwrap().contains(&(provider, no.to_owned()))
    }

    /// What a query answers.
    pub(super) fn queried(&self, provider: ProviderId, no: &str, state: TradeState) -> TradeState {
        match state {
            TradeState::Paid(mut trade) if self.is_foreign(provider, no) => {
                trade.matches_order = false;
                TradeState::Paid(trade)
            }
            state => state,
        }
    }

    /// What a notification is.
    pub(super) fn notified(
        &self,
        provider: ProviderId,
        notification: Notification,
        rng: &Rng,
    ) -> Notification {
        match notification {
            Notification::Payment { channel_no, trade } => {
                let key = (provider, channel_no.as_str().to_owned());
                let is_misstated = self.contradicted.lock().unwrap().remove(&key);
                if !is_misstated && !self.is_foreign(provider, channel_no.as_str()) {
                    return Notification::Payment { channel_no, trade };
                }
                if is_misstated {
                    self.misstated.lock().unwrap().insert(key);
                }
                Notification::OtherCurrencyPayment { channel_no, trade, currency: "USD".to_owned() }
            }
            Notification::Refund(refund)
                if self.is_numberless(provider, refund.channel_no.as_str(), rng) =>
            {
                Notification::Refund(RefundNotification { out_refund_no: None, ..refund })
            }
            other => other,
        }
    }
}
