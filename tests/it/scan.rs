//! Finding what lies around: a home with credentials in many places.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::canary::{Canary, Sweep};
use crate::double::{Answer, Double, Seen};
use crate::stage::{Outcome, Stage};
use crate::terminal::Terminal;
use crate::users::{self, OWNER};
use crate::vaulted::{self, data_dir};

mod importing;

/// A secret of this length that is looked for in all output.
fn secret(length: usize) -> String {
    let canary = Canary::new();
    format!("{}{}", canary.text(), "pQ7rT2vX9zB4dF6hJ8kM3nP5sU1wY0aC7eG2iL4oR6tV8xZ1".repeat(2))[..length].to_owned()
}

fn plant(stage: &Stage, path: &str, text: &str) {
    let path = stage.home().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
}

fn text(stage: &Stage, path: &str) -> String {
    std::fs::read_to_string(stage.home().join(path)).unwrap_or_default()
}

fn scan(stage: &Stage, flags: &[&str]) -> Value {
    stage.run(&[&["credentials", "scan", "--json"], flags].concat()).ends(0).json()
}

/// `kind place, place` of every finding, in alphabetical order.
fn found(scan: &Value) -> Vec<String> {
    let places = |finding: &Value| {
        let places = finding["places"].as_array().unwrap().iter().map(|place| place["place"].as_str().unwrap());
        places.collect::<Vec<_>>().join(", ")
    };
    let findings = scan["findings"].as_array().unwrap().iter();
    let mut found: Vec<String> =
        findings.map(|finding| format!("{} {}", finding["kind"].as_str().unwrap(), places(finding))).collect();
    found.sort();
    found
}

/// No output of the command shows any of the secrets.
#[track_caller]
fn assert_unseen(outcome: &Outcome, secrets: &[&str]) {
    let canaries: Vec<Canary> = secrets.iter().map(|secret| Canary::of(secret)).collect();
    let mut sweep = Sweep::for_canaries(&canaries);
    sweep.bytes("stdout", &outcome.stdout).bytes("stderr", &outcome.stderr);
    sweep.assert_clean();
}

