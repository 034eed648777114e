//! What an owner says of everybody's API keys, and what is told of their use.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::openbao::wait_until;
use super::organizations::{ACME, Sql, organization, told};
use super::portal::Portal;
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::stage::Stage;

/// What an owner says of keys counts for those that are made, and for those that are there.
fn bound_keys(served: &Served, sql: Sql<'_>) {
    let alice = served.manager();
    let bearer = token(&alice);
    let path = format!("/organizations/{}", organization(served, &bearer));
    let make = |body: &str| served.api("POST", "/api-keys", &bearer, body);
    let wanted = |days: &str| format!("{{\"name\":\"k\",\"permissions\":[\"credentials.read\"]{days}}}");
    let shown = served.api("GET", &path, &bearer, "").json();
    assert_eq!((&shown["key_days"], &shown["keys_each"]), (&json!(366), &json!(0)));
    let days = |key: &Value| {
        let at = |name: &str| chrono::DateTime::parse_from_rfc3339(key[name].as_str().unwrap()).unwrap();
        (at("expires") - at("created")).num_days()
    };
    // A key that is made with a program lives no longer than its sign-in, which is 180 days old at most.
    let long = make(&wanted(",\"days\":179"));
    assert_eq!((long.status(), days(&long.json())), (201, 179));
    for bad in ["{\"key_days\":0}", "{\"key_days\":367}", "{\"keys_each\":-1}", "{\"keys_each\":1001}"] {
        assert_eq!(served.api("PATCH", &path, &bearer, bad).status(), 422, "{bad}");
    }
    let said = served.api("PATCH", &path, &bearer, "{\"key_days\":30,\"keys_each\":2}");
    assert_eq!(said.status(), 200, "{}", said.text());
    assert_eq!((&said.json()["key_days"], &said.json()["name"]), (&json!(30), &json!(ACME)), "what is not named stays");
    let listed = || served.api("GET", "/api-keys", &bearer, "").json()["items"].as_array().unwrap().clone();
    assert_eq!(listed().iter().map(days).collect::<Vec<_>>(), [30], "the one that was there ends by it as well");
    let refused = make(&wanted(",\"days\":31"));
    assert!(refused.status() == 422 && refused.text().contains("30 days at most"), "{}", refused.text());
    let usual = make(&wanted(""));
    assert_eq!((usual.status(), days(&usual.json())), (201, 30), "as long as it may, where nothing is said");
    let third = make(&wanted(""));
    assert!(third.status() == 422 && third.text().contains("2 keys at most"), "{}", third.text());
    let id = usual.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(served.api("DELETE", &format!("/api-keys/{id}"), &bearer, "").status(), 204);
    // Of many that are made at once, no more than there may be.
    let (url, body) = (&served.url, wanted(""));
    let ask = || api(url, "POST", "/api-keys", &bearer, &body).status();
    let kept: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).filter(|status| *status == 201).count()
    });
    assert_eq!((kept, listed().len()), (1, 2));
    // When it was last used, and from which network: never the address itself.
    let key = long.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 200);
    let of_key = |listed: &[Value]| {
        let id = long.json()["id"].clone();
        listed.iter().find(|one| one["id"] == id).unwrap().clone()
    };
    wait_until("its use is written", || of_key(&listed())["used"].is_string());
    let one = of_key(&listed());
    assert_eq!((&one["used_from"], &one["idle"]), (&json!("127.0.0.0/24"), &json!(false)), "{one}");
    let past = 31_i64 * 86_400_000;
    sql(&format!("UPDATE tokens SET used = used - {past} WHERE id = '{}'", one["id"].as_str().unwrap()));
    assert_eq!(of_key(&listed())["idle"], json!(true));
    assert_eq!(served.api("PATCH", &path, &bearer, "{\"key_days\":366,\"keys_each\":0}").status(), 200);
    assert_eq!(make(&wanted(",\"days\":179")).status(), 201);
    let told: Vec<Value> = told(sql, "organization.change").iter().map(|entry| entry["detail"].clone()).collect();
    assert!(told.contains(&json!("key_days 30, keys_each 2")), "{told:?}");
}

