//! The order: the request body of JSAPI, APP, H5 and Native, for merchants and for partners.
//!
//! The engine stores the body before it sends it. Every later call about the attempt reads the
//! merchants and apps from the stored body, so that a changed configuration never changes an
//! attempt.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::channel::ApiVersion;
use crate::domain::money::Fen;
use crate::domain::order::attempt::Account;
use crate::domain::product::Product;
use crate::error::Text;
use crate::provider::AttemptRequest;
use crate::provider::text::to_json;
use crate::provider::wxpay::{Site, WxpayApp};

/// The request body for `request`, paid into `app`'s account (WeChat Pay V3, JSAPI, APP, H5 and
/// Native order). A function of its arguments alone: the same request gives the same text.
///
/// # Errors
///
/// A text for the client when this order cannot be paid this way.
pub(super) fn order_document(request: &AttemptRequest<'_>, app: &WxpayApp) -> Result<String, Text> {
    let terms = request.terms;
    if terms.sub_appid.is_some() && terms.sub_mchid.is_none() {
        return Err(Text::new("sub_appid 需要与 sub_mchid 同时使用", "sub_appid needs sub_mchid"));
    }
    let other = other_members(request)?;
    let scene_info = scene_info(request, app.site.as_ref(), &other)?;
    let (direct, partner) = match terms.sub_mchid {
        None => (Some(app), None),
        Some(_) => (None, Some(app)),
    };
    let body = OrderDocument {
        appid: direct.map(|app| &*app.app_id),
        mchid: direct.map(|app| &*app.account.mch_id),
        sp_appid: partner.map(|app| &*app.app_id),
        sp_mchid: partner.map(|app| &*app.account.mch_id),
        sub_appid: terms.sub_appid.as_deref(),
        sub_mchid: terms.sub_mchid.as_deref(),
        description: terms.description(),
        out_trade_no: request.channel_no.as_str(),
        time_expire: request.expires_at.to_rfc3339_beijing(),
        notify_url: request.notify_url,
        amount: OrderAmount { total: terms.total_fee, currency: "CNY" },
        payer: payer(request)?,
        scene_info,
        settle_info: terms.profit_sharing.map(|profit_sharing| SettleInfo { profit_sharing }),
    };
    let rest = other.iter().filter(|member| member.name != SCENE_INFO);
    Ok(spliced(&to_json(&body), rest))
}

/// The merchants and apps of an attempt, read from its stored document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parties {
    /// `appid`, of a partner `sp_appid`.
    pub(super) app_id: String,
    /// `mchid`, of a partner `sp_mchid`: the account whose key signs.
    pub(super) mch_id: String,
    /// The merchant that a partner collects for.
    pub(super) sub: Option<SubMerchant>,
}

/// A partner's merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubMerchant {
    pub(super) mch_id: String,
    pub(super) app_id: Option<String>,
}

impl Parties {
    /// Reads a document that [`order_document`] made; `None` for any other text.
    pub(super) fn from_document(document: &str) -> Option<Parties> {
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

    /// The account that calls are made for.
    pub(super) fn account(&self) -> Account {
        Account {
            id: self.mch_id.clone(),
            sub_mchid: self.sub.as_ref().map(|sub| sub.mch_id.clone()),
            api_version: ApiVersion::WxpayV3,
        }
    }

    /// The part of paths between the host and `/transactions`.
    pub(super) fn prefix(&self) -> &'static str {
        if self.sub.is_some() { "/v3/pay/partner" } else { "/v3/pay" }
    }

    /// The app in which the buyer pays.
    pub(super) fn client_app_id(&self) -> &str {
        let sub = self.sub.as_ref().and_then(|sub| sub.app_id.as_deref());
        sub.unwrap_or(&self.app_id)
    }

    /// APP's `partnerid`: the merchant that is paid (WeChat Pay V3 partner, APP launch).
    pub(super) fn paid_mch_id(&self) -> &str {
        self.sub.as_ref().map_or(&self.mch_id, |sub| &sub.mch_id)
    }
}

/// The last part of the order's path; `None` for Alipay's products.
pub(super) fn path_segment(product: Product) -> Option<&'static str> {
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
struct OrderDocument<'a> {
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
    amount: OrderAmount,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<Payer<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene_info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_info: Option<SettleInfo>,
}

#[derive(Serialize)]
struct OrderAmount {
    total: Fen,
    currency: &'static str,
}

#[derive(Serialize)]
struct SettleInfo {
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

fn payer<'a>(request: &AttemptRequest<'a>) -> Result<Option<Payer<'a>>, Text> {
    if request.product != Product::Jsapi {
        return Ok(None);
    }
    let openid = request.openid.ok_or_else(|| Text::new("缺少 openid", "openid is missing"))?;
    Ok(Some(match (&request.terms.sub_mchid, &request.terms.sub_appid) {
        (None, _) => Payer::Openid(openid),
        (Some(_), None) => Payer::SpOpenid(openid),
        (Some(_), Some(_)) => Payer::SubOpenid(openid),
    }))
}

