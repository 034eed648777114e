//! Secrets that lie in the environment of a command, or in the files of official tools, where lanyard finds them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::commands::talkative;
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted;

/// What is stored without a word about its values, the variables that hold them, and the length of each.
const IN_VARIABLES: [(&str, &[&str], usize); 12] = [
    ("aws", &["AWS_SECRET_ACCESS_KEY"], 40),
    ("cloudflare", &["CLOUDFLARE_API_TOKEN"], 40),
    ("hetzner", &["HCLOUD_TOKEN"], 64),
    ("vercel", &["VERCEL_TOKEN"], 24),
    ("verda", &["VERDA_CLIENT_SECRET"], 40),
    ("ovh", &["OVH_APPLICATION_SECRET", "OVH_CONSUMER_KEY"], 32),
    ("git github.com --username alice", &["GH_TOKEN"], 40),
    ("api-key openai", &["OPENAI_API_KEY"], 50),
    ("api-key anthropic", &["ANTHROPIC_API_KEY"], 50),
    ("api-key stripe", &["STRIPE_API_KEY"], 50),
    ("api-key huggingface", &["HF_TOKEN"], 37),
    ("password smtp --username alice", &["SMTP_PASSWORD"], 24),
];

/// Files of official tools below the home, and the provider that reads them. <X> is the secret, <Y> the same in base64
/// behind a user's name.
const IN_FILES: [(&str, &str, &str, usize); 11] = [
    (
        "aws",
        ".aws/credentials",
        "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = <X>\n",
        40,
    ),
    ("hetzner", ".config/hcloud/cli.toml", "active_context = \"a\"\n[[contexts]]\nname = \"a\"\ntoken = \"<X>\"\n", 64),
    ("verda", ".verda/credentials", "[default]\nverda_client_id = a\nverda_client_secret = <X>\n", 40),
    (
        "ovh",
        ".ovh.conf",
        "[default]\nendpoint=ovh-eu\n[ovh-eu]\napplication_key=a\napplication_secret=<X>\nconsumer_key=<X>\n",
        32,
    ),
    (
        "k8s",
        ".kube/config",
        "apiVersion: v1\nkind: Config\ncurrent-context: d\nclusters: [{name: d, cluster: {server: 'https://127.0.0.1:9'}}]\n\
         contexts: [{name: d, context: {cluster: d, user: d}}]\nusers: [{name: d, user: {token: <X>}}]\n",
        40,
    ),
    ("registry registry.example", ".docker/config.json", "{\"auths\":{\"registry.example\":{\"auth\":\"<Y>\"}}}", 30),
    ("git git.example", ".netrc", "machine git.example login alice password <X>\n", 30),
    ("api-key npm", ".npmrc", "//registry.npmjs.org/:_authToken=<X>\n", 40),
    ("api-key digitalocean", ".config/doctl/config.yaml", "access-token: <X>\ncontext: default\n", 64),
    ("gcp", ".config/gcloud/application_default_credentials.json", AUTHORIZED_USER, 60),
    ("vercel", ".local/share/com.vercel.cli/auth.json", "{\"token\":\"<X>\"}", 24),
];

const AUTHORIZED_USER: &str =
    r#"{"type":"authorized_user","client_id":"a.apps.example","client_secret":"<X>","refresh_token":"<X>"}"#;

/// Runs what finds and stores, and looks through all that is said.
fn look(stage: &Stage, provider: &str, canaries: &[Canary], sweep: &mut Sweep) {
    let store: Vec<&str> = ["credentials", "store"].into_iter().chain(provider.split(' ')).collect();
    for words in [
        [&store[..], &["--name", "found", "--no-verify", "-vvv"]].concat(),
        [&store[..], &["--name", "found", "--no-verify", "--replace", "--json"]].concat(),
        vec!["credentials", "show", "found"],
        vec!["credentials", "scan", "--json", "-vvv"],
        vec!["credentials", "scan"],
        vec!["credentials", "list", "--long", "--json"],
        vec!["doctor", "-vvv"],
    ] {
        let outcome = stage.run(&words);
        assert!(words[1] == "scan" || words[0] == "doctor" || outcome.code == Some(0), "{provider}: {outcome}");
        let what = words.join(" ");
        sweep.bytes(&format!("stdout of {what}"), &outcome.stdout).bytes(&format!("stderr of {what}"), &outcome.stderr);
    }
    // It was found and kept; what makes a token first needs the network for that.
    let export = stage.command(&["credentials", "export", "found", "--format", "json"]).output().expect("it runs");
    let mut kept = Sweep::for_canaries(canaries);
    kept.bytes("the export", &export.stdout);
    let kept: BTreeSet<usize> = kept.traces().into_iter().map(|trace| trace.canary).collect();
    assert!(kept.len() == canaries.len() || export.stdout.is_empty(), "{provider}: {kept:?}");
}

#[test]
fn a_secret_in_a_variable_stays_there_and_in_the_vault() {
    for (provider, variables, length) in IN_VARIABLES {
        let mut stage = vaulted::stage();
        talkative(&mut stage);
        stage.set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").set("VERDA_CLIENT_ID", "client");
        stage.set("OVH_APPLICATION_KEY", "application").set("HTTPS_PROXY", "http://127.0.0.1:9");
        if provider != "aws" {
            stage.unset("AWS_ACCESS_KEY_ID");
        }
        let canaries: Vec<Canary> = variables.iter().map(|_| Canary::of_chance(length)).collect();
        for (name, canary) in variables.iter().zip(&canaries) {
            stage.set(name, canary.text());
        }
        let mut sweep = Sweep::for_canaries(&canaries);
        look(&stage, provider, &canaries, &mut sweep);
        sweep.tree(stage.root());
        sweep.assert_clean();
    }
}

#[test]
fn a_secret_in_a_tools_file_stays_there_and_in_the_vault() {
    for (provider, path, text, length) in IN_FILES {
        let mut stage = vaulted::stage();
        talkative(&mut stage);
        stage.set("HTTPS_PROXY", "http://127.0.0.1:9");
        let canary = Canary::of_chance(length);
        let pair = STANDARD.encode(format!("alice:{}", canary.text()));
        let file = stage.home().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text.replace("<X>", canary.text()).replace("<Y>", &pair)).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut sweep = Sweep::for_canaries(std::slice::from_ref(&canary));
        look(&stage, provider, std::slice::from_ref(&canary), &mut sweep);
        // Broken in the middle of the secret, it is told and not quoted.
        let half = text.split(['<']).next().unwrap();
        std::fs::write(&file, format!("{half}{}\u{0}\n[[{{\"{}", canary.text(), canary.text())).unwrap();
        for command in [&["credentials", "scan", "-vvv"][..], &["doctor", "-vvv"]] {
            let outcome = stage.run(command);
            assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
            sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
        }
        let store: Vec<&str> = ["credentials", "store"].into_iter().chain(provider.split(' ')).collect();
        let outcome = stage.run(&[&store[..], &["--name", "broken", "--no-verify", "-vvv"]].concat());
        assert!(!matches!(outcome.code, Some(101) | None), "{outcome}");
        sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
        std::fs::remove_file(&file).unwrap();
        sweep.tree(stage.root());
        sweep.assert_clean();
    }
}
