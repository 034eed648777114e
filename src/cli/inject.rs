//! `lanyard inject`: fills a template with the values that its references stand for.

use std::path::PathBuf;

use crate::cli::credentials::named;
use crate::cli::{Doors, active, given, vault_door};
use crate::error::Result;
use crate::os::files;
use crate::run::resolve::Resolver;
use crate::run::{RunError, dotenv, reference};

/// Fill a template: every reference in it becomes the value it stands for
///
/// A reference is lanyard://CREDENTIAL/FIELD, alone or between {{ and }}; a backslash before it leaves it as it is, and
/// nothing else in the text is touched. A field is one that `lanyard credentials show` names, or one of the usable form:
/// token, username, password, access_key_id, secret_access_key, session_token, private_key, content. Where one value
/// cannot be had, nothing is written.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard inject config.yaml.tpl | kubectl apply -f -\n  \
                        echo 'token: lanyard://npm/api_key' | lanyard inject -\n  \
                        lanyard inject settings.tpl --out settings.xml")]
pub(crate) struct Args {
    /// The template (- for stdin)
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    template: PathBuf,
    /// Write a file that only you can read, instead of printing
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let find = |name: &str| named::find(vault, &profile, name);
        let (place, text) = given::file(doors.env, &self.template)?;
        let pieces = reference::parse(text.expose(), 1).map_err(|reference::Malformed { line }| {
            RunError::Template { place: place.clone(), line, problem: dotenv::NO_REFERENCE }
        })?;
        let mut resolver = Resolver::new(vault, vault_door::net(doors), &find);
        let filled = resolver.fill(&pieces, &place)?;
        let used: Vec<_> = resolver.used().cloned().collect();
        if let Some(path) = &self.out {
            let path = doors.env.working_dir().join(path);
            files::replace(&path, filled.expose().as_bytes(), false)?;
            if reference::has_any(&pieces) {
                let path = path.display();
                doors.ui.warn(&format!("{path} holds secrets in plain text; remove it when it is no longer needed"));
            }
        } else {
            if reference::has_any(&pieces) && doors.ui.answer_is_a_file() {
                doors.ui.warn("the output goes to a file, which then holds secrets in plain text");
            }
            for secret in resolver.handed_out().0 {
                doors.ui.mask(&secret)?;
            }
            doors.ui.answer_bytes(filled.expose().as_bytes())?;
        }
        for metadata in used {
            // When it was last used is worth no failure.
            if let Err(failure) = vault.note_use(&metadata, doors.env.now()) {
                tracing::debug!(%failure, "the use is not noted");
            }
        }
        Ok(())
    }
}
