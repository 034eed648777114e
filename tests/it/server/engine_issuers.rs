//! The secrets of the server's own clients at outside issuers, in a real OpenBao: they rest, move, are backed up, are lost
//! and are destroyed as those of credentials are.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::issuer::{SECRET, Scene};
use super::openbao::{OpenBao, words};
use super::postgres::Postgres;
use super::served::Served;
use super::upstream::{bob, come_and_go};
use crate::canary::{Canary, Sweep};
use crate::stage::Outcome;
use crate::wire;

const OTHER: &str = "LNYCANARYotherclient0123456789";

/// A server whose secrets rest in an OpenBao, with an issuer.
struct Kept<'k> {
    bao: OpenBao,
    scene: Scene,
    flags: Vec<String>,
    sql: Box<dyn Fn(&str) -> String + 'k>,
}

impl Kept<'_> {
    fn run(&self, what: &[&str]) -> Outcome {
        let place = ["--data", "server", "--master-key-file", "server/master.key"];
        self.scene.served.stage.run(&[&["server"], what, &place, &words(&self.flags)[..]].concat())
    }

    fn shown(&self) -> String {
        shown(&self.scene)
    }

    fn rows(&self, table: &str) -> String {
        (self.sql)(&format!("SELECT COUNT(*) FROM {table}")).trim().to_owned()
    }

    /// How many rest here, how many there, and how many are noted.
    fn counts(&self) -> [String; 3] {
        ["upstream_secrets", "kept_upstream_secrets", "kept_leftovers"].map(|table| self.rows(table))
    }
}

/// The secret by which the server is known to the issuer, as it says when somebody comes in.
pub fn shown(scene: &Scene) -> String {
    let came = scene.come(&bob(), &[]);
    assert_eq!(came.status(), 303, "{}", came.text());
    let asked = scene.issuer.double.requests().into_iter().rfind(|seen| seen.path() == "/token").unwrap();
    let basic = asked.header("authorization").unwrap().strip_prefix("Basic ").unwrap().to_owned();
    let pair = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    let secret = pair.split_once(':').unwrap().1.to_owned();
    wire::fields(format!("s={secret}").as_bytes()).into_iter().next().unwrap().1
}

fn live(kept: &Kept<'_>) {
    let Kept { bao, scene, .. } = kept;
    come_and_go(scene);
    let first = bao.place_of(&scene.id);
    assert_eq!((kept.shown(), kept.counts()), (SECRET.to_owned(), ["0", "1", "0"].map(str::to_owned)));
    Sweep::for_canaries(&[Canary::of(SECRET)])
        .bytes("the OpenBao", bao.all().as_bytes())
        .tree(&scene.served.data())
        .assert_clean();
    // What is not changed stays where it is; a new one takes another place, and that of before is destroyed.
    scene.amend(&json!({ "name": "Corp Inc" }));
    assert_eq!((bao.place_of(&scene.id), kept.shown()), (first.clone(), SECRET.to_owned()));
    scene.amend(&json!({ "client_secret": OTHER }));
    assert_ne!(bao.place_of(&scene.id), first);
    assert_eq!(kept.shown(), OTHER);
    // To the database and back, while people come in.
    let moved = kept.run(&["move-secrets", "--to", "envelope", "--json"]).ends(0).json();
    assert_eq!(moved, json!({ "to": "envelope", "moved": 1, "closed": 0 }));
    assert!(bao.places().is_empty());
    assert_eq!((kept.shown(), kept.counts()), (OTHER.to_owned(), ["1", "0", "0"].map(str::to_owned)));
    assert_eq!(kept.run(&["move-secrets", "--json"]).ends(0).json()["moved"], 1);
    assert_eq!((kept.shown(), kept.counts()), (OTHER.to_owned(), ["0", "1", "0"].map(str::to_owned)));
    // Where the server's own key is replaced, it is sealed anew and laid down elsewhere; nothing stays of before.
    let place = bao.place_of(&scene.id);
    let rotated = kept.run(&["rotate-key", "--secrets", "--json"]).ends(0).json();
    assert_eq!(rotated["server_key"]["closed"], 0, "{rotated}");
    assert_ne!(bao.place_of(&scene.id), place);
    assert_eq!(
        (kept.shown(), kept.counts(), bao.places().len()),
        (OTHER.to_owned(), ["0", "1", "0"].map(str::to_owned), 1)
    );
    assert_eq!(kept.rows("server_keys"), "1", "nothing rests under the one of before");
    // Whoever comes while it is sealed is told that they cannot come now.
    bao.does(&["seal"]);
    let refused = scene.come(&bob(), &[]);
    assert!(refused.status() == 403 && refused.text().contains("its own secret"), "{}", refused.text());
    bao.does(&["unseal"]);
    super::openbao::wait_until("it is known again", || scene.come(&bob(), &[]).status() == 303);
}

