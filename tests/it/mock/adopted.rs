//! A payment that no attempt was opened for is asked about and refunded at the simulated providers.

use paygate::domain::{
    Account, ApiVersion, Attempt, AttemptState, ChannelNo, Fen, PayType, Payment, PaymentRole,
    Product, Refund, RefundState,
};
use paygate::provider::alipay::AlipayGateway;
use paygate::provider::wxpay::V3;
use paygate::provider::{
    AdoptedAttempt, Call, CloseOutcome, Notification, PaidTrade, Provider, RefundCall, TradeState,
};

use super::*;

const NOTIFY_URL: &str = "https://shop.example.com/pay/notify";

fn provider(id: ProviderId) -> Box<dyn Provider> {
    match id {
        ProviderId::Wxpay => {
            let merchant = keys::wxpay_merchant("http://127.0.0.1:1/".parse().unwrap());
            Box::new(V3::new(merchant).unwrap())
        }
        ProviderId::Alipay => {
            let url = "http://127.0.0.1:1/gateway.do".parse().unwrap();
            Box::new(AlipayGateway::new(keys::alipay_merchant(url)).unwrap())
        }
    }
}

impl Merchant {
    fn call(&self) -> Call<'_> {
        let timeout = Duration::from_secs(8);
        Call { transport: &self.providers, clock: &self.clock, timeout }
    }

    /// The payment that `provider` tells of.
    async fn payment_notification(&self, provider: &dyn Provider) -> (ChannelNo, PaidTrade) {
        let told = self.providers.notifications();
        let told = told.iter().find(|it| it.provider == provider.id()).unwrap();
        match provider.read_notification(&told.headers, &told.body, self.call()).await {
            Ok(Notification::Payment { channel_no, trade }) => (channel_no, trade),
            other => panic!("no payment: {other:?}"),
        }
    }

    /// Asks about, closes and refunds what was adopted.
    async fn check_calls(
        &self,
        provider: &dyn Provider,
        (no, trade): (&ChannelNo, &PaidTrade),
        adopted: AdoptedAttempt,
    ) {
        let attempt = attempt(no, adopted, self.clock.now());
        assert!(provider.matches_attempt(&attempt, &trade.message));
        let Ok(TradeState::Paid(asked)) = provider.query(&attempt, self.call()).await else {
            panic!("not paid")
        };
        assert_eq!(asked.transaction_id, trade.transaction_id);
        assert!(asked.matches_order);
        assert_eq!(provider.close(&attempt, self.call()).await, Ok(CloseOutcome::Paid));
        let (payment, refund) = (payment(trade), refund(self.clock.now()));
        let plan = RefundCall { payment: &payment, refund: &refund, notify_url: NOTIFY_URL };
        let sent = provider.refund(&attempt, plan, self.call()).await.unwrap();
        assert_eq!(sent.refund_fee, Fen::new(30));
        self.providers.advance_ms(MINUTE_MS);
        let asked = provider.query_refund(&attempt, plan, self.call()).await.unwrap();
        assert_eq!(asked.unwrap().state, RefundState::Success);
    }
}

fn attempt(no: &ChannelNo, adopted: AdoptedAttempt, now: Millis) -> Attempt {
    Attempt {
        n: 1,
        method: adopted.method,
        account: Some(adopted.account),
        channel_no: no.clone(),
        params: adopted.params,
        expires_at: now,
        opened_at: now,
        state: AttemptState::Paid,
        last_queried_at: None,
        superseded: false,
        handed_out: true,
        close_intended: false,
    }
}

fn payment(trade: &PaidTrade) -> Payment {
    Payment {
        attempt: 1,
        transaction_id: trade.transaction_id.clone(),
        total_fee: trade.total_fee,
        paid_at: Millis(0),
        openid: None,
        discovered_at: Millis(0),
        role: PaymentRole::Winning,
        auto_refund: false,
        refund_unknown: false,
        reported_refund_total: None,
        unidentified_since: None,
        refunds: Vec::new(),
    }
}

fn refund(now: Millis) -> Refund {
    Refund::pending("R-1".to_owned(), Fen::new(30).unwrap(), now)
}

#[tokio::test]
async fn a_payment_that_came_by_notification_can_be_asked_about_and_refunded() {
    let merchant = Merchant::with_money().await;
    for (id, number, version, pay_type, product, app_id) in [
        (
            ProviderId::Wxpay,
            keys::MCH_ID,
            ApiVersion::WxpayV3,
            PayType::WxpayH5,
            Product::Native,
            keys::WXPAY_APP_H5,
        ),
        (
            ProviderId::Alipay,
            keys::ALIPAY_APP_MP_ALIPAY,
            ApiVersion::Alipay,
            PayType::AlipayMpAlipay,
            Product::Create,
            keys::ALIPAY_APP_MP_ALIPAY,
        ),
    ] {
        let provider = provider(id);
        let (no, trade) = merchant.payment_notification(&*provider).await;
        merchant.providers.advance_ms(DAY_MS);
        let adopted = provider.adopt(&no, &trade, NOTIFY_URL).unwrap();
        let account = Account { id: number.to_owned(), sub_mchid: None, api_version: version };
        assert_eq!(adopted.account, account);
        let method = &adopted.method;
        assert_eq!((method.pay_type, method.product, &*method.app_id), (pay_type, product, app_id));
        assert_eq!(adopted.params.notify_url, NOTIFY_URL);
        merchant.check_calls(&*provider, (&no, &trade), adopted).await;
    }
}

