//! What the runner of a CI system is told to mask, before anything is handed out.

use std::collections::BTreeSet;

use crate::cli::ui::Ui;
use crate::error::Result;
use crate::run::mask::forms;
use crate::secret::Secret;

/// Tells the runner of GitHub Actions what it is to mask from here on, in every form.
pub(super) fn announce(ui: &Ui, secrets: &[Secret]) -> Result<()> {
    if !ui.announces_masks() {
        return Ok(());
    }
    let of = |secret| [forms::of(secret, &BTreeSet::new()), forms::lines_in_base64(secret)].concat();
    let mut forms: Vec<_> = secrets.iter().flat_map(of).collect();
    forms.sort_by(|one, other| one.as_slice().cmp(other));
    forms.dedup_by(|one, other| one.as_slice() == other.as_slice());
    for form in forms {
        // The runner masks line by line, and the lines of a secret are forms themselves.
        if let Some(text) = std::str::from_utf8(&form).ok().filter(|text| !text.contains('\n')) {
            ui.mask(&Secret::new(text.to_owned()))?;
        }
    }
    Ok(())
}

/// As [`announce`], while a command writes to the same place: the runner takes a command at the beginning of a line, and
/// the other one may be in the middle of its own.
pub(super) fn announce_meanwhile(ui: &Ui, secrets: &[Secret]) -> Result<()> {
    if ui.announces_masks() {
        ui.say("");
    }
    announce(ui, secrets)
}
