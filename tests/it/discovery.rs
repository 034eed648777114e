//! Issuers that lie, fail or point elsewhere: the sign-in stops, and no other host hears of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::idp::{Behaviour, Fault, Idp};
use crate::scene::{self, attempt, settled};
use crate::second_host::SecondHost;
use crate::stage::{Outcome, Stage};
use crate::wire;

const METADATA: &str = "/.well-known/openid-configuration";
const RFC8414: &str = "/.well-known/oauth-authorization-server";

/// Changes the metadata wherever they are asked for.
fn publish(behaviour: &mut Behaviour, change: impl Fn(&mut Value) + Clone + Send + Sync + 'static) {
    behaviour.patch(METADATA, change.clone());
    behaviour.patch(RFC8414, change);
}

/// A sign-in that must not succeed, and must leave everything as it was.
#[track_caller]
fn refused(stage: &Stage, what: &str) -> Outcome {
    let (before, started) = (settled(stage), Instant::now());
    let outcome = attempt(stage, &[]);
    assert!(!matches!(outcome.code, Some(0 | 101) | None), "{what}: {outcome}");
    assert!(outcome.stderr().contains("error: "), "{what}: {outcome}");
    assert!(started.elapsed() < Duration::from_secs(15), "{what} took {:?}", started.elapsed());
    assert_eq!(settled(stage), before, "{what} left something");
    outcome
}

#[test]
fn an_issuer_that_only_takes_passwords_gets_none() {
    let idp = Idp::honest();
    idp.change(|behaviour| {
        publish(behaviour, |metadata| metadata["grant_types_supported"] = json!(["password", "implicit"]));
    });
    let stage = scene::stage_for(&idp);
    let outcome = refused(&stage, "password only");
    assert!(outcome.stderr().contains("offers no browser sign-in"), "{outcome}");
    let outcome = attempt(&stage, &["--device"]).ends(1);
    assert!(outcome.stderr().contains("offers no sign-in by device code"), "{outcome}");
    assert!(idp.requests_to("/token").is_empty());
}

#[test]
fn a_challenge_is_always_hashed_and_never_the_same() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let mut running = scene::begin(&stage, &[]);
        let url = running.url();
        let fields = wire::fields(url.split_once('?').expect("a query").1.as_bytes());
        assert_eq!(wire::field(&fields, "code_challenge_method"), Some("S256"));
        // The port of an attempt that has ended is free, and the system may give it again: the path to it is no secret.
        let redirect = wire::field(&fields, "redirect_uri").expect("a redirect");
        assert!(redirect.starts_with("http://127.0.0.1:"), "{redirect}");
        for name in ["code_challenge", "state", "nonce"] {
            let value = wire::field(&fields, name).expect(name);
            assert_eq!(value.len(), 43, "{name}={value}");
            assert!(seen.insert(value.to_owned()), "{name} came twice");
        }
        running.signal("INT");
        running.finish().ends(130);
    }
    assert!(idp.requests_to("/token").is_empty());

    idp.change(|behaviour| {
        publish(behaviour, |metadata| metadata["code_challenge_methods_supported"] = json!(["plain"]));
    });
    let outcome = refused(&stage, "plain challenges");
    assert!(outcome.stderr().contains("S256"), "{outcome}");
    assert!(idp.requests_to("/token").is_empty());
}

#[test]
fn metadata_of_another_issuer_or_with_unsafe_addresses_are_refused() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let issuer = idp.issuer().to_owned();
    let far = "http://id.example/token";
    let cases: Vec<(&str, &'static str, Value)> = vec![
        ("another issuer", "issuer", json!("https://other.example")),
        ("the issuer with a slash", "issuer", json!(format!("{issuer}/"))),
        ("an issuer in capitals", "issuer", json!(issuer.to_uppercase())),
        ("no text as issuer", "issuer", json!(["a", "b"])),
        ("http to another host", "token_endpoint", json!(far)),
        ("http to another host", "authorization_endpoint", json!(far)),
        ("http to another host", "jwks_uri", json!(far)),
        ("http to another host", "userinfo_endpoint", json!(far)),
        ("http to another host", "revocation_endpoint", json!(far)),
        ("a file", "authorization_endpoint", json!("file:///etc/passwd")),
        ("a user", "token_endpoint", json!("https://user@id.example/token")),
        ("a backslash", "token_endpoint", json!("https:\\\\id.example/token")),
        ("no host", "token_endpoint", json!("https:///token")),
        ("a number", "token_endpoint", json!(7)),
    ];
    for (what, field, value) in cases {
        let shown = value.clone();
        idp.change(|behaviour| publish(behaviour, move |metadata| metadata[field] = value.clone()));
        refused(&stage, &format!("{what} in {field}: {shown}"));
    }
    assert!(idp.requests_to("/token").is_empty());
    elsewhere.assert_untouched();
}

