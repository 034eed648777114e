//! Secrets as they rest: each version of a credential under a data key of its own.
//!
//! They are sealed before the transaction of a change, and laid down where the engine has them; what is sealed counts
//! when that transaction names it, and only for the place that it was sealed for. The data key rests in the database
//! wherever the secrets do: without it, what lies in a keeper opens for nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::place::{Place, emptied, filled};
use super::{OrgVault, Stored};
use crate::credential::{Credential, Metadata};
use crate::secret::Secret;
use crate::server::db::{Closed, Rows, values};
use crate::server::engine::{self, Engine, Fetched, NOTED, Owner};
use crate::server::keeper::{Held, Kv};
use crate::server::keys::{FORM, KeyError, Wrapped};
use crate::server::random;
use crate::vault::VaultError;
use crate::vault::seal::{DoesNotOpen, Key};

/// So often is looked again for what is put elsewhere while it is fetched.
const LOOKS: usize = 4;

/// The secrets of a version, sealed for their place.
pub(super) struct Parcel {
    place: Place,
    key: Key,
    rest: Rest,
}

impl Parcel {
    /// Whether it is sealed for the place of this version.
    pub(super) fn is_for(&self, place: &Place) -> bool {
        self.place == *place
    }

    /// Where it lies in the keeper, if it does.
    pub(super) fn address(&self) -> Option<&str> {
        match &self.rest {
            Rest::Here(_) => None,
            Rest::There(address) => Some(address),
        }
    }
}

/// Many parcels, none of which counts yet, by their credentials. However long it takes to make them, what was laid down
/// first is not taken for forgotten.
pub(super) struct Parcels {
    pub(super) made: BTreeMap<String, Parcel>,
    noted: DateTime<Utc>,
}

impl Parcels {
    /// None yet.
    pub(super) fn new(vault: &OrgVault<'_>) -> Self {
        Self { made: BTreeMap::new(), noted: (vault.now)() }
    }

    /// Adds one.
    pub(super) fn add(&mut self, vault: &OrgVault<'_>, id: &str, parcel: Parcel) -> Result<(), VaultError> {
        self.made.insert(id.to_owned(), parcel);
        let now = (vault.now)();
        if now - self.noted >= NOTED {
            Engine::prolong(vault.db, &vault.scope, self.made.values().filter_map(Parcel::address), now)?;
            self.noted = now;
        }
        Ok(())
    }
}

/// Where sealed secrets are.
enum Rest {
    /// On their way into the database.
    Here(Held),
    /// In the keeper, at this address.
    There(String),
}

