//! Links that are good once: the one that makes the first owner, and those by which others join.

use chrono::{DateTime, TimeDelta, Utc};

use super::db::{DbError, OrgScope, Rows, values};
use super::keys::KeyError;
use super::people;
use super::permission::Role;
use super::token::{self, Kind, Minted};
use crate::secret::Secret;

/// What a link is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// Making the first organization and its owner.
    SetUp,
    /// Joining an organization.
    Join {
        /// Which.
        scope: OrgScope,
        /// As what.
        role: Role,
        /// Who invited.
        inviter: String,
    },
}

/// A link that counts.
#[derive(Debug, Clone)]
pub(crate) struct Invitation {
    id: String,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

const SET_UP: &str = "setup";
const JOIN: &str = "join";

/// Makes a link. A new one for the first owner takes the place of any that was made before.
pub(crate) fn make(
    rows: &mut dyn Rows,
    purpose: &Purpose,
    life: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Minted, KeyError> {
    let minted = token::mint(Kind::Invitation).map_err(|_| KeyError::NoRandom)?;
    let (word, org, role, inviter) = match purpose {
        Purpose::SetUp => (SET_UP, None, "", ""),
        Purpose::Join { scope, role, inviter } => (JOIN, Some(scope.id()), role.word(), inviter.as_str()),
    };
    if org.is_none() {
        rows.execute("DELETE FROM invitations WHERE purpose = $1", values![SET_UP])?;
    }
    rows.execute(
        "INSERT INTO invitations (id, hash, purpose, org, role, inviter, created, expires) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        values![
            &minted.id,
            &minted.hash,
            word,
            org,
            role,
            inviter,
            now.timestamp_millis(),
            (now + life).timestamp_millis(),
        ],
    )?;
    Ok(minted)
}

/// The link of this token, if it counts now. One by which somebody joins counts as long as whoever made it could make it
/// again.
pub(crate) fn find(rows: &mut dyn Rows, token: &Secret, now: DateTime<Utc>) -> Result<Option<Invitation>, DbError> {
    let Some(parsed) = token::parse(token.expose()).filter(|parsed| parsed.kind == Kind::Invitation) else {
        return Ok(None);
    };
    let one = "SELECT hash, purpose, org, role, inviter FROM invitations \
               WHERE id = $1 AND spent IS NULL AND expires > $2";
    let Some(mut row) = rows.first(one, values![&parsed.id, now.timestamp_millis()])? else { return Ok(None) };
    if !parsed.is(&row.bytes(0)?) {
        return Ok(None);
    }
    let (word, org, role, inviter) = (row.text(1)?, row.maybe_text(2)?, row.text(3)?, row.text(4)?);
    let purpose = match (word.as_str(), org, Role::from_word(&role)) {
        (SET_UP, None, None) => people::is_empty(rows)?.then_some(Purpose::SetUp),
        (JOIN, Some(org), Some(role)) => {
            let scope = OrgScope::of(org);
            let may = people::role(rows, &scope, &inviter)?.is_some_and(|inviters| inviters.may_give(role));
            may.then_some(Purpose::Join { scope, role, inviter })
        }
        _ => None,
    };
    Ok(purpose.map(|purpose| Invitation { id: parsed.id, purpose }))
}

/// Spends a link: of several who try at once, one succeeds.
pub(crate) fn spend(rows: &mut dyn Rows, invitation: &Invitation, now: DateTime<Utc>) -> Result<bool, DbError> {
    let spend = "UPDATE invitations SET spent = $2 WHERE id = $1 AND spent IS NULL";
    Ok(rows.execute(spend, values![&invitation.id, now.timestamp_millis()])? > 0)
}
