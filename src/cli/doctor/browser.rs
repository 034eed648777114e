//! Whether a browser can be opened from here; none is opened.

use super::Finding;
use crate::cli::browser;
use crate::os::Env;

const CHECK: &str = "browser";

/// A tick where a sign-in can open the browser, else what to do instead. A machine without one is not broken.
pub(super) fn check(env: &Env) -> Finding {
    let ways_on = "sign in with `lanyard auth login --device`, or open the address that it prints on another machine";
    match browser::obstacle(env) {
        None => Finding::ok(CHECK, "can be opened"),
        Some(obstacle) => {
            Finding { mend: Some(ways_on.into()), ..Finding::skipped(CHECK, format!("cannot be opened: {obstacle}")) }
        }
    }
}
