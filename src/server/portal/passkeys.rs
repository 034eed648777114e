//! Passkeys in the portal: adding and removing one's own, and signing in by one, alone or beside a passphrase.
//!
//! A browser asks a passkey by a script alone. It is a file of this server's own, on the pages that ask and on no other;
//! what it finds goes the way of every form.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use serde::Deserialize;

use super::half::{self, complete};
use super::inside::{Myself, Sent, sentence};
use super::known::Entry;
use super::own::tell;
use super::page::{Page, Text, sent_on};
use super::second_factor::GUEST;
use super::session::{OwnForm, Visitor, local_path};
use super::shell::{hidden, time, word};
use super::{denied, prove, sign_in, ways};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::db::{Reach, Rows};
use crate::server::edge::Source;
use crate::server::metrics;
use crate::server::passkey::{self, Added, Purpose, Question, Refused};
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::{factors, people, token};

/// The script.
const SCRIPT: &str = include_str!("passkey.js");
/// The longest name, in characters.
const NAME: usize = 64;
const ADD: &str = "/account/passkeys";
const ANSWER: &str = "/sign-in/passkey/answer";
const TOO_LATE: &str = "This page was used already, or is too old. Go back and begin again.";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/passkey.js", Access::Page, script),
        Route::new(Method::POST, "/account/passkeys/new", Access::Personal, begin).freshly(ways::PATH),
        Route::new(Method::POST, ADD, Access::Personal, add).freshly(ways::PATH),
        Route::new(Method::POST, "/account/passkeys/{id}/remove", Access::Personal, remove).freshly(ways::PATH),
        Route::new(Method::POST, "/sign-in/passkey", Access::Page, ask),
        Route::new(Method::POST, ANSWER, Access::Page, answer),
        Route::new(Method::POST, "/sign-in/code/passkey", Access::Page, ask_second),
        Route::new(Method::POST, "/sign-in/code/passkey/answer", Access::Page, answer_second),
    ]
}

async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

/// A button that leads to a passkey, where there can be one.
pub(super) fn button(is_there: bool, words: &str, action: &str, fields: &[(&str, &str)]) -> String {
    if !is_there {
        return String::new();
    }
    let fields: String = fields.iter().map(|(name, value)| hidden(name, value)).collect();
    format!(
        "\n<form method=\"post\" action=\"{}\">{fields}<button class=\"quiet\">{}</button></form>",
        Text(action),
        Text(words),
    )
}

/// The page on which the script asks a passkey.
pub(super) fn question(title: &'static str, action: &str, kind: &str, question: &Question, fields: &str) -> Page {
    let options = question.options.to_string();
    let body = format!(
        "<p>Your browser asks for your passkey now.</p>\n<p role=\"alert\" id=\"told\"></p>\n\
         <noscript><p>This needs a script, which this browser does not run. Go back, and sign in with your \
         passphrase.</p></noscript>\n\
         <form hidden method=\"post\" action=\"{}\" data-passkey=\"{kind}\" data-options=\"{}\">\n{}{}{fields}\
         <button>Ask again</button>\n</form>",
        Text(action),
        Text(&options),
        hidden("question", question.token.expose()),
        hidden("answer", ""),
    );
    Page::new(title, body).with_script()
}

