//! Why a request was not answered as asked, as RFC 9457 has it: `application/problem+json`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::db::DbError;
use super::keeper::KeeperError;
use super::keys::KeyError;
use super::limits::seconds;
use super::metrics;
use super::vault::of_the_database;
use crate::credential::FieldError;
use crate::error::{Code, Failure, with_causes};
use crate::provider::Order;
use crate::vault::VaultError;

/// A problem that there is.
pub(crate) struct Known {
    /// Its code: the last part of its type, which never changes.
    pub(crate) word: &'static str,
    /// The status that it comes with.
    pub(crate) status: u16,
    /// What it means.
    pub(crate) meaning: &'static str,
}

const fn known(word: &'static str, status: u16, meaning: &'static str) -> Known {
    Known { word, status, meaning }
}

/// Every problem that there is.
pub(crate) const KINDS: &[Known] = &[
    known("bad-request", 400, "the request is not of the form that this takes"),
    known("duplicate-name", 400, "an object of the body names a member twice; `name` says which"),
    known("too-complex", 400, "the body is nested too deep, or has too many or too large parts"),
    known("unauthenticated", 401, "there is no token, or it does not count any more"),
    known("forbidden", 403, "the token may not do this"),
    known("past-the-proxy", 403, "the server is reached through its proxy alone"),
    known("guest", 403, "who came by an issuer changes no passphrase and no factor of somebody who has their own"),
    known("not-found", 404, "there is nothing at this address, or it is another organization's"),
    known("method", 405, "this address is not asked in this way"),
    known("name-taken", 409, "the name is taken"),
    known("last-way", 409, "nobody takes their last way to sign in away"),
    known("in-use", 409, "something uses it; `used_by` says what"),
    known("last-owner", 409, "an organization has one owner at least"),
    known("last-organization", 409, "a server has one organization at least"),
    known("not-connected", 409, "nobody has signed in for the credential, or it was disconnected"),
    known("needs-reconnecting", 409, "the service does not renew the sign-in any more"),
    known("gone", 410, "what the request made the first time is not there any more"),
    known("changed", 412, "it was changed by somebody else meanwhile"),
    known("too-long", 413, "the body is too long"),
    known("media-type", 415, "the body is of another type than this takes"),
    known("misdirected", 421, "the request was sent to a name that is not the server's"),
    known("invalid", 422, "the request is understood, and cannot be carried out"),
    known("bad-parameter", 422, "a parameter of the query is empty, or is not asked so; `parameter` says which"),
    known("bad-name", 422, "this cannot be a name"),
    known("no-project", 422, "there is no project of that name"),
    known("no-credential", 422, "a credential is not there, or is of another project"),
    known("too-large", 422, "the secrets are larger than the keeper of secrets takes"),
    known("order", 422, "a document says what to run, to read or to trust; `key` names where"),
    known("other-host", 422, "the credential is not for the host of the registry"),
    known("no-sign-in", 422, "the credential comes of no sign-in"),
    known("no-secrets", 422, "no secrets are stored for the credential"),
    known("cannot-be-asked", 422, "the server can ask nobody about the credential"),
    known("by-hand", 422, "a program does not do this for a person: it takes a sign-in"),
    known("key-reused", 422, "the `Idempotency-Key` was used for another request"),
    known("slow-down", 429, "too many attempts; `Retry-After` says when to come back"),
    known("too-often", 429, "too many requests by the rate that `rate` names; `Retry-After` says when to come back"),
    known("internal", 500, "the server failed; its log tells more"),
    known("does-not-open", 500, "what is stored does not open"),
    known("service-unreachable", 503, "the service of a sign-in did not answer"),
    known("renewing", 503, "another server is renewing the sign-in"),
    known("unavailable", 503, "the server cannot do this now"),
    known("secrets-unavailable", 503, "the keeper of secrets is sealed or away; what needs no secret goes on"),
    known("sealed", 503, "the server does not have its master key yet, and serves nobody until it does"),
    known("no-room", 507, "the disk of the server is full; nothing was done"),
];

/// Why a request was not answered as asked. Its texts are the program's own: no statement, no path, no value.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// The last part of the type, which never changes.
    kind: &'static str,
    detail: String,
    /// The input of a form that it is about, where it is about one.
    field: Option<String>,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, String)>,
}

