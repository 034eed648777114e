//! The loopback callback (RFC 8252 section 7.3): a listener on this machine that takes one answer of the browser.
//!
//! ```text
//! browser ── GET /callback?code=…&state=… ──▶ guard ──▶ wait(judge) says yes or no
//!         ◀── 303 See Other /callback/done ──┘              │
//!         ── GET /callback/done ──▶ held until finish(outcome), then one constant page
//! ```
//!
//! `guard` accepts the connections and reads the requests, within limits; `head` decides whether a request is exactly
//! the one expected; `page` writes every answer. tiny_http writes the responses; its server and its parser are not
//! started, because they take connections from their own socket only, and a second socket would be open to anyone on
//! the machine: what the guard keeps out could walk in there.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::error::{Code, Failure};

mod guard;
mod head;
mod page;

use guard::{Callback, Guard};
use head::Site;
pub use page::Outcome;

/// How often [`Loopback::wait`] calls its `tick`.
const TICK: Duration = Duration::from_millis(250);
/// How many ports are tried where one port must be free on both loopback addresses.
const PAIR_ATTEMPTS: usize = 16;

/// The host that the redirect address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// `127.0.0.1`; `[::1]` where the machine has no IPv4 and the port is free to choose.
    V4,
    /// `[::1]`.
    V6,
    /// `localhost`, for servers that insist on the name. Both addresses are bound, so that nobody else can take one.
    Localhost,
}

/// Where the browser is to be sent back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The host in the address.
    pub host: Host,
    /// A fixed port, for servers that compare it; otherwise the system chooses one.
    pub port: Option<u16>,
    /// The path, such as `/callback`.
    pub path: String,
}

/// Why there is no listener for the callback.
#[derive(Debug, thiserror::Error)]
pub enum LoopbackError {
    /// The port that was asked for cannot be had.
    #[error("port {port} on {address} cannot be opened for the sign-in's answer")]
    Port {
        /// The port.
        port: u16,
        /// The loopback address.
        address: &'static str,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// No loopback address can be bound at all.
    #[error("no loopback address can be opened for the sign-in's answer")]
    NoLoopback {
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The path is none that a browser would ask for literally.
    #[error("the callback path must start with / and hold only letters, digits and -._~/")]
    Path,
}

impl Failure for LoopbackError {
    fn code(&self) -> Code {
        match self {
            Self::Path => Code::Config,
            Self::Port { .. } | Self::NoLoopback { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Port { .. } => {
                "end the program that uses the port, or choose another with `--port` that the service accepts too"
                    .into()
            }
            Self::NoLoopback { .. } => "sign in with `--device` or `--with-token` instead".into(),
            Self::Path => "choose a plain path, such as /callback".into(),
        })
    }
}

/// The query of one callback: names and values, decoded, in order, duplicates kept. Wiped on drop.
pub struct Query(Vec<(String, Zeroizing<String>)>);

impl Query {
    /// Reads a query as a browser sends it.
    pub fn parse(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect())
    }

    /// Every pair in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of `name`; an error where the name stands more than once, because two readers could then differ.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.pairs().filter(|(found, _)| *found == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated),
            (first, None) => Ok(first),
        }
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({} pairs, redacted)", self.0.len())
    }
}

/// A parameter that must stand once stands more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a parameter of the answer is repeated")]
pub struct Repeated;

/// Why [`Loopback::wait`] ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The time limit passed.
    TimedOut,
    /// `tick` asked for the end.
    Cancelled,
}

/// A listener for one callback. Dropping it closes the port and every connection at once.
pub struct Loopback {
    guard: Guard,
    callbacks: Mutex<Receiver<Callback>>,
    redirect_uri: String,
    port: u16,
}

impl Loopback {
    /// Opens the listener.
    ///
    /// A fixed port that is taken is an error and never silently another one. `localhost` binds `127.0.0.1` and `::1`
    /// on one port or fails.
    pub fn bind(redirect: &Redirect) -> Result<Self, LoopbackError> {
        if !head::is_plain_path(&redirect.path) {
            return Err(LoopbackError::Path);
        }
        let (listeners, host) = open(redirect, &mut |address| TcpListener::bind(address))?;
        let port = listeners
            .first()
            .map_or_else(|| Err(io::ErrorKind::AddrNotAvailable.into()), TcpListener::local_addr)
            .map_err(|cause| LoopbackError::NoLoopback { cause })?
            .port();
        let (guard, callbacks) = Guard::start(listeners, Site::new(host, port, &redirect.path))
            .map_err(|cause| LoopbackError::NoLoopback { cause })?;
        let redirect_uri = format!("http://{host}:{port}{}", redirect.path);
        Ok(Self { guard, callbacks: Mutex::new(callbacks), redirect_uri, port })
    }

