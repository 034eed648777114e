//! The authorization endpoint (RFC 6749 section 4.1.1): a person decides whether a program is let in.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde::Deserialize;

use super::AUTHORIZE;
use super::client::{self, Client};
use super::consent;
use super::error::OauthError;
use super::id_token;
use super::prompt::Prompt;
use super::told;
use crate::auth::dpop;
use crate::http::Url;
use crate::secret::Secret;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{Reach, Rows, values};
use crate::server::people;
use crate::server::permission::Permissions;
use crate::server::portal::inside::Myself;
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::{OwnForm, Visitor, prove_first, sign_in_first};
use crate::server::problem::Answer;
use crate::server::random;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};

/// A code is exchanged at once, or never.
const LIFE: TimeDelta = TimeDelta::seconds(60);
/// The longest state or nonce that is carried through.
const STATE: usize = 2048;

/// What a program asks.
#[derive(Deserialize, Clone)]
pub(super) struct Asked {
    response_type: Option<String>,
    client_id: Option<String>,
    redirect_uri: Option<String>,
    state: Option<String>,
    scope: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    nonce: Option<String>,
    dpop_jkt: Option<String>,
    prompt: Option<String>,
    max_age: Option<String>,
    /// What is asked in another form (RFC 9101, OpenID Connect Core section 6), which is refused and never fetched.
    request: Option<String>,
    request_uri: Option<String>,
}

/// What a person says to it.
#[derive(Deserialize)]
pub(super) struct Decided {
    #[serde(flatten)]
    asked: Asked,
    word: String,
    organization: String,
    decision: String,
}

/// A question that may be put to a person.
struct Question {
    client: Client,
    redirect: Url,
    permissions: Permissions,
    challenge: String,
    state: Option<String>,
    prompt: Prompt,
}

impl Asked {
    /// What may be put to a person; else what the browser is shown, or where it is sent with an error.
    fn check(&self, server: &Server, client: Option<Client>) -> Result<Question, Box<Response>> {
        let page = |why| Box::new(Page::refusal(StatusCode::BAD_REQUEST, why).into_response());
        // Until it is clear where an answer may go, none goes anywhere.
        let client = client.ok_or_else(|| page("The program that sent you here is not known to this server."))?;
        let given = self.redirect_uri.as_deref().unwrap_or_default();
        let redirect = client.redirect(given);
        let redirect =
            redirect.ok_or_else(|| page("The program that sent you here names an address that is not its own."))?;
        let state = self.state.clone().filter(|state| state.len() <= STATE);
        let refuse =
            |error| Box::new(sent_on(answer(server, &redirect, &[("error", error)], state.as_deref()).as_str(), None));
        if self.request_uri.is_some() {
            return Err(refuse("request_uri_not_supported"));
        }
        if self.request.is_some() {
            return Err(refuse("request_not_supported"));
        }
        let is_key = self.dpop_jkt.as_deref().is_none_or(dpop::is_thumbprint);
        if self.nonce.as_ref().is_some_and(|nonce| nonce.len() > STATE) || !is_key {
            return Err(refuse("invalid_request"));
        }
        if self.response_type.as_deref() != Some("code") {
            return Err(refuse("unsupported_response_type"));
        }
        let challenge = self.code_challenge.clone().unwrap_or_default();
        let is_digest = challenge.len() == 43
            && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if self.code_challenge_method.as_deref() != Some("S256") || !is_digest {
            return Err(refuse("invalid_request"));
        }
        let prompt = Prompt::read(self.prompt.as_deref(), self.max_age.as_deref());
        let prompt = prompt.ok_or_else(|| refuse("invalid_request"))?;
        match consent::wanted(self.scope.as_deref()) {
            Ok(permissions) => Ok(Question { client, redirect, permissions, challenge, state, prompt }),
            Err(_) => Err(refuse("invalid_scope")),
        }
    }

    /// The same in pairs, but for how much a person is asked: once they were, they are not asked for that again.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("response_type", &self.response_type),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &self.state),
            ("scope", &self.scope),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
            ("nonce", &self.nonce),
            ("dpop_jkt", &self.dpop_jkt),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The same in hidden fields.
    fn fields(&self) -> String {
        self.pairs()
            .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", Text(value)))
            .collect()
    }

    /// The page that asks it.
    fn address(&self) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish();
        format!("{AUTHORIZE}?{query}")
    }
}

/// Where a browser lets the form of a page end: the origin of an address, or its scheme where that has none.
fn source(redirect: &Url) -> String {
    let origin = redirect.origin();
    if origin.is_tuple() { origin.ascii_serialization() } else { format!("{}:", redirect.scheme()) }
}

/// The program's address with an answer in it, and who it comes from (RFC 9207).
fn answer(server: &Server, redirect: &Url, pairs: &[(&str, &str)], state: Option<&str>) -> Url {
    let mut url = redirect.clone();
    url.query_pairs_mut()
        .extend_pairs(pairs)
        .extend_pairs(state.map(|state| ("state", state)))
        .append_pair("iss", server.issuer());
    url
}

