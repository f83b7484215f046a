//! Requests that go on with an attempt that handed out nothing: what did not leave is sent, what
//! may have left is queried first.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, State};

use crate::support::requests::{qr, refuse};
use crate::support::shop::{Shop, kind};

/// WeChat Pay has too many calls, and takes none of them.
fn too_many() -> FaultKind {
    refuse("FREQUENCY_LIMITED", "too many calls")
}

#[tokio::test]
async fn after_a_lost_answer_a_query_that_is_throttled_leaves_the_outcome_unknown() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseReply);
    shop.fault_of(ProviderOperation::Query, too_many());
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown), "it was sent");
    shop.fault_of(ProviderOperation::Query, too_many());
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown), "earlier");
    assert_eq!(shop.creates(), 1);
    assert!(shop.create(&qr(Wxpay)).await.is_ok());
    assert_eq!(shop.providers.orders().len(), 1);
}

#[tokio::test]
async fn what_did_not_leave_is_sent_later_in_place_of_what_opened_meanwhile() {
    let shop = Shop::open().await;
    shop.fault(too_many());
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::NotSent));
    let between = shop.create(&qr(Alipay)).await.unwrap();
    shop.scan(&between).unwrap();
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(shop.states(), [(Wxpay, State::Unpaid), (Alipay, State::Closed)]);
    assert!(shop.pay(&between).is_err());
    assert!(shop.pay(&created).is_ok());
}
