//! Money back at the simulated providers: their rules, their answers.

use paygate::domain::RefundState;
use paygate::mock::{
    ConsoleNotification, ConsoleRefund, RefundEnd, RefundSettings, SimulatedOrder,
};

use super::*;

const REFUNDS: &str = "/v3/refund/domestic/refunds";
const TOLD_AT: &str = "https://shop.example.com/pay/refunded";

impl Merchant {
    /// An order of 100 fen, paid at each provider.
    pub(super) async fn with_money() -> Merchant {
        let merchant = Merchant::new();
        merchant.sell_for_100().await;
        merchant
    }

    pub(super) async fn sell_for_100(&self) {
        let mut body = native();
        body["amount"]["total"] = json!(100);
        self.order("native", &body).await;
        self.alipay("alipay.trade.precreate", &qr("1.00")).await;
        for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
            self.pay(provider, PayWith::OutTradeNo(NO.to_owned())).unwrap();
        }
    }

    pub(super) fn order_at(&self, provider: ProviderId) -> SimulatedOrder {
        let mut orders = self.providers.orders().into_iter();
        orders.find(|it| it.provider == provider).unwrap()
    }

    /// WeChat Pay's answer to a refund.
    pub(super) async fn back(&self, no: &str, fen: u64) -> (u16, Value) {
        self.wxpay("POST", REFUNDS, &wxpay_refund(no, fen).to_string()).await
    }

    async fn query_refund(&self, no: &str) -> (u16, Value) {
        self.wxpay("GET", &format!("{REFUNDS}/{no}"), "").await
    }

    /// Alipay's answer to a refund.
    pub(super) async fn give(&self, no: &str, yuan: &str) -> (String, Value) {
        let content = json!({ "out_trade_no": NO, "out_request_no": no, "refund_amount": yuan });
        self.alipay("alipay.trade.refund", &content).await
    }

    async fn given(&self, no: &str) -> Value {
        let content = json!({
            "out_trade_no": NO,
            "out_request_no": no,
            "query_options": ["gmt_refund_pay"],
        });
        let (code, answer) = self.alipay("alipay.trade.fastpay.refund.query", &content).await;
        assert_eq!(code, "");
        answer
    }
}

pub(super) fn wxpay_refund(no: &str, fen: u64) -> Value {
    json!({
        "out_trade_no": NO,
        "out_refund_no": no,
        "notify_url": TOLD_AT,
        "reason": "退货",
        "amount": { "refund": fen, "total": 100, "currency": "CNY" },
    })
}

fn refused(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or(""))
}

#[tokio::test]
async fn wechat_pay_takes_its_time_and_one_number_goes_back_once() {
    let merchant = Merchant::with_money().await;
    let id = merchant.order_at(ProviderId::Wxpay).transaction_id.unwrap();
    let mut body = wxpay_refund("R-1", 30);
    body.as_object_mut().unwrap().remove("out_trade_no");
    body["transaction_id"] = json!(id);
    let (status, first) = merchant.wxpay("POST", REFUNDS, &body.to_string()).await;
    assert_eq!((status, &first["status"]), (200, &json!("PROCESSING")), "{first}");
    assert_eq!((&first["out_refund_no"], &first["out_trade_no"]), (&json!("R-1"), &json!(NO)));
    assert_eq!(first["transaction_id"], json!(id));
    assert_eq!((&first["amount"]["refund"], &first["amount"]["total"]), (&json!(30), &json!(100)));
    assert!(first["refund_id"].is_string() && first.get("success_time").is_none());
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "REFUND", "even of a part");

    merchant.providers.advance_ms(2_999);
    assert_eq!(merchant.query_refund("R-1").await.1["status"], "PROCESSING");
    merchant.providers.advance_ms(1);
    let (_, answer) = merchant.query_refund("R-1").await;
    assert_eq!(answer["status"], "SUCCESS");
    assert_eq!(answer["success_time"], "2025-06-15T23:06:43+08:00");
    let (status, again) = merchant.back("R-1", 30).await;
    assert_eq!((status, &again["refund_id"]), (200, &first["refund_id"]));
    assert_eq!(again["status"], "SUCCESS");
    let other = merchant.back("R-1", 31).await;
    assert_eq!(refused(&other), (400, "INVALID_REQUEST"));
    let payment = &merchant.order_at(ProviderId::Wxpay).payments[0];
    assert_eq!((payment.refunds.len(), payment.refunds[0].calls), (1, 2));
    assert_eq!((payment.refunded_fen(), payment.refundable_fen()), (30, 70));
}

