//! What a server is told: by flags, by variables, by a file, in this order.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::audit::{Checkpoints, Sink};
use super::db::Address;
use super::error::ServeError;
use super::limits::Rates;
use crate::http::{is_loopback, parse_url};
use crate::os::{Env, files};
use crate::text::clean;

mod database;
mod keeping;
mod proxies;

pub use database::Named;
pub(crate) use keeping::Keeping;
pub(crate) use proxies::Proxies;

/// Where a server listens that is told nothing.
const LISTEN: &str = "127.0.0.1:7447";
/// The file of settings in the configuration folder.
const FILE: &str = "server.toml";
/// So many connections from one address, where nothing else is said.
const PER_ADDRESS: u32 = 1024;
/// The highest rate that can be given.
const MOST: u32 = 1_000_000;
/// How often a server that is told nothing signs the end of the audit.
const EVERY: Duration = Duration::from_mins(1);

/// Settings as they were given in one place. All are texts, so that one function reads them all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the flags of `lanyard serve`, which its help explains")]
pub struct Given {
    pub listen: Option<String>,
    pub data: Option<String>,
    pub public_url: Option<String>,
    pub database: Option<Named>,
    pub database_password_file: Option<String>,
    pub master_key_file: Option<String>,
    pub master_passphrase_file: Option<String>,
    pub tls_certificate: Option<String>,
    pub tls_key: Option<String>,
    pub audit_checkpoints: Option<String>,
    pub audit_checkpoint_every: Option<String>,
    pub secrets_engine: Option<String>,
    pub vault_address: Option<String>,
    pub vault_mount: Option<String>,
    pub vault_namespace: Option<String>,
    pub vault_ca_file: Option<String>,
    pub vault_token_file: Option<String>,
    pub vault_role_id: Option<String>,
    pub vault_secret_id_file: Option<String>,
    pub vault_auth_mount: Option<String>,
    pub master_key_transit: Option<String>,
    pub sealed_start: Option<String>,
    pub metrics_listen: Option<String>,
    pub log: Option<String>,
    pub rate_address: Option<String>,
    pub rate_token: Option<String>,
    pub rate_caller: Option<String>,
    pub rate_organization: Option<String>,
    pub connections_per_address: Option<String>,
    #[serde(default)]
    pub behind_proxy: Vec<String>,
    #[serde(default)]
    pub allow_host: Vec<String>,
}

/// The settings of a server, complete and of the right form.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its folder.
    pub data: PathBuf,
    pub(crate) keeping: Keeping,
    pub(crate) public: Option<Url>,
    pub(crate) database: Address,
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) proxies: Proxies,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) checkpoints: Checkpoints,
    /// In which form what happens is written to the log; `None` where nobody said.
    pub log: Option<LogForm>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) rates: Rates,
    pub(crate) per_address: usize,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// One JSON object a line.
    Json,
    /// Lines for eyes.
    Text,
    /// None.
    Off,
}

/// One setting with the place that it comes from.
struct Found {
    value: String,
    place: String,
    /// The folder that a path in it starts from.
    base: PathBuf,
}

