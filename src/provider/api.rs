//! What providers with a plain web API have in common: where the API is, answers that say nothing about the credential,
//! names for what a rotation makes, and what to say where a credential can only be replaced by hand.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use super::{Net, Outcome, ProviderError, Rotation, Verdict};
use crate::credential::{Credential, Field, Metadata, Raw, rules};
use crate::http::{Request, Response, Unreachable, Url, below, header, parse_url};
use crate::os::Env;
use crate::secret::Reason;

/// The field of a kind whose provider has an API at an address that can be changed.
pub(super) const ENDPOINT: Field = Field::plain("endpoint", "Address of the API, where it is not the official one")
    .optional()
    .checked(rules::url, "https://api.example.com/v1");

/// Lists of what there is at a provider may be this long, in bytes.
pub(super) const LONG: usize = 4 << 20;
/// So many pages of such a list are read at most.
pub(super) const PAGES: usize = 100;

/// Where an API is: the credential's own address, else that of an official variable, else the official one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api {
    /// The variables of the official tools that name another address, the first first.
    pub(super) variables: &'static [&'static str],
    /// The official address.
    pub(super) official: &'static str,
}

impl Api {
    /// The address of `path` (with an optional query) below the API.
    pub(super) fn at(&self, metadata: &Metadata, env: &Env, path: &str) -> Result<Url, ProviderError> {
        let (name, text) = match metadata.field(ENDPOINT.name) {
            Some(own) => (ENDPOINT.name, own),
            None => self.variable(env).unwrap_or((ENDPOINT.name, self.official)),
        };
        let bad = |cause| ProviderError::BadEndpoint { name: name.to_owned(), cause };
        below(&parse_url(text).map_err(bad)?, path).map_err(bad)
    }

    /// The first of the variables that is set, and its value.
    pub(super) fn variable<'e>(&self, env: &'e Env) -> Option<(&'static str, &'e str)> {
        self.variables.iter().find_map(|name| Some((*name, env.var(name)?)))
    }

    /// Notes the address that a variable names as the credential's own, so that it goes nowhere else later.
    pub(super) fn fill(&self, raw: &mut Raw, env: &Env) -> Result<(), ProviderError> {
        if let Some((name, address)) = self.variable(env)
            && !raw.has(ENDPOINT.name)
        {
            parse_url(address).map_err(|cause| ProviderError::BadEndpoint { name: name.to_owned(), cause })?;
            raw.plain(ENDPOINT.name, address);
        }
        Ok(())
    }

    /// The host that the credential is sent to, with its port where it is not 443.
    pub(super) fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        host_at(metadata.field(ENDPOINT.name).unwrap_or(self.official)).into_iter().collect()
    }
}

/// The host of an address; `None` where it is no address that a secret is sent to.
pub(super) fn host_at(address: &str) -> Option<String> {
    host_of(&parse_url(address).ok()?)
}

/// The host of an address as allow-lists write it: in lower case, with its port where that is not 443.
pub(super) fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_lowercase();
    Some(match url.port_or_known_default() {
        None | Some(443) => host,
        Some(port) => format!("{host}:{port}"),
    })
}

/// What the documented body of a refusal is read as. `None` where the body is something else: such an answer comes
/// from a portal or a proxy on the way, and says nothing about the credential.
pub(super) fn refusal<T: DeserializeOwned>(answer: &Response) -> Option<T> {
    answer.json().ok()
}

/// Whether a 401 or a 403 is spoken as APIs speak: with a challenge, a JSON object, or no body at all. A page with a text
/// comes from a portal or a proxy on the way, and says nothing about the credential.
pub(super) fn is_spoken(answer: &Response) -> bool {
    answer.headers.contains_key(header::WWW_AUTHENTICATE)
        || answer.body.iter().all(u8::is_ascii_whitespace)
        || answer.json::<serde_json::Map<String, serde_json::Value>>().is_ok()
}

