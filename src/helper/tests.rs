//! A desk with a vault of its own, at which the protocols are tried as the tools speak them; and what all have in common.

use std::cell::Cell;
use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::*;
use crate::credential::Fields;
use crate::http::{Request, Response, Unreachable};
use crate::provider::{self, Net};
use crate::secret::memory::Memory;
use crate::secret::{Choice, Reason, SecretStore, Slot, StoreError};
use crate::vault::{Change, Local, New, Vault};

/// The secret that is stored, and that nobody may see who asks for something else.
pub(super) const CANARY: &str = "LNYCANARY-s3cr3t";

/// A desk.
pub(super) struct Bench {
    dir: tempfile::TempDir,
    store: Memory,
    is_locked: Cell<bool>,
    variables: Vec<(String, String)>,
}

/// A store that a bench owns.
struct Shared<'m>(&'m Memory);

impl SecretStore for Shared<'_> {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        self.0.get(slot)
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        self.0.set(slot, value)
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        self.0.remove(slot)
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        self.0.probe(size)
    }

    fn choice(&self) -> Choice {
        self.0.choice()
    }
}

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

impl Bench {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, store: Memory::new(), is_locked: Cell::new(false), variables: Vec::new() }
    }

    /// A desk whose vault has one credential.
    pub(super) fn with(kind: &str, values: &[(&str, &str)]) -> Self {
        let bench = Self::new();
        bench.put("mine", kind, values, &[]);
        bench
    }

    pub(super) fn put(&self, name: &str, kind: &str, values: &[(&str, &str)], tags: &[&str]) {
        let mut raw = Raw::new();
        for (name, value) in values {
            raw.plain(name, value);
        }
        let mut new = New::named(name, Fields::parse(provider::by_kind(kind).unwrap().1, raw).unwrap());
        new.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.with_vault(|vault| vault.put(new).unwrap());
    }

    /// The keychain opens no more.
    pub(super) fn lock(&self) {
        self.is_locked.set(true);
    }

    pub(super) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    fn with_vault<T>(&self, work: impl FnOnce(&Local<'_>) -> T) -> T {
        let opener = |_| -> Result<Box<dyn SecretStore>, StoreError> {
            if self.is_locked.get() {
                return Err(StoreError::Locked { store: "keychain", cause: None });
            }
            Ok(Box::new(Shared(&self.store)))
        };
        work(&Local::new(self.dir.path(), Choice::Keychain, Box::new(opener), &now))
    }

    /// The names and tags of what is stored.
    pub(super) fn stored(&self) -> Vec<(String, BTreeSet<String>)> {
        let all = self.with_vault(|vault| vault.list().unwrap());
        all.into_iter().map(|metadata| (metadata.name, metadata.tags)).collect()
    }

    /// One question and its answer: the exit code, stdout, and the line for a person.
    pub(super) fn ask(&self, tool: &str, words: &[&str], text: &str) -> (u8, String, String) {
        let http = |_: Request| -> Result<Response, Unreachable> {
            let (origin, cause) = ("https://nowhere.example".into(), Reason("no network here".into()));
            Err(Unreachable::BrokenOff { origin, cause })
        };
        let variables: Vec<(&str, &str)> = self.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        let env = Env::invented(&self.dir.path().join("config"), self.dir.path(), &variables);
        let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let served = self.with_vault(|vault| {
            let desk = Desk { vault, net: Net { http: &http, env: &env, now: now() }, env: &env, sign_in: None };
            let (helper, call) = (by_name(tool).unwrap(), Call { arguments: &arguments, text, env: &env });
            serve(helper, &call, helper.ask(&call), &desk)
        });
        let Reply { stdout, talk, code } = served.reply;
        (code, String::from_utf8(stdout.to_vec()).unwrap(), talk.unwrap_or_default())
    }

    /// One question whose answer must be this, with nothing secret in what is said beside it.
    #[track_caller]
    pub(super) fn answers(&self, tool: &str, words: &[&str], text: &str, code: u8, stdout: &str) {
        let (told, bytes, talk) = self.ask(tool, words, text);
        assert_eq!((told, &*bytes), (code, stdout), "{words:?} {text:?} {talk}");
        assert!(!talk.contains(CANARY), "{talk}");
    }
}

