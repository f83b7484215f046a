//! A provider of a simulated process, watched: what it answers is counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use paygate::CallerContext;
use paygate::domain::{
    Account, ApiVersion, Attempt, ChannelNo, Material, Order, OrderTerms, OutTradeNo, Params,
    PayType, Product, ProviderId, Refund, RefundState, RefundStatus,
};
use paygate::error::Text;
use paygate::provider::{
    AdoptedAttempt, AttemptRequest, BoxFuture, Call, CloseOutcome, Failure, Notification,
    NotificationError, PaidTrade, Provider, RefundCall, SigningContext, TradeState,
};
use serde_json::Value;

use super::coverage::Topic;
use super::flaw::Flaw;
use super::kinds::{self, What};
use super::rng::Rng;
use super::shared::Shared;

/// A provider, and the world that watches it.
#[derive(Debug)]
pub(super) struct Watched<P> {
    provider: P,
    shared: Arc<Shared>,
    rng: Rng,
    /// What was answered about each number ([`Flaw::QueriesAnswerFromMemory`]).
    remembered: Mutex<BTreeMap<String, TradeState>>,
}

impl<P: Provider> Watched<P> {
    pub(super) fn new(provider: P, shared: &Arc<Shared>) -> Watched<P> {
        let (rng, remembered) = (shared.rng.fork(), Mutex::default());
        Watched { provider, shared: shared.clone(), rng, remembered }
    }

    fn saw<T>(
        &self,
        what: What,
        answer: Result<T, Failure>,
        kind: impl Fn(&T) -> &'static str,
    ) -> Result<T, Failure> {
        let kind = answer.as_ref().map_or_else(kinds::failure, kind);
        self.shared
            .exercised(Topic::Answer, format!("{} {} {kind}", self.id().name(), what.name()));
        answer
    }
}

/// What is broken on purpose.
impl<P: Provider> Watched<P> {
    async fn spoiled_open(
        &self,
        attempt: &Attempt,
        call: Call<'_>,
        answer: Result<Material, Failure>,
    ) -> Result<Material, Failure> {
        if self.shared.has(Flaw::OrdersOpenUnderASecondNumber) {
            let no = attempt.channel_no.as_str();
            let second = ChannelNo::first(&OutTradeNo::parse(&format!("{no}-2")).unwrap());
            let document = attempt.params.document.replace(no, second.as_str());
            let params = Params { document, ..attempt.params.clone() };
            let other = Attempt { channel_no: second, params, ..attempt.clone() };
            return self.provider.open(&other, call).await;
        }
        answer
    }

    fn spoiled_state(&self, no: &str, state: TradeState) -> TradeState {
        if self.shared.has(Flaw::QueriesAnswerFromMemory) {
            let mut remembered = self.remembered.lock().unwrap();
            return remembered.entry(no.to_owned()).or_insert(state).clone();
        }
        match state {
            TradeState::Paid(trade) => TradeState::Paid(self.spoiled_payment(no, trade)),
            state => state,
        }
    }

    fn spoiled_payment(&self, no: &str, mut trade: PaidTrade) -> PaidTrade {
        let orders = self.shared.records.all();
        let is_its = |it: &&Order| it.attempts.iter().any(|it| it.channel_no.as_str() == no);
        if let Some(order) = orders.iter().find(is_its)
            && self.shared.has(Flaw::AnyAmountFits)
        {
            trade.total_fee = order.terms.total_fee;
        }
        trade.matches_order |= self.shared.has(Flaw::AnyCurrencyFits);
        trade
    }

    fn spoiled_notification(&self, notification: Notification) -> Notification {
        match notification {
            Notification::Payment { channel_no, trade } => {
                let trade = self.spoiled_payment(channel_no.as_str(), trade);
                Notification::Payment { channel_no, trade }
            }
            Notification::OtherCurrencyPayment { channel_no, trade, .. }
                if self.shared.has(Flaw::AnyCurrencyFits) =>
            {
                Notification::Payment { channel_no, trade }
            }
            Notification::Refund(mut refund)
                if self.shared.has(Flaw::RefundNotificationsCountTwice) =>
            {
                refund.out_refund_no = refund.out_refund_no.map(|it| format!("{it}-2"));
                Notification::Refund(refund)
            }
            notification => notification,
        }
    }

    async fn refund_everything(
        &self,
        attempt: &Attempt,
        refund_call: RefundCall<'_>,
        call: Call<'_>,
    ) -> Result<RefundStatus, Failure> {
        let refund_fee = refund_call.payment.total_fee;
        let refund = Refund { refund_fee, ..refund_call.refund.clone() };
        let all = RefundCall { refund: &refund, ..refund_call };
        let status = self.provider.refund(attempt, all, call).await?;
        Ok(RefundStatus { refund_fee: Some(refund_call.refund.refund_fee), ..status })
    }
}

