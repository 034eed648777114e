//! A long way through the server at random, beside a model of what it should hold, with sudden deaths on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Dice, ask, audit_is_whole, key, listed};
use super::postgres::Postgres;
use super::served::Served;
use crate::wire::Message;

/// What is known of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
struct One {
    id: String,
    value: String,
    note: String,
}

/// What the server should hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    credentials: BTreeMap<String, One>,
    invitations: BTreeSet<String>,
    keys: BTreeSet<String>,
}

/// Something that is done, with the answer that it has where nothing goes wrong.
#[derive(Debug, Clone)]
enum Act {
    Create(String, String),
    Replace(String, String),
    Amend(String, String),
    Delete(String),
    Read(String),
    Invite,
    Withdraw(String),
    MakeKey,
    RevokeKey(String),
}

impl Act {
    fn pick(dice: &mut Dice, model: &Model, number: usize) -> Self {
        let value = format!("value-{number}");
        let name = model.credentials.keys().nth(dice.below(model.credentials.len().max(1))).cloned();
        let any = |dice: &mut Dice, of: &BTreeSet<String>| of.iter().nth(dice.below(of.len().max(1))).cloned();
        let create = Self::Create(format!("n{number}"), value.clone());
        match (dice.below(12), name) {
            (0..=2, _) | (3..=8, None) => create,
            (3 | 4, Some(name)) => Self::Replace(name, value),
            (5, Some(name)) => Self::Amend(name, value),
            (6, Some(name)) => Self::Delete(name),
            (7 | 8, Some(name)) => Self::Read(name),
            (9, _) => any(dice, &model.invitations).map_or(Self::Invite, Self::Withdraw),
            (10, _) => any(dice, &model.keys).map_or(Self::MakeKey, Self::RevokeKey),
            _ => {
                if dice.below(2) == 0 {
                    Self::Invite
                } else {
                    Self::MakeKey
                }
            }
        }
    }

    fn ask(&self, url: &str, bearer: &str, model: &Model) -> Option<Message> {
        let one = |name: &String| format!("/credential-configs/{}", model.credentials[name].id);
        let (method, path, body) = match self {
            Self::Create(name, value) => {
                let new = json!({ "name": name, "kind": "generic_env", "data": { "A": value } });
                ("POST", "/credential-configs".to_owned(), new.to_string())
            }
            Self::Replace(name, value) => {
                ("POST", format!("{}/secrets", one(name)), json!({ "data": { "A": value } }).to_string())
            }
            Self::Amend(name, note) => ("PATCH", one(name), json!({ "note": note }).to_string()),
            Self::Delete(name) => ("DELETE", one(name), String::new()),
            Self::Read(name) => ("GET", format!("{}/secrets", one(name)), String::new()),
            Self::Invite => {
                ("POST", "/invitations".into(), json!({ "role": "member", "for": "bob", "note": "n" }).to_string())
            }
            Self::Withdraw(id) => ("DELETE", format!("/invitations/{id}"), String::new()),
            Self::MakeKey => {
                let wanted = json!({ "name": "k", "permissions": ["credentials.read"] });
                ("POST", "/api-keys".into(), wanted.to_string())
            }
            Self::RevokeKey(id) => ("DELETE", format!("/api-keys/{id}"), String::new()),
        };
        ask(url, method, &path, bearer, &body)
    }

    /// What the server holds afterwards. What it makes up itself is in its answer.
    fn done(&self, model: &mut Model, answer: &Value) {
        let id = || answer["id"].as_str().unwrap_or_default().to_owned();
        match self {
            Self::Create(name, value) => {
                let one = One { id: id(), value: value.clone(), note: String::new() };
                model.credentials.insert(name.clone(), one);
            }
            Self::Replace(name, value) => model.credentials.get_mut(name).unwrap().value.clone_from(value),
            Self::Amend(name, note) => model.credentials.get_mut(name).unwrap().note.clone_from(note),
            Self::Delete(name) => drop(model.credentials.remove(name)),
            Self::Read(_) => {}
            Self::Invite => drop(model.invitations.insert(id())),
            Self::Withdraw(id) => drop(model.invitations.remove(id)),
            Self::MakeKey => drop(model.keys.insert(id())),
            Self::RevokeKey(id) => drop(model.keys.remove(id)),
        }
    }
}

