//! Tokens that only count together with a key (DPoP, RFC 9449): who steals one has nothing without it.
//!
//! A proof is good once, for whichever server of several it reaches: those that were seen are in the database for as long
//! as they would be good.

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::db::{DbError, Rows, values};
use super::problem::{Answer, Problem};
use super::state::{Server, now};
use super::token::{self, Parsed};
use crate::auth::dpop::{self, ALGORITHMS, Asked, FRESH, Proof};
use crate::http::Url;

/// So long a proof is kept: as long as it may be good, whatever its clock says.
const KEPT: TimeDelta = TimeDelta::seconds(3 * FRESH);

/// The header that a proof is in.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("dpop");

/// How a request shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// It is enough to have it.
    Bearer,
    /// With the key that it is bound to.
    Proven,
}

/// The token that a request shows.
pub(crate) struct Shown {
    /// How.
    pub(crate) scheme: Scheme,
    /// The token, where it can be one of this server's.
    pub(crate) token: Option<Parsed>,
    /// The hash of it, as a proof names it.
    hash: String,
}

/// The token that a request shows, if any. A slip of the finger, or somebody else's token, asks no database.
pub(crate) fn shown(headers: &HeaderMap) -> Option<Shown> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let text = all.next()?.to_str().ok()?;
    // Of two tokens none is meant.
    if all.next().is_some() {
        return None;
    }
    let (scheme, token) = text.split_once(' ')?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("bearer") => Scheme::Bearer,
        _ if scheme.eq_ignore_ascii_case("dpop") => Scheme::Proven,
        _ => return None,
    };
    let token = token.trim();
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token));
    Some(Shown { scheme, token: token::parse(token), hash })
}

/// The proof that a request carries, for the token that it shows; `None` where it carries none.
pub(crate) fn proof(
    server: &Server,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    token: Option<&Shown>,
) -> Result<Option<Proof>, &'static str> {
    let mut all = headers.get_all(HEADER).iter();
    let Some(text) = all.next() else { return Ok(None) };
    let text = text.to_str().map_err(|_| "the proof is no text")?;
    if all.next().is_some() {
        return Err("there are several proofs");
    }
    let address = Url::parse(&server.address(path)).map_err(|_| "the address is none")?;
    let token_hash = token.map(|token| token.hash.as_str());
    let asked = Asked { method: method.as_str(), address: &address, token_hash };
    dpop::check(text, &asked, now()).map(Some)
}

/// Notes that a proof was seen; `false` where it was seen before.
pub(crate) fn is_first(rows: &mut dyn Rows, proof: &Proof, now: DateTime<Utc>) -> Result<bool, DbError> {
    let hash = Sha256::digest(format!("{}.{}", proof.key, proof.id));
    let kept = (now + KEPT).timestamp_millis();
    let noted = rows.execute(
        "INSERT INTO proofs (hash, expires) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING",
        values![hash.as_slice(), kept],
    )?;
    Ok(noted > 0)
}

/// Refuses a token that is bound to a key, or a proof.
pub(crate) fn refused(error: &str, detail: &'static str) -> Problem {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let challenge =
        format!("DPoP error=\"{error}\", error_description=\"{detail}\", algs=\"{}\"", ALGORITHMS.join(" "));
    problem.header(header::WWW_AUTHENTICATE, challenge)
}

/// What a request must show for a token: nothing more where it is bound to no key, else a proof of that key.
pub(crate) fn fits(scheme: Scheme, proof: Option<&Proof>, bound: Option<&str>) -> Answer<()> {
    match (scheme, proof, bound) {
        (Scheme::Bearer, _, None) => Ok(()),
        (Scheme::Bearer, _, Some(_)) => Err(refused("invalid_token", "the token counts with a proof of its key alone")),
        (Scheme::Proven, _, None) => Err(refused("invalid_token", "the token is bound to no key")),
        (Scheme::Proven, None, Some(_)) => Err(refused("invalid_dpop_proof", "there is no proof")),
        (Scheme::Proven, Some(proof), Some(bound)) if proof.key == bound => Ok(()),
        (Scheme::Proven, Some(_), Some(_)) => Err(refused("invalid_token", "the token is bound to another key")),
    }
}
