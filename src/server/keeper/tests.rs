//! A keeper in memory, and what the client makes of its answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::http::{HeaderMap, Unreachable};
use crate::secret::Reason;

/// What a keeper has that runs in this process.
#[derive(Default)]
pub(crate) struct Inside {
    /// What rests in it: the content and the version of each place.
    pub(crate) kept: BTreeMap<String, (Value, u64)>,
    /// Tokens that count.
    tokens: Vec<String>,
    /// How often somebody logged in, and renewed.
    logins: usize,
    pub(super) renewals: usize,
    /// What every question is answered with, if not as it should be; 0 stands for no answer.
    pub(crate) broken: Option<u16>,
    /// How many seconds a token lives.
    life: u64,
    /// Whether no token lives longer than it was given for.
    pub(super) is_strict: bool,
    wrapped: HashMap<String, String>,
}

/// A keeper in memory, and a client of it.
pub(crate) fn double(login: Login) -> (Arc<Keeper>, Arc<Mutex<Inside>>) {
    let inside = Arc::new(Mutex::new(Inside { life: 60, tokens: vec!["given".into()], ..Inside::default() }));
    let seen = Arc::clone(&inside);
    let http = move |request: Request| answer(&mut seen.lock().unwrap(), &request);
    let address = "http://127.0.0.1:8200/".parse().unwrap();
    let access = Access { address, namespace: None, authorities: None, login };
    (Arc::new(Keeper::by(access, Box::new(http))), inside)
}

/// The same with a part for secrets.
pub(crate) fn kv() -> (Kv, Arc<Mutex<Inside>>) {
    let (keeper, inside) = double(Login::Token(Secret::new("given".into())));
    (Kv { keeper, mount: "secret".into() }, inside)
}

fn answer(inside: &mut Inside, request: &Request) -> Result<Response, Unreachable> {
    let json = |status: u16, body: Value| {
        Ok(Response { status, headers: HeaderMap::new(), body: body.to_string().into_bytes().into() })
    };
    match inside.broken {
        Some(0) => {
            let origin = request.url.origin().ascii_serialization();
            return Err(Unreachable::Connect { origin, cause: Reason("refused".into()) });
        }
        Some(status) => return json(status, json!({ "errors": [] })),
        None => {}
    }
    let body: Value = request.body.as_ref().map_or(Value::Null, |body| serde_json::from_slice(body).unwrap());
    let path = request.url.path().strip_prefix("/v1/").unwrap();
    if path == "auth/approle/login" {
        if body["secret_id"] != "right" {
            return json(400, json!({ "errors": ["invalid role or secret ID"] }));
        }
        inside.logins += 1;
        let token = format!("role-{}", inside.logins);
        inside.tokens.push(token.clone());
        return json(200, json!({ "auth": { "client_token": token, "lease_duration": inside.life } }));
    }
    let token = request.headers.get("x-vault-token").unwrap().to_str().unwrap().to_owned();
    if !inside.tokens.contains(&token) {
        return json(403, json!({ "errors": ["permission denied"] }));
    }
    if path == "auth/token/renew-self" {
        inside.renewals += 1;
        if inside.is_strict {
            return json(400, json!({ "errors": ["lease is not renewable"] }));
        }
        return json(200, json!({ "auth": { "client_token": token, "lease_duration": inside.life } }));
    }
    if let Some(what) = path.strip_prefix("transit/") {
        let (what, _) = what.split_once('/').unwrap();
        if what == "encrypt" {
            let made = format!("vault:v1:{}", inside.wrapped.len());
            inside.wrapped.insert(made.clone(), body["plaintext"].as_str().unwrap().to_owned());
            return json(200, json!({ "data": { "ciphertext": made } }));
        }
        let plain = inside.wrapped.get(body["ciphertext"].as_str().unwrap());
        return plain
            .map_or_else(|| json(400, json!({})), |plain| json(200, json!({ "data": { "plaintext": plain } })));
    }
    let (of, address) = path.strip_prefix("secret/").unwrap().split_once("/lanyard/").unwrap();
    match (of, request.method.as_str()) {
        ("data", "POST") => {
            assert_eq!(body["options"]["cas"], 0, "every write is checked and set");
            if inside.kept.contains_key(address) {
                return json(400, json!({ "errors": ["check-and-set parameter did not match the current version"] }));
            }
            inside.kept.insert(address.to_owned(), (body["data"].clone(), 1));
            json(200, json!({ "data": { "version": 1 } }))
        }
        ("data", "GET") => match inside.kept.get(address) {
            Some((data, version)) => json(200, json!({ "data": { "data": data, "metadata": { "version": version } } })),
            None => json(404, json!({ "errors": [] })),
        },
        ("metadata", "DELETE") => {
            inside.kept.remove(address);
            json(204, Value::Null)
        }
        other => panic!("{other:?}"),
    }
}

