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

/// The address that a program without a secret may have its answer sent to: on the machine of whoever signs in, at any
/// port (RFC 8252 section 7.3).
pub(super) fn loopback(redirect: &str) -> Option<Url> {
    let url = Url::parse(redirect).ok()?;
    let is_loopback = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let same_text = redirect.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'@');
    (url.scheme() == "http" && is_loopback && is_plain && same_text).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_to_the_machine_of_whoever_signs_in() {
        for good in ["http://127.0.0.1:1234/callback", "http://[::1]:9/x", "http://localhost/callback?a=b"] {
            assert!(loopback(good).is_some(), "{good}");
        }
        for bad in [
            "https://evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://127.0.0.1:80@evil.example/",
            "http://evil.example\\@127.0.0.1/",
            "http://127.0.0.1/#fragment",
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
