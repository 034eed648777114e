//! What rests in a keeper, on its way through a backup: in the file it stands among the secrets of the database. What
//! rested in the keeper for the server whose place a backup takes is destroyed there.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{heading, unwritten};
use crate::server::db::{Database, DbError, Reach, Row, Rows, Table, values};
use crate::server::error::ServeError;
use crate::server::keeper::{KeeperError, Kv};

/// Whether a table tells of places in a keeper, which mean nothing elsewhere.
pub(super) fn is_left_out(table: &Table) -> bool {
    matches!(table.name.as_str(), "kept_secrets" | "kept_upstream_secrets" | "kept_leftovers")
}

/// Whose secrets are not in the keeper any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The organization.
    pub organization: String,
    /// The credential, or the issuer at which the server has a client.
    pub id: String,
}

/// A place in the keeper that counted at the instant of a backup.
struct Place {
    org: String,
    /// Whose it is.
    id: String,
    version: i64,
    address: String,
    /// The version of the server's own key under which it is sealed, where it is under that one.
    own_key: Option<i64>,
}

/// What rested in the keeper at the instant of a backup, with the tables that its rows are for in a backup.
pub(super) struct Kept(Vec<(Table, Vec<Place>)>);

/// Tables of sealed secrets, those of the places of what rests in the keeper instead, and what gives these.
const KEPT: [(&str, &str, &str); 2] = [
    (
        "secrets",
        "kept_secrets",
        "SELECT org, credential, version, address, NULL FROM kept_secrets ORDER BY org, credential",
    ),
    (
        "upstream_secrets",
        "kept_upstream_secrets",
        "SELECT org, upstream, 0, address, key_version FROM kept_upstream_secrets ORDER BY org, upstream",
    ),
];

/// A field of a credential, sealed, in base 64; by its name.
type Sealed = BTreeMap<String, String>;

/// What was fetched so far, in a file without a name: a backup that is begun anew fetches what is new alone, so that it
/// comes to its end where secrets are replaced all the time. What a place holds never changes.
pub(super) struct Fetched {
    /// The backup that it is for.
    backup: PathBuf,
    file: File,
    at: HashMap<String, (u64, usize)>,
}

impl Fetched {
    /// Nothing yet, for a backup that is written in this folder.
    pub(super) fn within(folder: &Path, backup: &Path) -> Result<Self, ServeError> {
        let file = tempfile::tempfile_in(folder).map_err(|cause| unwritten(backup, &cause))?;
        Ok(Self { backup: backup.to_owned(), file, at: HashMap::new() })
    }

    /// What rests at a place; `None` where nothing does that was written there.
    fn get(&mut self, kv: &Kv, address: &str) -> Result<Option<Sealed>, ServeError> {
        if let Some(&(at, length)) = self.at.get(address) {
            return Ok(Some(self.read(at, length).map_err(|cause| unwritten(&self.backup, &cause))?));
        }
        let held = match kv.get(address) {
            // Somebody has written another name of a place into the row.
            Err(KeeperError::Address) => None,
            held => held?,
        };
        let Some(held) = held else { return Ok(None) };
        let sealed: Sealed = held.into_iter().map(|(field, sealed)| (field, STANDARD.encode(sealed))).collect();
        let kept = self.keep(&sealed).map_err(|cause| unwritten(&self.backup, &cause))?;
        self.at.insert(address.to_owned(), kept);
        Ok(Some(sealed))
    }

    fn keep(&mut self, sealed: &Sealed) -> std::io::Result<(u64, usize)> {
        let line = serde_json::to_vec(sealed)?;
        let at = self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(&line)?;
        Ok((at, line.len()))
    }

    fn read(&mut self, at: u64, length: usize) -> std::io::Result<Sealed> {
        let mut line = vec![0; length];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }
}

