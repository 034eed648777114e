//! Credentials on the server: over the API, and from a command line that works on them as on its own.

use serde_json::{Value, json};

use super::served::{Served, token};
use crate::canary::{Canary, Sweep};
use crate::double::{Answer, Double};
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

/// An API key with these permissions.
fn key(served: &Served, permissions: &[&str]) -> String {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    served.sign_in_with(&stage, "credentials.read,credentials.write,credentials.verify,secrets.read,keys.manage");
    let wanted = json!({ "name": "test", "permissions": permissions }).to_string();
    let made = served.api("POST", "/api-keys", &token(&stage), &wanted);
    assert_eq!(made.status(), 201, "{}", made.text());
    made.json()["key"].as_str().unwrap().to_owned()
}

const ALL: [&str; 4] = ["credentials.read", "credentials.write", "credentials.verify", "secrets.read"];

#[test]
fn a_command_line_works_on_the_server_as_on_its_own_vault() {
    let served = Served::new(&[]);
    let stage = served.client();
    assert!(list(&stage).is_empty());
    store_env(&stage, "db", "PASSWORD", "LNYCANARYvalue0123456789");
    let listed = list(&stage);
    assert_eq!((listed.len(), &listed[0]["name"], &listed[0]["kind"]), (1, &json!("db"), &json!("generic_env")));
    assert_eq!(reveal(&stage, "db", "PASSWORD"), "LNYCANARYvalue0123456789");
    stage.run(&["credentials", "test", "db"]).ends(0);
    let other = served.client();
    assert_eq!(reveal(&other, "db", "PASSWORD"), "LNYCANARYvalue0123456789", "another machine has it, too");
    store_env(&other, "second", "A", "LNYCANARYother0123456789");
    assert_eq!(list(&stage).len(), 2);
    let taken = stage.run_with(&["credentials", "store", "env", "A=-", "--name", "db"], b"x");
    assert!(taken.code != Some(0) && taken.stderr().contains("db"), "{taken}");
    let exported = stage.run(&["credentials", "export", "db", "--format", "env"]).ends(0).stdout();
    assert!(exported.contains("LNYCANARYvalue0123456789"), "{exported}");
    let told =
        stage.run(&["run", "--credential", "db", "--no-mask", "--", "sh", "-c", "printf %s \"$PASSWORD\""]).ends(0);
    assert_eq!(told.stdout(), "LNYCANARYvalue0123456789");
    stage.run(&["credentials", "rename", "db", "database"]).ends(0);
    stage.run(&["credentials", "delete", "database", "--yes"]).ends(0);
    assert_eq!(list(&other).len(), 1);
    assert!(!stage.home().join(".local/share/lanyard/vault.db").exists(), "nothing was kept here");
    let canaries = ["LNYCANARYvalue0123456789", "LNYCANARYother0123456789"].map(Canary::of);
    Sweep::for_canaries(&canaries).tree(&served.data()).assert_clean();
}

