//! From references to values: each credential is opened once, and made usable once where that is needed.

use std::collections::{BTreeMap, BTreeSet};

use crate::credential::{Content, Credential, Issued, Material, Metadata};
use crate::error::Result;
use crate::provider::Net;
use crate::run::RunError;
use crate::run::dotenv::Line;
use crate::run::error::Cause;
use crate::run::reference::{Piece, Reference};
use crate::secret::Secret;
use crate::vault::{Vault, VaultError, usable};

/// A value that a reference stands for.
#[derive(Debug)]
pub struct Value {
    /// The value.
    pub text: Secret,
    /// Whether nobody may see it.
    pub is_secret: bool,
}

impl Value {
    fn secret(text: &Secret) -> Self {
        Self { text: text.duplicate(), is_secret: true }
    }

    fn plain(text: &str) -> Self {
        Self { text: Secret::new(text.to_owned()), is_secret: false }
    }
}

/// Finds the credential that a person names.
pub type Find<'f> = dyn Fn(&str) -> Result<Metadata> + 'f;

/// A credential that was opened here.
struct Open {
    credential: Credential,
    /// Its usable form, where it was made.
    issued: Option<Issued>,
}

/// A credential with its usable form.
pub struct Usable<'o> {
    /// The credential.
    pub credential: &'o Credential,
    /// Its usable form.
    pub issued: &'o Issued,
}

/// Looks values up.
pub struct Resolver<'r> {
    vault: &'r dyn Vault,
    net: Net<'r>,
    find: &'r Find<'r>,
    open: BTreeMap<String, Open>,
    secrets: Vec<Secret>,
    plain: BTreeSet<String>,
}

impl<'r> Resolver<'r> {
    /// Nothing is opened yet.
    pub fn new(vault: &'r dyn Vault, net: Net<'r>, find: &'r Find<'r>) -> Self {
        Self { vault, net, find, open: BTreeMap::new(), secrets: Vec::new(), plain: BTreeSet::new() }
    }

    /// The usable form of a credential. Its secrets are then known to be handed out.
    pub fn usable(&mut self, name: &str) -> Result<Usable<'_>> {
        let metadata = (self.find)(name)?;
        self.make_usable(&metadata)?;
        self.know(&metadata.id);
        let open = self.opened(&metadata, name)?;
        let gone = || VaultError::Unknown { name: name.to_owned(), nearest: None };
        Ok(Usable { credential: &open.credential, issued: open.issued.as_ref().ok_or_else(gone)? })
    }

    fn make_usable(&mut self, metadata: &Metadata) -> Result<()> {
        if self.open.get(&metadata.id).is_none_or(|open| open.issued.is_none()) {
            let (credential, issued) = usable::usable(self.vault, metadata, &self.net)?;
            self.open.insert(metadata.id.clone(), Open { credential, issued: Some(issued) });
        }
        Ok(())
    }

    /// The text of a template with every reference in it replaced; `place` names the template.
    pub fn fill(&mut self, pieces: &[Piece<'_>], place: &str) -> Result<Secret> {
        // What needs the usable form comes first: keys that belong together then come from one and the same.
        for piece in pieces {
            self.make_ready(piece, place)?;
        }
        let mut values = Vec::new();
        for piece in pieces {
            let Piece::Reference { reference, line } = piece else { continue };
            values.push(self.value(reference).map_err(|cause| missing(reference, place, *line, cause))?);
        }
        let mut next = values.iter();
        let parts: Vec<&str> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) => Some(text.as_ref()),
                Piece::Reference { .. } => next.next().map(|value| value.text.expose()),
            })
            .collect();
        let filled = Secret::new(parts.concat());
        self.secrets.extend(values.into_iter().filter(|value| value.is_secret).map(|value| value.text));
        Ok(filled)
    }

    /// The variables of a template, each with its value; `place` names the template.
    pub fn fill_all(&mut self, lines: &[Line], place: &str) -> Result<Vec<(String, Secret)>> {
        for piece in lines.iter().flat_map(|line| &line.value) {
            self.make_ready(piece, place)?;
        }
        lines.iter().map(|line| Ok((line.name.clone(), self.fill(&line.value, place)?))).collect()
    }

    /// Makes the credential of a reference usable where its usable form may answer it.
    fn make_ready(&mut self, piece: &Piece<'_>, place: &str) -> Result<()> {
        let Piece::Reference { reference, line } = piece else { return Ok(()) };
        let mut ready = || -> Result<()> {
            let metadata = (self.find)(&reference.credential)?;
            let field = reference.field.replace('-', "_");
            let is_stored = stored_name(&metadata, &field).is_some() && !OF_USABLE.contains(&field.as_str());
            if is_stored { Ok(()) } else { self.make_usable(&metadata) }
        };
        Ok(ready().map_err(|cause| missing(reference, place, *line, cause))?)
    }

    /// The value of a reference: of the usable form where that was made, else the stored one.
    fn value(&mut self, reference: &Reference) -> Result<Value> {
        let metadata = (self.find)(&reference.credential)?;
        if !self.open.contains_key(&metadata.id) {
            let credential = usable::open_newest(self.vault, &metadata)?;
            self.open.insert(metadata.id.clone(), Open { credential, issued: None });
        }
        let open = self.opened(&metadata, &reference.credential)?;
        let field = &reference.field;
        let material = open.issued.as_ref().map(|issued| &issued.material);
        if let Some(Material::File { content: Content::Base64(_), .. }) = material
            && field == "content"
        {
            return Err(RunError::NoText { name: reference.credential.clone(), field: field.clone() }.into());
        }
        let found = material.and_then(|material| of_material(material, field)).or_else(|| stored(open, field));
        found.ok_or_else(|| no_field(open, reference).into())
    }

    fn opened(&self, metadata: &Metadata, name: &str) -> Result<&Open> {
        let gone = || VaultError::Unknown { name: name.to_owned(), nearest: None };
        self.open.get(&metadata.id).ok_or_else(|| gone().into())
    }

    /// Notes what of a credential nobody may see, and what everybody may.
    fn know(&mut self, id: &str) {
        let Some(open) = self.open.get(id) else { return };
        let credential = &open.credential;
        let own = credential.secrets.iter().filter(|(name, _)| *name != Credential::SESSION);
        self.secrets.extend(own.map(|(_, secret)| secret.duplicate()));
        self.secrets.extend(open.issued.iter().flat_map(|issued| secrets_of(&issued.material)));
        self.plain.extend(credential.metadata.fields.values().cloned());
    }

    /// Notes that this is handed out as well, and what of it nobody may see.
    pub fn know_material(&mut self, material: &Material) {
        self.secrets.extend(secrets_of(material));
    }

    /// Every credential that was opened.
    pub fn used(&self) -> impl Iterator<Item = &Metadata> {
        self.open.values().map(|open| &open.credential.metadata)
    }

    /// What was handed out and nobody may see, and what stands beside it and everybody may.
    pub fn handed_out(self) -> (Vec<Secret>, BTreeSet<String>) {
        (self.secrets, self.plain)
    }
}

