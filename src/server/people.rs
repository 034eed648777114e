//! People, what they are in organizations, and their sessions in the portal.

use chrono::{DateTime, TimeDelta, Utc};

use super::db::{DbError, OrgScope, Rows, values};
use super::keys::{KeyError, Keys};
use super::permission::{Permission, Permissions, Role};
use super::token::{self, Kind, Minted};
use super::{passkey, passphrase};
use crate::vault::id;

/// A session ends after so long without use, and in any case.
pub(crate) const IDLE: TimeDelta = TimeDelta::hours(12);
const LONGEST: TimeDelta = TimeDelta::days(7);

/// Somebody who can sign in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) login: String,
}

/// Somebody in an organization.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) scope: OrgScope,
    pub(crate) organization: String,
    pub(crate) role: Role,
}

/// A login as it is kept and counted: without blanks around it, in lower case, of letters that look like no other.
pub(crate) fn login(typed: &str) -> Option<String> {
    let login = typed.trim().to_ascii_lowercase();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte);
    let fits = (2..=128).contains(&login.len()) && login.bytes().all(allowed);
    (fits && login.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())).then_some(login)
}

/// Whether nobody can sign in yet.
pub(crate) fn is_empty(rows: &mut dyn Rows) -> Result<bool, DbError> {
    Ok(rows.first("SELECT 1 FROM people LIMIT 1", &[])?.is_none())
}

/// The person of a login, with the hash of the passphrase.
pub(crate) fn by_login(rows: &mut dyn Rows, login: &str) -> Result<Option<(Person, String)>, DbError> {
    let row = rows.first("SELECT id, login, passphrase FROM people WHERE login = $1", values![login])?;
    row.map(|mut row| Ok((Person { id: row.text(0)?, login: row.text(1)? }, row.text(2)?))).transpose()
}

/// The person of an identifier.
pub(crate) fn by_id(rows: &mut dyn Rows, id: &str) -> Result<Option<Person>, DbError> {
    let row = rows.first("SELECT id, login FROM people WHERE id = $1", values![id])?;
    row.map(|mut row| Ok(Person { id: row.text(0)?, login: row.text(1)? })).transpose()
}

/// Makes an organization with its owner, who has this passphrase's hash.
pub(crate) fn found(
    rows: &mut dyn Rows,
    keys: &Keys,
    organization: &str,
    login: &str,
    passphrase: &str,
    now: DateTime<Utc>,
) -> Result<(Person, OrgScope), KeyError> {
    let person = new_person(rows, login, passphrase, now)?;
    let org = new_scope(now)?;
    new_organization(rows, keys, &org, organization, &person.id, now)?;
    Ok((person, org))
}

/// An organization that there is not yet.
pub(crate) fn new_scope(now: DateTime<Utc>) -> Result<OrgScope, KeyError> {
    Ok(OrgScope::of(id::new("org", now).map_err(|_| KeyError::NoRandom)?))
}

/// Makes an organization with its first key, of which a person is the owner.
pub(crate) fn new_organization(
    rows: &mut dyn Rows,
    keys: &Keys,
    org: &OrgScope,
    name: &str,
    owner: &str,
    now: DateTime<Utc>,
) -> Result<(), KeyError> {
    rows.execute(
        "INSERT INTO organizations (id, name, created) VALUES ($1, $2, $3)",
        values![org.id(), name, now.timestamp_millis()],
    )?;
    keys.make(rows, org, now)?;
    Ok(join(rows, org, owner, Role::Owner, now)?)
}

/// Makes somebody who can sign in, and is nowhere yet.
pub(crate) fn new_person(
    rows: &mut dyn Rows,
    login: &str,
    passphrase: &str,
    now: DateTime<Utc>,
) -> Result<Person, KeyError> {
    let person = id::new("person", now).map_err(|_| KeyError::NoRandom)?;
    rows.execute(
        "INSERT INTO people (id, login, passphrase, created) VALUES ($1, $2, $3, $4)",
        values![&person, login, passphrase, now.timestamp_millis()],
    )?;
    Ok(Person { id: person, login: login.to_owned() })
}

/// Keeps another hash of a person's passphrase, if the one that was seen still counts.
pub(crate) fn keep_passphrase(rows: &mut dyn Rows, person: &str, new: &str, seen: &str) -> Result<bool, DbError> {
    let keep = "UPDATE people SET passphrase = $2 WHERE id = $1 AND passphrase = $3";
    Ok(rows.execute(keep, values![person, new, seen])? > 0)
}

/// Holds a person until the transaction ends.
pub(crate) fn hold(rows: &mut dyn Rows, person: &str) -> Result<(), DbError> {
    rows.execute("UPDATE people SET created = created WHERE id = $1", values![person]).map(|_| ())
}

/// Whether a person can sign in without any issuer.
pub(crate) fn has_own_way(rows: &mut dyn Rows, person: &str) -> Result<bool, DbError> {
    Ok(has_passphrase(rows, person)? || passkey::has_any(rows, person)?)
}

