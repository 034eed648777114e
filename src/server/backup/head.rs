//! What stands readable at the head of a backup, and whom the backup opens for.
//!
//! A backup is a file as [age](https://age-encryption.org/v1) writes it: for an X25519 identity that is made of the master
//! key, and for whoever else was named. Its head has a stanza of our own beside theirs, which other programs pass over:
//! whose backup it is, and what it takes to come by the master key, whatever that is wrapped in. Nobody changes the stanza
//! without that key.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;
use std::str::FromStr as _;

use age::x25519;
use age_core::format::{FileKey, Stanza};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::rand::SystemRandom;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bech32::{Bech32, Hrp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{bad, newer};
use crate::server::db::Rows;
use crate::server::error::ServeError;
use crate::server::keys::{KeyError, Keys, WRAPPED, WRAPPED_NEXT, recipe_in_force, setting};
use crate::vault::seal::Key;

/// What our stanza is called.
const NAME: &str = "lanyard-server-backup";
/// The version of what is in it, and in the file.
const VERSION: &str = "1";
/// What begins every file of this format.
pub(super) const MARK: &[u8] = b"age-encryption.org/";
/// So many others may be named.
const MOST: usize = 20;

/// Our stanza. What it takes to come by a master key that rests in yet another way has a line of its own here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) instance: String,
    /// The master key where a key of the keeper wraps it, and the one that was to take its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) masters: Vec<String>,
    /// What the master key is made by, where it is made of a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) passphrase: Option<String>,
    /// What the master key makes of all else here: by this it is known.
    code: String,
}

impl Head {
    /// That of a backup which is begun.
    fn of(master: &Key, instance: &str, masters: Vec<String>, passphrase: Option<String>) -> Option<Self> {
        let mut head = Self { instance: instance.to_owned(), masters, passphrase, code: String::new() };
        head.code = head.made_of(&of_backups(master)?)?;
        Some(head)
    }

    /// What opens the backup, if this is the master key that it is of.
    pub(super) fn opener(&self, master: &Key) -> Option<Opener> {
        let key = of_backups(master)?;
        let is_ours = bool::from(self.made_of(&key)?.as_bytes().ct_eq(self.code.as_bytes()));
        if is_ours { Opener::of(key, self) } else { None }
    }

    /// What a key makes of all but the code.
    fn made_of(&self, key: &Key) -> Option<String> {
        let rest = serde_json::to_string(&Self { code: String::new(), ..self.clone() }).ok()?;
        Some(STANDARD.encode(key.code(&[b"head", rest.as_bytes()])))
    }

    /// Reads it from the beginning of a file.
    pub(super) fn read(path: &Path, file: impl BufRead) -> Result<Self, ServeError> {
        let looking = Looking::default();
        let read = age::Decryptor::new_buffered(file).and_then(|file| file.decrypt(std::iter::once(&looking as _)));
        match (read, looking.0.into_inner()) {
            // Whoever looks alone opens nothing.
            (Err(age::DecryptError::NoMatchingKeys), Some(Ok(found))) => Ok(found),
            (Err(age::DecryptError::NoMatchingKeys), Some(Err(Unusable::Newer))) => Err(newer(path)),
            (Err(age::DecryptError::NoMatchingKeys), None) => Err(bad(path, "it is no backup of a server")),
            _ => Err(bad(path, "it is damaged")),
        }
    }

    /// The one among stanzas; `None` where there is none.
    fn among(stanzas: &[Stanza]) -> Option<Result<Self, Unusable>> {
        let mut ours = stanzas.iter().filter(|stanza| stanza.tag == NAME);
        let (first, second) = (ours.next()?, ours.next());
        Some(match first.args.as_slice() {
            [version] if version != VERSION => Err(Unusable::Newer),
            [_] if second.is_none() => serde_json::from_slice(&first.body).map_err(|_| Unusable::Damaged),
            _ => Err(Unusable::Damaged),
        })
    }
}

