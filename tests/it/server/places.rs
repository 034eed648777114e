//! Projects and workspaces, and copies between a machine and the server.

use serde_json::{Value, json};

use super::served::{Served, token};
use super::team::join;
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};
use crate::wire;

fn store_in(stage: &Stage, project: &str, name: &str, value: &str) {
    let words = ["credentials", "store", "env", "A=-", "--name", name, "--for-project", project];
    stage.run_with(&words, value.as_bytes()).ends(0);
}

fn rows(stage: &Stage, words: &[&str]) -> Vec<Value> {
    stage.run(&[words, &["--json"]].concat()).ends(0).json().as_array().unwrap().clone()
}

#[test]
fn a_project_holds_credentials_and_keeps_them_under_another_name() {
    work_with_a_project(&Served::new(&[]));
}

pub fn work_with_a_project(served: &Served) {
    let stage = served.manager();
    let unknown = stage.run_with(&["credentials", "store", "env", "A=-", "--for-project", "shop"], b"x").ends(2);
    assert!(unknown.stderr().contains("lanyard projects create"), "{unknown}");
    stage.run(&["projects", "create", "shop"]).ends(0);
    for taken in ["shop", "Shop", "SHOP"] {
        stage.run(&["projects", "create", taken]).ends(1);
    }
    for bad in ["a b", "а", "-x", "a/b"] {
        let refused = stage.run(&["projects", "create", "--", bad]);
        assert_ne!(refused.code, Some(0), "{bad}");
    }
    store_in(&stage, "shop", "db", "LNYCANARYshop0123456789");
    store_env(&stage, "db", "A", "LNYCANARYwide0123456789");
    let refused = stage.run(&["projects", "delete", "shop", "--yes"]).ends(1);
    assert!(refused.stderr().contains("credential db"), "{refused}");
    stage.run(&["projects", "rename", "shop", "store"]).ends(0);
    assert_eq!(rows(&stage, &["projects", "list"])[0]["name"], "store");
    assert_eq!(reveal(&stage, "store/db", "A"), "LNYCANARYshop0123456789");
    assert_eq!(reveal(&stage, "db", "A"), "LNYCANARYwide0123456789");
    stage.run(&["credentials", "show", "shop/db"]).ends(2);
    stage.run(&["credentials", "delete", "store/db", "--yes"]).ends(0);
    stage.run(&["projects", "delete", "store", "--yes"]).ends(0);
    assert!(rows(&stage, &["projects", "list"]).is_empty());
    stage.run(&["projects", "rename", "store", "x"]).ends(2);
}

#[test]
fn what_somebody_is_changes_as_it_was_seen() {
    change_roles_as_seen(&Served::new(&[]));
}

pub fn change_roles_as_seen(served: &Served) {
    let stage = served.manager();
    let bearer = token(&stage);
    let link =
        stage.run(&["members", "invite", "tess@example.com", "--role", "reader"]).ends(0).stdout().trim().to_owned();
    join(served, &link, "tess@example.com");
    stage.run(&["projects", "create", "seen"]).ends(0);
    let id = |list: &str, name: &str, is: &str| {
        let all = rows(&stage, &[list, "list"]);
        all.iter().find(|one| one[name] == is).expect("it is listed")["id"].as_str().unwrap().to_owned()
    };
    let (tess, project) = (id("members", "login", "tess@example.com"), id("projects", "name", "seen"));
    let of_tess = format!("/members/{tess}");
    let give = json!({ "person": tess, "role": "member" });
    for (path, body) in [(of_tess.clone(), json!({ "role": "member" })), (format!("/projects/{project}/members"), give)]
    {
        let tag = || served.api("GET", &path, &bearer, "").header("etag").unwrap().to_owned();
        let (seen, body) = (tag(), body.to_string());
        let change = |tag: &str| served.api_with("PATCH", &path, &bearer, &body, &[&format!("If-Match: {tag}")]);
        let done = change(&seen);
        assert_eq!((done.status(), done.header("etag").unwrap()), (200, tag().as_str()), "{path}");
        let late = change(&seen);
        assert_eq!((late.status(), &late.json()["code"]), (412, &json!("changed")), "{path}");
    }
    let gone = served.api_with("DELETE", &of_tess, &bearer, "", &["If-Match: \"1\""]);
    assert_eq!((gone.status(), id("members", "login", "tess@example.com")), (412, tess));
}

#[test]
fn a_workspace_has_the_whole_list_or_the_one_before() {
    work_with_a_workspace(&Served::new(&[]));
}

