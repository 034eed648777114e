//! The document of the API: OpenAPI 3.1, made of the list of routes.

use std::sync::LazyLock;

use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Gives, Operation};
use crate::server::caller::Access;
use crate::server::oauth;
use crate::server::permission::Permission;
use crate::server::problem;
use crate::server::routes::{Route, all};

/// Where the document is.
const PATH: &str = "/openapi.json";
/// What can stand for an identifier in a path.
const IDENTIFIER: &str = "^[A-Za-z0-9_-]+$";
const LONGEST_IDENTIFIER: usize = 128;

const ABOUT: &str = "\
Credentials that a team shares, on a server that it runs itself.

Problems are `application/problem+json` (RFC 9457): `type` and `code` never change, `request_id` is the number of the \
request in the log and the audit. Lists come in pages: `next` is the `cursor` of the following one. What has an `ETag` \
is changed and deleted with `If-Match`, so that nobody undoes what somebody else did meanwhile. JSON is read strictly: \
an object names a member once, and no more than there is.";

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::api(Method::GET, PATH, Access::Anyone, show, "showDocument", "Show this document")]
}

/// The document as it is sent.
struct Sent;

/// It is the same for everybody, as long as the server runs.
static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());

async fn show() -> Sent {
    Sent
}

impl IntoResponse for Sent {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
    }
}

impl Gives for Sent {
    fn tell(told: &mut Operation<'_>) {
        told.answer_of(axum::http::StatusCode::OK, "application/json", &json!({ "type": "object" }));
    }
}

/// The document of the API, which the server shows at `/openapi.json`.
pub fn document() -> Value {
    // What is sent may leave out what has a default; what is answered has all of it.
    let whole = |settings: &mut SchemaSettings| settings.inline_subschemas = true;
    let named = |settings: &mut SchemaSettings| settings.definitions_path = "/components/schemas".into();
    let mut taken = SchemaSettings::draft2020_12().for_deserialize().with(whole).into_generator();
    let mut given = SchemaSettings::draft2020_12().for_serialize().with(named).into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in all() {
        let Some(told) = &route.told else { continue };
        let mut operation = Operation::new(&mut taken, &mut given);
        path_parameters(&mut operation, route.path);
        (told.tell)(&mut operation);
        // Every address is answered so often, and not more; none has a token in it, and no body comes packed.
        operation.refuses("too-often");
        operation.refuses("bad-request");
        operation.refuses("media-type");
        if route.access != Access::Anyone {
            operation.refuses("unauthenticated");
        }
        if matches!(route.access, Access::Permission(_) | Access::InProject(_)) {
            operation.refuses("forbidden");
        }
        for kind in &told.refuses {
            operation.refuses(kind);
        }
        let mut operation = operation.finish();
        operation["operationId"] = told.name.into();
        operation["summary"] = told.summary.into();
        operation["tags"] = json!([tag(route.path)]);
        operation["security"] = security(route.access);
        let method = route.method.as_str().to_lowercase();
        paths.entry(route.path).or_insert_with(|| json!({}))[method.as_str()] = operation;
    }
    let schemas = schemas(&mut given);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Lanyard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": schemes() },
    })
}

/// The parts of a path that are for the caller to fill in.
fn path_parameters(operation: &mut Operation<'_>, path: &str) {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in names {
        let schema =
            json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_IDENTIFIER, "pattern": IDENTIFIER });
        operation.parameter("path", name, true, "The identifier.", &schema);
        operation.refuses("bad-request");
        operation.refuses("not-found");
    }
}

/// What a route belongs to.
fn tag(path: &str) -> &str {
    let part = path.split('/').find(|part| !matches!(*part, "" | "api" | "v1")).unwrap_or_default();
    match part {
        "healthz" | "readyz" | "openapi.json" => "server",
        ".well-known" | "token" | "device-authorization" | "revoke" | "introspect" | "userinfo" => "sign-in",
        part => part,
    }
}

fn security(access: Access) -> Value {
    match access {
        Access::Anyone | Access::Page | Access::Inside(_) | Access::InsideProject(_) | Access::Personal => json!([]),
        Access::Token => json!([{ "key": [] }, { "oauth": [] }]),
        Access::Permission(permission) | Access::InProject(permission) => {
            json!([{ "key": [] }, { "oauth": [permission.word()] }])
        }
    }
}

/// How a caller says who they are.
fn schemes() -> Value {
    let scopes: Map<String, Value> =
        Permission::ALL.iter().map(|permission| (permission.word().to_owned(), permission.title().into())).collect();
    json!({
        "key": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "lny_pat_…",
            "description": "An API key, with the permissions that it was made with.",
        },
        "oauth": {
            "type": "oauth2",
            "description": "A sign-in with PKCE as the client `lanyard`; `/.well-known/oauth-authorization-server` \
                            tells of the device grant and of token exchange.",
            "flows": {
                "authorizationCode": {
                    "authorizationUrl": oauth::AUTHORIZE,
                    "tokenUrl": oauth::TOKEN,
                    "refreshUrl": oauth::TOKEN,
                    "scopes": scopes,
                },
            },
        },
    })
}

/// The schemas that answers refer to.
fn schemas(given: &mut SchemaGenerator) -> Map<String, Value> {
    let mut schemas = given.take_definitions(true);
    let codes: Vec<&str> = problem::KINDS.iter().map(|known| known.word).collect();
    let problem = json!({
        "type": "object",
        "description": "Why a request was not answered as asked (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": { "type": "string", "description": "`urn:lanyard:problem:` and the code." },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "Why, for people." },
            "code": { "type": "string", "enum": codes, "description": "Why, for programs." },
            "request_id": { "type": "string", "description": "The number of the request, in the log and the audit." },
        },
    });
    schemas.insert("Problem".into(), problem);
    schemas
}

#[cfg(test)]
mod tests;