/// Why our stanza tells nothing.
#[derive(Debug, PartialEq, Eq)]
enum Unusable {
    Newer,
    Damaged,
}

/// The key that a master key has for backups.
fn of_backups(master: &Key) -> Option<Key> {
    master.derived("server-backup")
}

/// What the master key has for one backup.
pub(super) struct Opener {
    key: Key,
    identity: x25519::Identity,
    head: Head,
}

impl Opener {
    /// For a backup that is begun.
    pub(super) fn begin(keys: &Keys, rows: &mut dyn Rows) -> Result<Self, ServeError> {
        let master = keys.master(rows)?;
        let masters = [setting(rows, WRAPPED)?, setting(rows, WRAPPED_NEXT)?].into_iter().flatten().collect();
        let head = Head::of(&master, keys.instance(), masters, recipe_in_force(rows)?);
        Ok(head.and_then(|head| head.opener(&master)).ok_or(KeyError::None)?)
    }

    fn of(key: Key, head: &Head) -> Option<Self> {
        let bytes = Zeroizing::new(key.code(&[b"identity", head.instance.as_bytes()]));
        let prefix = Hrp::parse("age-secret-key-").ok()?;
        let written = Zeroizing::new(bech32::encode_upper::<Bech32>(prefix, bytes.as_slice()).ok()?);
        let identity = x25519::Identity::from_str(&written).ok()?;
        Some(Self { key, identity, head: head.clone() })
    }

    /// What the master key makes of all that a backup holds. Whoever else it opens for cannot make it.
    pub(super) fn code(&self, digest: &[u8]) -> String {
        STANDARD.encode(self.key.code(&[b"content", self.head.code.as_bytes(), digest]))
    }
}

impl age::Recipient for Opener {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let (mut stanzas, labels) = self.identity.to_public().wrap_file_key(key)?;
        let body = serde_json::to_vec(&self.head).map_err(std::io::Error::from)?;
        stanzas.insert(0, Stanza { tag: NAME.to_owned(), args: vec![VERSION.to_owned()], body });
        Ok((stanzas, labels))
    }
}

impl age::Identity for Opener {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.identity.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        // The file is opened anew after its head was read.
        match Head::among(stanzas) {
            Some(Ok(head)) if head == self.head => self.identity.unwrap_stanzas(stanzas),
            _ => Some(Err(age::DecryptError::InvalidHeader)),
        }
    }
}

/// Opens nothing, and has seen our stanza.
#[derive(Default)]
struct Looking(RefCell<Option<Result<Head, Unusable>>>);

impl age::Identity for Looking {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        None
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        *self.0.borrow_mut() = Head::among(stanzas);
        None
    }
}

/// Those whom a backup opens for beside the master key.
#[derive(Debug, Clone, Default)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads them as age writes them.
    pub fn parse(given: &[String]) -> Result<Self, ServeError> {
        if given.len() > MOST {
            return Err(ServeError::Recipient { problem: "there are more than 20" });
        }
        Ok(Self(given.iter().map(|one| recipient(one)).collect::<Result<_, _>>()?))
    }

    /// For the audit: nothing where there is none.
    pub(super) fn in_words(&self) -> String {
        self.0.iter().map(|one| format!(", also for {one}")).collect()
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|one| one as _)
    }
}

