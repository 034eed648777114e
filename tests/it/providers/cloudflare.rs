//! Cloudflare: tokens of users and accounts, and their rotation, against a double of its API.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::clouds::{assert_a_kill_leaves_a_working_one, assert_cases, assert_unseen, fresh_id, secret, store, tested};
use crate::double::{Answer, Double, Seen};
use crate::stage::Stage;
use crate::vaulted::{self, list, reveal};

const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

fn ok(result: &Value) -> Answer {
    Answer::json(200, &json!({"success": true, "errors": [], "messages": [], "result": result}))
}

fn fault(status: u16, code: u32) -> Answer {
    Answer::json(status, &fault_body(code))
}

fn fault_body(code: u32) -> String {
    json!({"success": false, "errors": [{"code": code, "message": "no"}], "messages": [], "result": null}).to_string()
}

fn checked(status: &str) -> String {
    let result = json!({"id": "ed17574386854bf78a67040be0a770b0", "status": status,
        "not_before": "2018-07-01T05:20:00Z", "expires_on": "2126-12-31T00:00:00Z"});
    let messages = json!([{"code": 10000, "message": "This API Token is valid and active", "type": null}]);
    json!({"result": result, "success": true, "errors": [], "messages": messages}).to_string()
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let cases = vec![
        (200, checked("active"), "valid", None),
        (200, checked("expired"), "expired", Some("expired")),
        (200, checked("disabled"), "invalid", Some("disabled")),
        (401, fault_body(1000), "invalid", Some("1000")),
        (400, fault_body(6003), "invalid", Some("6003")),
        (403, fault_body(9109), "insufficient", Some("9109")),
        (403, fault_body(10000), "insufficient", Some("10000")),
        (400, fault_body(1001), "unexpected", Some("1001")),
        (429, fault_body(10013), "rate_limited", None),
        (502, fault_body(1000), "unreachable", None),
        (200, "{}".into(), "unexpected", None),
    ];
    let token = format!("secret:{}", secret("cfut_", 53));
    assert_cases("cloudflare", &["--api-token", &token], cases, |status, body| {
        move |seen: &Seen| {
            assert_eq!(seen.target, "/user/tokens/verify");
            Answer::json(status, &body)
        }
    });
}

/// A token at the double.
#[derive(Debug, Clone)]
struct Token {
    id: String,
    name: String,
    value: String,
    policies: Value,
}

/// A double that keeps tokens.
#[derive(Clone, Default)]
struct Tokens {
    all: Arc<Mutex<Vec<Token>>>,
    /// What is done once with the next request that makes a token.
    next: Arc<Mutex<Option<Answer>>>,
    /// Whether tokens may manage tokens.
    read_only: bool,
}

impl Tokens {
    fn with(value: &str) -> Self {
        let policies = json!([{"id": "f267", "effect": "allow", "resources": {"com.cloudflare.api.account.zone.1": "*"},
            "permission_groups": [{"id": "c8fe", "name": "Zone Read"}]}]);
        let token = Token { id: "t0".into(), name: "deploy".into(), value: value.into(), policies };
        Self { all: Arc::new(Mutex::new(vec![token])), ..Self::default() }
    }

    fn values(&self) -> Vec<String> {
        self.all.lock().unwrap().iter().map(|token| token.value.clone()).collect()
    }

    fn start(&self, root: &'static str) -> Double {
        let tokens = self.clone();
        Double::start(move |seen| tokens.answer(seen, root))
    }

    fn answer(&self, seen: &Seen, root: &str) -> Answer {
        let mut all = self.all.lock().unwrap();
        let Some(own) = all.iter().find(|token| seen.bears(&token.value)).cloned() else { return fault(401, 1000) };
        let Some(path) = seen.path().strip_prefix(root) else { return fault(401, 1000) };
        let shown = |token: &Token| json!({"id": token.id, "name": token.name, "policies": token.policies});
        match (seen.method.as_str(), path) {
            ("GET", "/verify") => ok(&json!({"id": own.id, "status": "active"})),
            _ if self.read_only => fault(403, 9109),
            ("GET", "") if seen.target.ends_with("page=1") => ok(&all.iter().map(shown).collect()),
            ("GET", "") => ok(&json!([])),
            ("GET", id) => match all.iter().find(|token| token.id == id[1..]) {
                Some(token) => ok(&shown(token)),
                None => fault(404, 1003),
            },
            ("POST", "") => {
                let body = seen.message.json();
                let token = Token {
                    id: fresh_id(),
                    name: body["name"].as_str().unwrap().to_owned(),
                    value: secret(&own.value[..5], 53),
                    policies: body["policies"].clone(),
                };
                all.push(token.clone());
                let lost = self.next.lock().unwrap().take();
                lost.unwrap_or_else(|| ok(&json!({"id": token.id, "value": token.value})))
            }
            ("DELETE", id) => {
                all.retain(|token| token.id != id[1..]);
                ok(&json!({"id": &id[1..]}))
            }
            _ => fault(405, 1),
        }
    }
}

