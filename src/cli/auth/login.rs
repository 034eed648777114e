//! `lanyard auth login`: choose, sign in, keep.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::auth::federated;
use crate::auth::grant::Client;
use crate::auth::login::{self, Fresh, Login};
use crate::auth::loopback::{Host, Redirect};
use crate::auth::service::Service;
use crate::auth::session::Place;
use crate::auth::{Notice, Reply};
use crate::cli::access::waiting_for;
use crate::cli::argv::{Place as ArgvPlace, Visible};
use crate::cli::{Doors, active, argv, given};
use crate::error::{Code, Failure, Result};
use crate::http::Url;
use crate::os::files::Lock;
use crate::secret::{Choice, Secret, SecretStore};

mod keep;
pub(in crate::cli) mod person;
mod target;
mod told;

use person::Sight;
use target::Target;
use told::tell;

/// How long a person has to finish in the browser.
pub(in crate::cli) const TIMEOUT: u64 = 300;
/// How much room the store must prove to have: a token set with long JWTs.
const PROBE: usize = 8 << 10;

/// Sign in to a service and keep the session
///
/// Without flags at a terminal, lanyard asks which service and which way. With flags it asks nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard auth login\n  lanyard auth login --service github\n  \
lanyard auth login --issuer https://id.example.com --client-id my-cli\n  \
lanyard auth login --service gitlab --with-token < token.txt")]
pub(crate) struct Args {
    /// The service to sign in to: a name from the configuration or a built-in one, the address of a lanyard server, or
    /// `this-machine` for a server of your own that is started here
    #[arg(long, short, value_name = "NAME|URL", value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::services))]
    service: Option<String>,
    /// The OpenID Connect or OAuth 2.0 issuer to sign in to; written to the configuration as a service
    #[arg(long, value_name = "URL", conflicts_with = "service")]
    issuer: Option<String>,
    /// The client identifier registered at the service
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Read the client secret from stdin and keep it in the secret store
    #[arg(long, conflicts_with = "with_token")]
    client_secret_stdin: bool,
    /// The API's base address, written to the profile
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Sign in through the browser (the default)
    #[arg(long, group = "way")]
    web: bool,
    /// Sign in by entering a short code in any browser
    #[arg(long, group = "way")]
    device: bool,
    /// Read a token from stdin, or from a hidden prompt at a terminal
    #[arg(long, group = "way")]
    with_token: bool,
    /// Use this token; others on this machine can see it while the command runs
    #[arg(long, group = "way", value_name = "VALUE", value_parser = given::parser())]
    token: Option<given::Given>,
    /// Read the token from this file
    #[arg(long, group = "way", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// Sign a CI job in by the token that its own service makes for it; no secret is stored anywhere
    #[arg(long, group = "way")]
    federated: bool,
    /// The organization at the lanyard server that a job works for [default: LANYARD_ORGANIZATION]
    #[arg(long, value_name = "ID", requires = "federated")]
    organization: Option<String>,
    /// Print the address instead of opening a browser
    #[arg(long)]
    no_browser: bool,
    /// The scopes to ask for, separated by commas or blanks
    #[arg(long, value_name = "LIST")]
    scopes: Option<String>,
    /// The port to listen on, for services that know a fixed redirect address
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How many seconds to wait for you [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,
    /// Where to keep the session
    #[arg(long, value_name = "STORE", value_parser = storage_parser())]
    storage: Option<Choice>,
    /// Accept that another account signs in to this profile
    #[arg(long)]
    switch_account: bool,
    /// Keep a token without asking the service about it
    #[arg(long)]
    no_verify: bool,
}

/// Reads the word for a store.
pub(crate) fn storage_parser() -> impl TypedValueParser<Value = Choice> {
    PossibleValuesParser::new(Choice::ALL.map(Choice::word)).map(|word| word.parse().unwrap_or(Choice::Auto))
}

/// The way to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Web,
    Device,
    Token,
    Federated,
}

/// Why a sign-in ended without a session, beyond what the domain says.
#[derive(Debug, thiserror::Error)]
enum LoginFailure {
    /// Another account came back than the profile is for.
    #[error("{came} signed in, and profile {profile} is for {expected}")]
    OtherAccount { came: String, profile: String, expected: String },
    /// stdin or the token's file could not be read.
    #[error("cannot read the secret")]
    Input(#[source] std::io::Error),
    /// A job does not say for whom it works.
    #[error("the organization that the job works for is not named")]
    NoOrganization,
}

impl Failure for LoginFailure {
    fn code(&self) -> Code {
        match self {
            Self::OtherAccount { .. } | Self::Input(_) => Code::Failed,
            Self::NoOrganization => Code::Usage,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::OtherAccount { .. } => {
                "choose the right account in the browser, name another profile with `--profile NAME`, or accept it with `--switch-account`"
                    .into()
            }
            Self::NoOrganization => "give --organization ID; `lanyard trust-rules create` told it".into(),
            Self::Input(_) => "pipe the value into the command, or name a file that you may read".into(),
        })
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        if let Some(token) = &self.token {
            doors.ui.warn("other users of this machine could see the token on the command line; `--with-token` reads it from stdin");
            let place = ArgvPlace::Flag { flag: "--token".into(), instead: "--token-file=".into() };
            argv::hide(&[Visible { place, secret: token.as_it_is() }]);
        }
        let config = active::load(doors)?;
        let json = active::wants_json(doors, &config);
        let target = target::choose(&self, doors, &config)?;
        target.refuse_token_in_force()?;
        let service = target.service(doors, &config)?;
        let way = self.way(doors, &service)?;
        let client_id = match way {
            Way::Token => None,
            Way::Web | Way::Device | Way::Federated => Some(self.client_id(doors, &service)?),
        };
        let store = keep::proven_store(doors, &self, &target)?;
        let given = self.read_secret(doors, way)?;
        let before = target.place(doors).load(&*store).ok().flatten().map(|session| session.issued_at);

