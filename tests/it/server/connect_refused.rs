//! Sign-ins at other services that are renewed, changed and ended by those who may, and by nobody else.

use std::time::Duration;

use serde_json::json;

use super::connect::{Pages, serve, told};
use super::served::{Browser, Served, token};
use super::team::join;
use crate::peers::OidcProvider;
use crate::vaulted::list;

/// Somebody who only reads in the organization, and has a role in one project.
fn of_project(served: &Served, login: &str, project: &str) -> Browser {
    let owner = served.manager();
    let link = owner.run(&["members", "invite", login, "--role", "reader"]).ends(0).stdout();
    let browser = join(served, link.trim(), login);
    owner.run(&["projects", "role", project, login, "member"]).ends(0);
    browser
}

#[test]
fn the_sign_in_of_another_project_is_not_renewed_for_whoever_may_not_verify_it() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "2")]);
    let served = serve(&[]);
    let owner = served.manager();
    for project in ["web", "api"] {
        owner.run(&["projects", "create", project]).ends(0);
    }
    let alice = Pages::of(served.browser());
    let id = alice.configure_in(&idp, "corp", "web");
    alice.connect(&id);
    let path = format!("/credential-configs/{id}");
    let version = || served.api("GET", &path, &token(&owner), "").json()["version"].clone();
    let (before, asked) = (version(), idp.count("/token"));
    std::thread::sleep(Duration::from_millis(2200));

    let other = of_project(&served, "bob@example.com", "api");
    let bearer = token(&served.client_of(&other, None));
    for rest in ["verify", "refresh"] {
        let refused = served.api("POST", &format!("{path}/{rest}"), &bearer, "{}");
        assert_eq!(refused.status(), 403, "{rest}: {}", refused.text());
    }
    let other = Pages::of(other);
    let refused = other.send(&format!("/{id}"), &format!("/{id}/verify"), &[]);
    assert_eq!(refused.status(), 403, "{}", refused.text());
    assert_eq!((version(), idp.count("/token")), (before.clone(), asked), "nobody asked the service");
    assert!(told(&served, &id).iter().all(|(action, ..)| action != "credential.refresh"), "{:?}", told(&served, &id));

    // Whoever works in its project has it renewed.
    let own = of_project(&served, "carol@example.com", "web");
    let bearer = token(&served.client_of(&own, None));
    let verified = served.api("POST", &format!("{path}/verify"), &bearer, "").json();
    assert_eq!(verified["valid"], json!(true), "{verified}");
    assert!(idp.count("/token") > asked && version() != before);
    std::thread::sleep(Duration::from_millis(2200));
    let page = Pages::of(own);
    let asked = page.send(&format!("/{id}"), &format!("/{id}/verify"), &[]);
    assert!(asked.status() == 200 && asked.text().contains("It works"), "{}", asked.text());
}

#[test]
fn of_two_who_change_how_one_signs_in_at_once_the_second_changes_nothing() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3000")]);
    let served = serve(&[]);
    let alice = Pages::of(served.browser());
    let id = alice.configure(&idp, "corp");
    alice.connect(&id);
    let form = format!("/{id}/connection");
    let version = super::served::hidden(alice.get(&form).text().split("<main").nth(1).unwrap())
        .into_iter()
        .find_map(|(name, value)| (name == "version").then_some(value))
        .expect("the version that the form was made of");
    let fields = |scopes: &'static str| {
        [("other", "corp"), ("issuer", idp.issuer()), ("client_id", "server-confidential"), ("scopes", scopes)]
    };
    let first = alice.send(&form, &form, &fields("openid email"));
    assert_eq!(first.status(), 303, "{}", first.text());
    // Both had loaded the form before that.
    let mut late = fields("openid profile").to_vec();
    late.push(("version", version.as_str()));
    let mut hidden = super::served::hidden(alice.get(&form).text().split("<main").nth(1).unwrap());
    hidden.retain(|(name, _)| name == "word");
    let word = hidden.first().expect("a word").1.clone();
    late.push(("word", &word));
    let second = alice.browser.post(&format!("{}{form}", alice.base), &late);
    assert_eq!(second.status(), 412, "{}", second.text());
    assert!(second.text().contains("changed by somebody else"), "{}", second.text());
    let bearer = token(&served.manager());
    let shown = served.api("GET", &format!("/credential-configs/{id}"), &bearer, "").json();
    assert_eq!(shown["fields"]["scopes"], json!("openid email"), "{shown}");
    // One that names no version was made of none.
    late.retain(|(name, _)| *name != "version");
    assert_eq!(alice.browser.post(&format!("{}{form}", alice.base), &late).status(), 412);
    let read = served.api("GET", &format!("/credential-configs/{id}/secrets"), &bearer, "");
    assert_eq!(read.status(), 200, "{}", read.text());
}