pub(super) async fn show(State(server): State<Arc<Server>>, visitor: Visitor, Query(asked): Query<Asked>) -> Response {
    let client = match client::find(&server, asked.client_id.as_deref()).await {
        Ok(client) => client,
        Err(problem) => return problem.into_response(),
    };
    let question = match asked.check(&server, client) {
        Ok(question) => question,
        Err(response) => return *response,
    };
    if let Some(error) = question.prompt.refuses(visitor.signed_in.as_ref(), now()) {
        let to = answer(&server, &question.redirect, &[("error", error)], question.state.as_deref());
        return sent_on(to.as_str(), None);
    }
    let Some(signed_in) = visitor.signed_in else { return sign_in_first(&asked.address()) };
    let is_weighty = consent::is_weighty(&question.permissions);
    if question.prompt.asks_again(&signed_in, now()) || is_weighty && !signed_in.is_fresh(now()) {
        return prove_first(&asked.address());
    }
    if signed_in.members.is_empty() {
        return Page::refusal(StatusCode::FORBIDDEN, "You are in no organization of this server.").into_response();
    }
    let members = question.client.choice(&signed_in.members);
    if members.is_empty() {
        return Page::refusal(StatusCode::FORBIDDEN, consent::ELSEWHERE).into_response();
    }
    let end = source(&question.redirect);
    let body = format!(
        "<form method=\"post\" action=\"/authorize\">\n<input type=\"hidden\" name=\"word\" value=\"{}\">\n{}{}\n</form>\n\
         <p class=\"hint\">Signed in as {}.</p>",
        Text(&signed_in.form_word),
        asked.fields(),
        consent::question(&question.client, Some(&end), &question.permissions, &members),
        Text(&signed_in.person.login),
    );
    Page::new("Let a program in?", body).may_end_at(&end).into_response()
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(decided): OwnForm<Decided>,
) -> Answer<Response> {
    let client = client::find(&server, decided.asked.client_id.as_deref()).await?;
    let question = match decided.asked.check(&server, client) {
        Ok(question) => question,
        Err(response) => return Ok(*response),
    };
    let member = visitor
        .signed_in
        .as_ref()
        .filter(|signed_in| signed_in.has_sent(&decided.word))
        .map(|signed_in| question.client.choice(&signed_in.members))
        .and_then(|members| members.into_iter().find(|member| member.scope.id() == decided.organization));
    let member = member.cloned();
    let (member, signed_in) = match (member, visitor.signed_in) {
        (Some(member), Some(signed_in)) => (member, signed_in),
        (_, known) => {
            if let Some(signed_in) = known {
                let myself = Myself { signed_in, source: visitor.source };
                let client = question.client;
                let told = blocking(&server, move |server| {
                    let detail = client.told();
                    let event = Event { outcome: Outcome::Denied, detail, ..Event::done("program.admit", &client.id) };
                    server.db.write(Reach::Server, |rows| myself.tell(rows, server, &event))
                });
                told.await?;
            }
            let why = "Your session has ended meanwhile. Start again from your terminal.";
            return Ok(Page::refusal(StatusCode::FORBIDDEN, why).into_response());
        }
    };
    let actor = signed_in.actor(&visitor.source);
    let allowed = decided.decision == "allow";
    if allowed && consent::is_weighty(&question.permissions) && !signed_in.is_fresh(now()) {
        return Ok(prove_first(&decided.asked.address()));
    }
    let (redirect, state) = (question.redirect.clone(), question.state.clone());
    let code = blocking(&server, move |server| {
        let client = &question.client;
        server.db.write(&member.scope, |rows| -> Answer<Option<Secret>> {
            let admit = Event::done("program.admit", &client.id);
            let tell = |rows: &mut dyn Rows, event: &Event<'_>| {
                audit::append(rows, &server.keys, &member.scope, &actor, event, now())
            };
            if !allowed {
                tell(rows, &Event { outcome: Outcome::Denied, detail: client.told(), ..admit })?;
                return Ok(None);
            }
            let minted = token::mint(Kind::Code)?;
            let began = people::signed_in_at(rows, &signed_in.session)?;
            let most = people::most(rows, &member.scope, &signed_in.person.id, member.role)?;
            // No more than its person has.
            let permissions = question.permissions.and(&most);
            rows.execute(
                "INSERT INTO codes (id, hash, org, person, client, redirect, challenge, permissions, family, expires, \
                 openid, nonce, signed_in, bound) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                values![
                    &minted.id,
                    &minted.hash,
                    member.scope.id(),
                    &signed_in.person.id,
                    &client.id,
                    decided.asked.redirect_uri.as_deref(),
                    &question.challenge,
                    &permissions.words(),
                    random::base62(20)?.as_str(),
                    (now() + LIFE).timestamp_millis(),
                    i64::from(id_token::is_wanted(decided.asked.scope.as_deref())),
                    decided.asked.nonce.as_deref(),
                    began,
                    decided.asked.dpop_jkt.as_deref(),
                ],
            )?;
            tell(rows, &Event { detail: &client.told_with(&told::granted(&permissions)), ..admit })?;
            Ok(Some(minted.token))
        })
    });
    let to = match code.await? {
        Some(code) => answer(&server, &redirect, &[("code", code.expose())], state.as_deref()),
        None => answer(&server, &redirect, &[("error", "access_denied")], state.as_deref()),
    };
    Ok(sent_on(to.as_str(), None))
}

impl std::convert::From<getrandom::Error> for OauthError {
    fn from(failure: getrandom::Error) -> Self {
        Self::Other(failure.into())
    }
}
