//! Lists in pages: all that is there, once, in one order.

use super::contract::Remotely;
use super::*;
use crate::vault::contract::api_key;

impl Played {
    /// At least two of each thing that there is a list of.
    fn pairs(&self, owner: &str) {
        self.projects(&["api"]);
        let rule = json!({
            "name": "second", "issuer": "https://id.example", "subject": "a", "permissions": ["credentials.read"],
        });
        for (path, body) in [
            ("/credential-configs", json!({ "name": "n", "kind": "generic_env", "data": { "A": "1" } })),
            ("/api-keys", json!({ "name": "a", "permissions": ["keys.manage"] })),
            ("/api-keys", json!({ "name": "b", "permissions": ["keys.manage"] })),
            ("/invitations", json!({ "role": "reader", "for": "somebody" })),
            ("/workspaces", json!({ "name": "second" })),
            ("/registries", json!({ "name": "second", "kind": "oci", "url": "https://127.0.0.1" })),
            ("/trust-rules", rule),
            ("/oauth-clients", json!({ "name": "second" })),
            ("/upstreams", json!({ "name": "ÄNother", "issuer": "https://id.example" })),
            ("/upstreams", json!({ "name": "a third", "issuer": "https://id.example" })),
        ] {
            let (status, told) = self.ask("POST", path, owner, &body);
            assert_eq!(status, StatusCode::CREATED, "{path}: {told}");
        }
        self.program(owner);
        self.program(owner);
        let people = [self.person(owner), self.member.clone()];
        let given = "INSERT INTO project_roles (org, project, person, role, created) VALUES ($1, $2, $3, 'member', 0)";
        let chart = "INSERT INTO registry_charts (org, registry, name, description, newest, versions) \
                     VALUES ($1, $2, $3, '', '1', '[\"1\"]')";
        let made = self.server.db.write(Reach::Server, |rows| {
            for person in &people {
                rows.execute(given, values![self.ours.id(), &self.project, person])?;
            }
            for name in ["web", "api"] {
                rows.execute(chart, values![self.ours.id(), &self.registry, name])?;
            }
            Ok::<_, crate::server::db::DbError>(())
        });
        made.unwrap();
    }
}

#[test]
fn a_list_in_pages_of_one_is_the_whole_list() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    played.pairs(&owner);
    let (mut lists, mut foreign) = (0, String::new());
    for (path, item) in DOCUMENT["paths"].as_object().unwrap() {
        let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        // The audit grows with each look at it.
        if path == "/audit" || !parameters.into_iter().any(|one| one["name"] == "cursor") {
            continue;
        }
        let path = played.path(path);
        let page = |query: &str| played.ask("GET", &format!("{path}?{query}"), &owner, &Value::Null);
        let (status, mut whole) = page("limit=200");
        assert_eq!((status, &whole["next"]), (StatusCode::OK, &Value::Null), "{path}: {whole}");
        let whole = whole["items"].take();
        assert!(whole.as_array().unwrap().len() > 1, "{path}: {whole}");
        let (mut walked, mut next) = (Vec::new(), String::new());
        loop {
            let (status, mut one) = page(&format!("limit=1{next}"));
            assert_eq!(status, StatusCode::OK, "{path}: {one}");
            let items = one["items"].as_array_mut().unwrap();
            assert_eq!(items.len(), 1, "{path}");
            walked.append(items);
            let Some(cursor) = one["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(json!(walked), whole, "{path}");
        for bad in ["limit=0", "limit=201", "limit=x", &format!("limit=1{foreign}x")] {
            assert_eq!(page(bad).0, StatusCode::BAD_REQUEST, "{path}?{bad}");
        }
        // Where a page of another list ended says nothing of this one; the short form is the same list.
        if !foreign.is_empty() && path != "/credential-configs" {
            assert_eq!(page(&foreign[1..]).0, StatusCode::BAD_REQUEST, "{path}?{foreign}");
        }
        foreign = next;
        lists += 1;
    }
    assert_eq!(lists, 15);
}

/// What may be sent to a host comes in pages as well, whose ends are of that host alone.
#[test]
fn those_of_a_host_come_in_pages_of_that_host() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    played.projects(&["shop"]);
    let store = |name: &str, host: &str, project: &str| {
        let fields = json!({ "service": "example", "endpoint": format!("https://{host}") });
        let data = json!({ "api_key": "0123456789abcdef" });
        let body = json!({ "name": name, "kind": "api_key", "project": project, "fields": fields, "data": data });
        let (status, told) = played.ask("POST", "/credential-configs", &owner, &body);
        assert_eq!(status, StatusCode::CREATED, "{told}");
    };
    for number in 0..5 {
        store(&format!("a{number}"), "a.example.com", ["", "shop"][number % 2]);
        store(&format!("b{number}"), "b.example.com", "");
    }
    // What was noted of another version of the program, and is not so.
    let wrong = "INSERT INTO credential_hosts (org, credential, host) \
                 SELECT org, id, 'a.example.com' FROM credentials WHERE name LIKE 'b%' AND org = $1";
    let noted = played.server.db.write(Reach::Server, |rows| rows.execute(wrong, values![played.ours.id()]));
    assert_eq!(noted.unwrap(), 5);
    for list in ["/credential-configs", "/api/v1/credentials"] {
        let walk = |token: &str, limit: usize| {
            let (mut names, mut pages, mut next) = (Vec::new(), 0, String::new());
            loop {
                let path = format!("{list}?host=a.example.com&limit={limit}{next}");
                let (status, page) = played.ask("GET", &path, token, &Value::Null);
                assert_eq!(status, StatusCode::OK, "{page}");
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= limit && !items.is_empty(), "{page}");
                names.extend(items.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
                pages += 1;
                let Some(cursor) = page["next"].as_str() else { return (names.join(" "), pages, next) };
                next = format!("&cursor={cursor}");
            }
        };
        let all = "a0 a2 a4 a1 a3";
        for (limit, pages) in [(1, 5), (2, 3), (4, 2), (5, 1), (200, 1)] {
            let (names, walked, _) = walk(&owner, limit);
            assert_eq!((names.as_str(), walked), (all, pages), "{limit}");
        }
        // Where a page ended says nothing of another host, of all of them, or to another organization.
        let cursor = walk(&owner, 2).2;
        let foreign = played.member(&played.theirs, Role::Owner);
        for (token, query) in [(&owner, "host=b.example.com"), (&owner, "limit=2"), (&foreign, "host=a.example.com")] {
            let (status, told) = played.ask("GET", &format!("{list}?{query}{cursor}"), token, &Value::Null);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {told}");
        }
        let (_, page) = played.ask("GET", &format!("{list}?limit=1"), &owner, &Value::Null);
        let of_all = format!("{list}?host=a.example.com&cursor={}", page["next"].as_str().unwrap());
        assert_eq!(played.ask("GET", &of_all, &owner, &Value::Null).0, StatusCode::BAD_REQUEST);
        for bad in ["limit=0", "limit=201", "cursor=x"] {
            let (status, _) = played.ask("GET", &format!("{list}?host=a.example.com&{bad}"), &owner, &Value::Null);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        }
    }
}

