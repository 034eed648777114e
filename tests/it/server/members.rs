//! More than one: invitations, roles, and how somebody goes.

use serde_json::{Value, json};

use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::stage::Stage;

const MANAGE: &str = "credentials.read,credentials.write,credentials.verify,secrets.read,keys.manage,members.manage";

/// The owner's token that may do everything.
fn owner(served: &Served) -> String {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    served.sign_in_with(&stage, MANAGE);
    token(&stage)
}

/// Invites somebody, who joins with a new account; their browser.
fn joined(served: &Served, owner: &str, role: &str, login: &str) -> Browser {
    let link = invite(served, owner, role);
    let path = link.strip_prefix(&served.url).unwrap();
    let mut browser = Browser::new(&served.url);
    assert!(browser.get(path).text().contains(&format!("as {role}")));
    let token = link.split("token=").nth(1).unwrap();
    let fields = [("token", token), ("login", login), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let done = browser.post("/join", &fields);
    assert_eq!((done.status(), done.header("location")), (303, Some("/")), "{}", done.text());
    assert_eq!(browser.post("/join", &fields).status(), 409, "once");
    assert_eq!(browser.sign_in(login, PASSPHRASE).status(), 303);
    browser
}

fn invite(served: &Served, owner: &str, role: &str) -> String {
    let made = served.api("POST", "/invitations", owner, &json!({ "role": role }).to_string());
    assert_eq!(made.status(), 201, "{}", made.text());
    made.json()["link"].as_str().unwrap().to_owned()
}

/// The token of a command line that somebody lets in with their browser.
fn let_in(served: &Served, browser: &Browser) -> String {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    let mut login = stage.start(&["auth", "login", "--service", &served.url, "--no-browser", "--scopes", MANAGE]);
    let callback = browser.allow(&login.url());
    crate::wire::browse(&callback);
    login.finish().ends(0);
    token(&stage)
}

fn members(served: &Served, owner: &str) -> Vec<(String, String, String)> {
    let told = served.api("GET", "/members", owner, "").json();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (text(one, "id"), text(one, "login"), text(one, "role")))
        .collect()
}

#[test]
fn others_join_by_invitation_with_the_rights_of_their_role() {
    let served = Served::new(&[]);
    let owner = owner(&served);
    let made =
        served.api("POST", "/credential-configs", &owner, r#"{"name":"db","kind":"generic_env","data":{"A":"1"}}"#);
    let secrets = format!("{}/secrets", made.header("location").unwrap());
    let reader = let_in(&served, &joined(&served, &owner, "reader", "bob"));
    assert_eq!(served.api("GET", "/credential-configs", &reader, "").status(), 200);
    for (method, path) in [("GET", secrets.as_str()), ("POST", "/credential-configs"), ("GET", "/members")] {
        assert_eq!(served.api(method, path, &reader, "{}").status(), 403, "{method} {path}");
    }
    // What a role may is looked at with every request.
    let (id, ..) = members(&served, &owner).into_iter().find(|(_, login, _)| login == "bob").unwrap();
    let member = format!("/members/{id}");
    assert_eq!(served.api("PATCH", &member, &owner, r#"{"role":"member"}"#).status(), 204);
    assert_eq!(served.api("GET", &secrets, &reader, "").status(), 403, "the token was never given that");
    let grown = let_in(&served, &{
        let mut browser = Browser::new(&served.url);
        browser.sign_in("bob", PASSPHRASE);
        browser
    });
    assert_eq!(served.api("GET", &secrets, &grown, "").status(), 200);
    assert_eq!(served.api("PATCH", &member, &owner, r#"{"role":"reader"}"#).status(), 204);
    assert_eq!(served.api("GET", &secrets, &grown, "").status(), 403);
    assert_eq!(served.api("DELETE", &member, &owner, "").status(), 204);
    assert_eq!(served.api("GET", "/credential-configs", &grown, "").status(), 401);
    // Whoever comes back does so without the tokens of before.
    let link = invite(&served, &owner, "member");
    let mut bob = Browser::new(&served.url);
    bob.sign_in("bob", PASSPHRASE);
    let page = bob.get(link.strip_prefix(&served.url).unwrap()).text();
    let fields = hidden(&page);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(bob.post("/join", &fields).status(), 303);
    assert_eq!(members(&served, &owner).len(), 2);
    assert_eq!(served.api("GET", "/credential-configs", &grown, "").status(), 401);
}

#[test]
fn nobody_rises_above_themselves_and_the_last_owner_stays() {
    let served = Served::new(&[]);
    let owner = owner(&served);
    let admin = let_in(&served, &joined(&served, &owner, "admin", "carol"));
    let all = members(&served, &owner);
    let id = |login: &str| format!("/members/{}", all.iter().find(|one| one.1 == login).unwrap().0);
    let status = |method: &str, path: &str, token: &str, body: &str| served.api(method, path, token, body).status();
    assert_eq!(status("POST", "/invitations", &admin, r#"{"role":"owner"}"#), 403);
    assert_eq!(status("POST", "/invitations", &admin, r#"{"role":"Admin"}"#), 422);
    assert_eq!(status("PATCH", &id("carol"), &admin, r#"{"role":"owner"}"#), 403);
    assert_eq!(status("PATCH", &id(LOGIN), &admin, r#"{"role":"reader"}"#), 403);
    assert_eq!(status("DELETE", &id(LOGIN), &admin, ""), 403);
    assert_eq!(status("DELETE", &id(LOGIN), &owner, ""), 409, "the last owner");
    assert_eq!(status("PATCH", &id(LOGIN), &owner, r#"{"role":"admin"}"#), 409);
    assert_eq!(status("DELETE", "/members/person_unknown", &owner, ""), 404);
    // An invitation falls with whoever made it.
    let link = invite(&served, &admin, "admin");
    let path = link.strip_prefix(&served.url).unwrap();
    assert_eq!(Browser::new(&served.url).get(path).status(), 200);
    assert_eq!(status("PATCH", &id("carol"), &owner, r#"{"role":"member"}"#), 204);
    assert_eq!(Browser::new(&served.url).get(path).status(), 409);
    // A login that is taken is not taken over.
    let link = invite(&served, &owner, "reader");
    let token = link.split("token=").nth(1).unwrap();
    let fields = [("token", token), ("login", "Carol"), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let refused = Browser::new(&served.url).post("/join", &fields);
    assert!(refused.status() == 422 && refused.text().contains("taken"), "{}", refused.text());
    assert_eq!(Browser::new(&served.url).get(link.strip_prefix(&served.url).unwrap()).status(), 200, "and stays good");
    assert_eq!(members(&served, &owner).len(), 2);
}
