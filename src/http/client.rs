//! The client of the program, which builds its TLS machinery on first use.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Instant;

use reqwest::header;
use url::Url;
use zeroize::Zeroizing;

use super::{Http, Request, Response, TIMEOUT, Trust, Unreachable, is_loopback};

const MAX_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!("lanyard/", env!("CARGO_PKG_VERSION"));

/// The client of the program. Free to make: the TLS roots are loaded by the first request.
#[derive(Default)]
pub struct Client {
    outside: OnceLock<reqwest::blocking::Client>,
    loopback: OnceLock<reqwest::blocking::Client>,
    near: Option<Near>,
}

/// What a client of one server has that stands beside this one.
struct Near {
    /// The authorities that count instead of the system's, in PEM.
    authorities: Option<String>,
}

impl Client {
    /// A client that has not opened anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client of a server that stands beside this one: no proxy is on the way, and with authorities of one's own, in
    /// PEM, no other counts.
    pub fn near(authorities: Option<String>) -> Self {
        Self { near: Some(Near { authorities }), ..Self::default() }
    }

    fn for_url(&self, url: &Url) -> Result<&reqwest::blocking::Client, Unreachable> {
        let (cell, direct) =
            if is_loopback(url) { (&self.loopback, true) } else { (&self.outside, self.near.is_some()) };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let authorities = self.near.as_ref().and_then(|near| near.authorities.as_deref());
        let built = build(direct, |builder| trusted_alone(builder, authorities))?;
        Ok(cell.get_or_init(|| built))
    }

    fn once(&self, request: &Request, url: &Url) -> Result<Response, Unreachable> {
        match &request.trust {
            Some(trust) => {
                let (client, target) = with_trust(trust, url)?;
                exchange(&client, request, url, &target)
            }
            None => exchange(self.for_url(url)?, request, url, url),
        }
    }
}

/// Sends a request to addresses that were looked up and found fit before, and to no other: no proxy, no redirect. The
/// name still counts for TLS and for the server.
#[cfg(feature = "server")]
pub fn send_to(request: &Request, addresses: &[std::net::SocketAddr]) -> Result<Response, Unreachable> {
    let origin = request.url.origin().ascii_serialization();
    let none = Trust::default();
    let trust = request.trust.as_deref().unwrap_or(&none);
    let mut target = request.url.clone();
    if let Some(name) = &trust.server_name {
        // An address in the place of a name would be connected to as it is, whatever was looked up and found fit.
        let is_name = target.set_host(Some(name)).is_ok() && matches!(target.host(), Some(::url::Host::Domain(_)));
        if !is_name {
            let cause = crate::secret::Reason("the server's name is none".into());
            return Err(Unreachable::Connect { origin, cause });
        }
    }
    let client =
        build(true, |builder| trusting(builder.dns_resolver(std::sync::Arc::new(Fixed(addresses.to_vec()))), trust))?;
    let answer = exchange(&client, request, &request.url, &target)?;
    match answer.status {
        301 | 302 | 303 | 307 | 308 => Err(Unreachable::Redirect { origin, target: "another address".into() }),
        _ => Ok(answer),
    }
}

/// Looks nothing up: every name is at addresses that are known already.
#[cfg(feature = "server")]
struct Fixed(Vec<std::net::SocketAddr>);

#[cfg(feature = "server")]
impl reqwest::dns::Resolve for Fixed {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let addresses: reqwest::dns::Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// One request and its answer, read to its end. `target` is where it goes, `url` what it is called.
fn exchange(
    client: &reqwest::blocking::Client,
    request: &Request,
    url: &Url,
    target: &Url,
) -> Result<Response, Unreachable> {
    let origin = url.origin().ascii_serialization();
    let started = Instant::now();
    let mut call = client
        .request(request.method.clone(), target.clone())
        .headers(request.headers.clone())
        .timeout(request.timeout);
    if let Some(body) = &request.body {
        call = call.body(body.to_vec());
    }
    let slow = || Unreachable::Slow { origin: origin.clone(), after: request.timeout };
    let mut answer = call.send().map_err(|error| match error {
        error if error.is_timeout() => slow(),
        error if is_tls(&error) => Unreachable::Tls { origin: origin.clone(), cause: reason(error) },
        error if error.is_connect() => Unreachable::Connect { origin: origin.clone(), cause: reason(error) },
        error => Unreachable::BrokenOff { origin: origin.clone(), cause: reason(error) },
    })?;
    let mut body = Zeroizing::new(Vec::new());
    let limit = request.max_answer;
    (&mut answer).take(limit as u64 + 1).read_to_end(&mut body).map_err(|error| {
        let timed_out = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<reqwest::Error>())
            .is_some_and(reqwest::Error::is_timeout);
        if timed_out || error.kind() == std::io::ErrorKind::TimedOut {
            slow()
        } else {
            Unreachable::BrokenOff { origin: origin.clone(), cause: crate::secret::Reason(error.kind().to_string()) }
        }
    })?;
    if body.len() > limit {
        return Err(Unreachable::TooLarge { origin, limit });
    }
    let status = answer.status().as_u16();
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(method = %request.method, %origin, path = url.path(), status, milliseconds = took, "request");
    Ok(Response { status, headers: std::mem::take(answer.headers_mut()), body })
}

