//! What people do to their accounts, and what of it is told and where.

use serde_json::{Value, json};

use super::identity::{set_up, step};
use super::issuer::{Scene, session};
use super::served::{Browser, PASSPHRASE, Served, hidden, token};
use super::team::{invite, join};
use super::upstream::bob;
use crate::stage::Stage;
use crate::wire;

const BOB: &str = "bob@example.com";

fn word(browser: &Browser, path: &str) -> String {
    browser.form(path).into_iter().find(|(name, _)| name == "word").expect("a word").1
}

fn secret(link: &str) -> &str {
    link.trim().split("token=").nth(1).expect("a token")
}

fn person(served: &Served, login: &str) -> String {
    served.sql(&format!("SELECT id FROM people WHERE login = '{login}'")).trim().to_owned()
}

/// The entries of an action and an outcome.
fn told(served: &Served, action: &str, outcome: &str) -> Vec<Value> {
    let is = |entry: &Value| entry["action"] == action && entry["outcome"] == outcome;
    served.entries().into_iter().filter(is).collect()
}

/// Another organization of the owner's; the machine that runs it.
fn other(served: &Served, admin: &str) -> Stage {
    let made = served.api("POST", "/organizations", admin, "{\"name\":\"Other\"}");
    assert_eq!(made.status(), 201, "{}", made.text());
    served.client_of(&served.browser(), made.json()["id"].as_str())
}

/// Accepting an invitation begins another session, which is no fresher than the one before and lives no longer.
#[test]
fn an_invitation_that_is_accepted_proves_nothing() {
    let served = Served::new(&[]);
    let acme = served.manager();
    let other = other(&served, &token(&acme));
    let mut browser = join(&served, &invite(&acme, "member"), BOB);
    let session_of = |browser: &Browser| browser.cookie().unwrap().split('_').nth(2).unwrap().to_owned();
    let first = session_of(&browser);
    let whose =
        |id: &str| served.sql(&format!("SELECT expires, proved FROM sessions WHERE id = '{id}'")).trim().to_owned();
    served.sql(&format!(
        "UPDATE sessions SET proved = proved - 660000, expires = expires - 86400000 WHERE id = '{first}'"
    ));
    let before = whose(&first);
    let link = invite(&other, "member");
    let path = link.trim().strip_prefix(&served.url).unwrap();
    let accepted = browser.post("/invite", &[("token", secret(&link)), ("word", &word(&browser, path))]);
    assert_eq!((accepted.status(), accepted.header("location")), (303, Some("/")), "{}", accepted.text());
    let gone = browser.get("/account").status();
    browser.keep(&session(&accepted).unwrap());
    assert_eq!((gone, browser.get("/account").status()), (303, 200), "it is another session");
    assert_eq!((whose(&first), whose(&session_of(&browser))), (String::new(), before));
    let asked = browser.post("/second-factor", &[("word", &word(&browser, "/second-factor")), ("step", "begin")]);
    assert_eq!(asked.header("location"), Some("/account/prove?next=%2Fsecond-factor"), "{}", asked.text());
}

/// Whatever an invitation is refused for is told, to the organization that it is of.
#[test]
fn an_invitation_that_is_refused_is_told() {
    let served = Served::new(&[]);
    let acme = served.manager();
    let (first, second) = (invite(&acme, "member"), invite(&acme, "reader"));
    let browser = join(&served, &first, BOB);
    let details = || {
        let all = told(&served, "invitation.accept", "denied");
        all.iter().map(|entry| (entry["detail"].clone(), entry["actor"].clone())).collect::<Vec<_>>()
    };
    let given = word(&browser, "/account");
    let wrong = browser.post("/invite", &[("token", secret(&second)), ("word", "x")]);
    assert!(wrong.status() == 422 && wrong.text().contains("has changed meanwhile"), "{}", wrong.text());
    let again = browser.post("/invite", &[("token", secret(&second)), ("word", &given)]);
    assert!(again.status() == 422 && again.text().contains("in this organization already"), "{}", again.text());
    let bob = person(&served, BOB);
    assert_eq!(details(), [(json!("form"), json!(bob)), (json!("a member already"), json!(bob))]);
    assert_eq!(served.sql("SELECT COUNT(*) FROM member_invitations WHERE spent IS NULL").trim(), "1");
}

