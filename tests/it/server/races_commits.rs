//! Transactions that PostgreSQL refuses when they are to count, after every statement in them was done: whoever asked is
//! told so, nothing of it is there, and the same is done once it can be.

use serde_json::{Value, json};

use super::api_keys::Held;
use super::grants::{code, exchange, refresh, text};
use super::postgres::Postgres;
use super::races::Place;
use super::served::{Browser, LOGIN, PASSPHRASE, api};
use crate::wire::Message;

const VALUE: &str = "LNYCANARYvalue0123456789";
/// What the database says to the server, and nobody else hears.
const SAID: &str = "LNYCANARYsaid";
/// For which reasons it refuses: somebody else was faster, something is there already or refers to nothing, there is no
/// room, a rule of its own, and none, for the connection ends with it.
const REASONS: [&str; 7] = ["40001", "40P01", "23505", "23503", "53100", "P0001", "gone"];

/// Has whatever changes a table be refused at the end, where the changed row is so.
fn refuse(postgres: &Postgres, table: &str, reason: &str, when: &str) {
    let refusal = match reason {
        "gone" => "PERFORM pg_terminate_backend(pg_backend_pid())".to_owned(),
        code => format!("RAISE EXCEPTION '{SAID}' USING ERRCODE = '{code}'"),
    };
    let (of, when) = match when {
        "" => ("INSERT OR UPDATE OR DELETE", String::new()),
        when => ("INSERT", format!("WHEN ({when})")),
    };
    postgres.as_superuser(&format!(
        "CREATE OR REPLACE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN {refusal}; RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER refused AFTER {of} ON {table} DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW {when} EXECUTE FUNCTION refused();"
    ));
}

fn permit(postgres: &Postgres, table: &str) {
    postgres.as_superuser(&format!("DROP TRIGGER refused ON {table}"));
}

/// All that is in the database, as one word for each table; of what is noted at its own time, who it is alone.
fn content(postgres: &Postgres) -> String {
    postgres.as_superuser(
        "CREATE OR REPLACE FUNCTION held(name TEXT, columns TEXT) RETURNS TEXT LANGUAGE plpgsql AS $$ \
         DECLARE word TEXT; BEGIN EXECUTE format('SELECT md5(COALESCE(string_agg((%s)::text, '','' ORDER BY \
         (%s)::text), '''')) FROM %I t', columns, columns, name) INTO word; RETURN word; END $$; \
         SELECT relname || ' ' || held(relname, CASE WHEN relname IN ('tokens', 'sessions') THEN 'id' ELSE 't' END) \
         FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
         AND relname <> 'audit_checkpoints' ORDER BY relname",
    )
}

/// Somebody asks for the same twice: first it is refused at the end, for each reason, then it is done. What they are
/// answered then.
fn twice(place: &Place, table: &str, done: u16, ask: &dyn Fn() -> Message) -> Message {
    let postgres = &place.postgres;
    let before = content(postgres);
    for reason in REASONS {
        refuse(postgres, table, reason, "");
        let refused = ask();
        permit(postgres, table);
        let expected = if reason == "53100" { 507 } else { 503 };
        assert_eq!(refused.status(), expected, "{table} {reason}: {}", refused.text());
        assert!(!refused.text().contains("LNYCANARY"), "{table} {reason}: {}", refused.text());
        assert!(refused.header("set-cookie").is_none() && refused.header("location").is_none(), "{table} {reason}");
        assert_eq!(content(postgres), before, "{table} {reason}");
    }
    let answer = ask();
    assert_eq!(answer.status(), done, "{table}: {}", answer.text());
    assert_ne!(content(postgres), before, "{table}");
    answer
}

fn made(path: &str, answer: &Message) -> String {
    format!("{path}/{}", answer.json()["id"].as_str().expect("an id"))
}

