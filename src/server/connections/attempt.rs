//! One sign-in that was begun in the portal: the word that finds it again, and what is made of that word.
//!
//! The database has the hash of the word alone. The verifier and the nonce are codes of the word under a key of the
//! server's own: nobody who reads the database can finish a sign-in, and any server of several can.

use std::sync::Arc;

use axum::http::{StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use url::Url;

use super::refresh::By;
use super::{CALLBACK, cannot, connector, registration};
use crate::auth::hosted::Hosted;
use crate::auth::web::Attempt;
use crate::credential::{Credential, Metadata};
use crate::error::{Code, Failure, with_causes};
use crate::secret::Secret;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{DbError, OrgScope, Rows, values};
use crate::server::keys::KeyError;
use crate::server::portal::SignedIn;
use crate::server::problem::{Answer, Problem};
use crate::server::random;
use crate::server::state::{Server, now};
use crate::server::vault::sign_in::{is_sign_in, places};
use crate::vault::seal::Key;

/// A person has so long.
const LIFE: TimeDelta = TimeDelta::minutes(10);
/// The key that the codes are made with is made of one of the server's own for this.
const PURPOSE: &str = "connect";

/// A sign-in that goes on at its service.
pub(crate) struct Begun {
    /// What people call the service.
    pub(crate) service: String,
    /// Where it goes on.
    pub(crate) url: Url,
}

/// A sign-in that was begun, as it is found by the word that the service sends back.
pub(super) struct Known {
    pub(super) scope: OrgScope,
    pub(super) credential: String,
    pub(super) registration: String,
    pub(super) session: String,
    pub(super) person: String,
    pub(super) switches: bool,
    pub(super) is_over: bool,
    pub(super) is_spent: bool,
    /// The version of the server's own key whose secrets it has.
    key_version: i64,
}

/// Begins a sign-in for the session of somebody who may do so.
pub(crate) async fn begin(
    server: &Arc<Server>,
    by: &By,
    signed_in: &SignedIn,
    id: &str,
    switches: bool,
) -> Answer<Begun> {
    let (by, signed_in, id) = (by.clone(), signed_in.clone(), id.to_owned());
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(server, move |server| {
        let vault = by.vault(server);
        let metadata = vault.by_id(&id)?.ok_or_else(Problem::not_found)?.metadata;
        if !is_sign_in(metadata.kind) {
            return Err(Problem::not_found());
        }
        let whole = vault.whole(&metadata)?;
        let registered = registration(&metadata, whole.secret(Credential::CLIENT_SECRET));
        let http = connector(server);
        let state = random::base62(43)?.to_string();
        let made = Hosted::find(registered, &http).map_err(|failure| told(&failure)).and_then(|hosted| {
            let (version, key) = server.db.read(&by.scope, |rows| -> Result<_, KeyError> {
                let (version, own) = server.keys.own(rows)?;
                Ok((version, own.derived(PURPOSE).ok_or(KeyError::None)?))
            })?;
            let attempt = of_state(server, &key, &state);
            let url = hosted.address(&attempt, &http).map_err(|failure| told(&failure))?;
            Ok((Begun { service: hosted.title().to_owned(), url }, version))
        });
        let outcome = if made.is_ok() { Outcome::Done } else { Outcome::Failed };
        let event = Event { outcome, ..Event::done("credential.connect-begin", &id) };
        server.db.write(&by.scope, |rows| -> Answer<()> {
            if let Ok((_, version)) = made {
                insert(rows, &by.scope, &metadata, &signed_in, (&state, version), switches)?;
            }
            Ok(audit::append(rows, &server.keys, &by.scope, &by.actor, &event, now())?)
        })?;
        made.map(|(begun, _)| begun)
    })
    .await
}

fn insert(
    rows: &mut dyn Rows,
    scope: &OrgScope,
    metadata: &Metadata,
    signed_in: &SignedIn,
    (state, version): (&str, i64),
    switches: bool,
) -> Result<(), DbError> {
    rows.execute(
        "INSERT INTO connect_attempts (org, hash, credential, registration, session, person, switches, expires, \
         key_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        values![
            scope.id(),
            &hash(state),
            &metadata.id,
            &places(metadata),
            &signed_in.session,
            &signed_in.person.id,
            i64::from(switches),
            (now() + LIFE).timestamp_millis(),
            version,
        ],
    )
    .map(|_| ())
}

/// The sign-in that a word finds.
pub(super) fn find(rows: &mut dyn Rows, state: &str) -> Result<Option<Known>, DbError> {
    let one = "SELECT org, credential, registration, session, person, switches, expires, spent, key_version \
               FROM connect_attempts WHERE hash = $1";
    let Some(mut row) = rows.first(one, values![&hash(state)])? else { return Ok(None) };
    Ok(Some(Known {
        scope: OrgScope::of(row.text(0)?),
        credential: row.text(1)?,
        registration: row.text(2)?,
        session: row.text(3)?,
        person: row.text(4)?,
        switches: row.int(5)? != 0,
        is_over: row.int(6)? <= now().timestamp_millis(),
        is_spent: row.maybe_int(7)?.is_some(),
        key_version: row.int(8)?,
    }))
}

/// Spends it; `false` where somebody was faster.
pub(super) fn spend(rows: &mut dyn Rows, known: &Known, state: &str) -> Result<bool, DbError> {
    let once = "UPDATE connect_attempts SET spent = $3 WHERE org = $1 AND hash = $2 AND spent IS NULL";
    Ok(rows.execute(once, values![known.scope.id(), &hash(state), now().timestamp_millis()])? > 0)
}

/// The secrets of the sign-in that a word is of.
pub(super) fn again(server: &Server, known: &Known, state: &str) -> Answer<Attempt> {
    let key = server.db.read(&known.scope, |rows| server.keys.derived_of(rows, known.key_version, PURPOSE))?;
    Ok(of_state(server, &key, state))
}

fn of_state(server: &Server, key: &Key, state: &str) -> Attempt {
    let made = |purpose: &[u8]| URL_SAFE_NO_PAD.encode(key.code(&[purpose, state.as_bytes()]));
    let verifier = Secret::new(made(b"verifier"));
    Attempt::again(state.to_owned(), made(b"nonce"), verifier, server.address(CALLBACK))
}

fn hash(state: &str) -> Vec<u8> {
    Sha256::digest(state.as_bytes()).to_vec()
}

/// Why a sign-in cannot begin.
fn told(failure: &(dyn Failure + 'static)) -> Problem {
    if failure.code() != Code::Unreachable {
        return cannot(failure);
    }
    tracing::warn!(reason = with_causes(failure), "a sign-in did not begin");
    let why = format!("the service could not be asked: {failure}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "service-unreachable", why).header(header::RETRY_AFTER, "5")
}
