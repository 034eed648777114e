//! Renewing a sign-in by its refresh token (RFC 6749 section 6), which is good once.
//!
//! One that comes back was stolen, from whoever has it or by them (RFC 9700 section 4.14), and ends the sign-in. But an
//! answer can be lost on its way: whoever shows a token once more within half a minute, while nobody has spent what was
//! given for it, gets the same again. That rests sealed meanwhile, under a key that only who has the spent token can have
//! made: the database alone gives no token.

use chrono::{DateTime, TimeDelta, Utc};

use super::client::{self, Client};
use super::consent;
use super::error::{Given, refused};
use super::proof;
use super::token::{Asked, Sent, Tokens};
use super::told;
use crate::secret::Secret;
use crate::server::attempts::network;
use crate::server::audit::{self, Actor, Event};
use crate::server::bearer::{self, FAMILY, Grant, Known};
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::people;
use crate::server::permission::Permissions;
use crate::server::problem::Problem;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind, Parsed};
use crate::vault::seal::Key;

/// So long whoever lost the answer can ask once more.
const ONCE_MORE: TimeDelta = TimeDelta::seconds(30);
/// What the tokens that follow a spent one are sealed for.
const PURPOSE: &str = "successor";

/// A refresh token as it was shown.
struct Shown<'s> {
    text: &'s Secret,
    parsed: Parsed,
    key: Option<&'s str>,
    source: &'s Source,
}

pub(super) fn by_refresh(
    server: &Server,
    client: &Client,
    asked: &Asked,
    key: Option<&str>,
    source: &Source,
) -> Given<Tokens> {
    let parsed = asked.refresh_token.as_ref().and_then(|text| Some((text, token::parse(text.expose())?)));
    let Some((text, parsed)) = parsed.filter(|(_, parsed)| parsed.kind == Kind::Refresh) else { return bad() };
    let shown = Shown { text, parsed, key, source };
    server.db.write(Reach::Server, |rows| -> Given<Given<Tokens>> {
        if !client.hold(rows)? {
            return Ok(bad());
        }
        let Some(known) = bearer::find(rows, &shown.parsed)? else { return Ok(bad()) };
        let mut grant = known.grant.clone();
        if grant.client != client.id {
            not_its_own(rows, server, &known, source)?;
            return Ok(bad());
        }
        // Who has it without its key spends nothing.
        if !proof::has(key, grant.bound.as_deref()) {
            refuse(rows, server, &grant, WITHOUT_KEY, source)?;
            return Ok(bad());
        }
        grant.bound = key.map(str::to_owned);
        rows.enter(Reach::Of(&grant.scope))?;
        // What a refresh narrows is the access token alone (RFC 6749 section 6).
        let mut narrow = grant.clone();
        if let Some(scope) = &asked.scope {
            let narrower = consent::wanted(Some(scope));
            let is_more =
                |narrower: &Permissions| !narrower.within(&grant.permissions) && *narrower != Permissions::all();
            match narrower {
                Ok(narrower) if !is_more(&narrower) => narrow.permissions = grant.permissions.and(&narrower),
                // It is not spent by that.
                other if known.is_alive(now()) => {
                    refuse(rows, server, &grant, "another scope", source)?;
                    return Ok(match other {
                        Ok(_) => refused("invalid_scope", "more than was granted"),
                        Err(refusal) => Err(refusal),
                    });
                }
                _ => {}
            }
        }
        if !known.is_alive(now()) || !bearer::spend(rows, &known, now())? {
            return spent(rows, server, &shown);
        }
        let Some(role) = people::role(rows, &grant.scope, &grant.person)? else {
            bearer::revoke_family(rows, &grant.scope, &grant.family, now())?;
            refuse(rows, server, &grant, "no member", source)?;
            return Ok(bad());
        };
        let most = people::most(rows, &grant.scope, &grant.person, role)?;
        let (access, refresh) = bearer::issue_next(rows, &narrow, &grant, now())?;
        bearer::given(rows, &grant.scope, &access.id, &network(source.address), now())?;
        let ends = bound_family(rows, &known, [&access.id, &refresh.id])?;
        keep(rows, server, &known, text, [&access.token, &refresh.token])?;
        let actor = Actor { person: grant.person.clone(), token: access.id.clone(), ..source.actor() };
        audit::append(rows, &server.keys, &grant.scope, &actor, &Event::done("token.renew", &grant.family), now())?;
        Ok(Ok(Tokens {
            access: access.token,
            refresh: refresh.token,
            life: seconds_until((now() + bearer::ACCESS).min(ends)),
            permissions: narrow.permissions.and(&most),
            id_token: None,
            is_bound: key.is_some(),
        }))
    })?
}

