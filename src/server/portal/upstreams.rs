//! The issuers by which people sign in to an organization: a list, a form for each, and the end of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::inside::{Inside, Sent, sentence};
use super::page::{Page, Text, sent_on};
use super::shell::{Place, alert, hidden};
use crate::secret::Secret;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::permission::{Permission, Role};
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::Server;
use crate::server::upstream::{self, Upstream, Written};

pub(super) fn routes() -> Vec<Route> {
    let manage = Access::Inside(Permission::UpstreamsManage);
    vec![
        Route::new(Method::GET, "/portal/{org}/upstreams", manage, list),
        Route::new(Method::POST, "/portal/{org}/upstreams", manage, create).freshly("/portal/{org}/upstreams"),
        Route::new(Method::GET, "/portal/{org}/upstreams/{id}", manage, show),
        Route::new(Method::POST, "/portal/{org}/upstreams/{id}", manage, change)
            .freshly("/portal/{org}/upstreams/{id}"),
        Route::new(Method::GET, "/portal/{org}/upstreams/{id}/delete", manage, ask),
        Route::new(Method::POST, "/portal/{org}/upstreams/{id}/delete", manage, delete)
            .freshly("/portal/{org}/upstreams/{id}"),
    ]
}

#[derive(Deserialize)]
struct One {
    id: String,
}

async fn list(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| {
        let all = upstream::all(server, &inside.caller)?;
        Ok(all_of(&inside, &all, None, None).into_response())
    })
    .await
}

fn all_of(inside: &Inside, all: &[Upstream], sent: Option<&Sent>, problem: Option<&str>) -> Page {
    let rows: String = all
        .iter()
        .map(|one| {
            let state = match (one.is_ready(), one.listed) {
                (false, _) => "<span class=\"status open\">not finished</span>",
                (true, true) => "<span class=\"status good\">offered to everybody</span>",
                (true, false) => "<span class=\"status good\">offered by link</span>",
            };
            format!(
                "<tr><th scope=\"row\"><a href=\"{}\">{}</a></th><td>{}</td><td>{state}</td></tr>\n",
                Text(&inside.path(&format!("upstreams/{}", one.id))),
                Text(&one.name),
                Text(&one.issuer),
            )
        })
        .collect();
    let table = if all.is_empty() {
        "<p role=\"status\">There is none.</p>".into()
    } else {
        format!(
            "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Issuer</th>\
             <th scope=\"col\">State</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
        )
    };
    let text = |name: &str| sent.map_or("", |sent| sent.text(name)).to_owned();
    let body = format!(
        "<p>Members can sign in by your identity provider, any issuer of OpenID Connect. Whoever comes by it is signed in \
         to this organization alone.</p>\n{table}\n<h2>A new one</h2>\n{}<form method=\"post\" action=\"{}\">\n{}\n\
         <label>Name<small>As people see it: Sign in with …</small><input name=\"name\" required maxlength=\"64\" \
         autocomplete=\"off\" value=\"{}\"></label>\n\
         <label>Issuer<small>Its address, exactly as its tokens have it</small><input name=\"issuer\" type=\"url\" \
         required maxlength=\"512\" autocomplete=\"off\" placeholder=\"https://id.example.com\" value=\"{}\"></label>\n\
         <button>Go on</button>\n</form>",
        alert(problem),
        Text(&inside.path("upstreams")),
        inside.word(),
        Text(&text("name")),
        Text(&text("issuer")),
    );
    inside.page(Place::Upstreams, "Sign-in", body)
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
    blocking(&server, move |server| match upstream::make(server, &inside.caller, &named(&sent)) {
        Ok(made) => Ok(sent_on(&inside.path(&format!("upstreams/{}", made.id)), None)),
        Err(problem) if is_of_the_form(&problem) => {
            let all = upstream::all(server, &inside.caller)?;
            let page = all_of(&inside, &all, Some(&sent), Some(&told(&problem)));
            Ok(page.status(problem.status()).into_response())
        }
        Err(problem) => Err(problem),
    })
    .await
}

/// Whether somebody mends it in the form.
fn is_of_the_form(problem: &Problem) -> bool {
    [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT].contains(&problem.status())
}

fn told(problem: &Problem) -> String {
    sentence(problem.detail())
}

async fn show(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let one = upstream::one(server, &inside.caller, &id)?;
        Ok(form(server, &inside, &one, &one.written(), None).into_response())
    })
    .await
}

