//! What is being stored on PostgreSQL while the key goes that it is sealed under: it opens afterwards, or was refused.

use serde_json::{Value, json};

use super::api_keys::Held;
use super::engine_issuers::shown;
use super::identity::{app, step};
use super::issuer::{SECRET, Scene};
use super::postgres::Postgres;
use super::races::{Place, waits};
use super::served::{Served, api, token};
use crate::stage::{Outcome, Stage};
use crate::wire::Message;

const BEFORE: &str = "LNYCANARYbefore0123456789";
const AFTER: &str = "LNYCANARYafter0123456789";
/// The lock at which whoever writes stands still.
const LOCK: u32 = 4711;

/// Puts other keys in the place of those in force.
fn rotate(stage: &Stage, postgres: &Postgres, more: &[&str]) -> Outcome {
    let words = ["server", "rotate-key", "--keep-master", "--data", "server", "--master-key-file", "server/master.key"];
    stage.run(&[&words[..], &["--database", &postgres.url()], more].concat())
}

/// Has somebody stand still before they do something to a row of a table, such as `INSERT`, and then somebody else come, who
/// waits for them; what came of both.
fn meet<T: Send>(
    postgres: &Postgres,
    (what, table): (&str, &str),
    first: impl FnOnce() -> Message + Send,
    second: impl FnOnce() -> T + Send,
) -> (Message, T) {
    postgres.as_superuser(&format!(
        "CREATE OR REPLACE FUNCTION stands_still() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN COALESCE(NEW, OLD); END $$; \
         CREATE TRIGGER stands_still BEFORE {what} ON {table} FOR EACH ROW EXECUTE FUNCTION stands_still();"
    ));
    let held = Held::number(postgres, LOCK);
    let done = std::thread::scope(|scope| {
        let first = scope.spawn(first);
        waits(postgres, 1);
        let second = scope.spawn(second);
        waits(postgres, 2);
        held.let_go();
        (first.join().expect("an answer"), second.join().expect("it ends"))
    });
    postgres.as_superuser(&format!("DROP TRIGGER stands_still ON {table}"));
    done
}

fn created(name: &str, value: &str) -> Value {
    json!({ "name": name, "kind": "generic_env", "data": { "A": value } })
}

/// The value of a credential as the server gives it.
fn value(url: &str, bearer: &str, made: &Message) -> Value {
    let made = made.json();
    let address = format!("/credential-configs/{}/secrets", made["id"].as_str().expect("an id"));
    let opened = api(url, "GET", &address, bearer, "");
    assert_eq!(opened.status(), 200, "{}", opened.text());
    opened.json()["data"]["A"].clone()
}

/// Of each kind of key there is one, and nothing is left to be done.
fn is_done(postgres: &Postgres, organizations: usize) {
    let left = "SELECT (SELECT COUNT(*) FROM organization_keys) || ' ' || (SELECT COUNT(*) FROM server_keys) || ' ' \
                || (SELECT COUNT(*) FROM key_rotations) || ' ' \
                || (SELECT COUNT(*) FROM settings WHERE name = 'server-key-rotation')";
    assert_eq!(postgres.as_superuser(left), format!("{organizations} 1 0 0"), "the older ones are gone");
}

/// Whoever stores a secret has picked the key that it is to rest under, and then that goes: once before what rests under
/// it is in the database, and once before others see that it is.
#[test]
fn what_is_stored_while_the_key_of_the_organization_goes_opens() {
    let place = Place::new();
    let (postgres, bearer, url) = (&place.postgres, &place.bearer, &place.served.url);
    let old = place.ask("POST", "/credential-configs", &created("old", BEFORE));
    let replaced = format!("/credential-configs/{}/secrets", old.json()["id"].as_str().expect("an id"));
    for table in ["data_keys", "secrets"] {
        for (path, body) in [
            ("/credential-configs", created(&format!("new-{}", table.replace('_', "-")), AFTER)),
            (&replaced, json!({ "data": { "A": table } })),
        ] {
            let store = || api(url, "POST", path, bearer, &body.to_string());
            let (stored, rotated) =
                meet(postgres, ("INSERT", table), store, || rotate(&place.served.stage, postgres, &[]));
            rotated.ends(0);
            assert!([200, 201].contains(&stored.status()), "{table} {path}: {}", stored.text());
            assert_eq!(value(url, bearer, &stored), body["data"]["A"], "{table} {path}");
        }
    }
    is_done(postgres, 1);
    assert_eq!(value(url, bearer, &old), json!("secrets"));
}

