//! Whom an attempt pays, and that every call about it is that account's.

use paygate::domain::{Account, ApiVersion, Material};
use paygate::provider::{Failure, SigningContext};
use serde_json::json;

use super::*;

fn account_as(id: &str, sub_mchid: Option<&str>, api_version: ApiVersion) -> Account {
    Account { id: id.to_owned(), sub_mchid: sub_mchid.map(str::to_owned), api_version }
}

/// An order of the merchant's own, or of a merchant that it collects for.
fn scene(sub_mchid: Option<&str>) -> Scene {
    let mut scene = Scene::of(PayType::WxpayMpWeixin);
    scene.terms.sub_mchid = sub_mchid.map(str::to_owned);
    scene
}

#[test]
fn an_attempt_names_its_account_and_an_older_record_has_it_in_its_parameters() {
    let v3 = v3();
    assert_eq!(v3.version(), ApiVersion::WxpayV3);
    for sub in [None, Some("1900000109")] {
        let expected = account_as("1900000001", sub, ApiVersion::WxpayV3);
        let attempt = scene(sub).attempt(&v3);
        assert_eq!(attempt.account.as_ref(), Some(&expected));
        let mut older = serde_json::to_value(&attempt).unwrap();
        older.as_object_mut().unwrap().remove("account");
        let older: Attempt = serde_json::from_value(older).unwrap();
        assert_eq!(older.account, None);
        assert_eq!(v3.account_of(&older), Some(expected.clone()));
        assert!(v3.has_account(&expected));
    }
    let mut unreadable = scene(None).attempt(&v3);
    unreadable.account = None;
    unreadable.params.document = "{}".to_owned();
    assert_eq!(v3.account_of(&unreadable), None);
    for gone in [
        account_as("1900000002", None, ApiVersion::WxpayV3),
        account_as("1900000001", None, ApiVersion::WxpayV2),
        account_as("1900000001", None, ApiVersion::Alipay),
    ] {
        assert!(!v3.has_account(&gone), "{gone}");
    }
    let mut one = merchant(public_key());
    one.apps.retain(|pay_type, _| *pay_type == PayType::WxpayH5);
    let one = V3::new(one).unwrap();
    assert_eq!(one.account(PayType::WxpayMpWeixin, &terms()), None);
}

#[tokio::test]
async fn nothing_is_sent_to_another_account_or_version_than_the_attempts() {
    let v3 = v3();
    let transport = ScriptedTransport::always(Ok(signed(200, "{}")));
    for other in [
        account_as("1900000001", None, ApiVersion::WxpayV2),
        account_as("1900000002", None, ApiVersion::WxpayV3),
        account_as("1900000001", Some("1900000109"), ApiVersion::WxpayV3),
    ] {
        let mut attempt = scene(None).attempt(&v3);
        let message = json!({
            "appid": "wxmini", "mchid": "1900000001", "out_trade_no": NUMBER,
            "trade_state": "SUCCESS",
        });
        assert!(v3.matches_attempt(&attempt, &message));
        attempt.account = Some(other.clone());
        assert!(!v3.matches_attempt(&attempt, &message), "{other}");
        for failure in [
            v3.open(&attempt, transport.call()).await.unwrap_err(),
            v3.query(&attempt, transport.call()).await.unwrap_err(),
            v3.close(&attempt, transport.call()).await.unwrap_err(),
        ] {
            assert!(matches!(failure, Failure::NotSent(_)), "{other}: {failure:?}");
        }
        let material = &Material::Prepay { prepay_id: "wx1".to_owned() };
        let stamp = SigningContext { material, now: NOW, nonce: "n" };
        assert!(v3.present(&attempt, stamp).is_err(), "{other}");
    }
    assert!(transport.seen().is_empty());
}

#[cfg(feature = "mock")]
#[test]
fn an_account_with_one_key_of_the_simulated_provider_is_known_by_it() {
    let mock =
        paygate::mock::keys::wxpay_merchant("https://api.mch.weixin.qq.com".parse().unwrap());
    let mock = &mock.apps[&PayType::WxpayH5].account;
    let has_mock_keys = |account: WxpayAccount| {
        let mut app = merchant(public_key()).apps.remove(&PayType::WxpayH5).unwrap();
        app.account = Arc::new(account);
        V3::new(WxpayMerchant { apps: [(PayType::WxpayH5, app)].into() }).unwrap().has_mock_keys()
    };
    let own = || account(public_key());
    for account in [own(), account(WxpayVerification::Certificates)] {
        assert_eq!(has_mock_keys(account), Some(false));
    }
    for account in [
        WxpayAccount { signing: mock.signing.clone(), ..own() },
        WxpayAccount { api_v3_key: mock.api_v3_key.clone(), ..own() },
        WxpayAccount { verification: mock.verification.clone(), ..own() },
    ] {
        assert_eq!(has_mock_keys(account), Some(true));
    }
}
