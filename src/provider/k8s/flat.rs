//! One context that stands alone: everything that its cluster and its user name elsewhere is taken in.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::cloud::{Of, Program};
use super::kubeconfig::{Cluster as InFile, Entry, Kubeconfig, Merged, User};
use super::{certificate, jwt};
use crate::credential::{Cluster, Material, rules};
use crate::http::{Url, parse_url};
use crate::os::files::FileError;
use crate::provider::ProviderError;
use crate::secret::Secret;
use crate::text::clean;

/// One context, its cluster and its user.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) context: String,
    pub(super) namespace: Option<String>,
    pub(super) cluster: String,
    pub(super) user: String,
    pub(super) server: String,
    /// The authorities that the server is known by, in PEM.
    pub(super) authorities: Option<String>,
    pub(super) server_name: Option<String>,
    /// The proxy on the way; it may hold a password.
    pub(super) proxy: Option<Secret>,
    pub(super) token: Option<Secret>,
    pub(super) identity: Option<Identity>,
    pub(super) password: Option<(String, Secret)>,
    /// As whom the user acts.
    pub(super) acting: Vec<(String, Vec<String>)>,
    /// The program that proves the user.
    pub(super) program: Option<Program>,
}

/// A client certificate and its key, in PEM.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: Secret,
}

/// Why a context cannot stand alone, and what to do instead. Quotes no value.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A file that it names cannot be read.
    File(FileError),
    /// Anything else.
    Unfit { problem: String, mend: &'static str },
}

const CORRECT: &str = "correct it, or ask whoever runs the cluster for another kubeconfig";
const NO_PROGRAM: &str = "let a token be made that stays, such as with `kubectl create token SERVICE-ACCOUNT`, put it \
                          into a kubeconfig, and store that with `--kubeconfig FILE`";

impl Refusal {
    fn new(problem: impl Into<String>, mend: &'static str) -> Self {
        Self::Unfit { problem: problem.into(), mend }
    }

    /// The failure for a person. `what` is the thing that cannot be stored: `context dev`.
    pub(super) fn of(self, what: &str) -> ProviderError {
        match self {
            Self::File(failure) => failure.into(),
            Self::Unfit { problem, mend } => ProviderError::CannotStore {
                what: clean(what),
                why: clean(&problem),
                mend: mend.to_owned(),
            },
        }
    }
}

/// Reads a file that a kubeconfig names; `None` where there is none.
pub(super) type Reader<'r> = &'r dyn Fn(&Path) -> Result<Option<Vec<u8>>, Refusal>;

impl Flat {
    /// The context of a kubeconfig that names no other file: the one of that name, else the current one, else the only
    /// one.
    pub(super) fn of_text(text: &Secret, context: Option<&str>) -> Result<Self, Refusal> {
        Self::any_of_text(text, context)?.proved()
    }

    /// The same, whether or not a secret is in it.
    pub(super) fn any_of_text(text: &Secret, context: Option<&str>) -> Result<Self, Refusal> {
        let read = Kubeconfig::parse(text).map_err(|broken| Refusal::new(broken.to_string(), CORRECT))?;
        let mut merged = Merged::default();
        merged.add(read, Path::new(""));
        let only = || match merged.contexts.as_slice() {
            [(name, _)] => Some(name.as_str()),
            _ => None,
        };
        let Some(name) = context.or(merged.current.as_deref()).or_else(only) else {
            return Err(Refusal::new("it has no current context", "name one with `--context CONTEXT`"));
        };
        let elsewhere = |_: &Path| {
            Err(Refusal::new("it names other files", "store it with `--kubeconfig FILE`, which takes them in"))
        };
        Self::any_of(&merged, name, &elsewhere)
    }

    /// The context of that name, with everything taken in.
    pub(super) fn of(merged: &Merged, name: &str, read: Reader<'_>) -> Result<Self, Refusal> {
        Self::any_of(merged, name, read)?.proved()
    }

