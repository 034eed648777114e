//! Ending a sign-in: first at its service, then here. Between the two it may be over there and still be kept here, and
//! then its next renewal tells; the other way round it would live on there, and nobody would know of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lease::{Despite, Lease};
use super::refresh::By;
use super::{connector, not_connected, registration};
use crate::auth::revoke::{self, RevokeError};
use crate::credential::Credential;
use crate::server::bridge::blocking;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::vault::sign_in::{is_sign_in, session};
use crate::vault::VaultError;

/// So long is waited for whoever renews it just now.
const WAIT: Duration = Duration::from_secs(25);
const LOOK: Duration = Duration::from_millis(100);

/// How a sign-in ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There and here.
    AtTheService,
    /// The service has no way to end it.
    NotOffered,
    /// The service did not answer.
    Unreachable,
    /// The service did not want to.
    Refused,
}

impl Ended {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::AtTheService => "revoked",
            Self::NotOffered => "not-offered",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}

/// Ends the sign-in of a credential.
pub(crate) async fn end(server: &Arc<Server>, by: &By, id: &str) -> Answer<Ended> {
    let began = Instant::now();
    loop {
        let (who, which) = (by.clone(), id.to_owned());
        let turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
        if let Some(ended) = blocking(server, move |server| ended(server, &who, &which)).await? {
            return Ok(ended);
        }
        drop(turn);
        if began.elapsed() >= WAIT {
            return Err(Problem::changed());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// `None` where another is about it, or has been faster.
fn ended(server: &Server, by: &By, id: &str) -> Answer<Option<Ended>> {
    let vault = by.vault(server);
    let fetched = vault.fetched_sign_in(id)?;
    let taken = server.db.write(&by.scope, |rows| -> Answer<_> {
        let metadata = vault.row(rows, id)?.ok_or_else(Problem::not_found)?.metadata;
        if !is_sign_in(metadata.kind) || !metadata.secret_names.contains(Credential::SESSION) {
            return Err(not_connected());
        }
        let Some(lease) = Lease::take(rows, &by.scope, id, now(), Despite::Pause)? else { return Ok(None) };
        // It may have been renewed while the lease was waited for.
        let metadata = vault.row(rows, id)?.ok_or_else(Problem::not_found)?.metadata;
        match vault.whole_in(rows, &metadata, fetched.as_ref()) {
            // It was renewed since it was fetched.
            Err(VaultError::Changed { .. }) => {
                lease.end(rows)?;
                Ok(None)
            }
            whole => Ok(Some((lease, whole?))),
        }
    })?;
    let Some((lease, whole)) = taken else { return Ok(None) };
    let Some(mut session) = session(&whole)? else { return Ok(None) };
    let client_secret = whole.secret(Credential::CLIENT_SECRET);
    if let (Some(client), Some(secret)) = (&mut session.client, client_secret) {
        client.secret = Some(secret.duplicate());
    }
    let style = registration(&whole.metadata, None).revocation();
    let http = connector(server);
    let outcome = match revoke::revoke(&session, session.endpoints.revocation.as_ref(), style, &http) {
        Ok(()) => Ended::AtTheService,
        Err(failure) => {
            tracing::warn!(%failure, credential = id, "a sign-in was not ended at its service");
            match failure {
                RevokeError::NotOffered { .. } => Ended::NotOffered,
                RevokeError::Unreachable { .. } => Ended::Unreachable,
                RevokeError::Refused { .. } => Ended::Refused,
            }
        }
    };
    match vault.disconnect(&whole, outcome.word(), |rows| Ok(lease.end(rows)?)) {
        Ok(()) => Ok(Some(outcome)),
        Err(VaultError::Changed { .. }) => {
            server.db.write(&by.scope, |rows| lease.end(rows))?;
            Ok(None)
        }
        Err(failure) => Err(failure.into()),
    }
}
