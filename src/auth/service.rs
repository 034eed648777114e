//! What one signs in to: a `[services.NAME]` table, a preset, or both, and the addresses found by discovery.
//!
//! Discovery follows OpenID Connect Discovery 1.0 section 4 and RFC 8414 section 3. A document counts only if its
//! `issuer` equals the configured one byte for byte, and each address in it must be safe to send a secret to.

use serde::Deserialize;

use crate::auth::presets::{self, Preset, Quirks};
use crate::config::PresetDefaults;
use crate::config::{ApiTable, Config, ServiceTable};
use crate::error::{Code, Failure};
use crate::http::{self, BadUrl, Http, Malformed, Request, Unreachable, Url};
use crate::text::nearest;

/// A service as the user means it: the preset's values under the user's own.
#[derive(Debug, Clone)]
pub struct Service {
    /// The name in the configuration.
    pub name: String,
    /// The merged table.
    pub table: ServiceTable,
    /// How it departs from the standards.
    pub quirks: Quirks,
    preset: Option<&'static str>,
}

/// The addresses and abilities of a service, from its table and its metadata document.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// The issuer, where there is one. ID tokens and the `iss` parameter are held against it.
    pub issuer: Option<String>,
    /// RFC 6749 section 3.1.
    pub authorization_endpoint: Option<Url>,
    /// RFC 6749 section 3.2.
    pub token_endpoint: Option<Url>,
    /// RFC 8628 section 3.1.
    pub device_authorization_endpoint: Option<Url>,
    /// RFC 7009.
    pub revocation_endpoint: Option<Url>,
    /// RFC 7662.
    pub introspection_endpoint: Option<Url>,
    /// OpenID Connect Core section 5.3.
    pub userinfo_endpoint: Option<Url>,
    /// RFC 9126.
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// The issuer's keys.
    pub jwks_uri: Option<Url>,
    /// Whether the server takes pushed requests only (RFC 9126 section 5).
    pub require_pushed_authorization_requests: bool,
    /// Whether the server announced the `iss` parameter (RFC 9207 section 3).
    pub authorization_response_iss_parameter_supported: bool,
    /// The PKCE methods announced, where any are.
    pub code_challenge_methods_supported: Option<Vec<String>>,
    /// The ways of client authentication announced, where any are.
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// The grants announced, where any are.
    pub grant_types_supported: Option<Vec<String>>,
    /// The values of `prompt` announced (Initiating User Registration 1.0 section 4).
    pub prompt_values_supported: Vec<String>,
}

/// Why a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No table and no preset has this name.
    #[error("there is no service named {name}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The closest known name.
        nearest: Option<String>,
    },
    /// A client identifier is needed and none is configured.
    #[error("{service} needs a client id, and none is configured")]
    NoClientId {
        /// The service.
        service: String,
        /// Where one is registered.
        registration: Option<&'static str>,
    },
    /// An address in the configuration or the metadata is not safe.
    #[error("the {field} of {service} cannot be used")]
    BadAddress {
        /// The service.
        service: String,
        /// The metadata's name of the address, such as `token_endpoint`.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        cause: BadUrl,
    },
    /// The metadata names another issuer.
    #[error("the metadata found at {issuer} belongs to another issuer")]
    OtherIssuer {
        /// The configured issuer.
        issuer: String,
    },
    /// No metadata document was found.
    #[error("{issuer} publishes no OpenID Connect or OAuth 2.0 metadata (answered {status})")]
    NoMetadata {
        /// The configured issuer.
        issuer: String,
        /// The status of the last answer.
        status: u16,
    },
    /// The metadata document is no metadata.
    #[error("the metadata of {issuer} is not what it should be")]
    BadMetadata {
        /// The configured issuer.
        issuer: String,
        /// Where the JSON went wrong.
        #[source]
        cause: Malformed,
    },
    /// No answer came.
    #[error("cannot ask {issuer} for its metadata")]
    Unreachable {
        /// The configured issuer.
        issuer: String,
        /// Why.
        #[source]
        cause: Unreachable,
    },
    /// The service does not offer what was asked for.
    #[error("{service} offers no {what}")]
    NotOffered {
        /// The service.
        service: String,
        /// What is missing: `browser sign-in`, `device sign-in`, `PKCE with S256`.
        what: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
}

