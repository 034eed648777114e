//! What whoever runs the server is told: while it is sealed, at each start, of a role that nothing binds, of statements
//! that are gone, of whoever comes past the proxy, and how far a long work is.

use std::process::Command;

use serde_json::{Value, json};

use super::backup::at;
use super::load::key;
use super::openbao::wait_until;
use super::postgres::Postgres;
use super::served::Served;
use crate::peers::free_port;
use crate::stage::Stage;
use crate::vaulted::store_env;
use crate::wire;

const CHECK: &[&str] = &["--check", "--listen", "127.0.0.1:0"];

#[test]
fn numbers_are_told_while_the_server_is_sealed() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let mut served = Served::new(&["--sealed-start", "yes", "--metrics-listen", &metrics]);
    let (place, away) = (served.data().join("master.key"), served.data().join("away"));
    assert_eq!(served.end("TERM"), Some(0));
    std::fs::rename(&place, &away).unwrap();
    served.again();
    let page = || {
        let answer = wire::get(&format!("http://{metrics}/metrics")).expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.text()
    };
    let sealed = page();
    assert!(sealed.contains("\nlanyard_sealed 1\n") && sealed.contains("\nprocess_resident_memory_bytes "), "{sealed}");
    assert!(!sealed.contains("\nlanyard_people "), "{sealed}");
    std::fs::rename(&away, &place).unwrap();
    wait_until("it serves", || page().contains("\nlanyard_sealed 0\n"));
    let open = page();
    assert!(open.contains("\nlanyard_people 1\n") && open.contains("\nlanyard_database_up 1\n"), "{open}");
}

#[test]
fn a_file_of_statements_that_is_gone_is_told() {
    let mut served = Served::new(&["--audit-checkpoints", "checkpoints.jsonl"]);
    let file = served.stage.home().join("checkpoints.jsonl");
    let check = |served: &Served| served.stage.run(&served.words(CHECK));
    // Nothing was signed yet.
    check(&served).ends(0);
    assert_eq!(served.end("TERM"), Some(0));
    check(&served).ends(0);
    assert!(std::fs::read_to_string(&file).unwrap().lines().count() >= 1);
    std::fs::remove_file(&file).unwrap();
    let told = check(&served).ends(8);
    assert!(told.stderr().contains("statements about the audit were signed, and"), "{told}");
    assert!(told.stderr().contains(&format!("{} is not there", file.display())), "{told}");
    assert!(told.stderr().contains("next: name the file that the server appends to"), "{told}");
    served.again();
    served.wait_for("a warning", |line| {
        line.contains("checkpoints.jsonl is not there: another one begins").then_some(())
    });
    assert_eq!(served.end("TERM"), Some(0));
    check(&served).ends(0);
    // Whoever makes it says that another one is to begin.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    check(&served).ends(0);
}

#[test]
fn a_role_that_nothing_binds_is_told() {
    let postgres = Postgres::start();
    let (bound, free) = (postgres.url(), postgres.url().replace("lanyard:lanyard-pw", "postgres:postgres-pw"));
    let told = "bypasses row-level security: the database keeps organizations apart for neither";
    let mut served = Served::fresh(&["--database", &free]);
    served.wait_for("a warning", |line| {
        (line.contains("the role postgres is a superuser") && line.contains(told)).then_some(())
    });
    let warned = served.stage.run(&served.words(CHECK)).ends(0);
    assert!(warned.stderr().contains(told) && warned.stderr().contains("CREATE ROLE lanyard LOGIN"), "{warned}");
    postgres.as_superuser("ALTER ROLE lanyard BYPASSRLS");
    let check = ["serve", "--check", "--listen", "127.0.0.1:0", "--master-key-file", "k", "--database"];
    let elsewhere = bound.rsplit_once('/').unwrap().0.to_owned() + "/other";
    postgres.as_superuser("CREATE DATABASE other OWNER lanyard");
    let stage = Stage::new();
    let other = || stage.run(&[&check[..], &[&elsewhere]].concat()).ends(0);
    assert!(other().stderr().contains("the role lanyard is a superuser"));
    postgres.as_superuser("ALTER ROLE lanyard NOBYPASSRLS");
    assert!(!other().stderr().contains("row-level security"));
}

