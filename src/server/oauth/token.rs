//! The token endpoint (RFC 6749 sections 4.1.3 and 6, RFC 8628 section 3.4).

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::client::{self, Client};
use super::device;
use super::error::{Given, OauthError, refused, settled};
use super::exchange;
use super::id_token::{self, About};
use super::proof;
use super::renew;
use super::told;
use crate::secret::Secret;
use crate::server::api::{Gives, Operation};
use crate::server::attempts::network;
use crate::server::audit::{self, Actor, Event};
use crate::server::bearer::{self, ACCESS, Grant};
use crate::server::bridge::blocking;
use crate::server::caller::Asker;
use crate::server::db::{OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::metrics;
use crate::server::people;
use crate::server::permission::Permissions;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};

/// What a program asks.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Asked {
    grant_type: String,
    pub(super) client_id: Option<String>,
    code: Option<Secret>,
    redirect_uri: Option<String>,
    code_verifier: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
    device_code: Option<Secret>,
    pub(super) scope: Option<String>,
    #[serde(flatten)]
    exchange: exchange::Asked,
}

/// The tokens of a sign-in.
pub(super) struct Tokens {
    pub(super) access: Secret,
    pub(super) refresh: Secret,
    /// How long the access token lives from now on, in seconds.
    pub(super) life: i64,
    pub(super) permissions: Permissions,
    pub(super) id_token: Option<Secret>,
    pub(super) is_bound: bool,
}

/// Tokens of a sign-in, or of a job.
pub(super) struct Sent(Response);

impl IntoResponse for Sent {
    fn into_response(self) -> Response {
        self.0
    }
}

/// The members of such an answer (RFC 6749 section 5.1, RFC 8693 section 2.2.1). Tokens are written by hand.
#[derive(JsonSchema)]
#[schemars(rename = "Tokens")]
#[allow(dead_code, reason = "the form of what is written by hand")]
struct Shown {
    access_token: String,
    token_type: String,
    /// In seconds.
    expires_in: i64,
    scope: String,
    /// Good once; none for a job.
    refresh_token: Option<String>,
    /// Where `openid` was asked for.
    id_token: Option<String>,
    /// Of a token exchange.
    issued_token_type: Option<String>,
}

impl Gives for Sent {
    fn tell(told: &mut Operation<'_>) {
        told.answer::<Shown>(StatusCode::OK);
    }
}

