//! What a person does with credentials: store, list, show, update, rename, delete, export.

use crate::canary::{Canary, Sweep, Watch};
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::vaulted::{self, list, reveal, store_env};

#[test]
fn a_credential_is_stored_listed_shown_and_deleted() {
    let stage = vaulted::stage();
    stage.run(&["credentials", "list"]).shows(
        0,
        "",
        "No credentials yet\n\
         Store what an official tool has on this machine: lanyard credentials store aws\n\
         See what lies around in plain text:              lanyard credentials scan\n\
         Every provider:                                  lanyard credentials store --help\n",
    );
    assert!(!vaulted::data_dir(&stage).exists(), "looking makes nothing");
    let canary = Canary::new();
    store_env(&stage, "db", "DATABASE_URL", canary.text());
    let table = stage.run(&["credentials", "list"]).ends(0).stdout();
    let cells: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect()).collect();
    assert_eq!(cells[0], ["NAME", "KIND", "PROVIDER", "STATUS", "EXPIRES", "LAST USED"]);
    assert_eq!(cells[1], ["db", "generic_env", "env", "unverified", "-", "never"]);
    let shown = stage.run(&["credentials", "show", "db"]).ends(0).stdout();
    let tail = &canary.text()[canary.text().len() - 4..];
    assert!(shown.contains(&format!("DATABASE_URL: ****{tail}\n")), "{shown}");
    assert_eq!(reveal(&stage, "db", "DATABASE_URL"), canary.text());
    stage.run(&["credentials", "delete", "db"]).ends(2);
    stage.run(&["credentials", "delete", "db", "--yes"]).shows(0, "", "✓ Deleted db\n");
    assert!(list(&stage).is_empty());
    let mut sweep = Sweep::for_canaries(&[canary]);
    sweep.tree(stage.root());
    sweep.assert_clean();
}

#[test]
fn the_long_list_shows_fields_and_the_json_has_stable_names() {
    let stage = vaulted::stage();
    store_env(&stage, "env", "TOKEN", "a-value-of-the-user");
    stage.run(&["credentials", "list", "--long"]).shows(
        0,
        "Stored credentials (1):\nProvider: env\nCreated: [DATE] [..]\nUpdated: [DATE] [..]\nFields:\n",
        "",
    );
    let credential = list(&stage).remove(0);
    let names: Vec<&String> = credential.as_object().unwrap().keys().collect();
    let expected = [
        "created_at",
        "expires_at",
        "fields",
        "id",
        "kind",
        "last_used_at",
        "name",
        "note",
        "provider",
        "secret_fields",
        "service",
        "status",
        "tags",
        "updated_at",
        "verified_at",
    ];
    assert_eq!(names, expected);
    assert_eq!(credential["secret_fields"], serde_json::json!(["TOKEN"]));
    assert!(credential["id"].as_str().unwrap().starts_with("cred_"));
}

#[test]
fn the_list_is_narrowed_by_kind_status_tag_and_text() {
    let stage = vaulted::stage();
    store_env(&stage, "one", "A", "x");
    store_env(&stage, "two", "B", "y");
    stage.run(&["credentials", "update", "two", "--tag", "prod", "--note", "The deploy job"]).ends(0);
    let names = |flags: &[&str]| -> Vec<String> {
        let found = stage.run(&[&["credentials", "list", "--json"], flags].concat()).ends(0).json();
        found.as_array().unwrap().iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&["--search", "DEPLOY"]), ["two"]);
    assert_eq!(names(&["--tag", "prod"]), ["two"]);
    assert_eq!(names(&["--kind", "generic_env"]), ["one", "two"]);
    assert_eq!(names(&["--kind", "env", "--status", "unverified"]), ["one", "two"]);
    assert!(names(&["--status", "active"]).is_empty());
    let none = stage.run(&["credentials", "list", "--search", "nothing"]).ends(0);
    assert_eq!(none.stderr(), "No credential matches; the vault holds 2\n");
}

#[test]
fn a_taken_name_is_replaced_only_when_told() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "first");
    let again = stage.run_with(&["credentials", "store", "env", "A=-", "--name", "db"], b"second").ends(2);
    assert!(again.stderr().contains("there is a credential db already") && again.stderr().contains("--replace"));
    assert_eq!(reveal(&stage, "db", "A"), "first");
    let id = list(&stage)[0]["id"].clone();
    stage.run_with(&["credentials", "store", "env", "A=-", "--name", "db", "--replace"], b"second").ends(0);
    assert_eq!(reveal(&stage, "db", "A"), "second");
    assert_eq!(list(&stage)[0]["id"], id, "it is the same credential");

    let mut terminal = Terminal::start(&stage, &["credentials", "store", "env", "A=@value.txt", "--name", "db"]);
    std::fs::write(stage.home().join("value.txt"), "third\n").unwrap();
    terminal.sees("There is a credential db (set of variables) already. Replace it?");
    terminal.presses("n");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(1), "{ending:?}");
    assert_eq!(reveal(&stage, "db", "A"), "second");
}

