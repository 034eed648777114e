//! Where sealed secrets rest: in the database beside everything else, or in a keeper of secrets.
//!
//! Two systems do not commit together. So a place in the keeper is noted before anything is written to it; the row that
//! makes it count takes it from the notes, in the transaction of the change and of its entry in the audit; and a place
//! that does not count any more is noted in the same way. Whatever is noted and whose time has come is destroyed, again
//! and again until it is: neither a crash nor a keeper that is sealed leaves a secret that nobody knows of.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::bridge::blocking;
use super::db::{Closed, Database, DbError, OrgScope, Reach, Row, Rows, Value, values};
use super::error::ServeError;
use super::keeper::{Held, KeeperError, Kv};
use super::state::{Server, now};
use crate::vault::VaultError;

/// So long a place that was noted may be on its way to be used, unless it is noted anew.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(2);
/// Whoever lays down many notes them anew this often.
pub(crate) const NOTED: TimeDelta = TimeDelta::seconds(30);
/// How often is looked for places to be destroyed.
const EVERY: Duration = Duration::from_secs(10);
/// One that the keeper does not let go of is tried again after this.
const LATER: TimeDelta = TimeDelta::minutes(5);
/// So many are destroyed at a time.
const PAGE: i64 = 100;

/// Where new secrets go, and where those that are there may be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Engine {
    kv: Option<Kv>,
    is_outside: bool,
}

/// What rests in the keeper for a credential.
pub(crate) struct Fetched {
    /// Where.
    pub(crate) address: String,
    /// What; nothing where it is gone, or is not what was written there.
    pub(crate) held: Option<Held>,
}

impl From<KeeperError> for VaultError {
    fn from(failure: KeeperError) -> Self {
        Self::Elsewhere(Box::new(failure))
    }
}

impl Engine {
    /// Puts what is new into the keeper, or into the database; from there, the keeper may still be read.
    pub(crate) fn new(kv: Option<Kv>, is_outside: bool) -> Self {
        Self { kv, is_outside }
    }

    /// The same, refused where secrets rest that it does not reach.
    pub(crate) fn fit_for(self, db: &Database) -> Result<Self, ServeError> {
        db.read(Reach::Server, |rows| self.fits(rows))?;
        Ok(self)
    }

    /// Refuses where secrets rest that it does not reach.
    pub(crate) fn fits(&self, rows: &mut dyn Rows) -> Result<(), ServeError> {
        let one = "SELECT 1 FROM kept_secrets UNION ALL SELECT 1 FROM kept_upstream_secrets \
                   UNION ALL SELECT 1 FROM kept_leftovers LIMIT 1";
        if self.kv.is_none() && rows.first(one, &[])?.is_some() {
            return Err(KeeperError::None.into());
        }
        Ok(())
    }

    /// How many credentials rest where new secrets do not go, the server's own at issuers among them.
    pub(crate) fn elsewhere(&self, db: &Database) -> Result<i64, DbError> {
        let count = if self.is_outside {
            "SELECT COUNT(*) + (SELECT COUNT(*) FROM upstream_secrets) FROM credentials c WHERE EXISTS \
             (SELECT 1 FROM secrets s WHERE s.org = c.org AND s.credential = c.id)"
        } else {
            "SELECT COUNT(*) + (SELECT COUNT(*) FROM kept_upstream_secrets) FROM kept_secrets"
        };
        db.read(Reach::Server, |rows| {
            rows.open(Closed::Secrets)?;
            rows.first(count, &[])?.ok_or(DbError::Shape)?.int(0)
        })
    }

    /// The keeper, where there is one.
    pub(crate) fn kv(&self) -> Option<&Kv> {
        self.kv.as_ref()
    }

    /// The keeper, where new secrets go there.
    pub(crate) fn outside(&self) -> Option<&Kv> {
        self.kv().filter(|_| self.is_outside)
    }

    /// Lays sealed secrets down at a place of their own, which is noted first.
    pub(crate) fn lay(
        kv: &Kv,
        db: &Database,
        (scope, credential): (&OrgScope, &str),
        address: &str,
        held: &Held,
        now: DateTime<Utc>,
    ) -> Result<(), VaultError> {
        let due = (now + UNDER_WAY).timestamp_millis();
        db.write(scope, |rows| {
            rows.execute(
                "INSERT INTO kept_leftovers (address, org, credential, due, claimed) VALUES ($1, $2, $3, $4, 0)",
                values![address, scope.id(), credential, due],
            )
        })?;
        Ok(kv.put(address, held)?)
    }

