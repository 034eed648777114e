//! What an API key that was made with another has: no more than that one, and no longer.

use super::*;

/// Whoever makes a key gives no more than they have.
#[test]
fn a_key_has_no_more_than_its_maker() {
    let played = Played::new();
    let ask = |token: &str, permissions: &[&str]| {
        let body = json!({ "name": "ci", "permissions": permissions }).to_string();
        let request = Request::post("/api-keys")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        let service = TowerToHyperService::new(router(Arc::clone(&played.server)));
        played.runtime.block_on(service.call(request)).unwrap()
    };
    let reader = played.member(&played.ours, Role::Reader);
    assert_eq!(ask(&reader, &["secrets.read"]).status(), StatusCode::FORBIDDEN);
    assert_eq!(ask(&reader, &[]).status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask(&reader, &["everything"]).status(), StatusCode::UNPROCESSABLE_ENTITY);
    let narrow = Permissions::parse("keys.manage credentials.read").unwrap();
    let narrow = played.somebody(&played.ours, Role::Owner, narrow, TimeDelta::days(1));
    assert_eq!(ask(&narrow, &["credentials.write"]).status(), StatusCode::FORBIDDEN);
    let made = ask(&narrow, &["credentials.read"]);
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = serde_json::from_str(&played.body(made)).unwrap();
    let ends: DateTime<Utc> = serde_json::from_value(made["expires"].clone()).unwrap();
    assert!(ends <= now() + TimeDelta::days(1), "a key does not outlive the one that it was made with");
    let key = made["key"].as_str().unwrap();
    assert_eq!(played.call(&Method::GET, "/credential-configs", Some(key)).0, StatusCode::OK);
    assert_eq!(played.call(&Method::GET, "/api-keys", Some(key)).0, StatusCode::FORBIDDEN);
    let (_, listed) = played.call(&Method::GET, "/api-keys", Some(&narrow));
    let listed = played.body(listed);
    let secret = Secret::new(key.rsplit('_').nth(1).unwrap().to_owned());
    assert!(listed.contains(made["id"].as_str().unwrap()) && !listed.contains(secret.expose()));
    assert!(played.dir.path().is_dir());
}
