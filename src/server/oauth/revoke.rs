//! Taking tokens back (RFC 7009). Whoever has a token may end it; nobody learns whether it was one.

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
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};

use super::error::Given;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Asked {
    token: Secret,
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
    Form(Asked { token }): Form<Asked>,
) -> Given<Revoked> {
    let Some(parsed) = token::parse(token.expose()) else { return Ok(Revoked) };
    let revoked = blocking(&server, move |server| {
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            let Some(known) = bearer::find(rows, &parsed)?.filter(|known| known.is_alive(now())) else {
                return Ok(());
            };
            let grant = &known.grant;
            rows.enter(Reach::Of(&grant.scope))?;
            // With the refresh token the whole sign-in ends (section 2.1).
            if known.kind == Kind::Refresh {
                bearer::revoke_family(rows, &grant.scope, &grant.family, now())?;
            } else {
                bearer::revoke(rows, &grant.scope, &known.id, now())?;
            }
            let actor = Actor { person: grant.person.clone(), token: known.id.clone(), ..source.actor() };
            let event = Event { detail: known.kind.word(), ..Event::done("token.revoke", &known.id) };
            Ok(audit::append(rows, &server.keys, &grant.scope, &actor, &event, now())?)
        })
    });
    revoked.await?;
    Ok(Revoked)
}
