//! Keys that `ssh-add` has handed over: held in locked memory, for as long as was said, and nowhere else.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::pbkdf2;

use super::wire::{Constraints, comment_and_constraints};
use crate::agent::held;
use crate::os::clock::Clock;
use crate::os::locked::Locked;
use crate::provider::ssh_key::Signer;

/// So many keys are held at most.
const MOST: usize = 64;
/// How often the passphrase of a lock is stretched.
const ROUNDS: std::num::NonZeroU32 = std::num::NonZeroU32::MIN.saturating_add(99_999);
/// How long a wrong passphrase is answered late.
const PENALTY: Duration = Duration::from_millis(500);

/// A key that was handed over.
struct Added {
    public: Vec<u8>,
    comment: String,
    /// In the form in which it came.
    private: Locked,
    confirm: bool,
    /// Until when it is held, by the clock of the keys.
    until: Option<Duration>,
}

/// The keys, and whether `ssh-add -x` has locked the SSH agent.
pub(in crate::agent) struct Keys {
    clock: Clock,
    added: Mutex<Vec<Added>>,
    lock: Mutex<Option<Stretched>>,
}

/// A passphrase, stretched.
struct Stretched {
    salt: [u8; 16],
    key: [u8; 32],
}

/// What is known of a key that was handed over.
pub(super) struct Identity {
    /// The public key.
    pub(super) public: Vec<u8>,
    /// Its comment.
    pub(super) comment: String,
    /// Whether a person is to be asked before it is used.
    pub(super) confirm: bool,
}

impl Added {
    fn identity(&self) -> Identity {
        Identity { public: self.public.clone(), comment: self.comment.clone(), confirm: self.confirm }
    }
}

impl Keys {
    /// None yet.
    pub(in crate::agent) fn new(clock: Clock) -> Self {
        Self { clock, added: Mutex::default(), lock: Mutex::default() }
    }

    /// Those whose time is not over; the others are forgotten.
    fn current(&self) -> MutexGuard<'_, Vec<Added>> {
        let mut added = held(&self.added);
        let now = (self.clock)();
        added.retain(|key| key.until.is_none_or(|until| until > now));
        added
    }

    /// Forgets those whose time is over, and tells in how long the next one's is; `None` where no time ends.
    pub(in crate::agent) fn forget_old(&self) -> Option<Duration> {
        let until = self.current().iter().filter_map(|key| key.until).min()?;
        Some(until.saturating_sub((self.clock)()))
    }

    /// How many there are.
    pub(in crate::agent) fn count(&self) -> usize {
        self.current().len()
    }

    /// Forgets all of them.
    pub(in crate::agent) fn clear(&self) {
        held(&self.added).clear();
    }

    /// What is known of them.
    pub(super) fn list(&self) -> Vec<Identity> {
        self.current().iter().map(Added::identity).collect()
    }

    /// What is known of one of them.
    pub(super) fn get(&self, public: &[u8]) -> Option<Identity> {
        self.current().iter().find(|key| key.public == public).map(Added::identity)
    }

    /// The key, opened for one signature.
    pub(super) fn signer(&self, public: &[u8]) -> Option<Signer> {
        let added = self.current();
        let key = added.iter().find(|key| key.public == public)?;
        Signer::of_agent(key.private.bytes()).map(|(signer, _)| signer)
    }

    /// Takes a key, in the form of the protocol; `false` where it is not taken. One that is here already gets the new
    /// constraints.
    pub(super) fn add(&self, key: &[u8], constrained: bool) -> bool {
        let taken = || {
            let (signer, rest) = Signer::of_agent(key)?;
            let own = key.get(..key.len() - rest.len())?;
            let (comment, Constraints { lifetime, confirm }) = comment_and_constraints(rest, constrained)?;
            let until = match lifetime {
                Some(lifetime) => Some((self.clock)().checked_add(lifetime)?),
                None => None,
            };
            Some(Added { public: signer.public()?, comment, private: Locked::of(own)?, confirm, until })
        };
        let Some(new) = taken() else { return false };
        let mut added = self.current();
        added.retain(|key| key.public != new.public);
        if added.len() >= MOST {
            return false;
        }
        added.push(new);
        true
    }

    /// Forgets a key; `false` where it is not here.
    pub(super) fn remove(&self, public: &[u8]) -> bool {
        let mut added = self.current();
        let before = added.len();
        added.retain(|key| key.public != public);
        added.len() < before
    }

    /// Whether nothing is done until the passphrase is given.
    pub(super) fn is_locked(&self) -> bool {
        held(&self.lock).is_some()
    }

    /// Does nothing more until the same passphrase is given; `false` where that is so already.
    pub(super) fn lock(&self, passphrase: &[u8]) -> bool {
        let mut lock = held(&self.lock);
        let mut salt = [0; 16];
        if lock.is_some() || getrandom::fill(&mut salt).is_err() {
            return false;
        }
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &salt, passphrase, &mut key);
        *lock = Some(Stretched { salt, key });
        true
    }

    /// Goes on; `false` where the passphrase is another one. Wrong ones are answered late, and one after the other.
    pub(super) fn unlock(&self, passphrase: &[u8]) -> bool {
        let mut lock = held(&self.lock);
        let fits = lock.as_ref().is_some_and(|Stretched { salt, key }| {
            pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, passphrase, key).is_ok()
        });
        if fits {
            *lock = None;
        } else {
            std::thread::sleep(PENALTY);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    static SECONDS: AtomicU64 = AtomicU64::new(1000);

    fn clock() -> Duration {
        Duration::from_secs(SECONDS.load(Ordering::SeqCst))
    }

    /// An Ed25519 key as `ssh-add` hands it over, and what it is held with.
    fn handed_over(seed: u8, constraints: &[u8]) -> Vec<u8> {
        let pair = ssh_key::private::Ed25519Keypair::from_seed(&[seed; 32]);
        let public: &[u8] = pair.public.as_ref();
        let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let private = [[seed; 32].as_slice(), public].concat();
        [&string(b"ssh-ed25519")[..], &string(public), &string(&private), &string(b"me"), constraints].concat()
    }

    #[test]
    fn a_key_is_held_for_its_time_and_wiped_without_being_asked_for() {
        let keys = Keys::new(clock);
        assert!(keys.add(&handed_over(1, &[]), false) && keys.add(&handed_over(2, &[1, 0, 0, 0, 60]), true));
        assert_eq!(keys.forget_old(), Some(Duration::from_mins(1)));
        SECONDS.fetch_add(59, Ordering::SeqCst);
        assert_eq!((keys.forget_old(), keys.count()), (Some(Duration::from_secs(1)), 2));
        SECONDS.fetch_add(1, Ordering::SeqCst);
        assert_eq!(keys.forget_old(), None);
        assert_eq!(held(&keys.added).len(), 1, "it is gone, not merely hidden");
    }
}
