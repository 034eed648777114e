//! `lanyard credentials export`: a credential in the form that a shell, a program or an official tool reads.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::named::{self, typed};
use crate::cli::ui::unless_a_token;
use crate::cli::{Doors, active, vault_door};
use crate::credential::{Content, Variable};
use crate::error::{Code, Failure, Result};
use crate::os::files;
use crate::provider::{self, Provider};
use crate::secret::Secret;
use crate::vault::usable;

/// Print a credential as variables or as an official tool's file
///
/// For those who must: whatever takes the output holds the secret in plain text.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  eval \"$(lanyard credentials export aws --format env)\"\n  \
lanyard credentials export deploy --format kubeconfig --to kubeconfig.yaml")]
pub(crate) struct Args {
    /// The credential
    #[arg(value_name = "NAME", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    name: String,
    /// env, json, dotenv, or a file of the credential's tool
    #[arg(long, value_name = "FORMAT")]
    format: String,
    /// Write a file that only you can read, instead of printing
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    to: Option<PathBuf>,
}

/// Why it cannot be printed so.
#[derive(Debug, thiserror::Error)]
enum ExportFailure {
    /// There is no such form.
    #[error("{name} cannot be printed as {}", unless_a_token(.format, "that"))]
    NoFormat { name: String, format: String, known: String },
    /// A variable names a file, which has to be somewhere.
    #[error("{variable} names a file, and variables alone cannot hold it")]
    NeedsFile { variable: String, format: Option<&'static str> },
    /// It would garble the screen.
    #[error("this is no text, and nothing for a screen")]
    NoText,
    /// What was stored is no base64.
    #[error("what the vault holds of the file is damaged")]
    Damaged,
    /// A value cannot be written in this form.
    #[error("the value of {variable} cannot be written as {format}")]
    Unwritable { variable: String, format: &'static str },
}

impl Failure for ExportFailure {
    fn code(&self) -> Code {
        match self {
            Self::Damaged => Code::Invalid,
            _ => Code::Usage,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::NoFormat { known, .. } => format!("choose one of {known}"),
            Self::NeedsFile { format: Some(format), .. } => {
                format!("write the file itself: `--format {format} --to FILE`")
            }
            Self::NeedsFile { format: None, .. } => {
                "reveal the field: `lanyard credentials show NAME --reveal FIELD`".into()
            }
            Self::Unwritable { .. } => "choose `--format json`".into(),
            Self::NoText => "write it with `--to FILE`, or choose `--format base64`".into(),
            Self::Damaged => "store the file again, with `--replace`".into(),
        })
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
        let known = provider::of(&metadata);
        let files = known.map(Provider::files).unwrap_or_default();
        let formats = ["env", "json", "dotenv"].into_iter().chain(files.iter().map(|(word, _)| *word));
        let no_format = || {
            let others: Vec<&str> = formats.clone().filter(|word| *word != self.format).collect();
            let (format, known) = (self.format.clone(), others.join(", "));
            ExportFailure::NoFormat { name: typed(&metadata), format, known }
        };
        if !formats.clone().any(|word| word == self.format) {
            return Err(no_format().into());
        }
        let (credential, issued) = usable::fresh(vault, &metadata, &vault_door::net(doors))?;
        let variables = known.map(|provider| provider.export(&credential, &issued)).unwrap_or_default();
        let content = match self.format.as_str() {
            "env" => Content::Text(shell(&variables, files)?),
            "dotenv" => Content::Text(dotenv(&variables, files)?),
            "json" => Content::Text(json(&variables)?),
            format => known.and_then(|known| known.content(format, &credential, &issued)).ok_or_else(no_format)?,
        };
        self.hand_over(doors, &content)?;
        Ok(vault.note_use(&metadata, doors.env.now())?)
    }

    fn hand_over(&self, doors: &Doors<'_>, content: &Content) -> Result<()> {
        if let Some(path) = &self.to {
            let path = doors.env.working_dir().join(path);
            let bytes = content.bytes().ok_or(ExportFailure::Damaged)?;
            files::replace(&path, &bytes, false)?;
            let path = path.display();
            doors.ui.warn(&format!("{path} holds the secret in plain text; remove it when it is no longer needed"));
            return Ok(());
        }
        if doors.ui.answer_is_a_file() {
            doors.ui.warn("the output goes to a file, which then holds the secret in plain text");
        }
        match content {
            Content::Text(text) if doors.env.stdout_is_terminal => doors.ui.answer_lines(text),
            Content::Text(text) => {
                // Byte for byte: a line break that is not there may not come from here.
                doors.ui.mask(text)?;
                doors.ui.answer_bytes(text.expose().as_bytes())
            }
            Content::Base64(_) if doors.env.stdout_is_terminal => Err(ExportFailure::NoText.into()),
            Content::Base64(_) => doors.ui.answer_bytes(&content.bytes().ok_or(ExportFailure::Damaged)?),
        }
    }
}

/// What a variable can be: a value, or nothing.
enum Plain<'v> {
    Set(&'v str, &'v Secret),
    Unset(&'v str),
}

fn plain<'v>(
    variables: &'v [Variable],
    files: &[(&'static str, &'static str)],
) -> Result<Vec<Plain<'v>>, ExportFailure> {
    let each = |variable: &'v Variable| match variable {
        Variable::Value { name, value, .. } => Ok(Plain::Set(name, value)),
        Variable::Unset { name } => Ok(Plain::Unset(name)),
        Variable::File { name, .. } => {
            Err(ExportFailure::NeedsFile { variable: name.clone(), format: files.first().map(|(word, _)| *word) })
        }
    };
    variables.iter().map(each).collect()
}