#[tokio::test]
async fn wechat_pay_wants_a_minute_between_refunds_and_never_returns_more_than_was_paid() {
    let merchant = Merchant::with_money().await;
    assert_eq!(merchant.back("R-1", 30).await.0, 200);
    merchant.providers.advance_ms(MINUTE_MS - 1);
    assert_eq!(refused(&merchant.back("R-2", 30).await), (429, "FREQUENCY_LIMITED"));
    assert_eq!(merchant.back("R-1", 30).await.0, 200, "a repeat is not a second one");
    merchant.providers.advance_ms(1);
    assert_eq!(merchant.back("R-2", 30).await.0, 200);
    merchant.providers.advance_ms(MINUTE_MS);
    assert_eq!(refused(&merchant.back("R-3", 41).await), (400, "INVALID_REQUEST"));
    assert_eq!(merchant.back("R-3", 40).await.0, 200);
    merchant.providers.advance_ms(MINUTE_MS);
    assert_eq!(refused(&merchant.back("R-4", 1).await), (400, "INVALID_REQUEST"));
    let payment = &merchant.order_at(ProviderId::Wxpay).payments[0];
    assert_eq!((payment.refunded_fen(), payment.refundable_fen()), (100, 0));
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "REFUND");
    assert_eq!(merchant.order("native", &native()).await.1["code"], "ORDER_PAID");
}

#[tokio::test]
async fn wechat_pay_refuses_refunds_of_what_nobody_paid_and_fields_that_break_its_rules() {
    let merchant = Merchant::new();
    assert_eq!(refused(&merchant.back("R-1", 1).await), (404, "RESOURCE_NOT_EXISTS"));
    merchant.order("native", &native()).await;
    assert_eq!(refused(&merchant.back("R-1", 1).await), (404, "RESOURCE_NOT_EXISTS"));
    merchant.close(NO).await;
    assert_eq!(refused(&merchant.back("R-1", 1).await), (404, "RESOURCE_NOT_EXISTS"));
    assert_eq!(refused(&merchant.query_refund("R-1").await), (404, "RESOURCE_NOT_EXISTS"));

    let merchant = Merchant::with_money().await;
    for (pointer, value) in [
        ("/amount/currency", json!("USD")),
        ("/amount/currency", Value::Null),
        ("/amount/refund", json!(0)),
        ("/amount/refund", json!("30")),
        ("/out_refund_no", json!("a/b")),
        ("/out_refund_no", json!("x".repeat(65))),
        ("/reason", json!("退".repeat(27))),
        ("/notify_url", json!("http://shop.example.com/notify")),
        ("/transaction_id", json!("4200")),
        ("/funds_account", json!("MINE")),
    ] {
        let mut body = wxpay_refund("R-1", 30);
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => body[&pointer[1..]] = value.clone(),
        }
        let answer = merchant.wxpay("POST", REFUNDS, &body.to_string()).await;
        assert_eq!(refused(&answer), (400, "PARAM_ERROR"), "{pointer} {value}");
    }
    let mut body = wxpay_refund("R-1", 30);
    body["amount"]["total"] = json!(99);
    let answer = merchant.wxpay("POST", REFUNDS, &body.to_string()).await;
    assert_eq!(refused(&answer), (400, "INVALID_REQUEST"));
    merchant.providers.advance_ms(366 * DAY_MS);
    assert_eq!(refused(&merchant.back("R-1", 30).await), (400, "INVALID_REQUEST"));
    assert!(merchant.order_at(ProviderId::Wxpay).payments[0].refunds.is_empty());
}

