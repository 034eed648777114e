//! Settings of git, and a `.netrc`: files in which a line has a program run, though their form has no list of keys.
//!
//! Sources: git-config(1), and what curl and GNU inetutils say of `.netrc`.

use super::Wrong;
use super::forms::{GOES, OPENS, RUNS};

/// Keys of sections, whatever their subsection: how they are told, and why they are refused.
const REFUSED: [(&str, &str, &str, &str); 34] = [
    ("core", "sshcommand", "core.sshCommand", RUNS),
    ("core", "gitproxy", "core.gitProxy", RUNS),
    ("core", "fsmonitor", "core.fsmonitor", RUNS),
    ("core", "hookspath", "core.hooksPath", RUNS),
    ("core", "pager", "core.pager", RUNS),
    ("core", "editor", "core.editor", RUNS),
    ("core", "askpass", "core.askPass", RUNS),
    ("core", "alternaterefscommand", "core.alternateRefsCommand", RUNS),
    ("credential", "helper", "credential.helper", RUNS),
    ("include", "path", "include.path", OPENS),
    ("includeif", "path", "includeIf.path", OPENS),
    ("diff", "external", "diff.external", RUNS),
    ("diff", "textconv", "diff.textconv", RUNS),
    ("diff", "command", "diff.command", RUNS),
    ("difftool", "cmd", "difftool.cmd", RUNS),
    ("mergetool", "cmd", "mergetool.cmd", RUNS),
    ("merge", "driver", "merge.driver", RUNS),
    ("filter", "clean", "filter.clean", RUNS),
    ("filter", "smudge", "filter.smudge", RUNS),
    ("filter", "process", "filter.process", RUNS),
    ("gpg", "program", "gpg.program", RUNS),
    ("gpg", "defaultkeycommand", "gpg.defaultKeyCommand", RUNS),
    ("sequence", "editor", "sequence.editor", RUNS),
    ("interactive", "difffilter", "interactive.diffFilter", RUNS),
    ("init", "templatedir", "init.templateDir", RUNS),
    ("remote", "uploadpack", "remote.uploadpack", RUNS),
    ("remote", "receivepack", "remote.receivepack", RUNS),
    ("uploadpack", "packobjectshook", "uploadpack.packObjectsHook", RUNS),
    ("browser", "cmd", "browser.cmd", RUNS),
    ("man", "cmd", "man.cmd", RUNS),
    ("trailer", "cmd", "trailer.cmd", RUNS),
    ("trailer", "command", "trailer.command", RUNS),
    ("url", "insteadof", "url.insteadOf", GOES),
    ("url", "pushinsteadof", "url.pushInsteadOf", GOES),
];

/// Refuses a text that git would read as settings which give orders.
pub(super) fn settings(text: &str) -> Result<(), Wrong> {
    let mut section = String::new();
    for line in text.lines() {
        let mut rest = line.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
        // What stands behind the name of a section on its line counts as well.
        while let Some((name, behind)) = rest.strip_prefix('[').and_then(head) {
            section = name;
            rest = behind.trim_start();
        }
        let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-')).unwrap_or(rest.len());
        let (key, value) = rest.split_at(end);
        let value = value.trim_start().strip_prefix('=').unwrap_or_default().trim_start();
        let key = key.to_ascii_lowercase();
        let known = REFUSED.iter().find(|(of, known, ..)| *of == section && *known == key);
        if let Some((_, _, told, why)) = known {
            return Err((Some(told), why));
        }
        // An alias is harmless unless the shell is to run it; one in quotes is one, too.
        let is_run = value.trim_start_matches(['"', '\\', ' ', '\t']).starts_with('!');
        if section == "alias" && !key.is_empty() && is_run {
            return Err((Some("alias"), RUNS));
        }
        if section == "pager" && !key.is_empty() {
            return Err((Some("pager"), RUNS));
        }
    }
    Ok(())
}

/// The name of a section without its subsection, in small letters, and what comes behind its end.
fn head(text: &str) -> Option<(String, &str)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let end = text.char_indices().find_map(|(at, letter)| {
        let ends = letter == ']' && !is_quoted;
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        ends.then_some(at)
    })?;
    let (inside, behind) = text.split_at(end);
    let name = inside.trim().split(|letter: char| letter == '.' || letter == '"' || letter.is_whitespace()).next()?;
    Some((name.to_ascii_lowercase(), &behind[1..]))
}

/// Refuses a `.netrc` with a macro: some programs carry that out as soon as they are connected.
pub(super) fn netrc(text: &str) -> Result<(), Wrong> {
    const MACRO: &str = "macdef";
    let is_entry = |word: &str| ["machine", "default"].contains(&word);
    let has_entries = text.lines().any(|line| line.split_whitespace().next().is_some_and(is_entry));
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some(MACRO) || (has_entries && words.any(|word| word == MACRO)) {
            return Err((Some(MACRO), RUNS));
        }
    }
    Ok(())
}
