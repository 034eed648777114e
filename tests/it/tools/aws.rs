//! The AWS CLI and boto3, which get keys from `lanyard helper aws NAME`; moto and a double of STS are who they talk to.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::canary::{Canary, Sweep};
use crate::crash::{self, Blow};
use crate::double::{Answer, Double, Seen};
use crate::providers::aws::{Moto, venv};
use crate::stage::{LANYARD, Outcome, Stage};
use crate::vaulted;
use crate::wire::Message;

/// The name of the action that a request asks for.
fn action(seen: &Seen) -> String {
    let body = seen.message.text();
    let named = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    named.unwrap_or_default().to_owned()
}

fn count(double: &Double, wanted: &str) -> usize {
    double.requests().iter().filter(|seen| action(seen) == wanted).count()
}

/// A door before another server, which counts who goes through.
fn before(url: &str) -> Double {
    let address = url.trim_start_matches("http://").to_owned();
    Double::start(move |seen| {
        let mut request = format!("{} {} HTTP/1.1\r\n", seen.method, seen.target);
        for (name, value) in &seen.message.headers {
            if !["connection", "transfer-encoding", "expect"].contains(&name.as_str()) {
                request.extend([name, ": ", value, "\r\n"]);
            }
        }
        let mut stream = TcpStream::connect(&address).expect("the server is there");
        stream.write_all(format!("{request}connection: close\r\n\r\n").as_bytes()).expect("it reads");
        stream.write_all(&seen.message.body).expect("it reads");
        let answer = Message::read(&stream, true).expect("an answer");
        Answer::text(answer.status(), answer.header("content-type").unwrap_or("text/xml"), &answer.text())
    })
}

/// An STS that gives keys which end after `life`, each time others.
pub fn sts(life: TimeDelta, pause: Duration, mark: &str) -> Double {
    let mark = mark.to_owned();
    let made = std::sync::atomic::AtomicUsize::new(0);
    Double::start(move |seen| {
        std::thread::sleep(pause);
        let number = made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let ends = (Utc::now() + life).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let keys = format!(
            "<Credentials><AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>{mark}{number}</SecretAccessKey>\
             <SessionToken>token{mark}{number}</SessionToken><Expiration>{ends}</Expiration></Credentials>"
        );
        let who = "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/deploy/lanyard</Arn></AssumedRoleUser>";
        let name = action(seen);
        let account = "<Account>123456789012</Account>";
        Answer::text(200, "text/xml", &format!("<{name}Response>{keys}{who}{account}</{name}Response>"))
    })
}

/// Keys that stay, and a role that is assumed with them, at this STS.
fn with_role(sts: &Double) -> Stage {
    let mut stage = vaulted::stage();
    stage.set("AWS_ENDPOINT_URL", sts.url());
    let keys = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
    stage.run_with(&[&keys[..], &["--no-verify", "--name", "keys"]].concat(), b"LONGLIVEDSECRETACCESSKEY").ends(0);
    let role = ["--role-arn", "arn:aws:iam::123456789012:role/deploy", "--source", "keys", "--name", "deploy"];
    stage.run(&[&["credentials", "store", "aws", "--no-verify"], &role[..]].concat()).ends(0);
    stage
}

fn asked(stage: &Stage, name: &str) -> Outcome {
    stage.run(&["helper", "aws", name])
}

/// Whether stdout is either nothing or the whole answer.
fn is_whole(stdout: &[u8]) -> bool {
    stdout.is_empty() || serde_json::from_slice::<Value>(stdout).is_ok_and(|told| told["Version"] == 1)
}

