//! The URL at which providers notify: where they reach the app, the mount, and a path below it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use super::channel::PayType;
use super::ids::Pid;
use super::parse_error::ParseError;

/// The path prefix of the payment operations: `/pay`, `/shop/pay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPath(Arc<str>);

impl MountPath {
    /// The most bytes of a prefix.
    pub const BYTES_MAX: usize = 64;
    /// The most segments of a prefix.
    pub const SEGMENTS_MAX: usize = 8;

    /// Reads a prefix of 1 to 8 segments of `[0-9A-Za-z._~-]`, none of them `.` or `..`.
    ///
    /// # Errors
    ///
    /// Why the text is no prefix, in words that follow the setting's name.
    pub fn parse(text: &str) -> Result<MountPath, &'static str> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-".contains(&b);
        let is_segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        let Some(path) = text.strip_prefix('/') else { return Err("does not start with /") };
        if text.len() > MountPath::BYTES_MAX {
            return Err("is longer than 64 bytes");
        }
        if !path.split('/').all(is_segment) {
            return Err("has an empty segment or a character that is not accepted");
        }
        if path.split('/').count() > MountPath::SEGMENTS_MAX {
            return Err("has more than 8 segments");
        }
        Ok(MountPath(text.into()))
    }

    /// The prefix, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MountPath {
    fn default() -> MountPath {
        MountPath("/pay".into())
    }
}

impl FromStr for MountPath {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<MountPath, ParseError> {
        MountPath::parse(text).map_err(|_| ParseError("a path prefix, such as /pay"))
    }
}

impl fmt::Display for MountPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Checks the URL at which providers reach the app, to which the mount is appended.
///
/// # Errors
///
/// Why no provider can use it, in words that follow the setting's name.
pub(crate) fn check_public_url(url: &Url) -> Result<(), &'static str> {
    if url.as_str().trim_end_matches('/').len() > PUBLIC_URL_BYTES_MAX {
        return Err("is longer than 200 bytes");
    }
    check_web_url(url)?;
    check_private(url)
}

/// Checks that a URL is an http or https one without a fragment.
///
/// # Errors
///
/// The reason, in words that follow the setting's name.
pub(crate) fn check_web_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("is neither https nor http");
    }
    if url.fragment().is_some() {
        return Err("has a fragment");
    }
    Ok(())
}

/// Checks that nobody on the way reads what is sent to a URL: https, or http on loopback; and that
/// it has neither a query nor credentials.
///
/// # Errors
///
/// The reason, in words that follow the setting's name.
pub(crate) fn check_private(url: &Url) -> Result<(), &'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a user name or password");
    }
    if url.query().is_some() {
        return Err("has a query");
    }
    if url.scheme() == "http" && !is_loopback(url) {
        return Err("is plain http beyond loopback");
    }
    Ok(())
}

/// Whether `url` leads to this machine.
#[must_use]
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The URL of the mount, without a slash at its end: `https://shop.example.com/pay`.
#[must_use]
pub(crate) fn notify_base(public_url: &Url, mount: &MountPath) -> String {
    format!("{}{mount}", public_url.as_str().trim_end_matches('/'))
}

/// Where a provider notifies of a pay type's payments to a merchant.
pub(crate) fn notify_url(base: &str, pay_type: PayType, pid: &Pid) -> String {
    let merchant = utf8_percent_encode(pid.as_str(), NON_ALPHANUMERIC);
    format!("{base}/notify/{}/{pay_type}/{merchant}", pay_type.provider())
}

/// Checks the length of a merchant's notify URLs.
///
/// # Errors
///
/// Their length, where no provider takes them.
pub(crate) fn check_length(notify_base: &str, pid: &Pid) -> Result<(), usize> {
    // Of a percent-encoded byte three characters are sent.
    let encoded = |byte: u8| if byte.is_ascii_alphanumeric() { 1 } else { 3_usize };
    let pid_length: usize = pid.as_str().bytes().map(encoded).sum();
    let path_length = "/notify/alipay/alipay_mp-alipay/".len().saturating_add(pid_length);
    let length = notify_base.len().saturating_add(path_length);
    if length > NOTIFY_URL_BYTES_MAX { Err(length) } else { Ok(()) }
}

/// Both providers take at most 255 bytes (WeChat Pay V3, JSAPI order, `notify_url`; Alipay allows
/// one more).
pub(crate) const NOTIFY_URL_BYTES_MAX: usize = 255;

/// Leaves room for the mount and the merchant below [`NOTIFY_URL_BYTES_MAX`].
const PUBLIC_URL_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_has_at_most_64_bytes_and_8_segments() {
        let reason = |text: &str| MountPath::parse(text).err();
        assert_eq!(reason(&format!("/{}", "a".repeat(63))), None);
        assert_eq!(reason(&format!("/{}", "a".repeat(64))), Some("is longer than 64 bytes"));
        assert_eq!(reason(&"/a".repeat(8)), None);
        assert_eq!(reason(&"/a".repeat(9)), Some("has more than 8 segments"));
    }

    #[test]
    fn a_public_url_has_at_most_200_bytes() {
        let reason = |length: usize| {
            let url = format!("https://shop.example.com/{:a<1$}/", "", length - 25);
            assert_eq!(url.len(), length + 1, "the slash at its end does not count");
            check_public_url(&url.parse().unwrap()).err()
        };
        assert_eq!(reason(200), None);
        assert_eq!(reason(201), Some("is longer than 200 bytes"));
    }

    #[test]
    fn a_url_with_a_user_name_or_a_password_is_not_private() {
        for (user, is_refused) in [("", false), ("me@", true), (":key@", true), ("me:key@", true)] {
            let url = format!("https://{user}shop.example.com/").parse().unwrap();
            assert_eq!(check_private(&url).is_err(), is_refused, "{user}");
        }
    }

    #[test]
    fn a_notify_url_has_at_most_255_bytes() {
        let base = |length| format!("{:a<1$}", "https://shop.example.com/", length);
        let path = "/notify/alipay/alipay_mp-alipay/".len() + "default".len();
        let length = |base_length| check_length(&base(base_length), &Pid::default()).err();
        assert_eq!(length(255 - path), None);
        assert_eq!(length(256 - path), Some(256));
        let encoded = check_length(&base(200), &Pid::new("店")).err();
        assert_eq!(encoded, None, "241 bytes");
        assert_eq!(check_length(&base(200), &Pid::new("店店店")).err(), Some(259));
    }
}
