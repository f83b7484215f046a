//! The way from a simulated process to the providers, and what goes wrong on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use paygate::domain::channel::ProviderId;
use paygate::mock::{Fault, FaultKind, Operation, Refuse};
use paygate::provider::{Transport, TransportFailure};
use paygate::store::BoxFuture;

use super::chance::Chance;
use super::power::Power;
use super::world::{Flaw, Shared};

/// The wire of one process.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    power: Power,
    chance: Chance,
    shared: Arc<Shared>,
}

impl Wire {
    pub(super) fn new(power: Power, shared: &Arc<Shared>) -> Wire {
        Wire { power, chance: shared.chance.fork(), shared: shared.clone() }
    }

    async fn carry(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportFailure> {
        tokio::time::sleep(self.chance.time(Duration::from_millis(40))).await;
        self.power.pass().await;
        let call = Purpose::of(&request);
        if self.shared.flaw == Flaw::ClosesAreIgnored
            && call.operation == Operation::Close
            && call.provider == ProviderId::Wxpay
        {
            return self.shared.decoy.send(request, timeout).await;
        }
        if self.shared.troubled() && self.chance.percent(self.shared.trouble) {
            if self.chance.percent(5) {
                return Err(TransportFailure::NotSent("no route".to_owned()));
            }
            if self.chance.percent(15) {
                self.shared.somebody_pays(&self.chance);
            } else {
                let kind = self.fault(&call);
                self.shared.tell(format!("{:?} {:?} {kind:?}", call.provider, call.operation));
                let fault = Fault { provider: None, operation: None, kind, times: 1 };
                self.shared.providers.add_fault(fault);
            }
        }
        if self.shared.flaw == Flaw::ClosesAreIgnored {
            self.shared.decoy.send(request.clone(), timeout).await?;
        }
        self.shared.step(&self.power, &self.chance);
        self.power.pass().await;
        let sent = self.shared.providers.send(request, timeout).await;
        self.shared.step(&self.power, &self.chance);
        self.shared.asked(&call);
        tokio::time::sleep(self.chance.time(Duration::from_millis(40))).await;
        sent
    }

    fn fault(&self, call: &Purpose) -> FaultKind {
        match self.chance.below(12) {
            0 => FaultKind::LoseRequest,
            1 | 2 => FaultKind::LoseReply,
            3 => FaultKind::Delay { ms: self.chance.below(10_000) },
            4 => FaultKind::Status500,
            5 => FaultKind::BadSignature,
            6 => FaultKind::Unsigned,
            7 => FaultKind::Malformed,
            8 => FaultKind::Reset,
            9 => FaultKind::Late { ms: u32::try_from(self.chance.below(120_000)).unwrap() },
            _ => FaultKind::Refuse(self.refusal(call)),
        }
    }

    /// A refusal that the provider may give for no reason that can be seen from here. It does not
    /// lie about what it knows.
    fn refusal(&self, call: &Purpose) -> Refuse {
        let codes: &[&str] = match (call.provider, call.operation) {
            (ProviderId::Wxpay, Operation::Create) => &[
                "SYSTEM_ERROR",
                "FREQUENCY_LIMITED",
                "PARAM_ERROR",
                "OUT_TRADE_NO_USED",
                "ORDER_CLOSED",
                "ORDER_PAID",
                "NO_AUTH",
            ],
            (ProviderId::Wxpay, _) => &["SYSTEM_ERROR", "FREQUENCY_LIMITED", "SIGN_ERROR"],
            (ProviderId::Alipay, Operation::Create) => &[
                "20000",
                "ACQ.SYSTEM_ERROR",
                "ACQ.INVALID_PARAMETER",
                "ACQ.CONTEXT_INCONSISTENT",
                "ACQ.TRADE_HAS_CLOSE",
                "ACQ.APPLY_PC_MERCHANT_CODE_ERROR",
            ],
            (ProviderId::Alipay, _) => &["20000", "ACQ.SYSTEM_ERROR", "40006"],
        };
        let code = (*self.chance.pick(codes)).to_owned();
        Refuse { code, message: "on demand".to_owned(), status: None }
    }
}

impl Transport for Wire {
    fn send<'a>(
        &'a self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Response<Bytes>, TransportFailure>> {
        Box::pin(async move {
            self.power.pass().await;
            let carried = tokio::time::timeout(timeout, self.carry(request, timeout)).await;
            self.power.pass().await;
            carried.unwrap_or_else(|_| Err(TransportFailure::Unknown("timed out".to_owned())))
        })
    }
}

/// What a call is for, and which number it is about.
#[derive(Clone, Debug)]
pub(super) struct Purpose {
    pub(super) provider: ProviderId,
    pub(super) operation: Operation,
    pub(super) no: String,
}

impl Purpose {
    fn of(request: &Request<Bytes>) -> Purpose {
        let path = request.uri().path();
        let Some(rest) = path.strip_prefix("/v3/pay/transactions/") else {
            return Purpose::of_alipay(request);
        };
        let provider = ProviderId::Wxpay;
        if let Some(rest) = rest.strip_prefix("out-trade-no/") {
            let no = rest.split('/').next().unwrap().to_owned();
            let is_query = request.method() == Method::GET;
            let operation = if is_query { Operation::Query } else { Operation::Close };
            return Purpose { provider, operation, no };
        }
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let no = body["out_trade_no"].as_str().unwrap().to_owned();
        Purpose { provider, operation: Operation::Create, no }
    }

    fn of_alipay(request: &Request<Bytes>) -> Purpose {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let params = url::form_urlencoded::parse(query);
        let mut params = params.chain(url::form_urlencoded::parse(request.body()));
        let mut value = |name: &str| params.find(|(key, _)| key == name).unwrap().1.into_owned();
        let content: serde_json::Value = serde_json::from_str(&value("biz_content")).unwrap();
        let no = content["out_trade_no"].as_str().unwrap().to_owned();
        let text = request.uri().query().unwrap_or_default();
        let body = String::from_utf8_lossy(request.body());
        let calls = |method: &str| text.contains(method) || body.contains(method);
        let operation = if calls("alipay.trade.query") {
            Operation::Query
        } else if calls("alipay.trade.close") {
            Operation::Close
        } else {
            Operation::Create
        };
        Purpose { provider: ProviderId::Alipay, operation, no }
    }
}
