//! The mock's own operations, under `/_mock/`: the ledger, the buyer, faults, time.
//!
//! | operation | does |
//! | --- | --- |
//! | `GET ledger` | every order, how many calls came in, which faults are to come |
//! | `GET orders/{number}` | the orders under a merchant's number |
//! | `POST pay`, `POST scan` | a buyer pays, or only opens the cashier: [`Purchase`] |
//! | `POST begin` | a buyer enters a password, for up to a minute: [`Purchase`] |
//! | `POST faults`, `GET faults`, `DELETE faults` | adds a [`Fault`], lists them, ends them |
//! | `POST clock` | `{"advance_ms": 60000}`: orders age by a minute |

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::buyer::{self, Act, Purchase};
use super::faults::Fault;
use super::providers::Providers;
use super::reply::Reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: i64,
}

/// Answers the operation that `path`, without `/_mock/`, names.
pub(super) fn answer(providers: &Providers, request: &Request<Bytes>, path: &str) -> Reply {
    let reply = match (request.method(), path) {
        (&Method::GET, "ledger") => Ok(ledger(providers)),
        (&Method::POST, "pay") => buy(providers, request, Act::Pay),
        (&Method::POST, "scan") => buy(providers, request, Act::Scan),
        (&Method::POST, "begin") => buy(providers, request, Act::Begin),
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
        (&Method::GET, path) => match path.strip_prefix("orders/") {
            Some(no) => orders(providers, no),
            None => Err(not_found("no such operation of the mock")),
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
    json!({
        "now": providers.now(),
        "calls": providers.calls(),
        "faults": providers.faults().pending(),
        "orders": providers.orders(),
    })
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
    match buyer::act(providers, &purchase, act) {
        Ok(order) => Ok(json!(order)),
        Err(declined) => Err((StatusCode::CONFLICT, json!(declined))),
    }
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
