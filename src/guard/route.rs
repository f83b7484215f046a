//! Decides whether a request path is a payment operation, is refused, or passes through.
//!
//! A path is an operation when it is spelt exactly like one. The guard refuses a path that another
//! HTTP server could normalise into one (`//`, `.`, `..`, `%63`, `%2F`, `\`, `;x`, a trailing
//! slash, another case): it neither runs the operation nor forwards the request, since two servers
//! must not disagree about one path.

use percent_encoding::percent_decode_str;

use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
use crate::domain::notify_url::MountPath;

/// The guard's decision about a request's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// Not a payment operation: the request is forwarded unchanged.
    PassThrough,
    /// Nearly a payment operation, or an invalid path below `notify/`: 404.
    Refuse,
    /// A payment operation.
    Operation(PaymentOperation),
}

/// A public payment operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentOperation {
    /// `{mount}/createPayment`
    CreatePayment,
    /// `{mount}/queryPayment`
    QueryPayment,
    /// `{mount}/notify/{provider}/{pay_type}/{merchant}`
    Notify {
        /// The provider that notifies.
        provider: ProviderId,
        /// The pay type that the notification's address was made for.
        pay_type: PayType,
        /// The merchant that the notification's address was made for.
        merchant: Pid,
    },
}

/// The path prefix of the payment operations, by which requests are routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    path: MountPath,
    segments: usize,
}

impl Mount {
    /// The prefix `path`.
    #[must_use]
    pub fn new(path: MountPath) -> Mount {
        let segments = path.as_str().split('/').skip(1).count();
        Mount { path, segments }
    }

    /// The decision about a request for `path`, which has no query.
    #[must_use]
    pub fn route(&self, path: &str) -> RouteDecision {
        match path.strip_prefix(self.path.as_str()) {
            Some("/createPayment") => {
                return RouteDecision::Operation(PaymentOperation::CreatePayment);
            }
            Some("/queryPayment") => {
                return RouteDecision::Operation(PaymentOperation::QueryPayment);
            }
            Some(rest) => {
                if let Some(address) = rest.strip_prefix("/notify/") {
                    return notify(address).map_or(RouteDecision::Refuse, RouteDecision::Operation);
                }
            }
            None => {}
        }
        let bytes = path.as_bytes();
        let disguised = if is_plain(bytes) {
            self.differs_in_case_or_slash(bytes)
        } else {
            self.normalizes_to_operation(bytes)
        };
        if disguised { RouteDecision::Refuse } else { RouteDecision::PassThrough }
    }

    /// Whether a path that normalisation leaves unchanged is an operation in another case, or with
    /// a slash at its end.
    fn differs_in_case_or_slash(&self, path: &[u8]) -> bool {
        let Some((mount, rest)) = path.split_at_checked(self.path.as_str().len()) else {
            return false;
        };
        if !mount.eq_ignore_ascii_case(self.path.as_str().as_bytes()) {
            return false;
        }
        let rest = rest.strip_suffix(b"/").unwrap_or(rest);
        let notify = rest.get(..8).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"/notify/"));
        let is = |name: &str| {
            rest.strip_prefix(b"/").is_some_and(|rest| rest.eq_ignore_ascii_case(name.as_bytes()))
        };
        notify || NAMES.into_iter().any(is)
    }

    /// Whether normalisation makes this path an operation.
    fn normalizes_to_operation(&self, path: &[u8]) -> bool {
        let walk = NormalizedPath::of(path);
        let segments = walk.segments.get(..walk.depth.min(SEGMENTS_MAX)).unwrap_or_default();
        let mut mount = self.path.as_str().split('/').skip(1);
        if !segments.iter().zip(mount.by_ref()).all(|(segment, name)| is_named(segment, name)) {
            return false;
        }
        match segments.get(self.segments..) {
            Some([only]) => NAMES.into_iter().any(|name| is_named(only, name)),
            Some([first, _, ..]) => is_named(first, "notify"),
            _ => false,
        }
    }
}

const NAMES: [&str; 2] = ["createPayment", "queryPayment"];
/// More than any operation has.
const SEGMENTS_MAX: usize = MountPath::SEGMENTS_MAX + 4;
/// The limit of `data.pid` in the schema.
const MERCHANT_CHARS_MAX: usize = 128;

