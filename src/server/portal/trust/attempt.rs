//! What each rule says to a token. The token is shown by nobody again.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::secret::Secret;
use crate::server::bridge::blocking;
use crate::server::portal::fields::{Slip, summary};
use crate::server::portal::inside::{Inside, Sent, sentence};
use crate::server::portal::page::{Page, Text};
use crate::server::portal::shell::Place;
use crate::server::portal::table::{Table, nothing};
use crate::server::problem::Answer;
use crate::server::state::Server;
use crate::server::trust::{self, Judged, Mode};

pub(super) async fn show(inside: Inside) -> Response {
    page(&inside, "", None).into_response()
}

/// The page, with what came of a try.
fn page(inside: &Inside, came: &str, slip: Option<&Slip>) -> Page {
    let body = format!(
        "{}{came}<p>Nobody is let in by this. The token is the one that the job's own service made for it.</p>\n\
         <form method=\"post\" action=\"{}\" autocomplete=\"off\">\n{}\n\
         <label>Token<textarea name=\"token\" class=\"secret\" rows=\"5\" required autocomplete=\"off\" \
         autocapitalize=\"none\" spellcheck=\"false\"></textarea></label>\n\
         <p class=\"actions\"><button>Try it</button><a class=\"button quiet\" href=\"{}\">Back to the rules</a></p>\n\
         </form>",
        summary(slip),
        Text(&inside.path("trust-rules/try")),
        inside.word(),
        Text(&inside.path("trust-rules")),
    );
    inside.page(Place::Trust, "Try a token", body)
}

pub(super) async fn submit(State(server): State<Arc<Server>>, inside: Inside, sent: Sent) -> Answer<Response> {
    let Some(token) = sent.filled("token").map(|token| Secret::new(token.expose().trim().to_owned())) else {
        let slip = Slip::plain("There is no token to try.");
        return Ok(page(&inside, "", Some(&slip)).status(StatusCode::UNPROCESSABLE_ENTITY).into_response());
    };
    blocking(&server, move |server| {
        let (job, judged) = trust::tried(server, &inside.caller, &token)?;
        Ok(page(&inside, &said(job.as_deref(), &judged), None).into_response())
    })
    .await
}

fn said(job: Option<&str>, judged: &[Judged]) -> String {
    if judged.is_empty() {
        return nothing("No rule names the issuer of this token, or it is no token.", "");
    }
    let mut table = Table::new("What each rule says", &["Rule", "It says", "Why"]);
    for Judged { rule, why, .. } in judged {
        let answer = match (why, rule.mode) {
            (None, Mode::Enforce) => "<span class=\"status good\">yes</span>",
            (None, Mode::Audit) => "<span class=\"status soon\">would, if it let anybody in</span>",
            (Some(_), _) => "<span class=\"status bad\">no</span>",
        };
        let why = why.as_deref().map(sentence).unwrap_or_default();
        table.row(&[Text(&rule.name).to_string(), answer.to_owned(), Text(&why).to_string()]);
    }
    let job = job.map(|job| format!("<p>The job: <code>{}</code></p>\n", Text(job))).unwrap_or_default();
    format!("<div role=\"status\">{job}{}</div>\n", table.html())
}
