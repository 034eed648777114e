//! The secret of the server's client at an issuer: sealed, apart from what is known of the issuer, in the database or in
//! the keeper of secrets, as with those of credentials. It is laid down before the transaction that has it count.

use crate::secret::Secret;
use crate::server::db::{Closed, Database, DbError, OrgScope, Reach, Rows, values};
use crate::server::engine::{self, Engine, Owner};
use crate::server::keeper::{Held, KeeperError, Kv};
use crate::server::keys::{FORM, KeyError, Keys};
use crate::server::random;
use crate::server::state::now;
use crate::vault::VaultError;
use crate::vault::seal::Key;

use super::Upstream;

/// What it is called where it rests in the keeper.
const FIELD: &str = "client_secret";
/// So often is looked again for one that is put elsewhere while it is fetched.
const LOOKS: usize = 4;

/// A secret that is to rest somewhere.
pub(super) enum Rest {
    /// Sealed, on its way into the database.
    Here(Vec<u8>),
    /// In the keeper, at this address.
    There(String),
}

/// What a change of an issuer makes of the secret.
pub(super) enum Next {
    /// It stays as it is.
    Stays,
    /// There is none any more.
    Goes,
    /// Another one takes its place.
    Is(Rest),
}

/// What rests of an issuer, in the database.
#[derive(PartialEq)]
enum Found {
    None,
    Here(Vec<u8>),
    There(String),
}

/// What a secret works with.
#[derive(Clone, Copy)]
pub(crate) struct Shelf<'s> {
    pub(crate) db: &'s Database,
    pub(crate) keys: &'s Keys,
    pub(crate) engine: &'s Engine,
}

impl Shelf<'_> {
    /// What becomes of the secret of an issuer that is written: a new one is laid down, an empty one takes it away, and
    /// where none is given, the one of before stays if it is for the same issuer: it goes to no other.
    pub(super) fn next(
        &self,
        upstream: &Upstream,
        given: Option<&Secret>,
        before: Option<&Upstream>,
    ) -> Result<Next, VaultError> {
        match given {
            None if before.is_some_and(|before| before.issuer == upstream.issuer) => Ok(Next::Stays),
            None => Ok(Next::Goes),
            Some(secret) if secret.expose().is_empty() => Ok(Next::Goes),
            Some(secret) => {
                let sealed = sealing(self.keys)?.seal(secret.expose().as_bytes(), &place(upstream))?;
                Ok(Next::Is(self.laid(&upstream.scope, &upstream.id, sealed)?))
            }
        }
    }

    /// Lays a sealed secret down where new ones go. Never within a transaction: the keeper may take its time.
    fn laid(&self, scope: &OrgScope, id: &str, sealed: Vec<u8>) -> Result<Rest, VaultError> {
        let Some(kv) = self.engine.outside() else { return Ok(Rest::Here(sealed)) };
        let held = Held::from([(FIELD.to_owned(), sealed)]);
        let folder = format!("{}/{}/{id}/client", self.keys.instance(), scope.id());
        let address = Kv::address(&folder, &random::base62(20)?, &held)?;
        Engine::lay(kv, self.db, (scope, id), &address, &held, now())?;
        Ok(Rest::There(address))
    }

    /// The secret of an issuer. Never within a transaction.
    pub(super) fn open(&self, upstream: &Upstream) -> Result<Option<Secret>, VaultError> {
        if !upstream.has_secret() {
            return Ok(None);
        }
        let closed = || VaultError::DoesNotOpen { name: upstream.name.clone() };
        let sealed = self.sealed(&upstream.scope, &upstream.id)?.ok_or_else(closed)?.1;
        let plain = sealing(self.keys)?.open(&sealed, &place(upstream)).map_err(|_| closed())?;
        let text = std::str::from_utf8(&plain).map_err(|_| closed())?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// What rests of an issuer, with where; `None` where nothing does, or the keeper has lost it.
    fn sealed(&self, scope: &OrgScope, id: &str) -> Result<Option<(Found, Vec<u8>)>, VaultError> {
        let look = || self.db.read(Reach::Secrets(scope), |rows| found(rows, scope, id));
        let mut here = look()?;
        for _ in 0..LOOKS {
            let address = match here {
                Found::None => return Ok(None),
                Found::Here(sealed) => return Ok(Some((Found::Here(sealed.clone()), sealed))),
                Found::There(address) => address,
            };
            let held = match self.engine.kv().ok_or(KeeperError::None)?.get(&address) {
                // Somebody has written another name of a place into the row.
                Err(KeeperError::Address) => None,
                held => held?,
            };
            let there = Found::There(address);
            if let Some(sealed) = held.and_then(|mut held| held.remove(FIELD)) {
                return Ok(Some((there, sealed)));
            }
            // It may have been put elsewhere since it was looked for.
            here = look()?;
            if here == there {
                break;
            }
        }
        Ok(None)
    }

    /// Moves the secrets of an organization's issuers to where new ones go. Gives how many were moved, and how many are
    /// lost.
    pub(crate) fn move_all(&self, scope: &OrgScope) -> Result<(u64, u64), VaultError> {
        let elsewhere = match self.engine.outside() {
            Some(_) => "SELECT upstream FROM upstream_secrets WHERE org = $1 ORDER BY upstream",
            None => "SELECT upstream FROM kept_upstream_secrets WHERE org = $1 ORDER BY upstream",
        };
        let (mut moved, mut lost) = (0, 0);
        for mut row in self.db.read(Reach::Secrets(scope), |rows| rows.query(elsewhere, values![scope.id()]))? {
            let id = row.text(0)?;
            let Some((from, sealed)) = self.sealed(scope, &id)? else {
                lost += 1;
                continue;
            };
            let rest = self.laid(scope, &id, sealed)?;
            self.db.write(scope, |rows| -> Result<(), VaultError> {
                hold(rows, scope, &id)?;
                // Whoever has changed it meanwhile has put the new one where new ones go.
                if found(rows, scope, &id)? == from {
                    put(rows, scope, &id, rest)?;
                }
                Ok(())
            })?;
            self.engine.clear(self.db, scope, &id);
            moved += 1;
        }
        Ok((moved, lost))
    }
}

