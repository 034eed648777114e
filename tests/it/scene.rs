//! A stage and a provider that know each other: service `corp`, profile `work`, and the way to sign in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::canary::{Canary, Sweep};
use crate::idp::Idp;
use crate::keyring::Keyring;
use crate::stage::{Outcome, Running, Stage};
use crate::wire;

/// The configuration in which the profile `work` signs in to this provider and keeps its session in `storage`.
pub fn config(idp: &Idp, storage: &str) -> String {
    let issuer = idp.issuer();
    format!(
        "profile = \"work\"\n\n[profiles.work]\nservice = \"corp\"\nendpoint = \"{issuer}\"\nstorage = \"{storage}\"\n\n\
         [services.corp]\nissuer = \"{issuer}\"\nclient_id = \"cli\"\n\
         scopes = [\"openid\", \"email\", \"offline_access\"]\ntoken_env = [\"CORP_TOKEN\"]\n\n\
         [services.corp.api]\nwhoami = \"/v1/me\"\naccount = \"/email\"\naccount_id = \"/id\"\n\
         projects = \"/v1/projects\"\nproject_name = \"/name\"\n"
    )
}

/// A home whose profile `work` keeps its session in a plain file.
pub fn stage_for(idp: &Idp) -> Stage {
    let stage = Stage::new();
    stage.write_config(&config(idp, "plain"));
    stage
}

/// A home whose profile `work` keeps its session in this keychain.
pub fn stage_with_keyring(idp: &Idp, keyring: &Keyring) -> Stage {
    let stage = Stage::with_keyring(keyring);
    stage.write_config(&config(idp, "keychain"));
    stage
}

/// Starts a sign-in that prints its address and waits.
pub fn begin(stage: &Stage, more: &[&str]) -> Running {
    stage.start(&[&["auth", "login", "--no-browser", "--timeout", "60"], more].concat())
}

/// A whole sign-in, as far as it goes: the browser goes where it is sent, if it is sent anywhere.
pub fn attempt(stage: &Stage, more: &[&str]) -> Outcome {
    let mut running = begin(stage, more);
    if let Some(url) = running.url_unless_it_ends() {
        wire::browse(&url);
    }
    running.finish()
}

/// A sign-in that succeeds.
#[track_caller]
pub fn sign_in(stage: &Stage) {
    attempt(stage, &[]).ends(0);
}

/// A session whose access token has expired; later ones live for an hour.
#[track_caller]
pub fn sign_in_and_expire(stage: &Stage, idp: &Idp) {
    // Long enough for a slow machine to ask whose token it is.
    idp.change(|behaviour| behaviour.expires_in = 3);
    sign_in(stage);
    idp.change(|behaviour| behaviour.expires_in = 3600);
    std::thread::sleep(Duration::from_millis(3100));
    idp.forget();
}

/// The access token as `auth token` prints it.
#[track_caller]
pub fn token(stage: &Stage) -> String {
    stage.run(&["auth", "token"]).ends(0).stdout().trim_end().to_owned()
}

/// Everything in the home that a command may not change behind one's back. Lock files carry their last holder.
pub fn settled(stage: &Stage) -> BTreeMap<PathBuf, Vec<u8>> {
    stage.files().into_iter().filter(|(path, _)| path.extension().is_none_or(|end| end != "lock")).collect()
}

/// Looks for everything that the provider handed out in all that this test's commands wrote, except in `allowed`.
#[track_caller]
pub fn assert_no_leaks(stage: &Stage, idp: &Idp, allowed: &[&str]) {
    let secrets: Vec<Canary> = idp.secrets().iter().map(|secret| Canary::of(secret)).collect();
    let mut sweep = Sweep::for_canaries(&secrets);
    stage.sweep(&mut sweep);
    sweep.assert_only(allowed);
}

/// Waits until something holds, and fails after `patience`.
#[track_caller]
pub fn eventually(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < end, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
