//! `lanyard server …`: what whoever runs the team's server does at its own machine, while it goes on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::keeping::Keeping;
use crate::cli::{Doors, active, given, store};
use crate::error::Result;
use crate::server::{self, Given, Named, Settings, Wanted};

mod audit;
mod reset;
#[cfg(unix)]
mod stop;

/// So often is told how far a long work is.
const EVERY: Duration = Duration::from_secs(3);
/// So many credentials are named in a sentence.
const NAMED: usize = 8;

/// Look after the team's server: its backups, its keys and its audit
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Write everything that the server keeps to a new file
    ///
    /// The server goes on meanwhile. Tables of an earlier version are written as they are and left so, for a backup before
    /// the next version starts. The file is an age file that opens with the master key of its time, which is not in
    /// it, and for every --recipient: whoever has that identity reads with `age --decrypt` what stands in the database,
    /// names, members and the audit, but no secret, which stays sealed. It takes the master key to bring it back. Secrets
    /// that OpenBao or HashiCorp Vault has lost are left out, and it says whose. With --json: an object with path, rows and
    /// missing (each with organization and id).
    #[command(after_help = "Examples:\n  lanyard server backup /var/backups/lanyard-2026-01-31\n  \
lanyard server backup lanyard-2026-01-31 --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")]
    Backup {
        /// The file to write
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Whoever else can open it: the public key of an age identity; may be given several times
        #[arg(long = "recipient", value_name = "AGE1…")]
        recipients: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Bring a backup back, into SQLite or PostgreSQL
    ///
    /// Nothing is written before the backup is found whole and of this master key. Everybody signs in again; all else is
    /// as it was when the backup was made: API keys that were revoked since, members who were removed, and passphrases
    /// that were changed count again. With --json: an object with made and rows; with --drill also opened, and closed, a
    /// list.
    #[command(after_help = "Examples:\n  lanyard server restore lanyard-2026-01-31 --data /srv/lanyard\n  \
lanyard server restore lanyard-2026-01-31 --replace\n  lanyard server restore lanyard-2026-01-31 --drill")]
    Restore {
        /// The file that `lanyard server backup` wrote
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        /// Put it in the place of all that the database holds
        #[arg(long)]
        replace: bool,
        /// Only try it: bring it back beside the server, open every secret in it, and leave nothing
        #[arg(long, conflicts_with = "replace")]
        drill: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Replace the master key and the key of every organization
    ///
    /// The server goes on meanwhile. Every few seconds it tells how far it is. If it breaks off, run it again: it goes
    /// on where it was. Backups of before open with the master key of before alone. One that is made of a passphrase is
    /// made of the new one that lies beside it, in the file with .next at the end of its name, which then takes its
    /// place. With --json: an object with resumed, organizations (each with id and key_version), rewrapped, closed and,
    /// with --secrets, server_key (version, sealed and closed).
    #[command(after_help = "Examples:\n  lanyard server rotate-key\n  lanyard server rotate-key --secrets")]
    RotateKey {
        /// Leave the master key: where several servers share a database, each has it in a place of its own
        #[arg(long)]
        keep_master: bool,
        /// Seal every secret anew as well, and replace the server's own key and what signs ID tokens, as after somebody
        /// has seen the keys
        #[arg(long)]
        secrets: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Replace the key that ID tokens are signed with
    ///
    /// The server signs with the new one at once. The old one stays published for two hours, until nothing that it
    /// signed counts any more. With --json: an object with key.
    #[command(after_help = "Example:\n  lanyard server rotate-signing-key")]
    RotateSigningKey {
        #[command(flatten)]
        place: Place,
    },
    /// End a token that was found where it should not be
    ///
    /// Any of this server's tokens, whoever has it: an API key, a token of a job, a sign-in with all its tokens, a
    /// session of the portal, an invitation. With --json: an object with revoked.
    #[command(
        after_help = "Examples:\n  lanyard server revoke-token found.txt\n  pbpaste | lanyard server revoke-token -"
    )]
    RevokeToken {
        /// The file that holds the token; - for stdin
        #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Make a link by which somebody who has forgotten their passphrase chooses another one
    ///
    /// It is good once, for an hour; one that was made before counts no more. Every session of theirs ends when it is used,
    /// and nothing changes before; API keys and programs stay signed in. The link is shown at a terminal alone, and else
    /// stands in the file passphrase-link in the data folder, its owner's alone. With --json: an object with login and
    /// file.
    #[command(after_help = "Examples:\n  lanyard server reset-passphrase alice@example.com\n  \
lanyard server reset-passphrase alice@example.com --second-factor")]
    ResetPassphrase(reset::Args),
    /// Move every secret to where the settings have new ones go
    ///
    /// From the database into OpenBao or HashiCorp Vault, or back. The server goes on meanwhile, if it knows the address
    /// as well. If it breaks off, run it again. The secrets of the server's own clients at issuers move with those of the
    /// credentials, and are counted among them. With --json: an object with to, moved and closed.
    #[command(after_help = "Examples:\n  lanyard server move-secrets --to vault\n  \
lanyard server move-secrets --to envelope --vault-address https://vault.example.com --vault-token-file token")]
    MoveSecrets {
        /// Where to: `envelope` or `vault`, instead of --secrets-engine
        #[arg(long, value_name = "ENGINE")]
        to: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// List what happened on the server itself, or export it
    ///
    /// Backups, other keys, refused set-ups, sign-ins that failed, organizations that were deleted: the newest first. The
    /// server goes on meanwhile. Whoever looks at an audit is in it. An export is checked with `lanyard audit verify FILE`
    /// and the key that --key prints. With --json: an array of the entries, as `lanyard audit list` has them; with --key
    /// an object with algorithm and key.
    #[command(after_help = "Examples:\n  lanyard server audit --limit 200\n  \
lanyard server audit --organization org_01J9Z3M8Q4 --json\n  \
lanyard server audit --export > server-audit.jsonl\n  \
lanyard audit verify server-audit.jsonl --public-key \"$(lanyard server audit --key)\"")]
    Audit(audit::Args),
    /// End the server that runs on this machine
    ///
    /// Whoever is being answered gets their answer first. With --json: an object with stopped and, where one ran, pid.
    #[cfg(unix)]
    #[command(after_help = "Example:\n  lanyard server stop")]
    Stop {
        #[command(flatten)]
        place: Place,
    },
}