/// The AWS CLI, or any other module of its Python, with profiles that get their keys here.
fn python(stage: &Stage, names: &[&str], url: &str, arguments: &[&str]) -> Output {
    let folder = stage.home().join(".aws");
    std::fs::create_dir_all(&folder).unwrap();
    // The place of the program has a blank in it, as on many machines.
    let program = stage.root().join("a folder").join("lanyard");
    if !program.exists() {
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(LANYARD, &program).unwrap();
    }
    let profile = |name: &&str| {
        let program = program.display();
        format!("[profile {name}]\nregion = us-east-1\ncredential_process = \"{program}\" helper aws {name}\n")
    };
    std::fs::write(folder.join("config"), names.iter().map(profile).collect::<String>()).unwrap();
    Command::new(venv().join("bin/python"))
        .args(arguments)
        .env_clear()
        .envs([("HOME", stage.home().display().to_string()), ("PATH", "/usr/bin:/bin".into())])
        .envs([("AWS_ENDPOINT_URL", url), ("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_PAGER", "")])
        .output()
        .expect("python is there; tests/run installs it")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

const WHO: [&str; 8] = ["-m", "awscli", "sts", "get-caller-identity", "--query", "Arn", "--output", "text"];

#[test]
fn the_aws_cli_and_boto3_are_whom_the_chain_of_roles_makes_them() {
    let moto = Moto::start();
    let door = before(&moto.url);
    let mut stage = moto.stage();
    stage.set("AWS_ENDPOINT_URL", door.url());
    moto.store(&stage, "dev").ends(0);
    for (name, source) in [("deploy", "dev"), ("chained", "deploy")] {
        let flags = ["--role-arn", moto.role(), "--source", source, "--name", name, "--no-verify"];
        stage.run(&[&["credentials", "store", "aws"], &flags[..]].concat()).ends(0);
    }
    let names = ["chained", "deploy", "none"];
    let who = |name: &str| python(&stage, &names, &door.url(), &[&WHO[..], &["--profile", name]].concat());
    assert_eq!(said(&who("chained")), "arn:aws:sts::123456789012:assumed-role/deploy/lanyard");
    let asked_sts = count(&door, "AssumeRole");
    assert_eq!(asked_sts, 2, "one for each role of the chain");
    assert_eq!(said(&who("chained")), "arn:aws:sts::123456789012:assumed-role/deploy/lanyard");
    let line = "import boto3; s = boto3.Session(profile_name='deploy'); c = s.get_credentials(); \
                print(c.method, s.client('sts').get_caller_identity()['Arn'])";
    let boto = said(&python(&stage, &names, &door.url(), &["-c", line]));
    assert_eq!(boto, "custom-process arn:aws:sts::123456789012:assumed-role/deploy/lanyard");
    assert_eq!(count(&door, "AssumeRole"), asked_sts, "what was made is handed out again");

    let missing = who("none");
    let told = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && told.contains("there is no AWS credential of that name"), "{told}");
    // Nothing of all that stands in a file in plain text, but for the one that the test gave the key in.
    std::fs::remove_dir_all(stage.root().join("given")).unwrap();
    let (_, secret) = moto.key("dev");
    let token = asked(&stage, "chained").ends(0).json()["SessionToken"].as_str().unwrap().to_owned();
    let canaries = [Canary::of(&secret), Canary::of(&token)];
    let mut sweep = Sweep::for_canaries(&canaries);
    sweep.tree(stage.root()).assert_clean();
}

#[test]
fn keys_that_stay_are_never_handed_out() {
    let canary = Canary::new();
    let sts = sts(TimeDelta::hours(1), Duration::ZERO, canary.text());
    let stage = with_role(&sts);
    let told = asked(&stage, "keys").ends(0);
    let json = told.json();
    assert_eq!((&json["Version"], &json["AccessKeyId"]), (&1.into(), &"ASIA0".into()));
    assert!(json["SessionToken"].is_string() && !told.stdout().contains("LONGLIVED"), "{told}");
    let end: DateTime<Utc> = json["Expiration"].as_str().unwrap().parse().unwrap();
    let left = (end - Utc::now()).num_minutes();
    assert!((55..60).contains(&left), "{end} is a minute before its end");
    let requests = sts.requests();
    assert_eq!(requests.len(), 1);
    let body = requests[0].message.text();
    assert!(body.contains("Action=GetSessionToken") && body.contains("DurationSeconds=3600"), "{body}");
    assert_eq!(asked(&stage, "keys").ends(0).json(), json, "the same again");
    assert_eq!(sts.requests().len(), 1);
    let mut sweep = Sweep::for_canaries(&[canary]);
    sweep.tree(stage.root()).assert_clean();
    // What is exported is the key itself, and is made anew where it is a role's.
    let exported = |name: &str| stage.run(&["credentials", "export", name, "--format", "json"]).ends(0).json();
    assert_eq!(exported("keys")["AWS_ACCESS_KEY_ID"], "AKIAIOSFODNN7EXAMPLE");
    assert_ne!(exported("deploy")["AWS_ACCESS_KEY_ID"], exported("deploy")["AWS_ACCESS_KEY_ID"]);
}

#[test]
fn what_ends_soon_is_made_anew() {
    let sts = sts(TimeDelta::hours(1), Duration::ZERO, "x");
    let mut stage = with_role(&sts);
    let id = |stage: &Stage| asked(stage, "deploy").ends(0).json()["AccessKeyId"].clone();
    assert_eq!((id(&stage), id(&stage)), ("ASIA0".into(), "ASIA0".into()));
    stage.at("+42m");
    assert_eq!(id(&stage), "ASIA0");
    stage.at("+44m");
    assert_eq!(id(&stage), "ASIA1", "boto asks again for what ends within a quarter of an hour");
    stage.unset("LD_PRELOAD");
    // A change of the credential, or of what it is made through, makes what was made worthless.
    let before = id(&stage);
    stage.run(&["credentials", "update", "deploy", "--no-verify", "--field", "session_name=other"]).ends(0);
    assert_ne!(id(&stage), before);
    let before = id(&stage);
    let field = "secret_access_key=ANOTHERLONGLIVEDSECRETACCESSKEY";
    stage.run(&["credentials", "update", "keys", "--no-verify", "--field", field]).ends(0);
    assert_ne!(id(&stage), before);
    // So does another place that would be asked.
    let before = id(&stage);
    stage.set("AWS_ENDPOINT_URL", sts.url().replace("127.0.0.1", "localhost"));
    assert_ne!(id(&stage), before);
}

