//! The gateway: Alipay as the engine knows it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::response::{self, Answer};
use super::sign::{BIZ_CONTENT, Parameters, Signed};
use super::{App, Merchant, Verification, adopt, document, notification, outcome, refund};
use crate::domain::channel::{AlipayChoice, PayType, Product, ProviderId};
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Account, ApiVersion, Attempt, Material, Params};
use crate::domain::order::refund::RefundStatus;
use crate::domain::request::OrderTerms;
use crate::domain::time::Millis;
use crate::error::Text;
use crate::provider::clock_skew;
use crate::provider::clock_skew::Skew;
use crate::provider::{
    AdoptedAttempt, AttemptRequest, BoxFuture, Call, CloseOutcome, Failure, Notification,
    NotificationError, PaidTrade, Provider, RefundCall, SigningContext, TradeState,
};

/// One merchant at Alipay.
#[derive(Clone, Debug)]
pub struct Gateway {
    merchant: Merchant,
}

impl Gateway {
    /// Pays through `merchant`'s apps.
    #[must_use]
    pub fn new(merchant: Merchant) -> Gateway {
        Gateway { merchant }
    }

    /// The app an attempt was opened with, whatever pay type it serves by now.
    fn app(&self, attempt: &Attempt) -> Option<&App> {
        let account = attempt.account.as_ref();
        let app_id = account.map_or(&attempt.method.app_id, |it| &it.number);
        let opened_with = |app: &&App| app.app_id == *app_id;
        if account.is_some_and(|it| it.version != VERSION) {
            return None;
        }
        let configured = self.merchant.apps.get(&attempt.method.pay_type).filter(opened_with);
        configured.or_else(|| self.merchant.apps.values().find(opened_with))
    }

