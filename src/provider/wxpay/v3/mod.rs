//! WeChat Pay V3: JSAPI, APP, H5 and Native orders, query, close, refunds and notifications, for
//! merchants and partners.
//!
//! Building a request and parsing a response are functions of bytes; the API client alone sends,
//! through the call's [`Transport`](crate::provider::Transport).

mod client;
mod request_signature;
mod response_signature;
mod refusal;
mod platform_certificates;
mod certificate_refresh;
mod order;
mod order_response;
mod client_parameters;
mod trade;
mod refund;
mod notification;
mod adopt;

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use self::client::ApiClient;
use self::order::Parties;
use self::request_signature::UnsignedRequest;
use self::response_signature::{ResponseSignature, VerificationError};
use self::trade::CloseResponse;
use super::decrypt::API_V3_KEY_BYTES;
use super::{WxpayApp, WxpayMerchant, WxpayVerification, product};
use crate::domain::caller::CallerContext;
use crate::domain::channel::{ApiVersion, PayType, ProviderId};
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Account, Attempt, Material, Params};
use crate::domain::order::refund::RefundStatus;
use crate::domain::product::Product;
use crate::domain::request::OrderTerms;
use crate::error::Text;
use crate::provider::merchant_error::{is_address, is_word};
use crate::provider::{
    AdoptedAttempt, AttemptRequest, BoxFuture, Call, CloseOutcome, Failure, MerchantError,
    Notification, NotificationError, PaidTrade, Provider, RefundCall, SigningContext, TradeState,
};

/// One merchant at WeChat Pay V3.
#[derive(Debug)]
pub struct V3 {
    apps: BTreeMap<PayType, WxpayApp>,
    /// By `mchid`.
    clients: BTreeMap<String, ApiClient>,
}

impl V3 {
    /// A provider for `merchant`, whose texts all have the form that WeChat Pay requires.
    ///
    /// Nothing is sent: platform certificates are downloaded before the first call. Where apps of
    /// one account have either, WeChat Pay's public key or platform certificates, the account has
    /// both.
    ///
    /// # Errors
    ///
    /// [`MerchantError`] names the part that WeChat Pay does not take.
    pub fn new(merchant: WxpayMerchant) -> Result<V3, MerchantError> {
        if merchant.apps.is_empty() {
            return Err(MerchantError::NoApp);
        }
        let mut clients: BTreeMap<String, ApiClient> = BTreeMap::new();
        for (pay_type, app) in &merchant.apps {
            check_app(*pay_type, app)?;
            let account = &app.account;
            let known = clients.get(&account.mch_id);
            if known.is_some_and(|known| !known.account.conflicts(account).is_empty()) {
                return Err(MerchantError::TwoAccounts);
            }
            let has_public_key =
                matches!(account.verification, WxpayVerification::PublicKey { .. });
            if known.is_none() || has_public_key {
                clients.insert(account.mch_id.clone(), ApiClient::new(account.clone()));
            }
        }
        Ok(V3 { apps: merchant.apps, clients })
    }

    /// The merchants and apps of `attempt`, and the client of the account that signs for them: by
    /// the stored document, whatever app the pay type is configured with today.
    fn parties(&self, attempt: &Attempt) -> Result<(Parties, &ApiClient), String> {
        let parties = parties_of(attempt)
            .ok_or("the stored parameters are not of the attempt's account at WeChat Pay V3")?;
        match self.clients.get(&parties.mch_id) {
            Some(client) => Ok((parties, client)),
            None => Err(format!("the merchant account {} is not configured", parties.mch_id)),
        }
    }

    /// Whether WeChat Pay signed a notification. While an account knows the serial number, no
    /// other downloads certificates because of it.
    async fn verify_notification(
        &self,
        notification: (&HeaderMap, &[u8]),
        call: Call<'_>,
    ) -> Result<(), VerificationError> {
        let (serial, now) = (ResponseSignature::parse(notification.0)?.serial, call.clock.now());
        let is_known = self.clients.values().any(|client| client.knows(serial, now));
        let mut why = VerificationError::Serial;
        for client in self.clients.values().filter(|client| !is_known || client.knows(serial, now))
        {
            match client.verify_notification(notification, call).await {
                Ok(()) => return Ok(()),
                Err(unverified) => why = unverified,
            }
        }
        Err(why)
    }
}