#[tokio::test]
async fn a_number_of_a_refund_is_the_merchants_and_not_the_orders() {
    let merchant = Merchant::with_money().await;
    let mut second = native();
    second["out_trade_no"] = json!("second-number");
    second["amount"]["total"] = json!(100);
    merchant.order("native", &second).await;
    merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo("second-number".to_owned())).unwrap();
    assert_eq!(merchant.back("R-1", 30).await.0, 200);
    let mut body = wxpay_refund("R-1", 30);
    body["out_trade_no"] = json!("second-number");
    let answer = merchant.wxpay("POST", REFUNDS, &body.to_string()).await;
    assert_eq!(refused(&answer), (400, "INVALID_REQUEST"));
    let unpaid = format!("{REFUNDS}/R-1?sub_mchid=1900000999");
    assert_eq!(merchant.wxpay("GET", &unpaid, "").await.0, 404, "a sub-merchant has its own");
}

#[tokio::test]
async fn a_partner_sends_back_for_its_sub_merchant() {
    let merchant = Merchant::new();
    let body = json!({
        "sp_appid": keys::WXPAY_APP_MP_WEIXIN,
        "sp_mchid": keys::MCH_ID,
        "sub_mchid": "1900000999",
        "description": "tea",
        "out_trade_no": NO,
        "notify_url": "https://shop.example.com/notify",
        "amount": { "total": 100 },
        "payer": { "sp_openid": "oBuyer" },
    });
    let path = "/v3/pay/partner/transactions/jsapi";
    assert_eq!(merchant.wxpay("POST", path, &body.to_string()).await.0, 200);
    merchant.pay(ProviderId::Wxpay, PayWith::OutTradeNo(NO.to_owned())).unwrap();
    let mut refund = wxpay_refund("R-1", 30);
    assert_eq!(merchant.wxpay("POST", REFUNDS, &refund.to_string()).await.0, 404);
    refund["sub_mchid"] = json!("1900000999");
    assert_eq!(merchant.wxpay("POST", REFUNDS, &refund.to_string()).await.0, 200);
    let path = format!("{REFUNDS}/R-1?sub_mchid=1900000999");
    assert_eq!(merchant.wxpay("GET", &path, "").await.1["status"], "PROCESSING");
    assert_eq!(merchant.query_refund("R-1").await.0, 404);
}

