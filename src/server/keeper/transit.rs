//! Keys under a key that never leaves the keeper.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Answer, Keeper, KeeperError, below_mount, written};
use crate::http::{Method, Response, segment};
use crate::secret::Secret;
use crate::vault::seal::Key;

/// A key of the keeper that wraps others.
#[derive(Debug, Clone)]
pub(crate) struct Transit {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) mount: String,
    pub(crate) name: String,
}

#[derive(Serialize, Deserialize)]
struct Wrapped {
    ciphertext: String,
}

#[derive(Serialize)]
struct Shown<'s> {
    plaintext: &'s str,
}

#[derive(Deserialize)]
struct Plain {
    plaintext: Secret,
}

impl Transit {
    /// Wraps a key.
    pub(crate) fn wrap(&self, key: &Key) -> Result<String, KeeperError> {
        // The key rests as base 64 already, which is how plain text travels.
        let key = key.to_secret();
        let answer: Result<Answer<Wrapped>, _> = self.call("encrypt", &Shown { plaintext: key.expose() })?.json();
        Ok(answer.map_err(|_| KeeperError::Strange("a wrapped key is none"))?.data.ciphertext)
    }

    /// Unwraps a key. What it does not take is none that it has wrapped.
    pub(crate) fn unwrap(&self, wrapped: &str) -> Result<Key, KeeperError> {
        let strange = || KeeperError::Strange("an unwrapped key is none");
        let shown = Wrapped { ciphertext: wrapped.to_owned() };
        let answer: Result<Answer<Plain>, _> = self.call("decrypt", &shown)?.json();
        Key::from_secret(&answer.map_err(|_| strange())?.data.plaintext).ok_or_else(strange)
    }

    /// Whether it wraps and unwraps for this server.
    pub(crate) fn try_out(&self) -> Result<(), KeeperError> {
        let made = Key::random().map_err(|_| KeeperError::Strange("there is nothing to wrap"))?;
        self.unwrap(&self.wrap(&made)?).map(drop)
    }

    fn call(&self, what: &str, body: &impl Serialize) -> Result<Response, KeeperError> {
        let path = below_mount(&self.mount, &format!("{what}/{}", segment(&self.name)));
        self.keeper.call(&Method::POST, &path, Some(&written(body)))
    }

    /// Where it is, for a person.
    pub(crate) fn in_words(&self) -> String {
        format!("the key {} of {}", self.name, self.keeper.in_words())
    }
}