    /// The same, whether or not a secret is in it.
    pub(super) fn any_of(merged: &Merged, name: &str, read: Reader<'_>) -> Result<Self, Refusal> {
        let lacking = |what: &str| Refusal::new(format!("it names no {what} that there is"), CORRECT);
        let context = &merged.context(name).ok_or_else(|| lacking("context"))?.value;
        let named = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let cluster_name = named(&context.cluster).ok_or_else(|| lacking("cluster"))?;
        let user_name = named(&context.user).ok_or_else(|| lacking("user"))?;
        let cluster = merged.clusters.get(&cluster_name).ok_or_else(|| lacking("cluster"))?;
        let user = merged.users.get(&user_name).ok_or_else(|| lacking("user"))?;
        let (server, proxy) = addresses(&cluster.value)?;
        let identity = identity(user, read)?;
        let token = token(user, read)?;
        let password = match (named(&user.value.username), &user.value.password) {
            (Some(login), Some(password)) if !password.expose().is_empty() => {
                rules::password(password.expose()).map_err(|problem| Refusal::new(problem, CORRECT))?;
                Some((login, password.duplicate()))
            }
            _ => None,
        };
        let flat = Self {
            context: name.to_owned(),
            namespace: named(&context.namespace),
            cluster: cluster_name,
            user: user_name,
            server,
            authorities: authorities(cluster, read)?,
            server_name: named(&cluster.value.tls_server_name),
            proxy,
            token,
            identity,
            password,
            acting: acting(&user.value),
            program: Program::of(&user.value),
        };
        let single = |(name, value): (&str, String)| {
            rules::line(&value).map_err(|problem| Refusal::new(format!("the name of its {name}: {problem}"), CORRECT))
        };
        flat.fields().try_for_each(single)?;
        Ok(flat)
    }

    fn proved(self) -> Result<Self, Refusal> {
        if self.token.is_none() && self.identity.is_none() && self.password.is_none() {
            return Err(without_secret(self.program.as_ref()));
        }
        Ok(self)
    }

    /// The same for a user who is proved by what is made of another credential.
    pub(super) fn unproved(mut self) -> Self {
        (self.token, self.identity, self.password) = (None, None, None);
        self
    }

    /// How the cluster is known: the values that a client must name to be given what proves the user.
    pub(super) fn known_by(&self) -> Cluster {
        Cluster::new(&self.server, self.authorities.as_deref(), self.server_name.as_deref(), self.proxy.as_ref().map(Secret::expose))
    }

    /// What everybody may see, by the names of the fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let own = [
            ("context", Some(self.context.as_str())),
            ("namespace", self.namespace.as_deref()),
            ("cluster", Some(self.cluster.as_str())),
            ("user", Some(self.user.as_str())),
        ];
        let own = own.map(|(name, value)| (name, value.map(str::to_owned)));
        own.into_iter().chain(self.known_by().fields()).filter_map(|(name, value)| Some((name, value?)))
    }

    /// What proves the user. A token wins over a password; a certificate goes with a token, as with kubectl.
    pub(super) fn material(&self) -> Option<Material> {
        match (&self.token, &self.password, &self.identity) {
            (token, None, Some(identity)) => Some(Material::ClientCert {
                certificate: identity.certificate.clone(),
                key: identity.key.duplicate(),
                token: token.as_ref().map(Secret::duplicate),
            }),
            (Some(token), ..) => Some(Material::Bearer(token.duplicate())),
            (None, Some((username, password)), _) => {
                Some(Material::Basic { username: username.clone(), password: password.duplicate() })
            }
            (None, None, None) => None,
        }
    }

    /// When the token or the certificate ends: the one that ends first.
    pub(super) fn expires(&self) -> Option<DateTime<Utc>> {
        let token = self.token.as_ref().and_then(|token| jwt::claims(token)?.expires());
        let certificate = self.identity.as_ref().and_then(|identity| certificate::end(&identity.certificate));
        token.into_iter().chain(certificate).min()
    }
}

/// The server and the proxy before it.
fn addresses(cluster: &InFile) -> Result<(String, Option<Secret>), Refusal> {
    if cluster.insecure_skip_tls_verify == Some(true) {
        let mend = "put the cluster's certificate authority into the kubeconfig instead of insecure-skip-tls-verify";
        return Err(Refusal::new("it does not check who the server is, and would send the secret to anybody", mend));
    }
    let server = cluster.server.clone().unwrap_or_default();
    // Without a scheme kubectl speaks plain HTTP.
    if parse_url(&server).is_err() {
        let problem = "its server is no https:// address (http:// only for this machine)";
        return Err(Refusal::new(problem, CORRECT));
    }
    let proxy = cluster.proxy_url.as_ref().filter(|proxy| !proxy.expose().is_empty());
    let is_proxy = |proxy: &Secret| {
        let url = Url::parse(proxy.expose()).ok().filter(|url| url.host().is_some());
        url.is_some_and(|url| ["http", "https", "socks5"].contains(&url.scheme()))
            && rules::token(proxy.expose()).is_ok()
    };
    if proxy.is_some_and(|proxy| !is_proxy(proxy)) {
        return Err(Refusal::new("its proxy-url is no http, https or socks5 address", CORRECT));
    }
    Ok((server, proxy.map(Secret::duplicate)))
}