impl Failure for ServiceError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::NoMetadata { .. } | Self::BadMetadata { .. } => Code::Unreachable,
            Self::OtherIssuer { .. } | Self::NotOffered { .. } => Code::Failed,
            Self::Unknown { .. } | Self::NoClientId { .. } | Self::BadAddress { .. } => Code::Config,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { nearest: Some(nearest), .. } => {
                format!("did you mean `{nearest}`? `lanyard auth login` lists the services")
            }
            Self::Unknown { name, nearest: None } => {
                format!("add [services.{name}] to the configuration, or use `lanyard auth login --issuer URL`")
            }
            Self::NoClientId { service, registration } => {
                let place = registration.map_or_else(String::new, |page| format!("register one at {page}, then "));
                format!("{place}give --client-id ID, or `lanyard config set services.{service}.client_id ID`")
            }
            Self::BadAddress { service, field, .. } => {
                format!("correct the address: `lanyard config set services.{service}.{field} https://…`")
            }
            Self::OtherIssuer { .. } => {
                "configure the issuer exactly as the service spells it, with or without the last slash".into()
            }
            Self::NoMetadata { .. } | Self::BadMetadata { .. } => {
                "check the issuer; a service without metadata needs its endpoints in [services.NAME]".into()
            }
            Self::Unreachable { cause, .. } => return cause.mend(),
            Self::NotOffered { instead, .. } => (*instead).into(),
        })
    }
}

/// What a preset gives the resolution of a profile: its token variables and its endpoint.
pub fn preset_defaults(name: &str) -> Option<PresetDefaults> {
    let table = presets::find(name)?.under(&ServiceTable::default());
    Some(PresetDefaults { token_env: table.token_env.unwrap_or_default(), endpoint: table.endpoint })
}

/// The names of every service: the user's tables first, then the presets without a table.
pub fn names(config: &Config) -> Vec<String> {
    let own = config.services.keys().cloned();
    let presets = presets::PRESETS.iter().map(|preset| preset.name.to_owned());
    own.chain(presets.filter(|name| !config.services.contains_key(name))).collect()
}

/// The service of that name.
pub fn find(config: &Config, name: &str) -> Result<Service, ServiceError> {
    let user = config.services.get(name);
    let preset_name = user.and_then(|table| table.preset.as_deref()).unwrap_or(name);
    match (presets::find(preset_name), user) {
        (None, None) => Err(ServiceError::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, names(config).iter().map(String::as_str)).map(str::to_owned),
        }),
        (Some(preset), user) => Ok(Service {
            name: name.to_owned(),
            table: preset.under(user.unwrap_or(&ServiceTable::default())),
            quirks: preset.quirks,
            preset: Some(preset.name),
        }),
        (None, Some(table)) => Ok(Service::of_table(name, table.clone())),
    }
}

impl Service {
    /// A service that only its table describes.
    pub fn of_table(name: &str, table: ServiceTable) -> Self {
        Self { name: name.to_owned(), table, quirks: Quirks::default(), preset: None }
    }

