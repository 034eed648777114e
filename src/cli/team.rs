//! What a team's server keeps besides credentials: members, projects, workspaces, registries, programs. Each command asks its API.

use serde_json::Value;

use crate::cli::ui::Table;
use crate::cli::{Doors, active, vault_door};
use crate::config::{Config, Profile};
use crate::error::{Code, Failure, Result};
use crate::http::{self, Method};
use crate::text::{clean, nearest};
use crate::vault::remote::Remote;

pub(super) mod clients;
pub(super) mod members;
pub(super) mod organizations;
pub(super) mod projects;
pub(super) mod registries;
pub(super) mod workspaces;

/// The server of a profile, as a command works with it.
struct Team<'t> {
    doors: &'t Doors<'t>,
    profile: &'t Profile,
    remote: Remote<'t>,
}

/// The server has nothing of that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no {what} {}", clean(.name))]
struct Unknown {
    what: &'static str,
    name: String,
    nearest: Option<String>,
    list: &'static str,
}

impl Failure for Unknown {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(match &self.nearest {
            Some(nearest) => format!("did you mean {}? `{}` shows all", clean(nearest), self.list),
            None => format!("`{}` shows all", self.list),
        })
    }
}

impl<'t> Team<'t> {
    fn new(doors: &'t Doors<'t>, config: &'t Config, profile: &'t Profile) -> Result<Self> {
        Ok(Self { doors, profile, remote: vault_door::server(doors, config, profile)? })
    }

    fn wants_json(&self) -> bool {
        active::output_json(self.profile)
    }

    fn call(&self, method: &Method, path: &str, body: Option<Value>) -> Result<Value> {
        Ok(self.remote.call(method, path, body)?)
    }

    /// Every item of a list, page by page.
    fn all(&self, path: &str) -> Result<Vec<Value>> {
        let (mut items, mut next) = (Vec::new(), String::new());
        loop {
            let mut page = self.call(&Method::GET, &format!("{path}?limit=200{next}"), None)?;
            let read = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
            let is_empty = read.is_empty();
            items.extend(read);
            match page.get("next").and_then(Value::as_str) {
                Some(cursor) if !is_empty => next = format!("&cursor={}", http::segment(cursor)),
                _ => return Ok(items),
            }
        }
    }

    /// The item of a list that a person names.
    fn find(&self, what: What, name: &str) -> Result<Value> {
        self.first(what, name, &[name])
    }

    /// The same for what may be a project's: the one in the project in use, else where the name says.
    fn find_near(&self, what: What, name: &str) -> Result<Value> {
        match &self.profile.project {
            Some(project) if !name.contains('/') => {
                self.first(what, name, &[&format!("{}/{name}", project.value), name])
            }
            _ => self.find(what, name),
        }
    }

    /// The first of these that there is, for a person who has named one so.
    fn first(&self, what: What, name: &str, wanted: &[&str]) -> Result<Value> {
        let mut all = self.all(what.path)?;
        let known: Vec<String> = all.iter().map(what.named).collect();
        let place = wanted.iter().find_map(|wanted| known.iter().position(|known| known == wanted));
        if let Some(place) = place {
            return Ok(all.swap_remove(place));
        }
        let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        Err(Unknown { what: what.word, name: name.to_owned(), nearest, list: what.list }.into())
    }

    /// Shows a list: as JSON where that is wanted, as a table where there is something, else what is said of none, and what
    /// one may do then.
    fn show<const N: usize>(
        &self,
        all: &[Value],
        (none, next): (&str, &str),
        heading: [&str; N],
        row: impl Fn(&Value) -> [String; N],
    ) -> Result<()> {
        let ui = self.doors.ui;
        if self.wants_json() {
            return ui.answer_json(&all);
        }
        if all.is_empty() {
            ui.say(none);
            if !next.is_empty() {
                ui.note(next);
            }
            return Ok(());
        }
        let mut table = Table::new(&heading);
        for item in all {
            table.row(row(item).iter().map(String::as_str));
        }
        ui.answer_table(&table)
    }

    /// Deletes an item, if a person or `yes` wants it.
    fn delete(&self, what: What, item: &Value, yes: bool, (question, done): (&str, &str)) -> Result<()> {
        if self.is_wanted(question, yes)? {
            self.call(&Method::DELETE, &path_of(what, item), None)?;
            self.doors.ui.done(done);
        }
        Ok(())
    }

    /// Whether a person, or `yes`, wants what cannot be undone.
    fn is_wanted(&self, question: &str, yes: bool) -> Result<bool> {
        if yes || self.doors.ui.confirm(question, false, "--yes")? {
            return Ok(true);
        }
        self.doors.ui.say("Nothing was changed");
        Ok(false)
    }
}

/// A list of the server.
#[derive(Clone, Copy)]
struct What {
    word: &'static str,
    path: &'static str,
    list: &'static str,
    /// The name of an item, as it is typed.
    named: fn(&Value) -> String,
}

/// A text of an item, as it may be shown.
fn text(item: &Value, name: &str) -> String {
    clean(item.get(name).and_then(Value::as_str).unwrap_or_default())
}

/// The day of a time of an item.
fn day(item: &Value, name: &str) -> String {
    text(item, name).chars().take(10).collect()
}

/// The path of an item.
fn path_of(what: What, item: &Value) -> String {
    format!("{}/{}", what.path, http::segment(item.get("id").and_then(Value::as_str).unwrap_or_default()))
}