fn notify(address: &str) -> Option<PaymentOperation> {
    let mut parts = address.split('/');
    let (provider, pay_type, merchant) = (parts.next()?, parts.next()?, parts.next()?);
    let pay_type = PayType::parse(pay_type)?;
    let merchant_plain = parts.next().is_none() && !merchant.contains([';', '\\']);
    if !merchant_plain || pay_type.provider().name() != provider {
        return None;
    }
    let merchant = percent_decode_str(merchant).decode_utf8().ok()?;
    let named = !matches!(merchant.as_ref(), "" | "." | "..")
        && merchant.chars().count() <= MERCHANT_CHARS_MAX
        && !merchant.contains(char::is_control);
    let provider = pay_type.provider();
    named.then(|| PaymentOperation::Notify { provider, pay_type, merchant: Pid::new(&merchant) })
}

/// Whether normalisation leaves this path unchanged, except its case and a slash at its end.
fn is_plain(path: &[u8]) -> bool {
    let mut before = b' ';
    path.iter().all(|&byte| {
        let disguise =
            matches!(byte, b'%' | b';' | b'\\') || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        !disguise
    })
}

/// A path's segments after normalisation: the first ones, and how many there are.
struct NormalizedPath<'a> {
    segments: [&'a [u8]; SEGMENTS_MAX],
    depth: usize,
}

impl<'a> NormalizedPath<'a> {
    fn of(path: &'a [u8]) -> NormalizedPath<'a> {
        let mut walk = NormalizedPath { segments: [b""; SEGMENTS_MAX], depth: 0 };
        let mut from = 0;
        let mut at = 0;
        while let Some((byte, next)) = decoded(path, at) {
            if matches!(byte, b'/' | b'\\') {
                walk.enter(path.get(from..at).unwrap_or_default());
                from = next;
            }
            at = next;
        }
        walk.enter(path.get(from..).unwrap_or_default());
        walk
    }

    fn enter(&mut self, segment: &'a [u8]) {
        if is_named(segment, "") || is_named(segment, ".") {
            return;
        }
        if is_named(segment, "..") {
            self.depth = self.depth.saturating_sub(1);
            return;
        }
        if let Some(slot) = self.segments.get_mut(self.depth) {
            *slot = segment;
        }
        self.depth += 1;
    }
}

/// The byte at `at` with its percent-encoding undone, however often it was done, and where the
/// next one starts.
fn decoded(path: &[u8], at: usize) -> Option<(u8, usize)> {
    let mut byte = *path.get(at)?;
    let mut next = at + 1;
    while byte == b'%' {
        let Some(value) = path.get(next..next + 2).and_then(hex) else { break };
        byte = value;
        next += 2;
    }
    Some((byte, next))
}

fn hex(digits: &[u8]) -> Option<u8> {
    let value =
        |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let [high, low] = digits else { return None };
    Some((value(high)? << 4) | value(low)?)
}

/// Whether a segment, decoded and without its `;` parameters, is called `name` in any case.
fn is_named(segment: &[u8], name: &str) -> bool {
    let mut names = name.bytes();
    let mut at = 0;
    while let Some((byte, next)) = decoded(segment, at).filter(|(byte, _)| *byte != b';') {
        if !names.next().is_some_and(|name| name.eq_ignore_ascii_case(&byte)) {
            return false;
        }
        at = next;
    }
    names.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_path_is_judged_without_panic(
            path in "[/\\\\.;%a-zA-Z0-9]{0,40}",
            deep in 0..40_usize,
        ) {
            let mount = Mount::new(MountPath::default());
            let _ = mount.route(&path);
            let detour = format!("{}{}/pay/./createPayment", "/x".repeat(deep), "/..".repeat(deep));
            prop_assert_eq!(mount.route(&detour), RouteDecision::Refuse);
        }

        #[test]
        fn an_operation_with_any_letter_encoded_is_refused(
            at in 1..18_usize,
            twice in any::<bool>(),
        ) {
            let path = "/pay/createPayment";
            let (before, rest) = path.split_at(at);
            let escape = if twice { "%25" } else { "%" };
            let encoded = format!("{before}{escape}{:02x}{}", rest.as_bytes()[0], &rest[1..]);
            let mount = Mount::new(MountPath::default());
            prop_assert_eq!(mount.route(&encoded), RouteDecision::Refuse);
        }
    }
}
