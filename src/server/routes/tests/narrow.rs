//! A token of one project against every route.

use super::*;

impl Played {
    /// A key of an owner that counts in one project of ours alone.
    fn key_of(&self, project: &str) -> String {
        let owner = self.member(&self.ours, Role::Owner);
        let grant = Grant {
            scope: self.ours.clone(),
            person: self.person(&owner),
            client: String::new(),
            permissions: Permissions::all(),
            family: String::new(),
            project: Some(format!("proj_{project}")),
            bound: None,
        };
        let issue = |rows: &mut dyn crate::server::db::Rows| {
            bearer::issue(rows, Kind::Key, &grant, "narrow", TimeDelta::days(1), now())
        };
        self.server.db.write(Reach::Server, issue).unwrap().token.expose().to_owned()
    }
}

#[test]
fn a_key_of_one_project_reaches_nothing_else() {
    let played = Played::new();
    played.projects(&["shop"]);
    let vault = played.server.vault(played.ours.clone(), Actor::default());
    let in_web = New { scope: Scope::Project("web".into()), ..New::named("own", variables(&[("A", "1")])) };
    let in_web = vault.put(in_web).unwrap();
    let key = played.key_of("shop");
    let before = played.state();
    let mut lists = 0;
    for (method, path, access) in api() {
        if ["anyone", "token"].contains(&access) {
            continue;
        }
        let method: Method = method.parse().unwrap();
        let mut tried = vec![played.path(path)];
        if path.contains("credential") && path.contains("{id}") {
            tried.push(path.replace("{id}", &in_web.id));
        }
        for path in tried {
            let (status, response) = played.call(&method, &path, Some(&key));
            let told = played.body(response);
            if status == StatusCode::OK {
                let told: Value = serde_json::from_str(&told).unwrap();
                let names: Vec<&str> =
                    told["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
                let own: &[&str] = if path == "/projects" { &["shop"] } else { &[] };
                assert_eq!(names, own, "{method} {path}");
                lists += 1;
                continue;
            }
            let is_refused = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&status);
            assert!(is_refused, "{method} {path}: {status} {told}");
            assert!(!told.contains("generic_env") && !told.contains("first"), "{method} {path}: {told}");
        }
    }
    assert_eq!(lists, 5, "credentials in both forms, projects, workspaces and registries");
    for narrowed in ["?name=db", "?name=own&project=web", "?host=127.0.0.1"] {
        let (status, told) = played.ask("GET", &format!("/credential-configs{narrowed}"), &key, &Value::Null);
        assert_eq!((status, &told["items"]), (StatusCode::OK, &json!([])), "{narrowed}");
    }
    assert_eq!(played.state(), before);
    let (status, me) = played.ask("GET", "/userinfo", &key, &Value::Null);
    assert_eq!((status, &me["project"]), (StatusCode::OK, &json!("shop")));
    assert!(!me["permissions"].as_array().unwrap().contains(&json!("keys.manage")), "{me}");
}

