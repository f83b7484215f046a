//! Orders to store: plain ones, and any that can be.

use std::net::IpAddr;

use paygate::domain::{
    Account, ApiVersion, AppAuthToken, Attempt, AttemptState, ChannelNo, DeliveryState, EventId,
    EventType, Fen, Flags, Material, Millis, Order, OrderClient, OrderStatus, OrderTerms,
    OutTradeNo, OutboxEvent, Params, PayType, Payment, PaymentMethod, PaymentRole, Pid, Product,
    RawJson, Refund, RefundState, TransactionId,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::fixtures::{self, order_terms, prepared_attempt};

/// An order number.
pub(crate) fn number(text: &str) -> OutTradeNo {
    OutTradeNo::parse(text).unwrap()
}

/// An order with one prepared attempt, claimed at `created` milliseconds.
pub(crate) fn order(no: &str, created: i64) -> Order {
    let terms = order_terms(no, "热水壶");
    Order {
        fingerprint: terms.fingerprint(),
        attempts: vec![attempt(1, ChannelNo::first(&terms.out_trade_no), created)],
        terms,
        deadline: None,
        status: OrderStatus::Open,
        flags: Flags::default(),
        payments: Vec::new(),
        client: OrderClient::default(),
        created_at: Millis(created),
        version: 1,
        unknown: Default::default(),
    }
}

/// The order one version on, with its first attempt in `state`.
pub(crate) fn later(order: &Order, state: AttemptState) -> Order {
    let mut next = order.clone();
    next.attempts[0].state = state;
    next.version += 1;
    next
}

/// A prepared attempt, opened at `opened` milliseconds.
pub(crate) fn attempt(n: u32, channel_no: ChannelNo, opened_at: i64) -> Attempt {
    let method = PaymentMethod {
        pay_type: PayType::WxpayH5,
        product: Product::Native,
        app_id: "wx0000000000000001".to_owned(),
        openid: None,
        client_ip: None,
    };
    let params = Params {
        document: "{}".to_owned(),
        notify_url: "https://shop.example.com/pay/notify/wxpay/wxpay_h5/default".to_owned(),
        return_url: None,
        app_auth_token: None,
    };
    Attempt {
        n,
        account: Some(Account {
            id: "1900000001".to_owned(),
            sub_mchid: None,
            api_version: ApiVersion::WxpayV3,
        }),
        ..prepared_attempt(channel_no, method, params, Millis(opened_at))
    }
}

/// A payment by the first attempt, with one refund.
pub(crate) fn payment(transaction_id: &str, out_refund_no: &str) -> Payment {
    let refund = Refund::pending(out_refund_no.to_owned(), Fen::new(1).unwrap(), Millis(6));
    Payment { refunds: vec![refund], ..fixtures::payment(transaction_id, 1, Millis(5)) }
}

/// A state in which the buyer can pay.
pub(crate) fn live() -> AttemptState {
    AttemptState::Payable { material: Material::Signed, valid_until: Millis(1_770_000) }
}

/// Any order whose number starts with `prefix`, so that two stores' cases never meet.
pub(crate) fn any_order(prefix: &'static str) -> impl Strategy<Value = Order> {
    let parts = (any_facts(prefix), vec(any_attempt(), 1..4), vec(any_payment(), 0..3));
    let status = select(vec![
        OrderStatus::Open,
        OrderStatus::Closed,
        OrderStatus::Paid,
        OrderStatus::PartRefunded,
        OrderStatus::Refunded,
    ]);
    let flags = any::<[bool; 3]>();
    let times = (of(any::<i64>()), any::<i64>(), 1..i64::MAX as u64);
    (parts, status, flags, any_client(), times).prop_map(
        |((terms, attempts, payments), status, flags, client, (deadline, created, version))| {
            let mut order = Order {
                fingerprint: terms.fingerprint(),
                terms,
                deadline: deadline.map(Millis),
                status,
                flags: Flags { duplicate_paid: flags[0], late_paid: flags[1], mismatch: flags[2] },
                attempts,
                payments,
                client,
                created_at: Millis(created),
                version,
                unknown: Default::default(),
            };
            own_numbers(&mut order);
            order
        },
    )
}

/// Numbers are unique in a store: the order's own are put where the drawn ones may repeat.
fn own_numbers(order: &mut Order) {
    let (pid, no) = (order.terms.pid.clone(), order.terms.out_trade_no.clone());
    for (n, attempt) in (1..).zip(&mut order.attempts) {
        attempt.n = n;
        attempt.channel_no = match n {
            1 => ChannelNo::first(&no),
            _ => ChannelNo::derived(&pid, &no, n),
        };
    }
    for (p, payment) in order.payments.iter_mut().enumerate() {
        payment.transaction_id = TransactionId(format!("{}-{p}", payment.transaction_id.0).into());
        for (r, refund) in payment.refunds.iter_mut().enumerate() {
            refund.out_refund_no = format!("{no}-{p}-{r}");
        }
    }
}

fn any_facts(prefix: &'static str) -> impl Strategy<Value = OrderTerms> {
    let named = ("[0-9A-Za-z_-]{16,50}", 1..=10_000_000_000_u64, any_text(), "[a-z]{1,32}");
    let texts = (any_text_option(), any_text_option(), any_text_option(), any_text_option());
    let json = (of(any_json()), of(any_json()));
    let rest = (any_text_option(), of(any::<bool>()), "[0-9]{0,3}");
    (named, texts, json, rest).prop_map(
        move |((no, fee, subject, kind), (body, user_id, sub_appid, sub_mchid), json, rest)| {
            OrderTerms {
                out_trade_no: number(&format!("{prefix}{no}")),
                total_fee: Fen::new(fee).unwrap(),
                subject,
                body,
                kind,
                pid: Pid::new(&rest.2),
                user_id,
                custom: json.0,
                other: json.1,
                sub_appid,
                sub_mchid,
                app_auth_token: rest.0.map(AppAuthToken),
                profit_sharing: rest.1,
            }
        },
    )
}

fn any_account() -> impl Strategy<Value = Account> {
    let versions = vec![ApiVersion::WxpayV3, ApiVersion::WxpayV2, ApiVersion::Alipay];
    let account = (any_text(), any_text_option(), select(versions));
    account.prop_map(|(id, sub_mchid, api_version)| Account { id, sub_mchid, api_version })
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let address = of(any::<u128>().prop_map(|bits| IpAddr::from(bits.to_be_bytes())));
    let method = (select(PayType::ALL.to_vec()), any_text(), any_text_option(), address);
    let method = (method, of(any_account()));
    let params = (any_text(), any_text(), any_text_option(), any_text_option());
    let times = (any::<i64>(), any::<i64>(), of(any::<i64>()));
    (method, params, times, any_state(), any::<[bool; 2]>()).prop_map(
        |((method, account), params, (opened, expires, asked), state, [superseded, handed_out])| {
            Attempt {
                n: 1,
                method: PaymentMethod {
                    pay_type: method.0,
                    product: Product::H5,
                    app_id: method.1,
                    openid: method.2,
                    client_ip: method.3,
                },
                account,
                channel_no: ChannelNo::first(&number("replaced")),
                params: Params {
                    document: params.0,
                    notify_url: params.1,
                    return_url: params.2,
                    app_auth_token: params.3.map(AppAuthToken),
                },
                expires_at: Millis(expires),
                opened_at: Millis(opened),
                state,
                last_queried_at: asked.map(Millis),
                superseded,
                handed_out,
                close_intended: handed_out != superseded,
            }
        },
    )
}

fn any_state() -> impl Strategy<Value = AttemptState> {
    let live = (any_material(), any::<i64>()).prop_map(|(material, until)| AttemptState::Payable {
        material,
        valid_until: Millis(until),
    });
    prop_oneof![
        Just(AttemptState::Prepared),
        Just(AttemptState::NotSent),
        Just(AttemptState::NotFound),
        Just(AttemptState::Closed),
        Just(AttemptState::Paid),
        any_text().prop_map(|reason| AttemptState::OutcomeUnknown { reason }),
        any_text().prop_map(|code| AttemptState::NumberInUse { code }),
        (any_text(), any_text())
            .prop_map(|(code, message)| AttemptState::Refused { code, message }),
        live,
    ]
}

fn any_material() -> impl Strategy<Value = Material> {
    prop_oneof![
        Just(Material::Signed),
        any_text().prop_map(|prepay_id| Material::Prepay { prepay_id }),
        any_text().prop_map(|h5_url| Material::H5 { h5_url }),
        any_text().prop_map(|trade_no| Material::Trade { trade_no }),
        (any_text(), any_text_option())
            .prop_map(|(code_url, msg)| Material::QrCode { code_url, msg }),
    ]
}

fn any_payment() -> impl Strategy<Value = Payment> {
    let roles = select(vec![
        PaymentRole::Winning,
        PaymentRole::Duplicate,
        PaymentRole::Late,
        PaymentRole::Mismatch,
    ]);
    let named = (1..4_u32, any_text(), 1..=10_000_000_000_u64, any::<i64>(), any_text_option());
    (named, roles, vec(any_refund(), 0..3)).prop_map(|(named, role, refunds)| Payment {
        attempt: named.0,
        transaction_id: TransactionId(named.1.into()),
        total_fee: Fen::new(named.2).unwrap(),
        paid_at: Millis(named.3),
        openid: named.4,
        discovered_at: Millis(named.3),
        role,
        auto_refund: named.0 == 1,
        refund_unknown: named.0 == 2,
        reported_refund_total: Fen::new(named.2 / 2).filter(|_| named.0 == 3),
        unidentified_since: None,
        refunds,
    })
}

fn any_refund() -> impl Strategy<Value = Refund> {
    let states = select(vec![
        RefundState::Processing,
        RefundState::Success,
        RefundState::Abnormal,
        RefundState::Closed,
    ]);
    let texts = (any_text_option(), any_text_option());
    (texts, 1..=10_000_000_000_u64, states, any::<i64>()).prop_map(
        |((refund_id, refund_desc), fee, state, asked)| Refund {
            refund_id,
            refund_desc,
            state,
            cash_refund_fee: Fen::new(fee / 2),
            last_queried_at: (fee % 2 == 0).then_some(Millis(asked)),
            refunded_at: (fee % 3 == 0).then_some(Millis(asked)),
            automatic: fee % 5 == 0,
            notify_url: (fee % 7 == 0).then(|| "https://shop.example.com/pay".to_owned()),
            times_sent: u32::try_from(fee % 4).unwrap(),
            times_answered: u32::try_from(fee % 3).unwrap(),
            refused_at: (fee % 11 == 0).then_some(Millis(asked)),
            ..Refund::pending(String::new(), Fen::new(fee).unwrap(), Millis(asked))
        },
    )
}

fn any_client() -> impl Strategy<Value = OrderClient> {
    let texts = (any_text_option(), any_text_option(), any_text_option(), any_text_option());
    (any_text(), texts).prop_map(|(platform, (client_ip, app_id, device_id, nickname))| {
        OrderClient { platform, client_ip, app_id, device_id, nickname }
    })
}

/// Any event of the order `no`.
pub(crate) fn any_event(no: OutTradeNo) -> impl Strategy<Value = OutboxEvent> {
    let ids = "evt_[0-9a-f]{32}".prop_map(|text| EventId::parse(&text).unwrap());
    let named = (ids, select(EventType::ALL.to_vec()), any_text(), any_text());
    let stands = (select(DeliveryState::ALL.to_vec()), any::<u32>());
    (named, any::<[i64; 2]>(), stands).prop_map(move |(named, [created, next], (state, tries))| {
        let (id, event, kind, body) = named;
        let (created_at, next_at) = (Millis(created), Millis(next));
        OutboxEvent {
            id,
            event,
            out_trade_no: no.clone(),
            kind,
            body,
            created_at,
            state,
            tries,
            next_at,
        }
    })
}

/// JSON whose numbers no float holds: it is kept as it was written.
fn any_json() -> impl Strategy<Value = RawJson> {
    "\\{\"[a-z]{1,9}\": ?\\[1\\.[0-9]{30}, -0, 1e[0-9]{2}, \"[a-z热😀]{0,9}\"\\]\\}"
        .prop_map(|text| serde_json::from_value(serde_json::Value::String(text)).unwrap())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", any::<String>(), Just("a\0b\"\\\u{2028}".to_owned())]
}

fn any_text_option() -> impl Strategy<Value = Option<String>> {
    of(any_text())
}
