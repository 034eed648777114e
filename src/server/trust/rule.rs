//! A trust rule, and what it says to a job. What cannot be read, or is not there, says no.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pattern::Pattern;
use crate::http;
use crate::server::db::{DbError, OrgScope, Row, Rows, values};
use crate::server::fold::folded;
use crate::server::permission::{self, Permission, Permissions};
use crate::server::problem::{Answer, Problem};

/// What a job can be given. It can make nothing that outlives it.
pub(crate) const GRANTED: [Permission; 4] =
    [Permission::CredentialsRead, Permission::CredentialsWrite, Permission::CredentialsVerify, Permission::SecretsRead];
/// The life of a job's token in seconds: the usual, and the least and the most there is.
const USUAL: i64 = 900;
pub(super) const LEAST: i64 = 60;
pub(super) const MOST: i64 = 3600;
/// So many claims can be asked for.
const CLAIMS: usize = 32;
const NAME: usize = 64;

/// Whether a rule lets anybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// It does.
    Enforce,
    /// It only notes in the audit whom it would let in.
    Audit,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Audit => "audit",
        }
    }
}

/// A rule as it is sent and shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    #[schemars(length(min = 1, max = 64))]
    pub(crate) name: String,
    /// The address of the service that makes the tokens of jobs, exactly as they have it.
    pub(crate) issuer: String,
    /// Whom the job's token is for; the server's own address where nothing else is said.
    pub(crate) audience: Option<String>,
    /// A pattern of the whole subject; `*` stands for any letters but `/`.
    pub(crate) subject: String,
    /// More claims that are asked for, each with a pattern.
    #[serde(default)]
    #[schemars(extend("maxProperties" = CLAIMS))]
    pub(crate) claims: BTreeMap<String, String>,
    #[schemars(length(min = 1), extend("items" = permission::schema(&GRANTED)))]
    pub(crate) permissions: Vec<String>,
    /// The life of the token that a job gets, in seconds.
    #[schemars(range(min = LEAST, max = MOST))]
    pub(crate) lifetime: Option<i64>,
    pub(crate) mode: Option<Mode>,
    /// The name of the only project that the jobs work in; the whole organization without.
    pub(crate) project: Option<String>,
}

/// A rule.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    subject: Pattern,
    claims: BTreeMap<String, Pattern>,
    pub(crate) permissions: Permissions,
    pub(crate) life: i64,
    pub(crate) mode: Mode,
    /// The only project that its jobs work in.
    pub(crate) project: Option<Home>,
    /// Whoever stands for it.
    pub(crate) person: String,
    pub(crate) created: i64,
    pub(crate) revision: i64,
}

/// The project of a rule, by its identifier and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Written {
    /// The rule that this is; or why it is none.
    pub(super) fn rule(self, id: &str, own: &str, person: &str, now: DateTime<Utc>) -> Answer<Rule> {
        let bad = |field, why: String| Err(Problem::invalid(why).about(field));
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
            return bad("name", format!("a rule needs a name of at most {NAME} characters"));
        }
        if http::parse_url(&self.issuer).is_err() || self.issuer.contains('*') {
            return bad("issuer", "the issuer is an https address, exactly as its tokens have it".into());
        }
        let audience = self.audience.unwrap_or_else(|| own.to_owned());
        if audience.is_empty() || audience.len() > 512 || audience.contains('*') {
            return bad("audience", "the audience is a text without a wildcard".into());
        }
        if self.claims.len() > CLAIMS {
            return bad("claims", format!("a rule asks for {CLAIMS} claims at most"));
        }
        let of = |field| move |why| Problem::invalid(why).about(field);
        let read = |(name, pattern): (String, String)| Ok((name, Pattern::read(&pattern).map_err(of("claims"))?));
        let permissions = Permissions::parse(&self.permissions.join(" ")).filter(|some| !some.is_empty());
        let Some(permissions) = permissions else {
            return bad("permissions", "a rule needs permissions that there are".into());
        };
        if permissions.iter().any(|permission| !GRANTED.contains(&permission)) {
            return bad("permissions", "a job cannot be given this permission".into());
        }
        let life = self.lifetime.unwrap_or(USUAL);
        if !(LEAST..=MOST).contains(&life) {
            return bad("lifetime", format!("a job's token lives from {LEAST} to {MOST} seconds"));
        }
        Ok(Rule {
            id: id.to_owned(),
            name,
            issuer: self.issuer,
            audience,
            subject: Pattern::of_subject(&self.subject).map_err(of("subject"))?,
            claims: self.claims.into_iter().map(read).collect::<Answer<_>>()?,
            permissions,
            life,
            mode: self.mode.unwrap_or(Mode::Enforce),
            project: None,
            person: person.to_owned(),
            created: now.timestamp_millis(),
            revision: 1,
        })
    }
}

const COLUMNS: &str = "id, name, issuer, audience, subject, claims, permissions, life, mode, person, created, revision, project, \
     (SELECT name FROM projects WHERE projects.org = trust_rules.org AND projects.id = trust_rules.project)";

