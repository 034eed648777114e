//! What every request works with. A server keeps nothing in memory that another one would need.

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use url::Url;

use super::api::Once;
use super::audit::{Actor, Event, Together};
use super::connector::{Connector, Own};
use super::db::{Database, OrgScope};
use super::engine::Engine;
use super::health;
use super::keys::Keys;
use super::lanes::Lanes;
use super::last_used::LastUsed;
use super::limits::Limits;
use super::problem::Answer;
use super::settings::Proxies;
use super::trust::Issuers;
use super::upstream::Shelf;
use super::vault::OrgVault;
use crate::os::Env;

/// So many passphrases are stretched at a time, so that others are still answered.
const STRETCHING: usize = 2;
/// So many providers are asked at a time.
const ASKING: usize = 16;

/// The server.
pub(crate) struct Server {
    /// The database.
    pub(crate) db: Database,
    /// The keys.
    pub(crate) keys: Keys,
    /// Where secrets rest.
    pub(crate) engine: Engine,
    /// What is told by itself, and what waits for that.
    pub(crate) together: Together,
    /// The address by which people and programs know it.
    pub(crate) public: Url,
    /// The proxies that are believed when they say who asks.
    pub(crate) proxies: Proxies,
    /// Hosts that may be asked although their addresses are private.
    pub(crate) allowed_hosts: Vec<String>,
    /// What nobody has it ask, since it is its own.
    pub(crate) own: Own,
    /// The surroundings of providers: nothing is set in them.
    pub(crate) env: Env,
    /// The keys of outside issuers, as they were fetched last.
    pub(crate) issuers: Issuers,
    /// Who may stretch a passphrase now.
    pub(crate) stretching: Semaphore,
    /// Who may ask a provider now.
    pub(crate) asking: Semaphore,
    /// Who asked how often. Each server counts for itself.
    pub(crate) limits: Limits,
    /// Who may do now what is dear.
    pub(crate) lanes: Lanes,
    /// When tokens and sessions were last used, as far as that is not written yet.
    pub(crate) last_used: LastUsed,
    /// Whether the keeper of secrets answers.
    pub(crate) keeper: health::Keeper,
}

/// Room for so many at a time.
pub(crate) fn room() -> (Semaphore, Semaphore) {
    (Semaphore::new(STRETCHING), Semaphore::new(ASKING))
}

/// The wall clock.
pub(crate) fn now() -> DateTime<Utc> {
    Env::empty().now()
}

impl Server {
    /// The address without a slash at its end: the issuer.
    pub(crate) fn issuer(&self) -> &str {
        self.public.as_str().trim_end_matches('/')
    }

    /// An address of the server's own.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// The vault of an organization, as one caller sees it.
    pub(crate) fn vault(&self, scope: OrgScope, actor: Actor) -> OrgVault<'_> {
        let (db, keys, engine, together) = (&self.db, &self.keys, &self.engine, &self.together);
        OrgVault { db, keys, engine, together, scope, actor, once: Once::default(), now }
    }

    /// The way to addresses that its users name.
    pub(crate) fn connector(&self) -> Connector<'_> {
        Connector::new(&self.allowed_hosts, &self.own)
    }

    /// Where the secrets of the server's own rest at issuers.
    pub(crate) fn shelf(&self) -> Shelf<'_> {
        Shelf { db: &self.db, keys: &self.keys, engine: &self.engine }
    }

    /// Tells what changed nothing.
    pub(crate) fn tell(&self, scope: &OrgScope, actor: &Actor, event: &Event<'_>) -> Answer<()> {
        Ok(self.together.append(&self.db, &self.keys, scope, actor, event, now())?)
    }
}
