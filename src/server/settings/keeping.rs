//! Where the secrets and the master key are kept, where that is not in the database and in the secret store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Found, Given};
use crate::http::parse_url;
use crate::os::{Env, files};
use crate::secret::Secret;
use crate::server::engine::Engine;
use crate::server::error::ServeError;
use crate::server::keeper::{Access, Keeper, Kv, Login, Transit};

/// Where roles, secrets and keys are, unless they are said to be elsewhere.
const APPROLE: &str = "approle";
const MOUNT: &str = "secret";
const TRANSIT: &str = "transit";
/// The token, which no command line holds.
const TOKEN: &str = "LANYARD_SERVE_VAULT_TOKEN";

/// Looks for a setting in every place that it may be in.
pub(super) type Find<'f> = dyn Fn(&'static str, fn(&Given) -> Option<&String>) -> Option<Found> + 'f;

/// Where the secrets and the master key are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keeping {
    /// Where secrets rest.
    pub(crate) engine: Engine,
    /// The key that wraps the master key.
    pub(crate) transit: Option<Transit>,
    /// The file of the master key; without one, it rests in the secret store.
    pub(crate) master_key_file: Option<PathBuf>,
    /// The file of the passphrase that the master key is made of.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Whether the server waits for its master key, and serves nobody until it has it.
    pub(crate) waits: bool,
}

impl Keeping {
    /// Reads what was given.
    pub(super) fn read(find: &Find<'_>, env: &Env) -> Result<Self, ServeError> {
        let keeper = keeper(find, env)?;
        let needed = |found: &Found| found.bad("it needs `--vault-address` beside it");
        let is_outside = match find("secrets-engine", |given| given.secrets_engine.as_ref()) {
            None => false,
            Some(found) => match (found.value.as_str(), &keeper) {
                ("envelope", _) => false,
                ("vault", Some(_)) => true,
                ("vault", None) => return Err(needed(&found)),
                _ => return Err(found.bad("it is neither `envelope` nor `vault`")),
            },
        };
        let mount = find("vault-mount", |given| given.vault_mount.as_ref());
        let mount = mount.map_or_else(|| MOUNT.to_owned(), |found| found.value);
        let kv = keeper.clone().map(|keeper| Kv { keeper, mount });
        let wrapping = find("master-key-transit", |given| given.master_key_transit.as_ref());
        let transit = match (&wrapping, keeper) {
            (None, _) => None,
            (Some(found), None) => return Err(needed(found)),
            (Some(found), Some(keeper)) => {
                let (mount, name) = found.value.rsplit_once('/').unwrap_or((TRANSIT, &found.value));
                if mount.is_empty() || name.is_empty() {
                    return Err(found.bad("it is no name of a key"));
                }
                Some(Transit { keeper, mount: mount.to_owned(), name: name.to_owned() })
            }
        };
        let master_key_file = find("master-key-file", |given| given.master_key_file.as_ref());
        if let (Some(found), Some(_)) = (&master_key_file, &transit) {
            return Err(found.bad("the master key is wrapped by `--master-key-transit`; give one of the two"));
        }
        let passphrase_file = find("master-passphrase-file", |given| given.master_passphrase_file.as_ref());
        if let (Some(found), true) = (&passphrase_file, master_key_file.is_some() || transit.is_some()) {
            let problem = "the master key rests elsewhere: give `--master-key-file`, `--master-key-transit` or this, and \
                           one of them alone";
            return Err(found.bad(problem));
        }
        let passphrase_file = passphrase_file.map(|found| found.path());
        let waits = match find("sealed-start", |given| given.sealed_start.as_ref()) {
            None => transit.is_some(),
            Some(found) => match found.value.as_str() {
                "yes" => true,
                "no" => false,
                _ => return Err(found.bad("it is neither `yes` nor `no`")),
            },
        };
        let master_key_file = master_key_file.map(|found| found.path());
        Ok(Self { engine: Engine::new(kv, is_outside), transit, master_key_file, passphrase_file, waits })
    }
}

/// The keeper, where one is named.
fn keeper(find: &Find<'_>, env: &Env) -> Result<Option<Arc<Keeper>>, ServeError> {
    let Some(address) = find("vault-address", |given| given.vault_address.as_ref()) else { return Ok(None) };
    let url = parse_url(&address.value).map_err(|problem| address.bad(&problem.to_string()))?;
    if url.query().is_some() {
        return Err(address.bad("it has a query"));
    }
    let authorities = find("vault-ca-file", |given| given.vault_ca_file.as_ref());
    let authorities = authorities.map(|found| pem(&found)).transpose()?;
    let token_file = find("vault-token-file", |given| given.vault_token_file.as_ref());
    let role = find("vault-role-id", |given| given.vault_role_id.as_ref());
    let secret_file = find("vault-secret-id-file", |given| given.vault_secret_id_file.as_ref());
    let mount = find("vault-auth-mount", |given| given.vault_auth_mount.as_ref());
    let login = match (role, secret_file, token_file, env.var(TOKEN)) {
        (Some(role), Some(secret), None, None) => Login::AppRole {
            role: role.value.clone(),
            secret: secret.path(),
            mount: mount.map_or_else(|| APPROLE.to_owned(), |found| found.value),
        },
        (None, None, Some(file), None) => Login::TokenFile(file.path()),
        (None, None, None, Some(token)) => Login::Token(Secret::new(token.to_owned())),
        (Some(one), None, ..) => return Err(one.bad("it needs `--vault-secret-id-file` beside it")),
        (None, Some(one), ..) => return Err(one.bad("it needs `--vault-role-id` beside it")),
        (None, None, None, None) => {
            let problem = "nothing lets the server in: give `--vault-token-file`, or `--vault-role-id` and \
                           `--vault-secret-id-file`";
            return Err(address.bad(problem));
        }
        _ => return Err(address.bad(&format!("give a role, a file of a token or {TOKEN}, and one of them alone"))),
    };
    let namespace = find("vault-namespace", |given| given.vault_namespace.as_ref()).map(|found| found.value);
    Ok(Some(Arc::new(Keeper::new(Access { address: url, namespace, authorities, login }))))
}

fn pem(found: &Found) -> Result<String, ServeError> {
    let path: &Path = &found.path();
    let bytes = files::read(path).map_err(|failure| found.bad(&failure.to_string()))?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|text| text.contains("-----BEGIN CERT"));
    text.ok_or_else(|| found.bad("it holds no certificate in PEM"))
}
