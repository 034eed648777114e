//! ID tokens: whether one was made by the issuer, for this client, in this sign-in, and is valid now.
//!
//! The checks are those of OpenID Connect Core section 3.1.3.7 with the hardening of RFC 8725. jsonwebtoken verifies
//! the signature and nothing else; what is accepted is decided here.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::jwks::Keys;
use super::jws::{Algorithm, Compact};
use crate::error::{Code, Failure};
use crate::secret::Secret;
use crate::text::clean;

/// How far the clocks of this computer and the issuer may differ.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// The longest subject (OpenID Connect Core section 2).
const MAX_SUBJECT: usize = 255;
/// The last second of the year 9999: a later date is a mistake.
const MAX_TIME: f64 = 253_402_300_799.0;

/// What an ID token must say.
pub struct Expected<'a> {
    /// The issuer that was asked.
    pub issuer: &'a str,
    /// This client.
    pub client_id: &'a str,
    /// The nonce of this sign-in; `None` where none was sent, and the token need not have one.
    pub nonce: Option<&'a str>,
    /// The access token that came along, for `at_hash`.
    pub access_token: Option<&'a Secret>,
    /// How many seconds ago the person may have signed in, where that was asked for.
    pub max_age: Option<u64>,
    /// The subject that is known already, where one is.
    pub subject: Option<&'a str>,
}

/// What a verified ID token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The account at the issuer. With the issuer, the only lasting name of a person.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// Whom the token is for; this client among them.
    pub audience: Vec<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether the issuer verified the address.
    pub email_verified: Option<bool>,
    /// The name that the person goes by at the service.
    pub preferred_username: Option<String>,
    /// The person's full name.
    pub name: Option<String>,
}

/// Why an ID token, or the keys to check it with, are not accepted. Quotes nothing of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// It is no signed token in the compact form.
    #[error("the ID token is malformed: {0}")]
    Malformed(&'static str),
    /// The algorithm is none that is accepted.
    #[error("the ID token is not signed by RSA (RS256 to PS512), ES256 or EdDSA")]
    Algorithm,
    /// The header demands something that is not understood.
    #[error("the ID token's header demands an extension that is not supported")]
    Extension,
    /// It is another sort of token.
    #[error("the token offered as ID token is one of another type")]
    Type,
    /// The issuer's keys hold none that fits. They may have changed: fetch them again, once.
    #[error("the ID token is signed by a key that the issuer does not list")]
    UnknownKey,
    /// The signature is not valid.
    #[error("the ID token's signature is not valid")]
    Signature,
    /// A claim is missing, of a wrong type or not what was expected.
    #[error("the ID token's {claim} {problem}")]
    Claim {
        /// The claim, such as `iss`.
        claim: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The key set is malformed.
    #[error("the issuer's key set cannot be used: {0}")]
    Keys(&'static str),
    /// The key set was not given.
    #[error("the issuer answered the request for its keys with status {0}")]
    KeysStatus(u16),
}

/// What is wrong with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is required and is not there.
    #[error("is missing")]
    Missing,
    /// It has another type than the standard gives it.
    #[error("has the wrong type")]
    WrongType,
    /// It says something else than expected.
    #[error("is not the expected one")]
    Mismatch,
    /// A time that has passed.
    #[error("has passed")]
    Past,
    /// A time that has not come.
    #[error("lies in the future")]
    Future,
    /// Empty or longer than the standard allows.
    #[error("is empty or too long")]
    Length,
}

impl Failure for IdTokenError {
    fn code(&self) -> Code {
        match self {
            Self::KeysStatus(status) if *status >= 500 => Code::Unreachable,
            _ => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Claim { problem: Problem::Past | Problem::Future, .. } => {
                "check the clock of this computer, then sign in again; `lanyard doctor` compares it".into()
            }
            Self::Claim { claim: "iss" | "aud" | "azp", .. } => {
                "check `issuer` and `client_id` of the service in the configuration".into()
            }
            Self::Claim { claim: "sub", problem: Problem::Mismatch } => {
                "sign in again with `lanyard auth login`; the service answered for another account".into()
            }
            Self::KeysStatus(_) => "try again; if it stays so, the service is in trouble".into(),
            _ => "sign in again; if it stays so, tell whoever runs the service: its ID tokens cannot be trusted".into(),
        })
    }
}