#[test]
fn values_come_from_stdin_files_and_the_command_line_and_never_stay_there() {
    let stage = vaulted::stage();
    let canaries: Vec<Canary> = std::iter::repeat_with(Canary::new).take(3).collect();
    std::fs::write(stage.home().join("value.txt"), canaries[0].text()).unwrap();
    let watch = Watch::start();
    let literal = format!("C={}", canaries[2].text());
    let stored = stage.run_with(
        &["credentials", "store", "env", "A=@value.txt", "B=-", &literal, "--name", "three"],
        canaries[1].text().as_bytes(),
    );
    let seen = watch.stop();
    assert!(stored.ends(0).stderr().contains("others could see a secret on the command line"));
    for (field, canary) in ["A", "B", "C"].iter().zip(&canaries) {
        assert_eq!(reveal(&stage, "three", field), canary.text());
    }
    let mut sweep = Sweep::for_canaries(&canaries[..2]);
    sweep.processes(&seen);
    sweep.assert_clean();
    let twice = stage.run_with(&["credentials", "store", "env", "A=-", "B=-"], b"x").ends(2);
    assert!(twice.stderr().contains("stdin can give one value"), "{twice}");
    let nowhere = stage.run(&["credentials", "store", "env", "A=@missing"]).ends(2);
    assert!(nowhere.stderr().contains("cannot read the value of A"), "{nowhere}");
}

#[test]
fn a_name_that_is_no_variable_is_refused() {
    let stage = vaulted::stage();
    for name in ["LD_PRELOAD", "1A", "A-B", "PATH", "http_proxy"] {
        let refused = stage.run_with(&["credentials", "store", "env", &format!("{name}=-")], b"x").ends(2);
        assert!(refused.stderr().contains(&format!("{name} cannot be used as a name")), "{refused}");
    }
    assert!(list(&stage).is_empty());
    stage.run(&["credentials", "store", "env", "NOTHING"]).ends(2);
}

fn store_in_shop(stage: &Stage, name: &str) {
    let store = ["credentials", "store", "env", "A=-", "--name", name, "--for-project", "shop"];
    stage.run_with(&store, b"in the shop").ends(0);
}

#[test]
fn the_same_name_in_two_projects_is_two_credentials() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "everywhere");
    store_in_shop(&stage, "db");
    assert_eq!(list(&stage).len(), 2);
    assert_eq!(reveal(&stage, "db", "A"), "everywhere");
    assert_eq!(reveal(&stage, "shop/db", "A"), "in the shop");
    store_in_shop(&stage, "only");
    let elsewhere = stage.run(&["credentials", "show", "only"]).ends(2);
    assert!(elsewhere.stderr().contains("did you mean shop/only?"), "{elsewhere}");
    let there = stage.run(&["credentials", "show", "db", "--reveal", "A", "--yes", "--project", "shop"]).ends(0);
    assert_eq!(there.stdout(), "in the shop\n");
    stage.run(&["credentials", "delete", "shop/db", "--yes"]).ends(0);
    let fallen_back = stage.run(&["credentials", "show", "db", "--reveal", "A", "--yes", "--project", "shop"]).ends(0);
    assert_eq!(fallen_back.stdout(), "everywhere\n");
}

#[test]
fn a_slip_in_a_name_is_answered_with_the_right_one() {
    let stage = vaulted::stage();
    store_env(&stage, "production", "A", "x");
    let slip = stage.run(&["credentials", "show", "producton"]).ends(2);
    assert!(slip.stderr().contains("did you mean production?"), "{slip}");
    let field = stage.run(&["credentials", "show", "production", "--reveal", "B", "--yes"]).ends(2);
    assert!(field.stderr().contains("it has A") || field.stderr().contains("did you mean A?"), "{field}");
    stage.run(&["credentials", "rename", "production", "-x"]).ends(2);
    stage.run(&["credentials", "rename", "production", "a b"]).ends(2);
    store_env(&stage, "other", "A", "x");
    let taken = stage.run(&["credentials", "rename", "production", "other"]).ends(2);
    assert!(taken.stderr().contains("delete that one first: `lanyard credentials delete other`"), "{taken}");
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    for command in [&["rename", "production", secret][..], &["store", "env", "A=-", "--name", secret]] {
        let pasted = stage.run_with(&[&["credentials"], command].concat(), b"x").ends(2);
        assert!(pasted.stderr().contains("looks like a token") && !pasted.stderr().contains(secret), "{pasted}");
    }
}

#[test]
fn a_secret_is_printed_only_after_a_yes() {
    let stage = vaulted::stage();
    store_env(&stage, "db", "A", "secret-value");
    let unasked = stage.run(&["credentials", "show", "db", "--reveal", "A"]).ends(2);
    assert!(unasked.stdout.is_empty() && unasked.stderr().contains("--yes"), "{unasked}");
    let mut terminal = Terminal::start(&stage, &["credentials", "show", "db", "--reveal", "A"]);
    terminal.sees("Print A of db on the screen?");
    terminal.presses("n");
    assert!(!terminal.ends().screen.contains("secret-value"));
    let mut terminal = Terminal::start(&stage, &["credentials", "show", "db", "--reveal", "A"]);
    terminal.sees("Print A of db on the screen?");
    terminal.presses("y");
    assert!(terminal.ends().screen.contains("secret-value"));
}

