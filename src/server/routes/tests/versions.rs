//! What is changed and ended with the version that was seen: nobody undoes what somebody else did meanwhile.

use super::*;

impl Played {
    /// Asks with the tag of what was seen. The tag of what is answered comes with the answer.
    fn with(&self, method: &str, path: &str, token: &str, tag: &str, body: &Value) -> (u16, String, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        if !tag.is_empty() {
            request = request.header(header::IF_MATCH, tag);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        let response = self.runtime.block_on(service.call(request.body(body).unwrap())).unwrap();
        told(&method.parse().unwrap(), path, &response);
        let found = response.headers().get(header::ETAG).map(|tag| tag.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        (status, found.unwrap_or_default(), serde_json::from_str(&self.body(response)).unwrap_or_default())
    }

    fn tag(&self, path: &str, token: &str) -> String {
        let (status, tag, told) = self.with("GET", path, token, "", &Value::Null);
        assert!(status == 200 && tag.len() > 2, "{path}: {status} {tag} {told}");
        tag
    }
}

#[test]
fn a_member_is_changed_and_removed_as_they_were_seen() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let path = format!("/members/{}", played.member);
    let (reader, member) = (json!({ "role": "reader" }), json!({ "role": "member" }));
    let (status, first, shown) = played.with("GET", &path, &owner, "", &Value::Null);
    assert_eq!((status, &shown["id"], &shown["role"]), (200, &json!(played.member), &json!("reader")));
    // Whoever has seen it makes them something else, and is told the version of that.
    let (status, second, changed) = played.with("PATCH", &path, &owner, &first, &member);
    assert_eq!((status, &changed["role"]), (200, &json!("member")));
    assert!(second != first && second == played.tag(&path, &owner), "{first} {second}");
    let before = played.state();
    for (method, body) in [("PATCH", &reader), ("DELETE", &Value::Null)] {
        for tag in [first.as_str(), "\"0\"", "\"x\"", "x", "W/\"1\""] {
            let (status, _, told) = played.with(method, &path, &owner, tag, body);
            assert_eq!((status, &told["code"]), (412, &json!("changed")), "{method} {tag}");
            assert_eq!(played.told()["outcome"], "denied", "{method} {tag}");
        }
        // Whoever may not is told that, whatever they have seen.
        let stranger = played.member(&played.theirs, Role::Owner);
        assert_eq!(played.with(method, &path, &stranger, &first, body).0, 404);
    }
    assert_eq!(played.state(), before);
    let admin = played.member(&played.ours, Role::Admin);
    let up = format!("/members/{}", played.person(&owner));
    assert_eq!(played.with("DELETE", &up, &admin, "\"0\"", &Value::Null).0, 403);
    // The same again is the same version; any will do where none is named.
    assert_eq!(played.with("PATCH", &path, &owner, "*", &reader).1, first);
    assert_eq!(played.with("PATCH", &path, &owner, "", &reader).1, first);
    assert_eq!(played.with("DELETE", &path, &owner, &first, &Value::Null).0, 204);
    assert_eq!(played.with("DELETE", &path, &owner, &first, &Value::Null).0, 404);
    // Whoever comes back is not who was seen.
    let back = "INSERT INTO members (org, person, role, created) VALUES ($1, $2, 'reader', 1)";
    let who = values![played.ours.id(), &played.member];
    played.server.db.write(Reach::Server, |rows| rows.execute(back, who)).unwrap();
    assert_eq!(played.with("DELETE", &path, &owner, &first, &Value::Null).0, 412);
}

/// Of several who have seen the same, one is faster.
#[test]
fn of_those_who_change_a_member_at_once_one_does() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let path = format!("/members/{}", played.member);
    for role in ["member", "reader", "admin"] {
        let (seen, body) = (played.tag(&path, &owner), json!({ "role": role }));
        let ask = || played.with("PATCH", &path, &owner, &seen, &body).0;
        let all: Vec<u16> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(all.iter().filter(|status| **status == 200).count(), 1, "{role}: {all:?}");
        assert_eq!(all.iter().filter(|status| **status == 412).count(), 3, "{role}: {all:?}");
    }
}

#[test]
fn the_roles_in_a_project_are_changed_as_they_were_seen() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let other = played.person(&played.member(&played.ours, Role::Reader));
    let path = format!("/projects/{}/members", played.project);
    let give = |tag: &str, person: &str, role: &Value| {
        played.with("PATCH", &path, &owner, tag, &json!({ "person": person, "role": role }))
    };
    let none = played.tag(&path, &owner);
    let (status, one, told) = give(&none, &played.member, &json!("member"));
    assert_eq!((status, &told["role"]), (200, &json!("member")));
    assert_eq!(played.tag(&path, &owner), one);
    let before = played.state();
    for (person, role) in [(&other, json!("admin")), (&played.member, Value::Null), (&played.member, json!("admin"))] {
        let (status, _, told) = give(&none, person, &role);
        assert_eq!((status, &told["code"]), (412, &json!("changed")), "{person} {role}");
        assert_eq!(played.told()["outcome"], "denied");
    }
    assert_eq!(played.state(), before);
    let (status, two, _) = give(&one, &other, &json!("admin"));
    assert_eq!(status, 200);
    // Whichever page of them one sees, it is of the same version.
    for page in ["?limit=1", "?limit=200"] {
        assert_eq!(played.tag(&format!("{path}{page}"), &owner), two);
    }
    assert!(played.tag("/projects/proj_web", &owner) != two && none != one && one != two);
    // A member who goes takes their roles along.
    assert_eq!(played.with("DELETE", &format!("/members/{other}"), &owner, "", &Value::Null).0, 204);
    assert_eq!(give(&two, &played.member, &Value::Null).0, 412);
    assert_eq!(give(&one, &played.member, &Value::Null), (200, none, json!({ "id": played.member, "role": null })));
    assert_eq!(give("", &played.member, &json!("member")).1, one);
}

#[test]
fn an_issuer_and_a_program_are_taken_away_as_they_were_seen() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    for path in [format!("/upstreams/{}", played.upstream), format!("/oauth-clients/{}", played.client)] {
        let first = played.tag(&path, &owner);
        let (status, second, _) = played.with("PATCH", &path, &owner, &first, &json!({ "name": "changed" }));
        assert_eq!(status, 200);
        let before = played.state();
        for (method, body) in [("PATCH", json!({ "name": "again" })), ("DELETE", Value::Null)] {
            assert_eq!(played.with(method, &path, &owner, &first, &body).0, 412, "{method} {path}");
        }
        assert_eq!(played.told()["outcome"], "denied");
        assert_eq!(played.state(), before);
        assert_eq!(played.with("DELETE", &path, &owner, &second, &Value::Null).0, 204);
    }
}