#[tokio::test]
async fn alipay_sends_back_at_once_and_tells_what_went_back_in_all() {
    let merchant = Merchant::with_money().await;
    let (code, first) = merchant.give("R-1", "0.30").await;
    assert_eq!((&*code, &first["fund_change"]), ("", &json!("Y")), "{first}");
    assert_eq!((&first["refund_fee"], &first["send_back_fee"]), (&json!("0.30"), &json!("0.30")));
    let (_, again) = merchant.give("R-1", "0.30").await;
    assert_eq!((&again["fund_change"], &again["refund_fee"]), (&json!("N"), &json!("0.30")));
    assert_eq!(merchant.give("R-1", "0.31").await.0, "ACQ.DISCORDANT_REPEAT_REQUEST");
    assert_eq!(merchant.give("R-2", "0.30").await.0, "ACQ.REFUND_CHARGE_ERROR", "too soon");
    merchant.providers.advance_ms(3 * SECOND_MS);
    assert_eq!(merchant.give("R-2", "0.71").await.0, "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    let (_, second) = merchant.give("R-2", "0.30").await;
    assert_eq!((&second["refund_fee"], &second["send_back_fee"]), (&json!("0.60"), &json!("0.30")));
    let name = json!({ "out_trade_no": NO });
    let (_, trade) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(trade["trade_status"], "TRADE_SUCCESS");
    merchant.providers.advance_ms(3 * SECOND_MS);
    let (_, third) = merchant.give("R-3", "0.40").await;
    assert_eq!((&third["fund_change"], &third["refund_fee"]), (&json!("Y"), &json!("1.00")));
    let (_, trade) = merchant.alipay("alipay.trade.query", &name).await;
    assert_eq!(trade["trade_status"], "TRADE_CLOSED", "nothing is left");
    merchant.providers.advance_ms(3 * SECOND_MS);
    assert_eq!(merchant.give("R-4", "0.01").await.0, "ACQ.TRADE_HAS_CLOSE");
    let (_, again) = merchant.give("R-2", "0.30").await;
    assert_eq!((&again["fund_change"], &again["refund_fee"]), (&json!("N"), &json!("1.00")));

    let answer = merchant.given("R-2").await;
    assert_eq!(answer["refund_status"], "REFUND_SUCCESS");
    assert_eq!(
        (&answer["refund_amount"], &answer["total_amount"]),
        (&json!("0.30"), &json!("1.00"))
    );
    assert_eq!(answer["gmt_refund_pay"], "2025-06-15 23:06:43");
    let unknown = merchant.given("R-9").await;
    assert_eq!(unknown["code"], "10000");
    assert!(unknown.get("refund_status").is_none() && unknown.get("trade_no").is_none());
}

#[tokio::test]
async fn alipay_refuses_refunds_of_what_nobody_paid() {
    let merchant = Merchant::new();
    assert_eq!(merchant.give("R-1", "0.01").await.0, "ACQ.TRADE_NOT_EXIST");
    merchant.alipay("alipay.trade.create", &trade()).await;
    assert_eq!(merchant.give("R-1", "0.01").await.0, "ACQ.TRADE_STATUS_ERROR");
    merchant.alipay("alipay.trade.close", &json!({ "out_trade_no": NO })).await;
    assert_eq!(merchant.give("R-1", "0.01").await.0, "ACQ.TRADE_HAS_CLOSE");
    let merchant = Merchant::with_money().await;
    for yuan in ["0", "-1", "0.001", "", "1,00"] {
        assert_eq!(merchant.give("R-1", yuan).await.0, "ACQ.INVALID_PARAMETER", "{yuan}");
    }
    let part = json!({ "out_trade_no": NO, "refund_amount": "0.30" });
    let (code, _) = merchant.alipay("alipay.trade.refund", &part).await;
    assert_eq!(code, "ACQ.INVALID_PARAMETER", "a part needs a number");
    let whole = json!({ "out_trade_no": NO, "refund_amount": "1.00" });
    assert_eq!(merchant.alipay("alipay.trade.refund", &whole).await.1["fund_change"], "Y");
    assert_eq!(merchant.given(NO).await["refund_status"], "REFUND_SUCCESS");
}

#[tokio::test]
async fn a_provider_without_money_or_time_takes_nothing() {
    let merchant = Merchant::with_money().await;
    for (kind, wxpay, alipay) in [
        (FaultKind::NotEnough, (403, "NOT_ENOUGH"), "ACQ.SELLER_BALANCE_NOT_ENOUGH"),
        (FaultKind::TooSoon, (429, "FREQUENCY_LIMITED"), "ACQ.REFUND_CHARGE_ERROR"),
    ] {
        let fault = SimulatedFault { provider: None, operation: None, kind, times: 2 };
        merchant.providers.add_fault(fault);
        assert_eq!(merchant.ask(NO).await.0, 200, "no other call fails by it");
        assert_eq!(refused(&merchant.back("R-1", 30).await), wxpay);
        assert_eq!(merchant.give("R-1", "0.30").await.0, alipay);
    }
    assert_eq!(merchant.providers.money().refunding, 0);
    assert_eq!(merchant.back("R-1", 30).await.0, 200);
    assert_eq!(merchant.give("R-1", "0.30").await.0, "");
    assert_eq!(merchant.providers.calls("wxpay.refund"), 3);
    assert_eq!(merchant.providers.calls("alipay.refund"), 3);
}

#[tokio::test]
async fn a_refund_whose_call_was_lost_went_back_only_if_it_arrived() {
    for (kind, went) in [(FaultKind::LoseRequest, false), (FaultKind::LoseReply, true)] {
        let merchant = Merchant::with_money().await;
        let operation = Some(ProviderOperation::Refund);
        let fault = SimulatedFault { provider: None, operation, kind, times: 1 };
        merchant.providers.add_fault(fault);
        let body = wxpay_refund("R-1", 30).to_string();
        let request = wxpay_request(merchant.clock.now(), "POST", REFUNDS, &body);
        let lost = merchant.providers.send(request, Duration::from_secs(8)).await;
        assert!(matches!(lost, Err(TransportFailure::OutcomeUnknown(_))));
        assert_eq!(merchant.query_refund("R-1").await.0 == 200, went);
        assert_eq!(merchant.back("R-1", 30).await.0, 200);
        assert_eq!(merchant.order_at(ProviderId::Wxpay).payments[0].refunds.len(), 1);
    }
}

#[tokio::test]
async fn a_refund_ends_as_the_operator_ends_it() {
    for state in [RefundState::Abnormal, RefundState::Closed] {
        let merchant = Merchant::with_money().await;
        for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
            let (kind, provider) = (FaultKind::RefundEnds { state }, Some(provider));
            merchant.providers.add_fault(SimulatedFault {
                provider,
                operation: None,
                kind,
                times: 1,
            });
        }
        assert_eq!(merchant.back("R-1", 60).await.1["status"], "PROCESSING");
        merchant.providers.advance_ms(MINUTE_MS);
        assert_eq!(merchant.query_refund("R-1").await.1["status"], state.name());
        let more = merchant.back("R-2", 60).await;
        let is_free = state == RefundState::Closed;
        assert_eq!(more.0 == 200, is_free, "what waits for a person is not free");
        let trade_state = &merchant.ask(NO).await.1["trade_state"];
        assert_eq!(trade_state, "REFUND");

        let (code, answer) = merchant.give("R-1", "0.30").await;
        assert_eq!((&*code, &answer["fund_change"]), ("", &json!("N")));
        assert!(merchant.given("R-1").await.get("refund_status").is_none());
        merchant.providers.advance_ms(3 * SECOND_MS);
        assert_eq!(merchant.give("R-1", "0.30").await.1["fund_change"], "Y", "sent again");
        assert_eq!(merchant.order_at(ProviderId::Alipay).payments[0].refunded_fen(), 30);
    }
}