    /// Notes places anew that were laid down a while ago: they are on their way still.
    pub(crate) fn prolong<'a>(
        db: &Database,
        scope: &OrgScope,
        addresses: impl Iterator<Item = &'a str>,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let due = (now + UNDER_WAY).timestamp_millis();
        let again = "UPDATE kept_leftovers SET due = $2 WHERE address = $1 AND claimed = 0";
        db.write(scope, |rows| {
            for address in addresses {
                rows.execute(again, values![address, due])?;
            }
            Ok(())
        })
    }

    /// What rests in the keeper for a credential; `None` where nothing of it is to be there.
    pub(crate) fn fetch(
        &self,
        db: &Database,
        scope: &OrgScope,
        credential: &str,
    ) -> Result<Option<Fetched>, VaultError> {
        let Some(kv) = &self.kv else { return Ok(None) };
        let Some(address) = db.read(scope, |rows| address(rows, scope, credential))? else { return Ok(None) };
        match kv.get(&address) {
            Ok(held) => Ok(Some(Fetched { address, held })),
            // Somebody has written another name of a place into the row.
            Err(KeeperError::Address) => Ok(Some(Fetched { address, held: None })),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Destroys what is left of a credential. What does not succeed now does later.
    pub(crate) fn clear(&self, db: &Database, scope: &OrgScope, credential: &str) {
        let Some(kv) = &self.kv else { return };
        let of_one = "SELECT address FROM kept_leftovers WHERE org = $1 AND credential = $2 AND due <= $3 ORDER BY due";
        let now = now();
        let cleared = db
            .read(scope, |rows| rows.query(of_one, values![scope.id(), credential, now.timestamp_millis()]))
            .map_err(VaultError::from)
            .and_then(|found| destroyed(kv, db, found, now));
        if let Err(failure) = cleared {
            tracing::warn!(%failure, "secrets that count no more are still in the keeper; they go later");
        }
    }

    /// Destroys what is due, as far as the keeper lets it. Gives how many places were destroyed.
    pub(crate) fn sweep(&self, db: &Database, now: DateTime<Utc>) -> Result<usize, VaultError> {
        let Some(kv) = &self.kv else { return Ok(0) };
        let due = "SELECT address FROM kept_leftovers WHERE due <= $1 ORDER BY due, address LIMIT $2";
        let found = db.read(Reach::Server, |rows| rows.query(due, values![now.timestamp_millis(), PAGE]))?;
        destroyed(kv, db, found, now)
    }
}

/// Destroys these places. One that the keeper does not let go of holds up no other, and is tried again later.
fn destroyed(kv: &Kv, db: &Database, places: Vec<Row>, now: DateTime<Utc>) -> Result<usize, VaultError> {
    let mut count = 0;
    for mut row in places {
        let address = row.text(0)?;
        match destroy(kv, db, &address, now) {
            Ok(()) => count += 1,
            Err(Undestroyed::Here(failure)) => {
                tracing::warn!(%failure, "the keeper keeps what counts no more; it is asked again later");
                let later = (now + LATER).timestamp_millis();
                let put_off = "UPDATE kept_leftovers SET due = $2 WHERE address = $1";
                db.write(Reach::Server, |rows| rows.execute(put_off, values![&address, later]))?;
            }
            Err(Undestroyed::All(failure)) => return Err(failure),
        }
    }
    Ok(count)
}

/// Why a place is there still.
enum Undestroyed {
    /// The keeper does not let go of this one.
    Here(KeeperError),
    /// None can be destroyed now.
    All(VaultError),
}

impl From<DbError> for Undestroyed {
    fn from(failure: DbError) -> Self {
        Self::All(failure.into())
    }
}

/// Where the secrets of a credential rest, if they rest in the keeper.
pub(crate) fn address(rows: &mut dyn Rows, scope: &OrgScope, credential: &str) -> Result<Option<String>, DbError> {
    let one = "SELECT address FROM kept_secrets WHERE org = $1 AND credential = $2";
    rows.first(one, values![scope.id(), credential])?.map(|mut row| row.text(0)).transpose()
}

/// Holds a place until the transaction ends, in which it is to count: nobody destroys it meanwhile. `false` where somebody
/// has begun to.
pub(crate) fn hold(rows: &mut dyn Rows, address: &str) -> Result<bool, DbError> {
    let hold = "UPDATE kept_leftovers SET due = due WHERE address = $1 AND claimed = 0";
    Ok(rows.execute(hold, values![address])? == 1)
}

/// Takes a place from the notes, which is to count from now on.
pub(crate) fn take(rows: &mut dyn Rows, address: &str) -> Result<(), VaultError> {
    let take = "DELETE FROM kept_leftovers WHERE address = $1 AND claimed = 0";
    if rows.execute(take, values![address])? == 1 { Ok(()) } else { Err(KeeperError::Late.into()) }
}

/// Has a place count that secrets were laid down at.
pub(crate) fn settle(
    rows: &mut dyn Rows,
    (scope, credential): (&OrgScope, &str),
    version: i64,
    address: &str,
) -> Result<(), VaultError> {
    take(rows, address)?;
    rows.execute(
        "INSERT INTO kept_secrets (org, credential, version, address) VALUES ($1, $2, $3, $4)",
        values![scope.id(), credential, version, address],
    )?;
    Ok(())
}

/// What has secrets in the keeper.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    /// A credential.
    Credential,
    /// An outside issuer, at which the server is a client.
    Upstream,
}

