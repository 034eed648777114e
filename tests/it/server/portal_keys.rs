//! The API keys of members, on the pages of whoever runs the organization.

use serde_json::{Value, json};

use super::openbao::wait_until;
use super::portal::Portal;
use super::portal_places::{invited, links};
use super::postgres::Postgres;
use super::served::{Served, token};
use crate::canary::{Canary, Sweep};
use crate::wire::Message;

const BOB: &str = "bob@example.com";
const HOSTILE: &str = "\"><script>alert(1)</script>";
const NOBODYS: &str = "0123456789abcdef";

/// Makes a key on somebody's own page; its identifier, and itself.
fn made(portal: &Portal, name: &str, more: &[(&str, &str)]) -> (String, String) {
    let wanted = [&[("name", name), ("permission", "credentials.read"), ("days", "30")], more].concat();
    let page = portal.send("/keys", "/keys", &wanted);
    assert_eq!(page.status(), 201, "{}", page.text());
    let key = page.text().split("class=\"once\" tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    (key.split('_').nth(2).unwrap().to_owned(), key)
}

fn shown(page: &Message) -> String {
    assert_eq!(page.status(), 200, "{}", page.text());
    let text = page.text();
    assert!(!text.contains("<script"), "{text}");
    text
}

/// The row of a page that says this.
fn row(page: &str, what: &str) -> String {
    let rows = page.split("<tbody").nth(1).unwrap_or_default().split("<tr role=\"row\">");
    rows.skip(1).find(|row| row.contains(what)).unwrap_or_else(|| panic!("{what}: {page}")).to_owned()
}

fn keys_of_members(served: &Served) {
    let alice = Portal::of(served);
    assert!(shown(&alice.get("/members/keys")).contains("There is none."));
    let project = alice.send("/projects/new", "/projects/new", &[("name", "web")]);
    assert_eq!(project.status(), 303, "{}", project.text());
    let bob = invited(served, &alice, "member", BOB);
    let dora = invited(served, &alice, "admin", "dora@example.com");
    let (own, _) = made(&alice, "of-alice", &[]);
    let (first, key) = made(&bob, HOSTILE, &[]);
    let (second, other) = made(&bob, "of-web", &[("project", "web"), ("permission", "secrets.read")]);
    let counts = |key: &str| served.api("GET", "/credential-configs", key, "").status();
    assert_eq!((counts(&key), counts(&other)), (200, 200));
    let person = served.sql(&format!("SELECT id FROM people WHERE login = '{BOB}'")).trim().to_owned();
    let of_bob = format!("/members/{person}/keys");

    // Everybody's, and those of one: whose, for what, where, and until when; never a key.
    assert!(links(&shown(&alice.get("/members")), "/keys").contains(&of_bob));
    let all = shown(&alice.get("/members/keys"));
    let lists = |page: &str| [&own, &first, &second].map(|id| links(page, "/revoke").iter().any(|to| to.contains(id)));
    assert_eq!(lists(&all), [true; 3]);
    assert_eq!(lists(&shown(&alice.get(&of_bob))), [false, true, true]);
    let one = row(&all, "of-web");
    for part in [BOB, "credentials.read, secrets.read", "in the project web alone", "<time datetime=", "Revoke"] {
        assert!(one.contains(part), "{part}: {one}");
    }
    let list = || shown(&alice.get("/members/keys"));
    wait_until("its use is written", || row(&list(), &first).contains("from 127.0.0.0/24"));
    for key in [&key, &other] {
        assert!(!all.contains(key.split('_').nth(3).unwrap()), "{all}");
    }

    // Whoever may not is shown no way there, has none, and is told of.
    let revoke = |id: &str| format!("/members/keys/{id}/revoke");
    let seen = shown(&bob.get("/members"));
    assert!(!seen.contains("members/keys") && !links(&seen, "/keys").contains(&of_bob), "{seen}");
    for page in ["/members/keys", &of_bob, &revoke(&own), &revoke(&first)] {
        assert_eq!(bob.get(page).status(), 403, "{page}");
    }
    assert_eq!(bob.send("/keys", &revoke(&own), &[]).status(), 403);
    // What is a key of nobody, or no key, is not there.
    for nothing in [revoke(NOBODYS), revoke(&person), format!("/members/{NOBODYS}/keys")] {
        assert_eq!(alice.get(&nothing).status(), 404, "{nothing}");
    }
    assert_eq!(alice.send("/keys", &revoke(NOBODYS), &[]).status(), 404);
    assert_eq!(alice.get("/members/keys?after=x").status(), 400);

    // An administrator is asked first, and then it ends, and nothing else does.
    let asked = shown(&dora.get(&revoke(&first)));
    assert!(asked.contains("Revoke this key?") && asked.contains(BOB) && asked.contains("alert(1)"), "{asked}");
    assert_eq!(dora.browser.post(&format!("{}{}", dora.base, revoke(&first)), &[("word", "x")]).status(), 403);
    assert_eq!(counts(&key), 200, "looking at the question does nothing, nor does a form of elsewhere");
    let done = dora.send(&revoke(&first), &revoke(&first), &[]);
    assert_eq!(done.status(), 303, "{}", done.text());
    let to = done.header("location").unwrap().to_owned();
    assert!(shown(&dora.browser.get(&to)).contains("The key lets nobody in any more."), "{to}");
    assert_eq!((counts(&key), counts(&other)), (401, 200));
    assert_eq!(bob.get("/credentials").status(), 200);
    assert_eq!(lists(&shown(&alice.get("/members/keys"))), [true, false, true]);
    assert_eq!(dora.send("/keys", &revoke(&first), &[]).status(), 404, "it has ended already");
    // An administrator ends an owner's as well.
    assert_eq!(dora.send(&revoke(&own), &revoke(&own), &[]).status(), 303);

    // Somebody with nothing any more is nobody to be looked for.
    let remove = format!("/members/{person}/remove");
    assert_eq!(alice.send(&remove, &remove, &[]).status(), 303);
    assert_eq!(counts(&other), 401);
    assert_eq!(alice.get(&of_bob).status(), 404);
    assert!(shown(&alice.get("/members/keys")).contains("There is none."));

    let told = |login: &str, action: &str| -> Vec<Value> {
        let who = served.sql(&format!("SELECT id FROM people WHERE login = '{login}'")).trim().to_owned();
        let entries = served.entries().into_iter().filter(|entry| entry["actor"] == who && entry["action"] == action);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries.map(|entry| json!(["outcome", "object", "detail"].map(|name| text(&entry[name])))).collect()
    };
    assert!(told("dora@example.com", "key.revoke").contains(&json!(["done", first, ""])));
    assert!(told("dora@example.com", "key.revoke").contains(&json!(["done", own, ""])));
    assert!(told("dora@example.com", "key.show").contains(&json!(["done", first, ""])));
    assert!(told("alice@example.com", "key.list").contains(&json!(["done", person, "of a member"])));
    assert!(told("alice@example.com", "key.list").contains(&json!(["done", "", "of everybody"])));
    assert!(told(BOB, "access").contains(&json!(["denied", "members.manage", ""])));
    Sweep::for_canaries(&[Canary::of(&key), Canary::of(&other)]).tree(&served.data()).assert_clean();
}

#[test]
fn whoever_runs_an_organization_sees_and_ends_the_keys_of_its_members() {
    keys_of_members(&Served::new(&[]));
}

#[test]
fn the_keys_of_members_are_the_same_on_postgresql() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    let alice = Portal::of(&served);
    let bob = invited(&served, &alice, "member", BOB);
    let (id, key) = made(&bob, "of-bob", &[]);
    let person = postgres.as_superuser(&format!("SELECT id FROM people WHERE login = '{BOB}'")).trim().to_owned();
    for page in ["/members/keys", &format!("/members/{person}/keys")] {
        assert!(row(&shown(&alice.get(page)), "of-bob").contains(BOB), "{page}");
    }
    let revoke = format!("/members/keys/{id}/revoke");
    assert_eq!(alice.send(&revoke, &revoke, &[]).status(), 303);
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 401);
    assert_eq!(alice.get(&revoke).status(), 404);
}

