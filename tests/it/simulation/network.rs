//! The way from a simulated process to the providers, and what goes wrong on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use paygate::domain::{ProviderId, RefundState};
use paygate::mock::{FaultKind, Refuse, SimulatedFault};
use paygate::provider::{Transport, TransportFailure};
use paygate::store::BoxFuture;

use super::coverage::{Step, Topic};
use super::crash::CrashSwitch;
use super::flaw::Flaw;
use super::kinds;
use super::kinds::{Hits, What};
use super::outage;
use super::rng::Rng;
use super::shared::Shared;

/// The wire of one process.
#[derive(Clone, Debug)]
pub(super) struct Network {
    crash_switch: CrashSwitch,
    rng: Rng,
    shared: Arc<Shared>,
}

impl Network {
    pub(super) fn new(crash_switch: CrashSwitch, shared: &Arc<Shared>) -> Network {
        Network { crash_switch, rng: shared.rng.fork(), shared: shared.clone() }
    }

    async fn carry(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportFailure> {
        tokio::time::sleep(self.rng.time(Duration::from_millis(40))).await;
        self.crash_switch.pass().await;
        let call = Purpose::of(&request);
        if self.shared.has(Flaw::WxpayClosesAreSwallowed)
            && call.what == What::Close
            && call.provider == ProviderId::Wxpay
        {
            return self.shared.decoy.send(request, timeout).await;
        }
        match outage::meets(&self.shared, call.provider, &self.rng) {
            Some(None) => return Err(self.no_route(&call)),
            Some(Some(kind)) => self.spoil(&call, kind),
            None => {}
        }
        let (provider, what) = (kinds::provider(&call.provider).1, call.what);
        // Nobody can pay what nobody holds.
        let mut faults = self.faults(&call);
        let possible = |fault: &str| {
            fault == kinds::NO_ROUTE || faults.iter().any(|it| kinds::fault(it).0 == fault)
        };
        if let Some(fault) = self.shared.curse_of(provider, what, possible) {
            faults.retain(|it| kinds::fault(it).0 == fault);
            if faults.is_empty() {
                return Err(self.no_route(&call));
            }
            self.spoil(&call, self.rng.pick(&faults).clone());
            if fault == "refund_ends" && self.rng.percent(50) {
                // At once: the provider answers the request with it.
                self.spoil(&call, FaultKind::RefundSlow { ms: 0 });
            }
        } else if self.shared.troubled() && self.rng.percent(self.shared.trouble) {
            if self.rng.percent(5) {
                return Err(self.no_route(&call));
            }
            if self.rng.percent(15) {
                self.shared.somebody_pays(&self.rng);
            } else {
                self.spoil(&call, self.fault(&call));
            }
        }
        if self.shared.has(Flaw::WxpayClosesAreSwallowed) {
            self.shared.decoy.send(request.clone(), timeout).await?;
        }
        let step = Step::Call(provider, what);
        self.shared.reaches(&step.before(), &self.crash_switch, &self.rng);
        self.crash_switch.pass().await;
        // The provider acts at once, however late its answer is.
        let (sent, ()) = tokio::join!(
            biased;
            self.shared.providers.send(request, timeout),
            async { self.shared.asked(&call) },
        );
        if let (Ok(response), What::Create, ProviderId::Alipay) = (&sent, call.what, call.provider)
        {
            self.shared.answered(&call, response.body());
        }
        self.shared.reaches(&step.after(), &self.crash_switch, &self.rng);
        tokio::time::sleep(self.rng.time(Duration::from_millis(40))).await;
        sent
    }

    /// The call meets a fault at its provider.
    fn spoil(&self, call: &Purpose, kind: FaultKind) {
        let (provider, what) = (call.provider, call.what.name());
        self.shared.log(format!("{provider} {what} {kind:?}"));
        self.shared.exercised(Topic::Fault, format!("{provider} {what} {}", kinds::fault(&kind).0));
        let fault = SimulatedFault { provider: None, operation: None, kind, times: 1 };
        self.shared.providers.add_fault(fault);
    }

    fn no_route(&self, call: &Purpose) -> TransportFailure {
        let (provider, what) = (call.provider, call.what.name());
        self.shared.exercised(Topic::Fault, format!("{provider} {what} {}", kinds::NO_ROUTE));
        TransportFailure::NotSent("no route".to_owned())
    }

    fn fault(&self, call: &Purpose) -> FaultKind {
        let mut faults = self.faults(call);
        if call.what == What::Create && self.rng.percent(50) {
            // What is ordered again may be paid at this very moment.
            let is_payment = |it: &FaultKind| kinds::fault(it).1 == Hits::Trades;
            faults.sort_by_key(|it| !is_payment(it));
            faults.truncate(if faults.iter().any(is_payment) { 2 } else { usize::MAX });
        }
        let is_of_refunds = |it: &&FaultKind| matches!(kinds::fault(it).1, Hits::Refunds(_));
        let of_refunds: Vec<&FaultKind> = faults.iter().filter(is_of_refunds).collect();
        if !of_refunds.is_empty() && self.rng.percent(40) {
            return (*self.rng.pick(&of_refunds)).clone();
        }
        self.rng.pick(&faults).clone()
    }

    /// What can go wrong with a call at its provider; the commonest twice.
    fn faults(&self, call: &Purpose) -> Vec<FaultKind> {
        let late_ms = |most_ms| u32::try_from(self.rng.below(most_ms)).unwrap();
        let refuse = || FaultKind::Refuse(self.refusal(call));
        let mut faults = vec![
            FaultKind::LoseRequest,
            FaultKind::LoseReply,
            FaultKind::LoseReply,
            FaultKind::Delay { ms: self.rng.below(10_000) },
            FaultKind::Status500,
            FaultKind::BadSignature,
            FaultKind::Unsigned,
            FaultKind::Malformed,
            FaultKind::Reset,
            FaultKind::Late { ms: late_ms(120_000) },
            refuse(),
            refuse(),
        ];
        if self.is_in_hands(call) {
            let ms = self.rng.below(10_000);
            faults.extend([FaultKind::PayFirst, FaultKind::PayBeforeReply { ms }]);
        }
        if matches!(call.what, What::Refund | What::RefundQuery) {
            faults.push(FaultKind::TooSoon);
        }
        if call.what == What::Close {
            faults.extend([refuse(), refuse()]);
        }
        if call.what == What::Refund {
            faults.push(FaultKind::NotEnough);
            faults.push(FaultKind::RefundSlow { ms: late_ms(900_000) });
            faults.push(FaultKind::RefundEnds { state: RefundState::Abnormal });
            faults.push(FaultKind::RefundEnds { state: RefundState::Closed });
        }
        faults
    }

    /// Whether some buyer holds what pays the trade.
    fn is_in_hands(&self, call: &Purpose) -> bool {
        let mut items = self.shared.cases.iter().flat_map(|it| it.items());
        items.any(|it| it.provider == call.provider && call.no.as_ref() == Some(&it.no))
    }

    /// A refusal that the provider may give for no reason that can be seen from here. It does not
    /// lie about what it knows.
    fn refusal(&self, call: &Purpose) -> Refuse {
        let codes: &[&str] = match (call.provider, call.what) {
            (ProviderId::Wxpay, What::Create) => &[
                "SYSTEM_ERROR",
                "FREQUENCY_LIMITED",
                "PARAM_ERROR",
                "OUT_TRADE_NO_USED",
                "ORDER_CLOSED",
                "ORDER_PAID",
                "NO_AUTH",
            ],
            (ProviderId::Wxpay, What::Close) => {
                &["SYSTEM_ERROR", "FREQUENCY_LIMITED", "SIGN_ERROR", "USER_PAYING"]
            }
            (ProviderId::Wxpay, What::Refund) => {
                &["SYSTEM_ERROR", "FREQUENCY_LIMITED", "SIGN_ERROR", "USER_ACCOUNT_ABNORMAL"]
            }
            (ProviderId::Wxpay, _) => &["SYSTEM_ERROR", "FREQUENCY_LIMITED", "SIGN_ERROR"],
            (ProviderId::Alipay, What::Create) => &[
                "20000",
                "ACQ.SYSTEM_ERROR",
                "ACQ.INVALID_PARAMETER",
                "ACQ.CONTEXT_INCONSISTENT",
                "ACQ.TRADE_HAS_CLOSE",
                "ACQ.APPLY_PC_MERCHANT_CODE_ERROR",
                "40005",
            ],
            (ProviderId::Alipay, What::Query) => &["20000", "ACQ.SYSTEM_ERROR", "40006", "40005"],
            (ProviderId::Alipay, What::Close) => {
                &["20000", "40006", "40005", "40005", "ACQ.INVALID_PARAMETER"]
            }
            (ProviderId::Alipay, _) => {
                &["20000", "ACQ.SYSTEM_ERROR", "40006", "40005", "ACQ.INVALID_PARAMETER"]
            }
        };
        let code = (*self.rng.pick(codes)).to_owned();
        Refuse { code, message: "on demand".to_owned(), status: None }
    }
}

impl Transport for Network {
    fn send<'a>(
        &'a self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Response<Bytes>, TransportFailure>> {
        Box::pin(async move {
            self.crash_switch.pass().await;
            let carried = tokio::time::timeout(timeout, self.carry(request, timeout)).await;
            self.crash_switch.pass().await;
            carried
                .unwrap_or_else(|_| Err(TransportFailure::OutcomeUnknown("timed out".to_owned())))
        })
    }
}

