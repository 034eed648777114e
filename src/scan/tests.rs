//! The engine as a whole, on folders made for each test; and a provider of its own, so that the tests know every mark.

use std::path::Path;

use super::*;
use crate::credential::{Field, Issued, Kind, Material, Raw, Variable, rules};
use crate::http::{HeaderMap, Request, Response, Unreachable};
use crate::provider::{Broken, Mark, Net, Origin};
use crate::secret::Secret;

/// A provider with a kind of each shape.
pub(super) struct Keys;
pub(super) static KEYS: Keys = Keys;
pub(super) static OPEN: Kind = Kind::new("open", "variables", "keys", &[]).open(any_name);

static TOKEN_FIELDS: [Field; 1] = [Field::secret("token", "Token").checked(rules::token, "tk-0123456789abcdef")];
static PAIR_FIELDS: [Field; 2] = [
    Field::identifier("key_id", "Key id").checked(rules::token, "TID0123456789ABCDEFG"),
    Field::secret("secret_key", "Secret key").checked(rules::token, "SK/0123456789abcdefghij"),
];
static LOGIN_FIELDS: [Field; 2] = [Field::plain("username", "User"), Field::secret("password", "Password")];
static KINDS: [Kind; 4] = [
    Kind::new("peer_token", "peer token", "keys", &TOKEN_FIELDS),
    Kind::new("peer_keys", "peer keys", "keys", &PAIR_FIELDS),
    Kind::new("peer_login", "peer login", "keys", &LOGIN_FIELDS),
    Kind::new("generic_env", "variables", "keys", &[]).open(any_name),
];
static MARKS: [Mark; 6] = [
    mark("peer_token", "token", "tk-", r"\b(tk-[a-z0-9]{16})\b"),
    mark("peer_token", "token", "tk-live-", r"\b(tk-live-[a-z0-9]{16})\b"),
    mark("peer_keys", "key_id", "TID", r"\bTID[0-9A-Z]{17}\b"),
    mark("peer_keys", "secret_key", "SK/", r"(SK/[0-9a-z]{20})"),
    mark("peer_keys", "secret_key", "PAIR", r"PAIR[0-9]{10} = (SK-[0-9a-z]{20})"),
    mark("peer_login", "password", "peer-auth", r#""peer-auth"\s*:\s*"([A-Za-z0-9+/=]+)""#),
];

const fn mark(kind: &'static str, field: &'static str, keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind, field, service: "", keyword, pattern }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of a rule")]
fn any_name(_: &str) -> Result<(), &'static str> {
    Ok(())
}

impl Provider for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }
    fn title(&self) -> &'static str {
        "Keys"
    }
    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }
    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }
    /// A file `~/keys.ini` of `id secret` lines; and a variable.
    fn discover(&self, here: &Here<'_>) -> Discovered {
        let mut all = Discovered::default();
        if let Some(token) = here.env.var("PEER_TOKEN") {
            let mut raw = Raw::new();
            raw.set("token", Secret::new(token.to_owned()));
            all.found.push(Found {
                kind: &KINDS[0],
                raw,
                name: None,
                origin: Origin::variable("PEER_TOKEN"),
                expires: None,
            });
        }
        let Some(path) = here.home("keys.ini").filter(|path| path.exists()) else { return all };
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some((id, secret)) = line.split_once(" = ") else {
                let place = here.shown(&path);
                let failure = ProviderError::Foreign { place, what: "list of keys", problem: "no line".into() };
                all.broken.push(Broken { failure, is_meant: false });
                continue;
            };
            let mut raw = Raw::new();
            raw.plain("key_id", id).set("secret_key", Secret::new(secret.to_owned()));
            let origin = Origin::file(here, &path, &format!("[{id}]"));
            all.found.push(Found { kind: &KINDS[1], raw, name: Some(id.to_lowercase()), origin, expires: None });
        }
        all
    }
    fn hosts(&self, _: &Metadata) -> Vec<String> {
        Vec::new()
    }
    fn probe(&self, _: &Credential, _: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let url = crate::http::parse_url("https://keys.example").unwrap();
        Ok(Some(Request::get(url)))
    }
    fn material(&self, of: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let secret = of.secrets.values().next().unwrap().duplicate();
        Ok(Issued::lasting(Material::Bearer(secret)))
    }
    fn export(&self, _: &Credential, _: &Issued) -> Vec<Variable> {
        Vec::new()
    }
}

