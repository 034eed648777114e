//! What every tool is told when something is wrong: no vault, a keychain that is locked, a death in the middle, and
//! questions that no honest tool asks.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::keyring::Keyring;
use crate::stage::{Outcome, Stage};
use crate::vaulted;

const SECRET: &str = "LNYCANARY0123456789abcdeftrouble";

/// A question of a tool for `good.example`: its words, its text, what is said before it is read; and the answer without
/// a vault and with one that does not open.
struct Row {
    words: &'static [&'static str],
    text: &'static str,
    greeting: &'static str,
    nothing: (i32, &'static str),
    locked: (i32, &'static str),
}

const CARGO: &str =
    r#"{"v":1,"registry":{"index-url":"sparse+https://good.example/"},"kind":"get","operation":"read"}"#;

const ROWS: [Row; 8] = [
    Row {
        words: &["cargo", "--cargo-plugin"],
        text: CARGO,
        greeting: "{\"v\":[1]}\n",
        nothing: (0, "{\"Err\":{\"kind\":\"not-found\"}}\n"),
        locked: (0, "{\"Err\":{\"kind\":\"not-found\"}}\n"),
    },
    plain(&["keyring", "get", "https://good.example/", "alice"], "", (1, ""), (1, "")),
    plain(&["terraform", "get", "good.example"], "", (0, "{}\n"), (0, "{}\n")),
    plain(&["bazel", "get"], "{\"uri\":\"https://good.example/x\"}", (0, "{\"headers\":{}}\n"), (1, "")),
    plain(&["go", "https://good.example/m"], "", (0, ""), (1, "")),
    plain(&["google", "good"], "", (0, GOOGLE), (0, GOOGLE)),
    plain(&["netrc", "good.example"], "", (1, ""), (1, "")),
    plain(&["askpass", "Password for 'https://good.example': "], "", (1, ""), (1, "")),
];

const GOOGLE: &str = "{\"version\":1,\"success\":false,\"code\":";

const fn plain(
    words: &'static [&'static str],
    text: &'static str,
    nothing: (i32, &'static str),
    locked: (i32, &'static str),
) -> Row {
    Row { words, text, greeting: "", nothing, locked }
}

impl Row {
    fn words(&self) -> Vec<&'static str> {
        [&["helper"], self.words].concat()
    }

    fn ask(&self, stage: &Stage) -> Outcome {
        stage.run_with(&self.words(), self.text.as_bytes())
    }

    #[track_caller]
    fn assert_told(&self, outcome: &Outcome, (code, answer): (i32, &str)) {
        let told = outcome.stdout();
        let rest = told.strip_prefix(self.greeting).unwrap_or_else(|| panic!("no greeting: {outcome}"));
        let fits = if self.words[0] == "google" { rest.starts_with(answer) } else { rest == answer };
        assert!(outcome.code == Some(code) && fits, "{outcome}");
        assert!(!outcome.stderr().contains(SECRET) && !told.contains(SECRET), "{outcome}");
        if self.words[0] == "google" {
            assert_eq!(outcome.stderr(), "", "Google's libraries read it as part of the answer");
        }
    }
}

/// One credential for each of the tools.
fn fill(stage: &mut Stage) {
    stage.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "//iam/mine");
    let store = |words: &[&str]| {
        let all = [&["credentials", "store"], words, &["--no-verify"]].concat();
        stage.run_with(&all, SECRET.as_bytes()).ends(0);
    };
    store(&["api-key", "cargo", "--index", "sparse+https://good.example/", "--api-key", "-"]);
    store(&["api-key", "own", "--endpoint", "https://good.example", "--api-key", "-"]);
    store(&["password", "web", "--endpoint", "https://good.example", "--username", "alice", "--password", "-"]);
}

#[test]
fn without_a_vault_each_tool_is_told_that_there_is_nothing() {
    let mut stage = Stage::new();
    stage.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "//iam/mine");
    for row in &ROWS {
        row.assert_told(&row.ask(&stage), row.nothing);
    }
    assert!(!vaulted::data_dir(&stage).exists(), "nothing is made");
}

