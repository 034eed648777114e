//! A master key that was replaced while this program runs: who asks for it, and how it is had.
//!
//! One that rests here is read by whoever needs it, who waits. One that comes over a network is never waited for, since a
//! transaction that does could hold up all others: it is announced before it comes into force, and looked for all the
//! time.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{KeyError, Keys, Master, WRAPPED_NEXT, current, place, setting};
use crate::server::db::{Database, Reach};
use crate::server::error::ServeError;
use crate::server::keeper::KeeperError;
use crate::vault::seal::Key;

/// A key over a network is looked for so often, so that one that is announced is held before it comes into force.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// So long is waited for a master key that rests here.
pub(super) const READING: Duration = Duration::from_secs(5);

/// What a key is announced by, and the key; none where that was none.
pub(super) type Coming = (String, Option<Arc<Key>>);

/// Where is asked for a master key that has come into force.
#[derive(Clone)]
pub(super) struct Asks {
    sender: UnboundedSender<Asked>,
    /// Whether it comes over a network: then nobody waits for it, whose transaction may hold up all others.
    is_far: bool,
}

/// Somebody who needs the master key that this proof is of.
pub(crate) struct Asked {
    proof: String,
    /// Whether they wait for it.
    reply: Option<SyncSender<()>>,
}

impl Keys {
    /// Those who find that the master key was replaced ask here. Whoever listens answers with [`Asked::answer`], or with
    /// [`Keys::attend`] where the key comes over a network, and nobody waits.
    pub(crate) fn asked(&self, is_far: bool) -> UnboundedReceiver<Asked> {
        let (sender, receiver) = unbounded_channel();
        *self.asks.lock().unwrap_or_else(PoisonError::into_inner) = Some(Asks { sender, is_far });
        receiver
    }

    /// Looks which master key is in force and which one is announced, and takes them over. Never within a transaction:
    /// the keeper may take its time.
    pub(crate) fn attend(&self, place: &Master<'_>) -> Result<(), ServeError> {
        let Master::Transit(transit, db) = place else { return Ok(()) };
        self.catch_up(db, place)?;
        let Some(next) = db.read(Reach::Server, |rows| setting(rows, WRAPPED_NEXT))? else { return Ok(()) };
        let is_seen = |(from, _): &Coming| *from == next;
        if self.coming().as_ref().is_some_and(is_seen) {
            return Ok(());
        }
        let key = match transit.unwrap(&next) {
            // Somebody has written something else there: it does not come into force.
            Err(KeeperError::Refused { .. } | KeeperError::Strange(_)) => None,
            key => Some(Arc::new(key?)),
        };
        *self.coming() = Some((next, key));
        Ok(())
    }

    /// Takes the master key over that is in force, if another one is held.
    pub(crate) fn catch_up(&self, db: &Database, place: &Master<'_>) -> Result<(), ServeError> {
        current(db, |proof| {
            if let Some(proof) = proof.filter(|proof| self.held_for(proof).is_none()) {
                self.keep(place.proven(&self.instance, proof)?);
                tracing::info!("the master key was replaced");
            }
            Ok(())
        })
    }

    /// The master key that a proof is of.
    pub(super) fn proven(&self, proof: &str) -> Result<Arc<Key>, KeyError> {
        if let Some(master) = self.held_for(proof) {
            return Ok(master);
        }
        let asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(KeyError::Replaced)?;
        let (reply, answer) = sync_channel(1);
        let asked = Asked { proof: proof.to_owned(), reply: (!asks.is_far).then_some(reply) };
        asks.sender.send(asked).map_err(|_| KeyError::Replaced)?;
        if asks.is_far {
            return Err(KeyError::Replaced);
        }
        answer.recv_timeout(READING).map_err(|_| KeyError::Replaced)?;
        self.held_for(proof).ok_or(KeyError::Replaced)
    }

    /// The master key that a proof is of, if it is held. One that was announced is in force then.
    pub(super) fn held_for(&self, proof: &str) -> Option<Arc<Key>> {
        let is_proven = |master: &Arc<Key>| place::is_proven(master, &self.instance, proof);
        if let Some(master) = self.held().into_iter().rev().find(is_proven) {
            return Some(master);
        }
        let coming = self.coming().as_ref().and_then(|(_, key)| key.clone()).filter(is_proven)?;
        tracing::info!("the master key was replaced");
        Some(self.hold(coming))
    }

    fn coming(&self) -> MutexGuard<'_, Option<Coming>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Whether somebody waits.
    pub(crate) fn waits(&self) -> bool {
        self.reply.is_some()
    }

    /// Reads the master key anew, where it rests, unless somebody else has had it read by now.
    pub(crate) fn answer(self, keys: &Keys, place: &Master<'_>) {
        if keys.held_for(&self.proof).is_none() {
            match place.proven(&keys.instance, &self.proof) {
                Ok(key) => {
                    keys.keep(key);
                    tracing::info!("the master key was replaced");
                }
                Err(failure) => tracing::error!(%failure, "the master key was replaced"),
            }
        }
        // Whoever asked may have given up.
        let _ = self.reply.map(|reply| reply.send(()));
    }
}
