//! Sign-ins as credentials: their tokens come from a service, which repeats them in every refusal.

use std::process::Stdio;

use serde_json::{Value, json};

use super::commands::talkative;
use crate::canary::{Canary, Sweep};
use crate::idp::{Fault, Idp};
use crate::scene;
use crate::stage::{Outcome, Stage};
use crate::wire;

/// What is done with the sign-in.
const COMMANDS: [&str; 14] = [
    "credentials show corp",
    "credentials list --long",
    "credentials test",
    "credentials update corp --tag a",
    "credentials rename corp other",
    "credentials rename other corp",
    "credentials rotate corp",
    "credentials export corp --format nothing",
    "credentials show corp --reveal session",
    "credentials scan",
    "vault status --check",
    "vault rekey",
    "doctor",
    "which",
];

/// The addresses at which the service is asked.
const PATHS: [&str; 4] = ["/token", "/v1/me", "/userinfo", "/revoke"];

fn stage_for(idp: &Idp) -> Stage {
    let mut stage = Stage::new();
    let issuer = idp.issuer();
    stage.write_config(
        &scene::config(idp, "plain").replace("token_env", &format!("endpoint = \"{issuer}\"\ntoken_env")),
    );
    talkative(&mut stage);
    stage
}

fn connect(stage: &Stage, arguments: &[&str]) -> Outcome {
    let mut running = stage.start(&[&["credentials"], arguments, &["-vvv"]].concat());
    if let Some(url) = running.url_unless_it_ends() {
        wire::browse(&url);
    }
    running.finish()
}

/// Everything that the service ever gave out, and what it was shown in return.
fn secrets(idp: &Idp) -> Vec<Canary> {
    let verifiers = idp.requests_to("/token").into_iter().filter_map(|seen| seen.field("code_verifier"));
    idp.secrets().into_iter().chain(verifiers).map(|secret| Canary::of(&secret)).collect()
}

/// The session as it is stored, past the record of outputs.
fn session(stage: &Stage) -> Value {
    let words = ["credentials", "show", "corp", "--reveal", "session", "--yes"];
    let revealed = stage.command(&words).stdin(Stdio::null()).output().expect("it runs");
    serde_json::from_slice(&revealed.stdout).expect("a session")
}

#[test]
fn a_sign_in_is_told_to_nobody_whatever_the_service_repeats() {
    let idp = Idp::honest();
    let mut stage = stage_for(&idp);
    connect(&stage, &["store", "oauth", "corp", "--no-browser"]).ends(0);
    let session = session(&stage);
    let token = |name: &str| session[name].as_str().expect("a token").to_owned();
    let (access, refresh) = (token("access_token"), token("refresh_token"));
    let (mut refused, mut heard) = (0, Vec::new());
    for status in [400, 401, 403, 500] {
        // What is sent to the one place comes back from there.
        for (path, sent) in [("/token", &refresh), ("/v1/me", &access), ("/userinfo", &access), ("/revoke", &refresh)] {
            let body = json!({
                "error": sent, "error_description": format!("what is {sent}?"), "message": sent, "email": sent, "id": sent,
            });
            idp.change(|behaviour| {
                behaviour.fault(path, Fault::Answer(status, "application/json", body.to_string()));
            });
        }
        for hours in ["+0h", "+2h"] {
            // Later, the access token has to be renewed.
            stage.at(hours);
            for command in COMMANDS {
                let words: Vec<&str> = command.split(' ').chain(["-vvv"]).collect();
                let outcome = stage.run(&words);
                assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
                refused += usize::from(outcome.code != Some(0));
                heard.push((format!("{command}, {status}, {hours}"), outcome));
            }
        }
    }
    assert!(refused > 10, "{refused} commands were refused");
    let ended = stage.run(&["credentials", "disconnect", "corp", "-vvv"]).ends(0);
    assert!(ended.stderr().contains("not ended at the service"), "{ended}");
    heard.push(("disconnect".into(), ended));
    stage.run(&["credentials", "delete", "corp", "--yes", "-vvv"]).ends(0);
    let mut sweep = Sweep::for_canaries(&secrets(&idp));
    for (what, outcome) in &heard {
        sweep.bytes(&format!("stdout of {what}"), &outcome.stdout).bytes(&format!("stderr of {what}"), &outcome.stderr);
    }
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}
