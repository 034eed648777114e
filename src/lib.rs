//! Lanyard carries your credentials: sign in once, keep tokens in the OS keychain, hand them to the tools that need them.
//!
//! The folders are layers, and an import only points down:
//!
//! | layer | modules | what it knows |
//! |---|---|---|
//! | ways in | [`cli`] | arguments, questions, printing; the only code that touches a terminal |
//! | | `server` | the team's server, over HTTP; the only code that knows tasks; a feature of the build |
//! | | `agent` | a process that holds the vault's key, answers helpers at once, signs for ssh; on Unix |
//! | | [`helper`] | the protocols of tools, as bytes |
//! | | [`setup`] | the configuration of tools, so that they ask |
//! | | [`run`] | what a child process is given, how it is started and watched, what is masked in its output |
//! | domain: verbs | [`scan`] | every credential that lies on this machine, in files, variables and any text |
//! | | [`vault`] | where credentials live, whether each is still good, the usable form of one |
//! | | [`provider`] | what one outside system knows: finds, verifies, makes usable, rotates |
//! | | [`auth`] | services, sign-in, sessions, refresh; synchronous, given its doors by name |
//! | domain: nouns | [`credential`] | kinds, fields, metadata, the usable form |
//! | ground | [`config`], [`store`], [`secret`], [`http`], [`os`], [`text`], [`error`] | files, rows, the network, the process |
//!
//! Start at `cli/mod.rs` for the command tree, at [`auth`] for what signing in is, at [`config::Profile`] for how a
//! setting is decided.

// The program is checked as it is built; its tests may write files and read variables as they like.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(unix)]
pub mod agent;
pub mod auth;
pub mod cli;
pub mod config;
pub mod credential;
pub mod error;
pub mod helper;
pub mod http;
pub mod os;
pub mod provider;
pub mod run;
pub mod scan;
pub mod secret;
#[cfg(feature = "server")]
pub mod server;
pub mod setup;
pub mod store;
pub mod text;
pub mod vault;