#[test]
fn with_a_locked_keychain_each_tool_is_told_so_in_its_own_way() {
    let keyring = Keyring::start();
    let mut stage = Stage::with_keyring(&keyring);
    fill(&mut stage);
    let answered = ROWS.iter().filter(|row| row.ask(&stage).stdout().contains(SECRET)).count();
    assert_eq!(answered, 6, "all but Google's, which needs a sign-in, and what hides the secret in base64");
    keyring.lock();
    let started = Instant::now();
    for row in &ROWS {
        row.assert_told(&row.ask(&stage), row.locked);
    }
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

#[test]
fn a_helper_that_is_killed_has_told_all_or_nothing() {
    let mut stage = vaulted::stage();
    fill(&mut stage);
    for row in &ROWS {
        let whole = row.ask(&stage).stdout();
        for delay in [0, 1, 2, 4, 6, 8, 12, 20, 40] {
            let mut running = stage.start(&row.words());
            let mut pipe = running.stdin.take().unwrap();
            let text = row.text.as_bytes();
            let _ = pipe.write_all(text);
            drop(pipe);
            std::thread::sleep(Duration::from_millis(delay));
            if running.is_alive() {
                running.signal("KILL");
            }
            let told = running.finish().stdout();
            let parts = ["", row.greeting, &whole];
            let is_dated = row.words[0] == "google" && told.ends_with("}\n");
            assert!(parts.contains(&told.as_str()) || is_dated, "{:?} after {delay} ms: {told:?}", row.words);
        }
    }
    // Whatever was interrupted, the next one is served.
    assert!(ROWS[1].ask(&stage).ends(0).stdout().contains(SECRET));
}

#[test]
fn a_question_that_no_honest_tool_asks_has_no_answer() {
    let mut stage = vaulted::stage();
    fill(&mut stage);
    let readers: [(&[&str], &str); 4] = [
        (&["helper", "cargo", "--cargo-plugin"], "{\"v\":[1]}\n"),
        (&["helper", "bazel", "get"], ""),
        (&["helper", "terraform", "store", "good.example"], ""),
        (&["helper", "keyring", "set", "https://good.example/", "alice"], ""),
    ];
    let deep = format!("{{\"token\":\"x\",\"uri\":\"https://good.example/\",\"a\":{}", "[".repeat(1 << 16));
    let many = format!("{{{}}}", "\"k\":1,".repeat(1_000_000));
    for (words, greeting) in readers {
        for text in [
            "x".repeat(64 << 20).into_bytes(),
            b"\xff\xfe".to_vec(),
            b"a\0b".to_vec(),
            deep.clone().into(),
            many.clone().into(),
        ] {
            let is_password = words[1] == "keyring" && text == deep.as_bytes();
            if is_password {
                continue;
            }
            let started = Instant::now();
            let outcome = stage.run_with(words, &text);
            assert!(outcome.code != Some(0), "{outcome}");
            assert_eq!(outcome.stdout(), greeting);
            assert!(started.elapsed() < Duration::from_secs(11), "{words:?} took {:?}", started.elapsed());
        }
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let mut stage = vaulted::stage();
    fill(&mut stage);
    for row in &ROWS {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = stage.command(&row.words());
        command.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped());
        let mut asking = command.spawn().unwrap();
        let _ = asking.stdin.take().unwrap().write_all(row.text.as_bytes());
        let told = asking.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.code().is_some_and(|code| code != 0 && code != 101), "{:?}: {said}", row.words);
        assert!(!said.contains(SECRET), "{:?}: {said}", row.words);
    }
}