/// The settings that were told at the last start.
fn last_start(served: &Served) -> String {
    let told = served.stage.run(&at(&["audit", "--json", "--limit", "100"], &[])).ends(0).json();
    let details: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["action"] == "server.start")
        .map(|entry: &Value| entry["detail"].as_str().unwrap())
        .take_while({
            let mut is_over = false;
            move |detail| !std::mem::replace(&mut is_over, detail.starts_with("version="))
        })
        .collect();
    details.into_iter().rev().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_changed_setting_is_seen_in_the_audit_of_the_server() {
    let mut served = Served::fresh(&["--audit-checkpoints", "c.jsonl"]);
    // The link comes after what is told.
    served.link();
    let first = last_start(&served);
    assert!(first.starts_with("version=0."), "{first}");
    let home = served.stage.home();
    for word in [
        format!("public-url={}", served.url),
        // As it was given: any port that is free.
        "listen=127.0.0.1:0".into(),
        "tls=none".into(),
        "secrets-engine=envelope".into(),
        format!("audit-checkpoints={}", home.join("c.jsonl").display()),
    ] {
        assert!(format!("{first} ").contains(&format!("{word} ")), "{word}: {first}");
    }
    assert!(!first.contains("behind-proxy") && !first.contains("allow-host"), "{first}");
    assert_eq!(served.end("TERM"), Some(0));
    let mut hosts: Vec<String> = (0..20).map(|number| format!("git-{number}.corp.example.com")).collect();
    hosts.push("LNYCANARY.example.com".to_lowercase());
    let mut more = vec!["--behind-proxy", "192.0.2.9", "--public-url", "https://lanyard.example.com"];
    more.extend(hosts.iter().flat_map(|host| ["--allow-host", host]));
    let mut again = served.stage.start(&served.words(&[&["--listen", "127.0.0.1:0"], &more[..]].concat()));
    again.wait_for("its address", |line| line.contains("Serving https://lanyard.example.com").then_some(()));
    again.signal("TERM");
    again.finish().ends(0);
    let second = last_start(&served);
    for word in ["public-url=https://lanyard.example.com", "tls=proxy", "behind-proxy=192.0.2.9"] {
        assert!(second.contains(word), "{word}: {second}");
    }
    let told: Vec<&str> = second.split(' ').filter_map(|word| word.strip_prefix("allow-host=")).collect();
    assert_eq!(told, hosts, "each of them, whole: {second}");
    served.stage.run(&served.words(CHECK)).ends(0);
}

/// In a network of its own, with addresses that are none of loopback.
const APART: &str = r#"
set -e
ip link set lo up
for address in 192.0.2.7 192.0.2.8 192.0.2.9; do ip addr add $address/32 dev lo; done
"$@" 2>/dev/null &
for round in $(seq 300); do
    curl -s -o /dev/null http://127.0.0.1:7447/healthz && break
    sleep 0.1
done
ask() { curl -s -o /dev/null -w "$1 $3 %{http_code}\n" --interface "$1" "http://$2:7447$3"; }
ask 127.0.0.1 127.0.0.1 /sign-in
ask 192.0.2.9 192.0.2.7 /sign-in
ask 192.0.2.8 192.0.2.7 /sign-in
ask 192.0.2.8 192.0.2.7 /nowhere
ask 192.0.2.8 192.0.2.7 /healthz
ask 192.0.2.8 192.0.2.7 /readyz
curl -s --interface 192.0.2.8 -H 'X-Forwarded-For: 127.0.0.1' http://192.0.2.7:7447/sign-in
kill -TERM $!
wait $!
"#;

#[test]
fn whoever_comes_past_the_proxy_is_sent_to_it() {
    let stage = Stage::new();
    let serve = ["serve", "--data", "server", "--master-key-file", "server/master.key", "--listen", "0.0.0.0:7447"];
    let proxy = ["--behind-proxy", "192.0.2.9", "--public-url", "https://lanyard.example.com"];
    let plain = stage.command(&[&serve[..], &proxy].concat());
    let mut apart = Command::new("unshare");
    apart.args(["-n", "bash", "-c", APART, "bash"]).arg(plain.get_program()).args(plain.get_args());
    apart.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    apart.env("PATH", std::env::var_os("PATH").unwrap()).current_dir(stage.home());
    let done = apart.output().expect("unshare");
    let told = String::from_utf8(done.stdout).unwrap();
    let asked = "127.0.0.1 /sign-in 200\n192.0.2.9 /sign-in 200\n192.0.2.8 /sign-in 403\n192.0.2.8 /nowhere 403\n\
                 192.0.2.8 /healthz 200\n192.0.2.8 /readyz 200\n";
    let body = told.strip_prefix(asked).unwrap_or_else(|| panic!("{told}{}", String::from_utf8_lossy(&done.stderr)));
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["type"], "urn:lanyard:problem:past-the-proxy");
    assert!(body["detail"].as_str().unwrap().contains("come through that"), "{body}");
    assert!(done.status.success());
}

