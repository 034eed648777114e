//! The one way out to the network: [`Http`], one method, and [`Client`], which builds its TLS machinery on first use.
//!
//! What every request gets: no redirect to another origin, a time limit, a cap on the answer's size, TLS or loopback,
//! no proxy on the way to loopback, and no secret in a log line or an error.

use std::fmt;
use std::time::Duration;

pub use ::url::Url;
use chrono::{DateTime, Utc};
pub use reqwest::Method;
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::{Code, Failure};
use crate::secret::Secret;

mod client;
mod url;

pub use self::client::Client;
#[cfg(feature = "server")]
pub use self::client::send_to;
pub use self::url::{BadUrl, below, is_loopback, parse_url, segment};

/// The answer to metadata and token requests may be this long, in bytes.
pub const SMALL: usize = 256 << 10;
/// How long a whole exchange may take unless the request says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The seam to the network. A closure implements it, so a fault is one line in a test.
pub trait Http: Sync {
    /// Sends one request and reads the whole answer. Any status is an answer; an error means that none came.
    fn send(&self, request: Request) -> Result<Response, Unreachable>;
}

impl<F: Fn(Request) -> Result<Response, Unreachable> + Sync> Http for F {
    fn send(&self, request: Request) -> Result<Response, Unreachable> {
        self(request)
    }
}

/// One request. `Debug` shows the method, the host and the path, never the query, the headers or the body.
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole address, already through [`parse_url`].
    pub url: Url,
    /// The headers. Those that carry a secret are marked sensitive by the constructor that adds them.
    pub headers: HeaderMap,
    /// The body, where there is one. Wiped on drop.
    pub body: Option<Zeroizing<Vec<u8>>>,
    /// The longest answer accepted, in bytes.
    pub max_answer: usize,
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// Whether a redirect to the same origin is followed. Only for requests that may be repeated.
    pub follow_same_origin: bool,
    /// Whom to trust and who to be, where that is not what the system says.
    pub trust: Option<Box<Trust>>,
}

/// The TLS side of a request to a server with an authority of its own, such as a Kubernetes cluster.
#[derive(Default)]
pub struct Trust {
    /// Certificates of the authorities that count instead of the system's, in PEM.
    pub authorities: Option<String>,
    /// The client's certificate and its key, in PEM, one after the other.
    pub identity: Option<Secret>,
    /// The name that the server's certificate must bear, where it is not the host's.
    pub server_name: Option<String>,
    /// The proxy to go through, instead of the environment's.
    pub proxy: Option<Url>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, url: Url) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            method,
            url,
            headers,
            body: None,
            max_answer: SMALL,
            timeout: TIMEOUT,
            follow_same_origin: false,
            trust: None,
        }
    }

    /// A GET that asks for JSON and follows redirects within the origin.
    pub fn get(url: Url) -> Self {
        Self { follow_same_origin: true, ..Self::new(Method::GET, url) }
    }

    /// A POST of form fields (RFC 6749 appendix B), which is never redirected.
    pub fn form(url: Url, fields: &[(&str, &str)]) -> Self {
        let length = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
        let mut body = Zeroizing::new(String::with_capacity(length));
        for (name, value) in fields {
            if !body.is_empty() {
                body.push('&');
            }
            body.extend(::url::form_urlencoded::byte_serialize(name.as_bytes()));
            body.push('=');
            body.extend(::url::form_urlencoded::byte_serialize(value.as_bytes()));
        }
        let mut request = Self::new(Method::POST, url);
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request.body = Some(Zeroizing::new(body.as_bytes().to_vec()));
        request
    }

    /// A POST of JSON, which is never redirected. The body may hold a secret.
    pub fn post_json(url: Url, body: &str) -> Self {
        let mut request = Self::new(Method::POST, url);
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Some(Zeroizing::new(body.as_bytes().to_vec()));
        request
    }

    /// Adds a header that is no secret. A value that no header can hold is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Sets a header that holds a secret, instead of any that is there. `name` is in lower case.
    pub fn set_secret_header(&mut self, name: &'static str, value: &Secret) {
        self.set_sensitive(HeaderName::from_static(name), value.expose());
    }

    /// Adds `Authorization: Bearer …`. A token that is no visible ASCII cannot be sent and is left out; such a token
    /// is refused when it is stored.
    #[must_use]
    pub fn bearer(mut self, token: &Secret) -> Self {
        self.set_sensitive(header::AUTHORIZATION, &Zeroizing::new(format!("Bearer {}", token.expose())));
        self
    }

    /// Adds `Authorization: Basic …` with both parts form-encoded first (RFC 6749 section 2.3.1).
    #[must_use]
    pub fn basic(mut self, user: &str, password: &Secret) -> Self {
        use base64::Engine;
        let encode = |part: &str| ::url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!("{}:{}", encode(user), &*Zeroizing::new(encode(password.expose()))));
        let value = Zeroizing::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(&*pair)));
        self.set_sensitive(header::AUTHORIZATION, &value);
        self
    }

    fn set_sensitive(&mut self, name: HeaderName, value: &str) {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.url.origin().ascii_serialization(), self.url.path())
    }
}

