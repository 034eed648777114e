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
}

impl Stored {
    /// What `ssh-add -l` shows beside it.
    pub(super) fn comment(&self) -> &str {
        self.metadata.field("comment").unwrap_or(&self.metadata.name)
    }

    /// Whether a person is to be asked before it is used.
    pub(super) fn confirm(&self) -> bool {
        self.metadata.field("confirm").is_some()
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

/// Every key whose private half is in the vault. A vault that cannot be read has none.
pub(super) fn all(vault: &dyn Vault) -> Vec<Stored> {
    let all = vault.list().unwrap_or_default();
    all.into_iter()
        .filter(|metadata| metadata.kind.id == "ssh_key" && metadata.secret_names.contains("private_key"))
        .filter_map(|metadata| Some(Stored { public: blob(metadata.field("public_key")?)?, metadata }))
        .collect()
}