/// The form of one, with what is kept or what was sent.
fn form(server: &Server, inside: &Inside, one: &Upstream, written: &Written, problem: Option<&str>) -> Page {
    let here = inside.path(&format!("upstreams/{}", one.id));
    let options: String = Role::ALL
        .into_iter()
        .filter(|role| *role != Role::Owner)
        .map(|role| {
            let chosen = if role.word() == written.domain_role { " selected" } else { "" };
            format!("<option{chosen}>{}</option>", role.word())
        })
        .collect();
    let roles: String = written.roles.iter().map(|(value, role)| format!("{value} = {role}\n")).collect();
    let checked = |is: bool| if is { " checked" } else { "" };
    let secret = if one.has_secret() { "One is kept. Leave it empty to keep it" } else { "Where the issuer gave one" };
    let field = |title: &str, hint: &str, name: &str, value: &str, more: &str| {
        format!(
            "<label>{title}<small>{hint}</small><input name=\"{name}\" maxlength=\"512\" autocomplete=\"off\" \
             spellcheck=\"false\" value=\"{}\"{more}></label>\n",
            Text(value)
        )
    };
    let body = format!(
        "{}<p>At the issuer, register this server as an application of the web with this redirect address:</p>\n\
         <p><code class=\"once\" tabindex=\"0\">{}</code></p>\n\
         <form method=\"post\" action=\"{}\">\n{}{}\n{}{}{}\
         <label>Client secret<small>{secret}</small><input name=\"client_secret\" type=\"password\" maxlength=\"512\" \
         autocomplete=\"off\"></label>\n{}\
         <fieldset><legend>Who is let in without an invitation</legend>\n{}\
         <label>as<select name=\"domain_role\">{options}</select></label>\n{}\
         <label>Its values<small>One a line, with the role of whoever has it: platform = member</small>\
         <textarea name=\"roles\" rows=\"4\" spellcheck=\"false\">{}</textarea></label>\n</fieldset>\n\
         <label class=\"check\"><input type=\"checkbox\" name=\"second_factor\"{}>Ask for the second factor of Lanyard as \
         well</label>\n\
         <label class=\"check\"><input type=\"checkbox\" name=\"listed\"{}>Offer it to everybody on the page to sign \
         in</label>\n<button>Save</button>\n</form>\n<p><a href=\"{2}/delete\">Take it away</a></p>",
        alert(problem),
        Text(&one.redirect(server)),
        Text(&here),
        inside.word(),
        hidden("revision", &one.revision.to_string()),
        field("Name", "As people see it: Sign in with …", "name", &written.name, " required"),
        field("Issuer", "Its address, exactly as its tokens have it", "issuer", &written.issuer, " required"),
        field("Client ID", "What the issuer calls this server", "client_id", &written.client_id, ""),
        field("Scopes", "What is asked of the issuer", "scopes", &written.scopes, " required"),
        field(
            "Everybody with a verified address at",
            "Domains, with commas between; nobody where there is none",
            "domains",
            &written.domains.join(", "),
            ""
        ),
        field("Claim", "Such as groups", "claim", &written.claim, ""),
        Text(&roles),
        checked(written.second_factor),
        checked(written.listed),
    );
    let page = inside.page(Place::Upstreams, "Sign-in by an issuer", body);
    if problem.is_some() { page.status(StatusCode::UNPROCESSABLE_ENTITY) } else { page }
}

/// What a form holds. A line that is none has a role that there is not, and is refused with it.
fn sent_as(sent: &Sent) -> Written {
    let text = |name: &str| sent.text(name).to_owned();
    let words = |text: &str| -> Vec<String> {
        text.split([',', '\n']).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let line = |line: &str| {
        let (value, role) = line.rsplit_once('=').unwrap_or((line, ""));
        (value.trim().to_owned(), role.trim().to_owned())
    };
    let lines = text("roles");
    Written {
        name: text("name"),
        issuer: text("issuer"),
        client_id: text("client_id"),
        client_secret: sent.filled("client_secret").map(Secret::duplicate),
        scopes: text("scopes"),
        domains: words(&text("domains")),
        domain_role: text("domain_role"),
        claim: text("claim"),
        roles: lines.lines().filter(|one| !one.trim().is_empty()).map(line).collect(),
        second_factor: sent.filled("second_factor").is_some(),
        listed: sent.filled("listed").is_some(),
    }
}

async fn change(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let was_seen = |revision: i64| sent.text("revision") == revision.to_string();
        match upstream::change(server, &inside.caller, &id, was_seen, |_| sent_as(&sent)) {
            Ok(_) => Ok(sent_on(&inside.path("upstreams"), None)),
            Err(problem) if is_of_the_form(&problem) => {
                let one = upstream::one(server, &inside.caller, &id)?;
                Ok(form(server, &inside, &one, &sent_as(&sent), Some(&told(&problem))).into_response())
            }
            Err(problem) => Err(problem),
        }
    })
    .await
}

async fn ask(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let one = upstream::one(server, &inside.caller, &id)?;
        let here = inside.path(&format!("upstreams/{id}"));
        let body = format!(
            "<p>Take <strong>{}</strong> away? Whoever signs in by it alone cannot sign in any more, at once.</p>\n\
             <form method=\"post\" action=\"{}/delete\">\n{}\n<p class=\"actions\"><button class=\"bad\">Take it away</button>\
             <a class=\"button quiet\" href=\"{1}\">Cancel</a></p>\n</form>",
            Text(&one.name),
            Text(&here),
            inside.word(),
        );
        Ok(inside.page(Place::Upstreams, "Take this issuer away?", body).into_response())
    })
    .await
}

async fn delete(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        upstream::end(server, &inside.caller, &id)?;
        Ok(sent_on(&inside.path("upstreams"), None))
    })
    .await
}
