//! The client of the program, which builds its TLS machinery on first use.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Instant;

use reqwest::header;
use url::Url;
use zeroize::Zeroizing;

use super::{Http, Request, Response, TIMEOUT, Unreachable, is_loopback};

const MAX_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!("lanyard/", env!("CARGO_PKG_VERSION"));

/// The client of the program. Free to make: the TLS roots are loaded by the first request.
#[derive(Default)]
pub struct Client {
    outside: OnceLock<reqwest::blocking::Client>,
    loopback: OnceLock<reqwest::blocking::Client>,
}

impl Client {
    /// A client that has not opened anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn for_url(&self, url: &Url) -> Result<&reqwest::blocking::Client, Unreachable> {
        let (cell, direct) = if is_loopback(url) { (&self.loopback, true) } else { (&self.outside, false) };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let mut builder = reqwest::blocking::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .min_tls_version(reqwest::tls::Version::TLS_1_2)
            .connect_timeout(TIMEOUT);
        if direct {
            builder = builder.no_proxy();
        }
        let built = builder.build().map_err(|error| Unreachable::Setup { cause: reason(error) })?;
        Ok(cell.get_or_init(|| built))
    }

    fn once(&self, request: &Request, url: &Url) -> Result<Response, Unreachable> {
        let origin = url.origin().ascii_serialization();
        let started = Instant::now();
        let mut call = self
            .for_url(url)?
            .request(request.method.clone(), url.clone())
            .headers(request.headers.clone())
            .timeout(request.timeout);
        if let Some(body) = &request.body {
            call = call.body(body.to_vec());
        }
        let slow = || Unreachable::Slow { origin: origin.clone(), after: request.timeout };
        let mut answer = call.send().map_err(|error| match error {
            error if error.is_timeout() => slow(),
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
                Unreachable::BrokenOff {
                    origin: origin.clone(),
                    cause: crate::secret::Reason(error.kind().to_string()),
                }
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

/// The innermost cause of a library's error, without the URL it would quote.
fn reason(error: reqwest::Error) -> crate::secret::Reason {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    crate::secret::Reason(cause.to_string())
}