#[test]
fn a_sign_in_that_was_ended_is_said_to_be_so() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3000")]);
    let served = serve(&[]);
    let alice = Pages::of(served.browser());
    let id = alice.configure(&idp, "corp");
    let stage = served.manager();
    let never = stage.run(&["credentials", "disconnect", "corp"]).ends(0);
    assert!(never.stderr().contains("corp is disconnected already"), "{never}");
    alice.connect(&id);
    // Who only deletes it is told that it would live on there.
    let page = || alice.get(&format!("/{id}/delete")).text();
    assert!(page().contains("Its sign-in goes on at the service: disconnect it first"), "{}", page());
    let asked = stage.run(&["credentials", "delete", "corp"]).ends(2);
    assert!(asked.stderr().contains("disconnect it first: lanyard credentials disconnect corp"), "{asked}");
    let ended = stage.run(&["credentials", "disconnect", "corp"]).ends(0);
    assert!(ended.stderr().contains("Disconnected corp: ended at the service"), "{ended}");
    assert!(page().contains("At its provider it stays as it is."), "{}", page());
    let asked = stage.run(&["credentials", "delete", "corp"]).ends(2);
    assert!(!asked.stderr().contains("disconnect"), "{asked}");
    let before = told(&served, &id).len();
    let again = stage.run(&["credentials", "disconnect", "corp"]).ends(0);
    assert!(again.stderr().contains("corp is disconnected already"), "{again}");
    let more = told(&served, &id);
    assert!(more[before..].iter().all(|(action, ..)| action != "credential.disconnect"), "{more:?}");
    assert_eq!(list(&stage)[0]["status"], "needs attention");
}

#[test]
fn who_works_in_one_project_connects_what_is_in_it_and_nothing_else() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3000")]);
    let served = serve(&[]);
    let owner = served.manager();
    for project in ["web", "api"] {
        owner.run(&["projects", "create", project]).ends(0);
    }
    let alice = Pages::of(served.browser());
    let foreign = [alice.configure(&idp, "wide"), alice.configure_in(&idp, "other", "api")];
    let bob = Pages::of(of_project(&served, "bob@example.com", "web"));
    let form = bob.get("/connect").text();
    assert!(form.contains("value=\"web\"") && !form.contains("value=\"api\""), "{form}");
    assert!(!form.contains("the whole organization"), "{form}");
    let fields = |project: &'static str| {
        [
            ("other", "corp"),
            ("issuer", idp.issuer()),
            ("client_id", "server-confidential"),
            ("client_secret", super::connect::CLIENT_SECRET),
            ("name", "mine"),
            ("project", project),
        ]
    };
    for project in ["", "api"] {
        let refused = bob.send("/connect", "/connect", &fields(project));
        assert_eq!(refused.status(), 403, "{project}: {}", refused.text());
    }
    let id = bob.configure_in(&idp, "mine", "web");
    bob.connect(&id);
    let page = bob.get(&format!("/{id}")).text();
    assert!(page.contains("<dd>connected</dd>") && page.contains(">Disconnect<"), "{page}");
    let change = format!("/{id}/connection");
    let changed = bob.send(&change, &change, &fields("web"));
    assert_eq!(changed.status(), 303, "{}", changed.text());

    // Nothing of another project, nor of the organization, whatever is sent.
    let word = super::served::hidden(&bob.get("/connect").text());
    let word = word.into_iter().find(|(name, _)| name == "word").expect("a word").1;
    for id in &foreign {
        let page = bob.get(&format!("/{id}")).text();
        assert!(!page.contains(">Connect<") && !page.contains("/connection\""), "{page}");
        for rest in ["connect", "connection"] {
            assert_eq!(bob.get(&format!("/{id}/{rest}")).status(), 403, "{rest}");
        }
        for rest in ["connect", "connection", "disconnect"] {
            let path = format!("{}/{id}/{rest}", bob.base);
            let refused =
                bob.browser.post(&path, &[("word", &word), ("version", "1"), ("other", "x"), ("client_id", "x")]);
            assert_eq!(refused.status(), 403, "{rest}: {}", refused.text());
        }
        let told = told(&served, id);
        let fine = ["credential.create", "credential.show"];
        assert!(told.iter().all(|(action, ..)| fine.contains(&action.as_str())), "{told:?}");
    }
    // What is taken away while somebody is at the service counts when they come back.
    let callback = super::connect::consent(&bob.begin(&id, &[]), &[]);
    owner.run(&["projects", "role", "web", "bob@example.com", "none"]).ends(0);
    let late = bob.come_back(&callback);
    assert!(late.status() == 403 && late.text().contains("any more"), "{}", late.text());
    let denied = ("credential.connect".to_owned(), "denied".to_owned(), "access".to_owned());
    assert!(told(&served, &id).contains(&denied), "{:?}", told(&served, &id));
    assert_eq!(bob.get(&format!("/{id}/connect")).status(), 403);
}
