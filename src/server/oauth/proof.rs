//! Proofs of a key at the token endpoint (RFC 9449 section 5): what is given for one counts together with that key alone.

use axum::http::{HeaderMap, Method};

use super::error::{Given, OauthError, refused};
use crate::auth::dpop::Proof;
use crate::server::db::Reach;
use crate::server::dpop;
use crate::server::state::{Server, now};

/// The error of a proof that is none.
const BAD: &str = "invalid_dpop_proof";

/// The proof that comes with a request for tokens, where one does.
pub(super) fn read(server: &Server, headers: &HeaderMap) -> Given<Option<Proof>> {
    dpop::proof(server, headers, &Method::POST, "/token", None).map_err(|why| OauthError::Refused(BAD, why))
}

/// The key of a proof that was never seen before. Whatever comes of the request, it was seen.
pub(super) fn key(server: &Server, proof: Option<Proof>) -> Given<Option<String>> {
    let Some(proof) = proof else { return Ok(None) };
    if server.db.write(Reach::Server, |rows| dpop::is_first(rows, &proof, now()))? {
        return Ok(Some(proof.key));
    }
    refused(BAD, "the proof was used before")
}

/// Whether whoever shows something that is bound has the key of it.
pub(super) fn has(key: Option<&str>, bound: Option<&str>) -> bool {
    bound.is_none() || key == bound
}

/// The type of a token.
pub(super) fn token_type(is_bound: bool) -> &'static str {
    if is_bound { "DPoP" } else { "Bearer" }
}
