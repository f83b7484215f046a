//! Money: whole fen, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in fen (1/100 yuan), at most [`Fen::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fen(u64);

impl Fen {
    /// The largest amount of one order: Alipay's `total_amount` ends at 100 000 000 yuan
    /// (alipay.trade.app.pay, request parameters); WeChat Pay's limits are below that.
    pub const MAX: Fen = Fen(10_000_000_000);

    /// An amount of `fen` fen; `None` above [`Fen::MAX`].
    #[must_use]
    pub fn new(fen: u64) -> Option<Fen> {
        (fen <= Fen::MAX.0).then_some(Fen(fen))
    }

    /// An amount of `fen` fen; `None` for 0, and above [`Fen::MAX`].
    #[must_use]
    pub fn positive(fen: u64) -> Option<Fen> {
        Fen::new(fen).filter(|amount| amount.0 > 0)
    }

    /// The number of fen.
    #[must_use]
    pub fn fen(self) -> u64 {
        self.0
    }

    /// Yuan with two decimals, as Alipay writes amounts: `1` fen is `0.01`.
    #[must_use]
    pub fn to_yuan(self) -> String {
        format!("{}.{:02}", self.0 / 100, self.0 % 100)
    }

    /// Reads Alipay's yuan text with at most two decimals (`0.1`, `1`, `88.88`); anything else,
    /// a sign, an exponent or a third decimal included, is `None`.
    #[must_use]
    pub fn from_yuan(text: &str) -> Option<Fen> {
        let (yuan, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(yuan) || !all_digits(decimals) || decimals.len() > 2 || yuan.len() > 10 {
            return None;
        }
        let scale = if decimals.len() == 1 { 10 } else { 1 };
        let cents = decimals.parse::<u64>().ok()?.checked_mul(scale)?;
        Fen::new(yuan.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents)?)
    }

    /// The sum, or `None` above [`Fen::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Fen) -> Option<Fen> {
        self.0.checked_add(other.0).and_then(Fen::new)
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn yuan_has_two_decimals() {
        let cases = [(1, "0.01"), (10, "0.10"), (100, "1.00"), (10_000_000_000, "100000000.00")];
        for (fen, yuan) in cases {
            assert_eq!(Fen::new(fen).map(Fen::to_yuan).as_deref(), Some(yuan));
        }
    }

    #[test]
    fn yuan_is_read_with_fewer_decimals_and_nothing_else() {
        for (yuan, fen) in [("0.1", 10), ("1", 100), ("88.88", 8888), ("0.00", 0)] {
            assert_eq!(Fen::from_yuan(yuan), Fen::new(fen), "{yuan}");
        }
        for yuan in ["", ".", "1.", ".5", "-1", "+1", "1e2", "0.001", "1,00", "99999999999999"] {
            assert_eq!(Fen::from_yuan(yuan), None, "{yuan}");
        }
        assert_eq!(Fen::from_yuan("0000000001.0"), Fen::new(100), "ten digits");
        assert_eq!(Fen::from_yuan("00000000001.0"), None, "eleven");
    }

    #[test]
    fn an_amount_that_is_paid_is_1_fen_to_100_million_yuan() {
        assert_eq!(Fen::positive(0), None);
        assert_eq!(Fen::positive(1).map(Fen::fen), Some(1));
        assert_eq!(Fen::positive(10_000_000_000), Some(Fen::MAX));
        assert_eq!(Fen::positive(10_000_000_001), None);
        let sum = |one, other| Fen::new(one)?.checked_add(Fen::new(other)?);
        assert_eq!(sum(9_999_999_999, 1), Some(Fen::MAX));
        assert_eq!(sum(9_999_999_999, 2), None);
    }

    proptest! {
        #[test]
        fn yuan_round_trips(fen in 0_u64..=10_000_000_000) {
            let fen = Fen::new(fen);
            prop_assert_eq!(fen.map(Fen::to_yuan).as_deref().and_then(Fen::from_yuan), fen);
        }
    }
}
