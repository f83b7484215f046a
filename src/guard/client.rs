//! A `createPayment` request whose price the shop sets: the client's part, and the whole request
//! that it makes with the price.
//!
//! ```
//! use paygate::domain::RawJson;
//! use paygate::testing::guard::read_client;
//!
//! let client = read_client(
//!     br#"{"provider": "wxpay",
//!         "data": {"out_trade_no": "2107151010101541001", "total_fee": 1}}"#,
//! )?;
//! let price = |total_fee| {
//!     let fields = r#""out_trade_no":"2107151010101541001","subject":"tea","type":"goods""#;
//!     RawJson::parse(&format!(r#"{{{fields},"total_fee":{total_fee}}}"#)).unwrap()
//! };
//! assert_eq!(client.priced(&price("1.0"))?.terms.total_fee.fen(), 1);
//!
//! let refused = client.priced(&price("100")).unwrap_err();
//! assert_eq!(refused.violations()[0].path, "/data/total_fee");
//! # Ok::<(), paygate::error::Error>(())
//! ```

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::create::{
    check_schema, decode_claims, decode_is_pc, decode_need_qrcode, decode_provider, read_complete,
    text, unreadable,
};
use super::fields::{self, Violations};
use super::schema;
use crate::domain::caller::ClientClaims;
use crate::domain::channel::ProviderId;
use crate::domain::ids::OutTradeNo;
use crate::domain::json::{Json, RawJson, Shape, scan};
use crate::domain::request::{CreateRequest, NeedQrcode};
use crate::error::{Code, Error, Kind, Text, Violation};

static CREATE_PAYMENT_CLIENT: LazyLock<Validator> =
    LazyLock::new(|| schema::compile("create-payment-client").expect("the schema is embedded"));

/// Compiles the schema, unless that was done.
pub(super) fn prepare() {
    LazyLock::force(&CREATE_PAYMENT_CLIENT);
}

/// A valid `createPayment` request without its price.
///
/// The client's values of the priced fields decide nothing: they can only contradict the price.
pub struct ClientRequest {
    /// The provider that the buyer pays through.
    pub provider: ProviderId,
    /// `isPC`: whether the buyer sits at a PC, if the client states it.
    pub is_pc: Option<bool>,
    /// `needQRcode`: whether the client wants a QR code on any platform.
    pub need_qrcode: NeedQrcode,
    /// The order that the client wants to pay.
    pub out_trade_no: OutTradeNo,
    /// The client's description of itself.
    pub claims: ClientClaims,
    /// The price, signed by the shop, if the client sends it.
    pub quote: Option<String>,
    /// `data` as the client wrote it.
    pub data: RawJson,
    instance: Value,
}

/// Reads the body of a `createPayment` request whose price the shop sets. Pure.
///
/// # Errors
///
/// Those of [`read_create`](super::read_create); the priced fields may be absent.
pub fn read_client(bytes: &[u8]) -> Result<ClientRequest, Error> {
    let document = scan(bytes).map_err(unreadable)?;
    let instance = schema::body_instance(document);
    check_schema(&CREATE_PAYMENT_CLIENT, &instance, Violations::of(&fields::CREATE_CLIENT))?;
    // The schema has required every part: a missing one is a bug here, and the request is refused.
    decode(document, instance).ok_or_else(|| Error::new(Kind::BodyUnreadable))
}

fn decode(document: Json<'_>, instance: Value) -> Option<ClientRequest> {
    let root = instance.as_object()?;
    let data = root.get("data")?.as_object()?;
    Some(ClientRequest {
        provider: decode_provider(root)?,
        is_pc: decode_is_pc(root),
        need_qrcode: decode_need_qrcode(root),
        out_trade_no: OutTradeNo::parse(data.get("out_trade_no")?.as_str()?)?,
        claims: decode_claims(root),
        quote: text(root, "quote"),
        data: document.member("data")?.into(),
        instance,
    })
}

impl ClientRequest {
    /// The whole request: `price` has the fields of `data` that the shop sets. The client's
    /// `openid` counts where the price has none.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] for a priced field that breaks its rule, [`Kind::Different`] naming the
    /// client's fields that the price contradicts or lacks, [`Kind::CallerNotAllowed`] for the
    /// price of another order.
    pub fn priced(&self, price: &RawJson) -> Result<CreateRequest, Error> {
        let price = price.json();
        let mut instance = self.instance.clone();
        let mut data = schema::body_instance(price);
        if let (Some(fields), Some(openid)) = (data.as_object_mut(), self.own_openid(price)) {
            fields.insert("openid".to_owned(), openid.into());
        }
        if let Some(root) = instance.as_object_mut() {
            root.insert("data".to_owned(), data);
        }
        let request = read_complete(Some(price), &instance)?;
        if request.terms.out_trade_no != self.out_trade_no {
            let text = Text::new("价格属于其他订单", "the price is for another order");
            return Err(Error::new(Kind::CallerNotAllowed).text(text));
        }
        self.contradictions(price)?;
        Ok(request)
    }

    /// The client's `openid`, unless the price names one.
    fn own_openid(&self, price: Json<'_>) -> Option<String> {
        let written = self.data.json();
        match (present(price, "openid"), present(written, "openid")?.shape()) {
            (None, Shape::String(openid)) => Some(openid.into_owned()),
            _ => None,
        }
    }

    /// Refuses client fields that differ from the price. It compares values, not spellings.
    fn contradictions(&self, price: Json<'_>) -> Result<(), Error> {
        let written = self.data.json();
        let Shape::Object(members) = written.shape() else { return Ok(()) };
        let contradicts = |name: &str| {
            let Some(own) = present(written, name) else { return false };
            match present(price, name) {
                Some(priced) => own.canonical() != priced.canonical(),
                None => name != "openid",
            }
        };
        let names: Vec<Cow<'_, str>> =
            members.map(|(name, _)| name).filter(|name| contradicts(name)).collect();
        if names.is_empty() { Ok(()) } else { Err(different(&names)) }
    }
}

/// The member called `name`; `null` and `""` count as absent.
fn present<'a>(object: Json<'a>, name: &str) -> Option<Json<'a>> {
    object.member(name).filter(|value| !matches!(value.as_str(), "null" | r#""""#))
}

/// The refusal of a request that differs from the price. It names fields, not values.
fn different(names: &[Cow<'_, str>]) -> Error {
    let violations = names.iter().map(|name| Violation {
        code: Code::Different,
        path: format!("/data/{name}"),
        rule: "same",
        message: Text::new(
            format!("{name} 与商户设定的值不同"),
            format!("{name} differs from what the shop set"),
        ),
    });
    let list = names.join(", ");
    Error::new(Kind::Different)
        .text(Text::new(
            format!("请求参数与商户设定的不一致：{list}"),
            format!("the request has other parameters than the shop set: {list}"),
        ))
        .violations_of(violations.collect())
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("provider", &self.provider)
            .field("out_trade_no", &self.out_trade_no)
            .finish_non_exhaustive()
    }
}
