//! Takes names of people, hosts and folders out of the doctor's answer.

use std::path::Path;

use super::Finding;
use super::subject::Subject;
use crate::auth::presets;
use crate::http::{Url, is_loopback};
use crate::os::Env;

/// Hosts that everybody knows, which give nothing away.
const PUBLIC_HOSTS: [&str; 6] = [
    "github.com",
    "api.github.com",
    "gitlab.com",
    "accounts.google.com",
    "huggingface.co",
    "login.microsoftonline.com",
];

/// What is taken out: the text, what stands in its place, and what it is called in the line that owns up to it.
struct Private {
    text: String,
    instead: &'static str,
    kind: &'static str,
}

/// Knows what is private on this machine, longest first.
pub(super) struct Redactor {
    private: Vec<Private>,
}

impl Redactor {
    pub(super) fn new(env: &Env, subject: &Subject) -> Self {
        let mut redactor = Self { private: Vec::new() };
        redactor.add_folders(env);
        let user_of_home = env.home().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let users = ["USER", "LOGNAME", "USERNAME"].into_iter().filter_map(|name| env.var(name).map(str::to_owned));
        for user in users.chain(user_of_home) {
            // The superuser's name is everybody's, and stands in texts of our own.
            if user != "root" {
                redactor.add(user, "<user>", "user names");
            }
        }
        redactor.add_names(subject);
        redactor.add_hosts(env, subject);
        redactor.private.retain(|private| private.text.chars().count() >= 2);
        redactor.private.sort_by_key(|private| std::cmp::Reverse(private.text.len()));
        redactor
    }

    fn add(&mut self, text: impl Into<String>, instead: &'static str, kind: &'static str) {
        self.private.push(Private { text: text.into(), instead, kind });
    }

    fn add_folders(&mut self, env: &Env) {
        let dir = env.config_dir();
        if !env.home().is_some_and(|home| dir.starts_with(home)) {
            self.add(dir.display().to_string(), "<configuration folder>", "folders");
        }
        if let Some(home) = env.home() {
            self.add(home.display().to_string(), "~", "folders");
        }
        // The path of a certificate file may lead through any folder; its variable's name is enough.
        if let Some(path) = env.var("SSL_CERT_FILE") {
            self.add(crate::text::clean(path), "<file>", "folders");
        }
    }

    /// Profiles, services, accounts and rules are named by people, often after themselves.
    fn add_names(&mut self, subject: &Subject) {
        let config = &subject.config;
        for name in config.profiles.keys().chain(&subject.profile) {
            self.add(name, "<profile>", "profile names");
        }
        for name in config.services.keys().filter(|name| presets::find(name).is_none()) {
            self.add(name, "<service>", "service names");
        }
        for profile in config.profiles.values() {
            if let Some(account) = &profile.account {
                self.add(account, "<account>", "user names");
            }
            if let Some(service) = profile.service.as_ref().filter(|name| presets::find(name).is_none()) {
                self.add(service, "<service>", "service names");
            }
        }
        for rule in &config.rules {
            self.add(&rule.directory, "<folder>", "folders");
            self.add(&rule.profile, "<profile>", "profile names");
        }
    }

    fn add_hosts(&mut self, env: &Env, subject: &Subject) {
        let proxies = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].into_iter().filter_map(|name| {
            let value = env.var(name).or_else(|| env.var(&name.to_lowercase()))?;
            let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
            Url::parse(&with_scheme).ok()
        });
        for url in proxies.chain(subject.address.clone()).filter(|url| !is_loopback(url)) {
            let Some(host) = url.host_str().filter(|host| !PUBLIC_HOSTS.contains(host)) else { continue };
            self.add(host, "<host>", "host names");
        }
        if let Some(hosts) = env.var("NO_PROXY").or_else(|| env.var("no_proxy")) {
            self.add(crate::text::clean(hosts), "<hosts>", "host names");
        }
    }

    /// Takes the private texts out of every finding. Returns the kinds of what was taken out.
    pub(super) fn apply(&self, findings: &mut [Finding]) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        for finding in findings {
            finding.message = self.without_private(&finding.message, &mut kinds);
            finding.mend = finding.mend.take().map(|mend| self.without_private(&mend, &mut kinds));
        }
        kinds
    }

    /// One pass from left to right, so that nothing is looked for in what was put in.
    fn without_private(&self, text: &str, kinds: &mut Vec<&'static str>) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let begins_word = !shown.chars().next_back().is_some_and(is_word);
            let found = self.private.iter().find(|private| begins_word && stands_at_start(rest, &private.text));
            if let Some(private) = found {
                shown.push_str(private.instead);
                rest = &rest[private.text.len()..];
                if !kinds.contains(&private.kind) {
                    kinds.push(private.kind);
                }
            } else {
                shown.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        shown
    }
}

/// Whether `text` begins with `word` as a word of its own.
fn stands_at_start(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|after| {
        !after.chars().next().is_some_and(is_word) || !word.chars().next_back().is_some_and(is_word)
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
