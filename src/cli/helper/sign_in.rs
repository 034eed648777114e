//! Signing in while a tool waits: it asks for the host of a service that the user knows, nothing usable is stored for
//! that, and a person is at the terminal behind the tool.
//!
//! A host that no built-in service and none of the user's own names starts nothing, whatever a repository says.

use std::time::Duration;

use crate::auth::login::same_account;
use crate::auth::revoke;
use crate::auth::service::{self, Service};
use crate::auth::session::Session;
use crate::cli::access::waiting_for;
use crate::cli::auth::login::TIMEOUT;
use crate::cli::credentials::connect::{self, Wish};
use crate::cli::ui::Ui;
use crate::cli::{Doors, Global, active, vault_door};
use crate::config::Config;
use crate::credential::{Address, Fields, Metadata, Raw, Scope, Want};
use crate::error::{Code, Failure, Result};
use crate::helper::Handed;
use crate::http::Http;
use crate::os::files::Lock;
use crate::os::{Env, program};
use crate::provider::{Verdict, by_kind};
use crate::text::clean;
use crate::vault::bound::bound;
use crate::vault::{New, Vault, VaultError, free_name, usable};

/// The kind of credential that a sign-in makes.
const KIND: &str = "oauth";

/// Why a sign-in for a tool gave nothing to hand over.
#[derive(Debug, thiserror::Error)]
enum SignInFailure {
    /// Several services could be meant.
    #[error("several services sign in for {host}: {}", .names.join(", "))]
    Several { host: String, names: Vec<String> },
    /// Another account than the one that is stored came back.
    #[error("{came} signed in, and {name} is for {expected}")]
    OtherAccount { came: String, name: String, expected: String },
}

impl Failure for SignInFailure {
    fn code(&self) -> Code {
        Code::Failed
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Several { .. } => "sign in to the right one: `lanyard credentials store oauth NAME`".into(),
            Self::OtherAccount { name, .. } => {
                format!("`lanyard credentials reconnect {name} --switch-account` puts the new account in its place")
            }
        })
    }
}

/// Has a person sign in for what a tool asks for; `over` is a sign-in that was bound to it and is worth nothing any more.
/// `None` where no service of the user's vouches for the host, or nobody can be asked.
pub(super) fn sign_in(env: &Env, http: &dyn Http, want: &Want, over: Option<&Metadata>) -> Result<Option<Handed>> {
    let Some(at) = &want.at else { return Ok(None) };
    let obstacle = obstacle(env);
    let env = env.behind_a_tool();
    let config = Config::load(&env)?;
    let services = services_for(&config, at, over);
    if services.is_empty() {
        return Ok(None);
    }
    // git is asked last: it is a program to be started.
    let person = obstacle.map_or_else(|| Ui::behind_a_tool().ok_or("there is no terminal"), Err);
    let ui = match person.and_then(|ui| switched_off(&env).map_or(Ok(ui), Err)) {
        Ok(ui) => ui,
        Err(why) => {
            tracing::debug!(why, "nobody is asked to sign in");
            return Ok(None);
        }
    };
    let Some(service) = the_one(services, at)? else { return Ok(None) };
    let doors = Doors { env: &env, ui: &ui, http, flags: &Global::default() };
    let (_, profile) = active::active(&doors)?;
    let clock = || env.now();
    let vault = vault_door::local(&doors, &profile, &clock);

    let mut waited = false;
    let _lock = Lock::acquire(&lock_path(&env, at), Duration::from_secs(TIMEOUT), &mut |holder| {
        waited = true;
        ui.note(&waiting_for(holder, "is signing in"));
    })?;
    let now_bound = bound(&vault, want)?;
    let is_new = |found: &Metadata| over.is_none_or(|over| (&over.id, over.version) != (&found.id, found.version));
    if let Some(found) = now_bound.filter(is_new) {
        return handed(&vault, &found, &doors).map(Some);
    }
    if waited {
        // Whoever was asked first has not signed in, and is not asked by every other process as well.
        return Ok(None);
    }
    vault.ready()?;
    ui.say(&format!("{} is asked for. Sign in to {}:", shown(at), clean(service.title())));
    let stored = store(&doors, &vault, &service, want, over)?;
    let who = stored.field("account").map_or_else(String::new, |who| format!(" as {}", clean(who)));
    ui.done(&format!("Signed in to {}{who}, kept as {}", clean(service.title()), stored.name));
    if bound(&vault, want)?.is_none_or(|found| found.id != stored.id) {
        ui.warn("another user is asked for than the one who signed in");
        return Ok(None);
    }
    handed(&vault, &stored, &doors).map(Some)
}

fn handed(vault: &dyn Vault, metadata: &Metadata, doors: &Doors<'_>) -> Result<Handed> {
    let (credential, issued) = usable::usable(vault, metadata, &vault_door::net(doors))?;
    Ok(Handed { metadata: credential.metadata, issued })
}

