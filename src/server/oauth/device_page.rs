//! The page on which a person types the code that a program shows.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::device::{as_kept, decide, waiting};
use super::{client, consent};
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::Reach;
use crate::server::people;
use crate::server::portal::inside::Myself;
use crate::server::portal::page::{Page, Text};
use crate::server::portal::{OwnForm, Visitor, sign_in_first};
use crate::server::problem::Answer;
use crate::server::state::{Server, now};

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

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(decided): OwnForm<Decided>,
) -> Answer<Response> {
    let Some(signed_in) = visitor.signed_in.filter(|signed_in| signed_in.has_sent(&decided.word)) else {
        return Ok(sign_in_first("/device"));
    };
    let source = visitor.source;
    blocking(&server, move |server| {
        let attempt = Attempt::at("device", &signed_in.person.id, source.address);
        let early = server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now()));
        if early.is_err() {
            let page = ask(&signed_in.form_word, "", Some("Too many attempts. Wait a little, then try again."));
            return Ok(page.status(StatusCode::TOO_MANY_REQUESTS).into_response());
        }
        let user_code = as_kept(&decided.user_code);
        let found = match &user_code {
            Some(user_code) => server.db.read(Reach::Server, |rows| waiting(rows, user_code))?,
            None => None,
        };
        let (Some(user_code), Some(found)) = (user_code, found) else {
            let event = Event { outcome: Outcome::Denied, ..Event::done("program.admit", "") };
            let myself = Myself { signed_in, source };
            server.db.write(Reach::Server, |rows| -> Answer<()> {
                attempt.failed(rows, now())?;
                myself.tell(rows, server, &event)
            })?;
            let signed_in = myself.signed_in;
            let page = ask(&signed_in.form_word, "", Some("No device waits under this code."));
            return Ok(page.status(StatusCode::NOT_FOUND).into_response());
        };
        let Some(client) = client::find(&found.client) else {
            return Ok(Page::refusal(StatusCode::NOT_FOUND, "The program is not known any more.").into_response());
        };
        let organization = decided.organization.as_deref().unwrap_or_default();
        let member = signed_in.members.iter().find(|member| member.scope.id() == organization);
        let (Some(decision), Some(member)) = (decided.decision.as_deref(), member) else {
            let body = format!(
                "<p>Compare: your terminal shows <strong>{}</strong>.</p>\n<form method=\"post\" action=\"/device\">\n\
                 <input type=\"hidden\" name=\"word\" value=\"{}\">\n\
                 <input type=\"hidden\" name=\"user_code\" value=\"{}\">\n{}\n</form>",
                Text(&user_code),
                Text(&signed_in.form_word),
                Text(&user_code),
                consent::question(client, &found.permissions, &signed_in.members),
            );
            return Ok(Page::new("Let a program in?", body).into_response());
        };
        let (scope, person) = (&member.scope, &signed_in.person.id);
        let most = server.db.read(scope, |rows| people::most(rows, scope, person, member.role))?;
        let given = (decision == "allow").then(|| found.permissions.and(&most));
        let outcome = if given.is_some() { Outcome::Done } else { Outcome::Denied };
        let done = server.db.write(Reach::Server, |rows| -> Answer<bool> {
            attempt.succeeded(rows)?;
            let event = Event { outcome, ..Event::done("program.admit", client.id) };
            audit::append(rows, &server.keys, &member.scope, &signed_in.actor(&source), &event, now())?;
            Ok(decide(rows, &user_code, &member.scope, &signed_in.person.id, given.as_ref())?)
        })?;
        Ok(match (done, given) {
            (true, Some(_)) => {
                Page::new("Done", "<p>Go back to your terminal. You can close this page.</p>".into()).into_response()
            }
            (true, None) => Page::new("Nobody was let in", "<p>You can close this page.</p>".into()).into_response(),
            (false, _) => Page::refusal(StatusCode::CONFLICT, "This code was decided about already.").into_response(),
        })
    })
    .await
}
