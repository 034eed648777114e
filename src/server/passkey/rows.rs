//! Passkeys as they are kept.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::MOST;
use crate::server::db::{DbError, Row, Rows, values};
use crate::server::people;

/// A passkey.
#[derive(Debug)]
pub(crate) struct Passkey {
    /// The identifier that the authenticator gave it, in base64url.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) person: String,
    /// What they call it.
    pub(crate) name: String,
    pub(super) key: Vec<u8>,
    pub(super) count: u32,
    pub(super) eligible: bool,
    /// Whether it is in a backup, so that other devices of its owner have it.
    pub(crate) backed_up: bool,
    pub(super) transports: Vec<String>,
    pub(crate) created: i64,
    pub(crate) used: Option<i64>,
}

/// What came of keeping one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is its owner's from now on.
    Yes,
    /// Somebody has it already.
    Known,
    /// Its owner has as many as there may be.
    TooMany,
}

const COLUMNS: &str = "id, person, name, public_key, counted, eligible, backed_up, transports, created, used";

impl Passkey {
    fn of(mut row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            person: row.text(1)?,
            name: row.text(2)?,
            key: row.bytes(3)?,
            count: u32::try_from(row.int(4)?).map_err(|_| DbError::Shape)?,
            eligible: row.int(5)? != 0,
            backed_up: row.int(6)? != 0,
            transports: serde_json::from_str(&row.text(7)?).map_err(|_| DbError::Shape)?,
            created: row.int(8)?,
            used: row.maybe_int(9)?,
        })
    }

    /// The one of an identifier.
    pub(super) fn one(rows: &mut dyn Rows, id: &str) -> Result<Option<Self>, DbError> {
        rows.first(&format!("SELECT {COLUMNS} FROM passkeys WHERE id = $1"), values![id])?.map(Self::of).transpose()
    }

    /// Keeps a new one. An identifier that is known already is not taken from whoever has it, and nobody has more than
    /// [`MOST`].
    pub(crate) fn keep(&self, rows: &mut dyn Rows) -> Result<Added, DbError> {
        // Of two that come at once, the second waits here, and counts the first.
        people::hold(rows, &self.person)?;
        if all_of(rows, &self.person)?.len() >= MOST {
            return Ok(Added::TooMany);
        }
        let transports = serde_json::to_string(&self.transports).map_err(|_| DbError::Shape)?;
        let kept = rows.execute(
            "INSERT INTO passkeys (id, person, name, public_key, counted, eligible, backed_up, transports, created) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING",
            values![
                &self.id,
                &self.person,
                &self.name,
                &self.key,
                i64::from(self.count),
                i64::from(self.eligible),
                i64::from(self.backed_up),
                &transports,
                self.created,
            ],
        )?;
        Ok(if kept > 0 { Added::Yes } else { Added::Known })
    }

    /// Notes that it was used. Whether nobody has used it meanwhile.
    pub(super) fn note_use(
        &self,
        rows: &mut dyn Rows,
        count: u32,
        backed_up: bool,
        now: DateTime<Utc>,
    ) -> Result<bool, DbError> {
        let note = "UPDATE passkeys SET counted = $3, backed_up = $4, used = $5 WHERE id = $1 AND counted = $2";
        let noted = rows.execute(
            note,
            values![&self.id, i64::from(self.count), i64::from(count), i64::from(backed_up), now.timestamp_millis(),],
        )?;
        Ok(noted > 0)
    }

    /// How a browser is told of it.
    pub(super) fn descriptor(&self) -> Value {
        let mut descriptor = json!({ "type": "public-key", "id": self.id });
        if !self.transports.is_empty() {
            descriptor["transports"] = json!(self.transports);
        }
        descriptor
    }
}

/// Those of a person, the oldest first.
pub(crate) fn all_of(rows: &mut dyn Rows, person: &str) -> Result<Vec<Passkey>, DbError> {
    let own = format!("SELECT {COLUMNS} FROM passkeys WHERE person = $1 ORDER BY created, id");
    rows.query(&own, values![person])?.into_iter().map(Passkey::of).collect()
}

/// Whether a person has one.
pub(crate) fn has_any(rows: &mut dyn Rows, person: &str) -> Result<bool, DbError> {
    Ok(rows.first("SELECT 1 FROM passkeys WHERE person = $1 LIMIT 1", values![person])?.is_some())
}

/// Takes one of a person's away. Whether there was one.
pub(crate) fn remove(rows: &mut dyn Rows, person: &str, id: &str) -> Result<bool, DbError> {
    Ok(rows.execute("DELETE FROM passkeys WHERE person = $1 AND id = $2", values![person, id])? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::Reach;
    use crate::server::db::tests::Scratch;

    fn one(number: usize) -> Passkey {
        Passkey {
            id: format!("key-{number}"),
            person: "p".into(),
            name: "laptop".into(),
            key: vec![7; 65],
            count: 0,
            eligible: false,
            backed_up: false,
            transports: Vec::new(),
            created: 0,
            used: None,
        }
    }

    #[test]
    fn of_many_that_come_at_once_no_more_are_kept_than_there_may_be() {
        let scratch = Scratch::new();
        let person = "INSERT INTO people (id, login, passphrase, created) VALUES ('p', 'p', '-', 0)";
        scratch.db.write(Reach::Server, |rows| rows.execute(person, &[])).unwrap();
        let keep = |number: usize| scratch.db.write(Reach::Server, |rows| one(number).keep(rows)).unwrap();
        for number in 1..MOST {
            assert_eq!(keep(number), Added::Yes);
        }
        assert_eq!(keep(1), Added::Known);
        let kept: Vec<Added> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|more| scope.spawn(move || keep(MOST + more))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(kept.iter().filter(|kept| **kept == Added::Yes).count(), 1, "{kept:?}");
        let found = scratch.db.read(Reach::Server, |rows| all_of(rows, "p")).unwrap();
        assert_eq!(found.len(), MOST);
    }
}
