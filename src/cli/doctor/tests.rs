use std::path::Path;

use super::*;
use crate::cli::Global;
use crate::cli::ui::Ui;
use crate::http::{HeaderMap, HeaderValue, Request, Response, Unreachable, header};
use crate::os::{Env, files};

const CONFIG: &str = r#"
profile = "alice-work"
[defaults]
storage = "plain"
[profiles.alice-work]
service = "corp"
account = "alice@work.example"
[services.corp]
issuer = "https://id.work.example"
"#;

/// A home folder of `alice` with this configuration.
fn home(config: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    files::replace(&home.path().join("alice/lanyard/config.toml"), config.as_bytes(), false).unwrap();
    home
}

fn surroundings(home: &Path, variables: &[(&str, &str)]) -> Env {
    let variables = [variables, &[("USER", "alice")]].concat();
    Env::invented(&home.join("alice/lanyard"), Path::new("/"), &variables)
}

fn examine(env: &Env, http: &dyn crate::http::Http, full: bool) -> (Vec<Finding>, Vec<&'static str>) {
    let flags = Global::default();
    let ui = Ui::of_process(env, &flags);
    let doors = Doors { env, ui: &ui, http, flags: &flags };
    let (subject, mut findings) = Subject::of(&doors);
    findings.push(checks::keychain(&doors, &subject));
    findings.extend(checks::network(&doors, &subject));
    let left_out = if full { Vec::new() } else { Redactor::new(env, &subject).apply(&mut findings) };
    (findings, left_out)
}

/// A service whose clock is `minutes` ahead of ours.
fn service(minutes: i64) -> impl Fn(Request) -> Result<Response, Unreachable> + Sync {
    move |_| {
        let env = Env::invented(Path::new("/"), Path::new("/"), &[]);
        let date = (env.now() + chrono::TimeDelta::minutes(minutes)).to_rfc2822();
        let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_str(&date).unwrap())]);
        Ok(Response { status: 404, headers, body: Vec::new().into() })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of `Http`")]
fn nobody(request: Request) -> Result<Response, Unreachable> {
    let origin = request.url.origin().ascii_serialization();
    Err(Unreachable::Slow { origin, after: request.timeout })
}

fn status(findings: &[Finding], check: &str) -> Vec<Status> {
    findings.iter().filter(|finding| finding.check == check).map(|finding| finding.status).collect()
}

fn first_code(findings: &[Finding]) -> Option<Code> {
    findings.iter().find(|finding| finding.status == Status::Failed).map(|finding| finding.code)
}

#[test]
fn all_is_well() {
    let home = home(CONFIG);
    let (findings, _) = examine(&surroundings(home.path(), &[]), &service(1), false);
    assert!(findings.iter().all(|finding| finding.status == Status::Ok), "{findings:?}");
}

#[test]
fn nothing_private_is_shown_and_what_is_left_out_is_said() {
    let home = home(CONFIG);
    let variables = [
        ("HTTPS_PROXY", "http://bob:canary@proxy.work.example:3128"),
        ("NO_PROXY", "intern.work.example,10.0.0.0/8"),
        ("SSL_CERT_FILE", "/nonexistent/alice/ca.pem"),
    ];
    for variables in [&variables[..], &variables[..2]] {
        for http in [&service(9) as &dyn crate::http::Http, &nobody] {
            let (findings, left_out) = examine(&surroundings(home.path(), variables), http, false);
            let shown = serde_json::to_string(&findings).unwrap();
            for word in ["alice", "work.example", "canary", "bob", home.path().to_str().unwrap()] {
                assert!(!shown.contains(word), "{word} in {shown}");
            }
            assert!(left_out.contains(&"host names"), "{left_out:?}");
            let (findings, left_out) = examine(&surroundings(home.path(), variables), http, true);
            assert!(serde_json::to_string(&findings).unwrap().contains("id.work.example") && left_out.is_empty());
            assert!(!serde_json::to_string(&findings).unwrap().contains("canary"));
        }
    }
}

#[test]
fn a_clock_that_is_off_is_told_with_its_direction() {
    let home = home(CONFIG);
    for (minutes, word) in [(9, "behind"), (-9, "ahead")] {
        let (findings, _) = examine(&surroundings(home.path(), &[]), &service(minutes), true);
        let clock = findings.iter().find(|finding| finding.check == "clock").unwrap();
        assert!(clock.status == Status::Failed && clock.message.contains(word), "{clock:?}");
        assert!(clock.mend.is_some());
    }
}

#[test]
fn a_silent_service_is_a_network_failure() {
    let home = home(CONFIG);
    let (findings, _) = examine(&surroundings(home.path(), &[]), &nobody, true);
    assert_eq!(first_code(&findings), Some(Code::Unreachable));
    assert_eq!(status(&findings, "clock"), [Status::Skipped]);
}

#[test]
fn without_a_service_the_network_is_skipped() {
    let home = home("[defaults]\nstorage = \"plain\"\n");
    let untouched = |_: Request| -> Result<Response, Unreachable> { panic!("no request should be made") };
    let (findings, _) = examine(&surroundings(home.path(), &[]), &untouched, true);
    assert_eq!(status(&findings, "network"), [Status::Ok, Status::Skipped]);
    assert_eq!(first_code(&findings), None);
}

#[test]
fn a_configuration_that_is_wrong_is_told_without_quoting_it() {
    let home_of = home;
    for (config, word) in [
        ("profile = \"x\"\n[profiles\ncanary", "config.toml:2:"),
        ("profile = \"gone\"", "gone"),
        ("[profiles.a]\nservice = \"missing\"", "missing"),
        ("[[rules]]\ndirectory = \"~/x\"\nprofile = \"nobody\"", "nobody"),
    ] {
        let home = home_of(config);
        let (findings, _) = examine(&surroundings(home.path(), &[]), &nobody, true);
        assert_eq!(first_code(&findings), Some(Code::Config), "{config}");
        assert!(findings[0].message.contains(word), "{findings:?}");
        assert!(!format!("{findings:?}").contains("canary"));
    }
}

#[cfg(unix)]
#[test]
fn a_mode_that_lets_others_in_is_told_with_the_command() {
    use std::os::unix::fs::PermissionsExt;
    let home = home(CONFIG);
    let file = home.path().join("alice/lanyard/config.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (findings, _) = examine(&surroundings(home.path(), &[]), &service(0), true);
    assert_eq!(first_code(&findings), Some(Code::Config));
    assert_eq!(findings[0].mend, Some(format!("chmod 600 {}", file.display())));
}

#[test]
fn a_store_that_fails_has_its_own_code() {
    let home = home("[defaults]\nstorage = \"file\"\n");
    let (findings, _) = examine(&surroundings(home.path(), &[]), &nobody, true);
    assert_eq!(first_code(&findings), Some(Code::Store));
    let (findings, _) = examine(&surroundings(home.path(), &[("LANYARD_PASSPHRASE", "p")]), &nobody, true);
    assert_eq!(status(&findings, "keychain"), [Status::Ok]);
}
