//! API keys: tokens that a person makes for their programs. Each is shown once, ends by itself, and has no more than
//! its maker has.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{Created, Creation, Done, Json, Query};
use super::audit::{self, Event};
use super::bearer::{self, Grant};
use super::bridge::blocking;
use super::caller::{Access, Caller, within_a_project};
use super::db::{DbError, OrgScope, Row, Rows, values};
use super::paging::{Asked, Part};
use super::permission::{self, Permission, Permissions};
use super::problem::{Answer, Problem};
use super::projects;
use super::routes::Route;
use super::state::{Server, now};
use super::team::hold;
use super::token::{Kind, Minted};

mod maker;

use maker::Maker;

/// A key lives so many days unless it is told to live shorter or longer, and never longer than a year; in an organization
/// that says so, not as long as that.
const USUAL: i64 = 90;
pub(crate) const LONGEST: i64 = 366;
/// The most keys that an organization may say.
pub(crate) const MOST: i64 = 1000;
const NAME: usize = 64;
/// A key that nobody has used for so long is pointed out.
const IDLE: TimeDelta = TimeDelta::days(30);

const ALL: &str = "/api-keys";
const ONE: &str = "/api-keys/{id}";

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::Permission(Permission::KeysManage);
    vec![
        Route::api(Method::GET, ALL, needs, list, "listApiKeys", "List one's own API keys"),
        Route::api(Method::POST, ALL, needs, create, "createApiKey", "Make an API key"),
        Route::api(Method::DELETE, ONE, needs, revoke, "revokeApiKey", "Revoke an API key of one's own"),
    ]
}

/// A key as it is shown: never itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
    /// The only project that it counts in; the whole organization without.
    pub(crate) project: Option<String>,
    pub(crate) created: Option<DateTime<Utc>>,
    pub(crate) expires: Option<DateTime<Utc>>,
    pub(crate) used: Option<DateTime<Utc>>,
    /// The network that it was last used from.
    pub(crate) used_from: Option<String>,
    /// Whether nobody has used it for thirty days.
    pub(crate) idle: bool,
}

/// A key that is asked for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[schemars(length(min = 1, max = 64))]
    pub(crate) name: String,
    #[schemars(length(min = 1), extend("items" = permission::schema(&Permission::ALL)))]
    pub(crate) permissions: Vec<String>,
    /// The name of the only project that it counts in; the whole organization without.
    pub(crate) project: Option<String>,
    /// So many days it lives; 90 unless it is said. A key that is made with a key does not outlive that one, nor one that is
    /// made with a program its sign-in.
    #[schemars(range(min = 1, max = 366))]
    pub(crate) days: Option<i64>,
}

/// A key that was just made, with itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewApiKey")]
struct Given {
    id: String,
    name: String,
    permissions: Vec<String>,
    project: Option<String>,
    created: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    /// The key. It is shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A key that was just made, the only time that it is there to be shown.
pub(crate) struct Made {
    pub(crate) minted: Minted,
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) project: Option<String>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) expires: DateTime<Utc>,
}

/// One page of the keys of whoever asks, the oldest first.
pub(crate) fn some(server: &Server, caller: &Caller, asked: &Asked) -> Answer<Part<Shown>> {
    let page = asked.page(&server.keys, &caller.scope, &format!("keys of {}", caller.person.id))?;
    server.tell(&caller.scope, &caller.actor, &Event::done("key.list", ""))?;
    // Where a page ends is told by the age of a key and, of several that are as old, by its identifier.
    let (created, id) = page.after.split_once(' ').unwrap_or(("0", ""));
    let created: i64 = created.parse().unwrap_or_default();
    let after = format!("{OWN} AND (t.created > $4 OR t.created = $4 AND t.id > $5) ORDER BY t.created, t.id LIMIT $6");
    let whose = values![caller.scope.id(), &caller.person.id, Kind::Key.word(), created, id, page.limit()];
    let found = server.db.read(&caller.scope, |rows| rows.query(&after, whose))?;
    let read = found.into_iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
    Ok(page.cut(read, |(place, _)| place)?.map(|(_, key)| key))
}

/// A key of whoever asks; another's is not there.
pub(crate) fn one(server: &Server, caller: &Caller, id: &str) -> Answer<Shown> {
    let one = format!("{OWN} AND t.id = $4");
    let whose = values![caller.scope.id(), &caller.person.id, Kind::Key.word(), id];
    let found = server.db.read(&caller.scope, |rows| rows.first(&one, whose))?.ok_or_else(Problem::not_found)?;
    server.tell(&caller.scope, &caller.actor, &Event::done("key.show", id))?;
    Ok(Shown::read(found)?.1)
}

