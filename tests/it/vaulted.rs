//! A stage with a vault whose root key rests in a plain file, so that no keychain is needed.

use std::path::PathBuf;

use crate::stage::{Outcome, Stage};

/// A home with such a vault.
pub fn stage() -> Stage {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    stage
}

/// The folder of the vault.
pub fn data_dir(stage: &Stage) -> PathBuf {
    stage.home().join(".local/share/lanyard")
}

/// Stores a set of variables with one value, which comes through stdin.
#[track_caller]
pub fn store_env(stage: &Stage, name: &str, variable: &str, value: &str) -> Outcome {
    let assignment = format!("{variable}=-");
    stage.run_with(&["credentials", "store", "env", &assignment, "--name", name], value.as_bytes()).ends(0)
}

/// The credentials as `credentials list --json` tells them.
#[track_caller]
pub fn list(stage: &Stage) -> Vec<serde_json::Value> {
    stage.run(&["credentials", "list", "--json"]).ends(0).json().as_array().expect("an array").clone()
}

/// One secret, as `credentials show --reveal` prints it.
#[track_caller]
pub fn reveal(stage: &Stage, name: &str, field: &str) -> String {
    let shown = stage.run(&["credentials", "show", name, "--reveal", field, "--yes"]).ends(0).stdout();
    shown.strip_suffix('\n').expect("a line").to_owned()
}
