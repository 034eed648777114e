use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Alg, EncodingKey, jwk::Jwk};
use serde_json::json;
use std::sync::LazyLock;

use super::*;
use Problem::{Future, Length, Mismatch, Missing, Past, WrongType};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://id.example";
const CLIENT: &str = "lanyard-cli";

/// An issuer's signing keys, one of each kind, and a stranger's.
struct Issuer {
    rsa: EncodingKey,
    ec: EncodingKey,
    ed: EncodingKey,
    stranger: EncodingKey,
}

static KEYS: LazyLock<Issuer> = LazyLock::new(|| Issuer {
    rsa: rsa_key(),
    ec: EncodingKey::from_ec_der(
        EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap().to_pkcs8v1().unwrap().as_ref(),
    ),
    ed: EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref()),
    stranger: rsa_key(),
});

fn rsa_key() -> EncodingKey {
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

fn jwk(key: &EncodingKey, algorithm: Alg, id: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    let members = jwk.as_object_mut().unwrap();
    members.remove("alg");
    members.insert("kid".into(), id.into());
    members.insert("use".into(), "sig".into());
    jwk
}

fn keys() -> Keys {
    let set = json!({"keys": [
        jwk(&KEYS.rsa, Alg::RS256, "rsa"), jwk(&KEYS.ec, Alg::ES256, "ec"), jwk(&KEYS.ed, Alg::EdDSA, "ed"),
        {"kty": "oct", "kid": "oct", "k": URL_SAFE_NO_PAD.encode(b"secret")},
    ]});
    Keys::parse(set.to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "248289761001", "aud": CLIENT, "exp": NOW + 600, "iat": NOW, "nonce": "n-0S6"})
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn encode(part: &str) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// Signs text as it is, so that any header and any payload can be tried.
fn sign_text(header: &str, payload: &str, key: &EncodingKey, algorithm: Alg) -> Secret {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    Secret::new(format!("{signed}.{signature}"))
}

fn sign(header: &Value, claims: &Value) -> Secret {
    sign_text(&header.to_string(), &claims.to_string(), &KEYS.rsa, Alg::RS256)
}

fn good(claims: &Value) -> Secret {
    sign(&json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"}), claims)
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: Some("n-0S6"),
        access_token: None,
        max_age: None,
        subject: None,
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn check(token: &Secret) -> Result<Claims, IdTokenError> {
    verify(token, &keys(), &expected(), at(NOW))
}

fn claim_error(claims: &Value) -> Result<Claims, IdTokenError> {
    check(&good(claims))
}

#[test]
fn a_good_token_of_each_algorithm_passes() {
    let table = [
        ("RS256", "rsa", &KEYS.rsa, Alg::RS256),
        ("RS384", "rsa", &KEYS.rsa, Alg::RS384),
        ("RS512", "rsa", &KEYS.rsa, Alg::RS512),
        ("PS256", "rsa", &KEYS.rsa, Alg::PS256),
        ("PS384", "rsa", &KEYS.rsa, Alg::PS384),
        ("PS512", "rsa", &KEYS.rsa, Alg::PS512),
        ("ES256", "ec", &KEYS.ec, Alg::ES256),
        ("EdDSA", "ed", &KEYS.ed, Alg::EdDSA),
        ("Ed25519", "ed", &KEYS.ed, Alg::EdDSA),
    ];
    for (name, id, key, algorithm) in table {
        let with_id = json!({"alg": name, "kid": id}).to_string();
        let without_id = json!({"alg": name, "typ": "JWT"}).to_string();
        for header in [with_id, without_id] {
            let token = sign_text(&header, &claims().to_string(), key, algorithm);
            let claims = check(&token).unwrap();
            assert_eq!((claims.subject.as_str(), claims.issued_at), ("248289761001", at(NOW)), "{name}");
        }
    }
}

#[test]
fn what_the_token_says_is_returned() {
    let mut all = claims();
    all["email"] = json!("a@example.com");
    all["email_verified"] = json!("true");
    all["preferred_username"] = json!("a");
    all["name"] = json!("");
    let claims = check(&good(&all)).unwrap();
    assert_eq!(claims.email.as_deref(), Some("a@example.com"));
    assert_eq!((claims.email_verified, claims.name), (Some(true), None));
    assert_eq!((claims.preferred_username.as_deref(), claims.expires_at), (Some("a"), at(NOW + 600)));
    assert_eq!((claims.issuer.as_str(), claims.audience), (ISSUER, vec![CLIENT.to_owned()]));
}

#[test]
fn lists_and_fractions_that_real_issuers_send_pass() {
    let mut token = claims();
    token["aud"] = json!([CLIENT]);
    token["auth_time"] = json!(1_799_999_989.75);
    token["iat"] = json!(1_800_000_000.5);
    let expected = Expected { max_age: Some(60), ..expected() };
    assert!(verify(&good(&token), &keys(), &expected, at(NOW)).is_ok());
    token["aud"] = json!([CLIENT, "other"]);
    token["azp"] = json!(CLIENT);
    assert!(check(&good(&token)).is_ok());
}

#[test]
fn bad_headers_and_signatures_are_refused() {
    let body = claims().to_string();
    let rsa_header = |extra: Value| {
        let mut header = json!({"alg": "RS256", "kid": "rsa"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        header
    };
    let unsigned =
        |algorithm: &str| Secret::new(format!("{}.{}.", encode(&json!({"alg": algorithm}).to_string()), encode(&body)));
    let zeros = |header: Value| {
        let signature = URL_SAFE_NO_PAD.encode([0; 64]);
        Secret::new(format!("{}.{}.{signature}", encode(&header.to_string()), encode(&body)))
    };
    let public = jwk(&KEYS.rsa, Alg::RS256, "rsa").to_string();
    let own = jwk(&KEYS.stranger, Alg::RS256, "rsa");
    let forged = |header: Value| sign_text(&header.to_string(), &body, &KEYS.stranger, Alg::RS256);
    let hmac = |secret: &[u8]| {
        let header = json!({"alg": "HS256", "kid": "oct"}).to_string();
        sign_text(&header, &body, &EncodingKey::from_secret(secret), Alg::HS256)
    };
    let table = [
        (unsigned("none"), IdTokenError::Algorithm),
        (unsigned("None"), IdTokenError::Algorithm),
        (unsigned("nOnE"), IdTokenError::Algorithm),
        (unsigned("RS256"), IdTokenError::Signature),
        (unsigned(""), IdTokenError::Algorithm),
        (hmac(public.as_bytes()), IdTokenError::Algorithm),
        (hmac(b"secret"), IdTokenError::Algorithm),
        (forged(rsa_header(json!({}))), IdTokenError::Signature),
        (forged(rsa_header(json!({"jwk": own}))), IdTokenError::Signature),
        (forged(rsa_header(json!({"jku": "https://evil.example/jwks"}))), IdTokenError::Signature),
        (forged(rsa_header(json!({"x5u": "https://evil.example/x5u"}))), IdTokenError::Signature),
        (sign(&rsa_header(json!({"kid": "../../dev/null"})), &claims()), IdTokenError::UnknownKey),
        (sign(&rsa_header(json!({"kid": "' OR 1=1"})), &claims()), IdTokenError::UnknownKey),
        (sign(&rsa_header(json!({"kid": "ec"})), &claims()), IdTokenError::UnknownKey),
        (sign(&rsa_header(json!({"kid": 1})), &claims()), IdTokenError::Malformed("its key id is no text")),
        (sign(&rsa_header(json!({"crit": ["exp"], "exp": 1})), &claims()), IdTokenError::Extension),
        (sign(&rsa_header(json!({"crit": ["b64"], "b64": false})), &claims()), IdTokenError::Extension),
        (sign(&rsa_header(json!({"b64": false})), &claims()), IdTokenError::Extension),
        (sign(&rsa_header(json!({"typ": "at+jwt"})), &claims()), IdTokenError::Type),
        (sign(&rsa_header(json!({"typ": "application/AT+JWT"})), &claims()), IdTokenError::Type),
        (sign(&rsa_header(json!({"typ": 1})), &claims()), IdTokenError::Type),
        (zeros(json!({"alg": "ES256", "kid": "ec"})), IdTokenError::Signature),
        (zeros(json!({"alg": "EdDSA", "kid": "ed"})), IdTokenError::Signature),
        (sign(&json!({"alg": "PS256", "kid": "rsa"}), &claims()), IdTokenError::Signature),
        (sign(&json!({"alg": "ES256", "kid": "rsa"}), &claims()), IdTokenError::UnknownKey),
        (sign(&json!({"alg": "rs256"}), &claims()), IdTokenError::Algorithm),
        (sign(&json!({"alg": ["RS256"]}), &claims()), IdTokenError::Algorithm),
        (sign(&json!({"kid": "rsa"}), &claims()), IdTokenError::Algorithm),
    ];
    for (number, (token, reason)) in table.iter().enumerate() {
        assert_eq!(check(token), Err(*reason), "token {number}");
    }
    assert!(check(&good(&claims())).is_ok());
}

#[test]
fn malformed_tokens_are_refused() {
    let whole = good(&claims());
    let whole = whole.expose();
    let parts: Vec<_> = whole.split('.').collect();
    let twice = r#"{"alg":"RS256","alg":"RS256"}"#;
    let repeated = claims().to_string().replacen('{', r#"{"sub":"admin","#, 1);
    let texts = [
        String::new(),
        "..".into(),
        parts[..2].join("."),
        format!("{whole}."),
        format!("{whole}.{}", parts[1]),
        format!("{whole}="),
        format!("{whole} "),
        format!(" {whole}"),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}+.{}", parts[0], parts[1], parts[2]),
        "a".repeat(100_000),
    ];
    let mut tokens: Vec<_> = texts.into_iter().map(Secret::new).collect();
    tokens.push(sign_text(twice, &claims().to_string(), &KEYS.rsa, Alg::RS256));
    tokens.push(sign_text(r#"{"alg":"RS256"}"#, &repeated, &KEYS.rsa, Alg::RS256));
    tokens.push(sign_text(r#"{"alg":"RS256"}"#, "[]", &KEYS.rsa, Alg::RS256));
    tokens.push(sign_text(r#"{"alg":"RS256"}"#, r#"{"exp":1e400}"#, &KEYS.rsa, Alg::RS256));
    for (number, token) in tokens.iter().enumerate() {
        assert!(matches!(check(token), Err(IdTokenError::Malformed(_))), "token {number}");
    }
    let tampered =
        Secret::new(format!("{}.{}.{}", parts[0], encode(&changed("sub", json!("x")).to_string()), parts[2]));
    assert_eq!(check(&tampered), Err(IdTokenError::Signature));
}

#[test]
fn bad_claims_are_refused_for_their_reason() {
    let late = NOW + 3600;
    let table = [
        (changed("iss", json!("https://other.example")), "iss", Mismatch),
        (changed("iss", json!("https://id.example/")), "iss", Mismatch),
        (changed("iss", json!(["https://id.example"])), "iss", WrongType),
        (without("iss"), "iss", Missing),
        (changed("aud", json!("other")), "aud", Mismatch),
        (changed("aud", json!(["other"])), "aud", Mismatch),
        (changed("aud", json!([])), "aud", Mismatch),
        (changed("aud", json!([CLIENT, 1])), "aud", WrongType),
        (changed("aud", json!({})), "aud", WrongType),
        (without("aud"), "aud", Missing),
        (changed("aud", json!([CLIENT, "other"])), "azp", Missing),
        (changed("azp", json!("other")), "azp", Mismatch),
        (changed("azp", json!(null)), "azp", WrongType),
        (changed("exp", json!(NOW - 61)), "exp", Past),
        (changed("exp", json!((NOW + 600).to_string())), "exp", WrongType),
        (changed("exp", json!(1e300)), "exp", WrongType),
        (changed("exp", json!(-1)), "exp", WrongType),
        (without("exp"), "exp", Missing),
        (changed("iat", json!(late)), "iat", Future),
        (without("iat"), "iat", Missing),
        (changed("nbf", json!(late)), "nbf", Future),
        (changed("nbf", json!("now")), "nbf", WrongType),
        (changed("nonce", json!("other")), "nonce", Mismatch),
        (changed("nonce", json!("")), "nonce", Mismatch),
        (without("nonce"), "nonce", Missing),
        (changed("sub", json!("")), "sub", Length),
        (changed("sub", json!("x".repeat(256))), "sub", Length),
        (changed("sub", json!(7)), "sub", WrongType),
        (without("sub"), "sub", Missing),
    ];
    for (claims, claim, problem) in table {
        assert_eq!(claim_error(&claims), Err(IdTokenError::Claim { claim, problem }), "{claims}");
    }
}

#[test]
fn clocks_may_differ_by_a_minute() {
    let token = good(&claims());
    for now in [NOW - 60, NOW + 659] {
        assert!(verify(&token, &keys(), &expected(), at(now)).is_ok(), "{now}");
    }
    for now in [NOW - 61, NOW + 660] {
        assert!(verify(&token, &keys(), &expected(), at(now)).is_err(), "{now}");
    }
}

#[test]
fn a_renewed_token_is_of_the_same_subject_and_needs_no_nonce() {
    let token = good(&without("nonce"));
    let renewed = |subject| Expected { nonce: None, subject: Some(subject), ..expected() };
    assert!(verify(&token, &keys(), &renewed("248289761001"), at(NOW)).is_ok());
    let other = verify(&token, &keys(), &renewed("another"), at(NOW));
    assert_eq!(other, Err(IdTokenError::Claim { claim: "sub", problem: Mismatch }));
}

#[test]
fn the_access_token_must_be_the_one_it_came_with() {
    let access_token = Secret::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y".into());
    let with = |claims: Value| {
        let expected = Expected { access_token: Some(&access_token), ..expected() };
        verify(&good(&claims), &keys(), &expected, at(NOW))
    };
    assert!(with(changed("at_hash", json!("77QmUPtjPfzWtF2AnpK9RQ"))).is_ok());
    assert!(with(claims()).is_ok());
    let error = |problem| Err(IdTokenError::Claim { claim: "at_hash", problem });
    assert_eq!(with(changed("at_hash", json!("77QmUPtjPfzWtF2AnpK9RR"))), error(Mismatch));
    assert_eq!(with(changed("at_hash", json!(1))), error(WrongType));
}

#[test]
fn an_age_that_was_asked_for_is_checked() {
    let with =
        |claims: Value| verify(&good(&claims), &keys(), &Expected { max_age: Some(300), ..expected() }, at(NOW)).err();
    let error = |problem| Some(IdTokenError::Claim { claim: "auth_time", problem });
    assert_eq!(with(changed("auth_time", json!(NOW - 360))), None);
    assert_eq!(with(changed("auth_time", json!(NOW - 361))), error(Past));
    assert_eq!(with(changed("auth_time", json!(NOW + 61))), error(Future));
    assert_eq!(with(changed("auth_time", json!("then"))), error(WrongType));
    assert_eq!(with(claims()), error(Missing));
}

#[test]
fn a_symmetric_key_in_the_set_is_never_used() {
    let set = json!({"keys": [{"kty": "oct", "k": URL_SAFE_NO_PAD.encode(b"secret"), "alg": "HS256"}]});
    let keys = Keys::parse(set.to_string().as_bytes()).unwrap();
    let token =
        sign_text(r#"{"alg":"HS256"}"#, &claims().to_string(), &EncodingKey::from_secret(b"secret"), Alg::HS256);
    assert_eq!(verify(&token, &keys, &expected(), at(NOW)), Err(IdTokenError::Algorithm));
    assert_eq!(verify(&good(&claims()), &keys, &expected(), at(NOW)), Err(IdTokenError::UnknownKey));
}

#[test]
fn errors_quote_nothing_and_name_the_mend() {
    let canary = "CANARY-7f3a";
    for claims in [changed("iss", json!(canary)), changed("nonce", json!(canary)), changed("sub", json!([canary]))] {
        let error = claim_error(&claims).unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.mend()).contains(canary));
        assert!(error.mend().is_some());
    }
}

#[test]
fn unverified_claims_are_only_read() {
    let token = Secret::new(format!("{}.{}.", encode("{}"), encode(r#"{"scope":"a"}"#)));
    assert_eq!(unverified_claims(&token), Some(json!({"scope": "a"})));
    assert_eq!(unverified_claims(&Secret::new("opaque".into())), None);
}
