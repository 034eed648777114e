//! What the argument parser has to say, without repeating a secret that was pasted into the wrong place.

use std::io::{self, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::RED;
use crate::error::Code;
use crate::text::printable;

/// Prints what the argument parser has to say. Help and version go to stdout and are no failure.
///
/// A word that could be a secret pasted into the wrong place is not repeated.
pub fn usage(error: &clap::Error) -> std::result::Result<(), Code> {
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let pasted_secret = error.context().any(|(kind, value)| {
        matches!(kind, ContextKind::InvalidArg | ContextKind::InvalidValue | ContextKind::InvalidSubcommand)
            && matches!(value, ContextValue::String(word) if looks_like_a_token(word))
    });
    if pasted_secret {
        let mut talk = anstream::stderr();
        let _ = writeln!(
            talk,
            "{RED}error:{RED:#} an argument looks like a token, and tokens do not belong on the command line\n  \
             because: it is now in the shell's history, and other users of the machine could see it\n  \
             next: remove it from the history, then give it on stdin: `lanyard auth login --with-token`"
        );
        return Err(Code::Usage);
    }
    let is_hostile = error.context().any(|(_, value)| match value {
        ContextValue::String(word) => word != &printable(word),
        ContextValue::Strings(words) => words.iter().any(|word| word != &printable(word)),
        _ => false,
    });
    if is_hostile {
        let plain = error.render().to_string();
        let _ = writeln!(anstream::stderr(), "{}", plain.lines().map(printable).collect::<Vec<_>>().join("\n"));
        return Err(Code::Usage);
    }
    match error.print() {
        Ok(()) if is_help => Ok(()),
        Err(failed) if is_help && failed.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Code::Usage),
    }
}

/// Has a panic say where it happened and nothing else: its text may quote what the program was working on.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        // Nobody may be reading stderr, and a panic must not panic.
        let _ = writeln!(
            io::stderr(),
            "error: lanyard stopped on a mistake of its own{place}\n  next: report this line, and the command without its secrets"
        );
    }));
}

/// The word, unless it is a token pasted where a name belongs. The error is shown by [`usage`], which does not repeat it.
pub fn name(word: &str) -> std::result::Result<String, String> {
    if is_known_token(word) { Err("this is a token, not a name".into()) } else { Ok(word.to_owned()) }
}

/// What was typed, or `instead` of it where it could be a secret that was pasted into the wrong place.
pub fn unless_a_token<'w>(word: &'w str, instead: &'w str) -> &'w str {
    if looks_like_a_token(word) { instead } else { word }
}

/// Whether a word has the shape of a secret: a known kind of token, or a long run with letters and digits mixed.
pub fn looks_like_a_token(word: &str) -> bool {
    let word = word.split_once('=').map_or(word, |(_, value)| value);
    let mixed = word.len() > 20
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+/=".contains(&byte))
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
        && !word.starts_with("--");
    mixed || is_known_token(word)
}

/// Whether a word begins like the tokens of a known service, or is a JWT.
fn is_known_token(word: &str) -> bool {
    const PREFIXES: [&str; 12] =
        ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "sk-", "xoxb-", "xoxp-", "ya29."];
    let is_jwt = word.starts_with("eyJ") && word.split('.').count() == 3;
    is_jwt || PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len() + 8)
}