/// The result of a handler.
pub(crate) type Answer<T> = Result<T, Problem>;

impl Problem {
    /// A problem of that status and type.
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), field: None, more: Map::new(), headers: Vec::new() }
    }

    /// The request is not of the form it should be.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// The request is understood and cannot be carried out.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// What is named as a project is none of the organization's.
    pub(crate) fn no_project() -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "no-project", "there is no project of that name").about("project")
    }

    /// There is no such thing, or it is another organization's: nobody learns which.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address")
    }

    /// Nobody is signed in.
    pub(crate) fn unauthenticated() -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "a valid token is needed");
        problem.header(header::WWW_AUTHENTICATE, "Bearer")
    }

    /// Whoever asks may not.
    pub(crate) fn forbidden(lacks: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", format!("the token lacks {lacks}"))
    }

    /// Somebody changed it meanwhile.
    pub(crate) fn changed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", "it was changed by somebody else meanwhile")
    }

    /// Too many tries.
    pub(crate) fn slow_down(seconds: i64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "slow-down", "too many attempts; come back later");
        problem.header(header::RETRY_AFTER, seconds.max(1).to_string())
    }

    /// Too many requests, by the rate of this name.
    pub(crate) fn too_often(rate: &'static str, wait: Duration) -> Self {
        let detail = format!("too many requests of this {rate}; come back later");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-often", detail).with("rate", rate);
        problem.header(header::RETRY_AFTER, seconds(wait).max(1).to_string())
    }

    /// Too many do the same.
    pub(crate) fn busy() -> Self {
        Self::unavailable().header(header::RETRY_AFTER, "5")
    }

    /// What stands at the server's own door.
    pub(crate) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the server cannot do this now; come back later")
    }

    /// The keeper of secrets is sealed or away.
    pub(crate) fn no_secrets() -> Self {
        let detail = "the server cannot reach its secrets now; what is no secret can be read";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "secrets-unavailable", detail);
        problem.header(header::RETRY_AFTER, "5")
    }

    /// The disk of the database is full.
    pub(crate) fn no_room() -> Self {
        tracing::error!("there is no room on the disk for the database");
        let detail =
            "there is no room on the disk of the server; nothing was done, and what was stored before is there";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "no-room", detail)
    }

    /// What went wrong inside. The reason is for the log.
    pub(crate) fn internal(reason: &(impl std::fmt::Display + ?Sized)) -> Self {
        tracing::error!(%reason, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log tells more")
    }

    /// Adds a member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same of one input.
    pub(crate) fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The input that it is about.
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// Why, in words without a full stop.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Its code.
    #[cfg(test)]
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// When to come back, in seconds, where it says that.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        let (_, value) = self.headers.iter().find(|(name, _)| *name == header::RETRY_AFTER)?;
        HeaderValue::from_str(value).ok()
    }
}

/// What a refusal says, until it is known which request it is of.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(pub(crate) Map<String, Value>);

impl Refusal {
    /// An answer that says it.
    pub(crate) fn answer(self, status: StatusCode, kind: &'static str) -> Response {
        let body = serde_json::to_string(&self.0).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, kind)], body).into_response();
        response.extensions_mut().insert(self);
        response
    }

    /// Writes the number of the request into a refusal, and that into the body of its answer.
    pub(crate) fn numbered(mut response: Response, number: &str) -> Response {
        let Some(Self(mut said)) = response.extensions_mut().remove::<Self>() else { return response };
        said.insert("request_id".into(), number.into());
        *response.body_mut() = Value::Object(said).to_string().into();
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut said = self.more;
        said.insert("type".into(), format!("urn:lanyard:problem:{}", self.kind).into());
        said.insert("code".into(), self.kind.into());
        said.insert("title".into(), self.status.canonical_reason().unwrap_or_default().into());
        said.insert("status".into(), self.status.as_u16().into());
        said.insert("detail".into(), self.detail.into());
        let mut response = Refusal(said).answer(self.status, "application/problem+json");
        let headers = response.headers_mut();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<DbError> for Problem {
    fn from(failure: DbError) -> Self {
        match failure {
            DbError::Taken => Self::new(StatusCode::CONFLICT, "name-taken", "the name is taken").about("name"),
            DbError::Zero => Self::invalid("a text with a zero byte in it is not kept"),
            DbError::Shape => Self::internal(&failure),
            DbError::Full => Self::no_room(),
            // Whoever tries again finds what is there by now.
            DbError::Twice(_) | DbError::Linked(_) => {
                tracing::warn!(%failure, "the same at the same moment");
                Self::unavailable().header(header::RETRY_AFTER, "1")
            }
            _ => {
                metrics::DATABASE_FAILURES.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%failure, "the database");
                Self::unavailable()
            }
        }
    }
}

