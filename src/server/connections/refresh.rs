//! Renewing: whoever needs a token that lives has it renewed, or waits until another has done so.
//!
//! New tokens are in the database before anybody gets them. Between the service's answer and the commit lies the one gap
//! that nothing closes: the lease is the word that a question was asked, whoever comes next asks it once more, and where
//! the service then refuses, somebody has to sign in anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use chrono::{DateTime, TimeDelta, Utc};

use super::lease::{Despite, Held, Lease, held};
use super::{connector, needs_reconnecting, not_connected};
use crate::auth::grant::{GrantError, TokenAnswer};
use crate::auth::renew;
use crate::auth::session::Session;
use crate::credential::{Check, Credential, Metadata};
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Caller;
use crate::server::db::{OrgScope, Rows};
use crate::server::engine::Fetched;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::vault::OrgVault;
use crate::server::vault::sign_in::{is_for_another, is_sign_in, session};
use crate::vault::VaultError;
use crate::vault::session::lacks_id_token;

/// So long is waited for another who renews the same sign-in.
const WAIT: Duration = Duration::from_secs(25);
/// So often is looked whether they are done.
const LOOK: Duration = Duration::from_millis(50);
/// A service that did not answer is left alone for so long.
const PAUSE: TimeDelta = TimeDelta::seconds(5);
/// The longest pause that a service in trouble is granted before it is asked a second time.
const LONGEST_PAUSE: u64 = 3;
/// The pauses before new tokens are stored again, where the database stumbled: the old ones may be spent.
const STORE_PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Who has something done, for the audit.
#[derive(Debug, Clone)]
pub(crate) struct By {
    pub(crate) scope: OrgScope,
    pub(crate) actor: Actor,
    /// What they do with it, as the audit calls it.
    action: &'static str,
}

impl By {
    /// A caller, and what they do.
    pub(crate) fn of(caller: &Caller, action: &'static str) -> Self {
        Self { scope: caller.scope.clone(), actor: caller.actor.clone(), action }
    }

    /// Whoever came back from a service.
    pub(super) fn came_back(scope: OrgScope, actor: Actor) -> Self {
        Self { scope, actor, action: "credential.connect" }
    }

    pub(super) fn vault<'s>(&self, server: &'s Server) -> OrgVault<'s> {
        server.vault(self.scope.clone(), self.actor.clone())
    }
}

/// What is needed of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// A token that lives, with the usual margin.
    Fresh,
    /// Another token than that of a version.
    Newer(i64),
}

/// How a sign-in stands before anybody is asked.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// There is nothing to do.
    Done,
    /// Another renews it.
    Wait,
    /// It is to be renewed.
    Renew,
}

impl Step {
    /// The step, as long as it may bring anything.
    fn bounded(self, asked: Asked, waited: Duration) -> Answer<Self> {
        match self {
            // As good as its service makes it: asking for yet another token would bring no better one.
            Self::Renew if asked == Asked::Yes => Ok(Self::Done),
            Self::Wait | Self::Renew if waited >= WAIT => Err(busy()),
            step => Ok(step),
        }
    }
}

/// Whether its service was asked for whoever needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

/// What is to be done about a sign-in.
enum Need {
    /// It is as wanted.
    Nothing,
    /// It was put elsewhere since it was fetched: it is to be looked at again.
    Another,
    /// It is not as wanted.
    Of(Box<Looked>),
}

/// A sign-in that was looked at, with whether its token serves meanwhile.
struct Looked {
    whole: Credential,
    session: Session,
    serves: bool,
}

/// Sees to it that the sign-in of a credential is as wanted. Other kinds, and what is not connected, stay as they are.
pub(crate) async fn fresh(server: &Arc<Server>, by: &By, id: &str, want: Want) -> Answer<()> {
    let began = Instant::now();
    let mut asked = Asked::No;
    loop {
        let (who, which) = (by.clone(), id.to_owned());
        let step = blocking(server, move |server| look(server, &who, &which, want)).await?;
        match step.bounded(asked, began.elapsed())? {
            Step::Done => return Ok(()),
            Step::Wait => tokio::time::sleep(LOOK).await,
            Step::Renew => {
                let renewing = renewed(Arc::clone(server), by.clone(), id.to_owned(), want);
                // A task of its own: what was renewed is stored although whoever asked went away.
                asked = tokio::spawn(renewing).await.map_err(|broken_off| Problem::internal(&broken_off))??;
            }
        }
    }
}

