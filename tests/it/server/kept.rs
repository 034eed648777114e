//! What the server keeps of passphrases, tokens and names: a hash is renewed and lets nobody in, and a text is a text
//! whatever stands in it.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::load::key;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, token};

fn kept(served: &Served) -> String {
    served.sql(&format!("SELECT passphrase FROM people WHERE login = '{LOGIN}'")).trim().to_owned()
}

#[test]
fn a_hash_that_was_made_with_less_is_made_anew_by_whoever_signs_in() {
    let served = Served::new(&[]);
    let newest = kept(&served).rsplit_once("p=1$").unwrap().0.to_owned();
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 2, 1, Some(32)).unwrap());
    let mut made = [0; 32];
    argon.hash_password_into(PASSPHRASE.as_bytes(), b"salt of 16 bytes", &mut made).unwrap();
    let [salt, made] = [&b"salt of 16 bytes"[..], &made].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    let old = format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${made}");
    served.sql(&format!("UPDATE people SET passphrase = '{old}' WHERE login = '{LOGIN}'"));
    let status = |passphrase: &str| Browser::new(&served.url).sign_in(LOGIN, passphrase).status();
    assert_eq!((status("another passphrase"), kept(&served)), (403, old.clone()), "not by whoever guesses");
    assert_eq!((status(&old), kept(&served)), (403, old.clone()), "nor by the hash itself");
    assert_eq!(status(PASSPHRASE), 303);
    let renewed = kept(&served);
    assert!(renewed.starts_with(&newest) && renewed != old, "{renewed}");
    assert_eq!((status(PASSPHRASE), kept(&served)), (303, renewed.clone()), "once");
    for guess in [&renewed, &old] {
        assert_eq!(status(guess), 403);
    }
}

#[test]
fn what_is_kept_of_a_token_is_no_token() {
    let served = Served::new(&[]);
    let good = key(&served);
    assert_eq!(served.api("GET", "/userinfo", &good, "").status(), 200);
    let parts: Vec<&str> = good.split('_').collect();
    let hex = if served.data().join("server.db").exists() { "hex(hash)" } else { "encode(hash, 'hex')" };
    let hash = served.sql(&format!("SELECT {hex} FROM tokens WHERE id = '{}'", parts[2])).trim().to_lowercase();
    assert_eq!(hash.len(), 64);
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap()).collect();
    // As long as a secret is, and with a sum that is right.
    let in_base64 = STANDARD_NO_PAD.encode(bytes).replace(['+', '/'], "0");
    for secret in [in_base64.as_str(), &hash[..43], &hash[21..]] {
        assert_eq!(secret.len(), parts[3].len());
        let body = [parts[0], parts[1], parts[2], secret].join("_");
        let pasted = format!("{body}_{}", sum(&body));
        assert_eq!(served.api("GET", "/userinfo", &pasted, "").status(), 401);
    }
    for pasted in [&hash, &in_base64] {
        assert_eq!(served.api("GET", "/userinfo", pasted, "").status(), 401);
    }
    let body = good.rsplit_once('_').unwrap().0;
    assert_eq!(format!("{body}_{}", sum(body)), good, "the sum is the server's");
}

/// The sum at the end of a token.
fn sum(body: &str) -> String {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = crc32fast::hash(body.as_bytes());
    let mut letters = [b'0'; 6];
    for letter in letters.iter_mut().rev() {
        *letter = LETTERS[(rest % 62) as usize];
        rest /= 62;
    }
    String::from_utf8(letters.to_vec()).unwrap()
}

#[test]
fn the_link_that_makes_the_first_owner_is_written_to_no_pipe() {
    let mut served = Served::fresh(&[]);
    let link = served.link();
    let file = served.data().join("setup-link");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let secret = link.rsplit(['=', '_']).next().unwrap().to_owned();
    let token = link.split("token=").nth(1).unwrap().to_owned();
    let ended = served.ended("TERM");
    let told = [ended.stdout(), ended.stderr()].concat();
    assert!(told.contains("Serving"), "{told}");
    for part in [link.as_str(), &token, &secret] {
        assert!(part.len() > 5 && !told.contains(part), "{told}");
    }
}

