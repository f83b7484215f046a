//! Alipay's signature on a reply, and its verification (Alipay open platform, "verifying a
//! synchronous reply").

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::AlipayVerification;
use crate::domain::charset;
use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::clock_skew::Skew;
use crate::provider::text::{CODE_CHARS_MAX, MESSAGE_CHARS_MAX, printable_text};

/// A reply, and the time of its response.
#[derive(Debug)]
pub(crate) struct GatewayResponse {
    pub(crate) reply: GatewayReply,
    /// The response's `Date`, which is not signed.
    pub(crate) date: Option<Millis>,
}

/// A reply's object, signed by Alipay or not.
#[derive(Debug)]
pub(crate) enum GatewayReply {
    /// Its signature verified.
    Signed(ReplyObject),
    /// It carries no signature: the gateway answers so when it refuses a request outright.
    Unsigned(ReplyObject),
}

impl GatewayReply {
    /// The reply, unless it refuses the request's time: that is our clock's fault, and states
    /// nothing about the order (Alipay open platform, common error codes, `isv.invalid-timestamp`).
    ///
    /// # Errors
    ///
    /// [`Failure::OutcomeUnknown`] for such a reply.
    pub(crate) fn check_time(self, skew: Option<Skew>) -> Result<GatewayReply, Failure> {
        let (GatewayReply::Signed(object) | GatewayReply::Unsigned(object)) = &self;
        if object.sub_code() != "invalid-timestamp" {
            return Ok(self);
        }
        Err(Failure::OutcomeUnknown {
            reason: Skew::time_refused(skew),
            provider_error: Some(object.provider_error()),
        })
    }
}

/// The object after `"…_response":`.
#[derive(Debug)]
pub(crate) struct ReplyObject(pub(crate) Map<String, Value>);

impl ReplyObject {
    /// A field that is a text and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// `code`.
    pub(crate) fn code(&self) -> &str {
        self.text("code").unwrap_or_default()
    }

    /// `sub_code` without its prefix: some pages leave `ACQ.` away or misspell it.
    pub(crate) fn sub_code(&self) -> &str {
        let sub_code = self.text("sub_code").unwrap_or_default();
        sub_code.rsplit('.').next().unwrap_or_default()
    }

    /// Whether Alipay reports too many calls (Alipay open platform, common error codes, 40005
    /// `isv.app-call-limited`, `isv.method-call-limited`).
    pub(crate) fn is_throttled(&self) -> bool {
        let code = self.code();
        code == "40005" || code != CODE_SUCCESS && self.sub_code().ends_with("call-limited")
    }

    /// Alipay's most precise code and message, for the client.
    pub(crate) fn provider_error(&self) -> (String, String) {
        let code = self.text("sub_code").or(self.text("code")).unwrap_or_default();
        let message = self.text("sub_msg").or(self.text("msg")).unwrap_or_default();
        (printable_text(code, CODE_CHARS_MAX), printable_text(message, MESSAGE_CHARS_MAX))
    }
}

/// Verifies and parses the reply to `method`.
///
/// # Errors
///
/// [`Failure::OutcomeUnknown`] when it is no reply, or its signature is not Alipay's.
pub(crate) fn parse_reply(
    body: &[u8],
    method: &str,
    by: &AlipayVerification,
) -> Result<GatewayReply, Failure> {
    let text = charset::decode(body);
    let members: ReplyMembers<'_> = serde_json::from_str(&text)
        .map_err(|_| Failure::unknown("the reply is no JSON object, or names something twice"))?;
    let raw = match (members.find(&reply_name(method)), members.find("error_response")) {
        (Some(raw), None) | (None, Some(raw)) => raw,
        _ => return Err(Failure::unknown("the reply holds no answer to this call")),
    };
    let object = ReplyObject(
        serde_json::from_str(raw).map_err(|_| Failure::unknown("the answer is no object"))?,
    );
    let Some(sign) = members.find("sign") else {
        return Ok(GatewayReply::Unsigned(object));
    };
    let sign: String =
        serde_json::from_str(sign).map_err(|_| Failure::unknown("the reply's sign is no text"))?;
    verify(&charset::encode_as(raw, body), &sign, members.find("alipay_cert_sn"), by)?;
    Ok(GatewayReply::Signed(object))
}

/// The code and message in a response with another status than 200, for the client.
pub(crate) fn parse_provider_error(body: &[u8], method: &str) -> Option<(String, String)> {
    let text = charset::decode(body);
    let members: ReplyMembers<'_> = serde_json::from_str(&text).ok()?;
    let raw = members.find(&reply_name(method)).or(members.find("error_response"))?;
    let object = ReplyObject(serde_json::from_str(raw).ok()?);
    Some(object.provider_error()).filter(|(code, _)| !code.is_empty() && code != CODE_SUCCESS)
}

fn reply_name(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// Verifies `sign` over the object's raw text (Alipay open platform, "verifying a synchronous
/// reply": the text between the braces as received, never a re-serialised one).
fn verify(
    raw: &[u8],
    sign: &str,
    cert_sn: Option<&str>,
    by: &AlipayVerification,
) -> Result<(), Failure> {
    let key = match by {
        AlipayVerification::PublicKey(key) => key,
        AlipayVerification::Certificates { alipay_cert_sn, key, .. } => {
            let named = cert_sn.map(serde_json::from_str::<String>).transpose();
            if !named.is_ok_and(|named| named.is_none_or(|named| named == *alipay_cert_sn)) {
                return Err(Failure::unknown(
                    "the reply names another alipay_cert_sn: Alipay's certificate was reissued, \
                     download it",
                ));
            }
            key
        }
    };
    if key.verifies(raw, sign) {
        Ok(())
    } else {
        Err(Failure::unknown("the reply's signature is not that of the configured Alipay key"))
    }
}

/// A reply's members with the raw text of their values. serde_json keeps each value's exact bytes,
/// whatever stands inside its strings.
struct ReplyMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> ReplyMembers<'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, raw)| raw.get())
    }
}

impl<'de> Deserialize<'de> for ReplyMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReplyMembersVisitor)
    }
}

struct ReplyMembersVisitor;

impl<'de> Visitor<'de> for ReplyMembersVisitor {
    type Value = ReplyMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            // Alipay sends three members: a linear search stays cheap.
            if members.len() == MEMBERS_MAX || members.iter().any(|(member, _)| *member == name) {
                return Err(A::Error::custom("too many members, or one twice"));
            }
            members.push((name, map.next_value()?));
        }
        Ok(ReplyMembers(members))
    }
}

/// `code`: Alipay executed the call (common return codes).
pub(crate) const CODE_SUCCESS: &str = "10000";
/// `code`: a business failure; `sub_code` names it.
pub(crate) const CODE_BUSINESS_FAILED: &str = "40004";

/// `code`s of calls that Alipay did not execute: no authorisation (20001), missing (40001) or
/// invalid (40002) parameters, keys missing (40003), no permission (40006).
pub(crate) const CODES_NOT_EXECUTED: [&str; 5] = ["20001", "40001", "40002", "40003", "40006"];

/// More members than any reply of Alipay's has.
const MEMBERS_MAX: usize = 16;