/// Verifies an ID token and returns what it says.
pub fn verify(
    token: &Secret,
    keys: &Keys,
    expected: &Expected<'_>,
    now: DateTime<Utc>,
) -> Result<Claims, IdTokenError> {
    let token = Compact::parse(token.expose()).map_err(IdTokenError::Malformed)?;
    let algorithm = check_header(&token.header)?;
    keys.check(&token, algorithm)?;
    let claims =
        token.claims().ok_or(IdTokenError::Malformed("its payload is no JSON object with distinct members"))?;
    let reader = Reader { claims: &claims, expected, now };
    reader.check_origin()?;
    let (expires_at, issued_at) = reader.check_times()?;
    reader.check_binding(algorithm)?;
    Ok(Claims {
        subject: reader.subject()?,
        issuer: expected.issuer.to_owned(),
        audience: reader.audience()?,
        expires_at,
        issued_at,
        email: reader.optional("email"),
        email_verified: reader.email_verified(),
        preferred_username: reader.optional("preferred_username"),
        name: reader.optional("name"),
    })
}

/// What a JWT says, unverified: to be shown, never to be acted on.
pub fn unverified_claims(token: &Secret) -> Option<Value> {
    Compact::parse(token.expose()).ok()?.claims().map(Value::Object)
}

/// Refuses a header that is not that of a plainly signed ID token; returns the algorithm.
///
/// `jwk`, `jku`, `x5c` and `x5u` are not looked at: a token does not choose the key that it is checked with.
fn check_header(header: &Map<String, Value>) -> Result<Algorithm, IdTokenError> {
    let algorithm =
        header.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name).ok_or(IdTokenError::Algorithm)?;
    // No extension is understood, so every critical one is unknown (RFC 7515 section 4.1.11).
    if header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != true) {
        return Err(IdTokenError::Extension);
    }
    match header.get("typ") {
        None => Ok(algorithm),
        // Explicit types such as at+jwt and logout+jwt say what a token is for, and it is not this (RFC 8725, 3.11).
        Some(Value::String(kind)) if !kind.to_ascii_lowercase().ends_with("+jwt") => Ok(algorithm),
        Some(_) => Err(IdTokenError::Type),
    }
}

/// The claims of a token whose signature is valid, beside what they must be.
struct Reader<'a> {
    claims: &'a Map<String, Value>,
    expected: &'a Expected<'a>,
    now: DateTime<Utc>,
}

