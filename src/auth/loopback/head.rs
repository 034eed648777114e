//! One request head: whether it is exactly what is expected, and nothing else.
//!
//! The reading is stricter than RFC 9112 asks: lines end with CRLF, nothing is folded, nothing follows the head, and
//! whatever is not understood is refused.

use super::Query;

/// Why a request is refused, with the status that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a well-formed request, or a callback that the caller does not accept.
    Bad = 400,
    /// Sent by a page's script, frame or image and not by the person's own navigation.
    NotNavigation = 403,
    /// Another path.
    NotHere = 404,
    /// Another method.
    Method = 405,
    /// The head did not arrive in time.
    Slow = 408,
    /// It announces a body.
    Body = 413,
    /// It was meant for another host: a name that was made to point here.
    Host = 421,
    /// The head is too long.
    TooLong = 431,
    /// Nobody is there to judge it.
    Busy = 503,
}

/// What a request that passed asks for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// The callback itself.
    Callback(Query),
    /// The last page, which the browser is sent on to.
    Done,
}

/// The addresses that are answered.
#[derive(Debug)]
pub(super) struct Site {
    hosts: Vec<String>,
    path: String,
    done: String,
}

impl Site {
    /// The site at `http://HOST:PORT/PATH`.
    pub(super) fn new(host: &str, port: u16, path: &str) -> Self {
        let mut hosts = vec![format!("{host}:{port}")];
        if port == 80 {
            // Browsers leave the scheme's own port out.
            hosts.push(host.to_owned());
        }
        Self { hosts, path: path.to_owned(), done: format!("{}/done", path.trim_end_matches('/')) }
    }

    /// The path without a query that the browser is sent on to.
    pub(super) fn done(&self) -> &str {
        &self.done
    }

    /// What the request asks for, or why it is refused.
    pub(super) fn judge(&self, head: &[u8]) -> Result<Wanted, Refusal> {
        let head = Head::parse(head)?;
        head.refuse_body()?;
        if head.method != "GET" {
            return Err(Refusal::Method);
        }
        match head.values("host").collect::<Vec<_>>()[..] {
            [host] if self.hosts.iter().any(|known| known.as_bytes() == host) => {}
            _ => return Err(Refusal::Host),
        }
        let (path, query) = match head.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (head.target, None),
        };
        let wanted = if path == self.path {
            Wanted::Callback(Query::parse(query.unwrap_or_default()))
        } else if path == self.done && query.is_none() {
            Wanted::Done
        } else {
            return Err(Refusal::NotHere);
        };
        let navigates = head.values("sec-fetch-mode").all(|mode| mode == b"navigate")
            && head.values("sec-fetch-dest").all(|dest| dest == b"document");
        if navigates { Ok(wanted) } else { Err(Refusal::NotNavigation) }
    }
}

/// Whether a browser asks for this path literally: absolute, no empty or dot segment, nothing to encode.
pub(super) fn is_plain_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let inner = rest.strip_suffix('/').unwrap_or(rest);
    rest.bytes().all(plain) && (rest.is_empty() || inner.split('/').all(|segment| !matches!(segment, "" | "." | "..")))
}

/// A request head, taken apart.
#[derive(Debug)]
struct Head<'a> {
    method: &'a str,
    target: &'a str,
    fields: Vec<(&'a str, &'a [u8])>,
    /// What came after the head.
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or(Refusal::Bad)?;
        let (block, rest) = (&bytes[..end], &bytes[end + 4..]);
        let mut lines = Lines(Some(block));
        let line = lines.next().and_then(|line| std::str::from_utf8(line).ok()).ok_or(Refusal::Bad)?;
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refusal::Bad);
        };
        let target_is_plain = target.starts_with('/') || target == "*" || target.contains(':');
        if !is_token(method) || !target_is_plain || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            return Err(Refusal::Bad);
        }
        let fields = lines.map(parse_field).collect::<Option<Vec<_>>>().ok_or(Refusal::Bad)?;
        Ok(Self { method, target, fields, rest })
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// A body is never read, so a request that announces one is refused before anything can try.
    fn refuse_body(&self) -> Result<(), Refusal> {
        if self.values("transfer-encoding").next().is_some() {
            return Err(Refusal::Body);
        }
        for length in self.values("content-length") {
            if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                return Err(Refusal::Bad);
            }
            if length.iter().any(|digit| *digit != b'0') {
                return Err(Refusal::Body);
            }
        }
        if self.rest.is_empty() { Ok(()) } else { Err(Refusal::Bad) }
    }
}

