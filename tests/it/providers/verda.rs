//! Verda: client credentials from flags, files and variables, against a double of its API.

use serde_json::json;

use super::clouds::{assert_cases, assert_unseen, secret, store, tested};
use crate::double::{Answer, Double, Seen};
use crate::vaulted::{self, list};
use crate::wire;

fn refused(code: &str, message: &str) -> String {
    json!({"code": code, "message": message}).to_string()
}

fn token() -> String {
    json!({"access_token": "an-access-token", "refresh_token": "r", "token_type": "Bearer", "expires_in": 3600,
        "scope": "fullAccess"})
    .to_string()
}

fn balance() -> String {
    json!({"amount": 12.3, "currency": "usd"}).to_string()
}

#[test]
fn each_answer_to_the_token_call_comes_to_its_outcome() {
    let cases = vec![
        (200, token(), "valid", None),
        (401, refused("unauthorized_request", "no"), "invalid", Some("unauthorized_request")),
        (403, refused("forbidden", "no"), "insufficient", Some("forbidden")),
        (400, refused("invalid_request", "no"), "unexpected", Some("invalid_request")),
        (429, refused("x", "no"), "rate_limited", None),
        (500, refused("x", "no"), "unreachable", None),
        (200, "{}".into(), "unexpected", None),
    ];
    let secret = format!("secret:{}", secret("", 40));
    assert_cases("verda", &["--client-id", "client-1", "--client-secret", &secret], cases, |status, body| {
        move |seen: &Seen| match seen.target.as_str() {
            "/oauth2/token" => Answer::json(status, &body),
            _ => Answer::json(200, &balance()),
        }
    });
}

#[test]
fn each_answer_to_the_probe_comes_to_its_outcome() {
    let cases = vec![
        (200, balance(), "valid", None),
        (403, refused("forbidden", "no"), "insufficient", Some("forbidden")),
        (401, refused("unauthorized_request", "no"), "unexpected", Some("unauthorized_request")),
        (503, String::new(), "unreachable", None),
        (200, "<html>".into(), "unexpected", None),
    ];
    let secret = format!("secret:{}", secret("", 40));
    assert_cases("verda", &["--client-id", "client-1", "--client-secret", &secret], cases, |status, body| {
        move |seen: &Seen| match seen.target.as_str() {
            "/oauth2/token" => Answer::json(200, &token()),
            "/balance" if seen.bears("an-access-token") => Answer::json(status, &body),
            other => panic!("{other}"),
        }
    });
}

/// A server that takes form fields alone, as some do, and knows one client.
fn form_alone(id: &'static str, secret: &str) -> Double {
    let secret = secret.to_owned();
    Double::start(move |seen: &Seen| {
        if seen.target == "/v1/balance" {
            return Answer::json(200, &balance());
        }
        assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/oauth2/token"));
        if seen.header("content-type") != Some("application/x-www-form-urlencoded") {
            let sent = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
            assert_eq!(seen.message.json(), sent);
            return Answer::json(400, &refused("invalid_request", "Parameter grant_type is not specified"));
        }
        let fields = wire::fields(&seen.message.body);
        let field = |name| wire::field(&fields, name).unwrap_or_default();
        if (field("client_id"), field("client_secret")) == (id, &secret) {
            Answer::json(200, &token())
        } else {
            Answer::json(401, &refused("unauthorized_request", "no"))
        }
    })
}

#[test]
fn a_profile_is_taken_with_its_address_and_handed_over() {
    let client_secret = secret("", 40);
    let double = form_alone("client-of-prod", &client_secret);
    let mut stage = vaulted::stage();
    let folder = stage.home().join(".verda");
    std::fs::create_dir_all(&folder).unwrap();
    let file = format!(
        "[default]\nverda_client_id = other\nverda_client_secret = other\n\n[prod]\n; the shop\nverda_base_url = {}/v1\n\
         verda_client_id = client-of-prod\nverda_client_secret = {client_secret}\n",
        double.url()
    );
    std::fs::write(folder.join("credentials"), &file).unwrap();
    std::fs::write(folder.join("config.yaml"), "auth:\n  profile: prod\n").unwrap();
    stage.run(&["credentials", "store", "verda", "--project-id", "p1"]).shows(
        0,
        "",
        "✓ Stored verda-prod (Verda client credentials, from ~/.verda/credentials [prod]), active: Client clie****prod\n\
         it still lies in plain text in ~/.verda/credentials [prod]\n",
    );
    let missing = stage.run(&["credentials", "store", "verda", "--verda-profile", "staging"]).ends(1);
    assert!(missing.stderr().contains("there is no profile staging in ~/.verda/credentials"), "{missing}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert_unseen(&stage, &[&client_secret]);
    let credential = list(&stage).remove(0);
    assert_eq!((&credential["fields"]["project_id"], &credential["expires_at"]), (&json!("p1"), &json!(null)));
    assert_eq!(tested(&stage)["scopes"], json!(["fullAccess"]));
    let exported = stage.run(&["credentials", "export", "verda-prod", "--format", "env"]).ends(0).stdout();
    let expected = format!("export VERDA_CLIENT_ID='client-of-prod'\nexport VERDA_CLIENT_SECRET='{client_secret}'\n");
    assert_eq!(exported, expected);
    let written = stage.run(&["credentials", "export", "verda-prod", "--format", "verda-credentials"]).ends(0).stdout();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("credentials"), written).unwrap();
    stage.set("HOME", stage.home());
    let again = stage.run(&["credentials", "store", "verda"]).ends(0);
    assert!(again.stderr().contains("Stored verda (Verda client credentials, from ~/.verda/credentials [default])"));
}

#[test]
fn the_variables_are_taken_and_a_wrong_secret_is_not_kept() {
    let client_secret = secret("", 40);
    let double = form_alone("client", &client_secret);
    let mut stage = vaulted::stage();
    stage.set("VERDA_CLIENT_ID", "client").set("VERDA_CLIENT_SECRET", &client_secret);
    let endpoint = format!("{}/v1", double.url());
    let stored = stage.run(&["credentials", "store", "verda", "--endpoint", &endpoint]).ends(0);
    assert!(stored.stderr().contains("from $VERDA_CLIENT_"), "{stored}");
    let known = Double::always(Answer::json(401, &refused("unauthorized_request", "no")));
    let given = ["--client-id", "client", "--client-secret", "secret:wrong", "--endpoint", &known.url(), "--name", "x"];
    let refused = store(&stage, "verda", &given).ends(8);
    assert!(refused.stderr().contains("not stored: Verda does not accept the client id with this secret"), "{refused}");
    assert_eq!(list(&stage).len(), 1);
    assert_unseen(&stage, &[&client_secret]);
}