#[test]
fn new_values_replace_old_ones_and_the_rest_stays() {
    let stage = vaulted::stage();
    stage.run_with(&["credentials", "store", "env", "A=@/dev/stdin", "--name", "db"], b"one").ends(0);
    stage.run_with(&["credentials", "update", "db", "--field", "B=-"], b"two").ends(0);
    assert_eq!((reveal(&stage, "db", "A"), reveal(&stage, "db", "B")), ("one".into(), "two".into()));
    stage.run(&["credentials", "update", "db", "--unset", "A"]).ends(0);
    assert_eq!(list(&stage)[0]["secret_fields"], serde_json::json!(["B"]));
    stage.run(&["credentials", "update", "db", "--tag", "a", "--tag", "b"]).ends(0);
    stage.run(&["credentials", "update", "db", "--untag", "a", "--note", "why"]).ends(0);
    let credential = list(&stage).remove(0);
    assert_eq!((&credential["tags"], &credential["note"]), (&serde_json::json!(["b"]), &serde_json::json!("why")));
    stage.run(&["credentials", "update", "db", "--field", "nonsense"]).ends(2);
}

#[test]
fn what_is_not_changed_stays_its_expiry_too() {
    let stage = vaulted::stage();
    let folder = stage.home().join(".local/share/com.vercel.cli");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("auth.json"), r#"{"token": "a-token-of-vercel", "expiresAt": 4102444800}"#).unwrap();
    stage.run(&["credentials", "store", "vercel", "--no-verify"]).ends(0);
    let expires = || list(&stage)[0]["expires_at"].clone();
    assert_eq!(expires(), "2100-01-01T00:00:00Z");
    stage.run(&["credentials", "update", "vercel", "--field", "project_id=prj_1", "--no-verify"]).ends(0);
    assert_eq!(expires(), "2100-01-01T00:00:00Z");
    stage.run_with(&["credentials", "update", "vercel", "--field", "api_token=-", "--no-verify"], b"another").ends(0);
    assert!(expires().is_null(), "nothing is known of the new one");
    let unknown = stage.run(&["credentials", "update", "vercel", "--field", "colour=x"]).ends(2);
    assert!(unknown.stderr().contains("next: its fields are api_token, "), "{unknown}");
    let missing = stage.run(&["credentials", "update", "vercel", "--unset", "colour", "--no-verify"]).ends(2);
    assert!(missing.stderr().contains("next: it has project_id, api_token"), "{missing}");
    let lacks = stage.run(&["credentials", "update", "vercel", "--unset", "api_token"]).ends(2);
    assert!(lacks.stderr().contains("next: give --field api_token=VALUE"), "{lacks}");
}

#[test]
fn variables_are_asked_for_one_by_one() {
    let stage = vaulted::stage();
    stage.run_with(&["credentials", "store", "env", "A=-", "B=@/dev/null", "--name", "db"], b"one").ends(0);
    let mut terminal = Terminal::start(&stage, &["credentials", "update", "db"]);
    terminal.sees("A (empty keeps the old one)");
    terminal.types("new-value");
    terminal.sees("B (empty keeps the old one)");
    terminal.types("");
    let ending = terminal.ends();
    assert_eq!(ending.code, Some(0), "{ending:?}");
    assert_eq!((reveal(&stage, "db", "A"), reveal(&stage, "db", "B")), ("new-value".into(), String::new()));
}

#[test]
fn exports_are_read_back_by_a_shell_and_noted_as_a_use() {
    let stage = vaulted::stage();
    let nasty = "it's $(id) `id` \"x\" \\ %A%";
    store_env(&stage, "db", "A", nasty);
    let exported = stage.run(&["credentials", "export", "db", "--format", "env"]).ends(0);
    let script = format!("{}printf %s \"$A\"", exported.stdout());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), nasty);
    assert!(list(&stage)[0]["last_used_at"].is_string());
    let json = stage.run(&["credentials", "export", "db", "--format", "json"]).ends(0).json();
    assert_eq!(json, serde_json::json!({ "A": nasty }));
    assert!(stage.run(&["credentials", "export", "db", "--format", "dotenv"]).ends(2).stderr().contains("json"));
    let unknown = stage.run(&["credentials", "export", "db", "--format", "yaml"]).ends(2);
    assert!(unknown.stderr().contains("choose one of env, json, dotenv"), "{unknown}");
    let to_file = stage.run(&["credentials", "export", "db", "--format", "json", "--to", "out.json"]).ends(0);
    assert!(to_file.stdout.is_empty() && to_file.stderr().contains("plain text"), "{to_file}");
    assert_eq!(crate::corp::mode(&stage.home().join("out.json")), 0o600);
}
