//! Several servers on one PostgreSQL: none of them knows anything that another one would need.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use super::load::{audit_is_whole, beside, is_whole, key, store, writing};
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, api, token};
use super::team::{invite, join};
use crate::stage::Stage;
use crate::vaulted::{list, store_env};

const BOB: &str = "bob@example.com";

/// A server on a database that is empty, and another one beside it.
fn two(postgres: &Postgres) -> (Served, Served) {
    let first = Served::new(&["--database", &postgres.url()]);
    let second = beside(&first, &postgres.url());
    (first, second)
}

#[test]
fn of_many_who_start_at_once_all_serve() {
    let postgres = Postgres::start();
    // The key is there before the database: each of them finds it in a place of its own.
    let made = Served::fresh(&[]);
    let key = std::fs::read(made.data().join("master.key")).unwrap();
    let all: Vec<Served> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                let (key, url) = (&key, postgres.url());
                scope.spawn(move || {
                    use std::os::unix::fs::PermissionsExt;
                    let stage = Stage::new();
                    let data = stage.home().join("server");
                    std::fs::create_dir(&data).unwrap();
                    std::fs::write(data.join("master.key"), key).unwrap();
                    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
                    std::fs::set_permissions(data.join("master.key"), PermissionsExt::from_mode(0o600)).unwrap();
                    Served::on(stage, &["--database", &url])
                })
            })
            .collect();
        starts.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let good: Vec<u16> = all.iter().map(|served| served.set_up(PASSPHRASE).status()).collect();
    assert_eq!(good.iter().filter(|status| **status == 303).count(), 1, "one link is good: {good:?}");
    let bearer = token(&all[0].client());
    for (number, served) in all.iter().enumerate() {
        let name = format!("n{number}");
        assert_eq!(store(&served.url, &bearer, &name).unwrap().status(), 201);
        is_whole(&served.url, &bearer, &[name]);
    }
    audit_is_whole(&all[3]);
}

#[test]
fn two_replace_keys_while_both_are_written_to() {
    let postgres = Postgres::start();
    let (first, second) = two(&postgres);
    let bearer = key(&first);
    let rotate = |stage: &Stage, more: &[&str]| {
        let url = postgres.url();
        let words = ["server", "rotate-key", "--keep-master", "--data", "server", "--master-key-file"];
        let words = [&words[..], &["server/master.key", "--database", &url], more].concat();
        stage.run(&words).ends(0);
    };
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let written = writing(&[&first.url, &second.url], &bearer, &format!("r{round}"), || {
            std::thread::scope(|scope| {
                for stage in [&first.stage, &second.stage] {
                    scope.spawn(|| rotate(stage, if round == 1 { &["--secrets"] } else { &[] }));
                }
            });
        });
        assert_eq!(written.refused, 0);
        acknowledged.extend(written.names);
    }
    assert_eq!(postgres.as_superuser("SELECT COUNT(*) FROM key_rotations"), "0");
    assert_eq!(postgres.as_superuser("SELECT COUNT(*) FROM organization_keys"), "1", "the old ones are gone");
    for served in [&first, &second] {
        is_whole(&served.url, &bearer, &acknowledged);
    }
    audit_is_whole(&second);
}

/// Whoever stands still holds nobody up for long, though they held what everybody needs.
#[test]
fn one_that_stands_still_does_not_keep_the_other_from_its_work() {
    let postgres = Postgres::start();
    let (first, second) = two(&postgres);
    let bearer = key(&first);
    let pid = first.pid().to_string();
    let signal =
        |name: &str| assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let written = writing(&[&second.url], &bearer, &format!("r{round}"), || {
            std::thread::scope(|scope| {
                let (url, bearer) = (&first.url, &bearer);
                for number in 0..2 {
                    // Never answered, or answered late: that is nobody's concern here.
                    scope.spawn(move || drop(store(url, bearer, &format!("r{round}of-first{number}"))));
                }
                std::thread::sleep(Duration::from_millis(10 + 7 * round));
                signal("-STOP");
                let began = Instant::now();
                let name = format!("r{round}meanwhile");
                let answer = store(&second.url, bearer, &name).expect("an answer");
                assert_eq!(answer.status(), 201, "{}", answer.text());
                // A quarter of a minute for each of the two, and what a busy machine needs besides.
                assert!(began.elapsed() < Duration::from_secs(35), "{:?}", began.elapsed());
                signal("-CONT");
            });
        });
        acknowledged.extend(written.names);
    }
    is_whole(&first.url, &bearer, &acknowledged);
    audit_is_whole(&first);
}

