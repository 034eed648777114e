//! What AWS says of keys and roles, and what that means.

use super::*;
use crate::secret::Reason;

fn verdict(answers: impl Fn(&Asked, usize) -> Response + Sync) -> Verdict {
    let env = nowhere(&[]);
    PROVIDER.verify(&lasting(&[]), None, &Net { http: &Aws::new(answers), env: &env, now: now() })
}

fn assumed(account: &str) -> Response {
    answer(
        200,
        &format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>\
             <SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>\
             <Expiration>2026-03-01T13:00:00Z</Expiration></Credentials><AssumedRoleUser>\
             <Arn>arn:aws:sts::{account}:assumed-role/deploy/lanyard</Arn></AssumedRoleUser></AssumeRoleResult>\
             </AssumeRoleResponse>"
        ),
    )
}

#[test]
fn good_keys_tell_their_account() {
    let aws = Aws::new(|_: &Asked, _| identity());
    let env = nowhere(&[]);
    let keys =
        lasting(&[("region", "eu-west-1"), ("session_token", "a-token"), ("expires_at", "2026-03-01T13:00:00Z")]);
    let verdict = PROVIDER.verify(&keys, None, &Net { http: &aws, env: &env, now: now() });
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("Account 123456789012")));
    assert_eq!(verdict.expires.unwrap().to_rfc3339(), "2026-03-01T13:00:00+00:00");
    let [asked] = &aws.asked()[..] else { panic!("one trip") };
    assert_eq!(asked.url, "https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(asked.scope, format!("{ID}/20260301/eu-west-1/sts/aws4_request"));
    assert_eq!((asked.signed_at.as_str(), asked.token.as_deref()), ("20260301T120000Z", Some("a-token")));
    assert_eq!((asked.action(), asked.fields["Version"].as_str()), ("GetCallerIdentity", "2011-06-15"));
}

#[test]
fn every_answer_has_its_own_meaning() {
    let json = r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"no"}"#;
    let cases: &[(&(dyn Fn() -> Response + Sync), Outcome, &str)] = &[
        (
            &|| refused(403, "InvalidClientTokenId", "The security token …"),
            Outcome::Invalid,
            "does not know these keys",
        ),
        (&|| answer(400, json), Outcome::Invalid, "does not know these keys"),
        (
            &|| refused(403, "SignatureDoesNotMatch", "The request …"),
            Outcome::Invalid,
            "does not belong to the access key id",
        ),
        (
            &|| refused(403, "SignatureDoesNotMatch", "Signature expired: 2026"),
            Outcome::Unexpected,
            "time of the signature",
        ),
        (&|| refused(403, "RequestTimeTooSkewed", ""), Outcome::Unexpected, "time of the signature"),
        (&|| refused(403, "ExpiredToken", "expired"), Outcome::Expired, "time of these temporary keys is over"),
        (&|| refused(400, "ExpiredTokenException", "expired"), Outcome::Expired, "temporary keys"),
        (&|| refused(403, "AccessDenied", "no"), Outcome::Insufficient, "does not let them do sts:GetCallerIdentity"),
        (&|| refused(403, "RegionDisabledException", "off"), Outcome::Unexpected, "switched off in this region"),
        (&|| refused(400, "Throttling", "Rate exceeded"), Outcome::RateLimited, "asked too often"),
        (&|| refused(400, "RequestLimitExceeded", ""), Outcome::RateLimited, "asked too often"),
        (&|| answer(429, ""), Outcome::RateLimited, "asked too often"),
        (&|| answer(503, "<html>"), Outcome::Unreachable, "in trouble"),
        (&|| refused(500, "InternalFailure", ""), Outcome::Unreachable, "in trouble"),
        (&|| refused(403, "MissingAuthenticationToken", ""), Outcome::Unexpected, "does not know"),
        (&|| refused(400, "SomethingNew", ""), Outcome::Unexpected, "does not know"),
        (&|| answer(401, "<html>Sign in to the network</html>"), Outcome::Unexpected, "does not know"),
        (&|| answer(403, "<html>blocked by the proxy</html>"), Outcome::Unexpected, "does not know"),
        (&|| answer(403, "\u{0}\u{1}"), Outcome::Unexpected, "does not know"),
        (&|| answer(200, "<html>welcome</html>"), Outcome::Unexpected, "does not know"),
        (&|| answer(200, "<Account>not digits</Account>"), Outcome::Unexpected, "does not know"),
        (&|| answer(302, ""), Outcome::Unexpected, "does not know"),
    ];
    for (answer, outcome, reason) in cases {
        let verdict = verdict(|_, _| answer());
        let told = verdict.reason.unwrap();
        assert_eq!(verdict.outcome, *outcome, "{told}");
        assert!(told.contains(reason), "{told} has no {reason}");
        assert!(verdict.next.is_some_and(|next| !next.is_empty() && !next.ends_with('.')));
    }
    let verdict = verdict(|_, _| refused(403, "InvalidClientTokenId", ""));
    assert_eq!(verdict.error.as_deref(), Some("InvalidClientTokenId"));
}

