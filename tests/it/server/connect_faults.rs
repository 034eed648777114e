//! Sign-ins that a server renews while others do, while it is killed, and while the service is away.

use std::time::{Duration, Instant};

use serde_json::json;

use super::connect::{Pages, bearer, serve, told, whoami};
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::peers::OidcProvider;
use crate::stage::Stage;

/// So often everybody reads at once what has just ended.
const ROUNDS: u64 = 20;
/// So many read on each server.
const READERS: usize = 4;

/// A second server on the same database, with the same master key.
fn beside(first: &Served, database: &str) -> Served {
    use std::os::unix::fs::PermissionsExt as _;
    let key = std::fs::read_to_string(first.data().join("master.key")).unwrap();
    let stage = Stage::new();
    let data = stage.home().join("server");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("master.key"), key).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::set_permissions(data.join("master.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    Served::on(stage, &["--allow-host", "127.0.0.1", "--database", database])
}

/// The access token that an answer holds.
fn access_token(answer: &crate::wire::Message) -> String {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let session: serde_json::Value =
        serde_json::from_str(answer.json()["data"]["session"].as_str().expect("a session")).unwrap();
    session["access_token"].as_str().expect("a token").to_owned()
}

#[test]
fn two_servers_renew_once_for_everybody() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let idp = OidcProvider::start(&[("ACCESS_TTL", "5")]);
    let first = serve(&["--database", &url]);
    let pages = Pages::of(first.browser());
    let id = pages.configure(&idp, "corp");
    pages.connect(&id);
    let second = beside(&first, &url);
    let bearer = token(&first.manager());
    let path = format!("/credential-configs/{id}/secrets");
    for round in 1..=ROUNDS {
        std::thread::sleep(Duration::from_millis(5200));
        let before = idp.count("/token");
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let all: Vec<_> = [&first.url, &second.url]
                .into_iter()
                .flat_map(|url| std::iter::repeat_n(url, READERS))
                .map(|url| scope.spawn(|| access_token(&api(url, "GET", &path, &bearer, ""))))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(idp.count("/token"), before + 1, "round {round}");
        assert!(tokens.iter().all(|token| *token == tokens[0]), "round {round}");
        assert_eq!(whoami(&idp, &tokens[0]), 200, "round {round}");
    }
}

/// Kills the server between the question and the commit, `ANSWER_DELAY_MS` long.
fn killed(rotate: &str) -> (OidcProvider, Served, Pages, String, String) {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3"), ("ANSWER_DELAY_MS", "1500"), ("ROTATE", rotate)]);
    let mut served = serve(&[]);
    let pages = Pages::of(served.browser());
    let id = pages.configure(&idp, "corp");
    pages.connect(&id);
    let bearer = token(&served.manager());
    std::thread::sleep(Duration::from_millis(3200));
    let path = format!("/credential-configs/{id}/secrets");
    let before = idp.count("/token");
    std::thread::scope(|scope| {
        let (url, bearer, path) = (served.url.clone(), bearer.clone(), path.clone());
        scope.spawn(move || {
            let header = format!("Authorization: Bearer {bearer}");
            // Its answer never comes.
            let _ = crate::wire::send("GET", &format!("{url}{path}"), &[&header], "");
        });
        let waited = Instant::now();
        while idp.count("/token") == before {
            assert!(waited.elapsed() < Duration::from_secs(20), "the service is asked");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(300));
        served.end("KILL");
    });
    served.again();
    (idp, served, pages, id, bearer)
}

#[test]
fn a_server_that_was_killed_while_it_renewed_asks_once_more() {
    let (idp, served, _, id, bearer) = killed("0");
    let answer = served.api("GET", &format!("/credential-configs/{id}/secrets"), &bearer, "");
    assert_eq!(whoami(&idp, &access_token(&answer)), 200);
    let done = ("credential.refresh".to_owned(), "done".to_owned(), "after an interruption".to_owned());
    assert!(told(&served, &id).contains(&done), "{:?}", told(&served, &id));
}

#[test]
fn where_the_service_refuses_after_that_somebody_reconnects() {
    let (idp, served, pages, id, bearer) = killed("1");
    let path = format!("/credential-configs/{id}");
    let answer = served.api("GET", &format!("{path}/secrets"), &bearer, "");
    assert_eq!((answer.status(), &answer.json()["type"]), (409, &json!("urn:lanyard:problem:needs-reconnecting")));
    let refused = ("credential.refresh".to_owned(), "denied".to_owned(), "invalid_grant".to_owned());
    assert!(told(&served, &id).contains(&refused), "{:?}", told(&served, &id));
    let page = pages.get(&format!("/{id}")).text();
    assert!(page.contains("<dd>needs reconnecting</dd>") && page.contains("Reconnect it."), "{page}");
    let asked = idp.count("/token");
    let again = served.api("GET", &format!("{path}/secrets"), &bearer, "");
    assert_eq!((again.status(), idp.count("/token")), (409, asked), "the service is not asked in vain");
    let verified = served.api("POST", &format!("{path}/verify"), &bearer, "").json();
    assert_eq!((&verified["valid"], &verified["outcome"]), (&json!(false), &json!("expired")), "{verified}");
    let stage = served.client();
    let test = stage.run(&["credentials", "test", "corp"]).ends(8);
    assert!(test.stdout().contains("lanyard credentials reconnect corp"), "{test}");
    stage.run(&["credentials", "export", "corp", "--format", "json"]).ends(4);
    pages.connect(&id);
    assert!(pages.get(&format!("/{id}")).text().contains("<dd>connected</dd>"));
    assert_eq!(whoami(&idp, &super::connect::bearer(&stage)), 200);
}

#[test]
fn a_service_that_is_away_says_nothing_about_the_sign_in() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "2")]);
    let served = serve(&[]);
    let pages = Pages::of(served.browser());
    let id = pages.configure(&idp, "corp");
    pages.connect(&id);
    let stage = served.client();
    let _ = bearer(&stage);
    drop(idp);
    std::thread::sleep(Duration::from_millis(2200));
    let away = stage.run(&["credentials", "export", "corp", "--format", "json"]).ends(6);
    assert!(!away.stderr().contains("reconnect"), "{away}");
    let page = pages.get(&format!("/{id}")).text();
    assert!(page.contains("<dd>connected</dd>"), "{page}");
    // Ended here, although nobody can be told there.
    let ended = pages.send(&format!("/{id}"), &format!("/{id}/disconnect"), &[]);
    assert_eq!(ended.header("location"), Some(&*format!("{}/{id}?done=ended-here", pages.base)), "{}", ended.text());
    assert!(pages.get(&format!("/{id}")).text().contains("<dd>disconnected</dd>"));
}