impl Kept {
    /// What rests there as far as a transaction sees.
    pub(super) fn of(rows: &mut dyn Rows) -> Result<Self, DbError> {
        let place = |mut row: Row| -> Result<Place, DbError> {
            let (org, id, version, address) = (row.text(0)?, row.text(1)?, row.int(2)?, row.text(3)?);
            Ok(Place { org, id, version, address, own_key: row.maybe_int(4)? })
        };
        let (tables, mut kept) = (rows.tables()?, Vec::new());
        for (name, places, all) in KEPT {
            let named = |name: &str| tables.iter().find(|table| table.name == name).cloned();
            // An earlier version had neither, or kept nothing elsewhere.
            let (Some(table), Some(_)) = (named(name), named(places)) else { continue };
            kept.push((table, rows.query(all, &[])?.into_iter().map(place).collect::<Result<_, _>>()?));
        }
        Ok(Self(kept))
    }

    /// Writes it as rows of those tables. Gives how many, and whose the keeper has lost; `None` where some were put
    /// elsewhere meanwhile.
    pub(super) fn write(
        &self,
        db: &Database,
        kv: Option<&Kv>,
        fetched: &mut Fetched,
        put: &mut dyn FnMut(&Json) -> Result<(), ServeError>,
    ) -> Result<Option<(u64, Vec<Missing>)>, ServeError> {
        let (mut count, mut missing) = (0, Vec::new());
        for (table, places) in &self.0 {
            put(&heading(table))?;
            for place in places {
                let Some(sealed) = fetched.get(kv.ok_or(KeeperError::None)?, &place.address)? else {
                    missing.push(place);
                    continue;
                };
                for (field, sealed) in sealed {
                    put(&place.row(table, &field, sealed)?)?;
                    count += 1;
                }
            }
        }
        if !are_lost(db, &missing)? {
            return Ok(None);
        }
        // It is another place that is looked at, or all of it is gone: no backup takes the place of a good one by that.
        let all: usize = self.0.iter().map(|(_, places)| places.len()).sum();
        if missing.len() > 1 && missing.len() == all {
            return Err(KeeperError::Bare { count: missing.len() }.into());
        }
        let told = |place: &Place| {
            tracing::warn!(org = place.org, id = place.id, "the keeper has lost secrets");
            Missing { organization: place.org.clone(), id: place.id.clone() }
        };
        Ok(Some((count, missing.into_iter().map(told).collect())))
    }
}

impl Place {
    /// A row of a table of sealed secrets.
    fn row(&self, table: &Table, field: &str, sealed: String) -> Result<Json, DbError> {
        let mut sealed = Some(sealed);
        let cell = |column: &String| match column.as_str() {
            "org" => Ok(json!(self.org)),
            "credential" | "upstream" => Ok(json!(self.id)),
            "field" => Ok(json!(field)),
            "version" => Ok(json!(self.version)),
            "key_version" => Ok(json!(self.own_key)),
            "sealed" => Ok(json!([sealed.take()])),
            _ => Err(DbError::Shape),
        };
        Ok(Json::Array(table.columns.iter().map(cell).collect::<Result<_, _>>()?))
    }
}

/// Whether all of these count still, although nothing rests there.
fn are_lost(db: &Database, places: &[&Place]) -> Result<bool, DbError> {
    let stands = "SELECT 1 FROM kept_secrets WHERE org = $1 AND credential = $2 AND address = $3 UNION ALL \
                  SELECT 1 FROM kept_upstream_secrets WHERE org = $1 AND upstream = $2 AND address = $3";
    db.read(Reach::Server, |rows| {
        for place in places {
            if rows.first(stands, values![&place.org, &place.id, &place.address])?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

/// Every place in the keeper that a database knows of, with its organization and credential.
pub(super) fn places(rows: &mut dyn Rows) -> Result<Vec<[String; 3]>, DbError> {
    let all = "SELECT address, org, credential FROM kept_secrets UNION \
               SELECT address, org, upstream FROM kept_upstream_secrets UNION \
               SELECT address, org, credential FROM kept_leftovers";
    rows.query(all, &[])?.into_iter().map(|mut row| Ok([row.text(0)?, row.text(1)?, row.text(2)?])).collect()
}

/// Has such places be destroyed.
pub(super) fn abandon(rows: &mut dyn Rows, places: &[[String; 3]]) -> Result<(), DbError> {
    for [address, org, credential] in places {
        rows.execute(
            "INSERT INTO kept_leftovers (address, org, credential, due, claimed) VALUES ($1, $2, $3, 0, 0) \
             ON CONFLICT (address) DO NOTHING",
            values![address, org, credential],
        )?;
    }
    Ok(())
}
