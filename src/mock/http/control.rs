//! The mock's own operations, under `/_mock/`: the ledger, the buyer, notifications, faults, time.
//!
//! What they take is JSON, and over a socket says so (`Content-Type: application/json`): a page
//! of another site cannot send that. They answer JSON.
//!
//! | operation | does |
//! | --- | --- |
//! | `GET ledger` | every order, how many calls came in, which faults are to come |
//! | `GET orders/{number}` | the orders under a merchant's number |
//! | `POST pay`, `POST scan` | a buyer pays, or only opens the cashier: [`Purchase`] |
//! | `POST begin` | a buyer enters a password, for up to a minute: [`Purchase`] |
//! | `POST cancel` | a buyer opens the cashier and turns away: [`Purchase`] |
//! | `POST expire` | nobody pays in time: [`Purchase`] |
//! | `POST refund` | somebody sends money back in the console: [`ConsoleRefund`] |
//! | `POST refund/end` | a refund ends now: [`RefundEnd`] |
//! | `POST refunding` | `{"takes_ms": 3000, "alipay_tells": true}`: how refunds go from now on |
//! | `GET money` | what buyers paid and what they have back: in all, and of each payment |
//! | `GET notifications` | what the shop was told of payments and refunds, and what it answered |
//! | `POST notifications` | `{"provider":"wxpay","out_trade_no":"…"}`: tells it now, once more; |
//! | | a refund with its `out_refund_no` |
//! | `POST hurry` | `{"hurry": 60}`: the waits between notifications are 60 times shorter |
//! | `GET cashier` | what the cashier page shows |
//! | `GET qr/{provider}/{number}` | the QR code that was handed out last, as SVG |
//! | `POST faults`, `GET faults`, `DELETE faults` | adds a [`Fault`], lists them, ends them |
//! | `POST clock` | `{"advance_ms": 60000}`: orders age by a minute |

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::time::Millis;
use crate::mock::buyer;
use crate::mock::buyer::{Act, Declined, Purchase};
use crate::mock::cashier;
use crate::mock::notifier;
use crate::mock::notifier::News;
use crate::mock::operator;
use crate::mock::operator::{ConsoleRefund, RefundEnd};
use crate::mock::reply::{Page, Reply};
use crate::mock::world::Providers;
use crate::mock::world::balance;
use crate::mock::world::balance::{Balance, Money};
use crate::mock::world::faults::Fault;
use crate::mock::world::ledger::Order;
use crate::mock::world::refund::Refunding;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    takes_ms: Option<u32>,
    alipay_tells: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hurry {
    hurry: u32,
}

/// Answers the operation that `path`, without `/_mock/`, names.
pub(in crate::mock) fn answer(
    providers: &Providers,
    request: &Request<Bytes>,
    path: &str,
) -> Reply {
    let reply = match (request.method(), path) {
        (&Method::GET, "ledger") => Ok(ledger(providers)),
        (&Method::POST, "pay") => buy(providers, request, Act::Pay),
        (&Method::POST, "scan") => buy(providers, request, Act::Scan),
        (&Method::POST, "begin") => buy(providers, request, Act::Begin),
        (&Method::POST, "cancel") => buy(providers, request, Act::Cancel),
        (&Method::POST, "expire") => {
            read(request).and_then(|purchase| done(buyer::expire(providers, &purchase)))
        }
        (&Method::POST, "refund") => {
            read::<ConsoleRefund>(request).and_then(|it| done(operator::refund(providers, &it)))
        }
        (&Method::POST, "refund/end") => {
            read::<RefundEnd>(request).and_then(|it| done(operator::end(providers, &it)))
        }
        (&Method::POST, "refunding") => read::<Change>(request).map(|it| {
            let before = providers.refunding();
            providers.set_refunding(Refunding {
                takes_ms: it.takes_ms.unwrap_or(before.takes_ms),
                alipay_tells: it.alipay_tells.unwrap_or(before.alipay_tells),
            });
            json!(providers.refunding())
        }),
        (&Method::GET, "money") => Ok(money(&balance::balances(&providers.orders()))),
        (&Method::GET, "notifications") => Ok(notifications(providers)),
        (&Method::POST, "notifications") => {
            read(request).and_then(|told| done(notifier::resend(providers, &told)))
        }
        (&Method::POST, "hurry") => read::<Hurry>(request).map(|it| {
            providers.set_hurry(it.hurry.max(1));
            json!({ "hurry": providers.hurry() })
        }),
        (&Method::GET, "cashier") => Ok(cashier::view(providers)),
        (&Method::GET, "faults") => Ok(faults(providers)),
        (&Method::POST, "faults") => read::<Fault>(request).map(|fault| {
            providers.faults().add(fault);
            faults(providers)
        }),
        (&Method::DELETE, "faults") => {
            providers.faults().clear();
            Ok(faults(providers))
        }
        (&Method::POST, "clock") => read::<Advance>(request).map(|advance| {
            providers.advance(advance.advance_ms);
            json!({ "now": providers.now() })
        }),
        (&Method::GET, path) => match path.split_once('/') {
            Some(("orders", no)) => orders(providers, no),
            Some(("qr", code)) => match cashier::qr(providers, code) {
                Some(svg) => return Reply::Page(Page::Svg(svg)),
                None => Err(not_found("no QR code of such an order")),
            },
            _ => Err(not_found("no such operation of the mock")),
        },
        _ => Err(not_found("no such operation of the mock")),
    };
    match reply {
        Ok(value) => Reply::Control(StatusCode::OK, value),
        Err((status, value)) => Reply::Control(status, value),
    }
}

