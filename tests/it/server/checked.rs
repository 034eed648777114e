//! Looking at a server that runs: it is told whether all of it is good, and nothing of it is changed.

use std::net::TcpListener;

use super::served::Served;
use crate::peers::free_port;

#[test]
fn a_server_that_runs_is_looked_at_with_its_own_settings() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let served = Served::new(&["--metrics-listen", &metrics]);
    let address = served.url.split("://").nth(1).unwrap().to_owned();
    let check = |more: &[&str]| served.stage.run(&served.words(&[&["--check"], more].concat()));
    let own = ["--listen", address.as_str()];
    let whole = check(&own).ends(0);
    assert!(whole.stderr().contains("All settings are good"), "{whole}");
    // Another program's address is none of this server's, be it one of the two.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let refused = check(&["--listen", &taken]).ends(1);
    assert!(refused.stderr().contains(&format!("cannot listen on {taken}")), "{refused}");
    let words = served.words(&["--check", "--listen", &address]);
    let words: Vec<&str> = words.into_iter().map(|word| if word == metrics { taken.as_str() } else { word }).collect();
    served.stage.run(&words).ends(1);
    // Somebody else's server is not passed over.
    let stranger = Served::new(&[]);
    stranger.stage.run(&stranger.words(&["--check", "--listen", &address])).ends(1);
    // Where one is free, it is free.
    check(&["--listen", "127.0.0.1:0"]).ends(0);

    // A key that is due is made by the server alone.
    served.sql("DELETE FROM signing_keys");
    let count = |table: &str| served.sql(&format!("SELECT COUNT(*) FROM {table}")).trim().to_owned();
    let (settings, entries) = (count("settings"), count("audit_events"));
    check(&own).ends(0);
    assert_eq!((count("signing_keys").as_str(), count("settings"), count("audit_events")), ("0", settings, entries));
    // What is wrong is found all the same.
    served.sql("UPDATE audit_heads SET sequence = sequence + 1");
    check(&own).ends(8);
}
