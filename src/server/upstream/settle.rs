//! What comes of an account that an issuer vouches for: who is in, who is let in, who is refused.

use chrono::{DateTime, Utc};

use super::Upstream;
use super::accounts::{self, Admitted};
use super::errand::{Errand, Purpose};
use super::peer::Told;
use crate::secret::Secret;
use crate::server::audit::{self, Actor, Event};
use crate::server::db::Rows;
use crate::server::edge::Source;
use crate::server::invitations::{Accepted, By, Who, accept_within, is_for};
use crate::server::permission::{Permission, Role};
use crate::server::portal::{SignedIn, half};
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::team::hold;
use crate::server::{factors, passphrase, people, random};

/// What came of it.
pub(super) enum Settled {
    /// They are in, by a new session.
    In(Secret),
    /// Their own second factor is asked for.
    Half(half::Half),
    /// The account is theirs.
    Linked,
    /// It is not to be; why not, in a sentence without a full stop.
    Refused(&'static str),
}

const NOT_INVITED: &str = "no member of the organization has this account, and nobody is let in without an invitation";
const NOT_ANY_MORE: &str = "the issuer does not say any more what this account was let in for";
const NO_MEMBER: &str = "whoever has this account is no member of the organization any more; ask for an invitation";
const ANOTHER_SESSION: &str = "your session is another one than when you went to the issuer; begin again";
const CHANGED: &str = "the organization has said something else of this issuer meanwhile; begin again";
const NOT_THEIRS: &str =
    "the invitation is for somebody else than whom the issuer vouches for; ask for one of your own";
const TAKEN: &str = "this account is linked with somebody else";

/// Whoever comes back, with what is known of them.
pub(super) struct Arrival<'a> {
    pub(super) server: &'a Server,
    pub(super) upstream: &'a Upstream,
    pub(super) errand: &'a Errand,
    pub(super) told: &'a Told,
    pub(super) signed_in: Option<&'a SignedIn>,
    pub(super) source: &'a Source,
}

