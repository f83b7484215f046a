//! Those who ask and those who pay.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paygate::domain::{Product, ProviderId};
use paygate::engine::{Created, Engine};
use paygate::error::{Error, Kind};
use paygate::mock::{PayWith, SimulatedPurchase};
use paygate::testing::caller::{CallerRules, ClientInfo, resolve};
use paygate::testing::guard::read_create;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::audit;
use super::flaw::Flaw;
use super::process::Process;
use super::rng::Rng;
use super::shared::Shared;
use crate::support::shop::order_info;

/// An order as a shop's clients know it, and what they were given for it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) no: String,
    pub(super) fee: u64,
    /// Tells the case's trades apart from others' in the providers' ledger.
    pub(super) subject: String,
    /// Whether another program of the merchant orders under its number.
    pub(super) is_contested: bool,
    ways: Vec<PaymentMethod>,
    deadline_ms: Option<i64>,
    wallet: Mutex<Vec<Item>>,
    /// What was given first, by the way to pay ([`Flaw::AnswersAreKeptForEver`]).
    kept: Mutex<Vec<(PaymentMethod, Created)>>,
}

/// One way to pay, as a client asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PaymentMethod {
    pub(super) provider: ProviderId,
    platform: &'static str,
    is_pc: bool,
    openid: Option<&'static str>,
    address: &'static str,
}

/// Something to pay with that a client was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) provider: ProviderId,
    pub(super) with: PayWith,
    /// The number of its trade.
    pub(super) no: String,
    pub(super) product: Product,
}

