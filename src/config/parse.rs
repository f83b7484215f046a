//! Parses the texts of variables. No error repeats the text: it may be a secret.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::problem::ProblemReason;
use crate::caller::TrustedProxies;
use crate::domain::charset::is_utf16;
use crate::domain::notify_url::{self, MountPath};
use crate::domain::order::next_attempt::ORDER_TTL_MS;
use crate::domain::request::BODY_BYTES_MAX;
use crate::merchant::client::check_service_url;
use crate::merchant::webhook;
use crate::pricing::Pricing;
use crate::secret::Secret;

/// The text in `bytes`.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, ProblemReason> {
    if is_utf16(bytes) {
        return Err("is in UTF-16: save it as UTF-8".into());
    }
    std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

/// `300ms`, `8s`, `5m`, `2h`, `7d`: longer than 0, at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, ProblemReason> {
    let (count, unit) = count_and_unit(text)?;
    let ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("has an unknown unit".into()),
    };
    match count.checked_mul(ms) {
        None => Err("is too long".into()),
        Some(0) => Err("must be longer than 0".into()),
        Some(ms) if ms > YEAR_MS => Err("is too long".into()),
        Some(ms) => Ok(Duration::from_millis(ms)),
    }
}

/// The time that an order may stay open at a provider.
pub(super) fn order_ttl(text: &str) -> Result<Duration, ProblemReason> {
    let ttl = duration(text)?;
    let is_valid = i64::try_from(ttl.as_millis()).is_ok_and(|ms| ORDER_TTL_MS.contains(&ms));
    is_valid.then_some(ttl).ok_or_else(|| "is not between 5m and 7d".into())
}

/// `64KiB`: the size of a body in memory, in bytes.
pub(super) fn body_size(text: &str) -> Result<usize, ProblemReason> {
    let size = bytes(text)?.filter(|size| (1 << 10..=BODY_BYTES_MAX).contains(size));
    size.ok_or_else(|| "is not between 1KiB and 256KiB".into())
}

/// `1KiB`: the bytes of a second.
pub(super) fn byte_rate(text: &str) -> Result<usize, ProblemReason> {
    let rate = bytes(text)?.filter(|rate| (1..=16 << 20).contains(rate));
    rate.ok_or_else(|| "is not between 1B and 16MiB".into())
}

fn bytes(text: &str) -> Result<Option<usize>, ProblemReason> {
    let (count, unit) = count_and_unit(text)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("has an unknown unit".into()),
    };
    Ok(count.checked_mul(bytes).and_then(|size| usize::try_from(size).ok()))
}

/// The time after which a quiet peer is probed, which the operating system counts in seconds.
pub(super) fn keepalive(text: &str) -> Result<Duration, ProblemReason> {
    let after = duration(text)?;
    let is_valid = (Duration::from_secs(1)..=Duration::from_secs(32_767)).contains(&after);
    is_valid.then_some(after).ok_or_else(|| "is not between 1s and 9h".into())
}

/// A number of things kept in memory.
pub(super) fn count(text: &str) -> Result<usize, ProblemReason> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse().ok().filter(|count| digits && (1..=10_000_000).contains(count));
    count.ok_or_else(|| "is not a whole number between 1 and 10000000".into())
}

/// `true`, `false`.
pub(super) fn boolean(text: &str) -> Result<bool, ProblemReason> {
    choice(text, &[("true", true), ("false", false)])
}

/// The value of one of the names.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, ProblemReason> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| "is none of the accepted words".into())
}

/// `127.0.0.1:8787`, `[::1]:8787`.
pub(super) fn address(text: &str) -> Result<SocketAddr, ProblemReason> {
    text.parse().map_err(|_| "is not an IP address with a port".into())
}

/// An address, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, ProblemReason> {
    if text == "off" { Ok(None) } else { address(text).map(Some) }
}

/// Networks with commas between them; a bare address is a network of one.
pub(super) fn networks(text: &str) -> Result<TrustedProxies, ProblemReason> {
    let networks: Vec<IpNet> =
        items(text, |item| item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from)).ok())
            .map_err(|n| format!("item {n} is neither an address nor a network"))?;
    TrustedProxies::try_from(networks)
        .map_err(|_| "trusts every address, so that any client could name its own".into())
}

/// Origins with commas between them, in the form in which browsers send them.
pub(super) fn origins(text: &str) -> Result<Vec<String>, ProblemReason> {
    if text.split(',').any(|item| item.trim() == "*") {
        return Err("must name its origins: * would let every page on the internet call".into());
    }
    items(text, |item| {
        let url = Url::parse(item).ok()?;
        let web = matches!(url.scheme(), "http" | "https");
        (web && only_origin(&url)).then(|| url.origin().ascii_serialization())
    })
    .map_err(|n| format!("item {n} is not an origin").into())
}

/// `/pay`, `/shop/pay`.
pub(super) fn mount(text: &str) -> Result<String, ProblemReason> {
    Ok(MountPath::parse(text)?.as_str().to_owned())
}