impl Provider for V3 {
    fn id(&self) -> ProviderId {
        ProviderId::Wxpay
    }

    fn pay_types(&self) -> Vec<PayType> {
        self.apps.keys().copied().collect()
    }

    fn select(&self, caller: &CallerContext, qrcode: bool) -> Option<(PayType, Product)> {
        product::select(caller, qrcode)
    }

    fn missing_openid(&self) -> Text {
        product::missing_openid()
    }

    fn app_id(&self, pay_type: PayType, terms: &OrderTerms) -> Option<String> {
        let app = self.apps.get(&pay_type)?;
        Some(terms.sub_appid.as_ref().unwrap_or(&app.app_id).clone())
    }

    fn version(&self) -> ApiVersion {
        VERSION
    }

    fn account(&self, pay_type: PayType, terms: &OrderTerms) -> Option<Account> {
        let app = self.apps.get(&pay_type)?;
        Some(Account {
            id: app.account.mch_id.clone(),
            sub_mchid: terms.sub_mchid.clone(),
            api_version: VERSION,
        })
    }

    fn account_of(&self, attempt: &Attempt) -> Option<Account> {
        let stored =
            || Parties::from_document(&attempt.params.document).map(|parties| parties.account());
        attempt.account.clone().or_else(stored)
    }

    fn has_mock_keys(&self) -> Option<bool> {
        Some(self.clients.values().any(|client| client.account.has_mock_keys()))
    }

    fn has_account(&self, account: &Account) -> bool {
        account.api_version == VERSION && self.clients.contains_key(&account.id)
    }

    fn plan(&self, request: &AttemptRequest<'_>) -> Result<Params, Text> {
        let app = self.apps.get(&request.pay_type).ok_or_else(|| {
            Text::new(
                format!("商户没有配置 {}", request.pay_type),
                format!("{} is not configured for the merchant", request.pay_type),
            )
        })?;
        Ok(Params {
            document: order::order_document(request, app)?,
            notify_url: request.notify_url.to_owned(),
            return_url: None,
            app_auth_token: None,
        })
    }

    fn open<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Material, Failure>> {
        Box::pin(async move {
            let (parties, client) = self.parties(attempt).map_err(Failure::NotSent)?;
            let product = attempt.method.product;
            let Some(end) = order::path_segment(product) else {
                return Err(Failure::NotSent("not a product of WeChat Pay".to_owned()));
            };
            let target = format!("{}/transactions/{end}", parties.prefix());
            let request = UnsignedRequest::post(target, attempt.params.document.clone());
            order_response::parse_order_response(product, client.exchange(request, call).await?)
        })
    }

    fn present(&self, attempt: &Attempt, context: SigningContext<'_>) -> Result<String, String> {
        let (parties, client) = self.parties(attempt)?;
        client_parameters::client_parameters(
            attempt.method.product,
            &parties,
            &client.account.signing,
            context,
        )
        .ok_or_else(|| "the material is not of the attempt's product".to_owned())
    }

    fn query<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<TradeState, Failure>> {
        Box::pin(async move {
            let (parties, client) = self.parties(attempt).map_err(Failure::NotSent)?;
            query_trade(&parties, client, attempt, call).await
        })
    }

