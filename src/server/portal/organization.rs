//! The organization itself: its name, what its API keys may be, whether devices are let in, and its end.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::fields::{Input, Slip, buttons, choice, summary};
use super::inside::{Inside, Sent};
use super::page::{Page, Text, sent_on};
use super::prove;
use super::shell::{Listed, Place, fixable, hidden, said};
use crate::server::api_keys;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::organizations::{self, Change, Organization};
use crate::server::permission::Permission;
use crate::server::problem::Answer;
use crate::server::routes::Route;
use crate::server::state::{Server, now};

const HERE: &str = "/portal/{org}/organization";
const DELETE: &str = "/portal/{org}/organization/delete";

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::OrganizationsManage);
    vec![
        Route::new(Method::GET, HERE, manage, show),
        Route::new(Method::POST, HERE, manage, change).freshly(HERE),
        // Asked for at the page already, so that nobody types a name in vain.
        Route::new(Method::GET, DELETE, manage, ask).freshly(DELETE),
        Route::new(Method::POST, DELETE, manage, delete).freshly(DELETE),
    ]
}

const DONE: &[(&str, &str)] = &[("changed", "It is as you said.")];
/// What the name of an organization is.
const NAME: &str = "required maxlength=\"64\"";

fn found(server: &Server, inside: &Inside) -> Answer<Organization> {
    let scope = &inside.caller.scope;
    server.db.read(scope, |rows| organizations::find(rows, scope, scope.id()))
}

/// What stands in the form.
struct Filled {
    revision: String,
    name: String,
    key_days: String,
    keys_each: String,
    device_flow: String,
}

impl Filled {
    fn of(one: Organization) -> Self {
        let each = if one.keys_each == 0 { String::new() } else { one.keys_each.to_string() };
        Self {
            revision: one.revision.to_string(),
            name: one.name,
            key_days: one.key_days.to_string(),
            keys_each: each,
            device_flow: if one.device_flow { "yes" } else { "no" }.into(),
        }
    }

    fn sent(sent: &Sent) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        Self {
            revision: text("revision"),
            name: text("name"),
            key_days: text("key_days"),
            keys_each: text("keys_each"),
            device_flow: text("device_flow"),
        }
    }

    /// What is no number is refused like one that is out of reach.
    fn change(&self) -> Change {
        let number = |text: &str, none: i64| if text.is_empty() { none } else { text.parse().unwrap_or(-1) };
        Change {
            name: Some(self.name.clone()),
            key_days: Some(number(&self.key_days, api_keys::LONGEST)),
            keys_each: Some(number(&self.keys_each, 0)),
            device_flow: match self.device_flow.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
        }
    }
}

async fn show(State(server): State<Arc<Server>>, inside: Inside, Query(listed): Query<Listed>) -> Answer<Response> {
    blocking(&server, move |server| {
        let filled = Filled::of(found(server, &inside)?);
        Ok(page(&inside, &said(DONE, listed.done.as_deref()), &filled, None).into_response())
    })
    .await
}

fn page(inside: &Inside, told: &str, filled: &Filled, slip: Option<&Slip>) -> Page {
    let line = |name: &str, title: &str, hint: &str, value: &str, more: &str| {
        Input { name, title, hint, value, more }.html(slip)
    };
    let days = format!("type=\"number\" min=\"1\" max=\"{}\"", api_keys::LONGEST);
    let most = format!("type=\"number\" min=\"0\" max=\"{}\"", api_keys::MOST);
    // Nobody fills a form that is then asked for in vain.
    let form = if inside.signed_in.is_fresh(now()) {
        format!(
            "<form method=\"post\" action=\"{}\">\n{}{}\n{}{}{}{}<button>Save</button>\n</form>",
            Text(&inside.path("organization")),
            inside.word(),
            hidden("revision", &filled.revision),
            line("name", "Name", "What everybody in it sees", &filled.name, NAME),
            line(
                "key_days",
                "Days that an API key may live",
                "Keys that would live longer end by it as well",
                &filled.key_days,
                &days
            ),
            line(
                "keys_each",
                "API keys of one member",
                "At a time; any number where nothing stands",
                &filled.keys_each,
                &most
            ),
            choice(
                "device_flow",
                "Sign-in by a code",
                "For programs without a browser; whoever is sent a code can be talked into typing it",
                &[("yes", "allowed".into()), ("no", "not allowed".into())],
                &filled.device_flow,
                slip
            ),
        )
    } else {
        format!("<p>Name: <strong>{}</strong></p>\n{}", Text(&filled.name), prove::way(&inside.path("organization")))
    };
    let body = format!(
        "{told}{}{form}\n<dl class=\"facts\">\n<dt>Identifier</dt><dd><code>{}</code></dd>\n</dl>\n\
         <h2>The end of it</h2>\n<p>Whoever deletes the organization takes everything in it away, from everybody.</p>\n\
         <p class=\"actions\"><a class=\"button quiet\" href=\"{}\">Delete the organization</a></p>",
        summary(slip),
        Text(inside.caller.scope.id()),
        Text(&inside.path("organization/delete")),
    );
    inside.page(Place::Organization, "Organization", body)
}

async fn change(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let (id, filled) = (inside.caller.scope.id(), Filled::sent(&sent));
        let changed = organizations::change(server, &inside.caller, id, &filled.change(), Some(sent.revision()?));
        fixable(changed, |_| inside.on("organization?done=changed"), |slip| Ok(page(&inside, "", &filled, Some(slip))))
    })
    .await
}

fn question(inside: &Inside, revision: &str, typed: &str, slip: Option<&Slip>) -> Page {
    let hint = "As it stands above, so that none is deleted that was not meant";
    let input = Input { name: "name", title: "Name of the organization", hint, value: typed, more: NAME };
    let body = format!(
        "{}<p>Delete <strong>{}</strong>? Every credential with its secrets goes, every project, workspace and registry, \
         every API key, trust rule and issuer, and everybody's membership. None of it can be brought back, but out of a \
         backup of the whole server.</p>\n\
         <p>The audit stays on the server, where nobody adds to it and no member reads it any more: \
         <a href=\"{}\">take a copy of it</a> first.</p>\n\
         <form method=\"post\" action=\"{}\">\n{}{}\n{}{}</form>",
        summary(slip),
        Text(&inside.organization),
        Text(&inside.path("audit/export")),
        Text(&inside.path("organization/delete")),
        inside.word(),
        hidden("revision", revision),
        input.html(slip),
        buttons("Delete it with everything in it", &inside.path("organization")).replacen(
            "<button>",
            "<button class=\"bad\">",
            1
        ),
    );
    inside.page(Place::Organization, "Delete this organization?", body)
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| {
        let scope = &inside.caller.scope;
        let known = server.db.read(scope, |rows| organizations::find(rows, scope, scope.id()))?;
        Ok(question(&inside, &known.revision.to_string(), "", None).into_response())
    })
    .await
}

async fn delete(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let (typed, revision) = (sent.text("name"), sent.text("revision"));
        let ended = organizations::end(server, &inside.caller, inside.caller.scope.id(), typed, Some(sent.revision()?));
        // Nothing of it is there to go on to.
        fixable(ended, |()| sent_on("/", None), |slip| Ok(question(&inside, revision, typed, Some(slip))))
    })
    .await
}
