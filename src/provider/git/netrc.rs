//! `~/.netrc` as curl, which git uses, reads it: words, of which `machine`, `login` and `password` count.

use std::str::CharIndices;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// A machine with a login and a password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// The host.
    pub(super) host: String,
    pub(super) login: String,
    pub(super) password: Secret,
}

/// The machines with a password, in order; or the number of a line and what is wrong with it. An entry for every other
/// host (`default`) is for none in particular.
pub(super) fn parse(text: &str) -> Result<Vec<Machine>, (usize, &'static str)> {
    let mut words = Words { text, characters: text.char_indices(), line: 1 };
    let mut machines = Vec::new();
    let mut current = Draft::default();
    while let Some(word) = words.next()? {
        match word.as_str() {
            "machine" => {
                machines.extend(std::mem::take(&mut current).done());
                current.host = Some(words.value("machine names no host")?);
            }
            "default" => machines.extend(std::mem::take(&mut current).done()),
            "login" => current.login = Some(words.value("login names no user")?),
            "password" => current.password = Some(words.value("password gives none")?),
            "account" => drop(words.value("account names none")?),
            "macdef" => {
                words.value("macdef has no name")?;
                words.skip_macro();
            }
            _ => return Err((words.line, "has a word that no such file has")),
        }
    }
    machines.extend(current.done());
    Ok(machines)
}

#[derive(Default)]
struct Draft {
    host: Option<Zeroizing<String>>,
    login: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
}

impl Draft {
    fn done(self) -> Option<Machine> {
        let mut password = self.password?;
        Some(Machine {
            host: self.host?.to_lowercase(),
            login: self.login.map(|login| String::clone(&login)).unwrap_or_default(),
            password: Secret::new(std::mem::take(&mut *password)),
        })
    }
}

struct Words<'a> {
    text: &'a str,
    characters: CharIndices<'a>,
    line: usize,
}

impl Words<'_> {
    fn character(&mut self) -> Option<char> {
        let (_, character) = self.characters.next()?;
        if character == '\n' {
            self.line += 1;
        }
        Some(character)
    }

    /// The next word. What stands in quotes is one, with `\` before a quote, a `\`, and for `\n`, `\r` and `\t`.
    fn next(&mut self) -> Result<Option<Zeroizing<String>>, (usize, &'static str)> {
        let first = loop {
            match self.character() {
                None => return Ok(None),
                Some('#') => while !matches!(self.character(), None | Some('\n')) {},
                Some(character) if character.is_whitespace() => {}
                Some(character) => break character,
            }
        };
        // What is left of the text is room enough, so that growing leaves no copy behind.
        let mut word = Zeroizing::new(String::with_capacity(self.characters.as_str().len().min(4 << 10) + 4));
        if first != '"' {
            word.push(first);
            while let Some(character) = self.characters.clone().next().map(|(_, character)| character) {
                if character.is_whitespace() {
                    break;
                }
                self.character();
                word.push(character);
            }
            return Ok(Some(word));
        }
        let opened = self.line;
        loop {
            let unclosed = (opened, "has a quote that does not end");
            match self.character().ok_or(unclosed)? {
                '"' => return Ok(Some(word)),
                '\n' => return Err(unclosed),
                '\\' => word.push(match self.character().ok_or(unclosed)? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    other => other,
                }),
                character => word.push(character),
            }
        }
    }

    fn value(&mut self, problem: &'static str) -> Result<Zeroizing<String>, (usize, &'static str)> {
        let line = self.line;
        self.next()?.ok_or((line, problem))
    }

    /// A macro goes on to the next empty line.
    fn skip_macro(&mut self) {
        let rest = self.characters.as_str();
        let end = rest.find("\n\n").map_or(rest.len(), |end| end + 2);
        self.line += rest.bytes().take(end).filter(|byte| *byte == b'\n').count();
        let start = self.text.len() - rest.len() + end;
        self.characters = self.text.get(start..).unwrap_or_default().char_indices();
    }
}

/// The entry for a login; `None` where readers of such files do not agree on how it is written.
pub(super) fn write(host: &str, login: &str, password: &Secret) -> Option<Secret> {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\#".contains(&byte))
    };
    let fits = plain(host) && plain(login) && plain(password.expose());
    fits.then(|| {
        Secret::new(["machine ", host, "\nlogin ", login, "\npassword ", password.expose(), "\n"].concat())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String, String)> {
        let told = |machine: Machine| (machine.host, machine.login, machine.password.expose().to_owned());
        parse(text).unwrap().into_iter().map(told).collect()
    }

    fn row(host: &str, login: &str, password: &str) -> (String, String, String) {
        (host.into(), login.into(), password.into())
    }

    #[test]
    fn machines_are_read_as_curl_reads_them() {
        let text = "# a comment with password in it\nmachine GitHub.com login alice password one\n\
                    machine two.example\n\tlogin bob # his own\n\tpassword \"a \\\"b\\\" \\\\c\"\n\
                    machine open.example login nobody\nmacdef init\ncd /pub\npassword x\n\n\
                    machine three.example account x password three\ndefault login anonymous password me@example.com\n";
        let expected = [
            row("github.com", "alice", "one"),
            row("two.example", "bob", "a \"b\" \\c"),
            row("three.example", "", "three"),
        ];
        assert_eq!(read(text), expected);
        assert!(read("").is_empty());
    }

    #[test]
    fn a_broken_line_is_told_by_its_number() {
        for (text, line) in [
            ("machine a\nlogin b\nsecret c\n", 3),
            ("machine a login b\npassword", 2),
            ("machine a\nlogin \"b\npassword c\n", 2),
            ("macdef x\na\n\nmachine a\nnonsense", 5),
        ] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            host in "[a-z0-9.-]{1,20}", login in "[!$-&(-\\[\\]-~]{1,20}", password in "[!$-&(-\\[\\]-~]{1,40}"
        ) {
            let written = write(&host, &login, &Secret::new(password.clone())).unwrap();
            prop_assert_eq!(read(written.expose()), vec![(host, login, password)]);
        }

        #[test]
        fn any_text_is_machines_or_not(text in "(\\PC|\n|\"|machine |password |macdef ){0,40}") {
            let _ = parse(&text);
        }
    }
}
