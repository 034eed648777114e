//! Programs as they are registered: for whom, for which ways in, by whom; and that they come back with a backup.

use serde_json::json;

use super::backup::at;
use super::clients::{
    AT, HERE, NAME, decided, device, entries, entry, is_refused, let_in, poll, post, refresh, refused, register,
    registered, typed,
};
use super::grants::{asked, code_for, exchange, text};
use super::organizations::organization;
use super::portal::Portal;
use super::postgres::Postgres;
use super::served::{Served, token};
use super::team::{invite, join};
use crate::stage::Stage;
use crate::wire;

const BOB: &str = "bob@example.com";

#[test]
fn a_program_is_for_the_members_of_its_own_organization() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let bearer = token(&alice);
    let bob = join(&served, &invite(&alice, "admin"), BOB);
    let here = organization(&served, &bearer);
    let made = served.api("POST", "/organizations", &bearer, "{\"name\":\"Zenith\"}").json();
    let zenith = text(&made, "id");
    let browser = served.browser();
    let there = token(&served.client_of(&browser, Some(zenith)));
    let id = registered(&served, &there, "Rocket", &[HERE]);
    let path = asked(&[("client_id", &id), ("redirect_uri", AT)]);
    // Whoever is in both lets it into its own.
    let page = browser.get(&path);
    assert!(page.text().contains(&format!("name=\"organization\" value=\"{zenith}\"")), "{}", page.text());
    assert!(!page.text().contains(&here) && !page.text().contains("<select"), "{}", page.text());
    let sent = decided(&browser, &page, &[("decision", "allow"), ("organization", &here)]);
    assert_eq!((sent.status(), sent.header("location")), (403, None), "{}", sent.text());
    let given = let_in(&served, &browser, &id);
    let me = served.api("GET", "/userinfo", text(&given, "access_token"), "").json();
    assert_eq!(text(&me["organization"], "id"), zenith);
    // Whoever is not in it is told nothing of it, and lets it in nowhere.
    let page = bob.get(&path);
    assert!(page.status() == 403 && page.text().contains("an organization that you are not in"), "{}", page.text());
    assert!(!page.text().contains("Rocket") && !page.text().contains("Zenith"), "{}", page.text());
    let form = bob.get(&asked(&[]));
    let sent = decided(&bob, &form, &[("decision", "allow"), ("client_id", &id), ("redirect_uri", AT)]);
    assert_eq!((sent.status(), sent.header("location")), (403, None), "{}", sent.text());
    let (secret, user_code) = device(&served, &id);
    for more in [&[][..], &[("decision", "allow"), ("organization", here.as_str())], &[("decision", "deny")]] {
        let word = bob.form("/device").into_iter().find(|(name, _)| name == "word").unwrap().1;
        let mut fields = vec![("word", word.as_str()), ("user_code", user_code.as_str())];
        fields.extend(more);
        let page = bob.post("/device", &fields);
        assert!(page.status() == 403 && !page.text().contains("Rocket"), "{}: {}", page.status(), page.text());
    }
    assert_eq!(refused(&poll(&served, &id, &secret)), is_refused(400, "authorization_pending"));
    // In the other organization it is not there, for whoever runs that either.
    let elsewhere = token(&served.client_of(&bob, None));
    for (method, body) in [("GET", ""), ("PATCH", "{\"name\":\"x\"}"), ("DELETE", "")] {
        let answer = served.api(method, &format!("/oauth-clients/{id}"), &elsewhere, body);
        assert_eq!(answer.status(), 404, "{method}: {}", answer.text());
    }
    let listed = served.api("GET", "/oauth-clients", &elsewhere, "");
    assert_eq!(listed.json()["items"], json!([]));
    // It ends with its organization.
    let gone = served.api("DELETE", &format!("/organizations/{zenith}?name=Zenith"), &there, "");
    assert_eq!(gone.status(), 204, "{}", gone.text());
    assert_eq!(served.sql("SELECT COUNT(*) FROM oauth_clients").trim(), "0");
    assert_eq!(browser.get(&path).status(), 400);
    assert_eq!(refused(&refresh(&served, &id, text(&given, "refresh_token"))), is_refused(401, "invalid_client"));
}

