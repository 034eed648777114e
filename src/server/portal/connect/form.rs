//! How one signs in at a service: which one it is, and what client this server is there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::{One, sign_in, vault};
use crate::auth::presets::PRESETS;
use crate::credential::{Credential, Fields, Kind, Metadata, Raw, Scope};
use crate::provider;
use crate::secret::Secret;
use crate::server::bridge::blocking;
use crate::server::connections::{self, CALLBACK};
use crate::server::permission::Permission;
use crate::server::portal::credentials::form;
use crate::server::portal::fields::{Input, Slip, buttons, choice, summary};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::projects;
use crate::server::portal::shell::{Place, fixable, hidden};
use crate::server::problem::{Answer, Problem};
use crate::server::state::Server;
use crate::vault::{New, Vault};

/// The kind of what comes of a sign-in.
const KIND: &str = "oauth";
/// The fields of the form beside the service: the name, what it is called, what helps to fill it in.
const INPUTS: [(&str, &str, &str); 6] = [
    ("issuer", "Issuer", "Of another service, or of one of your own; it tells the addresses below"),
    ("authorization_endpoint", "Address where one signs in", "Where no issuer tells it"),
    ("token_endpoint", "Address that gives tokens", "Where no issuer tells it"),
    ("revocation_endpoint", "Address that takes tokens back", "Where there is one and no issuer tells it"),
    ("client_id", "Client id", "What the service calls this server"),
    ("scopes", "Scopes", "With blanks between; the service's usual ones where there are none"),
];

/// What stands in the form.
#[derive(Default)]
struct Filled {
    service: String,
    other: String,
    values: Vec<(&'static str, String)>,
    name: String,
    project: String,
    has_secret: bool,
}

impl Filled {
    fn of(metadata: &Metadata) -> Self {
        let service = metadata.service().to_owned();
        let is_known = PRESETS.iter().any(|preset| preset.name == service);
        let values = INPUTS.map(|(name, ..)| (name, metadata.field(name).unwrap_or_default().to_owned()));
        Self {
            other: if is_known { String::new() } else { service.clone() },
            service: if is_known { service } else { String::new() },
            values: values.to_vec(),
            has_secret: metadata.secret_names.contains(Credential::CLIENT_SECRET),
            ..Self::default()
        }
    }

    fn sent(sent: &Sent, has_secret: bool) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        Self {
            service: text("service"),
            other: text("other"),
            values: INPUTS.map(|(name, ..)| (name, text(name))).to_vec(),
            name: text("name"),
            project: text("project"),
            has_secret,
        }
    }

    fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

fn kind() -> Answer<&'static Kind> {
    provider::by_kind(KIND).map(|(_, kind)| kind).ok_or_else(|| Problem::internal("no kind for sign-ins"))
}

fn inputs(server: &Server, filled: &Filled, slip: Option<&Slip>) -> String {
    let another = [("", "Another service".to_owned())].into_iter();
    let services: Vec<_> = another.chain(PRESETS.iter().map(|preset| (preset.name, preset.title.to_owned()))).collect();
    let mut html = choice("service", "Service", "", &services, &filled.service, slip);
    let more = "maxlength=\"64\" autocapitalize=\"none\" spellcheck=\"false\"";
    let hint = "A word for it, where it is none of these";
    let other = Input { name: "other", title: "Name of another service", hint, value: &filled.other, more };
    html.push_str(&other.html(slip));
    for (name, title, hint) in INPUTS {
        let needed = if name == "client_id" { " required" } else { "" };
        let more = format!("autocapitalize=\"none\" spellcheck=\"false\"{needed}");
        html.push_str(&Input { name, title, hint, value: filled.value(name), more: &more }.html(slip));
    }
    let stays = if filled.has_secret {
        "Stored; it stays where nothing is typed and the service is the same"
    } else {
        "Where the service gave one"
    };
    let _ = writeln!(
        html,
        "<label>Client secret<small>{stays}</small><input type=\"password\" name=\"client_secret\" \
         autocomplete=\"new-password\" spellcheck=\"false\"></label>\n\
         <p class=\"hint\">Register this server there with the redirect address <code>{}</code></p>",
        Text(&server.address(CALLBACK)),
    );
    html
}

pub(super) async fn show_new(State(server): State<Arc<Server>>, inside: Inside) -> Answer<Response> {
    blocking(&server, move |server| Ok(new(server, &inside, &Filled::default(), None)?.into_response())).await
}

