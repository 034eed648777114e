//! The form for a trust rule, and the rule that was typed into it.

use std::collections::{BTreeMap, BTreeSet};

use crate::server::portal::fields::{Input, Slip, buttons, choice, hint, marked, summary, tick, ticks};
use crate::server::portal::inside::{Inside, Sent};
use crate::server::portal::only_project;
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::{Place, hidden};
use crate::server::problem::{Answer, Problem};
use crate::server::state::Server;
use crate::server::trust::{GRANTED, Mode, Rule, Written};

/// Issuers that many have.
const ISSUERS: [&str; 3] =
    ["https://token.actions.githubusercontent.com", "https://gitlab.com", "https://agent.buildkite.com"];

/// What stands in the form.
pub(super) struct Typed {
    name: String,
    issuer: String,
    audience: String,
    subject: String,
    /// A line for each: `name = pattern`.
    claims: String,
    permissions: BTreeSet<String>,
    /// Minutes.
    life: String,
    mode: String,
    project: String,
}

impl Typed {
    /// What stands there before anything is typed.
    pub(super) fn first() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            audience: String::new(),
            subject: String::new(),
            claims: String::new(),
            permissions: BTreeSet::new(),
            life: "900".into(),
            mode: "enforce".into(),
            project: String::new(),
        }
    }

    /// What was sent.
    pub(super) fn of(sent: &Sent) -> Self {
        let text = |name: &str| sent.text(name).to_owned();
        Self {
            name: text("name"),
            issuer: text("issuer"),
            audience: text("audience"),
            subject: text("subject"),
            claims: text("claims").replace("\r\n", "\n"),
            permissions: sent.all("permission").map(|word| word.expose().to_owned()).collect(),
            life: text("lifetime"),
            mode: text("mode"),
            project: text("project").trim().to_owned(),
        }
    }

    /// The rule as it is to be.
    pub(super) fn written(&self) -> Answer<Written> {
        let bad = |why: &str, field| Problem::invalid(why).about(field);
        let mut claims = BTreeMap::new();
        for line in self.claims.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, pattern) =
                line.split_once('=').ok_or_else(|| bad("a claim is written name = pattern", "claims"))?;
            if claims.insert(name.trim().to_owned(), pattern.trim().to_owned()).is_some() {
                return Err(bad("a claim is there twice", "claims"));
            }
        }
        let life: i64 = self.life.parse().map_err(|_| bad("the seconds are a whole number", "lifetime"))?;
        let mode = match self.mode.as_str() {
            "enforce" => Mode::Enforce,
            "audit" => Mode::Audit,
            _ => return Err(bad("a rule lets in, or only notes", "mode")),
        };
        Ok(Written {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: Some(self.audience.clone()).filter(|audience| !audience.is_empty()),
            subject: self.subject.clone(),
            claims,
            permissions: self.permissions.iter().cloned().collect(),
            lifetime: Some(life),
            mode: Some(mode),
            project: Some(self.project.clone()).filter(|project| !project.is_empty()),
        })
    }
}

impl From<&Rule> for Typed {
    fn from(rule: &Rule) -> Self {
        let written = rule.written();
        let claims: Vec<String> = written.claims.iter().map(|(name, pattern)| format!("{name} = {pattern}")).collect();
        Self {
            name: written.name,
            issuer: written.issuer,
            audience: written.audience.unwrap_or_default(),
            subject: written.subject,
            claims: claims.join("\n"),
            permissions: written.permissions.into_iter().collect(),
            life: rule.life.to_string(),
            mode: if rule.mode == Mode::Enforce { "enforce" } else { "audit" }.into(),
            project: written.project.unwrap_or_default(),
        }
    }
}

/// The form for a new rule.
pub(super) fn new(server: &Server, inside: &Inside, typed: &Typed, slip: Option<&Slip>) -> Answer<Page> {
    let form = form(server, inside, &inside.path("trust-rules/new"), "", typed, slip)?;
    Ok(inside.page(Place::Trust, "New trust rule", form))
}