        let first = target.ready(doors, store.choice())?;
        let metadata = match way {
            Way::Token => service.known_metadata()?,
            Way::Web | Way::Device | Way::Federated => service.metadata(doors.http)?,
        };
        let login = Login {
            scopes: self.scopes(&target, &service, way),
            service: &service,
            metadata: &metadata,
            endpoint: target.endpoint(&service),
            login_hint: target.account(self.switch_account),
            choose_account: self.switch_account,
        };
        let _one_at_a_time = match way {
            Way::Web => Some(self.wait_for_others(doors)?),
            Way::Device | Way::Token | Way::Federated => None,
        };
        if way == Way::Web
            && let Some(session) = keep::signed_in_meanwhile(&target.place(doors), &*store, before)
        {
            doors.ui.done("another process finished this sign-in");
            return tell(doors, json, &target.profile_name, &session, store.choice());
        }
        let fresh = match (way, given) {
            (Way::Token, Given::Token(token)) => self.keep_token(doors, &login, token)?,
            (Way::Federated, _) => {
                let client = Self::client(client_id, &login, &target.place(doors), &*store, None)?;
                self.sign_job_in(doors, &login, client)?
            }
            (way, given) => {
                let client = Self::client(client_id, &login, &target.place(doors), &*store, given.client_secret())?;
                self.sign_in(doors, &login, way, client, json, first.as_ref())?
            }
        };
        let kept = keep::keep(doors, &self, &target, &service, &*store, fresh)?;
        // Who carries a sign-in out was told the one object already; a pasted token has none before this.
        tell(doors, json && matches!(way, Way::Token | Way::Federated), &kept.profile, &kept.session, store.choice())
    }

    fn way(&self, doors: &Doors<'_>, service: &Service) -> Result<Way> {
        if self.web {
            Ok(Way::Web)
        } else if self.federated {
            Ok(Way::Federated)
        } else if self.device {
            Ok(Way::Device)
        } else if self.gives_token() || service.is_token_only() {
            Ok(Way::Token)
        } else if self.is_bare() && doors.ui.is_interactive() && service.name != target::HERE {
            target::ask_way(doors, service)
        } else if service.quirks.device_first && service.table.client_secret.is_none() && !self.client_secret_stdin {
            Ok(Way::Device)
        } else {
            Ok(Way::Web)
        }
    }

    /// No flag says what to do, so a person may be asked.
    fn is_bare(&self) -> bool {
        self.service.is_none()
            && self.issuer.is_none()
            && !self.web
            && !self.device
            && !self.federated
            && !self.gives_token()
    }

    fn gives_token(&self) -> bool {
        self.with_token || self.token.is_some() || self.token_file.is_some()
    }

    fn scopes(&self, target: &Target, service: &Service, way: Way) -> Vec<String> {
        match &self.scopes {
            Some(scopes) => login::scopes(scopes),
            // A job gets what the rule gives that lets it in.
            None if way == Way::Federated => Vec::new(),
            None => target.scopes().unwrap_or_else(|| service.scopes()),
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(TIMEOUT))
    }

    /// One browser sign-in at a time: two windows at once are a riddle for the person in front of them.
    fn wait_for_others(&self, doors: &Doors<'_>) -> Result<Lock> {
        let lock = doors.env.config_dir().join("locks").join("login.lock");
        let mut waiting = |holder: Option<u32>| doors.ui.note(&waiting_for(holder, "is signing in"));
        Ok(Lock::acquire(&lock, self.limit(), &mut waiting)?)
    }

    /// Reads the secret that the way needs: the token, or the client secret.
    fn read_secret(&self, doors: &Doors<'_>, way: Way) -> Result<Given> {
        let from_stdin = |question: &str, flag: &str| {
            if doors.ui.is_interactive() { doors.ui.hidden(question, flag) } else { read_all(std::io::stdin().lock()) }
        };
        match (way, &self.token, &self.token_file) {
            (Way::Token, Some(token), _) => Ok(Given::Token(login::clean_token(token.as_it_is())?)),
            (Way::Token, None, Some(path)) => {
                let file = std::fs::File::open(path).map_err(LoginFailure::Input)?;
                Ok(Given::Token(login::clean_token(&read_all(file)?)?))
            }
            (Way::Token, None, None) => {
                Ok(Given::Token(login::clean_token(&from_stdin("Token", "the token on stdin")?)?))
            }
            _ if self.client_secret_stdin => {
                let pasted = from_stdin("Client secret", "the secret on stdin")?;
                Ok(Given::ClientSecret(login::clean_token(&pasted)?))
            }
            _ => Ok(Given::Nothing),
        }
    }

