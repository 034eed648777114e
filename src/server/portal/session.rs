//! The session of a browser, and what makes a form believable.

use std::sync::Arc;

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use super::known::Known;
use super::page::{Page, sent_on};
use crate::secret::Secret;
use crate::server::audit::Actor;
use crate::server::bridge::blocking;
use crate::server::db::{OrgScope, Reach};
use crate::server::edge::Source;
use crate::server::last_used;
use crate::server::people::{self, Member, Person};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::token::{self, Parsed};

/// So long after somebody has shown who they are, they are not asked again.
const FRESH: TimeDelta = TimeDelta::minutes(10);

/// Whoever looks at a page, as far as their session tells.
pub(crate) struct Visitor {
    /// Where from.
    pub(crate) source: Source,
    /// Who they are, where they are signed in.
    pub(crate) signed_in: Option<SignedIn>,
}

/// Somebody with a session.
#[derive(Clone)]
pub(crate) struct SignedIn {
    /// Who it is.
    pub(crate) person: Person,
    /// The organizations that they are in.
    pub(crate) members: Vec<Member>,
    /// The public part of the session.
    pub(crate) session: String,
    /// The only organization that it counts in, where that is one.
    pub(crate) only: Option<OrgScope>,
    /// When its owner last showed who they are.
    pub(crate) proved: i64,
    /// Whether it was made by an issuer for somebody who has ways of their own to sign in.
    pub(crate) is_guest: bool,
    /// The word that every form of this session carries.
    pub(crate) form_word: String,
}

impl SignedIn {
    /// Who they are, for the audit.
    pub(crate) fn actor(&self, source: &Source) -> Actor {
        Actor { person: self.person.id.clone(), token: self.session.clone(), ..source.actor() }
    }

    /// Whether its owner has just shown who they are.
    pub(crate) fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now.timestamp_millis() - self.proved;
        (0..FRESH.num_milliseconds()).contains(&age)
    }

    /// Whether a form is of this session.
    pub(crate) fn has_sent(&self, word: &str) -> bool {
        self.form_word.as_bytes().ct_eq(word.as_bytes()).into()
    }
}

impl FromRequestParts<Arc<Server>> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        let source = parts.extensions.get::<Source>().cloned().unwrap_or_default();
        let source = Source { known: Known::shown(server, &parts.headers), ..source };
        let Some(token) = cookie(server, &parts.headers) else { return Ok(Self { source, signed_in: None }) };
        let actor = source.actor();
        let signed_in = blocking(server, move |server| look_up(server, &token, &actor)).await?;
        Ok(Self { source, signed_in })
    }
}

fn look_up(server: &Server, token: &Secret, from: &Actor) -> Answer<Option<SignedIn>> {
    let now = now();
    let found = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let Some(session) = people::session(rows, token.expose(), now)? else { return Ok(None) };
        let mut members = people::memberships(rows, &session.person.id)?;
        members.retain(|member| session.only.as_ref().is_none_or(|only| *only == member.scope));
        Ok(Some((session, members)))
    })?;
    let Some((session, members)) = found else { return Ok(None) };
    if last_used::is_due(session.used, now) {
        server.last_used.session(&session.id, now, from);
    }
    let key = server.keys.derived("form").ok_or_else(|| Problem::internal("no key for forms"))?;
    let form_word = URL_SAFE_NO_PAD.encode(key.code(&[token.expose().as_bytes()]));
    let people::Session { person, id, only, proved, is_guest, .. } = session;
    Ok(Some(SignedIn { person, members, session: id, only, proved, is_guest, form_word }))
}

/// The name of the cookie. Under https, browsers hold one of that name to this host and to https; on loopback, which
/// all ports share, the port tells one server from another.
pub(super) fn cookie_name(server: &Server) -> String {
    if server.public.scheme() == "https" {
        return "__Host-lanyard".into();
    }
    format!("lanyard-{}", server.public.port_or_known_default().unwrap_or_default())
}

