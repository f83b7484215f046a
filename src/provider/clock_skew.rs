//! Finds a wrong clock by the time in a provider's responses.

use std::fmt;

use http::HeaderMap;
use http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::domain::time::Millis;

/// How far this machine's clock is from the provider's: more than [`OFF_S_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skew {
    /// In seconds; negative when it is behind.
    ahead_s: i64,
}

impl Skew {
    /// By the provider's own time, in seconds since 1970; `None` when both agree.
    pub(crate) fn between(now: Millis, theirs_s: i64) -> Option<Skew> {
        let ahead_s = now.seconds().saturating_sub(theirs_s);
        (ahead_s.unsigned_abs() > OFF_S_MAX).then_some(Skew { ahead_s })
    }

    /// By a response's `Date`, which nobody signs: for the operator's logs, and nothing else.
    pub(crate) fn read(headers: &HeaderMap, now: Millis) -> Option<Skew> {
        Skew::between(now, date(headers)?.seconds())
    }

    /// The reason, for the operator, when the provider refused a request's time.
    pub(crate) fn time_refused(skew: Option<Skew>) -> String {
        match skew {
            Some(skew) => format!("the request's time was refused: {skew}"),
            None => "the request's time was refused: check this machine's clock".to_owned(),
        }
    }
}

/// A response's `Date`: the provider's time, which nobody signs.
pub(crate) fn date(headers: &HeaderMap) -> Option<Millis> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = DateTimeParser::new().parse_timestamp(date).ok()?;
    Some(Millis(theirs.as_millisecond()))
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.ahead_s < 0 { "behind" } else { "ahead of" };
        let off_s = self.ahead_s.unsigned_abs();
        write!(f, "this machine's clock is {off_s} s {direction} the provider's")
    }
}

/// The window that WeChat Pay's documents demand of both sides (WeChat Pay V3, "how to verify
/// the signature"), in seconds.
const OFF_S_MAX: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    /// Tue, 14 Nov 2023 22:13:20 GMT.
    const NOW: Millis = Millis(1_700_000_000_000);

    fn check(date: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
        Skew::read(&headers, NOW).map(|skew| skew.to_string())
    }

    #[test]
    fn a_date_over_five_minutes_off_names_the_clock_and_the_difference() {
        let behind = "this machine's clock is 3600 s behind the provider's";
        assert_eq!(check("Tue, 14 Nov 2023 23:13:20 GMT").as_deref(), Some(behind));
        let ahead = "this machine's clock is 301 s ahead of the provider's";
        assert_eq!(check("Tue, 14 Nov 2023 22:08:19 GMT").as_deref(), Some(ahead));
        for agrees in ["Tue, 14 Nov 2023 22:08:20 GMT", "Tue, 14 Nov 2023 22:18:20 GMT"] {
            assert_eq!(check(agrees), None, "{agrees}");
        }
    }

    #[test]
    fn a_date_that_is_none_says_nothing() {
        let long = "9".repeat(8_000);
        for date in ["", "now", "Tue, 14 Nov", "1700000000", "2023-11-14T00:00:00Z", &long] {
            assert_eq!(check(date), None, "{date}");
        }
        assert_eq!(Skew::read(&HeaderMap::new(), NOW), None);
        assert!(Skew::between(Millis(i64::MAX), i64::MIN).is_some());
    }
}