/// Those of a person, with what takes one away and what adds one.
pub(super) fn list(server: &Server, myself: &Myself) -> Answer<String> {
    let (now, signed_in) = (now(), &myself.signed_in);
    if passkey::site(server).is_none() {
        let why = "This server is reached by an address in numbers, which a passkey cannot be of.";
        return Ok(format!("<h2>Passkeys</h2>\n<p class=\"hint\">{why}</p>"));
    }
    let all = server.db.read(Reach::Server, |rows| passkey::all_of(rows, &signed_in.person.id))?;
    let at = DateTime::from_timestamp_millis;
    let rows: String = all
        .iter()
        .map(|one| {
            let kept = if one.backed_up { "in a backup as well" } else { "on one device" };
            format!(
                "<tr><th scope=\"row\">{}<small>{kept}</small></th><td>{}</td><td>{}</td><td>\
                 <form method=\"post\" action=\"/account/passkeys/{}/remove\">{}<button class=\"plain\">Remove\
                 <span class=\"apart\"> {0}</span></button></form></td></tr>\n",
                Text(&one.name),
                time(at(one.created), now, ""),
                time(one.used.and_then(at), now, "never"),
                Text(&one.id),
                word(signed_in),
            )
        })
        .collect();
    let table = if all.is_empty() {
        "<p role=\"status\">You have none.</p>".into()
    } else {
        format!(
            "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Passkey</th><th scope=\"col\">Added</th>\
             <th scope=\"col\">Last used</th><th scope=\"col\"><span class=\"apart\">Remove</span></th></tr></thead>\n\
             <tbody>\n{rows}</tbody></table></div>"
        )
    };
    let new = if signed_in.is_fresh(now) {
        format!(
            "<form method=\"post\" action=\"/account/passkeys/new\">\n{}\n<label>A new one<small>What you call it, such as \
             the device that it is on</small><input name=\"name\" required maxlength=\"64\" autocomplete=\"off\"></label>\n\
             <button>Add a passkey</button>\n</form>",
            word(signed_in),
        )
    } else {
        prove::way(ways::PATH)
    };
    Ok(format!(
        "<h2>Passkeys</h2>\n<p>A passkey lets you in by itself. Once you have one, your passphrase alone does not: the \
         portal then asks for a second factor as well.</p>\n{table}\n{new}"
    ))
}

/// The name of a passkey, as a form has it.
fn name(sent: &Sent) -> Answer<String> {
    let name = sent.text("name");
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(crate::text::is_unprintable) {
        return Err(Problem::invalid(format!("a passkey has a name of at most {NAME} characters")));
    }
    Ok(name.to_owned())
}

fn too_many() -> String {
    format!("a person has {} passkeys at most", passkey::MOST)
}

pub(super) fn refuse_guests(myself: &Myself) -> Answer<()> {
    let is_guest = myself.signed_in.is_guest;
    if is_guest { Err(Problem::new(StatusCode::FORBIDDEN, "guest", GUEST.trim_end_matches('.'))) } else { Ok(()) }
}

async fn begin(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        refuse_guests(&myself)?;
        let (name, signed_in) = (name(&sent)?, &myself.signed_in);
        let asked = server.db.write(Reach::Server, |rows| -> Answer<Question> {
            if passkey::all_of(rows, &signed_in.person.id)?.len() >= passkey::MOST {
                return Err(Problem::invalid(too_many()));
            }
            passkey::ask(rows, server, Purpose::Add, &signed_in.session, Some(&signed_in.person))
        })?;
        let fields = word(signed_in) + &hidden("name", &name);
        Ok(question("Add a passkey", ADD, "create", &asked, &fields).into_response())
    })
    .await
}

