//! What belongs to what: a session to its profile, a profile to its service, a token to its endpoint, a default to its
//! owner. Nothing that happens at the same time, in the same folder or in the same environment mixes them up.

use std::time::Duration;

use crate::corp::{self, OTHER_TOKEN, TOKEN, paste};
use crate::idp::{Fault, Idp};
use crate::scene;
use crate::second_host::SecondHost;
use crate::stage::Stage;

#[test]
fn a_sign_in_is_not_overwritten_by_a_renewal_that_was_under_way() {
    let idp = Idp::honest();
    idp.change(|behaviour| behaviour.api_tokens = vec![TOKEN.to_owned()]);
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    idp.forget();
    idp.change(|behaviour| {
        behaviour.fault("/token", Fault::Late(Duration::from_secs(2)));
    });
    let renewal = stage.start(&["auth", "refresh"]);
    scene::eventually("the renewal is under way", Duration::from_secs(10), || !idp.grants("refresh_token").is_empty());
    paste(&stage, TOKEN, &["--switch-account"]).ends(0);
    renewal.finish().ends(0);
    assert_eq!(scene::token(&stage), TOKEN);
}

#[test]
fn a_profile_is_not_taken_over_by_another_service() {
    let (idp, other) = (corp::idp(), SecondHost::start());
    let stage = Stage::new();
    let elsewhere =
        format!("[services.other]\nendpoint = \"{}\"\n[services.other.api]\nwhoami = \"/me\"\n", other.url(""));
    stage.write_config(&format!(
        "[profiles.work]\nservice = \"corp\"\nstorage = \"plain\"\n\n{}\n{elsewhere}",
        corp::service(&idp)
    ));
    let before = stage.config();
    let login = ["auth", "login", "--profile", "work", "--service", "other", "--with-token"];
    let refused = stage.run_with(&login, TOKEN.as_bytes()).ends(2);
    assert!(refused.stderr().contains("profile work is for the service corp"), "{refused}");
    assert_eq!(stage.config(), before);
    assert!(idp.requests().is_empty());
    other.assert_untouched();
}

#[test]
fn a_sign_in_asks_at_the_profiles_endpoint_whatever_the_environment_says() {
    let (idp, elsewhere) = (corp::idp(), SecondHost::start());
    let mut stage = Stage::new();
    stage.write_config(&format!("[profiles.work]\nservice = \"corp\"\nstorage = \"plain\"\n\n{}", corp::service(&idp)));
    stage.set("LANYARD_ENDPOINT", elsewhere.url(""));
    paste(&stage, TOKEN, &[]).ends(0);
    assert!(idp.requests_to("/v1/me").iter().any(|request| request.bearer() == Some(TOKEN)));
    elsewhere.assert_untouched();
}

#[test]
fn a_token_from_a_variable_is_not_sent_to_the_issuer_beside_its_endpoint() {
    let (idp, endpoint) = (Idp::honest(), corp::idp());
    let mut stage = Stage::new();
    stage.write_config(&format!(
        "[profiles.work]\nservice = \"corp\"\n\n[services.corp]\nissuer = \"{}\"\nclient_id = \"cli\"\n",
        idp.issuer()
    ));
    stage.set("LANYARD_PROFILE", "work").set("LANYARD_TOKEN", TOKEN).set("LANYARD_ENDPOINT", endpoint.issuer());
    for command in [&["auth", "status"][..], &["auth", "whoami"], &["auth", "token-info"]] {
        stage.run(command);
    }
    assert!(idp.requests().iter().all(|request| request.bearer().is_none()), "the issuer got the token");
}

#[test]
fn a_cloned_repository_does_not_choose_the_default_profile() {
    let idp = corp::idp();
    let mut stage = Stage::new();
    let profile = |name: &str| format!("[profiles.{name}]\nservice = \"corp\"\nstorage = \"plain\"\n\n");
    stage.write_config(&format!("profile = \"home\"\n\n{}{}{}", profile("home"), profile("work"), corp::service(&idp)));
    let clone = stage.home().join("clone");
    std::fs::create_dir(&clone).unwrap();
    std::fs::write(clone.join(".lanyard.toml"), "profile = \"work\"\n").unwrap();
    stage.enter("clone");
    stage.run_with(&["auth", "login", "--service", "corp", "--with-token"], TOKEN.as_bytes()).ends(0);
    assert!(stage.config().starts_with("profile = \"home\"\n"), "{}", stage.config());
    assert!(stage.config().contains("account_id"), "the profile that the folder chose is signed in");
}

#[test]
fn a_token_nobody_was_asked_about_replaces_another_and_keeps_the_profiles_account() {
    let idp = corp::idp();
    let stage = Stage::new();
    stage.write_config(&format!("[profiles.work]\nservice = \"corp\"\nstorage = \"plain\"\n\n{}", corp::service(&idp)));
    paste(&stage, TOKEN, &[]).ends(0);
    let known = stage.config();
    assert!(known.contains("account = "), "{known}");
    paste(&stage, OTHER_TOKEN, &["--no-verify"]).ends(0);
    assert_eq!(scene::token(&stage), OTHER_TOKEN);
    assert_eq!(stage.config(), known);
}

#[test]
fn what_is_asked_offline_asks_nobody() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in_and_expire(&stage, &idp);
    stage.run(&["auth", "token-info", "--offline"]).ends(0);
    stage.run(&["auth", "status", "--offline"]).ends(0);
    assert!(idp.requests().is_empty(), "{}", idp.requests().len());
}

#[test]
fn a_service_that_takes_no_token_back_leaves_the_session_where_it_is() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    idp.change(|behaviour| {
        let refused = Fault::Answer(400, "application/json", r#"{"error":"unsupported_token_type"}"#.into());
        behaviour.fault("/revoke", refused);
    });
    // Neither token was taken back: the session stays.
    stage.run(&["auth", "revoke"]).ends(5);
    stage.run(&["auth", "status", "--offline"]).ends(0);
}

#[test]
fn a_sign_in_in_the_background_of_a_terminal_is_not_stopped() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let program = env!("CARGO_BIN_EXE_lanyard");
    let script = format!("{program} auth login --device --timeout 20 & wait $!; echo ended with $?");
    let mut command = std::process::Command::new("script");
    let plain = stage.command(&[]);
    command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command
        .args(["-qec", &format!("bash -ic '{script}'"), "/dev/null"])
        .current_dir(stage.home())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("script is installed");
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(screen.contains("ended with 0"), "{screen}");
    assert_eq!(stage.run(&["auth", "status", "--offline"]).code, Some(0), "{screen}");
}
