//! Signing in to the portal, and out of it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::inside::Myself;
use super::known::{self, Entry};
use super::page::{Page, Text, sent_on};
use super::session::{OwnForm, Visitor, end_cookie, local_path};
use super::{denied, half, passkeys};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Actor, Event};
use crate::server::bridge::blocking;
use crate::server::db::{OrgScope, Reach, Rows};
use crate::server::edge::Source;
use crate::server::people::Person;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::upstream::{self, Offered};
use crate::server::{factors, metrics, passkey, passphrase, people};

/// What whoever is refused is told: not whether the login or the passphrase was wrong.
const WRONG: &str = "Login and passphrase do not match.";

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Given {
    login: String,
    passphrase: Secret,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Word {
    word: String,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    Query(Next { next }): Query<Next>,
) -> Answer<Response> {
    let next = local_path(next.as_deref()).to_owned();
    if visitor.signed_in.is_some() {
        return Ok(sent_on(&next, None));
    }
    Ok(form("", &next, None, &ways(&server).await?).into_response())
}

/// The ways to sign in without a passphrase.
struct Ways {
    issuers: Vec<Offered>,
    /// Whether this server has a name that a passkey can be of.
    passkeys: bool,
}

async fn ways(server: &Arc<Server>) -> Answer<Ways> {
    let issuers = blocking(server, |server| Ok(server.db.read(Reach::Server, upstream::offered)?)).await?;
    Ok(Ways { issuers, passkeys: passkey::site(server).is_some() })
}

fn form(login: &str, next: &str, problem: Option<&str>, ways: &Ways) -> Page {
    let problem = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let body = format!(
        "{problem}\n<form method=\"post\" action=\"/sign-in\">\n\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\n\
         <label>Login<input name=\"login\" required maxlength=\"128\" autocomplete=\"username\" \
         autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>\n\
         <label>Passphrase<input name=\"passphrase\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"current-password\"></label>\n<button>Sign in</button>\n</form>{}{}",
        Text(next),
        Text(login),
        passkeys::button(ways.passkeys, "Sign in with a passkey", "/sign-in/passkey", &[("next", next)]),
        upstream::buttons(&ways.issuers, "Sign in with", &[("next", next)]),
    );
    Page::new("Sign in", body)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    let next = local_path(given.next.as_deref()).to_owned();
    let shown = given.login.clone();
    let turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    let former = visitor.signed_in.map(|signed_in| signed_in.session);
    let from = visitor.source.clone();
    let compared = blocking(&server, move |server| compare(server, &given, &from)).await;
    // Before anything is written: how long that takes is seen neither by whoever waits for a turn nor in the answer.
    drop(turn);
    let since = Instant::now();
    let tried = match compared {
        Ok(compared) => {
            let tried = blocking(&server, move |server| sign_in(server, compared, &visitor.source, former.as_deref()));
            let tried = tried.await;
            if !matches!(tried, Ok(Tried::In(_) | Tried::Half(_))) {
                denied::beat(since).await;
            }
            tried
        }
        Err(problem) => Err(problem),
    };
    metrics::signed_in("passphrase", tried.as_ref().map(|tried| !matches!(tried, Tried::Wrong)));
    Ok(match tried {
        Ok(Tried::In(entry)) => entry.sent_on(&server, &next),
        Ok(Tried::Half(half)) => half::form(&half, &next, None).into_response(),
        Ok(Tried::Wrong) => {
            form(&shown, &next, Some(WRONG), &ways(&server).await?).status(StatusCode::FORBIDDEN).into_response()
        }
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            let why = "Too many attempts. Wait a little, then try again.";
            let page = form(&shown, &next, Some(why), &ways(&server).await?);
            page.after(&problem).into_response()
        }
        Err(problem) => return Err(problem),
    })
}

/// What came of a passphrase.
enum Tried {
    Wrong,
    /// With a new session.
    In(Entry),
    /// It was right, and the second factor is asked for.
    Half(half::Half),
}

/// A passphrase that was held against that of a login.
struct Compared {
    attempt: Attempt,
    /// Whose login it is, and the hash that was kept of their passphrase.
    person: Option<(Person, String)>,
    is_right: bool,
    /// What is to be kept of it instead.
    renewed: Option<String>,
}