    /// The address to give to the authorization server, such as `http://127.0.0.1:49152/callback`.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The port that is open.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for the one callback.
    ///
    /// `judge` sees the query of each well-formed request. `Some` accepts it: the browser is sent on to an address
    /// without a query, and no other callback is taken. `None` refuses it: it is answered with 400, and the wait goes
    /// on. `tick` is called about four times a second with the time that is left; `Break` ends the wait.
    pub fn wait<T>(
        &self,
        limit: Duration,
        tick: &mut dyn FnMut(Duration) -> ControlFlow<()>,
        judge: &mut dyn FnMut(&Query) -> Option<T>,
    ) -> Result<T, Ended> {
        let callbacks = self.callbacks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let end = Instant::now() + limit;
        let mut next_tick = Instant::now();
        loop {
            let now = Instant::now();
            let left = end.saturating_duration_since(now);
            if now >= next_tick {
                if tick(left).is_break() {
                    return Err(Ended::Cancelled);
                }
                next_tick = now + TICK;
            }
            if left.is_zero() {
                return Err(Ended::TimedOut);
            }
            match callbacks.recv_timeout(left.min(next_tick.saturating_duration_since(now))) {
                Ok(callback) => match judge(callback.query()) {
                    Some(answer) => {
                        self.guard.accept(callback, &callbacks);
                        return Ok(answer);
                    }
                    None => callback.refuse(),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Ended::Cancelled),
            }
        }
    }

    /// Tells the browser how it ended, waits until the page is on its way, and closes the port.
    ///
    /// Where a callback was accepted and the browser has not asked for the last page yet, it gets about a second.
    pub fn finish(self, outcome: Outcome) {
        self.guard.finish(outcome);
    }
}

type Bind<'a> = &'a mut dyn FnMut(SocketAddr) -> io::Result<TcpListener>;

/// Opens what `redirect` asks for; returns the sockets and the host as the address names it.
fn open(redirect: &Redirect, bind: Bind<'_>) -> Result<(Vec<TcpListener>, &'static str), LoopbackError> {
    let v4 = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = |port| SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    match (redirect.host, redirect.port) {
        (Host::V4, None) => match bind(v4(0)) {
            Ok(listener) => Ok((vec![listener], "127.0.0.1")),
            Err(cause) => {
                let listener = bind(v6(0)).map_err(|_| LoopbackError::NoLoopback { cause })?;
                Ok((vec![listener], "[::1]"))
            }
        },
        (Host::V4, Some(port)) => Ok((vec![bind(v4(port)).map_err(refused(port, "127.0.0.1"))?], "127.0.0.1")),
        (Host::V6, None) => Ok((vec![bind(v6(0)).map_err(|cause| LoopbackError::NoLoopback { cause })?], "[::1]")),
        (Host::V6, Some(port)) => Ok((vec![bind(v6(port)).map_err(refused(port, "[::1]"))?], "[::1]")),
        (Host::Localhost, Some(port)) => Ok((open_pair(port, bind)?, "localhost")),
        (Host::Localhost, None) => Ok((open_any_pair(bind)?, "localhost")),
    }
}

fn refused(port: u16, address: &'static str) -> impl FnOnce(io::Error) -> LoopbackError {
    move |cause| LoopbackError::Port { port, address, cause }
}

/// Both loopback addresses on one fixed port. The IPv6 side holds to the port that the IPv4 side got for port 0.
fn open_pair(port: u16, bind: Bind<'_>) -> Result<Vec<TcpListener>, LoopbackError> {
    let first = bind((Ipv4Addr::LOCALHOST, port).into()).map_err(refused(port, "127.0.0.1"))?;
    let port = first.local_addr().map_err(|cause| LoopbackError::NoLoopback { cause })?.port();
    let second = bind((Ipv6Addr::LOCALHOST, port).into()).map_err(refused(port, "[::1]"))?;
    Ok(vec![first, second])
}

/// Both loopback addresses on one port that is free on both: the system knows a free port for one address only.
fn open_any_pair(bind: Bind<'_>) -> Result<Vec<TcpListener>, LoopbackError> {
    let mut attempts = 1;
    loop {
        match open_pair(0, bind) {
            Err(LoopbackError::Port { cause, .. })
                if cause.kind() == io::ErrorKind::AddrInUse && attempts < PAIR_ATTEMPTS =>
            {
                attempts += 1;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests;
