//! One text: the credentials that stand in it, each with its line.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::marks::{Hit, Marks};
use super::{dotenv, generic};
use crate::credential::{Class, Kind, Raw};
use crate::secret::Secret;

/// Values of one credential stand no further apart than this, in lines.
const NEAR: usize = 10;

/// A credential, or a part of one, that stands in a text.
pub(super) struct Sighting {
    /// What it is.
    pub(super) kind: &'static Kind,
    /// Its values, as far as they stand here.
    pub(super) raw: Raw,
    /// The service, where the mark tells it; else empty.
    pub(super) service: &'static str,
    /// The line of its first secret, from 1.
    pub(super) line: usize,
    /// The line of what was found of it last.
    last: usize,
    /// The variable that holds it, where it is one.
    pub(super) variable: Option<String>,
    /// Whether nothing but the variable's name says that it is a secret.
    pub(super) is_guess: bool,
}

/// What sort of text it is, by the name of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// Lines of `NAME=value`: the name alone can say that the value is secret.
    Assignments,
    /// A start-up file of a shell, which has such lines among others.
    Shell,
    /// A file for the official tool of some provider.
    Official,
    /// Anything else, an example of the first sort among them.
    Text,
}

/// Files of official tools and of keys, by their whole name.
const OFFICIAL: [&str; 24] = [
    ".netrc",
    "_netrc",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pypirc",
    ".git-credentials",
    ".my.cnf",
    ".pgpass",
    ".s3cfg",
    ".boto",
    ".vercel",
    ".ovh.conf",
    "credentials",
    "credentials.json",
    "credentials.toml",
    "kubeconfig",
    ".dockercfg",
    ".dockerconfigjson",
    "terraform.tfvars",
    "terraform.tfstate",
    ".terraformrc",
    "secrets.toml",
    "secrets.yml",
];
const SHELL: [&str; 13] = [
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".kshrc",
    ".xprofile",
    ".xsessionrc",
    ".pam_environment",
];

impl Sort {
    /// The sort of a file of that name.
    #[expect(clippy::case_sensitive_file_extension_comparisons, reason = "the name is in lower case")]
    pub(super) fn of(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let is_env = lower == ".env"
            || lower == ".envrc"
            || lower.starts_with(".env.")
            || lower.starts_with(".env-")
            || lower.ends_with(".env");
        let is_example = ["example", "sample", "template", "dist", "default"].iter().any(|word| lower.contains(word));
        let is_key = lower.starts_with("id_") && !lower.ends_with(".pub")
            || [".pem", ".key", ".p8", ".tfvars", ".tfstate", ".ppk"].iter().any(|ending| lower.ends_with(ending));
        match lower.as_str() {
            _ if is_env && is_example => Self::Text,
            _ if is_env => Self::Assignments,
            name if SHELL.contains(&name) => Self::Shell,
            name if OFFICIAL.contains(&name) || is_key => Self::Official,
            _ => Self::Text,
        }
    }

    /// Whether such a file is read even where an ignore file names it: they do so because it holds secrets.
    pub(super) fn is_read_always(self) -> bool {
        self != Self::Text
    }
}

/// The credentials in a text. `open` is the kind of variables that no provider knows.
pub(super) fn sightings(marks: &Marks, open: Option<&'static Kind>, text: &[u8], sort: Sort) -> Vec<Sighting> {
    let hits = kept(marks.hits(text), text);
    let named = matches!(sort, Sort::Assignments | Sort::Shell);
    if hits.is_empty() && !named {
        return Vec::new();
    }
    let plain = if named { std::str::from_utf8(text).unwrap_or_default() } else { "" };
    let assignments = dotenv::assignments(plain);
    let mut lines = Lines { text, at: 0, line: 1 };
    let mut found: Vec<Sighting> = Vec::new();
    for hit in &hits {
        let line = lines.of(hit.value.start);
        let holder = assignments.iter().find(|assignment| covers(&assignment.written, &hit.value));
        let variable = holder.map(|assignment| assignment.name.to_owned());
        add(&mut found, hit, text, line, variable);
    }
    let mut lines = Lines { text, at: 0, line: 1 };
    for assignment in assignments {
        let is_known = hits.iter().any(|hit| covers(&assignment.written, &hit.value));
        if let (Some(kind), false, true) = (open, is_known, generic::is_secret(assignment.name, &assignment.value)) {
            let line = lines.of(assignment.lines.start);
            let mut raw = Raw::new();
            raw.set(assignment.name, Secret::new(assignment.value.into_owned()));
            let variable = Some(assignment.name.to_owned());
            found.push(Sighting { kind, raw, service: "", line, last: line, variable, is_guess: true });
        }
    }
    found
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The hits that are no placeholders and do not lie in one another; of two in one place, the longer one, else the first.
fn kept<'m>(mut hits: Vec<Hit<'m>>, text: &[u8]) -> Vec<Hit<'m>> {
    let is_real = |hit: &Hit<'_>| {
        let value = text.get(hit.value.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
        value.is_some_and(is_plausible)
    };
    hits.retain(is_real);
    hits.sort_by_key(|hit| (hit.value.start, std::cmp::Reverse(hit.value.end)));
    let mut end = 0;
    hits.retain(|hit| {
        let is_free = hit.value.start >= end;
        end = end.max(hit.value.end);
        is_free
    });
    hits
}

