//! Which service a sign-in is for, and which profile keeps it: from the flags, the configuration, or the person.

use crate::auth::presets;
use crate::auth::service::{self, Service, ServiceError};
use crate::auth::session::Place;
use crate::cli::access::AccessError;
use crate::cli::{Doors, active};
use crate::config::{self, Config, Overrides, Profile, ServiceTable, Source};
use crate::error::{Code, Failure, Result};
use crate::http::{self, BadUrl, Url};
use crate::secret::Choice;
use crate::text::nearest;

use super::{Args, Way};

#[cfg(all(unix, feature = "server"))]
mod here;
mod server;

/// The service that the server of this machine is.
pub(super) const HERE: &str = "this-machine";

/// Where a sign-in goes.
pub(super) struct Target {
    /// The service's name.
    pub(super) service_name: String,
    /// The profile's name.
    pub(super) profile_name: String,
    /// Whether the user named the profile, so that no other may be used or made.
    pub(super) profile_named: bool,
    /// The issuer and client of a service that the configuration does not know yet.
    pub(super) new_service: Option<ServiceTable>,
    /// The profile as it is in force, if it is there already.
    pub(super) profile: Profile,
    endpoint: Option<String>,
}

/// Why no target could be chosen.
#[derive(Debug, thiserror::Error)]
enum TargetError {
    #[error("the issuer cannot be used")]
    BadIssuer(#[source] BadUrl),
    #[error("--endpoint cannot be used")]
    BadEndpoint(#[source] BadUrl),
    #[error("which service to sign in to is not clear")]
    NoService,
    #[error("profile {profile} is for the service {service}")]
    OtherService { profile: String, service: String },
}

impl Failure for TargetError {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::BadIssuer(_) => "give the issuer's address as the service spells it: --issuer https://…".into(),
            Self::NoService => {
                let here = cfg!(all(unix, feature = "server")).then_some(HERE);
                let known: Vec<&str> =
                    here.into_iter().chain(presets::PRESETS.iter().map(|preset| preset.name)).collect();
                format!("give --service NAME ({}, or one of yours) or --issuer URL", known.join(", "))
            }
            Self::BadEndpoint(_) => "give the API's base address: --endpoint https://…".into(),
            Self::OtherService { profile, .. } => {
                format!(
                    "name another profile with `--profile NAME`, or remove this one: `lanyard profile remove {profile}`"
                )
            }
        })
    }
}

/// Decides service and profile. Asks only where no flag was given and a person is there.
pub(super) fn choose(args: &Args, doors: &Doors<'_>, config: &Config) -> Result<Target> {
    if let Some(endpoint) = &args.endpoint {
        http::parse_url(endpoint).map_err(TargetError::BadEndpoint)?;
    }
    let mut overrides = active::overrides(doors.flags);
    overrides.allow_new = true;
    overrides.storage = args.storage;
    let resolve = |overrides: &Overrides| config::profile(config, doors.env, overrides, &service::preset_defaults);
    let mut profile = resolve(&overrides)?;
    for warning in &profile.warnings {
        doors.ui.warn(warning);
    }
    let profile_named = matches!(profile.name.source, Source::Flag(_) | Source::Variable(_));
    let may_ask = doors.ui.is_interactive() && args.is_bare();
    let (service_name, new_service) = match (&args.service, &args.issuer, &profile.service) {
        (Some(address), _, _) if address.contains("://") => server::find(doors, config, address, args)?,
        (Some(name), _, _) => named(doors, config, args, name)?,
        (None, Some(issuer), _) => of_issuer(config, issuer, args.client_id.as_deref())?,
        (None, None, Some(service)) if profile_named || !may_ask => (service.value.clone(), None),
        (None, None, service) if may_ask => {
            ask_service(doors, config, args, service.as_ref().map(|service| service.value.as_str()))?
        }
        (None, None, _) => return Err(TargetError::NoService.into()),
    };
    let other_service = profile.service.as_ref().filter(|service| service.value != service_name);
    if let (true, Some(service)) = (profile_named, other_service) {
        let (profile, service) = (profile.name.value.clone(), service.value.clone());
        return Err(TargetError::OtherService { profile, service }.into());
    }
    let other_service = other_service.is_some();
    if !profile_named && (other_service || !profile.exists) {
        // The profile in force is for another service, so this sign-in gets one of its own.
        overrides.profile = Some(fitting_profile(config, &service_name));
        profile = resolve(&overrides)?;
    }
    if let Some(endpoint) = &args.endpoint {
        http::parse_url(endpoint).map_err(TargetError::BadEndpoint)?;
    }
    // A variable does not say where a session that is to be kept belongs.
    let endpoint = args.endpoint.clone().or_else(|| profile.own_endpoint().map(str::to_owned));
    Ok(Target { service_name, profile_name: profile.name.value.clone(), profile_named, new_service, profile, endpoint })
}

