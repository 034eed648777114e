//! A program as an organization has registered it, and what it may be called.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::redirect;
use crate::server::db::{DbError, OrgScope, Row, Rows, values};
use crate::server::fold::folded;
use crate::server::problem::{Answer, Problem};

const NAME: usize = 64;
/// So many addresses a program has at most.
const ADDRESSES: usize = 16;

/// A program as it is registered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    /// What people are shown who are asked to let it in.
    #[schemars(length(min = 1, max = 64))]
    pub(crate) name: String,
    /// The addresses that its answer may be sent to: `https://HOST/…`, `http://127.0.0.1/…` and `http://[::1]/…` for any port,
    /// or a scheme of its own such as `com.example.app:/…`. Without one, it is let in by a code alone.
    #[serde(default)]
    #[schemars(length(max = ADDRESSES), inner(length(max = redirect::LONGEST)))]
    pub(crate) redirect_uris: Vec<String>,
    /// Whether it may be let in by a code that a person types (RFC 8628).
    #[serde(default = "yes")]
    pub(crate) device: bool,
}

fn yes() -> bool {
    true
}

/// A program that an organization has registered.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) redirects: Vec<String>,
    pub(crate) device: bool,
    /// Who registered it, and their login.
    pub(super) person: String,
    pub(crate) by: String,
    pub(crate) created: i64,
    pub(crate) revision: i64,
}

impl Written {
    /// The program that this is; or why it is none.
    pub(super) fn program(self, id: &str, person: &str, now: DateTime<Utc>) -> Answer<Registered> {
        let bad = |field, why: String| Err(Problem::invalid(why).about(field));
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
            return bad("name", format!("a program needs a name of at most {NAME} characters"));
        }
        if looks(&name).contains("lanyard") {
            return bad("name", "no program but its own is called Lanyard: choose another name".into());
        }
        if self.redirect_uris.len() > ADDRESSES {
            return bad("redirect_uris", format!("a program has {ADDRESSES} addresses at most"));
        }
        let mut redirects: Vec<String> = Vec::new();
        for address in self.redirect_uris {
            redirect::check(&address).map_err(|why| Problem::invalid(why).about("redirect_uris"))?;
            if !redirects.contains(&address) {
                redirects.push(address);
            }
        }
        if redirects.is_empty() && !self.device {
            return bad("redirect_uris", "a program is let in at an address or by a code: give one of them".into());
        }
        let (id, person, by) = (id.to_owned(), person.to_owned(), String::new());
        let created = now.timestamp_millis();
        Ok(Registered { id, name, redirects, device: self.device, person, by, created, revision: 1 })
    }
}

/// What a name looks like: without accents, blanks and signs, and with letters of other scripts and figures as the ones
/// that they are taken for in the name that no other program has.
fn looks(name: &str) -> String {
    let alike = |letter: char| match letter {
        'i' | '1' | '|' | '!' | '\u{131}' | '\u{1c0}' | '\u{456}' | '\u{4cf}' | '\u{3b9}' => 'l',
        '4' | '@' | '\u{430}' | '\u{3b1}' | '\u{251}' => 'a',
        '\u{43f}' | '\u{3b7}' | '\u{578}' => 'n',
        '\u{443}' | '\u{4af}' | '\u{3b3}' | '\u{28f}' => 'y',
        '\u{433}' | '\u{280}' => 'r',
        '\u{501}' => 'd',
        other => other,
    };
    let plain = folded(name);
    let plain = plain.nfkd().filter(|letter| !is_combining_mark(*letter)).map(alike);
    plain.filter(|letter| letter.is_alphanumeric()).collect()
}

const COLUMNS: &str = "id, name, redirects, device, person, created, revision, \
                       (SELECT login FROM people WHERE people.id = oauth_clients.person)";

impl Registered {
    /// The same as it was written.
    pub(crate) fn written(&self) -> Written {
        Written { name: self.name.clone(), redirect_uris: self.redirects.clone(), device: self.device }
    }

    /// This program, with another's past.
    pub(super) fn following(self, before: &Self) -> Self {
        let (person, by) = (before.person.clone(), before.by.clone());
        Self { person, by, created: before.created, revision: before.revision + 1, ..self }
    }

