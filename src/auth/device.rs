//! Sign-in by device code (RFC 8628): the person enters a short code in any browser while lanyard asks for the tokens.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::auth::grant::{self, Client, GrantError, TokenAnswer};
use crate::auth::service::{Metadata, Service, ServiceError};
use crate::auth::{Notice, Person, Reply};
use crate::error::{Code, Failure};
use crate::http::{Http, Request, Unreachable, Url};
use crate::secret::Secret;
use crate::text::clean;

/// The grant's name.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The pause between two polls where the service names none (RFC 8628 section 3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// What each `slow_down` adds to the pause, for good (section 3.5).
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// How often the person is looked at during a pause.
const GLANCE: Duration = Duration::from_millis(250);
/// A code lives at least this long in lanyard's eyes, and at most an hour, whatever the service says.
const LIFE: std::ops::RangeInclusive<u64> = 1..=3600;

/// What a device sign-in needs to know.
pub struct Ask<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its addresses.
    pub metadata: &'a Metadata,
    /// The OAuth client.
    pub client: &'a Client,
    /// The scopes to ask for.
    pub scopes: &'a [String],
    /// How long to wait for the person, where that is shorter than the code's life.
    pub limit: Option<Duration>,
}

/// Why a device sign-in gave no tokens.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The service offers no such sign-in.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service gave no code.
    #[error("the service gave no device code")]
    NoCode(#[source] GrantError),
    /// The address to visit is not one to send a person to.
    #[error("the address to enter the code at cannot be used")]
    BadAddress(#[source] ServiceError),
    /// The code expired, or the wait was limited.
    #[error("the code expired before it was used")]
    Expired,
    /// The person gave up.
    #[error("interrupted")]
    Cancelled,
    /// The service refused the tokens.
    #[error("the service gave no tokens")]
    Grant(#[source] GrantError),
}

impl Failure for DeviceError {
    fn code(&self) -> Code {
        match self {
            Self::Service(cause) => cause.code(),
            Self::NoCode(cause) | Self::Grant(cause) => cause.code(),
            Self::BadAddress(_) => Code::Failed,
            Self::Expired => Code::SignedOut,
            Self::Cancelled => Code::Interrupted,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Service(cause) => return cause.mend(),
            Self::NoCode(cause) | Self::Grant(cause) => return cause.mend(),
            Self::BadAddress(_) => "do not use this service before its operator has explained the address".into(),
            Self::Expired => "run `lanyard auth login --device` again and enter the new code in time".into(),
            Self::Cancelled => return None,
        })
    }
}

/// RFC 8628 section 3.2. Google calls the address `verification_url`.
#[derive(Deserialize)]
struct Authorization {
    device_code: Secret,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    #[serde(alias = "verification_url_complete")]
    verification_uri_complete: Option<String>,
    expires_in: Option<serde_json::Value>,
    interval: Option<serde_json::Value>,
}

/// Gets a code, has the person enter it, and polls until the service gives tokens or a final answer.
pub fn sign_in(
    ask: &Ask<'_>,
    http: &dyn Http,
    now: DateTime<Utc>,
    person: &mut Person<'_>,
) -> Result<TokenAnswer, DeviceError> {
    let (device, token) = offered(ask)?;
    let started = Instant::now();
    let code = request_code(ask, device, http)?;
    let address =
        ask.service.address_of("verification_uri", &code.verification_uri).map_err(DeviceError::BadAddress)?;
    // The address with the code in it is a convenience: one that cannot be used is left out.
    let complete = code
        .verification_uri_complete
        .as_deref()
        .and_then(|complete| ask.service.address_of("verification_uri_complete", complete).ok());
    let life = Duration::from_secs(number(code.expires_in.as_ref()).unwrap_or(900).clamp(*LIFE.start(), *LIFE.end()));
    let life = ask.limit.map_or(life, |limit| limit.min(life));
    let shown = Notice::EnterCode {
        url: &address,
        complete: complete.as_ref(),
        user_code: &clean(&code.user_code),
        expires_at: now + life,
    };
    if let Reply::Cancel = person(shown) {
        return Err(DeviceError::Cancelled);
    }
    let mut poll = Poll {
        interval: number(code.interval.as_ref()).map_or(INTERVAL, |seconds| Duration::from_secs(seconds.clamp(1, 300))),
        deadline: started + life,
    };
    let request = || ask.client.form(token, &[("grant_type", GRANT), ("device_code", code.device_code.expose())]);
    loop {
        poll.pause(person)?;
        match grant::request_tokens(http, request()) {
            Ok(tokens) => return Ok(tokens),
            Err(error) => poll.after(error)?,
        }
    }
}

fn offered<'a>(ask: &'a Ask<'_>) -> Result<(&'a Url, &'a Url), ServiceError> {
    let lacking = |what| ServiceError::NotOffered {
        service: ask.service.title().to_owned(),
        what,
        instead: "choose another way: `--web` or `--with-token`",
    };
    if ask.metadata.lacks_grant(GRANT) {
        return Err(lacking("sign-in by device code"));
    }
    let device =
        ask.metadata.device_authorization_endpoint.as_ref().ok_or_else(|| lacking("sign-in by device code"))?;
    let token = ask.metadata.token_endpoint.as_ref().ok_or_else(|| lacking("token endpoint"))?;
    Ok((device, token))
}

