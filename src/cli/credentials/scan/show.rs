//! What was found, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::import::Fate;
use crate::auth::session::timestamp;
use crate::cli::Doors;
use crate::cli::access::expiry;
use crate::error::Result;
use crate::scan::cut::Removed;
use crate::scan::{Finding, Life, Scan, Spot};
use crate::text::clean;

/// So many places of one secret are shown in the table.
const MOST_PLACES: usize = 8;

/// What was found, and what became of it.
pub(super) struct Shown<'s> {
    pub(super) doors: &'s Doors<'s>,
    pub(super) found: &'s Scan,
    pub(super) fates: &'s [Fate],
    pub(super) took: Duration,
    pub(super) is_verified: bool,
}

/// The answer as JSON shows it. The names are part of the interface.
#[derive(Serialize)]
struct Told<'s> {
    findings: Vec<ToldFinding<'s>>,
    problems: Vec<ToldProblem<'s>>,
    scanned: ToldPassed,
}

#[derive(Serialize)]
struct ToldFinding<'s> {
    kind: &'static str,
    provider: &'static str,
    service: String,
    name: &'s str,
    secret: &'s str,
    fields: BTreeMap<&'s str, &'s str>,
    missing: &'s [&'static str],
    problem: Option<&'s str>,
    status: &'static str,
    outcome: Option<&'static str>,
    identity: Option<&'s str>,
    reason: Option<&'s str>,
    next: Option<&'s str>,
    expires_at: Option<String>,
    importable: bool,
    vault_name: Option<&'s str>,
    imported: bool,
    not_imported: Option<&'s str>,
    places: Vec<ToldPlace<'s>>,
}

#[derive(Serialize)]
struct ToldPlace<'s> {
    place: &'s str,
    source: &'static str,
    path: Option<String>,
    line: Option<usize>,
    plain_text: bool,
    readable_by: &'static str,
    mode: Option<String>,
    removed: Option<&'static str>,
    left: Option<String>,
    next: Option<String>,
}

#[derive(Serialize)]
struct ToldProblem<'s> {
    provider: &'static str,
    place: Option<&'s str>,
    problem: &'s str,
    next: Option<&'s str>,
}

#[derive(Serialize)]
struct ToldPassed {
    files: u64,
    bytes: u64,
    too_large: u64,
    binary: u64,
    unreadable: u64,
    unreadable_places: Vec<String>,
    seconds: f64,
}

