//! The stories: what clients, buyers, providers and time do, step by step.

use std::collections::BTreeMap;

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::mock::{FaultKind, ProviderOperation, Refuse, SimulatedOrder, keys};
use paygate::provider::SigningKey;
use serde_json::Value;

use crate::support::requests::{app, mini, phone, qr};

/// One story of one order.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Whether the providers know the number from a store that was lost.
    pub(super) is_restored: bool,
    pub(super) steps: Vec<Step>,
}

/// What happens next.
pub(super) enum Step {
    /// A client asks.
    Ask(Value),
    /// Something goes wrong with the next call of this kind.
    Goes(ProviderOperation, FaultKind),
    /// The same, at WeChat Pay.
    GoesAtWxpay(ProviderOperation, FaultKind),
    /// So many minutes go by.
    Pass(i64),
    /// The reconciler handles what is due.
    Reconcile,
    /// A buyer opens the cashier with what was handed out last.
    Scan,
    /// A buyer pays with what was handed out last.
    Pay,
    /// The provider notifies of the payment.
    Notify,
    /// The outbox sends what is due.
    Dispatch,
}

use FaultKind::{LoseReply, LoseRequest};
use ProviderOperation::{Close, Create, Query};
use Step::{Ask, Dispatch, Goes, GoesAtWxpay, Notify, Pass, Pay, Reconcile, Scan};

fn scenario(name: &'static str, steps: Vec<Step>) -> Scenario {
    Scenario { name, is_restored: false, steps }
}

/// A first request by each product.
pub(super) fn first_requests() -> Vec<Scenario> {
    vec![
        scenario("native", vec![Ask(qr(Wxpay))]),
        scenario("jsapi", vec![Ask(mini(Wxpay, "one"))]),
        scenario("app", vec![Ask(app(Wxpay))]),
        scenario("h5", vec![Ask(phone())]),
        scenario("precreate", vec![Ask(qr(Alipay))]),
        scenario("create", vec![Ask(mini(Alipay, "one"))]),
        scenario("app.pay", vec![Ask(app(Alipay))]),
    ]
}

/// Lost messages, stale material, refusals, numbers that are taken.
pub(super) fn unknown_outcomes() -> Vec<Scenario> {
    let refused = |code: &str| {
        let (code, message) = (code.to_owned(), "wrong openid".to_owned());
        Goes(Create, FaultKind::Refuse(Refuse { code, message, status: None }))
    };
    let restored = |name, steps| Scenario { is_restored: true, ..scenario(name, steps) };
    vec![
        scenario("lost reply", vec![Goes(Create, LoseReply), Ask(qr(Wxpay))]),
        scenario("lost request", vec![Goes(Create, LoseRequest), Ask(qr(Alipay))]),
        scenario(
            "lost reply and question, then the client",
            vec![Goes(Create, LoseReply), Goes(Query, LoseReply), Ask(qr(Wxpay)), Ask(qr(Wxpay))],
        ),
        scenario(
            "lost reply and question, then the background",
            vec![
                Goes(Create, LoseReply),
                Goes(Query, LoseReply),
                Ask(mini(Wxpay, "one")),
                Pass(1),
                Reconcile,
                Ask(mini(Wxpay, "one")),
            ],
        ),
        scenario(
            "lost reply and question, then another way",
            vec![Goes(Create, LoseReply), Goes(Query, LoseReply), Ask(qr(Wxpay)), Ask(qr(Alipay))],
        ),
        scenario(
            "lost request and question, then another way",
            vec![
                Goes(Create, LoseRequest),
                Goes(Query, LoseReply),
                Ask(qr(Wxpay)),
                Ask(app(Wxpay)),
            ],
        ),
        scenario("stale material", vec![Ask(phone()), Pass(6), Ask(phone())]),
        scenario(
            "stale material, lost reply",
            vec![Ask(phone()), Pass(6), Goes(Create, LoseReply), Ask(phone()), Ask(phone())],
        ),
        scenario(
            "refused by WeChat Pay, then corrected",
            vec![refused("PARAM_ERROR"), Ask(mini(Wxpay, "wrong")), Ask(mini(Wxpay, "right"))],
        ),
        scenario(
            "refused by Alipay, then corrected",
            vec![
                refused("ACQ.INVALID_PARAMETER"),
                Ask(mini(Alipay, "wrong")),
                Ask(mini(Alipay, "right")),
            ],
        ),
        restored("taken at WeChat Pay", vec![Ask(qr(Wxpay))]),
        restored("taken at Alipay", vec![Ask(qr(Alipay))]),
        restored(
            "taken at WeChat Pay, and nobody can tell by what",
            vec![Goes(Query, LoseReply), Ask(qr(Wxpay)), Ask(qr(Wxpay))],
        ),
    ]
}

