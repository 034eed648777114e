//! Documents that give orders: a server that is sent one keeps it not, runs nothing and opens nothing; a machine that is
//! handed one does neither.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::served::{Served, token};
use crate::canary::{Canary, Sweep};
use crate::double::{Answer, Double};
use crate::stage::Stage;

/// Each document, what it is sent as, and the key that it is refused for; without one, it is of no form that is known.
const CORPUS: [(&str, &str, Option<&str>); 44] = [
    ("kubeconfig-exec.yaml", "kubeconfig", Some("exec")),
    ("kubeconfig-exec.json", "kubeconfig", Some("exec")),
    ("kubeconfig-exec-elsewhere.yaml", "kubeconfig", Some("exec")),
    ("kubeconfig-exec-merged.yaml", "kubeconfig", Some("exec")),
    ("kubeconfig-auth-provider.yaml", "kubeconfig", Some("auth-provider")),
    ("kubeconfig-token-file.yaml", "kubeconfig", Some("tokenFile")),
    ("kubeconfig-client-certificate.yaml", "kubeconfig", Some("client-certificate")),
    ("kubeconfig-client-key.yaml", "kubeconfig", Some("client-key")),
    ("kubeconfig-authority.yaml", "kubeconfig", Some("certificate-authority")),
    ("kubeconfig-proxy.yaml", "kubeconfig", Some("proxy-url")),
    ("kubeconfig-insecure.yaml", "kubeconfig", Some("insecure-skip-tls-verify")),
    ("kubeconfig-as.yaml", "kubeconfig", Some("as")),
    ("kubeconfig-bomb.yaml", "kubeconfig", None),
    ("kubeconfig-exec.yaml", "kubeconfig_gke", Some("exec")),
    ("kubeconfig-exec.yaml", "kubeconfig_eks", Some("exec")),
    ("google-token-uri.json", "gcp_service_account", Some("token_uri")),
    ("google-token-uri-here.json", "gcp_service_account", Some("token_uri")),
    ("google-universe.json", "gcp_service_account", Some("universe_domain")),
    ("google-executable.json", "gcp_service_account", Some("credential_source")),
    ("google-file.json", "gcp_service_account", Some("credential_source")),
    ("google-url.json", "gcp_service_account", Some("credential_source")),
    ("kubeconfig-exec.yaml", "file", Some("exec")),
    ("kubeconfig-token-file.yaml", "file", Some("tokenFile")),
    ("google-executable.json", "file", Some("credential_source")),
    ("aws-process.ini", "file", Some("credential_process")),
    ("aws-web-identity.ini", "file AWS_CONFIG_FILE", Some("web_identity_token_file")),
    ("docker-helpers.json", "file", Some("credHelpers")),
    ("docker-store.json", "file", Some("credsStore")),
    ("git-ssh-command.ini", "file", Some("core.sshCommand")),
    ("git-one-line.ini", "file", Some("core.sshCommand")),
    ("git-helper.ini", "file", Some("credential.helper")),
    ("git-include.ini", "file", Some("include.path")),
    ("git-include-if.ini", "file", Some("includeIf.path")),
    ("git-monitor.ini", "file", Some("core.fsmonitor")),
    ("git-alias.ini", "file", Some("alias")),
    ("git-pager.ini", "file", Some("core.pager")),
    ("git-editor.ini", "file", Some("core.editor")),
    ("git-diff.ini", "file", Some("diff.external")),
    ("git-filter.ini", "file", Some("filter.clean")),
    ("git-smudge.ini", "file", Some("filter.smudge")),
    ("git-gpg.ini", "file", Some("gpg.program")),
    ("git-instead.ini", "file", Some("url.insteadOf")),
    ("netrc-macro.txt", "file", Some("macdef")),
    ("npm-shell.txt", "file", Some("script-shell")),
];

/// The document, with a folder of this test's own in the place of the paths in it.
fn document(name: &str, here: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/server/orders").join(name);
    std::fs::read_to_string(path).expect("a document").replace("HERE", here.to_str().unwrap())
}

