//! Tests of Vercel.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::Failure;
use crate::provider::api::tests::{
    Home, Server, answer, assert_cases, assert_checks, assert_common_failures, assert_marks, example, exported, now,
    said, told, with_net,
};

const AUTH: &str = ".local/share/com.vercel.cli/auth.json";
const CONFIG: &str = ".local/share/com.vercel.cli/config.json";
const TEAM: &str = "team_LLHUOMOoDlqOp8wPE4kFo9pE";

fn current() -> serde_json::Value {
    json!({"token": {"id": "5d9f2ebd38ddca62e5d51e9c1704c72530bdc8bf", "name": "deploy", "type": "oauth2-token",
        "prefix": "vcp_", "suffix": "hJm", "origin": "manual", "activeAt": 1_699_999_999_000_i64,
        "scopes": [{"type": "user", "origin": "manual", "createdAt": 1_690_000_000_000_i64}],
        "createdAt": 1_699_900_000_000_i64, "expiresAt": 1_700_100_000_000_i64}})
}

fn refused(code: &str, more: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"Not authorized"{more}}}}}"#)
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let credential = example(&PROVIDER, &[]);
    assert_cases(
        &PROVIDER,
        &credential,
        &[
            (200, &current().to_string(), Outcome::Valid, None),
            (403, &refused("forbidden", r#","invalidToken":true"#), Outcome::Invalid, Some("forbidden")),
            (403, &refused("forbidden", ""), Outcome::Insufficient, Some("forbidden")),
            (401, &refused("unauthorized", r#","missingToken":true"#), Outcome::Unexpected, Some("unauthorized")),
            (404, &refused("not_found", ""), Outcome::Unexpected, Some("not_found")),
            (429, &refused("too_many_requests", ""), Outcome::RateLimited, None),
            (500, &refused("internal_server_error", ""), Outcome::Unreachable, None),
        ],
    );
    assert_common_failures(&PROVIDER, &credential);
}

#[test]
fn a_good_token_tells_its_name_its_end_and_its_scopes() {
    let verdict = said(&PROVIDER, &example(&PROVIDER, &[]), &|_: Request| Ok(answer(200, &current().to_string())));
    assert_eq!(verdict.identity.as_deref(), Some("Token deploy"));
    assert_eq!(verdict.expires.map(|at| at.timestamp()), Some(1_700_100_000));
    assert_eq!(verdict.scopes, ["user"]);
    let mut endless = current();
    endless["token"].as_object_mut().unwrap().remove("expiresAt");
    endless["token"]["leakedAt"] = json!(1);
    let verdict = said(&PROVIDER, &example(&PROVIDER, &[]), &|_: Request| Ok(answer(200, &endless.to_string())));
    assert_eq!((verdict.outcome, verdict.expires), (Outcome::Valid, None));
    assert_eq!(verdict.reason.as_deref(), Some("Vercel saw the token in a public place"));
}

#[test]
fn a_token_of_another_team_is_insufficient_and_no_more() {
    let mut other = current();
    other["token"]["scopes"] = json!([{"type": "team", "teamId": "team_other"}]);
    let server = Server::new(|_: &str, _: &Request| answer(200, &other.to_string()));
    let verdict = said(&PROVIDER, &example(&PROVIDER, &[("team_id", TEAM)]), &server);
    assert_eq!(verdict.outcome, Outcome::Insufficient);
    assert_eq!(verdict.reason.as_deref(), Some("the token is not for team team_LLHUOMOoDlqOp8wPE4kFo9pE"));
    assert_eq!(verdict.scopes, ["team team_other"]);
    assert_eq!(server.lines().len(), 1);
    for fits in ["team_other", "a-slug"] {
        assert_eq!(said(&PROVIDER, &example(&PROVIDER, &[("team_id", fits)]), &server).outcome, Outcome::Valid);
    }
}

#[test]
fn a_token_that_may_not_look_at_itself_is_asked_whose_it_is() {
    let user = r#"{"user":{"id":"zTuNVUXEAvvnNN3IaqinkyMw","email":"user@example.com","username":"user"}}"#;
    for status in [403, 404] {
        let server = Server::new(|line: &str, _: &Request| {
            if line == "GET /v2/user" { answer(200, user) } else { answer(status, &refused("forbidden", "")) }
        });
        let verdict = said(&PROVIDER, &example(&PROVIDER, &[]), &server);
        assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("user@example.com")));
        assert_eq!(server.lines(), ["GET /v5/user/tokens/current", "GET /v2/user"]);
    }
}

#[test]
fn a_dead_token_whose_time_is_over_has_expired() {
    let mut credential = example(&PROVIDER, &[]);
    credential.metadata.expires = Some(now());
    let dead = refused("forbidden", r#","invalidToken":true"#);
    assert_eq!(said(&PROVIDER, &credential, &|_: Request| Ok(answer(403, &dead))).outcome, Outcome::Expired);
}

#[test]
fn the_variable_comes_before_the_sign_in_of_the_cli() {
    let auth = r#"{"// Note": "do not share","token":"vca_T","refreshToken":"vcr_R","expiresAt":1700000900,"userId":"u"}"#;
    let files = [(AUTH, auth), (CONFIG, r#"{"currentTeam":"team_C","credStorage":"file"}"#)];
    let found = Home::new(&files, &[("VERCEL_TOKEN", "V")]).find(&PROVIDER, &[]).unwrap();
    let stored = "~/.local/share/com.vercel.cli/auth.json: api_token=vca_T team_id=team_C";
    assert_eq!(told(&found), ["$VERCEL_TOKEN: api_token=V", stored]);
    assert_eq!(found[1].expires.map(|at| at.timestamp()), Some(1_700_000_900));
    let ids = [("VERCEL_ORG_ID", "team_V"), ("VERCEL_PROJECT_ID", "prj_V")];
    let found = told(&Home::new(&files[..1], &ids).find(&PROVIDER, &[]).unwrap());
    assert_eq!(
        found,
        ["~/.local/share/com.vercel.cli/auth.json: api_token=vca_T project_id=prj_V team_id=team_V"]
    );
    let own = told(&Home::new(&files[..1], &[("VERCEL_ORG_ID", "a-user")]).find(&PROVIDER, &[]).unwrap());
    assert_eq!(own, ["~/.local/share/com.vercel.cli/auth.json: api_token=vca_T"]);
}

#[test]
fn the_old_folder_counts_where_there_is_no_new_one() {
    let home = Home::new(&[(".now/auth.json", r#"{"token":"T"}"#)], &[]);
    assert_eq!(told(&home.find(&PROVIDER, &[]).unwrap()), ["~/.now/auth.json: api_token=T"]);
    let both = Home::new(&[(".now/auth.json", r#"{"token":"T"}"#), (AUTH, "{}")], &[]);
    assert!(both.find(&PROVIDER, &[]).unwrap().is_empty());
    let keyring = Home::new(&[(CONFIG, r#"{"credStorage":"keyring"}"#)], &[]);
    assert!(keyring.find(&PROVIDER, &[]).unwrap().is_empty());
    let broken = Home::new(&[(AUTH, "{\n\"token\": 1}")], &[]).find(&PROVIDER, &[]).unwrap_err();
    assert!(broken.to_string().contains("at line 2"), "{broken}");
}

#[test]
fn team_and_project_are_handed_over_together_or_not_at_all() {
    let token = format!("VERCEL_TOKEN={}", FIELDS[0].example);
    assert_eq!(exported(&PROVIDER, &example(&PROVIDER, &[])), [token.as_str()]);
    assert_eq!(exported(&PROVIDER, &example(&PROVIDER, &[("team_id", TEAM)])), [token.as_str()]);
    let both = example(&PROVIDER, &[("team_id", "team_a"), ("project_id", "prj_b")]);
    assert_eq!(exported(&PROVIDER, &both), [token.as_str(), "VERCEL_ORG_ID=team_a", "VERCEL_PROJECT_ID=prj_b"]);
    assert_eq!(PROVIDER.hosts(&both.metadata), ["api.vercel.com"]);
}

#[test]
fn tokens_are_recognised_and_other_keys_refused() {
    let (user, old) = (FIELDS[0].example, "hDo6Yd2YrtW3QnRfU8vTqK1m");
    let session = user.replacen("vcp_", "vca_", 1);
    let text = format!("{user}\n'{session}'\nVERCEL_TOKEN={old}\nOTHER={old}\nVERCEL_TOKEN={old}x\n");
    assert_marks(&PROVIDER, &text, &[user, &session, old]);
    assert_checks(
        &PROVIDER,
        &[("api_token", "vcr_abc"), ("api_token", "vck_abc"), ("team_id", "a/b"), ("project_id", "a&b")],
    );
}

/// The API with one token in it, of the full account.
fn api(line: &str, _: &Request) -> Response {
    let name = "deploy (lanyard 2023-11-14T22:13:20Z)";
    match line {
        "GET /v5/user/tokens/current" => answer(200, &current().to_string()),
        "GET /v6/user/tokens" => {
            let tokens = json!([{"id": "lost", "name": name}, {"id": "other", "name": "deploy"}]);
            answer(200, &json!({"tokens": tokens, "pagination": {"next": 17, "prev": null}}).to_string())
        }
        "GET /v6/user/tokens?until=17" => {
            answer(200, &json!({"tokens": [{"id": "more", "name": name}], "pagination": {"next": null}}).to_string())
        }
        line if line.starts_with("POST /v3/user/tokens") => {
            answer(200, &json!({"bearerToken": "vcp_new", "token": {"id": "new"}}).to_string())
        }
        "DELETE /v3/user/tokens/gone" => answer(404, &refused("not_found", "")),
        line if line.starts_with("DELETE /v3/user/tokens/") => answer(200, r#"{"tokenId":"x"}"#),
        other => unreachable!("{other}"),
    }
}

fn mint(server: &dyn crate::http::Http, since: bool) -> Result<Raw, ProviderError> {
    with_net(server, |net| rotate::Rotate.mint(&example(&PROVIDER, &[]), since.then(now), net))
}

#[test]
fn a_new_token_is_made_beside_the_old_one_and_lives_as_long() {
    let server = Server::new(api);
    assert_eq!(mint(&server, false).unwrap().get("api_token").unwrap().expose(), "vcp_new");
    let body = json!({"name": "deploy (lanyard 2023-11-14T22:13:20Z)", "expiresAt": 1_700_200_000_000_i64});
    assert_eq!(server.body("POST /v3/user/tokens"), body);
    let server = Server::new(api);
    mint(&server, true).unwrap();
    let changes: Vec<String> = server.lines().into_iter().filter(|line| !line.starts_with("GET")).collect();
    assert_eq!(changes, ["DELETE /v3/user/tokens/lost", "DELETE /v3/user/tokens/more", "POST /v3/user/tokens"]);
}

#[test]
fn the_new_token_of_a_team_is_the_teams() {
    let mut of_team = current();
    of_team["token"]["scopes"] = json!([{"type": "team", "teamId": "team_a"}]);
    let server = Server::new(|line: &str, request: &Request| {
        if line.starts_with("GET") { answer(200, &of_team.to_string()) } else { api(line, request) }
    });
    mint(&server, false).unwrap();
    assert_eq!(server.lines().last().unwrap(), "POST /v3/user/tokens?teamId=team_a");
}

#[test]
fn the_old_one_is_found_by_its_id_and_deleted_with_the_new_one() {
    let (server, new) = (Server::new(api), example(&PROVIDER, &[]));
    with_net(&server, |net| {
        let handle = rotate::Rotate.look_up(&new, net).unwrap();
        assert_eq!(handle.as_deref(), Some("5d9f2ebd38ddca62e5d51e9c1704c72530bdc8bf"));
        rotate::Rotate.retire("gone", &new, net).unwrap();
        rotate::Rotate.retire("old/../x", &new, net).unwrap();
    });
    assert_eq!(server.lines().last().unwrap(), "DELETE /v3/user/tokens/old%2F..%2Fx");
}

#[test]
fn what_may_not_make_tokens_says_so_and_what_is_uncertain_stays_open() {
    let with = |status: u16, body: &'static str| {
        Server::new(move |line: &str, request: &Request| {
            if line.starts_with("POST") { answer(status, body) } else { api(line, request) }
        })
    };
    let failure = mint(&with(403, r#"{"error":{"code":"forbidden"}}"#), false).unwrap_err();
    assert!(matches!(failure, ProviderError::CannotRotate { .. }), "{failure}");
    assert!(failure.mend().unwrap().contains("https://vercel.com/account/tokens"));
    for (status, body) in [(500, ""), (200, "<html>")] {
        assert!(matches!(mint(&with(status, body), false), Err(ProviderError::Unreachable(_))), "{status}");
    }
    let session = crate::provider::api::tests::credential(&PROVIDER, &[("api_token", "vca_session")]);
    let failure = with_net(&|_: Request| unreachable!(), |net| rotate::Rotate.look_up(&session, net)).unwrap_err();
    assert!(failure.to_string().contains("a session of the Vercel CLI"));
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_fall_over(auth in "(?s).{0,120}", config in "(?s).{0,120}") {
        let _ = Home::new(&[(AUTH, &auth), (CONFIG, &config)], &[]).find(&PROVIDER, &[]);
    }

    #[test]
    fn a_token_that_the_cli_wrote_is_read(value in ".{1,60}") {
        let file = json!({"token": value}).to_string();
        let found = Home::new(&[(AUTH, &file)], &[]).find(&PROVIDER, &[]).unwrap();
        prop_assert_eq!(found[0].raw.get("api_token").unwrap().expose(), value);
    }
}
