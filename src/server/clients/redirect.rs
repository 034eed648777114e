//! Where the answer to a program may be sent. What is registered is compared letter by letter, and is written in one way
//! alone, in letters that nobody reads in two; nothing in it stands for something else.

use crate::http::Url;

/// The longest address that is registered.
pub(super) const LONGEST: usize = 512;

/// The addresses of a machine itself, in the only spelling that is taken. A name is none of them: whoever answers for names
/// could send it elsewhere (RFC 8252 section 8.3).
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// An address on the machine of whoever signs in, in its parts: host, port behind its colon, and path.
fn on_loopback(redirect: &str) -> Option<(&'static str, &str, &str)> {
    let host = LOOPBACK.into_iter().find(|host| redirect.starts_with(host))?;
    let rest = redirect.strip_prefix(host)?;
    let (port, path) = rest.split_at(rest.find('/')?);
    (is_port(port) && is_path(path)).then_some((host, port, path))
}

/// The address that a program without a secret may have its answer sent to: on the machine of whoever signs in, at any
/// port (RFC 8252 section 7.3).
pub(crate) fn loopback(redirect: &str) -> Option<Url> {
    on_loopback(redirect).and_then(|_| Url::parse(redirect).ok())
}

/// The address that is asked for, where this is the one that was registered: the same letter by letter, but for the port
/// on the machine of whoever signs in, which a program is given when it starts.
pub(crate) fn fits(registered: &str, asked: &str) -> Option<Url> {
    let is_same = match (on_loopback(registered), on_loopback(asked)) {
        (Some((host, _, path)), Some((other, _, same))) => (host, path) == (other, same),
        _ => registered == asked,
    };
    (is_same && check(registered).is_ok()).then(|| Url::parse(asked).ok())?
}

/// Why an address is not registered.
pub(super) fn check(redirect: &str) -> Result<(), &'static str> {
    // Whoever reads it finds what was written: no second spelling of a host, no port that says nothing.
    let is_plain = || Url::parse(redirect).is_ok_and(|url| url.as_str() == redirect);
    if redirect.len() > LONGEST {
        return Err("an address has 512 characters at most");
    }
    if redirect.starts_with("http:") {
        return match on_loopback(redirect) {
            Some((_, "", _)) if is_plain() => Ok(()),
            Some(_) => Err("on the machine of whoever signs in any port is taken: leave it out"),
            None => Err("with http an address is http://127.0.0.1/… or http://[::1]/…, with a plain path"),
        };
    }
    let (scheme, rest) = redirect.split_once(':').ok_or(OTHER)?;
    let is_good = match rest.strip_prefix("//") {
        Some(rest) if scheme == "https" => {
            let (authority, path) = rest.split_at(rest.find('/').ok_or(OTHER)?);
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
            is_host(host) && is_port(port) && is_path(path)
        }
        // A scheme of the program's own, which begins with a name that is theirs (RFC 8252 section 7.1).
        None => is_own_scheme(scheme) && is_path(rest),
        Some(_) => false,
    };
    if is_good && is_plain() { Ok(()) } else { Err(OTHER) }
}

const OTHER: &str = "an address is https://HOST/…, http://127.0.0.1/…, http://[::1]/… or com.example.app:/…, with a \
                     plain path and nothing behind it";

/// Whether it is a scheme that has the name of a domain in it, the other way round.
fn is_own_scheme(scheme: &str) -> bool {
    scheme.contains('.') && scheme.starts_with(|first: char| first.is_ascii_lowercase()) && is_host(scheme)
}

/// Whether it is the name of a host, in small letters.
fn is_host(host: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    host.split('.').all(|label| !label.is_empty() && label.bytes().all(is_plain))
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
    path == "/" || path.starts_with('/') && path.split('/').skip(1).all(is_segment)
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
    }

    #[test]
    fn what_is_registered_is_read_in_one_way() {
        for good in [
            "https://app.example.com/callback",
            "https://app.example.com/oauth/callback/",
            "https://app.example.com:8443/",
            "https://xn--bcher-kva.example/cb",
            "http://127.0.0.1/callback",
            "http://[::1]/",
            "com.example.app:/oauth2redirect",
            "com.example.app:/a/b.c",
            "io.example-2.cli:/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
            assert!(fits(good, good).is_some(), "{good}");
        }
        let long = format!("https://a.example/{}", "a".repeat(LONGEST));
        for bad in [
            "",
            "callback",
            "/callback",
            "javascript:alert(1)",
            "javascript:/alert",
            "java.script:alert(1)",
            "data:text/html,x",
            "data.x:,x",
            "vbscript:/x",
            "file:///etc/passwd",
            "blob:https://a.example/x",
            "about:blank",
            "view-source:https://a.example/",
            "intent://x/",
            "myapp:/callback",
            "com.example.app://callback",
            "com.example.app:callback",
            "com.example.app:",
            "com.example.app:/callback?x",
            "com.example.app:/a/../b",
            "com.example.*:/callback",
            ".com:/callback",
            "com.:/callback",
            "Com.example.app:/callback",
            "9.example:/callback",
            "https://*.example.com/callback",
            "https://app.example.com",
            "https://app.example.com/*",
            "https://app.example.com/callback?next=x",
            "https://app.example.com/callback#x",
            "https://app.example.com/a/../b",
            "https://app.example.com//evil.example",
            "https://app.example.com/callback//",
            "https://app.example.com/%2e%2e/x",
            "https://app.example.com:443/callback",
            "https://app.example.com:/callback",
            "https://user@app.example.com/callback",
            "https://app.example.com:80@evil.example/callback",
            "https://App.example.com/callback",
            "https://app..example.com/callback",
            "https://b\u{fc}cher.example/cb",
            "https://127.1/callback",
            "https://app.example.com\\evil/callback",
            "https:/app.example.com/callback",
            "https:app.example.com/callback",
            "HTTPS://app.example.com/callback",
            " https://app.example.com/callback",
            "https://app.example.com/call back",
            "https://app.example.com/callback\nhttps://evil.example/",
            "http://app.example.com/callback",
            "http://localhost/callback",
            "http://127.0.0.1:9/callback",
            "http://127.0.0.1:80/callback",
            "http://127.0.0.1",
            "ws.example:\u{0}/x",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
            assert!(fits(bad, bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_answer_goes_to_what_was_registered_and_nowhere_near_it() {
        let here = "http://127.0.0.1/callback";
        for good in [here, "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback"] {
            assert_eq!(fits(here, good).unwrap().as_str(), good);
        }
        for bad in [
            "http://[::1]:1/callback",
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:1/callback/",
            "http://127.0.0.1:0/callback",
        ] {
            assert!(fits(here, bad).is_none(), "{bad}");
        }
        let there = "https://app.example.com/callback";
        for bad in [
            "https://app.example.com:8443/callback",
            "https://app.example.com/callback/",
            "https://app.example.com/Callback",
            "https://app.example.com/callback?x",
            "https://app.example.com/",
            "https://www.app.example.com/callback",
            "http://app.example.com/callback",
            "http://127.0.0.1/callback",
        ] {
            assert!(fits(there, bad).is_none(), "{bad}");
        }
        assert!(fits("com.example.app:/a", "com.example.app:/b").is_none());
    }
}