#[derive(Serialize)]
struct SceneInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_client_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    h5_info: Option<H5Info<'a>>,
}

#[derive(Serialize)]
struct H5Info<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_url: Option<&'a str>,
}

/// `scene_info`: the buyer's address where it is known, for H5 the site, and the shop's members.
fn scene_info(
    request: &AttemptRequest<'_>,
    site: Option<&Site>,
    other: &[OtherMember<'_>],
) -> Result<Option<Box<RawValue>>, Text> {
    let is_h5 = request.product == Product::H5;
    if is_h5 && request.client_ip.is_none() {
        return Err(Text::new(
            "微信 H5 支付需要付款人的 IP 地址",
            "WeChat Pay H5 needs the buyer's address",
        ));
    }
    let own = SceneInfo {
        payer_client_ip: request.client_ip,
        h5_info: is_h5.then(|| H5Info {
            kind: h5_type(request.user_agent),
            app_name: site.map(|site| &*site.name),
            app_url: site.map(|site| &*site.url),
        }),
    };
    let added = match other.iter().find(|member| member.name == SCENE_INFO) {
        Some(member) => members(member.value).ok_or_else(|| computed_member(SCENE_INFO))?,
        None => Vec::new(),
    };
    if let Some(member) = added.iter().find(|member| SCENE_KEYS.contains(&member.name.as_str())) {
        return Err(computed_member(&member.name));
    }
    let text = spliced(&to_json(&own), added.iter());
    let raw = RawValue::from_string(text).expect("members of valid JSON are valid JSON");
    Ok((raw.get() != "{}").then_some(raw))
}

/// `h5_info.type` (WeChat Pay V3, H5 order).
fn h5_type(user_agent: &str) -> &'static str {
    if ["iPhone", "iPad", "iPod"].iter().any(|system| user_agent.contains(system)) {
        "iOS"
    } else if user_agent.contains("Android") {
        "Android"
    } else {
        "Wap"
    }
}

/// A member of a JSON object, as it is written there.
struct OtherMember<'a> {
    /// Escapes undone.
    name: String,
    value: &'a str,
    /// The whole member, with the comma and the white space before it.
    text: &'a str,
}

/// The members of `data.other`. None of them may be a member that we compute.
fn other_members<'a>(request: &AttemptRequest<'a>) -> Result<Vec<OtherMember<'a>>, Text> {
    let Some(other) = &request.terms.other else { return Ok(Vec::new()) };
    let members = members(other.as_str())
        .ok_or_else(|| Text::new("other 必须是对象", "other must be an object"))?;
    match members.iter().find(|member| COMPUTED_KEYS.contains(&member.name.as_str())) {
        Some(member) => Err(computed_member(&member.name)),
        None => Ok(members),
    }
}

fn computed_member(key: &str) -> Text {
    Text::new(format!("other 不能包含 {key}"), format!("other must not hold {key}"))
}

/// `object` (JSON text of an object) with `members` added at its end, verbatim.
fn spliced<'a>(object: &str, members: impl Iterator<Item = &'a OtherMember<'a>>) -> String {
    let mut text = object.strip_suffix('}').unwrap_or(object).to_owned();
    for (n, member) in members.enumerate() {
        if n > 0 {
            text.push_str(member.text);
            continue;
        }
        // The comma before the first one depends on `object`.
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(member.text.trim_start_matches(BETWEEN));
    }
    text.push('}');
    text
}

/// The members of a JSON object in their order; `None` when `text` is no object.
fn members<'a>(text: &'a str) -> Option<Vec<OtherMember<'a>>> {
    let pairs = raw_pairs(text)?;
    let mut rest = text.trim_start_matches(BETWEEN).strip_prefix('{')?;
    let member = |(key, value): RawPair<'a>| {
        let behind_key = rest.trim_start_matches(BETWEEN).strip_prefix(key.get())?;
        let behind = behind_key.trim_start_matches(BETWEEN).strip_prefix(value.get())?;
        let text = rest.strip_suffix(behind)?;
        rest = behind;
        Some(OtherMember { name: serde_json::from_str(key.get()).ok()?, value: value.get(), text })
    };
    pairs.into_iter().map(member).collect()
}

/// The characters that may stand between the keys and the values of an object.
const BETWEEN: [char; 6] = [' ', '\t', '\r', '\n', ',', ':'];

/// A member's key and value, as they were written.
type RawPair<'a> = (&'a RawValue, &'a RawValue);

fn raw_pairs(text: &str) -> Option<Vec<RawPair<'_>>> {
    struct InOrder;

    impl<'de> Visitor<'de> for InOrder {
        type Value = Vec<RawPair<'de>>;

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

/// The members of the body that we compute, or that would change the payee or the notification's
/// address. The guard refuses a request with one of them; no document may hold one of them twice.
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