const OWN: &str = "SELECT t.id, t.name, t.permissions, t.created, t.expires, t.used, t.used_from, p.name FROM tokens t \
                   LEFT JOIN projects p ON p.org = t.org AND p.id = t.project \
                   WHERE t.org = $1 AND t.person = $2 AND t.kind = $3 AND t.revoked IS NULL";

impl Shown {
    /// A key, and its place among the others.
    pub(crate) fn read(mut row: Row) -> Result<(String, Self), DbError> {
        let time = DateTime::from_timestamp_millis;
        let (id, created, expires, used) = (row.text(0)?, row.int(3)?, row.int(4)?, row.maybe_int(5)?);
        let shown = Self {
            name: row.text(1)?,
            permissions: row.text(2)?.split_ascii_whitespace().map(str::to_owned).collect(),
            project: row.maybe_text(7)?,
            created: time(created),
            expires: time(expires),
            used: used.and_then(time),
            used_from: row.maybe_text(6)?,
            idle: used.unwrap_or(created) < (now() - IDLE).timestamp_millis(),
            id: id.clone(),
        };
        Ok((format!("{created} {id}"), shown))
    }
}

/// Makes a key for whoever asks.
pub(crate) fn make(server: &Server, caller: &Caller, wanted: &Wanted) -> Answer<Made> {
    let name = wanted.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
        return Err(Problem::invalid(format!("a key needs a name of at most {NAME} characters")).about("name"));
    }
    let bounds = server.db.read(&caller.scope, |rows| Bounds::of(rows, &caller.scope))?;
    let days = wanted.days.unwrap_or(USUAL.min(bounds.days));
    if !(1..=LONGEST).contains(&days) {
        return Err(Problem::invalid(format!("a key lives from 1 to {LONGEST} days")).about("days"));
    }
    let permissions = Permissions::parse(&wanted.permissions.join(" "));
    let permissions = permissions.filter(|permissions| !permissions.is_empty());
    let none = || Problem::invalid("a key needs permissions that there are").about("permissions");
    let permissions = permissions.ok_or_else(none)?;
    let project = wanted.project.as_deref().filter(|project| !project.is_empty());
    if project.is_some() && !permissions.within(&within_a_project()) {
        let words = within_a_project().words().replace(' ', ", ");
        let why = format!("a key of one project has no other permissions than {words}");
        return Err(Problem::invalid(why).about("permissions"));
    }
    let mut grant = Grant {
        scope: caller.scope.clone(),
        person: caller.person.id.clone(),
        client: String::new(),
        permissions,
        project: None,
        family: String::new(),
        bound: None,
    };
    let now = now();
    let life = TimeDelta::days(days);
    let (minted, life) = server.db.write(&caller.scope, |rows| -> Answer<_> {
        // Held, so that of two who make one at once the second counts the first.
        hold(rows, &caller.scope)?;
        // Nobody gives a key what they had a moment ago.
        let caller = &caller.standing(rows)?;
        if !caller.may(Permission::KeysManage, None) {
            return Err(Problem::forbidden(Permission::KeysManage.word()));
        }
        let has = |permission| match project {
            Some(_) => caller.may(permission, project),
            // Where each of these counts is looked at when the key is used.
            None => caller.rights.most().has(permission),
        };
        if !grant.permissions.iter().all(has) {
            return Err(Problem::forbidden("a permission that the key is to have").about("permissions"));
        }
        Bounds::of(rows, &caller.scope)?.allow(rows, caller, days, now)?;
        let maker = Maker::of(rows, caller, now)?;
        let life = maker.bound(life, wanted.days, now)?;
        grant.project = match project {
            Some(name) => Some(projects::named(rows, &caller.scope, name)?.id),
            None => None,
        };
        let minted = bearer::issue(rows, Kind::Key, &grant, &name, life, now)?;
        maker.keep(rows, &caller.scope, &minted.id)?;
        caller.once.keep(rows, &minted.id)?;
        let detail = grant.permissions.words() + &project.map(|name| format!(" in {name}")).unwrap_or_default();
        let event = Event { detail: &detail, ..Event::done("key.create", &minted.id) };
        audit::append(rows, &server.keys, &caller.scope, &caller.actor, &event, now)?;
        Ok((minted, life))
    })?;
    let project = project.map(str::to_owned);
    Ok(Made { minted, name, permissions: grant.permissions, project, created: now, expires: now + life })
}

