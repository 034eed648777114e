//! What the server can do, as RFC 8414 and OpenID Connect Discovery have it: one document under both names.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Map, Value, json};

use super::exchange::EXCHANGE;
use super::id_token::OPENID;
use super::prompt;
use crate::auth::LANYARD_API;
use crate::auth::dpop::ALGORITHMS;
use crate::server::api::Json;
use crate::server::permission::Permission;
use crate::server::state::Server;

pub(super) async fn show(State(server): State<Arc<Server>>) -> Json<Map<String, Value>> {
    let scopes: Vec<&str> = Permission::ALL.iter().map(|permission| permission.word()).chain([OPENID]).collect();
    let mut document = json!({
        "issuer": server.issuer(),
        "authorization_endpoint": server.address("/authorize"),
        "token_endpoint": server.address("/token"),
        "device_authorization_endpoint": server.address("/device-authorization"),
        "revocation_endpoint": server.address("/revoke"),
        "introspection_endpoint": server.address("/introspect"),
        "userinfo_endpoint": server.address("/userinfo"),
        "jwks_uri": server.address("/.well-known/jwks.json"),
        "scopes_supported": scopes,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
            EXCHANGE,
        ],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["none", "Bearer", "DPoP"],
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["sub", "preferred_username", "organization", "auth_time", "nonce", "at_hash"],
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": prompt::KNOWN,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    document[LANYARD_API] = json!(1);
    Json(document.as_object().cloned().unwrap_or_default())
}
