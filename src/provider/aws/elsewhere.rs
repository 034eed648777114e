//! Profiles whose keys come from here and whose requests go elsewhere: whoever writes an `endpoint_url` into a profile is
//! sent signed requests, with the session token in them.

use std::path::Path;

use super::ini;
use super::profiles::{Files, Profile};
use crate::os::Env;
use crate::provider::Here;
use crate::provider::find::Discovered;

/// The variables that name another address for every service, or for one.
const VARIABLE: &str = "AWS_ENDPOINT_URL";

/// What would have requests signed with keys of ours sent elsewhere, in words: profiles, and variables if any profile
/// gets its keys here.
pub fn sent_elsewhere(env: &Env) -> Vec<String> {
    let here = Here { env, given: &std::collections::BTreeMap::new() };
    // A file that cannot be read is no use to the official tools either.
    let files = Files::read(&here, &mut Discovered::default());
    let profiles = files.profiles();
    let ours: Vec<&Profile<'_>> = profiles.iter().filter(|profile| is_ours(profile)).collect();
    let is_ignored = env.var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    if ours.is_empty() || is_ignored {
        return Vec::new();
    }
    let named = ours.iter().filter(|profile| files.names_an_endpoint(profile));
    let mut found: Vec<String> = named.map(|profile| format!("the profile {}", profile.name)).collect();
    let variables = env.variables().map(|(name, _)| name).filter(|name| {
        name.strip_prefix(VARIABLE).is_some_and(|service| service.is_empty() || service.starts_with('_'))
    });
    found.extend(variables.map(|name| format!("${name}")));
    found
}

/// Whether a profile gets its keys from `lanyard helper aws NAME`.
fn is_ours(profile: &Profile<'_>) -> bool {
    let words = profile.text("credential_process").and_then(ini::words).unwrap_or_default();
    let [program, helper, aws, ..] = words.as_slice() else { return false };
    let name = Path::new(program).file_stem().and_then(|name| name.to_str());
    name == Some("lanyard") && helper == "helper" && aws == "aws"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str, variables: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, config).unwrap();
        let path = file.to_str().unwrap();
        let none = folder.path().join("none");
        let own = [("AWS_CONFIG_FILE", path), ("AWS_SHARED_CREDENTIALS_FILE", none.to_str().unwrap())];
        let env = Env::invented(folder.path(), folder.path(), &[&own[..], variables].concat());
        sent_elsewhere(&env)
    }

    #[test]
    fn an_endpoint_counts_where_keys_of_ours_sign() {
        let ours = "[profile a]\ncredential_process = \"/opt/a b/lanyard\" helper aws prod\n";
        let others = "[profile b]\ncredential_process = other aws\nendpoint_url = https://b.example\n";
        assert!(found(&format!("{ours}{others}"), &[]).is_empty());
        assert!(found(others, &[("AWS_ENDPOINT_URL", "https://x.example")]).is_empty());
        for more in [
            "endpoint_url = https://evil.example\n",
            "s3 =\n  endpoint_url = https://evil.example\n",
            "services = s\n[services s]\nec2 =\n  endpoint_url = https://evil.example\n",
        ] {
            assert_eq!(found(&format!("{others}{ours}{more}"), &[]), ["the profile a"], "{more}");
            assert!(found(&format!("{ours}{more}"), &[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]).is_empty());
        }
        let variables = [("AWS_ENDPOINT_URL_S3", "https://x.example"), ("AWS_ENDPOINT_URLS", "x")];
        assert_eq!(found(ours, &variables), ["$AWS_ENDPOINT_URL_S3"]);
    }
}
