//! The mock's own operations, under `/_mock/`: the ledger, the buyer, notifications, faults, time.
//!
//! They take JSON, over a socket with `Content-Type: application/json`, which a page of another
//! site cannot send. They answer JSON.
//!
//! | operation | does |
//! | --- | --- |
//! | `GET ledger` | every order, how many calls came in, which faults are pending |
//! | `GET orders/{number}` | the orders under a merchant's number |
//! | `POST pay`, `POST scan` | a buyer pays, or only opens the cashier: [`SimulatedPurchase`] |
//! | `POST begin` | a buyer enters a password, for up to a minute: [`SimulatedPurchase`] |
//! | `POST cancel` | a buyer opens the cashier and leaves it: [`SimulatedPurchase`] |
//! | `POST expire` | the order expires: [`SimulatedPurchase`] |
//! | `POST refund` | an operator makes a refund in the console: [`ConsoleRefund`] |
//! | `POST refund/end` | an operator ends a refund: [`RefundEnd`] |
//! | `POST refunding` | `{"takes_ms": 3000, "alipay_tells": true}`: how refunds are executed |
//! | `GET money` | how much buyers paid and how much is refunded: in all, and of each payment |
//! | `GET notifications` | the notifications of payments and refunds, and the answers of the shop |
//! | `POST notifications` | `{"provider":"wxpay","out_trade_no":"…"}`: sends it now, once more; |
//! | | with `out_refund_no` that of a refund |
//! | `POST hurry` | `{"hurry": 60}`: divides the waits between notifications by 60 |
//! | `GET cashier` | the orders of the cashier page, the newest first: `?q=` searches, `?page=2` |
//! | `GET cashier/order` | the order that `?with=` opens: any code, link or order string |
//! | `GET events` | the shop's events of the payment `?provider=` and `?transaction_id=` name |
//! | `GET qr/{provider}/{number}` | the last QR code of the order, as SVG |
//! | `POST faults`, `GET faults`, `DELETE faults` | adds a [`SimulatedFault`], lists, clears them |
//! | `POST clock` | `{"advance_ms": 60000}`: orders age by a minute; `{"ahead_ms": 600000}`: the |
//! | | providers' clocks are ten minutes ahead of this machine's |

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::time::Millis;
use crate::mock::buyer::{self, BuyerAction};
use crate::mock::cashier::{order, order_list, qr_code};
use crate::mock::notifier;
use crate::mock::operator::{self, ConsoleRefund, RefundEnd};
use crate::mock::page::{self, BrowserPage, json_response};
use crate::mock::purchase::{ActionRefused, SimulatedPurchase};
use crate::mock::world::World;
use crate::mock::world::balance::{self, Balance, MoneyTotals};
use crate::mock::world::faults::SimulatedFault;
use crate::mock::world::notification_content::NotificationContent;
use crate::mock::world::order::SimulatedOrder;
use crate::mock::world::refund::RefundSettings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    advance_ms: Option<i64>,
    ahead_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundSettingsChange {
    takes_ms: Option<u32>,
    #[serde(rename = "alipay_tells")]
    alipay_notifies: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeScale {
    #[serde(rename = "hurry")]
    time_scale: u32,
}

/// Answers the operation that `path`, without `/_mock/`, names.
pub(in crate::mock) fn answer(
    world: &World,
    request: &Request<Bytes>,
    path: &str,
) -> Response<Bytes> {
    let result = match (request.method(), path) {
        (&Method::GET, path) => match path.split_once('/') {
            Some(("qr", code)) => match qr_code::picture(world, code) {
                Some(svg) => return BrowserPage::Svg(svg).response(),
                None => Err(not_found("no QR code of such an order")),
            },
            _ => show(world, request, path),
        },
        (&Method::POST, path) => change(world, request, path),
        (&Method::DELETE, "faults") => {
            world.faults().clear();
            Ok(faults(world))
        }
        _ => Err(unknown_operation()),
    };
    match result {
        Ok(value) => json_response(StatusCode::OK, &value),
        Err((status, value)) => json_response(status, &value),
    }
}

/// The status and the JSON of a failed operation.
type ControlFailure = (StatusCode, Value);

fn show(world: &World, request: &Request<Bytes>, path: &str) -> Result<Value, ControlFailure> {
    match path {
        "ledger" => Ok(ledger(world)),
        "money" => Ok(money(&balance::balances(&world.orders()))),
        "notifications" => Ok(notifications(world)),
        "cashier" => {
            let search = page::parameter(request, "q").unwrap_or_default();
            let number = page::parameter(request, "page").and_then(|text| text.parse().ok());
            Ok(order_list::page(world, &search, number.unwrap_or(1)))
        }
        "cashier/order" => {
            order::opened(world, request).map_err(|refused| (StatusCode::NOT_FOUND, json!(refused)))
        }
        "faults" => Ok(faults(world)),
        path => match path.split_once('/') {
            Some(("orders", number)) => orders(world, number),
            _ => Err(unknown_operation()),
        },
    }
}

fn change(world: &World, request: &Request<Bytes>, path: &str) -> Result<Value, ControlFailure> {
    match path {
        "pay" => act_as_buyer(world, request, BuyerAction::Pay),
        "scan" => act_as_buyer(world, request, BuyerAction::Scan),
        "begin" => act_as_buyer(world, request, BuyerAction::EnterPassword),
        "cancel" => act_as_buyer(world, request, BuyerAction::Cancel),
        "expire" => order_json(buyer::expire(world, &parse(request)?)),
        "refund" => order_json(operator::refund(world, &parse::<ConsoleRefund>(request)?)),
        "refund/end" => order_json(operator::end(world, &parse::<RefundEnd>(request)?)),
        "notifications" => order_json(notifier::resend(world, &parse(request)?)),
        "refunding" => {
            let change = parse::<RefundSettingsChange>(request)?;
            let before = world.refund_settings();
            world.set_refund_settings(RefundSettings {
                takes_ms: change.takes_ms.unwrap_or(before.takes_ms),
                alipay_notifies: change.alipay_notifies.unwrap_or(before.alipay_notifies),
            });
            Ok(json!(world.refund_settings()))
        }
        "hurry" => {
            let TimeScale { time_scale } = parse(request)?;
            world.set_time_scale(time_scale.max(1));
            Ok(json!({ "hurry": world.time_scale() }))
        }
        "faults" => {
            world.faults().add(parse::<SimulatedFault>(request)?);
            Ok(faults(world))
        }
        "clock" => {
            let ClockChange { advance_ms, ahead_ms } = parse(request)?;
            world.advance(advance_ms.unwrap_or(0));
            if let Some(ms) = ahead_ms {
                world.set_ahead(ms);
            }
            Ok(json!({ "now": world.now() }))
        }
        _ => Err(unknown_operation()),
    }
}

fn ledger(world: &World) -> Value {
    let orders = world.orders();
    json!({
        "now": world.now(),
        "calls": world.calls(),
        "faults": world.faults().pending(),
        "money": MoneyTotals::total(&balance::balances(&orders)),
        "orders": orders,
    })
}

fn money(balances: &[Balance]) -> Value {
    json!({ "total": MoneyTotals::total(balances), "payments": balances })
}

fn orders(world: &World, number: &str) -> Result<Value, ControlFailure> {
    let number = percent_decode_str(number).decode_utf8_lossy();
    let orders = world.orders().into_iter().filter(|order| order.out_trade_no == number);
    let orders: Vec<_> = orders.collect();
    match orders.is_empty() {
        true => Err(not_found("no order under this number")),
        false => Ok(json!({ "orders": orders })),
    }
}

fn act_as_buyer(
    world: &World,
    request: &Request<Bytes>,
    action: BuyerAction,
) -> Result<Value, ControlFailure> {
    order_json(buyer::perform(world, &parse::<SimulatedPurchase>(request)?, action))
}

fn order_json(result: Result<SimulatedOrder, ActionRefused>) -> Result<Value, ControlFailure> {
    match result {
        Ok(order) => Ok(json!(order)),
        Err(refused) => Err((StatusCode::CONFLICT, json!(refused))),
    }
}

/// The newest first.
fn notifications(world: &World) -> Value {
    let mut all: Vec<_> = world.orders().into_iter().flat_map(notifications_of).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let all: Vec<Value> = all.into_iter().map(|(_, notification)| notification).collect();
    json!({ "hurry": world.time_scale(), "notifications": all })
}

fn notifications_of(order: SimulatedOrder) -> Vec<(Millis, Value)> {
    let to_json = |content: NotificationContent<'_>| {
        let mut notification = json!(content.state());
        notification["provider"] = json!(content.order.provider);
        notification["out_trade_no"] = json!(content.order.out_trade_no);
        notification["transaction_id"] = json!(content.payment.transaction_id);
        if let Some(refund) = content.refund {
            notification["out_refund_no"] = json!(refund.out_refund_no);
        }
        let at = content.refund.map_or(content.payment.paid_at, |refund| refund.requested_at);
        (at, notification)
    };
    NotificationContent::all(&order).map(to_json).collect()
}

fn faults(world: &World) -> Value {
    json!({ "faults": world.faults().pending() })
}

fn parse<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, ControlFailure> {
    serde_json::from_slice(request.body()).map_err(|error| {
        let value = json!({ "code": "BAD_REQUEST", "message": error.to_string() });
        (StatusCode::BAD_REQUEST, value)
    })
}

fn not_found(message: &str) -> ControlFailure {
    (StatusCode::NOT_FOUND, json!({ "code": "NOT_FOUND", "message": message }))
}

fn unknown_operation() -> ControlFailure {
    not_found("no such operation of the mock")
}
