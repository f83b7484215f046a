//! The story of `createPayment`: judge what is known, open what is not, answer what is durable.

pub(super) mod claim;
pub(super) mod replay_cache;
pub(super) mod resolve;
pub(super) mod run;
pub(super) mod switch;

use std::sync::Arc;

use serde_json::value::RawValue;

use super::order_lock::{Follower, Join, OrderGuard, Phase};
use super::{Engine, Inner};
use crate::domain::caller::CallerContext;
use crate::domain::channel::{PayType, PaymentMethod, Product};
use crate::domain::money::Fen;
use crate::domain::order::Order;
use crate::domain::order::attempt::{Attempt, AttemptState, Material};
use crate::domain::request::CreateRequest;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::error::{Code, Error, Kind, Text, Violation};
use crate::provider::SigningContext;
use crate::secret::random_text;
use crate::store::StoreError;
use replay_cache::ReplayEntry;
use resolve::Incoming;
use run::{CreateRun, Step};

/// What a client needs to pay.
#[derive(Clone, Debug)]
pub struct Created {
    /// `orderInfo`, which is JSON already.
    pub order_info: Arc<RawValue>,
    /// What the QR code says, where `orderInfo` is one.
    pub code_url: Option<Arc<str>>,
    /// vk-uni-pay's pay type.
    pub pay_type: PayType,
    /// The provider's product.
    pub product: Product,
    /// What is to be paid, in fen.
    pub total_fee: Fen,
    /// Whether this is an earlier request's material.
    pub replayed: bool,
}

/// How often a request starts over when the work it followed turned out to be another's.
const ROUNDS_MAX: usize = 3;

impl Engine {
    /// Gives the caller what it needs to pay for the order: opened for the first request with its
    /// number, the same again for every repeat.
    ///
    /// # Errors
    ///
    /// [`Error::kind`] says why not; [`Error::money`] what that means for the money.
    ///
    /// # Cancel safety
    ///
    /// A dropped future stops nothing that was begun: the outcome is recorded, and the next
    /// request with this number gets it.
    pub async fn create(
        &self,
        request: CreateRequest,
        caller: CallerContext,
    ) -> Result<Created, Error> {
        let incoming = Arc::new(self.0.resolve(request, caller)?);
        if let Some(known) = self.0.recall(&incoming) {
            return known;
        }
        for _ in 0..ROUNDS_MAX {
            let out_trade_no = &incoming.request.terms.out_trade_no;
            let part = self.0.locks.enter(out_trade_no, &incoming.method, &incoming.fingerprint);
            match part {
                Join::OrderGuard(lead) => return self.0.lead(lead, incoming).await,
                Join::Full => return Err(busy()),
                Join::Follower(follow) => {
                    if let Some(answer) = self.0.follow(*follow, &incoming).await {
                        return answer;
                    }
                }
            }
        }
        Err(busy())
    }
}

impl Inner {
    /// The answer from memory, where there is one.
    fn recall(&self, incoming: &Incoming) -> Option<Result<Created, Error>> {
        let terms = &incoming.request.terms;
        let recent = self.replays.find(&terms.out_trade_no, self.clock.now())?;
        let differences = recent.fingerprint.differences(&incoming.fingerprint);
        if !differences.is_empty() {
            return Some(Err(different(&differences)));
        }
        (*recent.method == incoming.method).then(|| {
            let material = (recent.order_info, recent.code_url);
            Ok(Created { replayed: true, ..created(&incoming.method, terms.total_fee, material) })
        })
    }

    /// Does the work on the number in a task of its own, which a leaving client does not stop.
    async fn lead(
        self: &Arc<Self>,
        lead: OrderGuard,
        incoming: Arc<Incoming>,
    ) -> Result<Created, Error> {
        let phase = lead.watch();
        let engine = self.clone();
        self.tasks.spawn(async move {
            let result = engine.work(&lead, &incoming).await;
            lead.done(result);
        });
        outcome(phase).await
    }

    /// Watches another request's work on the number. `None` when that was about another order.
    async fn follow(
        &self,
        mut follow: Follower,
        incoming: &Incoming,
    ) -> Option<Result<Created, Error>> {
        let (same_order, same_way) = match &follow.asked {
            Some((method, fingerprint)) => {
                (*fingerprint == incoming.fingerprint, *method == incoming.method)
            }
            None => (false, false),
        };
        let limit = self.settings.call_budget;
        let claimed = follow.phase.wait_for(|phase| !matches!(phase, Phase::Claiming));
        match tokio::time::timeout(limit, claimed).await {
            Err(_) => return Some(Err(busy())),
            Ok(Err(_)) => return Some(Err(broke_off())),
            Ok(Ok(phase)) => {
                if let Phase::Claimed(owner) = &*phase {
                    let differences = owner.differences(&incoming.fingerprint);
                    if !differences.is_empty() {
                        return Some(Err(different(&differences)));
                    }
                    if same_order && !same_way {
                        return Some(Err(busy()));
                    }
                }
            }
        }
        if same_order && same_way {
            let done = tokio::time::timeout(limit, outcome(follow.phase)).await;
            return Some(done.unwrap_or_else(|_| Err(busy())));
        }
        // The leader's own request was another order's; whose number it is, the store knows.
        let ended = follow.phase.wait_for(|phase| matches!(phase, Phase::Done(_)));
        match tokio::time::timeout(limit, ended).await {
            Ok(_) => None,
            Err(_) => Some(Err(busy())),
        }
    }

