//! One exchange with AWS: signed, tried again where the clock or a hasty second request may be to blame, and what a
//! refusal means.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::endpoint::{self, Place, Service};
use super::sign::{Keys, Scope, sign};
use crate::credential::Material;
use crate::http::{HeaderName, HeaderValue, Request, Response, header};
use crate::provider::{Net, Outcome, ProviderError, Verdict};
use crate::text::clean;

/// What a person calls it.
pub(super) const TITLE: &str = "AWS";
/// AWS takes signatures of the last few minutes alone. A clock that is further off than this may be why it refused.
const SKEW: TimeDelta = TimeDelta::minutes(1);
/// So long after a request with a wrong secret the right one of the same id may be refused as well.
const PAUSE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(5) };

/// With what, and where, a service is asked.
#[derive(Clone, Copy)]
pub(super) struct Door<'a> {
    /// The keys that sign.
    pub(super) keys: &'a Material,
    /// The service.
    pub(super) service: Service,
    /// The region, where one was chosen.
    pub(super) region: Option<&'a str>,
    /// The address that the credential names, where it does.
    pub(super) endpoint: Option<&'a str>,
}

/// The version of each service's interface that is spoken ("query" protocol: a form goes out, XML comes back).
fn version(service: Service) -> &'static str {
    if service == Service::Iam { "2010-05-08" } else { "2011-06-15" }
}

/// A request of the query protocol, not signed yet.
pub(super) fn form(place: &Place, service: Service, action: &str, parameters: &[(&str, &str)]) -> Request {
    let fixed = [("Action", action), ("Version", version(service))];
    let mut request = Request::form(place.url.clone(), &[&fixed, parameters].concat());
    request
        .headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
    // XML is the documented answer.
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    request
}

/// Asks a service of the query protocol. Whatever it answers is an answer.
pub(super) fn ask(
    door: Door<'_>,
    action: &str,
    parameters: &[(&str, &str)],
    net: &Net<'_>,
) -> Result<Response, ProviderError> {
    let place = endpoint::place(door.service, door.region, door.endpoint, net.env)?;
    exchange(door, &place, &|| form(&place, door.service, action, parameters), net)
}

/// Asks a service of the JSON protocol (version 1.1) for something that takes no parameters.
pub(super) fn ask_json(door: Door<'_>, target: &'static str, net: &Net<'_>) -> Result<Response, ProviderError> {
    let place = endpoint::place(door.service, door.region, door.endpoint, net.env)?;
    let make = || {
        let mut request = Request::post_json(place.url.clone(), "{}");
        request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        request.headers.insert(HeaderName::from_static("x-amz-target"), HeaderValue::from_static(target));
        request
    };
    exchange(door, &place, &make, net)
}

/// Signs and sends, a second time where the first may have been refused for a reason that is none of the keys'.
fn exchange(
    door: Door<'_>,
    place: &Place,
    make: &dyn Fn() -> Request,
    net: &Net<'_>,
) -> Result<Response, ProviderError> {
    let scope = Scope { region: &place.region, service: door.service.name() };
    let send = |at: DateTime<Utc>| {
        let signed = Keys::of(door.keys).and_then(|keys| sign(make(), keys, scope, at));
        Ok::<_, ProviderError>(net.http.send(signed.ok_or_else(unsignable)?)?)
    };
    let answer = send(net.now)?;
    if !Refusal::of(&answer).is_some_and(|refusal| refusal.may_be_the_clock()) {
        return Ok(answer);
    }
    match answer.date() {
        Some(theirs) if (theirs - net.now).abs() > SKEW => send(theirs),
        _ if Refusal::of(&answer).is_some_and(|refusal| refusal.is_signature()) => {
            std::thread::sleep(PAUSE);
            send(net.now)
        }
        _ => Ok(answer),
    }
}

/// No signature can be made with such keys.
pub(super) fn unsignable() -> ProviderError {
    Verdict::invalid(
        "these are no keys that a request to AWS can be signed with",
        "store the keys again, alone and whole",
    )
    .into()
}

