//! Alipay's gateway, as a [`Provider`].

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::request_signature::{BIZ_CONTENT, RequestParameters, SignedParameters};
use super::response::{self, GatewayResponse};
use super::{
    AlipayApp, AlipayMerchant, AlipayVerification, adopt, document, is_seller_id, notification,
    product, refund, trade,
};
use crate::domain::caller::CallerContext;
use crate::domain::channel::{ApiVersion, PayType, ProviderId};
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Account, Attempt, Material, Params};
use crate::domain::order::refund::RefundStatus;
use crate::domain::product::Product;
use crate::domain::request::OrderTerms;
use crate::domain::time::Millis;
use crate::error::Text;
use crate::provider::clock_skew::{self, Skew};
use crate::provider::merchant_error::{is_address, is_word};
use crate::provider::text::to_json;
use crate::provider::{
    AdoptedAttempt, AttemptRequest, BoxFuture, Call, CloseOutcome, Failure, MerchantError,
    Notification, NotificationError, PaidTrade, Provider, RefundCall, SigningContext, TradeState,
};

/// One merchant at Alipay.
#[derive(Clone, Debug)]
pub struct AlipayGateway {
    merchant: AlipayMerchant,
}

impl AlipayGateway {
    /// A provider that pays through `merchant`'s apps. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`MerchantError`] names the part that Alipay does not take.
    pub fn new(merchant: AlipayMerchant) -> Result<AlipayGateway, MerchantError> {
        if merchant.apps.is_empty() {
            return Err(MerchantError::NoApp);
        }
        for (pay_type, app) in &merchant.apps {
            check_app(*pay_type, app)?;
        }
        Ok(AlipayGateway { merchant })
    }

    /// The app that opened an attempt, whatever pay type it is configured for today.
    fn app(&self, attempt: &Attempt) -> Option<&AlipayApp> {
        let account = attempt.account.as_ref();
        let app_id = account.map_or(&attempt.method.app_id, |account| &account.id);
        let opened_with = |app: &&AlipayApp| app.app_id == *app_id;
        if account.is_some_and(|account| account.api_version != VERSION) {
            return None;
        }
        let configured = self.merchant.apps.get(&attempt.method.pay_type).filter(opened_with);
        configured.or_else(|| self.merchant.apps.values().find(opened_with))
    }

