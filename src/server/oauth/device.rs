//! The device grant (RFC 8628): a program without a browser shows a short code, and asks until a person has typed it.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{self, Client};
use super::consent;
use super::error::{Given, refused, settled};
use super::id_token::{self, About};
use super::token::{Tokens, first_tokens};
use super::told;
use crate::secret::Secret;
use crate::server::api::Json;
use crate::server::attempts::network;
use crate::server::bearer::Grant;
use crate::server::bridge::blocking;
use crate::server::caller::Asker;
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::organizations;
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

pub(super) async fn begin(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    Form(asked): Form<Asked>,
) -> Given<Json<Begun>> {
    let client = client::known(&server, asked.client_id.as_deref()).await?;
    if !client.is_a_device() {
        return no_device();
    }
    blocking(&server, move |server| Ok(make(server, &client, &asked, &source))).await?
}

/// What a program is told that was not registered for this.
fn no_device<T>() -> Given<T> {
    refused("unauthorized_client", "this client is not let in by a code")
}

fn make(server: &Server, client: &Client, asked: &Asked, source: &Source) -> Given<Json<Begun>> {
    let permissions = consent::wanted(asked.scope.as_deref())?;
    let minted = token::mint(Kind::Device)?;
    let user_code = random::typed()?;
    let at = now().timestamp_millis();
    let from = source.address.map(|address| address.to_string()).unwrap_or_default();
    server.db.write(Reach::Server, |rows| -> Result<(), DbError> {
        // Codes that nobody typed in time go; there are few of them at any moment.
        rows.execute("DELETE FROM devices WHERE expires < $1", values![at])?;
        rows.execute(
            "INSERT INTO devices (id, hash, user_code, client, permissions, state, expires, polled, pace, openid, \
             created, address) VALUES ($1, $2, $3, $4, $5, 'waiting', $6, 0, $7, $8, $9, $10)",
            values![
                &minted.id,
                &minted.hash,
                &user_code,
                &client.id,
                &permissions.words(),
                at + LIFE.num_milliseconds(),
                PACE,
                i64::from(id_token::is_wanted(asked.scope.as_deref())),
                at,
                &from,
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
    client: &Client,
    code: Option<&Secret>,
    key: Option<&str>,
    source: &Source,
) -> Given<Tokens> {
    let bad = || refused("invalid_grant", "the device code is none");
    let parsed = code.and_then(|code| token::parse(code.expose()));
    let Some(parsed) = parsed.filter(|parsed| parsed.kind == Kind::Device) else { return bad() };
    // How often it asked is kept, though the answer is a refusal.
    server.db.write(Reach::Server, |rows| -> Given<Given<Tokens>> {
        if !client.hold(rows)? {
            return Ok(client::unknown());
        }
        let one = "SELECT hash, client, permissions, state, org, person, expires, polled, pace, openid, address \
                   FROM devices WHERE id = $1";
        let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(bad()) };
        let (hash, known, permissions, state) = (row.bytes(0)?, row.text(1)?, row.text(2)?, row.text(3)?);
        let (org, person) = (row.maybe_text(4)?, row.maybe_text(5)?);
        let (expires, polled, pace) = (row.int(6)?, row.int(7)?, row.int(8)?);
        let began_at = row.text(10)?.parse().ok();
        let about = (row.int(9)? == 1).then_some(About { nonce: None, signed_in: None });
        if !parsed.is(&hash) {
            return Ok(bad());
        }
        // Whose it is, as soon as somebody has typed it.
        let grant = org.zip(person).map(|(org, person)| Grant {
            scope: OrgScope::of(org),
            person,
            client: known.clone(),
            permissions: Permissions::parse(&permissions).unwrap_or_default(),
            family: String::new(),
            project: None,
            bound: key.map(str::to_owned),
        });
        let refuse = |rows: &mut dyn Rows, why: &str| match &grant {
            Some(grant) => told::refused(rows, server, grant, "program.sign-in", why, source),
            None => Ok(()),
        };
        if known != client.id {
            refuse(rows, "another program")?;
            return Ok(bad());
        }
        if !client.is_a_device() {
            refuse(rows, "not by a code")?;
            return Ok(no_device());
        }
        let at = now().timestamp_millis();
        if at >= expires {
            refuse(rows, "too late")?;
            return Ok(refused("expired_token", "nobody typed the code in time"));
        }
        let too_soon = at - polled < pace * 1000;
        let pace = if too_soon && polled > 0 { (pace + PACE).min(60) } else { pace };
        rows.execute("UPDATE devices SET polled = $2, pace = $3 WHERE id = $1", values![&parsed.id, at, pace])?;
        match (state.as_str(), &grant) {
            ("approved", Some(grant)) if !organizations::lets_devices_in(rows, &grant.scope)? => {
                if forbid(rows, &parsed.id)? {
                    refuse(rows, "no devices")?;
                }
                Ok(forbidden())
            }
            ("approved", Some(grant)) => {
                let spend = "UPDATE devices SET state = 'spent' WHERE id = $1 AND state = 'approved'";
                if rows.execute(spend, values![&parsed.id])? == 0 {
                    return Ok(bad());
                }
                let grant = Grant { family: random::base62(20)?.to_string(), ..grant.clone() };
                // It is answered all the same: a laptop is carried from one network to another, and so is a code.
                let is_elsewhere = network(began_at) != network(source.address);
                let told =
                    if is_elsewhere { format!("{}, another network", grant.client) } else { grant.client.clone() };
                settled(first_tokens(rows, server, &grant, &told, about.as_ref(), source))
            }
            ("denied", ..) => Ok(refused("access_denied", "the person said no")),
            ("forbidden", ..) => Ok(forbidden()),
            ("waiting", ..) if too_soon && polled > 0 => Ok(refused("slow_down", "asked too soon")),
            ("waiting", ..) => Ok(refused("authorization_pending", "nobody has typed the code yet")),
            _ => {
                refuse(rows, "it was used before")?;
                Ok(bad())
            }
        }
    })?
}

fn forbidden<T>() -> Given<T> {
    refused("unauthorized_client", "the organization lets nobody in by a code")
}

/// Ends what was asked for of an organization that lets no devices in; `false` where it has ended.
fn forbid(rows: &mut dyn Rows, id: &str) -> Result<bool, DbError> {
    let end = "UPDATE devices SET state = 'forbidden' WHERE id = $1 AND state = 'approved'";
    Ok(rows.execute(end, values![id])? > 0)
}

/// A code that a person has typed, and that waits for a word.
pub(super) struct Waiting {
    pub(super) client: String,
    pub(super) permissions: Permissions,
    /// When it was asked for, and from where.
    pub(super) asked: i64,
    pub(super) address: String,
}

impl Waiting {
    /// How long ago it was asked for, in words.
    pub(super) fn ago(&self) -> String {
        match (now().timestamp_millis() - self.asked) / 60_000 {
            ..=0 => "less than a minute ago".into(),
            1 => "a minute ago".into(),
            minutes => format!("{minutes} minutes ago"),
        }
    }
}

/// The code as it is kept, whatever a person typed between its letters.
pub(super) fn as_kept(typed: &str) -> Option<String> {
    let letters: String = typed.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_uppercase();
    (letters.len() == 8).then(|| format!("{}-{}", &letters[..4], &letters[4..]))
}

/// What waits under a code.
pub(super) fn waiting(rows: &mut dyn Rows, user_code: &str) -> Result<Option<Waiting>, DbError> {
    let one = "SELECT client, permissions, created, address FROM devices \
               WHERE user_code = $1 AND state = 'waiting' AND expires > $2";
    let row = rows.first(one, values![user_code, now().timestamp_millis()])?;
    row.map(|mut row| {
        let permissions = Permissions::parse(&row.text(1)?).unwrap_or_default();
        Ok(Waiting { client: row.text(0)?, permissions, asked: row.int(2)?, address: row.text(3)? })
    })
    .transpose()
}

/// What a person says to a device.
pub(super) enum Word<'w> {
    /// It is let in, and may do this.
    Allowed(&'w Permissions),
    /// It is not.
    Denied,
    /// Their organization lets no devices in.
    Forbidden,
}

/// Notes what a person said; `false` where somebody was faster.
pub(super) fn decide(
    rows: &mut dyn Rows,
    user_code: &str,
    scope: &OrgScope,
    person: &str,
    word: &Word<'_>,
) -> Result<bool, DbError> {
    let (state, words) = match word {
        Word::Allowed(given) => ("approved", given.words()),
        Word::Denied => ("denied", String::new()),
        Word::Forbidden => ("forbidden", String::new()),
    };
    let changed = rows.execute(
        "UPDATE devices SET state = $2, org = $3, person = $4, permissions = $5 \
         WHERE user_code = $1 AND state = 'waiting' AND expires > $6",
        values![user_code, state, scope.id(), person, &words, now().timestamp_millis()],
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
