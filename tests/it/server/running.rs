//! Starting, ending, and what is refused before anybody is served.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served};
use crate::canary::{Canary, Sweep};
use crate::secure::{Authority, NAMES};
use crate::stage::Stage;
use crate::wire;

#[test]
fn the_first_owner_is_made_once() {
    let mut served = Served::fresh(&[]);
    let mode = |name: &str| std::fs::metadata(served.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("server.db"), mode("server.db-wal"), mode("master.key")), (0o700, 0o600, 0o600, 0o600));
    let link = served.link();
    assert_eq!(mode("setup-link"), 0o600);
    assert_eq!(wire::get(&link).unwrap().status(), 200);
    assert_eq!(served.set_up("too short").status(), 422);
    // Starting again makes a new link, and the old one does not count any more.
    assert_eq!(served.end("TERM"), Some(0));
    served.again();
    assert_ne!(served.link(), link);
    assert_eq!(wire::get(&link).unwrap().status(), 409);
    let done = served.set_up(PASSPHRASE);
    assert_eq!((done.status(), done.header("location")), (303, Some("/")));
    let cookie = done.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax") && cookie.starts_with("lanyard-"), "{cookie}");
    assert_eq!(served.set_up(PASSPHRASE).status(), 409, "once");
    assert_eq!(served.end("TERM"), Some(0));
    served.again();
    assert!(!served.data().join("setup-link").exists());
    let home = served.browser().get("/").text();
    assert!(home.contains(LOGIN) && home.contains("Acme &lt;&amp;&gt; &quot;Söhne&quot;") && home.contains("owner"));
}

