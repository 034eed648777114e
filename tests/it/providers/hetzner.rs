//! Hetzner Cloud: tokens of variables and contexts, against a double of its API.

use serde_json::json;

use super::clouds::{self, assert_cases, assert_unseen, secret, store};
use crate::double::{Answer, Double, Seen};
use crate::vaulted::{self, list, reveal};

fn refused(code: &str) -> String {
    json!({"error": {"code": code, "message": "no", "details": null}}).to_string()
}

fn locations() -> String {
    json!({"locations": [{"id": 1, "name": "fsn1"}], "meta": {"pagination": {"page": 1}}}).to_string()
}

/// The API, which knows these tokens.
fn api(tokens: &[&str]) -> Double {
    let tokens: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
    Double::start(move |seen: &Seen| {
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/v1/locations?per_page=1"));
        if tokens.iter().any(|token| seen.bears(token)) {
            Answer::json(200, &locations())
        } else {
            Answer::json(401, &refused("unauthorized"))
        }
    })
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let cases = vec![
        (200, locations(), "valid", None),
        (401, refused("unauthorized"), "invalid", Some("unauthorized")),
        (403, refused("forbidden"), "insufficient", Some("forbidden")),
        (403, refused("token_readonly"), "insufficient", Some("token_readonly")),
        (409, refused("conflict"), "unexpected", Some("conflict")),
        (429, refused("rate_limit_exceeded"), "rate_limited", None),
        (503, refused("unavailable"), "unreachable", None),
        (200, "{}".into(), "unexpected", None),
    ];
    let token = format!("secret:{}", secret("", 64));
    assert_cases("hetzner", &["--api-token", &token], cases, |status, body| {
        move |_: &Seen| Answer::json(status, &body)
    });
}

#[test]
fn the_active_context_is_taken_kept_and_handed_over() {
    let (active, other) = (secret("", 64), secret("", 64));
    let api = api(&[&active, &other]);
    let mut stage = vaulted::stage();
    let folder = stage.home().join(".config/hcloud");
    std::fs::create_dir_all(&folder).unwrap();
    let file = format!(
        "active_context = \"prod\"\n\n[[contexts]]\nname = \"staging\"\ntoken = \"{other}\"\n\n[[contexts]]\n\
         name = \"prod\"\ntoken = \"{active}\"\n"
    );
    std::fs::write(folder.join("cli.toml"), file).unwrap();
    stage.set("HCLOUD_ENDPOINT", format!("{}/v1", api.url()));
    stage.run(&["credentials", "store", "hetzner"]).shows(
        0,
        "",
        "✓ Stored hetzner-prod (Hetzner Cloud API token, from ~/.config/hcloud/cli.toml [prod]), active\n\
         it still lies in plain text in ~/.config/hcloud/cli.toml [prod]\n",
    );
    let staging = ["credentials", "store", "hetzner", "--hcloud-context", "staging", "--name", "staging"];
    stage.run(&staging).ends(0);
    std::fs::remove_dir_all(folder).unwrap();
    assert_unseen(&stage, &[&active, &other]);
    // The address went with the token, and the variable is no longer needed.
    stage.unset("HCLOUD_ENDPOINT");
    stage.run(&["credentials", "test"]).ends(0);
    assert_eq!(reveal(&stage, "staging", "api_token"), other);
    let exported = stage.run(&["credentials", "export", "hetzner-prod", "--format", "env"]).ends(0).stdout();
    assert_eq!(exported, format!("export HCLOUD_TOKEN='{active}'\nexport HCLOUD_ENDPOINT='{}/v1'\n", api.url()));
    let file = stage.run(&["credentials", "export", "staging", "--format", "hcloud"]).ends(0).stdout();
    let expected = format!("active_context = \"staging\"\n\n[[contexts]]\nname = \"staging\"\ntoken = \"{other}\"\n");
    assert_eq!(file, expected);
}

#[test]
fn the_variable_wins_and_a_token_that_is_refused_is_not_kept() {
    let (good, bad) = (secret("", 64), secret("", 64));
    let api = api(&[&good]);
    let mut stage = vaulted::stage();
    stage.set("HCLOUD_ENDPOINT", format!("{}/v1", api.url())).set("HCLOUD_TOKEN", &bad);
    stage.run(&["credentials", "store", "hetzner"]).shows(
        8,
        "",
        "error: not stored: Hetzner Cloud does not know the token (401 Unauthorized)\n\
         \x20 next: make a new one: https://console.hetzner.com, Security, API tokens; `--no-verify` stores it all the same\n",
    );
    assert!(list(&stage).is_empty());
    stage.set("HCLOUD_TOKEN", &good);
    let stored = stage.run(&["credentials", "store", "hetzner"]).ends(0);
    assert!(stored.stderr().contains("Stored hetzner (Hetzner Cloud API token, from $HCLOUD_TOKEN), active"));
    let short = store(&stage, "hetzner", &["--api-token", &format!("secret:{}", &good[1..]), "--name", "x"]).ends(2);
    assert!(short.stderr().contains("a token of Hetzner Cloud is 64 letters and digits"), "{short}");
    assert_unseen(&stage, &[&good, &bad]);
    assert_eq!(clouds::tested(&stage)["outcome"], "valid");
}
