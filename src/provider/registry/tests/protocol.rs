//! The protocol of the Open Container Initiative, with servers that are right and servers that are odd.

use super::*;

const BEARER: &str = r#"Bearer realm="https://auth.example.com/token",service="registry.example.com""#;

/// A registry that lets in whoever has a password, or everybody.
fn with_password(request: &Request, everybody: bool) -> Answer {
    assert_eq!(request.url.as_str(), "https://r.example.com/v2/");
    if authorization(request) == basic("alice", "right") || (everybody && authorization(request).is_empty()) {
        return answer(200, &[("docker-distribution-api-version", "registry/2.0")], "");
    }
    answer(401, &[("www-authenticate", "Basic realm=r")], r#"{"errors":[{"code":"UNAUTHORIZED","message":"x"}]}"#)
}

#[test]
fn a_password_is_accepted_or_refused() {
    let (verdict, sent) = verify(&alice("r.example.com", "right"), |request| with_password(request, false));
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("alice")));
    assert_eq!(sent, ["GET https://r.example.com/v2/", "GET https://r.example.com/v2/ +secret"]);
    let (verdict, _) = verify(&alice("r.example.com", "wrong"), |request| with_password(request, false));
    assert_eq!((verdict.outcome, verdict.error.as_deref()), (Outcome::Invalid, Some("UNAUTHORIZED")));
}

#[test]
fn an_open_registry_proves_nothing_unless_it_refuses() {
    let (verdict, _) = verify(&alice("r.example.com", "right"), |request| with_password(request, true));
    assert_eq!(verdict.outcome, Outcome::CannotBeAsked);
    assert!(verdict.reason.unwrap().contains("lets everybody in"));
    let wrong = outcome(&alice("r.example.com", "wrong"), |request| with_password(request, true));
    assert_eq!(wrong, Outcome::Invalid);
}

/// How a token server and its registry behave.
#[derive(Clone, Copy)]
struct Server {
    /// What the token server says to a wrong password.
    refusal: u16,
    /// What its tokens say of the one who came with the right one; `None` for tokens that say nothing.
    subject: Option<&'static str>,
    /// Whether it gives a token to whoever comes without a credential.
    serves_everybody: bool,
    /// Whether the registry lets such a token in.
    open: bool,
}

const STRICT: Server = Server { refusal: 401, subject: Some("alice"), serves_everybody: false, open: false };

