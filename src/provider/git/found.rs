//! Where git and the tools of the hosts keep logins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::host::{Flavour, Written};
use super::{KINDS, lines, netrc};
use crate::credential::Raw;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

type Result<T, E = ProviderError> = std::result::Result<T, E>;

/// How long `gh auth token` may take, in seconds: the keychain may ask first.
const PATIENCE: u64 = 20;

/// The variables of gh for a host, the first first.
const GITHUB: [&str; 2] = ["GH_TOKEN", "GITHUB_TOKEN"];
const GITHUB_ENTERPRISE: [&str; 2] = ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"];
/// Those of glab.
const GITLAB: [&str; 2] = ["GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN"];

/// What lies on this machine for the host that the user named, or for all. The host's own tool comes before git.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let mut search = Search { here, wanted: here.input("host").map(|host| Written::parse(host).host), found: Vec::new() };
    search.variables();
    let tools = [search.gh(), search.glab(), search.tea()];
    let own = [here.home(".git-credentials"), here.xdg_config().map(|folder| folder.join("git/credentials"))];
    let own = own.map(|path| path.map_or(Ok(()), |path| search.git_credentials(&path)));
    let netrc = search.netrc();
    let mut all = Discovered { found: search.found, ..Discovered::default() };
    tools.into_iter().chain(own).chain([netrc]).filter_map(Result::err).for_each(|failure| all.broken(failure));
    all
}

struct Search<'a> {
    here: &'a Here<'a>,
    wanted: Option<String>,
    found: Vec<Found>,
}

#[derive(Deserialize)]
struct GhHost {
    user: Option<String>,
    oauth_token: Option<Secret>,
    #[serde(default)]
    users: Option<BTreeMap<String, Option<GhUser>>>,
}

#[derive(Deserialize)]
struct GhUser {
    oauth_token: Option<Secret>,
}

#[derive(Deserialize)]
struct Glab {
    #[serde(default)]
    hosts: Option<BTreeMap<String, Option<GlabHost>>>,
}

#[derive(Deserialize)]
struct GlabHost {
    token: Option<Secret>,
    api_host: Option<String>,
}

#[derive(Deserialize)]
struct Tea {
    #[serde(default)]
    logins: Option<Vec<TeaLogin>>,
}

#[derive(Deserialize)]
struct TeaLogin {
    url: String,
    token: Option<Secret>,
    user: Option<String>,
}