/// What a program is answered that is not known, and shows a refresh token all the same: it was deleted since, or the token
/// was stolen.
pub(super) fn by_nobody(server: &Server, asked: &Asked, source: &Source) -> Given<Sent> {
    let parsed = asked.refresh_token.as_ref().and_then(|text| token::parse(text.expose()));
    let Some(parsed) = parsed.filter(|parsed| parsed.kind == Kind::Refresh) else { return client::unknown() };
    server.db.write(Reach::Server, |rows| -> Given<Given<Sent>> {
        let Some(known) = bearer::find(rows, &parsed)? else { return Ok(client::unknown()) };
        if asked.client_id.as_ref() == Some(&known.grant.client) {
            // With the program, its sign-ins have ended.
            rows.enter(Reach::Of(&known.grant.scope))?;
            refuse(rows, server, &known.grant, "it has ended", source)?;
            return Ok(bad());
        }
        not_its_own(rows, server, &known, source)?;
        Ok(client::unknown())
    })?
}

/// What becomes of a refresh token that another than its own program shows. One that was spent besides was stolen.
fn not_its_own(rows: &mut dyn Rows, server: &Server, known: &Known, source: &Source) -> Given<()> {
    rows.enter(Reach::Of(&known.grant.scope))?;
    if known.used.is_some() {
        told::stolen(rows, server, &known.grant, source)
    } else {
        refuse(rows, server, &known.grant, "another program", source)
    }
}

fn bad<T>() -> Given<T> {
    refused("invalid_grant", "the refresh token is none, was used, or has ended")
}

fn seconds_until(end: DateTime<Utc>) -> i64 {
    ((end - now()).num_milliseconds().max(0) + 999) / 1000
}

/// What is told of a token that somebody has without its key.
const WITHOUT_KEY: &str = "without its key";

/// Tells that a sign-in was not renewed, and why.
fn refuse(rows: &mut dyn Rows, server: &Server, grant: &Grant, why: &str, source: &Source) -> Given<()> {
    told::refused(rows, server, grant, "token.renew", why, source)
}

/// What is answered to a token that does not count any more.
fn spent(rows: &mut dyn Rows, server: &Server, shown: &Shown<'_>) -> Given<Given<Tokens>> {
    // Looked at anew: somebody may have spent it a moment ago.
    let Some(known) = bearer::find(rows, &shown.parsed)? else { return Ok(bad()) };
    let grant = &known.grant;
    if known.used.is_none() {
        refuse(rows, server, grant, "it has ended", shown.source)?;
        return Ok(bad());
    }
    let Some(Successor { texts: [access, refresh], life, grant: given, id }) = successor(rows, server, &known, shown)?
    else {
        // Of the two who have it, one is a thief.
        told::stolen(rows, server, grant, shown.source)?;
        return Ok(bad());
    };
    if !proof::has(shown.key, given.bound.as_deref()) {
        refuse(rows, server, grant, WITHOUT_KEY, shown.source)?;
        return Ok(bad());
    }
    let Some(role) = people::role(rows, &grant.scope, &grant.person)? else {
        refuse(rows, server, grant, "no member", shown.source)?;
        return Ok(bad());
    };
    let most = people::most(rows, &grant.scope, &grant.person, role)?;
    let actor = Actor { person: grant.person.clone(), token: id, ..shown.source.actor() };
    let event = Event { detail: "once more", ..Event::done("token.renew", &grant.family) };
    audit::append(rows, &server.keys, &grant.scope, &actor, &event, now())?;
    let (permissions, is_bound) = (given.permissions.and(&most), given.bound.is_some());
    Ok(Ok(Tokens { access, refresh, life, permissions, id_token: None, is_bound }))
}

