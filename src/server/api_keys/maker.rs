//! What a key is made with: no token makes a key that outlives it. A person who makes one in the portal is bound by
//! nothing of that kind.

use chrono::{DateTime, TimeDelta, Utc};

use crate::server::bearer;
use crate::server::caller::Caller;
use crate::server::db::{DbError, OrgScope, Rows, values};
use crate::server::problem::{Answer, Problem};
use crate::server::token::Kind;

/// What a key is made with.
#[derive(Debug, Default)]
pub(super) struct Maker {
    /// When that ends; `None` for whoever is in the portal.
    ends: Option<DateTime<Utc>>,
    /// The sign-in of the program that it came of, where it came of one.
    made_in: Option<String>,
    is_program: bool,
}

impl Maker {
    /// What somebody calls with, which is held: nothing is made with a token that somebody ends at this moment.
    pub(super) fn of(rows: &mut dyn Rows, caller: &Caller, now: DateTime<Utc>) -> Answer<Self> {
        let (scope, id) = (&caller.scope, &caller.actor.token);
        let held = "UPDATE tokens SET created = created WHERE org = $1 AND id = $2 AND revoked IS NULL AND expires > $3 \
                    RETURNING kind, expires, family, made_in";
        let Some(mut row) = rows.first(held, values![scope.id(), id, now.timestamp_millis()])? else {
            let ended = rows.first("SELECT 1 FROM tokens WHERE org = $1 AND id = $2", values![scope.id(), id])?;
            if ended.is_some() {
                return Err(Problem::unauthenticated());
            }
            // What is no token is the session of a browser.
            let session = "UPDATE sessions SET created = created WHERE id = $1 AND person = $2 RETURNING id";
            let stands = rows.first(session, values![id, &caller.person.id])?.is_some();
            return if stands { Ok(Self::default()) } else { Err(Problem::unauthenticated()) };
        };
        let (kind, family, made_in) = (row.text(0)?, row.text(2)?, row.maybe_text(3)?);
        let ends = DateTime::from_timestamp_millis(row.int(1)?);
        if kind != Kind::Access.word() {
            return Ok(Self { ends, made_in, is_program: false });
        }
        let ends = bearer::family_ends(rows, scope, &family)?.or(ends);
        Ok(Self { ends, made_in: Some(family), is_program: true })
    }

    /// How long a key lives that is to live so long. Whoever says how many days it is to be, with a program, is told where
    /// it cannot be as many.
    pub(super) fn bound(&self, life: TimeDelta, days: Option<i64>, now: DateTime<Utc>) -> Answer<TimeDelta> {
        let Some(ends) = self.ends else { return Ok(life) };
        let left = ends - now;
        if self.is_program && days.is_some() && life > left {
            let why = format!(
                "a key that is made with a program ends with its sign-in, on {}: ask for {} days at most, or make it in \
                 the portal, which makes longer ones",
                ends.format("%Y-%m-%d"),
                left.num_days(),
            );
            return Err(Problem::invalid(why).about("days"));
        }
        Ok(life.min(left))
    }

    /// Notes with which program a key was made.
    pub(super) fn keep(&self, rows: &mut dyn Rows, scope: &OrgScope, key: &str) -> Result<(), DbError> {
        let Some(made_in) = &self.made_in else { return Ok(()) };
        let keep = "UPDATE tokens SET made_in = $3 WHERE org = $1 AND id = $2";
        rows.execute(keep, values![scope.id(), key, made_in]).map(|_| ())
    }
}
