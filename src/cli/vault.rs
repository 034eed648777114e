//! `lanyard vault …`: the place where the credentials of this machine live, its keys and its copies.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::auth::login::storage_parser;
use crate::cli::given::{self, Form, Given, Values};
use crate::cli::{Doors, active, vault_door};
use crate::config::Profile;
use crate::error::{Code, Failure, Result};
use crate::secret::{Choice, Secret};
use crate::text::clean;
use crate::vault::{About, Local, VaultError};

/// Look after the vault
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Show where the vault is, where its root key rests and how much it holds
    ///
    /// Asks no keychain unless --check is given. With --json: an object with path, exists, id, storage, credentials,
    /// recovery_key and, with --check, broken: the names of the credentials that do not open.
    #[command(after_help = "Example:\n  lanyard vault status --check")]
    Status {
        /// Also read every page, and open the vault and every credential in it
        #[arg(long)]
        check: bool,
    },
    /// Replace every key of the vault, or move its root key to another store
    ///
    /// Backups of before then open with the recovery key of their time alone, and the vault wants a new one.
    #[command(after_help = "Examples:\n  lanyard vault rekey\n  lanyard vault rekey --storage file")]
    Rekey {
        /// Where to keep the new root key [default: where the present one is]
        #[arg(long, value_name = "STORE", value_parser = storage_parser())]
        storage: Option<Choice>,
    },
    /// Write a copy of the vault to a new file
    ///
    /// The copy holds no key. It opens with the root key of this machine until the next `lanyard vault rekey`, and
    /// anywhere with the recovery key. Names and other fields that are no secret stand in it readable. With --json: an
    /// object with path, credentials and recovery_key.
    #[command(after_help = "Example:\n  lanyard vault backup ~/backups/vault-2026-01.db")]
    Backup {
        /// The file to write
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Bring a backup back
    ///
    /// Nothing here changes before the backup is found whole and opens. With --json: an object with credentials and
    /// kept, the copy of what was replaced.
    #[command(after_help = "Examples:\n  lanyard vault restore vault-2026-01.db\n  \
lanyard vault restore vault-2026-01.db --recovery-key @key.txt --replace")]
    Restore {
        /// The file that `lanyard vault backup` wrote
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Replace the credentials that are here; a copy of them is kept beside
        #[arg(long)]
        replace: bool,
        /// The recovery key: - reads stdin and @FILE a file; at a terminal it is asked for if it is needed
        #[arg(long, value_name = "KEY", value_parser = given::parser())]
        recovery_key: Option<Given>,
        /// Where to keep the root key after a recovery [default: the profile's storage]
        #[arg(long, value_name = "STORE", value_parser = storage_parser())]
        storage: Option<Choice>,
    },
    /// Make a recovery key and print it, once
    ///
    /// Whoever has it and a copy of the vault has every credential in it: keep it on paper or in another safe. One that
    /// was made before opens the backups of before alone.
    #[command(after_help = "Example:\n  lanyard vault recovery-key")]
    RecoveryKey,
    /// Open the vault with its recovery key when its root key is lost
    ///
    /// A new root key is made and kept; the recovery key stays good.
    #[command(after_help = "Examples:\n  lanyard vault recover\n  \
lanyard vault recover --recovery-key @key.txt --storage file")]
    Recover {
        /// The recovery key: - reads stdin and @FILE a file; at a terminal it is asked for
        #[arg(long, value_name = "KEY", value_parser = given::parser())]
        recovery_key: Option<Given>,
        /// Where to keep the new root key [default: the profile's storage]
        #[arg(long, value_name = "STORE", value_parser = storage_parser())]
        storage: Option<Choice>,
    },
}

const KEY_FLAG: &str = "--recovery-key";

/// A recovery key stands on the command line, and so in the shell's history and in the list of processes.
#[derive(Debug, thiserror::Error)]
#[error("a recovery key is not given on the command line")]
struct KeyInSight;