impl Owner {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Credential, Self::Upstream];

    /// The table that says where they rest, and its column that says whose they are.
    fn rows(self) -> (&'static str, &'static str) {
        match self {
            Self::Credential => ("kept_secrets", "credential"),
            Self::Upstream => ("kept_upstream_secrets", "upstream"),
        }
    }
}

/// Has the place of one of these count no more, or of every one in the organization.
pub(crate) fn vacate(rows: &mut dyn Rows, scope: &OrgScope, of: Owner, one: Option<&str>) -> Result<(), DbError> {
    let (table, column) = of.rows();
    let (chosen, values) = match one {
        Some(one) => (format!("{table} WHERE org = $1 AND {column} = $2"), vec![scope.id().into(), one.into()]),
        None => (format!("{table} WHERE org = $1"), vec![Value::from(scope.id())]),
    };
    let leave = format!(
        "INSERT INTO kept_leftovers (address, org, credential, due, claimed) \
         SELECT address, org, {column}, 0, 0 FROM {chosen} ON CONFLICT (address) DO UPDATE SET due = 0"
    );
    rows.execute(&leave, &values)?;
    rows.execute(&format!("DELETE FROM {chosen}"), &values).map(|_| ())
}

fn destroy(kv: &Kv, db: &Database, address: &str, now: DateTime<Utc>) -> Result<(), Undestroyed> {
    // Nobody makes it count from here on. Whoever is still about to has said so since it was found.
    let claim = "UPDATE kept_leftovers SET claimed = 1 WHERE address = $1 AND due <= $2";
    if db.write(Reach::Server, |rows| rows.execute(claim, values![address, now.timestamp_millis()]))? == 0 {
        return Ok(());
    }
    match kv.destroy(address) {
        // No such name was ever written to.
        Ok(()) | Err(KeeperError::Address) => {}
        Err(failure) if failure.is_down() => return Err(Undestroyed::All(failure.into())),
        Err(failure) => return Err(Undestroyed::Here(failure)),
    }
    db.write(Reach::Server, |rows| rows.execute("DELETE FROM kept_leftovers WHERE address = $1", values![address]))?;
    Ok(())
}

/// Destroys what is due and keeps the token alive, for as long as the server runs.
pub(crate) async fn sweeping(server: Arc<Server>) {
    let Some(kv) = server.engine.kv().cloned() else { return };
    loop {
        let keeper = Arc::clone(&kv.keeper);
        let swept = blocking(&server, move |server| {
            keeper.tend()?;
            while server.engine.sweep(&server.db, now())? > 0 {}
            Ok(())
        })
        .await;
        if swept.is_err() {
            tracing::debug!("the keeper of secrets was not looked after; the next time may do better");
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::tests::Scratch;
    use crate::server::keeper::Held;

    /// A place that was due when it was looked for, and whose owner has said since that they are still about to use it.
    #[test]
    fn what_is_prolonged_before_its_turn_is_not_destroyed() {
        let ((kv, inside), scratch) = (crate::server::keeper::tests::kv(), Scratch::new());
        let held = Held::from([("A".to_owned(), b"sealed".to_vec())]);
        let places = ["1", "2"].map(|number| Kv::address("i/org_test/cred/1", number, &held).unwrap());
        for address in &places {
            Engine::lay(&kv, &scratch.db, (&scratch.org, "cred"), address, &held, now()).unwrap();
        }
        let later = now() + UNDER_WAY + UNDER_WAY;
        let all = "SELECT address FROM kept_leftovers";
        let found = scratch.db.read(Reach::Server, |rows| rows.query(all, &[])).unwrap();
        Engine::prolong(&scratch.db, &scratch.org, std::iter::once(places[0].as_str()), later).unwrap();
        destroyed(&kv, &scratch.db, found, later).unwrap();
        let kept = inside.lock().unwrap().kept.len();
        let left = scratch.db.read(Reach::Server, |rows| rows.query(all, &[])).unwrap();
        let left: Vec<String> = left.into_iter().map(|mut row| row.text(0).unwrap()).collect();
        assert_eq!((kept, left), (1, vec![places[0].clone()]));
    }
}
