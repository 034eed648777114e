//! What every route says when it refuses: in one form, with a number, and nothing of what is inside.

use super::*;

impl Played {
    /// Sends a body to a route with every right there is.
    pub(super) fn send_body(
        &self,
        method: &Method,
        path: &str,
        token: &str,
        kind: &str,
        body: String,
    ) -> (StatusCode, Response) {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body))
            .unwrap();
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        let response = self.runtime.block_on(service.call(request)).unwrap();
        told(method, path, &response);
        (response.status(), response)
    }
}

/// Holds a refusal against the form of all of them.
fn is_a_problem(played: &Played, what: &str, response: Response) -> Value {
    let status = response.status();
    let headers = response.headers().clone();
    let body = played.body(response);
    let told: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{what}: {body}"));
    let code = told["code"].as_str().unwrap_or_else(|| panic!("{what}: {body}"));
    let known = crate::server::problem::KINDS.iter().find(|known| known.word == code);
    assert_eq!(known.map(|known| known.status), Some(status.as_u16()), "{what}: {body}");
    assert_eq!(told["type"], format!("urn:lanyard:problem:{code}"), "{what}");
    assert_eq!(told["status"], status.as_u16(), "{what}");
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json", "{what}");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{what}");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{what}");
    assert_eq!(told["request_id"], headers["x-request-id"].to_str().unwrap(), "{what}");
    for inside in
        ["SELECT", "INSERT", "UPDATE", "DELETE FROM", "sqlite", "postgres", "src/", ".rs", "panick", "hunter2"]
    {
        assert!(!body.contains(inside), "{what}: {body}");
    }
    let dir = played.dir.path().to_str().unwrap();
    assert!(!body.contains(dir), "{what}: {body}");
    told
}

/// The routes of the API that are sent JSON.
fn takes_json() -> impl Iterator<Item = (String, &'static str, &'static str)> {
    let takes = |(method, path, _): &(String, &str, &str)| {
        let body = &DOCUMENT["paths"][*path][method.to_lowercase()]["requestBody"]["content"];
        body["application/json"].is_object()
    };
    api().into_iter().filter(takes)
}

#[test]
fn every_route_refuses_in_one_form() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    for (method, path, access) in api() {
        let what = format!("{method} {path}");
        let method: Method = method.parse().unwrap();
        let path = played.path(path);
        let (status, response) = played.call(&method, &format!("{path}/"), Some(&owner));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{what}");
        is_a_problem(&played, &what, response);
        let (status, response) = played.call(&Method::TRACE, &path, Some(&owner));
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
        is_a_problem(&played, &what, response);
        if access != "anyone" {
            let (status, response) = played.call(&method, &path, None);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
            is_a_problem(&played, &what, response);
        }
    }
    let (status, response) = played.call(&Method::GET, "/nowhere", Some(&owner));
    assert_eq!(status, StatusCode::NOT_FOUND);
    is_a_problem(&played, "nowhere", response);
}

#[test]
fn every_body_is_read_strictly() {
    let played = Played::new();
    let owner = played.member(&played.ours, Role::Owner);
    let before = played.state();
    let json = "application/json";
    for (method, path, _) in takes_json() {
        let what = format!("{method} {path}");
        let method: Method = method.parse().unwrap();
        let path = played.path(path);
        for (kind, body, status, code) in [
            ("text/plain", "{}".to_owned(), 415, "media-type"),
            ("application/x-www-form-urlencoded", "name=hunter2".into(), 415, "media-type"),
            ("application/jsonx", "{}".into(), 415, "media-type"),
            (json, "[".repeat(100_000), 400, "too-complex"),
            (json, r#"{"name":"a","name":"hunter2"}"#.into(), 400, "duplicate-name"),
            (json, r#"{"name":"hunter2""#.into(), 400, "bad-request"),
            (json, r#"{"hunter2":1}"#.into(), 422, "invalid"),
            (json, r#"["hunter2"]"#.into(), 422, "invalid"),
            (json, "\"hunter2\"".into(), 422, "invalid"),
            (json, format!("{{\"name\":\"{}\"}}", "a".repeat(BODY)), 413, "too-long"),
        ] {
            let (found, response) = played.send_body(&method, &path, &owner, kind, body);
            let told = is_a_problem(&played, &what, response);
            assert_eq!((found.as_u16(), told["code"].as_str().unwrap()), (status, code), "{what}: {told}");
        }
    }
    assert_eq!(played.state(), before);
}
