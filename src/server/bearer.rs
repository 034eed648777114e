//! Bearer tokens as the database keeps them: access and refresh tokens of a sign-in, and API keys.

use chrono::{DateTime, TimeDelta, Utc};

use super::db::{DbError, OrgScope, Row, Rows, values};
use super::keys::KeyError;
use super::permission::Permissions;
use super::token::{self, Kind, Minted, Parsed};

/// How long an access token lives, and a refresh token that nobody uses.
pub(crate) const ACCESS: TimeDelta = TimeDelta::minutes(15);
const REFRESH: TimeDelta = TimeDelta::days(30);
/// A sign-in ends after so long, however often it was renewed.
pub(crate) const FAMILY: TimeDelta = TimeDelta::days(180);

/// What a token was given, at most.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) scope: OrgScope,
    pub(crate) person: String,
    /// The OAuth client; empty for an API key.
    pub(crate) client: String,
    pub(crate) permissions: Permissions,
    /// The only project that it counts in, by its identifier; the whole organization without.
    pub(crate) project: Option<String>,
    /// All tokens that came of one sign-in.
    pub(crate) family: String,
    /// The thumbprint of the key that they count with alone.
    pub(crate) bound: Option<String>,
}

/// A token as the database knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) grant: Grant,
    /// The name of an API key or of a job; else empty.
    pub(crate) name: String,
    pub(crate) created: i64,
    pub(crate) expires: i64,
    pub(crate) used: Option<i64>,
    revoked: bool,
}

impl Known {
    /// Whether it still counts.
    pub(crate) fn is_alive(&self, now: DateTime<Utc>) -> bool {
        !self.revoked && now.timestamp_millis() < self.expires
    }
}

/// Makes a token and keeps its hash.
pub(crate) fn issue(
    rows: &mut dyn Rows,
    kind: Kind,
    grant: &Grant,
    name: &str,
    life: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Minted, KeyError> {
    let minted = token::mint(kind).map_err(|_| KeyError::NoRandom)?;
    rows.execute(
        "INSERT INTO tokens (org, id, kind, hash, person, client, name, permissions, family, created, expires, \
         bound, project) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        values![
            grant.scope.id(),
            &minted.id,
            kind.word(),
            &minted.hash,
            &grant.person,
            &grant.client,
            name,
            &grant.permissions.words(),
            &grant.family,
            now.timestamp_millis(),
            (now + life).timestamp_millis(),
            grant.bound.as_deref(),
            grant.project.as_deref(),
        ],
    )?;
    Ok(minted)
}

/// The access and the refresh token of a sign-in.
pub(crate) fn issue_pair(rows: &mut dyn Rows, grant: &Grant, now: DateTime<Utc>) -> Result<(Minted, Minted), KeyError> {
    issue_next(rows, grant, grant, now)
}

/// The same for a sign-in that is renewed: the access token may have less than the refresh token.
pub(crate) fn issue_next(
    rows: &mut dyn Rows,
    access: &Grant,
    refresh: &Grant,
    now: DateTime<Utc>,
) -> Result<(Minted, Minted), KeyError> {
    Ok((issue(rows, Kind::Access, access, "", ACCESS, now)?, issue(rows, Kind::Refresh, refresh, "", REFRESH, now)?))
}

/// The columns of a token that [`read`] takes.
macro_rules! columns {
    ($of:literal) => {
        concat!(
            $of,
            "org, ",
            $of,
            "kind, ",
            $of,
            "hash, ",
            $of,
            "person, ",
            $of,
            "client, ",
            $of,
            "permissions, ",
            $of,
            "family, ",
            $of,
            "created, ",
            $of,
            "expires, ",
            $of,
            "used, ",
            $of,
            "revoked, ",
            $of,
            "name, ",
            $of,
            "bound, ",
            $of,
            "project"
        )
    };
}
pub(crate) use columns;

/// So many columns are they.
pub(crate) const COLUMNS: usize = 14;

/// What is known of a token, whether it still counts or not; `None` for one that was never made here.
pub(crate) fn find(rows: &mut dyn Rows, parsed: &Parsed) -> Result<Option<Known>, DbError> {
    let one = concat!("SELECT ", columns!(""), " FROM tokens WHERE id = $1");
    rows.first(one, values![&parsed.id])?.map_or(Ok(None), |mut row| read(&mut row, parsed))
}

/// Reads a row of [`columns`]; `None` where it is not the token that was shown.
pub(crate) fn read(row: &mut Row, parsed: &Parsed) -> Result<Option<Known>, DbError> {
    let (org, kind, hash, person) = (row.text(0)?, row.text(1)?, row.bytes(2)?, row.text(3)?);
    if !parsed.is(&hash) || kind != parsed.kind.word() {
        return Ok(None);
    }
    let grant = Grant {
        scope: OrgScope::of(org),
        person,
        client: row.text(4)?,
        permissions: Permissions::parse(&row.text(5)?).unwrap_or_default(),
        family: row.text(6)?,
        bound: row.maybe_text(12)?,
        project: row.maybe_text(13)?,
    };
    let (created, expires, used) = (row.int(7)?, row.int(8)?, row.maybe_int(9)?);
    let revoked = row.maybe_int(10)?.is_some();
    let name = row.text(11)?;
    Ok(Some(Known { id: parsed.id.clone(), kind: parsed.kind, grant, name, created, expires, used, revoked }))
}

