//! Whose account at an issuer is whose here.

use chrono::{DateTime, Utc};

use super::Upstream;
use super::peer::Told;
use crate::server::db::{DbError, OrgScope, Row, Rows, values};

/// How an account came to be somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It accepted an invitation.
    Invitation,
    /// What the issuer says of it let it in, and has to let it in each time.
    Rule,
    /// Its owner linked it.
    Person,
}

impl Admitted {
    fn word(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Rule => "rule",
            Self::Person => "person",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Invitation, Self::Rule, Self::Person].into_iter().find(|known| known.word() == word)
    }
}

/// The person of an account, and how it came to be theirs.
pub(super) fn find(
    rows: &mut dyn Rows,
    upstream: &Upstream,
    told: &Told,
) -> Result<Option<(String, Admitted)>, DbError> {
    let one = "SELECT person, admitted FROM upstream_accounts \
               WHERE org = $1 AND upstream = $2 AND issuer = $3 AND subject = $4";
    let whose = values![upstream.scope.id(), &upstream.id, &upstream.issuer, &told.subject];
    let Some(mut row) = rows.first(one, whose)? else { return Ok(None) };
    let (person, admitted) = (row.text(0)?, row.text(1)?);
    Ok(Some((person, Admitted::from_word(&admitted).ok_or(DbError::Shape)?)))
}

/// Makes an account somebody's. One that is somebody's already is not taken from them.
pub(super) fn link(
    rows: &mut dyn Rows,
    upstream: &Upstream,
    told: &Told,
    person: &str,
    admitted: Admitted,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    rows.execute(
        "INSERT INTO upstream_accounts (org, upstream, issuer, subject, person, admitted, title, created, used) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        values![
            upstream.scope.id(),
            &upstream.id,
            &upstream.issuer,
            &told.subject,
            person,
            admitted.word(),
            &told.title(),
            now.timestamp_millis(),
        ],
    )
    .map(|_| ())
}

/// From now on, what let a person in is the invitation that they have accepted, and no rule that they were held to before.
pub(crate) fn invited(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Result<(), DbError> {
    let now = "UPDATE upstream_accounts SET admitted = $3 WHERE org = $1 AND person = $2 AND admitted = $4";
    let words = values![scope.id(), person, Admitted::Invitation.word(), Admitted::Rule.word()];
    rows.execute(now, words).map(|_| ())
}

/// Notes that it was used.
pub(super) fn note(rows: &mut dyn Rows, upstream: &Upstream, told: &Told, now: DateTime<Utc>) -> Result<(), DbError> {
    rows.execute(
        "UPDATE upstream_accounts SET used = $5, title = $6 \
         WHERE org = $1 AND upstream = $2 AND issuer = $3 AND subject = $4",
        values![
            upstream.scope.id(),
            &upstream.id,
            &upstream.issuer,
            &told.subject,
            now.timestamp_millis(),
            &told.title(),
        ],
    )
    .map(|_| ())
}

/// An account as its owner sees it.
pub(crate) struct Account {
    pub(crate) upstream: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) used: Option<DateTime<Utc>>,
}

/// The accounts of a person.
pub(crate) fn all_of(rows: &mut dyn Rows, person: &str) -> Result<Vec<Account>, DbError> {
    let own = "SELECT upstreams.id, upstreams.name, title, used FROM upstream_accounts \
               JOIN upstreams ON upstreams.org = upstream_accounts.org AND upstreams.id = upstream_accounts.upstream \
               WHERE upstream_accounts.person = $1 ORDER BY upstreams.folded, upstreams.id, subject";
    let read = |mut row: Row| {
        Ok(Account {
            upstream: row.text(0)?,
            name: row.text(1)?,
            title: row.text(2)?,
            used: DateTime::from_timestamp_millis(row.int(3)?),
        })
    };
    rows.query(own, values![person])?.into_iter().map(read).collect()
}

/// Takes what links a person to an issuer away, and ends the sessions that came of it. A session that counts in one
/// organization alone, `only`, unlinks no other's. The organization, where there was something.
pub(crate) fn unlink(
    rows: &mut dyn Rows,
    person: &str,
    upstream: &str,
    only: Option<&OrgScope>,
) -> Result<Option<OrgScope>, DbError> {
    let gone =
        "DELETE FROM upstream_accounts WHERE person = $1 AND upstream = $2 AND ($3 = '' OR org = $3) RETURNING org";
    let only = only.map(OrgScope::id).unwrap_or_default();
    let Some(mut row) = rows.first(gone, values![person, upstream, only])? else { return Ok(None) };
    let scope = OrgScope::of(row.text(0)?);
    rows.execute("DELETE FROM sessions WHERE person = $1 AND only_in = $2", values![person, scope.id()])?;
    Ok(Some(scope))
}
