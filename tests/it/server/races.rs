//! What two do at once on PostgreSQL, where the one has read what the other is about to change.

use serde_json::{Value, json};

use super::api_keys::Held;
use super::grants::{code_for, exchange, text};
use super::openbao::wait_until;
use super::organizations::ACME;
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::wire::{self, Message};

const VALUE: &str = "LNYCANARYvalue0123456789";
const ROLE: &str = "arn:aws:iam::123456789012:role/ci";

/// A server on PostgreSQL, and whoever runs its organization.
pub struct Place {
    pub postgres: Postgres,
    pub served: Served,
    pub bearer: String,
}

impl Place {
    pub fn new() -> Self {
        let postgres = Postgres::start();
        let served = Served::new(&["--database", &postgres.url()]);
        let bearer = token(&served.manager());
        Self { postgres, served, bearer }
    }

    pub fn ask(&self, method: &str, path: &str, body: &Value) -> Message {
        self.served.api(method, path, &self.bearer, &body.to_string())
    }

    /// Makes something; its address.
    fn make(&self, path: &str, body: &Value) -> String {
        let made = self.ask("POST", path, body);
        assert_eq!(made.status(), 201, "{}", made.text());
        format!("{path}/{}", made.json()["id"].as_str().expect("an id"))
    }

    fn project(&self, name: &str) -> String {
        self.make("/projects", &json!({ "name": name }))
    }

    fn store(&self, name: &str, project: &str) -> String {
        let data = json!({ "A": VALUE });
        let body = json!({ "name": name, "kind": "generic_env", "project": project, "data": data });
        self.make("/credential-configs", &body)
    }

    /// The address of the organization.
    pub fn organization(&self) -> String {
        let me = self.ask("GET", "/userinfo", &json!({})).json();
        format!("/organizations/{}", me["organization"]["id"].as_str().expect("an id"))
    }

    pub fn held(&self, address: &str) -> Held {
        let (table, id) = address.rsplit_once('/').expect("an address");
        let table = table.trim_start_matches('/').replace("credential-configs", "credentials");
        Held::by(&self.postgres, &format!("SELECT id FROM {table} WHERE id = '{id}'"))
    }

    /// Waits until so many of the server wait for somebody's row.
    pub fn waits(&self, count: usize) {
        waits(&self.postgres, count);
    }

    /// Has several be asked one after the other, while all of them wait for a row of somebody else; what they answer.
    fn queue(&self, row: &str, asked: &[(&str, &str, Value)]) -> Vec<Message> {
        let (held, url, bearer) = (self.held(row), &self.served.url, &self.bearer);
        std::thread::scope(|scope| {
            let mut all = Vec::new();
            for (nth, (method, path, body)) in asked.iter().enumerate() {
                all.push(scope.spawn(move || api(url, method, path, bearer, &body.to_string())));
                self.waits(nth + 1);
            }
            held.let_go();
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        })
    }

    /// The value of a credential as the server gives it.
    fn value(&self, address: &str) -> Value {
        let opened = self.ask("GET", &format!("{address}/secrets"), &json!({}));
        assert_eq!(opened.status(), 200, "{}", opened.text());
        opened.json()["data"]["A"].clone()
    }
}

/// Waits until so many of a database wait for somebody.
pub fn waits(postgres: &Postgres, count: usize) {
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    wait_until("it waits", || postgres.as_superuser(waiting) == count.to_string());
}

/// What AWS shows in its own examples.
fn keys() -> Value {
    json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" })
}

fn statuses(answers: &[Message]) -> Vec<u16> {
    answers.iter().map(Message::status).collect()
}

