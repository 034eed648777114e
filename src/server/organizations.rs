//! Organizations: whoever owns one may make another on the same server, and is its owner; they rename their own, and
//! delete it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query, Seen, Tagged};
use super::api_keys;
use super::audit::{self, Event};
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::db::{DbError, OrgScope, Reach, Rows, values};
use super::people;
use super::permission::{Permission, Role};
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::{Server, now};
use super::team::{NAME, alone, alone_telling};

mod end;

pub(crate) use end::end;

const ALL: &str = "/organizations";
const ONE: &str = "/organizations/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let of = Access::Permission;
    let (create, read, manage) =
        (of(Permission::OrganizationsCreate), of(Permission::MembersRead), of(Permission::OrganizationsManage));
    vec![
        Route::api(Method::POST, ALL, create, self::create, "createOrganization", "Make an organization"),
        Route::api(Method::GET, ONE, read, show, "showOrganization", "Show the organization of the token"),
        Route::api(
            Method::PATCH,
            ONE,
            manage,
            amend,
            "changeOrganization",
            "Rename it, bound its API keys, or let no devices in",
        ),
        Route::api(Method::DELETE, ONE, manage, delete, "deleteOrganization", "Delete the organization and all of it")
            .refuses(&["invalid", "last-organization"]),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[schemars(length(min = 1, max = 64))]
    name: String,
}

/// An organization, and what whoever made it is in it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewOrganization")]
struct Made {
    id: String,
    name: String,
    role: String,
}

/// An organization as the API shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
struct Shown {
    id: String,
    name: String,
    created: Option<DateTime<Utc>>,
    /// How many days an API key lives at most.
    key_days: i64,
    /// How many API keys a member has at most; 0 for any number.
    keys_each: i64,
    /// Whether programs without a browser are let in, by a code that a person types.
    device_flow: bool,
}

/// An organization as its row stands.
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) name: String,
    created: i64,
    pub(crate) revision: i64,
    /// How many days an API key lives at most.
    pub(crate) key_days: i64,
    /// How many API keys a member has at most; 0 for any number.
    pub(crate) keys_each: i64,
    /// Whether programs without a browser are let in, by a code that a person types.
    pub(crate) device_flow: bool,
}

impl Organization {
    fn tagged(self) -> Tagged<Shown> {
        let Self { id, name, key_days, keys_each, device_flow, .. } = self;
        let created = DateTime::from_timestamp_millis(self.created);
        Tagged { revision: self.revision, body: Shown { id, name, created, key_days, keys_each, device_flow } }
    }

    /// Refuses to go on where somebody else has changed it since it was seen.
    fn is_as_seen(&self, seen: Option<i64>) -> Answer<()> {
        if seen.is_some_and(|revision| revision != self.revision) { Err(Problem::changed()) } else { Ok(()) }
    }
}

/// The organization that a caller works in, if it is the one of this identifier. Another is not there.
pub(crate) fn find(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Answer<Organization> {
    if id != scope.id() {
        return Err(Problem::not_found());
    }
    let one = "SELECT id, name, created, revision, key_days, keys_each, device_flow FROM organizations \
               WHERE id = $1 AND deleted IS NULL";
    let mut row = rows.first(one, values![scope.id()])?.ok_or_else(Problem::not_found)?;
    Ok(Organization {
        id: row.text(0)?,
        name: row.text(1)?,
        created: row.int(2)?,
        revision: row.int(3)?,
        key_days: row.maybe_int(4)?.unwrap_or(api_keys::LONGEST),
        keys_each: row.maybe_int(5)?.unwrap_or_default(),
        device_flow: row.int(6)? == 1,
    })
}

/// Whether an organization lets programs in by a code that a person types.
pub(crate) fn lets_devices_in(rows: &mut dyn Rows, scope: &OrgScope) -> Result<bool, DbError> {
    let one = "SELECT device_flow FROM organizations WHERE id = $1 AND deleted IS NULL";
    let row = rows.first(one, values![scope.id()])?;
    Ok(row.map(|mut row| row.int(0)).transpose()? == Some(1))
}

/// A name as it is kept.
fn name(typed: &str) -> Answer<String> {
    let name = typed.trim();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
        let why = format!("an organization needs a name of at most {NAME} characters");
        return Err(Problem::invalid(why).about("name"));
    }
    Ok(name.to_owned())
}

/// The new one is reached by a new sign-in: the token that asks stays with its own organization.
async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Json<Made>>> {
    let (caller, wanted) = wanted.of(caller);
    let name = name(&wanted.name)?;
    blocking(&server, move |server| {
        let made = caller.once.carry_out(server, || make(server, &caller, &name), |id| again(server, &caller, id))?;
        Ok(Created::nowhere(Json(made)))
    })
    .await
}

fn make(server: &Server, caller: &Caller, name: &str) -> Answer<Made> {
    let scope = people::new_scope(now())?;
    let event = Event::done("organization.create", scope.id());
    alone(server, caller, &event, |rows, caller| {
        caller.needs(Permission::OrganizationsCreate)?;
        // It is none of the caller's organization yet.
        rows.enter(Reach::Server)?;
        people::new_organization(rows, &server.keys, &scope, name, &caller.person.id, now())?;
        for event in [event.clone(), Event::done("member.create", &caller.person.id)] {
            audit::append(rows, &server.keys, &scope, &caller.actor, &event, now())?;
        }
        Ok(())
    })?;
    Ok(Made { id: scope.id().to_owned(), name: name.to_owned(), role: Role::Owner.word().to_owned() })
}

