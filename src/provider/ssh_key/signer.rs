//! What an agent does with keys: reads them in its clients' form, signs, and checks what servers have signed.

use ssh_key::encoding::Decode;
use ssh_key::private::KeypairData;
use ssh_key::{HashAlg, PublicKey};

use super::key::{self, Private};
use super::pair::{Pair, verifies};
use super::pem;
use crate::secret::Secret;

/// A private key that signs.
pub struct Signer(Pair);

impl Signer {
    /// The key in the text of a private key that is open; `None` where it is closed, or of a sort that does not sign
    /// here.
    pub fn of_text(text: &Secret) -> Option<Self> {
        match key::read(text.expose()).ok()? {
            Private::Own(key) => Pair::of(key.key_data()),
            Private::Old { .. } => pem::pair(&key::tidy(text.expose())),
            Private::OldClosed => None,
        }
        .map(Self)
    }

    /// The key at the beginning of `bytes`, in the form in which agents are given it, and what follows it.
    pub fn of_agent(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes;
        let key = KeypairData::decode(&mut rest).ok()?;
        Some((Self(Pair::of(&key)?), rest))
    }

    /// The public half, in ssh's own form.
    pub fn public(&self) -> Option<Vec<u8>> {
        PublicKey::from(self.0.public()?).to_bytes().ok()
    }

    /// A signature over `data` in ssh's own form. `flags` are those of an agent's client; RSA signs with SHA-2 alone.
    pub fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        self.0.sign(data, flags)
    }
}

/// A public key's line in ssh's own form.
pub fn blob(line: &str) -> Option<Vec<u8>> {
    key::public(line)?.to_bytes().ok()
}

/// The fingerprint of a public key in ssh's own form.
pub fn fingerprint(blob: &[u8]) -> Option<String> {
    PublicKey::from_bytes(blob).ok().map(|key| key.fingerprint(HashAlg::Sha256).to_string())
}

/// Whether the owner of a public key has signed `data`; both in ssh's own form.
pub fn is_signed(blob: &[u8], data: &[u8], signature: &[u8]) -> bool {
    PublicKey::from_bytes(blob).is_ok_and(|key| verifies(key.key_data(), data, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_found_signed_and_nothing_else_is() {
        let signer = Signer::of_text(&Secret::new(key::EXAMPLE_PRIVATE.to_owned())).unwrap();
        let public = signer.public().unwrap();
        assert_eq!(Some(&public), blob(key::EXAMPLE_PUBLIC).as_ref());
        let signature = signer.sign(b"data", 0).unwrap();
        assert!(is_signed(&public, b"data", &signature));
        assert!(!is_signed(&public, b"date", &signature));
        for at in 0..signature.len() {
            let mut damaged = signature.clone();
            damaged[at] ^= 1;
            assert!(!is_signed(&public, b"data", &damaged), "byte {at}");
            assert!(!is_signed(&public, b"data", &signature[..at]));
        }
        assert!(!is_signed(&public, b"data", &[signature.as_slice(), &[0]].concat()));
    }
}
