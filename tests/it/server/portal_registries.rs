//! The pages of registries for somebody who may do more in a project than in the organization.

use serde_json::{Value, json};

use super::portal::Portal;
use super::served::{Served, token};
use super::team::{invite, join};
use crate::double::{Answer, Double};

const BOB: &str = "bob@example.com";
const LOGIN: &str = "Basic dToyMTA3TE5ZQ0FOQVJZ";

/// A Helm repository that lets one login in.
fn repository() -> Double {
    Double::start(|seen| {
        if seen.header("authorization") == Some(LOGIN) {
            let index = "apiVersion: v1\nentries:\n  nginx:\n  - version: 18.1.10\n";
            Answer::text(200, "text/yaml", index)
        } else {
            Answer::json(401, "{}")
        }
    })
}

#[test]
fn whoever_has_a_project_keeps_its_registries_by_the_pages() {
    let double = repository();
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let alice = served.manager();
    let bearer = token(&alice);
    for project in ["shop", "api"] {
        alice.run(&["projects", "create", project]).ends(0);
    }
    let bob = Portal::with(join(&served, &invite(&alice, "reader"), BOB));
    // Whoever reads alone is shown no way, and has none.
    assert!(!bob.get("/registries").text().contains("Add a registry"));
    assert_eq!(bob.get("/registries/new").status(), 403);
    alice.run(&["projects", "role", "shop", BOB, "member"]).ends(0);

    let store = |name: &str, project: Option<&str>| {
        let body = json!({
            "name": name, "kind": "registry", "project": project, "fields": { "url": double.url(), "username": "u" },
            "data": { "password": "2107LNYCANARY" },
        });
        let made = served.api("POST", "/credential-configs", &bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    };
    let [own, others, wide] =
        [("own", Some("shop")), ("others", Some("api")), ("wide", None)].map(|(name, project)| store(name, project));
    let add = |name: &str, project: Option<&str>, credential: &str| {
        let body = json!({
            "name": name, "kind": "helm-http", "url": double.url(), "project": project,
            "credential_config_id": credential,
        });
        let made = served.api("POST", "/registries", &bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        format!("/registries/{}", made.json()["id"].as_str().unwrap())
    };
    let foreign = [add("of-api", Some("api"), &others), add("of-all", None, &wide)];
    let lent = add("lent", Some("shop"), &wide);

    assert!(bob.get("/registries").text().contains("Add a registry"));
    let form = bob.get("/registries/new").text();
    assert!(form.contains(">project shop</option>") && form.contains(&own), "{form}");
    for hidden in ["the whole organization", "project api", &others, &wide] {
        assert!(!form.contains(hidden), "{hidden}: {form}");
    }
    let url = double.url();
    let send = |name: &str, project: &str, credential: &str| {
        let place = [("kind", "helm-http"), ("project", project), ("url", url.as_str())];
        bob.send(
            "/registries/new",
            "/registries/new",
            &[&place[..], &[("name", name), ("credential", credential)]].concat(),
        )
    };
    // Neither for another project, nor for the organization, nor with what is not theirs to use.
    for (project, credential) in [("api", ""), ("", ""), ("shop", wide.as_str()), ("shop", &others), ("api", &others)] {
        let refused = send("charts", project, credential);
        assert!([403, 422].contains(&refused.status()), "{project} {credential}: {}", refused.text());
    }
    let listed = || served.api("GET", "/registries", &bearer, "").json()["items"].as_array().unwrap().clone();
    assert_eq!(listed().len(), 3);
    let made = send("charts", "shop", &own);
    assert_eq!(made.status(), 303, "{}", made.text());
    let one = made.header("location").unwrap().split_once("/registries/").unwrap().1.split('?').next().unwrap();
    let one = format!("/registries/{one}");
    let shown = bob.get(&one).text();
    for way in ["Sync now", "/edit\"", "/delete\"", "<dd>shop</dd>"] {
        assert!(shown.contains(way), "{way}: {shown}");
    }
    assert_eq!(bob.send(&one, &format!("{one}/sync"), &[]).status(), 303);
    let synced = bob.get(&format!("{one}?done=asked")).text();
    assert!(synced.contains("Its charts are listed.") && synced.contains("18.1.10"), "{synced}");
    let edit = format!("{one}/edit");
    assert!(bob.get(&edit).text().contains(&own) && !bob.get(&edit).text().contains(&wide));
    assert_eq!(bob.send(&edit, &edit, &[("name", "renamed"), ("url", &url), ("credential", &own)]).status(), 303);
    assert!(bob.get("/registries").text().contains(">renamed</a>"));

    // What their project was lent stays with it, and is not lent by them.
    let edit = format!("{lent}/edit");
    assert!(bob.get(&edit).text().contains(&format!("value=\"{wide}\" selected")), "{}", bob.get(&edit).text());
    assert_eq!(bob.send(&edit, &edit, &[("name", "still-lent"), ("url", &url), ("credential", &wide)]).status(), 303);
    let elsewhere = format!("{}/elsewhere", double.url());
    let moved = bob.send(&edit, &edit, &[("name", "still-lent"), ("credential", &wide), ("url", &elsewhere)]);
    assert_eq!(moved.status(), 403, "{}", moved.text());

    for other in &foreign {
        let shown = bob.get(other).text();
        assert!(!shown.contains("Sync now") && !shown.contains("/edit\"") && !shown.contains("/delete\""), "{shown}");
        let before = served.api("GET", other, &bearer, "").json();
        for to in ["/sync", "/edit", "/delete"] {
            // A form of theirs that counts, sent to where it does not belong.
            let fields = [("name", "taken"), ("url", "https://charts.example.com"), ("revision", "1")];
            let refused = bob.send("/registries/new", &format!("{other}{to}"), &fields);
            assert_eq!(refused.status(), 403, "{to}: {}", refused.text());
        }
        for to in ["/edit", "/delete"] {
            assert_eq!(bob.get(&format!("{other}{to}")).status(), 403, "{to}");
        }
        assert_eq!(served.api("GET", other, &bearer, "").json(), before);
    }
    let denied = |entry: &Value| entry["outcome"] == "denied" && entry["object"] == "registries.write";
    let tries: Vec<Value> = served.entries().into_iter().filter(denied).collect();
    assert_eq!(tries.len(), 11, "each try is in the audit: {tries:#?}");
    let delete = format!("{one}/delete");
    assert!(bob.get(&delete).text().contains("renamed"));
    assert_eq!(bob.send(&delete, &delete, &[]).status(), 303);
    assert_eq!(listed().len(), 3);
    // With the role goes what it opened.
    alice.run(&["projects", "role", "shop", BOB, "none"]).ends(0);
    assert_eq!(bob.get(&format!("{lent}/edit")).status(), 403);
}
