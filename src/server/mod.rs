//! The team's server: an HTTP service over the same domain as the command line.
//!
//! Only this folder knows tasks and `tokio`: a handler reads what it was sent, crosses the one bridge (`bridge.rs`), and
//! everything behind it is plain, blocking code. Each request has a caller whose organization comes from their token
//! alone; what belongs to an organization is reached through an [`OrgScope`](db::OrgScope) and in no other way.

mod api_keys;
mod attempts;
mod audit;
mod bearer;
mod bridge;
mod caller;
mod connector;
mod credential_configs;
pub(crate) mod db;
mod edge;
mod error;
mod health;
mod keys;
mod listen;
mod oauth;
mod passphrase;
mod people;
mod permission;
mod portal;
mod problem;
mod random;
mod routes;
mod serve;
mod settings;
mod state;
mod sweep;
mod tls;
mod token;
mod vault;

pub use error::ServeError;
pub use routes::table;
pub use serve::{Notice, check, serve};
pub use settings::{Given, Settings};
