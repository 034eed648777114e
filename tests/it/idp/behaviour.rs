//! What the fake provider does: an honest server by default, with a switch for everything a bad one could do.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::keys::Signing;
use super::tokens::Grant;

/// Changes a JSON answer before it is sent.
pub type Patch = Arc<dyn Fn(&mut Value) + Send + Sync>;
/// Changes the header and the claims of an ID token before it is signed.
pub type TokenPatch = Arc<dyn Fn(&Grant, &mut Value, &mut Value) + Send + Sync>;
/// Changes the parameters of the callback before the redirect.
pub type CallbackPatch = Arc<dyn Fn(&mut Vec<(String, String)>) + Send + Sync>;

/// The switches. Change them while the provider runs with [`super::Idp::change`].
#[derive(Clone)]
pub struct Behaviour {
    /// Changes to the JSON answers, by path: `/token`, `/userinfo`, `/.well-known/openid-configuration`, …
    pub patches: HashMap<&'static str, Patch>,
    /// What goes wrong before or instead of an answer, by path.
    pub faults: HashMap<&'static str, Plan>,
    /// Whether the discovery documents exist.
    pub discovery: bool,

    /// Changes to the callback: `iss` missing or wrong, an error with a hostile text, `state` twice.
    pub callback: Option<CallbackPatch>,
    /// Whether the callback carries `iss`, and the metadata say so (RFC 9207).
    pub announces_iss: bool,
    /// The person refuses: `error` and `error_description` of the callback.
    pub refusal: Option<(String, String)>,

    /// How ID tokens are signed.
    pub signing: Signing,
    /// Changes to the header and the claims of ID tokens.
    pub id_token: Option<TokenPatch>,
    /// The ID token as it is, whatever was asked for.
    pub raw_id_token: Option<String>,
    /// Whether there is an ID token at all.
    pub with_id_token: bool,
    /// Whether the second RSA key has replaced the first.
    pub rotated_keys: bool,

    /// The lifetime of access tokens, in seconds.
    pub expires_in: i64,
    /// Whether a refresh token is issued.
    pub with_refresh_token: bool,
    /// Whether a refresh replaces the refresh token.
    pub rotation: bool,
    /// What a second use of a replaced refresh token does.
    pub reuse: Reuse,
    /// Whether every refresh is answered with `invalid_grant`.
    pub refuses_refresh: bool,
    /// Scopes granted whatever was asked for.
    pub granted_scope: Option<String>,

    /// What each poll of the device flow is answered with, in order; afterwards the grant.
    pub polls: VecDeque<Poll>,
    /// `interval` of the device answer; `None` leaves it out.
    pub interval: Option<u64>,
    /// `expires_in` of the device answer.
    pub device_expires_in: u64,

    /// What the clients must authenticate with at the token endpoint; `None` for public ones.
    pub client_secret: Option<String>,
    /// Whether the authorization endpoint takes only pushed requests (RFC 9126).
    pub requires_par: bool,
    /// Answers of the token and device endpoints are form fields unless JSON is asked for, as at GitHub.
    pub form_unless_json: bool,
    /// Errors of the token endpoint come with status 200, as at GitHub.
    pub errors_with_200: bool,
    /// Scopes in answers are separated by commas, as at GitHub.
    pub comma_scopes: bool,
    /// Tokens that the API below `/v1` and `/user` accepts beside those issued here.
    pub api_tokens: Vec<String>,
    /// The account that signs in.
    pub account: Account,
    /// The server's clock runs this many seconds ahead.
    pub clock_ahead: i64,
    /// Added to every text that a server may choose: names, descriptions, errors.
    pub hostile_text: String,
}

/// Who signs in at the fake provider.
#[derive(Debug, Clone)]
pub struct Account {
    pub sub: String,
    pub name: String,
    pub email: String,
}

/// What the second use of a replaced refresh token does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Everything issued from the same sign-in dies, as RFC 9700 section 4.14.2 wants it.
    RevokesAll,
    /// Within this time the same successor is answered again; later everything dies.
    ToleratedFor(Duration),
}

