//! Every command over every kind, as talkative as it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use clap::CommandFactory;
use lanyard::cli::Cli;
use lanyard::credential::Class;
use lanyard::provider::{PROVIDERS, by_kind};
use serde_json::Value;

use super::echo::Echo;
use super::kept::{self, Given, Kept, OF_A_SIGN_IN};
use super::outlets;
use crate::canary::{Canary, Sweep, Trace};
use crate::stage::{Outcome, Stage};
use crate::vaulted;

/// What is done with each credential. NAME is its name, OTHER one that is free, FILE a file that is not there yet,
/// FIELD the name of a secret field, VALUE a file with a new secret for it, FORMAT a form of export.
const WITH_EACH: [&str; 20] = [
    "credentials show NAME",
    "credentials show NAME --reveal nothing",
    "credentials show NAME --reveal FIELD",
    "credentials list --search NAME",
    "credentials test NAME",
    "credentials update NAME --tag a --note b",
    "credentials update NAME --field FIELD=@VALUE",
    "credentials update NAME --field FIELD=@VALUE --no-verify",
    "credentials update NAME --field nothing=@VALUE",
    "credentials update NAME --field project_id=nowhere",
    "credentials update NAME",
    "credentials rename NAME OTHER",
    "credentials rename OTHER NAME",
    "credentials rotate NAME",
    "credentials disconnect NAME",
    "credentials reconnect NAME --no-browser",
    "credentials export NAME --format nothing",
    "credentials export NAME --format FORMAT --to FILE",
    "credentials delete NAME",
    "which",
];

/// What is done with all of them. FILE is a file that is not there yet, BACKUP the one that was written before.
const WITH_ALL: [&str; 46] = [
    "credentials list",
    "credentials list --long",
    "credentials list --status unverified --tag a",
    "credentials test",
    "credentials scan",
    "credentials scan --verify",
    "vault status",
    "vault status --check",
    "vault backup FILE",
    "vault restore BACKUP",
    "vault restore BACKUP --replace",
    "vault rekey",
    "vault recover --recovery-key -",
    "doctor",
    "config list",
    "config get defaults.storage",
    "config set defaults.output table",
    "config unset defaults.output",
    "config path",
    "config set-profile nobody",
    "profile list",
    "profile show",
    "profile rename nobody somebody",
    "profile bind --profile nobody .",
    "profile unbind .",
    "profile remove nobody --yes",
    "project list",
    "project use shop",
    "project current",
    "project unset",
    "auth status",
    "auth status --all",
    "auth whoami",
    "auth token",
    "auth token-info",
    "auth refresh",
    "auth revoke",
    "auth logout",
    "auth switch nobody",
    "api GET /v1/me",
    "completions bash",
    "setup",
    "which",
    "credentials list --search nothing",
    "credentials push --all",
    "credentials pull --all",
];

/// Commands that have a test of their own: what they print is a secret, or they ask a person, or go on for long.
const ELSEWHERE: [&str; 15] = [
    "vault recovery-key",
    "credentials store",
    "auth login",
    "config edit",
    "agent serve",
    "serve",
    "server",
    "audit",
    "trust-rules",
    "organizations",
    "members",
    "projects",
    "workspaces",
    "registries",
    "clients",
];

const FORMATS: [&[&str]; 2] = [&["-vvv"], &["--output", "json", "-v"]];

#[test]
fn every_kind_has_a_canary_in_every_secret_field() {
    let given = Given::new();
    let mut filled: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for kept in kept::all("http://127.0.0.1:9", &given) {
        assert!(kept.secrets.is_empty() == kept.canaries.is_empty(), "{}", kept.name);
        filled.entry(kept.kind).or_default().extend(kept.secrets.iter().map(|(field, _)| *field));
    }
    for kind in PROVIDERS.iter().flat_map(|provider| provider.kinds()).filter(|kind| !OF_A_SIGN_IN.contains(&kind.id)) {
        let filled = filled.get(kind.id).unwrap_or_else(|| panic!("no credential of kind {} is kept", kind.id));
        for field in kind.fields.iter().filter(|field| field.class == Class::Secret) {
            assert!(filled.contains(field.name), "{} of {} holds no canary", field.name, kind.id);
        }
        assert!(kind.open.is_none() || !filled.is_empty(), "{} holds no canary", kind.id);
    }
}

/// The commands below one that do something, by their whole names.
fn leaves(command: &clap::Command, name: &str) -> Vec<String> {
    let below = command.get_subcommands();
    let named = below.map(|one| (one, format!("{name} {}", one.get_name()).trim().to_owned()));
    let all: Vec<String> = named.flat_map(|(one, name)| leaves(one, &name)).collect();
    if all.is_empty() { vec![name.to_owned()] } else { all }
}

