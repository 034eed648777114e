//! The team's server.
#![allow(dead_code)]

mod audit;
pub(crate) mod db;
mod error;
mod keys;
mod passphrase;
mod permission;
mod random;
mod token;
mod vault;