#[test]
fn a_redirected_metadata_request_never_reaches_the_other_host() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for status in [301, 302, 303, 307, 308] {
        idp.change(|behaviour| {
            behaviour.fault(METADATA, Fault::Redirect(status, elsewhere.url(METADATA)));
        });
        let outcome = refused(&stage, &status.to_string());
        assert!(outcome.stderr().contains("unexpected redirect"), "{outcome}");
    }
    idp.change(|behaviour| {
        behaviour.fault(METADATA, Fault::Redirect(302, METADATA.into()));
    });
    refused(&stage, "a redirect to itself");
    elsewhere.assert_untouched();
}

#[test]
fn a_sick_metadata_endpoint_ends_the_sign_in_soon() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for fault in [
        Fault::Huge(10 << 20),
        Fault::Garbage,
        Fault::HtmlError,
        Fault::Closes,
        Fault::Answer(200, "text/html", "<!doctype html><title>Welcome</title>".into()),
        Fault::Answer(200, "application/json", "{\"issuer\":".into()),
        Fault::Answer(200, "application/json", "[".repeat(100_000)),
        Fault::Answer(204, "application/json", String::new()),
    ] {
        idp.change(|behaviour| {
            behaviour.fault(METADATA, fault.clone());
            behaviour.fault(RFC8414, fault.clone());
        });
        let outcome = refused(&stage, &format!("{fault:.60?}"));
        assert!(outcome.stderr.iter().all(|byte| *byte == b'\n' || (0x20..0x7f).contains(byte) || *byte > 0x9f));
    }
}

#[test]
fn a_silent_or_dripping_issuer_is_given_up_within_15_seconds() {
    // Side by side: each waits for the whole time limit.
    std::thread::scope(|scope| {
        for (path, fault) in
            [(METADATA, Fault::Silence), (METADATA, Fault::Drip), ("/token", Fault::Silence), ("/jwks", Fault::Drip)]
        {
            scope.spawn(move || {
                let idp = Idp::honest();
                idp.change(|behaviour| {
                    behaviour.fault(path, fault);
                });
                let outcome = refused(&scene::stage_for(&idp), path).ends(6);
                assert!(outcome.stderr().contains("did not answer within 10 s"), "{path}: {outcome}");
            });
        }
    });
}

#[test]
fn a_code_of_one_issuer_is_not_taken_to_another() {
    let honest = Idp::honest();
    let hostile = Idp::start_on("127.0.0.2", Behaviour::default());
    let authorization = honest.url("/authorize");
    hostile.change(|behaviour| {
        publish(behaviour, move |metadata| metadata["authorization_endpoint"] = json!(authorization));
    });
    let stage = scene::stage_for(&hostile);
    let outcome = refused(&stage, "a mixed-up issuer");
    assert!(outcome.stderr().contains("another issuer"), "{outcome}");
    assert!(hostile.requests_to("/token").is_empty(), "the code went to the hostile issuer");
}

#[test]
fn an_answer_must_name_its_issuer_exactly_if_the_issuer_says_so() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let issuer = idp.issuer().to_owned();
    let with = |value: Option<String>| {
        move |fields: &mut Vec<(String, String)>| {
            fields.retain(|(name, _)| name != "iss");
            fields.extend(value.clone().map(|value| ("iss".to_owned(), value)));
        }
    };
    for wrong in [None, Some(format!("{issuer}/")), Some("https://other.example".into()), Some(String::new())] {
        let what = format!("iss = {wrong:?}");
        idp.change(|behaviour| {
            behaviour.bend(with(wrong));
        });
        refused(&stage, &what);
    }
    // An error is held to the same rule.
    idp.change(|behaviour| behaviour.refusal = Some(("access_denied".into(), "no".into())));
    let outcome = refused(&stage, "an error without iss");
    assert!(!outcome.stderr().contains("denied"), "{outcome}");

    // A server that did not announce the parameter does not send it, unless the user says that it does.
    idp.change(|behaviour| {
        behaviour.refusal = None;
        behaviour.announces_iss = false;
        behaviour.bend(with(Some(issuer.clone())));
    });
    refused(&stage, "an unannounced iss");
    assert!(idp.requests_to("/token").is_empty());
    let allowed = stage.config().replace("client_id =", "accept_unannounced_iss = true\nclient_id =");
    stage.write_config(&allowed);
    attempt(&stage, &[]).ends(0);
    idp.change(|behaviour| {
        behaviour.bend(with(None));
    });
    attempt(&stage, &[]).ends(0);
}