impl Found {
    fn bad(&self, problem: &str) -> ServeError {
        ServeError::Setting { place: self.place.clone(), problem: problem.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.base.join(&self.value)
    }
}

impl Settings {
    /// Puts together what was given. `file` is the file that a flag names.
    pub fn read(flags: &Given, file: Option<&Path>, env: &Env) -> Result<Self, ServeError> {
        let (file, path) = read_file(file, env)?;
        let find = |name: &'static str, of: fn(&Given) -> Option<&String>| -> Option<Found> {
            let variable = format!("LANYARD_SERVE_{}", name.replace('-', "_").to_ascii_uppercase());
            let here = env.working_dir().to_owned();
            if let Some(value) = of(flags) {
                return Some(Found { value: value.clone(), place: format!("--{name}"), base: here });
            }
            if let Some(value) = env.var(&variable) {
                return Some(Found { value: value.to_owned(), place: variable, base: here });
            }
            let base = path.parent().unwrap_or(Path::new("/")).to_owned();
            of(&file).map(|value| Found {
                value: value.clone(),
                place: format!("`{name}` in {}", path.display()),
                base,
            })
        };
        let listen = find("listen", |given| given.listen.as_ref());
        let listen = match &listen {
            Some(found) => found.value.parse().map_err(|_| found.bad("it is no address with a port"))?,
            None => LISTEN.parse().map_err(|_| ServeError::NoRandom)?,
        };
        let data = find("data", |given| given.data.as_ref());
        let data = data.map_or_else(|| env.data_dir().join("server"), |found| found.path());
        let database = database::read(&find, &data)?;
        let public = find("public-url", |given| given.public_url.as_ref());
        let public = public.map(|found| public_url(&found)).transpose()?;
        let certificate = find("tls-certificate", |given| given.tls_certificate.as_ref());
        let key = find("tls-key", |given| given.tls_key.as_ref());
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate.path(), key.path())),
            (None, None) => None,
            (Some(one), None) => return Err(one.bad("it needs `--tls-key` beside it")),
            (None, Some(one)) => return Err(one.bad("it needs `--tls-certificate` beside it")),
        };
        let list = |name: &'static str, of: fn(&Given) -> &Vec<String>| -> Vec<Found> {
            let variable = format!("LANYARD_SERVE_{}", name.replace('-', "_").to_ascii_uppercase());
            let (values, place) = match (of(flags), env.var(&variable)) {
                (given, _) if !given.is_empty() => (given.clone(), format!("--{name}")),
                (_, Some(words)) => (words.split(',').map(|word| word.trim().to_owned()).collect(), variable),
                _ => (of(&file).clone(), format!("`{name}` in {}", path.display())),
            };
            let found = |value| Found { value, place: place.clone(), base: PathBuf::new() };
            values.into_iter().map(found).collect()
        };
        let proxy = |found: &Found| -> Result<IpAddr, ServeError> {
            let address: IpAddr = found.value.parse().map_err(|_| found.bad("it is no address of a machine"))?;
            Ok(address.to_canonical())
        };
        let proxies = list("behind-proxy", |given| &given.behind_proxy).iter().map(proxy).collect::<Result<_, _>>()?;
        let hosts = list("allow-host", |given| &given.allow_host);
        let every = find("audit-checkpoint-every", |given| given.audit_checkpoint_every.as_ref());
        let seconds = |found: &Found| match found.value.parse() {
            Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
            _ => Err(found.bad("it is no number of seconds from 1 to 86400")),
        };
        let checkpoints = Checkpoints {
            sink: find("audit-checkpoints", |given| given.audit_checkpoints.as_ref())
                .map(|found| sink(&found))
                .transpose()?,
            every: every.as_ref().map_or(Ok(EVERY), seconds)?,
        };
        let (log, metrics) = told(&find)?;
        let (rates, per_address) = limits(&find)?;
        let settings = Self {
            listen,
            data,
            keeping: Keeping::read(&find, env)?,
            public,
            database,
            tls,
            proxies: Proxies(proxies),
            allowed_hosts: hosts.into_iter().map(|found| found.value.to_ascii_lowercase()).collect(),
            checkpoints,
            log,
            metrics,
            rates,
            per_address,
        };
        settings.refuse_readable_tokens()?;
        Ok(settings)
    }

    /// Whether it is said where the master key rests.
    pub fn names_its_key(&self) -> bool {
        let Keeping { master_key_file, passphrase_file, transit, .. } = &self.keeping;
        master_key_file.is_some() || passphrase_file.is_some() || transit.is_some()
    }

    /// Whether there may be a server with data of its own already.
    pub fn is_made(&self) -> bool {
        match &self.database {
            Address::Sqlite(file) => file.exists(),
            Address::Postgres(_) => true,
        }
    }

    /// Off loopback, tokens travel under TLS: the server's own, or that of a proxy that is named.
    fn refuse_readable_tokens(&self) -> Result<(), ServeError> {
        if self.listen.ip().is_loopback() || self.tls.is_some() {
            return Ok(());
        }
        if self.proxies.is_empty() {
            return Err(ServeError::Readable { address: self.listen });
        }
        Ok(())
    }

    /// The address by which people know the server, once it is known where it listens.
    pub(crate) fn public_at(&self, listening: SocketAddr) -> Result<Url, ServeError> {
        let missing = |problem: &str| ServeError::Setting { place: "--public-url".into(), problem: problem.into() };
        if let Some(url) = &self.public {
            return Ok(url.clone());
        }
        if listening.ip().is_unspecified() || !self.proxies.is_empty() {
            return Err(missing("the address by which people reach the server must be given"));
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Url::parse(&format!("{scheme}://{listening}")).map_err(|_| missing("the address is no URL"))
    }

    /// The folder of what providers leave for one another.
    pub(crate) fn surroundings(&self) -> Env {
        Env::invented(&self.data, &self.data, &[])
    }
}

