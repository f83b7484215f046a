//! Points in time, as the providers write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub i64);

/// One second, in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// One minute, in milliseconds.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// One hour, in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl Millis {
    /// This time and `ms` milliseconds, clamped at the ends of the scale.
    #[must_use]
    pub fn plus(self, ms: i64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Millis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This time without its milliseconds: the providers' formats carry none.
    #[must_use]
    pub fn floor_to_second(self) -> Millis {
        Millis(self.seconds().saturating_mul(1_000))
    }

    /// `2018-06-08T02:34:56.000Z`, as events carry it.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let utc = Timestamp::from_millisecond(self.0).ok();
        utc.map_or_else(String::new, |time| time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }

    /// `2018-06-08T10:34:56+08:00`, as WeChat Pay V3 takes `time_expire`.
    #[must_use]
    pub fn to_rfc3339_beijing(self) -> String {
        self.beijing()
            .map_or_else(String::new, |time| time.strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string())
    }

    /// `2018-06-08 10:34:56` in Beijing time, as Alipay writes every time.
    #[must_use]
    pub fn to_alipay(self) -> String {
        self.beijing()
            .map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }

    /// Reads an RFC 3339 time with an offset.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Millis> {
        text.parse::<Timestamp>().ok().map(|time| Millis(time.as_millisecond()))
    }

    /// Reads Alipay's `2018-06-08 10:34:56`, Beijing time.
    #[must_use]
    pub fn from_alipay(text: &str) -> Option<Millis> {
        let civil = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
        let timestamp = BEIJING.to_timestamp(civil).ok()?;
        Some(Millis(timestamp.as_millisecond()))
    }

    fn beijing(self) -> Option<DateTime> {
        let timestamp = Timestamp::from_millisecond(self.0).ok()?;
        Some(BEIJING.to_datetime(timestamp))
    }
}

/// China has one zone and no daylight saving time: UTC+8.
const BEIJING: Offset = Offset::constant(8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_providers_formats_are_beijing_time_and_round_trip() {
        let at = Millis(1_528_425_296_000);
        assert_eq!(at.to_rfc3339_beijing(), "2018-06-08T10:34:56+08:00");
        assert_eq!(at.to_alipay(), "2018-06-08 10:34:56");
        assert_eq!(Millis::from_rfc3339("2018-06-08T02:34:56Z"), Some(at));
        assert_eq!(Millis::from_rfc3339("2018-06-08T10:34:56+08:00"), Some(at));
        assert_eq!(Millis::from_alipay("2018-06-08 10:34:56"), Some(at));
        for bad in ["", "2018-06-08", "2018-13-08 10:34:56", "now"] {
            assert_eq!(Millis::from_alipay(bad), None, "{bad}");
            assert_eq!(Millis::from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn arithmetic_ends_at_the_scale_and_never_wraps() {
        assert_eq!(Millis(i64::MAX).plus(1), Millis(i64::MAX));
        assert_eq!(Millis(i64::MIN).since(Millis(1)), i64::MIN);
        assert_eq!(Millis(-1).seconds(), -1);
        assert_eq!(Millis(1_999).floor_to_second(), Millis(1_000));
    }
}
