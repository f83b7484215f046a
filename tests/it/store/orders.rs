//! Orders to store: plain ones, and any that can be.

use std::net::IpAddr;

use paygate::domain::channel::{PayType, Product, Way};
use paygate::domain::event::{DeliveryState, EventId, EventType, Outgoing};
use paygate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use paygate::domain::json::RawJson;
use paygate::domain::money::Fen;
use paygate::domain::order::attempt::{
    Account, ApiVersion, Attempt, AttemptState, Material, Params,
};
use paygate::domain::order::payment::{Payment, PaymentRole, Refund, RefundState};
use paygate::domain::order::{Flags, Order, OrderStatus, Origin};
use paygate::domain::request::{AppAuthToken, Facts};
use paygate::domain::time::Millis;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// An order number.
pub(crate) fn number(text: &str) -> OutTradeNo {
    OutTradeNo::parse(text).unwrap()
}

/// An order with one prepared attempt, claimed at `created` milliseconds.
pub(crate) fn order(no: &str, created: i64) -> Order {
    let facts = facts(number(no));
    Order {
        fingerprint: facts.fingerprint(),
        attempts: vec![attempt(1, ChannelNo::first(&facts.out_trade_no), created)],
        facts,
        deadline: None,
        status: OrderStatus::Open,
        flags: Flags::default(),
        payments: Vec::new(),
        origin: Origin::default(),
        created: Millis(created),
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
pub(crate) fn attempt(n: u32, channel_no: ChannelNo, opened: i64) -> Attempt {
    Attempt {
        n,
        way: Way {
            pay_type: PayType::WxpayH5,
            product: Product::Native,
            app_id: "wx0000000000000001".to_owned(),
            openid: None,
            address: None,
        },
        account: Some(Account {
            number: "1900000001".to_owned(),
            partner: None,
            version: ApiVersion::WxpayV3,
        }),
        channel_no,
        params: Params {
            document: "{}".to_owned(),
            notify_url: "https://shop.example.com/pay/notify/wxpay/wxpay_h5/default".to_owned(),
            return_url: None,
            app_auth_token: None,
        },
        expires: Millis(opened + 1_800_000),
        opened: Millis(opened),
        state: AttemptState::Prepared,
        asked: None,
        superseded: false,
        handed_out: false,
        close_intended: false,
    }
}

/// A payment by the first attempt, with one refund.
pub(crate) fn payment(transaction_id: &str, out_refund_no: &str) -> Payment {
    Payment {
        attempt: 1,
        transaction_id: TransactionId(transaction_id.into()),
        total_fee: Fen::new(1).unwrap(),
        paid_at: Millis(5),
        openid: None,
        known: Millis(5),
        role: PaymentRole::Winning,
        returns: false,
        refund_unknown: false,
        returned_in_all: None,
        unseen_since: None,
        refunds: vec![Refund::pending(out_refund_no.to_owned(), Fen::new(1).unwrap(), Millis(6))],
    }
}

/// A state in which the buyer can pay.
pub(crate) fn live() -> AttemptState {
    AttemptState::Live { material: Material::Signed, valid_until: Millis(1_770_000) }
}

fn facts(out_trade_no: OutTradeNo) -> Facts {
    Facts {
        out_trade_no,
        total_fee: Fen::new(1).unwrap(),
        subject: "热水壶".to_owned(),
        body: None,
        kind: "goods".to_owned(),
        pid: Pid::default(),
        user_id: None,
        custom: None,
        other: None,
        sub_appid: None,
        sub_mchid: None,
        app_auth_token: None,
        profit_sharing: None,
    }
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
    (parts, status, flags, any_origin(), times).prop_map(
        |((facts, attempts, payments), status, flags, origin, (deadline, created, version))| {
            let mut order = Order {
                fingerprint: facts.fingerprint(),
                facts,
                deadline: deadline.map(Millis),
                status,
                flags: Flags { duplicate_paid: flags[0], late_paid: flags[1], mismatch: flags[2] },
                attempts,
                payments,
                origin,
                created: Millis(created),
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
    let (pid, no) = (order.facts.pid.clone(), order.facts.out_trade_no.clone());
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

fn any_facts(prefix: &'static str) -> impl Strategy<Value = Facts> {
    let named = ("[0-9A-Za-z_-]{16,50}", 1..=10_000_000_000_u64, any_text(), "[a-z]{1,32}");
    let texts = (any_text_option(), any_text_option(), any_text_option(), any_text_option());
    let json = (of(any_json()), of(any_json()));
    let rest = (any_text_option(), of(any::<bool>()), "[0-9]{0,3}");
    (named, texts, json, rest).prop_map(
        move |((no, fee, subject, kind), (body, user_id, sub_appid, sub_mchid), json, rest)| {
            Facts {
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
    account.prop_map(|(number, partner, version)| Account { number, partner, version })
}

fn any_attempt() -> impl Strategy<Value = Attempt> {
    let address = of(any::<u128>().prop_map(|bits| IpAddr::from(bits.to_be_bytes())));
    let way = (select(PayType::ALL.to_vec()), any_text(), any_text_option(), address);
    let way = (way, of(any_account()));
    let params = (any_text(), any_text(), any_text_option(), any_text_option());
    let times = (any::<i64>(), any::<i64>(), of(any::<i64>()));
    (way, params, times, any_state(), any::<[bool; 2]>()).prop_map(
        |((way, account), params, (opened, expires, asked), state, [superseded, handed_out])| {
            Attempt {
                n: 1,
                way: Way {
                    pay_type: way.0,
                    product: Product::H5,
                    app_id: way.1,
                    openid: way.2,
                    address: way.3,
                },
                account,
                channel_no: ChannelNo::first(&number("replaced")),
                params: Params {
                    document: params.0,
                    notify_url: params.1,
                    return_url: params.2,
                    app_auth_token: params.3.map(AppAuthToken),
                },
                expires: Millis(expires),
                opened: Millis(opened),
                state,
                asked: asked.map(Millis),
                superseded,
                handed_out,
                close_intended: handed_out != superseded,
            }
        },
    )
}

fn any_state() -> impl Strategy<Value = AttemptState> {
    let live = (any_material(), any::<i64>())
        .prop_map(|(material, until)| AttemptState::Live { material, valid_until: Millis(until) });
    prop_oneof![
        Just(AttemptState::Prepared),
        Just(AttemptState::Unsent),
        Just(AttemptState::Absent),
        Just(AttemptState::Closed),
        Just(AttemptState::Paid),
        any_text().prop_map(|reason| AttemptState::Ambiguous { reason }),
        any_text().prop_map(|code| AttemptState::Taken { code }),
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
        known: Millis(named.3),
        role,
        returns: named.0 == 1,
        refund_unknown: named.0 == 2,
        returned_in_all: Fen::new(named.2 / 2).filter(|_| named.0 == 3),
        unseen_since: None,
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
            looked: (fee % 2 == 0).then_some(Millis(asked)),
            refunded_at: (fee % 3 == 0).then_some(Millis(asked)),
            automatic: fee % 5 == 0,
            notify_url: (fee % 7 == 0).then(|| "https://shop.example.com/pay".to_owned()),
            sent: u32::try_from(fee % 4).unwrap(),
            answered: u32::try_from(fee % 3).unwrap(),
            refused: (fee % 11 == 0).then_some(Millis(asked)),
            ..Refund::pending(String::new(), Fen::new(fee).unwrap(), Millis(asked))
        },
    )
}

fn any_origin() -> impl Strategy<Value = Origin> {
    let texts = (any_text_option(), any_text_option(), any_text_option(), any_text_option());
    (any_text(), texts).prop_map(|(platform, (client_ip, app_id, device_id, nickname))| Origin {
        platform,
        client_ip,
        app_id,
        device_id,
        nickname,
    })
}

/// Any event of the order `no`.
pub(crate) fn any_event(no: OutTradeNo) -> impl Strategy<Value = Outgoing> {
    let ids = "evt_[0-9a-f]{32}".prop_map(|text| EventId::parse(&text).unwrap());
    let named = (ids, select(EventType::ALL.to_vec()), any_text(), any_text());
    let stands = (select(DeliveryState::ALL.to_vec()), any::<u32>());
    (named, any::<[i64; 2]>(), stands).prop_map(move |(named, [created, next], (state, tries))| {
        let (id, event, kind, body) = named;
        let (created, next) = (Millis(created), Millis(next));
        Outgoing { id, event, out_trade_no: no.clone(), kind, body, created, state, tries, next }
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
