//! One sign-in from the grant to the session: tokens, ID token, identity. Nothing is stored here.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::auth::grant::{self, Client, TokenAnswer};
use crate::auth::id_token::{self, Claims, Expected, IdTokenError};
use crate::auth::identity::{Asks, Facts, Identity};
use crate::auth::jwks::Keys;
use crate::auth::loopback::Redirect;
use crate::auth::service::{Metadata, Service};
use crate::auth::session::{Endpoints, Grant, Session};
use crate::auth::{Notice, Person, device, revoke, web};
use crate::error::{Code, Failure, Result};
use crate::http::Http;
use crate::secret::Secret;

/// How far the service's clock may be from ours before the person is told.
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// How far the service's clock is believed. With the minute that ID tokens are granted, that makes five.
const BELIEVED: TimeDelta = TimeDelta::minutes(4);

/// What a sign-in needs to know, whatever the way.
pub struct Login<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its addresses.
    pub metadata: &'a Metadata,
    /// The scopes to ask for.
    pub scopes: Vec<String>,
    /// The API's base address in force.
    pub endpoint: Option<&'a str>,
    /// The account that the profile is for.
    pub login_hint: Option<&'a str>,
    /// Whether another account than the one in the browser may be wanted.
    pub choose_account: bool,
}

/// A session that nobody has stored yet, and the browser that waits to hear about it.
pub struct Fresh {
    /// The session.
    pub session: Session,
    /// The browser's page, for a browser sign-in. Dropped, it says that the sign-in failed.
    pub page: Option<web::Page>,
}

/// Why tokens made no session.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The ID token does not hold.
    #[error("the ID token of {service} was refused")]
    IdToken {
        /// The service.
        service: String,
        /// Why.
        #[source]
        cause: IdTokenError,
    },
    /// The service sent no ID token although it was asked for one.
    #[error("{service} sent no ID token")]
    NoIdToken {
        /// The service.
        service: String,
    },
    /// The issuer publishes no keys.
    #[error("{service} publishes no keys to check its ID tokens with")]
    NoKeys {
        /// The service.
        service: String,
    },
}

impl Failure for LoginError {
    fn code(&self) -> Code {
        match self {
            Self::IdToken { cause, .. } => cause.code(),
            Self::NoIdToken { .. } | Self::NoKeys { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::IdToken { cause, .. } => cause.mend(),
            Self::NoIdToken { .. } => {
                Some("leave `openid` out with `--scopes` if the service is no OpenID provider".into())
            }
            Self::NoKeys { .. } => Some("set `jwks_uri` for the service".into()),
        }
    }
}

impl Login<'_> {
    /// Signs in through the browser.
    pub fn web(
        &self,
        client: Client,
        redirect: &Redirect,
        limit: Duration,
        http: &dyn Http,
        now: &dyn Fn() -> DateTime<Utc>,
        person: &mut Person<'_>,
    ) -> Result<Fresh> {
        let ask = web::Ask {
            service: self.service,
            metadata: self.metadata,
            client: &client,
            scopes: &self.scopes,
            login_hint: self.login_hint,
            choose_account: self.choose_account,
        };
        let signed = web::sign_in(&ask, redirect, limit, http, now(), person)?;
        let session = self.session(Grant::Web, client, signed.tokens, Some(&signed.nonce), http, now(), person)?;
        Ok(Fresh { session, page: Some(signed.page) })
    }

    /// Signs in by device code.
    pub fn device(
        &self,
        client: Client,
        limit: Option<Duration>,
        http: &dyn Http,
        now: &dyn Fn() -> DateTime<Utc>,
        person: &mut Person<'_>,
    ) -> Result<Fresh> {
        let ask = device::Ask {
            service: self.service,
            metadata: self.metadata,
            client: &client,
            scopes: &self.scopes,
            limit,
        };
        let tokens = device::sign_in(&ask, http, now(), person)?;
        let session = self.session(Grant::Device, client, tokens, None, http, now(), person)?;
        Ok(Fresh { session, page: None })
    }

    /// Makes a session of a pasted token. With `verify`, the service is asked first whose it is.
    pub fn token(&self, token: Secret, verify: bool, http: &dyn Http, now: DateTime<Utc>) -> Result<Fresh> {
        let asks = Asks::of(self.service, self.endpoint, self.metadata, None)?;
        let facts = if verify { asks.who(http, &token, None)?.unwrap_or_default() } else { Facts::default() };
        let session = Session {
            service: self.service.name.clone(),
            issuer: self.metadata.issuer.clone(),
            grant: Grant::Token,
            client: None,
            endpoints: self.endpoints(),
            access_token: token,
            refresh_token: None,
            id_token: None,
            issued_at: now,
            expires_at: facts.expires_at,
            scopes: facts.scopes.unwrap_or_default(),
            identity: facts.identity,
            login_needed: false,
            refused: false,
        };
        Ok(Fresh { session, page: None })
    }

