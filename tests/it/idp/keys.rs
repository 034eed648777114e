//! The provider's keys, and every wrong way to sign.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, hmac, rsa};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// How an ID token is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// By the RSA key in the JWKS.
    Rs256,
    /// By the elliptic key in the JWKS.
    Es256,
    /// By the key that replaced the first; the JWKS has it once [`super::Behaviour::rotated_keys`] is set.
    Rotated,
    /// Under the first key's `kid`, by another key.
    Stranger,
    /// Not at all, under this name of `none`.
    None(&'static str),
    /// By HMAC with the text of the public RSA key as the secret.
    HmacWithPublicKey,
    /// By HMAC with the symmetric key that [`octet_jwk`] publishes.
    HmacWithOctetKey,
    /// An ECDSA signature of zeros.
    Zeros,
}

/// The `kid` of the RSA key.
pub const RSA_KID: &str = "rsa-1";
/// The `kid` of the elliptic key.
pub const EC_KID: &str = "ec-1";
/// The `kid` of the RSA key that replaces the first.
pub const ROTATED_KID: &str = "rsa-2";
const OCTET_KEY: &[u8] = b"a symmetric key has no place in a public list";

/// Made once per test process: RSA keys are slow to make.
struct Keys {
    rsa: rsa::KeyPair,
    rotated: rsa::KeyPair,
    ec: EcdsaKeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: rsa::KeyPair::generate(KeySize::Rsa2048).expect("an RSA key"),
    rotated: rsa::KeyPair::generate(KeySize::Rsa2048).expect("an RSA key"),
    ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("an elliptic key"),
});

/// The public keys, as `/jwks` answers them.
pub fn jwks(rotated: bool) -> Value {
    let point = KEYS.ec.public_key().as_ref();
    let ec = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": EC_KID,
        "x": encode(&point[1..33]), "y": encode(&point[33..65]),
    });
    let rsa = if rotated { rsa_jwk(&KEYS.rotated, ROTATED_KID) } else { rsa_jwk(&KEYS.rsa, RSA_KID) };
    json!({ "keys": [rsa, ec] })
}

fn rsa_jwk(pair: &rsa::KeyPair, kid: &str) -> Value {
    let public = pair.public_key();
    json!({
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    })
}

/// The stranger's public key, for a token that brings its own.
pub fn stranger_jwk() -> Value {
    rsa_jwk(&KEYS.rotated, RSA_KID)
}

/// A symmetric key, which no JWKS should have.
pub fn octet_jwk() -> Value {
    json!({ "kty": "oct", "alg": "HS256", "kid": "oct-1", "k": encode(OCTET_KEY) })
}

/// Puts together a signed token. `alg` and `kid` are filled in where the header does not say otherwise.
pub fn sign(header: &Value, claims: &Value, signing: &Signing) -> String {
    let (algorithm, kid) = match signing {
        Signing::Rs256 | Signing::Stranger => ("RS256", RSA_KID),
        Signing::Rotated => ("RS256", ROTATED_KID),
        Signing::Es256 | Signing::Zeros => ("ES256", EC_KID),
        Signing::None(name) => (*name, RSA_KID),
        Signing::HmacWithPublicKey => ("HS256", RSA_KID),
        Signing::HmacWithOctetKey => ("HS256", "oct-1"),
    };
    let mut whole = json!({ "alg": algorithm, "kid": kid, "typ": "JWT" });
    for (name, value) in header.as_object().expect("a header is an object") {
        whole[name] = value.clone();
    }
    let message = format!("{}.{}", encode(whole.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = signature(message.as_bytes(), signing);
    format!("{message}.{}", encode(&signature))
}

fn signature(message: &[u8], signing: &Signing) -> Vec<u8> {
    match signing {
        Signing::Rs256 => rsa_signature(&KEYS.rsa, message),
        Signing::Rotated | Signing::Stranger => rsa_signature(&KEYS.rotated, message),
        Signing::Es256 => KEYS.ec.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
        Signing::None(_) => Vec::new(),
        Signing::HmacWithPublicKey => hmac_signature(public_pem().as_bytes(), message),
        Signing::HmacWithOctetKey => hmac_signature(OCTET_KEY, message),
        Signing::Zeros => vec![0; 64],
    }
}

fn rsa_signature(pair: &rsa::KeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("a signature");
    signature
}

fn hmac_signature(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn public_pem() -> String {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    let der: PublicKeyX509Der<'_> = KEYS.rsa.public_key().as_der().expect("a public key");
    let text = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// `at_hash` of an access token (OpenID Connect Core section 3.1.3.6).
pub fn half_hash(token: &str) -> String {
    encode(&sha256(token.as_bytes())[..16])
}

/// SHA-256, as PKCE's challenge needs it.
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