    fn read(mut row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: row.text(0)?,
            name: row.text(1)?,
            redirects: row.text(2)?.lines().map(str::to_owned).collect(),
            device: row.int(3)? == 1,
            person: row.text(4)?,
            created: row.int(5)?,
            revision: row.int(6)?,
            by: row.maybe_text(7)?.unwrap_or_default(),
        })
    }

    /// Every program of an organization, the oldest first.
    pub(super) fn all(rows: &mut dyn Rows, scope: &OrgScope) -> Result<Vec<Self>, DbError> {
        let all = format!("SELECT {COLUMNS} FROM oauth_clients WHERE org = $1 ORDER BY created, id");
        rows.query(&all, values![scope.id()])?.into_iter().map(Self::read).collect()
    }

    /// The program of an identifier.
    pub(super) fn one(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<Option<Self>, DbError> {
        let one = format!("SELECT {COLUMNS} FROM oauth_clients WHERE org = $1 AND id = $2");
        rows.first(&one, values![scope.id(), id])?.map(Self::read).transpose()
    }

    /// Keeps a new program, or what became of one that was seen at the revision before.
    pub(super) fn keep(&self, rows: &mut dyn Rows, scope: &OrgScope) -> Result<bool, DbError> {
        let (redirects, device) = (self.redirects.join("\n"), i64::from(self.device));
        let kept = if self.revision == 1 {
            rows.execute(
                "INSERT INTO oauth_clients (org, id, name, folded, redirects, device, person, created, revision) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)",
                values![
                    scope.id(),
                    &self.id,
                    &self.name,
                    &folded(&self.name),
                    &redirects,
                    device,
                    &self.person,
                    self.created,
                ],
            )?
        } else {
            rows.execute(
                "UPDATE oauth_clients SET name = $3, folded = $4, redirects = $5, device = $6, revision = $7 \
                 WHERE org = $1 AND id = $2 AND revision + 1 = $7",
                values![scope.id(), &self.id, &self.name, &folded(&self.name), &redirects, device, self.revision],
            )?
        };
        Ok(kept > 0)
    }
}

/// A program as whoever it asks sees it, with the organization that has registered it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) program: Registered,
    pub(crate) scope: OrgScope,
    pub(crate) organization: String,
}

/// The program of an identifier, whoever has registered it: it says so before anybody knows for whom it asks.
pub(crate) fn known(rows: &mut dyn Rows, id: &str) -> Result<Option<Known>, DbError> {
    let whose = "SELECT o.id, o.name FROM oauth_clients c JOIN organizations o ON o.id = c.org \
                 WHERE c.id = $1 AND o.deleted IS NULL";
    let Some(mut row) = rows.first(whose, values![id])? else { return Ok(None) };
    let (scope, organization) = (OrgScope::of(row.text(0)?), row.text(1)?);
    Ok(Registered::one(rows, &scope, id)?.map(|program| Known { program, scope, organization }))
}

/// Holds a program until the transaction ends; `false` where it is registered no more. Whoever gives it tokens does so
/// before it is deleted, and then they end with it, or finds it gone.
pub(crate) fn hold(rows: &mut dyn Rows, scope: &OrgScope, id: &str) -> Result<bool, DbError> {
    let hold = "UPDATE oauth_clients SET revision = revision WHERE org = $1 AND id = $2";
    Ok(rows.execute(hold, values![scope.id(), id])? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, addresses: &[&str], device: bool) -> Answer<Registered> {
        let redirect_uris = addresses.iter().map(|address| (*address).to_owned()).collect();
        Written { name: name.into(), redirect_uris, device }.program("client_1", "alice", DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_program_has_a_name_and_a_way_in() {
        let here = "http://127.0.0.1/callback";
        let made = program(" Deploy ", &[here, "https://a.example/cb", here], false).unwrap();
        assert_eq!((made.name.as_str(), made.redirects.len(), made.device), ("Deploy", 2, false));
        assert!(program("Deploy", &[], true).is_ok());
        let many: Vec<String> = (0..17).map(|number| format!("https://a.example/{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (name, addresses, device, field) in [
            ("", &[here][..], true, "name"),
            (" ", &[here], true, "name"),
            ("a\u{202e}b", &[here], true, "name"),
            (&"x".repeat(65), &[here], true, "name"),
            ("Deploy", &[], false, "redirect_uris"),
            ("Deploy", &["https://*.example/"], true, "redirect_uris"),
            ("Deploy", &many, true, "redirect_uris"),
        ] {
            let problem = program(name, addresses, device).unwrap_err();
            assert_eq!(problem.field(), Some(field), "{name} {addresses:?}");
        }
    }

    #[test]
    fn no_other_program_is_called_lanyard() {
        for bad in [
            "Lanyard",
            "lanyard on a command line",
            "LANYARD CLI",
            "The L\u{e1}nyard",
            "L a n y a r d",
            "L-a-n.yard",
            "\u{ff2c}anyard",
            "Ianyard",
            "1anyard",
            "L4nyard",
            "L@nyard",
            "L\u{430}ny\u{430}rd",
            "\u{406}\u{430}\u{43f}\u{443}\u{430}rd",
        ] {
            assert!(program(bad, &[], true).is_err(), "{bad}");
        }
        for good in ["Deploy", "Lan yarn", "Anna's yard", "S\u{f6}hne", "\u{434}\u{435}\u{43f}\u{43b}\u{43e}\u{439}"] {
            assert!(program(good, &[], true).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_program_is_written_with_nothing_else() {
        let written: Written = serde_json::from_str(r#"{"name":"n"}"#).unwrap();
        assert!(written.device && written.redirect_uris.is_empty());
        assert!(serde_json::from_str::<Written>(r#"{"name":"n","client_secret":"x"}"#).is_err());
    }
}