async fn add(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    blocking(&server, move |server| {
        refuse_guests(&myself)?;
        let name = name(&sent)?;
        let (person, session) = (&myself.signed_in.person.id, &myself.signed_in.session);
        let none = Secret::new(String::new());
        let given = |name: &str| sent.filled(name).unwrap_or(&none);
        let asked = server.db.write(Reach::Server, |rows| passkey::asked(rows, given("question"), Purpose::Add, session, now()))?;
        let Some(asked) = asked else { return Ok(Page::refusal(StatusCode::FORBIDDEN, TOO_LATE).into_response()) };
        let made = asked.made(server, given("answer"), &name);
        server.db.write(Reach::Server, |rows| -> Answer<Response> {
            let refused = |rows: &mut dyn Rows, why: &str| -> Answer<Response> {
                let event = Event { outcome: Outcome::Denied, detail: why, ..Event::done("passkey.add", person) };
                tell(rows, server, &myself, &event)?;
                Ok(Page::refusal(StatusCode::FORBIDDEN, &sentence(why)).into_response())
            };
            let made = match made {
                Ok(made) => made,
                Err(why) => return refused(rows, &why.to_string()),
            };
            match made.keep(rows)? {
                Added::Yes => {}
                Added::Known => return refused(rows, "this passkey is known already"),
                Added::TooMany => return refused(rows, &too_many()),
            }
            tell(rows, server, &myself, &Event { detail: &made.id, ..Event::done("passkey.add", person) })?;
            if factors::has_recovery_codes(rows, person)? {
                return Ok(sent_on(ways::PATH, None));
            }
            let codes = factors::new_recovery_codes(rows, person)?;
            let codes: String = codes.iter().map(|code| format!("<li><code>{}</code></li>", Text(code))).collect();
            let body = format!(
                "<p>The passkey <strong>{}</strong> is yours. Keep these recovery codes where you will find them without \
                 it: each stands in once for the second factor, after your passphrase, and they are not shown \
                 again.</p>\n<ul>{codes}</ul>\n<p><a href=\"{}\">Go on</a></p>",
                Text(&made.name),
                ways::PATH,
            );
            Ok(Page::new("A passkey was added", body).into_response())
        })
    })
    .await
}

#[derive(Deserialize)]
struct One {
    id: String,
}

async fn remove(State(server): State<Arc<Server>>, myself: Myself, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        refuse_guests(&myself)?;
        let person = &myself.signed_in.person.id;
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            if !passkey::remove(rows, person, &id)? {
                return Err(Problem::not_found());
            }
            ways::keep_one(rows, person)?;
            factors::tidy(rows, person)?;
            tell(rows, server, &myself, &Event { detail: &id, ..Event::done("passkey.remove", person) })
        })?;
        Ok(sent_on(ways::PATH, None))
    })
    .await
}

#[derive(Deserialize)]
struct Next {
    next: Option<String>,
}

/// The page that asks whoever is there for a passkey.
async fn ask(State(server): State<Arc<Server>>, _: Visitor, OwnForm(Next { next }): OwnForm<Next>) -> Answer<Response> {
    let fields = hidden("next", local_path(next.as_deref()));
    let asked = blocking(&server, |server| {
        server.db.write(Reach::Server, |rows| passkey::ask(rows, server, Purpose::SignIn, "", None))
    });
    Ok(question("Sign in with a passkey", ANSWER, "get", &asked.await?, &fields).into_response())
}

#[derive(Deserialize)]
struct Given {
    question: Secret,
    answer: Secret,
    half: Option<Secret>,
    next: Option<String>,
}

/// Signs in whoever's passkey has answered.
async fn answer(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    let next = local_path(given.next.as_deref()).to_owned();
    let former = visitor.signed_in.map(|signed_in| signed_in.session);
    let done = blocking(&server, move |server| sign_in_by(server, &given, &visitor.source, former.as_deref())).await;
    metrics::signed_in("passkey", done.as_ref().map(Result::is_ok));
    Ok(match done? {
        Ok(entry) => entry.sent_on(&server, &next),
        Err(why) => Page::refusal(StatusCode::FORBIDDEN, &sentence(&why)).into_response(),
    })
}

