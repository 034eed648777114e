//! `lanyard auth switch`: make another profile the default.

use crate::cli::config::existing;
use crate::cli::{Doors, active};
use crate::config::{Source, document, edit};
use crate::error::Result;

/// Make another profile the default
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard auth switch work")]
pub(crate) struct Args {
    /// The profile; at a terminal, lanyard asks when it is left out
    #[arg(value_name = "PROFILE", value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::profiles))]
    name: Option<String>,
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let config = active::load(doors)?;
        let name = if let Some(name) = self.name {
            name
        } else {
            let names: Vec<String> = config.profiles.keys().cloned().collect();
            let chosen = doors.ui.choose("Which profile?", &names, "the profile's name")?;
            names.get(chosen).cloned().unwrap_or_default()
        };
        existing(&config, &name)?;
        edit::edit(doors.env, |document| Ok(document::set(document, &["profile".to_owned()], name.as_str().into())?))?;
        doors.ui.done(&format!("{name} is the default profile now"));
        let (_, profile) = active::active(doors)?;
        if profile.name.value != name && profile.name.source != Source::Default {
            doors.ui.warn(&format!("here, {} comes first, because of {}", profile.name.value, profile.name.source));
        }
        Ok(())
    }
}
