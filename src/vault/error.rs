//! Why a vault did not do what was asked.

use std::path::PathBuf;

use crate::auth::renew::RenewError;
use crate::credential::Power;
use crate::error::{Code, Failure, with_causes};
use crate::provider::{Order, ProviderError};
use crate::secret::{Reason, StoreError};
use crate::store::RowError;
use crate::text::clean;
use crate::vault::measure::Excess;

/// Why a vault did not do what was asked. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database did not do it.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The secret store did not give or take the root key.
    #[error("{}", if *.making { "no vault can be made" } else { "the vault stays closed" })]
    Root {
        /// What the store said.
        #[source]
        cause: StoreError,
        /// Whether the vault was about to be made.
        making: bool,
    },
    /// The secret store has no root key for this vault.
    #[error("the root key of the vault is not in the {store}")]
    NoRoot {
        /// The store in the user's words.
        store: &'static str,
        /// Whether a recovery key was made for this vault.
        recoverable: bool,
    },
    /// A key does not open the vault.
    #[error("this key does not open the vault")]
    WrongKey,
    /// A credential's secrets do not open: damaged, moved, or brought back from an older copy.
    #[error("the secrets of {} do not open: they were damaged, moved or taken from another copy", clean(.name))]
    DoesNotOpen {
        /// The credential.
        name: String,
    },
    /// There is no such credential.
    #[error("there is no credential {}", clean(.name))]
    Unknown {
        /// The name.
        name: String,
        /// One with a name much like it.
        nearest: Option<String>,
    },
    /// The name belongs to another credential.
    #[error("there is a credential {} already", clean(.name))]
    Taken {
        /// The name.
        name: String,
    },
    /// Somebody else replaced the credential meanwhile.
    #[error("credential {} was changed by somebody else meanwhile", clean(.name))]
    Changed {
        /// The name.
        name: String,
    },
    /// Something uses the credential.
    #[error("credential {} is used by {}", clean(.name), clean(&.users.join(", ")))]
    InUse {
        /// The name.
        name: String,
        /// What uses it, in words.
        users: Vec<String>,
    },
    /// The place where the vault is knows no such project.
    #[error("the server has no project of that name")]
    NoProject,
    /// The name cannot be used.
    #[error("this cannot be the name of a credential")]
    BadName,
    /// More is said of a credential than a vault keeps.
    #[error(transparent)]
    TooMuch(#[from] Excess),
    /// A stored row is none that this program understands.
    #[error("the stored credential {} is of a form that this lanyard does not know", clean(.name))]
    Foreign {
        /// The name.
        name: String,
    },
    /// There is no vault here yet.
    #[error("there is no vault here yet")]
    NoVault,
    /// There is a vault here already.
    #[error("there is a vault with {count} credentials here already")]
    NotEmpty {
        /// How many credentials it holds.
        count: u32,
    },
    /// A file is in the way of a backup.
    #[error("there is a file {} already", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file that should be a backup is none.
    #[error("{} is no backup of a vault", .path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
    },
    /// A backup is damaged.
    #[error("the backup {} is damaged", .path.display())]
    BadBackup {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        cause: Reason,
    },
    /// A backup was made under another root key.
    #[error("the root key on this machine does not open the backup")]
    BackupClosed {
        /// Whether a recovery key was made for it.
        recoverable: bool,
    },
    /// A recovery key was typed wrongly or is none.
    #[error("this is no recovery key")]
    BadRecoveryKey,
    /// The vault has no recovery key.
    #[error("no recovery key was made for this vault")]
    NoRecovery,
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandom,
    /// A credential is used through another in a circle, or too many times over.
    #[error("credential {} is used through others in a circle", clean(.name))]
    Circle {
        /// The name.
        name: String,
    },
    /// The session in a credential cannot be used any more, or not now.
    #[error("the sign-in of credential {} cannot be renewed", clean(.name))]
    Session {
        /// The name.
        name: String,
        /// Why.
        #[source]
        cause: Box<RenewError>,
    },
    /// A tool asks to forget what lanyard's user stored.
    #[error("credential {} is not this tool's to forget", clean(.name))]
    Managed {
        /// The name.
        name: String,
    },
    /// Several credentials fit what a tool asks for.
    #[error("several credentials fit: {}", clean(&.names.join(", ")))]
    Several {
        /// Their names.
        names: Vec<String>,
    },
    /// A tool is to publish with a credential whose owner has not allowed that.
    #[error("credential {} is not marked as one to publish with", clean(.name))]
    NotToPublish {
        /// The name.
        name: String,
    },
    /// What a tool asks for differs in a detail from what a credential was stored for.
    #[error("credential {} is for another address, which differs in a detail", clean(.name))]
    LookAlike {
        /// The name.
        name: String,
    },
    /// A sign-in has no ID token to give.
    #[error("the sign-in {} has no ID token: {why}", clean(.name))]
    NoIdToken {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// A value gives an order to whoever uses it, or is none of its kind.
    #[error(transparent)]
    Order(#[from] Order),
    /// The provider did not do what was asked.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The place where the vault is did not do what was asked.
    #[error("{}", with_causes(&**.0))]
    Elsewhere(Box<dyn Failure>),
}

impl From<getrandom::Error> for VaultError {
    fn from(_: getrandom::Error) -> Self {
        Self::NoRandom
    }
}

impl Failure for VaultError {
    fn code(&self) -> Code {
        match self {
            Self::Rows(failure) => failure.code(),
            Self::Root { cause, .. } => cause.code(),
            Self::Provider(failure) => failure.code(),
            Self::Elsewhere(failure) => failure.code(),
            Self::Session { cause, .. } => cause.code(),
            Self::NoRoot { .. } | Self::WrongKey | Self::BackupClosed { .. } => Code::Store,
            Self::BadName
            | Self::TooMuch(_)
            | Self::NoProject
            | Self::Unknown { .. }
            | Self::Taken { .. }
            | Self::NotEmpty { .. }
            | Self::Exists { .. }
            | Self::NoBackup { .. }
            | Self::BadRecoveryKey => Code::Usage,
            Self::DoesNotOpen { .. } | Self::Order(_) => Code::Invalid,
            Self::NoIdToken { .. } => Code::SignedOut,
            Self::LookAlike { .. } => Code::Forbidden,
            Self::Changed { .. }
            | Self::InUse { .. }
            | Self::BadBackup { .. }
            | Self::Foreign { .. }
            | Self::NoVault
            | Self::NoRecovery
            | Self::NoRandom
            | Self::Several { .. }
            | Self::Managed { .. }
            | Self::NotToPublish { .. }
            | Self::Circle { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Rows(failure) => return failure.mend(),
            Self::Root { cause, making } => return mend_of_root(cause, *making),
            Self::Provider(failure) => return failure.mend(),
            Self::Elsewhere(failure) => return failure.mend(),
            Self::Session { name, cause } if cause.code() == Code::SignedOut => {
                format!("sign in again: `lanyard credentials reconnect {}`", clean(name))
            }
            Self::Session { cause, .. } => return cause.mend(),
            Self::NoRoot { recoverable: true, .. } => {
                "bring it back with the recovery key: `lanyard vault recover`".into()
            }
            Self::NoRoot { recoverable: false, .. } => {
                "unlock or restore the keychain that held it; without it and without a recovery key the vault stays \
                 closed"
                    .into()
            }
            Self::WrongKey => "use the key that was made for this vault".into(),
            Self::DoesNotOpen { name } => {
                format!("store it again: `lanyard credentials update {}`", clean(name))
            }
            Self::Unknown { nearest: Some(name), .. } => format!("did you mean {}?", clean(name)),
            Self::Unknown { .. } => "`lanyard credentials list` shows what there is".into(),
            Self::Taken { .. } => "choose another name with `--name`, or replace it with `--replace`".into(),
            Self::Changed { .. } => "look at it again, then run the command once more".into(),
            Self::InUse { .. } => "change or delete those first".into(),
            Self::NoProject => "make it: `lanyard projects create NAME`; `lanyard projects list` shows all".into(),
            Self::BadName => "use letters, digits and . _ @ + : - in names of up to 128 characters".into(),
            Self::TooMuch(_) => "say less there".into(),
            Self::Foreign { .. } => "install the lanyard that stored it, or delete it".into(),
            Self::NoVault => "store a first credential: `lanyard credentials store --help`".into(),
            Self::NotEmpty { .. } => "replace it with `--replace`; it is kept beside as a backup".into(),
            Self::Exists { .. } => "choose another name for the backup".into(),
            Self::NoBackup { .. } => "name a file that `lanyard vault backup` wrote".into(),
            Self::BadBackup { .. } => "use another backup; nothing here was changed".into(),
            Self::BackupClosed { recoverable: true } => "give its recovery key: `--recovery-key -`".into(),
            Self::BackupClosed { recoverable: false } => {
                "restore it where its root key is: no recovery key was made for it".into()
            }
            Self::BadRecoveryKey => "type it as it was shown; blanks, hyphens and case do not matter".into(),
            Self::NoRecovery => "make one while the vault opens: `lanyard vault recovery-key`".into(),
            Self::Managed { name } => format!("delete it: `lanyard credentials delete {}`", clean(name)),
            Self::Several { .. } => {
                "name the user in the address, as in https://USER@HOST/, or delete the ones that are not needed".into()
            }
            Self::NotToPublish { name } => {
                format!("allow it: `lanyard credentials update {} --tag {}`", clean(name), Power::PUBLISH)
            }
            Self::LookAlike { name } => {
                format!("compare the two letter for letter: `lanyard credentials show {}`", clean(name))
            }
            Self::NoIdToken { name, .. } => {
                format!("sign in again, with the scope openid: `lanyard credentials reconnect {}`", clean(name))
            }
            Self::Order(_) => "have it stored again without that; nothing of it was used".into(),
            Self::NoRandom => "try again".into(),
            Self::Circle { name } => format!("give {} another source: `lanyard credentials update {0}`", clean(name)),
        })
    }
}

/// What helps when a secret store did not give or take the root key. A vault that is there is bound to its store, and
/// the store's own advice speaks of sign-ins.
fn mend_of_root(cause: &StoreError, making: bool) -> Option<String> {
    Some(match cause {
        StoreError::Absent { .. } if making => {
            "start the keychain service, or keep the root key elsewhere: `lanyard config set defaults.storage file` \
             (encrypted with a passphrase), `keyutils` (kernel memory, until reboot) or `plain` (a readable file)"
                .into()
        }
        StoreError::Absent { .. } => {
            "start the service that keeps its root key; with the recovery key the vault opens without it: `lanyard \
             vault recover --storage file`"
                .into()
        }
        StoreError::Sealed { path } => format!(
            "check the passphrase; if it is lost, move {path} away and open the vault with its recovery key: `lanyard \
             vault recover`"
        ),
        StoreError::Damaged { .. } => "bring the vault back with its recovery key: `lanyard vault recover`".into(),
        other => return other.mend(),
    })
}
