//! The way of what lies around into the vault, and what becomes of the places it lay in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{assert_unseen, found, hetzner, plant, scan, secret, text};
use crate::crash::{self, Blow};
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::vaulted::{self, data_dir, list, reveal};

#[test]
fn what_is_imported_leaves_its_place_and_everything_else_stays() {
    let mut stage = vaulted::stage();
    let (token, dead, password) = (secret(64), secret(64), secret(30));
    let api = hetzner(&[&token]);
    stage.set("HCLOUD_ENDPOINT", api.url());
    let env = format!("# keep\nA=1\r\nHCLOUD_TOKEN={token}\nexport DB_PASSWORD=\"{password}\" # main\n\nB='2\n3'\n");
    plant(&stage, "shop/.env", &env);
    plant(&stage, "dead.env", &format!("HCLOUD_TOKEN={dead}\n"));
    std::fs::set_permissions(stage.home().join("shop/.env"), PermissionsExt::from_mode(0o640)).unwrap();
    let other = format!("active_context = \"p\" # mine\n\n[[contexts]]\nname = \"p\"\ntoken = \"{token}\"\n");
    plant(&stage, ".config/hcloud/cli.toml", &other);

    let unasked = stage.run(&["credentials", "scan", "--import"]).ends(2);
    assert!(unasked.stderr().contains("--yes") && list(&stage).is_empty(), "{unasked}");
    let outcome = stage.run(&["credentials", "scan", "--import", "--remove-original", "--yes"]).ends(0);
    assert_unseen(&outcome, &[&token, &dead, &password]);
    assert!(outcome.stdout().contains("not imported: Hetzner Cloud does not know the token"), "{outcome}");
    assert_eq!(text(&stage, "shop/.env"), "# keep\nA=1\r\n\nB='2\n3'\n");
    let mode = std::fs::metadata(stage.home().join("shop/.env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(
        text(&stage, ".config/hcloud/cli.toml"),
        "active_context = \"p\" # mine\n\n[[contexts]]\nname = \"p\"\n"
    );
    assert_eq!(text(&stage, "dead.env"), format!("HCLOUD_TOKEN={dead}\n"));
    let names: Vec<Value> = list(&stage).into_iter().map(|held| held["name"].clone()).collect();
    assert_eq!(names, ["db-password", "hetzner"]);
    assert_eq!(reveal(&stage, "hetzner", "api_token"), token);
    assert_eq!(reveal(&stage, "db-password", "DB_PASSWORD"), password);
    assert_eq!(found(&scan(&stage, &[])), ["hetzner_api_token ~/dead.env:1 HCLOUD_TOKEN"]);
}

#[test]
fn what_the_vault_holds_is_not_imported_twice_and_names_do_not_clash() {
    let stage = vaulted::stage();
    vaulted::store_env(&stage, "db-password", "DB_PASSWORD", "another-Value-81");
    plant(&stage, "one.env", "DB_PASSWORD=hunter2-Horse\n");
    let told = scan(&stage, &["--import", "--yes"]);
    assert_eq!(
        (&told["findings"][0]["imported"], &told["findings"][0]["vault_name"]),
        (&true.into(), &"db-password-2".into())
    );
    let again = scan(&stage, &["--import", "--yes", "--no-verify"]);
    assert_eq!(
        (&again["findings"][0]["imported"], &again["findings"][0]["vault_name"]),
        (&false.into(), &"db-password-2".into())
    );
    assert_eq!(list(&stage).len(), 2);
    assert_eq!(text(&stage, "one.env"), "DB_PASSWORD=hunter2-Horse\n");
}

#[test]
fn a_pair_in_the_vault_is_known_by_its_public_half() {
    let stage = vaulted::stage();
    let aws = secret(40);
    let pair = format!("[default]\naws_access_key_id = AKIAQWERTYUIOPASDFGH\naws_secret_access_key = {aws}\n");
    plant(&stage, ".aws/credentials", &format!("{pair}region = eu-west-1\n"));
    scan(&stage, &["--import", "--yes", "--no-verify", "--kind", "aws"]);
    let told = scan(&stage, &[]);
    assert!(told["findings"][0]["vault_name"].is_string(), "{told}");
    assert_eq!(told["findings"][0]["secret"], "AKIA****DFGH");
    scan(&stage, &["--import", "--yes", "--no-verify", "--remove-original"]);
    assert_eq!(text(&stage, ".aws/credentials"), "[default]\nregion = eu-west-1\n");
}

#[test]
fn what_cannot_be_cut_for_certain_is_named_and_left() {
    let mut stage = vaulted::stage();
    let tokens: Vec<String> = (0..4).map(|_| secret(64)).collect();
    plant(&stage, "notes.txt", &format!("HCLOUD_TOKEN: {}\n", tokens[0]));
    plant(&stage, "linked/real", &format!("[[contexts]]\nname = \"p\"\ntoken = \"{}\"\n", tokens[1]));
    std::fs::create_dir_all(stage.home().join(".config/hcloud")).unwrap();
    std::os::unix::fs::symlink(stage.home().join("linked/real"), stage.home().join(".config/hcloud/cli.toml")).unwrap();
    plant(&stage, "two.env", &format!("HCLOUD_TOKEN={}\n", tokens[2]));
    std::fs::hard_link(stage.home().join("two.env"), stage.home().join("second-name")).unwrap();
    stage.set("HCLOUD_TOKEN", &tokens[3]);
    let before = stage.files();
    let outcome = stage.run(&["credentials", "scan", "--import", "--yes", "--no-verify", "--remove-original"]).ends(0);
    let talk = outcome.stderr();
    for said in [
        "its format is none of those that lanyard knows",
        "is a symbolic link",
        "has a second name (hard link)",
        "$HCLOUD_TOKEN is set by whatever started this shell",
        "remove the line that sets HCLOUD_TOKEN",
    ] {
        assert!(talk.contains(said), "{said}: {outcome}");
    }
    for (path, content) in before {
        assert_eq!(std::fs::read(&path).unwrap(), content, "{}", path.display());
    }
    assert_eq!(list(&stage).len(), 4);
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    assert_unseen(&outcome, &tokens);
}

#[test]
fn each_tools_file_keeps_all_but_the_entry_that_was_imported() {
    let stage = vaulted::stage();
    let (netrc, git, hub, vercel, verda, docker) =
        (secret(30), secret(36), secret(36), secret(56), secret(40), secret(30));
    let auth = STANDARD.encode(format!("ann:{docker}"));
    let files = [
        (
            ".netrc",
            format!("# mine\nmachine git.example login ann password {netrc}\nmachine open.example login bob\n"),
            "# mine\nmachine open.example login bob\n",
        ),
        (
            ".git-credentials",
            format!("https://ann:ghp_{git}@github.com\nhttps://nobody@host.example\n"),
            "https://nobody@host.example\n",
        ),
        (
            ".config/gh/hosts.yml",
            format!(
                "github.com:\n    users:\n        ann:\n            oauth_token: gho_{hub}\n    git_protocol: https\n    \
                 user: ann\n    oauth_token: gho_{hub}\n"
            ),
            "github.com:\n    users:\n        ann:\n    git_protocol: https\n    user: ann\n",
        ),
        (
            ".local/share/com.vercel.cli/auth.json",
            format!("{{\n  \"// Note\": \"x\",\n  \"token\": \"vca_{vercel}\"\n}}\n"),
            "{\n  \"// Note\": \"x\"\n}\n",
        ),
        (
            ".verda/credentials",
            format!(
                "[default]\nverda_client_id = abc-def-0123456789\nverda_client_secret = {verda}\n\n[other]\na = b\n"
            ),
            "\n[other]\na = b\n",
        ),
        (
            ".docker/config.json",
            format!("{{\"auths\": {{\"r.example\": {{\"auth\": \"{auth}\"}}}}, \"psFormat\": \"x\"}}"),
            "{\"auths\": {}, \"psFormat\": \"x\"}",
        ),
    ];
    for (path, before, _) in &files {
        plant(&stage, path, before);
    }
    let told = scan(&stage, &["--import", "--yes", "--no-verify", "--remove-original"]);
    for (path, _, after) in &files {
        assert_eq!(text(&stage, path), *after, "{path}: {told:#}");
    }
    assert_eq!(list(&stage).len(), 6, "{told:#}");
    assert!(found(&scan(&stage, &[])).is_empty());
}

#[test]
fn without_a_vault_nothing_leaves_its_place() {
    let stage = Stage::new();
    plant(&stage, ".env", "DB_PASSWORD=hunter2-Horse\n");
    let failed = stage.run(&["credentials", "scan", "--import", "--yes", "--no-verify", "--remove-original"]).ends(7);
    assert!(failed.stderr().contains("no vault can be made"), "{failed}");
    assert_eq!(text(&stage, ".env"), "DB_PASSWORD=hunter2-Horse\n");
}

#[test]
fn a_key_file_goes_as_a_whole() {
    let stage = vaulted::stage();
    std::fs::create_dir(stage.home().join(".ssh")).unwrap();
    let key = stage.home().join(".ssh/id_ed25519");
    let made =
        std::process::Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    let told = scan(&stage, &["--import", "--yes", "--remove-original"]);
    assert_eq!(told["findings"][0]["places"][0]["removed"], "file");
    assert!(!key.exists() && key.with_extension("pub").exists());
    let name = told["findings"][0]["vault_name"].as_str().unwrap();
    assert!(reveal(&stage, name, "private_key").starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
}

#[test]
fn a_person_sees_what_goes_where_before_saying_yes() {
    let stage = vaulted::stage();
    plant(&stage, ".env", "DB_PASSWORD=hunter2-Horse\n");
    let mut terminal = Terminal::start(&stage, &["credentials", "scan", "--import", "--remove-original"]);
    terminal.sees("~/.env:1 DB_PASSWORD");
    terminal.sees("Put 1 credential into the vault, and remove the originals?");
    terminal.presses("n");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(1), "{ending:?}");
    assert!(list(&stage).is_empty() && !text(&stage, ".env").is_empty());
}

const IMPORT: [&str; 6] = ["credentials", "scan", "--import", "--yes", "--no-verify", "--remove-original"];

/// Strikes an import of one line of a file at every call of these kinds; whatever happened, the secret is in its place
/// or in the vault, and the next import brings to its end what was begun.
fn strike_everywhere(blow: Blow, calls: &[&str]) -> usize {
    let stage = vaulted::stage();
    let token = secret(64);
    let (env, rest) = (format!("A=1\nHCLOUD_TOKEN={token}\nB=2\n"), "A=1\nB=2\n");
    plant(&stage, "shop/.env", &env);
    let mut struck = 0;
    for call in calls {
        let look = |time| {
            let when = format!("{blow:?} at {call} {time}");
            let left = text(&stage, "shop/.env");
            assert!(left == env || left == rest, "{when}: {left}");
            if left == rest {
                assert_eq!(reveal(&stage, "hetzner", "api_token"), token, "{when}");
            }
            stage.run(&IMPORT).ends(0);
            assert_eq!(text(&stage, "shop/.env"), rest, "{when}");
            assert_eq!(list(&stage).len(), 1, "{when}");
            assert_eq!(reveal(&stage, "hetzner", "api_token"), token, "{when}");
            assert_eq!(names_in(&stage.home().join("shop")), [".env"], "{when}");
            std::fs::remove_dir_all(data_dir(&stage)).unwrap();
            plant(&stage, "shop/.env", &env);
        };
        struck += crash::at_every(call, blow, || stage.command(&IMPORT), look);
    }
    struck
}

#[test]
fn a_kill_at_any_point_of_an_import_loses_nothing() {
    let struck = strike_everywhere(Blow::Kill, &["/^pwrite", "/^fsync|fdatasync", "/^rename", "/^unlink", "/^fchmod"]);
    assert!(struck >= 10, "only {struck} blows were struck");
}

#[test]
fn a_full_disk_at_any_point_of_an_import_loses_nothing() {
    let struck = strike_everywhere(Blow::Error("ENOSPC"), &["/^pwrite", "/^rename"]);
    assert!(struck >= 4, "only {struck} blows were struck");
}

#[test]
fn what_was_done_before_a_failure_is_told() {
    let stage = vaulted::stage();
    plant(&stage, "a.env", "A_PASSWORD=hunter2-Horse\n");
    plant(&stage, "b.env", "B_PASSWORD=hunter2-House\n");
    let first = stage.run(&[&IMPORT[..], &["a.env"]].concat()).ends(0);
    assert!(first.stdout().contains("moved to the vault: a-password"), "{first}");
    // What the vault holds of this kind cannot be opened any more, so that nothing can be compared with it.
    for entry in std::fs::read_dir(stage.config_dir()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().ends_with(".plain.json") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let failed = stage.run(&[&IMPORT[..], &["b.env"]].concat()).ends(7);
    assert!(failed.stdout().contains("~/b.env:1 B_PASSWORD"), "{failed}");
    assert_eq!(text(&stage, "b.env"), "B_PASSWORD=hunter2-House\n");
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
