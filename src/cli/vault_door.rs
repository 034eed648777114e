//! The way to the vault: the one of this machine, with its root key in the store that the profile chose.

use chrono::{DateTime, Utc};

use crate::cli::{Doors, store};
use crate::config::Profile;
use crate::provider::Net;
use crate::vault::Local;

/// The vault of this machine. Nothing is opened yet.
pub(super) fn local<'a>(doors: &'a Doors<'_>, profile: &Profile, now: &'a dyn Fn() -> DateTime<Utc>) -> Local<'a> {
    let opener = Box::new(move |choice| store::open(doors, choice));
    Local::new(&doors.env.data_dir(), profile.storage.value, opener, now)
}

/// The doors that providers take.
pub(super) fn net<'a>(doors: &'a Doors<'_>) -> Net<'a> {
    Net { http: doors.http, env: doors.env, now: doors.env.now() }
}
