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
    /// What the headers of a request say. Of several versions the highest is meant. Revisions only grow, so that it is the
    /// newest of them. A version that is made of what it is about (`version.rs`) does not: there a list may be refused
    /// although one of it fits, and what was not seen is never changed.
    pub(crate) fn of(headers: &HeaderMap) -> Answer<Self> {
        let values: Vec<&str> =
            headers.get_all(header::IF_MATCH).iter().map(|value| value.to_str().unwrap_or_default().trim()).collect();
        if values.is_empty() || values == ["*"] {
            return Ok(Self(None));
        }
        let tags = values.into_iter().map(tags).collect::<Option<Vec<_>>>().ok_or_else(Problem::changed)?;
        // A tag that was never given out is of no version that there is.
        let newest = tags.into_iter().flatten().filter_map(|tag| tag.parse().ok()).max();
        newest.map(|newest| Self(Some(newest))).ok_or_else(Problem::changed)
    }
}

/// The strong tags of a list, without their quotes; nothing where it is no list of tags. A weak one matches nothing here.
fn tags(list: &str) -> Option<Vec<&str>> {
    let (mut tags, mut rest) = (Vec::new(), list);
    loop {
        // A member of a list may be empty.
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let quoted = rest.strip_prefix("W/");
        let (tag, after) = quoted.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
        tags.extend(quoted.is_none().then_some(tag));
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
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
            &json!({ "type": "string", "pattern": "^(\\*|\"[0-9]+\"(, \"[0-9]+\")*)$" }),
        );
        told.refuses("changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[&str]) -> Result<Option<i64>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        Seen::of(&headers).map(|seen| seen.0).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn any_of_the_tags_that_were_sent_may_be_of_the_version_that_there_is() {
        for any in [&[][..], &["*"], &[" * "]] {
            assert_eq!(seen(any), Ok(None), "{any:?}");
        }
        for (values, version) in [
            (&["\"7\""][..], 7),
            (&["\"6\", \"7\""], 7),
            (&["\"7\",\"6\""], 7),
            (&["\"6\"", "\"7\""], 7),
            (&["\"a, b\" , , \"7\""], 7),
            (&["W/\"8\", \"7\""], 7),
            (&["\"xyzzy\"", "\"7\"", ""], 7),
        ] {
            assert_eq!(seen(values), Ok(Some(version)), "{values:?}");
        }
        for none in [
            &[""][..],
            &["7"],
            &["\"a\""],
            &["W/\"7\""],
            &["\"7"],
            &["\"6\" \"7\""],
            &["\"6\"\"7\""],
            &["*, \"7\""],
            &["\"7\"", "*"],
            &["w/\"7\""],
        ] {
            assert_eq!(seen(none), Err(412), "{none:?}");
        }
    }
}
