//! `lanyard auth logout`: remove the session here, and at the service where it can.

use serde::Serialize;

use crate::auth::revoke::{self, RevokeError};
use crate::auth::service::preset_defaults;
use crate::auth::session::Session;
use crate::cli::access::{self, Access};
use crate::cli::{Doors, active};
use crate::config::{self, Config, Profile};
use crate::error::{Code, Failure, Result};

/// Remove the session from this machine, and end it at the service where that is possible
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth logout --all")]
pub(crate) struct Args {
    /// Sign out of every profile
    #[arg(long, conflicts_with = "profile")]
    all: bool,
    /// Only remove the session here; ask nobody
    #[arg(long)]
    offline: bool,
}

/// What became of one profile's session. The names are part of the interface.
#[derive(Serialize)]
struct Ended {
    profile: String,
    removed: bool,
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// The session is gone from this machine and may live on at the service.
#[derive(Debug, thiserror::Error)]
#[error("remote revocation failed for profile {profile}; the session is removed from this machine")]
struct NotRevoked {
    profile: String,
    #[source]
    cause: RevokeError,
}

impl Failure for NotRevoked {
    fn code(&self) -> Code {
        self.cause.code()
    }

    fn mend(&self) -> Option<String> {
        Some("end the session on the service's own page; its access token may live until it expires".into())
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, active_profile) = active::active(doors)?;
        let json = active::output_json(&active_profile);
        if let (true, Some(token)) = (self.all, &active_profile.token) {
            doors.ui.warn(&format!("the token in {} stays in force", token.variable));
        }
        let profiles = if self.all { every(doors, &config)? } else { vec![active_profile] };
        if !self.all {
            for profile in &profiles {
                Access::new(doors, &config, profile)?
                    .refuse_token_in_force("cannot sign out of the token in it; the stored session was left alone")?;
            }
        }
        let mut ended = Vec::new();
        let mut worst: Option<Box<dyn Failure>> = None;
        for profile in &profiles {
            match self.end(doors, &config, profile) {
                Ok((one, None)) => ended.push(one),
                Ok((one, Some(failure))) => {
                    ended.push(one);
                    keep_first(doors, &mut worst, failure.into());
                }
                Err(failure) => {
                    let problem = Some(failure.to_string());
                    ended.push(Ended { profile: profile.name.value.clone(), removed: false, revoked: false, problem });
                    keep_first(doors, &mut worst, failure);
                }
            }
        }
        if json {
            doors.ui.answer_json(&ended)?;
        } else {
            for one in &ended {
                tell(doors, one);
            }
        }
        worst.map_or(Ok(()), Err)
    }

    /// Ends one session: at the service first, while the tokens are at hand, then here whatever the service said.
    fn end(&self, doors: &Doors<'_>, config: &Config, profile: &Profile) -> Result<(Ended, Option<NotRevoked>)> {
        let access = Access::new(doors, config, profile)?;
        let name = profile.name.value.clone();
        let _lock = access.lock()?;
        let stored = match access.place.load(&*access.store) {
            // An item that cannot be read is removed all the same.
            Err(crate::secret::StoreError::Damaged { .. }) => None,
            other => other?,
        };
        let asked = match &stored {
            Some(session) if !self.offline => self.revoke(&access, session),
            _ => Ok(false),
        };
        let removed = access.place.remove(&*access.store)?;
        Ok(match asked {
            Ok(revoked) => (Ended { profile: name, removed, revoked, problem: None }, None),
            Err(cause) if cause.code() == Code::Unreachable => {
                let problem = Some(cause.to_string());
                (
                    Ended { profile: name.clone(), removed, revoked: false, problem },
                    Some(NotRevoked { profile: name, cause }),
                )
            }
            // The service does not let this client revoke: signing out here is all that there is.
            Err(cause) => (Ended { profile: name, removed, revoked: false, problem: Some(cause.to_string()) }, None),
        })
    }

    #[expect(clippy::unused_self, reason = "a step of `end`")]
    fn revoke(&self, access: &Access<'_>, session: &Session) -> std::result::Result<bool, RevokeError> {
        if session.grant == crate::auth::session::Grant::Token {
            // A pasted token is the person's own, and may serve elsewhere.
            return Ok(false);
        }
        let (endpoint, style) = match access.service() {
            Ok(service) => {
                let metadata = access::session_metadata(&service, Some(session)).unwrap_or_default();
                (metadata.revocation_endpoint, service.quirks.revocation)
            }
            Err(_) => (session.endpoints.revocation.clone(), crate::auth::presets::Revocation::Standard),
        };
        revoke::revoke(session, endpoint.as_ref(), style, access.http()).map(|()| true)
    }
}

fn every(doors: &Doors<'_>, config: &Config) -> Result<Vec<Profile>> {
    let overrides = active::overrides(doors.flags);
    let profile = |name: &String| config::named(config, doors.env, &overrides, &preset_defaults, name);
    Ok(config.profiles.keys().map(profile).collect::<std::result::Result<_, _>>()?)
}

/// Keeps the first failure for the exit code and shows the others.
fn keep_first(doors: &Doors<'_>, worst: &mut Option<Box<dyn Failure>>, failure: Box<dyn Failure>) {
    if worst.is_some() {
        doors.ui.failure(&*failure);
    } else {
        *worst = Some(failure);
    }
}

fn tell(doors: &Doors<'_>, ended: &Ended) {
    let profile = &ended.profile;
    match (ended.removed, ended.revoked, &ended.problem) {
        (true, true, _) => {
            doors.ui.done(&format!("Signed out of profile {profile}: ended at the service and removed here"));
        }
        (true, false, None) => doors.ui.done(&format!(
            "Signed out of profile {profile}: removed here; the service was not asked to end the token"
        )),
        (true, false, Some(problem)) => {
            doors.ui.done(&format!("Signed out of profile {profile}: removed here; {problem}"));
        }
        (false, _, None) => doors.ui.say(&format!("Profile {profile} had no session")),
        (false, _, Some(_)) => {}
    }
}
