//! What each form of document may hold. What is not known to be harmless is refused, in those whose keys are few.
//!
//! Sources: client-go (`tools/clientcmd/api/v1/types.go`), Google's AIP-4110 to 4117, AWS's reference of shared
//! configuration, docker's `config.json`.

use super::Wrong;
use super::document::{Part, Unread};
use super::git;

pub(super) const RUNS: &str = "would run a program on the machine that uses it";
pub(super) const OPENS: &str = "would open a file of the machine that uses it";
pub(super) const GOES: &str = "would lead to another address";
const TRUSTS: &str = "would send the secret to anybody who answers";
const ACTS: &str = "would act as somebody else";
const STRANGE: &str = "it has a key that such a document does not have";
const UNREADABLE: &str = "it is no document of this form, or a larger one than is read";
const UNJUDGED: &str =
    "it has one key twice, or more keys or levels than are read, so that nobody can tell what a tool makes of it";

/// The keys of a part that are taken, and those that are refused by name. Names are held against it in any case, as
/// some readers do.
struct Rule {
    taken: &'static [&'static str],
    refused: &'static [(&'static str, &'static str)],
}

impl Rule {
    fn hold(&self, part: &Part) -> Result<(), Wrong> {
        self.refuse(part)?;
        let is_known = |key: &str| self.taken.contains(&key) || self.refused.iter().any(|(known, _)| *known == key);
        if part.keys().all(|(key, _)| is_known(key)) { Ok(()) } else { Err((None, STRANGE)) }
    }

    fn refuse(&self, part: &Part) -> Result<(), Wrong> {
        for (key, why) in self.refused {
            if part.keys().any(|(known, part)| known.eq_ignore_ascii_case(key) && part.is_set()) {
                return Err((Some(key), why));
            }
        }
        Ok(())
    }
}

const KUBECONFIG: Rule = Rule {
    taken: &["apiVersion", "kind", "preferences", "current-context", "clusters", "contexts", "users", "extensions"],
    refused: &[],
};
const CLUSTER: Rule = Rule {
    taken: &["server", "certificate-authority-data", "tls-server-name", "disable-compression", "extensions"],
    refused: &[("certificate-authority", OPENS), ("insecure-skip-tls-verify", TRUSTS), ("proxy-url", GOES)],
};
const CONTEXT: Rule = Rule { taken: &["cluster", "user", "namespace", "extensions"], refused: &[] };
const USER: Rule = Rule {
    taken: &["token", "client-certificate-data", "client-key-data", "username", "password", "extensions"],
    refused: &[
        ("exec", RUNS),
        ("auth-provider", RUNS),
        ("tokenFile", OPENS),
        ("client-certificate", OPENS),
        ("client-key", OPENS),
        ("as", ACTS),
        ("as-uid", ACTS),
        ("as-groups", ACTS),
        ("as-user-extra", ACTS),
    ],
};

/// A kubeconfig: each of its clusters, contexts and users, whether or not it is the current one.
pub(in crate::provider) fn kubeconfig(text: &str) -> Result<(), Wrong> {
    let unreadable = || (None, UNREADABLE);
    let whole = Part::of_yaml(text).ok_or_else(unreadable)?;
    if !matches!(whole, Part::Map(_)) {
        return Err(unreadable());
    }
    KUBECONFIG.hold(&whole)?;
    for (list, one, rule) in
        [("clusters", "cluster", CLUSTER), ("contexts", "context", CONTEXT), ("users", "user", USER)]
    {
        let named = Rule { taken: &["name", "cluster", "context", "user"], refused: &[] };
        if !matches!(whole.at(list), Part::Empty | Part::List(_)) {
            return Err(unreadable());
        }
        for item in whole.at(list).items() {
            named.hold(item)?;
            rule.hold(item.at(one))?;
        }
    }
    Ok(())
}

const GOOGLE: Rule = Rule {
    taken: &[
        "type",
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
        "quota_project_id",
    ],
    refused: &[
        ("credential_source", RUNS),
        ("executable", RUNS),
        ("service_account_impersonation", ACTS),
        ("service_account_impersonation_url", ACTS),
        ("source_credentials", ACTS),
        ("delegates", ACTS),
        ("token_url", GOES),
        ("token_info_url", GOES),
        ("ca_cert_path", OPENS),
        ("certificate_config_location", OPENS),
    ],
};

/// The key file of a service account. `is_official` tells an address of Google's.
pub(in crate::provider) fn google(text: &str, is_official: fn(&str) -> bool) -> Result<(), Wrong> {
    #[derive(serde::Deserialize)]
    struct Key {
        r#type: Option<String>,
        token_uri: Option<String>,
        universe_domain: Option<String>,
    }
    let unreadable = || (None, UNREADABLE);
    let whole = Part::of_json(text).map_err(|_| unreadable())?;
    GOOGLE.hold(&whole)?;
    let key: Key = serde_json::from_str(text).map_err(|_| unreadable())?;
    if key.r#type.as_deref() != Some("service_account") {
        return Err((Some("type"), "is none of a service account's key"));
    }
    if key.token_uri.as_deref().is_some_and(|address| !is_official(address)) {
        return Err((Some("token_uri"), "is no address of Google's, and would be sent what the key signs"));
    }
    match key.universe_domain.as_deref() {
        None | Some("" | "googleapis.com") => Ok(()),
        Some(_) => Err((Some("universe_domain"), "is none of Google's own")),
    }
}

