//! The container-credentials endpoint: boto3 fetches keys from it, and whoever is not the command is told nothing.

use std::time::Duration;

use chrono::TimeDelta;

use super::aws::sts;
use crate::providers::aws::{Moto, venv};
use crate::stage::{Outcome, Stage};
use crate::vaulted;
use crate::wire::send_raw;

/// A home in which `dev` may assume the role `deploy`, and whose own profile is somebody else's.
fn stage(moto: &Moto) -> Stage {
    let mut stage = moto.stage();
    moto.store(&stage, "dev").ends(0);
    let role = ["credentials", "store", "aws", "--name", "deploy", "--role-arn", moto.role(), "--source", "dev"];
    stage.run(&[&role[..], &["--duration", "900"]].concat()).ends(0);
    std::fs::create_dir(stage.home().join(".aws")).unwrap();
    let keys = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wrong\n";
    std::fs::write(stage.home().join(".aws/credentials"), keys).unwrap();
    stage.set("AWS_DEFAULT_REGION", "us-east-1").set("AWS_EC2_METADATA_DISABLED", "true").set("AWS_PROFILE", "default");
    stage
}

fn boto(stage: &Stage, script: &str) -> Outcome {
    let python = venv().join("bin/python");
    let words =
        ["run", "--credential", "deploy", "--aws-endpoint", "--mask", "--", python.to_str().unwrap(), "-c", script];
    stage.run(&words)
}

#[test]
fn boto_fetches_keys_that_are_in_no_variable() {
    let moto = Moto::start();
    let stage = stage(&moto);
    let script = "import boto3, os\n\
        session = boto3.Session()\n\
        found = session.get_credentials()\n\
        print(found.method, session.client('sts').get_caller_identity()['Arn'])\n\
        print([n for n in os.environ if n.startswith('AWS_') and ('KEY' in n or 'SESSION' in n or 'PROFILE' in n)])\n\
        print(found.secret_key, found.token, os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN'])\n";
    let said = boto(&stage, script).ends(0);
    let text = said.stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("container-role arn:aws:sts::123456789012:assumed-role/"), "{said}");
    assert_eq!(lines[1..], ["[]", "*** *** ***"], "{said}");
    // References to the usable form hand over keys that belong together.
    let template = "AWS_ACCESS_KEY_ID=lanyard://deploy/access_key_id\n\
        AWS_SECRET_ACCESS_KEY=lanyard://deploy/secret_access_key\nAWS_SESSION_TOKEN=lanyard://deploy/session_token\n";
    std::fs::write(stage.home().join("template"), template).unwrap();
    let python = venv().join("bin/python");
    let script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])";
    let words = ["run", "--env", "template", "--", python.to_str().unwrap(), "-c", script];
    assert!(stage.run(&words).ends(0).stdout().contains(":assumed-role/"));
}

#[test]
fn nobody_else_is_told_anything() {
    let moto = Moto::start();
    let stage = stage(&moto);
    let script = "env | grep AWS_CONTAINER; echo up; cat >/dev/null";
    let mut running = stage.start(&["run", "--credential", "deploy", "--aws-endpoint", "--", "sh", "-c", script]);
    let mut found = std::collections::BTreeMap::new();
    loop {
        let line = running.answer_line();
        let Some((name, value)) = line.split_once('=') else { break };
        found.insert(name.to_owned(), value.to_owned());
    }
    let uri = &found["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let token = &found["AWS_CONTAINER_AUTHORIZATION_TOKEN"];
    let address = uri.strip_prefix("http://").unwrap().strip_suffix("/creds/deploy").unwrap();
    assert!(address.starts_with("127.0.0.1:") && token.len() == 64, "{uri}");
    let asked = |path: &str, host: &str, token: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n");
        let answer = send_raw(address, request.as_bytes()).expect("an answer");
        (answer.status(), answer.text())
    };
    let (status, body) = asked("/creds/deploy", address, token);
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    let names: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["AccessKeyId", "Expiration", "SecretAccessKey", "Token"]);
    assert_eq!(asked("/creds/deploy", address, token).1, body, "keys are made anew when they are due, not before");
    let wrong = "0".repeat(64);
    for (path, host, token, status) in [
        ("/creds/deploy", address, wrong.as_str(), 403),
        ("/creds/deploy", address, "", 403),
        ("/creds/deploy", "evil.example", token, 403),
        ("/creds/other", address, &wrong, 403),
        ("/creds/other", address, token, 404),
        ("/", address, token, 404),
    ] {
        assert_eq!(asked(path, host, token), (status, "{}".to_owned()), "{path} {host}");
    }
    running.finish().ends(0);
    assert!(std::net::TcpStream::connect(address).is_err(), "the endpoint goes with the command");
}

