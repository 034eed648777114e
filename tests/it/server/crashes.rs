//! Sudden death under writes: what was acknowledged is there, and opens; what was not is whole or absent.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::served::{Served, token};
use crate::wire;

const ROUNDS: usize = 5;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let mut served = Served::new(&[]);
    let stage = served.client();
    let acknowledged = Mutex::new(Vec::new());
    for round in 0..ROUNDS {
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
            std::thread::sleep(Duration::from_millis(200 + 70 * round as u64));
            served.end("KILL");
            ends.store(true, Ordering::SeqCst);
        });
        // The audit is whole: nothing is there of which it does not tell.
        served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
        served.again();
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= ROUNDS, "only {} writes", acknowledged.len());
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
    // Of a hundred, those that were acknowledged and those that were not: each opens.
    for one in found.iter().take(100) {
        let id = one["id"].as_str().unwrap();
        let opened = served.api("GET", &format!("/credential-configs/{id}/secrets"), &bearer, "");
        assert_eq!((opened.status(), &opened.json()["data"]["A"]), (200, &one["name"]), "{one}");
    }
}
