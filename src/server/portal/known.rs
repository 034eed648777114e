//! A browser in which somebody has signed in before. Whoever guesses at their account from everywhere makes them wait
//! everywhere but there (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").
//!
//! It has a cookie that says whose browser it is, and opens nothing: what is tried with it is counted by it alone. So
//! whoever has stolen one has as many guesses by it as anybody has from one network. Each sign-in gives another one in its
//! place, so that a copy of the one before makes nobody wait any more. It is bound to the passphrase of its time: a new
//! one makes all of before void, since whoever changes it may do so because somebody else was at their browser.
//!
//! What an issuer says of somebody gives none: whoever runs it could have any number of them, each with guesses of its own.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use subtle::ConstantTimeEq;

use super::page::sent_on;
use super::session::{cookie_name, cookie_of, set_cookie};
use crate::secret::Secret;
use crate::server::db::{DbError, Rows};
use crate::server::edge::Source;
use crate::server::keys::Keys;
use crate::server::people;
use crate::server::problem::{Answer, Problem};
use crate::server::random;
use crate::server::state::{Server, now};
use crate::vault::seal::Key;

/// A browser is known for so long after the last sign-in.
const LIFE: TimeDelta = TimeDelta::days(180);
const ID: usize = 22;

/// A browser that this server knows.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Who signed in in it last.
    person: String,
    id: String,
    /// What the passphrase was then, as only this server can tell.
    passphrase: String,
}

impl Known {
    /// The browser that a request comes from, where that shows a cookie that this server has given it.
    pub(super) fn shown(server: &Server, headers: &HeaderMap) -> Option<Self> {
        Self::read(&server.keys, cookie_of(&name(server), headers)?.expose(), now())
    }

    fn read(keys: &Keys, text: &str, now: DateTime<Utc>) -> Option<Self> {
        let mut parts = text.split('.');
        let (person, id, until) = (parts.next()?, parts.next()?, parts.next()?);
        let (passphrase, code) = (parts.next()?, parts.next()?);
        let given = code_of(&key(keys)?, [person, id, until, passphrase]);
        let is_given = parts.next().is_none() && bool::from(given.as_bytes().ct_eq(code.as_bytes()));
        let is_in_time = until.parse().is_ok_and(|until: i64| now.timestamp() < until);
        let [person, id, passphrase] = [person, id, passphrase].map(str::to_owned);
        (is_given && is_in_time).then_some(Self { person, id, passphrase })
    }

    /// What the cookie of a browser says in which somebody has just signed in; nothing for the moment after the server's own
    /// key was replaced in which this server does not have it yet: nobody is kept out for want of a cookie.
    fn made(rows: &mut dyn Rows, keys: &Keys, person: &str, now: DateTime<Utc>) -> Answer<Option<Secret>> {
        let Some(key) = key(keys) else { return Ok(None) };
        let kept = people::passphrase(rows, person)?.ok_or_else(Problem::unauthenticated)?;
        let (id, until) = (random::base62(ID)?, (now + LIFE).timestamp().to_string());
        let parts = [person, &id, &until, &passphrase_of(&key, person, &kept)];
        Ok(Some(Secret::new([&parts.join("."), &code_of(&key, parts)].map(String::as_str).join("."))))
    }
}

fn key(keys: &Keys) -> Option<Key> {
    keys.derived("known-browser")
}

fn code_of(key: &Key, [person, id, until, passphrase]: [&str; 4]) -> String {
    let code = key.code(&[b"browser", person.as_bytes(), id.as_bytes(), until.as_bytes(), passphrase.as_bytes()]);
    URL_SAFE_NO_PAD.encode(code)
}

/// A word for what is kept of a passphrase, that tells nothing of it.
fn passphrase_of(key: &Key, person: &str, kept: &str) -> String {
    URL_SAFE_NO_PAD.encode(key.code(&[b"passphrase", person.as_bytes(), kept.as_bytes()]))
}

/// By what the tries of a browser at the account of a person are counted: nothing of its own, unless it was they who signed
/// in in it last, with the passphrase that they have now.
pub(crate) fn browser(
    rows: &mut dyn Rows,
    keys: &Keys,
    from: &Source,
    person: &str,
) -> Result<Option<String>, DbError> {
    let Some(known) = from.known.as_ref().filter(|known| known.person == person) else { return Ok(None) };
    let (Some(key), Some(kept)) = (key(keys), people::passphrase(rows, person)?) else { return Ok(None) };
    let is_same = passphrase_of(&key, person, &kept).as_bytes().ct_eq(known.passphrase.as_bytes());
    Ok(bool::from(is_same).then(|| known.id.clone()))
}

/// The same for the account of a login. Only what this server has given somebody has anything looked up.
pub(super) fn browser_at(
    rows: &mut dyn Rows,
    keys: &Keys,
    from: &Source,
    login: &str,
) -> Result<Option<String>, DbError> {
    if from.known.is_none() {
        return Ok(None);
    }
    match people::by_login(rows, login)? {
        Some((person, _)) => browser(rows, keys, from, &person.id),
        None => Ok(None),
    }
}