impl Case {
    pub(super) fn new((seed, n): (u64, u64), ways: &[PaymentMethod], rng: &Rng) -> Case {
        let ways = (0..rng.within(1..5)).map(|_| *rng.pick(ways)).collect();
        let deadline = rng.percent(20).then(|| rng.within(90..1_500));
        Case {
            no: format!("world{seed}-{n}"),
            fee: rng.within(1..10_000),
            subject: format!("tea {seed} {n}"),
            is_contested: rng.percent(20),
            ways,
            deadline_ms: deadline.map(|it| 1_763_900_000_000 + i64::try_from(it * 1000).unwrap()),
            wallet: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Everything that was given.
    pub(super) fn items(&self) -> Vec<Item> {
        self.wallet.lock().unwrap().clone()
    }

    pub(super) fn some_item(&self, rng: &Rng) -> Option<Item> {
        let items = self.items();
        (!items.is_empty()).then(|| rng.pick(&items).clone())
    }

    /// Whether it can be paid at any time.
    pub(super) fn is_undated(&self) -> bool {
        self.deadline_ms.is_none()
    }

    /// One of the ways in which its clients pay.
    pub(super) fn some_way(&self, rng: &Rng) -> PaymentMethod {
        *rng.pick(&self.ways)
    }

    fn give(&self, item: Item) {
        let mut wallet = self.wallet.lock().unwrap();
        if !wallet.contains(&item) {
            wallet.push(item);
        }
    }

    pub(super) fn body(&self, method: &PaymentMethod, fee: u64) -> Value {
        let mut body = json!({
            "provider": method.provider.name(),
            "isPC": method.is_pc,
            "context": {"PLATFORM": method.platform},
            "data": {
                "out_trade_no": self.no, "total_fee": fee, "subject": self.subject, "type": "goods"
            },
        });
        if let Some(openid) = method.openid {
            body["data"]["openid"] = json!(openid);
        }
        if let Some(deadline_ms) = self.deadline_ms {
            body["data"]["time_expire"] = json!(deadline_ms);
        }
        body
    }
}

const fn method(
    provider: ProviderId,
    platform: &'static str,
    openid: Option<&'static str>,
    address: &'static str,
) -> PaymentMethod {
    PaymentMethod { provider, platform, is_pc: false, openid, address }
}

const HOME: &str = "114.114.114.114";
const AWAY: &str = "8.8.8.8";

/// The ways that make a trade as soon as they are asked for, which can be closed.
pub(super) fn closable() -> Vec<PaymentMethod> {
    let is_closable =
        |it: &&PaymentMethod| it.provider == ProviderId::Wxpay || it.platform == "mp-alipay";
    WAYS.iter().filter(is_closable).copied().collect()
}

pub(super) const WAYS: [PaymentMethod; 12] = {
    use ProviderId::{Alipay, Wxpay};
    [
        PaymentMethod { is_pc: true, ..method(Wxpay, "h5", None, HOME) },
        method(Wxpay, "mp-weixin", Some("oBuyerA"), HOME),
        method(Wxpay, "mp-weixin", Some("oBuyerB"), AWAY),
        method(Wxpay, "app-plus", None, HOME),
        method(Wxpay, "h5", None, HOME),
        method(Wxpay, "h5", None, AWAY),
        PaymentMethod { is_pc: true, ..method(Alipay, "h5", None, HOME) },
        method(Alipay, "h5", None, AWAY),
        method(Alipay, "app-plus", None, HOME),
        method(Alipay, "app-plus", None, AWAY),
        method(Alipay, "mp-alipay", Some("2088000000000901"), HOME),
        method(Alipay, "mp-alipay", Some("buyer-b"), HOME),
    ]
};

/// A way at `provider`, and one at the other.
pub(super) fn ways_around(provider: ProviderId, rng: &Rng) -> (PaymentMethod, PaymentMethod) {
    let (at, elsewhere): (Vec<PaymentMethod>, Vec<PaymentMethod>) =
        WAYS.iter().partition(|it| it.provider == provider);
    (*rng.pick(&at), *rng.pick(&elsewhere))
}

/// What a request came to.
pub(super) enum Answer {
    Given(Created),
    Refused(Error),
    /// The process died, or nothing came for two minutes.
    Broken,
}

/// Asks for the case's order now and then, mostly in the same way.
pub(super) async fn run_client(shared: Arc<Shared>, at: usize, rng: Rng) {
    let case = &shared.cases[at];
    let favourite = *rng.pick(&case.ways);
    let is_hasty = rng.percent(40);
    for _ in 0..rng.within(1..9) {
        let pause = rng.pause();
        sleep(if is_hasty { pause.min(Duration::from_millis(300)) } else { pause }).await;
        let method = if rng.percent(60) { favourite } else { *rng.pick(&case.ways) };
        let fee = if rng.percent(4) { case.fee + 1 } else { case.fee };
        ask(&shared, case, &method, fee).await;
    }
    if rng.percent(30) {
        // What was given first may be stale by now.
        sleep(Duration::from_secs(rng.within(300..600))).await;
        ask(&shared, case, &favourite, case.fee).await;
    }
}

pub(super) async fn ask(shared: &Shared, case: &Case, method: &PaymentMethod, fee: u64) -> Answer {
    let before = shared.records.order(&case.no);
    let kept = case.kept.lock().unwrap().iter().find(|it| it.0 == *method).cloned();
    let answer = match kept.filter(|_| fee == case.fee) {
        Some((_, created)) => Answer::Given(Created { replayed: true, ..created }),
        None => answer_of(shared, &case.body(method, fee), method).await,
    };
    shared.count(|it| it.answers += 1);
    let outcome = match &answer {
        Answer::Given(it) if it.replayed => format!("again by {:?}", it.product),
        Answer::Given(it) => format!("given by {:?}", it.product),
        Answer::Refused(error) => format!("refused: {:?}", error.kind()),
        Answer::Broken => "broken".to_owned(),
    };
    let (provider, platform) = (method.provider, method.platform);
    shared.log(format!("{} {provider} {platform} {:?}: {outcome}", case.no, method.openid));
    match &answer {
        Answer::Given(created) => match item(shared, method.provider, created) {
            Some(item) => {
                shared.saw(audit::ended(case, before.as_ref(), (&item, created.replayed)));
                case.give(item);
                if shared.has(Flaw::AnswersAreKeptForEver) {
                    case.kept.lock().unwrap().push((*method, created.clone()));
                }
            }
            None => shared.saw(vec![format!("{}: nobody can pay with {created:?}", case.no)]),
        },
        Answer::Refused(_) | Answer::Broken => {}
    }
    shared.saw(audit::answer(shared, case, (fee, before.as_ref()), &answer));
    answer
}

/// What `engine` answers to a client that sends `body`.
pub(super) async fn create(
    engine: &Engine,
    body: &Value,
    method: &PaymentMethod,
) -> Result<Created, Error> {
    let request = read_create(body.to_string().as_bytes()).unwrap();
    let said = ClientInfo { claims: &request.claims, is_pc: request.is_pc };
    let peer: Option<IpAddr> = method.address.parse().ok();
    let caller = resolve(&http::HeaderMap::new(), peer, said, &CallerRules::default()).unwrap();
    engine.create(request, caller).await
}

async fn answer_of(shared: &Shared, body: &Value, method: &PaymentMethod) -> Answer {
    let process = shared.front();
    tokio::select! {
        biased;
        () = process.crash_switch.stopped() => Answer::Broken,
        answer = create(&process.engine, body, method) => match answer {
            Ok(created) => Answer::Given(created),
            Err(error) => Answer::Refused(error),
        },
        () = sleep(Duration::from_secs(120)) => {
            shared.saw(vec![format!("no answer in two minutes to {body}")]);
            Answer::Broken
        }
    }
}

/// What the buyer holds, and which trade it pays.
pub(super) fn item(shared: &Shared, provider: ProviderId, created: &Created) -> Option<Item> {
    let outcome = order_info(created);
    let text = |key: &str| outcome[key].as_str().map(str::to_owned);
    let with = match created.product {
        Product::Jsapi => {
            PayWith::PrepayId(text("package")?.strip_prefix("prepay_id=")?.to_owned())
        }
        Product::App => PayWith::PrepayId(text("prepayid")?),
        Product::H5 => PayWith::H5Url(text("h5Url")?),
        Product::Native | Product::Precreate => PayWith::CodeUrl(text("codeUrl")?),
        Product::Create => PayWith::TradeNo(outcome.as_str()?.to_owned()),
        Product::AppPay => PayWith::OrderString(outcome.as_str()?.to_owned()),
        Product::WapPay | Product::PagePay => PayWith::PayUrl(text("payUrl")?),
    };
    let orders = shared.providers.orders().into_iter();
    let mut orders = orders.filter(|it| it.provider == provider);
    let no = match &with {
        PayWith::OrderString(text) | PayWith::PayUrl(text) => {
            let query = text.split_once('?').map_or(text.as_str(), |(_, query)| query);
            let mut params = url::form_urlencoded::parse(query.as_bytes());
            let content = params.find(|(key, _)| key == "biz_content")?.1.into_owned();
            let content: Value = serde_json::from_str(&content).ok()?;
            content["out_trade_no"].as_str()?.to_owned()
        }
        PayWith::TradeNo(id) => {
            orders.find(|it| it.transaction_id.as_ref() == Some(id))?.out_trade_no
        }
        PayWith::PrepayId(code) | PayWith::CodeUrl(code) | PayWith::H5Url(code) => {
            orders.find(|it| it.payment_codes.iter().any(|it| it.code == *code))?.out_trade_no
        }
        PayWith::OutTradeNo(_) | PayWith::Order { .. } => return None,
    };
    Some(Item { provider, with, no, product: created.product })
}

/// Opens the cashier, enters a password, or pays, with whatever was given to somebody.
pub(super) async fn buyer(shared: Arc<Shared>, at: usize, rng: Rng) {
    for _ in 0..rng.within(1..6) {
        sleep(rng.pause()).await;
        let Some(item) = shared.cases[at].some_item(&rng) else { continue };
        let act = rng.below(10);
        if act < shared.eager {
            pay(&shared, &item);
            continue;
        }
        let purchase = purchase(&item);
        let acted = if act == 9 {
            shared.providers.enter_password(&purchase)
        } else {
            shared.providers.scan(&purchase)
        };
        let outcome = acted.map(|it| it.state).map_err(|it| it.code);
        shared.log(format!("a buyer looks at {} {}: {outcome:?}", item.provider, item.no));
    }
}

/// Pays everything that was given, sooner or later.
pub(super) async fn buyer_of_everything(shared: Arc<Shared>, at: usize, rng: Rng) {
    sleep(rng.pause() + rng.pause()).await;
    for item in shared.cases[at].items() {
        pay(&shared, &item);
        sleep(rng.pause()).await;
    }
}

/// A buyer pays; whether that went well.
pub(super) fn pay(shared: &Shared, item: &Item) -> bool {
    if shared.troubled() {
        shared.shadow();
    }
    let paid = shared.providers.pay(&purchase(item));
    let outcome = paid.as_ref().map(|it| it.state).map_err(|it| &it.code);
    let (provider, no) = (item.provider, &item.no);
    shared.log(format!("a buyer pays {provider} {no} by {:?}: {outcome:?}", item.product));
    if paid.is_ok() {
        shared.irregularities.paid(item.provider, &item.no, &shared.rng);
    }
    paid.is_ok()
}

fn purchase(item: &Item) -> SimulatedPurchase {
    SimulatedPurchase { provider: item.provider, with: item.with.clone(), payer: None }
}

/// What the process does by itself.
pub(super) async fn run_reconciler(shared: Arc<Shared>, rng: Rng) {
    let mut rounds = JoinSet::new();
    loop {
        sleep(shared.pace(rng.time(Duration::from_secs(40)))).await;
        if shared.has(Flaw::NobodyReconciles) {
            continue;
        }
        let Process { engine, crash_switch } = shared.front();
        // A round of a process that stalls goes on when it wakes up.
        rounds.spawn(async move { engine.reconcile().await });
        tokio::select! {
            biased;
            () = crash_switch.stopped() => {}
            _ = rounds.join_next() => {}
        }
    }
}

/// Tells the shop what there is to tell.
pub(super) async fn run_dispatcher(shared: Arc<Shared>, rng: Rng) {
    let mut rounds = JoinSet::new();
    loop {
        sleep(shared.pace(rng.time(Duration::from_secs(20)))).await;
        let Process { engine, crash_switch } = shared.front();
        rounds.spawn(async move { engine.dispatch().await });
        tokio::select! {
            biased;
            () = crash_switch.stopped() => {}
            _ = rounds.join_next() => {}
        }
    }
}

/// Asks until there is an answer, and once more: it must be the same.
pub(super) async fn repeat(shared: &Shared, case: &Case) -> Vec<String> {
    let method = case.ways[0];
    let fee = shared.records.order(&case.no).map_or(case.fee, |it| it.terms.total_fee.fen());
    let mut last = ask(shared, case, &method, fee).await;
    for _ in 0..4 {
        match &last {
            Answer::Refused(error) if is_passing(error.kind()) => {}
            Answer::Broken => {}
            Answer::Given(_) | Answer::Refused(_) => break,
        }
        sleep(Duration::from_secs(70)).await;
        last = ask(shared, case, &method, fee).await;
    }
    let again = ask(shared, case, &method, fee).await;
    audit::stable(case, &last, &again)
}

fn is_passing(kind: Kind) -> bool {
    matches!(kind, Kind::Busy | Kind::OutcomeUnknown | Kind::NotSent)
}
