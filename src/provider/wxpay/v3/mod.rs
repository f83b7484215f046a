//! WeChat Pay V3: JSAPI, APP, H5 and Native orders, query, close, refunds and notifications, for
//! merchants and partners.
//!
//! Building a request and reading an answer are functions of bytes; `line` alone talks, through
//! the call's [`Transport`](crate::provider::Transport).

mod adopt;
mod answer;
mod order;
mod present;
mod refund;
mod sign;
mod trade;
mod client;
mod notification;
mod platform_certificates;

use std::collections::BTreeMap;
use std::fmt;

use http::HeaderMap;
use serde_json::Value;
use tokio::time::Instant;

use self::client::Line;
use self::order::Parties;
use self::sign::{Outgoing, Signed, Unverified};
use self::trade::CloseReply;
use super::decrypt::API_V3_KEY_BYTES;
use super::{Account, App, Merchant, Verification};
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt;
use crate::domain::order::attempt::{ApiVersion, Attempt, Material, Params};
use crate::domain::order::refund::RefundStatus;
use crate::domain::request::OrderTerms;
use crate::error::Text;
use crate::provider::{
    AdoptedAttempt, AttemptRequest, BoxFuture, Call, CloseOutcome, Failure, Notification,
    NotificationError, PaidTrade, Provider, RefundCall, SigningContext, TradeState, transport,
};

/// One merchant at WeChat Pay V3.
#[derive(Debug)]
pub struct V3 {
    apps: BTreeMap<PayType, App>,
    /// By `mchid`.
    lines: BTreeMap<String, Line>,
}

impl V3 {
    /// A merchant whose texts all fit where WeChat Pay wants them.
    ///
    /// Nothing is sent: platform certificates are downloaded before the first call.
    ///
    /// # Errors
    ///
    /// [`MerchantError`] names what does not fit.
    pub fn new(merchant: Merchant) -> Result<V3, MerchantError> {
        if merchant.apps.is_empty() {
            return Err(MerchantError::NoApp);
        }
        let mut lines: BTreeMap<String, Line> = BTreeMap::new();
        for (pay_type, app) in &merchant.apps {
            check(*pay_type, app)?;
            let account = &app.account;
            match lines.get(&account.mch_id) {
                Some(line) if !same(&line.account, account) => {
                    return Err(MerchantError::TwoAccounts);
                }
                Some(_) => {}
                None => {
                    lines.insert(account.mch_id.clone(), Line::new(account.clone()));
                }
            }
        }
        Ok(V3 { apps: merchant.apps, lines })
    }

    /// Who `attempt` pays, and the line to the account that signs for them: by the stored
    /// document, whatever the pay type's app is configured to by now.
    fn parties(&self, attempt: &Attempt) -> Result<(Parties, &Line), String> {
        let parties = parties_of(attempt)
            .ok_or("the stored parameters are not of the attempt's account at WeChat Pay V3")?;
        match self.lines.get(&parties.mch_id) {
            Some(line) => Ok((parties, line)),
            None => Err(format!("the merchant account {} is not configured", parties.mch_id)),
        }
    }

