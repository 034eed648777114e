//! What is the same in every run of a test: the output with folders, ports and times replaced by placeholders.

use std::path::Path;

/// The folders of a stage, longest first.
#[derive(Debug, Clone)]
pub struct Places(Vec<(String, &'static str)>);

impl Places {
    pub fn new(home: &Path, config: &Path, root: &Path) -> Self {
        let text = |path: &Path| path.display().to_string();
        Self(vec![(text(config), "[CONFIG]"), (text(home), "[HOME]"), (text(root), "[ROOT]")])
    }

    /// Puts the placeholders in.
    pub fn replace(&self, text: &str) -> String {
        let folders = self.0.iter().fold(text.to_owned(), |text, (folder, name)| text.replace(folder, name));
        spans(&times(&ports(&folders)))
    }
}

/// `127.0.0.1:40123` becomes `127.0.0.1:[PORT]`.
fn ports(text: &str) -> String {
    let mut rest = text;
    let mut replaced = String::new();
    while let Some(at) = ["127.0.0.1:", "127.0.0.2:", "[::1]:", "localhost:"]
        .iter()
        .filter_map(|host| rest.find(host).map(|at| at + host.len()))
        .min()
    {
        let digits = rest[at..].bytes().take_while(u8::is_ascii_digit).count();
        replaced += &rest[..at];
        replaced += if digits > 0 { "[PORT]" } else { "" };
        rest = &rest[at + digits..];
    }
    replaced + rest
}

/// `2026-12-31T23:59:59Z` becomes `[TIME]`, `2026-12-31` becomes `[DATE]`.
fn times(text: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, name) = if let Some(length) = length_of(rest, "dddd-dd-ddTdd:dd:dd") {
            let zone = rest[length..].find(|c: char| !c.is_ascii_digit() && !"Z.+-:".contains(c));
            (length + zone.unwrap_or(rest.len() - length), "[TIME]")
        } else if let Some(length) = length_of(rest, "dddd-dd-dd") {
            (length, "[DATE]")
        } else {
            replaced.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        replaced += name;
        rest = &rest[length..];
    }
    replaced
}

/// The length of `shape` where the text begins with it; `d` stands for a digit.
fn length_of(text: &str, shape: &str) -> Option<usize> {
    let fits = |(have, want): (u8, u8)| if want == b'd' { have.is_ascii_digit() } else { have == want };
    (text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(fits)).then_some(shape.len())
}

/// `in 38 days` becomes `in [SPAN]`, `38 seconds ago` becomes `[SPAN] ago`.
fn spans(text: &str) -> String {
    const UNITS: [&str; 5] = ["second", "minute", "hour", "day", "year"];
    let mut replaced = Vec::new();
    for line in text.split('\n') {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        for at in 0..words.len().saturating_sub(1) {
            let number = words[at].trim_start_matches('(');
            let unit = words[at + 1].trim_end_matches([')', '.', ',', ':']).trim_end_matches('s').to_owned();
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && UNITS.contains(&unit.as_str())
            {
                let open = words[at].len() - number.len();
                let tail = words[at + 1].trim_start_matches(|c: char| c.is_ascii_alphabetic()).to_owned();
                words[at] = format!("{}[SPAN]{tail}", "(".repeat(open));
                words[at + 1] = "\0".into();
            }
        }
        words.retain(|word| word != "\0");
        replaced.push(words.join(" "));
    }
    replaced.join("\n")
}

/// Whether a text is as expected, where `[..]` stands for anything within a line.
pub fn matches(expected: &str, actual: &str) -> bool {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.split('\n').collect(), actual.split('\n').collect());
    expected.len() == actual.len() && expected.iter().zip(&actual).all(|(expected, actual)| line(expected, actual))
}

fn line(expected: &str, actual: &str) -> bool {
    let Some((before, after)) = expected.split_once("[..]") else { return expected == actual };
    let Some(rest) = actual.strip_prefix(before) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| line(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_replaced() {
        let places = Places::new(Path::new("/t/x/home"), Path::new("/t/x/home/.config/lanyard"), Path::new("/t/x"));
        let text = "open http://127.0.0.1:40123/cb in /t/x/home/.config/lanyard/config.toml and /t/x/home\n\
                    Token expires: 2026-12-31 (in 38 days), 2026-12-31T23:59:59Z, 5 seconds ago.";
        assert_eq!(
            places.replace(text),
            "open http://127.0.0.1:[PORT]/cb in [CONFIG]/config.toml and [HOME]\n\
             Token expires: [DATE] (in [SPAN]), [TIME], [SPAN] ago."
        );
    }

    #[test]
    fn a_wildcard_stays_within_its_line() {
        assert!(matches("a [..] c\nd", "a b b c\nd"));
        assert!(matches("[..]c[..]", "abcde"));
        assert!(!matches("a [..]\nd", "a b"));
        assert!(!matches("a [..] c", "a b d"));
        assert!(!matches("a", "a\nb"));
    }
}
