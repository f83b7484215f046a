//! The names of merchants, and the numbers of orders, attempts and payments.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::parse_error::ParseError;

/// The shop's order number: the idempotency key. 6 to 64 of `[0-9A-Za-z_-]`; case matters.
///
/// WeChat Pay takes at most 32 characters (V3, JSAPI order, `out_trade_no`), Alipay 64.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OutTradeNo(Arc<str>);

impl OutTradeNo {
    /// The fewest characters of a number.
    pub const CHARS_MIN: usize = 6;
    /// The most characters of a number.
    pub const CHARS_MAX: usize = 64;

    /// Reads a number; `None` when its length or a character is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<OutTradeNo> {
        let length_fits = (Self::CHARS_MIN..=Self::CHARS_MAX).contains(&text.len());
        let chars_fit = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        (length_fits && chars_fit).then(|| OutTradeNo(text.into()))
    }

    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OutTradeNo {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<OutTradeNo, ParseError> {
        const FORM: &str = "an out_trade_no, which is 6 to 64 of 0-9 A-Z a-z _ -";
        OutTradeNo::parse(text).ok_or(ParseError(FORM))
    }
}

impl TryFrom<String> for OutTradeNo {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<OutTradeNo> for String {
    fn from(out_trade_no: OutTradeNo) -> String {
        out_trade_no.0.as_ref().to_owned()
    }
}

impl fmt::Display for OutTradeNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the two numbers by which a query names an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderNumber {
    /// The shop's order number.
    OutTradeNo(OutTradeNo),
    /// The provider's number of one of the order's payments.
    TransactionId(TransactionId),
}

impl From<OutTradeNo> for OrderNumber {
    fn from(out_trade_no: OutTradeNo) -> OrderNumber {
        OrderNumber::OutTradeNo(out_trade_no)
    }
}

impl From<TransactionId> for OrderNumber {
    fn from(transaction_id: TransactionId) -> OrderNumber {
        OrderNumber::TransactionId(transaction_id)
    }
}

/// A configured merchant: `default`, or the `_id` of a `vk-pay-config` document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(Arc<str>);

impl Pid {
    /// The name of the merchant that the environment variables describe.
    pub const DEFAULT: &'static str = "default";

    /// A merchant called `name`.
    #[must_use]
    pub fn new(name: &str) -> Pid {
        Pid(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Pid {
    fn from(name: &str) -> Pid {
        Pid::new(name)
    }
}

impl Default for Pid {
    fn default() -> Pid {
        Pid::new(Pid::DEFAULT)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The order number that paygate gives the provider for one attempt: the order's own for the first,
/// a derived one where the provider would refuse or confuse the order's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelNo(Arc<str>);

impl ChannelNo {
    /// The order's own number.
    #[must_use]
    pub fn first(out_trade_no: &OutTradeNo) -> ChannelNo {
        ChannelNo(out_trade_no.0.clone())
    }

    /// The number of the order's `n`-th attempt: `pg` and 30 base32 characters (150 bits) of
    /// SHA-256 over merchant, number and `n`, so that it never equals a shop's own number.
    #[must_use]
    pub fn derived(pid: &Pid, out_trade_no: &OutTradeNo, n: u32) -> ChannelNo {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let hash = Sha256::new()
            .chain_update(pid.as_str())
            .chain_update([0])
            .chain_update(out_trade_no.as_str())
            .chain_update([0])
            .chain_update(n.to_be_bytes())
            .finalize();
        let mut text = String::from("pg");
        let mut bits = 0_u32;
        let mut held = 0_u32;
        for byte in hash {
            bits = (bits << 8) | u32::from(byte);
            held = held.saturating_add(8);
            while held >= 5 && text.len() < 32 {
                held = held.saturating_sub(5);
                let index = usize::try_from((bits >> held) & 31).unwrap_or_default();
                text.push(char::from(ALPHABET[index]));
            }
        }
        ChannelNo(text.into())
    }

    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The provider's own number of a payment (WeChat Pay `transaction_id`, Alipay `trade_no`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub Arc<str>);

impl TransactionId {
    /// The number as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for TransactionId {
    fn from(text: &str) -> TransactionId {
        TransactionId(text.into())
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_6_to_64_plain_characters() {
        for good in ["123456", "a-b_C9", &"x".repeat(64)] {
            assert_eq!(OutTradeNo::parse(good).as_ref().map(OutTradeNo::as_str), Some(good));
        }
        for bad in ["", "12345", "a/b123", "..1234", "123456 ", "１２３４５６", &"x".repeat(65)]
        {
            assert_eq!(OutTradeNo::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_and_numbers_are_their_text() {
        assert_eq!(Pid::from("001").as_str(), "001");
        let id = TransactionId::from("4200000001");
        assert_eq!((id.as_str(), &*id.to_string()), ("4200000001", "4200000001"));
    }

    #[test]
    fn a_derived_number_is_stable_and_no_two_attempts_share_one() {
        let out_trade_no = OutTradeNo::parse("order-1").expect("a number");
        let second = ChannelNo::derived(&Pid::default(), &out_trade_no, 2);
        assert_eq!(second, ChannelNo::derived(&Pid::default(), &out_trade_no, 2));
        assert_eq!(second.as_str().len(), 32);
        assert!(second.as_str().starts_with("pg"));
        assert_ne!(second, ChannelNo::derived(&Pid::default(), &out_trade_no, 3));
        assert_ne!(second, ChannelNo::derived(&Pid::new("001"), &out_trade_no, 2));
    }

    #[test]
    fn a_derived_number_is_the_hash_in_base32_in_every_version() {
        let out_trade_no = OutTradeNo::parse("order-1").expect("a number");
        let derived = |pid: Pid, n| ChannelNo::derived(&pid, &out_trade_no, n).to_string();
        // printf 'default\0order-1\0\0\0\0\2' | sha256sum | xxd -r -p | base32 | tr A-Z a-z
        assert_eq!(derived(Pid::default(), 2), "pgrgwzjshx5mvgjntnccqw22fsq4xr6f");
        assert_eq!(derived(Pid::new("001"), 12), "pgyy75faakvaxgjdveizwtrjcgbdspht");
    }
}
