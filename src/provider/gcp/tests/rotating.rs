//! A new key for an old one.

use super::*;
use crate::error::Failure;
use crate::http::Method;

const KEYS: &str = "/v1/projects/-/serviceAccounts/deploy%40my-project.iam.gserviceaccount.com/keys";

/// The IAM API, with what was asked of it.
struct Iam {
    made: u16,
    body: String,
    list: serde_json::Value,
    asked: Mutex<Vec<String>>,
}

impl Iam {
    fn new() -> Self {
        let file = key_file(json!({ "private_key_id": "new" }));
        let made = json!({ "name": "projects/p/serviceAccounts/e/keys/new", "privateKeyData": STANDARD.encode(file) });
        Self { made: 200, body: made.to_string(), list: json!({}), asked: Mutex::default() }
    }

    fn answering(made: u16, body: impl ToString) -> Self {
        Self { made, body: body.to_string(), ..Self::new() }
    }

    fn send(&self, request: &Request) -> Response {
        if request.url.path() == "/token" {
            return token();
        }
        assert_eq!(request.headers[header::AUTHORIZATION], "Bearer ya29.fake");
        assert_eq!(request.url.host_str(), Some("iam.googleapis.com"));
        let path = request.url.path().strip_prefix(KEYS).unwrap().to_owned();
        self.asked.lock().unwrap().push(format!("{} {path}", request.method));
        match request.method {
            Method::POST => answer(self.made, &self.body),
            Method::GET => answer(200, &self.list),
            _ if path == "/gone" => api_error(404, "NOT_FOUND", ""),
            _ if path == "/kept" => api_error(403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"),
            _ => answer(200, "{}"),
        }
    }

    fn mint(&self, since: Option<DateTime<Utc>>) -> Result<Raw, ProviderError> {
        let (http, env) = (|request: Request| Ok(self.send(&request)), no_env());
        let net = Net { http: &http, env: &env, now: now() };
        if let Some(since) = since {
            assert!(keys::Keys.clear(&account(), since, &net)?, "nothing can be left");
        }
        keys::Keys.mint(&account(), None, &net)
    }

    fn asked(self) -> Vec<String> {
        self.asked.into_inner().unwrap()
    }
}

#[test]
fn a_new_key_file_brings_its_own_values() {
    let iam = Iam::new();
    let raw = iam.mint(None).unwrap();
    assert_eq!(raw.get("private_key_id").unwrap().expose(), "new");
    assert_eq!(raw.get("key_file").unwrap().expose(), key_file(json!({ "private_key_id": "new" })));
    assert_eq!(iam.asked(), ["POST "]);
    assert_eq!(keys::Keys.handle(&account()).as_deref(), Some("0a1b2c"));
}

#[test]
fn an_interrupted_rotation_leaves_nothing_and_the_keys_of_others_stay() {
    let since = now() - chrono::Duration::days(1);
    let key = |id: &str, at: DateTime<Utc>| json!({ "name": format!("x/keys/{id}"), "validAfterTime": at.to_rfc3339() });
    let list = json!({ "keys": [
        key("lost", since + chrono::Duration::seconds(5)),
        key("later", since + chrono::Duration::hours(1)),
        key("earlier", since - chrono::Duration::hours(1)),
        key("0a1b2c", since),
        { "name": "x/keys/timeless" },
    ]});
    let iam = Iam { list, ..Iam::new() };
    iam.mint(Some(since)).unwrap();
    assert_eq!(iam.asked(), ["GET ", "DELETE /lost", "POST "]);
}

#[test]
fn a_refusal_is_told_apart_from_an_answer_that_may_have_made_a_key() {
    let refused = Iam::answering(403, String::from_utf8_lossy(&api_error(403, "PERMISSION_DENIED", "x").body));
    let failure = refused.mint(None).unwrap_err();
    assert!(matches!(failure, ProviderError::Refused(_)));
    assert!(failure.mend().unwrap().contains("roles/iam.serviceAccountKeyAdmin"));
    let full = Iam::answering(400, String::from_utf8_lossy(&api_error(400, "FAILED_PRECONDITION", "x").body));
    assert!(matches!(full.mint(None), Err(ProviderError::CannotRotate { .. })));
    for (status, body) in [(500, ""), (200, "{}"), (200, r#"{"privateKeyData":"e30="}"#)] {
        assert!(matches!(Iam::answering(status, body).mint(None), Err(ProviderError::Unreachable(_))), "{status}");
    }
}

#[test]
fn a_key_that_is_gone_already_is_retired_and_one_that_stays_is_told() {
    let retire = |id: &str| {
        let iam = Iam::new();
        let http = |request: Request| Ok(iam.send(&request));
        keys::Keys.retire(id, &account(), &Net { http: &http, env: &no_env(), now: now() })
    };
    retire("0a1b2c").unwrap();
    retire("gone").unwrap();
    assert!(matches!(retire("kept"), Err(ProviderError::Refused(verdict)) if verdict.outcome == Outcome::Insufficient));
}

#[test]
fn only_keys_of_service_accounts_are_rotated() {
    keys::Keys.can(&account().metadata).unwrap();
    for credential in [user(), api_key(), stored(&[("key_file", &key_file(json!({ "private_key_id": null })))])] {
        let failure = keys::Keys.can(&credential.metadata).unwrap_err();
        assert!(failure.mend().is_some_and(|mend| mend.contains("lanyard credentials")), "{failure}");
    }
}
