//! The SSH agent: signs with the keys of the vault, and with those that `ssh-add` hands over (RFC 9987).
//!
//! Keys of the vault are listed always, since public keys are public; they sign while the agent is unlocked. A key is
//! opened for one signature. Whatever is not understood is answered by `SSH_AGENT_FAILURE`, and the connection stays.

use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::door::Door;
use super::line::{Frame, Line};
use super::peer;
use super::state::State;
use crate::provider::ssh_key::{fingerprint, is_signed};
use crate::vault::Vault;
use wire::{Bind, EXTENSION_FAILURE, FAILURE, Message, SUCCESS, bare};

mod added;
mod confirm;
mod stored;
mod wire;

use added::Identity;
pub(super) use added::Keys;

/// The longest message, as in OpenSSH.
const LONGEST: usize = 256 << 10;
/// So many connections are served at the same time; each session with a forwarded agent holds one.
const MOST: usize = 128;
/// A message that has begun comes at once, and its answer is taken at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// A connection is forwarded through no more servers than this, as in OpenSSH.
const MOST_BOUND: usize = 16;

/// Serves ssh for as long as the process runs.
pub(super) fn listen(state: &Arc<State>, listener: &UnixListener) {
    let served = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: others are given up soon.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if served.load(Ordering::Relaxed) >= MOST {
            continue;
        }
        let place = Served::new(&served);
        let state = Arc::clone(state);
        // Where no thread can be had, the connection is closed. A panic ends one connection.
        let _ = std::thread::Builder::new().name("ssh".into()).spawn(move || {
            serve(&state, stream);
            drop(place);
        });
    }
}

/// A connection that is served, as long as this lives.
struct Served(Arc<AtomicUsize>);

impl Served {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
fn serve(state: &State, stream: UnixStream) {
    let mut line = Line::of(stream.into(), LONGEST);
    if !peer::is_own(line.socket()) {
        return;
    }
    let clock = || state.env.now();
    let mut session = Session { state, door: Door::new(state, &clock), bound: Vec::new() };
    while line.begins().is_ok() {
        let answer = match line.receive(Instant::now() + PATIENCE) {
            Ok(Frame::Whole(message)) => session.answer(&message),
            Ok(Frame::TooLong) => bare(FAILURE),
            Ok(Frame::End) | Err(_) => return,
        };
        if line.send(&answer, Instant::now() + PATIENCE).is_err() {
            return;
        }
    }
}

/// A connection, and the sessions with servers that it belongs to.
struct Session<'s> {
    state: &'s State,
    door: Door<'s>,
    bound: Vec<Bound>,
}

/// A session with a server.
struct Bound {
    id: Vec<u8>,
    /// The fingerprint of the server's host key.
    host: String,
    forwarded: bool,
}

