//! Forged, stale and misdirected ID tokens: none of them signs anyone in, and nothing is kept of the attempt.

use serde_json::{Value, json};

use crate::idp::{Behaviour, Idp, Signing, keys};
use crate::keyring::Keyring;
use crate::scene::{self, attempt, settled};
use crate::second_host::SecondHost;
use crate::stage::Stage;

/// Changes the header and the claims.
type Change = dyn Fn(&mut Value, &mut Value) + Send + Sync;

/// What a forger changes, by a name for the report.
struct Forgery {
    name: &'static str,
    signing: Signing,
    change: Box<Change>,
}

fn forged(
    name: &'static str,
    signing: Signing,
    change: impl Fn(&mut Value, &mut Value) + Send + Sync + 'static,
) -> Forgery {
    Forgery { name, signing, change: Box::new(change) }
}

fn unchanged(_: &mut Value, _: &mut Value) {}

/// Tokens that the issuer's key did not make, or that talk the reader into another key.
fn wrong_signatures(elsewhere: &str) -> Vec<Forgery> {
    let there = [elsewhere.to_owned(), elsewhere.to_owned()];
    let [jku, x5u] = there;
    vec![
        forged("alg none", Signing::None("none"), unchanged),
        forged("alg None", Signing::None("None"), unchanged),
        forged("alg nOnE", Signing::None("nOnE"), unchanged),
        forged("no signature", Signing::None("RS256"), unchanged),
        forged("HMAC with the public key", Signing::HmacWithPublicKey, unchanged),
        forged("HMAC with a listed symmetric key", Signing::HmacWithOctetKey, unchanged),
        forged("another key", Signing::Stranger, unchanged),
        forged("a signature of zeros", Signing::Zeros, unchanged),
        forged("a key of its own", Signing::Stranger, |header, _| header["jwk"] = keys::stranger_jwk()),
        forged("a key list of its own", Signing::Stranger, move |header, _| header["jku"] = json!(jku)),
        forged("a certificate of its own", Signing::Stranger, move |header, _| header["x5u"] = json!(x5u)),
        forged("a path as key id", Signing::HmacWithOctetKey, |header, _| header["kid"] = json!("../../dev/null")),
        forged("SQL as key id", Signing::Stranger, |header, _| header["kid"] = json!("' OR 1=1")),
        forged("an unknown extension", Signing::Rs256, |header, _| header["crit"] = json!(["exp"])),
        forged("an unencoded payload", Signing::Rs256, |header, _| {
            header["b64"] = json!(false);
            header["crit"] = json!(["b64"]);
        }),
        forged("b64 without crit", Signing::Rs256, |header, _| header["b64"] = json!(false)),
        forged("an access token's type", Signing::Rs256, |header, _| header["typ"] = json!("at+jwt")),
    ]
}

