//! What two do at once on PostgreSQL, where the one has read what the other is about to change.

use serde_json::{Value, json};

use super::api_keys::Held;
use super::openbao::wait_until;
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::wire::{self, Message};

const VALUE: &str = "LNYCANARYvalue0123456789";
const ROLE: &str = "arn:aws:iam::123456789012:role/ci";

/// A server on PostgreSQL, and whoever runs its organization.
struct Place {
    postgres: Postgres,
    served: Served,
    bearer: String,
}

impl Place {
    fn new() -> Self {
        let postgres = Postgres::start();
        let served = Served::new(&["--database", &postgres.url()]);
        let bearer = token(&served.manager());
        Self { postgres, served, bearer }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Message {
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

    fn held(&self, address: &str) -> Held {
        let (table, id) = address.rsplit_once('/').expect("an address");
        let table = table.trim_start_matches('/').replace("credential-configs", "credentials");
        Held::by(&self.postgres, &format!("SELECT id FROM {table} WHERE id = '{id}'"))
    }

    /// Waits until so many of the server wait for somebody's row.
    fn waits(&self, count: usize) {
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        wait_until("it waits", || self.postgres.as_superuser(waiting) == count.to_string());
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
    let keys = json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" });
    let source = place.make("/credential-configs", &json!({ "name": "keys", "kind": "aws_static", "data": keys }));
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
