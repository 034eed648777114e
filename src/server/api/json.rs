//! JSON, as it is sent and answered.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Gives, Operation, Takes, strict};
use crate::secret::Secret;
use crate::server::problem::{Answer, Problem};

/// A body in JSON. Every route that takes JSON takes it as this.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        read(&bytes(request, state).await?).map(Self)
    }
}

/// The body of a request that says that it is JSON.
pub(super) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Answer<Bytes> {
    if !is_json(request.headers()) {
        let detail = "the body is to be `application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail));
    }
    Bytes::from_request(request, state).await.map_err(|refused| match refused.into_response().status() {
        status @ StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "too-long", "the body is too long"),
        _ => Problem::bad("the body did not come whole"),
    })
}

/// Reads a body, without a word of what was sent where that fails.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Answer<T> {
    strict::check(body)?;
    // The library would take the members of an object in a list as well, by their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid("the body is to be an object"));
    }
    serde_json::from_slice(body).map_err(|failure| {
        let (line, column) = (failure.line(), failure.column());
        Problem::invalid(format!("the body is not of the form that this takes: line {line}, column {column}"))
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: JsonSchema> Takes for Json<T> {
    fn tell(told: &mut Operation<'_>) {
        told.body::<T>("application/json");
        told.refuses("duplicate-name");
        told.refuses("too-complex");
    }
}

impl<T: JsonSchema> Gives for Json<T> {
    fn tell(told: &mut Operation<'_>) {
        told.answer::<T>(StatusCode::OK);
    }
}

/// A secret is sent as a text.
impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}
