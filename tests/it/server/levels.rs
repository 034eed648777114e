//! The levels of keys, seen from outside: what an earlier version of the program has left under the master key itself is
//! wrapped anew at the next start, whatever happens on the way.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::served::Served;
use crate::crash::{Blow, at_every};
use crate::vaulted::{reveal, store_env};

/// What every place begins with.
const FORM: [&str; 2] = ["lanyard-vault-1", "lanyard-server-1"];

struct Key([u8; 32]);

fn aad(parts: &[&str]) -> Aad<Vec<u8>> {
    let mut encoded = Vec::new();
    for part in FORM.iter().chain(parts) {
        encoded.extend_from_slice(&(part.len() as u64).to_be_bytes());
        encoded.extend_from_slice(part.as_bytes());
    }
    Aad::from(encoded)
}

impl Key {
    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &self.0).unwrap())
    }

    fn unwrap(&self, wrapped: &[u8], parts: &[&str]) -> Option<Self> {
        let (nonce, body) = wrapped.split_at(NONCE_LEN);
        let mut body = body.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        let plain = self.cipher().open_in_place(nonce, aad(parts), &mut body).ok()?;
        Some(Self((&*plain).try_into().unwrap()))
    }

    fn wrap(&self, key: &Self, parts: &[&str]) -> Vec<u8> {
        let (nonce, mut body) = ([7; NONCE_LEN], key.0.to_vec());
        self.cipher().seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(parts), &mut body).unwrap();
        [&nonce[..], &body].concat()
    }

    fn derived(&self, purpose: &str) -> Self {
        let mut bytes = [0; 32];
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, FORM[0].as_bytes());
        let info = [purpose.as_bytes()];
        salt.extract(&self.0).expand(&info, hkdf::HKDF_SHA256).unwrap().fill(&mut bytes).unwrap();
        Self(bytes)
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// Wraps the keys of the organizations under the master key in a file, as an earlier version of the program did, in a
/// database whose own key was not replaced yet. `on_file`: it is SQLite.
pub fn put_under_the_master_key(data: &Path, on_file: bool, sql: &dyn Fn(&str) -> String) {
    let one = |statement: &str| sql(statement).trim().to_owned();
    let master = std::fs::read_to_string(data.join("master.key")).unwrap();
    let master = Key(STANDARD.decode(master.trim()).unwrap().try_into().unwrap());
    let instance = one("SELECT value FROM settings WHERE name = 'instance'");
    let own = STANDARD.decode(one("SELECT wrapped FROM server_keys WHERE version = 0")).unwrap();
    let own = master.unwrap(&own, &["server-key", &instance]).expect("the master key opens the own key");
    let hex = if on_file { "hex(wrapped)" } else { "encode(wrapped, 'hex')" };
    for row in one(&format!("SELECT org || ' ' || version || ' ' || {hex} FROM organization_keys")).lines() {
        let [org, version, wrapped] = row.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (wrapped, parts) = (bytes(wrapped), ["organization-key", &instance, org, version]);
        assert!(master.unwrap(&wrapped, &parts).is_none(), "the master key opens no key of an organization");
        let key = own.derived("keys").unwrap(&wrapped, &parts).expect("the own key does");
        let again = master.wrap(&key, &parts).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let again = if on_file { format!("x'{again}'") } else { format!("decode('{again}', 'hex')") };
        sql(&format!(
            "UPDATE organization_keys SET wrapped = {again}, own_version = NULL WHERE org = '{org}' AND version = {version}"
        ));
    }
}

#[test]
fn whoever_dies_while_keys_are_wrapped_anew_at_the_start_leaves_all_that_there_was() {
    let mut served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", "1");
    let on_file = served.data().join("server.db").exists();
    let left = |served: &Served| served.sql("SELECT COUNT(*) FROM organization_keys WHERE own_version IS NULL");
    assert_eq!(served.end("TERM"), Some(0));
    // Whatever opens the keys to work with them does so first, as a start does.
    let opens = ["server", "audit", "--key", "--data", "server", "--master-key-file", "server/master.key"];
    let mut blows = 0;
    for call in if on_file { &["pwrite64", "fsync"][..] } else { &["sendto"] } {
        blows += at_every(
            call,
            Blow::Kill,
            || {
                put_under_the_master_key(&served.data(), on_file, &|statement| served.sql(statement));
                assert_eq!(left(&served).trim(), "1");
                served.stage.command(&opens)
            },
            |time| {
                served.stage.run(&opens).ends(0);
                assert_eq!(left(&served).trim(), "0", "{call} {time}");
            },
        );
    }
    assert!(blows >= 4, "{blows}");
    served.again();
    assert_eq!(reveal(&stage, "db", "A"), "1");
    store_env(&stage, "more", "A", "2");
    stage.run(&["audit", "verify"]).ends(0);
}
