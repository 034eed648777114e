//! kubeconfig files: read within limits, and merged as kubectl merges them.
//!
//! A kubeconfig often comes from somebody else. YAML lets a small text stand for a huge one (aliases of aliases), nest
//! without end and refer to itself; a kubeconfig needs nothing of the kind, so the limits are far below what would hurt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::provider::foreign::yaml_limits;
use crate::secret::Secret;

/// The longest text that is read, in bytes: thousands of contexts.
const LONGEST: usize = 4 << 20;

/// One file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Kubeconfig {
    kind: Option<String>,
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    contexts: Option<Vec<NamedContext>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

/// Where an API server is and how it is known.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Cluster {
    pub(super) server: Option<String>,
    pub(super) certificate_authority: Option<String>,
    pub(super) certificate_authority_data: Option<String>,
    pub(super) tls_server_name: Option<String>,
    pub(super) insecure_skip_tls_verify: Option<bool>,
    pub(super) proxy_url: Option<Secret>,
}

/// Which user goes to which cluster.
#[derive(Deserialize, Default)]
pub(super) struct Context {
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
    pub(super) namespace: Option<String>,
}

/// How a user proves to be one.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) struct User {
    pub(super) token: Option<Secret>,
    #[serde(rename = "tokenFile")]
    pub(super) token_file: Option<String>,
    pub(super) client_certificate: Option<String>,
    pub(super) client_certificate_data: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) client_key_data: Option<Secret>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) exec: Option<Exec>,
    pub(super) auth_provider: Option<IgnoredAny>,
    #[serde(rename = "as")]
    pub(super) act_as: Option<String>,
    #[serde(rename = "as-uid")]
    pub(super) act_as_uid: Option<String>,
    #[serde(rename = "as-groups")]
    pub(super) act_in_groups: Option<Vec<String>>,
    #[serde(rename = "as-user-extra")]
    pub(super) act_with: Option<BTreeMap<String, Vec<String>>>,
}

/// A program that gives a token or a certificate. It is named to the person, and never run.
#[derive(Deserialize)]
pub(super) struct Exec {
    pub(super) command: Option<String>,
    pub(super) args: Option<Vec<String>>,
}

/// What is wrong with a file, and in which line where that is known. Quotes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub(super) struct Broken {
    line: Option<u64>,
    problem: &'static str,
}

impl Kubeconfig {
    /// Reads one file.
    pub(super) fn parse(text: &Secret) -> Result<Self, Broken> {
        if text.expose().len() > LONGEST {
            return Err(Broken { line: None, problem: "it is longer than any kubeconfig" });
        }
        let read: Self = serde_saphyr::from_str_with_options(text.expose(), yaml_limits()).map_err(|error| {
            // The library's own text quotes what it read.
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            Broken { line, problem: "this is no YAML, or none that a kubeconfig is made of" }
        })?;
        if read.kind.as_deref().is_some_and(|kind| kind != "Config") {
            return Err(Broken { line: None, problem: "its kind is not Config" });
        }
        Ok(read)
    }
}

/// An entry, and the file it stands in.
pub(super) struct Entry<T> {
    pub(super) value: T,
    pub(super) file: PathBuf,
}

impl<T> Entry<T> {
    /// A path of this entry: relative ones are relative to the file's folder.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// All files together.
#[derive(Default)]
pub(super) struct Merged {
    /// The current context.
    pub(super) current: Option<String>,
    /// The contexts in their order.
    pub(super) contexts: Vec<(String, Entry<Context>)>,
    pub(super) clusters: BTreeMap<String, Entry<Cluster>>,
    pub(super) users: BTreeMap<String, Entry<User>>,
}

impl Merged {
    /// Adds a file behind those that are there: what they say already stays.
    pub(super) fn add(&mut self, read: Kubeconfig, file: &Path) {
        let current = read.current_context.filter(|name| !name.is_empty());
        self.current = self.current.take().or(current);
        for NamedContext { name, context } in read.contexts.into_iter().flatten() {
            if self.context(&name).is_none() {
                self.contexts.push((name, Entry { value: context.unwrap_or_default(), file: file.to_owned() }));
            }
        }
        for NamedCluster { name, cluster } in read.clusters.into_iter().flatten() {
            let entry = || Entry { value: cluster.unwrap_or_default(), file: file.to_owned() };
            self.clusters.entry(name).or_insert_with(entry);
        }
        for NamedUser { name, user } in read.users.into_iter().flatten() {
            let entry = || Entry { value: user.unwrap_or_default(), file: file.to_owned() };
            self.users.entry(name).or_insert_with(entry);
        }
    }

    /// The context of that name.
    pub(super) fn context(&self, name: &str) -> Option<&Entry<Context>> {
        self.contexts.iter().find(|(known, _)| known == name).map(|(_, context)| context)
    }

    /// Whether a user's file holds that user and nothing that another one needs, and keeps no secret elsewhere.
    pub(super) fn holds_nothing_else(&self, user: &Entry<User>) -> bool {
        let users = self.users.values().filter(|other| other.file == user.file).count();
        let contexts = self.contexts.iter().filter(|(_, other)| other.file == user.file).count();
        users == 1 && contexts <= 1 && user.value.token_file.is_none() && user.value.client_key.is_none()
    }
}