/// Which server is meant: the flags, variables and settings of `lanyard serve`.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Server")]
pub(super) struct Place {
    /// The folder of its data [default: `server` in lanyard's data folder]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    data: Option<String>,
    /// The database: `sqlite:FILE` or `postgres://…` [default: sqlite:server.db in the data folder]
    #[arg(long, value_name = "URL")]
    database: Option<Named>,
    /// The file of the master key, where it is not in the secret store
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    master_key_file: Option<String>,
    /// Read settings from this file [default: server.toml in the configuration folder]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    settings: Option<PathBuf>,
    #[command(flatten)]
    keeping: Keeping,
}

impl Place {
    fn settings(self, doors: &Doors<'_>) -> Result<Settings> {
        self.settings_and(doors, Given::default())
    }

    /// The same with new secrets going to another place than the settings say.
    fn settings_with(self, doors: &Doors<'_>, engine: Option<String>) -> Result<Settings> {
        self.settings_and(doors, Given { secrets_engine: engine, ..Given::default() })
    }

    /// The same with what a command was given besides.
    fn settings_and(self, doors: &Doors<'_>, more: Given) -> Result<Settings> {
        let engine = more.secrets_engine.clone();
        let given = self.keeping.given(Given {
            data: self.data,
            database: self.database,
            master_key_file: self.master_key_file,
            ..more
        });
        let given = Given { secrets_engine: engine.or(given.secrets_engine), ..given };
        Ok(Settings::read(&given, self.settings.as_deref(), doors.env)?)
    }
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (_, profile) = active::active(doors)?;
        let store = store::open(doors, profile.storage.value)?;
        let json = active::output_json(&profile);
        match self {
            Self::Backup { file, recipients, place } => {
                let path = doors.env.working_dir().join(file);
                let recipients = server::Recipients::parse(&recipients)?;
                let settings = place.settings(doors)?;
                let server::Backed { rows, missing, is_earlier } =
                    server::backup(&settings, &*store, &path, &recipients)?;
                if json {
                    let of = |one: &server::Missing| {
                        let server::Missing { organization, id } = one;
                        json!({ "organization": organization, "id": id })
                    };
                    let missing: Vec<_> = missing.iter().map(of).collect();
                    return doors.ui.answer_json(&json!({ "path": path, "rows": rows, "missing": missing }));
                }
                doors.ui.done(&format!("Wrote {rows} rows to {}", path.display()));
                if !missing.is_empty() {
                    doors.ui.warn(&lost(&missing));
                }
                if is_earlier {
                    doors.ui.note(
                        "the tables are of an earlier version, and were left so: the server's audit tells of this backup \
                         once a start has brought them up to date",
                    );
                }
                doors.ui.note("it comes back with the master key alone: keep a copy of that apart from it");
            }
            Self::Restore { file, drill: true, place, .. } => {
                let path = doors.env.working_dir().join(file);
                return drilled(doors, json, server::drill(&place.settings(doors)?, &*store, &path)?);
            }
            Self::Restore { file, replace, place, .. } => {
                let path = doors.env.working_dir().join(file);
                let restored = server::restore(&place.settings(doors)?, &*store, &path, replace)?;
                if json {
                    return doors.ui.answer_json(&json!({ "made": restored.made, "rows": restored.rows }));
                }
                doors.ui.done(&format!("Brought {} rows back, as they were at {}", restored.rows, restored.made));
                doors.ui.warn(
                    "What was taken away since then counts again: API keys, members and their roles, passphrases, passkeys, \
                     issuers and trust rules; take it away once more",
                );
            }
            Self::RotateKey { keep_master, secrets, place } => {
                let wanted = Wanted { master: !keep_master, secrets };
                let mut last = Instant::now();
                let mut tell = |server::Progress { done, of }: server::Progress| {
                    if last.elapsed() >= EVERY {
                        last = Instant::now();
                        doors.ui.note(&format!("{done} of {of} secrets rest under their new key"));
                    }
                };
                let rotated = server::rotate_key(&place.settings(doors)?, &*store, wanted, &mut tell)?;
                return told(doors, json, &rotated, wanted);
            }
            Self::RotateSigningKey { place } => {
                let key = server::rotate_signing_key(&place.settings(doors)?, &*store)?;
                if json {
                    return doors.ui.answer_json(&json!({ "key": key }));
                }
                doors.ui.done(&format!("ID tokens are signed with the key {key} from now on"));
            }
            Self::RevokeToken { file, place } => {
                let (_, token) = given::file(doors.env, &file)?;
                let revoked = server::revoke_token(&place.settings(doors)?, &*store, &token)?;
                if json {
                    return doors.ui.answer_json(&json!({ "revoked": revoked }));
                }
                let told = if revoked {
                    "It counts no more, and neither does what came of the same sign-in"
                } else {
                    "It did not count: it has ended, or is none of this server's"
                };
                doors.ui.done(told);
            }
            Self::MoveSecrets { to, place } => {
                let moved = server::move_secrets(&place.settings_with(doors, to)?, &*store)?;
                if json {
                    let server::Moved { to, moved, closed } = moved;
                    return doors.ui.answer_json(&json!({ "to": to, "moved": moved, "closed": closed }));
                }
                doors.ui.done(&format!(
                    "{} credential{} now in the {}",
                    moved.moved,
                    if moved.moved == 1 { " rests" } else { "s rest" },
                    if moved.to == "vault" { "keeper of secrets" } else { "database" },
                ));
                if moved.closed > 0 {
                    doors.ui.warn(&format!("{} credentials do not open, and stay where they are", moved.closed));
                }
            }
            Self::Audit(args) => return args.run(doors, &*store, json),
            Self::ResetPassphrase(args) => return args.run(doors, &*store, json),
            #[cfg(unix)]
            Self::Stop { place } => return stop::stop(doors, json, &place.settings(doors)?.data),
        }
        Ok(())
    }
}