#[test]
fn what_is_taken_from_a_member_is_gone_on_the_other_one_at_once() {
    let postgres = Postgres::start();
    let (first, second) = two(&postgres);
    let alice = first.manager();
    store_env(&alice, "kept", "A", "LNYCANARYvalue0123456789");
    let mut browser = join(&first, &invite(&alice, "member"), BOB);
    let bob = first.client_of(&browser, None);
    let bearer = token(&bob);
    let wanted = r#"{"name":"k","permissions":["secrets.read","credentials.read"]}"#;
    let made = first.api("POST", "/api-keys", &bearer, wanted).json();
    let api_key = made["key"].as_str().unwrap().to_owned();
    let id = list(&bob)[0]["id"].as_str().unwrap().to_owned();
    let secrets = format!("/credential-configs/{id}/secrets");
    let both = |token: &str| [&first, &second].map(|served| served.api("GET", &secrets, token, "").status());
    // A session of the second one, as a browser behind a load balancer would have it.
    let mut other = Browser::new(&second.url);
    assert_eq!(other.sign_in(BOB, PASSPHRASE).status(), 303);
    // Each of them has seen all of it once.
    assert_eq!((both(&bearer), both(&api_key)), ([200, 200], [200, 200]));
    assert!(other.get("/").text().contains("Acme"));
    alice.run(&["members", "role", BOB, "reader"]).ends(0);
    assert_eq!((both(&bearer), both(&api_key)), ([403, 403], [403, 403]));
    alice.run(&["members", "role", BOB, "member"]).ends(0);
    assert_eq!((both(&bearer), both(&api_key)), ([200, 200], [200, 200]), "and given at once as well");
    // A key that is revoked at the one, and a session that is ended by a new passphrase there.
    assert_eq!(first.api("DELETE", &format!("/api-keys/{}", made["id"].as_str().unwrap()), &bearer, "").status(), 204);
    assert_eq!(both(&api_key), [401, 401]);
    assert_eq!(browser.sign_in(BOB, PASSPHRASE).status(), 303);
    let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").expect("a word").1;
    let new = "LNYCANARYanother battery staple";
    let changed = [("word", word.as_str()), ("old", PASSPHRASE), ("new", new), ("again", new)];
    assert_eq!(browser.post("/account/passphrase", &changed).status(), 303);
    assert_eq!(other.get("/").status(), 303, "the session has ended");
    alice.run(&["members", "remove", BOB, "--yes"]).ends(0);
    assert_eq!(both(&bearer), [401, 401]);
    bob.run(&["auth", "refresh"]).ends(4);
}

#[test]
fn two_owners_who_remove_one_another_at_once_leave_one() {
    let postgres = Postgres::start();
    let (first, second) = two(&postgres);
    let alice = first.manager();
    let mut browser = join(&first, &invite(&alice, "owner"), BOB);
    for round in 0..4 {
        let bob = first.client_of(&browser, None);
        let tokens = [token(&alice), token(&bob)];
        let members = first.api("GET", "/members", &tokens[0], "").json();
        let person = |login: &str| {
            let of = |one: &&serde_json::Value| one["login"] == login;
            members["items"].as_array().unwrap().iter().find(of).unwrap()["id"].as_str().unwrap().to_owned()
        };
        let start = Barrier::new(2);
        let done: Vec<u16> = std::thread::scope(|scope| {
            let (start, tokens) = (&start, &tokens);
            let tries = [(&first.url, 0, person(BOB)), (&second.url, 1, person(LOGIN))].map(|(url, own, other)| {
                scope.spawn(move || {
                    start.wait();
                    let path = format!("/members/{other}");
                    api(url, "PATCH", &path, &tokens[own], r#"{"role":"admin"}"#).status()
                })
            });
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(done.iter().filter(|status| **status < 300).count(), 1, "round {round}: {done:?}");
        assert!(done.iter().all(|status| *status < 500), "{done:?}");
        let owners = "SELECT COUNT(*) FROM members WHERE role = 'owner'";
        assert_eq!(postgres.as_superuser(owners), "1", "round {round}");
        // Both are owners again, whoever is the one that is left.
        postgres.as_superuser("UPDATE members SET role = 'owner'");
        assert_eq!(browser.sign_in(BOB, PASSPHRASE).status(), 303);
    }
    audit_is_whole(&second);
}
