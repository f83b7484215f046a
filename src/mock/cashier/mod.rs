//! The cashier: a page on which a person plays the buyer.

use fast_qr::QRBuilder;
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::page::BrowserPage;
use super::world::World;
use super::world::order::{SimulatedOrder, State};
use super::world::payment::SimulatedPayment;
use super::world::refund::SimulatedRefund;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::Millis;

/// How many orders the page shows.
const ORDERS_MAX: usize = 100;

/// The file of the page that `path` names.
pub(super) fn page(method: &Method, path: &str) -> Option<BrowserPage> {
    if *method != Method::GET {
        return None;
    }
    match path {
        "/" => Some(BrowserPage::Cashier(include_str!("cashier.html"))),
        "/cashier.css" => Some(BrowserPage::Style(include_str!("cashier.css"))),
        "/cashier.svg" => Some(BrowserPage::Svg(include_str!("cashier.svg").to_owned())),
        "/cashier.js" => Some(BrowserPage::Script(include_str!("cashier.js"))),
        _ => None,
    }
}

/// The content of the page: the newest orders first.
pub(super) fn view(world: &World) -> Value {
    let now = world.now();
    let mut orders = world.orders();
    let count = orders.len();
    orders.sort_by(|a, b| (b.created, &b.out_trade_no).cmp(&(a.created, &a.out_trade_no)));
    let orders: Vec<Value> =
        orders.iter().take(ORDERS_MAX).map(|order| order_view(order, now)).collect();
    json!({ "now": now, "hurry": world.time_scale(), "count": count, "orders": orders })
}

fn order_view(order: &SimulatedOrder, now: Millis) -> Value {
    let terms = &order.terms;
    let is_open = matches!(order.state, State::Offered | State::Unpaid);
    let state = match order.state {
        State::Offered | State::Unpaid if terms.expires <= now => json!("expired"),
        State::Paid => json!(paid_state(order.payments.first())),
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
        "code_at": order.payment_codes.last().map(|code| code.issued),
        "transaction_id": order.transaction_id,
        "payment": order.payments.first().map(payment_view),
    })
}

/// The state of a paid order: whether it is refunded, in part or in full.
fn paid_state(payment: Option<&SimulatedPayment>) -> &'static str {
    match payment.map(|payment| (payment.refunded_fen(), payment.amount.fen())) {
        Some((refunded, paid)) if refunded == paid => "refunded",
        Some((1.., _)) => "part",
        _ => "paid",
    }
}

fn payment_view(payment: &SimulatedPayment) -> Value {
    let refunds: Vec<Value> = payment.refunds.iter().map(refund_view).collect();
    json!({
        "yuan": payment.amount.to_yuan(),
        "payer": payment.payer,
        "paid_at": payment.paid_at,
        "notice": payment.notification,
        "left": Fen::new(payment.refundable_fen()).map(Fen::to_yuan),
        "refunds": refunds,
    })
}

fn refund_view(refund: &SimulatedRefund) -> Value {
    json!({
        "out_refund_no": refund.out_refund_no,
        "yuan": refund.amount.to_yuan(),
        "state": refund.state,
        "notice": refund.notification,
    })
}

/// The last QR code of the order `provider/number`, as a picture.
pub(super) fn qr(world: &World, order: &str) -> Option<String> {
    let (provider, number) = order.split_once('/')?;
    let number = percent_decode_str(number).decode_utf8().ok()?;
    let order = world.find_by_number(ProviderId::parse(provider)?, &number)?;
    svg(code(&order)?)
}

fn code(order: &SimulatedOrder) -> Option<&str> {
    let is_code = matches!(order.terms.product, Product::Native | Product::Precreate);
    order.payment_codes.last().filter(|_| is_code).map(|code| code.code.as_str())
}

/// Black on white, with the 4 modules of quiet zone that ISO/IEC 18004 demands.
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
