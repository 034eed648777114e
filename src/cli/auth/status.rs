//! `lanyard auth status`: who is signed in, where, until when.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::auth::identity::Facts;
use crate::auth::renew::{self, Want};
use crate::auth::service::preset_defaults;
use crate::auth::session::{Session, timestamp};
use crate::cli::access::{self, Access, Bearer, expiry};
use crate::cli::{Doors, active};
use crate::config::{self, Config, Profile, Source, Sourced};
use crate::error::{self, Code, Failure, Result};
use crate::secret::Choice;
use crate::text::clean;

/// Show who is signed in, where and until when
///
/// Exits with 0 only when the session is usable, with 4 otherwise.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth status --all --json")]
pub(crate) struct Args {
    /// Show every profile
    #[arg(long, conflicts_with = "profile")]
    all: bool,
    /// Ask nobody: tell what is stored here
    #[arg(long)]
    offline: bool,
}

/// What the service said about the token.
#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verification {
    Verified,
    Rejected,
    Expired,
    Unreachable,
    Skipped,
}

/// One profile's state. The names are part of the interface.
#[derive(Serialize)]
struct Status {
    authenticated: bool,
    verification: Verification,
    account: Option<String>,
    account_id: Option<String>,
    expires_at: Option<String>,
    renewable: bool,
    profile: String,
    service: Option<String>,
    endpoint: Option<String>,
    project: Option<String>,
    scopes: Vec<String>,
    storage: String,
    sources: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip)]
    expires: Option<DateTime<Utc>>,
    #[serde(skip)]
    store: Choice,
    #[serde(skip)]
    signed_in: bool,
    #[serde(skip)]
    token_page: Option<String>,
}

/// The session is not usable.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct NotUsable {
    what: String,
    mend: String,
    code: Code,
}

impl Failure for NotUsable {
    fn code(&self) -> Code {
        self.code
    }

