//! The team's server: an HTTP service over the same domain as the command line.
//!
//! Only this folder knows tasks and `tokio`: a handler reads what it was sent, crosses the one bridge (`bridge.rs`), and
//! everything behind it is plain, blocking code. Each request has a caller whose organization comes from their token
//! alone; what belongs to an organization is reached through an [`OrgScope`](db::OrgScope) and in no other way.

mod api;
mod api_keys;
mod attempts;
mod audit;
mod backup;
mod bearer;
mod bridge;
mod caller;
mod connections;
mod connector;
mod credential_configs;
mod credentials;
pub(crate) mod db;
mod dpop;
mod edge;
mod engine;
mod error;
mod factors;
mod framing;
mod gate;
mod guard;
mod health;
mod invitations;
mod keeper;
mod keys;
mod lanes;
mod leaked;
mod limits;
mod listen;
mod members;
mod metrics;
mod oauth;
mod organizations;
mod paging;
mod passkey;
mod passphrase;
mod people;
mod permission;
mod portal;
mod problem;
mod projects;
mod random;
mod refusals;
mod registries;
mod reload;
mod relocate;
mod rotate;
mod routes;
mod running;
mod serve;
mod settings;
mod signing;
mod state;
mod sweep;
mod team;
mod tls;
mod token;
mod totp;
mod trust;
mod upstream;
mod vault;
mod workspaces;

pub use api::document as openapi;
pub use backup::{Drilled, Restored, backup, drill, restore};
pub use error::ServeError;
pub use leaked::revoke_token;
pub use relocate::{Moved, move_secrets};
pub use rotate::{Rotated, Wanted, rotate_key, rotate_signing_key};
pub use routes::table;
pub use running::{Running, running};
pub use serve::{Notice, check, serve};
pub use settings::{Given, LogForm, Settings};