/// Whose keys are in a list is a part of where its pages end.
#[test]
fn a_cursor_of_ones_own_keys_is_of_nobody_elses() {
    let played = Played::new();
    let (one, other) = (played.member(&played.ours, Role::Owner), played.member(&played.ours, Role::Owner));
    played.pairs(&one);
    let (_, page) = played.ask("GET", "/api-keys?limit=1", &one, &Value::Null);
    let next = format!("/api-keys?cursor={}", page["next"].as_str().unwrap());
    assert_eq!(played.ask("GET", &next, &one, &Value::Null).0, StatusCode::OK);
    assert_eq!(played.ask("GET", &next, &other, &Value::Null).0, StatusCode::BAD_REQUEST);
}

/// What a list is narrowed to is a part of where its pages end; and whoever wants all of it gets it page after page.
#[test]
fn what_goes_to_a_host_comes_in_pages_as_well() {
    const MANY: usize = 203;
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let vault = played.server.vault(played.ours.clone(), Actor::default());
    let names: Vec<String> = (0..MANY).map(|number| format!("n{number:03}")).collect();
    for name in &names {
        vault.put(New::named(name, api_key("https://api.example.com"))).unwrap();
    }
    let page = |query: &str| played.ask("GET", &format!("/credential-configs?{query}"), &owner, &Value::Null);
    let (mut walked, mut next) = (Vec::new(), String::new());
    loop {
        let (status, one) = page(&format!("host=api.example.com&limit=70{next}"));
        assert_eq!(status, StatusCode::OK, "{one}");
        let items = one["items"].as_array().unwrap();
        assert!(items.len() <= 70);
        walked.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = one["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(walked, names);
    assert_eq!(page("host=api.example.com").1["items"].as_array().unwrap().len(), 50, "unless it is said");
    assert_eq!(page("host=api.example.com&limit=201").0, StatusCode::BAD_REQUEST);
    let of_all = page("limit=1").1["next"].as_str().unwrap().to_owned();
    for bad in [&next[1..], &format!("host=example.com{next}"), &format!("host=api.example.com&cursor={of_all}")] {
        assert_eq!(page(bad).0, StatusCode::BAD_REQUEST, "{bad}");
    }
    let browser = played.browser(&played.ours, Role::Owner);
    let seen = |query: &str| {
        let path = format!("/portal/{}/credentials?{query}", played.ours.id());
        played.page(&Method::GET, &path, Some(&browser), &[], "")
    };
    let first = played.body(seen("kind=api_key"));
    let after = first.split("after=").nth(1).unwrap().split(['"', '&']).next().unwrap();
    assert_eq!(seen(&format!("kind=api_key&after={after}")).status(), StatusCode::OK);
    for other in ["kind=file", "kind=api_key&q=n", "q=", "kind=api_key&project=web"] {
        assert_eq!(seen(&format!("{other}&after={after}")).status(), StatusCode::BAD_REQUEST, "{other}");
    }
    let found = Remotely(played, owner).with(|vault| vault.for_host("api.example.com")).unwrap();
    assert_eq!(found.into_iter().map(|one| one.name).collect::<Vec<_>>(), names);
}
