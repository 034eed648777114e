//! The same server on PostgreSQL, two of them on one database, and a database that ends under them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::served::{PASSPHRASE, Served, api, token};
use super::{places, team};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

/// A PostgreSQL of its own. Ends when dropped.
pub struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
}

impl Postgres {
    pub fn start() -> Self {
        let made = Self { folder: tempfile::tempdir().expect("a folder"), port: free_port() };
        made.script("up.sh", &[&made.port.to_string()]);
        made
    }

    /// One whose tables lie on a disk of this size.
    pub fn on_a_small_disk(size: &str) -> Self {
        let made = Self { folder: tempfile::tempdir().expect("a folder"), port: free_port() };
        made.script_with("up.sh", &[&made.port.to_string()], &[("SMALL", size)]);
        let place = made.folder.path().join("small");
        made.as_superuser(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
        made.as_superuser(
            "GRANT CREATE ON TABLESPACE small TO lanyard; ALTER ROLE lanyard SET default_tablespace = small;",
        );
        made
    }

    /// The small disk, which it alone sees.
    pub fn room(&self) -> PathBuf {
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).expect("it runs");
        let root = Path::new("/proc").join(pid.lines().next().expect("its pid")).join("root");
        root.join(self.folder.path().strip_prefix("/").expect("a whole path")).join("small")
    }

    /// Ends it, in order (`fast`) or as a crash does (`immediate`).
    pub fn stop(&self, how: &str) {
        self.script("down.sh", &[how]);
    }

    /// Starts it where it was.
    pub fn again(&self) {
        self.script("up.sh", &[&self.port.to_string()]);
    }

    /// Has statements carried out as the server's own user of the database: what they give, a line for each row, or what
    /// the database said.
    pub fn sql(&self, statements: &str) -> Result<String, String> {
        psql(&self.url(), statements)
    }

    /// The same as the superuser, whom nothing binds.
    pub fn as_superuser(&self, statements: &str) -> String {
        psql(&self.as_root(), statements).expect("it is done")
    }

    /// What it has written into its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pg.log")).expect("a log")
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its address for the superuser.
    pub fn as_root(&self) -> String {
        self.url().replace("lanyard:lanyard-pw", "postgres:postgres-pw")
    }

    fn script(&self, name: &str, more: &[&str]) {
        self.script_with(name, more, &[]);
    }

    fn script_with(&self, name: &str, more: &[&str], set: &[(&str, &str)]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/postgres").join(name);
        let output = Command::new("bash")
            .arg(script)
            .arg(self.folder.path())
            .args(more)
            .envs(set.iter().copied())
            .output()
            .expect("bash");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn url(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("url")).expect("its address").trim().to_owned()
    }
}

pub fn psql(url: &str, statements: &str) -> Result<String, String> {
    let words = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-f", "-"];
    let mut running = Command::new("psql")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql is installed; tests/run does that");
    running.stdin.take().expect("a pipe").write_all(statements.as_bytes()).expect("it reads");
    let done = running.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/postgres/down.sh");
        let _ = Command::new("bash").arg(script).arg(self.folder.path()).arg("immediate").output();
    }
}

#[test]
fn the_password_rests_in_a_file_of_its_own() {
    let postgres = Postgres::start();
    let bare = postgres.url().replace(":lanyard-pw@", "@");
    let stage = Stage::new();
    let file = stage.home().join("password");
    std::fs::write(&file, "lanyard-pw\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let served = Served::on(stage, &["--database", &bare, "--database-password-file", "password"]);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    let pid = served.pid();
    for place in ["environ", "cmdline"] {
        let told = std::fs::read(format!("/proc/{pid}/{place}")).unwrap();
        assert!(!String::from_utf8_lossy(&told).contains("lanyard-pw"), "{place}");
    }
    std::fs::write(&file, "another").unwrap();
    let words = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server", "--master-key-file"];
    let more = ["server/master.key", "--database", &bare, "--database-password-file", "password"];
    served.stage.run(&[&words[..], &more].concat()).ends(6);
}

#[test]
fn a_team_works_on_postgresql_as_well() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    places::work_with_a_project(&served);
    places::work_with_a_workspace(&served);
    places::delete_what_is_taken_into_use(&served);
    team::accept_at_once(&served);
    team::take_from_a_member(&served);
    places::change_roles_as_seen(&served);
}

#[test]
fn it_works_on_postgresql_and_two_share_one() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let first = Served::new(&["--database", &url]);
    let stage = first.client();
    store_env(&stage, "db", "A", "LNYCANARYvalue0123456789");
    store_env(&stage, "Zeta", "A", "LNYCANARYvalue0123456789");
    assert_eq!(reveal(&stage, "db", "A"), "LNYCANARYvalue0123456789");
    let names: Vec<String> = list(&stage).iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["Zeta", "db"], "by bytes, as everywhere");
    stage.run(&["credentials", "rename", "Zeta", "zeta"]).ends(0);
    stage.run(&["credentials", "test"]).ends(0);

    // A second one with the same key, on the same database.
    let key = std::fs::read_to_string(first.data().join("master.key")).unwrap();
    let stage_of_second = crate::stage::Stage::new();
    let data = stage_of_second.home().join("server");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("master.key"), key).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(data.join("master.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let second = Served::on(stage_of_second, &["--database", &url]);
    let bearer = token(&stage);
    let both = |path: &str| {
        [&first, &second].map(|served| served.api("GET", path, &bearer, "").json()["items"].as_array().map(Vec::len))
    };
    assert_eq!(both("/credential-configs"), [Some(2), Some(2)]);
    std::thread::scope(|scope| {
        for (number, url) in [&first.url, &second.url, &first.url, &second.url].into_iter().enumerate() {
            let bearer = &bearer;
            scope.spawn(move || {
                for count in 0..10 {
                    let body =
                        format!("{{\"name\":\"n{number}-{count}\",\"kind\":\"generic_env\",\"data\":{{\"A\":\"1\"}}}}");
                    assert_eq!(api(url, "POST", "/credential-configs", bearer, &body).status(), 201);
                }
            });
        }
    });
    assert_eq!(both("/credential-configs?limit=200"), [Some(42), Some(42)]);
    first.stage.run(&first.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);

    // The database ends at once and comes back: nothing is lost, and nobody has to be started anew.
    postgres.stop("immediate");
    let gone = first.api("GET", "/credential-configs", &bearer, "");
    assert_eq!(
        (gone.status(), gone.header("content-type")),
        (503, Some("application/problem+json")),
        "{}",
        gone.text()
    );
    assert_eq!(crate::wire::get(&format!("{}/readyz", first.url)).unwrap().status(), 503);
    assert_eq!(crate::wire::get(&format!("{}/healthz", first.url)).unwrap().status(), 200);
    postgres.again();
    assert_eq!(both("/credential-configs?limit=200"), [Some(42), Some(42)]);
    assert_eq!(reveal(&stage, "db", "A"), "LNYCANARYvalue0123456789");
}

#[test]
fn a_database_elsewhere_is_not_reached_without_tls() {
    let stage = crate::stage::Stage::new();
    let words = ["serve", "--check", "--listen", "127.0.0.1:0", "--master-key-file", "k"];
    let open =
        [&words[..], &["--database", "postgres://u:LNYCANARYpassword@localhost.localdomain:1/db?sslmode=disable"]]
            .concat();
    let refused = stage.run(&open);
    assert!(refused.code == Some(6) && !refused.stderr().contains("LNYCANARY"), "{refused}");
}
