//! The first page of a new server's life: it makes the organization and its owner, once.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::account::{self, Account};
use super::page::{Page, Text, sent_on};
use super::session::{same_origin, set_cookie};
use crate::secret::Secret;
use crate::server::audit::{self, Actor, Event};
use crate::server::bridge::blocking;
use crate::server::caller::Asker;
use crate::server::db::{DbError, Rows};
use crate::server::invitations::{self, Invitation, Purpose};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::{passphrase, people};

#[derive(Deserialize)]
pub(super) struct Link {
    token: Secret,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    token: Secret,
    organization: String,
    login: String,
    passphrase: Secret,
    again: Secret,
}

pub(super) async fn show(State(server): State<Arc<Server>>, Query(link): Query<Link>) -> Answer<Response> {
    let good = blocking(&server, move |server| {
        Ok(server.db.read(|rows| good(rows, &link.token)).map(|good| good.map(|_| link.token))?)
    });
    Ok(match good.await? {
        Some(token) => form(&token, "", "", None).into_response(),
        None => spent().into_response(),
    })
}

fn spent() -> Page {
    Page::refusal(
        StatusCode::CONFLICT,
        "This link was used, has expired, or is none. While nobody can sign in, starting the server again makes a new one.",
    )
}

fn form(token: &Secret, organization: &str, login: &str, problem: Option<&str>) -> Page {
    let told = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let body = format!(
        "<p>You make the organization and become its owner. Others join by your invitation.</p>\n{told}\n\
         <form method=\"post\" action=\"/setup\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\n\
         <label>Organization<input name=\"organization\" required maxlength=\"64\" value=\"{}\"></label>\n\
         {}<button>Set up</button>\n</form>",
        Text(token.expose()),
        Text(organization),
        account::fields(login),
    );
    let page = Page::new("Set up this server", body);
    if problem.is_some() { page.status(StatusCode::UNPROCESSABLE_ENTITY) } else { page }
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    Asker(source): Asker,
    headers: HeaderMap,
    Form(wanted): Form<Wanted>,
) -> Answer<Response> {
    if let Err(page) = same_origin(&server, &headers) {
        return Ok(page.into_response());
    }
    let organization = wanted.organization.trim().to_owned();
    let account = if organization.is_empty() || organization.chars().count() > 64 {
        Err("The organization needs a name of at most 64 characters.")
    } else {
        Account::check(&wanted.login, Some(wanted.passphrase), Some(wanted.again))
    };
    let account = match account {
        Ok(account) => account,
        Err(problem) => {
            return Ok(form(&wanted.token, &organization, &wanted.login, Some(problem)).into_response());
        }
    };
    let _turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    let made = blocking(&server, move |server| {
        if server.db.read(|rows| good(rows, &wanted.token))?.is_none() {
            return Ok(None);
        }
        let hash = passphrase::hash(&account.passphrase).ok_or_else(|| Problem::internal("no hash"))?;
        let now = now();
        server.db.write(|rows| -> Answer<_> {
            let link = good(rows, &wanted.token)?;
            let Some(link) = link else { return Ok(None) };
            if !invitations::spend(rows, &link, now)? {
                return Ok(None);
            }
            let person = people::make(rows, &account.login, &hash, now)?;
            let scope = people::found(rows, &server.keys, &organization, &person, now)?;
            let actor = Actor { person: person.clone(), ..source.actor() };
            for event in [Event::done("organization.create", scope.id()), Event::done("member.join", &person)] {
                audit::append(rows, &server.keys, &scope, &actor, &event, now)?;
            }
            Ok(Some(people::sign_in(rows, &person, now)?.token))
        })
    });
    Ok(match made.await? {
        Some(session) => sent_on("/", Some(set_cookie(&server, &session))),
        None => spent().into_response(),
    })
}

/// The link of this token, if it would make an owner now.
fn good(rows: &mut dyn Rows, token: &Secret) -> Result<Option<Invitation>, DbError> {
    let found = invitations::find(rows, token, now())?;
    Ok(found.filter(|found| matches!(found.purpose, Purpose::SetUp)))
}