/// What a credential of it is made of.
fn values(sort: &str, text: &str) -> (String, Value, Value) {
    let (kind, variable) = sort.split_once(' ').map_or((sort, None), |(kind, variable)| (kind, Some(variable)));
    let (fields, data) = match kind {
        "gcp_service_account" => (json!({}), json!({ "key_file": text })),
        "kubeconfig" => (json!({}), json!({ "kubeconfig": text })),
        "kubeconfig_gke" => (json!({ "source": "gcp" }), json!({ "kubeconfig": text })),
        "kubeconfig_eks" => {
            (json!({ "source": "aws", "eks_cluster": "dev", "region": "eu-west-1" }), json!({ "kubeconfig": text }))
        }
        _ => {
            let mut fields = json!({ "file_name": "config" });
            fields.as_object_mut().unwrap().extend(variable.map(|variable| ("variable".to_owned(), json!(variable))));
            (fields, json!({ "content": STANDARD.encode(text) }))
        }
    };
    (kind.to_owned(), fields, data)
}

/// A folder with a program that tells that it ran, and a secret; what the documents name.
fn trap(stage: &Stage) -> PathBuf {
    let here = stage.root().join("trap");
    std::fs::create_dir(&here).unwrap();
    std::fs::write(here.join("secret"), "LNYCANARYsecret0123456789").unwrap();
    let program = here.join("program");
    std::fs::write(&program, format!("#!/bin/sh\necho ran >>{}/ran\n", here.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    here
}

#[test]
fn a_server_carries_out_nothing_of_what_it_is_sent() {
    let mut stage = Stage::new();
    let here = trap(&stage);
    let log = stage.root().join("calls");
    let calls = "trace=execve,execveat,open,openat,openat2,stat,newfstatat,statx,readlink,connect";
    stage.wrap(&["strace", "-D", "-f", "-qq", "-s", "4096", "-e", calls, "-o", log.to_str().unwrap(), "--"]);
    let mut served = Served::on(stage, &[]);
    assert_eq!(served.set_up(super::served::PASSPHRASE).status(), 303);
    let machine = served.client();
    let bearer = token(&machine);
    let post = |path: &str, body: &Value| served.api("POST", path, &bearer, &body.to_string());
    let fine = json!({ "kind": "generic_env", "name": "env", "data": { "A": "1" } });
    assert_eq!(post("/credential-configs", &fine).status(), 201);
    let good = document("kubeconfig-exec.yaml", &here);
    let good = good.split("    exec:").next().unwrap().to_owned();
    let stored =
        post("/credential-configs", &json!({ "kind": "kubeconfig", "name": "k", "data": { "kubeconfig": good } }));
    assert_eq!(stored.status(), 201, "{}", stored.text());
    let standing = stored.header("location").unwrap().to_owned();
    for (name, sort, key) in CORPUS {
        let (kind, fields, data) = values(sort, &document(name, &here));
        let refused =
            post("/credential-configs", &json!({ "kind": kind, "name": "bad", "fields": fields, "data": data }));
        let told = refused.json();
        assert_eq!((refused.status(), told["key"].as_str()), (422, key), "{name} as {sort}: {told}");
        assert!(!refused.text().contains("LNYCANARY") && !refused.text().contains("trap"), "{told}");
        if kind == "kubeconfig" {
            // Nor in the place of one that is there, nor as one that was made out of the old one.
            for renewal in [false, true] {
                let body = json!({ "renewal": renewal, "version": 1, "data": data });
                let refused = post(&format!("{standing}/secrets"), &body);
                assert_eq!(
                    (refused.status(), refused.json()["key"].as_str()),
                    (422, key),
                    "{name}: {}",
                    refused.text()
                );
            }
        }
    }
    // Nor what would have a program run by its name alone, in any letters.
    for name in [
        "PAGER",
        "Editor",
        "AWS_PAGER",
        "SSH_ASKPASS",
        "NODE_EXTRA_CA_CERTS",
        "npm_config_userconfig",
        "PIP_CONFIG_FILE",
        "ZDOTDIR",
        "PSQLRC",
    ] {
        let variables = json!({ "kind": "generic_env", "name": "bad", "data": { "A": "1", name: "trap/program" } });
        let in_file = json!({
            "kind": "file", "name": "bad", "fields": { "file_name": "config", "variable": name }, "data": { "content": "YQ==" },
        });
        for (body, field) in [(variables, name), (in_file, "variable")] {
            let refused = post("/credential-configs", &body);
            let told = refused.json();
            assert_eq!((refused.status(), &told["field"]), (422, &json!(field)), "{body}: {told}");
            assert_eq!(told["type"], "urn:lanyard:problem:order", "{told}");
        }
    }
    // A word of YAML that some readers take for an order is none here.
    let included = json!({ "kind": "kubeconfig", "name": "bad", "data": { "kubeconfig": document("kubeconfig-include.yaml", &here) } });
    assert!([201, 422].contains(&post("/credential-configs", &included).status()));
    let asked = post(&format!("{standing}/verify"), &Value::Null);
    assert!(asked.status() == 200 && asked.json()["valid"] == json!(false), "{}", asked.text());

    let listed = served.api("GET", "/credential-configs", &bearer, "").json();
    assert!(listed["items"].as_array().unwrap().len() <= 3, "{listed}");
    assert_eq!(served.end("TERM"), Some(0));
    let calls = std::fs::read_to_string(log).expect("strace is installed; tests/run does that");
    let ran: Vec<&str> = calls.lines().filter(|line| line.contains("execve")).collect();
    assert_eq!(ran.len(), 1, "the server itself, and nothing else: {ran:#?}");
    assert!(calls.contains("server.db"), "what is opened is seen");
    for word in ["trap/program", "trap/secret", "evil.example"] {
        assert!(!calls.contains(word), "{word}");
    }
    assert!(!here.join("ran").exists());
    let canaries = [Canary::of("LNYCANARYkey0123456789"), Canary::of("LNYCANARYsecret0123456789")];
    Sweep::for_canaries(&canaries).tree(&served.data()).assert_clean();
}

#[test]
fn the_command_line_and_the_portal_are_told_which_key_it_is() {
    let served = Served::new(&[]);
    let machine = served.client();
    let here = trap(&machine);
    let file = machine.root().join("kubeconfig");
    std::fs::write(&file, document("kubeconfig-as.yaml", &here)).unwrap();
    let words = ["credentials", "store", "k8s", "--kubeconfig", file.to_str().unwrap(), "--no-verify"];
    let refused = machine.run(&words).ends(1);
    assert!(refused.stderr().contains("kubeconfig: `as` would act as somebody else"), "{refused}");
    std::fs::write(&file, document("aws-process.ini", &here)).unwrap();
    let refused = machine.run(&["credentials", "store", "file", file.to_str().unwrap()]).ends(1);
    assert!(refused.stderr().contains("content: `credential_process` would run a program"), "{refused}");
    // Here on this machine it is one's own file.
    machine.run(&["config", "set", "profiles.here.storage", "plain"]).ends(0);
    machine.run(&[&words[..], &["--profile", "here", "--name", "k"]].concat()).ends(1);
    std::fs::write(&file, document("kubeconfig-as.yaml", &here)).unwrap();
    machine.run(&[&words[..], &["--profile", "here", "--name", "k"]].concat()).ends(0);
    let pushed = machine.run(&["credentials", "push", "k"]);
    assert_ne!(pushed.code, Some(0), "{pushed}");

    let browser = served.browser();
    let home = browser.get("/").text();
    let base = home.split("href=\"/portal/").nth(1).unwrap().split("/credentials\"").next().unwrap().to_owned();
    let page = format!("/portal/{base}/credentials/new");
    let mut fields =
        super::served::hidden(browser.get(&format!("{page}?kind=kubeconfig")).text().split("<main").nth(1).unwrap());
    fields.push(("name".into(), "k".into()));
    fields.push(("f-kubeconfig".into(), document("kubeconfig-exec.yaml", &here)));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let refused = browser.post(&page, &fields);
    assert_eq!(refused.status(), 422, "{}", refused.text());
    assert!(refused.text().contains("Kubeconfig: `exec` would run a program"), "{}", refused.text());
    assert!(!here.join("ran").exists());
}

/// A server that hands out whatever it likes: one that somebody took over, or that is none of ours.
fn hands_out(kind: &str, fields: &Value, data: &Value) -> Double {
    let names: Vec<String> = data.as_object().unwrap().keys().cloned().collect();
    let shown = json!({
        "id": "cred_1", "name": "bad", "kind": kind, "project": null, "fields": fields, "secret_names": names,
        "tags": [], "note": "", "created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z", "used": null,
        "verified": null, "expires": null, "checked": "never", "version": 1, "used_by": [],
    });
    let opened = json!({ "version": 1, "data": data });
    Double::start(move |seen| match seen.path() {
        "/credential-configs" => Answer::json(200, &json!({ "items": [shown], "next": null })),
        "/credential-configs/cred_1" => Answer::json(200, &shown),
        path if path.ends_with("/secrets") => Answer::json(200, &opened),
        path if path.ends_with("/notes") => Answer::json(204, ""),
        _ => Answer::json(404, "{}"),
    })
}

#[test]
fn a_machine_carries_out_nothing_of_what_a_server_hands_out() {
    let served = Served::new(&[]);
    let mut machine = served.client();
    let here = trap(&machine);
    let config = machine.config();
    machine.set("LANYARD_TOKEN", "LNYCANARYbearer");
    let mut all: Vec<(String, Value, Value)> =
        CORPUS.iter().map(|(name, sort, _)| values(sort, &document(name, &here))).collect();
    for name in ["LD_PRELOAD", "PATH", "BASH_ENV", "GIT_SSH_COMMAND", "PYTHONSTARTUP", "PAGER", "KUBE_EDITOR"] {
        let program = here.join("program");
        all.push(("generic_env".into(), json!({}), json!({ name: program.to_str().unwrap() })));
    }
    let file = |name: &str, variable: &str| {
        let fields = json!({ "file_name": name, "variable": variable });
        ("file".to_owned(), fields, json!({ "content": "YQ==" }))
    };
    all.extend([file("../../.bashrc", "X"), file("a", "LD_PRELOAD"), file("a", "EDITOR")]);
    for (kind, fields, data) in all {
        let evil = hands_out(&kind, &fields, &data);
        machine.write_config(&config.replace(&served.url, &evil.url()));
        for words in [
            &["run", "--credential", "bad", "--", "true"][..],
            &["helper", "kubectl", "bad"],
            &["credentials", "export", "bad", "--format", "kubeconfig"],
            &["credentials", "export", "bad"],
            &["credentials", "show", "bad", "--reveal", "content", "--yes"],
            &["credentials", "test", "bad"],
        ] {
            let told = machine.run(words);
            assert_ne!(told.code, Some(0), "{kind} {data}: {words:?}: {told}");
            assert!(!told.stdout().contains("trap") && !told.stdout().contains("LNYCANARY"), "{words:?}: {told}");
        }
        let ran = machine.run(&["run", "--credential", "bad", "--", "true"]).ends(8);
        assert!(ran.stderr().contains("have it stored again without that"), "{ran}");
        assert!(evil.requests().iter().any(|seen| seen.path().ends_with("/secrets")), "{kind}: it was asked for");
    }
    // What gives no orders is handed out by the same way.
    let good = hands_out("generic_env", &json!({}), &json!({ "A": "LNYCANARYgood" }));
    machine.write_config(&config.replace(&served.url, &good.url()));
    let ran = machine.run(&["run", "--credential", "bad", "--", "sh", "-c", "echo $A"]).ends(0);
    assert_eq!(ran.stdout(), "LNYCANARYgood\n");
    assert!(!here.join("ran").exists());
}
