//! What the audit says of a change: which fields are others now, and none of their values; of a role, from what to what.

use serde_json::{Value, json};

use super::organizations::organization;
use super::portal::Portal;
use super::portal_places::{invited, links};
use super::served::{Served, token};

const NOTE: &str = "LNYCANARYnote0123456789";
const BOB: &str = "bob@example.com";

#[test]
fn a_change_is_told_with_the_names_of_what_it_changed() {
    let served = Served::new(&[]);
    let portal = Portal::of(&served);
    let bearer = token(&served.manager());
    let ask = |method: &str, path: &str, body: &Value| {
        let answer = served.api(method, path, &bearer, &body.to_string());
        assert!([200, 201].contains(&answer.status()), "{method} {path}: {}", answer.text());
        answer.json()
    };
    let made = |path: &str, body: &Value| ask("POST", path, body)["id"].as_str().unwrap().to_owned();
    let told = |action: &str, object: &str| -> Vec<String> {
        let entries =
            served.entries().into_iter().filter(|entry| entry["action"] == action && entry["object"] == object);
        entries
            .map(|entry| format!("{} {}", entry["outcome"].as_str().unwrap(), entry["detail"].as_str().unwrap()))
            .collect()
    };
    let project = made("/projects", &json!({ "name": "web" }));
    let mut credential = json!({ "name": "db", "kind": "api_key", "data": { "api_key": "LNYCANARYkey0123456789" } });
    credential["fields"] = json!({ "service": "example", "endpoint": "https://charts.example.com" });
    let credential = made("/credential-configs", &credential);
    let at = format!("/credential-configs/{credential}");
    for change in [
        json!({ "note": NOTE }),
        json!({ "add_tags": ["LNYCANARYtag0123456789"], "note": NOTE }),
        json!({ "name": "LNYCANARYname0123456789", "note": "" }),
        json!({ "project": "web" }),
        json!({ "note": "" }),
    ] {
        ask("PATCH", &at, &change);
    }
    let all = ["done note", "done tags", "done name, note", "done project", "done nothing"];
    assert_eq!(told("credential.amend", &credential), all);

    let workspace = made("/workspaces", &json!({ "name": "first", "project": "web" }));
    let at = format!("/workspaces/{workspace}");
    ask("PATCH", &at, &json!({ "name": "second" }));
    ask("PATCH", &at, &json!({ "credential_config_ids": [&credential] }));
    // The form of the portal sends all that there is.
    let edit = links(&portal.get(&format!("/workspaces/{workspace}")).text(), "/edit").remove(0);
    let fields = [("name", "third"), ("credential", &*credential)];
    let saved = portal.send(&edit, &edit, &fields);
    assert_eq!(saved.status(), 303, "{}", saved.text());
    assert_eq!(told("workspace.amend", &workspace), ["done name", "done credential_config_ids", "done name"]);

    let registry =
        json!({ "name": "charts", "kind": "helm-http", "url": "https://charts.example.com", "project": "web" });
    let registry = made("/registries", &registry);
    let at = format!("/registries/{registry}");
    ask("PATCH", &at, &json!({ "credential_config_id": &credential }));
    ask("PATCH", &at, &json!({ "name": "more", "url": "https://charts.example.com/stable" }));
    ask("PATCH", &at, &json!({ "name": "more", "credential_config_id": null, "repositories": [] }));
    assert_eq!(
        told("registry.amend", &registry),
        ["done credential_config_id", "done name, url", "done credential_config_id"]
    );

    ask("PATCH", &format!("/projects/{project}"), &json!({ "name": "shop" }));
    assert_eq!(told("project.rename", &project), ["done shop"]);

    let bob = invited(&served, &portal, "reader", BOB);
    let person = served.sql(&format!("SELECT id FROM people WHERE login = '{BOB}'")).trim().to_owned();
    ask("PATCH", &format!("/members/{person}"), &json!({ "role": "member" }));
    let form = format!("/members/{person}/role");
    assert_eq!(portal.send(&form, &form, &[("role", "admin")]).status(), 303);
    let owner = ask("GET", "/userinfo", &Value::Null)["sub"].as_str().unwrap().to_owned();
    let up = format!("/members/{owner}/role");
    assert_eq!(bob.send(&up, &up, &[("role", "reader")]).status(), 403);
    assert_eq!(told("member.role", &person), ["done reader → member", "done member → admin"]);
    assert_eq!(told("member.role", &owner), ["denied reader"], "what was wanted");
    let at = format!("/projects/{project}/members");
    for role in [json!("member"), json!("admin"), Value::Null] {
        ask("PATCH", &at, &json!({ "person": person, "role": role }));
    }
    let all = ["none → member", "member → admin", "admin → none"].map(|told| format!("done {person} {told}"));
    assert_eq!(told("project.role", &project), all);

    let own = organization(&served, &bearer);
    let form = [("name", "Acme"), ("key_days", "30"), ("keys_each", ""), ("device_flow", "yes")];
    for _ in 0..2 {
        assert_eq!(portal.send("/organization", "/organization", &form).status(), 303);
    }
    assert_eq!(told("organization.change", &own), ["done name, key_days 30", "done nothing"]);
    let everything = served.sql("SELECT entry FROM audit_events");
    assert!(!everything.contains("LNYCANARY"), "{everything}");
}
