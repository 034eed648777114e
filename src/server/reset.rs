//! A way back for who has forgotten their passphrase: whoever runs the server makes a link at its own machine, by which
//! that person chooses another one, once and within the hour.
//!
//! Nothing else changes before the link is used. Then every session ends, as with any new passphrase, and the second
//! factor goes where that was asked for.

use chrono::{DateTime, TimeDelta, Utc};

use super::audit::{self, Actor, Event, server_scope};
use super::db::{DbError, OrgScope, Reach, Rows, values};
use super::error::ServeError;
use super::keys::{KeyError, Keys};
use super::people::{self, Person};
use super::running::running;
use super::serve::open_existing;
use super::settings::Settings;
use super::state::now;
use super::token::{self, Kind, Parsed};
use crate::secret::{Secret, SecretStore};

/// A link is good for so long.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// What a link is good for.
pub(crate) struct Wanted {
    /// Whose passphrase is chosen.
    pub(crate) person: Person,
    /// The public part of the link.
    pub(crate) id: String,
    /// Whether the second factor goes as well.
    pub(crate) takes_factor: bool,
}

/// Makes a link by which whoever has this login chooses another passphrase. One that was made before does not count any
/// more.
///
/// # Errors
///
/// Where there is no such server or login, its keys are out of reach, or it is not known by which address people reach it.
pub fn reset_passphrase(
    settings: &Settings,
    store: &dyn SecretStore,
    login: &str,
    takes_factor: bool,
) -> Result<Secret, ServeError> {
    let address = address(settings)?;
    let (db, keys) = open_existing(settings, store)?;
    let minted = token::mint(Kind::Invitation).map_err(|_| ServeError::NoRandom)?;
    let (at, ends) = (now(), now() + LIFE);
    db.write(Reach::Server, |rows| -> Result<(), ServeError> {
        let known = people::login(login).map(|login| people::by_login(rows, &login)).transpose()?.flatten();
        let (person, _) = known.ok_or(ServeError::NoLogin)?;
        // Of two that are made at once, the second waits here, and takes the first away.
        people::hold(rows, &person.id)?;
        rows.execute("DELETE FROM passphrase_resets WHERE person = $1 AND spent IS NULL", values![&person.id])?;
        rows.execute(
            "INSERT INTO passphrase_resets (id, hash, person, second_factor, created, expires) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            values![
                &minted.id,
                &minted.hash,
                &person.id,
                i64::from(takes_factor),
                at.timestamp_millis(),
                ends.timestamp_millis(),
            ],
        )?;
        let event = Event { detail: in_words(takes_factor), ..Event::done("passphrase.reset-link", &person.id) };
        Ok(tell(rows, &keys, &person.id, &Actor::operator(), &event)?)
    })?;
    Ok(Secret::new([&address, "/reset?token=", minted.token.expose()].concat()))
}

/// The address by which people reach the server: as the settings say, or as the one that runs says.
fn address(settings: &Settings) -> Result<String, ServeError> {
    if settings.public.is_none()
        && let Some(address) = running(&settings.data)?.and_then(|running| running.address)
    {
        return Ok(address);
    }
    Ok(settings.public_at(settings.listen)?.as_str().trim_end_matches('/').to_owned())
}

/// For the audit.
pub(crate) fn in_words(takes_factor: bool) -> &'static str {
    if takes_factor { "with the second factor" } else { "" }
}

/// Tells of it in every organization that a person is in; of somebody who is in none, in the server's own audit.
pub(crate) fn tell(
    rows: &mut dyn Rows,
    keys: &Keys,
    person: &str,
    actor: &Actor,
    event: &Event<'_>,
) -> Result<(), KeyError> {
    for scope in scopes(rows, person)? {
        audit::append(rows, keys, &scope, actor, event, now())?;
    }
    Ok(())
}

fn scopes(rows: &mut dyn Rows, person: &str) -> Result<Vec<OrgScope>, DbError> {
    let scopes: Vec<OrgScope> = people::memberships(rows, person)?.into_iter().map(|member| member.scope).collect();
    Ok(if scopes.is_empty() { vec![server_scope()] } else { scopes })
}

/// The parts of what may be such a link.
pub(crate) fn parsed(token: &Secret) -> Option<Parsed> {
    token::parse(token.expose()).filter(|parsed| parsed.kind == Kind::Invitation)
}

/// What a link is good for, if it is good still.
pub(crate) fn find(rows: &mut dyn Rows, parsed: &Parsed, now: DateTime<Utc>) -> Result<Option<Wanted>, DbError> {
    let one = "SELECT hash, person, second_factor FROM passphrase_resets \
               WHERE id = $1 AND spent IS NULL AND expires > $2";
    let Some(mut row) = rows.first(one, values![&parsed.id, now.timestamp_millis()])? else { return Ok(None) };
    let (hash, person, takes_factor) = (row.bytes(0)?, row.text(1)?, row.int(2)? != 0);
    if !parsed.is(&hash) {
        return Ok(None);
    }
    let id = parsed.id.clone();
    Ok(people::by_id(rows, &person)?.map(|person| Wanted { person, id, takes_factor }))
}

/// Takes a link away that is still good; where it is told.
pub(crate) fn end(rows: &mut dyn Rows, parsed: &Parsed, now: DateTime<Utc>) -> Result<Option<Vec<OrgScope>>, DbError> {
    let Some(wanted) = find(rows, parsed, now)? else { return Ok(None) };
    let gone = "DELETE FROM passphrase_resets WHERE id = $1 AND spent IS NULL";
    let is_gone = rows.execute(gone, values![&wanted.id])? > 0;
    if is_gone { scopes(rows, &wanted.person.id).map(Some) } else { Ok(None) }
}

impl Wanted {
    /// Spends the link and puts another passphrase in force, of which this is the hash: of several who try at once, one
    /// succeeds.
    pub(crate) fn fulfil(&self, rows: &mut dyn Rows, hash: &str, now: DateTime<Utc>) -> Result<bool, DbError> {
        let person = self.person.id.as_str();
        people::hold(rows, person)?;
        let spend = "UPDATE passphrase_resets SET spent = $2 WHERE id = $1 AND spent IS NULL AND expires > $2";
        if rows.execute(spend, values![&self.id, now.timestamp_millis()])? == 0 {
            return Ok(false);
        }
        rows.execute("UPDATE people SET passphrase = $2 WHERE id = $1", values![person, hash])?;
        let factors = ["second_factors", "passkeys", "recovery_codes"];
        let begun = ["sessions", "half_sessions", "passkey_challenges"];
        for table in begun.iter().chain(factors.iter().filter(|_| self.takes_factor)) {
            rows.execute(&format!("DELETE FROM {table} WHERE person = $1"), values![person])?;
        }
        Ok(true)
    }
}