fn held(value: &[u8]) -> Held {
    Held::from([("A".to_owned(), value.to_vec())])
}

const PLACE: &str = "instance/org_test/cred_1/1-x";

#[test]
fn a_place_is_written_once_and_tells_of_every_change() {
    let (kv, inside) = kv();
    assert!(kv.get(PLACE).unwrap().is_none());
    kv.put(PLACE, &held(b"1")).unwrap();
    assert_eq!(kv.get(PLACE).unwrap(), Some(held(b"1")));
    assert!(matches!(kv.put(PLACE, &held(b"2")), Err(KeeperError::Refused { status: 400 })));
    for change in [
        |content: &mut (Value, u64)| content.1 = 2,
        |content: &mut (Value, u64)| content.0["form"] = json!("lanyard-server-2"),
        |content: &mut (Value, u64)| content.0["more"] = json!(1),
        |content: &mut (Value, u64)| content.0["secrets"]["A"] = json!("%"),
        |content: &mut (Value, u64)| content.0 = json!(null),
    ] {
        let before = inside.lock().unwrap().kept[PLACE].clone();
        change(inside.lock().unwrap().kept.get_mut(PLACE).unwrap());
        assert!(kv.get(PLACE).unwrap().is_none());
        inside.lock().unwrap().kept.insert(PLACE.into(), before);
    }
    assert!(kv.get(PLACE).unwrap().is_some());
    kv.destroy(PLACE).unwrap();
    kv.destroy(PLACE).unwrap();
    assert!(inside.lock().unwrap().kept.is_empty());
    kv.check("instance").unwrap();
    assert!(inside.lock().unwrap().kept.is_empty(), "a check leaves nothing");
}

#[test]
fn what_is_long_rests_in_pieces() {
    let (kv, inside) = kv();
    let long = Held::from([("A".to_owned(), vec![1; 1 << 20]), ("B".to_owned(), vec![2; 3 << 20])]);
    let address = Kv::address("instance/org_test/cred_1/1", "x", &long).unwrap();
    assert!(matches!(kv.put(PLACE, &long), Err(KeeperError::Address)), "an address counts its places");
    kv.put(&address, &long).unwrap();
    assert!(inside.lock().unwrap().kept.values().all(|(content, _)| content.to_string().len() < 1 << 20));
    assert_eq!(inside.lock().unwrap().kept.len(), 10);
    assert!(kv.get(&address).unwrap() == Some(long));
    inside.lock().unwrap().kept.remove(&format!("{address}.7"));
    assert!(kv.get(&address).unwrap().is_none());
    kv.destroy(&address).unwrap();
    assert!(inside.lock().unwrap().kept.is_empty());
    let longer = Held::from([("A".to_owned(), vec![1; 8 << 20])]);
    assert!(matches!(Kv::address("a/b/c/1", "x", &longer), Err(KeeperError::TooLarge)));
}

#[test]
fn no_row_names_another_part_of_the_keeper() {
    let (kv, _) = kv();
    for address in [
        "",
        "a/b/c",
        "a/b/c/d/e",
        "a/../c/d",
        "a/b/c/..",
        "a//c/d",
        "a/b/c/d?x",
        "a/b/c/%2e",
        "a/b/c/d e",
        "a/b/c/1-x-0",
        "a/b/c/1-x-99",
    ] {
        assert!(matches!(kv.get(address), Err(KeeperError::Address)), "{address}");
        assert!(matches!(kv.destroy(address), Err(KeeperError::Address)), "{address}");
    }
}

