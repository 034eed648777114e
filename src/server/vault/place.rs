//! What secrets are bound to, and how long they are when they rest.

use zeroize::Zeroizing;

use crate::credential::Metadata;
use crate::secret::Secret;
use crate::server::db::OrgScope;
use crate::server::keys::FORM;
use crate::vault::seal;

/// The field that names another credential. It follows that one's name and is bound to nothing.
pub(super) const SOURCE: &str = "source";
/// Secrets are filled up to a multiple of so many bytes, so that what rests does not tell how long a short one is.
const BUCKET: usize = 64;

/// What the secrets of a version are bound to.
#[derive(PartialEq, Eq)]
pub(super) struct Place {
    org: String,
    project: String,
    id: String,
    version: String,
    kind: &'static str,
    fields: String,
}

impl Place {
    pub(super) fn of(scope: &OrgScope, metadata: &Metadata) -> Self {
        let bound = metadata.fields.iter().filter(|(name, _)| *name != SOURCE);
        Self {
            org: scope.id().to_owned(),
            project: metadata.scope.project().unwrap_or_default().to_owned(),
            id: metadata.id.clone(),
            version: metadata.version.to_string(),
            kind: metadata.kind.id,
            fields: seal::digest(bound.map(|(name, value)| (name.as_str(), value.as_str()))),
        }
    }

    pub(super) fn of_field<'p>(&'p self, field: &'p str) -> [&'p str; 9] {
        [FORM, "secrets", &self.org, &self.project, &self.id, &self.version, self.kind, &self.fields, field]
    }

    pub(super) fn of_key<'p>(&'p self, key_version: &'p str) -> [&'p str; 7] {
        [FORM, "data_keys", &self.org, &self.project, &self.id, &self.version, key_version]
    }
}

/// A secret with its length before it, filled up to a whole number of buckets.
pub(super) fn filled(secret: &Secret) -> Zeroizing<Vec<u8>> {
    let text = secret.expose().as_bytes();
    let length = (text.len() + 8).next_multiple_of(BUCKET);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text);
    bytes.resize(length, 0);
    bytes
}

/// The secret in such bytes.
pub(super) fn emptied(bytes: &[u8]) -> Option<Secret> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    Some(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_rests_twice_as_the_same_bytes() {
        const NONCE: usize = 12;
        let key = seal::Key::random().unwrap();
        let secret = filled(&Secret::new("the same".into()));
        let seal = || key.seal(&secret, &["the", "same", "place"]).unwrap();
        let (mut nonces, mut bodies) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        let length = seal().len();
        for _ in 0..100_000 {
            let sealed = seal();
            assert_eq!(sealed.len(), length);
            let (nonce, body) = sealed.split_at(NONCE);
            assert!(nonces.insert(nonce.to_vec()) && bodies.insert(body.to_vec()));
        }
    }

    #[test]
    fn short_secrets_rest_at_one_length() {
        for length in [0, 1, 8, 55, 56, 57, 120, 5000] {
            let secret = Secret::new("s".repeat(length));
            let bytes = filled(&secret);
            assert_eq!(bytes.len() % BUCKET, 0);
            assert!(emptied(&bytes).unwrap() == secret);
        }
        assert_eq!(filled(&Secret::new("a".into())).len(), filled(&Secret::new("a".repeat(50))).len());
        assert!(emptied(&[0, 0, 0, 0, 0, 0, 0, 9, 1]).is_none());
    }
}