fn stored(value: &str, double: &Double, flags: &[&str]) -> Stage {
    let stage = vaulted::stage();
    let given = ["--api-token", &format!("secret:{value}"), "--endpoint", &double.url()];
    store(&stage, "cloudflare", &[&given[..], flags].concat()).ends(0);
    stage
}

#[test]
fn a_rotation_leaves_one_new_token_with_the_same_policies() {
    let old = secret("cfut_", 53);
    let tokens = Tokens::with(&old);
    let double = tokens.start("/user/tokens");
    let stage = stored(&old, &double, &[]);
    stage.run(&["credentials", "rotate", "cloudflare"]).shows(
        0,
        "",
        "making a new one\ntrying the new one\nthe new one is in the vault\nrevoking the old one\n✓ Rotated cloudflare\n",
    );
    let left = tokens.values();
    assert_eq!(left.len(), 1);
    assert_ne!(left[0], old);
    assert_unseen(&stage, &[&old, &left[0]]);
    assert_eq!(reveal(&stage, "cloudflare", "api_token"), left[0]);
    let token = tokens.all.lock().unwrap()[0].clone();
    assert!(token.name.starts_with("deploy (lanyard 2"), "{token:?}");
    let same = json!([{"effect": "allow", "resources": {"com.cloudflare.api.account.zone.1": "*"},
        "permission_groups": [{"id": "c8fe"}]}]);
    assert_eq!(token.policies, same);
    assert_eq!(list(&stage)[0]["status"], "active");
}

#[test]
fn a_rotation_that_lost_its_token_is_ended_by_the_next_one() {
    for lost in [Answer::Close, Answer::text(502, "text/html", "<html>")] {
        let old = secret("cfut_", 53);
        let tokens = Tokens::with(&old);
        let double = tokens.start("/user/tokens");
        let stage = stored(&old, &double, &[]);
        *tokens.next.lock().unwrap() = Some(lost);
        let broken = stage.run(&["credentials", "rotate", "cloudflare"]).ends(6);
        assert!(broken.stderr().contains("broke off"), "{broken}");
        assert_eq!(tokens.values().len(), 2, "one was made and lost");
        assert_eq!(tested(&stage)["outcome"], "valid", "the old one still works");
        let ended = stage.run(&["credentials", "rotate", "cloudflare"]).ends(0);
        assert!(ended.stderr().contains("an earlier rotation was interrupted; ending it"), "{ended}");
        let left = tokens.values();
        assert_eq!(left, [reveal(&stage, "cloudflare", "api_token")]);
        assert_ne!(left[0], old);
    }
}

#[test]
fn killed_at_any_moment_the_stored_token_works() {
    let old = secret("cfut_", 53);
    let tokens = Tokens::with(&old);
    let double = tokens.start("/user/tokens");
    let stage = stored(&old, &double, &[]);
    assert_a_kill_leaves_a_working_one(&stage, "cloudflare");
    assert_eq!(tokens.values(), [reveal(&stage, "cloudflare", "api_token")], "what was lost is gone");
}

#[test]
fn a_token_that_may_not_make_tokens_stays_and_says_what_to_do() {
    let old = secret("cfut_", 53);
    let tokens = Tokens { read_only: true, ..Tokens::with(&old) };
    let double = tokens.start("/user/tokens");
    let stage = stored(&old, &double, &[]);
    let refused = stage.run(&["credentials", "rotate", "cloudflare"]).ends(1);
    assert!(refused.stderr().contains("it lacks the permission \"API Tokens Write\""), "{refused}");
    assert!(refused.stderr().contains("roll it by hand at https://dash.cloudflare.com/profile/api-tokens"));
    assert_eq!(tokens.values(), [reveal(&stage, "cloudflare", "api_token")]);
}

