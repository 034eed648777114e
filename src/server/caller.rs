//! Who calls: what each route demands is checked before its handler runs, and the handler is told who it is.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::Once;
use super::attempts;
use super::audit::{Actor, Event, Outcome};
use super::bearer::Known;
use super::bridge::blocking;
use super::db::{OrgScope, Reach, Rows};
use super::dpop::{self, Scheme};
use super::edge::Source;
use super::last_used;
use super::limits::Whose;
use super::people::{self, Person};
use super::permission::{Permission, Permissions, Role};
use super::portal::inside;
use super::problem::{Answer, Problem};
use super::projects;
use super::refusals::Refusals;
use super::state::{Server, now};
use super::token::{Kind, Parsed};
use crate::auth::dpop::Proof;

mod rights;
mod standing;

pub(crate) use rights::{Rights, within_a_project};
use standing::Standing;

/// What a route demands of whoever calls it. There is no route without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the route tells nothing of anybody, or looks for itself.
    Anyone,
    /// A page of the portal: the handler asks for a session and checks where a form comes from.
    Page,
    /// A page of an organization: a session of a member whose role has this permission, and a form of that session.
    Inside(Permission),
    /// The same where the permission in some project is enough: the handler asks in which, by [`Caller::must`].
    InsideProject(Permission),
    /// A page of whoever is signed in, and a form of that session.
    Personal,
    /// Any token that counts.
    Token,
    /// A token with this permission in the whole organization.
    Permission(Permission),
    /// A token with this permission in some project at least: the handler asks in which, by [`Caller::must`].
    InProject(Permission),
}

impl Access {
    /// The word for the list of routes.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Page => "page",
            Self::Personal => "session",
            Self::Token => "token",
            Self::Inside(permission)
            | Self::InsideProject(permission)
            | Self::Permission(permission)
            | Self::InProject(permission) => permission.word(),
        }
    }
}

/// Whoever calls, with a token that counts now.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The organization that they work in.
    pub(crate) scope: OrgScope,
    /// Who they are.
    pub(crate) person: Person,
    /// What they are in it.
    pub(crate) role: Role,
    /// What they may do with this token, and where.
    pub(crate) rights: Rights,
    /// What the token was given, at most.
    pub(crate) granted: Permissions,
    /// The only project that the token counts in, by its identifier.
    pub(crate) only: Option<String>,
    /// The same for the audit.
    pub(crate) actor: Actor,
    /// The job that it is, where no person calls.
    pub(crate) job: Option<Job>,
    /// What what they make now is known by, should they ask again.
    pub(crate) once: Once,
}

/// A job that was let in by a trust rule.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The rule.
    pub(crate) rule: String,
    /// Its subject at its own service, and its run.
    pub(crate) name: String,
}

impl Job {
    /// The job that has a token, where it is one that has it.
    pub(crate) fn of(known: &Known) -> Option<Self> {
        let job = || Self { rule: known.grant.family.clone(), name: known.name.clone() };
        (known.kind == Kind::Job).then(job)
    }
}

impl Caller {
    /// For whom their requests are counted.
    pub(crate) fn whose(&self) -> Whose {
        let person = self.job.as_ref().map_or(&self.person.id, |job| &job.rule);
        Whose { organization: self.scope.id().to_owned(), person: person.clone() }
    }

    /// Whether they may do something to what is of a project, or of the organization.
    pub(crate) fn may(&self, permission: Permission, project: Option<&str>) -> bool {
        self.rights.has(permission, project)
    }

    /// The name of the only project that the token counts in, where there is one.
    pub(crate) fn only(&self) -> Option<&str> {
        self.only.as_ref()?;
        self.rights.projects.first().map(|(project, _)| project.as_str())
    }

    /// Refuses what a token of another project does not see: for that one, it is not there.
    pub(crate) fn sees(&self, project: Option<&str>) -> Answer<()> {
        let is_there = self.only().is_none_or(|only| project == Some(only));
        if is_there { Ok(()) } else { Err(Problem::not_found()) }
    }

    /// Refuses what they may not do there, and tells it.
    pub(crate) fn must(&self, server: &Server, permission: Permission, project: Option<&str>) -> Answer<()> {
        if self.may(permission, project) {
            return Ok(());
        }
        let event = Event { outcome: Outcome::Denied, ..Event::done("access", permission.word()) };
        server.tell(&self.scope, &self.actor, &event)?;
        Err(Problem::forbidden(permission.word()))
    }

    /// The same caller as they stand within a transaction: nobody acts as what they were a moment ago.
    pub(crate) fn standing(&self, rows: &mut dyn Rows) -> Answer<Self> {
        let role = people::role(rows, &self.scope, &self.person.id)?.ok_or_else(Problem::unauthenticated)?;
        let projects = people::project_roles(rows, &self.scope, &self.person.id)?;
        let only = match &self.only {
            Some(project) => Some(projects::name(rows, &self.scope, project)?.ok_or_else(Problem::unauthenticated)?),
            None => None,
        };
        let rights = Rights::of(role, projects, &self.granted, only.as_deref());
        Ok(Self { role, rights, ..self.clone() })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("a route without a caller"))
    }
}

/// Where a request comes from, for a handler that looks for itself.
pub(crate) struct Asker(pub(crate) Source);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(parts.extensions.get::<Source>().cloned().unwrap_or_default()))
    }
}

/// Whoever calls a route that does without a token, where they show one: then that has to count.
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

impl FromRequestParts<Arc<Server>> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        let source = parts.extensions.get::<Source>().cloned().unwrap_or_default();
        let shown = Shown::of(server, &parts.headers, &parts.method, parts.uri.path())?;
        look_up(server, shown, source, None).await.map(|caller| Self(Some(caller)))
    }
}

