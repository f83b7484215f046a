//! One provider-side trade of an order.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::channel::{ApiVersion, NumberScope, ProviderId};
use crate::domain::ids::ChannelNo;
use crate::domain::product::{PaymentMethod, Product};
use crate::domain::request::AppAuthToken;
use crate::domain::time::{MINUTE_MS, Millis, SECOND_MS};

/// One provider-side trade, with its own number and its own expiry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the order's first attempt.
    #[serde(rename = "attempt_no")]
    pub n: u32,
    /// How the buyer pays.
    pub method: PaymentMethod,
    /// The account that the buyer pays. `None` in records of versions that did not store it: the
    /// stored parameters then contain it.
    #[serde(default)]
    pub account: Option<Account>,
    /// The order number that the provider has for it.
    pub channel_no: ChannelNo,
    /// The parameters that paygate sends to the provider, and sends again unchanged.
    pub params: Params,
    /// When it expires, as paygate set it at the provider.
    pub expires_at: Millis,
    /// When paygate made it durable.
    pub opened_at: Millis,
    /// Its state.
    pub state: AttemptState,
    /// When paygate last queried the provider about it.
    pub last_queried_at: Option<Millis>,
    /// Replaced by another attempt of the order before its provider ended it.
    pub superseded: bool,
    /// Whether paygate stored material for it, so that a buyer may hold it, or its provider had its
    /// number before: never unset.
    pub handed_out: bool,
    /// Whether paygate may have sent a close of its trade: paygate hands out none of its material
    /// any more.
    #[serde(default)]
    pub close_intended: bool,
}

impl Attempt {
    /// The merchant's number at WeChat Pay, if its record has the account that it pays. An account
    /// at Alipay is an app.
    #[must_use]
    pub fn mch_id(&self) -> Option<&str> {
        let account = self.account.as_ref().filter(|_| self.method.provider() == ProviderId::Wxpay);
        account.map(|account| account.id.as_str())
    }

    /// Whether `other` is the same trade at the same provider: the buyer pays one or the other.
    #[must_use]
    pub fn shares_trade(&self, other: &Attempt) -> bool {
        let is_apart = |(ours, theirs): (&Account, &Account)| !ours.shares_numbers(theirs);
        self.method.provider() == other.method.provider()
            && self.channel_no == other.channel_no
            && !self.account.as_ref().zip(other.account.as_ref()).is_some_and(is_apart)
    }

    /// When the last minute before its expiry begins.
    #[must_use]
    pub fn last_minute_from(&self) -> Millis {
        self.expires_at.plus(MINUTE_MS.saturating_neg())
    }

    /// Whether more than a minute is left before it expires.
    #[must_use]
    pub fn has_time(&self, now: Millis) -> bool {
        now < self.last_minute_from()
    }

    /// When its provider has stopped taking money for it, by either clock.
    #[must_use]
    pub fn lapses(&self) -> Millis {
        self.expires_at.plus(MINUTE_MS).plus(SECOND_MS)
    }

    /// Whether its provider may still take money for it, by either clock.
    pub(crate) fn is_before_lapse(&self, now: Millis) -> bool {
        now < self.lapses()
    }

    /// Whether nobody queried or sent it since it was `before`.
    pub(crate) fn is_unchanged_since(&self, before: &Attempt) -> bool {
        self.state == before.state && self.last_queried_at == before.last_queried_at
    }

    /// Whether its provider, which has no such trade at `at` by paygate's clock, takes no money for
    /// it any more: by paygate's clock and by its own, the `Date` of its answer. An answer without
    /// one may come from a clock that is up to 5 min behind.
    #[must_use]
    pub fn has_lapsed(&self, at: Millis, date: Option<Millis>) -> bool {
        let theirs = date.unwrap_or(at.plus(CLOCKS_APART_MS_MAX.saturating_neg()));
        at.min(theirs) >= self.lapses()
    }

    /// When paygate queries it next, unless its expiry says otherwise: the older it is, the later.
    pub(in crate::domain) fn next_query(&self) -> Millis {
        let since = self.last_queried_at.unwrap_or(self.opened_at);
        let age_ms = since.since(self.opened_at);
        since.plus(age_ms.wrapping_div(8).clamp(QUERY_MIN_MS, QUERY_MAX_MS))
    }
}

