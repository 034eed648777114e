//! Logins that docker, podman and helm have left on this machine.

use std::path::{Path, PathBuf};

use super::address::{Address, Flavour};
use super::asked::token_end;
use super::docker::{self, Config, Login};
use super::helm;
use crate::credential::{Kind, Raw};
use crate::os::files;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};

/// How long a credential helper may think.
const HELPER_SECONDS: u64 = 20;

/// Every login, in the order in which docker, then podman, then helm would come upon them; with an address given, those
/// for it, and a helper is asked only then.
pub(super) fn all(kind: &'static Kind, here: &Here<'_>) -> Discovered {
    let wanted = match here.input("url").map(|url| Address::parse(url, None)) {
        Some(Ok(address)) => Some(address),
        // What is no address is told when the fields are checked.
        Some(Err(_)) => return Discovered::default(),
        None => None,
    };
    let mut search = Search { kind, here, wanted, all: Discovered::default() };
    if let Some(text) = here.env.var("DOCKER_AUTH_CONFIG") {
        search.config("$DOCKER_AUTH_CONFIG", text.as_bytes(), |_| Origin::variable("DOCKER_AUTH_CONFIG"));
    }
    for path in container_files(here) {
        if let Some(bytes) = search.read(&path) {
            search.config(&here.shown(&path), &bytes, |key| Origin::file(here, &path, &format!("[{key}]")));
        }
    }
    if let Some(path) = helm_file(here, "HELM_REPOSITORY_CONFIG", "repositories.yaml")
        && let Some(bytes) = search.read(&path)
        && let Err(failure) = search.repositories(&path, &bytes)
    {
        search.all.broken(failure);
    }
    search.all
}

/// The files of docker's form.
fn container_files(here: &Here<'_>) -> Vec<PathBuf> {
    let from = |name: &str| here.env.var(name).map(|path| here.env.working_dir().join(path));
    let docker = from("DOCKER_CONFIG").or_else(|| here.home(".docker")).map(|folder| folder.join("config.json"));
    let below = |folder: Option<PathBuf>| folder.map(|folder| folder.join("containers/auth.json"));
    let mut files: Vec<PathBuf> = [
        docker,
        from("REGISTRY_AUTH_FILE"),
        below(from("XDG_RUNTIME_DIR")),
        below(here.xdg_config()),
        helm_file(here, "HELM_REGISTRY_CONFIG", "registry/config.json"),
    ]
    .into_iter()
    .flatten()
    .collect();
    // The same file by two names is found once.
    let mut seen = std::collections::BTreeSet::new();
    files.retain(|path| seen.insert(path.clone()));
    files
}

/// A file of helm's: named by a variable of its own, else in helm's folder.
fn helm_file(here: &Here<'_>, variable: &str, name: &str) -> Option<PathBuf> {
    let from = |name: &str| here.env.var(name).map(|path| here.env.working_dir().join(path));
    let usual = || {
        if cfg!(target_os = "macos") {
            here.home("Library/Preferences/helm")
        } else if cfg!(windows) {
            from("APPDATA").map(|folder| folder.join("helm"))
        } else {
            here.xdg_config().map(|folder| folder.join("helm"))
        }
    };
    from(variable).or_else(|| from("HELM_CONFIG_HOME").or_else(usual).map(|folder| folder.join(name)))
}

struct Search<'s, 'h> {
    kind: &'static Kind,
    here: &'s Here<'h>,
    wanted: Option<Address>,
    all: Discovered,
}