#[tokio::test]
async fn a_slow_refund_is_processing_at_alipay_too_and_a_quick_one_at_once_at_wechat_pay() {
    let merchant = Merchant::with_money().await;
    let kind = FaultKind::RefundSlow { ms: 60_000 };
    let provider = Some(ProviderId::Alipay);
    merchant.providers.add_fault(SimulatedFault { provider, operation: None, kind, times: 1 });
    let (_, answer) = merchant.give("R-1", "0.30").await;
    assert_eq!((&answer["fund_change"], &answer["refund_fee"]), (&json!("N"), &json!("0.00")));
    assert_eq!(merchant.given("R-1").await["refund_status"], "REFUND_PROCESSING");
    merchant.providers.advance_ms(60_000);
    assert_eq!(merchant.given("R-1").await["refund_status"], "REFUND_SUCCESS");
    assert_eq!(merchant.give("R-1", "0.30").await.1["fund_change"], "N", "asked too late");

    merchant
        .providers
        .set_refund_settings(RefundSettings { takes_ms: 0, ..RefundSettings::default() });
    assert_eq!(merchant.back("R-1", 30).await.1["status"], "SUCCESS");
}

#[tokio::test]
async fn somebody_sends_money_back_in_the_console() {
    let merchant = Merchant::with_money().await;
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let of = |fen: Option<u64>| ConsoleRefund {
            provider,
            out_trade_no: NO.to_owned(),
            amount: fen.and_then(paygate::domain::Fen::new),
            notification: ConsoleNotification::Never,
        };
        for fen in [0, 101] {
            let declined = merchant.providers.refund_in_console(&of(Some(fen))).unwrap_err();
            assert_eq!(declined.code, "NOTHING_LEFT");
        }
        let order = merchant.providers.refund_in_console(&of(Some(30))).unwrap();
        let refund = &order.payments[0].refunds[0];
        assert!(refund.from_console && refund.notification.due.is_none() && refund.calls == 0);
        merchant.providers.refund_in_console(&of(None)).unwrap();
        let declined = merchant.providers.refund_in_console(&of(None)).unwrap_err();
        assert_eq!(declined.code, "NOTHING_LEFT");
    }
    assert_eq!(merchant.ask(NO).await.1["trade_state"], "REFUND");
    let (_, trade) = merchant.alipay("alipay.trade.query", &json!({ "out_trade_no": NO })).await;
    assert_eq!(trade["trade_status"], "TRADE_CLOSED");
    merchant.providers.advance_ms(3_000);
    let money = merchant.providers.money();
    assert_eq!((money.paid, money.refunded, money.refunding), (200, 200, 0));
}

