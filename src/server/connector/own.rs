//! What is the server's own: this machine with all its addresses, the name by which people know the server, and its
//! database. Some of that may be at public addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use url::Url;

use crate::server::db::Address;

/// What nobody has the server ask.
pub(crate) struct Own {
    /// The host of its public address.
    pub(super) host: String,
    /// Where its database is: hosts with their ports.
    pub(super) database: Vec<(String, u16)>,
    /// Whether an address is one of this machine's.
    pub(super) is_here: fn(IpAddr) -> bool,
}

impl Own {
    /// What is a server's own that people know by this address, and that has this database.
    pub(crate) fn of(public: &Url, database: &Address) -> Self {
        let host = plain(public.host_str().unwrap_or_default());
        Self { host, database: database.hosts(), is_here }
    }

    /// Whether a host, or one of the addresses that it leads to, is among it.
    pub(super) fn has(&self, host: &str, addresses: &[SocketAddr]) -> bool {
        plain(host) == self.host
            || addresses.iter().any(|address| (self.is_here)(address.ip()) || self.is_database(address))
    }

    /// Whether the database is there now. What cannot be looked up is not asked.
    fn is_database(&self, address: &SocketAddr) -> bool {
        self.database.iter().filter(|(_, port)| *port == address.port()).any(|(host, port)| {
            let found = (host.as_str(), *port).to_socket_addrs();
            found.map_or(true, |mut found| found.any(|found| found.ip().to_canonical() == address.ip().to_canonical()))
        })
    }
}

/// A host without what makes no difference.
fn plain(host: &str) -> String {
    host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

/// Whether an address is one of this machine's: what is sent to it comes from it. Nothing is sent.
fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    from.is_ok_and(|from| from.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_known() {
        for here in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert!(is_here(here.parse().unwrap()), "{here}");
        }
        for elsewhere in ["8.8.8.8", "192.0.2.1", "2001:4860:4860::8888"] {
            assert!(!is_here(elsewhere.parse().unwrap()), "{elsewhere}");
        }
        // The one that goes out into the world, where there is one.
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        if let Ok(own) = socket.connect(("192.0.2.1", 9)).and_then(|()| socket.local_addr()) {
            assert!(is_here(own.ip()), "{own}");
        }
    }
}