/// A home folder with these files.
fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("home")).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for (name, text) in files {
        let path = root.path().join("home").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn env(root: &Path, variables: &[(&str, &str)]) -> Env {
    let home = root.join("home");
    Env::invented(&home.join(".lanyard"), &home, variables)
}

fn scanned(root: &Path, variables: &[(&str, &str)]) -> Scan {
    let providers: [&'static dyn Provider; 1] = [&KEYS];
    let wanted = Wanted { providers: &providers, folders: &[], asks_tools: true, honours_ignore: true };
    scan(&wanted, &env(root, variables), chrono::DateTime::UNIX_EPOCH, &mut |_| ())
}

fn told(scan: &Scan) -> Vec<String> {
    let places = |finding: &Finding| {
        let places: Vec<&str> = finding.spots.iter().map(|spot| spot.place.as_str()).collect();
        places.join(", ")
    };
    let mut told: Vec<String> = scan
        .findings
        .iter()
        .map(|finding| format!("{} {} {}", finding.kind.id, finding.shown(), places(finding)))
        .collect();
    told.sort();
    told
}

#[test]
fn what_tools_variables_and_texts_hold_is_found_once_each() {
    let root = home(&[
        ("keys.ini", "TID0123456789ABCDEFG = SK/0123456789abcdefghij\n"),
        ("code/.env", "MODE=test\nPEER=tk-0123456789abcdef\nDB_PASSWORD=hunter2-Horse\n"),
        ("code/notes.txt", "the key is SK/0123456789abcdefghij, and tk-live-0123456789abcdef\n"),
    ]);
    let scan = scanned(root.path(), &[("PEER_TOKEN", "tk-0123456789abcdef"), ("OTHER", "tk-0123456789abcdeg")]);
    assert_eq!(
        told(&scan),
        [
            "generic_env **** ~/code/.env:3 DB_PASSWORD",
            "peer_keys TID0****DEFG ~/code/notes.txt:1, ~/keys.ini:1 [TID0123456789ABCDEFG]",
            "peer_token **** $OTHER",
            "peer_token **** $PEER_TOKEN, ~/code/.env:2 PEER",
            "peer_token ****cdef ~/code/notes.txt:1",
        ]
    );
    assert!(scan.problems.is_empty() && scan.passed.files == 3, "{:?}", scan.passed);
}

#[test]
fn what_only_a_name_tells_is_what_a_provider_knows_elsewhere() {
    let root = home(&[
        ("a/.env", "MY_SECRET=Zx81-Qw93-Lk55-77\n"),
        ("keys.ini", "TID0123456789ABCDEFG = Zx81-Qw93-Lk55-77\n"),
    ]);
    let expected = "peer_keys TID0****DEFG ~/a/.env:1 MY_SECRET, ~/keys.ini:1 [TID0123456789ABCDEFG]";
    assert_eq!(told(&scanned(root.path(), &[])), [expected]);
}

#[test]
fn one_secret_in_many_lines_is_one_finding() {
    let line = "tk-0123456789abcdef\n";
    let root = home(&[("a.txt", &line.repeat(2000)), ("b.txt", &format!("{line}{line}"))]);
    let scan = scanned(root.path(), &[]);
    assert_eq!((scan.findings.len(), scan.findings[0].spots.len()), (1, 2002));
}

#[test]
fn a_broken_file_of_one_tool_is_told_and_the_rest_is_found() {
    let root = home(&[("keys.ini", "nonsense\n"), ("a.txt", "tk-0123456789abcdef\n")]);
    let scan = scanned(root.path(), &[]);
    assert_eq!(told(&scan), ["peer_token **** ~/a.txt:1"]);
    assert_eq!(scan.problems[0].provider, "keys");
    assert_eq!(scan.problems[0].what, "~/keys.ini is no usable list of keys: no line");
}

#[test]
fn ignore_files_hide_folders_and_texts_but_no_env_files() {
    let root = home(&[
        // A home that is kept in git.
        (".gitignore", "*\n"),
        ("code/.gitignore", "node_modules\n.env*\n*.log\n"),
        ("code/node_modules/a.txt", "tk-0123456789abcdea\n"),
        ("code/.env.local", "A=tk-0123456789abcdeb\n"),
        ("code/debug.log", "tk-0123456789abcdec\n"),
        ("code/.hidden/a.txt", "tk-0123456789abcded\n"),
        ("code/.git/config", "url = https://tk-0123456789abcdee@host\n"),
        ("code/.git/objects/ab/cd", "tk-0123456789abcdef\n"),
        (".cargo/registry/x.txt", "tk-0123456789abcdeg\n"),
        (".lanyard/secrets", "tk-0123456789abcdeh\n"),
    ]);
    assert_eq!(
        told(&scanned(root.path(), &[])),
        [
            "peer_token **** ~/code/.env.local:1 A",
            "peer_token **** ~/code/.git/config:1",
            "peer_token **** ~/code/.hidden/a.txt:1",
        ]
    );
}

#[test]
fn large_and_binary_files_are_counted_unless_named() {
    let large = format!("{}tk-0123456789abcdef\n", "x\n".repeat(600_000));
    let root = home(&[("large.txt", &large), ("binary", "tk-0123456789abcdef\0"), ("empty", "")]);
    let scan = scanned(root.path(), &[]);
    assert_eq!((scan.findings.len(), scan.passed.large, scan.passed.binary, scan.passed.files), (0, 1, 1, 0));
    let named = [root.path().join("home/large.txt")];
    let wanted = Wanted { providers: &[&KEYS], folders: &named, asks_tools: false, honours_ignore: true };
    let scan = super::scan(&wanted, &env(root.path(), &[]), chrono::DateTime::UNIX_EPOCH, &mut |_| ());
    assert_eq!(told(&scan), ["peer_token **** ~/large.txt:600001"]);
}

#[test]
fn text_in_utf_16_is_read() {
    let root = home(&[]);
    let text = "\u{feff}A=1\r\nB=tk-0123456789abcdef\r\n";
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(root.path().join("home/.env"), bytes).unwrap();
    assert_eq!(told(&scanned(root.path(), &[])), ["peer_token **** ~/.env:2 B"]);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_readers_are_told() {
    use std::os::unix::fs::PermissionsExt;
    let root = home(&[("a/open.txt", "tk-0123456789abcdef\n"), ("b/closed.txt", "tk-0123456789abcdeg\n")]);
    let home = root.path().join("home");
    let set = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    std::os::unix::fs::symlink(&home, home.join("a/loop")).unwrap();
    std::os::unix::fs::symlink(root.path(), home.join("out")).unwrap();
    std::fs::write(root.path().join("outside.txt"), "tk-0123456789abcdeh\n").unwrap();
    for folder in [root.path(), &home, &home.join("a"), &home.join("b")] {
        set(folder, 0o755);
    }
    set(&home.join("a/open.txt"), 0o644);
    set(&home.join("b/closed.txt"), 0o600);
    let scan = scanned(root.path(), &[]);
    let found: Vec<(&str, Readers)> =
        scan.findings.iter().map(|found| (found.spots[0].place.as_str(), found.spots[0].readers)).collect();
    assert_eq!(found, [("~/a/open.txt:1", Readers::Everyone), ("~/b/closed.txt:1", Readers::You)]);
}

#[test]
fn a_part_of_a_pair_is_told_to_lack_the_other() {
    let root = home(&[("a.txt", "TID0123456789ABCDEFG\n")]);
    let scan = scanned(root.path(), &[]);
    let found = &scan.findings[0];
    assert_eq!((found.missing.as_slice(), found.is_importable()), (["secret_key"].as_slice(), false));
    assert_eq!(found.fields.as_ref().unwrap_err(), "the peer keys lacks secret_key");
}

#[test]
fn what_is_alive_comes_first_and_what_nobody_answers_for_is_unknown() {
    let root = home(&[
        ("a.txt", "tk-0123456789abcdea\n"),
        ("b.txt", "tk-0123456789abcdeb\n"),
        ("c.txt", "tk-0123456789abcdec\n"),
    ]);
    let mut scan = scanned(root.path(), &[]);
    let answer = |request: Request| -> Result<Response, Unreachable> {
        let token = request.headers["authorization"].to_str().unwrap().to_owned();
        let status = match token.chars().last() {
            Some('a') => 401,
            Some('b') => 500,
            _ => 200,
        };
        Ok(Response { status, headers: HeaderMap::default(), body: Vec::new().into() })
    };
    let env = env(root.path(), &[]);
    let now = chrono::DateTime::UNIX_EPOCH;
    let net = Net { http: &answer, env: &env, now };
    let mut counted = Vec::new();
    verify(&mut scan.findings, &net, &mut |done, of| counted.push((done, of)));
    assert_eq!(counted, [(1, 3), (2, 3), (3, 3)]);
    let lives: Vec<(&str, Life)> =
        scan.findings.iter().map(|found| (found.spots[0].place.as_str(), found.life(now))).collect();
    assert_eq!(lives, [("~/c.txt:1", Life::Live), ("~/b.txt:1", Life::Unknown), ("~/a.txt:1", Life::Invalid)]);
}