/// What somebody may write who means harm, or has a strange name.
pub fn texts() -> Vec<String> {
    let mut all: Vec<String> = [
        "a'b",
        "';--",
        "'; DROP TABLE people;--",
        "$$x$$",
        "$1",
        "a\"b",
        "a\\b",
        "%_",
        "a\u{0}b",
        "\u{0}",
        "{}",
        "NULL",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend(["x".repeat(65), "é".repeat(80), "x".repeat(5000), "\u{202e}a".to_owned(), "\u{10ffff}".to_owned()]);
    all
}

#[test]
fn no_text_in_any_field_of_what_is_made_has_the_server_fail() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let bodies: Vec<(&str, Value)> = vec![
        ("/projects", json!({ "name": "web" })),
        ("/credential-configs", json!({ "name": "n", "kind": "generic_env", "project": "web", "data": { "A": "1" } })),
        (
            "/credential-configs",
            json!({ "name": "f", "kind": "file", "fields": { "file_name": "a", "variable": "A" }, "data": { "content": "YQ==" } }),
        ),
        (
            "/api/v1/credentials",
            json!({ "name": "short", "provider": "password", "service": "s", "username": "u", "password": "p" }),
        ),
        ("/workspaces", json!({ "name": "w" })),
        ("/registries", json!({ "name": "r", "kind": "helm-http", "url": "https://charts.example.com" })),
        ("/api-keys", json!({ "name": "k", "permissions": ["credentials.read"] })),
        ("/invitations", json!({ "role": "member", "for": "bob", "note": "n" })),
        (
            "/trust-rules",
            json!({ "name": "t", "issuer": "https://issuer.example", "subject": "repo:a/b:*", "lifetime": 600,
                    "claims": { "ref": "main" }, "permissions": ["credentials.read"] }),
        ),
        (
            "/upstreams",
            json!({ "name": "u", "issuer": "https://issuer.example", "client_id": "c", "client_secret": "s",
                    "scopes": "openid", "domains": ["corp.example"], "claim": "groups", "roles": { "ops": "member" } }),
        ),
        ("/oauth-clients", json!({ "name": "p", "redirect_uris": ["https://app.example.com/callback"] })),
        ("/organizations", json!({ "name": "o" })),
    ];
    let mut refused = 0;
    for (path, base) in &bodies {
        let good = served.api("POST", path, &bearer, &base.to_string());
        assert_eq!(good.status(), 201, "{path}: {}", good.text());
        for text in texts() {
            for changed in with_text(base, &text) {
                let answer = served.api("POST", path, &bearer, &changed.to_string());
                assert!(answer.status() < 500, "{path} {changed}: {} {}", answer.status(), answer.text());
                assert!(!answer.text().to_lowercase().contains("syntax"), "{}", answer.text());
                refused += usize::from(answer.status() == 422);
            }
            // One that is named in an address as well.
            let name: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let found = served.api("GET", &format!("{path}?name={name}&limit=1"), &bearer, "");
            assert!(found.status() < 500, "{path} {text:?}: {}", found.text());
        }
    }
    assert!(refused > 50, "{refused}");
    for text in texts() {
        let mut browser = Browser::new(&served.url);
        assert!(browser.sign_in(&text, PASSPHRASE).status() < 500, "{text:?}");
        assert!(browser.sign_in(LOGIN, &text).status() < 500, "{text:?}");
    }
    assert_eq!(served.sql("SELECT COUNT(*) FROM people").trim(), "1");
    assert_eq!(served.api("GET", "/audit/verify", &bearer, "").json()["valid"], true);
}

/// A body with a text in the place of each of its texts, one at a time, and of each name of an open part.
pub fn with_text(body: &Value, text: &str) -> Vec<Value> {
    let mut all = Vec::new();
    match body {
        Value::String(_) => all.push(json!(text)),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                all.extend(with_text(item, text).into_iter().map(|changed| {
                    let mut items = items.clone();
                    items[at] = changed;
                    Value::Array(items)
                }));
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                all.extend(with_text(member, text).into_iter().map(|changed| {
                    let mut members = members.clone();
                    members.insert(name.clone(), changed);
                    Value::Object(members)
                }));
            }
            let mut more = members.clone();
            more.insert(text.to_owned(), json!("x"));
            all.push(Value::Object(more));
        }
        _ => {}
    }
    all
}
