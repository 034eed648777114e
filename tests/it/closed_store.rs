//! A store that does not work stops a sign-in before it begins; one that dies meanwhile leaves no live token behind.

use std::time::{Duration, Instant};

use crate::idp::Idp;
use crate::keyring::{DeafBus, Keyring};
use crate::scene::{self, begin};
use crate::stage::Stage;
use crate::wire;

/// A sign-in that ends before any address is shown, soon, and leaves nothing.
#[track_caller]
fn stops_before_the_browser(stage: &Stage, idp: &Idp, what: &str) {
    let (before, started) = (scene::settled(stage), Instant::now());
    let outcome = stage.run(&["auth", "login", "--no-browser"]).ends(7);
    let said = outcome.stderr();
    assert!(!said.contains("/authorize") && said.contains("next: "), "{what}: {said}");
    assert!(started.elapsed() < Duration::from_secs(30), "{what} took {:?}", started.elapsed());
    assert_eq!(scene::settled(stage), before, "{what}");
    assert!(idp.requests_to("/token").is_empty());
    for file in ["sessions.plain.json", "sessions.age"] {
        assert!(!stage.config_dir().join(file).exists(), "{what} fell back to {file}");
    }
}

#[test]
fn without_a_working_keychain_no_browser_opens_and_nothing_falls_back_to_a_file() {
    let idp = Idp::honest();
    for storage in ["auto", "keychain"] {
        let mut stage = Stage::new();
        stage.write_config(&scene::config(&idp, storage));
        stops_before_the_browser(&stage, &idp, "no bus");
        let said = stage.run(&["auth", "login", "--no-browser"]).ends(7).stderr();
        assert!(
            ["--storage file", "--storage keyutils", "--storage plain"].iter().all(|flag| said.contains(flag)),
            "{said}"
        );

        let nobody = Keyring::without_service();
        stage.set("DBUS_SESSION_BUS_ADDRESS", nobody.address());
        stops_before_the_browser(&stage, &idp, "no service on the bus");

        let deaf = DeafBus::start();
        stage.set("DBUS_SESSION_BUS_ADDRESS", deaf.address());
        stops_before_the_browser(&stage, &idp, "a deaf bus");

        let locked = Keyring::start();
        locked.lock();
        stage.set("DBUS_SESSION_BUS_ADDRESS", locked.address()).set("XDG_RUNTIME_DIR", locked.runtime_dir());
        stops_before_the_browser(&stage, &idp, "a locked collection");
    }
}

#[test]
fn tokens_that_cannot_be_kept_are_given_back() {
    let idp = Idp::honest();
    let mut keyring = Keyring::start();
    let stage = scene::stage_with_keyring(&idp, &keyring);
    let before = scene::settled(&stage);
    let mut running = begin(&stage, &[]);
    let url = running.url();
    keyring.kill();
    wire::browse(&url);
    running.finish().ends(7);
    assert_eq!(idp.live_refresh_tokens(), 0, "the new session was ended at the service");
    assert_eq!(scene::settled(&stage), before);
    scene::assert_no_leaks(&stage, &idp, &[]);
    keyring.start_service();
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    scene::sign_in(&stage);

    // The keychain dies while a session is renewed: nothing is handed out that was not kept.
    keyring.kill();
    let outcome = stage.run(&["auth", "token"]).ends(7);
    assert!(outcome.stdout.is_empty(), "{outcome}");
    keyring.start_service();
    assert!(idp.accepts(&scene::token(&stage)), "the session is still there");
    keyring.freeze();
    let started = Instant::now();
    let outcome = stage.run(&["auth", "token"]).ends(7);
    assert!(outcome.stdout.is_empty() && started.elapsed() < Duration::from_secs(30), "{outcome}");
    keyring.wake();
    assert!(idp.accepts(&scene::token(&stage)));
}
