//! Asking a cluster who one is to it.

use serde::Deserialize;

use super::flat::{EXTRA, Flat};
use super::{TITLE, jwt};
use crate::credential::Credential;
use crate::http::{
    HeaderName, HeaderValue, Request, Response, Trust, Unreachable, Url, below, parse_url,
};
use crate::provider::{Net, Outcome, ProviderError, Verdict, apply};
use crate::secret::{Reason, Secret};

/// The versions of the API that tells who one is, the newest first.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];
/// Whom a cluster takes those for who prove nothing.
const NOBODY: &str = "system:anonymous";

/// Asks who the credential is. A cluster without that API, or that does not let everybody use it, is asked whether one
/// may list pods: any answer but 401 to that means that it knows who asks.
pub(super) fn verify(credential: &Credential, flat: &Flat, net: &Net<'_>) -> Result<Verdict, ProviderError> {
    let asking = Asking { credential, flat, net };
    if flat.proxy.as_ref().is_some_and(|proxy| proxy.expose().starts_with("socks5:")) {
        let reason = "lanyard does not ask through a SOCKS proxy";
        return Ok(Verdict { reason: Some(reason.into()), ..Verdict::cannot_be_asked() });
    }
    let verdict = asking.all()?;
    Ok(asking.dated(verdict).expiring(flat.expires()))
}

struct Asking<'a> {
    credential: &'a Credential,
    flat: &'a Flat,
    net: &'a Net<'a>,
}

/// What a cluster says of a failure.
#[derive(Deserialize)]
struct Status {
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

/// Who one is to a cluster.
#[derive(Deserialize)]
struct Review {
    kind: String,
    status: ReviewStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewStatus {
    user_info: UserInfo,
}

#[derive(Deserialize)]
struct UserInfo {
    #[serde(default)]
    username: String,
}

impl Asking<'_> {
    fn all(&self) -> Result<Verdict, ProviderError> {
        let mut known_as = None;
        for version in VERSIONS {
            let api = format!("authentication.k8s.io/{version}");
            let body = serde_json::json!({ "apiVersion": api, "kind": "SelfSubjectReview" });
            let answer = match self.send(&format!("/apis/{api}/selfsubjectreviews"), &body)? {
                Ok(answer) => answer,
                Err(verdict) => return Ok(verdict),
            };
            match answer.status {
                200..300 => return Ok(self.who(&answer)),
                // An older cluster hides what it does not have from those who may not know.
                403 => {
                    known_as = forbidden(&answer);
                    break;
                }
                404 => {}
                _ => return Ok(self.failed(&answer)),
            }
        }
        if known_as.as_deref() == Some(NOBODY) {
            return Ok(self.nobody());
        }
        self.may_list_pods(known_as)
    }