/// Whether a value that looks like one of a provider's can be one: documentation has many that are made up.
fn is_plausible(value: &str) -> bool {
    let is_made_up = ["EXAMPLE", "EXAMPLEKEY"].iter().any(|end| value.ends_with(end));
    let is_word = value.len() < 24 && value.bytes().all(|byte| byte.is_ascii_lowercase());
    !value.is_empty() && !is_made_up && !is_word && (value.contains('\n') || !generic::is_placeholder(value))
}

/// Adds what was met: to the credential of its kind that stands just before and lacks this value, else as a new one.
fn add(found: &mut Vec<Sighting>, hit: &Hit<'_>, text: &[u8], line: usize, variable: Option<String>) {
    let (kind, mark) = (hit.ready.kind, hit.ready.mark);
    let Some(value) = text.get(hit.value.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return };
    let mut values = Raw::new();
    match basic(kind, mark.field, value) {
        Some((username, password)) => values.plain("username", &username).set("password", password),
        None => values.set(mark.field, Secret::new(value.to_owned())),
    };
    if let Some((name, half)) = public_half(hit, text) {
        values.plain(name, half);
    }
    let is_secret = kind.class(mark.field) == Class::Secret;
    let open = found.iter_mut().rev().find(|sighting| {
        std::ptr::eq(sighting.kind, kind) && sighting.service == mark.service && line - sighting.last.min(line) <= NEAR
    });
    if let Some(sighting) = open
        && values.names().all(|name| !sighting.raw.has(name))
    {
        let had_a_secret = sighting.raw.names().any(|name| kind.class(name) == Class::Secret);
        if is_secret && !had_a_secret {
            (sighting.line, sighting.variable) = (line, variable);
        }
        sighting.last = line;
        sighting.raw.fill_from(values);
        return;
    }
    if !mark.service.is_empty() && kind.field("service").is_some() {
        values.plain("service", mark.service);
    }
    let service = mark.service;
    found.push(Sighting { kind, raw: values, service, line, last: line, variable, is_guess: false });
}

/// The public half of a pair, where a mark is met by both: it is what the match begins with, as the keyword does.
fn public_half<'t>(hit: &Hit<'_>, text: &'t [u8]) -> Option<(&'static str, &'t str)> {
    let (kind, mark) = (hit.ready.kind, hit.ready.mark);
    let before = text.get(hit.whole.start..hit.value.start)?;
    let end = before.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    let half = before.get(..end).and_then(|half| std::str::from_utf8(half).ok())?;
    let half = (half.starts_with(mark.keyword) && half.len() > mark.keyword.len()).then_some(half)?;
    let field = kind.fields.iter().find(|field| field.class == Class::Identifier && field.name != mark.field)?;
    (field.check)(half).is_ok().then_some((field.name, half))
}

/// User name and password, where a password was met in the form in which HTTP sends both, as in docker's files.
fn basic(kind: &Kind, field: &str, value: &str) -> Option<(String, Secret)> {
    if field != "password" || kind.field("username").is_none() {
        return None;
    }
    let pair = basic_pair(value)?;
    let (username, password) = pair.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.to_owned())))
}

