//! One credential: all that may be seen of it, and asking its provider.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{One, stored, vault};
use crate::credential::{Class, Credential, Metadata, Status, mask_identifier};
use crate::provider::{Outcome, Verdict};
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::connections::Connection;
use crate::server::credential_configs::{self, is_telling};
use crate::server::permission::Permission;
use crate::server::portal::inside::{Inside, sentence};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{Place, mark, status, time};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::vault::Stored;
use crate::server::vault::sign_in::is_sign_in;
use crate::vault::Vault;

/// What was just done, in one of a few words.
#[derive(Deserialize)]
pub(super) struct Done {
    done: Option<String>,
}

/// A sentence at the head of the page: good news or not.
type Notice = (bool, String);

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    Query(Done { done }): Query<Done>,
) -> Answer<Response> {
    let notice = match done.as_deref() {
        Some("stored") => Some("It is stored."),
        Some("changed") => Some("It is changed."),
        Some("replaced") => Some("Its values are replaced."),
        Some("connected") => Some("It is connected."),
        Some("disconnected") => Some("It is disconnected: the sign-in was ended at its service."),
        Some("ended-here") => Some("It is disconnected here. End the sign-in on the service's own page as well."),
        _ => None,
    };
    blocking(&server, move |server| {
        let found = stored(&vault(server, &inside), &id)?;
        let (scope, actor) = (&inside.caller.scope, &inside.caller.actor);
        server.tell(scope, actor, &Event::done("credential.show", &found.metadata.id))?;
        page(server, &inside, &id, notice.map(|notice| (true, notice.to_owned()))).map(IntoResponse::into_response)
    })
    .await
}

pub(super) async fn verify(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    if let Some(verdict) = credential_configs::renewed(&server, &inside.caller, &id).await? {
        let notice = Some(told(&verdict));
        return blocking(&server, move |server| page(server, &inside, &id, notice).map(IntoResponse::into_response))
            .await;
    }
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let notice = match credential_configs::verified(server, &inside.caller, &id) {
            Ok(verdict) => told(&verdict),
            Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY => (false, sentence(problem.detail())),
            Err(problem) => return Err(problem),
        };
        page(server, &inside, &id, Some(notice)).map(IntoResponse::into_response)
    })
    .await
}

/// What the provider said, as far as the API tells it.
fn told(verdict: &Verdict) -> Notice {
    let reason = verdict.reason.as_deref().filter(|_| is_telling(verdict));
    match verdict.outcome {
        Outcome::Valid => match &verdict.identity {
            Some(identity) => (true, format!("It works: {identity}.")),
            None => (true, "It works.".into()),
        },
        Outcome::Insufficient => (true, reason.map_or_else(|| "It works, and may do little.".into(), sentence)),
        Outcome::Unreachable | Outcome::Tls => (false, "Its provider could not be reached.".into()),
        _ => (false, reason.map_or_else(|| "Its provider gave no answer that tells.".into(), sentence)),
    }
}

fn page(server: &Server, inside: &Inside, id: &str, notice: Option<Notice>) -> Answer<Page> {
    let now = now();
    let vault = vault(server, inside);
    let Stored { metadata, scopes, .. } = stored(&vault, id)?;
    let users = vault.users(&metadata)?;
    let mut facts = vec![
        ("Type", Text(metadata.kind.title).to_string()),
        ("Service", Text(metadata.service()).to_string()),
        ("Status", status(&metadata, now)),
        ("Belongs to", Text(&metadata.scope.to_string()).to_string()),
        ("Created", time(Some(metadata.created), now, "")),
        ("Updated", time(Some(metadata.updated), now, "")),
        ("Verified", time(metadata.verified, now, "never")),
        ("Last used", time(metadata.used, now, "never")),
        ("Expires", time(metadata.expires, now, "not known")),
        ("Used by", listed(users.iter().map(String::as_str), "nothing else")),
        ("Tags", listed(metadata.tags.iter().map(String::as_str), "none")),
    ];
    if is_sign_in(metadata.kind) {
        facts.insert(2, ("Sign-in", Text(Connection::of(&metadata).words()).to_string()));
        facts
            .insert(3, ("Account", metadata.field("account").map_or_else(nobody, |account| Text(account).to_string())));
    }
    if !scopes.is_empty() {
        facts.push(("Scopes", listed(scopes.iter().map(String::as_str), "none")));
    } else if let Some(scopes) = metadata.field("scopes") {
        facts.push(("Scopes", Text(scopes).to_string()));
    }
    if !metadata.note.is_empty() {
        facts.push(("Note", Text(&metadata.note).to_string()));
    }
    let facts: String = facts.into_iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>\n")).collect();
    let body = format!(
        "{}{}<p class=\"named\">{}{}</p>\n{}<dl class=\"facts\">\n{facts}</dl>\n\
         <h2>Values</h2>\n<dl class=\"facts\">\n{}</dl>",
        notice.map(|(good, text)| said(good, &text)).unwrap_or_default(),
        warning(&metadata),
        mark(metadata.kind.provider, metadata.service()),
        Text(metadata.kind.title),
        actions(inside, &metadata),
        values(&metadata),
    );
    Ok(inside.page(Place::Credentials, metadata.name.clone(), body))
}