#[test]
fn no_answer_says_nothing_about_the_keys() {
    let env = nowhere(&[]);
    let origin = || "https://sts.amazonaws.com".to_owned();
    let slow = |_: Request| Err(Unreachable::Slow { origin: origin(), after: std::time::Duration::from_secs(10) });
    let tls = |_: Request| Err(Unreachable::Tls { origin: origin(), cause: Reason("expired".into()) });
    let verify = |http: &dyn crate::http::Http| {
        PROVIDER.verify(&lasting(&[]), None, &Net { http, env: &env, now: now() }).outcome
    };
    assert_eq!(verify(&slow), Outcome::Unreachable);
    assert_eq!(verify(&tls), Outcome::Tls);
}

#[test]
fn a_clock_that_is_off_is_corrected_by_theirs() {
    for code in ["SignatureDoesNotMatch", "RequestTimeTooSkewed"] {
        let aws = Aws::new(|_: &Asked, before| {
            if before > 0 {
                return identity();
            }
            let mut refused = refused(403, code, "Signature expired: too late");
            refused.headers.insert(header::DATE, HeaderValue::from_static("Sun, 01 Mar 2026 14:30:00 GMT"));
            refused
        });
        let env = nowhere(&[]);
        let verdict = PROVIDER.verify(&lasting(&[]), None, &Net { http: &aws, env: &env, now: now() });
        assert_eq!(verdict.outcome, Outcome::Valid);
        let times: Vec<String> = aws.asked().into_iter().map(|asked| asked.signed_at).collect();
        assert_eq!(times, ["20260301T120000Z", "20260301T143000Z"]);
    }
}

#[test]
fn a_wrong_signature_is_tried_twice_and_no_other_refusal() {
    let asked = |code: &'static str| {
        let aws = Aws::new(|_: &Asked, before| if before == 0 { refused(403, code, "") } else { identity() });
        let env = nowhere(&[]);
        let verdict = PROVIDER.verify(&lasting(&[]), None, &Net { http: &aws, env: &env, now: now() });
        (verdict.outcome, aws.asked().len())
    };
    assert_eq!(asked("SignatureDoesNotMatch"), (Outcome::Valid, 2));
    assert_eq!(asked("InvalidClientTokenId"), (Outcome::Invalid, 1));
    assert_eq!(asked("ExpiredToken"), (Outcome::Expired, 1));
}

