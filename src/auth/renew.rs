//! Renewing a session: one process at a time, stored before it is used (RFC 6749 section 6, RFC 9700 section 4.14.2).
//!
//! The order is what keeps a session alive under rotation: look; take the profile's lock; look again, since whoever
//! held the lock may have renewed; ask with the refresh token of the second look; put the new set into the store; only
//! then hand it out.

use std::path::Path;
use std::time::Duration as Span;

use chrono::{DateTime, Duration, Utc};

use crate::auth::grant::{self, GrantError};
use crate::auth::id_token;
use crate::auth::session::{Place, Session};
use crate::error::{Code, Failure};
use crate::http::Http;
use crate::os::files::{FileError, Lock};
use crate::secret::{Secret, SecretStore, StoreError};

/// How long a process waits for another that renews the same session.
pub const WAIT: Span = Span::from_secs(30);
/// The pauses before a renewed session is saved again, when the store stumbled.
const SAVE_PAUSES: [Span; 3] = [Span::from_millis(50), Span::from_millis(300), Span::from_secs(1)];
/// The longest pause that a service in trouble is granted before the second try.
const LONGEST_PAUSE: u64 = 10;

/// Why there is no usable session.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// The profile has no session.
    #[error("not signed in to profile {profile}")]
    SignedOut {
        /// The profile.
        profile: String,
    },
    /// There is no refresh token.
    #[error("{}: {service} gave nothing to renew it with", if *expired { "Token expired" } else { "the token cannot be renewed" })]
    NotRenewable {
        /// The profile.
        profile: String,
        /// The service.
        service: String,
        /// Whether the access token expired already.
        expired: bool,
    },
    /// The service ended the session: its refresh token is spent or revoked.
    #[error("Token expired, and {service} does not renew it any more")]
    LoginNeeded {
        /// The profile.
        profile: String,
        /// The service.
        service: String,
        /// What the service said, when it was asked just now.
        #[source]
        cause: Option<GrantError>,
    },
    /// The renewed tokens are somebody else's.
    #[error("{service} sent tokens of another account")]
    OtherAccount {
        /// The profile.
        profile: String,
        /// The service.
        service: String,
    },
    /// The renewal failed for another reason.
    #[error("the session could not be renewed")]
    Grant(#[source] GrantError),
    /// The secret store did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lock could not be had.
    #[error(transparent)]
    Lock(#[from] FileError),
}

impl Failure for RenewError {
    fn code(&self) -> Code {
        match self {
            Self::SignedOut { .. }
            | Self::NotRenewable { .. }
            | Self::LoginNeeded { .. }
            | Self::OtherAccount { .. } => Code::SignedOut,
            Self::Grant(cause) => cause.code(),
            Self::Store(cause) => cause.code(),
            Self::Lock(cause) => cause.code(),
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::SignedOut { profile }
            | Self::NotRenewable { profile, .. }
            | Self::LoginNeeded { profile, .. }
            | Self::OtherAccount { profile, .. } => Some(format!("lanyard auth login --profile {profile}")),
            // A renewal cannot give more than the person consented to (RFC 6749 section 6).
            Self::Grant(GrantError::Refused { error, .. }) if error == "invalid_scope" => {
                Some("sign in for more rights: `lanyard auth login --scopes …`".into())
            }
            Self::Grant(cause) => cause.mend(),
            Self::Store(cause) => cause.mend(),
            Self::Lock(cause) => cause.mend(),
        }
    }
}

/// What the caller needs of the session.
#[derive(Debug, Clone, Copy)]
pub enum Want<'a> {
    /// An access token with this much life left, or with the usual margin.
    Fresh(Option<Duration>),
    /// A new access token now, with these scopes where any are named.
    Renewed(&'a [String]),
}

/// The doors that a renewal goes through.
pub struct Renewal<'a> {
    /// Whose session.
    pub place: &'a Place,
    /// Where it rests.
    pub store: &'a dyn SecretStore,
    /// The network.
    pub http: &'a dyn Http,
    /// The folder of the lock files.
    pub locks: &'a Path,
    /// The clock.
    pub now: &'a dyn Fn() -> DateTime<Utc>,
    /// How long to wait for another process; zero fails at once.
    pub wait: Span,
}