/// Signs in and keeps the session, in the place of the one that is over where there is one. A session that cannot be
/// kept is given back.
fn store(
    doors: &Doors<'_>,
    vault: &dyn Vault,
    service: &Service,
    want: &Want,
    over: Option<&Metadata>,
) -> Result<Metadata> {
    let scopes = scopes(service);
    let wish = Wish {
        scopes: Some(&scopes),
        client_id: over.and_then(|over| over.field("client_id")),
        device_if_headless: true,
        account: over.and_then(|over| over.field("account")).or(want.user.as_deref()),
        ..Wish::default()
    };
    let mut raw = Raw::new();
    raw.plain("service", &service.name);
    let session = connect::connect(doors, &wish, &mut raw)?;
    let kept = keep(vault, service, &session, raw, over);
    if kept.is_err() {
        revoke::discard(&session, service.quirks.revocation, doors.http);
    }
    kept
}

fn keep(
    vault: &dyn Vault,
    service: &Service,
    session: &Session,
    raw: Raw,
    over: Option<&Metadata>,
) -> Result<Metadata> {
    let Some((_, kind)) = by_kind(KIND) else { return Err(VaultError::Foreign { name: KIND.into() }.into()) };
    let fields = Fields::parse(kind, raw)?;
    if let Some(over) = over {
        let (account, id) = (over.field("account"), over.field("account_id"));
        if !same_account(account, id, &session.identity) {
            let came = clean(session.identity.name().unwrap_or("an unknown account"));
            let expected = clean(account.or(id).unwrap_or_default());
            return Err(SignInFailure::OtherAccount { came, name: over.name.clone(), expected }.into());
        }
    }
    let name = match over {
        Some(over) => over.name.clone(),
        None => free_name(vault, &service.name, session.identity.name())?,
    };
    Ok(vault.put(New {
        scope: over.map_or(Scope::Organization, |over| over.scope.clone()),
        expires: session.expires_at,
        tags: over.map(|over| over.tags.clone()).unwrap_or_default(),
        note: over.map(|over| over.note.clone()).unwrap_or_default(),
        verdict: Some(session.identity.name().map_or_else(Verdict::valid_unnamed, Verdict::valid)),
        replaces: over.cloned(),
        ..New::named(&name, fields)
    })?)
}

/// The scopes that the service is used with, and those that git needs.
fn scopes(service: &Service) -> String {
    let mut scopes = service.scopes();
    let for_git = service.table.git.as_ref().and_then(|git| git.scopes.clone()).unwrap_or_default();
    scopes.extend(for_git.into_iter().filter(|scope| !service.scopes().contains(scope)));
    scopes.join(" ")
}

/// The services whose git host is asked for, where one can be signed in to. A sign-in that is over is renewed at the
/// service that it was for.
fn services_for(config: &Config, at: &Address, over: Option<&Metadata>) -> Vec<Service> {
    let fits = |service: &Service| {
        let git = service.table.git.as_ref().and_then(|git| git.address.as_deref()).and_then(Address::of_text);
        let is_meant = over.is_none_or(|over| over.service() == service.name);
        is_meant && service.client_id().is_ok() && git.is_some_and(|git| git.scheme == at.scheme && git.covers(at))
    };
    let known = service::names(config).into_iter().filter_map(|name| service::find(config, &name).ok());
    known.filter(fits).collect()
}

/// The only one of the services that fit.
fn the_one(mut fitting: Vec<Service>, at: &Address) -> Result<Option<Service>, SignInFailure> {
    if fitting.len() > 1 {
        let names = fitting.into_iter().map(|service| service.name).collect();
        return Err(SignInFailure::Several { host: shown(at), names });
    }
    Ok(fitting.pop())
}

/// Why nobody may be asked, by the variables of the surroundings.
fn obstacle(env: &Env) -> Option<&'static str> {
    if env.var("GIT_TERMINAL_PROMPT").is_some_and(is_off) {
        return Some("GIT_TERMINAL_PROMPT says so");
    }
    if env.var("GCM_INTERACTIVE").is_some_and(is_off) {
        return Some("GCM_INTERACTIVE says so");
    }
    if env.var("CI").is_some_and(|value| !is_off(value)) {
        return Some("CI is set");
    }
    None
}

/// Whether git is told to ask nobody.
fn switched_off(env: &Env) -> Option<&'static str> {
    let said = program::output(env, "git", &["config", "--get", "credential.interactive"], 2).ok()?;
    is_off(said.expose().trim()).then_some("credential.interactive says so")
}

/// What git, and what helpers beside it, take for a no.
fn is_off(value: &str) -> bool {
    ["false", "no", "off", "0", "never"].iter().any(|word| word.eq_ignore_ascii_case(value))
}

/// An address for a person. Its host has nothing but letters, digits and `.-_:[]`.
fn shown(at: &Address) -> String {
    format!("{}://{}", at.scheme.as_deref().unwrap_or("https"), at.host)
}

/// One sign-in for a host at a time.
fn lock_path(env: &Env, at: &Address) -> std::path::PathBuf {
    let plain: String = at.host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    env.config_dir().join("locks").join(format!("sign-in-{plain}.lock"))
}

#[cfg(test)]
mod tests;