    /// Whether WeChat Pay signed a notification. While an account knows the serial number, no
    /// other asks for certificates because of it.
    async fn vouched(
        &self,
        notification: (&HeaderMap, &[u8]),
        call: Call<'_>,
    ) -> Result<(), Unverified> {
        let (serial, now) = (Signed::read(notification.0)?.serial, call.clock.now());
        let is_known = self.lines.values().any(|line| line.knows(serial, now));
        let mut why = Unverified::Serial;
        for line in self.lines.values().filter(|line| !is_known || line.knows(serial, now)) {
            match line.vouches(notification, call).await {
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

    fn app_id(&self, pay_type: PayType, terms: &OrderTerms) -> Option<String> {
        let app = self.apps.get(&pay_type)?;
        Some(terms.sub_appid.as_ref().unwrap_or(&app.app_id).clone())
    }

    fn version(&self) -> ApiVersion {
        VERSION
    }

    fn account(&self, pay_type: PayType, terms: &OrderTerms) -> Option<attempt::Account> {
        let app = self.apps.get(&pay_type)?;
        Some(attempt::Account {
            number: app.account.mch_id.clone(),
            partner: terms.sub_mchid.clone(),
            version: VERSION,
        })
    }

    fn account_of(&self, attempt: &Attempt) -> Option<attempt::Account> {
        let stored = || Parties::of(&attempt.params.document).map(|it| it.account());
        attempt.account.clone().or_else(stored)
    }

    fn holds(&self, account: &attempt::Account) -> bool {
        account.version == VERSION && self.lines.contains_key(&account.number)
    }

    fn plan(&self, plan: &AttemptRequest<'_>) -> Result<Params, Text> {
        let app = self.apps.get(&plan.pay_type).ok_or_else(|| {
            Text::new("未配置该支付方式", "this pay type is not configured for the merchant")
        })?;
        Ok(Params {
            document: order::document(plan, app)?,
            notify_url: plan.notify_url.to_owned(),
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
            let (parties, line) = self.parties(attempt).map_err(Failure::NotSent)?;
            let product = attempt.method.product;
            let Some(end) = order::path_end(product) else {
                return Err(Failure::NotSent("not a product of WeChat Pay".to_owned()));
            };
            let target = format!("{}/transactions/{end}", parties.prefix());
            let outgoing = Outgoing::post(target, attempt.params.document.clone());
            answer::opened(product, line.exchange(outgoing, call).await?)
        })
    }

    fn present(&self, attempt: &Attempt, stamp: SigningContext<'_>) -> Result<String, String> {
        let (parties, line) = self.parties(attempt)?;
        present::order_text(attempt.method.product, &parties, &line.account.signing, stamp)
            .ok_or_else(|| "the material is not of the attempt's product".to_owned())
    }

    fn query<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<TradeState, Failure>> {
        Box::pin(async move {
            let (parties, line) = self.parties(attempt).map_err(Failure::NotSent)?;
            ask(&parties, line, attempt, call).await
        })
    }

    fn close<'a>(
        &'a self,
        attempt: &'a Attempt,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<CloseOutcome, Failure>> {
        Box::pin(async move {
            let ends = Instant::now() + call.timeout;
            let (parties, line) = self.parties(attempt).map_err(Failure::NotSent)?;
            let outgoing = trade::close(&parties, attempt.channel_no.as_str());
            let refusal = match trade::closed(line.exchange(outgoing, call).await?)? {
                CloseReply::Ended(closing) => return Ok(closing),
                CloseReply::ClosedAlready(refusal) => refusal,
            };
            // An unsigned "closed already" ends no attempt: the signed answer to a query does.
            let timeout = ends.saturating_duration_since(Instant::now());
            match ask(&parties, line, attempt, Call { timeout, ..call }).await {
                Ok(TradeState::Closed) => Ok(CloseOutcome::Closed),
                Ok(TradeState::Paid(_)) => Ok(CloseOutcome::Paid),
                Ok(TradeState::NotFound { .. } | TradeState::Unpaid { .. }) | Err(_) => {
                    let reason = "said to be closed already, and not confirmed".to_owned();
                    let said = Some((refusal.code, refusal.message));
                    Err(Failure::OutcomeUnknown { reason, said })
                }
            }
        })
    }

    fn refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        plan: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<RefundStatus, Failure>> {
        Box::pin(async move {
            let ends = Instant::now() + call.timeout;
            let (parties, line) = self.parties(attempt).map_err(Failure::NotSent)?;
            let reply = line.exchange(refund::send(&parties, &plan), call).await?;
            let sent = refund::sent(&plan, &attempt.channel_no, reply);
            let Err(Failure::Refused { code, message }) = sent else { return sent };
            // An unsigned refusal ends no refund: the query has the last word.
            let timeout = ends.saturating_duration_since(Instant::now());
            match self.query_refund(attempt, plan, Call { timeout, ..call }).await {
                Ok(Some(refund)) => Ok(refund),
                Ok(None) => Err(Failure::Refused { code, message }),
                Err(_) => {
                    let reason = format!("said to be refused ({code}), and not confirmed");
                    Err(Failure::OutcomeUnknown { reason, said: Some((code, message)) })
                }
            }
        })
    }

    fn query_refund<'a>(
        &'a self,
        attempt: &'a Attempt,
        plan: RefundCall<'a>,
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Option<RefundStatus>, Failure>> {
        Box::pin(async move {
            let (parties, line) = self.parties(attempt).map_err(Failure::NotSent)?;
            let reply = line.exchange(refund::query(&parties, &plan), call).await?;
            refund::queried(&plan, &attempt.channel_no, reply)
        })
    }

    fn notified<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        call: Call<'a>,
    ) -> BoxFuture<'a, Result<Notification, NotificationError>> {
        Box::pin(async move {
            self.vouched((headers, body), call).await.map_err(NotificationError::forged)?;
            notification::read(body, self.lines.values().map(|line| &*line.account))
        })
    }

    fn is_of(&self, attempt: &Attempt, message: &Value) -> bool {
        let parties = parties_of(attempt);
        parties.is_some_and(|it| trade::is_of(&it, attempt.channel_no.as_str(), message))
    }

    fn adopt(
        &self,
        channel_no: &ChannelNo,
        trade: &PaidTrade,
        notify_url: &str,
    ) -> Option<AdoptedAttempt> {
        adopt::adopted(&self.apps, channel_no, trade, notify_url)
    }
}

/// The version that is spoken here.
const VERSION: ApiVersion = ApiVersion::WxpayV3;

