//! The fields of `data` without which a price is not complete.

use crate::domain::ids::OutTradeNo;
use crate::domain::json::{Json, Shape};

/// The reason why priced fields are not the price of an order.
pub(super) enum QuoteError {
    /// A required field is missing.
    Missing(&'static str),
    /// They are the price of another order.
    OtherOrder,
}

/// Checks that `price`, an object, is the complete price of the order `number`.
pub(super) fn check_complete(price: Json<'_>, number: &OutTradeNo) -> Result<(), QuoteError> {
    for name in ["out_trade_no", "total_fee", "subject", "type"] {
        let there = price.member(name).is_some_and(|value| !matches!(value.shape(), Shape::Null));
        if !there {
            return Err(QuoteError::Missing(name));
        }
    }
    match price.member("out_trade_no").map(Json::shape) {
        Some(Shape::String(text)) if text == number.as_str() => Ok(()),
        _ => Err(QuoteError::OtherOrder),
    }
}
