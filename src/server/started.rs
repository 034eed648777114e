//! Each start is in the server's own audit, with the settings that decide who is believed: whoever changes one is seen.

use super::audit::{self, Actor, Event, Sink, server_scope};
use super::db::{Address, Reach};
use super::keys::KeyError;
use super::settings::Settings;
use super::state::{Server, now};

/// So many letters of settings go into one entry; more go into further ones.
const ROOM: usize = 180;

/// Tells that the server starts.
pub(super) fn tell(settings: &Settings, server: &Server) -> Result<(), KeyError> {
    let entries = in_lines(&words(settings, server.public.as_str().trim_end_matches('/')));
    server.db.write(Reach::Server, |rows| {
        for detail in &entries {
            let event = Event { detail, ..Event::done("server.start", "") };
            audit::append(rows, &server.keys, &server_scope(), &Actor::operator(), &event, now())?;
        }
        Ok(())
    })
}

/// The settings, each in a word. None of them is secret.
fn words(settings: &Settings, public: &str) -> Vec<String> {
    let tls = match (&settings.tls, settings.proxies.each()) {
        (Some(_), _) => "certificate",
        (None, []) => "none",
        (None, _) => "proxy",
    };
    let engine = if settings.keeping.engine.outside().is_some() { "vault" } else { "envelope" };
    let database = match settings.database {
        Address::Sqlite(_) => "sqlite",
        Address::Postgres(_) => "postgresql",
    };
    let sink = settings.checkpoints.sink.as_ref().map_or_else(|| "none".to_owned(), Sink::in_words);
    let mut words = vec![
        format!("version={}", env!("CARGO_PKG_VERSION")),
        format!("public-url={public}"),
        format!("listen={}", settings.listen),
        format!("tls={tls}"),
        format!("secrets-engine={engine}"),
        format!("database={database}"),
        format!("audit-checkpoints={sink}"),
    ];
    words.extend(settings.metrics.iter().map(|address| format!("metrics-listen={address}")));
    words.extend(settings.proxies.each().iter().map(|proxy| format!("behind-proxy={proxy}")));
    words.extend(settings.allowed_hosts.iter().map(|host| format!("allow-host={host}")));
    words
}

/// Words in as few lines as they fit into.
fn in_lines(words: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= ROOM => *line = format!("{line} {word}"),
            _ => lines.push(word.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_there_are_each_is_told_whole() {
        let words: Vec<String> = (0..60).map(|number| format!("allow-host=host-{number}.example.com")).collect();
        let lines = in_lines(&words);
        assert!(lines.len() > 5 && lines.iter().all(|line| line.len() <= ROOM));
        assert_eq!(lines.join(" "), words.join(" "));
        assert_eq!(in_lines(&["x".repeat(300)]).len(), 1);
    }
}
