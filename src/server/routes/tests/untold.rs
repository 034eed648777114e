//! Without the audit nothing is done, and nothing is handed out.

use super::pages::{Browser, filled, inside};
use super::*;
use crate::server::db::tests::{close, reopen, tamper};
use crate::server::db::{Database, DbError};
use crate::server::passphrase;

const SECRET: &str = "LNYCANARYvalue0123456789";
const PASSPHRASE: &str = "LNYCANARYcorrect horse battery";
const FORM: &[(&str, &str)] =
    &[("content-type", "application/x-www-form-urlencoded"), ("origin", "http://127.0.0.1:7447")];

/// Ways in which the audit takes no entry any more, and how each ends.
const CLOSED: [[fn(&Database); 2]; 2] = [
    [|db| close(db, "audit_events", "1 = 1"), |db| reopen(db, "audit_events")],
    [
        |db| tamper(db, "ALTER TABLE audit_events RENAME TO away"),
        |db| tamper(db, "ALTER TABLE away RENAME TO audit_events"),
    ],
];

impl Played {
    fn batch(&self, statements: &str) {
        self.server.db.write(Reach::Server, |rows| rows.batch(statements)).unwrap();
    }

    /// Holds that a request fails and has done nothing, however the audit is closed.
    fn fails_untold(&self, what: &str, ask: impl Fn() -> Response) {
        for [close, open] in CLOSED {
            let before = self.everything();
            close(&self.server.db);
            let response = ask();
            let (status, headers) = (response.status(), response.headers().clone());
            let body = self.body(response);
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{what}: {body}");
            assert!(!headers.contains_key(header::SET_COOKIE) && !headers.contains_key(header::LOCATION), "{what}");
            assert!(!body.contains("LNYCANARY") && !body.contains("lny_"), "{what}: {body}");
            assert!(before == self.everything_but_the_trail(), "{what} has done something");
            open(&self.server.db);
        }
    }

    /// The same while the audit's table has another name.
    fn everything_but_the_trail(&self) -> std::collections::BTreeMap<String, Vec<String>> {
        let mut all = self.everything();
        all.remove("away");
        all
    }
}

#[test]
fn no_route_does_what_it_cannot_tell() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Owner);
    let secrets = format!("/credential-configs/{}/secrets", played.id);
    assert_eq!(played.ask("POST", &secrets, &token, &json!({ "data": { "A": SECRET } })).0, StatusCode::OK);
    let key = json!({ "name": "n", "permissions": ["keys.manage"] });
    let key = played.ask("POST", "/api-keys", &token, &key).1["id"].as_str().unwrap().to_owned();
    let ended = played.somebody(&played.ours, Role::Owner, Permissions::all(), TimeDelta::seconds(-1));
    let lacking = played.somebody(&played.ours, Role::Owner, Permissions::default(), TimeDelta::days(1));
    for (method, route, access) in api() {
        let needs = Permission::ALL.iter().any(|known| known.word() == access);
        if !needs {
            continue;
        }
        let (what, method): (_, Method) = (format!("{method} {route}"), method.parse().unwrap());
        let path = match route {
            "/api-keys/{id}" => format!("/api-keys/{key}"),
            "/programs/{id}" => played.path_of(route, &token),
            _ => played.path(route),
        };
        for token in [&token, &lacking, &ended] {
            played.fails_untold(&what, || played.call(&method, &path, Some(token)).1);
        }
        // Nor is it told that something is not there.
        if path != route {
            let unknown = route.replace("{id}", "unknown_1");
            played.fails_untold(&what, || played.call(&method, &unknown, Some(&token)).1);
        }
    }
    // Afterwards all goes on.
    assert_eq!(played.ask("GET", &secrets, &token, &Value::Null).1["data"]["A"], SECRET);
}

