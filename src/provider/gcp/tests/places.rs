//! Where credential files lie.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::error::Failure;
use crate::provider::Found;

struct Machine {
    root: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    given: BTreeMap<String, Vec<String>>,
}

impl Machine {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), variables: Vec::new(), given: BTreeMap::new() }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        crate::os::files::replace(&path, text.as_bytes(), false).unwrap();
    }

    /// The folder above `lanyard` is the home of such surroundings.
    fn discover(&self) -> Result<Vec<Found>, ProviderError> {
        let variables: Vec<(&str, &str)> = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let env = Env::invented(&self.path().join("lanyard"), self.path(), &variables);
        PROVIDER.discover(&Here { env: &env, given: &self.given }).choice()
    }

    fn places(&self) -> Vec<(String, &'static str)> {
        let found = self.discover().unwrap();
        found.into_iter().map(|found| (found.origin.place, found.kind.id)).collect()
    }
}

fn signed_in(refresh: &str) -> String {
    json!({ "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": refresh }).to_string()
}

#[test]
fn nothing_there_is_nothing_found() {
    assert!(Machine::new().discover().unwrap().is_empty());
}

#[test]
fn the_variable_comes_first_then_the_usual_file_then_gclouds_accounts() {
    let mut machine = Machine::new();
    machine.write("sa.json", &key_file(json!({})));
    machine.write(".config/gcloud/application_default_credentials.json", &signed_in("1//0adc"));
    machine.write(".config/gcloud/legacy_credentials/a@example.com/adc.json", &signed_in("1//0a"));
    machine.write(".config/gcloud/legacy_credentials/b@example.com/adc.json", &signed_in("1//0b"));
    machine.write(".config/gcloud/active_config", "work\n");
    machine.write(
        ".config/gcloud/configurations/config_work",
        "[core]\naccount = b@example.com\nproject = proj-b\n",
    );
    machine.variables.push(("GOOGLE_APPLICATION_CREDENTIALS", "~/sa.json".into()));
    let places = machine.places();
    let expected = [
        ("~/sa.json, named by $GOOGLE_APPLICATION_CREDENTIALS", "gcp_service_account"),
        ("~/.config/gcloud/application_default_credentials.json", "gcp_authorized_user"),
        ("~/.config/gcloud/legacy_credentials/b@example.com/adc.json", "gcp_authorized_user"),
        ("~/.config/gcloud/legacy_credentials/a@example.com/adc.json", "gcp_authorized_user"),
    ];
    assert_eq!(places, expected.map(|(place, kind)| (place.to_owned(), kind)));
    let found = machine.discover().unwrap();
    let value = |at: usize, name: &str| found[at].raw.get(name).map(|value| value.expose().to_owned());
    assert_eq!(found[0].name.as_deref(), Some("gcp-deploy"));
    assert_eq!(found[2].name.as_deref(), Some("gcp-b"));
    assert_eq!(value(2, "account").as_deref(), Some("b@example.com"));
    assert_eq!(value(3, "account").as_deref(), Some("a@example.com"));
    assert_eq!(value(2, "project_id").as_deref(), Some("proj-b"));
    assert_eq!(value(1, "refresh_token").as_deref(), Some("1//0adc"));
    assert!(!found[1].raw.has("key_file"));
    assert!(found.iter().all(|found| found.origin.whole_file && found.origin.plain_text));
}

#[test]
fn a_named_file_is_the_only_one() {
    let mut machine = Machine::new();
    machine.write(".config/gcloud/application_default_credentials.json", &signed_in("1//0adc"));
    machine.write("keys/sa.json", &key_file(json!({})));
    machine.given.insert("service-account".into(), vec!["keys/sa.json".into()]);
    assert_eq!(machine.places(), [("~/keys/sa.json".to_owned(), "gcp_service_account")]);
    machine.given.insert("service-account".into(), vec!["keys/none.json".into()]);
    let failure = machine.discover().unwrap_err().to_string();
    assert_eq!(failure, "there is no credential file in keys/none.json");
}

#[test]
fn a_variable_that_names_no_file_is_told() {
    let mut machine = Machine::new();
    machine.variables.push(("GOOGLE_APPLICATION_CREDENTIALS", "/none.json".into()));
    let failure = machine.discover().unwrap_err();
    assert!(failure.mend().unwrap().contains("unset GOOGLE_APPLICATION_CREDENTIALS"));
}

#[test]
fn a_broken_file_is_told_by_name_and_line() {
    let machine = Machine::new();
    machine.write(".config/gcloud/application_default_credentials.json", "{\n \"type\": LNYCANARY\n}");
    let failure = machine.discover().unwrap_err().to_string();
    assert!(failure.starts_with("~/.config/gcloud/application_default_credentials.json is no usable"), "{failure}");
    assert!(failure.contains("line 2") && !failure.contains("CANARY"), "{failure}");
    let machine = Machine::new();
    machine.write(".config/gcloud/configurations/config_default", "[core]\nLNYCANARY\n");
    let failure = machine.discover().unwrap_err().to_string();
    assert!(failure.contains("line 2 is neither") && !failure.contains("CANARY"), "{failure}");
}

#[test]
fn a_configuration_that_names_a_place_elsewhere_is_not_followed() {
    let machine = Machine::new();
    machine.write(".config/gcloud/active_config", "../../secret");
    machine.write(".config/secret", "not a configuration");
    assert!(machine.discover().unwrap().is_empty());
}

#[test]
fn a_sort_that_is_not_kept_is_listed_and_refused_when_it_is_stored() {
    let mut machine = Machine::new();
    let file = json!({ "type": "external_account", "audience": "a", "token_url": "https://evil.example" });
    machine.write("gcloud/application_default_credentials.json", &file.to_string());
    machine.variables.push(("CLOUDSDK_CONFIG", "gcloud".into()));
    let mut found = machine.discover().unwrap();
    assert!(!found[0].origin.plain_text, "there is no secret in it");
    let env = no_env();
    let here = Here { env: &env, given: &machine.given };
    let failure = PROVIDER.complete(&mut found[0].raw, &here).unwrap_err().to_string();
    assert!(failure.contains("workload identity federation"), "{failure}");
}
