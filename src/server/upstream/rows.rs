//! An outside issuer as it is written, kept and read again, and whom it lets in. What cannot be read lets nobody in.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http;
use crate::secret::Secret;
use crate::server::db::{DbError, OrgScope, Row, Rows, values};
use crate::server::fold::folded;
use crate::server::permission::Role;

/// What is asked of an issuer unless something else is said.
const SCOPES: &str = "openid profile email";
/// So many domains, and so many values of a claim.
const MOST: usize = 64;
const NAME: usize = 64;
const LONGEST: usize = 512;

/// An issuer as it is sent and shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WantedUpstream")]
pub(crate) struct Written {
    pub(crate) name: String,
    pub(crate) issuer: String,
    #[serde(default)]
    pub(crate) client_id: String,
    /// Never shown. Where none is given, the one that is kept stays; an empty one takes it away.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    #[serde(default = "usual_scopes")]
    pub(crate) scopes: String,
    /// Whoever has a verified address there is let in, with this role.
    #[serde(default)]
    pub(crate) domains: Vec<String>,
    #[serde(default = "usual_role")]
    pub(crate) domain_role: String,
    /// Whoever has one of these values in this claim is let in, with the role beside it.
    #[serde(default)]
    pub(crate) claim: String,
    #[serde(default)]
    pub(crate) roles: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) second_factor: bool,
    #[serde(default = "yes")]
    pub(crate) listed: bool,
}

fn usual_scopes() -> String {
    SCOPES.into()
}

fn usual_role() -> String {
    Role::Reader.word().into()
}

fn yes() -> bool {
    true
}

/// An issuer by which people sign in.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) scope: OrgScope,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) scopes: String,
    domains: Vec<String>,
    domain_role: Role,
    claim: String,
    roles: BTreeMap<String, Role>,
    pub(crate) second_factor: bool,
    pub(crate) listed: bool,
    /// Whoever stands for it.
    pub(crate) person: String,
    pub(crate) created: i64,
    pub(crate) revision: i64,
    /// Whether the client has a secret, which rests apart.
    pub(super) has_secret: bool,
}

impl Written {
    /// The issuer that this is, without its secret; why it is none, in a sentence.
    pub(super) fn read(&self, scope: &OrgScope, id: &str, own: &str, person: &str) -> Result<Upstream, String> {
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
            return Err(format!("an issuer needs a name of at most {NAME} characters"));
        }
        let issuer = http::parse_url(&self.issuer).map_err(|_| "the issuer is an https address".to_owned())?;
        if issuer.query().is_some() || self.issuer.len() > LONGEST || self.issuer.trim_end_matches('/') == own {
            return Err("the issuer is the address of another server, exactly as its tokens have it".into());
        }
        let printable = |text: &str| text.len() <= LONGEST && !text.chars().any(crate::text::is_unprintable);
        if !printable(&self.client_id) || !self.client_secret.as_ref().is_none_or(|secret| printable(secret.expose())) {
            return Err(format!("the client's name and secret are printable, of at most {LONGEST} bytes"));
        }
        let scopes = self.scopes.split_ascii_whitespace().collect::<Vec<_>>();
        if !scopes.contains(&"openid") || !printable(&self.scopes) {
            return Err("the scopes have openid among them".into());
        }
        let is_domain = |domain: &String| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
            domain.contains('.') && domain.len() <= 253 && domain.bytes().all(plain) && !domain.starts_with(['.', '-'])
        };
        let domains: Vec<String> = self.domains.iter().map(|domain| domain.trim().to_ascii_lowercase()).collect();
        if domains.len() > MOST || !domains.iter().all(is_domain) {
            return Err(format!("there are at most {MOST} domains, each such as example.com"));
        }
        let role = |word: &str| match Role::from_word(word) {
            Some(Role::Owner) | None => Err("a role that an issuer gives is one of admin, member and reader"),
            Some(role) => Ok(role),
        };
        let claim = self.claim.trim().to_owned();
        if claim.is_empty() != self.roles.is_empty() || !printable(&claim) {
            return Err("a claim stands with the values that let somebody in, and they with it".into());
        }
        if self.roles.len() > MOST || self.roles.keys().any(|value| value.is_empty() || !printable(value)) {
            return Err(format!("there are at most {MOST} values of the claim, and none is empty"));
        }
        let roles = self.roles.iter().map(|(value, word)| Ok((value.clone(), role(word)?)));
        Ok(Upstream {
            scope: scope.clone(),
            id: id.to_owned(),
            name,
            issuer: self.issuer.clone(),
            client_id: self.client_id.trim().to_owned(),
            scopes: scopes.join(" "),
            domains,
            domain_role: role(&self.domain_role)?,
            claim,
            roles: roles.collect::<Result<_, &str>>()?,
            second_factor: self.second_factor,
            listed: self.listed,
            person: person.to_owned(),
            created: 0,
            revision: 1,
            has_secret: false,
        })
    }
}

const COLUMNS: &str = "org, id, name, issuer, client_id, has_secret, scopes, domains, domain_role, claim, roles, \
                       second_factor, listed, person, created, revision";