    /// Signs and sends one call, and verifies the reply.
    async fn call(
        &self,
        request: GatewayCall<'_>,
        call: Call<'_>,
    ) -> Result<GatewayResponse, Failure> {
        let attempt = request.attempt;
        let app = self.app(attempt).ok_or_else(|| Failure::NotSent(not_configured(attempt)))?;
        let signed = signed_parameters(app, &request, call.clock.now());
        let http_request = http::Request::post(address(app, &signed.query()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded;charset=utf-8")
            .body(Bytes::from(signed.form()))
            .map_err(|_| Failure::NotSent("the call makes no valid request".to_owned()))?;
        let response = call.transport.send(http_request, call.timeout).await?;
        if response.status() != StatusCode::OK {
            return Err(http_failure(&response, request.method));
        }
        let skew = Skew::read(response.headers(), call.clock.now());
        let reply = response::parse_reply(response.body(), request.method, &app.verification)?;
        let reply = reply.check_time(skew)?;
        match skew {
            Some(skew) if request.method == QUERY => {
                Err(Failure::unknown(format!("the answer is not believed: {skew}")))
            }
            _ => Ok(GatewayResponse { reply, date: clock_skew::date(response.headers()) }),
        }
    }
}

impl Provider for AlipayGateway {
    fn id(&self) -> ProviderId {
        ProviderId::Alipay
    }

    fn pay_types(&self) -> Vec<PayType> {
        self.merchant.apps.keys().copied().collect()
    }

    fn select(&self, caller: &CallerContext, qrcode: bool) -> Option<(PayType, Product)> {
        product::select(caller, qrcode, self.merchant.choice)
    }

    fn missing_openid(&self) -> Text {
        product::missing_openid()
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

    fn has_mock_keys(&self) -> Option<bool> {
        Some(self.merchant.apps.values().any(AlipayApp::has_mock_keys))
    }

    fn has_account(&self, account: &Account) -> bool {
        account.api_version == VERSION
            && self.merchant.apps.values().any(|app| app.app_id == account.id)
    }

    fn plan(&self, request: &AttemptRequest<'_>) -> Result<Params, Text> {
        let app = self.merchant.apps.get(&request.pay_type).ok_or_else(|| {
            Text::new(
                format!("商户没有配置 {}", request.pay_type),
                format!("{} is not configured for the merchant", request.pay_type),
            )
        })?;
        let is_page = matches!(request.product, Product::WapPay | Product::PagePay);
        Ok(Params {
            document: document::order_content(request, app)?,
            notify_url: request.notify_url.to_owned(),
            return_url: request.return_url.filter(|_| is_page).map(str::to_owned),
            app_auth_token: request.terms.app_auth_token.clone(),
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
                    let request =
                        GatewayCall { attempt, method, biz_content: &attempt.params.document };
                    trade::parse_open_reply(self.call(request, call).await?.reply, attempt)
                }
                // Nothing is sent: the buyer's client takes the signed parameters to Alipay.
                Some(_) => {
                    let app = self.app(attempt);
                    app.map(|_| Material::Signed)
                        .ok_or_else(|| Failure::NotSent(not_configured(attempt)))
                }
                None => Err(Failure::NotSent("alipay has no such product".to_owned())),
            }
        })
    }

    fn present(&self, attempt: &Attempt, context: SigningContext<'_>) -> Result<String, String> {
        match context.material {
            Material::Trade { trade_no } => Ok(to_json(trade_no)),
            Material::QrCode { code_url, msg } => Ok(to_json(&QrCodeParameters {
                code: "10000",
                msg: msg.as_deref().unwrap_or("Success"),
                out_trade_no: attempt.channel_no.as_str(),
                code_url,
            })),
            Material::Signed => {
                let app = self.app(attempt).ok_or_else(|| not_configured(attempt))?;
                let method = document::method(attempt.method.product)
                    .ok_or_else(|| "alipay has no such product".to_owned())?;
                let request =
                    GatewayCall { attempt, method, biz_content: &attempt.params.document };
                let query = signed_parameters(app, &request, context.now).full_query();
                Ok(match attempt.method.product {
                    Product::AppPay => to_json(&query),
                    _ => to_json(&PageParameters { pay_url: address(app, &query) }),
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
            let biz_content = &document::trade_content(&attempt.channel_no);
            let request = GatewayCall { attempt, method: QUERY, biz_content };
            trade::parse_query_reply(self.call(request, call).await?, attempt)
        })
    }

    fn close<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<CloseOutcome, Failure>> {
        Box::pin(async move {
            let biz_content = &document::trade_content(&attempt.channel_no);
            let request = GatewayCall { attempt, method: "alipay.trade.close", biz_content };
            trade::parse_close_reply(self.call(request, call).await?.reply, attempt)
        })
    }

    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>> {
        Box::pin(async move {
            let biz_content = &refund::refund_content(&refund_call);
            let request = GatewayCall { attempt, method: refund::REFUND, biz_content };
            let answer = self.call(request, call).await.map_err(refund::not_yet_executed)?;
            refund::parse_refund_reply(answer.reply, &refund_call)
        })
    }

    fn query_refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Option<RefundStatus>, Failure>> {
        Box::pin(async move {
            let biz_content = &refund::query_content(&refund_call);
            let request = GatewayCall { attempt, method: refund::QUERY, biz_content };
            let answer = self.call(request, call).await.map_err(refund::not_yet_executed)?;
            refund::parse_query_reply(answer.reply, &refund_call)
        })
    }

    fn read_notification<'a>(
        &'a self,
        _headers: &'a HeaderMap,
        body: &'a [u8],
        _call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>> {
        Box::pin(std::future::ready(notification::parse_notification(body, &self.merchant)))
    }

    fn matches_attempt(&self, attempt: &Attempt, message: &Value) -> bool {
        let named = |name: &str| message.get(name).and_then(Value::as_str);
        named("out_trade_no") == Some(attempt.channel_no.as_str())
            && self.account_of(attempt).is_some_and(|account| {
                account.api_version == VERSION && named("app_id") == Some(account.id.as_str())
            })
    }

    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt> {
        adopt::adopt_trade(&self.merchant, channel_no, trade, notify_url)
    }
}

fn check_app(pay_type: PayType, app: &AlipayApp) -> Result<(), MerchantError> {
    let rules = [
        (pay_type.provider() == ProviderId::Alipay, MerchantError::OtherProvider(pay_type)),
        (is_word(&app.app_id), MerchantError::AppId(pay_type)),
        (app.seller_id.as_deref().is_none_or(is_seller_id), MerchantError::SellerId),
        (is_address(&app.gateway_url), MerchantError::Address),
    ];
    rules.into_iter().find(|rule| !rule.0).map_or(Ok(()), |rule| Err(rule.1))
}

/// The version of Alipay's API that [`AlipayGateway`] uses.
const VERSION: ApiVersion = ApiVersion::Alipay;

/// The account of an app. An order with an `app_auth_token` pays another merchant through it.
fn account(app_id: &str) -> Account {
    Account { id: app_id.to_owned(), sub_mchid: None, api_version: VERSION }
}

/// Queries a trade. We use its replies only while both clocks agree: by a wrong clock, a trade that
/// the buyer has yet to make would look expired.
const QUERY: &str = "alipay.trade.query";

/// One call about an attempt.
struct GatewayCall<'a> {
    attempt: &'a Attempt,
    method: &'static str,
    biz_content: &'a str,
}

/// The call's parameters, signed at `now` (Alipay open platform, "common request parameters").
fn signed_parameters<'a>(
    app: &'a AlipayApp,
    request: &GatewayCall<'a>,
    now: Millis,
) -> SignedParameters<'a> {
    let mut parameters = RequestParameters::default();
    parameters.set("app_id", &app.app_id);
    parameters.set("method", request.method);
    parameters.set("charset", "utf-8");
    parameters.set("sign_type", "RSA2");
    parameters.set("version", "1.0");
    parameters.set("timestamp", now.to_alipay());
    parameters.set(BIZ_CONTENT, request.biz_content);
    let params = &request.attempt.params;
    if document::method(request.attempt.method.product) == Some(request.method) {
        parameters.set("notify_url", &params.notify_url);
        parameters.set("return_url", params.return_url.as_deref().unwrap_or_default());
    }
    if let Some(token) = &params.app_auth_token {
        parameters.set("app_auth_token", &token.0);
    }
    if let AlipayVerification::Certificates { app_cert_sn, root_cert_sn, .. } = &app.verification {
        parameters.set("app_cert_sn", app_cert_sn);
        parameters.set("alipay_root_cert_sn", root_cert_sn);
    }
    parameters.sign(&app.signing)
}