impl Reader<'_> {
    /// The issuer and the client: `iss`, `aud`, `azp`.
    fn check_origin(&self) -> Result<(), IdTokenError> {
        if self.text("iss")? != self.expected.issuer {
            return Err(wrong("iss", Problem::Mismatch));
        }
        let client_id = self.expected.client_id;
        let audience = self.audience()?;
        if !audience.iter().any(|one| one == client_id) {
            return Err(wrong("aud", Problem::Mismatch));
        }
        let names_party = self.claims.contains_key("azp") || audience.len() > 1;
        if names_party && self.text("azp")? != client_id {
            return Err(wrong("azp", Problem::Mismatch));
        }
        Ok(())
    }

    /// `exp`, `iat`, `nbf`, and `auth_time` where an age was asked for; returns the first two.
    fn check_times(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), IdTokenError> {
        let expires_at = self.time("exp")?;
        if expires_at <= self.now - SKEW {
            return Err(wrong("exp", Problem::Past));
        }
        let issued_at = self.time("iat")?;
        if issued_at > self.now + SKEW {
            return Err(wrong("iat", Problem::Future));
        }
        if self.claims.contains_key("nbf") && self.time("nbf")? > self.now + SKEW {
            return Err(wrong("nbf", Problem::Future));
        }
        if let Some(max_age) = self.expected.max_age {
            let signed_in = self.time("auth_time")?;
            if signed_in > self.now + SKEW {
                return Err(wrong("auth_time", Problem::Future));
            }
            let age = (self.now - SKEW - signed_in).num_seconds();
            if u64::try_from(age).is_ok_and(|age| age > max_age) {
                return Err(wrong("auth_time", Problem::Past));
            }
        }
        Ok((expires_at, issued_at))
    }

    /// What ties the token to this sign-in and to the access token: `nonce`, `at_hash`.
    fn check_binding(&self, algorithm: Algorithm) -> Result<(), IdTokenError> {
        if let Some(nonce) = self.expected.nonce {
            self.same("nonce", nonce)?;
        }
        if let Some(access_token) = self.expected.access_token
            && self.claims.contains_key("at_hash")
        {
            self.same("at_hash", &algorithm.half_hash(access_token.expose()))?;
        }
        Ok(())
    }

    fn subject(&self) -> Result<String, IdTokenError> {
        let subject = self.text("sub")?;
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT {
            return Err(wrong("sub", Problem::Length));
        }
        if self.expected.subject.is_some_and(|known| known != subject) {
            return Err(wrong("sub", Problem::Mismatch));
        }
        Ok(subject.to_owned())
    }

    /// `aud`: one text, or a list of them.
    fn audience(&self) -> Result<Vec<String>, IdTokenError> {
        match self.required("aud")? {
            Value::String(one) => Ok(vec![one.clone()]),
            Value::Array(several) => several
                .iter()
                .map(|one| one.as_str().map(str::to_owned).ok_or(wrong("aud", Problem::WrongType)))
                .collect(),
            _ => Err(wrong("aud", Problem::WrongType)),
        }
    }

    /// A boolean; some issuers send it as text.
    fn email_verified(&self) -> Option<bool> {
        match self.claims.get("email_verified")? {
            Value::Bool(verified) => Some(*verified),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn required(&self, claim: &'static str) -> Result<&Value, IdTokenError> {
        self.claims.get(claim).ok_or(wrong(claim, Problem::Missing))
    }

    fn text(&self, claim: &'static str) -> Result<&str, IdTokenError> {
        self.required(claim)?.as_str().ok_or(wrong(claim, Problem::WrongType))
    }

    fn optional(&self, claim: &str) -> Option<String> {
        self.claims.get(claim)?.as_str().map(clean).filter(|text| !text.is_empty())
    }

    /// A number of seconds; fractions are allowed (RFC 7519, `NumericDate`) and cut off.
    fn time(&self, claim: &'static str) -> Result<DateTime<Utc>, IdTokenError> {
        let seconds = self.required(claim)?.as_f64().ok_or(wrong(claim, Problem::WrongType))?;
        if !(0.0..=MAX_TIME).contains(&seconds) {
            return Err(wrong(claim, Problem::WrongType));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked, and the fraction is to be cut off")]
        let seconds = seconds as i64;
        DateTime::from_timestamp(seconds, 0).ok_or(wrong(claim, Problem::WrongType))
    }

    /// Compares a claim in constant time.
    fn same(&self, claim: &'static str, expected: &str) -> Result<(), IdTokenError> {
        if self.text(claim)?.as_bytes().ct_eq(expected.as_bytes()).into() {
            Ok(())
        } else {
            Err(wrong(claim, Problem::Mismatch))
        }
    }
}

fn wrong(claim: &'static str, problem: Problem) -> IdTokenError {
    IdTokenError::Claim { claim, problem }
}

#[cfg(test)]
mod tests;
