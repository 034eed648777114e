//! Texts of whoever means harm, or has a strange name, wherever one can be put: in what is changed, in every part of an address
//! that the API tells of, and in the forms of the browser. Each is a text and nothing else, in whichever database.

use serde_json::{Value, json};

use super::devices::Device;
use super::kept::{texts, with_text};
use super::organizations::ACME;
use super::portal::Portal;
use super::served::{PASSPHRASE, Served, hidden, token};
use crate::wire::{self, Message};

/// Not a word of how anything is asked of the database.
fn is_no_failure(answer: &Message, what: &str) {
    assert!((200..500).contains(&answer.status()), "{what}: {} {}", answer.status(), answer.text());
    // What the request is called is letters and figures by chance.
    let text = answer.text();
    let number = answer.header("x-request-id").unwrap_or_default();
    let text = text.replace(number, "").to_lowercase();
    for word in ["syntax error", "sqlite", "postgres", "unterminated", "0x00"] {
        assert!(!text.contains(word), "{what}: {text}");
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// How much there is of everything.
fn counts(served: &Served) -> String {
    let tables = [
        "people",
        "organizations",
        "members",
        "credentials",
        "projects",
        "workspaces",
        "registries",
        "trust_rules",
        "oauth_clients",
    ];
    served.sql(&tables.map(|table| format!("SELECT COUNT(*) FROM {table};")).concat())
}

/// Makes one of each; their addresses, with what is changed of them.
fn things(served: &Served, bearer: &str) -> Vec<(&'static str, String, Value)> {
    let make = |path: &str, body: &Value| {
        let made = served.api("POST", path, bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{path}: {}", made.text());
        format!("{path}/{}", made.json()["id"].as_str().unwrap())
    };
    let project = make("/projects", &json!({ "name": "web" }));
    let env = json!({ "name": "n", "kind": "generic_env", "project": "web", "data": { "A": "1" } });
    let credential = make("/credential-configs", &env);
    let id = credential.rsplit('/').next().unwrap().to_owned();
    let short = json!({ "name": "short", "provider": "password", "service": "s", "username": "u", "password": "p" });
    let short = make("/api/v1/credentials", &short);
    let workspace = make("/workspaces", &json!({ "name": "w", "project": "web" }));
    let registry = json!({ "name": "r", "kind": "oci", "url": "https://charts.example.com" });
    let registry = make("/registries", &registry);
    let rule = json!({
        "name": "t", "issuer": "https://issuer.example", "subject": "repo:a/b:*", "lifetime": 600,
        "claims": { "ref": "main" }, "permissions": ["credentials.read"],
    });
    let rule_path = make("/trust-rules", &rule);
    let client = json!({ "name": "p", "redirect_uris": ["https://app.example.com/callback"] });
    let client_path = make("/oauth-clients", &client);
    let upstream = json!({
        "name": "u", "issuer": "https://issuer.example", "client_id": "c", "client_secret": "s", "scopes": "openid",
        "domains": ["corp.example"], "claim": "groups", "roles": { "ops": "member" },
    });
    let upstream_path = make("/upstreams", &upstream);
    let me = served.api("GET", "/userinfo", bearer, "").json();
    let (org, person) = (me["organization"]["id"].as_str().unwrap(), me["sub"].as_str().unwrap());
    let at = "2026-01-01T00:00:00Z";
    vec![
        ("PATCH", project, json!({ "name": "web" })),
        (
            "PATCH",
            credential.clone(),
            json!({ "name": "n", "project": "web", "tags": ["t"], "add_tags": ["a"], "remove_tags": ["b"], "note": "x" }),
        ),
        (
            "POST",
            format!("{credential}/secrets"),
            json!({ "fields": {}, "data": { "A": "2" }, "tags": ["t"], "note": "x", "retiring": "x",
                    "verdict": { "outcome": "valid", "expires": at, "scopes": ["a"] } }),
        ),
        (
            "POST",
            format!("{credential}/notes"),
            json!({ "verdict": { "told": { "outcome": "valid", "expires": at, "scopes": ["a"] }, "updated": at, "at": at } }),
        ),
        ("PATCH", short, json!({ "service": "s", "username": "u", "password": "p", "note": "x" })),
        ("PATCH", workspace, json!({ "name": "w", "credential_config_ids": [id] })),
        (
            "PATCH",
            registry,
            json!({ "name": "r", "url": "https://charts.example.com", "repositories": ["a/b"], "credential_config_id": "x" }),
        ),
        ("PATCH", rule_path, rule),
        ("PATCH", client_path, client),
        ("PATCH", upstream_path, upstream),
        ("PATCH", format!("/organizations/{org}"), json!({ "name": "Acme" })),
        ("PATCH", format!("/members/{person}"), json!({ "role": "owner" })),
    ]
}

#[test]
fn no_text_has_the_server_fail_where_something_is_changed_or_looked_for() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let things = things(&served, &bearer);
    let before = counts(&served);
    let mut refused = 0;
    for (method, path, body) in &things {
        let good = served.api(method, path, &bearer, &body.to_string());
        is_no_failure(&good, path);
        for text in texts() {
            for changed in with_text(body, &text) {
                let answer = served.api(method, path, &bearer, &changed.to_string());
                is_no_failure(&answer, &format!("{method} {path} {changed}"));
                refused += usize::from(answer.status() == 422);
            }
            let seen = format!("If-Match: \"{}\"", text.replace(char::is_control, "?"));
            is_no_failure(&served.api_with(method, path, &bearer, &body.to_string(), &[&seen]), &seen);
        }
    }
    assert!(refused > 100, "{refused}");
    // Each part of each address, and all that is asked for behind it.
    let document = served.api("GET", "/openapi.json", &bearer, "").json();
    let (mut parts, mut asked) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                for text in texts() {
                    let address = if parameter["in"] == "path" {
                        // What is written in another way is refused before anything is looked for.
                        let plain = text.replace(
                            |letter: char| !letter.is_ascii_graphic() || "\"#%;<>?\\^`{|}".contains(letter),
                            "",
                        );
                        parts += 1;
                        path.replace(&format!("{{{name}}}"), &plain)
                    } else {
                        asked += 1;
                        let (_, known) = things[1].1.rsplit_once('/').unwrap();
                        format!("{}?{name}={}", path.replace("{id}", known), encoded(&text))
                    };
                    let is_kept = method == "GET" || parameter["in"] == "path";
                    let body = if method == "GET" || method == "DELETE" { "" } else { "{}" };
                    if is_kept {
                        is_no_failure(&served.api(&method, &address, &bearer, body), &format!("{method} {address}"));
                    }
                }
            }
        }
    }
    assert!(parts > 200 && asked > 200, "{parts} {asked}");
    assert_eq!(counts(&served), before);
    assert_eq!(served.api("GET", "/audit/verify", &bearer, "").json()["valid"], true);
}