    fn mend(&self) -> Option<String> {
        Some(self.mend.clone())
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, active_profile) = active::active(doors)?;
        let json = active::output_json(&active_profile);
        if !self.all {
            let status = self.status(doors, &config, &active_profile)?;
            if json {
                doors.ui.answer_json(&status)?;
            } else {
                status.print(doors)?;
            }
            return status.failure().map_or(Ok(()), Err);
        }
        let overrides = active::overrides(doors.flags);
        let mut all = Vec::new();
        for name in config.profiles.keys() {
            let profile = if *name == active_profile.name.value {
                config::profile(&config, doors.env, &overrides, &preset_defaults)?
            } else {
                config::named(&config, doors.env, &overrides, &preset_defaults, name)?
            };
            all.push(self.status(doors, &config, &profile).or_else(|failure| Status::unknown(&profile, &*failure))?);
        }
        if json {
            doors.ui.answer_json(&all)?;
        } else {
            for (index, status) in all.iter().enumerate() {
                if index > 0 {
                    doors.ui.answer("")?;
                }
                status.print(doors)?;
            }
        }
        all.iter().find_map(Status::failure).map_or(Ok(()), Err)
    }

    fn status(&self, doors: &Doors<'_>, config: &Config, profile: &Profile) -> Result<Status> {
        let access = Access::new(doors, config, profile)?;
        let mut status = Status::of(profile);
        let bearer = match &profile.token {
            Some(token) => {
                status.storage = "environment".into();
                status.sources.insert("token", token.variable.clone());
                status.signed_in = true;
                Bearer::Environment(token.value.duplicate())
            }
            None => match self.session(&access, &mut status)? {
                Some(session) => Bearer::Session(Box::new(session)),
                None => return Ok(status),
            },
        };
        if status.verification != Verification::Expired && !self.offline {
            status.take(verify(&access, &bearer));
        }
        status.authenticated = match status.verification {
            Verification::Verified | Verification::Unreachable => true,
            Verification::Rejected | Verification::Expired => false,
            Verification::Skipped => status.expires.is_none_or(|at| at > doors.env.now()) || status.renewable,
        };
        Ok(status)
    }

    /// The stored session, renewed if it must be and may be; `None` where there is none.
    fn session(&self, access: &Access<'_>, status: &mut Status) -> Result<Option<Session>> {
        let Some(stored) = access.stored()? else { return Ok(None) };
        status.take_session(&stored);
        if self.offline {
            return Ok(Some(stored));
        }
        match access.session(Want::Fresh(None), renew::WAIT) {
            Ok(session) => {
                status.take_session(&session);
                Ok(Some(session))
            }
            Err(failure) if failure.code() == Code::SignedOut || failure.code() == Code::Unreachable => {
                status.verification =
                    if failure.code() == Code::SignedOut { Verification::Expired } else { Verification::Unreachable };
                status.problem = Some(problem(&*failure));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }
}

/// What the service says of the token: facts, nothing (nobody to ask), or why it does not say.
fn verify(access: &Access<'_>, bearer: &Bearer) -> Result<Option<Facts>> {
    if access.profile.service.is_none() {
        return Ok(None);
    }
    let service = access.service()?;
    let session = match bearer {
        Bearer::Session(session) => Some(&**session),
        Bearer::Environment(_) => None,
    };
    let metadata = match session {
        Some(_) => access::session_metadata(&service, session)?,
        // A token from a variable brings no addresses along.
        None if service.api().is_none_or(|api| api.whoami.is_none()) => service.metadata(access.http())?,
        None => service.known_metadata()?,
    };
    let subject = session.and_then(|session| session.identity.subject.as_deref());
    Ok(access::asks(access, &service, bearer, &metadata)?.who(access.http(), bearer.token(), subject)?)
}

impl Status {
    fn of(profile: &Profile) -> Self {
        let mut sources = BTreeMap::new();
        sources.insert("profile", profile.name.source.to_string());
        let mut noted = |name: &'static str, value: Option<&Sourced<String>>| {
            let value = value?;
            sources.insert(name, value.source.to_string());
            Some(value.value.clone())
        };
        let service = noted("service", profile.service.as_ref());
        let endpoint = noted("endpoint", profile.endpoint.as_ref());
        let project = noted("project", profile.project.as_ref());
        sources.insert("storage", profile.storage.source.to_string());
        let store = if profile.storage.value == Choice::Auto { Choice::Keychain } else { profile.storage.value };
        Self {
            authenticated: false,
            verification: Verification::Skipped,
            account: None,
            account_id: None,
            expires_at: None,
            renewable: false,
            profile: profile.name.value.clone(),
            service,
            endpoint,
            project,
            scopes: Vec::new(),
            storage: store.word().into(),
            sources,
            store,
            problem: None,
            expires: None,
            signed_in: false,
            token_page: None,
        }
    }

    /// A profile whose state could not be found out, as one line of `--all`.
    #[expect(clippy::unnecessary_wraps, reason = "it is the other branch of a fallible step")]
    fn unknown(profile: &Profile, failure: &dyn Failure) -> Result<Self> {
        Ok(Self { problem: Some(failure.to_string()), ..Self::of(profile) })
    }

    fn take_session(&mut self, session: &Session) {
        self.signed_in = true;
        self.account.clone_from(&session.identity.account);
        self.account_id = session.identity.id().map(str::to_owned);
        self.expires = session.expires_at;
        self.expires_at = session.expires_at.map(timestamp);
        self.renewable = session.is_renewable();
        self.scopes.clone_from(&session.scopes);
    }

    /// Takes what the service said, or why it said nothing.
    fn take(&mut self, told: Result<Option<Facts>>) {
        match told {
            Ok(None) => self.verification = Verification::Skipped,
            Ok(Some(facts)) => {
                self.verification = Verification::Verified;
                self.account = facts.identity.account.or(self.account.take());
                self.account_id = facts.identity.account_id.or(self.account_id.take()).or(facts.identity.subject);
                if let Some(expires) = facts.expires_at {
                    self.expires = Some(expires);
                    self.expires_at = Some(timestamp(expires));
                }
                if let Some(scopes) = facts.scopes {
                    self.scopes = scopes;
                }
            }
            Err(failure) => {
                self.verification = match failure.code() {
                    Code::Invalid => Verification::Rejected,
                    Code::Unreachable => Verification::Unreachable,
                    // The token works and may not read the account, or nobody could be asked safely.
                    Code::Forbidden => Verification::Verified,
                    _ => Verification::Skipped,
                };
                self.problem = Some(problem(&*failure));
                self.token_page = failure.mend().filter(|_| failure.code() == Code::Invalid);
            }
        }
    }

    fn print(&self, doors: &Doors<'_>) -> Result<()> {
        let now = doors.env.now();
        let shown = |value: &Option<String>| value.as_deref().map_or_else(|| "unknown".into(), clean);
        if self.verification == Verification::Rejected {
            doors.ui.answer("Not authenticated: the service refuses the token")?;
        } else if self.signed_in {
            doors.ui.answer(&format!("Authenticated as: {}", shown(&self.account)))?;
            doors.ui.answer(&format!("Account ID: {}", shown(&self.account_id)))?;
            let expires = self.expires.map_or_else(|| "unknown".to_owned(), |at| expiry(at, now));
            doors.ui.answer(&format!("Token expires: {expires}"))?;
        } else {
            doors.ui.answer("Not signed in")?;
        }
        self.line(doors, "Profile", "profile", Some(&self.profile))?;
        self.line(doors, "Service", "service", self.service.as_deref())?;
        self.line(doors, "Endpoint", "endpoint", self.endpoint.as_deref())?;
        self.line(doors, "Project", "project", self.project.as_deref())?;
        self.line(doors, "Scopes", "scopes", Some(self.scopes.join(" ").as_str()).filter(|scopes| !scopes.is_empty()))?;
        self.line(doors, "Storage", "storage", Some(&self.storage))?;
        if let Some(variable) = self.sources.get("token") {
            let over = self.store.title();
            doors.ui.answer(&format!("Token: from {variable}, which wins over any session in the {over}"))?;
        }
        if self.renewable && self.authenticated {
            doors.ui.answer("Renewal: by itself, when the token is about to expire")?;
        }
        match (self.verification, &self.problem) {
            (Verification::Unreachable, Some(problem)) => doors.ui.warn(&format!("not verified: {}", clean(problem))),
            (Verification::Verified | Verification::Skipped, Some(problem)) => doors.ui.warn(&clean(problem)),
            _ => {}
        }
        if self.storage == Choice::Plain.word() {
            doors.ui.warn("the session is kept in a plain file that any program of yours can read");
        }
        Ok(())
    }

    fn line(&self, doors: &Doors<'_>, title: &str, name: &str, value: Option<&str>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let source = self.sources.get(name).filter(|source| **source != Source::Default.to_string());
        let source = source.map_or_else(String::new, |source| format!(" (from {source})"));
        doors.ui.answer(&format!("{title}: {}{source}", clean(value)))
    }

    /// Why the session is not usable; `None` when it is.
    fn failure(&self) -> Option<Box<dyn Failure>> {
        if self.authenticated {
            return None;
        }
        let login = format!("lanyard auth login --profile {}", self.profile);
        let (what, mend) = match self.verification {
            Verification::Rejected => {
                ("Invalid authentication token".to_owned(), self.token_page.clone().unwrap_or(login))
            }
            Verification::Expired => (self.problem.clone().unwrap_or_else(|| "Token expired".into()), login),
            _ if self.signed_in => (self.problem.clone().unwrap_or_else(|| "Token expired".into()), login),
            _ => (self.problem.clone().unwrap_or_else(|| format!("not signed in to profile {}", self.profile)), login),
        };
        Some(NotUsable { what, mend, code: Code::SignedOut }.into())
    }
}

/// What went wrong, in one line. What keeps a service out of reach stands among the causes.
fn problem(failure: &dyn Failure) -> String {
    if failure.code() == Code::Unreachable { error::with_causes(failure) } else { failure.to_string() }
}