fn new(server: &Server, inside: &Inside, filled: &Filled, slip: Option<&Slip>) -> Answer<Page> {
    let body = format!(
        "{}<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}{}{}{}<button>Go on</button>\n</form>",
        summary(slip),
        Text(&inside.path("credentials/connect")),
        inside.word(),
        form::name(&filled.name, slip),
        projects::choice(server, inside, Permission::CredentialsWrite, &filled.project, slip)?,
        inputs(server, filled, slip),
    );
    Ok(inside.page(Place::Credentials, "Connect a service", body))
}

/// The values of the form, held against the kind, and against what can be signed in to.
fn read(sent: &Sent) -> Answer<Fields> {
    let mut raw = Raw::new();
    let service = if sent.text("service").is_empty() { sent.text("other") } else { sent.text("service") };
    if service.is_empty() {
        return Err(Problem::invalid("choose the service, or give another one a name").about("other"));
    }
    raw.plain("service", service);
    for (name, ..) in INPUTS {
        let value = sent.text(name);
        if !value.is_empty() {
            raw.plain(name, value);
        }
    }
    if let Some(secret) = sent.filled(Credential::CLIENT_SECRET) {
        raw.set(Credential::CLIENT_SECRET, Secret::new(secret.expose().trim().to_owned()));
    }
    Fields::parse(kind()?, raw).map_err(|failure| {
        let problem = Problem::from(failure);
        // The inputs of this form have the names of the fields.
        let input = problem.field().and_then(|field| field.strip_prefix("f-")).map(str::to_owned);
        input.into_iter().fold(problem, Problem::about)
    })
}

pub(super) async fn submit_new(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let made = store(server, &inside, &sent);
        fixable(
            made,
            |id| inside.on(&format!("credentials/{id}/connect")),
            |slip| new(server, &inside, &Filled::sent(&sent, false), Some(slip)),
        )
    })
    .await
}

fn store(server: &Server, inside: &Inside, sent: &Sent) -> Answer<String> {
    let project = sent.text("project");
    let scope = if project.is_empty() { Scope::Organization } else { Scope::Project(project.to_owned()) };
    let fields = read(sent)?;
    let may = inside.caller.must(server, Permission::CredentialsWrite, scope.project());
    may.map_err(|denied| denied.about("project"))?;
    let new = New { scope, ..New::named(sent.text("name"), fields) };
    connections::check(&new.fields)?;
    Ok(vault(server, inside).put(new)?.id)
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let metadata = sign_in(server, &inside, &id)?;
        Ok(fill_in(server, &inside, &metadata, &Filled::of(&metadata), None).into_response())
    })
    .await
}

fn fill_in(server: &Server, inside: &Inside, metadata: &Metadata, filled: &Filled, slip: Option<&Slip>) -> Page {
    let one = inside.path(&format!("credentials/{}", metadata.id));
    let body = format!(
        "{}<p>With another service, other addresses or another client id, one has to connect anew, and the client secret \
         is typed again.</p>\n<form method=\"post\" action=\"{}/connection\" autocomplete=\"off\">\n{}{}{}\
         {}</form>",
        summary(slip),
        Text(&one),
        inside.word(),
        hidden("version", &metadata.version.to_string()),
        inputs(server, filled, slip),
        buttons("Save", &one),
    );
    inside.page(Place::Credentials, format!("How one signs in for {}", metadata.name), body)
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let metadata = sign_in(server, &inside, &id)?;
        let has_secret = metadata.secret_names.contains(Credential::CLIENT_SECRET);
        let again = |slip: &Slip| Ok(fill_in(server, &inside, &metadata, &Filled::sent(&sent, has_secret), Some(slip)));
        fixable(change(server, &inside, &metadata, &sent), |()| inside.on(&format!("credentials/{id}/connect")), again)
    })
    .await
}

fn change(server: &Server, inside: &Inside, old: &Metadata, sent: &Sent) -> Answer<()> {
    if sent.text("version") != old.version.to_string() {
        return Err(Problem::changed());
    }
    let mut fields = read(sent)?;
    connections::check(&fields)?;
    let typed: BTreeSet<&str> = INPUTS.iter().map(|(name, ..)| *name).chain(["service"]).collect();
    let same = typed.iter().filter(|name| **name != "scopes").all(|name| {
        let known = fields.plain.get(*name).map(String::as_str);
        known == old.field(name)
    });
    if same {
        // What was found out of the account is of the same account still.
        let rest = old.fields.iter().filter(|(name, _)| !typed.contains(name.as_str()));
        fields.plain.extend(rest.map(|(name, value)| (name.clone(), value.clone())));
    }
    vault(server, inside).put(New {
        name: String::new(),
        scope: old.scope.clone(),
        fields,
        expires: None,
        tags: old.tags.clone(),
        note: old.note.clone(),
        verdict: None,
        replaces: Some(old.clone()),
        retiring: None,
    })?;
    Ok(())
}
