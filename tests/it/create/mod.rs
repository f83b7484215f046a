//! `createPayment`: one `out_trade_no` is one order, and at most one payment of it.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod at_once;
mod expiry;
mod going_on;
mod interrupted;
mod live_phone_page;
mod pay_types;
mod provider_outage;
mod same_number;
mod unknown_outcome;
