//! New recovery codes, for whoever has used theirs up or cannot find them any more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use super::inside::Myself;
use super::own::tell;
use super::page::Text;
use super::passkeys::refuse_guests;
use super::shell::word;
use super::ways::PATH;
use crate::server::audit::Event;
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::db::Reach;
use crate::server::factors;
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::Server;

const MAKE: &str = "/account/recovery-codes";

pub(super) fn routes() -> Vec<Route> {
    vec![Route::new(Method::POST, MAKE, Access::Personal, make).freshly(PATH)]
}

/// How many are left, and the way to new ones; nothing for who is asked for no second factor.
pub(super) fn section(server: &Server, myself: &Myself) -> Answer<String> {
    let person = &myself.signed_in.person.id;
    let (are_asked, left) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        Ok((factors::are_asked(rows, person)?, factors::recovery_codes_left(rows, person)?))
    })?;
    if !are_asked {
        return Ok(String::new());
    }
    let left = if left == 1 { "1 recovery code is left".to_owned() } else { format!("{left} recovery codes are left") };
    Ok(format!(
        "<h2>Recovery codes</h2>\n<p>{left}. Each stands in once for the second factor. New ones take the place of all \
         that there are.</p>\n<form method=\"post\" action=\"{MAKE}\">{}<button class=\"quiet\">Make new recovery \
         codes</button></form>",
        word(&myself.signed_in),
    ))
}

async fn make(State(server): State<Arc<Server>>, myself: Myself) -> Answer<Response> {
    blocking(&server, move |server| {
        refuse_guests(&myself)?;
        let person = &myself.signed_in.person.id;
        let codes = server.db.write(Reach::Server, |rows| -> Answer<Vec<Zeroizing<String>>> {
            if !factors::are_asked(rows, person)? {
                return Err(Problem::invalid("there is no second factor that they would stand in for"));
            }
            let codes = factors::new_recovery_codes(rows, person)?;
            tell(rows, server, &myself, &Event::done("recovery-codes.make", person))?;
            Ok(codes)
        })?;
        let codes: String = codes.iter().map(|code| format!("<li><code>{}</code></li>", Text(code))).collect();
        let body = format!(
            "<p>Keep these where you will find them without your second factor: each stands in for it once, after your \
             passphrase, and they are not shown again. Those of before count no more.</p>\n<ul>{codes}</ul>\n\
             <p><a href=\"{PATH}\">Go on</a></p>"
        );
        Ok(myself.page("New recovery codes", body).into_response())
    })
    .await
}
