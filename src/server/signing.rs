//! The keys that ID tokens are signed with: ECDSA on P-256 (ES256), sealed under the server's own key.
//!
//! A key signs for ninety days; then a new one takes its place, and the old one stays published until no token of its
//! making can be alive. Every server finds them in the database, so that all sign with the same one.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::db::{DbError, Rows, values};
use super::keys::{FORM, KeyError, Keys};
use super::random;

/// How long a key signs.
const SIGNS: TimeDelta = TimeDelta::days(90);
/// How long it stays published after that: longer than any token lives.
const STAYS: TimeDelta = TimeDelta::hours(2);

/// The key that signs now.
pub(crate) struct SigningKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// The key in force; makes one where there is none or where it has signed for long enough.
    pub(crate) fn in_force(rows: &mut dyn Rows, keys: &Keys, now: DateTime<Utc>) -> Result<Self, KeyError> {
        let youngest = "SELECT id, sealed, created, COALESCE(key_version, 0) FROM signing_keys WHERE retired IS NULL \
             ORDER BY created DESC, id DESC";
        if let Some(mut row) = rows.first(youngest, &[])? {
            let (id, sealed, created, version) = (row.text(0)?, row.bytes(1)?, row.int(2)?, row.int(3)?);
            if now.timestamp_millis() - created < SIGNS.num_milliseconds() {
                let sealing = match keys.derived_of(rows, version, PURPOSE) {
                    // Somebody has written another version into the row.
                    Err(KeyError::None) => return Err(KeyError::DoesNotOpen),
                    key => key?,
                };
                let document = sealing.open(&sealed, &place(&id)).map_err(|_| KeyError::DoesNotOpen)?;
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &document);
                return Ok(Self { id, pair: pair.map_err(|_| KeyError::DoesNotOpen)? });
            }
        }
        Self::make(rows, keys, now)
    }

    /// Puts another key in its place, whenever that is asked for; its identifier.
    pub(crate) fn replace(rows: &mut dyn Rows, keys: &Keys, now: DateTime<Utc>) -> Result<String, KeyError> {
        Ok(Self::make(rows, keys, now)?.id)
    }

    fn make(rows: &mut dyn Rows, keys: &Keys, now: DateTime<Utc>) -> Result<Self, KeyError> {
        let (version, own) = keys.own_to_seal(rows)?;
        let sealing = own.derived(PURPOSE).ok_or(KeyError::None)?;
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| KeyError::NoRandom)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref());
        let pair = pair.map_err(|_| KeyError::NoRandom)?;
        let id = random::base62(20).map_err(|_| KeyError::NoRandom)?.to_string();
        let sealed = sealing.seal(document.as_ref(), &place(&id)).map_err(|_| KeyError::NoRandom)?;
        // The point without compression: a byte that says so, then x and y.
        let (x, y) = pair.public_key().as_ref().get(1..65).ok_or(KeyError::NoRandom)?.split_at(32);
        let at = now.timestamp_millis();
        // It signs no more: what is published of it is enough.
        let retire = "UPDATE signing_keys SET retired = COALESCE(retired, $1), sealed = $2, key_version = NULL \
                      WHERE retired IS NULL OR LENGTH(sealed) > 0";
        rows.execute(retire, values![at, &Vec::new()])?;
        let gone = at - STAYS.num_milliseconds();
        rows.execute("DELETE FROM signing_keys WHERE retired < $1", values![gone])?;
        rows.execute(
            "INSERT INTO signing_keys (id, x, y, sealed, created, key_version) VALUES ($1, $2, $3, $4, $5, $6)",
            values![&id, &URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y), &sealed, at, version],
        )?;
        Ok(Self { id, pair })
    }

    /// Claims as a signed token in the compact form (RFC 7515).
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        let header = json!({ "alg": "ES256", "kid": self.id, "typ": "JWT" }).to_string();
        let signed = [URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string())].join(".");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| KeyError::NoRandom)?;
        Ok([signed, URL_SAFE_NO_PAD.encode(signature)].join("."))
    }
}

/// The key under which the keys are sealed is made of one of the server's own for this.
const PURPOSE: &str = "signing-keys";

/// What a sealed key is bound to.
fn place(id: &str) -> [&str; 3] {
    [FORM, "signing-key", id]
}

/// Public keys (RFC 7517).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SigningKeys")]
pub(crate) struct Published {
    pub(crate) keys: Vec<PublicKey>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SigningKey")]
pub(crate) struct PublicKey {
    kty: &'static str,
    crv: &'static str,
    #[serde(rename = "use")]
    purpose: &'static str,
    alg: &'static str,
    pub(crate) kid: String,
    x: String,
    y: String,
}

/// The public keys by which a token of this server can be checked now (RFC 7517).
pub(crate) fn published(rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<Published, DbError> {
    let all = "SELECT id, x, y FROM signing_keys WHERE retired IS NULL OR retired > $1 ORDER BY created, id";
    let mut keys = Vec::new();
    for mut row in rows.query(all, values![(now - STAYS).timestamp_millis()])? {
        keys.push(PublicKey {
            kty: "EC",
            crv: "P-256",
            purpose: "sig",
            alg: "ES256",
            kid: row.text(0)?,
            x: row.text(1)?,
            y: row.text(2)?,
        });
    }
    Ok(Published { keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::id_token::{self, Expected};
    use crate::auth::jwks;
    use crate::secret::Secret;
    use crate::server::db::Reach;
    use crate::server::db::tests::Scratch;

    #[test]
    fn an_old_key_signs_no_more_and_is_believed_while_its_tokens_live() {
        let scratch = Scratch::new();
        let day = |days| DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(days);
        let key = |now| scratch.db.write(Reach::Server, |rows| SigningKey::in_force(rows, &scratch.keys, now)).unwrap();
        let set = |now| scratch.db.read(Reach::Server, |rows| published(rows, now)).unwrap();
        let text = |now| serde_json::to_string(&set(now)).unwrap();
        let first = key(day(0));
        assert_eq!(key(day(89)).id, first.id);
        let second = key(day(90));
        assert_ne!(second.id, first.id);
        assert_eq!(set(day(90)).keys.len(), 2);
        let expected = Expected {
            issuer: "https://id.example",
            client_id: "lanyard",
            nonce: None,
            access_token: None,
            max_age: None,
            subject: None,
        };
        for (key, now) in [(&first, day(90)), (&second, day(90))] {
            let claims = json!({
                "iss": "https://id.example", "aud": "lanyard", "sub": "alice",
                "iat": now.timestamp(), "exp": now.timestamp() + 900,
            });
            let token = Secret::new(key.sign(&claims).unwrap());
            let keys = jwks::Keys::parse(text(now).as_bytes()).unwrap();
            assert_eq!(id_token::verify(&token, &keys, &expected, now).unwrap().subject, "alice");
        }
        assert_eq!(set(day(91)).keys.len(), 1, "its tokens have ended");
        assert!(!text(day(90)).contains("\"d\""));
    }

    #[test]
    fn a_key_that_was_put_elsewhere_does_not_open() {
        let scratch = Scratch::new();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        scratch.db.write(Reach::Server, |rows| SigningKey::in_force(rows, &scratch.keys, now)).unwrap();
        scratch.db.write(Reach::Server, |rows| rows.batch("UPDATE signing_keys SET id = 'another'")).unwrap();
        let opened = scratch.db.write(Reach::Server, |rows| SigningKey::in_force(rows, &scratch.keys, now));
        assert!(matches!(opened, Err(KeyError::DoesNotOpen)));
    }
}
