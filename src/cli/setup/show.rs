//! A change as a person is shown it: the lines that go and the lines that come. What is not lanyard's may hold a secret,
//! in whatever form its owner wrote it down, so only its keys are shown.

use std::collections::BTreeSet;

use crate::setup::Edit;
use crate::text::{clean, printable};

/// What stands for a word that is not lanyard's.
const HIDDEN: &str = "****";

/// The lines that tell a change.
pub(super) fn lines(edit: &Edit) -> Vec<String> {
    let (path, before, after, own) = match edit {
        Edit::File { path, before, after, own } => (path, before.as_deref().unwrap_or_default(), after, own),
        Edit::Link { path, to } => return vec![format!("{} -> {}", path.display(), to.display())],
    };
    let own = Own::of(own);
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = before.iter().zip(&after).take_while(|(old, new)| old == new).count();
    let longest = before.len().min(after.len()) - same;
    let ends = before.iter().rev().zip(after.iter().rev());
    let same_end = ends.take(longest).take_while(|(old, new)| old == new).count();
    let mut told = vec![format!("{}:", path.display())];
    for (sign, lines) in [('-', before), ('+', after)] {
        let changed = lines.get(same..lines.len() - same_end).unwrap_or_default();
        told.extend(changed.iter().map(|line| format!("  {sign} {}", own.shown(line))));
    }
    told
}

/// What is lanyard's in a file.
struct Own<'o> {
    lines: BTreeSet<&'o str>,
    words: BTreeSet<&'o str>,
}

impl<'o> Own<'o> {
    fn of(text: &'o str) -> Self {
        Self { lines: text.lines().map(bare).collect(), words: text.split(parts).collect() }
    }

    /// A line with everything hidden that is neither lanyard's nor a key.
    fn shown(&self, line: &str) -> String {
        if self.lines.contains(bare(line)) || is_head(line) {
            return printable(&line.replace('\t', "    "));
        }
        let (key, rest) = line.split_at(key(line));
        let mut shown = key.to_owned();
        for piece in rest.split_inclusive(parts) {
            let word = piece.strip_suffix(parts).unwrap_or(piece);
            shown.push_str(if word.is_empty() || self.words.contains(word) { word } else { HIDDEN });
            shown.push_str(piece.get(word.len()..).unwrap_or_default());
        }
        printable(&shown.replace('\t', "    "))
    }
}

/// A line by what it says, wherever it stands.
fn bare(line: &str) -> &str {
    let line = line.trim();
    line.strip_suffix(',').unwrap_or(line)
}

/// Whether a character parts words in the files of tools.
fn parts(letter: char) -> bool {
    letter.is_whitespace() || "\"'`()[]{}<>,;:=|".contains(letter)
}

/// Whether a line is the head of a section, in which there is no room for a secret.
fn is_head(line: &str) -> bool {
    let inner = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_lowercase() || b"[]._- ".contains(&byte)))
}