/// The answer about a refund that is done.
fn done(refund: &Refund) -> RefundStatus {
    RefundStatus {
        refund_id: None,
        state: RefundState::Success,
        refund_fee: Some(refund.refund_fee),
        refunded_total: None,
        cash_refund_fee: None,
        refunded_at: None,
        message: Arc::new(Value::Null),
    }
}

impl<P: Provider> Provider for Watched<P> {
    fn id(&self) -> ProviderId {
        self.provider.id()
    }

    fn pay_types(&self) -> Vec<PayType> {
        self.provider.pay_types()
    }

    fn select(&self, caller: &CallerContext, qrcode: bool) -> Option<(PayType, Product)> {
        self.provider.select(caller, qrcode)
    }

    fn missing_openid(&self) -> Text {
        self.provider.missing_openid()
    }

    fn app_id(&self, pay_type: PayType, terms: &OrderTerms) -> Option<String> {
        self.provider.app_id(pay_type, terms)
    }

    fn version(&self) -> ApiVersion {
        self.provider.version()
    }

    fn account(&self, pay_type: PayType, terms: &OrderTerms) -> Option<Account> {
        self.provider.account(pay_type, terms)
    }

    fn account_of(&self, attempt: &Attempt) -> Option<Account> {
        self.provider.account_of(attempt)
    }

    fn has_account(&self, account: &Account) -> bool {
        self.provider.has_account(account)
    }

    fn plan(&self, request: &AttemptRequest<'_>) -> Result<Params, Text> {
        self.provider.plan(request)
    }

    fn open<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Material, Failure>> {
        Box::pin(async move {
            let answer = self.provider.open(attempt, call).await;
            let answer = self.saw(What::Create, answer, kinds::material);
            self.spoiled_open(attempt, call, answer).await
        })
    }

    fn present(&self, attempt: &Attempt, context: SigningContext<'_>) -> Result<String, String> {
        self.provider.present(attempt, context)
    }

    fn query<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<TradeState, Failure>> {
        Box::pin(async move {
            let answer = self.provider.query(attempt, call).await;
            let no = attempt.channel_no.as_str();
            let answer = answer.map(|it| self.shared.irregularities.queried(self.id(), no, it));
            let answer = self.saw(What::Query, answer, kinds::trade_state)?;
            Ok(self.spoiled_state(no, answer))
        })
    }

    fn close<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<CloseOutcome, Failure>> {
        Box::pin(async move {
            if self.shared.has(Flaw::AlipayClosesAreNotSent) && self.id() == ProviderId::Alipay {
                return Ok(CloseOutcome::Closed);
            }
            let answer = self.provider.close(attempt, call).await;
            self.saw(What::Close, answer, kinds::close_outcome)
        })
    }

    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>> {
        Box::pin(async move {
            if self.shared.has(Flaw::RefundsAreSentUnderASecondNumber) {
                let out_refund_no = format!("{}-2", refund_call.refund.out_refund_no);
                let refund = Refund { out_refund_no, ..refund_call.refund.clone() };
                let second = RefundCall { refund: &refund, ..refund_call };
                drop(self.provider.refund(attempt, second, call).await);
            }
            if self.shared.has(Flaw::RefundsReturnEverything) {
                return self.refund_everything(attempt, refund_call, call).await;
            }
            let answer = self.provider.refund(attempt, refund_call, call).await;
            let answer = self.saw(What::Refund, answer, kinds::refund_answer);
            match answer {
                Err(Failure::Refused { .. })
                    if self.shared.has(Flaw::RefusedRefundsCountAsDone) =>
                {
                    Ok(done(refund_call.refund))
                }
                answer => answer,
            }
        })
    }

    fn query_refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Option<RefundStatus>, Failure>> {
        Box::pin(async move {
            let answer = self.provider.query_refund(attempt, refund_call, call).await;
            let kind = |it: &Option<RefundStatus>| {
                it.as_ref().map_or(kinds::NO_REFUND, kinds::refund_answer)
            };
            self.saw(What::RefundQuery, answer, kind)
        })
    }

    fn read_notification<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>> {
        Box::pin(async move {
            let read = self.provider.read_notification(headers, body, call).await;
            let irregularities = &self.shared.irregularities;
            let read = read.map(|it| irregularities.notified(self.id(), it, &self.rng));
            let kind = read.as_ref().map_or_else(kinds::unread, kinds::notification);
            self.shared.exercised(Topic::Notification, format!("{} {kind}", self.id().name()));
            read.map(|it| self.spoiled_notification(it))
        })
    }

    fn matches_attempt(&self, attempt: &Attempt, message: &Value) -> bool {
        self.provider.matches_attempt(attempt, message)
    }

    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt> {
        self.provider.adopt(channel_no, trade, notify_url)
    }
}
