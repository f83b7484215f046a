//! The request lines of a connection, as they are sent.
//!
//! `http::Uri` drops a fragment, so that hyper's request no longer has it. RFC 9112, 3.2 knows no
//! target with a fragment, and servers read one in different ways: as a part of the path, or as its
//! end.

use std::mem;

/// Follows the messages of HTTP/1.1 on a connection to find each request line. It reads no more of
/// a message than where it ends; hyper judges the rest and ends the connection of an invalid one.
#[derive(Debug, Default)]
pub(super) struct RequestLines {
    at: Position,
    head: Head,
    line: LineStart,
    /// The requests whose heads are complete.
    heads: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Position {
    #[default]
    RequestLine,
    Header,
    /// This many bytes until the next request line.
    Body(u64),
    ChunkSize,
    /// This many bytes until the next chunk's size.
    Chunk(u64),
    Trailer,
    /// HTTP/2, or no HTTP.
    Unread,
}

#[derive(Debug, Default)]
struct Head {
    has_fragment: bool,
    is_chunked: bool,
    length: u64,
}

impl RequestLines {
    /// Reads on. The numbers of the requests on this connection, from 0, that have a fragment.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<u64> {
        let mut found = None;
        while !bytes.is_empty() {
            match self.at {
                Position::Unread => break,
                Position::Body(left) => {
                    let left = skip(&mut bytes, left);
                    self.at = if left == 0 { Position::RequestLine } else { Position::Body(left) };
                }
                Position::Chunk(left) => {
                    let left = skip(&mut bytes, left);
                    self.at = if left == 0 { Position::ChunkSize } else { Position::Chunk(left) };
                }
                Position::RequestLine
                | Position::Header
                | Position::ChunkSize
                | Position::Trailer => {
                    if self.line.read(&mut bytes) {
                        let number = self.on_line();
                        found = found.or(number);
                    }
                }
            }
        }
        found
    }

    /// A line has ended. The number of the request that it completes, if that has a fragment.
    fn on_line(&mut self) -> Option<u64> {
        let line = mem::take(&mut self.line);
        let text = line.text();
        match self.at {
            // Empty lines before a request line are none of it (RFC 9112, 2.2).
            Position::RequestLine if text.is_empty() => {}
            Position::RequestLine if text == b"PRI * HTTP/2.0" => self.at = Position::Unread,
            Position::RequestLine => {
                self.head.has_fragment = line.has_hash;
                self.at = Position::Header;
            }
            Position::Header if text.is_empty() => return self.on_head(),
            Position::Header => self.head.read_header(text),
            Position::ChunkSize => match chunk_size(text) {
                0 => self.at = Position::Trailer,
                size => self.at = Position::Chunk(size.saturating_add(2)),
            },
            Position::Trailer if text.is_empty() => self.at = Position::RequestLine,
            _ => {}
        }
        None
    }

    fn on_head(&mut self) -> Option<u64> {
        let head = mem::take(&mut self.head);
        self.at = match head {
            Head { is_chunked: true, .. } => Position::ChunkSize,
            Head { length: 0, .. } => Position::RequestLine,
            Head { length, .. } => Position::Body(length),
        };
        let number = self.heads;
        self.heads += 1;
        head.has_fragment.then_some(number)
    }
}

impl Head {
    fn read_header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(&value[1..]).unwrap_or_default();
            self.length = digits.trim().parse().unwrap_or(0);
        }
    }
}

/// Hexadecimal digits; extensions may follow.
fn chunk_size(line: &[u8]) -> u64 {
    line.iter()
        .map_while(|byte| char::from(*byte).to_digit(16))
        .fold(0_u64, |size, digit| size.saturating_mul(16).saturating_add(u64::from(digit)))
}

/// Skips `left` bytes at most; how many are left then.
fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    *bytes = &bytes[count..];
    left - u64::try_from(count).unwrap_or(left)
}

/// As much of a line as its meaning here needs.
#[derive(Debug)]
struct LineStart {
    kept: [u8; LINE_BYTES],
    length: usize,
    has_hash: bool,
}

/// A `Content-Length` of 20 digits, with some spaces. A client that pads it with more hides nothing
/// but its own next request line.
const LINE_BYTES: usize = 64;

impl Default for LineStart {
    fn default() -> LineStart {
        LineStart { kept: [0; LINE_BYTES], length: 0, has_hash: false }
    }
}

impl LineStart {
    /// Whether the line has ended.
    fn read(&mut self, bytes: &mut &[u8]) -> bool {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let room = self.kept.get_mut(self.length..).unwrap_or_default();
        let count = room.len().min(piece.len());
        room[..count].copy_from_slice(&piece[..count]);
        self.length += count;
        self.has_hash |= piece.contains(&b'#');
        *bytes = rest.get(1..).unwrap_or_default();
        end.is_some()
    }

    fn text(&self) -> &[u8] {
        let kept = self.kept.get(..self.length).unwrap_or_default();
        kept.strip_suffix(b"\r").unwrap_or(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the first request with a fragment, however the bytes are cut.
    #[track_caller]
    fn check_found(sent: &str, number: Option<u64>) {
        for size in [1, 3, sent.len()] {
            let mut lines = RequestLines::default();
            let found: Vec<u64> =
                sent.as_bytes().chunks(size).filter_map(|piece| lines.read(piece)).collect();
            assert_eq!(found.first().copied(), number, "{sent} in pieces of {size}");
        }
    }

    #[test]
    fn a_fragment_is_found_in_whichever_request_has_it() {
        let get = "GET /x HTTP/1.1\r\nreferer: /#a\r\n\r\n";
        let bad = "GET /x#y HTTP/1.1\r\n\r\n";
        let length = "POST /x HTTP/1.1\r\nContent-Length: 24\r\n\r\n";
        let chunks = "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                      18;a=#\r\nGET /x#y HTTP/1.1\r\nh: b\r\n\r\n0\r\nx-a: #\r\n\r\n";
        let body = format!("{length}GET /x#y HTTP/1.1\r\n\r\nabc");
        check_found(get, None);
        check_found(bad, Some(0));
        check_found("\r\n\nGET /#\nhost: a\n\n", Some(0));
        check_found(&format!("{get}{get}{bad}"), Some(2));
        check_found(&body, None);
        check_found(&format!("{body}{bad}"), Some(1));
        check_found(chunks, None);
        check_found(&format!("{chunks}{get}{chunks}{bad}{bad}"), Some(3));
        check_found("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET /#\r\n\r\n", None);
    }

    #[test]
    fn an_invalid_length_or_size_stops_nobody() {
        for line in ["content-length: x", "content-length: 99999999999999999999", "content-length"]
        {
            check_found(&format!("GET / HTTP/1.1\r\n{line}\r\n\r\nGET /# \r\n\r\n"), Some(1));
        }
        let huge = "ffffffffffffffffffff\r\nGET /# HTTP/1.1\r\n\r\n";
        check_found(&format!("GET / HTTP/1.1\r\ntransfer-encoding: x\r\n\r\n{huge}"), None);
    }
}
