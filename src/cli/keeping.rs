//! The flags that say where the team's server keeps secrets and its master key, for all of its commands.

use crate::server::Given;

/// Where secrets and the master key rest, where that is not in the database and in the secret store.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Where secrets and keys rest")]
pub(super) struct Keeping {
    /// The file of the password of a PostgreSQL whose URL holds none
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    database_password_file: Option<String>,
    /// Make the master key of the passphrase in this file, which has 15 characters at least and is its owner's alone
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    master_passphrase_file: Option<String>,
    /// Where new secrets rest: `envelope`, in the database, or `vault`, in OpenBao or HashiCorp Vault [default: envelope]
    #[arg(long, value_name = "ENGINE")]
    secrets_engine: Option<String>,
    /// The address of OpenBao or HashiCorp Vault: https, or http on loopback
    #[arg(long, value_name = "URL")]
    vault_address: Option<String>,
    /// Where its KV version 2 is mounted [default: secret]
    #[arg(long, value_name = "PATH")]
    vault_mount: Option<String>,
    /// The namespace in it
    #[arg(long, value_name = "NAME")]
    vault_namespace: Option<String>,
    /// The authorities that count for it instead of the system's, in PEM
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    vault_ca_file: Option<String>,
    /// The file of the token that lets the server in; or the variable LANYARD_SERVE_VAULT_TOKEN holds it
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    vault_token_file: Option<String>,
    /// The AppRole that lets the server in, instead of a token
    #[arg(long, value_name = "ID")]
    vault_role_id: Option<String>,
    /// The file of the secret ID of that role; it is read again at every login
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    vault_secret_id_file: Option<String>,
    /// Where AppRole is mounted [default: approle]
    #[arg(long, value_name = "PATH")]
    vault_auth_mount: Option<String>,
    /// Keep the master key in the database, wrapped by this key of its transit engine; `MOUNT/KEY` where that is not
    /// mounted at `transit`
    #[arg(long, value_name = "KEY")]
    master_key_transit: Option<String>,
}

impl Keeping {
    /// Adds them to what else was given.
    pub(super) fn given(self, given: Given) -> Given {
        Given {
            database_password_file: self.database_password_file,
            master_passphrase_file: self.master_passphrase_file,
            secrets_engine: self.secrets_engine,
            vault_address: self.vault_address,
            vault_mount: self.vault_mount,
            vault_namespace: self.vault_namespace,
            vault_ca_file: self.vault_ca_file,
            vault_token_file: self.vault_token_file,
            vault_role_id: self.vault_role_id,
            vault_secret_id_file: self.vault_secret_id_file,
            vault_auth_mount: self.vault_auth_mount,
            master_key_transit: self.master_key_transit,
            ..given
        }
    }
}
