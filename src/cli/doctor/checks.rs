//! The checks that reach outside: secret store, network, clock.

use std::time::Duration;

use super::subject::Subject;
use super::{Finding, Status};
use crate::cli::{Doors, store};
use crate::error::Code;
use crate::http::{Request, Response, Url};
use crate::os::{Env, PASSPHRASE, files};
use crate::provider::aws;
use crate::secret::{Choice, StoreError};
use crate::text::clean;
use crate::vault::Local;

/// The size of a usual session: three tokens and what belongs to them.
const USUAL_SESSION: usize = 8 << 10;

/// The largest difference between two clocks that an ID token survives.
const MAX_SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// Writes, reads and removes a value in the store that the profile uses.
pub(super) fn keychain(doors: &Doors<'_>, subject: &Subject) -> Finding {
    const CHECK: &str = "keychain";
    let choice = subject.storage.unwrap_or(Choice::Auto);
    if choice == Choice::File && doors.env.var(PASSPHRASE).is_none() && !doors.ui.is_interactive() {
        return Finding::from_failure(CHECK, &StoreError::NoPassphrase);
    }
    match store::open(doors, choice).and_then(|store| store.probe(USUAL_SESSION)) {
        Ok(()) => Finding::ok(CHECK, format!("{} storage can be written and read", choice.word())),
        Err(error) => Finding::from_failure(CHECK, &error),
    }
}

/// Opens the vault, where there is one: with its root key, wherever that rests.
pub(super) fn vault(doors: &Doors<'_>, subject: &Subject) -> Option<Finding> {
    const CHECK: &str = "vault";
    let now = || doors.env.now();
    let opener = Box::new(|choice| store::open(doors, choice));
    let vault = Local::new(&doors.env.data_dir(), subject.storage.unwrap_or(Choice::Auto), opener, &now);
    let found = vault.about().and_then(|about| match about {
        Some(about) => vault.examine().map(|closed| Some((about, closed))),
        None => Ok(None),
    });
    match found {
        Ok(None) => None,
        Ok(Some((about, closed))) if closed.is_empty() => {
            let word = if about.credentials == 1 { "credential" } else { "credentials" };
            Some(Finding::ok(CHECK, format!("it opens, and so do its {} {word}", about.credentials)))
        }
        Ok(Some((_, closed))) => {
            let names: Vec<String> = closed.iter().map(|metadata| clean(&metadata.name)).collect();
            let message = format!("the secrets of {} do not open", names.join(", "));
            let mend = "store them again, or bring back a backup: `lanyard vault restore FILE`";
            Some(Finding::failed(CHECK, Code::Invalid, message, mend))
        }
        Err(failure) => Some(Finding::from_failure(CHECK, &failure)),
    }
}

/// Asks the agent how it stands, where one runs.
#[cfg(unix)]
pub(super) fn agent(env: &Env) -> Option<Finding> {
    const CHECK: &str = "agent";
    match crate::agent::status(env) {
        Ok(None) => None,
        Ok(Some(status)) if status.locked => {
            Some(Finding::skipped(CHECK, "it is locked, so helpers open the vault themselves"))
        }
        Ok(Some(status)) if !status.memory_locked => Some(Finding::ok(
            CHECK,
            "it answers; the system locks no memory for it (`ulimit -l`), so use encrypted swap",
        )),
        Ok(Some(_)) => Some(Finding::ok(CHECK, "it answers, with the key in locked memory")),
        Err(failure) => Some(Finding::from_failure(CHECK, &failure)),
    }
}

/// Agents are for Unix.
#[cfg(not(unix))]
pub(super) fn agent(_: &Env) -> Option<Finding> {
    None
}

/// Profiles of the AWS tools whose keys come from here and whose requests go elsewhere.
pub(super) fn aws(env: &Env) -> Option<Finding> {
    const CHECK: &str = "aws";
    let found = aws::sent_elsewhere(env);
    if found.is_empty() {
        return None;
    }
    let message = format!(
        "requests signed with keys of lanyard's go to another address than AWS's: {}",
        clean(&found.join(", "))
    );
    let mend = "remove `endpoint_url` from the profile, or the variable; who is there gets the session token";
    Some(Finding::failed(CHECK, Code::Config, message, mend))
}

