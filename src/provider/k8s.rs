//! Kubernetes: one context of a kubeconfig, made to stand alone.
//!
//! Sources: client-go (`tools/clientcmd`: how files are read, merged and flattened) and the Kubernetes API reference.

use chrono::{DateTime, Utc};

use crate::credential::{
    Content, Credential, Field, FieldError, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules,
};
use crate::provider::api::host_at;
use crate::provider::orders::{self, Values};
use crate::provider::{Discovered, Here, Input, Net, Order, Provider, ProviderError, Verdict};
use crate::secret::Secret;

mod asked;
mod certificate;
mod cloud;
mod find;
mod flat;
mod jwt;
mod kubeconfig;
mod written;

use flat::Flat;

const TITLE: &str = "Kubernetes";

/// A kubeconfig as lanyard writes it.
const EXAMPLE: &str = r"apiVersion: v1
kind: Config
current-context: dev
clusters:
- name: dev
  cluster:
    server: https://dev.example.com:6443
contexts:
- name: dev
  context:
    cluster: dev
    user: dev
users:
- name: dev
  user:
    token: s3cr3t-value-of-some-length
";

/// The same of a cluster whose tokens are made of another credential.
const EXAMPLE_OF_CLOUD: &str = r"apiVersion: v1
kind: Config
current-context: dev
clusters:
- name: dev
  cluster:
    server: https://dev.example.com
contexts:
- name: dev
  context:
    cluster: dev
    user: dev
users:
- name: dev
  user: {}
";

const KUBECONFIG: Field = Field::secret("kubeconfig", "kubeconfig").checked(stands_alone, EXAMPLE).multiline();
const OF_CLOUD: Field = KUBECONFIG.checked(is_one_context, EXAMPLE_OF_CLOUD);
const SERVER: Field = Field::plain("server", "Address of the API server")
    .checked(rules::url, "https://dev.example.com:6443")
    .optional()
    .derived();
const CONTEXT: Field = shown("context", "Context", "dev");
const NAMESPACE: Field = shown("namespace", "Namespace", "default");
const CLUSTER: Field = shown("cluster", "Cluster", "dev");
const USER: Field = shown("user", "User", "dev");
const AUTHORITY: Field = shown("authority", "Digest of its certificate authorities", "sha256:0123456789abcdef");
const SERVER_NAME: Field = shown("tls_server_name", "Name in its certificate", "kubernetes.default");
const PROXY: Field = shown("proxy", "Proxy on the way to it", "http://proxy.example.com:3128/");
const SOURCE: Field =
    Field::plain("source", "Name of the AWS or Google Cloud credential that tokens are made of").checked(rules::line, "aws");

const fn shown(name: &'static str, title: &'static str, example: &'static str) -> Field {
    Field::plain(name, title).checked(rules::line, example).optional().derived()
}

static FIELDS: [Field; 9] =
    [KUBECONFIG, SERVER, CONTEXT, NAMESPACE, CLUSTER, USER, AUTHORITY, SERVER_NAME, PROXY];
static EKS_FIELDS: [Field; 12] = [
    OF_CLOUD,
    SOURCE,
    Field::plain("eks_cluster", "Name of the EKS cluster").checked(rules::token, "dev"),
    Field::plain("region", "AWS region").checked(rules::token, "eu-west-1"),
    SERVER,
    CONTEXT,
    NAMESPACE,
    CLUSTER,
    USER,
    AUTHORITY,
    SERVER_NAME,
    PROXY,
];
static GKE_FIELDS: [Field; 10] =
    [OF_CLOUD, SOURCE, SERVER, CONTEXT, NAMESPACE, CLUSTER, USER, AUTHORITY, SERVER_NAME, PROXY];