impl Renewal<'_> {
    /// The profile's session as `want` asks for it, renewed if need be.
    ///
    /// `waiting` is told, once, the process that holds the lock when it is not free at once.
    pub fn session(&self, want: Want<'_>, waiting: &mut dyn FnMut(Option<u32>)) -> Result<Session, RenewError> {
        let seen = self.load()?;
        if let Want::Fresh(min_validity) = want
            && seen.is_fresh((self.now)(), min_validity)
        {
            return Ok(seen);
        }
        if !seen.is_renewable() {
            return self.without_renewal(seen, want);
        }
        let _lock = Lock::acquire(&self.lock_path(), self.wait, waiting)?;
        let current = self.load()?;
        let renewed_meanwhile = current.access_token != seen.access_token;
        let good_enough = match want {
            // A token that is as new as the service makes them need not be asked for again.
            Want::Fresh(min_validity) => {
                current.is_fresh((self.now)(), min_validity)
                    || (renewed_meanwhile && current.is_fresh((self.now)(), None))
            }
            Want::Renewed(scopes) => renewed_meanwhile && scopes.is_empty(),
        };
        if good_enough {
            return Ok(current);
        }
        if !current.is_renewable() {
            return self.without_renewal(current, want);
        }
        self.renew(current, want)
    }

    fn load(&self) -> Result<Session, RenewError> {
        self.place.load(self.store)?.ok_or_else(|| RenewError::SignedOut { profile: self.profile() })
    }

    fn profile(&self) -> String {
        self.place.profile.clone()
    }

    fn lock_path(&self) -> std::path::PathBuf {
        self.locks.join(self.place.lock_name())
    }

    /// What a session is worth that cannot be renewed: a token with some life left still serves.
    fn without_renewal(&self, session: Session, want: Want<'_>) -> Result<Session, RenewError> {
        match want {
            Want::Fresh(None) if !session.refused && !session.is_expired((self.now)()) => Ok(session),
            _ if session.login_needed => {
                Err(RenewError::LoginNeeded { profile: self.profile(), service: session.service, cause: None })
            }
            _ => {
                let expired = session.is_expired((self.now)());
                Err(RenewError::NotRenewable { profile: self.profile(), service: session.service, expired })
            }
        }
    }

    fn renew(&self, mut session: Session, want: Want<'_>) -> Result<Session, RenewError> {
        let scopes = match want {
            Want::Renewed(scopes) => scopes,
            Want::Fresh(_) => &[],
        };
        // A store that cannot be written must be known before the refresh token is spent.
        self.place.save(self.store, &session)?;
        match self.ask(&session, &scopes.join(" ")) {
            Ok(mut answer) => {
                if is_another_accounts(&answer, &session) {
                    return Err(RenewError::OtherAccount { profile: self.profile(), service: session.service });
                }
                if answer.scopes.is_none() && !scopes.is_empty() {
                    // What the service does not mention, it granted as asked (RFC 6749 section 5.1).
                    answer.scopes = Some(scopes.to_vec());
                }
                session.renew(answer, (self.now)());
                self.save(&session)?;
                Ok(session)
            }
            Err(error) if error.is_invalid_grant() => {
                session.login_needed = true;
                self.place.save(self.store, &session)?;
                if matches!(want, Want::Fresh(None)) && !session.refused && !session.is_expired((self.now)()) {
                    return Ok(session);
                }
                let service = session.service;
                Err(RenewError::LoginNeeded { profile: self.profile(), service, cause: Some(error) })
            }
            // The service is away for a moment, and the old token still lives.
            Err(error)
                if matches!(want, Want::Fresh(None))
                    && error.code() == Code::Unreachable
                    && !session.is_expired((self.now)()) =>
            {
                tracing::debug!(%error, "not renewed; the old token still lives");
                Ok(session)
            }
            Err(error) => Err(RenewError::Grant(error)),
        }
    }

    /// Keeps a renewed session. The old refresh token may be spent, so a store that stumbles is asked again.
    fn save(&self, session: &Session) -> Result<(), StoreError> {
        let mut saved = self.place.save(self.store, session);
        for pause in SAVE_PAUSES {
            if saved.is_ok() {
                break;
            }
            std::thread::sleep(pause);
            saved = self.place.save(self.store, session);
        }
        saved
    }

    /// Asks for new tokens; a second time when the first answer was lost.
    ///
    /// A server that rotates may have spent the refresh token with the lost answer. Asking again at once is the one
    /// way to keep the session: servers with a grace period send the successor again, and with a strict one the
    /// session was lost with the answer.
    fn ask(&self, session: &Session, scopes: &str) -> Result<grant::TokenAnswer, GrantError> {
        match ask_once(session, scopes, self.http) {
            Err(error) if error.is_unclear() => {
                let pause = match &error {
                    GrantError::Trouble { retry_after, .. } => retry_after.unwrap_or(1).clamp(1, LONGEST_PAUSE),
                    _ => 0,
                };
                tracing::debug!(%error, pause, "asking once more");
                std::thread::sleep(Span::from_secs(pause));
                ask_once(session, scopes, self.http)
            }
            other => other,
        }
    }
}

/// Asks the service once for new tokens, by the refresh token of a session, which stays as it is. Whoever gets an answer
/// holds it against [`is_another_accounts`], and keeps it before it is used.
pub fn ask_once(session: &Session, scopes: &str, http: &dyn Http) -> Result<grant::TokenAnswer, GrantError> {
    let missing = GrantError::BadField { field: "refresh_token", problem: "it is missing" };
    let (Some(client), Some(endpoint), Some(refresh)) =
        (&session.client, &session.endpoints.token, &session.refresh_token)
    else {
        return Err(missing);
    };
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh.expose())];
    if !scopes.is_empty() {
        fields.push(("scope", scopes));
    }
    grant::request_tokens(http, client.form(endpoint, &fields))
}

/// Whether renewed tokens are of another account, as their ID token says.
pub fn is_another_accounts(answer: &grant::TokenAnswer, session: &Session) -> bool {
    answer.id_token.as_ref().is_some_and(|token| !continues(token, session))
}

/// Whether the ID token of a renewal speaks of the same account, issuer and client (OpenID Connect Core section 12.2).
///
/// Its signature is not checked: it came straight from the token endpoint that the session is pinned to (section
/// 3.1.3.7, item 6), and asking for keys first would leave the new refresh token unstored for longer.
fn continues(token: &Secret, session: &Session) -> bool {
    let Some(claims) = id_token::unverified_claims(token) else { return false };
    let says = |claim: &str, expected: Option<&str>| expected.is_none_or(|expected| claims[claim] == expected);
    let audience = |client: &str| {
        claims["aud"] == client || claims["aud"].as_array().is_some_and(|all| all.iter().any(|one| one == client))
    };
    says("sub", session.identity.subject.as_deref())
        && says("iss", session.issuer.as_deref())
        && session.client.as_ref().is_none_or(|client| audience(&client.id))
}

#[cfg(test)]
mod tests;
