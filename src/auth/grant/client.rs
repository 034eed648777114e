//! The OAuth client that lanyard is at a service, and how it proves itself (RFC 6749 section 2.3).

use crate::auth::service::{Metadata, Service};
use crate::http::{Request, Url};
use crate::secret::Secret;

/// The OAuth client that lanyard is at a service.
#[derive(Debug)]
pub struct Client {
    /// The client identifier.
    pub id: String,
    /// The client secret of a confidential client, or of a native one whose service insists.
    pub secret: Option<Secret>,
    /// How the secret is presented.
    pub method: AuthMethod,
}

/// How a client proves itself (OpenID Connect Core section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// A public client: only its identifier, in the form.
    None,
    /// Identifier and secret in a Basic header.
    Basic,
    /// Identifier and secret in the form.
    Post,
}

impl AuthMethod {
    /// The registered name.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// The method of that registered name; a name that is none of them means a public client.
    pub fn from_word(word: &str) -> Self {
        match word {
            "client_secret_basic" => Self::Basic,
            "client_secret_post" => Self::Post,
            _ => Self::None,
        }
    }
}

impl Client {
    /// The client for a service: the method is the configured one, else what the metadata offers, else Basic, which
    /// RFC 6749 section 2.3.1 obliges every server to take.
    pub fn new(service: &Service, metadata: &Metadata, id: String, secret: Option<Secret>) -> Self {
        let offered = metadata.token_endpoint_auth_methods_supported.as_deref();
        let offers = |method: AuthMethod| offered.is_none_or(|names| names.iter().any(|name| name == method.word()));
        let method = match (&secret, &service.table.token_endpoint_auth_method) {
            (None, _) => AuthMethod::None,
            (Some(_), Some(configured)) => AuthMethod::from_word(configured),
            (Some(_), None) if service.quirks.secret_in_form => AuthMethod::Post,
            (Some(_), None) if !offers(AuthMethod::Basic) && offers(AuthMethod::Post) => AuthMethod::Post,
            (Some(_), None) => AuthMethod::Basic,
        };
        Self { id, secret, method }
    }

    /// A form POST to `endpoint` that carries this client's proof.
    pub fn form(&self, endpoint: &Url, fields: &[(&str, &str)]) -> Request {
        let mut fields = fields.to_vec();
        match (&self.secret, self.method) {
            (Some(secret), AuthMethod::Basic) => Request::form(endpoint.clone(), &fields).basic(&self.id, secret),
            (Some(secret), AuthMethod::Post) => {
                fields.extend([("client_id", self.id.as_str()), ("client_secret", secret.expose())]);
                Request::form(endpoint.clone(), &fields)
            }
            _ => {
                fields.push(("client_id", self.id.as_str()));
                Request::form(endpoint.clone(), &fields)
            }
        }
    }
}
