//! The first page of a new server's life: it makes the organization and its owner, once.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::known::Entry;
use super::page::{Page, Text};
use super::session::{OwnForm, local_path};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Asker;
use crate::server::db::{DbError, Reach, Rows, values};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};
use crate::server::{passphrase, people};

#[derive(Deserialize)]
pub(super) struct Link {
    token: Secret,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    token: Secret,
    organization: String,
    login: String,
    passphrase: Secret,
    again: Secret,
    next: Option<String>,
}

pub(super) async fn show(State(server): State<Arc<Server>>, Query(link): Query<Link>) -> Answer<Response> {
    let is_good = blocking(&server, move |server| {
        Ok(server.db.read(Reach::Server, |rows| is_good(rows, &link.token)).map(|good| good.then_some(link))?)
    });
    Ok(match is_good.await? {
        Some(link) => form(&link.token, local_path(link.next.as_deref()), "", "", None).into_response(),
        None => spent().into_response(),
    })
}

fn spent() -> Page {
    Page::refusal(
        StatusCode::CONFLICT,
        "This link was used, has expired, or is none. While nobody can sign in, starting the server again makes a new one.",
    )
}

fn form(token: &Secret, next: &str, organization: &str, login: &str, problem: Option<&str>) -> Page {
    let problem = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let body = format!(
        "<p>You make the organization and become its owner. Others join later.</p>\n{problem}\n\
         <form method=\"post\" action=\"/setup\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\n\
         <input type=\"hidden\" name=\"next\" value=\"{}\">\n\
         <label>Organization<input name=\"organization\" required maxlength=\"64\" value=\"{}\"></label>\n\
         <label>Your login<small>An e-mail address or a name</small>\
         <input name=\"login\" required maxlength=\"128\" autocomplete=\"username\" autocapitalize=\"none\" \
         spellcheck=\"false\" value=\"{}\"></label>\n\
         <label>Passphrase<small>12 characters at least; a few words are good</small>\
         <input name=\"passphrase\" type=\"password\" required minlength=\"12\" maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n\
         <label>The same again<input name=\"again\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n\
         <button>Set up</button>\n</form>",
        Text(token.expose()),
        Text(next),
        Text(organization),
        Text(login),
    );
    let page = Page::new("Set up this server", body);
    if problem.is_empty() { page } else { page.status(StatusCode::UNPROCESSABLE_ENTITY) }
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    OwnForm(wanted): OwnForm<Wanted>,
) -> Answer<Response> {
    let next = local_path(wanted.next.as_deref()).to_owned();
    let login = people::login(&wanted.login);
    let organization = wanted.organization.trim().to_owned();
    let is_seen = !organization.chars().any(crate::text::is_unprintable);
    let problem = if organization.is_empty() || organization.chars().count() > 64 || !is_seen {
        Some("The organization needs a name of at most 64 characters, all of which are seen.")
    } else if login.is_none() {
        Some("A login has letters, digits and . _ @ + - and begins with a letter or a digit.")
    } else if wanted.passphrase != wanted.again {
        Some("The two passphrases differ.")
    } else {
        passphrase::check(&wanted.passphrase, &[&wanted.login, &organization]).err()
    };
    let (Some(login), None) = (login, problem) else {
        return Ok(form(&wanted.token, &next, &organization, &wanted.login, problem).into_response());
    };
    let _turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    let made = blocking(&server, move |server| {
        let id = token::parse(wanted.token.expose()).map_or_else(|| "?".into(), |parsed| parsed.id);
        let attempt = Attempt::at("setup", &id, source.address);
        // Before anything is looked at or told: whoever tries links fills no audit.
        server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now()))?;
        let refused = || {
            let event = Event { outcome: Outcome::Denied, ..Event::done("organization.create", "") };
            server.db.write(Reach::Server, |rows| -> Answer<_> {
                attempt.take(rows, now())?;
                attempt.failed(rows, now())?;
                audit::append(rows, &server.keys, &audit::server_scope(), &source.actor(), &event, now())?;
                Ok(None)
            })
        };
        if !server.db.read(Reach::Server, |rows| is_good(rows, &wanted.token))? {
            return refused();
        }
        let hash = passphrase::hash(&wanted.passphrase).ok_or_else(|| Problem::internal("no hash"))?;
        let now = now();
        let made = server.db.write(Reach::Server, |rows| -> Answer<_> {
            if !spend(rows, &wanted.token)? {
                return Ok(None);
            }
            let (person, scope) = people::found(rows, &server.keys, &organization, &login, &hash, now)?;
            let actor = Actor { person: person.id.clone(), ..source.actor() };
            for event in [Event::done("organization.create", scope.id()), Event::done("member.create", &person.id)] {
                audit::append(rows, &server.keys, &scope, &actor, &event, now)?;
            }
            let session = people::sign_in(rows, &person.id, now)?.token;
            Ok(Some(Entry::known(rows, &server.keys, &person.id, session)?))
        })?;
        made.map_or_else(refused, |entry| Ok(Some(entry)))
    });
    let made = match made.await {
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            let why = "Too many attempts. Wait a little, then open the link again.";
            return Ok(Page::put_off(&problem, why).into_response());
        }
        made => made?,
    };
    Ok(match made {
        Some(entry) => entry.sent_on(&server, &next),
        None => spent().into_response(),
    })
}

/// Whether a link would make an owner now.
fn is_good(rows: &mut dyn Rows, token: &Secret) -> Result<bool, DbError> {
    let Some(parsed) = token::parse(token.expose()).filter(|parsed| parsed.kind == Kind::Invitation) else {
        return Ok(false);
    };
    let one = "SELECT hash FROM invitations WHERE id = $1 AND purpose = 'setup' AND spent IS NULL AND expires > $2";
    let Some(mut row) = rows.first(one, values![&parsed.id, now().timestamp_millis()])? else { return Ok(false) };
    Ok(parsed.is(&row.bytes(0)?) && people::is_empty(rows)?)
}

/// Spends a link: of several who try at once, one succeeds.
fn spend(rows: &mut dyn Rows, token: &Secret) -> Result<bool, DbError> {
    if !is_good(rows, token)? {
        return Ok(false);
    }
    let Some(parsed) = token::parse(token.expose()) else { return Ok(false) };
    let spend = "UPDATE invitations SET spent = $2 WHERE id = $1 AND spent IS NULL";
    Ok(rows.execute(spend, values![&parsed.id, now().timestamp_millis()])? > 0)
}
