//! The page on which an invitation is accepted by the one whom it is for: by somebody new, or by whoever is signed in.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use serde::Deserialize;

use super::accept::{Accepted, Invited, Who, accept, find, parsed};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::Reach;
use crate::server::portal::page::{Page, Text};
use crate::server::portal::{Entry, OwnForm, SignedIn, Visitor};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::upstream::{self, Offered};
use crate::server::{passphrase, people};

#[derive(Deserialize)]
pub(super) struct Link {
    token: Secret,
}

/// The form: with a word from whoever is signed in, with a login and a passphrase from somebody new.
#[derive(Deserialize)]
pub(super) struct Given {
    token: Secret,
    word: Option<String>,
    login: Option<String>,
    passphrase: Option<Secret>,
    again: Option<Secret>,
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    Query(Link { token }): Query<Link>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        Ok(match server.db.read(Reach::Server, |rows| find(rows, &token, now()))? {
            Some(invited) => {
                let ways = server.db.read(Reach::Server, |rows| upstream::of(rows, &invited.scope))?;
                page(&invited, &token, visitor.signed_in.as_ref(), None, &ways).into_response()
            }
            None => gone().into_response(),
        })
    })
    .await
}

fn gone() -> Page {
    let why = "This invitation was used, withdrawn, has expired, or is none. Ask whoever sent it for a new one.";
    Page::refusal(StatusCode::CONFLICT, why)
}

fn page(
    invited: &Invited,
    token: &Secret,
    signed_in: Option<&SignedIn>,
    problem: Option<&str>,
    ways: &[Offered],
) -> Page {
    let until = DateTime::from_timestamp_millis(invited.expires).map(|at| at.format("%Y-%m-%d").to_string());
    let told = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let form = match signed_in {
        Some(signed_in) if !invited.is_for(&signed_in.person.login) => another(signed_in),
        Some(signed_in) => known(signed_in),
        None => new(token, &invited.whom) + &upstream::buttons(ways, "Join with", &[("token", token.expose())]),
    };
    let body = format!(
        "<p><strong>{}</strong> is invited to <strong>{}</strong>, as <strong>{}</strong>, until {}.</p>\n{told}\n\
         <form method=\"post\" action=\"/invite\">\n<input type=\"hidden\" name=\"token\" value=\"{}\">\n{form}",
        Text(&invited.whom),
        Text(&invited.organization),
        invited.role.word(),
        until.unwrap_or_default(),
        Text(token.expose()),
    );
    let page = Page::new("An invitation", body);
    if problem.is_some() { page.status(StatusCode::UNPROCESSABLE_ENTITY) } else { page }
}

fn known(signed_in: &SignedIn) -> String {
    format!(
        "<input type=\"hidden\" name=\"word\" value=\"{}\">\n<button>Join as {}</button>\n</form>\n\
         <p class=\"hint\">To join as somebody else, have them invited.</p>",
        Text(&signed_in.form_word),
        Text(&signed_in.person.login),
    )
}

/// For whoever is signed in as somebody else.
fn another(signed_in: &SignedIn) -> String {
    format!(
        "</form>\n<p>You are signed in as {}, for whom it is not. Sign out on <a href=\"/\">the first page</a>, then open \
         the link again; or ask for an invitation of your own.</p>",
        Text(&signed_in.person.login),
    )
}

fn new(token: &Secret, login: &str) -> String {
    let back: String =
        url::form_urlencoded::byte_serialize(["/invite?token=", token.expose()].concat().as_bytes()).collect();
    format!(
        "<label>Your login<small>The one whom the invitation is for</small>\
         <input name=\"login\" required readonly autocomplete=\"username\" value=\"{}\"></label>\n\
         <label>Passphrase<small>12 characters at least; a few words are good</small>\
         <input name=\"passphrase\" type=\"password\" required minlength=\"12\" maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n\
         <label>The same again<input name=\"again\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"new-password\"></label>\n\
         <button>Join</button>\n</form>\n\
         <p class=\"hint\">You have a login here already? <a href=\"/sign-in?next={back}\">Sign in</a>, and join with \
         it.</p>",
        Text(login),
    )
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    // Hashing has a queue of its own, and only who is new waits in it.
    let turn = match visitor.signed_in {
        None => Some(server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?),
        Some(_) => None,
    };
    let done = blocking(&server, move |server| decide(server, &visitor, &given)).await;
    drop(turn);
    done
}