/// With a secret in it; and those whose tokens are made of an AWS or a Google Cloud credential.
static KINDS: [Kind; 3] = [
    Kind::new("kubeconfig", "kubeconfig", "k8s", &FIELDS),
    Kind::new(cloud::EKS, "EKS kubeconfig", "k8s", &EKS_FIELDS).renews_itself(),
    Kind::new(cloud::GKE, "GKE kubeconfig", "k8s", &GKE_FIELDS).renews_itself(),
];
static INPUTS: [Input; 3] = [
    Input::flag("context", "CONTEXT", "The context, instead of the current one"),
    Input::file("kubeconfig", "kubeconfig", "The file, instead of those that kubectl reads"),
    Input::flag("namespace", "NAMESPACE", "The namespace, instead of the context's"),
];

/// Kubernetes.
pub struct Kubernetes;
/// The provider.
pub static PROVIDER: Kubernetes = Kubernetes;

impl Provider for Kubernetes {
    fn name(&self) -> &'static str {
        "k8s"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        find::discover(here)
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        let of_cloud = raw.has("source") || raw.has("eks_cluster");
        let mut flat = match raw.take("kubeconfig") {
            Some(text) => {
                let read = if of_cloud { Flat::any_of_text } else { Flat::of_text };
                read(&text, here.input("context")).map_err(|refusal| refusal.of("this kubeconfig"))?
            }
            None => find::chosen(here, raw.get("context").map(Secret::expose), of_cloud)?,
        };
        if let Some(namespace) = here.input("namespace") {
            raw.take("namespace");
            flat.namespace = Some(namespace.to_owned());
        }
        let [alone, of_aws, of_google] = &KINDS;
        let kind = match of_cloud.then(|| cloud::kind(raw, flat.program.as_ref(), &flat.server)) {
            Some(cloud::EKS) => of_aws,
            Some(_) => of_google,
            None => alone,
        };
        if of_cloud {
            flat = flat.unproved();
        }
        fill(raw, &flat)?;
        Ok(kind)
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("context").cloned().unwrap_or_else(|| "k8s".into())
    }

    fn expires(&self, fields: &Fields) -> Option<DateTime<Utc>> {
        Flat::of_text(fields.secrets.get("kubeconfig")?, None).ok()?.expires()
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        metadata.field("server").and_then(host_at).into_iter().collect()
    }

    /// A token, a client certificate or a password: those of the kubeconfig, or a token that is made of the source.
    fn material(
        &self,
        credential: &Credential,
        source: Option<&Issued>,
        net: &Net<'_>,
    ) -> Result<Issued, ProviderError> {
        if cloud::is_of(credential) {
            return cloud::token(credential, source, net);
        }
        let flat = flat_of(credential)?;
        let material = flat.material().ok_or_else(|| damaged(credential, "it has no secret in it"))?;
        Ok(Issued { material, expires: flat.expires() })
    }

    fn verify(&self, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || {
            let issued = self.material(credential, source, net)?;
            asked::verify(credential, &with(credential, &issued)?, net)
        };
        asked().unwrap_or_else(|failure| failure.into_verdict(TITLE))
    }

    fn refuse_orders(&self, values: &Values<'_>) -> Result<(), Order> {
        values.held("kubeconfig", orders::kubeconfig)
    }

    fn export(&self, credential: &Credential, issued: &Issued) -> Vec<Variable> {
        let Ok(flat) = with(credential, issued) else { return Vec::new() };
        let mut variables: Vec<Variable> = IN_THE_WAY.iter().map(|name| Variable::Unset { name }).collect();
        variables.push(Variable::File {
            name: "KUBECONFIG".into(),
            file: FILE.into(),
            content: Content::Text(flat.written()),
        });
        // Terraform's provider reads none of this from KUBECONFIG.
        variables.push(Variable::plain("KUBE_HOST", &flat.server));
        let plain = [
            ("KUBE_CLUSTER_CA_CERT_DATA", flat.authorities.as_deref()),
            ("KUBE_TLS_SERVER_NAME", flat.server_name.as_deref()),
            ("KUBE_USER", flat.password.as_ref().map(|(user, _)| user.as_str())),
            ("KUBE_CLIENT_CERT_DATA", flat.identity.as_ref().map(|identity| identity.certificate.as_str())),
        ];
        variables.extend(plain.iter().filter_map(|(name, value)| Some(Variable::plain(name, (*value)?))));
        let secret = [
            ("KUBE_PROXY_URL", flat.proxy.as_ref()),
            ("KUBE_TOKEN", flat.token.as_ref()),
            ("KUBE_PASSWORD", flat.password.as_ref().map(|(_, password)| password)),
            ("KUBE_CLIENT_KEY_DATA", flat.identity.as_ref().map(|identity| &identity.key)),
        ];
        variables.extend(secret.iter().filter_map(|(name, value)| Some(Variable::secret(name, (*value)?))));
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("kubeconfig", "a kubeconfig that stands alone")]
    }

    fn file(&self, format: &str, credential: &Credential, issued: &Issued) -> Option<Secret> {
        let flat = with(credential, issued).ok()?;
        (format == "kubeconfig").then(|| flat.written())
    }
}

