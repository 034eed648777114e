use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::helper::tests::{Bench, CANARY, now};

const MINE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/corp";

/// An ID token that ends so many seconds from now.
fn id_token(life: i64) -> String {
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = serde_json::json!({ "iss": "https://id.example", "sub": "me", "exp": now().timestamp() + life });
    format!("{}.{}.c2ln", part(serde_json::json!({ "alg": "RS256" })), part(claims))
}

/// A sign-in with this ID token, which nothing renews.
fn bench(id_token: Option<&str>, audience: Option<&str>) -> Bench {
    let session = serde_json::json!({
        "version": 1, "service": "corp", "grant": "web", "access_token": CANARY, "id_token": id_token,
        "issued_at": "2027-01-15T07:00:00Z",
    });
    let session = session.to_string();
    let mut values = vec![("service", "corp"), ("session", session.as_str())];
    values.extend(audience.map(|audience| ("google_audience", audience)));
    let mut bench = Bench::with("oauth", &values);
    bench.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", MINE);
    bench
}

#[track_caller]
fn assert_refused(bench: &Bench, words: &[&str], code: &str) {
    let (exit, told, talk) = bench.ask("google", words, "");
    assert_eq!((exit, &*talk), (0, ""), "the libraries read stderr as part of the answer");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["version"], &told["success"], &told["code"]), (&1.into(), &false.into(), &code.into()), "{told}");
    assert!(!told["message"].as_str().unwrap().is_empty() && !told.to_string().contains("LNYCANARY"));
}

#[test]
fn the_id_token_of_a_sign_in_is_handed_over_with_its_end() {
    let token = id_token(600);
    let mut bench = bench(Some(&token), Some(MINE));
    for kind in TOKEN_TYPES {
        bench.set("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", kind);
        let told = format!(
            "{{\"version\":1,\"success\":true,\"token_type\":\"{kind}\",\"id_token\":\"{token}\",\"expiration_time\":1800000600}}\n"
        );
        bench.answers("google", &["mine"], "", 0, &told);
    }
}

#[test]
fn only_the_audience_that_its_owner_allowed_is_answered() {
    let token = id_token(600);
    for audience in [None, Some("//iam.googleapis.com/projects/2"), Some(&*format!("{MINE}/")), Some(&*MINE.to_uppercase())] {
        assert_refused(&bench(Some(&token), audience), &["mine"], "not_found");
    }
    let bench = bench(Some(&token), Some(MINE));
    for name in ["other", "", "MINE", "mine "] {
        assert_refused(&bench, &[name], "not_found");
    }
    assert_refused(&bench, &[], "usage");
    assert_refused(&bench, &["mine", "more"], "usage");
}

#[test]
fn what_is_over_or_was_never_there_is_not_handed_out() {
    for token in [Some(id_token(30)), Some(id_token(-1)), Some("no.token".to_owned()), None] {
        assert_refused(&bench(token.as_deref(), Some(MINE)), &["mine"], "failed");
    }
    assert_refused(&Bench::with("oauth", &[("service", "corp"), ("google_audience", MINE)]), &["mine"], "no_audience");
    let mut disconnected = Bench::with("oauth", &[("service", "corp"), ("google_audience", MINE)]);
    assert_refused(disconnected.set("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", MINE), &["mine"], "failed");
}

#[test]
fn another_wish_is_refused_in_the_same_form() {
    let token = id_token(600);
    let mut revoking = bench(Some(&token), Some(MINE));
    assert_refused(revoking.set("GOOGLE_EXTERNAL_ACCOUNT_REVOKE", "1"), &["mine"], "unsupported");
    let mut saml = bench(Some(&token), Some(MINE));
    saml.set("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:saml2");
    assert_refused(&saml, &["mine"], "unsupported");
}