/// The shortest and the longest time between two queries of an attempt that a buyer may pay, in
/// milliseconds.
const QUERY_MIN_MS: i64 = 5 * SECOND_MS;
const QUERY_MAX_MS: i64 = MINUTE_MS;

/// How far the provider's clock and paygate's may be apart while paygate believes its answers, in
/// milliseconds.
const CLOCKS_APART_MS_MAX: i64 = MINUTE_MS.saturating_mul(5);

/// An account at a provider, and the version of the provider's API that paygate calls for it. A
/// call about an attempt uses exactly the attempt's account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Account {
    /// WeChat Pay's `mchid`, of a partner `sp_mchid`; Alipay's `app_id`.
    pub id: String,
    /// The merchant that a partner of WeChat Pay collects for.
    pub sub_mchid: Option<String>,
    /// The version of the provider's API.
    pub api_version: ApiVersion,
}

impl Account {
    /// Whether a number of one account is the same trade at the other.
    #[must_use]
    pub fn shares_numbers(&self, other: &Account) -> bool {
        let is_same = self.id == other.id && self.sub_mchid == other.sub_mchid;
        let is_of_merchant = self.api_version.number_scope() == NumberScope::Merchant;
        is_same || (is_of_merchant && self.api_version == other.api_version)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version, self.id)?;
        self.sub_mchid.iter().try_for_each(|sub_mchid| write!(f, "/{sub_mchid}"))
    }
}

/// The stored parameters of one attempt, which paygate repeats unchanged when it sends it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The JSON document: WeChat Pay V3's request body, or Alipay's `biz_content`.
    pub document: String,
    /// Where the provider reports the payment.
    pub notify_url: String,
    /// Where Alipay's pages send the buyer after the payment.
    pub return_url: Option<String>,
    /// The `app_auth_token` of the Alipay merchant that a service provider acts for.
    pub app_auth_token: Option<AppAuthToken>,
}

/// The state of an attempt. Its precedence only rises, until paygate sends once more what the
/// provider refused or did not find: see [`AttemptState::precedence`].
///
/// Stored with an outer tag: with an inner one, serde reads the fields into a value of its own
/// before it knows what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Durable; paygate may have sent it or not.
    Prepared,
    /// Not sent: the provider has never received it.
    NotSent,
    /// The outcome of a call is unknown: paygate queries it before it does anything else.
    OutcomeUnknown {
        /// What happened, for the operator.
        reason: String,
    },
    /// The provider refused it.
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider did not find it in the last query: paygate queries it again before it sends it
    /// again.
    NotFound,
    /// The provider has a trade under its number that is not, or no longer, this one.
    NumberInUse {
        /// The provider's code.
        code: String,
    },
    /// The buyer can pay with `material`.
    Payable {
        /// What the client needs to pay.
        material: Material,
        /// Until when paygate hands out the material again.
        valid_until: Millis,
    },
    /// The buyer can no longer pay it: the provider closed it, or has no trade a minute after its
    /// expiry.
    Closed,
    /// The buyer paid it.
    Paid,
}

impl AttemptState {
    /// Whether paygate may send the attempt once more: its provider refused it, or never had it.
    #[must_use]
    pub fn may_be_resent(&self) -> bool {
        match self {
            AttemptState::NotSent | AttemptState::Refused { .. } | AttemptState::NotFound => true,
            AttemptState::Prepared
            | AttemptState::OutcomeUnknown { .. }
            | AttemptState::NumberInUse { .. }
            | AttemptState::Payable { .. }
            | AttemptState::Closed
            | AttemptState::Paid => false,
        }
    }

    /// The rank of the state: a late answer of a lower rank changes nothing.
    #[must_use]
    pub fn precedence(&self) -> u8 {
        match self {
            AttemptState::Prepared => 0,
            AttemptState::OutcomeUnknown { .. } => 1,
            AttemptState::NotSent | AttemptState::Refused { .. } | AttemptState::NotFound => 2,
            AttemptState::NumberInUse { .. } | AttemptState::Payable { .. } => 3,
            AttemptState::Closed => 4,
            AttemptState::Paid => 5,
        }
    }

