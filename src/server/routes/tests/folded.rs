//! Names that are there once, however they are written.

use super::*;

#[test]
fn a_name_is_there_once_however_it_is_written() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let rule = |name: &str| json!({ "name": name, "issuer": "https://id.example", "subject": "a", "permissions": ["credentials.read"] });
    let named = |name: &str| json!({ "name": name });
    let registry = |name: &str| json!({ "name": name, "kind": "oci", "url": "https://127.0.0.1" });
    let program = |name: &str| json!({ "name": name });
    let issuer = |name: &str| json!({ "name": name, "issuer": "https://id.example" });
    let ask = |path: &str, body: &Value| played.ask("POST", path, &owner, body);
    for path in ["/trust-rules", "/oauth-clients", "/upstreams", "/projects", "/workspaces", "/registries"] {
        let body = |name: &str| match path {
            "/trust-rules" => rule(name),
            "/upstreams" => issuer(name),
            "/oauth-clients" => program(name),
            "/registries" => registry(name),
            _ => named(name),
        };
        let (status, made) = ask(path, &body("Admin"));
        assert_eq!(status, StatusCode::CREATED, "{path}: {made}");
        for other in ["Admin", "ADMIN", "admin"] {
            assert_eq!(ask(path, &body(other)).0, StatusCode::CONFLICT, "{path} {other}");
        }
        let wide = ask(path, &body("\u{ff21}dmin")).0;
        assert!(
            [StatusCode::CONFLICT, StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST].contains(&wide),
            "{path}: {wide}"
        );
        // Its own name may be written otherwise, and another one becomes free.
        let id = made["id"].as_str().unwrap();
        for (to, status) in [("ADMIN", StatusCode::OK), ("other", StatusCode::OK)] {
            let (told, body) = played.ask("PATCH", &format!("{path}/{id}"), &owner, &json!({ "name": to }));
            assert_eq!(told, status, "{path} {to}: {body}");
        }
        assert_eq!(ask(path, &body("aDMIN")).0, StatusCode::CREATED, "{path}");
    }
    // Where any letter can be in a name, one of another script is another one.
    for (path, body) in [
        ("/trust-rules", rule("\u{430}dmin")),
        ("/oauth-clients", program("\u{430}dmin")),
        ("/upstreams", issuer("\u{430}dmin")),
    ] {
        assert_eq!(ask(path, &body).0, StatusCode::CREATED, "{path}");
    }
}