/// That secrets are lost, whose, and what is to be done.
fn lost(missing: &[server::Missing]) -> String {
    let named: Vec<&str> = missing.iter().take(NAMED).map(|one| one.id.as_str()).collect();
    format!(
        "the keeper has lost the secrets of {}: {}{}; the backup has none of them: store them anew, or bring a backup of \
         before back",
        missing.len(),
        named.join(", "),
        if missing.len() > NAMED { " and more, which --json names" } else { "" },
    )
}

fn drilled(doors: &Doors<'_>, json: bool, drilled: server::Drilled) -> Result<()> {
    let server::Drilled { made, rows, opened, closed } = drilled;
    if json {
        doors.ui.answer_json(&json!({ "made": made, "rows": rows, "opened": opened, "closed": closed }))?;
    } else {
        doors.ui.done(&format!("The backup of {made} comes back: {rows} rows, and its audit is whole"));
        let whose = if opened == 1 { "1 credential" } else { &format!("{opened} credentials") };
        doors.ui.done(&format!("The secrets of {whose} open"));
        for name in &closed {
            doors.ui.warn(&format!("{name} does not open"));
        }
    }
    if closed.is_empty() { Ok(()) } else { Err(server::ServeError::Closed { count: closed.len() }.into()) }
}

fn told(doors: &Doors<'_>, json: bool, rotated: &server::Rotated, wanted: Wanted) -> Result<()> {
    if json {
        let organizations: Vec<_> =
            rotated.organizations.iter().map(|(id, version)| json!({ "id": id, "key_version": version })).collect();
        return doors.ui.answer_json(&json!({
            "resumed": rotated.resumed,
            "organizations": organizations,
            "rewrapped": rotated.rewrapped,
            "closed": rotated.closed,
            "server_key": rotated.own.map(|own| json!({
                "version": own.version,
                "sealed": own.sealed,
                "closed": own.closed,
            })),
        }));
    }
    if rotated.resumed {
        doors.ui.note("ended what was begun before; run it again to replace the keys once more");
    } else if wanted.master {
        doors.ui.done("Replaced the master key; keep a copy of the new one, or of the passphrase that it is made of");
    }
    let count = rotated.organizations.len();
    doors.ui.done(&format!(
        "{count} organization{} a new key, and {} data key{} under {}",
        if count == 1 { " has" } else { "s have" },
        rotated.rewrapped,
        if rotated.rewrapped == 1 { " rests" } else { "s rest" },
        if count == 1 { "it" } else { "them" },
    ));
    if rotated.closed > 0 {
        doors.ui.warn(&format!("{} credentials do not open, and stay under the key of before", rotated.closed));
    }
    if let Some(server::OwnRotated { sealed, closed, .. }) = rotated.own {
        doors.ui.done(&format!(
            "The server has a new key of its own, under which {sealed} of its secrets {} sealed anew",
            if sealed == 1 { "was" } else { "were" },
        ));
        if closed > 0 {
            doors.ui.warn(&format!("{closed} of its secrets do not open, and stay under the key of before"));
        }
    }
    Ok(())
}