/// What to say of a status that says nothing about the credential, whatever the body is: asked too often, in trouble.
/// `reset` names the header that holds the second in which the provider counts anew.
pub(super) fn not_now(answer: &Response, title: &str, reset: &'static str) -> Option<Verdict> {
    if answer.status < 500 && answer.status != 429 {
        return None;
    }
    let mut verdict = Verdict::of_status(answer, title);
    if answer.status == 429 && answer.header(&header::RETRY_AFTER).is_none() {
        let second = answer.headers.get(reset).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if let Some(at) = second.and_then(|second| DateTime::from_timestamp(second, 0)) {
            verdict.next = Some(format!("test again after {} UTC", at.format("%H:%M:%S")));
        }
    }
    Some(verdict)
}

/// A refusal of what was to end by now is an end: several providers tell both in the same words.
pub(super) fn dated(verdict: Verdict, credential: &Credential, now: DateTime<Utc>) -> Verdict {
    match credential.metadata.expires {
        Some(at) if at <= now && verdict.outcome == Outcome::Invalid => Verdict {
            outcome: Outcome::Expired,
            reason: Some(format!("its time was over on {}", at.format("%Y-%m-%d at %H:%M UTC"))),
            expires: Some(at),
            ..verdict
        },
        _ => verdict,
    }
}

/// Sends a request with the credential's token on it.
pub(super) fn send_as(
    credential: &Credential,
    field: &'static str,
    mut request: Request,
    net: &Net<'_>,
) -> Result<Response, ProviderError> {
    let token = credential.secret(field).ok_or_else(|| missing(credential, field))?;
    request = request.bearer(token);
    Ok(net.http.send(request)?)
}

/// A field that every credential of the kind has is not there.
pub(super) fn missing(credential: &Credential, field: &'static str) -> ProviderError {
    ProviderError::Damaged { name: credential.metadata.name.clone(), field, problem: "it is not there" }
}

/// Why something was not made. After a refusal nothing was; after any other answer it may have been, and the next
/// rotation has to look.
pub(super) fn not_made(answer: &Response, at: &Url, verdict: Verdict) -> ProviderError {
    if (400..500).contains(&answer.status) {
        return verdict.into();
    }
    let cause = Reason(format!("what came with status {} tells nothing of what was made", answer.status));
    Unreachable::BrokenOff { origin: at.origin().ascii_serialization(), cause }.into()
}

/// The name of what a rotation makes, by which a later one finds what an interrupted one made and lost. `since` is when
/// the rotation began first.
pub(super) fn rotation_name(old: &str, since: DateTime<Utc>) -> String {
    let base = old.split_once(MARK).map_or(old, |(base, _)| base);
    let base: String = base.chars().take(80).collect();
    format!("{}{MARK}{})", base.trim_end(), since.format("%Y-%m-%dT%H:%M:%SZ"))
}

const MARK: &str = " (lanyard ";

/// When something ends that is to live as long as its predecessor was to.
pub(super) fn same_life(
    made: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let end = end?;
    match made {
        Some(made) if made < end => Some(now + (end - made)),
        _ => Some(end),
    }
}

/// The rotation of what its provider replaces in its own console alone: it says so, and how to go on.
pub(super) struct ByHand {
    /// Why there is no other way.
    pub(super) why: &'static str,
    /// How to go on.
    pub(super) mend: &'static str,
}

impl ByHand {
    fn refused(&self) -> ProviderError {
        ProviderError::CannotRotate { what: self.why.to_owned(), mend: self.mend.to_owned() }
    }
}

impl Rotation for ByHand {
    fn can(&self, _: &Metadata) -> Result<(), ProviderError> {
        Err(self.refused())
    }

    fn mint(&self, _: &Credential, _: Option<DateTime<Utc>>, _: &Net<'_>) -> Result<Raw, ProviderError> {
        Err(self.refused())
    }

    fn handle(&self, _: &Credential) -> Option<String> {
        None
    }

    fn retire(&self, _: &str, _: &Credential, _: &Net<'_>) -> Result<(), ProviderError> {
        Err(self.refused())
    }
}

#[cfg(test)]
pub(super) mod tests;
