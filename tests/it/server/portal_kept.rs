//! What somebody has typed or ticked in a form is kept where it is refused, and what a form leaves out is told.

use std::collections::BTreeMap;

use serde_json::json;

use super::issuer::Scene;
use super::portal::Portal;
use super::served::{Served, token};
use super::team::join;
use crate::wire;

const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// The revision that a page has for its form.
fn revision(page: &str) -> String {
    let rest = page.split("name=\"revision\" value=\"").nth(1).expect("a revision");
    rest.split('"').next().unwrap().to_owned()
}

#[test]
fn of_two_who_give_roles_at_once_the_second_is_told() {
    let served = Served::new(&[]);
    let manager = served.manager();
    let alice = Portal::of(&served);
    for login in [BOB, CAROL] {
        let link = manager.run(&["members", "invite", login, "--role", "reader"]).ends(0).stdout();
        join(&served, link.trim(), login);
    }
    manager.run(&["projects", "create", "shop"]).ends(0);
    let all = alice.get("/projects").text();
    let shop = all.split("/projects/proj_").nth(1).expect("a project").split('"').next().unwrap();
    let (one, role) = (format!("/projects/proj_{shop}"), format!("/projects/proj_{shop}/members"));
    let seen = revision(&alice.get(&role).text());
    assert_eq!(alice.send(&role, &role, &[("login", BOB), ("role", "member")]).status(), 303);
    let late = [("login", BOB), ("role", "none"), ("revision", seen.as_str())];
    assert_eq!(alice.send(&role, &role, &late).status(), 412);
    assert!(alice.get(&one).text().contains(BOB), "what the other gave stays");
    // A form that is shown again is of what was seen first.
    let refused = alice.send(&role, &role, &[("login", "nobody"), ("role", "member"), ("revision", &seen)]).status();
    assert_eq!(refused, 412);
    let again = alice.send(&role, &role, &[("login", "nobody"), ("role", "member")]);
    assert_eq!(again.status(), 422, "{}", again.text());
    assert_eq!(revision(&again.text()), revision(&alice.get(&role).text()));
    assert_eq!(alice.send(&role, &role, &[("login", CAROL), ("role", "admin")]).status(), 303);
}

#[test]
fn a_value_with_two_roles_is_refused_and_shown_as_it_was_typed() {
    let scene = Scene::new(&json!({}));
    let alice = Portal::with(scene.served.browser());
    let page = format!("/upstreams/{}", scene.id);
    let lines = "ops = member\nadmins = admin\nops = admin";
    let fields = [
        ("name", "Corp"),
        ("issuer", &*scene.issuer.url()),
        ("client_id", "web"),
        ("scopes", "openid email"),
        ("domain_role", "reader"),
        ("claim", "groups"),
        ("listed", "on"),
    ];
    let send = |lines: &str| alice.send(&page, &page, &[&fields[..], &[("roles", lines)]].concat());
    let refused = send(lines);
    assert_eq!(refused.status(), 422, "{}", refused.text());
    assert!(refused.text().contains("href=\"#roles\"") && refused.text().contains(lines), "{}", refused.text());
    let kept =
        || scene.served.api("GET", &format!("/upstreams/{}", scene.id), &scene.admin, "").json()["roles"].clone();
    assert_eq!(kept(), json!({}));
    assert_eq!(send("ops = member\nadmins = admin").status(), 303);
    assert_eq!(kept(), json!({ "ops": "member", "admins": "admin" }));
}

#[test]
fn what_was_found_and_ticked_is_there_when_the_form_is_shown_again() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    let stored = |name: &str| {
        let fields = [("name", name), ("project", ""), ("n-0", "A"), ("v-0", "LNYCANARYkept01234")];
        alice.store("generic_env", &fields).rsplit('/').next().unwrap().to_owned()
    };
    let (red, blue) = (stored("red"), stored("blue"));
    let made = alice.send("/workspaces/new", "/workspaces/new", &[("name", "deploy"), ("project", "")]);
    assert_eq!(made.status(), 303, "{}", made.text());
    let edit = format!("/{}", made.header("location").unwrap().splitn(4, '/').nth(3).unwrap());
    let found = format!("{edit}?q=red");
    // What is ticked was found by another search than the one that is sent with it.
    let refused = alice.send(&found, &edit, &[("name", "a b"), ("credential", &red), ("credential", &blue)]);
    assert_eq!(refused.status(), 422, "{}", refused.text());
    let page = refused.text();
    for id in [&red, &blue] {
        assert!(page.contains(&format!("value=\"{id}\" checked")), "{page}");
    }
    assert!(page.contains("name=\"q\" value=\"red\""), "{page}");
    // Another organization's, or what is none, is not shown.
    let none = alice.send(&edit, &edit, &[("name", "a b"), ("credential", "cred_none")]).text();
    assert!(!none.contains("cred_none"), "{none}");
}

