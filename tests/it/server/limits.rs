//! How often is answered, and that who asks too often takes nothing from the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::served::{Served, api, token};
use crate::wire;

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let served = Served::new(&["--rate-caller", "1", "--rate-address", "400", "--rate-organization", "1000"]);
    let stage = served.client();
    let bearer = token(&stage);
    let first = served.api("GET", "/credential-configs", &bearer, "");
    assert_eq!(first.status(), 200);
    let policy = first.header("ratelimit-policy").expect("a policy");
    assert_eq!(policy, "\"caller\";q=10;w=10, \"address\";q=4000;w=10, \"organization\";q=10000;w=10");
    let refused =
        (0..20).map(|_| served.api("GET", "/credential-configs", &bearer, "")).find(|one| one.status() != 200);
    let refused = refused.expect("ten at once, and no more");
    assert_eq!((refused.status(), refused.header("content-type")), (429, Some("application/problem+json")));
    let wait: u64 = refused.header("retry-after").expect("when to come back").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert!(refused.header("ratelimit").unwrap().contains("\"caller\";r=0;t="), "{:?}", refused.headers);
    let told = refused.json();
    assert_eq!((&told["type"], &told["rate"]), (&"urn:lanyard:problem:too-often".into(), &"caller".into()));
    // Who only knows the public part of a token takes nothing from whoever has it, and what is not counted is answered.
    assert_eq!(served.api("GET", "/healthz", &bearer, "").status(), 200);
    std::thread::sleep(Duration::from_secs(wait));
    let forged = bearer.rsplitn(3, '_').nth(2).unwrap();
    assert_eq!(served.api("GET", "/credential-configs", forged, "").status(), 401);
    assert_eq!(served.api("GET", "/credential-configs", &bearer, "").status(), 200, "the time is enough");
    // A renewed token is the same caller's.
    while served.api("GET", "/credential-configs", &bearer, "").status() == 200 {}
    stage.run(&["auth", "refresh"]).ends(0);
    let renewed = token(&stage);
    // One who comes for the first time has ten.
    let statuses: Vec<u16> = (0..9).map(|_| served.api("GET", "/credential-configs", &renewed, "").status()).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[test]
fn a_key_at_its_limit_leaves_the_others_of_its_owner_theirs() {
    let flags = ["--rate-address", "0", "--rate-token", "2", "--rate-caller", "0", "--rate-organization", "6"];
    let served = Served::new(&flags);
    let stage = served.manager();
    let bearer = token(&stage);
    let keys: Vec<String> = (0..5)
        .map(|number| {
            let wanted = format!("{{\"name\":\"key-{number}\",\"permissions\":[\"credentials.read\"],\"days\":1}}");
            let made = served.api("POST", "/api-keys", &bearer, &wanted);
            assert_eq!(made.status(), 201, "{}", made.text());
            made.json()["key"].as_str().expect("a key").to_owned()
        })
        .collect();
    let ask = |bearer: &str| served.api("GET", "/credential-configs", bearer, "");
    let until_refused = |bearer: &str| (0..40).map(|_| ask(bearer)).find(|answer| answer.status() != 200);
    let refused = until_refused(&keys[0]).expect("twenty at once, and no more");
    assert_eq!((refused.status(), &refused.json()["rate"]), (429, &"token".into()));
    let told = refused.header("ratelimit").expect("what is left");
    assert!(told.starts_with("\"token\";r=0;t="), "{told}");
    // The owner's other key, their session at the command line and that of their browser go on.
    for other in [&keys[1], &bearer] {
        assert_eq!(ask(other).status(), 200);
    }
    let browser = served.browser();
    let page =
        (0..40).map(|_| browser.get("/account")).find(|page| page.status() != 200).expect("a session has its own");
    assert_eq!(page.status(), 429);
    assert_eq!(ask(&keys[1]).status(), 200);
    // All of them together meet the limit of the organization.
    let refused: Vec<_> = keys[1..].iter().filter_map(|key| until_refused(key)).collect();
    let last = refused.last().expect("sixty at once, and no more");
    assert_eq!((last.status(), &last.json()["rate"]), (429, &"organization".into()));
}