/// Lines for `eval` in a POSIX shell: single quotes, in which nothing is expanded.
fn shell(variables: &[Variable], files: &[(&'static str, &'static str)]) -> Result<Secret, ExportFailure> {
    let mut text = room(variables);
    for variable in plain(variables, files)? {
        match variable {
            Plain::Set(name, value) => {
                let quoted = Zeroizing::new(value.expose().replace('\'', r"'\''"));
                for part in ["export ", name, "='", &quoted, "'\n"] {
                    text.push_str(part);
                }
            }
            Plain::Unset(name) => {
                for part in ["unset ", name, "\n"] {
                    text.push_str(part);
                }
            }
        }
    }
    Ok(Secret::new(std::mem::take(&mut *text)))
}

/// Lines of a `.env` file, in single quotes. Its readers do not agree on how a quote within is written, so such a value
/// is refused.
fn dotenv(variables: &[Variable], files: &[(&'static str, &'static str)]) -> Result<Secret, ExportFailure> {
    let mut text = room(variables);
    for variable in plain(variables, files)? {
        let Plain::Set(name, value) = variable else { continue };
        if value.expose().contains('\'') {
            return Err(ExportFailure::Unwritable { variable: name.to_owned(), format: "dotenv" });
        }
        for part in [name, "='", value.expose(), "'\n"] {
            text.push_str(part);
        }
    }
    Ok(Secret::new(std::mem::take(&mut *text)))
}

/// One JSON object, names to values; the content of files under the variable that would name them.
fn json(variables: &[Variable]) -> Result<Secret, ExportFailure> {
    let mut text = room(variables);
    for variable in variables {
        let (name, value) = match variable {
            Variable::Value { name, value, .. } => (name, value.duplicate()),
            Variable::File { name, content, .. } => {
                let unwritable = || ExportFailure::Unwritable { variable: name.clone(), format: "json" };
                let bytes = content.bytes().ok_or_else(unwritable)?;
                let content = std::str::from_utf8(&bytes).map_err(|_| unwritable())?;
                (name, Secret::new(content.to_owned()))
            }
            Variable::Unset { .. } => continue,
        };
        let opening = if text.is_empty() { "{\n  " } else { ",\n  " };
        let quoted = Zeroizing::new(serde_json::Value::from(value.expose()).to_string());
        for part in [opening, &serde_json::Value::from(name.as_str()).to_string(), ": ", &quoted] {
            text.push_str(part);
        }
    }
    let closing = if text.is_empty() { "{}\n" } else { "\n}\n" };
    text.push_str(closing);
    Ok(Secret::new(std::mem::take(&mut *text)))
}

/// A buffer that need not grow, so that no copy is left behind.
fn room(variables: &[Variable]) -> Zeroizing<String> {
    let length: usize = variables
        .iter()
        .map(|variable| match variable {
            Variable::Value { name, value, .. } => name.len() + 6 * value.expose().len() + 32,
            Variable::File { name, content, .. } => {
                name.len() + 6 * content.bytes().map_or(0, |bytes| bytes.len()) + 32
            }
            Variable::Unset { name } => name.len() + 16,
        })
        .sum();
    Zeroizing::new(String::with_capacity(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, value: &str) -> Variable {
        Variable::plain(name, value)
    }

    #[test]
    fn a_shell_reads_back_every_byte() {
        let nasty = "'; touch /tmp/pwn; ' $(id) `id` \\ \"x\" !\n%PATH% \u{e9}";
        let text = shell(&[value("A", nasty), Variable::Unset { name: "B" }], &[]).unwrap();
        let script = "B=set; eval \"$LINES_GIVEN\"; printf %s \"$A${B-gone}\"";
        let output =
            std::process::Command::new("sh").args(["-c", script]).env("LINES_GIVEN", text.expose()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{nasty}gone"));
    }

    #[test]
    fn json_is_json_and_dotenv_refuses_what_its_readers_disagree_on() {
        let text = json(&[value("A", "x\"\n"), value("B", "y")]).unwrap();
        let read: serde_json::Value = serde_json::from_str(text.expose()).unwrap();
        assert_eq!(read, serde_json::json!({"A": "x\"\n", "B": "y"}));
        assert_eq!(json(&[]).unwrap().expose(), "{}\n");
        assert_eq!(dotenv(&[value("A", "x y")], &[]).unwrap().expose(), "A='x y'\n");
        assert!(dotenv(&[value("A", "it's")], &[]).is_err());
    }
}