#[test]
fn a_program_is_let_in_the_ways_that_it_was_registered_for() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let browser = served.browser();
    let made = register(&served, &bearer, &json!({ "name": "Web", "redirect_uris": [HERE], "device": false }));
    let made = made.json();
    let web = text(&made, "id");
    let refusal = is_refused(400, "unauthorized_client");
    assert_eq!(refused(&post(&served, "/device-authorization", &[("client_id", web)])), refusal);
    // Where that is said while a device waits, and after it was let in.
    let agent = registered(&served, &bearer, "Agent", &[HERE]);
    let (waiting, user_code) = device(&served, &agent);
    let (approved, other_code) = device(&served, &agent);
    let page = typed(&browser, &other_code);
    assert_eq!(decided(&browser, &page, &[("decision", "allow")]).status(), 200);
    let path = format!("/oauth-clients/{agent}");
    let changed = served.api("PATCH", &path, &bearer, "{\"device\":false}");
    assert_eq!((changed.status(), &changed.json()["device"]), (200, &json!(false)));
    for secret in [&waiting, &approved] {
        assert_eq!(refused(&poll(&served, &agent, secret)), refusal);
    }
    assert!(entries(&served, "program.sign-in").contains(&entry("denied", "", "not by a code")));
    let page = typed(&browser, &user_code);
    assert!(page.status() == 403 && page.text().contains("not let in by a code"), "{}", page.text());
    assert!(entries(&served, "program.admit").contains(&entry("denied", &agent, "Agent")));
    // A job does not sign in by it.
    let exchange = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", web),
        ("subject_token", "x"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("audience", "org_x"),
    ];
    assert_eq!(refused(&post(&served, "/token", &exchange)), refusal);
}

#[test]
fn what_cannot_be_a_program_is_not_registered() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let bearer = token(&alice);
    for (body, detail) in [
        (json!({ "name": "Lanyard on a command line" }), "called Lanyard"),
        (json!({ "name": "The L\u{e1}ny\u{430}rd CLI" }), "called Lanyard"),
        (json!({ "name": " " }), "64 characters"),
        (json!({ "name": "a\u{202e}b" }), "64 characters"),
        (json!({ "name": "x", "device": false }), "by a code"),
        (json!({ "name": "x", "redirect_uris": ["https://*.example.com/"] }), "https://HOST/"),
        (json!({ "name": "x", "redirect_uris": ["javascript:alert(1)"] }), "https://HOST/"),
        (json!({ "name": "x", "redirect_uris": ["data:text/html,x"] }), "https://HOST/"),
        (json!({ "name": "x", "redirect_uris": ["http://localhost/callback"] }), "http://127.0.0.1/"),
        (json!({ "name": "x", "redirect_uris": ["http://127.0.0.1:9/callback"] }), "leave it out"),
        (json!({ "name": "x", "redirect_uris": ["myapp:/callback"] }), "com.example.app:/"),
    ] {
        let refused = register(&served, &bearer, &body);
        assert_eq!(refused.status(), 422, "{body}: {}", refused.text());
        let why = refused.json();
        assert!(text(&why, "detail").contains(detail), "{body}: {why}");
    }
    for body in [json!({}), json!({ "name": "x", "client_secret": "y" }), json!({ "name": "x", "redirect_uris": "y" })]
    {
        assert_eq!(register(&served, &bearer, &body).status(), 422, "{body}");
    }
    registered(&served, &bearer, "Deploy", &[HERE]);
    let again = register(&served, &bearer, &json!({ "name": "DEPLOY " }));
    assert_eq!((again.status(), text(&again.json(), "code")), (409, "name-taken"), "{}", again.text());
    let bob = join(&served, &invite(&alice, "member"), BOB);
    let member = token(&served.client_of(&bob, None));
    assert_eq!(register(&served, &member, &json!({ "name": "Bobs" })).status(), 403);
    assert_eq!(served.api("GET", "/oauth-clients", &member, "").status(), 403);
    // There is an end to them.
    for number in 1..100 {
        assert_eq!(register(&served, &bearer, &json!({ "name": format!("p{number}") })).status(), 201);
    }
    let full = register(&served, &bearer, &json!({ "name": "one more" }));
    assert!(full.status() == 422 && full.text().contains("100 programs at most"), "{}", full.text());
}

