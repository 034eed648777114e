//! kubectl and every other client of Kubernetes: a cluster, a user and a context in the kubeconfig for each credential.
//! The user runs lanyard, and the client has to tell it which cluster it talks to.
//!
//! kubectl itself writes the file, on a copy: it is YAML, and kubectl's own way to write it is the one that users see.

use std::path::{Path, PathBuf};

use super::change::WORKING_COPY;
use super::{Plan, SetupError, Site, Tool, read};
use crate::credential::Metadata;
use crate::http::Url;
use crate::os::{Env, files, program};

/// Kubernetes.
pub(super) struct Kubectl;
/// The tool.
pub(super) static TOOL: Kubectl = Kubectl;

/// How the names of our entries begin.
const OURS: &str = "lanyard-";
const API: &str = "client.authentication.k8s.io/v1";
/// How kubectl lists what is in a kubeconfig, and how it removes one of these.
const LISTS: [(&str, &str); 3] =
    [("get-contexts", "delete-context"), ("get-users", "delete-user"), ("get-clusters", "delete-cluster")];
/// kubectl is asked for so long, in seconds.
const PATIENCE: u64 = 20;

impl Tool for Kubectl {
    fn name(&self) -> &'static str {
        "kubectl"
    }

    fn title(&self) -> &'static str {
        "kubectl, Helm and other clients of Kubernetes"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["kubectl"]
    }

    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError> {
        let credentials: Vec<&Metadata> = site.served_by("kubectl").collect();
        if credentials.is_empty() {
            return Err(SetupError::NothingToServe { tool: self.name(), store: "`lanyard credentials store k8s`" });
        }
        if !super::is_here(site.env, self) {
            return Err(SetupError::NoTool { tool: self.name() });
        }
        let path = configuration(site.env)?;
        let clusters =
            credentials.iter().map(|metadata| Known::of(site, metadata, &path)).collect::<Result<Vec<_>, _>>()?;
        let mut plan = Plan::default();
        plan.file(path.clone(), |text| {
            let copy = Copy::of(site.env, text)?;
            // A client that has another context in use goes on with it.
            for known in &clusters {
                known.refuse_anothers(&copy, &path)?;
                known.put(&copy, site)?;
            }
            copy.text()
        })?;
        for known in clusters {
            let name = &known.metadata.name;
            if known.has_proxy_user {
                plan.notes.push(format!(
                    "the proxy of {name} asks for a user and a password, which are left out: kubectl's file is no place \
                     for them"
                ));
            }
            plan.notes.push(format!("use it: kubectl --context {OURS}{name} get namespaces"));
        }
        Ok(plan)
    }

    fn without(&self, env: &Env, _: &Path, text: &str, before: &str) -> Result<String, SetupError> {
        if !text.contains(OURS) {
            return Ok(text.to_owned());
        }
        let copy = Copy::of(env, text)?;
        let old = Copy::of(env, before)?;
        for (list, delete) in LISTS {
            // What had such a name before is somebody else's.
            let theirs = old.names(list)?;
            for name in copy.names(list)?.iter().filter(|name| name.starts_with(OURS) && !theirs.contains(name)) {
                copy.run(&[delete, name])?;
            }
        }
        copy.text()
    }

    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let Some(first) = site.served_by("kubectl").next() else { return Ok(None) };
        let user = format!("{OURS}{}", first.name);
        let asked = ["config", "view", "-o", "jsonpath={.users[*].name}"];
        let Ok(told) = program::output(site.env, "kubectl", &asked, PATIENCE) else { return Ok(None) };
        if told.expose().split_whitespace().any(|name| name == user) {
            return Ok(Some(format!("kubectl asks lanyard in context {user}")));
        }
        Err(SetupError::NotAsked { tool: self.name(), problem: "it reads another file, see KUBECONFIG".into() })
    }
}

/// A cluster of a credential by what kubectl has to know of it. None of it is a secret: it stands in a command line.
struct Known<'m> {
    metadata: &'m Metadata,
    server: String,
    server_name: Option<String>,
    /// Without user and password.
    proxy: Option<String>,
    has_proxy_user: bool,
    authority: Option<String>,
}

