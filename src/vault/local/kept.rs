//! What the vault keeps of what was made from its credentials: sealed under the data key of the version that it was
//! made from, so that it goes when the credential is replaced or deleted.

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::{Local, data_key_place};
use crate::credential::Metadata;
use crate::store::IssuedRow;
use crate::vault::kept::{self, Form, Kept};
use crate::vault::{VaultError, rows};

/// What it is bound to: its credential and version, its form, its times, and what it was made of.
fn place<'p>(
    vault: &'p str,
    metadata: &'p Metadata,
    form: Form,
    numbers: &'p [String; 3],
    of: &'p str,
) -> [&'p str; 8] {
    let [version, made, expires] = numbers;
    ["issued", vault, &metadata.id, version, form.word(), made, expires, of]
}

fn numbers(row: &IssuedRow) -> [String; 3] {
    [row.version, row.made, row.expires].map(|number| number.to_string())
}

impl Local<'_> {
    /// What was kept. What does not open was made of something else, and is as good as nothing.
    pub(super) fn read_kept(&self, metadata: &Metadata, form: Form, of: &str) -> Result<Option<Kept>, VaultError> {
        let Some((store, _)) = self.existing()? else { return Ok(None) };
        let found = store.issued(&metadata.id, form.word())?.filter(|(_, row)| row.version == metadata.version);
        let Some((wrapped, row)) = found else { return Ok(None) };
        let (_, open) = self.opened()?;
        let (vault, numbers) = (&open.row.id, numbers(&row));
        let key = open.key.unwrap(&wrapped, &data_key_place(vault, &metadata.id, &numbers[0]));
        let text = key.and_then(|key| key.open(&row.sealed, &place(vault, metadata, form, &numbers, of)));
        let Ok(text) = text else { return Ok(None) };
        let (made, expires) = (rows::time(row.made), rows::time(row.expires));
        Ok(kept::read(&text).zip(made).zip(expires).map(|((material, made), expires)| Kept { material, made, expires }))
    }

    /// Keeps what was made, in words.
    pub(super) fn write_kept(
        &self,
        metadata: &Metadata,
        form: Form,
        of: &str,
        text: &Zeroizing<Vec<u8>>,
        (made, expires): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<(), VaultError> {
        let (store, open) = self.opened()?;
        let Some(wrapped) = store.data_key(&metadata.id, metadata.version)? else { return Ok(()) };
        let mut row = IssuedRow {
            version: metadata.version,
            made: made.timestamp_millis(),
            expires: expires.timestamp_millis(),
            sealed: Vec::new(),
        };
        let (vault, numbers) = (&open.row.id, numbers(&row));
        let closed = |_| VaultError::DoesNotOpen { name: metadata.name.clone() };
        let key = open.key.unwrap(&wrapped, &data_key_place(vault, &metadata.id, &numbers[0])).map_err(closed)?;
        row.sealed = key.seal(text, &place(vault, metadata, form, &numbers, of))?;
        Ok(store.keep_issued(&metadata.id, form.word(), &row)?)
    }
}
