//! Proofs that a program has a key (DPoP, RFC 9449): read strictly, as section 4.3 has it. Whether one was seen before is for
//! whoever keeps them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::jwks::Key;
use super::jws::{Algorithm, Compact};
use crate::http::Url;

/// The algorithms that a proof may be signed with.
pub const ALGORITHMS: [&str; 3] = ["ES256", "Ed25519", "EdDSA"];
/// A proof is good for so many seconds; a clock may be so many ahead.
pub const FRESH: i64 = 60;
const AHEAD: i64 = 30;
/// The longest proof and the longest identifier of one.
const LONGEST: usize = 8 << 10;
const LONGEST_ID: usize = 256;

/// The request that a proof is for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// The address, whose query does not count.
    pub address: &'a Url,
    /// The SHA-256 of the access token that goes with it, encoded.
    pub token_hash: Option<&'a str>,
}

/// A proof that is good, as long as it was not seen before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of the key (RFC 7638).
    pub key: String,
    /// What tells it from every other one of that key.
    pub id: String,
}

/// Reads a proof; the error says what is wrong with it in a few words and quotes nothing.
pub fn check(text: &str, asked: &Asked<'_>, now: DateTime<Utc>) -> Result<Proof, &'static str> {
    if text.len() > LONGEST {
        return Err("the proof is too long");
    }
    let proof = Compact::parse(text)?;
    let member = |name: &str| proof.header.get(name).and_then(Value::as_str);
    if member("typ") != Some("dpop+jwt") {
        return Err("it is no proof");
    }
    if proof.header.contains_key("crit") {
        return Err("the proof asks for what is not known here");
    }
    let algorithm = member("alg").filter(|name| ALGORITHMS.contains(name)).and_then(Algorithm::from_name);
    let algorithm = algorithm.ok_or("the proof is signed in a way that is not taken")?;
    let jwk = proof.header.get("jwk").and_then(Value::as_object).ok_or("the proof has no key")?;
    let key = Key::read(jwk).ok_or("the key of the proof is none that is taken")?;
    if !key.has_made(&proof, algorithm) {
        return Err("the signature of the proof is wrong");
    }
    let claims = proof.claims().ok_or("the proof says nothing that can be read")?;
    let claim = |name: &str| claims.get(name).and_then(Value::as_str);
    if claim("htm") != Some(asked.method) {
        return Err("the proof is for another method");
    }
    let address = claim("htu").and_then(|text| Url::parse(text).ok()).map(bare).ok_or("the proof names no address")?;
    if address != bare(asked.address.clone()) {
        return Err("the proof is for another address");
    }
    let made = claims.get("iat").and_then(Value::as_i64).ok_or("the proof does not say when it was made")?;
    if !(now.timestamp() - FRESH..=now.timestamp() + AHEAD).contains(&made) {
        return Err("the proof is not fresh");
    }
    if claim("ath") != asked.token_hash {
        return Err("the proof is for another token");
    }
    let id = claim("jti").filter(|id| !id.is_empty() && id.len() <= LONGEST_ID).ok_or("the proof has no identifier")?;
    Ok(Proof { key: thumbprint(jwk).ok_or("the key of the proof is none that is taken")?, id: id.to_owned() })
}

/// An address without its query and fragment.
fn bare(mut address: Url) -> Url {
    address.set_query(None);
    address.set_fragment(None);
    address
}

/// The thumbprint of a key (RFC 7638): the hash of what it is, its members in order.
fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let (crv, kty, x) = (jwk.get("crv")?, jwk.get("kty")?, jwk.get("x")?);
    let members = match jwk.get("y") {
        Some(y) if kty == "EC" => json!({ "crv": crv, "kty": kty, "x": x, "y": y }),
        _ if kty == "OKP" => json!({ "crv": crv, "kty": kty, "x": x }),
        _ => return None,
    };
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(members.to_string())))
}

/// Whether a text can be a thumbprint.
pub fn is_thumbprint(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn jwk(&self) -> Value {
            let point = self.0.public_key().as_ref();
            let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    const NOW: i64 = 1_800_000_000;

    fn checked(text: &str, token_hash: Option<&str>) -> Result<Proof, &'static str> {
        let address = Url::parse("https://id.example/token?a=b").unwrap();
        let asked = Asked { method: "POST", address: &address, token_hash };
        check(text, &asked, DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn a_proof_is_for_one_request_and_one_key() {
        let (signer, other) = (Signer::new(), Signer::new());
        let header = || json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": signer.jwk() });
        let claims = || json!({ "htm": "POST", "htu": "https://ID.example:443/token#x", "iat": NOW - 60, "jti": "1" });
        let good = checked(&signer.sign(&header(), &claims()), None).unwrap();
        assert!(is_thumbprint(&good.key) && good.id == "1");
        let with = |base: Value, name: &str, value: Value| {
            let mut changed = base;
            changed[name] = value;
            changed
        };
        for (name, value) in [
            ("htm", json!("GET")),
            ("htm", json!("post")),
            ("htu", json!("https://id.example/")),
            ("htu", json!("https://id.example.evil/token")),
            ("htu", json!("http://id.example/token")),
            ("htu", json!("/token")),
            ("iat", json!(NOW - 61)),
            ("iat", json!(NOW + 31)),
            ("iat", json!("1800000000")),
            ("jti", json!("")),
            ("jti", json!("x".repeat(257))),
            ("jti", Value::Null),
            ("ath", json!("x")),
        ] {
            let proof = signer.sign(&header(), &with(claims(), name, value.clone()));
            assert!(checked(&proof, None).is_err(), "{name} {value}");
        }
        let mut private = signer.jwk();
        private["d"] = json!("AA");
        for (name, value) in [
            ("typ", json!("JWT")),
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("alg", json!("RS256")),
            ("alg", json!("EdDSA")),
            ("jwk", Value::Null),
            ("jwk", json!({ "kty": "oct", "k": "AA" })),
            ("jwk", private),
            ("jwk", other.jwk()),
            ("crit", json!(["b64"])),
        ] {
            let proof = signer.sign(&with(header(), name, value.clone()), &claims());
            assert!(checked(&proof, None).is_err(), "{name} {value}");
        }
        let bound = signer.sign(&header(), &with(claims(), "ath", json!("hash")));
        assert!(checked(&bound, Some("hash")).is_ok() && checked(&bound, Some("other")).is_err());
        assert!(checked(&signer.sign(&header(), &claims()), Some("hash")).is_err());
        assert!(checked("", None).is_err() && checked("a.b.c", None).is_err());
    }

    #[test]
    fn the_thumbprint_is_the_standard_one() {
        // RFC 9449, section 4.1 and 6.1.
        let jwk = json!({
            "kty": "EC",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
            "crv": "P-256",
        });
        assert_eq!(thumbprint(jwk.as_object().unwrap()).unwrap(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }
}