/// One that was made before, as far as whoever made it is in it still.
fn again(server: &Server, caller: &Caller, id: &str) -> Answer<Made> {
    let own = "SELECT name, role FROM organizations JOIN members ON members.org = organizations.id \
               WHERE organizations.id = $1 AND members.person = $2";
    let found = server.db.read(Reach::Server, |rows| rows.first(own, values![id, &caller.person.id]))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("organization.show", id))?;
    let mut row = found.ok_or_else(Problem::not_found)?;
    Ok(Made { id: id.to_owned(), name: row.text(0)?, role: row.text(1)? })
}

async fn show(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| {
        let found = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, &id))?;
        server.tell(&caller.scope, &caller.actor, &Event::done("organization.show", &id))?;
        Ok(found.tagged())
    })
    .await
}

/// What of an organization is to be another; what is not named stays.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrganizationChange")]
pub(crate) struct Change {
    #[schemars(length(min = 1, max = 64))]
    pub(crate) name: Option<String>,
    /// How many days an API key may live. Those that would live longer end by it as well.
    #[schemars(range(min = 1, max = 366))]
    pub(crate) key_days: Option<i64>,
    /// How many API keys a member may have; 0 for any number. Nobody loses one that they have.
    #[schemars(range(min = 0, max = 1000))]
    pub(crate) keys_each: Option<i64>,
    /// Whether programs without a browser are let in, by a code that a person types. Those that were stay.
    pub(crate) device_flow: Option<bool>,
}

impl Change {
    /// What is to be another than it is, for the audit, which has no names in it. Of what is not known, all.
    fn in_words(&self, known: Option<&Organization>) -> String {
        let number = |name: &str, wanted: Option<i64>, known: Option<i64>| {
            wanted.filter(|_| wanted != known).map(|wanted| format!("{name} {wanted}"))
        };
        let named = self.name.as_deref().filter(|name| known.is_none_or(|known| known.name != name.trim()));
        let devices = self.device_flow.filter(|is| known.is_none_or(|known| known.device_flow != *is));
        let all = [
            named.map(|_| "name".to_owned()),
            number("key_days", self.key_days, known.map(|known| known.key_days)),
            number("keys_each", self.keys_each, known.map(|known| known.keys_each)),
            devices.map(|is| format!("device_flow {}", if is { "yes" } else { "no" })),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        if all.is_empty() { "nothing".into() } else { all.join(", ") }
    }

    fn checked(&self) -> Answer<Option<String>> {
        let within = |value: Option<i64>, least: i64, most: i64, field: &str, what: &str| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(Problem::invalid(format!("{what} from {least} to {most}")).about(field))
            }
            _ => Ok(()),
        };
        within(self.key_days, 1, api_keys::LONGEST, "key_days", "an API key lives a number of days")?;
        within(self.keys_each, 0, api_keys::MOST, "keys_each", "a member has a number of API keys")?;
        self.name.as_deref().map(name).transpose()
    }
}

/// Changes the organization of a caller, if it is still as it was seen.
pub(crate) fn change(
    server: &Server,
    caller: &Caller,
    id: &str,
    wanted: &Change,
    seen: Option<i64>,
) -> Answer<Organization> {
    let (name, words) = (wanted.checked()?, wanted.in_words(None));
    let event = Event { detail: &words, ..Event::done("organization.change", id) };
    alone_telling(server, caller, &event, |rows, caller| {
        let known = find(rows, &caller.scope, id)?;
        caller.needs(Permission::OrganizationsManage)?;
        known.is_as_seen(seen)?;
        let days = wanted.key_days.unwrap_or(known.key_days);
        let each = wanted.keys_each.unwrap_or(known.keys_each);
        rows.execute(
            "UPDATE organizations SET name = $2, key_days = $3, keys_each = $4, device_flow = $5, \
             revision = revision + 1 WHERE id = $1",
            values![
                caller.scope.id(),
                name.as_ref().unwrap_or(&known.name),
                Some(days).filter(|days| *days < api_keys::LONGEST),
                Some(each).filter(|each| *each > 0),
                i64::from(wanted.device_flow.unwrap_or(known.device_flow)),
            ],
        )?;
        api_keys::shorten(rows, &caller.scope, days)?;
        Ok((find(rows, &caller.scope, id)?, wanted.in_words(Some(&known))))
    })
}

async fn amend(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Seen(seen): Seen,
    Json(wanted): Json<Change>,
) -> Answer<Tagged<Shown>> {
    blocking(&server, move |server| Ok(change(server, &caller, &id, &wanted, seen)?.tagged())).await
}

/// What is asked of the end of an organization.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ending {
    /// The name of the organization, without which it is not deleted: so none is that was not meant.
    #[serde(default)]
    name: String,
}

async fn delete(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Query(Ending { name }): Query<Ending>,
    Seen(seen): Seen,
) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id, &name, seen).map(|()| Done)).await
}