#[test]
fn no_text_in_a_form_of_the_browser_has_the_server_fail() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    things(&served, &bearer);
    let portal = Portal::of(&served);
    let file = "/credentials/new?kind=file";
    for (page, to, fields) in [
        ("/projects/new", "/projects/new", &[("name", "p")][..]),
        ("/workspaces/new", "/workspaces/new", &[("name", "x"), ("project", "web")]),
        (
            "/registries/new",
            "/registries/new",
            &[("name", "x"), ("kind", "oci"), ("url", "https://a.example"), ("project", "web"), ("repositories", "a")],
        ),
        ("/invitations/new", "/invitations/new", &[("for", "eve"), ("role", "reader"), ("note", "n")]),
        ("/keys", "/keys", &[("name", "k"), ("permission", "credentials.read"), ("days", "7"), ("project", "web")]),
        (
            "/trust-rules/new",
            "/trust-rules/new",
            &[
                ("name", "x"),
                ("issuer", "https://issuer.example"),
                ("audience", ""),
                ("subject", "a"),
                ("claims", "ref=main"),
                ("permission", "credentials.read"),
                ("project", "web"),
            ],
        ),
        (
            "/programs/new",
            "/programs/new",
            &[("name", "x"), ("redirect_uris", "https://app.example.com/callback"), ("device", "yes")],
        ),
        (
            file,
            "/credentials/new",
            &[
                ("name", "x"),
                ("f-file_name", "a"),
                ("f-variable", "A"),
                ("f-content", "YQ=="),
                ("project", "web"),
                ("tags", "t"),
                ("note", "n"),
            ],
        ),
        ("/organization", "/organization", &[("name", ACME), ("key_days", "9"), ("keys_each", "")]),
    ] {
        let shown = portal.get(page).text();
        let own = hidden(shown.split("<main").nth(1).expect("a page"));
        // The forms are read by one reader: what the API was sent in many more places is sent here in part.
        for text in texts().into_iter().step_by(3) {
            for changed in fields.iter().map(|(name, _)| *name).chain(["after", "done"]) {
                let mut all: Vec<(&str, &str)> =
                    own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                all.extend(fields.iter().filter(|(name, _)| *name != changed));
                all.push((changed, &text));
                let answer = portal.browser.post(&format!("{}{to}", portal.base), &all);
                is_no_failure(&answer, &format!("{to} {changed} {text:?}"));
            }
        }
    }
    for text in texts() {
        let text = encoded(&text);
        for rest in [
            "/credentials?q=",
            "/credentials?kind=",
            "/credentials?project=",
            "/credentials?after=",
            "/credentials?done=",
            "/credentials/new?kind=",
            "/credentials/new?project=",
            "/audit?actor=",
            "/audit?action=",
            "/audit?object=",
            "/audit?since=",
            "/audit?cursor=",
            "/projects?after=",
            "/workspaces?after=",
            "/registries?after=",
            "/members?after=",
            "/keys?after=",
            "/trust-rules?after=",
            "/programs?done=",
        ] {
            is_no_failure(&portal.get(&format!("{rest}{text}")), &format!("{rest}{text}"));
        }
    }
}

