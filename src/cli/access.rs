//! The way to a profile's session: its service, its place in the secret store, and the token in force.

use std::time::Duration as Span;

use chrono::{DateTime, Utc};

use crate::auth::identity::Asks;
use crate::auth::renew::{self, RenewError, Renewal, Want};
use crate::auth::service::{self, Metadata, Service};
use crate::auth::session::{Place, Session};
use crate::cli::{Doors, store};
use crate::config::{Config, Profile, Source, schema};
use crate::error::{Code, Failure, Result};
use crate::http::{self, Http, Url};
use crate::os::files::Lock;
use crate::secret::{Secret, SecretStore};

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessError {
    /// The profile names no service.
    #[error("not signed in: profile {profile} has no service yet")]
    NoService {
        /// The profile.
        profile: String,
    },
    /// The stored session belongs to another service than the profile names now.
    #[error("the session of profile {profile} belongs to service {session}, and the profile names {service}")]
    OtherService {
        /// The profile.
        profile: String,
        /// The service of the session.
        session: String,
        /// The service of the profile.
        service: String,
    },
    /// There is no endpoint to send a request to.
    #[error("profile {profile} has no endpoint")]
    NoEndpoint {
        /// The profile.
        profile: String,
    },
    /// The endpoint in force is not the one that the stored session was issued for.
    #[error("the stored session is not sent to {origin}, which LANYARD_ENDPOINT names and the profile does not")]
    ForeignEndpoint {
        /// The origin in the variable.
        origin: String,
    },
    /// A token variable is in force, so nothing is written.
    #[error("{variable} is set, and while it is, lanyard {cannot}")]
    TokenInForce {
        /// The variable.
        variable: String,
        /// What is not done.
        cannot: &'static str,
    },
}

impl Failure for AccessError {
    fn code(&self) -> Code {
        match self {
            Self::NoService { .. } | Self::OtherService { .. } => Code::SignedOut,
            Self::NoEndpoint { .. } | Self::ForeignEndpoint { .. } => Code::Config,
            Self::TokenInForce { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::NoService { .. } => "lanyard auth login".into(),
            Self::OtherService { profile, .. } => format!("lanyard auth login --profile {profile}"),
            Self::NoEndpoint { profile } => {
                format!("lanyard config set {} https://…", schema::typed(&["profiles", profile, "endpoint"]))
            }
            Self::ForeignEndpoint { .. } => {
                "unset LANYARD_ENDPOINT, give the token for it in LANYARD_TOKEN, or set the profile's endpoint".into()
            }
            Self::TokenInForce { variable, .. } if variable.starts_with("--") => {
                format!("run the command again without {variable}")
            }
            Self::TokenInForce { variable, .. } => format!("unset {variable}, then run the command again"),
        })
    }
}

/// The token that a request carries, and where it comes from.
pub(super) enum Bearer {
    /// From a variable or a flag.
    Environment(Secret),
    /// From the profile's session.
    Session(Box<Session>),
}

impl Bearer {
    /// The token.
    pub(super) fn token(&self) -> &Secret {
        match self {
            Self::Environment(token) => token,
            Self::Session(session) => &session.access_token,
        }
    }
}

/// One profile with the doors to its session.
pub(super) struct Access<'a> {
    doors: &'a Doors<'a>,
    /// The configuration it stands in.
    pub(super) config: &'a Config,
    /// The profile as it is in force.
    pub(super) profile: &'a Profile,
    /// The place of its session.
    pub(super) place: Place,
    /// The store of its session.
    pub(super) store: Box<dyn SecretStore + 'a>,
}

impl<'a> Access<'a> {
    /// Opens nothing yet: the store answers at the first question.
    pub(super) fn new(doors: &'a Doors<'a>, config: &'a Config, profile: &'a Profile) -> Result<Self> {
        let store = store::open(doors, profile.storage.value)?;
        Ok(Self { doors, config, profile, place: Place::of(doors.env, &profile.name.value), store })
    }

