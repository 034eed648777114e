//! In a CI job: a token from the job's variables, a service that is an API alone, one log for both streams.

use crate::corp::{self, TOKEN};
use crate::idp::Idp;
use crate::stage::{Outcome, Stage};

/// Each CI system with what it adds to the environment of a job.
const SYSTEMS: [(&str, &[(&str, &str)]); 3] = [
    ("GitHub Actions", &[("CI", "true"), ("GITHUB_ACTIONS", "true"), ("GITHUB_WORKFLOW", "deploy")]),
    ("GitLab", &[("CI", "true"), ("GITLAB_CI", "true"), ("CI_JOB_ID", "1")]),
    ("Jenkins", &[("JENKINS_URL", "http://127.0.0.1/"), ("BUILD_NUMBER", "1"), ("TERM", "dumb")]),
];

/// A job of that system, with the token in `variable`; both streams go to one log, which the runner reads in order.
fn job(idp: &Idp, system: &[(&str, &str)], variable: &str) -> Stage {
    let mut stage = Stage::new();
    stage.write_config(&format!(
        "profile = \"deploy\"\n\n[profiles.deploy]\nservice = \"corp\"\nendpoint = \"{0}\"\n\n[services.corp]\n\
         endpoint = \"{0}\"\ntoken_env = [\"CORP_API_TOKEN\"]\n\n[services.corp.api]\nwhoami = \"/v1/me\"\n\
         account = \"/email\"\naccount_id = \"/id\"\n",
        idp.issuer()
    ));
    for (name, value) in system {
        stage.set(name, *value);
    }
    stage.set(variable, TOKEN).wrap(&["sh", "-c", "\"$0\" \"$@\" 2>&1"]);
    stage
}

/// Fails if the log shows the token before the runner was told to mask it, or at all where it was not asked for.
fn assert_masked(name: &str, outcome: &Outcome, shown: usize) {
    let log = outcome.stdout();
    let mask = format!("::add-mask::{TOKEN}\n");
    if name == "GitHub Actions" && shown > 0 {
        assert_eq!(log.find(TOKEN), log.find(&mask).map(|at| at + "::add-mask::".len()), "{name}: {log}");
        assert_eq!(log.matches(TOKEN).count(), shown + log.matches(&mask).count(), "{name}: {log}");
    } else {
        assert_eq!(log.matches(TOKEN).count(), shown, "{name}: {log}");
        assert!(!log.contains("::add-mask::"), "{name}: {log}");
    }
}

#[test]
fn the_three_commands_of_a_job_work_and_mask_what_they_print() {
    let idp = corp::idp();
    for (name, system) in SYSTEMS {
        for variable in ["LANYARD_TOKEN", "CORP_API_TOKEN"] {
            let stage = job(&idp, system, variable);
            let before = stage.files();
            let status = stage.run(&["auth", "status"]).ends(0);
            assert!(status.stdout().starts_with("Authenticated as: user@example.com\n"), "{name}: {status}");
            assert!(status.stdout().contains(&format!("Token: from {variable}")), "{name}: {status}");
            assert_masked(name, &status, 0);
            assert_masked(name, &stage.run(&["auth", "token"]).ends(0), 1);
            let header = stage.run(&["auth", "token", "--header"]).ends(0);
            assert!(header.stdout().ends_with(&format!("Authorization: Bearer {TOKEN}\n")), "{name}: {header}");
            assert_masked(name, &header, 1);
            let me = stage.run(&["api", "GET", "/v1/me"]).ends(0);
            assert_eq!(me.json()["email"], "user@example.com", "{name}");
            assert_masked(name, &me, 0);
            for outcome in [&status, &me] {
                assert!(!outcome.stdout().contains('\u{1b}'), "{name}: a log is no terminal: {outcome}");
            }
            assert_eq!(stage.files(), before, "{name}: a job leaves nothing behind");
        }
    }
}

#[test]
fn a_job_without_a_token_fails_at_once_and_says_what_to_set() {
    let idp = corp::idp();
    for (name, system) in SYSTEMS {
        let mut stage = job(&idp, system, "LANYARD_TOKEN");
        stage.unset("LANYARD_TOKEN");
        for command in [&["auth", "status"][..], &["auth", "token"], &["api", "GET", "/v1/me"]] {
            let outcome = stage.run(command);
            assert!(matches!(outcome.code, Some(4 | 7)), "{name}: {outcome}");
            assert!(outcome.stdout().contains("next: "), "{name}: {outcome}");
        }
        let login = stage.run(&["auth", "login", "--service", "corp"]);
        assert!(login.code.is_some_and(|code| code != 0), "{name}: nobody is there to paste a token: {login}");
    }
}

#[test]
fn a_rejected_token_stops_the_job() {
    let idp = Idp::honest();
    for (name, system) in SYSTEMS {
        let stage = job(&idp, system, "LANYARD_TOKEN");
        let status = stage.run(&["auth", "status"]).ends(4);
        assert!(status.stdout().contains("Invalid authentication token"), "{name}: {status}");
        let me = stage.run(&["api", "GET", "/v1/me"]).ends(8);
        assert!(me.stdout().contains("Invalid authentication token"), "{name}: {me}");
    }
}

#[test]
fn a_pasted_token_is_masked_before_anything_else_happens() {
    let idp = corp::idp();
    let (_, github) = SYSTEMS[0];
    let mut stage = job(&idp, github, "LANYARD_TOKEN");
    stage.unset("LANYARD_TOKEN");
    let login = ["auth", "login", "--service", "corp", "--profile", "deploy", "--with-token", "--storage", "plain"];
    let outcome = stage.run_with(&login, TOKEN.as_bytes()).ends(0);
    assert!(outcome.stdout().starts_with(&format!("::add-mask::{TOKEN}\n")), "{outcome}");
    assert_eq!(outcome.stdout().matches(TOKEN).count(), 1, "{outcome}");
}
