//! When tokens and sessions were last used, and where from. It is noted in memory and written by a task: nobody's answer
//! waits for it. Whoever is used often is written once a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

use super::audit::Actor;
use super::bridge::blocking;
use super::db::{Database, DbError, OrgScope, Reach, values};
use super::state::Server;

/// A use is not worth noting so soon after another.
const EVERY: TimeDelta = TimeDelta::minutes(1);
/// After a failure, the database is left in peace for so long.
const LATER: Duration = Duration::from_secs(5);

/// Whether a use at `now` is worth noting when the one noted last was at `used`, in milliseconds of the epoch.
pub(crate) fn is_due(used: Option<i64>, now: DateTime<Utc>) -> bool {
    used.is_none_or(|used| now.timestamp_millis() - used > EVERY.num_milliseconds())
}

/// What was used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    /// A token of an organization, by its public part.
    Token(String, String),
    /// A session of a browser, by its public part.
    Session(String),
}

/// When, in milliseconds of the epoch, and where from.
#[derive(Debug, Clone)]
struct Use {
    at: i64,
    /// The network of a token, the address of a session.
    from: String,
    /// The browser.
    agent: String,
}

/// The uses that are not written yet, one of each token and session.
#[derive(Debug, Default)]
pub(crate) struct LastUsed {
    noted: Mutex<HashMap<What, Use>>,
    some: Notify,
    /// Whose turn it is to write: who ends waits for what is being written.
    turn: Mutex<()>,
}

impl LastUsed {
    /// Notes that a token was used from a network.
    pub(crate) fn token(&self, scope: &OrgScope, id: &str, at: DateTime<Utc>, network: String) {
        let what = What::Token(scope.id().to_owned(), id.to_owned());
        self.note(what, Use { at: at.timestamp_millis(), from: network, agent: String::new() });
    }

    /// Notes that a session was used by this browser.
    pub(crate) fn session(&self, id: &str, at: DateTime<Utc>, by: &Actor) {
        let (from, agent) = (by.address.clone(), by.agent.clone());
        self.note(What::Session(id.to_owned()), Use { at: at.timestamp_millis(), from, agent });
    }

    fn note(&self, what: What, new: Use) {
        let mut noted = self.noted();
        if noted.get(&what).is_none_or(|old| old.at < new.at) {
            noted.insert(what, new);
        }
        drop(noted);
        self.some.notify_one();
    }

    /// Writes what was noted. Each is written for itself: one that somebody else is changing holds up no other, and no
    /// two wait for each other.
    ///
    /// # Errors
    ///
    /// What was not written is still noted.
    pub(crate) fn write(&self, db: &Database) -> Result<(), DbError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *self.noted());
        let mut taken = taken.into_iter();
        while let Some((what, one)) = taken.next() {
            if let Err(failure) = write(db, &what, &one) {
                for (what, one) in std::iter::once((what, one)).chain(taken) {
                    self.note(what, one);
                }
                return Err(failure);
            }
        }
        Ok(())
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<What, Use>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(db: &Database, what: &What, Use { at, from, agent }: &Use) -> Result<(), DbError> {
    db.write(Reach::Server, |rows| match what {
        What::Token(org, id) => rows.execute(
            "UPDATE tokens SET used = $3, used_from = $4 WHERE org = $1 AND id = $2 AND (used IS NULL OR used < $3)",
            values![org, id, *at, from],
        ),
        What::Session(id) => rows.execute(
            "UPDATE sessions SET used = $2, address = $3, agent = $4 WHERE id = $1 AND (used < $2 OR address = '')",
            values![id, *at, from, agent],
        ),
    })?;
    Ok(())
}

/// Writes what is noted, whenever there is something.
pub(crate) async fn writing(server: Arc<Server>) {
    loop {
        server.last_used.some.notified().await;
        let written = blocking(&server, |server| Ok(server.last_used.write(&server.db)?)).await;
        if written.is_err() {
            tracing::warn!("when tokens were last used was not written; it is tried again");
            tokio::time::sleep(LATER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::tests::Scratch;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn made() -> Scratch {
        let scratch = Scratch::new();
        let make = |sql: &str, id: &str| {
            scratch.db.write(Reach::Server, |rows| rows.execute(sql, values![id, &[0][..]])).unwrap()
        };
        scratch
            .db
            .write(Reach::Server, |rows| {
                rows.execute("INSERT INTO people (id, login, passphrase, created) VALUES ('p', 'p', '-', 0)", &[])
            })
            .unwrap();
        for id in ["a", "b"] {
            make(
                "INSERT INTO tokens (org, id, kind, hash, person, client, name, permissions, family, created, expires) \
                 VALUES ('org_test', $1, 'pat', $2, 'p', '', '', '', '', 0, 0)",
                id,
            );
            make("INSERT INTO sessions (id, hash, person, created, used, expires) VALUES ($1, $2, 'p', 0, 0, 0)", id);
        }
        scratch
    }

    fn seen(scratch: &Scratch) -> Vec<String> {
        let all = [
            "SELECT id || ' ' || COALESCE(CAST(used AS TEXT), 'never') || ' ' || COALESCE(used_from, '') FROM tokens \
             ORDER BY id",
            "SELECT id || ' ' || used || ' ' || address || ' ' || agent FROM sessions ORDER BY id",
        ];
        let found = |sql| scratch.db.read(Reach::Server, |rows| rows.query(sql, &[])).unwrap();
        all.into_iter().flat_map(found).map(|mut row| row.text(0).unwrap()).collect()
    }

    #[test]
    fn the_last_use_of_each_is_written() {
        let (scratch, uses) = (made(), LastUsed::default());
        let by = Actor { address: "10.0.0.1".into(), agent: "Firefox".into(), ..Actor::default() };
        for second in [2, 3, 1] {
            uses.token(&scratch.org, "a", at(second), format!("10.0.{second}.0/24"));
        }
        uses.session("b", at(4), &by);
        // What is gone meanwhile is not made again.
        uses.token(&scratch.org, "gone", at(5), String::new());
        uses.write(&scratch.db).unwrap();
        assert_eq!(seen(&scratch), ["a 3000 10.0.3.0/24", "b never ", "a 0  ", "b 4000 10.0.0.1 Firefox"]);
        // Another server may have written a later one.
        uses.token(&scratch.org, "a", at(2), "10.0.2.0/24".into());
        uses.write(&scratch.db).unwrap();
        assert_eq!(seen(&scratch)[0], "a 3000 10.0.3.0/24");
        assert!(uses.noted().is_empty());
    }

    #[test]
    fn what_is_not_written_is_still_noted() {
        let (scratch, uses) = (made(), LastUsed::default());
        uses.token(&scratch.org, "a", at(1), "10.0.1.0/24".into());
        uses.token(&scratch.org, "b", at(2), "10.0.2.0/24".into());
        let change = |sql: &str| scratch.db.write(Reach::Server, |rows| rows.execute(sql, &[])).unwrap();
        change("ALTER TABLE tokens RENAME TO away");
        uses.write(&scratch.db).unwrap_err();
        assert_eq!(uses.noted().len(), 2);
        change("ALTER TABLE away RENAME TO tokens");
        uses.write(&scratch.db).unwrap();
        assert_eq!(seen(&scratch)[..2], ["a 1000 10.0.1.0/24", "b 2000 10.0.2.0/24"]);
    }

    #[test]
    fn a_use_is_noted_once_a_minute() {
        assert!(is_due(None, at(0)) && is_due(Some(0), at(61)));
        assert!(!is_due(Some(0), at(60)) && !is_due(Some(90_000), at(60)), "a clock that was set back is no use");
    }
}
