//! The issuers by which people sign in to an organization: a list, a form for each, and the end of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::fields::{Input, Slip, buttons, choice, marked, summary, tick, ticks};
use super::inside::{Inside, Sent};
use super::page::{Page, Text};
use super::prove;
use super::question::Question;
use super::shell::{One, Place, fixable, hidden};
use super::table::{Table, nothing};
use crate::secret::Secret;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::permission::{Permission, Role};
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::upstream::{self, Upstream, Written};

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::UpstreamsManage);
    vec![
        Route::new(Method::GET, "/portal/{org}/upstreams", manage, list),
        Route::new(Method::POST, "/portal/{org}/upstreams", manage, create).freshly("/portal/{org}/upstreams"),
        Route::new(Method::GET, "/portal/{org}/upstreams/{id}", manage, show).freshly("/portal/{org}/upstreams/{id}"),
        Route::new(Method::POST, "/portal/{org}/upstreams/{id}", manage, change)
            .freshly("/portal/{org}/upstreams/{id}"),
        Route::new(Method::GET, "/portal/{org}/upstreams/{id}/delete", manage, ask)
            .freshly("/portal/{org}/upstreams/{id}/delete"),
        Route::new(Method::POST, "/portal/{org}/upstreams/{id}/delete", manage, delete)
            .freshly("/portal/{org}/upstreams/{id}"),
    ]
}

async fn list(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| {
        let all = upstream::all(server, &inside.caller)?;
        Ok(all_of(&inside, &all, None, None).into_response())
    })
    .await
}

fn all_of(inside: &Inside, all: &[Upstream], sent: Option<&Sent>, slip: Option<&Slip>) -> Page {
    let body = format!(
        "{}<p>Members can sign in by your identity provider, any issuer of OpenID Connect. Whoever comes by it is signed in \
         to this organization alone.</p>\n{}\n<h2>A new one</h2>\n{}",
        summary(slip),
        table(inside, all),
        new_form(inside, sent, slip),
    );
    inside.page(Place::Upstreams, "Sign-in", body)
}

fn table(inside: &Inside, all: &[Upstream]) -> String {
    if all.is_empty() {
        return nothing("There is none.", "With one, people sign in here as they do everywhere else.");
    }
    let mut table = Table::new("Issuers", &["Name", "Issuer", "State"]);
    for one in all {
        let state = match (one.is_ready(), one.listed) {
            (false, _) => "<span class=\"status open\">not finished</span>",
            (true, true) => "<span class=\"status good\">offered to everybody</span>",
            (true, false) => "<span class=\"status good\">offered by link</span>",
        };
        let here = inside.path(&format!("upstreams/{}", one.id));
        table.row(&[
            format!("<a href=\"{}\">{}</a>", Text(&here), Text(&one.name)),
            Text(&one.issuer).to_string(),
            state.into(),
        ]);
    }
    table.html()
}

const NAMED: &str = "As people see it: Sign in with …";
const ADDRESS: &str = "Its address, exactly as its tokens have it";

fn new_form(inside: &Inside, sent: Option<&Sent>, slip: Option<&Slip>) -> String {
    if !inside.signed_in.is_fresh(now()) {
        return prove::way(&inside.path("upstreams"));
    }
    let text = |name: &str| sent.map_or("", |sent| sent.text(name));
    let more = "required maxlength=\"64\"";
    let name = Input { name: "name", title: "Name", hint: NAMED, value: text("name"), more };
    let more = "type=\"url\" required maxlength=\"512\" placeholder=\"https://id.example.com\"";
    let issuer = Input { name: "issuer", title: "Issuer", hint: ADDRESS, value: text("issuer"), more };
    format!(
        "<form method=\"post\" action=\"{}\">\n{}\n{}{}<button>Go on</button>\n</form>",
        Text(&inside.path("upstreams")),
        inside.word(),
        name.html(slip),
        issuer.html(slip),
    )
}

/// What is written of an issuer that was just named.
fn named(sent: &Sent) -> Written {
    Written {
        name: sent.text("name").to_owned(),
        issuer: sent.text("issuer").to_owned(),
        client_id: String::new(),
        client_secret: None,
        scopes: "openid profile email".into(),
        domains: Vec::new(),
        domain_role: Role::Reader.word().into(),
        claim: String::new(),
        roles: BTreeMap::new(),
        second_factor: false,
        listed: true,
    }
}

async fn create(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let made = upstream::make(server, &inside.caller, &named(&sent));
        let again = |slip: &Slip| {
            let all = upstream::all(server, &inside.caller)?;
            Ok(all_of(&inside, &all, Some(&sent), Some(slip)))
        };
        fixable(made, |made| inside.on(&format!("upstreams/{}", made.id)), again)
    })
    .await
}

async fn show(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let one = upstream::one(server, &inside.caller, &id)?;
        let written = one.written();
        let lines = lines(&written);
        Ok(form(server, &inside, &one, (&written, &lines), None).into_response())
    })
    .await
}

/// The values of a claim with their roles, as the form has them.
fn lines(written: &Written) -> String {
    written.roles.iter().map(|(value, role)| format!("{value} = {role}\n")).collect()
}

