//! GitHub's and GitLab's ways, played by a double behind the built-in services' overrides.

use std::time::Duration;

use serde_json::{Value, json};

use crate::idp::{Behaviour, Fault, Idp, Poll};
use crate::scene::{self, attempt, settled};
use crate::stage::Stage;

fn github(more: &str) -> (Idp, Stage) {
    let idp = Idp::start(Behaviour::github());
    idp.change(|behaviour| {
        behaviour.fault("/credentials/revoke", Fault::Answer(202, "application/json", String::new()));
    });
    let stage = Stage::new();
    let at = |path: &str| idp.url(path);
    stage.write_config(&format!(
        "profile = \"hub\"\n[profiles.hub]\nservice = \"github\"\nstorage = \"plain\"\n\n[services.github]\nclient_id = \"cli\"\n{more}\
         authorization_endpoint = \"{}\"\ntoken_endpoint = \"{}\"\ndevice_authorization_endpoint = \"{}\"\n\
         revocation_endpoint = \"{}\"\nendpoint = \"{}\"\n",
        at("/login/oauth/authorize"),
        at("/login/oauth/access_token"),
        at("/login/device/code"),
        at("/credentials/revoke"),
        idp.issuer(),
    ));
    (idp, stage)
}

#[test]
fn github_by_device_code_with_its_own_pace_scopes_and_revocation() {
    let (idp, stage) = github("");
    idp.change(|behaviour| behaviour.polls = [Poll::Pending, Poll::SlowDown, Poll::Pending].into());
    let outcome = stage.run(&["auth", "login"]).ends(0);
    let said = outcome.stderr();
    assert!(said.contains(&idp.url("/device")) && said.contains("WDJB-MJHT"), "{said}");
    let polls = idp.requests_to("/login/oauth/access_token");
    assert_eq!(polls.len(), 4);
    let gaps: Vec<Duration> = polls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(gaps[0] >= Duration::from_millis(990), "{gaps:?}");
    assert!(gaps[1] >= Duration::from_millis(5990) && gaps[2] >= Duration::from_millis(5990), "{gaps:?}");
    for seen in idp.requests().iter().filter(|seen| seen.method == "POST") {
        assert!(seen.header("accept").is_some_and(|accept| accept.contains("json")), "{seen:?}");
    }

    let status = stage.run(&["auth", "status", "--json"]).ends(0).json();
    assert_eq!((&status["account"], &status["account_id"]), (&json!("Ada Example"), &json!("123456")));
    assert_eq!(
        (&status["expires_at"], &status["scopes"]),
        (&Value::Null, &json!(["repo", "read:org"])),
        "the API knows"
    );
    let status = stage.run(&["auth", "status", "--json", "--offline"]).ends(0).json();
    assert_eq!(status["scopes"], json!(["repo", "read:org", "gist"]), "what was granted, with commas between");
    let token = scene::token(&stage);
    let said = stage.run(&["auth", "refresh"]).ends(4).stderr();
    assert!(said.contains("lanyard auth login"), "{said}");
    assert_eq!(idp.requests_to("/login/oauth/access_token").len(), 4);

    stage.run(&["auth", "logout"]).ends(0);
    let revoked = idp.requests_to("/credentials/revoke");
    assert_eq!(revoked.len(), 1);
    assert_eq!(serde_json::from_slice::<Value>(&revoked[0].body).unwrap(), json!({ "credentials": [token] }));
    assert_eq!(revoked[0].header("authorization"), None);
    stage.run(&["auth", "status"]).ends(4);
}

#[test]
fn github_in_the_browser_with_the_secret_that_is_none() {
    let (idp, stage) = github("client_secret = \"LNYCANARYsecret\"\n");
    idp.change(|behaviour| behaviour.client_secret = Some("LNYCANARYsecret".into()));
    attempt(&stage, &["--web"]).ends(0);
    let exchange = &idp.requests_to("/login/oauth/access_token")[0];
    assert_eq!(exchange.field("client_secret").as_deref(), Some("LNYCANARYsecret"));
    assert!(exchange.field("code_verifier").is_some());
    assert_eq!(stage.run(&["auth", "whoami"]).ends(0).stdout(), "Ada Example\n");
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let (idp, stage) = github("");
    let before = settled(&stage);
    for (poll, code) in [(Poll::Denied, 5), (Poll::Expired, 4)] {
        idp.change(|behaviour| behaviour.polls = [poll].into());
        stage.run(&["auth", "login"]).ends(code);
        assert_eq!(settled(&stage), before);
    }
    idp.change(|behaviour| {
        behaviour.fault(
            "/token",
            Fault::Answer(200, "application/json", json!({ "error": "device_flow_disabled" }).to_string()),
        );
    });
    let said = stage.run(&["auth", "login"]).ends(1).stderr();
    assert!(said.contains("--web"), "{said}");
    assert_eq!(settled(&stage), before);
}

