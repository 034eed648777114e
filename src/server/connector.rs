//! The one way from the server to addresses that its users name: what is private, special or somebody's metadata is
//! never reached, whatever a name resolves to.
//!
//! A name is resolved once; every address that comes of it must be allowed; the connection goes to those addresses and
//! no other. No proxy, no redirect. Whoever asked learns that the address is not allowed or does not answer, and nothing
//! of what stands there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::http::{Http, Request, Response, Unreachable, Url, send_to};
use crate::secret::Reason;

/// One question, from looking up the name to its answer, takes no longer.
const TIMEOUT: Duration = Duration::from_secs(10);
const MOST: usize = 1 << 20;
/// The ports of services with TLS; an allowed host may have any.
const PORTS: [u16; 4] = [443, 5000, 6443, 8443];

/// Looks a name up.
type Resolver<'r> = dyn Fn(&Url) -> std::io::Result<Vec<SocketAddr>> + Sync + 'r;

/// The connector. Hosts that an administrator allowed may have private addresses and plain HTTP.
pub(crate) struct Connector<'c> {
    allowed: &'c [String],
    most: usize,
    resolver: &'c Resolver<'c>,
}

impl<'c> Connector<'c> {
    /// One that reaches the open net, and these hosts.
    pub(crate) fn new(allowed: &'c [String]) -> Self {
        Self { allowed, most: MOST, resolver: &looked_up }
    }

    /// The same for answers that may be longer.
    pub(crate) fn reading(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Http for Connector<'_> {
    fn send(&self, mut request: Request) -> Result<Response, Unreachable> {
        let began = Instant::now();
        let addresses = self.addresses(&request.url).map_err(|problem| Unreachable::Connect {
            origin: request.url.origin().ascii_serialization(),
            cause: Reason(problem.into()),
        })?;
        request.timeout = request.timeout.min(TIMEOUT.saturating_sub(began.elapsed()));
        request.max_answer = request.max_answer.min(self.most);
        send_to(&request, &addresses)
    }
}

impl Connector<'_> {
    /// The addresses that a URL leads to, if all of them may be reached.
    fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, &'static str> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let is_allowed = self.allowed.contains(&host);
        if url.scheme() != "https" && !is_allowed {
            return Err("the server asks only addresses with https");
        }
        if !is_allowed && !url.port_or_known_default().is_some_and(|port| PORTS.contains(&port)) {
            return Err("the server does not ask at this port");
        }
        let addresses = (self.resolver)(url).map_err(|_| "the name leads nowhere")?;
        if addresses.is_empty() {
            return Err("the name leads nowhere");
        }
        if addresses.iter().any(|address| is_metadata(address.ip()) || (!is_allowed && is_special(address.ip()))) {
            return Err("the server does not ask at private addresses; an administrator can allow a host");
        }
        Ok(addresses)
    }
}

/// The addresses of a name.
fn looked_up(url: &Url) -> std::io::Result<Vec<SocketAddr>> {
    if url.domain().is_none() {
        return url.socket_addrs(|| None);
    }
    let url = url.clone();
    within(TIMEOUT, move || url.socket_addrs(|| None))
}

/// Does what the system gives no end to, such as looking a name up: in a thread of its own, which goes on when nobody
/// waits for it any more.
fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let (sender, done) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("looking-up".into());
    // Whoever wanted to know may be gone by then.
    thread.spawn(move || drop(sender.send(work())))?;
    done.recv_timeout(patience).map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?
}

/// Where clouds tell a machine its secrets: never reached, even for an allowed host.
fn is_metadata(address: IpAddr) -> bool {
    const V4: [Ipv4Addr; 4] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(100, 100, 100, 200),
    ];
    const V6: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    ];
    match address {
        IpAddr::V4(address) => V4.contains(&address) || address.is_link_local(),
        IpAddr::V6(address) => {
            V6.contains(&address) || embedded(address).is_some_and(|inner| is_metadata(IpAddr::V4(inner)))
        }
    }
}

/// Whether an address is not of the open net: private, of this machine, of this link, of many, or reserved.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => {
            let [first, second, third, ..] = address.segments();
            let documentation = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
            // What stands for identifiers and measurements, and is no address of anybody's.
            let reserved = (first == 0x2001 && matches!(second, 2 | 0x10..=0x2f)) || first == 0x5f00;
            // What a network translates as it likes, to addresses of its own.
            let translated = (first, second, third) == (0x64, 0xff9b, 1);
            address.is_unspecified()
                || address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_multicast()
                // Old site-local addresses, and what only routers say to themselves.
                || first & 0xffc0 == 0xfec0
                || first == 0x0100
                || documentation
                || reserved
                || translated
                || embedded(address).is_some_and(is_special_v4)
        }
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224..=255 => true,
        100 => (64..=127).contains(&b),
        169 => b == 254,
        172 => (16..=31).contains(&b),
        192 => matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        198 => matches!((b, c), (18 | 19, _) | (51, 100)),
        203 => (b, c) == (0, 113),
        _ => false,
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, compatible, NAT64, 6to4, Teredo.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(of(high, low)),
        [0x2001, 0, .., high, low] => Some(of(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
