//! A signed token in its compact form (RFC 7515), read strictly: what two parsers could read differently is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 64 << 10;

/// The signature algorithms that are accepted. There is no `none` and nothing symmetric, and no way to add it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA PKCS #1 v1.5 with SHA-256, which every issuer must offer.
    Rs256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS #1 v1.5 with SHA-512, what canaille signs with unless told otherwise.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Reads the name as it stands in a header or a key; names are compared as they are, case and all.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "PS256" => Some(Self::Ps256),
            "PS384" => Some(Self::Ps384),
            "PS512" => Some(Self::Ps512),
            "ES256" => Some(Self::Es256),
            // RFC 9864 gives EdDSA on this curve a name of its own.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }

    /// The name that the signature library knows it by.
    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    /// The left half of the algorithm's hash, encoded: what `at_hash` holds (OpenID Connect Core section 3.1.3.6).
    pub(super) fn half_hash(self, text: &str) -> String {
        match self {
            Self::Rs512 | Self::Ps512 | Self::EdDsa => URL_SAFE_NO_PAD.encode(&Sha512::digest(text)[..32]),
            Self::Rs384 | Self::Ps384 => URL_SAFE_NO_PAD.encode(&Sha384::digest(text)[..24]),
            Self::Rs256 | Self::Ps256 | Self::Es256 => URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16]),
        }
    }
}

/// The three parts of a token, the outer two decoded.
pub(super) struct Compact<'a> {
    /// The header's members.
    pub(super) header: Map<String, Value>,
    /// The first two parts as they were signed.
    pub(super) signed: &'a str,
    /// The signature, encoded. It decodes.
    pub(super) signature: &'a str,
    payload: Zeroizing<Vec<u8>>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; the error says what is wrong with it in a few words and quotes nothing.
    pub(super) fn parse(token: &'a str) -> Result<Self, &'static str> {
        if token.len() > MAX_TOKEN {
            return Err("it is longer than 64 KiB");
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it does not have three parts");
        };
        let header_bytes = decode(header).ok_or("its header is no base64url")?;
        let payload_bytes = Zeroizing::new(decode(payload).ok_or("its payload is no base64url")?);
        decode(signature).ok_or("its signature is no base64url")?;
        Ok(Self {
            header: object(&header_bytes).ok_or("its header is no JSON object with distinct members")?,
            signed: &token[..header.len() + 1 + payload.len()],
            signature,
            payload: payload_bytes,
        })
    }

    /// The payload's members. To be trusted only after the signature was checked.
    pub(super) fn claims(&self) -> Option<Map<String, Value>> {
        object(&self.payload)
    }
}

/// Decodes base64url without padding, refusing stray bits at the end.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Reads a JSON object in which no member stands twice, at any depth.
pub(super) fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes).ok()? {
        Strict(Value::Object(members)) => Some(members),
        Strict(_) => None,
    }
}

/// A JSON value without repeated members; the ordinary one keeps the last of them.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is repeated"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_members_are_refused_at_any_depth() {
        assert!(object(br#"{"a":1,"b":[{"c":1.5,"d":null}],"e":true,"f":"x"}"#).is_some());
        for bad in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#, "[]", "{} {}", ""] {
            assert!(object(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(object("[".repeat(10_000).as_bytes()).is_none());
    }

    #[test]
    fn base64_is_strict() {
        assert!(decode("YQ").is_some());
        for bad in ["YQ==", "YR", "Y", "Y+", "Y/", "Y Q", "YQ\n"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_half_hash_is_the_standard_one() {
        // OpenID Connect Core, appendix A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(Algorithm::Rs256.half_hash(token), "77QmUPtjPfzWtF2AnpK9RQ");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,60}") {
            let _ = Compact::parse(&text).map(|token| token.claims());
        }
    }
}