#[test]
fn an_address_is_counted_whatever_it_says_of_itself() {
    let served = Served::fresh(&["--rate-address", "20"]);
    let ask = |number: usize, accept: &str| {
        let forwarded = format!("X-Forwarded-For: 198.51.100.{number}");
        let headers = [forwarded.as_str(), accept, "Content-Type: application/x-www-form-urlencoded"];
        wire::send("POST", &format!("{}/token", served.url), &headers, "grant_type=none&client_id=lanyard").unwrap()
    };
    let answers: Vec<_> = (0..30).map(|number| ask(number, "Accept: application/json")).collect();
    assert_eq!(answers[0].status(), 400);
    let refused = answers.iter().find(|answer| answer.status() == 429).expect("five at once, and no more");
    assert_eq!(refused.json()["error"], "slow_down", "a program reads the error as OAuth has it");
    let page = ask(7, "Accept: text/html,*/*");
    assert_eq!((page.status(), page.header("content-type")), (429, Some("text/html; charset=utf-8")));
    assert!(page.header("retry-after").is_some());
    // What is looked at has a rate of its own.
    assert_eq!(wire::get(&format!("{}/sign-in", served.url)).unwrap().status(), 200);
}

/// So many wrong sign-ins at once, and how long the others are waited for meanwhile at the latest: whether it lives, and a
/// list.
fn flood(url: &str, bearer: &str) -> [Duration; 2] {
    const GUESSERS: usize = 500;
    let ends = AtomicBool::new(false);
    let (alive, reads, statuses) = std::thread::scope(|scope| {
        let guessers: Vec<_> = (0..GUESSERS)
            .map(|number| {
                scope.spawn(move || {
                    let login = format!("nobody-{number}@example.com");
                    let body = wire::form(&[("login", login.as_str()), ("passphrase", "wrong wrong wrong")]);
                    let origin = format!("Origin: {url}");
                    let headers = ["Content-Type: application/x-www-form-urlencoded", origin.as_str()];
                    wire::send("POST", &format!("{url}/sign-in"), &headers, &body).map_or(0, |answer| answer.status())
                })
            })
            .collect();
        let healthy = scope.spawn(|| {
            let (mut alive, mut reads) = (Vec::new(), Vec::new());
            while !ends.load(Ordering::SeqCst) {
                let begun = Instant::now();
                assert_eq!(wire::get(&format!("{url}/healthz")).map(|answer| answer.status()), Some(200));
                alive.push(begun.elapsed());
                let begun = Instant::now();
                assert_eq!(api(url, "GET", "/credential-configs", bearer, "").status(), 200);
                reads.push(begun.elapsed());
            }
            (alive, reads)
        });
        let statuses: Vec<u16> = guessers.into_iter().map(|guesser| guesser.join().unwrap()).collect();
        ends.store(true, Ordering::SeqCst);
        let (alive, reads) = healthy.join().unwrap();
        (alive, reads, statuses)
    });
    assert!(statuses.iter().all(|status| [403, 429, 503].contains(status)) && statuses.contains(&403), "{statuses:?}");
    [alive, reads].map(|mut times| {
        times.sort();
        times[times.len() * 99 / 100]
    })
}

#[test]
fn a_flood_of_wrong_sign_ins_leaves_the_others_their_answers() {
    let served = Served::new(&["--rate-address", "400", "--rate-caller", "200", "--rate-organization", "1000"]);
    let stage = served.client();
    let bearer = token(&stage);
    let mut seen = Vec::new();
    // What else the machine does can make it slow once: what the flood itself does, it does every time.
    for _ in 0..3 {
        let [alive, reads] = flood(&served.url, &bearer);
        seen.push((alive, reads));
        if alive < Duration::from_millis(200) && reads < Duration::from_secs(3) {
            return;
        }
    }
    panic!("{seen:?}");
}
