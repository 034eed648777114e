//! The pages of an organization and of a person: who may see one, and which form counts. What a route demands is
//! checked here, before its handler runs: a handler that forgets to look does not exist.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::page::{Page, sent_on};
use super::prove;
use super::session::{SignedIn, Visitor, same_origin, sign_in_first};
use crate::secret::Secret;
use crate::server::api::Once;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::{Access, Caller, Rights};
use crate::server::db::{OrgScope, Reach, Rows};
use crate::server::edge::Source;
use crate::server::limits::Whose;
use crate::server::people;
use crate::server::permission::{Permission, Permissions};
use crate::server::problem::{Answer, Problem};
use crate::server::refusals::Refusals;
use crate::server::state::{Server, now};

/// The longest form: the largest secrets there are, as a form writes them.
const FORM: usize = 4 << 20;
/// The longest reason that is told on a page.
const REASON: usize = 64 << 10;

/// Somebody with a session, on a page of one of their organizations.
#[derive(Clone)]
pub(crate) struct Inside {
    /// Who they are there; what they may do is what their role may.
    pub(crate) caller: Caller,
    /// The organization's name.
    pub(crate) organization: String,
    /// Their session.
    pub(crate) signed_in: SignedIn,
}

impl Inside {
    /// The address of a page of this organization.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/portal/{}/{rest}", self.caller.scope.id())
    }

    /// Has them go on to such a page.
    pub(crate) fn on(&self, rest: &str) -> Response {
        sent_on(&self.path(rest), None)
    }

    /// Whether their role lets them, in the whole organization.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.caller.may(permission, None)
    }

    /// Whether they may do it in some project at least.
    pub(crate) fn may_somewhere(&self, permission: Permission) -> bool {
        self.caller.rights.most().has(permission)
    }
}

/// Somebody with a session, on a page that is theirs alone.
#[derive(Clone)]
pub(crate) struct Myself {
    /// Their session.
    pub(crate) signed_in: SignedIn,
    /// Where from.
    pub(crate) source: Source,
}

impl Myself {
    /// Where what they do to their own account is told: in every organization that they are in.
    pub(crate) fn scopes(&self) -> Vec<OrgScope> {
        audit::told_in(self.signed_in.members.iter().map(|member| member.scope.clone()))
    }

    /// Tells of what they did, wherever they are a member.
    pub(crate) fn tell(&self, rows: &mut dyn Rows, server: &Server, event: &Event<'_>) -> Answer<()> {
        let actor = self.signed_in.actor(&self.source);
        for scope in self.scopes() {
            audit::append(rows, &server.keys, &scope, &actor, event, now())?;
        }
        Ok(())
    }
}

/// A form that counts: it came from here, and from this session.
#[derive(Clone)]
pub(crate) struct Sent(Arc<Vec<(String, Secret)>>);

impl Sent {
    fn read(bytes: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(bytes);
        Self(Arc::new(pairs.map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned()))).collect()))
    }

    /// The value under a name, where it is not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&Secret> {
        self.all(name).find(|value| !value.expose().is_empty())
    }

    /// The text under a name, without blanks around it; an empty one where there is none. Not for secrets.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.filled(name).map_or("", |value| value.expose().trim())
    }

    /// The revision of what was seen when the form was made.
    pub(crate) fn revision(&self) -> Answer<i64> {
        self.text("revision").parse().map_err(|_| Problem::changed())
    }

    /// The same for what is deleted: what is no revision is none that there ever was.
    pub(crate) fn seen(&self) -> i64 {
        self.revision().unwrap_or(-1)
    }

    /// Each value under a name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }
}

macro_rules! put_by_admit {
    ($($kind:ty),*) => {
        $(impl<S: Send + Sync> FromRequestParts<S> for $kind {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
                parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("a page without a session"))
            }
        })*
    };
}

put_by_admit!(Inside, Myself, Sent);

/// Goes before every handler of such a page. With `fresh`, it is for whoever has just shown who they are, and others come
/// back to that page.
pub(crate) async fn admit(
    server: &Arc<Server>,
    access: Access,
    fresh: Option<&'static str>,
    request: Request,
    next: Next,
) -> Response {
    match let_in(server, access, fresh, request).await {
        Ok((request, refusals)) => {
            let whose = whose(&request);
            let response = refusals.tell(server, next.run(request).await).await;
            let mut response = as_page(response).await;
            response.extensions_mut().insert(whose);
            response
        }
        Err(response) => as_page(response).await,
    }
}

/// For whom a request is counted.
fn whose(request: &Request) -> Whose {
    let extensions = request.extensions();
    let person = extensions.get::<Myself>().map(|myself| myself.signed_in.person.id.clone());
    let organization = extensions.get::<Inside>().map(|inside| inside.caller.scope.id().to_owned());
    Whose { organization: organization.unwrap_or_default(), person: person.unwrap_or_default() }
}

