//! The way to the vault: the one of this machine, with its root key in the store that the profile chose, or that of the
//! lanyard server that the profile signs in to.

use chrono::{DateTime, Utc};

use crate::auth::renew::{WAIT, Want};
use crate::auth::service;
use crate::cli::access::{Access, Bearer};
use crate::cli::{Doors, store};
use crate::config::{Config, Profile};
use crate::error::{Code, Failure, Result};
use crate::provider::Net;
use crate::secret::Secret;
use crate::vault::remote::{Refused, Remote};
use crate::vault::{Local, Vault};

/// How every token begins that a lanyard server has minted.
const MINTED: &str = "lny_";

/// The vault that the profile works on. Nothing is opened or asked yet, but the token where it is a server's.
pub(super) fn of<'a>(
    doors: &'a Doors<'a>,
    config: &'a Config,
    profile: &'a Profile,
    now: &'a dyn Fn() -> DateTime<Utc>,
) -> Result<Box<dyn Vault + 'a>> {
    if is_on_a_server(config, profile) {
        Ok(Box::new(server(doors, config, profile)?))
    } else if profile.service.is_none() && has_minted_token(profile) {
        // The vault of this machine is not what whoever gives a server's key means.
        Err(Addressless.into())
    } else {
        Ok(Box::new(local(doors, profile, now)))
    }
}

/// Whether a profile's service is a lanyard server. Where no service is named, as in a job, the token and the address
/// that it is for are enough.
pub(super) fn is_on_a_server(config: &Config, profile: &Profile) -> bool {
    if profile.service.is_none() && profile.endpoint.is_some() {
        return has_minted_token(profile);
    }
    let service = profile.service.as_ref().and_then(|service| service::find(config, &service.value).ok());
    service.is_some_and(|service| service.table.vault == Some(true))
}

/// Whether the token in force is one that a lanyard server has minted.
fn has_minted_token(profile: &Profile) -> bool {
    profile.token.as_ref().is_some_and(|token| token.value.begins_with(MINTED))
}

/// There is a server's token, and nothing says which server's.
#[derive(Debug, thiserror::Error)]
#[error("the token is one of a lanyard server, and nothing says which")]
struct Addressless;

impl Failure for Addressless {
    fn code(&self) -> Code {
        Code::Config
    }

    fn mend(&self) -> Option<String> {
        Some("set LANYARD_ENDPOINT to the address of the server, or choose its profile with `--profile`".into())
    }
}

/// The profile signs in to no lanyard server.
#[derive(Debug, thiserror::Error)]
#[error("the service of profile {profile} is no lanyard server")]
struct NoServer {
    profile: String,
}

impl Failure for NoServer {
    fn code(&self) -> Code {
        Code::Config
    }

    fn mend(&self) -> Option<String> {
        Some("sign in to one: `lanyard auth login --service https://…`, or choose its profile with `--profile`".into())
    }
}

/// Refuses a profile that signs in to no lanyard server.
pub(super) fn must_be_on_a_server(config: &Config, profile: &Profile) -> Result<()> {
    if is_on_a_server(config, profile) {
        return Ok(());
    }
    Err(NoServer { profile: profile.name.value.clone() }.into())
}

/// The server that the profile signs in to.
pub(super) fn server<'a>(doors: &'a Doors<'a>, config: &'a Config, profile: &'a Profile) -> Result<Remote<'a>> {
    must_be_on_a_server(config, profile)?;
    let access = Access::new(doors, config, profile)?;
    let base = access.endpoint_for(&access.bearer()?)?;
    let bearer = move |refused| -> Result<Secret, Box<dyn Failure>> {
        let bearer = match refused {
            Refused::Yes if profile.token.is_none() => {
                Bearer::Session(Box::new(access.session(Want::Renewed(&[]), WAIT)?))
            }
            _ => access.bearer()?,
        };
        Ok(bearer.token().duplicate())
    };
    Ok(Remote::new(base, doors.http, Box::new(bearer)))
}

/// The vault of this machine. Nothing is opened yet.
pub(super) fn local<'a>(doors: &'a Doors<'_>, profile: &Profile, now: &'a dyn Fn() -> DateTime<Utc>) -> Local<'a> {
    let opener = Box::new(move |choice| store::open(doors, choice));
    Local::new(&doors.env.data_dir(), profile.storage.value, opener, now)
}

/// The doors that providers take.
pub(super) fn net<'a>(doors: &'a Doors<'_>) -> Net<'a> {
    Net { http: doors.http, env: doors.env, now: doors.env.now() }
}