impl Next {
    /// Whether there is a secret from now on.
    pub(super) fn is_one(&self, before: Option<&Upstream>) -> bool {
        match self {
            Self::Stays => before.is_some_and(Upstream::has_secret),
            Self::Goes => false,
            Self::Is(_) => true,
        }
    }

    /// Has it count, with the row of the issuer.
    pub(super) fn carry_out(self, rows: &mut dyn Rows, upstream: &Upstream) -> Result<(), VaultError> {
        match self {
            Self::Stays => Ok(()),
            Self::Goes => Ok(take_out(rows, &upstream.scope, &upstream.id)?),
            Self::Is(rest) => put(rows, &upstream.scope, &upstream.id, rest),
        }
    }
}

fn put(rows: &mut dyn Rows, scope: &OrgScope, id: &str, rest: Rest) -> Result<(), VaultError> {
    take_out(rows, scope, id)?;
    match rest {
        Rest::Here(sealed) => {
            let keep = "INSERT INTO upstream_secrets (org, upstream, sealed) VALUES ($1, $2, $3)";
            rows.execute(keep, values![scope.id(), id, &sealed])?;
        }
        Rest::There(address) => {
            engine::take(rows, &address)?;
            let keep = "INSERT INTO kept_upstream_secrets (org, upstream, address) VALUES ($1, $2, $3)";
            rows.execute(keep, values![scope.id(), id, &address])?;
        }
    }
    Ok(())
}

/// Takes the secret of an issuer away. What rests of it in the keeper is destroyed then.
pub(super) fn take_out(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<(), DbError> {
    rows.open(Closed::Secrets)?;
    let whose = values![scope.id(), id];
    rows.execute("DELETE FROM upstream_secrets WHERE org = $1 AND upstream = $2", whose)?;
    engine::vacate(rows, scope, Owner::Upstream, Some(id))
}

/// Holds an issuer until the transaction ends.
fn hold(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<(), DbError> {
    let hold = "UPDATE upstreams SET revision = revision WHERE org = $1 AND id = $2";
    rows.execute(hold, values![scope.id(), id]).map(|_| ())
}

fn found(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<Found, DbError> {
    rows.open(Closed::Secrets)?;
    let whose = values![scope.id(), id];
    let there = "SELECT address FROM kept_upstream_secrets WHERE org = $1 AND upstream = $2";
    if let Some(mut row) = rows.first(there, whose)? {
        return Ok(Found::There(row.text(0)?));
    }
    let here = "SELECT sealed FROM upstream_secrets WHERE org = $1 AND upstream = $2";
    Ok(rows.first(here, whose)?.map(|mut row| row.bytes(0)).transpose()?.map_or(Found::None, Found::Here))
}

/// What a secret is bound to: it opens for this issuer alone.
fn place(upstream: &Upstream) -> [&str; 5] {
    [FORM, "upstream", upstream.scope.id(), &upstream.id, &upstream.issuer]
}

fn sealing(keys: &Keys) -> Result<Key, KeyError> {
    keys.derived("upstreams").ok_or(KeyError::None)
}