/// The hash of a person's passphrase, as it is kept.
pub(crate) fn passphrase(rows: &mut dyn Rows, person: &str) -> Result<Option<String>, DbError> {
    let row = rows.first("SELECT passphrase FROM people WHERE id = $1", values![person])?;
    row.map(|mut row| row.text(0)).transpose()
}

/// Whether a person has a passphrase.
pub(crate) fn has_passphrase(rows: &mut dyn Rows, person: &str) -> Result<bool, DbError> {
    let one = "SELECT 1 FROM people WHERE id = $1 AND passphrase <> $2";
    Ok(rows.first(one, values![person, passphrase::NONE])?.is_some())
}

/// Makes a person a member.
pub(crate) fn join(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    person: &str,
    role: Role,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    rows.execute(
        "INSERT INTO members (org, person, role, created) VALUES ($1, $2, $3, $4)",
        values![scope.id(), person, role.word(), now.timestamp_millis()],
    )?;
    Ok(())
}

/// What a person is in projects of an organization, by the names of the projects.
pub(crate) fn project_roles(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    person: &str,
) -> Result<Vec<(String, Role)>, DbError> {
    let all = "SELECT projects.name, project_roles.role FROM project_roles \
               JOIN projects ON projects.org = project_roles.org AND projects.id = project_roles.project \
               WHERE project_roles.org = $1 AND project_roles.person = $2";
    let mut found = Vec::new();
    for mut row in rows.query(all, values![scope.id(), person])? {
        let (project, role) = (row.text(0)?, row.text(1)?);
        found.extend(Role::from_word(&role).map(|role| (project, role)));
    }
    Ok(found)
}

/// The organizations that a person is in, by name.
pub(crate) fn memberships(rows: &mut dyn Rows, person: &str) -> Result<Vec<Member>, DbError> {
    let all = "SELECT members.org, organizations.name, members.role FROM members \
               JOIN organizations ON organizations.id = members.org WHERE members.person = $1 \
               ORDER BY organizations.name, members.org";
    let mut found = Vec::new();
    for mut row in rows.query(all, values![person])? {
        let (org, organization, role) = (row.text(0)?, row.text(1)?, row.text(2)?);
        if let Some(role) = Role::from_word(&role) {
            found.push(Member { scope: OrgScope::of(org), organization, role });
        }
    }
    Ok(found)
}

/// What a person is in an organization now; nothing is remembered of what they were.
pub(crate) fn role(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Result<Option<Role>, DbError> {
    let one = "SELECT role FROM members WHERE org = $1 AND person = $2";
    let row = rows.first(one, values![scope.id(), person])?;
    Ok(row.map(|mut row| row.text(0)).transpose()?.and_then(|word| Role::from_word(&word)))
}

/// What somebody of a role may do somewhere in an organization: in all of it, or in one of their projects. Where each of
/// these counts is looked at when it is used.
pub(crate) fn most(rows: &mut dyn Rows, scope: &OrgScope, person: &str, role: Role) -> Result<Permissions, DbError> {
    let projects = project_roles(rows, scope, person)?;
    Ok(projects.iter().fold(role.permissions(), |most, (_, role)| most.or(&in_a_project(*role))))
}

/// What a role in a project gives: what is done to what is in it.
pub(crate) fn in_a_project(role: Role) -> Permissions {
    const IN_A_PROJECT: [Permission; 6] = [
        Permission::CredentialsWrite,
        Permission::CredentialsVerify,
        Permission::SecretsRead,
        Permission::WorkspacesWrite,
        Permission::RegistriesWrite,
        Permission::ProjectsManage,
    ];
    role.permissions().and(&IN_A_PROJECT.into_iter().collect())
}

/// Begins a session.
pub(crate) fn sign_in(rows: &mut dyn Rows, person: &str, now: DateTime<Utc>) -> Result<Minted, KeyError> {
    sign_in_to(rows, person, None, now)
}

/// Begins a session that counts in one organization alone: whoever runs its issuer is believed there, and nowhere else.
pub(crate) fn sign_in_to(
    rows: &mut dyn Rows,
    person: &str,
    only: Option<&OrgScope>,
    now: DateTime<Utc>,
) -> Result<Minted, KeyError> {
    let (ends, proved) = ((now + LONGEST).timestamp_millis(), now.timestamp_millis());
    begin(rows, person, only.map(OrgScope::id), (ends, proved), now)
}

/// Begins another session in the place of one, which has shown nothing anew of whoever has it: it ends when that would
/// have, and was shown who they are when that was. `None` where that has ended.
pub(crate) fn carry_on(rows: &mut dyn Rows, former: &str, now: DateTime<Utc>) -> Result<Option<Minted>, KeyError> {
    let own = "SELECT person FROM sessions WHERE id = $1";
    let Some(mut row) = rows.first(own, values![former])? else { return Ok(None) };
    let person = row.text(0)?;
    hold(rows, &person)?;
    let gone = "DELETE FROM sessions WHERE id = $1 RETURNING only_in, expires, proved";
    let Some(mut row) = rows.first(gone, values![former])? else { return Ok(None) };
    let (only, ends, proved) = (row.maybe_text(0)?, row.int(1)?, row.int(2)?);
    begin(rows, &person, only.as_deref(), (ends, proved), now).map(Some)
}

/// Begins a session that ends at the one time, and whose owner has shown at the other who they are.
fn begin(
    rows: &mut dyn Rows,
    person: &str,
    only: Option<&str>,
    (ends, proved): (i64, i64),
    now: DateTime<Utc>,
) -> Result<Minted, KeyError> {
    // Whoever ends all sessions of a person holds them as well: this one is there before, or begins afterwards.
    hold(rows, person)?;
    let minted = token::mint(Kind::Session).map_err(|_| KeyError::NoRandom)?;
    rows.execute(
        "INSERT INTO sessions (id, hash, person, created, used, expires, only_in, proved) \
         VALUES ($1, $2, $3, $4, $4, $5, $6, $7)",
        values![&minted.id, &minted.hash, person, now.timestamp_millis(), ends, only, proved],
    )?;
    Ok(minted)
}

/// A session that has not ended.
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) person: Person,
    /// The public part of its token.
    pub(crate) id: String,
    /// The only organization that it counts in, where that is one.
    pub(crate) only: Option<OrgScope>,
    /// When its owner last showed who they are.
    pub(crate) proved: i64,
    /// When its use was noted last, in milliseconds of the epoch; `None` before the first.
    pub(crate) used: Option<i64>,
    /// Whether it was made by an issuer for somebody who has ways of their own to sign in, or is in another organization
    /// as well. Those ways are not changed by it, and none is added.
    pub(crate) is_guest: bool,
}