impl Http for Client {
    fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(&request, &url)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let target = answer.header(&header::LOCATION).and_then(|target| url.join(target).ok());
            match target {
                Some(target) if request.follow_same_origin && target.origin() == url.origin() => url = target,
                target => {
                    return Err(Unreachable::Redirect {
                        origin: url.origin().ascii_serialization(),
                        target: target
                            .map_or_else(|| "another address".into(), |target| target.origin().ascii_serialization()),
                    });
                }
            }
        }
        Err(Unreachable::Redirect {
            origin: url.origin().ascii_serialization(),
            target: "itself, again and again".into(),
        })
    }
}

/// A client with what all of them have in common, and what `adjust` adds.
fn build(
    direct: bool,
    adjust: impl FnOnce(reqwest::blocking::ClientBuilder) -> reqwest::Result<reqwest::blocking::ClientBuilder>,
) -> Result<reqwest::blocking::Client, Unreachable> {
    let mut builder = reqwest::blocking::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .min_tls_version(reqwest::tls::Version::TLS_1_2)
        .connect_timeout(TIMEOUT);
    if direct {
        builder = builder.no_proxy();
    }
    let built = adjust(builder).and_then(reqwest::blocking::ClientBuilder::build);
    built.map_err(|error| Unreachable::Setup { cause: reason(error) })
}

/// A client for one request to a server with an authority of its own, and the address under which it checks the
/// server's name: with a name of its own, the connection still goes to the host of `url`.
fn with_trust(trust: &Trust, url: &Url) -> Result<(reqwest::blocking::Client, Url), Unreachable> {
    let origin = url.origin().ascii_serialization();
    let mut target = url.clone();
    let mut addresses = Vec::new();
    if let Some(name) = &trust.server_name {
        let connect = |cause: String| Unreachable::Connect { origin, cause: crate::secret::Reason(cause) };
        addresses = match url.socket_addrs(|| None) {
            Ok(addresses) => addresses,
            Err(error) => return Err(connect(error.kind().to_string())),
        };
        if target.set_host(Some(name)).is_err() {
            return Err(connect("the server's name is none".into()));
        }
    }
    let direct = is_loopback(url) && trust.proxy.is_none();
    let client = build(direct, |builder| {
        let mut builder = trusting(builder, trust)?;
        if let Some(name) = &trust.server_name {
            builder = builder.resolve_to_addrs(name, &addresses);
        }
        if let Some(proxy) = &trust.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.as_str())?);
        }
        Ok(builder)
    })?;
    Ok((client, target))
}

/// A client with the authorities and the certificate of a request's own.
fn trusting(
    builder: reqwest::blocking::ClientBuilder,
    trust: &Trust,
) -> reqwest::Result<reqwest::blocking::ClientBuilder> {
    let mut builder = trusted_alone(builder, trust.authorities.as_deref())?;
    if let Some(identity) = &trust.identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity.expose().as_bytes())?);
    }
    Ok(builder)
}

/// A client that trusts these authorities alone, where there are any.
fn trusted_alone(
    builder: reqwest::blocking::ClientBuilder,
    authorities: Option<&str>,
) -> reqwest::Result<reqwest::blocking::ClientBuilder> {
    Ok(match authorities {
        Some(authorities) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(authorities.as_bytes())?),
        None => builder,
    })
}

/// Whether the two sides did not come to a safe connection.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if found.is::<rustls::Error>() {
            return true;
        }
        let inside = found.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = match inside {
            Some(inner) => Some(inner),
            None => found.source(),
        };
    }
    false
}

/// The innermost cause of a library's error, without the URL it would quote.
fn reason(error: reqwest::Error) -> crate::secret::Reason {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    crate::secret::Reason(cause.to_string())
}
