//! The messages of the SSH agent protocol (RFC 9987) and of OpenSSH's `PROTOCOL.agent`, as bytes.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::agent::fields::Reader;

/// `SSH_AGENT_FAILURE`.
pub(super) const FAILURE: u8 = 5;
/// `SSH_AGENT_SUCCESS`.
pub(super) const SUCCESS: u8 = 6;
/// `SSH_AGENT_EXTENSION_FAILURE`.
pub(super) const EXTENSION_FAILURE: u8 = 28;

/// What a client asks.
pub(super) enum Message<'m> {
    /// The public keys that sign.
    List,
    /// A signature.
    Sign {
        /// The public key.
        key: &'m [u8],
        /// What is to be signed.
        data: &'m [u8],
        /// How.
        flags: u32,
    },
    /// To hold a private key.
    Add {
        /// The key, and all that follows it.
        key: &'m [u8],
        /// Whether constraints follow the comment.
        constrained: bool,
    },
    /// To forget a key that was added.
    Remove(&'m [u8]),
    /// To forget all of them.
    RemoveAll,
    /// To do nothing until it is unlocked.
    Lock(&'m [u8]),
    /// To go on.
    Unlock(&'m [u8]),
    /// `session-bind@openssh.com`: the connection belongs to a session with a server.
    Bind(Bind<'m>),
    /// `query`: the names of the extensions.
    Query,
    /// An extension that is not known.
    Extension,
}

/// The session that a connection belongs to.
pub(super) struct Bind<'m> {
    /// The server's host key.
    pub(super) host: &'m [u8],
    /// The identifier of the session.
    pub(super) session: &'m [u8],
    /// The server's signature over the identifier.
    pub(super) signature: &'m [u8],
    /// Whether the connection is forwarded to that server, instead of being used to sign in there.
    pub(super) forwarded: bool,
}

impl<'m> Message<'m> {
    /// Reads a message, its length left out; `None` for one that is not known or does not read as it should.
    pub(super) fn read(message: &'m [u8]) -> Option<Self> {
        let mut fields = Reader(message);
        let message = match fields.byte()? {
            11 => Self::List,
            13 => {
                let (key, data) = (fields.bytes()?, fields.bytes()?);
                Self::Sign { key, data, flags: fields.number()? }
            }
            kind @ (17 | 25) => {
                return Some(Self::Add { key: fields.0, constrained: kind == 25 });
            }
            18 => Self::Remove(fields.bytes()?),
            19 => Self::RemoveAll,
            22 => Self::Lock(fields.bytes()?),
            23 => Self::Unlock(fields.bytes()?),
            27 => match fields.bytes()? {
                b"query" => Self::Query,
                b"session-bind@openssh.com" => {
                    let (host, session, signature) = (fields.bytes()?, fields.bytes()?, fields.bytes()?);
                    Self::Bind(Bind { host, session, signature, forwarded: fields.byte()? != 0 })
                }
                _ => return Some(Self::Extension),
            },
            _ => return None,
        };
        fields.end(message)
    }
}

/// What a key is added with.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Constraints {
    /// It is forgotten after this.
    pub(super) lifetime: Option<Duration>,
    /// A person is asked before each use.
    pub(super) confirm: bool,
}

/// Reads the comment and the constraints of a key that is added; `None` where there is a constraint that cannot be kept,
/// since a key with it must not be taken.
pub(super) fn comment_and_constraints(rest: &[u8], constrained: bool) -> Option<(String, Constraints)> {
    let mut fields = Reader(rest);
    let comment = crate::text::clean(&String::from_utf8_lossy(fields.bytes()?));
    let mut constraints = Constraints::default();
    while constrained && !fields.0.is_empty() {
        match fields.byte()? {
            1 => constraints.lifetime = Some(Duration::from_secs(fields.number()?.into())),
            2 => constraints.confirm = true,
            _ => return None,
        }
    }
    fields.end((comment, constraints))
}

/// A message of one byte.
pub(super) fn bare(kind: u8) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![0, 0, 0, 1, kind])
}

