//! A cluster of Kubernetes as a client knows it.

use sha2::{Digest, Sha256};

use crate::http::Url;
use crate::text::hex;

/// By what a client knows a cluster: a client of another one must not be given what proves a user to this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The address of the API server, letter by letter.
    pub server: String,
    /// A digest of the certificate authorities; `None` for those of the system.
    pub authority: Option<String>,
    /// The name in the server's certificate, where it is not that of the address.
    pub server_name: Option<String>,
    /// The proxy on the way, without user and password.
    pub proxy: Option<String>,
}

impl Cluster {
    /// The cluster that is known by these values, of which empty ones count as none. `authorities` are in PEM.
    pub fn new(server: &str, authorities: Option<&str>, server_name: Option<&str>, proxy: Option<&str>) -> Self {
        let set = |value: Option<&str>| value.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
        Self {
            server: server.to_owned(),
            authority: set(authorities).map(|pem| digest(&pem)),
            server_name: set(server_name),
            proxy: set(proxy).map(|proxy| without_user(&proxy)),
        }
    }

    /// The same by the names of fields.
    pub fn fields(self) -> [(&'static str, Option<String>); 4] {
        let Self { server, authority, server_name, proxy } = self;
        [("server", Some(server)), ("authority", authority), ("tls_server_name", server_name), ("proxy", proxy)]
    }
}

fn digest(text: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(text.as_bytes())))
}

/// What is no address is compared as its digest, since it may hold a password.
fn without_user(proxy: &str) -> String {
    let bare = Url::parse(proxy).ok().filter(Url::has_host).and_then(|mut url| {
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(url.to_string())
    });
    bare.unwrap_or_else(|| digest(proxy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_known_by_all_of_its_values() {
        let own =
            || Cluster::new("https://c.example:6443", Some("PEM\n"), Some("kubernetes"), Some("http://u:p@proxy:1/"));
        assert_eq!(
            own(),
            Cluster::new("https://c.example:6443", Some("PEM"), Some("kubernetes"), Some("http://proxy:1"))
        );
        for other in [
            Cluster { server: "https://c.example:6443/".into(), ..own() },
            Cluster::new("https://c.example:6443", Some("PEN"), Some("kubernetes"), Some("http://proxy:1")),
            Cluster { authority: None, ..own() },
            Cluster { server_name: None, ..own() },
            Cluster { proxy: None, ..own() },
            Cluster::new("https://c.example:6443", Some("PEM"), Some("kubernetes"), Some("http://proxy:2")),
        ] {
            assert_ne!(own(), other);
        }
        let bare = Cluster::new("https://c.example", Some(""), Some(" "), Some(""));
        assert_eq!((bare.authority, bare.server_name, bare.proxy), (None, None, None));
    }

    #[test]
    fn a_password_of_a_proxy_is_not_seen() {
        for proxy in ["http://u:LNYCANARY@proxy:1/", "socks5://u:LNYCANARY@proxy", "no address LNYCANARY"] {
            let shown = format!("{:?}", Cluster::new("", None, None, Some(proxy)));
            assert!(!shown.contains("LNYCANARY"), "{shown}");
        }
    }
}