#[test]
fn a_credential_that_is_moved_stays_where_it_is_and_opens() {
    let place = Place::new();
    let shop = place.project("shop");
    place.project("store");
    let credential = place.store("db", "shop");
    let note = json!({ "note": "mine" });
    let moved = ("PATCH", &credential[..], json!({ "project": "store" }));
    let answers = place.queue(&credential, &[moved, ("PATCH", &credential, note.clone())]);
    assert_eq!(statuses(&answers), [200, 412]);
    assert_eq!(place.value(&credential), json!(VALUE));
    // The project that it is in is renamed.
    let back = place.ask("PATCH", &credential, &json!({ "project": "shop" }));
    assert_eq!(back.status(), 200, "{}", back.text());
    let renamed = ("PATCH", &shop[..], json!({ "name": "market" }));
    let answers = place.queue(&credential, &[renamed, ("PATCH", &credential, note)]);
    assert_eq!(statuses(&answers), [200, 412]);
    assert_eq!(place.value(&credential), json!(VALUE));
    assert_eq!(place.ask("GET", &credential, &json!({})).json()["project"], json!("market"));
}

#[test]
fn of_two_who_have_seen_the_same_one_changes_it() {
    let place = Place::new();
    let credential = place.store("db", "");
    let seen = place.ask("GET", &credential, &json!({})).header("etag").expect("a tag").to_owned();
    let held = place.held(&credential);
    let (address, bearer) =
        (format!("{}{credential}", place.served.url), format!("Authorization: Bearer {}", place.bearer));
    let seen = format!("If-Match: {seen}");
    let mut answers = std::thread::scope(|scope| {
        let headers = [&bearer[..], &seen, "Content-Type: application/json"];
        let ask = |body: &'static str| {
            let address = &address;
            scope.spawn(move || wire::send("PATCH", address, &headers, body).expect("an answer").status())
        };
        let all = ["{\"note\":\"one\"}", "{\"note\":\"two\"}"].map(ask);
        place.waits(2);
        held.let_go();
        all.map(|one| one.join().expect("an answer"))
    });
    answers.sort_unstable();
    assert_eq!(answers, [200, 412]);
}

#[test]
fn a_name_is_followed_by_those_who_are_getting_other_values() {
    let place = Place::new();
    let source = place.make("/credential-configs", &json!({ "name": "keys", "kind": "aws_static", "data": keys() }));
    let fields = |region: &str, source: &str| json!({ "source": source, "role_arn": ROLE, "region": region });
    let body = json!({ "name": "role", "kind": "aws_assume_role", "fields": fields("eu-west-1", "keys"), "data": {} });
    let follower = place.make("/credential-configs", &body);
    let secrets = format!("{follower}/secrets");
    let replaced =
        |region: &str, source: &str| ("POST", &secrets[..], json!({ "fields": fields(region, source), "data": {} }));
    let renamed = |name: &str| ("PATCH", &source[..], json!({ "name": name }));
    for (asked, region, name) in [
        ([replaced("eu-north-1", "keys"), renamed("newer")], "eu-north-1", "newer"),
        ([renamed("newest"), replaced("eu-south-1", "newer")], "eu-south-1", "newest"),
    ] {
        assert_eq!(statuses(&place.queue(&follower, &asked)), [200, 200]);
        let fields = place.ask("GET", &follower, &json!({})).json()["fields"].clone();
        assert_eq!((&fields["region"], &fields["source"]), (&json!(region), &json!(name)), "{fields}");
    }
}

/// An issuer that was taken away while somebody was changing it stays away.
#[test]
fn an_issuer_that_was_taken_away_is_not_brought_back() {
    let place = Place::new();
    let issuer = json!({ "name": "Corp", "issuer": "https://id.example.com", "client_id": "web" });
    let issuer = place.make("/upstreams", &issuer);
    let organization = place.organization();
    let asked = [("DELETE", &issuer[..], json!({})), ("PATCH", &issuer[..], json!({ "name": "Other" }))];
    assert_eq!(statuses(&place.queue(&organization, &asked)), [204, 412]);
    assert_eq!(place.ask("GET", &issuer, &json!({})).status(), 404);
}

