//! The only project that a key, or a job, works in: how it is asked for, and how it is shown.

use super::fields::{Input, Slip};
use super::inside::Inside;
use super::page::Text;
use crate::server::problem::Answer;
use crate::server::projects;
use crate::server::state::Server;

/// The input, with the names of projects to choose from; nothing in an organization that has none.
pub(super) fn input(server: &Server, inside: &Inside, typed: &str, slip: Option<&Slip>) -> Answer<String> {
    let scope = &inside.caller.scope;
    let (names, _) = server.db.read(scope, |rows| projects::names(rows, scope))?;
    if names.is_empty() && typed.is_empty() {
        return Ok(String::new());
    }
    let input = Input {
        name: "project",
        title: "In this project alone",
        hint: "The name of a project; the whole organization where nothing is typed",
        value: typed,
        more: "list=\"projects\" maxlength=\"64\" autocapitalize=\"none\" spellcheck=\"false\"",
    };
    let options: String = names.iter().map(|name| format!("<option value=\"{}\"></option>", Text(name))).collect();
    Ok(format!("{}<datalist id=\"projects\">{options}</datalist>\n", input.html(slip)))
}

/// The project, below what is permitted in it.
pub(super) fn shown(project: Option<&str>) -> String {
    project.map(|project| format!("<small>in the project {} alone</small>", Text(project))).unwrap_or_default()
}