/// What the server seals under its own key: a second factor, the secret of its client at an issuer, and the key of an
/// organization that is being made.
#[test]
fn what_is_stored_while_the_servers_own_key_goes_opens() {
    let postgres = Postgres::start();
    let served = Served::new(&["--allow-host", "127.0.0.1", "--database", &postgres.url()]);
    let scene = Scene::on(served, &json!({ "domains": ["corp.example"] }));
    let (url, admin, browser) = (&scene.served.url, &scene.admin, scene.served.browser());
    let meet = |table: &str, ask: &(dyn Fn() -> Message + Sync)| {
        let (answer, rotated) =
            meet(&postgres, ("INSERT", table), ask, || rotate(&scene.served.stage, &postgres, &["--secrets"]));
        rotated.ends(0);
        answer
    };

    let issuer = format!("/upstreams/{}", scene.id);
    let changed = json!({ "client_secret": AFTER }).to_string();
    let stored = meet("upstream_secrets", &|| api(url, "PATCH", &issuer, admin, &changed));
    assert_eq!(stored.status(), 200, "{}", stored.text());
    assert_eq!(shown(&scene), AFTER);

    let made = meet("organization_keys", &|| api(url, "POST", "/organizations", admin, "{\"name\":\"Other\"}"));
    assert_eq!(made.status(), 201, "{}", made.text());
    let other = token(&scene.served.client_of(&browser, made.json()["id"].as_str()));
    let stored = api(url, "POST", "/credential-configs", &other, &created("db", AFTER).to_string());
    assert_eq!(stored.status(), 201, "{}", stored.text());
    assert_eq!(value(url, &other, &stored), json!(AFTER));

    let begun = meet("second_factors", &|| step(&browser, "begin", "")).text();
    let key = begun.split("<code>").nth(1).unwrap_or_else(|| panic!("{begun}")).split('<').next().expect("a key");
    let confirmed = step(&browser, "confirm", &app(key, 0));
    assert_eq!(confirmed.status(), 200, "{}", confirmed.text());
    is_done(&postgres, 2);
    let check = ["--check", "--listen", "127.0.0.1:0"];
    scene.served.stage.run(&scene.served.words(&check)).ends(0);
}

/// A secret that was sealed, and waits for its turn to count while the key goes, is refused; the one of before stays.
#[test]
fn a_secret_that_comes_too_late_for_its_key_is_refused() {
    let postgres = Postgres::start();
    let served = Served::new(&["--allow-host", "127.0.0.1", "--database", &postgres.url()]);
    let scene = Scene::on(served, &json!({ "domains": ["corp.example"] }));
    let change = |secret: &str| {
        let changed = json!({ "client_secret": secret }).to_string();
        api(&scene.served.url, "PATCH", &format!("/upstreams/{}", scene.id), &scene.admin, &changed)
    };
    let held = Held::changed(&postgres, "SELECT id FROM organizations");
    let refused = std::thread::scope(|scope| {
        let asked = scope.spawn(|| change(AFTER));
        waits(&postgres, 1);
        rotate(&scene.served.stage, &postgres, &["--secrets"]).ends(0);
        held.let_go();
        asked.join().expect("an answer")
    });
    assert_eq!(refused.status(), 503, "{}", refused.text());
    is_done(&postgres, 1);
    assert_eq!(shown(&scene), SECRET);
    assert_eq!(change(AFTER).status(), 200);
    assert_eq!(shown(&scene), AFTER);
}

/// Whoever deletes an organization waits for those who are storing in it, and takes what they have stored away as well;
/// whoever comes after that finds it gone. Nobody waits for somebody who waits for them.
#[test]
fn what_is_stored_while_the_organization_goes_goes_with_it() {
    let place = Place::new();
    let (postgres, url) = (&place.postgres, &place.served.url);
    for table in ["data_keys", "secrets"] {
        let made = place.ask("POST", "/organizations", &json!({ "name": "Other" })).json();
        let org = made["id"].as_str().expect("an id");
        let bearer = &token(&place.served.client_of(&place.served.browser(), Some(org)));
        let store = || api(url, "POST", "/credential-configs", bearer, &created("db", AFTER).to_string());
        let delete = || api(url, "DELETE", &format!("/organizations/{org}?name=Other"), bearer, "");
        let (stored, deleted) = meet(postgres, ("INSERT", table), store, delete);
        assert_eq!((stored.status(), deleted.status()), (201, 204), "{table}: {} {}", stored.text(), deleted.text());
        for table in ["credentials", "data_keys", "secrets", "organization_keys"] {
            let left = format!("SELECT COUNT(*) FROM {table} WHERE org = '{org}'");
            assert_eq!(postgres.as_superuser(&left), "0", "{table}");
        }
        assert_eq!(store().status(), 401);
    }
    assert!(!postgres.log().contains("deadlock"), "{}", postgres.log());
}

/// Whoever replaces keys, and is not done yet, waits for an organization that is being deleted as well.
#[test]
fn an_organization_goes_while_its_keys_are_replaced() {
    let place = Place::new();
    let (postgres, url, stage) = (&place.postgres, &place.served.url, &place.served.stage);
    let made = place.ask("POST", "/organizations", &json!({ "name": "Other" })).json();
    let org = made["id"].as_str().expect("an id");
    let bearer = &token(&place.served.client_of(&place.served.browser(), Some(org)));
    let stored = api(url, "POST", "/credential-configs", bearer, &created("db", AFTER).to_string());
    assert_eq!(stored.status(), 201, "{}", stored.text());
    // It breaks off once it has begun.
    postgres.as_superuser("ALTER TABLE data_keys ADD CONSTRAINT closed CHECK (key_version < 2)");
    assert_ne!(rotate(stage, postgres, &["--secrets"]).code, Some(0));
    postgres.as_superuser("ALTER TABLE data_keys DROP CONSTRAINT closed");
    assert_eq!(postgres.as_superuser(&format!("SELECT COUNT(*) FROM key_rotations WHERE org = '{org}'")), "1");
    let delete = || api(url, "DELETE", &format!("/organizations/{org}?name=Other"), bearer, "");
    let (deleted, rotated) =
        meet(postgres, ("DELETE", "data_keys"), delete, || rotate(stage, postgres, &["--secrets"]));
    assert_eq!(deleted.status(), 204, "{}", deleted.text());
    rotated.ends(0);
    is_done(postgres, 1);
    assert!(!postgres.log().contains("deadlock"), "{}", postgres.log());
}
