//! Envelope encryption: the root key wraps the vault key, the vault key wraps a data key for each version of a
//! credential, the data key seals its fields.
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452) with a random nonce, so that even a repeated nonce gives no key away. What
//! is sealed is bound to its place by the associated data: an unambiguous encoding of what it is, whose it is, and for
//! which version. A row that was moved, swapped or brought back from an older copy does not open.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
#[cfg(feature = "server")]
use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

#[cfg(unix)]
use crate::os::locked::Locked;
use crate::secret::Secret;

const KEY: usize = 32;
/// The version of the encoding of associated data.
const FORM: &str = "lanyard-vault-1";

/// A key of 256 random bits, wiped on drop.
pub(crate) struct Key(Bytes);

/// Where the bits are.
enum Bytes {
    /// Somewhere in memory, for a short while.
    Free(Zeroizing<[u8; KEY]>),
    /// In memory that is never written to a disk, for as long as a process runs.
    #[cfg(unix)]
    Locked(Locked),
}

/// Something did not open: the wrong key, another place, or damage. They cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DoesNotOpen;

impl Key {
    /// A new one.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY]);
        getrandom::fill(bytes.as_mut())?;
        Ok(Self(Bytes::Free(bytes)))
    }

    /// From bytes that are as good as random.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self(Bytes::Free(Zeroizing::new(bytes.try_into().ok()?))))
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Free(bytes) => bytes.as_slice(),
            #[cfg(unix)]
            Bytes::Locked(bytes) => bytes.bytes(),
        }
    }

    /// The same key in memory that is never written to a disk, as far as the system allows.
    #[cfg(unix)]
    pub(crate) fn locked(&self) -> Option<Self> {
        Locked::of(self.bytes()).map(|bytes| Self(Bytes::Locked(bytes)))
    }

    /// Whether the system keeps it from the disk.
    #[cfg(unix)]
    pub(crate) fn is_locked(&self) -> bool {
        matches!(&self.0, Bytes::Locked(bytes) if bytes.is_locked())
    }

    /// As the secret store keeps it.
    pub(crate) fn to_secret(&self) -> Secret {
        Secret::new(STANDARD.encode(self.bytes()))
    }

    /// From the secret store.
    pub(crate) fn from_secret(secret: &Secret) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(secret.expose()).ok()?);
        Self::of(&bytes)
    }

    /// As a person writes it down: the letters of base 32 in groups, with a check at the end.
    pub(crate) fn to_words(&self) -> Secret {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY + CHECK));
        bytes.extend_from_slice(self.bytes());
        bytes.extend_from_slice(&check(self.bytes()));
        let mut words = Zeroizing::new(String::with_capacity(80));
        let (mut held, mut count) = (0u32, 0);
        let mut letters = 0;
        let mut push = |words: &mut String, five: u32| {
            if letters > 0 && letters % 4 == 0 {
                words.push('-');
            }
            letters += 1;
            words.push(char::from(WORDS[(five & 31) as usize]));
        };
        for byte in bytes.iter() {
            held = (held << 8) | u32::from(*byte);
            count += 8;
            while count >= 5 {
                count -= 5;
                push(&mut words, held >> count);
                held &= (1 << count) - 1;
            }
        }
        if count > 0 {
            push(&mut words, held << (5 - count));
        }
        Secret::new(std::mem::take(&mut *words))
    }

    /// From what a person typed: case, blanks and hyphens do not count, and O, I, L stand for what they look like.
    pub(crate) fn from_words(words: &Secret) -> Option<Self> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY + CHECK + 1));
        let (mut held, mut count) = (0u32, 0);
        for letter in words.expose().chars().filter(|letter| !letter.is_whitespace() && *letter != '-') {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let five = WORDS.iter().position(|known| char::from(*known) == letter)?;
            held = (held << 5) | u32::try_from(five).ok()?;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push((held >> count).to_le_bytes()[0]);
                held &= (1 << count) - 1;
            }
        }
        let (key, found) = bytes.split_at_checked(KEY)?;
        (found == check(key)).then(|| Self::of(key)).flatten()
    }

    /// Seals `plain` for the place that `parts` name.
    pub(crate) fn seal(&self, plain: &[u8], parts: &[&str]) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM_SIV.tag_len());
        sealed.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM_SIV.tag_len()));
        body.extend_from_slice(plain);
        let aad = Aad::from(place(parts));
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.cipher()
            .and_then(|cipher| cipher.seal_in_place_append_tag(nonce, aad, &mut *body).ok())
            .ok_or(getrandom::Error::UNEXPECTED)?;
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what was sealed for this place.
    pub(crate) fn open(&self, sealed: &[u8], parts: &[&str]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut body = Zeroizing::new(body.to_vec());
        let cipher = self.cipher().ok_or(DoesNotOpen)?;
        let length = cipher.open_in_place(nonce, Aad::from(place(parts)), &mut body).map_err(|_| DoesNotOpen)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// Wraps another key for the place that `parts` name.
    pub(crate) fn wrap(&self, key: &Self, parts: &[&str]) -> Result<Vec<u8>, getrandom::Error> {
        self.seal(key.bytes(), parts)
    }

    /// Unwraps a key.
    pub(crate) fn unwrap(&self, wrapped: &[u8], parts: &[&str]) -> Result<Self, DoesNotOpen> {
        Self::of(&self.open(wrapped, parts)?).ok_or(DoesNotOpen)
    }

    /// Another key for another purpose, from which this one cannot be found out (RFC 5869).
    #[cfg(feature = "server")]
    pub(crate) fn derived(&self, purpose: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY]);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, FORM.as_bytes());
        let pseudorandom = salt.extract(self.bytes());
        let info = [purpose.as_bytes()];
        pseudorandom.expand(&info, hkdf::HKDF_SHA256).ok()?.fill(bytes.as_mut()).ok()?;
        Some(Self(Bytes::Free(bytes)))
    }

    /// A key that only who has this one and that secret as well can make (RFC 5869).
    #[cfg(feature = "server")]
    pub(crate) fn with(&self, secret: &Secret, purpose: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY]);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, self.bytes());
        let pseudorandom = salt.extract(secret.expose().as_bytes());
        let info = [purpose.as_bytes()];
        pseudorandom.expand(&info, hkdf::HKDF_SHA256).ok()?.fill(bytes.as_mut()).ok()?;
        Some(Self(Bytes::Free(bytes)))
    }

    /// A code that only who has this key can make for these parts.
    #[cfg(feature = "server")]
    pub(crate) fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.bytes()));
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut code = [0; 32];
        code.copy_from_slice(context.sign().as_ref());
        code
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM_SIV, self.bytes()).ok().map(LessSafeKey::new)
    }
}

