//! `lanyard inject`: templates filled, or nothing written.

use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::run::{stage, store_file};
use crate::vaulted;

const TEMPLATE: &str = "<server>\n  <id>corp</id>\n  <password>lanyard://app/API_KEY</password>\n  <x>{{ .Values.x }} \
                        {{lanyard://thefile/file_name}}s \\lanyard://a/b</x>\n</server>";

#[test]
fn a_template_is_filled_and_nothing_else_is_touched() {
    let mut stage = stage("s3cr3t-value");
    store_file(&stage, "content\nof it");
    let filled = "<server>\n  <id>corp</id>\n  <password>s3cr3t-value</password>\n  <x>{{ .Values.x }} key.txts \
                  lanyard://a/b</x>\n</server>";
    std::fs::write(stage.home().join("template"), TEMPLATE).unwrap();
    stage.run(&["inject", "template"]).shows(0, filled, "");
    assert_eq!(stage.run_with(&["inject", "-"], TEMPLATE.as_bytes()).ends(0).stdout(), filled);
    assert!(vaulted::list(&stage).iter().all(|one| one["last_used_at"].is_string()));
    let out = stage.run(&["inject", "template", "--out", "settings.xml"]).ends(0);
    assert!(out.stdout.is_empty() && out.stderr().contains("settings.xml holds secrets in plain text"), "{out}");
    let path = stage.home().join("settings.xml");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), filled);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // Without a reference there is nothing to warn of, and no vault is needed.
    std::fs::write(stage.home().join("plain"), "no newline").unwrap();
    stage.run(&["inject", "plain"]).shows(0, "no newline", "");
    stage.set("GITHUB_ACTIONS", "true");
    for out in [&[][..], &["--out", "settings.xml"]] {
        let masked = stage.run(&[&["inject", "template"], out].concat()).ends(0);
        assert_eq!(masked.stdout(), if out.is_empty() { filled } else { "" });
        let said = masked.stderr();
        for form in ["s3cr3t-value", &STANDARD.encode("s3cr3t-value"), &STANDARD.encode("xs3cr3t-value")[2..]] {
            assert!(said.contains(&format!("::add-mask::{form}\n")), "{form}: {said}");
        }
        assert!(said.lines().all(|line| line.starts_with("::add-mask::") || !out.is_empty()), "{said}");
    }
}

#[test]
fn where_one_value_is_missing_nothing_is_written() {
    let stage = stage("LNYCANARYvalue");
    let out = stage.home().join("out");
    std::fs::write(&out, "as it was").unwrap();
    for (template, code, said) in [
        ("a lanyard://app/API_KEY\nlanyard://app/OTHER\n", 2, "lanyard://app/OTHER in template, line 2, has no value"),
        ("a lanyard://app/API_KEY\nlanyard://nobody/x\n", 2, "there is no credential nobody"),
        ("a lanyard://app/API_KEY\n\nlanyard://app\n", 2, "template, line 3, cannot be used"),
    ] {
        std::fs::write(stage.home().join("template"), template).unwrap();
        for words in [&["inject", "template"][..], &["inject", "template", "-o", "out"]] {
            let refused = stage.run(words).ends(code);
            assert!(refused.stdout.is_empty() && refused.stderr().contains(said), "{refused}");
            assert!(!refused.stderr().contains("CANARY"), "{refused}");
        }
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "as it was");
    }
    let refused = stage.run(&["inject", "missing"]).ends(2);
    assert!(refused.stderr().contains("error: cannot read missing\n  because: No such file"), "{refused}");
}