impl From<KeyError> for Problem {
    fn from(failure: KeyError) -> Self {
        match failure {
            KeyError::Db(failure) => failure.into(),
            // Whoever asks was let in a moment before it was deleted.
            KeyError::Gone => Self::unauthenticated(),
            KeyError::Replaced => {
                tracing::error!(%failure, "the keys");
                Self::unavailable()
            }
            _ => Self::internal(&failure),
        }
    }
}

impl From<KeeperError> for Problem {
    fn from(failure: KeeperError) -> Self {
        (&failure).into()
    }
}

impl From<&KeeperError> for Problem {
    fn from(failure: &KeeperError) -> Self {
        if matches!(failure, KeeperError::TooLarge) {
            let detail = "the secrets are larger than the server's keeper of secrets takes";
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-large", detail);
        }
        tracing::error!(failure = with_causes(failure), "the keeper of secrets");
        Self::no_secrets()
    }
}

impl From<getrandom::Error> for Problem {
    fn from(failure: getrandom::Error) -> Self {
        Self::internal(&failure)
    }
}

impl From<FieldError> for Problem {
    fn from(failure: FieldError) -> Self {
        let problem = Self::invalid(failure.to_string());
        match failure {
            FieldError::Missing { field, .. } | FieldError::Malformed { field, .. } => {
                problem.about(format!("f-{field}"))
            }
            _ => problem,
        }
    }
}

/// What the keeper of secrets said, where it did.
fn of_the_keeper<'f>(failure: &'f (dyn Failure + 'static)) -> Option<&'f KeeperError> {
    let failure: &(dyn std::error::Error + 'static) = failure;
    failure.downcast_ref()
}

impl From<Order> for Problem {
    fn from(order: Order) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "order", order.to_string());
        let problem = problem.with("field", order.field);
        match order.key {
            Some(key) => problem.with("key", key),
            None => problem,
        }
    }
}

impl From<VaultError> for Problem {
    fn from(failure: VaultError) -> Self {
        match &failure {
            VaultError::Unknown { .. } => Self::not_found(),
            VaultError::Taken { .. } => {
                let detail = "there is a credential of that name already";
                Self::new(StatusCode::CONFLICT, "name-taken", detail).about("name")
            }
            VaultError::Changed { .. } => Self::changed(),
            VaultError::InUse { users, .. } => {
                let problem = Self::new(StatusCode::CONFLICT, "in-use", "the credential is in use");
                problem.with("used_by", users.clone())
            }
            VaultError::NoProject => Self::no_project(),
            VaultError::BadName => {
                let detail = "this cannot be the name of a credential";
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-name", detail).about("name")
            }
            VaultError::TooMuch(excess) => Self::invalid(excess.to_string()).about(excess.input()),
            VaultError::Order(order) => order.clone().into(),
            VaultError::DoesNotOpen { .. } => {
                tracing::error!(%failure, "integrity");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "does-not-open", "the secrets do not open")
            }
            VaultError::Circle { .. } | VaultError::Foreign { .. } | VaultError::Several { .. } => {
                Self::invalid(failure.to_string())
            }
            VaultError::Elsewhere(inner) if of_the_keeper(&**inner).is_some() => {
                of_the_keeper(&**inner).map_or_else(Self::unavailable, Self::from)
            }
            VaultError::Elsewhere(inner) if inner.code() == Code::Store => Self::internal(&failure),
            VaultError::Elsewhere(_) => match of_the_database(&failure) {
                Some(DbError::Full) => Self::no_room(),
                Some(DbError::Zero) => DbError::Zero.into(),
                _ => {
                    tracing::error!(%failure, "the vault");
                    Self::unavailable()
                }
            },
            _ => Self::internal(&failure),
        }
    }
}

#[cfg(test)]
mod tests;
