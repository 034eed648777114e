//! Tokens that were found where they should not be: whoever finds one ends it, and learns nothing of it.
//!
//! `POST /leaked-tokens` takes what secret scanners send, a list of objects with a `token` each, from anybody. A token that
//! counts, one that does not and one that never was get the same answer, and none sooner than the others.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::api::{Listed, Noted};
use super::audit::{self, Actor, Event, server_scope};
use super::bearer::{self, Known};
use super::bridge::blocking;
use super::caller::{Access, Asker};
use super::db::{DbError, OrgScope, Reach, Rows, values};
use super::error::ServeError;
use super::keys::{KeyError, Keys};
use super::people::Session;
use super::problem::{Answer, Problem};
use super::programs::Ended;
use super::routes::Route;
use super::serve::open_existing;
use super::settings::Settings;
use super::state::{Server, now};
use super::token::{self, Kind, Parsed};
use super::{people, reset};
use crate::secret::{Secret, SecretStore};

/// So many at a time.
const MOST: usize = 100;
/// No answer comes sooner: what is done for a token that counts does not show.
const AT_LEAST: Duration = Duration::from_millis(250);

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::api(
        Method::POST,
        "/leaked-tokens",
        Access::Anyone,
        report,
        "reportLeakedTokens",
        "End tokens that were found where they should not be",
    )]
}

/// A token that was found. What else is told of it is passed over.
#[derive(Deserialize, JsonSchema)]
struct Found {
    token: Secret,
    /// Told by whoever found it, and not looked at. With it, a list of values is not taken for the members of an object.
    #[serde(flatten)]
    #[schemars(skip)]
    _more: Map<String, Value>,
}

/// What was found.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct All(#[schemars(length(min = 1, max = 100))] Vec<Found>);

async fn report(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    Listed(All(found)): Listed<All>,
) -> Answer<Noted> {
    if found.is_empty() || found.len() > MOST {
        return Err(Problem::invalid(format!("there are 1 to {MOST} tokens at a time")));
    }
    let ended = blocking(&server, move |server| {
        // What has not even the form of a token costs nothing, and what does not count has nobody else wait.
        let counting = server.db.read(Reach::Server, |rows| -> Answer<Vec<&Secret>> {
            let mut counting = Vec::new();
            for Found { token, .. } in &found {
                counting.extend(look(rows, token.expose().trim(), now())?.map(|_| token));
            }
            Ok(counting)
        })?;
        for token in counting {
            server.db.write(Reach::Server, |rows| end(rows, &server.keys, token, &source.actor(), now()))?;
        }
        Ok(())
    });
    let (ended, ()) = tokio::join!(ended, tokio::time::sleep(AT_LEAST));
    ended?;
    Ok(Noted)
}

/// Ends a token of the server that is kept here; `false` where it did not count.
pub fn revoke_token(settings: &Settings, store: &dyn SecretStore, token: &Secret) -> Result<bool, ServeError> {
    let (db, keys) = open_existing(settings, store)?;
    Ok(db.write(Reach::Server, |rows| end(rows, &keys, token, &Actor::operator(), now()))?)
}

/// What a token is that counts.
enum Counting {
    Bearer(Known),
    Session(Session),
    /// The link that makes the first owner.
    SetUp,
    /// One by which somebody chooses another passphrase.
    Reset,
    Invitation(OrgScope),
}

