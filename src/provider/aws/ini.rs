//! The configuration files of the official tools, read by the rules of the AWS CLI, line by line.
//!
//! Those are the rules of Python's `configparser`: `key = value` or `key: value`, keys in any case, comments on lines of
//! their own, values that go on in deeper lines, and no section or key twice.

use crate::secret::Secret;

/// A section with its entries.
#[derive(Debug)]
pub(super) struct Section {
    /// What stands between the brackets.
    pub(super) name: String,
    /// The line of its header, from 1.
    pub(super) line: usize,
    entries: Vec<Entry>,
}

/// One value, with its continuation lines.
#[derive(Debug)]
struct Entry {
    key: String,
    line: usize,
    value: Secret,
}

/// A line that the official tools would not read either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadLine {
    /// The line, from 1.
    pub(super) line: usize,
    /// What is wrong with it, without its text.
    pub(super) problem: &'static str,
}

impl Section {
    /// The value of a key, which is given in lower case; an empty one counts as none.
    pub(super) fn get(&self, key: &str) -> Option<&Secret> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.expose().is_empty())
    }

    /// The line of a key, from 1.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.entry(key).map(|entry| entry.line)
    }

    /// The value of a key in an indented block below another one, as in `sts =` with `  endpoint_url = …`.
    pub(super) fn nested(&self, key: &str, inner: &str) -> Option<&str> {
        let block = self.get(key)?.expose().strip_prefix('\n')?;
        let pairs = block.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.trim(), value.trim())).rfind(|(key, _)| *key == inner).map(|(_, value)| value)
    }

    /// Whether an indented block below any key has this key.
    pub(super) fn nests(&self, inner: &str) -> bool {
        self.entries.iter().any(|entry| self.nested(&entry.key, inner).is_some())
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Section>, BadLine> {
    let mut sections: Vec<Section> = Vec::new();
    // How deep the current entry stands; a deeper line belongs to it.
    let mut open: Option<usize> = None;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, full) in text.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        let bad = |problem| BadLine { line, problem };
        let stripped = full.trim();
        if stripped.starts_with(['#', ';']) {
            continue;
        }
        let depth = full.chars().take_while(|character| character.is_whitespace()).count();
        let current = sections.last_mut();
        if stripped.is_empty() {
            if let (Some(_), Some(entry)) = (open, current.and_then(|section| section.entries.last_mut())) {
                append(&mut entry.value, "");
            }
            continue;
        }
        if let (Some(deep), Some(section)) = (open, current)
            && depth > deep
            && let Some(entry) = section.entries.last_mut()
        {
            append(&mut entry.value, stripped);
            continue;
        }
        if let Some(name) = header(stripped) {
            if sections.iter().any(|section| section.name == name) {
                return Err(bad("the section is there twice"));
            }
            sections.push(Section { name: name.to_owned(), line, entries: Vec::new() });
            open = None;
            continue;
        }
        let section = sections.last_mut().ok_or_else(|| bad("it stands before the first [section]"))?;
        let (key, value) = stripped.split_once(['=', ':']).ok_or_else(|| bad("it is no `key = value`"))?;
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            return Err(bad("it has no key"));
        }
        if section.entry(&key).is_some() {
            return Err(bad("the key is there twice in its section"));
        }
        section.entries.push(Entry { key, line, value: Secret::new(value.trim().to_owned()) });
        open = Some(depth);
    }
    for entry in sections.iter_mut().flat_map(|section| &mut section.entries) {
        let trimmed = entry.value.expose().trim_end();
        if trimmed.len() < entry.value.expose().len() {
            entry.value = Secret::new(trimmed.to_owned());
        }
    }
    Ok(sections)
}

/// `[name]`, with whatever may stand behind it.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.rsplit_once(']')?;
    Some(name).filter(|name| !name.is_empty())
}

/// Adds a line to a value, in a new buffer, so that the old one is wiped.
fn append(value: &mut Secret, line: &str) {
    *value = Secret::new([value.expose(), "\n", line].concat());
}

