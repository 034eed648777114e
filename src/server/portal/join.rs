//! Joining an organization by a link: with an account of one's own, or with a new one.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::account::{self, Account};
use super::page::{Page, Text, sent_on};
use super::session::{SignedIn, Visitor, same_origin, set_cookie};
use crate::secret::Secret;
use crate::server::audit::{self, Actor, Event};
use crate::server::bridge::blocking;
use crate::server::db::{DbError, Rows, values};
use crate::server::edge::Source;
use crate::server::invitations::{self, Invitation, Purpose};
use crate::server::permission::Role;
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
    /// Of whoever is signed in.
    word: Option<String>,
    login: Option<String>,
    passphrase: Option<Secret>,
    again: Option<Secret>,
}

/// What somebody is invited to, in words.
struct Offer {
    organization: String,
    role: Role,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    Query(link): Query<Link>,
) -> Answer<Response> {
    let offered = blocking(&server, move |server| Ok(offer(server, &link.token)?.map(|offer| (link.token, offer))));
    Ok(match offered.await? {
        Some((token, offer)) => form(&token, &offer, visitor.signed_in.as_ref(), "", None).into_response(),
        None => spent().into_response(),
    })
}

fn offer(server: &Server, token: &Secret) -> Answer<Option<Offer>> {
    server.db.read(|rows| {
        let Some(Invitation { purpose: Purpose::Join { scope, role, .. }, .. }) =
            invitations::find(rows, token, now())?
        else {
            return Ok(None);
        };
        let name = rows.first("SELECT name FROM organizations WHERE id = $1", values![scope.id()])?;
        let organization = name.map(|mut row| row.text(0)).transpose()?.unwrap_or_default();
        Ok(Some(Offer { organization, role }))
    })
}

fn spent() -> Page {
    let why = "This link was used, has expired, or is none. Whoever sent it can make a new one.";
    Page::refusal(StatusCode::CONFLICT, why)
}

fn form(token: &Secret, offer: &Offer, signed_in: Option<&SignedIn>, login: &str, problem: Option<&str>) -> Page {
    let told = problem.map(|problem| format!("<p role=\"alert\">{}</p>\n", Text(problem))).unwrap_or_default();
    let hidden = format!("<input type=\"hidden\" name=\"token\" value=\"{}\">\n", Text(token.expose()));
    let whom = match signed_in {
        Some(signed_in) => format!(
            "<p>You are signed in as <strong>{}</strong>.</p>\n<input type=\"hidden\" name=\"word\" value=\"{}\">\n",
            Text(&signed_in.person.login),
            Text(&signed_in.form_word)
        ),
        None => account::fields(login),
    };
    let hint = if signed_in.is_some() { String::new() } else { sign_in_hint(token) };
    let body = format!(
        "<p>You are invited to <strong>{}</strong>, as {}.</p>\n{told}<form method=\"post\" action=\"/join\">\n\
         {hidden}{whom}<button>Join</button>\n</form>{hint}",
        Text(&offer.organization),
        Text(offer.role.word()),
    );
    let page = Page::new("Join an organization", body);
    if problem.is_some() { page.status(StatusCode::UNPROCESSABLE_ENTITY) } else { page }
}

/// The way for whoever has an account here already.
fn sign_in_hint(token: &Secret) -> String {
    let next = [("next", ["/join?token=", token.expose()].concat())];
    let next = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(next).finish();
    format!("\n<p class=\"hint\">You have an account here? <a href=\"/sign-in?{}\">Sign in first</a>.</p>", Text(&next))
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(wanted): Form<Wanted>,
) -> Answer<Response> {
    if let Err(page) = same_origin(&server, &headers) {
        return Ok(page.into_response());
    }
    let source = visitor.source;
    let own = visitor.signed_in.filter(|signed_in| wanted.word.as_deref().is_some_and(|word| signed_in.has_sent(word)));
    if let Some(signed_in) = own {
        let joined = blocking(&server, move |server| join_as(server, &wanted.token, &signed_in, &source));
        return Ok(if joined.await? { sent_on("/", None) } else { spent().into_response() });
    }
    let login = wanted.login.clone().unwrap_or_default();
    let account = Account::check(&login, wanted.passphrase, wanted.again);
    let _turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let Some(offer) = offer(server, &wanted.token)? else { return Ok(spent().into_response()) };
        let account = match account {
            Ok(account) => account,
            Err(problem) => return Ok(form(&wanted.token, &offer, None, &login, Some(problem)).into_response()),
        };
        let hash = passphrase::hash(&account.passphrase).ok_or_else(|| Problem::internal("no hash"))?;
        let joined = server.db.write(|rows| -> Answer<Option<Secret>> {
            let person = people::make(rows, &account.login, &hash, now())?;
            if !join(rows, server, &wanted.token, &person, &source)? {
                return Err(Problem::not_found());
            }
            Ok(Some(people::sign_in(rows, &person, now())?.token))
        });
        Ok(match joined {
            Ok(session) => sent_on("/", session.map(|session| set_cookie(server, &session))),
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => spent().into_response(),
            Err(problem) if problem.status() == StatusCode::CONFLICT => {
                let why = "This login is taken. If it is yours, sign in first, then open the link again.";
                form(&wanted.token, &offer, None, &login, Some(why)).into_response()
            }
            Err(problem) => return Err(problem),
        })
    })
    .await
}

fn join_as(server: &Server, token: &Secret, signed_in: &SignedIn, source: &Source) -> Answer<bool> {
    let joined = server.db.write(|rows| -> Answer<bool> { join(rows, server, token, &signed_in.person.id, source) });
    match joined {
        // Whoever is in the organization already stays what they are, and the link stays good for somebody else.
        Err(problem) if problem.status() == StatusCode::CONFLICT => Ok(true),
        joined => joined,
    }
}

/// Makes a person a member, and spends the link; `false` where it does not count.
fn join(rows: &mut dyn Rows, server: &Server, token: &Secret, person: &str, source: &Source) -> Answer<bool> {
    let Some(found) = invitations::find(rows, token, now())? else { return Ok(false) };
    let Purpose::Join { scope, role, .. } = &found.purpose else { return Ok(false) };
    if !invitations::spend(rows, &found, now())? {
        return Ok(false);
    }
    let joined: Result<u64, DbError> = rows.execute(
        "INSERT INTO members (org, person, role, created) VALUES ($1, $2, $3, $4)",
        values![scope.id(), person, role.word(), now().timestamp_millis()],
    );
    joined?;
    let actor = Actor { person: person.to_owned(), ..source.actor() };
    let event = Event { detail: role.word(), ..Event::done("member.join", person) };
    audit::append(rows, &server.keys, scope, &actor, &event, now())?;
    Ok(true)
}