/// What a token is, if it counts.
fn look(rows: &mut dyn Rows, token: &str, now: DateTime<Utc>) -> Result<Option<(Parsed, Counting)>, DbError> {
    let Some(parsed) = token::parse(token) else { return Ok(None) };
    let found = match parsed.kind {
        Kind::Key | Kind::Job | Kind::Access | Kind::Refresh => {
            bearer::find(rows, &parsed)?.filter(|known| known.is_alive(now)).map(Counting::Bearer)
        }
        Kind::Session => people::session(rows, token, now)?.map(Counting::Session),
        Kind::Invitation if is_set_up(rows, &parsed, now)? => Some(Counting::SetUp),
        Kind::Invitation if reset::find(rows, &parsed, now)?.is_some() => Some(Counting::Reset),
        Kind::Invitation => invited(rows, &parsed, now)?.map(Counting::Invitation),
        // These end by themselves, in a minute or in ten.
        Kind::Code | Kind::Device | Kind::Half | Kind::Errand | Kind::Question => None,
    };
    Ok(found.map(|found| (parsed, found)))
}

/// Ends a token, with all that came of the same sign-in and the API keys that were made with it, and tells it to the
/// organization.
fn end(rows: &mut dyn Rows, keys: &Keys, token: &Secret, actor: &Actor, now: DateTime<Utc>) -> Result<bool, KeyError> {
    let Some((parsed, found)) = look(rows, token.expose().trim(), now)? else { return Ok(false) };
    let mut ended = None;
    let scopes: Vec<OrgScope> = match found {
        Counting::Bearer(known) => {
            if matches!(parsed.kind, Kind::Key | Kind::Job) {
                bearer::revoke(rows, &known.grant.scope, &known.id, now)?;
            } else {
                ended = Some(Ended::now(rows, &known.grant.scope, &known.grant.family)?);
            }
            vec![known.grant.scope]
        }
        Counting::Session(session) => {
            people::sign_out_of_all(rows, &session.person.id, &session.id, session.proved)?;
            let members = people::memberships(rows, &session.person.id)?.into_iter().map(|member| member.scope);
            audit::told_in(members.filter(|scope| session.only.as_ref().is_none_or(|only| only == scope)))
        }
        // The next start of the server makes another one.
        Counting::SetUp => {
            let gone = "DELETE FROM invitations WHERE id = $1 AND spent IS NULL";
            if rows.execute(gone, values![&parsed.id])? == 0 {
                return Ok(false);
            }
            vec![server_scope()]
        }
        Counting::Reset => {
            let Some(scopes) = reset::end(rows, &parsed, now)? else { return Ok(false) };
            scopes
        }
        Counting::Invitation(scope) => {
            let gone = "DELETE FROM member_invitations WHERE org = $1 AND id = $2 AND spent IS NULL";
            if rows.execute(gone, values![scope.id(), &parsed.id])? == 0 {
                return Ok(false);
            }
            vec![scope]
        }
    };
    let event = Event { detail: parsed.kind.word(), ..Event::done("token.leaked", &parsed.id) };
    for scope in &scopes {
        audit::append(rows, keys, scope, actor, &event, now)?;
    }
    ended.map_or(Ok(()), |ended| ended.tell_keys(rows, keys, actor))?;
    Ok(true)
}

/// Whether it is the link that makes the first owner, and still good.
fn is_set_up(rows: &mut dyn Rows, parsed: &Parsed, now: DateTime<Utc>) -> Result<bool, DbError> {
    let one = "SELECT hash FROM invitations WHERE id = $1 AND spent IS NULL AND expires > $2";
    let found = rows.first(one, values![&parsed.id, now.timestamp_millis()])?;
    Ok(found.map(|mut row| row.bytes(0)).transpose()?.is_some_and(|hash| parsed.is(&hash)))
}

/// The organization of an invitation that is still good.
fn invited(rows: &mut dyn Rows, parsed: &Parsed, now: DateTime<Utc>) -> Result<Option<OrgScope>, DbError> {
    let one = "SELECT org, hash FROM member_invitations WHERE id = $1 AND spent IS NULL AND expires > $2";
    let Some(mut row) = rows.first(one, values![&parsed.id, now.timestamp_millis()])? else { return Ok(None) };
    let (scope, hash) = (OrgScope::of(row.text(0)?), row.bytes(1)?);
    Ok(parsed.is(&hash).then_some(scope))
}
