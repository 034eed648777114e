//! The inputs for the values of a kind, and what was typed into them. A secret goes one way: in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::credential::{Class, Field, FieldError, Fields, Kind, Raw};
use crate::os::Env;
use crate::provider::{self, Here, ProviderError};
use crate::secret::Secret;
use crate::server::portal::fields::{Input, Slip, marked};
use crate::server::portal::inside::Sent;
use crate::server::portal::page::Text;
use crate::server::portal::shell::day;
use crate::server::problem::{Answer, Problem};

/// So many names of one's own a form has room for at a time.
const ROWS: usize = 5;

/// What is known already of the values that a form is about.
#[derive(Default)]
pub(super) struct Known {
    /// Those that are no secret.
    pub(super) plain: BTreeMap<String, String>,
    /// The names of the secrets that are stored and stay where nothing is typed.
    pub(super) stored: BTreeSet<String>,
}

impl Known {
    /// What was typed, but for secrets.
    pub(super) fn of(kind: &Kind, sent: &Sent, stored: BTreeSet<String>) -> Self {
        let seen = kind.fields.iter().filter(|field| field.class != Class::Secret);
        let plain = seen.map(|field| (field.name.to_owned(), sent.text(&input(field)).to_owned())).collect();
        Self { plain, stored }
    }
}

fn input(field: &Field) -> String {
    format!("f-{}", field.name)
}

/// The inputs for the values of a kind.
pub(super) fn inputs(kind: &Kind, known: &Known, named: &[String], slip: Option<&Slip>) -> String {
    let mut html: String =
        kind.fields.iter().filter(|field| !field.derived).map(|field| one(field, known, slip)).collect();
    if kind.open.is_some() {
        for name in &known.stored {
            let _ = writeln!(
                html,
                "<fieldset><legend>{0}</legend><label>Value<small>Stored; it stays where nothing is typed</small>{1}</label>\
                 <label class=\"check\"><input type=\"checkbox\" name=\"gone\" value=\"{0}\">Take it out</label></fieldset>",
                Text(name),
                many_lines(&format!("s-{name}"), true, false),
            );
        }
        for row in 0..ROWS {
            let name = named.get(row).map_or("", String::as_str);
            let _ = writeln!(
                html,
                "<fieldset><legend>Variable {}</legend><label>Name<input name=\"n-{row}\" autocomplete=\"off\" \
                 autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"></label><label>Value{}</label></fieldset>",
                row + 1,
                Text(name),
                many_lines(&format!("v-{row}"), true, false),
            );
        }
    }
    html
}

fn one(field: &Field, known: &Known, slip: Option<&Slip>) -> String {
    let (name, is_secret) = (input(field), field.class == Class::Secret);
    let mark = marked(slip, &name);
    let is_stored = is_secret && known.stored.contains(field.name);
    let is_needed = field.required && !field.follows && !is_stored;
    let mut hints = Vec::new();
    if is_stored {
        hints.push("Stored; it stays where nothing is typed".to_owned());
    } else if field.follows {
        hints.push("Where nothing is typed, it is read out of the others".to_owned());
    } else if !field.required {
        hints.push("Not needed".to_owned());
    }
    if !is_secret && !field.multiline {
        hints.push(format!("Such as {}", field.example));
    }
    let hint = hints.iter().map(|hint| format!("<small>{}</small>", Text(hint))).collect::<String>();
    let needed = if is_needed { " required" } else { "" };
    let control = match (field.multiline, is_secret) {
        (true, _) => many_lines(&name, is_secret, is_needed).replacen("<textarea", &format!("<textarea{mark}"), 1),
        (false, true) => format!(
            "<input type=\"password\" name=\"{}\" autocomplete=\"new-password\" spellcheck=\"false\"{needed}{mark}>",
            Text(&name)
        ),
        (false, false) => format!(
            "<input name=\"{}\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\" value=\"{}\"{needed}{mark}>",
            Text(&name),
            Text(known.plain.get(field.name).map_or("", String::as_str)),
        ),
    };
    let gone = if is_stored && !field.required {
        format!(
            "<label class=\"check\"><input type=\"checkbox\" name=\"gone\" value=\"{}\">Take the {} out</label>",
            Text(field.name),
            Text(&field.title.to_lowercase()),
        )
    } else {
        String::new()
    };
    format!("<label>{}{hint}{control}</label>{gone}\n", Text(field.title))
}

fn many_lines(name: &str, is_secret: bool, is_needed: bool) -> String {
    let class = if is_secret { " class=\"secret\"" } else { "" };
    let needed = if is_needed { " required" } else { "" };
    format!(
        "<textarea name=\"{}\"{class} rows=\"3\" autocomplete=\"off\" autocapitalize=\"none\" spellcheck=\"false\"{needed}>\
         </textarea>",
        Text(name)
    )
}

