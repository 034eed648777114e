//! The SSH keys in the vault. Their public halves can be listed while the agent is locked.

use crate::credential::{Material, Metadata};
use crate::http::Client;
use crate::os::Env;
use crate::provider::Net;
use crate::provider::ssh_key::{Signer, blob};
use crate::vault::{Vault, usable};

/// A key in the vault.
pub(super) struct Stored {
    /// The public key.
    pub(super) public: Vec<u8>,
    /// What is known of it.
    pub(super) metadata: Metadata,
    /// Whether a person is to be asked before it is used.
    pub(super) confirm: bool,
}

impl Stored {
    /// What `ssh-add -l` shows beside it.
    pub(super) fn comment(&self) -> &str {
        self.metadata.field("comment").unwrap_or(&self.metadata.name)
    }

    /// The key, opened for one signature; `None` where it does not open.
    pub(super) fn signer(&self, vault: &dyn Vault, env: &Env) -> Option<Signer> {
        let http = Client::new();
        let net = Net { http: &http, env, now: env.now() };
        let (_, issued) = usable::usable(vault, &self.metadata, &net).ok()?;
        match issued.material {
            Material::SshKey { private_key, .. } => Signer::of_text(&private_key),
            _ => None,
        }
    }
}

/// Every key whose private half is in the vault, once: of one that is stored several times, the first, and it is asked
/// about if that was said of any. A vault that cannot be read has none.
pub(super) fn all(vault: &dyn Vault) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    for metadata in vault.list().unwrap_or_default() {
        if metadata.kind.id != "ssh_key" || !metadata.secret_names.contains("private_key") {
            continue;
        }
        let Some(public) = metadata.field("public_key").and_then(blob) else { continue };
        let confirm = metadata.field("confirm").is_some();
        match all.iter_mut().find(|key| key.public == public) {
            Some(same) => same.confirm |= confirm,
            None => all.push(Stored { public, metadata, confirm }),
        }
    }
    all
}
