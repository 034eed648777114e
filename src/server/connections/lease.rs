//! Who renews a sign-in: one at a time, whatever the number of servers.
//!
//! The row of a credential is taken by one statement that changes it only where its time is over, so that of all who try
//! one succeeds. It is taken for little more than one question to the service, and taken on before each further one: who
//! was killed keeps nobody waiting for long.

use chrono::{DateTime, TimeDelta, Utc};

use crate::server::db::{DbError, OrgScope, Rows, values};
use crate::server::random;

/// One question to a service, from looking up its name to its answer, takes no longer.
const QUESTION: TimeDelta = TimeDelta::seconds(20);

/// Whoever renews a sign-in.
pub(super) struct Lease {
    scope: OrgScope,
    credential: String,
    holder: String,
    /// Whether whoever had it before was interrupted, so that the service may have answered already.
    pub(super) interrupted: bool,
}

/// Until when somebody renews it, or the service is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// By nobody.
    No,
    /// Somebody is about it.
    Renewing,
    /// The service did not answer just now.
    Paused,
}

/// What is no hindrance to taking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Despite {
    /// A service that is left alone is left alone.
    Nothing,
    /// What is to be done does not depend on whether the service answers.
    Pause,
}

/// How it stands with a credential.
pub(super) fn held(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    credential: &str,
    now: DateTime<Utc>,
) -> Result<Held, DbError> {
    let one = "SELECT holder, ends FROM refresh_leases WHERE org = $1 AND credential = $2";
    let Some(mut row) = rows.first(one, values![scope.id(), credential])? else { return Ok(Held::No) };
    let (holder, ends) = (row.text(0)?, row.int(1)?);
    Ok(match (ends > now.timestamp_millis(), holder.is_empty()) {
        (false, _) => Held::No,
        (true, true) => Held::Paused,
        (true, false) => Held::Renewing,
    })
}

impl Lease {
    /// Takes it, if nobody has it. That a question is about to be asked is thereby written down.
    pub(super) fn take(
        rows: &mut dyn Rows,
        scope: &OrgScope,
        credential: &str,
        now: DateTime<Utc>,
        despite: Despite,
    ) -> Result<Option<Self>, DbError> {
        rows.execute(
            "INSERT INTO refresh_leases (org, credential, holder, ends) VALUES ($1, $2, '', 0) \
             ON CONFLICT (org, credential) DO NOTHING",
            values![scope.id(), credential],
        )?;
        // Holds the row until the transaction ends, so that what is read of it is what is replaced.
        let sql = "UPDATE refresh_leases SET ends = ends WHERE org = $1 AND credential = $2 \
                    AND (ends <= $3 OR (holder = '' AND ends <= $4)) RETURNING holder";
        let at = now.timestamp_millis();
        let paused_at_most = if despite == Despite::Pause { i64::MAX } else { at };
        let free = rows.first(sql, values![scope.id(), credential, at, paused_at_most])?;
        let Some(mut row) = free else { return Ok(None) };
        let interrupted = !row.text(0)?.is_empty();
        let holder = random::base62(20).map_err(|_| DbError::Shape)?.to_string();
        let (scope, credential) = (scope.clone(), credential.to_owned());
        let lease = Self { scope, credential, holder, interrupted };
        rows.execute(
            "UPDATE refresh_leases SET holder = $3, ends = $4 WHERE org = $1 AND credential = $2",
            values![lease.scope.id(), &lease.credential, &lease.holder, (now + QUESTION).timestamp_millis()],
        )?;
        Ok(Some(lease))
    }

    /// The organization that it is of.
    pub(super) fn scope(&self) -> &OrgScope {
        &self.scope
    }

    /// Takes it on for another question that is asked after a pause; `false` where somebody else has it by now.
    pub(super) fn go_on(&self, rows: &mut dyn Rows, pause: TimeDelta, now: DateTime<Utc>) -> Result<bool, DbError> {
        self.set(rows, &self.holder, now + pause + QUESTION)
    }

    /// Gives it back.
    pub(super) fn end(&self, rows: &mut dyn Rows) -> Result<(), DbError> {
        self.set(rows, "", DateTime::UNIX_EPOCH).map(|_| ())
    }

    /// Gives it back, and has the service left alone for a while.
    pub(super) fn pause(&self, rows: &mut dyn Rows, until: DateTime<Utc>) -> Result<(), DbError> {
        self.set(rows, "", until).map(|_| ())
    }

    fn set(&self, rows: &mut dyn Rows, holder: &str, ends: DateTime<Utc>) -> Result<bool, DbError> {
        let mine = "UPDATE refresh_leases SET holder = $4, ends = $5 \
                    WHERE org = $1 AND credential = $2 AND holder = $3";
        let bound = values![self.scope.id(), &self.credential, &self.holder, holder, ends.timestamp_millis()];
        Ok(rows.execute(mine, bound)? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::api::Once;
    use crate::server::audit::{Actor, Together};
    use crate::server::db::tests::Scratch;
    use crate::server::vault::OrgVault;
    use crate::vault::contract::variables;
    use crate::vault::{New, Vault};

    #[test]
    fn one_has_it_until_its_time_is_over_or_it_is_given_back() {
        let scratch = Scratch::new();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (scope, actor) = (scratch.org.clone(), Actor::default());
        let together = Together::default();
        let now_of = crate::server::state::now;
        let vault = OrgVault {
            db: &scratch.db,
            keys: &scratch.keys,
            engine: &scratch.engine,
            together: &together,
            scope,
            actor,
            once: Once::default(),
            now: now_of,
        };
        let id = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap().id;
        let take_despite = |seconds: i64, despite: Despite| {
            let at = now + TimeDelta::seconds(seconds);
            scratch.db.write(&scratch.org, |rows| Lease::take(rows, &scratch.org, &id, at, despite)).unwrap()
        };
        let take = |seconds: i64| take_despite(seconds, Despite::Nothing);
        let held = |seconds: i64| {
            scratch
                .db
                .read(&scratch.org, |rows| held(rows, &scratch.org, &id, now + TimeDelta::seconds(seconds)))
                .unwrap()
        };
        assert_eq!(held(0), Held::No);
        let first = take(0).unwrap();
        assert!(!first.interrupted && take(0).is_none() && take(19).is_none());
        assert_eq!((held(19), held(20)), (Held::Renewing, Held::No));
        // Whoever was killed is known to the next.
        let second = take(20).unwrap();
        assert!(second.interrupted);
        let go_on =
            |lease: &Lease| scratch.db.write(&scratch.org, |rows| lease.go_on(rows, TimeDelta::zero(), now)).unwrap();
        assert!(!go_on(&first) && go_on(&second));
        // Who has lost it gives back nobody else's.
        scratch.db.write(&scratch.org, |rows| first.end(rows)).unwrap();
        assert!(take(0).is_none());
        scratch.db.write(&scratch.org, |rows| second.pause(rows, now + TimeDelta::seconds(5))).unwrap();
        assert_eq!((held(4), held(5)), (Held::Paused, Held::No));
        assert!(take(4).is_none());
        let third = take(5).unwrap();
        assert!(!third.interrupted, "it was given back");
        scratch.db.write(&scratch.org, |rows| third.end(rows)).unwrap();
        let fourth = take(5).unwrap();
        assert!(take_despite(5, Despite::Pause).is_none(), "somebody is about it");
        scratch.db.write(&scratch.org, |rows| fourth.pause(rows, now + TimeDelta::seconds(20))).unwrap();
        assert!(take(6).is_none() && take_despite(6, Despite::Pause).is_some());
    }
}
