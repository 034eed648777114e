//! What is asked twice under one key is made once.

use super::*;
use crate::server::token;

/// The operations that make something, as the document has them: method, path, and whether they take a key.
fn makers() -> Vec<(&'static str, bool)> {
    let operations = DOCUMENT["paths"].as_object().unwrap().iter();
    let maker = |(path, item): (&'static String, &'static Value)| {
        let post = &item["post"];
        let has_key = |parameters: &Vec<Value>| parameters.iter().any(|one| one["name"] == "Idempotency-Key");
        let takes = post["parameters"].as_array().is_some_and(has_key);
        post["responses"]["201"].is_object().then_some((path.as_str(), takes))
    };
    operations.filter_map(maker).collect()
}

impl Played {
    /// Asks for something to be made, under a key.
    fn make(&self, path: &str, token: &str, key: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", key)
            .body(Body::from(body.to_string()))
            .unwrap();
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        let response = self.runtime.block_on(service.call(request)).unwrap();
        told(&Method::POST, path, &response);
        (response.status(), serde_json::from_str(&self.body(response)).unwrap())
    }

    /// What is kept of keys, with all bytes.
    fn keys_kept(&self) -> Vec<String> {
        let all = "SELECT org, owner, key, request, status, object, created FROM idempotency_keys ORDER BY created";
        let rows = self.server.db.read(Reach::Server, |rows| rows.query(all, &[])).unwrap();
        rows.iter().map(|row| format!("{row:?}")).collect()
    }
}

#[test]
fn every_operation_that_makes_something_takes_a_key() {
    let makers = makers();
    assert!(makers.len() >= 8, "{makers:?}");
    for (path, takes) in makers {
        assert!(takes, "POST {path} takes its body as a `Creation`");
    }
}

#[test]
fn what_is_asked_twice_is_made_once() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let other = played.member(&played.ours, Role::Owner);
    for (number, (path, _)) in makers().into_iter().enumerate() {
        let mut body = played.wanted(&Method::POST, path);
        let other_than = if body.get("name").is_some() { "name" } else { "note" };
        body[other_than] = json!(format!("n{number}"));
        let (key, failing) = (format!("key {number}"), format!("failing {number}"));
        let before = played.keys_kept().len();
        let (status, first) = played.make(path, &owner, &key, &body);
        assert_eq!(status, StatusCode::CREATED, "{path}: {first}");
        let (status, second) = played.make(path, &owner, &key, &body);
        assert_eq!((status, &second["id"]), (StatusCode::CREATED, &first["id"]), "{path}: {second}");
        assert_eq!(played.keys_kept().len(), before + 1, "{path}");
        // What is shown once is not shown again.
        for shown_once in ["key", "link"] {
            assert!(second.get(shown_once).is_none(), "{path}: {second}");
        }
        let mut changed = body.clone();
        changed[other_than] = json!("another");
        let (status, told) = played.make(path, &owner, &key, &changed);
        assert_eq!((status, &told["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("key-reused")), "{path}");
        // Another's key is another key, also where it is the same word.
        let (status, told) = played.make(path, &other, &key, &body);
        let is_new = status == StatusCode::CREATED && told["id"] != first["id"];
        assert!(is_new || told["code"] == "name-taken", "{path}: {told}");
        // What failed has kept nothing, and may be asked again.
        let before = played.keys_kept().len();
        let (status, _) = played.make(path, &owner, &failing, &json!({ "name": 1 }));
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(played.keys_kept().len(), before, "{path}");
        let kept = played.keys_kept().join("\n");
        for text in [key.as_str(), "generic_env", "lny_"].into_iter().chain(first["key"].as_str()) {
            assert!(!kept.contains(text) && !kept.contains(&format!("{:?}", text.as_bytes())), "{path}: {kept}");
        }
    }
    let key = "x".repeat(256);
    for bad in ["", key.as_str()] {
        let (status, told) = played.make("/projects", &owner, bad, &json!({ "name": "p" }));
        assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &json!("bad-request")), "{bad}");
    }
}

#[test]
fn what_is_gone_is_not_made_again() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let body = json!({ "name": "fleeting" });
    let (_, made) = played.make("/projects", &owner, "k", &body);
    let one = format!("/projects/{}", made["id"].as_str().unwrap());
    let (status, _) = played.call(&Method::DELETE, &one, Some(&owner));
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, told) = played.make("/projects", &owner, "k", &body);
    assert_eq!((status, &told["code"]), (StatusCode::GONE, &json!("gone")));
    // A day later the key is as good as new.
    let day = "UPDATE idempotency_keys SET created = created - 86400001";
    played.server.db.write(Reach::Server, |rows| rows.execute(day, &[])).unwrap();
    assert_eq!(played.make("/projects", &owner, "k", &body).0, StatusCode::CREATED);
    played.server.db.write(Reach::Server, |rows| rows.execute(day, &[])).unwrap();
    crate::server::api::sweep(&played.server.db, now()).unwrap();
    assert_eq!(played.keys_kept(), Vec::<String>::new());
}

#[test]
fn of_many_who_ask_at_once_one_makes_it() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    for (path, body) in [
        ("/api-keys", json!({ "name": "ci", "permissions": ["credentials.read"] })),
        ("/projects", json!({ "name": "p" })),
        ("/credential-configs", json!({ "name": "c", "kind": "generic_env", "data": { "A": "1" } })),
    ] {
        let answers: Vec<(StatusCode, Value)> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| played.make(path, &owner, path, &body))).collect();
            asking.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for (status, told) in &answers {
            assert_eq!((*status, &told["id"]), (StatusCode::CREATED, &answers[0].1["id"]), "{path}: {told}");
        }
        let with_key = answers.iter().filter(|(_, told)| told.get("key").is_some()).count();
        assert_eq!(with_key, usize::from(path == "/api-keys"));
    }
    // All of them were answered with what was made, and none of them was refused.
    let denied: Vec<Value> =
        played.entries(&played.ours).into_iter().filter(|entry| entry["outcome"] == "denied").collect();
    assert_eq!(denied, Vec::<Value>::new());
    let keys = "SELECT COUNT(*) FROM tokens WHERE org = $1 AND name = 'ci'";
    let count =
        played.server.db.read(&played.ours, |rows| rows.first(keys, values![played.ours.id()])?.unwrap().int(0));
    assert_eq!(count.unwrap(), 1);
    assert!(token::parse(&owner).is_some());
}

#[test]
fn a_key_is_kept_with_what_it_made_or_not_at_all() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    // Without the audit nothing is done, and then nothing is known of the key.
    let state = played.state();
    played.server.db.write(Reach::Server, |rows| rows.batch("ALTER TABLE audit_events RENAME TO away")).unwrap();
    for path in ["/projects", "/api-keys", "/credential-configs"] {
        let body = played.wanted(&Method::POST, path);
        assert_eq!(played.make(path, &owner, "k", &body).0, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    played.server.db.write(Reach::Server, |rows| rows.batch("ALTER TABLE away RENAME TO audit_events")).unwrap();
    assert_eq!((played.state(), played.keys_kept()), (state, Vec::new()));
    let (status, _) = played.make("/projects", &owner, "k", &json!({ "name": "p" }));
    assert_eq!((status, played.keys_kept().len()), (StatusCode::CREATED, 1));
}
