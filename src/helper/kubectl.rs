//! The exec plugin of kubectl and of every other client of client-go: `lanyard helper kubectl NAME` in a kubeconfig.
//! `client.authentication.k8s.io`, `v1` and `v1beta1`.
//!
//! A kubeconfig from a stranger can name this program and the stranger's own server. So the client has to tell which
//! cluster it talks to (`provideClusterInfo: true`), and is given something only if that is the very cluster that the
//! credential is for: its address, its certificate authorities, its name in the certificate, its proxy.
//!
//! As whom a user acts (`as`, `as-groups`) is no part of what proves the user: that stays in the client's kubeconfig.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::credential::{Cluster, Issued, Material, Want};
use crate::secret::Secret;
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, json, told};

/// Kubernetes.
pub(super) struct Kubectl;
/// The helper.
pub(super) static HELPER: Kubectl = Kubectl;

const KINDS: [&str; 3] = ["kubeconfig", "kubeconfig_eks", "kubeconfig_gke"];
/// The variable that the question is in.
const QUESTION: &str = "KUBERNETES_EXEC_INFO";
const KIND: &str = "ExecCredential";
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];
/// The longest question that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Clocks differ: so much before the end it is called the end.
const AHEAD: TimeDelta = TimeDelta::minutes(1);
/// What is told no end is kept by a client for as long as it runs. After so long it asks again, and so notices what was
/// replaced or deleted here.
const HORIZON: TimeDelta = TimeDelta::minutes(10);

/// What a client asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Question {
    kind: String,
    api_version: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
struct Spec {
    cluster: Option<InQuestion>,
}

/// The cluster that a client says it talks to.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct InQuestion {
    server: String,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    certificate_authority_data: Option<String>,
    proxy_url: Option<String>,
}

/// What a client is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'t> {
    kind: &'static str,
    api_version: &'t str,
    status: Status<'t>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'t> {
    expiration_timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key_data: Option<&'t str>,
}

impl Helper for Kubectl {
    fn name(&self) -> &'static str {
        "kubectl"
    }

    fn title(&self) -> &'static str {
        "kubectl and other clients of Kubernetes"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn framing(&self, _: &[String]) -> Framing {
        Framing::Nothing
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let name = match call.arguments {
            [name] if !name.starts_with('-') => name,
            _ => return Err(Reply::refusal(1, "usage: lanyard helper kubectl NAME")),
        };
        let question = question(call)?;
        let cluster = question.spec.cluster.ok_or_else(|| {
            refused("the client does not say which cluster it talks to; put `provideClusterInfo: true` into its kubeconfig")
        })?;
        let cluster = cluster.known().map_err(refused)?;
        let fields = cluster.fields().into_iter().collect();
        Ok(Ask::Get(Want { fields, ..Want::named(&KINDS, name) }))
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(_, issued) => match question(call) {
                Ok(question) => found(&question, issued, call.env.now()).unwrap_or_else(refused),
                Err(reply) => reply,
            },
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
            Answer::Missing | Answer::Listed(_) | Answer::Done => refused(
                "there is no kubeconfig of that name for this very cluster: address, certificate authorities, name and \
                 proxy have to be those that were stored",
            ),
        }
    }
}

fn refused(problem: &str) -> Reply {
    Reply::refusal(1, format!("lanyard: {problem}"))
}

/// The question, where it is one that there is an answer to.
fn question(call: &Call<'_>) -> Result<Question, Reply> {
    let text = call.env.var(QUESTION).filter(|text| (1..=LONGEST).contains(&text.len()));
    let text = text.ok_or_else(|| refused("KUBERNETES_EXEC_INFO is not set: this is for kubectl to call"))?;
    let question = json::read::<Question>(text).filter(|question| question.kind == KIND);
    let question = question.ok_or_else(|| refused("KUBERNETES_EXEC_INFO is no question of kubectl's"))?;
    if VERSIONS.contains(&question.api_version.as_str()) {
        return Ok(question);
    }
    Err(refused("the client's kubeconfig names a version other than client.authentication.k8s.io/v1 and /v1beta1"))
}

impl InQuestion {
    /// The cluster by what the client knows it; why it may be anybody's, where it may.
    fn known(self) -> Result<Cluster, &'static str> {
        if self.insecure_skip_tls_verify {
            return Err("the client does not check who the server is, and would send the secret to anybody");
        }
        let authorities = match self.certificate_authority_data.as_deref() {
            None | Some("") => None,
            Some(data) => {
                let pem = STANDARD.decode(data).ok().and_then(|pem| String::from_utf8(pem).ok());
                // Without a digest it would look like a client that believes the system's authorities.
                let pem = pem.filter(|pem| !pem.trim().is_empty());
                Some(pem.ok_or("the client's certificate authorities are none")?)
            }
        };
        let (name, proxy) = (self.tls_server_name.as_deref(), self.proxy_url.as_deref());
        Ok(Cluster::new(&self.server, authorities.as_deref(), name, proxy))
    }
}

/// The answer; why there is none, where there is none.
fn found(question: &Question, issued: &Issued, now: DateTime<Utc>) -> Result<Reply, &'static str> {
    let end = issued.expires.map_or(now + HORIZON, |at| at.checked_sub_signed(AHEAD).unwrap_or(at).min(now + HORIZON));
    if end <= now {
        return Err("its time is over; get a fresh kubeconfig and store it with `--replace`");
    }
    let (token, certificate, key) = match &issued.material {
        Material::Bearer(token) => (Some(token.expose()), None, None),
        Material::ClientCert { certificate, key, token } => {
            (token.as_ref().map(Secret::expose), Some(certificate.as_str()), Some(key.expose()))
        }
        _ => return Err("it is a password, which kubectl takes from no program"),
    };
    let status = Status {
        expiration_timestamp: end.to_rfc3339_opts(SecondsFormat::Secs, true),
        token,
        client_certificate_data: certificate,
        client_key_data: key,
    };
    json::line(&Told { kind: KIND, api_version: &question.api_version, status }).ok_or("the answer cannot be written")
}

#[cfg(test)]
mod tests;
