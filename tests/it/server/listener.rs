//! Whoever knocks: too old a TLS, those who take nothing, those who guess; and what lies in the data folder.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::secure::{Authority, NAMES};
use crate::stage::Stage;
use crate::vaulted::store_env;
use crate::wire;

#[test]
fn a_tls_before_1_2_is_refused() {
    let authority = Authority::new();
    let certificate = authority.issue("server", NAMES, None);
    std::fs::set_permissions(&certificate.key, PermissionsExt::from_mode(0o600)).unwrap();
    let (chain, key) = (certificate.pem.to_str().unwrap(), certificate.key.to_str().unwrap());
    let served = Served::fresh(&["--tls-certificate", chain, "--tls-key", key]);
    let address = served.url.strip_prefix("https://").unwrap();
    let shake = |version: &str| {
        let words = ["s_client", "-connect", address, version, "-cipher", "DEFAULT:@SECLEVEL=0"];
        let done = Command::new("openssl").args(words).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    };
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let told = shake(version);
        assert!(told.contains(&format!("New, {name}, Cipher is")), "{told}");
    }
    for version in ["-tls1_1", "-tls1"] {
        let told = shake(version);
        // The server says so; openssl itself would have gone on.
        assert!(told.contains("SSL alert number") && told.contains("Cipher is (NONE)"), "{version}: {told}");
    }
}

/// What lies in a folder, with who may do what to it.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    found.push((folder.display().to_string(), mode(folder)));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(modes(&path));
        } else {
            found.push((path.display().to_string(), mode(&path)));
        }
    }
    found
}

#[test]
fn what_lies_in_the_data_is_its_owners_alone_whatever_the_umask_is() {
    let mut stage = Stage::new();
    stage.wrap(&["sh", "-c", "umask 000 && exec \"$@\"", "sh"]);
    let served =
        Served::on(stage, &["--audit-checkpoints", "server/checkpoints.jsonl", "--audit-checkpoint-every", "1"]);
    let check = |when: &str, needed: &[&str]| {
        let found = modes(&served.data());
        for name in needed {
            assert!(found.iter().any(|(path, _)| path.ends_with(name)), "{when}: no {name} in {found:?}");
        }
        for (path, mode) in found {
            let expected = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{when}: {path} is {mode:o}");
        }
    };
    served.link();
    check("before anybody came", &["server.db", "server.db-wal", "server.db-shm", "master.key", "setup-link"]);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    store_env(&served.client(), "db", "A", "LNYCANARYvalue");
    let waited = Instant::now();
    while !served.data().join("checkpoints.jsonl").exists() {
        assert!(waited.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(50));
    }
    let place = ["--data", "server", "--master-key-file", "server/master.key"];
    served.stage.run(&[&["server", "backup", "server/copy"][..], &place].concat()).ends(0);
    served.stage.run(&[&["server", "rotate-key", "--secrets"][..], &place].concat()).ends(0);
    check("afterwards", &["server.db", "master.key", "checkpoints.jsonl", "copy"]);
}

#[test]
fn the_link_that_makes_the_owner_ends_after_its_hour() {
    let served = Served::fresh(&[]);
    let link = served.link();
    let ends: i64 = served.sql("SELECT expires FROM invitations WHERE purpose = 'setup'").trim().parse().unwrap();
    let now = i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis());
    let left = ends - now.unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    assert_eq!(wire::get(&link).unwrap().status(), 200);
    served.sql("UPDATE invitations SET expires = expires - 3600000");
    assert_eq!(wire::get(&link).unwrap().status(), 409);
    assert_eq!(served.set_up(PASSPHRASE).status(), 409);
    assert_eq!(served.sql("SELECT COUNT(*) FROM people").trim(), "0");
    let told = served.entries();
    let denied = told.iter().any(|entry| entry["action"] == "organization.create" && entry["outcome"] == "denied");
    assert!(denied, "{told:?}");
    served.sql("UPDATE invitations SET expires = expires + 3600000");
    assert_eq!(served.set_up(PASSPHRASE).status(), 303, "its time was all that was wrong");
}

#[test]
fn who_takes_nothing_of_an_answer_is_cut_and_who_takes_little_is_not() {
    const ASKED: usize = 600;
    let served = Served::fresh(&[]);
    let address = served.url.strip_prefix("http://").unwrap();
    let one = wire::get(&format!("{}/openapi.json", served.url)).unwrap().text().len();
    assert!(ASKED * one > 64 << 20, "more than lies between the two");
    let ask = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(ASKED).as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    };
    let (mut silent, mut slow) = (ask(), ask());
    let begun = Instant::now();
    let mut part = vec![0; 256 << 10];
    let mut taken = 0;
    while begun.elapsed() < Duration::from_secs(40) {
        // So that the system, which keeps some megabytes for it, says so in time.
        let count = slow.read(&mut part).unwrap();
        assert!(count > 0, "after {:?} and {taken} bytes", begun.elapsed());
        taken += count;
        std::thread::sleep(Duration::from_millis(500));
    }
    let mut rest = 0;
    let ended = loop {
        match silent.read(&mut part) {
            Ok(0) => break true,
            Ok(count) => rest += count,
            Err(failure) => break failure.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    assert!(ended && rest < ASKED * one, "{rest} of {}", ASKED * one);
}

#[test]
fn whoever_guesses_codes_of_devices_or_invitations_waits() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let word = hidden(&browser.get("/device").text()).into_iter().find(|(name, _)| name == "word").unwrap().1;
    let guess = |number: usize| {
        let letters = b"BCDFGHJKLMNPQRSTVWXZ";
        let letter = |place: usize| letters[(number * 7 + place * 3) % letters.len()] as char;
        let code: String = (0..8).map(letter).collect();
        browser.post("/device", &[("word", &word), ("user_code", &code)]).status()
    };
    let statuses: Vec<u16> = (0..12).map(guess).collect();
    assert!(statuses[..5].iter().all(|status| *status == 404) && statuses[6..].contains(&429), "{statuses:?}");
    let denied = |action: &str| {
        let told = served.entries();
        told.iter().filter(|entry| entry["action"] == action && entry["outcome"] == "denied").count()
    };
    assert_eq!(denied("program.admit"), statuses.iter().filter(|status| **status == 404).count());
    // A right code waits as well: who guesses learns nothing by it.
    served.sql("UPDATE attempts SET failures = 12 WHERE subject LIKE 'device:%'");
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let asked =
        wire::send("POST", &format!("{}/device-authorization", served.url), &form, "client_id=lanyard").unwrap();
    let code = asked.json()["user_code"].as_str().unwrap().to_owned();
    assert_eq!(browser.post("/device", &[("word", &word), ("user_code", &code)]).status(), 429);

    let bearer = token(&served.manager());
    let invited = served.api("POST", "/invitations", &bearer, "{\"role\":\"reader\",\"for\":\"bob\"}");
    let link = invited.json()["link"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    let accept = |token: &str| {
        let fields = [("token", token), ("login", "bob"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
        Browser::new(&served.url).post("/invite", &fields).status()
    };
    let statuses: Vec<u16> = (0..10).map(|_| accept("nonsense")).collect();
    assert!(statuses[..5].iter().all(|status| *status == 409) && statuses[6..].contains(&429), "{statuses:?}");
    assert_eq!(denied("invitation.accept"), statuses.iter().filter(|status| **status == 409).count());
    assert_eq!(served.sql(&format!("SELECT COUNT(*) FROM people WHERE login <> '{LOGIN}'")).trim(), "0");
    assert_eq!(accept(&link), 303, "who has the link is kept from nothing by those who guess");
}