/// A command under the eyes of strace; what it wrote of these calls.
fn traced(served: &Served, words: &[&str], calls: &[&str]) -> (String, std::process::Output) {
    let plain = served.stage.command(words);
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-y", "-o"]).arg(log.path()).args(calls).arg("--");
    traced.arg(plain.get_program()).args(plain.get_args());
    traced.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.current_dir(served.stage.home());
    let done = traced.output().expect("strace is installed; tests/run does that");
    assert!(done.status.success(), "{done:?}");
    (std::fs::read_to_string(log.path()).unwrap(), done)
}

#[test]
fn the_name_of_a_backup_is_on_the_disk_as_well() {
    let served = Served::new(&[]);
    let calls = ["-e", "trace=fsync,link,linkat,rename,renameat,renameat2"];
    let (log, _) = traced(&served, &at(&["backup", "b"], &[]), &calls);
    let named = log.rfind("/b\"").or_else(|| log.rfind("\"b\"")).unwrap_or_else(|| panic!("it gets its name: {log}"));
    let folder = format!("<{}>)", served.stage.home().canonicalize().unwrap().display());
    let is_synced = log[named..].lines().any(|line| line.contains("fsync(") && line.contains(&folder));
    assert!(is_synced, "{log}");
}

#[test]
fn a_long_rotation_tells_how_far_it_is() {
    let served = Served::new(&["--database", "sqlite:server.db"]);
    let bearer = key(&served);
    for number in 0..120 {
        let body = json!({ "name": format!("n{number}"), "kind": "generic_env", "data": { "A": "1" } }).to_string();
        assert_eq!(served.api("POST", "/credential-configs", &bearer, &body).status(), 201);
    }
    // Each commit takes a good second: so does all of it on a slow disk.
    let slow = ["-e", "trace=fsync,fdatasync,sendto", "-e", "inject=fsync,fdatasync:delay_exit=1200000"];
    let (_, done) = traced(&served, &at(&["rotate-key", "--keep-master", "--secrets"], &[]), &slow);
    let told = String::from_utf8(done.stderr).unwrap();
    let form = regex::Regex::new("([0-9]+) of 120 secrets rest under their new key").unwrap();
    let steps: Vec<u32> = form.captures_iter(&told).map(|found| found[1].parse().unwrap()).collect();
    assert!(!steps.is_empty() && steps.is_sorted() && steps.iter().all(|step| *step <= 120), "{told}");
    // What is told a machine stays one answer.
    let quick = served.stage.run(&at(&["rotate-key", "--keep-master", "--json"], &[])).ends(0);
    assert_eq!(quick.json()["rewrapped"], 120);
}

#[test]
fn what_is_left_of_a_rotation_is_counted() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let served = Served::new(&["--metrics-listen", &metrics]);
    let stage = served.client();
    store_env(&stage, "db", "A", "1");
    let number = |name: &str| -> i64 {
        let page = wire::get(&format!("http://{metrics}/metrics")).expect("an answer").text();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).map(str::to_owned);
        line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
    };
    let all = || {
        ["server_key_version", "key_rotations_unfinished", "data_keys_under_older"]
            .map(|name| number(&format!("lanyard_{name}")))
    };
    assert_eq!(all(), [0, 0, 0]);
    served.stage.run(&at(&["rotate-key", "--keep-master", "--secrets"], &[])).ends(0);
    assert_eq!(all(), [1, 0, 0]);
    // One that has broken off right after it was begun.
    let org = "(SELECT org FROM organization_keys)";
    served.sql(&format!("INSERT INTO key_rotations (org, version, anew, reached) VALUES ({org}, 3, 0, '')"));
    assert_eq!(all(), [1, 1, 1]);
}
