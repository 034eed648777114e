//! What a server stands on gives way under it: the database ends, the network is cut, the disk is full. Whoever asks
//! meanwhile is refused for now, nothing that was acknowledged is lost, and it goes on by itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::load::{ask, audit_is_whole, is_whole, key, listed, store, until, writing};
use super::postgres::Postgres;
use super::served::{PASSPHRASE, Served, token};
use crate::stage::Stage;
use crate::wire;

/// What ends a database.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// It is restarted, in order or as after a crash.
    Restart(&'static str),
    /// One of its processes dies that talk to the server.
    Backend,
}

/// So long at most until a server goes on once what it stands on is there again: it asks with the next request.
const SOON: Duration = Duration::from_secs(15);

/// The processes of a database that talk to the server.
fn backends(postgres: &Postgres) -> Vec<String> {
    let of_server = "SELECT pid FROM pg_stat_activity WHERE application_name = 'lanyard'";
    postgres.as_superuser(of_server).lines().map(str::to_owned).collect()
}

fn is_ready(url: &str) -> bool {
    wire::get(&format!("{url}/readyz")).is_some_and(|answer| answer.status() == 200)
}

#[test]
fn a_database_that_ends_under_load_is_waited_for() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    let bearer = key(&served);
    let mut acknowledged = Vec::new();
    let blows = [Blow::Restart("immediate"), Blow::Backend, Blow::Restart("fast"), Blow::Backend];
    // How often the database has begun anew because one of its processes died.
    let mut anew = 0;
    for (round, blow) in blows.into_iter().enumerate() {
        let written = writing(&[&served.url], &bearer, &format!("r{round}"), || {
            std::thread::sleep(Duration::from_millis(400));
            match blow {
                Blow::Restart(how) => {
                    postgres.stop(how);
                    std::thread::sleep(Duration::from_millis(300));
                    assert!(!is_ready(&served.url));
                    assert_eq!(wire::get(&format!("{}/healthz", served.url)).unwrap().status(), 200);
                    let read = ask(&served.url, "GET", "/credential-configs", &bearer, "").unwrap();
                    assert_eq!(read.status(), 503, "{}", read.text());
                    postgres.again();
                }
                Blow::Backend => {
                    let before = backends(&postgres);
                    let one = before.first().expect("the server talks to it");
                    assert!(Command::new("kill").args(["-9", one]).status().unwrap().success());
                    // The others are ended by the database itself then: none of them is there any more.
                    until("the database has begun anew", SOON, || {
                        postgres.log().matches("all server processes terminated; reinitializing").count() > anew
                    });
                    until("it goes on", SOON, || is_ready(&served.url));
                    let now = backends(&postgres);
                    assert!(before.iter().all(|pid| !now.contains(pid)), "{before:?} {now:?}");
                    anew += 1;
                }
            }
            until("it goes on", SOON, || is_ready(&served.url));
            std::thread::sleep(Duration::from_millis(300));
        });
        // Whoever was in the midst of something when a process died is refused; it may be that nobody was.
        let is_noticed = written.refused > 0 || matches!(blow, Blow::Backend);
        assert!(is_noticed, "{blow:?}: somebody was refused meanwhile");
        assert!(written.names.len() > 5, "{blow:?}: {} writes", written.names.len());
        acknowledged.extend(written.names);
    }
    is_whole(&served.url, &bearer, &acknowledged);
    audit_is_whole(&served);
}

/// A network between the server and its database that can be cut.
struct Wire {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Nobody comes through, and whoever was is thrown out.
    is_cut: AtomicBool,
    /// Nothing comes through, and nobody is told.
    is_silent: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Wire {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                if shared.is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let mut open = shared.open.lock().unwrap();
                open.extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (from, into) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || copy(from, into, &shared));
                }
            }
        });
        Self { address, state }
    }

    fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        for one in self.state.open.lock().unwrap().drain(..) {
            let _ = one.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
        self.state.is_silent.store(false, Ordering::SeqCst);
    }
}

fn copy(mut from: TcpStream, mut into: TcpStream, state: &State) {
    let mut bytes = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        while state.is_silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if into.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Both);
}

