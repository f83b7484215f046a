//! The shop's operator: queries orders, refunds and closes them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use paygate::domain::{Fen, Order, OrderStatus, OutTradeNo, RefundState};
use paygate::engine::{Engine, OrderNumber, Queried, Query, RefundRequest, Refunded};
use paygate::error::{Error, Kind};
use paygate::mock;
use paygate::mock::{ConsoleNotification, ConsoleRefund, State};
use tokio::time::sleep;

use super::audit;
use super::buyers::{self, Case};
use super::money;
use super::rng::Rng;
use super::shared::Shared;

/// Looks after one order now and then.
pub(super) async fn run_operator(shared: Arc<Shared>, at: usize, rng: Rng) {
    let case = &shared.cases[at];
    let (closes, refunds) = (rng.percent(45), shared.returns_much || rng.percent(50));
    if shared.returns_much && rng.percent(70) {
        until_it_is_paid(&shared, case).await;
    }
    for _ in 0..rng.within(1..10) {
        sleep(rng.pause()).await;
        match rng.below(10) {
            0 | 1 if closes => close(&shared, case, &rng).await,
            2..6 if refunds => refund(&shared, case, &rng).await,
            6 if refunds => {
                // Two operators, or one who is impatient.
                tokio::join!(refund(&shared, case, &rng), refund(&shared, case, &rng));
            }
            7 if refunds => return_in_console(&shared, case, &rng),
            _ => query(&shared, case, &rng).await,
        }
    }
}

/// Waits until the order is paid, for half an hour.
async fn until_it_is_paid(shared: &Shared, case: &Case) {
    for _ in 0..60 {
        let order = shared.records.order(&case.no);
        if order.is_some_and(|it| !it.payments.is_empty()) {
            return;
        }
        sleep(Duration::from_secs(30)).await;
    }
}

async fn close(shared: &Arc<Shared>, case: &Case, rng: &Rng) {
    let no = case.number();
    let before = shared.records.order(&case.no);
    let Some(answer) = done(shared, |engine| async move { engine.close(&no).await }).await else {
        return shared.log(format!("{} close: broken", case.no));
    };
    let kind = answer.map_err(|error| error.kind());
    shared.log(format!("{} close: {kind:?}", case.no));
    let now = shared.records.order(&case.no);
    let status = now.as_ref().map(|it| it.status);
    let matches_order = match kind {
        Ok(()) => status == Some(OrderStatus::Closed),
        Err(Kind::AlreadyPaid) => {
            now.as_ref().is_some_and(|it| it.status.number() > 0 || it.flags.mismatch)
        }
        Err(Kind::NoSuchOrder) => before.is_none(),
        Err(Kind::Busy | Kind::NotSent | Kind::OutcomeUnknown | Kind::ProviderRefused) => true,
        Err(_) => false,
    };
    must(shared, matches_order, || format!("{} is {status:?}, and close said {kind:?}", case.no));
    if kind.is_ok() {
        shared.saw(audit::closed(shared, case));
        // A buyer scans too late what no provider could close.
        if rng.percent(90) {
            sleep(rng.time(Duration::from_secs(5))).await;
            case.items().iter().any(|item| buyers::pay(shared, item));
        }
    }
}

async fn refund(shared: &Arc<Shared>, case: &Case, rng: &Rng) {
    let known = shared.records.order(&case.no);
    let payments = known.map(|it| it.payments).unwrap_or_default();
    let named = !payments.is_empty() && rng.percent(20);
    let transaction_id = named.then(|| rng.pick(&payments).transaction_id.clone());
    let is_whole = rng.percent(40);
    let slip = rng.below(3);
    // A slip of paper with a number and an amount; now and then the amount is misread.
    let fee = 1 + (case.fee * (slip + 1) / 4) + u64::from(rng.percent(10));
    let request = RefundRequest {
        out_trade_no: case.number(),
        out_refund_no: (!is_whole).then(|| format!("{}-back{slip}", case.no)),
        refund_fee: if is_whole { None } else { Fen::new(fee) },
        refund_desc: Some("the tea was cold".to_owned()),
        transaction_id,
    };
    let asked = request.clone();
    let answer = done(shared, |engine| async move { engine.refund(request).await }).await;
    let Some(answer) = answer else {
        return shared.log(format!("{} refund: broken", case.no));
    };
    let outcome = answer.as_ref().map(|it| (it.refund.refund_fee.fen(), it.refund.state.name()));
    let outcome = outcome.map_err(Error::kind);
    shared.log(format!("{} refund {:?}: {outcome:?}", case.no, asked.out_refund_no));
    judge(shared, case, &asked, &answer);
}

