//! The other ways in, against `oidc-provider`: device codes, clients with a secret, a fixed port, pushed requests, and
//! programs that carry a login out for lanyard.

use serde_json::Value;

use crate::peers::{free_port, person};
use crate::real_servers::{Scene, play};
use crate::stage::Running;

const HOUR: (&str, &str) = ("ACCESS_TTL", "3600");

/// Begins a device login and reads the address and the code that it shows.
fn device(scene: &Scene) -> (Running, String, String) {
    let mut running = scene.start(&["--device"]);
    let url = running.url();
    let code = running.wait_for("code", |line| line.strip_prefix("and enter the code ").map(str::to_owned));
    (running, url, code)
}

#[test]
fn a_device_login_is_confirmed_in_another_browser() {
    let scene = Scene::new(&[HOUR]);
    let (running, url, code) = device(&scene);
    let visit = person(&url, &["--code", &code]);
    assert_eq!(visit["status"], 200, "{visit}");
    let told = running.finish().ends(0);
    assert!(told.stderr().contains("Signed in as alice@example.test (profile work"), "{told}");
    assert_eq!(scene.session()["grant"], "device");
    scene.run(&["auth", "refresh"]).ends(0);
    assert_eq!(scene.userinfo(&scene.token()), 200);
}

#[test]
fn a_device_login_that_is_denied_or_runs_out_changes_nothing() {
    let scene = Scene::new(&[("DEVICE_TTL", "20")]);
    let (running, url, code) = device(&scene);
    person(&url, &["--code", &code, "--deny"]);
    let denied = running.finish().ends(5);
    assert!(denied.stderr().contains("next: "), "{denied}");

    let (running, ..) = device(&scene);
    let expired = running.finish().ends(4);
    assert!(expired.stderr().contains("the code expired before it was used"), "{expired}");
    assert!(expired.stderr().contains("lanyard auth login --device"), "{expired}");
    assert_eq!(scene.stage.config(), "");
    assert!(!scene.keyring.items().contains("label = "));
}

#[test]
fn a_client_with_a_secret_keeps_it_in_the_keychain() {
    let scene = Scene::new(&[HOUR]);
    let mut running = scene.start(&["--client-id", "cli-confidential", "--client-secret-stdin"]);
    {
        use std::io::Write;
        running.stdin.take().expect("stdin").write_all(b"confidential-secret\n").expect("lanyard reads");
    }
    play(running, &[]).ends(0);
    scene.run(&["auth", "refresh"]).ends(0);
    assert!(!scene.stage.config().contains("confidential-secret"), "{}", scene.stage.config());
    let found = scene.keyring.items();
    assert!(found.contains("confidential-secret") && found.contains("client secret"), "{found}");

    // The next login needs no secret, and so does signing out.
    scene.login(&["--client-id", "cli-confidential"], &[]).ends(0);
    let token = scene.token();
    scene.run(&["auth", "revoke"]).ends(0);
    assert_eq!(scene.userinfo(&token), 401);
}

#[test]
fn a_wrong_client_secret_is_the_services_refusal() {
    let scene = Scene::new(&[HOUR]);
    let mut running = scene.start(&["--client-id", "cli-confidential", "--client-secret-stdin"]);
    {
        use std::io::Write;
        running.stdin.take().expect("stdin").write_all(b"not-the-secret").expect("lanyard reads");
    }
    let refused = play(running, &[]).ends(1);
    assert!(refused.stderr().contains("because: the service does not accept this client\n"), "{refused}");
    assert!(refused.stderr().contains("next: check client_id, and the client secret"), "{refused}");
    assert!(!refused.stderr().contains("not-the-secret"), "{refused}");
    assert_eq!(scene.stage.config(), "");
    assert!(!scene.keyring.items().contains("label = "), "{}", scene.keyring.items());
}

#[test]
fn a_registered_port_and_path_are_used_as_they_are() {
    let port = free_port().to_string();
    let scene = Scene::new(&[HOUR, ("CALLBACK_PORT", &port)]);
    scene.login(&["--client-id", "cli-fixed-port", "--port", &port], &[]).ends(0);
    assert_eq!(scene.userinfo(&scene.token()), 200);

    // Taken by somebody else, it is an error and never silently another port.
    let _other = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free again");
    let taken = scene.start(&["--client-id", "cli-fixed-port", "--port", &port]).finish().ends(1);
    assert!(taken.stderr().contains(&format!("port {port}")), "{taken}");
}

#[test]
fn a_pushed_request_leaves_no_parameters_in_the_address() {
    let scene = Scene::new(&[HOUR]);
    let issuer = scene.server.issuer();
    // This server demands pushed requests of this client alone, and does not announce that.
    scene.stage.write_config(&format!(
        "[services.real]\nissuer = \"{issuer}\"\nclient_id = \"cli-par\"\n\
         pushed_authorization_request_endpoint = \"{issuer}/request\"\n"
    ));
    let mut running = scene.stage.start(&["auth", "login", "--service", "real", "--profile", "work", "--no-browser"]);
    let url = running.url();
    assert!(url.contains("request_uri=") && !url.contains("code_challenge") && !url.contains("state="), "{url}");
    person(&url, &[]);
    running.finish().ends(0);
    assert_eq!(scene.server.count("/request"), 1);
    assert_eq!(scene.userinfo(&scene.token()), 200);
}

#[test]
fn another_program_carries_a_login_out() {
    let scene = Scene::new(&[HOUR]);
    let mut running = scene.start(&["--json"]);
    let step: Value = serde_json::from_str(&running.answer_line()).expect("one JSON object on a line");
    let names: Vec<&String> = step.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["browser_url", "expires_at", "next_step"]);
    assert!(running.is_alive(), "it goes on waiting");
    person(step["browser_url"].as_str().expect("an address"), &[]);
    running.finish().ends(0);

    let mut running = scene.start(&["--device", "--json"]);
    let step: Value = serde_json::from_str(&running.answer_line()).expect("one JSON object on a line");
    let text = |name: &str| step[name].as_str().unwrap_or_else(|| panic!("no {name}: {step}")).to_owned();
    assert!(chrono::DateTime::parse_from_rfc3339(&text("expires_at")).is_ok() && !text("next_step").is_empty());
    person(&text("verification_url"), &["--code", &text("user_code")]);
    running.finish().ends(0);
    scene.run(&["auth", "status"]).ends(0);
}

#[test]
fn a_second_login_waits_for_the_first_and_takes_its_result() {
    let scene = Scene::new(&[HOUR]);
    let mut first = scene.start(&[]);
    let url = first.url();
    let mut second = scene.start(&[]);
    second.wait_for("word of its waiting", |line| line.contains("which is signing in").then_some(()));
    person(&url, &[]);
    first.finish().ends(0);
    let told = second.finish().ends(0);
    assert!(told.stderr().contains("another process finished this sign-in"), "{told}");
    assert_eq!(scene.server.count("/token"), 1);
}
