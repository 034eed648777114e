//! Vercel: access tokens and their rotation, against a double of its API.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::clouds::{assert_a_kill_leaves_a_working_one, assert_cases, assert_unseen, fresh_id, secret, store, tested};
use crate::double::{Answer, Double, Seen};
use crate::vaulted::{self, list, reveal};

fn fault(more: &Value) -> String {
    let mut error = json!({"code": "forbidden", "message": "Not authorized"});
    error.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "error": error }).to_string()
}

fn current() -> Value {
    json!({"token": {"id": "t0", "name": "deploy", "type": "oauth2-token", "activeAt": 1, "createdAt": 1,
        "scopes": [{"type": "user", "createdAt": 1}], "expiresAt": 4_922_035_200_000_i64}})
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let cases = vec![
        (200, current().to_string(), "valid", None),
        (403, fault(&json!({"invalidToken": true})), "invalid", Some("forbidden")),
        (403, fault(&json!({})), "insufficient", Some("forbidden")),
        (401, fault(&json!({"missingToken": true})), "unexpected", Some("forbidden")),
        (429, fault(&json!({})), "rate_limited", None),
        (500, fault(&json!({})), "unreachable", None),
        (200, "{}".into(), "unexpected", None),
    ];
    let token = format!("secret:{}", secret("vcp_", 60));
    assert_cases("vercel", &["--api-token", &token], cases, |status, body| move |_: &Seen| Answer::json(status, &body));
}

#[test]
fn a_refusal_after_the_end_is_an_end() {
    let mut ends = current();
    ends["token"]["expiresAt"] = json!(1_700_000_000_000_i64);
    let answer = Arc::new(Mutex::new(Answer::json(200, &ends)));
    let double = Double::start({
        let answer = Arc::clone(&answer);
        move |_| answer.lock().unwrap().clone()
    });
    let stage = vaulted::stage();
    let token = format!("secret:{}", secret("vcp_", 60));
    store(&stage, "vercel", &["--api-token", &token, "--endpoint", &double.url()]).ends(0);
    assert_eq!(list(&stage)[0]["expires_at"], "2023-11-14T22:13:20Z");
    *answer.lock().unwrap() = Answer::json(403, &fault(&json!({"invalidToken": true})));
    let told = tested(&stage);
    assert_eq!((&told["outcome"], &told["error"]), (&json!("expired"), &json!("forbidden")), "{told}");
    assert_eq!(list(&stage)[0]["status"], "expired");
}

#[test]
fn a_team_that_is_given_is_kept_handed_over_and_compared() {
    let answer = Arc::new(Mutex::new(current()));
    let double = Double::start({
        let answer = Arc::clone(&answer);
        move |_| Answer::json(200, &*answer.lock().unwrap())
    });
    let stage = vaulted::stage();
    let token = secret("vcp_", 60);
    let flags =
        [&format!("secret:{token}"), "--endpoint", &double.url(), "--team-id", "team_a", "--project-id", "prj_c"];
    store(&stage, "vercel", &[&["--api-token"], &flags[..]].concat()).ends(0);
    assert_eq!(list(&stage)[0]["fields"]["team_id"], "team_a");
    let expected =
        format!("export VERCEL_TOKEN='{token}'\nexport VERCEL_ORG_ID='team_a'\nexport VERCEL_PROJECT_ID='prj_c'\n");
    assert_eq!(stage.run(&["credentials", "export", "vercel", "--format", "env"]).ends(0).stdout(), expected);
    let teams = |ids: &[&str]| {
        let scopes: Vec<Value> = ids.iter().map(|id| json!({"type": "team", "teamId": id})).collect();
        answer.lock().unwrap()["token"]["scopes"] = json!(scopes);
        tested(&stage)
    };
    assert_eq!(teams(&["team_a", "team_b"])["outcome"], "valid");
    let told = teams(&["team_b"]);
    assert_eq!(
        (&told["outcome"], &told["reason"]),
        (&json!("insufficient"), &json!("the token is not for team team_a"))
    );
}

type Tokens = Arc<Mutex<Vec<(String, String, String)>>>;

