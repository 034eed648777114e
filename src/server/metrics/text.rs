//! The text form of Prometheus, version 0.0.4.

use std::fmt::{Display, Write as _};

/// A page that is being written.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One number of the family. The labels are words of the program: there is nothing to quote in them.
    pub(super) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        if labels.is_empty() {
            self.write(format_args!("{name} {value}\n"));
        } else {
            self.write(format_args!("{name}{{{}}} {value}\n", labels.join(",")));
        }
    }

    /// A family of one number.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }

    /// The page.
    pub(super) fn done(self) -> String {
        self.0
    }

    fn write(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes whatever is written to it.
        let _ = self.0.write_fmt(line);
    }
}
