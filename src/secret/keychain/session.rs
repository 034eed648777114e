//! Reads items of the Secret Service over a session of its own: the way that is gone on every call of a helper.
//!
//! The `keyring` library speaks the same protocol and does everything else, and this too wherever something is out of
//! the ordinary: a locked item, a service that answers strangely. Its key agreement alone takes longer than the rest of
//! a helper's answer; here it is done by Montgomery multiplication, in constant time, with an exponent of 256 bits.
//!
//! Source: the Secret Service API of freedesktop.org, chapters "Sessions" and "Transfer of Secrets".

use std::collections::HashMap;
use std::sync::OnceLock;

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::iv::FixedLength;
use crypto_bigint::modular::ConstMontyParams;
use crypto_bigint::{U256, U1024, const_monty_form, const_monty_params};
use zbus::blocking::Connection;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zeroize::Zeroizing;

const SERVICE: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE_INTERFACE: &str = "org.freedesktop.Secret.Service";
const ITEM_INTERFACE: &str = "org.freedesktop.Secret.Item";
/// Diffie-Hellman in the second Oakley group, HKDF with SHA-256 and no salt, AES-128 in CBC mode with PKCS #7 padding.
const ALGORITHM: &str = "dh-ietf1024-sha256-aes128-cbc-pkcs7";
const KEY_SIZE: usize = 16;

const_monty_params!(
    SecondOakleyGroup,
    U1024,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    "The prime of RFC 2409, section 6.2; its generator is 2."
);
const_monty_form!(Element, SecondOakleyGroup, "A number modulo the prime of the group.");

/// The session of this process, or that none could be opened.
static SESSION: OnceLock<Option<Session>> = OnceLock::new();

/// Opens the session, once per process; whether there is one.
pub(super) fn open() -> bool {
    session().is_some()
}

/// What the item with these attributes holds; `None` where the library has to look, because there is no such item that
/// can be read at once, or something went wrong.
pub(super) fn read(attributes: &HashMap<&str, &str>) -> Option<Zeroizing<Vec<u8>>> {
    match session()?.read(attributes) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "an item is not read over the quick session");
            None
        }
    }
}

fn session() -> Option<&'static Session> {
    let opened = SESSION.get_or_init(|| match Session::open() {
        Ok(session) => Some(session),
        Err(error) => {
            tracing::debug!(%error, "there is no quick session with the keychain");
            None
        }
    });
    opened.as_ref()
}

