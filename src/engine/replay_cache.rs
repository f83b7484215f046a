//! Recent results, so that a repeated request within minutes reads neither the store nor a key.
//!
//! First in, first out, bounded in number and age: a frequency-based cache would evict exactly the
//! newest orders, which clients request again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use serde_json::value::RawValue;

use crate::domain::ids::OutTradeNo;
use crate::domain::product::PaymentMethod;
use crate::domain::request::Fingerprint;
use crate::domain::time::Millis;

/// The bounded cache of recent results.
#[derive(Debug)]
pub(super) struct ReplayCache {
    ttl_ms: i64,
    max: usize,
    entries: DashMap<OutTradeNo, Entry>,
    ages: Mutex<VecDeque<(OutTradeNo, Millis)>>,
}

/// The cache's entry of one order.
#[derive(Clone, Debug)]
enum Entry {
    /// A result that paygate may hand out again.
    Result(ReplayEntry),
    /// The order changed: paygate hands out no result of `version` or an earlier one.
    Ended { version: u64, since: Millis },
}

impl Entry {
    fn since(&self) -> Millis {
        match self {
            Entry::Result(recent) => recent.since,
            Entry::Ended { since, .. } => *since,
        }
    }
}

/// The reply to a repeated request, and no more: an entry is well below 1 KiB.
#[derive(Clone, Debug)]
pub(super) struct ReplayEntry {
    /// The digests of the order's terms.
    pub(super) fingerprint: Box<Fingerprint>,
    /// How the buyer pays.
    pub(super) method: Arc<PaymentMethod>,
    /// The `orderInfo` that the client got.
    pub(super) order_info: Arc<RawValue>,
    /// The content of the QR code, if the client pays by one.
    pub(super) code_url: Option<Arc<str>>,
    /// Until when paygate may hand it out again: the end of the material's validity, or a minute
    /// after paygate signed it.
    pub(super) fresh_until: Millis,
    /// When paygate cached it.
    pub(super) since: Millis,
}

