//! Registries: whose credential each may use, and what becomes of it.

use super::*;

impl Played {
    /// A login for a registry, of the organization or of a project; its identifier.
    fn login(&self, name: &str, project: Option<&str>, url: &str) -> String {
        let owner = self.member(&self.ours, Role::Owner);
        let body = json!({
            "name": name, "kind": "registry", "project": project,
            "fields": { "url": url, "username": "alice" }, "data": { "password": "LNYCANARY" },
        });
        let (status, made) = self.ask("POST", "/credential-configs", &owner, &body);
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }
}

fn body(name: &str, project: Option<&str>, credential: &str) -> Value {
    json!({
        "name": name, "kind": "oci", "url": "oci://registry.example.com/charts", "project": project,
        "credential_config_id": credential, "repositories": ["web"],
    })
}

#[test]
fn a_registry_uses_a_credential_of_its_own_place_and_host_alone() {
    let played = Played::new();
    played.projects(&["api"]);
    let owner = played.member(&played.ours, Role::Owner);
    let (wide, web) = (
        played.login("wide", None, "https://registry.example.com"),
        played.login("web", Some("web"), "https://registry.example.com"),
    );
    let other = played.login("other", None, "https://evil.example");
    let theirs = played.server.vault(played.theirs.clone(), Actor::default()).list().unwrap()[0].id.clone();
    let add = |name: &str, project: Option<&str>, credential: &str| {
        played.ask("POST", "/registries", &owner, &body(name, project, credential))
    };
    for (project, credential, is_fine) in [
        (None, &wide, true),
        (Some("web"), &wide, true),
        (Some("web"), &web, true),
        (Some("api"), &web, false),
        (None, &web, false),
        (None, &theirs, false),
        (None, &"cred_unknown".to_owned(), false),
    ] {
        let (status, told) = add("r", project, credential);
        if is_fine {
            assert_eq!(status, StatusCode::CREATED, "{told}");
            assert_eq!(told["url"], "https://registry.example.com/charts");
            assert_eq!(told["repositories"], json!(["web"]));
            let path = format!("/registries/{}", told["id"].as_str().unwrap());
            assert_eq!(played.ask("DELETE", &path, &owner, &Value::Null).0, StatusCode::NO_CONTENT);
        } else {
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
            assert_eq!(told["type"], "urn:lanyard:problem:no-credential");
            assert_eq!(played.told()["outcome"], "denied");
        }
    }
    // Whoever makes a registry of their own at another host is not sent a password there.
    let (status, told) = add("r", None, &other);
    assert_eq!((status, &told["type"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("urn:lanyard:problem:other-host")));
    let (_, made) = add("r", None, &wide);
    let path = format!("/registries/{}", made["id"].as_str().unwrap());
    let elsewhere = json!({ "url": "https://evil.example" });
    assert_eq!(played.ask("PATCH", &path, &owner, &elsewhere).0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(played.ask("PATCH", &path, &owner, &json!({ "credential_config_id": other })).1["type"], told["type"]);
    assert_eq!(played.ask("GET", &path, &owner, &Value::Null).1["credential_config_id"], json!(wide));
    // Nor is one that was made to be for another host since.
    let secrets = format!("/credential-configs/{wide}/secrets");
    let moved =
        json!({ "fields": { "url": "https://evil.example", "username": "alice" }, "data": { "password": "x" } });
    assert_eq!(played.ask("POST", &secrets, &owner, &moved).0, StatusCode::OK);
    let (status, told) = played.ask("POST", &format!("{path}/sync"), &owner, &Value::Null);
    assert_eq!((status, &told["outcome"], &told["synced"]), (StatusCode::OK, &json!("other_host"), &Value::Null));
    assert_eq!((&played.told()["action"], &played.told()["outcome"]), (&json!("registry.sync"), &json!("failed")));
    let none = json!({ "credential_config_id": null, "url": "https://evil.example" });
    let (status, told) = played.ask("PATCH", &path, &owner, &none);
    assert_eq!((status, &told["credential_config_id"]), (StatusCode::OK, &Value::Null));
    assert_eq!(told["outcome"], Value::Null, "what was told of another place is forgotten");
}

#[test]
fn a_credential_in_use_by_a_registry_stays() {
    let played = Played::new();
    played.projects(&["api"]);
    let owner = played.member(&played.ours, Role::Owner);
    let login = played.login("reg", None, "https://registry.example.com");
    let (_, made) = played.ask("POST", "/registries", &owner, &body("Charts", Some("web"), &login));
    let config = format!("/credential-configs/{login}");
    let (status, told) = played.ask("DELETE", &config, &owner, &Value::Null);
    assert_eq!((status, &told["used_by"]), (StatusCode::CONFLICT, &json!(["registry Charts"])));
    assert_eq!(played.ask("GET", &config, &owner, &Value::Null).1["used_by"], json!(["registry Charts"]));
    assert_eq!(played.ask("PATCH", &config, &owner, &json!({ "project": "api" })).0, StatusCode::CONFLICT);
    assert_eq!(played.ask("PATCH", &config, &owner, &json!({ "project": "web" })).0, StatusCode::OK);
    let (status, told) = played.ask("DELETE", "/projects/proj_web", &owner, &Value::Null);
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(told["used_by"].as_array().unwrap().contains(&json!("registry Charts")), "{told}");
    assert_eq!(played.ask("DELETE", &format!("{config}?force=true"), &owner, &Value::Null).0, StatusCode::NO_CONTENT);
    let path = format!("/registries/{}", made["id"].as_str().unwrap());
    assert_eq!(played.ask("GET", &path, &owner, &Value::Null).1["credential_config_id"], Value::Null);
}

#[test]
fn whoever_has_a_project_alone_uses_what_is_in_it() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let token = played.member(&played.ours, Role::Reader);
    let person = played.person(&token);
    let give = json!({ "person": person, "role": "member" });
    assert_eq!(played.ask("PATCH", "/projects/proj_web/members", &owner, &give).0, StatusCode::OK);
    let host = "https://registry.example.com";
    let (wide, web) = (played.login("wide", None, host), played.login("web", Some("web"), host));
    let add = |project, credential: &str| played.ask("POST", "/registries", &token, &body("r", project, credential));
    assert_eq!(add(None, &wide).0, StatusCode::FORBIDDEN);
    assert_eq!(add(Some("web"), &wide).0, StatusCode::FORBIDDEN, "what is the organization's is not sent by them");
    let (status, made) = add(Some("web"), &web);
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let own = format!("/registries/{}", made["id"].as_str().unwrap());
    for (path, expected) in
        [(&own, StatusCode::OK), (&format!("/registries/{}", played.registry), StatusCode::FORBIDDEN)]
    {
        assert_eq!(played.ask("PATCH", path, &token, &json!({ "name": "other" })).0, expected, "{path}");
        assert_eq!(played.ask("GET", path, &token, &Value::Null).0, StatusCode::OK);
        if expected == StatusCode::FORBIDDEN {
            assert_eq!(played.ask("POST", &format!("{path}/sync"), &token, &Value::Null).0, expected);
            assert_eq!(played.ask("DELETE", path, &token, &Value::Null).0, expected);
        }
    }
}

#[test]
fn what_is_no_registry_is_not_made() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let make = |change: Value| {
        let mut wanted = json!({ "name": "r", "kind": "oci", "url": "https://registry.example.com" });
        for (name, value) in change.as_object().unwrap() {
            wanted[name] = value.clone();
        }
        played.ask("POST", "/registries", &owner, &wanted).0
    };
    for bad in [
        json!({ "name": "" }),
        json!({ "name": "a b" }),
        json!({ "kind": "git" }),
        json!({ "url": "http://registry.example.com" }),
        json!({ "url": "https://u:p@registry.example.com" }),
        json!({ "url": "file:///etc/passwd" }),
        json!({ "repositories": ["../x"] }),
        json!({ "repositories": ["A"] }),
        json!({ "repositories": vec!["a"; 201] }),
        json!({ "kind": "helm-http", "repositories": ["a"] }),
        json!({ "project": "nowhere" }),
        json!({ "surprise": 1 }),
    ] {
        assert_eq!(make(bad.clone()), StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    assert_eq!(make(json!({})), StatusCode::CREATED);
    assert_eq!(make(json!({ "name": "R" })), StatusCode::CONFLICT);
}

#[test]
fn a_change_is_of_what_was_seen() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let path = format!("/registries/{}", played.registry);
    let with = |method: &Method, tag: &str| {
        let request = Request::builder()
            .method(method.clone())
            .uri(&path)
            .header(header::AUTHORIZATION, format!("Bearer {owner}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, tag)
            .body(if method == Method::PATCH { Body::from(r#"{"name":"second"}"#) } else { Body::empty() })
            .unwrap();
        let service = TowerToHyperService::new(router(Arc::clone(&played.server)));
        played.runtime.block_on(service.call(request)).unwrap()
    };
    assert_eq!(with(&Method::PATCH, "\"7\"").status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(with(&Method::DELETE, "\"7\"").status(), StatusCode::PRECONDITION_FAILED);
    let changed = with(&Method::PATCH, "\"1\"");
    assert_eq!((changed.status(), &changed.headers()[header::ETAG]), (StatusCode::OK, &"\"2\"".parse().unwrap()));
    assert_eq!(with(&Method::DELETE, "\"1\"").status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(with(&Method::DELETE, "\"2\"").status(), StatusCode::NO_CONTENT);
}

#[test]
fn a_private_address_is_not_asked_and_the_list_before_stays() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let chart = "INSERT INTO registry_charts (org, registry, name, description, newest, versions) \
                 VALUES ($1, $2, $3, '', '1.0.0', '[\"1.0.0\"]')";
    let count = "UPDATE registries SET charts = 3, synced = 1 WHERE org = $1";
    let done = played.server.db.write(Reach::Server, |rows| {
        for name in ["a", "b", "c"] {
            rows.execute(chart, values![played.ours.id(), &played.registry, name])?;
        }
        rows.execute(count, values![played.ours.id()])
    });
    assert_eq!(done.unwrap(), 1);
    let path = format!("/registries/{}", played.registry);
    let (status, told) = played.ask("POST", &format!("{path}/sync"), &owner, &Value::Null);
    assert_eq!((status, &told["outcome"], &told["charts"]), (StatusCode::OK, &json!("unreachable"), &json!(3)));
    let page = |more: &str| played.ask("GET", &format!("{path}/charts?limit=2{more}"), &owner, &Value::Null).1;
    let first = page("");
    assert_eq!(first["items"][1], json!({ "name": "b", "description": "", "newest": "1.0.0", "versions": ["1.0.0"] }));
    let second = page(&format!("&cursor={}", first["next"].as_str().unwrap()));
    assert_eq!((&second["items"][0]["name"], &second["next"]), (&json!("c"), &Value::Null));
    let cursor = first["next"].as_str().unwrap();
    let (status, _) = played.ask("GET", &format!("/registries?cursor={cursor}"), &owner, &Value::Null);
    assert_eq!(status, StatusCode::BAD_REQUEST, "a cursor is of one list");
}
