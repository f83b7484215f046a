//! What `createPayment` answers.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::domain::channel::PayType;
use crate::domain::money::Fen;
use crate::domain::product::{PaymentMethod, Product};

/// What a client needs to pay.
#[derive(Clone, Debug)]
pub struct Created {
    /// `orderInfo`, which is JSON already.
    pub order_info: Arc<RawValue>,
    /// The text of the QR code, where `orderInfo` is one.
    pub code_url: Option<Arc<str>>,
    /// vk-uni-pay's pay type.
    pub pay_type: PayType,
    /// The provider's product.
    pub product: Product,
    /// The order's amount, in fen.
    pub total_fee: Fen,
    /// Whether this is an earlier request's material.
    pub replayed: bool,
}

/// `orderInfo`, and the text of the QR code where it is one.
pub(in crate::engine) type OrderInfo = (Arc<RawValue>, Option<Arc<str>>);

impl Created {
    /// The first answer with this material.
    pub(in crate::engine) fn new(
        method: &PaymentMethod,
        total_fee: Fen,
        (order_info, code_url): OrderInfo,
    ) -> Created {
        let (pay_type, product) = (method.pay_type, method.product);
        Created { order_info, code_url, pay_type, product, total_fee, replayed: false }
    }
}
