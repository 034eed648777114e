//! Passkeys: keys of a person's own devices, by which they sign in without a passphrase, or beside it.
//!
//! A challenge is in the database until it is answered, once, within some minutes, for what it was made for and in the
//! session that it was made for. What an authenticator says is verified by `webauthn.rs`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Host;

use super::db::{DbError, Rows, values};
use super::keys::KeyError;
use super::people::Person;
use super::problem::{Answer, Problem};
use super::state::{Server, now};
use super::token::{self, Kind};
use crate::secret::Secret;

mod cose;
mod rows;
mod webauthn;

pub(crate) use rows::{Added, Passkey, all_of, has_any, remove};
pub(crate) use webauthn::Refused;
use webauthn::{Expected, Kept, Signed};

/// A challenge has to be answered within this time.
const LIFE: TimeDelta = TimeDelta::minutes(5);
/// So many passkeys a person has at most.
pub(crate) const MOST: usize = 32;

/// What a passkey is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be one of a person's.
    Add,
    /// To sign in.
    SignIn,
    /// To stand beside a passphrase.
    SecondFactor,
    /// To show once more who it is.
    Prove,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::SignIn => "sign-in",
            Self::SecondFactor => "second-factor",
            Self::Prove => "prove",
        }
    }
}

/// The name of this server as a site: its host. An address in numbers is none, so that there are no passkeys there.
pub(crate) fn site(server: &Server) -> Option<&str> {
    match server.public.host() {
        Some(Host::Domain(host)) => Some(host),
        _ => None,
    }
}

/// A question to a passkey.
pub(crate) struct Question {
    /// What comes back with the answer.
    pub(crate) token: Secret,
    /// What the browser is told, as JSON.
    pub(crate) options: Value,
}

/// Asks a passkey. `belongs` is the public part of the session, or of the sign-in that is half done; with a person, only
/// theirs are asked.
pub(crate) fn ask(
    rows: &mut dyn Rows,
    server: &Server,
    purpose: Purpose,
    belongs: &str,
    person: Option<&Person>,
) -> Answer<Question> {
    let site = site(server).ok_or_else(|| Problem::invalid("this server has no name that a passkey could be of"))?;
    let minted = token::mint(Kind::Question)?;
    let mut challenge = [0; 32];
    getrandom::fill(&mut challenge)?;
    rows.execute(
        "INSERT INTO passkey_challenges (id, hash, challenge, purpose, belongs, person, expires) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        values![
            &minted.id,
            &minted.hash,
            &challenge,
            purpose.word(),
            belongs,
            person.map(|person| person.id.as_str()),
            (now() + LIFE).timestamp_millis(),
        ],
    )?;
    let known = match person {
        Some(person) => all_of(rows, &person.id)?.iter().map(Passkey::descriptor).collect(),
        None => Vec::new(),
    };
    let challenge = URL_SAFE_NO_PAD.encode(challenge);
    let timeout = LIFE.num_milliseconds();
    let options = match (purpose, person) {
        (Purpose::Add, Some(person)) => json!({
            "rp": { "id": site, "name": "Lanyard" },
            "user": {
                "id": URL_SAFE_NO_PAD.encode(&person.id), "name": person.login, "displayName": person.login,
            },
            "challenge": challenge,
            "pubKeyCredParams":
                cose::ALGORITHMS.map(|algorithm| json!({ "type": "public-key", "alg": algorithm })),
            "timeout": timeout,
            "excludeCredentials": known,
            "authenticatorSelection":
                { "residentKey": "required", "requireResidentKey": true, "userVerification": "required" },
            "attestation": "none",
        }),
        _ => json!({
            "challenge": challenge, "rpId": site, "timeout": timeout, "userVerification": "required",
            "allowCredentials": known,
        }),
    };
    Ok(Question { token: minted.token, options })
}

/// A question that was asked, while it is being answered.
pub(crate) struct Asked {
    challenge: Vec<u8>,
    /// Whose passkeys were asked; anybody's where there is none.
    person: Option<String>,
}

/// The question of a token, if it was asked for this. There is no second time, whatever comes of it.
pub(crate) fn asked(
    rows: &mut dyn Rows,
    text: &Secret,
    purpose: Purpose,
    belongs: &str,
    now: DateTime<Utc>,
) -> Result<Option<Asked>, DbError> {
    let parsed = token::parse(text.expose()).filter(|parsed| parsed.kind == Kind::Question);
    let Some(parsed) = parsed else { return Ok(None) };
    let one = "SELECT hash, challenge, purpose, belongs, person, expires FROM passkey_challenges WHERE id = $1";
    let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(None) };
    if !parsed.is(&row.bytes(0)?) {
        return Ok(None);
    }
    if rows.execute("DELETE FROM passkey_challenges WHERE id = $1", values![&parsed.id])? == 0 {
        return Ok(None);
    }
    let (challenge, word, whose, person) = (row.bytes(1)?, row.text(2)?, row.text(3)?, row.maybe_text(4)?);
    let is_for_this = word == purpose.word() && whose == belongs && now.timestamp_millis() < row.int(5)?;
    Ok(is_for_this.then_some(Asked { challenge, person }))
}

