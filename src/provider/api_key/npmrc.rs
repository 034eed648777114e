//! The tokens in npm's settings: `//REGISTRY/:_authToken=TOKEN` lines, as npm/ini and npm/cli read them.

use crate::http::Url;
use crate::os::Env;
use crate::secret::Secret;

const FIELD: &str = ":_authToken";

/// A token and the registry that it is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The registry's address without its scheme: `registry.npmjs.org/`.
    pub(super) registry: String,
    pub(super) token: Secret,
}

/// The tokens, in order. One that names a variable is taken from there; where that is not set, npm has no token either.
/// Any other line is a setting that is not looked at.
pub(super) fn parse(text: &str, env: &Env) -> Vec<Entry> {
    text.lines().filter_map(|line| entry(line.trim(), env)).collect()
}

fn entry(line: &str, env: &Env) -> Option<Entry> {
    let (name, value) = line.split_once('=')?;
    let registry = unquoted(name.trim()).strip_prefix("//")?.strip_suffix(FIELD)?;
    let value = unquoted(value.trim());
    let token = match value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(variable) => env.var(variable.trim_end_matches('?'))?,
        None => value,
    };
    let entry = Entry { registry: registry.to_owned(), token: Secret::new(token.to_owned()) };
    (!registry.is_empty() && !token.is_empty()).then_some(entry)
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

/// The line for a registry; `None` where npm would read the token as something else.
pub(super) fn write(registry: &Url, token: &Secret) -> Option<Secret> {
    let fits = token.expose().bytes().all(|byte| byte.is_ascii_graphic() && !b"\"';#$\\=".contains(&byte));
    let address = registry.as_str().split_once("://")?.1;
    let slash = if address.ends_with('/') { "" } else { "/" };
    fits.then(|| Secret::new(["//", address, slash, FIELD, "=", token.expose(), "\n"].concat()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::http::parse_url;

    fn read(text: &str) -> Vec<(String, String)> {
        let env = Env::invented(Path::new("/c"), Path::new("/w"), &[("NPM_TOKEN", "from-variable")]);
        parse(text, &env).into_iter().map(|entry| (entry.registry, entry.token.expose().to_owned())).collect()
    }

    #[test]
    fn tokens_are_read_as_npm_reads_them() {
        let text = "; a comment\n# another\nregistry=https://r.example/\n//registry.npmjs.org/:_authToken=npm_one\n\
                    \"//r.example/path/:_authToken\" = \"two\"\n//v.example/:_authToken=${NPM_TOKEN}\n\
                    //unset.example/:_authToken=${NOT_SET}\n//old.example/:_auth=dXNlcjpwYXNz\nalways-auth=true\n";
        let expected = [
            ("registry.npmjs.org/", "npm_one"),
            ("r.example/path/", "two"),
            ("v.example/", "from-variable"),
        ];
        assert_eq!(read(text), expected.map(|(registry, token)| (registry.to_owned(), token.to_owned())));
    }

    #[test]
    fn a_token_that_npm_would_read_as_another_is_not_written() {
        let registry = parse_url("https://registry.npmjs.org").unwrap();
        for bad in ["${HOME}", "a b", "a#b", "\"q\""] {
            assert_eq!(write(&registry, &Secret::new(bad.into())), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(token in "[A-Za-z0-9_./+~-]{1,60}", path in "(/[a-z]{1,9}){0,3}/?") {
            let registry = parse_url(&format!("https://npm.example.com:8443{path}")).unwrap();
            let line = write(&registry, &Secret::new(token.clone())).unwrap();
            let address = format!("npm.example.com:8443{}/", registry.path().trim_end_matches('/'));
            prop_assert_eq!(read(line.expose()), vec![(address, token)]);
        }

        #[test]
        fn any_text_is_settings(text in "\\PC{0,200}") {
            read(&text);
        }
    }
}
