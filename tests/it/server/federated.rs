//! Jobs of outside services that sign in without a secret, against an issuer of our own making.

use serde_json::{Value, json};

use super::postgres::Postgres;
use super::served::{Browser, Served};
use crate::double::{Answer, Double, Seen};
use crate::idp::keys::{self, Signing};
use crate::stage::Stage;
use crate::wire::{self, Message};

const MAIN: &str = "repo:acme/web:ref:refs/heads/main";
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// An issuer, as GitHub's is one: its document, its keys, and the place where a job asks for its token.
pub fn issuer() -> Double {
    issuer_that(|| ())
}

/// One that does something before it gives its keys.
pub fn issuer_that(does: impl Fn() + Send + Sync + 'static) -> Double {
    Double::start(move |seen: &Seen| {
        let own = format!("http://{}", seen.header("host").unwrap_or_default());
        match seen.path() {
            "/.well-known/openid-configuration" => {
                Answer::json(200, &json!({ "issuer": own, "jwks_uri": format!("{own}/jwks") }))
            }
            "/jwks" => {
                does();
                Answer::json(200, &keys::jwks(false))
            }
            "/token" if seen.bears("runtime") => {
                let audience = wire::fields(seen.target.split_once('?').unwrap().1.as_bytes());
                let audience = wire::field(&audience, "audience").unwrap_or_default();
                let token = keys::sign(&json!({}), &claims(&own, audience, &json!({})), &Signing::Rs256);
                Answer::json(200, &json!({ "value": token }))
            }
            _ => Answer::json(404, "{}"),
        }
    })
}