/// A double that keeps tokens: id, name, value. The first answer to a new token may get `lost`.
fn api(tokens: &Tokens, lost: Option<Answer>) -> Double {
    api_that_doubts(tokens, lost, &Arc::default())
}

/// The same, which answers every token but the first with what is `doubted`, where there is something.
fn api_that_doubts(tokens: &Tokens, lost: Option<Answer>, doubted: &Arc<Mutex<Option<Answer>>>) -> Double {
    let (tokens, lost, doubted) = (Arc::clone(tokens), Mutex::new(lost), Arc::clone(doubted));
    Double::start(move |seen: &Seen| {
        let mut all = tokens.lock().unwrap();
        let Some(own) = all.iter().find(|(_, _, value)| seen.bears(value)).cloned() else {
            return Answer::json(403, &fault(&json!({"invalidToken": true})));
        };
        if let Some(doubt) = doubted.lock().unwrap().as_ref().filter(|_| own.0 != "t0") {
            return doubt.clone();
        }
        match (seen.method.as_str(), seen.path()) {
            ("GET", "/v5/user/tokens/current") => {
                let mut told = current();
                (told["token"]["id"], told["token"]["name"]) = (own.0.into(), own.1.into());
                Answer::json(200, &told)
            }
            ("GET", "/v6/user/tokens") => {
                let listed: Vec<Value> = all.iter().map(|(id, name, _)| json!({"id": id, "name": name})).collect();
                Answer::json(200, &json!({"tokens": listed, "pagination": {"count": 1, "next": null, "prev": null}}))
            }
            ("POST", "/v3/user/tokens") => {
                let name = seen.message.json()["name"].as_str().unwrap().to_owned();
                let (id, value) = (fresh_id(), secret("vcp_", 60));
                all.push((id.clone(), name, value.clone()));
                let made = json!({"token": {"id": id}, "bearerToken": value});
                lost.lock().unwrap().take().unwrap_or_else(|| Answer::json(200, &made))
            }
            ("DELETE", path) => {
                let id = path.strip_prefix("/v3/user/tokens/").unwrap();
                all.retain(|token| token.0 != id);
                Answer::json(200, &json!({"tokenId": id}))
            }
            _ => Answer::json(404, &fault(&json!({}))),
        }
    })
}

#[test]
fn a_rotation_leaves_one_new_token_even_when_it_was_interrupted() {
    for lost in [None, Some(Answer::Close)] {
        let old = secret("vcp_", 60);
        let tokens: Tokens = Arc::new(Mutex::new(vec![
            ("t0".into(), "deploy".into(), old.clone()),
            ("t1".into(), "deploy".into(), "somebody else's".into()),
        ]));
        let double = api(&tokens, lost.clone());
        let stage = vaulted::stage();
        let given = ["--api-token", &format!("secret:{old}"), "--endpoint", &double.url()];
        store(&stage, "vercel", &given).ends(0);
        if lost.is_some() {
            stage.run(&["credentials", "rotate", "vercel"]).ends(6);
            assert_eq!(tokens.lock().unwrap().len(), 3);
        }
        stage.run(&["credentials", "rotate", "vercel"]).ends(0);
        let left = tokens.lock().unwrap().clone();
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(left[0].0, "t1", "the token of somebody else stays");
        assert!(left[1].1.starts_with("deploy (lanyard 2"), "{left:?}");
        assert_unseen(&stage, &[&old, &left[1].2]);
        assert_eq!(reveal(&stage, "vercel", "api_token"), left[1].2);
        assert_eq!(tested(&stage)["outcome"], "valid");
    }
}

#[test]
fn killed_at_any_moment_the_stored_token_works() {
    let old = secret("vcp_", 60);
    let tokens: Tokens = Arc::new(Mutex::new(vec![("t0".into(), "deploy".into(), old.clone())]));
    let double = api(&tokens, None);
    let stage = vaulted::stage();
    store(&stage, "vercel", &["--api-token", &format!("secret:{old}"), "--endpoint", &double.url()]).ends(0);
    assert_a_kill_leaves_a_working_one(&stage, "vercel");
    let left = tokens.lock().unwrap().clone();
    assert_eq!(left.len(), 1, "what was lost is gone: {left:?}");
    assert_eq!(reveal(&stage, "vercel", "api_token"), left[0].2);
}

