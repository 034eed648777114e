//! Terraform's credentials helper, by its bytes; and Terraform itself, where it is on the machine.

use std::path::Path;

use serde_json::json;

use super::program::{Bench, Told, finish};
use crate::double::{Answer, Double};
use crate::vaulted::list;

const TOKEN: &str = "LNYCANARY0123456789abcdefterraform";

fn call(bench: &Bench, words: &[&str], stdin: &str) -> Told {
    let mut command = bench.command(bench.bin().join("terraform-credentials-lanyard"), "");
    command.args(words);
    finish(command, stdin.as_bytes())
}

#[test]
fn a_token_is_kept_handed_over_and_forgotten() {
    let bench = Bench::new(&["terraform-credentials-lanyard"]);
    let none = "{}\n".to_owned();
    assert_eq!(call(&bench, &["get", "tfe.example"], "").succeeds().stdout(), none, "without a vault");
    call(&bench, &["forget", "tfe.example"], "").succeeds();
    call(&bench, &["store", "tfe.example"], &json!({ "token": TOKEN }).to_string()).succeeds();
    let stored = list(&bench.stage);
    assert_eq!(
        (&stored[0]["service"], &stored[0]["fields"]["endpoint"]),
        (&json!("terraform"), &json!("https://tfe.example"))
    );
    let told = json!({ "token": TOKEN }).to_string() + "\n";
    assert_eq!(call(&bench, &["get", "tfe.example"], "").succeeds().stdout(), told);
    assert_eq!(call(&bench, &["--any", "argument", "get", "tfe.example"], "").succeeds().stdout(), told);
    for host in ["tfe.example:8443", "tfe.example.evil.example", "example", "app.terraform.io"] {
        assert_eq!(call(&bench, &["get", host], "").succeeds().stdout(), none, "{host}");
    }
    call(&bench, &["forget", "tfe.example"], "").succeeds();
    assert_eq!(call(&bench, &["get", "tfe.example"], "").succeeds().stdout(), none);
    assert!(list(&bench.stage).is_empty());
}

#[test]
fn terraform_itself_asks_for_the_token_of_the_very_host() {
    let Some(terraform) =
        ["/usr/local/bin/terraform", "/usr/bin/terraform"].into_iter().find(|path| Path::new(path).exists())
    else {
        // No package brings it.
        return;
    };
    // A host that Terraform asks about over TLS, which it does not trust: by then it has asked the helper, or has not.
    let double = Double::always(Answer::json(404, "{}"));
    let host = format!("localhost:{}", double.address().port());
    let mut bench = Bench::new(&["terraform-credentials-lanyard"]);
    let log = bench.log_calls("terraform-credentials-lanyard");
    let plugins = bench.stage.home().join(".terraform.d/plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    let helper = plugins.join("terraform-credentials-lanyard");
    std::os::unix::fs::symlink(bench.bin().join("terraform-credentials-lanyard"), &helper).unwrap();
    let settings = bench.stage.home().join("terraform.rc");
    std::fs::write(&settings, "credentials_helper \"lanyard\" {\n  args = [\"--any\"]\n}\n").unwrap();
    bench.set("TF_CLI_CONFIG_FILE", &settings).set("CHECKPOINT_DISABLE", "1").set("TF_IN_AUTOMATION", "1");
    let project = bench.stage.home().join("project");
    std::fs::create_dir(&project).unwrap();
    let cloud = format!(
        "terraform {{\n  cloud {{\n    hostname = \"{host}\"\n    organization = \"o\"\n    workspaces {{ name = \"w\" }}\n  }}\n}}\n"
    );
    std::fs::write(project.join("main.tf"), cloud).unwrap();
    let mut init = bench.command(terraform, "project");
    init.args(["init", "-input=false", "-no-color"]);
    finish(init, b"").fails();
    assert_eq!(std::fs::read_to_string(&log).unwrap_or_default().lines().next(), Some(&*format!("--any get {host}")));

    // Signing out has Terraform tell the helper to forget.
    call(&bench, &["store", &host], &json!({ "token": TOKEN }).to_string()).succeeds();
    let mut logout = bench.command(terraform, "project");
    logout.args(["logout", &host]);
    finish(logout, b"").succeeds();
    assert!(list(&bench.stage).is_empty(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
}
