//! Replies: the raw text that is signed, and its verification.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Verification;
use super::outcome::DONE;
use crate::domain::time::Millis;
use crate::provider::clock_skew::Skew;
use crate::provider::{CODE_CHARS_MAX, Failure, MESSAGE_CHARS_MAX, tidied};

/// A reply, and when it was written.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    /// The answer's `Date`, which is not signed.
    pub(crate) date: Option<Millis>,
}

/// A reply's object, signed by Alipay or not.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Its signature verified.
    Signed(Node),
    /// It carries no signature: so the gateway answers when it refuses a request outright.
    Unsigned(Node),
}

impl Reply {
    /// An answer that refuses the request's time comes of our clock and says nothing about the
    /// order (Alipay open platform, common error codes, `isv.invalid-timestamp`).
    ///
    /// # Errors
    ///
    /// [`Failure::Unknown`] for such an answer.
    pub(crate) fn in_time(self, skew: Option<Skew>) -> Result<Reply, Failure> {
        let (Reply::Signed(node) | Reply::Unsigned(node)) = &self;
        if node.sub_code() != "invalid-timestamp" {
            return Ok(self);
        }
        Err(Failure::OutcomeUnknown { reason: Skew::told(skew), said: Some(node.said()) })
    }
}

/// The object after `"…_response":`.
#[derive(Debug)]
pub(crate) struct Node(pub(crate) Map<String, Value>);

impl Node {
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

    /// Whether it says that there were too many calls (Alipay open platform, common error codes,
    /// 40005 `isv.app-call-limited`, `isv.method-call-limited`).
    pub(crate) fn is_throttled(&self) -> bool {
        let code = self.code();
        code == "40005" || code != DONE && self.sub_code().ends_with("call-limited")
    }

    /// The most telling code and message, for the client.
    pub(crate) fn said(&self) -> (String, String) {
        let code = self.text("sub_code").or(self.text("code")).unwrap_or_default();
        let message = self.text("sub_msg").or(self.text("msg")).unwrap_or_default();
        (tidied(code, CODE_CHARS_MAX), tidied(message, MESSAGE_CHARS_MAX))
    }
}

/// Reads the reply to `method`.
///
/// # Errors
///
/// [`Failure::Unknown`] when it is no reply, or its signature is not Alipay's.
pub(crate) fn read(body: &[u8], method: &str, by: &Verification) -> Result<Reply, Failure> {
    let members: Members<'_> = serde_json::from_slice(body)
        .map_err(|_| unknown("the reply is no JSON object, or names something twice"))?;
    let raw = match (members.find(&node_name(method)), members.find("error_response")) {
        (Some(raw), None) | (None, Some(raw)) => raw,
        _ => return Err(unknown("the reply holds no answer to this call")),
    };
    let node = Node(serde_json::from_str(raw).map_err(|_| unknown("the answer is no object"))?);
    let Some(sign) = members.find("sign") else {
        return Ok(Reply::Unsigned(node));
    };
    let sign: String =
        serde_json::from_str(sign).map_err(|_| unknown("the reply's sign is no text"))?;
    verify(raw, &sign, members.find("alipay_cert_sn"), by)?;
    Ok(Reply::Signed(node))
}

/// The code and message of a refusal that came with another status than 200, for the client.
pub(crate) fn said_in(body: &[u8], method: &str) -> Option<(String, String)> {
    let members: Members<'_> = serde_json::from_slice(body).ok()?;
    let raw = members.find(&node_name(method)).or(members.find("error_response"))?;
    let node = Node(serde_json::from_str(raw).ok()?);
    Some(node.said()).filter(|(code, _)| !code.is_empty() && code != DONE)
}

fn node_name(method: &str) -> String {
    format!("{}_response", method.replace('.', "_"))
}

/// Verifies `sign` over the answer's raw text (Alipay open platform, "verifying a synchronous
/// reply": the text between the braces as received, never a re-serialised one).
fn verify(raw: &str, sign: &str, cert_sn: Option<&str>, by: &Verification) -> Result<(), Failure> {
    let key = match by {
        Verification::PublicKey(key) => key,
        Verification::Certificates { alipay_cert_sn, key, .. } => {
            let told = cert_sn.map(serde_json::from_str::<String>).transpose();
            if !told.is_ok_and(|told| told.is_none_or(|told| told == *alipay_cert_sn)) {
                return Err(unknown(
                    "the reply names another alipay_cert_sn: Alipay's certificate was reissued, \
                     download it",
                ));
            }
            key
        }
    };
    if key.verifies(raw.as_bytes(), sign) {
        Ok(())
    } else {
        Err(unknown("the reply's signature is not that of the configured Alipay key"))
    }
}

/// An unknown outcome with a reason for the operator.
pub(crate) fn unknown(reason: &str) -> Failure {
    Failure::OutcomeUnknown { reason: reason.to_owned(), said: None }
}

/// An object's members with their values' raw text. serde_json takes each value's exact bytes,
/// whatever stands inside its strings.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(it, _)| it == name).map(|(_, raw)| raw.get())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            // Alipay sends three members; a look through them all stays cheap.
            if members.len() == MEMBERS_MAX || members.iter().any(|(it, _)| *it == name) {
                return Err(A::Error::custom("too many members, or one twice"));
            }
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// More members than any reply has.
const MEMBERS_MAX: usize = 16;
