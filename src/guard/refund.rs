//! From bytes to the requests about money that goes back, and the one that ends an order: `refund`,
//! `queryRefund` and `closePayment`.

use std::sync::LazyLock;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::create::{text, unreadable};
use super::fields::{Field, Form, Violations, field};
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
    let root = judged(bytes, &REFUND, Violations::of(&REFUND_FORM))?;
    complete(decode_refund(&root))
}

/// Reads the body of a `queryRefund` request. Pure.
///
/// # Errors
///
/// As [`read_refund`].
pub fn read_query_refund(bytes: &[u8]) -> Result<RefundQuery, Error> {
    let root = judged(bytes, &QUERY_REFUND, Violations::of(&QUERY_FORM))?;
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
    let root = judged(bytes, &CLOSE_PAYMENT, Violations::of(&CLOSE_FORM))?;
    complete(decode_number(&root))
}

/// The object in `bytes`, if the schema accepts it.
fn judged(
    bytes: &[u8],
    schema: &Validator,
    mut violations: Violations,
) -> Result<Map<String, Value>, Error> {
    let instance = schema::instance(scan(bytes).map_err(unreadable)?);
    let mut has_number = true;
    for error in schema.iter_errors(&instance) {
        match error.kind() {
            ValidationErrorKind::OneOfNotValid { .. } => has_number = false,
            // What is no object has both numbers, as far as a schema can say.
            ValidationErrorKind::OneOfMultipleValid { .. } if !instance.is_object() => {}
            ValidationErrorKind::OneOfMultipleValid { .. } => {
                violations.add("/out_trade_no".to_owned(), "oneOf");
            }
            // `null` or `""` where something must be.
            ValidationErrorKind::Not { .. } => {
                violations.add_missing(error.instance_path().as_str());
            }
            _ => violations.add_broken(&error),
        }
    }
    // An ill number is no missing one.
    if !has_number && !violations.tells_of("/out_trade_no") {
        violations.add_missing("/out_refund_no");
    }
    violations.into_result()?;
    match instance {
        Value::Object(root) => Ok(root),
        _ => Err(Error::new(Kind::BodyUnreadable)),
    }
}

/// The schema has said that every part is there: a gap would be a fault of ours, and refuses.
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
        transaction_id: text(root, "transaction_id").map(|it| TransactionId(it.into())),
    })
}

fn decode_number(root: &Map<String, Value>) -> Option<OutTradeNo> {
    OutTradeNo::parse(root.get("out_trade_no")?.as_str()?)
}

const REFUND_FORM: Form = Form {
    fields: &[
        OUT_TRADE_NO,
        field(
            "/out_refund_no",
            Code::Body,
            "out_refund_no必须是最多64位的字符串,只能包含数字、字母、_和-,且指定refund_fee时必填",
            "out_refund_no must be a string of at most 64 of 0-9 A-Z a-z _ -, and be there with \
             refund_fee",
        ),
        field(
            "/refund_fee",
            Code::Body,
            "refund_fee必须是正整数,单位为分,最大10000000000",
            "refund_fee must be a whole JSON number of fen from 1 to 10000000000",
        ),
        field(
            "/refund_desc",
            Code::Body,
            "refund_desc必须是最多80个字符的字符串",
            "refund_desc must be a string of at most 80 characters",
        ),
        field(
            "/transaction_id",
            Code::Body,
            "transaction_id必须是最多64位的字符串,只能包含数字、字母、_和-",
            "transaction_id must be a string of at most 64 of 0-9 A-Z a-z _ -",
        ),
        UNKNOWN,
    ],
    required: &[("", &["out_trade_no"])],
};

const QUERY_FORM: Form = Form {
    fields: &[
        field(
            "/out_refund_no",
            Code::Body,
            "out_refund_no必须是最多64位的字符串,只能包含数字、字母和_-|*@;或改用out_trade_no",
            "out_refund_no must be a string of at most 64 of 0-9 A-Z a-z _ - | * @, or \
             out_trade_no be sent",
        ),
        field(
            "/out_trade_no",
            Code::OutTradeNo,
            "out_trade_no必须是6到64位的字符串,只能包含数字、字母、_和-,且不能与out_refund_no同时使用",
            "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -, and stand alone",
        ),
        UNKNOWN,
    ],
    required: &[("", &["out_refund_no"])],
};

const CLOSE_FORM: Form =
    Form { fields: &[OUT_TRADE_NO, UNKNOWN], required: &[("", &["out_trade_no"])] };

const OUT_TRADE_NO: Field = field(
    "/out_trade_no",
    Code::OutTradeNo,
    "out_trade_no必须是6到64位的字符串,只能包含数字、字母、_和-",
    "out_trade_no must be a string of 6 to 64 of 0-9 A-Z a-z _ -",
);

const UNKNOWN: Field = field("", Code::Body, "请求中有未知字段", "there is no such field");