#[test]
fn metadata_comes_first_and_secrets_follow() {
    let served = Served::new(&[]);
    let key = key(&served, &ALL);
    let call = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        served.api(method, path, &key, &body)
    };
    let wanted = json!({ "name": "gh", "kind": "api_key", "fields": { "service": "example" }, "tags": ["ci"] });
    let made = call("POST", "/credential-configs", &wanted);
    assert_eq!(made.status(), 201, "{}", made.text());
    let path = made.header("location").unwrap().to_owned();
    assert_eq!(made.json()["secret_names"], json!([]));
    let unasked = call("POST", &format!("{path}/verify"), &Value::Null);
    assert_eq!((unasked.status(), &unasked.json()["type"]), (422, &json!("urn:lanyard:problem:no-secrets")));
    let empty = call("POST", &format!("{path}/secrets"), &json!({ "data": {} }));
    assert_eq!(empty.status(), 422, "{}", empty.text());
    let unknown = call("POST", &format!("{path}/secrets"), &json!({ "data": { "LNYCANARYname": "LNYCANARYx" } }));
    assert_eq!(unknown.status(), 422);
    assert!(!unknown.text().contains("LNYCANARYx"), "{}", unknown.text());
    let put = call("POST", &format!("{path}/secrets"), &json!({ "data": { "api_key": "LNYCANARY0123456789" } }));
    assert_eq!((put.status(), &put.json()["version"]), (200, &json!(2)), "{}", put.text());
    assert!(!put.text().contains("LNYCANARY"));
    let read = call("GET", &format!("{path}/secrets"), &Value::Null);
    assert_eq!(read.json()["data"], json!({ "api_key": "LNYCANARY0123456789" }));
    assert_eq!(call("GET", &format!("{path}/secrets?version=1"), &Value::Null).status(), 412);
    for bad in [
        json!({ "name": "x" }),
        json!({ "kind": "generic_env", "data": { "A": "1" } }),
        json!({ "name": "a b", "kind": "generic_env", "data": { "A": "1" } }),
        json!({ "name": "x", "kind": "nonsense" }),
        json!({ "name": "x", "kind": "api_key", "fields": { "service": "s", "api_key": "LNYCANARYz" } }),
        json!({ "name": "x", "kind": "generic_env", "data": { "1 bad": "1" } }),
    ] {
        let refused = call("POST", "/credential-configs", &bad);
        assert_eq!(refused.status(), 422, "{bad}: {}", refused.text());
        assert!(!refused.text().contains("LNYCANARYz"));
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    for (body, why) in
        [("{", "no JSON"), ("[]", "another shape"), ("{\"name\":\"LNYCANARYq\",\"extra\":1}", "a strange member")]
    {
        let refused = served.api("POST", "/credential-configs", &key, body);
        assert!(
            (400..=422).contains(&refused.status()) && !refused.text().contains("LNYCANARY"),
            "{why}: {}",
            refused.text()
        );
    }
    let again =
        call("POST", "/credential-configs", &json!({ "name": "gh", "kind": "generic_env", "data": { "A": "1" } }));
    assert_eq!(again.status(), 409);
}

