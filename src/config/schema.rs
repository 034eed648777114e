//! Every key that the configuration may hold, as one table: what checks the file also drives `lanyard config`.

use super::error::{At, ConfigError, URL_MEND, url_problem};
use crate::http::parse_url;
use crate::text::{clean, nearest};

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text without control characters.
    Text,
    /// Text that is not shown in lists.
    Hidden,
    /// An address that `http::parse_url` accepts.
    Url,
    /// The name of a profile or a service.
    Name,
    /// `true` or `false`.
    Bool,
    /// A port number.
    Port,
    /// A list of texts; on the command line with commas between.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A path below an address.
    Path,
    /// A JSON pointer (RFC 6901).
    Pointer,
    /// A folder, absolute or below `~`.
    Directory,
}

/// One key that the configuration may hold.
#[derive(Debug)]
pub struct Field {
    /// The key, with `*` for a name and `#` for each element of a list.
    pub path: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// One line for a person.
    pub doc: &'static str,
}

const OUTPUTS: Kind = Kind::Choice(&["table", "json"]);
const STORES: Kind = Kind::Choice(&["auto", "keychain", "keyutils", "file", "plain"]);

const fn field(path: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { path, kind, doc }
}

/// Every key, in the order in which help texts list them.
pub const FIELDS: &[Field] = &[
    field("profile", Kind::Name, "the default profile"),
    field("defaults.output", OUTPUTS, "how facts are printed"),
    field("defaults.storage", STORES, "where tokens rest"),
    field("profiles.*.service", Kind::Name, "the service that the profile signs in to"),
    field("profiles.*.project", Kind::Text, "the project in use"),
    field("profiles.*.endpoint", Kind::Url, "the API's base address"),
    field("profiles.*.account", Kind::Text, "the account's name, written by login"),
    field("profiles.*.account_id", Kind::Text, "the account's identifier, written by login"),
    field("profiles.*.storage", STORES, "where this profile's tokens rest"),
    field("profiles.*.output", OUTPUTS, "how facts are printed under this profile"),
    field("profiles.*.scopes", Kind::List, "the scopes to ask for instead of the service's"),
    field("services.*.preset", Kind::Name, "the built-in service to start from"),
    field("services.*.issuer", Kind::Url, "the OpenID Connect or OAuth 2.0 issuer"),
    field("services.*.client_id", Kind::Text, "the client identifier registered for lanyard"),
    field("services.*.client_secret", Kind::Hidden, "the secret of a native client, where a server demands one"),
    field("services.*.scopes", Kind::List, "the scopes to ask for"),
    field("services.*.token_env", Kind::List, "the variables that carry a token for this service"),
    field("services.*.endpoint", Kind::Url, "the API's base address, for profiles that name none"),
    field("services.*.authorization_endpoint", Kind::Url, "where the browser signs in"),
    field("services.*.token_endpoint", Kind::Url, "where codes become tokens"),
    field("services.*.device_authorization_endpoint", Kind::Url, "where a device sign-in begins"),
    field("services.*.revocation_endpoint", Kind::Url, "where tokens are revoked"),
    field("services.*.introspection_endpoint", Kind::Url, "where tokens are looked up"),
    field("services.*.userinfo_endpoint", Kind::Url, "where the account is looked up"),
    field(
        "services.*.pushed_authorization_request_endpoint",
        Kind::Url,
        "where a request is pushed before the browser",
    ),
    field("services.*.jwks_uri", Kind::Url, "the issuer's keys"),
    field(
        "services.*.token_endpoint_auth_method",
        Kind::Choice(&["client_secret_basic", "client_secret_post", "none"]),
        "how the client proves itself",
    ),
    field("services.*.redirect_host", Kind::Choice(&["127.0.0.1", "[::1]", "localhost"]), "the redirect's host"),
    field("services.*.redirect_port", Kind::Port, "the redirect's port, for a server that demands a fixed one"),
    field("services.*.redirect_path", Kind::Path, "the redirect's path"),
    field("services.*.audience", Kind::Text, "the audience parameter that some servers want"),
    field("services.*.resource", Kind::Text, "the resource parameter (RFC 8707)"),
    field("services.*.prompt", Kind::Text, "the prompt parameter of OpenID Connect"),
    field("services.*.accept_unannounced_iss", Kind::Bool, "accept an iss that the server did not announce"),
    field("services.*.vault", Kind::Bool, "it is a lanyard server, which keeps the credentials"),
    field("services.*.api.whoami", Kind::Path, "the path that tells who the token belongs to"),
    field("services.*.api.account", Kind::Pointer, "pointer to the account's name"),
    field("services.*.api.account_id", Kind::Pointer, "pointer to the account's identifier"),
    field("services.*.api.expires_at", Kind::Pointer, "pointer to the token's expiry"),
    field("services.*.api.scopes", Kind::Pointer, "pointer to the token's scopes"),
    field("services.*.api.projects", Kind::Path, "the path that lists projects"),
    field("services.*.api.projects_list", Kind::Pointer, "pointer to the array of projects"),
    field("services.*.api.project_name", Kind::Pointer, "pointer to a project's name"),
    field("services.*.api.token_page", Kind::Url, "the page where a person makes a token"),
    field("services.*.git.address", Kind::Url, "the git host that takes this service's tokens"),
    field("services.*.git.username", Kind::Text, "the user name that the git host wants beside a token"),
    field("services.*.git.scopes", Kind::List, "the scopes that a token for git needs"),
    field("rules.#.directory", Kind::Directory, "a folder; the rule holds in it and below"),
    field("rules.#.profile", Kind::Name, "the profile to use there"),
];