fn look(server: &Server, by: &By, id: &str, want: Want) -> Answer<Step> {
    let vault = by.vault(server);
    let now = now();
    let fetched = vault.fetched_sign_in(id).map_err(|failure| told(server, by, id, "unavailable", failure.into()))?;
    let (need, held) = server.db.read(&by.scope, |rows| -> Answer<_> {
        Ok((needed(&vault, rows, (id, fetched.as_ref()), want, now)?, held(rows, &by.scope, id, now)?))
    })?;
    let Looked { whole, session, serves } = match need {
        Need::Nothing => return Ok(Step::Done),
        Need::Another => return Ok(Step::Wait),
        Need::Of(looked) => *looked,
    };
    if session.is_renewable() {
        return match held {
            Held::No => Ok(Step::Renew),
            _ if serves => Ok(Step::Done),
            Held::Renewing => Ok(Step::Wait),
            Held::Paused => Err(told(server, by, id, "unreachable", unreachable())),
        };
    }
    if serves {
        return Ok(Step::Done);
    }
    let check = if session.login_needed { Check::Invalid } else { Check::Expired };
    if whole.metadata.check != check {
        note(&vault, &whole, &session, check)?;
    }
    Err(told(server, by, id, "needs-reconnecting", needs_reconnecting()))
}

/// The sign-in, where it is not as wanted already. With its name comes what was fetched of it.
fn needed(
    vault: &OrgVault<'_>,
    rows: &mut dyn Rows,
    (id, fetched): (&str, Option<&Fetched>),
    want: Want,
    now: DateTime<Utc>,
) -> Answer<Need> {
    let stored = vault.row(rows, id)?.ok_or_else(Problem::not_found)?;
    let metadata: Metadata = stored.metadata;
    let is_connected = is_sign_in(metadata.kind) && metadata.secret_names.contains(Credential::SESSION);
    let is_newer = matches!(want, Want::Newer(version) if version != metadata.version);
    if !is_connected {
        return if want == Want::Fresh { Ok(Need::Nothing) } else { Err(not_connected()) };
    }
    let opened =
        vault.whole_in(rows, &metadata, fetched).and_then(|whole| session(&whole).map(|session| (whole, session)));
    let (whole, Some(session)) = (match opened {
        Ok(opened) => opened,
        // Whoever opens it to read it has that told.
        Err(VaultError::DoesNotOpen { .. }) if want == Want::Fresh => return Ok(Need::Nothing),
        Err(VaultError::Changed { .. }) => return Ok(Need::Another),
        Err(failure) => return Err(failure.into()),
    }) else {
        return Ok(Need::Nothing);
    };
    let lacks_id_token = is_for_another(&whole) && lacks_id_token(&session, now);
    let is_good = session.is_fresh(now, None) && !session.login_needed && !lacks_id_token;
    if is_newer || (want == Want::Fresh && is_good) {
        return Ok(Need::Nothing);
    }
    let serves = want == Want::Fresh && !session.refused && !session.is_expired(now);
    Ok(Need::Of(Box::new(Looked { whole, session, serves })))
}

/// A sign-in that is being renewed.
struct Renewing {
    by: By,
    id: String,
    lease: Lease,
    looked: Box<Looked>,
}

/// How it goes on with it.
enum Next {
    /// Others were faster, and nobody was asked here.
    Elsewhere,
    /// It has come to its end.
    Over,
    /// The service is asked again after a pause; this is what came of the first question.
    Ask(Renewing, GrantError, Duration),
    /// What was renewed is not stored yet.
    Store(Renewing),
}

