//! A service's addresses and abilities, and the document that it publishes them in.

use serde::Deserialize;

use super::ServiceError;
use crate::http::{self, BadUrl, Http, Request, Url};

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

pub(super) fn discover(service: &str, issuer: &str, http: &dyn Http) -> Result<Metadata, ServiceError> {
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
pub(super) fn metadata_places(issuer: &Url) -> Vec<Url> {
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
pub(super) fn address(
    service: &str,
    issuer: Option<&str>,
    field: &'static str,
    value: &str,
) -> Result<Url, ServiceError> {
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
