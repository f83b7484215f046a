//! What the worlds of a run exercised, and how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use paygate::testing::names;

use super::kinds::{self, What};
use super::rng::Rng;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// What happened to orders, and is durable.
    Transition,
    /// What requests for stored orders got.
    Verdict,
    /// What providers answered, as the engine reads it.
    Answer,
    /// What notifications were, as the engine reads them.
    Notification,
    /// What went wrong with calls, payments and refunds.
    Fault,
    /// What the store answered.
    Store,
    /// What the shop got.
    Event,
    /// The steps at which a process stopped.
    CrashPoint,
}

/// A step at which a process can stop: just before or just after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A new order becomes durable.
    Claim,
    /// A transition becomes durable.
    Commit(String),
    /// A provider is called.
    Call(&'static str, What),
    /// The shop gets an event.
    Event(&'static str),
    /// The delivery of an event becomes durable.
    Delivered,
    /// A payment of no order becomes durable.
    Unmatched,
}

impl Step {
    /// Every step.
    fn all() -> Vec<Step> {
        let commits = names::transitions().into_iter().map(|it| Step::Commit(it.to_owned()));
        let calls = calls().map(|(provider, what)| Step::Call(provider, what));
        let events = kinds::EVENTS.iter().map(|it| Step::Event(it));
        let others = [Step::Claim, Step::Delivered, Step::Unmatched];
        others.into_iter().chain(commits).chain(calls).chain(events).collect()
    }

    fn name(&self) -> String {
        match self {
            Step::Claim => "claim".to_owned(),
            Step::Commit(transition) => format!("commit {transition}"),
            Step::Call(provider, what) => format!("{provider} {}", what.name()),
            Step::Event(event) => format!("event {event}"),
            Step::Delivered => "outbox".to_owned(),
            Step::Unmatched => "unmatched".to_owned(),
        }
    }

    /// The point before it.
    pub(super) fn before(&self) -> String {
        format!("before {}", self.name())
    }

    /// The point after it.
    pub(super) fn after(&self) -> String {
        format!("after {}", self.name())
    }
}

fn calls() -> impl Iterator<Item = (&'static str, What)> {
    kinds::PROVIDERS.iter().flat_map(|provider| {
        kinds::OPERATIONS.iter().map(move |operation| (provider.1, operation.0))
    })
}

/// A call, and a fault that it can meet.
pub(super) type SpoiledCall = (&'static str, What, &'static str);

fn spoiled_calls((provider, what): (&'static str, What)) -> impl Iterator<Item = SpoiledCall> {
    kinds::faults_of(what).into_iter().map(move |fault| (provider, what, fault))
}

/// Two faults for the first calls of each kind that can meet them: one at random, and one by turns,
/// so that every fault is there in as many worlds. Hardly any trade is ordered again, or closed,
/// that a buyer can pay at that moment, and few refunds end otherwise than well: such calls have
/// faults of their own.
pub(super) fn curses(seed: u64, rng: &Rng) -> Vec<SpoiledCall> {
    let cursed = |call: (&'static str, What)| {
        let faults: Vec<SpoiledCall> = spoiled_calls(call).collect();
        let percent = if is_common(call.1.name()) { 30 } else { 80 };
        // What a provider answers by itself is rarest.
        let own: Vec<SpoiledCall> =
            faults.iter().filter(|it| ["refuse", "refund_ends"].contains(&it.2)).copied().collect();
        let by_turns = faults[usize::try_from(seed).unwrap() % faults.len()];
        let at_random = *rng.pick(if rng.percent(40) { &own } else { &faults });
        let mut drawn = [by_turns, at_random];
        if seed.is_multiple_of(2) {
            drawn.reverse();
        }
        drawn.into_iter().filter(move |_| rng.percent(percent))
    };
    let mut payments = ["pay_first", "pay_before_reply"];
    if seed % 4 < 2 {
        payments.reverse();
    }
    let paid_meanwhile = kinds::PROVIDERS.iter().flat_map(|provider| {
        let calls = [(What::Create, 60), (What::Close, 20)];
        let calls = calls.into_iter().filter(|(_, percent)| rng.percent(*percent));
        calls.flat_map(move |(what, _)| payments.map(|fault| (provider.1, what, fault)))
    });
    let unwell = [("wxpay", What::Refund, "refund_ends")];
    let unwell = unwell.into_iter().filter(|_| rng.percent(35));
    paid_meanwhile.chain(unwell).chain(calls().flat_map(cursed)).collect()
}

/// Every point at which a process can stop.
fn crash_points() -> impl Iterator<Item = String> {
    Step::all().into_iter().flat_map(|it| [it.before(), it.after()])
}

/// Points at which the process stops, when it is there for the first time.
pub(super) fn dooms(rng: &Rng) -> BTreeSet<String> {
    let percent = |point: &String| match point.rsplit(' ').next().unwrap_or_default() {
        "payment.late" | "late.refunded" => 90,
        _ if point.split(' ').any(is_common) => 4,
        _ => 40,
    };
    crash_points().filter(|it| rng.percent(percent(it))).collect()
}

/// Whether there is no world without it.
fn is_common(word: &str) -> bool {
    let common = [
        "claim",
        "opened",
        "answered",
        "trade_no_answer",
        "trade_not_found",
        "trade_unpaid",
        "trade_closed",
        "trade_paid",
        "close_intended",
        "create",
        "query",
        "outbox",
        "payment.succeeded",
    ];
    common.contains(&word)
}

/// Everything there is to exercise.
fn everything() -> BTreeSet<(Topic, String)> {
    let texts = |topic: Topic, names: &[&str]| -> Vec<(Topic, String)> {
        names.iter().map(|it| (topic, (*it).to_owned())).collect()
    };
    let mut all = texts(Topic::Transition, &names::transitions());
    all.extend(texts(Topic::Verdict, &names::verdicts()));
    all.extend(texts(
        Topic::Store,
        &[kinds::CLAIMS, kinds::COMMITS, kinds::EVENT_UPDATES].concat(),
    ));
    all.extend(texts(Topic::Event, kinds::EVENTS));
    all.extend(crash_points().map(|it| (Topic::CrashPoint, it)));
    for (provider, what) in calls() {
        let named = |it: &str| format!("{provider} {} {it}", what.name());
        all.extend(what.answers().into_iter().map(|it| (Topic::Answer, named(it))));
    }
    all.extend(calls().flat_map(spoiled_calls).map(|(provider, what, fault)| {
        (Topic::Fault, format!("{provider} {} {fault}", what.name()))
    }));
    for (_, provider) in kinds::PROVIDERS {
        let read = kinds::NOTIFICATIONS.iter().chain(kinds::UNREAD);
        all.extend(read.map(|it| (Topic::Notification, format!("{provider} {it}"))));
    }
    all.extend(kinds::faults_of_payments().map(|it| (Topic::Fault, it.to_owned())));
    all.into_iter().collect()
}

/// How often each was exercised.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage(BTreeMap<(Topic, String), u64>);

impl Coverage {
    pub(super) fn count(&mut self, topic: Topic, name: impl Into<String>) {
        *self.0.entry((topic, name.into())).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Coverage) {
        for (key, times) in &other.0 {
            *self.0.entry(key.clone()).or_default() += times;
        }
    }

    /// What was never exercised, and has no excuse.
    pub(super) fn missed(&self) -> Vec<String> {
        let missed = everything().into_iter().filter(|it| !self.0.contains_key(it));
        let missed = missed.filter(|(topic, name)| excuse(*topic, name).is_none());
        missed.map(|(topic, name)| format!("{topic:?}: {name}")).collect()
    }

    /// What has an excuse for never being exercised, and is.
    pub(super) fn wrongly_excused(&self) -> Vec<String> {
        let exercised = self.0.iter().filter_map(|((topic, name), times)| {
            let excuse = excuse(*topic, name)?;
            Some(format!("{topic:?}: {name}, {times} times, though {}", excuse.reason))
        });
        exercised.collect()
    }

    /// What was exercised and is in no list.
    pub(super) fn unlisted(&self) -> Vec<String> {
        let everything = everything();
        let unlisted = self.0.keys().filter(|it| !everything.contains(*it));
        unlisted.map(|(topic, name)| format!("{topic:?}: {name}")).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut topic = None;
        for key in everything() {
            if topic != Some(key.0) {
                writeln!(f, "{:?}", key.0)?;
                topic = Some(key.0);
            }
            let times = self.0.get(&key).copied().unwrap_or_default();
            let reason = excuse(key.0, &key.1).map_or("", |it| it.reason);
            writeln!(f, "{times:>8} {} {reason}", key.1)?;
        }
        Ok(())
    }
}

/// Why something that exists is never exercised here.
struct Excuse {
    topic: Topic,
    /// The words of its name; `*` stands for any one word.
    words: &'static str,
    reason: &'static str,
}

fn excuse(topic: Topic, name: &str) -> Option<&'static Excuse> {
    let fits = |words: &str| {
        let (mut words, mut name) = (words.split(' '), name.split(' '));
        loop {
            match (words.next(), name.next()) {
                (None, None) => return true,
                (Some(word), Some(its)) if word == "*" || word == its => {}
                _ => return false,
            }
        }
    };
    EXCUSES.iter().find(|it| it.topic == topic && fits(it.words))
}

const fn excused(topic: Topic, words: &'static str, reason: &'static str) -> Excuse {
    Excuse { topic, words, reason }
}

const EXCUSES: &[Excuse] = &{
    use Topic::{Answer, Notification, Store};
    const PRODUCT: &str = "the provider has no product with it";
    const NOT_A_NUMBER: &str = "only orders are numbered anew";
    const UNSIGNED: &str = "an unsigned refusal decides nothing";
    const LATER: &str = "a throttled refund was not sent";
    const STATE: &str = "Alipay has no such state of a refund";
    const FOUND: &str = "a trade is closed after a query found it";
    const UNSENT: &str = "the simulated provider sends none";
    [
        excused(Store, "claim existing", "one process has the store, and requests take turns"),
        excused(Store, "outbox missing", "no event is ever removed"),
        excused(Answer, "alipay create prepay_id", PRODUCT),
        excused(Answer, "alipay create h5_url", PRODUCT),
        excused(Answer, "wxpay create trade_no", PRODUCT),
        excused(Answer, "wxpay create signed", PRODUCT),
        excused(Answer, "* query number_in_use", NOT_A_NUMBER),
        excused(Answer, "* close number_in_use", NOT_A_NUMBER),
        excused(Answer, "* refund number_in_use", NOT_A_NUMBER),
        excused(Answer, "* refund_query number_in_use", NOT_A_NUMBER),
        excused(Answer, "* close not_found", FOUND),
        excused(Answer, "wxpay query refused", UNSIGNED),
        excused(Answer, "wxpay close refused", UNSIGNED),
        excused(Answer, "* refund_query refused", "it states nothing about the refund"),
        excused(Answer, "* refund throttled", LATER),
        excused(Answer, "* refund_query throttled", LATER),
        excused(Answer, "wxpay close throttled", "WeChat Pay answers so while the buyer pays"),
        excused(Answer, "alipay close too_early", "Alipay closes at once"),
        excused(Answer, "alipay query paid_mismatch", "Alipay takes yuan only"),
        excused(Answer, "alipay refund abnormal", STATE),
        excused(Answer, "alipay refund closed", STATE),
        excused(Answer, "alipay refund_query abnormal", STATE),
        excused(Answer, "alipay refund_query closed", STATE),
        excused(Notification, "alipay refund_with_amount", "Alipay reports the total"),
        excused(Notification, "wxpay refund_with_total", "WeChat Pay reports the amount"),
        excused(Notification, "wxpay refund_without_number", "WeChat Pay reports the number"),
        excused(Notification, "* refund_without_amount", UNSENT),
        excused(Notification, "* other", UNSENT),
        excused(Notification, "* unreadable", UNSENT),
    ]
};

mod tests {
    use super::*;

    #[test]
    fn every_excuse_is_about_something_that_exists() {
        for it in EXCUSES {
            let is_excused = |(topic, name): &(Topic, String)| {
                excuse(*topic, name).is_some_and(|found| found.words == it.words)
            };
            assert!(everything().iter().any(is_excused), "{:?}: {}", it.topic, it.words);
        }
    }

    #[test]
    fn what_was_never_exercised_is_missed_and_an_excuse_that_is_none_is_noticed() {
        let mut all = Coverage::default();
        let (last, others) = {
            let is_due = |it: &(Topic, String)| excuse(it.0, &it.1).is_none();
            let mut due: Vec<_> = everything().into_iter().filter(is_due).collect();
            (due.pop().unwrap(), due)
        };
        for (topic, name) in others {
            all.count(topic, name);
        }
        assert_eq!(all.missed(), [format!("{:?}: {}", last.0, last.1)]);
        all.count(last.0, last.1);
        assert_eq!((all.missed(), all.wrongly_excused(), all.unlisted()), Default::default());
        all.count(Topic::Store, "claim existing");
        assert_eq!(all.wrongly_excused().len(), 1);
        all.count(Topic::Verdict, "a verdict that is not listed");
        assert_eq!(all.unlisted(), ["Verdict: a verdict that is not listed"]);
    }
}
