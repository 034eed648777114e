//! Signing in: services, grants, sessions.
//!
//! The domain asks and never prints: what a person must see or do leaves through a [`Notice`], and the way in answers
//! with a [`Reply`].

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::http::Url;

pub mod device;
pub mod federated;
pub mod grant;
#[cfg(feature = "server")]
pub mod hosted;
pub mod id_token;
pub mod identity;
pub mod jwks;
mod jws;
pub mod login;
pub mod loopback;
pub mod presets;
pub mod renew;
pub mod revoke;
pub mod service;
pub mod session;
pub mod web;

/// The member of a metadata document by which a lanyard server is known, beside the version of its API.
pub const LANYARD_API: &str = "lanyard_api";

/// What a person should see while a sign-in goes on.
#[derive(Debug)]
pub enum Notice<'a> {
    /// Visit this address in a browser.
    Visit {
        /// The authorization request.
        url: &'a Url,
        /// When lanyard stops waiting.
        expires_at: DateTime<Utc>,
    },
    /// Visit this address in any browser and enter the code.
    EnterCode {
        /// The address to enter the code at.
        url: &'a Url,
        /// The address that holds the code already.
        complete: Option<&'a Url>,
        /// The code.
        user_code: &'a str,
        /// When the code expires.
        expires_at: DateTime<Utc>,
    },
    /// Still waiting, with this much time left. Comes about four times a second.
    Waiting(Duration),
    /// A pasted address was not the answer to this sign-in.
    NotAccepted(&'a str),
    /// Something that is no failure and should be known.
    Warning(String),
}

/// What the person did since the last notice.
#[derive(Debug)]
pub enum Reply {
    /// Nothing.
    GoOn,
    /// Gave up.
    Cancel,
    /// Pasted the address that the browser ended at.
    Pasted(String),
}

/// The way in, as the domain sees it.
pub type Person<'a> = dyn FnMut(Notice<'_>) -> Reply + 'a;
