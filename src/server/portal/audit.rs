//! The audit of an organization: what happened, the newest first; whether the chain holds; and a copy for elsewhere.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields::{Input, Slip, summary};
use super::inside::Inside;
use super::page::{Page, Text};
use super::prove;
use super::shell::{Place, day, exact};
use super::table::{Table, nothing, pages};
use crate::server::audit::Broken;
use crate::server::audit::api;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::paging::Part;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};

pub(super) fn routes() -> Vec<Route> {
    let read = Access::Inside(Permission::AuditRead);
    vec![
        Route::new(Method::GET, "/portal/{org}/audit", read, list),
        Route::new(Method::GET, "/portal/{org}/audit/export", read, export).freshly("/portal/{org}/audit"),
        Route::new(Method::POST, "/portal/{org}/audit/verify", read, verify),
    ]
}

/// What is looked for most often; anything else can be typed as well.
const KNOWN: [&str; 8] = [
    "secret.read",
    "credential.create",
    "credential.replace",
    "credential.delete",
    "member.role",
    "member.remove",
    "key.create",
    "access",
];

/// What the list is narrowed to, as the form has it.
#[derive(Deserialize, Default)]
struct Narrowed {
    #[serde(default)]
    action: String,
    /// A login, or an identifier.
    #[serde(default)]
    actor: String,
    #[serde(default)]
    object: String,
    /// Days; the last is whole.
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    after: Option<String>,
}

impl Narrowed {
    fn asked(&self) -> Answer<api::Asked> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let day = |text: &str, name: &'static str| {
            day(text.trim()).map_err(|_| Problem::invalid("a day is written as 2030-12-31").about(name))
        };
        Ok(api::Asked {
            limit: None,
            cursor: self.after.clone(),
            actor: text(&self.actor),
            action: text(&self.action),
            object: text(&self.object),
            since: day(&self.since, "since")?,
            until: day(&self.until, "until")?.and_then(|at| at.checked_add_signed(TimeDelta::days(1))),
        })
    }

    fn pairs(&self) -> [(&str, &str); 5] {
        [
            ("action", self.action.trim()),
            ("actor", self.actor.trim()),
            ("object", self.object.trim()),
            ("since", self.since.trim()),
            ("until", self.until.trim()),
        ]
    }
}

async fn list(State(server): State<Arc<Server>>, inside: Inside, Query(narrowed): Query<Narrowed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let asked = match narrowed.asked() {
            Ok(asked) => asked,
            Err(problem) => {
                let slip = Slip::of(&problem);
                return Ok(page(&inside, &narrowed, "", Some(&slip)).status(problem.status()).into_response());
            }
        };
        let part = api::some(server, &inside.caller, &asked)?;
        Ok(page(&inside, &narrowed, &table(&inside, &narrowed, &part), None).into_response())
    })
    .await
}

fn page(inside: &Inside, narrowed: &Narrowed, content: &str, slip: Option<&Slip>) -> Page {
    let verify = format!(
        "<form method=\"post\" action=\"{}\">{}<button class=\"quiet\">Check the whole of it</button></form>",
        Text(&inside.path("audit/verify")),
        inside.word(),
    );
    let export = if inside.signed_in.is_fresh(now()) { export_form(inside) } else { prove::way(&inside.path("audit")) };
    let body = format!(
        "{}{}\n{content}<h2>Does it hold?</h2>\n<p>Every entry names the one before it, under keys that are not in the \
         database.</p>\n{verify}\n<h2>A copy of it</h2>\n{export}",
        summary(slip),
        filter(inside, narrowed, slip),
    );
    inside.page(Place::Audit, "Audit", body)
}

fn export_form(inside: &Inside) -> String {
    format!(
        "<form class=\"row\" method=\"get\" action=\"{}\"><label>From entry<small>5000 at a time; the first line says \
         how many there are, and is signed</small><input name=\"from\" type=\"number\" min=\"1\" value=\"1\" required>\
         </label><button class=\"quiet\">Export</button></form>",
        Text(&inside.path("audit/export")),
    )
}

