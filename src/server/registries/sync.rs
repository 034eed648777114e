//! Asking a registry for its charts, through the connector that reaches nothing private. A list comes whole and is then
//! put in the place of the one before, or that one stays.

use tokio::sync::Semaphore;

use super::change::needs;
use super::rows::{Registry, find, replace_charts};
use super::{Chart, Listing, NoList, Place, list_charts as listed};
use crate::credential::{Issued, Material, Metadata};
use crate::provider::{self, Net};
use crate::server::audit::{Event, Outcome};
use crate::server::caller::Caller;
use crate::server::connector::Connector;
use crate::server::credential_configs::reaches_out;
use crate::server::db::values;
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::team::alone;
use crate::vault::{VaultError, usable};

/// So many lists are read at a time: one may be long.
pub(crate) static READING: Semaphore = Semaphore::const_new(4);
/// The longest answer that a list is read from, in bytes.
const LONGEST: usize = 16 << 20;

/// What came of asking.
enum Told {
    Listed(Vec<Chart>),
    Not { word: &'static str, reason: String },
}

impl From<NoList> for Told {
    fn from(failure: NoList) -> Self {
        // The text is the program's own: of whoever answers, or does not, it says nothing.
        Self::Not { word: failure.word(), reason: failure.to_string() }
    }
}

/// Asks, and keeps what comes of it.
pub(crate) fn sync(server: &Server, caller: &Caller, id: &str) -> Answer<Registry> {
    let registry = server.db.read(&caller.scope, |rows| find(rows, &caller.scope, id))?;
    caller.sees(registry.project())?;
    caller.must(server, Permission::RegistriesWrite, registry.project())?;
    let told = ask(server, caller, &registry)?;
    keep(server, caller, &registry, &told)
}

fn ask(server: &Server, caller: &Caller, registry: &Registry) -> Answer<Told> {
    let place = Place::parse(registry.sort, &registry.url).map_err(Problem::internal)?;
    let http = Connector::new(&server.allowed_hosts).reading(LONGEST);
    let net = Net { http: &http, env: &server.env, now: now() };
    let used = match &registry.credential {
        Some(credential) => match login(server, caller, credential, &place, &net)? {
            Ok(used) => Some(used),
            Err(told) => return Ok(told),
        },
        None => None,
    };
    let login = match &used {
        Some((_, Issued { material: Material::Basic { username, password }, .. })) => {
            Some((username.as_str(), password))
        }
        Some(_) => return Ok(not("unsuitable", "the credential is no user name with a password")),
        None => None,
    };
    let token_server = used.as_ref().and_then(|(metadata, _)| metadata.field("token_server"));
    let listing = Listing { place: &place, repositories: &registry.repositories, login, token_server, net: &net };
    Ok(listed(&listing).map_or_else(Told::from, Told::Listed))
}

fn not(word: &'static str, reason: &str) -> Told {
    Told::Not { word, reason: reason.to_owned() }
}

/// The usable form of the credential, as it is now: it may have been replaced since it was taken into use.
fn login(
    server: &Server,
    caller: &Caller,
    id: &str,
    place: &Place,
    net: &Net<'_>,
) -> Answer<Result<(Metadata, Issued), Told>> {
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let metadata = vault.by_id(id)?.ok_or_else(Problem::changed)?.metadata;
    if reaches_out(&vault, &metadata)? {
        caller.must(server, Permission::RegistriesWrite, None)?;
    }
    if metadata.secret_names.is_empty() && provider::of(&metadata).and_then(|of| of.source(&metadata)).is_none() {
        return Ok(Err(not("no_secrets", "no secrets are stored for the credential")));
    }
    if !provider::hosts(&metadata).contains(&place.host()) {
        return Ok(Err(not("other_host", "the credential is for another host, and was not sent to this one")));
    }
    match usable::fresh(&vault, &metadata, net) {
        // Held again: it may have been replaced while it was opened.
        Ok((credential, _)) if !provider::hosts(&credential.metadata).contains(&place.host()) => {
            Err(Problem::changed())
        }
        Ok((credential, issued)) => Ok(Ok((credential.metadata, issued))),
        Err(VaultError::Provider(failure)) => Ok(Err(NoList::from(failure).into())),
        Err(VaultError::Unknown { .. } | VaultError::Circle { .. } | VaultError::Session { .. }) => {
            Ok(Err(not("unsuitable", "the credential is used through another one that is missing or of no use")))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Writes what came of it, unless the registry was changed meanwhile. What does not come whole leaves the list before.
fn keep(server: &Server, caller: &Caller, registry: &Registry, told: &Told) -> Answer<Registry> {
    let (word, reason, outcome) = match told {
        Told::Listed(_) => ("synced", "", Outcome::Done),
        Told::Not { word, reason } => (*word, reason.as_str(), Outcome::Failed),
    };
    let event = Event { outcome, detail: word, ..Event::done("registry.sync", &registry.id) };
    let at = now();
    alone(server, caller, &event, |rows, caller| {
        needs(caller, registry.project())?;
        let changed = rows.execute(
            "UPDATE registries SET tried = $4, outcome = $5, reason = $6 WHERE org = $1 AND id = $2 AND revision = $3",
            values![caller.scope.id(), &registry.id, registry.revision, at.timestamp_millis(), word, reason],
        )?;
        if changed == 0 {
            return Err(Problem::changed());
        }
        if let Told::Listed(charts) = told {
            replace_charts(rows, &caller.scope, &registry.id, charts)?;
            rows.execute(
                "UPDATE registries SET synced = $3, charts = $4 WHERE org = $1 AND id = $2",
                values![
                    caller.scope.id(),
                    &registry.id,
                    at.timestamp_millis(),
                    i64::try_from(charts.len()).unwrap_or_default(),
                ],
            )?;
        }
        find(rows, &caller.scope, &registry.id)
    })
}
