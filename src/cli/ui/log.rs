//! The log: lanyard's own events on stderr, one a line. Those of libraries are left out, since they may show headers and
//! bodies.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering};

use chrono::SecondsFormat;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::Ui;
use crate::os::Env;
use crate::text::clean;

/// In which form events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LogForm {
    /// A line for whoever looks for a fault: level, place, event.
    Plain,
    /// The same with the time.
    Text,
    /// A JSON object with time, level, target, event and what belongs to it.
    Json,
}

static FORM: AtomicU8 = AtomicU8::new(LogForm::Plain as u8);
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// Writes events of a level and of those above it from now on.
pub(super) fn start(verbosity: u8) {
    let level = match verbosity {
        0 => Level::INFO,
        1 => Level::DEBUG,
        _ => Level::TRACE,
    };
    LEVEL.store(rank(level), Ordering::Relaxed);
    // A second call in one process keeps the first log, and changes what it shows.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Lines));
}

impl Ui {
    /// Writes what happens to stderr in a form, for a program that goes on: warnings and what is done, and with `-v` more.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "only the server goes on for so long"))]
    pub fn log(&self, form: LogForm, verbosity: u8) {
        FORM.store(form as u8, Ordering::Relaxed);
        start(verbosity);
    }
}

fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, about: &Metadata<'_>, _: Context<'_, S>) -> bool {
        about.target().starts_with("lanyard") && rank(*about.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        let form = FORM.load(Ordering::Relaxed);
        let line = if form == LogForm::Json as u8 {
            told.into_json(event.metadata())
        } else {
            told.in_text(event.metadata(), form == LogForm::Text as u8)
        };
        // Where the log cannot be written there is no place to say so.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// What an event tells.
#[derive(Default)]
struct Told {
    message: String,
    fields: Map<String, Value>,
}

impl Told {
    fn tell(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // What is empty is not there.
            (_, Value::String(text)) if text.is_empty() => {}
            (name, value) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }

    fn into_json(self, about: &Metadata<'_>) -> String {
        let mut line = Map::new();
        line.insert("time".into(), now().into());
        line.insert("level".into(), about.level().as_str().to_ascii_lowercase().into());
        line.insert("target".into(), about.target().into());
        line.insert("event".into(), self.message.into());
        line.extend(self.fields);
        format!("{}\n", Value::Object(line))
    }

    fn in_text(&self, about: &Metadata<'_>, timed: bool) -> String {
        let time = if timed { format!("{} ", now()) } else { String::new() };
        let mut line = format!("{time}{:>5} {}: {}", about.level(), about.target(), clean(&self.message));
        for (name, value) in &self.fields {
            let value = value.as_str().map_or_else(|| value.to_string(), clean);
            // A string takes whatever is written to it.
            let _ = write!(line, " {name}={value}");
        }
        line.push('\n');
        line
    }
}

fn now() -> String {
    Env::empty().now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Visit for Told {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.tell(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.tell(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.tell(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.tell(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.tell(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        static FOUND: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
        struct Kept;
        impl<S: Subscriber> Layer<S> for Kept {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let mut told = Told::default();
                event.record(&mut told);
                let text = told.in_text(event.metadata(), false);
                FOUND.lock().unwrap().extend([text, told.into_json(event.metadata())]);
            }
        }
        tracing::subscriber::with_default(tracing_subscriber::registry().with(Kept), || {
            tracing::warn!(number = 7, empty = "", cause = %"a\nb \u{1b}[31mc", "it went\nwrong");
        });
        let found = FOUND.lock().unwrap();
        let place = module_path!();
        assert_eq!(found[0], format!(" WARN {place}: it went wrong cause=a b [31mc number=7\n"));
        let json: Value = serde_json::from_str(&found[1]).unwrap();
        assert_eq!(found[1].matches('\n').count(), 1);
        assert_eq!((&json["level"], &json["event"]), (&"warn".into(), &"it went\nwrong".into()));
        assert_eq!((&json["number"], &json["cause"]), (&7.into(), &"a\nb \u{1b}[31mc".into()));
        assert!(json.get("empty").is_none() && json["time"].as_str().unwrap().ends_with('Z'));
    }
}
