//! Which app an attempt is of, and that every call about it is that app's.

use paygate::domain::{Account, ApiVersion};
use paygate::provider::{Failure, SigningContext};
use serde_json::json;

use super::*;

fn account_as(id: &str, api_version: ApiVersion) -> Account {
    Account { id: id.to_owned(), sub_mchid: None, api_version }
}

#[test]
fn an_attempt_names_its_app_and_an_older_record_has_it() {
    let gateway = gateway(app());
    assert_eq!(gateway.version(), ApiVersion::Alipay);
    let own = account_as(APP_ID, ApiVersion::Alipay);
    let attempt = attempt(app(), Product::Precreate, &terms());
    assert_eq!(attempt.account.as_ref(), Some(&own));
    let mut older = serde_json::to_value(&attempt).unwrap();
    older.as_object_mut().unwrap().remove("account");
    let older: Attempt = serde_json::from_value(older).unwrap();
    assert_eq!(gateway.account_of(&older), Some(own.clone()));
    assert!(gateway.has_account(&own));
    assert!(!gateway.has_account(&account_as(APP_ID, ApiVersion::WxpayV3)));
    assert!(!gateway.has_account(&account_as("2021009999999999", ApiVersion::Alipay)));
    assert_eq!(gateway.account(PayType::WxpayH5, &terms()), None);
}

#[tokio::test]
async fn nothing_is_sent_to_another_app_or_version_than_the_attempts() {
    let gateway = gateway(app());
    let transport = RecordingTransport::new("");
    for other in [
        account_as(APP_ID, ApiVersion::WxpayV3),
        account_as("2021009999999999", ApiVersion::Alipay),
    ] {
        let mut attempt = attempt(app(), Product::AppPay, &terms());
        let message = json!({ "out_trade_no": NUMBER, "app_id": APP_ID });
        assert!(gateway.matches_attempt(&attempt, &message));
        attempt.account = Some(other.clone());
        assert!(!gateway.matches_attempt(&attempt, &message), "{other}");
        for failure in [
            gateway.open(&attempt, transport.call()).await.unwrap_err(),
            gateway.query(&attempt, transport.call()).await.unwrap_err(),
            gateway.close(&attempt, transport.call()).await.unwrap_err(),
        ] {
            let Failure::NotSent(why) = failure else { panic!("{other}: {failure:?}") };
            assert!(why.contains(&other.to_string()), "{why}");
        }
        let stamp = SigningContext { material: &Material::Signed, now: NOW, nonce: "n" };
        assert!(gateway.present(&attempt, stamp).is_err(), "{other}");
    }
    assert!(transport.sent().is_empty());
}

#[cfg(feature = "mock")]
#[test]
fn an_app_with_one_key_of_the_simulated_provider_is_known_by_it() {
    let url: url::Url = "https://gateway.example.com/gateway.do".parse().unwrap();
    let mock = paygate::mock::keys::alipay_merchant(url.clone());
    let mock = &mock.apps[&PayType::AlipayH5];
    let certified = paygate::mock::keys::alipay_merchant_by_certificates(url);
    let certified = &certified.apps[&PayType::AlipayH5];
    for own in [app(), with_certificates()] {
        assert_eq!(gateway(own.clone()).has_mock_keys(), Some(false));
        for app in [
            AlipayApp { signing: mock.signing.clone(), ..own.clone() },
            AlipayApp { verification: mock.verification.clone(), ..own.clone() },
            AlipayApp { verification: certified.verification.clone(), ..own.clone() },
        ] {
            assert_eq!(gateway(app).has_mock_keys(), Some(true));
        }
    }
}
