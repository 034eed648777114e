//! Secrets at rest in KV version 2: sealed here, kept there. Each version of a credential has a place of its own, which
//! is written once (check-and-set) and destroyed with everything that is known of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Keeper, KeeperError, below_mount};
use crate::http::Method;
use crate::server::keys::FORM;
use crate::server::random;

/// What rests at one place: each field, sealed.
pub(crate) type Held = BTreeMap<String, Vec<u8>>;

/// The folder of all that is ours.
const FOLDER: &str = "lanyard";
/// So much goes into one place at most; keepers take a little less than 1 MiB. What is longer is cut, and has more
/// places, which its address counts.
const PIECE: usize = 600 << 10;
/// It has no more places than these.
const PIECES: usize = 16;

/// The part of a keeper in which secrets rest.
#[derive(Debug, Clone)]
pub(crate) struct Kv {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) mount: String,
}

#[derive(Deserialize)]
struct Written {
    version: u64,
}

#[derive(Deserialize)]
struct Read {
    data: Option<Content>,
    metadata: Written,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    form: String,
    secrets: BTreeMap<String, String>,
}

impl Kv {
    /// A new address below a folder, for what is to rest there.
    pub(crate) fn address(folder: &str, number: &str, held: &Held) -> Result<String, KeeperError> {
        match pieces(held).len() {
            0 | 1 => Ok(format!("{folder}-{number}")),
            count if count <= PIECES => Ok(format!("{folder}-{number}-{count}")),
            _ => Err(KeeperError::TooLarge),
        }
    }

    /// Writes to a place where nothing was before.
    pub(crate) fn put(&self, address: &str, held: &Held) -> Result<(), KeeperError> {
        let (pieces, places) = (pieces(held), places(address)?);
        if pieces.len() != places.len() {
            return Err(KeeperError::Address);
        }
        for (place, secrets) in places.iter().zip(pieces) {
            let body = json!({ "options": { "cas": 0 }, "data": { "form": FORM, "secrets": secrets } });
            let answer = self.keeper.call(&Method::POST, &self.path("data", place)?, Some(&body.to_string()))?;
            let written: Result<Answer<Written>, _> = answer.json();
            if !matches!(written, Ok(Answer { data: Written { version: 1 } })) {
                return Err(KeeperError::Strange("what was written has no version"));
            }
        }
        Ok(())
    }

    /// What rests at a place; `None` where nothing does that was written there by [`Kv::put`] and by nobody since.
    pub(crate) fn get(&self, address: &str) -> Result<Option<Held>, KeeperError> {
        let mut joined: BTreeMap<String, String> = BTreeMap::new();
        for place in places(address)? {
            let answer = self.keeper.call(&Method::GET, &self.path("data", &place)?, None)?;
            let Ok(Answer { data: Read { data: Some(content), metadata: Written { version: 1 } } }) = answer.json()
            else {
                return Ok(None);
            };
            if answer.status != 200 || content.form != FORM {
                return Ok(None);
            }
            for (field, piece) in content.secrets {
                joined.entry(field).or_default().push_str(&piece);
            }
        }
        Ok(joined.into_iter().map(|(field, text)| Some((field, STANDARD.decode(text).ok()?))).collect())
    }

    /// Destroys what rests at a place, in every version.
    pub(crate) fn destroy(&self, address: &str) -> Result<(), KeeperError> {
        for place in places(address)? {
            self.keeper.call(&Method::DELETE, &self.path("metadata", &place)?, None)?;
        }
        Ok(())
    }

    /// Whether it lets this server read.
    pub(crate) fn answers(&self, instance: &str) -> Result<(), KeeperError> {
        self.keeper.call(&Method::GET, &self.path("data", &format!("{instance}/check/check/none"))?, None).map(drop)
    }

    /// Writes, reads and destroys, as with a secret.
    pub(crate) fn check(&self, instance: &str) -> Result<(), KeeperError> {
        let number = random::base62(16).map_err(|_| KeeperError::Address)?;
        let address = format!("{instance}/check/check/{}", *number);
        let held = Held::from([("check".to_owned(), number.as_bytes().to_vec())]);
        self.put(&address, &held)?;
        let read = self.get(&address)?;
        self.destroy(&address)?;
        if read != Some(held) {
            return Err(KeeperError::Strange("what was written is not what is read"));
        }
        Ok(())
    }

    fn path(&self, of: &str, place: &str) -> Result<String, KeeperError> {
        let is_plain = |part: &str| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            part.bytes().all(letters) && part.bytes().next().is_some_and(|first| first != b'.')
        };
        if place.split('/').count() != 4 || !place.split('/').all(is_plain) {
            return Err(KeeperError::Address);
        }
        Ok(below_mount(&self.mount, &format!("{of}/{FOLDER}/{place}")))
    }
}

/// What goes into each place: every field whole, or in pieces that follow one another.
fn pieces(held: &Held) -> Vec<BTreeMap<&str, String>> {
    let mut pieces = vec![BTreeMap::new()];
    let mut room = PIECE;
    for (field, sealed) in held {
        let text = STANDARD.encode(sealed);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            if room == 0 {
                pieces.push(BTreeMap::new());
                room = PIECE;
            }
            let (piece, more) = rest.split_at(rest.len().min(room));
            room = room.saturating_sub(piece.len());
            if let Some(last) = pieces.last_mut() {
                last.insert(field.as_str(), piece.to_owned());
            }
            rest = more;
        }
    }
    pieces
}

/// The places of an address.
fn places(address: &str) -> Result<Vec<String>, KeeperError> {
    let name = address.rsplit('/').next().unwrap_or_default();
    let count = match name.split('-').nth(2) {
        None => 1,
        Some(count) => count.parse().ok().filter(|count| (2..=PIECES).contains(count)).ok_or(KeeperError::Address)?,
    };
    let place = |number| if number == 0 { address.to_owned() } else { format!("{address}.{number}") };
    Ok((0..count).map(place).collect())
}
