//! Programs that somebody is signed in with: they are seen and ended, what is made with one ends with it, and how much a
//! person is asked before one is let in.

use serde_json::{Value, json};

use super::grants::{asked, code_for, exchange, refresh, text};
use super::organizations::{Sql, told};
use super::portal::Portal;
use super::postgres::Postgres;
use super::served::{LOGIN, PASSPHRASE, Served, token};
use super::team::{invite, join};
use crate::wire;

const BOB: &str = "bob@example.com";

/// Whoever has lost a laptop ends what is signed in on it, from anywhere else.
fn a_lost_laptop(served: &Served, sql: Sql<'_>) {
    let (laptop, manager) = (served.client(), served.manager());
    let bearer = token(&manager);
    let list = || served.api("GET", "/programs", &bearer, "").json()["items"].as_array().unwrap().clone();
    let programs = list();
    assert_eq!(programs.len(), 2, "{programs:?}");
    let one = programs.iter().find(|one| one["permissions"].as_array().unwrap().len() < 10).unwrap().clone();
    assert_eq!((text(&one, "client_id"), text(&one, "used_from")), ("lanyard", "127.0.0.0/24"), "{one}");
    assert!(["signed_in", "used", "expires"].iter().all(|name| one[name].is_string()), "{one}");
    // In pages, each once.
    let first = served.api("GET", "/programs?limit=1", &bearer, "").json();
    let second = format!("/programs?limit=1&cursor={}", text(&first, "next"));
    let second = served.api("GET", &second, &bearer, "").json();
    assert_eq!(
        [&first["items"][0], &second["items"][0]],
        [&programs[0]["id"], &programs[1]["id"]].map(|id| { programs.iter().find(|one| one["id"] == *id).unwrap() })
    );
    // Renewed, it is the same sign-in.
    laptop.run(&["auth", "refresh"]).ends(0);
    assert_eq!(list().len(), 2);
    let portal = Portal::of(served);
    let page = portal.browser.get("/account").text();
    assert!(page.contains(text(&one, "id")) && page.contains("from 127.0.0.0/24"), "{page}");
    let word = portal.browser.form("/account").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let end = |id: &str| portal.browser.post(&format!("/account/programs/{id}/end"), &[("word", &word)]).status();
    assert_eq!(end(text(&one, "id")), 303);
    assert_eq!(end(text(&one, "id")), 404);
    laptop.run(&["auth", "refresh"]).ends(4);
    assert_eq!(served.api("GET", "/userinfo", &bearer, "").status(), 200, "the other goes on");
    let ended = told(sql, "program.end");
    assert_eq!((ended.len(), &ended[0]["object"]), (1, &one["id"]));
    let refused: Vec<Value> =
        told(sql, "token.renew").into_iter().filter(|entry| entry["outcome"] == "denied").collect();
    assert!(!refused.is_empty() && refused.iter().all(|entry| entry["detail"] == "it has ended"), "{refused:?}");
    // Another person's is not there, whatever they are.
    let bob = served.client_of(&join(served, &invite(&manager, "admin"), BOB), None);
    let theirs = token(&bob);
    let own = text(&list()[0], "id").to_owned();
    assert_eq!(served.api("DELETE", &format!("/programs/{own}"), &theirs, "").status(), 404);
    // Whoever runs the organization sees and ends the keys of everybody, and a member does not.
    let wanted = r#"{"name":"lost","permissions":["credentials.read"]}"#;
    let made = served.api("POST", "/api-keys", &bearer, wanted).json();
    let (key, path) = (text(&made, "key"), format!("/members/api-keys/{}", text(&made, "id")));
    assert_eq!(served.api("GET", "/credential-configs", key, "").status(), 200);
    let listed = served.api("GET", "/members/api-keys", &theirs, "").json();
    let item = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == made["id"]).unwrap();
    assert_eq!((text(item, "login"), text(item, "name")), (LOGIN, "lost"), "{item}");
    let other = text(&served.api("POST", "/api-keys", &theirs, wanted).json(), "key").to_owned();
    assert_eq!(served.api("DELETE", &path, &other, "").status(), 403);
    assert_eq!(served.api("DELETE", &path, &theirs, "").status(), 204);
    assert_eq!(served.api("GET", "/credential-configs", key, "").status(), 401);
}