#[test]
fn a_role_is_assumed_with_the_keys_of_its_source() {
    let aws = Aws::new(|_: &Asked, _| assumed("210987654321"));
    let env = nowhere(&[]);
    let net = Net { http: &aws, env: &env, now: now() };
    let source = keys(&lasting(&[])).unwrap();
    let credential = role(&[("external_id", "x y"), ("duration", "900"), ("region", "us-gov-west-1")]);
    let issued = PROVIDER.material(&credential, Some(&source), &net).unwrap();
    assert_eq!(issued.expires.unwrap().to_rfc3339(), "2026-03-01T13:00:00+00:00");
    let Material::AwsKeys { access_key_id, secret_access_key, session_token } = issued.material else { panic!("keys") };
    assert_eq!((access_key_id.as_str(), secret_access_key.expose()), ("ASIAIOSFODNN7EXAMPLE", "role-secret"));
    assert_eq!(session_token.unwrap().expose(), "role-token");
    let verdict = PROVIDER.verify(&credential, Some(&source), &net);
    assert_eq!((verdict.identity.as_deref(), verdict.expires), (Some("Account 210987654321"), None));
    let asked = aws.asked();
    assert_eq!(asked.len(), 2, "one trip each");
    assert_eq!(asked[0].url, "https://sts.us-gov-west-1.amazonaws.com/");
    for (name, value) in [
        ("Action", "AssumeRole"),
        ("RoleArn", "arn:aws:iam::123456789012:role/deploy"),
        ("RoleSessionName", "lanyard"),
        ("ExternalId", "x y"),
        ("DurationSeconds", "900"),
    ] {
        assert_eq!(asked[0].fields[name], value);
    }
}

#[test]
fn the_session_of_a_role_is_called_after_its_user() {
    let source = keys(&lasting(&[])).unwrap();
    let called = |variables: &[(&str, &str)], fields: &[(&str, &str)]| {
        let aws = Aws::new(|_: &Asked, _| assumed("210987654321"));
        let env = nowhere(variables);
        PROVIDER.material(&role(fields), Some(&source), &Net { http: &aws, env: &env, now: now() }).unwrap();
        aws.asked()[0].fields["RoleSessionName"].clone()
    };
    assert_eq!(called(&[("USER", "alice")], &[]), "lanyard-alice");
    assert_eq!(called(&[("LOGNAME", "Zo\u{eb} O'Hara@corp")], &[]), "lanyard-ZoOHara@corp");
    assert_eq!(called(&[("USER", &"a".repeat(100))], &[]).len(), 64);
    assert_eq!(called(&[("USER", "alice")], &[("session_name", "ci@laptop")]), "ci@laptop");
    assert_eq!(called(&[], &[]), "lanyard");
}

#[test]
fn a_role_without_its_source_or_its_permission_says_whose_fault_it_is() {
    let env = nowhere(&[]);
    let never = |_: Request| -> Result<Response, Unreachable> { panic!("nothing is sent") };
    let failure = PROVIDER.material(&role(&[]), None, &Net { http: &never, env: &env, now: now() }).unwrap_err();
    assert!(matches!(&failure, ProviderError::NoSource { source_name, .. } if source_name == "base"));
    let bearer = Issued::lasting(Material::Bearer(Secret::new("token".into())));
    let net = Net { http: &never, env: &env, now: now() };
    assert!(matches!(PROVIDER.material(&role(&[]), Some(&bearer), &net), Err(ProviderError::NoSource { .. })));

    let source = keys(&lasting(&[])).unwrap();
    let verdict = |status, code: &'static str, message: &'static str| {
        let aws = Aws::new(move |_: &Asked, _| refused(status, code, message));
        PROVIDER.verify(&role(&[]), Some(&source), &Net { http: &aws, env: &env, now: now() })
    };
    let denied = verdict(403, "AccessDenied", "User: arn:aws:iam::1:user/a is not authorized &amp; so on");
    assert_eq!((denied.outcome, denied.error.as_deref()), (Outcome::Invalid, Some("AccessDenied")));
    let reason = denied.reason.unwrap();
    assert_eq!(reason, "base may not assume the role: User: arn:aws:iam::1:user/a is not authorized & so on");
    let unknown = verdict(403, "InvalidClientTokenId", "");
    assert!(unknown.reason.unwrap().starts_with("through base: AWS does not know"));
    let wrong = verdict(400, "ValidationError", "The requested DurationSeconds exceeds the maximum");
    assert_eq!(wrong.outcome, Outcome::Invalid);
    assert!(wrong.next.unwrap().contains("lanyard credentials update deploy"));
    assert_eq!(verdict(503, "ServiceUnavailable", "").outcome, Outcome::Unreachable);
    let aws = Aws::new(|_: &Asked, _| answer(200, "<html>"));
    let verdict = PROVIDER.verify(&role(&[]), Some(&source), &Net { http: &aws, env: &env, now: now() });
    assert_eq!(verdict.outcome, Outcome::Unexpected);
}