/// What a browser is given in which somebody has come in.
pub(crate) struct Entry {
    session: Secret,
    /// What it is known by from now on.
    known: Option<Secret>,
}

impl Entry {
    /// A session alone: what made it does not tell for sure whose browser it is.
    pub(crate) fn of(session: Secret) -> Self {
        Self { session, known: None }
    }

    /// A session of a person in a browser that is known as theirs from now on.
    pub(crate) fn known(rows: &mut dyn Rows, keys: &Keys, person: &str, session: Secret) -> Answer<Self> {
        Ok(Self { session, known: Known::made(rows, keys, person, now())? })
    }

    /// Sends the browser on.
    pub(crate) fn sent_on(&self, server: &Server, to: &str) -> Response {
        let mut response = sent_on(to, Some(set_cookie(server, &self.session)));
        let known = self.known.as_ref().map(|known| set_known(server, known));
        if let Some(known) = known.and_then(|known| HeaderValue::from_str(&known).ok()) {
            response.headers_mut().append(header::SET_COOKIE, known);
        }
        response
    }
}

fn name(server: &Server) -> String {
    format!("{}-known", cookie_name(server))
}

/// The header that gives a browser its cookie. No other site has it sent: not even a link from there does.
fn set_known(server: &Server, known: &Secret) -> String {
    let secure = if server.public.scheme() == "https" { "; Secure" } else { "" };
    let (name, life) = (name(server), LIFE.num_seconds());
    format!("{name}={}; Path=/; Max-Age={life}; HttpOnly; SameSite=Strict{secure}", known.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::Reach;
    use crate::server::db::tests::Scratch;

    #[test]
    fn a_browser_is_known_by_what_this_server_gave_it_and_by_nothing_else() {
        let scratch = Scratch::new();
        let people = "INSERT INTO people (id, login, passphrase, created) VALUES ('person_a', 'alice', '$a', 0); \
                      INSERT INTO people (id, login, passphrase, created) VALUES ('person_b', 'bob', '$b', 0)";
        scratch.db.write(Reach::Server, |rows| rows.batch(people)).unwrap();
        let at = |days: i64| DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(days);
        let made = |person: &str| {
            let made = scratch.db.read(Reach::Server, |rows| Known::made(rows, &scratch.keys, person, at(0)));
            made.unwrap().expect("a key").expose().to_owned()
        };
        let counted = |text: &str, person: &str, now: DateTime<Utc>| {
            let from = Source { known: Known::read(&scratch.keys, text, now), ..Source::default() };
            scratch.db.read(Reach::Server, |rows| browser(rows, &scratch.keys, &from, person)).unwrap()
        };
        let (hers, his) = (made("person_a"), made("person_b"));
        let parts = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(counted(&hers, "person_a", at(0)), Some(parts(&hers)[1].clone()));
        assert_ne!(made("person_a"), hers, "each sign-in gives another");
        assert_eq!(counted(&hers, "person_b", at(0)), None, "somebody else's");
        assert_eq!(counted(&his, "person_a", at(0)), None, "somebody else's");
        assert!(counted(&hers, "person_a", at(179)).is_some() && counted(&hers, "person_a", at(180)).is_none());
        // Nothing of it can be another, nor be left out.
        for part in 0..5 {
            let mut others = vec![String::new(), parts(&his)[part].clone(), format!("{}0", parts(&hers)[part])];
            others.retain(|other| *other != parts(&hers)[part]);
            for other in others {
                let mut forged = parts(&hers);
                forged[part] = other;
                let forged = forged.join(".");
                assert!(Known::read(&scratch.keys, &forged, at(0)).is_none(), "{forged}");
            }
        }
        for none in ["", ".", "....", &hers[1..], &format!("{hers}."), &format!("{hers}.x")] {
            assert!(Known::read(&scratch.keys, none, at(0)).is_none(), "{none}");
        }
        let with = |login: &str, text: &str| {
            let from = Source { known: Known::read(&scratch.keys, text, at(0)), ..Source::default() };
            scratch.db.read(Reach::Server, |rows| browser_at(rows, &scratch.keys, &from, login)).unwrap()
        };
        assert!(with("alice", &hers).is_some());
        assert!(with("bob", &hers).is_none() && with("carol", &hers).is_none() && with("alice", "").is_none());
        // A new passphrase makes those of before void, and nobody else's.
        let change = "UPDATE people SET passphrase = '$c' WHERE id = 'person_a'";
        scratch.db.write(Reach::Server, |rows| rows.batch(change)).unwrap();
        assert_eq!(counted(&hers, "person_a", at(0)), None);
        assert!(counted(&his, "person_b", at(0)).is_some() && counted(&made("person_a"), "person_a", at(0)).is_some());
        // Another server's is none.
        assert!(Known::read(&Scratch::new().keys, &hers, at(0)).is_none());
    }
}