#[test]
fn no_page_shows_or_does_what_it_cannot_tell() {
    let played = Played::new();
    let browser = played.browser(&played.ours, Role::Owner);
    let reader = played.browser(&played.ours, Role::Reader);
    let stranger = played.browser(&played.theirs, Role::Owner);
    let mut count = 0;
    for (method, path, needed) in inside() {
        let what = format!("{method} {path}");
        let path = filled(path, &played.ours, &played);
        let ask = |browser: &Browser| played.send(&method, &path, browser);
        if method == Method::GET {
            // Forms and questions show nothing that is not told where they come from.
            let (seen, told) = played.told_by(|| ask(&browser));
            assert!(!seen.status().is_server_error(), "{what}: {}", seen.status());
            if !told.is_empty() {
                count += 1;
                played.fails_untold(&what, || ask(&browser));
            }
        } else {
            count += 1;
            played.fails_untold(&what, || ask(&browser));
        }
        if let Some(needed) = needed {
            played.fails_untold(&what, || ask(&stranger));
            if !Role::Reader.permissions().has(needed) {
                played.fails_untold(&what, || ask(&reader));
            }
        }
        if method == Method::POST {
            played.fails_untold(&what, || played.page(&method, &path, Some(&browser), FORM, "word=x"));
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn nobody_signs_in_and_nothing_ends_untold() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Member);
    let person = played.person(&token);
    let hash = passphrase::hash(&Secret::new(PASSPHRASE.into())).unwrap();
    let keep = "UPDATE people SET passphrase = $2, login = 'alice' WHERE id = $1";
    played.server.db.write(Reach::Server, |rows| rows.execute(keep, values![&person, &hash])).unwrap();
    let grant = Grant {
        scope: played.ours.clone(),
        person: person.clone(),
        client: "lanyard".into(),
        permissions: Permissions::all(),
        family: "family".into(),
        project: None,
        bound: None,
    };
    let issue = |kind| {
        let minted = played
            .server
            .db
            .write(Reach::Server, |rows| bearer::issue(rows, kind, &grant, "", TimeDelta::days(1), now()));
        minted.unwrap().token.expose().to_owned()
    };
    let (refresh, access) = (issue(Kind::Refresh), issue(Kind::Access));
    let owner = played.member(&played.ours, Role::Owner);
    let (_, invited) = played.ask("POST", "/invitations", &owner, &json!({ "role": "reader", "for": "bob" }));
    let invitation = invited["link"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    let browser = played.browser(&played.ours, Role::Member);
    let ours = played.ours.id();
    let admit = format!(
        "word={}&response_type=code&client_id=lanyard&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&state=s&scope=\
         credentials.read&code_challenge={}&code_challenge_method=S256&organization={ours}&decision=allow",
        browser.word(),
        "a".repeat(43)
    );
    let passphrase = "LNYCANARYcorrect+horse+battery";
    let reset = format!("token={invitation}&passphrase={passphrase}&again={passphrase}");
    let newcomer = format!("token={invitation}&login=bob&passphrase={passphrase}&again={passphrase}");
    let forms = [
        ("/sign-in", format!("login=alice&passphrase={passphrase}"), None, StatusCode::SEE_OTHER),
        ("/sign-in", "login=alice&passphrase=wrong".into(), None, StatusCode::FORBIDDEN),
        ("/sign-in", "login=nobody&passphrase=wrong".into(), None, StatusCode::FORBIDDEN),
        // An invitation chooses nobody's passphrase.
        ("/reset", reset, None, StatusCode::CONFLICT),
        ("/invite", newcomer, None, StatusCode::SEE_OTHER),
        ("/authorize", admit, Some(&browser), StatusCode::SEE_OTHER),
        ("/sign-out", format!("word={}", browser.word()), Some(&browser), StatusCode::SEE_OTHER),
        ("/token", format!("grant_type=refresh_token&client_id=lanyard&refresh_token={refresh}"), None, StatusCode::OK),
        // That it comes once more is told as well.
        ("/token", format!("grant_type=refresh_token&client_id=lanyard&refresh_token={refresh}"), None, StatusCode::OK),
        ("/revoke", format!("token={token}"), None, StatusCode::OK),
    ];
    for (path, body, browser, expected) in &forms {
        let ask = || played.page(&Method::POST, path, *browser, FORM, body);
        played.fails_untold(path, ask);
        assert_eq!(ask().status(), *expected, "{path} {body}");
    }
    // And that it comes late.
    let late = "UPDATE successors SET expires = 1";
    assert_eq!(played.server.db.write(Reach::Server, |rows| rows.execute(late, &[])).unwrap(), 1);
    let body = format!("grant_type=refresh_token&client_id=lanyard&refresh_token={refresh}");
    let ask = || played.page(&Method::POST, "/token", None, FORM, &body);
    played.fails_untold("/token", ask);
    assert_eq!(ask().status(), StatusCode::BAD_REQUEST);
    assert!(!access.is_empty());
    let leaked = json!([{ "token": owner }]).to_string();
    let ask = || played.page(&Method::POST, "/leaked-tokens", None, &[("content-type", "application/json")], &leaked);
    let counts = || played.call(&Method::GET, "/userinfo", Some(&owner)).0 == StatusCode::OK;
    played.fails_untold("/leaked-tokens", ask);
    assert!(counts());
    assert_eq!((ask().status(), counts()), (StatusCode::ACCEPTED, false));
}

/// Whoever reports many tokens that are none takes no turn of those who have something to write.
#[test]
fn a_token_that_does_not_count_has_nobody_wait() {
    let played = Played::new();
    let never: Vec<Value> =
        (0..100).map(|_| json!({ "token": crate::server::token::mint(Kind::Key).unwrap().token.expose() })).collect();
    let body = Value::from(never).to_string();
    // Somebody else is writing for as long as it takes.
    let other = Database::open(&played.address).unwrap();
    let status = other.write(Reach::Server, |rows| -> Result<StatusCode, DbError> {
        rows.execute("UPDATE organizations SET created = created", &[])?;
        let headers = [("content-type", "application/json")];
        Ok(played.page(&Method::POST, "/leaked-tokens", None, &headers, &body).status())
    });
    assert_eq!(status.unwrap(), StatusCode::ACCEPTED);
}

/// A database that does not answer is told as that, and not as too many attempts.
#[test]
fn what_cannot_be_counted_was_not_too_much() {
    let played = Played::new();
    played.batch("ALTER TABLE attempts RENAME TO away");
    let token = crate::server::token::mint(Kind::Invitation).unwrap().token;
    let body = format!("token={}&login=bob", token.expose());
    let response = played.page(&Method::POST, "/invite", None, FORM, &body);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}
