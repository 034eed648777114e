//! Taking tokens back (RFC 7009). Whoever has a token may end it, and nobody learns whether it was one; but a program that
//! says which one it is ends no other's.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::secret::Secret;
use crate::server::api::{Gives, Operation};
use crate::server::audit::{self, Actor, Event};
use crate::server::bearer;
use crate::server::bridge::blocking;
use crate::server::caller::Asker;
use crate::server::db::Reach;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};

use super::error::{Given, refused};
use super::told;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Asked {
    token: Secret,
    /// The program that asks; it has to be the one that the token was given to.
    client_id: Option<String>,
}

/// Nothing of it counts any more, or nothing ever did.
pub(super) struct Revoked;

impl IntoResponse for Revoked {
    fn into_response(self) -> Response {
        StatusCode::OK.into_response()
    }
}

impl Gives for Revoked {
    fn tell(told: &mut Operation<'_>) {
        told.empty(StatusCode::OK);
    }
}

pub(super) async fn revoke(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    Form(Asked { token, client_id }): Form<Asked>,
) -> Given<Revoked> {
    let Some(parsed) = token::parse(token.expose()) else { return Ok(Revoked) };
    let revoked = blocking(&server, move |server| {
        Ok(server.db.write(Reach::Server, |rows| -> Given<Given<Revoked>> {
            let Some(known) = bearer::find(rows, &parsed)?.filter(|known| known.is_alive(now())) else {
                return Ok(Ok(Revoked));
            };
            let grant = &known.grant;
            rows.enter(Reach::Of(&grant.scope))?;
            // An API key is no program's.
            let is_its_own = |client: String| grant.client.is_empty() || client == grant.client;
            if !client_id.is_none_or(is_its_own) {
                told::refused(rows, server, grant, "token.revoke", "another program", &source)?;
                return Ok(refused("invalid_grant", "the token was given to another client"));
            }
            // With the refresh token the whole sign-in ends (section 2.1).
            if known.kind == Kind::Refresh {
                bearer::revoke_family(rows, &grant.scope, &grant.family, now())?;
            } else {
                bearer::revoke(rows, &grant.scope, &known.id, now())?;
            }
            let actor = Actor { person: grant.person.clone(), token: known.id.clone(), ..source.actor() };
            let event = Event { detail: known.kind.word(), ..Event::done("token.revoke", &known.id) };
            audit::append(rows, &server.keys, &grant.scope, &actor, &event, now())?;
            Ok(Ok(Revoked))
        }))
    });
    revoked.await??
}
