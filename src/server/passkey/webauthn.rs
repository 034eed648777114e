//! What an authenticator says, verified as Web Authentication Level 3 demands it of a server: sections 7.1 and 7.2, step
//! by step. Nothing here knows a database or a clock.

use minicbor::Decoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::cose::PublicKey;

/// The longest identifier of a credential (section 7.1, step 25).
const LONGEST_ID: usize = 1023;
/// The bits of the flags (section 6.1).
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;
const HAS_EXTENSIONS: u8 = 1 << 7;

/// Why an answer is not believed. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// It is not of the form that the standard gives it.
    #[error("{0} of the passkey's answer is malformed")]
    Malformed(&'static str),
    /// It is the answer to another question: to register instead of to sign in, or the other way round.
    #[error("the passkey answered another question")]
    Kind,
    /// It is the answer to another challenge.
    #[error("the passkey answered another challenge")]
    Challenge,
    /// It was given to another site, or within one.
    #[error("the passkey was used at another site")]
    Origin,
    /// It was made for another site.
    #[error("the passkey is one of another site")]
    Site,
    /// Nobody touched the authenticator.
    #[error("nobody was there")]
    Absent,
    /// The authenticator did not look who it is.
    #[error("the passkey did not verify its user")]
    Unverified,
    /// The key is of an algorithm that was not asked for.
    #[error("the passkey is of an algorithm that is not known")]
    Algorithm,
    /// A statement about the authenticator that was not asked for.
    #[error("the passkey came with an attestation that was not asked for")]
    Attestation,
    /// What is said of its backup does not fit together.
    #[error("what the passkey says of its backup does not hold")]
    Backup,
    /// The signature.
    #[error("the signature of the passkey is not valid")]
    Signature,
    /// It is another person's.
    #[error("the passkey is somebody else's")]
    Person,
    /// The counter has not gone on: there may be a second one like it.
    #[error("the counter of the passkey went back: there may be a copy of it")]
    Counter,
}

/// What is expected of an answer.
pub(crate) struct Expected<'e> {
    /// The challenge.
    pub(crate) challenge: &'e [u8],
    /// The origin of this server.
    pub(crate) origin: &'e str,
    /// Its name as a site: the host.
    pub(crate) site: &'e str,
    /// Whether the authenticator has to have looked who it is.
    pub(crate) verified: bool,
}

/// A passkey that was just made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The identifier of the credential.
    pub(crate) id: Vec<u8>,
    /// The public key, as the authenticator wrote it.
    pub(crate) key: Vec<u8>,
    /// How often it has signed.
    pub(crate) count: u32,
    /// Whether it may be copied to a backup.
    pub(crate) eligible: bool,
    /// Whether it is in one.
    pub(crate) backed_up: bool,
}

/// A passkey as it is kept.
pub(crate) struct Kept<'k> {
    pub(crate) key: &'k [u8],
    pub(crate) count: u32,
    pub(crate) eligible: bool,
}

/// What an authentication says.
pub(crate) struct Signed<'s> {
    pub(crate) client_data: &'s [u8],
    pub(crate) authenticator_data: &'s [u8],
    pub(crate) signature: &'s [u8],
}

/// What came of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// How often it has signed now.
    pub(crate) count: u32,
    /// Whether it is in a backup now.
    pub(crate) backed_up: bool,
}

/// What the browser says (section 5.8.1). A member that comes twice makes it none.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
    #[serde(rename = "topOrigin")]
    top_origin: Option<serde_json::Value>,
}

/// Steps 5 to 12 of section 7.1, and 7 to 13 of section 7.2.
fn check_client_data(bytes: &[u8], kind: &str, expected: &Expected<'_>) -> Result<[u8; 32], Refused> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let text = std::str::from_utf8(bytes).map_err(|_| Refused::Malformed("the browser's part"))?;
    let said: ClientData = serde_json::from_str(text).map_err(|_| Refused::Malformed("the browser's part"))?;
    if said.kind != kind {
        return Err(Refused::Kind);
    }
    let challenge = URL_SAFE_NO_PAD.encode(expected.challenge);
    if !bool::from(said.challenge.as_bytes().ct_eq(challenge.as_bytes())) {
        return Err(Refused::Challenge);
    }
    // No page of this server is ever within another one.
    if said.origin != expected.origin || said.cross_origin || said.top_origin.is_some() {
        return Err(Refused::Origin);
    }
    Ok(Sha256::digest(bytes).into())
}

/// The data that the authenticator signs (section 6.1).
struct AuthenticatorData<'d> {
    flags: u8,
    count: u32,
    /// The identifier of a new credential, its key, and the same as it was written.
    credential: Option<(&'d [u8], PublicKey, &'d [u8])>,
}

