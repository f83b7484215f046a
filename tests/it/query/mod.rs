//! `queryPayment`: where an order stands, and which callers may ask.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod access;
mod state;
