//! Addresses: which ones lanyard talks to, and how one is made from another.

use std::net::IpAddr;

use url::Url;

use crate::text::percent_into;

/// Why a text is no address that lanyard will talk to. Never quotes the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It does not parse, or has parts in which two parsers could differ.
    #[error("not a plain URL: {0}")]
    Malformed(&'static str),
    /// Plain `http` to a host that is not loopback, or another scheme.
    #[error("{scheme}:// is refused for {host}: only https, or http to 127.0.0.1, [::1] and localhost")]
    Insecure {
        /// The scheme.
        scheme: String,
        /// The host, or an empty string.
        host: String,
    },
}

/// Reads an address of a service: `https`, or `http` to loopback; visible ASCII; no user, no password, no fragment.
///
/// The text is held against the strictest reading before the parser sees it (no backslash, no empty or percent-encoded
/// host), so that no other parser can read another host out of it.
pub fn parse_url(text: &str) -> Result<Url, BadUrl> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadUrl::Malformed("it has spaces, control characters or letters outside ASCII"));
    }
    if text.contains('\\') {
        return Err(BadUrl::Malformed("it has a backslash"));
    }
    let Some((_, rest)) = text.split_once("://") else {
        return Err(BadUrl::Malformed("it lacks https://"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        return Err(BadUrl::Malformed("it has no host"));
    }
    if authority.contains('@') {
        return Err(BadUrl::Malformed("it holds a user name or a password"));
    }
    if authority.contains('%') {
        return Err(BadUrl::Malformed("its host is percent-encoded"));
    }
    let url = Url::parse(text).map_err(|_| BadUrl::Malformed("it does not parse"))?;
    if url.fragment().is_some() {
        return Err(BadUrl::Malformed("it has a fragment (#)"));
    }
    if url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)) {
        return Ok(url);
    }
    Err(BadUrl::Insecure { scheme: url.scheme().to_owned(), host: url.host_str().unwrap_or_default().to_owned() })
}

/// The address of `path` (with an optional query) below `base`, whose own path is kept: `https://h/api/v3` and `/user`
/// give `https://h/api/v3/user`. The origin never changes, and no segment climbs up.
pub fn below(base: &Url, path: &str) -> Result<Url, BadUrl> {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    if path.contains(['\\', '#']) || path.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(BadUrl::Malformed("the path has a backslash, a #, white space or a control character"));
    }
    let climbs = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    if path.split('/').any(climbs) {
        return Err(BadUrl::Malformed("the path climbs with . or .."));
    }
    let mut url = base.clone();
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    Ok(url)
}

/// A text as one segment of a path: everything but letters, digits and `-_~.` is percent-encoded, and the dots of a name
/// that is nothing else, so that no name can climb.
pub fn segment(text: &str) -> String {
    let climbs = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    percent_into(text, &mut encoded, |byte| {
        byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) || (byte == b'.' && !climbs)
    });
    encoded
}

/// Whether the host is `localhost` or a literal loopback address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}