impl Search<'_, '_> {
    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.all.value(files::read(path).map_err(ProviderError::from))
    }

    /// Takes the logins of a file of docker's form.
    fn config(&mut self, place: &str, bytes: &[u8], origin: impl Fn(&str) -> Origin) {
        let what = "docker configuration";
        let config = match docker::parse(bytes) {
            Ok(config) => config,
            Err(problem) => {
                return self.all.broken(ProviderError::Foreign { place: place.to_owned(), what, problem });
            }
        };
        self.helpers(&config);
        for (key, login) in config.logins {
            // A registry that has no safe address cannot be a credential's.
            let Ok(address) = Address::of_container_file(&key) else { continue };
            if self.is_wanted(&address) {
                self.add(&address, Some(login), address.host(), origin(&key));
            }
        }
    }

    /// Takes what the helpers of a file have: by name, and for the address that is wanted by asking.
    fn helpers(&mut self, config: &Config) {
        if self.wanted.as_ref().is_some_and(|wanted| wanted.flavour == Flavour::Ecr) {
            // Amazon's helpers make passwords from AWS keys, as lanyard does itself.
            return;
        }
        let keys = config.helpers.keys().chain(&config.elsewhere);
        let mut named: Vec<(Address, &str, &str)> = keys
            .filter_map(|key| Some((Address::of_container_file(key).ok()?, key.as_str(), config.helper(key)?)))
            .filter(|(address, ..)| self.is_wanted(address))
            .collect();
        let key = self.wanted.as_ref().map(Address::key);
        if let (Some(address), Some(key), Some(store)) = (&self.wanted, &key, &config.store)
            && named.is_empty()
        {
            named.push((address.clone(), key, store));
        }
        for (address, key, helper) in named {
            let Some(program) = docker::helper_program(helper) else { continue };
            let origin = Origin::tool(&format!("{program} get"));
            if self.wanted.is_none() {
                self.add(&address, None, address.host(), origin);
                continue;
            }
            match self.asked(&program, key) {
                Ok(Some(login)) => self.add(&address, Some(login), address.host(), origin),
                Ok(None) => {}
                Err(failure) => self.all.broken(failure),
            }
        }
    }

    /// Asks a helper. It says no in the same way as it says that something is wrong, so that only a missing one is told.
    fn asked(&self, program: &str, key: &str) -> Result<Option<Login>, ProviderError> {
        if !self.here.has_program(program) {
            return Err(ProviderError::Program {
                program: program.to_owned(),
                cause: crate::secret::Reason("it is not installed".into()),
                mend: format!("install {program}, or give `--username` and `--password -`"),
            });
        }
        let answer = self.here.ask(program, &["get"], key, HELPER_SECONDS).ok();
        Ok(answer.and_then(|answer| docker::helper_answer(&answer)))
    }

    /// Takes the repositories of helm's file.
    fn repositories(&mut self, path: &Path, bytes: &[u8]) -> Result<(), ProviderError> {
        let problem = |problem| ProviderError::Foreign {
            place: self.here.shown(path),
            what: "list of Helm repositories",
            problem,
        };
        let text = std::str::from_utf8(bytes).map_err(|_| problem("it is no text".into()))?;
        for repository in helm::parse(text).map_err(problem)? {
            let flavour = Some(Flavour::Helm);
            let Ok(address) = Address::parse(&repository.url, flavour) else { continue };
            if self.is_wanted(&address) {
                let origin = Origin::file(self.here, path, &format!("[{}]", repository.name));
                let login = Login { username: repository.username, password: repository.password };
                self.add(&address, Some(login), repository.name, origin);
            }
        }
        Ok(())
    }

    /// Whether the user asked for this one, or for none in particular.
    fn is_wanted(&self, address: &Address) -> bool {
        let is_helm = |address: &Address| address.flavour == Flavour::Helm;
        self.wanted.as_ref().is_none_or(|wanted| match (is_helm(wanted), is_helm(address)) {
            (true | false, true) => wanted.text().trim_end_matches('/') == address.text().trim_end_matches('/'),
            (true, false) => false,
            (false, false) => wanted.key() == address.key(),
        })
    }

    fn add(&mut self, address: &Address, login: Option<Login>, name: String, origin: Origin) {
        let mut raw = Raw::new();
        raw.plain("url", address.text()).plain("flavour", address.flavour.word());
        let expires = login.as_ref().and_then(|login| token_end(&login.password));
        if let Some(Login { username, password }) = login {
            raw.plain("username", &username).set("password", password);
        }
        self.all.found.push(Found { kind: self.kind, raw, name: Some(name), origin, expires });
    }
}
