//! The programs that may ask to be let in. There is one so far: the command line, which can keep no secret.

use crate::http::Url;

/// A program.
#[derive(Debug)]
pub(super) struct Client {
    /// Its identifier.
    pub(super) id: &'static str,
    /// What a person calls it.
    pub(super) title: &'static str,
}

static CLIENTS: [Client; 1] = [Client { id: "lanyard", title: "Lanyard on a command line" }];

/// The program of that identifier.
pub(super) fn find(id: &str) -> Option<&'static Client> {
    CLIENTS.iter().find(|client| client.id == id)
}

/// The addresses of a machine itself, in the only spelling that is taken. A name is none of them: whoever answers for names
/// could send it elsewhere (RFC 8252 section 8.3).
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// The address that a program without a secret may have its answer sent to: on the machine of whoever signs in, at any
/// port (RFC 8252 section 7.3). It is taken as it is written, in letters that nobody reads in two ways.
pub(super) fn loopback(redirect: &str) -> Option<Url> {
    let rest = LOOPBACK.into_iter().find_map(|host| redirect.strip_prefix(host))?;
    let (port, path) = rest.split_at(rest.find('/')?);
    (is_port(port) && is_path(path)).then(|| Url::parse(redirect).ok())?
}

/// Whether it is a port behind its colon, or none.
fn is_port(text: &str) -> bool {
    let is_number = |digits: &str| {
        !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u16>().is_ok_and(|port| port > 0)
    };
    text.is_empty() || text.strip_prefix(':').is_some_and(is_number)
}

/// Whether it is a path of plain segments, which goes down alone, with nothing behind it.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain);
    path == "/" || path.split('/').skip(1).all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_the_machine_of_whoever_signs_in() {
        for good in [
            "http://127.0.0.1:1234/callback",
            "http://[::1]:9/x",
            "http://127.0.0.1/",
            "http://127.0.0.1:80/a/B-c_d~e.f",
            "http://[::1]:65535/callback/0aZ",
            "http://127.0.0.1:1/.well-known/...",
        ] {
            assert!(loopback(good).is_some(), "{good}");
        }
        for bad in [
            "https://evil.example/",
            "https://127.0.0.1:9/callback",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1.evil/",
            "http://127.0.0.1:80@evil.example/",
            "http://127.0.0.1:1@evil/",
            "http://a@127.0.0.1/",
            "http://evil.example\\@127.0.0.1/",
            "http://127.0.0.1\\evil.example/",
            "http://127.0.0.1/#fragment",
            "http://127.0.0.1/callback?a=b",
            "http://127.0.0.1/callback?",
            "http://127.0.0.1/callback/../x",
            "http://127.0.0.1/callback/./x",
            "http://127.0.0.1/callback/..",
            "http://127.0.0.1//evil.example",
            "http://127.0.0.1/callback/",
            "http://127.0.0.1/callback%2e%2e",
            "http://127.0.0.1/%2e%2e/x",
            "http://127.0.0.1/callback;x",
            "http://127.0.0.1/cällback",
            "http://127.0.0.1/call\tback",
            "http://127.0.0.1:9/callback ",
            " http://127.0.0.1:9/callback",
            "HTTP://127.0.0.1:9/callback",
            "http:127.0.0.1/",
            "http:/127.0.0.1/",
            "http://127.0.0.1",
            "http://127.0.0.1:/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:080/",
            "http://127.0.0.1:+80/",
            "http://127.0.0.1:65536/",
            "http://127.1/",
            "http://127.0.1/",
            "http://127.0.0.2/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://[::ffff:127.0.0.1]/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::0001]/",
            "http://[::1%25lo]/",
            "http://localhost/callback",
            "http://LOCALHOST:9/callback",
            "http://0.0.0.0/",
            "lanyard://callback",
            "javascript:alert(1)",
            "",
        ] {
            assert!(loopback(bad).is_none(), "{bad}");
        }
        assert!(find("lanyard").is_some() && find("other").is_none());
    }
}