/// Proxy and certificates as the surroundings give them, then the service itself, then its clock beside ours.
pub(super) fn network(doors: &Doors<'_>, subject: &Subject) -> Vec<Finding> {
    let mut findings = vec![surroundings(doors.env)];
    let Some(address) = &subject.address else {
        findings.push(Finding::skipped("network", "the profile names no service, so none was called"));
        findings.push(Finding::skipped("clock", "the profile names no service, so there is no clock to compare with"));
        return findings;
    };
    match doors.http.send(probe(address)) {
        Ok(answer) => {
            findings.push(Finding::ok("network", format!("{} answers", origin(address))));
            findings.push(clock(doors.env, &answer));
        }
        Err(error) => {
            findings.push(Finding::from_failure("network", &error));
            findings.push(Finding::skipped("clock", "the service did not answer"));
        }
    }
    findings
}

fn probe(address: &Url) -> Request {
    Request { timeout: Duration::from_secs(8), follow_same_origin: false, ..Request::get(address.clone()) }
}

fn origin(address: &Url) -> String {
    address.origin().ascii_serialization()
}

fn clock(env: &Env, answer: &Response) -> Finding {
    const CHECK: &str = "clock";
    let Some(theirs) = answer.date() else {
        return Finding::skipped(CHECK, "the service does not tell the time");
    };
    let ahead = env.now().signed_duration_since(theirs);
    let direction = if ahead > chrono::TimeDelta::zero() { "ahead of" } else { "behind" };
    let apart = ahead.abs();
    if apart <= MAX_SKEW {
        return Finding::ok(CHECK, format!("agrees with the service's to {} s", apart.num_seconds()));
    }
    Finding::failed(
        CHECK,
        Code::Failed,
        format!("this clock is {} min {direction} the service's", apart.num_minutes()),
        "set the clock, for instance with `timedatectl set-ntp true`",
    )
}

/// The variables that decide how the network is reached. A proxy's password is not shown.
fn surroundings(env: &Env) -> Finding {
    const CHECK: &str = "network";
    if let Some(broken) = certificates(env) {
        return Finding { check: CHECK, status: Status::Failed, code: Code::Unreachable, ..broken };
    }
    let proxies: Vec<String> = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"]
        .into_iter()
        .filter_map(|name| {
            let value = env.var(name).or_else(|| env.var(&name.to_lowercase()))?;
            Some(format!("{name}={}", if name == "NO_PROXY" { clean(value) } else { proxy(value) }))
        })
        .chain(env.var("SSL_CERT_FILE").map(|path| format!("SSL_CERT_FILE={}", clean(path))))
        .collect();
    let message = if proxies.is_empty() { "no proxy is set".to_owned() } else { proxies.join(", ") };
    Finding::ok(CHECK, message)
}

/// A proxy's address without user and password.
fn proxy(value: &str) -> String {
    let with_scheme = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    match Url::parse(&with_scheme) {
        Ok(url) if url.has_host() => {
            let host = url.host_str().unwrap_or_default();
            let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
            clean(&format!("{}://{host}{port}", url.scheme()))
        }
        _ => "(no address)".into(),
    }
}

/// What is wrong with the certificate variables.
fn certificates(env: &Env) -> Option<Finding> {
    let mend = "point it at a PEM file of certificates that you can read, or unset it";
    let broken = |message: String| Some(Finding::failed("network", Code::Unreachable, message, mend));
    let path = env.var("SSL_CERT_FILE")?;
    let shown = clean(path);
    match files::read(std::path::Path::new(path)) {
        Err(_) => broken(format!("SSL_CERT_FILE={shown} cannot be read")),
        Ok(None) => broken(format!("SSL_CERT_FILE={shown} does not exist")),
        Ok(Some(text)) if !String::from_utf8_lossy(&text).contains("-----BEGIN CERTIFICATE-----") => {
            broken(format!("SSL_CERT_FILE={shown} holds no certificate"))
        }
        Ok(Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_password() {
        assert_eq!(proxy("http://user:canary@proxy.example:3128/x"), "http://proxy.example:3128");
        assert_eq!(proxy("user:canary@proxy.example:3128"), "http://proxy.example:3128");
        assert_eq!(proxy("socks5h://proxy.example:1080"), "socks5h://proxy.example:1080");
        assert_eq!(proxy("http://:canary@"), "(no address)");
    }
}