/// The form for a rule of this identifier and revision.
pub(super) fn edit(
    server: &Server,
    inside: &Inside,
    (id, revision): (&str, &str),
    typed: &Typed,
    slip: Option<&Slip>,
) -> Answer<Page> {
    let to = inside.path(&format!("trust-rules/{id}/edit"));
    let form = form(server, inside, &to, &hidden("revision", revision), typed, slip)?;
    Ok(inside.page(Place::Trust, "Edit the trust rule", form))
}

fn form(server: &Server, inside: &Inside, to: &str, rest: &str, typed: &Typed, slip: Option<&Slip>) -> Answer<String> {
    const PLAIN: &str = "required maxlength=\"512\" autocapitalize=\"none\" spellcheck=\"false\"";
    let input = |name, title, hint, value, more| Input { name, title, hint, value, more }.html(slip);
    let issuers: String = ISSUERS.iter().map(|issuer| format!("<option value=\"{issuer}\"></option>")).collect();
    let own = format!("Whom the job's token is for; {} where nothing is typed", server.issuer());
    let modes = [
        ("enforce", "It lets them in".to_owned()),
        ("audit", "It only notes in the audit whom it would let in".to_owned()),
    ];
    Ok([
        summary(slip),
        format!("<form method=\"post\" action=\"{}\">\n{}{rest}\n", Text(to), inside.word()),
        input("name", "Name", "What it is for", &typed.name, "required maxlength=\"64\""),
        input(
            "issuer",
            "Issuer",
            "The address of the service whose jobs they are, exactly as its tokens have it",
            &typed.issuer,
            "required list=\"issuers\" maxlength=\"512\" autocapitalize=\"none\" spellcheck=\"false\"",
        ),
        format!("<datalist id=\"issuers\">{issuers}</datalist>\n"),
        input(
            "subject",
            "Subject",
            "The whole of it; a * stands for any letters but /, and never for whose job it is. Such as \
             repo:acme/web:ref:refs/heads/main",
            &typed.subject,
            PLAIN,
        ),
        claims(&typed.claims, slip),
        input(
            "audience",
            "Audience",
            &own,
            &typed.audience,
            "maxlength=\"512\" autocapitalize=\"none\" spellcheck=\"false\"",
        ),
        permissions(inside, typed, slip),
        only_project::input(server, inside, &typed.project, slip)?,
        input(
            "lifetime",
            "Their token lives for so many seconds",
            "From a minute to an hour, which is 3600; it cannot be renewed",
            &typed.life,
            "type=\"number\" required min=\"60\" max=\"3600\"",
        ),
        choice("mode", "What it does", "", &modes, &typed.mode, slip),
        buttons("Save the rule", &inside.path("trust-rules")),
        "</form>".into(),
    ]
    .concat())
}

fn claims(typed: &str, slip: Option<&Slip>) -> String {
    let lines: Vec<String> = typed.lines().map(|line| Text(line).to_string()).collect();
    format!(
        "<label>Further claims{}<textarea name=\"claims\" rows=\"3\" autocomplete=\"off\" autocapitalize=\"none\" \
         spellcheck=\"false\"{}>{}</textarea></label>\n",
        hint("One in a line, such as ref_protected = true; a * as above"),
        marked(slip, "claims"),
        lines.join("\n"),
    )
}

fn permissions(inside: &Inside, typed: &Typed, slip: Option<&Slip>) -> String {
    let boxes: String = GRANTED
        .into_iter()
        .filter(|permission| inside.may(*permission))
        .map(|permission| {
            let label = format!("{} <code>{}</code>", Text(permission.title()), permission.word());
            tick("permission", permission.word(), &label, typed.permissions.contains(permission.word()))
        })
        .collect();
    ticks("permissions", "They may", &boxes, slip)
}