#[test]
fn every_command_is_in_a_table() {
    let known: Vec<&str> = WITH_EACH.into_iter().chain(WITH_ALL).chain(ELSEWHERE).chain(outlets::commands()).collect();
    let leaves = leaves(&Cli::command(), "");
    assert!(leaves.len() > 40, "{leaves:?}");
    for name in &leaves {
        let is = |known: &&str| format!("{known} ").starts_with(&format!("{name} "));
        // Each provider is a command below the one that stores.
        let is_below = |known: &&str| format!("{name} ").starts_with(&format!("{known} "));
        assert!(known.iter().any(is) || ELSEWHERE.iter().any(is_below), "{name}");
    }
    for words in ELSEWHERE {
        assert!(leaves.iter().any(|name| name.starts_with(words)), "{words} is no command");
    }
}

/// As talkative as it gets.
pub fn talkative(stage: &mut Stage) {
    let key_log = stage.root().join("tls-keys");
    stage.set("RUST_LOG", "trace").set("LANYARD_LOG", "trace").set("RUST_BACKTRACE", "full");
    stage.set("SSLKEYLOGFILE", key_log);
}

/// The first of each kind, and those with more than one secret or a short one.
fn one_of_each(all: Vec<Kept>) -> Vec<Kept> {
    let mut kinds = BTreeSet::new();
    let wanted = |kept: &Kept| kept.secrets.len() > 1 || kept.name == "login";
    all.into_iter().filter(|kept| kinds.insert(kept.kind) || wanted(kept)).collect()
}

/// A stage on which everything that is said is looked through as it is said.
struct Scene {
    stage: Stage,
    sweep: Sweep,
    /// The files that were named so far.
    files: usize,
}

impl Scene {
    fn run(&mut self, words: &[&str]) -> Outcome {
        let outcome = self.stage.run(words);
        self.heard(&words.join(" "), &outcome);
        outcome
    }

    fn heard(&mut self, what: &str, outcome: &Outcome) {
        assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
        self.sweep.bytes(&format!("stdout of {what}"), &outcome.stdout);
        self.sweep.bytes(&format!("stderr of {what}"), &outcome.stderr);
    }

    fn new_file(&mut self) -> String {
        self.files += 1;
        self.stage.root().join(format!("out-{}", self.files)).display().to_string()
    }
}

#[test]
fn no_command_shows_or_leaves_a_secret() {
    let given = Given::new();
    // Made once to know the canaries before the double starts, then with its address.
    let minted = Canary::of_chance(60);
    let shares = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..3)
            .map(|share| {
                scope.spawn({
                    let (given, minted) = (&given, &minted);
                    move || live(share, given, minted)
                })
            })
            .collect();
        shares
            .into_iter()
            .map(|share| share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .sum::<usize>()
    });
    assert!(shares >= 18, "{shares} credentials were looked at");
}

/// Which third of the credentials one is in. What is used through another one stays with it.
fn share_of(index: usize, kept: &Kept) -> usize {
    let through_others = ["aws", "registry", "gcp_service_account", "kubeconfig_"];
    if through_others.iter().any(|kind| kept.kind.starts_with(kind)) { 0 } else { 1 + index % 2 }
}

/// A whole life of a third of the credentials. Returns how many there were.
fn live(share: usize, given: &Given, minted: &Canary) -> usize {
    let echo = Echo::start(minted);
    let all = one_of_each(kept::all(&echo.double.url(), given)).into_iter().enumerate();
    let all: Vec<Kept> = all.filter(|(index, kept)| share_of(*index, kept) == share).map(|(_, kept)| kept).collect();
    let fresh: Vec<Canary> = all.iter().map(|_| Canary::of_chance(64)).collect();
    let canaries: Vec<Canary> = all.iter().flat_map(|kept| kept.canaries.clone()).chain(fresh.clone()).collect();
    echo.knows(&canaries);
    let canaries = [&canaries[..], std::slice::from_ref(minted)].concat();
    let mut stage = vaulted::stage();
    talkative(&mut stage);
    stage.set("AWS_ENDPOINT_URL", echo.double.url()).set("HTTPS_PROXY", echo.double.url());
    let mut scene = Scene { stage, sweep: Sweep::for_canaries(&canaries), files: 0 };
    for kept in &all {
        let unverified = kept.store(&scene.stage, &["--no-verify", "-vvv"]);
        scene.heard(&format!("storing {}", kept.name), &unverified);
        unverified.ends(0);
        // Again, and this time the provider is asked, and answers in our own words.
        let verified = kept.store(&scene.stage, &["--replace", "-vvv"]);
        scene.heard(&format!("storing {} verified", kept.name), &verified);
        assert_kept(&scene.stage, kept);
    }
    for (kept, fresh) in all.iter().zip(&fresh) {
        with_each(&mut scene, kept, fresh, given);
    }
    with_all(&mut scene);
    for kept in &all {
        scene.run(&["credentials", "delete", &kept.name, "--yes", "--force", "-vvv"]).ends(0);
    }
    scene.run(&["vault", "status", "--check", "--json"]);
    scene.sweep.tree(scene.stage.root());
    assert!(!scene.stage.root().join("tls-keys").exists());
    assert_clean(scene.sweep, &canaries, &all);
    all.len()
}

