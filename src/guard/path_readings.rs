//! The readings of a path: the paths that other HTTP servers take it for.
//!
//! Servers normalise paths by different steps, in different orders, some of them twice. A reading
//! is what any sequence of the steps in [`NORMALIZATIONS`] makes of a path.

/// One way in which servers rewrite a path before they route it.
struct Normalization {
    #[cfg_attr(not(test), expect(dead_code, reason = "names the step in the tests"))]
    name: &'static str,
    apply: fn(&[u8]) -> Vec<u8>,
}

/// Every step. Case and slashes at the end are ignored where a reading is compared.
const NORMALIZATIONS: [Normalization; 10] = [
    Normalization { name: "percent-encoding", apply: decode },
    Normalization { name: "overlong UTF-8", apply: shorten_overlong },
    Normalization { name: "backslash", apply: replace_backslashes },
    Normalization { name: "parameters", apply: strip_parameters },
    Normalization { name: "empty segments", apply: merge_slashes },
    Normalization { name: "dot segments", apply: remove_dots },
    Normalization { name: "encoded dot segments", apply: remove_encoded_dots },
    Normalization { name: "end of path", apply: cut_at_end_mark },
    Normalization { name: "authority", apply: strip_authority },
    Normalization { name: "authority after slashes", apply: strip_late_authority },
];

/// Whether a reading of `path` is an operation. A path that has more readings than a usual one is
/// refused like one.
pub(super) fn any_reading(path: &[u8], is_operation: impl Fn(&[u8]) -> bool) -> bool {
    if path.len() > PATH_BYTES_MAX {
        return true;
    }
    let mut readings = vec![path.to_vec()];
    let mut at = 0;
    while let Some(reading) = readings.get(at).cloned() {
        if is_operation(&reading) {
            return true;
        }
        for step in &NORMALIZATIONS {
            let next = (step.apply)(&reading);
            if readings.contains(&next) {
                continue;
            }
            if readings.len() == READINGS_MAX {
                return true;
            }
            readings.push(next);
        }
        at += 1;
    }
    false
}

/// Whether a reading of `path` can contain one of `names` (in lower case): no step joins letters
/// that are apart. Nothing is allocated.
pub(super) fn can_contain(path: &[u8], names: &[&[u8]]) -> bool {
    let mut window = [0; WINDOW];
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        let escape =
            if byte == b'%' { Escape::at(path.get(at + 1..).unwrap_or_default()) } else { None };
        let (byte, length) = match escape {
            // It can become any letter.
            Some(Escape { byte: b'%' | 0xc0 | 0xc1 | 0xe0 | 0xf0, .. }) => return true,
            Some(escape) => (escape.byte, 1 + escape.length),
            None => (byte, 1),
        };
        window.rotate_left(1);
        window[WINDOW - 1] = byte.to_ascii_lowercase();
        if names.iter().any(|name| window.ends_with(name)) {
            return true;
        }
        at += length;
    }
    false
}

/// As many letters as the longest name has.
const WINDOW: usize = 13;
/// Far longer than a path with an operation's name and an escape in it.
const PATH_BYTES_MAX: usize = 2048;
/// A path that was not made to be ambiguous has fewer than ten.
const READINGS_MAX: usize = 128;

/// What stands after a `%`.
struct Escape {
    byte: u8,
    length: usize,
}

impl Escape {
    /// `63`, or `u0063` as older servers of Microsoft read it.
    fn at(after: &[u8]) -> Option<Escape> {
        let digits = |from: usize, to: usize| {
            let text = std::str::from_utf8(after.get(from..to)?).ok()?;
            let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain.then(|| u16::from_str_radix(text, 16).ok()).flatten()
        };
        let (value, length) = match after.first()? {
            b'u' | b'U' => (digits(1, 5)?, 5),
            _ => (digits(0, 2)?, 2),
        };
        Some(Escape { byte: u8::try_from(value).ok()?, length })
    }
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = if byte == b'%' { Escape::at(after) } else { None };
        decoded.push(escape.as_ref().map_or(byte, |escape| escape.byte));
        rest = after.get(escape.map_or(0, |escape| escape.length)..).unwrap_or_default();
    }
    decoded
}

/// `c0 af`, `e0 80 af` and `f0 80 80 af` are `/` to a decoder of UTF-8 that does not check for the
/// shortest form.
fn shorten_overlong(path: &[u8]) -> Vec<u8> {
    let mut shortened = Vec::with_capacity(path.len());
    let mut rest = path;
    loop {
        rest = match *rest {
            [] => return shortened,
            [high @ (0xc0 | 0xc1), low @ 0x80..=0xbf, ref after @ ..]
            | [0xe0, high @ (0x80 | 0x81), low @ 0x80..=0xbf, ref after @ ..]
            | [0xf0, 0x80, high @ (0x80 | 0x81), low @ 0x80..=0xbf, ref after @ ..] => {
                shortened.push(((high & 1) << 6) | (low & 0x3f));
                after
            }
            [byte, ref after @ ..] => {
                shortened.push(byte);
                after
            }
        };
    }
}

fn replace_backslashes(path: &[u8]) -> Vec<u8> {
    path.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect()
}

/// `/a;v=1/b` is `/a/b` to Java's servers.
fn strip_parameters(path: &[u8]) -> Vec<u8> {
    let plain =
        |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
    path.split(|byte| *byte == b'/').map(plain).collect::<Vec<_>>().join(&b'/')
}