/// What AWS answers instead of doing what was asked: its own word, and its sentence.
pub(super) struct Refusal {
    /// The word: `InvalidClientTokenId`.
    pub(super) code: String,
    /// The sentence, cleaned.
    pub(super) message: String,
}

/// The same in the JSON protocol.
#[derive(Deserialize)]
struct JsonRefusal {
    #[serde(rename = "__type")]
    code: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Refusal {
    /// The refusal in an answer; `None` where it is a success or no answer of AWS.
    pub(super) fn of(answer: &Response) -> Option<Self> {
        if answer.is_success() {
            return None;
        }
        if let Ok(JsonRefusal { code, message }) = answer.json() {
            // The word may stand behind the name of the service's interface.
            let code = code.rsplit('#').next().unwrap_or_default();
            return Some(Self { code: clean(code), message: clean(&message) });
        }
        let text = text(answer)?;
        let message = element(text, "Message").unwrap_or_default();
        Some(Self { code: clean(element(text, "Code")?), message: clean(&unescape(message)) })
    }

    fn is_signature(&self) -> bool {
        matches!(self.code.as_str(), "SignatureDoesNotMatch" | "InvalidSignatureException")
    }

    fn may_be_the_clock(&self) -> bool {
        self.is_signature() || matches!(self.code.as_str(), "RequestTimeTooSkewed" | "RequestExpired")
    }
}

/// What an answer that is no success means for the keys. `action` is what was asked: `sts:GetCallerIdentity`.
pub(super) fn refusal(answer: &Response, action: &str) -> Verdict {
    let Some(refusal) = Refusal::of(answer) else { return without_code(answer) };
    let Refusal { code, message } = &refusal;
    let verdict = match code.as_str() {
        "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" | "InvalidToken" => {
            Verdict::invalid(
                "AWS does not know these keys: deleted, inactive, or the session token is not theirs",
                "make new ones in the IAM console and store them; keys of China or GovCloud need their `region`",
            )
        }
        _ if refusal.may_be_the_clock() && (!refusal.is_signature() || tells_of_time(message)) => Verdict::failed(
            Outcome::Unexpected,
            "AWS finds the time of the signature wrong",
            "set the clock of this machine, then test again",
        ),
        _ if refusal.is_signature() => Verdict::invalid(
            "the secret access key does not belong to the access key id",
            "store both again, copied whole; AWS shows a secret access key once, when it is made",
        ),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Verdict::expired(
            "the time of these temporary keys is over",
            "get new ones, with `aws sso login` or as before, and store them with `--replace`",
        ),
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "OptInRequired" => Verdict::insufficient(
            format!("AWS accepts the keys and does not let them do {action}"),
            format!("allow {action} in a policy of the user or the role"),
        ),
        "RegionDisabledException" => Verdict::failed(
            Outcome::Unexpected,
            "STS is switched off in this region",
            "choose another `region`, or switch it on in the account settings of the IAM console",
        ),
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "TooManyRequestsException" => {
            Verdict::failed(Outcome::RateLimited, "AWS was asked too often", "wait a minute, then try again")
        }
        _ => without_code(answer),
    };
    verdict.code(code)
}

/// The status alone. One of 401 or 403 may be a proxy's, and says nothing of the keys.
fn without_code(answer: &Response) -> Verdict {
    match answer.status {
        429 | 500.. => Verdict::of_status(answer, TITLE),
        status => Verdict::unexpected(TITLE, status),
    }
}

/// AWS gives the word for a wrong signature to a wrong time as well, and tells the difference in the sentence.
fn tells_of_time(message: &str) -> bool {
    message.contains("Signature expired") || message.contains("Signature not yet current")
}

/// The answer as text.
pub(super) fn text(answer: &Response) -> Option<&str> {
    std::str::from_utf8(&answer.body).ok()
}

/// The text of the first element of that name. What is asked for stands in elements without attributes.
pub(super) fn element<'t>(xml: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}

/// A sentence with its five entities resolved.
fn unescape(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}