#[test]
fn a_redirected_token_request_never_reaches_the_other_host() {
    let elsewhere = SecondHost::start();
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for status in [307, 308, 302, 301, 303] {
        idp.change(|behaviour| {
            behaviour.fault("/token", Fault::Redirect(status, elsewhere.url("/token")));
        });
        let outcome = refused(&stage, &status.to_string());
        assert!(outcome.stderr().contains("unexpected redirect"), "{outcome}");
        let device = attempt(&stage, &["--device"]).ends(6);
        assert!(device.stderr().contains("unexpected redirect"), "{device}");
    }
    // A redirect within the origin would carry the code as well.
    idp.change(|behaviour| {
        behaviour.fault("/token", Fault::Redirect(307, "/v1/collect".into()));
    });
    refused(&stage, "a redirect within the origin");
    assert!(idp.requests_to("/v1/collect").is_empty());
    elsewhere.assert_untouched();
    let codes = idp.secrets();
    for seen in idp.requests() {
        assert!(!codes.iter().any(|code| seen.path.contains(code) || seen.query.contains(code)), "{seen:?}");
    }
}

#[test]
fn a_token_answer_that_breaks_the_rules_is_refused_without_being_quoted() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let cases: Vec<(&str, Value)> = vec![
        ("access_token", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa\r\nHost: evil")),
        ("access_token", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa\u{0}")),
        ("access_token", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa b")),
        ("access_token", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa\u{e9}")),
        ("access_token", json!({ "a": "LNYCANARYaaaaaaaaaaaaaaaaaaaa" })),
        ("access_token", json!(["LNYCANARYaaaaaaaaaaaaaaaaaaaa"])),
        ("access_token", json!(7)),
        ("access_token", json!("")),
        ("access_token", json!("a".repeat((64 << 10) + 1))),
        ("refresh_token", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa\n")),
        ("token_type", json!("mac")),
        ("token_type", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa")),
        ("expires_in", json!(-1)),
        ("expires_in", json!(1e12)),
        ("expires_in", json!("LNYCANARYaaaaaaaaaaaaaaaaaaaa")),
    ];
    let canary = crate::canary::Canary::of("LNYCANARYaaaaaaaaaaaaaaaaaaaa");
    for (field, value) in cases {
        let what = format!("{field} = {value:.40}");
        idp.change(|behaviour| {
            behaviour.patch("/token", move |answer| answer[field] = value.clone());
        });
        refused(&stage, &what);
    }
    for text in [
        "{\"access_token\":\"LNYCANARYaaaaaaaaaaaaaaaaaaaa\",\"expires_in\":1e400,\"token_type\":\"Bearer\"}",
        "[\"LNYCANARYaaaaaaaaaaaaaaaaaaaa\"]",
        "LNYCANARYaaaaaaaaaaaaaaaaaaaa",
        "",
    ] {
        idp.change(|behaviour| {
            behaviour.patches.clear();
            behaviour.fault("/token", Fault::Answer(200, "application/json", text.into()));
        });
        refused(&stage, text);
    }
    let mut sweep = crate::canary::Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    for seen in idp.requests() {
        sweep.bytes("a request", &seen.bytes());
    }
    sweep.assert_clean();

    // What is unusual and allowed: a number as text, no expiry, another spelling of Bearer, wider scopes.
    idp.change(|behaviour| {
        behaviour.faults.clear();
        behaviour.granted_scope = Some("openid email offline_access api:write".into());
        behaviour.patch("/token", |answer| {
            answer["expires_in"] = json!("3600");
            answer["token_type"] = json!("bEARER");
        });
    });
    let outcome = attempt(&stage, &[]).ends(0);
    assert!(outcome.stderr().contains("not asked for: api:write"), "{outcome}");
    assert!(stage.run(&["auth", "status", "--json"]).ends(0).json()["scopes"].to_string().contains("api:write"));
    idp.change(|behaviour| {
        behaviour.patch("/token", |answer| {
            answer.as_object_mut().map(|fields| fields.remove("expires_in"));
        });
    });
    attempt(&stage, &[]).ends(0);
    assert_eq!(stage.run(&["auth", "status", "--json"]).ends(0).json()["expires_at"], Value::Null);
}

#[test]
fn a_sick_token_endpoint_ends_the_sign_in_and_keeps_nothing() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for fault in [Fault::Huge(10 << 20), Fault::Garbage, Fault::HtmlError, Fault::Closes, Fault::LosesAnswer] {
        idp.change(|behaviour| {
            behaviour.fault("/token", fault.clone());
        });
        refused(&stage, &format!("{fault:?}")).ends(6);
    }
}
