//! The fake is held to the behaviour of a real provider, and every switch is seen to switch.

use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::*;
use crate::wire::{self, get, post_form};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://127.0.0.1:9/callback";

fn authorization_url(idp: &Idp) -> String {
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let fields = [
        ("client_id", "cli"),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid email offline_access"),
        ("state", "s"),
        ("nonce", "n"),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ];
    format!("{}?{}", idp.url("/authorize"), wire::form(&fields))
}

fn callback(idp: &Idp) -> Vec<(String, String)> {
    let target = wire::callback_of(&authorization_url(idp));
    wire::fields(target.split_once('?').unwrap().1.as_bytes())
}

fn redeem(idp: &Idp, code: &str, verifier: &str) -> wire::Message {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "cli"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier),
    ];
    post_form(&idp.url("/token"), &fields).unwrap()
}

fn sign_in(idp: &Idp) -> Value {
    let callback = callback(idp);
    redeem(idp, field(&callback, "code").unwrap(), VERIFIER).json()
}

fn refresh(idp: &Idp, token: &Value) -> wire::Message {
    let token = token.as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("client_id", "cli"), ("refresh_token", token)];
    post_form(&idp.url("/token"), &fields).unwrap()
}

fn verifies(idp: &Idp, token: &str) -> bool {
    let keys: JwkSet = serde_json::from_slice(&get(&idp.url("/jwks")).unwrap().body).unwrap();
    let Ok(header) = jsonwebtoken::decode_header(token) else { return false };
    let Some(key) = header.kid.and_then(|kid| keys.find(&kid).cloned()) else { return false };
    let mut rules = Validation::new(Algorithm::RS256);
    rules.algorithms = vec![header.alg];
    rules.set_audience(&["cli"]);
    rules.set_issuer(&[idp.issuer()]);
    DecodingKey::from_jwk(&key).is_ok_and(|key| jsonwebtoken::decode::<Value>(token, &key, &rules).is_ok())
}

#[test]
fn an_honest_provider_signs_in_refreshes_and_revokes() {
    let idp = Idp::honest();
    let metadata = get(&idp.url("/.well-known/openid-configuration")).unwrap().json();
    assert_eq!(metadata["issuer"], idp.issuer());

    let callback = callback(&idp);
    assert_eq!((field(&callback, "state"), field(&callback, "iss")), (Some("s"), Some(idp.issuer())));
    let code = field(&callback, "code").unwrap();
    assert_eq!(redeem(&idp, code, &VERIFIER.replace('d', "e")).json()["error"], "invalid_grant");
    let tokens = redeem(&idp, code, VERIFIER).json();
    assert!(verifies(&idp, tokens["id_token"].as_str().unwrap()));

    let access = tokens["access_token"].as_str().unwrap();
    let bearer = format!("Authorization: Bearer {access}");
    let userinfo = |status| {
        let answer = wire::send("GET", &idp.url("/userinfo"), &[&bearer], "").unwrap();
        assert_eq!(answer.status(), status);
        answer.json()
    };
    assert_eq!(userinfo(200)["email"], "user@example.com");
    let introspected = post_form(&idp.url("/introspect"), &[("token", access)]).unwrap().json();
    assert_eq!((&introspected["active"], &introspected["sub"]), (&json!(true), &json!("acc_123456")));

    let renewed = refresh(&idp, &tokens["refresh_token"]).json();
    assert_ne!(renewed["refresh_token"], tokens["refresh_token"]);
    assert!(idp.would_refresh(renewed["refresh_token"].as_str().unwrap()));
    post_form(&idp.url("/revoke"), &[("token", renewed["refresh_token"].as_str().unwrap())]).unwrap();
    assert_eq!(userinfo(401)["error"], "invalid_token");
    assert_eq!(refresh(&idp, &renewed["refresh_token"]).json()["error"], "invalid_grant");
    assert_eq!(idp.grants("refresh_token").len(), 2);
    assert!(idp.secrets().iter().any(|secret| secret == access));
}