/// An API of Hetzner Cloud that knows these tokens.
fn hetzner(tokens: &[&str]) -> Double {
    let tokens: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
    Double::start(move |seen: &Seen| {
        if tokens.iter().any(|token| seen.bears(token)) {
            Answer::json(200, r#"{"locations": []}"#)
        } else {
            Answer::json(401, r#"{"error": {"code": "unauthorized", "message": "no"}}"#)
        }
    })
}

#[test]
fn every_place_of_a_home_is_looked_at_and_each_secret_is_told_once() {
    let mut stage = vaulted::stage();
    let all: Vec<String> = [64, 32, 32, 40, 40, 36, 40, 40, 24, 40].map(secret).into();
    let [hcloud, ovh, ovh_consumer, cloudflare, aws, github, refresh, password, npm, docker] = all.as_slice() else {
        panic!("ten");
    };
    plant(
        &stage,
        ".config/hcloud/cli.toml",
        &format!("active_context = \"p\"\n[[contexts]]\nname = \"p\"\ntoken = \"{hcloud}\"\n"),
    );
    let ovh_file = format!(
        "[default]\nendpoint=ovh-eu\n[ovh-eu]\napplication_key=ab12CD34ef56GH78\napplication_secret={ovh}\n\
         consumer_key={ovh_consumer}\n"
    );
    plant(&stage, ".ovh.conf", &ovh_file);
    let pair = format!("[default]\naws_access_key_id = AKIAQWERTYUIOPASDFGH\naws_secret_access_key = {aws}\n");
    plant(&stage, ".aws/credentials", &pair);
    let auth = STANDARD.encode(format!("ann:{docker}"));
    plant(&stage, ".docker/config.json", &format!("{{\"auths\": {{\"r.example\": {{\"auth\": \"{auth}\"}}}}}}"));
    let user = format!(
        "{{\"type\": \"authorized_user\", \"client_id\": \"c.apps.googleusercontent.com\", \"client_secret\": \
         \"d-{password}\", \"refresh_token\": \"1//0{refresh}\"}}"
    );
    plant(&stage, ".config/gcloud/application_default_credentials.json", &user);
    let env = format!(
        "# settings\nCLOUDFLARE_API_TOKEN={cloudflare}\nexport DB_PASSWORD='{password}'\nAPI_KEY=changeme\n\
         HCLOUD_TOKEN={hcloud}\nMODE=dev\n"
    );
    plant(&stage, "code/shop/.env", &env);
    plant(&stage, "code/shop/.gitignore", ".env\nnode_modules/\n*.log\n");
    plant(&stage, "code/shop/node_modules/a/index.js", &format!("const a = \"ghp_{}\"\n", secret(36)));
    plant(&stage, "code/shop/notes.md", &format!("Use ghp_{github} for the release.\n"));
    plant(&stage, "code/shop/.npmrc", &format!("save=true\n//registry.example/:_authToken=npm_{npm}pQ7rT2vX9zB4\n"));
    plant(&stage, "code/shop/.env.example", "DB_PASSWORD=put-yours-here-please\n");
    plant(&stage, "movie.bin", &format!("\0\0ghp_{}", secret(36)));
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "me", "-f"])
        .arg(stage.home().join(".aws/../id_work"))
        .status();
    assert!(made.unwrap().success());
    std::fs::create_dir(stage.home().join(".ssh")).unwrap();
    std::fs::rename(stage.home().join("id_work"), stage.home().join(".ssh/id_work")).unwrap();
    stage.set("HCLOUD_TOKEN", hcloud).set("SOME_TOKEN", format!("ghp_{github}"));

    let told = scan(&stage, &[]);
    let expected = [
        "api_key ~/code/shop/.npmrc:2",
        "aws_static ~/.aws/credentials:3 [default]",
        "cloudflare_api_token ~/code/shop/.env:2 CLOUDFLARE_API_TOKEN",
        "gcp_authorized_user ~/.config/gcloud/application_default_credentials.json:1",
        "generic_env ~/code/shop/.env:3 DB_PASSWORD",
        "git $SOME_TOKEN, ~/code/shop/notes.md:1",
        "hetzner_api_token $HCLOUD_TOKEN, ~/.config/hcloud/cli.toml:4 [p], ~/code/shop/.env:5 HCLOUD_TOKEN",
        "ovh_api ~/.ovh.conf:5 [ovh-eu]",
        "registry ~/.docker/config.json:1 [r.example]",
        "ssh_key ~/.ssh/id_work:1",
    ];
    assert_eq!(found(&told), expected);
    assert_eq!(told["problems"], serde_json::json!([]));
    let secrets: Vec<&str> = all.iter().map(String::as_str).collect();
    for flags in [&["--json"][..], &[], &["--output", "json", "--no-ignore"]] {
        assert_unseen(&stage.run(&[&["credentials", "scan"], flags].concat()).ends(0), &secrets);
    }
    let without_rules = scan(&stage, &["--no-ignore"]);
    assert!(found(&without_rules).contains(&"git ~/code/shop/node_modules/a/index.js:1".to_owned()));
    assert_eq!(found(&scan(&stage, &["--kind", "aws"])), [expected[1]]);
    assert_eq!(found(&scan(&stage, &["code/shop/notes.md"])), ["git ~/code/shop/notes.md:1"]);
    assert!(!data_dir(&stage).exists(), "looking makes nothing");
}

#[test]
fn what_is_over_is_told_from_what_is_not_asked() {
    let stage = vaulted::stage();
    let session = |token: &str, at: i64| format!("{{\"token\": \"{token}\", \"expiresAt\": {at}}}");
    let (over, later) = (secret(24), secret(24));
    plant(&stage, ".local/share/com.vercel.cli/auth.json", &session(&over, 1_600_000_000));
    let told = scan(&stage, &[]);
    assert_eq!(told["findings"][0]["expires_at"], "2020-09-13T12:26:40Z", "{told}");
    let table = stage.run(&["credentials", "scan"]).ends(0).stdout();
    let row = table.lines().find(|line| line.contains("auth.json")).unwrap();
    assert!(row.trim().starts_with("expired") && row.contains("2020-09-13"), "{table}");
    plant(&stage, ".local/share/com.vercel.cli/auth.json", &session(&later, 4_000_000_000));
    let table = stage.run(&["credentials", "scan"]).ends(0).stdout();
    let row = table.lines().find(|line| line.contains("auth.json")).unwrap();
    assert!(row.trim().starts_with("not asked") && row.contains("2096"), "{table}");
}

#[test]
fn the_names_in_the_json_are_stable() {
    let stage = vaulted::stage();
    plant(&stage, ".env", "DB_PASSWORD=hunter2-Horse\n");
    let told = scan(&stage, &[]);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&told), "findings problems scanned");
    assert_eq!(
        keys(&told["findings"][0]),
        "expires_at fields identity importable imported kind missing name next not_imported outcome places problem \
         provider reason secret service status vault_name"
    );
    assert_eq!(
        keys(&told["findings"][0]["places"][0]),
        "left line mode next path place plain_text readable_by removed source"
    );
    assert_eq!(keys(&told["scanned"]), "binary bytes files seconds too_large unreadable unreadable_places");
}

