//! Sudden death under writes: what was acknowledged is there, and opens; what was not is whole or absent.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::served::{Served, token};
use crate::wire;

/// So many times the server dies, unless `LANYARD_CRASH_ROUNDS` says otherwise.
const ROUNDS: usize = 8;

fn rounds() -> usize {
    std::env::var("LANYARD_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let mut served = Served::new(&[]);
    let stage = served.client();
    let acknowledged = Mutex::new(Vec::new());
    let rounds = rounds();
    for round in 0..rounds {
        // A fresh one each time, so that it does not end on the way.
        stage.run(&["auth", "refresh"]).ends(0);
        let bearer = format!("Authorization: Bearer {}", token(&stage));
        let ends = AtomicBool::new(false);
        let url = served.url.clone();
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (bearer, url, ends, acknowledged) = (&bearer, &url, &ends, &acknowledged);
                scope.spawn(move || {
                    for number in 0.. {
                        if ends.load(Ordering::SeqCst) {
                            return;
                        }
                        let name = format!("r{round}w{writer}n{number}");
                        let body = json!({ "name": name, "kind": "generic_env", "data": { "A": name } }).to_string();
                        let headers = [bearer.as_str(), "Content-Type: application/json"];
                        let answer = wire::send("POST", &format!("{url}/credential-configs"), &headers, &body);
                        match answer.map(|answer| answer.status()) {
                            Some(201) => acknowledged.lock().unwrap().push(name),
                            Some(status) => assert!(status >= 500, "{status}"),
                            None => {}
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(150 + 70 * (round % 8) as u64));
            served.end("KILL");
            ends.store(true, Ordering::SeqCst);
        });
        // The audit is whole: nothing is there of which it does not tell.
        served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
        served.again();
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= rounds, "only {} writes", acknowledged.len());
    stage.run(&["auth", "refresh"]).ends(0);
    let bearer = token(&stage);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.api("GET", &format!("/credential-configs?limit=200{cursor}"), &bearer, "").json();
        found.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    for name in &acknowledged {
        assert!(found.iter().any(|one| one["name"] == name.as_str()), "{name} was lost");
    }
    // Those that were acknowledged and those that were not: each opens.
    for one in &found {
        let id = one["id"].as_str().unwrap();
        let opened = served.api("GET", &format!("/credential-configs/{id}/secrets"), &bearer, "");
        assert_eq!((opened.status(), &opened.json()["data"]["A"]), (200, &one["name"]), "{one}");
    }
}

/// Whoever is being answered when the server is asked to end gets their answer, and nobody else is let in.
#[test]
fn who_is_being_answered_gets_the_answer() {
    let mut served = Served::new(&[]);
    let stage = served.client();
    let bearer = token(&stage);
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let body = json!({ "name": "slow", "kind": "generic_env", "data": { "A": "1" } }).to_string();
    let (first, second) = body.split_at(20);
    let mut slow = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /credential-configs HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{first}",
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let answer = std::thread::scope(|scope| {
        let ending = scope.spawn(|| served.end("TERM"));
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(&address).is_ok() {
            assert!(std::time::Instant::now() < until, "somebody is still let in");
            std::thread::sleep(Duration::from_millis(20));
        }
        slow.write_all(second.as_bytes()).unwrap();
        let answer = wire::Message::read(&slow, true).unwrap();
        assert_eq!(ending.join().unwrap(), Some(0));
        answer
    });
    assert_eq!(answer.status(), 201, "{}", answer.text());
    served.again();
    let listed = served.api("GET", "/credential-configs", &bearer, "").json();
    assert_eq!(listed["items"][0]["name"], "slow");
}
