//! The query of a request, which is read strictly: what is asked is never taken for something wider.

use axum::extract::{FromRequestParts, Query as Pairs};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Operation, Takes};
use crate::server::problem::{Answer, Problem};
use crate::text::clean;

/// The longest name of a parameter that is told.
const NAME: usize = 64;

/// What the query of a request says. A parameter that is given says something: an empty one is refused, since whoever
/// forgot to fill it in would else be answered with more than they asked for.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> Query<T> {
    fn of(uri: &Uri) -> Answer<Self> {
        let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        if let Some((name, _)) = pairs.find(|(name, value)| value.is_empty() && !name.is_empty()) {
            return Err(refused(&name, "is empty: leave it out, or say what it is to be"));
        }
        let read = Pairs::try_from_uri(uri).map(|Pairs(read)| Self(read));
        read.map_err(|_| Problem::bad("the query is not of the form that this takes"))
    }
}

/// Refuses a parameter of the query, which is named.
pub(crate) fn refused(name: &str, why: &str) -> Problem {
    let name: String = clean(name).chars().take(NAME).collect();
    let detail = format!("the parameter {name} {why}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-parameter", detail).with("parameter", name)
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Self::of(&parts.uri)
    }
}

impl<T: JsonSchema> Takes for Query<T> {
    fn tell(told: &mut Operation<'_>) {
        told.query::<T>();
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        limit: Option<i64>,
        name: Option<String>,
    }

    fn read(query: &str) -> Result<(Option<i64>, Option<String>), (u16, String)> {
        let read = Query::<Asked>::of(&format!("/list{query}").parse().unwrap());
        read.map(|Query(Asked { limit, name })| (limit, name)).map_err(|problem| {
            let detail = problem.detail().to_owned();
            (problem.status().as_u16(), detail)
        })
    }

    #[test]
    fn a_parameter_says_something_or_is_not_there() {
        for nothing in ["", "?"] {
            assert_eq!(read(nothing), Ok((None, None)));
        }
        assert_eq!(read("?limit=2&name=+a"), Ok((Some(2), Some(" a".into()))));
        for (query, named) in
            [("?name=", "name"), ("?limit=", "limit"), ("?limit=2&name", "name"), ("?other=", "other")]
        {
            let (status, detail) = read(query).unwrap_err();
            assert_eq!(
                (status, detail.starts_with(&format!("the parameter {named} is empty"))),
                (422, true),
                "{query}"
            );
        }
        for other in ["?other=1", "?limit=x", "?name=a&name=b", "?=&limit=x"] {
            assert_eq!(read(other).unwrap_err().0, 400, "{other}");
        }
        let long = read(&format!("?{}%1b%0a=", "x".repeat(300))).unwrap_err().1;
        assert!(long.len() < 200 && !long.contains(char::is_control), "{long}");
    }
}
