//! Requests that make something, sent again and carried out once: `Idempotency-Key`.
//!
//! What a key was used for is kept for a day, in the transaction of what was made: a code of the key and of the request,
//! which tell nothing of either, and the identifier of what was made. Never the answer, which may have a secret in it. A
//! request that failed has made nothing, and keeps nothing.

use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Json, Operation, Takes, json};
use crate::server::caller::Caller;
use crate::server::db::{Database, DbError, OrgScope, Reach, Rows, values};
use crate::server::keys::KeyError;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::vault::seal::Key;

/// The key that codes are made with is made of one of the server's own for this.
const PURPOSE: &str = "idempotency";
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// How long it is known what a key was used for.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// The longest key.
const LONGEST: usize = 255;

/// A body in JSON that makes something, with the key of the request.
pub(crate) struct Creation<T> {
    wanted: T,
    once: Once,
}

/// The key of a request, where it has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Once(Option<Asked>);

/// A key and what it is used for.
#[derive(Clone)]
struct Asked {
    server: Arc<Server>,
    scope: OrgScope,
    /// Whoever asks: one person does not learn what another has asked.
    owner: String,
    given: String,
    method: Method,
    path: String,
    body: Bytes,
}

impl fmt::Debug for Asked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is asked may have secrets in it.
        out.debug_struct("Asked").field("scope", &self.scope).field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl Asked {
    /// What is kept of the key and of the request.
    fn codes(&self, key: &Key) -> [[u8; 32]; 2] {
        let request = [b"request", self.method.as_str().as_bytes(), self.path.as_bytes(), &self.body];
        [key.code(&[b"key", self.given.as_bytes()]), key.code(&request)]
    }
}

impl<T> Creation<T> {
    /// The caller, who has the key from here on, and what they want made.
    pub(crate) fn of(self, caller: Caller) -> (Caller, T) {
        (Caller { once: self.once, ..caller }, self.wanted)
    }
}

impl Once {
    /// Keeps what was made, in the transaction that makes it. Of two with one key, the second fails here.
    pub(crate) fn keep(&self, rows: &mut dyn Rows, made: &str) -> Result<(), KeyError> {
        let Some(asked) = &self.0 else { return Ok(()) };
        let Asked { server, scope, owner, .. } = asked;
        let (_, own) = server.keys.own(rows)?;
        let [key, request] = &asked.codes(&own.derived(PURPOSE).ok_or(KeyError::None)?);
        let now = now();
        let over = "DELETE FROM idempotency_keys WHERE org = $1 AND owner = $2 AND key = $3 AND created < $4";
        rows.execute(over, values![scope.id(), owner, key, (now - KEPT).timestamp_millis()])?;
        rows.execute(
            "INSERT INTO idempotency_keys (org, owner, key, request, status, object, created) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            values![
                scope.id(),
                owner,
                key,
                request,
                i64::from(StatusCode::CREATED.as_u16()),
                made,
                now.timestamp_millis(),
            ],
        )?;
        Ok(())
    }

    /// Makes something, or answers with what was made when the same was asked before: `again` is given its identifier.
    pub(crate) fn carry_out<R>(
        &self,
        server: &Server,
        make: impl FnOnce() -> Answer<R>,
        again: impl FnOnce(&str) -> Answer<R>,
    ) -> Answer<R> {
        let id = match self.found(server)? {
            Some(id) => id,
            // Whoever came at the same time may have been faster: then theirs is the answer to both.
            None => match make() {
                Ok(answer) => return Ok(answer),
                Err(problem) => self.found(server)?.ok_or(problem)?,
            },
        };
        again(&id).map_err(|problem| {
            let is_gone = problem.status() == StatusCode::NOT_FOUND;
            let detail = "what this request made the first time is not there any more";
            if is_gone { Problem::new(StatusCode::GONE, "gone", detail) } else { problem }
        })
    }

    /// Whether what is asked was made by now. Where that cannot be found out, it was not.
    pub(crate) fn is_made(&self, server: &Server) -> bool {
        matches!(self.found(server), Ok(Some(_)))
    }

    /// What was made by the key, if it was used.
    fn found(&self, server: &Server) -> Answer<Option<String>> {
        let Some(asked) = &self.0 else { return Ok(None) };
        let Asked { scope, owner, .. } = asked;
        let known = "SELECT request, object FROM idempotency_keys \
                     WHERE org = $1 AND owner = $2 AND key = $3 AND created >= $4";
        let since = (now() - KEPT).timestamp_millis();
        let found = server.db.read(scope, |rows| -> Result<_, KeyError> {
            // The server's own key may have been replaced since.
            for key in server.keys.all_derived(rows, PURPOSE)? {
                let [key, request] = asked.codes(&key);
                if let Some(row) = rows.first(known, values![scope.id(), owner, &key, since])? {
                    return Ok(Some((row, request)));
                }
            }
            Ok(None)
        })?;
        let Some((mut row, request)) = found else { return Ok(None) };
        if row.bytes(0)? != request {
            let detail = "the Idempotency-Key was used for another request";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", detail));
        }
        Ok(Some(row.text(1)?))
    }
}

/// Removes what is over.
pub(crate) fn sweep(db: &Database, now: DateTime<Utc>) -> Result<(), DbError> {
    let over = "DELETE FROM idempotency_keys WHERE created < $1";
    db.write(Reach::Server, |rows| rows.execute(over, values![(now - KEPT).timestamp_millis()]).map(|_| ()))
}

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for Creation<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, server: &Arc<Server>) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        let given = given(&parts)?;
        let told = parts.extensions.get::<Caller>().map(|caller| (caller.scope.clone(), caller.actor.person.clone()));
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let body = json::bytes(Request::from_parts(parts, body), server).await?;
        let once = match (given, told) {
            (Some(given), Some((scope, owner))) => {
                let (server, body) = (Arc::clone(server), body.clone());
                Once(Some(Asked { server, scope, owner, given, method, path, body }))
            }
            _ => Once::default(),
        };
        Ok(Self { wanted: json::read(&body)?, once })
    }
}

/// The key that a request has.
fn given(parts: &Parts) -> Answer<Option<String>> {
    let bad = || Problem::bad(format!("an Idempotency-Key is one text of 1 to {LONGEST} printable characters"));
    let mut all = parts.headers.get_all(HEADER).iter();
    let Some(given) = all.next() else { return Ok(None) };
    let text = given.to_str().map_err(|_| bad())?;
    let is_good = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if is_good && all.next().is_none() { Ok(Some(text.to_owned())) } else { Err(bad()) }
}

impl<T: JsonSchema> Takes for Creation<T> {
    fn tell(told: &mut Operation<'_>) {
        let about = "The same key and request within 24 hours make nothing new: the answer shows what was made the first \
                     time, as it is now, without what is shown once.";
        let schema =
            json!({ "type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": "^[!-~]([ -~]*[!-~])?$" });
        told.parameter("header", "Idempotency-Key", false, about, &schema);
        <Json<T> as Takes>::tell(told);
        told.refuses("gone");
        told.refuses("key-reused");
    }
}