/// What stands at a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Node {
    /// A value.
    Value(&'static Field),
    /// A table with further keys.
    Table,
    /// A list of tables.
    Tables,
    /// Nothing that lanyard knows.
    Unknown,
}

/// What the schema has at a key.
pub(super) fn node(key: &[String]) -> Node {
    let mut found = Node::Unknown;
    for field in FIELDS {
        let mut pattern = field.path.split('.');
        if !key.iter().all(|segment| pattern.next().is_some_and(|expected| fits(expected, segment))) {
            continue;
        }
        found = match pattern.next() {
            None => return Node::Value(field),
            Some("#") => Node::Tables,
            Some(_) => Node::Table,
        };
    }
    found
}

fn fits(expected: &str, segment: &str) -> bool {
    match expected {
        "*" => true,
        "#" => segment.bytes().all(|byte| byte.is_ascii_digit()),
        word => word == segment,
    }
}

/// Whether the last segment of a key is a name that the user chose.
pub(super) fn ends_in_name(key: &[String]) -> bool {
    key.len() == 2 && matches!(key[0].as_str(), "profiles" | "services")
}

/// The words that may stand where the last segment of `key` stands.
pub(super) fn siblings(key: &[String]) -> Vec<&'static str> {
    let Some((_, parent)) = key.split_last() else { return Vec::new() };
    let mut words: Vec<&str> = FIELDS
        .iter()
        .filter_map(|field| {
            let mut pattern = field.path.split('.');
            parent.iter().all(|segment| pattern.next().is_some_and(|expected| fits(expected, segment))).then_some(())?;
            pattern.next().filter(|word| !matches!(*word, "*" | "#"))
        })
        .collect();
    words.dedup();
    words
}

/// The error for a key that the schema does not know, with the known key that differs in one word.
pub(super) fn unknown(at: At, key: &[String]) -> ConfigError {
    let nearest = (0..key.len()).find(|place| matches!(node(&key[..=*place]), Node::Unknown)).and_then(|place| {
        let word = nearest(&key[place], siblings(&key[..=place]))?;
        let meant = [&key[..place], &[word.to_owned()], &key[place + 1..]].concat();
        (!matches!(node(&meant), Node::Unknown)).then(|| join(&meant))
    });
    ConfigError::UnknownKey { at, key: join(key), nearest }
}

/// A key as a person writes it: segments with dots between, one that holds a dot in quotation marks.
pub fn join(key: &[String]) -> String {
    let segments: Vec<String> = key
        .iter()
        .map(|segment| {
            let plain = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-@".contains(&byte));
            let shown: String = clean(segment).chars().take(64).collect();
            if plain && !segment.is_empty() { shown } else { format!("\"{shown}\"") }
        })
        .collect();
    segments.join(".")
}

/// A key as a person types it after `lanyard config set`: in single quotes where the shell would take its own away.
pub fn typed(key: &[&str]) -> String {
    let key = join(&key.iter().map(|segment| (*segment).to_owned()).collect::<Vec<_>>());
    if key.contains('"') { format!("'{key}'") } else { key }
}