    fn may_list_pods(&self, known_as: Option<String>) -> Result<Verdict, ProviderError> {
        let body = serde_json::json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": { "verb": "list", "resource": "pods", "namespace": "default" } },
        });
        let answer = match self.send("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &body)? {
            Ok(answer) => answer,
            Err(verdict) => return Ok(verdict),
        };
        if answer.is_success() {
            let kind = answer.json::<Status>().ok().filter(|review| review.kind == "SelfSubjectAccessReview");
            let subject = || self.flat.token.as_ref().and_then(|token| jwt::claims(token)?.sub);
            return Ok(match (kind, known_as.or_else(subject)) {
                (None, _) => Verdict::unexpected(TITLE, answer.status),
                (Some(_), Some(name)) => Verdict::valid(name),
                (Some(_), None) => Verdict::valid_unnamed(),
            });
        }
        if answer.status == 403
            && let Some(name) = forbidden(&answer)
        {
            if name == NOBODY {
                return Ok(self.nobody());
            }
            let refused = Verdict::insufficient(
                "the cluster knows it and lets it do nothing, not even ask what it may do",
                "bind a role to it, or to the group system:authenticated",
            );
            return Ok(Verdict { identity: Verdict::valid(name).identity, ..refused.code("Forbidden") });
        }
        Ok(self.failed(&answer))
    }

    /// Sends a question; a verdict where the connection itself gave the answer.
    fn send(&self, path: &str, body: &serde_json::Value) -> Result<Result<Response, Verdict>, ProviderError> {
        let request = self.request(path, body)?;
        match self.net.http.send(request) {
            Ok(answer) => Ok(Ok(answer)),
            Err(failure) => match self.of_connection(&failure) {
                Some(verdict) => Ok(Err(verdict)),
                None => Err(failure.into()),
            },
        }
    }

    fn request(&self, path: &str, body: &serde_json::Value) -> Result<Request, ProviderError> {
        let flat = self.flat;
        let bad = |cause| ProviderError::BadEndpoint { name: "server".into(), cause };
        let url = below(&parse_url(&flat.server).map_err(bad)?, path).map_err(bad)?;
        let mut request = Request::post_json(url, &body.to_string());
        let identity = flat
            .identity
            .as_ref()
            .map(|pair| Secret::new([pair.certificate.as_str(), "\n", pair.key.expose()].concat()));
        request.trust = Some(Box::new(Trust {
            authorities: flat.authorities.clone(),
            identity,
            server_name: flat.server_name.clone(),
            proxy: flat.proxy.as_ref().and_then(|proxy| Url::parse(proxy.expose()).ok()),
        }));
        for (name, values) in &flat.acting {
            let header = match name.as_str() {
                "as" => "impersonate-user".to_owned(),
                "as-uid" => "impersonate-uid".to_owned(),
                "as-groups" => "impersonate-group".to_owned(),
                extra => format!("impersonate-extra-{}", extra.trim_start_matches(EXTRA).to_lowercase()),
            };
            for value in values {
                let pair = (HeaderName::from_bytes(header.as_bytes()), HeaderValue::from_str(value));
                let (Ok(header), Ok(value)) = pair else {
                    return Err(self.damaged("the user that it acts as cannot be sent"));
                };
                request.headers.append(header, value);
            }
        }
        if let Some(material) = flat.material() {
            apply(&material, &mut request);
        }
        Ok(request)
    }

    fn damaged(&self, problem: &'static str) -> ProviderError {
        let name = self.credential.metadata.name.clone();
        ProviderError::Damaged { name, field: "kubeconfig", problem }
    }

    /// A server that refuses the client's certificate says so while the connection is made (RFC 8446 section 6.2). The
    /// words are those of the TLS library.
    fn of_connection(&self, failure: &Unreachable) -> Option<Verdict> {
        self.flat.identity.as_ref()?;
        match failure {
            Unreachable::Tls { cause: Reason(cause), .. } => {
                let alert = cause.strip_prefix("received fatal alert: ")?;
                let alert = alert.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                let reason = "the server does not accept the client certificate";
                match alert {
                    "CertificateExpired" => Some(Verdict::expired("the client certificate has expired", self.fresh())),
                    "BadCertificate" | "CertificateRevoked" | "CertificateUnknown" | "UnknownCA" | "AccessDenied" => {
                        Some(Verdict::invalid(reason, self.fresh()))
                    }
                    _ => None,
                }
                .map(|verdict| verdict.code(alert))
            }
            Unreachable::Setup { .. } => Some(Verdict::failed(
                Outcome::Unexpected,
                "the certificates or the key in the kubeconfig cannot be used",
                self.fresh(),
            )),
            _ => None,
        }
    }

    /// What to do about a credential that is no good any more.
    fn fresh(&self) -> String {
        let name = &self.credential.metadata.name;
        format!(
            "get a fresh kubeconfig from whoever runs the cluster, then `lanyard credentials store k8s --kubeconfig \
             FILE --name {name} --replace`"
        )
    }

    fn nobody(&self) -> Verdict {
        Verdict::invalid(format!("the cluster takes it for nobody ({NOBODY})"), self.fresh())
    }

    /// The name in the answer of the API that tells it.
    fn who(&self, answer: &Response) -> Verdict {
        let review = answer.json::<Review>().ok().filter(|review| review.kind == "SelfSubjectReview");
        match review.map(|review| review.status.user_info.username).filter(|name| !name.is_empty()) {
            Some(name) if name == NOBODY => self.nobody(),
            Some(name) => Verdict::valid(name),
            None => Verdict::unexpected(TITLE, answer.status),
        }
    }

    /// An answer that tells no name.
    fn failed(&self, answer: &Response) -> Verdict {
        if answer.status == 429 || answer.status >= 500 {
            return Verdict::of_status(answer, TITLE);
        }
        match answer.json::<Status>() {
            Ok(status) if status.kind == "Status" && answer.status == 401 => {
                Verdict::invalid("the cluster does not accept it", self.fresh()).code(status.reason)
            }
            Ok(status) if status.kind == "Status" => Verdict::unexpected(TITLE, answer.status).code(status.reason),
            // A proxy or a portal on the way.
            _ => Verdict::unexpected(TITLE, answer.status),
        }
    }

    /// A refusal of what has ended by now is an end.
    fn dated(&self, verdict: Verdict) -> Verdict {
        match self.flat.expires() {
            Some(at) if at <= self.net.now && verdict.outcome == Outcome::Invalid => Verdict {
                error: verdict.error,
                ..Verdict::expired(format!("it ended on {}", at.format("%Y-%m-%d at %H:%M UTC")), self.fresh())
            },
            _ => verdict,
        }
    }
}

/// Whom the cluster took the asker for when it forbade something: `User "alice" cannot create …`.
fn forbidden(answer: &Response) -> Option<String> {
    let status = answer.json::<Status>().ok().filter(|status| status.kind == "Status")?;
    let (_, rest) = status.message.split_once("User \"")?;
    let (name, _) = rest.split_once("\" cannot ")?;
    Some(name.to_owned())
}