pub fn work_with_a_workspace(served: &Served) {
    let stage = served.manager();
    for project in ["shop", "api"] {
        stage.run(&["projects", "create", project]).ends(0);
    }
    for name in ["one", "two"] {
        store_env(&stage, name, "A", "LNYCANARYvalue0123456789");
    }
    store_in(&stage, "shop", "three", "x");
    store_in(&stage, "api", "four", "x");
    let bearer = token(&stage);
    let ids: Vec<String> = ["one", "two", "three", "four"]
        .iter()
        .map(|name| {
            let all = list(&stage);
            all.iter().find(|one| one["name"] == *name).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let create = ["workspaces", "create", "deploy", "one", "shop/three", "--for-project", "shop"];
    stage.run(&create).ends(0);
    let made = rows(&stage, &["workspaces", "list"]).remove(0);
    assert_eq!((&made["project"], &made["credential_config_ids"]), (&json!("shop"), &json!([ids[0], ids[2]])));
    let path = format!("/workspaces/{}", made["id"].as_str().unwrap());
    let set = |list: &[&str]| {
        let body = json!({ "credential_config_ids": list }).to_string();
        served.api("PATCH", &path, &bearer, &body)
    };
    let kept = || served.api("GET", &path, &bearer, "").json()["credential_config_ids"].clone();
    // One that is of another project, or nowhere, and nothing changes.
    for bad in [&ids[3], "cred_unknown"] {
        let refused = set(&[&ids[1], bad, &ids[2]]);
        assert_eq!((refused.status(), &refused.json()["credential_config_id"]), (422, &json!(bad)));
        assert_eq!(kept(), json!([ids[0], ids[2]]));
    }
    let seen = served.api("GET", &path, &bearer, "").header("etag").unwrap().to_owned();
    assert_eq!(set(&[&ids[2], &ids[1]]).status(), 200);
    assert_eq!(kept(), json!([ids[2], ids[1]]), "in the order that was given");
    let late = served.api_with("PATCH", &path, &bearer, r#"{"name":"x"}"#, &[&format!("If-Match: {seen}")]);
    assert_eq!(late.status(), 412);
    // What it uses is not deleted, nor moved to where it could not use it.
    let config = format!("/credential-configs/{}", ids[2]);
    let used = served.api("DELETE", &config, &bearer, "");
    assert_eq!((used.status(), &used.json()["used_by"]), (409, &json!(["workspace deploy"])));
    assert_eq!(served.api("GET", &config, &bearer, "").json()["used_by"], json!(["workspace deploy"]));
    let moved = served.api("PATCH", &config, &bearer, r#"{"project":"api"}"#);
    assert_eq!(moved.status(), 409, "{}", moved.text());
    let refused = stage.run(&["credentials", "delete", "shop/three", "--yes"]).ends(1);
    assert!(refused.stderr().contains("workspace deploy"), "{refused}");
    stage.run(&["credentials", "delete", "shop/three", "--force"]).ends(0);
    assert_eq!(kept(), json!([ids[1]]));
    stage.run(&["workspaces", "set", "shop/deploy", "--none"]).ends(0);
    assert_eq!(kept(), json!([]));
    stage.run(&["workspaces", "rename", "deploy", "release", "--project", "shop"]).ends(0);
    let refused = stage.run(&["projects", "delete", "shop", "--yes"]).ends(1);
    assert!(refused.stderr().contains("workspace release"), "{refused}");
    stage.run(&["workspaces", "delete", "shop/release", "--yes"]).ends(0);
    stage.run(&["projects", "delete", "shop", "--yes"]).ends(0);
}

#[test]
fn a_reader_works_in_the_project_that_they_were_given() {
    let served = Served::new(&[]);
    let alice = served.manager();
    for project in ["shop", "api"] {
        alice.run(&["projects", "create", project]).ends(0);
        store_in(&alice, project, "db", "LNYCANARYvalue0123456789");
    }
    let link =
        alice.run(&["members", "invite", "bob@example.com", "--role", "reader"]).ends(0).stdout().trim().to_owned();
    let browser = join(&served, &link, "bob@example.com");
    alice.run(&["projects", "role", "shop", "bob@example.com", "member"]).ends(0);
    let bob = served.client_of(&browser, None);
    assert_eq!(reveal(&bob, "shop/db", "A"), "LNYCANARYvalue0123456789");
    store_in(&bob, "shop", "own", "LNYCANARYown0123456789");
    bob.run(&["workspaces", "create", "w", "shop/own", "--for-project", "shop"]).ends(0);
    let show = ["credentials", "show", "api/db", "--reveal", "A", "--yes"];
    assert!(bob.run(&show).ends(5).stderr().contains("secrets.read"));
    for project in ["api", ""] {
        let words = ["credentials", "store", "env", "A=-", "--name", "x", "--for-project", project];
        let words = if project.is_empty() { &words[..6] } else { &words[..] };
        bob.run_with(words, b"x").ends(5);
    }
    assert_eq!(rows(&alice, &["projects", "members", "shop"])[0]["role"], "member");
    alice.run(&["projects", "role", "shop", "bob@example.com", "none"]).ends(0);
    bob.run(&["credentials", "show", "shop/db", "--reveal", "A", "--yes"]).ends(5);
}

/// Of those who delete a credential and those who take it into use, at once, never both succeed.
#[test]
fn a_credential_is_not_deleted_while_it_is_taken_into_use() {
    delete_what_is_taken_into_use(&Served::new(&[]));
}

pub fn delete_what_is_taken_into_use(served: &Served) {
    let stage = served.manager();
    let bearer = token(&stage);
    let made = served.api("POST", "/workspaces", &bearer, r#"{"name":"w"}"#);
    let path = made.header("location").unwrap().to_owned();
    for round in 0..10 {
        let body = json!({ "name": format!("c{round}"), "kind": "generic_env", "data": { "A": "1" } }).to_string();
        let made = served.api("POST", "/credential-configs", &bearer, &body);
        let (config, id) = (made.header("location").unwrap().to_owned(), made.json()["id"].clone());
        let list = json!({ "credential_config_ids": [id] }).to_string();
        let (deleted, taken) = std::thread::scope(|scope| {
            let ask = |method: &'static str, path: &str, body: &str| {
                let headers = [format!("Authorization: Bearer {bearer}"), "Content-Type: application/json".into()];
                let (url, body) = (format!("{}{path}", served.url), body.to_owned());
                scope.spawn(move || wire::send(method, &url, &[&headers[0], &headers[1]], &body).unwrap().status())
            };
            let (deleted, taken) = (ask("DELETE", &config, ""), ask("PATCH", &path, &list));
            (deleted.join().unwrap(), taken.join().unwrap())
        });
        assert!(matches!((deleted, taken), (204, 422) | (409, 200)), "{deleted} {taken}");
    }
}

#[test]
fn credentials_go_to_the_server_and_come_back() {
    let served = Served::new(&[]);
    let stage = served.manager();
    // A profile without a service works on the vault of this machine.
    let here = |words: &[&str]| stage.run(&[words, &["--profile", "here"]].concat());
    stage.run(&["config", "set", "profiles.here.storage", "plain"]).ends(0);
    let store = ["credentials", "store", "env", "A=-", "--name", "db", "--profile", "here"];
    stage.run_with(&store, b"LNYCANARYlocal0123456789").ends(0);
    assert!(list(&stage).is_empty());
    let tried = stage.run(&["credentials", "push", "--all", "--dry-run"]).ends(0);
    assert!(tried.stderr().contains("would be copied") && list(&stage).is_empty(), "{tried}");
    stage.run(&["credentials", "push", "db"]).ends(0);
    assert_eq!(reveal(&stage, "db", "A"), "LNYCANARYlocal0123456789");
    let again = rows(&stage, &["credentials", "push", "--all"]);
    assert_eq!(again, [json!({ "name": "db", "outcome": "same" })]);
    // What differs is left alone unless it is to be replaced.
    let id = list(&stage)[0]["id"].as_str().unwrap().to_owned();
    let body = r#"{"data":{"A":"LNYCANARYserver0123456789"}}"#;
    assert_eq!(served.api("POST", &format!("/credential-configs/{id}/secrets"), &token(&stage), body).status(), 200);
    let refused = stage.run(&["credentials", "push", "db"]).ends(1);
    assert!(refused.stderr().contains("--replace"), "{refused}");
    assert_eq!(reveal(&stage, "db", "A"), "LNYCANARYserver0123456789");
    stage.run(&["credentials", "pull", "db", "--replace"]).ends(0);
    let shown = here(&["credentials", "show", "db", "--reveal", "A", "--yes"]).ends(0);
    assert!(shown.stdout().contains("LNYCANARYserver0123456789"), "{shown}");
    let none = here(&["credentials", "push", "db"]).ends(3);
    assert!(none.stderr().contains("no lanyard server"), "{none}");
    stage.run(&["credentials", "push", "nothing"]).ends(2);
}