/// Whoever is in no organization any more leaves a trace all the same: in the server's own chain.
#[test]
fn who_is_in_no_organization_is_told_of_as_well() {
    let served = Served::new(&[]);
    let acme = served.manager();
    let mut browser = join(&served, &invite(&acme, "member"), BOB);
    let bob = person(&served, BOB);
    acme.run(&["members", "remove", BOB, "--yes"]).ends(0);
    assert_eq!(browser.sign_in(BOB, PASSPHRASE).status(), 303);
    let (_, codes) = set_up(&browser);
    let mut another = Browser::new(&served.url);
    let half = || {
        let asked = Browser::new(&served.url).sign_in(BOB, PASSPHRASE);
        hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1
    };
    let wrong = another.post("/sign-in/code", &[("half", &half()), ("code", "AAAA-BBBB")]);
    assert_eq!(wrong.status(), 403);
    another.enter(&half(), &codes[0]);
    let found = json!([{ "token": another.cookie().unwrap().split('=').nth(1).unwrap() }]).to_string();
    let address = format!("{}/leaked-tokens", served.url);
    let reported = wire::send("POST", &address, &["Content-Type: application/json"], &found).unwrap();
    assert_eq!((reported.status(), another.get("/account").status()), (202, 303));
    assert_eq!(step(&browser, "remove", &codes[1]).status(), 200);
    assert_eq!(browser.post("/sign-out", &[("word", &word(&browser, "/account"))]).status(), 303);
    let of_the_server = |entry: &Value| entry["organization"] == "server";
    let own: Vec<(String, String)> = served
        .entries()
        .iter()
        .filter(|entry| of_the_server(entry) && (entry["actor"] == json!(bob) || entry["action"] == "token.leaked"))
        .map(|entry| (entry["action"].as_str().unwrap().to_owned(), entry["outcome"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ("sign-in", "done"),
        ("second-factor.begin", "done"),
        ("second-factor.add", "denied"),
        ("second-factor.add", "done"),
        ("second-factor", "denied"),
        ("sign-in", "done"),
        ("token.leaked", "done"),
        ("second-factor.remove", "done"),
        ("sign-out", "done"),
    ];
    assert_eq!(own, expected.map(|(action, outcome)| (action.to_owned(), outcome.to_owned())));
}

/// A session that an issuer made counts in its organization alone, and ends with the membership there.
#[test]
fn who_is_removed_is_out_of_the_sessions_that_count_there_alone() {
    let scene = Scene::new(&json!({ "domains": ["corp.example"] }));
    let mut browser = scene.browser();
    browser.keep(&session(&scene.come(&bob(), &[])).unwrap());
    assert_eq!(browser.get("/account").status(), 200);
    scene.owner.run(&["members", "remove", &scene.login("bob@corp.example"), "--yes"]).ends(0);
    assert_eq!(browser.get("/account").status(), 303);
    assert_eq!(scene.served.sql("SELECT COUNT(*) FROM sessions WHERE only_in IS NOT NULL").trim(), "0");
    // One that counts elsewhere as well goes on there.
    let other = join(&scene.served, &invite(&scene.owner, "member"), BOB);
    scene.owner.run(&["members", "remove", BOB, "--yes"]).ends(0);
    assert_eq!(other.get("/account").status(), 200);
}

/// What an issuer calls somebody is a name in no other organization: whom it is taken from, for one, has it still.
#[test]
fn the_word_of_an_issuer_is_nobodys_name_elsewhere() {
    let scene = Scene::new(&json!({ "domains": ["example.com"] }));
    let victim = "victim@example.com";
    let claims = json!({ "sub": "eve", "email": victim, "email_verified": true });
    let mut eve = scene.browser();
    eve.keep(&session(&scene.come(&claims, &[])).unwrap());
    // She makes it a login of hers, that counts everywhere.
    let fields = [("word", &word(&eve, "/account")[..]), ("new", PASSPHRASE), ("again", PASSPHRASE)];
    assert_eq!(eve.post("/account/passphrase", &fields).status(), 303);
    assert_eq!(scene.browser().sign_in(victim, PASSPHRASE).status(), 403);
    let login = scene.login(victim);
    assert_eq!(eve.sign_in(&login, PASSPHRASE).status(), 303);
    let link =
        other(&scene.served, &scene.admin).run(&["members", "invite", victim, "--role", "member"]).ends(0).stdout();
    let refused = eve.post("/invite", &[("token", secret(&link)), ("word", &word(&eve, "/account"))]);
    assert!(refused.status() == 422 && refused.text().contains("for somebody else"), "{}", refused.text());
    // Whose address it is joins by it.
    let joined = join(&scene.served, link.trim(), victim);
    assert!(joined.get("/").text().contains("Other"));
}

/// What is refused on the page of the second factor is told as everywhere.
#[test]
fn what_is_refused_on_the_page_of_the_second_factor_is_told() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let wrong = browser.post("/second-factor", &[("word", "x"), ("step", "begin")]);
    assert_eq!((wrong.status(), told(&served, "form", "denied").len()), (403, 1), "{}", wrong.text());
    let none = browser.post("/second-factor", &[("word", &word(&browser, "/account")), ("step", "other")]);
    assert_eq!((none.status(), told(&served, "second-factor.begin", "done").len()), (400, 0));
    let refused = told(&served, "request", "denied");
    assert_eq!(refused[0]["detail"], "POST /second-factor: bad-request", "{refused:?}");
    set_up(&browser);
    assert_eq!(told(&served, "second-factor.begin", "done").len(), 1);
}

/// The link that makes the first owner is in the audit, and so is that it ended; whoever tries links fills no disk.
#[test]
fn the_link_of_the_set_up_is_told_and_guesses_at_it_are_counted() {
    let mut served = Served::fresh(&[]);
    let first = secret(&served.link()).split('_').nth(2).unwrap().to_owned();
    served.end("TERM");
    served.again();
    let second = secret(&served.link()).split('_').nth(2).unwrap().to_owned();
    let objects = |action: &str| {
        let all = told(&served, action, "done");
        all.iter().map(|entry| entry["object"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((objects("setup-link.create"), objects("setup-link.end")), (vec![first.clone(), second], vec![first]));
    let never = "lny_inv_0000000000000000_0000000000000000000000000000000000000000000_000000";
    let fields = [
        ("token", never),
        ("organization", "Acme"),
        ("login", "eve"),
        ("passphrase", PASSPHRASE),
        ("again", PASSPHRASE),
    ];
    let statuses: Vec<u16> = (0..12).map(|_| Browser::new(&served.url).post("/setup", &fields).status()).collect();
    let looked_at = statuses.iter().filter(|status| **status == 409).count();
    assert!(statuses[..5].iter().all(|status| *status == 409) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(told(&served, "organization.create", "denied").len(), looked_at);
    let slow = Browser::new(&served.url).post("/setup", &fields);
    assert!(slow.status() != 429 || slow.text().contains("oo many attempts"), "{}", slow.text());
    assert_eq!(served.set_up(PASSPHRASE).status(), 303, "who has the link is not kept waiting");
}