/// A message with fields that were put together.
fn framed(kind: u8, body: &[u8]) -> Zeroizing<Vec<u8>> {
    let Ok(length) = u32::try_from(body.len() + 1) else { return bare(FAILURE) };
    Zeroizing::new([&length.to_be_bytes(), [kind].as_slice(), body].concat())
}

/// The length of a string and the string.
fn string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

/// `SSH_AGENT_IDENTITIES_ANSWER`.
pub(super) fn identities<'k>(keys: impl ExactSizeIterator<Item = (&'k [u8], &'k str)>) -> Zeroizing<Vec<u8>> {
    let mut body = u32::try_from(keys.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    for (key, comment) in keys {
        string(&mut body, key);
        string(&mut body, comment.as_bytes());
    }
    framed(12, &body)
}

/// `SSH_AGENT_SIGN_RESPONSE`.
pub(super) fn signature(signature: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut body = Vec::with_capacity(signature.len() + 4);
    string(&mut body, signature);
    framed(14, &body)
}

/// The answer to `query`: the names of the extensions.
pub(super) fn extensions() -> Zeroizing<Vec<u8>> {
    let mut body = Vec::new();
    for name in ["query", "session-bind@openssh.com"] {
        string(&mut body, name.as_bytes());
    }
    // `SSH_AGENT_EXTENSION_RESPONSE`, which repeats the name.
    let mut named = Vec::new();
    string(&mut named, b"query");
    named.extend_from_slice(&body);
    framed(29, &named)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, strings: &[&[u8]], end: &[u8]) -> Vec<u8> {
        let mut all = vec![kind];
        for part in strings {
            string(&mut all, part);
        }
        all.extend_from_slice(end);
        all
    }

    proptest! {
        #[test]
        fn noise_is_read_without_a_stumble(kind: u8, noise in prop::collection::vec(any::<u8>(), 0..200), constrained: bool) {
            let _ = Message::read(&noise);
            let _ = Message::read(&[&[kind], noise.as_slice()].concat());
            let _ = comment_and_constraints(&noise, constrained);
            let mut named = vec![27];
            string(&mut named, b"session-bind@openssh.com");
            named.extend_from_slice(&noise);
            let _ = Message::read(&named);
        }

        #[test]
        fn what_is_asked_to_be_signed_arrives(key in prop::collection::vec(any::<u8>(), 0..80), data in prop::collection::vec(any::<u8>(), 0..300), asked: u32) {
            let whole = message(13, &[&key, &data], &asked.to_be_bytes());
            let Some(Message::Sign { key: k, data: d, flags }) = Message::read(&whole) else { panic!("another message") };
            prop_assert_eq!((k, d, flags), (key.as_slice(), data.as_slice(), asked));
            prop_assert!(Message::read(&whole[..whole.len() - 1]).is_none());
            prop_assert!(Message::read(&[whole.as_slice(), &[0]].concat()).is_none());
        }
    }

    #[test]
    fn a_constraint_that_cannot_be_kept_refuses_the_key() {
        let with = |constraints: &[u8]| {
            let mut rest = Vec::new();
            string(&mut rest, b"me@host");
            rest.extend_from_slice(constraints);
            comment_and_constraints(&rest, true)
        };
        let (comment, constraints) = with(&[1, 0, 0, 0, 9, 2]).unwrap();
        assert_eq!(comment, "me@host");
        assert_eq!(constraints, Constraints { lifetime: Some(Duration::from_secs(9)), confirm: true });
        assert_eq!(with(&[]).unwrap().1, Constraints::default());
        let mut destination = vec![255];
        string(&mut destination, b"restrict-destination-v00@openssh.com");
        assert!(with(&destination).is_none());
        assert!(with(&[1, 0, 0]).is_none());
        assert!(with(&[3]).is_none());
    }
}