/// Where statements about the audit go besides the database.
fn sink(found: &Found) -> Result<Sink, ServeError> {
    Sink::read(&found.value, found.path()).map_err(|problem| found.bad(problem))
}

/// Finds a setting by its name, and by its place among those that were given.
type Find<'f> = dyn Fn(&'static str, fn(&Given) -> Option<&String>) -> Option<Found> + 'f;

/// What the server tells of itself, and where.
fn told(find: &Find<'_>) -> Result<(Option<LogForm>, Option<SocketAddr>), ServeError> {
    let log = find("log", |given| given.log.as_ref()).map(|found| match found.value.as_str() {
        "json" => Ok(LogForm::Json),
        "text" => Ok(LogForm::Text),
        "off" => Ok(LogForm::Off),
        _ => Err(found.bad("it is neither json, text nor off")),
    });
    let metrics = find("metrics-listen", |given| given.metrics_listen.as_ref());
    let metrics = metrics.map(|found| found.value.parse().map_err(|_| found.bad("it is no address with a port")));
    Ok((log.transpose()?, metrics.transpose()?))
}

/// How often is answered, and how many connections an address has.
fn limits(find: &Find<'_>) -> Result<(Rates, usize), ServeError> {
    let number = |found: Option<Found>, usual: u32| -> Result<u32, ServeError> {
        let Some(found) = found else { return Ok(usual) };
        let number = found.value.parse().ok().filter(|number| *number <= MOST);
        number.ok_or_else(|| found.bad("it is no whole number up to a million"))
    };
    let usual = Rates::default();
    let organization = find("rate-organization", |given| given.rate_organization.as_ref());
    let rates = Rates {
        address: number(find("rate-address", |given| given.rate_address.as_ref()), usual.address)?,
        token: number(find("rate-token", |given| given.rate_token.as_ref()), usual.token)?,
        caller: number(find("rate-caller", |given| given.rate_caller.as_ref()), usual.caller)?,
        organization: number(organization, usual.organization)?,
    };
    let per_address = find("connections-per-address", |given| given.connections_per_address.as_ref());
    let per_address = number(per_address, PER_ADDRESS)?.max(1);
    Ok((rates, usize::try_from(per_address).unwrap_or(usize::MAX)))
}

