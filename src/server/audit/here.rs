//! The audit at the server's own machine, for whoever runs the server: its own chain, which no member reads, and that of
//! any organization, of one that was deleted as well. Whoever looks is told of in the chain that they look at; that of a
//! deleted organization takes no entry any more, and the server's own has it then.

use serde_json::{Map, Value as Json};

use super::api::{Asked, with_logins};
use super::{Actor, Event, SERVER, append, export, server_scope};
use crate::error::Result;
use crate::secret::SecretStore;
use crate::server::db::{Database, DbError, OrgScope, Reach, Row, values};
use crate::server::error::ServeError;
use crate::server::keys::{KeyError, Keys};
use crate::server::serve::open_existing;
use crate::server::settings::Settings;
use crate::server::state::now;

/// A chain, and what it is looked at with.
pub struct Trail {
    db: Database,
    keys: Keys,
    scope: OrgScope,
    /// Whether entries can be added to it.
    goes_on: bool,
}

impl Trail {
    /// The chain of an organization of this identifier; without one, that of the server itself.
    ///
    /// # Errors
    ///
    /// Where there is no such server, its keys are out of reach, or it has no such chain.
    pub fn open(
        settings: &Settings,
        store: &dyn SecretStore,
        organization: Option<&str>,
    ) -> std::result::Result<Self, ServeError> {
        let (db, keys) = open_existing(settings, store)?;
        let scope = organization.map_or_else(server_scope, OrgScope::of);
        let (chains, goes_on) = db.read(Reach::Server, |rows| -> std::result::Result<_, DbError> {
            let text = |mut row: Row| row.text(0);
            let chains = rows.query("SELECT org FROM audit_heads ORDER BY org", &[])?.into_iter().map(text);
            let chains = chains.collect::<std::result::Result<Vec<_>, _>>()?;
            let lives = "SELECT 1 FROM organizations WHERE id = $1 AND deleted IS NULL";
            let lives = rows.first(lives, values![scope.id()])?.is_some();
            Ok((chains, lives || scope.id() == SERVER))
        })?;
        if !goes_on && !chains.iter().any(|chain| chain == scope.id()) {
            return Err(ServeError::NoChain { org: scope.id().to_owned(), known: chains });
        }
        Ok(Self { db, keys, scope, goes_on })
    }

    /// Tells that it is looked at, before anything of it is shown.
    fn tell(&self, action: &str, detail: &str) -> std::result::Result<(), KeyError> {
        let own = server_scope();
        let (chain, object) = if self.goes_on { (&self.scope, "") } else { (&own, self.scope.id()) };
        let event = Event { detail, ..Event::done(action, object) };
        self.db.write(Reach::Server, |rows| append(rows, &self.keys, chain, &Actor::operator(), &event, now()))
    }

    /// So many of the newest entries, the newest first, each with the login of who did it where that is known.
    ///
    /// # Errors
    ///
    /// Where the database does not answer, or it cannot be told in the audit.
    pub fn newest(&self, limit: i64) -> std::result::Result<Vec<Map<String, Json>>, ServeError> {
        self.tell("audit.list", "")?;
        Ok(self.db.read(Reach::Server, |rows| -> std::result::Result<_, DbError> {
            let mut page = Asked::default().page(rows, &self.scope, i64::MAX, limit)?;
            page.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            with_logins(rows, &page)
        })?)
    }

    /// Has every entry from a number on put somewhere as lines of JSON, with the statements that are signed of them.
    ///
    /// # Errors
    ///
    /// As for listing, where there is no such entry, and where what takes the lines fails.
    pub fn export(&self, from: i64, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.tell("audit.export", &from.to_string()).map_err(ServeError::from)?;
        let mut next = Some(from);
        while let Some(from) = next {
            let part = export::part(&self.db, &self.keys, &self.scope, (from, export::MOST), now());
            let part = part.map_err(ServeError::from)?.ok_or(ServeError::NoEntry { sequence: from })?;
            put(part.lines.as_bytes())?;
            next = part.next;
        }
        Ok(())
    }

    /// The public key that exports are checked with, in base 64.
    ///
    /// # Errors
    ///
    /// As for listing.
    pub fn key(&self) -> std::result::Result<String, ServeError> {
        self.tell("audit.key", "")?;
        Ok(self.keys.statement_signer().ok_or(KeyError::None)?.public())
    }
}