/// The form of one, with what is kept or what was sent: the lines of roles as they were typed.
fn form(
    server: &Server,
    inside: &Inside,
    one: &Upstream,
    (written, lines): (&Written, &str),
    slip: Option<&Slip>,
) -> Page {
    let here = inside.path(&format!("upstreams/{}", one.id));
    let roles = Role::ALL.into_iter().filter(|role| *role != Role::Owner);
    let options: Vec<_> = roles.map(|role| (role.word(), role.word().to_owned())).collect();
    let secret = if one.has_secret() { "One is kept. Leave it empty to keep it" } else { "Where the issuer gave one" };
    let (free, needed) = ("maxlength=\"512\" spellcheck=\"false\"", "maxlength=\"512\" spellcheck=\"false\" required");
    let line = |name: &str, title: &str, hint: &str, value: &str, more: &str| {
        Input { name, title, hint, value, more }.html(slip)
    };
    let all_at = "Everybody with a verified address at";
    let domains = "Domains, with commas between; nobody where there is none";
    let rest = format!(
        "{}{}<label>Its values<small>One a line, with the role of whoever has it: platform = member</small>\
         <textarea name=\"roles\" rows=\"4\" spellcheck=\"false\"{}>{}</textarea></label>\n",
        line("domains", all_at, domains, &written.domains.join(", "), free)
            + &choice("domain_role", "as", "", &options, &written.domain_role, slip),
        line("claim", "Claim", "Such as groups", &written.claim, free),
        marked(slip, "roles"),
        lines.lines().map(|line| Text(line).to_string()).collect::<Vec<_>>().join("\n"),
    );
    let body = format!(
        "{}<p>At the issuer, register this server as an application of the web with this redirect address:</p>\n\
         <p><code class=\"once\" tabindex=\"0\">{}</code></p>\n\
         <form method=\"post\" action=\"{}\">\n{}{}\n{}{}{}{}{}{}{}{}{}</form>\n\
         <p><a href=\"{2}/delete\">Take it away</a></p>",
        summary(slip),
        Text(&one.redirect(server)),
        Text(&here),
        inside.word(),
        hidden("revision", &one.revision.to_string()),
        line("name", "Name", NAMED, &written.name, needed),
        line("issuer", "Issuer", ADDRESS, &written.issuer, needed),
        line("client_id", "Client ID", "What the issuer calls this server", &written.client_id, free),
        line("client_secret", "Client secret", secret, "", "type=\"password\" maxlength=\"512\""),
        line("scopes", "Scopes", "What is asked of the issuer", &written.scopes, needed),
        ticks("admission", "Who is let in without an invitation", &rest, slip),
        tick("second_factor", "on", "Ask for the second factor of Lanyard as well", written.second_factor),
        tick("listed", "on", "Offer it to everybody on the page to sign in", written.listed),
        buttons("Save", &inside.path("upstreams")),
    );
    inside.page(Place::Upstreams, "Sign-in by an issuer", body)
}

/// What a form holds, and whether a value is in two lines: then one of them would be lost. A line that is none has a role
/// that there is not, and is refused with it.
fn sent_as(sent: &Sent) -> (Written, bool) {
    let text = |name: &str| sent.text(name).to_owned();
    let words = |text: &str| -> Vec<String> {
        text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let line = |line: &str| {
        let (value, role) = line.rsplit_once('=').unwrap_or((line, ""));
        (value.trim().to_owned(), role.trim().to_owned())
    };
    let lines = text("roles");
    let lines: Vec<_> = lines.lines().filter(|one| !one.trim().is_empty()).map(line).collect();
    let count = lines.len();
    let written = Written {
        name: text("name"),
        issuer: text("issuer"),
        client_id: text("client_id"),
        client_secret: sent.filled("client_secret").map(Secret::duplicate),
        scopes: text("scopes"),
        domains: words(&text("domains")),
        domain_role: text("domain_role"),
        claim: text("claim"),
        roles: lines.into_iter().collect(),
        second_factor: sent.filled("second_factor").is_some(),
        listed: sent.filled("listed").is_some(),
    };
    let is_double = written.roles.len() < count;
    (written, is_double)
}

async fn change(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let was_seen = |revision: i64| sent.text("revision") == revision.to_string();
        let (written, is_double) = sent_as(&sent);
        let changed = if is_double {
            Err(Problem::invalid("a value of the claim is there twice").about("roles"))
        } else {
            upstream::change(server, &inside.caller, &id, was_seen, |_| sent_as(&sent).0)
        };
        let again = |slip: &Slip| {
            let one = upstream::one(server, &inside.caller, &id)?;
            Ok(form(server, &inside, &one, (&written, sent.text("roles")), Some(slip)))
        };
        fixable(changed, |_| inside.on("upstreams"), again)
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let one = upstream::one(server, &inside.caller, &id)?;
        let here = inside.path(&format!("upstreams/{id}"));
        let question = Question {
            at: Place::Upstreams,
            title: "Take this issuer away?",
            what: format!(
                "Take <strong>{}</strong> away? Whoever signs in by it alone cannot sign in any more, at once.",
                Text(&one.name)
            ),
            hidden: hidden("revision", &one.revision.to_string()),
            to: format!("{here}/delete"),
            does: "Take it away",
            back: &here,
        };
        Ok(question.page(&inside).into_response())
    })
    .await
}

async fn delete(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        upstream::end(server, &inside.caller, &id, Some(sent.seen()))?;
        Ok(inside.on("upstreams"))
    })
    .await
}
