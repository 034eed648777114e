//! What a tool asks for: an address, a user, a name; and whether a credential is bound to that.

use crate::http::{Url, parse_url};

/// An address as tools name it: `https://git.example.com:8443/team/app`.
///
/// A credential has those that it was stored for, a tool asks with one. Host and port are compared exactly, paths by
/// whole segments; nothing is normalised away but the case of the host and the usual port of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The scheme in lower case; `None` where a tool names none, as docker does.
    pub scheme: Option<String>,
    /// The host in lower case, with `:port` where it is not the usual one of the scheme.
    pub host: String,
    /// The path without slashes at its ends; `None` where a tool does not tell it.
    pub path: Option<String>,
}

impl Address {
    /// The address that a URL has. The path counts where it is more than `/`.
    pub fn of_url(url: &Url) -> Option<Self> {
        let host = url.host_str()?.to_lowercase();
        let host = url.port().map_or(host.clone(), |port| format!("{host}:{port}"));
        let path = url.path().trim_matches('/');
        let path = (!path.is_empty()).then(|| path.to_owned());
        Some(Self { scheme: Some(url.scheme().to_owned()), host, path })
    }

    /// The address of a credential's field that holds a URL.
    pub fn of_text(text: &str) -> Option<Self> {
        Self::of_url(&parse_url(text).ok()?)
    }

    /// The address that a tool names by scheme, host (with its port, as the tool writes it) and path. `None` where the
    /// host is no host, or the path leads out of where it seems to lead.
    pub fn asked(scheme: Option<&str>, host: &str, path: Option<&str>) -> Option<Self> {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return None;
        }
        let usual = match scheme {
            None | Some("https") => ":443",
            Some("http") => ":80",
            Some(_) => "",
        };
        let lower = host.to_ascii_lowercase();
        let host = lower.strip_suffix(usual).filter(|rest| !rest.is_empty()).unwrap_or(&lower);
        if path.is_some_and(climbs) {
            return None;
        }
        let path = path.map(|path| path.trim_matches('/').to_owned());
        Some(Self { scheme: scheme.map(str::to_owned), host: host.to_owned(), path })
    }

    /// The address of a host that a person names: `github.com`, `localhost:8443`, `https://github.com/`.
    pub fn named(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("https".to_owned(), text),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let is_known = ["https", "http"].contains(&scheme.as_str());
        is_known.then(|| Self::asked(Some(&scheme), host, None)).flatten()
    }

    /// The host with its port where that is not 443: the form in which a vault finds credentials.
    pub fn place(&self) -> String {
        if self.scheme.as_deref() == Some("http") && port_of(&self.host).is_none() {
            return format!("{}:80", self.host);
        }
        self.host.clone()
    }

    /// Whether what is stored for this address may be handed to a tool that asks for `asked`.
    pub fn covers(&self, asked: &Self) -> bool {
        let scheme = asked.scheme.is_none() || asked.scheme == self.scheme;
        let host = match (&asked.scheme, &self.scheme) {
            // Without a scheme the usual port cannot be left out but that of HTTPS.
            (None, Some(own)) if own == "http" => self.place() == asked.host || self.host == asked.host,
            _ => self.host == asked.host,
        };
        scheme && host && self.covers_path(asked.path.as_deref())
    }

    fn covers_path(&self, asked: Option<&str>) -> bool {
        let Some(own) = self.path.as_deref().filter(|own| !own.is_empty()) else { return true };
        let Some(rest) = asked.and_then(|asked| asked.strip_prefix(own)) else { return false };
        rest.is_empty() || rest.starts_with('/') || rest == ".git"
    }

    /// How much of a path it names: of two that cover the same, the longer one is meant.
    pub fn reach(&self) -> usize {
        self.path.as_ref().map_or(0, String::len)
    }
}

/// Whether a path has a segment `.` or `..`, however it is written: a server would look for something else than what the
/// path begins with.
fn climbs(path: &str) -> bool {
    let mut path = path.to_ascii_lowercase();
    loop {
        if path.split(['/', '\\']).any(|segment| segment == "." || segment == "..") {
            return true;
        }
        let decoded = path.replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\").replace("%25", "%");
        // What is encoded more than once becomes shorter each time.
        if decoded == path {
            return false;
        }
        path = decoded;
    }
}

/// The names of Docker Hub. Nothing else is an alias of anything.
pub const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// What docker's files call the registry at a host.
pub fn docker_key(host: &str) -> String {
    if DOCKER_HUB.contains(&host) { "https://index.docker.io/v1/" } else { host }.to_owned()
}

fn port_of(host: &str) -> Option<&str> {
    let (_, port) = host.rsplit_once(':')?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(port)
}

