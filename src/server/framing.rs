//! Where the requests of a connection begin and end, read strictly (RFC 9112): what could be read in two ways by two programs
//! in a row is refused before it is read at all.
//!
//! The HTTP library reads with more patience: lines that end in a line feed alone, a length and chunks at once, the same
//! length twice. Between a proxy and a server, patience is how one request is smuggled within another.

use super::listen::{HEAD_BYTES, HEADERS};

/// The longest line with the length of a chunk, and the most that may follow the last one.
const CHUNK_LINE: usize = 256;
/// The longest body that a length may tell; what may really come is less, and a matter of the routes.
const LONGEST: u64 = 1 << 40;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Head,
    Body(u64),
    /// The length of a chunk: digits so far, and their value.
    Size(usize, u64),
    /// The rest of the line, of which so much was read.
    Extension(usize, u64),
    SizeEnd(u64),
    Chunk(u64),
    /// The carriage return after a chunk, and the line feed.
    ChunkEnd,
    ChunkEnded,
    /// What follows the last chunk, of which so much was read; whether a line begins here.
    Trailer(usize, bool),
    TrailerEnd(usize, bool),
}

/// Something that is not read on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The byte at which it was noticed.
    pub(crate) at: usize,
}

/// What was read of a connection.
#[derive(Debug)]
pub(crate) struct Framing {
    next: Next,
    head: Vec<u8>,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self { next: Next::Head, head: Vec::new() }
    }

    /// Whether a body is being sent.
    pub(crate) fn in_body(&self) -> bool {
        self.next != Next::Head
    }

    /// Reads on.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            // What is only counted is counted at once.
            if let Next::Body(left) | Next::Chunk(left) = self.next {
                let there = (bytes.len() - at) as u64;
                let taken = left.min(there);
                let left = left - taken;
                self.next = match self.next {
                    Next::Body(_) if left == 0 => Next::Head,
                    Next::Body(_) => Next::Body(left),
                    _ if left == 0 => Next::ChunkEnd,
                    _ => Next::Chunk(left),
                };
                at += usize::try_from(taken).unwrap_or(bytes.len());
                continue;
            }
            self.next = self.one(*byte).ok_or(Refused { at })?;
            at += 1;
        }
        Ok(())
    }

    /// Reads one byte that is not of a body.
    fn one(&mut self, byte: u8) -> Option<Next> {
        Some(match self.next {
            Next::Head => return self.head(byte),
            Next::Size(digits, value) => match byte {
                b'\r' if digits > 0 => Next::SizeEnd(value),
                b';' if digits > 0 => Next::Extension(0, value),
                _ if digits < 8 => {
                    let digit = char::from(byte).to_digit(16)?;
                    Next::Size(digits + 1, value * 16 + u64::from(digit))
                }
                _ => return None,
            },
            Next::Extension(_, value) if byte == b'\r' => Next::SizeEnd(value),
            Next::Extension(read, value) if read < CHUNK_LINE && is_text(byte) => Next::Extension(read + 1, value),
            Next::SizeEnd(0) if byte == b'\n' => Next::Trailer(0, true),
            Next::SizeEnd(value) if byte == b'\n' => Next::Chunk(value),
            Next::ChunkEnd if byte == b'\r' => Next::ChunkEnded,
            Next::ChunkEnded if byte == b'\n' => Next::Size(0, 0),
            Next::Trailer(read, begins) if byte == b'\r' => Next::TrailerEnd(read, begins),
            Next::Trailer(read, _) if read < CHUNK_LINE && is_text(byte) => Next::Trailer(read + 1, false),
            Next::TrailerEnd(_, true) if byte == b'\n' => Next::Head,
            Next::TrailerEnd(read, false) if byte == b'\n' => Next::Trailer(read, true),
            _ => return None,
        })
    }

    fn head(&mut self, byte: u8) -> Option<Next> {
        let last = self.head.last().copied();
        let line_ended = self.head.ends_with(b"\r\n");
        let fits = match byte {
            b'\n' => last == Some(b'\r'),
            b'\r' => last != Some(b'\r'),
            // A line that goes on in the next one.
            b' ' | b'\t' => !line_ended && last.is_some() && last != Some(b'\r'),
            _ => is_text(byte) && last != Some(b'\r'),
        };
        if !fits || self.head.len() >= HEAD_BYTES {
            return None;
        }
        self.head.push(byte);
        // An empty line before a request is passed over (section 2.2).
        if self.head == b"\r\n" {
            self.head.clear();
        }
        if !self.head.ends_with(b"\r\n\r\n") {
            return Some(Next::Head);
        }
        let next = body_of(&self.head);
        self.head.clear();
        next
    }
}

