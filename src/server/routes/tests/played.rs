//! The server that is asked, and those who ask it.

use super::*;

/// A server with two organizations of one shape.
pub(super) struct Played {
    pub(super) dir: tempfile::TempDir,
    pub(super) address: crate::server::db::Address,
    pub(super) server: Arc<Server>,
    pub(super) runtime: tokio::runtime::Runtime,
    pub(super) ours: OrgScope,
    pub(super) theirs: OrgScope,
    /// A credential of ours.
    pub(super) id: String,
    /// The API key of a member of ours.
    pub(super) key: String,
    /// A member, a project, an invitation, a workspace and a registry of ours.
    pub(super) member: String,
    pub(super) project: String,
    pub(super) invitation: String,
    pub(super) workspace: String,
    pub(super) registry: String,
    /// A trust rule of ours.
    pub(super) rule: String,
    /// A program of ours.
    pub(super) client: String,
    /// An issuer of ours.
    pub(super) upstream: String,
}

impl Played {
    pub(super) fn new() -> Self {
        let scratch = Scratch::new();
        let (ours, theirs) = (scratch.org.clone(), OrgScope::of("org_other"));
        scratch.organization(&theirs);
        let (stretching, asking) = room();
        let Scratch { dir, address, db, keys, .. } = scratch;
        let server = Arc::new(Server {
            db,
            keys,
            engine: crate::server::engine::Engine::default(),
            together: crate::server::audit::Together::default(),
            public: "http://127.0.0.1:7447".parse().unwrap(),
            proxies: crate::server::settings::Proxies::default(),
            allowed_hosts: Vec::new(),
            own: crate::server::connector::Own::of(
                &"http://127.0.0.1:7447".parse().unwrap(),
                &crate::server::db::Address::Sqlite("server.db".into()),
            ),
            env: Env::empty(),
            issuers: crate::server::trust::Issuers::default(),
            stretching,
            asking,
            limits: Limits::new(Rates { address: 0, token: 0, caller: 0, organization: 0 }),
            lanes: Lanes::new(),
            last_used: crate::server::last_used::LastUsed::default(),
            keeper: crate::server::health::Keeper::default(),
        });
        let mut id = String::new();
        for scope in [&theirs, &ours] {
            let vault = server.vault(scope.clone(), Actor::default());
            id = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap().id;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let text = |text: &str| text.to_owned();
        let mut played = Self {
            dir,
            address,
            server,
            runtime,
            ours,
            theirs,
            id,
            key: String::new(),
            rule: String::new(),
            client: String::new(),
            upstream: String::new(),
            member: String::new(),
            project: text("proj_web"),
            invitation: text("invited"),
            workspace: text("ws_ours"),
            registry: text("reg_ours"),
        };
        let reader = played.member(&played.ours, Role::Reader);
        played.member = played.person(&reader);
        played.key = crate::server::token::parse(&reader).unwrap().id;
        played.projects(&["web"]);
        played.fill();
        let admin = played.member(&played.ours, Role::Admin);
        let (status, made) = played.call(&Method::POST, "/trust-rules", Some(&admin));
        assert_eq!(status, StatusCode::CREATED);
        let made: Value = serde_json::from_str(&played.body(made)).unwrap();
        played.rule = made["id"].as_str().unwrap().to_owned();
        let (status, made) = played.call(&Method::POST, "/oauth-clients", Some(&admin));
        assert_eq!(status, StatusCode::CREATED);
        let made: Value = serde_json::from_str(&played.body(made)).unwrap();
        played.client = made["id"].as_str().unwrap().to_owned();
        let owner = played.member(&played.ours, Role::Owner);
        let (status, made) = played.call(&Method::POST, "/upstreams", Some(&owner));
        assert_eq!(status, StatusCode::CREATED);
        let made: Value = serde_json::from_str(&played.body(made)).unwrap();
        played.upstream = made["id"].as_str().unwrap().to_owned();
        // Whoever tests owners counts them.
        let gone = "DELETE FROM members WHERE person = $1";
        let owner = played.person(&owner);
        played.server.db.write(Reach::Server, |rows| rows.execute(gone, values![&owner])).unwrap();
        played
    }

    /// Somebody with a role in an organization, with a token that has these permissions and lives so long.
    pub(super) fn somebody(&self, scope: &OrgScope, role: Role, permissions: Permissions, life: TimeDelta) -> String {
        let person = crate::server::random::base62(12).unwrap().to_lowercase();
        let grant = Grant {
            scope: scope.clone(),
            person: person.clone(),
            client: String::new(),
            permissions,
            family: String::new(),
            project: None,
            bound: None,
        };
        let minted = self.server.db.write(Reach::Server, |rows| {
            rows.execute(
                "INSERT INTO people (id, login, passphrase, created) VALUES ($1, $1, '-', 0)",
                values![&person],
            )
            .unwrap();
            rows.execute(
                "INSERT INTO members (org, person, role, created) VALUES ($1, $2, $3, 0)",
                values![scope.id(), &person, role.word()],
            )
            .unwrap();
            bearer::issue(rows, Kind::Key, &grant, "key", life, now())
        });
        minted.unwrap().token.expose().to_owned()
    }

    pub(super) fn member(&self, scope: &OrgScope, role: Role) -> String {
        self.somebody(scope, role, Permissions::all(), TimeDelta::days(1))
    }

    /// A body that a route takes.
    pub(super) fn wanted(&self, method: &Method, path: &str) -> Value {
        match (method.as_str(), path.rsplit('/').next().unwrap()) {
            ("POST", "secrets") => json!({ "data": { "A": "2" } }),
            ("POST", "notes") => json!({ "used": { "at": "2030-01-01T00:00:00Z" } }),
            ("POST", "credential-configs") => json!({ "name": "n", "kind": "generic_env", "data": { "A": "1" } }),
            ("POST", "credentials") => json!({ "name": "n", "provider": "generic_env", "A": "1" }),
            ("POST", "api-keys") => json!({ "name": "n", "permissions": ["keys.manage"] }),
            ("POST", "projects" | "workspaces" | "organizations") => json!({ "name": "n" }),
            ("POST", "invitations") => json!({ "role": "reader", "for": "somebody" }),
            ("PATCH", "members") => json!({ "person": self.member, "role": null }),
            ("PATCH", _) if path.starts_with("/organizations") => json!({ "name": "changed" }),
            ("PATCH", _) if path.starts_with("/members") => json!({ "role": "reader" }),
            ("PATCH", _) if path.starts_with("/projects") => json!({ "name": "web" }),
            ("PATCH", _) if path.starts_with("/workspaces") => json!({ "credential_config_ids": [] }),
            ("POST", "registries") => json!({ "name": "n", "kind": "oci", "url": "https://127.0.0.1" }),
            ("PATCH", _) if path.starts_with("/registries") => json!({ "name": "changed" }),
            ("POST", "trust-rules") => json!({
                "name": "n", "issuer": "https://id.example", "subject": "a", "permissions": ["credentials.read"],
            }),
            ("POST", "try") => json!({ "token": "none" }),
            ("POST", "refresh") => json!({}),
            ("PATCH", _) if path.starts_with("/trust-rules") => json!({ "name": "changed" }),
            ("POST", "oauth-clients") => json!({ "name": "n", "redirect_uris": ["http://127.0.0.1/callback"] }),
            ("PATCH", _) if path.starts_with("/oauth-clients") => json!({ "name": "changed" }),
            ("POST", "upstreams") => json!({ "name": "n", "issuer": "https://id.example" }),
            ("PATCH", _) if path.starts_with("/upstreams") => json!({ "name": "changed" }),
            ("PATCH", _) => json!({ "note": "changed" }),
            _ => Value::Null,
        }
    }

    pub(super) fn call(&self, method: &Method, path: &str, token: Option<&str>) -> (StatusCode, Response) {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = self.wanted(method, path);
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap();
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        let response = self.runtime.block_on(service.call(request)).unwrap();
        told(method, path, &response);
        (response.status(), response)
    }

    pub(super) fn body(&self, response: Response) -> String {
        let bytes = self.runtime.block_on(axum::body::to_bytes(response.into_body(), 32 << 20)).unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Everything of ours.
    pub(super) fn state(&self) -> String {
        let vault = self.server.vault(self.ours.clone(), Actor::default());
        let own = "SELECT * FROM organizations WHERE id = $1";
        let own = self.server.db.read(Reach::Server, |rows| rows.query(own, values![self.ours.id()])).unwrap();
        let mut state = format!("{:?}{own:?}", vault.list().unwrap());
        for table in [
            "members",
            "projects",
            "project_roles",
            "member_invitations",
            "workspaces",
            "registries",
            "trust_rules",
            "oauth_clients",
            "upstreams",
        ] {
            let all = format!("SELECT * FROM {table} WHERE org = $1 ORDER BY 2, 3");
            let rows = self.server.db.read(Reach::Server, |rows| rows.query(&all, values![self.ours.id()])).unwrap();
            state = format!("{state}{rows:?}");
        }
        state
    }
}