impl<'m> Known<'m> {
    fn of(site: &Site<'_>, metadata: &'m Metadata, path: &Path) -> Result<Self, SetupError> {
        let written = (site.exported)(metadata, "kubeconfig")?;
        let text = written.as_ref().map(crate::secret::Secret::expose).unwrap_or_default();
        let own = |key: &str| {
            let value = text.lines().find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(':'));
            value.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty())
        };
        let unclear = |what: &str| SetupError::Unclear {
            path: path.to_owned(),
            problem: format!("credential {} {what}", metadata.name),
            mend: format!("store it again: lanyard credentials update {}", metadata.name),
        };
        let server = own("server").ok_or_else(|| unclear("names no server"))?;
        if without_user(&server).is_some_and(|(_, has_user)| has_user) {
            return Err(unclear("has a user in its server's address"));
        }
        let proxy = own("proxy-url").map(|proxy| without_user(&proxy).ok_or_else(|| unclear("names no proxy by its address")));
        let proxy = proxy.transpose()?;
        Ok(Self {
            metadata,
            server,
            server_name: own("tls-server-name"),
            has_proxy_user: proxy.as_ref().is_some_and(|(_, has_user)| *has_user),
            proxy: proxy.map(|(address, _)| address),
            authority: own("certificate-authority-data"),
        })
    }

    fn name(&self) -> String {
        format!("{OURS}{}", self.metadata.name)
    }

    /// Refuses where somebody else has given a user of theirs the name that ours would have.
    fn refuse_anothers(&self, copy: &Copy<'_>, path: &Path) -> Result<(), SetupError> {
        let name = self.name();
        if !copy.names("get-users")?.contains(&name) {
            return Ok(());
        }
        let arguments = format!("-o=jsonpath={{.users[?(@.name==\"{name}\")].user.exec.args}}");
        if copy.run(&["view", &arguments])?.contains("kubectl") {
            return Ok(());
        }
        Err(SetupError::Unclear {
            path: path.to_owned(),
            problem: format!("it has a user {name} that lanyard did not put there"),
            mend: format!("give that user another name in {}, or the credential", path.display()),
        })
    }

    /// Puts the entries into the copy.
    fn put(&self, copy: &Copy<'_>, site: &Site<'_>) -> Result<(), SetupError> {
        let name = self.name();
        let mut cluster = vec!["set-cluster".to_owned(), name.clone(), format!("--server={}", self.server)];
        cluster.extend(self.server_name.as_ref().map(|server_name| format!("--tls-server-name={server_name}")));
        cluster.extend(self.proxy.as_ref().map(|proxy| format!("--proxy-url={proxy}")));
        if let Some(authority) = &self.authority {
            cluster.push(format!("--certificate-authority={}", copy.authority(authority)?.display()));
            cluster.push("--embed-certs=true".to_owned());
        }
        copy.run(&words(&cluster))?;
        copy.run(&[
            "set-credentials",
            &name,
            &format!("--exec-api-version={API}"),
            &format!("--exec-command={}", site.program.display()),
            "--exec-arg=helper",
            "--exec-arg=kubectl",
            &format!("--exec-arg={}", self.metadata.name),
            "--exec-interactive-mode=IfAvailable",
            "--exec-provide-cluster-info=true",
        ])?;
        let mut context =
            vec!["set-context".to_owned(), name.clone(), format!("--cluster={name}"), format!("--user={name}")];
        context.extend(self.metadata.field("namespace").map(|namespace| format!("--namespace={namespace}")));
        copy.run(&words(&context))?;
        Ok(())
    }
}

/// An address without user and password, and whether it had any; `None` where it is no address, and might be anything.
fn without_user(address: &str) -> Option<(String, bool)> {
    let mut url = Url::parse(address).ok().filter(Url::has_host)?;
    if url.username().is_empty() && url.password().is_none() {
        return Some((address.to_owned(), false));
    }
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some((url.to_string(), true))
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// A copy of a kubeconfig in a folder that only the user may enter, which is gone at the end.
struct Copy<'e> {
    env: &'e Env,
    folder: tempfile::TempDir,
}

impl<'e> Copy<'e> {
    fn of(env: &'e Env, text: &str) -> Result<Self, SetupError> {
        let parent = env.data_dir().join("setup");
        files::create_private_dir(&parent)?;
        let io = |cause| files::FileError::Io { action: "write", path: parent.clone(), cause };
        let folder = tempfile::Builder::new().prefix(WORKING_COPY).tempdir_in(&parent).map_err(io)?;
        let copy = Self { env, folder };
        files::replace(&copy.path(), text.as_bytes(), false)?;
        Ok(copy)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// The certificate authorities in a file, as kubectl wants them.
    fn authority(&self, base64: &str) -> Result<PathBuf, SetupError> {
        use base64::Engine;
        let path = self.folder.path().join("ca.pem");
        let pem = base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default();
        files::replace(&path, &pem, false)?;
        Ok(path)
    }

    /// Runs `kubectl config …` on the copy.
    fn run(&self, words: &[&str]) -> Result<String, SetupError> {
        let file = format!("--kubeconfig={}", self.path().display());
        let all: Vec<&str> = ["config", &file].into_iter().chain(words.iter().copied()).collect();
        if program::find(self.env, "kubectl").is_none() {
            return Err(SetupError::NoTool { tool: "kubectl" });
        }
        let told = program::output(self.env, "kubectl", &all, PATIENCE);
        told.map(|told| told.expose().to_owned()).map_err(|cause| SetupError::NotAsked {
            tool: "kubectl",
            problem: format!("its own `kubectl config` failed: {cause}"),
        })
    }

    /// The names that kubectl lists.
    fn names(&self, list: &str) -> Result<Vec<String>, SetupError> {
        // Only contexts are listed with more than their names, unless one says so.
        let told = if list == "get-contexts" { self.run(&[list, "-o", "name"])? } else { self.run(&[list])? };
        Ok(told.lines().map(str::to_owned).collect())
    }

    fn text(&self) -> Result<String, SetupError> {
        Ok(read(&self.path())?.unwrap_or_default())
    }
}

/// The first file of `KUBECONFIG`, else the usual one.
fn configuration(env: &Env) -> Result<PathBuf, SetupError> {
    let listed = env.var("KUBECONFIG").map(|list| std::env::split_paths(list).collect::<Vec<_>>()).unwrap_or_default();
    match listed.into_iter().find(|path| !path.as_os_str().is_empty()) {
        Some(first) => Ok(env.working_dir().join(first)),
        None => Ok(env.home().ok_or(SetupError::NoHome)?.join(".kube/config")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_come_along_with_an_address() {
        let bare = |address| without_user(address);
        assert_eq!(bare("http://proxy:8080"), Some(("http://proxy:8080".into(), false)));
        assert_eq!(bare("http://u:LNYCANARY@proxy:8080/"), Some(("http://proxy:8080/".into(), true)));
        assert_eq!(bare("socks5://LNYCANARY@proxy:1"), Some(("socks5://proxy:1".into(), true)));
        assert_eq!(bare("u:LNYCANARY@proxy"), None);
    }
}
