//! What the server signs of the end of the audit, in the log of the machine.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::served::Served;
use crate::stage::Stage;
use crate::vaulted::store_env;

/// The next message that comes.
fn message(log: &UnixDatagram) -> String {
    let mut bytes = [0; 8192];
    loop {
        match log.recv(&mut bytes) {
            Err(failure) if failure.kind() == std::io::ErrorKind::Interrupted => {}
            length => return String::from_utf8(bytes[..length.expect("a message")].to_vec()).expect("text"),
        }
    }
}

#[test]
fn the_end_of_the_audit_is_told_to_the_log_of_the_machine() {
    let stage = Stage::new();
    let socket = stage.root().join("log");
    let log = UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let sink = format!("syslog:{}", socket.display());
    let mut served = Served::on(stage, &["--audit-checkpoints", &sink, "--audit-checkpoint-every", "1"]);
    assert_eq!(served.set_up(super::served::PASSPHRASE).status(), 303);
    let client = served.client();
    for name in ["a", "b", "c"] {
        store_env(&client, name, "A", "LNYCANARYvalue0123456789");
    }
    let key = client.run(&["audit", "key"]).ends(0).stdout().trim().to_owned();
    let exported = client.run(&["audit", "export"]).ends(0).stdout();
    let head: serde_json::Value = serde_json::from_str(exported.lines().next().unwrap()).unwrap();
    // Until one comes that is about all that was exported.
    let (mut lines, waited) = (String::new(), Instant::now());
    loop {
        let message = message(&log);
        assert!(!message.contains("LNYCANARY"));
        let (begins, line) = message.split_once(": ").unwrap();
        assert!(begins.starts_with("<85>") && begins.contains(" lanyard-audit["), "{message}");
        assert!(begins.ends_with(&format!("[{}]", served.pid())), "{message}");
        lines.extend([line, "\n"]);
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        if said["organization"] == head["organization"] && said["sequence"].as_i64() >= head["end"].as_i64() {
            break;
        }
        assert!(waited.elapsed() < Duration::from_secs(30), "{lines}");
    }
    // They are checked as those of a file are: the lines as they were signed.
    let elsewhere = Stage::new();
    let verify = |exported: &str, lines: &str| {
        std::fs::write(elsewhere.home().join("audit.jsonl"), exported).unwrap();
        std::fs::write(elsewhere.home().join("checkpoints.jsonl"), lines).unwrap();
        let words = ["audit", "verify", "audit.jsonl", "--checkpoints", "checkpoints.jsonl", "--public-key", &key];
        elsewhere.run(&words)
    };
    let later = client.run(&["audit", "export"]).ends(0).stdout();
    verify(&later, &lines).ends(0);
    verify(&later, &lines.replacen("\"sequence\":", "\"sequence\":1", 1)).ends(1);

    // A log that is gone holds nobody up, and is told in the server's own.
    drop(log);
    std::fs::remove_file(&socket).unwrap();
    store_env(&client, "d", "A", "1");
    served.wait_for("the failure", |line| line.contains("not written where it should be").then_some(()));
    let waited = Instant::now();
    for number in 0.. {
        store_env(&client, &format!("e{number}"), "A", "1");
        if missed(&served).len() > 2 {
            break;
        }
        assert!(waited.elapsed() < Duration::from_secs(30), "it goes on signing");
        std::thread::sleep(Duration::from_millis(100));
    }
    // One that comes back is told all that it has missed, and by a server that was killed meanwhile as well.
    served.end("KILL");
    let missed = missed(&served);
    let log = UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    served.again();
    let mut later = String::new();
    while !missed.iter().all(|one| later.contains(one)) {
        assert!(waited.elapsed() < Duration::from_mins(1), "{later}");
        later.extend([message(&log).split_once(": ").unwrap().1, "\n"]);
    }
    let numbers = |lines: &str, organization: &serde_json::Value| -> Vec<i64> {
        let all = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        all.filter(|line| line["organization"] == *organization)
            .map(|line| line["sequence"].as_i64().unwrap())
            .collect()
    };
    let of_ours = numbers(&later, &head["organization"]);
    assert!(of_ours.len() >= 2 && of_ours.is_sorted(), "{of_ours:?}");
    // What is there twice says nothing else.
    let whole = client.run(&["audit", "export"]).ends(0).stdout();
    verify(&whole, &[lines.as_str(), &later, &later].concat()).ends(0);
    assert_eq!(served.end("TERM"), Some(0));
}

/// What the server has signed, and was not taken where it is to be.
fn missed(served: &Served) -> Vec<String> {
    let all = served.sql("SELECT statement FROM audit_checkpoints WHERE taken = 0 ORDER BY org, sequence");
    all.lines().map(str::to_owned).collect()
}

#[test]
fn a_log_that_is_no_socket_of_this_machine_is_named() {
    let stage = Stage::new();
    let words = ["serve", "--check", "--data", "server", "--master-key-file", "server/master.key"];
    for bad in ["syslog:log", "syslog:udp://log.example.com"] {
        let told = stage.run(&[&words[..], &["--audit-checkpoints", bad]].concat()).ends(3);
        assert!(told.stderr().contains("--audit-checkpoints cannot be used") && told.stderr().contains("whole path"));
    }
    let deaf = format!("syslog:{}", stage.root().join("log").display());
    let told = stage.run(&[&words[..], &["--audit-checkpoints", &deaf]].concat()).ends(3);
    assert!(told.stderr().contains("no log listens at") && told.stderr().contains("next: "), "{told}");
}