const WORDS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHECK: usize = 3;

/// The first bytes of a hash, by which a slip of the pen is noticed.
fn check(key: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::digest(key);
    let mut first = [0; CHECK];
    first.copy_from_slice(&digest[..CHECK]);
    first
}

/// Each part with its length before it, so that no two lists of parts read the same.
fn place(parts: &[&str]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for part in std::iter::once(&FORM).chain(parts) {
        encoded.extend_from_slice(&(part.len() as u64).to_be_bytes());
        encoded.extend_from_slice(part.as_bytes());
    }
    encoded
}

/// A digest of the plain fields that say where secrets go, as one part of a place: whoever changes an address in the
/// database changes no address that a secret is sent to.
pub(crate) fn digest<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> String {
    let mut hash = Sha256::new();
    for part in fields.flat_map(|(name, value)| [name, value]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_at_its_place_alone() {
        let key = Key::random().unwrap();
        let sealed = key.seal(b"secret", &["vault", "cred", "1", "token"]).unwrap();
        assert_eq!(&**key.open(&sealed, &["vault", "cred", "1", "token"]).unwrap(), b"secret");
        for other in [
            ["vault", "cred", "2", "token"],
            ["vault", "cred2", "1", "token"],
            ["other", "cred", "1", "token"],
            ["vault", "cred", "1", "password"],
            ["vaul", "tcred", "1", "token"],
        ] {
            assert_eq!(key.open(&sealed, &other).unwrap_err(), DoesNotOpen);
        }
        assert!(Key::random().unwrap().open(&sealed, &["vault", "cred", "1", "token"]).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.open(&damaged, &["vault", "cred", "1", "token"]).is_err());
        }
        assert!(key.open(&sealed[..5], &[]).is_err());
    }

    #[test]
    fn the_same_value_is_never_sealed_twice_alike() {
        let key = Key::random().unwrap();
        let sealed: std::collections::BTreeSet<_> = (0..1000).map(|_| key.seal(b"x", &[]).unwrap()).collect();
        assert_eq!(sealed.len(), 1000);
    }

    #[test]
    fn a_recovery_key_survives_pen_and_paper() {
        let key = Key::random().unwrap();
        let words = key.to_words();
        let typed = words.expose().to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert!(Key::from_words(&Secret::new(typed)).unwrap().bytes() == key.bytes());
        let mut slip: Vec<char> = words.expose().chars().collect();
        slip[3] = if slip[3] == 'A' { 'B' } else { 'A' };
        assert!(Key::from_words(&Secret::new(slip.into_iter().collect())).is_none());
        assert!(Key::from_words(&Secret::new(String::new())).is_none());
        assert!(Key::from_secret(&key.to_secret()).unwrap().bytes() == key.bytes());
    }
}