#[test]
fn the_command_line_registers_programs_and_signs_in_as_one() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let none = alice.run(&["clients", "list"]).ends(0);
    assert!(none.stderr().contains("No programs yet"), "{none}");
    let added = alice.run(&["clients", "add", "Deploy CLI", "--redirect", HERE]).ends(0);
    let listed = alice.run(&["--json", "clients", "list"]).ends(0).json();
    let id = text(&listed[0], "id").to_owned();
    let way = format!("lanyard auth login --service {} --client-id {id}", served.url);
    assert!(added.stderr().contains(&id) && added.stderr().contains(&way), "{added}");
    assert_eq!(
        (&listed[0]["redirect_uris"], &listed[0]["device"], text(&listed[0], "created_by")),
        (&json!([HERE]), &json!(true), super::served::LOGIN)
    );
    let made = alice.run(&["--json", "clients", "add", "Web", "--redirect", "https://a.example/cb", "--no-device"]);
    assert_eq!(made.ends(0).json()["device"], false);
    alice.run(&["clients", "add", "Agent", "--no-device"]).ends(2);
    let table = alice.run(&["clients", "list"]).ends(0).stdout();
    assert!(table.contains("Deploy CLI") && table.contains("https://a.example/cb") && table.contains(&id), "{table}");
    for (words, code, why) in [
        (&["clients", "add", "Lanyard", "--redirect", HERE][..], 1, "called Lanyard"),
        (&["clients", "add", "Other", "--redirect", "http://a.example/cb"], 1, "http://127.0.0.1/"),
        (&["clients", "add", "deploy cli"], 1, "taken"),
        (&["clients", "delete", "Deploi CLI", "--yes"], 2, "Deploy CLI"),
        (&["clients", "delete", "Deploy CLI"], 2, "--yes"),
    ] {
        let refused = alice.run(words).ends(code);
        assert!(refused.stderr().contains(why), "{words:?}: {refused}");
    }

    // As itself: another service than the one that the command line is signed in to already.
    let stage = served.client();
    let mut login = stage.start(&["auth", "login", "--service", &served.url, "--client-id", &id, "--no-browser"]);
    let asked = login.url();
    assert!(asked.contains(&format!("client_id={id}")), "{asked}");
    let callback = served.browser().allow(&asked);
    assert_eq!(wire::browse(&callback).answer.expect("a page").status(), 200);
    login.finish().ends(0);
    let config = stage.config();
    assert_eq!(config.matches("[services.").count(), 2, "{config}");
    assert!(
        config.contains(&format!("client_id = \"{id}\"")) && config.contains("client_id = \"lanyard\""),
        "{config}"
    );
    let status = stage.run(&["auth", "status", "--all", "--json"]).ends(0).json();
    let profiles: Vec<String> = status.as_array().unwrap().iter().map(|one| text(one, "profile").to_owned()).collect();
    assert_eq!(profiles.len(), 2, "{status}");
    let host = served.url.trim_start_matches("http://").replace(':', "-");
    let own = profiles.iter().find(|name| **name != host).expect("a profile of its own").clone();
    let bearer = stage.run(&["--profile", &own, "auth", "token"]).ends(0).stdout().trim().to_owned();
    let is = post(&served, "/introspect", &[("client_id", &id), ("token", &bearer)]).json();
    assert_eq!(is["client_id"], *id);
    stage.run(&["--profile", &own, "auth", "refresh"]).ends(0);
    stage.run(&["--profile", &own, "credentials", "list"]).ends(0);
    // By a code, on a machine of its own.
    let other = Stage::new();
    other.write_config("[defaults]\nstorage = \"plain\"\n");
    let words = ["auth", "login", "--service", &served.url, "--client-id", &id, "--device", "--no-browser"];
    let mut login = other.start(&words);
    let pattern = regex::Regex::new("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}").unwrap();
    let code = login.wait_for("code", |line| pattern.find(line).map(|found| found.as_str().to_owned()));
    let browser = served.browser();
    let page = typed(&browser, &code);
    assert_eq!(decided(&browser, &page, &[("decision", "allow")]).status(), 200);
    login.finish().ends(0);
    other.run(&["credentials", "list"]).ends(0);

    let deleted = alice.run(&["clients", "delete", "Deploy CLI", "--yes"]).ends(0);
    assert!(deleted.stderr().contains("Deleted Deploy CLI"), "{deleted}");
    stage.run(&["--profile", &own, "auth", "refresh"]).ends(4);
    other.run(&["credentials", "list"]).ends(4);
    stage.run(&["--profile", &host, "credentials", "list"]).ends(0);
    other.run(&["auth", "logout"]).ends(0);
    let bob = join(&served, &invite(&alice, "member"), BOB);
    served.client_of(&bob, None).run(&["clients", "list"]).ends(5);
    let id = text(&alice.run(&["--json", "clients", "list"]).ends(0).json()[0], "id").to_owned();
    alice.run(&["clients", "delete", &id, "--yes"]).ends(0);
    assert!(alice.run(&["clients", "list"]).ends(0).stderr().contains("No programs yet"));
}