impl ReplayCache {
    /// A cache of at most `max` results, each for `ttl`.
    pub(super) fn new(ttl: Duration, max: usize) -> ReplayCache {
        ReplayCache {
            ttl_ms: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX),
            max,
            entries: DashMap::new(),
            ages: Mutex::default(),
        }
    }

    /// The result for `out_trade_no`, if paygate may hand it out at `now`.
    pub(super) fn find(&self, out_trade_no: &OutTradeNo, now: Millis) -> Option<ReplayEntry> {
        let entry = self.entries.get(out_trade_no)?;
        let Entry::Result(recent) = &*entry else { return None };
        let fresh = now < recent.fresh_until && now.since(recent.since) < self.ttl_ms;
        // A clock that was set back makes the age of the entry doubtful.
        (fresh && now >= recent.since).then(|| recent.clone())
    }

    /// Caches the result of the order's `version`, in place of an older one.
    pub(super) fn remember(&self, out_trade_no: &OutTradeNo, version: u64, recent: ReplayEntry) {
        let since = recent.since;
        let mut ended = false;
        self.entries
            .entry(out_trade_no.clone())
            .and_modify(|entry| match entry {
                Entry::Ended { version: last, .. } if version <= *last => ended = true,
                _ => *entry = Entry::Result(recent.clone()),
            })
            .or_insert_with(|| Entry::Result(recent.clone()));
        if !ended {
            self.evict(out_trade_no, since);
        }
    }

    /// Ends every result of the order's `version` and of its earlier ones.
    pub(super) fn forget(&self, out_trade_no: &OutTradeNo, version: u64, now: Millis) {
        self.entries.insert(out_trade_no.clone(), Entry::Ended { version, since: now });
        self.evict(out_trade_no, now);
    }

    /// Adds the entry's age, and evicts entries that are too old or too many.
    fn evict(&self, out_trade_no: &OutTradeNo, now: Millis) {
        let mut ages = self.ages.lock().unwrap_or_else(PoisonError::into_inner);
        ages.push_back((out_trade_no.clone(), now));
        while ages
            .front()
            .is_some_and(|(_, since)| ages.len() > self.max || now.since(*since) >= self.ttl_ms)
        {
            if let Some((oldest, since)) = ages.pop_front() {
                self.entries.remove_if(&oldest, |_, entry| entry.since() == since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::channel::PayType;
    use crate::domain::ids::Pid;
    use crate::domain::money::Fen;
    use crate::domain::product::Product;
    use crate::domain::request::OrderTerms;

    fn out_trade_no(n: usize) -> OutTradeNo {
        OutTradeNo::parse(&format!("order-{n}")).unwrap()
    }

    fn recent(since: i64) -> ReplayEntry {
        let terms = OrderTerms {
            out_trade_no: out_trade_no(1),
            total_fee: Fen::new(1).unwrap(),
            subject: "subject".into(),
            body: None,
            kind: "goods".into(),
            pid: Pid::default(),
            user_id: None,
            custom: None,
            other: None,
            sub_appid: None,
            sub_mchid: None,
            app_auth_token: None,
            profit_sharing: None,
        };
        let method = PaymentMethod {
            pay_type: PayType::WxpayH5,
            product: Product::Native,
            app_id: "wx".into(),
            openid: None,
            client_ip: None,
        };
        ReplayEntry {
            fingerprint: Box::new(terms.fingerprint()),
            method: Arc::new(method),
            order_info: RawValue::from_string("{}".to_owned()).unwrap().into(),
            code_url: None,
            fresh_until: Millis(1_000_000),
            since: Millis(since),
        }
    }

    #[test]
    fn the_oldest_leave_first_and_the_bound_holds() {
        let replays = ReplayCache::new(Duration::from_secs(300), 3);
        for n in 0..5 {
            replays.remember(&out_trade_no(n), 1, recent(100));
        }
        let kept: Vec<bool> =
            (0..5).map(|n| replays.find(&out_trade_no(n), Millis(101)).is_some()).collect();
        assert_eq!(kept, [false, false, true, true, true]);
        assert_eq!(replays.entries.len(), 3);
    }

    #[test]
    fn a_result_is_forgotten_after_its_time_to_live() {
        let replays = ReplayCache::new(Duration::from_millis(50), 10);
        replays.remember(&out_trade_no(1), 1, recent(100));
        assert!(replays.find(&out_trade_no(1), Millis(149)).is_some());
        assert!(replays.find(&out_trade_no(1), Millis(150)).is_none());
        replays.remember(&out_trade_no(2), 1, recent(150));
        assert_eq!(replays.entries.len(), 1, "what is too old leaves the cache");
    }

    #[test]
    fn a_clock_set_back_hands_out_nothing() {
        let replays = ReplayCache::new(Duration::from_secs(300), 10);
        replays.remember(&out_trade_no(1), 1, recent(100));
        assert!(replays.find(&out_trade_no(1), Millis(99)).is_none());
    }

    #[test]
    fn a_number_remembered_again_outlives_its_older_place() {
        let replays = ReplayCache::new(Duration::from_secs(300), 2);
        replays.remember(&out_trade_no(1), 1, recent(100));
        replays.remember(&out_trade_no(2), 1, recent(101));
        replays.remember(&out_trade_no(1), 1, recent(102));
        assert!(replays.find(&out_trade_no(1), Millis(103)).is_some());
    }

    #[test]
    fn a_result_of_an_earlier_version_than_the_end_is_not_handed_out() {
        let replays = ReplayCache::new(Duration::from_secs(300), 10);
        replays.remember(&out_trade_no(1), 2, recent(100));
        replays.forget(&out_trade_no(1), 3, Millis(101));
        assert!(replays.find(&out_trade_no(1), Millis(102)).is_none());
        replays.remember(&out_trade_no(1), 3, recent(102));
        assert!(
            replays.find(&out_trade_no(1), Millis(103)).is_none(),
            "it was made before the end"
        );
        replays.remember(&out_trade_no(1), 4, recent(103));
        assert!(replays.find(&out_trade_no(1), Millis(104)).is_some());
    }
}
