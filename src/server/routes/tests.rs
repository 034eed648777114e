//! Every route against everybody: generated from the list of routes, so that a new one cannot be forgotten.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::credential::{Credential, Metadata, Scope};
use crate::os::Env;
use crate::provider::Verdict;
use crate::secret::Secret;
use crate::server::audit::Actor;
use crate::server::bearer::{self, Grant};
use crate::server::db::tests::Scratch;
use crate::server::db::{OrgScope, Reach, values};
use crate::server::lanes::Lanes;
use crate::server::limits::{Limits, Rates};
use crate::server::permission::{Permission, Permissions, Role};
use crate::server::state::{now, room};
use crate::server::token::Kind;
use crate::vault::contract::variables;
use crate::vault::{Change, New, Unfinished, Vault, VaultError};

mod asked;
mod audited;
mod contract;
mod elsewhere;
mod folded;
mod fresh;
mod keys;
mod listed;
mod narrow;
mod once;
mod paged;
mod pages;
mod played;
mod programs;
mod refused;
mod registries;
mod short;
mod team;
mod told;
mod untold;
mod versions;

use played::Played;
use told::{DOCUMENT, told};

/// The routes of the API, each with what it demands. The others are pages.
fn api() -> Vec<(String, &'static str, &'static str)> {
    let is_page =
        |access| matches!(access, Access::Page | Access::Personal | Access::Inside(_) | Access::InsideProject(_));
    let api = all().into_iter().filter(|route| !is_page(route.access));
    api.map(|route| (route.method.to_string(), route.path, route.access.word())).collect()
}

#[test]
fn every_route_is_in_the_table() {
    let there: Vec<(String, &str, &str)> = table();
    let told: Vec<(String, &str, &str)> =
        listed::TABLE.iter().map(|(method, path, access)| ((*method).to_owned(), *path, *access)).collect();
    assert_eq!(there, told);
}

/// A problem without the number of its request, which no other has.
fn unnumbered(body: &str) -> Value {
    let mut told: Value = serde_json::from_str(body).unwrap();
    assert!(told.as_object_mut().unwrap().remove("request_id").is_some_and(|number| number.is_string()), "{body}");
    told
}

/// Those whose tokens do not count, in words.
fn strangers(played: &Played) -> Vec<(&'static str, Option<String>)> {
    let (ours, all) = (&played.ours, Permissions::all());
    let revoked = played.member(ours, Role::Owner);
    let removed = played.member(ours, Role::Owner);
    let demoted = played.member(ours, Role::Owner);
    let id = |token: &str| crate::server::token::parse(token).unwrap().id;
    played
        .server
        .db
        .write(Reach::Server, |rows| {
            bearer::revoke(rows, ours, &id(&revoked), now())?;
            let person = "SELECT person FROM tokens WHERE id = $1";
            let removed = rows.first(person, values![&id(&removed)])?.unwrap().text(0)?;
            rows.execute("DELETE FROM members WHERE person = $1", values![&removed])?;
            let demoted = rows.first(person, values![&id(&demoted)])?.unwrap().text(0)?;
            rows.execute("UPDATE members SET role = 'visitor' WHERE person = $1", values![&demoted])
        })
        .unwrap();
    let other = crate::server::token::mint(Kind::Key).unwrap().token.expose().to_owned();
    let mut slip = played.member(ours, Role::Owner);
    slip.replace_range(30..31, if &slip[30..31] == "a" { "b" } else { "a" });
    vec![
        ("nobody", None),
        ("no token", Some("ghp_0123456789abcdef".into())),
        ("a slip", Some(slip)),
        ("another server's", Some(other)),
        ("expired", Some(played.somebody(ours, Role::Owner, all, TimeDelta::seconds(-1)))),
        ("revoked", Some(revoked)),
        ("removed", Some(removed)),
        ("of a role that nobody knows", Some(demoted)),
    ]
}

#[test]
fn who_is_not_let_in_reaches_nothing() {
    let played = Played::new();
    let strangers = strangers(&played);
    let before = played.state();
    for (method, path, access) in api() {
        if access == "anyone" {
            continue;
        }
        let (method, path) = (method.parse().unwrap(), played.path(path));
        for (who, token) in &strangers {
            let (status, response) = played.call(&method, &path, token.as_deref());
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} as {who}");
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
            assert!(!played.body(response).contains("org_"), "{method} {path} as {who}");
        }
    }
    assert_eq!(played.state(), before);
}