fn said(good: bool, text: &str) -> String {
    let (class, role) = if good { ("good", "status") } else { ("bad", "alert") };
    format!("<p class=\"notice {class}\" role=\"{role}\">{}</p>\n", Text(text))
}

fn nobody() -> String {
    "<span class=\"none\">nobody yet</span>".into()
}

fn warning(metadata: &Metadata) -> String {
    if is_sign_in(metadata.kind) {
        let why = match Connection::of(metadata) {
            Connection::Refused => "Its service does not renew it any more. Reconnect it.",
            Connection::Expired => "Its time is over. Reconnect it.",
            Connection::Never | Connection::Disconnected => "Nobody has signed in for it: there is no token to use.",
            Connection::Connected => return String::new(),
        };
        return format!("<p class=\"notice bad\">{why}</p>\n");
    }
    match metadata.status(now()) {
        Status::Expired => "<p class=\"notice bad\">It has expired. Replace its values.</p>\n".into(),
        Status::ExpiresSoon => "<p class=\"notice soon\">It expires soon. Replace its values before.</p>\n".into(),
        Status::NeedsAttention => {
            "<p class=\"notice bad\">Its provider refused it when it was last asked.</p>\n".into()
        }
        Status::Active | Status::Unverified => String::new(),
    }
}

fn actions(inside: &Inside, metadata: &Metadata) -> String {
    let at = |rest: &str| inside.path(&format!("credentials/{}/{rest}", metadata.id));
    let mut all = String::new();
    let is_sign_in = is_sign_in(metadata.kind);
    let is_connected = metadata.secret_names.contains(Credential::SESSION);
    let can_be_asked = if is_sign_in { is_connected } else { !metadata.secret_names.is_empty() };
    let may = |permission| inside.caller.may(permission, metadata.scope.project());
    if may(Permission::CredentialsVerify) && can_be_asked {
        let verify = Text(&at("verify")).to_string();
        let _ = writeln!(
            all,
            "<form method=\"post\" action=\"{verify}\">{}<button>Verify now</button></form>",
            inside.word()
        );
    }
    if may(Permission::CredentialsWrite) {
        let mut links = vec![("edit", "Edit")];
        if is_sign_in {
            let is_new = Connection::of(metadata) == Connection::Never;
            links.insert(0, ("connect", if is_new { "Connect" } else { "Reconnect" }));
        } else {
            links.push(("values", "Replace values"));
        }
        if is_connected {
            let _ = writeln!(
                all,
                "<form method=\"post\" action=\"{}\">{}<button class=\"quiet\">Disconnect</button></form>",
                Text(&at("disconnect")),
                inside.word()
            );
        }
        links.push(("delete", "Delete"));
        for (rest, title) in links {
            let _ = writeln!(all, "<a class=\"button quiet\" href=\"{}\">{title}</a>", Text(&at(rest)));
        }
    }
    if all.is_empty() { all } else { format!("<div class=\"actions\">\n{all}</div>\n") }
}

/// The fields as far as they may be seen; of secrets, that they are there.
fn values(metadata: &Metadata) -> String {
    let title = |name: &str| metadata.kind.field(name).map_or_else(|| name.to_owned(), |field| field.title.to_owned());
    let plain = metadata.fields.iter().map(|(name, value)| {
        let seen = match metadata.kind.class(name) {
            Class::Plain => value.clone(),
            Class::Identifier => mask_identifier(value),
            Class::Secret => "****".into(),
        };
        (title(name), format!("<dd>{}</dd>", Text(&seen)))
    });
    let secret = metadata
        .secret_names
        .iter()
        .map(|name| (title(name), "<dd><code>••••••••</code> <span class=\"none\">stored</span></dd>".to_owned()));
    let all: String = plain.chain(secret).map(|(title, value)| format!("<dt>{}</dt>{value}\n", Text(&title))).collect();
    if all.is_empty() { "<dt>Nothing</dt><dd>No values are stored yet.</dd>\n".into() } else { all }
}

fn listed<'t>(texts: impl Iterator<Item = &'t str>, none: &str) -> String {
    let all: Vec<String> = texts.map(|text| Text(text).to_string()).collect();
    if all.is_empty() { format!("<span class=\"none\">{none}</span>") } else { all.join(", ") }
}
