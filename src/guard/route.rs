//! Decides whether a request path is a payment operation, is refused, or passes through.
//!
//! A path is an operation when it is spelt exactly like one. The guard refuses a path that another
//! HTTP server could normalise into one (`path_readings`, a trailing slash, another case): it
//! neither runs the operation nor forwards the request, since two servers must not disagree about
//! one path.

use percent_encoding::percent_decode_str;

use super::path_readings::{any_reading, can_contain};
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

impl PaymentOperation {
    /// The name in the log: the last segment of the path, or `notify`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            PaymentOperation::CreatePayment => "createPayment",
            PaymentOperation::QueryPayment => "queryPayment",
            PaymentOperation::Notify { .. } => "notify",
        }
    }
}

/// The path prefix of the payment operations, by which requests are routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    path: MountPath,
}

impl Mount {
    /// The prefix `path`.
    #[must_use]
    pub fn new(path: MountPath) -> Mount {
        Mount { path }
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
            self.is_operation(bytes)
        } else {
            can_contain(bytes, &NAMES) && any_reading(bytes, |reading| self.is_operation(reading))
        };
        if disguised { RouteDecision::Refuse } else { RouteDecision::PassThrough }
    }

    /// Whether a reading is an operation, in any case and with any slashes at its end, and before
    /// them dots, white space or control characters: some servers cut these off.
    fn is_operation(&self, reading: &[u8]) -> bool {
        let mount = self.path.as_str().as_bytes();
        let Some((start, rest)) = reading.split_at_checked(mount.len()) else { return false };
        let Some(rest) = rest.strip_prefix(b"/") else { return false };
        let name = without_end(rest, |byte| byte == b'/');
        let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        let is_named = match name.len() == first.len() {
            true => {
                let name = without_end(name, |byte| matches!(byte, b'.' | 0..=b' ' | 0x7f));
                [CREATE, QUERY].iter().any(|known| name.eq_ignore_ascii_case(known))
            }
            false => first.eq_ignore_ascii_case(NOTIFY),
        };
        is_named && start.eq_ignore_ascii_case(mount)
    }
}

/// `text` without the bytes at its end that `is_cut_off`.
fn without_end(text: &[u8], is_cut_off: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_cut_off(*byte)).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

const CREATE: &[u8] = b"createpayment";
const QUERY: &[u8] = b"querypayment";
const NOTIFY: &[u8] = b"notify";
const NAMES: [&[u8]; 3] = [CREATE, QUERY, NOTIFY];
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use percent_encoding::percent_decode;
    use proptest::prelude::*;
    use proptest::sample::select;
    use url::Url;

    use super::*;

    /// RFC 3986, 5.2.4, step by step as the text has it.
    fn rfc_3986(path: &str) -> String {
        let (mut input, mut output) = (path.to_owned(), String::new());
        while !input.is_empty() {
            let cut = |output: &mut String| output.truncate(output.rfind('/').unwrap_or(0));
            if let Some(rest) = input.strip_prefix("../").or_else(|| input.strip_prefix("./")) {
                input = rest.to_owned();
            } else if let Some(rest) = input.strip_prefix("/./") {
                input = format!("/{rest}");
            } else if input == "/." {
                input = "/".to_owned();
            } else if let Some(rest) = input.strip_prefix("/../") {
                input = format!("/{rest}");
                cut(&mut output);
            } else if input == "/.." {
                input = "/".to_owned();
                cut(&mut output);
            } else if input == "." || input == ".." {
                input.clear();
            } else {
                let end = input.char_indices().skip(1).find(|(_, c)| *c == '/');
                let rest = input.split_off(end.map_or(input.len(), |(at, _)| at));
                output += &input;
                input = rest;
            }
        }
        output
    }

    /// What the `url` crate makes of the target, joined to a base as Node's servers do.
    fn whatwg(path: &str) -> String {
        let base = Url::parse("http://127.0.0.1/").unwrap();
        base.join(path).map(|url| url.path().to_owned()).unwrap_or_default()
    }

    /// The `url` crate again, for servers that put an authority before the target.
    fn whatwg_after_authority(path: &str) -> String {
        let url = Url::parse(&format!("http://127.0.0.1{path}"));
        url.map(|url| url.path().to_owned()).unwrap_or_default()
    }

    fn decoded(path: &str) -> String {
        percent_decode(path.as_bytes()).decode_utf8_lossy().into_owned()
    }

    /// As nginx does: empty segments are none.
    fn merged(path: &str) -> String {
        let mut merged = path.to_owned();
        while merged.contains("//") {
            merged = merged.replace("//", "/");
        }
        merged
    }

    /// As Java's servers do.
    fn without_parameters(path: &str) -> String {
        let plain = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
        path.split('/').map(plain).collect::<Vec<_>>().join("/")
    }

    fn slashes(path: &str) -> String {
        path.replace('\\', "/")
    }

    const SERVERS: [fn(&str) -> String; 7] =
        [rfc_3986, whatwg, whatwg_after_authority, decoded, merged, without_parameters, slashes];

    fn names_operation(path: &str) -> bool {
        let path = path.trim_end_matches('/').to_ascii_lowercase();
        ["/pay/createpayment", "/pay/querypayment"].contains(&path.as_str())
    }

    const PIECES: [&str; 30] = [
        "/",
        "//",
        "/./",
        "/../",
        "/..",
        "/%2e%2e/",
        "/.%2E/",
        "/..;/",
        "/;x",
        ";v=1",
        "\\",
        "%5c",
        "%2f",
        "%252f",
        "%25",
        "/pay",
        "/Pay",
        "/p%61y",
        "%2Fpay",
        "pay",
        "/createPayment",
        "/create%50ayment",
        "createPayment",
        "/createpayment/",
        "/x",
        "x",
        "/x%2fy",
        "//evil",
        "/queryPayment",
        ".",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_path_that_three_servers_in_a_row_make_an_operation_does_not_pass(
            pieces in prop::collection::vec(select(&PIECES[..]), 1..8),
            detour in select(&["", "/x/..", "//..", "/pay//..", "/x%2fy/..", "/%2e"][..]),
        ) {
            let mount = Mount::new(MountPath::default());
            for end in ["", "/createPayment", "/pay/createPayment"] {
                let path = format!("/{}{detour}{end}", pieces.concat());
                let passes = mount.route(&path) == RouteDecision::PassThrough;
                let mut readings = BTreeSet::from([path.clone()]);
                for _ in 0..3 {
                    let next = readings.iter().flat_map(|it| SERVERS.map(|server| server(it)));
                    let next: Vec<String> = next.collect();
                    readings.extend(next);
                }
                let named = readings.iter().find(|reading| names_operation(reading));
                prop_assert!(!(passes && named.is_some()), "{path} as {named:?}");
            }
        }

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
