//! What changes who may do what in an organization: one change at a time, decided and made in one transaction.

use axum::http::StatusCode;

use super::audit::{self, Event, Outcome};
use super::caller::Caller;
use super::db::{DbError, OrgScope, Rows, values};
use super::people;
use super::permission::{Permission, Role};
use super::problem::{Answer, Problem};
use super::state::{Server, now};

/// The words of the roles.
pub(crate) const ROLES: [&str; 4] =
    [Role::ALL[0].word(), Role::ALL[1].word(), Role::ALL[2].word(), Role::ALL[3].word()];
/// What a name is made of; see [`name`].
pub(crate) const NAMES: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// The longest name of a project, a workspace or an organization, in characters.
pub(crate) const NAME: usize = 64;

/// Holds an organization until the transaction ends.
pub(crate) fn hold(rows: &mut dyn Rows, scope: &OrgScope) -> Result<(), DbError> {
    rows.execute("UPDATE organizations SET created = created WHERE id = $1", values![scope.id()]).map(|_| ())
}

/// Holds the sessions of a person until the transaction ends, or those that count in one organization alone: whoever ends
/// all of them has seen what begins here, or has ended what it comes of.
pub(crate) fn hold_sessions(rows: &mut dyn Rows, person: &str, only: Option<&OrgScope>) -> Result<(), DbError> {
    if let Some(only) = only {
        hold(rows, only)?;
    }
    people::hold(rows, person)
}

/// Runs a change while nobody else changes the organization; `work` is given the caller as they stand at that moment.
/// What was done is told, and so is what was refused; what was made is kept for whoever asks for it once more.
pub(crate) fn alone<T>(
    server: &Server,
    caller: &Caller,
    event: &Event<'_>,
    work: impl FnOnce(&mut dyn Rows, &Caller) -> Answer<T>,
) -> Answer<T> {
    alone_telling(server, caller, event, |rows, caller| Ok((work(rows, caller)?, event.detail.to_owned())))
}

/// The same for a change that finds out only while it is made what there is to tell of it.
pub(crate) fn alone_telling<T>(
    server: &Server,
    caller: &Caller,
    event: &Event<'_>,
    work: impl FnOnce(&mut dyn Rows, &Caller) -> Answer<(T, String)>,
) -> Answer<T> {
    let done = server.db.write(&caller.scope, |rows| -> Answer<T> {
        hold(rows, &caller.scope)?;
        let standing = caller.standing(rows)?;
        let (done, detail) = work(rows, &standing)?;
        if !event.object.is_empty() {
            caller.once.keep(rows, event.object)?;
        }
        let told = Event { detail: &detail, ..event.clone() };
        audit::append(rows, &server.keys, &caller.scope, &caller.actor, &told, now())?;
        Ok(done)
    });
    if let Err(problem) = &done
        && problem.status().is_client_error()
        // Who asks twice at once is answered with what the first has made.
        && !caller.once.is_made(server)
    {
        server.tell(&caller.scope, &caller.actor, &Event { outcome: Outcome::Denied, ..event.clone() })?;
    }
    done
}

impl Caller {
    /// Refuses them what they lack in the whole organization.
    pub(crate) fn needs(&self, permission: Permission) -> Answer<()> {
        if self.may(permission, None) { Ok(()) } else { Err(Problem::forbidden(permission.word())) }
    }

    /// Refuses to touch whoever is more than they are.
    pub(crate) fn may_touch(&self, role: Role) -> Answer<()> {
        if self.role.covers(role) { Ok(()) } else { Err(more(role)) }
    }

    /// Refuses to make somebody what has more rights than they have, with this token.
    pub(crate) fn may_make(&self, role: Role) -> Answer<()> {
        let has_all = role.permissions().within(&self.rights.everywhere);
        if self.role.covers(role) && has_all { Ok(()) } else { Err(more(role)) }
    }
}

fn more(role: Role) -> Problem {
    let detail = format!("the role {} is more than you may give or take with this token", role.word());
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).about("role")
}

/// Refuses to leave an organization without an owner.
pub(crate) fn keep_an_owner(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Answer<()> {
    let other = "SELECT 1 FROM members WHERE org = $1 AND role = $2 AND person <> $3 LIMIT 1";
    if rows.first(other, values![scope.id(), Role::Owner.word(), person])?.is_some() {
        return Ok(());
    }
    let detail = "an organization has one owner at least: make somebody else an owner first";
    Err(Problem::new(StatusCode::CONFLICT, "last-owner", detail).about("role"))
}

/// The role of a word.
pub(crate) fn role(word: &str) -> Answer<Role> {
    let known = Role::from_word(word);
    known.ok_or_else(|| Problem::invalid("a role is one of owner, admin, member and reader").about("role"))
}

/// What a member is; somebody who is none is not there.
pub(crate) fn member(rows: &mut dyn Rows, scope: &OrgScope, person: &str) -> Answer<Role> {
    people::role(rows, scope, person)?.ok_or_else(Problem::not_found)
}

/// A name as it is kept: letters, digits and `. _ -`, which look like no others, and begin with a letter or a digit.
pub(crate) fn name(typed: &str) -> Answer<String> {
    let name = typed.trim();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= NAME && name.bytes().all(allowed) {
        return Ok(name.to_owned());
    }
    let detail = format!("a name has letters, digits and . _ - and at most {NAME} characters");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-name", detail).about("name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_letters_that_look_like_no_other() {
        for good in ["a", "web-shop", "Web.Shop_2", " trimmed "] {
            assert_eq!(name(good).unwrap(), good.trim());
        }
        for bad in ["", " ", "-a", ".a", "а", "a b", "a/b", "a\nb", "a'b", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
