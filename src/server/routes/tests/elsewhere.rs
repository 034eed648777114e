//! Nothing that a caller sends moves their request to another organization.

use super::pages::{filled, inside};
use super::*;

const HEADERS: [&str; 8] = [
    "x-org",
    "x-org-id",
    "x-organization",
    "x-organization-id",
    "x-tenant",
    "x-tenant-id",
    "organization",
    "x-forwarded-organization",
];
const NAMES: [&str; 6] = ["org", "org_id", "organization", "organization_id", "tenant", "scope"];

impl Played {
    /// What an answer tells of ours. One's own audit has what one has asked for.
    fn ours_in(&self, route: &str, text: &str) -> Option<&str> {
        let ours = [
            self.ours.id(),
            &self.id,
            &self.member,
            &self.workspace,
            &self.registry,
            &self.rule,
            &self.client,
            &self.upstream,
        ];
        if route.contains("/audit") {
            // Also the organization that one has asked for in vain; an entry of ours says whose it is.
            return text.contains(&format!("\"organization\":\"{}\"", self.ours.id())).then(|| self.ours.id());
        }
        ours.into_iter().find(|own| text.contains(own))
    }

    fn sent(&self, method: &Method, path: &str, token: &str, headers: &[(&str, &str)], body: &Value) -> Response {
        let mut request = Request::builder().method(method.clone()).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        self.runtime.block_on(service.call(request.body(body).unwrap())).unwrap()
    }
}

#[test]
fn no_query_header_or_member_reaches_another_organization() {
    let played = Played::new();
    let stranger = played.member(&played.theirs, Role::Owner);
    let ours = played.ours.id().to_owned();
    let (before, entries) = (played.state(), played.entries(&played.ours).len());
    let headers: Vec<(&str, &str)> = HEADERS.iter().map(|name| (*name, ours.as_str())).collect();
    for (method, route, access) in api() {
        if access == "anyone" {
            continue;
        }
        let (what, method): (_, Method) = (format!("{method} {route}"), method.parse().unwrap());
        let path = played.path(route);
        let body = played.wanted(&method, &path);
        let check = |how: &str, response: Response| {
            let status = response.status();
            let told = played.body(response);
            assert_eq!(played.ours_in(route, &told), None, "{what} by {how}: {told}");
            // What the path names is ours, and so is not there.
            assert!(!route.contains("{id}") || !status.is_success(), "{what} by {how}: {status} {told}");
            assert!(!status.is_server_error(), "{what} by {how}: {status} {told}");
        };
        check("headers", played.sent(&method, &path, &stranger, &headers, &body));
        for name in NAMES {
            check("a query", played.sent(&method, &format!("{path}?{name}={ours}"), &stranger, &[], &body));
            if let Some(members) = body.as_object() {
                let mut more = members.clone();
                more.insert(name.into(), json!(ours));
                let response = played.sent(&method, &path, &stranger, &[], &Value::Object(more));
                assert!(response.status().is_client_error(), "{what}: a member {name} is taken");
                check("a member", response);
            }
        }
    }
    assert_eq!(played.state(), before);
    assert_eq!(played.entries(&played.ours).len(), entries, "nobody was there");
}

#[test]
fn no_query_header_or_field_opens_a_page_of_another_organization() {
    let played = Played::new();
    let stranger = played.browser(&played.theirs, Role::Owner);
    let ours = played.ours.id().to_owned();
    let (before, entries) = (played.state(), played.entries(&played.ours).len());
    for (method, route, needed) in inside() {
        if needed.is_none() {
            continue;
        }
        let path = filled(route, &played.theirs, &played);
        let mut headers =
            vec![("content-type", "application/x-www-form-urlencoded"), ("origin", "http://127.0.0.1:7447")];
        headers.extend(HEADERS.iter().map(|name| (*name, ours.as_str())));
        let fields: String = NAMES.iter().map(|name| format!("&{name}={ours}")).collect();
        let query = fields.trim_start_matches('&');
        let body = format!("word={}{fields}", stranger.word());
        let response = played.page(&method, &format!("{path}?{query}"), Some(&stranger), &headers, &body);
        let status = response.status();
        let told = played.body(response);
        // What was sent may be shown again in a form, and nothing else.
        let told = told.replace(&ours, "");
        assert_eq!(played.ours_in(route, &told), None, "{method} {path}: {told}");
        assert!(!route.contains("{id}") || status == StatusCode::NOT_FOUND, "{method} {path}: {status}");
    }
    assert_eq!(played.state(), before);
    assert_eq!(played.entries(&played.ours).len(), entries, "nobody was there");
}

#[test]
fn no_program_is_let_into_an_organization_that_one_is_not_in() {
    let played = Played::new();
    let stranger = played.browser(&played.theirs, Role::Owner);
    let token = played.member(&played.theirs, Role::Owner);
    let everything = || {
        let mut all = played.everything();
        // That somebody guesses is counted.
        all.remove("attempts");
        all
    };
    let (before, entries) = (everything(), played.entries(&played.ours).len());
    let ours = played.ours.id();
    let admit = format!(
        "word={}&response_type=code&client_id=lanyard&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&state=s&scope=\
         credentials.read&code_challenge={}&code_challenge_method=S256&organization={ours}&decision=allow",
        stranger.word(),
        "a".repeat(43)
    );
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "http://127.0.0.1:7447")];
    let refused = played.page(&Method::POST, "/authorize", Some(&stranger), &headers, &admit);
    assert_eq!((refused.status(), refused.headers().get(header::LOCATION)), (StatusCode::FORBIDDEN, None));
    assert_eq!(played.entries(&played.ours).len(), entries);
    let exchange = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&client_id=lanyard&audience={ours}\
         &subject_token={token}&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token"
    );
    let refused = played.page(&Method::POST, "/token", None, &headers, &exchange);
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(before == everything());
    // Who is at the door of ours is told to ours.
    let told = played.entries(&played.ours).split_off(entries);
    assert!(told.len() == 1 && told[0]["outcome"] == "denied" && told[0].get("actor").is_none(), "{told:?}");
}