/// What was given for a token, and is out.
struct Successor {
    /// The access token and the refresh token.
    texts: [Secret; 2],
    life: i64,
    grant: Grant,
    /// The public part of the access token.
    id: String,
}

/// What was given for a token a moment ago, where nobody has spent it since.
fn successor(rows: &mut dyn Rows, server: &Server, known: &Known, shown: &Shown<'_>) -> Given<Option<Successor>> {
    let scope = &known.grant.scope;
    let one = "SELECT sealed FROM successors WHERE org = $1 AND token = $2 AND expires > $3";
    let row = rows.first(one, values![scope.id(), &known.id, now().timestamp_millis()])?;
    let Some(mut row) = row else { return Ok(None) };
    let opened = key(server, shown.text)?.open(&row.bytes(0)?, &place(scope, &known.id));
    let Ok(opened) = opened else { return Ok(None) };
    let texts = std::str::from_utf8(&opened).ok().and_then(|both| both.split_once(' '));
    let Some(texts) = texts.map(|(access, refresh)| [access, refresh].map(|text| Secret::new(text.to_owned()))) else {
        return Ok(None);
    };
    let mut find = |text: &Secret| -> Result<Option<Known>, DbError> {
        token::parse(text.expose()).map_or(Ok(None), |parsed| bearer::find(rows, &parsed))
    };
    let (Some(access), Some(refresh)) = (find(&texts[0])?, find(&texts[1])?) else { return Ok(None) };
    if refresh.used.is_some() || !refresh.is_alive(now()) || !access.is_alive(now()) {
        return Ok(None);
    }
    let ends = DateTime::from_timestamp_millis(access.expires).unwrap_or_default();
    Ok(Some(Successor { texts, life: seconds_until(ends), grant: access.grant, id: access.id }))
}

/// Keeps what is given for a token, for whoever shows that once more, and lets go what was kept of others.
fn keep(rows: &mut dyn Rows, server: &Server, spent: &Known, text: &Secret, given: [&Secret; 2]) -> Given<()> {
    let scope = &spent.grant.scope;
    let both = zeroize::Zeroizing::new([given[0].expose(), given[1].expose()].join(" "));
    let sealed = key(server, text)?.seal(both.as_bytes(), &place(scope, &spent.id))?;
    let at = now();
    let over = "DELETE FROM successors WHERE org = $1 AND expires <= $2";
    rows.execute(over, values![scope.id(), at.timestamp_millis()])?;
    rows.execute(
        "INSERT INTO successors (org, token, sealed, expires) VALUES ($1, $2, $3, $4)",
        values![scope.id(), &spent.id, &sealed, (at + ONCE_MORE).timestamp_millis()],
    )?;
    Ok(())
}

/// The key under which what was given for a token rests: of the server's own, and of the token.
fn key(server: &Server, text: &Secret) -> Given<Key> {
    let key = server.keys.derived(PURPOSE).and_then(|own| own.with(text, PURPOSE));
    key.ok_or_else(|| Problem::internal("no key for what follows a token").into())
}

fn place<'p>(scope: &'p OrgScope, id: &'p str) -> [&'p str; 3] {
    [PURPOSE, scope.id(), id]
}

/// Has the tokens that follow one end with the sign-in at the latest; when that ends.
fn bound_family(rows: &mut dyn Rows, former: &Known, ids: [&str; 2]) -> Result<DateTime<Utc>, DbError> {
    let scope = &former.grant.scope;
    let one = "SELECT family_began FROM tokens WHERE org = $1 AND id = $2";
    let began = match rows.first(one, values![scope.id(), &former.id])? {
        Some(mut row) => row.maybe_int(0)?,
        None => None,
    };
    let began = began.unwrap_or(former.created);
    let ends = began + FAMILY.num_milliseconds();
    rows.execute(
        "UPDATE tokens SET family_began = $4, expires = CASE WHEN expires > $5 THEN $5 ELSE expires END \
         WHERE org = $1 AND id IN ($2, $3)",
        values![scope.id(), ids[0], ids[1], began, ends],
    )?;
    Ok(DateTime::from_timestamp_millis(ends).unwrap_or_default())
}
