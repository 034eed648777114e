//! What the server signs of the end of the audit, in the log of the machine.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use super::served::Served;
use crate::stage::Stage;
use crate::vaulted::store_env;

/// The next message that comes.
fn message(log: &UnixDatagram) -> String {
    let mut bytes = [0; 8192];
    let length = log.recv(&mut bytes).expect("a message");
    String::from_utf8(bytes[..length].to_vec()).expect("text")
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
    store_env(&client, "e", "A", "1");
    // One that comes back is told again.
    let log = UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    store_env(&client, "f", "A", "1");
    assert!(message(&log).contains("\"statement\":1"));
    assert_eq!(served.end("TERM"), Some(0));
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
