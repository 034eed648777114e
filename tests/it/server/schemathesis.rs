//! A tester that is not ours goes through the whole document of the API: Schemathesis, as `tests/peers/schemathesis` has it.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::served::{Served, token};

/// Everything that a token can be given.
fn everything(served: &Served) -> String {
    let manager = served.manager();
    let user = served.api("GET", "/userinfo", &token(&manager), "").json();
    let body = json!({ "name": "tester", "permissions": user["permissions"] }).to_string();
    let made = served.api("POST", "/api-keys", &token(&manager), &body);
    assert_eq!(made.status(), 201, "{}", made.text());
    made.json()["key"].as_str().expect("a key").to_owned()
}

/// No answer of the server's own failing, and none that the document does not tell of: status, type, headers and form.
#[test]
fn a_tester_that_is_not_ours_finds_nothing_that_is_not_told() {
    let served = Served::new(&[]);
    let st = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/schemathesis/bin/st");
    assert!(st.exists(), "Schemathesis is missing; tests/run installs it");
    let folder = served.stage.home().join("schemathesis");
    std::fs::create_dir(&folder).expect("a folder");
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                  response_schema_conformance,unsupported_method,ignored_auth";
    let done = Command::new(st)
        .current_dir(&folder)
        .args(["run", &format!("{}/openapi.json", served.url)])
        .args(["--header", &format!("Authorization:Bearer {}", everything(&served))])
        .args(["--checks", checks, "--seed", "7", "--max-examples", "25", "--no-shrink", "--continue-on-failure"])
        // Its own key stays.
        .args(["--exclude-operation-id", "revokeApiKey"])
        .args(["--phases", "examples,coverage,fuzzing", "--warnings", "off", "--suppress-health-check", "all"])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{told}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(told.contains("No issues found"), "{told}");
}

#[test]
fn the_document_is_the_same_where_no_server_runs() {
    let served = Served::new(&[]);
    let shown = served.api("GET", "/openapi.json", "", "");
    assert_eq!(shown.status(), 200);
    let printed = served.stage.run(&["serve", "routes", "--openapi"]).ends(0).json();
    assert_eq!(shown.json(), printed);
    assert_eq!(printed["openapi"], "3.1.1");
}
