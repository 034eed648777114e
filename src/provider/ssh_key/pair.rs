//! Keys that sign, whatever form they were stored in; the algorithms that ssh has for them (RFC 4253, 5656, 8332, 8709).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair, UnparsedPublicKey,
};
use ssh_key::private::KeypairData;
use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey};
use ssh_key::{EcdsaCurve, Mpint};
use zeroize::Zeroizing;

/// A pair of keys that signs.
pub(super) enum Pair {
    /// RSA.
    Rsa(RsaKeyPair),
    /// ECDSA over one of the three curves of ssh.
    Ecdsa(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

/// How an agent is asked to sign with RSA and SHA-512: `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_512: u32 = 4;

/// The curves, each with its part of the names.
pub(super) const CURVES: [(&EcdsaSigningAlgorithm, EcdsaCurve); 3] = [
    (&ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaCurve::NistP256),
    (&ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaCurve::NistP384),
    (&ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaCurve::NistP521),
];

impl Pair {
    /// The pair in OpenSSH's form; `None` for a sort of key that does not sign here, and for halves that do not fit.
    pub(super) fn of(key: &KeypairData) -> Option<Self> {
        match key {
            KeypairData::Ed25519(pair) => {
                let seed = Zeroizing::new(pair.private.to_bytes());
                Ed25519KeyPair::from_seed_and_public_key(&*seed, pair.public.as_ref()).ok().map(Self::Ed25519)
            }
            KeypairData::Ecdsa(pair) => {
                let (algorithm, _) = CURVES.into_iter().find(|(_, curve)| *curve == pair.curve())?;
                EcdsaKeyPair::from_private_key_and_public_key(
                    algorithm,
                    pair.private_key_bytes(),
                    pair.public_key_bytes(),
                )
                .ok()
                .map(Self::Ecdsa)
            }
            KeypairData::Rsa(pair) => {
                let (public, private) = (pair.public(), pair.private());
                let [d, p, q] = [private.d(), private.p(), private.q()].map(Mpint::as_positive_bytes);
                let (d, p, q) = (d?, p?, q?);
                let (for_p, for_q) = (remainder_less_one(d, p)?, remainder_less_one(d, q)?);
                let components = KeyPairComponents {
                    public_key: PublicKeyComponents {
                        n: public.n().as_positive_bytes()?,
                        e: public.e().as_positive_bytes()?,
                    },
                    d,
                    p,
                    q,
                    dP: &for_p,
                    dQ: &for_q,
                    qInv: private.iqmp().as_positive_bytes()?,
                };
                RsaKeyPair::from_components(&components).ok().map(Self::Rsa)
            }
            _ => None,
        }
    }

    /// The public half.
    pub(super) fn public(&self) -> Option<KeyData> {
        match self {
            Self::Rsa(pair) => {
                let (exponent, modulus) = (pair.public_key().exponent(), pair.public_key().modulus());
                let part = |number: &[u8]| Mpint::from_positive_bytes(number);
                let [exponent, modulus] =
                    [exponent, modulus].map(|number| part(number.big_endian_without_leading_zero()));
                RsaPublicKey::new(exponent, modulus).ok().map(KeyData::Rsa)
            }
            Self::Ecdsa(pair) => EcdsaPublicKey::from_sec1_bytes(pair.public_key().as_ref()).ok().map(KeyData::Ecdsa),
            Self::Ed25519(pair) => Ed25519PublicKey::try_from(pair.public_key().as_ref()).ok().map(KeyData::Ed25519),
        }
    }

    /// A signature in the form of ssh: the algorithm's name and its own encoding. `flags` are those of an agent's
    /// client. RSA signs with SHA-256 where no hash is asked for: that meant SHA-1, with which nothing is signed here, and
    /// `ssh-add -T` takes either.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => {
                Some(strings(&[b"ssh-ed25519", pair.try_sign(data).ok()?.as_ref()]))
            }
            Self::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(signature.as_ref().len() / 2)?;
                let (_, curve) = CURVES.into_iter().find(|(algorithm, _)| *algorithm == pair.algorithm())?;
                let name = format!("ecdsa-sha2-{curve}");
                Some(strings(&[name.as_bytes(), &strings(&[&positive(r), &positive(s)])]))
            }
            Self::Rsa(pair) => {
                let (name, padding) = if flags & RSA_SHA2_512 != 0 {
                    ("rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else {
                    ("rsa-sha2-256", &RSA_PKCS1_SHA256)
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), data, &mut signature).ok()?;
                Some(strings(&[name.as_bytes(), &signature]))
            }
        }
    }
}