/// What a tool asks for.
#[derive(Debug, Clone, Default)]
pub struct Want {
    /// The kinds that can serve it.
    pub kinds: &'static [&'static str],
    /// The credential's name, where the tool's configuration names it.
    pub name: Option<String>,
    /// The address, where the tool names one. A credential that was not stored for it is not handed over.
    pub at: Option<Address>,
    /// The user, where the tool names one.
    pub user: Option<String>,
    /// Fields that must have exactly this value, or must not be set.
    pub fields: Vec<(&'static str, Option<String>)>,
    /// Whether the tool keeps what it is given, and is to be given what ends by itself.
    pub short: bool,
    /// What the tool is about to do with it, where that makes a difference.
    pub power: Power,
}

/// What a tool is about to do with a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Power {
    /// The tool does not tell, or it makes no difference.
    #[default]
    Any,
    /// To read. Of several that fit, those that may do no more are meant.
    Read,
    /// To publish or to withdraw something. Only a credential that its owner allowed to do that is handed over.
    Publish,
}

impl Power {
    /// The tag by which the owner of a credential allows a tool to publish with it.
    pub const PUBLISH: &'static str = "publish";
}

impl Want {
    /// The credential of that name, if it is of one of these kinds.
    pub fn named(kinds: &'static [&'static str], name: &str) -> Self {
        Self { kinds, name: Some(name.to_owned()), ..Self::default() }
    }

    /// The credential that was stored for that address, if it is of one of these kinds.
    pub fn at(kinds: &'static [&'static str], at: Address, user: Option<String>) -> Self {
        Self { kinds, at: Some(at), user, ..Self::default() }
    }

    /// The credential of one of these kinds that was stored with exactly this value in a field.
    pub fn holding(kinds: &'static [&'static str], field: &'static str, value: &str) -> Self {
        Self { kinds, fields: vec![(field, Some(value.to_owned()))], ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Address {
        Address::of_text(text).unwrap()
    }

    #[test]
    fn only_the_exact_host_is_covered() {
        let own = url("https://git.example.com");
        let asked = |scheme, host| Address::asked(Some(scheme), host, None);
        assert!(own.covers(&asked("https", "git.example.com").unwrap()));
        assert!(own.covers(&asked("https", "GIT.example.com:443").unwrap()));
        for other in [
            "git.example.com.evil.example",
            "evil-git.example.com",
            "example.com",
            "git.example.com:8443",
            "git.example.com.",
            "gıt.example.com",
            "git.example.com@evil",
            "git.example.com\r",
            "",
        ] {
            assert!(asked("https", other).is_none_or(|asked| !own.covers(&asked)), "{other:?}");
        }
        assert!(!own.covers(&asked("http", "git.example.com").unwrap()));
        assert!(!own.covers(&asked("http", "git.example.com:443").unwrap()));
    }

    #[test]
    fn a_port_is_part_of_the_host() {
        let own = url("http://127.0.0.1:5001");
        assert!(own.covers(&Address::asked(None, "127.0.0.1:5001", None).unwrap()));
        assert!(!own.covers(&Address::asked(None, "127.0.0.1", None).unwrap()));
        assert!(!own.covers(&Address::asked(Some("https"), "127.0.0.1:5001", None).unwrap()));
        assert_eq!(url("http://127.0.0.1").place(), "127.0.0.1:80");
        assert_eq!(url("https://registry.example").place(), "registry.example");
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_none() {
        let asked = |path| Address::asked(Some("https"), "git.example.com", Some(path));
        for other in [
            "org/app/../../evil/app",
            "org/app/..",
            "./org/app",
            "org/app/%2e%2e/evil",
            "org/app/%2E./evil",
            "org/app/..%2f..%2Fevil",
            "org/app/%252e%252e/evil",
            "org/app/..\\evil",
            "org/app/%2e",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
        for plain in ["org/..app", "org/app..", "org/a%2eb", "org/100%", "org/%zz/...", ""] {
            assert!(asked(plain).is_some(), "{plain}");
        }
    }

    #[test]
    fn a_person_may_write_a_host_as_an_address() {
        let named =
            |text| Address::named(text).map(|address| format!("{}://{}", address.scheme.unwrap(), address.host));
        for (text, host) in [
            ("github.com", "https://github.com"),
            ("https://GitHub.com/", "https://github.com"),
            ("HTTPS://github.com:443", "https://github.com"),
            ("localhost:8443", "https://localhost:8443"),
            ("http://localhost:8080", "http://localhost:8080"),
        ] {
            assert_eq!(named(text).as_deref(), Some(host), "{text}");
        }
        for other in
            ["", "https://", "https://u@github.com", "https://github.com/org", "ssh://github.com", "a b", "x\ny"]
        {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_counts_by_whole_segments() {
        let own = url("https://git.example.com/org/app");
        let asked = |path| Address::asked(Some("https"), "git.example.com", path).unwrap();
        for covered in ["org/app", "/org/app/", "org/app.git", "org/app/info/refs"] {
            assert!(own.covers(&asked(Some(covered))), "{covered}");
        }
        for other in [None, Some("org"), Some("org/application"), Some("other/org/app"), Some("")] {
            assert!(!own.covers(&asked(other)), "{other:?}");
        }
        assert!(url("https://git.example.com").covers(&asked(Some("anything/at/all"))));
    }
}
