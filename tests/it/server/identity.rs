//! ID tokens, and the second factor of people.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::grants::{code_for, exchange, text};
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden};
use crate::idp::keys::half_hash;
use crate::wire::{self, Message};

/// The claims of a token, and its key's identifier, without a check.
pub fn parts(token: &str) -> (Value, String) {
    use base64::Engine;
    let part = |at: usize| -> Value {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(1), part(0)["kid"].as_str().unwrap().to_owned())
}

fn key_ids(served: &Served) -> Vec<String> {
    let set = wire::get(&format!("{}/.well-known/jwks.json", served.url)).unwrap().json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_id_token_tells_who_signed_in_to_whom_asked() {
    let served = Served::new(&[]);
    let told = wire::get(&format!("{}/.well-known/openid-configuration", served.url)).unwrap().json();
    assert_eq!(
        (text(&told, "issuer"), told["id_token_signing_alg_values_supported"][0].as_str()),
        (served.url.as_str(), Some("ES256"))
    );
    assert_eq!(text(&told, "jwks_uri"), format!("{}/.well-known/jwks.json", served.url));
    let browser = served.browser();
    let changes = [("scope", "openid credentials.read"), ("nonce", "a nonce & more")];
    let given = exchange(&served, &code_for(&browser, &changes), &[]).json();
    assert_eq!(text(&given, "scope"), "openid credentials.read");
    let (claims, kid) = parts(text(&given, "id_token"));
    assert_eq!(
        (text(&claims, "iss"), text(&claims, "aud"), text(&claims, "nonce")),
        (served.url.as_str(), "lanyard", "a nonce & more")
    );
    assert_eq!(text(&claims, "preferred_username"), LOGIN);
    assert_eq!(text(&claims, "at_hash"), half_hash(text(&given, "access_token")));
    let me = served.api("GET", "/userinfo", text(&given, "access_token"), "").json();
    assert_eq!(me["sub"], claims["sub"]);
    let (issued, signed_in) = (claims["iat"].as_i64().unwrap(), claims["auth_time"].as_i64().unwrap());
    assert!(signed_in <= issued && issued - signed_in < 60 && claims["exp"].as_i64().unwrap() - issued == 900);
    assert_eq!(key_ids(&served), [kid]);
    let without = exchange(&served, &code_for(&browser, &[]), &[]).json();
    assert!(without.get("id_token").is_none(), "nobody asked for one");
}

#[test]
fn the_command_line_checks_the_id_token_and_a_new_key_takes_over() {
    let served = Served::new(&[]);
    let stage = served.client();
    let kept =
        stage.files().into_values().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect::<String>();
    assert!(kept.contains("id_token"), "it is kept with the session");
    let first = key_ids(&served);
    // The key has signed for long enough.
    served.sql("UPDATE signing_keys SET created = created - 7862400000");
    served.sign_in(&stage);
    let both = key_ids(&served);
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "the old one is there while its tokens live");
}

/// The code that an app shows now, or some steps of half a minute later.
pub fn app(key: &str, later: u64) -> String {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut secret) = (0_u32, 0, Vec::new());
    for letter in key.chars().filter(|letter| !letter.is_whitespace()) {
        bits = (bits << 5) | u32::try_from(letters.find(letter).unwrap()).unwrap();
        count += 5;
        if count >= 8 {
            count -= 8;
            secret.push(u8::try_from((bits >> count) & 255).unwrap());
            bits &= (1 << count) - 1;
        }
    }
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let step = seconds / 30 + later;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret), &step.to_be_bytes());
    let at = usize::from(tag.as_ref()[19] & 15);
    let number = u32::from_be_bytes(tag.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).unwrap().0
}

pub fn step(browser: &Browser, step: &str, code: &str) -> Message {
    let word = browser.form("/second-factor").into_iter().find(|(name, _)| name == "word").unwrap().1;
    browser.post("/second-factor", &[("word", &word), ("step", step), ("code", code)])
}

/// Sets one up; its key and the recovery codes.
pub fn set_up(browser: &Browser) -> (String, Vec<String>) {
    let begun = step(browser, "begin", "").text();
    assert!(begun.contains("<svg ") && !begun.contains("style="), "{begun}");
    let key = between(&begun, "<code>", "</code>").to_owned();
    let wrong = step(browser, "confirm", "000000");
    assert_eq!(wrong.status(), 403);
    assert_eq!(between(&wrong.text(), "<code>", "</code>"), key, "the same key is shown again");
    let done = step(browser, "confirm", &app(&key, 0)).text();
    let codes: Vec<String> =
        done.split("<li><code>").skip(1).map(|part| part.split('<').next().unwrap().into()).collect();
    assert_eq!(codes.len(), 10, "{done}");
    (key, codes)
}

