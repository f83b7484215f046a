//! The order: the request body of JSAPI, APP, H5 and Native, for merchants and for partners.
//!
//! The body is laid down once and stored; every call about the attempt reads from it who is paid
//! and under which number, so that a changed configuration never changes an attempt.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::channel::Product;
use crate::domain::money::Fen;
use crate::domain::order::attempt::{Account, ApiVersion};
use crate::error::Text;
use crate::provider::AttemptRequest;
use crate::provider::wxpay::{App, Site};

/// The request body for `plan`, paid into `app`'s account (WeChat Pay V3, JSAPI, APP, H5 and
/// Native order). A function of its arguments alone: the same plan gives the same text.
///
/// # Errors
///
/// Words for the client when this order cannot be paid this way.
pub(super) fn document(plan: &AttemptRequest<'_>, app: &App) -> Result<String, Text> {
    let terms = plan.terms;
    if terms.sub_appid.is_some() && terms.sub_mchid.is_none() {
        return Err(Text::new("sub_appid 需要与 sub_mchid 同时使用", "sub_appid needs sub_mchid"));
    }
    let other = other_members(plan)?;
    let scene_info = scene_info(plan, app.site.as_ref(), &other)?;
    let (direct, partner) = match terms.sub_mchid {
        None => (Some(app), None),
        Some(_) => (None, Some(app)),
    };
    let body = Body {
        appid: direct.map(|it| &*it.app_id),
        mchid: direct.map(|it| &*it.account.mch_id),
        sp_appid: partner.map(|it| &*it.app_id),
        sp_mchid: partner.map(|it| &*it.account.mch_id),
        sub_appid: terms.sub_appid.as_deref(),
        sub_mchid: terms.sub_mchid.as_deref(),
        description: terms.description(),
        out_trade_no: plan.channel_no.as_str(),
        time_expire: plan.expires_at.to_rfc3339_beijing(),
        notify_url: plan.notify_url,
        amount: Amount { total: terms.total_fee, currency: "CNY" },
        payer: payer(plan)?,
        scene_info,
        settle_info: terms.profit_sharing.map(|profit_sharing| Settlement { profit_sharing }),
    };
    let rest = other.iter().filter(|it| it.name != SCENE_INFO);
    Ok(spliced(&to_json(&body), rest))
}

/// Who an attempt pays, read back from its stored document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parties {
    /// `appid`, of a partner `sp_appid`.
    pub(super) app_id: String,
    /// `mchid`, of a partner `sp_mchid`: whose key signs.
    pub(super) mch_id: String,
    /// Whom a partner collects for.
    pub(super) sub: Option<SubMerchant>,
}

/// A partner's merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubMerchant {
    pub(super) mch_id: String,
    pub(super) app_id: Option<String>,
}

impl Parties {
    /// Reads a document of [`document`]'s making; `None` for any other text.
    pub(super) fn of(document: &str) -> Option<Parties> {
        #[derive(Deserialize)]
        struct Stored {
            appid: Option<String>,
            mchid: Option<String>,
            sp_appid: Option<String>,
            sp_mchid: Option<String>,
            sub_appid: Option<String>,
            sub_mchid: Option<String>,
        }
        let stored: Stored = serde_json::from_str(document).ok()?;
        let sub = stored.sub_mchid.map(|mch_id| SubMerchant { mch_id, app_id: stored.sub_appid });
        let (app_id, mch_id) = match sub {
            Some(_) => (stored.sp_appid?, stored.sp_mchid?),
            None => (stored.appid?, stored.mchid?),
        };
        Some(Parties { app_id, mch_id, sub })
    }

    /// The account that is spoken for.
    pub(super) fn account(&self) -> Account {
        Account {
            number: self.mch_id.clone(),
            partner: self.sub.as_ref().map(|it| it.mch_id.clone()),
            version: ApiVersion::WxpayV3,
        }
    }