/// The hosts to ask for where `https://good.example` alone is bound.
pub(super) const OTHERS: [&str; 20] = [
    "https://good.example.evil.example",
    "https://evil-good.example",
    "https://good.exampl",
    "https://example",
    "https://good.example:8443",
    "https://good.example:80",
    "https://good.example.",
    "https://good.example@evil.example",
    "https://good.example%2eevil.example",
    "https://good.example%00.evil.example",
    "https://evil.example/good.example",
    "https://evil.example#good.example",
    "https://evil.example?good.example",
    "https://evil.example\\@good.example",
    "https://g\u{43e}od.example",
    "http://good.example",
    "ftp://good.example",
    "https://",
    "https:///good.example",
    "",
];

/// How each tool asks for `URL`: its words, what it writes, the variables it sets; what it is told where nothing is
/// bound, and where the keychain is locked.
struct Row {
    tool: &'static str,
    words: &'static [&'static str],
    text: &'static str,
    nothing: (u8, &'static str),
    locked: (u8, &'static str),
}

const NO_DOCKER: (u8, &str) = (1, "credentials not found in native keychain\n");
const NO_CARGO: (u8, &str) = (0, "{\"Err\":{\"kind\":\"not-found\"}}\n");

const ROWS: [Row; 12] = [
    Row { tool: "git", words: &["get"], text: "protocol=https\nhost=HOST\n", nothing: (0, ""), locked: (0, "") },
    Row { tool: "docker", words: &["get"], text: "HOST", nothing: NO_DOCKER, locked: NO_DOCKER },
    Row { tool: "aws", words: &["NAME"], text: "", nothing: (1, ""), locked: (1, "") },
    Row { tool: "kubectl", words: &["NAME"], text: "", nothing: (1, ""), locked: (1, "") },
    Row {
        tool: "cargo",
        words: &[],
        text: r#"{"v":1,"registry":{"index-url":"sparse+https://HOST/"},"kind":"get","operation":"read"}"#,
        nothing: NO_CARGO,
        locked: NO_CARGO,
    },
    Row { tool: "keyring", words: &["get", "https://HOST/"], text: "", nothing: (1, ""), locked: (1, "") },
    Row { tool: "terraform", words: &["get", "HOST"], text: "", nothing: (0, "{}\n"), locked: (0, "{}\n") },
    // A build tool keeps for half an hour that nothing is needed: that is not said of a vault that may open soon.
    Row {
        tool: "bazel",
        words: &["get"],
        text: r#"{"uri":"https://HOST/x"}"#,
        nothing: (0, "{\"headers\":{}}\n"),
        locked: (1, ""),
    },
    Row { tool: "go", words: &["https://HOST/x"], text: "", nothing: (0, ""), locked: (1, "") },
    Row {
        tool: "google",
        words: &["NAME"],
        text: "",
        nothing: (0, "{\"version\":1,\"success\":false,\"code\":\"not_found\","),
        locked: (0, "{\"version\":1,\"success\":false,\"code\":\"failed\","),
    },
    Row { tool: "netrc", words: &["HOST"], text: "", nothing: (1, ""), locked: (1, "") },
    Row { tool: "askpass", words: &["Password for 'https://HOST': "], text: "", nothing: (1, ""), locked: (1, "") },
];

/// A vault with something for every tool, all of it for `good.example` or of the name `good`.
fn full() -> Bench {
    let mut bench = Bench::new();
    let secret = "LNYCANARYs3cr3t0000000000000000000000000";
    let keys = [("access_key_id", "AKIAIOSFODNN7EXAMPLE"), ("secret_access_key", secret), ("region", "eu-west-1")];
    bench.put("good", "aws_static", &keys, &[]);
    bench.put("git", "git", &[("host", "good.example"), ("username", "alice"), ("token", CANARY)], &[]);
    bench.put("docker", "registry", &[("url", "https://good.example"), ("username", "u"), ("password", CANARY)], &[]);
    let index = "sparse+https://good.example/";
    bench.put("cargo", "api_key", &[("service", "cargo"), ("index", index), ("api_key", CANARY)], &[]);
    let web = "https://good.example";
    bench.put("key", "api_key", &[("service", "own"), ("endpoint", web), ("api_key", CANARY)], &[]);
    let login = [("service", "own"), ("endpoint", web), ("username", "alice"), ("password", CANARY)];
    bench.put("login", "username_password", &login, &[]);
    let session = format!(
        r#"{{"version":1,"service":"corp","grant":"web","access_token":"{CANARY}","issued_at":"2027-01-15T07:00:00Z"}}"#
    );
    let sign_in = [("service", "corp"), ("google_audience", "//iam/mine"), ("session", &session)];
    bench.put("sign-in", "oauth", &sign_in, &[]);
    bench.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "//iam/mine");
    bench
}

