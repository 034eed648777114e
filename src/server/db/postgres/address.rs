//! What the address of a database says of TLS, in the words that PostgreSQL's own programs have for it: `sslmode` and
//! `sslrootcert`.

use std::path::PathBuf;

use postgres::Config;
use postgres::config::{Host, SslMode};
use url::{Url, form_urlencoded};

use super::{DbError, in_words};

/// Where the database is, and how it is known to be the one.
pub(super) struct Address {
    pub(super) config: Config,
    /// Whether it asks for TLS, also on loopback. With it, the name is always checked.
    pub(super) asks: bool,
    /// The authorities that count instead of the system's, as a file in PEM.
    pub(super) authorities: Option<PathBuf>,
}

impl Address {
    pub(super) fn read(url: &Url) -> Result<Self, DbError> {
        let (mut asks, mut authorities, mut rest) = (false, None, Vec::new());
        // Whatever else there is stays as it was written.
        for piece in url.query().unwrap_or_default().split('&') {
            let pair = form_urlencoded::parse(piece.as_bytes()).next();
            match pair.as_ref().map(|(name, value)| (&**name, &**value)) {
                Some(("sslmode", "verify-full" | "verify-ca")) => asks = true,
                Some(("sslrootcert", "system")) => (asks, authorities) = (true, None),
                Some(("sslrootcert", file)) => (asks, authorities) = (true, Some(PathBuf::from(file))),
                _ => rest.push(piece),
            }
        }
        let mut plain = url.clone();
        let rest = rest.join("&");
        plain.set_query(Some(&rest).filter(|rest| !rest.is_empty()).map(String::as_str));
        let config: Config = plain.as_str().parse().map_err(|cause| DbError::Address(in_words(&cause)))?;
        let asks = asks || config.get_ssl_mode() == SslMode::Require;
        Ok(Self { config, asks, authorities })
    }
}

/// The hosts that an address names, with their ports.
pub(in crate::server::db) fn hosts(url: &Url) -> Vec<(String, u16)> {
    /// PostgreSQL's own.
    const PORT: u16 = 5432;
    let Ok(Address { config, .. }) = Address::read(url) else { return Vec::new() };
    let named = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => Some(name.clone()),
        #[cfg(unix)]
        Host::Unix(_) => None,
    });
    let addressed = config.get_hostaddrs().iter().map(|address| Some(address.to_string()));
    let ports = config.get_ports();
    // One port is for all of them, as many as there are hosts are for each.
    let port = |nth: usize| ports.get(nth).or(ports.first()).copied().unwrap_or(PORT);
    let with_port = |(nth, host): (usize, Option<String>)| Some((host?, port(nth)));
    named.enumerate().filter_map(with_port).chain(addressed.enumerate().filter_map(with_port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Address, DbError> {
        Address::read(&Url::parse(&format!("postgres://u:LNYCANARY@localhost:5433/db{query}")).unwrap())
    }

    #[test]
    fn it_is_known_where_it_is() {
        for (url, expected) in [
            ("postgres://u:p@db.example/d", &[("db.example", 5432)][..]),
            ("postgres://u:p@db.example:6543/d?hostaddr=8.8.4.4", &[("db.example", 6543), ("8.8.4.4", 6543)]),
            ("postgres://u@%2Frun%2Fpostgresql/d", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
            assert_eq!(hosts(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn what_is_said_of_tls_is_understood() {
        for (query, asks, authorities) in [
            ("", false, None),
            ("?sslmode=prefer", false, None),
            ("?sslmode=require", true, None),
            ("?sslmode=verify-full", true, None),
            ("?sslmode=verify-ca&application_name=x", true, None),
            ("?sslrootcert=system", true, None),
            ("?sslmode=verify-full&sslrootcert=/etc/a%20b.pem", true, Some("/etc/a b.pem")),
            ("?connect_timeout=3&sslrootcert=ca.pem&options=-c%20a%3Db", true, Some("ca.pem")),
        ] {
            let address = read(query).unwrap();
            let found = (address.asks, address.authorities.as_deref().and_then(std::path::Path::to_str));
            assert_eq!(found, (asks, authorities), "{query}");
            assert!(!query.contains("options") || address.config.get_options() == Some("-c a=b"), "{query}");
        }
        for bad in ["?sslmode=verify", "?sslmode=allow", "?sslkey=x", "?nonsense=1"] {
            let Err(failure) = read(bad) else { panic!("{bad} is taken") };
            let told = crate::error::with_causes(&failure);
            assert!(matches!(failure, DbError::Address(_)) && !told.contains("LNYCANARY"), "{bad}: {told}");
        }
    }
}
