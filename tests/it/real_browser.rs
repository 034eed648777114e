//! A real browser at the end of a login, and a server with habits of its own.

use crate::canary::{Canary, Sweep};
use crate::keyring::Keyring;
use crate::peers::{Canaille, chromium, person};
use crate::real_servers::Scene;
use crate::stage::Stage;
use crate::wire;

#[test]
fn a_person_in_chromium_ends_at_a_page_that_gives_nothing_away() {
    let scene = Scene::new(&[("ACCESS_TTL", "3600")]);
    let mut running = scene.start(&[]);
    let url = running.url();
    let callback = url::Url::parse(&url).expect("a URL");
    let callback = callback.query_pairs().find(|(name, _)| name == "redirect_uri").expect("a redirect address").1;
    let page = chromium(&url, None);
    running.finish().ends(0);

    let address = page["address"].as_str().expect("an address");
    assert!(address.starts_with(&*callback), "{page}");
    assert!(!address.contains(['?', '#']), "the address bar still shows what came: {page}");
    let text = page["text"].as_str().expect("a text");
    assert!(text.to_lowercase().contains("signed in"), "{page}");
    assert!(!page["title"].as_str().unwrap_or_default().is_empty(), "{page}");
    // The provider's own form asks for a font of another host; lanyard's page asks for nothing.
    let hosts: Vec<&str> = page["hosts"].as_array().expect("hosts").iter().filter_map(|host| host.as_str()).collect();
    assert!(hosts.iter().all(|host| ["127.0.0.1", "fonts.googleapis.com"].contains(host)), "{hosts:?}");

    let session = scene.session();
    for name in ["access_token", "refresh_token"] {
        let secret = session[name].as_str().expect("a token");
        assert!(!page.to_string().contains(&secret[..12]), "{page}");
    }
    scene.run(&["auth", "status"]).ends(0);
}

#[test]
fn canaille_signs_in_renews_and_lets_go() {
    let keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    let server = Canaille::start();
    let port = server.callback_port.to_string();
    let login = ["auth", "login", "--issuer", server.issuer(), "--client-id", "cli-public", "--profile", "work"];
    let mut running = stage.start(&[&login[..], &["--no-browser", "--port", &port]].concat());
    let visit = person(&running.url(), &[]);
    assert_eq!(visit["status"], 303, "the callback sends on to an address without a query: {visit}");
    running.finish().ends(0);

    // `aud` is a list and `auth_time` no whole number there; the account is told all the same.
    let status = stage.run(&["auth", "status", "--json"]).ends(0).json();
    assert_eq!((&status["verification"], &status["account"]), (&"verified".into(), &"alice@example.test".into()));
    let first = keyring.session("work");

    // Ten days at sign-in, an hour after a refresh: what is shown follows the answer.
    let before = stage.run(&["auth", "status", "--offline", "--json"]).ends(0).json();
    stage.run(&["auth", "refresh"]).ends(0);
    let after = stage.run(&["auth", "status", "--offline", "--json"]).ends(0).json();
    assert!(after["expires_at"].as_str() < before["expires_at"].as_str(), "{before} {after}");
    let second = keyring.session("work");
    assert_ne!(first["access_token"], second["access_token"]);
    assert_ne!(first["refresh_token"], second["refresh_token"]);

    // It refuses a second refresh within the second with a 500 and a message of its database: nothing is lost by it.
    let again: Vec<_> = (0..2).map(|_| stage.run(&["auth", "refresh"])).collect();
    for outcome in &again {
        assert!(matches!(outcome.code, Some(0 | 6)), "{outcome}");
        assert!(!outcome.stderr().to_lowercase().contains("sqlite"), "{outcome}");
    }
    let token = stage.run(&["auth", "token"]).ends(0).stdout();
    let bearer = format!("Authorization: Bearer {}", token.trim_end());
    let userinfo = keyring.session("work")["userinfo_endpoint"].as_str().expect("an address").to_owned();
    assert_eq!(wire::send("GET", &userinfo, &[&bearer], "").expect("an answer").status(), 200);

    // A public client may not revoke there. Signing out happens here all the same, and says so.
    let logout = stage.run(&["auth", "logout"]).ends(0);
    assert!(logout.stderr().contains("Signed out of profile work"), "{logout}");
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    stage.run(&["auth", "status"]).ends(4);

    let tokens = [&first, &second].map(|session| ["access_token", "refresh_token"].map(|name| session[name].clone()));
    let canaries: Vec<Canary> = tokens.iter().flatten().filter_map(|token| token.as_str()).map(Canary::of).collect();
    let mut sweep = Sweep::for_canaries(&canaries);
    sweep.tree(stage.root());
    sweep.assert_clean();
}
