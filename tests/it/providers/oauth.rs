//! Sign-ins as credentials: connected in the browser, renewed by themselves, disconnected and reconnected.

use std::time::Duration;

use crate::idp::{Fault, Idp};
use crate::scene::{self, config};
use crate::stage::{Outcome, Stage};
use crate::vaulted::list;
use crate::wire;

fn connect(stage: &Stage, arguments: &[&str]) -> Outcome {
    let mut running = stage.start(&[&["credentials"], arguments].concat());
    if let Some(url) = running.url_unless_it_ends() {
        wire::browse(&url);
    }
    running.finish()
}

fn stage_for(idp: &Idp) -> Stage {
    let stage = Stage::new();
    let issuer = idp.issuer();
    let text = config(idp, "plain").replace("token_env", &format!("endpoint = \"{issuer}\"\ntoken_env"));
    stage.write_config(&text);
    stage
}

fn token(stage: &Stage) -> String {
    let json = stage.run(&["credentials", "export", "corp", "--format", "json"]).ends(0).json();
    json["CORP_ACCESS_TOKEN"].as_str().unwrap().to_owned()
}

/// A sign-in whose access token is over as far as lanyard was told, while the service would take it for long: however
/// slow the machine is, the sign-in ends well, and the next use renews.
fn signed_in_and_over(idp: &Idp) -> (Stage, Outcome) {
    let stage = stage_for(idp);
    idp.change(|behaviour| {
        behaviour.patch("/token", |answer| answer["expires_in"] = 1.into());
    });
    let stored = connect(&stage, &["store", "oauth", "corp", "--no-browser"]).ends(0);
    idp.change(|behaviour| behaviour.patches.clear());
    std::thread::sleep(Duration::from_millis(1100));
    assert!(refreshes(idp) == 0, "nothing was renewed yet");
    (stage, stored)
}

fn refreshes(idp: &Idp) -> usize {
    idp.grants("refresh_token").len()
}

#[test]
fn a_sign_in_is_kept_renewed_tested_and_ended() {
    let idp = Idp::honest();
    let (stage, stored) = signed_in_and_over(&idp);
    assert!(stored.stderr().contains("Stored corp (sign-in to a service), active: user@example.com"), "{stored}");
    let renewed = token(&stage);
    assert_eq!(refreshes(&idp), 1);
    assert!(idp.accepts(&renewed));
    assert_eq!((token(&stage), refreshes(&idp)), (renewed.clone(), 1), "what is good is handed out as it is");
    let tested = stage.run(&["credentials", "test", "corp"]).ends(0);
    assert_eq!(tested.stdout(), "corp  PASSED: user@example.com\n");
    assert_eq!(list(&stage)[0]["status"], "active");
    scene::assert_no_leaks(&stage, &idp, &["stdout or stderr"]);

    let ended = stage.run(&["credentials", "disconnect", "corp"]).ends(0);
    assert!(ended.stderr().contains("ended at the service and removed here"), "{ended}");
    assert!(!idp.accepts(&renewed));
    assert_eq!(list(&stage)[0]["status"], "needs attention");
    let tested = stage.run(&["credentials", "test", "corp"]).ends(8);
    assert!(
        tested.stdout().contains("FAILED: it is disconnected, sign in again: `lanyard credentials reconnect corp`")
    );
    let reconnected = connect(&stage, &["reconnect", "corp", "--no-browser"]).ends(0);
    assert!(reconnected.stderr().contains("Reconnected corp as user@example.com"), "{reconnected}");
    assert!(idp.accepts(&token(&stage)));
    assert_eq!(refreshes(&idp), 1, "the token of a new sign-in is good for as long as it says");
}

#[test]
fn twenty_at_once_renew_once() {
    let idp = Idp::honest();
    let (stage, _) = signed_in_and_over(&idp);
    let tokens: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| token(&stage))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!(refreshes(&idp), 1);
    assert!(idp.accepts(&tokens[0]));
}

#[test]
fn an_ended_session_asks_for_a_sign_in_and_a_service_that_is_away_does_not() {
    let idp = Idp::honest();
    let (stage, _) = signed_in_and_over(&idp);
    idp.change(|behaviour| {
        behaviour.fault("/token", Fault::HtmlError);
    });
    let away = stage.run(&["credentials", "test", "--json"]).ends(8).json();
    assert_eq!(away[0]["outcome"], "unreachable");
    assert_eq!(list(&stage)[0]["status"], "active", "a service that is away says nothing about the credential");
    drop(idp);
    let gone = stage.run(&["credentials", "test", "--json"]).ends(8).json();
    assert_eq!(gone[0]["outcome"], "unreachable");
    let help = stage.run(&["credentials", "disconnect", "missing"]).ends(2);
    assert!(help.stderr().contains("there is no credential missing"));
}
