//! Every page behind a sign-in against everybody, by the list of routes.

use super::*;
use crate::server::people;

/// A browser with a session.
pub(super) struct Browser {
    cookie: String,
    pub(super) person: String,
    word: String,
}

/// Headers and body of a form, and how it is refused.
type Case<'c> = (&'c [(&'c str, &'c str)], &'c str, StatusCode);

const FORM: &str = "application/x-www-form-urlencoded";
const HERE: &str = "http://127.0.0.1:7447";

impl Browser {
    /// What every form of its session carries.
    pub(super) fn word(&self) -> &str {
        &self.word
    }
}

impl Played {
    pub(super) fn browser(&self, scope: &OrgScope, role: Role) -> Browser {
        let token = self.member(scope, role);
        let id = crate::server::token::parse(&token).unwrap().id;
        let (person, session) = self
            .server
            .db
            .write(Reach::Server, |rows| {
                let of = "SELECT person FROM tokens WHERE id = $1";
                let person = rows.first(of, values![&id]).unwrap().unwrap().text(0).unwrap();
                people::sign_in(rows, &person, now()).map(|session| (person, session))
            })
            .unwrap();
        let cookie = format!("lanyard-7447={}", session.token.expose());
        let mut browser = Browser { cookie, person, word: String::new() };
        let home = self.body(self.page(&Method::GET, "/", Some(&browser), &[], ""));
        browser.word = home.split("name=\"word\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser
    }

    pub(super) fn page(
        &self,
        method: &Method,
        path: &str,
        browser: Option<&Browser>,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if let Some(browser) = browser {
            request = request.header(header::COOKIE, &browser.cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let service = TowerToHyperService::new(router(Arc::clone(&self.server)));
        self.runtime.block_on(service.call(request.body(Body::from(body.to_owned())).unwrap())).unwrap()
    }

    /// A form of a session, with the word and nothing else in it.
    pub(super) fn send(&self, method: &Method, path: &str, browser: &Browser) -> Response {
        let headers = [("content-type", FORM), ("origin", HERE)];
        self.page(method, path, Some(browser), &headers, &format!("word={}", browser.word))
    }

    pub(super) fn entries(&self, scope: &OrgScope) -> Vec<Value> {
        let all = "SELECT entry FROM audit_events WHERE org = $1 ORDER BY sequence";
        let rows = self.server.db.read(Reach::Server, |rows| rows.query(all, values![scope.id()])).unwrap();
        rows.into_iter().map(|mut row| serde_json::from_str(&row.text(0).unwrap()).unwrap()).collect()
    }

    /// Everything but the audit and when something was last used.
    pub(super) fn kept(&self) -> String {
        let count = |table: &str, columns: &str| {
            let all = format!("SELECT {columns} FROM {table} ORDER BY 1");
            format!("{:?}", self.server.db.read(Reach::Server, |rows| rows.query(&all, &[])).unwrap())
        };
        [
            self.state(),
            count("tokens", "id, revoked"),
            count("sessions", "id, hash"),
            count("people", "id, passphrase"),
            count("secrets", "credential, version"),
        ]
        .concat()
    }
}

/// The pages behind a sign-in, with what each demands.
pub(super) fn inside() -> Vec<(Method, &'static str, Option<Permission>)> {
    let of = |route: Route| match route.access {
        Access::Inside(permission) | Access::InsideProject(permission) => {
            Some((route.method, route.path, Some(permission)))
        }
        Access::Personal => Some((route.method, route.path, None)),
        _ => None,
    };
    all().into_iter().filter_map(of).collect()
}

/// The address of a page, about something of ours.
pub(super) fn filled(path: &str, org: &OrgScope, played: &Played) -> String {
    let id = match path.split('/').nth(3) {
        Some("members") if path.contains("/keys/{id}") => &played.key,
        Some("members") => &played.member,
        Some("projects") => &played.project,
        Some("invitations") => &played.invitation,
        Some("workspaces") => &played.workspace,
        Some("trust-rules") => &played.rule,
        Some("programs") => &played.client,
        Some("registries") => &played.registry,
        Some("upstreams") => &played.upstream,
        _ => &played.id,
    };
    path.replace("{org}", org.id()).replace("{id}", id)
}

#[test]
fn every_path_of_the_portal_is_behind_a_sign_in() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Owner);
    let before = played.state();
    for (method, path, access) in table() {
        let is_inside = inside().iter().any(|(known, place, _)| known.as_str() == method && *place == path);
        let demands = ["/portal/", "/account", "/second-factor"].iter().any(|start| path.starts_with(start));
        assert_eq!(demands, is_inside, "{method} {path}");
        let is_told = access == "session" || Permission::ALL.iter().any(|known| known.word() == access);
        assert!(!is_inside || is_told, "{method} {path}: {access}");
    }
    for (method, path, _) in inside() {
        let path = filled(path, &played.ours, &played);
        let form = [("content-type", FORM), ("origin", HERE)];
        let bearer = format!("Bearer {token}");
        let mut with_token = form.to_vec();
        with_token.push(("authorization", &bearer));
        for headers in [&form[..], &with_token] {
            let sent = played.page(&method, &path, None, headers, "word=x");
            assert_eq!(sent.status(), StatusCode::SEE_OTHER, "{method} {path}");
            assert!(sent.headers()[header::LOCATION].to_str().unwrap().starts_with("/sign-in?next="));
        }
    }
    assert_eq!(played.state(), before);
}

#[test]
fn a_role_sees_the_pages_that_it_may() {
    let played = Played::new();
    for role in Role::ALL {
        let browser = played.browser(&played.ours, role);
        for (method, path, needed) in inside() {
            let Some(needed) = needed else { continue };
            let response = played.send(&method, &filled(path, &played.ours, &played), &browser);
            let status = response.status();
            let told = played.body(response);
            let may = role.permissions().has(needed);
            assert_eq!(status == StatusCode::FORBIDDEN, !may, "{method} {path} as {}: {status} {told}", role.word());
            assert!(
                !status.is_server_error() && told.is_empty() == status.is_redirection(),
                "{method} {path}: {status}"
            );
            // One is no page: a copy of the audit, which begins with what is signed of it.
            let is_copy = path.ends_with("/export") && may && told.starts_with('{');
            let is_page = told.starts_with("<!doctype html>");
            assert!(status.is_redirection() || is_copy || is_page, "{method} {path}: {told}");
            if !may {
                let entry = played.entries(&played.ours).pop().unwrap();
                let expected = (&json!("access"), &json!("denied"), &json!(needed.word()));
                assert_eq!((&entry["action"], &entry["outcome"], &entry["object"]), expected);
                assert_eq!(entry["actor"], json!(browser.person));
            }
        }
    }
}

#[test]
fn whoever_may_see_a_page_is_shown_it() {
    // What comes of no sign-in is not connected, and the key is none of theirs.
    const MISSING: [&str; 3] =
        ["/credentials/{id}/connection", "/credentials/{id}/connect", "/portal/{org}/keys/{id}/revoke"];
    let played = Played::new();
    for role in Role::ALL {
        let browser = played.browser(&played.ours, role);
        for (method, path, needed) in inside() {
            if method != Method::GET {
                continue;
            }
            let status = played.send(&method, &filled(path, &played.ours, &played), &browser).status();
            let expected = if needed.is_some_and(|needed| !role.permissions().has(needed)) {
                StatusCode::FORBIDDEN
            } else if MISSING.iter().any(|end| path.ends_with(end)) {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::OK
            };
            assert_eq!(status, expected, "{path} as {}", role.word());
        }
    }
}

#[test]
fn a_role_in_a_project_opens_the_pages_of_projects_and_no_others() {
    let played = Played::new();
    for in_project in [Role::Member, Role::Admin] {
        let browser = played.browser(&played.ours, Role::Reader);
        let give = "INSERT INTO project_roles (org, project, person, role, created) VALUES ($1, 'proj_web', $2, $3, 0)";
        let given = values![played.ours.id(), &browser.person, in_project.word()];
        played.server.db.write(Reach::Server, |rows| rows.execute(give, given)).unwrap();
        for route in all() {
            let (needed, anywhere) = match route.access {
                Access::Inside(needed) => (needed, false),
                Access::InsideProject(needed) => (needed, true),
                _ => continue,
            };
            let path = filled(route.path, &played.ours, &played);
            let (response, told) = played.told_by(|| played.send(&route.method, &path, &browser));
            let is_refused_at_the_door = response.status() == StatusCode::FORBIDDEN
                && told.iter().any(|entry| entry["action"] == "access" && entry["object"] == needed.word());
            let may =
                Role::Reader.permissions().has(needed) || anywhere && people::in_a_project(in_project).has(needed);
            // What is the organization's is not opened by a role in a project; that is looked at behind the door.
            let is_about_something = route.path.contains("{id}");
            assert!(
                if may { is_about_something || !is_refused_at_the_door } else { is_refused_at_the_door },
                "{} {} with {} in a project: {} {told:?}",
                route.method,
                route.path,
                in_project.word(),
                response.status()
            );
        }
    }
}

#[test]
fn a_page_of_another_organization_is_not_there() {
    let played = Played::new();
    let strangers = Role::ALL.map(|role| (role, played.browser(&played.theirs, role)));
    let before = played.kept();
    for (role, stranger) in &strangers {
        for (method, path, needed) in inside() {
            let Some(needed) = needed else { continue };
            let what = format!("{method} {path} as {} elsewhere", role.word());
            let foreign = played.send(&method, &filled(path, &played.ours, &played), stranger);
            let unknown = played.send(&method, &filled(path, &OrgScope::of("org_unknown"), &played), stranger);
            assert_eq!((foreign.status(), unknown.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND), "{what}");
            let told = played.body(foreign);
            assert_eq!(told, played.body(unknown), "{what}");
            if path.contains("{id}") {
                // Their own organization, with what is ours in it; whoever may not is told that first.
                let inner = played.send(&method, &filled(path, &played.theirs, &played), stranger);
                let nowhere = path.replace("{org}", played.theirs.id()).replace("{id}", "unknown_1");
                let nowhere = played.send(&method, &nowhere, stranger);
                let may = role.permissions().has(needed);
                let expected = if may { StatusCode::NOT_FOUND } else { StatusCode::FORBIDDEN };
                assert_eq!((inner.status(), nowhere.status()), (expected, expected), "{what}");
                let inner = played.body(inner);
                assert_eq!(inner, played.body(nowhere), "{what}");
                assert_eq!(inner == told, may, "{what}");
            }
        }
    }
    assert_eq!(played.kept(), before);
}

#[test]
fn a_form_counts_if_it_is_of_this_session_and_from_here() {
    let played = Played::new();
    let (browser, other) = (played.browser(&played.ours, Role::Owner), played.browser(&played.ours, Role::Owner));
    let session = played.kept();
    let (own, strange) = (format!("word={}", browser.word), format!("word={}", other.word));
    let cases: [Case<'_>; 9] = [
        (&[("content-type", FORM)], &own, StatusCode::FORBIDDEN),
        (&[("content-type", FORM), ("origin", "null")], &own, StatusCode::FORBIDDEN),
        (&[("content-type", FORM), ("origin", "http://evil.127.0.0.1:7447")], &own, StatusCode::FORBIDDEN),
        (&[("content-type", FORM), ("origin", HERE), ("sec-fetch-site", "cross-site")], &own, StatusCode::FORBIDDEN),
        (&[("content-type", "text/plain"), ("origin", HERE)], &own, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", "application/json"), ("origin", HERE)], "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[("content-type", FORM), ("origin", HERE)], &strange, StatusCode::FORBIDDEN),
        (&[("content-type", FORM), ("origin", HERE)], "word=", StatusCode::FORBIDDEN),
        (&[("content-type", FORM), ("origin", HERE)], "", StatusCode::FORBIDDEN),
    ];
    for (method, path, _) in inside().into_iter().filter(|(method, _, _)| *method == Method::POST) {
        for (headers, body, status) in cases {
            let path = filled(path, &played.ours, &played);
            let refused = played.page(&method, &path, Some(&browser), headers, body);
            assert_eq!(refused.status(), status, "{path} {headers:?} {body}");
            let entry = played.entries(&played.ours).pop().unwrap();
            assert_eq!((&entry["action"], &entry["outcome"]), (&json!("form"), &json!("denied")), "{path}");
        }
    }
    assert_eq!(played.kept(), session);
}

/// What a browser is told of each page, whoever looks at it.
#[test]
fn every_page_keeps_to_itself() {
    let played = Played::new();
    let browser = played.browser(&played.ours, Role::Owner);
    let headers = [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    let mut count = 0;
    for route in all() {
        let path = filled(route.path, &played.ours, &played);
        for who in [None, Some(&browser)] {
            for (headers_sent, body) in [(&[][..], ""), (&[("content-type", FORM), ("origin", HERE)][..], "x=y")] {
                let response = played.page(&route.method, &path, who, headers_sent, body);
                let (status, found) = (response.status(), response.headers().clone());
                let what = format!("{} {path}: {status}", route.method);
                for (name, value) in headers {
                    // The script is the same for everybody, and is kept.
                    let is_kept = path == "/passkey.js" && name == "cache-control";
                    assert!(is_kept || found.get(name).is_some_and(|found| found == value), "{what}: {name} {found:?}");
                }
                let policies: Vec<_> = found.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
                let [policy] = policies[..] else { panic!("{what}: {policies:?}") };
                let policy = policy.to_str().unwrap();
                for needed in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action"] {
                    assert!(policy.contains(needed), "{what}: {policy}");
                }
                for bad in ["unsafe", "*", "data:", "http:"] {
                    assert!(!policy.contains(bad) || path == "/authorize", "{what}: {policy}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn looking_changes_nothing() {
    let played = Played::new();
    let browser = played.browser(&played.ours, Role::Owner);
    let key = crate::server::token::parse(&played.member(&played.ours, Role::Owner)).unwrap().id;
    let before = played.kept();
    for (method, path, _) in inside() {
        for path in [filled(path, &played.ours, &played), path.replace("{org}", played.ours.id()).replace("{id}", &key)]
        {
            for method in [Method::GET, Method::HEAD] {
                let seen = played.page(&method, &path, Some(&browser), &[], "");
                let cache = seen.headers()[header::CACHE_CONTROL].to_str().unwrap();
                assert_eq!(cache, "no-store", "{path}");
                assert!(!seen.status().is_server_error(), "{path}");
            }
        }
        assert!(method == Method::GET || method == Method::POST);
    }
    assert_eq!(played.kept(), before);
}

#[test]
fn what_somebody_does_to_their_account_is_told_where_they_are_a_member() {
    let played = Played::new();
    let (browser, other) = (played.browser(&played.ours, Role::Reader), played.browser(&played.ours, Role::Reader));
    let session = |browser: &Browser| browser.cookie.split('_').nth(2).unwrap().to_owned();
    let foreign = played.send(&Method::POST, &format!("/account/sessions/{}/end", session(&other)), &browser);
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND, "another person's");
    assert_eq!(played.page(&Method::GET, "/account", Some(&other), &[], "").status(), StatusCode::OK);
    let form = format!("word={}&old=x&new=a+new+passphrase&again=a+new+passphrase", browser.word);
    let headers = [("content-type", FORM), ("origin", HERE)];
    let wrong = played.page(&Method::POST, "/account/passphrase", Some(&browser), &headers, &form);
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    let own = session(&browser);
    let ended = played.send(&Method::POST, &format!("/account/sessions/{own}/end"), &browser);
    assert_eq!(ended.headers()[header::LOCATION], "/sign-in");
    assert!(ended.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let told: Vec<_> = played.entries(&played.ours).into_iter().rev().take(2).collect();
    assert_eq!((&told[0]["action"], &told[0]["object"]), (&json!("session.end"), &json!(own)));
    assert_eq!((&told[1]["action"], &told[1]["outcome"]), (&json!("passphrase.change"), &json!("denied")));
    assert_eq!(told[0]["actor"], json!(browser.person));
}