/// Whoever is nobody yet sends texts as well.
#[test]
fn no_text_of_whoever_is_nobody_has_the_server_fail() {
    let served = Served::new(&[]);
    let device = Device::asking(&served, "credentials.read", &[]);
    let browser = served.browser();
    let word = hidden(&browser.get("/device").text()).into_iter().find(|(name, _)| name == "word").unwrap().1;
    for text in texts() {
        let post = |path: &str, fields: &[(&str, &str)]| {
            for nth in 0..fields.len() {
                let mut fields = fields.to_vec();
                fields[nth].1 = &text;
                let answer = wire::post_form(&format!("{}{path}", served.url), &fields).expect("an answer");
                is_no_failure(&answer, &format!("{path} {fields:?}"));
            }
        };
        let code = [
            ("grant_type", "authorization_code"),
            ("client_id", "lanyard"),
            ("code", "lny_code_x"),
            ("redirect_uri", "http://127.0.0.1/"),
            ("code_verifier", "x"),
        ];
        post("/token", &code);
        post(
            "/token",
            &[("grant_type", "refresh_token"), ("client_id", "lanyard"), ("refresh_token", "x"), ("scope", "x")],
        );
        let exchanged = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("subject_token", "x"),
            ("audience", "x"),
            ("scope", "x"),
        ];
        post("/token", &exchanged);
        post(
            "/token",
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("client_id", "lanyard"),
                ("device_code", &device.secret),
            ],
        );
        post("/device-authorization", &[("client_id", "lanyard"), ("scope", "credentials.read")]);
        post("/revoke", &[("client_id", "lanyard"), ("token", "x"), ("token_type_hint", "access_token")]);
        post("/introspect", &[("token", "x"), ("token_type_hint", "access_token")]);
        let encoded = encoded(&text);
        for name in ["client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge", "prompt", "max_age"] {
            let address = format!("/authorize?response_type=code&{name}={encoded}");
            is_no_failure(&browser.get(&address), &address);
        }
        is_no_failure(&browser.get(&format!("/device?user_code={encoded}")), &text);
        is_no_failure(&browser.post("/device", &[("word", &word), ("user_code", &text)]), &text);
        for path in ["/invite", "/setup"] {
            let form = [("token", &text[..]), ("login", "eve"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
            is_no_failure(&browser.get(&format!("{path}?token={encoded}")), &text);
            is_no_failure(&browser.post(path, &form), &text);
        }
        let mut other = super::served::Browser::new(&served.url);
        other.keep(&format!(
            "lanyard-{}={}",
            served.url.rsplit(':').next().unwrap(),
            text.replace(char::is_control, "")
        ));
        is_no_failure(&other.get("/"), &text);
        let bearer = text.replace(char::is_control, "");
        is_no_failure(&served.api("GET", "/userinfo", &bearer, ""), &bearer);
    }
    assert_eq!(served.sql("SELECT COUNT(*) FROM people").trim(), "1");
}
