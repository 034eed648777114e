//! curl, with a login that no file holds.

use super::program::{Bench, finish};
use crate::double::{Answer, Double};

const PASSWORD: &str = "LNYCANARY0123456789abcdefnetrc";

fn curl(bench: &Bench, host: &str, url: &str) -> super::program::Told {
    let mut command = bench.command("bash", "");
    let script = "curl --silent --show-error --fail --netrc-file <(lanyard helper netrc \"$1\") \"$2\"";
    command.args(["-c", script, "bash", host, url]);
    finish(command, b"")
}

#[test]
fn curl_signs_in_at_the_very_host() {
    let expected = {
        use base64::Engine;
        let pair = format!("alice:{PASSWORD}");
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let server = Double::start(move |seen| match seen.header("authorization") {
        Some(header) if *header == expected => Answer::text(200, "text/plain", "welcome"),
        _ => Answer::text(401, "text/plain", "no"),
    });
    let bench = Bench::new(&[]);
    let host = server.url().strip_prefix("http://").unwrap().to_owned();
    let refused = curl(&bench, &host, &server.url()).fails();
    assert!(refused.all().contains("no login is stored for this host"), "{}", refused.all());
    let words = [
        "credentials",
        "store",
        "password",
        "web",
        "--username",
        "alice",
        "--password",
        "-",
        "--endpoint",
        &server.url(),
    ];
    bench.stage.run_with(&words, PASSWORD.as_bytes()).ends(0);
    assert_eq!(curl(&bench, &host, &server.url()).succeeds().stdout(), "welcome");
    // The file names the machine, and curl goes by that alone: another one gets nothing.
    let elsewhere = server.url().replace("127.0.0.1", "localhost");
    curl(&bench, &host, &elsewhere).fails();
    let other = bench.run("lanyard", &["helper", "netrc", "localhost"]).fails();
    assert!(other.stdout().is_empty(), "{}", other.all());
    let last = server.requests().pop().expect("curl did ask");
    assert_eq!(last.header("authorization"), None);
}

#[test]
fn tools_without_a_protocol_are_told_what_to_do_instead() {
    let bench = Bench::new(&[]);
    for tool in ["npm", "pnpm", "yarn", "maven", "mvn", "gradle", "nix"] {
        let told = bench.run("lanyard", &["helper", tool]).fails();
        assert_eq!((told.code(), told.stdout().as_str()), (Some(2), ""));
        assert!(
            told.all().contains("asks no program for a credential") && told.all().contains("`lanyard run"),
            "{}",
            told.all()
        );
    }
}
