//! What is told of each route of the API: what was done and by whom, what was refused; and that looking changes nothing.

use std::collections::BTreeMap;

use super::*;
use About::{Asker, Made, Named, Nothing};

/// What an entry names as what it is about.
#[derive(Debug, Clone, Copy)]
enum About {
    Nothing,
    /// What the path names.
    Named,
    /// What the answer names.
    Made,
    /// Whoever asks.
    Asker,
}

/// What each route tells when an owner asks it for something that is there: actions, each of which tells once, the outcome
/// of the last of them, and what all are about. Where nothing is told, there is no action.
const TOLD: &[(&str, &str, &str, &str, About)] = &[
    ("GET", "/userinfo", "", "", Nothing),
    ("POST", "/userinfo", "", "", Nothing),
    ("GET", "/credential-configs", "credential.list", "done", Nothing),
    ("POST", "/credential-configs", "credential.create", "done", Made),
    ("GET", "/credential-configs/{id}", "credential.show", "done", Named),
    ("PATCH", "/credential-configs/{id}", "credential.amend", "done", Named),
    ("DELETE", "/credential-configs/{id}", "credential.delete", "done", Named),
    ("GET", "/credential-configs/{id}/secrets", "secret.read", "done", Named),
    ("POST", "/credential-configs/{id}/secrets", "credential.replace", "done", Named),
    ("POST", "/credential-configs/{id}/notes", "credential.use", "done", Named),
    // Variables are asked about nowhere, and come of no sign-in.
    ("POST", "/credential-configs/{id}/verify", "secret.read credential.verify request", "denied", Named),
    ("POST", "/credential-configs/{id}/connect", "request", "denied", Named),
    ("POST", "/credential-configs/{id}/disconnect", "request", "denied", Named),
    ("POST", "/credential-configs/{id}/refresh", "request", "denied", Named),
    ("GET", "/api/v1/credentials", "credential.list", "done", Nothing),
    ("POST", "/api/v1/credentials", "credential.create", "done", Made),
    ("GET", "/api/v1/credentials/{id}", "credential.show", "done", Named),
    ("PATCH", "/api/v1/credentials/{id}", "credential.amend", "done", Named),
    ("DELETE", "/api/v1/credentials/{id}", "credential.delete", "done", Named),
    ("GET", "/api-keys", "key.list", "done", Nothing),
    ("POST", "/api-keys", "key.create", "done", Made),
    ("DELETE", "/api-keys/{id}", "key.revoke", "done", Named),
    ("GET", "/programs", "program.list", "done", Nothing),
    ("DELETE", "/programs/{id}", "program.end", "done", Named),
    ("POST", "/organizations", "organization.create", "done", Made),
    ("GET", "/organizations/{id}", "organization.show", "done", Named),
    ("PATCH", "/organizations/{id}", "organization.change", "done", Named),
    // Nobody has named it, and nobody leaves by a key.
    ("DELETE", "/organizations/{id}", "organization.delete", "denied", Named),
    ("GET", "/members", "member.list", "done", Nothing),
    ("GET", "/members/{id}", "member.show", "done", Named),
    ("POST", "/members/leave", "member.leave", "denied", Asker),
    ("PATCH", "/members/{id}", "member.role", "done", Named),
    ("DELETE", "/members/{id}", "member.remove", "done", Named),
    ("GET", "/members/api-keys", "key.list", "done", Nothing),
    ("DELETE", "/members/api-keys/{id}", "key.revoke", "done", Named),
    ("GET", "/invitations", "invitation.list", "done", Nothing),
    ("POST", "/invitations", "invitation.create", "done", Made),
    ("DELETE", "/invitations/{id}", "invitation.withdraw", "done", Named),
    ("GET", "/projects", "project.list", "done", Nothing),
    ("POST", "/projects", "project.create", "done", Made),
    ("GET", "/projects/{id}", "project.show", "done", Named),
    ("PATCH", "/projects/{id}", "project.rename", "done", Named),
    ("DELETE", "/projects/{id}", "project.delete", "done", Named),
    ("GET", "/projects/{id}/members", "project.members", "done", Named),
    ("PATCH", "/projects/{id}/members", "project.role", "done", Named),
    ("GET", "/workspaces", "workspace.list", "done", Nothing),
    ("POST", "/workspaces", "workspace.create", "done", Made),
    ("GET", "/workspaces/{id}", "workspace.show", "done", Named),
    ("PATCH", "/workspaces/{id}", "workspace.amend", "done", Named),
    ("DELETE", "/workspaces/{id}", "workspace.delete", "done", Named),
    ("GET", "/registries", "registry.list", "done", Nothing),
    ("POST", "/registries", "registry.create", "done", Made),
    ("GET", "/registries/{id}", "registry.show", "done", Named),
    ("PATCH", "/registries/{id}", "registry.amend", "done", Named),
    ("DELETE", "/registries/{id}", "registry.delete", "done", Named),
    // Nobody is asked at an address of this machine.
    ("POST", "/registries/{id}/sync", "registry.sync", "failed", Named),
    ("GET", "/registries/{id}/charts", "registry.charts", "done", Named),
    ("GET", "/trust-rules", "trust-rule.list", "done", Nothing),
    ("POST", "/trust-rules", "trust-rule.create", "done", Made),
    ("POST", "/trust-rules/try", "trust-rule.try", "failed", Nothing),
    ("GET", "/trust-rules/{id}", "trust-rule.read", "done", Named),
    ("PATCH", "/trust-rules/{id}", "trust-rule.change", "done", Named),
    ("DELETE", "/trust-rules/{id}", "trust-rule.delete", "done", Named),
    ("GET", "/oauth-clients", "client.list", "done", Nothing),
    ("POST", "/oauth-clients", "client.create", "done", Made),
    ("GET", "/oauth-clients/{id}", "client.show", "done", Named),
    ("PATCH", "/oauth-clients/{id}", "client.change", "done", Named),
    ("DELETE", "/oauth-clients/{id}", "client.delete", "done", Named),
    ("GET", "/upstreams", "upstream.list", "done", Nothing),
    ("POST", "/upstreams", "upstream.create", "done", Made),
    ("GET", "/upstreams/{id}", "upstream.read", "done", Named),
    ("PATCH", "/upstreams/{id}", "upstream.change", "done", Named),
    ("DELETE", "/upstreams/{id}", "upstream.delete", "done", Named),
    ("GET", "/audit", "audit.list", "done", Nothing),
    ("GET", "/audit/export", "audit.export", "done", Nothing),
    ("GET", "/audit/verify", "audit.verify", "done", Nothing),
    ("GET", "/audit/key", "audit.key", "done", Nothing),
];