impl Search<'_> {
    fn wants(&self, host: &str) -> bool {
        self.wanted.as_deref().is_none_or(|wanted| wanted == host)
    }

    /// Takes a login up, unless the same one was found before.
    fn add(&mut self, flavour: Option<Flavour>, host: &str, user: Option<&str>, token: Secret, origin: Origin) {
        if !self.wants(host) || token.expose().is_empty() {
            return;
        }
        let is_there = |found: &Found| {
            found.raw.get("host").is_some_and(|known| known.expose() == host) && found.raw.get("token") == Some(&token)
        };
        if self.found.iter().any(is_there) {
            return;
        }
        let is_second = self.found.iter().any(|found| found.name.as_deref() == Some(host));
        let name = user.filter(|_| is_second).map_or_else(|| host.to_owned(), |user| format!("{host}-{user}"));
        let mut raw = Raw::new();
        let flavour = Flavour::of_host(host).or(flavour).or_else(|| Flavour::of_token(token.expose()));
        if let Some(flavour) = flavour {
            raw.plain("service", flavour.word());
        }
        let user = user.filter(|user| !user.is_empty()).or_else(|| flavour?.user(Some(token.expose())));
        if let Some(user) = user {
            raw.plain("username", user);
        }
        raw.plain("host", host).set("token", token);
        self.found.push(Found { kind: &KINDS[0], raw, name: Some(name), origin, expires: None });
    }

    /// A token in a variable is for one host: github.com, gitlab.com, or the one that a second variable names.
    fn variables(&mut self) {
        let env = self.here.env;
        let enterprise = env.var("GH_HOST").map(|host| Written::parse(host).host).filter(|host| host != "github.com");
        let gitlab = env.var("GITLAB_HOST").or_else(|| env.var("GL_HOST"));
        let gitlab = gitlab.map_or_else(|| "gitlab.com".to_owned(), |host| Written::parse(host).host);
        let sets: [(&[&str], Option<String>, Flavour); 3] = [
            (&GITHUB, Some("github.com".into()), Flavour::GitHub),
            (&GITHUB_ENTERPRISE, enterprise, Flavour::GitHub),
            (&GITLAB, Some(gitlab), Flavour::GitLab),
        ];
        for (names, host, flavour) in sets {
            let Some(host) = host else { continue };
            for name in names {
                if let Some(token) = env.var(name) {
                    self.add(Some(flavour), &host, None, Secret::new(token.to_owned()), Origin::variable(name));
                }
            }
        }
    }

    fn folder(&self, variable: &str, windows: &str, name: &str) -> Option<PathBuf> {
        let env = self.here.env;
        let chosen = env.var(variable).map(|path| env.working_dir().join(env.expand_home(path)));
        let in_windows = || env.var("APPDATA").filter(|_| cfg!(windows)).map(|folder| PathBuf::from(folder).join(windows));
        chosen.or_else(in_windows).or_else(|| Some(self.here.xdg_config()?.join(name)))
    }

    /// gh keeps a token in its file, or in the keychain, where gh itself has to be asked for it.
    fn gh(&mut self) -> Result<()> {
        let Some(path) = self.folder("GH_CONFIG_DIR", "GitHub CLI", "gh").map(|folder| folder.join("hosts.yml")) else {
            return Ok(());
        };
        let Some(file) = self.read(&path, "file of sign-ins of gh")? else { return Ok(()) };
        let hosts: BTreeMap<String, Option<GhHost>> = file.yaml()?;
        for (host, settings) in hosts {
            let host = host.to_lowercase();
            let Some(GhHost { user, oauth_token, users }) = settings.filter(|_| self.wants(&host)) else { continue };
            let mut tokens: Vec<(Option<String>, Secret)> = Vec::new();
            tokens.extend(oauth_token.map(|token| (user.clone(), token)));
            for (login, settings) in users.unwrap_or_default() {
                tokens.extend(settings.and_then(|user| user.oauth_token).map(|token| (Some(login), token)));
            }
            let mut in_file = false;
            for (login, token) in tokens {
                in_file |= login == user;
                let entry = format!("[{host}]");
                let origin = Origin::file(self.here, &path, &entry);
                self.add(Some(Flavour::GitHub), &host, login.as_deref(), token, origin);
            }
            if !in_file && let Ok(token) = self.here.run("gh", &["auth", "token", "--hostname", &host], PATIENCE) {
                let origin = Origin::tool(&format!("gh auth token --hostname {host}"));
                let token = Secret::new(token.expose().trim().to_owned());
                self.add(Some(Flavour::GitHub), &host, user.as_deref(), token, origin);
            }
        }
        Ok(())
    }

    fn glab(&mut self) -> Result<()> {
        let folder = self.folder("GLAB_CONFIG_DIR", "glab-cli", "glab-cli");
        let Some(path) = folder.map(|folder| folder.join("config.yml")) else { return Ok(()) };
        let Some(file) = self.read(&path, "configuration of glab")? else { return Ok(()) };
        let Glab { hosts } = file.yaml()?;
        for (host, settings) in hosts.unwrap_or_default() {
            let host = host.to_lowercase();
            let Some(GlabHost { token: Some(token), api_host }) = settings else { continue };
            let origin = Origin::file(self.here, &path, &format!("[{host}]"));
            let before = self.found.len();
            self.add(Some(Flavour::GitLab), &host, None, token, origin);
            let elsewhere = api_host.filter(|api| !api.is_empty() && api.to_lowercase() != host);
            if let (Some(api), Some(new)) = (elsewhere, self.found.get_mut(before)) {
                new.raw.plain("endpoint", &format!("https://{api}/api/v4"));
            }
        }
        Ok(())
    }

    fn tea(&mut self) -> Result<()> {
        let Some(path) = self.here.xdg_config().map(|folder| folder.join("tea/config.yml")) else { return Ok(()) };
        let Some(file) = self.read(&path, "configuration of tea")? else { return Ok(()) };
        let Tea { logins } = file.yaml()?;
        for TeaLogin { url, token, user } in logins.unwrap_or_default() {
            let (Some(token), host) = (token, Written::parse(&url).host) else { continue };
            let origin = Origin::file(self.here, &path, &format!("[{host}]"));
            self.add(Some(Flavour::Gitea), &host, user.as_deref(), token, origin);
        }
        Ok(())
    }

    /// One of the two files of git's credential store.
    fn git_credentials(&mut self, path: &Path) -> Result<()> {
        let Some(file) = self.read(path, "file of git's credential store")? else { return Ok(()) };
        let found = lines::parse(file.text()).map_err(|line| file.broken(format!("line {line} is no address")))?;
        for line in found.into_iter().filter(|line| matches!(line.scheme.as_str(), "https" | "http")) {
            let before = self.found.len();
            let origin = Origin::file(self.here, path, &format!("[{}]", line.host));
            let here = Written::parse(&format!("{}://{}", line.scheme, line.host)).endpoint;
            // Without TLS and not on this machine: such a login is not sent anywhere.
            if line.scheme == "http" && here.is_none() {
                continue;
            }
            self.add(None, &line.host, Some(&line.username), line.password, origin);
            let Some(new) = self.found.get_mut(before) else { continue };
            let repository = Some(line.path).filter(|path| super::path(path).is_ok());
            for (name, value) in [("endpoint", here), ("repository", repository)] {
                if let Some(value) = value {
                    new.raw.plain(name, &value);
                }
            }
        }
        Ok(())
    }

    fn netrc(&mut self) -> Result<()> {
        let env = self.here.env;
        let chosen = env.var("NETRC").map(|path| env.working_dir().join(env.expand_home(path)));
        let Some(path) = chosen.or_else(|| self.here.home(if cfg!(windows) { "_netrc" } else { ".netrc" })) else {
            return Ok(());
        };
        let Some(file) = self.read(&path, "file of logins")? else { return Ok(()) };
        let machines =
            netrc::parse(file.text()).map_err(|(line, problem)| file.broken(format!("line {line} {problem}")))?;
        for machine in machines {
            let origin = Origin::file(self.here, &path, &format!("[{}]", machine.host));
            self.add(None, &machine.host, Some(&machine.login), machine.password, origin);
        }
        Ok(())
    }

    fn read(&self, path: &Path, what: &'static str) -> Result<Option<Foreign>> {
        Ok(Foreign::read(self.here, path, what)?.filter(|file| !file.is_blank()))
    }
}