/// What a call is for, and which number it is about.
#[derive(Clone, Debug)]
pub(super) struct Purpose {
    pub(super) provider: ProviderId,
    pub(super) what: What,
    /// The trade's; a refund is about a payment.
    pub(super) no: Option<String>,
}

impl Purpose {
    fn of(request: &Request<Bytes>) -> Purpose {
        let path = request.uri().path();
        if path.starts_with("/v3/") {
            Purpose::of_wxpay(request)
        } else {
            Purpose::of_alipay(request)
        }
    }

    fn of_wxpay(request: &Request<Bytes>) -> Purpose {
        let provider = ProviderId::Wxpay;
        let path = request.uri().path();
        let is_get = request.method() == Method::GET;
        if path.starts_with("/v3/refund/") {
            let what = if is_get { What::RefundQuery } else { What::Refund };
            return Purpose { provider, what, no: None };
        }
        if let Some((_, rest)) = path.split_once("/out-trade-no/") {
            let no = rest.split('/').next().map(str::to_owned);
            return Purpose { provider, what: if is_get { What::Query } else { What::Close }, no };
        }
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let no = body["out_trade_no"].as_str().map(str::to_owned);
        Purpose { provider, what: What::Create, no }
    }

    fn of_alipay(request: &Request<Bytes>) -> Purpose {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let params = url::form_urlencoded::parse(query);
        let mut params = params.chain(url::form_urlencoded::parse(request.body()));
        let mut value = |name: &str| params.find(|(key, _)| key == name).unwrap().1.into_owned();
        let content: serde_json::Value = serde_json::from_str(&value("biz_content")).unwrap();
        let no = content["out_trade_no"].as_str().map(str::to_owned);
        let text = request.uri().query().unwrap_or_default();
        let body = String::from_utf8_lossy(request.body());
        let methods = [
            ("alipay.trade.fastpay.refund.query", What::RefundQuery),
            ("alipay.trade.refund", What::Refund),
            ("alipay.trade.query", What::Query),
            ("alipay.trade.close", What::Close),
        ];
        let called = methods.into_iter().find(|it| text.contains(it.0) || body.contains(it.0));
        let what = called.map_or(What::Create, |it| it.1);
        Purpose { provider: ProviderId::Alipay, what, no }
    }
}