#[test]
fn what_the_database_refuses_at_the_end_was_not_done() {
    let place = &Place::new();
    let (served, bearer) = (&place.served, &place.bearer);
    let once = |path: &'static str, body: Value| {
        move || {
            let key = format!("Idempotency-Key: \"{path}\"");
            served.api_with("POST", path, bearer, &body.to_string(), &[&key])
        }
    };
    let credential = json!({ "name": "db", "kind": "generic_env", "data": { "A": VALUE } });
    let credential = once("/credential-configs", credential);
    let stored = twice(place, "credentials", 201, &credential);
    assert_eq!(credential().json()["id"], stored.json()["id"], "it was made once");
    let stored = made("/credential-configs", &stored);
    let secrets = format!("{stored}/secrets");
    let value = || place.ask("GET", &secrets, &json!({})).json()["data"]["A"].clone();
    assert_eq!(value(), json!(VALUE));
    twice(place, "data_keys", 200, &|| place.ask("POST", &secrets, &json!({ "data": { "A": "other" } })));
    assert_eq!(value(), json!("other"));

    let key = once("/api-keys", json!({ "name": "k", "permissions": ["credentials.read"] }));
    let key = twice(place, "tokens", 201, &key).json()["key"].as_str().expect("a key").to_owned();
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 200);
    twice(place, "projects", 201, &once("/projects", json!({ "name": "shop" })));
    let wanted = json!({ "role": "member", "for": "bob@example.com" });
    twice(place, "member_invitations", 201, &once("/invitations", wanted));
    twice(place, "credentials", 204, &|| place.ask("DELETE", &stored, &json!({})));
    assert_eq!(place.ask("GET", &stored, &json!({})).status(), 404);
}

/// A code and a refresh token are good once, and stay good until then; and nobody is signed in who was told otherwise.
#[test]
fn who_is_refused_at_the_end_has_what_they_came_with() {
    let place = &Place::new();
    let (served, browser) = (&place.served, place.served.browser());
    let code = code(&browser);
    let given = twice(place, "tokens", 200, &|| exchange(served, &code, &[])).json();
    let kept = text(&given, "refresh_token");
    let renewed = twice(place, "tokens", 200, &|| refresh(served, kept)).json();
    assert_eq!(served.api("GET", "/userinfo", text(&renewed, "access_token"), "").status(), 200);
    place.postgres.as_superuser("DELETE FROM attempts");
    let fields = [("login", LOGIN), ("passphrase", PASSPHRASE)];
    let entered = twice(place, "sessions", 303, &|| Browser::new(&served.url).post("/sign-in", &fields));
    assert!(entered.header("set-cookie").is_some());
}

/// Entries of many who read are written together. Where that is refused, nobody is given what they came for; where it is
/// for the sake of one of them, the others are.
#[test]
fn what_cannot_be_told_is_given_to_nobody_of_many() {
    const MANY: usize = 10;
    let place = Place::new();
    let (postgres, bearer, url) = (&place.postgres, &place.bearer, &place.served.url);
    let [first, second] = ["first", "second"].map(|name| {
        let body = json!({ "name": name, "kind": "generic_env", "data": { "A": VALUE } });
        let stored = place.ask("POST", "/credential-configs", &body).json();
        stored["id"].as_str().expect("an id").to_owned()
    });
    let told = |id: &str| {
        let told = "SELECT COUNT(*) FROM audit_events WHERE action = 'secret.read' AND object";
        postgres.as_superuser(&format!("{told} = '{id}'"))
    };
    let read = |id: &str| api(url, "GET", &format!("/credential-configs/{id}/secrets"), bearer, "");
    for (reason, when, good) in [
        ("40001", "NEW.action = 'secret.read'".to_owned(), 0),
        ("gone", "NEW.action = 'secret.read'".to_owned(), 0),
        ("P0001", format!("NEW.action = 'secret.read' AND NEW.object = '{first}'"), MANY / 2),
    ] {
        refuse(postgres, "audit_events", reason, &when);
        let held = Held::by(postgres, "SELECT org FROM audit_heads");
        let answers: Vec<(usize, Message)> = std::thread::scope(|scope| {
            let ask = |nth| {
                let (read, id) = (&read, if nth % 2 == 0 { &first } else { &second });
                scope.spawn(move || (nth, read(id)))
            };
            let all: Vec<_> = (0..MANY).map(ask).collect();
            place.waits(1);
            // The others wait for the one who writes for them; a while, so that they are there.
            std::thread::sleep(std::time::Duration::from_millis(300));
            held.let_go();
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        permit(postgres, "audit_events");
        for (nth, answer) in &answers {
            let is_given = good > 0 && nth % 2 == 1;
            assert_eq!(answer.status(), if is_given { 200 } else { 503 }, "{reason}: {}", answer.text());
            assert_eq!(answer.text().contains("LNYCANARY"), is_given, "{reason}: {}", answer.text());
        }
        assert_eq!((told(&first), told(&second)), ("0".to_owned(), good.to_string()), "{reason}");
    }
    assert_eq!((read(&first).status(), told(&first).as_str()), (200, "1"));
}