impl Played {
    /// The whole database, table by table, but for the audit and for when a token or session was last used.
    pub(super) fn everything(&self) -> BTreeMap<String, Vec<String>> {
        let passed_over = [
            ("tokens", "used"),
            ("tokens", "used_from"),
            ("sessions", "used"),
            ("sessions", "address"),
            ("sessions", "agent"),
        ];
        self.server
            .db
            .read(Reach::Server, |rows| {
                let mut all = BTreeMap::new();
                for table in rows.tables()?.into_iter().filter(|table| !table.name.starts_with("audit_")) {
                    let is_kept = |column: &str| !passed_over.contains(&(table.name.as_str(), column));
                    let found = rows.query(&table.all(), &[])?;
                    let text = |row: &crate::server::db::Row| {
                        let named = table.columns.iter().zip(row.values()).filter(|(column, _)| is_kept(column));
                        named.map(|(column, value)| format!("{column}={value:?} ")).collect::<String>()
                    };
                    let mut lines: Vec<String> = found.iter().map(text).collect();
                    lines.sort();
                    all.insert(table.name.clone(), lines);
                }
                Ok::<_, crate::server::db::DbError>(all)
            })
            .unwrap()
    }

    /// What comes into our audit while something is done.
    pub(super) fn told_by<T>(&self, work: impl FnOnce() -> T) -> (T, Vec<Value>) {
        let before = self.entries(&self.ours).len();
        let done = work();
        (done, self.entries(&self.ours).split_off(before))
    }
}

/// Holds what was told against who asked and what for.
#[track_caller]
fn is_of(played: &Played, token: &str, number: &str, told: &[Value], expected: (&str, &str, Option<&str>)) {
    let [entry] = told else { panic!("{} entries: {told:?}", told.len()) };
    let (action, outcome, object) = expected;
    assert_eq!((entry["action"].as_str(), entry["outcome"].as_str()), (Some(action), Some(outcome)), "{entry}");
    assert_eq!(entry.get("object").and_then(Value::as_str), object, "{entry}");
    assert_eq!(entry["actor"], played.person(token), "{entry}");
    assert_eq!(entry["token"], crate::server::token::parse(token).unwrap().id, "{entry}");
    assert_eq!(entry["request"], number, "{entry}");
    assert_eq!(entry["organization"], played.ours.id(), "{entry}");
}

fn number(response: &Response) -> String {
    response.headers()["x-request-id"].to_str().unwrap().to_owned()
}