fn decide(server: &Server, visitor: &Visitor, given: &Given) -> Answer<Response> {
    let id = parsed(&given.token).map_or_else(|| "?".into(), |parsed| parsed.id);
    let attempt = Attempt::at("invite", &id, visitor.source.address);
    match server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now())) {
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            let why = "Too many attempts. Wait a little, then open the link again.";
            return Ok(Page::put_off(&problem, why).into_response());
        }
        early => early?,
    }
    let refused = || -> Answer<Response> {
        let actor =
            visitor.signed_in.as_ref().map_or_else(|| visitor.source.actor(), |known| known.actor(&visitor.source));
        let event = Event { outcome: Outcome::Denied, ..Event::done("invitation.accept", &id) };
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            attempt.failed(rows, now())?;
            Ok(audit::append(rows, &server.keys, &audit::server_scope(), &actor, &event, now())?)
        })?;
        Ok(gone().into_response())
    };
    let Some(invited) = server.db.read(Reach::Server, |rows| find(rows, &given.token, now()))? else {
        return refused();
    };
    let ways = server.db.read(Reach::Server, |rows| upstream::of(rows, &invited.scope))?;
    let again = |why: &str| page(&invited, &given.token, visitor.signed_in.as_ref(), Some(why), &ways).into_response();
    // Whoever has a link could otherwise try all logins that there may be.
    let not_so = |detail: &str| -> Answer<()> {
        let event = Event { outcome: Outcome::Denied, detail, ..Event::done("invitation.accept", &id) };
        // An organization learns nothing of those who are not in it.
        let is_in = |known: &&SignedIn| known.members.iter().any(|member| member.scope == invited.scope);
        let member = visitor.signed_in.as_ref().filter(is_in);
        let actor = member.map_or_else(|| visitor.source.actor(), |known| known.actor(&visitor.source));
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            attempt.failed(rows, now())?;
            Ok(audit::append(rows, &server.keys, &invited.scope, &actor, &event, now())?)
        })
    };
    let accepted = match &visitor.signed_in {
        Some(known) => {
            if !given.word.as_deref().is_some_and(|word| known.has_sent(word)) {
                not_so("form")?;
                return Ok(again("Your session has changed meanwhile. Send the form once more."));
            }
            accept(server, &given.token, &Who::Known(known), &visitor.source)?
        }
        None => match newcomer(given) {
            Ok((login, passphrase)) => {
                let hash = passphrase::hash(passphrase).ok_or_else(|| Problem::internal("no hash"))?;
                let who = Who::New { login: &login, hash: &hash, name: Some(&login) };
                accept(server, &given.token, &who, &visitor.source)?
            }
            Err(problem) => return Ok(again(problem)),
        },
    };
    Ok(match accepted {
        Accepted::Joined { person, session } => {
            let entry = match &visitor.signed_in {
                Some(_) => Entry::of(session),
                // Only they know the passphrase that they have just chosen.
                None => server.db.read(Reach::Server, |rows| Entry::known(rows, &server.keys, &person, session))?,
            };
            entry.sent_on(server, "/")
        }
        Accepted::Gone => return refused(),
        Accepted::AlreadyIn => {
            not_so("a member already")?;
            again("You are in this organization already. The link is still good for the one whom it is for.")
        }
        Accepted::Elsewhere => {
            not_so("signed in to another organization alone")?;
            again("You are signed in to another organization alone. Sign in with your passphrase or a passkey first.")
        }
        Accepted::NotTheirs => {
            not_so("for somebody else")?;
            again("This invitation is for somebody else. Join as the one whom it is for, or ask for another.")
        }
        Accepted::LoginTaken => {
            not_so("login")?;
            again("This login cannot be taken. If it is yours, sign in with it, then open the link again.")
        }
    })
}

/// The login and the passphrase of somebody new; else why they cannot be used.
fn newcomer(given: &Given) -> Result<(String, &Secret), &'static str> {
    const LOGIN: &str = "A login has letters, digits and . _ @ + - and begins with a letter or a digit.";
    let login = given.login.as_deref().and_then(people::login).ok_or(LOGIN)?;
    let passphrase = given.passphrase.as_ref().ok_or("A passphrase is needed.")?;
    if given.again.as_ref() != Some(passphrase) {
        return Err("The two passphrases differ.");
    }
    passphrase::check(passphrase, &[&login])?;
    Ok((login, passphrase))
}