#[test]
fn an_owner_bounds_the_keys_of_everybody() {
    let served = Served::new(&[]);
    bound_keys(&served, &|statement| served.sql(statement));
    let alice = Portal::of(&served);
    let page = alice.get("/keys").text();
    assert!(page.contains("from 127.0.0.0/24") && page.contains(">unused</span>"), "{page}");
    let name = ("name", ACME);
    for (days, each) in [("0", ""), ("367", ""), ("x", ""), ("5", "x")] {
        let refused = alice.send("/organization", "/organization", &[name, ("key_days", days), ("keys_each", each)]);
        assert!(refused.status() == 422 && refused.text().contains("id=\"key"), "{days} {each}: {}", refused.text());
    }
    let said = alice.send("/organization", "/organization", &[name, ("key_days", "5"), ("keys_each", "9")]);
    assert_eq!(said.status(), 303, "{}", said.text());
    let offered = alice.get("/keys").text();
    assert!(offered.contains("value=\"5\" selected>5 days") && !offered.contains("value=\"7\""), "{offered}");
    let late = [("name", "ci"), ("permission", "credentials.read"), ("days", "7")];
    let refused = alice.send("/keys", "/keys", &late);
    assert!(refused.status() == 422 && refused.text().contains("href=\"#days\""), "{}", refused.text());
}

/// A key that is made for one project: on its page, by the program, and what a job does with it.
#[test]
fn a_key_of_one_project_opens_that_project() {
    let served = Served::new(&[]);
    let portal = Portal::of(&served);
    assert!(!portal.get("/keys").text().contains("In this project alone"), "there is no project to choose");
    let owner = served.manager();
    owner.run(&["projects", "create", "web"]).ends(0);
    for (name, project) in [("everybodys", None), ("webs", Some("web"))] {
        let mut words = vec!["credentials", "store", "env", "A=-", "--name", name];
        words.extend(project.iter().flat_map(|project| ["--for-project", project]));
        owner.run_with(&words, format!("LNYCANARYof-{name}").as_bytes()).ends(0);
    }
    assert!(portal.get("/keys").text().contains("<option value=\"web\">"));
    let fields = [("name", "ci"), ("permission", "credentials.read"), ("permission", "secrets.read"), ("days", "30")];
    let wanted = |project| [&fields[..], &[("project", project)]].concat();
    let unknown = portal.send("/keys", "/keys", &wanted("nowhere"));
    assert!(unknown.status() == 422 && unknown.text().contains("value=\"nowhere\""), "{}", unknown.text());
    let too_much = [&wanted("web")[..], &[("permission", "members.read")]].concat();
    let refused = portal.send("/keys", "/keys", &too_much);
    assert!(refused.status() == 422 && refused.text().contains("key of one project"), "{}", refused.text());
    let made = portal.send("/keys", "/keys", &wanted("web"));
    assert_eq!(made.status(), 201, "{}", made.text());
    assert!(made.text().contains("in the project web"), "{}", made.text());
    assert!(portal.get("/keys").text().contains("in the project web alone"));
    let key = made.text().split("tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let mut job = Stage::new();
    job.set("LANYARD_ENDPOINT", &served.url);
    job.set("LANYARD_TOKEN", &key);
    let listed = job.run(&["credentials", "list"]).ends(0).stdout();
    assert!(listed.contains("webs") && !listed.contains("everybodys"), "{listed}");
    let run =
        |name: &str| job.run(&["run", "--credential", name, "--", "sh", "-c", "test \"$A\" = LNYCANARYof-webs"]).code;
    assert_eq!(run("web/webs"), Some(0));
    assert_ne!(run("everybodys"), Some(0));
}

/// More keys than come on a page are reached from one page to the next, also to be revoked.
#[test]
fn many_keys_come_on_several_pages() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    for number in 0..51 {
        let wanted = format!("{{\"name\":\"key-{number:02}\",\"permissions\":[\"credentials.read\"]}}");
        assert_eq!(served.api("POST", "/api-keys", &bearer, &wanted).status(), 201);
    }
    let alice = Portal::of(&served);
    let first = alice.get("/keys").text();
    assert!(first.contains(">key-00<") && first.contains(">key-49<") && !first.contains(">key-50<"), "{first}");
    let next = first.split("rel=\"next\" href=\"").nth(1).expect("a next page").split('"').next().unwrap();
    let next = alice.browser.get(next).text();
    assert!(next.contains(">key-50<") && !next.contains(">key-49<") && !next.contains("rel=\"next\""), "{next}");
    let revoke = next.split("href=\"").find(|link| link.contains("/revoke\"")).unwrap().split('"').next().unwrap();
    let revoke = format!("/keys/{}", revoke.split("/keys/").nth(1).unwrap());
    assert!(alice.get(&revoke).text().contains("key-50"));
    assert_eq!(alice.send(&revoke, &revoke, &[]).status(), 303);
    assert!(!alice.get("/keys").text().contains("rel=\"next\""));
    assert_eq!(alice.get(&revoke).status(), 404);
    let shown = told(&|statement| served.sql(statement), "key.show");
    assert!(!shown.is_empty(), "who looks at one is in the audit");
}