    /// Sends one call about `attempt` and reads the reply.
    async fn call(&self, ask: Ask<'_>, call: Call<'_>) -> Result<Answer, Failure> {
        let attempt = ask.attempt;
        let app = self.app(attempt).ok_or_else(|| Failure::NotSent(gone(attempt)))?;
        let signed = sign(app, &ask, call.clock.now());
        let request = http::Request::post(address(app, &signed.query()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded;charset=utf-8")
            .body(Bytes::from(signed.form()))
            .map_err(|_| Failure::NotSent("the call makes no valid request".to_owned()))?;
        let response = call.transport.send(request, call.timeout).await?;
        if response.status() != StatusCode::OK {
            return Err(no_reply(&response, ask.method));
        }
        let skew = Skew::read(response.headers(), call.clock.now());
        let reply = response::read(response.body(), ask.method, &app.verification)?;
        let reply = reply.in_time(skew)?;
        match skew {
            Some(skew) if ask.method == QUERY => {
                Err(response::unknown(&format!("the answer is not believed: {skew}")))
            }
            _ => Ok(Answer { reply, date: clock_skew::date(response.headers()) }),
        }
    }
}

impl Provider for Gateway {
    fn id(&self) -> ProviderId {
        ProviderId::Alipay
    }

    fn pay_types(&self) -> Vec<PayType> {
        self.merchant.apps.keys().copied().collect()
    }

    fn alipay_choice(&self) -> AlipayChoice {
        self.merchant.choice
    }

    fn app_id(&self, pay_type: PayType, _facts: &OrderTerms) -> Option<String> {
        self.merchant.apps.get(&pay_type).map(|app| app.app_id.clone())
    }

    fn version(&self) -> ApiVersion {
        VERSION
    }

    fn account(&self, pay_type: PayType, _facts: &OrderTerms) -> Option<Account> {
        self.merchant.apps.get(&pay_type).map(|app| account(&app.app_id))
    }

    fn account_of(&self, attempt: &Attempt) -> Option<Account> {
        let is_ours = attempt.method.provider() == ProviderId::Alipay;
        let stored = is_ours.then(|| account(&attempt.method.app_id));
        attempt.account.clone().or(stored)
    }

    fn holds(&self, account: &Account) -> bool {
        account.version == VERSION
            && self.merchant.apps.values().any(|app| app.app_id == account.number)
    }

    fn plan(&self, plan: &AttemptRequest<'_>) -> Result<Params, Text> {
        let app = self.merchant.apps.get(&plan.pay_type).ok_or_else(|| {
            Text::new(
                format!("未配置{}", plan.pay_type),
                format!("{} is not configured", plan.pay_type),
            )
        })?;
        let is_page = matches!(plan.product, Product::WapPay | Product::PagePay);
        Ok(Params {
            document: document::order(plan, app)?,
            notify_url: plan.notify_url.to_owned(),
            return_url: plan.return_url.filter(|_| is_page).map(str::to_owned),
            app_auth_token: plan.terms.app_auth_token.clone(),
        })
    }

    fn open<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Material, Failure>> {
        Box::pin(async move {
            let product = attempt.method.product;
            match document::method(product) {
                Some(method) if matches!(product, Product::Create | Product::Precreate) => {
                    let ask = Ask { attempt, method, biz_content: &attempt.params.document };
                    outcome::opened(self.call(ask, call).await?.reply, attempt)
                }
                // Nothing is sent: the buyer's client brings the signed parameters to Alipay.
                Some(_) => {
                    let app = self.app(attempt);
                    app.map(|_| Material::Signed).ok_or_else(|| Failure::NotSent(gone(attempt)))
                }
                None => Err(Failure::NotSent("alipay has no such product".to_owned())),
            }
        })
    }

    fn present(&self, attempt: &Attempt, stamp: SigningContext<'_>) -> Result<String, String> {
        match stamp.material {
            Material::Trade { trade_no } => Ok(json(trade_no)),
            Material::QrCode { code_url, msg } => Ok(json(&QrCode {
                code: "10000",
                msg: msg.as_deref().unwrap_or("Success"),
                out_trade_no: attempt.channel_no.as_str(),
                code_url,
            })),
            Material::Signed => {
                let app = self.app(attempt).ok_or_else(|| gone(attempt))?;
                let method = document::method(attempt.method.product)
                    .ok_or_else(|| "alipay has no such product".to_owned())?;
                let ask = Ask { attempt, method, biz_content: &attempt.params.document };
                let query = sign(app, &ask, stamp.now).whole();
                Ok(match attempt.method.product {
                    Product::AppPay => json(&query),
                    _ => json(&Page { pay_url: address(app, &query) }),
                })
            }
            Material::Prepay { .. } | Material::H5 { .. } => {
                Err("this is no material of alipay's".to_owned())
            }
        }
    }

    fn query<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<TradeState, Failure>> {
        Box::pin(async move {
            let biz_content = &document::trade(&attempt.channel_no);
            let ask = Ask { attempt, method: QUERY, biz_content };
            outcome::queried(self.call(ask, call).await?, attempt)
        })
    }

    fn close<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<CloseOutcome, Failure>> {
        Box::pin(async move {
            let biz_content = &document::trade(&attempt.channel_no);
            let ask = Ask { attempt, method: "alipay.trade.close", biz_content };
            outcome::closed(self.call(ask, call).await?.reply, attempt)
        })
    }

    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        plan: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>> {
        Box::pin(async move {
            let biz_content = &refund::document(&plan);
            let ask = Ask { attempt, method: refund::REFUND, biz_content };
            let answer = self.call(ask, call).await.map_err(refund::later)?;
            refund::sent(answer.reply, &plan)
        })
    }

    fn query_refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        plan: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Option<RefundStatus>, Failure>> {
        Box::pin(async move {
            let biz_content = &refund::question(&plan);
            let ask = Ask { attempt, method: refund::QUERY, biz_content };
            let answer = self.call(ask, call).await.map_err(refund::later)?;
            refund::queried(answer.reply, &plan)
        })
    }

    fn notified<'a>(
        &'a self,
        _headers: &'a HeaderMap,
        body: &'a [u8],
        _call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>> {
        Box::pin(std::future::ready(notification::read(body, &self.merchant)))
    }

    fn is_of(&self, attempt: &Attempt, message: &Value) -> bool {
        let named = |name: &str| message.get(name).and_then(Value::as_str);
        named("out_trade_no") == Some(attempt.channel_no.as_str())
            && self.account_of(attempt).is_some_and(|it| {
                it.version == VERSION && named("app_id") == Some(it.number.as_str())
            })
    }

    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt> {
        adopt::adopted(&self.merchant, channel_no, trade, notify_url)
    }
}

/// The version that is spoken here.
const VERSION: ApiVersion = ApiVersion::Alipay;

/// The account of an app. Whom an `app_auth_token` acts for is paid through the app's.
fn account(app_id: &str) -> Account {
    Account { number: app_id.to_owned(), partner: None, version: VERSION }
}

/// By a clock that is wrong, a trade that the buyer has yet to make would be taken for lapsed: the
/// answers to this one are believed only while both clocks agree.
const QUERY: &str = "alipay.trade.query";

/// One call: what is asked about which attempt.
struct Ask<'a> {
    attempt: &'a Attempt,
    method: &'static str,
    biz_content: &'a str,
}

/// The call's parameters, signed at `now` (Alipay open platform, "common request parameters").
fn sign<'a>(app: &'a App, ask: &Ask<'a>, now: Millis) -> Signed<'a> {
    let mut parameters = Parameters::default();
    parameters.set("app_id", &app.app_id);
    parameters.set("method", ask.method);
    parameters.set("charset", "utf-8");
    parameters.set("sign_type", "RSA2");
    parameters.set("version", "1.0");
    parameters.set("timestamp", now.to_alipay());
    parameters.set(BIZ_CONTENT, ask.biz_content);
    let params = &ask.attempt.params;
    if document::method(ask.attempt.method.product) == Some(ask.method) {
        parameters.set("notify_url", &params.notify_url);
        parameters.set("return_url", params.return_url.as_deref().unwrap_or_default());
    }
    if let Some(token) = &params.app_auth_token {
        parameters.set("app_auth_token", &token.0);
    }
    if let Verification::Certificates { app_cert_sn, root_cert_sn, .. } = &app.verification {
        parameters.set("app_cert_sn", app_cert_sn);
        parameters.set("alipay_root_cert_sn", root_cert_sn);
    }
    parameters.signed(&app.signing)
}

/// An answer with another status than the 200 that every reply has.
fn no_reply(response: &Response<Bytes>, method: &str) -> Failure {
    let status = response.status();
    let said = response::said_in(response.body(), method);
    if status == StatusCode::TOO_MANY_REQUESTS {
        let (code, message) = said.unwrap_or_else(|| ("429".to_owned(), String::new()));
        return Failure::Throttled { code, message };
    }
    Failure::OutcomeUnknown { reason: format!("the gateway answered {status}"), said }
}

/// The gateway's address with `query`.
fn address(app: &App, query: &str) -> String {
    let mut url = app.gateway_url.clone();
    url.set_fragment(None);
    let joint = if url.query().is_some() { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

fn gone(attempt: &Attempt) -> String {
    match &attempt.account {
        Some(account) => format!("the account of the attempt is not configured: {account}"),
        None => format!("alipay app {} is no longer configured", attempt.method.app_id),
    }
}

/// `alipay_h5`'s payment parameters: the reply's, in camel case.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QrCode<'a> {
    code: &'static str,
    msg: &'a str,
    out_trade_no: &'a str,
    code_url: &'a str,
}

/// The payment parameters of Alipay's pages.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    pay_url: String,
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts make JSON")
}
