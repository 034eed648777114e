//! The page on which a person sets up a second factor, and takes it away.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use zeroize::Zeroizing;

use super::inside::{Myself, Sent};
use super::known;
use super::page::{Page, Text};
use super::passkeys::refuse_guests;
use super::session::SignedIn;
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{Reach, Rows};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::totp;

/// Where it is.
pub(super) const PATH: &str = "/second-factor";
/// What somebody is told who has come by an issuer, and wants to change how they sign in without it.
pub(super) const GUEST: &str = "You came by an issuer. Sign in with your passphrase or a passkey to change this.";
const WRONG: &str = "This code is not right, or was used already.";

/// What the page shows.
enum Shown {
    Off,
    On,
    /// The secret, to be scanned.
    New(Zeroizing<String>),
    /// The recovery codes, once.
    Done(Vec<Zeroizing<String>>),
    /// A code that is not right.
    Wrong(Box<Shown>),
}

pub(super) async fn show(State(server): State<Arc<Server>>, myself: Myself) -> Answer<Response> {
    let signed_in = myself.signed_in;
    let person = signed_in.person.id.clone();
    let is_on =
        blocking(&server, move |server| Ok(server.db.read(Reach::Server, |rows| totp::is_on(rows, &person))?)).await?;
    let shown = if is_on { Shown::On } else { Shown::Off };
    Ok(page(&signed_in, &shown).into_response())
}

pub(super) async fn submit(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    refuse_guests(&myself)?;
    let signed_in = myself.signed_in.clone();
    let done = blocking(&server, move |server| step(server, &myself, &sent)).await;
    Ok(match done {
        Ok(shown) => {
            let status = if matches!(shown, Shown::Wrong(_)) { StatusCode::FORBIDDEN } else { StatusCode::OK };
            page(&signed_in, &shown).status(status).into_response()
        }
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            Page::put_off(&problem, "Too many attempts. Wait a little, then try again.").into_response()
        }
        Err(problem) => return Err(problem),
    })
}

fn step(server: &Server, myself: &Myself, sent: &Sent) -> Answer<Shown> {
    let (now, person) = (now(), myself.signed_in.person.id.as_str());
    let code = sent.filled("code").map(Secret::expose).unwrap_or_default();
    server.db.write(Reach::Server, |rows| -> Answer<Shown> {
        let browser = known::browser(rows, &server.keys, &myself.source, person)?;
        let attempt = Attempt::at("second-factor", person, myself.source.address).in_browser(browser.as_deref());
        attempt.take(rows, now)?;
        let tell = |rows: &mut dyn Rows, action: &str, outcome| -> Answer<()> {
            myself.tell(rows, server, &Event { outcome, ..Event::done(action, person) })
        };
        match sent.text("step") {
            "begin" => match totp::begin(rows, &server.keys, person, now)? {
                Some(secret) => {
                    tell(rows, "second-factor.begin", Outcome::Done)?;
                    Ok(Shown::New(secret))
                }
                None => Ok(Shown::On),
            },
            "confirm" => {
                if let Some(codes) = totp::confirm(rows, &server.keys, person, code, now)? {
                    attempt.succeeded(rows)?;
                    tell(rows, "second-factor.add", Outcome::Done)?;
                    return Ok(Shown::Done(codes));
                }
                attempt.failed(rows, now)?;
                tell(rows, "second-factor.add", Outcome::Denied)?;
                let again = totp::unconfirmed(rows, &server.keys, person)?.map_or(Shown::Off, Shown::New);
                Ok(Shown::Wrong(Box::new(again)))
            }
            "remove" if totp::accept(rows, &server.keys, person, code, now)? => {
                attempt.succeeded(rows)?;
                totp::remove(rows, person)?;
                tell(rows, "second-factor.remove", Outcome::Done)?;
                Ok(Shown::Off)
            }
            "remove" => {
                attempt.failed(rows, now)?;
                tell(rows, "second-factor.remove", Outcome::Denied)?;
                Ok(Shown::Wrong(Box::new(Shown::On)))
            }
            _ => Err(Problem::bad("there is no such step")),
        }
    })
}