impl Session<'_> {
    fn answer(&mut self, message: &[u8]) -> Zeroizing<Vec<u8>> {
        self.state.note_asked();
        let keys = &self.state.ssh_keys;
        let done = |done: bool| bare(if done { SUCCESS } else { FAILURE });
        let Some(message) = Message::read(message) else { return bare(FAILURE) };
        if keys.is_locked() {
            return match message {
                Message::Unlock(passphrase) => done(keys.unlock(passphrase)),
                Message::List => wire::identities(std::iter::empty()),
                _ => bare(FAILURE),
            };
        }
        match message {
            Message::List => self.list(),
            Message::Sign { key, data, flags } => {
                self.sign(key, data, flags).map_or_else(|| bare(FAILURE), |signature| wire::signature(&signature))
            }
            Message::Add { key, constrained } => {
                let added = keys.add(key, constrained);
                // Its time may end before that of all others.
                self.state.look();
                done(added)
            }
            Message::Remove(key) => done(keys.remove(key)),
            Message::RemoveAll => {
                keys.clear();
                bare(SUCCESS)
            }
            Message::Lock(passphrase) => done(keys.lock(passphrase)),
            Message::Unlock(_) => bare(FAILURE),
            Message::Bind(bind) => done(self.bind(&bind)),
            Message::Query => wire::extensions(),
            Message::Extension => bare(EXTENSION_FAILURE),
        }
    }

    /// The public keys of the vault, then those that were handed over.
    fn list(&mut self) -> Zeroizing<Vec<u8>> {
        let stored = stored::all(self.door.closed());
        let mut added = self.state.ssh_keys.list();
        added.retain(|key| stored.iter().all(|other| other.public != key.public));
        let all: Vec<(&[u8], &str)> = stored
            .iter()
            .map(|key| (key.public.as_slice(), key.comment()))
            .chain(added.iter().map(|key| (key.public.as_slice(), key.comment.as_str())))
            .collect();
        wire::identities(all.into_iter())
    }

    /// A signature, where the key is here, opens, and a person agrees who is to be asked.
    fn sign(&mut self, public: &[u8], data: &[u8], flags: u32) -> Option<Vec<u8>> {
        if let Some(key) = self.state.ssh_keys.get(public) {
            return self.sign_with_added(&key, public, data, flags);
        }
        let stored = stored::all(self.door.closed()).into_iter().find(|key| key.public == public)?;
        // Nobody is asked about a key that cannot be used.
        self.state.key()?;
        if stored.confirm && !self.agreed(public, stored.comment()) {
            return None;
        }
        // Looked for again: it may have been changed or removed while a person was asked.
        let env = &self.state.env;
        let signature = self.door.opened(|vault| {
            let now = stored::all(vault).into_iter().find(|key| key.metadata.id == stored.metadata.id)?;
            let may = now.public == public && (stored.confirm || !now.confirm);
            let signer = if may { now.signer(vault, env)? } else { return None };
            signer.public().is_some_and(|own| own == public).then_some(())?;
            signer.sign(data, flags)
        })??;
        // When it was last used is worth no failure.
        let _ = self.door.closed().note_use(&stored.metadata, env.now());
        Some(signature)
    }

    /// A signature with a key that was handed over. While a person was asked it may have been taken back, or its time
    /// may have ended.
    fn sign_with_added(&self, key: &Identity, public: &[u8], data: &[u8], flags: u32) -> Option<Vec<u8>> {
        if key.confirm && !self.agreed(public, &key.comment) {
            return None;
        }
        let now = self.state.ssh_keys.get(public)?;
        let may = key.confirm || !now.confirm;
        if may { self.state.ssh_keys.signer(public)?.sign(data, flags) } else { None }
    }

    /// Whether a person agrees that a key is used.
    fn agreed(&self, public: &[u8], comment: &str) -> bool {
        let key = fingerprint(public).unwrap_or_default();
        let mut question = format!("Allow use of key {}?\nKey fingerprint {key}.", crate::text::clean(comment));
        for bound in &self.bound {
            let way = if bound.forwarded { "Forwarded through" } else { "To sign in to" };
            question = format!("{question}\n{way} the server with host key {}.", bound.host);
        }
        // Whoever locks the agent meanwhile has the last word.
        confirm::ask(&self.state.env, &question) && !self.state.ssh_keys.is_locked()
    }

    /// Notes that the connection belongs to a session with a server, which its host key has signed.
    fn bind(&mut self, bind: &Bind<'_>) -> bool {
        if !is_signed(bind.host, bind.session, bind.signature) {
            return false;
        }
        let Some(host) = fingerprint(bind.host) else { return false };
        if self.bound.iter().any(|bound| bound.id == bind.session && bound.host == host) {
            // The same again, as when a session gets new keys.
            return true;
        }
        // What is used to sign in somewhere is not forwarded from there.
        if self.bound.len() >= MOST_BOUND || self.bound.iter().any(|bound| !bound.forwarded) {
            return false;
        }
        self.bound.push(Bound { id: bind.session.to_vec(), host, forwarded: bind.forwarded });
        true
    }
}