impl Failure for KeyInSight {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(format!("give {KEY_FLAG} - (stdin) or {KEY_FLAG} @FILE; if others may have seen it, make a new one"))
    }
}

/// Some credentials do not open.
#[derive(Debug, thiserror::Error)]
#[error("{} of the credentials do not open: {}", .0.len(), .0.join(", "))]
struct Broken(Vec<String>);

impl Failure for Broken {
    fn code(&self) -> Code {
        Code::Invalid
    }

    fn mend(&self) -> Option<String> {
        Some("store them again with `lanyard credentials update`, or delete them".into())
    }
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (_, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::local(doors, &profile, &clock);
        let this = Work { doors, vault: &vault, profile: &profile };
        match self {
            Self::Status { check } => this.status(check),
            Self::Rekey { storage } => this.rekey(storage),
            Self::Backup { file } => this.backup(&file),
            Self::Restore { file, replace, recovery_key, storage } => {
                this.restore(&file, replace, recovery_key.as_ref(), storage)
            }
            Self::RecoveryKey => this.recovery_key(),
            Self::Recover { recovery_key, storage } => this.recover(recovery_key.as_ref(), storage),
        }
    }
}

/// What each of the commands works with.
struct Work<'w, 'v> {
    doors: &'w Doors<'w>,
    vault: &'w Local<'v>,
    profile: &'w Profile,
}

impl Work<'_, '_> {
    fn status(&self, check: bool) -> Result<()> {
        let Some(about) = self.vault.about()? else {
            if self.wants_json() {
                return self.doors.ui.answer_json(&json!({ "path": self.vault.path(), "exists": false }));
            }
            self.doors.ui.say("There is no vault yet; the first `lanyard credentials store` makes it");
            return Ok(());
        };
        let broken = if check { Some(self.vault.examine()?) } else { None };
        let names = |broken: &[crate::credential::Metadata]| -> Vec<String> {
            broken.iter().map(|metadata| clean(&metadata.name)).collect()
        };
        let broken = broken.map(|broken| names(&broken));
        if self.wants_json() {
            let mut facts = self.facts(&about);
            if let Some(broken) = &broken {
                facts["broken"] = json!(broken);
            }
            self.doors.ui.answer_json(&facts)?;
        } else {
            self.tell(&about, broken.is_some())?;
        }
        broken.filter(|broken| !broken.is_empty()).map_or(Ok(()), |broken| Err(Broken(broken).into()))
    }

    fn facts(&self, about: &About) -> Value {
        json!({
            "path": self.vault.path(),
            "exists": true,
            "id": about.id,
            "storage": about.storage.word(),
            "credentials": about.credentials,
            "recovery_key": about.recoverable,
        })
    }

    fn tell(&self, about: &About, was_opened: bool) -> Result<()> {
        let ui = self.doors.ui;
        ui.answer(&format!("Vault: {}", self.vault.path().display()))?;
        ui.answer(&format!("Root key: in the {}", about.storage.title()))?;
        ui.answer(&format!("Recovery key: {}", if about.recoverable { "made" } else { "none" }))?;
        ui.answer(&format!("Credentials: {}", about.credentials))?;
        if was_opened {
            ui.done("The vault opens, and every page of it is whole");
        }
        if !about.recoverable {
            ui.note("without a recovery key, all is lost with the root key; make one: lanyard vault recovery-key");
        }
        Ok(())
    }

    fn rekey(&self, storage: Option<Choice>) -> Result<()> {
        let was_recoverable = self.vault.rekey(storage)?;
        let about = self.vault.about()?.ok_or(VaultError::NoVault)?;
        self.doors
            .ui
            .done(&format!("Replaced every key of the vault; the root key is in the {}", about.storage.title()));
        self.warn_of_plain(about.storage);
        if was_recoverable {
            let ui = self.doors.ui;
            ui.warn("the recovery key opens the backups of before alone; make a new one: lanyard vault recovery-key");
        }
        Ok(())
    }

