//! Why the server does not start.

use std::net::SocketAddr;

use super::db::DbError;
use super::keeper::KeeperError;
use super::keys::KeyError;
use crate::error::{Code, Failure};
use crate::os::files::FileError;
use crate::secret::{Reason, StoreError};
use crate::vault::VaultError;

/// Why the server does not start. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting cannot be used.
    #[error("{place} cannot be used: {problem}")]
    Setting {
        /// The flag, variable or key of the file.
        place: String,
        /// What is wrong, without the value.
        problem: String,
    },
    /// A file of settings is not what it should be.
    #[error("{file} cannot be read: {problem}")]
    SettingsFile {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// Tokens would travel readable.
    #[error("{address} can be reached from other machines, and there is no certificate")]
    Readable {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("the certificate in {file} cannot be used")]
    Certificate {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        cause: Reason,
    },
    /// The database did not do it.
    #[error("the database cannot be used")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>, Code, Option<String>),
    /// A file of the server's own cannot be used.
    #[error("a file of the server cannot be used")]
    File(#[from] FileError),
    /// Keys or secrets did not do it.
    #[error("the keys of the server cannot be used")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>, Code, Option<String>),
    /// There is no server where one is to be worked on.
    #[error("no server is kept in {place}")]
    Nothing {
        /// The database.
        place: String,
    },
    /// An earlier version of the program made the tables.
    #[error("the tables in {place} are of an earlier version of lanyard")]
    Earlier {
        /// The database.
        place: String,
    },
    /// There is a server already where a backup is to be brought back.
    #[error("the database holds a server already")]
    Occupied,
    /// The backup of one server is to be brought back under another one that runs.
    #[error("a server runs on this data, and the backup is another's")]
    Runs,
    /// A backup cannot be written.
    #[error("{file} cannot be written: {problem}")]
    Unwritten {
        /// The file.
        file: String,
        /// What the system said.
        problem: String,
    },
    /// A backup is not to be for whoever was named.
    #[error("a recipient cannot be used: {problem}")]
    Recipient {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A backup is not whole, or none at all.
    #[error("{file} cannot be brought back: {problem}")]
    Backup {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A backup has tables, or a form, that this program does not know.
    #[error("{file} cannot be brought back: it was made by a newer lanyard")]
    NewerBackup {
        /// The file.
        file: String,
    },
    /// A backup is not there, or not to be read.
    #[error("{file} cannot be read: {problem}")]
    Unread {
        /// The file.
        file: String,
        /// What the system said.
        problem: String,
    },
    /// A backup was tried out, and not all of it opens.
    #[error("the secrets of {count} credentials in the backup do not open")]
    Closed {
        /// Of how many.
        count: usize,
    },
    /// The keeper of secrets did not do it.
    #[error("the keeper of secrets cannot be used")]
    Keeper {
        /// What it said.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
        /// The exit code.
        code: Code,
        /// The next step.
        mend: Option<String>,
        /// Whether it may do it in a while, without anybody changing the settings.
        may_pass: bool,
    },
    /// The secret store did not give or take the master key.
    #[error("the master key is out of reach")]
    Store(#[from] StoreError),
    /// It did not give the one that is there already.
    #[error("the master key is out of reach")]
    Kept(#[source] StoreError),
    /// The file of the key, or of the passphrase that it is made of, cannot be used.
    #[error("the master key is out of reach")]
    KeyFile(#[source] FileError),
    /// The master key is gone.
    #[error("the master key of this server is not in {place}")]
    NoMasterKey {
        /// Where it was looked for.
        place: String,
    },
    /// It is another server's.
    #[error("the master key in {place} is of another server")]
    OtherMasterKey {
        /// Where it is.
        place: String,
    },
    /// It is made of another passphrase.
    #[error("the passphrase in {place} is not the one of this server")]
    WrongPassphrase {
        /// Where it is.
        place: String,
    },
    /// It is none, or too easy to guess.
    #[error("the passphrase in {place} cannot be used: {problem}")]
    BadPassphrase {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The master key is made of a passphrase, and none is given.
    #[error("the master key is made of a passphrase, and none is given")]
    Passphrase,
    /// A passphrase is given, and the master key is made of none.
    #[error("the master key is not made of a passphrase")]
    NoPassphrase,
    /// It is none.
    #[error("what is in {place} is no master key")]
    BadMasterKey {
        /// Where it is.
        place: String,
    },
    /// What happened was changed afterwards.
    #[error("the audit of {org} is broken at entry {sequence}: {problem}")]
    Audit {
        /// Whose.
        org: String,
        /// What is wrong with it.
        problem: String,
        /// The number of the entry.
        sequence: i64,
    },
    /// The file of what was signed of the audit is gone.
    #[error("{count} statements about the audit were signed, and {file} is not there")]
    NoCheckpoints {
        /// The file.
        file: String,
        /// How many were signed.
        count: i64,
    },
    /// Nobody has such a login.
    #[error("nobody has this login here")]
    NoLogin,
    /// There is no such chain in the audit.
    #[error("this server has no audit of {org}")]
    NoChain {
        /// What was asked for.
        org: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The chain is not so long.
    #[error("the audit has no entry {sequence}")]
    NoEntry {
        /// What was asked for.
        sequence: i64,
    },
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    NoRandom,
    /// The system gave no threads or signals.
    #[error("the system does not let the server run")]
    System(#[source] std::io::Error),
}

impl From<DbError> for ServeError {
    fn from(failure: DbError) -> Self {
        let (code, mend) = (failure.code(), failure.mend());
        Self::Database(Box::new(failure), code, mend)
    }
}

impl From<KeyError> for ServeError {
    fn from(failure: KeyError) -> Self {
        let (code, mend) = (failure.code(), failure.mend());
        Self::Keys(Box::new(failure), code, mend)
    }
}

impl From<VaultError> for ServeError {
    fn from(failure: VaultError) -> Self {
        let (code, mend) = (failure.code(), failure.mend());
        Self::Keys(Box::new(failure), code, mend)
    }
}

impl From<KeeperError> for ServeError {
    fn from(failure: KeeperError) -> Self {
        let may_pass = !matches!(failure, KeeperError::None | KeeperError::File(_));
        let (code, mend) = (failure.code(), failure.mend());
        Self::Keeper { cause: Box::new(failure), code, mend, may_pass }
    }
}

impl ServeError {
    /// Whether it is the master key that cannot be had, which may be otherwise in a while.
    pub(crate) fn is_of_the_key(&self) -> bool {
        match self {
            Self::Store(failure) | Self::Kept(failure) => matches!(
                failure,
                StoreError::Absent { .. }
                    | StoreError::Locked { .. }
                    | StoreError::Slow { .. }
                    | StoreError::Refused { .. }
            ),
            Self::NoMasterKey { .. } => true,
            Self::Keeper { may_pass, .. } => *may_pass,
            _ => false,
        }
    }
}

impl Failure for ServeError {
    fn code(&self) -> Code {
        match self {
            Self::Nothing { .. }
            | Self::Earlier { .. }
            | Self::Setting { .. }
            | Self::SettingsFile { .. }
            | Self::Readable { .. }
            | Self::BadPassphrase { .. }
            | Self::NewerBackup { .. }
            | Self::Certificate { .. } => Code::Config,
            Self::Database(_, code, _) | Self::Keys(_, code, _) | Self::Keeper { code, .. } => *code,
            Self::Unwritten { .. }
            | Self::Backup { .. }
            | Self::Closed { .. }
            | Self::NoCheckpoints { .. }
            | Self::Audit { .. } => Code::Invalid,
            Self::Store(failure) | Self::Kept(failure) => failure.code(),
            Self::KeyFile(failure) | Self::File(failure) => failure.code(),
            Self::NoMasterKey { .. }
            | Self::OtherMasterKey { .. }
            | Self::WrongPassphrase { .. }
            | Self::Passphrase
            | Self::NoPassphrase
            | Self::BadMasterKey { .. } => Code::Store,
            Self::Recipient { .. } | Self::NoLogin | Self::NoChain { .. } | Self::NoEntry { .. } => Code::Usage,
            Self::Unread { .. }
            | Self::Listen { .. }
            | Self::Occupied
            | Self::Runs
            | Self::NoRandom
            | Self::System(_) => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Setting { place, .. } => format!("correct {place}; `lanyard serve --help` tells what it takes"),
            Self::SettingsFile { .. } => "correct the file, or name another one with `--settings`".into(),
            Self::Readable { .. } => {
                "give `--tls-certificate` and `--tls-key`, listen on 127.0.0.1, or name the proxy that does TLS: \
                 `--behind-proxy ADDRESS`"
                    .into()
            }
            Self::Listen { .. } => "end the program that listens there, or choose another address: `--listen`".into(),
            Self::Certificate { .. } => "give a chain and its key in PEM, the key readable by you alone".into(),
            Self::Database(_, _, mend) | Self::Keys(_, _, mend) | Self::Keeper { mend, .. } => return mend.clone(),
            Self::Nothing { .. } => {
                "name the folder of its data with `--data`, or its database with `--database`".into()
            }
            Self::Earlier { .. } => {
                "do it with the version that serves them; or make a backup, `lanyard server backup FILE`, and start this \
                 one once, `lanyard serve`, which brings them up to date"
                    .into()
            }
            Self::Occupied => "give `--replace` to put the backup in its place, or another `--data`".into(),
            Self::Runs => "stop it with `lanyard server stop`, then this again; nothing was changed".into(),
            Self::Unwritten { .. } => "name a new file, in a folder that is there and has room".into(),
            Self::Recipient { .. } => "give a public key as `age-keygen` prints it: `age1…`, no more than 20".into(),
            Self::NewerBackup { .. } => "install the newer lanyard; nothing was changed".into(),
            Self::Backup { .. } => "take another backup; nothing was changed".into(),
            Self::Unread { .. } => "look at the path: name the file that `lanyard server backup` wrote".into(),
            Self::Closed { .. } => "store them anew on the server, or keep an older backup in which they open".into(),
            Self::Store(failure) => {
                let own = mend_of_store(failure).unwrap_or_default();
                format!("{own}; or keep the key in a file: `--master-key-file FILE`")
            }
            // A file would open nothing of what is there.
            Self::Kept(failure) => return mend_of_store(failure),
            Self::KeyFile(failure) | Self::File(failure) => return failure.mend(),
            Self::NoMasterKey { .. } => {
                "bring it back from where it was kept; without it nothing that was stored can be opened".into()
            }
            Self::OtherMasterKey { .. } => "give the key that was made for this database, or another `--data`".into(),
            Self::WrongPassphrase { .. } => {
                "give the passphrase that was chosen for this database, or another `--data`".into()
            }
            Self::BadPassphrase { .. } => "put another one there, such as five words that a machine chose".into(),
            Self::Passphrase => "name its file with `--master-passphrase-file`".into(),
            Self::NoPassphrase => {
                "leave `--master-passphrase-file` out, and say where the key rests if it is not in the keychain".into()
            }
            Self::BadMasterKey { .. } => "bring the key back whole".into(),
            Self::Audit { .. } => "somebody wrote to the database past the server; compare it with a backup".into(),
            Self::NoCheckpoints { file, .. } => format!(
                "name the file that the server appends to, or bring it back; where another one is to begin, make it: \
                 `touch {file}`"
            ),
            Self::NoLogin => "write it as the members' list has it: `lanyard members list`".into(),
            Self::NoChain { known, .. } => format!("name one that there is: {}", known.join(", ")),
            Self::NoEntry { .. } => "begin with an entry that there is; the first is 1".into(),
            Self::NoRandom | Self::System(_) => "try again".into(),
        })
    }
}

/// What to do about the store of the master key. Other stores are chosen by a flag of the sign-in, which a server lacks.
fn mend_of_store(failure: &StoreError) -> Option<String> {
    match failure {
        StoreError::Absent { .. } => Some("start the keychain service".into()),
        failure => failure.mend(),
    }
}
