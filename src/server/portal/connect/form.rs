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
use crate::server::db::{DbError, values};
use crate::server::portal::inside::{Inside, Sent, sentence};
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::shell::{Place, alert, hidden};
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

fn inputs(server: &Server, filled: &Filled) -> String {
    let mut html = String::from("<label>Service<select name=\"service\"><option value=\"\">Another service</option>");
    for preset in PRESETS {
        let chosen = if preset.name == filled.service { " selected" } else { "" };
        let _ = write!(html, "<option value=\"{}\"{chosen}>{}</option>", Text(preset.name), Text(preset.title));
    }
    let _ = writeln!(
        html,
        "</select></label>\n<label>Name of another service<small>A word for it, where it is none of these</small>\
         <input name=\"other\" maxlength=\"64\" autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>",
        Text(&filled.other)
    );
    for (name, title, hint) in INPUTS {
        let needed = if name == "client_id" { " required" } else { "" };
        let _ = writeln!(
            html,
            "<label>{}<small>{}</small><input name=\"{name}\" autocomplete=\"off\" autocapitalize=\"none\" \
             spellcheck=\"false\" value=\"{}\"{needed}></label>",
            Text(title),
            Text(hint),
            Text(filled.value(name)),
        );
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

fn new(server: &Server, inside: &Inside, filled: &Filled, problem: Option<&str>) -> Answer<Page> {
    let all = "SELECT name FROM projects WHERE org = $1 ORDER BY name";
    let projects = server.db.read(&inside.caller.scope, |rows| -> Result<Vec<String>, DbError> {
        rows.query(all, values![inside.caller.scope.id()])?.into_iter().map(|mut row| row.text(0)).collect()
    })?;
    let mut options = String::from("<option value=\"\">The whole organization</option>");
    for project in &projects {
        let chosen = if *project == filled.project { " selected" } else { "" };
        let _ = write!(options, "<option value=\"{0}\"{chosen}>{0}</option>", Text(project));
    }
    let body = format!(
        "{}<form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}\
         <label>Name<small>Letters, digits and . _ @ + : -</small><input name=\"name\" required maxlength=\"128\" \
         autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label>\n\
         <label>For<select name=\"project\">{options}</select></label>\n{}<button>Go on</button>\n</form>",
        alert(problem),
        Text(&inside.path("credentials/connect")),
        inside.word(),
        Text(&filled.name),
        inputs(server, filled),
    );
    Ok(inside.page(Place::Credentials, "Connect a service", body))
}

/// The values of the form, held against the kind, and against what can be signed in to.
fn read(sent: &Sent) -> Answer<Fields> {
    let mut raw = Raw::new();
    let service = if sent.text("service").is_empty() { sent.text("other") } else { sent.text("service") };
    if service.is_empty() {
        return Err(Problem::invalid("choose the service, or give another one a name"));
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
    Ok(Fields::parse(kind()?, raw)?)
}

pub(super) async fn submit_new(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        let made = read(&sent).and_then(|fields| {
            let project = sent.text("project");
            let scope = if project.is_empty() { Scope::Organization } else { Scope::Project(project.to_owned()) };
            let new = New { scope, ..New::named(sent.text("name"), fields) };
            connections::check(&new.fields)?;
            Ok(vault(server, &inside).put(new)?)
        });
        match made {
            Ok(metadata) => Ok(sent_on(&inside.path(&format!("credentials/{}/connect", metadata.id)), None)),
            Err(problem) if is_slip(&problem) => {
                let why = sentence(problem.detail());
                let page = new(server, &inside, &Filled::sent(&sent, false), Some(&why))?;
                Ok(page.status(problem.status()).into_response())
            }
            Err(problem) => Err(problem),
        }
    })
    .await
}

/// Whether a form is shown again.
fn is_slip(problem: &Problem) -> bool {
    use axum::http::StatusCode;
    matches!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT)
}

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
) -> Answer<Response> {
    blocking(&server, move |server| {
        let metadata = sign_in(&vault(server, &inside), &id)?;
        Ok(fill_in(server, &inside, &metadata, &Filled::of(&metadata), None).into_response())
    })
    .await
}

fn fill_in(server: &Server, inside: &Inside, metadata: &Metadata, filled: &Filled, problem: Option<&str>) -> Page {
    let one = inside.path(&format!("credentials/{}", metadata.id));
    let body = format!(
        "{}<p>With another service, other addresses or another client id, one has to connect anew, and the client secret \
         is typed again.</p>\n<form method=\"post\" action=\"{}/connection\" autocomplete=\"off\">\n{}{}{}\
         <p class=\"actions\"><button>Save</button><a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n</form>",
        alert(problem),
        Text(&one),
        inside.word(),
        hidden("version", &metadata.version.to_string()),
        inputs(server, filled),
        Text(&one),
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
        let metadata = sign_in(&vault(server, &inside), &id)?;
        match change(server, &inside, &metadata, &sent) {
            Ok(()) => Ok(sent_on(&inside.path(&format!("credentials/{id}/connect")), None)),
            Err(problem) if is_slip(&problem) => {
                let why = sentence(problem.detail());
                let has_secret = metadata.secret_names.contains(Credential::CLIENT_SECRET);
                let page = fill_in(server, &inside, &metadata, &Filled::sent(&sent, has_secret), Some(&why));
                Ok(page.status(problem.status()).into_response())
            }
            Err(problem) => Err(problem),
        }
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