/// Whether a signature in the form of ssh was made over `data` by the owner of a public key.
pub(super) fn verifies(key: &KeyData, data: &[u8], signature: &[u8]) -> bool {
    let checked = || -> Option<()> {
        let mut rest = signature;
        let (name, own) = (string(&mut rest)?, string(&mut rest)?);
        if !rest.is_empty() {
            return None;
        }
        match (key, name) {
            (KeyData::Ed25519(key), b"ssh-ed25519") => {
                UnparsedPublicKey::new(&ED25519, key.as_ref()).verify(data, own).ok()
            }
            (KeyData::Ecdsa(key), name) => {
                let algorithm: &EcdsaVerificationAlgorithm = match key.curve() {
                    EcdsaCurve::NistP256 => &ECDSA_P256_SHA256_FIXED,
                    EcdsaCurve::NistP384 => &ECDSA_P384_SHA384_FIXED,
                    EcdsaCurve::NistP521 => &ECDSA_P521_SHA512_FIXED,
                };
                let mut numbers = own;
                let size = key.as_sec1_bytes().len() / 2;
                let fixed = [fixed(string(&mut numbers)?, size)?, fixed(string(&mut numbers)?, size)?].concat();
                let named = name == format!("ecdsa-sha2-{}", key.curve()).as_bytes() && numbers.is_empty();
                named.then_some(())?;
                UnparsedPublicKey::new(algorithm, key.as_sec1_bytes()).verify(data, &fixed).ok()
            }
            (KeyData::Rsa(key), name) => {
                let parameters: &signature::RsaParameters = match name {
                    b"rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                    b"rsa-sha2-512" => &RSA_PKCS1_2048_8192_SHA512,
                    _ => return None,
                };
                let components =
                    PublicKeyComponents { n: key.n().as_positive_bytes()?, e: key.e().as_positive_bytes()? };
                components.verify(parameters, data, own).ok()
            }
            _ => None,
        }
    };
    checked().is_some()
}

/// The strings of ssh one after the other, each with its length before it.
pub(super) fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // No part of a signature comes near the limit.
        all.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

/// The next string of ssh.
fn string<'s>(rest: &mut &'s [u8]) -> Option<&'s [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (string, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(string)
}

/// A number as `mpint` writes it: without leading zeros, and with one where it would look negative.
fn positive(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = number.get(start..).unwrap_or_default();
    let sign: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    [sign, number].concat()
}

/// An `mpint` with leading zeros up to a size; `None` where it is larger.
fn fixed(number: &[u8], size: usize) -> Option<Vec<u8>> {
    let number = number.strip_prefix(&[0]).unwrap_or(number);
    let zeros = size.checked_sub(number.len())?;
    Some([&vec![0; zeros], number].concat())
}

/// `number` modulo `factor - 1`, where `factor` is odd. Every step is taken whatever the bits are.
fn remainder_less_one(number: &[u8], factor: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // An odd number less one differs in its last bit alone.
    let mut modulus = Zeroizing::new(vec![0; factor.len() + 1]);
    modulus.get_mut(1..)?.copy_from_slice(factor);
    let last = modulus.last_mut().filter(|last| **last & 1 == 1)?;
    *last -= 1;
    let mut rest = Zeroizing::new(vec![0u8; modulus.len()]);
    let mut less = Zeroizing::new(vec![0u8; modulus.len()]);
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |at| (byte >> at) & 1)) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            let shifted = (u16::from(*byte) << 1) | u16::from(carry);
            [carry, *byte] = shifted.to_be_bytes();
        }
        let mut borrow = 0;
        for ((less, own), other) in less.iter_mut().zip(rest.iter()).zip(modulus.iter()).rev() {
            let difference = u16::from(*own).wrapping_sub(u16::from(*other)).wrapping_sub(borrow);
            [_, *less] = difference.to_be_bytes();
            borrow = difference >> 15;
        }
        // All ones where nothing was borrowed, so that the difference counts.
        let [_, keep] = borrow.wrapping_sub(1).to_be_bytes();
        for (own, less) in rest.iter_mut().zip(less.iter()) {
            *own = (*less & keep) | (*own & !keep);
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_is_that_of_arithmetic() {
        for (number, factor) in [(0u64, 3u64), (1, 3), (1000, 7), (u64::MAX, 65_537), (12_345_678_901, 4_294_967_291)] {
            let found = remainder_less_one(&number.to_be_bytes(), &factor.to_be_bytes()).unwrap();
            let found = found.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
            assert_eq!(found, number % (factor - 1), "{number} mod {factor} - 1");
        }
        assert!(remainder_less_one(&[1], &[4]).is_none());
    }

    #[test]
    fn numbers_are_written_as_ssh_reads_them() {
        assert_eq!(positive(&[0, 0, 0x7f]), [0x7f]);
        assert_eq!(positive(&[0, 0x80]), [0, 0x80]);
        assert!(positive(&[0, 0]).is_empty());
        assert_eq!(fixed(&[0, 0x80], 2), Some(vec![0, 0x80]));
        assert_eq!(fixed(&[1, 2, 3], 2), None);
    }
}