    /// The preset this service starts from.
    pub fn preset(&self) -> Option<&'static Preset> {
        self.preset.and_then(presets::find)
    }

    /// The name people use.
    pub fn title(&self) -> &str {
        self.preset().filter(|preset| preset.name == self.name).map_or(&self.name, |preset| preset.title)
    }

    /// The client identifier, which every OAuth grant needs.
    pub fn client_id(&self) -> Result<&str, ServiceError> {
        self.table.client_id.as_deref().ok_or_else(|| ServiceError::NoClientId {
            service: self.name.clone(),
            registration: self.preset().map(|preset| preset.registration),
        })
    }

    /// Whether the service takes bearer tokens and offers no OAuth 2.0 at all.
    pub fn is_token_only(&self) -> bool {
        let table = &self.table;
        table.issuer.is_none()
            && table.authorization_endpoint.is_none()
            && table.device_authorization_endpoint.is_none()
    }

    /// How to ask its API who one is.
    pub fn api(&self) -> Option<&ApiTable> {
        self.table.api.as_ref()
    }

    /// The scopes to ask for unless the profile or the command line names others.
    pub fn scopes(&self) -> Vec<String> {
        match &self.table.scopes {
            Some(scopes) => scopes.clone(),
            None if self.table.issuer.is_some() => {
                ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec()
            }
            None => Vec::new(),
        }
    }

    /// The service's addresses: from discovery where it has an issuer, with each one in the table on top.
    pub fn metadata(&self, http: &dyn Http) -> Result<Metadata, ServiceError> {
        let mut metadata = match &self.table.issuer {
            Some(issuer) if self.needs_discovery() => discover(&self.name, issuer, http)?,
            issuer => Metadata { issuer: issuer.clone(), ..Metadata::default() },
        };
        self.lay_table_over(&mut metadata)?;
        Ok(metadata)
    }

    /// The addresses that the table names, without asking anyone.
    pub fn known_metadata(&self) -> Result<Metadata, ServiceError> {
        let mut metadata = Metadata { issuer: self.table.issuer.clone(), ..Metadata::default() };
        self.lay_table_over(&mut metadata)?;
        Ok(metadata)
    }

    fn needs_discovery(&self) -> bool {
        let table = &self.table;
        table.token_endpoint.is_none() || table.authorization_endpoint.is_none() || table.jwks_uri.is_none()
    }

    fn lay_table_over(&self, metadata: &mut Metadata) -> Result<(), ServiceError> {
        let table = &self.table;
        let issuer = table.issuer.as_deref();
        let lay = |slot: &mut Option<Url>, field: &'static str, value: &Option<String>| -> Result<(), ServiceError> {
            if let Some(value) = value {
                *slot = Some(address(&self.name, issuer, field, value)?);
            }
            Ok(())
        };
        lay(&mut metadata.authorization_endpoint, "authorization_endpoint", &table.authorization_endpoint)?;
        lay(&mut metadata.token_endpoint, "token_endpoint", &table.token_endpoint)?;
        lay(
            &mut metadata.device_authorization_endpoint,
            "device_authorization_endpoint",
            &table.device_authorization_endpoint,
        )?;
        lay(&mut metadata.revocation_endpoint, "revocation_endpoint", &table.revocation_endpoint)?;
        lay(&mut metadata.introspection_endpoint, "introspection_endpoint", &table.introspection_endpoint)?;
        lay(&mut metadata.userinfo_endpoint, "userinfo_endpoint", &table.userinfo_endpoint)?;
        lay(
            &mut metadata.pushed_authorization_request_endpoint,
            "pushed_authorization_request_endpoint",
            &table.pushed_authorization_request_endpoint,
        )?;
        lay(&mut metadata.jwks_uri, "jwks_uri", &table.jwks_uri)
    }
}

impl Metadata {
    /// Whether the server announced its grants and this one is not among them.
    pub fn lacks_grant(&self, grant: &str) -> bool {
        self.grant_types_supported.as_ref().is_some_and(|grants| !grants.iter().any(|offered| offered == grant))
    }
}

/// The metadata document, as it stands on the wire (RFC 8414 section 2).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    userinfo_endpoint: Option<String>,
    pushed_authorization_request_endpoint: Option<String>,
    jwks_uri: Option<String>,
    #[serde(default)]
    require_pushed_authorization_requests: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    grant_types_supported: Option<Vec<String>>,
    #[serde(default)]
    prompt_values_supported: Vec<String>,
}

fn discover(service: &str, issuer: &str, http: &dyn Http) -> Result<Metadata, ServiceError> {
    let base = address(service, Some(issuer), "issuer", issuer)?;
    let mut failure = None;
    for place in metadata_places(&base) {
        let answer = match http.send(Request::get(place)) {
            Ok(answer) => answer,
            Err(cause) => return Err(ServiceError::Unreachable { issuer: issuer.to_owned(), cause }),
        };
        if !answer.is_success() {
            failure.get_or_insert(ServiceError::NoMetadata { issuer: issuer.to_owned(), status: answer.status });
            continue;
        }
        match answer.json::<Document>() {
            Ok(document) if document.issuer == issuer => return document.check(service, issuer),
            Ok(_) => failure = Some(ServiceError::OtherIssuer { issuer: issuer.to_owned() }),
            Err(cause) => {
                failure.get_or_insert(ServiceError::BadMetadata { issuer: issuer.to_owned(), cause });
            }
        }
    }
    Err(failure.unwrap_or(ServiceError::NoMetadata { issuer: issuer.to_owned(), status: 404 }))
}

/// Where the document may lie: OpenID Connect appends to the path, RFC 8414 inserts before it.
fn metadata_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![format!("{path}/.well-known/openid-configuration")];
    places.push(format!("/.well-known/oauth-authorization-server{path}"));
    if !path.is_empty() {
        places.push(format!("/.well-known/openid-configuration{path}"));
    }
    places
        .into_iter()
        .map(|place| {
            let mut url = issuer.clone();
            url.set_path(&place);
            url.set_query(None);
            url
        })
        .collect()
}

