//! Container registries and Helm repositories: a user name and a password, or for Amazon's and Google's one that is made
//! from a credential of that cloud and is good for hours.

use chrono::{DateTime, Utc};

use crate::credential::{
    Address as Binding, Content, Credential, Field, FieldError, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules,
};
use crate::http::parse_url;
use crate::provider::api::{host_at, host_of};
use crate::provider::{Discovered, Guide, Here, Input, Mark, Net, Provider, ProviderError, Rotation, Verdict, aws};
use crate::secret::Secret;

mod address;
mod asked;
mod challenge;
pub mod charts;
mod docker;
mod find;
mod guide;
mod helm;
mod own;
mod replace;
mod token;

use address::{Address, Ecr, Flavour};
use asked::{Asked, IDENTITY_TOKEN, NOBODY, claims, service_account, token_end};

const URL: Field = Field::plain("url", "Address of the registry").checked(rules::url, "https://ghcr.io");
const FLAVOUR: Field = Field::plain("flavour", "Sort of registry: ghcr, gar, ecr, acr, dockerhub, harbor, jfrog, oci, helm").optional().checked(flavour, "ghcr").follows();

static FIELDS: [Field; 6] = [
    URL,
    Field::plain("username", "User name").checked(username, "alice").follows(),
    Field::secret("password", "Password or token").checked(rules::text, "s3cr3t-value-of-some-length"),
    FLAVOUR,
    Field::plain("token_server", "Token server of another domain that may have the password")
        .optional()
        .checked(rules::url, "https://sso.example.com"),
    Field::plain("endpoint", "Address of the provider's own API")
        .optional()
        .checked(rules::url, "https://hub.docker.com"),
];
static ECR_FIELDS: [Field; 4] = [
    Field { example: "https://123456789012.dkr.ecr.eu-west-1.amazonaws.com", ..URL },
    Field::plain("source", "Name of the AWS credential").checked(rules::line, "aws-prod"),
    Field::plain("region", "AWS region").checked(rules::token, "eu-west-1").follows(),
    Field { example: "ecr", ..FLAVOUR },
];
static GAR_FIELDS: [Field; 3] = [
    Field { example: "https://europe-docker.pkg.dev", ..URL },
    Field::plain("source", "Name of the Google Cloud credential").checked(rules::line, "gcp-deploy"),
    Field { example: "gar", ..FLAVOUR },
];
/// With a password; and those whose password is made from AWS keys or is an access token of Google Cloud.
static KINDS: [Kind; 3] = [
    Kind::new("registry", "registry login", "registry", &FIELDS),
    Kind::new(ECR, "ECR registry", "registry", &ECR_FIELDS).renews_itself(),
    Kind::new(GAR, "Google Artifact Registry", "registry", &GAR_FIELDS).renews_itself(),
];
/// The kind of Amazon's.
const ECR: &str = "registry_ecr";
/// The kind of Google's.
const GAR: &str = "registry_gar";
/// The user whose password is an access token.
const ACCESS_TOKEN: &str = "oauth2accesstoken";
static INPUTS: [Input; 1] =
    [Input::argument("url", "URL", "The registry, such as ghcr.io, oci://host/charts or https://charts.example.com/stable")];
static MARKS: [Mark; 6] = [
    mark("dckr_pat_", r"\b(dckr_pat_[A-Za-z0-9_-]{20,})"),
    mark("dckr_oat_", r"\b(dckr_oat_[A-Za-z0-9_-]{20,})"),
    mark("\"auth\"", r#""auth"\s*:\s*"([A-Za-z0-9+/]{8,}={0,2})""#),
    mark("+ACR", r"([A-Za-z0-9+/]{42}\+ACR[A-Za-z0-9]{6})"),
    mark("AKCp", r"\b(AKCp[A-Za-z0-9]{60,})"),
    mark("cmVmdGtu", r"\b(cmVmdGtu[A-Za-z0-9]{56})\b"),
];

const fn mark(keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "registry", field: "password", service: "", keyword, pattern }
}

/// Container registries and Helm repositories.
pub struct Registry;
/// The provider.
pub static PROVIDER: Registry = Registry;