#[test]
fn a_new_token_that_does_not_verify_leaves_the_old_one_working_and_stored() {
    let refused = fault(&json!({"invalidToken": true}));
    for (answer, code) in [(Answer::json(403, &refused), 8), (Answer::json(200, "{}"), 6)] {
        let old = secret("vcp_", 60);
        let tokens: Tokens = Arc::new(Mutex::new(vec![("t0".into(), "deploy".into(), old.clone())]));
        let doubted = Arc::new(Mutex::new(Some(answer)));
        let double = api_that_doubts(&tokens, None, &doubted);
        let stage = vaulted::stage();
        store(&stage, "vercel", &["--api-token", &format!("secret:{old}"), "--endpoint", &double.url()]).ends(0);
        let broken = stage.run(&["credentials", "rotate", "vercel"]).ends(code);
        assert!(broken.stderr().contains("trying the new one") && broken.stderr().contains("next: "), "{broken}");
        assert!(!broken.stderr().contains("the new one is in the vault"), "{broken}");
        assert_eq!(reveal(&stage, "vercel", "api_token"), old);
        assert_eq!(tested(&stage)["outcome"], "valid", "the old one works");
        assert!(tokens.lock().unwrap().iter().any(|(id, ..)| id == "t0"), "and was not revoked");
        assert_eq!(list(&stage)[0]["status"], "active");
        // Once new ones are known, the next rotation ends it and removes the one that came to nothing.
        *doubted.lock().unwrap() = None;
        stage.run(&["credentials", "rotate", "vercel"]).ends(0);
        let left = tokens.lock().unwrap().clone();
        assert_eq!(
            left.iter().map(|token| token.2.clone()).collect::<Vec<_>>(),
            [reveal(&stage, "vercel", "api_token")]
        );
    }
}

#[test]
fn the_sign_in_of_the_cli_is_taken_with_its_team_and_handed_over() {
    let token = secret("vca_", 60);
    let tokens: Tokens = Arc::new(Mutex::new(vec![("t0".into(), "cli".into(), token.clone())]));
    let double = api(&tokens, None);
    let mut stage = vaulted::stage();
    let folder = stage.home().join(".local/share/com.vercel.cli");
    std::fs::create_dir_all(&folder).unwrap();
    let auth = json!({"token": token, "refreshToken": "vcr_x", "expiresAt": 4_922_035_200_i64}).to_string();
    std::fs::write(folder.join("auth.json"), auth).unwrap();
    std::fs::write(folder.join("config.json"), r#"{"currentTeam":"team_a"}"#).unwrap();
    let stored = stage.run(&["credentials", "store", "vercel", "--endpoint", &double.url()]).ends(0);
    let from = "✓ Stored vercel (Vercel access token, from ~/.local/share/com.vercel.cli/auth.json), active: Token cli";
    assert!(stored.stderr().contains(from), "{stored}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert_unseen(&stage, &[&token]);
    let credential = list(&stage).remove(0);
    assert_eq!(credential["fields"]["team_id"], "team_a");
    assert_eq!(credential["expires_at"], "2125-12-22T00:00:00Z");
    let export = |name: &str| stage.run(&["credentials", "export", name, "--format", "env"]).ends(0).stdout();
    assert_eq!(export("vercel"), format!("export VERCEL_TOKEN='{token}'\n"));
    let refused = stage.run(&["credentials", "rotate", "vercel"]).ends(1);
    assert!(refused.stderr().contains("it is a session of the Vercel CLI"), "{refused}");
    stage.set("VERCEL_TOKEN", &token).set("VERCEL_ORG_ID", "team_b").set("VERCEL_PROJECT_ID", "prj_c");
    let here = ["credentials", "store", "vercel", "--endpoint", &double.url(), "--name", "ci"];
    assert!(stage.run(&here).ends(0).stderr().contains("from $VERCEL_TOKEN"));
    let expected =
        format!("export VERCEL_TOKEN='{token}'\nexport VERCEL_ORG_ID='team_b'\nexport VERCEL_PROJECT_ID='prj_c'\n");
    assert_eq!(stage.run(&["credentials", "export", "ci", "--format", "env"]).ends(0).stdout(), expected);
}
