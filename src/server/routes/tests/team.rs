//! Who may change who may do what, and what a role in a project opens.

use super::*;

impl Played {
    /// The person of a token.
    pub(super) fn person(&self, token: &str) -> String {
        let id = crate::server::token::parse(token).unwrap().id;
        let one = "SELECT person FROM tokens WHERE id = $1";
        self.server.db.read(Reach::Server, |rows| rows.first(one, values![&id])?.unwrap().text(0)).unwrap()
    }

    /// Makes projects of ours.
    pub(super) fn projects(&self, names: &[&str]) {
        let make = "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ($1, $2, $3, $3, 0, 1)";
        for name in names {
            let id = format!("proj_{name}");
            self.server
                .db
                .write(Reach::Server, |rows| rows.execute(make, values![self.ours.id(), &id, *name]))
                .unwrap();
        }
    }

    /// Makes an invitation, a workspace and a registry of ours.
    pub(super) fn fill(&self) {
        let invitation = "INSERT INTO member_invitations (org, id, hash, role, note, inviter, created, expires) \
                          VALUES ($1, $2, $3, 'reader', '', $4, 0, 9000000000000)";
        let workspace = "INSERT INTO workspaces (org, id, project, name, folded, created, revision) \
                         VALUES ($1, $2, '', 'first', 'first', 0, 1)";
        // Nobody is asked there: the address is this machine's.
        let registry = "INSERT INTO registries (org, id, project, name, folded, kind, url, repositories, created, \
                        revision, outcome, reason, charts) \
                        VALUES ($1, $2, '', 'first', 'first', 'oci', 'https://127.0.0.1', '[]', 0, 1, '', '', 0)";
        let made = self.server.db.write(Reach::Server, |rows| {
            rows.execute(invitation, values![self.ours.id(), &self.invitation, &[7; 32], &self.member])?;
            rows.execute(workspace, values![self.ours.id(), &self.workspace])?;
            rows.execute(registry, values![self.ours.id(), &self.registry])
        });
        assert_eq!(made.unwrap(), 1);
    }

    /// A path with the identifier of what it is about: something of ours.
    pub(super) fn path(&self, path: &str) -> String {
        let id = match path.split('/').nth(1).unwrap() {
            "members" if path.starts_with("/members/api-keys/") => &self.key,
            "members" => &self.member,
            "organizations" => return path.replace("{id}", self.ours.id()),
            "projects" => &self.project,
            "invitations" => &self.invitation,
            "workspaces" => &self.workspace,
            "registries" => &self.registry,
            "trust-rules" => &self.rule,
            "oauth-clients" => &self.client,
            "upstreams" => &self.upstream,
            _ => &self.id,
        };
        path.replace("{id}", id)
    }

    /// The same, but an API key is the one that is shown, and a program one of its owner's: nobody has to do with another's.
    pub(super) fn path_of(&self, path: &str, token: &str) -> String {
        if path.starts_with("/programs/") {
            return path.replace("{id}", &self.program(token));
        }
        let is_key = path.starts_with("/api-keys/");
        if is_key { path.replace("{id}", &crate::server::token::parse(token).unwrap().id) } else { self.path(path) }
    }

    pub(super) fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) })
            .unwrap();
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        let response = self.runtime.block_on(service.call(request)).unwrap();
        let status = response.status();
        (status, serde_json::from_str(&self.body(response)).unwrap_or_default())
    }

    /// The last entry of our audit.
    pub(super) fn told(&self) -> Value {
        let last = "SELECT entry FROM audit_events WHERE org = $1 ORDER BY sequence DESC LIMIT 1";
        let entry =
            self.server.db.read(Reach::Server, |rows| rows.first(last, values![self.ours.id()])?.unwrap().text(0));
        serde_json::from_str(&entry.unwrap()).unwrap()
    }
}