impl OrgVault<'_> {
    /// Seals the secrets of a version, and lays them down where no row names them yet. Never within a transaction: the
    /// keeper may take its time.
    pub(super) fn sealed(&self, metadata: &Metadata, secrets: &BTreeMap<String, Secret>) -> Result<Parcel, VaultError> {
        let place = Place::of(&self.scope, metadata);
        let key = Key::random()?;
        let mut held = Held::new();
        for (field, secret) in secrets {
            held.insert(field.clone(), key.seal(&filled(secret), &place.of_field(field))?);
        }
        let rest = match self.engine.outside().filter(|_| !held.is_empty()) {
            None => Rest::Here(held),
            Some(kv) => {
                let number = random::base62(20)?;
                let whose = (&self.scope, metadata.id.as_str());
                let (instance, version) = (self.keys.instance(), metadata.version);
                let folder = format!("{instance}/{}/{}/{version}", whose.0.id(), whose.1);
                let address = Kv::address(&folder, &number, &held)?;
                Engine::lay(kv, self.db, whose, &address, &held, (self.now)())?;
                Rest::There(address)
            }
        };
        Ok(Parcel { place, key, rest })
    }

    /// Puts the secrets of a version in the place of those of the one before.
    pub(super) fn put_in(&self, rows: &mut dyn Rows, metadata: &Metadata, parcel: Parcel) -> Result<(), VaultError> {
        // Somebody has moved or replaced it since they were sealed.
        if parcel.place != Place::of(&self.scope, metadata) {
            return Err(VaultError::Changed { name: metadata.name.clone() });
        }
        let (key_version, key) = self.keys.newest_to_seal(rows, &self.scope)?;
        let wrapped = key.wrap(&parcel.key, &parcel.place.of_key(&key_version.to_string()))?;
        self.take_out(rows, &metadata.id)?;
        rows.execute(
            "INSERT INTO data_keys (org, credential, version, key_version, wrapped) VALUES ($1, $2, $3, $4, $5)",
            values![self.scope.id(), &metadata.id, metadata.version, key_version, &wrapped],
        )?;
        match parcel.rest {
            Rest::There(address) => {
                engine::settle(rows, (&self.scope, &metadata.id), metadata.version, &address)?;
            }
            Rest::Here(held) => {
                for (field, sealed) in held {
                    rows.execute(
                        "INSERT INTO secrets (org, credential, field, version, sealed) VALUES ($1, $2, $3, $4, $5)",
                        values![self.scope.id(), &metadata.id, &field, metadata.version, &sealed],
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Takes the secrets of a credential away.
    pub(super) fn take_out(&self, rows: &mut dyn Rows, id: &str) -> Result<(), VaultError> {
        let whose = values![self.scope.id(), id];
        rows.open(Closed::Secrets)?;
        // The key goes first: what is left of the secrets then opens for nobody.
        rows.execute("DELETE FROM data_keys WHERE org = $1 AND credential = $2", whose)?;
        rows.execute("DELETE FROM secrets WHERE org = $1 AND credential = $2", whose)?;
        Ok(engine::vacate(rows, &self.scope, Owner::Credential, Some(id))?)
    }

    /// What rests of a credential in the keeper. Never within a transaction.
    pub(crate) fn fetched(&self, id: &str) -> Result<Option<Fetched>, VaultError> {
        self.engine.fetch(self.db, &self.scope, id)
    }

    /// Destroys what is left of a credential in the keeper, once its row is gone or names something else.
    pub(super) fn clear(&self, id: &str) {
        self.engine.clear(self.db, &self.scope, id);
    }

    /// The secrets of a version, for what is made of them here. Never within a transaction.
    pub(super) fn unsealed(&self, metadata: &Metadata) -> Result<Credential, VaultError> {
        let mut looks = 0;
        loop {
            let fetched = self.fetched(&metadata.id)?;
            let opened = self.db.read(&self.scope, |rows| self.open_in(rows, metadata, fetched.as_ref()));
            looks += 1;
            // The same may have been put elsewhere since it was fetched: sealed anew, or moved.
            let is_same =
                |stored: &Stored| Place::of(&self.scope, &stored.metadata) == Place::of(&self.scope, metadata);
            if !matches!(opened, Err(VaultError::Changed { .. }))
                || looks == LOOKS
                || !self.by_id(&metadata.id)?.is_some_and(|stored| is_same(&stored))
            {
                return opened;
            }
        }
    }

    /// Opens the secrets of the version that `metadata` is of. `fetched` is what rests in the keeper, if they rest there.
    pub(super) fn open_in(
        &self,
        rows: &mut dyn Rows,
        metadata: &Metadata,
        fetched: Option<&Fetched>,
    ) -> Result<Credential, VaultError> {
        rows.open(Closed::Secrets)?;
        let place = Place::of(&self.scope, metadata);
        let stands = |stored: Stored| Place::of(&self.scope, &stored.metadata) == place;
        if !self.row(rows, &metadata.id)?.is_some_and(stands) {
            return Err(VaultError::Changed { name: metadata.name.clone() });
        }
        self.open_seen(rows, metadata, fetched)
    }

    /// The same for a row that was read in this transaction, in which secrets are open.
    pub(super) fn open_seen(
        &self,
        rows: &mut dyn Rows,
        metadata: &Metadata,
        fetched: Option<&Fetched>,
    ) -> Result<Credential, VaultError> {
        let closed = |_| VaultError::DoesNotOpen { name: metadata.name.clone() };
        let changed = || VaultError::Changed { name: metadata.name.clone() };
        let whose = values![self.scope.id(), &metadata.id];
        // One statement: its keys may be wrapped anew, and the old ones taken away, between two.
        let key = "SELECT d.version, d.key_version, d.wrapped, o.wrapped, o.own_version, s.wrapped, k.address \
                   FROM data_keys d LEFT JOIN organization_keys o ON o.org = d.org AND o.version = d.key_version \
                   LEFT JOIN server_keys s ON s.version = o.own_version \
                   LEFT JOIN kept_secrets k ON k.org = d.org AND k.credential = d.credential \
                   WHERE d.org = $1 AND d.credential = $2";
        let mut found = rows.first(key, whose)?.ok_or_else(|| closed(DoesNotOpen))?;
        let (version, key_version, wrapped) = (found.int(0)?, found.int(1)?, found.bytes(2)?);
        if version != metadata.version {
            return Err(closed(DoesNotOpen));
        }
        let key = Wrapped::read(&mut found, 3)?.ok_or(KeyError::None)?;
        let key = self.keys.opened(rows, &self.scope, key_version, key)?;
        let place = Place::of(&self.scope, metadata);
        let data_key = key.unwrap(&wrapped, &place.of_key(&key_version.to_string())).map_err(closed)?;
        let mut held = Held::new();
        match (found.maybe_text(6)?, fetched) {
            (None, None) => {
                let sealed = "SELECT field, sealed FROM secrets WHERE org = $1 AND credential = $2 ORDER BY field";
                for mut row in rows.query(sealed, whose)? {
                    held.insert(row.text(0)?, row.bytes(1)?);
                }
            }
            (Some(address), Some(fetched)) if fetched.address == address => {
                held.clone_from(fetched.held.as_ref().ok_or_else(|| closed(DoesNotOpen))?);
            }
            // They were put elsewhere since.
            _ => return Err(changed()),
        }
        let mut secrets = BTreeMap::new();
        for (field, sealed) in held {
            let opened = data_key.open(&sealed, &place.of_field(&field)).map_err(closed)?;
            secrets.insert(field, emptied(&opened).ok_or_else(|| closed(DoesNotOpen))?);
        }
        // A row that was taken away would otherwise look like a field that was never set.
        if !secrets.keys().eq(metadata.secret_names.iter()) {
            return Err(closed(DoesNotOpen));
        }
        Ok(Credential { metadata: metadata.clone(), secrets })
    }
}

/// What came of a page of data keys.
pub(crate) struct Rewrapped {
    /// The last credential of the page.
    pub(crate) last: String,
    /// So many rest under the newest key now.
    pub(crate) done: u64,
    /// So many do not open, and stay as they are.
    pub(crate) closed: u64,
}

impl OrgVault<'_> {
    /// Wraps the data keys after a credential under the newest key of the organization, as far as they rest under an
    /// older one; `None` where there are none.
    pub(crate) fn rewrap(&self, rows: &mut dyn Rows, after: &str, limit: i64) -> Result<Option<Rewrapped>, VaultError> {
        rows.open(Closed::Secrets)?;
        let (newest, key) = self.keys.newest(rows, &self.scope)?;
        let some = "SELECT d.credential, d.version, d.key_version, d.wrapped, c.project FROM data_keys d \
                    JOIN credentials c ON c.org = d.org AND c.id = d.credential \
                    WHERE d.org = $1 AND d.key_version < $2 AND d.credential > $3 ORDER BY d.credential LIMIT $4";
        let page = rows.query(some, values![self.scope.id(), newest, after, limit])?;
        let mut page_of = Rewrapped { last: String::new(), done: 0, closed: 0 };
        for mut row in page {
            let (id, version, old) = (row.text(0)?, row.int(1)?, row.int(2)?);
            let (wrapped, project) = (row.bytes(3)?, row.text(4)?);
            let version = version.to_string();
            let mut parts = [FORM, "data_keys", self.scope.id(), &project, &id, &version, ""];
            let (old_version, new_version) = (old.to_string(), newest.to_string());
            parts[6] = &old_version;
            let data_key = self.keys.of(rows, &self.scope, old)?.unwrap(&wrapped, &parts);
            parts[6] = &new_version;
            let again = data_key.ok().map(|data_key| key.wrap(&data_key, &parts)).transpose()?;
            let Some(again) = again else {
                (page_of.closed, page_of.last) = (page_of.closed + 1, id);
                continue;
            };
            // Whoever has stored new secrets meanwhile has sealed them under the newest key already.
            rows.execute(
                "UPDATE data_keys SET key_version = $4, wrapped = $5 \
                 WHERE org = $1 AND credential = $2 AND wrapped = $3",
                values![self.scope.id(), &id, &wrapped, newest, &again],
            )?;
            (page_of.done, page_of.last) = (page_of.done + 1, id);
        }
        Ok((!page_of.last.is_empty()).then_some(page_of))
    }

    /// Seals the secrets of credentials anew, each under a new data key, and puts them where new ones go. All of them
    /// count at once, with what `note` does first, and nothing is done where it says `false`.
    pub(crate) fn seal_anew(
        &self,
        ids: &[String],
        note: impl FnOnce(&mut dyn Rows) -> Result<bool, VaultError>,
    ) -> Result<Anew, VaultError> {
        let mut anew = Anew::default();
        let mut parcels = Parcels::new(self);
        for id in ids {
            let Some(stored) = self.by_id(id)? else { continue };
            match self.unsealed(&stored.metadata) {
                Err(VaultError::DoesNotOpen { .. }) => anew.closed += 1,
                // Whoever has stored new secrets meanwhile has sealed them anew already.
                Err(VaultError::Changed { .. }) => anew.done += 1,
                opened => parcels.add(self, id, self.sealed(&stored.metadata, &opened?.secrets)?)?,
            }
        }
        self.db.write(&self.scope, |rows| -> Result<(), VaultError> {
            if !note(rows)? {
                return Ok(());
            }
            for (id, parcel) in parcels.made {
                self.hold(rows, &id)?;
                let Some(stored) = self.row(rows, &id)? else { continue };
                match self.put_in(rows, &stored.metadata, parcel) {
                    Ok(()) | Err(VaultError::Changed { .. }) => anew.done += 1,
                    Err(failure) => return Err(failure),
                }
            }
            Ok(())
        })?;
        self.clear_all(ids);
        Ok(anew)
    }
}

/// What came of sealing anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Anew {
    /// So many are sealed anew.
    pub(crate) done: u64,
    /// So many do not open, and stay as they are.
    pub(crate) closed: u64,
}
