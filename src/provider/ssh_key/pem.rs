//! The older forms of private keys: PKCS #1 (RFC 8017), SEC 1 (RFC 5915), PKCS #8 (RFC 5958), in PEM (RFC 7468).

use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh_key::PublicKey;
use zeroize::Zeroizing;

use super::key::Private;
use super::pair::{CURVES, Pair};

/// Reads a key between the lines of PEM. `text` begins and ends with the label's lines.
pub(super) fn read(label: &str, text: &str) -> Result<Private, &'static str> {
    if !["RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"].contains(&label) {
        return Err("it is no private key of ssh");
    }
    if label.starts_with("ENCRYPTED") || text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
        return Ok(Private::OldClosed);
    }
    let pair = pair_in(label, &der(text)?);
    Ok(Private::Old { public: pair.and_then(|pair| pair.public()).map(|data| Box::new(PublicKey::from(data))) })
}

/// The pair of keys in such a text, where it is open and signs.
pub(super) fn pair(text: &str) -> Option<Pair> {
    let (label, _) = text.strip_prefix("-----BEGIN ")?.split_once("-----")?;
    pair_in(label, &der(text).ok()?)
}

/// What stands between the lines.
fn der(text: &str) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    // A header ends with an empty line; there is none in a key that is open.
    text.lines().filter(|line| !line.starts_with("-----") && !line.contains(':')).for_each(|line| body.push_str(line));
    let der = STANDARD.decode(body.trim()).map(Zeroizing::new).map_err(|_| "it is damaged; copy the whole file")?;
    // The outermost of each form is a sequence.
    if der.first() == Some(&0x30) { Ok(der) } else { Err("it is damaged; copy the whole file") }
}

fn pair_in(label: &str, der: &[u8]) -> Option<Pair> {
    rsa(label, der).or_else(|| ecdsa(label, der)).or_else(|| ed25519(label, der))
}

fn rsa(label: &str, der: &[u8]) -> Option<Pair> {
    let pair = match label {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(der),
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(der),
        _ => return None,
    };
    pair.ok().map(Pair::Rsa)
}

fn ecdsa(label: &str, der: &[u8]) -> Option<Pair> {
    let pair = CURVES.into_iter().find_map(|(curve, _)| match label {
        "EC PRIVATE KEY" => EcdsaKeyPair::from_private_key_der(curve, der).ok(),
        "PRIVATE KEY" => EcdsaKeyPair::from_pkcs8(curve, der).ok(),
        _ => None,
    });
    pair.map(Pair::Ecdsa)
}

fn ed25519(label: &str, der: &[u8]) -> Option<Pair> {
    if label != "PRIVATE KEY" {
        return None;
    }
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed25519)
}