/// The session that a browser shows, as far as it looks like one.
pub(crate) fn shown_session(server: &Server, headers: &HeaderMap) -> Option<Parsed> {
    token::parse(cookie(server, headers)?.expose())
}

/// The cookie of a session.
fn cookie(server: &Server, headers: &HeaderMap) -> Option<Secret> {
    cookie_of(&cookie_name(server), headers)
}

/// The cookie of whoever is at an issuer now, and is to come back.
pub(crate) fn errand(server: &Server, headers: &HeaderMap) -> Option<Secret> {
    cookie_of(&format!("{}-errand", cookie_name(server)), headers)
}

/// The header that gives a browser such a cookie, for so many seconds; for none, it takes it back.
pub(crate) fn set_errand(server: &Server, token: &Secret, seconds: i64) -> String {
    let secure = if server.public.scheme() == "https" { "; Secure" } else { "" };
    let (name, token) = (cookie_name(server), token.expose());
    format!("{name}-errand={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// What a browser shows under a name.
pub(super) fn cookie_of(name: &str, headers: &HeaderMap) -> Option<Secret> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut named = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    named.find(|(known, _)| *known == name).map(|(_, value)| Secret::new(value.to_owned()))
}

/// The header that gives a browser its session.
pub(crate) fn set_cookie(server: &Server, token: &Secret) -> String {
    let secure = if server.public.scheme() == "https" { "; Secure" } else { "" };
    format!("{}={}; Path=/; HttpOnly; SameSite=Lax{secure}", cookie_name(server), token.expose())
}

/// The header that takes it back.
pub(super) fn end_cookie(server: &Server) -> String {
    let secure = if server.public.scheme() == "https" { "; Secure" } else { "" };
    format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}", cookie_name(server))
}

/// Refuses a form that another site had the browser send. Where the browser does not say, the origin must be ours.
pub(super) fn same_origin(server: &Server, headers: &HeaderMap) -> Result<(), Page> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let own = server.public.origin().ascii_serialization();
    let from_here = match text("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => text("origin") == Some(own.as_str()),
    };
    if from_here {
        return Ok(());
    }
    Err(Page::refusal(StatusCode::FORBIDDEN, "This form was sent from another site."))
}

/// A form of a page of this server's own; one that another site had the browser send is refused before it is read.
pub(crate) struct OwnForm<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Server>> for OwnForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, server: &Arc<Server>) -> Result<Self, Response> {
        same_origin(server, request.headers()).map_err(IntoResponse::into_response)?;
        let Form(form) = Form::from_request(request, server).await.map_err(IntoResponse::into_response)?;
        Ok(Self(form))
    }
}

/// Sends whoever is not signed in to sign in, and then back here.
pub(crate) fn sign_in_first(to: &str) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(to.as_bytes()).collect();
    sent_on(&format!("/sign-in?next={next}"), None)
}

/// The path to go on to after a sign-in: one of this server's own, or the first page.
pub(crate) fn local_path(next: Option<&str>) -> &str {
    let is_local = |next: &&str| {
        let known = ["/authorize?", "/device", "/invite?", "/second-factor", "/portal/", "/account"];
        let known = known.iter().any(|known| next.starts_with(known));
        known && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    next.filter(is_local).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_goes_on_to_this_server_alone() {
        assert_eq!(local_path(Some("/authorize?client_id=lanyard")), "/authorize?client_id=lanyard");
        assert_eq!(local_path(Some("/portal/org_1/credentials?q=a")), "/portal/org_1/credentials?q=a");
        assert_eq!(local_path(Some("/device?user_code=BCDF-GHJK")), "/device?user_code=BCDF-GHJK");
        for other in
            ["//evil.example", "https://evil.example", "/\\evil.example", "/authorize?\r\nx", "", "javascript:1"]
        {
            assert_eq!(local_path(Some(other)), "/", "{other}");
        }
        assert_eq!(local_path(None), "/");
    }
}
