//! Texts of others in whatever characters they are written.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030};

/// The text of `bytes`: by its byte order mark, else UTF-8, else GB18030, which contains GBK and
/// GB2312. What stands for no character becomes U+FFFD.
pub(crate) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let text = bytes.get(mark..).unwrap_or_default();
        return encoding.decode_without_bom_handling(text).0;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => GB18030.decode_without_bom_handling(bytes).0,
    }
}

/// Whether `bytes` are a text in UTF-16, as Windows writes it: by its byte order mark, or by the
/// zero beside each of its first characters, which are ASCII.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xff, 0xfe, ..]
            | [0xfe, 0xff, ..]
            | [1..=0x7f, 0, 1..=0x7f, 0, ..]
            | [0, 1..=0x7f, 0, 1..=0x7f, ..]
    )
}

/// The bytes of a part of `bytes`' text, in the characters of the whole.
#[cfg(feature = "alipay")]
pub(crate) fn encode_as<'t>(part: &'t str, bytes: &[u8]) -> Cow<'t, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Cow::Borrowed(part.as_bytes()),
        Err(_) => GB18030.encode(part).0,
    }
}

/// A character encoding that a provider named, in which ASCII stands for itself.
#[cfg(any(test, feature = "alipay"))]
pub(crate) fn named(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label(label.as_bytes()).filter(|encoding| encoding.is_ascii_compatible())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_by_its_mark_or_as_utf8_or_as_chinese() {
        let (gbk, ..) = encoding_rs::GBK.encode("余额不足");
        let utf16: Vec<u8> = [0xfeff_u16]
            .into_iter()
            .chain("余额".encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(decode("余额不足".as_bytes()), "余额不足");
        assert_eq!(decode(&gbk), "余额不足");
        assert_eq!(decode("\u{feff}余额".as_bytes()), "余额");
        assert_eq!(decode(&utf16), "余额");
        assert_eq!(decode(b"\xff"), "\u{fffd}");
        for known in ["GBK", "gb2312", "utf-8", "GB18030"] {
            assert!(named(known).is_some(), "{known}");
        }
        for other in ["utf-16le", "iso-2022-jp", "klingon", ""] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