/// Somebody returns money in a provider's console, and does not tell the shop.
fn return_in_console(shared: &Shared, case: &Case, rng: &Rng) {
    let trades = shared.providers.orders().into_iter();
    let is_its =
        |it: &mock::SimulatedOrder| it.terms.subject == case.subject && it.state == State::Paid;
    let paid: Vec<mock::SimulatedOrder> = trades.filter(is_its).collect();
    if paid.is_empty() {
        return;
    }
    let trade = rng.pick(&paid);
    let (provider, out_trade_no) = (trade.provider, trade.out_trade_no.clone());
    let amount = if rng.percent(30) { None } else { Fen::new(1 + rng.below(case.fee)) };
    let notification = match rng.below(10) {
        0 => ConsoleNotification::Never,
        1 => ConsoleNotification::Xml,
        _ => ConsoleNotification::Regular,
    };
    let refund = ConsoleRefund { provider, out_trade_no, amount, notification };
    let done = shared.providers.refund_in_console(&refund).map(drop).map_err(|it| it.code);
    shared.log(format!("{} in the console at {provider}: {amount:?}: {done:?}", case.no));
}

fn judge(shared: &Shared, case: &Case, asked: &RefundRequest, answer: &Result<Refunded, Error>) {
    let order = shared.records.order(&case.no);
    let known = |number: &str| order.as_ref().and_then(|it| it.refund(number)).is_some();
    let matches_order = match answer {
        Ok(refunded) => {
            let refund = &refunded.refund;
            let is_its = asked.out_refund_no.as_ref().is_none_or(|it| *it == refund.out_refund_no);
            let is_as_much = asked.refund_fee.is_none_or(|it| it == refund.refund_fee);
            let is_true =
                refund.state != RefundState::Success || money::is_refunded(shared, case, refund);
            is_its && is_as_much && is_true && known(&refund.out_refund_no)
        }
        Err(error) => matches!(
            error.kind(),
            Kind::NoSuchOrder
                | Kind::NotPaid
                | Kind::RefundExceeds
                | Kind::Different
                | Kind::TooSoon
                | Kind::ProviderRefused
                | Kind::NotSent
                | Kind::OutcomeUnknown
        ),
    };
    must(shared, matches_order, || format!("{}: {asked:?} was answered {answer:?}", case.no));
}

async fn query(shared: &Arc<Shared>, case: &Case, rng: &Rng) {
    let before = shared.records.order(&case.no);
    let await_accepted = rng.percent(50).then(|| rng.time(Duration::from_secs(40)));
    let number = OrderNumber::OutTradeNo(case.number());
    let asked = Query { number, await_accepted };
    let Some(answer) = done(shared, |engine| async move { engine.query(asked).await }).await else {
        return shared.log(format!("{} query: broken", case.no));
    };
    let outcome = answer.as_ref().map(|it| (it.order.status, it.user_order_success));
    let outcome = outcome.map_err(Error::kind);
    shared.log(format!("{} query {await_accepted:?}: {outcome:?}", case.no));
    let matches_order = match &answer {
        Ok(queried) => money::queried(shared, (case, before.as_ref()), queried),
        Err(error) if error.kind() == Kind::NoSuchOrder => before.is_none(),
        Err(error) => error.kind() == Kind::NotSent,
    };
    must(shared, matches_order, || format!("{}: was told {:?}", case.no, answer.map(brief)));
}

fn brief(queried: Queried) -> (Vec<String>, Option<bool>) {
    let order: &Order = &queried.order;
    (super::audit::summary(order), queried.user_order_success)
}

/// What the process that takes requests now does; [`None`] when it dies.
async fn done<T, F: Future<Output = T>>(
    shared: &Arc<Shared>,
    act: impl FnOnce(Engine) -> F,
) -> Option<T> {
    let process = shared.front();
    tokio::select! {
        biased;
        () = process.crash_switch.stopped() => None,
        answer = act(process.engine.clone()) => Some(answer),
        () = sleep(Duration::from_secs(120)) => {
            shared.saw(vec!["the operator got no answer in two minutes".to_owned()]);
            None
        }
    }
}

fn must(shared: &Shared, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        shared.saw(vec![what()]);
    }
}

impl Case {
    fn number(&self) -> OutTradeNo {
        OutTradeNo::parse(&self.no).unwrap()
    }
}