/// A row of the database that somebody else is changing.
pub struct Held(Child);

impl Held {
    pub fn by(postgres: &Postgres, select: &str) -> Self {
        Self::so(postgres, &format!("{select} FOR UPDATE"))
    }

    /// The same as a server holds what it changes: whatever refers to it goes on.
    pub fn changed(postgres: &Postgres, select: &str) -> Self {
        Self::so(postgres, &format!("{select} FOR NO KEY UPDATE"))
    }

    /// A lock of the database's own of this number, at which a trigger has others wait.
    pub fn number(postgres: &Postgres, number: u32) -> Self {
        Self::so(postgres, &format!("SELECT 1 FROM (SELECT pg_advisory_xact_lock({number})) AS held"))
    }

    fn so(postgres: &Postgres, select: &str) -> Self {
        let url = postgres.as_root();
        let mut psql = Command::new("psql")
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql is installed; tests/run does that");
        writeln!(psql.stdin.as_mut().unwrap(), "BEGIN; {select};").unwrap();
        let mut found = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut found).unwrap();
        assert!(!found.trim().is_empty(), "there is such a row");
        Self(psql)
    }

    pub fn let_go(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

/// A use is written when it can be, and whoever uses the key is answered before.
#[test]
fn nobody_waits_until_it_is_written_that_a_key_was_used() {
    let postgres = Postgres::start();
    let mut served = Served::new(&["--database", &postgres.url()]);
    let bearer = token(&served.manager());
    let make = || {
        let wanted = "{\"name\":\"k\",\"permissions\":[\"credentials.read\"]}";
        let made = served.api("POST", "/api-keys", &bearer, wanted).json();
        ["id", "key"].map(|name| made[name].as_str().unwrap().to_owned())
    };
    let ([held, key], [_, other]) = (make(), make());
    let used = |id: &str| postgres.as_superuser(&format!("SELECT used FROM tokens WHERE id = '{id}'"));
    let select = format!("SELECT id FROM tokens WHERE id = '{held}'");
    let row = Held::by(&postgres, &select);
    for key in [&key, &other, &key, &key] {
        assert_eq!(served.api("GET", "/credential-configs", key, "").status(), 200);
    }
    assert_eq!(used(&held), "");
    row.let_go();
    wait_until("its use is written", || !used(&held).is_empty());
    // A server that ends writes what it still knows.
    postgres.as_superuser("UPDATE tokens SET used = NULL");
    let row = Held::by(&postgres, &select);
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 200);
    served.signal("TERM");
    row.let_go();
    assert_eq!(served.end("TERM"), Some(0));
    assert_ne!(used(&held), "");
}
