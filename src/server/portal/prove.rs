//! Showing once more who one is, before what should not be done by whoever finds a browser open: by the passphrase, a code,
//! a passkey, or the issuer that one came by. Each begins another session in the place of the one before.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::inside::{Myself, Sent};
use super::known;
use super::own::tell;
use super::page::{Page, Text, sent_on};
use super::passkeys::{self, by};
use super::second_factor::FIELD;
use super::session::{local_path, set_cookie};
use super::shell::{alert, hidden, word};
use super::ways::of_mine;
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::db::{Reach, Rows};
use crate::server::passkey::{self, Purpose};
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::team::hold_sessions;
use crate::server::upstream::{self, Going};
use crate::server::{factors, passphrase, people, totp};

const PATH: &str = "/account/prove";
const WRONG: &str = "This was not right.";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, PATH, Access::Personal, show),
        Route::new(Method::POST, PATH, Access::Personal, submit),
        Route::new(Method::POST, "/account/prove/passkey", Access::Personal, ask),
        Route::new(Method::POST, "/account/prove/passkey/answer", Access::Personal, answer),
        Route::new(Method::POST, "/account/prove/with/{id}", Access::Personal, go),
    ]
}

/// Sends whoever has to show who they are there, and then back.
pub(crate) fn first(back: &str) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
    sent_on(&format!("{PATH}?next={next}"), None)
}

/// In the place of a form for whoever has to show first who they are: the way there, so that nobody fills a form in vain.
pub(super) fn way(back: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
    format!(
        "<p>This needs to be sure that it is you.</p>\n\
         <p class=\"actions\"><a class=\"button\" href=\"{PATH}?next={next}\">Show who you are</a></p>"
    )
}

#[derive(Deserialize)]
struct Next {
    next: Option<String>,
}

async fn show(
    State(server): State<Arc<Server>>,
    myself: Myself,
    Query(Next { next }): Query<Next>,
) -> Answer<Response> {
    let next = local_path(next.as_deref()).to_owned();
    blocking(&server, move |server| page(server, &myself, &next, None).map(IntoResponse::into_response)).await
}

fn page(server: &Server, myself: &Myself, next: &str, problem: Option<&str>) -> Answer<Page> {
    let signed_in = &myself.signed_in;
    let person = &signed_in.person.id;
    let (has_passphrase, has_code, has_passkey, issuers) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let has_code = totp::is_on(rows, person)? || factors::has_recovery_codes(rows, person)?;
        // An issuer shows who somebody is to the sessions that came of it.
        let linked = upstream::all_of(rows, person)?;
        let mut issuers = match &signed_in.only {
            Some(only) => upstream::of(rows, only)?,
            None => Vec::new(),
        };
        issuers.retain(|issuer| linked.iter().any(|account| account.upstream == issuer.id));
        Ok((people::has_passphrase(rows, person)?, has_code, passkey::has_any(rows, person)?, issuers))
    })?;
    let fields = word(signed_in) + &hidden("next", next);
    let mut ways = Vec::new();
    if has_passphrase {
        ways.push(format!(
            "<form method=\"post\" action=\"{PATH}\">\n{fields}\n\
             <input type=\"text\" name=\"login\" value=\"{}\" autocomplete=\"username\" hidden>\n\
             <label>Passphrase<input name=\"passphrase\" type=\"password\" required maxlength=\"1024\" \
             autocomplete=\"current-password\"></label>\n<button>Go on</button>\n</form>",
            Text(&signed_in.person.login),
        ));
    }
    if has_code {
        ways.push(format!(
            "<form method=\"post\" action=\"{PATH}\">\n{fields}\n{FIELD}\n<button>Go on</button>\n</form>"
        ));
    }
    if has_passkey && passkey::site(server).is_some() {
        ways.push(format!(
            "<form method=\"post\" action=\"{PATH}/passkey\">{fields}<button class=\"quiet\">Use a passkey</button></form>"
        ));
    }
    for issuer in &issuers {
        ways.push(format!(
            "<form method=\"post\" action=\"{PATH}/with/{}\">{fields}<button class=\"quiet\">Sign in with {} again\
             </button></form>",
            Text(&issuer.id),
            Text(&issuer.name),
        ));
    }
    let body = format!(
        "{}<p>What you are about to do needs to be sure that it is you. In one of these ways you show it:</p>\n{}",
        alert(problem),
        ways.join("\n"),
    );
    let page = myself.page("Is it you?", body);
    Ok(if problem.is_some() { page.status(StatusCode::FORBIDDEN) } else { page })
}