    /// Makes a session of the tokens once it is clear whose they are. Tokens that are refused are given back.
    #[expect(clippy::too_many_arguments, reason = "what the token endpoint gave, and the doors to check it with")]
    pub(super) fn session(
        &self,
        grant: Grant,
        client: Client,
        tokens: TokenAnswer,
        nonce: Option<&str>,
        http: &dyn Http,
        now: DateTime<Utc>,
        person: &mut Person<'_>,
    ) -> Result<Session> {
        let skew = tokens.date.map_or(TimeDelta::zero(), |date| date - now);
        let mut session = Session {
            service: self.service.name.clone(),
            issuer: self.metadata.issuer.clone(),
            grant,
            client: Some(client),
            endpoints: self.endpoints(),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            id_token: tokens.id_token,
            issued_at: now,
            expires_at: tokens.expires_in.map(|life| now + life),
            scopes: tokens.scopes.unwrap_or_else(|| self.scopes.clone()),
            identity: Identity::default(),
            login_needed: false,
            refused: false,
        };
        self.warn(&session, skew, person);
        let checked_at = now + skew.clamp(-BELIEVED, BELIEVED);
        match self.who(&session, nonce, http, checked_at, person) {
            Ok(identity) => session.identity = identity,
            Err(failure) => {
                revoke::discard(&session, self.service.quirks.revocation, http);
                return Err(failure);
            }
        }
        Ok(session)
    }

    /// Tells what is no failure and should be known: a clock that is off, scopes that nobody asked for.
    fn warn(&self, session: &Session, skew: TimeDelta, person: &mut Person<'_>) {
        if skew.abs() > SKEW {
            let (minutes, direction) =
                (skew.num_minutes().abs(), if skew > TimeDelta::zero() { "behind" } else { "ahead of" });
            person(Notice::Warning(format!(
                "this machine's clock is {minutes} min {direction} the service's; set it right"
            )));
        }
        let unasked = |scope: &&String| !self.scopes.is_empty() && !self.scopes.contains(scope);
        let wider: Vec<&str> = session.scopes.iter().filter(unasked).map(String::as_str).collect();
        if !wider.is_empty() {
            person(Notice::Warning(format!("the service granted scopes that were not asked for: {}", wider.join(" "))));
        }
    }

    /// Whose the tokens are: by the ID token where there is one, and by what the service tells.
    fn who(
        &self,
        session: &Session,
        nonce: Option<&str>,
        http: &dyn Http,
        now: DateTime<Utc>,
        person: &mut Person<'_>,
    ) -> Result<Identity> {
        let wants_id_token = self.metadata.issuer.is_some() && self.scopes.iter().any(|scope| scope == "openid");
        let claims = match (&session.id_token, &session.client) {
            (Some(id_token), Some(client)) => self.claims(id_token, client, nonce, &session.access_token, http, now)?,
            _ if session.grant == Grant::Web && wants_id_token => {
                return Err(LoginError::NoIdToken { service: self.name() }.into());
            }
            _ => None,
        };
        self.identity(claims.as_ref(), &session.access_token, http, person)
    }

    /// The claims of an ID token that holds. Without an issuer to hold it against, an ID token says nothing.
    fn claims(
        &self,
        token: &Secret,
        client: &Client,
        nonce: Option<&str>,
        access_token: &Secret,
        http: &dyn Http,
        now: DateTime<Utc>,
    ) -> Result<Option<Claims>> {
        let Some(issuer) = &self.metadata.issuer else { return Ok(None) };
        let Some(jwks) = &self.metadata.jwks_uri else {
            return Err(LoginError::NoKeys { service: self.name() }.into());
        };
        let asked_openid = self.scopes.iter().any(|scope| scope == "openid");
        let expected = Expected {
            issuer,
            client_id: &client.id,
            nonce: nonce.filter(|_| asked_openid),
            access_token: Some(access_token),
            max_age: None,
            subject: None,
        };
        let keys = Keys::fetch(http, jwks)?;
        id_token::verify(token, &keys, &expected, now)
            .map(Some)
            .map_err(|cause| LoginError::IdToken { service: self.name(), cause }.into())
    }

