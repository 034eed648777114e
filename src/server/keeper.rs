//! The server that keeps secrets or the master key for this one: OpenBao or HashiCorp Vault, at an address that whoever
//! runs both has written down.
//!
//! Calls go there directly, by TLS or on loopback, with a token that is renewed, or got anew, before it ends and when it
//! is refused. Where it does not answer, is sealed or lets nobody in, that is told as what it is, and the next call
//! tries again.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::http::{Client, Http, Method, Request, Response, Url, below, segment};
use crate::secret::Secret;

mod error;
mod kv;
mod login;
mod transit;

pub(crate) use error::KeeperError;
pub(crate) use kv::{Held, Kv};
pub(crate) use transit::Transit;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer: the largest secrets there are, and some.
const MOST: usize = 4 << 20;
/// Where the last call failed, so many may wait for an answer: the others are told at once, and do not use up the
/// threads of those who need no secrets.
const PATIENT: usize = 8;

/// Where it is, and how one is let in.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) address: Url,
    /// The part of it that is ours, where it has parts.
    pub(crate) namespace: Option<String>,
    /// The authorities that count for it instead of the system's, in PEM.
    pub(crate) authorities: Option<String>,
    pub(crate) login: Login,
}

/// What lets one in.
#[derive(Debug)]
pub(crate) enum Login {
    /// A token that was given.
    Token(Secret),
    /// A token in a file, which somebody may replace.
    TokenFile(PathBuf),
    /// A role, with the file of its secret ID, which somebody may replace.
    AppRole {
        role: String,
        secret: PathBuf,
        /// Where such roles are known.
        mount: String,
    },
}

/// A client of it.
pub(crate) struct Keeper {
    access: Access,
    http: Box<dyn Http + Send + Sync>,
    token: Mutex<login::Tokens>,
    calls: AtomicUsize,
    is_in_trouble: AtomicBool,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("access", &self.access).finish_non_exhaustive()
    }
}

impl Keeper {
    /// A client that has opened nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        let client = Client::near(access.authorities.clone());
        Self::by(access, Box::new(client))
    }

    fn by(access: Access, http: Box<dyn Http + Send + Sync>) -> Self {
        let (calls, is_in_trouble) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { access, http, token: Mutex::default(), calls, is_in_trouble }
    }

    /// Where it is, for a person.
    pub(crate) fn in_words(&self) -> String {
        self.access.address.as_str().trim_end_matches('/').to_owned()
    }

    /// Asks for something below `/v1/`. A missing thing is an answer, a refusal is not.
    fn call(&self, method: &Method, path: &str, body: Option<&str>) -> Result<Response, KeeperError> {
        let _call = self.enter()?;
        let called = self.with_token(method, path, body);
        let is_down = called.as_ref().is_err_and(KeeperError::is_down);
        self.is_in_trouble.store(is_down, Ordering::Relaxed);
        called
    }

    fn with_token(&self, method: &Method, path: &str, body: Option<&str>) -> Result<Response, KeeperError> {
        let token = self.token()?;
        let answer = self.send(method, path, body, Some(&token))?;
        if answer.status == 403
            && let Some(other) = self.other_token(&token)?
        {
            return judged(self.send(method, path, body, Some(&other))?);
        }
        judged(answer)
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        token: Option<&Secret>,
    ) -> Result<Response, KeeperError> {
        let url = below(&self.access.address, &format!("v1/{path}")).map_err(|_| KeeperError::Address)?;
        let mut request = match body {
            Some(body) => Request { method: method.clone(), ..Request::post_json(url, body) },
            None => Request::new(method.clone(), url),
        };
        request = request.header("x-vault-request", "true");
        if let Some(namespace) = &self.access.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(token) = token {
            request.set_secret_header("x-vault-token", token);
        }
        (request.timeout, request.max_answer) = (TIMEOUT, MOST);
        Ok(self.http.send(request)?)
    }

    /// Counts a call for as long as it takes.
    fn enter(&self) -> Result<Call<'_>, KeeperError> {
        let call = Call(&self.calls);
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        if before >= PATIENT && self.is_in_trouble.load(Ordering::Relaxed) {
            return Err(KeeperError::Busy);
        }
        Ok(call)
    }
}

/// A call that is under way.
struct Call<'c>(&'c AtomicUsize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body. It may hold a secret.
fn written(body: &impl Serialize) -> Zeroizing<String> {
    Zeroizing::new(serde_json::to_string(body).unwrap_or_default())
}

/// The data that an answer holds.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// An address below a mount, which may be several folders deep.
fn below_mount(mount: &str, rest: &str) -> String {
    let mount: Vec<String> = mount.split('/').map(segment).collect();
    format!("{}/{rest}", mount.join("/"))
}

/// Sorts an answer.
fn judged(answer: Response) -> Result<Response, KeeperError> {
    match answer.status {
        200..=299 | 404 => Ok(answer),
        403 => Err(KeeperError::Forbidden),
        413 => Err(KeeperError::TooLarge),
        503 => Err(KeeperError::Sealed),
        status => Err(KeeperError::Refused { status }),
    }
}

#[cfg(test)]
pub(crate) mod tests;
