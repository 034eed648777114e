//! People who write and read without a pause, what they were told, and whether it is so.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::served::{Served, token};
use crate::stage::Stage;
use crate::wire::{self, Message};

/// So many write at a time.
const WRITERS: usize = 3;
/// How long a writer thinks between two requests.
const PAUSE: Duration = Duration::from_millis(2);

/// An API key of the owner with all that they may do. It outlives every test.
pub fn key(served: &Served) -> String {
    let bearer = token(&served.manager());
    let permissions = [
        "credentials.read",
        "credentials.write",
        "credentials.verify",
        "secrets.read",
        "keys.manage",
        "members.read",
        "members.manage",
        "projects.manage",
        "workspaces.write",
        "registries.write",
        "audit.read",
    ];
    let wanted = json!({ "name": "load", "permissions": permissions }).to_string();
    let made = served.api("POST", "/api-keys", &bearer, &wanted);
    assert_eq!(made.status(), 201, "{}", made.text());
    made.json()["key"].as_str().unwrap().to_owned()
}

/// Another server beside one that is there, with its master key and on its database.
pub fn beside(first: &Served, database: &str) -> Served {
    let key = std::fs::read_to_string(first.data().join("master.key")).unwrap();
    let stage = Stage::new();
    let data = stage.home().join("server");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("master.key"), key).unwrap();
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(data.join("master.key"), PermissionsExt::from_mode(0o600)).unwrap();
    Served::on(stage, &["--database", database])
}

/// One request; nothing where nobody answers.
pub fn ask(url: &str, method: &str, path: &str, bearer: &str, body: &str) -> Option<Message> {
    let headers = [&format!("Authorization: Bearer {bearer}"), "Content-Type: application/json"];
    wire::send(method, &format!("{url}{path}"), &headers, body)
}

/// A credential of which the value is its name.
pub fn store(url: &str, bearer: &str, name: &str) -> Option<Message> {
    let body = json!({ "name": name, "kind": "generic_env", "data": { "A": name } }).to_string();
    ask(url, "POST", "/credential-configs", bearer, &body)
}

/// What came of the writing.
#[derive(Debug, Default)]
pub struct Written {
    /// The names that were acknowledged.
    pub names: Vec<String>,
    /// How many were refused for now.
    pub refused: usize,
}

/// Has some people write at these addresses, the first at the first and so on, while something happens that begins with
/// the first write that is acknowledged. Whoever is answered is told that it was done, or that it cannot be done now.
pub fn writing(urls: &[&str], bearer: &str, prefix: &str, during: impl FnOnce()) -> Written {
    let (names, refused, ends) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (names, refused, ends) = (&names, &refused, &ends);
            let url = urls[writer % urls.len()];
            scope.spawn(move || {
                for number in 0.. {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    let name = format!("{prefix}w{writer}n{number}");
                    match store(url, bearer, &name).map(|answer| (answer.status(), answer.text())) {
                        Some((201, _)) => names.lock().unwrap().push(name),
                        Some((503 | 507, _)) => drop(refused.fetch_add(1, Ordering::SeqCst)),
                        Some(other) => panic!("{other:?}"),
                        None => {}
                    }
                    std::thread::sleep(PAUSE);
                }
            });
        }
        // Where this panics, the others end as well.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("something is written", Duration::from_secs(30), || !names.lock().unwrap().is_empty());
            during();
        }));
        ends.store(true, Ordering::SeqCst);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    Written { names: names.into_inner().unwrap(), refused: refused.into_inner() }
}

/// Every credential, by its name.
pub fn listed(url: &str, bearer: &str) -> BTreeMap<String, Value> {
    let (mut found, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = ask(url, "GET", &format!("/credential-configs?limit=200{cursor}"), bearer, "").expect("an answer");
        assert_eq!(page.status(), 200, "{}", page.text());
        let page = page.json();
        for one in page["items"].as_array().expect("a list") {
            let twice = found.insert(one["name"].as_str().expect("a name").to_owned(), one.clone());
            assert!(twice.is_none(), "{one} is there twice");
        }
        let Some(next) = page["next"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

/// Each that was acknowledged is there, and everything that is there opens and is what was written.
pub fn is_whole(url: &str, bearer: &str, acknowledged: &[String]) {
    let found = listed(url, bearer);
    for name in acknowledged {
        assert!(found.contains_key(name), "{name} was lost, of {} that were acknowledged", acknowledged.len());
    }
    let found: Vec<(&String, &Value)> = found.iter().collect();
    std::thread::scope(|scope| {
        for part in found.chunks(found.len().div_ceil(4).max(1)) {
            scope.spawn(move || {
                for (name, one) in part {
                    let path = format!("/credential-configs/{}/secrets", one["id"].as_str().expect("an identifier"));
                    let opened = ask(url, "GET", &path, bearer, "").expect("an answer");
                    assert_eq!((opened.status(), &opened.json()["data"]["A"]), (200, &json!(name)), "{one}");
                }
            });
        }
    });
}

/// Goes through the audit of everything, as a start of the server does not.
pub fn audit_is_whole(served: &Served) {
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
}

/// Waits until something is so.
pub fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "{what} within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Numbers that look random, and are the same for the same beginning.
pub struct Dice(u64);

impl Dice {
    /// Of `LANYARD_SEED`, or of the clock.
    pub fn new() -> Self {
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        let seed = std::env::var("LANYARD_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(now()));
        eprintln!("LANYARD_SEED={seed}");
        Self(seed | 1 << 40)
    }

    /// A number below another one.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % most
    }
}
