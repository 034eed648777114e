//! Kubernetes: one context of a kubeconfig, made to stand alone.
//!
//! Sources: client-go (`tools/clientcmd`: how files are read, merged and flattened) and the Kubernetes API reference.

use chrono::{DateTime, Utc};

use crate::credential::{
    Content, Credential, Field, FieldError, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules,
};
use crate::provider::api::host_at;
use crate::provider::{Discovered, Here, Input, Net, Provider, ProviderError, Verdict};
use crate::secret::Secret;

mod asked;
mod certificate;
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

static FIELDS: [Field; 6] = [
    Field::secret("kubeconfig", "kubeconfig").checked(stands_alone, EXAMPLE).multiline(),
    Field::plain("server", "Address of the API server")
        .checked(rules::url, "https://dev.example.com:6443")
        .optional()
        .derived(),
    Field::plain("context", "Context").checked(rules::line, "dev").optional().derived(),
    Field::plain("namespace", "Namespace").checked(rules::line, "default").optional().derived(),
    Field::plain("cluster", "Cluster").checked(rules::line, "dev").optional().derived(),
    Field::plain("user", "User").checked(rules::line, "dev").optional().derived(),
];
static KINDS: [Kind; 1] = [Kind::new("kubeconfig", "kubeconfig", "k8s", &FIELDS)];
static INPUTS: [Input; 3] = [
    Input::flag("context", "CONTEXT", "The context, instead of the current one"),
    Input::flag("kubeconfig", "FILE", "The file, instead of those that kubectl reads"),
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
        let mut flat = match raw.take("kubeconfig") {
            Some(text) => Flat::of_text(&text, here.input("context")).map_err(|refusal| refusal.of("this kubeconfig"))?,
            None => find::chosen(here, raw.get("context").map(Secret::expose))?,
        };
        if let Some(namespace) = here.input("namespace") {
            raw.take("namespace");
            flat.namespace = Some(namespace.to_owned());
        }
        fill(raw, &flat)?;
        Ok(&KINDS[0])
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

    /// A bearer token or a password where there is one; a certificate is used through the file alone.
    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let flat = flat_of(credential)?;
        let material = match flat.material() {
            Some(material) => material,
            None => Material::File { name: FILE.into(), content: Content::Text(flat.written()) },
        };
        Ok(Issued { material, expires: flat.expires() })
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = flat_of(credential).and_then(|flat| asked::verify(credential, &flat, net));
        asked.unwrap_or_else(|failure| failure.into_verdict(TITLE))
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let Ok(flat) = flat_of(credential) else { return Vec::new() };
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

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        let flat = flat_of(credential).ok()?;
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
        if raw.get(name).is_some_and(|given| given.expose() != value) {
            let problem = "it is not what the kubeconfig says; change it there, and store that";
            return Err(FieldError::Malformed { kind: KINDS[0].title, field: name.to_owned(), problem });
        }
        raw.plain(name, value);
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

/// The credential's kubeconfig, read.
fn flat_of(credential: &Credential) -> Result<Flat, ProviderError> {
    let damaged = |problem| {
        let name = credential.metadata.name.clone();
        ProviderError::Damaged { name, field: "kubeconfig", problem }
    };
    let text = credential.secret("kubeconfig").ok_or_else(|| damaged("it is not there"))?;
    Flat::of_text(text, None).map_err(|_| damaged("it is no kubeconfig that stands alone"))
}

#[cfg(test)]
mod tests;
