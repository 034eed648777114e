//! A way back for who has forgotten their passphrase, by a link that is made at the server's own machine; and new recovery
//! codes for who has used theirs up.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::backup::at;
use super::identity::{app, set_up};
use super::load::key;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden};
use crate::stage::Outcome;
use crate::terminal::Terminal;
use crate::wire::{self, Message};

const OTHER: &str = "LNYCANARYanother battery staple";

fn ask(served: &Served, more: &[&str]) -> Outcome {
    served.stage.run(&at(&[&["reset-passphrase", LOGIN], more].concat(), &[]))
}

/// The link that is made; nothing of it stands where others may read.
fn link(served: &Served, more: &[&str]) -> String {
    let told = ask(served, more).ends(0);
    assert!(told.stdout().is_empty() && !told.stderr().contains("token="), "{told}");
    let file = served.data().join("passphrase-link");
    assert!(told.stderr().contains(&file.display().to_string()), "{told}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read_to_string(&file).unwrap().trim().to_owned()
}

fn token(link: &str) -> &str {
    link.split("/reset?token=").nth(1).expect("a token")
}

fn choose(url: &str, link: &str, passphrase: &str, again: &str) -> Message {
    let fields = [("token", token(link)), ("passphrase", passphrase), ("again", again)];
    Browser::new(url).post("/reset", &fields)
}

fn signs_in(served: &Served, passphrase: &str) -> u16 {
    Browser::new(&served.url).sign_in(LOGIN, passphrase).status()
}

/// The entries of an action, with what came of each.
fn told(served: &Served, action: &str) -> Vec<(String, String)> {
    let is_it = |entry: &&Value| entry["action"] == action;
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let entries = served.entries();
    entries.iter().filter(is_it).map(|entry| (text(entry, "outcome"), text(entry, "organization"))).collect()
}

#[test]
fn whoever_has_forgotten_their_passphrase_chooses_another_one_once() {
    let served = Served::new(&[]);
    let (browser, bearer) = (served.browser(), key(&served));
    let org = served.entries().iter().find(|entry| entry["action"] == "member.create").unwrap()["organization"].clone();
    let org = org.as_str().unwrap().to_owned();
    let first = link(&served, &[]);
    assert!(first.starts_with(&served.url), "{first}");
    // Nothing has changed yet.
    assert_eq!((browser.get("/").status(), signs_in(&served, PASSPHRASE)), (200, 303));
    // Another one takes the first away.
    let second = link(&served, &[]);
    assert_eq!(wire::get(&first).unwrap().status(), 409);
    assert_eq!(choose(&served.url, &first, OTHER, OTHER).status(), 409);
    let page = wire::get(&second).unwrap();
    assert!(page.status() == 200 && page.text().contains(LOGIN), "{}", page.text());
    // One that does not do, or differs, costs nothing.
    for (one, other) in [("too short", "too short"), (OTHER, PASSPHRASE)] {
        assert_eq!(choose(&served.url, &second, one, other).status(), 422);
    }
    let elsewhere = [("token", token(&second)), ("passphrase", OTHER), ("again", OTHER)];
    let strange = Browser::new(&served.url).post_with("/reset", &elsewhere, &["Origin: https://evil.example"]);
    assert_eq!(strange.status(), 403);
    let (url, link) = (&served.url, &second);
    let done: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(move || choose(url, link, OTHER, OTHER).status())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(done.iter().filter(|status| **status == 303).count(), 1, "{done:?}");
    assert!(done.iter().all(|status| [303, 409].contains(status)), "{done:?}");
    assert_eq!((wire::get(&second).unwrap().status(), choose(&served.url, &second, OTHER, OTHER).status()), (409, 409));
    // Sessions have ended; programs go on, as with any new passphrase.
    assert_eq!(browser.get("/").status(), 303);
    assert_eq!((signs_in(&served, PASSPHRASE), signs_in(&served, OTHER)), (403, 303));
    assert_eq!(served.api("GET", "/credential-configs", &bearer, "").status(), 200);
    // Members see what was done to one of them, and the server who has tried in vain.
    let of_org = |outcome: &str| (outcome.to_owned(), org.clone());
    assert_eq!(told(&served, "passphrase.reset-link"), [of_org("done"), of_org("done")]);
    let resets = told(&served, "passphrase.reset");
    assert_eq!(resets.iter().filter(|one| **one == of_org("done")).count(), 1, "{resets:?}");
    let denied = ("denied".to_owned(), "server".to_owned());
    assert_eq!(resets.iter().filter(|one| **one == denied).count(), resets.len() - 1, "{resets:?}");
    assert!(resets.len() >= 6, "{resets:?}");
    let chain = served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"]));
    assert!(chain.ends(0).stderr().contains("the audit is whole"));
}

#[test]
fn a_link_ends_in_time_by_hand_and_with_a_backup_and_guessing_is_slow() {
    let served = Served::new(&[]);
    let late = link(&served, &[]);
    served.sql("UPDATE passphrase_resets SET expires = created");
    assert_eq!((wire::get(&late).unwrap().status(), choose(&served.url, &late, OTHER, OTHER).status()), (409, 409));
    let leaked = link(&served, &[]);
    let file = served.stage.home().join("leaked");
    std::fs::write(&file, token(&leaked)).unwrap();
    let ended = served.stage.run(&at(&["revoke-token", "leaked"], &[])).ends(0);
    assert!(ended.stderr().contains("It counts no more"), "{ended}");
    assert_eq!(wire::get(&leaked).unwrap().status(), 409);
    let kept = link(&served, &[]);
    served.stage.run(&at(&["backup", "b"], &[])).ends(0);
    served.stage.run(&at(&["restore", "b", "--replace"], &[])).ends(0);
    assert_eq!(wire::get(&kept).unwrap().status(), 409);
    let guess = format!("{}x", &kept[..kept.len() - 1]);
    let tried: Vec<u16> = (0..8).map(|_| choose(&served.url, &guess, OTHER, OTHER).status()).collect();
    assert!(tried[0] == 409 && tried.contains(&429), "{tried:?}");
    // The wait may be short still, and the machine slow: from here on it is long.
    served.sql("UPDATE attempts SET failures = 400 WHERE subject LIKE 'reset:%@%'");
    assert_eq!(choose(&served.url, &guess, OTHER, OTHER).status(), 429);
    assert_eq!(signs_in(&served, PASSPHRASE), 303);
    let nobody = served.stage.run(&at(&["reset-passphrase", "nobody@example.com"], &[])).ends(2);
    assert!(nobody.stderr().contains("nobody has this login here"), "{nobody}");
}

#[test]
fn the_second_factor_stays_unless_it_is_taken_away() {
    let served = Served::new(&[]);
    let (_, codes) = set_up(&served.browser());
    let kept = link(&served, &[]);
    assert_eq!(choose(&served.url, &kept, OTHER, OTHER).status(), 303);
    let half = Browser::new(&served.url).post("/sign-in", &[("login", LOGIN), ("passphrase", OTHER)]);
    assert_eq!(half.status(), 200, "{}", half.text());
    let fields = hidden(&half.text());
    let half = &fields.iter().find(|(name, _)| name == "half").expect("the other half is asked for").1;
    Browser::new(&served.url).enter(half, &codes[0]);
    let lost = link(&served, &["--second-factor"]);
    assert!(wire::get(&lost).unwrap().text().contains("Your second factor goes"));
    assert_eq!(choose(&served.url, &lost, PASSPHRASE, PASSPHRASE).status(), 303);
    assert_eq!(signs_in(&served, PASSPHRASE), 303);
    for table in ["second_factors", "passkeys", "recovery_codes"] {
        assert_eq!(served.sql(&format!("SELECT COUNT(*) FROM {table}")).trim(), "0", "{table}");
    }
    let reset = served.entries().into_iter().rfind(|entry| entry["action"] == "passphrase.reset").unwrap();
    assert_eq!(reset["detail"], "with the second factor");
}

#[test]
fn the_link_stands_at_a_terminal_or_in_a_file_and_nowhere_else() {
    let served = Served::new(&[]);
    let mut terminal = Terminal::start(&served.stage, &at(&["reset-passphrase", LOGIN], &[]));
    terminal.sees("/reset?token=lny_inv_");
    assert_eq!(terminal.ends().code, Some(0));
    assert!(!served.data().join("passphrase-link").exists());
    let told = ask(&served, &["--json"]).ends(0);
    let file = served.data().join("passphrase-link");
    assert_eq!(told.json(), json!({ "login": LOGIN, "file": file }));
    assert!(!told.stderr().contains("token="), "{told}");
    let other = ask(&served, &["--public-url", "https://lanyard.example.com"]).ends(0);
    let link = std::fs::read_to_string(&file).unwrap();
    assert!(link.starts_with("https://lanyard.example.com/reset?token="), "{link}{other}");
}

#[test]
fn new_recovery_codes_take_the_place_of_those_before() {
    let served = Served::new(&[]);
    let alice = served.browser();
    let page = |browser: &Browser| browser.get("/account/sign-in").text();
    let word = |browser: &Browser| {
        let fields = hidden(&browser.get("/account").text());
        fields.into_iter().find(|(name, _)| name == "word").expect("a word").1
    };
    let make = |browser: &Browser| browser.post("/account/recovery-codes", &[("word", &word(browser))]);
    assert!(!page(&alice).contains("Recovery codes"), "there is nothing that they would stand in for");
    assert_eq!(make(&alice).status(), 422);
    let (app_key, before) = set_up(&alice);
    assert!(page(&alice).contains("10 recovery codes are left"));
    let shown = make(&alice);
    assert_eq!(shown.status(), 200, "{}", shown.text());
    let codes = regex::Regex::new("<li><code>([^<]+)</code></li>").unwrap();
    let after: Vec<String> = codes.captures_iter(&shown.text()).map(|found| found[1].to_owned()).collect();
    assert_eq!(after.len(), 10);
    assert!(after.iter().all(|code| !before.contains(code)));
    let enter = |code: &str| {
        let half = Browser::new(&served.url).post("/sign-in", &[("login", LOGIN), ("passphrase", PASSPHRASE)]).text();
        let half = hidden(&half).into_iter().find(|(name, _)| name == "half").expect("a half").1;
        Browser::new(&served.url).post("/sign-in/code", &[("half", &half), ("code", code)]).status()
    };
    assert_eq!((enter(&before[0]), enter(&after[0]), enter(&after[0])), (403, 303, 403));
    assert!(page(&alice).contains("9 recovery codes are left"));
    assert_eq!(enter(&app(&app_key, 1)), 303, "the app goes on");
    assert_eq!(told(&served, "recovery-codes.make").iter().filter(|(outcome, _)| outcome == "done").count(), 1);
    // By whoever has just shown who they are.
    served.sql("UPDATE sessions SET proved = proved - 660000");
    let asked = make(&alice);
    assert_eq!((asked.status(), asked.header("location")), (303, Some("/account/prove?next=%2Faccount%2Fsign-in")));
}