impl Provider for Registry {
    fn name(&self) -> &'static str {
        "registry"
    }

    fn title(&self) -> &'static str {
        "Container registry"
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        find::all(&KINDS[0], here)
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if let Some(url) = here.input("url") {
            raw.fill("url", Secret::new(url.to_owned()));
        }
        let [with_password, from_keys, of_google] = &KINDS;
        let kind = if raw.has("source") { from_keys } else { with_password };
        let Some(address) = understood(raw, kind)? else { return Ok(kind) };
        raw.plain("url", address.text());
        raw.fill("flavour", Secret::new(address.flavour.word().to_owned()));
        // Without a password, Amazon's is made from keys, whether or not it is known from which yet.
        let is_made = raw.has("source") || (address.flavour == Flavour::Ecr && !raw.has("password"));
        if is_made {
            // What lies around for this registry is not wanted.
            raw.take("username");
            raw.take("password");
            if address.flavour == Flavour::Gar {
                return Ok(of_google);
            }
            if let Some(ecr) = Ecr::of_host(&address.host()) {
                raw.fill("region", Secret::new(ecr.region.to_owned()));
            }
            return Ok(from_keys);
        }
        if let Some(user) = raw.get("password").and_then(|password| user_for(address.flavour, password)) {
            raw.fill("username", Secret::new(user.to_owned()));
        }
        Ok(kind)
    }

    fn guide(&self, raw: &Raw) -> Guide {
        let address = understood(raw, &KINDS[0]).ok().flatten();
        address.map_or_else(Guide::default, |address| guide::of(&address, raw))
    }

    fn default_name(&self, fields: &Fields) -> String {
        let address = fields.plain.get("url").and_then(|url| Address::parse(url, flavour_of(&fields.plain)).ok());
        address.map_or_else(|| "registry".into(), |address| address.host())
    }

    fn expires(&self, fields: &Fields) -> Option<DateTime<Utc>> {
        token_end(fields.secrets.get("password")?)
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        let Some(address) = address(metadata) else { return Vec::new() };
        let endpoint = metadata.field("endpoint").and_then(host_at);
        let official = |host: &str| endpoint.clone().unwrap_or_else(|| host.to_owned());
        let mut hosts: Vec<String> = host_of(&address.base()).into_iter().collect();
        match address.flavour {
            Flavour::DockerHub => {
                hosts.extend(["docker.io".into(), "auth.docker.io".into(), "index.docker.io".into(), official("hub.docker.com")]);
            }
            Flavour::Ghcr => hosts.push(official("api.github.com")),
            _ => {}
        }
        hosts.extend(metadata.field("token_server").and_then(host_at));
        hosts
    }

    fn material(
        &self,
        credential: &Credential,
        source: Option<&Issued>,
        net: &Net<'_>,
    ) -> Result<Issued, ProviderError> {
        match credential.metadata.kind.id {
            ECR => return ecr_password(credential, source, net),
            GAR => return access_token(credential, source),
            _ => {}
        }
        let username = credential.field("username").unwrap_or_default().to_owned();
        let password = credential.secret("password").ok_or_else(|| damaged(credential, "password"))?;
        Ok(Issued {
            expires: token_end(password),
            material: Material::Basic { username, password: password.duplicate() },
        })
    }

    /// The one that is asked for passwords. Google's access token is kept as what it is of, not as a password.
    fn made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        let host = address(metadata).filter(|_| metadata.kind.id == ECR)?.host();
        aws::ecr_place(metadata.field("region").unwrap_or_default(), &host, net)
    }

    /// A Helm repository is none that clients of registries ask for.
    fn addresses(&self, metadata: &Metadata) -> Vec<Binding> {
        let found = address(metadata).filter(|address| address.flavour != Flavour::Helm);
        let Some(address) = found else { return Vec::new() };
        let own = Binding::of_url(&address.url);
        let aliases = address.aliases().filter_map(|alias| Binding::of_text(&format!("https://{alias}")));
        own.into_iter().chain(aliases).collect()
    }

    fn verify(&self, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || -> Result<Verdict, ProviderError> {
            let issued = self.material(credential, source, net)?;
            let Material::Basic { username, password } = &issued.material else {
                return Err(damaged(credential, "password"));
            };
            let address = address(&credential.metadata).ok_or_else(|| damaged(credential, "url"))?;
            let url = |name| credential.field(name).and_then(|url| parse_url(url).ok());
            let (endpoint, token_server) = (url("endpoint"), url("token_server"));
            let verdict = ask(&Asked { address, endpoint, token_server, username, password, net })?;
            Ok(verdict.expiring(issued.expires))
        };
        asked().unwrap_or_else(|failure| failure.into_verdict(self.title()))
    }

    fn export(&self, credential: &Credential, issued: &Issued) -> Vec<Variable> {
        let of = |name: &str, file: &str, content| {
            let content = Content::Text(content);
            Variable::File { name: name.into(), file: file.into(), content }
        };
        if let Some(content) = self.file("helm-repositories", credential, issued) {
            return vec![of("HELM_REPOSITORY_CONFIG", "repositories.yaml", content)];
        }
        let Some(content) = self.file("docker-config", credential, issued) else { return Vec::new() };
        let is_token = matches!(&issued.material, Material::Basic { username, .. } if username == IDENTITY_TOKEN);
        let mut variables = Vec::new();
        if !is_token {
            // Docker accepts nothing but user names with passwords in it.
            let line = Secret::new(content.expose().trim_end().to_owned());
            variables.push(Variable::secret("DOCKER_AUTH_CONFIG", &line));
        }
        variables.push(of("REGISTRY_AUTH_FILE", "auth.json", content.duplicate()));
        variables.push(of("HELM_REGISTRY_CONFIG", "config.json", content));
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("docker-config", "config.json of docker, podman, skopeo, helm; auth.json of podman"),
            ("helm-repositories", "repositories.yaml of helm"),
        ]
    }

    fn file(&self, format: &str, credential: &Credential, issued: &Issued) -> Option<Secret> {
        let Material::Basic { username, password } = &issued.material else { return None };
        let address = address(&credential.metadata)?;
        match (format, address.flavour) {
            ("helm-repositories", Flavour::Helm) => {
                Some(helm::write(&credential.metadata.name, address.text(), username, password))
            }
            ("docker-config", flavour) if flavour != Flavour::Helm => {
                Some(docker::write(&address.key(), username, password))
            }
            _ => None,
        }
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&replace::ByHand)
    }
}