/// The answer to a poll of the device flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    Pending,
    SlowDown,
    Expired,
    Denied,
    /// The connection is closed without an answer.
    Lost,
}

/// When a fault strikes.
#[derive(Debug, Clone)]
pub enum Plan {
    Always(Fault),
    /// One entry for each request, `None` for one that goes well; when they are used up, all go well.
    Script(VecDeque<Option<Fault>>),
}

impl Plan {
    /// Strikes at the first request only.
    pub fn once(fault: Fault) -> Self {
        Self::Script(VecDeque::from([Some(fault)]))
    }

    pub(super) fn next(&mut self) -> Option<Fault> {
        match self {
            Self::Always(fault) => Some(fault.clone()),
            Self::Script(script) => script.pop_front().flatten(),
        }
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A redirect with this status to this address.
    Redirect(u16, String),
    /// The right answer, one byte a second.
    Drip,
    /// No answer; the connection stays open.
    Silence,
    /// A body of this many bytes.
    Huge(u64),
    /// Bytes that are no HTTP.
    Garbage,
    /// Status 500 with an HTML page.
    HtmlError,
    /// Status 503 with `Retry-After`.
    Unavailable { retry_after: u64 },
    /// This status, content type and body instead of the answer.
    Answer(u16, &'static str, String),
    /// The request is carried out, and the answer comes late.
    Late(Duration),
    /// The request is carried out, and the connection closes without an answer.
    LosesAnswer,
    /// The connection closes at once, and nothing is carried out.
    Closes,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            patches: HashMap::new(),
            faults: HashMap::new(),
            discovery: true,
            callback: None,
            announces_iss: true,
            refusal: None,
            signing: Signing::Rs256,
            id_token: None,
            raw_id_token: None,
            with_id_token: true,
            rotated_keys: false,
            expires_in: 3600,
            with_refresh_token: true,
            rotation: true,
            reuse: Reuse::RevokesAll,
            refuses_refresh: false,
            granted_scope: None,
            polls: VecDeque::from([Poll::Pending]),
            interval: Some(1),
            device_expires_in: 60,
            client_secret: None,
            requires_par: false,
            form_unless_json: false,
            errors_with_200: false,
            comma_scopes: false,
            api_tokens: Vec::new(),
            account: Account { sub: "acc_123456".into(), name: "Ada Example".into(), email: "user@example.com".into() },
            clock_ahead: 0,
            hostile_text: String::new(),
        }
    }
}

impl Behaviour {
    /// GitHub's ways: no discovery, form answers, errors with status 200, commas, no ID token, tokens without end.
    pub fn github() -> Self {
        let mut behaviour = Self {
            discovery: false,
            announces_iss: false,
            with_id_token: false,
            with_refresh_token: false,
            form_unless_json: true,
            errors_with_200: true,
            comma_scopes: true,
            ..Self::default()
        };
        behaviour.patch("/token", |answer| {
            answer.as_object_mut().map(|fields| fields.remove("expires_in"));
        });
        behaviour
    }

    /// Changes the JSON answer of a path.
    pub fn patch(&mut self, path: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) -> &mut Self {
        self.patches.insert(path, Arc::new(change));
        self
    }

    /// Makes a fault strike at every request to a path.
    pub fn fault(&mut self, path: &'static str, fault: Fault) -> &mut Self {
        self.faults.insert(path, Plan::Always(fault));
        self
    }

    /// Makes a fault strike at the next request to a path only.
    pub fn fault_once(&mut self, path: &'static str, fault: Fault) -> &mut Self {
        self.faults.insert(path, Plan::once(fault));
        self
    }

    /// Changes the header and the claims of ID tokens.
    pub fn forge(&mut self, change: impl Fn(&mut Value, &mut Value) + Send + Sync + 'static) -> &mut Self {
        self.id_token = Some(Arc::new(move |_, header, claims| change(header, claims)));
        self
    }

    /// Changes the parameters of the callback.
    pub fn bend(&mut self, change: impl Fn(&mut Vec<(String, String)>) + Send + Sync + 'static) -> &mut Self {
        self.callback = Some(Arc::new(change));
        self
    }
}