/// Every role tries to make every role out of every role, and to invite and remove it.
#[test]
fn nobody_gives_or_takes_more_than_they_have() {
    let played = Played::new();
    for actor in Role::ALL {
        let token = played.member(&played.ours, actor);
        let may_manage = matches!(actor, Role::Owner | Role::Admin);
        for from in Role::ALL {
            for to in Role::ALL {
                let target = played.person(&played.member(&played.ours, from));
                let (status, told) =
                    played.ask("PATCH", &format!("/members/{target}"), &token, &json!({ "role": to.word() }));
                let may = may_manage && actor.covers(from) && actor.covers(to);
                let expected = if may { StatusCode::OK } else { StatusCode::FORBIDDEN };
                assert_eq!(status, expected, "{actor:?} makes {from:?} {to:?}: {told}");
                let outcome = if may { "done" } else { "denied" };
                assert_eq!(played.told()["outcome"], outcome, "{actor:?} makes {from:?} {to:?}");
            }
            let target = played.person(&played.member(&played.ours, from));
            let may = may_manage && actor.covers(from);
            let (invited, _) =
                played.ask("POST", "/invitations", &token, &json!({ "role": from.word(), "for": "somebody" }));
            assert_eq!(invited == StatusCode::CREATED, may, "{actor:?} invites {from:?}: {invited}");
            let (removed, _) = played.ask("DELETE", &format!("/members/{target}"), &token, &Value::Null);
            assert_eq!(removed == StatusCode::NO_CONTENT, may, "{actor:?} removes {from:?}: {removed}");
        }
    }
    // Nor with a token that was given less than its person has.
    let narrow = Permissions::parse("members.manage members.read").unwrap();
    let narrow = played.somebody(&played.ours, Role::Owner, narrow, TimeDelta::days(1));
    assert_eq!(
        played.ask("POST", "/invitations", &narrow, &json!({ "role": "reader", "for": "somebody" })).0,
        StatusCode::FORBIDDEN
    );
    let owner = played.member(&played.ours, Role::Owner);
    for role in ["Admin", "ADMIN", "admin ", "аdmin", "", "root"] {
        let (status, _) = played.ask("POST", "/invitations", &owner, &json!({ "role": role, "for": "somebody" }));
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{role}");
    }
}

#[test]
fn the_last_owner_stays() {
    let played = Played::new();
    let one = played.member(&played.ours, Role::Owner);
    let path = format!("/members/{}", played.person(&one));
    for (method, body) in [("DELETE", Value::Null), ("PATCH", json!({ "role": "admin" }))] {
        let (status, told) = played.ask(method, &path, &one, &body);
        assert_eq!((status, &told["type"]), (StatusCode::CONFLICT, &json!("urn:lanyard:problem:last-owner")));
    }
    // Of two who remove each other at once, one stays.
    for _ in 0..8 {
        let other = played.member(&played.ours, Role::Owner);
        let gone = format!("/members/{}", played.person(&other));
        std::thread::scope(|scope| {
            scope.spawn(|| played.ask("PATCH", &gone, &one, &json!({ "role": "reader" })));
            scope.spawn(|| played.ask("PATCH", &path, &other, &json!({ "role": "reader" })));
        });
        let count = "SELECT COUNT(*) FROM members WHERE org = $1 AND role = 'owner'";
        let owners = |count| {
            played
                .server
                .db
                .read(Reach::Server, |rows| rows.first(count, values![played.ours.id()])?.unwrap().int(0))
                .unwrap()
        };
        assert_eq!(owners(count), 1);
        let again = "UPDATE members SET role = 'owner' WHERE org = $1 AND person = $2";
        let first = played.person(&one);
        played.server.db.write(Reach::Server, |rows| rows.execute(again, values![played.ours.id(), &first])).unwrap();
        let less = "UPDATE members SET role = 'reader' WHERE org = $1 AND person <> $2";
        played.server.db.write(Reach::Server, |rows| rows.execute(less, values![played.ours.id(), &first])).unwrap();
    }
}

