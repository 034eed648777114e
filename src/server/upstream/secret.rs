//! The secret of the server's client at an issuer: sealed, apart from what is known of the issuer, in the database or in
//! the keeper of secrets, as with those of credentials. It is laid down before the transaction that has it count.

use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::server::db::{Closed, Database, DbError, OrgScope, Reach, Row, Rows, values};
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

/// The key that secrets are sealed under is made of one of the server's own for this.
const PURPOSE: &str = "upstreams";

/// A secret that is to rest somewhere.
pub(super) struct Rest {
    at: At,
    bound: Bound,
}

/// Where it is to rest.
enum At {
    /// Sealed, on its way into the database.
    Here(Vec<u8>),
    /// In the keeper, at this address.
    There(String),
}

/// What a sealed secret is bound to besides its issuer: the mark that stands with that, and the version of the server's own
/// key. One without a mark is of an earlier version, which bound it to the issuer alone.
#[derive(Clone, PartialEq)]
struct Bound {
    mark: String,
    version: i64,
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
    Here(Vec<u8>, Bound),
    There(String, Bound),
}

/// A sealed secret, where it rests, and what opens it.
struct Resting {
    from: Found,
    sealed: Vec<u8>,
    bound: Bound,
    /// None where there is no such version of the server's own key.
    key: Option<Key>,
}

