//! A sign-in whose answer comes to a server: begun by one request and finished by another, which has nothing from the
//! first but what the browser brings back.

use chrono::{DateTime, Utc};

use crate::auth::grant::Client;
use crate::auth::login::Login;
use crate::auth::loopback::Query;
use crate::auth::presets::Revocation;
use crate::auth::service::{Metadata, Service, ServiceError};
use crate::auth::session::{Grant, Session};
use crate::auth::web::{Ask, Attempt, WebError, offered};
use crate::auth::{Notice, Reply};
use crate::config::ServiceTable;
use crate::error::Result;
use crate::http::{Http, Url};
use crate::secret::Secret;

/// What a client is registered as, and where.
#[derive(Debug, Default)]
pub struct Registration {
    /// The name of a built-in service, or a word of one's own for another.
    pub service: String,
    /// The issuer, where the service has one.
    pub issuer: Option<String>,
    /// Where one signs in, unless the issuer tells.
    pub authorization_endpoint: Option<String>,
    /// Where tokens come from, unless the issuer tells.
    pub token_endpoint: Option<String>,
    /// Where tokens are taken back, unless the issuer tells.
    pub revocation_endpoint: Option<String>,
    /// The base address of the service's API.
    pub endpoint: Option<String>,
    /// The client identifier.
    pub client_id: Option<String>,
    /// The secret of a confidential client.
    pub client_secret: Option<Secret>,
    /// The scopes to ask for; the service's usual ones where there are none.
    pub scopes: Vec<String>,
    /// The account that is expected back.
    pub account: Option<String>,
}

/// What came of a sign-in.
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// What is known of the service and of the account, by the names of the fields of a credential.
    pub described: Vec<(&'static str, String)>,
}

/// A service with a client that is registered there, ready to sign somebody in.
pub struct Hosted {
    service: Service,
    metadata: Metadata,
    client: Client,
    scopes: Vec<String>,
    account: Option<String>,
}

impl Registration {
    fn service(&self) -> Service {
        let table = ServiceTable {
            issuer: self.issuer.clone(),
            authorization_endpoint: self.authorization_endpoint.clone(),
            token_endpoint: self.token_endpoint.clone(),
            revocation_endpoint: self.revocation_endpoint.clone(),
            endpoint: self.endpoint.clone(),
            client_id: self.client_id.clone(),
            ..ServiceTable::default()
        };
        Service::of_table(&self.service, &table)
    }

    /// How tokens are taken back there.
    pub fn revocation(&self) -> Revocation {
        self.service().quirks.revocation
    }

    /// Where a person signs in and where tokens come from, as far as that is known without asking anybody. Refuses what
    /// cannot be signed in to.
    pub fn check(&self) -> std::result::Result<(), ServiceError> {
        let service = self.service();
        service.client_id()?;
        let known = service.known_metadata()?;
        let is_told =
            known.issuer.is_some() || (known.authorization_endpoint.is_some() && known.token_endpoint.is_some());
        if is_told {
            return Ok(());
        }
        Err(ServiceError::NotOffered {
            service: service.title().to_owned(),
            what: "address to sign in at",
            instead: "give its issuer, or its two addresses",
        })
    }
}

impl Hosted {
    /// Asks the service for its addresses, where they are not known.
    pub fn find(registration: Registration, http: &dyn Http) -> std::result::Result<Self, ServiceError> {
        registration.check()?;
        let service = registration.service();
        let metadata = service.metadata(http)?;
        let id = service.client_id()?.to_owned();
        let Registration { client_secret, scopes, account, .. } = registration;
        let client = Client::new(&service, &metadata, id, client_secret);
        let scopes = if scopes.is_empty() { service.scopes() } else { scopes };
        Ok(Self { service, metadata, client, scopes, account })
    }

    fn ask(&self) -> Ask<'_> {
        Ask {
            service: &self.service,
            metadata: &self.metadata,
            client: &self.client,
            scopes: &self.scopes,
            login_hint: self.account.as_deref(),
            choose_account: false,
        }
    }

    /// The name that people know the service by.
    pub fn title(&self) -> &str {
        self.service.title()
    }

    /// The address at which the person signs in.
    pub fn address(&self, attempt: &Attempt, http: &dyn Http) -> std::result::Result<Url, WebError> {
        let ask = self.ask();
        let (authorization, _) = offered(&ask)?;
        attempt.address(&ask, authorization, http)
    }

    /// The session that comes of the answer that the browser brings; `None` where it is none to this attempt.
    pub fn session(
        self,
        attempt: &Attempt,
        query: &str,
        http: &dyn Http,
        now: DateTime<Utc>,
    ) -> Result<Option<SignedIn>> {
        let Some(judged) = attempt.judge(&self.ask(), &Query::parse(query)) else { return Ok(None) };
        let code = judged?;
        let ask = self.ask();
        let (_, token) = offered(&ask).map_err(WebError::from)?;
        let tokens = attempt.exchange(&self.client, token, &code, http)?;
        let Self { service, metadata, client, scopes, account } = self;
        let serves_git = service.serves_git(&scopes);
        let login = Login {
            service: &service,
            metadata: &metadata,
            scopes,
            endpoint: service.table.endpoint.as_deref(),
            login_hint: account.as_deref(),
            choose_account: false,
        };
        let mut person = |notice: Notice<'_>| {
            if let Notice::Warning(warning) = notice {
                tracing::debug!(%warning, "a sign-in");
            }
            Reply::GoOn
        };
        let session = login.session(Grant::Web, client, tokens, Some(&attempt.nonce), http, now, &mut person)?;
        let described = service.described(&session, serves_git);
        Ok(Some(SignedIn { session, described }))
    }
}
