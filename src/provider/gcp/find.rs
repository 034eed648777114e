//! The credential files that Google's tools read on this machine, the one that the libraries would use first.

use std::path::{Path, PathBuf};

use super::configuration::{self, Active};
use super::file::Sort;
use super::{Form, KINDS};
use crate::credential::Raw;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

const WHAT: &str = "credential file of Google Cloud";
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Looks where the libraries look, and then where gcloud keeps one file for each account.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let mut all = Discovered::default();
    let active = Active::read(here, &mut all);
    let path = |path: &str| here.env.working_dir().join(here.env.expand_home(path));
    let mut named = |path: &Path, missing: ProviderError| match read(here, path, &active, None) {
        Ok(Some(found)) => Some(found),
        broken => {
            all.meant(broken.err().unwrap_or(missing));
            None
        }
    };
    if let Some(given) = here.input("service-account") {
        let found = named(&path(given), missing(given, "check the path"));
        all.found.extend(found);
        return all;
    }
    if let Some(given) = here.env.var(VARIABLE) {
        let mend = format!("correct or unset {VARIABLE}, or name a file with `--service-account FILE`");
        let found = named(&path(given), missing(&here.shown(&path(given)), &mend));
        all.found.extend(found.map(|mut found| {
            found.origin.place = format!("{}, named by ${VARIABLE}", found.origin.place);
            found
        }));
    }
    let Some(folder) = configuration::folder(here) else { return all };
    all.add(read(here, &folder.join("application_default_credentials.json"), &active, None));
    for (account, path) in accounts(&folder.join("legacy_credentials"), active.account.as_deref()) {
        all.add(read(here, &path, &active, Some(&account)));
    }
    all
}

/// The file of each account, that of the active one first.
fn accounts(folder: &Path, active: Option<&str>) -> Vec<(String, PathBuf)> {
    // A folder that cannot be listed, mostly because it is not there, holds none.
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut accounts: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().join("adc.json"))))
        .collect();
    accounts.sort_by_key(|(account, _)| (Some(account.as_str()) != active, account.clone()));
    accounts
}

fn missing(place: &str, mend: &str) -> ProviderError {
    ProviderError::NotThere { what: "credential file".into(), place: place.to_owned(), mend: mend.to_owned() }
}

/// One file; `None` where there is none. A sort that lanyard does not keep is listed all the same, and is refused with
/// the reason when it is to be stored.
fn read(
    here: &Here<'_>,
    path: &Path,
    active: &Active,
    account: Option<&str>,
) -> Result<Option<Found>, ProviderError> {
    let Some(file) = Foreign::read(here, path, WHAT)? else { return Ok(None) };
    let text = Secret::new(file.text().to_owned());
    let sort = Sort::of(&text).map_err(|malformed| file.broken(malformed.to_string()))?;
    let mut origin = Origin::file(here, path, "").whole();
    let mut raw = Raw::new();
    raw.set("key_file", text);
    let (form, name) = match &sort {
        Sort::ServiceAccount(key) => (Form::ServiceAccount, key.client_email.split('@').next().map(str::to_owned)),
        Sort::AuthorizedUser(_) => {
            if let Some(account) = account.or(active.account.as_deref()) {
                raw.plain("account", account);
            }
            if let Some(project) = &active.project {
                raw.plain("project_id", project);
            }
            (Form::User, account.map(|account| account.split('@').next().unwrap_or(account).to_owned()))
        }
        Sort::Other(other) => {
            origin.plain_text = other.secret;
            (Form::ServiceAccount, None)
        }
    };
    if form == Form::User {
        super::file::spread(raw.take("key_file").unwrap_or_else(|| Secret::new(String::new())), &mut raw)?;
    }
    let name = name.map(|name| format!("gcp-{name}"));
    let kind = KINDS.iter().find(|kind| kind.id == form.kind().id).unwrap_or(&KINDS[0]);
    Ok(Some(Found { kind, raw, name, origin, expires: None }))
}