impl Resting {
    fn opened(&self, upstream: &Upstream) -> Option<Zeroizing<Vec<u8>>> {
        self.key.as_ref()?.open(&self.sealed, &place(upstream, &self.bound.mark, &self.bound.version.to_string())).ok()
    }
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
            Some(secret) => Ok(Next::Is(self.fresh(upstream, secret.expose().as_bytes())?)),
        }
    }

    /// Seals a secret under the key in force, and lays it down.
    fn fresh(&self, upstream: &Upstream, secret: &[u8]) -> Result<Rest, VaultError> {
        let (version, own) = self.db.read(Reach::Server, |rows| self.keys.own(rows))?;
        let bound = Bound { mark: random::base62(20)?.to_string(), version };
        let key = own.derived(PURPOSE).ok_or(KeyError::None)?;
        let sealed = key.seal(secret, &place(upstream, &bound.mark, &version.to_string()))?;
        Ok(Rest { at: self.laid(&upstream.scope, &upstream.id, sealed)?, bound })
    }

    /// Lays a sealed secret down where new ones go. Never within a transaction: the keeper may take its time.
    fn laid(&self, scope: &OrgScope, id: &str, sealed: Vec<u8>) -> Result<At, VaultError> {
        let Some(kv) = self.engine.outside() else { return Ok(At::Here(sealed)) };
        let held = Held::from([(FIELD.to_owned(), sealed)]);
        let folder = format!("{}/{}/{id}/client", self.keys.instance(), scope.id());
        let address = Kv::address(&folder, &random::base62(20)?, &held)?;
        Engine::lay(kv, self.db, (scope, id), &address, &held, now())?;
        Ok(At::There(address))
    }

    /// The secret of an issuer. Never within a transaction.
    pub(super) fn open(&self, upstream: &Upstream) -> Result<Option<Secret>, VaultError> {
        if !upstream.has_secret() {
            return Ok(None);
        }
        let closed = || VaultError::DoesNotOpen { name: upstream.name.clone() };
        let plain = self.sealed(&upstream.scope, &upstream.id)?.and_then(|sealed| sealed.opened(upstream));
        let plain = plain.ok_or_else(closed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| closed())?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// What rests of an issuer, with where; `None` where nothing does, or the keeper has lost it.
    fn sealed(&self, scope: &OrgScope, id: &str) -> Result<Option<Resting>, VaultError> {
        // The key with the row that it is for: it goes once nothing rests under it.
        let look = || {
            self.db.read(Reach::Secrets(scope), |rows| -> Result<_, KeyError> {
                let found = found(rows, scope, id)?;
                let key = match &found {
                    Found::None => None,
                    Found::Here(_, bound) | Found::There(_, bound) => {
                        match self.keys.derived_of(rows, bound.version, PURPOSE) {
                            Err(KeyError::None) => None,
                            key => Some(key?),
                        }
                    }
                };
                Ok((found, key))
            })
        };
        let (mut here, mut key) = look()?;
        for _ in 0..LOOKS {
            let (address, bound) = match here {
                Found::None => return Ok(None),
                Found::Here(sealed, bound) => {
                    let from = Found::Here(sealed.clone(), bound.clone());
                    return Ok(Some(Resting { from, sealed, bound, key }));
                }
                Found::There(address, bound) => (address, bound),
            };
            let held = match self.engine.kv().ok_or(KeeperError::None)?.get(&address) {
                // Somebody has written another name of a place into the row.
                Err(KeeperError::Address) => None,
                held => held?,
            };
            let there = Found::There(address, bound.clone());
            if let Some(sealed) = held.and_then(|mut held| held.remove(FIELD)) {
                return Ok(Some(Resting { from: there, sealed, bound, key }));
            }
            // It may have been put elsewhere since it was looked for.
            (here, key) = look()?;
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
            let Some(Resting { from, sealed, bound, .. }) = self.sealed(scope, &id)? else {
                lost += 1;
                continue;
            };
            let rest = Rest { at: self.laid(scope, &id, sealed)?, bound };
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

    /// Seals those anew that rest under an older key than a version. Gives how many were, and how many do not open. `noted`
    /// says within the transaction of each whether it is still to be done.
    pub(crate) fn seal_anew(
        &self,
        version: i64,
        noted: impl Fn(&mut dyn Rows) -> Result<bool, DbError>,
    ) -> Result<(u64, u64), VaultError> {
        let older = "SELECT org, upstream FROM upstream_secrets WHERE COALESCE(key_version, 0) < $1 UNION \
                     SELECT org, upstream FROM kept_upstream_secrets WHERE COALESCE(key_version, 0) < $1 \
                     ORDER BY org, upstream";
        let older = self.db.read(Reach::Server, |rows| {
            rows.open(Closed::Secrets)?;
            rows.query(older, values![version])
        })?;
        let (mut done, mut closed) = (0, 0);
        for mut row in older {
            let (scope, id) = (OrgScope::of(row.text(0)?), row.text(1)?);
            let Some(upstream) = self.db.read(&scope, |rows| Upstream::one(rows, &scope, &id))? else { continue };
            let sealed = self.sealed(&scope, &id)?;
            let opened = sealed.as_ref().and_then(|sealed| sealed.opened(&upstream));
            let (Some(Resting { from, .. }), Some(secret)) = (sealed, opened) else {
                closed += 1;
                continue;
            };
            let rest = self.fresh(&upstream, &secret)?;
            done += self.db.write(&scope, |rows| -> Result<u64, VaultError> {
                self.keys.own_to_seal(rows)?;
                hold(rows, &scope, &id)?;
                // Whoever has changed it meanwhile has sealed the new one under the key in force.
                if !noted(rows)? || found(rows, &scope, &id)? != from {
                    return Ok(0);
                }
                put(rows, &scope, &id, rest)?;
                Ok(1)
            })?;
            self.engine.clear(self.db, &scope, &id);
        }
        Ok((done, closed))
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
    pub(super) fn carry_out(self, rows: &mut dyn Rows, keys: &Keys, upstream: &Upstream) -> Result<(), VaultError> {
        match self {
            Self::Stays => Ok(()),
            Self::Goes => Ok(take_out(rows, &upstream.scope, &upstream.id)?),
            // Where the key was replaced since it was sealed, it is to be sealed again.
            Self::Is(rest) if keys.own_to_seal(rows)?.0 != rest.bound.version => Err(DbError::Busy.into()),
            Self::Is(rest) => put(rows, &upstream.scope, &upstream.id, rest),
        }
    }
}

fn put(rows: &mut dyn Rows, scope: &OrgScope, id: &str, rest: Rest) -> Result<(), VaultError> {
    take_out(rows, scope, id)?;
    let Rest { at, bound: Bound { mark, version } } = rest;
    match at {
        At::Here(sealed) => {
            let keep = "INSERT INTO upstream_secrets (org, upstream, sealed, key_version) VALUES ($1, $2, $3, $4)";
            rows.execute(keep, values![scope.id(), id, &sealed, version])?;
        }
        At::There(address) => {
            engine::take(rows, &address)?;
            let keep =
                "INSERT INTO kept_upstream_secrets (org, upstream, address, key_version) VALUES ($1, $2, $3, $4)";
            rows.execute(keep, values![scope.id(), id, &address, version])?;
        }
    }
    let note = "UPDATE upstreams SET secret_mark = $3 WHERE org = $1 AND id = $2";
    rows.execute(note, values![scope.id(), id, &mark])?;
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
    let bound = |row: &mut Row| Ok::<_, DbError>(Bound { mark: row.text(1)?, version: row.int(2)? });
    let there = "SELECT s.address, u.secret_mark, COALESCE(s.key_version, 0) FROM kept_upstream_secrets s \
                 JOIN upstreams u ON u.org = s.org AND u.id = s.upstream WHERE s.org = $1 AND s.upstream = $2";
    if let Some(mut row) = rows.first(there, whose)? {
        return Ok(Found::There(row.text(0)?, bound(&mut row)?));
    }
    let here = "SELECT s.sealed, u.secret_mark, COALESCE(s.key_version, 0) FROM upstream_secrets s \
                JOIN upstreams u ON u.org = s.org AND u.id = s.upstream WHERE s.org = $1 AND s.upstream = $2";
    let Some(mut row) = rows.first(here, whose)? else { return Ok(Found::None) };
    Ok(Found::Here(row.bytes(0)?, bound(&mut row)?))
}

/// What a secret is bound to: it opens for this issuer alone, and as the last one that was sealed for it.
fn place<'p>(upstream: &'p Upstream, mark: &'p str, version: &'p str) -> Vec<&'p str> {
    let mut parts = vec![FORM, "upstream", upstream.scope.id(), &upstream.id, &upstream.issuer];
    if !mark.is_empty() {
        parts.extend([mark, version]);
    }
    parts
}