fn filled(row: &Row, host: &str, name: &str) -> (Vec<String>, String) {
    let fill = |text: &str| text.replace("HOST", host).replace("NAME", name);
    (row.words.iter().map(|word| fill(word)).collect(), fill(row.text))
}

#[track_caller]
fn assert_told(bench: &Bench, row: &Row, (host, name): (&str, &str), (code, stdout): (u8, &str)) {
    let (words, text) = filled(row, host, name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (told, bytes, talk) = bench.ask(row.tool, &words, &text);
    let fits = if row.tool == "google" { bytes.starts_with(stdout) } else { bytes == stdout };
    assert!(told == code && fits, "{}: {told} {bytes:?} {talk:?}", row.tool);
    assert!(!bytes.contains("LNYCANARY") && !talk.contains("LNYCANARY"), "{}", row.tool);
}

#[test]
fn every_helper_has_a_row_and_names_of_its_own() {
    let mut names = BTreeSet::new();
    let mut programs = BTreeSet::new();
    for helper in HELPERS {
        assert!(names.insert(helper.name()), "{} twice", helper.name());
        assert!(ROWS.iter().any(|row| row.tool == helper.name()), "{} has no row above", helper.name());
        assert!(!helper.title().is_empty());
        assert!(by_name(helper.name()).is_some_and(|found| found.name() == helper.name()));
        for program in helper.programs() {
            assert!(programs.insert(*program), "{program} twice");
            assert!(by_program(program).is_some_and(|found| found.name() == helper.name()));
        }
    }
    assert!(by_name("lanyard").is_none() && by_program("lanyard").is_none());
}

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(|row| by_name(row.tool).is_some())
}

#[test]
fn what_is_not_bound_is_answered_with_nothing_in_the_tools_own_way() {
    let (full, empty) = (full(), Bench::new());
    for row in rows() {
        assert_told(&full, row, ("evil.example", "evil"), row.nothing);
        if row.tool != "google" {
            assert_told(&empty, row, ("good.example", "good"), row.nothing);
        }
    }
}

#[test]
fn a_locked_keychain_is_told_in_the_tools_own_way() {
    let bench = full();
    bench.lock();
    for row in rows() {
        let name = if row.tool == "google" { "sign-in" } else { "good" };
        assert_told(&bench, row, ("good.example", name), row.locked);
    }
}

#[test]
fn what_is_bound_is_handed_over() {
    let bench = full();
    // Of these, three are told more than a host and a name before they hand anything over.
    for row in rows().filter(|row| !["aws", "kubectl", "google"].contains(&row.tool)) {
        let (words, text) = filled(row, "good.example", "good");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, bytes, talk) = bench.ask(row.tool, &words, &text);
        assert!(code == 0 && !bytes.is_empty() && bytes != row.nothing.1, "{}: {bytes} {talk}", row.tool);
    }
}

#[test]
fn signing_in_once_more_keeps_the_users_own_words() {
    let bench = Bench::new();
    let login = |secret: &str| {
        let text = format!(r#"{{"ServerURL":"good.example","Username":"alice","Secret":"{secret}"}}"#);
        bench.answers("docker", &["store"], &text, 0, "");
    };
    login("one");
    bench.with_vault(|vault| {
        let stored = vault.list().unwrap().remove(0);
        let change = Change { tag: BTreeSet::from(["work".into()]), note: Some("mine".into()), ..Change::default() };
        vault.amend(&stored, &change).unwrap();
    });
    login("two");
    let all = bench.with_vault(|vault| vault.list().unwrap());
    let words: Vec<(&str, Vec<&str>)> =
        all.iter().map(|one| (one.note.as_str(), one.tags.iter().map(String::as_str).collect())).collect();
    assert_eq!(words, [("mine", vec!["stored-by-docker", "work"])]);
}

#[test]
fn every_kind_that_a_tool_is_given_is_one() {
    for helper in HELPERS {
        assert!(!helper.kinds().is_empty(), "{}", helper.name());
        for kind in helper.kinds() {
            assert!(provider::by_kind(kind).is_some(), "{}: {kind}", helper.name());
        }
    }
}