    /// The work on one number, one request at a time.
    async fn work(&self, lead: &OrderGuard, incoming: &Incoming) -> Result<Created, Error> {
        let out_trade_no = &incoming.request.terms.out_trade_no;
        let story = CreateRun::new(self, incoming);
        let known =
            self.store.load(out_trade_no).await.map_err(|error| unreachable_store(&error))?;
        let known = match known {
            Some(known) => known,
            None => match self.claim(lead, incoming).await? {
                Ok(fresh) => {
                    return story.run(Step::First(fresh)).await;
                }
                Err(known) => known,
            },
        };
        lead.claimed(&known.fingerprint);
        story.run(Step::Reevaluate(known)).await
    }

    /// Signs `attempt`'s material for the client, and remembers the result.
    pub(super) fn present(
        &self,
        incoming: &Incoming,
        order: &Order,
        attempt: &Attempt,
    ) -> Result<Created, Error> {
        let AttemptState::Payable { material, valid_until } = &attempt.state else {
            return Err(Error::new(Kind::OutcomeUnknown));
        };
        let now = self.clock.now();
        let stamp = SigningContext { material, now, nonce: &random_text() };
        let text = incoming.provider.present(attempt, stamp).map_err(not_presentable)?;
        let order_info = RawValue::from_string(text).map_err(not_presentable)?;
        let order_info: Arc<RawValue> = order_info.into();
        let code_url: Option<Arc<str>> = match material {
            Material::QrCode { code_url, .. } => Some(code_url.as_str().into()),
            _ => None,
        };
        let recent = ReplayEntry {
            fingerprint: Box::new(order.fingerprint.clone()),
            method: Arc::new(attempt.method.clone()),
            order_info: order_info.clone(),
            code_url: code_url.clone(),
            fresh_until: fresh_until(material, *valid_until, now),
            since: now,
        };
        self.replays.remember(order.out_trade_no(), order.version, recent);
        Ok(created(&attempt.method, order.terms.total_fee, (order_info, code_url)))
    }
}

/// What is signed with a time is signed anew a minute later; the rest keeps.
fn fresh_until(material: &Material, valid_until: Millis, now: Millis) -> Millis {
    match material {
        Material::Prepay { .. } | Material::Signed => valid_until.min(now.plus(MINUTE_MS)),
        Material::QrCode { .. } | Material::H5 { .. } | Material::TradeState { .. } => valid_until,
    }
}

type Presented = (Arc<RawValue>, Option<Arc<str>>);

fn created(method: &PaymentMethod, total_fee: Fen, (order_info, code_url): Presented) -> Created {
    let (pay_type, product) = (method.pay_type, method.product);
    Created { order_info, code_url, pay_type, product, total_fee, replayed: false }
}

/// The order is known and untouched, but this configuration cannot sign for it (its pay type, or
/// its merchant account, was removed).
fn not_presentable(why: impl std::fmt::Display) -> Error {
    tracing::error!(%why, "an attempt cannot be presented");
    Error::new(Kind::NotSent)
}

/// Waits for the end of the work; work that broke off leaves its outcome unknown.
async fn outcome(mut phase: tokio::sync::watch::Receiver<Phase>) -> Result<Created, Error> {
    match phase.wait_for(|phase| matches!(phase, Phase::Done(_))).await {
        Ok(phase) => match &*phase {
            Phase::Done(result) => (**result).clone(),
            Phase::Claiming | Phase::Claimed(_) => Err(broke_off()),
        },
        Err(_) => Err(broke_off()),
    }
}

fn broke_off() -> Error {
    Error::new(Kind::OutcomeUnknown)
}

pub(super) fn busy() -> Error {
    Error::new(Kind::Busy)
}

/// 4102: names the fields, not their values.
pub(super) fn different(fields: &[&'static str]) -> Error {
    let violations = fields.iter().map(|field| Violation {
        code: Code::Different,
        path: format!("/data/{field}"),
        rule: "same",
        message: Text::new("与该订单号首次请求的值不同", "differs from the first request's"),
    });
    let list = fields.join(", ");
    Error::new(Kind::Different)
        .text(Text::new(
            format!("同一 out_trade_no 的参数与首次请求不一致：{list}"),
            format!("the same out_trade_no with other parameters: {list}"),
        ))
        .violations_of(violations.collect())
}

/// 5001: nothing was sent. Logged here, where it is handled.
pub(super) fn unreachable_store(error: &StoreError) -> Error {
    tracing::error!(%error, "the store failed before anything was sent");
    Error::new(Kind::NotSent)
}
