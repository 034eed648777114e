//! Sessions that rest in credentials, renewed while others do something with them.

use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroizing;

use super::together::Machine;
use super::*;
use crate::auth::session::Session;
use crate::auth::session::tests::session;
use crate::credential::{Credential, Fields, Issued, Material, Scope};
use crate::http::{HeaderMap, Request, Response, Unreachable};
use crate::os::Env;
use crate::provider::Net;

/// A new credential with a session that was issued `hours` ago and lives for one.
fn sign_in(token: &str, hours: i64) -> New {
    let issued = Env::empty().now() - chrono::TimeDelta::hours(hours);
    let session = Session { access_token: Secret::new(token.into()), ..session(issued, Some(3600)) };
    let mut raw = Raw::new();
    raw.plain("service", "corp").set(Credential::SESSION, session.to_item());
    New::named("corp", Fields::parse(provider::by_kind("oauth").unwrap().1, raw).unwrap())
}

fn token(issued: Issued) -> String {
    match issued.material {
        Material::Bearer(token) => token.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// The token that the service answers with.
#[expect(clippy::unnecessary_wraps, reason = "the shape of an answer")]
fn renewed() -> Result<Response, Unreachable> {
    let body = r#"{"access_token":"renewed","refresh_token":"r","token_type":"Bearer","expires_in":3600}"#;
    Ok(Response { status: 200, headers: HeaderMap::new(), body: Zeroizing::new(body.as_bytes().to_vec()) })
}

#[test]
fn a_sign_in_that_comes_while_the_old_one_is_renewed_stays() {
    let machine = Machine::new();
    let vault = machine.vault();
    let newest = || vault.find(&Scope::Organization, "corp").unwrap().unwrap();
    vault.put(sign_in("old", 2)).unwrap();
    let asked = AtomicUsize::new(0);
    let http = |_: Request| {
        asked.fetch_add(1, Ordering::SeqCst);
        // Another process puts a new sign-in into the place of the one that is just being renewed.
        let another = machine.vault();
        let present = another.find(&Scope::Organization, "corp").unwrap();
        another.put(New { replaces: present, ..sign_in("new", 0) }).unwrap();
        renewed()
    };
    let env = Env::invented(&machine.dir.path().join("config"), machine.dir.path(), &[]);
    let net = Net { http: &http, env: &env, now: env.now() };
    for _ in 0..2 {
        let (_, issued) = usable::usable(&vault, &newest(), &net).unwrap();
        assert_eq!((asked.load(Ordering::SeqCst), token(issued)), (1, "new".to_owned()));
    }
}

#[test]
fn a_credential_that_was_opened_is_not_opened_again_for_its_session() {
    let machine = Machine::new();
    let vault = machine.vault();
    let stored = vault.put(sign_in("fresh", 0)).unwrap();
    let opened = vault.open(&stored).unwrap();
    // Whoever looked again would find nothing.
    vault.remove(&stored).unwrap();
    let http = |_: Request| renewed();
    let env = Env::invented(&machine.dir.path().join("config"), machine.dir.path(), &[]);
    let net = Net { http: &http, env: &env, now: env.now() };
    let issued = crate::vault::session::access_token(&vault, &opened, &net).unwrap().unwrap();
    assert_eq!(token(issued), "fresh");
}
