//! Sudden death under writes: what was acknowledged is there, and opens; what was not is whole or absent.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::load::{audit_is_whole, is_whole, key, writing};
use super::postgres::Postgres;
use super::served::{Served, token};
use crate::wire;

/// So many times the server dies, unless `LANYARD_CRASH_ROUNDS` says otherwise.
fn rounds(usual: usize) -> usize {
    std::env::var("LANYARD_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

fn die_again_and_again(mut served: Served, rounds: usize) {
    let bearer = key(&served);
    let mut acknowledged = Vec::new();
    for round in 0..rounds {
        let url = served.url.clone();
        let written = writing(&[&url], &bearer, &format!("r{round}"), || {
            std::thread::sleep(Duration::from_millis(17 * (round % 13) as u64));
            served.end("KILL");
        });
        acknowledged.extend(written.names);
        // Nothing is there of which the audit does not tell.
        if round % 10 == 9 {
            audit_is_whole(&served);
        }
        served.again();
    }
    assert!(acknowledged.len() >= rounds, "only {} writes", acknowledged.len());
    is_whole(&served.url, &bearer, &acknowledged);
    audit_is_whole(&served);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    die_again_and_again(Served::new(&[]), rounds(100));
}

#[test]
fn what_was_acknowledged_survives_a_kill_on_postgresql_as_well() {
    let postgres = Postgres::start();
    die_again_and_again(Served::new(&["--database", &postgres.url()]), rounds(100));
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