/// Fails if a canary was found, and says which credential's it was.
pub fn assert_clean(sweep: Sweep, canaries: &[Canary], all: &[Kept]) {
    let owner = |canary: &Canary| {
        let owner = all.iter().find(|kept| kept.canaries.contains(canary)).map(|kept| kept.name.as_str());
        owner.unwrap_or("a secret that came later").to_owned()
    };
    let tell = |trace: Trace| format!("{}, in {} ({})", owner(&canaries[trace.canary]), trace.place, trace.form);
    let told: BTreeSet<String> = sweep.traces().into_iter().map(tell).collect();
    assert!(told.is_empty(), "secrets were found where they must not be: {told:#?}");
}

fn with_each(scene: &mut Scene, kept: &Kept, fresh: &Canary, given: &Given) {
    let formats = by_kind(kept.kind).map(|(provider, _)| provider.files()).unwrap_or_default();
    let formats = ["env", "json", "dotenv"].into_iter().chain(formats.iter().map(|(word, _)| *word));
    let formats: Vec<&str> = formats.collect();
    let field = kept.secrets.first().map_or("nothing", |(field, _)| *field);
    let value = given.file(fresh.text()).display().to_string();
    for command in WITH_EACH {
        for (turn, more) in FORMATS.iter().enumerate() {
            let each: &[&str] = if command.contains("FORMAT") { &formats } else { &[""] };
            for format in each {
                let file = scene.new_file();
                let put = |word: &str| {
                    let word = word.replace("NAME", &kept.name).replace("OTHER", "other-name").replace("FILE", &file);
                    word.replace("FIELD", field).replace("VALUE", &value).replace("FORMAT", format)
                };
                let words: Vec<String> = command.split(' ').map(put).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
                // The second rename of a pair undoes the first.
                if command.contains("rename") && turn == 1 {
                    continue;
                }
                scene.run(&words);
                // The user asked for this one, and takes it away again.
                let _ = std::fs::remove_file(&file);
            }
        }
    }
}

fn with_all(scene: &mut Scene) {
    let backup = scene.new_file();
    scene.run(&["vault", "backup", &backup]).ends(0);
    for command in WITH_ALL {
        for more in FORMATS {
            let file = scene.new_file();
            let words: Vec<String> =
                command.split(' ').map(|word| word.replace("FILE", &file).replace("BACKUP", &backup)).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
            scene.run(&words);
        }
    }
}

/// The credential is there with its secrets: they come out when they are asked for, and are masked when they are not.
fn assert_kept(stage: &Stage, kept: &Kept) {
    let shown: Value = stage.run(&["credentials", "show", &kept.name, "--json"]).ends(0).json();
    assert_eq!(shown["kind"], kept.kind, "{}", kept.name);
    assert_eq!(shown["secrets"].as_object().map(serde_json::Map::len), Some(kept.secrets.len()), "{}", kept.name);
    for (field, value) in &kept.secrets {
        // Past the record of outputs: the one place for a secret.
        let words = ["credentials", "show", &kept.name, "--reveal", field, "--yes"];
        let revealed = stage.command(&words).stdin(Stdio::null()).output().expect("it runs");
        let text = String::from_utf8(revealed.stdout).expect("text");
        let is_there = kept.canaries.iter().any(|canary| text.contains(canary.text())) || text.trim() == value.trim();
        assert!(revealed.status.success() && is_there, "{field} of {}", kept.name);
        assert_eq!(shown["secrets"][field], Value::from(mask(value)), "{field} of {}", kept.name);
    }
}

/// The last four of a secret of twenty or more letters and digits, and nothing of any other.
fn mask(value: &str) -> String {
    let is_line = value.len() >= 20 && !value.contains('\n') && !value.starts_with('{');
    let tail = &value[value.len() - 4..];
    let is_word = tail.bytes().all(|byte| byte.is_ascii_alphanumeric());
    format!("****{}", if is_line && is_word { tail } else { "" })
}