pub(super) async fn give(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    headers: HeaderMap,
    Form(asked): Form<Asked>,
) -> Given<Sent> {
    if headers.contains_key(header::AUTHORIZATION) {
        // The programs known here keep no secret: one that is sent is for another server.
        return refused("invalid_client", "this client has no secret");
    }
    let client = match client::find(&server, asked.client_id.as_deref()).await? {
        Some(client) => client,
        None if asked.grant_type == "refresh_token" => {
            return blocking(&server, move |server| Ok(renew::by_nobody(server, &asked, &source))).await?;
        }
        None => return client::unknown(),
    };
    let way = match asked.grant_type.as_str() {
        "authorization_code" => "code",
        "refresh_token" => "refresh",
        "urn:ietf:params:oauth:grant-type:device_code" => "device",
        exchange::EXCHANGE => "job",
        _ => "unknown",
    };
    let proof = proof::read(&server, &headers)?;
    let given = blocking(&server, move |server| {
        let key = match proof::key(server, proof) {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let key = key.as_deref();
        let tokens = match asked.grant_type.as_str() {
            "authorization_code" => by_code(server, &client, &asked, key, &source),
            "refresh_token" => renew::by_refresh(server, &client, &asked, key, &source),
            "urn:ietf:params:oauth:grant-type:device_code" => {
                device::poll(server, &client, asked.device_code.as_ref(), key, &source)
            }
            exchange::EXCHANGE => {
                return Ok(exchange::exchange(server, &client, &asked.exchange, asked.scope.as_deref(), key, &source)
                    .map(IntoResponse::into_response));
            }
            _ => refused("unsupported_grant_type", "this server does not know the grant"),
        };
        Ok(tokens.map(IntoResponse::into_response))
    });
    let given = given.await;
    let is_waiting = matches!(&given, Ok(Err(OauthError::Refused("authorization_pending" | "slow_down", _))));
    if !is_waiting {
        metrics::signed_in(way, given.as_ref().map(std::result::Result::is_ok));
    }
    given?.map(Sent)
}

impl IntoResponse for Tokens {
    fn into_response(self) -> Response {
        let (access, refresh) = (self.access.expose(), self.refresh.expose());
        // Letters, digits and blanks need no quoting; the room is enough, so that no copy is left behind.
        let mut body = Zeroizing::new(String::with_capacity(4096));
        let permissions = self.permissions.words();
        let openid = match (&self.id_token, permissions.is_empty()) {
            (Some(_), false) => "openid ",
            (Some(_), true) => "openid",
            (None, _) => "",
        };
        let id_token = self.id_token.as_ref().map(Secret::expose);
        let (before, after) = if id_token.is_some() { ("\",\"id_token\":\"", "\"}") } else { ("\"", "}") };
        for part in [
            "{\"access_token\":\"",
            access,
            "\",\"token_type\":\"",
            proof::token_type(self.is_bound),
            "\",\"expires_in\":",
            &self.life.to_string(),
            ",\"refresh_token\":\"",
            refresh,
            "\",\"scope\":\"",
            openid,
            &permissions,
            before,
            id_token.unwrap_or_default(),
            after,
        ] {
            body.push_str(part);
        }
        let mut response = std::mem::take(&mut *body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Gives the first tokens of a sign-in, and tells it in these words, with what it may do.
pub(super) fn first_tokens(
    rows: &mut dyn Rows,
    server: &Server,
    grant: &Grant,
    words: &str,
    about: Option<&About>,
    source: &Source,
) -> Given<Tokens> {
    if people::role(rows, &grant.scope, &grant.person)?.is_none() {
        told::refused(rows, server, grant, "program.sign-in", "no member", source)?;
        return refused("invalid_grant", "the person is not in the organization any more");
    }
    let (access, refresh) = bearer::issue_pair(rows, grant, now())?;
    let actor = Actor { person: grant.person.clone(), token: access.id.clone(), ..source.actor() };
    bearer::given(rows, &grant.scope, &access.id, &network(source.address), now())?;
    let detail = format!("{words}: {}", told::granted(&grant.permissions));
    let event = Event { detail: &detail, ..Event::done("program.sign-in", &grant.family) };
    audit::append(rows, &server.keys, &grant.scope, &actor, &event, now())?;
    let id_token = match about {
        Some(about) => id_token::make(rows, server, grant, &access, about)?,
        None => None,
    };
    let is_bound = grant.bound.is_some();
    let (access, refresh, life) = (access.token, refresh.token, ACCESS.num_seconds());
    Ok(Tokens { access, refresh, life, permissions: grant.permissions.clone(), id_token, is_bound })
}

fn by_code(server: &Server, client: &Client, asked: &Asked, key: Option<&str>, source: &Source) -> Given<Tokens> {
    let bad = || refused("invalid_grant", "the code is none, or not for this request");
    let parsed = asked.code.as_ref().and_then(|code| token::parse(code.expose()));
    let Some(parsed) = parsed.filter(|parsed| parsed.kind == Kind::Code) else { return bad() };
    // What is found out about a code that was stolen is kept, though the answer is a refusal.
    server.db.write(Reach::Server, |rows| -> Given<Given<Tokens>> {
        if !client.hold(rows)? {
            return Ok(client::unknown());
        }
        let one = "SELECT hash, org, person, client, redirect, challenge, permissions, family, expires, spent, \
                   openid, nonce, signed_in, bound FROM codes WHERE id = $1";
        let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(bad()) };
        let hash = row.bytes(0)?;
        let grant = Grant {
            scope: OrgScope::of(row.text(1)?),
            person: row.text(2)?,
            client: row.text(3)?,
            permissions: Permissions::parse(&row.text(6)?).unwrap_or_default(),
            family: row.text(7)?,
            project: None,
            bound: key.map(str::to_owned),
        };
        let (redirect, challenge) = (row.text(4)?, row.text(5)?);
        let (expires, spent) = (row.int(8)?, row.maybe_int(9)?);
        let bound = row.maybe_text(13)?;
        let about = About { nonce: row.maybe_text(11)?, signed_in: row.maybe_int(12)? };
        let about = (row.int(10)? == 1).then_some(about);
        if !parsed.is(&hash) {
            return Ok(bad());
        }
        rows.enter(Reach::Of(&grant.scope))?;
        let claim = "UPDATE codes SET spent = $2 WHERE id = $1 AND spent IS NULL";
        let at = now().timestamp_millis();
        if spent.is_some() || rows.execute(claim, values![&parsed.id, at])? == 0 {
            // Somebody else has it, too: what was given for it ends (RFC 6749 section 4.1.2).
            told::stolen(rows, server, &grant, source)?;
            return Ok(bad());
        }
        let verifier =
            asked.code_verifier.as_ref().map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose())));
        let proven = verifier.is_some_and(|made| made.as_bytes().ct_eq(challenge.as_bytes()).into());
        // An address that was taken away meanwhile is the program's no more.
        let is_there = asked.redirect_uri.as_deref() == Some(redirect.as_str()) && client.redirect(&redirect).is_some();
        let wrong = [
            (grant.client != client.id, "another program"),
            (!is_there, "another address"),
            (!proven, "another verifier"),
            (at >= expires, "too late"),
            // A code that is meant for one key is given for no other (RFC 9449 section 10).
            (!proof::has(key, bound.as_deref()), "without its key"),
        ];
        if let Some((_, why)) = wrong.into_iter().find(|(is_so, _)| *is_so) {
            told::refused(rows, server, &grant, "program.sign-in", why, source)?;
            return Ok(bad());
        }
        settled(first_tokens(rows, server, &grant, &grant.client, about.as_ref(), source))
    })?
}
