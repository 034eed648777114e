//! `lanyard credentials show`: one credential in detail, or one of its secrets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::list::{Shown, masked};
use super::named::{self, shown_time, typed};
use crate::cli::access::expiry;
use crate::cli::ui::unless_a_token;
use crate::cli::{Doors, active, vault_door};
use crate::credential::{Class, Metadata, mask_secret};
use crate::error::{Code, Failure, Result};
use crate::secret::Secret;
use crate::text::{clean, nearest, printable};
use crate::vault::Vault;

/// Show one credential; its secrets stay masked unless one is asked for by name
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  lanyard credentials show aws\n  lanyard credentials show aws --reveal secret_access_key"
)]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// Print this field alone, as it is
    #[arg(long, value_name = "FIELD")]
    reveal: Option<String>,
    /// Do not ask before a secret is printed
    #[arg(long, requires = "reveal")]
    yes: bool,
}

/// The credential has no such field.
#[derive(Debug, thiserror::Error)]
#[error("credential {} has no field {}", clean(.name), clean(unless_a_token(.field, "of that name")))]
struct NoField {
    name: String,
    field: String,
    known: Vec<String>,
}

impl Failure for NoField {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(match nearest(&self.field, self.known.iter().map(String::as_str)) {
            Some(name) => format!("did you mean {name}?"),
            None => format!("it has {}", self.known.join(", ")),
        })
    }
}

#[derive(Serialize)]
struct Detail<'m> {
    #[serde(flatten)]
    shown: Shown<'m>,
    secrets: BTreeMap<&'m str, String>,
    scopes: Vec<String>,
    used_by: Vec<String>,
    version: i64,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let metadata = named::find(vault, &profile, &self.name)?;
        if let Some(field) = &self.reveal {
            return self.reveal(doors, vault, &metadata, field);
        }
        let secrets = secrets(doors, vault, &metadata);
        let (scopes, used_by) = (vault.scopes(&metadata)?, vault.users(&metadata)?);
        let now = doors.env.now();
        if active::output_json(&profile) {
            let secrets = secrets.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let version = metadata.version;
            return doors.ui.answer_json(&Detail {
                shown: Shown::of(&metadata, now),
                secrets,
                scopes,
                used_by,
                version,
            });
        }
        let line = |title: &str, value: &str| doors.ui.answer(&format!("{title}: {}", clean(value)));
        line("Name", &typed(&metadata))?;
        line("Kind", &format!("{} ({})", metadata.kind.id, metadata.kind.title))?;
        line("Service", metadata.service())?;
        line("Status", metadata.status(now).word())?;
        line("Scope", &metadata.scope.to_string())?;
        line("Created", &shown_time(metadata.created))?;
        line("Updated", &shown_time(metadata.updated))?;
        line("Last used", &metadata.used.map_or_else(|| "never".into(), shown_time))?;
        line("Last verified", &metadata.verified.map_or_else(|| "never".into(), shown_time))?;
        line("Expires", &metadata.expires.map_or_else(|| "not known".into(), |at| expiry(at, now)))?;
        if !scopes.is_empty() {
            // All of them, however many there are.
            doors.ui.answer(&format!("Scopes: {}", printable(&scopes.join(", "))))?;
        }
        if !metadata.tags.is_empty() {
            line("Tags", &metadata.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "))?;
        }
        if !metadata.note.is_empty() {
            line("Note", &metadata.note)?;
        }
        line("Used by", &if used_by.is_empty() { "nothing".to_owned() } else { used_by.join(", ") })?;
        doors.ui.answer("Fields:")?;
        for (name, value) in &metadata.fields {
            doors.ui.answer(&format!("{name}: {}", clean(&masked(&metadata, name, value))))?;
        }
        for (name, value) in &secrets {
            doors.ui.answer(&format!("{name}: {value}"))?;
        }
        Ok(())
    }

    fn reveal(&self, doors: &Doors<'_>, vault: &dyn Vault, metadata: &Metadata, field: &str) -> Result<()> {
        let field = &field.replace('-', "_");
        if let Some(value) = metadata.field(field)
            && metadata.kind.class(field) != Class::Secret
        {
            return doors.ui.answer_secret("", &Secret::new(value.to_owned()));
        }
        let spelled = [field.as_str(), self.reveal.as_deref().unwrap_or_default()]
            .into_iter()
            .find(|name| metadata.secret_names.contains(*name));
        let Some(name) = spelled else {
            let known = metadata.fields.keys().chain(&metadata.secret_names).cloned().collect();
            return Err(NoField { name: typed(metadata), field: field.clone(), known }.into());
        };
        if !self.yes
            && !doors.ui.confirm(&format!("Print {name} of {} on the screen?", typed(metadata)), false, "--yes")?
        {
            return Ok(());
        }
        let credential = vault.open(metadata)?;
        match credential.secret(name) {
            Some(secret) => doors.ui.answer_secret("", secret),
            None => Ok(()),
        }
    }
}

/// The secrets as they may be shown. A keychain that does not answer is no reason to hide the rest.
fn secrets(doors: &Doors<'_>, vault: &dyn Vault, metadata: &Metadata) -> BTreeMap<String, String> {
    match vault.open(metadata) {
        Ok(credential) => {
            credential.secrets.iter().map(|(name, value)| (name.clone(), mask_secret(value.expose()))).collect()
        }
        Err(failure) => {
            doors.ui.warn(&format!("the secrets stay closed: {failure}"));
            metadata.secret_names.iter().map(|name| (name.clone(), "****".to_owned())).collect()
        }
    }
}