#[tokio::test]
async fn a_partners_payment_is_adopted_for_the_merchant_that_it_collects_for() {
    let merchant = Merchant::new();
    let mut body = native();
    body["amount"]["total"] = json!(100);
    let members = body.as_object_mut().unwrap();
    for (name, sp_name) in [("appid", "sp_appid"), ("mchid", "sp_mchid")] {
        let value = members.remove(name).unwrap();
        members.insert(sp_name.to_owned(), value);
    }
    members.insert("sub_mchid".to_owned(), json!("1900000119"));
    let path = "/v3/pay/partner/transactions/native";
    assert_eq!(merchant.wxpay("POST", path, &body.to_string()).await.0, 200);
    merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned())).unwrap();
    let provider = provider(ProviderId::Wxpay);
    let (no, trade) = merchant.payment_notification(&*provider).await;
    let adopted = provider.adopt(&no, &trade, NOTIFY_URL).unwrap();
    let text = format!("wxpay_v3 {}/1900000119", keys::MCH_ID);
    assert_eq!(adopted.account.to_string(), text);
    merchant.check_calls(&*provider, (&no, &trade), adopted).await;
}

#[tokio::test]
async fn what_no_call_can_be_made_about_is_not_adopted() {
    let merchant = Merchant::with_money().await;
    for (id, changes) in [
        (ProviderId::Wxpay, &[("out_trade_no", "another-1"), ("mchid", "1900000001")][..]),
        (
            ProviderId::Alipay,
            &[
                ("out_trade_no", "another-1"),
                ("app_id", "2021009999999999"),
                ("auth_app_id", "2021009999999999"),
                ("app_id", ""),
            ][..],
        ),
    ] {
        let provider = provider(id);
        let (no, trade) = merchant.payment_notification(&*provider).await;
        merchant.providers.advance_ms(DAY_MS);
        for (name, value) in changes {
            let mut message = (*trade.message).clone();
            message[*name] = json!(value);
            let trade = PaidTrade { message: Arc::new(message), ..trade.clone() };
            assert_eq!(provider.adopt(&no, &trade, NOTIFY_URL), None, "{name} {value}");
        }
    }
}

#[tokio::test]
async fn a_payment_that_names_no_app_is_adopted_where_the_merchant_has_one() {
    let merchant = Merchant::with_money().await;
    let (no, trade) = merchant.payment_notification(&*provider(ProviderId::Alipay)).await;
    let mut message = (*trade.message).clone();
    message.as_object_mut().unwrap().remove("app_id");
    let trade = PaidTrade { message: Arc::new(message), ..trade };
    let url: url::Url = "http://127.0.0.1:1/gateway.do".parse().unwrap();
    let mut apps = keys::alipay_merchant(url);
    let adopted = AlipayGateway::new(apps.clone()).unwrap().adopt(&no, &trade, NOTIFY_URL);
    assert_eq!(adopted, None, "it may be any of several");
    apps.apps.retain(|_, app| app.app_id == keys::ALIPAY_APP_MP_ALIPAY);
    let adopted = AlipayGateway::new(apps).unwrap().adopt(&no, &trade, NOTIFY_URL).unwrap();
    assert_eq!(adopted.account.id, keys::ALIPAY_APP_MP_ALIPAY);
    assert_eq!(adopted.method.app_id, keys::ALIPAY_APP_MP_ALIPAY);
}

#[tokio::test]
async fn the_pay_type_follows_the_app_and_the_way_that_was_paid_by() {
    let merchant = Merchant::with_money().await;
    let provider = provider(ProviderId::Wxpay);
    let (no, trade) = merchant.payment_notification(&*provider).await;
    for (app_id, trade_type, pay_type, product) in [
        (keys::WXPAY_APP_H5_WEIXIN, "JSAPI", PayType::WxpayH5Weixin, Product::Jsapi),
        (keys::WXPAY_APP_APP_PLUS, "APP", PayType::WxpayAppPlus, Product::App),
        (keys::WXPAY_APP_MWEB, "MWEB", PayType::WxpayMweb, Product::H5),
        // The app says more than the way.
        (keys::WXPAY_APP_H5_WEIXIN, "NATIVE", PayType::WxpayH5Weixin, Product::Native),
        (keys::WXPAY_APP_MWEB, "MICROPAY", PayType::WxpayMweb, Product::H5),
        // An app that is not configured here and pays into the same account.
        ("wxother000000001", "APP", PayType::WxpayAppPlus, Product::App),
        ("wxother000000001", "FACEPAY", PayType::WxpayMpWeixin, Product::Jsapi),
        // The way that was paid by, where the app's usual one is another.
        (keys::WXPAY_APP_H5, "JSAPI", PayType::WxpayH5, Product::Jsapi),
        (keys::WXPAY_APP_H5, "MWEB", PayType::WxpayH5, Product::H5),
    ] {
        let mut message = (*trade.message).clone();
        message["appid"] = json!(app_id);
        message["trade_type"] = json!(trade_type);
        let trade = PaidTrade { message: Arc::new(message), ..trade.clone() };
        let method = provider.adopt(&no, &trade, NOTIFY_URL).unwrap().method;
        assert_eq!((method.pay_type, method.product), (pay_type, product), "{app_id} {trade_type}");
        assert_eq!(method.app_id, app_id);
        assert_eq!(method.openid.is_some(), product == Product::Jsapi);
    }
}
