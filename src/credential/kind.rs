//! Kinds: what a credential consists of, as data that prompts, flags, masks and tables are made from.

use std::fmt;

/// Refuses what cannot be a value, or a name, and says what it should be instead, without quoting it.
pub type Rule = fn(&str) -> Result<(), &'static str>;

/// The type of a credential. Owned by its provider's file.
#[derive(Debug)]
pub struct Kind {
    /// The identifier, such as `aws_static`.
    pub id: &'static str,
    /// What a person calls it, such as `AWS access key`.
    pub title: &'static str,
    /// The name of the provider that knows it.
    pub provider: &'static str,
    /// Its fields, in the order in which they are asked for.
    pub fields: &'static [Field],
    /// Where names beyond `fields` are allowed, all of them secret, what a name must look like.
    pub open: Option<Rule>,
    /// Whether what is handed out is made afresh from it, so that its expiry is nobody's concern.
    pub renews_itself: bool,
}

impl Kind {
    /// A kind with these fields and no others.
    pub const fn new(id: &'static str, title: &'static str, provider: &'static str, fields: &'static [Field]) -> Self {
        Self { id, title, provider, fields, open: None, renews_itself: false }
    }

    /// Allows names beyond the fields, all of them secret.
    #[must_use]
    pub const fn open(mut self, name_check: Rule) -> Self {
        self.open = Some(name_check);
        self
    }

    /// Marks a kind from which what is handed out is made afresh.
    #[must_use]
    pub const fn renews_itself(mut self) -> Self {
        self.renews_itself = true;
        self
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether a server that keeps it hands out what is under that name.
    pub fn hands_out(&self, name: &str) -> bool {
        self.field(name).is_none_or(|field| !field.withheld)
    }

    /// How a value under that name is treated. Names beyond the fields are secret.
    pub fn class(&self, name: &str) -> Class {
        self.field(name).map_or(Class::Secret, |field| field.class)
    }
}

/// How much of a value may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// All of it: a region, an address.
    Plain,
    /// Its beginning and its end: the public half of a pair, such as an access key id.
    Identifier,
    /// Nothing but, of a long one, the last four characters. Sealed at rest.
    Secret,
}

/// One value of a credential.
pub struct Field {
    /// The name, in `snake_case`; the flag is the same with hyphens.
    pub name: &'static str,
    /// What a person calls it; the prompt.
    pub title: &'static str,
    /// How much of it may be seen.
    pub class: Class,
    /// Whether the kind is nothing without it.
    pub required: bool,
    /// Refuses what cannot be such a value, and says what it should be instead, without quoting it.
    pub check: Rule,
    /// A made-up value that passes the check.
    pub example: &'static str,
    /// Whether line breaks belong to it, as in a PEM block.
    pub multiline: bool,
    /// Whether it stands for any bytes, in base64: what a file holds is brought into that form.
    pub binary: bool,
    /// Whether its provider reads it out of the secret, so that it has no flag and follows when the secret changes.
    pub derived: bool,
    /// Whether its provider reads it out of others where it is not given, so that it follows when they change.
    pub follows: bool,
    /// Whether a server that keeps it uses it itself, and hands it to nobody.
    pub withheld: bool,
}

impl Field {
    /// A secret, required.
    pub const fn secret(name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            class: Class::Secret,
            required: true,
            check: rules::token,
            example: "s3cr3t-value-of-some-length",
            multiline: false,
            binary: false,
            derived: false,
            follows: false,
            withheld: false,
        }
    }

    /// A value that everybody may see, required.
    pub const fn plain(name: &'static str, title: &'static str) -> Self {
        Self { class: Class::Plain, check: rules::line, example: "value", ..Self::secret(name, title) }
    }

    /// The public half of a pair, required.
    pub const fn identifier(name: &'static str, title: &'static str) -> Self {
        Self { class: Class::Identifier, example: "identifier", ..Self::secret(name, title) }
    }

    /// The kind does without it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// What it must look like, and an example of that.
    #[must_use]
    pub const fn checked(mut self, check: Rule, example: &'static str) -> Self {
        self.check = check;
        self.example = example;
        self
    }

    /// A server that keeps it uses it itself, and hands it to nobody.
    #[must_use]
    pub const fn withheld(mut self) -> Self {
        self.withheld = true;
        self
    }

    /// The provider reads it out of the secret.
    #[must_use]
    pub const fn derived(mut self) -> Self {
        self.derived = true;
        self
    }

    /// The provider reads it out of others where it is not given.
    #[must_use]
    pub const fn follows(mut self) -> Self {
        self.follows = true;
        self
    }

    /// Line breaks belong to it.
    #[must_use]
    pub const fn multiline(mut self) -> Self {
        self.multiline = true;
        self
    }

    /// It stands for any bytes, in base64.
    #[must_use]
    pub const fn binary(mut self) -> Self {
        self.binary = true;
        self
    }

    /// The flag that gives it, without the hyphens before: `secret-access-key`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What values look like. Lengths and prefixes of tokens change without notice, so these refuse what would break a
/// header, a file or a shell, and what is plainly something else; they do not guess.
pub mod rules {
    /// The longest value, in bytes, but for files.
    pub const LONGEST: usize = 64 << 10;

    /// One word of visible ASCII: what can stand in a header.
    pub fn token(value: &str) -> Result<(), &'static str> {
        if value.is_empty() {
            return Err("it is empty");
        }
        if value.len() > LONGEST {
            return Err("it is longer than 64 KiB");
        }
        if value.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err("it holds white space, control characters or letters outside ASCII")
        }
    }

    /// One line of text without control characters.
    pub fn line(value: &str) -> Result<(), &'static str> {
        if value.trim().is_empty() {
            return Err("it is empty");
        }
        if value.len() > LONGEST {
            return Err("it is longer than 64 KiB");
        }
        if value.chars().any(char::is_control) { Err("it holds a line break or a control character") } else { Ok(()) }
    }

    /// A password: any line, blanks included.
    pub fn password(value: &str) -> Result<(), &'static str> {
        if value.is_empty() {
            return Err("it is empty");
        }
        if value.len() > LONGEST {
            return Err("it is longer than 64 KiB");
        }
        if value.chars().any(char::is_control) { Err("it holds a line break or a control character") } else { Ok(()) }
    }

    /// Text of any number of lines.
    pub fn text(value: &str) -> Result<(), &'static str> {
        if value.trim().is_empty() {
            return Err("it is empty");
        }
        if value.len() > LONGEST * 4 {
            return Err("it is longer than 256 KiB");
        }
        if value.contains('\0') { Err("it holds a zero byte") } else { Ok(()) }
    }

    /// An address that lanyard talks to.
    pub fn url(value: &str) -> Result<(), &'static str> {
        crate::http::parse_url(value)
            .map(|_| ())
            .map_err(|_| "it is no https:// address (http:// only for this machine)")
    }

    /// A host, with a port where it has one.
    pub fn host(value: &str) -> Result<(), &'static str> {
        let fits = !value.is_empty()
            && value.len() <= 255
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        if fits { Ok(()) } else { Err("it is no host name") }
    }
}
