//! Several commands at once on one vault.

use std::collections::BTreeSet;

use crate::stage::{Running, Stage};
use crate::vaulted::{self, data_dir, list, reveal, store_env};

/// A file with a value, outside the home.
fn value(stage: &Stage, name: &str) -> String {
    let path = stage.root().join(name);
    std::fs::write(&path, format!("value of {name}")).unwrap();
    format!("A=@{}", path.display())
}

fn store(stage: &Stage, name: &str) -> Running {
    stage.start(&["credentials", "store", "env", &value(stage, name), "--name", name])
}

#[track_caller]
fn assert_whole(stage: &Stage, names: impl IntoIterator<Item = String>) {
    stage.run(&["vault", "status", "--check"]).ends(0);
    let held: BTreeSet<String> =
        list(stage).iter().map(|credential| credential["name"].as_str().unwrap().to_owned()).collect();
    let names: BTreeSet<String> = names.into_iter().collect();
    assert_eq!(held, names);
    for name in names {
        assert_eq!(reveal(stage, &name, "A"), format!("value of {name}"));
    }
}

#[test]
fn a_vault_that_many_make_at_once_is_one_vault() {
    for _ in 0..3 {
        let stage = vaulted::stage();
        let names: Vec<String> = (0..8).map(|number| format!("n{number}")).collect();
        let running: Vec<Running> = names.iter().map(|name| store(&stage, name)).collect();
        for running in running {
            running.finish().ends(0);
        }
        assert_whole(&stage, names);
        let keys: serde_json::Value =
            serde_json::from_slice(&std::fs::read(stage.config_dir().join("sessions.plain.json")).unwrap()).unwrap();
        assert_eq!(keys["secrets"].as_object().unwrap().len(), 1, "there is one root key");
    }
}

#[test]
fn twenty_writers_at_once_lose_nothing_even_while_the_keys_change() {
    let stage = vaulted::stage();
    std::fs::write(stage.root().join("first"), "value of first").unwrap();
    store_env(&stage, "first", "A", "value of first");
    let names: Vec<String> = (0..20).map(|number| format!("n{number:02}")).collect();
    let mut running: Vec<Running> = Vec::new();
    for (number, name) in names.iter().enumerate() {
        running.push(store(&stage, name));
        if number % 5 == 2 {
            running.push(stage.start(&["vault", "rekey"]));
            running.push(stage.start(&["credentials", "update", "first", "--tag", &format!("t{number}")]));
            running.push(stage.start(&["vault", "backup", &format!("../b{number}.db")]));
        }
    }
    for running in running {
        running.finish().ends(0);
    }
    assert_whole(&stage, names.into_iter().chain(["first".to_owned()]));
    let first = list(&stage).into_iter().find(|credential| credential["name"] == "first").unwrap();
    assert_eq!(first["tags"].as_array().unwrap().len(), 4, "no tag was lost");
    let left: Vec<_> = std::fs::read_dir(data_dir(&stage)).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn of_two_who_replace_the_same_values_one_is_told() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "old");
    let updates: Vec<Running> = (0..6)
        .map(|number| {
            let value = value(&stage, &format!("u{number}"));
            stage.start(&["credentials", "update", "db", "--field", &value])
        })
        .collect();
    let mut won = 0;
    for update in updates {
        let outcome = update.finish();
        match outcome.code {
            Some(0) => won += 1,
            _ => assert!(outcome.stderr().contains("was changed by somebody else meanwhile"), "{outcome}"),
        }
    }
    assert!(won >= 1);
    assert!(reveal(&stage, "db", "A").starts_with("value of u"));
    stage.run(&["vault", "status", "--check"]).ends(0);
}