#[test]
fn what_a_choice_leaves_out_is_told() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    let told = |page: &str| {
        let page = alice.get(page).text();
        (page.contains("Only the first 200 projects"), page.contains("Only the first 500 credentials"))
    };
    let projects = |from: usize, to: usize| {
        served.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
             INSERT INTO projects (org, id, name, folded, created, revision) \
             SELECT o.id, 'proj_' || i, 'p' || i, 'p' || i, 0, 1 FROM organizations o, n"
        ));
    };
    projects(1, 200);
    assert_eq!(told("/workspaces/new"), (false, false));
    projects(201, 201);
    assert_eq!(told("/workspaces/new"), (true, false));
    let credentials = |from: usize, to: usize| {
        served.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to}) \
             INSERT INTO credentials (org, id, project, name, kind, fields, secret_names, tags, note, created, updated, \
             checked, version, revision, scopes) SELECT o.id, 'cred_' || i, '', 'c' || i, 'generic_env', '{{}}', '[]', \
             '[]', '', 0, 0, 'never', 1, 1, '[]' FROM organizations o, n"
        ));
    };
    credentials(1, 500);
    assert_eq!(told("/registries/new"), (true, false));
    credentials(501, 501);
    assert_eq!(told("/registries/new"), (true, true));
}

/// Over the API as by the pages.
#[test]
fn what_is_said_of_a_credential_has_an_end_over_the_api() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let make = |changes: serde_json::Value| {
        let mut body = json!({ "name": "db", "kind": "generic_env", "data": { "A": "LNYCANARYbound01234" } });
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        served.api("POST", "/credential-configs", &bearer, &body.to_string())
    };
    let many: Vec<String> = (0..33).map(|one| one.to_string()).collect();
    for long in [
        json!({ "tags": many }),
        json!({ "tags": ["x".repeat(65)] }),
        json!({ "note": "x".repeat(1001) }),
        json!({ "retiring": "x".repeat(1025) }),
        json!({ "expires": "+262142-01-01T00:00:00Z" }),
        json!({ "verdict": { "outcome": "valid", "expires": null, "scopes": ["x".repeat(16 << 10)] } }),
        json!({ "data": (0..300).map(|one| (format!("N{one:0250}"), "x")).collect::<BTreeMap<_, _>>() }),
    ] {
        let refused = make(long.clone());
        let told: String = long.to_string().chars().take(40).collect();
        assert_eq!((refused.status(), refused.json()["code"].as_str()), (422, Some("invalid")), "{told}");
    }
    let stored = make(json!({ "tags": many[..32], "note": "é".repeat(1000) }));
    assert_eq!(stored.status(), 201, "{}", stored.text());
    let one = format!("/credential-configs/{}", stored.json()["id"].as_str().unwrap());
    let amend = |change: serde_json::Value| served.api("PATCH", &one, &bearer, &change.to_string()).status();
    assert_eq!(amend(json!({ "add_tags": ["more"] })), 422);
    assert_eq!(amend(json!({ "note": "x".repeat(1001) })), 422);
    assert_eq!(amend(json!({ "add_tags": ["more"], "remove_tags": ["0"] })), 200);
    let note =
        |note: serde_json::Value| served.api("POST", &format!("{one}/notes"), &bearer, &note.to_string()).status();
    assert_eq!(note(json!({ "rotation": { "since": null, "retiring": "x".repeat(1025) } })), 422);
    assert_eq!(note(json!({ "rotation": { "since": "-262143-01-01T00:00:00Z", "retiring": null } })), 422);
    // A clock that goes ahead is not believed.
    assert_eq!(note(json!({ "used": { "at": "2999-01-01T00:00:00Z" } })), 204);
    let used = served.api("GET", &one, &bearer, "").json()["used"].as_str().unwrap().to_owned();
    assert!(used.as_str() < "2999", "{used}");
    let document = wire::get(&format!("{}/openapi.json", served.url)).unwrap().json();
    let body = &document["paths"]["/credential-configs"]["post"]["requestBody"]["content"]["application/json"];
    let incoming = &body["schema"]["properties"];
    assert_eq!((&incoming["note"]["maxLength"], &incoming["tags"]["maxItems"]), (&json!(1000), &json!(32)));
    assert_eq!(incoming["tags"]["items"]["maxLength"], 64, "{incoming}");
}