/// A key lives no longer than the sign-in that it was made with, and ends with it where that was stolen.
fn what_a_program_makes(served: &Served, sql: Sql<'_>) {
    let manager = served.manager();
    let bearer = token(&manager);
    let ask = |days: &str| {
        let wanted = format!("{{\"name\":\"k\",\"permissions\":[\"credentials.read\"]{days}}}");
        served.api("POST", "/api-keys", &bearer, &wanted)
    };
    let refused = ask(",\"days\":366");
    assert_eq!(refused.status(), 422);
    let ends = (chrono::Utc::now() + chrono::TimeDelta::days(180)).format("%Y-%m-%d").to_string();
    assert!(refused.text().contains(&ends) && refused.text().contains("portal"), "{}", refused.text());
    let made = ask("").json();
    let key = text(&made, "key");
    let family = sql(&format!("SELECT made_in FROM tokens WHERE id = '{}'", text(&made, "id")));
    assert_eq!(served.api("GET", "/credential-configs", key, "").status(), 200);
    // In the portal a person is bound by the organization alone.
    let portal = Portal::of(served);
    let long = [("name", "long"), ("permission", "credentials.read"), ("days", "366")];
    assert_eq!(portal.send("/keys", "/keys", &long).status(), 201);
    // One of the sign-in's tokens was found: all of it ends, and what was made with it.
    let leaked = json!([{ "token": bearer }]).to_string();
    let json = ["Content-Type: application/json"];
    assert_eq!(wire::send("POST", &format!("{}/leaked-tokens", served.url), &json, &leaked).unwrap().status(), 202);
    assert_eq!(served.api("GET", "/credential-configs", key, "").status(), 401);
    let revoked = told(sql, "key.revoke");
    let detail = format!("made in {}", family.trim());
    assert!(revoked.iter().any(|entry| entry["detail"] == detail.as_str()), "{revoked:?}");
}

/// A new passphrase ends what whoever knew the old one may have let in; keys stay.
fn a_new_passphrase(served: &Served, sql: Sql<'_>) {
    let manager = served.manager();
    let bearer = token(&manager);
    let wanted = r#"{"name":"stays","permissions":["credentials.read"]}"#;
    let key = text(&served.api("POST", "/api-keys", &bearer, wanted).json(), "key").to_owned();
    let before = told(sql, "program.end").len();
    let browser = served.browser();
    let page = browser.get("/account").text();
    assert!(page.contains("every program that is signed in as you; API keys stay"), "{page}");
    let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let new = "LNYCANARYanother battery staple";
    let fields = [("word", word.as_str()), ("old", PASSPHRASE), ("new", new), ("again", new)];
    assert_eq!(browser.post("/account/passphrase", &fields).status(), 303);
    manager.run(&["auth", "refresh"]).ends(4);
    assert_eq!(served.api("GET", "/userinfo", &bearer, "").status(), 401);
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 200);
    assert!(told(sql, "program.end").len() > before);
}

#[test]
fn programs_are_seen_and_end_with_what_they_made() {
    let served = Served::new(&[]);
    let sql = |statement: &str| served.sql(statement);
    what_a_program_makes(&served, &sql);
    a_lost_laptop(&served, &sql);
    a_new_passphrase(&served, &sql);
}

#[test]
fn it_is_the_same_with_postgresql() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    let sql = |statement: &str| postgres.as_superuser(statement);
    what_a_program_makes(&served, &sql);
    a_lost_laptop(&served, &sql);
    a_new_passphrase(&served, &sql);
}

