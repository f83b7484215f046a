//! Reads the requests of `refund`, `queryRefund` and `closePayment` from bytes.

use std::sync::LazyLock;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::create::{text, unreadable};
use super::fields::{BodyRules, FieldRule, Violations, field};
use super::schema;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::json::scan;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundRequest;
use crate::error::{Code, Error, Kind};

static REFUND: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("refund").expect("the schema is embedded"));
static QUERY_REFUND: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("query-refund").expect("the schema is embedded"));
static CLOSE_PAYMENT: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("close-payment").expect("the schema is embedded"));

/// A valid `queryRefund` request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundQuery {
    /// The refund with this number.
    OutRefundNo(String),
    /// Every refund of this order.
    OutTradeNo(OutTradeNo),
}

/// Reads the body of a `refund` request. Pure.
///
/// # Errors
///
/// [`Kind::BodyUnreadable`] and [`Kind::Invalid`], as [`read_create`](super::read_create).
pub fn read_refund(bytes: &[u8]) -> Result<RefundRequest, Error> {
    let root = checked_object(bytes, &REFUND, Violations::of(&REFUND_FORM))?;
    complete(decode_refund(&root))
}

/// Reads the body of a `queryRefund` request. Pure.
///
/// # Errors
///
/// As [`read_refund`].
pub fn read_query_refund(bytes: &[u8]) -> Result<RefundQuery, Error> {
    let root = checked_object(bytes, &QUERY_REFUND, Violations::of(&QUERY_FORM))?;
    complete(match text(&root, "out_refund_no") {
        Some(number) => Some(RefundQuery::OutRefundNo(number)),
        None => decode_number(&root).map(RefundQuery::OutTradeNo),
    })
}

/// Reads the body of a `closePayment` request. Pure.
///
/// # Errors
///
/// As [`read_refund`].
pub fn read_close(bytes: &[u8]) -> Result<OutTradeNo, Error> {
    let root = checked_object(bytes, &CLOSE_PAYMENT, Violations::of(&CLOSE_FORM))?;
    complete(decode_number(&root))
}

/// The object in `bytes`, if the schema accepts it.
fn checked_object(
    bytes: &[u8],
    schema: &Validator,
    mut violations: Violations,
) -> Result<Map<String, Value>, Error> {
    let instance = schema::body_instance(scan(bytes).map_err(unreadable)?);
    let mut has_number = true;
    for error in schema::broken_rules(schema, &instance) {
        match error.kind() {
            ValidationErrorKind::OneOfNotValid { .. } => has_number = false,
            // Under the schema, a value that is not an object has both numbers.
            ValidationErrorKind::OneOfMultipleValid { .. } if !instance.is_object() => {}
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                violations.add("/out_trade_no".to_owned(), "oneOf");
            }
            // `null` or `""` for a required field.
            ValidationErrorKind::Not { .. } => {
                violations.add_missing(error.instance_path().as_str());
            }
            _ => violations.add_broken(&error),
        }
    }
    // An invalid number is not a missing one.
    if !has_number && !violations.has_field("/out_trade_no") {
        violations.add_missing("/out_refund_no");
    }
    violations.into_result()?;
    match instance {
        Value::Object(root) => Ok(root),
        _ => Err(Error::new(Kind::BodyUnreadable)),
    }
}

/// The schema has required every part: a missing one is a bug here, and the request is refused.
fn complete<T>(decoded: Option<T>) -> Result<T, Error> {
    decoded.ok_or_else(|| Error::new(Kind::BodyUnreadable))
}

fn decode_refund(root: &Map<String, Value>) -> Option<RefundRequest> {
    let refund_fee = match root.get("refund_fee").and_then(Value::as_i64) {
        Some(fee) => Some(Fen::new(u64::try_from(fee).ok()?)?),
        None => None,
    };
    Some(RefundRequest {
        out_trade_no: decode_number(root)?,
        out_refund_no: text(root, "out_refund_no"),
        refund_fee,
        refund_desc: text(root, "refund_desc"),
        transaction_id: text(root, "transaction_id").map(|id| TransactionId(id.into())),
    })
}

fn decode_number(root: &Map<String, Value>) -> Option<OutTradeNo> {
    OutTradeNo::parse(root.get("out_trade_no")?.as_str()?)
}

const REFUND_FORM: BodyRules = BodyRules {
    fields: &[
        OUT_TRADE_NO,
        field(
            "/out_refund_no",
            Code::Body,
            "out_refund_no 必须是最多 64 位的字符串，只能包含数字、字母、_ 和 -，且指定 refund_fee 时必填",
            "out_refund_no must be a string of at most 64 of 0-9 A-Z a-z _ -, and be there with \
             refund_fee",
        ),
        field(
            "/refund_fee",
            Code::Body,
            "refund_fee 必须是 JSON 正整数，单位为分，最大 10000000000",
            "refund_fee must be a whole JSON number of fen from 1 to 10000000000",
        ),
        field(
            "/refund_desc",
            Code::Body,
            "refund_desc 必须是最多 80 个字符的字符串",
            "refund_desc must be a string of at most 80 characters",
        ),
        field(
            "/transaction_id",
            Code::Body,
            "transaction_id 必须是最多 64 位的字符串，只能包含数字、字母、_ 和 -",
            "transaction_id must be a string of at most 64 of 0-9 A-Z a-z _ -",
        ),
        BODY,
    ],
    required: &[("", &["out_trade_no"])],
};

const QUERY_FORM: BodyRules = BodyRules {
    fields: &[
        field(
            "/out_refund_no",
            Code::Body,
            "out_refund_no 必须是最多 64 位的字符串，只能包含数字、字母和 _-|*@；或改用 out_trade_no",
            "out_refund_no must be a string of at most 64 of 0-9 A-Z a-z _ - | * @, or \
             out_trade_no be sent",
        ),
        field(
            "/out_trade_no",
            Code::OutTradeNo,
            "out_trade_no 必须是 6 到 64 位的字符串，只能包含数字、字母、_ 和 -，且不能与 out_refund_no 同时使用",
            "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -, and stand without \
             out_refund_no",
        ),
        BODY,
    ],
    required: &[("", &["out_refund_no"])],
};

const CLOSE_FORM: BodyRules =
    BodyRules { fields: &[OUT_TRADE_NO, BODY], required: &[("", &["out_trade_no"])] };

const OUT_TRADE_NO: FieldRule = field(
    "/out_trade_no",
    Code::OutTradeNo,
    "out_trade_no 必须是 6 到 64 位的字符串，只能包含数字、字母、_ 和 -",
    "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -",
);

const BODY: FieldRule = field("", Code::Body, "请求体必须是对象", "the body must be an object");