    fn keep_token(&self, doors: &Doors<'_>, login: &Login<'_>, token: Secret) -> Result<Fresh> {
        doors.ui.mask(&token)?;
        login.token(token, !self.no_verify, doors.http, doors.env.now())
    }

    fn sign_job_in(&self, doors: &Doors<'_>, login: &Login<'_>, client: Client) -> Result<Fresh> {
        let named = self.organization.as_deref().or_else(|| doors.env.var("LANYARD_ORGANIZATION"));
        let organization = named.ok_or(LoginFailure::NoOrganization)?;
        let job = federated::job_token(doors.env, login.service.address(), doors.http)?;
        doors.ui.mask(&job)?;
        let warn = &mut |notice: Notice<'_>| {
            if let Notice::Warning(text) = notice {
                doors.ui.warn(&text);
            }
            Reply::GoOn
        };
        login.federated(client, organization, &job, doors.http, doors.env.now(), warn)
    }

    /// `first` is the page that comes before the sign-in.
    fn sign_in(
        &self,
        doors: &Doors<'_>,
        login: &Login<'_>,
        way: Way,
        client: Client,
        json: bool,
        first: Option<&Url>,
    ) -> Result<Fresh> {
        let device_offered = way == Way::Web && login.metadata.device_authorization_endpoint.is_some();
        let no_browser = self.no_browser || way == Way::Device;
        let mut sight = Sight::new(doors, json, no_browser, device_offered);
        let person = &mut |notice: Notice<'_>| match (notice, first) {
            (Notice::Visit { url, expires_at }, Some(first)) => {
                sight.notice(Notice::Visit { url: &target::after(first, url), expires_at })
            }
            (notice, _) => sight.notice(notice),
        };
        let now = || doors.env.now();
        if way == Way::Device {
            if let Some(first) = first {
                doors.ui.say("Open this address first, to make the owner of the new server:");
                doors.ui.say(first.as_str());
            }
            return login.device(client, self.timeout.map(Duration::from_secs), doors.http, &now, person);
        }
        login.web(client, &redirect(login.service, self.port), self.limit(), doors.http, &now, person)
    }

    /// The client identifier: the flag's, the configuration's, or the person's answer. Asked before any network.
    fn client_id(&self, doors: &Doors<'_>, service: &Service) -> Result<String> {
        match (&self.client_id, service.client_id()) {
            (Some(id), _) => Ok(id.clone()),
            (None, Ok(id)) => Ok(id.to_owned()),
            (None, Err(_)) if doors.ui.is_interactive() && self.is_bare() => target::ask_client_id(doors, service),
            (None, Err(failure)) => Err(failure.into()),
        }
    }

    /// The OAuth client: its secret is the one just given, the one kept, or the configuration's.
    fn client(
        id: Option<String>,
        login: &Login<'_>,
        place: &Place,
        store: &dyn SecretStore,
        given: Option<Secret>,
    ) -> Result<Client> {
        let service = login.service;
        let secret = match given {
            Some(secret) => Some(secret),
            None => store
                .get(&place.client_slot(store, &service.name, service.address()))?
                .or_else(|| service.table.client_secret.clone().map(Secret::new)),
        };
        Ok(Client::new(service, login.metadata, id.unwrap_or_default(), secret))
    }
}

/// Where a service sends the browser back to. `port` wins over the service's own.
pub(in crate::cli) fn redirect(service: &Service, port: Option<u16>) -> Redirect {
    let table = &service.table;
    let host = match table.redirect_host.as_deref() {
        Some("[::1]" | "::1") => Host::V6,
        Some("localhost") => Host::Localhost,
        _ => Host::V4,
    };
    let path = table.redirect_path.clone().unwrap_or_else(|| "/callback".into());
    Redirect { host, port: port.or(table.redirect_port), path }
}

/// The secret that came with the command.
enum Given {
    Nothing,
    Token(Secret),
    ClientSecret(Secret),
}

impl Given {
    fn client_secret(self) -> Option<Secret> {
        match self {
            Self::ClientSecret(secret) => Some(secret),
            Self::Nothing | Self::Token(_) => None,
        }
    }
}

/// The whole input, up to a little more than the longest token, so that a longer one is noticed.
fn read_all(input: impl Read) -> Result<Secret> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(8 << 10));
    input.take((64 << 10) + 16).read_to_string(&mut text).map_err(LoginFailure::Input)?;
    Ok(Secret::new(std::mem::take(&mut *text)))
}
