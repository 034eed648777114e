//! What is shown of a change to a tool's file: what lanyard puts there, and nothing of what its user had there, which may
//! be a secret.

use std::collections::BTreeSet;

use crate::setup::Site;
use crate::text::{clean, printable};

/// What stands for text of the file's user.
const HIDDEN: &str = "****";
/// Shorter words tell nothing, and stand in every file.
const SHORTEST: usize = 3;

/// The lines that go and the lines that come, each with its sign.
pub(super) fn lines(before: &str, after: &str, known: &BTreeSet<String>) -> Vec<String> {
    let text = before;
    let before: Vec<&str> = before.lines().collect();
    let after: Vec<&str> = after.lines().collect();
    let same = before.iter().zip(&after).take_while(|(old, new)| old == new).count();
    let longest = before.len().min(after.len()) - same;
    let same_end =
        before.iter().rev().zip(after.iter().rev()).take(longest).take_while(|(old, new)| old == new).count();
    let theirs = Theirs::of(text, known);
    let gone = before.get(same..before.len() - same_end).unwrap_or_default();
    let come = after.get(same..after.len() - same_end).unwrap_or_default();
    let gone = gone.iter().map(|line| format!("- {}", hidden(line)));
    gone.chain(come.iter().map(|line| format!("+ {}", theirs.hidden_in(line)))).collect()
}

/// The words that lanyard itself puts into files: of the program's path, of the hosts that were named, and of what is no
/// secret of the credentials in the vault. They are shown even if the file has them already.
pub(super) fn known(site: &Site<'_>) -> BTreeSet<String> {
    let program = site.program.display().to_string();
    let of_vault = site.credentials.iter().flat_map(|one| one.fields.values().chain([&one.name]));
    let texts = of_vault.chain(site.hosts).map(String::as_str).chain([program.as_str()]);
    texts.flat_map(words).map(str::to_owned).collect()
}

/// A line of somebody's file with its value hidden; all of it, where nothing says which part is the value.
fn hidden(line: &str) -> String {
    match split(line) {
        (key, value) if value.trim().is_empty() => clean(key),
        (key, _) => format!("{} {HIDDEN}", clean(key)).trim_start().to_owned(),
    }
}

/// The key with the sign behind it, and the value; no key where there is no such sign.
fn split(line: &str) -> (&str, &str) {
    match line.find(['=', ':']) {
        Some(at) => line.split_at(at + 1),
        None if is_bare(line) => (line, ""),
        None => ("", line),
    }
}

/// Whether a line holds nothing that could be a value: the head of a section, brackets, signs.
fn is_bare(line: &str) -> bool {
    let line = line.trim();
    let head = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    let is_head = |name: &str| name.len() <= 40 && name.chars().all(|c| c.is_ascii_lowercase() || ".-_".contains(c));
    head.is_some_and(is_head) || !line.contains(char::is_alphanumeric)
}

/// What is in the file already.
struct Theirs<'t> {
    lines: BTreeSet<&'t str>,
    words: BTreeSet<&'t str>,
}

impl<'t> Theirs<'t> {
    fn of(text: &'t str, known: &BTreeSet<String>) -> Self {
        let words = text.lines().flat_map(|line| words(split(line).1));
        let words = words.filter(|word| word.len() >= SHORTEST && !known.contains(*word)).collect();
        Self { lines: text.lines().map(str::trim).collect(), words }
    }

    /// A line that comes. A tool that writes its whole file anew moves lines about and writes values otherwise, so that
    /// each word is looked at.
    fn hidden_in(&self, line: &str) -> String {
        let line = printable(&line.replace('\t', "    "));
        if self.lines.contains(line.trim()) {
            let indent = line.len() - line.trim_start().len();
            return format!("{}{}", " ".repeat(indent), hidden(&line));
        }
        let (key, value) = split(&line);
        let mut shown = key.to_owned();
        let mut rest = value;
        while let Some(start) = rest.find(|c| !is_between(c)) {
            let (between, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(is_between).unwrap_or(from.len()));
            shown.push_str(between);
            shown.push_str(if self.words.contains(word) { HIDDEN } else { word });
            rest = after;
        }
        shown + rest
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_between).filter(|word| !word.is_empty())
}

fn is_between(character: char) -> bool {
    !character.is_alphanumeric() && !"._-+~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> String {
        lines(before, after, &BTreeSet::from(["git.example".to_owned()])).join("\n")
    }

    #[test]
    fn what_comes_is_shown_and_what_was_there_is_not() {
        let ours = "[credential \"https://git.example\"]\n    helper = /usr/bin/lanyard helper git\n";
        let before = "[url]\n\tinsteadOf = https://git.example\n";
        let expected = "+ [credential \"https://git.example\"]\n+     helper = /usr/bin/lanyard helper git";
        assert_eq!(shown(before, &format!("{before}{ours}")), expected);
        assert_eq!(shown("", "a = b\n"), "+ a = b");
    }

    #[test]
    fn a_value_is_hidden_wherever_it_comes_to_stand() {
        for (before, after) in [
            ("token: s3cr3t+word", "token: \"s3cr3t+word\"\nours: 1"),
            ("{\"auth\":\"s3cr3t+word\"}", "{\n  \"ours\": 1,\n  \"auth\": \"s3cr3t+word\"\n}"),
            ("GOAUTH=git s3cr3t+word", "GOAUTH=git s3cr3t+word; ours"),
            ("[\n  \"s3cr3t+word\",\n]", "[\n  \"s3cr3t+word\",\n  \"ours\",\n]\n"),
            ("[\n  \"s3cr3t+word\",\n]", "[\"s3cr3t+word\", \"ours\"]"),
            ("a:\n  s3cr3t+word\n", "a: s3cr3t+word\nours\n"),
            ("- s3cr3t+word\n", "ours\n  - s3cr3t+word\n"),
            ("s3cr3t+word\n", "ours\n"),
        ] {
            let shown = shown(before, after);
            assert!(!shown.contains("s3cr3t") && shown.contains("ours"), "{before:?}: {shown}");
        }
    }

    #[test]
    fn heads_and_brackets_stay() {
        let before = "[http]\n]\n";
        assert_eq!(shown(before, "x = 1\n"), "- [http]\n- ]\n+ x = 1");
    }
}
