//! Reads a `queryPayment` request from bytes.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::create::{text, unreadable};
use super::fields::{BodyRules, FieldRule, Violations, field};
use super::schema;
use crate::domain::ids::{OrderNumber, OutTradeNo, TransactionId};
use crate::domain::json::scan;
use crate::error::{Code, Error, Kind};

static QUERY_PAYMENT: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("query-payment").expect("the schema is embedded"));

/// Compiles the schema once.
pub(super) fn prepare() {
    LazyLock::force(&QUERY_PAYMENT);
}

/// A valid `queryPayment` request.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryRequest {
    /// The order's number.
    pub number: OrderNumber,
    /// The longest to wait until the shop accepts the event; `None` without `await_notify`.
    pub await_accepted: Option<Duration>,
    /// The order's quote.
    pub quote: Option<String>,
    /// `pay_order_info`: whether the admin listener adds `payOrder`. vk-uni-pay's component sends
    /// it to the public listener too, which ignores it.
    pub pay_order_info: Option<bool>,
}

/// Reads the body of a `queryPayment` request. Pure.
///
/// # Errors
///
/// [`Kind::BodyUnreadable`], [`Kind::Invalid`] and, for an invalid quote alone,
/// [`Kind::CallerNotAllowed`], as [`read_create`](super::read_create).
pub fn read_query(bytes: &[u8]) -> Result<QueryRequest, Error> {
    let instance = schema::body_instance(scan(bytes).map_err(unreadable)?);
    let mut violations = Violations::of(&QUERY);
    let mut has_number = true;
    for error in schema::broken_rules(&QUERY_PAYMENT, &instance) {
        match error.kind() {
            ValidationErrorKind::OneOfNotValid { .. } => has_number = false,
            // Under the schema, a value that is not an object has both numbers.
            ValidationErrorKind::OneOfMultipleValid { .. } if !instance.is_object() => {}
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                violations.add("/transaction_id".to_owned(), "oneOf");
            }
            _ => violations.add_broken(&error),
        }
    }
    // An invalid number is not a missing one.
    if !has_number && !violations.has_field("/transaction_id") {
        violations.add_missing("/out_trade_no");
    }
    violations.into_result()?;
    // The schema has required every part: a missing one is a bug here, and the request is refused.
    instance.as_object().and_then(decode).ok_or_else(|| Error::new(Kind::BodyUnreadable))
}

fn decode(root: &Map<String, Value>) -> Option<QueryRequest> {
    let bool = |name: &str| root.get(name).and_then(Value::as_bool);
    let number = match text(root, "out_trade_no") {
        Some(number) => OrderNumber::OutTradeNo(OutTradeNo::parse(&number)?),
        None => OrderNumber::TransactionId(TransactionId(text(root, "transaction_id")?.into())),
    };
    let seconds = root.get("await_max_time").and_then(Value::as_u64).unwrap_or(AWAIT_S);
    let awaits = bool("await_notify") == Some(true);
    Some(QueryRequest {
        number,
        await_accepted: awaits.then(|| Duration::from_secs(seconds)),
        quote: text(root, "quote"),
        pay_order_info: bool("pay_order_info"),
    })
}

/// The longest wait without `await_max_time`, in seconds.
const AWAIT_S: u64 = 20;

impl fmt::Debug for QueryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRequest")
            .field("number", &self.number)
            .field("await_accepted", &self.await_accepted)
            .finish_non_exhaustive()
    }
}

const QUERY: BodyRules = BodyRules { fields: &QUERY_FIELDS, required: &[("", &["out_trade_no"])] };

const QUERY_FIELDS: [FieldRule; 7] = [
    field(
        "/out_trade_no",
        Code::OutTradeNo,
        "out_trade_no 必须是 6 到 64 位的字符串，只能包含数字、字母、_ 和 -；或改用 transaction_id",
        "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -; transaction_id can take its \
         place",
    ),
    field(
        "/transaction_id",
        Code::Body,
        "transaction_id 必须是最多 64 位的字符串，只能包含数字、字母、_ 和 -，且不能与 out_trade_no 同时使用",
        "transaction_id must be a string of at most 64 of 0-9 A-Z a-z _ -, and stand without \
         out_trade_no",
    ),
    field(
        "/await_notify",
        Code::Body,
        "await_notify 必须是布尔值",
        "await_notify must be a boolean",
    ),
    field(
        "/await_max_time",
        Code::Body,
        "await_max_time 必须是 1 到 40 的整数，单位为秒",
        "await_max_time must be a whole number of seconds from 1 to 40",
    ),
    field("/quote", Code::Body, "quote 必须是字符串", "quote must be a string"),
    field(
        "/pay_order_info",
        Code::Body,
        "pay_order_info 必须是布尔值",
        "pay_order_info must be a boolean",
    ),
    field("", Code::Body, "请求体必须是对象", "the body must be an object"),
];
