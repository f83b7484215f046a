//! WeChat Pay's phone page where money is real.
#![cfg(feature = "sqlite")]

use std::sync::Arc;

use paygate::domain::ProviderId;
use paygate::error::Kind;
use paygate::mock::InProcess;
use paygate::provider::wxpay;
use paygate::store::Memory;
use paygate::testing::caller::{CallerRules, ClientInfo, resolve};
use paygate::testing::guard::read_create;
use paygate::{Engine, SystemClock};
use serde_json::json;

use crate::config::library::live_wxpay;
use crate::support::requests::NO;
use crate::support::shop::{body, with};

#[tokio::test]
async fn wechats_phone_page_needs_a_public_address_where_money_is_real() {
    let providers = InProcess::open(None, Arc::new(SystemClock)).unwrap();
    let engine = Engine::builder()
        .store(Memory::new())
        .provider(wxpay::V3::new(live_wxpay()).unwrap())
        .transport(providers)
        .public_url("https://shop.example.com".parse().unwrap())
        .reconcile_every(None)
        .start()
        .await
        .unwrap();
    let asked = with(body(ProviderId::Wxpay, NO, 100), "/isPC", json!(false)).to_string();
    for (address, is_public) in [("10.0.0.1", false), ("114.114.114.114", true)] {
        let request = read_create(asked.as_bytes()).unwrap();
        let declared = ClientInfo { claims: &request.claims, is_pc: request.is_pc };
        let (headers, peer) = (http::HeaderMap::new(), address.parse().ok());
        let caller = resolve(&headers, peer, declared, &CallerRules::default()).unwrap();
        let created = engine.create(request, caller).await;
        // With a public address it reaches the provider, which does not know this merchant.
        let refused = created.unwrap_err().kind();
        assert_eq!(refused != Kind::BuyerAddressUnknown, is_public, "{address}: {refused:?}");
    }
}