type Failed = (StatusCode, Value);

fn ledger(providers: &Providers) -> Value {
    let orders = providers.orders();
    json!({
        "now": providers.now(),
        "calls": providers.calls(),
        "faults": providers.faults().pending(),
        "money": Money::total(&balance::balances(&orders)),
        "orders": orders,
    })
}

fn money(balances: &[Balance]) -> Value {
    json!({ "total": Money::total(balances), "payments": balances })
}

fn orders(providers: &Providers, no: &str) -> Result<Value, Failed> {
    let no = percent_decode_str(no).decode_utf8_lossy();
    let orders = providers.orders().into_iter().filter(|it| it.out_trade_no == no);
    let orders: Vec<_> = orders.collect();
    match orders.is_empty() {
        true => Err(not_found("no order under this number")),
        false => Ok(json!({ "orders": orders })),
    }
}

fn buy(providers: &Providers, request: &Request<Bytes>, act: Act) -> Result<Value, Failed> {
    let purchase = read::<Purchase>(request)?;
    done(buyer::act(providers, &purchase, act))
}

fn done(acted: Result<Order, Declined>) -> Result<Value, Failed> {
    match acted {
        Ok(order) => Ok(json!(order)),
        Err(declined) => Err((StatusCode::CONFLICT, json!(declined))),
    }
}

/// The newest first.
fn notifications(providers: &Providers) -> Value {
    let mut told: Vec<_> = providers.orders().into_iter().flat_map(told_of).collect();
    told.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let told: Vec<Value> = told.into_iter().map(|(_, notice)| notice).collect();
    json!({ "hurry": providers.hurry(), "notifications": told })
}

fn told_of(order: Order) -> Vec<(Millis, Value)> {
    let told = |news: News<'_>| {
        let mut notice = json!(news.notice());
        notice["provider"] = json!(news.order.provider);
        notice["out_trade_no"] = json!(news.order.out_trade_no);
        notice["transaction_id"] = json!(news.payment.transaction_id);
        if let Some(refund) = news.refund {
            notice["out_refund_no"] = json!(refund.out_refund_no);
        }
        (news.refund.map_or(news.payment.paid_at, |it| it.asked), notice)
    };
    News::all(&order).map(told).collect()
}

fn faults(providers: &Providers) -> Value {
    json!({ "faults": providers.faults().pending() })
}

fn read<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, Failed> {
    serde_json::from_slice(request.body()).map_err(|error| {
        let told = json!({ "code": "BAD_REQUEST", "message": error.to_string() });
        (StatusCode::BAD_REQUEST, told)
    })
}

fn not_found(message: &str) -> Failed {
    (StatusCode::NOT_FOUND, json!({ "code": "NOT_FOUND", "message": message }))
}
