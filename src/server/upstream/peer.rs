//! The issuer, asked over the guarded connector: where to send a person, and what it says of who came back.

use serde_json::{Map, Value};
use url::Url;

use super::Upstream;
use super::errand::{Begun, Purpose, Ties};
use crate::auth::grant::{self, AuthMethod, Client, GrantError};
use crate::auth::id_token::{self, Expected, IdTokenError};
use crate::auth::service::Metadata;
use crate::error::with_causes;
use crate::http::{Http, Request, Response};
use crate::secret::Secret;
use crate::server::connector::Connector;
use crate::server::keys::KeyError;
use crate::server::people;
use crate::server::state::{Server, now};
use crate::text::clean;
use crate::vault::VaultError;

/// How many seconds ago a person may have signed in at the issuer who shows once more who they are.
const RECENT: u64 = 300;
/// The longest title of an account.
const TITLE: usize = 128;

/// Why an issuer is not believed, or cannot be asked: words for the audit and for the person, without a full stop.
/// What the issuer itself wrote stands nowhere in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why(pub(super) String);

impl From<&str> for Why {
    fn from(words: &str) -> Self {
        Self(words.to_owned())
    }
}

impl From<VaultError> for Why {
    fn from(failure: VaultError) -> Self {
        tracing::error!(failure = with_causes(&failure), "the secret of an issuer");
        "the server cannot read its own secret for this issuer".into()
    }
}

impl From<KeyError> for Why {
    fn from(failure: KeyError) -> Self {
        VaultError::from(failure).into()
    }
}

/// What a verified account says of itself.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) subject: String,
    pub(super) claims: Map<String, Value>,
}

impl Told {
    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// The address, if the issuer says that it looked.
    pub(super) fn address(&self) -> Option<&str> {
        let is_verified = matches!(self.claims.get("email_verified"), Some(Value::Bool(true)));
        self.text("email").filter(|_| is_verified)
    }

    /// What the account is called, for people to read.
    pub(super) fn title(&self) -> String {
        let names = [self.text("email"), self.text("preferred_username"), self.text("name")];
        let title = names.into_iter().flatten().next().unwrap_or(&self.subject);
        clean(title).chars().take(TITLE).collect()
    }

    /// The login that somebody new could have, if nobody has it.
    pub(super) fn login(&self) -> Option<String> {
        // A name that looks like an address and was not verified could be another's.
        let name = self.text("preferred_username").filter(|name| !name.contains('@'));
        self.address().into_iter().chain(name).find_map(people::login)
    }
}

fn connector(server: &Server) -> Connector<'_> {
    server.connector()
}

fn document(server: &Server, upstream: &Upstream) -> Result<std::sync::Arc<Metadata>, Why> {
    let found = server.issuers.document(&upstream.issuer, &connector(server), now());
    found.ok_or_else(|| "the issuer does not answer as one, or the server may not ask it".into())
}

/// Where a person is sent.
pub(super) fn address(server: &Server, upstream: &Upstream, begun: &Begun, purpose: Purpose) -> Result<Url, Why> {
    let document = document(server, upstream)?;
    let methods = document.code_challenge_methods_supported.as_ref();
    if document.lacks_grant("authorization_code") || methods.is_some_and(|all| !all.iter().any(|one| one == "S256")) {
        return Err("the issuer offers no sign-in with PKCE".into());
    }
    let mut url = document.authorization_endpoint.clone().ok_or("the issuer offers no sign-in in a browser")?;
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &upstream.client_id)
        .append_pair("redirect_uri", &upstream.redirect(server))
        .append_pair("scope", &upstream.scopes)
        .append_pair("state", begun.state.expose())
        .append_pair("nonce", &begun.ties.nonce)
        .append_pair("code_challenge", &begun.ties.challenge())
        .append_pair("code_challenge_method", "S256");
    if purpose == Purpose::Prove {
        url.query_pairs_mut().append_pair("prompt", "login").append_pair("max_age", "0");
    }
    Ok(url)
}

