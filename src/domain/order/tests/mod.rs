//! Everything that can happen to an order, in tables: a state, what happens, and what follows.

mod attempts;
mod effects;
mod next_attempt;
mod orders;
mod refund_requests;
mod refunds;

use std::sync::Arc;

use super::attempt::{Attempt, AttemptState, Material, Params};
use super::{AutoRefundPolicy, Flags, Order, OrderClient, OrderStatus, Receipt};
use crate::domain::channel::PayType;
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::money::Fen;
use crate::domain::product::{PaymentMethod, Product};
use crate::domain::request::OrderTerms;
use crate::domain::time::Millis;

/// When an attempt expires, and until when its material is valid.
pub(super) const EXPIRES: i64 = 1_800_000;
pub(super) const VALID_UNTIL: i64 = 300_000;

/// The rows of a table in text: its cells stand between `|`.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.split('|').map(str::trim).collect()).collect()
}

pub(super) fn terms(total_fee: u64) -> OrderTerms {
    OrderTerms {
        out_trade_no: OutTradeNo::parse("order-1").unwrap(),
        total_fee: fen(total_fee),
        subject: "tea".to_owned(),
        body: None,
        kind: "goods".to_owned(),
        pid: Pid::default(),
        user_id: None,
        custom: None,
        other: None,
        sub_appid: None,
        sub_mchid: None,
        app_auth_token: None,
        profit_sharing: None,
    }
}

/// A payment method by which a buyer pays `product`.
pub(super) fn method(product: Product) -> PaymentMethod {
    let pay_type = match product {
        Product::Jsapi | Product::App | Product::H5 | Product::Native => PayType::WxpayH5,
        Product::AppPay
        | Product::Create
        | Product::Precreate
        | Product::WapPay
        | Product::PagePay => PayType::AlipayH5,
    };
    PaymentMethod { pay_type, product, app_id: "wx1".to_owned(), openid: None, client_ip: None }
}

/// Attempt `n`, by WeChat Pay's QR code.
pub(super) fn attempt(n: u32, state: AttemptState) -> Attempt {
    Attempt {
        n,
        method: method(Product::Native),
        account: None,
        channel_no: ChannelNo::first(&terms(1).out_trade_no),
        params: Params {
            document: "{}".to_owned(),
            notify_url: String::new(),
            return_url: None,
            app_auth_token: None,
        },
        expires_at: Millis(EXPIRES),
        opened_at: Millis(0),
        last_queried_at: None,
        superseded: false,
        handed_out: matches!(state, AttemptState::Payable { .. }),
        close_intended: false,
        state,
    }
}

/// An order of 1 fen with one attempt.
pub(super) fn order(state: AttemptState) -> Order {
    order_of(1, vec![attempt(1, state)])
}

fn order_of(total_fee: u64, attempts: Vec<Attempt>) -> Order {
    let terms = terms(total_fee);
    Order {
        fingerprint: terms.fingerprint(),
        terms,
        deadline: None,
        status: OrderStatus::Open,
        flags: Flags::default(),
        attempts,
        payments: Vec::new(),
        client: OrderClient::default(),
        created_at: Millis(0),
        version: 1,
        unknown: Default::default(),
    }
}

pub(super) fn live() -> AttemptState {
    let material = Material::QrCode { code_url: "weixin://".to_owned(), msg: None };
    AttemptState::Payable { material, valid_until: Millis(VALID_UNTIL) }
}

pub(super) fn lost() -> AttemptState {
    AttemptState::OutcomeUnknown { reason: "timeout".to_owned() }
}

pub(super) fn refused() -> AttemptState {
    AttemptState::Refused { code: "PARAM_ERROR".to_owned(), message: String::new() }
}

pub(super) fn in_use() -> AttemptState {
    AttemptState::NumberInUse { code: "OUT_TRADE_NO_USED".to_owned() }
}

/// A state of every kind.
fn states() -> [AttemptState; 9] {
    [
        AttemptState::Prepared,
        AttemptState::NotSent,
        lost(),
        refused(),
        AttemptState::NotFound,
        in_use(),
        live(),
        AttemptState::Closed,
        AttemptState::Paid,
    ]
}

fn fen(amount: u64) -> Fen {
    Fen::new(amount).unwrap()
}

/// A payment of `amount` fen that matches its order, with this number at its provider.
fn receipt(transaction_id: &str, amount: u64) -> Receipt {
    Receipt {
        transaction_id: TransactionId(transaction_id.into()),
        total_fee: fen(amount),
        paid_at: Millis(500),
        openid: None,
        matches_order: true,
        refunded: false,
        auto_refund: AutoRefundPolicy { duplicate: true, late: true },
        message: Arc::new(serde_json::Value::Null),
    }
}