    /// What stands between `/v3/pay/` and `transactions` in paths.
    pub(super) fn prefix(&self) -> &'static str {
        if self.sub.is_some() { "/v3/pay/partner" } else { "/v3/pay" }
    }

    /// The app in which the buyer pays.
    pub(super) fn client_app_id(&self) -> &str {
        let sub = self.sub.as_ref().and_then(|it| it.app_id.as_deref());
        sub.unwrap_or(&self.app_id)
    }

    /// APP's `partnerid`: the merchant that is paid (WeChat Pay V3 partner, APP launch).
    pub(super) fn paid_mch_id(&self) -> &str {
        self.sub.as_ref().map_or(&self.mch_id, |it| &it.mch_id)
    }
}

/// The last part of the order's path; `None` for Alipay's products.
pub(super) fn path_end(product: Product) -> Option<&'static str> {
    match product {
        Product::Jsapi => Some("jsapi"),
        Product::App => Some("app"),
        Product::H5 => Some("h5"),
        Product::Native => Some("native"),
        Product::AppPay
        | Product::Create
        | Product::Precreate
        | Product::WapPay
        | Product::PagePay => None,
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    description: &'a str,
    out_trade_no: &'a str,
    time_expire: String,
    notify_url: &'a str,
    amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<Payer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene_info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_info: Option<Settlement>,
}

#[derive(Serialize)]
struct Amount {
    total: Fen,
    currency: &'static str,
}

#[derive(Serialize)]
struct Settlement {
    profit_sharing: bool,
}

/// The buyer: under the app of the merchant, of the partner, or of the partner's merchant.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Payer<'a> {
    Openid(&'a str),
    SpOpenid(&'a str),
    SubOpenid(&'a str),
}

fn payer<'a>(plan: &AttemptRequest<'a>) -> Result<Option<Payer<'a>>, Text> {
    if plan.product != Product::Jsapi {
        return Ok(None);
    }
    let openid = plan.openid.ok_or_else(|| Text::new("缺少 openid", "openid is missing"))?;
    Ok(Some(match (&plan.terms.sub_mchid, &plan.terms.sub_appid) {
        (None, _) => Payer::Openid(openid),
        (Some(_), None) => Payer::SpOpenid(openid),
        (Some(_), Some(_)) => Payer::SubOpenid(openid),
    }))
}

#[derive(Serialize)]
struct Scene<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_client_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    h5_info: Option<H5Scene<'a>>,
}

#[derive(Serialize)]
struct H5Scene<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_url: Option<&'a str>,
}

/// `scene_info`: the buyer's address where it is known, for H5 the site, and what the shop adds.
fn scene_info(
    plan: &AttemptRequest<'_>,
    site: Option<&Site>,
    other: &[Member<'_>],
) -> Result<Option<Box<RawValue>>, Text> {
    let is_h5 = plan.product == Product::H5;
    if is_h5 && plan.client_ip.is_none() {
        return Err(Text::new(
            "微信 H5 支付需要用户的 IP 地址，请检查 PAYGATE_TRUSTED_PROXIES",
            "WeChat Pay H5 needs the buyer's address: see PAYGATE_TRUSTED_PROXIES",
        ));
    }
    let own = Scene {
        payer_client_ip: plan.client_ip,
        h5_info: is_h5.then(|| H5Scene {
            kind: h5_type(plan.user_agent),
            app_name: site.map(|it| &*it.name),
            app_url: site.map(|it| &*it.url),
        }),
    };
    let added = match other.iter().find(|it| it.name == SCENE_INFO) {
        Some(member) => members(member.value).ok_or_else(|| taken(SCENE_INFO))?,
        None => Vec::new(),
    };
    if let Some(member) = added.iter().find(|it| SCENE_KEYS.contains(&it.name.as_str())) {
        return Err(taken(&member.name));
    }
    let text = spliced(&to_json(&own), added.iter());
    let raw = RawValue::from_string(text).expect("members of valid JSON are valid JSON");
    Ok((raw.get() != "{}").then_some(raw))
}

/// `h5_info.type` (WeChat Pay V3, H5 order).
fn h5_type(user_agent: &str) -> &'static str {
    if ["iPhone", "iPad", "iPod"].iter().any(|it| user_agent.contains(it)) {
        "iOS"
    } else if user_agent.contains("Android") {
        "Android"
    } else {
        "Wap"
    }
}

