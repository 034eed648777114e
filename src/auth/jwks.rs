//! The issuer's public keys (RFC 7517). A key that does not fit its purpose is skipped; a symmetric one is never used.

use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::id_token::IdTokenError;
use super::jws::{self, Algorithm, Compact};
use crate::error::Result;
use crate::http::{Http, Request, Url};

/// How many keys a set may hold.
const MAX_KEYS: usize = 100;
/// The bits of an RSA modulus that are accepted; the signature library sets the upper end.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The keys of an issuer that can verify a signature.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

/// One of them.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that the issuer uses it for, where it says so.
    algorithm: Option<Algorithm>,
    kind: Kind,
    public: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    Ed25519,
}

impl Kind {
    fn fits(self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::Ps384
            | Algorithm::Ps512 => self == Self::Rsa,
            Algorithm::Es256 => self == Self::P256,
            Algorithm::EdDsa => self == Self::Ed25519,
        }
    }
}

impl Keys {
    /// Reads a key set. Keys that cannot be used are left out; the set itself must be well-formed.
    pub fn parse(bytes: &[u8]) -> Result<Self, IdTokenError> {
        let set = jws::object(bytes).ok_or(IdTokenError::Keys("it is no JSON object with distinct members"))?;
        let Some(Value::Array(keys)) = set.get("keys") else {
            return Err(IdTokenError::Keys("it has no list of keys"));
        };
        if keys.len() > MAX_KEYS {
            return Err(IdTokenError::Keys("it holds more than 100 keys"));
        }
        Ok(Self(keys.iter().filter_map(|key| Key::read(key.as_object()?)).collect()))
    }

    /// Fetches the issuer's key set.
    pub fn fetch(http: &dyn Http, jwks_uri: &Url) -> Result<Self> {
        let answer = http.send(Request::get(jwks_uri.clone()))?;
        if !answer.is_success() {
            return Err(IdTokenError::KeysStatus(answer.status).into());
        }
        Ok(Self::parse(&answer.body)?)
    }

    /// Checks the signature of `token` by the keys that it may have been made with.
    ///
    /// A key that the token brings along or points to is not looked at.
    pub(super) fn check(&self, token: &Compact<'_>, algorithm: Algorithm) -> Result<(), IdTokenError> {
        let id = match token.header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(IdTokenError::Malformed("its key id is no text")),
        };
        let mut candidates = self.0.iter().filter(|key| key.may_have_made(id, algorithm)).peekable();
        if candidates.peek().is_none() {
            return Err(IdTokenError::UnknownKey);
        }
        if candidates.any(|key| key.has_made(token, algorithm)) { Ok(()) } else { Err(IdTokenError::Signature) }
    }
}

