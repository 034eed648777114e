//! Services with API keys, as a table of doubles; SendGrid's rotation; npm as the reader of what is handed over.

use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::clouds::{assert_cases, assert_unseen, secret, store, tested};
use crate::double::{Answer, Double, Seen};
use crate::vaulted::{self, list, reveal};

/// A service, how its key begins, the request that proves it, and the variable that hands it over.
struct Row {
    service: &'static str,
    prefix: &'static str,
    path: &'static str,
    header: &'static str,
    before: &'static str,
    body: &'static str,
    identity: Option<&'static str>,
    variable: &'static str,
}

const fn row(
    service: &'static str,
    prefix: &'static str,
    request: (&'static str, &'static str, &'static str),
    answer: (&'static str, Option<&'static str>),
    variable: &'static str,
) -> Row {
    let (path, header, before) = request;
    Row { service, prefix, path, header, before, body: answer.0, identity: answer.1, variable }
}

const BEARER: &str = "Bearer ";
const AUTHORIZATION: &str = "authorization";

const ROWS: [Row; 10] = [
    row("openai", "sk-proj-", ("/models", AUTHORIZATION, BEARER), (r#"{"data":[]}"#, None), "OPENAI_API_KEY"),
    row("anthropic", "sk-ant-api03-", ("/v1/models", "x-api-key", ""), (r#"{"data":[]}"#, None), "ANTHROPIC_API_KEY"),
    row(
        "stripe",
        "sk_test_",
        ("/v1/account", AUTHORIZATION, BEARER),
        (r#"{"id":"acct_1","email":"shop@b.example"}"#, Some("shop@b.example (acct_1), test mode")),
        "STRIPE_API_KEY",
    ),
    row(
        "linear",
        "lin_api_",
        ("/graphql", AUTHORIZATION, ""),
        (r#"{"data":{"viewer":{"email":"a@b.example"},"organization":{"name":"Acme"}}}"#, Some("a@b.example in Acme")),
        "LINEAR_API_KEY",
    ),
    row(
        "slack",
        "xoxb-",
        ("/auth.test", AUTHORIZATION, BEARER),
        (r#"{"ok":true,"user":"bot","team":"Acme"}"#, Some("bot in Acme")),
        "SLACK_BOT_TOKEN",
    ),
    row(
        "digitalocean",
        "dop_v1_",
        ("/v2/account", AUTHORIZATION, BEARER),
        (r#"{"account":{"email":"a@b.example"}}"#, Some("a@b.example")),
        "DIGITALOCEAN_ACCESS_TOKEN",
    ),
    row("npm", "npm_", ("/-/whoami", AUTHORIZATION, BEARER), (r#"{"username":"alice"}"#, Some("alice")), "NPM_TOKEN"),
    row(
        "huggingface",
        "hf_",
        ("/api/whoami-v2", AUTHORIZATION, BEARER),
        (r#"{"name":"alice"}"#, Some("alice")),
        "HF_TOKEN",
    ),
    row("sendgrid", "SG.id.", ("/v3/scopes", AUTHORIZATION, BEARER), (r#"{"scopes":[]}"#, None), "SENDGRID_API_KEY"),
    row(
        "discord",
        "",
        ("/users/@me", AUTHORIZATION, "Bot "),
        (r#"{"id":"1","username":"helper"}"#, Some("helper")),
        "DISCORD_TOKEN",
    ),
];

#[test]
fn the_key_of_every_service_is_stored_asked_about_and_handed_over() {
    for row in ROWS {
        let stage = vaulted::stage();
        let key = secret(row.prefix, 60);
        let expected = format!("{}{key}", row.before);
        let double = Double::start(move |seen: &Seen| {
            if seen.path() == row.path && seen.header(row.header) == Some(&expected) {
                return Answer::json(200, row.body);
            }
            Answer::json(404, "{}")
        });
        let url = double.url();
        let flags = [row.service, "--api-key", &format!("secret:{key}"), "--endpoint", &url];
        let stored = store(&stage, "api-key", &flags).ends(0);
        let who = row.identity.map_or_else(String::new, |identity| format!(": {identity}"));
        let told = format!("Stored {} (API key), active{who}\n", row.service);
        assert!(stored.stderr().ends_with(&told), "{stored}");
        assert_eq!(tested(&stage)["outcome"], "valid");
        let exported = stage.run(&["credentials", "export", row.service, "--format", "json"]).ends(0);
        assert_eq!(exported.json()[row.variable], key, "{}", row.service);
        let listed = list(&stage).remove(0);
        assert_eq!((&listed["service"], &listed["provider"]), (&json!(row.service), &json!("api-key")));
        // What was printed for the tool was asked for; nothing else may hold it.
        let stage_of_store = vaulted::stage();
        store(&stage_of_store, "api-key", &flags).ends(0);
        stage_of_store.run(&["credentials", "test"]);
        stage_of_store.run(&["credentials", "show", row.service]).ends(0);
        assert_unseen(&stage_of_store, &[&key]);
    }
}

#[test]
fn a_key_in_a_variable_is_found_and_goes_where_its_tool_sends_it() {
    let mut stage = vaulted::stage();
    let key = secret("sk-proj-", 50);
    let expected = key.clone();
    let double = Double::start(move |seen| match (seen.path(), seen.bears(&expected)) {
        ("/v1/models", true) => Answer::json(200, r#"{"data":[]}"#).header("openai-organization: acme"),
        _ => Answer::json(401, r#"{"error":{"code":"invalid_api_key"}}"#),
    });
    stage.set("OPENAI_API_KEY", &key).set("OPENAI_BASE_URL", format!("{}/v1", double.url()));
    let stored = stage.run(&["credentials", "store", "api-key", "openai"]).ends(0);
    let told = stored.stderr();
    assert!(told.contains("Stored openai (API key, from $OPENAI_API_KEY), active: Organization acme"), "{told}");
    assert!(told.contains("it still lies in plain text in $OPENAI_API_KEY"), "{told}");
    stage.unset("OPENAI_API_KEY").unset("OPENAI_BASE_URL");
    assert_eq!(tested(&stage)["outcome"], "valid", "the address is the credential's own");
    assert_eq!(list(&stage)[0]["fields"]["endpoint"], format!("{}/v1", double.url()));
}

#[test]
fn each_answer_is_told_for_what_it_is() {
    let case = |status, body: Value, outcome, word| (status, body.to_string(), outcome, word);
    let answering = |status, body: String| move |_: &Seen| Answer::json(status, &body);
    let key = |text: &str| format!("secret:{text}");
    assert_cases(
        "api-key",
        &["openai", "--api-key", &key("sk-proj-not-a-real-key")],
        vec![
            case(200, json!({ "data": [] }), "valid", None),
            case(401, json!({ "error": { "code": "invalid_api_key" } }), "invalid", Some("invalid_api_key")),
            case(401, json!({ "error": { "message": "Missing scopes: x" } }), "insufficient", Some("missing scopes")),
            case(429, json!({ "error": { "code": "insufficient_quota" } }), "insufficient", Some("insufficient_quota")),
            case(429, json!({ "error": { "code": "rate_limit_exceeded" } }), "rate_limited", None),
            case(401, json!("a proxy"), "unexpected", None),
            case(500, json!({}), "unreachable", None),
        ],
        answering,
    );
    assert_cases(
        "api-key",
        &["slack", "--api-key", &key("xoxb-not-a-real-token")],
        vec![
            case(200, json!({ "ok": true, "user": "bot" }), "valid", None),
            case(200, json!({ "ok": false, "error": "token_revoked" }), "invalid", Some("token_revoked")),
            case(200, json!({ "ok": false, "error": "token_expired" }), "expired", Some("token_expired")),
            case(200, json!({ "ok": false, "error": "missing_scope" }), "insufficient", Some("missing_scope")),
            case(200, json!({ "ok": false, "error": "ratelimited" }), "rate_limited", Some("ratelimited")),
        ],
        answering,
    );
    assert_cases(
        "api-key",
        &["linear", "--api-key", &key("lin_api_not-a-real-key")],
        vec![
            case(
                400,
                json!({ "errors": [{ "extensions": { "code": "AUTHENTICATION_ERROR" } }] }),
                "invalid",
                Some("AUTHENTICATION_ERROR"),
            ),
            case(
                200,
                json!({ "errors": [{ "extensions": { "code": "RATELIMITED" } }] }),
                "rate_limited",
                Some("RATELIMITED"),
            ),
        ],
        answering,
    );
}

#[test]
fn what_is_no_key_of_the_service_is_not_stored() {
    let stage = vaulted::stage();
    for (service, key, words) in [
        ("stripe", "pk_live_0123456789abcdef", "publishable key"),
        ("pypi", "pypi-not-a-token", "no token of PyPI"),
        ("digitalocean", "dor_v1_0123456789abcdef", "refresh token"),
    ] {
        let refused = store(&stage, "api-key", &[service, "--api-key", &format!("secret:{key}")]).ends(2);
        assert!(refused.stderr().contains(words) && !refused.stderr().contains(&key[8..]), "{refused}");
    }
    assert!(list(&stage).is_empty());
}

#[test]
fn a_service_that_nobody_knows_is_asked_at_its_address() {
    let stage = vaulted::stage();
    let double = Double::start(|seen| match seen.header("x-api-key") {
        Some("key-of-corp") => Answer::json(200, "{}"),
        _ => Answer::json(401, "{}"),
    });
    let url = format!("{}/me", double.url());
    let flags = ["corp", "--endpoint", &url, "--header", "x-api-key", "--api-key"];
    store(&stage, "api-key", &[&flags[..], &["secret:another"]].concat()).ends(8);
    let stored = store(&stage, "api-key", &[&flags[..], &["secret:key-of-corp"]].concat()).ends(0);
    assert!(stored.stderr().ends_with("Stored corp (API key), active\n"), "{stored}");
    assert!(double.requests()[0].header("x-api-key").is_none(), "first without the key");
    let exported = stage.run(&["credentials", "export", "corp", "--format", "env"]).ends(0);
    assert_eq!(exported.stdout(), "export CORP_API_KEY='key-of-corp'\n");
    let nobody = store(&stage, "api-key", &["elsewhere", "--api-key", "secret:x"]).ends(0);
    assert!(nobody.stderr().ends_with("Stored elsewhere (API key), unverified\n"), "{nobody}");
}

#[test]
fn npm_reads_what_is_handed_over_and_its_own_file_is_found() {
    let mut stage = vaulted::stage();
    let key = secret("npm_", 40);
    let expected = key.clone();
    let double = Double::start(move |seen| match (seen.path(), seen.bears(&expected)) {
        ("/-/whoami", true) => Answer::json(200, r#"{"username":"alice"}"#),
        _ => Answer::json(401, "{}"),
    });
    let address = double.address();
    std::fs::write(stage.home().join(".npmrc"), format!("//{address}/:_authToken=${{MY_TOKEN}}\n")).unwrap();
    stage.set("MY_TOKEN", &key);
    let stored = stage.run(&["credentials", "store", "api-key", "npm", "--name", "npm"]).ends(0);
    let told = format!("Stored npm (API key, from ~/.npmrc [{address}]), active: alice\n");
    assert!(stored.stderr().contains(&told), "{stored}");
    assert_eq!(reveal(&stage, "npm", "api_key"), key);

    let file = stage.home().join("handed-over");
    let to = file.to_str().unwrap();
    stage.run(&["credentials", "export", "npm", "--format", "npmrc", "--to", to]).ends(0);
    let npm = Command::new("npm")
        .args(["whoami", "--registry", &format!("{}/", double.url()), "--userconfig", to])
        .env("HOME", stage.home())
        .output()
        .expect("npm is installed; tests/run does that");
    let said = String::from_utf8_lossy(&npm.stdout);
    assert_eq!(said.trim(), "alice", "{}", String::from_utf8_lossy(&npm.stderr));
}

/// A SendGrid with keys that are made and deleted, all with the same permissions.
fn sendgrid(first: &str) -> (Double, Arc<Mutex<Vec<String>>>) {
    let keys = Arc::new(Mutex::new(vec![first.to_owned()]));
    let known = Arc::clone(&keys);
    let double = Double::start(move |seen| {
        let mut keys = known.lock().unwrap();
        if !keys.iter().any(|key| seen.bears(key)) {
            return Answer::json(401, r#"{"errors":[{"message":"authorization required"}]}"#);
        }
        let id = seen.path().strip_prefix("/v3/api_keys/");
        match (seen.method.as_str(), seen.path(), id) {
            ("GET", "/v3/scopes", _) => Answer::json(200, r#"{"scopes":["mail.send"]}"#),
            ("GET", _, Some(_)) => Answer::json(200, r#"{"name":"mailer","scopes":["mail.send"]}"#),
            ("POST", "/v3/api_keys", _) => {
                let asked = seen.message.json();
                assert!(asked["name"].as_str().unwrap().starts_with("mailer (lanyard "));
                assert_eq!(asked["scopes"], json!(["mail.send"]));
                let key = secret(&format!("SG.new{}.", keys.len()), 69);
                keys.push(key.clone());
                Answer::json(201, &json!({ "api_key": key, "name": asked["name"] }))
            }
            ("DELETE", _, Some(id)) => {
                keys.retain(|key| !key.starts_with(&format!("SG.{id}.")));
                Answer::text(204, "text/plain", "")
            }
            _ => Answer::json(404, "{}"),
        }
    });
    (double, keys)
}

#[test]
fn a_key_of_sendgrid_is_replaced_and_the_old_one_deleted() {
    let stage = vaulted::stage();
    let old = secret("SG.old.", 69);
    let (double, keys) = sendgrid(&old);
    let flags = ["sendgrid", "--api-key", &format!("secret:{old}"), "--endpoint", &double.url()];
    store(&stage, "api-key", &flags).ends(0);
    stage.run(&["credentials", "rotate", "sendgrid"]).ends(0);
    let left = keys.lock().unwrap().clone();
    assert_eq!(left.len(), 1, "the old one is gone: {left:?}");
    assert_eq!(tested(&stage)["outcome"], "valid");
    assert_unseen(&stage, &[&old, &left[0]]);
    assert_eq!(reveal(&stage, "sendgrid", "api_key"), left[0]);
    let flags = ["openai", "--api-key", "secret:sk-proj-x", "--no-verify"];
    store(&stage, "api-key", &flags).ends(0);
    let refused = stage.run(&["credentials", "rotate", "openai"]).ends(1);
    assert!(refused.stderr().contains("https://platform.openai.com/api-keys"), "{refused}");
}