const DOCKER: Rule = Rule {
    taken: &[],
    refused: &[("credsStore", RUNS), ("credHelpers", RUNS), ("cliPluginsExtraDirs", RUNS), ("proxies", GOES)],
};
/// Keys of AWS's configuration, in any of its sections.
const AWS: [(&str, &str); 5] = [
    ("credential_process", RUNS),
    ("cli_pager", RUNS),
    ("web_identity_token_file", OPENS),
    ("ca_bundle", OPENS),
    ("endpoint_url", GOES),
];

fn docker(text: &str) -> Result<(), Wrong> {
    DOCKER.refuse(&Part::of_json(text).map_err(|_| (None, UNREADABLE))?)
}

fn aws(text: &str) -> Result<(), Wrong> {
    // Plugins are code that the command line loads.
    const PLUGINS: &str = "plugins";
    let section = |line: &str| line.trim().strip_prefix('[')?.split(']').next().map(|name| name.trim().to_owned());
    if text.lines().filter_map(section).any(|name| name.eq_ignore_ascii_case(PLUGINS)) {
        return Err((Some(PLUGINS), RUNS));
    }
    lines_without(text, &AWS)
}

/// Refuses a text in which a line sets one of these keys.
fn lines_without(text: &str, refused: &[(&'static str, &'static str)]) -> Result<(), Wrong> {
    for line in text.lines() {
        let key = line.split(['=', ':']).next().unwrap_or_default().trim();
        if let Some((key, why)) = refused.iter().find(|(known, _)| key.eq_ignore_ascii_case(known)) {
            return Err((Some(key), why));
        }
    }
    Ok(())
}

/// The form that tools expect in the file that a variable names; `None` for a variable that is nobody's.
pub(in crate::provider) fn named_by(variable: &str, is_official: fn(&str) -> bool) -> Option<Form> {
    Some(match variable.to_ascii_uppercase().as_str() {
        "KUBECONFIG" | "KUBE_CONFIG_PATH" => Form::Kubeconfig,
        "AWS_CONFIG_FILE" | "AWS_SHARED_CREDENTIALS_FILE" => Form::Aws,
        "GOOGLE_APPLICATION_CREDENTIALS" | "GOOGLE_CREDENTIALS" | "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE" => {
            Form::Google(is_official)
        }
        "REGISTRY_AUTH_FILE" | "HELM_REGISTRY_CONFIG" => Form::Docker,
        _ => return None,
    })
}

/// A form of document.
pub(in crate::provider) enum Form {
    Kubeconfig,
    Aws,
    /// With what tells an address of Google's.
    Google(fn(&str) -> bool),
    Docker,
}

impl Form {
    /// Holds a file against it. What is no text is no such document.
    pub(in crate::provider) fn hold(&self, bytes: &[u8]) -> Result<(), Wrong> {
        let text = std::str::from_utf8(bytes).map_err(|_| (None, UNREADABLE))?;
        match self {
            Self::Kubeconfig => kubeconfig(text),
            Self::Aws => aws(text),
            Self::Google(is_official) => google(text, *is_official),
            Self::Docker => docker(text),
        }
    }
}

/// The keys of the forms above that run a program and stand in no other form.
const UNMISTAKABLE: Rule = Rule {
    taken: &[],
    refused: &[("credsStore", RUNS), ("credHelpers", RUNS), ("cliPluginsExtraDirs", RUNS), ("credential_source", RUNS)],
};

/// Keys of npm's settings by which a program is run, and which stand in no other form.
const NPM: [(&str, &str); 2] = [("script-shell", RUNS), ("onload-script", RUNS)];

/// The lists of a kubeconfig.
const LISTS: [&str; 3] = ["clusters", "contexts", "users"];

/// Whether a line of YAML begins with this key, bare or quoted.
fn begins_with_key(line: &str, key: &str) -> bool {
    const QUOTES: [char; 2] = ['"', '\''];
    let rest = line.trim_start_matches(QUOTES).strip_prefix(key);
    rest.is_some_and(|rest| rest.trim_start_matches(QUOTES).trim_start().starts_with(':'))
}

/// A file that may be anything: one that looks like a kubeconfig is held against that, any other against the keys by
/// which the tools above, git, npm and what reads a `.netrc` run programs.
pub(in crate::provider) fn any(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let whole = match Part::of_leading_json(text) {
        Ok(whole @ Part::Map(_)) => Some(whole),
        Ok(_) | Err(Unread::Other) => Part::of_yaml(text),
        Err(Unread::Strange) => return Err((None, UNJUDGED)),
    };
    let looks_like_a_kubeconfig = match &whole {
        Some(whole) => LISTS.iter().filter(|list| matches!(whole.at(list), Part::List(_))).count() > 1,
        // YAML that this does not read may be read by others.
        None => LISTS.iter().filter(|list| text.lines().any(|line| begins_with_key(line, list))).count() > 1,
    };
    if looks_like_a_kubeconfig {
        return kubeconfig(text);
    }
    if let Some(whole @ Part::Map(_)) = whole {
        UNMISTAKABLE.refuse(&whole)?;
    }
    git::settings(text)?;
    git::netrc(text)?;
    lines_without(text, &NPM)?;
    lines_without(text, &AWS[..2])
}
