//! The list of orders: the newest first, a page at a time, all or those that a search finds.

use serde_json::{Value, json};

use super::view;
use crate::domain::money::Fen;
use crate::domain::time::Millis;
use crate::mock::world::World;
use crate::mock::world::order::SimulatedOrder;

/// How many orders one page of the list has.
const PAGE_ORDERS: usize = 50;

/// A page of the list. `search` is words that an order must all match: a part of a number, of the
/// subject or of the account, the amount in yuan, or the beginning of a word for the provider, the
/// product or the state; of a Chinese word any part. The first page is 1.
pub(in crate::mock) fn page(world: &World, search: &str, number: usize) -> Value {
    let now = world.now();
    let mut orders = world.orders();
    let count = orders.len();
    let words: Vec<String> = search.split_whitespace().map(str::to_lowercase).collect();
    orders.retain(|order| words.iter().all(|word| matches(order, word, now)));
    orders.sort_by(|a, b| (b.created, &b.out_trade_no).cmp(&(a.created, &a.out_trade_no)));
    let pages = orders.len().div_ceil(PAGE_ORDERS).max(1);
    let number = number.clamp(1, pages);
    let shown = orders.iter().skip((number - 1) * PAGE_ORDERS).take(PAGE_ORDERS);
    let shown: Vec<Value> = shown.map(|order| view::order(order, now)).collect();
    json!({
        "now": now,
        "hurry": world.time_scale(),
        "count": count,
        "found": orders.len(),
        "page": number,
        "pages": pages,
        "orders": shown,
    })
}

fn matches(order: &SimulatedOrder, word: &str, now: Millis) -> bool {
    let refunds = order.payments.iter().flat_map(|payment| &payment.refunds);
    let refunds = refunds.map(|refund| &refund.out_refund_no);
    let texts = [&order.out_trade_no, &order.merchant, &order.terms.subject].into_iter();
    let mut texts = texts.chain(&order.transaction_id).chain(refunds);
    let state = view::state(order, now);
    let words = [
        view::provider_words(order.provider),
        order.provider.name(),
        view::product_words(order.terms.product),
        state,
        view::state_words(state),
    ];
    let mut words = words.into_iter().flat_map(|words| words.split([' ', '/']));
    texts.any(|text| text.to_lowercase().contains(word))
        || words.any(|it| is_word(&it.to_lowercase(), word))
        || is_amount(word, &view::yuan(order))
}

/// Chinese has no spaces between words.
fn is_word(text: &str, word: &str) -> bool {
    if word.is_ascii() { text.starts_with(word) } else { text.contains(word) }
}

/// Whether `word` is an amount as a person writes it, and equal to `yuan`.
fn is_amount(word: &str, yuan: &str) -> bool {
    let amount = Fen::from_yuan(word.trim_start_matches(['¥', '￥']));
    amount.is_some() && amount == Fen::from_yuan(yuan)
}
