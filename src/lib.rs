//! Lanyard carries your credentials: sign in once, keep tokens in the OS keychain, hand them to the tools that need them.
//!
//! The folders are layers, and an import only points down:
//!
//! | layer | modules | what it knows |
//! |---|---|---|
//! | ways in | [`cli`] | arguments, questions, printing; the only code that touches a terminal |
//! | domain | [`auth`] | services, sign-in, sessions, refresh; synchronous, given its doors by name |
//! | ground | [`config`], [`secret`], [`http`], [`os`], [`text`], [`error`] | files, stores, the network, the process |
//!
//! Start at `cli/mod.rs` for the command tree, at [`auth`] for what signing in is, at [`config::Profile`] for how a
//! setting is decided.

pub mod auth;
pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod os;
pub mod secret;
pub mod text;
