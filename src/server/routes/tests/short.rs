//! Credentials in short: another form of the same.

use super::*;

#[test]
fn a_credential_in_short_is_the_same_resource() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let ask = |method: &str, path: &str, body: Value| played.ask(method, path, &owner, &body);
    let (status, made) = ask(
        "POST",
        "/api/v1/credentials",
        json!({
            "name": "web", "provider": "password", "service": "web", "username": "alice",
            "password": "LNYCANARYone", "tags": ["a"], "note": "n",
        }),
    );
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!((&made["kind"], &made["provider"]), (&json!("username_password"), &json!("password")));
    assert_eq!(made["fields"]["username"], "alice");
    let id = made["id"].as_str().unwrap();
    let (short, long) = (format!("/api/v1/credentials/{id}"), format!("/credential-configs/{id}"));
    let opened = || ask("GET", &format!("{long}/secrets"), Value::Null).1["data"]["password"].clone();
    assert_eq!(opened(), "LNYCANARYone");
    // Both forms tell the same, but for the provider.
    let (_, mut one) = ask("GET", &short, Value::Null);
    one.as_object_mut().unwrap().remove("provider").unwrap();
    assert_eq!(one, ask("GET", &long, Value::Null).1);
    let (_, listed) = ask("GET", "/api/v1/credentials?limit=200", Value::Null);
    assert!(listed["items"].as_array().unwrap().iter().any(|item| item["id"] == id && item["provider"] == "password"));
    // What is no value is changed by itself; the secret stays.
    let (status, changed) = ask("PATCH", &short, json!({ "name": "web-2", "tags": ["b"] }));
    assert_eq!((status, &changed["name"], &changed["tags"]), (StatusCode::OK, &json!("web-2"), &json!(["b"])));
    assert_eq!((opened(), &changed["version"]), (json!("LNYCANARYone"), &json!(1)));
    let (status, changed) = ask("PATCH", &short, json!({ "password": "LNYCANARYtwo", "note": "m" }));
    assert_eq!((status, &changed["note"], &changed["version"]), (StatusCode::OK, &json!("m"), &json!(2)));
    assert_eq!((opened(), &changed["fields"]["username"]), (json!("LNYCANARYtwo"), &json!("alice")));
    // What is kept goes nowhere that it was not given for.
    let (status, told) = ask("PATCH", &short, json!({ "endpoint": "https://elsewhere.example" }));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    for bad in [json!({ "password": "x", "name": "y" }), json!({ "nonsense": "x" }), json!({ "password": 1 })] {
        assert_eq!(ask("PATCH", &short, bad).0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(opened(), "LNYCANARYtwo");
    assert_eq!(ask("DELETE", &short, Value::Null).0, StatusCode::NO_CONTENT);
    assert_eq!(ask("GET", &long, Value::Null).0, StatusCode::NOT_FOUND);
}

#[test]
fn the_values_tell_the_kind_where_a_provider_has_several() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let store = |name: &str, provider: &str, values: Value| {
        let mut body = json!({ "name": name, "provider": provider });
        body.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        played.ask("POST", "/api/v1/credentials", &owner, &body)
    };
    let keys = json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "LNYCANARYUtnFEMI/K7MDENGbPxRfiCYEXAMPLE0" });
    let (status, told) = store("aws", "aws", keys);
    assert_eq!((status, &told["kind"]), (StatusCode::CREATED, &json!("aws_static")), "{told}");
    assert!(!told.to_string().contains("LNYCANARY"));
    for (provider, values) in [
        ("aws", json!({ "nonsense": "LNYCANARY" })),
        ("nobody", json!({ "a": "LNYCANARY" })),
        ("hetzner", json!({})),
        ("hetzner", json!({ "token": ["LNYCANARY"] })),
    ] {
        let (status, told) = store("x", provider, values);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{provider}: {told}");
        assert!(!told.to_string().contains("LNYCANARY"), "{told}");
    }
}