impl Arrival<'_> {
    /// Decides what comes of it, in one transaction with its telling.
    pub(super) fn settle(&self, rows: &mut dyn Rows) -> Answer<Settled> {
        let now = now();
        hold(rows, &self.upstream.scope)?;
        // It was asked for a while: what let somebody in before may let them in no more.
        let standing = Upstream::one(rows, &self.upstream.scope, &self.upstream.id)?;
        if standing.is_none_or(|standing| standing.revision != self.upstream.revision) {
            return Ok(Settled::Refused(CHANGED));
        }
        let known = accounts::find(rows, self.upstream, self.told)?;
        if known.is_some() {
            accounts::note(rows, self.upstream, self.told, now)?;
        }
        match (self.errand.purpose, known) {
            (Purpose::SignIn, Some((person, admitted))) => self.member(rows, &person, admitted, now),
            (Purpose::SignIn, None) => self.newcomer(rows, now),
            (Purpose::Link, known) => self.link(rows, known.map(|(person, _)| person), now),
            (Purpose::Prove, known) => self.prove(rows, known.map(|(person, _)| person).as_deref(), now),
        }
    }

    fn tell(&self, rows: &mut dyn Rows, actor: &Actor, event: &Event<'_>, now: DateTime<Utc>) -> Answer<()> {
        Ok(audit::append(rows, &self.server.keys, &self.upstream.scope, actor, event, now)?)
    }

    fn actor(&self, person: &str) -> Actor {
        Actor { person: person.to_owned(), ..self.source.actor() }
    }

    /// Somebody whose account this is.
    fn member(&self, rows: &mut dyn Rows, person: &str, admitted: Admitted, now: DateTime<Utc>) -> Answer<Settled> {
        let scope = &self.upstream.scope;
        if people::role(rows, scope, person)?.is_none() {
            let Some(invitation) = &self.errand.invitation else { return Ok(Settled::Refused(NO_MEMBER)) };
            let login = people::by_id(rows, person)?.map(|person| person.login).unwrap_or_default();
            if !is_for(rows, invitation, &[&login, self.told.address().unwrap_or_default()], now)? {
                return Ok(Settled::Refused(NOT_THEIRS));
            }
            // It is theirs, and is good once they have shown all that is asked of a member.
            return match self.half(rows, person, Some(invitation), now)? {
                Some(half) => Ok(Settled::Half(half)),
                None => self.accept(rows, invitation, &Who::Back { person }),
            };
        }
        if admitted == Admitted::Rule && self.upstream.admits(&self.told.claims).is_none() {
            return Ok(Settled::Refused(NOT_ANY_MORE));
        }
        match self.half(rows, person, None, now)? {
            Some(half) => Ok(Settled::Half(half)),
            None => self.begin(rows, person, now),
        }
    }

    /// A sign-in that is half done, where the person's own second factor is asked for as well.
    fn half(
        &self,
        rows: &mut dyn Rows,
        person: &str,
        invitation: Option<&str>,
        now: DateTime<Utc>,
    ) -> Answer<Option<half::Half>> {
        if !self.upstream.second_factor || !factors::are_asked(rows, person)? {
            return Ok(None);
        }
        let begun = half::Begun { person, only: Some(&self.upstream.scope), invitation };
        Ok(Some(half::begin(rows, &begun, now)?))
    }

    /// Begins a session, which counts in the organization of the issuer.
    fn begin(&self, rows: &mut dyn Rows, person: &str, now: DateTime<Utc>) -> Answer<Settled> {
        people::hold(rows, person)?;
        if let Some(former) = self.signed_in {
            people::sign_out(rows, &former.session)?;
        }
        let session = people::sign_in_to(rows, person, Some(&self.upstream.scope), now)?;
        let actor = Actor { token: session.id, ..self.actor(person) };
        let event = Event { detail: &self.upstream.id, ..Event::done("sign-in", person) };
        self.tell(rows, &actor, &event, now)?;
        Ok(Settled::In(session.token))
    }

    /// Somebody who has not been here.
    fn newcomer(&self, rows: &mut dyn Rows, now: DateTime<Utc>) -> Answer<Settled> {
        let scope = &self.upstream.scope;
        if let Some(invitation) = &self.errand.invitation {
            let login = self.login()?;
            let name = self.told.address();
            return self.accept(rows, invitation, &Who::New { login: &login, hash: passphrase::NONE, name });
        }
        let Some(role) = self.upstream.admits(&self.told.claims) else { return Ok(Settled::Refused(NOT_INVITED)) };
        // Whoever wrote the rule must still be able to let such a one in.
        let stands = |writer: Role| writer.covers(role) && writer.permissions().has(Permission::UpstreamsManage);
        if !people::role(rows, scope, &self.upstream.person)?.is_some_and(stands) {
            return Ok(Settled::Refused(NOT_INVITED));
        }
        let login = self.login()?;
        let person = people::new_person(rows, &login, passphrase::NONE, now)?;
        people::join(rows, scope, &person.id, role, now)?;
        self.linked(rows, &person.id, Admitted::Rule, now)?;
        let event = Event { detail: role.word(), ..Event::done("member.create", &person.id) };
        self.tell(rows, &self.actor(&person.id), &event, now)?;
        self.begin(rows, &person.id, now)
    }

    /// A login that nobody has: the one of the account, with letters by chance. Logins are names in every organization, and
    /// the issuer is believed in one: what it calls somebody takes nobody's name elsewhere, and is none there.
    fn login(&self) -> Answer<String> {
        let called = self.told.login().unwrap_or_else(|| "member".into());
        let more = random::base62(8)?.to_lowercase();
        Ok(format!("{}-{more}", called.chars().take(100).collect::<String>()))
    }

    fn accept(&self, rows: &mut dyn Rows, invitation: &str, who: &Who<'_>) -> Answer<Settled> {
        let (scope, server) = (&self.upstream.scope, self.server);
        Ok(match accept_within(rows, server, &By::Id(invitation), who, Some(scope), self.source)? {
            Accepted::Joined { person, session } => {
                match who {
                    Who::New { .. } => self.linked(rows, &person, Admitted::Invitation, now())?,
                    _ => accounts::invited(rows, scope, &person)?,
                }
                if let Some(former) = self.signed_in {
                    people::sign_out(rows, &former.session)?;
                }
                Settled::In(session)
            }
            Accepted::NotTheirs => Settled::Refused(NOT_THEIRS),
            Accepted::Gone | Accepted::AlreadyIn | Accepted::Elsewhere | Accepted::LoginTaken => {
                Settled::Refused("the invitation was used, withdrawn or has expired")
            }
        })
    }

    fn linked(&self, rows: &mut dyn Rows, person: &str, admitted: Admitted, now: DateTime<Utc>) -> Answer<()> {
        accounts::link(rows, self.upstream, self.told, person, admitted, now)?;
        let event = Event { detail: &self.upstream.id, ..Event::done("account.link", person) };
        self.tell(rows, &self.actor(person), &event, now)
    }

    /// Whoever is signed in, if it is the session that went to the issuer.
    fn same(&self) -> Option<&SignedIn> {
        self.signed_in.filter(|signed_in| Some(&signed_in.session) == self.errand.session.as_ref())
    }

    fn link(&self, rows: &mut dyn Rows, known: Option<String>, now: DateTime<Utc>) -> Answer<Settled> {
        let Some(signed_in) = self.same() else { return Ok(Settled::Refused(ANOTHER_SESSION)) };
        let person = &signed_in.person.id;
        if people::role(rows, &self.upstream.scope, person)?.is_none() {
            return Ok(Settled::Refused(NO_MEMBER));
        }
        match known {
            Some(other) if other != *person => Ok(Settled::Refused(TAKEN)),
            Some(_) => Ok(Settled::Linked),
            None => {
                self.linked(rows, person, Admitted::Person, now)?;
                Ok(Settled::Linked)
            }
        }
    }

    /// An issuer proves who somebody is to the sessions that it can make itself, and to no others.
    fn prove(&self, rows: &mut dyn Rows, known: Option<&str>, now: DateTime<Utc>) -> Answer<Settled> {
        let Some(signed_in) = self.same() else { return Ok(Settled::Refused(ANOTHER_SESSION)) };
        let is_them = known == Some(signed_in.person.id.as_str());
        if !is_them || signed_in.only.as_ref() != Some(&self.upstream.scope) {
            return Ok(Settled::Refused("this account is not that of whoever is signed in"));
        }
        self.begin(rows, &signed_in.person.id, now)
    }
}