/// With a program the keys end that were made with it, also where its sign-in has ended before.
fn keys_end_with_it(served: &Served) {
    let bearer = token(&served.manager());
    let browser = served.browser();
    let [one, other] = ["One", "Other"].map(|name| registered(served, &bearer, name, &[HERE]));
    let key = |client: &str| {
        let scope = ("scope", "credentials.read keys.manage");
        let code = code_for(&browser, &[("client_id", client), ("redirect_uri", AT), scope]);
        let given = exchange(served, &code, &[("client_id", client), ("redirect_uri", AT)]).json();
        let wanted = r#"{"name":"made","permissions":["credentials.read"]}"#;
        let made = served.api("POST", "/api-keys", text(&given, "access_token"), wanted);
        assert_eq!(made.status(), 201, "{}", made.text());
        let made = made.json();
        (text(&made, "id").to_owned(), text(&made, "key").to_owned(), text(&given, "refresh_token").to_owned())
    };
    let (first, second, kept) = (key(&one), key(&one), key(&other));
    let status = |key: &str| served.api("GET", "/credential-configs", key, "").status();
    assert_eq!(post(served, "/revoke", &[("client_id", &one), ("token", &first.2)]).status(), 200);
    assert_eq!([&first, &second, &kept].map(|key| status(&key.1)), [200; 3]);
    let path = format!("/oauth-clients/{one}");
    assert_eq!(served.api_with("DELETE", &path, &bearer, "", &["If-Match: \"2\""]).status(), 412);
    assert_eq!([&first, &second, &kept].map(|key| status(&key.1)), [200; 3]);
    assert_eq!(served.api("DELETE", &path, &bearer, "").status(), 204);
    assert_eq!([&first, &second, &kept].map(|key| status(&key.1)), [401, 401, 200]);
    let told = entries(served, "key.revoke");
    assert_eq!(told.len(), 2, "{told:?}");
    for (id, ..) in [&first, &second] {
        let made_in = served.sql(&format!("SELECT made_in FROM tokens WHERE id = '{id}'"));
        assert!(told.contains(&entry("done", id, &format!("made in {}", made_in.trim()))), "{told:?}");
    }
    // Whoever comes with what was given before is told of.
    assert_eq!(refused(&refresh(served, &one, &second.2)), is_refused(400, "invalid_grant"));
    let family = served.sql(&format!("SELECT made_in FROM tokens WHERE id = '{}'", second.0));
    assert!(entries(served, "token.renew").contains(&entry("denied", family.trim(), "it has ended")));
}

#[test]
fn with_a_program_the_keys_end_that_were_made_with_it() {
    keys_end_with_it(&Served::new(&[]));
}

#[test]
fn with_a_program_the_keys_end_on_postgresql_as_well() {
    keys_end_with_it(&Served::on_postgresql());
}

fn comes_back(served: &Served, flags: &[&str]) {
    let bearer = token(&served.manager());
    let id = registered(served, &bearer, NAME, &[HERE, "com.example.deploy:/callback"]);
    let browser = served.browser();
    let given = let_in(served, &browser, &id);
    let shown = served.api("GET", &format!("/oauth-clients/{id}"), &bearer, "").json();
    served.stage.run(&at(&["backup", "copy"], flags)).ends(0);
    assert_eq!(served.api("DELETE", &format!("/oauth-clients/{id}"), &bearer, "").status(), 204);
    served.stage.run(&at(&["restore", "copy", "--replace"], flags)).ends(0);
    // Everybody signs in again, to it as well.
    assert_eq!(refused(&refresh(served, &id, text(&given, "refresh_token"))), is_refused(400, "invalid_grant"));
    let bearer = token(&served.manager());
    assert_eq!(served.api("GET", &format!("/oauth-clients/{id}"), &bearer, "").json(), shown);
    let_in(served, &served.browser(), &id);
}