#[test]
fn what_stands_in_the_way_is_told_as_what_it_is() {
    let (kv, inside) = kv();
    let broken = |how| {
        inside.lock().unwrap().broken = how;
        kv.get(PLACE)
    };
    assert!(matches!(broken(Some(503)), Err(KeeperError::Sealed)));
    assert!(matches!(broken(Some(0)), Err(KeeperError::Unreachable(_))));
    assert!(matches!(broken(Some(500)), Err(KeeperError::Refused { status: 500 })));
    assert!(matches!(broken(Some(403)), Err(KeeperError::Forbidden)));
    assert!(broken(None).is_ok(), "and the next call tries again");
    inside.lock().unwrap().tokens.clear();
    assert!(matches!(kv.get(PLACE), Err(KeeperError::Forbidden)));
}

#[test]
fn a_role_logs_in_anew_when_its_token_is_refused_and_with_the_secret_of_now() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret-id");
    let write = |text: &str| crate::os::files::replace(&secret, text.as_bytes(), false).unwrap();
    write("right\n");
    let role = Login::AppRole { role: "role".into(), secret: secret.clone(), mount: "approle".into() };
    let (keeper, inside) = double(role);
    let kv = Kv { keeper: Arc::clone(&keeper), mount: "secret".into() };
    kv.put(PLACE, &held(b"1")).unwrap();
    kv.get(PLACE).unwrap();
    assert_eq!(inside.lock().unwrap().logins, 1);
    inside.lock().unwrap().tokens.clear();
    assert_eq!(kv.get(PLACE).unwrap(), Some(held(b"1")));
    assert_eq!(inside.lock().unwrap().logins, 2);
    // A token that ends is not shown any more.
    inside.lock().unwrap().life = 1;
    *keeper.token.lock().unwrap() = login::Tokens::default();
    kv.get(PLACE).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(600));
    kv.get(PLACE).unwrap();
    assert!(inside.lock().unwrap().renewals >= 1, "renewed at half its life");
    *keeper.token.lock().unwrap() = login::Tokens::default();
    write("wrong");
    let refused = kv.get(PLACE).unwrap_err();
    assert!(matches!(refused, KeeperError::NotLetIn { .. }), "{refused}");
    write("right");
    assert!(kv.get(PLACE).unwrap().is_some());
    std::fs::remove_file(&secret).unwrap();
    *keeper.token.lock().unwrap() = login::Tokens::default();
    assert!(matches!(kv.get(PLACE), Err(KeeperError::Empty { .. })));
}

#[test]
fn a_token_in_a_file_is_read_again_when_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let write = |text: &str| crate::os::files::replace(&file, text.as_bytes(), false).unwrap();
    write("given");
    let (keeper, inside) = double(Login::TokenFile(file.clone()));
    let kv = Kv { keeper, mount: "secret".into() };
    kv.put(PLACE, &held(b"1")).unwrap();
    inside.lock().unwrap().tokens = vec!["another".into()];
    write("another");
    assert!(kv.get(PLACE).unwrap().is_some());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        inside.lock().unwrap().tokens.clear();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        *kv.keeper.token.lock().unwrap() = login::Tokens::default();
        assert!(matches!(kv.get(PLACE), Err(KeeperError::File(_))), "others may read it");
    }
}

#[test]
fn a_key_comes_back_from_the_one_that_wraps_it_and_from_no_other() {
    let (keeper, _) = double(Login::Token(Secret::new("given".into())));
    let transit = Transit { keeper, mount: "transit".into(), name: "lanyard".into() };
    let key = crate::vault::seal::Key::random().unwrap();
    let wrapped = transit.wrap(&key).unwrap();
    assert!(!wrapped.contains(key.to_secret().expose()));
    assert!(transit.unwrap(&wrapped).unwrap().to_secret() == key.to_secret());
    assert!(matches!(transit.unwrap("vault:v1:none"), Err(KeeperError::Refused { status: 400 })));
}

/// Where nobody answers, those who ask do not take every thread of the server with them.
#[test]
fn few_wait_for_who_does_not_answer() {
    let (kv, inside) = kv();
    inside.lock().unwrap().broken = Some(0);
    assert!(kv.get(PLACE).is_err());
    let waiting: Vec<_> = (0..PATIENT).map(|_| kv.keeper.enter().ok().unwrap()).collect();
    assert!(matches!(kv.get(PLACE), Err(KeeperError::Busy)));
    drop(waiting);
    inside.lock().unwrap().broken = None;
    assert!(kv.get(PLACE).is_ok());
}
