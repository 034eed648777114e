//! Files that credentials are exported to: whoever has one written is told where the secret then lies.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use lanyard::provider::{PROVIDERS, by_kind};

use super::commands::{assert_clean, talkative};
use super::echo::{ANSWERS, Echo, Mood};
use super::kept::{self, Given, OF_A_SIGN_IN};
use crate::canary::{Canary, Sweep};
use crate::corp::mode;
use crate::vaulted;

/// Kinds that a file of their provider is not for, or whose provider the double does not play.
const UNWRITTEN: [(&str, &str, &str); 5] = [
    ("gcp_api_key", "gcp-json", "an API key is in no such file"),
    ("registry_ecr", "docker-config", "the tests with moto write it"),
    ("registry_ecr", "helm-repositories", "it holds HTTP repositories, and this is an OCI registry"),
    ("registry_gar", "helm-repositories", "it holds HTTP repositories, and this is an OCI registry"),
    ("api_key", "pypirc", "it is of PyPI's tokens, which have a form that no chance makes"),
];

/// Forms without a secret in them.
const PUBLIC: [&str; 1] = ["authorized-keys"];

#[test]
fn every_file_of_a_tool_is_written_privately_and_its_place_is_told() {
    let (given, minted) = (Given::new(), Canary::of_chance(60));
    let echo = Echo::start(&minted);
    let all = kept::all(&echo.double.url(), &given);
    let mut canaries: Vec<Canary> = all.iter().flat_map(|kept| kept.canaries.clone()).collect();
    canaries.push(minted);
    echo.knows(&canaries);
    // What is made of another credential is made.
    echo.mood(Mood::Says(200, ANSWERS[0]));
    let mut stage = vaulted::stage();
    talkative(&mut stage);
    stage.set("AWS_ENDPOINT_URL", echo.double.url()).set("HTTPS_PROXY", echo.double.url());
    for kept in &all {
        kept.store(&stage, &["--no-verify"]).ends(0);
    }
    let mut said = Sweep::for_canaries(&canaries);
    let mut written = BTreeSet::new();
    let folder = stage.root().join("out");
    std::fs::create_dir(&folder).unwrap();
    for kept in &all {
        let files = by_kind(kept.kind).map(|(provider, _)| provider.files()).unwrap_or_default();
        for format in ["env", "json", "dotenv"].into_iter().chain(files.iter().map(|(word, _)| *word)) {
            let file = folder.join(format!("{}-{format}", kept.name));
            let name = file.display().to_string();
            let export = ["credentials", "export", &kept.name, "--format", format, "-vvv"];
            let outcome = stage.run(&[&export[..], &["--to", &name]].concat());
            said.bytes(&format!("stdout of {format} of {}", kept.name), &outcome.stdout);
            said.bytes(&format!("stderr of {format} of {}", kept.name), &outcome.stderr);
            if outcome.code != Some(0) {
                assert!(!file.exists() && outcome.stderr().contains("next: "), "{outcome}");
                continue;
            }
            let warning = "out/NAME holds the secret in plain text; remove it when it is no longer needed";
            let warning = warning.replace("NAME", &format!("{}-{format}", kept.name));
            assert!(outcome.stdout.is_empty() && outcome.stderr().contains("warning: "), "{outcome}");
            assert!(outcome.stderr().contains(&warning), "{outcome}");
            assert_eq!(mode(&file), 0o600, "{format} of {}", kept.name);
            assert_warns_where_it_is_redirected(&stage, &export, &file);
            if files.iter().any(|(word, _)| *word == format) && holds_one(&canaries, &file) {
                written.insert((kept.kind, format));
            }
            std::fs::remove_file(&file).unwrap();
        }
    }
    let missing: Vec<(&str, &str)> = PROVIDERS
        .iter()
        .flat_map(|provider| provider.kinds().iter().map(move |kind| (kind.id, provider.files())))
        .flat_map(|(kind, files)| files.iter().map(move |(format, _)| (kind, *format)))
        .filter(|(kind, format)| !OF_A_SIGN_IN.contains(kind) && !PUBLIC.contains(format))
        .filter(|pair| !written.contains(pair))
        .collect();
    assert_eq!(missing, UNWRITTEN.map(|(kind, format, _)| (kind, format)));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing was left beside them");
    said.tree(stage.root());
    assert_clean(said, &canaries, &all);
}

/// The same through `>`, of which the program sees only that it is a file.
#[track_caller]
fn assert_warns_where_it_is_redirected(stage: &crate::stage::Stage, export: &[&str], file: &Path) {
    let before = std::fs::read(file).unwrap();
    let output = std::fs::File::create(file).unwrap();
    let told = stage.command(export).stdin(Stdio::null()).stdout(output).output().expect("it runs");
    let said = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{export:?}: {said}");
    assert!(said.contains("warning: the output goes to a file, which then holds the secret in plain text"), "{said}");
    let after = std::fs::read(file).unwrap();
    assert_eq!(before.is_empty(), after.is_empty(), "{export:?}");
}

fn holds_one(canaries: &[Canary], file: &Path) -> bool {
    let mut sweep = Sweep::for_canaries(canaries);
    sweep.bytes("", &std::fs::read(file).unwrap());
    !sweep.traces().is_empty()
}
