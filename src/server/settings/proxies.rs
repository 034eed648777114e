//! The machines in front of the server that say for whom they ask.

use std::net::IpAddr;

/// The proxies that are believed when they say for whom they ask.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(pub(super) Vec<IpAddr>);

impl Proxies {
    #[cfg(test)]
    pub(crate) fn of(all: &[IpAddr]) -> Self {
        Self(all.to_vec())
    }

    /// The address of whoever asks: the last one that no proxy of ours has. `forwarded` is what every `X-Forwarded-For`
    /// of the request says, in order, with commas between: a proxy adds to the last one, or one of its own.
    pub(crate) fn client(&self, peer: IpAddr, forwarded: &str) -> IpAddr {
        let mut client = peer.to_canonical();
        for hop in forwarded.rsplit(',') {
            if !self.0.contains(&client) {
                break;
            }
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            client = address.to_canonical();
        }
        client
    }

    /// Whether it is the address of one.
    pub(crate) fn has(&self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }

    /// All of them.
    pub(crate) fn each(&self) -> &[IpAddr] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_proxy_is_believed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies = Proxies(vec![address("10.0.0.1"), address("10.0.0.2")]);
        let client = |peer: &str, forwarded| proxies.client(address(peer), forwarded).to_string();
        assert_eq!(client("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(client("10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(client("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9");
        assert_eq!(client("::ffff:10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(client("10.0.0.1", "nonsense"), "10.0.0.1");
        assert_eq!(client("10.0.0.1", ""), "10.0.0.1");
    }
}