/// Another way to pay what is not paid.
pub(super) fn switches() -> Vec<Scenario> {
    vec![
        scenario("WeChat Pay to Alipay", vec![Ask(qr(Wxpay)), Ask(qr(Alipay))]),
        scenario("Alipay to WeChat Pay", vec![Ask(qr(Alipay)), Ask(qr(Wxpay))]),
        scenario("scanned Alipay to WeChat Pay", vec![Ask(qr(Alipay)), Scan, Ask(qr(Wxpay))]),
        scenario("Alipay to Alipay", vec![Ask(qr(Alipay)), Ask(app(Alipay))]),
        scenario("scanned Alipay to Alipay", vec![Ask(qr(Alipay)), Scan, Ask(app(Alipay))]),
        scenario("Alipay's app to its code", vec![Ask(app(Alipay)), Ask(qr(Alipay))]),
        scenario("native to app", vec![Ask(qr(Wxpay)), Ask(app(Wxpay))]),
        scenario("one buyer to another", vec![Ask(mini(Wxpay, "one")), Ask(mini(Wxpay, "two"))]),
        scenario("there and back", vec![Ask(qr(Alipay)), Ask(qr(Wxpay)), Ask(qr(Alipay))]),
        scenario(
            "back before the other way's outcome is known",
            vec![
                Ask(qr(Alipay)),
                GoesAtWxpay(Create, LoseReply),
                GoesAtWxpay(Query, LoseReply),
                Ask(qr(Wxpay)),
                Ask(qr(Alipay)),
                Pass(1),
                Reconcile,
                Ask(qr(Alipay)),
            ],
        ),
        scenario(
            "scanned after it was superseded",
            vec![Ask(qr(Alipay)), Scan, Ask(qr(Wxpay)), Pass(1), Reconcile, Ask(qr(Wxpay))],
        ),
        scenario(
            "a lost close",
            vec![Ask(qr(Wxpay)), Goes(Close, LoseReply), Ask(qr(Alipay)), Ask(qr(Alipay))],
        ),
        scenario(
            "a lost opening of the other way",
            vec![Ask(qr(Wxpay)), Goes(Create, LoseReply), Ask(app(Wxpay))],
        ),
    ]
}

/// Attempts that come to their end.
pub(super) fn ends() -> Vec<Scenario> {
    vec![
        scenario("WeChat Pay's successor", vec![Ask(qr(Wxpay)), Pass(32), Ask(qr(Wxpay))]),
        scenario("Alipay's successor", vec![Ask(qr(Alipay)), Pass(32), Ask(qr(Alipay))]),
        scenario("the app's successor", vec![Ask(app(Alipay)), Pass(32), Ask(app(Alipay))]),
        scenario("WeChat Pay's lapse", vec![Ask(qr(Wxpay)), Pass(32), Reconcile, Ask(qr(Wxpay))]),
        scenario(
            "Alipay's lapse",
            vec![Ask(qr(Alipay)), Scan, Pass(32), Reconcile, Ask(qr(Alipay))],
        ),
        scenario(
            "a lapse nobody could close",
            vec![
                Ask(qr(Wxpay)),
                Pass(32),
                Goes(Close, LoseReply),
                Reconcile,
                Pass(1),
                Reconcile,
                Ask(app(Wxpay)),
            ],
        ),
    ]
}

/// Payments: found by a question, or told.
pub(super) fn payments() -> Vec<Scenario> {
    vec![
        scenario("found by another way", vec![Ask(qr(Wxpay)), Pay, Ask(qr(Alipay))]),
        scenario("found at Alipay", vec![Ask(qr(Alipay)), Pay, Ask(app(Alipay)), Dispatch]),
        scenario(
            "found by the background",
            vec![Ask(qr(Wxpay)), Pay, Pass(32), Reconcile, Dispatch],
        ),
        scenario(
            "found after a lost reply",
            vec![Ask(app(Wxpay)), Goes(Close, FaultKind::PayFirst), Ask(qr(Wxpay)), Dispatch],
        ),
        scenario("notified by Alipay", vec![Ask(qr(Alipay)), Pay, Notify, Dispatch]),
        scenario("notified twice", vec![Ask(app(Alipay)), Pay, Notify, Notify, Dispatch, Dispatch]),
        scenario(
            "notified of what was superseded",
            vec![
                Ask(qr(Alipay)),
                Scan,
                Ask(app(Alipay)),
                Pay,
                Notify,
                Pass(1),
                Reconcile,
                Dispatch,
            ],
        ),
    ]
}

/// The form by which Alipay notifies that `order` is paid.
pub(super) fn alipay_notice(order: &SimulatedOrder) -> String {
    let payment = &order.payments[0];
    let pairs = [
        ("app_id", order.terms.app_id.clone()),
        ("charset", "utf-8".to_owned()),
        ("gmt_payment", "2025-11-23 20:30:00".to_owned()),
        ("notify_id", "2025112300222203000022561455000000".to_owned()),
        ("notify_type", "trade_status_sync".to_owned()),
        ("out_trade_no", order.out_trade_no.clone()),
        ("seller_id", keys::ALIPAY_SELLER_ID.to_owned()),
        ("total_amount", payment.amount.to_yuan()),
        ("trade_no", payment.transaction_id.clone()),
        ("trade_status", "TRADE_SUCCESS".to_owned()),
        ("version", "1.0".to_owned()),
    ];
    let mut parameters = BTreeMap::from(pairs);
    let content: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let key = SigningKey::parse(include_bytes!("../../../src/mock/keys/alipay_key.pem")).unwrap();
    parameters.insert("sign", key.sign(content.join("&").as_bytes()));
    parameters.insert("sign_type", "RSA2".to_owned());
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish()
}