    fn close<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<CloseOutcome, Failure>> {
        Box::pin(async move {
            let ends = Instant::now() + call.timeout;
            let (parties, client) = self.parties(attempt).map_err(Failure::NotSent)?;
            let request = trade::close_request(&parties, attempt.channel_no.as_str());
            let refusal = match trade::parse_close_response(client.exchange(request, call).await?)?
            {
                CloseResponse::Ended(closing) => return Ok(closing),
                CloseResponse::ClosedAlready(refusal) => refusal,
            };
            // An unsigned "closed already" ends no attempt: the signed response to a query does.
            let timeout = ends.saturating_duration_since(Instant::now());
            match query_trade(&parties, client, attempt, Call { timeout, ..call }).await {
                Ok(TradeState::Closed) => Ok(CloseOutcome::Closed),
                Ok(TradeState::Paid(_)) => Ok(CloseOutcome::Paid),
                Ok(TradeState::NotFound { .. } | TradeState::Unpaid { .. }) | Err(_) => {
                    let reason = "reported as closed already, and not confirmed".to_owned();
                    let provider_error = Some((refusal.code, refusal.message));
                    Err(Failure::OutcomeUnknown { reason, provider_error })
                }
            }
        })
    }

    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        refund_call: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>> {
        Box::pin(async move {
            let ends = Instant::now() + call.timeout;
            let (parties, client) = self.parties(attempt).map_err(Failure::NotSent)?;
            let response =
                client.exchange(refund::refund_request(&parties, &refund_call), call).await?;
            let sent = refund::parse_refund_response(&refund_call, &attempt.channel_no, response);
            let Err(Failure::Refused { code, message }) = sent else { return sent };
            // An unsigned refusal ends no refund: the query confirms it.
            let timeout = ends.saturating_duration_since(Instant::now());
            match self.query_refund(attempt, refund_call, Call { timeout, ..call }).await {
                Ok(Some(refund)) => Ok(refund),
                Ok(None) => Err(Failure::Refused { code, message }),
                Err(_) => {
                    let reason = format!("reported as refused ({code}), and not confirmed");
                    Err(Failure::OutcomeUnknown { reason, provider_error: Some((code, message)) })
                }
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
            let (parties, client) = self.parties(attempt).map_err(Failure::NotSent)?;
            let response =
                client.exchange(refund::query_request(&parties, &refund_call), call).await?;
            refund::parse_query_response(&refund_call, &attempt.channel_no, response)
        })
    }

    fn read_notification<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>> {
        Box::pin(async move {
            self.verify_notification((headers, body), call)
                .await
                .map_err(NotificationError::forged)?;
            notification::parse_notification(
                body,
                self.clients.values().map(|client| &*client.account),
            )
        })
    }

    fn matches_attempt(&self, attempt: &Attempt, message: &Value) -> bool {
        let parties = parties_of(attempt);
        parties
            .is_some_and(|parties| trade::is_about(&parties, attempt.channel_no.as_str(), message))
    }

    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt> {
        adopt::adopt_trade(&self.apps, channel_no, trade, notify_url)
    }
}

/// The version of WeChat Pay's API that [`V3`] uses.
const VERSION: ApiVersion = ApiVersion::WxpayV3;

/// The merchants and apps of `attempt` by its stored document; `None` when the document names
/// another account than the attempt's, or is of another version.
fn parties_of(attempt: &Attempt) -> Option<Parties> {
    let parties = Parties::from_document(&attempt.params.document)?;
    let is_same = attempt.account.as_ref().is_none_or(|account| *account == parties.account());
    is_same.then_some(parties)
}

async fn query_trade(
    parties: &Parties,
    client: &ApiClient,
    attempt: &Attempt,
    call: Call<'_>,
) -> Result<TradeState, Failure> {
    let channel_no = attempt.channel_no.as_str();
    let response = client.exchange(trade::query_request(parties, channel_no), call).await?;
    trade::parse_query_response(parties, channel_no, response)
}

/// Ids stand in a header between quotes, and in URLs: nothing needs escaping there.
fn check_app(pay_type: PayType, app: &WxpayApp) -> Result<(), MerchantError> {
    let account = &app.account;
    let serial = &account.serial_no;
    let serial_fits =
        (1..=40).contains(&serial.len()) && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    let key_id_fits = match &account.verification {
        WxpayVerification::PublicKey { id, .. } => id.starts_with("PUB_KEY_ID_") && is_word(id),
        WxpayVerification::Certificates => true,
    };
    let site_fits = app
        .site
        .as_ref()
        .is_none_or(|site| site.name.chars().count() <= 64 && site.url.chars().count() <= 128);
    let rules = [
        (pay_type.provider() == ProviderId::Wxpay, MerchantError::OtherProvider(pay_type)),
        (is_word(&app.app_id), MerchantError::AppId(pay_type)),
        (site_fits, MerchantError::Site),
        (is_word(&account.mch_id), MerchantError::MchId),
        (serial_fits, MerchantError::SerialNo),
        (account.api_v3_key.expose().len() == API_V3_KEY_BYTES, MerchantError::ApiV3Key),
        (key_id_fits, MerchantError::PublicKeyId),
        (base_url_fits(&account.base_url), MerchantError::Address),
    ];
    rules.into_iter().find(|rule| !rule.0).map_or(Ok(()), |rule| Err(rule.1))
}

/// Paths are appended to it.
fn base_url_fits(url: &Url) -> bool {
    url.query().is_none() && is_address(url)
}
