//! The assertion by which a service account proves itself to the token server (RFC 7523), signed with RS256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::address::TOKEN;
use super::file::ServiceAccount;
use crate::secret::Secret;

/// What the token may be used for: everything that the account may do.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest life that the token server grants, in seconds.
const LIFE: i64 = 3600;

/// An assertion that is good for an hour from `now` on.
pub(super) fn assertion(key: &ServiceAccount, now: DateTime<Utc>) -> Result<Secret, &'static str> {
    let pair = key_pair(&key.private_key)?;
    let mut header = serde_json::json!({ "alg": "RS256", "typ": "JWT" });
    if let Some(id) = &key.private_key_id {
        header["kid"] = id.as_str().into();
    }
    let at = now.timestamp();
    let claims = serde_json::json!({
        "iss": key.client_email, "scope": SCOPE, "aud": TOKEN, "iat": at, "exp": at + LIFE,
    });
    let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| "its private key does not sign")?;
    Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// The key of a PEM block: PKCS#8 as Google writes it, or the older PKCS#1.
fn key_pair(pem: &Secret) -> Result<KeyPair, &'static str> {
    const UNREADABLE: &str = "its private key cannot be read";
    let block = |label: &str| {
        let (_, rest) = pem.expose().split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once("-----END ")?;
        let body = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
        STANDARD.decode(&*body).ok().map(Zeroizing::new)
    };
    let pair = match (block("PRIVATE KEY"), block("RSA PRIVATE KEY")) {
        (Some(der), _) => KeyPair::from_pkcs8(&der),
        (None, Some(der)) => KeyPair::from_der(&der),
        (None, None) => return Err(UNREADABLE),
    };
    pair.map_err(|_| UNREADABLE)
}