fn request_code(ask: &Ask<'_>, endpoint: &Url, http: &dyn Http) -> Result<Authorization, DeviceError> {
    let scopes = ask.scopes.join(" ");
    let mut fields = Vec::new();
    if !scopes.is_empty() {
        fields.push(("scope", scopes.as_str()));
    }
    if let Some(audience) = &ask.service.table.audience {
        fields.push(("audience", audience));
    }
    if let Some(resource) = &ask.service.table.resource {
        fields.push(("resource", resource));
    }
    let request: Request = ask.client.form(endpoint, &fields);
    grant::request_json(http, request).map_err(DeviceError::NoCode)
}

/// Some services send numbers as text.
fn number(value: Option<&serde_json::Value>) -> Option<u64> {
    match value? {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The pace of the questions.
struct Poll {
    interval: Duration,
    deadline: Instant,
}

impl Poll {
    /// Sleeps for one interval while the person can still give up and the code can still expire.
    fn pause(&self, person: &mut Person<'_>) -> Result<(), DeviceError> {
        let next = Instant::now() + self.interval;
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return Err(DeviceError::Expired);
            }
            if let Reply::Cancel = person(Notice::Waiting(self.deadline - now)) {
                return Err(DeviceError::Cancelled);
            }
            if now >= next {
                return Ok(());
            }
            std::thread::sleep(GLANCE.min(next - now));
        }
    }

    /// What an answer without tokens means for the next question (sections 3.5).
    fn after(&mut self, error: GrantError) -> Result<(), DeviceError> {
        match &error {
            GrantError::Refused { error: name, interval, .. } => match name.as_str() {
                "authorization_pending" => Ok(()),
                "slow_down" => {
                    let asked = interval.map(Duration::from_secs).unwrap_or_default();
                    self.interval = (self.interval + SLOW_DOWN).max(asked);
                    Ok(())
                }
                "expired_token" => Err(DeviceError::Expired),
                _ => Err(DeviceError::Grant(error)),
            },
            // Asking again would end at the same wrong place.
            GrantError::Unreachable(Unreachable::Redirect { .. } | Unreachable::Setup { .. }) => {
                Err(DeviceError::Grant(error))
            }
            // A lost answer is no answer: ask again, twice as slowly.
            GrantError::Unreachable(_) | GrantError::Trouble { .. } => {
                let asked = match &error {
                    GrantError::Trouble { retry_after: Some(seconds), .. } => Duration::from_secs(*seconds),
                    _ => Duration::ZERO,
                };
                self.interval =
                    (self.interval * 2).min(Duration::from_mins(1)).max(asked.min(Duration::from_secs(*LIFE.end())));
                Ok(())
            }
            _ => Err(DeviceError::Grant(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_in_trouble_is_left_alone_for_as_long_as_it_says() {
        let mut poll = Poll { interval: Duration::from_secs(5), deadline: Instant::now() };
        let mut after = |retry_after| {
            poll.after(GrantError::Trouble { status: 429, retry_after }).unwrap();
            poll.interval.as_secs()
        };
        assert_eq!([after(None), after(Some(7)), after(Some(90)), after(None)], [10, 20, 90, 60]);
        assert_eq!(after(Some(u64::MAX)), 3600);
    }
}