const FILE: &str = "kubeconfig";

/// What Terraform and helm would take instead.
const IN_THE_WAY: [&str; 13] = [
    "KUBE_CONFIG_PATH",
    "KUBE_CONFIG_PATHS",
    "KUBE_CTX",
    "KUBE_CTX_AUTH_INFO",
    "KUBE_CTX_CLUSTER",
    "KUBE_INSECURE",
    "HELM_KUBEAPISERVER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBETOKEN",
    "HELM_KUBEASUSER",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
];

/// Puts the kubeconfig in, and what everybody may see of it. A value that says otherwise is refused.
fn fill(raw: &mut Raw, flat: &Flat) -> Result<(), FieldError> {
    for (name, value) in flat.fields() {
        if raw.get(name).is_some_and(|given| *given.expose() != value) {
            let problem = "it is not what the kubeconfig says; change it there, and store that";
            return Err(FieldError::Malformed { kind: KINDS[0].title, field: name.to_owned(), problem });
        }
        raw.plain(name, &value);
    }
    raw.set("kubeconfig", flat.written());
    Ok(())
}

/// Accepts a kubeconfig that needs no other file and leaves no choice.
fn stands_alone(text: &str) -> Result<(), &'static str> {
    rules::text(text)?;
    match Flat::of_text(&Secret::new(text.to_owned()), None) {
        Ok(_) => Ok(()),
        Err(_) => Err("it is no kubeconfig of one context with a token, a certificate or a password in it"),
    }
}

/// Accepts a kubeconfig of one context, whether or not a secret is in it.
fn is_one_context(text: &str) -> Result<(), &'static str> {
    rules::text(text)?;
    match Flat::any_of_text(&Secret::new(text.to_owned()), None) {
        Ok(_) => Ok(()),
        Err(_) => Err("it is no kubeconfig of one context"),
    }
}

fn damaged(credential: &Credential, problem: &'static str) -> ProviderError {
    ProviderError::Damaged { name: credential.metadata.name.clone(), field: "kubeconfig", problem }
}

/// The credential's kubeconfig, read.
fn flat_of(credential: &Credential) -> Result<Flat, ProviderError> {
    let text = credential.secret("kubeconfig").ok_or_else(|| damaged(credential, "it is not there"))?;
    let read = if cloud::is_of(credential) { Flat::any_of_text } else { Flat::of_text };
    read(text, None).map_err(|_| damaged(credential, "it is no kubeconfig that stands alone"))
}

/// The same with the token in it that was made for it.
fn with(credential: &Credential, issued: &Issued) -> Result<Flat, ProviderError> {
    let mut flat = flat_of(credential)?;
    if let (true, Material::Bearer(token)) = (cloud::is_of(credential), &issued.material) {
        flat.token = Some(token.duplicate());
    }
    Ok(flat)
}

#[cfg(test)]
mod tests;