/// The lines of a block, divided at CRLF.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let block = self.0?;
        if let Some(at) = block.windows(2).position(|pair| pair == b"\r\n") {
            self.0 = Some(&block[at + 2..]);
            Some(&block[..at])
        } else {
            self.0 = None;
            Some(block)
        }
    }
}

/// `Name: value`. The value may hold bytes above 127 (cookies of other local programs do), but no control character.
fn parse_field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&line[..colon]).ok().filter(|name| is_token(name))?;
    let value = line[colon + 1..].trim_ascii();
    value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)).then_some((name, value))
}

/// A token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "GET /callback?code=a%20b&state=s HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n";

    fn judge(head: &str) -> Result<Wanted, Refusal> {
        Site::new("127.0.0.1", 4000, "/callback").judge(head.as_bytes())
    }

    fn refusal(head: &str) -> Option<Refusal> {
        judge(head).err()
    }

    fn with_field(field: &str) -> String {
        GOOD.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
    }

    #[test]
    fn the_expected_request_passes() {
        let Ok(Wanted::Callback(query)) = judge(GOOD) else { panic!("refused") };
        assert_eq!(query.pairs().collect::<Vec<_>>(), [("code", "a b"), ("state", "s")]);
        assert!(matches!(judge("GET /callback/done HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n"), Ok(Wanted::Done)));
        for field in [
            "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document",
            "Content-Length: 0",
            "Cookie: name=\u{fc}",
            "Accept:\ttext/html",
        ] {
            assert_eq!(refusal(&with_field(field)), None, "{field}");
        }
    }

    #[test]
    fn anything_else_is_refused_for_its_reason() {
        let table = [
            (GOOD.replace("GET", "POST"), Refusal::Method),
            (GOOD.replace("GET", "HEAD"), Refusal::Method),
            (GOOD.replace("GET", "OPTIONS"), Refusal::Method),
            (GOOD.replace("GET", "get"), Refusal::Method),
            (GOOD.replace("/callback?", "/?"), Refusal::NotHere),
            (GOOD.replace("/callback", "//callback"), Refusal::NotHere),
            (GOOD.replace("/callback", "/callback/"), Refusal::NotHere),
            (GOOD.replace("/callback", "/x/../callback"), Refusal::NotHere),
            (GOOD.replace("/callback", "/%63allback"), Refusal::NotHere),
            (GOOD.replace("/callback", "/callback/done"), Refusal::NotHere),
            (GOOD.replace("/callback", "http://127.0.0.1:4000/callback"), Refusal::NotHere),
            (GOOD.replace("/callback", "callback"), Refusal::Bad),
            (GOOD.replace("state=s", "state=s#x"), Refusal::Bad),
            (GOOD.replace("127.0.0.1:4000", "evil.example"), Refusal::Host),
            (GOOD.replace("127.0.0.1:4000", "127.0.0.1"), Refusal::Host),
            (GOOD.replace("127.0.0.1:4000", "localhost:4000"), Refusal::Host),
            (GOOD.replace("Host: 127.0.0.1:4000", "Accept: */*"), Refusal::Host),
            (with_field("Host: 127.0.0.1:4000"), Refusal::Host),
            (with_field("hOST: evil.example"), Refusal::Host),
            (with_field("Host : 127.0.0.1:4000"), Refusal::Bad),
            (with_field("Content-Length: 9000000000000000000"), Refusal::Body),
            (with_field("Content-Length: 1"), Refusal::Body),
            (with_field("Content-Length: -1"), Refusal::Bad),
            (with_field("Content-Length: 0\r\nContent-Length: 5"), Refusal::Body),
            (with_field("Transfer-Encoding: chunked"), Refusal::Body),
            (with_field("Sec-Fetch-Mode: cors"), Refusal::NotNavigation),
            (with_field("Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe"), Refusal::NotNavigation),
            (with_field("Sec-Fetch-Dest: document\r\nSec-Fetch-Dest: image"), Refusal::NotNavigation),
            (with_field(" folded: line"), Refusal::Bad),
            (with_field("no colon"), Refusal::Bad),
            (with_field("X: a\rb"), Refusal::Bad),
            (with_field("X: a\nHost: b"), Refusal::Bad),
            (with_field("X: a\0b"), Refusal::Bad),
            (GOOD.replace("HTTP/1.1", "HTTP/2.0"), Refusal::Bad),
            (GOOD.replace(" HTTP/1.1", ""), Refusal::Bad),
            (GOOD.replace(" HTTP", "  HTTP"), Refusal::Bad),
            (GOOD.replace("\r\n", "\n"), Refusal::Bad),
            (format!("\r\n{GOOD}"), Refusal::Bad),
            (format!("{GOOD}GET / HTTP/1.1\r\n\r\n"), Refusal::Bad),
            (String::new(), Refusal::Bad),
        ];
        for (head, expected) in table {
            assert_eq!(refusal(&head), Some(expected), "{head:?}");
        }
    }

    #[test]
    fn port_80_may_be_left_out() {
        let site = Site::new("127.0.0.1", 80, "/callback");
        assert!(site.judge(b"GET /callback HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").is_ok());
        assert!(site.judge(b"GET /callback HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n").is_ok());
    }

    #[test]
    fn only_plain_paths_are_served() {
        for path in ["/", "/callback", "/a/b-c_d.e~f", "/callback/"] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in
            ["", "callback", "//", "//x", "/a//b", "/../x", "/x/..", "/a b", "/a?b", "/a#b", "/a%20b", "/\u{e9}"]
        {
            assert!(!is_plain_path(path), "{path}");
        }
    }

    /// An independent statement of what may pass: used to judge whatever the parser lets through.
    fn is_exactly_right(head: &[u8]) -> bool {
        let text = String::from_utf8_lossy(head);
        let hosts = text.split("\r\n").filter(|line| line.to_ascii_lowercase().starts_with("host:")).count();
        let first = text.split("\r\n").next().unwrap_or_default();
        text.ends_with("\r\n\r\n")
            && text.matches("\r\n\r\n").count() == 1
            && (first.starts_with("GET /callback?") || first.starts_with("GET /callback "))
            && (first.ends_with(" HTTP/1.1") || first.ends_with(" HTTP/1.0"))
            && hosts == 1
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let site = Site::new("127.0.0.1", 4000, "/callback");
            prop_assert!(site.judge(&bytes).is_err());
        }

        #[test]
        fn a_damaged_request_passes_only_where_it_is_still_right(
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
        ) {
            let mut bytes = with_field("User-Agent: test\r\nContent-Length: 0").into_bytes();
            for (at, byte, edit) in edits {
                let at = at.index(bytes.len());
                match edit {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => { bytes.remove(at); }
                }
            }
            let site = Site::new("127.0.0.1", 4000, "/callback");
            if let Ok(Wanted::Callback(_)) = site.judge(&bytes) {
                prop_assert!(is_exactly_right(&bytes), "{:?}", String::from_utf8_lossy(&bytes));
            }
        }

        #[test]
        fn any_fields_and_queries_are_read_without_a_panic(
            query in "[ -~]{0,80}", fields in proptest::collection::vec("[A-Za-z-]{1,12}: [ -~]{0,30}", 0..6),
        ) {
            let head = format!("GET /callback?{query} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n"));
            let _ = judge(&head);
        }
    }
}