fn missing(reference: &Reference, place: &str, line: usize, cause: Box<dyn crate::error::Failure>) -> RunError {
    RunError::Reference { reference: reference.clone(), place: place.to_owned(), line, cause: Cause(cause) }
}

/// The name under which a field is stored: as it is written, or with `_` for each `-`. A session is nobody's to read.
fn stored_name(metadata: &Metadata, field: &str) -> Option<String> {
    let has = |name: &str| metadata.fields.contains_key(name) || metadata.secret_names.contains(name);
    let names = [field.to_owned(), field.replace('-', "_")];
    names.into_iter().find(|name| has(name) && name != Credential::SESSION)
}

fn stored(open: &Open, field: &str) -> Option<Value> {
    let name = stored_name(&open.credential.metadata, field)?;
    if let Some(secret) = open.credential.secret(&name) {
        return Some(Value::secret(secret));
    }
    open.credential.field(&name).map(Value::plain)
}

/// The names of the parts of usable forms. A stored field of the same name is asked for in vain where they differ: a
/// file is stored in base64, and keys that belong together come from one and the same form.
const OF_USABLE: [&str; 11] = [
    "token",
    "access_token",
    "username",
    "password",
    "header",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "private_key",
    "public_key",
    "content",
];

/// What a part of a usable form holds.
enum Part<'m> {
    Secret(&'m Secret),
    Plain(&'m str),
}

/// The parts of a usable form with their names; variables have names of their own, and are stored under them.
fn parts(material: &Material) -> Vec<(Option<&'static str>, Part<'_>)> {
    use Part::{Plain, Secret};
    let parts = match material {
        Material::Bearer(token) => vec![("token", Secret(token))],
        Material::Basic { username, password } => vec![("username", Plain(username)), ("password", Secret(password))],
        Material::Header { value, .. } => vec![("header", Secret(value))],
        Material::AwsKeys { access_key_id, secret_access_key, session_token } => {
            let keys = [("access_key_id", Plain(access_key_id)), ("secret_access_key", Secret(secret_access_key))];
            keys.into_iter().chain(session_token.iter().map(|token| ("session_token", Secret(token)))).collect()
        }
        Material::ClientCert { certificate, key, token, .. } => {
            let pair = [("certificate", Plain(certificate)), ("key", Secret(key))];
            pair.into_iter().chain(token.iter().map(|token| ("token", Secret(token)))).collect()
        }
        Material::SshKey { private_key, public_key, .. } => {
            vec![("private_key", Secret(private_key)), ("public_key", Plain(public_key))]
        }
        Material::File { content: Content::Text(text) | Content::Base64(text), .. } => vec![("content", Secret(text))],
        Material::Variables(variables) => {
            return variables.iter().map(|(_, value)| (None, Secret(value))).collect();
        }
    };
    parts.into_iter().map(|(name, part)| (Some(name), part)).collect()
}

/// A part of the usable form, by its name.
fn of_material(material: &Material, field: &str) -> Option<Value> {
    let field = field.replace('-', "_");
    let name = if field == "access_token" { "token" } else { &field };
    let (_, part) = parts(material).into_iter().find(|(own, _)| *own == Some(name))?;
    Some(match part {
        Part::Secret(text) => Value::secret(text),
        Part::Plain(text) => Value::plain(text),
    })
}

/// What nobody may see of a usable form.
pub fn secrets_of(material: &Material) -> Vec<Secret> {
    let secret = |(_, part)| if let Part::Secret(text) = part { Some(text.duplicate()) } else { None };
    parts(material).into_iter().filter_map(secret).collect()
}

fn no_field(open: &Open, reference: &Reference) -> RunError {
    let metadata = &open.credential.metadata;
    let own = metadata.fields.keys().chain(&metadata.secret_names).filter(|name| *name != Credential::SESSION);
    let mut known: Vec<String> = own.cloned().collect();
    let parts = open.issued.iter().flat_map(|issued| parts(&issued.material));
    for name in parts.filter_map(|(name, _)| name) {
        if !known.iter().any(|own| own == name) {
            known.push(name.to_owned());
        }
    }
    RunError::NoField { name: reference.credential.clone(), field: reference.field.clone(), known }
}