#[test]
fn a_code_that_nobody_enters_is_polled_until_it_expires_and_no_longer() {
    let (idp, stage) = github("");
    idp.change(|behaviour| {
        behaviour.polls = vec![Poll::Pending; 50].into();
        behaviour.device_expires_in = 3;
    });
    stage.run(&["auth", "login"]).ends(4);
    let polls = idp.requests_to("/login/oauth/access_token").len();
    assert!((1..=3).contains(&polls), "{polls}");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(idp.requests_to("/login/oauth/access_token").len(), polls);
    // A lost answer is no answer; the next comes later.
    idp.change(|behaviour| {
        behaviour.polls = [Poll::Lost].into();
        behaviour.device_expires_in = 60;
    });
    idp.forget();
    stage.run(&["auth", "login"]).ends(0);
    let polls = idp.requests_to("/login/oauth/access_token");
    assert!(polls[1].at - polls[0].at >= Duration::from_millis(1990), "{:?}", polls[1].at - polls[0].at);
}

#[test]
fn a_hostile_device_answer_shows_no_address_that_is_none() {
    let (idp, stage) = github("");
    let before = settled(&stage);
    for address in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://id.example/device",
        "https://a b/",
        "",
        "https://u:p@id.example/",
    ] {
        idp.change(|behaviour| {
            behaviour.patch("/device_authorization", move |answer| answer["verification_uri"] = json!(address));
        });
        let outcome = stage.run(&["auth", "login"]).ends(1);
        assert!(!outcome.stderr().contains("WDJB"), "{outcome}");
    }
    assert!(idp.requests_to("/login/oauth/access_token").is_empty());
    assert_eq!(settled(&stage), before);
}

#[test]
fn gitlab_of_ones_own_is_found_renewed_and_revoked() {
    let idp = Idp::honest();
    let stage = Stage::new();
    stage.write_config(&format!(
        "profile = \"lab\"\n[profiles.lab]\nservice = \"gitlab\"\nstorage = \"plain\"\n[services.gitlab]\n\
         issuer = \"{}\"\nclient_id = \"cli\"\n",
        idp.issuer()
    ));
    attempt(&stage, &[]).ends(0);
    let status = stage.run(&["auth", "status", "--json"]).ends(0).json();
    assert_eq!((&status["account"], &status["account_id"]), (&json!("Ada Example"), &json!("123456")));
    assert_eq!(status["endpoint"].as_str().map(|url| url.trim_end_matches('/')), Some(idp.issuer()));
    let first = scene::token(&stage);
    for _ in 0..3 {
        stage.run(&["auth", "refresh"]).ends(0);
    }
    let token = scene::token(&stage);
    assert_ne!(token, first);
    assert_eq!((idp.grants("refresh_token").len(), idp.reuses(), idp.live_refresh_tokens()), (3, 0, 1));
    stage.run(&["auth", "revoke"]).ends(0);
    let hints: Vec<_> = idp.requests_to("/revoke").iter().map(|seen| seen.field("token_type_hint").unwrap()).collect();
    assert_eq!(hints, ["refresh_token", "access_token"]);
    assert!(!idp.accepts(&token));
    stage.run(&["auth", "token"]).ends(4);
}

#[test]
fn signing_out_removes_the_session_even_if_the_service_is_away() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for fault in [Fault::Closes, Fault::HtmlError, Fault::Garbage] {
        scene::sign_in(&stage);
        idp.change(|behaviour| {
            behaviour.fault("/revoke", fault);
        });
        let said = stage.run(&["auth", "logout"]).ends(6).stderr();
        assert!(said.contains("remote revocation failed"), "{said}");
        assert!(!stage.config_dir().join("sessions.plain.json").exists());
        stage.run(&["auth", "logout"]).ends(0);
    }
    // A busy service is given a moment; what the service does not know any more is revoked already.
    scene::sign_in(&stage);
    idp.change(|behaviour| {
        behaviour.fault_once("/revoke", Fault::Unavailable { retry_after: 1 });
    });
    idp.forget();
    stage.run(&["auth", "logout"]).ends(0);
    assert_eq!(idp.requests_to("/revoke").len(), 3);
    assert_eq!(idp.live_refresh_tokens(), 3, "those of the three sign-ins that could not be ended");
    // `revoke` removes nothing before the service has agreed.
    scene::sign_in(&stage);
    let before = settled(&stage);
    idp.change(|behaviour| {
        behaviour.fault("/revoke", Fault::HtmlError);
    });
    stage.run(&["auth", "revoke"]).ends(6);
    assert_eq!(settled(&stage), before);
    stage.run(&["auth", "revoke", "--force"]);
    stage.run(&["auth", "token"]).ends(4);
}