/// The field for a code.
pub(super) const FIELD: &str = "<label class=\"code\">Code<input name=\"code\" required maxlength=\"32\" \
                                autocomplete=\"one-time-code\" autocapitalize=\"characters\" spellcheck=\"false\"></label>";

fn page(signed_in: &SignedIn, shown: &Shown) -> Page {
    let form = |step: &str, inner: &str, button: &str| {
        format!(
            "<form method=\"post\" action=\"{PATH}\">\n<input type=\"hidden\" name=\"word\" value=\"{}\">\n\
             <input type=\"hidden\" name=\"step\" value=\"{step}\">\n{inner}\n<button>{button}</button>\n</form>",
            Text(&signed_in.form_word)
        )
    };
    let (problem, shown) = match shown {
        Shown::Wrong(inner) => (format!("<p role=\"alert\">{}</p>\n", Text(WRONG)), &**inner),
        shown => (String::new(), shown),
    };
    let body = match shown {
        Shown::Off | Shown::Wrong(_) => {
            let about = "<p>Your passphrase alone lets you in. With a second factor, the portal asks for a code of an app \
                         on your phone as well.</p>";
            format!("{about}\n{}", form("begin", "", "Set up a second factor"))
        }
        Shown::On => {
            let about =
                "<p>A second factor is in force. To take it away, type a code of your app, or a recovery code.</p>";
            format!("{about}\n{}", form("remove", FIELD, "Take it away"))
        }
        Shown::New(secret) => {
            let address = address(&signed_in.person.login, secret);
            let picture = picture(&address).unwrap_or_default();
            format!(
                "<p>Scan this with the app on your phone, or type the key into it. Then type the code that it shows.</p>\n\
                 {picture}\n<dl><dt>Key</dt><dd><code>{}</code></dd></dl>\n{}",
                Text(&grouped(secret)),
                form("confirm", FIELD, "Put it in force")
            )
        }
        Shown::Done(codes) => {
            let list: String = codes.iter().map(|code| format!("<li><code>{}</code></li>", Text(code))).collect();
            format!(
                "<p>The second factor is in force. Keep these recovery codes where you will find them without your phone: \
                 each lets you in once, and they are not shown again.</p>\n<ul>{list}</ul>\n<p><a href=\"/\">Go on</a></p>"
            )
        }
    };
    Page::new("Second factor", format!("{problem}{body}"))
}

/// What an app reads from the picture.
fn address(login: &str, secret: &str) -> Zeroizing<String> {
    let login: String = url::form_urlencoded::byte_serialize(login.as_bytes()).collect();
    Zeroizing::new(format!("otpauth://totp/Lanyard:{login}?secret={secret}&issuer=Lanyard"))
}

/// A key as a person types it.
fn grouped(secret: &str) -> Zeroizing<String> {
    let letters = secret.chars().enumerate();
    let spaced = letters.flat_map(|(at, letter)| (at > 0 && at % 4 == 0).then_some(' ').into_iter().chain([letter]));
    Zeroizing::new(spaced.collect())
}

/// A text as a QR code: dark on light whatever the page's colours, with the quiet margin that readers need.
fn picture(text: &str) -> Option<String> {
    const MARGIN: usize = 4;
    let code = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M).ok()?;
    let (width, side) = (code.width(), code.width() + 2 * MARGIN);
    let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == qrcode::Color::Dark);
    let squares: String =
        dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + MARGIN, at / width + MARGIN)).collect();
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"240\" height=\"240\" role=\"img\" \
         aria-label=\"The key as a QR code\" shape-rendering=\"crispEdges\"><rect width=\"{side}\" height=\"{side}\" \
         fill=\"#fff\"/><path d=\"{squares}\" fill=\"#000\"/></svg>"
    ))
}
