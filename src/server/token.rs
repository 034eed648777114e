//! The tokens that the server makes: `lny_<kind>_<public id>_<secret>_<checksum>`.
//!
//! The kind and the identifier are there to be seen, in a list or in a leak; the secret is 256 random bits; the
//! checksum, a CRC-32 over everything before its underscore, tells a real token from a made-up one without asking
//! anybody. It protects nothing. What is kept is the SHA-256 of the secret.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::random::{BASE62, base62};
use crate::secret::Secret;

const MARK: &str = "lny";
const ID: usize = 16;
const SECRET: usize = 43;
const CHECKSUM: usize = 6;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An API key.
    Key,
    /// An access token of a sign-in.
    Access,
    /// A refresh token of a sign-in.
    Refresh,
    /// An authorization code.
    Code,
    /// A device code.
    Device,
    /// A session of the portal.
    Session,
    /// A link that is good once.
    Invitation,
    /// An access token of a job.
    Job,
    /// A passphrase that was right, while the second factor is asked for.
    Half,
    /// What an issuer gives back of whoever was sent to it.
    Errand,
    /// What a passkey is asked for.
    Question,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Key,
        Self::Access,
        Self::Refresh,
        Self::Code,
        Self::Device,
        Self::Session,
        Self::Invitation,
        Self::Job,
        Self::Half,
        Self::Errand,
        Self::Question,
    ];

    /// The word in the token and in the database.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Key => "pat",
            Self::Access => "acc",
            Self::Refresh => "ref",
            Self::Code => "code",
            Self::Device => "dev",
            Self::Session => "sess",
            Self::Invitation => "inv",
            Self::Job => "job",
            Self::Half => "half",
            Self::Errand => "way",
            Self::Question => "ask",
        }
    }
}

/// A token that was just made.
pub(crate) struct Minted {
    /// The public part.
    pub(crate) id: String,
    /// What the database keeps.
    pub(crate) hash: [u8; 32],
    /// The whole, which is shown once.
    pub(crate) token: Secret,
}

/// A text that looks like a token: nothing is known yet but its parts.
pub(crate) struct Parsed {
    /// What it says it is for.
    pub(crate) kind: Kind,
    /// The public part.
    pub(crate) id: String,
    hash: [u8; 32],
}

/// Makes a token.
pub(crate) fn mint(kind: Kind) -> Result<Minted, getrandom::Error> {
    let id = base62(ID)?;
    let secret = base62(SECRET)?;
    let body = zeroize::Zeroizing::new([MARK, kind.word(), &id, &secret].join("_"));
    let token = Secret::new([body.as_str(), &checksum(&body)].join("_"));
    Ok(Minted { id: id.to_string(), hash: hash(&secret), token })
}

/// Reads a token; `None` for what no server ever made. Asks no database.
pub(crate) fn parse(text: &str) -> Option<Parsed> {
    let (body, found) = text.rsplit_once('_')?;
    if checksum(body) != found {
        return None;
    }
    let mut parts = body.split('_');
    let (mark, kind, id, secret) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let kind = Kind::ALL.into_iter().find(|known| known.word() == kind)?;
    let fits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if mark != MARK || parts.next().is_some() || !fits(id, ID) || !fits(secret, SECRET) {
        return None;
    }
    Some(Parsed { kind, id: id.to_owned(), hash: hash(secret) })
}

impl Parsed {
    /// What tells it from every other token, to whoever has it.
    pub(crate) fn mark(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether it is the token that this hash was made of.
    pub(crate) fn is(&self, kept: &[u8]) -> bool {
        self.hash.ct_eq(kept).into()
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn checksum(body: &str) -> String {
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut letters = [b'0'; CHECKSUM];
    for letter in letters.iter_mut().rev() {
        *letter = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    letters.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_again_and_a_slip_is_noticed() {
        let form = regex::Regex::new("^lny_[a-z]{3,4}_[0-9A-Za-z]{16}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$").unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            for _ in 0..200 {
                let made = mint(kind).unwrap();
                assert!(form.is_match(made.token.expose()));
                let read = parse(made.token.expose()).unwrap();
                assert_eq!((read.kind, &read.id), (kind, &made.id));
                assert!(read.is(&made.hash) && !read.is(&[0; 32]) && !read.is(&made.hash[..31]));
                assert!(seen.insert(made.token.expose().to_owned()));
            }
        }
        let made = mint(Kind::Key).unwrap();
        for at in 0..made.token.expose().len() {
            let mut slip = made.token.expose().to_owned().into_bytes();
            slip[at] = if slip[at] == b'a' { b'b' } else { b'a' };
            assert!(parse(std::str::from_utf8(&slip).unwrap()).is_none(), "{at}");
        }
        for other in ["", "lny", "lny_pat_a_b_000000", "ghp_0123456789", "____", "lny_pat__"] {
            assert!(parse(other).is_none());
        }
    }

    #[test]
    fn a_million_tokens_are_all_different_and_of_the_form() {
        let form = regex::bytes::Regex::new("^lny_pat_[0-9A-Za-z]{16}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$").unwrap();
        let (mut ids, mut hashes) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for _ in 0..1_000_000 {
            let made = mint(Kind::Key).unwrap();
            let token = made.token.expose();
            let (body, found) = token.rsplit_once('_').unwrap();
            assert!(form.is_match(token.as_bytes()) && checksum(body) == found);
            let id: [u8; ID] = made.id.as_bytes().try_into().unwrap();
            assert!(ids.insert(id) && hashes.insert(made.hash));
        }
    }

    #[test]
    fn the_checksum_is_the_one_that_is_published() {
        // CRC-32 of "123456789" is 0xCBF43926.
        assert_eq!(checksum("123456789"), "3jZRME");
    }
}