#[test]
fn every_route_tells_what_was_done_and_looking_changes_nothing() {
    let demanding: Vec<_> = api().into_iter().filter(|(_, _, access)| *access != "anyone").collect();
    let listed: Vec<_> = TOLD.iter().map(|(method, path, ..)| ((*method).to_owned(), *path)).collect();
    assert_eq!(demanding.into_iter().map(|(method, path, _)| (method, path)).collect::<Vec<_>>(), listed);
    let (mut played, mut is_changed) = (Played::new(), false);
    for &(method, path, action, outcome, about) in TOLD {
        if is_changed || method != "GET" {
            played = Played::new();
        }
        is_changed = method != "GET";
        let token = played.member(&played.ours, Role::Owner);
        let mut path = played.path(path);
        if path.starts_with("/api-keys/") {
            let own = json!({ "name": "n", "permissions": ["keys.manage"] });
            path = format!("/api-keys/{}", played.ask("POST", "/api-keys", &token, &own).1["id"].as_str().unwrap());
        }
        if path.starts_with("/programs/") {
            path = played.path_of("/programs/{id}", &token);
        }
        let before = played.everything();
        let mut body = played.wanted(&method.parse().unwrap(), &path);
        if body.get("name").is_some() && method == "POST" {
            body["name"] = json!("another");
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let ((status, response), told) =
            played.told_by(|| played.send_body(&method.parse().unwrap(), &path, &token, "application/json", body));
        let (number, body) = (number(&response), played.body(response));
        assert_eq!(status.is_success(), outcome != "denied", "{method} {path}: {status} {body}");
        if action.is_empty() {
            assert_eq!(told, Vec::<Value>::new(), "{method} {path}");
            continue;
        }
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let asker = played.person(&token);
        let object = match about {
            Nothing => None,
            Named => path.split('/').find(|part| part.contains('_') || *part == played.invitation),
            Made => answer["id"].as_str(),
            Asker => Some(asker.as_str()),
        };
        let is_last = ["/members/", "/api-keys/", "/programs/"].iter().any(|begin| path.starts_with(begin));
        let object = if matches!(about, Named) && is_last { path.rsplit('/').next() } else { object };
        let actions: Vec<_> = action.split(' ').collect();
        assert_eq!(told.len(), actions.len(), "{method} {path}: {told:?}");
        for (number_of_it, (action, entry)) in actions.iter().zip(told.chunks(1)).enumerate() {
            let outcome = if number_of_it + 1 == actions.len() { outcome } else { "done" };
            is_of(&played, &token, &number, entry, (action, outcome, object));
        }
        let is_same = before == played.everything();
        assert!(is_same || !(method == "GET" || outcome == "denied"), "{method} {path} changed something");
        let changes = outcome == "done" && !["project.role", "member.role"].contains(&action);
        assert!(method == "GET" || !changes || !is_same, "{method} {path} changed nothing");
    }
}

#[test]
fn every_route_tells_whom_it_did_not_let_in() {
    let played = Played::new();
    let all: Vec<Permission> = Permission::ALL.into_iter().collect();
    let ended = played.somebody(&played.ours, Role::Owner, Permissions::all(), TimeDelta::seconds(-1));
    for (method, path, access) in api() {
        let Some(needed) = all.iter().find(|known| known.word() == access) else { continue };
        let (method, path): (Method, _) = (method.parse().unwrap(), played.path(path));
        let others: Permissions = all.iter().copied().filter(|known| known != needed).collect();
        let lacking = played.somebody(&played.ours, Role::Owner, others, TimeDelta::days(1));
        let id = crate::server::token::parse(&ended).unwrap().id;
        for (token, expected, object) in
            [(&lacking, StatusCode::FORBIDDEN, needed.word()), (&ended, StatusCode::UNAUTHORIZED, id.as_str())]
        {
            let before = played.everything();
            let ((status, response), told) = played.told_by(|| played.call(&method, &path, Some(token)));
            assert_eq!(status, expected, "{method} {path}");
            is_of(&played, token, &number(&response), &told, ("access", "denied", Some(object)));
            assert!(before == played.everything(), "{method} {path} changed something");
        }
    }
}

#[test]
fn every_route_tells_what_it_refused_to_whom_it_let_in() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Owner);
    for (method, path, access) in api() {
        if access == "anyone" {
            continue;
        }
        let (method, what): (Method, _) = (method.parse().unwrap(), format!("{method} {path}"));
        let unknown = path.replace("{id}", "unknown_1");
        let bodies = [None, Some(r#"{"hunter2":1}"#), Some("[")];
        for body in bodies {
            let before = played.everything();
            let path = if path.contains("{id}") { unknown.clone() } else { format!("{path}?limit=0") };
            let ((status, response), told) = played.told_by(|| match body {
                None => played.call(&method, &path, Some(&token)),
                Some(body) => played.send_body(&method, &path, &token, "application/json", body.to_owned()),
            });
            if !status.is_client_error() {
                // Nothing of this was wrong.
                assert!(status.is_success() && !path.contains("unknown_1"), "{what} {body:?}: {status}");
                continue;
            }
            let [entry] = &told[..] else { panic!("{what} {body:?}: {told:?}") };
            assert_eq!(entry["outcome"], "denied", "{what}: {entry}");
            assert_eq!(
                (&entry["actor"], &entry["request"]),
                (&json!(played.person(&token)), &json!(number(&response)))
            );
            if path.contains("unknown_1") {
                assert_eq!(entry["object"], "unknown_1", "{what}: {entry}");
            }
            if entry["action"] == "request" {
                let body: Value = serde_json::from_str(&played.body(response)).unwrap();
                assert_eq!(entry["detail"], format!("{what}: {}", body["code"].as_str().unwrap()));
            }
            assert!(!entry.to_string().contains("hunter2"), "{what}: {entry}");
            assert!(before == played.everything(), "{what} changed something");
        }
    }
}
