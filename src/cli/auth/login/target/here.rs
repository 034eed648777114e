//! The server of this machine: found where it runs, started where it does not.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{HERE, TargetError, server};
use crate::auth::LANYARD_API;
use crate::cli::Doors;
use crate::cli::agent::start::surroundings;
use crate::cli::auth::login::Args;
use crate::cli::serve::LINK;
use crate::config::{Config, ServiceTable};
use crate::error::{Code, Failure, Result};
use crate::http::{self, Request, Url};
use crate::os::{descriptors, files};
use crate::secret::Choice;
use crate::server::{Given, Settings, running};
use crate::text::clean;

/// What a server says that was started here, in its folder: emptied at each start.
const LOG: &str = "serve.log";
/// How long a server may take to answer after it was started.
const BEGINNING: Duration = Duration::from_secs(30);

/// Why there is no server of this machine to sign in to.
#[derive(Debug, thiserror::Error)]
enum HereError {
    #[error("{address} is answered by something else than the server of this machine")]
    Foreign { address: Url },
    #[error("the server of this machine did not start{}", said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    Died { said: Option<String> },
    #[error("the server of this machine runs and does not answer")]
    Silent,
    #[error("the server of this machine cannot be started")]
    System(#[source] std::io::Error),
}

impl Failure for HereError {
    fn code(&self) -> Code {
        match self {
            Self::Silent => Code::Unreachable,
            _ => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Foreign { address } => format!(
                "if it is a lanyard server that you trust: `lanyard auth login --service {address}`; else end it, or give this one \
                 another port with `listen = \"127.0.0.1:PORT\"` in server.toml"
            ),
            Self::Died { .. } => "`lanyard serve` starts it in this terminal and tells more".into(),
            Self::Silent => "wait a little, or end it with `lanyard server stop` and try again".into(),
            Self::System(_) => "start it yourself with `lanyard serve`, then run this command again".into(),
        })
    }
}

/// The service that the server of this machine is, as it stands in its settings.
pub(super) fn find(doors: &Doors<'_>, config: &Config, args: &Args) -> Result<(String, Option<ServiceTable>)> {
    let address = address(&settings(doors)?)?;
    let issuer = address.as_str().trim_end_matches('/');
    let is_known = config.services.get(HERE).is_some_and(|table| table.issuer.as_deref() == Some(issuer));
    let new = (!is_known).then(|| server::table(issuer, args.client_id.as_deref()));
    Ok((HERE.to_owned(), new))
}

/// Sees to it that the server of this machine runs, with its master key in the store `choice`. Returns the link that
/// makes its first owner, where nobody can sign in yet.
pub(super) fn ready(doors: &Doors<'_>, choice: Choice) -> Result<Option<Url>> {
    let settings = settings(doors)?;
    let address = address(&settings)?;
    match running(&settings.data)? {
        Some(_) => wait_for(doors, &address)?,
        None if is_served(doors, &address)? => return Err(HereError::Foreign { address }.into()),
        None => start(doors, &settings, &address, choice)?,
    }
    link(doors, &settings.data)
}

fn settings(doors: &Doors<'_>) -> Result<Settings> {
    Ok(Settings::read(&Given::default(), None, doors.env)?)
}

fn address(settings: &Settings) -> Result<Url> {
    Ok(settings.public_at(settings.listen)?)
}

/// Whether anything answers there; an error where what answers is no lanyard server of that name.
fn is_served(doors: &Doors<'_>, address: &Url) -> Result<bool> {
    let mut document = address.clone();
    document.set_path("/.well-known/oauth-authorization-server");
    let Ok(answer) = doors.http.send(Request::get(document)) else { return Ok(false) };
    let told: Value = answer.json().unwrap_or_default();
    let issuer = told["issuer"].as_str().unwrap_or_default();
    if told[LANYARD_API].as_i64().is_none() || issuer != address.as_str().trim_end_matches('/') {
        return Err(HereError::Foreign { address: address.clone() }.into());
    }
    Ok(true)
}

