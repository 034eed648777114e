//! The server as an OAuth 2.0 authorization server: how a command line, or any other program, is let in.
//!
//! RFC 6749 with PKCE (RFC 7636, S256 alone), RFC 8628, 7009, 7662, 8414, 8693, 9207 and 9449, and OpenID Connect; what RFC 9700 asks for is not left to
//! choice. Scopes are permissions; a token has at most what its person has in the organization at that moment.

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
mod proof;
mod revoke;
mod token;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/.well-known/oauth-authorization-server", Access::Anyone, metadata::show),
        Route::new(Method::GET, "/.well-known/openid-configuration", Access::Anyone, metadata::show),
        Route::new(Method::GET, "/.well-known/jwks.json", Access::Anyone, id_token::keys),
        Route::new(Method::GET, "/authorize", Access::Page, authorize::show),
        Route::new(Method::POST, "/authorize", Access::Page, authorize::submit),
        Route::new(Method::POST, "/token", Access::Anyone, token::give),
        Route::new(Method::POST, "/device-authorization", Access::Anyone, device::begin),
        Route::new(Method::GET, "/device", Access::Page, device_page::show),
        Route::new(Method::POST, "/device", Access::Page, device_page::submit),
        Route::new(Method::POST, "/revoke", Access::Anyone, revoke::revoke),
        Route::new(Method::POST, "/introspect", Access::Anyone, introspect::introspect),
        Route::new(Method::GET, "/userinfo", Access::Token, introspect::userinfo),
    ]
}
