//! cargo itself, with a private sparse registry that wants a token for everything.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::program::{Bench, Told, finish};
use crate::double::{Answer, Double, Seen};

const READER: &str = "LNYCANARY0123456789abcdefreader";
const PUBLISHER: &str = "LNYCANARYfedcba9876543210publisher";

/// A registry at any path: `/index`, and the same for whoever looks like it. Reading and publishing want a token each.
struct Registry {
    double: Double,
    published: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn start() -> Self {
        let published = Arc::<Mutex<Vec<String>>>::default();
        let shown = Arc::clone(&published);
        let address = Arc::new(Mutex::new(String::new()));
        let own = Arc::clone(&address);
        let double = Double::start(move |seen: &Seen| {
            let own = own.lock().unwrap().clone();
            let token = seen.header("authorization").unwrap_or_default();
            if ![READER, PUBLISHER].contains(&token) {
                let login = format!("WWW-Authenticate: Cargo login_url=\"{own}/me\"");
                return Answer::json(401, "{}").header(&login);
            }
            match (seen.method.as_str(), seen.path()) {
                (_, path) if path.ends_with("/config.json") => {
                    Answer::json(200, &json!({ "dl": format!("{own}/dl"), "api": own, "auth-required": true }))
                }
                ("GET", "/api/v1/crates") => Answer::json(
                    200,
                    &json!({ "crates": [{ "name": "found", "max_version": "1.2.3", "description": "there" }], "meta": { "total": 1 } }),
                ),
                ("PUT", "/api/v1/crates/new") if token == PUBLISHER => {
                    shown.lock().unwrap().push(token.to_owned());
                    Answer::json(
                        200,
                        &json!({ "warnings": { "invalid_categories": [], "invalid_badges": [], "other": [] } }),
                    )
                }
                ("DELETE", path) if path.ends_with("/yank") && token == PUBLISHER => {
                    Answer::json(200, &json!({ "ok": true }))
                }
                ("PUT" | "DELETE", _) => Answer::json(403, &json!({ "errors": [{ "detail": "a reader's token" }] })),
                // Once published, the sample is in the index, and cargo need not wait.
                (_, path) if path.ends_with("/sa/mp/sample") && !shown.lock().unwrap().is_empty() => Answer::text(
                    200,
                    "text/plain",
                    r#"{"name":"sample","vers":"0.1.0","deps":[],"cksum":"00","features":{},"yanked":false}"#,
                ),
                _ => Answer::json(404, "{}"),
            }
        });
        *address.lock().unwrap() = double.url();
        Self { double, published }
    }

    fn index(&self, path: &str) -> String {
        format!("sparse+{}{path}", self.double.url())
    }

    /// The paths that a token came with, below this one.
    fn carried(&self, path: &str) -> Vec<String> {
        let all = self.double.requests();
        let carries = |seen: &&Seen| seen.path().starts_with(path) && seen.header("authorization").is_some();
        all.iter().filter(carries).map(|seen| seen.target.clone()).collect()
    }
}

/// A crate whose configuration names a registry, as a clone may bring it along.
fn bench(index: &str, provider: &str) -> Bench {
    let mut bench = Bench::new(&["cargo-credential-lanyard"]);
    let home = bench.stage.home();
    bench.set("CARGO_HOME", home.join(".cargo")).set("RUSTUP_HOME", rustup());
    let folder = home.join("sample");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::create_dir_all(folder.join(".cargo")).unwrap();
    let manifest = "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\ndescription = \"d\"\nlicense = \"MIT\"\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/lib.rs"), "").unwrap();
    let config = format!("[registries.corp]\nindex = \"{index}\"\ncredential-provider = {provider}\n");
    std::fs::write(folder.join(".cargo/config.toml"), config).unwrap();
    bench
}

/// The toolchains of whoever runs the tests.
fn rustup() -> std::path::PathBuf {
    let home = std::env::var_os("HOME").expect("a home");
    std::env::var_os("RUSTUP_HOME").map_or_else(|| std::path::Path::new(&home).join(".rustup"), Into::into)
}

const PROVIDER: &str = r#"["cargo-credential-lanyard", "--profile", "prod", "--index", "any"]"#;

fn cargo(bench: &Bench, arguments: &[&str], stdin: &str) -> Told {
    let mut command = bench.command(env!("CARGO"), "sample");
    command.args(arguments);
    finish(command, stdin.as_bytes())
}

fn store(bench: &Bench, name: &str, index: &str, token: &str, tags: &[&str]) {
    let mut words = vec![
        "credentials",
        "store",
        "api-key",
        "cargo",
        "--index",
        index,
        "--api-key",
        "-",
        "--name",
        name,
        "--no-verify",
    ];
    words.extend(tags.iter().flat_map(|tag| ["--tag", tag]));
    bench.stage.run_with(&words, token.as_bytes()).ends(0);
}