impl Key {
    /// A key that can be used to verify, or `None`.
    pub(super) fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        // A private key that everybody can read proves nothing any more.
        let private = key.contains_key("d");
        let for_signatures = key.get("use").is_none_or(|usage| usage == "sig");
        let may_verify = key
            .get("key_ops")
            .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|operation| operation == "verify")));
        if private || !for_signatures || !may_verify {
            return None;
        }
        let (kind, public) = match (text("kty")?, text("crv")) {
            ("RSA", None) => (Kind::Rsa, rsa(text("n")?, text("e")?)?),
            ("EC", Some("P-256")) => (Kind::P256, p256(text("x")?, text("y")?)?),
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, ed25519(text("x")?)?),
            _ => return None,
        };
        let algorithm = match key.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::from_name(name.as_str()?).filter(|algorithm| kind.fits(*algorithm))?),
        };
        let id = match key.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        Some(Self { id, algorithm, kind, public })
    }

    /// Whether it made the signature of `token`.
    pub(super) fn has_made(&self, token: &Compact<'_>, algorithm: Algorithm) -> bool {
        let signed = token.signed.as_bytes();
        self.kind.fits(algorithm)
            && jsonwebtoken::crypto::verify(token.signature, signed, &self.public, algorithm.library()).unwrap_or(false)
    }

    fn may_have_made(&self, id: Option<&String>, algorithm: Algorithm) -> bool {
        let named = match (&self.id, id) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        named && self.kind.fits(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

fn rsa(modulus: &str, exponent: &str) -> Option<DecodingKey> {
    let (modulus, exponent) = (jws::decode(modulus)?, jws::decode(exponent)?);
    let (modulus, exponent) = (without_zeros(&modulus), without_zeros(&exponent));
    let bits = modulus.len() * 8 - usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    // An exponent of 1 would make every signature valid; an even one makes none.
    let sound = RSA_BITS.contains(&bits) && exponent.len() <= 4 && exponent != [1] && exponent.last()? % 2 == 1;
    sound.then(|| DecodingKey::from_rsa_raw_components(modulus, exponent))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn p256(x: &str, y: &str) -> Option<DecodingKey> {
    let whole = jws::decode(x)?.len() == 32 && jws::decode(y)?.len() == 32;
    whole.then(|| DecodingKey::from_ec_components(x, y).ok())?
}

fn ed25519(x: &str) -> Option<DecodingKey> {
    let whole = jws::decode(x)?.len() == 32;
    whole.then(|| DecodingKey::from_ed_components(x).ok())?
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use serde_json::json;

    use super::*;
    use crate::http::{HeaderMap, Response, Unreachable};

    fn rsa_key(bits: usize) -> Value {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        json!({"kty": "RSA", "n": base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key.as_object_mut().unwrap().insert(name.into(), value);
        key
    }

    fn usable(key: &Value) -> bool {
        Keys::parse(json!({"keys": [key]}).to_string().as_bytes()).unwrap().0.len() == 1
    }

    #[test]
    fn keys_that_do_not_fit_are_skipped() {
        let half = "A".repeat(43);
        let p256 = json!({"kty": "EC", "crv": "P-256", "x": half, "y": half});
        let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": half});
        let good = [
            rsa_key(2048),
            rsa_key(8192),
            with(rsa_key(2048), "alg", json!("PS256")),
            with(rsa_key(2048), "use", json!("sig")),
            with(rsa_key(2048), "key_ops", json!(["verify"])),
            p256.clone(),
            ed25519.clone(),
            with(ed25519.clone(), "alg", json!("Ed25519")),
        ];
        let bad = [
            json!("text"),
            json!({"kty": "oct", "k": half, "alg": "HS256"}),
            json!({"kty": "oct", "k": half, "alg": "RS256"}),
            rsa_key(1024),
            rsa_key(2040),
            rsa_key(16384),
            with(rsa_key(2048), "e", json!("AQ")),
            with(rsa_key(2048), "e", json!("Ag")),
            with(rsa_key(2048), "e", json!("")),
            with(rsa_key(2048), "n", json!("")),
            with(rsa_key(2048), "n", json!("AQAB==")),
            with(rsa_key(2048), "d", json!("AQAB")),
            with(rsa_key(2048), "use", json!("enc")),
            with(rsa_key(2048), "key_ops", json!(["sign"])),
            with(rsa_key(2048), "alg", json!("ES256")),
            with(rsa_key(2048), "alg", json!("RS1")),
            with(rsa_key(2048), "alg", json!("HS256")),
            with(rsa_key(2048), "crv", json!("P-256")),
            with(rsa_key(2048), "kid", json!(7)),
            with(p256.clone(), "crv", json!("P-384")),
            with(p256.clone(), "crv", json!("secp256k1")),
            with(p256, "x", json!("AQAB")),
            with(ed25519.clone(), "crv", json!("X25519")),
            with(ed25519, "x", json!("AQAB")),
        ];
        for key in good {
            assert!(usable(&key), "{key}");
        }
        for key in bad {
            assert!(!usable(&key), "{key}");
        }
    }

    #[test]
    fn a_set_has_limits() {
        let set = |count| json!({"keys": vec![rsa_key(2048); count]}).to_string();
        assert_eq!(Keys::parse(set(100).as_bytes()).unwrap().0.len(), 100);
        for bad in [set(101).as_str(), "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, "<html>"] {
            assert!(matches!(Keys::parse(bad.as_bytes()), Err(IdTokenError::Keys(_))));
        }
    }

    #[test]
    fn a_failed_fetch_gives_no_keys() {
        let url = Url::parse("https://id.example/jwks").unwrap();
        let answer = |status, body: &'static str| {
            move |_: Request| -> Result<Response, Unreachable> {
                Ok(Response { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec().into() })
            }
        };
        assert!(Keys::fetch(&answer(200, r#"{"keys":[]}"#), &url).is_ok());
        assert!(Keys::fetch(&answer(500, r#"{"keys":[]}"#), &url).is_err());
        assert!(Keys::fetch(&answer(200, "nothing"), &url).is_err());
    }
}