/// The profile of that service if there is just one, else a new one named after the service.
fn fitting_profile(config: &Config, service: &str) -> String {
    let mut of_service = config.profiles.iter().filter(|(_, table)| table.service.as_deref() == Some(service));
    match (of_service.next(), of_service.next()) {
        (Some((name, _)), None) => name.clone(),
        _ => free_name(config, service),
    }
}

/// `wanted`, or with a number behind it where a profile of another kind has the name.
pub(super) fn free_name(config: &Config, wanted: &str) -> String {
    let numbered = (2..).map(|number| format!("{wanted}-{number}"));
    std::iter::once(wanted.to_owned())
        .chain(numbered)
        .find(|name| !config.profiles.contains_key(name))
        .unwrap_or_else(|| wanted.to_owned())
}

/// The configured service of that issuer, or a new table for it.
fn of_issuer(config: &Config, issuer: &str, client_id: Option<&str>) -> Result<(String, Option<ServiceTable>)> {
    let url = http::parse_url(issuer).map_err(TargetError::BadIssuer)?;
    let known = config.services.iter().find(|(_, table)| {
        table.issuer.as_deref() == Some(issuer)
            && client_id.is_none_or(|id| table.client_id.as_deref().is_none_or(|known| known == id))
    });
    if let Some((name, table)) = known {
        let adds_client = client_id.is_some() && table.client_id.is_none();
        let new = adds_client.then(|| ServiceTable { client_id: client_id.map(str::to_owned), ..table.clone() });
        return Ok((name.clone(), new));
    }
    let table = ServiceTable {
        issuer: Some(issuer.to_owned()),
        client_id: client_id.map(str::to_owned),
        ..ServiceTable::default()
    };
    Ok((free_service_name(config, &url), Some(table)))
}

/// The issuer's host as a service name: `id.work.example`, `127.0.0.1-9100`.
fn free_service_name(config: &Config, issuer: &Url) -> String {
    let host = issuer.host_str().unwrap_or("service").trim_matches(['[', ']']).replace(':', "-");
    let host = host.trim_matches('-');
    let base = issuer.port().map_or_else(|| host.to_owned(), |port| format!("{host}-{port}"));
    let taken = |name: &str| config.services.contains_key(name) || presets::find(name).is_some();
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(base)
}

/// Lets the person choose; the service that is in use comes first.
fn ask_service(
    doors: &Doors<'_>,
    config: &Config,
    args: &Args,
    in_use: Option<&str>,
) -> Result<(String, Option<ServiceTable>)> {
    let mut names = service::names(config);
    if cfg!(all(unix, feature = "server")) && !names.iter().any(|name| name == HERE) {
        // Who knows no other service has this one at least.
        let place = if config.profiles.is_empty() { 0 } else { names.len() };
        names.insert(place, HERE.to_owned());
    }
    names.sort_by_key(|name| Some(name.as_str()) != in_use);
    let mut items: Vec<String> = names.iter().map(|name| explain(config, name)).collect();
    items.push("Another OpenID Connect or OAuth 2.0 issuer: you give its address and a client id".into());
    let chosen = doors.ui.choose("Where do you want to sign in?", &items, "--service NAME or --issuer URL")?;
    if let Some(name) = names.get(chosen) {
        return named(doors, config, args, name);
    }
    let issuer = doors.ui.input("Address of the issuer (https://…)", None, "--issuer URL")?;
    let client_id = doors.ui.input("Client id registered there for command-line sign-in", None, "--client-id ID")?;
    of_issuer(config, &issuer, Some(&client_id))
}

/// The service of that name.
// Where there is no server to start, nothing of it can fail.
#[cfg_attr(not(all(unix, feature = "server")), allow(clippy::unnecessary_wraps))]
fn named(doors: &Doors<'_>, config: &Config, args: &Args, name: &str) -> Result<(String, Option<ServiceTable>)> {
    #[cfg(all(unix, feature = "server"))]
    if name == HERE {
        return here::find(doors, config, args);
    }
    let _ = (doors, config, args);
    Ok((name.to_owned(), None))
}

/// A page with the one that comes after it.
pub(super) fn after(first: &Url, then: &Url) -> Url {
    let mut url = first.clone();
    let next = then.query().map_or_else(|| then.path().to_owned(), |query| format!("{}?{query}", then.path()));
    url.query_pairs_mut().append_pair("next", &next);
    url
}