#[test]
fn a_refresh_token_that_comes_back_ends_the_session_or_is_tolerated() {
    let idp = Idp::honest();
    let tokens = sign_in(&idp);
    let renewed = refresh(&idp, &tokens["refresh_token"]).json();
    assert_eq!(refresh(&idp, &tokens["refresh_token"]).status(), 400);
    assert_eq!(refresh(&idp, &renewed["refresh_token"]).status(), 400, "the successor is dead too");
    assert_eq!((idp.reuses(), idp.live_refresh_tokens()), (1, 0));

    idp.change(|behaviour| behaviour.reuse = Reuse::ToleratedFor(Duration::from_secs(30)));
    let tokens = sign_in(&idp);
    let renewed = refresh(&idp, &tokens["refresh_token"]).json();
    assert_eq!(refresh(&idp, &tokens["refresh_token"]).json(), renewed);

    idp.change(|behaviour| behaviour.rotation = false);
    let tokens = sign_in(&idp);
    for _ in 0..2 {
        assert_eq!(refresh(&idp, &tokens["refresh_token"]).json()["refresh_token"], Value::Null);
    }
}

#[test]
fn a_replayed_code_takes_back_what_it_gave() {
    let idp = Idp::honest();
    let callback = callback(&idp);
    let code = field(&callback, "code").unwrap();
    let tokens = redeem(&idp, code, VERIFIER).json();
    assert_eq!(redeem(&idp, code, VERIFIER).json()["error"], "invalid_grant");
    assert!(!idp.accepts(tokens["access_token"].as_str().unwrap()));
}

#[test]
fn the_device_flow_follows_its_script() {
    let mut behaviour = Behaviour::default();
    behaviour.polls = [Poll::Pending, Poll::SlowDown, Poll::Lost].into();
    let idp = Idp::start(behaviour);
    let fields = [("client_id", "cli"), ("scope", "openid")];
    let device = post_form(&idp.url("/device_authorization"), &fields).unwrap().json();
    let poll = || {
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", "cli"),
            ("device_code", device["device_code"].as_str().unwrap()),
        ];
        post_form(&idp.url("/token"), &fields)
    };
    assert_eq!(poll().unwrap().json()["error"], "authorization_pending");
    assert_eq!(poll().unwrap().json()["error"], "slow_down");
    assert!(poll().is_none());
    assert!(verifies(&idp, poll().unwrap().json()["id_token"].as_str().unwrap()));
    assert_eq!(poll().unwrap().json()["error"], "invalid_grant");
}

#[test]
fn pushed_requests_are_good_once() {
    let mut behaviour = Behaviour::default();
    behaviour.requires_par = true;
    let idp = Idp::start(behaviour);
    let url = authorization_url(&idp);
    assert_eq!(get(&url).unwrap().status(), 400);
    let fields = wire::fields(url.split_once('?').unwrap().1.as_bytes());
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let pushed = post_form(&idp.url("/par"), &fields).unwrap().json();
    let query = wire::form(&[("client_id", "cli"), ("request_uri", pushed["request_uri"].as_str().unwrap())]);
    let url = format!("{}?{query}", idp.url("/authorize"));
    assert_eq!(get(&url).unwrap().status(), 302);
    assert_eq!(get(&url).unwrap().status(), 400);
}

#[test]
fn confidential_clients_must_say_their_secret() {
    let mut behaviour = Behaviour::default();
    behaviour.client_secret = Some("s3cr:t".into());
    let idp = Idp::start(behaviour);
    let send = |headers: &[&str], body: &str| wire::send("POST", &idp.url("/revoke"), headers, body).unwrap().status();
    assert_eq!(send(&[], "client_id=cli&token=x"), 401);
    assert_eq!(send(&[], "client_id=cli&client_secret=s3cr%3At&token=x"), 200);
    // Both halves are form-encoded before base64 (RFC 6749 section 2.3.1): cli:s3cr%3At
    assert_eq!(send(&["Authorization: Basic Y2xpOnMzY3IlM0F0"], "token=x"), 200);
}

