//! What cannot be taken back is asked about first, on a page that names what goes.

use axum::http::StatusCode;

use super::inside::Inside;
use super::page::{Page, Text};
use super::shell::Place;

/// A page that asks. Texts are escaped already, but for addresses and words of buttons.
pub(super) struct Question<'q> {
    pub(super) at: Place,
    pub(super) title: &'static str,
    /// What is asked, and what comes of it.
    pub(super) what: String,
    /// The hidden fields of the form beside its word.
    pub(super) hidden: String,
    /// Where the form goes.
    pub(super) to: String,
    /// What the button says.
    pub(super) does: &'static str,
    /// Where a change of mind goes.
    pub(super) back: &'q str,
}

impl Question<'_> {
    /// The page.
    pub(super) fn page(self, inside: &Inside) -> Page {
        let body = format!(
            "<p>{}</p>\n<form method=\"post\" action=\"{}\">\n{}{}\n<p class=\"actions\">\
             <button class=\"bad\">{}</button><a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n</form>",
            self.what,
            Text(&self.to),
            inside.word(),
            self.hidden,
            Text(self.does),
            Text(self.back),
        );
        inside.page(self.at, self.title, body)
    }
}

/// A page that says that something is in use, and by what.
pub(super) fn in_use(inside: &Inside, at: Place, what: &str, users: &[String], back: &str) -> Page {
    let users: String = users.iter().map(|user| format!("<li>{}</li>", Text(user))).collect();
    let body = format!(
        "<p role=\"alert\">{} is in use and is not deleted.</p>\n<p>It is used by:</p>\n<ul>{users}</ul>\n\
         <p class=\"actions\"><a class=\"button quiet\" href=\"{}\">Back</a></p>",
        Text(what),
        Text(back),
    );
    inside.page(at, "In use", body).status(StatusCode::CONFLICT)
}
