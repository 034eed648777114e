//! Sign-in in the browser: authorization code with PKCE S256 (RFC 7636), `state`, `nonce`, the issuer check of
//! RFC 9207, and a loopback redirect (RFC 8252).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::auth::grant::{Client, TokenAnswer};
use crate::auth::loopback::{Loopback, Outcome, Redirect};
use crate::auth::service::{Metadata, Service, ServiceError};
use crate::auth::{Notice, Person, Reply};
use crate::http::{Http, Url};

mod attempt;
mod error;

pub use attempt::Attempt;
pub use error::WebError;

/// What a browser sign-in needs to know.
pub struct Ask<'a> {
    /// The service.
    pub service: &'a Service,
    /// Its addresses.
    pub metadata: &'a Metadata,
    /// The OAuth client.
    pub client: &'a Client,
    /// The scopes to ask for.
    pub scopes: &'a [String],
    /// The account that the profile is for.
    pub login_hint: Option<&'a str>,
    /// Whether another account than the one in the browser may be wanted.
    pub choose_account: bool,
}

/// The tokens of a browser sign-in, and the browser that still waits to be told how it ended.
pub struct Signed {
    /// What the token endpoint gave.
    pub tokens: TokenAnswer,
    /// The nonce that the ID token must carry.
    pub nonce: String,
    /// The page that is shown at the end.
    pub page: Page,
}

/// The browser's open request. Dropped without a word, it shows that the sign-in failed.
pub struct Page(Option<Loopback>);

impl Page {
    /// Tells the browser that all is well.
    pub fn signed_in(mut self) {
        self.close(Outcome::SignedIn);
    }

    fn close(&mut self, outcome: Outcome) {
        if let Some(loopback) = self.0.take() {
            loopback.finish(outcome);
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.close(Outcome::Failed);
    }
}

/// Sends the person to the service and back to a `redirect` of this machine, and exchanges the code. The person has as
/// long as `limit`.
pub fn sign_in(
    ask: &Ask<'_>,
    redirect: &Redirect,
    limit: Duration,
    http: &dyn Http,
    now: DateTime<Utc>,
    person: &mut Person<'_>,
) -> Result<Signed, WebError> {
    let (authorization, token) = offered(ask)?;
    let loopback = Loopback::bind(redirect)?;
    let attempt = Attempt::new(loopback.redirect_uri())?;
    let url = attempt.address(ask, authorization, http)?;
    if let Reply::Cancel = person(Notice::Visit { url: &url, expires_at: now + limit }) {
        return Err(WebError::Cancelled);
    }
    let code = match attempt.wait(ask, &loopback, limit, person)? {
        Ok(code) => code,
        Err(error) => {
            let denied = matches!(&error, WebError::Refused { error, .. } if error == "access_denied");
            loopback.finish(if denied { Outcome::Denied } else { Outcome::Failed });
            return Err(error);
        }
    };
    let page = Page(Some(loopback));
    let tokens = attempt.exchange(ask.client, token, &code, http)?;
    Ok(Signed { tokens, nonce: attempt.nonce, page })
}

/// The two addresses that the grant needs, once it is clear that the service offers it with PKCE S256.
pub(super) fn offered<'a>(ask: &'a Ask<'_>) -> Result<(&'a Url, &'a Url), ServiceError> {
    let lacking = |what| ServiceError::NotOffered {
        service: ask.service.title().to_owned(),
        what,
        instead: "choose another way: `--device` or `--with-token`",
    };
    if ask.metadata.lacks_grant("authorization_code") {
        return Err(lacking("browser sign-in"));
    }
    if ask
        .metadata
        .code_challenge_methods_supported
        .as_ref()
        .is_some_and(|methods| !methods.iter().any(|method| method == "S256"))
    {
        return Err(lacking("PKCE with S256, without which a browser sign-in can be stolen"));
    }
    let authorization = ask.metadata.authorization_endpoint.as_ref().ok_or_else(|| lacking("browser sign-in"))?;
    let token = ask.metadata.token_endpoint.as_ref().ok_or_else(|| lacking("token endpoint"))?;
    Ok((authorization, token))
}