/// Whether a byte may stand in a line.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What follows a head; `None` where that is not clear.
fn body_of(head: &[u8]) -> Option<Next> {
    let mut lines = head.split(|byte| *byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (mut length, mut chunked, mut count) = (None, false, 0);
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        count += 1;
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..)?.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let told: u64 = std::str::from_utf8(value).ok().filter(|_| is_number)?.parse().ok()?;
            if length.replace(told).is_some() || told > LONGEST {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
            chunked = true;
        }
    }
    match (length, chunked) {
        _ if count > HEADERS => None,
        (Some(_), true) => None,
        (None, true) => Some(Next::Size(0, 0)),
        (None | Some(0), false) => Some(Next::Head),
        (Some(length), false) => Some(Next::Body(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole and byte by byte, which comes to the same.
    fn read(text: &str) -> Result<Next, Refused> {
        let mut whole = Framing::new();
        let read = whole.read(text.as_bytes()).map(|()| whole.next);
        let mut slow = Framing::new();
        let mut slowly = Ok(());
        for (at, byte) in text.bytes().enumerate() {
            slowly = slow.read(&[byte]).map_err(|_| Refused { at });
            if slowly.is_err() {
                break;
            }
        }
        assert_eq!(read, slowly.map(|()| slow.next), "{text:?}");
        read
    }

    #[test]
    fn a_request_ends_where_it_ends_and_the_next_one_begins() {
        let one = "POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 3\r\n\r\n\n\0\n";
        let other = "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n\
                     4;a=\"b\"\r\n\0\r\n\n\r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        let bare = "\r\nGET /c HTTP/1.1\r\nHost: x\r\nx:\t \r\n\r\n";
        assert_eq!(read(&[one, other, bare, one, bare].concat()), Ok(Next::Head));
        assert_eq!(read(&one[..one.len() - 1]), Ok(Next::Body(1)));
        assert_eq!(read("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), Ok(Next::Head));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let head = |lines: &str| read(&format!("POST / HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n"));
        for bad in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 3",
            "Content-Length: 3\r\nContent-Length: 3",
            "Content-Length: 3\r\nContent-Length: 4",
            "Content-Length: 3, 3",
            "Content-Length: +3",
            "Content-Length: 0x3",
            "Content-Length:",
            "Content-Length: -1",
            "Content-Length: 9223372036854775808",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: identity",
            "a: b\r\n folded: c",
            "a: b\r\n\tfolded",
            "a: b\nc: d",
            "a: b\rc: d",
            "a: \0",
            "a: \u{7f}",
            "no colon",
        ] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
        for bad in
            ["GET / HTTP/1.1\nHost: x\n\n", " GET / HTTP/1.1\r\n\r\n", "\nGET", "GET / HTTP/1.1\r\n x: y\r\n\r\n"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        let many = |count: usize| head(["a: b"; 200][..count].join("\r\n").as_str());
        assert!(many(HEADERS - 1).is_ok() && many(HEADERS).is_err());
        assert!(head(&format!("a: {}", "b".repeat(HEAD_BYTES))).is_err());
    }

    #[test]
    fn a_chunk_is_as_long_as_it_says() {
        let chunks = |text: &str| read(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{text}"));
        assert_eq!(chunks("0\r\n\r\n"), Ok(Next::Head));
        assert_eq!(chunks("fffffff"), Ok(Next::Size(7, 0x0fff_ffff)));
        for bad in [
            "\r\n",
            ";\r\n",
            "x\r\n",
            "0x3\r\n",
            "-1\r\n",
            " 3\r\n",
            "3 \r\n",
            "3\n",
            "fffffffff",
            "3\r\nabcd",
            "3\r\nabc\n",
            "3;a\0",
            "3;a\nb",
            "0\r\n\n",
            "0\r\na: b\n",
            "0\r\n\r0",
        ] {
            assert!(chunks(bad).is_err(), "{bad:?}");
        }
        assert!(chunks(&format!("3;{}", "a".repeat(CHUNK_LINE + 1))).is_err());
        assert!(chunks(&format!("0\r\n{}", "a: b\r\n".repeat(CHUNK_LINE))).is_err());
    }
}