/// Holds a passphrase against that of the login, which takes as long where nobody has that.
fn compare(server: &Server, given: &Given, source: &Source) -> Answer<Compared> {
    // What cannot be a login is counted as one name, and costs as much.
    let login = people::login(&given.login).unwrap_or_else(|| "?".into());
    let (attempt, found) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let browser = known::browser_at(rows, &server.keys, source, &login)?;
        let attempt = Attempt::at("sign-in", &login, source.address).in_browser(browser.as_deref());
        attempt.refuse_early(rows, now())?;
        Ok((attempt, people::by_login(rows, &login)?))
    })?;
    let is_right = passphrase::is_right(&given.passphrase, found.as_ref().map(|(_, kept)| kept.as_str()));
    let outdated = is_right && found.as_ref().is_some_and(|(_, kept)| passphrase::is_outdated(kept));
    // Made with what was enough once; now is the one time that the passphrase is here to make it anew.
    let renewed = if outdated { passphrase::hash(&given.passphrase) } else { None };
    Ok(Compared { attempt, person: found, is_right, renewed })
}

/// A new session, where login and passphrase match.
fn sign_in(server: &Server, compared: Compared, source: &Source, former: Option<&str>) -> Answer<Tried> {
    let (now, Compared { attempt, person, is_right, renewed }) = (now(), compared);
    server.db.write(Reach::Server, |rows| {
        // Of many who try at once, the first are counted by now.
        attempt.take(rows, now)?;
        let Some((person, kept)) = person.as_ref().filter(|_| is_right) else {
            attempt.failed(rows, now)?;
            let person = person.as_ref().map(|(person, _)| person.id.as_str());
            denied::tell(rows, server, source, &denied::Tried { person, way: "passphrase", why: "" })?;
            return Ok(Tried::Wrong);
        };
        // Whoever has changed it meanwhile has another: the old one lets nobody in any more.
        if !people::keep_passphrase(rows, &person.id, renewed.as_ref().unwrap_or(kept), kept)? {
            return Ok(Tried::Wrong);
        }
        attempt.succeeded(rows)?;
        if let Some(former) = former {
            people::sign_out(rows, former)?;
        }
        if factors::are_asked(rows, &person.id)? {
            let begun = half::Begun { person: &person.id, only: None, invitation: None };
            return Ok(Tried::Half(half::begin(rows, &begun, now)?));
        }
        Ok(Tried::In(begin(rows, server, &person.id, None, source, "")?))
    })
}

/// Begins a session, and tells it in every organization in which it counts.
pub(super) fn begin(
    rows: &mut dyn Rows,
    server: &Server,
    person: &str,
    only: Option<&OrgScope>,
    source: &Source,
    detail: &str,
) -> Answer<Entry> {
    let session = people::sign_in_to(rows, person, only, now())?;
    let actor = Actor { person: person.to_owned(), token: session.id, ..source.actor() };
    let members = people::memberships(rows, person)?.into_iter().map(|member| member.scope);
    for scope in audit::told_in(members.filter(|scope| only.is_none_or(|only| only == scope))) {
        let event = Event { detail, ..Event::done("sign-in", person) };
        audit::append(rows, &server.keys, &scope, &actor, &event, now())?;
    }
    match only {
        None => Entry::known(rows, &server.keys, person, session.token),
        Some(_) => Ok(Entry::of(session.token)),
    }
}

pub(super) async fn sign_out(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(Word { word }): OwnForm<Word>,
) -> Answer<Response> {
    let Some(signed_in) = visitor.signed_in.filter(|signed_in| signed_in.has_sent(&word)) else {
        return Ok(sent_on("/sign-in", Some(end_cookie(&server))));
    };
    blocking(&server, move |server| {
        let is_out = server.db.write(Reach::Server, |rows| -> Answer<bool> {
            let person = &signed_in.person.id;
            if !people::sign_out_of_all(rows, person, &signed_in.session, signed_in.proved)? {
                return Ok(false);
            }
            Myself { signed_in, source: visitor.source }.tell(rows, server, &Event::done("sign-out", ""))?;
            Ok(true)
        })?;
        // It ended meanwhile. Where another one took its place, this browser has that by now, and sees so.
        Ok(if is_out { sent_on("/sign-in", Some(end_cookie(server))) } else { sent_on("/", None) })
    })
    .await
}
