//! Two servers on one PostgreSQL whose secrets rest in a real OpenBao, with `oidc-provider` as a service that somebody has
//! signed in to: none of them renews what the other one has, and none leaves anything half done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::connect::{Pages, serve, whoami};
use super::engine_faults::door;
use super::openbao::{OpenBao, wait_until, words};
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::peers::OidcProvider;
use crate::stage::Stage;
use crate::wire::{self, Message};

/// So many read on each server at once.
const READERS: usize = 4;
/// How long a token lives, and a little more.
const LIFE: Duration = Duration::from_millis(5200);

fn access_token(answer: &Message) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let session = answer.json()["data"]["session"].as_str().expect("a session").to_owned();
    let session: serde_json::Value = serde_json::from_str(&session).expect("JSON");
    session["access_token"].as_str().expect("a token").to_owned()
}

/// What everybody reads at once, on both of them.
fn everywhere(servers: [&Served; 2], path: &str, bearer: &str) -> Vec<String> {
    std::thread::scope(|scope| {
        let all: Vec<_> = servers
            .into_iter()
            .flat_map(|served| std::iter::repeat_n(&served.url, READERS))
            .map(|url| scope.spawn(|| access_token(&api(url, "GET", path, bearer, ""))))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn two_servers_renew_once_move_what_both_read_and_leave_nothing_half_done() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    let idp = OidcProvider::start(&[("ACCESS_TTL", "5"), ("ROTATE", "0")]);
    let (door, holds) = door(&bao);
    let shared = ["--master-key-transit", "lanyard", "--database", &postgres.url(), "--secrets-engine", "vault"];
    let flags = bao.by_token(&shared);
    let mut through = flags.clone();
    through[1] = door.url();
    let mut first = serve(&words(&through));
    let beside = [&["--allow-host", "127.0.0.1"], &words(&flags)[..]].concat();
    let second = Served::on(Stage::new(), &beside);
    let pages = Pages::of(first.browser());
    let id = pages.configure(&idp, "corp");
    pages.connect(&id);
    let stage = first.manager();
    let bearer = token(&stage);
    let path = format!("/credential-configs/{id}/secrets");
    for round in 1..=3 {
        std::thread::sleep(LIFE);
        let before = idp.count("/token");
        let tokens = everywhere([&first, &second], &path, &bearer);
        assert_eq!(idp.count("/token"), before + 1, "round {round}");
        assert!(tokens.iter().all(|token| *token == tokens[0]), "round {round}");
        assert_eq!(whoami(&idp, &tokens[0]), 200, "round {round}");
        bao.place_of(&id);
    }

    // Into the database and back, while both of them read and renew.
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for url in [&first.url, &second.url] {
            let (ends, path, bearer) = (&ends, &path, &bearer);
            scope.spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    access_token(&api(url, "GET", path, bearer, ""));
                }
            });
        }
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let other = Stage::new();
            for _ in 0..4 {
                for to in ["envelope", "vault"] {
                    let run =
                        [&["server", "move-secrets", "--to", to, "--data", "server"], &words(&flags)[..]].concat();
                    // What is renewed at that moment is where new secrets go, and moves with the next try.
                    other.run(&run).ends(0);
                }
            }
        }));
        ends.store(true, Ordering::SeqCst);
        moved.unwrap();
    });

    // One has new tokens and has laid them down in the OpenBao; no row names them, and it dies.
    std::thread::sleep(LIFE);
    let before = idp.count("/token");
    holds.store(1, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let (url, header) = (format!("{}{path}", first.url), format!("Authorization: Bearer {bearer}"));
        // Its answer never comes.
        scope.spawn(move || drop(wire::send("GET", &url, &[&header], "")));
        wait_until("it was written", || holds.load(Ordering::SeqCst) == 3);
        first.end("KILL");
    });
    holds.store(0, Ordering::SeqCst);
    assert_eq!(idp.count("/token"), before + 1);
    let renewed = access_token(&second.api("GET", &path, &bearer, ""));
    assert_eq!((whoami(&idp, &renewed), idp.count("/token")), (200, before + 2));
    postgres.as_superuser("UPDATE kept_leftovers SET due = 0");
    wait_until("what no row names is destroyed", || {
        postgres.as_superuser("SELECT COUNT(*) FROM kept_leftovers") == "0"
    });
    bao.place_of(&id);
    assert_eq!(postgres.as_superuser("SELECT COUNT(*) FROM secrets"), "0");
    first.again();
    // The one that was there may be near its end: some would have it, and others the next one.
    std::thread::sleep(LIFE);
    let before = idp.count("/token");
    let tokens = everywhere([&first, &second], &path, &bearer);
    assert_eq!(idp.count("/token"), before + 1);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    stage.run(&["audit", "verify"]).ends(0);
    let check = [&["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server"], &words(&flags)[..]].concat();
    Stage::new().run(&check).ends(0);
}
