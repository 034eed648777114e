//! What the routes of the API have in common: bodies in JSON, answers with their tags, and the document that says so.
//!
//! A route that is made with [`Route::api`](super::routes::Route::api) is told in `/openapi.json` by the types of its
//! own handler: what it takes by its extractors ([`Takes`]), what it gives by its answer ([`Gives`]). So the document
//! cannot say anything else than the program does.

mod answers;
mod document;
mod json;
mod once;
mod operation;
mod query;
mod seen;
mod strict;
mod version;

pub(crate) use answers::{Created, Done, Noted, Tagged};
pub use document::document;
pub(crate) use document::routes;
pub(crate) use json::{Json, Listed};
pub(crate) use once::{Creation, Once, sweep};
pub(crate) use operation::{Gives, Operation, Takes, Told};
pub(crate) use query::{Query, refused};
pub(crate) use seen::Seen;
pub(crate) use version::version;