/// Waits until a server that was there before answers.
fn wait_for(doors: &Doors<'_>, address: &Url) -> Result<()> {
    let deadline = Instant::now() + BEGINNING;
    while !is_served(doors, address)? {
        if Instant::now() >= deadline {
            return Err(HereError::Silent.into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Starts the server in a process that stays when this one and its terminal are gone.
fn start(doors: &Doors<'_>, settings: &Settings, address: &Url, choice: Choice) -> Result<()> {
    files::create_private_dir(&settings.data)?;
    if !matches!(choice, Choice::Auto | Choice::Keychain) {
        keep_master_key_in_a_file(doors, settings)?;
    }
    let log = settings.data.join(LOG);
    let mut child = spawn(doors, &log).map_err(HereError::System)?;
    let deadline = Instant::now() + BEGINNING;
    loop {
        if child.try_wait().map_err(HereError::System)?.is_some() {
            return Err(HereError::Died { said: first_line(&log) }.into());
        }
        let is_the_one = running(&settings.data)?.is_some_and(|running| running.pid == Some(child.id()));
        if is_the_one && is_served(doors, address)? {
            let pid = child.id();
            doors.ui.done(&format!("Started the server of this machine at {} (process {pid})", shown(address)));
            doors.ui.note("`lanyard server stop` ends it, and `lanyard serve` starts it again");
            return Ok(());
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(HereError::Died { said: first_line(&log) }.into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn shown(address: &Url) -> &str {
    address.as_str().trim_end_matches('/')
}

fn spawn(doors: &Doors<'_>, log: &Path) -> std::io::Result<Child> {
    let mut options = File::options();
    options.create(true).write(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let log = options.open(log)?;
    let mut command = Command::new(std::env::current_exe()?);
    // Nobody looks after a log of requests here; why the server does not start stands in the file in any case.
    command.args(["serve", "--log", "off"]).env_clear().envs(surroundings(doors.env));
    let own = doors.env.variables().filter(|(name, _)| name.starts_with("LANYARD_SERVE_"));
    command.envs(own).current_dir(doors.env.working_dir());
    // Files and sockets of whoever started this command are not for a process that runs for days, nor is a Ctrl-C.
    descriptors::keep_from_children();
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
}

/// Where the keychain does not hold the session, it does not hold the server's master key either; the settings say so,
/// so that `lanyard serve` finds the key as well. A server that is there already has its key where it has it.
fn keep_master_key_in_a_file(doors: &Doors<'_>, settings: &Settings) -> Result<()> {
    let file = doors.env.config_dir().join("server.toml");
    if settings.names_its_key() || settings.is_made() || file.exists() {
        return Ok(());
    }
    let key = settings.data.join("master.key");
    let line = toml::Value::String(key.to_string_lossy().into_owned());
    files::create_private_dir(doors.env.config_dir())?;
    files::replace(&file, format!("master-key-file = {line}\n").as_bytes(), false)?;
    doors.ui.warn(&format!("the server's master key is kept in the file {}", key.display()));
    Ok(())
}

/// What a server that has ended said first of why.
fn first_line(log: &Path) -> Option<String> {
    let text = String::from_utf8(files::read(log).ok()??).ok()?;
    let line = text.lines().find(|line| line.contains("error")).or_else(|| text.lines().next())?;
    let line = line.trim_start_matches("error").trim_start_matches(':').trim();
    (!line.is_empty()).then(|| clean(line))
}

/// The link that makes the first owner, where it is good still.
fn link(doors: &Doors<'_>, data: &Path) -> Result<Option<Url>> {
    let Some(bytes) = files::read(&data.join(LINK))? else { return Ok(None) };
    let url = http::parse_url(String::from_utf8_lossy(&bytes).trim()).map_err(TargetError::BadIssuer)?;
    let answer = doors.http.send(Request::get(url.clone()))?;
    Ok(answer.is_success().then_some(url))
}