/// The URL at which providers reach paygate.
pub(super) fn public_url(text: &str) -> Result<Url, ProblemReason> {
    let url = web_url(text)?;
    notify_url::check_public_url(&url)?;
    Ok(url)
}

/// An https URL, or an http one on loopback.
pub(super) fn https_url(text: &str) -> Result<Url, ProblemReason> {
    let url = web_url(text)?;
    notify_url::check_private(&url)?;
    Ok(url)
}

/// An https URL (or http on loopback) without a path.
pub(super) fn https_origin(text: &str) -> Result<Url, ProblemReason> {
    let url = https_url(text)?;
    if only_origin(&url) { Ok(url) } else { Err("has a path".into()) }
}

/// An http URL without anything but scheme, host and port.
pub(super) fn upstream(text: &str) -> Result<Url, ProblemReason> {
    let url = web_url(text)?;
    if url.scheme() != "http" {
        return Err("is not plain http".into());
    }
    check_service_url(&url)?;
    if only_origin(&url) { Ok(url) } else { Err("has more than scheme, host and port".into()) }
}

/// An http or https URL without a fragment.
pub(super) fn web_url(text: &str) -> Result<Url, ProblemReason> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    notify_url::check_web_url(&url)?;
    Ok(url)
}

/// The URL of one of the shop's own services: any host but those at which clouds give out a
/// machine's credentials.
pub(super) fn shop_url(text: &str) -> Result<Url, ProblemReason> {
    let url = web_url(text)?;
    check_service_url(&url)?;
    Ok(url)
}

/// A webhook's URL, in which `{type}` stands for the order's type.
pub(super) fn webhook_url(text: &str) -> Result<String, ProblemReason> {
    webhook::check_url(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// The shop's price service, which gets the client's own `Authorization`.
pub(super) fn pricing_url(text: &str) -> Result<Url, ProblemReason> {
    let url = shop_url(text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user name or password, but the request carries the client's own".into()
        );
    }
    Ok(url)
}

/// The secret that quotes are signed with.
pub(super) fn quote_secret(text: &str) -> Result<Secret, ProblemReason> {
    if text.len() < Pricing::QUOTE_SECRET_BYTES_MIN {
        return Err("is shorter than 32 bytes".into());
    }
    Ok(Secret::new(text))
}

/// A log filter: levels, for everything or for a target.
pub(super) fn log_filter(text: &str) -> Result<String, ProblemReason> {
    let is_level = |text: &str| LEVELS.contains(&text);
    let is_target = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
    };
    let filters = items(text, |item| {
        let is_valid = match item.split_once('=') {
            Some((name, value)) => is_target(name) && is_level(value),
            None => is_level(item),
        };
        is_valid.then(|| item.to_owned())
    });
    filters
        .map(|filters| filters.join(","))
        .map_err(|n| format!("item {n} is neither a level nor target=level").into())
}

/// A bearer token: too long to be guessed, of characters that a header can hold.
pub(super) fn token(text: &str) -> Result<Secret, ProblemReason> {
    match text.chars().count() {
        _ if !text.bytes().all(|b| b.is_ascii_graphic()) => {
            Err("has a character that cannot stand in a header".into())
        }
        count if count < 32 => Err("is shorter than 32 characters".into()),
        _ => Ok(Secret::new(text)),
    }
}

/// The secret of a robot of DingTalk or Feishu.
pub(super) fn alert_secret(text: &str) -> Result<Secret, ProblemReason> {
    let is_plain = text.bytes().all(|b| b.is_ascii_graphic());
    is_plain.then(|| Secret::new(text)).ok_or_else(|| "is no text that a robot shows".into())
}

/// The keys that events are signed with.
pub(super) fn webhook_keys(text: &str) -> Result<Vec<Vec<u8>>, ProblemReason> {
    webhook::signing_keys(text).map_err(|error| error.to_string().into())
}

/// A name of letters and digits: an app's or an account's.
pub(super) fn identifier(text: &str) -> Result<String, ProblemReason> {
    let is_valid =
        (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    is_valid.then(|| text.to_owned()).ok_or_else(|| "is not 1 to 32 letters and digits".into())
}

/// 1 to 32 digits.
pub(super) fn digits(text: &str) -> Result<String, ProblemReason> {
    let is_valid = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_valid.then(|| text.to_owned()).ok_or_else(|| "is not 1 to 32 digits".into())
}

/// The items of a list with commas. The error is the place of an invalid one, from 1.
fn items<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, usize> {
    text.split(',').enumerate().map(|(index, item)| parse(item.trim()).ok_or(index + 1)).collect()
}

fn count_and_unit(text: &str) -> Result<(u64, &str), ProblemReason> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match text.split_at(end) {
        ("", _) => Err("is not a whole number with a unit".into()),
        (_, "") => Err("has no unit".into()),
        (count, unit) => {
            let count = count.parse().map_err(|_| Cow::Borrowed("is too large"))?;
            Ok((count, unit))
        }
    }
}