    fn backup(&self, file: &Path) -> Result<()> {
        let path = self.doors.env.working_dir().join(file);
        let (credentials, recoverable) = self.vault.backup(&path)?;
        if self.wants_json() {
            let facts = json!({ "path": path, "credentials": credentials, "recovery_key": recoverable });
            return self.doors.ui.answer_json(&facts);
        }
        self.doors.ui.done(&format!("Wrote {} to {}", counted(credentials), path.display()));
        if !recoverable {
            self.doors.ui.warn(
                "no recovery key was made: this copy opens with the root key of this machine alone; make one and \
                 back up again: lanyard vault recovery-key",
            );
        }
        Ok(())
    }

    fn restore(&self, file: &Path, replace: bool, key: Option<&Given>, storage: Option<Choice>) -> Result<()> {
        let path = self.doors.env.working_dir().join(file);
        let storage = storage.unwrap_or(self.profile.storage.value);
        let mut key = key.map(|given| self.read(given)).transpose()?;
        let restored = match self.vault.restore(&path, key.as_ref(), storage, replace) {
            Err(VaultError::BackupClosed { recoverable: true }) if key.is_none() && self.doors.ui.is_interactive() => {
                key = Some(self.ask()?);
                self.vault.restore(&path, key.as_ref(), storage, replace)?
            }
            other => other?,
        };
        if self.wants_json() {
            let facts = json!({ "credentials": restored.credentials, "kept": restored.kept });
            return self.doors.ui.answer_json(&facts);
        }
        self.doors.ui.done(&format!("Brought {} back from {}", counted(restored.credentials), path.display()));
        if let Some(kept) = &restored.kept {
            self.doors.ui.note(&format!("what was here before is kept in {}", kept.display()));
        }
        if key.is_some() {
            self.warn_of_plain(storage);
        }
        Ok(())
    }

    fn recovery_key(&self) -> Result<()> {
        let ui = self.doors.ui;
        let about = self.vault.about()?.ok_or(VaultError::NoVault)?;
        let key = self.vault.make_recovery_key()?;
        if ui.answer_is_a_file() {
            ui.warn("the output goes to a file, which then holds the recovery key in plain text");
        }
        ui.answer_secret("", &key)?;
        ui.note("Shown once and kept nowhere: write it down, or put it into another safe");
        if about.recoverable {
            ui.warn("the recovery key made before opens the backups of before alone");
        }
        Ok(())
    }

    fn recover(&self, key: Option<&Given>, storage: Option<Choice>) -> Result<()> {
        let about = self.vault.about()?.ok_or(VaultError::NoVault)?;
        if !about.recoverable {
            return Err(VaultError::NoRecovery.into());
        }
        let key = key.map_or_else(|| self.ask(), |given| self.read(given))?;
        self.vault.recover(&key, storage.unwrap_or(self.profile.storage.value))?;
        let about = self.vault.about()?.ok_or(VaultError::NoVault)?;
        self.doors.ui.done(&format!("The vault opens again; its root key is in the {}", about.storage.title()));
        self.warn_of_plain(about.storage);
        Ok(())
    }

    fn read(&self, given: &Given) -> Result<Secret> {
        if given.literal().is_some() {
            return Err(KeyInSight.into());
        }
        Values::new(self.doors.env).read(KEY_FLAG, given, Form::Line)
    }

    fn ask(&self) -> Result<Secret> {
        self.doors.ui.hidden("Recovery key", &format!("{KEY_FLAG} - or {KEY_FLAG} @FILE"))
    }

    fn warn_of_plain(&self, storage: Choice) {
        if storage == Choice::Plain {
            self.doors.ui.warn("the root key is in a plain file: whoever can read your files can open the vault");
        }
    }

    fn wants_json(&self) -> bool {
        active::output_json(self.profile)
    }
}

fn counted(credentials: u32) -> String {
    if credentials == 1 { "1 credential".into() } else { format!("{credentials} credentials") }
}