/// Tokens that the issuer signed, for another client, another time, another person or another sign-in.
fn wrong_claims(issuer: &str) -> Vec<Forgery> {
    let now = chrono::Utc::now().timestamp();
    let slash = format!("{issuer}/");
    let claim = |name: &'static str, claim: &'static str, value: Value| {
        forged(name, Signing::Rs256, move |_, claims| claims[claim] = value.clone())
    };
    let without = |name: &'static str, claim: &'static str| {
        forged(name, Signing::Rs256, move |_, claims| {
            claims.as_object_mut().map(|claims| claims.remove(claim));
        })
    };
    vec![
        claim("another issuer", "iss", json!("https://other.example")),
        claim("the issuer with a slash", "iss", json!(slash)),
        without("no issuer", "iss"),
        claim("another audience", "aud", json!("other")),
        claim("several audiences without azp", "aud", json!(["cli", "other"])),
        claim("another azp", "azp", json!("other")),
        without("no audience", "aud"),
        claim("expired", "exp", json!(now - 3600)),
        claim("expiry as text", "exp", json!((now + 300).to_string())),
        without("no expiry", "exp"),
        claim("made in an hour", "iat", json!(now + 3600)),
        without("no date", "iat"),
        claim("valid in an hour", "nbf", json!(now + 3600)),
        claim("another nonce", "nonce", json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")),
        without("no nonce", "nonce"),
        claim("another access token's hash", "at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        claim("an empty subject", "sub", json!("")),
        without("no subject", "sub"),
    ]
}

/// A person who is signed in already, so that there is something to destroy.
fn signed_in() -> (Keyring, Idp, Stage) {
    let keyring = Keyring::start();
    let mut behaviour = Behaviour::default();
    // The list has a key that no list should have; only a client that takes it is fooled by its HMAC.
    behaviour.patch("/jwks", |list| {
        if let Some(keys) = list["keys"].as_array_mut() {
            keys.push(keys::octet_jwk());
        }
    });
    let idp = Idp::start(behaviour);
    let stage = scene::stage_with_keyring(&idp, &keyring);
    scene::sign_in(&stage);
    (keyring, idp, stage)
}

/// The items without the schema, which the daemon forgets by itself when it reads its file again.
fn contents(keyring: &Keyring) -> String {
    keyring.items().lines().filter(|line| !line.starts_with("schema = ")).collect::<Vec<_>>().join("\n")
}

fn assert_refused(forgeries: Vec<Forgery>, idp: &Idp, stage: &Stage, keyring: &Keyring) {
    let (items, files) = (contents(keyring), settled(stage));
    for Forgery { name, signing, change } in forgeries {
        idp.change(|behaviour| {
            behaviour.signing = signing;
            behaviour.forge(change);
        });
        let outcome = attempt(stage, &[]);
        assert!(!matches!(outcome.code, Some(0 | 101) | None), "{name}: {outcome}");
        assert!(outcome.stderr().contains("ID token"), "{name}: {outcome}");
        assert_eq!(contents(keyring), items, "{name} changed the keychain");
        assert_eq!(settled(stage), files, "{name} changed a file");
    }
    idp.change(|behaviour| {
        behaviour.signing = Signing::Es256;
        behaviour.id_token = None;
    });
    scene::sign_in(stage);
    assert_ne!(contents(keyring), items, "the good token signs in");
    scene::assert_no_leaks(stage, idp, &[]);
}

#[test]
fn an_id_token_with_a_wrong_signature_is_refused_and_nothing_is_kept() {
    let elsewhere = SecondHost::start();
    let (keyring, idp, stage) = signed_in();
    assert_refused(wrong_signatures(&elsewhere.url("/keys")), &idp, &stage, &keyring);
    elsewhere.assert_untouched();
}

#[test]
fn an_id_token_with_wrong_claims_is_refused_and_nothing_is_kept() {
    let (keyring, idp, stage) = signed_in();
    let forgeries = wrong_claims(idp.issuer());
    assert_refused(forgeries, &idp, &stage, &keyring);
}

#[test]
fn an_id_token_that_is_none_is_refused() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let before = settled(&stage);
    for raw in ["", "x", "a.b", "a.b.c.d", "e30.e30.", "e30=.e30=.AA==", "....", "eyJhbGciOiJSUzI1NiJ9.bm90IGpzb24.AA"]
    {
        idp.change(|behaviour| behaviour.raw_id_token = Some(raw.into()));
        let outcome = attempt(&stage, &[]);
        assert!(!matches!(outcome.code, Some(0 | 101) | None), "{raw}: {outcome}");
        assert_eq!(settled(&stage), before, "{raw}");
    }
    idp.change(|behaviour| {
        behaviour.raw_id_token = None;
        behaviour.with_id_token = false;
    });
    let outcome = attempt(&stage, &[]).ends(1);
    assert!(outcome.stderr().contains("sent no ID token"), "{outcome}");
    assert_eq!(settled(&stage), before);
}

#[test]
fn the_id_token_of_the_last_sign_in_is_refused() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    let before = settled(&stage);
    let old = idp.secrets().into_iter().find(|secret| secret.starts_with("ey")).expect("an ID token");
    // The hash of the access token is checked as well; the nonce must be enough where there is none.
    idp.change(|behaviour| behaviour.raw_id_token = Some(old));
    let outcome = attempt(&stage, &[]);
    assert!(!matches!(outcome.code, Some(0 | 101) | None), "{outcome}");
    assert_eq!(settled(&stage), before);
}

#[test]
fn keys_that_were_replaced_are_fetched_and_unknown_ones_are_not_fetched_for_ever() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    idp.change(|behaviour| {
        behaviour.rotated_keys = true;
        behaviour.signing = Signing::Rotated;
    });
    scene::sign_in(&stage);
    idp.change(|behaviour| {
        behaviour.forge(|header, _| header["kid"] = json!("never-seen"));
    });
    idp.forget();
    attempt(&stage, &[]).ends(1);
    assert!(idp.requests_to("/jwks").len() <= 2, "{:?}", idp.requests());
}

#[test]
fn without_the_issuers_keys_nobody_is_signed_in() {
    use crate::idp::Fault;
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let before = settled(&stage);
    for fault in [
        Fault::HtmlError,
        Fault::Closes,
        Fault::Garbage,
        Fault::Huge(1 << 20),
        Fault::Answer(200, "application/json", "{\"keys\":[]}".into()),
        Fault::Answer(200, "application/json", "{}".into()),
        Fault::Answer(404, "text/plain", "no".into()),
    ] {
        idp.change(|behaviour| {
            behaviour.fault("/jwks", fault.clone());
        });
        let outcome = attempt(&stage, &[]);
        assert!(!matches!(outcome.code, Some(0 | 101) | None), "{fault:?}: {outcome}");
        assert_eq!(settled(&stage), before, "{fault:?}");
    }
}
