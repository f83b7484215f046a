//! The cashier: a page for a person who plays the buyer.

use fast_qr::QRBuilder;
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::reply::Page;
use super::world::Providers;
use super::world::ledger::{Order, Payment, State};
use super::world::refund::Refund;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::Millis;

/// How many orders the page shows.
const ORDERS_MAX: usize = 100;

/// The file of the page that `path` names.
pub(super) fn page(method: &Method, path: &str) -> Option<Page> {
    if *method != Method::GET {
        return None;
    }
    match path {
        "/" => Some(Page::Cashier(include_str!("cashier.html"))),
        "/cashier.css" => Some(Page::Style(include_str!("cashier.css"))),
        "/cashier.svg" => Some(Page::Svg(include_str!("cashier.svg").to_owned())),
        "/cashier.js" => Some(Page::Script(include_str!("cashier.js"))),
        _ => None,
    }
}

/// What the page shows: the newest orders first.
pub(super) fn view(providers: &Providers) -> Value {
    let now = providers.now();
    let mut orders = providers.orders();
    let count = orders.len();
    orders.sort_by(|a, b| (b.created, &b.out_trade_no).cmp(&(a.created, &a.out_trade_no)));
    let orders: Vec<Value> = orders.iter().take(ORDERS_MAX).map(|it| seen(it, now)).collect();
    json!({ "now": now, "hurry": providers.hurry(), "count": count, "orders": orders })
}

/// An order as a person sees it.
fn seen(order: &Order, now: Millis) -> Value {
    let terms = &order.terms;
    let is_open = matches!(order.state, State::Offered | State::Unpaid);
    let state = match order.state {
        State::Offered | State::Unpaid if terms.expires <= now => json!("expired"),
        State::Paid => json!(paid(order.payments.first())),
        state => json!(state),
    };
    json!({
        "provider": order.provider,
        "merchant": order.merchant,
        "out_trade_no": order.out_trade_no,
        "product": terms.product,
        "subject": terms.subject,
        "yuan": terms.amount.to_yuan(),
        "state": state,
        "created": order.created,
        "expires": terms.expires,
        "is_payable": is_open && now < terms.expires,
        "has_code": code(order).is_some(),
        "code_at": order.offers.last().map(|it| it.issued),
        "transaction_id": order.transaction_id,
        "payment": order.payments.first().map(seen_payment),
    })
}

/// How much of what was paid the buyer has back.
fn paid(payment: Option<&Payment>) -> &'static str {
    match payment.map(|it| (it.returned(), it.amount.fen())) {
        Some((back, all)) if back == all => "refunded",
        Some((1.., _)) => "part",
        _ => "paid",
    }
}

fn seen_payment(payment: &Payment) -> Value {
    let refunds: Vec<Value> = payment.refunds.iter().map(seen_refund).collect();
    json!({
        "yuan": payment.amount.to_yuan(),
        "payer": payment.payer,
        "paid_at": payment.paid_at,
        "notice": payment.notice,
        "left": Fen::new(payment.left()).map(Fen::to_yuan),
        "refunds": refunds,
    })
}

fn seen_refund(refund: &Refund) -> Value {
    json!({
        "out_refund_no": refund.out_refund_no,
        "yuan": refund.amount.to_yuan(),
        "state": refund.state,
        "notice": refund.notice,
    })
}

/// The QR code that was handed out last for `provider/number`, as a picture.
pub(super) fn qr(providers: &Providers, order: &str) -> Option<String> {
    let (provider, no) = order.split_once('/')?;
    let no = percent_decode_str(no).decode_utf8().ok()?;
    let provider =
        [ProviderId::Wxpay, ProviderId::Alipay].into_iter().find(|it| it.name() == provider);
    let mut orders = providers.orders().into_iter();
    let order = orders.find(|it| Some(it.provider) == provider && it.out_trade_no == no)?;
    svg(code(&order)?)
}

fn code(order: &Order) -> Option<&str> {
    let is_code = matches!(order.terms.product, Product::Native | Product::Precreate);
    order.offers.last().filter(|_| is_code).map(|offer| offer.code.as_str())
}

/// Black on white, with the 4 modules of quiet zone that ISO/IEC 18004 wants.
fn svg(text: &str) -> Option<String> {
    let code = QRBuilder::new(text).build().ok()?;
    let side = code.size + 8;
    let mut path = String::new();
    for y in 0..code.size {
        for x in (0..code.size).filter(|x| code[y][*x].value()) {
            path.push_str(&format!("M{} {}h1v1h-1z", x + 4, y + 4));
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
         <path d=\"{path}\"/></svg>\n"
    ))
}
