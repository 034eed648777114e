//! `lanyard credentials reconnect`: sign in again for a credential that is there.

use super::connect::{self, Wish};
use super::disconnect::NoSignIn;
use super::named::{self, typed};
use crate::auth::login::same_account;
use crate::auth::service;
use crate::cli::{Doors, active, vault_door};
use crate::config::Config;
use crate::credential::{Credential, Fields, Metadata, Raw};
use crate::error::{Code, Failure, Result};
use crate::provider::Verdict;
use crate::text::clean;
use crate::vault::New;

/// Sign in again to the service of a credential
#[derive(clap::Args, Debug)]
#[command(
    long_about = "Sign in again to the service of a credential\n\nWhere a lanyard server keeps the sign-in by a client of \
                  its own, the address is printed at which one signs in for it in the portal.",
    after_help = "Example:\n  lanyard credentials reconnect github"
)]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// Sign in by entering a short code in any browser
    #[arg(long)]
    device: bool,
    /// Print the address instead of opening a browser
    #[arg(long)]
    no_browser: bool,
    /// Accept that another account signs in
    #[arg(long)]
    switch_account: bool,
}

/// Another account came back.
#[derive(Debug, thiserror::Error)]
#[error("{came} signed in, and {name} is for {expected}")]
struct OtherAccount {
    came: String,
    name: String,
    expected: String,
}

impl Failure for OtherAccount {
    fn code(&self) -> Code {
        Code::Failed
    }

    fn mend(&self) -> Option<String> {
        Some("choose the right account in the browser, or accept it with `--switch-account`".into())
    }
}

/// Whether the client of a credential is the one by which this machine signs in. Otherwise it is the server's, which
/// people connect in its portal.
fn is_signed_in_to_here(config: &Config, metadata: &Metadata) -> bool {
    let service = service::find(config, metadata.service()).ok();
    let own = service.as_ref().and_then(|service| service.table.client_id.as_deref());
    own.is_some() && own == metadata.field("client_id")
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
            let instead = ("put in new values", "update");
            return Err(NoSignIn { name, kind: metadata.kind.title, instead }.into());
        }
        if vault_door::is_on_a_server(&config, &profile) && !is_signed_in_to_here(&config, &metadata) {
            let address = vault_door::server(doors, &config, &profile)?.connect_address(&metadata)?;
            if active::output_json(&profile) {
                return doors.ui.answer_json(&serde_json::json!({ "url": address }));
            }
            doors.ui.say("Open this address in a browser, and sign in there:");
            return doors.ui.answer(&address);
        }
        let mut raw = Raw::new();
        raw.plain("service", metadata.service());
        let scopes = metadata.field("scopes");
        let client_id = metadata.field("client_id");
        let wish = Wish { scopes, client_id, device: self.device, no_browser: self.no_browser, ..Wish::default() };
        let session = connect::connect(doors, &wish, &mut raw)?;
        let (account, id) = (metadata.field("account"), metadata.field("account_id"));
        if !self.switch_account && !same_account(account, id, &session.identity) {
            let came = clean(session.identity.name().unwrap_or("an unknown account"));
            return Err(OtherAccount { came, name, expected: clean(account.or(id).unwrap_or_default()) }.into());
        }
        let stored = vault.put(New {
            name: metadata.name.clone(),
            scope: metadata.scope.clone(),
            expires: session.expires_at,
            tags: metadata.tags.clone(),
            note: metadata.note.clone(),
            verdict: Some(session.identity.name().map_or_else(Verdict::valid_unnamed, Verdict::valid)),
            fields: Fields::parse(metadata.kind, raw)?,
            replaces: Some(metadata),
            retiring: None,
        })?;
        let who = session.identity.name().map_or_else(String::new, |who| format!(" as {}", clean(who)));
        doors.ui.done(&format!("Reconnected {}{who}", typed(&stored)));
        Ok(())
    }
}
