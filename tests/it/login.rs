//! Signing in, being signed in, signing out: the whole way, as a person goes it.

use crate::canary::{Canary, Sweep};
use crate::idp::Idp;
use crate::keyring::Keyring;
use crate::stage::Stage;
use crate::wire;

#[test]
fn a_browser_login_is_kept_in_the_keychain_until_logout() {
    let keyring = Keyring::start();
    let stage = Stage::with_keyring(&keyring);
    let idp = Idp::honest();

    let issuer = idp.issuer().to_owned();
    let login = ["auth", "login", "--issuer", &issuer, "--client-id", "cli", "--profile", "work", "--no-browser"];
    let mut running = stage.start(&login);
    let visit = wire::browse(&running.url());
    assert_eq!(visit.answer.map(|page| page.status()), Some(200));
    running.finish().ends(0);

    let status = stage.run(&["auth", "status"]).ends(0).stdout();
    let facts: Vec<&str> = status.lines().take(3).collect();
    assert_eq!(facts[..2], ["Authenticated as: user@example.com", "Account ID: acc_123456"]);
    assert!(facts[2].starts_with("Token expires: "), "{status}");

    let token = stage.run(&["auth", "token"]).ends(0).stdout();
    let token = token.strip_suffix('\n').expect("the token and a newline");
    assert!(idp.accepts(token));

    // The other client sees one item, with the profile's name in its label, and the token is in it.
    let items = keyring.items();
    assert_eq!(items.matches("label = ").count(), 1, "{items}");
    assert!(items.contains("work") && items.contains(token), "{items}");

    stage.run(&["auth", "logout"]).ends(0);
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    assert!(!idp.accepts(token), "the service was told");
    stage.run(&["auth", "status"]).ends(4);

    let secrets: Vec<Canary> = idp.secrets().iter().map(|secret| Canary::of(secret)).collect();
    let mut sweep = Sweep::for_canaries(&secrets);
    sweep.tree(stage.root());
    sweep.assert_clean();
}
