//! Where programs that send mail keep the login: the usual variables, and msmtp's file.

use super::{KINDS, msmtprc};
use crate::credential::Raw;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

/// The variables, then msmtp's accounts, its default first. For a service that is not `smtp`, the account of that name.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let wanted = here.input("service").filter(|service| !service.eq_ignore_ascii_case("smtp"));
    let mut all = Discovered::default();
    if wanted.is_none() {
        all.found.extend(variables(here));
    }
    let wants = |one: &Found| wanted.is_none_or(|wanted| one.name.as_deref() == Some(wanted));
    all.add(msmtp(here).map(|accounts| accounts.into_iter().filter(wants)));
    all
}

/// No standard says so, and most programs do it so.
fn variables(here: &Here<'_>) -> Option<Found> {
    let name = ["SMTP_PASSWORD", "SMTP_PASS"].into_iter().find(|name| here.env.var(name).is_some())?;
    let mut raw = Raw::new();
    raw.plain("service", "smtp").plain("password", here.env.var(name)?);
    for (field, names) in [
        ("username", ["SMTP_USERNAME", "SMTP_USER"].as_slice()),
        ("host", ["SMTP_HOST", "SMTP_SERVER"].as_slice()),
        ("port", ["SMTP_PORT"].as_slice()),
    ] {
        if let Some(value) = names.iter().find_map(|name| here.env.var(name)) {
            raw.plain(field, value);
        }
    }
    Some(Found { kind: &KINDS[0], raw, name: None, origin: Origin::variable(name), expires: None })
}

/// The accounts whose password stands in the file; of the others, msmtp asks a program or a keychain.
fn msmtp(here: &Here<'_>) -> Result<Vec<Found>, ProviderError> {
    let in_config = here.xdg_config().map(|folder| folder.join("msmtp/config"));
    for path in [here.home(".msmtprc"), in_config].into_iter().flatten() {
        let Some(file) = Foreign::read(here, &path, "file of accounts of msmtp")? else { continue };
        let accounts =
            msmtprc::parse(file.text()).map_err(|(line, problem)| file.broken(format!("line {line} {problem}")))?;
        let mut found: Vec<Found> = Vec::new();
        for (name, mut settings) in accounts {
            let (Some(host), Some(user)) = (settings.remove("host"), settings.remove("user")) else { continue };
            let Some(password) = settings.remove("password") else { continue };
            let is_on = |command: &str, usual: bool| match settings.get(command).map(Secret::expose) {
                None => usual,
                Some(argument) => argument != "off",
            };
            let security = match (is_on("tls", false), is_on("tls_starttls", true)) {
                (true, true) => Some("starttls"),
                (true, false) => Some("tls"),
                // Left open, so that the password is not sent in plain text to another machine.
                (false, _) => None,
            };
            let port = settings.get("port").map_or(if security == Some("tls") { "465" } else { "25" }, Secret::expose);
            let mut raw = Raw::new();
            raw.plain("service", "smtp").plain("port", port).set("host", host).set("username", user);
            raw.set("password", password);
            if let Some(security) = security {
                raw.plain("security", security);
            }
            let origin = Origin::file(here, &path, &format!("[{name}]"));
            let one = Found { kind: &KINDS[0], raw, name: Some(name), origin, expires: None };
            if one.name.as_deref() != Some("default") {
                found.push(one);
                continue;
            }
            // The default is mostly another account under a second name.
            let same = found.iter().position(|other| {
                ["password", "username", "host"].iter().all(|field| other.raw.get(field) == one.raw.get(field))
            });
            let default = same.map_or(one, |at| found.remove(at));
            found.insert(0, default);
        }
        return Ok(found);
    }
    Ok(Vec::new())
}