fn authorities(cluster: &Entry<InFile>, read: Reader<'_>) -> Result<Option<String>, Refusal> {
    let (data, path) = (&cluster.value.certificate_authority_data, &cluster.value.certificate_authority);
    let data = data.as_ref().map(|data| Secret::new(data.clone()));
    let pem = pem("certificate-authority", data.as_ref(), path.as_deref(), cluster, read)?;
    Ok(pem.map(|pem| pem.expose().to_owned()))
}

fn identity(user: &Entry<User>, read: Reader<'_>) -> Result<Option<Identity>, Refusal> {
    let value = &user.value;
    let data = value.client_certificate_data.as_ref().map(|data| Secret::new(data.clone()));
    let certificate = pem("client-certificate", data.as_ref(), value.client_certificate.as_deref(), user, read)?;
    let key = pem("client-key", value.client_key_data.as_ref(), value.client_key.as_deref(), user, read)?;
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(Identity { certificate: certificate.expose().to_owned(), key })),
        _ => Err(Refusal::new("it has a client certificate without its key, or a key without a certificate", CORRECT)),
    }
}

/// A PEM text: the data where it is there, as with kubectl, else the file.
fn pem<T>(
    what: &str,
    data: Option<&Secret>,
    path: Option<&str>,
    entry: &Entry<T>,
    read: Reader<'_>,
) -> Result<Option<Secret>, Refusal> {
    let bytes = match (data.filter(|data| !data.expose().is_empty()), path.filter(|path| !path.is_empty())) {
        (Some(data), _) => {
            let data = Zeroizing::new(data.expose().split_ascii_whitespace().collect::<String>());
            let decoded = STANDARD.decode(&*data);
            Zeroizing::new(decoded.map_err(|_| Refusal::new(format!("its {what}-data is no base64"), CORRECT))?)
        }
        (None, Some(path)) => contents(what, &entry.path(path), read)?,
        (None, None) => return Ok(None),
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN ") => Ok(Some(Secret::new(text.to_owned()))),
        _ => Err(Refusal::new(format!("its {what} is no PEM"), CORRECT)),
    }
}

fn contents(what: &str, path: &Path, read: Reader<'_>) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let missing = || Refusal::new(format!("its {what} is in {}, which is not there", path.display()), CORRECT);
    read(path)?.map(Zeroizing::new).ok_or_else(missing)
}

/// The token: of its file where there is one, as with kubectl.
fn token(user: &Entry<User>, read: Reader<'_>) -> Result<Option<Secret>, Refusal> {
    let value = &user.value;
    let token = match value.token_file.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => {
            let bytes = contents("tokenFile", &user.path(path), read)?;
            Some(Secret::new(std::str::from_utf8(&bytes).unwrap_or_default().trim().to_owned()))
        }
        None => value.token.as_ref().filter(|token| !token.expose().is_empty()).map(Secret::duplicate),
    };
    if token.as_ref().is_some_and(|token| rules::token(token.expose()).is_err()) {
        return Err(Refusal::new("its token is no single word of visible ASCII", CORRECT));
    }
    Ok(token)
}

fn without_secret(program: Option<&Program>) -> Refusal {
    let Some(program) = program else {
        return Refusal::new("its user has neither a token nor a client certificate nor a password", CORRECT);
    };
    let mend = match program.of {
        Of::Aws { .. } => "name the AWS credential that tokens are to be made of: `--source NAME`",
        Of::Google => "name the Google Cloud credential whose tokens are to be used: `--source NAME`",
        Of::Provider => {
            let problem = "it signs in by an auth-provider, which kubectl itself gave up; nothing to store";
            return Refusal::new(problem, NO_PROGRAM);
        }
        Of::Others => NO_PROGRAM,
    };
    let name = program.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    Refusal::new(format!("it signs in by running a program{name}; nothing to store"), mend)
}

/// As whom the user acts: the key of the kubeconfig, and its values.
fn acting(user: &User) -> Vec<(String, Vec<String>)> {
    let one = |name: &str, value: &Option<String>| {
        value.clone().filter(|value| !value.is_empty()).map(|value| (name.to_owned(), vec![value]))
    };
    let groups = user.act_in_groups.clone().filter(|groups| !groups.is_empty());
    let mut acting: Vec<_> = [
        one("as", &user.act_as),
        one("as-uid", &user.act_as_uid),
        groups.map(|groups| ("as-groups".to_owned(), groups)),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (name, values) in user.act_with.iter().flatten() {
        acting.push((format!("{EXTRA}{name}"), values.clone()));
    }
    acting
}

/// What stands before the name of an extra value in [`Flat::acting`].
pub(super) const EXTRA: &str = "as-user-extra/";
