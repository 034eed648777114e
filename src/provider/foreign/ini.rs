//! INI: `[section]` lines with `name = value` below, as the readers of Go and Python agree on it.
//!
//! `#` and `;` begin a comment at the start of a line and after white space; a value may stand in quotes; a section that
//! comes again goes on; of a name that comes again, the last value counts.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// The names and values of one section. Names are in lower case.
pub(in crate::provider) type Section = BTreeMap<String, Secret>;

/// Sections in the order in which they came first. What stands before the first section is in the section ``.
#[derive(Debug, Default)]
pub(in crate::provider) struct Ini {
    sections: Vec<(String, Section)>,
}

impl Ini {
    /// Reads a file, or tells which line is none and why.
    pub(in crate::provider) fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut ini = Self::default();
        let mut current = String::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let (name, rest) = rest.split_once(']').ok_or((index + 1, "has a [ without its ]"))?;
                let rest = rest.trim_start();
                if !rest.is_empty() && !rest.starts_with(['#', ';']) {
                    return Err((index + 1, "goes on after the ]"));
                }
                name.trim().clone_into(&mut current);
                ini.section(&current);
                continue;
            }
            let at = line.find(['=', ':']).ok_or((index + 1, "is neither [section] nor name = value"))?;
            let (name, value) = line.split_at(at);
            let name = name.trim().to_lowercase();
            if name.is_empty() {
                return Err((index + 1, "has no name before the ="));
            }
            let value = bare(value.get(1..).unwrap_or_default());
            ini.section(&current).insert(name, Secret::new(value.to_owned()));
        }
        Ok(ini)
    }

    fn section(&mut self, name: &str) -> &mut Section {
        let at = self.sections.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.sections.push((name.to_owned(), Section::new()));
            self.sections.len() - 1
        });
        &mut self.sections[at].1
    }

    /// Each section with its name, in order.
    pub(in crate::provider) fn into_sections(self) -> Vec<(String, Section)> {
        self.sections
    }

    /// Writes one section; `None` where a value could be read back as another.
    pub(in crate::provider) fn write(section: &str, values: &[(&str, &str)]) -> Option<Secret> {
        let length = section.len() + 4 + values.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for part in ["[", section, "]\n"] {
            text.push_str(part);
        }
        for (name, value) in values {
            let plain =
                !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !b"#;\"'`\\".contains(&byte));
            if !plain {
                return None;
            }
            for part in [name, " = ", value, "\n"] {
                text.push_str(part);
            }
        }
        Some(Secret::new(std::mem::take(&mut *text)))
    }
}

/// A value without the white space around it, a comment after it, and its quotes.
fn bare(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\'', '`'] {
        if let Some((inside, rest)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            let rest = rest.trim_start();
            if rest.is_empty() || rest.starts_with(['#', ';']) {
                return inside;
            }
        }
    }
    let mut before = ' ';
    for (at, character) in value.char_indices() {
        if matches!(character, '#' | ';') && before.is_whitespace() {
            return value.split_at(at).0.trim_end();
        }
        before = character;
    }
    value
}