#[test]
fn a_backup_has_the_programs() {
    comes_back(&Served::new(&[]), &[]);
}

#[test]
fn a_backup_has_the_programs_on_postgresql_as_well() {
    let postgres = Postgres::start();
    let url = postgres.url();
    comes_back(&Served::new(&["--database", &url]), &["--database", &url]);
}

#[test]
fn programs_come_and_go_by_the_pages() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    assert!(alice.get("/programs").text().contains("No program is registered."));
    let hostile = "\"><script>alert(1)</script>";
    let good = [("name", hostile), ("redirect_uris", "https://a.example/cb\r\n\r\nhttp://127.0.0.1/callback")];
    for (field, bad) in [
        ("name", "The Lanyard"),
        ("name", ""),
        ("redirect_uris", "https://a.example/cb\r\nhttp://a.example/cb"),
        ("redirect_uris", hostile),
        ("redirect_uris", ""),
    ] {
        let mut typed: Vec<(&str, &str)> = good.iter().filter(|(name, _)| *name != field).copied().collect();
        typed.push((field, bad));
        let refused = alice.send("/programs/new", "/programs/new", &typed);
        assert_eq!(refused.status(), 422, "{field}: {}", refused.text());
        let page = refused.text();
        assert!(page.contains(&format!("<a href=\"#{field}\">")) && !page.contains("<script"), "{field}: {page}");
        assert!(page.contains(&format!("id=\"{field}\" aria-invalid=\"true\"")), "{field}: {page}");
    }
    let made = alice.send("/programs/new", "/programs/new", &good);
    assert_eq!(made.status(), 303, "{}", made.text());
    let listed = alice.get("/programs").text();
    let id = served.sql("SELECT id FROM oauth_clients").trim().to_owned();
    for shown in ["alert(1)", "https://a.example/cb", "http://127.0.0.1/callback", super::served::LOGIN, &id] {
        assert!(listed.contains(shown), "{shown}: {listed}");
    }
    assert!(!listed.contains("<script") && !listed.contains("by a code</td>"), "{listed}");
    // The box was not ticked; it is told as it is, and ticked now.
    let edit = format!("/programs/{id}/edit");
    let form = alice.get(&edit).text();
    assert!(form.contains("https://a.example/cb\nhttp://127.0.0.1/callback</textarea>"), "{form}");
    assert!(!form.contains(" checked"), "{form}");
    let changed = [("name", "Deploy"), ("redirect_uris", ""), ("device", "yes")];
    assert_eq!(alice.send(&edit, &edit, &changed).status(), 303);
    let listed = alice.get("/programs?done=changed").text();
    assert!(listed.contains("The program is changed.") && listed.contains("by a code"), "{listed}");
    assert!(!listed.contains("a.example"), "{listed}");
    let late = [("name", "Late"), ("device", "yes"), ("revision", "1")];
    assert_eq!(alice.send(&edit, &edit, &late).status(), 412);
    let delete = format!("/programs/{id}/delete");
    assert!(alice.get(&delete).text().contains("<strong>Deploy</strong>"), "it names what goes");
    assert_eq!(alice.send(&delete, &delete, &[("revision", "1")]).status(), 412);
    assert_eq!(alice.send(&delete, &delete, &[]).status(), 303);
    assert!(alice.get("/programs").text().contains("No program is registered."));
    let bob = Portal::with(join(&served, &invite(&served.manager(), "member"), BOB));
    assert_eq!(bob.get("/programs").status(), 403);
    assert_eq!(bob.send("/keys", "/programs/new", &good).status(), 403);
    assert!(!bob.get("/keys").text().contains("/programs\""), "no way to it is shown");
    let words: Vec<String> = ["client.create", "client.change", "client.delete"]
        .iter()
        .map(|action| entries(&served, action).iter().filter(|(outcome, ..)| outcome == "done").count().to_string())
        .collect();
    assert_eq!(words, ["1", "1", "1"]);
}