async fn submit(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    let _turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let next = local_path(Some(sent.text("next"))).to_owned();
        let person = &myself.signed_in.person;
        let proved = if let Some(given) = sent.filled("passphrase") {
            // Counted as guessing at a sign-in is, since it is the same that is guessed at.
            let attempt = attempt(server, &myself, "sign-in", &person.login)?;
            let kept = server.db.read(Reach::Server, |rows| -> Answer<_> {
                attempt.refuse_early(rows, now())?;
                Ok(people::by_login(rows, &person.login)?.map(|(_, kept)| kept))
            })?;
            let is_right = passphrase::is_right(given, kept.as_deref());
            prove(server, &myself, &attempt, "passphrase", |_| Ok(if is_right { Ok(()) } else { Err(String::new()) }))?
        } else {
            let attempt = attempt(server, &myself, "second-factor", &person.id)?;
            server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now()))?;
            let code = sent.filled("code").map(Secret::expose).unwrap_or_default();
            prove(server, &myself, &attempt, "code", |rows| {
                let is_right = totp::accept(rows, &server.keys, &person.id, code, now())?;
                Ok(if is_right { Ok(()) } else { Err(String::new()) })
            })?
        };
        ended(server, &myself, proved, &next)
    })
    .await
}

/// A try at what is theirs, in the browser that they have.
fn attempt(server: &Server, myself: &Myself, what: &str, account: &str) -> Answer<Attempt> {
    let (person, from) = (&myself.signed_in.person.id, &myself.source);
    let browser = server.db.read(Reach::Server, |rows| known::browser(rows, &server.keys, from, person))?;
    Ok(Attempt::at(what, account, from.address).in_browser(browser.as_deref()))
}

/// The page that follows.
fn ended(server: &Server, myself: &Myself, proved: Option<Secret>, next: &str) -> Answer<Response> {
    match proved {
        Some(session) => Ok(sent_on(next, Some(set_cookie(server, &session)))),
        None => Ok(page(server, myself, next, Some(WRONG))?.into_response()),
    }
}

/// Begins another session in the place of this one, if `check` finds that it is the person; why not is told.
fn prove(
    server: &Server,
    myself: &Myself,
    attempt: &Attempt,
    way: &str,
    check: impl FnOnce(&mut dyn Rows) -> Answer<Result<(), String>>,
) -> Answer<Option<Secret>> {
    let signed_in = &myself.signed_in;
    server.db.write(Reach::Server, |rows| -> Answer<_> {
        attempt.take(rows, now())?;
        if let Err(why) = check(rows)? {
            attempt.failed(rows, now())?;
            let detail = if why.is_empty() { way } else { &why };
            let event =
                Event { outcome: Outcome::Denied, detail, ..Event::done("session.prove", &signed_in.person.id) };
            tell(rows, server, myself, &event)?;
            return Ok(None);
        }
        attempt.succeeded(rows)?;
        hold_sessions(rows, &signed_in.person.id, signed_in.only.as_ref())?;
        // One that was ended meanwhile is not carried on by another.
        if !people::sign_out(rows, &signed_in.session)? {
            return Err(Problem::unauthenticated());
        }
        let session = people::sign_in_to(rows, &signed_in.person.id, signed_in.only.as_ref(), now())?;
        tell(rows, server, myself, &Event { detail: way, ..Event::done("session.prove", &session.id) })?;
        Ok(Some(session.token))
    })
}

/// The page that asks for a passkey.
async fn ask(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let signed_in = &myself.signed_in;
        let asked = server.db.write(Reach::Server, |rows| {
            passkey::ask(rows, server, Purpose::Prove, &signed_in.session, Some(&signed_in.person))
        })?;
        let fields = word(signed_in) + &hidden("next", local_path(Some(sent.text("next"))));
        let action = "/account/prove/passkey/answer";
        Ok(passkeys::question("Is it you?", action, "get", &asked, &fields).into_response())
    })
    .await
}

async fn answer(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let next = local_path(Some(sent.text("next"))).to_owned();
        let (person, session) = (&myself.signed_in.person.id, &myself.signed_in.session);
        let attempt = attempt(server, &myself, "second-factor", person)?;
        server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now()))?;
        let none = Secret::new(String::new());
        let given = |name: &str| sent.filled(name).unwrap_or(&none);
        let asked = server
            .db
            .write(Reach::Server, |rows| passkey::asked(rows, given("question"), Purpose::Prove, session, now()))?;
        let proved = prove(server, &myself, &attempt, "passkey", |rows| {
            by(rows, server, asked.as_ref(), given("answer"), person)
        })?;
        ended(server, &myself, proved, &next)
    })
    .await
}

#[derive(Deserialize)]
struct One {
    id: String,
}

/// Sends whoever came by an issuer there again.
async fn go(
    State(server): State<Arc<Server>>,
    myself: Myself,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let upstream = of_mine(server, &myself, &id)?;
        let next = local_path(Some(sent.text("next"))).to_owned();
        let session = Some(myself.signed_in.session.clone());
        let purpose = upstream::Purpose::Prove;
        upstream::going(server, &Going { upstream, purpose, next, invitation: None, session })
    })
    .await
}