#[test]
fn nothing_found_is_said_and_is_no_failure() {
    let stage = vaulted::stage();
    let none = stage.run(&["credentials", "scan", "--fail-on-found"]).ends(0);
    assert!(none.stdout.is_empty() && none.stderr().contains("No credentials lie here"), "{none}");
    let nowhere = stage.run(&["credentials", "scan", "nowhere"]).ends(2);
    assert!(nowhere.stderr().contains("there is no [..]") || nowhere.stderr().contains("there is no /"), "{nowhere}");
    stage.run(&["credentials", "scan", "--kind", "nonsense"]).ends(2);
    stage.run(&["credentials", "scan", "--remove-original"]).ends(2);
}

#[test]
fn what_is_alive_and_open_to_everybody_is_on_top() {
    let mut stage = vaulted::stage();
    let (open, closed, dead) = (secret(64), secret(64), secret(64));
    let api = hetzner(&[&open, &closed]);
    stage.set("HCLOUD_ENDPOINT", api.url());
    for (name, token, mode) in [("a", &dead, 0o644), ("b", &closed, 0o600), ("c", &open, 0o644)] {
        plant(&stage, &format!("{name}.env"), &format!("HCLOUD_TOKEN={token}\n"));
        let path = stage.home().join(format!("{name}.env"));
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    for folder in [stage.root(), &stage.home()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let outcome = stage.run(&["credentials", "scan", "--verify"]).ends(0);
    let table = outcome.stdout();
    let cells: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    assert_eq!(cells[0], ["STATUS", "KIND", "SECRET", "PLACE", "READABLE BY", "EXPIRES"]);
    let row = |status, token: &str, place, readers| {
        let masked = format!("****{}", &token[60..]);
        [status, "hetzner_api_token", &masked, place, readers, "-"].map(str::to_owned)
    };
    assert_eq!(cells[1], row("live", &open, "~/c.env:1 HCLOUD_TOKEN", "everyone"));
    assert_eq!(cells[2], row("live", &closed, "~/b.env:1 HCLOUD_TOKEN", "you"));
    assert_eq!(cells[3], row("invalid", &dead, "~/a.env:1 HCLOUD_TOKEN", "everyone"));
    let last = outcome.stderr().lines().last().unwrap().to_owned();
    assert_eq!(last, "Next: move them into the vault: lanyard credentials scan --import --remove-original");
    assert_unseen(&outcome, &[&open, &closed, &dead]);
    let failed = stage.run(&["credentials", "scan", "--fail-on-found"]).ends(8);
    assert!(failed.stderr().contains("3 credentials lie in plain text"), "{failed}");
    assert_eq!(api.requests().len(), 3, "without --verify nobody is asked");
}

#[test]
fn a_broken_file_of_one_tool_hides_nothing_else() {
    let stage = vaulted::stage();
    plant(&stage, ".config/hcloud/cli.toml", "[[contexts]\n");
    plant(&stage, ".env", "DB_PASSWORD=hunter2-Horse\n");
    let told = scan(&stage, &[]);
    assert_eq!(found(&told), ["generic_env ~/.env:1 DB_PASSWORD"]);
    assert_eq!(told["problems"][0]["provider"], "hetzner");
    let problem = told["problems"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("~/.config/hcloud/cli.toml") && problem.contains("line 1"), "{problem}");

    // Nor of the same provider: a file that the walk does not recognise is found by its tool's own rules alone.
    plant(&stage, ".config/doctl/config.yaml", "access-token: [\n");
    plant(&stage, ".slack/credentials.json", "{\"T1\": {\"token\": \"xoxe.xoxp-1-abc\", \"team_domain\": \"acme\"}}");
    let told = scan(&stage, &[]);
    let expected = ["api_key ~/.slack/credentials.json:1 [acme]", "generic_env ~/.env:1 DB_PASSWORD"];
    assert_eq!(found(&told), expected);
    let places: Vec<&Value> = told["problems"].as_array().unwrap().iter().map(|problem| &problem["place"]).collect();
    assert_eq!(places, ["~/.config/hcloud/cli.toml", "~/.config/doctl/config.yaml"]);
    for flags in [&[][..], &["--json"]] {
        let outcome = stage.run(&[&["credentials", "scan"], flags].concat()).ends(0);
        for place in &places {
            let place = place.as_str().unwrap();
            let warning = format!("warning: not looked into: {place} is no usable ");
            assert!(outcome.stderr().contains(&warning), "{outcome}");
            assert!(outcome.stderr().contains(&format!("  next: look at {place}\n")), "{outcome}");
        }
    }
    assert_eq!(scan(&stage, &["--kind", "api_key"])["problems"].as_array().unwrap().len(), 1);
}

#[test]
fn folders_that_cannot_be_read_are_counted() {
    if !users::are_possible() {
        return;
    }
    let mut stage = vaulted::stage();
    plant(&stage, "closed/.env", "DB_PASSWORD=hunter2-Horse\n");
    plant(&stage, "open/.env", "DB_PASSWORD=hunter2-House\n");
    plant(&stage, "open/shut.txt", "ghp_0123456789abcdefghijABCDEFGHIJ012345\n");
    OWNER.own(stage.root());
    std::fs::set_permissions(stage.home().join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
    std::fs::set_permissions(stage.home().join("open/shut.txt"), PermissionsExt::from_mode(0o000)).unwrap();
    let wrapper = OWNER.wrapper();
    stage.wrap(&wrapper.each_ref().map(String::as_str));
    let told = scan(&stage, &[]);
    assert_eq!(found(&told), ["generic_env ~/open/.env:1 DB_PASSWORD"]);
    assert_eq!(told["scanned"]["unreadable"], 2);
    let table = stage.run(&["credentials", "scan"]).ends(0);
    assert!(table.stderr().contains("2 places could not be read"), "{table}");
}

#[test]
fn hostile_names_and_texts_reach_no_terminal() {
    let stage = vaulted::stage();
    let hostile = "a\u{1b}]52;c;Y2F0\u{7}\u{202e}\nb";
    plant(&stage, &format!("{hostile}/.env"), "DB\u{1b}_PASSWORD=x\nDB_PASSWORD=hunter2-Horse\n");
    let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    std::fs::write(stage.home().join(std::ffi::OsString::from("x".repeat(250))), token).unwrap();
    let not_text = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"not\xfftext.env");
    std::fs::write(stage.home().join(not_text), "API_TOKEN=Zx81-Qw93-Lk55\n").unwrap();
    for flags in [&[][..], &["--json"]] {
        let outcome = stage.run(&[&["credentials", "scan"], flags].concat()).ends(0);
        let shown = [outcome.stdout(), outcome.stderr()].concat();
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
        assert_eq!(shown.matches("hunter2").count(), 0);
    }
    assert_eq!(scan(&stage, &[])["findings"].as_array().unwrap().len(), 3);
}

#[test]
fn a_context_that_signs_in_by_a_program_is_told_for_what_it_is() {
    let stage = vaulted::stage();
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: eks\n\
                      clusters: [{name: eks, cluster: {server: \"https://eks.example.com\"}}]\n\
                      contexts: [{name: eks, context: {cluster: eks, user: eks}}]\n\
                      users: [{name: eks, user: {exec: {command: /usr/local/bin/aws, args: [eks, get-token]}}}]\n";
    plant(&stage, ".kube/config", kubeconfig);
    let why = "it signs in by running a program (aws); nothing to store";
    let told = scan(&stage, &[]);
    let finding = &told["findings"][0];
    assert_eq!((&finding["problem"], &finding["importable"]), (&why.into(), &false.into()));
    assert_eq!(finding["missing"], serde_json::json!([]));
    let table = stage.run(&["credentials", "scan"]).ends(0).stdout();
    let row = table.lines().nth(1).unwrap();
    assert!(row.trim_start().starts_with(&format!("{why}  kubeconfig")), "{table}");
    assert!(row.contains("~/.kube/config context eks") && !table.contains("lacks"), "{table}");
    let imported = scan(&stage, &["--import", "--yes"]);
    assert_eq!(imported["findings"][0]["not_imported"], why);
}

#[test]
fn a_long_look_shows_a_sign_of_life_at_a_terminal_alone() {
    let mut stage = vaulted::stage();
    plant(&stage, ".config/gh/hosts.yml", "github.com:\n    user: ann\n");
    plant(&stage, "bin/gh", "#!/bin/sh\nsleep 1\necho gho_0123456789abcdefghij\n");
    std::fs::set_permissions(stage.home().join("bin/gh"), PermissionsExt::from_mode(0o755)).unwrap();
    stage.set("PATH", format!("{}:/usr/bin:/bin", stage.home().join("bin").display()));
    let mut terminal = Terminal::start(&stage, &["credentials", "scan"]);
    terminal.sees("looking around (2 files read)");
    terminal.sees("`gh auth token --hostname github.com`");
    assert_eq!(terminal.ends().code, Some(0));
    let elsewhere = stage.run(&["credentials", "scan"]).ends(0);
    assert!(elsewhere.stdout().contains("gh auth token") && !elsewhere.stderr().contains("looking"), "{elsewhere}");
}
