//! `lanyard credentials disconnect`: end a sign-in at its service, and keep what is known of it.

use super::named::{self, typed};
use crate::auth::presets::{self, Revocation};
use crate::auth::revoke;
use crate::cli::{Doors, active, vault_door};
use crate::credential::Credential;
use crate::error::{Code, Failure, Result, with_causes};
use crate::provider::Verdict;
use crate::text::clean;
use crate::vault::session;

/// End a sign-in at its service and take its tokens out of the vault
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard credentials disconnect github")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
}

/// The credential is no sign-in.
#[derive(Debug, thiserror::Error)]
#[error("credential {name} is no sign-in ({kind})")]
pub(super) struct NoSignIn {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// What the user may have wanted instead, and the command for it.
    pub(super) instead: (&'static str, &'static str),
}

impl Failure for NoSignIn {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        let (what, command) = self.instead;
        Some(format!("{what}: `lanyard credentials {command} {}`", self.name))
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let metadata = named::find(vault, &profile, &self.name)?;
        let name = typed(&metadata);
        if metadata.kind.field(Credential::SESSION).is_none() {
            let instead = ("take it out of the vault", "delete");
            return Err(NoSignIn { name, kind: metadata.kind.title, instead }.into());
        }
        if !metadata.secret_names.contains(Credential::SESSION) {
            doors.ui.say(&format!("{name} is disconnected already"));
            return Ok(());
        }
        if let Some(ended) = vault.disconnect(&metadata)? {
            let so = if ended {
                "ended at the service and removed from the server"
            } else {
                "removed from the server; end it on the service's own page as well"
            };
            doors.ui.done(&format!("Disconnected {name}: {so}"));
            return Ok(());
        }
        let mut credential = vault.open(&metadata)?;
        let Some(session) = session::of(&credential)? else {
            doors.ui.say(&format!("{name} is disconnected already"));
            return Ok(());
        };
        let preset = presets::find(metadata.service());
        let style = preset.map_or(Revocation::Standard, |preset| preset.quirks.revocation);
        let revoked = revoke::revoke(&session, session.endpoints.revocation.as_ref(), style, doors.http);
        credential.secrets.clear();
        let kept = vault.renew(&credential, None)?;
        let reconnect = format!("sign in again: `lanyard credentials reconnect {name}`");
        vault.note_verdict(&kept, &Verdict::invalid("it is disconnected", reconnect), doors.env.now())?;
        match revoked {
            Ok(()) => doors.ui.done(&format!("Disconnected {name}: ended at the service and removed here")),
            Err(failure) => {
                doors.ui.warn(&format!("not ended at the service: {}", clean(&with_causes(&failure))));
                doors.ui.done(&format!("Disconnected {name}: removed here; end it on the service's own page as well"));
            }
        }
        Ok(())
    }
}
