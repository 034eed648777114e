//! A certificate that is replaced while the server goes on.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::served::Served;
use crate::secure::{Authority, NAMES};
use crate::stage::Stage;

/// The certificate that whoever connects is shown.
fn shown(served: &Served) -> String {
    let address = served.url.strip_prefix("https://").unwrap();
    let done = Command::new("openssl").args(["s_client", "-connect", address]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let begin = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{text}"));
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    text[begin..end].split_whitespace().collect()
}

fn is(served: &Served, pem: &Path) -> bool {
    let pem = std::fs::read_to_string(pem).unwrap();
    pem.split_whitespace().collect::<String>().contains(&shown(served))
}

fn eventually(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_certificate_is_replaced_while_the_server_goes_on() {
    let authority = Authority::new();
    let [first, second, third] = ["first", "second", "third"].map(|name| authority.issue(name, NAMES, None));
    let stage = Stage::new();
    let (chain, key) = (stage.home().join("chain.pem"), stage.home().join("key.pem"));
    let put = |pem: &Path, from: &Path| {
        std::fs::copy(pem, &chain).unwrap();
        // The key as most programs write it: made anew, and only then closed to others.
        std::fs::copy(from, &key).unwrap();
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    };
    put(&first.pem, &first.key);
    let flags = ["--tls-certificate", chain.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let mut served = Served::on(stage, &flags);
    assert!(is(&served, &first.pem));

    put(&second.pem, &second.key);
    served.signal("HUP");
    eventually("told to look, it looks", || is(&served, &second.pem));

    // What cannot be used changes nothing: no certificate, another one's key, a key for everybody.
    let mut whole = std::fs::File::create(&chain).unwrap();
    whole.write_all(b"-----BEGIN CERTIFICATE-----\nLNYCANARY\n-----END CERTIFICATE-----\n").unwrap();
    drop(whole);
    served.signal("HUP");
    let stays = |line: &str| line.contains("the certificate of before stays").then(|| line.to_owned());
    let line = served.wait_for("word of it", stays);
    assert!(
        line.contains("chain.pem") && line.contains("\"level\":\"error\"") && !line.contains("LNYCANARY"),
        "{line}"
    );
    put(&third.pem, &first.key);
    served.signal("HUP");
    served.wait_for("word of it", stays);
    std::fs::copy(&third.key, &key).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    served.signal("HUP");
    served.wait_for("word of it", stays);
    assert!(is(&served, &second.pem));

    // Nobody has to say so: what changes is found.
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    put(&third.pem, &third.key);
    eventually("it looks by itself", || is(&served, &third.pem));
    assert_eq!(served.end("TERM"), Some(0));
}