#[test]
fn a_session_is_made_of_lasting_keys_and_nothing_else_is_served() {
    let moto = Moto::start();
    let stage = stage(&moto);
    let run = |flags: &[&str]| stage.run(&[&["run", "--aws-endpoint"], flags, &["--", "touch", "started"]].concat());
    let ask =
        "curl -s -H \"Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN\" \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"";
    let asked =
        stage.run(&["run", "--aws-endpoint", "--no-mask", "--credential", "dev", "--", "sh", "-c", ask]).ends(0);
    let told = asked.json();
    assert!(told["Token"].as_str().is_some_and(|token| !token.is_empty()), "{told}");
    assert!(told["SecretAccessKey"].as_str().is_some_and(|secret| secret != moto.key("dev").1), "{told}");
    assert!(told["Expiration"].is_string(), "{told}");
    vaulted::store_env(&stage, "app", "API_KEY", "s3cr3t-value");
    let refused = run(&["--credential", "app"]).ends(2);
    assert!(refused.stderr().contains("none is given"), "{refused}");
    assert!(!stage.home().join("started").exists());
}

#[test]
fn keys_that_are_made_for_the_endpoint_are_masked_and_announced() {
    let moto = Moto::start();
    let mut stage = stage(&moto);
    // Of lasting keys a session is made, whose keys are others than those that are stored.
    let ask =
        "curl -s -H \"Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN\" \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"";
    let words = |flag: &'static str| ["run", "--aws-endpoint", flag, "--credential", "dev", "--", "sh", "-c", ask];
    let masked = stage.run(&words("--mask")).ends(0).json();
    assert_eq!((&masked["SecretAccessKey"], &masked["Token"]), (&"***".into(), &"***".into()), "{masked}");
    stage.set("GITHUB_ACTIONS", "true");
    let announced = stage.run(&words("--no-mask")).ends(0);
    for field in ["SecretAccessKey", "Token"] {
        let told = announced.json()[field].as_str().unwrap().to_owned();
        let command = format!("::add-mask::{}\n", told.replace('%', "%25"));
        assert!(announced.stderr().contains(&command), "{field}: {announced}");
    }
}

#[test]
fn keys_that_are_made_anew_are_masked_and_announced_as_well() {
    let sts = sts(TimeDelta::seconds(6), Duration::ZERO, "s3cr3t/mark");
    let mut stage = vaulted::stage();
    stage.set("AWS_ENDPOINT_URL", sts.url()).set("GITHUB_ACTIONS", "true");
    let keys = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
    stage.run_with(&[&keys[..], &["--no-verify", "--name", "dev"]].concat(), b"LONGLIVEDSECRETACCESSKEY").ends(0);
    let ask = "ask() { curl -s -H \"Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN\" \"$AWS_CONTAINER_CREDENTIALS_FULL_URI\"; }; \
         ask; echo; printf 'half a line: ' >&2; sleep 4; ask";
    let told = stage.run(&["run", "--aws-endpoint", "--credential", "dev", "--", "sh", "-c", ask]).ends(0);
    let lines: Vec<serde_json::Value> =
        told.stdout().lines().map(|line| serde_json::from_str(line).expect("an answer")).collect();
    let ids: Vec<&serde_json::Value> = lines.iter().map(|line| &line["AccessKeyId"]).collect();
    assert_eq!(ids.len(), 2, "{told}");
    assert_ne!(ids[0], ids[1], "they were made anew: {told}");
    for line in &lines {
        assert_eq!((&line["SecretAccessKey"], &line["Token"]), (&"***".into(), &"***".into()), "{told}");
    }
    for line in &lines {
        let number = line["AccessKeyId"].as_str().unwrap().trim_start_matches("ASIA");
        for secret in [format!("s3cr3t/mark{number}"), format!("tokens3cr3t/mark{number}")] {
            assert!(told.stderr().lines().any(|line| line == format!("::add-mask::{secret}")), "{secret}: {told}");
        }
    }
    assert!(told.stderr().contains("half a line: \n"), "a command begins a line of its own: {told}");
}
