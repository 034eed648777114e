//! The older forms of private keys: PKCS #1 (RFC 8017), SEC 1 (RFC 5915), PKCS #8 (RFC 5958), in PEM (RFC 7468).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, KeyData, RsaPublicKey};
use ssh_key::{Mpint, PublicKey};
use zeroize::Zeroizing;

use super::key::Private;

/// Reads a key between the lines of PEM. `text` begins and ends with the label's lines.
pub(super) fn read(label: &str, text: &str) -> Result<Private, &'static str> {
    if !["RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"].contains(&label) {
        return Err("it is no private key of ssh");
    }
    if label.starts_with("ENCRYPTED") || text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
        return Ok(Private::OldClosed);
    }
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    // A header ends with an empty line; there is none in a key that is open.
    text.lines().filter(|line| !line.starts_with("-----") && !line.contains(':')).for_each(|line| body.push_str(line));
    let der = STANDARD.decode(body.trim()).map(Zeroizing::new).map_err(|_| "it is damaged; copy the whole file")?;
    // The outermost of each form is a sequence.
    if der.first() != Some(&0x30) {
        return Err("it is damaged; copy the whole file");
    }
    let data = rsa(label, &der).or_else(|| ecdsa(label, &der)).or_else(|| ed25519(label, &der));
    Ok(Private::Old { public: data.map(|data| Box::new(PublicKey::from(data))) })
}

fn rsa(label: &str, der: &[u8]) -> Option<KeyData> {
    let pair = match label {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(der),
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(der),
        _ => return None,
    };
    let pair = pair.ok()?;
    let part = |number: &[u8]| Mpint::from_positive_bytes(number);
    let key = pair.public_key();
    let (exponent, modulus) = (key.exponent(), key.modulus());
    RsaPublicKey::new(
        part(exponent.big_endian_without_leading_zero()),
        part(modulus.big_endian_without_leading_zero()),
    )
    .ok()
    .map(KeyData::Rsa)
}

fn ecdsa(label: &str, der: &[u8]) -> Option<KeyData> {
    let curves =
        [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    let pair = curves.into_iter().find_map(|curve| match label {
        "EC PRIVATE KEY" => EcdsaKeyPair::from_private_key_der(curve, der).ok(),
        "PRIVATE KEY" => EcdsaKeyPair::from_pkcs8(curve, der).ok(),
        _ => None,
    })?;
    EcdsaPublicKey::from_sec1_bytes(pair.public_key().as_ref()).ok().map(KeyData::Ecdsa)
}

fn ed25519(label: &str, der: &[u8]) -> Option<KeyData> {
    if label != "PRIVATE KEY" {
        return None;
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    Ed25519PublicKey::try_from(pair.public_key().as_ref()).ok().map(KeyData::Ed25519)
}
