//! `lanyard which`

use serde_json::{Value, json};

use crate::cli::Doors;
use crate::cli::active::{active, output_json};
use crate::config::{Candidate, Outcome, Source};
use crate::error::Result;

/// Show which profile, project, endpoint and token are in force, and why
///
/// Each place that could have decided is listed, strongest first, with the reason it lost. With --json: an object with
/// profile, project, endpoint and token, each with value, source, source_kind and candidates (value, source,
/// source_kind, won, reason), and warnings. The token itself is never shown.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard which --json")]
pub(super) struct Args {}

impl Args {
    /// Runs the command.
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active(doors)?;
        let chains = [
            ("profile", &profile.chains.profile),
            ("project", &profile.chains.project),
            ("endpoint", &profile.chains.endpoint),
            ("token", &profile.chains.token),
        ];
        if output_json(&profile) {
            let mut answer: serde_json::Map<String, Value> =
                chains.iter().map(|(setting, chain)| ((*setting).to_owned(), setting_json(chain))).collect();
            answer.insert("warnings".into(), json!([config.warnings, profile.warnings].concat()));
            return doors.ui.answer_json(&answer);
        }
        let rows: Vec<Vec<String>> =
            chains.iter().flat_map(|(setting, chain)| chain.iter().map(|candidate| row(setting, candidate))).collect();
        doors.ui.table(&["setting", "source", "value", "outcome"], &rows)
    }
}

fn row(setting: &str, candidate: &Candidate) -> Vec<String> {
    let outcome = match &candidate.outcome {
        Outcome::Won if candidate.source == Source::Session => "in force, if there is one".to_owned(),
        Outcome::Won => "in force".to_owned(),
        Outcome::Lost(reason) => reason.clone(),
    };
    let value = candidate.value.clone().unwrap_or_else(|| "-".into());
    vec![setting.to_owned(), candidate.source.to_string(), value, outcome]
}

fn setting_json(chain: &[Candidate]) -> Value {
    let won = chain.iter().find(|candidate| candidate.outcome == Outcome::Won);
    let candidates: Vec<Value> = chain
        .iter()
        .map(|candidate| {
            let reason = match &candidate.outcome {
                Outcome::Won => None,
                Outcome::Lost(reason) => Some(reason),
            };
            json!({
                "value": candidate.value,
                "source": candidate.source.to_string(),
                "source_kind": candidate.source.kind(),
                "won": reason.is_none(),
                "reason": reason,
            })
        })
        .collect();
    json!({
        "value": won.and_then(|candidate| candidate.value.as_ref()),
        "source": won.map(|candidate| candidate.source.to_string()),
        "source_kind": won.map(|candidate| candidate.source.kind()),
        "candidates": candidates,
    })
}