/// What the server holds.
fn held(url: &str, bearer: &str, own: &str) -> Model {
    let mut model = Model::default();
    for (name, one) in listed(url, bearer) {
        let id = one["id"].as_str().unwrap().to_owned();
        let opened = ask(url, "GET", &format!("/credential-configs/{id}/secrets"), bearer, "").unwrap();
        assert_eq!(opened.status(), 200, "{one}: {}", opened.text());
        let value = opened.json()["data"]["A"].as_str().unwrap().to_owned();
        let note = one["note"].as_str().unwrap_or_default().to_owned();
        model.credentials.insert(name, One { id, value, note });
    }
    let ids = |path: &str| -> BTreeSet<String> {
        let all = ask(url, "GET", path, bearer, "").unwrap().json();
        all["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    model.invitations = ids("/invitations?limit=200");
    model.keys = ids("/api-keys");
    model.keys.retain(|id| !own.contains(id.as_str()));
    model
}

/// The states that there may be when nobody was told whether an act was done: the one before, or the one after, in which
/// what the server made up is as it is found.
fn either(before: &Model, act: &Act, found: &Model) -> [Model; 2] {
    let made = match act {
        Act::Create(name, _) => found.credentials.get(name).map(|one| one.id.clone()),
        Act::Invite => found.invitations.difference(&before.invitations).next().cloned(),
        Act::MakeKey => found.keys.difference(&before.keys).next().cloned(),
        _ => None,
    };
    let mut after = before.clone();
    act.done(&mut after, &json!({ "id": made }));
    [before.clone(), after]
}

fn go(mut served: Served, acts: usize, rotate: &[&str]) {
    let bearer = key(&served);
    let (mut dice, mut model) = (Dice::new(), Model::default());
    let (mut deaths, mut acknowledged) = (0, 0);
    for number in 0..acts {
        if dice.below(60) == 0 {
            served.stage.run(rotate).ends(0);
        }
        let act = Act::pick(&mut dice, &model, number);
        if dice.below(12) != 0 {
            let answer = act.ask(&served.url, &bearer, &model).expect("an answer");
            assert!(answer.status() < 300, "{act:?}: {} {}", answer.status(), answer.text());
            if let Act::Read(name) = &act {
                assert_eq!(answer.json()["data"]["A"], model.credentials[name].value.as_str(), "{name}");
            }
            act.done(&mut model, &answer.json());
            acknowledged += 1;
            continue;
        }
        // It dies while it is being asked.
        deaths += 1;
        let wait = Duration::from_micros(300 * dice.below(30) as u64);
        let url = served.url.clone();
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| act.ask(&url, &bearer, &model));
            std::thread::sleep(wait);
            served.end("KILL");
            asking.join().unwrap()
        });
        served.again();
        let found = held(&served.url, &bearer, &bearer);
        match answer.filter(|answer| answer.status() < 300) {
            Some(answer) => {
                act.done(&mut model, &answer.json());
                assert_eq!(found, model, "after {act:?}, which was acknowledged");
            }
            None => assert!(either(&model, &act, &found).contains(&found), "after {act:?}: {found:?}, not {model:?}"),
        }
        model = found;
    }
    assert_eq!(held(&served.url, &bearer, &bearer), model);
    assert!(deaths > 2 && acknowledged > acts / 2, "{deaths} deaths, {acknowledged} acts");
    audit_is_whole(&served);
}

const ROTATE: [&str; 6] = ["server", "rotate-key", "--data", "server", "--master-key-file", "server/master.key"];

#[test]
fn whatever_is_done_and_whenever_it_dies_it_holds_what_it_should() {
    go(Served::new(&[]), 300, &ROTATE);
}

#[test]
fn whatever_is_done_and_whenever_it_dies_postgresql_holds_what_it_should() {
    let postgres = Postgres::start();
    let url = postgres.url();
    go(Served::new(&["--database", &url]), 200, &[&ROTATE[..], &["--database", &url]].concat());
}