#[test]
fn a_network_that_is_cut_loses_nothing() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let (before, rest) = url.split_once('@').unwrap();
    let (target, name) = rest.split_once('/').unwrap();
    let network = Wire::to(target.to_owned());
    let served = Served::new(&["--database", &format!("{before}@{}/{name}", network.address)]);
    let bearer = key(&served);
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let written = writing(&[&served.url], &bearer, &format!("r{round}"), || {
            std::thread::sleep(Duration::from_millis(300));
            if round % 2 == 0 {
                network.cut();
                std::thread::sleep(Duration::from_millis(200));
                assert!(!is_ready(&served.url));
            } else {
                // In the midst of whatever is being said, nothing more is heard for a while.
                network.state.is_silent.store(true, Ordering::SeqCst);
                std::thread::sleep(Duration::from_secs(1));
                network.cut();
            }
            network.mend();
            until("it goes on", SOON, || is_ready(&served.url));
            std::thread::sleep(Duration::from_millis(200));
        });
        assert!(written.names.len() > 5, "{} writes", written.names.len());
        acknowledged.extend(written.names);
    }
    is_whole(&served.url, &bearer, &acknowledged);
    audit_is_whole(&served);
}

/// Fills what is left of a file system, until something is taken away again.
fn fill(file: &Path) {
    let mut filling = std::fs::File::create(file).unwrap();
    let mut piece = 1 << 16;
    while piece > 0 {
        if filling.write_all(&vec![7; piece]).is_err() {
            piece /= 2;
        }
    }
}

/// Fills what a server writes to, under load, and makes room again: what did not fit was refused, and nothing else is
/// missing.
fn fills_up(served: &Served, room: &Path) {
    let (manager, bearer) = (served.manager(), key(served));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let written = writing(&[&served.url], &bearer, &format!("r{round}"), || {
            std::thread::sleep(Duration::from_millis(300));
            let mut tries = (0..).map(|number| format!("r{round}t{number}-full"));
            fill(&room.join("fill"));
            let mut refused = None;
            until("somebody is refused", Duration::from_secs(20), || {
                let name = tries.next().unwrap();
                refused = store(&served.url, &bearer, &name).filter(|answer| answer.status() == 507);
                refused.is_some()
            });
            let refused = refused.unwrap();
            assert_eq!(refused.header("content-type"), Some("application/problem+json"));
            assert!(refused.text().contains("there is no room on the disk"), "{}", refused.text());
            // Nobody reads either, once that cannot be told: what tells of it is smaller, and fits for longer.
            until("a reader is refused", Duration::from_secs(20), || {
                let read = ask(&served.url, "GET", "/credential-configs", &bearer, "").unwrap();
                assert!([200, 507].contains(&read.status()), "{}", read.text());
                read.status() == 507
            });
            until("a reader at a terminal is told why", Duration::from_secs(20), || {
                let told = manager.run(&["credentials", "list"]);
                told.code != Some(0) && told.stderr().contains("there is no room on the disk")
            });
            std::fs::remove_file(room.join("fill")).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        });
        assert!(written.refused > 0 && written.names.len() > 5, "{written:?}");
        acknowledged.extend(written.names);
    }
    // What was refused is not there, not even in part. What filled the disk may have come after the last that fitted.
    let found = listed(&served.url, &bearer);
    let refused: Vec<_> = found.keys().filter(|name| !acknowledged.contains(name) && !name.ends_with("full")).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let bearer_of_audit = token(&manager);
    let checked = served.api("GET", "/audit/verify", &bearer_of_audit, "");
    assert_eq!((checked.status(), &checked.json()["valid"]), (200, &serde_json::json!(true)), "{}", checked.text());
    for name in &acknowledged {
        assert!(found.contains_key(name), "{name} was lost");
    }
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let mut stage = Stage::new();
    let small = stage.root().join("small");
    std::fs::create_dir(&small).unwrap();
    // A file system of its own, which only this server sees.
    let apart = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
    let mount = format!("mount -t tmpfs -o size=8m,mode=700 none '{}' && exec \"$@\"", small.display());
    stage.wrap(&["unshare", apart, "sh", "-c", &mount, "sh"]);
    let served = Served::on(stage, &["--database", &format!("sqlite:{}", small.join("server.db").display())]);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    let room = Path::new("/proc").join(served.pid().to_string()).join("root").join(small.strip_prefix("/").unwrap());
    assert!(room.join("server.db").exists());
    fills_up(&served, &room);
}

/// The tables lie on a small disk; the log of the database, which it cannot do without, has room elsewhere.
#[test]
fn a_full_disk_of_postgresql_refuses_and_goes_on_as_well() {
    let postgres = Postgres::on_a_small_disk("24m");
    let served = Served::new(&["--database", &postgres.url()]);
    fills_up(&served, &postgres.room());
}