impl Document {
    fn check(self, service: &str, issuer: &str) -> Result<Metadata, ServiceError> {
        let check = |field: &'static str, value: Option<String>| -> Result<Option<Url>, ServiceError> {
            value.map(|value| address(service, Some(issuer), field, &value)).transpose()
        };
        Ok(Metadata {
            issuer: Some(self.issuer),
            authorization_endpoint: check("authorization_endpoint", self.authorization_endpoint)?,
            token_endpoint: check("token_endpoint", self.token_endpoint)?,
            device_authorization_endpoint: check("device_authorization_endpoint", self.device_authorization_endpoint)?,
            revocation_endpoint: check("revocation_endpoint", self.revocation_endpoint)?,
            introspection_endpoint: check("introspection_endpoint", self.introspection_endpoint)?,
            userinfo_endpoint: check("userinfo_endpoint", self.userinfo_endpoint)?,
            pushed_authorization_request_endpoint: check(
                "pushed_authorization_request_endpoint",
                self.pushed_authorization_request_endpoint,
            )?,
            jwks_uri: check("jwks_uri", self.jwks_uri)?,
            require_pushed_authorization_requests: self.require_pushed_authorization_requests,
            authorization_response_iss_parameter_supported: self.authorization_response_iss_parameter_supported,
            code_challenge_methods_supported: self.code_challenge_methods_supported,
            token_endpoint_auth_methods_supported: self.token_endpoint_auth_methods_supported,
            grant_types_supported: self.grant_types_supported,
            prompt_values_supported: self.prompt_values_supported,
        })
    }
}

/// One address of a service. Plain `http` needs a loopback host, and a loopback issuer where there is an issuer: a
/// server elsewhere has no business on this machine's loopback.
fn address(service: &str, issuer: Option<&str>, field: &'static str, value: &str) -> Result<Url, ServiceError> {
    let bad = |cause| ServiceError::BadAddress { service: service.to_owned(), field, cause };
    let url = http::parse_url(value).map_err(bad)?;
    let issuer_is_local =
        issuer.is_none_or(|issuer| http::parse_url(issuer).is_ok_and(|issuer| http::is_loopback(&issuer)));
    if url.scheme() == "http" && !issuer_is_local {
        let host = url.host_str().unwrap_or_default().to_owned();
        return Err(bad(BadUrl::Insecure { scheme: "http".into(), host }));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeaderMap, Response};

    fn answering(document: &'static str) -> impl Http {
        move |_: Request| {
            Ok(Response {
                status: 200,
                headers: HeaderMap::new(),
                body: zeroize::Zeroizing::new(document.as_bytes().to_vec()),
            })
        }
    }

    fn service(issuer: &str) -> Service {
        Service::of_table("corp", ServiceTable { issuer: Some(issuer.to_owned()), ..ServiceTable::default() })
    }

    #[test]
    fn the_document_lies_in_three_places() {
        let places = metadata_places(&Url::parse("https://id.example/tenant/").unwrap());
        let places: Vec<&str> = places.iter().map(Url::as_str).collect();
        assert_eq!(
            places,
            [
                "https://id.example/tenant/.well-known/openid-configuration",
                "https://id.example/.well-known/oauth-authorization-server/tenant",
                "https://id.example/.well-known/openid-configuration/tenant",
            ]
        );
    }

    #[test]
    fn another_issuer_is_refused_to_the_last_slash() {
        let http = answering(r#"{"issuer":"https://id.example/","token_endpoint":"https://id.example/token"}"#);
        let error = service("https://id.example").metadata(&http).unwrap_err();
        assert!(matches!(error, ServiceError::OtherIssuer { .. }), "{error}");
    }

    #[test]
    fn unsafe_addresses_are_refused() {
        for token_endpoint in
            ["http://id.example/token", "http://127.0.0.1/token", "file:///etc/passwd", "https://u:p@id.example/"]
        {
            let document = format!(r#"{{"issuer":"https://id.example","token_endpoint":"{token_endpoint}"}}"#);
            let http = answering(document.leak());
            let error = service("https://id.example").metadata(&http).unwrap_err();
            assert!(
                matches!(error, ServiceError::BadAddress { field: "token_endpoint", .. }),
                "{token_endpoint}: {error}"
            );
        }
    }

    #[test]
    fn the_table_wins_over_the_document() {
        let http = answering(r#"{"issuer":"https://id.example","token_endpoint":"https://id.example/token"}"#);
        let mut service = service("https://id.example");
        service.table.token_endpoint = Some("https://login.example/token".into());
        assert_eq!(service.metadata(&http).unwrap().token_endpoint.unwrap().as_str(), "https://login.example/token");
    }
}
