//! The page on which a person types the code that a program shows.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::client::{self, Client};
use super::consent;
use super::device::{Waiting, Word, as_kept, decide, waiting};
use super::told;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::Reach;
use crate::server::organizations;
use crate::server::people;
use crate::server::portal::inside::Myself;
use crate::server::portal::page::{Page, Text};
use crate::server::portal::{OwnForm, Visitor, prove_first, sign_in_first};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};

/// What is guessed at who types codes.
const WHAT: &str = "device";
/// So many wrong codes are taken in a minute, of everybody together.
const WRONG_IN_A_MINUTE: i64 = 60;

#[derive(Deserialize)]
pub(super) struct Typed {
    user_code: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Decided {
    word: String,
    user_code: String,
    organization: Option<String>,
    decision: Option<String>,
}

pub(super) async fn show(uri: Uri, visitor: Visitor, Query(Typed { user_code }): Query<Typed>) -> Response {
    let Some(signed_in) = visitor.signed_in else {
        return sign_in_first(uri.path_and_query().map_or("/device", |path| path.as_str()));
    };
    // The code is asked about only when a person sends it: a link that somebody sent them decides nothing.
    ask(&signed_in.form_word, user_code.as_deref().and_then(as_kept).as_deref().unwrap_or_default(), None)
        .into_response()
}

fn ask(word: &str, user_code: &str, problem: Option<&str>) -> Page {
    let problem = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let body = format!(
        "<p>Type the code that your terminal shows. If nothing of yours shows one, close this page.</p>\n{problem}\n\
         <form method=\"post\" action=\"/device\" class=\"code\">\n<input type=\"hidden\" name=\"word\" value=\"{}\">\n\
         <label>Code<input name=\"user_code\" required maxlength=\"20\" autocomplete=\"off\" spellcheck=\"false\" \
         value=\"{}\"></label>\n<button>Go on</button>\n</form>",
        Text(word),
        Text(user_code)
    );
    Page::new("Sign a device in", body)
}

/// What is under a code that somebody typed.
enum Looked {
    Found(Waiting),
    Nothing,
    TooOften(Problem),
}

/// Looks what waits under a code. Looking and counting that there is nothing are one: nobody who types many at a time
/// types more than who types one after the other.
fn look(server: &Server, myself: &Myself, attempt: &Attempt, user_code: Option<&str>) -> Answer<Looked> {
    server.db.write(Reach::Server, |rows| {
        attempt.hold(rows, now())?;
        match attempt.refuse_early(rows, now()) {
            Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => return Ok(Looked::TooOften(problem)),
            other => other?,
        }
        let found = user_code.map(|user_code| waiting(rows, user_code)).transpose()?.flatten();
        if let Some(found) = found {
            return Ok(Looked::Found(found));
        }
        attempt.failed(rows, now())?;
        let event = Event { outcome: Outcome::Denied, ..Event::done("program.admit", "") };
        myself.tell(rows, server, &event)?;
        Ok(Looked::Nothing)
    })
}

/// What whoever types the code of a program is told that was registered for something else since.
const NO_DEVICE: &str = "The program is not let in by a code any more.";

/// Lets a program in nowhere, and tells it.
fn turned_away(server: &Server, myself: &Myself, client: &Client, why: &str) -> Answer<Response> {
    let (outcome, detail) = (Outcome::Denied, client.told());
    let event = Event { outcome, detail, ..Event::done("program.admit", &client.id) };
    server.db.write(Reach::Server, |rows| myself.tell(rows, server, &event))?;
    Ok(Page::refusal(StatusCode::FORBIDDEN, why).into_response())
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(decided): OwnForm<Decided>,
) -> Answer<Response> {
    let Some(signed_in) = visitor.signed_in else { return Ok(sign_in_first("/device")) };
    let myself = Myself { signed_in, source: visitor.source };
    blocking(&server, move |server| {
        let (signed_in, source) = (&myself.signed_in, &myself.source);
        if !signed_in.has_sent(&decided.word) {
            let event = Event { outcome: Outcome::Denied, ..Event::done("program.admit", "") };
            server.db.write(Reach::Server, |rows| myself.tell(rows, server, &event))?;
            let why = "This form is of another session. Go back, load the page again, and try once more.";
            return Ok(Page::refusal(StatusCode::FORBIDDEN, why).into_response());
        }
        if signed_in.members.is_empty() {
            let why = "You are in no organization of this server.";
            return Ok(Page::refusal(StatusCode::FORBIDDEN, why).into_response());
        }
        let attempt =
            Attempt::at(WHAT, &signed_in.person.id, source.address).dearly().at_most(WHAT, WRONG_IN_A_MINUTE);
        let user_code = as_kept(&decided.user_code);
        let (user_code, found) = match look(server, &myself, &attempt, user_code.as_deref())? {
            Looked::Found(found) => (user_code.unwrap_or_default(), found),
            Looked::Nothing => {
                let page = ask(&signed_in.form_word, "", Some("No device waits under this code."));
                return Ok(page.status(StatusCode::NOT_FOUND).into_response());
            }
            Looked::TooOften(problem) => {
                let page = ask(&signed_in.form_word, "", Some("Too many attempts. Wait a little, then try again."));
                return Ok(page.after(&problem).into_response());
            }
        };
        let Some(client) = server.db.read(Reach::Server, |rows| client::read(rows, &found.client))? else {
            return Ok(Page::refusal(StatusCode::NOT_FOUND, "The program is not known any more.").into_response());
        };
        let members = client.choice(&signed_in.members);
        if members.is_empty() || !client.is_a_device() {
            let why = if members.is_empty() { consent::ELSEWHERE } else { NO_DEVICE };
            return turned_away(server, &myself, &client, why);
        }
        let is_denial = decided.decision.as_deref().is_some_and(|decision| decision != "allow");
        if consent::is_weighty(&found.permissions) && !is_denial && !signed_in.is_fresh(now()) {
            return Ok(prove_first(&format!("/device?user_code={user_code}")));
        }
        let organization = decided.organization.as_deref().unwrap_or_default();
        let member = members.iter().find(|member| member.scope.id() == organization);
        let (Some(decision), Some(member)) = (decided.decision.as_deref(), member) else {
            let body = format!(
                "<p>Compare: your terminal shows <strong>{}</strong>. That was asked for from <strong>{}</strong>, {}.</p>\n\
                 <p>Whoever sends you a code wants to be let in as you. Allow it only if your own terminal shows it.</p>\n\
                 <form method=\"post\" action=\"/device\">\n\
                 <input type=\"hidden\" name=\"word\" value=\"{}\">\n\
                 <input type=\"hidden\" name=\"user_code\" value=\"{}\">\n{}\n</form>",
                Text(&user_code),
                Text(if found.address.is_empty() { "somewhere" } else { &found.address }),
                found.ago(),
                Text(&signed_in.form_word),
                Text(&user_code),
                consent::question(&client, None, &found.permissions, &members),
            );
            return Ok(Page::new("Let a program in?", body).into_response());
        };
        let (scope, person) = (&member.scope, &signed_in.person.id);
        let most = server.db.read(scope, |rows| people::most(rows, scope, person, member.role))?;
        let given = found.permissions.and(&most);
        let (done, word) = server.db.write(Reach::Server, |rows| -> Answer<(bool, Word<'_>)> {
            attempt.succeeded(rows)?;
            let word = match decision {
                "allow" if organizations::lets_devices_in(rows, scope)? => Word::Allowed(&given),
                "allow" => Word::Forbidden,
                _ => Word::Denied,
            };
            let done = decide(rows, &user_code, scope, person, &word)?;
            let (outcome, detail) = match word {
                Word::Allowed(given) if done => (Outcome::Done, client.told_with(&told::granted(given))),
                Word::Forbidden => (Outcome::Denied, client.told_with("no devices")),
                _ => (Outcome::Denied, client.told().to_owned()),
            };
            let event = Event { outcome, detail: &detail, ..Event::done("program.admit", &client.id) };
            audit::append(rows, &server.keys, scope, &signed_in.actor(source), &event, now())?;
            Ok((done, word))
        })?;
        Ok(match (done, word) {
            (true, Word::Allowed(_)) => {
                Page::new("Done", "<p>Go back to your terminal. You can close this page.</p>".into()).into_response()
            }
            (true, Word::Denied) => {
                Page::new("Nobody was let in", "<p>You can close this page.</p>".into()).into_response()
            }
            (_, Word::Forbidden) => {
                let why = format!(
                    "{} lets nobody in by a code. Sign in where there is a browser, or use an API key.",
                    member.organization
                );
                Page::refusal(StatusCode::FORBIDDEN, &why).into_response()
            }
            (false, _) => Page::refusal(StatusCode::CONFLICT, "This code was decided about already.").into_response(),
        })
    })
    .await
}
