//! The public key of a passkey (RFC 9052 section 7, RFC 8152 section 13): ES256, EdDSA with Ed25519, RS256.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use minicbor::Decoder;

use super::webauthn::Refused;

/// The algorithms that are asked for, the best first: EdDSA, ES256, RS256.
pub(super) const ALGORITHMS: [i64; 3] = [-8, -7, -257];

/// A public key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// A point on P-256, not compressed.
    Es256(Vec<u8>),
    Ed25519(Vec<u8>),
    Rs256 {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

/// What a key may have: its kind, its algorithm, and what it is made of. Everything else is refused.
#[derive(Default)]
struct Parts {
    kind: Option<i64>,
    algorithm: Option<i64>,
    curve: Option<i64>,
    first: Option<Vec<u8>>,
    second: Option<Vec<u8>>,
    third: Option<Vec<u8>>,
}

impl PublicKey {
    /// Reads a key, which a decoder stands before.
    pub(super) fn read(from: &mut Decoder<'_>) -> Result<Self, Refused> {
        let parts = parts(from).ok_or(Refused::Malformed("the key"))?;
        let Parts { kind, algorithm, curve, first, second, third } = parts;
        match (kind, algorithm, curve, first, second, third) {
            (Some(2), Some(-7), Some(1), None, Some(x), Some(y)) if x.len() == 32 && y.len() == 32 => {
                Ok(Self::Es256([&[4][..], &x, &y].concat()))
            }
            (Some(1), Some(-8), Some(6), None, Some(x), None) if x.len() == 32 => Ok(Self::Ed25519(x)),
            // An exponent of 1 would make every signature valid.
            (Some(3), Some(-257), None, Some(modulus), Some(exponent), None)
                if modulus.len() >= 256 && exponent.last().is_some_and(|last| last % 2 == 1) && exponent != [1] =>
            {
                Ok(Self::Rs256 { modulus, exponent })
            }
            _ => Err(Refused::Algorithm),
        }
    }

    /// Whether a signature is valid.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
            Self::Rs256 { modulus, exponent } => RsaPublicKeyComponents { n: modulus, e: exponent }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
        }
    }

    /// The name of its algorithm.
    pub(super) fn algorithm(&self) -> i64 {
        match self {
            Self::Es256(_) => -7,
            Self::Ed25519(_) => -8,
            Self::Rs256 { .. } => -257,
        }
    }
}

/// The parts of a key. A label that comes twice, or that is none of these, makes it no key.
fn parts(from: &mut Decoder<'_>) -> Option<Parts> {
    let mut parts = Parts::default();
    let count = from.map().ok()??;
    for _ in 0..count {
        let label = from.i64().ok()?;
        let is_new = match label {
            1 => parts.kind.replace(from.i64().ok()?).is_none(),
            3 => parts.algorithm.replace(from.i64().ok()?).is_none(),
            // The curve of an elliptic key, the modulus of an RSA key.
            -1 if parts.kind == Some(3) => parts.first.replace(from.bytes().ok()?.to_vec()).is_none(),
            -1 => parts.curve.replace(from.i64().ok()?).is_none(),
            -2 => parts.second.replace(from.bytes().ok()?.to_vec()).is_none(),
            -3 => parts.third.replace(from.bytes().ok()?.to_vec()).is_none(),
            _ => false,
        };
        if !is_new {
            return None;
        }
    }
    Some(parts)
}
