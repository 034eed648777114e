//! The forms of an answer: with a tag, newly made, or nothing but that it was done.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Gives, Json, Operation};

/// It was done, and there is nothing more to say: 204.
pub(crate) struct Done;

/// What stands at an address, with the tag of its version (RFC 9110 section 8.8.3).
pub(crate) struct Tagged<T> {
    /// The version.
    pub(crate) revision: i64,
    /// What stands there.
    pub(crate) body: T,
}

/// What was just made: 201.
pub(crate) struct Created<R> {
    answer: R,
    location: Option<String>,
}

impl<R> Created<R> {
    /// Something that has an address.
    pub(crate) fn at(location: String, answer: R) -> Self {
        Self { answer, location: Some(location) }
    }

    /// Something that has none.
    pub(crate) fn nowhere(answer: R) -> Self {
        Self { answer, location: None }
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Gives for Done {
    fn tell(told: &mut Operation<'_>) {
        told.empty(StatusCode::NO_CONTENT);
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, format!("\"{}\"", self.revision))], Json(self.body)).into_response()
    }
}

impl<T: JsonSchema> Gives for Tagged<T> {
    fn tell(told: &mut Operation<'_>) {
        told.answer::<T>(StatusCode::OK);
        told.header(StatusCode::OK, "ETag", "The version of what is answered, for `If-Match`.", true);
    }
}

impl<R: IntoResponse> IntoResponse for Created<R> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, self.answer).into_response();
        let location = self.location.and_then(|location| HeaderValue::try_from(location).ok());
        if let Some(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

impl<R: Gives> Gives for Created<R> {
    fn tell(told: &mut Operation<'_>) {
        R::tell(told);
        told.instead(StatusCode::OK, StatusCode::CREATED);
        told.header(StatusCode::CREATED, "Location", "Where it stands, if it has an address.", false);
    }
}
