//! The way back from a service. What it brings counts once, for the session that began it, and for nobody else.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use super::attempt::{self, Known};
use super::refresh::By;
use super::{connector, registration};
use crate::auth::hosted::{Hosted, SignedIn};
use crate::auth::login::same_account;
use crate::auth::loopback::Query;
use crate::auth::revoke;
use crate::auth::session::Session;
use crate::credential::Credential;
use crate::error::{Code, Failure, with_causes};
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::people;
use crate::server::permission::Permission;
use crate::server::portal::page::{Page, Text, sent_on};
use crate::server::portal::{self, Visitor};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::vault::sign_in::places;
use crate::vault::VaultError;

/// So many changes of one credential in the blink of an eye are believed.
const MOST_CHANGES: usize = 5;
/// What it is called in the audit.
const ACTION: &str = "credential.connect";

/// Why a sign-in did not come to its end, for a person.
struct Refusal {
    status: StatusCode,
    why: String,
    /// When to come back, in seconds, where it says that.
    retry_after: Option<HeaderValue>,
    /// The page of the credential, where whoever came back may know of it.
    back: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into(), retry_after: None, back: None }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let why = crate::server::portal::inside::sentence(problem.detail());
        Self { retry_after: problem.retry_after(), ..Self::new(problem.status(), why) }
    }
}

macro_rules! through_problem {
    ($($failure:ty),*) => {
        $(impl From<$failure> for Refusal {
            fn from(failure: $failure) -> Self {
                Problem::from(failure).into()
            }
        })*
    };
}

through_problem!(crate::server::db::DbError, crate::server::keys::KeyError, VaultError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let back = self.back.map(|to| format!("<p><a href=\"{}\">Back to the credential</a></p>", Text(&to)));
        let body = format!("<p role=\"alert\">{}</p>\n{}", Text(&self.why), back.unwrap_or_default());
        let mut page = Page::new("Not connected", body).status(self.status).into_response();
        page.headers_mut().extend(self.retry_after.map(|after| (header::RETRY_AFTER, after)));
        page
    }
}

pub(super) async fn come_back(State(server): State<Arc<Server>>, visitor: Visitor, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default().to_owned();
    match finish(&server, visitor, query).await {
        Ok(to) => sent_on(&to, None),
        Err(refusal) => refusal.into_response(),
    }
}

/// The page to go on to.
async fn finish(server: &Arc<Server>, visitor: Visitor, query: String) -> Result<String, Refusal> {
    let state = Query::parse(&query).one("state").ok().flatten().unwrap_or_default().to_owned();
    let word = state.clone();
    let claimed = blocking(server, move |server| Ok(claim(server, &visitor, &word))).await?;
    let (known, by) = claimed?;
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    let back = format!("/portal/{}/credentials/{}", known.scope.id(), known.credential);
    let done = format!("{back}?done=connected");
    let outcome = blocking(server, move |server| Ok(connect(server, &known, &by, &state, &query))).await?;
    outcome.map(|()| done).map_err(|refusal| Refusal { back: Some(back), ..refusal })
}

/// Spends the sign-in that a word is of, if it is theirs who brings it.
fn claim(server: &Server, visitor: &Visitor, state: &str) -> Result<(Known, By), Refusal> {
    let signed_in = visitor.signed_in.as_ref();
    let actor = signed_in.map_or_else(|| visitor.source.actor(), |signed_in| signed_in.actor(&visitor.source));
    server.db.write(Reach::Server, |rows| -> Result<Result<(Known, By), Refusal>, Refusal> {
        let Some(known) = attempt::find(rows, state)? else {
            for scope in told_to(signed_in) {
                let event = Event { outcome: Outcome::Denied, detail: "unknown", ..Event::done(ACTION, "") };
                audit::append(rows, &server.keys, &scope, &actor, &event, now())?;
            }
            return Ok(Err(Refusal::new(StatusCode::FORBIDDEN, UNKNOWN)));
        };
        let reason = reason(rows, &known, signed_in)?;
        // Whoever brings it: from now on it is good for nobody.
        let is_first = attempt::spend(rows, &known, state)?;
        let Some((detail, why)) = reason.or((!is_first).then_some(SPENT)) else {
            let by = By::came_back(known.scope.clone(), actor.clone());
            return Ok(Ok((known, by)));
        };
        let event = Event { outcome: Outcome::Denied, detail, ..Event::done(ACTION, &known.credential) };
        audit::append(rows, &server.keys, &known.scope, &actor, &event, now())?;
        Ok(Err(Refusal::new(StatusCode::FORBIDDEN, why)))
    })?
}

const UNKNOWN: &str = "This sign-in was not begun here, or too long ago. Begin it again on the page of the credential.";
const SPENT: (&str, &str) = ("spent", "This sign-in has come back already. It counts once.");

/// Where it is told that somebody came with a word that nobody knows.
fn told_to(signed_in: Option<&portal::SignedIn>) -> Vec<OrgScope> {
    let members = signed_in.map(|signed_in| signed_in.members.iter().map(|member| member.scope.clone()).collect());
    let scopes: Vec<OrgScope> = members.unwrap_or_default();
    if scopes.is_empty() { vec![audit::server_scope()] } else { scopes }
}

