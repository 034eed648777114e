//! Signing in to the server from a command line, and what an authorization server must refuse.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::served::{Browser, LOGIN, Served, token};
use crate::stage::Stage;
use crate::wire::{self, Message};

pub const VERIFIER: &str = "a-verifier-that-is-long-enough-for-anybody-0123456789";
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// The path of an authorization, with changes.
pub fn asked(changes: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", "lanyard"),
        ("redirect_uri", REDIRECT),
        ("state", "a state & more"),
        ("scope", "credentials.read"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    format!("/authorize?{}", wire::form(&fields))
}

pub fn code(browser: &Browser) -> String {
    code_for(browser, &[])
}

/// A code, as the browser was sent on with it, for an authorization with changes.
pub fn code_for(browser: &Browser, changes: &[(&str, &str)]) -> String {
    let to = url::Url::parse(&browser.decide(&asked(changes), "allow")).unwrap();
    let fields = wire::fields(to.query().unwrap().as_bytes());
    assert_eq!(wire::field(&fields, "state"), Some("a state & more"));
    wire::field(&fields, "code").unwrap().to_owned()
}

pub fn exchange(served: &Served, code: &str, changes: &[(&str, &str)]) -> Message {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "lanyard"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        fields.push((name, value));
    }
    wire::post_form(&format!("{}/token", served.url), &fields).unwrap()
}

pub fn refresh(served: &Served, token: &str) -> Message {
    let fields = [("grant_type", "refresh_token"), ("client_id", "lanyard"), ("refresh_token", token)];
    wire::post_form(&format!("{}/token", served.url), &fields).unwrap()
}

pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn the_command_line_signs_in_renews_and_signs_out() {
    let served = Served::new(&[]);
    let stage = served.client();
    let status = stage.run(&["auth", "status", "--json"]).ends(0).json();
    assert!(status.to_string().contains(LOGIN), "{status}");
    let config = stage.config();
    assert!(config.contains("vault = true") && config.contains("client_id = \"lanyard\""), "{config}");
    let first = token(&stage);
    assert!(first.starts_with("lny_acc_"));
    assert_eq!(served.api("GET", "/userinfo", &first, "").json()["preferred_username"], LOGIN);
    stage.run(&["auth", "refresh"]).ends(0);
    let second = token(&stage);
    assert_ne!(first, second);
    let info = stage.run(&["auth", "token-info", "--json"]).ends(0).json();
    assert!(info.to_string().contains("credentials.read"), "{info}");
    stage.run(&["auth", "logout"]).ends(0);
    for token in [first, second] {
        assert_eq!(served.api("GET", "/userinfo", &token, "").status(), 401, "signed out there as well");
    }
    // The service is known now, by its address as by its name.
    served.sign_in(&stage);
    assert_eq!(stage.config().matches("[services.").count(), 1, "{}", stage.config());
}

