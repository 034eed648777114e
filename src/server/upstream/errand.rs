//! Whoever was sent to an issuer, until they come back: once, within some minutes, in the same browser.
//!
//! The `state` of the request is a token; the database has its hash, and that of a token which the browser alone has.
//! The nonce and the verifier (RFC 7636) are made of the state under a key of the server's, so that they are kept nowhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret::Secret;
use crate::server::db::{OrgScope, Rows, values};
use crate::server::keys::{KeyError, Keys};
use crate::server::random;
use crate::server::token::{self, Kind, Parsed};
use crate::vault::seal::Key;

/// They have to come back within this time.
pub(super) const LIFE: TimeDelta = TimeDelta::minutes(10);
/// The key that ties are made with is made of one of the server's own for this.
const PURPOSE: &str = "upstream-errands";

/// What somebody is sent to an issuer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To sign in, or to come in for the first time.
    SignIn,
    /// To link an account with the person who is signed in.
    Link,
    /// To show once more who they are.
    Prove,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::SignIn, Self::Link, Self::Prove];

    fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Link => "link",
            Self::Prove => "prove",
        }
    }
}

/// An errand.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) scope: OrgScope,
    pub(crate) upstream: String,
    pub(crate) purpose: Purpose,
    /// Where the browser goes on to.
    pub(crate) next: String,
    /// The public part of an invitation that is to be accepted.
    pub(crate) invitation: Option<String>,
    /// The public part of the session that it is for.
    pub(crate) session: Option<String>,
}

/// What a browser that begins an errand gets.
pub(super) struct Begun {
    /// For the issuer, which gives it back.
    pub(super) state: Secret,
    /// For the browser's cookie.
    pub(super) browser: Secret,
    /// What the request is tied to its answer by.
    pub(super) ties: Ties,
}

impl Errand {
    /// Begins it.
    pub(super) fn begin(&self, rows: &mut dyn Rows, keys: &Keys, now: DateTime<Utc>) -> Result<Begun, KeyError> {
        let minted = token::mint(Kind::Errand).map_err(|_| KeyError::NoRandom)?;
        let browser = Secret::new(random::base62(43).map_err(|_| KeyError::NoRandom)?.to_string());
        let (version, own) = keys.own(rows)?;
        let key = own.derived(PURPOSE).ok_or(KeyError::None)?;
        rows.execute("DELETE FROM upstream_attempts WHERE expires < $1", values![now.timestamp_millis()])?;
        rows.execute(
            "INSERT INTO upstream_attempts (id, hash, browser, org, upstream, purpose, next, invitation, session, \
             expires, key_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            values![
                &minted.id,
                &minted.hash,
                &hash(&browser),
                self.scope.id(),
                &self.upstream,
                self.purpose.word(),
                &self.next,
                self.invitation.as_deref(),
                self.session.as_deref(),
                (now + LIFE).timestamp_millis(),
                version,
            ],
        )?;
        Ok(Begun { ties: Ties::of(&key, &minted.token), state: minted.token, browser })
    }

    /// Ends the errand of a state, if this is its browser. There is no second time.
    pub(super) fn end(
        rows: &mut dyn Rows,
        keys: &Keys,
        (token, state): (&Secret, &Parsed),
        browser: &Secret,
        now: DateTime<Utc>,
    ) -> Result<Option<(Self, Ties)>, KeyError> {
        let one = "SELECT hash, browser, org, upstream, purpose, next, invitation, session, expires, \
                   key_version FROM upstream_attempts WHERE id = $1";
        let Some(mut row) = rows.first(one, values![&state.id])? else { return Ok(None) };
        let (kept, known) = (row.bytes(0)?, row.bytes(1)?);
        let is_same = bool::from(hash(browser).as_slice().ct_eq(&known));
        if !state.is(&kept) || !is_same {
            return Ok(None);
        }
        // Of two who bring the same answer, one is heard.
        if rows.execute("DELETE FROM upstream_attempts WHERE id = $1", values![&state.id])? == 0 {
            return Ok(None);
        }
        let (scope, upstream, word) = (OrgScope::of(row.text(2)?), row.text(3)?, row.text(4)?);
        let (next, invitation, session) = (row.text(5)?, row.maybe_text(6)?, row.maybe_text(7)?);
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.word() == word);
        let in_time = now.timestamp_millis() < row.int(8)?;
        let Some(purpose) = purpose.filter(|_| in_time) else { return Ok(None) };
        let ties = Ties::of(&keys.derived_of(rows, row.int(9)?, PURPOSE)?, token);
        Ok(Some((Self { scope, upstream, purpose, next, invitation, session }, ties)))
    }
}

fn hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.expose().as_bytes()).into()
}

/// What a request is tied to its answer by, besides its state.
pub(super) struct Ties {
    pub(super) nonce: String,
    pub(super) verifier: Secret,
}

impl Ties {
    /// Those of a state.
    fn of(key: &Key, state: &Secret) -> Self {
        let text = |what: &str| URL_SAFE_NO_PAD.encode(key.code(&[what.as_bytes(), state.expose().as_bytes()]));
        Self { nonce: text("nonce"), verifier: Secret::new(text("verifier")) }
    }

    /// What the issuer learns of the verifier (RFC 7636 section 4.2).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose().as_bytes()))
    }
}