#[test]
fn of_many_who_set_it_up_at_once_one_does() {
    let served = Served::fresh(&[]);
    let link = served.link();
    let token = link.split("token=").nth(1).unwrap();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..6)
            .map(|number| {
                let url = &served.url;
                scope.spawn(move || {
                    let login = format!("owner-{number}");
                    let fields = [
                        ("token", token),
                        ("organization", "Acme"),
                        ("login", login.as_str()),
                        ("passphrase", PASSPHRASE),
                        ("again", PASSPHRASE),
                    ];
                    Browser::new(url).post("/setup", &fields).status()
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [303, 409].contains(status)), "{statuses:?}");
}

#[test]
fn under_tls_the_cookie_is_this_hosts_alone() {
    let authority = Authority::new();
    let certificate = authority.issue("server", NAMES, None);
    std::fs::set_permissions(&certificate.key, PermissionsExt::from_mode(0o600)).unwrap();
    let (chain, key) = (certificate.pem.to_str().unwrap(), certificate.key.to_str().unwrap());
    let served = Served::fresh(&["--tls-certificate", chain, "--tls-key", key]);
    std::fs::set_permissions(&certificate.key, PermissionsExt::from_mode(0o644)).unwrap();
    let open = served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"]));
    assert!(open.code == Some(3) && open.stderr().contains("the certificate in"), "{open}");
    let curl = |words: &[&str]| {
        let output = std::process::Command::new("curl")
            .args(["-si", "--cacert", authority.pem().to_str().unwrap()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(served.url.starts_with("https://"), "{}", served.url);
    let healthy = curl(&[&format!("{}/healthz", served.url)]);
    assert!(
        healthy.starts_with("HTTP/1.1 200") && healthy.contains("strict-transport-security: max-age="),
        "{healthy}"
    );
    assert!(wire::get(&served.url.replace("https", "http")).is_none_or(|answer| answer.status() >= 400));
    let link = served.link();
    let token = link.split("token=").nth(1).unwrap();
    let form = wire::form(&[
        ("token", token),
        ("organization", "Acme"),
        ("login", LOGIN),
        ("passphrase", PASSPHRASE),
        ("again", PASSPHRASE),
    ]);
    let origin = format!("Origin: {}", served.url);
    let done = curl(&["-H", &origin, "-d", &form, &format!("{}/setup", served.url)]);
    assert!(done.contains("set-cookie: __Host-lanyard=") && done.contains("; Secure"), "{done}");
}

#[test]
fn what_cannot_work_is_said_before_anybody_is_served() {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    let open = stage.run(&["serve", "--listen", "0.0.0.0:0"]).ends(3);
    assert!(open.stderr().contains("can be reached from other machines"), "{open}");
    let half = stage.run(&["serve", "--tls-key", "k"]).ends(3);
    assert!(half.stderr().contains("--tls-certificate"), "{half}");
    let address = stage.run(&["serve", "--public-url", "http://lanyard.example"]).ends(3);
    assert!(address.stderr().contains("--public-url cannot be used"), "{address}");
    let database = stage.run(&["serve", "--database", "mysql://root:LNYCANARYpassword@db"]).ends(3);
    assert!(database.stderr().contains("--database") && !database.stderr().contains("LNYCANARY"), "{database}");
    let start = |stage: &Stage, words: &[&str]| {
        let mut running = stage.start(&[&["serve", "--listen", "127.0.0.1:0"], words].concat());
        running.wait_for("address", |line| line.contains("Serving ").then_some(()));
        running.signal("TERM");
        running.finish().ends(0);
    };
    start(&stage, &[]);
    stage.run(&["serve", "--check"]).ends(0);
    // Another master key is refused, and no key is made in the place of one that is gone.
    let stores = stage.config_dir().join("sessions.plain.json");
    let kept = std::fs::read(&stores).unwrap();
    std::fs::remove_file(&stores).unwrap();
    let gone = stage.run(&["serve", "--check"]).ends(7);
    assert!(gone.stderr().contains("the master key of this server is not in the plain file"), "{gone}");
    let other = ["--master-key-file", "other.key", "--data", "other"];
    start(&stage, &other);
    let other = stage.run(&[&["serve", "--check"], &other[..]].concat()).ends(0);
    assert!(other.stderr().contains("All settings are good"), "{other}");
    let data = stage.home().join(".local/share/lanyard/server");
    let foreign = stage.run(&["serve", "--check", "--master-key-file", "other.key", "--data", data.to_str().unwrap()]);
    assert!(foreign.ends(7).stderr().contains("is of another server"));
    std::fs::write(&stores, kept).unwrap();
    std::fs::set_permissions(&stores, PermissionsExt::from_mode(0o600)).unwrap();
    stage.run(&["serve", "--check"]).ends(0);
}

#[test]
fn settings_come_from_variables_and_a_file_as_well() {
    let mut stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    std::fs::write(stage.config_dir().join("server.toml"), "listen = \"0.0.0.0:0\"\ndata = \"d\"\n").unwrap();
    stage.run(&["serve", "--check"]).ends(3);
    stage.set("LANYARD_SERVE_LISTEN", "127.0.0.1:0");
    let told = stage.run(&["serve", "--check"]).ends(0);
    let place = stage.config_dir().join("d/server.db");
    assert!(told.stderr().contains(&format!("there is no server in {} yet", place.display())), "{told}");
    std::fs::write(stage.config_dir().join("server.toml"), "listne = \"x\"\n").unwrap();
    assert!(stage.run(&["serve", "--check"]).ends(3).stderr().contains("unknown field"));
    let json = stage.run(&["serve", "routes", "--json"]).ends(0).json();
    assert!(json.as_array().unwrap().iter().any(|route| route["path"] == "/credential-configs/{id}/secrets"));
}

#[test]
fn it_ends_in_order_and_answers_who_is_there() {
    let mut served = Served::new(&[]);
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    // Somebody who says nothing does not keep it from ending for long.
    let silent = TcpStream::connect(&address).unwrap();
    let ready = wire::get(&format!("{}/readyz", served.url)).unwrap();
    assert_eq!((ready.status(), ready.header("cache-control")), (200, Some("no-store")));
    assert_eq!(ready.header("x-content-type-options"), Some("nosniff"));
    let started = std::time::Instant::now();
    assert_eq!(served.end("INT"), Some(0));
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(TcpStream::connect(&address).is_err());
    drop(silent);
}

/// Whatever held the connections last when it was told to end: a request, a task or nobody.
#[test]
fn it_ends_in_order_on_postgresql_as_well() {
    let postgres = Postgres::start();
    let mut served = Served::new(&["--database", &postgres.url()]);
    for round in 0..24 {
        if round % 2 == 0 {
            assert_eq!(wire::get(&format!("{}/readyz", served.url)).unwrap().status(), 200);
        }
        let ended = served.ended("TERM");
        assert_eq!(ended.code, Some(0), "{ended}");
        served.again();
    }
}

#[test]
fn nothing_that_is_secret_lies_in_the_data() {
    let served = Served::new(&[]);
    let mut browser = Browser::new(&served.url);
    assert_eq!(browser.sign_in(LOGIN, "LNYCANARYwrongwrongwrong").status(), 403);
    let session = served.browser().cookie().unwrap().split('=').nth(1).unwrap().to_owned();
    let secret = session.rsplit('_').nth(1).unwrap().to_owned();
    let canaries = [Canary::of(PASSPHRASE), Canary::of("LNYCANARYwrongwrongwrong"), Canary::of(&secret)];
    Sweep::for_canaries(&canaries).tree(&served.data()).assert_clean();
}