/// What a job's token says, with changes.
pub fn claims(issuer: &str, audience: &str, changes: &Value) -> Value {
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": issuer, "aud": audience, "sub": MAIN, "iat": now, "nbf": now, "exp": now + 300,
        "repository": "acme/web", "ref_protected": "true", "run_id": "4711",
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// A server with an administrator's token, and an issuer that it may ask.
pub struct Scene {
    pub served: Served,
    pub issuer: Double,
    pub admin: String,
    pub organization: String,
}

impl Scene {
    pub fn new() -> Self {
        Self::on(Served::new(&["--allow-host", "127.0.0.1"]))
    }

    pub fn on(served: Served) -> Self {
        let stage = Stage::new();
        stage.write_config("[defaults]\nstorage = \"plain\"\n");
        served.sign_in_with(&stage, "credentials.read,credentials.write,secrets.read,trust.manage");
        let admin = super::served::token(&stage);
        let me = served.api("GET", "/userinfo", &admin, "").json();
        let organization = me["organization"]["id"].as_str().unwrap().to_owned();
        Self { served, issuer: issuer(), admin, organization }
    }

    pub fn rule(&self, changes: &Value) -> Message {
        let mut rule = json!({
            "name": "web", "issuer": self.issuer.url().trim_end_matches('/'), "subject": "repo:acme/web:ref:refs/heads/*",
            "claims": { "ref_protected": "true" }, "permissions": ["credentials.read", "secrets.read"], "lifetime": 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            rule[name] = value.clone();
        }
        self.served.api("POST", "/trust-rules", &self.admin, &rule.to_string())
    }

    pub fn token(&self, changes: &Value) -> String {
        self.signed(changes, &Signing::Rs256)
    }

    pub fn signed(&self, changes: &Value, signing: &Signing) -> String {
        keys::sign(&json!({}), &claims(self.issuer.url().trim_end_matches('/'), &self.served.url, changes), signing)
    }

    pub fn exchange(&self, token: &str, changes: &[(&str, &str)]) -> Message {
        exchange(&self.served.url, &self.organization, token, changes)
    }

    pub fn forget_failures(&self) {
        self.served.sql("DELETE FROM attempts");
    }
}

/// Has the server at an address exchange the token of a job; a change to an empty value leaves a field out.
pub fn exchange(url: &str, organization: &str, token: &str, changes: &[(&str, &str)]) -> Message {
    let mut fields = vec![
        ("grant_type", EXCHANGE),
        ("client_id", "lanyard"),
        ("subject_token", token),
        ("subject_token_type", JWT),
        ("audience", organization),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    wire::post_form(&format!("{url}/token"), &fields).unwrap()
}

#[test]
fn a_job_whose_token_fits_gets_a_token_for_a_while() {
    let scene = Scene::new();
    let made = scene.rule(&json!({}));
    assert_eq!(made.status(), 201, "{}", made.text());
    let made = made.json();
    assert_eq!((made["audience"].as_str(), made["mode"].as_str()), (Some(scene.served.url.as_str()), Some("enforce")));
    let given = scene.exchange(&scene.token(&json!({})), &[]);
    assert_eq!(given.status(), 200, "{}", given.text());
    let given = given.json();
    assert_eq!(given["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!((given["expires_in"].as_i64(), given["token_type"].as_str()), (Some(600), Some("Bearer")));
    assert!(given.get("refresh_token").is_none());
    let token = given["access_token"].as_str().unwrap();
    assert!(token.starts_with("lny_job_"));
    let api = |method: &str, path: &str, body: &str| scene.served.api(method, path, token, body);
    assert_eq!(api("GET", "/credential-configs", "").status(), 200);
    assert_eq!(api("POST", "/credential-configs", "{}").status(), 403);
    assert_eq!(api("GET", "/trust-rules", "").status(), 403);
    assert_eq!(api("GET", "/api-keys", "").status(), 403);
    let me = api("GET", "/userinfo", "").json();
    assert_eq!(
        (&me["sub"], me["preferred_username"].as_str()),
        (&made["id"], Some(format!("{MAIN} run 4711").as_str()))
    );
    let narrow = scene.exchange(&scene.token(&json!({})), &[("scope", "credentials.read")]).json();
    assert_eq!(narrow["scope"], "credentials.read");
    // The job is named, at the sign-in and at what it does.
    let entries = scene.served.entries();
    let of_job: Vec<&Value> = entries.iter().filter(|entry| entry["actor"] == format!("job {MAIN} run 4711")).collect();
    for action in ["job.sign-in", "credential.list", "access"] {
        assert!(of_job.iter().any(|entry| entry["action"] == action), "{action}: {of_job:?}");
    }
    // With the rule go the tokens that it gave.
    let path = format!("/trust-rules/{}", made["id"].as_str().unwrap());
    assert_eq!(scene.served.api("DELETE", &path, &scene.admin, "").status(), 204);
    assert_eq!(api("GET", "/credential-configs", "").status(), 401);
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 400);
}

#[test]
fn a_job_of_one_project_sees_no_other() {
    let scene = Scene::new();
    let owner = super::served::token(&scene.served.manager());
    for name in ["web", "shop"] {
        let made = scene.served.api("POST", "/projects", &owner, &json!({ "name": name }).to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        let body = json!({ "name": "db", "project": name, "kind": "generic_env", "data": { "A": name } });
        assert_eq!(scene.served.api("POST", "/credential-configs", &owner, &body.to_string()).status(), 201);
    }
    let made = scene.rule(&json!({ "project": "web" }));
    assert_eq!((made.status(), &made.json()["project"]), (201, &json!("web")), "{}", made.text());
    let given = scene.exchange(&scene.token(&json!({})), &[]).json();
    let token = given["access_token"].as_str().unwrap_or_else(|| panic!("{given}"));
    let listed = scene.served.api("GET", "/credential-configs", token, "").json();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| &one["project"]).collect();
    assert_eq!(listed, [&json!("web")]);
    let asked = [("token", token), ("client_id", "lanyard")];
    let told = wire::post_form(&format!("{}/introspect", scene.served.url), &asked).unwrap().json();
    assert_eq!((&told["project"], &told["scope"]), (&json!("web"), &json!("credentials.read secrets.read")), "{told}");
    let entries = scene.served.entries();
    assert!(entries.iter().any(|entry| entry["detail"] == "credentials.read secrets.read in web"));
}

#[test]
fn what_does_not_fit_is_not_let_in_and_is_told() {
    let scene = Scene::new();
    scene.rule(&json!({}));
    let now = chrono::Utc::now().timestamp();
    let tokens = [
        ("another branch's folder", scene.token(&json!({ "sub": "repo:acme/web:ref:refs/heads/a/b" }))),
        ("another repository", scene.token(&json!({ "sub": "repo:acme/web2:ref:refs/heads/main" }))),
        ("a pull request", scene.token(&json!({ "sub": "repo:acme/web:pull_request" }))),
        ("a claim that is another", scene.token(&json!({ "ref_protected": "false" }))),
        ("a claim that is missing", scene.token(&json!({ "ref_protected": null }))),
        ("another audience", scene.token(&json!({ "aud": "https://github.com/acme" }))),
        ("an audience of many", scene.token(&json!({ "aud": [scene.served.url, "https://evil.example"] }))),
        ("another issuer", scene.token(&json!({ "iss": "https://evil.example" }))),
        ("a token that has ended", scene.token(&json!({ "exp": now - 120 }))),
        ("a token to come", scene.token(&json!({ "nbf": now + 600 }))),
        ("a token made tomorrow", scene.token(&json!({ "iat": now + 86_400 }))),
        ("a token without an end", scene.token(&json!({ "exp": null }))),
        ("a stranger's key", scene.signed(&json!({}), &Signing::Stranger)),
        ("a key that is not listed", scene.signed(&json!({}), &Signing::Rotated)),
        ("no signature", scene.signed(&json!({}), &Signing::None("none"))),
        ("the public key as a secret", scene.signed(&json!({}), &Signing::HmacWithPublicKey)),
        ("no token", "nonsense".into()),
        ("nothing", String::new()),
    ];
    for (why, token) in &tokens {
        let refused = scene.exchange(token, &[]);
        assert_eq!((refused.status(), refused.json()["error"].as_str()), (400, Some("invalid_request")), "{why}");
        scene.forget_failures();
    }
    let good = scene.token(&json!({}));
    for (changes, error) in [
        (vec![("audience", "")], "invalid_target"),
        (vec![("audience", "org_other")], "invalid_request"),
        (vec![("subject_token_type", "urn:ietf:params:oauth:token-type:access_token")], "invalid_request"),
        (vec![("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")], "invalid_request"),
        (vec![("actor_token", "x")], "invalid_request"),
        (vec![("scope", "credentials.write")], "invalid_request"),
        (vec![("scope", "everything")], "invalid_scope"),
        (vec![("client_id", "other")], "invalid_client"),
    ] {
        assert_eq!(scene.exchange(&good, &changes).json()["error"].as_str(), Some(error), "{changes:?}");
        scene.forget_failures();
    }
    assert_eq!(scene.exchange(&good, &[]).status(), 200, "and nothing was wrong with the rest");
    let denied = scene
        .served
        .entries()
        .into_iter()
        .filter(|entry| entry["action"] == "job.sign-in" && entry["outcome"] == "denied");
    assert!(denied.count() >= tokens.len() - 1);
    // Whoever goes on guessing waits.
    let statuses: Vec<u16> = (0..8).map(|_| scene.exchange("nonsense", &[]).status()).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// Many jobs share an address. What one service has signed is no guess, whatever becomes of it; what it has not signed is
/// one, and only at the organization that it is shown to.
#[test]
fn a_job_that_no_rule_lets_in_keeps_no_other_waiting() {
    let scene = Scene::new();
    scene.rule(&json!({}));
    let watching = json!({ "name": "watched", "subject": "repo:acme/watched:*", "mode": "audit" });
    assert_eq!(scene.rule(&watching).status(), 201);
    let now = chrono::Utc::now().timestamp();
    for changes in [
        json!({ "sub": "repo:acme/web2:ref:refs/heads/main" }),
        json!({ "sub": "repo:acme/watched:ref" }),
        json!({ "exp": now - 120 }),
        json!({ "aud": "https://other.example" }),
    ] {
        let token = scene.token(&changes);
        let statuses: Vec<u16> = (0..7).map(|_| scene.exchange(&token, &[]).status()).collect();
        assert_eq!(statuses, [400; 7], "{changes}");
    }
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 200);
    let denied = |entry: &Value| entry["action"] == "job.sign-in" && entry["outcome"] == "denied";
    assert_eq!(scene.served.entries().iter().filter(|entry| denied(entry)).count(), 28, "each of them is told");

    // Whoever guesses at an organization that is not there, or at this one, waits there and nowhere else.
    let guess = |organization: &str| -> Vec<u16> {
        (0..8).map(|_| scene.exchange("nonsense", &[("audience", organization)]).status()).collect()
    };
    assert!(guess("org_other").contains(&429));
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 200);
    assert!(guess(&scene.organization).contains(&429));
    // The wait may be short still, and the machine slow: from here on it is long.
    scene
        .served
        .sql(&format!("UPDATE attempts SET failures = 400 WHERE subject LIKE 'exchange {}:%'", scene.organization));
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 429);
}

#[test]
fn a_rule_that_is_tried_lets_nobody_in() {
    let scene = Scene::new();
    scene.rule(&json!({ "mode": "audit" }));
    let token = scene.token(&json!({}));
    assert_eq!(scene.exchange(&token, &[]).status(), 400);
    let noted = scene.served.entries().into_iter().find(|entry| entry["action"] == "job.would-sign-in");
    assert_eq!(noted.expect("an entry")["detail"], format!("{MAIN} run 4711"));
    let tried =
        scene.served.api("POST", "/trust-rules/try", &scene.admin, &json!({ "token": token }).to_string()).json();
    assert_eq!((&tried["rules"][0]["admits"], &tried["rules"][0]["mode"]), (&json!(true), &json!("audit")));
    let other = scene.token(&json!({ "ref_protected": "false" }));
    let tried =
        scene.served.api("POST", "/trust-rules/try", &scene.admin, &json!({ "token": other }).to_string()).json();
    assert_eq!(tried["rules"][0]["why"], "the claim ref_protected is another, or missing");
}

#[test]
fn a_rule_is_changed_as_a_whole_and_its_tokens_end() {
    let scene = Scene::new();
    let made = scene.rule(&json!({}));
    let tag = made.header("etag").unwrap().to_owned();
    let path = format!("/trust-rules/{}", made.json()["id"].as_str().unwrap());
    let token = scene.exchange(&scene.token(&json!({})), &[]).json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(scene.rule(&json!({})).status(), 409, "the name is taken");
    for bad in [
        json!({ "name": "x", "subject": "*" }),
        json!({ "name": "x", "subject": "repo:*/web" }),
        json!({ "name": "x", "permissions": ["trust.manage"] }),
        json!({ "name": "x", "permissions": [] }),
        json!({ "name": "x", "lifetime": 86_400 }),
        json!({ "name": "x", "issuer": "http://id.example" }),
        json!({ "name": "x", "subjects": "typo" }),
    ] {
        assert_eq!(scene.rule(&bad).status(), 422, "{bad}");
    }
    assert_eq!(
        scene.rule(&json!({ "name": "x", "permissions": ["credentials.verify"] })).status(),
        403,
        "not one's own"
    );
    let amend = |tag: &str, body: &Value| {
        let tag = format!("If-Match: {tag}");
        scene.served.api_with("PATCH", &path, &scene.admin, &body.to_string(), &[&tag])
    };
    assert_eq!(amend("\"7\"", &json!({ "lifetime": 60 })).status(), 412);
    let changed = amend(&tag, &json!({ "claims": { "ref_protected": "true", "environment": "prod" } }));
    assert_eq!(changed.status(), 200, "{}", changed.text());
    assert_eq!(scene.served.api("GET", "/credential-configs", &token, "").status(), 401);
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 400);
    assert_eq!(scene.exchange(&scene.token(&json!({ "environment": "prod" })), &[]).status(), 200);
    // What the database says and nobody understands is a no.
    scene.served.sql("UPDATE trust_rules SET claims = '[]'");
    assert_eq!(scene.exchange(&scene.token(&json!({ "environment": "prod" })), &[]).status(), 400);
}

#[test]
fn whoever_stands_for_a_rule_gives_what_they_have_now() {
    let scene = Scene::new();
    scene.rule(&json!({}));
    let token = scene.exchange(&scene.token(&json!({})), &[]).json()["access_token"].as_str().unwrap().to_owned();
    scene.served.sql("UPDATE members SET role = 'reader'");
    let given = scene.exchange(&scene.token(&json!({})), &[]).json();
    assert_eq!(given["scope"], "credentials.read");
    scene.served.sql("DELETE FROM members");
    assert_eq!(scene.served.api("GET", "/userinfo", &token, "").status(), 401);
    assert_eq!(scene.exchange(&scene.token(&json!({})), &[]).status(), 400);
}

#[test]
fn a_job_signs_in_on_postgresql_as_well() {
    let postgres = Postgres::start();
    let scene = Scene::on(Served::new(&["--allow-host", "127.0.0.1", "--database", &postgres.url()]));
    let made = scene.rule(&json!({})).json();
    let token = scene.exchange(&scene.token(&json!({})), &[]).json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(scene.served.api("GET", "/credential-configs", &token, "").status(), 200);
    assert_eq!(scene.exchange(&scene.token(&json!({ "ref_protected": "false" })), &[]).status(), 400);
    let path = format!("/trust-rules/{}", made["id"].as_str().unwrap());
    assert_eq!(scene.served.api("PATCH", &path, &scene.admin, "{\"mode\":\"audit\"}").status(), 200);
    assert_eq!(scene.served.api("GET", "/credential-configs", &token, "").status(), 401);
    assert_eq!(scene.served.api("GET", &path, &scene.admin, "").json()["mode"], "audit");
    assert_eq!(scene.served.api("DELETE", &path, &scene.admin, "").status(), 204);
    super::identity::has_a_second_factor(&scene.served);
}

#[test]
fn the_command_line_writes_rules_and_signs_a_job_in() {
    let scene = Scene::new();
    let admin = Stage::new();
    admin.write_config("[defaults]\nstorage = \"plain\"\n");
    scene.served.sign_in_with(&admin, "credentials.read,secrets.read,trust.manage");
    let issuer = scene.issuer.url().trim_end_matches('/').to_owned();
    let made = admin.run(&[
        "trust-rules",
        "create",
        "web-main",
        "--issuer",
        &issuer,
        "--subject",
        MAIN,
        "--claim",
        "ref_protected=true",
        "--permission",
        "credentials.read,secrets.read",
    ]);
    let made = made.ends(0);
    assert!(made.stderr().contains(&format!("--organization {}", scene.organization)), "{}", made.stderr());
    let listed = admin.run(&["trust-rules", "list"]).ends(0).stdout();
    assert!(listed.contains("web-main") && listed.contains(MAIN) && listed.contains("enforce"), "{listed}");
    let mut job = Stage::new();
    job.write_config("[defaults]\nstorage = \"plain\"\n");
    let url = scene.served.url.clone();
    let login = ["auth", "login", "--federated", "--service", &url];
    // Without a job there is none, and without an organization it works for nobody.
    assert!(
        job.run(&[&login[..], &["--organization", &scene.organization]].concat())
            .ends(2)
            .stderr()
            .contains("id-token: write")
    );
    job.set("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{issuer}/token?api-version=2.0"));
    job.set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runtime");
    assert!(job.run(&login).ends(2).stderr().contains("--organization"));
    job.set("LANYARD_ORGANIZATION", &scene.organization);
    let signed = job.run(&login).ends(0).stderr();
    assert!(signed.contains(&format!("{MAIN} run 4711")), "{signed}");
    assert!(super::served::token(&job).starts_with("lny_job_"));
    job.run(&["credentials", "list"]).ends(0);
    job.unset("ACTIONS_ID_TOKEN_REQUEST_URL");
    let file = job.home().join("token.txt");
    std::fs::write(&file, scene.token(&json!({}))).unwrap();
    job.set("LANYARD_ID_TOKEN_FILE", &file);
    let told = job.run(&[&login[..], &["--json"]].concat()).ends(0).json();
    assert_eq!(told["authenticated"], true);
    let tried =
        admin.run_with(&["trust-rules", "try", "--token-file", "-"], scene.token(&json!({})).as_bytes()).ends(0);
    assert!(tried.stdout().contains("let in"), "{}", tried.stdout());
    job.run(&["trust-rules", "list"]).ends(5);
    // More than come on a page are listed, and found by their names.
    for number in 0..60 {
        assert_eq!(scene.rule(&json!({ "name": format!("rule-{number:02}") })).status(), 201);
    }
    let listed = admin.run(&["trust-rules", "list", "--json"]).ends(0).json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], names[60]), (61, "web-main", "rule-59"));
    admin.run(&["trust-rules", "delete", "rule-59"]).ends(0);
    admin.run(&["trust-rules", "delete", "web-main"]).ends(0);
    admin.run(&["trust-rules", "delete", "web-main"]).ends(1);
    assert_eq!(job.run(&["credentials", "list"]).code, Some(4), "the rule is gone, and so is the job");
    assert!(Browser::new(&url).get("/").status() == 303);
}
