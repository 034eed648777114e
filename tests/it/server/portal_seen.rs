//! The portal in a real browser: by the keyboard alone, with hostile names, in the dark and without a script.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::served::Served;
use crate::canary::{Canary, Sweep};
use crate::double::{Answer, Double};

#[test]
fn a_person_in_chromium_finds_their_way() {
    let double = Double::start(|seen| {
        let is_signed = seen.header("authorization").is_some_and(|value| value.starts_with("Basic "));
        let refused = Answer::json(401, "{}").header("WWW-Authenticate: Basic realm=\"x\"");
        if is_signed { Answer::json(200, "{}") } else { refused }
    });
    let served = Served::fresh(&["--allow-host", "127.0.0.1"]);
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser/portal.mjs"))
        .args([served.link(), double.url()])
        .stdin(Stdio::null())
        .output()
        .expect("node is there");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    for nothing in ["violations", "scripts", "errors", "unlabelled", "kept", "focus"] {
        assert_eq!(seen[nothing], json!([]), "{nothing}");
    }
    let steps = seen["steps"].as_array().unwrap();
    let bad: Vec<&Value> = steps.iter().filter(|step| step.get("bad").is_some()).collect();
    assert!(bad.is_empty() && steps.len() > 20, "{bad:#?}");
    assert_eq!(seen["verified"], json!(true));
    assert!(seen["refused"].as_str().unwrap().contains("service"), "{seen}");
    assert_eq!((&seen["echoed"], &seen["key"]), (&json!(""), &json!("lny_pat_")));
    assert_eq!((&seen["byType"], &seen["byName"]), (&json!(["reg"]), &json!(["env"])));
    assert_eq!((&seen["left"], &seen["plain"]), (&json!(["env"]), &json!(["env"])));
    assert_eq!(seen["dark"], json!("rgb(15, 17, 25)"));
    let own = served.url.strip_prefix("http://").unwrap();
    assert_eq!(seen["hosts"], json!([own]), "nothing outside was asked for");
    Sweep::for_canaries(&[Canary::of("LNYCANARYbrowser0123456789")]).tree(&served.data()).assert_clean();
}

#[test]
fn every_page_is_for_everybody() {
    let served = Served::fresh(&[]);
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser/portal-everywhere.mjs"))
        .arg(served.link())
        .arg(profile.path())
        .stdin(Stdio::null())
        .output()
        .expect("node is there");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
    for nothing in ["violations", "scripts", "errors", "axe", "wide", "focus", "broken", "bare", "kept"] {
        assert_eq!(seen[nothing], json!([]), "{nothing}");
    }
    let pages =
        |who: &str| -> Vec<&str> { seen["pages"][who].as_array().unwrap().iter().filter_map(Value::as_str).collect() };
    let (owner, reader) = (pages("owner"), pages("reader"));
    for place in [
        "credentials",
        "projects",
        "workspaces",
        "members",
        "members/keys",
        "members/keys/ID/revoke",
        "members/ID/keys",
        "invitations",
        "keys",
        "trust-rules",
        "programs",
        "audit",
    ] {
        let is_seen = |all: &[&str]| all.iter().any(|page| page.ends_with(&format!("/{place}")));
        let of_some = ["invitations", "trust-rules", "programs", "audit"];
        let by_all = !place.starts_with("members/") && !of_some.contains(&place);
        assert_eq!((is_seen(&owner), is_seen(&reader)), (true, by_all), "{place}: {owner:?} {reader:?}");
    }
    assert!(owner.len() > 30 && reader.iter().all(|page| !page.ends_with("/delete") && !page.ends_with("/edit")));
    assert_eq!(seen["refused"], json!(["problem", "#subject", "subject", "problem"]));
    assert!(seen["holds"].as_str().unwrap().contains("It holds"), "{seen}");
    assert_eq!((&seen["skipped"], &seen["unticked"]), (&json!(true), &json!(true)));
    assert_eq!(seen["changed"], json!("It is changed."));
    assert_eq!(seen["deleted"], json!("The workspace is deleted."));
    assert_eq!(seen["after"], json!("Sign in · Lanyard"), "nothing is left to go back to");
    assert_eq!(seen["hosts"], json!([served.url.strip_prefix("http://").unwrap()]), "nothing outside was asked for");
    let canaries = ["LNYCANARYeverywhere0123456789", "LNYCANARYcorrecthorse battery staple"].map(Canary::of);
    Sweep::for_canaries(&canaries).tree(&served.data()).tree(profile.path()).assert_clean();
}
