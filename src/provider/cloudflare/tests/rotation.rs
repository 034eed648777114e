//! Tests of replacing a token of Cloudflare.

use super::*;

const ID: &str = "ed17574386854bf78a67040be0a770b0";
const OWN: &str = "/client/v4/user/tokens/ed17574386854bf78a67040be0a770b0";
const NAME: &str = "deploy (lanyard 2023-11-14T22:13:20Z)";

fn ok(result: &serde_json::Value) -> Response {
    answer(200, &serde_json::json!({"success": true, "errors": [], "messages": [], "result": result}).to_string())
}

fn details() -> serde_json::Value {
    serde_json::json!({
        "id": ID, "name": "deploy", "status": "active", "issued_on": "2023-11-01T00:00:00Z",
        "expires_on": "2023-11-21T00:00:00Z", "condition": {"request_ip": {"in": ["198.51.100.0/24"]}},
        "policies": [{"id": "f267", "effect": "allow", "resources": {"com.cloudflare.api.account.zone.22b1": "*"},
            "permission_groups": [{"id": "c8fe", "name": "Zone Read", "meta": {}}, {"id": "82e6"}]}],
    })
}

/// The API with one token in it, which may manage tokens.
fn api(line: &str, _: &Request) -> Response {
    match line.strip_prefix("GET ").unwrap_or(line) {
        "/client/v4/user/tokens/verify" => answer(200, &checked("active")),
        OWN => ok(&details()),
        "/client/v4/user/tokens?per_page=50&page=1" => ok(&serde_json::json!([
            {"id": "lost", "name": NAME}, {"id": "other", "name": "deploy"}, {"id": ID, "name": NAME}
        ])),
        "/client/v4/user/tokens?per_page=50&page=2" => ok(&serde_json::json!([])),
        "POST /client/v4/user/tokens" => ok(&serde_json::json!({"id": "new", "value": "the-new-token"})),
        line if line.starts_with("DELETE ") => ok(&serde_json::json!({"id": "x"})),
        other => unreachable!("{other}"),
    }
}

fn mint(server: &dyn crate::http::Http, since: Option<chrono::DateTime<chrono::Utc>>) -> Result<Raw, ProviderError> {
    with_net(server, |net| rotate::Rotate.mint(&example(&PROVIDER, &[]), since, net))
}

#[test]
fn a_new_token_may_do_what_the_old_one_may_for_as_long() {
    let server = Server::new(api);
    let raw = mint(&server, None).unwrap();
    assert_eq!(raw.get("api_token").unwrap().expose(), "the-new-token");
    assert_eq!(
        server.body("POST /client/v4/user/tokens"),
        serde_json::json!({
            "name": NAME, "condition": {"request_ip": {"in": ["198.51.100.0/24"]}},
            "expires_on": "2023-12-04T22:13:20Z",
            "policies": [{"effect": "allow", "resources": {"com.cloudflare.api.account.zone.22b1": "*"},
                "permission_groups": [{"id": "c8fe"}, {"id": "82e6"}]}],
        })
    );
    assert!(!server.lines().iter().any(|line| line.starts_with("DELETE")), "the old one stays for now");
}

#[test]
fn what_an_interrupted_rotation_made_is_removed_first_and_nothing_else() {
    let server = Server::new(api);
    mint(&server, Some(now())).unwrap();
    let changes: Vec<String> = server.lines().into_iter().filter(|line| !line.starts_with("GET")).collect();
    assert_eq!(changes, ["DELETE /client/v4/user/tokens/lost", "POST /client/v4/user/tokens"]);
}

#[test]
fn the_old_one_is_deleted_with_the_new_one() {
    let server = Server::new(|line: &str, request: &Request| {
        let gone = line.ends_with("/gone");
        assert_eq!(request.headers["authorization"], "Bearer the-new-token");
        if gone { answer(404, &fault(1003)) } else { api(line, request) }
    });
    let new = token("the-new-token", &[]);
    with_net(&server, |net| {
        rotate::Rotate.retire("user/tokens/old", &new, net).unwrap();
        rotate::Rotate.retire("user/tokens/gone", &new, net).unwrap();
        assert!(rotate::Rotate.retire("../../elsewhere", &new, net).is_err());
    });
    assert_eq!(server.lines(), ["DELETE /client/v4/user/tokens/old", "DELETE /client/v4/user/tokens/gone"]);
}

#[test]
fn the_handle_is_looked_up_where_the_token_is_kept() {
    let handle = |credential: &Credential, server: &dyn crate::http::Http| {
        with_net(server, |net| rotate::Rotate.look_up(credential, net))
    };
    let own = handle(&example(&PROVIDER, &[]), &Server::new(api)).unwrap();
    assert_eq!(own, Some(format!("user/tokens/{ID}")));
    let of_account = token(OF_ACCOUNT, &[("account_id", ACCOUNT)]);
    let of_account = handle(&of_account, &|_: Request| Ok(answer(200, &checked("active")))).unwrap();
    assert_eq!(of_account, Some(format!("accounts/{ACCOUNT}/tokens/{ID}")));
    let dead = handle(&example(&PROVIDER, &[]), &|_: Request| Ok(answer(401, &fault(1000))));
    assert!(matches!(dead, Err(ProviderError::Refused(verdict)) if verdict.outcome == Outcome::Invalid));
    let session = handle(&token("a.b", &[]), &|_: Request| unreachable!());
    assert!(matches!(session, Err(ProviderError::CannotRotate { .. })));
}

#[test]
fn a_token_that_may_not_manage_tokens_says_so() {
    for refused in [OWN, "POST /client/v4/user/tokens"] {
        let server = Server::new(|line: &str, request: &Request| {
            if line.ends_with(refused) { answer(403, &fault(9109)) } else { api(line, request) }
        });
        let failure = mint(&server, None).unwrap_err();
        assert!(failure.to_string().contains("it lacks the permission \"API Tokens Write\""), "{failure}");
        assert!(failure.mend().unwrap().contains("lanyard credentials update NAME --field api_token=-"));
    }
}

#[test]
fn an_answer_that_tells_nothing_leaves_the_rotation_open() {
    for (status, body) in [(502, "<html>"), (200, "<html>"), (200, "{}")] {
        let server = Server::new(|line: &str, request: &Request| {
            if line.starts_with("POST") { answer(status, body) } else { api(line, request) }
        });
        // Only a refusal would close it, and a new token may lie there.
        assert!(matches!(mint(&server, None), Err(ProviderError::Unreachable(_))), "{status}");
    }
}