/// One answer, read to its end.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body. Wiped on drop, since it may hold tokens.
    pub body: Zeroizing<Vec<u8>>,
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON of the shape `T`. The error tells where the text went wrong and quotes none of it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Malformed> {
        parse_json(&self.body)
    }

    /// A header as text, where it is there and is visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// When the server thinks it answered (`Date`).
    pub fn date(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc2822(self.header(&header::DATE)?).ok().map(|date| date.to_utc())
    }

    /// How many seconds the server wants to be left alone (`Retry-After`). Where it says until when, that is by its own clock.
    pub fn retry_after(&self) -> Option<u64> {
        let said = self.header(&header::RETRY_AFTER)?.trim();
        said.parse().ok().or_else(|| {
            let until = DateTime::parse_from_rfc2822(said).ok()?.to_utc();
            u64::try_from((until - self.date()?).num_seconds()).ok()
        })
    }
}

/// JSON that is not of the expected shape. serde's own text would quote the value, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub struct Malformed {
    problem: &'static str,
    line: usize,
    column: usize,
}

/// Reads JSON of the shape `T`; the error gives the position and quotes nothing.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Malformed> {
    serde_json::from_slice(bytes).map_err(|error| Malformed {
        problem: match error.classify() {
            serde_json::error::Category::Data => "the JSON lacks a field or has one of the wrong type",
            serde_json::error::Category::Eof => "the JSON ends too early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "this is no JSON",
        },
        line: error.line(),
        column: error.column(),
    })
}

/// Why no usable answer came. Names the origin, never the query or the body.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The connection could not be made.
    #[error("cannot reach {origin}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// What the system said.
        #[source]
        cause: crate::secret::Reason,
    },
    /// The time limit passed.
    #[error("{origin} did not answer within {} s", .after.as_secs())]
    Slow {
        /// Scheme, host and port.
        origin: String,
        /// The limit.
        after: Duration,
    },
    /// The answer is longer than the limit.
    #[error("the answer of {origin} is larger than {} KiB", .limit >> 10)]
    TooLarge {
        /// Scheme, host and port.
        origin: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer broke off.
    #[error("the answer of {origin} broke off")]
    BrokenOff {
        /// Scheme, host and port.
        origin: String,
        /// What the system said.
        #[source]
        cause: crate::secret::Reason,
    },
    /// A redirect that is not followed: to another origin, or of a request with a body.
    #[error("unexpected redirect from {origin} to {target}")]
    Redirect {
        /// Scheme, host and port.
        origin: String,
        /// Scheme, host and port of the target, or `another address`.
        target: String,
    },
    /// The connection could not be made safe: the certificate is none that is trusted, or the two sides do not agree.
    #[error("the connection to {origin} cannot be made safe")]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// What the TLS library said.
        #[source]
        cause: crate::secret::Reason,
    },
    /// The TLS machinery could not be set up, for instance because `SSL_CERT_FILE` names no file.
    #[error("cannot set up TLS")]
    Setup {
        /// What the library said.
        #[source]
        cause: crate::secret::Reason,
    },
}

impl Unreachable {
    /// Whether the request certainly never reached the server, so that sending it again cannot do harm.
    pub fn never_sent(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Tls { .. } | Self::Setup { .. })
    }
}

impl Failure for Unreachable {
    fn code(&self) -> Code {
        Code::Unreachable
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Connect { origin, .. }
                if cfg!(all(unix, feature = "server")) && parse_url(origin).is_ok_and(|url| is_loopback(&url)) =>
            {
                "start what listens there; the lanyard server of this machine: `lanyard auth login --service this-machine`"
                    .into()
            }
            Self::Connect { .. } => {
                "check the address, the network, HTTPS_PROXY and SSL_CERT_FILE; `lanyard doctor` tests them".into()
            }
            Self::Slow { .. } | Self::BrokenOff { .. } => {
                "try again; if it stays so, the service or a proxy is in trouble".into()
            }
            Self::TooLarge { origin, .. } => format!("check that {origin} is the address of the service"),
            Self::Redirect { .. } => {
                "configure the address that the service is really at; lanyard sends no credential to another origin"
                    .into()
            }
            Self::Tls { .. } => {
                "check the clock and the address; for an authority of your own set SSL_CERT_FILE, or the CA in the \
                 credential"
                    .into()
            }
            Self::Setup { .. } => "check SSL_CERT_FILE and SSL_CERT_DIR".into(),
        })
    }
}

/// The usual words for a status, or nothing.
pub fn reason_phrase(status: u16) -> &'static str {
    reqwest::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}