    /// A name for a column and a log line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            AttemptState::Prepared => "prepared",
            AttemptState::NotSent => "not_sent",
            AttemptState::OutcomeUnknown { .. } => "outcome_unknown",
            AttemptState::Refused { .. } => "refused",
            AttemptState::NotFound => "not_found",
            AttemptState::NumberInUse { .. } => "number_in_use",
            AttemptState::Payable { .. } => "payable",
            AttemptState::Closed => "closed",
            AttemptState::Paid => "paid",
        }
    }
}

/// The material that a provider returned for the buyer to pay with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Material {
    /// WeChat Pay JSAPI and APP: paygate signs it anew for the client each time.
    Prepay {
        /// `prepay_id`.
        prepay_id: String,
    },
    /// WeChat Pay Native and Alipay precreate.
    QrCode {
        /// `code_url`, `qr_code`.
        code_url: String,
        /// The provider's `msg` beside it (Alipay).
        msg: Option<String>,
    },
    /// WeChat Pay H5.
    H5 {
        /// `h5_url`.
        h5_url: String,
    },
    /// Alipay mini program.
    Trade {
        /// `trade_no`.
        trade_no: String,
    },
    /// Alipay app, wap and page: paygate sent nothing, and signs the stored parameters for the
    /// client.
    Signed,
}

/// Until when paygate hands out again material made at `made`: the product's lifetime or the
/// attempt's expiry, whichever ends first, less 30 s for the way to the buyer.
#[must_use]
pub fn valid_until(product: Product, made: Millis, expires_at: Millis) -> Millis {
    let lifetime_ms = product.material_lifetime_ms();
    let end = lifetime_ms.map_or(expires_at, |ms| made.plus(ms).min(expires_at));
    end.plus(SECOND_MS.saturating_mul(-30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(account: &Account, text: &str, json: &str) {
        assert_eq!(account.to_string(), text);
        let written = serde_json::to_string(account).unwrap();
        assert_eq!(written, json);
        assert_eq!(serde_json::from_str::<Account>(&written).unwrap(), *account);
        let version = serde_json::to_string(&account.api_version).unwrap();
        assert_eq!(version, format!("\"{}\"", account.api_version.name()));
    }

    #[test]
    fn a_number_is_one_trade_in_one_account_of_wechats_and_in_any_app_at_alipay() {
        use ApiVersion::{Alipay, WxpayV2, WxpayV3};
        let account = |id: &str, sub: Option<&str>, api_version| {
            let (id, sub_mchid) = (id.to_owned(), sub.map(str::to_owned));
            Account { id, sub_mchid, api_version }
        };
        let rows = [
            (account("1", None, WxpayV3), account("1", None, WxpayV3), true),
            (account("1", None, WxpayV3), account("1", None, WxpayV2), true),
            (account("1", None, WxpayV3), account("2", None, WxpayV3), false),
            (account("1", Some("3"), WxpayV3), account("1", None, WxpayV3), false),
            (account("1", Some("3"), WxpayV3), account("2", Some("3"), WxpayV3), false),
            (account("1", None, Alipay), account("2", None, Alipay), true),
            (account("1", None, Alipay), account("2", None, WxpayV3), false),
        ];
        for (one, other, is_one_trade) in rows {
            assert_eq!(one.shares_numbers(&other), is_one_trade, "{one} {other}");
        }
    }

    #[test]
    fn an_account_is_stored_with_its_versions_name() {
        let account = |api_version, sub_mchid: Option<&str>| Account {
            id: "1900000001".to_owned(),
            sub_mchid: sub_mchid.map(str::to_owned),
            api_version,
        };
        check(
            &account(ApiVersion::WxpayV3, Some("1900000109")),
            "wxpay_v3 1900000001/1900000109",
            r#"{"id":"1900000001","sub_mchid":"1900000109","api_version":"wxpay_v3"}"#,
        );
        check(
            &account(ApiVersion::WxpayV2, None),
            "wxpay_v2 1900000001",
            r#"{"id":"1900000001","sub_mchid":null,"api_version":"wxpay_v2"}"#,
        );
        check(
            &account(ApiVersion::Alipay, None),
            "alipay 1900000001",
            r#"{"id":"1900000001","sub_mchid":null,"api_version":"alipay"}"#,
        );
    }
}
