//! The page on which somebody who has forgotten their passphrase chooses another one, by a link that is good once.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::page::{Page, Text, sent_on};
use super::session::{OwnForm, end_cookie};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Asker;
use crate::server::db::Reach;
use crate::server::edge::Source;
use crate::server::problem::{Answer, Problem};
use crate::server::programs::end_all;
use crate::server::reset::{self, Wanted};
use crate::server::state::{Server, now};
use crate::server::{passphrase, people};

#[derive(Deserialize)]
pub(super) struct Link {
    token: Secret,
}

#[derive(Deserialize)]
pub(super) struct Given {
    token: Secret,
    passphrase: Secret,
    again: Secret,
}

pub(super) async fn show(State(server): State<Arc<Server>>, Query(Link { token }): Query<Link>) -> Answer<Response> {
    blocking(&server, move |server| {
        Ok(match wanted(server, &token)? {
            Some(wanted) => form(&wanted, &token, None).into_response(),
            None => spent().into_response(),
        })
    })
    .await
}

/// What a link is good for now.
fn wanted(server: &Server, token: &Secret) -> Answer<Option<Wanted>> {
    let Some(parsed) = reset::parsed(token) else { return Ok(None) };
    Ok(server.db.read(Reach::Server, |rows| reset::find(rows, &parsed, now()))?)
}

fn spent() -> Page {
    let why = "This link was used, has expired, or is none. Ask whoever runs the server for a new one.";
    Page::refusal(StatusCode::CONFLICT, why)
}

fn form(wanted: &Wanted, token: &Secret, problem: Option<&str>) -> Page {
    let told = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let factor = if wanted.takes_factor {
        "<p>Your second factor goes with the old one: passkeys, the codes of an app, and recovery codes.</p>\n"
    } else {
        ""
    };
    let login = Text(&wanted.person.login);
    let body = format!(
        "<p>You choose a new passphrase for <strong>{login}</strong>. Every session ends; API keys and programs stay \
         signed in.</p>\n{factor}{told}\n<form method=\"post\" action=\"/reset\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\n\
         <input type=\"text\" name=\"login\" value=\"{login}\" autocomplete=\"username\" hidden>\n\
         <label>Passphrase<small>12 characters at least; a few words are good</small>\
         <input name=\"passphrase\" type=\"password\" required minlength=\"12\" maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n\
         <label>The same again<input name=\"again\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n<button>Choose it</button>\n</form>",
        Text(token.expose()),
    );
    let page = Page::new("A new passphrase", body);
    if problem.is_some() { page.status(StatusCode::UNPROCESSABLE_ENTITY) } else { page }
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    let _turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| decide(server, &source, &given)).await
}

fn decide(server: &Server, source: &Source, given: &Given) -> Answer<Response> {
    let id = reset::parsed(&given.token).map_or_else(|| "?".into(), |parsed| parsed.id);
    let attempt = Attempt::at("reset", &id, source.address);
    match server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now())) {
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            let why = "Too many attempts. Wait a little, then open the link again.";
            return Ok(Page::put_off(&problem, why).into_response());
        }
        early => early?,
    }
    let refused = || -> Answer<Response> {
        let event = Event { outcome: Outcome::Denied, ..Event::done("passphrase.reset", &id) };
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            attempt.failed(rows, now())?;
            Ok(audit::append(rows, &server.keys, &audit::server_scope(), &source.actor(), &event, now())?)
        })?;
        Ok(spent().into_response())
    };
    let Some(wanted) = wanted(server, &given.token)? else { return refused() };
    let problem = if given.passphrase == given.again {
        passphrase::check(&given.passphrase, &[&wanted.person.login]).err()
    } else {
        Some("The two passphrases differ.")
    };
    if problem.is_some() {
        return Ok(form(&wanted, &given.token, problem).into_response());
    }
    let hash = passphrase::hash(&given.passphrase).ok_or_else(|| Problem::internal("no hash"))?;
    let person = wanted.person.id.as_str();
    let is_done = server.db.write(Reach::Server, |rows| -> Answer<bool> {
        if !wanted.fulfil(rows, &hash, now())? {
            return Ok(false);
        }
        let actor = Actor { person: person.to_owned(), ..source.actor() };
        let detail = reset::in_words(wanted.takes_factor);
        let event = Event { detail, ..Event::done("passphrase.reset", person) };
        reset::tell(rows, &server.keys, person, &actor, &event)?;
        // As with any new passphrase: whoever knew the old one may have let a program in.
        for member in people::memberships(rows, person)? {
            for ended in end_all(rows, &member.scope, person, false)? {
                ended.tell(rows, &server.keys, &actor)?;
            }
        }
        Ok(true)
    })?;
    if is_done { Ok(sent_on("/sign-in", Some(end_cookie(server)))) } else { refused() }
}
