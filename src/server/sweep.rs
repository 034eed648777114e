//! What nobody needs any more goes: codes, sessions and tokens whose time is over, and attempts that were forgotten.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::api;
use super::bridge::blocking;
use super::db::{Database, DbError, Reach, values};
use super::state::{Server, now};

/// How often.
const EVERY: Duration = Duration::from_hours(1);
/// What has ended is kept so long, to notice that it comes back.
const KEPT: TimeDelta = TimeDelta::days(30);

/// Removes what is over.
fn sweep(db: &Database, now: DateTime<Utc>) -> Result<(), DbError> {
    let (at, before) = (now.timestamp_millis(), (now - KEPT).timestamp_millis());
    db.write(Reach::Server, |rows| {
        // These belong to the server's own work and to no organization's: none of them is seen by anybody.
        rows.execute("DELETE FROM devices WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM invitations WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM member_invitations WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM passphrase_resets WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM sessions WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM proofs WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM half_sessions WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM connect_attempts WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM upstream_attempts WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM passkey_challenges WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM server_key_remains WHERE until < $1", values![at])?;
        rows.execute("DELETE FROM successors WHERE expires < $1", values![at])?;
        rows.execute("DELETE FROM codes WHERE expires < $1", values![before])?;
        rows.execute("DELETE FROM tokens WHERE expires < $1", values![before])?;
        rows.execute("DELETE FROM attempts WHERE last < $1", values![before])?;
        Ok::<_, DbError>(())
    })?;
    api::sweep(db, now)
}

/// Removes what is over, now and every hour.
pub(crate) async fn sweeping(server: Arc<Server>) {
    loop {
        let swept = blocking(&server, |server| Ok(sweep(&server.db, now())?)).await;
        if swept.is_err() {
            tracing::warn!("what is over was not removed; the next hour may do better");
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::tests::Scratch;

    #[test]
    fn what_is_over_goes_and_the_rest_stays() {
        let scratch = Scratch::new();
        let at = |days: i64| (now() + TimeDelta::days(days)).timestamp_millis();
        let left = || {
            let all = "SELECT id FROM tokens UNION ALL SELECT id FROM sessions ORDER BY id";
            let found = scratch.db.read(Reach::Server, |rows| rows.query(all, &[])).unwrap();
            found.into_iter().map(|mut row| row.text(0).unwrap()).collect::<Vec<_>>()
        };
        scratch
            .db
            .write(Reach::Server, |rows| {
                rows.execute("INSERT INTO people (id, login, passphrase, created) VALUES ('p', 'p', '-', 0)", &[])?;
                for (id, days) in [("alive", 1), ("ended", -1), ("long-ended", -31)] {
                    rows.execute(
                        "INSERT INTO tokens (org, id, kind, hash, person, client, name, permissions, family, created, \
                         expires) VALUES ('org_test', $1, 'pat', $2, 'p', '', '', '', '', 0, $3)",
                        values![&format!("token-{id}"), &[0; 32], at(days)],
                    )?;
                    rows.execute(
                        "INSERT INTO sessions (id, hash, person, created, used, expires) VALUES ($1, $2, 'p', 0, 0, $3)",
                        values![&format!("session-{id}"), &[0; 32], at(days)],
                    )?;
                }
                Ok::<_, DbError>(())
            })
            .unwrap();
        sweep(&scratch.db, now()).unwrap();
        assert_eq!(left(), ["session-alive", "token-alive", "token-ended"]);
    }
}