/// The words of a line as a POSIX shell splits them, without expanding anything; `None` where a quote stays open.
///
/// On Windows a backslash stands for itself.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let escapes = !cfg!(windows);
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (Some('"'), '\\') if escapes && characters.peek().is_some_and(|next| matches!(next, '"' | '\\')) => {
                word.get_or_insert_default().extend(characters.next());
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '\\') if escapes => word.get_or_insert_default().push(characters.next()?),
            (None, character) if character.is_whitespace() => words.extend(word.take()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value<'s>(sections: &'s [Section], section: &str, key: &str) -> Option<&'s str> {
        sections.iter().find(|found| found.name == section)?.get(key).map(Secret::expose)
    }

    #[test]
    fn a_usual_file_is_read_as_the_official_tool_reads_it() {
        let text = "\u{feff}# first\n[default]\nAWS_Access_Key_Id = AKIA\naws_secret_access_key=a/b+c=d\r\n\n; second\n\
                    [profile \"my team\"]  # behind\nregion: eu-west-1\noutput =\ns3 =\n  max = 10\n  # inside\n\n\
                    \x20 addressing_style = path\nnote = one\n  two # not a comment\n";
        let read = parse(text).unwrap();
        assert_eq!(value(&read, "default", "aws_access_key_id"), Some("AKIA"));
        assert_eq!(value(&read, "default", "aws_secret_access_key"), Some("a/b+c=d"));
        let team = "profile \"my team\"";
        assert_eq!(value(&read, team, "region"), Some("eu-west-1"));
        assert_eq!(value(&read, team, "output"), None);
        assert_eq!(value(&read, team, "note"), Some("one\ntwo # not a comment"));
        assert_eq!(read[1].nested("s3", "addressing_style"), Some("path"));
        assert_eq!(read[1].nested("s3", "max"), Some("10"));
        assert_eq!(read[1].nested("s3", "missing"), None);
        assert_eq!(read[1].nested("note", "one"), None);
        assert_eq!((read[0].line, read[0].line_of("aws_secret_access_key")), (2, Some(4)));
    }

    #[test]
    fn a_broken_file_is_told_with_its_line() {
        for (text, line, problem) in [
            ("\nkey = value\n", 2, "it stands before the first [section]"),
            ("[a]\nkey = 1\nKEY = 2\n", 3, "the key is there twice in its section"),
            ("[a]\n[b]\n[a]\n", 3, "the section is there twice"),
            ("[a]\njust words\n", 2, "it is no `key = value`"),
            ("[a]\n= value\n", 2, "it has no key"),
            ("[]\n", 1, "it stands before the first [section]"),
        ] {
            assert_eq!(parse(text).unwrap_err(), BadLine { line, problem }, "{text}");
        }
    }

    #[test]
    fn a_command_is_split_as_a_shell_splits_it() {
        let split = |line| words(line).map(|words| words.join("|"));
        assert_eq!(split("profile \"my team\"").as_deref(), Some("profile|my team"));
        assert_eq!(split("/opt/tool  --a 'b c' d\"e f\"g ''").as_deref(), Some("/opt/tool|--a|b c|de fg|"));
        assert_eq!(split("profile 'open"), None);
        if cfg!(unix) {
            assert_eq!(split(r#"a\ b "c\"d\e" 'f\g'"#).as_deref(), Some(r#"a b|c"d\e|f\g"#));
            assert_eq!(split("a\\"), None);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]=:#; \t\r\na-c\u{feff}\u{e9}\"'\\\\]{0,80}") {
            let _ = parse(&text);
            let _ = words(&text);
        }

        #[test]
        fn what_was_written_is_read_back(
            names in proptest::collection::btree_set("[a-zA-Z0-9_.@ -]{1,12}", 1..5),
            entries in proptest::collection::btree_map("[a-z_]{1,12}", "[!-~]([ -~]{0,40}[!-~])?", 1..6),
        ) {
            let mut text = String::new();
            for name in &names {
                text.extend(["[", name, "]\n"]);
                for (key, value) in &entries {
                    text.extend([key, " = ", value, "\n\n# a comment\n"]);
                }
            }
            let read = parse(&text).unwrap();
            for name in &names {
                for (key, expected) in &entries {
                    prop_assert_eq!(value(&read, name, key), Some(expected.as_str()));
                }
            }
        }
    }
}
