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

const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/corp";

/// The commands that hand a token of the sign-in out, and what each is told on stdin.
const HANDED: [(&str, &str); 9] = [
    ("helper git get", "protocol=https\nhost=git.example\n\n"),
    ("helper git get", "capability[]=authtype\nprotocol=https\nhost=git.example\n\n"),
    ("helper go https://git.example/m", ""),
    ("helper bazel get", "{\"uri\":\"https://git.example/x\"}"),
    ("helper google corp", ""),
    ("credentials export corp --format env", ""),
    ("run --credential corp -- env", ""),
    ("inject -", "lanyard://corp/token"),
    ("helper git erase", "protocol=https\nhost=git.example\nusername=oauth2\npassword=x\n\n"),
];

#[test]
fn what_renews_a_sign_in_is_handed_to_nobody() {
    let idp = Idp::honest();
    let mut stage = stage_for(&idp);
    let git = "[services.corp.git]\naddress = \"https://git.example\"\nusername = \"oauth2\"\n";
    let config = stage.config();
    stage.write_config(&format!("{config}{git}"));
    stage.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", AUDIENCE);
    stage.set("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:jwt");
    connect(&stage, &["store", "oauth", "corp", "--no-browser"]).ends(0);
    stage.run(&["credentials", "update", "corp", "--field", &format!("google_audience={AUDIENCE}")]).ends(0);
    let of = |name: &str| Canary::of(session(&stage)[name].as_str().expect("a token"));
    let mut refresh = vec![of("refresh_token")];
    let mut handed = vec![of("access_token"), of("id_token")];
    let mut told = Vec::new();
    for hours in ["+0h", "+2h"] {
        // Later, it is renewed first.
        stage.at(hours);
        for (command, text) in HANDED {
            let words: Vec<&str> = ["-vvv"].into_iter().chain(command.split(' ')).collect();
            let mut asking = stage.command(&words);
            asking.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut asking = asking.spawn().expect("it starts");
            let _ = std::io::Write::write_all(&mut asking.stdin.take().expect("a pipe"), text.as_bytes());
            told.push((format!("{command}, {hours}"), asking.wait_with_output().expect("it ends")));
        }
        let now = session(&stage);
        let now = |name: &str| Canary::of(now[name].as_str().expect("a token"));
        refresh.push(now("refresh_token"));
        handed.extend([now("access_token"), now("id_token")]);
    }
    assert_ne!(refresh[1], refresh[2], "it was renewed");
    let mut nobody = Sweep::for_canaries(&[&refresh[..], &handed].concat());
    let mut answers = 0;
    for (what, output) in &told {
        nobody.bytes(&format!("stderr of {what}"), &output.stderr);
        let (mut stdout, mut answer) = (Sweep::for_canaries(&refresh), Sweep::for_canaries(&handed));
        stdout.bytes(&format!("stdout of {what}"), &output.stdout).assert_clean();
        answer.bytes("stdout", &output.stdout);
        answers += usize::from(!answer.traces().is_empty());
    }
    assert!(answers >= 14, "only {answers} of {} answers held a token", told.len());
    nobody.tree(stage.root());
    nobody.assert_clean();
}