#[test]
fn an_accounts_token_is_asked_about_and_rotated_in_its_account() {
    const ROOT: &str = "/accounts/023e105f4ecef8ad9ca31a8372d0c353/tokens";
    let old = secret("cfat_", 53);
    let tokens = Tokens::with(&old);
    let double = tokens.start(ROOT);
    let stage = vaulted::stage();
    let given = ["--api-token", &format!("secret:{old}"), "--endpoint", &double.url()];
    let missing = store(&stage, "cloudflare", &given).ends(2);
    assert!(missing.stderr().contains("lacks account_id") && missing.stderr().contains("--account-id"), "{missing}");
    store(&stage, "cloudflare", &[&given[..], &["--account-id", ACCOUNT]].concat()).ends(0);
    assert_eq!(tested(&stage)["identity"], "Token t0");
    stage.run(&["credentials", "rotate", "cloudflare"]).ends(0);
    assert_eq!(tokens.values(), [reveal(&stage, "cloudflare", "api_token")]);
    assert!(double.requests().iter().all(|seen| seen.path().starts_with(ROOT)));
}

#[test]
fn the_variable_is_taken_and_the_global_key_is_kept_out_of_the_way() {
    let token = secret("cfut_", 53);
    let tokens = Tokens::with(&token);
    let double = tokens.start("/client/v4/user/tokens");
    let mut stage = vaulted::stage();
    stage.set("CLOUDFLARE_API_TOKEN", &token).set("CLOUDFLARE_ACCOUNT_ID", ACCOUNT);
    stage.set("CLOUDFLARE_BASE_URL", format!("{}/client/v4", double.url()));
    stage.run(&["credentials", "store", "cloudflare"]).shows(
        0,
        "",
        "✓ Stored cloudflare (Cloudflare API token, from $CLOUDFLARE_API_TOKEN), active: Token t0\n\
         it still lies in plain text in $CLOUDFLARE_API_TOKEN\n",
    );
    assert_unseen(&stage, &[&token]);
    let exported = stage.run(&["credentials", "export", "cloudflare", "--format", "env"]).ends(0).stdout();
    let url = double.url();
    assert_eq!(
        exported,
        format!(
            "export CLOUDFLARE_API_TOKEN='{token}'\nexport CLOUDFLARE_ACCOUNT_ID='{ACCOUNT}'\n\
             export CLOUDFLARE_BASE_URL='{url}/client/v4'\nexport CLOUDFLARE_API_BASE_URL='{url}/client/v4'\n\
             unset CLOUDFLARE_API_KEY\nunset CLOUDFLARE_EMAIL\nunset CF_API_KEY\nunset CF_EMAIL\n"
        )
    );
}

#[test]
fn wranglers_session_is_found_with_its_end_and_asked_whose_it_is() {
    let session = secret("", 43) + "." + &secret("", 43);
    let known = session.clone();
    let double = Double::start(move |seen: &Seen| {
        assert!(seen.bears(&known) && seen.target == "/client/v4/user", "{seen:?}");
        ok(&json!({"id": "7c5d", "email": "user@example.com"}))
    });
    let mut stage = vaulted::stage();
    stage.set("CLOUDFLARE_API_BASE_URL", format!("{}/client/v4", double.url()));
    let folder = stage.home().join(".config/.wrangler/config");
    std::fs::create_dir_all(&folder).unwrap();
    let file = format!("oauth_token = \"{session}\"\nexpiration_time = \"2126-01-01T00:00:00.000Z\"\n");
    std::fs::write(folder.join("default.toml"), file).unwrap();
    let stored = stage.run(&["credentials", "store", "cloudflare"]).ends(0);
    assert!(stored.stderr().contains("active: user@example.com"), "{stored}");
    assert_eq!(list(&stage)[0]["expires_at"], "2126-01-01T00:00:00Z");
    let refused = stage.run(&["credentials", "rotate", "cloudflare"]).ends(1);
    assert!(refused.stderr().contains("it is a session of wrangler"), "{refused}");
    std::fs::write(folder.join("default.toml"), "oauth_token = [\n").unwrap();
    let broken = stage.run(&["credentials", "store", "cloudflare", "--name", "x"]).ends(1);
    assert!(broken.stderr().contains("~/.config/.wrangler/config/default.toml is no usable"), "{broken}");
}