/// The form by which the list is narrowed. It changes nothing, so that it is sent as an address.
fn filter(inside: &Inside, narrowed: &Narrowed, slip: Option<&Slip>) -> String {
    let input = |name, title, value, more| Input { name, title, value, more, hint: "" }.html(slip);
    let word = "maxlength=\"128\" autocapitalize=\"none\" spellcheck=\"false\"";
    let known: String = KNOWN.iter().map(|action| format!("<option value=\"{action}\"></option>")).collect();
    let what = format!("list=\"actions\" {word}");
    format!(
        "<form class=\"row\" role=\"search\" method=\"get\" action=\"{}\">\n{}<datalist id=\"actions\">{known}</datalist>\n{}{}{}{}<button>Filter</button>\n</form>\n",
        Text(&inside.path("audit")),
        input("action", "What", narrowed.action.trim(), what.as_str()),
        input("actor", "Who", narrowed.actor.trim(), word),
        input("object", "To what", narrowed.object.trim(), word),
        input("since", "From day (UTC)", narrowed.since.trim(), "type=\"date\""),
        input("until", "To day (UTC)", narrowed.until.trim(), "type=\"date\""),
    )
}

fn table(inside: &Inside, narrowed: &Narrowed, part: &Part<Map<String, Value>>) -> String {
    if part.items.is_empty() {
        return nothing("Nothing like that has happened.", "Ask for less: leave a box of the filter empty.");
    }
    let mut table =
        Table::new("What happened, the newest first", &["When (UTC)", "What", "Outcome", "Who", "To what", "From"]);
    for entry in &part.items {
        table.row(&row(entry));
    }
    let more = pages(&inside.path("audit"), &narrowed.pairs(), narrowed.after.as_deref(), part.next.as_deref());
    format!("{}{more}", table.html())
}

fn row(entry: &Map<String, Value>) -> [String; 6] {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
    let small = |text: &str| if text.is_empty() { String::new() } else { format!("<small>{}</small>", Text(text)) };
    let at = DateTime::parse_from_rfc3339(text("at")).ok().map(|at| at.with_timezone(&Utc));
    let outcome = match text("outcome") {
        "done" => "<span class=\"status good\">done</span>",
        "denied" => "<span class=\"status bad\">denied</span>",
        _ => "<span class=\"status soon\">failed</span>",
    };
    let who = match (text("login"), text("actor")) {
        ("", "") => "<span class=\"none\">nobody known</span>".to_owned(),
        ("", actor) => Text(actor).to_string(),
        (login, _) => Text(login).to_string(),
    };
    let agent = match text("agent") {
        "" => String::new(),
        agent => format!("<small class=\"agent\">{}</small>", Text(agent)),
    };
    [
        format!(
            "{}<small>entry {}</small>",
            exact(at),
            entry.get("sequence").and_then(Value::as_i64).unwrap_or_default()
        ),
        format!("<span class=\"whole\">{}</span>", Text(text("action"))),
        outcome.to_owned(),
        who,
        format!("{}{}", Text(text("object")), small(text("detail"))),
        format!("{}{agent}", Text(text("address"))),
    ]
}

async fn verify(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| {
        let told = match api::checked(server, &inside.caller)? {
            Ok(entries) => format!(
                "<p class=\"notice good\" role=\"status\">It holds: each of {entries} entries is as it was written.</p>",
            ),
            Err(Broken { sequence, problem }) => format!(
                "<p class=\"notice bad\" role=\"alert\">It is broken at entry {sequence}: {problem}. Somebody wrote to \
                 the database past the server; compare it with a backup.</p>",
            ),
        };
        let body = format!(
            "{told}\n<p class=\"actions\"><a class=\"button quiet\" href=\"{}\">Back to the audit</a></p>",
            Text(&inside.path("audit")),
        );
        Ok(inside.page(Place::Audit, "The audit, checked", body).into_response())
    })
    .await
}

async fn export(State(server): State<Arc<Server>>, inside: Inside, Query(part): Query<api::Part>) -> Answer<Response> {
    blocking(&server, move |server| {
        let mut response = api::exported(server, &inside.caller, &part)?;
        if response.status() == StatusCode::OK {
            let name = HeaderValue::from_static("attachment; filename=\"audit.jsonl\"");
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
        Ok(response)
    })
    .await
}
