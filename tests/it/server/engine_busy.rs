//! Work with a real OpenBao that takes long, while others go on: projects that are renamed, master keys that are replaced by
//! two at once or by somebody who dies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::openbao::{OpenBao, pass, words};
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::double::Double;
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

/// What is done in the midst of something else.
type Doing = Box<dyn Fn() + Send>;

const VALUE: &str = "LNYCANARYvalue0123456789";

fn id(stage: &Stage, name: &str) -> String {
    list(stage).iter().find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
}

/// Somebody replaces a secret in a project that is being renamed, and somebody else puts one into it: both are there under
/// the new name, and nobody has to begin again.
#[test]
fn a_project_is_renamed_while_what_is_in_it_changes() {
    let bao = OpenBao::start();
    let doing: Arc<Mutex<Option<Doing>>> = Arc::default();
    let (held, writes, url) = (Arc::clone(&doing), AtomicUsize::new(0), bao.url());
    let door = Double::start(move |seen| {
        // Some are sealed for the new name by then, and the others are not.
        let is_due = |_: &mut Doing| writes.fetch_add(1, Ordering::SeqCst) == 4;
        if seen.method == "POST" && seen.target.contains("/data/") {
            let doing = held.lock().unwrap().take_if(is_due);
            if let Some(doing) = doing {
                doing();
            }
        }
        pass(seen, &url)
    });
    let mut flags = bao.by_token(&["--secrets-engine", "vault"]);
    flags[1] = door.url();
    let served = Served::new(&words(&flags));
    let stage = served.manager();
    let bearer = token(&stage);
    stage.run(&["projects", "create", "shop"]).ends(0);
    let make = {
        let (url, bearer) = (served.url.clone(), bearer.clone());
        move |name: &str| {
            let data = json!({ "A": VALUE });
            let body = json!({ "name": name, "kind": "generic_env", "project": "shop", "data": data }).to_string();
            let made = api(&url, "POST", "/credential-configs", &bearer, &body);
            assert_eq!(made.status(), 201, "{}", made.text());
        }
    };
    for number in 0..12 {
        make(&format!("n{number}"));
    }
    let changed = ["n1", "n9"].map(|name| id(&stage, name));
    let change = {
        let (url, bearer, make) = (served.url.clone(), bearer.clone(), make.clone());
        move || {
            let newer = json!({ "data": { "A": "LNYCANARYnewer0123456789" } }).to_string();
            for id in &changed {
                let path = format!("/credential-configs/{id}/secrets");
                assert!(api(&url, "POST", &path, &bearer, &newer).status() < 300);
            }
            make("late");
        }
    };
    *doing.lock().unwrap() = Some(Box::new(change));
    stage.run(&["projects", "rename", "shop", "store"]).ends(0);
    assert!(doing.lock().unwrap().is_none(), "it was changed meanwhile");
    assert_eq!(reveal(&stage, "store/n3", "A"), VALUE);
    for name in ["store/n1", "store/n9"] {
        assert_eq!(reveal(&stage, name, "A"), "LNYCANARYnewer0123456789");
    }
    assert_eq!(reveal(&stage, "store/late", "A"), VALUE);
    let renames = served.entries().into_iter().filter(|entry| entry["action"] == "project.rename");
    assert_eq!(renames.map(|entry| entry["outcome"].clone()).collect::<Vec<_>>(), [json!("done")]);
    stage.run(&["audit", "verify"]).ends(0);
}

/// Two servers whose master key an OpenBao wraps that takes its time with it.
struct Two {
    _bao: OpenBao,
    _door: Double,
    _postgres: Postgres,
    flags: Vec<String>,
    first: Served,
    second: Served,
    stage: Stage,
    path: String,
}

impl Two {
    fn new() -> Self {
        let (bao, postgres) = (OpenBao::start(), Postgres::start());
        let url = bao.url();
        let door = Double::start(move |seen| {
            if seen.target.contains("/encrypt/") {
                std::thread::sleep(Duration::from_millis(700));
            }
            pass(seen, &url)
        });
        let mut flags = bao.by_token(&["--master-key-transit", "lanyard", "--database", &postgres.url()]);
        flags[1] = door.url();
        let first = Served::new(&words(&flags));
        let second = Served::on(Stage::new(), &words(&flags));
        let stage = first.client();
        store_env(&stage, "db", "A", VALUE);
        let path = format!("/credential-configs/{}/secrets", id(&stage, "db"));
        Self { _bao: bao, _door: door, _postgres: postgres, flags, first, second, stage, path }
    }

    fn rotate(&self) -> Vec<&str> {
        [&["server", "rotate-key", "--data", "server"], &words(&self.flags)[..]].concat()
    }

    /// Reads on both of them and has further ones look at everything, while something is done; each must succeed.
    fn meanwhile(&self, work: impl FnOnce()) -> usize {
        let (ends, reads, bearer) = (AtomicBool::new(false), AtomicUsize::new(0), token(&self.stage));
        std::thread::scope(|scope| {
            for url in [&self.first.url, &self.second.url] {
                let (ends, reads, bearer, path) = (&ends, &reads, &bearer, &self.path);
                scope.spawn(move || {
                    while !ends.load(Ordering::SeqCst) {
                        let read = api(url, "GET", path, bearer, "");
                        assert_eq!((read.status(), &read.json()["data"]["A"]), (200, &json!(VALUE)), "{}", read.text());
                        reads.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let (ends, flags) = (&ends, &self.flags);
            scope.spawn(move || {
                let stage = Stage::new();
                let check = ["serve", "--check", "--listen", "127.0.0.1:0", "--data", "server"];
                while !ends.load(Ordering::SeqCst) {
                    stage.run(&[&check, &words(flags)[..]].concat()).ends(0);
                }
            });
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            ends.store(true, Ordering::SeqCst);
            done.unwrap();
        });
        reads.load(Ordering::SeqCst)
    }
}

#[test]
fn two_who_replace_a_wrapped_master_key_at_once_lose_none_and_keep_nobody_waiting() {
    let two = Two::new();
    let others = [Stage::new(), Stage::new()];
    let reads = two.meanwhile(|| {
        for _ in 0..2 {
            let rotate = &two.rotate();
            std::thread::scope(|scope| {
                for stage in &others {
                    scope.spawn(move || stage.run(rotate).ends(0));
                }
            });
        }
    });
    assert!(reads > 20, "{reads}");
    two.stage.run(&["audit", "verify"]).ends(0);
}

#[test]
fn who_dies_while_they_replace_a_wrapped_master_key_leaves_one_that_opens() {
    let two = Two::new();
    let other = Stage::new();
    two.meanwhile(|| {
        // It is wrapped, announced for three seconds, and put into force; before, between and after.
        for millis in [300, 1500, 3600, 3900, 4100, 4300, 4600] {
            let running = other.start(&two.rotate());
            std::thread::sleep(Duration::from_millis(millis));
            running.signal("KILL");
            running.finish();
        }
        other.run(&two.rotate()).ends(0);
    });
    two.stage.run(&["audit", "verify"]).ends(0);
}