#[test]
fn a_program_that_asks_who_somebody_is_may_do_nothing_more() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let page = browser.get(&asked(&[("scope", "openid profile")])).text();
    assert!(page.contains("Know who you are, and nothing more") && !page.contains("Read secrets"), "{page}");
    let given = exchange(&served, &code_for(&browser, &[("scope", "openid profile")]), &[]).json();
    assert_eq!(text(&given, "scope"), "openid");
    let access = text(&given, "access_token");
    assert_eq!(served.api("POST", "/userinfo", access, "").json()["preferred_username"], LOGIN);
    assert_eq!(served.api("GET", "/credential-configs", access, "").status(), 403);
    // Without any, it is as it was: all that its person has.
    let given = exchange(&served, &code_for(&browser, &[("scope", "")]), &[]).json();
    assert!(text(&given, "scope").contains("organizations.manage"), "{given}");
    // A refresh that narrows is for that time.
    let narrow = wire::post_form(
        &format!("{}/token", served.url),
        &[
            ("grant_type", "refresh_token"),
            ("client_id", "lanyard"),
            ("refresh_token", text(&given, "refresh_token")),
            ("scope", "credentials.read"),
        ],
    );
    let narrow = narrow.unwrap().json();
    assert_eq!(text(&narrow, "scope"), "credentials.read");
    let wide = refresh(&served, text(&narrow, "refresh_token")).json();
    assert!(text(&wide, "scope").contains("organizations.manage"), "{wide}");
}

#[test]
fn a_person_is_asked_as_much_as_a_program_wants() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let stranger = super::served::Browser::new(&served.url);
    let error = |browser: &super::served::Browser, changes: &[(&str, &str)]| {
        let sent = browser.get(&asked(changes));
        let to = url::Url::parse(sent.header("location").unwrap_or_default()).unwrap();
        assert!(to.as_str().starts_with("http://127.0.0.1:9/callback?"), "{to}");
        let fields = wire::fields(to.query().unwrap().as_bytes());
        assert_eq!(wire::field(&fields, "state"), Some("a state & more"));
        wire::field(&fields, "error").unwrap().to_owned()
    };
    assert_eq!(error(&stranger, &[("prompt", "none")]), "login_required");
    assert_eq!(error(&browser, &[("prompt", "none")]), "consent_required");
    assert_eq!(error(&browser, &[("prompt", "none login")]), "invalid_request");
    assert_eq!(error(&browser, &[("max_age", "soon")]), "invalid_request");
    // Whoever is signed in shows it once more, and then is asked whether the program is let in.
    served.sql("UPDATE sessions SET proved = proved - 300000");
    assert_eq!(error(&browser, &[("prompt", "none"), ("max_age", "60")]), "login_required");
    for changes in [("prompt", "login"), ("max_age", "60"), ("max_age", "0")] {
        let changes = [changes, ("scope", "openid credentials.read")];
        let mut browser = served.browser();
        served.sql("UPDATE sessions SET proved = proved - 300000");
        assert_eq!(browser.get(&asked(&[changes[1], ("max_age", "600")])).status(), 200, "young enough");
        let sent = browser.get(&asked(&changes));
        let prove = sent.header("location").unwrap_or_default().to_owned();
        assert!(sent.status() == 303 && prove.starts_with("/account/prove?next=%2Fauthorize"), "{prove}");
        let mut fields = browser.form(&prove);
        fields.push(("passphrase".into(), PASSPHRASE.into()));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let proved = browser.post("/account/prove", &fields);
        let back = proved.header("location").unwrap().to_owned();
        assert!(back.starts_with("/authorize?"), "{back}");
        browser.keep(proved.header("set-cookie").unwrap().split(';').next().unwrap());
        let landed = url::Url::parse(&browser.decide(&back, "allow")).unwrap();
        let fields = wire::fields(landed.query().unwrap().as_bytes());
        let given = exchange(&served, wire::field(&fields, "code").unwrap(), &[]).json();
        let claims = super::identity::parts(text(&given, "id_token")).0;
        let age = claims["iat"].as_i64().unwrap() - claims["auth_time"].as_i64().unwrap();
        assert!((0..60).contains(&age), "{claims}");
    }
}
