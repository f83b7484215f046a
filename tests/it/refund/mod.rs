//! Refunds: those the shop requests, those the engine makes by itself, and those that were made
//! in the provider's console.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod automatic;
mod crashes;
mod external;
mod final_states;
mod notifications;
mod numbers;
mod refused;
mod requested;
mod unknown_amounts;
