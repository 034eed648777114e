//! `WWW-Authenticate`: how a server wants to be asked (RFC 9110 section 11.6.1).

/// One way in: its scheme and the parameters, both names in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme: `basic`, `bearer`.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter; the first of that name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Every challenge of the header's values, in order. What is malformed ends the value it stands in, and what was read
/// of that value before counts.
pub(super) fn parse<'v>(values: impl IntoIterator<Item = &'v str>) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in values {
        let mut text = Text { rest: value };
        while let Some(word) = text.word() {
            if text.is_at_value() {
                let Some(content) = text.value() else { break };
                // A parameter before any scheme belongs to nothing.
                let Some(Challenge { parameters, .. }) = challenges.last_mut() else { break };
                parameters.push((word, content));
            } else {
                challenges.push(Challenge { scheme: word, parameters: Vec::new() });
                text.skip_token68();
            }
        }
    }
    challenges
}

/// What is left to read of a value.
struct Text<'t> {
    rest: &'t str,
}

impl Text<'_> {
    /// The next token in lower case, past white space and commas.
    fn word(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        let end = self.rest.find(|character| !is_token(character)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_ascii_lowercase())
    }

    /// Whether `=` and a value follow, so that the word before was a parameter's name.
    fn is_at_value(&self) -> bool {
        self.rest.trim_start_matches([' ', '\t']).starts_with('=')
    }

    /// The value after `=`: a token, or a quoted string with its escapes undone.
    fn value(&mut self) -> Option<String> {
        let blank = [' ', '\t'];
        self.rest = self.rest.trim_start_matches(blank).strip_prefix('=')?.trim_start_matches(blank);
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(value.to_owned());
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = quoted.get(at + 1..).unwrap_or_default();
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }

    /// Passes over the single value that some schemes have in place of parameters: `Negotiate oYG2==`.
    fn skip_token68(&mut self) {
        let word = self.rest.trim_start_matches([' ', '\t']);
        let end = word.find([',', ' ', '\t']).unwrap_or(word.len());
        let (word, rest) = word.split_at(end);
        let core = word.trim_end_matches('=');
        let is_alone = rest.trim_start_matches([' ', '\t']).chars().next().is_none_or(|next| next == ',');
        let fits = |character: char| character.is_ascii_alphanumeric() || "-._~+/".contains(character);
        if is_alone && !core.is_empty() && core.chars().all(fits) {
            self.rest = rest;
        }
    }
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(values: &[&str]) -> Vec<String> {
        let one = |challenge: Challenge| {
            let parameters = challenge.parameters.iter().map(|(name, value)| format!(" {name}=[{value}]"));
            challenge.scheme + &parameters.collect::<String>()
        };
        parse(values.iter().copied()).into_iter().map(one).collect()
    }

    #[test]
    fn challenges_are_read_as_they_are_meant() {
        for (values, meant) in [
            (
                vec![r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#],
                vec!["bearer realm=[https://auth.docker.io/token] service=[registry.docker.io]"],
            ),
            // A comma inside quotes ends nothing.
            (
                vec![r#"Bearer realm="https://a/t",scope="repository:x:pull,push",error="insufficient_scope""#],
                vec!["bearer realm=[https://a/t] scope=[repository:x:pull,push] error=[insufficient_scope]"],
            ),
            (vec!["BASIC Realm=plain"], vec!["basic realm=[plain]"]),
            (vec![r#"Basic realm="a", Bearer realm="b""#], vec!["basic realm=[a]", "bearer realm=[b]"]),
            (vec![r#"Basic realm="a""#, r#"Bearer realm="b""#], vec!["basic realm=[a]", "bearer realm=[b]"]),
            (vec![r#"Negotiate oYG2=, Basic realm="a""#], vec!["negotiate", "basic realm=[a]"]),
            (vec!["Negotiate, , Basic"], vec!["negotiate", "basic"]),
            (vec![r#"Basic realm = "a \"b\" \\c""#], vec![r#"basic realm=[a "b" \c]"#]),
            (vec![r#"Bearer realm="https://never-ends"#], vec!["bearer"]),
            (vec!["=", "realm=x", ""], vec![]),
            (vec![r#"Bearer realm="é", service=x"#], vec!["bearer realm=[é] service=[x]"]),
        ] {
            assert_eq!(shown(&values), meant, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(value in any::<String>()) {
            parse([value.as_str()]);
        }

        #[test]
        fn what_is_quoted_is_read_back(realm in "[ -~]{0,40}", service in "[ -~]{0,40}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let value = format!(r#"Basic x=y, Bearer realm="{}", service="{}""#, quote(&realm), quote(&service));
            let read = parse([value.as_str()]);
            prop_assert_eq!(read.len(), 2);
            prop_assert_eq!(read[1].parameter("realm"), Some(realm.as_str()));
            prop_assert_eq!(read[1].parameter("service"), Some(service.as_str()));
        }
    }
}
