//! The documentation does not rot: its commands parse, its links lead somewhere, its CI jobs run.

use std::path::{Path, PathBuf};

use crate::canary::Canary;
use crate::idp::{Behaviour, Idp};
use crate::stage::{Outcome, Stage};

/// Every page a person reads.
const PAGES: [&str; 15] = [
    "README.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
    ".github/docs/credentials.md",
    ".github/docs/developers.md",
    ".github/docs/agent.md",
    ".github/docs/ci.md",
    ".github/docs/server.md",
    ".github/docs/services.md",
    ".github/docs/scan.md",
    ".github/docs/docker-kubectl-aws.md",
    ".github/docs/packages.md",
    ".github/docs/run.md",
    ".github/docs/tools.md",
    "packaging/README.md",
];

/// A CI system: its example, what it adds to the environment, and how it calls the shell.
struct System {
    file: &'static str,
    variables: &'static [(&'static str, &'static str)],
    shell: &'static str,
}

const GITHUB: System = System {
    file: "packaging/github/workflow.yml",
    variables: &[("CI", "true"), ("GITHUB_ACTIONS", "true")],
    shell: "-eo pipefail",
};
const GITLAB: System = System {
    file: "packaging/gitlab/lanyard.gitlab-ci.yml",
    variables: &[("CI", "true"), ("GITLAB_CI", "true")],
    shell: "-eo pipefail",
};
const JENKINS: System =
    System { file: "packaging/jenkins/Jenkinsfile", variables: &[("JENKINS_URL", "http://127.0.0.1/")], shell: "-xe" };

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_command_on_a_page_parses() {
    let stage = Stage::new();
    let mut checked = 0;
    for name in PAGES {
        for line in commands(&page(name)) {
            for words in invocations(&line) {
                // Asked for its help, a command reads its flags and does nothing. What follows -- is not ours.
                let own = words.iter().map(String::as_str).take_while(|word| *word != "--");
                let arguments: Vec<&str> = own.chain(["--help"]).collect();
                let outcome = stage.run(&arguments);
                assert!(outcome.code == Some(0), "{name}: {line}\n{}", outcome.stderr());
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "only {checked} commands were found");
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    for name in PAGES {
        let folder = root().join(name);
        let folder = folder.parent().expect("a page lies in a folder");
        for link in page(name).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.starts_with("http") && !link.starts_with('#') {
                let path = link.split('#').next().unwrap_or(link);
                assert!(folder.join(path).exists(), "{name} links to {path}");
            }
        }
    }
}

#[test]
fn the_table_of_providers_is_whole() {
    let readme = page("README.md");
    for provider in lanyard::provider::PROVIDERS {
        let start = format!("| `{}` |", provider.name());
        let row = readme.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("the README has no row for {}", provider.name()));
        for (format, _) in provider.files() {
            assert!(
                row.contains(&format!("`{format}`")),
                "the row of {} leaves the file {format} out",
                provider.name()
            );
        }
    }
}

#[test]
fn the_picture_shows_what_the_commands_print() {
    let picture = page(".github/credentials.svg");
    for command in ["lanyard credentials scan", "lanyard credentials list", "lanyard credentials test"] {
        assert!(picture.contains(command), "{command}");
    }
    let stage = crate::vaulted::stage();
    crate::vaulted::store_env(&stage, "db", "DATABASE_URL", "postgres://h/db");
    std::fs::write(stage.home().join(".env"), "DB_PASSWORD=hunter2-Horse\n").unwrap();
    for words in [["credentials", "list"], ["credentials", "scan"]] {
        let table = stage.run(&words).ends(0).stdout();
        let heads: Vec<&str> =
            table.lines().next().unwrap().split("  ").map(str::trim).filter(|h| !h.is_empty()).collect();
        let is_head = |line: &&str| heads.iter().all(|head| line.contains(head));
        assert!(picture.lines().any(|line| is_head(&line)), "no line of the picture has {heads:?}");
    }
    assert!(picture.contains("PASSED:") && picture.contains("FAILED:"));
}

#[test]
fn the_pages_name_every_service_and_every_key() {
    let readme = page("README.md");
    for preset in lanyard::auth::presets::PRESETS {
        assert!(readme.contains(&format!("| `{}` |", preset.name)), "the README leaves {} out", preset.name);
    }
    let services = page(".github/docs/services.md");
    for field in lanyard::config::schema::FIELDS {
        if let Some(key) = field.path.strip_prefix("services.*.") {
            let key = key.strip_prefix("api.").or_else(|| key.strip_prefix("git.")).unwrap_or(key);
            assert!(services.contains(&format!("`{key}`")), "the service owner's page leaves {key} out");
        }
    }
}