fn recipient(given: &str) -> Result<x25519::Recipient, ServeError> {
    let refused = |problem| ServeError::Recipient { problem };
    // It is not quoted: it may be what should have stayed secret.
    if given.get(..15).is_some_and(|begins| begins.eq_ignore_ascii_case("age-secret-key-")) {
        return Err(refused("it is an identity, which opens what is for it and stays with its owner"));
    }
    let none = || refused("it is none");
    let recipient = x25519::Recipient::from_str(given).map_err(|_| none())?;
    // With some numbers nobody can agree upon anything that not everybody knows.
    let (_, point) = bech32::decode(given).map_err(|_| none())?;
    let ours = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).map_err(|_| ServeError::NoRandom)?;
    agree_ephemeral(ours, UnparsedPublicKey::new(&X25519, &point), none(), |_| Ok(()))?;
    Ok(recipient)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Opener {
        /// Has the head and the identity of another one, and its own key.
        pub(in crate::server::backup) fn pose_as(&mut self, other: &Self) {
            (self.head, self.identity) = (other.head.clone(), other.identity.clone());
        }
    }

    /// What opens a backup of some server, with its master key.
    pub(in crate::server::backup) fn begun() -> (Key, Opener) {
        let master = Key::random().unwrap();
        let opener = Head::of(&master, "instance", vec!["vault:v1:a".into()], None).unwrap().opener(&master).unwrap();
        (master, opener)
    }

    #[test]
    fn one_master_key_opens_it_and_only_as_it_was_written() {
        let (master, Opener { head, identity, .. }) = begun();
        assert!(head.opener(&master).is_some() && head.opener(&Key::random().unwrap()).is_none());
        for change in [
            |head: &mut Head| head.instance.push('x'),
            |head: &mut Head| head.masters.clear(),
            |head: &mut Head| head.masters[0].push('x'),
            |head: &mut Head| head.code.clear(),
        ] {
            let mut changed = head.clone();
            change(&mut changed);
            assert!(changed.opener(&master).is_none());
        }
        let again = Head::of(&master, "instance", vec![], None).unwrap().opener(&master).unwrap();
        assert_eq!(again.identity.to_public(), identity.to_public());
        let other = Head::of(&master, "other", vec![], None).unwrap().opener(&master).unwrap();
        assert_ne!(other.identity.to_public(), identity.to_public(), "it is of one server");
    }

    #[test]
    fn what_a_newer_program_wrote_is_named() {
        let (_, Opener { head, .. }) = begun();
        let stanza = |tag: &str, args: &[&str]| Stanza {
            tag: tag.into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            body: serde_json::to_vec(&head).unwrap(),
        };
        let among = |stanzas: &[Stanza]| Head::among(stanzas).map(|found| found.map(|_| ()));
        assert_eq!(among(&[stanza("X25519", &["1"])]), None);
        assert_eq!(among(&[stanza("X25519", &["1"]), stanza(NAME, &["1"])]), Some(Ok(())));
        assert_eq!(among(&[stanza(NAME, &["2"])]), Some(Err(Unusable::Newer)));
        for bad in [&[stanza(NAME, &[])][..], &[stanza(NAME, &["1"]), stanza(NAME, &["1"])]] {
            assert_eq!(among(bad), Some(Err(Unusable::Damaged)));
        }
    }

    #[test]
    fn who_can_open_nothing_is_no_recipient() {
        let good = x25519::Identity::generate();
        let told = |given: &str| Recipients::parse(&[given.to_owned()]).unwrap_err().to_string();
        assert_eq!(Recipients::parse(&[good.to_public().to_string()]).unwrap().each().count(), 1);
        let secret = age::secrecy::ExposeSecret::expose_secret(&good.to_string()).to_owned();
        for form in [secret.clone(), secret.to_lowercase()] {
            let told = told(&form);
            assert!(told.contains("it is an identity") && !told.contains(&form[20..]), "{told}");
        }
        for first in [0, 1] {
            let mut point = [0; 32];
            point[0] = first;
            let weak = bech32::encode_lower::<Bech32>(Hrp::parse("age").unwrap(), &point).unwrap();
            assert!(told(&weak).contains("it is none"), "{weak}");
        }
        for bad in ["", "age1", "age1qqqq", "ssh-ed25519 AAAA", "älter-als-das-hier"] {
            assert!(told(bad).contains("it is none"), "{bad}");
        }
        assert!(Recipients::parse(&vec![good.to_public().to_string(); MOST + 1]).is_err());
    }
}
