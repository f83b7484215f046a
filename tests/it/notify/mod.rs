//! Notifications: what a provider sends when a buyer has paid, and how it is acknowledged.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod acknowledgement;
mod contradicted;
mod currency;
mod disputed;
mod limits;
mod payments;