/// Has a sign-in renewed, if nobody else does; whether its service was asked. Through pauses, others ask their services.
async fn renewed(server: Arc<Server>, by: By, id: String, want: Want) -> Answer<Asked> {
    let turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    let mut next = blocking(&server, move |server| renew(server, by, id, want)).await?;
    drop(turn);
    if let Next::Elsewhere = next {
        return Ok(Asked::No);
    }
    if let Next::Ask(renewing, first, pause) = next {
        tokio::time::sleep(pause).await;
        let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
        next = blocking(&server, move |server| ask_again(server, renewing, first)).await?;
    }
    for (number, pause) in STORE_PAUSES.into_iter().enumerate() {
        let Next::Store(renewing) = next else { break };
        tokio::time::sleep(pause).await;
        let is_last = number + 1 == STORE_PAUSES.len();
        next = blocking(&server, move |server| store(server, renewing, is_last)).await?;
    }
    Ok(Asked::Yes)
}

/// Asks the service, if nobody else does.
fn renew(server: &Server, by: By, id: String, want: Want) -> Answer<Next> {
    let vault = by.vault(server);
    let fetched = vault.fetched_sign_in(&id)?;
    // Somebody may have been faster, since it was looked at.
    let taken = server.db.write(&by.scope, |rows| -> Answer<_> {
        let Some(lease) = Lease::take(rows, &by.scope, &id, now(), Despite::Nothing)? else { return Ok(None) };
        match needed(&vault, rows, (&id, fetched.as_ref()), want, now())? {
            Need::Of(looked) if looked.session.is_renewable() => Ok(Some((lease, looked))),
            _ => {
                lease.end(rows)?;
                Ok(None)
            }
        }
    })?;
    let Some((lease, mut looked)) = taken else { return Ok(Next::Elsewhere) };
    let Looked { whole, session, .. } = &mut *looked;
    if let (Some(client), Some(secret)) = (&mut session.client, whole.secret(Credential::CLIENT_SECRET)) {
        client.secret = Some(secret.duplicate());
    }
    let renewing = Renewing { by, id, lease, looked };
    let error = match renewing.ask(server) {
        Err(error) if error.is_unclear() => error,
        answered => return renewing.answered(server, answered),
    };
    // The first answer was lost. A service that rotates may have spent the old token with it: asking again at once is the
    // one way to keep the sign-in.
    let pause = match error {
        GrantError::Trouble { retry_after, .. } => retry_after.unwrap_or(1).clamp(1, LONGEST_PAUSE),
        _ => 0,
    };
    let length = TimeDelta::seconds(i64::try_from(pause).unwrap_or_default());
    if !renewing.goes_on(server, length)? {
        return renewing.answered(server, Err(error));
    }
    Ok(Next::Ask(renewing, error, Duration::from_secs(pause)))
}

/// Asks a second time, if nobody else does by now.
fn ask_again(server: &Server, renewing: Renewing, first: GrantError) -> Answer<Next> {
    let answered = if renewing.goes_on(server, TimeDelta::zero())? { renewing.ask(server) } else { Err(first) };
    renewing.answered(server, answered)
}

impl Renewing {
    /// Takes the lease on for a question after a pause; `false` where somebody else has it by now.
    fn goes_on(&self, server: &Server, pause: TimeDelta) -> Answer<bool> {
        Ok(server.db.write(self.lease.scope(), |rows| self.lease.go_on(rows, pause, now()))?)
    }

    fn ask(&self, server: &Server) -> Result<TokenAnswer, GrantError> {
        renew::ask_once(&self.looked.session, "", &connector(server))
    }

