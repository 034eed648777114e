//! What is not done by whoever finds a browser open.

use super::pages::{filled, inside};
use super::*;

/// The routes for whoever has just shown who they are, each with where others come back to.
const FRESH: &[(&str, &str, &str)] = &[
    ("POST", "/second-factor", "/second-factor"),
    ("POST", "/account/upstreams/{id}/link", "/account/sign-in"),
    ("POST", "/account/upstreams/{id}/unlink", "/account/sign-in"),
    ("POST", "/account/passkeys/new", "/account/sign-in"),
    ("POST", "/account/passkeys", "/account/sign-in"),
    ("POST", "/account/passkeys/{id}/remove", "/account/sign-in"),
    ("POST", "/account/recovery-codes", "/account/sign-in"),
    ("GET", "/portal/{org}/projects/{id}/members", "/portal/{org}/projects/{id}/members"),
    ("POST", "/portal/{org}/projects/{id}/members", "/portal/{org}/projects/{id}/members"),
    ("GET", "/portal/{org}/members/leave", "/portal/{org}/members/leave"),
    ("POST", "/portal/{org}/members/leave", "/portal/{org}/members/leave"),
    ("GET", "/portal/{org}/members/{id}/role", "/portal/{org}/members/{id}/role"),
    ("POST", "/portal/{org}/members/{id}/role", "/portal/{org}/members/{id}/role"),
    ("GET", "/portal/{org}/members/{id}/remove", "/portal/{org}/members/{id}/remove"),
    ("POST", "/portal/{org}/members/{id}/remove", "/portal/{org}/members/{id}/remove"),
    ("GET", "/portal/{org}/members/keys/{id}/revoke", "/portal/{org}/members/keys/{id}/revoke"),
    ("POST", "/portal/{org}/members/keys/{id}/revoke", "/portal/{org}/members/keys"),
    ("GET", "/portal/{org}/invitations/new", "/portal/{org}/invitations/new"),
    ("POST", "/portal/{org}/invitations/new", "/portal/{org}/invitations/new"),
    ("POST", "/portal/{org}/keys", "/portal/{org}/keys"),
    ("GET", "/portal/{org}/keys/{id}/revoke", "/portal/{org}/keys/{id}/revoke"),
    ("POST", "/portal/{org}/keys/{id}/revoke", "/portal/{org}/keys"),
    ("POST", "/portal/{org}/upstreams", "/portal/{org}/upstreams"),
    ("GET", "/portal/{org}/upstreams/{id}", "/portal/{org}/upstreams/{id}"),
    ("POST", "/portal/{org}/upstreams/{id}", "/portal/{org}/upstreams/{id}"),
    ("GET", "/portal/{org}/upstreams/{id}/delete", "/portal/{org}/upstreams/{id}/delete"),
    ("POST", "/portal/{org}/upstreams/{id}/delete", "/portal/{org}/upstreams/{id}"),
    ("GET", "/portal/{org}/trust-rules/new", "/portal/{org}/trust-rules/new"),
    ("POST", "/portal/{org}/trust-rules/new", "/portal/{org}/trust-rules/new"),
    ("GET", "/portal/{org}/trust-rules/{id}/edit", "/portal/{org}/trust-rules/{id}/edit"),
    ("POST", "/portal/{org}/trust-rules/{id}/edit", "/portal/{org}/trust-rules/{id}/edit"),
    ("GET", "/portal/{org}/trust-rules/{id}/delete", "/portal/{org}/trust-rules/{id}/delete"),
    ("POST", "/portal/{org}/trust-rules/{id}/delete", "/portal/{org}/trust-rules/{id}/delete"),
    ("GET", "/portal/{org}/programs/new", "/portal/{org}/programs/new"),
    ("POST", "/portal/{org}/programs/new", "/portal/{org}/programs/new"),
    ("GET", "/portal/{org}/programs/{id}/edit", "/portal/{org}/programs/{id}/edit"),
    ("POST", "/portal/{org}/programs/{id}/edit", "/portal/{org}/programs/{id}/edit"),
    ("GET", "/portal/{org}/programs/{id}/delete", "/portal/{org}/programs/{id}/delete"),
    ("POST", "/portal/{org}/programs/{id}/delete", "/portal/{org}/programs/{id}/delete"),
    ("POST", "/portal/{org}/organization", "/portal/{org}/organization"),
    ("GET", "/portal/{org}/organization/delete", "/portal/{org}/organization/delete"),
    ("POST", "/portal/{org}/organization/delete", "/portal/{org}/organization/delete"),
    ("GET", "/portal/{org}/audit/export", "/portal/{org}/audit"),
];

#[test]
fn whoever_was_signed_in_for_long_shows_who_they_are_first() {
    let there: Vec<(String, &str, &str)> = all()
        .into_iter()
        .filter_map(|route| route.fresh.map(|back| (route.method.to_string(), route.path, back)))
        .collect();
    let listed: Vec<(String, &str, &str)> =
        FRESH.iter().map(|(method, path, back)| ((*method).to_owned(), *path, *back)).collect();
    assert_eq!(there, listed);
    let played = Played::new();
    let browser = played.browser(&played.ours, Role::Owner);
    let age = "UPDATE sessions SET proved = proved - 660000";
    played.server.db.write(Reach::Server, |rows| rows.execute(age, &[])).unwrap();
    let before = played.kept();
    for (method, path, _) in inside() {
        let Some((.., back)) = FRESH.iter().find(|(known, place, _)| *known == method.as_str() && *place == path)
        else {
            continue;
        };
        let response = played.send(&method, &filled(path, &played.ours, &played), &browser);
        let to = response.headers().get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        let back = filled(back, &played.ours, &played);
        let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        assert_eq!(to, format!("/account/prove?next={back}"), "{method} {path}");
    }
    assert_eq!(played.kept(), before);
}
