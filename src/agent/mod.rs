//! The agent: a process that holds the vault's key for some hours, answers helpers at once, and signs for ssh.
//!
//! It is a way to the vault and never a way around it. It serves its own user alone, answers nothing that a helper
//! started by hand would not answer, and reads every row anew, so that what was changed or removed is never served
//! stale. Of the vault it keeps the key, in locked memory; opened credentials it keeps for the length of a call.
//!
//! A caller ([`Caller`]) that finds no agent, a locked one, or one of another version does the work itself.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::os::Env;
use crate::text::hex;

mod caller;
mod control;
mod door;
mod error;
mod fields;
mod frame;
mod line;
mod peer;
mod place;
mod serve;
mod ssh;
mod state;
mod work;

pub use caller::Caller;
pub use control::{Status, lock, status, stop, unlock};
pub use error::AgentError;
pub use serve::{Agent, Life, Running};

/// The variables of a caller that a helper or a provider may need to know. A helper that asks for another one is not
/// served by the agent; nothing that may hold a secret stands here.
fn is_told(name: &str) -> bool {
    const EXACT: [&str; 6] = [
        "KUBERNETES_EXEC_INFO",
        "GIT_TERMINAL_PROMPT",
        "SSH_ASKPASS_PROMPT",
        "GCM_INTERACTIVE",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "CLOUDSDK_AUTH_TOKEN_HOST",
    ];
    const BEGINNING: [&str; 3] = ["AWS_ENDPOINT_URL", "CLOUDSDK_API_ENDPOINT_OVERRIDES_", "GOOGLE_EXTERNAL_ACCOUNT_"];
    EXACT.contains(&name) || BEGINNING.iter().any(|beginning| name.starts_with(beginning))
}

/// The variables that say which way a process goes to the network, and whom it trusts there.
pub const WAY_OUT: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// The digest of the values of [`WAY_OUT`]: the address of a proxy may hold a password.
fn way_out(env: &Env) -> String {
    let mut digest = Sha256::new();
    for (name, value) in WAY_OUT.iter().filter_map(|name| Some((name, env.var(name)?))) {
        digest.update([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
    }
    hex(&digest.finalize())
}

/// A mutex that a panic has poisoned holds nothing half-done here.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The socket that ssh asks: of the agent that runs, else where the next one will listen.
pub fn ssh_socket(env: &Env) -> PathBuf {
    let running = place::Place::all(env).find(|place| place.ssh.exists());
    running.unwrap_or_else(|| place::Place::coming(env)).ssh
}