#[tokio::test]
async fn a_person_ends_what_waits_for_one() {
    let merchant = Merchant::with_money().await;
    let kind = FaultKind::RefundEnds { state: RefundState::Abnormal };
    merchant.add_fault(kind);
    merchant.back("R-1", 30).await;
    merchant.providers.advance_ms(3_000);
    let end = RefundEnd {
        provider: ProviderId::Wxpay,
        out_trade_no: NO.to_owned(),
        out_refund_no: "R-1".to_owned(),
        state: RefundState::Success,
    };
    assert_eq!(merchant.providers.money().refunded, 0);
    merchant.providers.end_refund(&end).unwrap();
    assert_eq!(merchant.query_refund("R-1").await.1["status"], "SUCCESS");
    assert_eq!(merchant.providers.end_refund(&end).unwrap_err().code, "REFUND_ENDED");
    let unknown = RefundEnd { out_refund_no: "R-2".to_owned(), ..end.clone() };
    assert_eq!(merchant.providers.end_refund(&unknown).unwrap_err().code, "ORDER_NOT_EXIST");
    let no_end = RefundEnd { state: RefundState::Processing, ..end };
    assert_eq!(merchant.providers.end_refund(&no_end).unwrap_err().code, "NOT_AN_END");
}

#[tokio::test]
async fn the_ledger_counts_money_in_and_money_back_to_the_fen_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let merchant = Merchant::with_ledger(Some(&path));
    merchant.sell_for_100().await;
    merchant.back("R-1", 30).await;
    merchant.give("R-1", "0.25").await;
    let check = |merchant: &Merchant, back: u64, on_its_way: u64| {
        let money = merchant.providers.money();
        assert_eq!((money.paid, money.refunded, money.refunding), (200, back, on_its_way));
    };
    check(&merchant, 25, 30);
    drop(merchant);
    let merchant = Merchant::with_ledger(Some(&path));
    check(&merchant, 25, 30);
    merchant.providers.advance_ms(3_000);
    check(&merchant, 55, 0);
    assert_eq!(merchant.query_refund("R-1").await.1["status"], "SUCCESS", "its number is known");
    let balances = merchant.providers.balances();
    let returned: Vec<_> = balances.iter().map(|it| (it.provider, it.money.refunded)).collect();
    assert_eq!(returned, [(ProviderId::Wxpay, 30), (ProviderId::Alipay, 25)]);
    let total = json!({ "paid": 200, "returned": 55, "returning": 0 });
    let (_, ledger) = merchant.control("GET", "ledger", "").await;
    assert_eq!(ledger["money"], total);
    let (_, money) = merchant.control("GET", "money", "").await;
    assert_eq!((&money["total"], &money["payments"][1]["returned"]), (&total, &json!(25)));
}

#[tokio::test]
async fn refunds_are_made_ended_and_paced_by_the_control_operations() {
    let merchant = Merchant::with_money().await;
    let paced = merchant.control("POST", "refunding", r#"{"takes_ms":9000}"#).await;
    assert_eq!(paced, (200, json!({ "takes_ms": 9000, "alipay_tells": true })));
    let asked = json!({ "provider": "wxpay", "out_trade_no": NO, "amount": 30 });
    let (status, order) = merchant.control("POST", "refund", &asked.to_string()).await;
    let refund = &order["payments"][0]["refunds"][0];
    assert_eq!((status, &refund["state"]), (200, &json!("PROCESSING")));
    let end = json!({
        "provider": "wxpay",
        "out_trade_no": NO,
        "out_refund_no": refund["out_refund_no"],
        "state": "ABNORMAL",
    });
    let (status, order) = merchant.control("POST", "refund/end", &end.to_string()).await;
    assert_eq!((status, &order["payments"][0]["refunds"][0]["state"]), (200, &end["state"]));
    for fault in [
        r#"{"fault":"refund_ends","state":"CLOSED"}"#,
        r#"{"fault":"refund_slow","ms":60000}"#,
        r#"{"operation":"refund_query","fault":"lose_reply"}"#,
    ] {
        assert_eq!(merchant.control("POST", "faults", fault).await.0, 200, "{fault}");
    }
    let unpaid = json!({ "provider": "alipay", "out_trade_no": "unknown" }).to_string();
    assert_eq!(merchant.control("POST", "refund", &unpaid).await.0, 409);
    assert_eq!(merchant.control("POST", "refund", "{}").await.0, 400);
}