fn merge_slashes(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|next, before| (*next, *before) == (b'/', b'/'));
    merged
}

/// RFC 3986, 5.2.4, for a path that starts with a slash. An empty segment counts as one.
fn remove_dots(path: &[u8]) -> Vec<u8> {
    remove_segments(path, |segment| match segment {
        b"." => Some(Dots::Same),
        b".." => Some(Dots::Up),
        _ => None,
    })
}

/// The URL standard of the WHATWG, "single-dot" and "double-dot URL path segment".
fn remove_encoded_dots(path: &[u8]) -> Vec<u8> {
    remove_segments(path, |segment| match segment.to_ascii_lowercase().as_slice() {
        b"." | b"%2e" => Some(Dots::Same),
        b".." | b".%2e" | b"%2e." | b"%2e%2e" => Some(Dots::Up),
        _ => None,
    })
}

enum Dots {
    Same,
    Up,
}

fn remove_segments(path: &[u8], dots: impl Fn(&[u8]) -> Option<Dots>) -> Vec<u8> {
    let Some(path) = path.strip_prefix(b"/") else { return path.to_vec() };
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        match dots(segment) {
            None => kept.push(segment),
            Some(which) => {
                if matches!(which, Dots::Up) {
                    kept.pop();
                }
                if segments.peek().is_none() {
                    kept.push(b"");
                }
            }
        }
    }
    let mut removed = vec![b'/'];
    removed.extend_from_slice(&kept.join(&b'/'));
    removed
}

/// A decoded `?` or `#` ends the path of a URL, and a NUL that of a file.
fn cut_at_end_mark(path: &[u8]) -> Vec<u8> {
    path.split(|byte| matches!(byte, b'?' | b'#' | 0)).next().unwrap_or_default().to_vec()
}

/// `new URL("//shop/pay", base)` has the path `/pay` (RFC 3986, 4.2, "network-path reference").
fn strip_authority(path: &[u8]) -> Vec<u8> {
    let Some(authority) = path.strip_prefix(b"//") else { return path.to_vec() };
    let end = authority.iter().position(|byte| *byte == b'/').unwrap_or(authority.len());
    authority.get(end..).unwrap_or_default().to_vec()
}

/// The URL standard of the WHATWG, "special authority ignore slashes state": an authority follows
/// any number of slashes.
fn strip_late_authority(path: &[u8]) -> Vec<u8> {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    strip_authority(path.get(slashes.saturating_sub(2)..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_step(name: &str, path: &str, read: &[u8]) {
        let step = NORMALIZATIONS.iter().find(|step| step.name == name).expect("a step");
        let made = (step.apply)(path.as_bytes());
        assert_eq!(made, read, "{path}: {}", String::from_utf8_lossy(&made));
    }

    #[test]
    fn each_step_is_one_servers_normalisation() {
        check_step("percent-encoding", "/%63%2f%2e%5C%25%36%33", b"/c/.\\%63");
        check_step("percent-encoding", "/%u0063%U002f%u4e00%zz%2", b"/c/%u4e00%zz%2");
        check_step("backslash", "/a\\b\\", b"/a/b/");
        check_step("parameters", "/a;v=1/..;/b;", b"/a/../b");
        check_step("empty segments", "//a///b//", b"/a/b/");
        check_step("dot segments", "/a//../b/./c/..", b"/a/b/");
        check_step("dot segments", "/../../a/%2e%2e", b"/a/%2e%2e");
        check_step("encoded dot segments", "/a/b/.%2E/%2e/%2e%2e/c", b"/c");
        check_step("authority", "//shop/pay", b"/pay");
        check_step("authority", "/shop//pay", b"/shop//pay");
        check_step("authority", "///shop/pay", b"/shop/pay");
        check_step("authority after slashes", "////shop/pay", b"/pay");
        check_step("authority after slashes", "/shop//pay", b"/shop//pay");
        let end = NORMALIZATIONS.iter().find(|step| step.name == "end of path").unwrap();
        assert_eq!((end.apply)(b"/a?b#c"), b"/a");
        assert_eq!((end.apply)(b"/a\0b"), b"/a");
        assert_eq!(shorten_overlong(b"\xc0\xafa\xc1\xa3\xc0"), b"/ac\xc0");
        assert_eq!(shorten_overlong(b"\xe0\x80\xafa\xe0\x81\xa3\xe0\xa0"), b"/ac\xe0\xa0");
        assert_eq!(shorten_overlong(b"\xf0\x80\x80\xafa\xf0\x80\x81\xa3"), b"/ac");
    }

    #[test]
    fn a_path_over_the_limit_is_refused_unread() {
        let path = |length: usize| [&b"/"[..], &vec![b'a'; length - 1]].concat();
        assert!(!any_reading(&path(PATH_BYTES_MAX), |_| false));
        assert!(any_reading(&path(PATH_BYTES_MAX + 1), |_| false));
    }

    #[test]
    fn letters_are_found_however_they_are_encoded() {
        for path in
            ["/notify", "/NOTIFY", "/n%6ftify", "/%25", "/%u006eotify", "/%c1%ae", "%6Eotify"]
        {
            assert!(can_contain(path.as_bytes(), &[b"notify"]), "{path}");
        }
        for path in ["/", "/not%69f", "/n/otify", "/%e6%94%af", "/%", "/%zz"] {
            assert!(!can_contain(path.as_bytes(), &[b"notify"]), "{path}");
        }
    }
}
