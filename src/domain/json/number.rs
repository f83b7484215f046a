//! Numbers by their exact decimal value: no float, and no exponent is ever expanded.

use std::fmt;

/// The whole number that a JSON number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// Exactly this one.
    Exact(i64),
    /// Not a whole number: `1.5`, `1.0000000000000000001`, `1e-400`.
    Fraction,
    /// Below the range of an `i64`.
    Below,
    /// Above the range of an `i64`.
    Above,
}

/// A number as digits and the power of ten of the last one; one for every spelling of a value.
pub(super) struct Decimal {
    negative: bool,
    /// Neither leading nor trailing zeros; empty is zero.
    digits: String,
    exponent: Exponent,
}

enum Exponent {
    Near(i128),
    /// An exponent of more than [`NEAR_DIGITS_MAX`] digits, and the mantissa's addition to it. Kept
    /// apart, two spellings of one such value may differ, but two values never become one.
    Far {
        negative: bool,
        digits: String,
        plus: i128,
    },
}

/// 10^30 and any length of a text together stay far inside an `i128`.
const NEAR_DIGITS_MAX: usize = 30;

impl Decimal {
    /// Parses a scanned number token.
    pub(super) fn parse_token(token: &str) -> Decimal {
        let (negative, token) = sign(token);
        let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, ""));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_end_matches('0');
        let zeros = all.len().saturating_sub(digits.len());
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Decimal { negative: false, digits: String::new(), exponent: Exponent::Near(0) };
        }
        let plus = wide(zeros).saturating_sub(wide(fraction.len()));
        Decimal { negative, digits: digits.to_owned(), exponent: Exponent::parse(exponent, plus) }
    }

    pub(super) fn whole(&self) -> Whole {
        let beyond = if self.negative { Whole::Below } else { Whole::Above };
        let zeros = match self.exponent {
            Exponent::Near(power) if power < 0 => return Whole::Fraction,
            Exponent::Far { negative: true, .. } => return Whole::Fraction,
            Exponent::Far { negative: false, .. } => return beyond,
            Exponent::Near(power) => usize::try_from(power).unwrap_or(usize::MAX),
        };
        // An i64 has at most 19 digits.
        if self.digits.len().saturating_add(zeros) > 19 {
            return beyond;
        }
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{}{:0<zeros$}", self.digits, "");
        if self.digits.is_empty() { Whole::Exact(0) } else { exact(&text, beyond) }
    }
}

fn exact(text: &str, beyond: Whole) -> Whole {
    text.parse().map_or(beyond, Whole::Exact)
}

impl Exponent {
    fn parse(text: &str, plus: i128) -> Exponent {
        let (negative, digits) = sign(text);
        let digits = digits.trim_start_matches(['+', '0']);
        if digits.len() > NEAR_DIGITS_MAX {
            return Exponent::Far { negative, digits: digits.to_owned(), plus };
        }
        let power = digits.parse::<i128>().unwrap_or_default();
        let power = if negative { power.saturating_neg() } else { power };
        Exponent::Near(power.saturating_add(plus))
    }
}

fn sign(text: &str) -> (bool, &str) {
    text.strip_prefix('-').map_or((false, text), |rest| (true, rest))
}

fn wide(len: usize) -> i128 {
    i128::try_from(len).unwrap_or(i128::MAX)
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        write!(f, "{}{}e", if self.negative { "-" } else { "" }, self.digits)?;
        match &self.exponent {
            Exponent::Near(power) => write!(f, "{power}"),
            Exponent::Far { negative, digits, plus } => {
                write!(f, "{}{digits}{plus:+}", if *negative { "-" } else { "" })
            }
        }
    }
}
