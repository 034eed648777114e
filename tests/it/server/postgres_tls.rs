//! PostgreSQL over TLS: the authority and the name are looked at, and nothing goes in the clear.

use std::process::Command;

use super::postgres::Postgres;
use super::served::{PASSPHRASE, Served};
use crate::secure::{Authority, Certificate};
use crate::stage::{Outcome, Stage};

/// The name that the database is known by; no name server knows it.
const NAME: &str = "db.lanyard.test";
const PASSWORD: &str = "LNYCANARYdatabase";

impl Postgres {
    /// Has it speak TLS with this certificate from now on; without one, none.
    fn speak_tls(&self, certificate: Option<&Certificate>) {
        let data = self.folder().join("data");
        if let Some(certificate) = certificate {
            for (name, from) in [("server.crt", &certificate.pem), ("server.key", &certificate.key)] {
                let to = data.join(name);
                std::fs::copy(from, &to).unwrap();
                // The key is its owner's alone, who is the user that PostgreSQL runs as.
                std::os::unix::fs::chown(&to, Some(owner(&data)), None).unwrap();
                std::fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            }
        }
        let ssl = if certificate.is_some() { "on" } else { "off" };
        self.as_superuser(&format!("ALTER SYSTEM SET ssl = {ssl}"));
        self.as_superuser(&format!("ALTER ROLE lanyard PASSWORD '{PASSWORD}'"));
        self.as_superuser("SELECT pg_reload_conf()");
        // Whether it was taken up shows in what a new connection finds.
        let begun = std::time::Instant::now();
        while self.as_superuser("SHOW ssl").trim() != ssl {
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Its address under a name, with more said of it.
    fn under(&self, host: &str, more: &str) -> String {
        let url = self.url().replace("lanyard-pw", PASSWORD).replace("127.0.0.1", host);
        format!("{url}?hostaddr=127.0.0.1{more}")
    }
}

fn owner(folder: &std::path::Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder).unwrap())
}

fn check(stage: &Stage, database: &str) -> Outcome {
    stage.run(&["serve", "--check", "--data", "d", "--master-key-file", "k", "--database", database])
}

#[test]
fn a_database_is_reached_by_its_name_and_authority_and_not_in_the_clear() {
    let (postgres, authority, other) = (Postgres::start(), Authority::new(), Authority::new());
    let certificate = authority.issue("db", &format!("DNS:{NAME}"), None);
    postgres.speak_tls(Some(&certificate));
    let roots = |authority: &Authority| format!("&sslmode=verify-full&sslrootcert={}", authority.pem().display());
    let stage = Stage::new();
    check(&stage, &postgres.under(NAME, &roots(&authority))).ends(0);
    let refused = |database: &str, code: i32, why: &str| {
        let told = check(&stage, database);
        assert_eq!(told.code, Some(code), "{database}: {told}");
        assert!(told.stderr().contains(why), "{database}: {told}");
        assert!(!told.stderr().contains("LNYCANARY"), "{told}");
    };
    // The certificate is of another name, also where that is this machine.
    refused(&postgres.under("other.lanyard.test", &roots(&authority)), 6, "not valid for name");
    refused(&postgres.under("127.0.0.1", &roots(&authority)), 6, "not valid for name");
    refused(
        &postgres.under("localhost", &format!("&sslrootcert={}", authority.pem().display())),
        6,
        "not valid for name",
    );
    // Another authority, and the system's, which know nothing of it; no word weakens that.
    refused(&postgres.under(NAME, &roots(&other)), 6, "invalid peer certificate");
    for weak in ["", "&sslmode=require", "&sslmode=prefer", "&sslmode=disable", "&sslrootcert=system"] {
        refused(&postgres.under(NAME, weak), 6, "invalid peer certificate");
    }
    // What cannot be meant is told before anybody is asked.
    let none = format!("&sslrootcert={}", stage.home().join("none.pem").display());
    refused(&postgres.under(NAME, &none), 3, "there is no such file");
    refused(&postgres.under(NAME, &format!("&sslrootcert={}", certificate.key.display())), 3, "no certificate in PEM");
    refused(&postgres.under(NAME, "&sslmode=verify"), 3, "sslmode");

    // A database that speaks no TLS, or somebody who says so in its place, hears no password.
    postgres.speak_tls(None);
    postgres.as_superuser("ALTER SYSTEM SET log_connections = on");
    postgres.as_superuser("SELECT pg_reload_conf()");
    let tried = || postgres.log().matches("connection authorized: user=lanyard").count();
    let before = tried();
    for mode in ["", "&sslmode=disable", "&sslmode=prefer", &roots(&authority)] {
        refused(&postgres.under(NAME, mode), 6, "TLS");
    }
    refused(&postgres.under("127.0.0.1", "&sslmode=verify-full"), 6, "TLS");
    assert_eq!(tried(), before, "nobody came in");
}

#[test]
fn all_that_a_server_says_to_its_database_is_said_over_tls() {
    let (postgres, authority) = (Postgres::start(), Authority::new());
    postgres.speak_tls(Some(&authority.issue("db", &format!("DNS:{NAME}"), None)));
    let more = format!("&sslmode=verify-full&sslrootcert={}", authority.pem().display());
    let served = Served::fresh(&["--database", &postgres.under(NAME, &more)]);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    drop(served.client());
    let of_server = "SELECT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'lanyard'";
    let found = postgres.as_superuser(of_server);
    assert!(!found.trim().is_empty());
    for line in found.lines() {
        assert!(["t|TLSv1.3", "t|TLSv1.2"].contains(&line), "{found}");
    }
    // Whoever comes in the place of the database later on is no more believed than at the start.
    let strange = Authority::new();
    postgres.speak_tls(Some(&strange.issue("db", &format!("DNS:{NAME}"), None)));
    postgres.as_superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lanyard'");
    let answer = crate::wire::get(&format!("{}/readyz", served.url)).unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(Command::new("kill").args(["-0", &served.pid().to_string()]).status().unwrap().success());
}
