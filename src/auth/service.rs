//! Services and presets.

use crate::config::PresetDefaults;

/// What the built-in service `name` says about settings that the configuration may leave out.
pub fn preset_defaults(_name: &str) -> Option<PresetDefaults> {
    None
}