    /// The network.
    pub(super) fn http(&self) -> &'a dyn Http {
        self.doors.http
    }

    /// The profile's service.
    pub(super) fn service(&self) -> Result<Service> {
        let Some(name) = &self.profile.service else {
            return Err(AccessError::NoService { profile: self.profile.name.value.clone() }.into());
        };
        Ok(service::find(self.config, &name.value)?)
    }

    /// The stored session as it is, or `None`.
    pub(super) fn stored(&self) -> Result<Option<Session>> {
        self.place.load(&*self.store)?.map(|session| self.own(session)).transpose()
    }

    /// The stored session, renewed as `want` asks.
    pub(super) fn session(&self, want: Want<'_>, patience: Span) -> Result<Session> {
        let now = || self.doors.env.now();
        let locks = self.doors.env.config_dir().join("locks");
        let renewal = Renewal {
            place: &self.place,
            store: &*self.store,
            http: self.doors.http,
            locks: &locks,
            now: &now,
            wait: patience,
        };
        let mut waiting = |holder: Option<u32>| self.tell_waiting(holder);
        if self.profile.service.is_none() && !self.profile.exists {
            return Err(RenewError::SignedOut { profile: self.profile.name.value.clone() }.into());
        }
        self.own(renewal.session(want, &mut waiting)?)
    }

    /// The lock under which the session is changed.
    pub(super) fn lock(&self) -> Result<Lock> {
        self.lock_of(&self.place)
    }

    /// The lock of another profile's session.
    pub(super) fn lock_of(&self, place: &Place) -> Result<Lock> {
        let path = self.doors.env.config_dir().join("locks").join(place.lock_name());
        let mut waiting = |holder: Option<u32>| self.tell_waiting(holder);
        Ok(Lock::acquire(&path, renew::WAIT, &mut waiting)?)
    }

    fn tell_waiting(&self, holder: Option<u32>) {
        self.doors.ui.note(&waiting_for(holder, "works on this session"));
    }

    /// The token in force: the environment's, else the session's, renewed if need be.
    pub(super) fn bearer(&self) -> Result<Bearer> {
        match &self.profile.token {
            Some(token) => Ok(Bearer::Environment(token.value.duplicate())),
            None => Ok(Bearer::Session(Box::new(self.session(Want::Fresh(None), renew::WAIT)?))),
        }
    }

    /// The token in force as it is, asking nobody.
    pub(super) fn stored_bearer(&self) -> Result<Bearer> {
        match (&self.profile.token, self.stored()) {
            (Some(token), _) => Ok(Bearer::Environment(token.value.duplicate())),
            (None, Ok(Some(session))) => Ok(Bearer::Session(Box::new(session))),
            (None, Ok(None)) => Err(RenewError::SignedOut { profile: self.profile.name.value.clone() }.into()),
            (None, Err(failure)) => Err(failure),
        }
    }

    /// The endpoint that a token may be sent to. A variable cannot send the stored session to a host that the profile
    /// does not name.
    pub(super) fn endpoint_for(&self, bearer: &Bearer) -> Result<Url> {
        let Some(endpoint) = &self.profile.endpoint else {
            return Err(AccessError::NoEndpoint { profile: self.profile.name.value.clone() }.into());
        };
        let url = self.parsed(&endpoint.value)?;
        if let (Bearer::Session(_), Source::Variable(_)) = (bearer, &endpoint.source) {
            let own = self.profile.own_endpoint().and_then(|own| http::parse_url(own).ok());
            if own.is_none_or(|own| own.origin() != url.origin()) {
                return Err(AccessError::ForeignEndpoint { origin: url.origin().ascii_serialization() }.into());
            }
        }
        Ok(url)
    }

    fn parsed(&self, endpoint: &str) -> Result<Url> {
        http::parse_url(endpoint).map_err(|cause| {
            crate::auth::identity::IdentityError::BadEndpoint { service: self.profile.name.value.clone(), cause }.into()
        })
    }

    /// Refuses to write while a token variable is in force.
    pub(super) fn refuse_token_in_force(&self, cannot: &'static str) -> Result<()> {
        match &self.profile.token {
            Some(token) => Err(AccessError::TokenInForce { variable: token.variable.clone(), cannot }.into()),
            None => Ok(()),
        }
    }

    /// A session of another service is not this profile's: its token must not reach this service.
    fn own(&self, session: Session) -> Result<Session> {
        match &self.profile.service {
            Some(service) if service.value != session.service => Err(AccessError::OtherService {
                profile: self.profile.name.value.clone(),
                session: session.service,
                service: service.value.clone(),
            }
            .into()),
            _ => Ok(session),
        }
    }
}

/// The addresses that a session remembers, over those that the service's table names.
pub(super) fn session_metadata(service: &Service, session: Option<&Session>) -> Result<Metadata> {
    let mut metadata = service.known_metadata()?;
    if let Some(session) = session {
        metadata.userinfo_endpoint = metadata.userinfo_endpoint.or_else(|| session.endpoints.userinfo.clone());
        metadata.introspection_endpoint =
            metadata.introspection_endpoint.or_else(|| session.endpoints.introspection.clone());
        metadata.revocation_endpoint = metadata.revocation_endpoint.or_else(|| session.endpoints.revocation.clone());
    }
    Ok(metadata)
}

/// Whom to ask about the token in force: the API at an endpoint that the token may be sent to. A token from a variable
/// goes to that origin alone, so an issuer elsewhere is not asked about it.
pub(super) fn asks<'s>(
    access: &Access<'_>,
    service: &'s Service,
    bearer: &'s Bearer,
    metadata: &Metadata,
) -> Result<Asks<'s>> {
    let endpoint = match access.endpoint_for(bearer) {
        Ok(endpoint) => Some(endpoint),
        Err(failure) if access.profile.endpoint.is_none() => {
            tracing::debug!(%failure, "the API is not asked");
            None
        }
        Err(failure) => return Err(failure),
    };
    let mut metadata = metadata.clone();
    let client = match bearer {
        Bearer::Session(session) => session.client.as_ref(),
        Bearer::Environment(_) => {
            let at_endpoint = |url: &Url| endpoint.as_ref().is_some_and(|endpoint| endpoint.origin() == url.origin());
            metadata.userinfo_endpoint = metadata.userinfo_endpoint.filter(at_endpoint);
            None
        }
    };
    Ok(Asks::of(service, endpoint.as_ref().map(Url::as_str), &metadata, client)?)
}

/// The line that says whom this process waits for.
pub(super) fn waiting_for(holder: Option<u32>, doing: &str) -> String {
    let who = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    format!("waiting for {who}, which {doing}")
}

/// `2026-12-31 (in 38 days)`: the day in UTC, and how far away it is.
pub(super) fn expiry(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let left = at - now;
    let count = |number: i64, unit: &str| format!("{number} {unit}{}", if number == 1 { "" } else { "s" });
    let span = left.abs();
    let far = if span.num_days() >= 1 {
        // Counted on the calendar, as a person does who reads the date beside it.
        count((at.date_naive() - now.date_naive()).num_days().abs(), "day")
    } else if span.num_hours() >= 1 {
        count(span.num_hours(), "hour")
    } else if span.num_minutes() >= 1 {
        count(span.num_minutes(), "minute")
    } else {
        count(span.num_seconds(), "second")
    };
    let when = if left.num_seconds() > 0 { format!("in {far}") } else { format!("{far} ago") };
    format!("{} ({when})", at.format("%Y-%m-%d"))
}
