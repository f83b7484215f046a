//! The number and the expiry of the next attempt.

use super::{EXPIRES, attempt, in_use, live, lost, method, order_of, refused, rows};
use crate::domain::channel::ProviderId;
use crate::domain::ids::{ChannelNo, Pid};
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::product::Product;
use crate::domain::time::Millis;

/// The moment at which a minute and a millisecond is left before an attempt expires, and the one
/// at which a minute is left.
const IN_TIME: i64 = EXPIRES - 60_001;
const LAST_MINUTE: i64 = EXPIRES - 60_000;

/// Columns: the product of the earlier attempt, its state, when the next one opens at the same
/// provider, whose number that gets, and whether the earlier one limits its expiry.
#[test]
fn an_attempt_shares_a_number_only_where_no_second_trade_can_come_of_it() {
    let table = "
        Native    | not_sent            | in time     | own     | -
        Native    | not_found           | in time     | own     | -
        Native    | payable             | in time     | derived | -
        Native    | closed              | in time     | derived | -
        Native    | refused             | in time     | derived | -
        Native    | outcome_unknown     | in time     | derived | -
        Native    | number_in_use       | in time     | derived | -
        Precreate | not_sent            | in time     | own     | -
        Precreate | not_sent            | last minute | own     | -
        Precreate | not_found           | last minute | own     | -
        Precreate | payable             | in time     | own     | limited
        Precreate | payable             | last minute | derived | -
        Precreate | payable and closing | in time     | derived | -
        Precreate | closed              | in time     | derived | -
        Precreate | refused             | in time     | derived | -
        Precreate | outcome_unknown     | in time     | derived | -
        Precreate | number_in_use       | in time     | derived | -
        Create    | not_found           | in time     | own     | limited
        Create    | not_found           | last minute | derived | -
    ";
    for row in rows(table) {
        let [product, state, time, number, expiry] = row[..] else { panic!("{row:?}") };
        let product = match product {
            "Native" => Product::Native,
            "Precreate" => Product::Precreate,
            _ => Product::Create,
        };
        let (state, close_intended) = match state.strip_suffix(" and closing") {
            Some(state) => (state, true),
            None => (state, false),
        };
        let state = super::states().into_iter().find(|known| known.name() == state).unwrap();
        let earlier = attempt(1, state);
        let earlier = Attempt { method: method(product), close_intended, ..earlier };
        let order = order_of(1, vec![earlier]);
        let now = Millis(if time == "in time" { IN_TIME } else { LAST_MINUTE });
        let next = order.next_attempt(method(product).provider(), now).unwrap();
        let expected = match number {
            "own" => ChannelNo::first(order.out_trade_no()),
            _ => ChannelNo::derived(&Pid::default(), order.out_trade_no(), 2),
        };
        assert_eq!((next.n, next.channel_no), (2, expected), "{row:?}");
        let limit = (expiry == "limited").then_some(Millis(EXPIRES));
        assert_eq!(next.expires_max, limit, "{row:?}");
    }
}

#[test]
fn the_first_attempt_at_a_provider_has_the_orders_own_number() {
    for state in [live(), lost(), refused(), in_use(), AttemptState::Closed] {
        let order = order_of(1, vec![attempt(1, state)]);
        let next = order.next_attempt(ProviderId::Alipay, Millis(0)).unwrap();
        assert_eq!(next.channel_no, ChannelNo::first(order.out_trade_no()));
        assert_eq!((next.n, next.expires_max), (2, None));
    }
}

#[test]
fn the_attempts_of_a_number_expire_with_the_first_of_them() {
    let alipay = |n, expires_at| Attempt {
        method: method(Product::Precreate),
        expires_at: Millis(expires_at),
        ..attempt(n, live())
    };
    let order =
        order_of(1, vec![alipay(1, EXPIRES + 9), alipay(2, EXPIRES), alipay(3, EXPIRES + 5)]);
    let next = order.next_attempt(ProviderId::Alipay, Millis(0)).unwrap();
    assert_eq!(next.expires_max, Some(Millis(EXPIRES)));
}

#[test]
fn an_order_hands_out_at_most_eight_attempts_and_has_at_most_128() {
    let order = |count: u32, state: AttemptState| {
        order_of(1, (1..=count).map(|n| attempt(n, state.clone())).collect())
    };
    let next = |order: &super::Order| order.next_attempt(ProviderId::Alipay, Millis(0));
    assert_eq!(next(&order(7, live())).map(|next| next.n), Some(8));
    assert_eq!(next(&order(8, live())), None);
    assert_eq!(next(&order(127, refused())).map(|next| next.n), Some(128));
    assert_eq!(next(&order(128, refused())), None);
}