#[test]
fn every_wrong_signature_is_wrong() {
    let idp = Idp::honest();
    let token = |signing: Signing| {
        idp.change(|behaviour| behaviour.signing = signing);
        sign_in(&idp)["id_token"].as_str().unwrap().to_owned()
    };
    assert!(verifies(&idp, &token(Signing::Rs256)));
    assert!(verifies(&idp, &token(Signing::Es256)));
    for wrong in [
        Signing::Stranger,
        Signing::Rotated,
        Signing::Zeros,
        Signing::HmacWithPublicKey,
        Signing::HmacWithOctetKey,
        Signing::None("none"),
        Signing::None("nOnE"),
    ] {
        assert!(!verifies(&idp, &token(wrong.clone())), "{wrong:?}");
    }
    idp.change(|behaviour| behaviour.rotated_keys = true);
    assert!(verifies(&idp, &token(Signing::Rotated)));
    idp.change(|behaviour| {
        behaviour.forge(|header, claims| {
            header["crit"] = json!(["exp"]);
            claims["exp"] = json!(1);
        });
    });
    assert!(!verifies(&idp, &token(Signing::Rotated)));
}

#[test]
fn github_answers_in_its_own_way() {
    let idp = Idp::start(Behaviour::github());
    assert_eq!(get(&idp.url("/.well-known/openid-configuration")).unwrap().status(), 404);
    let wrong = wire::send(
        "POST",
        &idp.url("/login/oauth/access_token"),
        &[],
        "client_id=cli&code=x&grant_type=authorization_code",
    );
    let wrong = wrong.unwrap();
    assert_eq!((wrong.status(), field(&wire::fields(&wrong.body), "error")), (200, Some("invalid_grant")));
    let tokens = sign_in(&idp);
    assert_eq!(tokens["scope"], "openid,email,offline_access");
    assert_eq!((&tokens["expires_in"], &tokens["refresh_token"]), (&Value::Null, &Value::Null));
}

#[test]
fn faults_strike_as_planned() {
    let idp = Idp::honest();
    let jwks = idp.url("/jwks");
    let strike = |fault: Fault| {
        idp.change(|behaviour| {
            behaviour.fault_once("/jwks", fault);
        });
        get(&jwks)
    };
    let moved = strike(Fault::Redirect(307, "http://127.0.0.2:1/".into())).unwrap();
    assert_eq!((moved.status(), moved.header("location")), (307, Some("http://127.0.0.2:1/")));
    assert_eq!(strike(Fault::HtmlError).unwrap().status(), 500);
    let later = strike(Fault::Unavailable { retry_after: 7 }).unwrap();
    assert_eq!((later.status(), later.header("retry-after")), (503, Some("7")));
    assert_eq!(strike(Fault::Huge(10 << 20)).unwrap().body.len(), (10 << 20) + 8);
    assert_eq!(strike(Fault::Answer(200, "application/json", "{\"expires_in\":1e400}".into())).unwrap().status(), 200);
    assert!(strike(Fault::LosesAnswer).is_none());
    assert!(strike(Fault::Closes).is_none());
    assert_eq!(strike(Fault::Garbage).map_or(0, |answer| answer.status()), 0);
    let started = Instant::now();
    assert_eq!(strike(Fault::Late(Duration::from_millis(200))).unwrap().status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(get(&jwks).unwrap().status(), 200, "one time is one time");

    idp.change(|behaviour| {
        behaviour.fault("/jwks", Fault::Silence);
        behaviour.bend(|fields| fields.retain(|(name, _)| name != "iss"));
        behaviour.patch("/.well-known/openid-configuration", |metadata| metadata["issuer"] = json!("http://other"));
    });
    let mut silent = TcpStream::connect(idp.issuer().strip_prefix("http://").unwrap()).unwrap();
    std::io::Write::write_all(&mut silent, b"GET /jwks HTTP/1.1\r\n\r\n").unwrap();
    silent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(std::io::Read::read(&mut silent, &mut [0; 1]).is_err(), "the connection stays open without a word");
    assert_eq!(field(&callback(&idp), "iss"), None);
    assert_eq!(get(&idp.url("/.well-known/openid-configuration")).unwrap().json()["issuer"], "http://other");
}
