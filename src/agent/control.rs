//! What a person tells the agent: to lock, to use a key, to end; and how it stands.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AgentError;
use super::caller::{line, said};
use super::frame::{Request, Response};
use crate::os::Env;
use crate::vault::Unlocked;

/// A tool's question is answered without the agent where that is slow. What a person tells it nobody else can do.
const PATIENCE: Duration = Duration::from_secs(10);

/// How an agent stands. The names are part of the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its process.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// Whether it has forgotten the key.
    pub locked: bool,
    /// Whether the system keeps the key from being written to a disk.
    pub memory_locked: bool,
    /// How many questions of tools it has answered.
    pub answered: u64,
    /// How many SSH keys it holds that are not in the vault.
    pub added_ssh_keys: usize,
    /// In how many seconds it ends, whatever happens.
    pub ends_in: u64,
    /// In how many seconds it ends if it is not asked anything; `None` where that does not end it.
    pub idle_ends_in: Option<u64>,
    /// Where ssh asks.
    pub ssh_socket: PathBuf,
}

/// How the agent stands; `None` where none runs.
pub fn status(env: &Env) -> Result<Option<Status>, AgentError> {
    let Some(line) = line(env) else { return Ok(None) };
    match said(line, &Request::Status, PATIENCE) {
        Ok(Response::Status(told)) => serde_json::from_str(&told).map(Some).map_err(|_| AgentError::Silent),
        _ => Err(AgentError::Silent),
    }
}

/// Has the agent forget the key.
pub fn lock(env: &Env) -> Result<(), AgentError> {
    tell(env, &Request::Lock)
}

/// Has the agent use this key.
pub fn unlock(env: &Env, key: &Unlocked) -> Result<(), AgentError> {
    tell(env, &Request::Unlock(key.to_secret()))
}

/// Ends the agent.
pub fn stop(env: &Env) -> Result<(), AgentError> {
    tell(env, &Request::Stop)
}

fn tell(env: &Env, request: &Request) -> Result<(), AgentError> {
    match said(line(env).ok_or(AgentError::None)?, request, PATIENCE) {
        Ok(Response::Done) => Ok(()),
        _ => Err(AgentError::Silent),
    }
}