#[test]
fn a_permission_opens_its_own_routes_and_no_other() {
    let played = Played::new();
    let needed = |word: &str| Permission::ALL.into_iter().find(|known| known.word() == word);
    for permission in Permission::ALL {
        let only = || Permissions::parse(permission.word()).unwrap();
        let somebody = |played: &Played| played.somebody(&played.ours, Role::Owner, only(), TimeDelta::days(1));
        let token = somebody(&played);
        for (method, path, access) in api() {
            let Some(needed) = needed(access) else { continue };
            // What goes is there for nobody else: whoever may have it go does so on a server of their own.
            let own = (needed == permission && method == "DELETE").then(Played::new);
            let own = own.as_ref().map(|own| (own, somebody(own)));
            let (played, token) = own.as_ref().map_or((&played, &token), |(own, token)| (*own, token));
            let (method, path) = (method.parse().unwrap(), played.path(path));
            let (status, response) = played.call(&method, &path, Some(token));
            let told = played.body(response);
            // Noting a use needs more than the route does, and nobody makes a reader who has not what readers have.
            // No rule gives a job what its maker does not have.
            let is_giving = method == Method::POST && ["/invitations", "/trust-rules"].contains(&path.as_str())
                || method == Method::PATCH && (path.starts_with("/members") || path.starts_with("/trust-rules"));
            let is_refused = needed != permission || path.ends_with("/notes") || is_giving;
            assert_eq!(
                status == StatusCode::FORBIDDEN,
                is_refused,
                "{method} {path} with {}: {told}",
                permission.word()
            );
            assert!(
                status != StatusCode::UNAUTHORIZED && !status.is_server_error(),
                "{method} {path}: {status} {told}"
            );
        }
    }
}

#[test]
fn a_role_is_no_more_than_it_says() {
    let played = Played::new();
    for role in Role::ALL {
        let token = played.member(&played.ours, role);
        for (method, path, access) in api() {
            let Some(needed) = Permission::ALL.into_iter().find(|known| known.word() == access) else { continue };
            let may = role.permissions().has(needed);
            // What goes is there for nobody else: whoever may have it go does so on a server of their own.
            let own = (may && method == "DELETE").then(Played::new);
            let own = own.as_ref().map(|own| (own, own.member(&own.ours, role)));
            let (played, token) = own.as_ref().map_or((&played, &token), |(own, token)| (*own, token));
            let (method, path) = (method.parse().unwrap(), played.path_of(path, token));
            let (status, response) = played.call(&method, &path, Some(token));
            let told = played.body(response);
            assert_eq!(status == StatusCode::FORBIDDEN, !may, "{method} {path} as {}: {told}", role.word());
            if own.is_some() {
                // An organization goes for whoever names it alone.
                let expected = if path.starts_with("/organizations/") { 422 } else { 204 };
                assert_eq!(status, expected, "{method} {path} as {}: {told}", role.word());
            }
            // What was made by one role is there already for the next.
            let fine = status.is_success() || [403, 409, 412, 422].contains(&status.as_u16());
            assert!(fine, "{method} {path} as {}: {status} {told}", role.word());
        }
    }
}

#[test]
fn what_is_another_organizations_is_not_there() {
    let played = Played::new();
    let ours = played.member(&played.ours, Role::Owner);
    let strangers = Role::ALL.map(|role| (role, played.member(&played.theirs, role)));
    let before = played.state();
    for (role, stranger) in &strangers {
        for (method, path, access) in api() {
            if !path.contains("{id}") {
                continue;
            }
            let method: Method = method.parse().unwrap();
            let what = format!("{method} {path} as {} elsewhere", role.word());
            let (status, response) = played.call(&method, &played.path_of(path, &ours), Some(stranger));
            let (foreign, headers) = (status, response.headers().clone());
            let told = unnumbered(&played.body(response));
            let (status, response) = played.call(&method, &path.replace("{id}", "cred_unknown"), Some(stranger));
            assert_eq!((foreign, told), (status, unnumbered(&played.body(response))), "{what}");
            // Whoever may not do it anywhere is told that, before it is looked for what it is about.
            let needed = Permission::ALL.into_iter().find(|known| known.word() == access).expect("a permission");
            let may = role.permissions().has(needed);
            assert_eq!(status, if may { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN }, "{what}");
            assert!(!headers.contains_key(header::ETAG), "{what}");
        }
        let (status, response) = played.call(&Method::GET, "/credential-configs?limit=200", Some(stranger));
        let listed: Value = serde_json::from_str(&played.body(response)).unwrap();
        assert_eq!(status, StatusCode::OK);
        assert!(listed["items"].as_array().unwrap().iter().all(|one| one["id"] != played.id.as_str()));
    }
    assert_eq!(played.state(), before);
    assert_eq!(played.call(&Method::GET, "/userinfo", Some(&ours)).0, StatusCode::OK, "its key still counts");
}

/// What is told of a request, so that each is in the audit.
#[test]
fn a_denied_request_is_told() {
    let played = Played::new();
    let reader = played.member(&played.ours, Role::Reader);
    played.call(&Method::GET, &format!("/credential-configs/{}/secrets", played.id), Some(&reader));
    let last = "SELECT entry FROM audit_events WHERE org = $1 ORDER BY sequence DESC LIMIT 1";
    let entry = played
        .server
        .db
        .read(Reach::Server, |rows| rows.first(last, values![played.ours.id()])?.unwrap().text(0))
        .unwrap();
    let entry: Value = serde_json::from_str(&entry).unwrap();
    assert_eq!(
        (&entry["action"], &entry["outcome"], &entry["object"]),
        (&json!("access"), &json!("denied"), &json!("secrets.read"))
    );
    assert!(entry["request"].is_string() && entry["token"].is_string());
}