    /// Who signed in: the API's word where there is an API, else the ID token's, else userinfo's.
    ///
    /// A service that verified who this is and cannot tell the name just now does not fail the sign-in.
    fn identity(
        &self,
        claims: Option<&Claims>,
        token: &Secret,
        http: &dyn Http,
        person: &mut Person<'_>,
    ) -> Result<Identity> {
        let subject = claims.map(|claims| claims.subject.as_str());
        let named = claims.and_then(|claims| {
            [&claims.email, &claims.preferred_username, &claims.name].into_iter().find_map(Clone::clone)
        });
        let asks = Asks::of(self.service, self.endpoint, self.metadata, None)?;
        let has_api = self.service.api().is_some_and(|api| api.whoami.is_some()) && self.endpoint.is_some();
        let told = if has_api || named.is_none() { asks.who(http, token, subject) } else { Ok(None) };
        let told = match told {
            Ok(facts) => facts.map(|facts| facts.identity),
            Err(error) if claims.is_some() && !error.is_rejection() => {
                person(Notice::Warning(format!("{error}; the account's name is missing")));
                None
            }
            Err(error) => return Err(error.into()),
        };
        let told = told.unwrap_or_default();
        Ok(Identity {
            subject: subject.map(str::to_owned).or(told.subject),
            account: told.account.or(named),
            account_id: told.account_id,
        })
    }

    fn endpoints(&self) -> Endpoints {
        Endpoints {
            token: self.metadata.token_endpoint.clone(),
            revocation: self.metadata.revocation_endpoint.clone(),
            introspection: self.metadata.introspection_endpoint.clone(),
            userinfo: self.metadata.userinfo_endpoint.clone(),
            jwks: self.metadata.jwks_uri.clone(),
        }
    }

    fn name(&self) -> String {
        self.service.title().to_owned()
    }
}

/// Makes a token that a person pasted fit to be stored: white space around it goes, what remains must be one line of
/// visible ASCII. The error never shows the value.
pub fn clean_token(pasted: &Secret) -> std::result::Result<Secret, PastedError> {
    let token = pasted.expose().trim();
    if token.is_empty() {
        return Err(PastedError::Empty);
    }
    if token.lines().count() > 1 {
        return Err(PastedError::ManyLines);
    }
    if token.len() > 64 << 10 {
        return Err(PastedError::TooLong);
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PastedError::NotVisible);
    }
    Ok(Secret::new(token.to_owned()))
}

/// Why a pasted text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PastedError {
    /// Nothing but white space.
    #[error("the token is empty")]
    Empty,
    /// More than one line.
    #[error("the token has more than one line")]
    ManyLines,
    /// Longer than any token.
    #[error("the token is longer than 64 KiB")]
    TooLong,
    /// White space, control characters or letters outside ASCII.
    #[error("the token holds white space, control characters or letters outside ASCII")]
    NotVisible,
}

impl Failure for PastedError {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some("copy the token again, alone: `lanyard auth login --with-token < FILE`".into())
    }
}

/// Whether two identities are the same account. Identifiers decide; names are compared only where one side has no
/// identifier, as in a profile written by hand.
pub fn same_account(profile_account: Option<&str>, profile_id: Option<&str>, identity: &Identity) -> bool {
    match (profile_id, profile_account) {
        (Some(id), _) => identity.account_id.as_deref() == Some(id) || identity.subject.as_deref() == Some(id),
        (None, Some(account)) => identity.account.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(account)),
        (None, None) => true,
    }
}

/// Splits a scope list from the command line or the configuration.
pub fn scopes(list: &str) -> Vec<String> {
    grant::words(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_token_is_trimmed_and_must_be_one_visible_line() {
        let clean = |text: &str| clean_token(&Secret::new(text.to_owned())).map(|token| token.expose().to_owned());
        assert_eq!(clean(" tok_1\r\n").unwrap(), "tok_1");
        assert_eq!(clean("\n\n"), Err(PastedError::Empty));
        assert_eq!(clean("one\ntwo"), Err(PastedError::ManyLines));
        assert_eq!(clean("one two"), Err(PastedError::NotVisible));
        assert_eq!(clean("t\u{f6}ken"), Err(PastedError::NotVisible));
        assert_eq!(clean(&"x".repeat(70_000)), Err(PastedError::TooLong));
    }

    #[test]
    fn an_account_is_the_same_by_its_identifier_else_by_its_name() {
        let identity = |account: Option<&str>, id: Option<&str>| Identity {
            subject: Some("sub".into()),
            account: account.map(str::to_owned),
            account_id: id.map(str::to_owned),
        };
        let alice = identity(Some("Alice@example.com"), Some("acc_1"));
        assert!(same_account(Some("old-name@example.com"), Some("acc_1"), &alice));
        assert!(same_account(None, Some("sub"), &alice));
        assert!(!same_account(Some("alice@example.com"), Some("acc_2"), &alice));
        assert!(same_account(Some("alice@example.com"), None, &alice));
        assert!(!same_account(Some("bob@example.com"), None, &alice));
        assert!(!same_account(Some("alice@example.com"), None, &identity(None, None)), "no name is no proof");
        assert!(same_account(None, None, &alice));
    }
}