fn only_origin(url: &Url) -> bool {
    let bare = url.username().is_empty() && url.password().is_none();
    bare && url.path() == "/" && url.query().is_none() && url.fragment().is_none()
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

const YEAR_MS: u64 = 366 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T>(parse: impl Fn(&str) -> Result<T, ProblemReason>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "{text} is refused");
        }
        for text in bad {
            let reason = parse(text).err().unwrap_or_else(|| panic!("{text} is accepted"));
            let is_repeated = text.len() > 3 && reason.contains(text);
            assert!(!is_repeated, "{reason} repeats the value {text}");
        }
    }

    #[test]
    fn durations_and_sizes_carry_a_unit() {
        let bad = ["8", "0s", "-1s", "1.5s", "8 s", "8S", "s", "1w", "1h30m", "999999999999d"];
        check(duration, &["300ms", "8s", "5m", "2h", "7d"], &bad);
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        check(order_ttl, &["5m", "300s", "7d", "168h"], &["4m", "299999ms", "8d", "169h", "30"]);
        let bad = ["65536", "64KB", "64kib", "64K", "257KiB", "1GiB", "1B", "99999999999GiB"];
        check(body_size, &["1KiB", "64KiB", "256KiB", "65536B"], &bad);
        check(byte_rate, &["1B", "1KiB", "16MiB"], &["0B", "1", "17MiB"]);
        check(keepalive, &["1s", "60s", "9h"], &["500ms", "10h", "60"]);
        assert_eq!(body_size("64KiB"), Ok(65_536));
        check(count, &["1", "100000"], &["0", "-1", "+1", "1k", "10000001", ""]);
    }

    #[test]
    fn addresses_networks_and_origins() {
        let bad = ["8787", "localhost:8787", "127.0.0.1", ":8787", "127.0.0.1:99999"];
        check(address, &["127.0.0.1:8787", "[::1]:0"], &bad);
        assert_eq!(address_or_off("off"), Ok(None));
        check(networks, &["10.0.0.0/8", "::1, 10.1.2.3"], &["", "10.0.0.0/33", "a.b", "0.0.0.0/0"]);
        let bad = ["*", "https://a.b,*", "null", "https://a.b/x", "ftp://a.b", "https://u@a.b"];
        check(origins, &["https://a.b", "http://localhost:3000,https://c.d/"], &bad);
        assert_eq!(origins("HTTPS://A.b:443/"), Ok(vec!["https://a.b".to_owned()]));
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let good = [
            "https://a.b",
            "https://a.b:8443/x",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost",
        ];
        let bad = [
            "http://a.b",
            "http://localhost.a.b",
            "http://127.0.0.1.a.b",
            "http://10.0.0.1",
            "https://a.b?x",
            "https://a.b#x",
            "https://u:p@a.b",
            "a.b",
            "ftp://a.b",
            "",
        ];
        check(https_url, &good, &bad);
        check(public_url, &good, &[&format!("https://a.b/{}", "x".repeat(200))]);
        check(https_origin, &["https://a.b", "https://a.b/"], &["https://a.b/x", "http://a.b"]);
        check(
            upstream,
            &["http://a.b:1"],
            &["http://a.b/x", "http://u@a.b", "https://a.b", "unix:/x"],
        );
    }

    #[test]
    fn mounts_log_filters_and_names() {
        let bad = [
            "",
            "/",
            "pay",
            "/pay/",
            "//pay",
            "/a/../b",
            "/p%61y",
            "/支付",
            &"/x".repeat(33),
            &"/x".repeat(9),
        ];
        check(mount, &["/pay", "/a/b-c_d.e~f"], &bad);
        let bad = ["", "inof", "INFO", "hyper", "hyper=loud", "info,", "a b=info"];
        check(log_filter, &["info", "off", "info,paygate::engine=debug, hyper=warn"], &bad);
        check(identifier, &["wx1", "2014072300007148"], &["", "wx-1", &"x".repeat(33)]);
        check(digits, &["1900000001"], &["", "19000x", "１９"]);
    }

    #[test]
    fn a_shops_service_is_anywhere_but_where_clouds_keep_credentials() {
        let good = [
            "http://10.0.0.5:3000/price",
            "http://shop.internal/price?key=x",
            "https://a.b",
            "http://[fd00::1]/",
            "http://169.253.0.1/",
        ];
        let bad = [
            "http://169.254.169.254/latest",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://169.254.1/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://[febf::1]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
            "https://a.b/#x",
            "ftp://a.b",
            "/price",
        ];
        check(shop_url, &good, &bad);
        check(pricing_url, &good, &["https://u:p@a.b/", "https://u@a.b/"]);
    }

    #[test]
    fn tokens_and_webhook_secrets() {
        let long = "x".repeat(32);
        check(token, &[&long], &[&long[1..], &"长".repeat(32), &format!("{long} {long}")]);
        check(quote_secret, &[&long, &"长".repeat(11)], &[&long[1..], &"长".repeat(10)]);
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = format!("{secret},{secret}");
        check(webhook_keys, &[secret, &two], &["whsec_!!!!", "whsec_c2VjcmV0", &long, ""]);
    }
}