/// The input for the name of a credential.
pub(in crate::server::portal) fn name(value: &str, slip: Option<&Slip>) -> String {
    let hint = "Letters, digits and . _ @ + : -";
    let more = "required maxlength=\"128\" autocapitalize=\"none\" spellcheck=\"false\"";
    Input { name: "name", title: "Name", hint, value, more }.html(slip)
}

/// The input for the day on which it expires.
pub(super) fn expires(hint: &str, value: &str, slip: Option<&Slip>) -> String {
    Input { name: "expires", title: "Expires on", hint, value, more: "type=\"date\"" }.html(slip)
}

/// The inputs for what it is found by.
pub(super) fn labels(tags: &str, note: &str, slip: Option<&Slip>) -> String {
    let tags = Input { name: "tags", title: "Tags", hint: "With commas between", value: tags, more: "" };
    let note = Input { name: "note", title: "Note", value: note, more: "maxlength=\"1000\"", ..Input::default() };
    tags.html(slip) + &note.html(slip)
}

/// The day on which it expires, as it was typed.
pub(super) fn ends(sent: &Sent) -> Answer<Option<DateTime<Utc>>> {
    day(sent.text("expires")).map_err(|why| Problem::invalid(why).about("expires"))
}

/// The names of one's own that were typed, to be shown again.
pub(super) fn named(sent: &Sent) -> Vec<String> {
    (0..ROWS).map(|row| sent.text(&format!("n-{row}")).to_owned()).collect()
}

/// The values that were typed. `before` are the names of the secrets that are stored.
pub(super) fn typed(kind: &Kind, sent: &Sent, before: &BTreeSet<String>) -> Answer<Raw> {
    let mut raw = Raw::new();
    for field in kind.fields.iter().filter(|field| !field.derived) {
        let name = input(field);
        if field.class == Class::Secret {
            if let Some(value) = sent.filled(&name) {
                raw.set(field.name, if field.multiline { lines(value) } else { value.duplicate() });
            }
        } else if !sent.text(&name).is_empty() {
            raw.plain(field.name, sent.text(&name));
        }
    }
    if kind.open.is_none() {
        refuse_orders(kind, &raw)?;
        return Ok(raw);
    }
    for name in before {
        if let Some(value) = sent.filled(&format!("s-{name}")) {
            raw.set(name, lines(value));
        }
    }
    for (row, name) in named(sent).iter().enumerate() {
        match (name.as_str(), sent.filled(&format!("v-{row}"))) {
            ("", None) => {}
            ("", Some(_)) => return Err(Problem::invalid("a value has no name")),
            (name, None) => return Err(Problem::invalid(format!("{name} has no value"))),
            (name, Some(_)) if raw.has(name) => return Err(Problem::invalid(format!("{name} is there twice"))),
            (name, Some(value)) => {
                raw.set(name, lines(value));
            }
        }
    }
    Ok(raw)
}

/// Refuses a document that gives orders, before its provider reads it and takes what it can use.
fn refuse_orders(kind: &Kind, raw: &Raw) -> Answer<()> {
    let all = raw.names().filter_map(|name| Some((name.to_owned(), raw.get(name)?.duplicate()))).collect();
    Ok(provider::refuse_orders(kind, &BTreeMap::new(), &all)?)
}

/// The names whose values are to be taken out.
pub(super) fn gone(sent: &Sent) -> BTreeSet<String> {
    sent.all("gone").map(|name| name.expose().to_owned()).collect()
}

/// Lines as they were before a browser made each end in two characters.
fn lines(value: &Secret) -> Secret {
    Secret::new(value.expose().replace("\r\n", "\n"))
}

/// The values of a new credential: what its provider reads out of others is filled in, and nothing is looked for on
/// this machine.
pub(super) fn complete(kind: &'static Kind, mut raw: Raw) -> Answer<Fields> {
    let is_lacking = |field: &&Field| field.required && !field.derived && !field.follows && !raw.has(field.name);
    if let Some(field) = kind.fields.iter().find(is_lacking) {
        return Err(FieldError::Missing { kind: kind.title, field: field.name.to_owned() }.into());
    }
    let provider = provider::by_name(kind.provider).ok_or_else(|| Problem::internal("a kind of no provider"))?;
    let (env, given) = (Env::empty(), BTreeMap::new());
    let kind = provider.complete(&mut raw, &Here { env: &env, given: &given }).map_err(|failure| refused(&failure))?;
    Ok(Fields::parse(kind, raw)?)
}

/// What a provider says of values that cannot be a credential. It quotes none.
pub(super) fn refused(failure: &ProviderError) -> Problem {
    Problem::invalid(failure.to_string())
}
