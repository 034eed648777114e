//! Registries in a real browser, with a repository whose charts are named and described to run in it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::served::Served;
use crate::double::{Answer, Double};

#[test]
fn a_person_in_chromium_keeps_a_registry() {
    let index = "apiVersion: v1\nentries:\n  nginx:\n  - version: 18.1.10\n    description: \
                 \"\\\"><img src=x onerror=alert(1)><script>alert(2)</script>\"\n";
    let double = Double::always(Answer::text(200, "text/yaml", index));
    let served = Served::fresh(&["--allow-host", "127.0.0.1"]);
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser/registries.mjs"))
        .args([served.link(), double.url()])
        .stdin(Stdio::null())
        .output()
        .expect("node is there");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    for nothing in ["errors", "violations", "scripts", "unlabelled"] {
        assert_eq!(seen[nothing], json!([]), "{nothing}");
    }
    let steps = seen["steps"].as_array().unwrap();
    let bad: Vec<&Value> = steps.iter().filter(|step| step.get("bad").is_some()).collect();
    assert!(bad.is_empty() && steps.len() == 10, "{steps:#?}");
    assert_eq!((&seen["empty"], &seen["deleted"], &seen["renamed"]), (&json!(true), &json!(true), &json!("renamed")));
    assert!(seen["refused"].as_str().unwrap().contains("A name has letters"), "{seen}");
    assert_eq!(seen["typed"], json!(double.url()));
    let synced = seen["synced"].as_str().unwrap();
    assert!(synced.contains("Its charts are listed.") && synced.contains("18.1.10"), "{synced}");
    assert!(synced.contains("<script>alert(2)</script>"), "it is shown as the text that it is: {synced}");
    assert!(seen["listed"].as_str().unwrap().contains("synced"), "{seen}");
    let own = served.url.strip_prefix("http://").unwrap();
    assert_eq!(seen["hosts"], json!([own]), "nothing outside was asked for");
}