/// The segments of a key as a person writes it; the reverse of [`join`].
pub fn split(key: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut quote = None;
    for character in key.chars() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            ('.', None) => segments.push(String::new()),
            _ => {
                if let Some(last) = segments.last_mut() {
                    last.push(character);
                }
            }
        }
    }
    segments
}

/// Whether a text may name a profile or a service: `[A-Za-z0-9][A-Za-z0-9._@-]{0,63}`.
pub fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte))
}

/// What mends a name.
pub(super) const NAME_MEND: &str =
    "use at most 64 letters, digits and the signs . _ @ - (the first a letter or a digit)";

/// What is wrong with a text as a value of this kind, and the mend.
pub(super) fn problem(kind: Kind, text: &str) -> Option<(String, String)> {
    let told = |problem: &str, mend: &str| Some((problem.to_owned(), mend.to_owned()));
    match kind {
        Kind::Pointer if text.is_empty() => None,
        _ if text.is_empty() => told("is empty", "give it a value, or remove it"),
        _ if text.chars().any(char::is_control) => told("holds control characters", "write it again without them"),
        Kind::Url => parse_url(text).err().map(|error| (url_problem(&error), URL_MEND.to_owned())),
        Kind::Name => (!is_name(text)).then(|| ("is not a usable name".to_owned(), NAME_MEND.to_owned())),
        Kind::Choice(words) => (!words.contains(&text)).then(|| {
            let mend = nearest(text, words.iter().copied())
                .map_or_else(|| format!("write one of: {}", words.join(", ")), |word| format!("write {word}"));
            (format!("is none of: {}", words.join(", ")), mend)
        }),
        // Two slashes would begin a host name when the path is joined to an address.
        Kind::Path if !text.starts_with('/') || text.starts_with("//") || text.contains('\\') => {
            told("is no path", "write a path that begins with one slash, such as /v1/me")
        }
        Kind::Pointer if !text.starts_with('/') => {
            told("is no JSON pointer", "write the keys with a slash before each, such as /user/email (RFC 6901)")
        }
        Kind::Text | Kind::Hidden | Kind::List | Kind::Bool | Kind::Port | Kind::Path | Kind::Pointer => None,
        Kind::Directory => directory_problem(text),
    }
}

fn directory_problem(text: &str) -> Option<(String, String)> {
    let folder = super::rules::without_stars(text);
    let below_home = folder == "~" || folder.starts_with("~/");
    if !below_home && !std::path::Path::new(folder).is_absolute() && folder != "/" {
        return Some(("is not absolute".into(), "begin it with / or with ~/".into()));
    }
    folder.contains('*').then(|| {
        ("has a star in the middle".into(), "name the folder; a rule holds for everything below it by itself".into())
    })
}

/// The field that a key on the command line names, with the key's segments.
pub fn lookup(key: &str) -> Result<(Vec<String>, &'static Field), ConfigError> {
    let segments = split(key);
    match node(&segments) {
        Node::Unknown => Err(unknown(At::Argument, &segments)),
        Node::Table | Node::Tables => Err(ConfigError::BadKey {
            key: join(&segments),
            problem: "is a table",
            mend: "name one of the keys in it; `lanyard config list` shows those that are set".into(),
        }),
        Node::Value(field) => match segments.get(1).filter(|_| field.path.contains('*')) {
            Some(name) if !is_name(name) => {
                Err(ConfigError::BadKey { key: join(&segments), problem: "has no usable name", mend: NAME_MEND.into() })
            }
            _ => Ok((segments, field)),
        },
    }
}

/// Reads the value of a key from the command line, where a list has commas between.
pub fn value(key: &[String], field: &Field, text: &str) -> Result<toml_edit::Value, ConfigError> {
    let bad = |(problem, mend)| ConfigError::BadValue { at: At::Argument, key: join(key), problem, mend };
    let wrong =
        |expected| ConfigError::WrongType { at: At::Argument, key: join(key), expected, found: "something else" };
    match field.kind {
        Kind::Bool => text.parse::<bool>().map(Into::into).map_err(|_| wrong("true or false")),
        Kind::Port => match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(i64::from(port).into()),
            _ => Err(wrong("a number from 1 to 65535")),
        },
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.clone().find_map(|item| problem(field.kind, item)).map_or(Ok(()), |found| Err(bad(found)))?;
            Ok(items.collect::<toml_edit::Array>().into())
        }
        kind => problem(kind, text).map_or_else(|| Ok(text.into()), |found| Err(bad(found))),
    }
}