/// The address that was given. What is malformed is told before anything is asked for.
fn understood(raw: &Raw, kind: &'static Kind) -> Result<Option<Address>, FieldError> {
    let malformed = |field: &str, problem| FieldError::Malformed { kind: kind.title, field: field.into(), problem };
    let chosen = match raw.get("flavour").map(Secret::expose) {
        Some(word) => {
            flavour(word).map_err(|problem| malformed("flavour", problem))?;
            Flavour::from_word(word)
        }
        None => None,
    };
    let Some(url) = raw.get("url").map(Secret::expose) else { return Ok(None) };
    let address = Address::parse(url, chosen);
    address.map(Some).map_err(|_| malformed("url", "it is no https:// address (http:// only for this machine)"))
}

/// Asks whoever knows best.
fn ask(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    match asked.address.flavour {
        Flavour::DockerHub => own::docker_hub(asked),
        Flavour::Ghcr => own::github(asked),
        Flavour::Harbor => own::harbor(asked),
        Flavour::Jfrog => own::artifactory(asked),
        Flavour::Helm => own::helm(asked),
        Flavour::Ecr => {
            let verdict = token::ask(asked)?;
            let host = asked.host();
            let account = Ecr::of_host(&host).and_then(|ecr| ecr.account);
            Ok(Verdict { identity: account.map(|account| format!("Account {account}")).or(verdict.identity), ..verdict })
        }
        Flavour::Gar | Flavour::Acr | Flavour::Oci => token::ask(asked),
    }
}

/// The access token of the source as a password (Artifact Registry's page on authentication to Docker).
fn access_token(credential: &Credential, source: Option<&Issued>) -> Result<Issued, ProviderError> {
    match source {
        Some(Issued { material: Material::Bearer(token), expires }) => Ok(Issued {
            material: Material::Basic { username: ACCESS_TOKEN.to_owned(), password: token.duplicate() },
            expires: *expires,
        }),
        _ => Err(no_source(credential)),
    }
}

fn no_source(credential: &Credential) -> ProviderError {
    let source_name = credential.field("source").unwrap_or_default().to_owned();
    ProviderError::NoSource { name: credential.metadata.name.clone(), source_name }
}

/// The password for ECR, from the keys of the source.
fn ecr_password(credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Result<Issued, ProviderError> {
    let keys = source.map(|issued| &issued.material).filter(|material| matches!(material, Material::AwsKeys { .. }));
    let keys = keys.ok_or_else(|| no_source(credential))?;
    let (region, host) = (credential.field("region").unwrap_or_default(), address(&credential.metadata));
    let host = host.ok_or_else(|| damaged(credential, "url"))?.host();
    aws::ecr_password(keys, region, &host, net)
}

fn damaged(credential: &Credential, field: &'static str) -> ProviderError {
    ProviderError::Damaged { name: credential.metadata.name.clone(), field, problem: "it is not there" }
}

/// The address that a stored credential is for.
fn address(metadata: &Metadata) -> Option<Address> {
    Address::parse(metadata.field("url")?, flavour_of(&metadata.fields)).ok()
}

fn flavour_of(fields: &std::collections::BTreeMap<String, String>) -> Option<Flavour> {
    Flavour::from_word(fields.get("flavour")?)
}

/// The user name that goes with a password of a known form.
fn user_for(flavour: Flavour, password: &Secret) -> Option<&'static str> {
    match flavour {
        Flavour::Gar if service_account(password).is_some() => Some("_json_key"),
        Flavour::Gar if password.expose().starts_with("ya29.") => Some(ACCESS_TOKEN),
        Flavour::Acr if claims(password).is_some() => Some(NOBODY),
        Flavour::Ecr => Some("AWS"),
        _ => None,
    }
}

fn flavour(word: &str) -> Result<(), &'static str> {
    let known = Flavour::from_word(word).is_some();
    if known { Ok(()) } else { Err("it is none of ghcr, gar, ecr, acr, dockerhub, harbor, jfrog, oci and helm") }
}

/// A user name ends at the first colon of what is sent (RFC 7617 section 2).
fn username(name: &str) -> Result<(), &'static str> {
    if name.contains(':') { Err("it holds a colon, at which a user name ends") } else { rules::line(name) }
}

#[cfg(test)]
pub(super) mod tests;