#[test]
fn a_device_signs_in_with_a_code_that_a_person_types() {
    let served = Served::new(&[]);
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    let mut login = stage.start(&["auth", "login", "--service", &served.url, "--device", "--no-browser"]);
    let pattern = regex::Regex::new("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}").unwrap();
    let code = login.wait_for("code", |line| pattern.find(line).map(|found| found.as_str().to_owned()));
    let browser = served.browser();
    let word = browser.form("/device").into_iter().find(|(name, _)| name == "word").unwrap().1;
    assert_eq!(browser.post("/device", &[("word", &word), ("user_code", "BBBB-BBBB")]).status(), 404);
    // A link with the code in it decides nothing by itself.
    assert!(browser.get(&format!("/device?user_code={code}")).text().contains(&code));
    let typed = code.replace('-', " ").to_lowercase();
    let page = browser.post("/device", &[("word", &word), ("user_code", &typed)]);
    let mut fields = super::served::hidden(&page.text());
    fields.push(("decision".into(), "allow".into()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert!(browser.post("/device", &fields).text().contains("Go back to your terminal"));
    assert_eq!(browser.post("/device", &fields).status(), 404, "once");
    login.finish().ends(0);
    assert_eq!(served.api("GET", "/credential-configs", &token(&stage), "").status(), 200);
}

#[test]
fn an_answer_goes_only_where_it_belongs() {
    let served = Served::new(&[]);
    let browser = served.browser();
    for (changes, why) in [
        (vec![("client_id", "other")], "a client that nobody knows"),
        (vec![("client_id", "")], "no client"),
        (vec![("redirect_uri", "https://evil.example/")], "an address that is not the client's"),
        (vec![("redirect_uri", "http://127.0.0.1:9@evil.example/")], "an address in disguise"),
        (vec![("redirect_uri", "")], "no address"),
    ] {
        let page = browser.get(&asked(&changes));
        assert_eq!((page.status(), page.header("location")), (400, None), "{why}");
    }
    for (changes, error) in [
        (vec![("response_type", "token")], "unsupported_response_type"),
        (vec![("code_challenge", "")], "invalid_request"),
        (vec![("code_challenge_method", "plain")], "invalid_request"),
        (vec![("code_challenge_method", "")], "invalid_request"),
        (vec![("scope", "everything")], "invalid_scope"),
    ] {
        let page = browser.get(&asked(&changes));
        let to = page.header("location").unwrap_or_default();
        assert!(page.status() == 303 && to.starts_with(REDIRECT), "{changes:?}: {to}");
        assert!(to.contains(&format!("error={error}")) && to.contains("iss=") && to.contains("state="), "{to}");
    }
    let twice = format!("{}&client_id=lanyard", asked(&[]));
    assert_eq!(browser.get(&twice).status(), 400, "a parameter that is given twice");
    assert!(browser.decide(&asked(&[]), "deny").contains("error=access_denied"));
    // Nobody is asked before they are signed in, and nobody decides with the word of another session.
    let stranger = Browser::new(&served.url);
    assert!(stranger.get(&asked(&[])).header("location").unwrap().starts_with("/sign-in?next=%2Fauthorize"));
    let mut fields = browser.form(&asked(&[]));
    fields.push(("decision".into(), "allow".into()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(stranger.post("/authorize", &fields).status(), 403);
    assert_eq!(served.browser().post("/authorize", &fields).status(), 403);
    let foreign: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, if *name == "organization" { "org_other" } else { *value }))
        .collect();
    assert_eq!(browser.post("/authorize", &foreign).status(), 403);
    let policy = browser.get(&asked(&[]));
    assert!(policy.header("content-security-policy").unwrap().contains("form-action 'self' http://127.0.0.1:9"));
}

#[test]
fn a_code_is_good_once_and_for_whom_it_was_given() {
    let served = Served::new(&[]);
    let browser = served.browser();
    for changes in [
        vec![("code_verifier", "another-verifier-that-is-long-enough-for-anybody")],
        vec![("redirect_uri", "http://127.0.0.1:9/other")],
    ] {
        let refused = exchange(&served, &code(&browser), &changes);
        assert_eq!((refused.status(), text(&refused.json(), "error")), (400, "invalid_grant"), "{changes:?}");
    }
    let refused = exchange(&served, "lny_code_x", &[]);
    assert_eq!(text(&refused.json(), "error"), "invalid_grant");
    let unknown = exchange(&served, &code(&browser), &[("client_id", "other")]);
    assert_eq!((unknown.status(), text(&unknown.json(), "error")), (401, "invalid_client"));
    let code = code(&browser);
    let given = exchange(&served, &code, &[]);
    assert_eq!((given.status(), given.header("cache-control")), (200, Some("no-store")));
    let given = given.json();
    assert_eq!((text(&given, "scope"), text(&given, "token_type")), ("credentials.read", "Bearer"));
    let access = text(&given, "access_token").to_owned();
    assert_eq!(served.api("GET", "/credential-configs", &access, "").status(), 200);
    assert_eq!(served.api("POST", "/credential-configs", &access, "{}").status(), 403, "no more than was asked for");
    // Whoever comes with it once more has it from somewhere: what it gave ends.
    assert_eq!(exchange(&served, &code, &[]).status(), 400);
    assert_eq!(served.api("GET", "/credential-configs", &access, "").status(), 401);
    assert_eq!(refresh(&served, text(&given, "refresh_token")).status(), 400);
}

#[test]
fn a_refresh_token_that_comes_back_ends_the_sign_in() {
    let served = Served::new(&[]);
    let first = exchange(&served, &code(&served.browser()), &[]).json();
    let second = refresh(&served, text(&first, "refresh_token")).json();
    let third = refresh(&served, text(&second, "refresh_token")).json();
    assert_eq!(served.api("GET", "/credential-configs", text(&third, "access_token"), "").status(), 200);
    let stolen = refresh(&served, text(&first, "refresh_token"));
    assert_eq!((stolen.status(), text(&stolen.json(), "error")), (400, "invalid_grant"));
    for dead in [text(&third, "access_token"), text(&second, "access_token")] {
        assert_eq!(served.api("GET", "/credential-configs", dead, "").status(), 401);
    }
    assert_eq!(refresh(&served, text(&third, "refresh_token")).status(), 400);
    // A token is not good for what another kind is for.
    let other = exchange(&served, &code(&served.browser()), &[]).json();
    assert_eq!(served.api("GET", "/userinfo", text(&other, "refresh_token"), "").status(), 401);
    assert_eq!(refresh(&served, text(&other, "access_token")).status(), 400);
}

#[test]
fn tokens_are_looked_up_and_taken_back() {
    let served = Served::new(&[]);
    let given = exchange(&served, &code(&served.browser()), &[]).json();
    let access = text(&given, "access_token");
    let told = |token: &str, client: &str| {
        let fields = [("token", token), ("client_id", client)];
        wire::post_form(&format!("{}/introspect", served.url), &fields).unwrap()
    };
    let known = told(access, "lanyard").json();
    assert_eq!((known["active"].as_bool(), text(&known, "username")), (Some(true), LOGIN));
    assert_eq!(told("lny_acc_x", "lanyard").text(), "{\"active\":false}");
    assert_eq!(told(access, "other").status(), 401);
    for token in ["nonsense", access, access] {
        let revoked = wire::post_form(&format!("{}/revoke", served.url), &[("token", token)]).unwrap();
        assert_eq!((revoked.status(), revoked.text().as_str()), (200, ""));
    }
    assert_eq!(told(access, "lanyard").text(), "{\"active\":false}");
    assert_eq!(served.api("GET", "/userinfo", access, "").status(), 401);
    assert_eq!(refresh(&served, text(&given, "refresh_token")).status(), 200, "the sign-in itself goes on");
}
