//! The programs that may ask to be let in: the command line, which is everybody's, and those that an organization has
//! registered (`clients.rs`), which are for its members. None of them can keep a secret.

use std::sync::Arc;

use super::error::{Given, refused};
use crate::http::Url;
use crate::server::bridge::blocking;
use crate::server::clients::{self, Known, redirect};
use crate::server::db::{DbError, OrgScope, Reach, Rows};
use crate::server::people::Member;
use crate::server::problem::Answer;
use crate::server::state::Server;

/// The identifier of the command line.
const OWN: &str = "lanyard";
/// What a person calls it.
const TITLE: &str = "Lanyard on a command line";

/// A program.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Its identifier.
    pub(super) id: String,
    /// What a person calls it.
    pub(super) title: String,
    /// What was registered of it; nothing of the command line.
    registered: Option<Known>,
}

impl Client {
    fn own() -> Self {
        Self { id: OWN.into(), title: TITLE.into(), registered: None }
    }

    fn of(known: Known) -> Self {
        Self { id: known.program.id.clone(), title: known.program.name.clone(), registered: Some(known) }
    }

    /// The organization that has registered it, by its name.
    pub(super) fn vouched_for_by(&self) -> Option<&str> {
        self.registered.as_ref().map(|known| known.organization.as_str())
    }

    /// What the audit tells of it besides its identifier: its name, where that can be another one day.
    pub(super) fn told(&self) -> &str {
        if self.registered.is_some() { &self.title } else { "" }
    }

    /// The same, with what else there is to tell.
    pub(super) fn told_with(&self, what: &str) -> String {
        match self.told() {
            "" => what.to_owned(),
            name => format!("{name}: {what}"),
        }
    }

    /// Whether it may be let into an organization.
    fn is_for(&self, scope: &OrgScope) -> bool {
        self.registered.as_ref().is_none_or(|known| known.scope == *scope)
    }

    /// Those of the organizations that somebody is in which it may be let into.
    pub(super) fn choice<'m>(&self, members: &'m [Member]) -> Vec<&'m Member> {
        members.iter().filter(|member| self.is_for(&member.scope)).collect()
    }

    /// The address that its answer may be sent to, where it asks for that one.
    pub(super) fn redirect(&self, asked: &str) -> Option<Url> {
        match &self.registered {
            None => redirect::loopback(asked),
            Some(known) => known.program.redirects.iter().find_map(|address| redirect::fits(address, asked)),
        }
    }

    /// Whether it may be let in by a code that a person types.
    pub(super) fn is_a_device(&self) -> bool {
        self.registered.as_ref().is_none_or(|known| known.program.device)
    }

    /// Whether a job may sign in by it. A program that was registered is let in by a person.
    pub(super) fn is_for_jobs(&self) -> bool {
        self.registered.is_none()
    }

    /// Holds it until the transaction ends, so that whatever it is given ends with it; `false` where it was deleted
    /// meanwhile. It comes before its codes and tokens, as it does where it is deleted.
    pub(super) fn hold(&self, rows: &mut dyn Rows) -> Result<bool, DbError> {
        self.registered.as_ref().map_or(Ok(true), |known| clients::hold(rows, &known.scope, &self.id))
    }
}

/// The program of an identifier, within a transaction.
pub(super) fn read(rows: &mut dyn Rows, id: &str) -> Result<Option<Client>, DbError> {
    if id == OWN {
        return Ok(Some(Client::own()));
    }
    // No database is asked about what cannot be one.
    if !clients::is_id(id) {
        return Ok(None);
    }
    Ok(clients::known(rows, id)?.map(Client::of))
}

/// The program of an identifier.
pub(super) async fn find(server: &Arc<Server>, id: Option<&str>) -> Answer<Option<Client>> {
    match id {
        Some(id) if clients::is_id(id) => {
            let id = id.to_owned();
            blocking(server, move |server| Ok(server.db.read(Reach::Server, |rows| read(rows, &id))?)).await
        }
        id => Ok((id == Some(OWN)).then(Client::own)),
    }
}

/// The same for whoever is told that there is none.
pub(super) async fn known(server: &Arc<Server>, id: Option<&str>) -> Given<Client> {
    match find(server, id).await? {
        Some(client) => Ok(client),
        None => unknown(),
    }
}

/// What a program is told that nobody knows.
pub(super) fn unknown<T>() -> Given<T> {
    refused("invalid_client", "this client is not known")
}
