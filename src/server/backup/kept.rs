//! What rests in a keeper, on its way through a backup: in the file it stands among the secrets of the database. What
//! rested in the keeper for the server whose place a backup takes is destroyed there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::server::db::{DbError, Rows, Table, values};
use crate::server::engine::Engine;
use crate::server::error::ServeError;

/// Whether a table tells of places in a keeper, which mean nothing elsewhere.
pub(super) fn is_left_out(table: &Table) -> bool {
    matches!(table.name.as_str(), "kept_secrets" | "kept_leftovers")
}

/// Writes what rests in the keeper as rows of `secrets`. Gives how many; `None` where something is not there any more.
pub(super) fn write(
    rows: &mut dyn Rows,
    engine: &Engine,
    secrets: &Table,
    put: &mut dyn FnMut(&Json) -> Result<(), ServeError>,
) -> Result<Option<u64>, ServeError> {
    let mut count = 0;
    let all = "SELECT org, credential, version, address FROM kept_secrets ORDER BY org, credential";
    for mut row in rows.query(all, &[])? {
        let (org, credential, version, address) = (row.text(0)?, row.text(1)?, row.int(2)?, row.text(3)?);
        let Some(held) = engine.kv().map(|kv| kv.get(&address)).transpose()?.flatten() else { return Ok(None) };
        for (field, sealed) in held {
            let cell = |column: &String| match column.as_str() {
                "org" => Ok(json!(org)),
                "credential" => Ok(json!(credential)),
                "field" => Ok(json!(field)),
                "version" => Ok(json!(version)),
                "sealed" => Ok(json!([STANDARD.encode(&sealed)])),
                _ => Err(DbError::Shape),
            };
            put(&Json::Array(secrets.columns.iter().map(cell).collect::<Result<_, _>>()?))?;
            count += 1;
        }
    }
    Ok(Some(count))
}

/// Every place in the keeper that a database knows of, with its organization and credential.
pub(super) fn places(rows: &mut dyn Rows) -> Result<Vec<[String; 3]>, DbError> {
    let all = "SELECT address, org, credential FROM kept_secrets UNION \
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
