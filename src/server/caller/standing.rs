//! What whoever has a token is at this moment: each request asks for it, so it is asked for at once.

use crate::server::bearer::{self, Known};
use crate::server::db::{DbError, Rows, values};
use crate::server::people::Person;
use crate::server::permission::Role;
use crate::server::token::Parsed;

/// What whoever has a token is now, in its organization.
pub(super) struct Standing {
    pub(super) role: Option<Role>,
    pub(super) person: Option<Person>,
    pub(super) projects: Vec<(String, Role)>,
    /// The name of the only project that the token counts in, as long as there is such a project.
    pub(super) only: Option<String>,
}

/// What is known of a token, and of whoever has it; `None` for one that was never made here. Whatever is told beside the
/// token is of its own organization.
pub(super) fn look(rows: &mut dyn Rows, parsed: &Parsed) -> Result<Option<(Known, Standing)>, DbError> {
    let all = concat!(
        "SELECT ",
        bearer::columns!("t."),
        ", p.login, m.role, o.name, j.name, r.role FROM tokens t \
         LEFT JOIN people p ON p.id = t.person \
         LEFT JOIN members m ON m.org = t.org AND m.person = t.person \
         LEFT JOIN projects o ON o.org = t.org AND o.id = t.project \
         LEFT JOIN project_roles r ON r.org = t.org AND r.person = t.person \
         LEFT JOIN projects j ON j.org = r.org AND j.id = r.project \
         WHERE t.id = $1"
    );
    let mut found = None;
    let mut standing = Standing { role: None, person: None, projects: Vec::new(), only: None };
    for mut row in rows.query(all, values![&parsed.id])? {
        let (login, role) = (row.maybe_text(bearer::COLUMNS)?, row.maybe_text(bearer::COLUMNS + 1)?);
        let only = row.maybe_text(bearer::COLUMNS + 2)?;
        let (project, in_it) = (row.maybe_text(bearer::COLUMNS + 3)?, row.maybe_text(bearer::COLUMNS + 4)?);
        if found.is_none() {
            let Some(known) = bearer::read(&mut row, parsed)? else { return Ok(None) };
            standing.person = login.map(|login| Person { id: known.grant.person.clone(), login });
            standing.only = only;
            standing.role = role.as_deref().and_then(Role::from_word);
            found = Some(known);
        }
        let in_it = in_it.as_deref().and_then(Role::from_word);
        standing.projects.extend(project.zip(in_it));
    }
    Ok(found.map(|known| (known, standing)))
}