/// Two who take the same rows take them in one order: neither waits for the other in turn.
#[test]
fn nobody_waits_for_somebody_who_waits_for_them() {
    let place = Place::new();
    let (first, second) = (place.store("first", ""), place.store("second", ""));
    let ids = [&first, &second].map(|one| one.rsplit('/').next().expect("an id").to_owned());
    let workspace = json!({ "name": "w", "credential_config_ids": [ids[1]] });
    let workspace = place.make("/workspaces", &workspace);
    // A list with a credential that is being deleted, with everything that uses it.
    let delete = format!("{first}?force=true");
    let list = json!({ "credential_config_ids": [ids[1], ids[0]] });
    let attached = place.ask("PATCH", &workspace, &list);
    assert_eq!(attached.status(), 200, "{}", attached.text());
    let asked = [("DELETE", &delete[..], json!({})), ("PATCH", &workspace[..], list)];
    assert_eq!(statuses(&place.queue(&first, &asked)), [204, 422]);
    // A name that is followed in a project, of a credential that is moved into the project while that is renamed.
    let shop = place.project("shop");
    let source = place.make("/credential-configs", &json!({ "name": "keys", "kind": "aws_static", "data": keys() }));
    let fields = json!({ "source": "keys", "role_arn": ROLE, "region": "eu-west-1" });
    let body = json!({ "name": "role", "kind": "aws_assume_role", "project": "shop", "fields": fields, "data": {} });
    let follower = place.make("/credential-configs", &body);
    let renamed = ("PATCH", &shop[..], json!({ "name": "market" }));
    let moved = ("PATCH", &source[..], json!({ "name": "newer", "project": "shop" }));
    assert_eq!(statuses(&place.queue(&shop, &[renamed, moved])), [200, 422]);
    // An organization that is deleted while somebody changes something of it.
    assert_eq!(place.ask("POST", "/organizations", &json!({ "name": "Zenith" })).status(), 201);
    let name: String = url::form_urlencoded::byte_serialize(ACME.as_bytes()).collect();
    let end = format!("{}?name={name}", place.organization());
    let asked = [("PATCH", &follower[..], json!({ "note": "mine" })), ("DELETE", &end[..], json!({}))];
    assert_eq!(statuses(&place.queue(&follower, &asked)), [200, 204]);
    assert_eq!(place.postgres.as_superuser("SELECT COUNT(*) FROM credentials"), "0");
}

/// Of two ways to sign in that are taken away at once, one stays.
#[test]
fn the_last_way_to_sign_in_stays() {
    let place = Place::new();
    let (browser, sql) = (place.served.browser(), |text: &str| place.postgres.as_superuser(text));
    let person = sql("SELECT id FROM people");
    for name in ["one", "two"] {
        sql(&format!(
            "INSERT INTO passkeys (id, person, name, public_key, counted, eligible, backed_up, transports, created) \
             VALUES ('{name}', '{person}', '{name}', '', 0, 1, 0, '[]', 0)"
        ));
    }
    sql("UPDATE people SET passphrase = ''");
    let word = browser.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").expect("a word").1;
    let held = Held::by(&place.postgres, "SELECT id FROM people");
    let mut answers = std::thread::scope(|scope| {
        let remove = |name: &'static str| {
            let (browser, word) = (&browser, &word);
            let path = format!("/account/passkeys/{name}/remove");
            scope.spawn(move || browser.post(&path, &[("word", word)]).status())
        };
        let all = ["one", "two"].map(remove);
        place.waits(2);
        held.let_go();
        all.map(|one| one.join().expect("an answer"))
    });
    answers.sort_unstable();
    assert_eq!((answers, sql("SELECT COUNT(*) FROM passkeys").as_str()), ([303, 409], "1"));
}

