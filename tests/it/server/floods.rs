//! Tools that others made to wear a server out, or to find what is weak in its TLS: `slowhttptest` and `testssl.sh`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::served::Served;
use crate::secure::{Authority, NAMES};
use crate::stage::Stage;
use crate::wire;

/// How long everything else takes while something happens, from the fastest to the slowest.
fn healthy_while(url: &str, happens: impl FnOnce()) -> Vec<Duration> {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let healthy = scope.spawn(|| {
            let mut times = Vec::new();
            while !ends.load(Ordering::SeqCst) {
                let begun = Instant::now();
                assert_eq!(wire::get(&format!("{url}/readyz")).map(|answer| answer.status()), Some(200));
                // What has turns is answered as well.
                let wrong = [("grant_type", "none"), ("client_id", "lanyard")];
                let asked = wire::post_form(&format!("{url}/token"), &wrong).map(|answer| answer.status());
                assert_eq!(asked, Some(400));
                times.push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            times.sort();
            times
        });
        happens();
        ends.store(true, Ordering::SeqCst);
        healthy.join().unwrap()
    })
}

/// Has `slowhttptest` open connections in one of its ways, for so many seconds at most.
fn slowly(way: &str, url: &str, seconds: u32) -> Child {
    Command::new("slowhttptest")
        .args([way, "-c", "150", "-r", "150", "-i", "2", "-p", "3", "-l", &seconds.to_string()])
        // Ten bytes at a time are sent, and some are read with a window that is small.
        .args(["-x", "10", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3", "-u", url])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("slowhttptest is installed; tests/run does that")
}

/// What it told in the end, without its colours.
fn told(tool: Child) -> String {
    let done = tool.wait_with_output().unwrap();
    let colour = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    colour.replace_all(&text, "").into_owned()
}

#[test]
fn slow_heads_bodies_and_readers_keep_nobody_else_waiting() {
    let served = Served::fresh(&[]);
    let mut seen = Vec::new();
    // What else the machine does can make it slow once: what the tool does, it does every time.
    for _ in 0..3 {
        let times = while_slow(&served.url);
        let late = times[times.len() * 99 / 100];
        seen.push((late, times.len()));
        if late < Duration::from_secs(1) {
            return;
        }
    }
    panic!("{seen:?}");
}

/// How long a healthy client is waited for while the tool does what it can, from the fastest to the slowest.
fn while_slow(url: &str) -> Vec<Duration> {
    healthy_while(url, || {
        let heads = slowly("-H", &format!("{url}/healthz"), 25);
        let bodies = slowly("-B", &format!("{url}/token"), 25);
        let readers = slowly("-X", &format!("{url}/openapi.json"), 15);
        for (what, tool) in [("heads", heads), ("bodies", bodies), ("readers", readers)] {
            let told = told(tool);
            let sees = told.lines().filter_map(|line| line.strip_prefix("service available:"));
            let sees: Vec<&str> = sees.map(str::trim).collect();
            assert!(!sees.is_empty() && sees.iter().all(|is| *is == "YES"), "slow {what}: {told}");
            // Nobody is waited for who only goes on sending a little.
            let are_gone = told.contains("No open connections left");
            assert!(are_gone || what == "readers", "slow {what}: {told}");
        }
    })
}

/// Whoever has not sent what they want yet takes nobody's turn.
#[test]
fn who_has_not_sent_a_body_yet_takes_no_turn() {
    let served = Served::fresh(&[]);
    let address = served.url.strip_prefix("http://").unwrap();
    let mut half = Vec::new();
    for path in ["/token", "/sign-in"] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address).unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: {}\r\nContent-Length: 500\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\ngrant_type=",
                served.url
            );
            stream.write_all(head.as_bytes()).unwrap();
            half.push(stream);
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let fields = [("login", "nobody@example.com"), ("passphrase", "wrong wrong wrong")];
    let signed_in = super::served::Browser::new(&served.url).post("/sign-in", &fields);
    assert_eq!(signed_in.status(), 403, "{}", signed_in.text());
    let wrong = [("grant_type", "none"), ("client_id", "lanyard")];
    assert_eq!(wire::post_form(&format!("{}/token", served.url), &wrong).unwrap().status(), 400);
    // The others have ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    for stream in &mut half {
        stream.set_nonblocking(true).unwrap();
        let waits = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock, "it is still waited for");
    }
    // Nor is it their turn with more than such a form has.
    let long = [("login", "a".repeat(140_000)), ("passphrase", "wrong".into())];
    let (form, origin) = (wire::form(&long), format!("Origin: {}", served.url));
    let headers = ["Content-Type: application/x-www-form-urlencoded", &origin];
    assert_eq!(wire::send("POST", &format!("{}/sign-in", served.url), &headers, &form).unwrap().status(), 413);
}

/// A server with a certificate of an authority of its own.
fn under_tls(authority: &Authority) -> Served {
    let stage = Stage::new();
    let certificate = authority.issue("server", NAMES, None);
    let (chain, key) = (certificate.pem.to_str().unwrap(), certificate.key.to_str().unwrap());
    std::fs::set_permissions(&certificate.key, PermissionsExt::from_mode(0o600)).unwrap();
    Served::on(stage, &["--tls-certificate", chain, "--tls-key", key])
}

#[test]
fn a_tester_of_tls_finds_nothing_that_is_weak() {
    let authority = Authority::new();
    let served = under_tls(&authority);
    let found: PathBuf = served.stage.home().join("found.json");
    // Protocols, ciphers, their order, forward secrecy and everything that has a name; nobody else is asked.
    let done = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1"])
        .args(["-p", "-s", "-f", "-P", "-U", "--add-ca"])
        .arg(authority.pem())
        .arg("--jsonfile")
        .arg(&found)
        .arg(&served.url)
        .stdin(Stdio::null())
        .output()
        .expect("testssl.sh is installed; tests/run does that");
    let told = String::from_utf8_lossy(&done.stdout);
    let found: Vec<Value> = serde_json::from_slice(&std::fs::read(&found).unwrap()).expect("JSON");
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let of = |id: &str| found.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id}: {told}"));
    for old in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert_eq!(text(of(old), "finding"), "not offered", "{old}");
    }
    for new in ["TLS1_2", "TLS1_3"] {
        assert!(text(of(new), "finding").starts_with("offered"), "{new}: {told}");
    }
    for id in
        ["heartbleed", "ROBOT", "secure_renego", "CRIME_TLS", "BREACH", "SWEET32", "LOGJAM", "RC4", "cipher_order"]
    {
        assert_eq!(of(id)["severity"], "OK", "{}", of(id));
    }
    let bad = |one: &&Value| ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].contains(&text(one, "severity").as_str());
    let bad: Vec<&Value> = found.iter().filter(bad).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

/// What is not spoken is not offered: no stream, and nothing that could be reset.
#[test]
fn another_version_of_http_is_not_offered() {
    let authority = Authority::new();
    let served = under_tls(&authority);
    let address = served.url.strip_prefix("https://").unwrap();
    let shake = |offers: &str| {
        let mut openssl = Command::new("openssl");
        let done =
            openssl.args(["s_client", "-connect", address, "-alpn", offers]).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    };
    assert!(shake("h2,http/1.1").contains("ALPN protocol: http/1.1"));
    let alone = shake("h2");
    assert!(alone.contains("no application protocol") && !alone.contains("ALPN protocol"), "{alone}");
}
