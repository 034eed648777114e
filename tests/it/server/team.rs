//! Members, invitations and organizations: who comes in, what they may do, and that all of it ends at once.

use serde_json::{Value, json};

use super::served::{Browser, LOGIN, PASSPHRASE, Served, token};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted::{list, store_env};

const BOB: &str = "bob@example.com";

/// The link of an invitation, made at the command line.
pub fn invite(stage: &Stage, role: &str) -> String {
    invite_for(stage, BOB, role)
}

/// The same for somebody else than Bob.
pub fn invite_for(stage: &Stage, whom: &str, role: &str) -> String {
    let made = stage.run(&["members", "invite", whom, "--role", role, "--note", "Bob <b>"]).ends(0);
    made.stdout().trim().to_owned()
}

fn path<'l>(served: &Served, link: &'l str) -> &'l str {
    link.strip_prefix(&served.url).expect("a link of the server")
}

fn secret(link: &str) -> &str {
    link.split("token=").nth(1).expect("a token")
}

/// Somebody new accepts; their browser.
pub fn join(served: &Served, link: &str, login: &str) -> Browser {
    let mut browser = Browser::new(&served.url);
    let fields = [("token", secret(link)), ("login", login), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let joined = browser.post("/invite", &fields);
    assert_eq!((joined.status(), joined.header("location")), (303, Some("/")), "{}", joined.text());
    assert!(joined.header("set-cookie").is_some(), "and is signed in");
    assert_eq!(browser.sign_in(login, PASSPHRASE).status(), 303);
    browser
}

fn members(stage: &Stage) -> Vec<(String, String)> {
    let all = stage.run(&["members", "list", "--json"]).ends(0).json();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(|one| (text(one, "login"), text(one, "role"))).collect()
}

fn pair(login: &str, role: &str) -> (String, String) {
    (login.to_owned(), role.to_owned())
}

#[test]
fn an_invitation_makes_one_member_once() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let link = invite(&alice, "member");
    let page = Browser::new(&served.url).get(path(&served, &link));
    assert_eq!(page.status(), 200);
    assert!(page.text().contains("Acme &lt;&amp;&gt;") && page.text().contains("as <strong>member</strong>"));
    let open = alice.run(&["members", "invitations", "--json"]).ends(0);
    assert!(open.stdout().contains("Bob <b>") && !open.stdout().contains(secret(&link)));
    let tries: [(&str, &str, &str); 4] = [
        ("a b", PASSPHRASE, PASSPHRASE),
        (BOB, "short", "short"),
        (BOB, PASSPHRASE, "another one entirely"),
        (LOGIN, PASSPHRASE, PASSPHRASE),
    ];
    for (login, passphrase, again) in tries {
        let fields = [("token", secret(&link)), ("login", login), ("passphrase", passphrase), ("again", again)];
        let refused = Browser::new(&served.url).post("/invite", &fields);
        assert_eq!(refused.status(), 422, "{login}");
        assert!(!refused.text().contains(PASSPHRASE));
    }
    for headers in [vec![], vec!["Origin: null"], vec!["Origin: https://evil.example"]] {
        let fields = [("token", secret(&link)), ("login", BOB), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
        assert_eq!(Browser::new(&served.url).post_with("/invite", &fields, &headers).status(), 403);
    }
    let bob = join(&served, &link, " Bob@Example.com ");
    assert!(bob.get("/").text().contains(BOB));
    let mut all = members(&alice);
    all.sort();
    assert_eq!(all, [pair(LOGIN, "owner"), pair(BOB, "member")]);
    // It is spent, and was never kept.
    assert_eq!(Browser::new(&served.url).get(path(&served, &link)).status(), 409);
    let fields = [("token", secret(&link)), ("login", "eve"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    assert_eq!(Browser::new(&served.url).post("/invite", &fields).status(), 409);
    assert_eq!(members(&alice).len(), 2);
    let hidden = secret(&link).rsplit('_').nth(1).unwrap();
    Sweep::for_canaries(&[Canary::of(hidden)]).tree(&served.data()).assert_clean();
}

#[test]
fn an_invitation_is_for_one_and_nobody_else_uses_it_up() {
    let served = &Served::new(&[]);
    let alice = served.manager();
    let bearer = token(&alice);
    // Nobody is invited who is not named, or whose name is none.
    for body in [
        json!({ "role": "reader" }),
        json!({ "role": "reader", "for": "" }),
        json!({ "role": "reader", "for": "a b" }),
        json!({ "role": "reader", "for": "\u{430}dmin" }),
    ] {
        assert_eq!(served.api("POST", "/invitations", &bearer, &body.to_string()).status(), 422, "{body}");
    }
    alice.run(&["members", "invite"]).ends(2);
    let carol = join(served, &invite_for(&alice, "carol", "reader"), "Carol");
    alice.run(&["members", "remove", "carol", "--yes"]).ends(0);

    let link = invite_for(&alice, " Bob@Example.COM ", "member");
    let listed = alice.run(&["members", "invitations", "--json"]).ends(0).json();
    assert_eq!(listed[0]["for"], BOB);
    let page = Browser::new(&served.url).get(path(served, &link)).text();
    assert!(page.contains(BOB) && page.contains("readonly"), "{page}");
    let denied = || {
        let entries = served.entries();
        let of = |entry: &&Value| entry["action"] == "invitation.accept" && entry["detail"] == "for somebody else";
        entries.iter().filter(of).filter(|entry| entry["outcome"] == "denied").count()
    };
    // Another login, new or not, is not let in by it, which is told; and it stays good for the one whom it is for.
    let fields = [("token", secret(&link)), ("login", "eve"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let refused = Browser::new(&served.url).post("/invite", &fields);
    assert!(refused.status() == 422 && refused.text().contains("for somebody else"), "{}", refused.text());
    let shown = carol.get(path(served, &link)).text();
    assert!(shown.contains("signed in as carol") && !shown.contains("Join as"), "{shown}");
    let word = carol.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let refused = carol.post("/invite", &[("token", secret(&link)), ("word", &word)]);
    assert_eq!((refused.status(), denied()), (422, 2), "{}", refused.text());
    assert_eq!(served.sql("SELECT COUNT(*) FROM people WHERE login = 'eve'").trim(), "0");
    join(served, &link, BOB);
    let mut all = members(&alice);
    all.sort();
    assert_eq!(all, [pair(LOGIN, "owner"), pair(BOB, "member")]);
}

#[test]
fn of_many_who_accept_at_once_one_joins() {
    accept_at_once(&Served::new(&[]));
}

pub fn accept_at_once(served: &Served) {
    let alice = served.manager();
    let link = invite_for(&alice, "many@example.com", "reader");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..100)
            .map(|number| {
                let (url, link) = (&served.url, &link);
                scope.spawn(move || {
                    let login = if number % 2 == 0 { "many@example.com" } else { "Many@Example.com" };
                    let fields =
                        [("token", secret(link)), ("login", login), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
                    Browser::new(url).post("/invite", &fields).status()
                })
            })
            .collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert_eq!(members(&alice).len(), 2);
}

#[test]
fn an_invitation_is_as_good_as_whoever_made_it() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let withdrawn = invite(&alice, "member");
    let id = withdrawn.split('_').nth(2).unwrap();
    alice.run(&["members", "withdraw", id]).ends(0);
    assert_eq!(Browser::new(&served.url).get(path(&served, &withdrawn)).status(), 409);
    let bob = join(&served, &invite(&alice, "admin"), BOB);
    let bob = served.client_of(&bob, None);
    let by_bob = invite(&bob, "member");
    let refused = bob.run(&["members", "invite", "eve", "--role", "owner"]).ends(5);
    assert!(refused.stderr().contains("owner"), "{refused}");
    bob.run(&["members", "remove", LOGIN, "--yes"]).ends(5);
    assert_eq!(Browser::new(&served.url).get(path(&served, &by_bob)).status(), 200);
    alice.run(&["members", "role", BOB, "reader"]).ends(0);
    assert_eq!(Browser::new(&served.url).get(path(&served, &by_bob)).status(), 409, "bob may invite nobody now");
    alice.run(&["members", "role", BOB, "admin"]).ends(0);
    alice.run(&["members", "remove", BOB, "--yes"]).ends(0);
    let fields = [("token", secret(&by_bob)), ("login", BOB), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    assert_eq!(Browser::new(&served.url).post("/invite", &fields).status(), 409);
    let late = invite(&alice, "member");
    served.sql("UPDATE member_invitations SET expires = 1");
    assert_eq!(Browser::new(&served.url).get(path(&served, &late)).status(), 409, "it has expired");
    assert!(alice.run(&["members", "invitations"]).ends(0).stderr().contains("No invitation"));
    let alone = alice.run(&["members", "remove", LOGIN, "--yes"]).ends(1);
    assert!(alone.stderr().contains("one owner at least"), "{alone}");
    alice.run(&["members", "role", "nobody", "reader"]).ends(2);
}

#[test]
fn what_is_taken_from_a_member_is_gone_at_once() {
    take_from_a_member(&Served::new(&[]));
}

pub fn take_from_a_member(served: &Served) {
    let alice = served.manager();
    store_env(&alice, "kept", "A", "LNYCANARYvalue0123456789");
    let browser = join(served, &invite(&alice, "member"), BOB);
    let bob = served.client_of(&browser, None);
    let bearer = token(&bob);
    let key =
        served.api("POST", "/api-keys", &bearer, r#"{"name":"k","permissions":["secrets.read","credentials.read"]}"#);
    let key = key.json()["key"].as_str().unwrap().to_owned();
    let id = list(&bob)[0]["id"].as_str().unwrap().to_owned();
    let secrets = format!("/credential-configs/{id}/secrets");
    let reads = |token: &str| served.api("GET", &secrets, token, "").status();
    assert_eq!((reads(&bearer), reads(&key)), (200, 200));
    alice.run(&["members", "role", BOB, "reader"]).ends(0);
    assert_eq!((reads(&bearer), reads(&key)), (403, 403));
    alice.run(&["members", "remove", BOB, "--yes"]).ends(0);
    assert_eq!((reads(&bearer), reads(&key)), (401, 401));
    assert!(!browser.get("/").text().contains("Acme"), "the session sees it no more");
    bob.run(&["auth", "refresh"]).ends(4);
    // Whoever is invited again begins anew.
    let again = invite(&alice, "owner");
    let page = browser.get(path(served, &again));
    assert!(page.text().contains("Join as bob@example.com"), "{}", page.text());
    let word = browser.form(path(served, &again)).into_iter().find(|(name, _)| name == "word").unwrap().1;
    assert_eq!(browser.post("/invite", &[("token", secret(&again)), ("word", "other")]).status(), 422);
    let joined = browser.post("/invite", &[("token", secret(&again)), ("word", &word)]);
    assert_eq!(joined.status(), 303, "{}", joined.text());
    assert_ne!(joined.header("set-cookie").unwrap().split(';').next(), browser.cookie(), "with another session");
    assert_eq!(browser.get("/").status(), 303, "the former has ended");
    assert_eq!((reads(&bearer), reads(&key)), (401, 401));
}

#[test]
fn a_person_of_several_organizations_chooses_at_consent() {
    let served = Served::new(&[]);
    let alice = served.manager();
    store_env(&alice, "db", "A", "LNYCANARYvalue0123456789");
    let made = served.api("POST", "/organizations", &token(&alice), r#"{"name":"Second"}"#);
    assert_eq!(made.status(), 201, "{}", made.text());
    let second = made.json()["id"].as_str().unwrap().to_owned();
    let browser = served.browser();
    assert!(browser.get("/").text().contains("Second"));
    let other = served.client_of(&browser, Some(&second));
    assert!(list(&other).is_empty(), "another organization's vault");
    store_env(&other, "db", "A", "LNYCANARYother0123456789");
    let who = served.api("GET", "/userinfo", &token(&other), "").json();
    assert_eq!((&who["organization"]["name"], &who["organization"]["role"]), (&json!("Second"), &json!("owner")));
    let who = served.api("GET", "/userinfo", &token(&alice), "").json();
    assert_ne!(who["organization"]["id"], second.as_str());
    assert_eq!(members(&other), [pair(LOGIN, "owner")]);
    // Bob joins both with one login, and is what each says.
    let bob = join(&served, &invite(&alice, "reader"), BOB);
    let link = invite(&other, "admin");
    let word = bob.form(path(&served, &link)).into_iter().find(|(name, _)| name == "word").unwrap().1;
    assert_eq!(bob.post("/invite", &[("token", secret(&link)), ("word", &word)]).status(), 303);
    let mut bob = Browser::new(&served.url);
    bob.sign_in(BOB, PASSPHRASE);
    let bob = served.client_of(&bob, Some(&second));
    let refused = served.api("POST", "/organizations", &token(&bob), r#"{"name":"Third"}"#);
    assert_eq!(refused.status(), 403, "an admin makes no organization");
    other.run(&["members", "remove", BOB, "--yes"]).ends(0);
    assert_eq!(served.api("GET", "/userinfo", &token(&bob), "").status(), 401);
    assert_eq!(members(&alice).len(), 2, "what happens in one does nothing to the other");
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
}