/// Goes before every handler of a route.
pub(crate) async fn admit(
    State((server, access, fresh)): State<(Arc<Server>, Access, Option<&'static str>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let needed = match access {
        Access::Anyone => return next.run(request).await,
        Access::Page => return inside::as_page(next.run(request).await).await,
        Access::Inside(_) | Access::InsideProject(_) | Access::Personal => {
            return inside::admit(&server, access, fresh, request, next).await;
        }
        Access::Token => None,
        Access::Permission(_) | Access::InProject(_) => Some(access),
    };
    let source = request.extensions().get::<Source>().cloned().unwrap_or_default();
    let shown = Shown::of(&server, request.headers(), request.method(), request.uri().path());
    let found = match shown {
        Ok(shown) => look_up(&server, shown, source, needed).await,
        Err(problem) => Err(problem),
    };
    match found {
        Ok(caller) => {
            let whose = caller.whose();
            let refusals = Refusals::of(
                request.method(),
                request.uri().path(),
                request.extensions().get(),
                caller.actor.clone(),
                vec![caller.scope.clone()],
            );
            request.extensions_mut().insert(caller);
            let mut response = refusals.tell(&server, next.run(request).await).await;
            response.extensions_mut().insert(whose);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// What a request shows to be let in.
struct Shown {
    token: Parsed,
    scheme: Scheme,
    proof: Option<Proof>,
}

impl Shown {
    /// Asks no database.
    fn of(server: &Server, headers: &HeaderMap, method: &Method, path: &str) -> Answer<Self> {
        let shown = dpop::shown(headers).ok_or_else(Problem::unauthenticated)?;
        let proof = dpop::proof(server, headers, method, path, Some(&shown));
        let lets_in = |parsed: &Parsed| matches!(parsed.kind, Kind::Key | Kind::Access | Kind::Job);
        let token = shown.token.filter(lets_in).ok_or_else(Problem::unauthenticated)?;
        let scheme = shown.scheme;
        let proof = match (scheme, proof) {
            (Scheme::Bearer, _) => None,
            (Scheme::Proven, Ok(proof)) => proof,
            (Scheme::Proven, Err(why)) => return Err(dpop::refused("invalid_dpop_proof", why)),
        };
        Ok(Self { token, scheme, proof })
    }
}

async fn look_up(server: &Arc<Server>, shown: Shown, source: Source, needed: Option<Access>) -> Answer<Caller> {
    blocking(server, move |server| {
        let found = server.db.read(Reach::Server, |rows| standing::look(rows, &shown.token))?;
        let (known, standing) = found.ok_or_else(Problem::unauthenticated)?;
        let caller = caller(server, &known, standing, &source)?;
        has_key(server, &caller, &shown, known.grant.bound.as_deref())?;
        match needed {
            Some(Access::Permission(permission)) => caller.must(server, permission, None)?,
            Some(Access::InProject(permission)) => {
                let somewhere = caller.rights.projects.iter().find(|(_, rights)| rights.has(permission));
                caller.must(server, permission, somewhere.map(|(project, _)| project.as_str()))?;
            }
            _ => {}
        }
        Ok(caller)
    })
    .await
}

/// Refuses whoever has a token without the key that it is bound to, and tells it: it was stolen.
fn has_key(server: &Server, caller: &Caller, shown: &Shown, bound: Option<&str>) -> Answer<()> {
    if let Err(problem) = dpop::fits(shown.scheme, shown.proof.as_ref(), bound) {
        let event =
            Event { outcome: Outcome::Denied, detail: "without its key", ..Event::done("access", &caller.actor.token) };
        server.tell(&caller.scope, &caller.actor, &event)?;
        return Err(problem);
    }
    if let Some(proof) = &shown.proof
        && !server.db.write(Reach::Server, |rows| dpop::is_first(rows, proof, now()))?
    {
        let detail = "a proof that was used before";
        let event = Event { outcome: Outcome::Denied, detail, ..Event::done("access", &caller.actor.token) };
        server.tell(&caller.scope, &caller.actor, &event)?;
        return Err(dpop::refused("invalid_dpop_proof", "the proof was used before"));
    }
    Ok(())
}

/// Who has this token, and what they may do with it now.
fn caller(server: &Server, known: &Known, standing: Standing, source: &Source) -> Answer<Caller> {
    let now = now();
    let scope = known.grant.scope.clone();
    let job = Job::of(known);
    // What a job does is told of the job, and not of whoever stands for its rule.
    let doer = job.as_ref().map_or_else(|| known.grant.person.clone(), |job| format!("job {}", job.name));
    let actor = Actor { person: doer, token: known.id.clone(), ..source.actor() };
    let Standing { role, person, projects, only } = standing;
    // With its project, a token ends.
    let counts = known.is_alive(now) && known.grant.project.is_some() == only.is_some();
    let (Some(role), Some(person), true) = (role, person, counts) else {
        let event = Event { outcome: Outcome::Denied, ..Event::done("access", &known.id) };
        server.tell(&scope, &actor, &event)?;
        return Err(Problem::unauthenticated());
    };
    if last_used::is_due(known.used, now) {
        server.last_used.token(&scope, &known.id, now, attempts::network(source.address));
    }
    let granted = known.grant.permissions.clone();
    let rights = Rights::of(role, projects, &granted, only.as_deref());
    let only = known.grant.project.clone();
    Ok(Caller { scope, person, role, rights, granted, only, actor, job, once: Once::default() })
}