impl<'d> AuthenticatorData<'d> {
    fn read(bytes: &'d [u8], expected: &Expected<'_>) -> Result<Self, Refused> {
        const MALFORMED: Refused = Refused::Malformed("the authenticator's part");
        let (hash, rest) = bytes.split_at_checked(32).ok_or(MALFORMED)?;
        let (&flags, rest) = rest.split_first().ok_or(MALFORMED)?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or(MALFORMED)?;
        if hash != Sha256::digest(expected.site.as_bytes()).as_slice() {
            return Err(Refused::Site);
        }
        let mut credential = None;
        if flags & HAS_CREDENTIAL != 0 {
            let (_aaguid, after) = rest.split_at_checked(16).ok_or(MALFORMED)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or(MALFORMED)?;
            let (id, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(MALFORMED)?;
            let mut decoder = Decoder::new(after);
            let key = PublicKey::read(&mut decoder)?;
            let (written, after) = after.split_at_checked(decoder.position()).ok_or(MALFORMED)?;
            credential = Some((id, key, written));
            rest = after;
        }
        if flags & HAS_EXTENSIONS != 0 {
            let mut decoder = Decoder::new(rest);
            let is_map = matches!(decoder.datatype(), Ok(minicbor::data::Type::Map));
            decoder.skip().map_err(|_| MALFORMED)?;
            rest = rest.get(decoder.position()..).filter(|_| is_map).ok_or(MALFORMED)?;
        }
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        let data = Self { flags, count: u32::from_be_bytes(*count), credential };
        data.check_flags(expected.verified)?;
        Ok(data)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Steps 15 to 17 of section 7.1, and 16 to 18 of section 7.2.
    fn check_flags(&self, verified: bool) -> Result<(), Refused> {
        if !self.has(USER_PRESENT) {
            return Err(Refused::Absent);
        }
        if verified && !self.has(USER_VERIFIED) {
            return Err(Refused::Unverified);
        }
        if self.has(BACKED_UP) && !self.has(BACKUP_ELIGIBLE) {
            return Err(Refused::Backup);
        }
        Ok(())
    }
}

/// The parts of an attestation object (section 6.5).
struct Attestation<'a> {
    format: &'a str,
    /// The algorithm and the signature of a statement by the key itself; nothing where the statement is empty.
    statement: Option<(i64, &'a [u8])>,
    data: &'a [u8],
}

impl<'a> Attestation<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        Self::parts(bytes).ok_or(Refused::Malformed("the attestation"))?
    }

    fn parts(bytes: &'a [u8]) -> Option<Result<Self, Refused>> {
        let mut decoder = Decoder::new(bytes);
        let (mut format, mut statement, mut data) = (None, None, None);
        for _ in 0..decoder.map().ok()?? {
            let is_new = match decoder.str().ok()? {
                "fmt" => format.replace(decoder.str().ok()?).is_none(),
                "authData" => data.replace(decoder.bytes().ok()?).is_none(),
                "attStmt" => {
                    let (mut algorithm, mut signature) = (None, None);
                    for _ in 0..decoder.map().ok()?? {
                        match decoder.str().ok()? {
                            "alg" => algorithm = Some(decoder.i64().ok()?),
                            "sig" => signature = Some(decoder.bytes().ok()?),
                            _ => return Some(Err(Refused::Attestation)),
                        }
                    }
                    let own = match (algorithm, signature) {
                        (None, None) => None,
                        (algorithm, signature) => Some((algorithm?, signature?)),
                    };
                    statement.replace(own).is_none()
                }
                _ => false,
            };
            if !is_new {
                return None;
            }
        }
        let is_whole = decoder.position() == bytes.len();
        Some(Ok(Self { format: format?, statement: statement?, data: data? })).filter(|_| is_whole)
    }
}

/// Verifies what a new passkey says (section 7.1).
pub(crate) fn register(expected: &Expected<'_>, client_data: &[u8], attestation: &[u8]) -> Result<Made, Refused> {
    let hash = check_client_data(client_data, "webauthn.create", expected)?;
    let attestation = Attestation::read(attestation)?;
    let data = AuthenticatorData::read(attestation.data, expected)?;
    let (eligible, backed_up) = (data.has(BACKUP_ELIGIBLE), data.has(BACKED_UP));
    let (id, key, written) = data.credential.ok_or(Refused::Malformed("the credential"))?;
    // None was asked for. What a key says of itself is as good as none, if it is its own.
    match (attestation.format, attestation.statement) {
        ("none", None) => {}
        ("packed", Some((algorithm, signature))) if algorithm == key.algorithm() => {
            let message = [attestation.data, &hash].concat();
            if !key.verifies(&message, signature) {
                return Err(Refused::Signature);
            }
        }
        _ => return Err(Refused::Attestation),
    }
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(Refused::Malformed("the credential"));
    }
    Ok(Made { id: id.to_vec(), key: written.to_vec(), count: data.count, eligible, backed_up })
}

/// Verifies that a passkey has answered (section 7.2). Whose it is was looked at before.
pub(crate) fn verify(expected: &Expected<'_>, kept: &Kept<'_>, signed: &Signed<'_>) -> Result<Counted, Refused> {
    let hash = check_client_data(signed.client_data, "webauthn.get", expected)?;
    let data = AuthenticatorData::read(signed.authenticator_data, expected)?;
    // Whether it may be in a backup is of the credential, and never changes.
    if data.has(BACKUP_ELIGIBLE) != kept.eligible {
        return Err(Refused::Backup);
    }
    let key = PublicKey::read(&mut Decoder::new(kept.key))?;
    let message = [signed.authenticator_data, &hash].concat();
    if !key.verifies(&message, signed.signature) {
        return Err(Refused::Signature);
    }
    // Those that do not count say 0 for ever.
    if (data.count > 0 || kept.count > 0) && data.count <= kept.count {
        return Err(Refused::Counter);
    }
    Ok(Counted { count: data.count, backed_up: data.has(BACKED_UP) })
}

#[cfg(test)]
mod tests;
