//! Backups of a server whose secrets rest in a real OpenBao, where that has lost some of them, and where they are replaced
//! meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::openbao::{OpenBao, pass, words};
use super::postgres::Postgres;
use super::served::{Served, api, token};
use crate::double::Double;
use crate::stage::{Outcome, Stage};
use crate::vaulted::{list, reveal, store_env};

const VALUE: &str = "LNYCANARYvalue0123456789";
const ENGINE: [&str; 2] = ["--secrets-engine", "vault"];
const DOES_NOT_OPEN: &str = "urn:lanyard:problem:does-not-open";

fn run(stage: &Stage, what: &[&str], flags: &[String]) -> Outcome {
    let place = ["--data", "server", "--master-key-file", "server/master.key"];
    stage.run(&[&["server"], what, &place, &words(flags)[..]].concat())
}

fn id(stage: &Stage, name: &str) -> String {
    list(stage).iter().find(|one| one["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
}

/// What is answered to whoever wants a secret, and of what type it is.
fn read(served: &Served, stage: &Stage, name: &str) -> (u16, String) {
    let answer = served.api("GET", &format!("/credential-configs/{}/secrets", id(stage, name)), &token(stage), "");
    (answer.status(), answer.json()["type"].as_str().unwrap_or_default().to_owned())
}

/// Has the OpenBao lose all that rests of a credential.
fn lose(bao: &OpenBao, credential: &str) {
    bao.does(&["kv", "metadata", "delete", "-mount=secret", &bao.place_of(credential)]);
}

/// Another machine with the master key of a server and one of its backups.
fn with(served: &Served, backup: &str) -> Stage {
    let stage = Stage::new();
    stage.write_config("[defaults]\nstorage = \"plain\"\n");
    let data = stage.home().join("server");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::copy(served.data().join("master.key"), data.join("master.key")).unwrap();
    std::fs::copy(served.stage.home().join(backup), stage.home().join(backup)).unwrap();
    stage
}

#[test]
fn what_the_openbao_has_lost_holds_up_no_backup_of_the_rest() {
    let bao = OpenBao::start();
    let flags = bao.by_token(&ENGINE);
    let served = Served::new(&words(&flags));
    let stage = served.client();
    for name in ["kept", "lost", "renamed"] {
        store_env(&stage, name, "A", VALUE);
    }
    let lost = id(&stage, "lost");
    run(&served.stage, &["backup", "whole"], &flags).ends(0);
    lose(&bao, &lost);
    // A row that names no place of the keeper's is as good as lost, too.
    let renamed = id(&stage, "renamed");
    served.sql(&format!("UPDATE kept_secrets SET address = '../../sys/seal' WHERE credential = '{renamed}'"));
    let told = run(&served.stage, &["backup", "backup.1"], &flags).ends(0);
    assert!(told.stderr().contains("the keeper has lost the secrets of 2: "), "{told}");
    assert!(told.stderr().contains(&lost) && told.stderr().contains("store them anew"), "{told}");
    let json = run(&served.stage, &["backup", "backup.2", "--json"], &flags).ends(0).json();
    let missing = json["missing"].as_array().unwrap();
    let named: Vec<&str> = missing.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(named.len() == 2 && named.contains(&&*lost) && named.contains(&&*renamed), "{json}");
    assert!(missing.iter().all(|one| one["organization"].as_str().unwrap().starts_with("org_")), "{json}");
    let entry = served.entries().into_iter().rfind(|entry| entry["action"] == "server.backup").unwrap();
    assert!(entry["detail"].as_str().unwrap().ends_with("2 without their secrets"), "{entry}");

    // On a machine without any OpenBao: what is lost says so, as it did before, and can be stored anew.
    let other = with(&served, "backup.1");
    run(&other, &["restore", "backup.1"], &[]).ends(0);
    let restored = Served::on(other, &[]);
    let again = restored.client();
    assert_eq!(reveal(&again, "kept", "A"), VALUE);
    for name in ["lost", "renamed"] {
        assert_eq!(read(&restored, &again, name), (500, DOES_NOT_OPEN.into()), "{name}");
    }
    let anew = ["credentials", "store", "env", "A=-", "--name", "lost", "--replace"];
    again.run_with(&anew, b"LNYCANARYanew0123456789").ends(0);
    assert_eq!(reveal(&again, "lost", "A"), "LNYCANARYanew0123456789");
    again.run(&["audit", "verify"]).ends(0);

    // Back into the place where it was; and a backup of before has all of it.
    run(&served.stage, &["restore", "backup.2", "--replace"], &flags).ends(0);
    let back = served.client();
    assert_eq!(reveal(&back, "kept", "A"), VALUE);
    assert_eq!(read(&served, &back, "lost"), (500, DOES_NOT_OPEN.into()));
    run(&served.stage, &["backup", "backup.3"], &flags).ends(0);
    run(&served.stage, &["restore", "whole", "--replace"], &flags).ends(0);
    assert_eq!(reveal(&served.client(), "lost", "A"), VALUE);
}

/// Whoever looks at the wrong place loses no good backup by one without a single secret.
#[test]
fn a_keeper_without_a_single_secret_is_taken_for_another_one() {
    let bao = OpenBao::start();
    let flags = bao.by_token(&ENGINE);
    let served = Served::new(&words(&flags));
    let stage = served.client();
    store_env(&stage, "one", "A", VALUE);
    store_env(&stage, "other", "A", VALUE);
    lose(&bao, &id(&stage, "one"));
    lose(&bao, &id(&stage, "other"));
    let told = run(&served.stage, &["backup", "backup.1"], &flags).ends(7);
    assert!(
        told.stderr().contains("of 2 that should have secrets in the keeper, none")
            && told.stderr().contains("--vault-mount"),
        "{told}"
    );
    let left: Vec<_> = std::fs::read_dir(served.stage.home()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("backup")), "{left:?}");
    // One alone may be lost.
    stage.run(&["credentials", "delete", "other", "--yes"]).ends(0);
    run(&served.stage, &["backup", "backup.1"], &flags).ends(0);
}

/// What is replaced while it is fetched is fetched anew, and nothing else is; and nobody's transaction waits for it.
#[test]
fn what_is_replaced_meanwhile_is_in_the_backup_as_it_is_by_then() {
    let (bao, postgres) = (OpenBao::start(), Postgres::start());
    let database = ["--database", &postgres.url()];
    let served = Served::new(&words(&bao.by_token(&[&ENGINE[..], &database].concat())));
    let stage = served.client();
    for name in ["a", "b", "c", "d"] {
        store_env(&stage, name, "A", VALUE);
    }
    let (url, bearer, of_d) = (served.url.clone(), token(&stage), id(&stage, "d"));
    let (is_replaced, reads) = (AtomicBool::new(false), Arc::new(Mutex::new(Vec::new())));
    let (seen_by, database_of, door_of) = (Arc::clone(&reads), postgres.url(), bao.url());
    let door = Double::start(move |seen| {
        if seen.method == "GET" && seen.target.contains("/data/") {
            // Whoever waited for this with a transaction open would have it open for a while by now.
            std::thread::sleep(std::time::Duration::from_millis(1200));
            let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' \
                        AND xact_start < clock_timestamp() - interval '1 second'";
            seen_by.lock().unwrap().push((seen.target.clone(), super::postgres::psql(&database_of, open).unwrap()));
            if !is_replaced.swap(true, Ordering::SeqCst) {
                let newer = json!({ "data": { "A": "LNYCANARYnewer0123456789" } }).to_string();
                let path = format!("/credential-configs/{of_d}/secrets");
                assert!(api(&url, "POST", &path, &bearer, &newer).status() < 300);
            }
        }
        pass(seen, &door_of)
    });
    let mut flags = bao.by_token(&[&ENGINE[..], &database].concat());
    flags[1] = door.url();
    let json = run(&served.stage, &["backup", "backup.1", "--json"], &flags).ends(0).json();
    assert_eq!(json["missing"], json!([]), "{json}");
    let reads = reads.lock().unwrap().clone();
    let targets: std::collections::BTreeSet<&str> = reads.iter().map(|(target, _)| target.as_str()).collect();
    assert_eq!((reads.len(), targets.len()), (5, 5), "each place is asked for once: {reads:?}");
    assert!(reads.iter().all(|(_, open)| open == "0"), "{reads:?}");
    let other = with(&served, "backup.1");
    run(&other, &["restore", "backup.1"], &[]).ends(0);
    let restored = Served::on(other, &[]);
    let again = restored.client();
    assert_eq!((reveal(&again, "c", "A"), reveal(&again, "d", "A")), (VALUE.into(), "LNYCANARYnewer0123456789".into()));
}