/// Why there is no session or no item.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    /// What the bus or the service said.
    #[error(transparent)]
    Bus(#[from] zbus::Error),
    /// An answer of another shape.
    #[error("an answer has another shape: {0}")]
    Shape(#[from] zbus::zvariant::Error),
    /// The service's public key is none.
    #[error("the service's public key is not of the group")]
    PublicKey,
    /// The keys did not come about, or a secret did not open.
    #[error("the keys of the session do not fit")]
    Crypto(#[from] aws_lc_rs::error::Unspecified),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] getrandom::Error),
}

/// A session with the service, which sends secrets under its key.
struct Session {
    connection: Connection,
    path: OwnedObjectPath,
    key: Zeroizing<[u8; KEY_SIZE]>,
}

impl Session {
    fn open() -> Result<Self, SessionError> {
        let private = PrivateKey::random()?;
        let connection = Connection::session()?;
        let public = private.public();
        let question = (ALGORITHM, Value::from(&public[..]));
        let answer = connection.call_method(Some(SERVICE), PATH, Some(SERVICE_INTERFACE), "OpenSession", &question)?;
        let (theirs, path): (OwnedValue, OwnedObjectPath) = answer.body().deserialize()?;
        let key = private.agree(&Vec::<u8>::try_from(theirs)?)?;
        Ok(Self { connection, path, key })
    }

    /// What the first item that matches and is not locked holds.
    fn read(&self, attributes: &HashMap<&str, &str>) -> Result<Option<Zeroizing<Vec<u8>>>, SessionError> {
        let answer =
            self.connection.call_method(Some(SERVICE), PATH, Some(SERVICE_INTERFACE), "SearchItems", &attributes)?;
        let (unlocked, _locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) = answer.body().deserialize()?;
        let Some(item) = unlocked.first() else { return Ok(None) };
        let answer = self.connection.call_method(Some(SERVICE), item, Some(ITEM_INTERFACE), "GetSecret", &self.path)?;
        let (_session, iv, sealed, _content_type): (OwnedObjectPath, Vec<u8>, Vec<u8>, String) =
            answer.body().deserialize()?;
        Ok(Some(self.unseal(&iv, sealed)?))
    }

    fn unseal(&self, iv: &[u8], sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, SessionError> {
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_128, &self.key[..])?)?;
        let mut buffer = Zeroizing::new(sealed);
        let length = key.decrypt(&mut buffer, DecryptionContext::Iv128(FixedLength::try_from(iv)?))?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Our half of a key agreement.
struct PrivateKey(Zeroizing<[u8; 32]>);

impl PrivateKey {
    /// Twice the strength of the group, and more, is enough for an exponent (NIST SP 800-56A, section 5.6.1.1).
    fn random() -> Result<Self, SessionError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The base raised to this key, big-endian.
    fn raise(&self, base: &U1024) -> Zeroizing<[u8; 128]> {
        let exponent = Zeroizing::new(U256::from_be_slice(&self.0[..]));
        let raised = Zeroizing::new(Element::new(base).pow(&exponent).retrieve());
        Zeroizing::new(raised.to_be_bytes().into())
    }

    fn public(&self) -> Zeroizing<[u8; 128]> {
        self.raise(&U1024::from_u64(2))
    }

    /// The key of the session, from the service's public key.
    fn agree(&self, theirs: &[u8]) -> Result<Zeroizing<[u8; KEY_SIZE]>, SessionError> {
        let mut padded = [0; 128];
        let start = padded.len().checked_sub(theirs.len()).ok_or(SessionError::PublicKey)?;
        padded[start..].copy_from_slice(theirs);
        let theirs = U1024::from_be_slice(&padded);
        let prime = SecondOakleyGroup::PARAMS.modulus().get();
        // 0, 1 and the prime less one make a key that everybody knows.
        if theirs <= U1024::ONE || theirs >= prime.wrapping_sub(&U1024::ONE) {
            return Err(SessionError::PublicKey);
        }
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        let shared = self.raise(&theirs);
        Salt::new(HKDF_SHA256, &[]).extract(&shared[..]).expand(&[], KeySize)?.fill(&mut *key)?;
        Ok(key)
    }
}

/// How long the key of a session is.
struct KeySize;

impl KeyType for KeySize {
    fn len(&self) -> usize {
        KEY_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_agree_on_one_key() {
        let (ours, theirs) = (PrivateKey::random().unwrap(), PrivateKey::random().unwrap());
        let key = ours.agree(&theirs.public()[..]).unwrap();
        assert_eq!(key, theirs.agree(&ours.public()[..]).unwrap());
        assert_ne!(key, PrivateKey::random().unwrap().agree(&theirs.public()[..]).unwrap());
    }

    #[test]
    fn the_numbers_are_those_of_python() {
        let numbers = |from: u8| {
            let mut next = from..;
            PrivateKey(Zeroizing::new([0; 32].map(|_: u8| next.next().unwrap())))
        };
        let (ours, theirs) = (numbers(1), numbers(33));
        // pow(2, x, p), and HMAC by hand.
        assert_eq!(ours.public()[..8], [69, 113, 32, 118, 79, 58, 30, 111]);
        let key = ours.agree(&theirs.public()[..]).unwrap();
        assert_eq!(*key, [93, 129, 36, 38, 32, 54, 237, 33, 141, 192, 171, 61, 139, 59, 245, 104]);
    }

    #[test]
    fn a_key_of_the_service_that_everybody_knows_is_refused() {
        let ours = PrivateKey::random().unwrap();
        let prime = SecondOakleyGroup::PARAMS.modulus().get();
        for bad in [U1024::ZERO, U1024::ONE, prime.wrapping_sub(&U1024::ONE), prime, U1024::MAX] {
            let bytes: [u8; 128] = bad.to_be_bytes().into();
            assert!(matches!(ours.agree(&bytes), Err(SessionError::PublicKey)));
        }
        assert!(matches!(ours.agree(&[1; 129]), Err(SessionError::PublicKey)));
        assert!(matches!(ours.agree(&[]), Err(SessionError::PublicKey)));
        // A short one has only lost its leading zeros.
        assert!(ours.agree(&[7]).is_ok());
    }
}
