//! The device grant (RFC 8628): a program without a browser shows a short code, and asks until a person has typed it.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::consent;
use super::error::{Given, refused, settled};
use super::id_token::{self, About};
use super::token::{Tokens, first_tokens, known_client};
use crate::secret::Secret;
use crate::server::api::Json;
use crate::server::bearer::Grant;
use crate::server::bridge::blocking;
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::permission::Permissions;
use crate::server::random;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};

/// A person has so long to type the code.
const LIFE: TimeDelta = TimeDelta::minutes(10);
/// A program asks so often, in seconds; one that asks more often is told to take longer.
const PACE: i64 = 5;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Asked {
    client_id: Option<String>,
    scope: Option<String>,
}

/// A code that was just made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeviceAuthorization")]
pub(super) struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: i64,
    interval: i64,
}

pub(super) async fn begin(State(server): State<Arc<Server>>, Form(asked): Form<Asked>) -> Given<Json<Begun>> {
    blocking(&server, move |server| Ok(make(server, &asked))).await?
}

fn make(server: &Server, asked: &Asked) -> Given<Json<Begun>> {
    let client = known_client(asked.client_id.as_deref())?;
    let permissions = consent::wanted(asked.scope.as_deref())?;
    let minted = token::mint(Kind::Device)?;
    let user_code = random::typed()?;
    let at = now().timestamp_millis();
    server.db.write(Reach::Server, |rows| -> Result<(), DbError> {
        // Codes that nobody typed in time go; there are few of them at any moment.
        rows.execute("DELETE FROM devices WHERE expires < $1", values![at])?;
        rows.execute(
            "INSERT INTO devices (id, hash, user_code, client, permissions, state, expires, polled, pace, openid) \
             VALUES ($1, $2, $3, $4, $5, 'waiting', $6, 0, $7, $8)",
            values![
                &minted.id,
                &minted.hash,
                &user_code,
                client,
                &permissions.words(),
                at + LIFE.num_milliseconds(),
                PACE,
                i64::from(id_token::is_wanted(asked.scope.as_deref())),
            ],
        )?;
        Ok(())
    })?;
    let address = server.address("/device");
    Ok(Json(Begun {
        device_code: minted.token.expose().to_owned(),
        verification_uri_complete: format!("{address}?user_code={user_code}"),
        verification_uri: address,
        user_code,
        expires_in: LIFE.num_seconds(),
        interval: PACE,
    }))
}

/// What a program is told that asks whether its code was typed.
pub(super) fn poll(
    server: &Server,
    client: &str,
    code: Option<&Secret>,
    key: Option<&str>,
    source: &Source,
) -> Given<Tokens> {
    let bad = || refused("invalid_grant", "the device code is none");
    let parsed = code.and_then(|code| token::parse(code.expose()));
    let Some(parsed) = parsed.filter(|parsed| parsed.kind == Kind::Device) else { return bad() };
    // How often it asked is kept, though the answer is a refusal.
    server.db.write(Reach::Server, |rows| -> Given<Given<Tokens>> {
        let one = "SELECT hash, client, permissions, state, org, person, expires, polled, pace, openid \
                   FROM devices WHERE id = $1";
        let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(bad()) };
        let (hash, known, permissions, state) = (row.bytes(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
        let (org, person) = (row.maybe_text(4)?, row.maybe_text(5)?);
        let (expires, polled, pace) = (row.int(6)?, row.int(7)?, row.int(8)?);
        let about = (row.int(9)? == 1).then_some(About { nonce: None, signed_in: None });
        if !parsed.is(&hash) || known != client {
            return Ok(bad());
        }
        let at = now().timestamp_millis();
        if at >= expires {
            return Ok(refused("expired_token", "nobody typed the code in time"));
        }
        let too_soon = at - polled < pace * 1000;
        let pace = if too_soon && polled > 0 { (pace + PACE).min(60) } else { pace };
        rows.execute("UPDATE devices SET polled = $2, pace = $3 WHERE id = $1", values![&parsed.id, at, pace])?;
        match (state.as_str(), org, person) {
            ("approved", Some(org), Some(person)) => {
                let spend = "UPDATE devices SET state = 'spent' WHERE id = $1 AND state = 'approved'";
                if rows.execute(spend, values![&parsed.id])? == 0 {
                    return Ok(bad());
                }
                let grant = Grant {
                    scope: OrgScope::of(org),
                    person,
                    client: known,
                    permissions: Permissions::parse(&permissions).unwrap_or_default(),
                    family: random::base62(20)?.to_string(),
                    project: None,
                    bound: key.map(str::to_owned),
                };
                settled(first_tokens(rows, server, &grant, about.as_ref(), source))
            }
            ("denied", ..) => Ok(refused("access_denied", "the person said no")),
            ("waiting", ..) if too_soon && polled > 0 => Ok(refused("slow_down", "asked too soon")),
            ("waiting", ..) => Ok(refused("authorization_pending", "nobody has typed the code yet")),
            _ => Ok(bad()),
        }
    })?
}

/// A code that a person has typed, and that waits for a word.
pub(super) struct Waiting {
    pub(super) client: String,
    pub(super) permissions: Permissions,
}

/// The code as it is kept, whatever a person typed between its letters.
pub(super) fn as_kept(typed: &str) -> Option<String> {
    let letters: String = typed.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase();
    (letters.len() == 8).then(|| format!("{}-{}", &letters[..4], &letters[4..]))
}

/// What waits under a code.
pub(super) fn waiting(rows: &mut dyn Rows, user_code: &str) -> Result<Option<Waiting>, DbError> {
    let one = "SELECT client, permissions FROM devices WHERE user_code = $1 AND state = 'waiting' AND expires > $2";
    let row = rows.first(one, values![user_code, now().timestamp_millis()])?;
    row.map(|mut row| {
        let permissions = Permissions::parse(&row.text(1)?).unwrap_or_default();
        Ok(Waiting { client: row.text(0)?, permissions })
    })
    .transpose()
}

/// Notes what a person said; `false` where somebody was faster.
pub(super) fn decide(
    rows: &mut dyn Rows,
    user_code: &str,
    scope: &OrgScope,
    person: &str,
    given: Option<&Permissions>,
) -> Result<bool, DbError> {
    let state = if given.is_some() { "approved" } else { "denied" };
    let words = given.map(Permissions::words).unwrap_or_default();
    let changed = rows.execute(
        "UPDATE devices SET state = $2, org = $3, person = $4, permissions = $5 \
         WHERE user_code = $1 AND state = 'waiting'",
        values![user_code, state, scope.id(), person, &words],
    )?;
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_what_its_letters_are() {
        for typed in ["BCDF-GHJK", "bcdfghjk", " b c d f - g h j k "] {
            assert_eq!(as_kept(typed).as_deref(), Some("BCDF-GHJK"), "{typed}");
        }
        assert!(as_kept("BCDF-GHJ").is_none() && as_kept("ß".repeat(8).as_str()).is_none());
    }
}