/// The address by which people know the server: an origin, and no more.
fn public_url(found: &Found) -> Result<Url, ServeError> {
    let url = parse_url(&found.value).map_err(|problem| found.bad(&problem.to_string()))?;
    if url.path() != "/" || url.query().is_some() {
        return Err(found.bad("it has a path; the server has a host, or a port, of its own"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(found.bad("it is not https"));
    }
    Ok(url)
}

/// The settings in a file: the one that is named, which must be there, or the usual one.
fn read_file(named: Option<&Path>, env: &Env) -> Result<(Given, PathBuf), ServeError> {
    let variable = env.var("LANYARD_SERVE_SETTINGS").map(Path::new);
    let (path, must) = match named.or(variable) {
        Some(path) => (env.working_dir().join(path), true),
        None => (env.config_dir().join(FILE), false),
    };
    let bad = |problem: String| ServeError::SettingsFile { file: path.display().to_string(), problem };
    let bytes = match files::read(&path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if must => return Err(bad("there is no such file".into())),
        Ok(None) => return Ok((Given::default(), path)),
        Err(failure) => return Err(bad(failure.to_string())),
    };
    let text = String::from_utf8(bytes).map_err(|_| bad("it is no text".into()))?;
    // The first line says what is wrong; the others would quote the file, which may hold a password.
    let given = toml::from_str(&text).map_err(|cause| bad(clean(cause.message())))?;
    Ok((given, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &Given, variables: &[(&str, &str)], file: &str) -> Result<Settings, ServeError> {
        let dir = tempfile::tempdir().unwrap();
        if !file.is_empty() {
            std::fs::write(dir.path().join("server.toml"), file).unwrap();
        }
        Settings::read(flags, None, &Env::invented(dir.path(), Path::new("/work"), variables))
    }

    fn listening(listen: &str) -> Given {
        Given { listen: Some(listen.into()), ..Given::default() }
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_that_over_the_file() {
        let file = "listen = \"127.0.0.1:3\"\ndatabase = \"sqlite:f.db\"\nallow-host = [\"Git.Corp\"]\n";
        let variables = [("LANYARD_SERVE_LISTEN", "127.0.0.1:2"), ("LANYARD_SERVE_DATA", "d")];
        let settings = read(&listening("127.0.0.1:1"), &variables, file).unwrap();
        assert_eq!((settings.listen.port(), settings.data.as_path()), (1, Path::new("/work/d")));
        assert_eq!(settings.database, Address::Sqlite("/work/d/f.db".into()));
        assert_eq!(settings.allowed_hosts, ["git.corp"]);
        assert_eq!(read(&Given::default(), &variables, file).unwrap().listen.port(), 2);
        assert_eq!(read(&Given::default(), &[], file).unwrap().listen.port(), 3);
        assert_eq!(read(&Given::default(), &[], "").unwrap().listen.to_string(), LISTEN);
    }

    #[test]
    fn tokens_do_not_travel_readable() {
        for open in ["0.0.0.0:1", "192.0.2.1:1", "[::]:1", "[2001:db8::1]:1"] {
            assert!(matches!(read(&listening(open), &[], ""), Err(ServeError::Readable { .. })), "{open}");
            let behind = Given { behind_proxy: vec!["192.0.2.9".into()], ..listening(open) };
            let settings = read(&behind, &[], "").unwrap();
            assert!(settings.public_at(settings.listen).is_err(), "who is behind a proxy says by which name");
        }
        for local in ["127.0.0.1:1", "127.0.0.9:1", "[::1]:1"] {
            assert!(read(&listening(local), &[], "").is_ok());
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_place_and_not_quoted() {
        let told = |flags: &Given, variables: &[(&str, &str)], file: &str| {
            let failure = read(flags, variables, file).unwrap_err();
            assert_eq!(crate::error::Failure::code(&failure), crate::error::Code::Config);
            failure.to_string()
        };
        assert_eq!(told(&listening("here"), &[], ""), "--listen cannot be used: it is no address with a port");
        let secret = [("LANYARD_SERVE_DATABASE", "mysql://root:hunter2@db")];
        assert!(!told(&Given::default(), &secret, "").contains("hunter2"));
        assert!(told(&Given::default(), &[], "listne = \"x\"\n").contains("unknown field"));
        let public = |url: &str| Given { public_url: Some(url.into()), ..Given::default() };
        for bad in ["http://lanyard.example", "https://lanyard.example/path", "lanyard.example", "https://a@b/"] {
            assert!(told(&public(bad), &[], "").starts_with("--public-url"), "{bad}");
        }
        let half = Given { tls_key: Some("k".into()), ..Given::default() };
        assert!(told(&half, &[], "").contains("--tls-certificate"));
    }
}
