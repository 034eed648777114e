//! ID tokens (OpenID Connect Core section 2): who signed in, for one program and one attempt, signed by the server.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::error::Given;
use crate::secret::Secret;
use crate::server::api::Json;
use crate::server::bearer::{ACCESS, Grant};
use crate::server::bridge::blocking;
use crate::server::db::{Reach, Rows};
use crate::server::people;
use crate::server::problem::Answer;
use crate::server::signing::{self, SigningKey};
use crate::server::state::{Server, now};
use crate::server::token::Minted;

/// The scope that asks for one.
pub(super) const OPENID: &str = "openid";

/// What a program asked to be told of the sign-in.
pub(super) struct About {
    /// What the program tells this attempt from others by.
    pub(super) nonce: Option<String>,
    /// When the person signed in, in milliseconds, where that is known.
    pub(super) signed_in: Option<i64>,
}

/// Whether a list of scopes asks for an ID token.
pub(super) fn is_wanted(scope: Option<&str>) -> bool {
    scope.unwrap_or_default().split_ascii_whitespace().any(|word| word == OPENID)
}

/// The ID token that goes with an access token.
pub(super) fn make(
    rows: &mut dyn Rows,
    server: &Server,
    grant: &Grant,
    access: &Minted,
    about: &About,
) -> Given<Option<Secret>> {
    let Some(person) = people::by_id(rows, &grant.person)? else { return Ok(None) };
    let now = now();
    let half = &Sha256::digest(access.token.expose())[..16];
    let mut claims = json!({
        "iss": server.issuer(),
        "sub": person.id,
        "aud": grant.client,
        "iat": now.timestamp(),
        "exp": (now + ACCESS).timestamp(),
        "at_hash": URL_SAFE_NO_PAD.encode(half),
        "preferred_username": person.login,
        "organization": grant.scope.id(),
    });
    if let Some(nonce) = &about.nonce {
        claims["nonce"] = json!(nonce);
    }
    if let Some(signed_in) = about.signed_in {
        claims["auth_time"] = json!(signed_in / 1000);
    }
    let key = SigningKey::in_force(rows, &server.keys, now)?;
    Ok(Some(Secret::new(key.sign(&claims)?)))
}

/// The keys to check ID tokens with.
pub(super) async fn keys(State(server): State<Arc<Server>>) -> Answer<Json<signing::Published>> {
    blocking(&server, |server| Ok(Json(server.db.read(Reach::Server, |rows| signing::published(rows, now()))?))).await
}
