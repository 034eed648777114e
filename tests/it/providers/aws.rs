//! AWS: moto, which is as strict as AWS about signatures, keys and permissions, with boto3 as the second client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::clouds::{assert_unseen, at_file};
use super::foreground::Foreground;
use crate::double::{Answer, Double};
use crate::peers::free_port;
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, list, reveal};

mod rotating;

/// A moto with three users and a role.
pub struct Moto {
    folder: TempDir,
    _server: Foreground,
    pub url: String,
    keys: Value,
}

pub fn venv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/moto")
}

impl Moto {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder"))
    }

    /// One whose clock can be set forward.
    fn with_a_clock() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("clock"), "+0s").expect("a file");
        Self::start_in(folder)
    }

    /// Sets the clocks of the server and of later commands so much ahead, in the words of faketime.
    fn at(&self, stage: &mut Stage, ahead: &str) {
        std::fs::write(self.folder.path().join("clock"), ahead).expect("a file");
        stage.at(ahead);
    }

    fn start_in(folder: TempDir) -> Self {
        let port = free_port();
        let words = [venv().display().to_string(), folder.path().display().to_string(), port.to_string()];
        let server = Foreground::start("moto/up.sh", port, &words.each_ref().map(String::as_str));
        let file = folder.path().join("keys.json");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !file.exists() {
            assert!(Instant::now() < deadline, "moto does not get ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        let keys = serde_json::from_slice(&std::fs::read(file).expect("the keys")).expect("JSON");
        Self { folder, _server: server, url: format!("http://127.0.0.1:{port}"), keys }
    }

    pub fn key(&self, user: &str) -> (String, String) {
        let part = |name: &str| self.keys[user][name].as_str().expect("a key").to_owned();
        (part("id"), part("secret"))
    }

    pub fn role(&self) -> &str {
        self.keys["role"].as_str().expect("an ARN")
    }

    /// A home whose official tools are sent here.
    pub fn stage(&self) -> Stage {
        let mut stage = vaulted::stage();
        stage.set("AWS_ENDPOINT_URL", &self.url);
        stage
    }

    /// Stores the key of a user under its name.
    pub fn store(&self, stage: &Stage, user: &str) -> Outcome {
        let (id, secret) = self.key(user);
        store(stage, user, &id, &secret, &[])
    }

    /// What boto3 makes of a line of Python, as the holder of these variables.
    fn boto(&self, variables: &BTreeMap<String, String>, line: &str) -> Output {
        Command::new(venv().join("bin/python"))
            .args(["-c", &format!("import boto3; {line}")])
            .env_clear()
            .envs(variables)
            .env("AWS_ENDPOINT_URL", &self.url)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .output()
            .expect("python is there")
    }

    /// Whom the keys of a credential are, by boto3.
    fn who(&self, stage: &Stage, name: &str) -> String {
        self.said(&exported(stage, name), "print(boto3.client('sts').get_caller_identity()['Arn'])")
    }

    /// How many access keys the user of a credential has, by boto3.
    fn count(&self, stage: &Stage, name: &str) -> String {
        let line = "print(len(boto3.client('iam').list_access_keys()['AccessKeyMetadata']))";
        self.said(&exported(stage, name), line)
    }

    fn said(&self, variables: &BTreeMap<String, String>, line: &str) -> String {
        let output = self.boto(variables, line);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

fn store(stage: &Stage, name: &str, id: &str, secret: &str, more: &[&str]) -> Outcome {
    let secret = at_file(stage, secret);
    let flags = ["credentials", "store", "aws", "--name", name, "--access-key-id", id, "--secret-access-key", &secret];
    stage.run(&[&flags[..], more].concat())
}

fn exported(stage: &Stage, name: &str) -> BTreeMap<String, String> {
    let json = stage.run(&["credentials", "export", name, "--format", "json"]).ends(0).json();
    serde_json::from_value(json).expect("names and values")
}

fn tested(stage: &Stage, name: &str) -> String {
    stage.run(&["credentials", "test", name]).stdout()
}

#[test]
fn keys_are_stored_tested_and_handed_over() {
    let moto = Moto::start();
    let stage = moto.stage();
    let (id, secret) = moto.key("dev");
    let stored = store(&stage, "aws", &id, &secret, &["--region", "us-east-1"]).ends(0);
    assert_eq!(stored.stderr(), "✓ Stored aws (AWS access key), active: Account 123456789012\n");
    assert_eq!(tested(&stage, "aws"), "aws  PASSED: Account 123456789012\n");
    assert_eq!(list(&stage)[0]["status"], "active");
    let shown = stage.run(&["credentials", "show", "aws"]).ends(0).stdout();
    assert!(!shown.contains(&id) && !shown.contains(&secret) && shown.contains("us-east-1"), "{shown}");
    assert_unseen(&stage, &[&secret]);

    assert_eq!(moto.who(&stage, "aws"), "arn:aws:iam::123456789012:user/dev");
    stage.run(&["credentials", "export", "aws", "--format", "aws-credentials", "--to", "keys"]).ends(0);
    let file = [("AWS_SHARED_CREDENTIALS_FILE".to_owned(), stage.home().join("keys").display().to_string())];
    let line = "print(boto3.client('sts').get_caller_identity()['Arn'])";
    assert_eq!(moto.said(&file.into(), line), "arn:aws:iam::123456789012:user/dev");
}

#[test]
fn wrong_keys_are_refused_each_with_its_reason() {
    let moto = Moto::start();
    let stage = moto.stage();
    let (id, secret) = moto.key("dev");
    let wrong = format!("{}{}", &secret[1..], 'x');
    let refused = store(&stage, "aws", &id, &wrong, &[]).ends(8);
    assert!(refused.stderr().contains("the secret access key does not belong to the access key id"), "{refused}");
    let unknown = store(&stage, "aws", "AKIAIOSFODNN7EXAMPLE", &secret, &[]).ends(8);
    assert!(unknown.stderr().contains("AWS does not know these keys"), "{unknown}");
    assert!(list(&stage).is_empty());
    store(&stage, "aws", &id, &id, &[]).ends(2);
    let lonely = store(&stage, "aws", &id.replacen("AKIA", "ASIA", 1), &secret, &[]).ends(2);
    assert!(lonely.stderr().contains("--session-token"), "{lonely}");

    store(&stage, "aws", "AKIAIOSFODNN7EXAMPLE", &secret, &["--no-verify"]).ends(0);
    assert!(tested(&stage, "aws").contains("FAILED: AWS does not know these keys"));
    assert_eq!(list(&stage)[0]["status"], "needs attention");
    let mut stage = stage;
    stage.set("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", free_port()));
    let away = stage.run(&["credentials", "test", "--json"]).ends(8).json();
    assert_eq!(away[0]["outcome"], "unreachable");
}

#[test]
fn what_the_official_tools_have_is_taken() {
    let moto = Moto::start();
    let mut stage = moto.stage();
    let (id, secret) = moto.key("dev");
    let file = stage.home().join(".aws/credentials");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let section = |name: &str| format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    std::fs::write(&file, format!("{}{}", section("default"), section("staging"))).unwrap();
    let stored = stage.run(&["credentials", "store", "aws"]).ends(0);
    assert!(stored.stderr().contains("Stored aws (AWS access key, from ~/.aws/credentials [default])"), "{stored}");
    assert!(stored.stderr().contains("it still lies in plain text in ~/.aws/credentials [default]"), "{stored}");
    let stored = stage.run(&["credentials", "store", "aws", "--aws-profile", "staging"]).ends(0);
    assert!(stored.stderr().contains("Stored staging"), "{stored}");
    let missing = stage.run(&["credentials", "store", "aws", "--aws-profile", "stagin"]).ends(1);
    assert!(missing.stderr().contains("did you mean staging?"), "{missing}");

    let (other_id, other_secret) = moto.key("stuck");
    stage.set("AWS_ACCESS_KEY_ID", &other_id).set("AWS_SECRET_ACCESS_KEY", &other_secret);
    let stored = stage.run(&["credentials", "store", "aws", "--name", "variables"]).ends(0);
    assert!(stored.stderr().contains("from $AWS_ACCESS_KEY_ID"), "{stored}");
    assert_eq!(reveal(&stage, "variables", "secret_access_key"), other_secret);

    std::fs::write(&file, "[default]\nno assignment\n").unwrap();
    let why = "~/.aws/credentials is no usable AWS credentials file: line 2";
    let stored = stage.run(&["credentials", "store", "aws", "--name", "x"]).ends(0);
    assert!(stored.stderr().contains(&format!("warning: passed over: {why}")), "{stored}");
    let broken = stage.run(&["credentials", "store", "aws", "--aws-profile", "default", "--name", "y"]).ends(1);
    assert!(broken.stderr().contains(&format!("error: {why}")), "{broken}");
}

#[test]
fn programs_give_keys_for_the_profile_in_use() {
    use std::os::unix::fs::PermissionsExt;
    let moto = Moto::start();
    let mut stage = moto.stage();
    let (id, secret) = moto.key("dev");
    let bin = stage.home().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for (name, id, secret) in [("aws", &id, &secret), ("maker", &moto.key("bare").0, &moto.key("bare").1)] {
        let json = serde_json::json!({ "Version": 1, "AccessKeyId": id, "SecretAccessKey": secret });
        std::fs::write(bin.join(name), format!("#!/bin/sh\ncat <<'END'\n{json}\nEND\n")).unwrap();
        std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let config = "[default]\nsso_start_url = https://d.example\nsso_account_id = 1\nsso_role_name = Dev\n\
                  [profile made]\ncredential_process = maker\n";
    std::fs::create_dir_all(stage.home().join(".aws")).unwrap();
    std::fs::write(stage.home().join(".aws/config"), config).unwrap();
    let missing = stage.run(&["credentials", "store", "aws"]).ends(1);
    assert!(missing.stderr().contains("aws is not installed"), "{missing}");
    assert!(missing.stderr().contains("aws sso login --profile default"), "{missing}");
    stage.set("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let stored = stage.run(&["credentials", "store", "aws"]).ends(0);
    assert!(stored.stderr().contains("from `aws configure export-credentials --profile default`"), "{stored}");
    stage.run(&["credentials", "store", "aws", "--aws-profile", "made"]).ends(0);
    assert_eq!(moto.who(&stage, "made"), "arn:aws:iam::123456789012:user/bare");
}

#[test]
fn a_role_is_assumed_through_its_source_and_through_another_role() {
    let moto = Moto::start();
    let stage = moto.stage();
    let role = |name: &str, source: &str| {
        let flags = ["--role-arn", moto.role(), "--source", source, "--name", name];
        stage.run(&[&["credentials", "store", "aws"], &flags[..]].concat())
    };
    let missing = role("deploy", "dev").ends(8);
    assert!(missing.stderr().contains("dev"), "{missing}");
    moto.store(&stage, "dev").ends(0);
    moto.store(&stage, "bare").ends(0);
    let stored = role("deploy", "dev").ends(0);
    assert!(stored.stderr().contains("Stored deploy (AWS role), active: Account 123456789012"), "{stored}");
    assert_eq!(moto.who(&stage, "deploy"), "arn:aws:sts::123456789012:assumed-role/deploy/lanyard");
    let variables = exported(&stage, "deploy");
    assert!(variables.contains_key("AWS_SESSION_TOKEN") && variables.contains_key("AWS_CREDENTIAL_EXPIRATION"));
    assert!(variables["AWS_ACCESS_KEY_ID"].starts_with("ASIA"));
    role("chained", "deploy").ends(0);
    assert_eq!(tested(&stage, "chained"), "chained  PASSED: Account 123456789012\n");
    let denied = role("denied", "bare").ends(8);
    assert!(denied.stderr().contains("bare may not assume the role"), "{denied}");
    assert!(denied.stderr().contains("sts:AssumeRole"), "{denied}");
    let rotate = stage.run(&["credentials", "rotate", "deploy"]).ends(1);
    assert!(rotate.stderr().contains("lanyard credentials rotate dev"), "{rotate}");
}

#[test]
fn the_session_and_the_external_id_of_a_role_reach_the_service() {
    let arn = "arn:aws:iam::123456789012:role/deploy";
    let sts = Double::start(|seen| {
        let form = seen.message.text();
        let who = "arn:aws:sts::123456789012:assumed-role/deploy/ci@laptop";
        let made = format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>\
             <SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>\
             <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>{who}</Arn>\
             </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
        );
        let is_right = ["RoleSessionName=ci%40laptop", "ExternalId=of%20theirs", "Action=AssumeRole"];
        if is_right.iter().all(|part| form.replace('+', "%20").split('&').any(|field| field == *part)) {
            Answer::text(200, "text/xml", &made)
        } else {
            Answer::text(403, "text/xml", "<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>")
        }
    });
    let mut stage = vaulted::stage();
    stage.set("AWS_ENDPOINT_URL_STS", sts.url());
    let keys = ["credentials", "store", "aws", "--access-key-id", "AKIAIOSFODNN7EXAMPLE", "--secret-access-key", "-"];
    let keys = [&keys[..], &["--name", "keys", "--no-verify"]].concat();
    stage.run_with(&keys, b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").ends(0);
    let role = ["credentials", "store", "aws", "--role-arn", arn, "--source", "keys", "--name"];
    let told = ["deploy", "--external-id", "of theirs", "--session-name", "ci@laptop"];
    stage.run(&[&role[..], &["none"]].concat()).ends(8);
    let stored = stage.run(&[&role[..], &told].concat()).ends(0);
    assert!(stored.stderr().contains("Stored deploy (AWS role), active: Account 123456789012"), "{stored}");
    let shown = stage.run(&["credentials", "show", "deploy", "--json"]).ends(0).json();
    let fields = (&shown["fields"]["external_id"], &shown["fields"]["session_name"]);
    assert_eq!(fields, (&"of theirs".into(), &"ci@laptop".into()));
    let malformed = stage.run(&[&role[..], &["bad", "--session-name", "a b"]].concat()).ends(2);
    assert!(malformed.stderr().contains("session_name of the AWS role is malformed"), "{malformed}");
}

#[test]
fn a_registry_of_aws_gets_its_password_from_the_keys() {
    let moto = Moto::start();
    let stage = moto.stage();
    moto.store(&stage, "dev").ends(0);
    moto.store(&stage, "bare").ends(0);
    let host = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let registry = |name: &str| {
        let flags = ["--source", name, "--name", &format!("ecr-{name}"), "--no-verify"];
        stage.run(&[&["credentials", "store", "registry", host], &flags[..]].concat()).ends(0);
        stage.run(&["credentials", "export", &format!("ecr-{name}"), "--format", "docker-config"])
    };
    let config = registry("dev").ends(0).json();
    // `AWS:123456789012-auth-token`
    assert_eq!(config["auths"][host]["auth"], "QVdTOjEyMzQ1Njc4OTAxMi1hdXRoLXRva2Vu");
    let denied = registry("bare").ends(5);
    assert!(denied.stderr().contains("ecr:GetAuthorizationToken"), "{denied}");
}