/// Who `attempt` pays, by its stored document; `None` when that is another account than the
/// attempt's, or of another version.
fn parties_of(attempt: &Attempt) -> Option<Parties> {
    let parties = Parties::of(&attempt.params.document)?;
    let matches_order = attempt.account.as_ref().is_none_or(|it| *it == parties.account());
    matches_order.then_some(parties)
}

async fn ask(
    parties: &Parties,
    line: &Line,
    attempt: &Attempt,
    call: Call<'_>,
) -> Result<TradeState, Failure> {
    let no = attempt.channel_no.as_str();
    let reply = line.exchange(trade::query(parties, no), call).await?;
    trade::queried(parties, no, reply)
}

/// What does not fit in a merchant's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerchantError {
    /// No pay type has an app.
    NoApp,
    /// A pay type of another provider.
    NotWxpay(PayType),
    /// An `appid` that is none.
    AppId(PayType),
    /// A site's name is over 64 characters, or its URL over 128.
    Site,
    /// An `mchid` that is none.
    MchId,
    /// A certificate's serial number that is no hex number of at most 40 digits.
    SerialNo,
    /// The APIv3 key is not 32 bytes.
    ApiV3Key,
    /// WeChat Pay's public key id does not start with `PUB_KEY_ID_`.
    PublicKeyId,
    /// The base URL is neither https nor on loopback, or has a query.
    BaseUrl,
    /// Two accounts with one `mchid` and different keys.
    TwoAccounts,
}

impl fmt::Display for MerchantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MerchantError::NoApp => f.write_str("no pay type has an app id"),
            MerchantError::NotWxpay(it) => write!(f, "{it} is not a pay type of WeChat Pay"),
            MerchantError::AppId(it) => write!(f, "the app id of {it} is not an app id"),
            MerchantError::Site => {
                f.write_str("an H5 site's name has at most 64 characters, its URL at most 128")
            }
            MerchantError::MchId => f.write_str("the merchant id is not a merchant id"),
            MerchantError::SerialNo => {
                f.write_str("the certificate's serial number is not up to 40 hex digits")
            }
            MerchantError::ApiV3Key => f.write_str("the APIv3 key is not 32 bytes"),
            MerchantError::PublicKeyId => {
                f.write_str("the public key's id does not start with PUB_KEY_ID_")
            }
            MerchantError::BaseUrl => {
                f.write_str("the base URL is not https (http only on loopback), or has a query")
            }
            MerchantError::TwoAccounts => {
                f.write_str("one merchant id is configured with two different accounts")
            }
        }
    }
}

impl std::error::Error for MerchantError {}

/// Ids stand in a header between quotes, and in URLs: nothing needs escaping there.
fn check(pay_type: PayType, app: &App) -> Result<(), MerchantError> {
    let account = &app.account;
    let is_word = |text: &str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-')
    };
    let serial = &account.serial_no;
    let serial_fits =
        (1..=40).contains(&serial.len()) && serial.bytes().all(|it| it.is_ascii_hexdigit());
    let key_id_fits = match &account.verification {
        Verification::PublicKey { id, .. } => id.starts_with("PUB_KEY_ID_") && is_word(id),
        Verification::Certificates => true,
    };
    let site_fits = app
        .site
        .as_ref()
        .is_none_or(|site| site.name.chars().count() <= 64 && site.url.chars().count() <= 128);
    let rules = [
        (pay_type.provider() == ProviderId::Wxpay, MerchantError::NotWxpay(pay_type)),
        (is_word(&app.app_id), MerchantError::AppId(pay_type)),
        (site_fits, MerchantError::Site),
        (is_word(&account.mch_id), MerchantError::MchId),
        (serial_fits, MerchantError::SerialNo),
        (account.api_v3_key.expose().len() == API_V3_KEY_BYTES, MerchantError::ApiV3Key),
        (key_id_fits, MerchantError::PublicKeyId),
        (base_url_fits(account), MerchantError::BaseUrl),
    ];
    rules.into_iter().find(|rule| !rule.0).map_or(Ok(()), |rule| Err(rule.1))
}

fn base_url_fits(account: &Account) -> bool {
    let url = &account.base_url;
    let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    is_bare && url.as_str().parse().is_ok_and(|uri| transport::allows(&uri))
}

fn same(a: &Account, b: &Account) -> bool {
    a.serial_no == b.serial_no
        && a.signing.fingerprint() == b.signing.fingerprint()
        && a.base_url == b.base_url
        && a.api_v3_key == b.api_v3_key
        && match (&a.verification, &b.verification) {
            (Verification::Certificates, Verification::Certificates) => true,
            (
                Verification::PublicKey { id: a_id, key: a_key },
                Verification::PublicKey { id: b_id, key: b_key },
            ) => a_id == b_id && a_key.fingerprint() == b_key.fingerprint(),
            _ => false,
        }
}