    /// Takes over what a service answered.
    fn answered(mut self, server: &Server, answered: Result<TokenAnswer, GrantError>) -> Answer<Next> {
        let detail = match answered {
            Ok(answer) if renew::is_another_accounts(&answer, &self.looked.session) => "another-account",
            Ok(answer) => {
                self.looked.session.renew(answer, now());
                return store(server, self, false);
            }
            Err(error) if error.is_invalid_grant() => "invalid_grant",
            Err(error) => return self.failed(server, &error).map(|()| Next::Over),
        };
        let Self { by, id, lease, looked } = self;
        let Looked { whole, mut session, .. } = *looked;
        session.login_needed = true;
        let event = Event { outcome: Outcome::Denied, detail, ..Event::done("credential.refresh", &id) };
        let over = |rows: &mut dyn Rows| Ok(lease.end(rows)?);
        match by.vault(server).keep_session(&whole, &session, Check::Invalid, &event, over) {
            // Somebody has signed in anew meanwhile: theirs is the one.
            Ok(()) | Err(VaultError::Changed { .. }) => Ok(Next::Over),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Leaves a service alone for a moment that gave nothing.
    fn failed(self, server: &Server, error: &GrantError) -> Answer<()> {
        let Self { by, id, lease, looked } = self;
        let is_refusal = matches!(error, GrantError::Refused { .. });
        tracing::warn!(%error, credential = id, "a sign-in was not renewed");
        let detail = if is_refusal { "refused" } else { "unreachable" };
        let event = Event { outcome: Outcome::Failed, detail, ..Event::done("credential.refresh", &id) };
        server.db.write(&by.scope, |rows| -> Answer<()> {
            lease.pause(rows, now() + PAUSE)?;
            Ok(audit::append(rows, &server.keys, &by.scope, &by.actor, &event, now())?)
        })?;
        // What still lives is handed out as long as it does.
        if looked.serves { Ok(()) } else { Err(told(server, &by, &id, detail, unreachable())) }
    }
}

/// Stores new tokens with the end of the lease. A database that stumbles is asked again, but for the last time.
fn store(server: &Server, renewing: Renewing, is_last: bool) -> Answer<Next> {
    let Renewing { by, id, lease, looked } = &renewing;
    let detail = if lease.interrupted { "after an interruption" } else { "" };
    let event = Event { detail, ..Event::done("credential.refresh", id) };
    let over = |rows: &mut dyn Rows| Ok(lease.end(rows)?);
    match by.vault(server).keep_session(&looked.whole, &looked.session, Check::Valid, &event, over) {
        // Where somebody has signed in anew meanwhile, theirs is the one, and what was renewed is over.
        Ok(()) | Err(VaultError::Changed { .. }) => Ok(Next::Over),
        Err(failure) if is_last || matches!(failure, VaultError::DoesNotOpen { .. }) => Err(failure.into()),
        Err(failure) => {
            tracing::warn!(%failure, "renewed tokens are not stored yet");
            Ok(Next::Store(renewing))
        }
    }
}

/// Notes that a sign-in is over.
fn note(vault: &OrgVault<'_>, whole: &Credential, session: &Session, check: Check) -> Answer<()> {
    let detail = check.word();
    let event = Event { outcome: Outcome::Failed, detail, ..Event::done("credential.refresh", &whole.metadata.id) };
    match vault.keep_session(whole, session, check, &event, |_| Ok(())) {
        Ok(()) | Err(VaultError::Changed { .. }) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Tells that somebody did not get what they asked for; without the telling there is no other answer either.
fn told(server: &Server, by: &By, id: &str, detail: &str, problem: Problem) -> Problem {
    let event = Event { outcome: Outcome::Failed, detail, ..Event::done(by.action, id) };
    match server.tell(&by.scope, &by.actor, &event) {
        Ok(()) => problem,
        Err(failure) => failure,
    }
}

fn unreachable() -> Problem {
    let why = "the service did not renew the sign-in; come back later";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "service-unreachable", why);
    problem.header(header::RETRY_AFTER, PAUSE.num_seconds().to_string())
}

fn busy() -> Problem {
    let why = "another server is renewing the sign-in; come back later";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "renewing", why);
    problem.header(header::RETRY_AFTER, "5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_needs_a_token_has_its_service_asked_once_and_waits_so_long_at_most() {
        let (soon, late) = (Duration::ZERO, WAIT);
        let is = |step: Step, asked, waited| step.bounded(asked, waited).ok();
        assert_eq!(is(Step::Renew, Asked::No, soon), Some(Step::Renew));
        assert_eq!(is(Step::Renew, Asked::Yes, soon), Some(Step::Done));
        assert_eq!(is(Step::Renew, Asked::Yes, late), Some(Step::Done));
        // Others who are faster again and again are not run after for ever.
        assert_eq!((is(Step::Renew, Asked::No, late), is(Step::Wait, Asked::No, late)), (None, None));
        assert_eq!(is(Step::Wait, Asked::Yes, soon), Some(Step::Wait));
        assert_eq!(is(Step::Done, Asked::No, late), Some(Step::Done));
    }
}
