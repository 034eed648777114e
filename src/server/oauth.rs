//! The server as an OAuth 2.0 authorization server: how a command line, or any other program, is let in.
//!
//! RFC 6749 with PKCE (RFC 7636, S256 alone), RFC 8628, 7009, 7662, 8414, 8693, 9207 and 9449, and OpenID Connect; what
//! RFC 9700 asks for is not left to choice. Scopes are permissions; a token has at most what its
//! person has in the organization at that moment.

use axum::http::Method;

use super::caller::Access;
use super::routes::Route;

mod authorize;
mod client;
mod consent;
mod device;
mod device_page;
mod error;
mod exchange;
mod id_token;
mod introspect;
mod metadata;
mod prompt;
mod proof;
mod renew;
mod revoke;
mod token;
mod told;

/// Where a person lets a program in, and where it gets its tokens.
pub(crate) const AUTHORIZE: &str = "/authorize";
pub(crate) const TOKEN: &str = "/token";
const DEVICE: &str = "/device-authorization";
const KEYS: &str = "/.well-known/jwks.json";

pub(crate) fn routes() -> Vec<Route> {
    let open = Access::Anyone;
    vec![
        Route::api(
            Method::GET,
            "/.well-known/oauth-authorization-server",
            open,
            metadata::show,
            "showAuthorizationServer",
            "Show what this authorization server can do (RFC 8414)",
        ),
        Route::api(
            Method::GET,
            "/.well-known/openid-configuration",
            open,
            metadata::show,
            "showOpenIdProvider",
            "Show the same as OpenID Connect Discovery has it",
        ),
        Route::api(Method::GET, KEYS, open, id_token::keys, "listSigningKeys", "List the keys of ID tokens (RFC 7517)"),
        Route::new(Method::GET, AUTHORIZE, Access::Page, authorize::show),
        Route::new(Method::POST, AUTHORIZE, Access::Page, authorize::submit),
        Route::api(
            Method::POST,
            TOKEN,
            open,
            token::give,
            "giveTokens",
            "Give tokens for a grant (RFC 6749, 8628, 8693, 9449)",
        ),
        Route::api(Method::POST, DEVICE, open, device::begin, "beginDevice", "Begin the device grant (RFC 8628)"),
        Route::new(Method::GET, "/device", Access::Page, device_page::show),
        Route::new(Method::POST, "/device", Access::Page, device_page::submit),
        Route::api(Method::POST, "/revoke", open, revoke::revoke, "revokeToken", "Take a token back (RFC 7009)"),
        Route::api(
            Method::POST,
            "/introspect",
            open,
            introspect::introspect,
            "introspectToken",
            "Tell what a token is (RFC 7662)",
        ),
        Route::api(
            Method::GET,
            "/userinfo",
            Access::Token,
            introspect::userinfo,
            "showUser",
            "Tell whose token it is (OpenID Connect)",
        ),
        Route::api(
            Method::POST,
            "/userinfo",
            Access::Token,
            introspect::userinfo,
            "showUserByPost",
            "Tell the same to whoever asks by a form; the token is in the header (OpenID Connect Core section 5.3)",
        ),
    ]
}