/// Whatever many do at once to the same few things, nobody is told that the database is busy.
#[test]
fn many_who_change_the_same_are_all_answered() {
    const KEPT: usize = 6;
    let place = Place::new();
    let projects = ["shop", "store"].map(|name| place.project(name));
    let kept: Vec<String> = (0..KEPT).map(|number| place.store(&format!("n{number}"), "")).collect();
    let ids: Vec<&str> = kept.iter().map(|one| one.rsplit('/').next().expect("an id")).collect();
    let workspaces = ["one", "two"].map(|name| place.make("/workspaces", &json!({ "name": name })));
    let (url, bearer) = (&place.served.url, &place.bearer);
    let (projects, kept, ids, workspaces) = (&projects, &kept, &ids, &workspaces);
    let work = move |thread: usize| {
        let ask = |method: &str, path: &str, body: Value| {
            let answer = api(url, method, path, bearer, &body.to_string());
            assert!(answer.status() < 500, "{method} {path} {body}: {} {}", answer.status(), answer.text());
            answer
        };
        for round in 0..24 {
            let (turn, one) = (thread * 5 + round, &kept[(thread + round) % KEPT]);
            let list: Vec<&str> = (0..3).map(|nth| ids[(turn * (nth + 1)) % KEPT]).collect();
            let workspace = &workspaces[turn % 2];
            match turn % 7 {
                0 => ask("PATCH", one, json!({ "note": format!("{turn}") })),
                1 => ask("PATCH", one, json!({ "name": format!("n{thread}-{round}"), "project": "store" })),
                2 => ask("PATCH", one, json!({ "project": "" })),
                3 => ask("PATCH", workspace, json!({ "credential_config_ids": list })),
                4 => ask("PATCH", &projects[0], json!({ "name": format!("shop{turn}") })),
                5 => ask("POST", &format!("{one}/secrets"), json!({ "data": { "A": VALUE } })),
                _ => {
                    let body =
                        json!({ "name": format!("t{thread}-{round}"), "kind": "generic_env", "data": { "A": "1" } });
                    let made =
                        ask("POST", "/credential-configs", body).json()["id"].as_str().expect("an id").to_owned();
                    for workspace in workspaces {
                        ask("PATCH", workspace, json!({ "credential_config_ids": [&made, list[0], list[1]] }));
                    }
                    ask("DELETE", &format!("/credential-configs/{made}?force=true"), json!({}))
                }
            };
        }
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|thread| scope.spawn(move || work(thread))).collect();
        for one in all {
            one.join().expect("it is answered");
        }
    });
    assert!(!place.postgres.log().contains("deadlock"), "{}", place.postgres.log());
    for one in kept {
        assert_eq!(place.value(one), json!(VALUE));
    }
}

/// Of two who use a refresh token in the same moment, one is a thief: where the second is refused, the sign-in ends.
#[test]
fn a_refresh_token_that_two_use_at_once_counts_no_more() {
    let place = Place::new();
    let given = exchange(&place.served, &code_for(&place.served.browser(), &[]), &[]).json();
    let refresh = text(&given, "refresh_token").to_owned();
    let id = refresh.split('_').nth(2).expect("its public part");
    let held = Held::by(&place.postgres, &format!("SELECT id FROM tokens WHERE id = '{id}'"));
    let url = format!("{}/token", place.served.url);
    let fields = [("grant_type", "refresh_token"), ("client_id", "lanyard"), ("refresh_token", refresh.as_str())];
    let answers = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| wire::post_form(&url, &fields).expect("an answer"));
        let all = [ask(), ask()];
        place.waits(2);
        held.let_go();
        all.map(|one| one.join().expect("an answer"))
    });
    let good = |answer: &&Message| answer.status() == 200;
    let first = answers.iter().find(good).expect("one of them gets new ones").json();
    let asked = place.served.api("GET", "/credential-configs", text(&first, "access_token"), "").status();
    match answers.iter().filter(good).count() {
        1 => assert_eq!(asked, 401),
        _ => assert_eq!(asked, 200),
    }
}