/// Why a sign-in does not count for whoever brings it, in a word and in a sentence.
fn reason(
    rows: &mut dyn Rows,
    known: &Known,
    signed_in: Option<&portal::SignedIn>,
) -> Result<Option<(&'static str, &'static str)>, DbError> {
    let Some(signed_in) = signed_in else {
        let why =
            "You are not signed in to this portal any more. Sign in, and begin again on the page of the credential.";
        return Ok(Some(("signed-out", why)));
    };
    if signed_in.session != known.session || signed_in.person.id != known.person {
        let why = "This sign-in was begun by another session, and counts for that one alone.";
        return Ok(Some(("another-session", why)));
    }
    if known.is_spent {
        return Ok(Some(SPENT));
    }
    if known.is_over {
        let why = "This took longer than ten minutes. Begin it again on the page of the credential.";
        return Ok(Some(("late", why)));
    }
    let is_inside = signed_in.members.iter().any(|member| member.scope == known.scope);
    let may = is_inside && may_connect(rows, known)?;
    Ok((!may).then_some(("access", "You may not do this in this organization any more.")))
}

/// Whether whoever began a sign-in may do so still: in the organization, or in the project of the credential.
fn may_connect(rows: &mut dyn Rows, known: &Known) -> Result<bool, DbError> {
    let (scope, write) = (&known.scope, Permission::CredentialsWrite);
    let Some(role) = people::role(rows, scope, &known.person)? else { return Ok(false) };
    if role.permissions().has(write) {
        return Ok(true);
    }
    let of = "SELECT project FROM credentials WHERE org = $1 AND id = $2";
    let project = rows.first(of, values![scope.id(), &known.credential])?.map(|mut row| row.text(0)).transpose()?;
    let roles = people::project_roles(rows, scope, &known.person)?;
    Ok(roles.iter().any(|(name, role)| Some(name) == project.as_ref() && people::in_a_project(*role).has(write)))
}

/// Exchanges what came back for tokens, and keeps them.
fn connect(server: &Server, known: &Known, by: &By, state: &str, query: &str) -> Result<(), Refusal> {
    let failed = |detail: &str, outcome: Outcome, refusal: Refusal| -> Refusal {
        let event = Event { outcome, detail, ..Event::done(ACTION, &known.credential) };
        server.tell(&by.scope, &by.actor, &event).err().map_or(refusal, Refusal::from)
    };
    let vault = by.vault(server);
    let open = || -> Answer<Credential> {
        let metadata = vault.by_id(&known.credential)?.ok_or_else(Problem::not_found)?.metadata;
        Ok(vault.whole(&metadata)?)
    };
    let whole = open()?;
    if places(&whole.metadata) != known.registration {
        let why = "How one signs in was changed meanwhile. Begin again on the page of the credential.";
        return Err(failed("changed", Outcome::Denied, Refusal::new(StatusCode::CONFLICT, why)));
    }
    let registered = registration(&whole.metadata, whole.secret(Credential::CLIENT_SECRET));
    let style = registered.revocation();
    let http = connector(server);
    let attempt = attempt::again(server, known, state)?;
    let signed_in = Hosted::find(registered, &http)
        .map_err(|failure| Box::new(failure) as Box<dyn Failure>)
        .and_then(|hosted| hosted.session(&attempt, query, &http, now()));
    let SignedIn { session, described } = match signed_in {
        Ok(Some(signed_in)) => signed_in,
        Ok(None) => {
            let why = "The service sent back what is no answer to this sign-in.";
            return Err(failed("no-answer", Outcome::Failed, Refusal::new(StatusCode::BAD_REQUEST, why)));
        }
        Err(failure) => {
            let (detail, refusal) = said(&*failure);
            return Err(failed(detail, Outcome::Failed, refusal));
        }
    };
    if !known.switches && !is_same_account(&whole, &session) {
        revoke::discard(&session, style, &http);
        let why = "Another account signed in than before. Choose the right one at the service, or tick that another is \
                   meant.";
        return Err(failed("another-account", Outcome::Denied, Refusal::new(StatusCode::CONFLICT, why)));
    }
    let mut kept = vault.connect(&whole, described.clone(), &session);
    for _ in 0..MOST_CHANGES {
        // What was there before was renewed just now; that is over.
        let Err(VaultError::Changed { .. }) = &kept else { break };
        let whole = open()?;
        if places(&whole.metadata) != known.registration {
            break;
        }
        kept = vault.connect(&whole, described.clone(), &session);
    }
    kept.map(|_| ()).map_err(|failure| {
        revoke::discard(&session, style, &http);
        failed("not-kept", Outcome::Failed, failure.into())
    })
}

/// Whether the account is that of before, where there was one.
fn is_same_account(whole: &Credential, session: &Session) -> bool {
    same_account(whole.field("account"), whole.field("account_id"), &session.identity)
}

/// What a service that gave no tokens meant, for the audit and for a person. Why is for the log alone: whoever named the
/// address of the service is not told what answers there.
fn said(failure: &(dyn Failure + 'static)) -> (&'static str, Refusal) {
    tracing::warn!(reason = with_causes(failure), "a service gave no tokens");
    let (word, status, sentence) = match failure.code() {
        Code::Forbidden => ("denied", StatusCode::FORBIDDEN, "The service was not allowed to."),
        Code::Unreachable => ("unreachable", StatusCode::BAD_GATEWAY, "The service could not be asked."),
        _ => ("refused", StatusCode::BAD_REQUEST, "The service gave nothing to sign in with."),
    };
    (word, Refusal::new(status, sentence))
}