/// What an organization lets the keys of its members be.
pub(crate) struct Bounds {
    /// So many days at most.
    pub(crate) days: i64,
    /// So many of one member at a time, if it says so.
    pub(crate) each: Option<i64>,
}

impl Bounds {
    /// Those of an organization.
    pub(crate) fn of(rows: &mut dyn Rows, scope: &OrgScope) -> Result<Self, DbError> {
        let one = "SELECT key_days, keys_each FROM organizations WHERE id = $1";
        let mut row = rows.first(one, values![scope.id()])?.ok_or(DbError::Shape)?;
        Ok(Self { days: row.maybe_int(0)?.unwrap_or(LONGEST), each: row.maybe_int(1)? })
    }

    /// Refuses one more key of a member that is to live so many days.
    fn allow(&self, rows: &mut dyn Rows, caller: &Caller, days: i64, now: DateTime<Utc>) -> Answer<()> {
        if days > self.days {
            let why = format!("a key lives {} days at most in this organization", self.days);
            return Err(Problem::invalid(why).about("days"));
        }
        let Some(each) = self.each else { return Ok(()) };
        let own = "SELECT COUNT(*) FROM tokens WHERE org = $1 AND person = $2 AND kind = $3 AND revoked IS NULL \
                   AND expires > $4";
        let whose = values![caller.scope.id(), &caller.person.id, Kind::Key.word(), now.timestamp_millis()];
        if rows.first(own, whose)?.ok_or(DbError::Shape)?.int(0)? >= each {
            let why = format!("a member has {each} keys at most in this organization: revoke one first");
            return Err(Problem::invalid(why));
        }
        Ok(())
    }
}

/// Has every key of an organization end that would live longer than it lets them.
pub(crate) fn shorten(rows: &mut dyn Rows, scope: &OrgScope, days: i64) -> Result<(), DbError> {
    let shorter = "UPDATE tokens SET expires = created + $3 WHERE org = $1 AND kind = $2 AND expires > created + $3";
    let life = TimeDelta::days(days).num_milliseconds();
    rows.execute(shorter, values![scope.id(), Kind::Key.word(), life]).map(|_| ())
}

/// Ends a key of whoever asks; another's is not there.
pub(crate) fn end(server: &Server, caller: &Caller, id: &str) -> Answer<()> {
    server.db.write(&caller.scope, |rows| -> Answer<()> {
        let own = "SELECT 1 FROM tokens WHERE org = $1 AND id = $2 AND person = $3 AND kind = $4";
        let whose = values![caller.scope.id(), id, &caller.person.id, Kind::Key.word()];
        if rows.first(own, whose)?.is_none() || !bearer::revoke(rows, &caller.scope, id, now())? {
            return Err(Problem::not_found());
        }
        let event = Event::done("key.revoke", id);
        Ok(audit::append(rows, &server.keys, &caller.scope, &caller.actor, &event, now())?)
    })
}

async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Answer<Json<Part<Shown>>> {
    blocking(&server, move |server| Ok(Json(some(server, &caller, &asked)?))).await
}

async fn create(
    State(server): State<Arc<Server>>,
    caller: Caller,
    wanted: Creation<Wanted>,
) -> Answer<Created<Json<Given>>> {
    let (caller, wanted) = wanted.of(caller);
    blocking(&server, move |server| {
        let make = || -> Answer<Given> {
            let made = make(server, &caller, &wanted)?;
            Ok(Given {
                id: made.minted.id,
                name: made.name,
                permissions: made.permissions.iter().map(|permission| permission.word().to_owned()).collect(),
                project: made.project,
                created: Some(made.created),
                expires: Some(made.expires),
                key: Some(made.minted.token.expose().to_owned()),
            })
        };
        let again = |id: &str| -> Answer<Given> {
            let Shown { id, name, permissions, project, created, expires, .. } = one(server, &caller, id)?;
            Ok(Given { id, name, permissions, project, created, expires, key: None })
        };
        Ok(Created::nowhere(Json(caller.once.carry_out(server, make, again)?)))
    })
    .await
}

async fn revoke(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Done> {
    blocking(&server, move |server| end(server, &caller, &id).map(|()| Done)).await
}