async fn let_in(
    server: &Arc<Server>,
    access: Access,
    fresh: Option<&'static str>,
    request: Request,
) -> Result<(Request, Refusals), Response> {
    let (mut parts, body) = request.into_parts();
    let visitor = Visitor::from_request_parts(&mut parts, server).await.map_err(IntoResponse::into_response)?;
    let is_form = parts.method == Method::POST;
    let Some(signed_in) = visitor.signed_in else {
        // A form is not sent again by going on to its address.
        let address = parts.uri.path_and_query().filter(|_| !is_form).map_or("/", |address| address.as_str());
        return Err(sign_in_first(address));
    };
    let myself = Myself { signed_in, source: visitor.source };
    let inside = match access {
        Access::Inside(needed) | Access::InsideProject(needed) => {
            let anywhere = matches!(access, Access::InsideProject(_));
            match member(server, &myself, needed, anywhere, &mut parts).await {
                Ok(inside) => Some(inside),
                Err(response) => {
                    return Err(refusals(&parts, &myself, None).tell(server, response).await);
                }
            }
        }
        _ => None,
    };
    if is_form {
        let sent = match form(server, &myself.signed_in, &parts.headers, body).await {
            Ok(sent) => sent,
            Err(page) => {
                let scopes = inside.map_or_else(|| myself.scopes(), |inside| vec![inside.caller.scope]);
                return Err(refused(server, myself, scopes, "form", String::new(), page).await);
            }
        };
        parts.extensions.insert(sent);
    }
    if let Some(back) = fresh
        && !myself.signed_in.is_fresh(now())
    {
        return Err(prove::first(&filled(back, &mut parts, server).await));
    }
    let refusals = refusals(&parts, &myself, inside.as_ref());
    if let Some(inside) = inside {
        parts.extensions.insert(inside);
    }
    parts.extensions.insert(myself);
    // What a form held is in `Sent`; the other ways to ask have nothing to say in a body.
    Ok((Request::from_parts(parts, Body::empty()), refusals))
}

/// Where it is told what is refused from here on: in the organization of the page, or wherever they are a member.
fn refusals(parts: &Parts, myself: &Myself, inside: Option<&Inside>) -> Refusals {
    let scopes = inside.map_or_else(|| myself.scopes(), |inside| vec![inside.caller.scope.clone()]);
    let actor = myself.signed_in.actor(&myself.source);
    Refusals::of(&parts.method, parts.uri.path(), parts.extensions.get(), actor, scopes)
}

/// A path with what stands in the place of its names now.
async fn filled(path: &str, parts: &mut Parts, server: &Arc<Server>) -> String {
    let Ok(params) = RawPathParams::from_request_parts(parts, server).await else { return "/".into() };
    params.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

/// Who it is in the organization of the path. One that they are not in is not there.
async fn member(
    server: &Arc<Server>,
    myself: &Myself,
    needed: Permission,
    anywhere: bool,
    parts: &mut Parts,
) -> Result<Inside, Response> {
    let nowhere = || Problem::not_found().into_response();
    let params = RawPathParams::from_request_parts(parts, server).await.map_err(|_| nowhere())?;
    let wanted = params.iter().find(|(name, _)| *name == "org").map(|(_, value)| value.to_owned());
    let wanted = wanted.ok_or_else(nowhere)?;
    let signed_in = &myself.signed_in;
    let member = signed_in.members.iter().find(|member| member.scope.id() == wanted).ok_or_else(nowhere)?;
    let (scope, person) = (member.scope.clone(), signed_in.person.id.clone());
    let projects = blocking(server, move |server| {
        Ok(server.db.read(&scope, |rows| people::project_roles(rows, &scope, &person))?)
    });
    let projects = projects.await.map_err(IntoResponse::into_response)?;
    let caller = Caller {
        scope: member.scope.clone(),
        person: signed_in.person.clone(),
        role: member.role,
        rights: Rights::of(member.role, projects, &Permissions::all(), None),
        only: None,
        // A session is not given less than its person has.
        granted: Permissions::all(),
        job: None,
        once: Once::default(),
        actor: signed_in.actor(&myself.source),
    };
    let may = if anywhere { caller.rights.most().has(needed) } else { caller.may(needed, None) };
    if !may {
        let why = format!("As {} of this organization you may not do this.", member.role.word());
        let page = Page::refusal(StatusCode::FORBIDDEN, &why);
        let scopes = vec![caller.scope];
        return Err(refused(server, myself.clone(), scopes, "access", needed.word().into(), page).await);
    }
    Ok(Inside { caller, organization: member.organization.clone(), signed_in: signed_in.clone() })
}

async fn form(server: &Server, signed_in: &SignedIn, headers: &HeaderMap, body: Body) -> Result<Sent, Page> {
    same_origin(server, headers)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(Page::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is no form of this server."));
    }
    let too_long = |_| Page::refusal(StatusCode::PAYLOAD_TOO_LARGE, "The form is too long.");
    let sent = Sent::read(&to_bytes(body, FORM).await.map_err(too_long)?);
    if signed_in.has_sent(sent.text("word")) {
        return Ok(sent);
    }
    Err(Page::refusal(
        StatusCode::FORBIDDEN,
        "This form is of another session. Go back, load the page again, and try once more.",
    ))
}

/// Tells what was refused, and gives the page that says so; without the telling there is no page either.
async fn refused(
    server: &Arc<Server>,
    myself: Myself,
    scopes: Vec<OrgScope>,
    action: &'static str,
    object: String,
    page: Page,
) -> Response {
    let told = blocking(server, move |server| {
        let event = Event { outcome: Outcome::Denied, ..Event::done(action, &object) };
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            for scope in &scopes {
                audit::append(rows, &server.keys, scope, &myself.signed_in.actor(&myself.source), &event, now())?;
            }
            Ok(())
        })
    });
    told.await.map_or_else(IntoResponse::into_response, |()| page.into_response())
}

/// What goes wrong on a page is told on a page.
pub(crate) async fn as_page(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_page = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let status = response.status();
    if is_page || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let told: serde_json::Value = match to_bytes(body, REASON).await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(_) => serde_json::Value::Null,
    };
    let why = told["detail"].as_str().unwrap_or("the request is not of the form that this takes");
    // What a program is told of its token, a person is told of themselves.
    let why = sentence(&why.replace("the token lacks", "you lack").replace(" with this token", ""));
    let mut page = Page::refusal(parts.status, &why).into_response();
    if let Some(after) = parts.headers.get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    page
}

/// A reason as a sentence of its own.
pub(crate) fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
