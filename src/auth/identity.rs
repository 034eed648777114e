//! Who a token belongs to, asked of the service: its API, its userinfo endpoint, or introspection (RFC 7662).

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::auth::grant::{self, Client, GrantError};
use crate::auth::service::{Metadata, Service};
use crate::auth::session::is_of_a_clock;
use crate::config::ApiTable;
use crate::error::{Code, Failure};
use crate::http::{self, BadUrl, Http, Malformed, Request, Response, Unreachable, Url};
use crate::secret::Secret;
use crate::text::clean;

/// The person or robot behind a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The `sub` of a verified ID token or of the userinfo endpoint.
    pub subject: Option<String>,
    /// The name a person knows the account by: an e-mail address or a login.
    pub account: Option<String>,
    /// The service's own identifier of the account.
    pub account_id: Option<String>,
}

impl Identity {
    /// The account's identifier: the API's, else the subject.
    pub fn id(&self) -> Option<&str> {
        self.account_id.as_deref().or(self.subject.as_deref())
    }

    /// The name to show: the account's, else its identifier.
    pub fn name(&self) -> Option<&str> {
        self.account.as_deref().or(self.id())
    }
}

/// What a service tells about a token. A field it does not tell is `None`.
#[derive(Debug, Default)]
pub struct Facts {
    /// Who it belongs to.
    pub identity: Identity,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was issued.
    pub issued_at: Option<DateTime<Utc>>,
    /// Its scopes.
    pub scopes: Option<Vec<String>>,
    /// Whom it is meant for.
    pub audience: Option<Vec<String>>,
    /// Who issued it.
    pub issuer: Option<String>,
}

/// Why a service would not tell.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The token is not valid: 401, or introspection says inactive.
    #[error("Invalid authentication token: {service} does not accept it")]
    Rejected {
        /// The service.
        service: String,
        /// Where a person makes a new one.
        token_page: Option<String>,
    },
    /// The token is valid and may not ask: 403.
    #[error("the token may not read the account at {service}")]
    Forbidden {
        /// The service.
        service: String,
    },
    /// No answer came.
    #[error("{service} cannot be asked about the token")]
    Unreachable {
        /// The service.
        service: String,
        /// Why.
        #[source]
        cause: Unreachable,
    },
    /// The service is in trouble, or the path is wrong.
    #[error("{service} answered {status} when asked about the token")]
    Status {
        /// The service.
        service: String,
        /// The status.
        status: u16,
    },
    /// The answer is not what the table says it is.
    #[error("the answer of {service} about the token is not what it should be")]
    Malformed {
        /// The service.
        service: String,
        /// Where the text went wrong.
        #[source]
        cause: Option<Malformed>,
    },
    /// The userinfo endpoint speaks of somebody else (OpenID Connect Core section 5.3.2).
    #[error("{service} says that the token belongs to another subject than the ID token does")]
    OtherSubject {
        /// The service.
        service: String,
    },
    /// The endpoint in force is no address.
    #[error("the endpoint of {service} cannot be used")]
    BadEndpoint {
        /// The service.
        service: String,
        /// What is wrong with it.
        #[source]
        cause: BadUrl,
    },
}

impl IdentityError {
    /// Whether the service itself said that the token is no good.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::OtherSubject { .. })
    }
}

impl Failure for IdentityError {
    fn code(&self) -> Code {
        match self {
            Self::Rejected { .. } | Self::OtherSubject { .. } => Code::Invalid,
            Self::Forbidden { .. } => Code::Forbidden,
            Self::Unreachable { .. } | Self::Status { .. } | Self::Malformed { .. } => Code::Unreachable,
            Self::BadEndpoint { .. } => Code::Config,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Rejected { token_page: Some(page), .. } => {
                format!("get a new token at {page}, then `lanyard auth login --with-token`")
            }
            Self::Rejected { .. } => {
                "get a new token from the service, or sign in again in the browser: `lanyard auth login --web`".into()
            }
            Self::Forbidden { .. } => "sign in again with more rights: `lanyard auth login --scopes …`".into(),
            Self::Unreachable { cause, .. } => return cause.mend(),
            Self::Status { .. } | Self::Malformed { .. } => {
                "check the endpoint and [services.NAME.api]; `--no-verify` stores a token without asking".into()
            }
            Self::OtherSubject { .. } => "do not use this service before its operator has explained this".into(),
            Self::BadEndpoint { .. } => "correct it: `lanyard config set profiles.NAME.endpoint https://…`".into(),
        })
    }
}