#[test]
fn a_key_of_one_project_works_in_it_under_any_name_and_ends_with_it() {
    let played = Played::new();
    let key = played.key_of("web");
    let owner = played.member(&played.ours, Role::Owner);
    let ask = |method: &str, path: &str, body: &Value| played.ask(method, path, &key, body);
    let one = json!({ "name": "db", "kind": "generic_env", "project": "web", "data": { "A": "1" } });
    let (status, made) = ask("POST", "/credential-configs", &one);
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("/credential-configs/{}", made["id"].as_str().unwrap());
    let (status, renamed) = ask("PATCH", "/projects/proj_web", &json!({ "name": "site" }));
    assert_eq!((status, &renamed["name"]), (StatusCode::OK, &json!("site")), "{renamed}");
    let (status, opened) = ask("GET", &format!("{path}/secrets"), &Value::Null);
    assert_eq!((status, &opened["data"]["A"]), (StatusCode::OK, &json!("1")), "{opened}");
    let (_, listed) = ask("GET", "/credential-configs", &Value::Null);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // Out of the project there is no way, and neither is there for what is made in it.
    for elsewhere in ["", "shop"] {
        let (status, told) = ask("PATCH", &path, &json!({ "project": elsewhere }));
        assert_eq!(status, StatusCode::FORBIDDEN, "{elsewhere}: {told}");
    }
    let workspace = json!({ "name": "w", "project": "site", "credential_config_ids": [made["id"]] });
    let (status, workspace) = ask("POST", "/workspaces", &workspace);
    assert_eq!(status, StatusCode::CREATED, "{workspace}");
    assert_eq!(ask("POST", "/workspaces", &json!({ "name": "x" })).0, StatusCode::FORBIDDEN);
    let registry = json!({ "name": "r", "kind": "oci", "url": "https://127.0.0.1", "project": "site" });
    let (status, registry) = ask("POST", "/registries", &registry);
    assert_eq!(status, StatusCode::CREATED, "{registry}");
    for (kind, made) in [("workspaces", &workspace), ("registries", &registry)] {
        let one = format!("/{kind}/{}", made["id"].as_str().unwrap());
        assert_eq!(ask("GET", &one, &Value::Null).0, StatusCode::OK, "{kind}");
        assert_eq!(ask("DELETE", &one, &Value::Null).0, StatusCode::NO_CONTENT, "{kind}");
    }
    assert_eq!(ask("DELETE", &path, &Value::Null).0, StatusCode::NO_CONTENT);
    // With the project, the key ends; another one of the same name is another one.
    let deleted = played.ask("DELETE", "/projects/proj_web", &owner, &Value::Null);
    assert_eq!(deleted.0, StatusCode::NO_CONTENT, "{}", deleted.1);
    assert_eq!(played.ask("POST", "/projects", &owner, &json!({ "name": "site" })).0, StatusCode::CREATED);
    assert_eq!(ask("GET", "/userinfo", &Value::Null).0, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_key_of_one_project_is_made_out_of_what_its_maker_has_there() {
    let played = Played::new();
    played.projects(&["shop"]);
    let reader = played.member(&played.ours, Role::Reader);
    let give = json!({ "person": played.person(&reader), "role": "member" });
    let admin = played.member(&played.ours, Role::Admin);
    assert_eq!(played.ask("PATCH", "/projects/proj_web/members", &admin, &give).0, StatusCode::OK);
    let key_for = |token: &str, project: &str, permissions: &[&str]| {
        let wanted = json!({ "name": "ci", "project": project, "permissions": permissions });
        played.ask("POST", "/api-keys", token, &wanted)
    };
    let (status, made) = key_for(&reader, "web", &["credentials.read", "secrets.read"]);
    assert_eq!((status, &made["project"]), (StatusCode::CREATED, &json!("web")), "{made}");
    let (status, told) = key_for(&reader, "shop", &["secrets.read"]);
    assert_eq!((status, &told["errors"][0]["field"]), (StatusCode::FORBIDDEN, &Value::Null), "{told}");
    for (project, permission) in [("web", "members.read"), ("web", "keys.manage"), ("nowhere", "credentials.read")] {
        let (status, told) = key_for(&admin, project, &[permission]);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{project} {permission}: {told}");
    }
    // Whoever is taken out of the project takes the key with them.
    let key = made["key"].as_str().unwrap();
    let one = json!({ "name": "db", "kind": "generic_env", "project": "web", "data": { "A": "1" } });
    let (_, stored) = played.ask("POST", "/credential-configs", &admin, &one);
    let path = format!("/credential-configs/{}/secrets", stored["id"].as_str().unwrap());
    assert_eq!(played.ask("GET", &path, key, &Value::Null).0, StatusCode::OK);
    let take = json!({ "person": played.person(&reader), "role": null });
    assert_eq!(played.ask("PATCH", "/projects/proj_web/members", &admin, &take).0, StatusCode::OK);
    assert_eq!(played.ask("GET", &path, key, &Value::Null).0, StatusCode::FORBIDDEN);
}

#[test]
fn a_rule_of_one_project_holds_it() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let rule = format!("/trust-rules/{}", played.rule);
    let (status, told) = played.ask("PATCH", &rule, &owner, &json!({ "project": "nowhere" }));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    let (status, told) = played.ask("PATCH", &rule, &owner, &json!({ "project": "web" }));
    assert_eq!((status, &told["project"]), (StatusCode::OK, &json!("web")), "{told}");
    let (status, told) = played.ask("DELETE", "/projects/proj_web", &owner, &Value::Null);
    assert_eq!((status, &told["used_by"]), (StatusCode::CONFLICT, &json!(["trust rule n"])), "{told}");
    let (_, told) = played.ask("PATCH", &rule, &owner, &json!({ "lifetime": 60 }));
    assert_eq!(told["project"], "web", "what is not named stays");
    let (_, told) = played.ask("PATCH", &rule, &owner, &json!({ "project": "" }));
    assert_eq!(told["project"], Value::Null);
    assert_eq!(played.ask("DELETE", "/projects/proj_web", &owner, &Value::Null).0, StatusCode::NO_CONTENT);
}