#[test]
fn a_second_factor_is_asked_for_and_a_code_is_good_once() {
    let served = Served::new(&[]);
    let owner = served.browser();
    let (key, codes) = set_up(&owner);
    let mut browser = Browser::new(&served.url);
    let half = |browser: &mut Browser| {
        let asked = browser.sign_in(LOGIN, PASSPHRASE);
        assert_eq!((asked.status(), asked.header("set-cookie")), (200, None), "nobody is in yet");
        hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1
    };
    let first = half(&mut browser);
    let send =
        |half: &str, code: &str| Browser::new(&served.url).post("/sign-in/code", &[("half", half), ("code", code)]);
    let code = app(&key, 1);
    let spaced = format!(" {} {} ", &code[..3], &code[3..]);
    let done = send(&first, &spaced);
    assert_eq!(done.status(), 303, "{}", done.text());
    let cookie = done.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = wire::send("GET", &format!("{}/", served.url), &[&format!("Cookie: {cookie}")], "").unwrap();
    assert!(page.text().contains(LOGIN));
    assert_eq!(send(&first, &codes[0]).status(), 403, "the page is good once");
    let second = half(&mut browser);
    for again in [&code, &spaced, "000000", "", "lny_half_x"] {
        let refused = send(&second, again);
        assert_eq!((refused.status(), refused.header("set-cookie")), (403, None), "{again}");
    }
    assert_eq!(send("lny_half_x", &codes[1]).status(), 403);
    // What a page of the passphrase alone gave opens nothing else.
    assert_eq!(served.api("GET", "/userinfo", &second, "").status(), 401);
}

#[test]
fn a_recovery_code_lets_in_once_and_guessing_is_slow() {
    let served = Served::new(&[]);
    let owner = served.browser();
    let (_, codes) = set_up(&owner);
    let half = || {
        let asked = Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE);
        hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1
    };
    let send =
        |half: &str, code: &str| Browser::new(&served.url).post("/sign-in/code", &[("half", half), ("code", code)]);
    let same = half();
    // Of those who come with one code at once, one gets in.
    let entered = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| send(&half(), &codes[0].to_lowercase()).status())).collect();
        tries.into_iter().filter(|_| true).map(|tried| tried.join().unwrap()).filter(|status| *status == 303).count()
    });
    assert_eq!(entered, 1);
    let statuses: Vec<u16> = (0..8).map(|_| send(&same, "123456").status()).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    let entries = served.entries();
    for action in ["second-factor.add", "second-factor"] {
        assert!(entries.iter().any(|entry| entry["action"] == action), "{action}");
    }
    assert!(entries.iter().any(|entry| entry["action"] == "sign-in" && entry["detail"] == "second factor"));
}

/// Sets a second factor up, signs in with it, and takes it away.
pub fn has_a_second_factor(served: &Served) {
    let (_, codes) = set_up(&served.browser());
    let asked = Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE);
    let half = hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1;
    let mut browser = Browser::new(&served.url);
    assert_eq!(browser.post("/sign-in/code", &[("half", &half), ("code", "000000")]).status(), 403);
    browser.enter(&half, &codes[0]);
    assert_eq!(step(&browser, "remove", &codes[0]).status(), 403, "once");
    assert_eq!(step(&browser, "remove", &codes[1]).status(), 200);
}

#[test]
fn a_second_factor_is_taken_away_with_itself_alone() {
    let served = Served::new(&[]);
    let owner = served.browser();
    let (_, codes) = set_up(&owner);
    assert_eq!(step(&owner, "remove", "000000").status(), 403);
    assert!(step(&owner, "begin", "").text().contains("is in force"), "it is not replaced");
    assert_eq!(Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE).status(), 200);
    assert_eq!(step(&owner, "remove", &codes[9]).status(), 200);
    assert_eq!(Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE).status(), 303);
    let stranger = Browser::new(&served.url);
    assert_eq!(stranger.get("/second-factor").header("location"), Some("/sign-in?next=%2Fsecond-factor"));
    let elsewhere = [("word", "x"), ("step", "begin")];
    for (browser, expected) in [(&owner, 403), (&stranger, 303)] {
        let sent = browser.post_with("/second-factor", &elsewhere, &["Origin: https://evil.example"]);
        assert_eq!(sent.status(), expected, "{}", sent.text());
    }
    let sent = stranger.post("/second-factor", &elsewhere);
    assert_eq!((sent.status(), sent.header("location")), (303, Some("/sign-in?next=%2F")));
}