impl Rule {
    /// The rule as it was written.
    pub(crate) fn written(&self) -> Written {
        let text = |(name, pattern): (&String, &Pattern)| (name.clone(), pattern.text().to_owned());
        Written {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: Some(self.audience.clone()),
            subject: self.subject.text().to_owned(),
            claims: self.claims.iter().map(text).collect(),
            permissions: self.permissions.iter().map(|permission| permission.word().to_owned()).collect(),
            lifetime: Some(self.life),
            mode: Some(self.mode),
            project: self.project.as_ref().map(|project| project.name.clone()),
        }
    }

    /// Whether what a verified token says fits; if not, which part of it does not.
    pub(crate) fn admits(&self, told: &Map<String, Value>) -> Result<(), String> {
        let text = |name: &str| match told.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Bool(_) | Value::Number(_)) => told.get(name).map(ToString::to_string),
            _ => None,
        };
        if !text("sub").is_some_and(|subject| self.subject.fits(&subject)) {
            return Err("the subject is another".into());
        }
        match self.claims.iter().find(|(name, pattern)| !text(name).is_some_and(|text| pattern.fits(&text))) {
            Some((name, _)) => Err(format!("the claim {name} is another, or missing")),
            None => Ok(()),
        }
    }

    /// Reads a row; `None` for one that is not to be understood, which lets nobody in.
    fn read(mut row: Row) -> Result<Option<Self>, DbError> {
        let (id, person) = (row.text(0)?, row.text(9)?);
        let (created, revision) = (row.int(10)?, row.int(11)?);
        let project = match (row.maybe_text(12)?, row.maybe_text(13)?) {
            (Some(id), Some(name)) => Some(Home { id, name }),
            (None, _) => None,
            // With its project, a rule ends.
            (Some(_), None) => return Ok(None),
        };
        let mode = [Mode::Enforce, Mode::Audit].into_iter();
        let word = row.text(8)?;
        let (Some(mode), Ok(claims)) =
            (mode.into_iter().find(|mode| mode.word() == word), serde_json::from_str(&row.text(5)?))
        else {
            return Ok(None);
        };
        let written = Written {
            name: row.text(1)?,
            issuer: row.text(2)?,
            audience: Some(row.text(3)?),
            subject: row.text(4)?,
            claims,
            permissions: row.text(6)?.split_ascii_whitespace().map(str::to_owned).collect(),
            lifetime: Some(row.int(7)?),
            mode: Some(mode),
            project: None,
        };
        let rule = written.rule(&id, "", &person, DateTime::UNIX_EPOCH);
        Ok(rule.ok().map(|rule| Self { project, created, revision, ..rule }))
    }

    /// Every rule of an organization, the oldest first.
    pub(crate) fn all(rows: &mut dyn Rows, scope: &OrgScope) -> Result<Vec<Self>, DbError> {
        let all = format!("SELECT {COLUMNS} FROM trust_rules WHERE org = $1 ORDER BY created, id");
        let read = rows.query(&all, values![scope.id()])?.into_iter().map(Self::read);
        read.filter_map(Result::transpose).collect()
    }

    /// The rule of an identifier.
    pub(super) fn one(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<Option<Self>, DbError> {
        let one = format!("SELECT {COLUMNS} FROM trust_rules WHERE org = $1 AND id = $2");
        Ok(rows.first(&one, values![scope.id(), id])?.map(Self::read).transpose()?.flatten())
    }

    /// The revision of the rule of an identifier, whether or not it is understood.
    pub(super) fn revision(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<Option<i64>, DbError> {
        let one = "SELECT revision FROM trust_rules WHERE org = $1 AND id = $2";
        rows.first(one, values![scope.id(), id])?.map(|mut row| row.int(0)).transpose()
    }

    /// Holds the rule until the transaction ends, if it still is the one that was read.
    pub(crate) fn still_stands(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<bool, DbError> {
        let hold = "UPDATE trust_rules SET revision = revision WHERE org = $1 AND id = $2 AND revision = $3";
        Ok(rows.execute(hold, values![scope.id(), &self.id, self.revision])? > 0)
    }

    /// Keeps a new rule, or what became of one that was seen at the revision before.
    pub(super) fn keep(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<bool, DbError> {
        let claims: BTreeMap<&str, &str> =
            self.claims.iter().map(|(name, pattern)| (name.as_str(), pattern.text())).collect();
        let claims = serde_json::to_string(&claims).map_err(|_| DbError::Shape)?;
        let words = self.permissions.words();
        let statement = if self.revision == 1 {
            "INSERT INTO trust_rules (org, id, name, issuer, audience, subject, claims, permissions, life, mode, person, \
             created, revision, project, folded) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
        } else {
            "UPDATE trust_rules SET name = $3, issuer = $4, audience = $5, subject = $6, claims = $7, permissions = $8, \
             life = $9, mode = $10, person = $11, created = $12, revision = $13, project = $14, \
             folded = CASE WHEN name = $3 THEN folded ELSE $15 END \
             WHERE org = $1 AND id = $2 AND revision + 1 = $13"
        };
        let kept = rows.execute(
            statement,
            values![
                scope.id(),
                &self.id,
                &self.name,
                &self.issuer,
                &self.audience,
                self.subject.text(),
                &claims,
                &words,
                self.life,
                self.mode.word(),
                &self.person,
                self.created,
                self.revision,
                self.project.as_ref().map(|project| project.id.as_str()),
                &folded(&self.name),
            ],
        )?;
        Ok(kept > 0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::db::Reach;

    fn written() -> Written {
        serde_json::from_value(json!({
            "name": "main of web",
            "issuer": "https://token.actions.githubusercontent.com",
            "subject": "repo:acme/web:ref:refs/heads/*",
            "claims": { "repository_owner_id": "42", "ref_protected": "true" },
            "permissions": ["credentials.read", "secrets.read"],
        }))
        .unwrap()
    }

    fn read(change: impl FnOnce(&mut Written)) -> Answer<Rule> {
        let mut given = written();
        change(&mut given);
        given.rule("rule_1", "https://lanyard.example", "alice", DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_rule_is_what_it_may_be() {
        let rule = read(|_| ()).unwrap();
        assert_eq!((rule.audience.as_str(), rule.life, rule.mode), ("https://lanyard.example", 900, Mode::Enforce));
        assert!(read(|rule| rule.name = " ".into()).is_err());
        for issuer in ["http://id.example", "https://*.example", "id.example", ""] {
            assert!(read(|rule| rule.issuer = issuer.into()).is_err(), "{issuer}");
        }
        for audience in ["", "*", "https://*.example"] {
            assert!(read(|rule| rule.audience = Some(audience.into())).is_err(), "{audience}");
        }
        assert!(read(|rule| rule.subject = "*".into()).is_err());
        assert!(read(|rule| _ = rule.claims.insert("x".into(), String::new())).is_err());
        for permissions in [vec![], vec!["everything"], vec!["keys.manage"], vec!["secrets.read", "trust.manage"]] {
            assert!(read(|rule| rule.permissions = permissions.iter().map(|one| (*one).into()).collect()).is_err());
        }
        for life in [0, 59, 3601, -1] {
            assert!(read(|rule| rule.lifetime = Some(life)).is_err(), "{life}");
        }
        let unknown = json!({ "name": "n", "issuer": "https://a", "subject": "a", "permissions": [], "subjects": [] });
        assert!(serde_json::from_value::<Written>(unknown).is_err());
    }

    #[test]
    fn a_missing_claim_is_a_no() {
        let rule = read(|_| ()).unwrap();
        let whole = json!({
            "sub": "repo:acme/web:ref:refs/heads/main", "repository_owner_id": "42", "ref_protected": "true",
        });
        let admits = |told: &Value| rule.admits(told.as_object().unwrap());
        assert_eq!(admits(&whole), Ok(()));
        for (name, value) in [
            ("sub", json!("repo:acme/web:pull_request")),
            ("sub", Value::Null),
            ("sub", json!(["repo:acme/web:ref:refs/heads/main"])),
            ("repository_owner_id", json!("421")),
            ("repository_owner_id", json!({ "a": "42" })),
            ("repository_owner_id", Value::Null),
            ("ref_protected", json!(false)),
        ] {
            let mut other = whole.clone();
            other[name] = value;
            assert!(admits(&other).is_err(), "{other}");
            other.as_object_mut().unwrap().remove(name);
            assert!(admits(&other).is_err(), "{other}");
        }
        let mut typed = whole;
        typed["repository_owner_id"] = json!(42);
        typed["ref_protected"] = json!(true);
        assert_eq!(admits(&typed), Ok(()));
    }

    #[test]
    fn a_row_that_is_not_understood_lets_nobody_in() {
        use crate::server::db::tests::Scratch;
        for damage in [
            "claims = '[]'",
            "claims = '{\"a\": 1}'",
            "claims = ''",
            "subject = ''",
            "subject = '*'",
            "permissions = ''",
            "permissions = 'credentials.read something.new'",
            "mode = 'off'",
            "life = 999999",
            "issuer = ''",
            "audience = ''",
        ] {
            let scratch = Scratch::new();
            let rule = read(|_| ()).unwrap();
            let left = scratch.db.write(Reach::Server, |rows| {
                rows.execute(
                    "INSERT INTO people (id, login, passphrase, created) VALUES ('alice', 'alice', '-', 0)",
                    &[],
                )?;
                rule.keep(rows, &scratch.org)?;
                let before = Rule::all(rows, &scratch.org)?.len();
                rows.batch(&format!("UPDATE trust_rules SET {damage}"))?;
                Ok::<_, DbError>((
                    before,
                    Rule::all(rows, &scratch.org)?.len(),
                    Rule::one(rows, &scratch.org, "rule_1")?.is_some(),
                ))
            });
            assert_eq!(left.unwrap(), (1, 0, false), "{damage}");
        }
    }
}