/// Where the key of a line ends, with the sign behind it; 0 where it has none, such as the second line of a long value.
fn key(line: &str) -> usize {
    let is_sign = |(at, sign): &(usize, char)| {
        let (before, after) = (line.get(..*at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
        match sign {
            // The end of something in base 64 looks like one.
            '=' => !after.trim_matches('=').is_empty() || before.ends_with(' '),
            // Within an address or a pair of user and password it is none.
            ':' => after.is_empty() || after.starts_with([' ', '\t']) || before.ends_with(['"', '\'']),
            _ => false,
        }
    };
    let Some((at, _)) = line.char_indices().find(is_sign) else { return 0 };
    let is_plain = |key: &str| !key.contains("://") && !key.contains(['@', '?', '&']) && clean(key) == key;
    line.get(..at).filter(|key| is_plain(key.trim())).map_or(0, |key| key.len() + 1)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const CANARY: &str = "LNYCANARY";

    fn told(before: &str, after: &str, own: &str) -> String {
        let (before, after, own) = (Some(before.to_owned()), after.to_owned(), own.to_owned());
        lines(&Edit::File { path: PathBuf::from("file"), before, after, own }).join("\n")
    }

    #[test]
    fn what_a_tool_writes_in_another_form_is_not_shown() {
        let ours = "users:\n- name: lanyard-dev\n  user:\n    exec:\n      command: /opt/lanyard\n";
        let after = format!(
            "apiVersion: v1\nkind: Config\nusers:\n- name: lanyard-dev\n  user:\n    exec:\n      command: /opt/lanyard\n\
             - name: me\n  user:\n    token: {CANARY}\n    password: {CANARY} and more\n"
        );
        for theirs in [
            format!("users:\n- name: me\n  user:\n    token: \"{CANARY}\"\n    password: '{CANARY} and more'\n"),
            format!("users: [{{name: me, user: {{token: {CANARY}, \"password\": \"{CANARY} and more\"}}}}]\n"),
            format!("{{\"users\":[{{\"name\":\"me\",\"user\":{{\"token\":\"{CANARY}\"}}}}]}}\n"),
            format!(
                "users:\n- name: me\n  user:\n    token: >-\n      {CANARY}\n    password: |\n      {CANARY}==\n      u:{CANARY}\n"
            ),
            "users:\n- name: me\n  user:\n    token: \"LNY\\x43ANARY\"\n".to_owned(),
        ] {
            let told = told(&theirs, &after, ours);
            assert!(!told.contains(CANARY) && !told.contains("ANARY") && !told.contains("and more"), "{told}");
            for part in ["+ - name: lanyard-dev", "+       command: /opt/lanyard", "+     token: ****"] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
    }

    #[test]
    fn a_file_on_one_line_shows_what_comes_and_no_more() {
        let before = format!("{{\"auths\":{{\"ghcr.io\":{{\"auth\":\"{CANARY}\"}}}}}}");
        let after = before.strip_suffix('}').unwrap().to_owned()
            + ",\n  \"credHelpers\": {\n    \"h.example\": \"lanyard\"\n  }\n}";
        let own = "{\n  \"credHelpers\": {\n    \"h.example\": \"lanyard\"\n  }\n}\n";
        let told = told(&before, &after, own);
        assert!(!told.contains(CANARY) && told.contains("+     \"h.example\": \"lanyard\""), "{told}");
        assert!(told.contains("- {\"auths\":{\"****\":{\"****\":\"****\"}}}"), "{told}");
    }

    #[test]
    fn a_line_that_is_partly_lanyards_shows_that_part() {
        let own = "[registry]\nglobal-credential-providers = [\"cargo:token\", \"lanyard\"]\n";
        let before = format!("[registry]\nglobal-credential-providers = [\"{CANARY}\"]\n");
        let after = format!("[registry]\nglobal-credential-providers = [\"{CANARY}\", \"lanyard\"]\n");
        assert_eq!(
            told(&before, &after, own),
            "file:\n  - global-credential-providers = [\"****\"]\n  + global-credential-providers = [\"****\", \"lanyard\"]"
        );
    }

    #[test]
    fn what_comes_is_shown_and_what_was_there_is_not() {
        let ours = "[credential \"https://git.example\"]\n    helper = /usr/bin/lanyard helper git\n";
        let before = "[url]\n\tinsteadOf = https://git.example\n";
        let expected = "file:\n  + [credential \"https://git.example\"]\n  +     helper = /usr/bin/lanyard helper git";
        assert_eq!(told(before, &format!("{before}{ours}"), ours), expected);
        assert_eq!(told("", "a = b\n", "a = b\n"), "file:\n  + a = b");
        assert_eq!(told("[http]\n]\n", "x = 1\n", "x = 1\n"), "file:\n  - [http]\n  - ]\n  + x = 1");
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
            let shown = told(before, after, "ours");
            assert!(!shown.contains("s3cr3t") && shown.contains("ours"), "{before:?}: {shown}");
        }
    }

    #[test]
    fn only_what_looks_like_a_key_is_shown() {
        let own = Own::of("");
        for (line, shown) in [
            ("//registry.example/:_authToken=npm_x", "//registry.example/:_authToken=****"),
            ("https://alice:token@host.example", "****:****:****"),
            ("[url \"https://token@host\"]", "[**** \"****:****\"]"),
            ("[user]", "[user]"),
            ("\tname = A B", "    name = **** ****"),
            ("dG9rZW4=", "****="),
            ("dG9rZW4", "****"),
            ("# old: token", "# old: ****"),
            ("  },", "  },"),
            ("", ""),
        ] {
            assert_eq!(own.shown(line), shown, "{line}");
        }
    }
}
