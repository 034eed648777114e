//! The version that a caller has seen, where they say so.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde_json::json;

use super::{Operation, Takes};
use crate::server::problem::{Answer, Problem};

/// The version of `If-Match` (RFC 9110 section 13.1.1); nothing where there is none, or where any will do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen(pub(crate) Option<i64>);

impl Seen {
    /// What the headers of a request say.
    pub(crate) fn of(headers: &HeaderMap) -> Answer<Self> {
        let Some(value) = headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        // A tag that was never given out is of no version that there is.
        let revision = inner.and_then(|text| text.parse().ok()).ok_or_else(Problem::changed)?;
        Ok(Self(Some(revision)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl Takes for Seen {
    fn tell(told: &mut Operation<'_>) {
        let about = "The `ETag` of the version that is meant; where there is another by now, nothing is done.";
        told.parameter(
            "header",
            "If-Match",
            false,
            about,
            &json!({ "type": "string", "pattern": "^(\\*|\"[0-9]+\")$" }),
        );
        told.refuses("changed");
    }
}
