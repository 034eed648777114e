//! The token call (RFC 6749 section 4.4): JSON, as Verda documents it, and form fields where a server wants those.

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{API, CONSOLE, TITLE};
use crate::credential::Credential;
use crate::http::{Request, Response};
use crate::provider::{Net, ProviderError, Verdict, api};
use crate::secret::Secret;

/// An access token.
#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(rename = "access_token")]
    pub(super) text: Secret,
    expires_in: Option<i64>,
    scope: Option<String>,
}

impl Token {
    /// When it expires.
    pub(super) fn expires(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        now.checked_add_signed(Duration::try_seconds(self.expires_in?)?)
    }

    /// What it may do.
    pub(super) fn scopes(&self) -> Vec<&str> {
        self.scope.as_deref().unwrap_or_default().split_whitespace().collect()
    }
}

/// A refusal in Verda's form, or in that of RFC 6749.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Refusal {
    /// Verda's own.
    Verda {
        /// The kind of refusal.
        code: String,
        /// Why.
        #[serde(default)]
        message: String,
    },
    /// The standard's.
    Standard {
        /// The kind of refusal.
        error: String,
        /// Why.
        #[serde(default)]
        error_description: String,
    },
}

impl Refusal {
    /// The kind of refusal.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Verda { code, .. } | Self::Standard { error: code, .. } => code,
        }
    }

    /// Whether the server did not understand JSON.
    fn wants_a_form(&self) -> bool {
        let (Self::Verda { message, .. } | Self::Standard { error_description: message, .. }) = self;
        let message = message.to_lowercase();
        (message.contains("grant_type") && message.contains("not specified"))
            || message.contains("unsupported grant type")
            || message.contains("not valid json")
    }
}

/// Makes an access token.
pub(super) fn make(credential: &Credential, net: &Net<'_>) -> Result<Token, ProviderError> {
    let url = API.at(&credential.metadata, net.env, "/oauth2/token")?;
    let id = credential.field("client_id").ok_or_else(|| api::missing(credential, "client_id"))?;
    let secret = credential.secret("client_secret").ok_or_else(|| api::missing(credential, "client_secret"))?;
    let body = Zeroizing::new(json(id, secret)?);
    let mut answer = net.http.send(Request::post_json(url.clone(), &body))?;
    if answer.status == 400 && api::refusal(&answer).is_some_and(|refusal: Refusal| refusal.wants_a_form()) {
        let fields =
            [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.expose())];
        answer = net.http.send(Request::form(url, &fields))?;
    }
    let token = answer.is_success().then(|| answer.json::<Token>().ok()).flatten();
    token.filter(|token| !token.text.expose().is_empty()).ok_or_else(|| refused(&answer).into())
}

/// The body as text, written into one buffer that does not grow, so that no copy of the secret stays behind.
fn json(id: &str, secret: &Secret) -> Result<String, ProviderError> {
    let quoted = |text: &str| serde_json::to_string(text).map(Zeroizing::new);
    let (Ok(id), Ok(secret)) = (quoted(id), quoted(secret.expose())) else {
        return Err(Verdict::unexpected(TITLE, 0).into());
    };
    Ok(["{\"grant_type\":\"client_credentials\",\"client_id\":", &id, ",\"client_secret\":", &secret, "}"].concat())
}

fn refused(answer: &Response) -> Verdict {
    if let Some(verdict) = api::not_now(answer, TITLE, "x-ratelimit-reset") {
        return verdict;
    }
    let unexpected = Verdict::unexpected(TITLE, answer.status);
    let Some(refusal) = api::refusal::<Refusal>(answer) else { return unexpected };
    let verdict = match (answer.status, refusal.code()) {
        (401, _) | (400, "invalid_client" | "unauthorized_client" | "unauthorized_request") => Verdict::invalid(
            "Verda does not accept the client id with this secret",
            format!("make new client credentials: {CONSOLE}"),
        ),
        (403, _) => Verdict::insufficient(
            "Verda knows the client and makes no token for it (403 Forbidden)",
            format!("look at what it may do: {CONSOLE}"),
        ),
        _ => unexpected,
    };
    verdict.code(refusal.code())
}