#[test]
fn a_question_that_comes_too_slowly_is_not_waited_for() {
    let mut stage = vaulted::stage();
    fill(&mut stage);
    let asking: Vec<_> = ENDLESS
        .iter()
        .map(|(words, _)| {
            let mut asking = stage.start(&[&["helper"], *words].concat());
            let mut pipe = asking.stdin.take().unwrap();
            std::thread::spawn(move || {
                while pipe.write_all(b"x").is_ok() {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            (words, asking)
        })
        .collect();
    for (words, asking) in asking {
        let outcome = asking.finish().ends(1);
        let greeting = if words[0] == "cargo" { "{\"v\":[1]}\n" } else { "" };
        assert_eq!(outcome.stdout(), greeting, "{words:?}");
        assert!(outcome.stderr().starts_with("lanyard: ") && !outcome.stderr().contains(SECRET), "{outcome}");
    }
}

/// Words that a file in a clone can have a tool say besides its own.
const ADDED: [&[&str]; 5] = [
    &["--profile", "prod"],
    &["--url", "https://good.example/"],
    &["--index", "sparse+https://good.example/"],
    &["--credential", "web"],
    &["web"],
];

#[test]
fn what_lies_where_a_tool_is_started_has_no_say() {
    let mut stage = vaulted::stage();
    fill(&mut stage);
    stage.enter("clone");
    let answers: Vec<String> = ROWS.iter().map(|row| row.ask(&stage).stdout()).collect();
    let clone = stage.home().join("clone");
    for program in ["git", "xdg-open", "lanyard", "secret-tool", "docker-credential-x", "gpg", "aws"] {
        std::fs::write(clone.join(program), "#!/bin/sh\ntouch \"$HOME/pwned\"\n").unwrap();
        std::fs::set_permissions(clone.join(program), PermissionsExt::from_mode(0o755)).unwrap();
    }
    stage.set("PATH", ".::/usr/bin:/bin");
    for text in [
        "profile = \"x\"\nproject = \"y\"\nurl = \"https://evil.example\"\n",
        "helper = \"!touch pwned\"\nstorage = \"keychain\"\n[services.x]\nissuer = \"https://evil.example\"\n",
        "no TOML at all [",
    ] {
        std::fs::write(clone.join(".lanyard.toml"), text).unwrap();
        for (row, answer) in ROWS.iter().zip(&answers) {
            let told = row.ask(&stage);
            // Google's names the moment in its answer.
            assert!(told.stdout() == *answer || row.words[0] == "google", "{told}");
            for added in ADDED {
                // The same for a host that nothing is bound to.
                let words = row.words().into_iter().map(|word| word.replace("good.example", "evil.example"));
                let words: Vec<String> = words.chain(added.iter().map(|word| (*word).to_owned())).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let text = row.text.replace("good.example", "evil.example");
                let told = stage.run_with(&words, text.as_bytes());
                assert!(!told.stdout().contains(SECRET) && !told.stderr().contains(SECRET), "{told}");
            }
        }
    }
    assert!(!stage.home().join("pwned").exists() && !clone.join("pwned").exists(), "a program of the clone's was run");
}

/// Words of a helper, and the questions without an end that it may be asked: each a piece that comes again and again.
const ENDLESS: [(&[&str], &[&str]); 8] = [
    (&["git", "get"], &["x", "protocol=https\n", "wwwauth[]=x\n", "\n"]),
    (&["git", "erase"], &["x", "password=x\n"]),
    (&["docker", "get"], &["x", "good.example\n", " "]),
    (&["docker", "store"], &["x", "[", "{\"Secret\":\"x\"}"]),
    (&["cargo", "--cargo-plugin"], &["x", "[", "\"x\","]),
    (&["bazel", "get"], &["x", "[", "{\"uri\":"]),
    (&["terraform", "store", "good.example"], &["x", "["]),
    (&["keyring", "set", "https://good.example/", "alice"], &["x", " "]),
];

/// So much a helper may have in memory, in kilobytes.
const MOST_MEMORY: u64 = 32 << 10;

#[test]
fn a_question_of_a_gigabyte_is_refused_from_little_memory() {
    const GIGABYTE: usize = 1 << 30;
    let mut stage = vaulted::stage();
    fill(&mut stage);
    let log = stage.root().join("memory");
    stage.wrap(&["/usr/bin/time", "-q", "-f", "%M", "-o", log.to_str().unwrap(), "--"]);
    for (words, pieces) in ENDLESS {
        for piece in pieces {
            let what = format!("{words:?} asked {piece:?}");
            let mut asking = stage.start(&[&["helper"], words].concat());
            let mut pipe = asking.stdin.take().unwrap();
            let block = piece.repeat((1 << 20) / piece.len());
            let writer = std::thread::spawn(move || {
                (0..GIGABYTE / block.len()).take_while(|_| pipe.write_all(block.as_bytes()).is_ok()).count()
            });
            let outcome = asking.finish();
            // It stops reading long before the end, and git's question ends with an empty line.
            let read = writer.join().unwrap();
            assert!(read < 16, "{what}: it read {read} MB");
            let is_whole = words[0] == "git" && *piece == "\n";
            assert!(is_whole || outcome.code == Some(1), "{what}: {outcome}");
            let greeting = if words[0] == "cargo" { "{\"v\":[1]}\n" } else { "" };
            assert_eq!(outcome.stdout(), greeting, "{what}");
            let said = outcome.stderr();
            assert!(is_whole || said.starts_with("lanyard: ") && said.lines().count() == 1, "{what}: {outcome}");
            let peak = std::fs::read_to_string(&log).unwrap();
            let peak: u64 = peak.trim().parse().unwrap_or_else(|_| panic!("{what}: {peak}"));
            assert!(peak < MOST_MEMORY, "{what}: {peak} kB");
        }
    }
}