#[test]
fn a_password_for_a_registry_is_made_where_the_registry_is() {
    let private = r#"{"authorizationData":[{"authorizationToken":"QVdTOnBhc3M6d29yZA==","expiresAt":1772409600.5}]}"#;
    let public = r#"{"authorizationData":{"authorizationToken":"QVdTOnB1YmxpYw==","expiresAt":1772409600}}"#;
    let aws =
        Aws::new(|asked: &Asked, _| answer(200, if asked.action().starts_with("Spencer") { public } else { private }));
    let env = nowhere(&[]);
    let net = Net { http: &aws, env: &env, now: now() };
    let material = keys(&lasting(&[])).unwrap().material;
    let login = |region, host| {
        let issued = ecr_password(&material, region, host, &net).unwrap();
        let Material::Basic { username, password } = issued.material else { panic!("user and password") };
        (username, password.expose().to_owned(), issued.expires.unwrap().timestamp())
    };
    let expected = ("AWS".to_owned(), "pass:word".to_owned(), 1_772_409_600);
    assert_eq!(login("", "123456789012.dkr.ecr.eu-west-1.amazonaws.com"), expected);
    assert_eq!(login("", "123456789012.dkr-ecr.eu-west-2.on.aws"), expected);
    assert_eq!(login("cn-north-1", "registry.example"), expected);
    assert_eq!(login("eu-west-1", "public.ecr.aws").1, "public");
    let asked: Vec<(String, String)> =
        aws.asked().into_iter().map(|asked| (asked.url, asked.scope.split_once('/').unwrap().1.to_owned())).collect();
    let pair = |url: &str, scope: &str| (url.to_owned(), scope.to_owned());
    assert_eq!(
        asked,
        [
            pair("https://api.ecr.eu-west-1.amazonaws.com/", "20260301/eu-west-1/ecr/aws4_request"),
            pair("https://api.ecr.eu-west-2.amazonaws.com/", "20260301/eu-west-2/ecr/aws4_request"),
            pair("https://api.ecr.cn-north-1.amazonaws.com.cn/", "20260301/cn-north-1/ecr/aws4_request"),
            pair("https://api.ecr-public.us-east-1.amazonaws.com/", "20260301/us-east-1/ecr-public/aws4_request"),
        ]
    );
}

#[test]
fn a_registry_that_gives_no_password_says_why() {
    let env = nowhere(&[]);
    let material = keys(&lasting(&[])).unwrap().material;
    let ask = |material: &Material, region: &str, response: &(dyn Fn() -> Response + Sync)| {
        let aws = Aws::new(|_: &Asked, _| response());
        ecr_password(material, region, "r.example", &Net { http: &aws, env: &env, now: now() }).unwrap_err()
    };
    let denied = r#"{"__type":"AccessDeniedException","Message":"no"}"#;
    let failure = ask(&material, "", &|| answer(400, denied));
    assert!(failure.mend().unwrap().contains("ecr:GetAuthorizationToken"));
    assert!(matches!(&failure, ProviderError::Refused(verdict) if verdict.outcome == Outcome::Insufficient));
    for body in ["{}", "[]", r#"{"authorizationData":[]}"#, r#"{"authorizationData":[{"authorizationToken":"%%"}]}"#] {
        let failure = ask(&material, "", &|| answer(200, body));
        assert!(matches!(failure, ProviderError::Refused(verdict) if verdict.outcome == Outcome::Unexpected), "{body}");
    }
    let failure = ask(&material, "evil.example/", &|| panic!("nothing is sent"));
    assert!(matches!(failure, ProviderError::BadEndpoint { .. }));
    let bearer = Material::Bearer(Secret::new("x".into()));
    assert!(matches!(ask(&bearer, "", &|| panic!("nothing is sent")), ProviderError::Refused(_)));
}
