//! A provider that is down for hours, or refuses everything, and the buyers who go to the other.

use std::sync::Arc;
use std::time::Duration;

use paygate::Clock as _;
use paygate::domain::ProviderId;
use paygate::error::Kind;
use paygate::mock::{FaultKind, Refuse};
use tokio::time::sleep;

use super::audit;
use super::buyers;
use super::buyers::{Answer, Case};
use super::rng::Rng;
use super::shared::{STARTED, Shared};

/// When and how a provider cannot be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) provider: ProviderId,
    how: How,
    /// Since the world's beginning.
    from_ms: i64,
    to_ms: i64,
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// No connection.
    Away,
    /// No answer, whether it acted or not.
    Silent,
    /// An answer without content.
    Failing,
    /// It refuses every call.
    Refusing,
}

impl Outage {
    /// In one world of three, for minutes or for hours: it ends before the orders are paid, after
    /// it, or after they were closed.
    pub(super) fn some(rng: &Rng) -> Option<Outage> {
        let provider = *rng.pick(&[ProviderId::Wxpay, ProviderId::Alipay]);
        let how = *rng.pick(&[How::Away, How::Silent, How::Failing, How::Refusing]);
        let from_ms = i64::try_from(rng.below(120_000)).unwrap();
        let for_ms = i64::try_from(rng.within(60_000..3 * 3_600_000)).unwrap();
        let outage = Outage { provider, how, from_ms, to_ms: from_ms + for_ms };
        rng.percent(33).then_some(outage)
    }

    pub(super) fn is_on(&self, shared: &Shared) -> bool {
        let at = shared.clock.now().since(STARTED);
        (self.from_ms..self.to_ms).contains(&at)
    }
}

/// What a call to `provider` meets: nothing when there is no outage there. `None` in it means that
/// there is no connection.
pub(super) fn meets(shared: &Shared, provider: ProviderId, rng: &Rng) -> Option<Option<FaultKind>> {
    let outage = shared.outage.filter(|it| it.provider == provider && it.is_on(shared))?;
    let refuse = |code: &str| {
        let (code, message) = (code.to_owned(), "an outage".to_owned());
        FaultKind::Refuse(Refuse { code, message, status: None })
    };
    Some(match outage.how {
        How::Away => None,
        How::Silent => Some(rng.pick(&[FaultKind::LoseRequest, FaultKind::LoseReply]).clone()),
        How::Failing => Some(FaultKind::Status500),
        How::Refusing => {
            let codes = match provider {
                ProviderId::Wxpay => ["SIGN_ERROR", "NO_AUTH", "SYSTEM_ERROR"],
                ProviderId::Alipay => ["40006", "20000", "ACQ.SYSTEM_ERROR"],
            };
            Some(refuse(codes[usize::try_from(rng.below(3)).unwrap()]))
        }
    })
}

/// A buyer who comes during the outage, is turned away by the provider that is down, and pays by
/// the other: unless something that can be paid is in somebody's hands already, that must work.
pub(super) async fn turned_away(shared: Arc<Shared>, at: usize, rng: Rng) {
    let Some(outage) = shared.outage else { return };
    let case = &shared.cases[at];
    let (dead, living) = buyers::ways_around(outage.provider, &rng);
    sleep(Duration::from_millis(u64::try_from(outage.from_ms).unwrap()) + rng.pause()).await;
    for _ in 0..rng.within(1..4) {
        if !outage.is_on(&shared) {
            return;
        }
        buyers::ask(&shared, case, &dead, case.fee).await;
        sleep(rng.time(Duration::from_secs(8))).await;
    }
    let mut answer = buyers::ask(&shared, case, &living, case.fee).await;
    // Somebody else may be asking for this order at the same time.
    for _ in 0..6 {
        match &answer {
            Answer::Refused(error) if error.kind() == Kind::Busy => {}
            _ => break,
        }
        sleep(Duration::from_secs(10)).await;
        answer = buyers::ask(&shared, case, &living, case.fee).await;
    }
    if outage.is_on(&shared) {
        judge(&shared, case, outage.provider, &answer);
    }
}

fn judge(shared: &Shared, case: &Case, dead: ProviderId, answer: &Answer) {
    let Some(order) = shared.records.order(&case.no) else { return };
    let is_its = order.terms.total_fee.fen() == case.fee;
    if order.status.number() != 0 || order.flags.mismatch || !is_its {
        return;
    }
    // What was handed out before, or needs no call, holds back the other way, and nothing else
    // may: no deadline that is over, no limit, no other trouble.
    let handed_out: Vec<_> = order.attempts.iter().filter(|it| it.is_handed_out()).collect();
    let is_held = handed_out.iter().any(|it| it.method.provider() == dead);
    let is_kept = shared.rejects() && !handed_out.is_empty();
    if is_held || is_kept || handed_out.len() >= 8 || !case.is_undated() {
        return;
    }
    let served = matches!(answer, Answer::Given(_));
    shared.count(|it| it.turned += 1);
    shared.count(|it| it.served += u64::from(served));
    // What is about to lapse at the living provider is waited for.
    let is_passing = !handed_out.is_empty()
        && matches!(answer, Answer::Refused(error) if error.kind() == Kind::Busy);
    if served || is_passing || shared.trouble > 0 {
        return;
    }
    let outcome = match answer {
        Answer::Refused(error) => format!("{error:?}"),
        Answer::Given(_) | Answer::Broken => "nothing".to_owned(),
    };
    let summary = audit::summary(&order);
    let what = format!("{}: {dead} is down, and the other way is {outcome}: {summary:#?}", case.no);
    shared.saw(vec![what]);
}