/// A member of a JSON object as it was written.
struct Member<'a> {
    /// Escapes undone.
    name: String,
    value: &'a str,
    /// The whole member, with the comma and the white space before it.
    text: &'a str,
}

/// The members of `data.other`, none of which may be one that is computed here.
fn other_members<'a>(plan: &AttemptRequest<'a>) -> Result<Vec<Member<'a>>, Text> {
    let Some(other) = &plan.terms.other else { return Ok(Vec::new()) };
    let members = members(other.as_str())
        .ok_or_else(|| Text::new("other 必须是对象", "other must be an object"))?;
    match members.iter().find(|it| COMPUTED_KEYS.contains(&it.name.as_str())) {
        Some(member) => Err(taken(&member.name)),
        None => Ok(members),
    }
}

fn taken(key: &str) -> Text {
    Text::new(format!("other 不能包含 {key}"), format!("other must not hold {key}"))
}

/// `object` (JSON text of an object) with `members` added at its end, verbatim.
fn spliced<'a>(object: &str, members: impl Iterator<Item = &'a Member<'a>>) -> String {
    let mut text = object.strip_suffix('}').unwrap_or(object).to_owned();
    for (n, member) in members.enumerate() {
        if n > 0 {
            text.push_str(member.text);
            continue;
        }
        // What stands before the first one depends on `object`.
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(member.text.trim_start_matches(BETWEEN));
    }
    text.push('}');
    text
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and integers are always JSON")
}

/// The members of a JSON object in their order; `None` when `text` is no object.
fn members<'a>(text: &'a str) -> Option<Vec<Member<'a>>> {
    let pairs = pairs(text)?;
    let mut rest = text.trim_start_matches(BETWEEN).strip_prefix('{')?;
    let member = |(key, value): Pair<'a>| {
        let behind_key = rest.trim_start_matches(BETWEEN).strip_prefix(key.get())?;
        let behind = behind_key.trim_start_matches(BETWEEN).strip_prefix(value.get())?;
        let text = rest.strip_suffix(behind)?;
        rest = behind;
        Some(Member { name: serde_json::from_str(key.get()).ok()?, value: value.get(), text })
    };
    pairs.into_iter().map(member).collect()
}

/// What may stand between the keys and the values of an object.
const BETWEEN: [char; 6] = [' ', '\t', '\r', '\n', ',', ':'];

/// A member's key and value, as they were written.
type Pair<'a> = (&'a RawValue, &'a RawValue);

fn pairs(text: &str) -> Option<Vec<Pair<'_>>> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<Pair<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }

    let mut json = serde_json::Deserializer::from_str(text);
    let pairs = json.deserialize_map(InOrder).ok()?;
    json.end().ok()?;
    Some(pairs)
}

const SCENE_INFO: &str = "scene_info";

/// The members of `scene_info` that are computed: the shop adds others.
const SCENE_KEYS: [&str; 2] = ["payer_client_ip", "h5_info"];

/// The members of the body that are computed, or that would change who is paid or told. A request
/// with one of them was refused long before; a document with one of them twice must not exist.
const COMPUTED_KEYS: [&str; 13] = [
    "appid",
    "mchid",
    "sp_appid",
    "sp_mchid",
    "sub_appid",
    "sub_mchid",
    "description",
    "out_trade_no",
    "time_expire",
    "notify_url",
    "amount",
    "payer",
    "settle_info",
];