/// What the script sends.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    id: String,
    client_data: String,
    attestation: Option<String>,
    authenticator_data: Option<String>,
    signature: Option<String>,
    user_handle: Option<String>,
    #[serde(default)]
    transports: Vec<String>,
}

fn bytes(text: Option<&String>) -> Result<Vec<u8>, Refused> {
    let text = text.ok_or(Refused::Malformed("a part"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed("a part"))
}

impl Sent {
    fn read(text: &Secret) -> Result<Self, Refused> {
        serde_json::from_str(text.expose()).map_err(|_| Refused::Malformed("the whole"))
    }
}

impl Asked {
    fn expected<'e>(&'e self, server: &'e Server, origin: &'e str) -> Expected<'e> {
        let site = site(server).unwrap_or_default();
        Expected { challenge: &self.challenge, origin, site, verified: true }
    }

    /// Verifies a new passkey of whoever was asked. It is not kept yet.
    pub(crate) fn made(&self, server: &Server, answer: &Secret, name: &str) -> Result<Passkey, Refused> {
        let person = self.person.clone().ok_or(Refused::Person)?;
        let sent = Sent::read(answer)?;
        let origin = server.public.origin().ascii_serialization();
        let (client_data, attestation) = (bytes(Some(&sent.client_data))?, bytes(sent.attestation.as_ref())?);
        let made = webauthn::register(&self.expected(server, &origin), &client_data, &attestation)?;
        let id = URL_SAFE_NO_PAD.encode(&made.id);
        if id != sent.id {
            return Err(Refused::Malformed("the credential"));
        }
        let known = ["ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"];
        let transports = sent.transports.into_iter().filter(|one| known.contains(&one.as_str())).collect();
        Ok(Passkey {
            id,
            person,
            name: name.to_owned(),
            key: made.key,
            count: made.count,
            eligible: made.eligible,
            backed_up: made.backed_up,
            transports,
            created: now().timestamp_millis(),
            used: None,
        })
    }

    /// Whose passkey has answered, once all of it holds; the use is noted. Else why it does not, and whose it is.
    pub(crate) fn answered(
        &self,
        rows: &mut dyn Rows,
        server: &Server,
        answer: &Secret,
    ) -> Result<Result<String, (Refused, Option<String>)>, KeyError> {
        let sent = match Sent::read(answer) {
            Ok(sent) => sent,
            Err(refused) => return Ok(Err((refused, None))),
        };
        let Some(passkey) = Passkey::one(rows, &sent.id)? else { return Ok(Err((Refused::Person, None))) };
        let counted = match self.verified(server, &sent, &passkey) {
            Ok(counted) => counted,
            Err(refused) => return Ok(Err((refused, Some(passkey.person)))),
        };
        // Whoever was faster with the same passkey has counted on.
        if !passkey.note_use(rows, counted.count, counted.backed_up, now())? {
            return Ok(Err((Refused::Counter, Some(passkey.person))));
        }
        Ok(Ok(passkey.person))
    }

    fn verified(&self, server: &Server, sent: &Sent, passkey: &Passkey) -> Result<webauthn::Counted, Refused> {
        // Step 6 of section 7.2: the person who was asked, or the one whom the passkey itself names.
        let handle = sent.user_handle.as_ref().map(|handle| bytes(Some(handle))).transpose()?;
        let is_named = handle.as_ref().map(|handle| *handle == passkey.person.as_bytes());
        let is_theirs = match &self.person {
            Some(person) => *person == passkey.person && is_named != Some(false),
            None => is_named == Some(true),
        };
        if !is_theirs {
            return Err(Refused::Person);
        }
        let origin = server.public.origin().ascii_serialization();
        let client_data = bytes(Some(&sent.client_data))?;
        let (authenticator_data, signature) =
            (bytes(sent.authenticator_data.as_ref())?, bytes(sent.signature.as_ref())?);
        let signed =
            Signed { client_data: &client_data, authenticator_data: &authenticator_data, signature: &signature };
        let kept = Kept { key: &passkey.key, count: passkey.count, eligible: passkey.eligible };
        webauthn::verify(&self.expected(server, &origin), &kept, &signed)
    }
}
