//! How long something takes tells nothing: not whether something is there, and not whether somebody is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::served::{Browser, LOGIN, Served, token};
use crate::wire::Message;

/// Asks in two ways by turns, so that a busy machine is as busy for the one as for the other; the medians.
fn medians(rounds: usize, mut ask: impl FnMut(usize)) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for turn in 0..2 {
            // Whoever is first is second the next time.
            let way = (round + turn) % 2;
            let begun = Instant::now();
            ask(way);
            times[way].push(begun.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    })
}

/// Measures until it is as it should be. What is told by the time is told every time: what the machine does otherwise
/// meanwhile can make a difference once, and hardly five times one after the other.
fn alike(what: &str, rounds: usize, mut ask: impl FnMut(usize), is_near: impl Fn(Duration, Duration) -> bool) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let [first, second] = medians(rounds, &mut ask);
        seen.push((first, second));
        if is_near(first.max(second), first.min(second)) {
            eprintln!("{what}: {seen:?}");
            return;
        }
    }
    panic!("{what}: {seen:?}");
}

/// An answer without what every answer has of its own.
fn told(answer: &Message) -> String {
    let number = answer.header("x-request-id").expect("a number").to_owned();
    let headers = answer.headers.iter().filter(|(name, _)| name != "date");
    let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{}\n{}\n\n{}", answer.first_line, headers.join("\n"), answer.text()).replace(&number, "")
}

#[test]
fn what_is_of_another_organization_is_as_far_away_as_what_there_is_not() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let own = served.manager();
    let user = served.api("GET", "/userinfo", &token(&own), "").json();
    let own_org = user["organization"]["id"].as_str().unwrap().to_owned();
    let made = served.api("POST", "/organizations", &token(&own), r#"{"name":"Second"}"#);
    let other_org = made.json()["id"].as_str().unwrap().to_owned();
    let other = token(&served.client_of(&browser, Some(&other_org)));
    let own = token(&served.client_of(&browser, Some(&own_org)));
    let store = |bearer: &str| {
        let body = json!({ "name": "theirs", "kind": "generic_env", "data": { "A": "1" } }).to_string();
        let made = served.api("POST", "/credential-configs", bearer, &body);
        assert_eq!(made.status(), 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let foreign = store(&other);
    // One of our own that there is not any more, so that it looks like one.
    let gone = store(&own);
    assert_eq!(served.api("DELETE", &format!("/credential-configs/{gone}"), &own, "").status(), 204);
    let ids = [&gone, &foreign];
    let patch = r#"{"note":"x"}"#;
    let mut all = BTreeSet::new();
    for (method, rest, body, rounds) in
        [("GET", "", "", 200), ("GET", "/secrets", "", 50), ("PATCH", "", patch, 50), ("DELETE", "", "", 50)]
    {
        let mut answers = [BTreeSet::new(), BTreeSet::new()];
        let ask = |way: usize| {
            let answer = served.api(method, &format!("/credential-configs/{}{rest}", ids[way]), &own, body);
            answers[way].insert(told(&answer));
        };
        let near = |slow: Duration, fast: Duration| slow <= fast + Duration::from_millis(1) + fast / 20;
        alike(&format!("{method} {rest}"), rounds, ask, near);
        assert!(answers[0].len() == 1 && answers[0] == answers[1], "{answers:?}");
        all.append(&mut answers[0]);
    }
    assert!(all.iter().all(|one| one.starts_with("HTTP/1.1 404")), "{all:?}");
    assert_eq!(served.api("GET", &format!("/credential-configs/{foreign}"), &other, "").status(), 200, "it is there");
}

#[test]
fn who_is_not_there_takes_as_long_as_who_has_another_passphrase() {
    let served = Served::new(&[]);
    let logins = [LOGIN, "mallory@example.com"];
    let browser = Browser::new(&served.url);
    let mut slips = 0;
    let ask = |way: usize| {
        // Whoever guesses on has to wait: before that, what they did is forgotten.
        let answer = browser.post("/sign-in", &[("login", logins[way]), ("passphrase", "wrong wrong wrong")]);
        assert_eq!(answer.status(), 403, "{}", answer.text());
        slips += 1;
        if slips % 6 == 0 {
            served.sql("DELETE FROM attempts");
        }
    };
    alike("a sign-in", 40, ask, |slow, fast| slow <= fast + fast * 3 / 100);
}

/// A token with a slip in it is told by its checksum, and nobody is asked for it.
#[test]
fn a_token_with_a_slip_is_refused_without_asking_the_database() {
    let metrics = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let served = Served::new(&["--metrics-listen", &metrics]);
    let bearer = token(&served.client());
    let transactions = || -> u64 {
        let page = crate::wire::get(&format!("http://{metrics}/metrics")).unwrap().text();
        let line = page.lines().find_map(|line| line.strip_prefix("lanyard_database_transactions_total "));
        line.expect("the number").parse().unwrap()
    };
    let asked = |token: &str| served.api("GET", "/credential-configs", token, "").status();
    // What the server does by itself meanwhile is counted as well: it is little, and not there every time.
    let cost = |ask: &mut dyn FnMut()| {
        let before = transactions();
        ask();
        // To show the numbers asks once.
        transactions() - before - 1
    };
    let slips: Vec<String> = (0..bearer.len())
        .map(|at| {
            let other = if &bearer[at..=at] == "a" { "b" } else { "a" };
            format!("{}{other}{}", &bearer[..at], &bearer[at + 1..])
        })
        .collect();
    let least = (0..3).map(|_| cost(&mut || assert!(slips.iter().all(|slip| asked(slip) == 401)))).min();
    let real = cost(&mut || assert!(slips.iter().all(|_| asked(&bearer) == 200)));
    assert!(real >= slips.len() as u64, "{real}");
    assert!(least.is_some_and(|least| least < 5), "{least:?} for {} slips", slips.len());
}
