//! From bytes to a `queryPayment` request.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::create::{text, unreadable};
use super::fields::{Field, Form, Violations, field};
use super::schema;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::json::scan;
use crate::error::{Code, Error, Kind};

static QUERY_PAYMENT: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("query-payment").expect("the schema is embedded"));

/// Compiles the schema, unless that was done.
pub(super) fn prepare() {
    LazyLock::force(&QUERY_PAYMENT);
}

/// A valid `queryPayment` request.
#[derive(Clone, PartialEq, Eq)]
pub struct QueryRequest {
    /// Which order.
    pub number: AskedBy,
    /// How long to wait until the shop has accepted the event; `None` without `await_notify`.
    pub await_accepted: Option<Duration>,
    /// The order's quote.
    pub quote: Option<String>,
    /// `pay_order_info`: with the order's own record, at the admin listener only. vk-uni-pay's
    /// component sends it to the public one too, which adds nothing.
    pub pay_order_info: Option<bool>,
}

/// By which of its numbers an order is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// The shop's.
    OutTradeNo(OutTradeNo),
    /// The provider's, of one of its payments.
    TransactionId(TransactionId),
}

/// Reads the body of a `queryPayment` request. Pure.
///
/// # Errors
///
/// [`Kind::BodyUnreadable`], [`Kind::Invalid`] and, for an ill quote alone,
/// [`Kind::CallerNotAllowed`], as [`read_create`](super::read_create).
pub fn read_query(bytes: &[u8]) -> Result<QueryRequest, Error> {
    let instance = schema::instance(scan(bytes).map_err(unreadable)?);
    let mut violations = Violations::of(&QUERY);
    let mut has_number = true;
    for error in QUERY_PAYMENT.iter_errors(&instance) {
        match error.kind() {
            ValidationErrorKind::OneOfNotValid { .. } => has_number = false,
            // What is no object has both numbers, as far as a schema can say.
            ValidationErrorKind::OneOfMultipleValid { .. } if !instance.is_object() => {}
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                violations.add("/transaction_id".to_owned(), "oneOf");
            }
            _ => violations.add_broken(&error),
        }
    }
    // An ill number is no missing one.
    if !has_number && !violations.tells_of("/transaction_id") {
        violations.add_missing("/out_trade_no");
    }
    violations.into_result()?;
    // The schema has said that every part is there: a gap would be a fault of ours, and refuses.
    instance.as_object().and_then(decode).ok_or_else(|| Error::new(Kind::BodyUnreadable))
}

fn decode(root: &Map<String, Value>) -> Option<QueryRequest> {
    let bool = |name: &str| root.get(name).and_then(Value::as_bool);
    let number = match text(root, "out_trade_no") {
        Some(number) => AskedBy::OutTradeNo(OutTradeNo::parse(&number)?),
        None => AskedBy::TransactionId(TransactionId(text(root, "transaction_id")?.into())),
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

/// What a wait takes at most unless told, in seconds.
const AWAIT_S: u64 = 20;

impl fmt::Debug for QueryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryRequest")
            .field("number", &self.number)
            .field("await_accepted", &self.await_accepted)
            .finish_non_exhaustive()
    }
}

const QUERY: Form = Form { fields: &QUERY_FIELDS, required: &[("", &["out_trade_no"])] };

const QUERY_FIELDS: [Field; 7] = [
    field(
        "/out_trade_no",
        Code::OutTradeNo,
        "out_trade_no必须是6到64位的字符串,只能包含数字、字母、_和-;或改用transaction_id",
        "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -, or transaction_id be sent",
    ),
    field(
        "/transaction_id",
        Code::Body,
        "transaction_id必须是最多64位的字符串,只能包含数字、字母、_和-,且不能与out_trade_no同时使用",
        "transaction_id must be a string of at most 64 of 0-9 A-Z a-z _ -, and stand alone",
    ),
    field(
        "/await_notify",
        Code::Body,
        "await_notify必须是布尔值",
        "await_notify must be a boolean",
    ),
    field(
        "/await_max_time",
        Code::Body,
        "await_max_time必须是1到40的整数,单位为秒",
        "await_max_time must be a whole number of seconds from 1 to 40",
    ),
    field("/quote", Code::Body, "quote必须是字符串", "quote must be a string"),
    field(
        "/pay_order_info",
        Code::Body,
        "pay_order_info必须是布尔值",
        "pay_order_info must be a boolean",
    ),
    field("", Code::Body, "请求中有未知字段", "there is no such field"),
];
