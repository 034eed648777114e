//! Why a request was not answered as asked, as RFC 9457 has it: `application/problem+json`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::db::DbError;
use super::keeper::KeeperError;
use super::keys::KeyError;
use crate::credential::FieldError;
use crate::error::{Code, Failure, with_causes};
use crate::vault::VaultError;

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

    /// What stands at the server's own door.
    pub(crate) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the server cannot do this now; come back later")
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

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:lanyard:problem:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(object) = body.as_object_mut() {
            object.extend(self.more);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
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
            DbError::Shape => Self::internal(&failure),
            _ => {
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
        let detail = "the server cannot reach its secrets now; what is no secret can be read";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "secrets-unavailable", detail);
        problem.header(header::RETRY_AFTER, "5")
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
            VaultError::Elsewhere(_) => {
                tracing::error!(%failure, "the vault");
                Self::unavailable()
            }
            _ => Self::internal(&failure),
        }
    }
}
