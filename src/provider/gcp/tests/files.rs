//! The credential files: read, refused, written.

use proptest::prelude::*;

use super::*;
use crate::provider::foreign::Ini;

fn spread(text: &str) -> Result<(Form, Raw), ProviderError> {
    let mut raw = Raw::new();
    file::spread(Secret::new(text.to_owned()), &mut raw).map(|form| (form, raw))
}

fn said(failure: &ProviderError) -> String {
    use crate::error::Failure;
    format!("{failure}; {}", failure.mend().unwrap_or_default())
}

#[test]
fn the_examples_pass_their_checks() {
    for field in KINDS.iter().flat_map(|kind| kind.fields) {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
    }
}

#[test]
fn a_key_file_tells_account_project_and_key() {
    let credential = account();
    assert_eq!(credential.metadata.kind.id, "gcp_service_account");
    assert_eq!(credential.field("client_email"), Some(EMAIL));
    assert_eq!(credential.field("project_id"), Some("my-project"));
    assert_eq!(credential.field("private_key_id"), Some("0a1b2c"));
    assert_eq!(credential.field("token_uri"), None, "the usual one goes without saying");
    assert_eq!(credential.secret("key_file").unwrap().expose(), key_file(json!({})));
}

#[test]
fn other_files_are_refused_with_the_reason_and_nothing_of_them_is_quoted() {
    let canary = "LNYCANARY";
    let cases = [
        (json!({ "type": "external_account", "audience": canary }), "workload identity federation"),
        (json!({ "type": "external_account_authorized_user", "refresh_token": canary }), "workforce"),
        (json!({ "type": "impersonated_service_account", "source_credentials": { "x": canary } }), "impersonates"),
        (json!({ "type": "gdch_service_account", "private_key": canary }), "Distributed Cloud"),
        (json!({ "type": canary }), "none that lanyard knows"),
        (json!({ "type": "service_account", "client_email": canary }), "no JSON with type"),
        (json!({ "installed": { "client_secret": canary } }), "no JSON with type"),
        (json!({ "type": [canary] }), "no JSON with type"),
    ];
    for (file, reason) in cases {
        let failure = spread(&file.to_string()).unwrap_err();
        assert!(said(&failure).contains(reason), "{}", said(&failure));
        assert!(!format!("{} {failure:?}", said(&failure)).contains(canary), "{failure:?}");
        assert!(file::is_service_account(&file.to_string()).is_err());
    }
    for (changes, reason) in [
        (json!({ "universe_domain": "example.goog" }), "universe_domain"),
        (json!({ "private_key": "none" }), "PEM"),
        (json!({ "client_email": "nobody" }), "client_email"),
    ] {
        assert!(said(&spread(&key_file(changes)).unwrap_err()).contains(reason));
    }
}

#[test]
fn what_is_given_wins_over_what_the_file_says() {
    let env = no_env();
    let given = [("project".to_owned(), vec!["other".to_owned()])].into();
    let mut raw = Raw::new();
    raw.plain("key_file", &key_file(json!({})));
    PROVIDER.complete(&mut raw, &Here { env: &env, given: &given }).unwrap();
    assert_eq!(raw.get("project_id").unwrap().expose(), "other");
}

fn exported(credential: &Credential) -> Vec<(String, String)> {
    let http = |_: Request| Ok(token());
    let net = Net { http: &http, env: &no_env(), now: now() };
    let issued = PROVIDER.material(credential, None, &net).unwrap();
    let each = PROVIDER.export(credential, &issued).into_iter().filter_map(|variable| match variable {
        Variable::Value { name, value, .. } => Some((name, value.expose().to_owned())),
        Variable::File { name, content, .. } => {
            Some((name, String::from_utf8(content.bytes().unwrap().to_vec()).unwrap()))
        }
        Variable::Unset { .. } => None,
    });
    each.collect()
}

#[test]
fn the_tools_get_a_file_a_project_and_a_token() {
    let expected = [
        ("GOOGLE_APPLICATION_CREDENTIALS", key_file(json!({}))),
        ("GOOGLE_CLOUD_PROJECT", "my-project".into()),
        ("GOOGLE_PROJECT", "my-project".into()),
        ("CLOUDSDK_CORE_PROJECT", "my-project".into()),
        ("CLOUDSDK_AUTH_ACCESS_TOKEN", "ya29.fake".into()),
    ];
    assert_eq!(exported(&account()), expected.map(|(name, value)| (name.to_owned(), value)));
    let key = ("GOOGLE_API_KEY".to_owned(), "AIzaSyEXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE0".to_owned());
    assert_eq!(exported(&api_key()), [key]);
}

#[test]
fn each_mark_knows_its_own_and_no_stranger() {
    let found = |field: &str, text: &str| {
        let mark = MARKS.iter().find(|mark| mark.field == field).unwrap();
        let found = regex::Regex::new(mark.pattern).unwrap().captures(text)?.get(1)?.as_str().to_owned();
        assert!(text.contains(mark.keyword));
        Some(found)
    };
    let file = key_file(json!({}));
    assert_eq!(found("key_file", &format!("x = {file};\n")), Some(file));
    let pretty = serde_json::to_string_pretty(&json!({ "private_key_id": "1", "private_key": &*PEM })).unwrap();
    assert_eq!(found("key_file", &pretty), Some(pretty));
    let refresh = format!("1//0{}", "gA".repeat(30));
    assert_eq!(found("refresh_token", &format!("\"refresh_token\": \"{refresh}\"")), Some(refresh));
    assert_eq!(found("refresh_token", &format!("https://h/1//0{}", "a".repeat(40))), None);
    let key = format!("AIza{}", "b".repeat(35));
    assert_eq!(found("api_key", &format!("key={key}&x")), Some(key.clone()));
    assert_eq!(found("api_key", &format!("{key}b")), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,200}", sort in "(service_account|authorized_user|external_account)") {
        let _ = spread(&text);
        let _ = spread(&format!(r#"{{"type":"{sort}","client_email":{text:?}}}"#));
    }

    #[test]
    fn a_sign_in_that_was_written_is_read_back(
        id in "[!-~]{1,40}", secret in "[!-~]{1,40}", refresh in "[!-~]{1,80}", account in "[^\\p{C}\\s]{1,20}",
    ) {
        let values = [("client_id", &*id), ("client_secret", &*secret), ("refresh_token", &*refresh), ("account", &*account)];
        let written = file::written(&stored(&values)).unwrap();
        let (form, raw) = spread(written.expose()).unwrap();
        prop_assert_eq!(form, Form::User);
        for (name, value) in values {
            prop_assert_eq!(raw.get(name).unwrap().expose(), value);
        }
    }

    #[test]
    fn a_configuration_is_read_as_gcloud_writes_it(account in "[a-z@.]{1,20}", project in "[a-z0-9-]{1,20}") {
        let text = format!("[core]\naccount = {account}\nproject = {project}\n\n[compute]\nproject = x\nzone = y\n");
        let active = configuration::Active::of(Ini::parse(&text).unwrap());
        prop_assert_eq!(active, configuration::Active { account: Some(account), project: Some(project) });
    }
}