/// Spends a refresh token: `false` where it was spent before.
pub(crate) fn spend(rows: &mut dyn Rows, known: &Known, now: DateTime<Utc>) -> Result<bool, DbError> {
    let spent = rows.execute(
        "UPDATE tokens SET used = $3, revoked = $3 WHERE org = $1 AND id = $2 AND revoked IS NULL",
        values![known.grant.scope.id(), &known.id, now.timestamp_millis()],
    )?;
    Ok(spent > 0)
}

/// Ends every token that came of one sign-in.
pub(crate) fn revoke_family(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    family: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    revoke_all(rows, scope, "family = $2", family, now)
}

/// Ends every API key that was made with a program of one sign-in; which those were.
pub(crate) fn revoke_made(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    family: &str,
    now: DateTime<Utc>,
) -> Result<Vec<String>, DbError> {
    let ended = rows.query(
        "UPDATE tokens SET revoked = $3 WHERE org = $1 AND made_in = $2 AND revoked IS NULL RETURNING id",
        values![scope.id(), family, now.timestamp_millis()],
    )?;
    ended.into_iter().map(|mut row| row.text(0)).collect()
}

/// When a sign-in ends at the latest; `None` where there is none of that name.
pub(crate) fn family_ends(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    family: &str,
) -> Result<Option<DateTime<Utc>>, DbError> {
    let began =
        "SELECT MIN(COALESCE(family_began, created)) FROM tokens WHERE org = $1 AND family = $2 AND kind IN ($3, $4)";
    let whose = values![scope.id(), family, Kind::Access.word(), Kind::Refresh.word()];
    let began = rows.first(began, whose)?.map_or(Ok(None), |mut row| row.maybe_int(0))?;
    Ok(began.and_then(DateTime::from_timestamp_millis).map(|began| began + FAMILY))
}

/// Notes that a token was given to somebody on this network: whoever renews a sign-in has used it.
pub(crate) fn given(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    id: &str,
    network: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    rows.execute(
        "UPDATE tokens SET used = $3, used_from = $4 WHERE org = $1 AND id = $2",
        values![scope.id(), id, now.timestamp_millis(), network],
    )?;
    Ok(())
}

/// Ends every token that jobs got under a rule.
pub(crate) fn revoke_jobs(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    rule: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    revoke_all(rows, scope, &format!("family = $2 AND kind = '{}'", Kind::Job.word()), rule, now)
}

/// Ends every token that a program was given, and every API key that was made with it; those keys, each after the sign-in
/// that it was made in.
pub(crate) fn revoke_client(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    client: &str,
    now: DateTime<Utc>,
) -> Result<Vec<(String, String)>, DbError> {
    revoke_all(rows, scope, "client = $2", client, now)?;
    let ended = rows.query(
        "UPDATE tokens SET revoked = $3 WHERE org = $1 AND revoked IS NULL AND made_in IN \
         (SELECT t.family FROM tokens t WHERE t.org = $1 AND t.client = $2) RETURNING made_in, id",
        values![scope.id(), client, now.timestamp_millis()],
    )?;
    ended.into_iter().map(|mut row| Ok((row.text(0)?, row.text(1)?))).collect()
}

/// Ends every token that counts in one project alone.
pub(crate) fn revoke_project(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    project: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    revoke_all(rows, scope, "project = $2", project, now)
}

/// Ends every token of a person in an organization.
pub(crate) fn revoke_person(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    person: &str,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    revoke_all(rows, scope, "person = $2", person, now)
}

/// Ends every token of some. Whoever renews one holds it until what they get for it is there as well: it is waited for,
/// and what came in the meantime is looked for until there is nothing more.
fn revoke_all(rows: &mut dyn Rows, scope: &OrgScope, which: &str, of: &str, now: DateTime<Utc>) -> Result<(), DbError> {
    let living = format!("WHERE org = $1 AND {which} AND revoked IS NULL");
    let (hold, end) =
        (format!("UPDATE tokens SET created = created {living}"), format!("UPDATE tokens SET revoked = $3 {living}"));
    loop {
        rows.execute(&hold, values![scope.id(), of])?;
        if rows.execute(&end, values![scope.id(), of, now.timestamp_millis()])? == 0 {
            return Ok(());
        }
    }
}

/// Ends one token.
pub(crate) fn revoke(rows: &mut dyn Rows, scope: &OrgScope, id: &str, now: DateTime<Utc>) -> Result<bool, DbError> {
    let revoked = rows.execute(
        "UPDATE tokens SET revoked = $3 WHERE org = $1 AND id = $2 AND revoked IS NULL",
        values![scope.id(), id, now.timestamp_millis()],
    )?;
    Ok(revoked > 0)
}