impl Shown<'_> {
    fn pairs(&self) -> impl Iterator<Item = (&Finding, &Fate)> {
        self.found.findings.iter().zip(self.fates)
    }

    /// All of it as JSON.
    pub(super) fn json(&self) -> Result<()> {
        let passed = &self.found.passed;
        let problems = self.found.problems.iter().map(|problem| ToldProblem {
            provider: problem.provider,
            place: problem.place.as_deref(),
            problem: &problem.what,
            next: problem.next.as_deref(),
        });
        self.doors.ui.answer_json(&Told {
            findings: self.pairs().map(|(finding, fate)| self.told(finding, fate)).collect(),
            problems: problems.collect(),
            scanned: ToldPassed {
                files: passed.files,
                bytes: passed.bytes,
                too_large: passed.large,
                binary: passed.binary,
                unreadable: passed.unreadable,
                unreadable_places: passed.unreadable_places.iter().map(|path| path.display().to_string()).collect(),
                seconds: self.took.as_secs_f64(),
            },
        })
    }

    fn told<'s>(&'s self, finding: &'s Finding, fate: &'s Fate) -> ToldFinding<'s> {
        let verdict = finding.verdict.as_ref();
        ToldFinding {
            kind: finding.kind.id,
            provider: finding.kind.provider,
            service: finding.service(),
            name: &finding.name,
            secret: finding.shown(),
            fields: finding.masked.iter().map(|(name, masked)| (name.as_str(), masked.as_str())).collect(),
            missing: &finding.missing,
            problem: finding.fields.as_ref().err().map(String::as_str),
            status: finding.life(self.doors.env.now()).word(),
            outcome: verdict.map(|verdict| verdict.outcome.word()),
            identity: verdict.and_then(|verdict| verdict.identity.as_deref()),
            reason: verdict.and_then(|verdict| verdict.reason.as_deref()),
            next: verdict.and_then(|verdict| verdict.next.as_deref()),
            expires_at: finding.expires.map(timestamp),
            importable: finding.is_importable(),
            vault_name: fate.held_as.as_deref(),
            imported: fate.is_imported,
            not_imported: fate.why_not.as_deref(),
            places: finding.spots.iter().enumerate().map(|(at, spot)| place(spot, at, fate)).collect(),
        }
    }

    /// A table, what could not be looked at, and what to do next.
    pub(super) fn table(&self) -> Result<()> {
        self.rows()?;
        let ui = self.doors.ui;
        self.problems();
        for (finding, fate) in self.pairs() {
            self.lefts(finding, fate);
        }
        ui.note(&self.summary());
        if let Some(next) = self.next() {
            ui.say(&next);
        }
        Ok(())
    }

    /// The places that could not be looked into. They are told on stderr beside JSON as well: whoever reads the
    /// findings alone would take them for all.
    pub(super) fn problems(&self) {
        for problem in &self.found.problems {
            self.doors.ui.warn(&format!("not looked into: {}", problem.what));
            if let Some(next) = &problem.next {
                self.doors.ui.say(&format!("  next: {}", clean(next)));
            }
        }
    }

    /// The table alone.
    pub(super) fn rows(&self) -> Result<()> {
        let now = self.doors.env.now();
        let mut rows = Vec::new();
        for (finding, fate) in self.pairs() {
            for (at, spot) in finding.spots.iter().enumerate().take(MOST_PLACES) {
                let readers = if spot.plain_text { spot.readers.word() } else { "closed" };
                let place = [spot.place.clone(), readers.to_owned()];
                let mut row = if at == 0 {
                    let service = finding.service();
                    let kind = if service == finding.kind.provider {
                        finding.kind.id.to_owned()
                    } else {
                        format!("{} ({service})", finding.kind.id)
                    };
                    vec![self.state(finding, fate), kind, finding.shown().to_owned()]
                } else {
                    vec![String::new(); 3]
                };
                row.extend(place);
                let expires = finding.expires.filter(|_| at == 0);
                row.push(
                    expires.map_or_else(|| if at == 0 { "-".into() } else { String::new() }, |at| expiry(at, now)),
                );
                rows.push(row);
            }
            if let Some(more) = finding.spots.len().checked_sub(MOST_PLACES).filter(|more| *more > 0) {
                let mut row = vec![String::new(); 6];
                row[3] = format!("and {more} more; --json lists them");
                rows.push(row);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.doors.ui.table(&["status", "kind", "secret", "place", "readable by", "expires"], &rows)
    }

    /// What is known of it, in a few words.
    fn state(&self, finding: &Finding, fate: &Fate) -> String {
        let life = finding.life(self.doors.env.now());
        if let Some(name) = &fate.held_as {
            let gone = !fate.originals.is_empty() && fate.originals.iter().all(Result::is_ok);
            let how = if gone {
                "moved to"
            } else if fate.is_imported {
                "now in"
            } else {
                "in"
            };
            return format!("{how} the vault: {name}");
        }
        if let Some(why) = &fate.why_not {
            return format!("not imported: {why}");
        }
        let identity = finding.verdict.as_ref().and_then(|verdict| verdict.identity.as_ref());
        match (life, &finding.fields) {
            (Life::Live, _) => identity.map_or_else(|| "live".into(), |identity| format!("live: {identity}")),
            (Life::Unknown, _) if !finding.missing.is_empty() => format!("lacks {}", finding.missing.join(", ")),
            (Life::Unknown, Err(problem)) => problem.clone(),
            (Life::Unknown, Ok(_)) if !self.is_verified => "not asked".into(),
            (life, _) => life.word().into(),
        }
    }

    /// What was left where it lies although it was to go.
    fn lefts(&self, finding: &Finding, fate: &Fate) {
        for (spot, original) in finding.spots.iter().zip(&fate.originals) {
            if let Err(left) = original {
                let place = clean(&spot.place);
                self.doors.ui.warn(&format!("left in {place}: {}", clean(&left.to_string())));
                self.doors.ui.say(&format!("  next: {}", clean(&left.next())));
            }
        }
    }

    fn summary(&self) -> String {
        let passed = &self.found.passed;
        let places: usize = self.found.findings.iter().map(|finding| finding.spots.len()).sum();
        let count = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        let mut parts = vec![format!(
            "{} in {}, {} read in {:.1} s",
            count(self.found.findings.len() as u64, "credential", "credentials"),
            count(places as u64, "place", "places"),
            count(passed.files, "file", "files"),
            self.took.as_secs_f64()
        )];
        if passed.unreadable > 0 {
            parts.push(format!("{} could not be read", count(passed.unreadable, "place", "places")));
        }
        if passed.large > 0 {
            parts.push(format!("{} larger than 1 MiB passed over", count(passed.large, "file", "files")));
        }
        parts.join("; ")
    }

    /// The command that comes next.
    fn next(&self) -> Option<String> {
        let any = |test: &dyn Fn(&Finding, &Fate) -> bool| self.pairs().any(|(finding, fate)| test(finding, fate));
        let in_plain = |finding: &Finding| finding.spots.iter().any(|spot| spot.plain_text);
        if self.found.findings.is_empty() {
            return Some("No credentials lie here".into());
        }
        if any(&|_, fate| fate.is_imported) {
            return Some("Next: see that they work: lanyard credentials test".into());
        }
        if !self.is_verified && any(&|finding, _| finding.is_importable()) {
            return Some("Next: see which of them are alive: lanyard credentials scan --verify".into());
        }
        let wanted = |finding: &Finding, fate: &Fate| {
            finding.is_importable() && fate.why_not.is_none() && in_plain(finding) && fate.originals.is_empty()
        };
        if any(&wanted) {
            let command = "lanyard credentials scan --import --remove-original";
            return Some(format!("Next: move them into the vault: {command}"));
        }
        None
    }
}

fn place<'s>(spot: &'s Spot, at: usize, fate: &'s Fate) -> ToldPlace<'s> {
    let original = fate.originals.get(at);
    ToldPlace {
        place: &spot.place,
        source: spot.source.word(),
        path: spot.path.as_ref().map(|path| path.display().to_string()),
        line: spot.line,
        plain_text: spot.plain_text,
        readable_by: spot.readers.word(),
        mode: spot.mode.map(|mode| format!("{mode:04o}")),
        removed: original.and_then(|original| original.as_ref().ok()).map(|removed| match removed {
            Removed::File => "file",
            Removed::Entry => "entry",
        }),
        left: original.and_then(|original| original.as_ref().err()).map(|left| clean(&left.to_string())),
        next: original.and_then(|original| original.as_ref().err()).map(|left| clean(&left.next())),
    }
}