/// The failure for a response with another status than the 200 of every reply.
fn http_failure(response: &Response<Bytes>, method: &str) -> Failure {
    let status = response.status();
    let provider_error = response::parse_provider_error(response.body(), method);
    if status == StatusCode::TOO_MANY_REQUESTS {
        let (code, message) = provider_error.unwrap_or_else(|| ("429".to_owned(), String::new()));
        return Failure::Throttled { code, message };
    }
    Failure::OutcomeUnknown { reason: format!("the gateway answered {status}"), provider_error }
}

/// The gateway's address with `query`.
fn address(app: &AlipayApp, query: &str) -> String {
    let mut url = app.gateway_url.clone();
    url.set_fragment(None);
    let joint = if url.query().is_some() { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

fn not_configured(attempt: &Attempt) -> String {
    match &attempt.account {
        Some(account) => format!("the account of the attempt is not configured: {account}"),
        None => format!("alipay app {} is no longer configured", attempt.method.app_id),
    }
}

/// `alipay_h5`'s payment parameters: the reply's, in camel case.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QrCodeParameters<'a> {
    code: &'static str,
    msg: &'a str,
    out_trade_no: &'a str,
    code_url: &'a str,
}

/// The payment parameters of Alipay's pages.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageParameters {
    pay_url: String,
}
