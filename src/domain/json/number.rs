//! Numbers by their exact decimal value: no float, and no exponent is ever expanded.

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
pub(super) struct Decimal<'a> {
    negative: bool,
    /// Two runs of them, as they were written, with neither leading nor trailing zeros; both empty
    /// are zero.
    digits: [&'a str; 2],
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

impl Decimal<'_> {
    /// Parses a scanned number token.
    pub(super) fn parse_token(token: &str) -> Decimal<'_> {
        let (negative, token) = sign(token);
        let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, ""));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [whole, fraction.trim_end_matches('0')];
        let [first, second] = &mut digits;
        if second.is_empty() {
            *first = first.trim_end_matches('0');
        }
        let written = wide(whole.len()).saturating_add(wide(fraction.len()));
        let kept = wide(first.len()).saturating_add(wide(second.len()));
        *first = first.trim_start_matches('0');
        if first.is_empty() {
            *second = second.trim_start_matches('0');
        }
        if digits == ["", ""] {
            return Decimal { negative: false, digits, exponent: Exponent::Near(0) };
        }
        let zeros = written.saturating_sub(kept);
        let plus = zeros.saturating_sub(wide(fraction.len()));
        Decimal { negative, digits, exponent: Exponent::parse(exponent, plus) }
    }

    fn is_zero(&self) -> bool {
        self.digits == ["", ""]
    }

    /// Writes the digits and the exponent; `0` for zero.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.is_zero() {
            return out.push(b'0');
        }
        if self.negative {
            out.push(b'-');
        }
        self.digits.iter().for_each(|digits| out.extend_from_slice(digits.as_bytes()));
        out.push(b'e');
        let exponent = match &self.exponent {
            Exponent::Near(0) => return out.push(b'0'),
            Exponent::Near(power) => match i64::try_from(*power) {
                // Some times faster.
                Ok(power) => power.to_string(),
                Err(_) => power.to_string(),
            },
            Exponent::Far { negative, digits, plus } => {
                format!("{}{digits}{plus:+}", if *negative { "-" } else { "" })
            }
        };
        out.extend_from_slice(exponent.as_bytes());
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
        let [first, second] = self.digits;
        if first.len().saturating_add(second.len()).saturating_add(zeros) > 19 {
            return beyond;
        }
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{first}{second}{:0<zeros$}", "");
        if self.is_zero() { Whole::Exact(0) } else { exact(&text, beyond) }
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
        let power = match digits.len() {
            // Some times faster.
            0..=18 => digits.parse::<i64>().unwrap_or_default().into(),
            _ => digits.parse::<i128>().unwrap_or_default(),
        };
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
