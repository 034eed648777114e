//! One registry being asked about one account: the requests, and what the usual answers mean.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::Url;

use super::address::Address;
use crate::credential::Material;
use crate::http::{Request, Response, parse_json};
use crate::provider::api::is_spoken;
use crate::provider::{Net, ProviderError, Verdict, apply};
use crate::secret::Secret;

/// The user name that stands for "the password is an identity token", in docker's files as here.
pub(super) const IDENTITY_TOKEN: &str = "<token>";
/// The user name that goes with Azure's refresh tokens.
pub(super) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Whose word counts, and what it is told.
pub(super) struct Asked<'a> {
    /// The registry.
    pub(super) address: Address,
    /// Another address for the provider's own API, or that of its token server, where the user named one.
    pub(super) endpoint: Option<Url>,
    /// A token server of another domain that the user trusts.
    pub(super) token_server: Option<Url>,
    /// The user.
    pub(super) username: &'a str,
    /// The password, as it will be sent.
    pub(super) password: &'a Secret,
    /// The doors.
    pub(super) net: &'a Net<'a>,
}

impl Asked<'_> {
    /// The registry's host, for sentences.
    pub(super) fn host(&self) -> String {
        self.address.host()
    }

    /// Sends a request without the credential.
    pub(super) fn openly(&self, request: Request) -> Result<Response, ProviderError> {
        Ok(self.net.http.send(request)?)
    }

    /// Sends a request with user name and password.
    pub(super) fn with_password(&self, mut request: Request) -> Result<Response, ProviderError> {
        let (username, password) = (self.username.to_owned(), self.password.duplicate());
        apply(&Material::Basic { username, password }, &mut request);
        self.openly(request)
    }

    /// It is good; a name that stands for a token is nobody's.
    pub(super) fn valid(&self) -> Verdict {
        match self.username {
            IDENTITY_TOKEN | NOBODY | "oauth2accesstoken" => Verdict::valid_unnamed(),
            // The key's own name says more than the word that announces it.
            "_json_key" => service_account(self.password).map_or_else(Verdict::valid_unnamed, Verdict::valid),
            user => Verdict::valid(user),
        }
    }

    /// The server said that user name and password are wrong.
    pub(super) fn refused(&self, answer: &Response) -> Verdict {
        if !is_spoken(answer) {
            return self.other(answer);
        }
        let host = self.host();
        let is_over = token_end(self.password).is_some_and(|end| end <= self.net.now);
        let verdict = if is_over {
            Verdict::expired(
                format!("{host} does not accept the token, whose time is over"),
                "sign in to the registry with its official tool and store the new one",
            )
        } else {
            Verdict::invalid(format!("{host} does not accept this user name and password"), self.next_after_refusal())
        };
        verdict.code(error_code(answer).unwrap_or_default())
    }

    fn next_after_refusal(&self) -> String {
        let host = self.host();
        match self.username {
            user if user.contains('$') => {
                "check the robot's name with its $, and in the registry whether the robot is expired or disabled".into()
            }
            _ => format!("make a new password or token for {host} and store that"),
        }
    }

    /// Everybody is let in, so that nothing is proved.
    pub(super) fn open_to_all(&self) -> Verdict {
        Verdict::failed(
            crate::provider::Outcome::CannotBeAsked,
            format!("{} lets everybody in and does not say whether it knows this user", self.host()),
            "pull something private to see whether it works",
        )
    }

    /// What an answer means that is neither a yes nor a refusal: a limit, trouble, or something unknown.
    pub(super) fn other(&self, answer: &Response) -> Verdict {
        let too_many = error_code(answer).is_some_and(|code| code == "TOOMANYREQUESTS");
        match answer.status {
            429 | 500.. => Verdict::of_status(answer, &self.host()),
            _ if too_many => {
                Verdict::of_status(&Response { status: 429, headers: answer.headers.clone(), body: Vec::new().into() }, &self.host())
            }
            status => Verdict::unexpected(&self.host(), status),
        }
        .code(error_code(answer).unwrap_or_default())
    }
}

/// The first code of an answer in the registries' form: `{"errors":[{"code":"DENIED"}]}`.
pub(super) fn error_code(answer: &Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Failures {
        errors: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        code: String,
    }
    answer.json::<Failures>().ok()?.errors.into_iter().next().map(|failure| failure.code)
}

/// What a token says of itself, where it is a JWT. It came over a safe connection or from the user; nothing is decided
/// by it but what a person is told.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    /// Whom it was given to.
    #[serde(default)]
    pub(super) sub: Option<String>,
    /// When it expires, in seconds since 1970.
    #[serde(default)]
    exp: Option<f64>,
    /// What it is for, in some.
    #[serde(default)]
    pub(super) scope: Option<String>,
}

/// The claims of a JWT; `None` for anything else.
pub(super) fn claims(token: &Secret) -> Option<Claims> {
    let mut parts = token.expose().split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = zeroize::Zeroizing::new(URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    parse_json(&payload).ok()
}

/// When a token says that it expires, where it is a JWT.
pub(super) fn token_end(token: &Secret) -> Option<DateTime<Utc>> {
    #[expect(clippy::cast_possible_truncation, reason = "a conversion of floats saturates, and no date is so far off")]
    let seconds = claims(token)?.exp? as i64;
    DateTime::from_timestamp(seconds, 0)
}

/// The name in a Google service account's key.
pub(super) fn service_account(key: &Secret) -> Option<String> {
    #[derive(Deserialize)]
    struct Key {
        client_email: String,
    }
    parse_json::<Key>(key.expose().as_bytes()).ok().map(|key| key.client_email)
}