/// The ways in which a service can be asked about a token, best first. Made by [`Asks::of`].
#[derive(Debug)]
pub struct Asks<'a> {
    service: &'a Service,
    api: Option<(&'a ApiTable, Url)>,
    userinfo: Option<Url>,
    introspection: Option<(Url, &'a Client)>,
}

impl<'a> Asks<'a> {
    /// The ways that a service has. `endpoint` is the API's base address in force, `client` the OAuth client that may
    /// introspect.
    pub fn of(
        service: &'a Service,
        endpoint: Option<&str>,
        metadata: &Metadata,
        client: Option<&'a Client>,
    ) -> Result<Self, IdentityError> {
        let api = service.api().filter(|api| api.whoami.is_some());
        let endpoint = match (api, endpoint) {
            (Some(_), Some(endpoint)) => Some(
                http::parse_url(endpoint)
                    .map_err(|cause| IdentityError::BadEndpoint { service: service.name.clone(), cause })?,
            ),
            _ => None,
        };
        Ok(Self {
            service,
            api: api.zip(endpoint),
            userinfo: metadata.userinfo_endpoint.clone(),
            introspection: metadata.introspection_endpoint.clone().zip(client),
        })
    }

    /// Asks whose token this is, of the first that can tell. `None` where there is nobody to ask.
    ///
    /// `subject` is the one of a verified ID token; a userinfo endpoint that names another is not believed.
    pub fn who(&self, http: &dyn Http, token: &Secret, subject: Option<&str>) -> Result<Option<Facts>, IdentityError> {
        if let Some((api, endpoint)) = &self.api {
            return self.ask_api(http, api, endpoint, token).map(Some);
        }
        if let Some(userinfo) = &self.userinfo {
            return self.ask_userinfo(http, userinfo, token, subject).map(Some);
        }
        self.introspect(http, token)
    }

    /// Asks the introspection endpoint, where there is one and a client that may.
    pub fn introspect(&self, http: &dyn Http, token: &Secret) -> Result<Option<Facts>, IdentityError> {
        let Some((endpoint, client)) = &self.introspection else { return Ok(None) };
        let request = client.form(endpoint, &[("token", token.expose()), ("token_type_hint", "access_token")]);
        let told: Introspection = grant::request_json(http, request).map_err(|error| match error {
            GrantError::Unreachable(cause) => IdentityError::Unreachable { service: self.name(), cause },
            GrantError::Trouble { status, .. } | GrantError::Malformed { status, .. } => {
                IdentityError::Status { service: self.name(), status }
            }
            GrantError::Refused { .. } | GrantError::BadField { .. } => {
                IdentityError::Forbidden { service: self.name() }
            }
        })?;
        if !told.active {
            return Err(self.rejected());
        }
        Ok(Some(Facts {
            identity: Identity {
                subject: told.sub.map(|sub| clean(&sub)),
                account: told.username.map(|name| clean(&name)),
                account_id: None,
            },
            expires_at: told.exp.and_then(instant),
            issued_at: told.iat.and_then(instant),
            scopes: told.scope.as_deref().map(grant::words),
            audience: told.aud.and_then(|audience| string_list(&audience)),
            issuer: told.iss.map(|issuer| clean(&issuer)),
        }))
    }

    fn ask_api(&self, http: &dyn Http, api: &ApiTable, endpoint: &Url, token: &Secret) -> Result<Facts, IdentityError> {
        let path = api.whoami.as_deref().unwrap_or_default();
        let url =
            http::below(endpoint, path).map_err(|cause| IdentityError::BadEndpoint { service: self.name(), cause })?;
        let answer = self.get(http, url, token)?;
        let value: Value = self.json(&answer)?;
        let at = |pointer: &Option<String>| pointer.as_deref().and_then(|pointer| value.pointer(pointer));
        // GitHub tells a classic token's scopes in a header of the same answer.
        let header_scopes =
            answer.headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok()).map(grant::words);
        Ok(Facts {
            identity: Identity {
                subject: None,
                account: at(&api.account).and_then(scalar),
                account_id: at(&api.account_id).and_then(scalar),
            },
            expires_at: at(&api.expires_at).and_then(date),
            scopes: at(&api.scopes).and_then(string_list).or(header_scopes),
            ..Facts::default()
        })
    }

    fn ask_userinfo(
        &self,
        http: &dyn Http,
        url: &Url,
        token: &Secret,
        subject: Option<&str>,
    ) -> Result<Facts, IdentityError> {
        let answer = self.get(http, url.clone(), token)?;
        let told: UserInfo = self.json(&answer)?;
        if let Some(expected) = subject
            && told.sub.as_deref() != Some(expected)
        {
            return Err(IdentityError::OtherSubject { service: self.name() });
        }
        let account = [told.email, told.preferred_username, told.name]
            .into_iter()
            .flatten()
            .map(|name| clean(&name))
            .find(|name| !name.is_empty());
        Ok(Facts {
            identity: Identity { subject: told.sub.map(|sub| clean(&sub)), account, account_id: None },
            ..Facts::default()
        })
    }

    fn get(&self, http: &dyn Http, url: Url, token: &Secret) -> Result<Response, IdentityError> {
        let answer = http
            .send(Request::get(url).bearer(token))
            .map_err(|cause| IdentityError::Unreachable { service: self.name(), cause })?;
        match answer.status {
            200..=299 => Ok(answer),
            401 => Err(self.rejected()),
            403 => Err(IdentityError::Forbidden { service: self.name() }),
            status => Err(IdentityError::Status { service: self.name(), status }),
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&self, answer: &Response) -> Result<T, IdentityError> {
        answer.json().map_err(|cause| IdentityError::Malformed { service: self.name(), cause: Some(cause) })
    }

    fn rejected(&self) -> IdentityError {
        let token_page = self.service.api().and_then(|api| api.token_page.clone());
        IdentityError::Rejected { service: self.name(), token_page }
    }

    fn name(&self) -> String {
        self.service.title().to_owned()
    }
}

/// RFC 7662 section 2.2.
#[derive(Deserialize)]
struct Introspection {
    active: bool,
    sub: Option<String>,
    username: Option<String>,
    scope: Option<String>,
    exp: Option<f64>,
    iat: Option<f64>,
    aud: Option<Value>,
    iss: Option<String>,
}

/// OpenID Connect Core section 5.3.2, what lanyard shows of it.
#[derive(Deserialize)]
struct UserInfo {
    sub: Option<String>,
    email: Option<String>,
    preferred_username: Option<String>,
    name: Option<String>,
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(clean(text)).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn string_list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(grant::words(text)),
        Value::Array(items) => Some(items.iter().filter_map(scalar).collect()),
        _ => None,
    }
}

fn date(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|date| date.to_utc()).filter(is_of_a_clock),
        Value::Number(number) => instant(number.as_f64()?),
        _ => None,
    }
}

/// Seconds since 1970 as a date; `None` for what no clock shows.
pub fn instant(seconds: f64) -> Option<DateTime<Utc>> {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and the extremes are refused")]
    DateTime::from_timestamp(seconds as i64, 0).filter(is_of_a_clock)
}