/// Whether an answer names its issuer as it has to (RFC 9207 section 2.4).
pub(super) fn check_issuer(server: &Server, upstream: &Upstream, named: Option<&str>) -> Result<(), Why> {
    let announced = document(server, upstream)?.authorization_response_iss_parameter_supported;
    match named {
        Some(named) if named != upstream.issuer => Err("the answer is another issuer's".into()),
        None if announced => Err("the answer does not name its issuer".into()),
        _ => Ok(()),
    }
}

/// Exchanges a code, and verifies what the issuer says of the account.
pub(super) fn account(
    server: &Server,
    upstream: &Upstream,
    ties: &Ties,
    code: &Secret,
    purpose: Purpose,
) -> Result<Told, Why> {
    let http = connector(server);
    let document = document(server, upstream)?;
    let endpoint = document.token_endpoint.as_ref().ok_or("the issuer offers no tokens")?;
    let client = client(server, upstream, &document)?;
    let redirect = upstream.redirect(server);
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.expose()),
        ("redirect_uri", redirect.as_str()),
        ("code_verifier", ties.verifier.expose()),
    ];
    let tokens = grant::request_tokens(&http, client.form(endpoint, &fields)).map_err(|failure| match failure {
        GrantError::Unreachable(_) => Why::from("the issuer does not answer"),
        _ => Why::from("the issuer gives no tokens for the code"),
    })?;
    let id_token = tokens.id_token.as_ref().ok_or("the issuer gives no ID token")?;
    let expected = Expected {
        issuer: &upstream.issuer,
        client_id: &upstream.client_id,
        nonce: Some(&ties.nonce),
        access_token: Some(&tokens.access_token),
        max_age: (purpose == Purpose::Prove).then_some(RECENT),
        subject: None,
    };
    let check = |anew| -> Result<_, Why> {
        let keys = server.issuers.keys(&upstream.issuer, &http, anew, now());
        let keys = keys.ok_or("the issuer gives no keys")?;
        Ok(id_token::verify(id_token, &keys, &expected, now()))
    };
    let checked = match check(false)? {
        // Its keys may have changed since.
        Err(IdTokenError::UnknownKey) => check(true)?,
        checked => checked,
    };
    let subject = checked.map_err(|failure| Why(failure.to_string()))?.subject;
    // The signature over just this text was found to hold.
    let claims = id_token::unverified_claims(id_token).and_then(|claims| claims.as_object().cloned());
    let mut told = Told { subject, claims: claims.unwrap_or_default() };
    if let Some(endpoint) = &document.userinfo_endpoint {
        let more = http.send(Request::get(endpoint.clone()).bearer(&tokens.access_token));
        let more = more.ok().filter(Response::is_success);
        let more = more.and_then(|answer| answer.json::<Map<String, Value>>().ok()).unwrap_or_default();
        // Of another account nothing is believed (OpenID Connect Core section 5.3.2), and what is signed wins.
        if more.get("sub").and_then(Value::as_str) == Some(&told.subject) {
            // That an address was verified says nothing of another one.
            let is_other_address = told.claims.contains_key("email") && told.claims.get("email") != more.get("email");
            let is_new = |name: &str| !(told.claims.contains_key(name) || is_other_address && name == "email_verified");
            let new: Vec<_> = more.into_iter().filter(|(name, _)| is_new(name)).collect();
            told.claims.extend(new);
        }
    }
    Ok(told)
}

/// What this server is at the issuer.
fn client(server: &Server, upstream: &Upstream, document: &Metadata) -> Result<Client, Why> {
    let secret = server.shelf().open(upstream)?;
    let offered = document.token_endpoint_auth_methods_supported.as_deref();
    let offers = |method: AuthMethod| offered.is_none_or(|all| all.iter().any(|one| one == method.word()));
    let method = match &secret {
        None => AuthMethod::None,
        Some(_) if !offers(AuthMethod::Basic) && offers(AuthMethod::Post) => AuthMethod::Post,
        Some(_) => AuthMethod::Basic,
    };
    Ok(Client { id: upstream.client_id.clone(), secret, method })
}