/// The session of a token, if it has not ended.
pub(crate) fn session(rows: &mut dyn Rows, text: &str, now: DateTime<Utc>) -> Result<Option<Session>, DbError> {
    let Some(parsed) = token::parse(text).filter(|parsed| parsed.kind == Kind::Session) else { return Ok(None) };
    let one = "SELECT hash, person, used, expires, only_in, proved, address FROM sessions WHERE id = $1";
    let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(None) };
    let (hash, person, used, expires) = (row.bytes(0)?, row.text(1)?, row.int(2)?, row.int(3)?);
    let (only, proved, address) = (row.maybe_text(4)?.map(OrgScope::of), row.int(5)?, row.text(6)?);
    let at = now.timestamp_millis();
    if !parsed.is(&hash) || at >= expires || at - used >= IDLE.num_milliseconds() {
        return Ok(None);
    }
    // Whoever is in another organization as well has more to lose than what the issuer vouches for.
    let is_guest = match &only {
        Some(only) => has_own_way(rows, &person)? || is_elsewhere(rows, &person, only)?,
        None => false,
    };
    // Where it was never used from anywhere, it was only made.
    let used = (!address.is_empty()).then_some(used);
    Ok(by_id(rows, &person)?.map(|person| Session { person, id: parsed.id, only, proved, used, is_guest }))
}

/// Whether a person is in another organization than this one.
fn is_elsewhere(rows: &mut dyn Rows, person: &str, than: &OrgScope) -> Result<bool, DbError> {
    let other = "SELECT 1 FROM members WHERE person = $1 AND org <> $2 LIMIT 1";
    Ok(rows.first(other, values![person, than.id()])?.is_some())
}

/// When the owner of a session last showed who they are.
pub(crate) fn signed_in_at(rows: &mut dyn Rows, id: &str) -> Result<Option<i64>, DbError> {
    let row = rows.first("SELECT proved FROM sessions WHERE id = $1", values![id])?;
    row.map(|mut row| row.int(0)).transpose()
}

/// Ends a session: `false` where it has ended.
pub(crate) fn sign_out(rows: &mut dyn Rows, id: &str) -> Result<bool, DbError> {
    Ok(rows.execute("DELETE FROM sessions WHERE id = $1", values![id])? > 0)
}

/// The same with what [carries it on](carry_on), which was shown who has it at the same moment: `false` where there is none
/// of them any more.
pub(crate) fn sign_out_of_all(rows: &mut dyn Rows, person: &str, id: &str, proved: i64) -> Result<bool, DbError> {
    // Whoever is carrying it on right now is done before, and what they have made is seen.
    hold(rows, person)?;
    let gone = "DELETE FROM sessions WHERE person = $1 AND (id = $2 OR proved = $3)";
    Ok(rows.execute(gone, values![person, id, proved])? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_one_however_it_is_typed() {
        for typed in ["alice@example.com", " Alice@Example.COM ", "ALICE@EXAMPLE.COM\t"] {
            assert_eq!(login(typed).as_deref(), Some("alice@example.com"), "{typed}");
        }
        // What only looks like it is none: a Cyrillic letter, wide ones, one that is not seen, one that turns the line.
        for other in [
            "\u{430}lice@example.com",
            "\u{ff41}lice@example.com",
            "ali\u{200b}ce",
            "ali\u{202e}ce",
            "ali ce",
            "\u{212a}im",
        ] {
            assert_eq!(login(other), None, "{other}");
        }
        for bad in ["", "a", "-alice", "@alice", "a/b", "a'b", &"x".repeat(129)] {
            assert_eq!(login(bad), None, "{bad}");
        }
    }
}