fn lost_and_brought_back(kept: &Kept<'_>) {
    let Kept { bao, scene, .. } = kept;
    assert_eq!(kept.run(&["backup", "whole", "--json"]).ends(0).json()["missing"], json!([]));
    bao.does(&["kv", "metadata", "delete", "-mount=secret", &bao.place_of(&scene.id)]);
    let refused = scene.come(&bob(), &[]);
    assert!(refused.status() == 403 && refused.text().contains("its own secret"), "{}", refused.text());
    let told = kept.run(&["backup", "lacking", "--json"]).ends(0).json();
    assert_eq!(told["missing"].as_array().unwrap().iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&scene.id]);
    kept.run(&["move-secrets", "--to", "envelope"]).ends(0);
    assert_eq!(kept.counts()[1], "1", "what is lost stays named");
    for (backup, comes) in [("lacking", 403), ("whole", 303)] {
        kept.run(&["restore", backup, "--replace"]).ends(0);
        assert_eq!(scene.come(&bob(), &[]).status(), comes, "{backup}");
    }
    assert_eq!((kept.shown(), kept.counts()[0].as_str()), (OTHER.to_owned(), "0"));
    bao.place_of(&scene.id);
}

fn ended(kept: &Kept<'_>) {
    let Kept { bao, scene, .. } = kept;
    // Everybody signs in again after a backup was brought back.
    let bearer = super::served::token(&scene.served.manager());
    let path = format!("/upstreams/{}", scene.id);
    let ask = |method: &str, body: &Value| scene.served.api(method, &path, &bearer, &body.to_string()).status();
    // An issuer at another address gets nothing that was given for this one; and an empty one takes it away.
    assert_eq!(ask("PATCH", &json!({ "issuer": "https://id.elsewhere.example" })), 200);
    assert!(bao.places().is_empty());
    assert_eq!(ask("PATCH", &json!({ "client_secret": SECRET })), 200);
    bao.place_of(&scene.id);
    assert_eq!(ask("PATCH", &json!({ "client_secret": "" })), 200);
    assert!(bao.places().is_empty());
    assert_eq!(ask("PATCH", &json!({ "client_secret": SECRET })), 200);
    bao.place_of(&scene.id);
    assert_eq!(ask("DELETE", &Value::Null), 204);
    assert!(bao.places().is_empty());
    assert_eq!(kept.counts(), ["0", "0", "0"].map(str::to_owned));
}

fn all(more: &[&str], sql: Option<&Postgres>) {
    let bao = OpenBao::start();
    let flags = bao.by_token(&[&["--secrets-engine", "vault"], more].concat());
    let served = Served::new(&[&["--allow-host", "127.0.0.1"], &words(&flags)[..]].concat());
    let scene = Scene::on(served, &json!({ "domains": ["corp.example"] }));
    let file = scene.served.data().join("server.db");
    let sql: Box<dyn Fn(&str) -> String> = match sql {
        Some(postgres) => Box::new(|statement| postgres.as_superuser(statement)),
        None => Box::new(move |statement| {
            let connection = rusqlite::Connection::open(&file).unwrap();
            connection.query_row(statement, [], |row| row.get::<_, i64>(0)).unwrap().to_string()
        }),
    };
    let kept = Kept { bao, scene, flags, sql };
    live(&kept);
    lost_and_brought_back(&kept);
    ended(&kept);
    kept.scene.served.stage.run(&kept.scene.served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
}

#[test]
fn the_secrets_of_the_servers_own_clients_rest_where_secrets_do() {
    all(&[], None);
}

#[test]
fn the_secrets_of_the_servers_own_clients_rest_where_secrets_do_on_postgresql() {
    let postgres = Postgres::start();
    all(&["--database", &postgres.url()], Some(&postgres));
}