/// `user:password` out of base64.
pub(super) fn basic_pair(value: &str) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(STANDARD.decode(value.trim()).ok()?);
    let pair = std::str::from_utf8(&bytes).ok().map(|pair| Zeroizing::new(pair.to_owned()))?;
    let is_pair = pair.split_once(':').is_some_and(|(user, password)| !user.is_empty() && !password.is_empty());
    (is_pair && !pair.chars().any(char::is_control)).then_some(pair)
}

/// Counts lines, for places that come in order.
struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, place: usize) -> usize {
        let between = self.text.get(self.at..place).unwrap_or_default();
        self.line += between.split(|byte| *byte == b'\n').count() - 1;
        self.at = self.at.max(place);
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;
    use crate::scan::tests::{KEYS, OPEN};

    fn seen(text: &str, sort: Sort) -> Vec<String> {
        let marks = Marks::of(&[&KEYS as &'static dyn Provider]);
        let shown = |sighting: Sighting| {
            let names: Vec<&str> = sighting.raw.names().collect();
            let variable = sighting.variable.unwrap_or_default();
            format!("{}:{} {} {variable}", sighting.line, sighting.kind.id, names.join("+")).trim_end().to_owned()
        };
        sightings(&marks, Some(&OPEN), text.as_bytes(), sort).into_iter().map(shown).collect()
    }

    #[test]
    fn values_that_belong_together_are_one_credential() {
        let text = "id: TID0123456789ABCDEFG\nsecret: SK/0123456789abcdefghij\n\nid: TID0123456789ABCDEFH\n\
                    secret: SK/0123456789abcdefghik\n";
        assert_eq!(seen(text, Sort::Text), ["2:peer_keys key_id+secret_key", "5:peer_keys key_id+secret_key"]);
        let far = format!("id: TID0123456789ABCDEFG\n{}secret: SK/0123456789abcdefghij\n", "\n".repeat(20));
        assert_eq!(seen(&far, Sort::Text), ["1:peer_keys key_id", "22:peer_keys secret_key"]);
    }

    #[test]
    fn a_mark_that_is_met_by_both_halves_gives_both() {
        let text = "x PAIR0123456789 = SK-0123456789abcdefghij\n";
        assert_eq!(seen(text, Sort::Text), ["1:peer_keys key_id+secret_key"]);
    }

    #[test]
    fn names_count_only_where_lines_are_assignments() {
        let text =
            "# keys\nTOKEN=tk-0123456789abcdef\nexport DB_PASSWORD='hunter2-Horse'\nMODE=test\nAPI_KEY=changeme\n";
        assert_eq!(seen(text, Sort::Assignments), ["2:peer_token token TOKEN", "3:open DB_PASSWORD DB_PASSWORD"]);
        assert_eq!(seen(text, Sort::Shell).len(), 2);
        assert_eq!(seen(text, Sort::Text), ["2:peer_token token"]);
    }

    #[test]
    fn what_documentation_makes_up_is_no_credential() {
        assert!(seen("TIDIOSFODNN7EXAMPLE00\ntk-xxxxxxxxxxxxxxxx\n", Sort::Text).is_empty());
        assert!(seen("id: TID0123456789EXAMPLE", Sort::Text).is_empty());
    }

    #[test]
    fn a_password_in_base64_is_taken_apart() {
        // ann:hunter2-Horse
        let text = "{\"peer-auth\": \"YW5uOmh1bnRlcjItSG9yc2U=\"}";
        assert_eq!(seen(text, Sort::Text), ["1:peer_login password+username"]);
        assert!(basic_pair("YW5u").is_none() && basic_pair("!").is_none());
    }

    #[test]
    fn the_name_of_a_file_tells_its_sort() {
        for (name, sort) in [
            (".env", Sort::Assignments),
            (".ENV.local", Sort::Assignments),
            ("prod.env", Sort::Assignments),
            (".envrc", Sort::Assignments),
            (".env.example", Sort::Text),
            (".zshrc", Sort::Shell),
            (".npmrc", Sort::Official),
            ("id_ed25519", Sort::Official),
            ("id_ed25519.pub", Sort::Text),
            ("server.key", Sort::Official),
            ("main.rs", Sort::Text),
        ] {
            assert_eq!(Sort::of(name), sort, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let marks = Marks::of(&[&KEYS as &'static dyn Provider]);
            sightings(&marks, Some(&OPEN), &text, Sort::Assignments);
        }
    }
}
