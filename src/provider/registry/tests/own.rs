//! Registries that are asked in a way of their own, and Helm repositories.

use super::*;

#[test]
fn docker_hub_is_asked_about_the_account() {
    let routes = |status: u16, body: &'static str| {
        move |request: &Request| {
            assert_eq!(request.url.as_str(), "https://hub.docker.com/v2/auth/token");
            let sent: serde_json::Value = serde_json::from_slice(request.body.as_ref().unwrap()).unwrap();
            assert_eq!(sent, serde_json::json!({"identifier": "alice", "secret": "p\"\\\n"}));
            answer(status, &[], body)
        }
    };
    let hub = alice("docker.io", "p\"\\\n");
    let token = format!(r#"{{"access_token":"{}"}}"#, jwt(r#"{"scope":"repo:read repo:write"}"#));
    let (verdict, sent) = verify(&hub, routes(200, token.leak()));
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("alice")));
    assert_eq!((verdict.scopes, sent.len()), (vec!["repo:read".to_owned(), "repo:write".into()], 1));
    for (status, body, meant) in [
        (401, r#"{"detail":"Incorrect authentication credentials"}"#, Outcome::Invalid),
        (401, r#"{"detail":"Require secondary authentication","login_2fa_token":"x"}"#, Outcome::Insufficient),
        (429, "", Outcome::RateLimited),
        (502, "", Outcome::Unreachable),
        (200, "{}", Outcome::Unexpected),
        (403, "", Outcome::Unexpected),
    ] {
        assert_eq!(outcome(&hub, routes(status, body)), meant, "{status} {body}");
    }
}

#[test]
fn github_tells_whose_a_token_is_and_whether_it_may_pull() {
    let user = r#"{"login":"octocat"}"#;
    for (status, headers, body, meant, identity) in [
        (200, vec![("x-oauth-scopes", "repo, read:packages")], user, Outcome::Valid, Some("octocat")),
        (200, vec![("x-oauth-scopes", "write:packages")], user, Outcome::Valid, Some("octocat")),
        (200, vec![("x-oauth-scopes", "repo")], user, Outcome::Insufficient, None),
        (200, vec![("x-oauth-scopes", "")], user, Outcome::Insufficient, None),
        (200, vec![], user, Outcome::Valid, Some("octocat")),
        (200, vec![], "{}", Outcome::Unexpected, None),
        (401, vec![], r#"{"message":"Bad credentials"}"#, Outcome::Invalid, None),
        (403, vec![], r#"{"message":"Resource not accessible by integration"}"#, Outcome::Insufficient, None),
        (403, vec![("x-ratelimit-remaining", "0")], "", Outcome::RateLimited, None),
        (500, vec![], "", Outcome::Unreachable, None),
    ] {
        let (verdict, sent) = verify(&alice("ghcr.io", "ghp_x"), |request| {
            assert_eq!(authorization(request), "Bearer ghp_x");
            answer(status, &headers, body)
        });
        assert_eq!((verdict.outcome, verdict.identity.as_deref()), (meant, identity), "{status} {headers:?}");
        assert_eq!(sent, ["GET https://api.github.com/user +secret"]);
    }
}

#[test]
fn an_endpoint_that_the_user_names_is_asked_instead() {
    let there = credential(&[
        ("url", "ghcr.io"),
        ("username", "a"),
        ("password", "p"),
        ("endpoint", "http://127.0.0.1:9/api/v3"),
    ]);
    let (_, sent) = verify(&there, |_| answer(401, &[], ""));
    assert_eq!(sent, ["GET http://127.0.0.1:9/api/v3/user +secret"]);
}

#[test]
fn harbor_tells_who_a_user_is_and_robots_go_the_usual_way() {
    let routes = |request: &Request| {
        let known = [basic("alice", "right"), basic("robot$p+ci", "right")].contains(&authorization(request).to_owned());
        match (request.url.path(), known) {
            ("/api/v2.0/users/current", true) if authorization(request) == basic("alice", "right") => {
                answer(200, &[], r#"{"username":"alice","email":"alice@example.com"}"#)
            }
            ("/v2/", true) => answer(200, &[], "{}"),
            _ => answer(401, &[("www-authenticate", "Basic realm=harbor")], r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#),
        }
    };
    let user = |name: &str, password: &str| {
        credential(&[("url", "h.example.com"), ("flavour", "harbor"), ("username", name), ("password", password)])
    };
    let (verdict, sent) = verify(&user("alice", "right"), routes);
    assert_eq!((verdict.outcome, verdict.identity.as_deref(), sent.len()), (Outcome::Valid, Some("alice"), 1));
    let (verdict, sent) = verify(&user("robot$p+ci", "right"), routes);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("robot$p+ci")));
    assert!(!sent.iter().any(|request| request.contains("users/current")), "{sent:?}");
    assert_eq!(outcome(&user("alice", "wrong"), routes), Outcome::Invalid);
    let (verdict, _) = verify(&user("robot$p+ci", "wrong"), routes);
    assert_eq!(verdict.outcome, Outcome::Invalid);
    assert!(verdict.next.unwrap().contains("robot"));
}

#[test]
fn artifactory_is_pinged_unless_everybody_may() {
    let closed = |request: &Request| {
        assert_eq!(request.url.path(), "/artifactory/api/system/ping");
        let status = if authorization(request) == basic("alice", "right") { 200 } else { 401 };
        answer(status, &[], if status == 200 { "OK" } else { r#"{"errors":[{"status":401}]}"# })
    };
    assert_eq!(outcome(&alice("corp.jfrog.io", "right"), closed), Outcome::Valid);
    assert_eq!(outcome(&alice("corp.jfrog.io", "wrong"), closed), Outcome::Invalid);
    let open = |request: &Request| match (request.url.path(), authorization(request)) {
        ("/artifactory/api/system/ping", _) => answer(200, &[], "OK"),
        (_, given) if given == basic("alice", "right") => answer(200, &[], "{}"),
        _ => answer(401, &[("www-authenticate", "Basic realm=a")], ""),
    };
    let (verdict, sent) = verify(&alice("corp.jfrog.io", "right"), open);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(sent[0], "GET https://corp.jfrog.io/artifactory/api/system/ping");
    assert_eq!(outcome(&alice("corp.jfrog.io", "wrong"), open), Outcome::Invalid);
}

#[test]
fn a_helm_repository_is_its_index() {
    let index = "apiVersion: v1\nentries: {}\n";
    let routes = |openly: u16, known: u16, body: &'static str| {
        move |request: &Request| {
            assert_eq!(request.url.as_str(), "https://charts.example.com/stable/index.yaml?token=x");
            let status = if authorization(request).is_empty() { openly } else { known };
            answer(status, &[], body)
        }
    };
    let charts = alice("https://charts.example.com/stable?token=x", "p");
    for (openly, known, body, meant) in [
        (401, 200, index, Outcome::Valid),
        (401, 206, index, Outcome::Valid),
        (403, 200, index, Outcome::Valid),
        (200, 200, index, Outcome::CannotBeAsked),
        (401, 401, "", Outcome::Invalid),
        (401, 403, "", Outcome::Insufficient),
        (401, 404, "", Outcome::Unexpected),
        (404, 404, "", Outcome::Unexpected),
        (401, 200, "<html>apiVersion: v1</html>", Outcome::Unexpected),
        (401, 429, "", Outcome::RateLimited),
        (401, 500, "", Outcome::Unreachable),
    ] {
        assert_eq!(outcome(&charts, routes(openly, known, body)), meant, "{openly} {known} {body}");
    }
}

#[test]
fn a_google_key_is_named_by_its_account() {
    let key = "{\"type\":\"service_account\",\n\"client_email\":\"ci@p.iam.gserviceaccount.com\"}\n";
    let google = credential(&[("url", "europe-docker.pkg.dev"), ("password", key)]);
    let (verdict, _) = verify(&google, |request| match authorization(request) {
        given if given == basic("_json_key", key) => answer(200, &[], "{}"),
        _ => answer(401, &[("www-authenticate", "Basic realm=g")], ""),
    });
    assert_eq!(verdict.identity.as_deref(), Some("ci@p.iam.gserviceaccount.com"));
}

#[test]
fn an_ecr_password_is_made_from_the_keys_of_the_source() {
    let keys = Issued::lasting(Material::AwsKeys {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into()),
        session_token: None,
    });
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let ecr = credential(&[("url", host), ("source", "aws-prod")]);
    let made = format!(
        r#"{{"authorizationData":[{{"authorizationToken":"{}","expiresAt":44200.5}}]}}"#,
        STANDARD.encode("AWS:made")
    );
    let registry = |password: &'static str| {
        let made = made.clone();
        move |request: &Request| match request.url.host_str().unwrap() {
            "api.ecr.eu-west-1.amazonaws.com" => answer(200, &[], &made),
            _ if authorization(request) == basic("AWS", password) => answer(200, &[], "{}"),
            _ => answer(401, &[("www-authenticate", "Basic realm=\"ecr\"")], ""),
        }
    };
    let (verdict, sent) = verify_through(Some(&keys), &ecr, registry("made"));
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("Account 123456789012")));
    assert_eq!(verdict.expires, Some(at(44200)));
    let knock = format!("GET https://{host}/v2/");
    assert_eq!(sent[1..], [knock.clone(), format!("{knock} +secret")]);
    assert_eq!(verify_through(Some(&keys), &ecr, registry("other")).0.outcome, Outcome::Invalid);
    let denied = r#"{"__type":"AccessDeniedException","message":"x"}"#;
    let refused = verify_through(Some(&keys), &ecr, |_| answer(400, &[], denied)).0;
    assert_eq!(refused.outcome, Outcome::Insufficient, "{refused:?}");
    // A credential of another sort makes no password.
    let other = Issued::lasting(Material::Bearer(Secret::new("t".into())));
    let (verdict, sent) = verify_through(Some(&other), &ecr, |_| panic!("nothing is sent"));
    assert_eq!((verdict.outcome, sent.len()), (Outcome::Unexpected, 0));
}