#[test]
fn a_change_counts_for_tokens_that_are_out() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let token = played.member(&played.ours, Role::Member);
    let path = format!("/members/{}", played.person(&token));
    let secrets = format!("/credential-configs/{}/secrets", played.id);
    let reads = |token: &str| played.ask("GET", &secrets, token, &Value::Null).0;
    assert_eq!(reads(&token), StatusCode::OK);
    assert_eq!(played.ask("PATCH", &path, &owner, &json!({ "role": "reader" })).0, StatusCode::OK);
    assert_eq!(reads(&token), StatusCode::FORBIDDEN);
    assert_eq!(played.ask("PATCH", &path, &owner, &json!({ "role": "member" })).0, StatusCode::OK);
    assert_eq!(reads(&token), StatusCode::OK);
    assert_eq!(played.ask("DELETE", &path, &owner, &Value::Null).0, StatusCode::NO_CONTENT);
    assert_eq!(reads(&token), StatusCode::UNAUTHORIZED);
    // Whoever comes back does not have what they had before.
    let person = path.rsplit('/').next().unwrap();
    let back = "INSERT INTO members (org, person, role, created) VALUES ($1, $2, 'owner', 0)";
    played.server.db.write(Reach::Server, |rows| rows.execute(back, values![played.ours.id(), person])).unwrap();
    assert_eq!(reads(&token), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_role_in_a_project_opens_that_project_alone() {
    let played = Played::new();
    played.projects(&["api"]);
    let owner = played.member(&played.ours, Role::Owner);
    let token = played.member(&played.ours, Role::Reader);
    let person = played.person(&token);
    let store = |token: &str, project: &str, name: &str| {
        let body = json!({ "name": name, "kind": "generic_env", "project": project, "data": { "A": "1" } });
        played.ask("POST", "/credential-configs", token, &body)
    };
    let (_, web) = store(&owner, "web", "w");
    let (_, api) = store(&owner, "api", "a");
    let one = |made: &Value| format!("/credential-configs/{}", made["id"].as_str().unwrap());
    let (web, api) = (one(&web), one(&api));
    assert_eq!(store(&token, "web", "x").0, StatusCode::FORBIDDEN);
    let give = |token: &str, project: &str, role: &Value| {
        let body = json!({ "person": person, "role": role });
        played.ask("PATCH", &format!("/projects/proj_{project}/members"), token, &body).0
    };
    assert_eq!(give(&token, "web", &json!("member")), StatusCode::FORBIDDEN, "not to oneself");
    for bad in [json!("owner"), json!("reader"), json!("Admin")] {
        assert_eq!(give(&owner, "web", &bad), StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(give(&owner, "web", &json!("member")), StatusCode::OK);
    assert_eq!(store(&token, "web", "x").0, StatusCode::CREATED);
    for (project, name) in [("api", "x"), ("", "x")] {
        assert_eq!(store(&token, project, name).0, StatusCode::FORBIDDEN, "{project}");
    }
    let org_wide = format!("/credential-configs/{}", played.id);
    for (path, expected) in [(&web, StatusCode::OK), (&api, StatusCode::FORBIDDEN), (&org_wide, StatusCode::FORBIDDEN)]
    {
        assert_eq!(played.ask("GET", &format!("{path}/secrets"), &token, &Value::Null).0, expected, "{path}");
        let data = json!({ "data": { "A": "2" } });
        assert_eq!(played.ask("POST", &format!("{path}/secrets"), &token, &data).0, expected, "{path}");
        let note = json!({ "note": "x" });
        assert_eq!(played.ask("PATCH", path, &token, &note).0, expected, "{path}");
        assert_eq!(
            played
                .ask("POST", &format!("{path}/notes"), &token, &json!({ "used": { "at": "2030-01-01T00:00:00Z" } }))
                .0
                .is_success(),
            expected == StatusCode::OK
        );
    }
    // What is used through the organization's is not used by whoever has the project alone.
    let through = json!({
        "name": "through", "kind": "registry_ecr", "project": "web", "data": {},
        "fields": { "url": "https://public.ecr.aws", "source": "db", "region": "us-east-1" },
    });
    let (status, made) = played.ask("POST", "/credential-configs", &token, &through);
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(played.ask("POST", &format!("{}/verify", one(&made)), &token, &Value::Null).0, StatusCode::FORBIDDEN);
    // Out of the project and into it needs a right at both ends.
    assert_eq!(played.ask("PATCH", &web, &token, &json!({ "project": "api" })).0, StatusCode::FORBIDDEN);
    assert_eq!(played.ask("PATCH", &web, &token, &json!({ "project": "" })).0, StatusCode::FORBIDDEN);
    assert_eq!(played.ask("DELETE", &api, &token, &Value::Null).0, StatusCode::FORBIDDEN);
    // A member of a project gives nobody anything; its admin does, within it.
    assert_eq!(give(&token, "web", &json!("admin")), StatusCode::FORBIDDEN);
    assert_eq!(give(&owner, "web", &json!("admin")), StatusCode::OK);
    assert_eq!(give(&token, "web", &json!("member")), StatusCode::OK);
    assert_eq!(give(&owner, "web", &json!("admin")), StatusCode::OK);
    assert_eq!(give(&token, "api", &json!("member")), StatusCode::FORBIDDEN);
    let rename = |project: &str| {
        played.ask("PATCH", &format!("/projects/proj_{project}"), &token, &json!({ "name": "renamed" })).0
    };
    assert_eq!((rename("api"), rename("web")), (StatusCode::FORBIDDEN, StatusCode::OK));
    // The name has changed, and what was sealed under it opens.
    let (status, opened) = played.ask("GET", &format!("{web}/secrets"), &token, &Value::Null);
    assert_eq!((status, &opened["data"]["A"]), (StatusCode::OK, &json!("2")));
    assert_eq!(give(&owner, "web", &Value::Null), StatusCode::OK);
    assert_eq!(played.ask("GET", &format!("{web}/secrets"), &token, &Value::Null).0, StatusCode::FORBIDDEN);
}

#[test]
fn what_is_another_organizations_is_not_named_in_a_body_either() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let stranger = played.person(&played.member(&played.theirs, Role::Owner));
    let theirs = played.server.vault(played.theirs.clone(), Actor::default()).list().unwrap()[0].id.clone();
    let project = "INSERT INTO projects (org, id, name, folded, created, revision) VALUES ($1, $2, $2, $2, 0, 1)";
    played.server.db.write(Reach::Server, |rows| rows.execute(project, values![played.theirs.id(), "secret"])).unwrap();
    let before = played.state();
    for (method, path, foreign, unknown) in [
        (
            "PATCH",
            "/workspaces/ws_ours",
            json!({ "credential_config_ids": [theirs] }),
            json!({ "credential_config_ids": ["cred_x"] }),
        ),
        (
            "PATCH",
            "/projects/proj_web/members",
            json!({ "person": stranger, "role": "member" }),
            json!({ "person": "person_x", "role": "member" }),
        ),
        (
            "POST",
            "/workspaces",
            json!({ "name": "w", "project": "secret" }),
            json!({ "name": "w", "project": "other" }),
        ),
        (
            "POST",
            "/credential-configs",
            json!({ "name": "w", "kind": "generic_env", "project": "secret", "data": { "A": "1" } }),
            json!({ "name": "w", "kind": "generic_env", "project": "other", "data": { "A": "1" } }),
        ),
    ] {
        let (status, told) = played.ask(method, path, &owner, &foreign);
        let (other, expected) = played.ask(method, path, &owner, &unknown);
        assert_eq!((status, other), (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY), "{path}");
        let plain =
            |told: &Value| unnumbered(&told.to_string()).to_string().replace(&theirs, "ID").replace("cred_x", "ID");
        assert_eq!(plain(&told), plain(&expected), "{path}");
    }
    assert_eq!(played.state(), before);
}