#[test]
fn cargo_reads_and_publishes_with_a_token_each() {
    let registry = Registry::start();
    let index = registry.index("/index/");
    let bench = bench(&index, PROVIDER);
    store(&bench, "corp", &index, READER, &[]);
    bench.stage.run(&["credentials", "test", "corp"]).ends(0);
    let found = cargo(&bench, &["search", "found", "--registry", "corp"], "").succeeds();
    assert!(found.stdout().contains("found = \"1.2.3\""), "{}", found.all());

    let publish = ["publish", "--registry", "corp", "--no-verify", "--allow-dirty"];
    let refused = cargo(&bench, &publish, "").fails();
    assert!(refused.all().contains("`lanyard credentials update corp --tag publish`"), "{}", refused.all());
    store(&bench, "publisher", &index, PUBLISHER, &["publish"]);
    cargo(&bench, &publish, "").succeeds();
    assert_eq!(*registry.published.lock().unwrap(), [PUBLISHER]);
    // Whoever reads is given the token that can do no more.
    let before = registry.double.requests().len();
    cargo(&bench, &["search", "found", "--registry", "corp"], "").succeeds();
    let reading = registry.double.requests().split_off(before);
    let tokens: Vec<&str> = reading.iter().filter_map(|seen| seen.header("authorization")).collect();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| *token == READER), "{tokens:?}");
    cargo(&bench, &["yank", "--registry", "corp", "--version", "0.1.0", "sample"], "").succeeds();
}

#[test]
fn cargo_signs_in_and_out() {
    let registry = Registry::start();
    let index = registry.index("/index/");
    // `lanyard` as it is, which cargo calls with a word of its own.
    let bench = bench(&index, r#"["lanyard"]"#);
    cargo(&bench, &["login", "--registry", "corp"], &format!("{PUBLISHER}\n")).succeeds();
    let stored = crate::vaulted::list(&bench.stage);
    assert_eq!(
        (stored.len(), &stored[0]["tags"], &stored[0]["fields"]["index"]),
        (1, &json!(["stored-by-cargo"]), &json!(index))
    );
    let credentials = bench.stage.home().join(".cargo/credentials.toml");
    assert!(!credentials.exists(), "nothing on disk");
    cargo(&bench, &["publish", "--registry", "corp", "--no-verify", "--allow-dirty"], "").succeeds();
    cargo(&bench, &["logout", "--registry", "corp"], "").succeeds();
    assert!(crate::vaulted::list(&bench.stage).is_empty());
    let again = cargo(&bench, &["logout", "--registry", "corp"], "").succeeds();
    assert!(again.all().contains("not currently logged in"), "{}", again.all());
    let refused = cargo(&bench, &["search", "found", "--registry", "corp"], "").fails();
    assert!(refused.all().contains("no token found"), "{}", refused.all());
    // What its user stored in lanyard is lanyard's to forget.
    store(&bench, "own", &index, READER, &[]);
    let kept = cargo(&bench, &["logout", "--registry", "corp"], "").fails();
    assert!(kept.all().contains("`lanyard credentials delete own`"), "{}", kept.all());
}

#[test]
fn a_registry_that_looks_alike_gets_no_token() {
    let registry = Registry::start();
    for path in ["/index.git/", "/Index/", "/index//", "/index/x/", "/inde/", "/other/"] {
        let bench = bench(&registry.index(path), PROVIDER);
        store(&bench, "corp", &registry.index("/index/"), READER, &["publish"]);
        cargo(&bench, &["search", "found", "--registry", "corp"], "").fails();
        assert!(registry.double.requests().iter().any(|seen| seen.path() == format!("{path}config.json")), "{path}");
    }
    // A clone's own registry, on another port.
    let stranger = Registry::start();
    let bench = bench(&stranger.index("/index/"), PROVIDER);
    store(&bench, "prod", &registry.index("/index/"), READER, &["publish"]);
    cargo(&bench, &["search", "found", "--registry", "corp"], "").fails();
    for seen in [&registry, &stranger] {
        assert!(seen.carried("/").is_empty(), "{:?}", seen.carried("/"));
    }
}

#[test]
fn cargo_goes_on_to_its_next_provider() {
    let registry = Registry::start();
    let index = registry.index("/index/");
    let bench = bench(&index, PROVIDER);
    let config = bench.stage.home().join("sample/.cargo/config.toml");
    std::fs::write(
        config,
        format!("[registry]\nglobal-credential-providers = [\"cargo:token\", \"cargo-credential-lanyard\"]\n[registries.corp]\nindex = \"{index}\"\n"),
    )
    .unwrap();
    let mut command = bench.command(env!("CARGO"), "sample");
    command.args(["search", "found", "--registry", "corp"]).env("CARGO_REGISTRIES_CORP_TOKEN", READER);
    finish(command, b"").succeeds();
    assert_eq!(registry.carried("/api").len(), 1);
}

#[test]
fn a_conversation_is_a_greeting_and_a_line_for_each_line() {
    let bench = bench("sparse+http://127.0.0.1:1/", PROVIDER);
    let mut command = bench.command(bench.bin().join("cargo-credential-lanyard"), "");
    command.arg("--cargo-plugin");
    let get = r#"{"v":1,"registry":{"index-url":"sparse+http://127.0.0.1:1/"},"kind":"get","operation":"read"}"#;
    let not_found = "{\"Err\":{\"kind\":\"not-found\"}}\n";
    let told = finish(command, format!("{get}\r\n{get}\n").as_bytes()).succeeds();
    assert_eq!(told.stdout(), format!("{{\"v\":[1]}}\n{not_found}{not_found}"));
}