#[test]
fn many_at_once_have_it_made_once() {
    let sts = sts(TimeDelta::hours(1), Duration::from_millis(400), "x");
    let stage = with_role(&sts);
    let running: Vec<_> = (0..8).map(|_| stage.start(&["helper", "aws", "deploy"])).collect();
    let ids: std::collections::BTreeSet<String> =
        running.into_iter().map(|one| one.finish().ends(0).json()["AccessKeyId"].to_string()).collect();
    assert_eq!((ids.len(), sts.requests().len()), (1, 1), "{ids:?}");
}

#[test]
fn a_kill_at_any_point_leaves_the_next_call_well() {
    let sts = sts(TimeDelta::hours(1), Duration::ZERO, "x");
    let stage = with_role(&sts);
    // The answer waits, and the one who waits for it is killed.
    let silent = Double::always(Answer::Silence);
    let mut other = stage.command(&["helper", "aws", "deploy"]);
    let mut child = other.env("AWS_ENDPOINT_URL", silent.url()).stdout(Stdio::piped()).spawn().unwrap();
    while silent.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout.is_empty());
    assert_eq!(asked(&stage, "deploy").ends(0).json()["Version"], 1);
    for call in ["fdatasync", "pwrite64"] {
        let forget = || {
            stage.run(&["credentials", "update", "deploy", "--no-verify", "--field", "session_name=other"]).ends(0);
            stage.command(&["helper", "aws", "deploy"])
        };
        let struck = crash::at_every(call, Blow::Kill, forget, |_| {
            assert!(is_whole(asked(&stage, "deploy").ends(0).stdout().as_bytes()));
        });
        assert!(struck > 0 || call == "fdatasync", "{call}");
    }
}

#[test]
fn what_cannot_be_handed_out_is_told_on_stderr_alone() {
    let stage = vaulted::stage();
    let refused = |stage: &Stage, name: &str, why: &str| {
        let told = asked(stage, name).ends(1);
        assert!(told.stdout().is_empty() && told.stderr().contains(why), "{told}");
    };
    refused(&stage, "any", "there is no AWS credential of that name");
    vaulted::store_env(&stage, "env", "NAME", "value");
    refused(&stage, "env", "there is no AWS credential of that name");
    let temporary = |name: &str, ends: &str| {
        let keys =
            ["credentials", "store", "aws", "--access-key-id", "ASIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
        let more = ["--session-token", "token", "--no-verify", "--name", name];
        let ends = if ends.is_empty() { vec![] } else { vec!["--expires-at", ends] };
        stage.run_with(&[&keys[..], &more, &ends].concat(), b"SECRETACCESSKEY").ends(0);
    };
    temporary("over", "2024-01-01T00:00:00Z");
    refused(&stage, "over", "the time of the temporary keys in over is over");
    temporary("good", "2099-01-01T00:00:00Z");
    assert_eq!(asked(&stage, "good").ends(0).json()["Expiration"], "2098-12-31T23:59:00Z");
    temporary("unknown", "");
    let end: DateTime<Utc> = asked(&stage, "unknown").ends(0).json()["Expiration"].as_str().unwrap().parse().unwrap();
    assert!(end - Utc::now() < TimeDelta::minutes(31), "{end}");

    let sts = sts(TimeDelta::hours(1), Duration::ZERO, "x");
    let mut stage = with_role(&sts);
    stage.set("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    refused(&stage, "deploy", "lanyard: ");
    stage.run(&["helper", "aws"]).ends(1);
    let short = Double::start(|_| {
        Answer::text(403, "text/xml", "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    });
    stage.set("AWS_ENDPOINT_URL", short.url());
    refused(&stage, "keys", "sts:GetSessionToken");
}

#[test]
fn the_doctor_warns_of_an_endpoint_where_keys_of_ours_sign() {
    let stage = vaulted::stage();
    std::fs::create_dir_all(stage.home().join(".aws")).unwrap();
    let ours = "[profile prod]\ncredential_process = /usr/bin/lanyard helper aws prod\n";
    std::fs::write(stage.home().join(".aws/config"), ours).unwrap();
    let told = stage.run(&["doctor"]);
    assert!(!told.stdout().contains("another address than AWS's"), "{told}");
    std::fs::write(stage.home().join(".aws/config"), format!("{ours}endpoint_url = https://evil.example\n")).unwrap();
    let told = stage.run(&["doctor"]);
    assert!(told.stdout().contains("go to another address than AWS's: the profile prod"), "{told}");
    assert_ne!(told.code, Some(0));
}