fn sign_in_by(server: &Server, given: &Given, source: &Source, former: Option<&str>) -> Answer<Result<Entry, String>> {
    let guessed = token::parse(given.question.expose()).map_or_else(|| "?".into(), |parsed| parsed.id);
    let attempt = Attempt::at("passkey", &guessed, source.address);
    server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now()))?;
    // It is used up before anything is looked at, and stays so whatever comes of it.
    let asked =
        server.db.write(Reach::Server, |rows| passkey::asked(rows, &given.question, Purpose::SignIn, "", now()))?;
    server.db.write(Reach::Server, |rows| -> Answer<_> {
        let found = match asked {
            Some(asked) => {
                asked.answered(rows, server, &given.answer)?.map_err(|(why, whose)| (why.to_string(), whose))
            }
            None => Err((TOO_LATE.trim_end_matches('.').to_owned(), None)),
        };
        let at_the_account = |person: &str| Attempt::at("passkey-of", person, source.address);
        Ok(match found {
            Ok(person) => {
                at_the_account(&person).succeeded(rows)?;
                people::hold(rows, &person)?;
                if let Some(former) = former {
                    people::sign_out(rows, former)?;
                }
                Ok(sign_in::begin(rows, server, &person, None, source, "passkey")?)
            }
            Err((why, whose)) => {
                attempt.failed(rows, now())?;
                // Each question is another one. Counted by whose passkey it is as well, this fills the audit of nobody's
                // organizations, and keeps nobody out.
                let mut person = None;
                if let Some(whose) = &whose {
                    let theirs = at_the_account(whose);
                    if theirs.refuse_early(rows, now()).is_ok() {
                        theirs.failed(rows, now())?;
                        person = Some(whose.as_str());
                    }
                }
                denied::tell(rows, server, source, &denied::Tried { person, way: "passkey", why: &why })?;
                Err(why)
            }
        })
    })
}

#[derive(Deserialize)]
struct HalfDone {
    half: Secret,
    next: Option<String>,
}

/// The page that asks for a passkey beside the passphrase that was given.
async fn ask_second(
    State(server): State<Arc<Server>>,
    _: Visitor,
    OwnForm(given): OwnForm<HalfDone>,
) -> Answer<Response> {
    let fields = hidden("half", given.half.expose()) + &hidden("next", local_path(given.next.as_deref()));
    let asked = blocking(&server, move |server| {
        server.db.write(Reach::Server, |rows| -> Answer<_> {
            let Some(known) = half::find(rows, &given.half, now())? else { return Ok(None) };
            let person = people::by_id(rows, &known.person)?;
            passkey::ask(rows, server, Purpose::SecondFactor, &known.id, person.as_ref()).map(Some)
        })
    });
    Ok(match asked.await? {
        Some(asked) => {
            question("Second factor", "/sign-in/code/passkey/answer", "get", &asked, &fields).into_response()
        }
        None => Page::refusal(StatusCode::FORBIDDEN, half::TOO_LATE).into_response(),
    })
}

/// Makes a sign-in whole by a passkey.
async fn answer_second(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    let next = local_path(given.next.as_deref()).to_owned();
    let former = visitor.signed_in.map(|signed_in| signed_in.session);
    let tried = blocking(&server, move |server| {
        let Some(token) = &given.half else { return Ok(half::Tried::Nobody) };
        let known = server.db.read(Reach::Server, |rows| half::find(rows, token, now()))?;
        let Some(known) = known else { return Ok(half::Tried::Nobody) };
        let asked = server.db.write(Reach::Server, |rows| {
            passkey::asked(rows, &given.question, Purpose::SecondFactor, &known.id, now())
        })?;
        complete(server, token, &visitor.source, former.as_deref(), "passkey", |rows, person| {
            by(rows, server, asked.as_ref(), &given.answer, person)
        })
    });
    let tried = tried.await;
    metrics::signed_in("second factor", tried.as_ref().map(|tried| matches!(tried, half::Tried::In(_))));
    Ok(half::answer(&server, tried?, &next, "The passkey was not accepted."))
}

/// Whether a person's passkey has answered; why not.
pub(super) fn by(
    rows: &mut dyn Rows,
    server: &Server,
    asked: Option<&passkey::Asked>,
    answer: &Secret,
    person: &str,
) -> Answer<Result<(), String>> {
    let Some(asked) = asked else { return Ok(Err(TOO_LATE.trim_end_matches('.').to_owned())) };
    Ok(match asked.answered(rows, server, answer)? {
        Ok(found) if found == person => Ok(()),
        Ok(_) => Err(Refused::Person.to_string()),
        Err((why, _)) => Err(why.to_string()),
    })
}
