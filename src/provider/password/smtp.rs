//! Asking a mail server about a user and a password: the greeting, TLS, `AUTH`, and nothing more (RFC 5321, 3207, 4954,
//! 8314). Servers lock an account after a few failures, so a password is tried once.

use std::io::ErrorKind;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::provider::{Outcome, Verdict};
use crate::secret::Secret;
use crate::text::clean;

mod talk;

use talk::Talk;

/// How long the server may take for one step, and for all.
const STEP: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(10) };
const WHOLE: Duration = Duration::from_secs(30);

/// How the connection is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS from the first byte on.
    Tls,
    /// TLS after a word in plain text, before anything that matters.
    StartTls,
    /// None, to this machine alone.
    Plain,
}

impl Security {
    /// The security of that word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "tls" => Self::Tls,
            "starttls" => Self::StartTls,
            "plain" => Self::Plain,
            _ => return None,
        })
    }
}

/// A mail server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) security: Security,
}

impl<'a> Server<'a> {
    /// A server, with the usual port for the security or the usual security for the port (RFC 8314 section 3.3).
    pub(super) fn new(host: &'a str, port: Option<u16>, security: Option<Security>) -> Self {
        let security = security.unwrap_or(if port == Some(465) { Security::Tls } else { Security::StartTls });
        let usual = match security {
            Security::Tls => 465,
            Security::StartTls => 587,
            Security::Plain => 25,
        };
        Self { host, port: port.unwrap_or(usual), security }
    }

    /// The host and the port.
    pub(super) fn place(&self) -> String {
        let host = self.host.to_lowercase();
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }

    fn is_here(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A step of the conversation; where it ends early, what that means.
type Step<T> = Result<T, Box<Verdict>>;

fn ended<T>(outcome: Outcome, reason: impl AsRef<str>, next: &str) -> Step<T> {
    Err(Box::new(Verdict::failed(outcome, reason, next)))
}

/// Asks the server.
pub(super) fn ask(server: &Server<'_>, username: &str, password: &Secret) -> Verdict {
    converse(server, username, password).unwrap_or_else(|verdict| *verdict)
}

fn converse(server: &Server<'_>, username: &str, password: &Secret) -> Step<Verdict> {
    if server.security == Security::Plain && !server.is_here() {
        return ended(
            Outcome::Unexpected,
            "a password is sent without TLS to this machine alone",
            "choose `tls` or `starttls` for the field security",
        );
    }
    let place = server.place();
    let until = Instant::now() + WHOLE;
    let stream = connect(server, &place)?;
    match server.security {
        Security::Plain => {
            let mut talk = Talk::new(stream, &place, until);
            talk.greeting()?;
            talk.sign_in(username, password)
        }
        Security::Tls => {
            let mut talk = Talk::new(secured(stream, server, &place)?, &place, until);
            talk.greeting()?;
            talk.sign_in(username, password)
        }
        Security::StartTls => {
            let mut talk = Talk::new(stream, &place, until);
            talk.greeting()?;
            if !talk.hello()?.starttls {
                return ended(
                    Outcome::Tls,
                    format!("{place} offers no STARTTLS, and the password is not sent without"),
                    "check the port, or choose `tls` for the field security",
                );
            }
            let reply = talk.command("STARTTLS")?;
            if reply.code != 220 {
                return ended(
                    Outcome::Tls,
                    format!("{place} does not begin TLS ({})", reply.code),
                    "try again later, or choose `tls` for the field security",
                );
            }
            // What came in plain text beyond this reply goes with the buffer: nobody vouches for it (RFC 3207).
            let mut talk = Talk::new(secured(talk.stream, server, &place)?, &place, until);
            talk.sign_in(username, password)
        }
    }
}

fn connect(server: &Server<'_>, place: &str) -> Step<TcpStream> {
    let next = "check the host, the port and the network";
    let unreachable = |why: std::io::Error| {
        ended(Outcome::Unreachable, format!("cannot reach {place}: {}", clean(&why.kind().to_string())), next)
    };
    let addresses = match (server.host, server.port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(why) => return unreachable(why),
    };
    let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
    for address in addresses.take(4) {
        match TcpStream::connect_timeout(&address, STEP) {
            Ok(stream) => {
                let limits = stream.set_read_timeout(Some(STEP)).and_then(|()| stream.set_write_timeout(Some(STEP)));
                return limits.map_or_else(unreachable, |()| Ok(stream));
            }
            Err(why) => last = why,
        }
    }
    unreachable(last)
}

/// TLS over the connection, with the system's authorities and those of `SSL_CERT_FILE`, as for every other request.
fn secured(mut stream: TcpStream, server: &Server<'_>, place: &str) -> Step<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier);
    let config = match config {
        Ok(config) => config.with_no_client_auth(),
        Err(why) => {
            let reason = format!("cannot set up TLS: {}", clean(&why.to_string()));
            return ended(Outcome::Tls, reason, "check SSL_CERT_FILE and SSL_CERT_DIR");
        }
    };
    let Ok(name) = ServerName::try_from(server.host.to_owned()) else {
        return ended(Outcome::Tls, format!("{place} has no name that a certificate can bear"), "check the host");
    };
    let connection = ClientConnection::new(Arc::new(config), name).and_then(|mut connection| {
        // A failure inside is a rustls::Error in the io::Error; any other is the network's.
        match connection.complete_io(&mut stream) {
            Ok(_) => Ok(Ok(connection)),
            Err(why) => match why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(inner) => Err(inner.clone()),
                None => Ok(Err(why)),
            },
        }
    });
    match connection {
        Ok(Ok(connection)) => Ok(StreamOwned::new(connection, stream)),
        Ok(Err(why)) => broken_off(place, &why),
        Err(why) => ended(
            Outcome::Tls,
            format!("the connection to {place} cannot be made safe: {}", clean(&why.to_string())),
            "check the host and the clock; 465 is the port for `tls` and 587 for `starttls`; for an authority of your \
             own set SSL_CERT_FILE",
        ),
    }
}

fn broken_off<T>(place: &str, why: &std::io::Error) -> Step<T> {
    let reason = match why.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => format!("{place} did not answer in time"),
        kind => format!("the conversation with {place} broke off: {}", clean(&kind.to_string())),
    };
    ended(Outcome::Unreachable, reason, "try again; if it stays so, check the port")
}
