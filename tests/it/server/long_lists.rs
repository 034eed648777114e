//! Lists of a great many: they come in pages that somebody asked for, and take no more room for it.

use serde_json::{Value, json};

use super::costly::Cost;
use super::portal::Portal;
use super::served::{Served, token};

/// So many credentials, of which each goes to the same host; and so many of everything else.
const MANY: usize = 250_000;
const SOME: usize = 25_000;
/// No more kibibytes than this are had at a time for any of them.
const ROOM: usize = 32 << 10;

/// The numbers from 1 to so many, as the rows of `many`.
fn numbers(count: usize) -> String {
    format!("WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < {count}) ")
}

/// Fills the database, behind the server's back, with what is like the one that is there.
fn fill(served: &Served) {
    // Of one length, so that texts are in the order of their numbers.
    let number = "CAST(10000000 + n AS TEXT)";
    let all = numbers(MANY);
    let some = numbers(SOME);
    served.sql(&format!(
        "INSERT INTO credentials (org, id, project, name, kind, fields, secret_names, tags, note, created, updated, checked, \
         scopes, version, revision) {all} SELECT c.org, 'c' || {number}, c.project, 'n' || {number}, c.kind, c.fields, \
         c.secret_names, c.tags, c.note, c.created, c.updated, c.checked, c.scopes, c.version, c.revision \
         FROM many CROSS JOIN credentials c"
    ));
    served.sql(&format!(
        "INSERT INTO credential_hosts (org, credential, host) {all} SELECT h.org, 'c' || {number}, h.host \
         FROM many CROSS JOIN credential_hosts h"
    ));
    for table in ["projects", "workspaces"] {
        let (more, of) = if table == "projects" { ("", "") } else { (", project", ", t.project") };
        served.sql(&format!(
            "INSERT INTO {table} (org, id, name, folded, created, revision{more}) {some} SELECT t.org, 'x' || {number}, 'n' \
             || {number}, 'n' || {number}, t.created, t.revision{of} FROM many CROSS JOIN {table} t"
        ));
    }
    served.sql(&format!(
        "INSERT INTO tokens (org, id, kind, hash, person, client, name, permissions, family, created, expires) {some} \
         SELECT t.org, 'k' || {number}, t.kind, t.hash, t.person, t.client, 'n' || {number}, t.permissions, t.family, \
         t.created, t.expires FROM many CROSS JOIN (SELECT * FROM tokens WHERE kind = 'pat') t"
    ));
    // Before the first that there is.
    served.sql(&format!(
        "INSERT INTO audit_events (org, sequence, entry, hash, mac, at, actor, action, object) {some} SELECT e.org, -n, \
         e.entry, e.hash, e.mac, e.at, e.actor, e.action, e.object FROM many CROSS JOIN (SELECT * FROM audit_events e \
         WHERE e.action = 'credential.create' ORDER BY e.org DESC, e.sequence LIMIT 1) e"
    ));
}

#[test]
fn a_list_of_a_great_many_takes_no_more_room_than_a_page() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let post = |path: &str, body: &Value| {
        let made = served.api("POST", path, &bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{path}: {}", made.text());
    };
    let fields = json!({ "service": "example", "endpoint": "https://api.example.com" });
    let data = json!({ "api_key": "0123456789abcdef" });
    post("/credential-configs", &json!({ "name": "first", "kind": "api_key", "fields": fields, "data": data }));
    post("/projects", &json!({ "name": "web" }));
    post("/workspaces", &json!({ "name": "w" }));
    post("/api-keys", &json!({ "name": "k", "permissions": ["credentials.read"] }));
    fill(&served);
    let portal = Portal::of(&served);
    let get = |path: &str| served.api("GET", path, &bearer, "");
    // What is asked first fills what is kept of the database.
    let lists = [
        "/credential-configs",
        "/api/v1/credentials",
        "/credential-configs?host=api.example.com",
        "/projects",
        "/workspaces",
        "/api-keys",
        "/audit",
        "/audit?action=credential.create",
    ];
    for list in lists {
        assert_eq!(get(list).status(), 200, "{list}");
    }
    let cost = Cost::of(&served);
    let with = |list: &str, more: &str| format!("{list}{}{more}", if list.contains('?') { '&' } else { '?' });
    for list in lists {
        let mut next = String::new();
        for _ in 0..5 {
            let page = get(&with(list, &format!("limit=200{next}")));
            assert_eq!(page.status(), 200, "{list}: {}", page.text());
            assert_eq!(page.json()["items"].as_array().unwrap().len(), 200, "{list}");
            next = format!("&cursor={}", page.json()["next"].as_str().expect("there are more"));
        }
        assert_eq!(get(list).json()["items"].as_array().unwrap().len(), 50, "{list}, unless it is said");
        let foreign = with(list, &next[1..]);
        for bad in ["limit=1000000000", "limit=-1", "limit=0", "limit=201", "limit=99999999999999999999", "limit=1e9"] {
            assert_eq!(get(&with(list, bad)).status(), 400, "{list} {bad}");
        }
        for bad in ["sort=password", "order=secret", "filter=data", "offset=1", "limit=1&limit=200"] {
            assert_eq!(get(&with(list, bad)).status(), 400, "{list} {bad}");
        }
        // Where a page ended here says nothing anywhere else.
        for other in lists.iter().filter(|other| **other != list) {
            let is_the_same = ["/credential-configs", "/api/v1/credentials"];
            if !(is_the_same.contains(other) && is_the_same.contains(&list)) {
                assert_eq!(get(&with(other, &next[1..])).status(), 400, "{foreign} at {other}");
            }
        }
    }
    for page in [
        "/credentials",
        "/credentials?q=n1000",
        "/credentials?q=nothing-is-called-so",
        "/credentials?kind=file",
        "/credentials/new?kind=api_key",
        "/projects",
        "/workspaces",
        "/workspaces/new",
        "/keys",
        "/audit",
        "/registries/new",
        "/trust-rules/new",
    ] {
        let seen = portal.get(page);
        assert_eq!(seen.status(), 200, "{page}");
        assert!(seen.text().len() < 256 << 10, "{page}: {} bytes", seen.text().len());
    }
    assert!(cost.room() < ROOM, "{} KiB", cost.room());
}