fn token_server(server: Server, request: &Request) -> Answer {
    let known = match server.subject {
        Some(subject) => jwt(&format!(r#"{{"sub":"{subject}","access":[]}}"#)),
        None => "opaque-known".into(),
    };
    let unknown = if server.subject.is_some() { jwt(r#"{"sub":"","access":[]}"#) } else { "opaque-unknown".into() };
    let denied = r#"{"errors":[{"code":"DENIED","message":"x"}]}"#;
    match (request.url.host_str().unwrap(), authorization(request)) {
        ("r.example.com", "") => answer(401, &[("www-authenticate", BEARER)], ""),
        ("r.example.com", token) => {
            let token = token.strip_prefix("Bearer ").unwrap();
            let lets_in = token == known || (server.open && token == unknown);
            if lets_in { answer(200, &[], "{}") } else { answer(401, &[("www-authenticate", BEARER)], "") }
        }
        ("auth.example.com", "") => {
            assert!(!request.url.as_str().contains("account"), "nobody has no account");
            if server.serves_everybody {
                answer(200, &[], &format!(r#"{{"token":"{unknown}"}}"#))
            } else {
                answer(401, &[], denied)
            }
        }
        ("auth.example.com", given) => {
            let query = request.url.query().unwrap();
            assert_eq!(query, "service=registry.example.com&account=alice");
            if given == basic("alice", "right") {
                answer(200, &[], &format!(r#"{{"access_token":"{known}","expires_in":300}}"#))
            } else {
                answer(server.refusal, &[], denied)
            }
        }
        (host, _) => panic!("a request to {host}"),
    }
}

#[test]
fn a_token_proves_only_what_nobody_else_gets() {
    let everybody = Server { serves_everybody: true, open: true, ..STRICT };
    let opaque = Server { subject: None, ..STRICT };
    for (what, server, right, wrong) in [
        ("strict", STRICT, Outcome::Valid, Outcome::Invalid),
        ("serves everybody and names its subjects", everybody, Outcome::Valid, Outcome::Invalid),
        ("opaque tokens for the known alone", opaque, Outcome::Valid, Outcome::Invalid),
        (
            "opaque tokens, of which only some open",
            Server { serves_everybody: true, ..opaque },
            Outcome::Valid,
            Outcome::Invalid,
        ),
        (
            "opaque tokens that all open",
            Server { serves_everybody: true, open: true, ..opaque },
            Outcome::CannotBeAsked,
            Outcome::Invalid,
        ),
        (
            "tokens for somebody else",
            Server { subject: Some("anonymous"), serves_everybody: true, open: true, ..STRICT },
            Outcome::CannotBeAsked,
            Outcome::Invalid,
        ),
        ("403 to the unknown", Server { refusal: 403, ..STRICT }, Outcome::Valid, Outcome::Unexpected),
        ("400 to the unknown", Server { refusal: 400, ..STRICT }, Outcome::Valid, Outcome::Unexpected),
        ("429 to all", Server { refusal: 429, ..STRICT }, Outcome::Valid, Outcome::RateLimited),
        ("500 to all", Server { refusal: 500, ..STRICT }, Outcome::Valid, Outcome::Unreachable),
    ] {
        let routes = |request: &Request| token_server(server, request);
        assert_eq!(outcome(&alice("r.example.com", "right"), routes), right, "{what}, right");
        assert_eq!(outcome(&alice("r.example.com", "wrong"), routes), wrong, "{what}, wrong");
    }
}

#[test]
fn a_password_goes_to_no_token_server_of_strangers() {
    for realm in [
        "https://auth.evil.example/token",
        "https://r.example.com.evil.example/token",
        "http://127.0.0.1:9/token",
        "http://auth.example.com/token",
        "https://alice:x@auth.example.com/token",
        "token",
    ] {
        let challenge = format!(r#"Bearer realm="{realm}",service="s""#);
        let routes = |_: &Request| answer(401, &[("www-authenticate", &challenge)], "");
        let (verdict, sent) = verify(&alice("r.example.com", "right"), routes);
        assert_eq!(verdict.outcome, Outcome::Unexpected, "{realm}");
        assert_eq!(sent, ["GET https://r.example.com/v2/"], "{realm}");
    }
}

#[test]
fn a_token_server_that_the_user_trusts_gets_the_password() {
    let trusting = credential(&[
        ("url", "r.example.com"),
        ("username", "alice"),
        ("password", "right"),
        ("token_server", "https://sso.example.net"),
    ]);
    let (verdict, sent) = verify(&trusting, |request| match (request.url.host_str(), authorization(request)) {
        (Some("sso.example.net"), _) => answer(200, &[], &format!(r#"{{"token":"{}"}}"#, jwt(r#"{"sub":"alice"}"#))),
        (_, "") => answer(401, &[("www-authenticate", r#"Bearer realm="https://sso.example.net/t""#)], ""),
        _ => answer(200, &[], "{}"),
    });
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(sent[1], "GET https://sso.example.net/t?account=alice +secret");
}

#[test]
fn what_the_registry_says_of_a_good_token_counts() {
    let few = r#"Bearer realm="https://auth.example.com/token",error="insufficient_scope""#;
    for (status, challenge, meant) in [
        (401, few, Outcome::Insufficient),
        (403, "", Outcome::Insufficient),
        (401, BEARER, Outcome::Unexpected),
        (503, "", Outcome::Unreachable),
    ] {
        let routes = |request: &Request| {
            if request.url.host_str() == Some("r.example.com") && authorization(request).starts_with("Bearer") {
                return answer(status, &[("www-authenticate", challenge)], "");
            }
            token_server(STRICT, request)
        };
        assert_eq!(outcome(&alice("r.example.com", "right"), routes), meant, "{status} {challenge}");
    }
}

#[test]
fn scopes_are_sent_as_separate_parameters_and_commas_in_quotes_stay() {
    let challenge = r#"Basic realm=x, BEARER Realm="https://r.example.com/t?a=b", Scope="repository:x:pull,push registry:catalog:*""#;
    let (_, sent) = verify(&alice("r.example.com", "right"), |request| match request.url.path() {
        "/v2/" => answer(401, &[("www-authenticate", challenge)], ""),
        _ => answer(401, &[], ""),
    });
    let asked = "GET https://r.example.com/t?a=b&scope=repository%3Ax%3Apull%2Cpush&scope=registry%3Acatalog%3A*&account=alice";
    assert_eq!(sent[1], format!("{asked} +secret"));
}

#[test]
fn an_identity_token_is_a_refresh_token_and_its_end_is_told() {
    let routes = |request: &Request| match (request.url.host_str().unwrap(), request.method.as_str()) {
        ("auth.example.com", "POST") => {
            let body = String::from_utf8(request.body.as_ref().unwrap().to_vec()).unwrap();
            assert!(body.starts_with("grant_type=refresh_token&service=registry.example.com&client_id=lanyard&refresh_token="));
            let good = body.ends_with(&jwt(r#"{"exp":2000}"#));
            let (status, body) = if good { (200, r#"{"access_token":"t"}"#) } else { (400, r#"{"error":"invalid_grant"}"#) };
            answer(status, &[], body)
        }
        ("auth.example.com", _) => answer(401, &[], ""),
        _ if authorization(request) == "Bearer t" => answer(200, &[], "{}"),
        _ => answer(401, &[("www-authenticate", BEARER)], ""),
    };
    let with = |token: &str| credential(&[("url", "r.example.com"), ("username", "<token>"), ("password", token)]);
    let (verdict, _) = verify(&with(&jwt(r#"{"exp":2000}"#)), routes);
    assert_eq!((verdict.outcome, verdict.identity, verdict.expires), (Outcome::Valid, None, Some(at(2000))));
    assert_eq!(outcome(&with(&jwt(r#"{"exp":999}"#)), routes), Outcome::Expired);
    assert_eq!(outcome(&with("opaque"), routes), Outcome::Invalid);
}

#[test]
fn an_identity_token_goes_as_a_password_where_the_server_knows_no_grants() {
    let token = credential(&[("url", "corp.azurecr.io"), ("password", &jwt(r#"{"exp":2000}"#))]);
    let (verdict, sent) = verify(&token, |request| match (request.url.path(), request.method.as_str()) {
        ("/oauth2/token", "POST") => answer(405, &[], ""),
        ("/oauth2/token", _) if authorization(request).starts_with("Basic") => answer(200, &[], r#"{"access_token":"t"}"#),
        ("/oauth2/token", _) => answer(401, &[], ""),
        _ if authorization(request).is_empty() => {
            answer(401, &[("www-authenticate", r#"Bearer realm="https://corp.azurecr.io/oauth2/token",service="s""#)], "")
        }
        _ => answer(200, &[], "{}"),
    });
    assert_eq!(verdict.outcome, Outcome::Valid, "{sent:?}");
}