impl Upstream {
    /// The issuer as it was written.
    pub(crate) fn written(&self) -> Written {
        Written {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: None,
            scopes: self.scopes.clone(),
            domains: self.domains.clone(),
            domain_role: self.domain_role.word().to_owned(),
            claim: self.claim.clone(),
            roles: self.roles.iter().map(|(value, role)| (value.clone(), role.word().to_owned())).collect(),
            second_factor: self.second_factor,
            listed: self.listed,
        }
    }

    /// Whether somebody can be sent to it: it knows this server.
    pub(crate) fn is_ready(&self) -> bool {
        !self.client_id.is_empty()
    }

    /// Whether the client has a secret.
    pub(crate) fn has_secret(&self) -> bool {
        self.has_secret
    }

    /// As what an account is let in without an invitation, where it is.
    pub(crate) fn admits(&self, told: &Map<String, Value>) -> Option<Role> {
        let is_verified = match told.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        let address = told.get("email").and_then(Value::as_str).filter(|_| is_verified);
        let domain =
            address.and_then(|address| address.rsplit_once('@')).map(|(_, domain)| domain.to_ascii_lowercase());
        let by_domain = domain.filter(|domain| self.domains.contains(domain)).map(|_| self.domain_role);
        let values: Vec<&str> = match claim(told, &self.claim) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        values.into_iter().filter_map(|value| self.roles.get(value).copied()).chain(by_domain).min()
    }

    /// Reads a row; `None` for one that is not to be understood.
    fn of(mut row: Row) -> Result<Option<Self>, DbError> {
        let (scope, id) = (OrgScope::of(row.text(0)?), row.text(1)?);
        let (name, issuer, client_id, has_secret) = (row.text(2)?, row.text(3)?, row.text(4)?, row.int(5)? != 0);
        let (scopes, domains, domain_role) = (row.text(6)?, row.text(7)?, row.text(8)?);
        let (claim, roles) = (row.text(9)?, row.text(10)?);
        let (second_factor, listed, person) = (row.int(11)? != 0, row.int(12)? != 0, row.text(13)?);
        let (created, revision) = (row.int(14)?, row.int(15)?);
        let (Ok(domains), Ok(roles)) = (serde_json::from_str(&domains), serde_json::from_str(&roles)) else {
            return Ok(None);
        };
        let client_secret = None;
        let written = Written {
            name,
            issuer,
            client_id,
            client_secret,
            scopes,
            domains,
            domain_role,
            claim,
            roles,
            second_factor,
            listed,
        };
        let read = written.read(&scope, &id, "", &person);
        Ok(read.ok().map(|read| Self { created, revision, has_secret, ..read }))
    }

    /// Each one of an organization, by name.
    pub(crate) fn all(rows: &mut dyn Rows, scope: &OrgScope) -> Result<Vec<Self>, DbError> {
        let all = format!("SELECT {COLUMNS} FROM upstreams WHERE org = $1 ORDER BY folded, id");
        let found = rows.query(&all, values![scope.id()])?;
        found.into_iter().filter_map(|row| Self::of(row).transpose()).collect()
    }

    /// One of an organization.
    pub(crate) fn one(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<Option<Self>, DbError> {
        let one = format!("SELECT {COLUMNS} FROM upstreams WHERE org = $1 AND id = $2");
        Ok(rows.first(&one, values![scope.id(), id])?.map(Self::of).transpose()?.flatten())
    }

    /// The one that a page to sign in names; of whichever organization it is.
    pub(super) fn by_id(rows: &mut dyn Rows, id: &str) -> Result<Option<Self>, DbError> {
        let one = format!("SELECT {COLUMNS} FROM upstreams WHERE id = $1");
        Ok(rows.first(&one, values![id])?.map(Self::of).transpose()?.flatten())
    }

    /// Keeps it: as a new one, or in the place of its last revision. Whether nobody was faster.
    pub(super) fn keep(&self, rows: &mut dyn Rows) -> Result<bool, DbError> {
        let written = self.written();
        let domains = serde_json::to_string(&written.domains).map_err(|_| DbError::Shape)?;
        let roles = serde_json::to_string(&written.roles).map_err(|_| DbError::Shape)?;
        let statement = if self.revision == 1 {
            "INSERT INTO upstreams (org, id, name, folded, issuer, client_id, has_secret, scopes, domains, domain_role, \
             claim, roles, second_factor, listed, person, created, revision) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)"
        } else {
            "UPDATE upstreams SET name = $3, folded = $4, issuer = $5, client_id = $6, has_secret = $7, scopes = $8, \
             domains = $9, domain_role = $10, claim = $11, roles = $12, second_factor = $13, listed = $14, person = $15, \
             created = $16, revision = $17 WHERE org = $1 AND id = $2 AND revision + 1 = $17"
        };
        let kept = rows.execute(
            statement,
            values![
                self.scope.id(),
                &self.id,
                &self.name,
                &folded(&self.name),
                &self.issuer,
                &self.client_id,
                i64::from(self.has_secret),
                &self.scopes,
                &domains,
                self.domain_role.word(),
                &self.claim,
                &roles,
                i64::from(self.second_factor),
                i64::from(self.listed),
                &self.person,
                self.created,
                self.revision,
            ],
        )?;
        Ok(kept > 0)
    }
}

/// A claim by its name, or by the names that lead to it.
fn claim<'t>(told: &'t Map<String, Value>, name: &str) -> Option<&'t Value> {
    if let Some(value) = told.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    claim(told.get(first)?.as_object()?, rest)
}
