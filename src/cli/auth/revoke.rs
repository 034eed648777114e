//! `lanyard auth revoke`: end the session at the service, then remove it here.

use crate::auth::renew::RenewError;
use crate::auth::revoke;
use crate::cli::access::{self, Access};
use crate::cli::{Doors, active};
use crate::error::Result;

/// Ask the service to end the session, then remove it
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth revoke --profile work")]
pub(crate) struct Args {
    /// Remove the session here even if the service does not agree
    #[arg(long)]
    force: bool,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let access = Access::new(doors, &config, &profile)?;
        access.refuse_token_in_force("does not revoke: the session is not what is used")?;
        let _lock = access.lock()?;
        let Some(session) = access.stored()? else {
            return Err(RenewError::SignedOut { profile: profile.name.value.clone() }.into());
        };
        let service = access.service()?;
        let metadata = access::session_metadata(&service, Some(&session))?;
        let agreed =
            revoke::revoke(&session, metadata.revocation_endpoint.as_ref(), service.quirks.revocation, doors.http);
        let revoked = match agreed {
            Ok(()) => true,
            Err(failure) if self.force => {
                doors.ui.warn(&format!(
                    "{failure}; removed here all the same, and the token may stay valid at the service"
                ));
                false
            }
            Err(failure) => return Err(failure.into()),
        };
        access.place.remove(&*access.store)?;
        if active::output_json(&profile) {
            let json = serde_json::json!({ "revoked": revoked, "removed": true, "profile": profile.name.value });
            return doors.ui.answer_json(&json);
        }
        doors.ui.done(&format!("The session of profile {} has ended", profile.name.value));
        doors.ui.say("To use it again, sign in: lanyard auth login");
        Ok(())
    }
}
