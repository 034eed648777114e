//! The programs that whoever is signed in has let in, on the page of their account: what there is, the end of one, and
//! the end of all.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::inside::Myself;
use super::page::{Text, sent_on};
use super::session::SignedIn;
use super::shell::{time, word};
use super::table::{ACTIONS, Table, nothing};
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::db::{DbError, Reach, Rows};
use crate::server::problem::{Answer, Problem};
use crate::server::programs::{self, Program};
use crate::server::routes::Route;
use crate::server::state::Server;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/account/programs/end", Access::Personal, end_all),
        Route::new(Method::POST, "/account/programs/{id}/end", Access::Personal, end),
    ]
}

/// Those of whoever is signed in, each with the name of the organization that it was let into.
pub(super) fn of(rows: &mut dyn Rows, signed_in: &SignedIn) -> Result<Vec<(String, Program)>, DbError> {
    let mut found = Vec::new();
    for member in &signed_in.members {
        let all = programs::all(rows, &member.scope, &signed_in.person.id)?;
        found.extend(all.into_iter().map(|program| (member.organization.clone(), program)));
    }
    Ok(found)
}

/// What the page of an account says of them.
pub(super) fn section(signed_in: &SignedIn, programs: &[(String, Program)], now: DateTime<Utc>) -> String {
    let heading = "<h2>Programs</h2>\n";
    if programs.is_empty() {
        return heading.to_owned() + &nothing("No program is signed in as you.", "");
    }
    let heads = &["Program", "It may", "Organization", "Signed in", "Last used", "Ends", ACTIONS];
    let mut table = Table::new("Programs that are signed in as you", heads);
    let word = word(signed_in);
    for (organization, program) in programs {
        let id = Text(&program.id);
        let may =
            if program.permissions.is_empty() { "know who you are".to_owned() } else { program.permissions.join(", ") };
        let from =
            program.used_from.as_ref().map(|from| format!("<small>from {}</small>", Text(from))).unwrap_or_default();
        table.row(&[
            format!("{}<small><code>{id}</code></small>", Text(program.name.as_ref().unwrap_or(&program.client_id))),
            Text(&may).to_string(),
            Text(organization).to_string(),
            time(program.signed_in, now, ""),
            format!("{}{from}", time(program.used, now, "never")),
            time(program.expires, now, ""),
            format!(
                "<form method=\"post\" action=\"/account/programs/{id}/end\">{word}<button class=\"plain\">End\
                 <span class=\"apart\"> {id}</span></button></form>"
            ),
        ]);
    }
    format!(
        "{heading}<p>You have let these in. One that you end is let in no more, at once, and neither are the API keys \
         that were made with it. What nobody uses ends by itself.</p>\n{}\
         <form method=\"post\" action=\"/account/programs/end\">{word}\
         <button class=\"quiet\">End all of them</button></form>\n",
        table.html(),
    )
}

#[derive(Deserialize)]
struct One {
    id: String,
}

async fn end(State(server): State<Arc<Server>>, myself: Myself, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let (person, actor) = (&myself.signed_in.person.id, myself.signed_in.actor(&myself.source));
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            for member in &myself.signed_in.members {
                if let Some(ended) = programs::end(rows, &member.scope, person, &id)? {
                    return Ok(ended.tell(rows, &server.keys, &actor)?);
                }
            }
            Err(Problem::not_found())
        })?;
        Ok(sent_on("/account", None))
    })
    .await
}

async fn end_all(State(server): State<Arc<Server>>, myself: Myself) -> Answer<Response> {
    blocking(&server, move |server| {
        let (person, actor) = (&myself.signed_in.person.id, myself.signed_in.actor(&myself.source));
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            let mut ended = Vec::new();
            for member in &myself.signed_in.members {
                ended.extend(programs::end_all(rows, &member.scope, person, true)?);
            }
            if ended.is_empty() {
                let event = Event { detail: "there was none", ..Event::done("program.end", "") };
                return myself.tell(rows, server, &event);
            }
            ended.iter().try_for_each(|ended| Ok(ended.tell(rows, &server.keys, &actor)?))
        })?;
        Ok(sent_on("/account", None))
    })
    .await
}