#[test]
fn the_ci_jobs_run_and_mask_what_they_print() {
    for system in [GITHUB, GITLAB, JENKINS] {
        let name = system.file;
        let (outcome, token) = run(&system, true);
        assert_eq!(outcome.code, Some(0), "{name}: {}", outcome.stderr());
        let said = outcome.stdout() + &outcome.stderr();
        assert!(said.contains("\"email\"") && said.contains("web-shop"), "{name}: {said}");

        let mask = format!("::add-mask::{token}\n");
        assert_eq!(said.contains(&mask), name == GITHUB.file, "{name}: {said}");
        assert!(!said.replace(&mask, "").contains(&token), "{name} shows the token: {said}");
    }
}

#[test]
fn a_ci_job_with_a_wrong_token_fails_and_says_why() {
    for system in [GITHUB, GITLAB, JENKINS] {
        let name = system.file;
        let (outcome, token) = run(&system, false);
        assert_eq!(outcome.code, Some(8), "{name}: {}", outcome.stderr());
        assert!(outcome.stderr().contains("Invalid authentication token"), "{name}: {}", outcome.stderr());
        assert!(!(outcome.stdout() + &outcome.stderr()).contains(&token), "{name} shows the token");
    }
}

/// Runs the example as its CI system would, with a token that the API knows or does not.
fn run(system: &System, known: bool) -> (Outcome, String) {
    let token = Canary::new().text().to_owned();
    let mut behaviour = Behaviour::default();
    if known {
        behaviour.api_tokens.push(token.clone());
    }
    let idp = Idp::start(behaviour);
    let mut stage = Stage::new();
    let bin = Path::new(env!("CARGO_BIN_EXE_lanyard")).parent().expect("the binary lies in a folder");
    stage.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    stage.set("LANYARD_TOKEN", &token).set("LANYARD_ENDPOINT", idp.issuer());
    for (variable, value) in system.variables {
        stage.set(variable, *value);
    }
    let script = job(&page(system.file));
    assert_eq!(script.matches("lanyard ").count(), 3, "{}: {script}", system.file);
    let words: Vec<&str> = ["bash"].into_iter().chain(system.shell.split(' ')).chain(["-c", &script]).collect();
    // The binary's own name, which the stage puts last, is the script's `$0`.
    stage.wrap(&words);
    (stage.run(&[]), token)
}

/// The shell script of an example job: the lines under `run: |`, the items of the last `script:`, or what stands
/// between the quotes of `sh`.
fn job(text: &str) -> String {
    if let Some((_, quoted)) = text.split_once("sh '''") {
        return quoted.split("'''").next().unwrap_or_default().to_owned();
    }
    if let Some((_, block)) = text.split_once("run: |\n") {
        return block.to_owned();
    }
    let items = text.rsplit("script:\n").next().unwrap_or_default();
    items
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- "))
        .fold(String::new(), |all, line| all + line + "\n")
}

/// The command lines of a page: after `$ ` in `console` blocks, whole lines in `sh` blocks, and code spans that begin
/// with the program's name.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fence: Option<String> = None;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language.to_owned()) };
            continue;
        }
        match fence.as_deref() {
            Some("console") => found.extend(line.strip_prefix("$ ").map(str::to_owned)),
            Some("sh") => found.push(line.to_owned()),
            Some(_) => {}
            None => {
                let spans = line.split('`').skip(1).step_by(2);
                found.extend(spans.filter(|span| span.starts_with("lanyard ")).map(str::to_owned));
            }
        }
    }
    found
}

/// The arguments of each call of lanyard in a shell command; `SHELL` and the like stand for a word of the reader's.
fn invocations(line: &str) -> Vec<Vec<String>> {
    let line = line.replace("cargo run --release --locked -- ", "lanyard ").replace("SHELL", "bash");
    let starts = line.match_indices("lanyard ").filter(|(at, _)| {
        let before = line[..*at].chars().next_back();
        before.is_none_or(|sign| " (`".contains(sign))
    });
    starts.map(|(at, name)| words(&line[at + name.len()..])).collect()
}

/// Words up to the end of the command, as a shell splits them.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for sign in text.chars() {
        match (sign, quote) {
            ('"' | '\'', None) => quote = Some(sign),
            (_, Some(open)) if sign == open => quote = None,
            ('|' | ';' | '&' | '<' | '>' | ')', None) => break,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().expect("there is a word").push(sign),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