/// More keys than come on a page are reached from one page to the next, and one list's next page is no other's.
#[test]
fn the_keys_of_many_come_on_several_pages() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    for number in 0..51 {
        let wanted = format!("{{\"name\":\"key-{number:02}\",\"permissions\":[\"credentials.read\"]}}");
        assert_eq!(served.api("POST", "/api-keys", &bearer, &wanted).status(), 201);
    }
    let alice = Portal::of(&served);
    let person = served.sql("SELECT id FROM people").trim().to_owned();
    for list in ["/members/keys".to_owned(), format!("/members/{person}/keys")] {
        let first = shown(&alice.get(&list));
        assert!(first.contains(">key-49<") && !first.contains(">key-50<"), "{first}");
        let next = first.split("rel=\"next\" href=\"").nth(1).expect("a next page").split('"').next().unwrap();
        assert!(next.starts_with(&format!("{}{list}?after=", alice.base)), "{next}");
        let second = shown(&alice.browser.get(next));
        assert!(second.contains(">key-50<") && !second.contains(">key-49<") && !second.contains("rel=\"next\""));
        let other = next.replace(&list, if list.ends_with("members/keys") { "/keys" } else { "/members/keys" });
        assert_eq!(alice.browser.get(&other).status(), 400, "{other}");
    }
}
