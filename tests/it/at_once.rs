//! Many credentials tested at once, and what one that fails does to the others: nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::double::{Answer, Double};
use crate::vaulted::{self, list};

const TOKEN: &str = "LNYCANARY0123456789abcdef012345678901234567890123456789012345678";

/// A request that takes this long to answer, and how long the double waits for the others to come.
const WORK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(8);
const MANY: usize = 200;

#[test]
fn two_hundred_are_tested_in_the_time_of_the_slowest() {
    // Each is answered only when all are there, or when patience ends: were they asked one after the other, or in
    // smaller heaps, the most at once would tell, however fast or slow this machine is.
    let (here, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let double = Double::start({
        let (here, most) = (Arc::clone(&here), Arc::clone(&most));
        move |_| {
            most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let come = Instant::now();
            while most.load(Ordering::SeqCst) < MANY && come.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
            std::thread::sleep(WORK);
            here.fetch_sub(1, Ordering::SeqCst);
            Answer::json(200, r#"{"locations":[]}"#)
        }
    });
    let mut stage = vaulted::stage();
    stage.set("HCLOUD_ENDPOINT", format!("{}/v1", double.url()));
    for number in 0..MANY {
        let name = format!("hetzner-{number:03}");
        let store = ["credentials", "store", "hetzner", "--api-token", "-", "--no-verify", "--name", &name];
        stage.run_with(&store, TOKEN.as_bytes()).ends(0);
    }
    let started = Instant::now();
    let tested = stage.run(&["credentials", "test", "--json"]).ends(0).json();
    let took = started.elapsed();
    assert_eq!(tested.as_array().unwrap().len(), MANY);
    assert!(tested.as_array().unwrap().iter().all(|one| one["outcome"] == "valid"));
    assert_eq!(most.load(Ordering::SeqCst), MANY, "so many at once, in {took:?}");
    assert_eq!(double.requests().len(), MANY, "each is asked once");
    assert!(list(&stage).iter().all(|credential| credential["status"] == "active"));
}

#[test]
fn one_that_fails_is_told_beside_those_that_pass() {
    let double = Double::start(|seen| match seen.header("authorization") {
        Some(token) if token.ends_with('0') => Answer::json(401, r#"{"error":{"code":"unauthorized","message":"no"}}"#),
        _ => Answer::json(200, r#"{"locations":[]}"#),
    });
    let mut stage = vaulted::stage();
    stage.set("HCLOUD_ENDPOINT", format!("{}/v1", double.url()));
    for (name, last) in [("good", "1"), ("bad", "0")] {
        let token = format!("{}{last}", &TOKEN[..TOKEN.len() - 1]);
        let store = ["credentials", "store", "hetzner", "--api-token", "-", "--no-verify", "--name", name];
        stage.run_with(&store, token.as_bytes()).ends(0);
    }
    let tested = stage.run(&["credentials", "test"]).ends(8);
    let lines: Vec<String> = tested.stdout().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("bad   FAILED: ") && lines[1].starts_with("good  PASSED"), "{lines:?}");
    stage.run(&["credentials", "test", "good"]).ends(0);
    let by_provider = stage.run(&["credentials", "test", "hetzner", "--json"]).ends(8).json();
    assert_eq!(by_provider.as_array().unwrap().len(), 2);
    stage.run(&["credentials", "test", "nothing"]).ends(2);
    let refused = stage.run_with(
        &["credentials", "store", "hetzner", "--api-token", "-", "--name", "third"],
        format!("{}0", &TOKEN[..TOKEN.len() - 1]).as_bytes(),
    );
    assert!(refused.ends(8).stderr().contains("not stored"));
    assert_eq!(list(&stage).len(), 2);
}

#[test]
fn a_provider_that_is_away_leaves_a_stored_credential_unverified() {
    let mut stage = vaulted::stage();
    stage.set("HCLOUD_ENDPOINT", "http://127.0.0.1:9/v1");
    let stored = stage.run_with(&["credentials", "store", "hetzner", "--api-token", "-"], TOKEN.as_bytes()).ends(0);
    assert!(
        stored.stderr().contains("warning: not verified with") && stored.stderr().contains("unverified"),
        "{stored}"
    );
    assert_eq!(list(&stage)[0]["status"], "unverified");
    let tested = stage.run(&["credentials", "test", "--json"]).ends(8).json();
    assert_eq!((&tested[0]["outcome"], &tested[0]["passed"]), (&"unreachable".into(), &false.into()));
}