/// One line that helps to choose a service.
fn explain(config: &Config, name: &str) -> String {
    if name == HERE {
        return "This machine: a lanyard server of your own, started here; it needs nothing else".into();
    }
    let own = config.services.get(name);
    match presets::find(own.and_then(|table| table.preset.as_deref()).unwrap_or(name)) {
        Some(preset) if preset.name == name => format!("{}: {}", preset.title, preset.about),
        _ => {
            let place = own
                .and_then(|table| table.issuer.as_deref().or(table.endpoint.as_deref()))
                .unwrap_or("an API with tokens");
            format!("{name}: {place}")
        }
    }
}

/// Asks for the way, each explained in a line; only the ways that the service may have.
pub(super) fn ask_way(doors: &Doors<'_>, service: &Service) -> Result<Way> {
    let web = (Way::Web, "Browser: a page of the service opens, you sign in there, done");
    let device = (Way::Device, "Device code: enter a short code in any browser, also on your phone");
    let token = (Way::Token, "Token: paste one that you made on the service's own page");
    let ways = if service.quirks.device_first { [device, web, token] } else { [web, device, token] };
    let items: Vec<String> = ways.iter().map(|(_, about)| (*about).to_owned()).collect();
    let chosen = doors.ui.choose("How do you want to sign in?", &items, "--web, --device or --with-token")?;
    Ok(ways.get(chosen).map_or(Way::Web, |(way, _)| *way))
}

/// Asks for the client id of a service that has none for lanyard, after saying where one is made.
pub(super) fn ask_client_id(doors: &Doors<'_>, service: &Service) -> Result<String> {
    if let Some(preset) = service.preset() {
        doors
            .ui
            .say(&format!("{} knows programs by a client id. Register one at {}", preset.title, preset.registration));
    }
    doors.ui.input("Client id", None, "--client-id ID")
}

/// The same, where the server of this machine may be what was meant: no other list of services has it.
fn or_here(failure: ServiceError) -> ServiceError {
    let has_server = cfg!(all(unix, feature = "server"));
    match failure {
        ServiceError::Unknown { name, nearest: None } => {
            let here = nearest(&name, has_server.then_some(HERE));
            ServiceError::Unknown { nearest: here.map(str::to_owned), name }
        }
        other => other,
    }
}

impl Target {
    /// The service, with what this sign-in adds to the configuration.
    pub(super) fn service(&self, doors: &Doors<'_>, config: &Config) -> Result<Service> {
        match &self.new_service {
            Some(table) => {
                tracing::debug!(service = self.service_name, interactive = doors.ui.is_interactive(), "a new service");
                Ok(Service::of_table(&self.service_name, table))
            }
            None => Ok(service::find(config, &self.service_name).map_err(or_here)?),
        }
    }

    /// Sees to it that the service answers, where that is up to this machine. Returns the page that comes before the
    /// first sign-in, if one does.
    #[cfg_attr(not(all(unix, feature = "server")), allow(clippy::unnecessary_wraps, clippy::unused_self))]
    pub(super) fn ready(&self, doors: &Doors<'_>, choice: Choice) -> Result<Option<Url>> {
        #[cfg(all(unix, feature = "server"))]
        if self.service_name == HERE {
            return here::ready(doors, choice);
        }
        let _ = (doors, choice);
        Ok(None)
    }

    /// The place of the profile's session.
    pub(super) fn place(&self, doors: &Doors<'_>) -> Place {
        Place::of(doors.env, &self.profile_name)
    }

    /// The API's base address: the flag's, the profile's, the service's.
    pub(super) fn endpoint<'a>(&'a self, service: &'a Service) -> Option<&'a str> {
        self.endpoint.as_deref().or(service.table.endpoint.as_deref())
    }

    /// The account that the profile is for, as a hint for the service; none when another is to sign in.
    pub(super) fn account(&self, switch_account: bool) -> Option<&str> {
        self.profile.account.as_deref().filter(|_| !switch_account)
    }

    /// The scopes that the profile asks for instead of the service's.
    pub(super) fn scopes(&self) -> Option<Vec<String>> {
        self.profile.scopes.clone()
    }

    /// While a token variable is in force, a sign-in would change nothing that is used.
    pub(super) fn refuse_token_in_force(&self) -> Result<()> {
        match &self.profile.token {
            Some(token) => Err(AccessError::TokenInForce {
                variable: token.variable.clone(),
                cannot: "does not sign in: the variable's token would win over the session",
            }
            .into()),
            None => Ok(()),
        }
    }
}