#[test]
fn a_change_is_made_to_what_was_seen_alone() {
    let served = Served::new(&[]);
    let key = key(&served, &ALL);
    let made = served.api("POST", "/credential-configs", &key, r#"{"name":"a","kind":"generic_env","data":{"A":"1"}}"#);
    let (path, first) = (made.header("location").unwrap().to_owned(), made.header("etag").unwrap().to_owned());
    let seen = format!("If-Match: {first}");
    let changed = served.api_with("PATCH", &path, &key, r#"{"note":"one","tags":["x"]}"#, &[&seen]);
    assert_eq!((changed.status(), &changed.json()["note"]), (200, &json!("one")));
    assert_ne!(changed.header("etag").unwrap(), first);
    for (method, path, body) in [
        ("PATCH", path.clone(), r#"{"note":"two"}"#),
        ("DELETE", path.clone(), ""),
        ("POST", format!("{path}/secrets"), r#"{"data":{"A":"2"}}"#),
    ] {
        let late = served.api_with(method, &path, &key, body, &[&seen]);
        assert_eq!((late.status(), &late.json()["type"]), (412, &json!("urn:lanyard:problem:changed")), "{method}");
    }
    assert_eq!(served.api("GET", &path, &key, "").json()["note"], "one");
    // One that is used through another is not deleted under it.
    let through = r#"{"name":"b","kind":"registry_ecr","fields":{"url":"https://public.ecr.aws","source":"a","region":"us-east-1"},"data":{}}"#;
    let made = served.api("POST", "/credential-configs", &key, through);
    assert_eq!(made.status(), 201, "{}", made.text());
    let used = served.api("DELETE", &path, &key, "");
    assert_eq!((used.status(), &used.json()["used_by"]), (409, &json!(["credential b"])));
    assert_eq!(served.api("DELETE", &format!("{path}?force=true"), &key, "").status(), 204);
    assert_eq!(served.api("GET", &path, &key, "").status(), 404);
}

#[test]
fn a_long_list_comes_in_pages() {
    let served = Served::new(&[]);
    let key = key(&served, &ALL);
    for number in 0..7 {
        let body = json!({ "name": format!("n{number}"), "kind": "generic_env", "data": { "A": "1" } }).to_string();
        assert_eq!(served.api("POST", "/credential-configs", &key, &body).status(), 201);
    }
    let (mut names, mut path) = (Vec::new(), "/credential-configs?limit=3".to_owned());
    loop {
        let page = served.api("GET", &path, &key, "").json();
        names.extend(page["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/credential-configs?limit=3&cursor={next}");
    }
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4", "n5", "n6"]);
    for bad in
        ["limit=0", "limit=201", "limit=-1", "limit=1000000000", "limit=x", "cursor=x", "sort=password", "cursor=AAAA"]
    {
        assert_eq!(served.api("GET", &format!("/credential-configs?{bad}"), &key, "").status(), 400, "{bad}");
    }
}

#[test]
fn the_server_asks_providers_and_nothing_private() {
    let double = Double::start(|seen| {
        if seen.header("authorization").is_some_and(|value| value.starts_with("Basic ")) {
            Answer::json(200, "{}")
        } else {
            Answer::json(401, "{}").header("WWW-Authenticate: Basic realm=\"x\"")
        }
    });
    let verify = |served: &Served| {
        let key = key(served, &ALL);
        let fields = json!({ "url": double.url(), "username": "u" });
        let body = json!({ "name": "r", "kind": "registry", "fields": fields, "data": { "password": "LNYCANARYp" } });
        let made = served.api("POST", "/credential-configs", &key, &body.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        let path = made.header("location").unwrap().to_owned();
        served.api("POST", &format!("{path}/verify"), &key, "").json()
    };
    let refused = verify(&Served::new(&[]));
    assert_eq!(refused, json!({ "valid": false, "outcome": "unreachable", "error": "unreachable" }));
    assert!(double.requests().is_empty(), "a private address was asked");
    let asked = verify(&Served::new(&["--allow-host", "127.0.0.1"]));
    assert_eq!((&asked["valid"], &asked["outcome"]), (&json!(true), &json!("valid")), "{asked}");
    assert!(!double.requests().is_empty());
}

/// What the cloud itself says is told in its own word, and secrets that are not there are asked for.
#[test]
fn a_refusal_of_the_cloud_is_told_in_its_own_word() {
    let sts = Double::start(|seen| {
        let knows = seen.header("authorization").is_some_and(|value| value.contains("AKIAIOSFODNN7EXAMPLE"));
        let (status, body) = if knows {
            let arn = "<Arn>arn:aws:iam::123456789012:user/alice</Arn>";
            let whose = format!("{arn}<UserId>AIDAEXAMPLEEXAMPLE00</UserId><Account>123456789012</Account>");
            (200, format!("<GetCallerIdentityResult>{whose}</GetCallerIdentityResult>"))
        } else {
            let code = "<Code>InvalidClientTokenId</Code><Message>The security token is invalid.</Message>";
            (403, format!("<ErrorResponse><Error><Type>Sender</Type>{code}</Error></ErrorResponse>"))
        };
        Answer::text(status, "text/xml", &body)
    });
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let key = key(&served, &ALL);
    let make = |id: &str, data: &Value| {
        let fields = json!({ "endpoint": sts.url(), "region": "eu-west-1", "access_key_id": id });
        let body = json!({ "name": id, "kind": "aws_static", "fields": fields, "data": data });
        let made = served.api("POST", "/credential-configs", &key, &body.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        made.header("location").unwrap().to_owned()
    };
    let verify = |path: &str| served.api("POST", &format!("{path}/verify"), &key, "");
    let data = json!({ "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" });
    let told = verify(&make("AKIAIOSFODNN7EXAMPLE", &data));
    let whose = json!("Account 123456789012");
    assert_eq!((told.status(), &told.json()["valid"], &told.json()["identity"]), (200, &json!(true), &whose));
    let told = verify(&make("AKIAI44QH8DHBEXAMPLE", &data));
    let error = json!("InvalidClientTokenId");
    assert_eq!((told.status(), &told.json()["valid"], &told.json()["error"]), (200, &json!(false), &error));
    assert_eq!(sts.requests().len(), 2);
}

#[test]
fn git_is_answered_from_the_server() {
    let served = Served::new(&[]);
    let stage = served.client();
    let store = ["credentials", "store", "git", "git.example.com", "--username", "u", "--token", "-", "--no-verify"];
    stage.run_with(&store, b"LNYCANARYgittoken0123").ends(0);
    let asked = b"protocol=https\nhost=git.example.com\n\n";
    let answer = stage.run_with(&["helper", "git", "get"], asked).ends(0).stdout();
    assert!(answer.contains("password=LNYCANARYgittoken0123"), "{answer}");
}

/// However many there are for a host, the right one is found, in no more questions than there are pages.
#[test]
fn many_for_one_host_come_in_pages_and_all_are_seen() {
    let served = Served::new(&[]);
    let stage = served.client();
    let token = token(&stage);
    let lists = || served.entries().iter().filter(|entry| entry["action"] == "credential.list").count();
    let password = |user: &str| {
        let asked = format!("protocol=https\nhost=git.example.com\nusername={user}\n\n");
        let before = lists();
        let answer = stage.run_with(&["helper", "git", "get"], asked.as_bytes()).ends(0).stdout();
        (answer.contains(&format!("password=LNYCANARYtoken-of-{user}\n")), lists() - before)
    };
    for number in 0..205 {
        let user = format!("user{number:03}");
        let fields = json!({ "host": "git.example.com", "username": user });
        let data = json!({ "token": format!("LNYCANARYtoken-of-{user}") });
        let body = json!({ "name": user, "kind": "git", "fields": fields, "data": data }).to_string();
        let made = served.api("POST", "/credential-configs", &token, &body);
        assert_eq!(made.status(), 201, "{}", made.text());
        if number == 9 {
            assert_eq!(password("user009"), (true, 1), "one question, where there are few");
        }
    }
    assert_eq!(password("user204"), (true, 2));
    assert_eq!(password("user000"), (true, 2));
    assert!(!password("user205").0);
    for (query, most) in [("", 50), ("&limit=200", 200)] {
        let path = format!("/credential-configs?host=git.example.com{query}");
        let page = served.api("GET", &path, &token, "").json();
        assert!(page["next"].is_string() && page["items"].as_array().unwrap().len() == most, "{query}");
    }
    let more = served.api("GET", "/credential-configs?host=git.example.com&limit=201", &token, "");
    assert_eq!(more.status(), 400);
}

#[test]
fn a_key_in_the_environment_is_enough() {
    let served = Served::new(&[]);
    let mut stage = served.client();
    store_env(&stage, "db", "A", "LNYCANARYvalue");
    let key = key(&served, &["credentials.read"]);
    stage.run(&["auth", "logout"]).ends(0);
    stage.set("LANYARD_TOKEN", &key);
    assert_eq!(list(&stage).len(), 1);
    let refused = stage.run(&["credentials", "show", "db", "--reveal", "A", "--yes"]).ends(5);
    assert!(refused.stderr().contains("secrets.read"), "{refused}");
    // What the command line gives wins over the surroundings.
    let other = self::key(&served, &["credentials.read", "secrets.read"]);
    let revealed = ["--api-key", "-", "credentials", "show", "db", "--reveal", "A", "--yes"];
    stage.run_with(&revealed, format!("{other}\n").as_bytes()).ends(0);
    stage.set("LANYARD_TOKEN", "lny_pat_nonsense");
    stage.run(&["credentials", "list"]).ends(4);
    let file = stage.home().join("key");
    std::fs::write(&file, &other).unwrap();
    let listed = stage.run(&["--api-key", &format!("@{}", file.display()), "credentials", "list"]).ends(0);
    assert!(listed.stdout().contains("db"), "{listed}");
    let which = stage.run(&["--api-key", &other, "which", "--json"]).ends(0);
    assert!(which.stdout().contains("\"--api-key\"") && !which.stdout().contains(&other), "{which}");
    let out = stage.run(&["--api-key", &other, "auth", "logout"]).ends(1);
    assert!(out.stderr().contains("without --api-key"), "{out}");
}

#[test]
fn a_job_that_knows_no_profile_works_with_a_key_and_an_address() {
    let served = Served::new(&[]);
    let owner = served.client();
    store_env(&owner, "db", "A", "LNYCANARYvalue");
    let mut job = Stage::new();
    job.set("LANYARD_ENDPOINT", &served.url);
    let key = key(&served, &["credentials.read", "secrets.read"]);
    let shown =
        job.run_with(&["--api-key=-", "run", "--credential", "db", "--", "sh", "-c", "test -n \"$A\""], key.as_bytes());
    shown.ends(0);
    job.set("LANYARD_TOKEN", &key);
    assert_eq!(list(&job).len(), 1);
    // A key whose server nobody names opens nothing else instead.
    let mut lost = Stage::new();
    lost.set("LANYARD_TOKEN", &key);
    let refused = lost.run(&["credentials", "list"]).ends(3);
    assert!(refused.stderr().contains("LANYARD_ENDPOINT"), "{refused}");
    // Another service's token goes nowhere near a server's vault.
    job.set("LANYARD_TOKEN", "some-other-token");
    assert_eq!(list(&job).len(), 0);
}
