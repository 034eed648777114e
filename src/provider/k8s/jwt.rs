//! What a token says of itself, where it is a JWT. Nothing of it is believed but for display: the server decides.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::secret::Secret;

/// The claims that are looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    exp: Option<f64>,
    pub(super) sub: Option<String>,
}

/// The claims of a token; `None` where it is no JWT.
pub(super) fn claims(token: &Secret) -> Option<Claims> {
    let mut parts = token.expose().split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

impl Claims {
    /// When the token ends.
    #[expect(clippy::cast_possible_truncation, reason = "within the range that is asked for before")]
    pub(super) fn expires(&self) -> Option<DateTime<Utc>> {
        let second = self.exp.filter(|second| (0.0..1e11).contains(second))?;
        DateTime::from_timestamp(second as i64, 0)
    }
}
