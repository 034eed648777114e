//! Values that a kind accepts. There is no other way to a credential than through [`Fields::parse`].

use std::collections::BTreeMap;

use super::{Class, Kind};
use crate::error::{Code, Failure};
use crate::secret::Secret;
use crate::text::nearest;

/// Values before they are checked, by field name. All are held as secrets: which of them are is the kind's to say.
#[derive(Debug, Default)]
pub struct Raw(BTreeMap<String, Secret>);

impl Raw {
    /// No values yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value under a field's name; a line break at its end goes, unless lines belong to it.
    pub fn set(&mut self, name: &str, value: Secret) -> &mut Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// Puts a value that is no secret.
    pub fn plain(&mut self, name: &str, value: &str) -> &mut Self {
        self.set(name, Secret::new(value.to_owned()))
    }

    /// Puts a value under a name that has none yet.
    pub fn fill(&mut self, name: &str, value: Secret) -> &mut Self {
        self.0.entry(name.to_owned()).or_insert(value);
        self
    }

    /// Takes every value of `other` whose name has none yet.
    pub fn fill_from(&mut self, other: Self) -> &mut Self {
        for (name, value) in other.0 {
            self.fill(&name, value);
        }
        self
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// Takes the value of a field out.
    pub fn take(&mut self, name: &str) -> Option<Secret> {
        self.0.remove(name)
    }

    /// Whether there is a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names of the kind's required fields that have no value.
    pub fn missing(&self, kind: &'static Kind) -> Vec<&'static str> {
        kind.fields.iter().filter(|field| field.required && !self.has(field.name)).map(|field| field.name).collect()
    }
}

/// The values of one credential: complete, known by name, of the right form.
#[derive(Debug)]
pub struct Fields {
    /// Their kind.
    pub kind: &'static Kind,
    /// The values that are no secret.
    pub plain: BTreeMap<String, String>,
    /// The secrets.
    pub secrets: BTreeMap<String, Secret>,
}

impl Fields {
    /// Accepts values, or tells which one is missing, unknown or malformed. No value is quoted.
    pub fn parse(kind: &'static Kind, raw: Raw) -> Result<Self, FieldError> {
        if let Some(name) = raw.missing(kind).first() {
            return Err(FieldError::Missing { kind: kind.title, field: (*name).to_owned() });
        }
        let (mut plain, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in raw.0 {
            let malformed = |problem| FieldError::Malformed { kind: kind.title, field: name.clone(), problem };
            match (kind.field(&name), kind.open) {
                (Some(field), _) => (field.check)(value.expose()).map_err(malformed)?,
                (None, Some(name_check)) => {
                    name_check(&name).map_err(|problem| FieldError::BadName { name: name.clone(), problem })?;
                }
                (None, None) => {
                    let known = kind.fields.iter().map(|field| field.name);
                    let nearest = nearest(&name, known).map(str::to_owned);
                    return Err(FieldError::Unknown { kind: kind.title, field: name, nearest });
                }
            }
            if kind.class(&name) == Class::Secret {
                secrets.insert(name, value);
            } else {
                plain.insert(name, value.expose().to_owned());
            }
        }
        if plain.is_empty() && secrets.is_empty() {
            return Err(FieldError::Empty { kind: kind.title });
        }
        Ok(Self { kind, plain, secrets })
    }
}

/// Why values are no credential of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A required field has no value.
    #[error("the {kind} lacks {field}")]
    Missing {
        /// The kind's title.
        kind: &'static str,
        /// The field.
        field: String,
    },
    /// The kind has no such field.
    #[error("the {kind} has no field {field}")]
    Unknown {
        /// The kind's title.
        kind: &'static str,
        /// The field.
        field: String,
        /// The field that may have been meant.
        nearest: Option<String>,
    },
    /// The value cannot be one of this field.
    #[error("{field} of the {kind} is malformed: {problem}")]
    Malformed {
        /// The kind's title.
        kind: &'static str,
        /// The field.
        field: String,
        /// What is wrong, without the value.
        problem: &'static str,
    },
    /// A name of the user's own is none.
    #[error("{name} cannot be used as a name: {problem}")]
    BadName {
        /// The name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// There is not a single value.
    #[error("the {kind} has no values")]
    Empty {
        /// The kind's title.
        kind: &'static str,
    },
}

impl Failure for FieldError {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Missing { field, .. } => {
                format!("give --{0} VALUE, --{0} - (from stdin) or --{0} @FILE", field.replace('_', "-"))
            }
            Self::Unknown { nearest: Some(name), .. } => format!("did you mean {name}?"),
            Self::Unknown { .. } => "`lanyard credentials store --help` lists the fields of each provider".into(),
            Self::Malformed { field, .. } => format!("copy {field} again, alone and whole"),
            Self::BadName { .. } => "use letters, digits and _, and no digit in front".into(),
            Self::Empty { .. } => "give at least one NAME=VALUE".into(),
        })
    }
}
